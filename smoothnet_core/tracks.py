"""From whatever a caller's track is to plain vectors over time, and back.

Every refiner and filter works on one form: float64 ``(T, N, D)``, N vectors of D numbers that belong together, without
gaps. Positions have D = 2 or 3, single channels D = 1, and rotations of every kind are the nine entries of their
matrix: turning the scene or a bone's roll is then an orthogonal map of the nine numbers, which a refiner that treats
them as one vector cannot notice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import _rotation_planes as planes
from smoothnet_core import rotations
from smoothnet_core._array_api import is_tensor
from smoothnet_core._checks import mismatch, one_of
from smoothnet_core._polar import to_nearest_rotations
from smoothnet_core._reading import one_line
from smoothnet_core._vectors import (
    SIX_D_VECTORS,
    empty_over_time,
    from_vectors,
    parts,
    put,
    to_planes,
    to_vectors,
)

Array = NDArray[np.float64]


# More frames a second than this leave no digits to a time stamp.
FASTEST_FPS = 1_000_000

# How many trailing axes hold one value, and which lengths they may have.
_VALUE_AXES: dict[str, tuple[tuple[int, ...], ...]] = {
    "position": ((2,), (3,)),
    "rotation_6d": ((6,),),
    "rotation_matrix": ((3, 3),),
    "quat_wxyz": ((4,),),
    "axis_angle": ((3,),),
    "channels": ((),),
}
KINDS = tuple(_VALUE_AXES)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A track as float64 vectors over time, and the way back.

    Attributes:
        values: (T, N, D) without gaps: what was not observed is interpolated in time, or held at the ends. In memory
            each number of each vector lies by itself over time: everything that is done along time is then faster.
        observed: (T, N) True where the caller's numbers were used.
        confidence: (T, N) in [0, 1], or None where the caller gave none, or nothing but 0.
        never_observed: (N,) True for vectors that no frame shows; they follow the mean of the others.
        is_rotation: the vectors are rotation matrices, row by row.
        restore: ``restore(new_values, strength)``: the caller's own type, dtype, shape and kind. The new values of
            rotations are rotations (see :func:`settled`).
    """

    values: Array
    observed: NDArray[np.bool_]
    confidence: Array | None
    never_observed: NDArray[np.bool_]
    is_rotation: bool
    restore: Callable[[Array, float], Any]


def prepare(track: Any, *, kind: str, order: str = "columns", mask: Any = None, confidence: Any = None) -> Prepared:
    """Read a caller's track.

    Args:
        track: (T, ...) NumPy array or torch tensor of floats; the last axes as ``kind`` says. Not observed are NaN,
            infinities, numbers beyond 1e100 (angles beyond 1e12), and rotations that are none: a quaternion of zeros,
            parallel vectors, a mirrored matrix.
        kind: one of ``KINDS``.
        order: order of the six numbers of ``rotation_6d``.
        mask: True = observed; shape (T,), (T, J) or the track's.
        confidence: in [0, 1], shape (T,), (T, J) or the track's; NaN counts as 0, and 0 as not observed, unless all
            of it is 0.

    Raises:
        ValueError: a shape, dtype, kind or range is not as above, or not one value of the track is observed.
    """
    one_of("kind", kind, KINDS)
    one_of("order", order, SIX_D_VECTORS)
    if not is_tensor(track) and (not isinstance(track, np.ndarray) or isinstance(track, np.ma.MaskedArray)):
        raise mismatch("track", "a NumPy array or a torch tensor", f"a {type(track).__name__}")
    original = _to_numpy(track, "track")
    if original.ndim < 1 or original.dtype.kind != "f":
        raise mismatch("track", "an array (T, ...) of floats", f"shape {original.shape}, dtype {original.dtype}")
    axes = _value_axes(original.shape, kind)
    lead = original.shape[: original.ndim - axes]
    frames = original.shape[0]
    count = int(np.prod(lead[1:], dtype=np.int64))
    flat = original.astype(np.float64, copy=False).reshape((frames, count, *original.shape[len(lead) :]))

    values, valid = to_vectors(flat, kind, order)
    observed = valid & _spread("mask", mask, original.shape, lead, bool, np.logical_and.reduce)
    trust = None
    if confidence is not None:
        trust = _spread("confidence", confidence, original.shape, lead, float, np.minimum.reduce)
        trust = np.nan_to_num(trust, nan=0.0)
        if trust.size and (trust.min() < 0 or trust.max() > 1):
            raise mismatch("confidence", "values in [0, 1]", f"{trust.min():g} to {trust.max():g}")
        if trust.any():
            observed &= trust > 0
        else:
            trust = None
    never = np.asarray(~observed.any(axis=0))
    if frames and count and never.all():
        what = "NaN or masked" if kind in ("position", "channels", "axis_angle") else "NaN, masked or no rotation"
        raise mismatch("track", "at least one observed value", f"none: all of it is {what}")
    is_rotation = values.shape[-1] == 9
    _fill(values, observed, never, is_rotation)

    def restore(new: Array, strength: float) -> Any:
        result = from_vectors(_blend(values, new, strength, is_rotation), flat, observed, kind, order)
        # A joint that did not change keeps its very bits, which a trip through matrices would not.
        same = observed if not strength else observed & _equal_over_time(new, values)
        if same.any():
            result[same] = flat[same]
        return _like(result.reshape(original.shape), track)

    return Prepared(values, observed, trust, never, is_rotation, restore)


