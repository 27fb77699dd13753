"""From whatever a caller's track is to plain vectors over time, and back.

Every refiner and filter works on one form: float64 ``(T, N, D)``, N vectors of D numbers that belong together, without
gaps. Positions have D = 2 or 3, single channels D = 1, and rotations of every kind are the nine entries of their
matrix: turning the scene or a bone's roll is then an orthogonal map of the nine numbers, which a refiner that treats
them as one vector cannot notice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
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
VALUE_SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "position": ((2,), (3,)),
    "rotation_6d": ((6,),),
    "rotation_matrix": ((3, 3),),
    "quat_wxyz": ((4,),),
    "axis_angle": ((3,),),
    "channels": ((),),
}
KINDS = tuple(VALUE_SHAPES)
ROTATIONS = ("rotation_6d", "rotation_matrix", "quat_wxyz", "axis_angle")
# Vectors looked at, or added up, at once.
_TOGETHER = 2**16


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


@dataclass(frozen=True, eq=False)
class Given:
    """A caller's track after a first look, of which vectors are prepared some at a time.

    Attributes:
        flat: (T, N, ...) the caller's numbers.
        kind: one of ``KINDS``.
        order: order of the six numbers of ``rotation_6d``.
        mask: (T, N) True = observed, or None: all of it.
        confidence: (T, N) in [0, 1], or None where the caller gave none, or nothing but 0.
        never_observed: (N,) True for vectors that no frame shows.
    """

    flat: NDArray[Any]
    kind: str
    order: str
    mask: NDArray[np.bool_] | None
    confidence: Array | None
    never_observed: NDArray[np.bool_]

    @property
    def is_rotation(self) -> bool:
        """The vectors are rotation matrices."""
        return self.kind in ROTATIONS

    def part(self, columns: slice) -> Prepared:
        """Return the vectors of some columns; what they restore is a NumPy array (T, n, ...) of the track's dtype."""
        given = self.flat[:, columns]
        flat = given.astype(np.float64, copy=False)
        values, observed = self._vectors(flat, slice(None), columns)
        never = self.never_observed[columns]
        _fill(values, observed, never, self.is_rotation)
        if never.any():
            values[:, never] = self._stand_in

        def restore(new: Array, strength: float) -> NDArray[Any]:
            result = _blend(values, new, strength, self.is_rotation)
            result = from_vectors(result, flat, observed, self.kind, self.order)
            # A joint that did not change keeps its very bits, which a trip through matrices would not.
            same = observed if not strength else observed & _equal_over_time(new, values)
            if same.any():
                result[same] = flat[same]
            return _finite(result, given.dtype)

        trust = None if self.confidence is None else self.confidence[:, columns]
        return Prepared(values, observed, trust, never, self.is_rotation, restore)

    def shown(self, rows: slice, columns: slice = slice(None)) -> NDArray[np.bool_]:
        """Return (n,) which vectors of some columns one of these frames shows at least."""
        _, observed = self._vectors(self.flat[rows, columns].astype(np.float64, copy=False), rows, columns)
        return np.asarray(observed.any(axis=0))

    def _vectors(self, flat: Array, rows: slice, columns: slice) -> tuple[Array, NDArray[np.bool_]]:
        """Return vectors (T, n, D) and where they are observed."""
        values, observed = to_vectors(flat, self.kind, self.order)
        if self.mask is not None:
            observed = observed & self.mask[rows, columns]
        if self.confidence is not None:
            observed = observed & (self.confidence[rows, columns] > 0)
        return values, observed

    @cached_property
    def _stand_in(self) -> Array:
        """Return (T, 1, D) the mean of all vectors that some frame shows."""
        total: Any = 0.0
        step = max(1, _TOGETHER // max(1, len(self.flat)))
        shown = ~self.never_observed
        for start in range(0, self.flat.shape[1], step):
            columns = slice(start, start + step)
            flat = self.flat[:, columns].astype(np.float64, copy=False)
            values, observed = self._vectors(flat, slice(None), columns)
            _fill(values, observed, ~shown[columns], self.is_rotation)
            total = total + values[:, shown[columns]].sum(axis=1, keepdims=True)
        return settled(total / shown.sum(), self.is_rotation)


def look(track: Any, *, kind: str, order: str = "columns", mask: Any = None, confidence: Any = None) -> Given:
    """Check a caller's track; arguments and errors as :func:`prepare`."""
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
    flat = original.reshape((frames, count, *original.shape[len(lead) :]))
    seen = None if mask is None else _spread("mask", mask, original.shape, lead, bool, np.logical_and.reduce)
    trust = None
    if confidence is not None:
        trust = _spread("confidence", confidence, original.shape, lead, float, np.minimum.reduce)
        trust = np.nan_to_num(trust, nan=0.0)
        if trust.size and (trust.min() < 0 or trust.max() > 1):
            raise mismatch("confidence", "values in [0, 1]", f"{trust.min():g} to {trust.max():g}")
        if not trust.any():
            trust = None
    given = Given(flat, kind, order, seen, trust, np.zeros(count, bool))
    # What the first frame shows is shown; the others have to be looked at.
    if frames:
        for column in np.flatnonzero(~given.shown(slice(0, 1))):
            own = slice(column, column + 1)
            given.never_observed[column] = not any(
                given.shown(slice(start, start + _TOGETHER), own).any() for start in range(0, frames, _TOGETHER)
            )
    if frames and count and given.never_observed.all():
        what = "NaN or masked" if kind in ("position", "channels", "axis_angle") else "NaN, masked or no rotation"
        raise mismatch("track", "at least one observed value", f"none: all of it is {what}")
    return given


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
    whole = look(track, kind=kind, order=order, mask=mask, confidence=confidence).part(slice(None))

    def restore(new: Array, strength: float) -> Any:
        return like(whole.restore(new, strength).reshape(tuple(track.shape)), track)

    return replace(whole, restore=restore)


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


def like(result: NDArray[Any], track: Any) -> Any:
    """Return an array of the track's shape as what the track is: an array, or a tensor on its device."""
    if not is_tensor(track):
        return result
    import torch

    tensor = torch.from_numpy(np.ascontiguousarray(result))
    if tensor.dtype != track.dtype:
        limit = torch.finfo(track.dtype).max
        tensor = tensor.clamp(-limit, limit).to(track.dtype)
    return tensor.to(track.device)


def _to_numpy(value: Any, what: str) -> NDArray[Any]:
    if is_tensor(value):
        value = value.detach().cpu()
        # NumPy has no bfloat16.
        return (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "fbiu":
        raise mismatch(what, "an array of numbers", f"dtype {array.dtype}")
    return array


def _finite(result: Array, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the numbers, which may be overwritten, in a dtype, finite in it too."""
    if dtype.itemsize < result.itemsize:
        limit = float(np.finfo(dtype).max)
        np.clip(result, -limit, limit, out=result)
    return result.astype(dtype, copy=False)


def _value_axes(shape: tuple[int, ...], kind: str) -> int:
    """Return how many trailing axes hold one value of this kind."""
    choices = VALUE_SHAPES[kind]
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


def _blend(old: Array, new: Array, strength: float, is_rotation: bool) -> Array:
    if strength == 1.0:
        return new
    if not is_rotation:
        return old + strength * (new - old)
    result = empty_over_time(old.shape)
    for part in parts(old.shape):
        put(result, part, planes.between(to_planes(old[part]), to_planes(new[part]), strength))
    return result
