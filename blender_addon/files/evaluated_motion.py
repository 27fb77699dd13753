"""Armatures over time as motions: of any rig, of an imported body, of points. Pure: the samples are arrays.

The scene has Z up and one unit is a metre.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.coordinates import up_rotation
from smpl_tools.kinematics import local_rotations
from smpl_tools.motion import Motion, Person, Skeleton, Track, Up
from smpl_tools.rotations import continuous_axis_angle, matrix_to_axis_angle, project_to_so3
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X

from .motion_files import Record

Array = NDArray[np.float64]

# Metres by which a joint may leave its place at its parent, from rounding alone.
_STILL = 2e-5
_PARTS = (
    ("global_orient", "root", SMPL.joints[:1]),
    ("body_pose", "body", SMPL.joints[1:22]),
    ("left_hand_pose", "hands", SMPL_H.joints[22:37]),
    ("right_hand_pose", "hands", SMPL_H.joints[37:52]),
    ("jaw_pose", "face", SMPL_X.joints[22:23]),
    ("eye_pose", "face", SMPL_X.joints[23:25]),
)


@dataclass(frozen=True, eq=False)
class Take:
    """An armature at T moments.

    Attributes:
        name: of the object.
        bones: B names, parents first.
        parents: (B,) index of the parent, -1 for a root.
        rest: (B, 4, 4) at rest, in the armature's space.
        tails: (B, 3) where the bones end at rest, in the armature's space.
        deforming: (B,) whether a bone moves meshes.
        world: (T, 4, 4) of the object.
        pose: (T, B, 4, 4) in the armature's space.
    """

    name: str
    bones: tuple[str, ...]
    parents: NDArray[np.int64]
    rest: Array
    tails: Array
    deforming: NDArray[np.bool_]
    world: Array
    pose: Array

    def rows(self, rows: NDArray[np.int64]) -> Take:
        """Return the take at some of its moments."""
        return dataclasses.replace(self, world=self.world[rows], pose=self.pose[rows])


@dataclass(frozen=True, eq=False)
class JointPoses:
    """Joints in the scene.

    Attributes:
        parents: (J,) index of the parent, -1 for a root.
        turned: (T, J, 3, 3) how far each is turned from its rest.
        places: (T, J, 3) metres.
    """

    parents: NDArray[np.int64]
    turned: Array
    places: Array


def joint_poses(take: Take, record: Record) -> JointPoses:
    """Return the joints of an imported armature, by their bones' names; the size of the object does not count.

    Raises:
        ValueError: a bone is gone.
    """
    at = {bone: k for k, bone in enumerate(take.bones)}
    gone = [bone for bone in record.bones if bone not in at]
    if gone:
        names = ", ".join(gone[:5]) + (", ..." if len(gone) > 5 else "")
        raise mismatch(f"bones of {take.name}", f"those of the import, with {names}", "an armature without")
    chosen = [at[bone] for bone in record.bones]
    sizes = np.cbrt(np.linalg.det(take.world[:, :3, :3]))[:, None, None]
    world = take.world[:, :3].copy() / np.where(sizes == 0, 1.0, sizes)
    return _poses(world, take.pose[:, chosen], take.rest[chosen], _above(take.parents, chosen))


def _poses(world: Array, pose: Array, rest: Array, parents: NDArray[np.int64]) -> JointPoses:
    back = np.linalg.inv(rest)[:, :3, :3]
    turned = world[:, None, :, :3] @ (pose[..., :3, :3] @ back)
    places = (world[:, None, :, :3] @ pose[..., :3, 3, None])[..., 0] + world[:, None, :, 3]
    return JointPoses(parents, project_to_so3(turned), places)


def _above(parents: NDArray[np.int64], chosen: list[int]) -> NDArray[np.int64]:
    """Return for each chosen bone the place among them of the nearest one above it."""
    place = {bone: k for k, bone in enumerate(chosen)}
    result = []
    for bone in chosen:
        above = int(parents[bone])
        while above >= 0 and above not in place:
            above = int(parents[above])
        result.append(place.get(above, -1))
    return np.array(result, np.int64)


def smpl_motion(takes: list[tuple[Take, Record]], fps: float, up: Up) -> Motion:
    """Return imported bodies as a motion in the plain form ``smpl``, in metres.

    Args:
        takes: armatures with the joints of SMPL, SMPL-H or SMPL-X.
        fps: frames a second.
        up: axis of the motion that points up.

    Raises:
        ValueError: see :func:`joint_poses`.
    """
    turn, rest = up_rotation(up, "z"), up_rotation("y", "z")
    people = []
    for take, record in takes:
        found = joint_poses(take, record)
        local = local_rotations(found.turned @ rest, found.parents)
        local[:, 0] = turn.T @ local[:, 0]
        frames = np.arange(len(local), dtype=np.int64)
        tracks = {}
        for name, part, joints in _PARTS:
            if name == "body_pose" and set(SMPL.joints) <= set(record.joints):
                joints = SMPL.joints[1:]
            if set(joints) <= set(record.joints):
                values = local[:, [record.joints.index(joint) for joint in joints]]
                vectors = continuous_axis_angle(matrix_to_axis_angle(values))
                tracks[name] = Track(vectors, "axis_angle", part, joints)  # type: ignore[arg-type]
        tracks["global_orient"] = tracks["global_orient"].replace(up=up)
        transl = found.places[:, :1] @ turn - np.array(record.pelvis)
        tracks["transl"] = Track(transl, "position", "root", SMPL.joints[:1], metres=1.0, up=up)
        betas = np.array(record.betas) if record.betas else None
        people.append(Person(record.person, tracks, frames, betas, record.gender or None))
    return Motion("scene", tuple(people), fps)


def points_motion(takes: list[tuple[Take, Record]], fps: float) -> Motion:
    """Return imported points as a motion in the plain form ``joints``, or ``joints_2d`` in pixels.

    Raises:
        ValueError: see :func:`joint_poses`.
    """
    people = []
    for take, record in takes:
        values = points_of(joint_poses(take, record).places, record)
        image = record.content == "joints_2d"
        stated = {} if image else {"metres": 1.0, "up": "z"}
        if not image:
            values = joint_poses(take, record).places
        track = Track(values, "position", "body", record.joints, **stated)  # type: ignore[arg-type]
        people.append(Person(record.person, {"joints": track}, np.arange(len(values), dtype=np.int64)))
    return Motion("scene", tuple(people), fps)


def points_of(places: Array, record: Record) -> Array:
    """Return places (T, J, 3) in the scene as the file of a record counts them, (T, J, 3) or pixels (T, J, 2)."""
    if record.content == "joints_2d":
        return ((places - np.array(record.origin)) / record.metres)[..., [0, 2]] * [1.0, -1.0]
    turn = up_rotation(record.up or "y", "z")  # type: ignore[arg-type]
    return (places @ turn) / record.metres


def rig_motion(take: Take, fps: float, *, deforming: bool = True) -> Motion:
    """Return any armature as a motion in the plain form ``rig``, one person, metres, Z up.

    At rest its joints have the axes of the scene, in the place, size and direction that the object has at first.
    Several bones without a parent hang on one that follows the object.

    Args:
        take: at least one bone.
        fps: frames a second.
        deforming: leave out bones that move no mesh, if there are others.
    """
    chosen = [k for k in range(len(take.bones)) if take.deforming[k] or not deforming]
    chosen = chosen or list(range(len(take.bones)))
    parents = _above(take.parents, chosen)
    world = take.world[:, :3]
    pose, rest = take.pose[:, chosen], take.rest[chosen]
    first = take.world[0].copy()
    first[:3, 3] = 0.0
    stands = first @ rest
    found = _poses(world, pose, stands, parents)
    names = [take.bones[k] for k in chosen]
    heads = stands[:, :3, 3]
    tails = take.tails[chosen] @ first[:3, :3].T
    turned, places = found.turned, found.places
    if int((parents < 0).sum()) > 1:
        name = take.name
        while name in names:
            name += "_root"
        names = [name, *names]
        turned = np.concatenate([project_to_so3(world[:, None, :, :3] @ np.linalg.inv(first[:3, :3])), turned], axis=1)
        places = np.concatenate([world[:, None, :, 3], places], axis=1)
        heads = np.concatenate([np.zeros((1, 3)), heads])
        tails = np.concatenate([np.zeros((1, 3)), tails])
        parents = np.concatenate([[-1], parents + 1])
    offsets = heads.copy()
    local = places.copy()
    for j, parent in enumerate(parents):
        if parent >= 0:
            offsets[j] -= heads[parent]
            away = places[:, j] - places[:, parent]
            local[:, j] = (turned[:, parent].transpose(0, 2, 1) @ away[..., None])[..., 0]
    skeleton = Skeleton(tuple(names), np.asarray(parents, np.int64), offsets, 1.0, tails - heads)
    rotations = local_rotations(turned, parents)
    tracks = {
        "global_orient": Track(rotations[:, :1], "rotation_matrix", "root", skeleton.joints[:1], up="z"),
        "transl": Track(local[:, :1], "position", "root", skeleton.joints[:1], metres=1.0, up="z"),
    }
    if len(names) > 1:
        tracks["body_pose"] = Track(rotations[:, 1:], "rotation_matrix", "body", skeleton.joints[1:])
    moving = [j for j in range(1, len(names)) if np.abs(local[:, j] - offsets[j]).max(initial=0.0) > _STILL]
    if moving:
        joints = tuple(names[j] for j in moving)
        tracks["joint_positions"] = Track(local[:, moving], "position", "body", joints, metres=1.0)
    person = Person(take.name, tracks, np.arange(len(local), dtype=np.int64))
    return Motion("scene", (person,), fps, skeleton)