def settled(vectors: Array, is_rotation: bool) -> Array:
    """Return (T, N, D) the vectors, or for rotations the nearest rotations."""
    if not is_rotation:
        return vectors
    nearest = empty_over_time(vectors.shape)
    for part in parts(vectors.shape):
        entries = to_planes(vectors[part])
        found = to_nearest_rotations(entries)
        if not found.all():
            given = to_planes(vectors[part])[:, ~found].T.reshape(-1, 3, 3)
            entries[:, ~found] = rotations.project_to_so3(given).reshape(-1, 9).T
        put(nearest, part, entries)
    return nearest


def number(what: str, expected: str, value: Any) -> float:
    """Return ``value``, one number of Python, NumPy or torch, as a float, or raise the ``ValueError`` that says so."""
    try:
        if np.ndim(value) == 0 and not isinstance(value, (str, bytes)):
            return float(value)
    except (TypeError, ValueError):
        pass
    raise mismatch(what, expected, one_line(repr(value), 80))


def checked_strength(strength: float) -> float:
    """Return ``strength`` as a float in [0, 1], or raise the ``ValueError`` that says so."""
    expected = "a number from 0 to 1"
    value = number("strength", expected, strength)
    if not 0.0 <= value <= 1.0:
        raise mismatch("strength", expected, strength)
    return value


def _to_numpy(value: Any, what: str) -> NDArray[Any]:
    if is_tensor(value):
        value = value.detach().cpu()
        return (value.double() if value.is_floating_point() else value).numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "fbiu":
        raise mismatch(what, "an array of numbers", f"dtype {array.dtype}")
    return array


def _like(result: Array, track: Any) -> Any:
    """Return ``result``, which may be overwritten, as an array or tensor like the caller's; finite in its dtype too."""
    if is_tensor(track):
        import torch

        limit = torch.finfo(track.dtype).max
        result = np.clip(np.ascontiguousarray(result), -limit, limit, out=result)
        return torch.from_numpy(result).to(track.dtype).to(track.device)
    if track.dtype.itemsize < result.itemsize:
        limit = float(np.finfo(track.dtype).max)
        np.clip(result, -limit, limit, out=result)
    return result.astype(track.dtype)


def _value_axes(shape: tuple[int, ...], kind: str) -> int:
    """Return how many trailing axes hold one value of this kind."""
    choices = _VALUE_AXES[kind]
    axes = len(choices[0])
    if len(shape) <= axes or shape[len(shape) - axes :] not in choices:
        wanted = " or ".join(f"(T, ..., {', '.join(map(str, c))})" if c else "(T, ...)" for c in choices)
        raise mismatch(f"shape of a {kind} track", wanted, shape)
    return axes


def _spread(
    what: str,
    given: Any,
    shape: tuple[int, ...],
    lead: tuple[int, ...],
    dtype: type,
    merge: Callable[..., Any],
) -> NDArray[Any]:
    """Bring a mask or confidence to (T, N); a value's own components are merged into one."""
    count = int(np.prod(lead[1:], dtype=np.int64))
    if given is None:
        return np.ones((lead[0], count), dtype)
    array = _to_numpy(given, what)
    if dtype is bool and array.dtype != bool and not np.isin(array, (0, 1)).all():
        raise mismatch(what, "True or False", f"other numbers, dtype {array.dtype}")
    array = array.astype(dtype)
    if array.ndim == 0 or array.ndim > len(shape) or array.shape != shape[: array.ndim]:
        raise mismatch(f"shape of {what}", f"(T,), (T, J) or the track's {shape}", array.shape)
    if array.ndim > len(lead):
        array = merge(array, axis=tuple(range(len(lead), array.ndim)))
    array = array.reshape(array.shape + (1,) * (len(lead) - array.ndim))
    return np.broadcast_to(array, lead).reshape(lead[0], count)


def _equal_over_time(first: Array, second: Array) -> NDArray[np.bool_]:
    """Return (N,) which vectors (T, N, D) are the same in every frame."""
    # One frame tells it of nearly all.
    same = (first[-1] == second[-1]).all(axis=1) if len(first) else np.ones(first.shape[1], bool)
    for n in np.flatnonzero(same):
        same[n] = np.array_equal(first[:, n], second[:, n])
    return same


def _fill(values: Array, observed: NDArray[np.bool_], never: NDArray[np.bool_], is_rotation: bool) -> None:
    """Interpolate in place and in time what was not observed; hold the first and last observed value at the ends."""
    if not len(values):
        return
    joints = np.flatnonzero(~observed.all(axis=0) & ~never)
    seen, time = observed[:, joints], np.arange(len(values))[:, None]
    before = np.maximum.accumulate(np.where(seen, time, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen, time, len(values))[::-1], axis=0)[::-1]
    t, n = np.nonzero(~seen)
    left, right = before[t, n], after[t, n]
    left, right = np.where(left < 0, right, left), np.where(right == len(values), left, right)
    share = (t - left) / np.maximum(right - left, 1)
    low, high = values[left, joints[n]], values[right, joints[n]]
    if is_rotation:
        between = rotations.interpolate(low.reshape(-1, 3, 3), high.reshape(-1, 3, 3), share).reshape(-1, 9)
    else:
        between = low + share[:, None] * (high - low)
    values[t, joints[n]] = between
    if never.any() and not never.all():
        values[:, never] = settled(values[:, ~never].mean(axis=1, keepdims=True), is_rotation)


def _blend(old: Array, new: Array, strength: float, is_rotation: bool) -> Array:
    if strength == 1.0:
        return new
    if not is_rotation:
        return old + strength * (new - old)
    result = empty_over_time(old.shape)
    for part in parts(old.shape):
        put(result, part, planes.between(to_planes(old[part]), to_planes(new[part]), strength))
    return result
