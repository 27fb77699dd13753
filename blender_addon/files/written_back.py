"""What an armature changed, put back into the motion that it was imported from; all else stays as the file has it.

Keys are of single precision. Values that differ from the file's by no more than that rounds keep the file's bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from smpl_tools.contents import with_smpl_poses
from smpl_tools.coordinates import up_rotation
from smpl_tools.euler import AXES, matrix_to_euler
from smpl_tools.joint_names import is_numbered
from smpl_tools.kinematics import local_rotations
from smpl_tools.motion import Motion, Person, Track
from smpl_tools.rotations import (
    matrix_to_axis_angle,
    matrix_to_quat_wxyz,
    matrix_to_rotation_6d,
    project_to_so3,
)
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X, track_matrices

from .evaluated_motion import Take, joint_poses, points_of
from .motion_files import Record

Array = NDArray[np.float64]

# Entries of matrices, and metres: what is below is rounding.
_SAME_TURN, _SAME_PLACE = 6e-6, 4e-6
_ROOT = ("global_orient", "global_orient_world")


def person_of(motion: Motion, record: Record) -> Person:
    """Return the person of a motion that an armature was made of.

    Raises:
        ValueError: nobody has that id.
    """
    for person in motion.people:
        if person.id == record.person:
            return person
    ids = ", ".join(person.id for person in motion.people)
    raise ValueError(f"person to write back: expected {record.person}, received a file of {ids}")


def with_take(motion: Motion, take: Take, record: Record) -> Motion:
    """Return a motion in which one person moves as an armature does.

    A view of a camera beside that of the world follows it, as the file has the one relative to the other.

    Args:
        motion: as read from the file of the record.
        take: at the frames of the person, as many as the person has.
        record: of the armature.

    Raises:
        ValueError: nobody has the record's id, or a bone is gone.
    """
    person = person_of(motion, record)
    if record.content in ("joints", "joints_2d"):
        changed = _points(person, take, record)
    elif motion.format == "array":
        changed = _array(motion, take, record)
    else:
        changed = _turned(person, take, record)
    people = tuple(person.with_tracks(changed) if one is person else one for one in motion.people)
    return motion.with_people(people)


def _turned(person: Person, take: Take, record: Record) -> dict[str, Track]:
    found = joint_poses(take, record)
    turn = up_rotation(record.up or "y", "z")  # type: ignore[arg-type]
    places, metres = found.places @ turn, 1.0
    if record.content == "smpl":
        local = local_rotations(found.turned @ up_rotation("y", "z"), found.parents)
        local[:, 0] = turn.T @ local[:, 0]
        roots = places[:, 0] - np.array(record.pelvis)
    else:
        local = turn.T @ local_rotations(found.turned, found.parents) @ turn
        roots, metres = places[:, 0], record.metres
    at = {joint: j for j, joint in enumerate(record.joints)}
    world = "" if record.stated.camera or "global_orient_world" not in person.tracks else "_world"
    before = {name: track_matrices(person.tracks[name]) for name in _ROOT if name in person.tracks}
    chosen = before.get(f"global_orient{world}")
    changed = {}
    for name, track in person.tracks.items():
        other = name.endswith("_world") != bool(world)
        if track.kind == "channels":
            if track.part != "camera":
                new = _channels(track, at, local, turn, found, roots, metres)
                if new is not None:
                    changed[name] = new
        elif track.kind != "position":
            old = before.get(name)
            old = track_matrices(track) if old is None else old
            new_turns = old.copy()
            for k, joint in enumerate(track.joints):
                if joint in at:
                    new_turns[:, k] = local[:, at[joint]]
            if other and name in _ROOT and chosen is not None:
                new_turns = old @ chosen.swapaxes(-1, -2) @ new_turns
            changed[name] = _rotations(track, new_turns, old)
        elif name.removesuffix("_world") == "transl":
            unit = track.metres or metres
            if not other or "global_orient_world" not in person.tracks:
                changed[name] = _positions(track, roots[:, None] / unit, unit)
            elif chosen is not None and name in ("transl", "transl_world"):
                own = before["global_orient_world" if name.endswith("_world") else "global_orient"]
                mine = person.tracks.get(f"transl{world}")
                if mine is not None:
                    away = roots - mine.values[:, 0] * (mine.metres or 1.0)
                    away = ((own @ chosen.swapaxes(-1, -2))[:, 0] @ away[..., None])[..., 0]
                    away[np.abs(away).max(axis=1) <= _SAME_PLACE] = 0.0
                    changed[name] = _positions(track, track.values + away[:, None] / unit, unit)
        elif name == "joint_positions":
            values = track.values.astype(np.float64)
            for k, joint in enumerate(track.joints):
                if joint in at:
                    values[:, k] = _offset(at[joint], turn, found, roots, metres)
            changed[name] = _positions(track, values, track.metres or metres)
    return changed


def _offset(joint: int, turn: Array, found: Any, roots: Array, metres: float) -> Array:
    """Return where a joint is relative to its parent, before the parent's turn, in the file's axes and unit."""
    parent = int(found.parents[joint])
    if parent < 0:
        return roots / metres
    away = found.places[:, joint] - found.places[:, parent]
    return (found.turned[:, parent].transpose(0, 2, 1) @ away[..., None])[..., 0] @ turn / metres


def _rotations(track: Track, new: Array, old: Array) -> Track:
    away = np.abs(new - project_to_so3(old)).max(axis=(-2, -1))
    rows = away > _SAME_TURN  # no number is not a change
    values = track.values.copy()
    if not rows.any():
        return track
    was = track.values[rows].astype(np.float64)
    if track.kind == "axis_angle":
        made = _nearest(matrix_to_axis_angle(new[rows]), was)
    elif track.kind == "quat_wxyz":
        made = matrix_to_quat_wxyz(new[rows])
        made = np.where((made * was).sum(axis=-1, keepdims=True) < 0, -made, made)
    elif track.kind == "rotation_6d":
        made = matrix_to_rotation_6d(new[rows], track.order)
    else:
        made = new[rows]
    values[rows] = made
    return track.replace(values=values)


def _nearest(vectors: Array, old: Array) -> Array:
    """Return rotation vectors (N, 3), of those that mean the same, nearest to the old ones."""
    angle = np.linalg.norm(vectors, axis=-1, keepdims=True)
    axis = np.where(angle > 1e-9, vectors / np.where(angle > 1e-9, angle, 1.0), 0.0)
    # Along the axis, whole turns to where the old one is.
    turns = np.rint(((old * axis).sum(axis=-1, keepdims=True) - angle) / (2 * np.pi))
    return np.asarray(vectors + axis * turns * 2 * np.pi)


def _positions(track: Track, new: Array, metres: float) -> Track:
    old = track.values.astype(np.float64)
    # Single precision is coarser the further away.
    room = _SAME_PLACE + 4e-7 * np.abs(old * metres).max(axis=-1)
    rows = np.abs(new - old).max(axis=-1) * metres > room
    if not rows.any():
        return track
    values = track.values.copy()
    values[rows] = new[rows]
    return track.replace(values=values)


def _channels(
    track: Track, at: dict[str, int], local: Array, turn: Array, found: Any, roots: Array, metres: float
) -> Track | None:
    """Return single channels of a skeleton's joints, as near to the new pose as they come."""
    values = track.values.astype(np.float64)
    channels: dict[str, list[tuple[int, str]]] = {}
    for k, name in enumerate(track.joints):
        joint, _, channel = name.rpartition(".")
        if joint in at and channel[1:] in ("rotation", "position"):
            channels.setdefault(joint, []).append((k, channel))
    for joint, listed in channels.items():
        offset = None
        for k, channel in listed:
            if channel[1:] == "position":
                offset = _offset(at[joint], turn, found, roots, metres) if offset is None else offset
                new = offset[:, "XYZ".index(channel[0])]
                same = np.abs(new - values[:, k]) * metres <= _SAME_PLACE + 4e-7 * np.abs(values[:, k] * metres)
                values[:, k] = np.where(same, values[:, k], new)
        turns = [(k, channel[0].lower()) for k, channel in listed if channel[1:] == "rotation"]
        axes = "".join(axis for _, axis in turns)
        # The axes left out come last, where they say least.
        whole = next((order for order in AXES if order.startswith(axes)), None) if turns else None
        if whole is None:
            continue
        angles = matrix_to_euler(local[:, at[joint]], whole)
        for column, (k, _) in enumerate(turns):
            new = angles[:, column]
            new = new + 2 * np.pi * np.rint((values[:, k] - new) / (2 * np.pi))
            values[:, k] = np.where(np.abs(new - values[:, k]) <= _SAME_TURN, values[:, k], new)
    return track.replace(values=values.astype(track.values.dtype)) if channels else None


