"""What the rotation channels of a bone or object mean, in each of Blender's rotation modes, as quaternions and back.

Modes go by Blender's names: ``QUATERNION`` (w, x, y, z), ``AXIS_ANGLE`` (angle, x, y, z), and six Euler orders, of
which ``XYZ`` turns about x first, then about the parent's y, then about the parent's z. Angles are in radians. Arrays
are (T, ..., n): time first, n channels last (4 or 3), any axes between.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch, one_of

Array = NDArray[np.float64]

EULER_ORDERS = ("XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX")
MODES = ("QUATERNION", "AXIS_ANGLE", *EULER_ORDERS)

# Radians by which a pose may differ so that channels which it hardly determines stay where they were.
_SLACK = 2e-7
# Rotations worked on at once, so that what is between input and result stays in the processor's cache.
_BLOCK = 1 << 15


def channel_count(mode: str) -> int:
    """Return the number of rotation channels of a mode: 4, or 3 for Euler angles."""
    return 3 if one_of("rotation mode", mode, MODES) in EULER_ORDERS else 4


def channel_name(mode: str) -> str:
    """Return Blender's property that holds the rotation channels of a mode."""
    channel_count(mode)
    return {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}.get(mode, "rotation_euler")


def to_quat_wxyz(values: ArrayLike, mode: str) -> Array:
    """Return the unit quaternions (T, ..., 4) of channel values (T, ..., n) in a rotation mode.

    Quaternions and axes need no unit length. A zero axis gives the identity, as in Blender, and so does a zero
    quaternion, of which Blender makes half a turn about x. The signs follow the values: they are continuous over time
    where Euler angles, or axis and angle, are.

    Raises:
        ValueError: an unknown mode, or values that are not (T, ..., n).
    """
    values = _checked("channel values", values, channel_count(mode))
    quat = _like_curves((*values.shape[:-1], 4))
    for flat, out in _blocks(values, quat):
        if mode == "QUATERNION":
            out[:] = _unit(flat)
        elif mode == "AXIS_ANGLE":
            # Half an angle of any size: the sign of the quaternion tells odd turns from even ones.
            half = flat[0] / 2
            axis, length = _direction(flat[1:])
            out[0] = np.where(length > 0, np.cos(half), 1.0)
            out[1:] = np.sin(half) * axis
        else:
            _euler_to_quat(flat, mode, out)
    return quat


def from_quat_wxyz(quat_wxyz: ArrayLike, mode: str, like: ArrayLike | None = None) -> Array:
    """Return the channel values (T, ..., n), in a rotation mode, of quaternions (T, ..., 4), continuous over time.

    Of all values that mean the same rotation, each frame has those nearest to the frame before: Euler angles do not
    flip and wind on past half a turn, quaternions do not change sign, the angle about an axis goes on through zero
    and past half a turn. (So no frame may be half a turn or more from the one before, which could not be told from a
    turn the other way.) The first frame has the values nearest to ``like``; without it, the usual ones: a positive real
    part, an angle of 0 to pi, Euler angles of -pi to pi with the second within a quarter turn.

    Where a rotation leaves a value open, it is taken from elsewhere: in gimbal lock, how the turn is shared between the
    two axes that coincide, from ``like``, else from the last frame that told; the axis of the identity from the last
    frame that had one, before that from ``like``. Poses stay within 1e-6 radians.

    Args:
        quat_wxyz: (T, ..., 4), real part first, of any length; zero means the identity.
        mode: Blender's rotation mode.
        like: (T, ..., n), the values that the same channels had before at the same frames; they need not be
            continuous.

    Raises:
        ValueError: an unknown mode, or arrays of other shapes.
    """
    count = channel_count(mode)
    quat_wxyz = _checked("quat_wxyz", quat_wxyz, 4)
    values = _like_curves((*quat_wxyz.shape[:-1], count))
    if like is not None:
        like = np.asarray(like, np.float64)
        if like.shape != values.shape:
            raise mismatch("shape of the values to be like", values.shape, like.shape)
    if not len(quat_wxyz):
        return values
    for flat, out, *rest in _blocks(quat_wxyz, values, *(() if like is None else (like,))):
        near = rest[0] if rest else None
        if mode == "QUATERNION":
            _follow_quat(_unit(flat), near, out)
        elif mode == "AXIS_ANGLE":
            _quat_to_axis_angle(_unit(flat), near, out)
        else:
            _quat_to_euler(_unit(flat), mode, near, out)
    return values


