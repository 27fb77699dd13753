"""MediaPipe Pose landmarks in an ``.npz``; MediaPipe itself has no file format.

Layout, ours: ``world_landmarks`` and ``image_landmarks`` (T, 33, 4), each x, y, z and visibility, or one of the two;
``fps``, ``width`` and ``height`` as scalars; anything else besides. Image landmarks are x in image widths, y in image
heights and a depth z relative to the hips in about the unit of x; world landmarks are metres from the middle of the
hips (MediaPipe, "Pose landmark detection", output).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.restricted_pickle import load_npz
from smpl_tools.formats._changes import merged
from smpl_tools.formats._files import ZIP_MAGIC, npz_compressed, npz_headers, write_npz
from smpl_tools.formats._format import Format, Options
from smpl_tools.formats._smpl import only_person
from smpl_tools.joint_names import picked
from smpl_tools.motion import Motion, Person, Track, time_span

NAME = "mediapipe"
# The metres stand first: they are what is measured where one track is chosen.
_KEYS = ("world_landmarks", "image_landmarks")
_EYES = ("eye_inner", "eye", "eye_outer")
_PAIRS = ("shoulder", "elbow", "wrist", "pinky", "index", "thumb", "hip", "knee", "ankle", "heel", "foot_index")
LANDMARKS = (
    "nose",
    *(f"{side}_{part}" for side in ("left", "right") for part in _EYES),
    "left_ear",
    "right_ear",
    "mouth_left",
    "mouth_right",
    *(f"{side}_{part}" for part in _PAIRS for side in ("left", "right")),
)


@dataclass(frozen=True, eq=False)
class _Source:
    arrays: dict[str, NDArray[Any]]
    compressed: bool


def matches(path: Path, head: bytes) -> bool:
    """Tell whether the file is an ``.npz`` with image or world landmarks."""
    return head.startswith(ZIP_MAGIC) and any(key in npz_headers(path) for key in _KEYS)


def read(path: Path, options: Options) -> Motion:
    """Read MediaPipe landmarks as one person with the tracks ``world_landmarks`` and ``image_landmarks`` (T, 33, 3).

    A frame whose numbers are all zero, or NaN, was not detected and is NaN; the visibility is the confidence.

    Raises:
        ValueError: an array or scalar is not as above.
    """
    arrays = load_npz(path)
    present = [key for key in _KEYS if key in arrays]
    if not present:
        raise mismatch(f"{path}: keys", " or ".join(_KEYS), ", ".join(arrays) or "none")
    tracks = {key: track_of(key, _checked(path, key, arrays[key])) for key in present}
    fps = options.fps or _scalar(path, arrays, "fps")
    width, height = (_scalar(path, arrays, key) for key in ("width", "height"))
    return motion_of(NAME, path, tracks, fps, width, height, _Source(arrays, npz_compressed(path)))


def motion_of(
    name: str,
    path: Path,
    tracks: dict[str, Track],
    fps: float | None,
    width: float | None,
    height: float | None,
    source: Any,
) -> Motion:
    """Return the motion of one person that a file of landmarks holds.

    Raises:
        ValueError: the tracks have different lengths.
    """
    count = len(next(iter(tracks.values())).values)
    try:
        person = Person("0", tracks, np.arange(count, dtype=np.int64))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return Motion(
        name,
        (person,),
        fps,
        image_size=(width, height) if width and height else None,
        source=source,
        notes=() if fps else ("frame rate not stated in the file",),
    )


def write(motion: Motion, path: Path) -> None:
    """Write the same arrays: new x, y, z where a track has new finite ones, visibility and all else as they were.

    Raises:
        ValueError: nothing can be written there.
    """
    source: _Source = motion.source
    (person,) = motion.people
    arrays = dict(source.arrays)
    for key, track in person.tracks.items():
        old = source.arrays[key]
        new = np.concatenate([track.values, old[..., 3:]], axis=-1)
        # Frames not detected and not filled are NaN in the track and keep their own numbers.
        arrays[key] = merged(key, old, new)
    write_npz(path, arrays, compressed=source.compressed)


def _checked(path: Path, key: str, landmarks: NDArray[Any]) -> NDArray[Any]:
    if landmarks.ndim != 3 or landmarks.shape[1:] != (len(LANDMARKS), 4) or landmarks.dtype.kind != "f":
        raise mismatch(f"{path}: {key}", "(T, 33, 4) of floats", f"{landmarks.shape} of {landmarks.dtype}")
    return landmarks


def track_of(key: str, landmarks: NDArray[Any]) -> Track:
    """Return the track of landmarks (T, 33, 4): NaN where a frame was not detected, the visibility as confidence."""
    detected = (np.nan_to_num(landmarks[..., :3]) != 0).any(axis=(1, 2))
    values = np.where(detected[:, None, None], landmarks[..., :3], landmarks.dtype.type(np.nan))
    confidence = np.clip(np.nan_to_num(landmarks[..., 3]), 0.0, 1.0)
    if key == "world_landmarks":
        return Track(values, "position", "body", LANDMARKS, confidence, metres=1.0, up="-y")
    return Track(values, "position", "body", LANDMARKS, confidence)


def landmarks_of(person: Person) -> NDArray[np.float64]:
    """Return new world landmarks (T, 33, 4) from the joints of a plain motion, found by name.

    A landmark that the motion lacks is NaN with visibility 0, a frame in which the person is missing all zero.
    """
    track = picked(person.tracks["joints"], LANDMARKS, what="MediaPipe's landmarks", optional=True)
    confidence = np.ones(track.values.shape[:2]) if track.confidence is None else track.confidence
    rows = person.frames - person.frames[:1]
    landmarks = np.zeros((time_span(person.frames, "MediaPipe's landmarks"), len(LANDMARKS), 4))
    landmarks[rows] = np.concatenate([track.values, confidence[..., None]], axis=2)
    landmarks[np.isnan(landmarks[..., :3]).all(axis=(1, 2))] = 0.0
    return landmarks


def _scalar(path: Path, arrays: dict[str, NDArray[Any]], key: str) -> float | None:
    """Return a positive number of the file, None where it has none."""
    if key not in arrays:
        return None
    value = arrays[key]
    if value.size != 1 or value.dtype.kind not in "iuf" or not 0 < value.item() < np.inf:
        raise mismatch(f"{path}: {key}", "one positive number", f"{value.ravel()[:3].tolist()}")
    return float(value.item())


def make(motion: Motion, path: Path) -> None:
    """Write a new archive: ``world_landmarks`` in metres, and ``fps`` where it is known.

    Raises:
        ValueError: not one person, no landmark of MediaPipe's, or nothing can be written there.
    """
    arrays = {"world_landmarks": landmarks_of(only_person(motion, "MediaPipe landmarks")).astype(np.float32)}
    if motion.fps is not None:
        arrays["fps"] = np.array(float(motion.fps))
    write_npz(path, arrays, compressed=False)


FORMAT = Format(
    NAME,
    "MediaPipe Pose landmarks",
    matches,
    read,
    write,
    (".npz",),
    make=make,
    contents=("joints",),
    up="-y",
    metres=1.0,
    keeps=("joint names", "confidence", "gaps", "frame rate"),
)
