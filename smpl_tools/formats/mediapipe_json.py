"""MediaPipe Pose landmarks in a JSON file; MediaPipe itself has no file format.

Read are the layout of ours, the same as the ``.npz`` (:mod:`smpl_tools.formats.mediapipe`): an object with
``world_landmarks`` and ``image_landmarks``, lists of frames of 33 landmarks [x, y, z, visibility], ``fps``, ``width``,
``height``; and what programs dump of MediaPipe's own results, a list of frames, or an object with a list ``frames``:
each an object with ``worldLandmarks`` and ``landmarks`` (also ``pose_world_landmarks``, ``pose_landmarks``) of 33
objects with x, y, z and visibility. A frame without a detection has an empty list or null.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.formats._changes import merged
from smpl_tools.formats._files import read_bytes, replacing
from smpl_tools.formats._format import Format, Options
from smpl_tools.formats._json import dumped, parsed
from smpl_tools.formats._smpl import only_person
from smpl_tools.formats.mediapipe import LANDMARKS, landmarks_of, motion_of, track_of
from smpl_tools.motion import Motion

NAME = "mediapipe-json"
# Ours first; the metres before the image.
_KEYS = {
    "world_landmarks": ("world_landmarks", "worldLandmarks", "pose_world_landmarks", "poseWorldLandmarks"),
    "image_landmarks": ("image_landmarks", "landmarks", "pose_landmarks", "poseLandmarks"),
}
_NAMES = ("x", "y", "z", "visibility")
_COUNT = len(LANDMARKS)


@dataclass(frozen=True, eq=False)
class _Source:
    """The document, and for each track the landmarks as read and the list of every frame within the document."""

    document: Any
    arrays: dict[str, NDArray[np.float64]]
    frames: dict[str, list[Any]]


def matches(path: Path, head: bytes) -> bool:
    """Tell whether the file is JSON and names landmarks."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start.startswith((b"{", b"[")):
        return False
    names = [name for known in _KEYS.values() for name in known]
    return any(f'"{name}"'.encode() in (head if len(head) < 4096 else read_bytes(path)) for name in names)


def read(path: Path, options: Options) -> Motion:
    """Read MediaPipe landmarks as one person with the tracks ``world_landmarks`` and ``image_landmarks`` (T, 33, 3).

    Raises:
        ValueError: not JSON of such a layout; the message names the frame.
    """
    document = parsed(path, read_bytes(path))
    arrays, frames = {}, {}
    for key, known in _KEYS.items():
        found = _frames(document, known)
        if found is not None:
            frames[key] = found
            arrays[key] = np.array([_landmarks(path, key, k, frame) for k, frame in enumerate(found)]).reshape(
                -1, _COUNT, 4
            )
    if not arrays:
        names = ", ".join(known[0] for known in _KEYS.values())
        raise mismatch(f"{path}: JSON", f"an object or a list of frames with {names}", type(document).__name__)
    head = document if isinstance(document, dict) else {}
    numbers = {key: _positive(path, head, key) for key in ("fps", "width", "height")}
    tracks = {key: track_of(key, array) for key, array in arrays.items()}
    return motion_of(
        NAME,
        path,
        tracks,
        options.fps or numbers["fps"],
        numbers["width"],
        numbers["height"],
        _Source(document, arrays, frames),
    )


def _frames(document: Any, known: tuple[str, ...]) -> list[Any] | None:
    """Return the landmarks of every frame, None where no frame has any by these names."""
    if isinstance(document, dict):
        for name in known:
            if isinstance(document.get(name), list):
                return document[name]
        document = document.get("frames")
    if not isinstance(document, list) or not document:
        return None
    if not all(isinstance(frame, dict) for frame in document):
        return None
    name = next((name for name in known if any(name in frame for frame in document)), None)
    return None if name is None else [frame.get(name) for frame in document]


def _landmarks(path: Path, key: str, number: int, frame: Any) -> NDArray[np.float64]:
    where = f"{path}: {key}, frame {number}"
    if not frame:
        return np.zeros((_COUNT, 4))
    if isinstance(frame, list) and frame and isinstance(frame[0], list) and len(frame[0]) != 4:
        # A list of poses, as MediaPipe's detector of several people gives it.
        if len(frame) > 1:
            raise mismatch(where, "one pose", f"{len(frame)} poses")
        frame = frame[0]
    if not isinstance(frame, list) or len(frame) != _COUNT:
        raise mismatch(
            where, f"{_COUNT} landmarks", f"{len(frame) if isinstance(frame, list) else type(frame).__name__}"
        )
    rows = [
        [one.get(name, 0.0 if name == "z" else None) for name in _NAMES] if isinstance(one, dict) else one
        for one in frame
    ]
    for row in rows:
        numbers = isinstance(row, list) and len(row) == 4 and all(type(x) in (int, float) or x is None for x in row)
        if not numbers:
            raise mismatch(where, "landmarks of x, y, z, visibility", repr(row)[:60])
    return np.array([[np.nan if x is None else float(x) for x in row] for row in rows])


def _positive(path: Path, document: dict[str, Any], key: str) -> float | None:
    value = document.get(key)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 < value < np.inf:
        raise mismatch(f"{path}: {key}", "a positive number", repr(value)[:24])
    return float(value)


def write(motion: Motion, path: Path) -> None:
    """Write the same document: new x, y, z where a track has new finite ones, visibility and all else as they were.

    Raises:
        ValueError: nothing can be written there.
    """
    source: _Source = motion.source
    # A copy through text: what was read stays as it is.
    document = json.loads(dumped(source.document))
    for key, track in motion.people[0].tracks.items():
        old = source.arrays[key]
        new = merged(key, old, np.concatenate([track.values, old[..., 3:]], axis=-1))
        frames = _frames(document, _KEYS[key])
        assert frames is not None  # since the document was read by it
        for row in np.flatnonzero((new != old).any(axis=(1, 2)) & ~np.isnan(old).all(axis=(1, 2))):
            frame = frames[row]
            if not frame:
                continue
            if isinstance(frame[0], list) and len(frame[0]) != 4:
                frame = frame[0]
            for landmark, values in zip(frame, new[row, :, :3].tolist(), strict=True):
                if isinstance(landmark, dict):
                    landmark.update(zip(_NAMES, values, strict=False))
                else:
                    landmark[:3] = values
    _save(document, path)


def _save(document: Any, path: Path) -> None:
    with replacing(path) as file:
        file.write(dumped(document, separators=(",", ":")).encode())


def make(motion: Motion, path: Path) -> None:
    """Write a new file in the layout of ours: ``world_landmarks`` in metres, and ``fps`` where it is known.

    Raises:
        ValueError: not one person, no landmark of MediaPipe's, or nothing can be written there.
    """
    world = landmarks_of(only_person(motion, "MediaPipe landmarks"))
    rows = [[[None if x != x else x for x in landmark] for landmark in frame] for frame in world.tolist()]
    _save({"fps": motion.fps, "world_landmarks": rows} if motion.fps else {"world_landmarks": rows}, path)


FORMAT = Format(
    NAME,
    "MediaPipe Pose landmarks in JSON",
    matches,
    read,
    write,
    (".json",),
    make=make,
    contents=("joints",),
    up="-y",
    metres=1.0,
    keeps=("joint names", "confidence", "gaps", "frame rate"),
)
