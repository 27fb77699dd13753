"""Where the points that captures and pose estimators give lie on a body of the SMPL family.

Joints of other sets are those of SMPL of the same name, or shares of several. What SMPL has no joint for (nose, ears,
heels, knuckles) lies at a fixed place beside one of its joints. The places are measures of our own of a person 1.7 m
tall, taken from no body model, and approximate; a fit moves them within limits where the data say so.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch, one_of
from smpl_tools.skeleton import SMPL

Array = NDArray[np.float64]
Shares = Mapping[str, float]

# name of the left or middle one, the joint it moves with, place from there in centimetres, arms stretched sideways
_PLACES: tuple[tuple[str, str, tuple[float, float, float]], ...] = (
    ("nose", "head", (0, 4, 12)),
    ("head_top", "head", (0, 20, 1)),
    ("left_eye_inner", "head", (1.8, 8, 9.5)),
    ("left_eye", "head", (3.2, 8, 9)),
    ("left_eye_outer", "head", (4.6, 8, 8)),
    ("left_ear", "head", (7.5, 5, 0)),
    ("left_mouth", "head", (2.5, 0, 9.5)),
    ("left_thumb", "left_wrist", (6.5, -1.5, 4.5)),
    ("left_index", "left_wrist", (9.5, 0, 2.5)),
    ("left_pinky", "left_wrist", (8, -0.5, -4)),
    ("left_heel", "left_ankle", (0, -6, -5)),
    ("left_toe", "left_foot", (0, -1, 7)),
)


def _both_sides() -> dict[str, tuple[str, Array]]:
    table = {}
    for name, joint, place in _PLACES:
        table[name] = (joint, np.array(place, np.float64) / 100)
        if name.startswith("left_"):
            other = joint.replace("left_", "right_")
            table[name.replace("left_", "right_")] = (other, np.array(place, np.float64) * (-1, 1, 1) / 100)
    return table


LANDMARKS = _both_sides()


def _same(*names: str) -> dict[str, Shares]:
    return {name: {name: 1.0} for name in names}


def _sides(*parts: str) -> tuple[str, ...]:
    return tuple(f"{side}_{part}" for part in parts for side in ("left", "right"))


_LIMBS = _sides("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_HIPS: Shares = {"left_hip": 0.5, "right_hip": 0.5}
_SHOULDERS: Shares = {"left_shoulder": 0.5, "right_shoulder": 0.5}

# What each point of a set is made of: shares of joints of SMPL or of the places above.
POINT_SETS: dict[str, dict[str, Shares]] = {
    # Human3.6M (Ionescu et al., TPAMI 2014), names as in ``smoothnet_core.joint_sets``.
    "h36m_17": {
        **_same(*_LIMBS, "nose"),
        "pelvis": _HIPS,
        "spine": {"spine2": 1.0},
        "thorax": {"neck": 1.0},
        "head": {"head_top": 1.0},
    },
    # COCO (Lin et al., ECCV 2014), with the middles that OpenPose adds.
    "coco_17": {
        **_same(*_LIMBS, "nose", *_sides("eye", "ear")),
        "neck": _SHOULDERS,
        "mid_hip": _HIPS,
    },
    # MediaPipe Pose, names as in ``smpl_tools.formats.mediapipe``.
    "mediapipe_33": {
        **_same(*_LIMBS, "nose", *_sides("eye_inner", "eye", "eye_outer", "ear", "thumb", "index", "pinky", "heel")),
        "mouth_left": {"left_mouth": 1.0},
        "mouth_right": {"right_mouth": 1.0},
        "left_foot_index": {"left_toe": 1.0},
        "right_foot_index": {"right_toe": 1.0},
    },
}


def shares_of(
    names: tuple[str, ...], mapping: str | Mapping[str, Shares] | None, joints: tuple[str, ...]
) -> list[Shares]:
    """Return what each of the points ``names`` is made of.

    Args:
        names: of the points.
        mapping: a key of ``POINT_SETS``, or the shares of joints or landmarks by name of a point, which sum to 1.
            None: the names are the joints' own or those of ``LANDMARKS``.
        joints: names of the body's joints.

    Raises:
        ValueError: no such set, a name that the mapping has not, or shares of what the body has not.
    """
    if isinstance(mapping, str):
        mapping = POINT_SETS[one_of("mapping", mapping, POINT_SETS)]
    if len(set(names)) < len(names):
        raise mismatch("names of the points", "each once", ", ".join(n for n in names if names.count(n) > 1))
    result = []
    for name in names:
        if mapping is not None and name not in mapping:
            raise mismatch(f"point {name!r}", "one of " + ", ".join(mapping), "no such point in the mapping")
        made = {name: 1.0} if mapping is None else mapping[name]
        for part in made:
            known = part in joints or (part in LANDMARKS and LANDMARKS[part][0] in joints)
            if not known:
                raise mismatch(f"joint {part!r} of point {name!r}", "a joint of the body or a landmark", "neither")
        if not np.isclose(sum(made.values()), 1.0):
            raise mismatch(f"shares of point {name!r}", "numbers that sum to 1", dict(made))
        result.append(made)
    return result


def landmark_places(joints: tuple[str, ...], parents: NDArray[np.int64], places: Array) -> dict[str, tuple[int, Array]]:
    """Return joint and place (3,) at rest of the landmarks of a body with joints at ``places`` (J, 3).

    Places grow with the body's bones. Hands are turned as the forearm points at rest.
    """
    at = {name: j for j, name in enumerate(joints)}
    lengths = np.linalg.norm(places - places[np.maximum(parents, 0)], axis=1)
    ours = np.linalg.norm(SMPL.offsets, axis=1)
    both = [(lengths[at[n]], ours[k]) for k, n in enumerate(SMPL.joints) if k and n in at and parents[at[n]] >= 0]
    scale = sum(a for a, _ in both) / sum(b for _, b in both) if both else 1.0
    result = {}
    for name, (joint, place) in LANDMARKS.items():
        if joint not in at:
            continue
        own = scale * place
        if joint.endswith("_wrist") and lengths[at[joint]] > 0:
            outwards = np.array([np.sign(place[0]), 0.0, 0.0])
            along = places[at[joint]] - places[parents[at[joint]]]
            own = shortest_turn(outwards, along) @ own
        result[name] = (at[joint], places[at[joint]] + own)
    return result


def shortest_turn(start: Array, end: Array) -> Array:
    """Return the rotations (..., 3, 3) by the least angle that turn directions ``start`` into ``end``, both (..., 3).

    ``R = I + [v] + [v]^2 / (1 + c)`` with ``v = a x b`` and ``c = a . b`` for unit vectors a and b (Moller and
    Hughes, Journal of Graphics Tools 1999). Opposite directions have no least turn and give no rotation.
    """
    a = start / np.maximum(np.linalg.norm(start, axis=-1, keepdims=True), 1e-12)
    b = end / np.maximum(np.linalg.norm(end, axis=-1, keepdims=True), 1e-12)
    a, b = np.broadcast_arrays(a, b)
    v, c = np.cross(a, b), (a * b).sum(axis=-1)[..., None, None]
    cross = np.zeros((*v.shape, 3))
    cross[..., 0, 1], cross[..., 0, 2], cross[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    cross = cross - np.swapaxes(cross, -1, -2)
    return np.eye(3) + cross + cross @ cross / np.maximum(1 + c, 1e-6)
