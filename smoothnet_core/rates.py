"""Refine a track at the frame rate that a network was trained for, and return at the track's own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_lapack_funcs

from smoothnet_core._gaussian import gaussian
from smoothnet_core._low_pass import low_passed
from smoothnet_core.limits import check_limit

Array = NDArray[np.float64]

pttrf, pttrs = get_lapack_funcs(("pttrf", "pttrs"), dtype=np.float64)

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
    # A rate may be so low that the number of frames is none.
    count = max(2, int(min(np.ceil((frames - 1) * model_fps / fps - 1e-6), 2.0**62)) + 1)
    check_limit(f"frames at the {model_fps:g} frames a second of the weights", "frames", count)
    # Each number over time lies by itself in memory, as filters and splines read and write it.
    tracks = np.ascontiguousarray(values.transpose(1, 2, 0))
    # The last frame of the network's clock may lie after the track's end by less than a frame.
    extended = _extended(tracks, pad := min(frames - 1, int(np.ceil(fps / model_fps)) + 8))
    clock = np.arange(count) / model_fps
    slow = _spline(_low_passed(extended, fps, model_fps), clock * fps + pad)
    nearest = np.clip(np.round(clock * fps).astype(np.int64), 0, frames - 1)
    refined = refine(slow.transpose(2, 0, 1), quality[nearest]).transpose(1, 2, 0)

    stamps = np.arange(frames) / fps
    detail = tracks - _spline(slow, stamps * model_fps)
    gain = np.stack([np.interp(stamps, clock, g) for g in _passed(slow, refined, model_fps)])
    detail *= gain[:, None]
    return (detail + _spline(refined, stamps * model_fps)).transpose(2, 0, 1)


def _extended(tracks: Array, pad: int) -> Array:
    """Continue tracks (N, D, T) beyond their ends by point reflection, which keeps level and slope."""
    return np.pad(tracks, ((0, 0), (0, 0), (pad, pad)), mode="reflect", reflect_type="odd")


def _low_passed(tracks: Array, fps: float, model_fps: float) -> Array:
    if fps <= model_fps:
        return tracks
    rows, pad = tracks.reshape(-1, tracks.shape[2]), min(tracks.shape[2] - 1, int(fps))
    return low_passed(rows, 8, _PASS_BAND * model_fps / 2, fps, pad).reshape(tracks.shape)


def _spline(tracks: Array, at: Array) -> Array:
    """Return (N, D, K) the tracks (N, D, T) at times (K,) in frames, from 0 to just after the last, by a cubic spline.

    Where frames are equally far apart, the condition that the first two pieces are one polynomial (not-a-knot) says
    that the curvature at the second frame is the second difference there; so the rest is a symmetric tridiagonal system
    for the curvatures (C. de Boor, A Practical Guide to Splines, chapter IV).
    """
    frames = tracks.shape[2]
    if frames < 4:
        from scipy.interpolate import make_interp_spline

        return make_interp_spline(np.arange(frames), tracks, k=min(3, frames - 1), axis=2)(at)
    curvature = np.empty(tracks.shape)
    inner = curvature[..., 1:-1]
    np.subtract(tracks[..., 2:], tracks[..., 1:-1], out=inner)
    inner -= tracks[..., 1:-1]
    inner += tracks[..., :-2]
    if frames > 4:
        # The outermost of the inner ones are right already.
        right = 6 * curvature[..., 2:-2]
        right[..., 0] -= curvature[..., 1]
        right[..., -1] -= curvature[..., -2]
        diagonal, beside, _ = pttrf(np.full(frames - 4, 4.0), np.ones(max(1, frames - 5)))
        solved, _ = pttrs(diagonal, beside, right.reshape(-1, frames - 4).T, overwrite_b=True)
        curvature[..., 2:-2] = solved.T.reshape(right.shape)
    curvature[..., 0] = 2 * curvature[..., 1] - curvature[..., 2]
    curvature[..., -1] = 2 * curvature[..., -2] - curvature[..., -3]
    before = np.clip(at.astype(np.intp), 0, frames - 2)
    share = at - before
    rest = 1 - share
    result, term = np.empty((*tracks.shape[:2], len(at))), np.empty((*tracks.shape[:2], len(at)))
    np.multiply(np.take(tracks, before, axis=2, out=result, mode="clip"), rest, out=result)
    later = before + 1
    for source, places, weights in (
        (tracks, later, share),
        (curvature, before, (rest * rest - 1) * rest / 6),
        (curvature, later, (share * share - 1) * share / 6),
    ):
        np.multiply(np.take(source, places, axis=2, out=term, mode="clip"), weights, out=term)
        result += term
    return result


def _passed(before: Array, after: Array, fps: float) -> Array:
    """Return (N, T) the share in [0, 1] of the acceleration's local energy that is left, 1 where there was none."""
    if before.shape[2] < 3:
        return np.ones((len(before), before.shape[2]))

    def energy(tracks: Array) -> Array:
        squares = np.square(np.diff(tracks, n=2)).sum(axis=1)
        squares = np.concatenate([squares[:, :1], squares, squares[:, -1:]], axis=1)
        return gaussian(squares, _DETAIL_SECONDS * fps)

    had = energy(before)
    return np.clip(np.divide(energy(after), had, out=np.ones_like(had), where=had > 0), 0.0, 1.0)
