"""OpenPose: a folder of JSON files, one a frame, in which people stand in no particular order.

Layout (OpenPose documentation, "Output"): ``people[].pose_keypoints_2d``, ``hand_left_keypoints_2d``,
``hand_right_keypoints_2d`` and ``face_keypoints_2d``, each a flat list x, y, confidence in pixels, with 0, 0, 0 for a
keypoint that was not found. Files of the first versions (``"version": 1.0``) have the same keys without ``_2d``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.formats._files import read_bytes, replacing_folder
from smpl_tools.formats._format import Format, Options
from smpl_tools.formats._json import parsed, written
from smpl_tools.formats._names import frame_numbers
from smpl_tools.formats._openpose_joints import FACE, HAND, body_names, names
from smpl_tools.formats.openpose_new import make
from smpl_tools.motion import Motion, Part, Person, Track
from smpl_tools.people import MAX_GAP_SECONDS, assign_people

NAME = "openpose"
Array = NDArray[np.float64]

# Key in a person's record: the track's name, its part.
_FIELDS: dict[str, tuple[str, Part]] = {
    "pose_keypoints_2d": ("pose", "body"),
    "hand_left_keypoints_2d": ("left_hand", "hands"),
    "hand_right_keypoints_2d": ("right_hand", "hands"),
    "face_keypoints_2d": ("face", "face"),
}
# Nothing but the time for which a lost person is remembered depends on it.
_ASSUMED_FPS = 30.0
# Beyond this no image reaches, and sums of squares stay finite.
_LARGEST = 1e9


@dataclass(frozen=True, eq=False)
class _Source:
    """Every file's name and bytes; for every person (T, 2) the file and the place in it of each row."""

    files: tuple[tuple[str, bytes], ...]
    slots: tuple[NDArray[np.int64], ...]


def matches(path: Path, head: bytes) -> bool:
    """Tell whether the path is a folder whose first JSON file has people."""
    if not path.is_dir():
        return False
    first = min((file for file in path.iterdir() if _is_json(file)), default=None)
    return first is not None and b'"people"' in read_bytes(first, 4096)


def read(path: Path, options: Options) -> Motion:
    """Read a folder of OpenPose JSON files; ``smpl_tools.people.assign_people`` tells who is who over time.

    Every person has a 2D position track ``pose`` (T, K, 2) in pixels and, where the files show any of it,
    ``left_hand``, ``right_hand`` and ``face``: NaN where the confidence is 0. Frame numbers are those in the files'
    names. People are numbered in order of appearance.

    Raises:
        ValueError: a file is not JSON of this layout, or file names do not number the frames.
    """
    frames, files = _files(path)
    parsed = [_detections(path / name, data) for name, data in files]
    detections = {key: _stacked(path, files, [found[key] for found, _ in parsed]) for key in _FIELDS}

    poses = detections["pose_keypoints_2d"]
    max_gap = round(MAX_GAP_SECONDS * (options.fps or _ASSUMED_FPS))
    numbers = assign_people([_positions(p) for p in poses], frames, max_gap=max_gap)
    people_count = max((int(n.max()) + 1 for n in numbers if n.size), default=0)
    slots: list[list[tuple[int, int]]] = [[] for _ in range(people_count)]
    for file, row in enumerate(numbers):
        for place in np.flatnonzero(row >= 0):
            slots[row[place]].append((file, int(place)))

    body, remark = body_names(_positions(np.concatenate(poses)))
    people = []
    for number, places in enumerate(slots):
        tracks = {}
        for key, (name, part) in _FIELDS.items():
            values = np.array([detections[key][file][place] for file, place in places])
            if (values[..., 2] > 0).any():
                joints = body if name == "pose" else names(values.shape[1], FACE if name == "face" else HAND)
                confidence = np.clip(np.nan_to_num(values[..., 2]), 0.0, 1.0)
                tracks[name] = Track(_positions(values), "position", part, joints, confidence)
        people.append(Person(str(number), tracks, frames[[file for file, _ in places]]))

    notes = [] if options.fps else ["frame rate not stated in the files"]
    if people:
        notes.append(f"people matched across frames; one lost for more than {max_gap} frames returns as a new one")
    if remark and people:
        notes.append(remark)
    if any(spatial for _, spatial in parsed):
        notes.append("the files hold 3D keypoints too: they are kept as they are")
    others = sum(1 for file in path.iterdir() if not _is_json(file))
    if others:
        notes.append(f"entries of the folder that are not .json files, left out on writing: {others}")
    return Motion(
        format=NAME,
        people=tuple(people),
        fps=options.fps,
        source=_Source(files, tuple(np.array(places, np.int64) for places in slots)),
        notes=tuple(notes),
    )


def write(motion: Motion, path: Path) -> None:
    """Write the same files into a folder: new x and y where a track has new finite ones, all else as it was.

    A file in which no number changed is written byte for byte. A keypoint that was not found and has been filled in
    keeps its confidence of 0.

    Raises:
        ValueError: nothing can be written there.
    """
    source: _Source = motion.source
    edits: list[list[tuple[int, str, Array]]] = [[] for _ in source.files]
    for person, slots in zip(motion.people, source.slots, strict=True):
        for key, (name, _) in _FIELDS.items():
            if name in person.tracks:
                for (file, place), values in zip(slots, person.tracks[name].values, strict=True):
                    edits[file].append((int(place), key, values))
    with replacing_folder(path) as folder:
        for (name, data), changes in zip(source.files, edits, strict=True):
            (folder / name).write_bytes(_edited(data, changes))


