"""AMASS archives (``.npz``) of SMPL-H and SMPL-X, those of the SMPL-X Blender add-on, and SMPL poses in the same keys.

``poses`` (T, 156), (T, 165) or (T, 72) holds rotation vectors in radians; the archives of SMPL-X repeat them in
``root_orient``, ``pose_body``, ``pose_hand``, ``pose_jaw``, ``pose_eye``. ``trans`` (T, 3) is in metres, Z up. The
layout is that of the AMASS data set (Mahmood et al., ICCV 2019).

Tracks: ``global_orient``, ``body_pose``, ``left_hand_pose``, ``right_hand_pose``, ``jaw_pose``, ``eye_pose``,
``transl``, and ``expression`` and ``betas`` where the file has them for every frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.restricted_pickle import load_npz
from smpl_tools.formats._changes import changed, check_shape, row_blocks
from smpl_tools.formats._files import ZIP_MAGIC, Rows, npz_compressed, npz_headers, write_npz
from smpl_tools.formats._format import Format, Options
from smpl_tools.formats._names import listed, numbered
from smpl_tools.formats._smpl import gender_of, one_shape
from smpl_tools.formats.amass_new import make_blender, make_smpl_h, make_smpl_x
from smpl_tools.motion import Motion, Part, Person, Track, Up
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X

NAME = "amass"
UP: Up = "z"
RATE_KEYS = ("mocap_frame_rate", "mocap_framerate")

# Track, part, joints; in the order of the columns of ``poses``, by their number.
_LAYOUTS: dict[int, tuple[tuple[str, Part, tuple[str, ...]], ...]] = {
    72: (("global_orient", "root", SMPL.joints[:1]), ("body_pose", "body", SMPL.joints[1:])),
    156: (
        ("global_orient", "root", SMPL_H.joints[:1]),
        ("body_pose", "body", SMPL_H.joints[1:22]),
        ("left_hand_pose", "hands", SMPL_H.joints[22:37]),
        ("right_hand_pose", "hands", SMPL_H.joints[37:52]),
    ),
    165: (
        ("global_orient", "root", SMPL_X.joints[:1]),
        ("body_pose", "body", SMPL_X.joints[1:22]),
        ("jaw_pose", "face", SMPL_X.joints[22:23]),
        ("eye_pose", "face", SMPL_X.joints[23:25]),
        ("left_hand_pose", "hands", SMPL_X.joints[25:40]),
        ("right_hand_pose", "hands", SMPL_X.joints[40:55]),
    ),
}
# The keys that hold a part alone: which tracks, one after the other.
_PART_KEYS: dict[str, tuple[str, ...]] = {
    "root_orient": ("global_orient",),
    "pose_body": ("body_pose",),
    "pose_jaw": ("jaw_pose",),
    "pose_eye": ("eye_pose",),
    "pose_hand": ("left_hand_pose", "right_hand_pose"),
}
_EXPRESSION_KEYS = ("expression", "expressions")
# Copies of one number in float32 and float64 differ by less.
_SAME = 1e-5


@dataclass(frozen=True)
class _Place:
    """Columns of one array that a track's numbers are written to."""

    key: str
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class _Source:
    arrays: dict[str, NDArray[Any]]
    compressed: bool
    tracks: dict[str, Track]
    places: dict[str, list[_Place]]


def matches(path: Path, head: bytes) -> bool:
    """Return whether the file is an archive with AMASS's keys."""
    if not head.startswith(ZIP_MAGIC):
        return False
    headers = npz_headers(path)
    if "root_orient" in headers and "pose_body" in headers:
        return True
    shape, dtype = headers.get("poses", ((), np.dtype(object)))
    known = len(shape) in (2, 3) and math.prod(shape[1:]) in _LAYOUTS and dtype.kind == "f"
    return known and any(key in headers for key in ("trans", "betas", "gender", *RATE_KEYS))


def read(path: Path, options: Options) -> Motion:
    """Read an AMASS archive as one person.

    Raises:
        ValueError: not such an archive, or arrays whose shapes or lengths do not fit.
    """
    arrays = load_npz(path)
    frames, places = _places(path, arrays)
    tracks: dict[str, Track] = {}
    notes: list[str] = []
    width = math.prod(arrays["poses"].shape[1:]) if "poses" in arrays else 165
    rows: dict[str, tuple[Part, tuple[str, ...]]]
    rows = {name: (part, joints) for name, part, joints in (*_LAYOUTS[165], *_LAYOUTS[width])}
    for name, (part, joints) in rows.items():
        if name not in places:
            continue
        first, *copies = places[name]
        numbers = _flat(arrays[first.key])[:, first.start : first.stop]
        up = UP if name == "global_orient" else None
        tracks[name] = Track(numbers.reshape(frames, len(joints), 3), "axis_angle", part, joints, up=up)
        for copy in copies:
            if not _agree(numbers, _flat(arrays[copy.key])[:, copy.start : copy.stop]):
                places[name].remove(copy)
                notes.append(f"{copy.key!r} differs from {first.key!r} and is left as it is")
    if "trans" in arrays:
        _check(path, arrays, "trans", (frames, 3))
        places["transl"] = [_Place("trans", 0, 3)]
        values = arrays["trans"].reshape(frames, 1, 3)
        tracks["transl"] = Track(values, "position", "root", ("pelvis",), metres=1.0, up=UP)
    expressions: list[tuple[str, str, Part]] = [("expression", key, "face") for key in _EXPRESSION_KEYS]
    for name, key, part in [*expressions, ("betas", "betas", "shape")]:
        array = arrays.get(key)
        if array is not None and array.dtype.kind == "f" and array.ndim == 2 and len(array) == frames and array.size:
            places[name] = [_Place(key, 0, array.shape[1])]
            tracks[name] = Track(array, "channels", part, numbered(name, array.shape[1]))
    fps = _rate(arrays)
    if fps is None:
        notes.append("the file does not state its frame rate")
    person = Person(
        "0", tracks, np.arange(frames, dtype=np.int64), one_shape(arrays.get("betas")), gender_of(arrays.get("gender"))
    )
    source = _Source(arrays, npz_compressed(path), tracks, places)
    return Motion(NAME, (person,), fps, source=source, path=path, notes=tuple(notes))


