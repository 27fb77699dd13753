"""Matrices (3, 3, t) of bones over t frames, frames last: sums and products without BLAS, which Blender's NumPy lacks.

Columns are the bone's axes, y along it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Axes nearer to a right angle than this cosine are left alone, as Blender does.
_NO_SHEAR = 1e-4


def without_shear(matrix: Array, *, normalize: bool) -> Array:
    """Return matrices (3, 3, t) made orthogonal about their y axis: x and z give way by the same angle.

    Of the same volume, or with ``normalize`` a rotation (Blender's ``orthogonalize_m4_stable``).
    """
    y, x, z = matrix[:, 1], matrix[:, 0], matrix[:, 2]
    square = floor((y * y).sum(0))
    x, z = (v - y * ((v * y).sum(0) / square) for v in (x, z))
    long_x, long_z = np.sqrt((x * x).sum(0)), np.sqrt((z * z).sum(0))
    unit_x, unit_z = x / floor(long_x), z / floor(long_z)
    cosine = np.clip((unit_x * unit_z).sum(0), -1, 1)
    sheared = (abs(cosine) > _NO_SHEAR) & (abs(cosine) < 1 - 1e-7)
    angle = np.arccos(cosine)
    half = angle + (np.pi / 2 - angle) / 2
    across = unit_x - unit_z * cosine
    new_x = across * (np.sin(half) / floor(np.sqrt((across * across).sum(0)))) + unit_z * np.cos(half)
    new_z = unit_z - new_x * (unit_z * new_x).sum(0)
    new_z = new_z / floor(np.sqrt((new_z * new_z).sum(0)))
    unit_x, unit_z = np.where(sheared, new_x, unit_x), np.where(sheared, new_z, unit_z)
    if normalize:
        return np.stack([unit_x, y / np.sqrt(square), unit_z], axis=1)
    share = np.where(sheared, np.sqrt(np.sin(angle)), 1.0)
    return np.stack([unit_x * (long_x * share), y, unit_z * (long_z * share)], axis=1)


def quat_to_matrix(quat_wxyz: Array) -> Array:
    """Return matrices (3, 3, ...) of quaternions (4, ...) of any length; of zero half a turn about x, as Blender."""
    squares = (quat_wxyz * quat_wxyz).sum(0)
    zero = np.array([0.0, 1.0, 0.0, 0.0]).reshape(4, *[1] * squares.ndim)
    w, x, y, z = np.where(squares > 0, quat_wxyz, zero)
    s = 2 / np.where(squares > 0, squares, 1.0)
    sx, sy, sz = s * x, s * y, s * z
    xx, yy, zz, xy, xz, yz = sx * x, sy * y, sz * z, sx * y, sx * z, sy * z
    wx, wy, wz = sx * w, sy * w, sz * w
    result = np.empty((3, 3, *squares.shape))
    result[0, 0], result[0, 1], result[0, 2] = 1 - (yy + zz), xy - wz, xz + wy
    result[1, 0], result[1, 1], result[1, 2] = xy + wz, 1 - (xx + zz), yz - wx
    result[2, 0], result[2, 1], result[2, 2] = xz - wy, yz + wx, 1 - (xx + yy)
    return result


def product(a: Array, b: Array) -> Array:
    """Return a @ b of (3, 3, t)."""
    return a[:, 0, None] * b[0] + a[:, 1, None] * b[1] + a[:, 2, None] * b[2]


def apply(a: Array, v: Array) -> Array:
    """Return a @ v of (3, 3, t) and (3, t)."""
    return a[:, 0] * v[0] + a[:, 1] * v[1] + a[:, 2] * v[2]


def volume(m: Array) -> Array:
    """Return the determinants (t,) of (3, 3, t)."""
    return (m[:, 0] * np.cross(m[:, 1], m[:, 2], axis=0)).sum(0)


def sizes(matrix: Array) -> Array:
    """Return the lengths (3, t) of the columns of (3, 3, t)."""
    return floor(np.sqrt((matrix * matrix).sum(0)))


def floor(length: Array) -> Array:
    """Return lengths that can be divided by."""
    return np.maximum(length, 1e-30)
