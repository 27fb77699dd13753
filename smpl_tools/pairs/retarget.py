"""From a motion's landmarks to the rotations of the body's bones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from smpl_tools.pairs.body import Body
from smpl_tools.pairs.landmarks import SIDES, Landmarks, frames

Array = NDArray[np.float64]

# Bone, the one it hangs on, and the landmarks between which it lies.
_LIMBS = (
    ("thigh", "pelvis", "hip", "knee"),
    ("calf", "thigh", "knee", "ankle"),
    ("foot", "calf", "ankle", "toe"),
    ("upperarm", "clavicle", "shoulder", "elbow"),
    ("lowerarm", "upperarm", "elbow", "wrist"),
    ("hand", "lowerarm", "wrist", "hand"),
)
# Where each of these bones ends: the next bone, or a point of the body.
_ENDS = {"thigh": "calf", "calf": "foot", "foot": "toe", "upperarm": "lowerarm", "lowerarm": "hand", "hand": "hand"}


def bone_ends(body: Body) -> dict[str, Array]:
    """Return the vector (3,) at rest from the beginning to the end of each bone of the limbs, by the bone's name."""
    joints = dict(zip(body.bones, body.joints, strict=True))
    points = dict(zip(body.points, body.point_places, strict=True))
    ends = {}
    for bone, end in _ENDS.items():
        for side in SIDES:
            letter = side[0]
            place = points[f"{side}_{end}"] if bone in ("foot", "hand") else joints[f"{end}_{letter}"]
            ends[f"{bone}_{letter}"] = place - joints[f"{bone}_{letter}"]
    return ends


def retarget(source: Landmarks, body: Body) -> tuple[Array, Array]:
    """Return the body's pose in every frame.

    Every limb points where the source's does; pelvis and chest face where the lines through its hips and shoulders
    say, the spine bends evenly between them, and the head looks where the source's looks. A limb turns about its own
    axis no more than needed. Positions are scaled by the lengths of the legs.

    Args:
        source: T frames.
        body: B bones.

    Returns:
        Rotations (T, B, 3, 3) of the bones in the world, identity at rest, and (T, 3) where the pelvis begins,
        metres, Y up.
    """
    at = source.points
    hips, shoulders = (at["left_hip"] + at["right_hip"]) / 2, at["left_shoulder"] - at["right_shoulder"]
    pelvis = frames(at["left_hip"] - at["right_hip"], at["spine"] - hips)
    chest = frames(shoulders, at["neck"] - at["spine"])
    head = frames(source.head[..., 0], source.head[..., 1])
    turned: dict[str, Array] = {"pelvis": pelvis, "spine_03": chest, "head": head}
    turned |= {"spine_01": _between(pelvis, chest, 1 / 3), "spine_02": _between(pelvis, chest, 2 / 3)}
    turned["neck_01"] = _between(chest, head, 0.5)
    rest = bone_ends(body)
    for side in SIDES:
        letter = side[0]
        turned[f"clavicle_{letter}"] = chest
        for bone, parent, start, end in _LIMBS:
            carried = turned[parent if parent == "pelvis" else f"{parent}_{letter}"]
            direction = rest[f"{bone}_{letter}"]
            if bone == "upperarm":
                # Turned sideways first: an arm that hangs and one that is raised are then equally far away, and only
                # one that points through the chest has no shortest way.
                outward = np.array([1.0 if side == "left" else -1.0, 0.0, 0.0])
                carried = carried @ _shortest(direction, outward)
                carried = _shortest(carried @ direction, at[f"{side}_{end}"] - at[f"{side}_{start}"]) @ carried
            else:
                carried = _shortest(carried @ direction, at[f"{side}_{end}"] - at[f"{side}_{start}"]) @ carried
            turned[f"{bone}_{letter}"] = carried
    rotations = np.stack([turned[bone] for bone in body.bones], axis=1)
    legs = [np.linalg.norm(at[f"{s}_knee"] - at[f"{s}_{e}"], axis=-1) for s in SIDES for e in ("hip", "ankle")]
    scale = body.leg / (np.mean(legs) * 2)
    joints = dict(zip(body.bones, body.joints, strict=True))
    middle = (joints["thigh_l"] + joints["thigh_r"]) / 2 - joints["pelvis"]
    return rotations, scale * hips - pelvis @ middle


def _shortest(start: Array, end: Array) -> Array:
    """Return the rotations (..., 3, 3) by the least angle that turn the directions ``start`` into ``end``, (..., 3).

    ``R = I + [v] + [v]^2 / (1 + c)`` with ``v = a x b`` and ``c = a . b`` for unit vectors a and b (Moller and
    Hughes, Journal of Graphics Tools 1999).
    """
    a = start / np.linalg.norm(start, axis=-1, keepdims=True)
    b = end / np.linalg.norm(end, axis=-1, keepdims=True)
    v, c = np.cross(a, b), (a * b).sum(axis=-1)[..., None, None]
    cross = np.zeros((*v.shape, 3))
    cross[..., 0, 1], cross[..., 0, 2], cross[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    cross = cross - np.swapaxes(cross, -1, -2)
    return np.eye(3) + cross + cross @ cross / np.maximum(1 + c, 1e-9)


def _between(first: Array, last: Array, share: float) -> Array:
    """Return rotations (T, 3, 3) part of the way from one to another."""
    step = Rotation.from_matrix(np.swapaxes(first, 1, 2) @ last).as_rotvec()
    return first @ Rotation.from_rotvec(share * step).as_matrix()
