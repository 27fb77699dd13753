"""Euler angles in all twelve orders, intrinsic and extrinsic, on NumPy arrays and torch tensors alike.

Angles are in radians. ``axes`` names the axis of each angle in turn. Intrinsic rotations turn about the axes of the
moving body, ``R = R_1(a_1) R_2(a_2) R_3(a_3)``; extrinsic ones about the fixed axes,
``R = R_3(a_3) R_2(a_2) R_1(a_1)``. A BVH that lists ``Zrotation Xrotation Yrotation`` means ``axes="zxy"``, intrinsic.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from smoothnet_core._array_api import Array, as_arrays, cast, check_trailing, fill_along_time, to_numpy
from smoothnet_core._checks import mismatch, one_of

AXES: tuple[str, ...] = tuple(
    "".join(axes) for axes in itertools.product("xyz", repeat=3) if axes[0] != axes[1] != axes[2]
)
# Within this of gimbal lock (as a sine) the first and third angle can no longer be told apart.
_LOCK = 1e-7


def euler_to_matrix(angles: Array, axes: str = "xyz", intrinsic: bool = True) -> Array:
    """Return the matrices (..., 3, 3) of Euler angles (..., 3) in radians.

    Raises:
        ValueError: ``axes`` is not one of ``AXES``, or ``angles`` have another shape.
    """
    one_of("axes", axes, AXES)
    xp, angles = as_arrays(angles)
    check_trailing("angles", angles, 3)
    first, second, third = (_turn(xp, angles[..., i : i + 1], "xyz".index(axis)) for i, axis in enumerate(axes))
    return first @ second @ third if intrinsic else third @ second @ first


def matrix_to_euler(matrix: Array, axes: str = "xyz", intrinsic: bool = True) -> Array:
    """Return the Euler angles (..., 3) in radians of rotation matrices (..., 3, 3).

    The first and third lie in [-pi, pi], the second in [-pi/2, pi/2], or in [0, pi] where the first axis is also the
    third. At gimbal lock the angle about the outermost axis is 0 and the other takes it all. Read off
    ``R_1(-a_1) R = R_2(a_2) R_3(a_3)`` so that the angles make up the matrix however near to the lock it is.

    Raises:
        ValueError: ``axes`` is not one of ``AXES``, or ``matrix`` has another shape.
    """
    one_of("axes", axes, AXES)
    xp, m = as_arrays(matrix)
    check_trailing("matrix", m, 3, 3)
    i, j, k, parity, proper = _frame(axes if intrinsic else axes[::-1])
    if proper:
        y, x = m[..., j, i : i + 1], -parity * m[..., k, i : i + 1]
    else:
        y, x = -parity * m[..., j, k : k + 1], m[..., k, k : k + 1]
    locked = abs(y) + abs(x) < _LOCK
    a = xp.arctan2(xp.where(locked, xp.zeros_like(y), y), xp.where(locked, xp.ones_like(x), x))
    cos, sin = xp.cos(a), parity * xp.sin(a)
    row_j = cos * m[..., j, :] + sin * m[..., k, :]
    row_k = cos * m[..., k, :] - sin * m[..., j, :]
    if proper:
        b = xp.arctan2(-parity * row_k[..., i : i + 1], m[..., i, i : i + 1])
        c = xp.arctan2(-parity * row_j[..., k : k + 1], row_j[..., j : j + 1])
    else:
        b = xp.arctan2(parity * m[..., i, k : k + 1], row_k[..., k : k + 1])
        c = xp.arctan2(parity * row_j[..., i : i + 1], row_j[..., j : j + 1])
    return xp.concatenate([a, b, c] if intrinsic else [c, b, a], -1)


def continuous_euler(angles: Array, axes: str = "xyz", intrinsic: bool = True) -> Array:
    """Return Euler angles (T, ..., 3) of the same rotations in which each triple is the nearest to the one before it.

    Two triples make up a rotation, ``(a + pi, pi - b, c + pi)`` beside ``(a, b, c)`` (``-b`` where the first axis is
    also the third), and each angle may take whole turns. At gimbal lock, where only a sum or difference of the first
    and third angle counts, the first stays what it was before. The first frame is kept, NaN is passed over.

    Raises:
        ValueError: ``axes`` is not one of ``AXES``, or ``angles`` have another shape.
    """
    one_of("axes", axes, AXES)
    _, original = as_arrays(angles)
    if original.ndim < 2 or original.shape[-1] != 3:
        raise mismatch("shape of angles", "(T, ..., 3)", tuple(original.shape))
    given = to_numpy(original).astype(np.float64)
    _, _, _, parity, proper = _frame(axes)
    triple = _hold_at_lock(fill_along_time(given), parity if intrinsic else -parity, proper)
    # Changing both of two successive triples to their other form leaves their distance, so whether to change at all
    # is decided between neighbours, and a running parity gives the choice.
    same = _wrapped(triple[1:] - triple[:-1])
    other = _wrapped(_other(triple[1:], proper) - triple[:-1])
    changes = (other**2).sum(-1) < (same**2).sum(-1)
    use_other = np.zeros(triple.shape[:-1], bool)
    use_other[1:] = np.cumsum(changes, axis=0) % 2 == 1
    triple = np.where(use_other[..., None], _other(triple, proper), triple)
    turns = np.zeros(triple.shape)
    turns[1:] = np.cumsum(np.rint((triple[1:] - triple[:-1]) / (2 * math.pi)), axis=0)
    return original + cast(triple - 2 * math.pi * turns - given, original)


def _frame(axes: str) -> tuple[int, int, int, int, bool]:
    """Return the first two axes, the remaining one, the parity of the three, and whether the first is also third."""
    i, j = "xyz".index(axes[0]), "xyz".index(axes[1])
    return i, j, 3 - i - j, 1 if (j - i) % 3 == 1 else -1, axes[0] == axes[2]


def _turn(xp: Array, angle: Array, axis: int) -> Array:
    """Return the matrices (..., 3, 3) that turn by angles (..., 1) about a coordinate axis."""
    cos, sin, one, zero = xp.cos(angle), xp.sin(angle), xp.ones_like(angle), xp.zeros_like(angle)
    entries = [[zero] * 3 for _ in range(3)]
    j, k = (axis + 1) % 3, (axis + 2) % 3
    entries[axis][axis] = one
    entries[j][j] = entries[k][k] = cos
    entries[j][k], entries[k][j] = -sin, sin
    return xp.stack([xp.concatenate(row, -1) for row in entries], -2)


def _other(triple: np.ndarray, proper: bool) -> np.ndarray:
    a, b, c = triple[..., 0], triple[..., 1], triple[..., 2]
    return np.stack([a + math.pi, -b if proper else math.pi - b, c + math.pi], -1)


def _wrapped(angle: np.ndarray) -> np.ndarray:
    return angle - 2 * math.pi * np.rint(angle / (2 * math.pi))


def _hold_at_lock(triple: np.ndarray, parity: int, proper: bool) -> np.ndarray:
    """Give locked triples (T, ..., 3) the first angle of the last one that is not locked (or of frame 0)."""
    a, b, c = triple[..., 0], triple[..., 1], triple[..., 2]
    sine, cosine = np.sin(b), np.cos(b)
    # At the lock R depends on a + sign c alone: sign is that of cos(b) for a repeated axis, of sin(b) else.
    locked, sign = (abs(sine) < _LOCK, np.sign(cosine)) if proper else (abs(cosine) < _LOCK, parity * np.sign(sine))
    locked[:1] = False
    steps = np.arange(len(triple)).reshape(-1, *[1] * (locked.ndim - 1))
    held = np.take_along_axis(a, np.maximum.accumulate(np.where(locked, 0, steps), axis=0), 0)
    return np.stack([held, b, np.where(locked, c + sign * (a - held), c)], -1)
