"""Windows of clean motion in which some values are hit: the rest are exact, as in the paper's synthetic noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from smoothnet_core._checks import mismatch
from smoothnet_core.training.batches import Batch, Seeded
from smoothnet_core.training.settings import HitSettings

Array = NDArray[np.floating]

# Frames played for one of the capture's: takes of 25 to 120 frames a second, for capture at 60.
_SLOWEST, _FASTEST = 0.5, 2.4
# Of a batch's windows, so many are of one piece of motion.
_OF_ONE_PIECE = 16
# One number a window where numbers are hit one by one; vectors are hit as a whole.
_DIMENSIONS, _DIMENSION_SHARES = (1, 2, 3), (0.7, 0.1, 0.2)
# How often a value is hit, and the standard deviation in metres of what hits it.
_CHANCES, _DEVIATIONS = (0.05, 0.95), (0.002, 0.15)
# How often positions are relative to the first joint of the body.
_RELATIVE = 0.5


class HitBatches(Seeded):
    """Draws windows; the same seed gives the same batches. What hits has unit variance: the network knows no unit."""

    def __init__(self, clean: Sequence[Array], window: int, settings: HitSettings) -> None:
        """Take clean tracks (T, J, 3) in metres at ``settings.fps``.

        Raises:
            ValueError: none is long enough for a window at every speed.
        """
        super().__init__(settings.seed)
        self._window, self._size = window, settings.batch
        self._span = int(np.ceil((window - 1) * _FASTEST)) + 1
        self._clean = [np.asarray(track, np.float64) for track in clean if len(track) >= self._span]
        if not self._clean:
            raise mismatch("clean motion", f"a clip of at least {self._span} frames", f"none of {len(clean)}")
        lengths = np.array([len(track) for track in self._clean], np.float64)
        self._odds = lengths / lengths.sum()

    def batch(self) -> Batch:
        """Return the next batch, all of whose windows have the same number D of dimensions."""
        size = int(self._rng.choice(_DIMENSIONS, p=_DIMENSION_SHARES))
        estimates, truths = [], []
        for start in range(0, self._size, _OF_ONE_PIECE):
            truth = self._windows(min(_OF_ONE_PIECE, self._size - start), size)
            chance, deviation = self._rng.uniform(*_CHANCES), np.exp(self._rng.uniform(*np.log(_DEVIATIONS)))
            hit = self._rng.random((*truth.shape[:2], 1)) < chance
            truths.append(truth / deviation)
            estimates.append(truths[-1] + hit * self._rng.normal(size=truth.shape))
        estimate, truth = (np.concatenate(part).astype(np.float32) for part in (estimates, truths))
        return Batch(estimate, truth, np.ones((*truth.shape[:2], 2), np.float32))

    def _windows(self, count: int, size: int) -> Array:
        """Return (count, W, size) windows of joints of one piece of motion, played at some speed, either way."""
        rng = self._rng
        track = self._clean[rng.choice(len(self._clean), p=self._odds)]
        start = rng.integers(0, len(track) - self._span + 1)
        piece = track[start : start + self._span]
        if rng.random() < _RELATIVE:
            piece = piece[:, 1:] - piece[:, :1]
        rate = np.exp(rng.uniform(*np.log((_SLOWEST, _FASTEST))))
        times = rng.uniform(0, self._span - 1 - (self._window - 1) * rate) + rate * np.arange(self._window)
        joints = rng.choice(piece.shape[1], count, replace=piece.shape[1] < count)
        played = make_interp_spline(np.arange(self._span), piece[:, joints], k=3)(times)
        turns = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0][:, :, :size]
        windows = np.einsum("tnd,ndk->ntk", played, turns)
        return windows[:, ::-1] if rng.random() < 0.5 else windows
