"""Savitzky-Golay, Gaussian and Butterworth: one fixed weighting of neighbouring frames, the same for every track."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, savgol_filter, sosfiltfilt

from smoothnet_core._checks import mismatch
from smoothnet_core.filters._common import checked_fps, filtered, positive, whole


def savgol(
    track: Any,
    *,
    fps: float | None = None,
    kind: str = "position",
    strength: float = 1.0,
    mask: Any = None,
    confidence: Any = None,
    order: str = "columns",
    window: int = 31,
    polyorder: int = 2,
) -> Any:
    """Fit a polynomial to the frames around each frame (A. Savitzky, M. Golay, 1964; scipy.signal.savgol_filter).

    Args:
        track: (T, ...); this and the shared arguments as :mod:`smoothnet_core.filters` says.
        window: frames, odd; the defaults are those of the SmoothNet paper. A shorter track takes the longest odd
            window that fits into it, and is returned as it is where that is no longer than ``polyorder``.
        polyorder: degree of the polynomial, below ``window``.
    """
    checked_fps(fps)
    window, polyorder = whole("window", window, 1, odd=True), whole("polyorder", polyorder, 0)
    if polyorder >= window:
        raise mismatch("polyorder", f"below the window of {window} frames", polyorder)

    def smooth(prepared: Any) -> Any:
        frames = len(prepared.values)
        fits = min(window, frames - 1 + frames % 2)
        return prepared.values if fits <= polyorder else savgol_filter(prepared.values, fits, polyorder, axis=0)

    return filtered(track, smooth, kind=kind, strength=strength, mask=mask, confidence=confidence, order=order)


def gaussian(
    track: Any,
    *,
    fps: float | None = None,
    kind: str = "position",
    strength: float = 1.0,
    mask: Any = None,
    confidence: Any = None,
    order: str = "columns",
    sigma: float = 1.5,
) -> Any:
    """Average frames with the weights of a normal distribution; the first and last frame are held beyond the ends.

    Args:
        track: (T, ...); this and the shared arguments as :mod:`smoothnet_core.filters` says.
        sigma: standard deviation in frames.
    """
    checked_fps(fps)
    positive("sigma", sigma)
    return filtered(
        track,
        lambda prepared: gaussian_filter1d(prepared.values, sigma, axis=0, mode="nearest"),
        kind=kind,
        strength=strength,
        mask=mask,
        confidence=confidence,
        order=order,
    )


def butterworth(
    track: Any,
    *,
    fps: float | None = None,
    kind: str = "position",
    strength: float = 1.0,
    mask: Any = None,
    confidence: Any = None,
    order: str = "columns",
    cutoff: float = 3.0,
    poles: int = 4,
) -> Any:
    """Low-pass forwards and backwards, so without delay (S. Butterworth, 1930; scipy.signal.sosfiltfilt).

    Args:
        track: (T, ...); this and the shared arguments as :mod:`smoothnet_core.filters` says.
        cutoff: Hz, below half of ``fps``: the frequency that the two passes together halve.
        poles: the order of the filter run in each direction.
    """
    rate = checked_fps(fps)
    poles = whole("poles", poles, 1)
    if not positive("cutoff", cutoff) < rate / 2:
        raise mismatch("cutoff", f"below half of fps, {rate / 2:g} Hz", cutoff)
    sections = np.asarray(butter(poles, cutoff, fs=rate, output="sos"))
    # As sosfiltfilt's own: three times the taps of both polynomials, less those that are nothing but padding.
    taps = 2 * len(sections) + 1 - min((sections[:, 2] == 0).sum(), (sections[:, 5] == 0).sum())

    def smooth(prepared: Any) -> Any:
        x = prepared.values
        return np.asarray(sosfiltfilt(sections, x, axis=0, padlen=min(3 * int(taps), len(x) - 1)))

    return filtered(track, smooth, kind=kind, strength=strength, mask=mask, confidence=confidence, order=order)
