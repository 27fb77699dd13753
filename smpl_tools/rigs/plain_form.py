"""The plain form ``rig`` of :mod:`smpl_tools.contents`: rotations of every joint of one skeleton."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.coordinates import PELVIS, stated_units, with_unit
from smpl_tools.motion import Motion, Person, Skeleton, Track
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X, cut, person_pose, positions

_SMPL_JOINTS = {*SMPL.joints, *SMPL_H.joints, *SMPL_X.joints}


def skeleton_of_smpl(motion: Motion) -> Motion:
    """Return SMPL poses in their plain form as rotations of the skeleton of ``smpl_tools.skeleton`` that has them."""
    if len(stated_units(motion)) > 1:
        # One skeleton for all people, so one unit.
        motion = with_unit(motion, 1.0)
    names = {joint for person in motion.people for track in person.tracks.values() for joint in track.joints}
    skeleton = next(s for s in (SMPL, SMPL_H, SMPL_X) if names & _SMPL_JOINTS <= set(s.joints))
    people: list[Person] = []
    for person in motion.people:
        rotations, _ = person_pose(person, skeleton)
        tracks = _rig_tracks(skeleton, rotations, person.tracks["global_orient"])
        transl = person.tracks.get("transl")
        if transl is not None:
            place = transl.values.astype(np.float64) + PELVIS / (transl.metres or 1.0)
            tracks["transl"] = transl.replace(values=place)
        people.append(Person(person.id, tracks, person.frames))
    units = {t.metres for p in people for n, t in p.tracks.items() if n == "transl"}
    metres = units.pop() if len(units) == 1 else None
    skeleton = dataclasses.replace(skeleton, offsets=skeleton.offsets / (metres or 1.0), metres=metres or 1.0)
    return dataclasses.replace(motion, people=tuple(people), skeleton=skeleton, source=None)


def plain_rig(motion: Motion) -> Motion:
    """Return a motion with a skeleton in the plain form ``rig``.

    Raises:
        ValueError: several people under roots of their own.
    """
    skeleton = motion.skeleton
    assert skeleton is not None  # since the motion carries a rig
    roots = [j for j, parent in enumerate(skeleton.parents) if parent < 0]
    if len(roots) > 1:
        ids = [person.id for person in motion.people]
        if len(ids) != 1:
            raise mismatch("people of a file with several hierarchies", "one (--person)", ", ".join(ids) or "nobody")
        skeleton = _under(skeleton, ids[0])
    people = []
    for person in motion.people:
        rotations, offsets = person_pose(person, skeleton)
        first = person.tracks.get("global_orient", next(iter(person.tracks.values())))
        tracks = _rig_tracks(skeleton, rotations, first)
        # A root without position channels stays where its offset puts it.
        place = person.tracks.get("transl", first)
        root = Track(offsets[:, :1], "position", "root", skeleton.joints[:1], metres=skeleton.metres, up=place.up)
        tracks["transl"] = root
        moving = [j for j in range(1, len(skeleton.joints)) if not (offsets[:, j] == skeleton.offsets[j]).all()]
        if moving:
            names = tuple(skeleton.joints[j] for j in moving)
            tracks["joint_positions"] = Track(offsets[:, moving], "position", "body", names, metres=skeleton.metres)
        people.append(Person(person.id, tracks, person.frames))
    return dataclasses.replace(motion, people=tuple(people), skeleton=skeleton, source=None)


def _under(skeleton: Skeleton, root: str) -> Skeleton:
    """Return the hierarchy of one root alone."""
    first = skeleton.joints.index(root)
    kept = [first]
    for j, parent in enumerate(skeleton.parents):
        if parent in kept:
            kept.append(j)
    return cut(skeleton, kept)


def _rig_tracks(skeleton: Skeleton, rotations: NDArray[np.float64], like: Track) -> dict[str, Track]:
    up = like.up if like.part == "root" else None
    tracks = {"global_orient": Track(rotations[:, :1], "rotation_matrix", "root", skeleton.joints[:1], up=up)}
    if len(skeleton.joints) > 1:
        tracks["body_pose"] = Track(rotations[:, 1:], "rotation_matrix", "body", skeleton.joints[1:])
    return tracks


def rig_arrays(motion: Motion, person: Person) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return local rotations (T, J, 3, 3) and local offsets (T, J, 3) of a person of a motion in the form ``rig``."""
    if motion.skeleton is None:
        raise mismatch("motion", "one in the form of a rig", "one without a skeleton")
    return person_pose(person, motion.skeleton)


def joints_of_rig(motion: Motion) -> Motion:
    """Return a motion in the plain form ``rig`` as positions of its joints, by forward kinematics."""
    skeleton = motion.skeleton
    assert skeleton is not None
    people = []
    for person in motion.people:
        rotations, offsets = person_pose(person, skeleton)
        places = positions(rotations, None, skeleton, offsets)
        up = person.tracks["global_orient"].up
        track = Track(places, "position", "body", skeleton.joints, metres=skeleton.metres, up=up)
        people.append(Person(person.id, {"joints": track}, person.frames))
    return dataclasses.replace(motion, people=tuple(people), skeleton=skeleton, source=None)
