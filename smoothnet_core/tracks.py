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

from smoothnet_core import rotations
from smoothnet_core._array_api import is_tensor
from smoothnet_core._checks import mismatch, one_of

Array = NDArray[np.float64]

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
        values: (T, N, D) without gaps: what was not observed is interpolated in time, or held at the ends.
        observed: (T, N) True where the caller's numbers were used.
        confidence: (T, N) in [0, 1], or None where the caller gave none.
        never_observed: (N,) True for vectors that no frame shows; they follow the mean of the others.
        is_rotation: the vectors are rotation matrices, row by row.
        restore: ``restore(new_values, strength)``: the caller's own type, dtype, shape and kind.
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
        track: (T, ...) NumPy array or torch tensor of floats; the last axes as ``kind`` says. NaN is not observed.
        kind: one of ``KINDS``.
        order: order of the six numbers of ``rotation_6d``.
        mask: True = observed; shape (T,), (T, J) or the track's.
        confidence: in [0, 1], shape (T,), (T, J) or the track's; NaN counts as 0.

    Raises:
        ValueError: a shape, dtype, kind or range is not as above, or not one value of the track is observed.
    """
    one_of("kind", kind, KINDS)
    one_of("order", order, _SIX_D_VECTORS)
    original = _to_numpy(track, "track")
    if original.ndim < 1 or original.dtype.kind != "f":
        raise mismatch("track", "an array (T, ...) of floats", f"shape {original.shape}, dtype {original.dtype}")
    axes = _value_axes(original.shape, kind)
    lead = original.shape[: original.ndim - axes]
    frames = original.shape[0]
    count = int(np.prod(lead[1:], dtype=np.int64))
    flat = original.astype(np.float64).reshape((frames, count, *original.shape[len(lead) :]))

    values, valid = _to_vectors(flat, kind, order)
    observed = valid & _spread("mask", mask, original.shape, lead, bool, np.logical_and.reduce)
    trust = None
    if confidence is not None:
        trust = _spread("confidence", confidence, original.shape, lead, float, np.minimum.reduce)
        trust = np.nan_to_num(trust, nan=0.0)
        if trust.size and (trust.min() < 0 or trust.max() > 1):
            raise mismatch("confidence", "values in [0, 1]", f"{trust.min():g} to {trust.max():g}")
    never = np.asarray(~observed.any(axis=0))
    if frames and count and never.all():
        raise mismatch("track", "at least one observed value", "none: all of it is NaN or masked")
    values = _filled(values, observed, never)
    is_rotation = values.shape[-1] == 9
    if is_rotation and not observed.all():
        gaps = ~observed
        values[gaps] = rotations.project_to_so3(values[gaps].reshape(-1, 3, 3)).reshape(-1, 9)

    def restore(new: Array, strength: float) -> Any:
        result = _from_vectors(_blend(values, new, strength, is_rotation), flat, kind, order)
        # A joint that did not change keeps its very bits, which a trip through matrices would not.
        same = observed & (np.all(new == values, axis=(0, 2)) if strength else True)
        result[same] = flat[same]
        return _like(result.reshape(original.shape), track)

    return Prepared(values, observed, trust, never, is_rotation, restore)


def checked_strength(strength: float) -> float:
    """Return ``strength`` as a float in [0, 1], or raise the ``ValueError`` that says so."""
    value = float(strength)
    if not 0.0 <= value <= 1.0:
        raise mismatch("strength", "a number from 0 to 1", strength)
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
    if is_tensor(track):
        import torch

        return torch.from_numpy(np.ascontiguousarray(result)).to(device=track.device, dtype=track.dtype)
    return result.astype(np.asarray(track).dtype)


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
    array = _to_numpy(given, what).astype(dtype)
    if array.ndim == 0 or array.ndim > len(shape) or array.shape != shape[: array.ndim]:
        raise mismatch(f"shape of {what}", f"(T,), (T, J) or the track's {shape}", array.shape)
    if array.ndim > len(lead):
        array = merge(array, axis=tuple(range(len(lead), array.ndim)))
    array = array.reshape(array.shape + (1,) * (len(lead) - array.ndim))
    return np.broadcast_to(array, lead).reshape(lead[0], count)


def _to_vectors(flat: Array, kind: str, order: str) -> tuple[Array, NDArray[np.bool_]]:
    """Return (T, N, D) vectors and where they are usable: finite, and for rotations not degenerate."""
    if kind == "channels":
        return flat[..., None].copy(), np.isfinite(flat)
    if kind == "position":
        return flat.copy(), np.asarray(np.isfinite(flat).all(axis=-1))
    valid: NDArray[np.bool_] = np.asarray(np.isfinite(flat).all(axis=tuple(range(2, flat.ndim))))
    safe = np.where(valid.reshape(valid.shape + (1,) * (flat.ndim - 2)), flat, 0.0)
    if kind == "axis_angle":
        matrices = rotations.axis_angle_to_matrix(safe)
    elif kind == "quat_wxyz":
        norm = np.linalg.norm(safe, axis=-1)
        valid &= norm > 1e-8
        safe = np.where(valid[..., None], safe / np.where(valid, norm, 1.0)[..., None], [1.0, 0.0, 0.0, 0.0])
        matrices = rotations.quat_wxyz_to_matrix(safe)
    elif kind == "rotation_6d":
        first, second = (safe[..., index] for index in _SIX_D_VECTORS[order])
        # Two vectors span a plane unless one vanishes or they are parallel.
        valid &= np.linalg.norm(np.cross(first, second), axis=-1) > 1e-8
        identity = rotations.matrix_to_rotation_6d(np.eye(3), order)
        matrices = rotations.rotation_6d_to_matrix(np.where(valid[..., None], safe, identity), order)
    else:
        # Two dependent columns leave the nearest rotation undefined; so does a reflection.
        valid &= np.linalg.det(safe) > 1e-8
        matrices = rotations.project_to_so3(np.where(valid[..., None, None], safe, np.eye(3)))
    return matrices.reshape((*flat.shape[:2], 9)), valid


def _filled(values: Array, observed: NDArray[np.bool_], never: NDArray[np.bool_]) -> Array:
    """Interpolate in time what was not observed; hold the first and last observed value at the ends."""
    time = np.arange(len(values))
    for n in np.flatnonzero(~observed.all(axis=0) & ~never):
        seen, missing = time[observed[:, n]], time[~observed[:, n]]
        for d in range(values.shape[2]):
            values[missing, n, d] = np.interp(missing, seen, values[seen, n, d])
    if never.any() and len(values):
        values[:, never] = values[:, ~never].mean(axis=1, keepdims=True)
    return values


def _blend(old: Array, new: Array, strength: float, is_rotation: bool) -> Array:
    if not is_rotation:
        return new if strength == 1.0 else old + strength * (new - old)
    matrices = rotations.project_to_so3(new.reshape((*new.shape[:2], 3, 3)))
    if strength < 1.0:
        matrices = rotations.interpolate(old.reshape(matrices.shape), matrices, strength)
    return matrices.reshape(new.shape)


def _from_vectors(vectors: Array, flat: Array, kind: str, order: str) -> Array:
    if kind == "channels":
        return vectors[..., 0].copy()
    if kind == "position":
        return vectors.copy()
    matrices = vectors.reshape((*vectors.shape[:2], 3, 3))
    if kind == "rotation_matrix":
        return matrices.copy()
    if kind == "rotation_6d":
        return rotations.matrix_to_rotation_6d(matrices, order)
    if kind == "quat_wxyz":
        return _signed_like_first(rotations.continuous_quat_wxyz(rotations.matrix_to_quat_wxyz(matrices)), flat)
    return _wrapped_like(rotations.matrix_to_axis_angle(matrices), flat)


def _signed_like_first(quat_wxyz: Array, reference: Array) -> Array:
    """Flip whole curves so that each starts on the hemisphere of the caller's first observed frame."""
    for n in range(quat_wxyz.shape[1]):
        seen = np.flatnonzero(np.isfinite(reference[:, n]).all(axis=-1))
        if seen.size and np.dot(quat_wxyz[seen[0], n], reference[seen[0], n]) < 0:
            quat_wxyz[:, n] *= -1
    return quat_wxyz


def _wrapped_like(axis_angle: Array, reference: Array) -> Array:
    """Write each rotation as the caller wrote it: add the whole turns that bring it nearest to the caller's vector.

    So a file in which angles pass pi, or stop there, stays as it was.
    """
    angle = np.linalg.norm(axis_angle, axis=-1, keepdims=True)
    wanted = np.nan_to_num(reference)
    # A rotation by nothing has no axis of its own; whole turns are then counted about the caller's.
    along = np.where(angle > 1e-9, axis_angle, wanted)
    length = np.linalg.norm(along, axis=-1, keepdims=True)
    axis = along / np.where(length > 0, length, 1.0)
    turns = np.round(np.sum((wanted - axis_angle) * axis, axis=-1, keepdims=True) / (2 * np.pi))
    return axis_angle + 2 * np.pi * turns * axis