def _like_curves(shape: tuple[int, ...]) -> Array:
    """Return an array to be written to, in which each number over time lies by itself in memory."""
    return np.empty((shape[-1], *shape[1:-1], shape[0])).swapaxes(0, -1)


def _checked(what: str, values: ArrayLike, count: int) -> Array:
    array = np.asarray(values, np.float64)
    if array.ndim < 2 or array.shape[-1] != count:
        raise mismatch(f"shape of {what}", f"(T, ..., {count})", array.shape)
    return array


def _blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Yield views (n, T, K) of arrays (T, ..., n), block by block of the axes between; each block has every frame."""
    frames, columns = arrays[0].shape[0], math.prod(arrays[0].shape[1:-1])
    flat = [array.reshape(frames, columns, array.shape[-1]).transpose(2, 0, 1) for array in arrays]
    step = max(1, _BLOCK // max(frames, 1))
    for start in range(0, columns, step):
        yield tuple(array[:, :, start : start + step] for array in flat)


def _direction(vectors: Array) -> tuple[Array, Array]:
    """Return vectors (n, ...) of unit length, zero where they were zero, and the lengths (...)."""
    length = np.sqrt((vectors * vectors).sum(0))
    return vectors / np.where(length > 0, length, 1.0), length


def _unit(quat: Array) -> Array:
    unit, length = _direction(quat)
    unit[0] = np.where(length > 0, unit[0], 1.0)
    return unit


def _parity(turned: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return, for each frame (T, ...), whether an odd number of frames up to it turned."""
    return np.bitwise_xor.accumulate(turned, axis=0)


def _unwind(values: Array, near: Array | float) -> Array:
    """Return angles (T, ...) with whole turns added: the first nearest to ``near`` (...), each to the one before."""
    turn = 2 * np.pi
    turns = np.empty(values.shape)
    turns[0] = np.rint((near - values[0]) / turn)
    turns[1:] = np.rint((values[:-1] - values[1:]) / turn)
    return values + turn * np.cumsum(turns, axis=0)


def _follow_quat(quat: Array, near: Array | None, out: Array) -> None:
    turned = np.empty(quat.shape[1:], bool)
    turned[0] = quat[0, 0] < 0
    if near is not None:
        agree = (quat[:, 0] * near[:, 0]).sum(0)
        turned[0] = np.where(agree == 0, turned[0], agree < 0)
    turned[1:] = (quat[:, 1:] * quat[:, :-1]).sum(0) < 0
    if turned.any():
        np.multiply(quat, np.where(_parity(turned), -1.0, 1.0), out=out)
    else:
        out[:] = quat


def _quat_to_axis_angle(quat: Array, near: Array | None, out: Array) -> None:
    quat = np.where(quat[0] < 0, -quat, quat)
    axis, sine = _direction(quat[1:])
    angle = 2 * np.arctan2(sine, quat[0])
    # Rotations this small have no axis: they get that of the last frame which had one, so that a turn through zero is
    # the angle's alone; before there was one, that of `like`, else y, as a new bone of Blender's has it.
    known = sine > _SLACK
    if not known.all():
        first = np.zeros(axis.shape)
        first[1] = 1.0
        if near is not None:
            wanted, length = _direction(near[1:])
            first = np.where(length > 0, wanted, first)
        spare = _filled(axis, known, first)
        angle = np.where(known, angle, angle * (axis * spare).sum(0))
        axis = np.where(known, axis, spare)
    turned = np.zeros(angle.shape, bool)
    start: Array | float = 0.0
    if near is not None:
        turned[0] = (axis[:, 0] * near[1:, 0]).sum(0) < 0
        start = near[0, 0]
    turned[1:] = (axis[:, 1:] * axis[:, :-1]).sum(0) < 0
    sign = np.where(_parity(turned), -1.0, 1.0)
    out[0] = _unwind(sign * angle, start)
    out[1:] = sign * axis


def _filled(values: Array, known: NDArray[np.bool_], default: Array) -> Array:
    """Return values (n, T, K) in which frames not known (T, K) have the last known ones, before these the default's."""
    frames = np.arange(known.shape[0])[:, None]
    last = np.maximum.accumulate(np.where(known, frames, -1), axis=0)
    columns = np.arange(known.shape[1])
    found = values[:, np.maximum(last, 0), columns]
    return np.where(last < 0, default, found)


