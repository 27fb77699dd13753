"""Results of SMPLify-X: a folder of pickles, ``results/FRAME/000.pkl`` for each person of each frame.

Layout (SMPLify-X, ``smplifyx/main.py`` and ``fit_single_frame.py``): a dictionary of arrays with one row, as the body
model's and the camera's parameters are named: ``global_orient`` (1, 3), ``body_pose`` (1, 63), of SMPL (1, 69),
``betas`` (1, 10), ``left_hand_pose`` and ``right_hand_pose``, ``jaw_pose``, ``leye_pose``, ``reye_pose`` (1, 3),
``expression`` (1, 10), ``camera_translation`` (1, 3) and ``camera_rotation`` (1, 3, 3). With VPoser, its default,
SMPLify-X writes the prior's 32 numbers as ``body_pose``; without that network they are no pose, and are refused.
Programs that fit alike (PROX) add ``transl``. Pickles straight in the folder, one a frame, are read as well.

A file's number is the detection's, not the person's: where frames have several files, people are matched by where
their joints are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.restricted_pickle import load_pickle
from smpl_tools.formats._files import read_bytes, replacing_folder
from smpl_tools.formats._format import Format, Options
from smpl_tools.formats._matched import matched, max_gap
from smpl_tools.formats._names import frame_numbers, numbered
from smpl_tools.formats._pickles import described, dump, is_pickle
from smpl_tools.formats._records import Field, Part, Records, rewritten
from smpl_tools.formats.smplifyx_new import make
from smpl_tools.motion import Motion, Person, Skeleton, Track, Up
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X

NAME = "smplifyx"
_CAMERA: Up = "-y"
_LATENT = 32
_SUFFIX = ".pkl"
# Key in a file: how many numbers; None is any. The first two have to be there.
_REQUIRED = ("global_orient", "body_pose")
_SIZES: dict[str, int | None] = {
    "global_orient": 3,
    "body_pose": None,
    "left_hand_pose": None,
    "right_hand_pose": None,
    "jaw_pose": 3,
    "leye_pose": 3,
    "reye_pose": 3,
    "expression": None,
    "betas": None,
    "transl": 3,
    "camera_translation": 3,
}


@dataclass(frozen=True, eq=False)
class _Source:
    """Every file's bytes by its name within the folder, and the places of all numbers."""

    files: dict[str, bytes]
    records: Records


def matches(path: Path, head: bytes) -> bool:
    """Tell whether the path is a folder whose first pickle has the parameters of a body."""
    if not path.is_dir():
        return False
    first = next((files[0] for files in _found(path).values() if files), None)
    return first is not None and is_pickle(read_bytes(first, 16)) and _is_result(load_pickle(first))


def _is_result(content: Any) -> bool:
    beside = ("betas", "camera_translation", "transl")
    return isinstance(content, dict) and all(k in content for k in _REQUIRED) and any(k in content for k in beside)


def _found(path: Path) -> dict[str, list[Path]]:
    """Return the pickles of every frame, by the name of the file or folder that numbers the frame."""
    entries = sorted(path.iterdir())
    flat = {one.name: [one] for one in entries if _is_file(one)}
    if flat:
        return flat
    folders = (one for one in entries if one.is_dir())
    return {one.name: sorted(file for file in one.iterdir() if _is_file(file)) for one in folders}


def _is_file(path: Path) -> bool:
    return path.suffix.lower() == _SUFFIX and path.is_file()


