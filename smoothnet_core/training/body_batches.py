"""Random crops of whole bodies: re-timed, mirrored, reversed and turned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._body import roughness
from smoothnet_core._checks import mismatch
from smoothnet_core._refine import refine
from smoothnet_core.joint_sets import mirrored
from smoothnet_core.model import Model, load_model
from smoothnet_core.models.sizes import BodySizes
from smoothnet_core.training.batches import Batch, Pair, Seeded
from smoothnet_core.training.settings import BodySettings

Array = NDArray[np.floating]

# Speeds at which clips are played: people on whom nothing was trained move more slowly or faster.
_SLOWEST, _FASTEST = 1 / 1.6, 1.6
_REVERSED, _MIRRORED = 0.5, 0.5
# Radians about the vertical axis, either way. Depth is what an estimator does worst, so the camera's direction matters.
_TURN = np.radians(20)
# How often a crop is turned by any angle about the camera's axis, which shows it the same depths.
_ROLLED = 0.5
# How often a crop's confidence is withheld, as estimators without one do.
_NO_CONFIDENCE = 0.2


class BodyBatches(Seeded):
    """Draws crops one window long, as the body-aware network sees them in use; the same seed gives the same batches.

    Estimates go through the model before the network once, clip by clip. Estimate and truth are each relative to their
    own root in every frame.
    """

    def __init__(self, pairs: Sequence[Pair], sizes: BodySizes, settings: BodySettings) -> None:
        """Take paired clips of the joint set ``sizes.joints``, metres, at one frame rate.

        Raises:
            ValueError: a clip has other joints, none is as long as a window, or the model before the network is none.
        """
        joints = sizes.joint_set
        shape = (len(joints.joints), 3)
        for pair in pairs:
            if pair.groundtruth.shape[1:] != shape:
                expected = f"{shape[0]} joints in 3D, those of {sizes.joints}"
                raise mismatch(f"paired clip {pair.name}", expected, f"shape {pair.groundtruth.shape}")
        used = [pair for pair in pairs if len(pair.estimate) >= sizes.window]
        if not used:
            raise mismatch("paired clips", f"at least one of {sizes.window} frames or more", f"none of {len(pairs)}")
        super().__init__(settings.seed)
        self._window, self._size, self._swap = sizes.window, settings.batch, joints.swap
        self._lengths = np.array([len(pair.estimate) for pair in used])
        self._first = np.cumsum(self._lengths) - self._lengths
        self._odds = self._lengths / self._lengths.sum()
        root = list(joints.root)
        first = load_model(sizes.first)
        refined = [_refined(pair, first, settings.fps) for pair in used]
        self._estimate = np.concatenate([_centred(positions, root) for positions in refined])
        rough = [roughness(pair.estimate, positions) for pair, positions in zip(used, refined, strict=True)]
        self._roughness = np.concatenate(rough).astype(np.float32)
        self._truth = np.concatenate([_centred(pair.groundtruth, root) for pair in used])
        self._confidence = np.concatenate([pair.confidence for pair in used]).astype(np.float32)
        self._observed = np.concatenate([pair.observed for pair in used]).astype(np.float32)

    def batch(self) -> Batch:
        """Return the next batch: estimate and truth (B, W, 3 J) and quality (B, W, 3 J), one body a track."""
        rng, count = self._rng, self._size
        frame, share = self._times()
        estimate, truth, confidence, observed, rough = (
            _between(track, frame, share)
            for track in (self._estimate, self._truth, self._confidence, self._observed, self._roughness)
        )
        confidence = np.where(rng.random((count, 1, 1)) < _NO_CONFIDENCE, 1.0, confidence)
        quality = np.stack([confidence * observed, observed, rough], axis=-1)
        turns = self._turns()
        estimate, truth = (np.einsum("bwji,bik->bwjk", track, turns, optimize=True) for track in (estimate, truth))
        flipped = rng.random(count) < _MIRRORED
        estimate[flipped], truth[flipped] = (mirrored(track[flipped], self._swap) for track in (estimate, truth))
        quality[flipped] = quality[flipped][:, :, self._swap]
        return Batch(*(part.reshape(count, self._window, -1).astype(np.float32) for part in (estimate, truth, quality)))

    def _times(self) -> tuple[NDArray[np.int64], Array]:
        """Return the frame at or before each of the crops' time stamps, and how far (0 to 1) the next one is near."""
        rng, count = self._rng, self._size
        clip = rng.choice(len(self._lengths), size=count, p=self._odds)
        last = self._lengths[clip] - 1
        span = np.minimum((self._window - 1) * rng.uniform(_SLOWEST, _FASTEST, count), last)
        course = np.broadcast_to(np.linspace(0, 1, self._window), (count, self._window))
        course = np.where(rng.random((count, 1)) < _REVERSED, course[:, ::-1], course)
        time = rng.uniform(0, last - span)[:, None] + span[:, None] * course
        # A clip's last frame is the one after the last but one.
        frame = np.minimum(time.astype(np.int64), last[:, None] - 1)
        return self._first[clip][:, None] + frame, (time - frame).astype(np.float32)

    def _turns(self) -> Array:
        """Return the (B, 3, 3) matrix of each crop's turn: about the vertical, of some then about the camera's axis."""
        rng, count = self._rng, self._size
        yaw = rng.uniform(-_TURN, _TURN, count)
        roll = np.where(rng.random(count) < _ROLLED, rng.uniform(-np.pi, np.pi, count), 0.0)
        return (_about(1, yaw) @ _about(2, roll)).astype(np.float32)


def _refined(pair: Pair, model: Model, fps: float) -> Array:
    return refine(pair.estimate, fps=fps, model=model, mask=pair.observed > 0, confidence=pair.confidence)


def _centred(positions: Array, root: list[int]) -> NDArray[np.float32]:
    return (positions - positions[:, root].mean(axis=1, keepdims=True)).astype(np.float32)


def _between(track: Array, frame: NDArray[np.int64], share: Array) -> Array:
    """Return a track (T, ...) at frames (B, W) and a share of the way to the next, straight between them."""
    before = track[frame]
    return before + share.reshape(*share.shape, *[1] * (track.ndim - 1)) * (track[frame + 1] - before)


def _about(axis: int, angles: Array) -> Array:
    """Return the (B, 3, 3) matrices of turns about one of the axes."""
    first, second = (i for i in range(3) if i != axis)
    turns = np.zeros((len(angles), 3, 3))
    turns[:, axis, axis] = 1.0
    turns[:, first, first] = turns[:, second, second] = np.cos(angles)
    turns[:, first, second] = np.sin(angles)
    turns[:, second, first] = -np.sin(angles)
    return turns
