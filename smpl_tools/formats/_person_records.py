"""Results that are a dictionary of people, each a dictionary of arrays over that person's frames.

So WHAM, VIBE, TCMR and what was built on them write: ``pose`` (T, 72) rotation vectors, ``frame_ids`` (T,), ``betas``
(T, 10), and what each program adds. A record without a key, or with None, lacks only that.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.formats._changes import merged
from smpl_tools.formats._format import Options
from smpl_tools.formats._names import unique_names
from smpl_tools.formats._pickles import content_of, described, dump
from smpl_tools.formats._smpl import take_shape
from smpl_tools.motion import Kind, Motion, Part, Person, Track, Up
from smpl_tools.skeleton import SMPL

ASSUMED_FPS = 30.0
_POSE_COLUMNS = 3 * len(SMPL.joints)
_WORLD_KEYS = ("pose_world", "trans_world")
_CAMERA_KEYS = ("pred_cam", "orig_cam")
# Computed from the pose by the program that wrote the file; only the body model could compute them again.
_DERIVED = ("verts", "joints3d", "joints2d_img_coord")
# Key in a record: the track, its kind and part, the names of its joints or channels.
_SIMPLE: dict[str, tuple[str, Kind, Part, tuple[str, ...]]] = {
    "trans": ("transl", "position", "root", ("pelvis",)),
    "trans_world": ("transl_world", "position", "root", ("pelvis",)),
    "pred_cam": ("pred_cam", "channels", "camera", ("scale", "x", "y")),
    "orig_cam": ("orig_cam", "channels", "camera", ("scale_x", "scale_y", "x", "y")),
}


def is_records(content: Any) -> bool:
    """Tell whether a pickle's content is a dictionary of people with ``pose`` and ``frame_ids``."""
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(r, Mapping) and "pose" in r and "frame_ids" in r for r in content.values())
    )


def knows_cameras_alone(content: Mapping[Any, Any]) -> bool:
    """Tell whether records have a weak-perspective camera and no world, as those of VIBE and TCMR."""
    keys = {key for record in content.values() for key, value in record.items() if value is not None}
    return not keys.isdisjoint(_CAMERA_KEYS) and keys.isdisjoint(_WORLD_KEYS)


def read_records(path: Path, options: Options, name: str) -> Motion:
    """Read one person for each entry, at an assumed 30 frames a second, as a motion of the format ``name``.

    Tracks: ``global_orient``, ``body_pose`` and ``transl`` as the camera sees them; ``global_orient_world`` and
    ``transl_world``; ``body_pose_world`` only where it is not the body pose once more; ``betas`` where they change; and
    the cameras.

    Raises:
        ValueError: the file is refused or damaged, or an array is not as the format has it.
    """
    content = content_of(path)
    if not is_records(content):
        raise mismatch(f"{path}: content", "a dictionary of people, each with pose and frame_ids", described(content))
    people = tuple(_person(path, key, record) for key, record in content.items())
    notes = [] if options.fps else [f"frame rate not stated in the file: {ASSUMED_FPS:g} frames a second assumed"]
    derived = [key for key in _DERIVED if any(record.get(key) is not None for record in content.values())]
    if derived:
        notes.append(f"{', '.join(derived)}: kept as they are, so they show the pose before refinement")
    return Motion(name, people, options.fps or ASSUMED_FPS, SMPL, source=content, notes=tuple(notes))


def write_records(motion: Motion, path: Path) -> None:
    """Write the same dictionary as a pickle, with the changed numbers of the tracks in it and nothing else changed.

    A body pose that the file holds twice, in ``pose`` and ``pose_world``, is written to both.

    Raises:
        ValueError: nothing can be written there.
    """
    content = copy.copy(motion.source)
    for person, (key, record) in zip(motion.people, motion.source.items(), strict=True):
        content[key] = copy.copy(record)
        content[key].update(_changed(person, record))
    dump(content, path)


def record_keys(motion: Motion, what: str) -> list[int | str]:
    """Return the keys of the people of a new file: numbers where their ids are numbers, as these programs have them.

    Raises:
        ValueError: nobody is in the motion.
    """
    if not motion.people:
        raise mismatch(f"people for {what}", "at least one", "nobody")
    names = unique_names([person.id for person in motion.people])
    return [int(name) if re.fullmatch("0|[1-9][0-9]{0,17}", name) else name for name in names]


def _person(path: Path, key: Any, record: Mapping[Any, Any]) -> Person:
    # One line in messages, whatever the key is.
    person = " ".join(str(key).split())
    frames = record["frame_ids"]
    if not isinstance(frames, np.ndarray) or frames.ndim != 1 or frames.dtype.kind not in "iu":
        raise mismatch(f"{path}: frame_ids of person {person}", "an array (T,) of integers", _shape(frames))

    def array(name: str, columns: int) -> NDArray[Any]:
        value = record[name]
        wanted = (len(frames), columns)
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.shape != wanted:
            raise mismatch(f"{path}: {name} of person {person}", f"an array {wanted} of floats", _shape(value))
        return value

    tracks = _pose_tracks(array("pose", _POSE_COLUMNS), "", "-y")
    if record.get("pose_world") is not None:
        world = _pose_tracks(array("pose_world", _POSE_COLUMNS), "_world", "y")
        if _same_body(record):
            del world["body_pose_world"]
        tracks |= world
    for name, (track, kind, part, joints) in _SIMPLE.items():
        if record.get(name) is not None:
            columns = array(name, 3 if kind == "position" else len(joints))
            if kind == "position":
                up = "y" if track.endswith("_world") else "-y"
                tracks[track] = Track(columns[:, None], kind, part, joints, metres=1.0, up=up)
            else:
                tracks[track] = Track(columns, kind, part, joints)
    betas, changing = take_shape(record.get("betas"), len(frames))
    if changing is not None:
        tracks["betas"] = changing
    try:
        return Person(person, tracks, frames.astype(np.int64), betas)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _shape(value: Any) -> str:
    return f"{value.shape} of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


def _pose_tracks(pose: NDArray[Any], suffix: str, up: Up) -> dict[str, Track]:
    joints = pose.reshape(len(pose), len(SMPL.joints), 3)
    return {
        f"global_orient{suffix}": Track(joints[:, :1], "axis_angle", "root", SMPL.joints[:1], up=up),
        f"body_pose{suffix}": Track(joints[:, 1:], "axis_angle", "body", SMPL.joints[1:]),
    }


def _same_body(record: Mapping[Any, Any]) -> bool:
    return np.array_equal(record["pose"][:, 3:], record["pose_world"][:, 3:], equal_nan=True)


def _changed(person: Person, record: Mapping[Any, Any]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a record that its tracks stand for, as they are to be written."""
    values = {name: t.values.reshape(len(t.values), math.prod(t.values.shape[1:])) for name, t in person.tracks.items()}
    new = {"pose": np.concatenate([values["global_orient"], values["body_pose"]], axis=1)}
    if "global_orient_world" in values:
        body = values["body_pose" if _same_body(record) else "body_pose_world"]
        new["pose_world"] = np.concatenate([values["global_orient_world"], body], axis=1)
    new |= {key: values[track] for key, (track, *_) in _SIMPLE.items() if track in values}
    if "betas" in values:
        new["betas"] = values["betas"]
    return {key: merged(key, record[key], array) for key, array in new.items()}