def read(path: Path, options: Options) -> Motion:
    """Read a folder of SMPLify-X results.

    Tracks: ``global_orient``, ``body_pose``, ``betas``, ``jaw_pose``, ``eye_pose``, ``expression``; ``transl`` from the
    key of that name, else from ``camera_translation`` of a camera that is not turned; hands as ``left_hand_pose`` of
    15 joints, or as channels ``left_hand_pca`` of the model's principal components. Frame numbers are those in the
    names.

    Raises:
        ValueError: no such folder, a file is refused or damaged or holds a VPoser latent, an array is not as above, or
            several people cannot be told apart.
    """
    if not path.is_dir():
        raise mismatch(str(path), "a folder of SMPLify-X results", "a file")
    found = {name: files for name, files in _found(path).items() if files}
    if not found:
        raise mismatch(
            str(path), "a folder of SMPLify-X results", "no file that ends in .pkl, here or one folder below"
        )
    suffix = _SUFFIX if next(iter(found)).lower().endswith(_SUFFIX) else ""
    numbers = [0] if len(found) == 1 else frame_numbers(path, list(found), suffix)
    order = np.argsort(numbers)
    frames = np.array(numbers, np.int64)[order]
    names = [[file.relative_to(path).as_posix() for file in list(found.values())[k]] for k in order]
    content = {name: load_pickle(path / name) for own in names for name in own}
    for name, record in content.items():
        _check(path / name, record)

    idents = _people(path, content, names, frames, options.fps)
    rows: dict[int, list[tuple[int, str]]] = {}
    for frame, (own, row) in enumerate(zip(names, idents, strict=True)):
        for name, ident in zip(own, row, strict=True):
            if ident >= 0:
                rows.setdefault(ident, []).append((frame, name))
    people, fields = [], []
    turned = _is_turned(content)
    for ident, places in sorted(rows.items()):
        tracks, own = _tracks(path, content, [name for _, name in places], turned)
        people.append(Person(str(ident), tracks, frames[[frame for frame, _ in places]]))
        fields.append(own)
    notes = [] if options.fps else ["frame rate not stated in the files"]
    notes += _notes(path, content, names, people, turned, options.fps)
    files = {name: read_bytes(path / name) for name in content}
    source = _Source(files, Records(content, tuple(people), tuple(fields)))
    return Motion(NAME, tuple(people), options.fps, _skeleton(people), source=source, notes=tuple(notes))


def _check(path: Path, record: Any) -> None:
    if not _is_result(record):
        raise mismatch(f"{path}: content", "a dictionary with global_orient, body_pose and betas", described(record))
    for key, size in _SIZES.items():
        value = record.get(key)
        if value is None and key not in _REQUIRED:
            continue
        wanted = f"{size or 'some'} floats, in one row"
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            raise mismatch(f"{path}: {key}", wanted, f"a {type(value).__name__}")
        if key == "body_pose" and value.size == _LATENT:
            raise mismatch(
                f"{path}: {key}",
                "63 or 69 numbers",
                "32, a VPoser latent (VPoser, which wrote it, decodes it to a pose; SMPLify-X without it writes one)",
            )
        if key == "body_pose" and value.size not in (63, 69):
            raise mismatch(f"{path}: {key}", "63 or 69 numbers", value.size)
        if value.size != (size or value.size) or (value.ndim > 1 and len(value) != 1) or not value.size:
            raise mismatch(f"{path}: {key}", wanted, value.shape)


def _people(
    path: Path, content: dict[str, Any], names: list[list[str]], frames: NDArray[np.int64], fps: float | None
) -> list[list[int]]:
    if max(map(len, names)) <= 1:
        return [[0] for _ in names]
    if len(names) == 1:
        return [list(range(len(names[0])))]
    key = next((k for k in ("transl", "camera_translation") if all(k in r for r in content.values())), None)
    if key is None:
        raise mismatch(f"{path}: people", "one file a frame, or camera_translation to match people by", "several files")
    poses, places = [], []
    for own in names:
        both = [np.concatenate([content[n][k].reshape(-1) for k in _REQUIRED])[:66] for n in own]
        poses.append(np.array(both).reshape(len(own), -1, 3))
        places.append(np.array([content[n][key].reshape(3) for n in own]))
    return [row.tolist() for row in matched(poses, places, frames, fps)]


def _tracks(
    path: Path, content: dict[str, Any], names: list[str], turned: bool
) -> tuple[dict[str, Track], tuple[Field, ...]]:
    tracks: dict[str, Track] = {}
    fields = []
    eyes: dict[str, NDArray[Any]] = {}
    for key in _SIZES:
        there = [content[name].get(key) is not None for name in names]
        if not any(there):
            continue
        first = next(name for name, has in zip(names, there, strict=True) if has)
        for name in names:
            value = content[name].get(key)
            if value is None or value.size != content[first][key].size:
                received = "no such key" if value is None else f"{value.size} numbers"
                raise mismatch(f"{path / name}: {key}", f"{content[first][key].size} numbers as in {first}", received)
        values = np.array([content[name][key].reshape(-1) for name in names])
        places = tuple(((name, key),) for name in names)
        count = values.shape[1]
        if key in ("leye_pose", "reye_pose"):
            eyes[key] = values
            start = 3 * (len(eyes) - 1)
            fields.append(Field(places, (Part("eye_pose", start, start + 3, 0),)))
            joints = tuple(SMPL_X.joints[23 if eye == "leye_pose" else 24] for eye in eyes)
            both = np.stack(list(eyes.values()), axis=1)
            tracks["eye_pose"] = Track(both, "axis_angle", "face", joints)
            continue
        name, track = _track(key, values, turned, "transl" in content[names[0]])
        tracks[name] = track
        fields.append(Field(places, (Part(name, 0, count, 0),)))
    return tracks, tuple(fields)


