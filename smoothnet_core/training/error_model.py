"""A model of an estimator's errors and how it is drawn from; :mod:`smoothnet_core.training.estimator_errors` fits it.

An error is the estimate less the truth, in metres, camera axes (x right, y down, z away from the camera), both centred
on the hips. The model adds up, for each joint and axis,

- a part that follows from where the joint is: an estimator draws limbs in and leans bodies;
- Gaussian processes of several time constants, from a bias that stays to noise that is new in each frame, correlated
  over the body, whose scale itself wanders and, for the fast ones, grows with the joint's speed;

and replaces runs of frames: arms, legs or everything with left and right swapped, a pose that is wrong as a whole, and
nobody detected. Time constants are in seconds, so that any frame rate can be asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.special import ndtr

from smoothnet_core._checks import mismatch
from smoothnet_core.training.noise import Kernel

Array = NDArray[np.floating]
Bools = NDArray[np.bool_]

# The components of an error: the first four make its level, the others its jitter.
KERNELS = (
    Kernel(np.inf),
    Kernel(2.0),
    Kernel(0.5, 2),
    Kernel(0.2, 2),
    Kernel(0.1, 2),
    Kernel(0.05, 2),
    Kernel(0.0),
)
LEVEL = 4
# Those of the logarithm of its scale, and of what a confidence does by itself.
SCALE_KERNELS = (Kernel(np.inf), Kernel(1.0), Kernel(0.2), Kernel(0.0))
SLOW_SCALES, SMOOTH_SCALES = 2, 3
# The joints of the paired set: nose, then left and right in turn of shoulder, elbow, wrist, hip, knee, ankle, foot.
JOINTS = 15
MIRRORED = np.array([0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13])
HIPS = (7, 8)
# The runs of frames that are replaced; the joints of those in which left and right are swapped.
RUNS = ("arms", "legs", "body", "failure", "lost")
SWAPPED = {"arms": (3, 4, 5, 6), "legs": (9, 10, 11, 12, 13, 14), "body": tuple(range(1, JOINTS))}
# Most by which a fast motion raises the logarithm of the jitter's scale: to twice the usual.
_MAX_PACE = 0.7
# Frames over which the jitter that a confidence goes with is averaged.
_JITTER_SPAN = 5


@dataclass(frozen=True, eq=False)
class ErrorModel:
    """Numbers of a model: float64 arrays, to be saved and loaded by name.

    J = 15 joints, K components, S components of scales, R runs, Q quantiles from least to greatest.

    Attributes:
        fps: () frames a second of what it was fitted to.
        gain: (J, 4, 3) the part that follows from the position: ``[x, y, z, 1] @ gain``.
        reach: (2, J, 3) least and greatest coordinates that the gain sees, m; others count as the nearest of these.
        power: (K, J, 3) variance of each component, m^2.
        mixing: (2, 3 J, 3 J) of level and jitter, a factor of the correlation matrix over joints and axes.
        scale: (2, 2, S, J) of level and jitter, shared by the body and each joint's own: variances of the components
            of the logarithm of the scale.
        speed: (2, J) exponent of the joint's speed in the jitter's scale, and mean logarithm of the speed.
        failure: (F, J, 3) by how much wrong poses jump from the errors around, m: real ones, one run after the other.
        failure_edges: (N + 1,) where each of N runs of them begins, and where the last one ends.
        swap_edge: () how far joints have gone to the other side in the frames before and after a swap.
        run_rate: (R,) runs that begin in a second.
        run_seconds: (R, Q) how long they last.
        confidence: (J, Q) of the confidence.
        confidence_weights: (3, J) normal score of the confidence by the logarithms of error and jitter: two slopes and
            the constant.
        confidence_own: (S, J) variances of the components of the rest of the score.
    """

    fps: Array
    gain: Array
    reach: Array
    power: Array
    mixing: Array
    scale: Array
    speed: Array
    failure: Array
    failure_edges: Array
    swap_edge: Array
    run_rate: Array
    run_seconds: Array
    confidence: Array
    confidence_weights: Array
    confidence_own: Array

    def to_arrays(self) -> dict[str, Array]:
        """Return the arrays by name, for ``numpy.savez`` say."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> ErrorModel:
        """Return the model that :meth:`to_arrays` returned.

        Raises:
            ValueError: an array is missing or unknown, or has another shape.
        """
        quantiles = np.shape(arrays.get("run_seconds", ()))[1:]
        size, scales = 3 * JOINTS, len(SCALE_KERNELS)
        shapes = {
            "fps": (),
            "gain": (JOINTS, 4, 3),
            "reach": (2, JOINTS, 3),
            "power": (len(KERNELS), JOINTS, 3),
            "mixing": (2, size, size),
            "scale": (2, 2, scales, JOINTS),
            "speed": (2, JOINTS),
            "failure": (*np.shape(arrays.get("failure", ()))[:1], JOINTS, 3),
            "failure_edges": np.shape(arrays.get("failure_edges", ())),
            "swap_edge": (),
            "run_rate": (len(RUNS),),
            "run_seconds": (len(RUNS), *quantiles),
            "confidence": (JOINTS, *quantiles),
            "confidence_weights": (3, JOINTS),
            "confidence_own": (scales, JOINTS),
        }
        if set(arrays) != set(shapes):
            raise mismatch("arrays of an error model", ", ".join(shapes), ", ".join(arrays) or "none")
        made = {name: np.asarray(arrays[name], np.float64) for name in shapes}
        for name, shape in shapes.items():
            if made[name].shape != shape:
                raise mismatch(f"error model, {name}, shape", shape, made[name].shape)
        return cls(**made)

    def sample(
        self, rng: np.random.Generator, truth: Array, fps: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Draw what the estimator might say of a motion.

        15 joints are those of the paired set, in its order. Of any other number each gets the errors of a joint drawn
        at random, without swaps, since left and right are not known.

        Args:
            rng: where random numbers come from.
            truth: (..., T, J, 3) metres, camera axes, centred on the hips; leading axes are drawn independently.
            fps: frames a second of ``truth``.

        Returns:
            estimate (..., T, J, 3), interpolated in time where nobody was detected; confidence (..., T, J) in [0, 1],
            0 there; observed (..., T, J), 0 there and 1 elsewhere. All float32.

        Raises:
            ValueError: another shape, or a frame rate that is not positive.
        """
        truth = np.asarray(truth, np.float32)
        if truth.ndim < 3 or truth.shape[-1] != 3 or 0 in truth.shape:
            raise mismatch("truth, shape", "(..., T, J, 3)", truth.shape)
        if not fps > 0:
            raise mismatch("frames a second", "a positive number", fps)
        flat = np.moveaxis(truth.reshape(-1, *truth.shape[-3:]), 1, 0)
        draw = _Draw(self, rng, flat, fps)
        estimate, observed = draw.estimate()
        confidence = draw.confidence(estimate - flat) * observed

        def shaped(values: Array, shape: tuple[int, ...]) -> NDArray[np.float32]:
            return np.moveaxis(values, 0, 1).reshape(shape).astype(np.float32)

        known = np.broadcast_to(observed, confidence.shape)
        return (
            shaped(estimate, truth.shape),
            shaped(confidence, truth.shape[:-1]),
            shaped(known, truth.shape[:-1]),
        )


class _Draw:
    """One call of :meth:`ErrorModel.sample`; arrays are (T, B, J, 3), time first."""

    def __init__(self, model: ErrorModel, rng: np.random.Generator, truth: Array, fps: float) -> None:
        self.model, self.rng, self.truth, self.fps = model, rng, truth, fps
        self.frames, self.batch, self.joints = truth.shape[:3]
        self.known = self.joints == JOINTS
        # Errors are drawn for whole bodies; more joints than one has come from several.
        self.bodies = -(-self.joints // JOINTS)
        self.pick = np.arange(JOINTS) if self.known else rng.permutation(self.bodies * JOINTS)[: self.joints]
        self.source = self.pick % JOINTS

    def estimate(self) -> tuple[Array, Array]:
        """Return the estimate and (T, B, 1) whether anybody was detected."""
        model, truth = self.model, self.truth
        gain = model.gain[self.source].astype(np.float32)
        place = np.clip(truth, *model.reach[:, self.source].astype(np.float32))
        error = np.einsum("tbjc,jcd->tbjd", place, gain[:, :3]) + gain[:, 3]
        error += self._processes(0, KERNELS[:LEVEL], model.power[:LEVEL]) * np.exp(self._scale(0))
        error += self._processes(1, KERNELS[LEVEL:], model.power[LEVEL:]) * np.exp(self._scale(1) + self._pace())
        base = truth
        runs = {name: self._runs(number) for number, name in enumerate(RUNS)}
        if self.known:
            base = truth + self._swaps(runs)
        estimate = base + error
        for when, b in runs["failure"]:
            estimate[when, b] += self._failure(when.stop - when.start)
        if self.known:
            estimate -= estimate[:, :, HIPS].mean(axis=2, keepdims=True)
        observed = np.ones((self.frames, self.batch, 1), np.float32)
        for when, b in runs["lost"]:
            observed[when, b] = 0
        for b in np.flatnonzero((observed == 0).any(axis=(0, 2)) & (observed == 1).any(axis=(0, 2))):
            _bridge(estimate[:, b], observed[:, b, 0] == 1)
        return estimate, observed

    def _swaps(self, runs: dict[str, list[tuple[slice, int]]]) -> Array:
        """Return (T, B, J, 3) how far swaps move joints."""
        way = np.zeros_like(self.truth)
        for name, joints in SWAPPED.items():
            for when, b in runs[name]:
                share = np.zeros((self.frames + 2, 1, 1), np.float32)
                share[when.start : when.stop + 2] = self.model.swap_edge
                share[when.start + 1 : when.stop + 1] = 1.0
                pick = list(joints)
                across = self.truth[:, b, MIRRORED[pick]] - self.truth[:, b, pick]
                way[:, b, pick] = np.where(share[1:-1] > 0, share[1:-1] * across, way[:, b, pick])
        return way

    def confidence(self, error: Array) -> Array:
        """Return (T, B, J) for errors."""
        model, table = self.model, self.model.confidence[self.source]
        weights = model.confidence_weights[:, self.source].astype(np.float32)
        level, jitter = log_level_and_jitter(error)
        score = weights[0] * level + weights[1] * jitter + weights[2]
        score = score + self._sum(SCALE_KERNELS, model.confidence_own[:, self.source], (self.batch, self.joints))
        place = ndtr(score) * (table.shape[1] - 1)
        below = np.minimum(place.astype(int), table.shape[1] - 2)
        joint = np.arange(self.joints)
        low, high = table[joint, below], table[joint, below + 1]
        return low + (place - below) * (high - low)

    def _sum(self, kernels: tuple[Kernel, ...], variance: Array, shape: tuple[int, ...]) -> Array:
        deviation = np.sqrt(variance).astype(np.float32)
        parts = [
            d * k.draw(self.rng, self.frames, shape, self.fps)
            for k, d in zip(kernels, deviation, strict=True)
            if d.any()
        ]
        return np.sum(np.broadcast_arrays(*parts), axis=0) if parts else np.zeros(1, np.float32)

    def _processes(self, which: int, kernels: tuple[Kernel, ...], power: Array) -> Array:
        mixing = self.model.mixing[which].T.astype(np.float32)
        total = np.zeros((self.frames, self.batch, self.joints, 3), np.float32)
        for kernel, variance in zip(kernels, power[:, self.source], strict=True):
            noise = kernel.draw(self.rng, self.frames, (self.batch, self.bodies, 3 * JOINTS), self.fps) @ mixing
            noise = noise.reshape(len(noise), self.batch, -1, 3)
            total += np.sqrt(variance).astype(np.float32) * (noise if self.known else noise[:, :, self.pick])
        return total

    def _scale(self, which: int) -> Array:
        """Return (T, B, J, 1) the logarithm of the scale, so that the mean of the scale's square is 1."""
        shared, own = self.model.scale[which][:, :, self.source]
        wander = self._sum(SCALE_KERNELS, shared, (self.batch, 1)) + self._sum(
            SCALE_KERNELS, own, (self.batch, self.joints)
        )
        return (wander - (shared + own).sum(axis=0).astype(np.float32))[..., None]

    def _pace(self) -> Array:
        exponent, mean = self.model.speed[:, self.source].astype(np.float32)
        return np.minimum(exponent * (log_speed(self.truth, self.fps) - mean), _MAX_PACE)[..., None]

    def _runs(self, which: int) -> list[tuple[slice, int]]:
        """Return the frames and the number in the batch of every run of a kind."""
        seconds = self.model.run_seconds[which]
        # Runs that began before the first frame count too.
        before = round(seconds[-1] * self.fps)
        begins = self.rng.random((before + self.frames, self.batch)) < self.model.run_rate[which] / self.fps
        starts, batch = np.nonzero(begins)
        quantile = np.linspace(0, 1, len(seconds))
        lengths = np.maximum(np.round(np.interp(self.rng.random(len(starts)), quantile, seconds) * self.fps), 1)
        ends = (starts + lengths).astype(int) - before
        return [
            (slice(max(start, 0), min(end, self.frames)), int(b))
            for start, end, b in zip(starts - before, ends, batch, strict=True)
            if end > 0
        ]

    def _failure(self, frames: int) -> Array:
        """Return (n, J, 3) the jumps of a run in which the whole pose is wrong, mirrored half of the time."""
        edges = self.model.failure_edges.astype(int)
        run = self.rng.integers(len(edges) - 1)
        place = np.arange(frames) * float(self.model.fps) / self.fps
        jump = self.model.failure[np.minimum(edges[run] + np.round(place).astype(int), edges[run + 1] - 1)]
        if self.rng.random() < 0.5:
            jump = jump[:, MIRRORED] * np.array([-1.0, 1.0, 1.0])
        return jump[:, self.source]


def log_speed(truth: Array, fps: float) -> Array:
    """Return (T, ...) the logarithm of the speed in m/s of joints (T, ..., 3), of 0.1 m/s where they stand."""
    step = np.gradient(truth, axis=0) if len(truth) > 1 else np.zeros_like(truth)
    return np.log(fps * np.sqrt(np.square(step).sum(axis=-1)) + 0.1)


def log_level_and_jitter(error: Array) -> tuple[Array, Array]:
    """Return (T, ...) the logarithms of an error (T, ..., 3) and of its second difference around a frame, in metres."""
    level = np.log(np.sqrt(np.square(error).sum(axis=-1)) + 0.002)
    bend = np.zeros_like(level)
    if len(error) > 2:
        bend[1:-1] = np.sqrt(np.square(np.diff(error, n=2, axis=0)).sum(axis=-1))
        bend = uniform_filter1d(bend, _JITTER_SPAN, axis=0, mode="nearest")
    return level, np.log(bend + 0.002)


def _bridge(track: Array, seen: Bools) -> None:
    """Interpolate a track (T, J, 3) in place where it was not seen."""
    gap = np.flatnonzero(~seen)
    place = np.interp(gap, np.flatnonzero(seen), np.arange(seen.sum()))
    known = track[seen]
    low = np.minimum(place.astype(int), len(known) - 1)
    high = np.minimum(low + 1, len(known) - 1)
    share = (place - low)[:, None, None]
    track[gap] = (1 - share) * known[low] + share * known[high]
