"""What a motion carries, and the plain form of it that every format can be written from.

Formats store the same things in different ways. Between them stands a motion in a plain form, one for each content:

``smpl``: ``global_orient`` (T, 1, 3), ``body_pose`` (T, 21 or 23, 3), where there are any ``left_hand_pose``,
``right_hand_pose`` (T, 15, 3), ``jaw_pose`` (T, 1, 3), ``eye_pose`` (T, 2, 3), all ``axis_angle``, ``transl``
(T, 1, 3), ``expression`` and ``betas`` (T, K); joints are named as in ``smpl_tools.skeleton``.
``rig``: ``global_orient`` (T, 1, 3, 3) and ``body_pose`` (T, J - 1, 3, 3), ``rotation_matrix`` of every joint of the
motion's skeleton, ``transl`` (T, 1, 3) where its root is, and ``joint_positions`` of the joints that are not at their
rest offset.
``joints``, ``joints_2d``: one track ``joints`` of positions (T, J, 3 or 2).
``array``: one track ``motion`` of any kind.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from smoothnet_core._checks import mismatch, one_of
from smpl_tools.joint_names import is_numbered
from smpl_tools.motion import Motion, Part, Person, Track
from smpl_tools.rigs.plain_form import joints_of_rig, plain_rig, skeleton_of_smpl
from smpl_tools.rotations import continuous_axis_angle, matrix_to_axis_angle
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X, has_smpl_poses, track_matrices

CONTENTS: dict[str, str] = {
    "smpl": "SMPL poses",
    "rig": "rotations of a skeleton's joints",
    "joints": "3D positions of joints",
    "joints_2d": "2D positions of joints",
    "array": "a plain array",
}
# What is made from what: each content from itself first.
_SOURCES = {
    "smpl": ("smpl", "rig"),
    "rig": ("rig", "smpl"),
    "joints": ("joints", "smpl", "rig"),
    "joints_2d": ("joints_2d",),
    "array": ("array", "joints", "joints_2d", "smpl", "rig"),
}
_SMPL_TRACKS = ("left_hand_pose", "right_hand_pose", "jaw_pose", "eye_pose")
_SMPL_LAYOUT: tuple[tuple[str, Part, tuple[str, ...]], ...] = (
    ("global_orient", "root", SMPL.joints[:1]),
    ("body_pose", "body", SMPL.joints[1:]),
    ("left_hand_pose", "hands", SMPL_H.joints[22:37]),
    ("right_hand_pose", "hands", SMPL_H.joints[37:52]),
    ("jaw_pose", "face", SMPL_X.joints[22:23]),
    ("eye_pose", "face", SMPL_X.joints[23:25]),
)


def carried(motion: Motion) -> tuple[str, ...]:
    """Return the contents that a motion carries as it stands, keys of ``CONTENTS``."""
    found = []
    tracks = [(name, track) for person in motion.people for name, track in person.tracks.items()]
    if motion.people and all(has_smpl_poses(person) or _array_of_poses(person) for person in motion.people):
        found.append("smpl")
    elif motion.skeleton is not None and bool(np.isfinite(motion.skeleton.offsets).all()):
        found.append("rig")
    for content, size in (("joints", 3), ("joints_2d", 2)):
        if any(_is_joints(name, track, size) for name, track in tracks):
            found.append(content)
    if motion.format == "array" and all("motion" in person.tracks for person in motion.people):
        found.append("array")
    return tuple(found)


def derivable(motion: Motion, contents: tuple[str, ...]) -> tuple[str, str] | None:
    """Return the first of ``contents`` that can be made from a motion and what it is made from, None if none can.

    What the motion carries comes first, then what follows from it: joint positions from poses, a skeleton's rotations
    from SMPL poses and the other way round.
    """
    own = carried(motion)
    for content in contents:
        if content in own:
            return content, content
    for content in contents:
        for source in _SOURCES[content]:
            if source in own:
                return content, source
    return None


def as_content(motion: Motion, content: str, *, camera: bool = False) -> tuple[Motion, tuple[str, ...]]:
    """Return a motion in the plain form of a content, and remarks on what was done for that.

    Args:
        motion: that carries the content, or one it is made from.
        content: a key of ``CONTENTS``.
        camera: of SMPL poses that a file has both in the world and as the camera sees them, take the camera's.

    Raises:
        ValueError: the motion has nothing to make it from.
    """
    one_of("content", content, CONTENTS)
    found = derivable(motion, (content,))
    if found is None:
        names = ", ".join(CONTENTS[c] for c in carried(motion)) or "nothing of the kind"
        raise mismatch("content of the motion", CONTENTS[content], names)
    source = found[1]
    if content == "array":
        return _as_array(motion, source, camera)
    if source == "smpl":
        plain = _smpl(motion, camera)
        if content == "smpl":
            return plain, ()
        rig = skeleton_of_smpl(plain)
        note = "bone lengths are those of a skeleton of our own measures, not of the SMPL body"
        return (rig if content == "rig" else joints_of_rig(rig)), (note,)
    if source == "rig":
        rig = plain_rig(motion)
        if content == "rig":
            return rig, ()
        if content == "joints":
            return joints_of_rig(rig), ()
        from smpl_tools.rigs.motions import smpl_of_rig

        return smpl_of_rig(rig)
    return _joints(motion, 2 if content == "joints_2d" else 3), ()


def with_smpl_poses(motion: Motion) -> Motion:
    """Return a motion in which a plain array of the rotations of SMPL's joints is the tracks of SMPL poses.

    Rotations without names are taken for SMPL's if they are 22 (its body) or 24, for SMPL-H's if they are 52, for
    SMPL-X's if they are 55, the first for the root's; any other motion is returned as it is.
    """
    people = []
    for person in motion.people:
        joints = _array_of_poses(person)
        if not joints:
            return motion
        track, tracks = person.tracks["motion"], {}
        for name, part, own in _SMPL_LAYOUT:
            # SMPL's two hands belong to the body; SMPL-H and SMPL-X have fingers instead.
            own = tuple(joint for joint in own if joint in joints)
            if own:
                at = [joints.index(joint) for joint in own]
                tracks[name] = track.replace(values=track.values[:, at], part=part, joints=own)
        people.append(dataclasses.replace(person, tracks=tracks))
    return dataclasses.replace(motion, people=tuple(people), source=None)


def _array_of_poses(person: Person) -> tuple[str, ...]:
    """Return the SMPL joints that a person's plain array turns, in its order; none where it is something else."""
    track = person.tracks.get("motion")
    if track is None or track.kind in ("position", "channels"):
        return ()
    sets = (SMPL.joints[:22], SMPL.joints, SMPL_H.joints, SMPL_X.joints)
    if is_numbered(track.joints):
        return next((joints for joints in sets if len(joints) == len(track.joints)), ())
    return track.joints if any(set(joints) == set(track.joints) for joints in sets) else ()


