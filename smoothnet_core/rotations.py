"""Conversions between representations of 3D rotations, on NumPy arrays and torch tensors alike.

Every function works over any leading axes and keeps the kind, the dtype and the device of what it is given. Rotations
are active and act on column vectors: ``R @ x``. Quaternions are Hamilton's, real part first (``quat_wxyz``), and need
not be of unit length. Axis-angle vectors are rotation vectors in radians. Where a formula would divide by a vanishing
angle it is written with sinc, so values and first derivatives are right at the identity and at half a turn. NaN gives
NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from smoothnet_core._array_api import (
    Array,
    as_arrays,
    cast,
    check_trailing,
    fill_along_time,
    identity_like,
    take_along,
    to_numpy,
)
from smoothnet_core._checks import mismatch, one_of
from smoothnet_core._polar import nearest_rotations

ORDERS: tuple[str, ...] = ("interleaved", "columns", "rows")


def axis_angle_to_matrix(axis_angle: Array) -> Array:
    """Return the matrices (..., 3, 3) of rotation vectors (..., 3) in radians.

    Rodrigues' formula, ``cos(a) I + sinc(a) [v] + sinc(a/2)^2 / 2 v v^T`` with a = \\|v\\|.
    """
    xp, v = as_arrays(axis_angle)
    check_trailing("axis_angle", v, 3)
    angle = _norm(xp, v)[..., None]
    x, y, z = v[..., 0:1], v[..., 1:2], v[..., 2:3]
    zero = xp.zeros_like(x)
    cross = _rows(xp, [zero, -z, y, z, zero, -x, -y, x, zero])
    outer = v[..., :, None] * v[..., None, :]
    half = xp.sinc(angle / (2 * math.pi))
    return xp.cos(angle) * identity_like(v) + xp.sinc(angle / math.pi) * cross + (half * half / 2) * outer


def matrix_to_axis_angle(matrix: Array) -> Array:
    """Return the rotation vectors (..., 3) of rotation matrices (..., 3, 3): radians, of length at most pi."""
    return quat_wxyz_to_axis_angle(matrix_to_quat_wxyz(matrix))


def axis_angle_to_quat_wxyz(axis_angle: Array) -> Array:
    """Return the unit quaternions (..., 4) of rotation vectors (..., 3) in radians.

    They follow the vector continuously: the real part is negative for angles between pi and 3 pi.
    """
    xp, v = as_arrays(axis_angle)
    check_trailing("axis_angle", v, 3)
    half = _norm(xp, v) / 2
    return xp.concatenate([xp.cos(half), xp.sinc(half / math.pi) / 2 * v], -1)


def quat_wxyz_to_axis_angle(quat_wxyz: Array) -> Array:
    """Return the rotation vectors (..., 3) of quaternions (..., 4): radians, of length at most pi.

    A quaternion of zeros gives NaN.
    """
    xp, q = as_arrays(quat_wxyz)
    check_trailing("quat_wxyz", q, 4)
    q = _upper(xp, _unit(xp, q))
    xyz = q[..., 1:]
    half = xp.arctan2(_norm(xp, xyz), q[..., :1])
    return 2 * xyz / xp.sinc(half / math.pi)


def quat_wxyz_to_matrix(quat_wxyz: Array) -> Array:
    """Return the matrices (..., 3, 3) of quaternions (..., 4). A quaternion of zeros gives NaN."""
    xp, q = as_arrays(quat_wxyz)
    check_trailing("quat_wxyz", q, 4)
    q = _unit(xp, q)
    w, x, y, z = (q[..., i : i + 1] for i in range(4))
    one = xp.ones_like(w)
    return _rows(
        xp,
        [
            one - 2 * (y * y + z * z),
            2 * (x * y - z * w),
            2 * (x * z + y * w),
            2 * (x * y + z * w),
            one - 2 * (x * x + z * z),
            2 * (y * z - x * w),
            2 * (x * z - y * w),
            2 * (y * z + x * w),
            one - 2 * (x * x + y * y),
        ],
    )


def matrix_to_quat_wxyz(matrix: Array) -> Array:
    """Return the unit quaternions (..., 4), real part not negative, of rotation matrices (..., 3, 3).

    The entries of a matrix give ``4 q q^T`` without a root (S. W. Shepperd, "Quaternion from rotation matrix", 1978);
    the row with the largest diagonal entry, which is at least 1, is q up to its length.
    """
    xp, m = as_arrays(matrix)
    check_trailing("matrix", m, 3, 3)
    e = {(i, j): m[..., i, j : j + 1] for i in range(3) for j in range(3)}
    xw, yw, zw = e[2, 1] - e[1, 2], e[0, 2] - e[2, 0], e[1, 0] - e[0, 1]
    xy, xz, yz = e[1, 0] + e[0, 1], e[0, 2] + e[2, 0], e[1, 2] + e[2, 1]
    ww = 1 + e[0, 0] + e[1, 1] + e[2, 2]
    xx = 1 + e[0, 0] - e[1, 1] - e[2, 2]
    yy = 1 - e[0, 0] + e[1, 1] - e[2, 2]
    zz = 1 - e[0, 0] - e[1, 1] + e[2, 2]
    rows = [[ww, xw, yw, zw], [xw, xx, xy, xz], [yw, xy, yy, yz], [zw, xz, yz, zz]]
    outer = xp.stack([xp.concatenate(row, -1) for row in rows], -2)
    best = xp.concatenate([ww, xx, yy, zz], -1).argmax(-1)
    return _upper(xp, _unit(xp, take_along(outer, best[..., None, None], -2)[..., 0, :]))


def rotation_6d_to_matrix(rotation_6d: Array, order: str = "columns") -> Array:
    """Return the matrices (..., 3, 3) of 6D rotations (..., 6) by Gram-Schmidt (Zhou et al., CVPR 2019, section B).

    Args:
        rotation_6d: two vectors that need be neither of unit length nor orthogonal. A vector of zeros gives NaN;
            parallel ones span no plane, and what rounding makes of them is not a rotation.
        order: ``columns``: the first column of the matrix, then the second; ``rows``: its first row, then its second;
            ``interleaved``: its first two columns read row by row (r00, r01, r10, r11, r20, r21), as the published
            SmoothNet does.
    """
    one_of("order of a 6D rotation", order, ORDERS)
    xp, x = as_arrays(rotation_6d)
    check_trailing("rotation_6d", x, 6)
    first, second = (x[..., 0::2], x[..., 1::2]) if order == "interleaved" else (x[..., :3], x[..., 3:])
    first = _unit(xp, first)
    second = _unit(xp, second - (first * second).sum(-1)[..., None] * first)
    (a, b, c), (d, e, f) = ([v[..., i : i + 1] for i in range(3)] for v in (first, second))
    third = xp.concatenate([b * f - c * e, c * d - a * f, a * e - b * d], -1)
    return xp.stack([first, second, third], -2 if order == "rows" else -1)


def matrix_to_rotation_6d(matrix: Array, order: str = "columns") -> Array:
    """Return the 6D rotations (..., 6) of matrices (..., 3, 3), ``order`` as in :func:`rotation_6d_to_matrix`."""
    one_of("order of a 6D rotation", order, ORDERS)
    xp, m = as_arrays(matrix)
    check_trailing("matrix", m, 3, 3)
    if order == "interleaved":
        return m[..., :, :2].reshape(*m.shape[:-2], 6)
    if order == "rows":
        return m[..., :2, :].reshape(*m.shape[:-2], 6)
    return xp.concatenate([m[..., :, 0], m[..., :, 1]], -1)


def project_to_so3(matrix: Array) -> Array:
    """Return the rotations (..., 3, 3) nearest to matrices (..., 3, 3) in the Frobenius norm, determinant +1.

    Arrays go through Newton's iteration where it converges, which is much faster; else, and for tensors, an SVD with
    the sign of the last singular vector set by the determinant (S. Umeyama, PAMI 1991). Gradients
    come from a Newton step that is the identity in value: those of an SVD are infinite where singular values meet,
    as all three do at a rotation. They are zero along directions in which the nearest rotation is not unique.
    """
    xp, m = as_arrays(matrix)
    check_trailing("matrix", m, 3, 3)
    finite = xp.isfinite(m).reshape(*m.shape[:-2], 9).all(-1)[..., None, None]
    m = xp.where(finite, m, identity_like(m))
    if isinstance(m, np.ndarray):
        flat = m.reshape(-1, 3, 3).astype(np.float64, copy=False)
        nearest, found = nearest_rotations(flat)
        if not found.all():
            nearest[~found] = _by_svd(np, flat[~found])[0]
        return np.where(finite, nearest.reshape(m.shape), math.nan).astype(m.dtype, copy=False)
    rotation, s, vh = _by_svd(xp, m.detach())
    if m.requires_grad:
        # With M = R S and S symmetric, d(R^T M - M^T R) = [(tr(S) I - S) w] where dR = R [w]; S = V diag(s) V^T.
        gap = s.sum(-1)[..., None] - s
        unique = gap > 8 * xp.finfo(s.dtype).eps * s[..., :1]
        inverse = xp.where(unique, 1 / xp.where(unique, gap, xp.ones_like(gap)), xp.zeros_like(gap))
        turn = vh @ _skew_part(xp, rotation.swapaxes(-1, -2) @ m)[..., None]
        rotation = rotation @ axis_angle_to_matrix((vh.swapaxes(-1, -2) @ (inverse[..., None] * turn))[..., 0])
    return xp.where(finite, rotation, xp.full_like(rotation, math.nan))


def _by_svd(xp: Any, m: Array) -> tuple[Array, Array, Array]:
    """Return the nearest rotations, the singular values, the last signed as the determinant, and V^T."""
    u, s, vh = xp.linalg.svd(m)
    sign = xp.linalg.det(u @ vh)[..., None]
    sign = xp.where(sign < 0, -xp.ones_like(sign), xp.ones_like(sign))
    rotation = xp.concatenate([u[..., :2], u[..., 2:] * sign[..., None]], -1) @ vh
    return rotation, xp.concatenate([s[..., :2], s[..., 2:] * sign], -1), vh


def geodesic_angle(a: Array, b: Array) -> Array:
    """Return the angles (...) in radians, 0 to pi, between rotations ``a`` and ``b`` (..., 3, 3).

    Both the sine and the cosine enter, so that small angles and those near pi keep their digits. The gradient is zero
    at equal rotations.
    """
    xp, a, b = as_arrays(a, b)
    check_trailing("a", a, 3, 3)
    check_trailing("b", b, 3, 3)
    between = a.swapaxes(-1, -2) @ b
    trace = between[..., 0, 0:1] + between[..., 1, 1:2] + between[..., 2, 2:3]
    return xp.arctan2(_norm(xp, _skew_part(xp, between)), trace - 1)[..., 0]


def interpolate(a: Array, b: Array, t: Array) -> Array:
    """Return the rotations (..., 3, 3) at fraction ``t`` (...) of the shortest way from ``a`` to ``b`` (..., 3, 3).

    0 gives ``a``, 1 gives ``b``; values outside go on along the same geodesic. From half a turn apart either way is
    the shortest.
    """
    _, a, b = as_arrays(a, b)
    check_trailing("a", a, 3, 3)
    check_trailing("b", b, 3, 3)
    return a @ axis_angle_to_matrix(cast(t, a)[..., None] * matrix_to_axis_angle(a.swapaxes(-1, -2) @ b))


def continuous_quat_wxyz(quat_wxyz: Array) -> Array:
    """Return quaternions (T, ..., 4) with signs such that none lies opposite to the one before it; the first is kept.

    Frames with NaN are passed over.
    """
    _, q = as_arrays(quat_wxyz)
    _check_time("quat_wxyz", q, 4)
    known = fill_along_time(to_numpy(q))
    turned = (known[1:] * known[:-1]).sum(-1) < 0
    if not turned.any():
        return q * 1
    sign = np.ones(known.shape[:-1])
    sign[1:] = 1 - 2 * (np.cumsum(turned, axis=0) % 2)
    return q * cast(sign[..., None], q)


def continuous_axis_angle(axis_angle: Array) -> Array:
    """Return rotation vectors (T, ..., 3) in which each is the representative nearest to the one before it.

    The representatives of a rotation differ by whole turns about its axis (about the axis before it, for the identity).
    The first frame is kept, frames with NaN are passed over.
    """
    _, v = as_arrays(axis_angle)
    _check_time("axis_angle", v, 3)
    known = fill_along_time(to_numpy(v).astype(np.float64))
    angle = np.linalg.norm(known, axis=-1)
    axis = known / np.where(angle > 0, angle, np.nan)[..., None]
    axis = np.nan_to_num(fill_along_time(axis))
    turns = _turns(angle, (axis[1:] * axis[:-1]).sum(-1))
    return v + cast(2 * math.pi * turns[..., None] * axis, v)


def _turns(angle: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """Return the whole turns (T, ...) to add to angles (T, ...).

    ``cosine`` (T-1, ...) is that of the angle between one axis and the next. The representative of an axis n nearest to
    the vector p has the angle nearest to p . n.
    """
    turns = np.zeros(angle.shape)
    nearest = np.rint((angle[:-1] * cosine - angle[1:]) / (2 * math.pi))
    moving = np.nan_to_num(nearest).any(axis=0)  # elsewhere every vector is the nearest already
    if moving.any():
        angle, cosine = angle[:, moving], cosine[:, moving]
        found = np.zeros(angle.shape)
        last = angle[0]
        for t in range(1, len(angle)):
            found[t] = np.rint((last * cosine[t - 1] - angle[t]) / (2 * math.pi))
            last = angle[t] + 2 * math.pi * found[t]
        turns[:, moving] = found
    return turns


def _check_time(what: str, array: Array, size: int) -> None:
    if array.ndim < 2 or array.shape[-1] != size:
        raise mismatch(f"shape of {what}", f"(T, ..., {size})", tuple(array.shape))


def _norm(xp: Array, vector: Array) -> Array:
    return xp.linalg.norm(vector, axis=-1, keepdims=True)


def _unit(xp: Array, vector: Array) -> Array:
    with np.errstate(invalid="ignore"):  # no direction: NaN, as documented
        return vector / _norm(xp, vector)


def _upper(xp: Array, quat_wxyz: Array) -> Array:
    return xp.where(quat_wxyz[..., :1] < 0, -quat_wxyz, quat_wxyz)


def _skew_part(xp: Array, matrix: Array) -> Array:
    """Return the vector (..., 3) of ``matrix - matrix^T``: twice the sine of the angle along the axis of a rotation."""
    m = matrix
    return xp.concatenate(
        [
            m[..., 2, 1:2] - m[..., 1, 2:3],
            m[..., 0, 2:3] - m[..., 2, 0:1],
            m[..., 1, 0:1] - m[..., 0, 1:2],
        ],
        -1,
    )


def _rows(xp: Array, entries: Sequence[Array]) -> Array:
    """Return the matrices (..., 3, 3) of nine entries (..., 1) given row by row."""
    flat = xp.concatenate(list(entries), -1)
    return flat.reshape(*flat.shape[:-1], 3, 3)
