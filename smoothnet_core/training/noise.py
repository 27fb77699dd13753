"""Random processes in time: how they are drawn, and which mixture of them has given statistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls
from scipy.signal import lfilter

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Kernel:
    """A stationary Gaussian process of unit variance.

    Attributes:
        seconds: time constant; infinite for a constant, 0 for a new value each frame.
        order: 1 for an autoregression of first order, which is rough; 2 for two in a row, which is smooth.
    """

    seconds: float
    order: int = 1

    def pole(self, fps: float) -> float:
        """Return the factor by which the process decays in a frame."""
        return float(np.exp(-1.0 / (self.seconds * fps))) if self.seconds > 0 else 0.0

    def correlation(self, lags: ArrayLike, fps: float) -> Array:
        """Return the correlation at whole lags in frames, exact for what :meth:`draw` returns."""
        lags, pole = np.asarray(lags, np.float64), self.pole(fps)
        first_order = np.power(pole, lags)
        if self.order == 1:
            return first_order
        # Of an autoregression of second order with a double pole.
        return first_order * (1 + lags * (1 - pole**2) / (1 + pole**2))

    def draw(self, rng: np.random.Generator, frames: int, shape: tuple[int, ...], fps: float) -> Array:
        """Return (T, ...) float32, stationary from its first frame on; (1, ...) of a constant."""
        if np.isinf(self.seconds):
            return rng.standard_normal((1, *shape), dtype=np.float32)
        white = rng.standard_normal((frames, *shape), dtype=np.float32)
        pole = self.pole(fps)
        if pole == 0.0:
            return white
        last = rng.standard_normal(shape, dtype=np.float32)
        if self.order == 1:
            taps, state = [1.0, -pole], pole * last[None]
        else:
            together = self.correlation(1, fps)
            before = together * last + np.sqrt(1 - together**2) * rng.standard_normal(shape, dtype=np.float32)
            taps = [1.0, -2 * pole, pole**2]
            state = np.stack([2 * pole * last - pole**2 * before, -(pole**2) * last])
        gain = np.sqrt(self._innovation(pole))
        numerator, denominator = np.array([gain], np.float32), np.array(taps, np.float32)
        return lfilter(numerator, denominator, white, axis=0, zi=state.astype(np.float32))[0]

    def _innovation(self, pole: float) -> float:
        """Return the variance of the white noise that gives unit variance."""
        if self.order == 1:
            return 1 - pole**2
        return (1 - pole**2) ** 3 / (1 + pole**2)


def mixture(moments: Array, measured: Array, weight: Array) -> Array:
    """Return the variances (K, N) of independent kernels whose sum comes nearest to what was measured.

    Args:
        moments: (M, K) of each kernel at unit variance, covariances say.
        measured: (M, N) the same of N processes.
        weight: (M, N), or broadcastable to it, how much each counts.
    """
    weights = np.broadcast_to(weight, measured.shape)
    columns = [nnls(w[:, None] * moments, w * m)[0] for w, m in zip(weights.T, measured.T, strict=True)]
    return np.stack(columns, axis=1)
