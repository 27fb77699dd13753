"""Results of PHALP and of 4D-Humans, which tracks with it: a pickle that joblib compressed.

Layout (PHALP, ``phalp/trackers/PHALP.py`` and ``phalp/visualize/postprocessor.py``): a dictionary of frames by the
image's name, each with ``time``, its number, and lists with one entry a person: ``tid``, the person's number;
``smpl``, a dictionary of ``global_orient`` (1, 3, 3) and ``body_pose`` (23, 3, 3), rotation matrices, and ``betas``
(10,); ``camera`` (3,), the body's translation before the camera; ``camera_bbox`` (3,), scale and shift in the person's
box; and much that is computed from these.

A person who is lost stays in the lists for a while: ``tracked_time`` counts the frames since, and ``tracked_ids`` names
only those who were seen. PHALP repeats the last pose that was seen for such a ghost; nothing was observed, so these
frames are a gap here and stay in the file as they are. PHALP's post-processing puts predicted poses in their place and
sets ``tracked_time`` to -1: these are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.formats._format import Format, Options
from smpl_tools.formats._names import numbered
from smpl_tools.formats._pickles import content_of, described, dump, is_pickle
from smpl_tools.formats._records import Field, Part, Place, Records, at, rewritten, timeline, whole_numbers
from smpl_tools.formats._smpl import pose, shapes, translation
from smpl_tools.motion import Kind, Motion, Person, Track, Up
from smpl_tools.rotations import axis_angle_to_matrix
from smpl_tools.skeleton import SMPL

NAME = "phalp"
ASSUMED_FPS = 30.0
_CAMERA: Up = "-y"
# Computed from the pose by the program that wrote the file.
_DERIVED = ("3d_joints", "2d_joints", "pose", "loca", "embedding")
# Keys below the frame (before the person's index) and after it: the track, its numbers, their shape.
_FIELDS: tuple[tuple[Place, Place, str, tuple[int, ...]], ...] = (
    (("smpl",), ("global_orient",), "global_orient", (1, 3, 3)),
    (("smpl",), ("body_pose",), "body_pose", (23, 3, 3)),
    (("smpl",), ("betas",), "betas", (-1,)),
    (("camera",), (), "transl", (1, 3)),
    (("camera_bbox",), (), "camera_bbox", (3,)),
)
_REQUIRED = ("global_orient", "body_pose")


def matches(path: Path, head: bytes) -> bool:
    """Tell whether the file is a pickle of frames with ``tid`` and ``smpl``."""
    return is_pickle(head) and _is_result(content_of(path))


def _is_result(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(f, Mapping) and "tid" in f and "smpl" in f for f in content.values())
    )


def read(path: Path, options: Options) -> Motion:
    """Read PHALP's results, one person for each ``tid``, at an assumed 30 frames a second.

    Tracks: ``global_orient`` and ``body_pose`` as rotation matrices, ``betas``, ``transl`` from ``camera`` and
    ``camera_bbox`` where every frame of the person has them. Frame numbers are the frames' ``time``, or their places.

    Raises:
        ValueError: the file is refused or damaged, or an entry is not as above; the message names the frame.
    """
    content = content_of(path)
    if not _is_result(content):
        raise mismatch(f"{path}: content", "a dictionary of frames, each with tid and smpl", described(content))
    names = list(content)
    numbers = _frame_numbers(content)
    entries, ghosts, predicted = _entries(path, content)
    people, fields = [], []
    for ident, rows in entries.items():
        places = [(names[frame], indices) for frame, indices in rows]
        tracks, own = _tracks(path, str(ident), content, places)
        people.append(Person(str(ident), tracks, numbers[[frame for frame, _ in rows]]))
        fields.append(own)
    notes = [] if options.fps else [f"frame rate not stated in the file: {ASSUMED_FPS:g} frames a second assumed"]
    if ghosts:
        notes.append(f"{ghosts} poses of people who were lost repeat the last one seen: left out, kept in the file")
    if predicted:
        notes.append(f"{predicted} poses were predicted while the person was lost (tracked_time -1)")
    derived = [key for key in _DERIVED if any(frame.get(key) for frame in content.values())]
    if derived:
        notes.append(f"{', '.join(derived)}: kept as they are, so they show the pose before refinement")
    source = Records(content, tuple(people), tuple(fields))
    return Motion(NAME, tuple(people), options.fps or ASSUMED_FPS, SMPL, source=source, notes=tuple(notes))


def _frame_numbers(content: Mapping[Any, Any]) -> NDArray[np.int64]:
    times = [frame.get("time") for frame in content.values()]
    if all(isinstance(time, (int, np.integer)) and abs(int(time)) < 2**52 for time in times):
        numbers = np.array(times, np.int64)
        if (np.diff(numbers) > 0).all():
            return numbers
    return np.arange(len(times), dtype=np.int64)


def _entries(path: Path, content: Mapping[Any, Any]) -> tuple[dict[int, list[tuple[int, list[int]]]], int, int]:
    """Return for each person the frames, and the indices within each; how many ghosts and predictions there are."""
    found: dict[int, list[tuple[int, list[int]]]] = {}
    ghosts = predicted = 0
    for number, (name, frame) in enumerate(content.items()):
        idents = frame["tid"]
        times = frame.get("tracked_time")
        seen = frame.get("tracked_ids")
        if not isinstance(idents, list) or not all(isinstance(i, (int, np.integer)) for i in idents):
            raise mismatch(f"{path}: tid of frame {_shown(name)}", "a list of whole numbers", _kind(idents))
        if not isinstance(frame["smpl"], list) or len(frame["smpl"]) != len(idents):
            received = f"{len(frame['smpl'])}" if isinstance(frame["smpl"], list) else _kind(frame["smpl"])
            raise mismatch(f"{path}: smpl of frame {_shown(name)}", f"a list of {len(idents)}, as tid", received)
        counted = isinstance(times, list) and len(times) == len(idents)
        if counted and not all(isinstance(time, (int, float, np.number)) for time in times):
            wrong = next(time for time in times if not isinstance(time, (int, float, np.number)))
            raise mismatch(f"{path}: tracked_time of frame {_shown(name)}", "numbers", _kind(wrong))
        indices: dict[int, list[int]] = {}
        for index, ident in enumerate(map(int, idents)):
            lost = times[index] > 0 if counted else isinstance(seen, list) and ident not in seen
            ghosts += lost
            if not lost:
                predicted += counted and times[index] < 0
                indices.setdefault(ident, []).append(index)
        for ident, own in indices.items():
            found.setdefault(ident, []).append((number, own))
    return dict(sorted(found.items())), int(ghosts), int(predicted)


def _tracks(
    path: Path, person: str, content: Mapping[Any, Any], places: list[tuple[Any, list[int]]]
) -> tuple[dict[str, Track], tuple[Field, ...]]:
    tracks, fields = {}, []
    for above, below, name, shape in _FIELDS:
        # A person who is twice in a frame (PHALP adds those it becomes sure of later) is the same both times.
        found = [tuple((frame, *above, index, *below) for index in indices) for frame, indices in places]
        if name not in _REQUIRED and not all(_there(content, place) for row in found for place in row):
            continue
        rows = [_numbers(path, person, content, row[0], shape) for row in found]
        sizes = {row.shape for row in rows}
        if len(sizes) > 1:
            raise mismatch(f"{path}: {name} of person {person}", "the same size in every frame", sorted(sizes))
        values = np.array(rows)
        tracks[name] = _track(name, values)
        fields.append(Field(tuple(found), (Part(name, 0, int(np.prod(values.shape[1:])), 0),)))
    return tracks, tuple(fields)


def _there(content: Mapping[Any, Any], place: Place) -> bool:
    try:
        return isinstance(at(content, place), np.ndarray)
    except (KeyError, IndexError, TypeError):
        return False


def _numbers(path: Path, person: str, content: Mapping[Any, Any], place: Place, shape: tuple[int, ...]) -> Any:
    key = place[-1] if isinstance(place[-1], str) else place[1]
    what = f"{path}: {key} of person {person} in frame {_shown(place[0])}"
    size = {"betas": "(K,)", "camera": "(3,)"}.get(key, shape)
    wanted = f"an array {size} of floats"
    value = at(content, place) if _there(content, place) else None
    if value is None or value.dtype.kind != "f" or (shape != (-1,) and value.size != np.prod(shape)):
        received = f"{value.shape} of {value.dtype}" if value is not None else "something else"
        raise mismatch(what, wanted, received)
    return value.reshape(shape)


def _track(name: str, values: NDArray[Any]) -> Track:
    kind: Kind = "rotation_matrix"
    if name == "global_orient":
        return Track(values, kind, "root", SMPL.joints[:1], up=_CAMERA)
    if name == "body_pose":
        return Track(values, kind, "body", SMPL.joints[1:])
    if name == "transl":
        return Track(values, "position", "root", ("pelvis",), metres=1.0, up=_CAMERA)
    if name == "camera_bbox":
        return Track(values, "channels", "camera", ("scale", "x", "y"))
    return Track(values, "channels", "shape", numbered("betas", values.shape[1]))


def _shown(name: Any) -> str:
    return " ".join(str(name).split())[-60:]


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"


def write(motion: Motion, path: Path) -> None:
    """Write the same dictionary as a pickle, with the changed numbers of the tracks in it and nothing else changed.

    Raises:
        ValueError: nothing can be written there.
    """
    dump(rewritten(motion.source, motion.people), path)


def make(motion: Motion, path: Path) -> None:
    """Write new results in float32, as PHALP does: frame ``000012.jpg`` with ``time`` 12, who is there in its lists.

    ``camera`` is the translation. What only images or the body model could tell is neutral: boxes, ``center``,
    ``scale``, ``size`` and ``camera_bbox`` are 0, ``conf`` is 1, ``annotations`` are empty. There are no joints.

    Raises:
        ValueError: nobody is in it, a negative frame number, or nothing can be written there.
    """
    frames = timeline(motion.people, "PHALP results")
    idents = whole_numbers(motion.people, first=1)
    matrices = [
        axis_angle_to_matrix(pose(person, 24).astype(np.float64)).astype(np.float32) for person in motion.people
    ]
    betas = [shapes(person, 10).astype(np.float32) for person in motion.people]
    places = [translation(person).astype(np.float32) for person in motion.people]
    content = {}
    for number, there in frames:
        name = f"{number:06d}.jpg"
        own = [idents[index] for index, _ in there]
        content[name] = {
            "time": number,
            "shot": 0,
            "frame_path": name,
            "tracked_ids": own,
            "tracked_bbox": [np.zeros(4) for _ in there],
            "tid": list(own),
            "bbox": [np.zeros(4) for _ in there],
            "tracked_time": [0 for _ in there],
            "center": [np.zeros(2) for _ in there],
            "scale": [np.zeros(2) for _ in there],
            "size": [[0, 0] for _ in there],
            "img_path": [name for _ in there],
            "img_name": [name for _ in there],
            "class_name": [0 for _ in there],
            "conf": [1.0 for _ in there],
            "annotations": [[] for _ in there],
            "smpl": [
                {
                    "global_orient": matrices[i][row, :1],
                    "body_pose": matrices[i][row, 1:],
                    "betas": betas[i][row],
                }
                for i, row in there
            ],
            "camera": [places[i][row] for i, row in there],
            "camera_bbox": [np.zeros(3, np.float32) for _ in there],
        }
    dump(content, path)


FORMAT = Format(
    NAME,
    "PHALP or 4D-Humans results",
    matches,
    read,
    write,
    (".pkl",),
    make=make,
    contents=("smpl",),
    up=_CAMERA,
    metres=1.0,
    fps=ASSUMED_FPS,
    keeps=("translation", "betas", "changing betas", "people", "ids", "gaps", "frame numbers"),
)
