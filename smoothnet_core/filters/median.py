"""A median that throws out single bad frames, then a Gaussian."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, median_filter

from smoothnet_core.filters._common import checked_fps, filtered, positive, whole

Array = NDArray[np.float64]


def median(
    track: Any,
    *,
    fps: float | None = None,
    kind: str = "position",
    strength: float = 1.0,
    mask: Any = None,
    confidence: Any = None,
    order: str = "columns",
    size: int = 5,
    sigma: float = 1.5,
) -> Any:
    """Take the median over the frames around each frame, then average with Gaussian weights.

    Each coordinate has its own median. Rotations have the vector median (J. Astola, P. Haavisto, Y. Neuvo, Proc. IEEE
    78(4), 1990): the one in the window with the least sum of chordal distances ``\\|R_i - R_j\\|`` to the others. For
    the median the first and last frame are held beyond the ends, for the Gaussian the track is mirrored there.

    Args:
        track: (T, ...); this and the shared arguments as :mod:`smoothnet_core.filters` says.
        size: window of the median in frames, odd.
        sigma: standard deviation of the Gaussian in frames.
    """
    checked_fps(fps)
    size = whole("size", size, 1, odd=True)
    positive("sigma", sigma)

    def smooth(prepared: Any) -> Array:
        x = prepared.values
        return _averaged(_vector_median(x, size), sigma) if prepared.is_rotation else median_gaussian(x, size, sigma)

    return filtered(track, smooth, kind=kind, strength=strength, mask=mask, confidence=confidence, order=order)


def median_gaussian(values: Array, size: int, sigma: float) -> Array:
    """Return (T, N, D) positions or channels without gaps, filtered as :func:`median` does."""
    return _averaged(median_filter(values, (size, 1, 1), mode="nearest"), sigma)


def _averaged(values: Array, sigma: float) -> Array:
    return gaussian_filter1d(values, sigma, axis=0, mode="reflect")


def _vector_median(x: Array, size: int) -> Array:
    """Return (T, N, D): of each window of ``size`` vectors the one nearest to all; of equals the most central."""
    frames, half = len(x), size // 2
    padded = np.concatenate([np.repeat(x[:1], half, axis=0), x, np.repeat(x[-1:], half, axis=0)])
    # apart[lag][t]: the distance between padded frames t and t + lag.
    apart = [np.linalg.norm(padded[lag:] - padded[: len(padded) - lag], axis=-1) for lag in range(size)]
    places = sorted(range(size), key=lambda place: abs(place - half))
    sums = np.stack([sum(apart[abs(a - b)][min(a, b) : min(a, b) + frames] for b in range(size)) for a in places])
    chosen = np.asarray(places)[sums.argmin(axis=0)] + np.arange(frames)[:, None]
    return np.take_along_axis(padded, chosen[..., None], axis=0)
