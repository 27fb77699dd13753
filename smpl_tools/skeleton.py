"""The hierarchies of the SMPL family, and where a skeleton's joints are when its joints turn.

Names and order of joints are those of SMPL (Loper et al., SIGGRAPH Asia 2015), SMPL-H (Romero et al., SIGGRAPH Asia
2017) and SMPL-X (Pavlakos et al., CVPR 2019). The rest offsets here are measures of our own, taken from no body model:
an approximate T-pose of a person 1.7 m tall, in metres, Y up, X to the person's left, Z forwards. They are good for
drawing a motion that comes without a body; positions computed from them are not those of the model's mesh.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.kinematics import global_rotations
from smpl_tools.motion import Person, Skeleton, Track
from smpl_tools.rotations import axis_angle_to_matrix, euler_to_matrix, quat_wxyz_to_matrix, rotation_6d_to_matrix

Array = NDArray[np.float64]

# name, parent, offset from the parent in centimetres
_BODY: tuple[tuple[str, str, tuple[float, float, float]], ...] = (
    ("pelvis", "", (0, 0, 0)),
    ("left_hip", "pelvis", (8, -8, 0)),
    ("right_hip", "pelvis", (-8, -8, 0)),
    ("spine1", "pelvis", (0, 11, -2)),
    ("left_knee", "left_hip", (2, -38, 0)),
    ("right_knee", "right_hip", (-2, -38, 0)),
    ("spine2", "spine1", (0, 13, 0)),
    ("left_ankle", "left_knee", (0, -40, -2)),
    ("right_ankle", "right_knee", (0, -40, -2)),
    ("spine3", "spine2", (0, 6, 2)),
    ("left_foot", "left_ankle", (3, -5, 12)),
    ("right_foot", "right_ankle", (-3, -5, 12)),
    ("neck", "spine3", (0, 21, -3)),
    ("left_collar", "spine3", (7, 12, -2)),
    ("right_collar", "spine3", (-7, 12, -2)),
    ("head", "neck", (0, 9, 4)),
    ("left_shoulder", "left_collar", (11, 3, -1)),
    ("right_shoulder", "right_collar", (-11, 3, -1)),
    ("left_elbow", "left_shoulder", (26, 0, -1)),
    ("right_elbow", "right_shoulder", (-26, 0, -1)),
    ("left_wrist", "left_elbow", (25, 0, 0)),
    ("right_wrist", "right_elbow", (-25, 0, 0)),
)
_HANDS = (("left_hand", "left_wrist", (8, -1, 0)), ("right_hand", "right_wrist", (-8, -1, 0)))
_FACE = (
    ("jaw", "head", (0, 0, 2)),
    ("left_eye_smplhf", "head", (3, 6, 7)),
    ("right_eye_smplhf", "head", (-3, 6, 7)),
)
# First joint of each finger from the wrist, and the step to each of the next two, in centimetres, of the left hand.
_FINGERS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "index": ((10, 0, 2.5), (3, 0, 0.2)),
    "middle": ((10, 0, 0), (3.2, 0, 0)),
    "pinky": ((8, -0.5, -4), (2, 0, -0.5)),
    "ring": ((9.5, 0, -2), (2.8, 0, -0.2)),
    "thumb": ((4, -1, 3), (2.5, 0, 2)),
}


def _fingers() -> tuple[tuple[str, str, tuple[float, float, float]], ...]:
    rows = []
    for side, sign in (("left", 1), ("right", -1)):
        for finger, (first, step) in _FINGERS.items():
            for number in (1, 2, 3):
                parent = f"{side}_{finger}{number - 1}" if number > 1 else f"{side}_wrist"
                x, y, z = step if number > 1 else first
                rows.append((f"{side}_{finger}{number}", parent, (sign * x, y, z)))
    return tuple(rows)


def _skeleton(rows: tuple[tuple[str, str, tuple[float, float, float]], ...]) -> Skeleton:
    names = tuple(name for name, _, _ in rows)
    parents = np.array([names.index(parent) if parent else -1 for _, parent, _ in rows], dtype=np.int64)
    offsets = np.array([offset for _, _, offset in rows], dtype=np.float64) / 100
    parents.flags.writeable = offsets.flags.writeable = False
    return Skeleton(names, parents, offsets)


SMPL = _skeleton((*_BODY, *_HANDS))
SMPL_H = _skeleton((*_BODY, *_fingers()))
SMPL_X = _skeleton((*_BODY, *_FACE, *_fingers()))


def positions(
    rotations: ArrayLike, transl: ArrayLike | None, skeleton: Skeleton, local_offsets: ArrayLike | None = None
) -> Array:
    """Return where the joints are (forward kinematics).

    ``p[c] = p[parent] + R[parent] @ offset[c]``, ``R[c] = R[parent] @ r[c]``; a root is at ``transl`` itself.

    Args:
        rotations: (T, J, 3, 3) of each joint relative to its parent, of a root relative to the scene.
        transl: (T, 3) position of the root, in the skeleton's unit; None places roots by their offsets.
        skeleton: J joints.
        local_offsets: (T, J, 3) or (J, 3) in place of the skeleton's offsets.

    Returns:
        (T, J, 3) float64 in the skeleton's unit and the scene's axes.

    Raises:
        ValueError: a shape is not as above, or a parent stands after its child.
    """
    local = np.asarray(rotations, np.float64)
    count = len(skeleton.joints)
    if local.ndim != 4 or local.shape[1:] != (count, 3, 3):
        raise mismatch("shape of rotations", f"(T, {count}, 3, 3)", local.shape)
    frames = len(local)
    given = np.asarray(skeleton.offsets if local_offsets is None else local_offsets, np.float64)
    if given.shape not in ((frames, count, 3), (count, 3)):
        raise mismatch("shape of local_offsets", f"{(frames, count, 3)} or {(count, 3)}", given.shape)
    offsets = np.broadcast_to(given, (frames, count, 3)).copy()
    if transl is not None:
        root = np.asarray(transl, np.float64)
        if root.shape != (frames, 3):
            raise mismatch("shape of transl", (frames, 3), root.shape)
        offsets[:, skeleton.parents < 0] = root[:, None]
    turned = global_rotations(local, skeleton.parents)
    placed = offsets
    for joint, parent in enumerate(skeleton.parents):
        if parent >= 0:
            placed[:, joint] = placed[:, parent] + (turned[:, parent] @ offsets[:, joint, :, None])[..., 0]
    return placed


def person_pose(person: Person, skeleton: Skeleton) -> tuple[Array, Array]:
    """Return the rotations and places of the joints of a person's rotation tracks, each relative to its parent.

    Tracks are matched with the skeleton by their joints' names: rotations of every kind, positions in tracks named
    ``transl`` (the root's) and ``joint_positions`` (in the parent's frame), and channels named
    ``<joint>.Xrotation`` to ``<joint>.Zposition`` as the BVH reader makes them. Joints without a track do not turn;
    where several tracks rotate one joint (a camera's and the world's view, say) the first counts.

    Args:
        person: T rows.
        skeleton: J joints, e.g. the motion's, or ``SMPL``, ``SMPL_H``, ``SMPL_X``.

    Returns:
        (T, J, 3, 3) rotations, a root's relative to the scene, and (T, J, 3) offsets in the skeleton's unit, a root's
        being where it is in the scene: what :func:`positions` takes. NaN where a joint was not observed; both NaN for
        joints under a root that has no joint of this person.

    Raises:
        ValueError: no track of the person names a joint of the skeleton.
    """
    index = {name: j for j, name in enumerate(skeleton.joints)}
    frames, count = len(person.frames), len(skeleton.joints)
    rotations = np.broadcast_to(np.eye(3), (frames, count, 3, 3)).copy()
    offsets = np.broadcast_to(skeleton.offsets, (frames, count, 3)).astype(np.float64)
    touched: set[int] = set()
    rotated: set[int] = set()
    for name, track in person.tracks.items():
        rotates = track.kind not in ("position", "channels")
        if not (rotates or name in ("transl", "joint_positions") or track.kind == "channels"):
            continue
        matrices = track_matrices(track) if rotates else None
        for k, joint in enumerate(track.joints):
            base, _, channel = joint.rpartition(".")
            j = index.get(base if track.kind == "channels" else joint, -1)
            if j < 0:
                continue
            if matrices is not None:
                if j not in rotated:
                    rotations[:, j] = matrices[:, k]
                rotated.add(j)
            elif track.kind == "position":
                offsets[:, j] = track.values[:, k]
            elif channel[1:] == "rotation":
                turn = np.zeros((frames, 3))
                turn[:, 0] = track.values[:, k]
                # Three different axes make up an order; only the first is turned about.
                axes = {"X": "xyz", "Y": "yzx", "Z": "zxy"}[channel[0]]
                rotations[:, j] = rotations[:, j] @ euler_to_matrix(turn, axes)
            elif channel[1:] == "position":
                offsets[:, j, "XYZ".index(channel[0])] = track.values[:, k]
            touched.add(j)
    if not touched:
        raise mismatch(f"tracks of person {person.id}", "joints of the skeleton", ", ".join(person.tracks) or "none")
    roots: list[int] = []
    for j, parent in enumerate(skeleton.parents):
        roots.append(j if parent < 0 else roots[parent])
    own = {roots[j] for j in touched}
    strangers = [j for j, root in enumerate(roots) if root not in own]
    rotations[:, strangers] = offsets[:, strangers] = np.nan
    return rotations, offsets


def person_positions(person: Person, skeleton: Skeleton) -> Array:
    """Return where the joints of a person's rotation tracks are, in the person's own scene.

    Tracks are matched with the skeleton as in :func:`person_pose`.

    Args:
        person: T rows.
        skeleton: J joints, e.g. the motion's, or ``SMPL``, ``SMPL_H``, ``SMPL_X``.

    Returns:
        (T, J, 3) float64 in the skeleton's unit. NaN below joints that were not observed, and for joints under a root
        that has no joint of this person.

    Raises:
        ValueError: no track of the person names a joint of the skeleton.
    """
    rotations, offsets = person_pose(person, skeleton)
    return positions(rotations, None, skeleton, offsets)


def cut(skeleton: Skeleton, kept: Sequence[int]) -> Skeleton:
    """Return a skeleton with some of its joints, in their order; one whose parent is not among them is a root."""
    place = {joint: new for new, joint in enumerate(kept)}
    rows = list(kept)
    return dataclasses.replace(
        skeleton,
        joints=tuple(skeleton.joints[j] for j in rows),
        parents=np.array([place.get(int(skeleton.parents[j]), -1) for j in rows], np.int64),
        offsets=np.asarray(skeleton.offsets)[rows],
        ends=None if skeleton.ends is None else skeleton.ends[rows],
    )


def has_smpl_poses(person: Person) -> bool:
    """Tell whether a person's tracks ``global_orient`` and ``body_pose`` are rotations of SMPL's joints."""
    orient, body = person.tracks.get("global_orient"), person.tracks.get("body_pose")
    if orient is None or body is None or orient.kind in ("position", "channels"):
        return False
    return orient.joints == SMPL.joints[:1] and body.joints in (SMPL.joints[1:], SMPL.joints[1:22])


def track_matrices(track: Track) -> Array:
    """Return the matrices (T, J, 3, 3) of a track of rotations of any kind, NaN where a value is not finite."""
    values = np.where(np.isfinite(track.values), track.values, np.nan).astype(np.float64)
    if track.kind == "axis_angle":
        return axis_angle_to_matrix(values)
    if track.kind == "quat_wxyz":
        return quat_wxyz_to_matrix(values)
    if track.kind == "rotation_6d":
        return rotation_6d_to_matrix(values, track.order)
    return values
