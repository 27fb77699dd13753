"""From whatever a caller's track is to plain vectors over time, and back.

Every refiner and filter works on one form: float64 ``(T, N, D)``, N vectors of D numbers that belong together, without
gaps. Positions have D = 2 or 3, single channels D = 1, and rotations of every kind are the nine entries of their
matrix: turning the scene or a bone's roll is then an orthogonal map of the nine numbers, which a refiner that treats
them as one vector cannot notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import _rotation_planes as planes
from smoothnet_core import rotations
from smoothnet_core._array_api import fill_along_time, is_tensor
from smoothnet_core._checks import mismatch, one_of
from smoothnet_core._polar import determinants, to_nearest_rotations
from smoothnet_core._reading import one_line

Array = NDArray[np.float64]

# Beyond this no number is a position or an angle, and its square would not be far from overflowing.
_LARGEST = 1e100
# Sine of the angle, or volume of unit edges, below which vectors no longer tell a rotation.
_DEGENERATE = 1e-6
# Rotations converted at once: their temporaries stay in the cache, and small beside the track.
_BLOCK = 2**13
# Whole turns of an angle beyond this leave no digit to the angle itself.
_LARGEST_ANGLE = 1e12

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
# Where the two vectors of a rotation's six numbers stand.
_SIX_D_VECTORS = {
    "interleaved": ([0, 2, 4], [1, 3, 5]),
    "columns": ([0, 1, 2], [3, 4, 5]),
    "rows": ([0, 1, 2], [3, 4, 5]),
}


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
    one_of("order", order, _SIX_D_VECTORS)
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

    values, valid = _to_vectors(flat, kind, order)
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
        result = _from_vectors(_blend(values, new, strength, is_rotation), flat, observed, kind, order)
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
        _put(nearest, part, entries)
    return nearest


def empty_over_time(shape: tuple[int, ...]) -> Array:
    """Return an array (T, N, D) to be written to, in memory (N, D, T)."""
    frames, count, size = shape
    return np.empty((count, size, frames)).transpose(2, 0, 1)


def to_planes(values: Array) -> Array:
    """Return a copy (D, M) of values (T, N, D) with all vectors' first numbers in a row, then the second, ..."""
    return np.array(values.transpose(2, 1, 0), order="C").reshape(values.shape[2], -1)