def _track(key: str, values: NDArray[Any], turned: bool, placed: bool) -> tuple[str, Track]:
    up = None if turned else _CAMERA
    vectors = values.reshape(len(values), -1, 3) if values.shape[1] % 3 == 0 else values
    if key == "global_orient":
        return key, Track(vectors, "axis_angle", "root", SMPL.joints[:1], up=up)
    if key == "body_pose":
        return key, Track(vectors, "axis_angle", "body", SMPL.joints[1 : 1 + vectors.shape[1]])
    if key == "jaw_pose":
        return key, Track(vectors, "axis_angle", "face", SMPL_X.joints[22:23])
    if key.endswith("hand_pose"):
        if values.shape[1] == 45:
            first = 22 if key.startswith("left") else 37
            return key, Track(vectors, "axis_angle", "hands", SMPL_H.joints[first : first + 15])
        return key.replace("pose", "pca"), _channels(key.replace("pose", "pca"), values, "hands")
    if key == "transl" or (key == "camera_translation" and not (turned or placed)):
        return "transl", Track(vectors, "position", "root", ("pelvis",), metres=1.0, up=up)
    part = {"expression": "face", "betas": "shape", "camera_translation": "camera"}[key]
    return key, _channels(key, values, part)


def _channels(name: str, values: NDArray[Any], part: Any) -> Track:
    return Track(values, "channels", part, numbered(name, values.shape[1]))


def _is_turned(content: dict[str, Any]) -> bool:
    turns = [record["camera_rotation"] for record in content.values() if record.get("camera_rotation") is not None]
    return not all(np.size(turn) == 9 and np.allclose(np.reshape(turn, (3, 3)), np.eye(3), atol=1e-6) for turn in turns)


def _skeleton(people: list[Person]) -> Skeleton:
    names = {joint for person in people for track in person.tracks.values() for joint in track.joints}
    return next(s for s, own in ((SMPL_X, "jaw"), (SMPL, "left_hand"), (SMPL_H, "")) if not own or own in names)


def _notes(
    path: Path,
    content: dict[str, Any],
    names: list[list[str]],
    people: list[Person],
    turned: bool,
    fps: float | None,
) -> list[str]:
    notes = []
    tracks = {name for person in people for name in person.tracks}
    if max(map(len, names)) > 1 and len(names) > 1:
        notes.append(f"people matched across frames; one lost for more than {max_gap(fps)} frames returns as a new one")
    if {"left_hand_pca", "right_hand_pca"} & tracks:
        notes.append("hands are principal components of the hand model: channels, not rotations")
    if {"left_hand_pose", "right_hand_pose"} & tracks:
        notes.append("rotations of the fingers are taken as they are: a model with a mean hand adds it to them")
    if turned:
        notes.append("camera_rotation turns the body before the camera: camera_translation is not the body's")
    others = sum(1 for one in path.rglob("*") if one.is_file() and one.relative_to(path).as_posix() not in content)
    if others:
        notes.append(f"files of the folder that are not results, left out on writing: {others}")
    return notes


def write(motion: Motion, path: Path) -> None:
    """Write the same files into a folder, those in which no number changed byte for byte.

    Raises:
        ValueError: nothing can be written there.
    """
    source: _Source = motion.source
    content = rewritten(source.records, motion.people)
    with replacing_folder(path) as folder:
        for name, data in source.files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            if content[name] is source.records.content[name]:
                (folder / name).write_bytes(data)
            else:
                dump(content[name], folder / name)


FORMAT = Format(
    NAME,
    "SMPLify-X, a folder of pickles",
    matches,
    read,
    write,
    make=make,
    contents=("smpl",),
    up=_CAMERA,
    metres=1.0,
    keeps=(
        "translation",
        "hands",
        "jaw and eyes",
        "expression",
        "betas",
        "changing betas",
        "people",
        "gaps",
        "frame numbers",
    ),
)
