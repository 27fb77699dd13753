"""Errors of an estimated motion against the truth, and how much it jitters and keeps its speed.

Positions are (T, J, 3) in metres and errors come out in millimetres; 2D positions are (T, J, 2) in pixels and stay so.
The errors are one value a frame, so that :func:`mean` and :func:`worst` (the worst 1 % of frames) apply to each. NumPy
arrays and torch tensors are read; results are float64 NumPy arrays. A joint that is NaN on either side, or that
``mask`` (True = counts; (T,) or (T, J)) leaves out, does not count; a frame of which nothing is left is NaN. The errors
are those of SmoothNet (ECCV 2022), save that its published code averages Accel over two frames of zeros more:
``accel(...).sum() / T``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import rotations
from smoothnet_core._array_api import Array, to_numpy
from smoothnet_core._checks import mismatch, one_of
from smoothnet_core._reading import one_line
from smoothnet_core.tracks import number

Values = NDArray[np.float64]
Root = Sequence[int] | None

_MM = 1000.0


def mean(values: Values) -> float:
    """Return the mean of the values that are not NaN; NaN where there are none."""
    return float(_mean_over(np.asarray(values, np.float64).ravel()))


def worst(values: Values, percent: float = 1.0) -> float:
    """Return the mean of the largest ``percent`` of the values (at least one of them), NaN left out."""
    if not 0 < percent <= 100:
        raise mismatch("percent", "above 0, at most 100", percent)
    values = np.asarray(values, np.float64).ravel()
    known = np.sort(values[~np.isnan(values)])
    return mean(known[len(known) - math.ceil(len(known) * percent / 100) :])


def mpjpe(predicted: Array, groundtruth: Array, *, root: Root = None, mask: Array | None = None) -> Values:
    """Return the mean distance (T,) in mm between joints of (T, J, 3) in metres.

    Args:
        predicted: the estimate.
        groundtruth: the truth.
        root: joints whose mean position is first subtracted, on each side from its own; a frame in which one of them
            does not count is NaN. None subtracts nothing.
        mask: which frames (T,) or joints (T, J) count.

    Raises:
        ValueError: the shapes are not as said, or ``root`` names no joint.
    """
    return _MM * _error(*_pair(predicted, groundtruth, 3, root, mask), 0)


def pa_mpjpe(predicted: Array, groundtruth: Array, *, mask: Array | None = None) -> Values:
    """Return the mean distance (T,) in mm between joints (T, J, 3) after the best similarity transform of each frame.

    Rotation without reflection, scale and translation as in S. Umeyama, "Least-squares estimation of transformation
    parameters between two point patterns", PAMI 1991, over the joints that count. Where all predicted joints fall into
    one point there is no scale to find, and they are compared at the mean of the truth.
    """
    a, b = _pair(predicted, groundtruth, 3, None, mask)
    counts = ~np.isnan(a[..., 0])
    weight = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    a, b = np.nan_to_num(a), np.nan_to_num(b)
    a = a - np.einsum("tj,tjc->tc", weight, a)[:, None]
    b = b - np.einsum("tj,tjc->tc", weight, b)[:, None]
    u, s, vh = np.linalg.svd(np.einsum("tj,tjc,tjd->tcd", weight, b, a))
    mirrored = np.linalg.det(u @ vh) < 0
    s[mirrored, 2] *= -1
    u[mirrored, :, 2] *= -1
    spread = np.einsum("tj,tjc->t", weight, a**2)
    scale = np.where(spread > 0, s.sum(1) / np.where(spread > 0, spread, 1.0), 0.0)
    aligned = scale[:, None, None] * (a @ (u @ vh).swapaxes(-1, -2))
    return _MM * _mean_over(np.where(counts, np.linalg.norm(aligned - b, axis=-1), np.nan))


def accel(
    predicted: Array,
    groundtruth: Array,
    *,
    root: Root = None,
    mask: Array | None = None,
    per: str = "frame2",
    fps: float | None = None,
) -> Values:
    """Return the mean length (T-2,) of the difference of second differences of (T, J, 3) in metres.

    In mm/frame^2, or with ``per="second2"``, which needs ``fps``, in mm/s^2; other arguments as in :func:`mpjpe`.
    """
    return _MM * _rate(per, "frame2", "second2", fps, 2) * _error(*_pair(predicted, groundtruth, 3, root, mask), 2)


def mpjve(
    predicted: Array,
    groundtruth: Array,
    *,
    root: Root = None,
    mask: Array | None = None,
    per: str = "frame",
    fps: float | None = None,
) -> Values:
    """Return the mean length (T-1,) of the difference of first differences of (T, J, 3) in metres.

    In mm/frame, or with ``per="second"``, which needs ``fps``, in mm/s; other arguments as in :func:`mpjpe`.
    """
    return _MM * _rate(per, "frame", "second", fps, 1) * _error(*_pair(predicted, groundtruth, 3, root, mask), 1)


def mpvpe(predicted: Array, groundtruth: Array, *, mask: Array | None = None) -> Values:
    """Return the mean distance (T,) in mm between the vertices (T, V, 3) of two bodies, in metres.

    A body has no root among its vertices: subtract the root joint beforehand where the protocol does.
    """
    return mpjpe(predicted, groundtruth, mask=mask)


def pixel_error(predicted: Array, groundtruth: Array, *, root: Root = None, mask: Array | None = None) -> Values:
    """Return the mean distance (T,) in pixels between joints (T, J, 2); arguments as in :func:`mpjpe`."""
    return _error(*_pair(predicted, groundtruth, 2, root, mask), 0)


def pixel_accel(predicted: Array, groundtruth: Array, *, root: Root = None, mask: Array | None = None) -> Values:
    """Return the mean length (T-2,) in pixels/frame^2 of the difference of second differences of joints (T, J, 2)."""
    return _error(*_pair(predicted, groundtruth, 2, root, mask), 2)


def geodesic_degrees(predicted: Array, groundtruth: Array, *, mask: Array | None = None) -> Values:
    """Return the mean angle (T,) in degrees between rotations (T, J, 3, 3)."""
    a, b = _arrays(predicted, groundtruth, (3, 3))
    angles = np.degrees(rotations.geodesic_angle(a, b))
    return _mean_over(np.where(_counted(mask, angles.shape), angles, np.nan))


def jitter_ratio(output: Array, reference: Array) -> float:
    """Return the mean length of the second differences of ``output`` (T, J, D) over that of ``reference``.

    Only what neither side has as NaN counts; NaN where nothing does or where the reference does not move.
    """
    a, b = _arrays(output, reference, None)
    a, b = (np.linalg.norm(np.diff(x, 2, axis=0), axis=-1) for x in _known_on_both(a, b))
    return _ratio(mean(a), mean(b))


def speed_ratio(output: Array, reference: Array, quantile: float = 0.95, joints: Sequence[int] | None = None) -> float:
    """Return how fast ``output`` (T, J, D) is at its fastest over how fast ``reference`` is.

    The speed of a joint at its fastest is the ``quantile`` of its speeds over frames; these are averaged over
    ``joints`` (wrists and ankles, say; None: all). Below 1, fast movement was flattened. Only what neither side has as
    NaN counts; NaN where nothing does or where the reference does not move.
    """
    if not 0 <= quantile <= 1:
        raise mismatch("quantile", "a number from 0 to 1", quantile)
    a, b = _arrays(output, reference, None)
    if joints is not None:
        _check_joints("joints", joints, a.shape[1])
        a, b = a[:, list(joints)], b[:, list(joints)]
    a, b = (np.linalg.norm(np.diff(x, axis=0), axis=-1) for x in _known_on_both(a, b))
    seen = np.isfinite(a).any(0)
    a, b = (float(np.nanquantile(x[:, seen], quantile, axis=0).mean()) if seen.any() else math.nan for x in (a, b))
    return _ratio(a, b)


# By the names the command line reports; each is called with (predicted, groundtruth, root, mask, fps).
Metric = Callable[[Array, Array, Root, "Array | None", "float | None"], Values]
METRICS: dict[str, Metric] = {
    "mpjpe_mm": lambda p, g, root, mask, fps: mpjpe(p, g, root=root, mask=mask),
    "pa_mpjpe_mm": lambda p, g, root, mask, fps: pa_mpjpe(p, g, mask=mask),
    "accel_mm_per_frame2": lambda p, g, root, mask, fps: accel(p, g, root=root, mask=mask),
    "accel_mm_per_second2": lambda p, g, root, mask, fps: accel(p, g, root=root, mask=mask, per="second2", fps=fps),
    "mpjve_mm_per_frame": lambda p, g, root, mask, fps: mpjve(p, g, root=root, mask=mask),
    "mpjve_mm_per_second": lambda p, g, root, mask, fps: mpjve(p, g, root=root, mask=mask, per="second", fps=fps),
}
PIXEL_METRICS: dict[str, Metric] = {
    "error_px": lambda p, g, root, mask, fps: pixel_error(p, g, root=root, mask=mask),
    "accel_px_per_frame2": lambda p, g, root, mask, fps: pixel_accel(p, g, root=root, mask=mask),
}


def _arrays(predicted: Any, groundtruth: Any, trailing: tuple[int, ...] | None) -> tuple[Values, Values]:
    """Return both sides as float64 (T, J, ...), of equal shape and with the trailing axes given."""
    a, b = (_numbers(x) for x in (predicted, groundtruth))
    wanted = "D" if trailing is None else ", ".join(map(str, trailing))
    if a.ndim != 2 + (1 if trailing is None else len(trailing)) or (trailing is not None and a.shape[2:] != trailing):
        raise mismatch("shape of the estimate", f"(T, J, {wanted})", a.shape)
    if a.shape != b.shape:
        raise mismatch("shape of the truth", f"{a.shape}, as the estimate", b.shape)
    return a, b


def _numbers(values: Any) -> Values:
    array = np.asarray(to_numpy(values))
    if array.dtype.kind not in "fiub":
        raise mismatch("a metric's input", "an array of real numbers", f"dtype {array.dtype}")
    return array.astype(np.float64, copy=False)


def _pair(predicted: Any, groundtruth: Any, size: int, root: Root, mask: Any) -> tuple[Values, Values]:
    """Return both sides (T, J, size) relative to their roots, both NaN where a joint does not count."""
    a, b = _arrays(predicted, groundtruth, (size,))
    hidden = np.where(_counted(mask, a.shape[:2]), 0.0, np.nan)[..., None]
    a, b = _known_on_both(a + hidden, b)
    if root is None:
        return a, b
    _check_joints("root", root, a.shape[1])
    return a - a[:, list(root)].mean(1, keepdims=True), b - b[:, list(root)].mean(1, keepdims=True)


def _counted(mask: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if mask is None:
        return np.ones(shape, bool)
    counted = np.asarray(to_numpy(mask), bool)
    if counted.shape not in (shape, shape[:1]):
        raise mismatch("shape of mask", f"{shape[:1]} or {shape}", counted.shape)
    return np.broadcast_to(counted.reshape(-1, 1) if counted.ndim == 1 else counted, shape)


def _check_joints(what: str, joints: Sequence[int], count: int) -> None:
    given = np.asarray(joints)
    if given.ndim != 1 or not given.size or given.dtype.kind not in "iu" or not ((given >= 0) & (given < count)).all():
        raise mismatch(what, f"indices from 0 to {count - 1}", one_line(joints, 80))


def _known_on_both(a: Values, b: Values) -> tuple[Values, Values]:
    known = np.isfinite(a).all(-1, keepdims=True) & np.isfinite(b).all(-1, keepdims=True)
    return np.where(known, a, np.nan), np.where(known, b, np.nan)


def _error(a: Values, b: Values, order: int) -> Values:
    """Return the mean length over joints of the differences of that order of ``a - b``."""
    return _mean_over(np.linalg.norm(np.diff(a - b, order, axis=0), axis=-1))


def _mean_over(values: Values) -> Values:
    """Return the mean over the last axis without the NaN in it; NaN where nothing is left."""
    known = ~np.isnan(values)
    count = known.sum(-1)
    return np.where(count > 0, np.where(known, values, 0.0).sum(-1) / np.maximum(count, 1), np.nan)


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else math.nan


def _check_fps(fps: float | None) -> float:
    expected = "a positive number of frames a second"
    rate = number("fps", expected, fps)
    if not (math.isfinite(rate) and rate > 0):
        raise mismatch("fps", expected, fps)
    return rate


def _rate(per: str, frame: str, second: str, fps: float | None, power: int) -> float:
    return 1.0 if one_of("per", per, (frame, second)) == frame else _check_fps(fps) ** power