# Turns a, b, c about the axes i, j, k in this order, each fixed in the parent, give the quaternion
#   w = (u+ cos p + u- cos m) / 2          j = (u- cos m - u+ cos p) / 2
#   i = (u+ sin p - u- sin m) / 2      s * k = (u+ sin p + u- sin m) / 2
# with p = (s c + a) / 2, m = (s c - a) / 2, u+ = sqrt2 cos(b / 2 + pi / 4), u- = sqrt2 sin(b / 2 + pi / 4), and s = 1
# if i, j, k are x, y, z or a rotation of them, else -1 (after E. Bernardes and S. Viollet, PLOS ONE 17(11), 2022, who
# give the way back). In gimbal lock u+ or u- vanishes, and with it all that p or m says.


def _axes(order: str) -> tuple[int, int, int, float]:
    i, j, k = ("XYZ".index(letter) for letter in order)
    return i, j, k, 1.0 if (j - i) % 3 == 1 else -1.0


def _euler_to_quat(euler: Array, order: str, out: Array) -> None:
    i, j, k, s = _axes(order)
    a, b, c = euler[i] / 2, euler[j] / 2 + np.pi / 4, s * euler[k] / 2
    plus, minus = np.cos(b) / np.sqrt(2), np.sin(b) / np.sqrt(2)
    wp, wm = plus * np.cos(c + a), minus * np.cos(c - a)
    ip, im = plus * np.sin(c + a), minus * np.sin(c - a)
    out[0], out[1 + i], out[1 + j], out[1 + k] = wp + wm, ip - im, wm - wp, s * (ip + im)


def _quat_to_euler(quat: Array, order: str, near: Array | None, out: Array) -> None:
    i, j, k, s = _axes(order)
    w, x, y, z = quat[0], quat[1 + i], quat[1 + j], s * quat[1 + k]
    p, m = np.arctan2(x + z, w - y), np.arctan2(z - x, w + y)
    plus, minus = np.hypot(w - y, x + z), np.hypot(w + y, z - x)
    middle = 2 * np.arctan2(minus, plus) - np.pi / 2
    first = None if near is None else (near[i], s * near[k])
    p = _where_open(p, plus, None if first is None else (first[1] + first[0]) / 2)
    m = _where_open(m, minus, None if first is None else (first[1] - first[0]) / 2)

    triple = np.empty(quat[1:].shape)
    triple[0], triple[1], triple[2] = p - m, middle, s * (p + m)
    # The same rotation once more: half a turn about the outer axes, and the middle one from the other side. That is an
    # isometry and its own inverse, so which of the two lies nearer to the frame before does not depend on which of the
    # two was chosen there.
    other = np.empty(triple.shape)
    other[0], other[1], other[2] = triple[0] + np.pi, np.pi - middle, triple[2] + np.pi
    start = np.zeros((3, quat.shape[2])) if near is None else near[[i, j, k], 0]
    turned = np.zeros(middle.shape, bool)
    if near is not None:
        turned[0] = _apart(other[:, 0], start) < _apart(triple[:, 0], start)
    turned[1:] = _apart(other[:, 1:], triple[:, :-1]) < _apart(triple[:, 1:], triple[:, :-1])
    chosen = np.where(_parity(turned), other, triple)
    for place, axis in enumerate((i, j, k)):
        out[axis] = _unwind(chosen[place], start[place])


def _apart(a: Array, b: Array) -> Array:
    """Return the squared distances (...) of triples of angles (3, ...), whole turns apart."""
    gap = a - b
    gap -= 2 * np.pi * np.rint(gap / (2 * np.pi))
    return (gap * gap).sum(0)


def _where_open(angle: Array, weight: Array, wanted: Array | None) -> Array:
    """Return angles (T, K) moved towards the wanted ones as far as their weight in the quaternion, if tiny, allows."""
    reach = _SLACK / np.maximum(weight, 1e-300)
    if not (reach > 1e-6).any():
        return angle
    target = _filled(angle[None], reach < 1e-3, np.zeros((1, *angle.shape)))[0] if wanted is None else wanted
    # Half a turn of p or m is the other triple of the same rotation.
    gap = target - angle
    gap -= np.pi * np.rint(gap / np.pi)
    return angle + np.clip(gap, -reach, reach)
