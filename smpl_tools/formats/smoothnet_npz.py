"""The data archives of the published SmoothNet: one array of objects a key, one entry of it a sequence.

Keys: ``imgname``; ``joints_3d`` or ``keypoints_3d`` (L, K*3) in metres, ``joints_2d`` (L, K*2) in pixels, ``pose``
(L, 72) rotation vectors in radians, ``shape`` (L, 10), ``trans`` (L, 3), ``scaling``, and cameras. The layout is that
of the data released with SmoothNet (Zeng et al., ECCV 2022; ``lib/dataset/`` reads it). ``trans`` and ``scaling`` are
AIST++'s: the first divided by the second is in metres. Each sequence is read as a person.

Tracks: ``joints_3d`` (``keypoints_3d``), ``joints_2d``, ``global_orient`` and ``body_pose``, ``transl``, the camera's
keys, and ``betas`` where they change. Nothing says which axis is up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.restricted_pickle import load_npz
from smpl_tools.formats._changes import merged
from smpl_tools.formats._files import ZIP_MAGIC, npz_compressed, npz_headers, write_npz
from smpl_tools.formats._format import Format, Options
from smpl_tools.formats._names import listed, numbered, unique_names
from smpl_tools.formats._smpl import pose, shapes, take_shape, translation
from smpl_tools.motion import Kind, Motion, Part, Person, Track
from smpl_tools.skeleton import SMPL

NAME = "smoothnet"


@dataclass(frozen=True)
class _Key:
    """How a key is read: its track, kind, part, and how many numbers one joint has (0: any number of channels)."""

    track: str
    kind: Kind
    part: Part
    size: int


_KEYS: dict[str, _Key] = {
    "joints_3d": _Key("joints_3d", "position", "body", 3),
    "keypoints_3d": _Key("keypoints_3d", "position", "body", 3),
    "joints_2d": _Key("joints_2d", "position", "body", 2),
    "pose": _Key("pose", "axis_angle", "body", 3),
    "trans": _Key("transl", "position", "root", 3),
    "shape": _Key("betas", "channels", "shape", 0),
    "cam": _Key("cam", "channels", "camera", 0),
    "pred_cam": _Key("pred_cam", "channels", "camera", 0),
    "orig_cam": _Key("orig_cam", "channels", "camera", 0),
}
# One of these must be there; they stand first above, and state the length of a sequence.
_MAIN_KEYS = ("joints_3d", "keypoints_3d", "joints_2d", "pose")


@dataclass(frozen=True, eq=False)
class _Source:
    arrays: dict[str, NDArray[Any]]
    compressed: bool
    people: tuple[Person, ...]


def matches(path: Path, head: bytes) -> bool:
    """Return whether the file is an archive with SmoothNet's keys, in arrays of objects or beside ``imgname``."""
    if not head.startswith(ZIP_MAGIC):
        return False
    headers = npz_headers(path)
    main = [headers[key] for key in _MAIN_KEYS if key in headers]
    return bool(main) and ("imgname" in headers or any(dtype.kind == "O" for _, dtype in main))


def read(path: Path, options: Options) -> Motion:
    """Read the sequences as people; a person's id is the folder of its first image, or its number.

    Raises:
        ValueError: none of the main keys, different numbers of sequences, or an entry of another shape or length.
    """
    arrays = load_npz(path)
    keys = [key for key in _KEYS if key in arrays]
    if not set(keys) & set(_MAIN_KEYS):
        raise mismatch(f"{path}: keys", "one of " + ", ".join(_MAIN_KEYS), listed(arrays))
    for key in keys:
        if arrays[key].ndim < 1 or arrays[key].dtype.kind not in "Of":
            raise mismatch(f"{path}: {key!r}", "one array of floats a sequence", _described(arrays[key]))
    count = len(arrays[next(k for k in keys if k in _MAIN_KEYS)])
    # Two people of one video have the same images.
    ids = unique_names([_identity(arrays.get("imgname"), sequence) for sequence in range(count)])
    people = [_person(path, arrays, keys, sequence, ids) for sequence in range(count)]
    source = _Source(arrays, npz_compressed(path), tuple(people))
    notes = ("the file does not state its frame rate",)
    return Motion(NAME, source.people, None, source=source, path=path, notes=notes)


