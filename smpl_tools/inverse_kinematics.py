"""From the positions of 15 joints to the rotations of a small skeleton, and back.

The joints are those of the paired sets: nose, then left and right shoulder, elbow, wrist, hip, knee, ankle, foot_index.
The skeleton has one set of bone lengths for everybody, so that a pose is told by its rotations alone; it has the axes
of ``smpl_tools.skeleton`` (Y up, X to the person's left, Z forwards), and its root rotation turns these into the
scene's. Its rest pose stands upright with the arms halfway down.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.motion import Skeleton
from smpl_tools.rotations import quat_wxyz_to_matrix
from smpl_tools.skeleton import positions

Array = NDArray[np.float64]

JOINTS = (
    "nose",
    *(
        f"{side}_{joint}"
        for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot_index")
        for side in ("left", "right")
    ),
)
# name, parent, offset from the parent in centimetres; measures of our own, of a person 1.7 m tall. The joints that turn
# come first, parents before children. The spine turns at the pelvis, the neck between the shoulders.
_ROWS: tuple[tuple[str, str, tuple[float, float, float]], ...] = (
    ("pelvis", "", (0, 0, 0)),
    ("spine", "pelvis", (0, 0, 0)),
    ("chest", "spine", (0, 48, 0)),
    ("neck", "chest", (0, 0, 0)),
    ("left_shoulder", "chest", (17, 0, 0)),
    ("right_shoulder", "chest", (-17, 0, 0)),
    ("left_elbow", "left_shoulder", (19, -19, 0)),
    ("right_elbow", "right_shoulder", (-19, -19, 0)),
    ("left_hip", "pelvis", (10, 0, 0)),
    ("right_hip", "pelvis", (-10, 0, 0)),
    ("left_knee", "left_hip", (0, -40, 0)),
    ("right_knee", "right_hip", (0, -40, 0)),
    ("left_ankle", "left_knee", (0, -40, 0)),
    ("right_ankle", "right_knee", (0, -40, 0)),
    ("nose", "neck", (0, 18, 12)),
    ("left_wrist", "left_elbow", (17, -17, 0)),
    ("right_wrist", "right_elbow", (-17, -17, 0)),
    ("left_foot_index", "left_ankle", (0, -7, 14)),
    ("right_foot_index", "right_ankle", (0, -7, 14)),
)
_NAMES = tuple(name for name, _, _ in _ROWS)
SKELETON = Skeleton(
    _NAMES,
    np.array([_NAMES.index(parent) if parent else -1 for _, parent, _ in _ROWS]),
    np.array([offset for _, _, offset in _ROWS], np.float64) / 100,
)
# The joints whose rotations make up a pose; the others are the ends of the last bones.
TURNING = _NAMES[:14]
# The joints of the limbs that turn a bone, each with the bone's far end; a chain is worked off from the body outwards.
LIMB_BONES = tuple(
    (f"{side}_{joint}", f"{side}_{end}")
    for joint, end in (
        ("shoulder", "elbow"),
        ("elbow", "wrist"),
        ("hip", "knee"),
        ("knee", "ankle"),
        ("ankle", "foot_index"),
    )
    for side in ("left", "right")
)
_BONES = (("spine", "chest"), ("neck", "nose"), *LIMB_BONES)


def joints_to_rotations(joints: ArrayLike) -> Array:
    """Return the local rotations (..., 14, 3, 3) of ``TURNING`` that point the skeleton's bones as the joints show.

    The pelvis' X axis is the line of the hips and its Y axis as near to the spine as that allows; the chest likewise
    with the line of the shoulders. Every other joint turns its bone by the smallest rotation from rest, which sets the
    twist that positions do not tell. The rotations do not depend on bone lengths.

    Args:
        joints: (..., 15, 3) positions of ``JOINTS`` in any right-handed axes and any unit. Where one is NaN, or joints
            of a bone coincide, the rotations that depend on it are NaN.

    Raises:
        ValueError: the shape is another.
    """
    array = np.asarray(joints, np.float64)
    if array.shape[-2:] != (len(JOINTS), 3):
        raise mismatch("shape of the joints", f"(..., {len(JOINTS)}, 3)", array.shape)
    at = {name: array[..., j, :] for j, name in enumerate(JOINTS)}
    at["pelvis"] = (at["left_hip"] + at["right_hip"]) / 2
    at["chest"] = (at["left_shoulder"] + at["right_shoulder"]) / 2
    at["spine"], at["neck"] = at["pelvis"], at["chest"]
    spine = at["chest"] - at["pelvis"]
    # In the scene's axes; the joints that are not in here yet have their parent's.
    turned = {"pelvis": _frame(at["left_hip"] - at["right_hip"], spine)}
    turned["chest"] = _frame(at["left_shoulder"] - at["right_shoulder"], spine)
    local = {"pelvis": turned["pelvis"]}
    for joint, end in _BONES:
        parent = turned[_parent(joint)]
        seen = np.einsum("...ij,...i->...j", parent, at[end] - at[joint])
        rest = SKELETON.offsets[SKELETON.joints.index(end)]
        local[joint] = _smallest_rotation(_unit(rest), _unit(seen))
        turned[joint] = parent @ local[joint]
    local["chest"] = turned["spine"].swapaxes(-1, -2) @ turned["chest"]
    return np.stack([local[name] for name in TURNING], axis=-3)


def rotations_to_joints(rotations: ArrayLike) -> Array:
    """Return the positions (T, 15, 3) in metres of ``JOINTS``, the middle of the hips at 0 (forward kinematics).

    Args:
        rotations: (T, 14, 3, 3) local rotations of ``TURNING``.

    Raises:
        ValueError: the shape is another.
    """
    given = np.asarray(rotations, np.float64)
    if given.ndim != 4 or given.shape[1:] != (len(TURNING), 3, 3):
        raise mismatch("shape of the rotations", f"(T, {len(TURNING)}, 3, 3)", given.shape)
    every = np.broadcast_to(np.eye(3), (len(given), len(_NAMES), 3, 3)).copy()
    every[:, : len(TURNING)] = given
    return positions(every, None, SKELETON)[:, [_NAMES.index(name) for name in JOINTS]]


def _parent(joint: str) -> str:
    return _NAMES[SKELETON.parents[_NAMES.index(joint)]]


def _unit(vector: Array) -> Array:
    with np.errstate(invalid="ignore"):  # no direction: NaN, as documented
        return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def _frame(left: Array, up: Array) -> Array:
    """Return the rotations (..., 3, 3) whose X axis is ``left`` and whose Y axis is as near as can be to ``up``."""
    x = _unit(left)
    z = _unit(np.cross(x, up))
    return np.stack([x, np.cross(z, x), z], axis=-1)


def _smallest_rotation(start: Array, end: Array) -> Array:
    """Return the smallest rotations (..., 3, 3) from a direction (3,) to directions (..., 3), all of length 1.

    The quaternion ``(1 + start . end, start x end)`` has half the angle between them. Opposite directions have no
    smallest one; theirs is half a turn about an axis across ``start``.
    """
    cosine = end @ start
    quat = np.concatenate([1 + cosine[..., None], np.cross(start, end)], axis=-1)
    across = np.cross(start, np.eye(3)[np.abs(start).argmin()])
    quat[cosine < -1 + 1e-12] = [0.0, *across]
    return quat_wxyz_to_matrix(quat)
