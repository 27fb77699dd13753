"""Motions of rigs as SMPL poses and the other way round, in the plain forms of :mod:`smpl_tools.contents`."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.coordinates import PELVIS
from smpl_tools.motion import Motion, Person, Skeleton, Track
from smpl_tools.rigs.rest import Alignment, align
from smpl_tools.rigs.retarget import rig_to_smpl, smpl_to_rig
from smpl_tools.rotations import continuous_axis_angle, matrix_to_axis_angle
from smpl_tools.skeleton import SMPL, SMPL_H, person_pose

# Where each hand's fingers begin among the joints of SMPL-H.
_HANDS = {"left": 22, "right": 37}
# Entries of matrices that differ by less are the same axes, in files of six decimals.
_SAME_AXES = 1e-4


def smpl_of_rig(motion: Motion) -> tuple[Motion, tuple[str, ...]]:
    """Return a motion of a rig as SMPL poses in metres, and in sentences how far it is from the rig's.

    Args:
        motion: in the plain form ``rig``; its joints are known by their names, or by how they lie.

    Raises:
        ValueError: the rig is no person's, or no frame and no rest pose stands; see ``smpl_tools.rigs``.
    """
    skeleton = motion.skeleton
    if skeleton is None:
        raise mismatch("motion", "one in the form of a rig", "one without a skeleton")
    people, notes = [], []
    for person in motion.people:
        rotations, offsets = person_pose(person, skeleton)
        take = rig_to_smpl(skeleton, rotations, offsets[:, 0], local_offsets=offsets)
        up = person.tracks["global_orient"].up
        place = (take.transl - PELVIS)[:, None]
        tracks = {
            "global_orient": Track(take.global_orient, "axis_angle", "root", SMPL.joints[:1], up=up),
            "body_pose": Track(take.body_pose, "axis_angle", "body", SMPL.joints[1:]),
            "transl": Track(np.asarray(place), "position", "root", SMPL.joints[:1], metres=1.0, up=up),
        }
        fingers = _fingers(skeleton, rotations, take.alignment)
        people.append(Person(person.id, {**tracks, **fingers}, person.frames))
        carried = {joint for track in fingers.values() for joint in track.joints}
        left_out = tuple(joint for joint in take.report.unmapped if joint not in carried)
        notes += dataclasses.replace(take.report, unmapped=left_out).lines()
    return dataclasses.replace(motion, people=tuple(people), skeleton=None, source=None), tuple(dict.fromkeys(notes))


def rig_of_smpl(motion: Motion, rig: Motion) -> tuple[Motion, tuple[str, ...]]:
    """Return SMPL poses as a motion of a given rig, in its axes and unit, and in sentences how far they are apart.

    Where the rig's own motion has the frames of the poses, these were made from it: fingers and other joints that SMPL
    has not keep its rotations, and joints that share one of SMPL's keep their share.

    Args:
        motion: in the plain form ``smpl``, metres, in the axes of the rig's scene.
        rig: in the plain form ``rig``, one person, that states its axes; its frames show how it stands where its rest
            pose does not.

    Raises:
        ValueError: poses of nobody or several people, without a translation, or a rig that is no person's.
    """
    skeleton = rig.skeleton
    if skeleton is None or len(rig.people) != 1:
        raise mismatch("rig", "the skeleton of one person", "no skeleton" if skeleton is None else len(rig.people))
    (own,) = rig.people
    rotations, offsets = person_pose(own, skeleton)
    alignment = align(skeleton, rotations, local_offsets=offsets)
    up = own.tracks["global_orient"].up
    people, notes = [], []
    for person in motion.people:
        body = person.tracks["body_pose"].values
        pose = np.zeros((len(person.frames), 23, 3))
        pose[:, : body.shape[1]] = body
        place = np.zeros((len(person.frames), 3)) + PELVIS
        if "transl" in person.tracks:
            place = place + person.tracks["transl"].values[:, 0]
        same = np.array_equal(person.frames, own.frames)
        take = smpl_to_rig(
            person.tracks["global_orient"].values,
            pose,
            place,
            skeleton,
            alignment=alignment,
            rotations=rotations if same else None,
            local_offsets=offsets if same else None,
        )
        names = skeleton.joints
        root = take.root_positions[:, None]
        tracks = {
            "global_orient": Track(take.rotations[:, :1], "rotation_matrix", "root", names[:1], up=up),
            "body_pose": Track(take.rotations[:, 1:], "rotation_matrix", "body", names[1:]),
            "transl": Track(root, "position", "root", names[:1], metres=skeleton.metres, up=up),
        }
        if same and "joint_positions" in own.tracks:
            tracks["joint_positions"] = own.tracks["joint_positions"]
        people.append(Person(person.id, tracks, person.frames))
        notes += take.report.lines()
        if same:
            notes.append("the rig's own motion has the same frames: joints that SMPL has not keep theirs")
    return dataclasses.replace(motion, people=tuple(people), skeleton=skeleton, source=None), tuple(
        dict.fromkeys(notes)
    )


def _fingers(skeleton: Skeleton, rotations: NDArray[np.float64], alignment: Alignment) -> dict[str, Track]:
    """Return the hands' poses where the rig has SMPL-H's fingers by name and the same axes in the wrists."""
    tracks = {}
    for side, first in _HANDS.items():
        names = SMPL_H.joints[first : first + 15]
        wrist = alignment.matrices[SMPL.joints.index(f"{side}_wrist")]
        if set(names) <= set(skeleton.joints) and np.abs(wrist - np.eye(3)).max() < _SAME_AXES:
            local = rotations[:, [skeleton.joints.index(name) for name in names]]
            values = continuous_axis_angle(matrix_to_axis_angle(local))
            tracks[f"{side}_hand_pose"] = Track(values, "axis_angle", "hands", names)
    return tracks