def _points(person: Person, take: Take, record: Record) -> dict[str, Track]:
    values = points_of(joint_poses(take, record).places, record)
    size = values.shape[2]
    tracks = {
        name: track
        for name, track in person.tracks.items()
        if track.kind == "position"
        and track.values.shape[2] == size
        and track.part not in ("root", "camera")
        and name != "joint_positions"
    }
    if size == 3:
        # As they were chosen: what has a known unit before what has not.
        best = max(tracks, key=lambda name: tracks[name].metres is not None)
        tracks = {best: tracks[best]}
    changed, first = {}, 0
    for name, track in tracks.items():
        count = len(track.joints)
        changed[name] = _positions(track, values[:, first : first + count], record.metres)
        first += count
    return changed


def _array(motion: Motion, take: Take, record: Record) -> dict[str, Track]:
    """Return the one track of a plain array of the rotations of SMPL's joints."""
    named = person_of(with_smpl_poses(motion), record)
    parts = _turned(named, take, record)
    track = person_of(motion, record).tracks["motion"]
    values = track.values.copy()
    # Joints without names are in the order of SMPL's, as many as there are.
    sets = (SMPL.joints[:22], SMPL.joints, SMPL_H.joints, SMPL_X.joints)
    order = track.joints
    if is_numbered(order):
        order = next(joints for joints in sets if len(joints) == len(order))
    for part in parts.values():
        if part.kind != "position":
            for k, joint in enumerate(part.joints):
                values[:, order.index(joint)] = part.values[:, k]
    return {"motion": track.replace(values=values)}
