"""A leg of two bones that reaches for a new place of its ankle: exact, in the plane and to the side it bends already.

The knee lies where the law of cosines says, turned about the line from hip to ankle as it was. A leg that is nearly
straight has no plane of its own; its knee goes where the leg's hinge points, which is taken from the frames around.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from smpl_tools.rotations import quat_wxyz_to_matrix

Array = NDArray[np.float64]

# How far a knee lies off the line from hip to ankle, in lengths of the thigh: below the first the leg has no plane of
# its own, from the second on it has (5 and 14 degrees of bend).
_STRAIGHT, _BENT = 0.04, 0.12
# A change of the ankle, in lengths of the leg, from which on a straight leg bends as its hinge says.
_MOVED = 0.012
# Seconds around a frame from which the hinge is taken, and how much the line of the hips counts beside bent knees.
_HINGE_SECONDS, _LATERAL = 0.25, 0.1


class BentLeg(NamedTuple):
    """A leg after the change.

    Attributes:
        knee: (T, 3).
        ankle: (T, 3); nearer to the hip than asked for where the leg is too short.
        thigh_turn: (T, 3, 3) rotation of the thigh in the scene from before to after.
        shin_turn: (T, 3, 3) that of the shin.
    """

    knee: Array
    ankle: Array
    thigh_turn: Array
    shin_turn: Array


def hinges(hip: Array, knee: Array, ankle: Array, lateral: Array, fps: float) -> Array:
    """Return the axis (T, 3), of length 1, about which a knee bends: thigh x shin where it is bent.

    Args:
        hip: (T, 3).
        knee: (T, 3).
        ankle: (T, 3).
        lateral: (T, 3) from the right hip to the left, or zeros; it decides where a knee is straight for long.
        fps: frames a second.
    """
    thigh, shin = knee - hip, ankle - knee
    bend = np.cross(thigh, shin) / _floor(_norm(thigh) * _norm(shin))
    across = lateral / _floor(_norm(lateral))
    # On a person it is to the left; a leg that bends the other way for most of the time is built so.
    sign = -1.0 if (bend * across).sum() < 0 else 1.0
    around = gaussian_filter1d(bend, _HINGE_SECONDS * fps, axis=0, mode="nearest") + sign * _LATERAL * across
    return around / _floor(_norm(around))


def bend_leg(hip: Array, knee: Array, ankle: Array, new_hip: Array, new_ankle: Array, hinge: Array) -> BentLeg:
    """Return the leg that reaches from ``new_hip`` to ``new_ankle``, its bones as long as they were.

    Args:
        hip: (T, 3) before.
        knee: (T, 3) before.
        ankle: (T, 3) before.
        new_hip: (T, 3).
        new_ankle: (T, 3).
        hinge: (T, 3) from :func:`hinges`.
    """
    thigh, shin, reach = knee - hip, ankle - knee, ankle - hip
    upper, lower = _norm(thigh), _norm(shin)
    whole = upper + lower
    before, along = _norm(reach), reach / _floor(_norm(reach))
    asked = new_ankle - new_hip
    direction = asked / _floor(_norm(asked))
    line = smallest_rotation(along, direction)

    aside = thigh - _dot(thigh, along) * along
    off = _norm(aside)
    forward = np.cross(along, hinge)
    forward = forward / _floor(_norm(forward))
    side = np.where(_dot(aside, forward) < 0, -1.0, 1.0)
    moved = _smooth_step(_norm(asked - reach) / (_MOVED * whole))
    plain = _smooth_step((off / _floor(upper) - _STRAIGHT) / (_BENT - _STRAIGHT))
    own = np.where(off > 1e-9 * whole, side * aside / _floor(off), forward)
    towards = own + (1 - plain) * moved * (forward - own)
    towards = np.einsum("tij,tj->ti", line, towards)
    towards = towards - _dot(towards, direction) * direction
    towards = towards / _floor(_norm(towards))

    # What is missing to a straight leg, below zero for a knee bent to the wrong side: such a one that is nearly
    # straight passes through straight to the right side as the ankle moves; one that is well bent stays on its side.
    shortest = abs(upper - lower) + 1e-9 * whole
    slack = whole - np.clip(_norm(asked), shortest, whole)
    turned = moved * slack - (1 - moved) * (whole - before)
    slack = np.where(side > 0, slack, (1 - plain) * turned - plain * slack)
    length = np.clip(whole - abs(slack), shortest, whole)
    x = (length**2 + upper**2 - lower**2) / (2 * _floor(length))
    y = np.sqrt(np.maximum(upper**2 - x**2, 0))
    new_knee = new_hip + x * direction + np.where(slack < 0, -y, y) * towards
    reached = new_hip + length * direction
    turns = []
    for old, new in ((thigh, new_knee - new_hip), (shin, reached - new_knee)):
        carried = np.einsum("tij,tj->ti", line, old / _floor(_norm(old)))
        turns.append(smallest_rotation(carried, new / _floor(_norm(new))) @ line)
    return BentLeg(new_knee, reached, turns[0], turns[1])


def smallest_rotation(start: Array, end: Array) -> Array:
    """Return the smallest rotations (T, 3, 3) from unit vectors (T, 3) to others; of opposite ones, half a turn.

    The quaternion ``(1 + start . end, start x end)`` has half the angle between them.
    """
    cosine = _dot(start, end)
    across = np.cross(start, end)
    opposite = cosine < -1 + 1e-12
    other = np.cross(start, np.eye(3)[np.abs(start).argmin(axis=-1)])
    return quat_wxyz_to_matrix(
        np.concatenate([np.where(opposite, 0.0, 1 + cosine), np.where(opposite, other, across)], axis=-1)
    )


def _norm(vector: Array) -> Array:
    return np.linalg.norm(vector, axis=-1, keepdims=True)


def _dot(a: Array, b: Array) -> Array:
    return (a * b).sum(axis=-1, keepdims=True)


def _floor(length: Array) -> Array:
    """Return lengths that can be divided by."""
    return np.maximum(length, 1e-12)


def _smooth_step(x: Array) -> Array:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)
