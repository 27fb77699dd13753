"""All conversions of rotations in one place: those of the core, quaternions with the real part last, Euler angles.

SciPy, glTF and BVH tools write quaternions with the real part last (``quat_xyzw``); this project otherwise uses
``quat_wxyz``. All functions work on NumPy arrays and torch tensors and keep their dtype.
"""

from __future__ import annotations

from smoothnet_core._array_api import Array, as_arrays, check_trailing
from smoothnet_core.rotations import (
    ORDERS,
    axis_angle_to_matrix,
    axis_angle_to_quat_wxyz,
    continuous_axis_angle,
    continuous_quat_wxyz,
    geodesic_angle,
    interpolate,
    matrix_to_axis_angle,
    matrix_to_quat_wxyz,
    matrix_to_rotation_6d,
    project_to_so3,
    quat_wxyz_to_axis_angle,
    quat_wxyz_to_matrix,
    rotation_6d_to_matrix,
)
from smpl_tools.euler import AXES, continuous_euler, euler_to_matrix, matrix_to_euler

__all__ = [
    "AXES",
    "ORDERS",
    "axis_angle_to_matrix",
    "axis_angle_to_quat_wxyz",
    "axis_angle_to_quat_xyzw",
    "continuous_axis_angle",
    "continuous_euler",
    "continuous_quat_wxyz",
    "euler_to_matrix",
    "geodesic_angle",
    "interpolate",
    "matrix_to_axis_angle",
    "matrix_to_euler",
    "matrix_to_quat_wxyz",
    "matrix_to_quat_xyzw",
    "matrix_to_rotation_6d",
    "project_to_so3",
    "quat_wxyz_to_axis_angle",
    "quat_wxyz_to_matrix",
    "quat_wxyz_to_xyzw",
    "quat_xyzw_to_axis_angle",
    "quat_xyzw_to_matrix",
    "quat_xyzw_to_wxyz",
    "rotation_6d_to_matrix",
]


def quat_xyzw_to_wxyz(quat_xyzw: Array) -> Array:
    """Return the quaternions (..., 4) with the real part moved from last to first."""
    _, q = as_arrays(quat_xyzw)
    check_trailing("quat_xyzw", q, 4)
    return q[..., [3, 0, 1, 2]]


def quat_wxyz_to_xyzw(quat_wxyz: Array) -> Array:
    """Return the quaternions (..., 4) with the real part moved from first to last."""
    _, q = as_arrays(quat_wxyz)
    check_trailing("quat_wxyz", q, 4)
    return q[..., [1, 2, 3, 0]]


def quat_xyzw_to_matrix(quat_xyzw: Array) -> Array:
    """Return the matrices (..., 3, 3) of quaternions (..., 4), real part last."""
    return quat_wxyz_to_matrix(quat_xyzw_to_wxyz(quat_xyzw))


def matrix_to_quat_xyzw(matrix: Array) -> Array:
    """Return the unit quaternions (..., 4), real part last and not negative, of matrices (..., 3, 3)."""
    return quat_wxyz_to_xyzw(matrix_to_quat_wxyz(matrix))


def quat_xyzw_to_axis_angle(quat_xyzw: Array) -> Array:
    """Return the rotation vectors (..., 3), at most pi long, of quaternions (..., 4), real part last."""
    return quat_wxyz_to_axis_angle(quat_xyzw_to_wxyz(quat_xyzw))


def axis_angle_to_quat_xyzw(axis_angle: Array) -> Array:
    """Return the unit quaternions (..., 4), real part last, of rotation vectors (..., 3) in radians."""
    return quat_wxyz_to_xyzw(axis_angle_to_quat_wxyz(axis_angle))
