"""Axes and units, in one place: which way is up, and how long a unit is.

All scenes are right-handed. Three are told apart by the axis that points up: ``y`` and ``z`` of scenes and programs,
``-y`` of cameras (x right, y down, z away). One becomes the other by a turn about x, so left stays left.

The translation of SMPL moves the model's origin, not its pelvis, which lies some 20 cm below it
(https://github.com/eth-ait/aitviewer/issues/5): ``pelvis = transl + PELVIS``. Turning a scene therefore turns the
pelvis's place, and gives the translation what is left.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch, one_of
from smpl_tools.motion import UPS, Motion, Person, Track, Up
from smpl_tools.rotations import (
    continuous_axis_angle,
    continuous_quat_wxyz,
    matrix_to_axis_angle,
    matrix_to_quat_wxyz,
    matrix_to_rotation_6d,
)
from smpl_tools.skeleton import has_smpl_poses, track_matrices

Array = NDArray[np.float64]

# Where SMPL's pelvis lies at rest with no translation, in metres, for the mean neutral shape, as public code states it
# (Stanford-TML/EDGE, vis.py), but for 2 mm to the side; the body's shape moves it by a few centimetres.
PELVIS = np.array([0.0, -0.2233, 0.0282])
IDENTITY = np.eye(3)
PELVIS.flags.writeable = IDENTITY.flags.writeable = False
UNITS: dict[str, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254}

# Degrees about x from each scene to the one with y up.
_TO_Y_UP: dict[Up, int] = {"y": 0, "z": -90, "-y": 180}


def up_rotation(before: Up, after: Up) -> Array:
    """Return the matrix (3, 3) that turns what is told with one axis up into the other.

    The entries are 0, 1 and -1 exactly, so turning and turning back loses nothing.

    Raises:
        ValueError: an axis that is not one of ``y``, ``z``, ``-y``.
    """
    one_of("up axis", before, UPS)
    one_of("up axis", after, UPS)
    turn = (_TO_Y_UP[before] - _TO_Y_UP[after]) % 360
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turn]
    return np.array([[1.0, 0, 0], [0, cosine, -sine], [0, sine, cosine]])


def unit_name(metres: float | None) -> str:
    """Return ``m``, ``cm``, ``mm`` or ``in``, a number of metres for other units, ``unknown`` for None."""
    if metres is None:
        return "unknown"
    return next((name for name, size in UNITS.items() if abs(size - metres) < 1e-9 * size), f"{metres:g} m")


def stated_ups(motion: Motion) -> set[Up]:
    """Return the axes that point up, as the tracks state them."""
    return {t.up for p in motion.people for t in p.tracks.values() if t.up is not None}


def stated_units(motion: Motion) -> set[float]:
    """Return the units of 3D positions in metres, as the tracks state them."""
    return {t.metres for p in motion.people for t in p.tracks.values() if t.metres is not None}


def with_up(motion: Motion, up: Up, *, pelvis: ArrayLike = PELVIS) -> Motion:
    """Return a motion whose scene has another axis up.

    SMPL poses turn at the root. A skeleton of the file's own turns with its rest pose, so that it stands upright in
    the new axes as it did in the old ones. Tracks that say nothing about axes stay as they are. What turned can be
    written to a new file, not back into the one it came from.

    Args:
        motion: whose tracks state their axes.
        up: ``y``, ``z`` or ``-y``.
        pelvis: (3,) of SMPL poses, what has to be added to ``transl`` to get the pelvis's place, in metres; the
            body model's own where it is known.

    Raises:
        ValueError: an axis that is not one of the three, or a skeleton with channels that turn about one axis only.
    """
    one_of("up axis", up, UPS)
    stated = stated_ups(motion)
    if stated <= {up}:
        return motion
    is_rig = motion.skeleton is not None and not all(has_smpl_poses(p) for p in motion.people)
    if is_rig and len(stated) > 1:
        raise mismatch("axes of a skeleton's tracks", "the same for all", ", ".join(sorted(stated)))
    if is_rig:
        (before,) = stated
        return _rig_turned(motion, up_rotation(before, up), up)
    people = tuple(_turned(person, up, np.asarray(pelvis, np.float64)) for person in motion.people)
    return dataclasses.replace(motion, people=people, source=None)


def _turned(person: Person, up: Up, pelvis: Array) -> Person:
    tracks = {}
    for name, track in person.tracks.items():
        if track.up is None or track.up == up:
            continue
        turn = up_rotation(track.up, up)
        if track.kind == "position":
            place = np.zeros(3)
            if name.startswith("transl") and has_smpl_poses(person):
                place = pelvis / (track.metres or 1.0)
            tracks[name] = track.replace(values=_moved(track.values, turn, turn @ place - place), up=up)
        else:
            tracks[name] = rotated(track, turn).replace(up=up)
    return dataclasses.replace(person, tracks={**person.tracks, **tracks})


def _moved(values: NDArray[Any], turn: Array, shift: Array | float = 0.0) -> NDArray[Any]:
    return (values.astype(np.float64) @ turn.T + shift).astype(values.dtype)


def _rig_turned(motion: Motion, turn: Array, up: Up) -> Motion:
    people = []
    for person in motion.people:
        tracks = {}
        for name, track in person.tracks.items():
            after = up if track.up is not None else None
            if track.kind == "position":
                tracks[name] = track.replace(values=_moved(track.values, turn), up=after)
            elif track.kind == "channels":
                raise mismatch(
                    f"track {name} of person {person.id}", "rotations about all three axes", "single channels"
                )
            else:
                tracks[name] = rotated(track, turn, turn.T).replace(up=after)
        people.append(dataclasses.replace(person, tracks=tracks))
    skeleton = motion.skeleton
    if skeleton is not None:
        ends = None if skeleton.ends is None else _moved(skeleton.ends, turn)
        skeleton = dataclasses.replace(skeleton, offsets=_moved(skeleton.offsets, turn), ends=ends)
    return dataclasses.replace(motion, people=tuple(people), skeleton=skeleton, source=None)


def rotated(track: Track, after: Array, before: ArrayLike = IDENTITY) -> Track:
    """Return a track of rotations in its own kind, each ``after @ rotation @ before``, (3, 3) both."""
    if track.kind in ("position", "channels"):
        raise mismatch("kind of a track to turn", "rotations", track.kind)
    matrices = after @ track_matrices(track) @ np.asarray(before)
    if track.kind == "rotation_matrix":
        result = matrices
    elif track.kind == "axis_angle":
        result = continuous_axis_angle(matrix_to_axis_angle(matrices))
    elif track.kind == "quat_wxyz":
        result = continuous_quat_wxyz(matrix_to_quat_wxyz(matrices))
    else:
        result = matrix_to_rotation_6d(matrices, track.order)
    return track.replace(values=result.astype(track.values.dtype))


def with_unit(motion: Motion, metres: float) -> Motion:
    """Return a motion whose 3D positions are counted in another unit, with a skeleton in that unit too.

    Args:
        motion: whose 3D position tracks state their unit; those that do not stay as they are.
        metres: the new unit, in metres.

    Raises:
        ValueError: a unit that is not a positive number.
    """
    if not (np.isfinite(metres) and metres > 0):
        raise mismatch("unit in metres", "a positive number", repr(metres))
    if stated_units(motion) <= {metres}:
        return motion
    people = []
    for person in motion.people:
        tracks = {}
        for name, track in person.tracks.items():
            if track.metres is not None and track.metres != metres:
                values = (track.values.astype(np.float64) * (track.metres / metres)).astype(track.values.dtype)
                tracks[name] = track.replace(values=values, metres=metres)
        people.append(dataclasses.replace(person, tracks={**person.tracks, **tracks}))
    skeleton = motion.skeleton
    if skeleton is not None and skeleton.metres not in (None, metres):
        offsets = skeleton.offsets * (skeleton.metres / metres)
        ends = None if skeleton.ends is None else skeleton.ends * (skeleton.metres / metres)
        skeleton = dataclasses.replace(skeleton, offsets=offsets, metres=metres, ends=ends)
    return dataclasses.replace(motion, people=tuple(people), skeleton=skeleton, source=None)


def assuming(motion: Motion, *, up: Up | None = None, metres: float | None = None) -> Motion:
    """Return a motion whose tracks state the axes or the unit that the caller knows, in place of the file's own.

    No number changes. ``up`` goes to root orientations and 3D positions, ``metres`` to 3D positions and skeleton.
    """
    people = []
    for person in motion.people:
        tracks = {}
        for name, track in person.tracks.items():
            place = track.kind == "position" and track.values.shape[2:] == (3,)
            local = name.startswith("joint_positions")
            turns = track.part == "root" and track.kind not in ("position", "channels")
            changes = {}
            if up is not None and ((place and not local) or turns):
                changes["up"] = up
            if metres is not None and place:
                changes["metres"] = metres
            if changes:
                tracks[name] = track.replace(**changes)
        people.append(dataclasses.replace(person, tracks={**person.tracks, **tracks}))
    skeleton = motion.skeleton
    if metres is not None and skeleton is not None:
        skeleton = dataclasses.replace(skeleton, metres=metres)
    return dataclasses.replace(motion, people=tuple(people), skeleton=skeleton)