def _is_joints(name: str, track: Track, size: int) -> bool:
    return (
        track.kind == "position"
        and track.values.shape[2] == size
        and track.part not in ("root", "camera")
        and (name != "joint_positions")
    )


def _smpl(motion: Motion, camera: bool) -> Motion:
    people = []
    for person in with_smpl_poses(motion).people:
        chosen = dict(person.tracks)
        if not camera and "global_orient_world" in chosen:
            # A place in the camera's scene would be wrong in the world.
            chosen.pop("transl", None)
            chosen |= {n.removesuffix("_world"): t for n, t in person.tracks.items() if n.endswith("_world")}
        names = ("global_orient", "body_pose", *_SMPL_TRACKS, "transl", "expression", "betas")
        tracks = {name: _plain_rotations(chosen[name]) for name in names if name in chosen}
        people.append(_with_one_shape(dataclasses.replace(person, tracks=tracks)))
    return dataclasses.replace(motion, people=tuple(people), skeleton=None, source=None)


def _with_one_shape(person: Person) -> Person:
    """Return a person whose shape is one for the take where the file states the same for every frame."""
    track = person.tracks.get("betas")
    if track is None or person.betas is not None or not len(track.values):
        return person
    first = track.values[0]
    if not (np.isfinite(first).all() and (track.values == first).all()):
        return person
    return dataclasses.replace(person, betas=first, tracks={n: t for n, t in person.tracks.items() if n != "betas"})


def _plain_rotations(track: Track) -> Track:
    if track.kind in ("axis_angle", "position", "channels"):
        return track
    values = continuous_axis_angle(matrix_to_axis_angle(track_matrices(track)))
    return track.replace(values=values.astype(track.values.dtype), kind="axis_angle")


def _joints(motion: Motion, size: int) -> Motion:
    people = []
    for person in motion.people:
        found = {name: track for name, track in person.tracks.items() if _is_joints(name, track, size)}
        if not found:
            raise mismatch(f"tracks of person {person.id}", f"{size}D positions of joints", ", ".join(person.tracks))
        if size == 3:
            # What has a known unit before what has not; of several, the first.
            best = max(found, key=lambda n: found[n].metres is not None)
            found = {best: found[best]}
        people.append(dataclasses.replace(person, tracks={"joints": _side_by_side(found)}, betas=None, gender=None))
    return dataclasses.replace(motion, people=tuple(people), source=None)


def _side_by_side(tracks: dict[str, Track]) -> Track:
    """Return tracks of body, hands and face as one; joints of both hands that share a name get it from their side."""
    if len(tracks) == 1:
        return next(iter(tracks.values()))
    parts = list(tracks.values())
    names = [joint for t in parts for joint in t.joints]
    if len(set(names)) < len(names):
        names = [f"{n}_{j}" if t.part == "hands" else j for n, t in tracks.items() for j in t.joints]
    confidence = None
    if any(t.confidence is not None for t in parts):
        ones = [np.ones(t.values.shape[:2]) if t.confidence is None else t.confidence for t in parts]
        confidence = np.concatenate(ones, axis=1)
    values = np.concatenate([t.values for t in parts], axis=1)
    return parts[0].replace(values=values, joints=tuple(names), confidence=confidence)


def _as_array(motion: Motion, source: str, camera: bool) -> tuple[Motion, tuple[str, ...]]:
    if source == "array":
        return dataclasses.replace(motion, source=None), ()
    if source == "smpl":
        plain = _smpl(motion, camera)
        parts = ("global_orient", "body_pose", *_SMPL_TRACKS)
        people = []
        for person in plain.people:
            tracks = [person.tracks[name] for name in parts if name in person.tracks]
            joined = np.concatenate([t.values for t in tracks], axis=1)
            names = tuple(joint for t in tracks for joint in t.joints)
            one = Track(joined, "axis_angle", "body", names, up=tracks[0].up)
            people.append(Person(person.id, {"motion": one}, person.frames))
        return dataclasses.replace(plain, people=tuple(people)), ("axis_angle of every joint; translation left out",)
    other = "joints" if source == "rig" else source
    plain, notes = as_content(motion, other)
    people = tuple(dataclasses.replace(p, tracks={"motion": p.tracks["joints"]}) for p in plain.people)
    return dataclasses.replace(plain, people=people), notes