def _places(path: Path, arrays: dict[str, NDArray[Any]]) -> tuple[int, dict[str, list[_Place]]]:
    """Return the number of frames and where each pose track stands, ``poses`` first."""
    keys = [key for key in ("poses", *_PART_KEYS) if key in arrays]
    if not keys:
        raise mismatch(f"{path}: keys", "'poses', or 'root_orient' and 'pose_body'", listed(arrays))
    frames = len(arrays[keys[0]]) if arrays[keys[0]].ndim else 0
    places: dict[str, list[_Place]] = {}
    sizes = {name: 3 * len(joints) for name, _, joints in _LAYOUTS[165]}
    for key in keys:
        shape = arrays[key].shape
        width = math.prod(shape[1:])
        if key == "poses":
            if width not in _LAYOUTS:
                widths = ", ".join(str(w) for w in _LAYOUTS)
                raise mismatch(f"{path}: shape of 'poses'", f"(T, C) with C one of {widths}", shape)
            segments = [(name, 3 * len(joints)) for name, _, joints in _LAYOUTS[width]]
        else:
            segments = [(name, sizes[name]) for name in _PART_KEYS[key]]
        _check(path, arrays, key, (frames, sum(size for _, size in segments)))
        start = 0
        for name, size in segments:
            places.setdefault(name, []).append(_Place(key, start, start + size))
            start += size
    return frames, places


def _check(path: Path, arrays: dict[str, NDArray[Any]], key: str, expected: tuple[int, int]) -> None:
    array = arrays[key]
    if array.dtype.kind != "f":
        raise mismatch(f"{path}: {key!r}", "floating-point numbers", f"dtype {array.dtype}")
    # One axis more, (T, J, 3), is the same numbers.
    if array.ndim not in (2, 3) or (len(array), math.prod(array.shape[1:])) != expected:
        raise mismatch(f"{path}: shape of {key!r}", expected, array.shape)


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    return array.reshape(len(array), math.prod(array.shape[1:]))


def _agree(first: NDArray[Any], second: NDArray[Any]) -> bool:
    return first.shape == second.shape and np.allclose(first, second, rtol=0, atol=_SAME, equal_nan=True)


def _rate(arrays: dict[str, NDArray[Any]]) -> float | None:
    for key in RATE_KEYS:
        rate = arrays.get(key)
        if rate is not None and rate.size == 1 and rate.dtype.kind in "fiu":
            value = float(rate.reshape(()))
            if math.isfinite(value) and value > 0:
                return value
    return None


def write(motion: Motion, path: Path) -> None:
    """Write the archive with the changed tracks in all the places that held their numbers, in each one's dtype.

    Raises:
        ValueError: nothing can be written there, or a track has another shape than the file's.
    """
    source: _Source = motion.source
    places: dict[str, list[tuple[_Place, Track, NDArray[Any]]]] = {}
    for name, old in source.tracks.items():
        new = motion.people[0].tracks[name].values
        check_shape(name, old.values, new)
        if changed(old.values, new):
            for place in source.places[name]:
                places.setdefault(place.key, []).append((place, old, new))
    arrays: dict[str, NDArray[Any] | Rows] = dict(source.arrays)
    for key, those in places.items():
        array = source.arrays[key]
        arrays[key] = Rows(array.shape, array.dtype, _rewritten(array, those))
    write_npz(path, arrays, compressed=source.compressed)


def _rewritten(array: NDArray[Any], places: list[tuple[_Place, Track, NDArray[Any]]]) -> Iterator[NDArray[Any]]:
    """Yield the rows of an array with what changed of the tracks, as read and as they are now, in their places."""
    for rows in row_blocks(array):
        block = _flat(array[rows]).copy()
        for place, old, new in places:
            before, after = _flat(old.values[rows]), _flat(new[rows])
            # What did not change keeps its very bits in every copy, also where the copies' dtypes differ.
            differs = np.isfinite(after) & (after != before)
            np.copyto(block[:, place.start : place.stop], after, where=differs, casting="same_kind")
        yield block


_SMPL_H = ("translation", "hands", "betas", "gender", "frame rate")
FORMAT = Format(
    NAME,
    "AMASS (SMPL, SMPL-H, SMPL-X); new files as SMPL-H",
    matches,
    read,
    write,
    (".npz",),
    make=make_smpl_h,
    contents=("smpl",),
    up=UP,
    metres=1.0,
    keeps=_SMPL_H,
    betas=16,
)
SMPL_X_FORMAT = Format(
    "amass-smplx",
    "AMASS SMPL-X, stage II",
    None,
    None,
    None,
    (".npz",),
    make=make_smpl_x,
    contents=("smpl",),
    up=UP,
    metres=1.0,
    keeps=(*_SMPL_H, "jaw and eyes"),
    betas=16,
)
BLENDER_FORMAT = Format(
    "smplx-blender",
    "archive for the SMPL-X Blender add-on",
    None,
    None,
    None,
    (".npz",),
    make=make_blender,
    contents=("smpl",),
    up=UP,
    metres=1.0,
    keeps=(*_SMPL_H, "jaw and eyes", "expression"),
    betas=16,
    expression=100,
)
