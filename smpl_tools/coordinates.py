"""Axes and units, in one place: which way is up, and how long a unit is.

All scenes are right-handed. Three are told apart by the axis that points up: ``y`` and ``z`` of scenes and programs,
``-y`` of cameras (x right, y down, z away). One becomes the other by a turn about x, so left stays left.

The translation of SMPL moves the model's origin, not its pelvis, which lies some 20 cm below it
(https://github.com/eth-ait/aitviewer/issues/5): ``pelvis = transl + PELVIS``. Turning a scene therefore turns the
pelvis's place, and gives the translation what is left.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch, one_of
from smpl_tools.motion import UPS, Motion, Person, Track, Up
from smpl_tools.rotations import (
    axis_angle_to_matrix,
    continuous_axis_angle,
    matrix_to_axis_angle,
    matrix_to_quat_wxyz,
    matrix_to_rotation_6d,
    quat_wxyz_to_matrix,
    rotation_6d_to_matrix,
)

Array = NDArray[np.float64]

# Where SMPL's pelvis lies at rest with no translation, in metres; the body's shape moves it by a few centimetres.
PELVIS = np.array([0.0, -0.22, 0.03])
PELVIS.flags.writeable = False
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


def with_up(motion: Motion, up: Up, *, pelvis: ArrayLike | None = None) -> Motion:
    """Return a motion whose scene has another axis up.

    Tracks that say nothing about axes stay as they are. What turns loses its link to the file it came from: the
    motion can be written to a new file, not back into the old one.

    Args:
        motion: whose tracks state their axes.
        up: ``y``, ``z`` or ``-y``.
        pelvis: (3,) what has to be added to ``transl`` to get the pelvis's place, in metres: ``PELVIS`` for SMPL
            without its model, the model's own with it, None where ``transl`` is the root's own place.

    Raises:
        ValueError: an axis that is not one of the three.
    """
    one_of("up axis", up, UPS)
    people = tuple(_turned(person, up, pelvis) for person in motion.people)
    if all(new is old for new, old in zip(people, motion.people, strict=True)):
        return motion
    skeleton = motion.skeleton
    return dataclasses.replace(motion, people=people, skeleton=skeleton, source=None)


def _turned(person: Person, up: Up, pelvis: ArrayLike | None) -> Person:
    tracks = {}
    for name, track in person.tracks.items():
        if track.up is None or track.up == up:
            continue
        turn = up_rotation(track.up, up)
        if track.kind == "position":
            place = np.zeros(3)
            if pelvis is not None and name.startswith("transl"):
                place = np.asarray(pelvis, np.float64) / (track.metres or 1.0)
            # One product for the change, so that exact turns of exact numbers stay exact without a pelvis.
            values = track.values.astype(np.float64) @ turn.T + (turn @ place - place)
            tracks[name] = track.replace(values=values.astype(track.values.dtype), up=up)
        else:
            tracks[name] = rotated(track, turn).replace(up=up)
    return dataclasses.replace(person, tracks={**person.tracks, **tracks}) if tracks else person


def rotated(track: Track, turn: Array) -> Track:
    """Return a track of rotations (T, J) with ``turn`` (3, 3) applied after each of them, in the track's own kind."""
    values = track.values.astype(np.float64)
    if track.kind == "rotation_matrix":
        result = turn @ values
    elif track.kind == "axis_angle":
        result = continuous_axis_angle(matrix_to_axis_angle(turn @ axis_angle_to_matrix(values)))
    elif track.kind == "quat_wxyz":
        result = matrix_to_quat_wxyz(turn @ quat_wxyz_to_matrix(values))
    elif track.kind == "rotation_6d":
        result = matrix_to_rotation_6d(turn @ rotation_6d_to_matrix(values, track.order), track.order)
    else:
        raise mismatch("kind of a track to turn", "rotations", track.kind)
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
    old = {t.metres for p in motion.people for t in p.tracks.values() if t.metres is not None}
    if old <= {metres}:
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
        skeleton = dataclasses.replace(skeleton, offsets=offsets, metres=metres)
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
