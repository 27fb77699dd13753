"""The rendered body of ``smpl_tools.pairs`` brought into the rest pose of SMPL, by turning and stretching its bones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from smpl_tools.coordinates import PELVIS
from smpl_tools.pairs.body import Body
from smpl_tools.skeleton import SMPL

Array = NDArray[np.float64]


_TRUNK = ("spine_01", "spine_02", "spine_03")
_FORWARDS, _SIDEWAYS, _DOWN = np.eye(3)[2], np.eye(3)[0], -np.eye(3)[1]
_MIRROR = np.diag([-1.0, 1.0, 1.0])


def rest_targets() -> dict[str, Array]:
    """Return where the joints of ``smpl_tools.skeleton.SMPL`` lie at rest, (3,) by name, its pelvis at ``PELVIS``."""
    places: list[Array] = []
    for parent, offset in zip(SMPL.parents, SMPL.offsets, strict=True):
        places.append(PELVIS if parent < 0 else places[parent] + offset)
    return dict(zip(SMPL.joints, places, strict=True))


def bone_maps(body: Body) -> dict[str, Array]:
    """Return what turns and stretches each bone of ``body`` into SMPL's rest pose, (3, 3) by the bone's name.

    Limbs, trunk and neck get the directions and lengths of ``smpl_tools.skeleton.SMPL``; hips keep their width, head,
    hands and feet their size. The elbow bends forwards, the palm looks down, the sole stays level.
    """
    place = dict(zip(body.bones, body.joints, strict=True)) | dict(zip(body.points, body.point_places, strict=True))
    target = rest_targets()
    hips, hips_target = _hips(body), _hips_target()

    maps = {"pelvis": np.eye(3), "head": np.eye(3)}
    trunk = _map(place["neck_01"] - hips, _SIDEWAYS, target["neck"] - hips_target, _SIDEWAYS)
    maps |= dict.fromkeys(_TRUNK, trunk)
    maps["neck_01"] = _map(place["head"] - place["neck_01"], _SIDEWAYS, target["head"] - target["neck"], _SIDEWAYS)

    def bone(begin: str, end: str) -> Array:
        return place[end] - place[begin]

    def wanted(begin: str, end: str) -> Array:
        return target[f"left_{end}"] - target[f"left_{begin}"]

    root = hips_target + trunk @ (place["clavicle_l"] - hips)
    limbs = {"clavicle_l": _map(bone("clavicle_l", "upperarm_l"), _FORWARDS, target["left_shoulder"] - root, _FORWARDS)}
    # The arm hangs bent: its plane says which way the elbow bends, and in the rest pose that is forwards.
    upper, lower = bone("upperarm_l", "lowerarm_l"), bone("lowerarm_l", "hand_l")
    axis = np.cross(upper, lower)
    limbs["upperarm_l"] = _map(upper, axis, wanted("shoulder", "elbow"), _DOWN)
    across, palm = bone("left_little", "left_index"), bone("hand_l", "left_middle")
    limbs["hand_l"] = _unstretched(palm, across, wanted("wrist", "hand"), _FORWARDS)
    # Half of what the palm has to turn about the forearm, the forearm turns.
    straight = _map(lower, axis, wanted("elbow", "wrist"), _DOWN)
    along = np.linalg.inv(straight) @ limbs["hand_l"] @ across
    side = _unit(_across(across, lower)) + _unit(_across(along, lower))
    limbs["lowerarm_l"] = _map(lower, across, wanted("elbow", "wrist"), straight @ side)
    limbs["thigh_l"] = _map(bone("thigh_l", "calf_l"), _FORWARDS, wanted("hip", "knee"), _FORWARDS)
    limbs["calf_l"] = _map(bone("calf_l", "foot_l"), _FORWARDS, wanted("knee", "ankle"), _FORWARDS)
    limbs["foot_l"] = _unstretched(_DOWN, bone("foot_l", "left_ball"), _DOWN, wanted("ankle", "foot"))
    for name, matrix in limbs.items():
        maps[name] = matrix
        maps[f"{name[:-1]}r"] = _MIRROR @ matrix @ _MIRROR
    return maps


def rest(body: Body, maps: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Return the body's vertices (V, 3) and its bones' beginnings (3,) by name after ``maps``, its hips in their place.

    Linear blend skinning with matrices that stretch too. The result is linear in the body's vertices and joints, and
    in each of the matrices.
    """
    source = dict(zip(body.bones, body.joints, strict=True))
    # The pelvis and the trunk hang on the middle of the hips.
    source |= dict.fromkeys(("pelvis", *_TRUNK), _hips(body))
    image: dict[str, Array] = {}
    for name, parent in zip(body.bones, body.parents, strict=True):
        above = body.bones[parent]
        moved = maps[above] @ (source[name] - source[above]) if parent >= 0 else np.zeros(3)
        image[name] = (image[above] if parent >= 0 else _hips_target()) + moved
    matrices = np.stack([maps[name] for name in body.bones])
    shifts = np.stack([image[name] - maps[name] @ source[name] for name in body.bones])
    blended = body.weights @ np.concatenate([matrices.reshape(-1, 9), shifts], axis=1)
    vertices = (blended[:, :9].reshape(-1, 3, 3) @ body.vertices[:, :, None])[:, :, 0] + blended[:, 9:]
    return vertices, image


def _hips(body: Body) -> Array:
    return body.joints[[body.bones.index("thigh_l"), body.bones.index("thigh_r")]].mean(axis=0)


def _hips_target() -> Array:
    target = rest_targets()
    return (target["left_hip"] + target["right_hip"]) / 2


def _unit(vector: Array) -> Array:
    return vector / np.linalg.norm(vector)


def _across(vector: Array, direction: Array) -> Array:
    """Return the part of ``vector`` at right angles to ``direction``."""
    axis = _unit(direction)
    return vector - (vector @ axis) * axis


def _frame(direction: Array, side: Array) -> Array:
    first, second = _unit(direction), _unit(_across(side, direction))
    return np.stack([first, second, np.cross(first, second)], axis=1)


def _unstretched(start: Array, start_side: Array, end: Array, end_side: Array) -> Array:
    """Return the rotation that turns one direction into the other, and its side to the other's side."""
    return _frame(end, end_side) @ _frame(start, start_side).T


def _map(start: Array, start_side: Array, end: Array, end_side: Array) -> Array:
    """Return the rotation of ``_unstretched`` after a stretch along ``start`` that makes it as long as ``end``."""
    along = np.outer(_unit(start), _unit(start))
    stretch = np.linalg.norm(end) / np.linalg.norm(start)
    return _unstretched(start, start_side, end, end_side) @ (np.eye(3) + (stretch - 1) * along)
