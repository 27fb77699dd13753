"""Refine a track at the frame rate that a network was trained for, and return at the track's own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfiltfilt

Array = NDArray[np.float64]

# Rates this near (29.97 and 30, say) count as the same: a window is then 2 % longer or shorter at most.
_SAME_RATE = 0.02
# What the slower rate is asked for, as a share of its own limit: nearly all, so that a take gives the same result when
# it was interpolated to a finer rate beforehand.
_PASS_BAND = 0.95
# Half a window of the shipped networks: over about a second one decides whether detail is motion or jitter.
_DETAIL_SECONDS = 0.25


def same_rate(fps: float, other: float) -> bool:
    """Tell whether two frame rates are so near that nothing needs to be resampled."""
    return abs(fps / other - 1.0) <= _SAME_RATE


def refine_at_rate(
    values: Array,
    quality: Array,
    refine: Callable[[Array, Array], Array],
    *,
    fps: float,
    model_fps: float,
) -> Array:
    """Low-pass, resample in time, refine, and return on the original time stamps.

    What the network's rate cannot show (detail above it) is kept in the measure in which the network let motion pass:
    its gain is the share of the acceleration's local energy that the network left. Clean motion keeps its detail;
    jitter loses it, since what jitters below the network's limit jitters above it too.

    Args:
        values: (T, N, D), T >= 2.
        quality: (T, N, 2).
        refine: maps (T', N, D) and (T', N, 2) at ``model_fps`` to refined (T', N, D).
        fps: frames a second of ``values``.
        model_fps: frames a second that ``refine`` expects.

    Returns:
        (T, N, D).
    """
    frames = len(values)
    count = max(2, int(np.ceil((frames - 1) * model_fps / fps - 1e-6)) + 1)
    # The last frame of the network's clock may lie after the track's end by less than a frame.
    extended = _extended(values, pad := min(frames - 1, int(np.ceil(fps / model_fps)) + 8))
    own = (np.arange(len(extended)) - pad) / fps
    clock = np.arange(count) / model_fps
    slow = _spline(own, _low_passed(extended, fps, model_fps), clock)
    nearest = np.clip(np.round(clock * fps).astype(np.int64), 0, frames - 1)
    refined = refine(slow, quality[nearest])

    stamps = np.arange(frames) / fps
    detail = values - _spline(clock, slow, stamps)
    gain = np.stack([np.interp(stamps, clock, g) for g in _passed(slow, refined, model_fps).T], axis=1)
    return _spline(clock, refined, stamps) + gain[:, :, None] * detail


def _extended(values: Array, pad: int) -> Array:
    """Continue a track beyond its ends by point reflection, which keeps level and slope."""
    return np.pad(values, ((pad, pad), (0, 0), (0, 0)), mode="reflect", reflect_type="odd")


def _low_passed(values: Array, fps: float, model_fps: float) -> Array:
    if fps <= model_fps:
        return values
    sections = butter(8, _PASS_BAND * model_fps / 2, fs=fps, output="sos")
    return sosfiltfilt(sections, values, axis=0, padtype="odd", padlen=min(len(values) - 1, int(fps)))


def _spline(time: Array, values: Array, at: Array) -> Array:
    degree = min(3, len(time) - 1)
    return make_interp_spline(time, values, k=degree, axis=0)(at)


def _passed(before: Array, after: Array, fps: float) -> Array:
    """Return (T, N) the share in [0, 1] of the acceleration's local energy that is left, 1 where there was none."""
    if len(before) < 3:
        return np.ones(before.shape[:2])

    def energy(track: Array) -> Array:
        squares = np.square(np.diff(track, n=2, axis=0)).sum(axis=2)
        squares = np.concatenate([squares[:1], squares, squares[-1:]])
        return gaussian_filter1d(squares, _DETAIL_SECONDS * fps, axis=0, mode="nearest")

    had = energy(before)
    return np.clip(np.divide(energy(after), had, out=np.ones_like(had), where=had > 0), 0.0, 1.0)
