"""Rotations of whole takes, each number of all of them in one row of memory: several times faster than one by one.

The formulas are those of :mod:`smoothnet_core.rotations`, which serves any shape and tensors too. Here a quaternion
``quat_wxyz`` is (4, M), a rotation vector (3, M), a matrix (9, M) row by row, all float64, and everything is NumPy's
arithmetic of whole rows: the NumPy inside Blender multiplies matrices slowly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Squares of smaller numbers begin to vanish.
_SMALL = 1e-100
# Rotations by less have no axis of their own.
_NO_ANGLE = 1e-9


def matrix_of_quat(quat_wxyz: Array) -> Array:
    """Return (9, M) of quaternions (4, M) of any length but zero, no number beyond 1e100."""
    peak = np.abs(quat_wxyz).max(axis=0)
    if peak.size and peak.min() < _SMALL:
        quat_wxyz = quat_wxyz / np.where(peak < _SMALL, peak, 1.0)
    w, x, y, z = quat_wxyz
    xx, yy, zz = x * x, y * y, z * z
    two = 2 / (w * w + xx + yy + zz)
    out = np.empty((9, *w.shape))
    np.subtract(1, two * (yy + zz), out=out[0])
    np.subtract(1, two * (xx + zz), out=out[4])
    np.subtract(1, two * (xx + yy), out=out[8])
    for plus, minus, a, b, c in ((3, 1, x, y, z), (2, 6, x, z, y), (7, 5, y, z, x)):
        both, turn = a * b, c * w
        np.multiply(two, both + turn, out=out[plus])
        np.multiply(two, both - turn, out=out[minus])
    return out


def quat_of_matrix(matrix: Array) -> Array:
    """Return unit quaternions (4, M), real part not negative, of rotations (9, M); Shepperd's method."""
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = matrix
    xw, yw, zw = m21 - m12, m02 - m20, m10 - m01
    xy, xz, yz = m10 + m01, m02 + m20, m12 + m21
    # Where the real part is not small, it is the one to divide by.
    outer = np.empty((4, *m00.shape))
    np.add(m00, m11, out=outer[0])
    outer[0] += m22
    outer[0] += 1
    outer[1], outer[2], outer[3] = xw, yw, zw
    rare = np.flatnonzero(outer[0] < 1)
    if rare.size:
        a, b, c = m00[rare], m11[rare], m22[rare]
        ww, xx, yy, zz = 1 + a + b + c, 1 + a - b - c, 1 - a + b - c, 1 - a - b + c
        xw, yw, zw, xy, xz, yz = (entry[rare] for entry in (xw, yw, zw, xy, xz, yz))
        rows = np.stack([[ww, xw, yw, zw], [xw, xx, xy, xz], [yw, xy, yy, yz], [zw, xz, yz, zz]])
        best = np.stack([ww, xx, yy, zz]).argmax(axis=0)
        outer[:, rare] = rows[best, :, np.arange(rare.size)].T
    factor = 1 / np.sqrt(np.square(outer).sum(axis=0))
    outer *= np.where(outer[0] < 0, -factor, factor)
    return outer


def quat_of_axis_angle(axis_angle: Array) -> Array:
    """Return unit quaternions (4, M) of rotation vectors (3, M) in radians."""
    angle = np.sqrt(np.square(axis_angle).sum(axis=0))
    still = angle == 0
    half = 0.5 * angle
    out = np.empty((4, *angle.shape))
    np.cos(half, out=out[0])
    along = np.sin(half)
    along /= np.where(still, 1.0, angle)
    along[still] = 0.5
    np.multiply(axis_angle, along, out=out[1:])
    return out


def axis_angle_of_quat(quat_wxyz: Array, like: Array) -> Array:
    """Return rotation vectors (3, M) of unit quaternions (4, M), real part not negative.

    To each are added the whole turns that bring it nearest to ``like`` (3, M); a rotation by nothing has no axis of
    its own, there they are counted about that of ``like``.
    """
    xyz = quat_wxyz[1:]
    sine = np.sqrt(np.square(xyz).sum(axis=0))
    half = np.arctan2(sine, quat_wxyz[0])
    still = sine == 0
    vectors = xyz * np.where(still, 2.0, 2 * half / np.where(still, 1.0, sine))
    turned = 2 * half > _NO_ANGLE
    axis = xyz / np.where(still, 1.0, sine)
    if not turned.all():
        length = np.sqrt(np.square(like).sum(axis=0))
        axis = np.where(turned, axis, like / np.where(length > 0, length, 1.0))
    turns = np.round(((like - vectors) * axis).sum(axis=0) / (2 * np.pi))
    if turns.any():
        vectors += 2 * np.pi * turns * axis
    return vectors


def angle_between(first: Array, second: Array) -> Array:
    """Return the angles (M,) in radians, 0 to pi, between rotations (9, M)."""
    a, b = first, second
    cosine = (a * b).sum(axis=0) - 1
    sine = np.zeros(cosine.shape)
    # Of the product of the transposed first with the second: rows there are columns here.
    for i, j in ((0, 1), (1, 2), (2, 0)):
        apart = a[i] * b[j] - a[j] * b[i]
        apart += a[3 + i] * b[3 + j] - a[3 + j] * b[3 + i]
        apart += a[6 + i] * b[6 + j] - a[6 + j] * b[6 + i]
        sine += np.square(apart, out=apart)
    return np.arctan2(np.sqrt(sine), cosine)


def between(first: Array, second: Array, share: float) -> Array:
    """Return the rotations (9, M) at ``share`` of the shortest way from ``first`` to ``second`` (9, M)."""
    a, b = quat_of_matrix(first), quat_of_matrix(second)
    b *= np.where((a * b).sum(axis=0) < 0, -1.0, 1.0)
    half = 2 * np.arctan2(np.sqrt(np.square(b - a).sum(axis=0)), np.sqrt(np.square(b + a).sum(axis=0)))
    # Between quaternions that are hardly apart the way is straight.
    near = half < _NO_ANGLE
    half[near] = 1.0
    whole = np.sin(half)
    before = np.where(near, 1 - share, np.sin((1 - share) * half) / whole)
    after = np.where(near, share, np.sin(share * half) / whole)
    return matrix_of_quat(before * a + after * b)
