"""Random crops of paired and clean tracks, turned, mirrored, projected and reversed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from smoothnet_core._checks import mismatch
from smoothnet_core.training.disturbances import disturbed, low_passed, swing
from smoothnet_core.training.settings import Settings

Array = NDArray[np.floating]
# Estimate and truth (T, J, 3) and quality (T, J, 2).
Crop = tuple[Array, Array, Array]

# Most use is on three numbers a joint; the same weights also serve image points and single channels.
_DIMENSIONS, _DIMENSION_SHARES = (1, 2, 3), (0.15, 0.15, 0.7)
# How often a crop's confidence is withheld, as estimators without one do.
_NO_CONFIDENCE = 0.4
# Mean error in metres that simulated tracks are scaled to, and how far at most.
_ERROR, _MAX_SCALE = 0.04, 30.0
# How much a clean track counts.
_CLEAN_SCALE = 3.0
# Human movement lies below this; what optical capture shows above it is its own jitter.
_CALM_HZ = 8.0


@dataclass(frozen=True, eq=False)
class Pair:
    """An estimate of joint positions and the truth.

    Attributes:
        name: of the clip, for messages and tables.
        estimate: (T, J, 3) metres, gaps interpolated.
        groundtruth: (T, J, 3).
        confidence: (T, J) in [0, 1].
        observed: (T, J) 1 where the estimator saw something, 0 where it was interpolated.
    """

    name: str
    estimate: Array
    groundtruth: Array
    confidence: Array
    observed: Array


@dataclass(frozen=True)
class Batch:
    """Crops ready for the network: B crops of J joints of D numbers, flattened to B * J tracks.

    Attributes:
        estimate: (B * J, T, D).
        groundtruth: (B * J, T, D).
        quality: (B * J, T, 2) confidence and observed.
    """

    estimate: Array
    groundtruth: Array
    quality: Array


@dataclass(frozen=True)
class Mix:
    """Where crops come from; what is left comes from the paired clips.

    Attributes:
        clean: share drawn from clean motion.
        swing: share of made-up motion, see :func:`smoothnet_core.training.disturbances.swing`.
        disturbed: of both, the share that gets simulated errors; the others are to be left alone.
        low_passed: of all crops, the share whose estimate is low-passed.
    """

    clean: float = 0.3
    swing: float = 0.1
    disturbed: float = 0.6
    low_passed: float = 0.3


class Seeded:
    """Batches that a random generator alone decides: where it stands is where they go on."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def state(self) -> dict[str, Any]:
        """Return what :meth:`restore` needs to continue with the same batches; JSON can hold it."""
        return dict(self._rng.bit_generator.state)

    def restore(self, state: dict[str, Any]) -> None:
        """Continue where :meth:`state` was taken."""
        self._rng.bit_generator.state = state


class Sampler(Seeded):
    """Draws batches; the same seed gives the same batches."""

    def __init__(self, pairs: Sequence[Pair], clean: Sequence[Array], mix: Mix, settings: Settings) -> None:
        """Take paired clips and clean tracks (T, J, 3) in metres, all at ``settings.fps``.

        Raises:
            ValueError: nothing is as long as one crop.
        """
        super().__init__(settings.seed)
        self._settings = settings
        self._mix = mix
        self._pairs = [p for p in pairs if len(p.estimate) >= settings.crop]
        self._clean = [_calmed(c, settings.fps) for c in clean if len(c) >= settings.crop]
        if not self._pairs:
            raise mismatch("paired clips", f"at least one of {settings.crop} frames or more", f"none of {len(pairs)}")
        self._clean_crops = round(settings.batch * mix.clean) if self._clean else 0
        self._swing_crops = round(settings.batch * mix.swing)
        self._pair_odds = _by_length([len(p.estimate) for p in self._pairs])
        self._clean_odds = _by_length([len(captured) for captured, _ in self._clean])

    def batch(self) -> Batch:
        """Return the next batch; all its crops have the same number D of dimensions."""
        rng, settings = self._rng, self._settings
        size = rng.choice(_DIMENSIONS, p=_DIMENSION_SHARES)
        crops = [self._simulated_crop(*self._clean_piece()) for _ in range(self._clean_crops)]
        for _ in range(self._swing_crops):
            truth = swing(rng, settings.crop, settings.joints, settings.fps)
            crops.append(self._simulated_crop(truth, truth))
        crops += [self._pair_crop() for _ in range(settings.batch - len(crops))]
        estimates, truths, qualities = [], [], []
        for estimate, truth, quality in crops:
            if rng.random() < self._mix.low_passed:
                estimate = low_passed(rng, estimate)
            # The network is equivariant; turning only chooses which D of the three numbers it sees.
            turn = np.linalg.qr(rng.normal(size=(3, 3)))[0][:, :size]
            step = -1 if rng.random() < 0.5 else 1
            estimates.append((estimate @ turn)[::step].transpose(1, 0, 2))
            truths.append((truth @ turn)[::step].transpose(1, 0, 2))
            qualities.append(quality[::step].transpose(1, 0, 2))
        return Batch(*(np.concatenate(part).astype(np.float32) for part in (estimates, truths, qualities)))

    def _clean_piece(self) -> tuple[Array, Array]:
        rng, settings = self._rng, self._settings
        captured, calm = self._clean[rng.choice(len(self._clean), p=self._clean_odds)]
        start = rng.integers(0, len(calm) - settings.crop + 1)
        joints = rng.choice(calm.shape[1], settings.joints, replace=calm.shape[1] < settings.joints)
        return captured[start : start + settings.crop, joints], calm[start : start + settings.crop, joints]

    def _simulated_crop(self, captured: Array, truth: Array) -> Crop:
        quality = np.ones((*truth.shape[:2], 2))
        if self._rng.random() >= self._mix.disturbed:
            return _CLEAN_SCALE * captured, _CLEAN_SCALE * truth, quality
        estimate = disturbed(self._rng, truth)
        # The network answers s * f(x) to s * x; scaling decides only how much a track counts in the loss, and small
        # errors are to count as much as large ones.
        error = np.linalg.norm(estimate - truth, axis=-1).mean(axis=0)[None, :, None]
        scale = np.minimum(_ERROR / np.maximum(error, 1e-9), _MAX_SCALE)
        return scale * estimate, scale * truth, quality

    def _pair_crop(self) -> Crop:
        rng, settings = self._rng, self._settings
        pair = self._pairs[rng.choice(len(self._pairs), p=self._pair_odds)]
        start = rng.integers(0, len(pair.estimate) - settings.crop + 1)
        piece = slice(start, start + settings.crop)
        confidence = pair.confidence[piece]
        if rng.random() < _NO_CONFIDENCE:
            confidence = np.ones_like(confidence)
        observed = pair.observed[piece]
        quality = np.stack([confidence * observed, observed], axis=-1)
        return pair.estimate[piece], pair.groundtruth[piece], quality


def _by_length(lengths: Sequence[int]) -> NDArray[np.float64]:
    odds = np.asarray(lengths, dtype=np.float64)
    return odds / odds.sum() if len(odds) else odds


def _calmed(track: Array, fps: float) -> tuple[Array, Array]:
    """Return a clean track as captured, and without the capture's own jitter."""
    sections = butter(4, _CALM_HZ, fs=fps, output="sos")
    return track, sosfiltfilt(sections, track.astype(np.float64), axis=0).astype(np.float32)