def _is_json(path: Path) -> bool:
    return path.suffix.lower() == ".json" and path.is_file()


def _files(path: Path) -> tuple[NDArray[np.int64], tuple[tuple[str, bytes], ...]]:
    """Return frame number, and name and bytes, of every JSON file, in order of the frame numbers."""
    if not path.is_dir():
        raise mismatch(str(path), "a folder of OpenPose JSON files", "a file")
    found = sorted(file.name for file in path.iterdir() if _is_json(file))
    if not found:
        raise mismatch(str(path), "a folder of OpenPose JSON files", "no file that ends in .json")
    numbered = sorted(zip(frame_numbers(path, found, ".json"), found, strict=True))
    files = tuple((name, read_bytes(path / name)) for _, name in numbered)
    return np.array([number for number, _ in numbered], np.int64), files


def _detections(path: Path, data: bytes) -> tuple[dict[str, list[Array]], bool]:
    """Return the people's arrays (K, 3) by key, (0, 3) where a person has none, and whether any has 3D keypoints."""
    document = parsed(path, data)
    if not isinstance(document, dict):
        raise mismatch(f"{path}: JSON", "an object with the key people", f"a {type(document).__name__}")
    people = document.get("people")
    if not isinstance(people, list) or not all(isinstance(record, dict) for record in people):
        raise mismatch(
            f"{path}: people", "a list of objects", "something else" if "people" in document else "no such key"
        )
    for number, record in enumerate(people):
        if record and not any(_own(record, key) in record for key in _FIELDS):
            raise mismatch(f"{path}: keys of person {number}", "pose_keypoints_2d", ", ".join(map(str, record))[:80])
    found = {key: [_keypoints(path, record.get(_own(record, key), []), key) for record in people] for key in _FIELDS}
    return found, any(record.get("pose_keypoints_3d") for record in people)


def _own(record: dict[str, Any], key: str) -> str:
    """Return the key as a person's record has it."""
    old = key.removesuffix("_2d")
    return old if old in record and key not in record else key


def _keypoints(path: Path, numbers: Any, key: str) -> Array:
    """Return a flat list x, y, confidence, ... as (K, 3)."""
    if not isinstance(numbers, list) or len(numbers) % 3:
        received = f"{len(numbers)} numbers" if isinstance(numbers, list) else f"a {type(numbers).__name__}"
        raise mismatch(f"{path}: {key}", "a list of x, y, confidence for each keypoint", received)
    for number in numbers:
        if type(number) not in (int, float):
            raise mismatch(f"{path}: {key}", "numbers", f"a {type(number).__name__}")
        if abs(number) > _LARGEST:
            raise mismatch(f"{path}: {key}", f"numbers up to {_LARGEST:g}", repr(number)[:24])
    return np.array(numbers, np.float64).reshape(-1, 3)


def _stacked(path: Path, files: tuple[tuple[str, bytes], ...], arrays: list[list[Array]]) -> list[Array]:
    """Return each file's arrays as one (P, K, 3), NaN for people without them; K is the same in all files."""
    sizes: dict[int, str] = {}
    for (name, _), row in zip(files, arrays, strict=True):
        for size in {len(array) for array in row} - {0}:
            sizes.setdefault(size, name)
    if len(sizes) > 1:
        (first, name), (second, other) = list(sizes.items())[:2]
        raise mismatch(f"{path / other}: keypoints of a person", f"{first} as in {name}", second)
    missing = np.full((next(iter(sizes), 0), 3), np.nan)
    return [np.array([a if len(a) else missing for a in row]).reshape(len(row), *missing.shape) for row in arrays]


def _positions(keypoints: Array) -> Array:
    """Return x, y of (..., K, 3), NaN where the confidence is not above 0."""
    seen = (keypoints[..., 2:] > 0) & np.isfinite(keypoints).all(axis=-1, keepdims=True)
    return np.where(seen, keypoints[..., :2], np.nan)


def _edited(data: bytes, changes: list[tuple[int, str, Array]]) -> bytes:
    """Return a file's bytes with each change's x, y (K, 2) put in the place and field it names."""
    document = json.loads(data)
    changed = False
    for place, key, positions in changes:
        record = document["people"][place]
        numbers = record.get(_own(record, key), [])
        for index in np.flatnonzero(np.isfinite(positions).all(axis=-1)) if numbers else ():
            at = slice(3 * index, 3 * index + 2)
            new = positions[index].tolist()
            if numbers[at] != new:
                numbers[at] = new
                changed = True
    return written(document, data, json.loads(data)) if changed else data


FORMAT = Format(
    NAME,
    "OpenPose, a folder of JSON files",
    matches,
    read,
    write,
    make=make,
    contents=("joints_2d",),
    keeps=("joint names", "confidence", "people", "gaps", "frame numbers"),
)