def from_planes(entries: Array, frames: int) -> Array:
    """Return the values (T, N, D), a view, whose :func:`to_planes` are ``entries`` (D, T N)."""
    return entries.reshape(len(entries), entries.shape[1] // max(1, frames), frames).transpose(2, 1, 0)


def _put(values: Array, part: tuple[slice, slice], entries: Array) -> None:
    target = values[part]
    target[...] = from_planes(entries, len(target))


def parts(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Yield slices of frames and vectors that cover (T, N, ...), each a few thousand vectors."""
    frames, count = shape[:2]
    together = max(1, _BLOCK // max(1, frames))
    for n in range(0, count, together):
        for t in range(0, frames, _BLOCK):
            yield slice(t, t + _BLOCK), slice(n, n + together)


def as_matrices(vectors: Array) -> Array:
    """Return (T, N, 3, 3) from the nine numbers of each rotation (T, N, 9)."""
    return vectors.reshape((*vectors.shape[:2], 3, 3))


def frame_blocks(vectors: Array) -> Iterator[slice]:
    """Yield slices that cover the frames of (T, N, ...), each a few thousand vectors."""
    step = max(1, _BLOCK // max(1, vectors.shape[1]))
    return (slice(start, start + step) for start in range(0, len(vectors), step))


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


def _to_vectors(flat: Array, kind: str, order: str) -> tuple[Array, NDArray[np.bool_]]:
    """Return (T, N, D) vectors and where they are usable: numbers, and for rotations not degenerate."""
    if kind == "channels":
        flat = flat[..., None]
    valid = np.empty(flat.shape[:2], bool)
    if kind in ("channels", "position"):
        vectors = empty_over_time(flat.shape)
        vectors[...] = flat
        return vectors, np.asarray((np.abs(flat) < _LARGEST).all(axis=-1))
    vectors = empty_over_time((*flat.shape[:2], 9))
    for part in parts(flat.shape):
        piece = flat[part]
        if kind == "rotation_6d":
            matrices, valid[part] = _six_d_to_matrices(piece, order)
            vectors[part] = matrices.reshape((*piece.shape[:2], 9))
            continue
        entries, usable = _PLANES[kind](to_planes(piece.reshape(*piece.shape[:2], -1)))
        _put(vectors, part, entries)
        valid[part] = usable.reshape(piece.shape[1], piece.shape[0]).T
    return vectors, valid


def _axis_angles_to_planes(given: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return matrices (9, M) of rotation vectors (3, M), and which of them are some; overwrites what is given."""
    valid = np.abs(given).max(axis=0) < _LARGEST
    given[:, ~valid] = 0.0
    far = np.sqrt(np.square(given).sum(axis=0)) >= _LARGEST_ANGLE
    given[:, far] = 0.0
    return planes.matrix_of_quat(planes.quat_of_axis_angle(given)), valid & ~far


def _quats_to_planes(given: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return matrices (9, M) of quaternions (4, M), and which of them are some; overwrites what is given."""
    peak = np.abs(given).max(axis=0)
    valid = (peak < _LARGEST) & (peak > 0)
    given[:, ~valid] = 1.0
    return planes.matrix_of_quat(given), valid


def _matrices_to_planes(given: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return the rotations nearest to matrices (9, M), and which are usable; overwrites what is given."""
    peak = np.abs(given).max(axis=0)
    valid = (peak < _LARGEST) & (peak > 0)
    given[:, ~valid] = np.eye(3).reshape(9, 1)
    # At size 1 no product overflows or vanishes.
    given /= np.where(valid, peak, 1.0)
    # Two dependent columns leave the nearest rotation undefined; so does a reflection.
    edges = np.square(given).reshape(3, 3, -1).sum(axis=0).prod(axis=0)
    valid &= determinants(given) > _DEGENERATE * np.sqrt(edges)
    given[:, ~valid] = np.eye(3).reshape(9, 1)
    nearest = given.copy()
    found = to_nearest_rotations(nearest)
    if not found.all():
        nearest[:, ~found] = rotations.project_to_so3(given[:, ~found].T.reshape(-1, 3, 3)).reshape(-1, 9).T
    return nearest, valid


_PLANES = {
    "axis_angle": _axis_angles_to_planes,
    "quat_wxyz": _quats_to_planes,
    "rotation_matrix": _matrices_to_planes,
}


def _six_d_to_matrices(flat: Array, order: str) -> tuple[Array, NDArray[np.bool_]]:
    peak = np.abs(flat).max(axis=2)
    valid = np.asarray((peak < _LARGEST) & (peak > 0))
    # They mean the same at any size; at size 1 no product of theirs overflows or vanishes.
    safe = np.where(valid[..., None], flat, 0.0) / np.where(valid, peak, 1.0)[..., None]
    first, second = (safe[..., index] for index in _SIX_D_VECTORS[order])
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    # Two vectors span a plane unless one vanishes or they are parallel.
    valid &= np.linalg.norm(np.cross(first, second), axis=-1) > _DEGENERATE * lengths
    identity = rotations.matrix_to_rotation_6d(np.eye(3), order)
    return rotations.rotation_6d_to_matrix(np.where(valid[..., None], safe, identity), order), valid


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
        _put(result, part, planes.between(to_planes(old[part]), to_planes(new[part]), strength))
    return result


def _from_vectors(vectors: Array, flat: Array, observed: NDArray[np.bool_], kind: str, order: str) -> Array:
    """Return (T, N, ...) values of the kind from vectors (T, N, D), written the way the caller wrote them."""
    if kind == "channels":
        return vectors[..., 0].copy()
    if kind == "position":
        return vectors.copy()
    if kind == "rotation_matrix":
        return as_matrices(vectors).copy()
    result = np.empty(flat.shape)
    if kind == "rotation_6d":
        for rows in frame_blocks(vectors):
            result[rows] = rotations.matrix_to_rotation_6d(as_matrices(vectors[rows]), order)
        return result
    # In gaps the caller's way is that of the frame before.
    written = flat if observed.all() else np.nan_to_num(fill_along_time(np.where(observed[..., None], flat, np.nan)))
    if kind == "axis_angle":
        for part in parts(vectors.shape):
            quats = planes.quat_of_matrix(to_planes(vectors[part]))
            _put(result, part, planes.axis_angle_of_quat(quats, to_planes(written[part])))
        return result
    together = max(1, _BLOCK // max(1, len(vectors)))
    for start in range(0, vectors.shape[1] if len(vectors) else 0, together):
        # Whole curves: signs are a matter of these.
        own = (slice(None), slice(start, start + together))
        quats = from_planes(planes.quat_of_matrix(to_planes(vectors[own])), len(vectors))
        result[own] = _continuous_like_first(quats, written[own][:1])
    return result


def _continuous_like_first(quat_wxyz: Array, reference: Array) -> Array:
    """Turn the signs of quaternions (T, N, 4), in place, so that curves have no jumps.

    Each starts on the hemisphere of the caller's first frame (1, N, 4).
    """
    signs = np.ones(quat_wxyz.shape[:2])
    opposite = _dots(quat_wxyz[1:], quat_wxyz[:-1]) < 0
    signs[1:] -= 2 * (np.cumsum(opposite, axis=0) % 2)
    signs *= np.where(_dots(reference, quat_wxyz[:1]) < 0, -1.0, 1.0)
    quat_wxyz *= signs[..., None]
    return quat_wxyz


def _dots(first: Array, second: Array) -> Array:
    """Return (T, N) products of vectors (T, N, 4)."""
    a, b = first, second
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2] + a[..., 3] * b[..., 3]