def _described(value: Any) -> str:
    return f"shape {value.shape}, dtype {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


def _identity(imgname: NDArray[Any] | None, sequence: int) -> str:
    name: Any = imgname[sequence] if imgname is not None and imgname.ndim and sequence < len(imgname) else ""
    while isinstance(name, (np.ndarray, list, tuple)):
        name = name[0] if len(name) else ""
    if isinstance(name, bytes):
        name = name.decode("utf-8", "replace")
    image = PurePosixPath(name.replace("\\", "/")) if isinstance(name, str) else PurePosixPath()
    return image.parent.name or image.stem or str(sequence)


def _person(path: Path, arrays: dict[str, NDArray[Any]], keys: list[str], sequence: int, ids: list[str]) -> Person:
    tracks: dict[str, Track] = {}
    frames, betas = 0, None
    for key in keys:
        what = f"{path}: {key!r}"
        if len(arrays[key]) != len(ids):
            raise mismatch(f"{what}, sequences", len(ids), len(arrays[key]))
        entry = _floats(arrays[key][sequence])
        usable = isinstance(entry, np.ndarray) and entry.dtype.kind == "f" and entry.ndim >= 2
        if key == "shape":
            flat = entry.reshape(frames, -1) if usable and frames and len(entry) == frames else entry
            betas, changing = take_shape(flat, frames)
            if changing is not None:
                tracks["betas"] = changing
            continue
        if key not in _MAIN_KEYS and not (usable and len(entry) == frames):
            # One shape or camera for the whole sequence: nothing to refine, and written back as it is.
            continue
        what = f"{what}, sequence {sequence}"
        if not usable:
            raise mismatch(what, "an array (L, ...) of floats", _described(entry))
        if tracks and len(entry) != frames:
            raise mismatch(f"{what}, frames", frames, len(entry))
        frames = len(entry)
        tracks.update(_tracks(what, key, entry))
    if "transl" in tracks:
        tracks["transl"] = tracks["transl"].replace(metres=_scale(arrays.get("scaling"), sequence))
    return Person(ids[sequence], tracks, np.arange(frames, dtype=np.int64), betas)


def _scale(scaling: NDArray[Any] | None, sequence: int) -> float | None:
    """Return one unit of ``trans`` in metres, where the file has one scaling for the sequence."""
    if scaling is None or scaling.ndim < 1 or sequence >= len(scaling):
        return None
    entry = _floats(scaling[sequence])
    if isinstance(entry, (float, np.floating)):
        entry = np.array([entry])
    if not isinstance(entry, np.ndarray) or entry.dtype.kind != "f" or not entry.size:
        return None
    first = float(entry.flat[0])
    # The reciprocal of the smallest numbers is none.
    return 1.0 / first if 1e-30 < first < 1e30 and (entry == first).all() else None


def _floats(entry: Any) -> Any:
    """Return an entry as floats if it is an array of number objects.

    Sequences of one length, or a single one, become such an array in ``np.array(sequences, dtype=object)``.
    """
    if isinstance(entry, np.ndarray) and entry.dtype.kind == "O" and entry.ndim >= 2:
        try:
            return entry.astype(np.float64)
        except (TypeError, ValueError):
            return entry
    return entry


