"""Unit quaternions, elementwise: the NumPy inside Blender multiplies no matrices fast."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def multiplied(first_quat_wxyz: Array, second_quat_wxyz: Array) -> Array:
    """Return the Hamilton product (..., 4): ``second`` is applied first."""
    a, b, c, d = np.moveaxis(first_quat_wxyz, -1, 0)
    e, f, g, h = np.moveaxis(second_quat_wxyz, -1, 0)
    return np.stack(
        [
            a * e - b * f - c * g - d * h,
            a * f + b * e + c * h - d * g,
            a * g - b * h + c * e + d * f,
            a * h + b * g - c * f + d * e,
        ],
        axis=-1,
    )


def turned(old_quat_wxyz: Array, new_quat_wxyz: Array) -> Array:
    """Return (..., 4) the shorter turn that leads from ``old`` to ``new``: ``new = turn * old``."""
    turn = multiplied(new_quat_wxyz, old_quat_wxyz * [1.0, -1.0, -1.0, -1.0])
    return np.where(turn[..., :1] < 0, -turn, turn)


def log_quat_wxyz(quat_wxyz: Array) -> Array:
    """Return the rotation vectors (..., 3) of unit quaternions (..., 4), of angles up to pi."""
    q = np.where(quat_wxyz[..., :1] < 0, -quat_wxyz, quat_wxyz)
    sine = np.sqrt((q[..., 1:] ** 2).sum(axis=-1, keepdims=True))
    half = np.arctan2(sine, q[..., :1])
    # half / sine tends to 1 where the sine vanishes.
    return 2.0 * q[..., 1:] * np.where(sine > 1e-12, half / np.where(sine > 1e-12, sine, 1.0), 1.0)


def power(quat_wxyz: Array, exponent: Array) -> Array:
    """Return the share ``exponent`` (...) of the shorter turns (..., 4), as geodesic interpolation needs it."""
    q = np.where(quat_wxyz[..., :1] < 0, -quat_wxyz, quat_wxyz)
    sine = np.sqrt((q[..., 1:] ** 2).sum(axis=-1))
    half = np.arctan2(sine, q[..., 0]) * exponent
    scale = np.where(sine > 1e-12, np.sin(half) / np.where(sine > 1e-12, sine, 1.0), exponent)
    return np.concatenate([np.cos(half)[..., None], q[..., 1:] * scale[..., None]], axis=-1)


def slerp(first_quat_wxyz: Array, second_quat_wxyz: Array, share: float) -> Array:
    """Return the rotations (..., 4) at a share of the shorter ways from unit quaternions (..., 4) to others."""
    first, second = np.moveaxis(first_quat_wxyz, -1, 0), np.moveaxis(second_quat_wxyz, -1, 0)
    second = np.where(dots(first, second) < 0, -second, second)
    apart, total = second - first, second + first
    angle = 2.0 * np.arctan2(np.sqrt(dots(apart, apart)), np.sqrt(dots(total, total)))
    sine = np.sin(angle)
    turning = sine > 1e-12
    sine = np.where(turning, sine, 1.0)
    # Both weights tend to their shares where nothing turns.
    before = np.where(turning, np.sin((1.0 - share) * angle) / sine, 1.0 - share)
    after = np.where(turning, np.sin(share * angle) / sine, share)
    return np.moveaxis(before * first + after * second, 0, -1)


def angle_between(first_quat_wxyz: Array, second_quat_wxyz: Array) -> Array:
    """Return the angles (...) in radians between rotations, from 0 to pi."""
    turn = turned(first_quat_wxyz, second_quat_wxyz)
    return 2.0 * np.arctan2(np.sqrt((turn[..., 1:] ** 2).sum(axis=-1)), turn[..., 0])


def unit_parts(quat_wxyz: Array) -> NDArray[np.float32]:
    """Return rotations (T, B, 4) as unit quaternions (4, B, T) without jumps of sign over time.

    Each number over time lies by itself in memory, and float32 keeps 1e-5 degrees: that is fastest to compute with.
    """
    parts = np.array(quat_wxyz.T, np.float32, order="C")
    parts /= np.sqrt(dots(parts, parts))
    turns_over = dots(parts[..., 1:], parts[..., :-1]) < 0
    if turns_over.any():
        parts[..., 1:] *= np.cumprod(np.where(turns_over, -1, 1), axis=-1)
    return parts


def dots(first: Any, second: Any) -> Any:
    """Return dot products over the first axis, number by number: faster than a sum over an axis so short."""
    total = first[0] * second[0]
    for one, other in zip(first[1:], second[1:], strict=True):
        total += one * other
    return total