def _tracks(what: str, key: str, entry: NDArray[Any]) -> dict[str, Track]:
    spec = _KEYS[key]
    width = math.prod(entry.shape[1:])
    if key == "pose" and width != 72:
        raise mismatch(f"{what}, shape", "(L, 72)", entry.shape)
    if key == "trans" and width != 3:
        raise mismatch(f"{what}, shape", "(L, 3)", entry.shape)
    if not width or (spec.size and width % spec.size):
        raise mismatch(f"{what}, shape", f"(L, K*{spec.size})" if spec.size else "(L, C)", entry.shape)
    joints = width // (spec.size or 1)
    values = entry.reshape((len(entry), joints, spec.size) if spec.size else (len(entry), joints))
    if key == "pose":
        return {
            "global_orient": Track(values[:, :1], "axis_angle", "root", SMPL.joints[:1]),
            "body_pose": Track(values[:, 1:], "axis_angle", "body", SMPL.joints[1:]),
        }
    names = ("pelvis",) if key == "trans" else numbered(spec.track, joints)
    metres = 1.0 if key in ("joints_3d", "keypoints_3d") else None
    return {spec.track: Track(values, spec.kind, spec.part, names, metres=metres)}


def write(motion: Motion, path: Path) -> None:
    """Write the archive in the same layout, with the entries of changed tracks replaced in their dtype.

    Raises:
        ValueError: nothing can be written there, or a track has another shape than the file's.
    """
    source: _Source = motion.source
    arrays = dict(source.arrays)
    for sequence, (new, old) in enumerate(zip(motion.people, source.people, strict=True)):
        for key, spec in _KEYS.items():
            names = ["global_orient", "body_pose"] if key == "pose" else [spec.track]
            if key not in arrays or not old.tracks.keys() >= set(names):
                continue
            parts = [merged(n, old.tracks[n].values, new.tracks[n].values) for n in names]
            if all(part is old.tracks[n].values for n, part in zip(names, parts, strict=True)):
                continue
            if arrays[key] is source.arrays[key]:
                arrays[key] = arrays[key].copy()
            arrays[key][sequence] = np.concatenate(parts, axis=1).reshape(arrays[key][sequence].shape)
    write_npz(path, arrays, compressed=source.compressed)


def make(motion: Motion, path: Path) -> None:
    """Write a new archive, one sequence for each person: SMPL's keys, or ``joints_3d``, or ``joints_2d``.

    ``imgname`` names pictures that need not exist, ``<person>/<frame>.jpg``, from which readers tell sequences. A pose
    comes with ``shape``, ``trans`` and ``scaling`` 1 of every frame, which the loader for AIST++ asks for.

    Raises:
        ValueError: nobody is in the motion, or nothing can be written there.
    """
    if not motion.people:
        raise mismatch(f"{path}: people for SmoothNet's archives", "at least one", "nobody")
    ids = unique_names([person.id.replace("/", "_").replace("\\", "_") for person in motion.people])
    sequences: dict[str, list[Any]] = {}
    for name, person in zip(ids, motion.people, strict=True):
        entry = {"imgname": np.array([f"{name}/{frame:06d}.jpg" for frame in person.frames.tolist()], str)}
        for key, values in {**entry, **_entry(person)}.items():
            sequences.setdefault(key, []).append(values)
    write_npz(path, {key: _objects(entries) for key, entries in sequences.items()}, compressed=False)


def _entry(person: Person) -> dict[str, NDArray[Any]]:
    count = len(person.frames)
    if "joints" in person.tracks:
        values = person.tracks["joints"].values
        return {f"joints_{values.shape[2]}d": values.reshape(count, values.shape[1] * values.shape[2])}
    joints, places = pose(person, 24), translation(person)
    ones = np.ones((count, 1), places.dtype)
    return {"pose": joints.reshape(count, 72), "shape": shapes(person, 10), "trans": places, "scaling": ones}


def _objects(entries: list[Any]) -> NDArray[Any]:
    array = np.empty(len(entries), dtype=object)
    for k, entry in enumerate(entries):
        array[k] = entry
    return array


FORMAT = Format(
    NAME,
    "SmoothNet's data archives",
    matches,
    read,
    write,
    (".npz",),
    make=make,
    contents=("smpl", "joints", "joints_2d"),
    metres=1.0,
    keeps=("translation", "betas", "changing betas", "people", "ids"),
    any_joints=True,
)
