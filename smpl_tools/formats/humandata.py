"""MMHuman3D's HumanData: an ``.npz`` of SMPL or SMPL-X poses and of keypoints in the joint set HUMAN_DATA.

Layout (MMHuman3D, ``docs/human_data.md``, ``mmhuman3d/data/data_structures/human_data.py``, and
``demo/estimate_smpl.py``, which writes its results so): arrays with one row an image and person. ``smpl``, ``smplh``,
``smplx`` are dictionaries (arrays of one object, which are pickles) of ``global_orient`` (N, 3), ``body_pose``
(N, 23, 3) or (N, 21, 3), ``betas`` (N, 10), ``transl`` (N, 3), ``left_hand_pose`` and ``right_hand_pose`` (N, 15, 3),
``jaw_pose``, ``leye_pose``, ``reye_pose`` (N, 3), ``expression`` (N, 10). ``keypoints2d...`` (N, 190, 3) and
``keypoints3d...`` (N, 190, 4) end in a confidence; ``..._mask`` (190,) tells which of the joints there are, and in a
file with ``__keypoints_compressed__`` the others are left out. ``person_id``, ``frame_id`` and ``image_path`` tell
whose row it is. ``meta`` may hold ``gender``, and ``misc`` whatever its writer likes: new files of ours hold ``fps``
and ``up`` there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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
from smpl_tools.formats._human_data_joints import keypoints_track
from smpl_tools.formats._human_data_rows import people_rows
from smpl_tools.formats._names import listed, numbered
from smpl_tools.formats._smpl import gender_of
from smpl_tools.formats.humandata_new import make
from smpl_tools.motion import UPS, Motion, Part, Person, Skeleton, Track, Up
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X

NAME = "humandata"
Array = NDArray[Any]
# The fullest first.
_MODELS = ("smplx", "smplh", "smpl")
_MARKS = ("__key_strict__", "__keypoints_compressed__")
# Key in a model's dictionary: track, part, joints (None: channels), numbers (None: any).
_PARTS: dict[str, tuple[str, Part, tuple[str, ...] | None, int | None]] = {
    "global_orient": ("global_orient", "root", SMPL.joints[:1], 3),
    "body_pose": ("body_pose", "body", SMPL.joints[1:], None),
    "left_hand_pose": ("left_hand_pose", "hands", SMPL_H.joints[22:37], None),
    "right_hand_pose": ("right_hand_pose", "hands", SMPL_H.joints[37:52], None),
    "jaw_pose": ("jaw_pose", "face", SMPL_X.joints[22:23], 3),
    "leye_pose": ("eye_pose", "face", SMPL_X.joints[23:24], 3),
    "reye_pose": ("eye_pose", "face", SMPL_X.joints[24:25], 3),
    "transl": ("transl", "root", ("pelvis",), 3),
    "expression": ("expression", "face", None, None),
    "betas": ("betas", "shape", None, None),
}
_DERIVED = ("verts", "vertices")


@dataclass(frozen=True, eq=False)
class _Column:
    """An array of the file that a track's numbers come from.

    Attributes:
        holder: the model whose dictionary holds the array; None of an array of the file itself.
        key: the array's name.
        track: the track's name.
        joints: places of the track's joints in it, on its second axis; None of an array that is taken whole.
        first: the joint of the track that it begins with.
    """

    holder: str | None
    key: str
    track: str
    joints: NDArray[np.int64] | None = None
    first: int = 0


@dataclass(frozen=True, eq=False)
class _Source:
    arrays: dict[str, Array]
    compressed: bool
    people: tuple[Person, ...]
    rows: tuple[NDArray[np.int64], ...]
    columns: tuple[_Column, ...]


def matches(path: Path, head: bytes) -> bool:
    """Tell whether the file is an archive with HumanData's marks, or with a model's dictionary."""
    if not head.startswith(ZIP_MAGIC):
        return False
    headers = npz_headers(path)
    boxed = [key for key in _MODELS if headers.get(key) == ((), np.dtype(object))]
    keypoints = any(_is_keypoints(key) for key in headers)
    return bool(boxed) or (keypoints and any(key in headers for key in _MARKS))


def _is_keypoints(key: str) -> bool:
    return key.startswith(("keypoints2d", "keypoints3d")) and not key.endswith(("_mask", "_convention"))


def read(path: Path, options: Options) -> Motion:
    """Read a HumanData file: one person for each ``person_id``, or for each take where there are no ids.

    Takes are runs of rows of one image folder with rising frame numbers. Tracks: those of SMPL's parameters, hands as
    ``left_hand_pca`` and ``right_hand_pca`` where they are components, and every array of keypoints by its own name:
    NaN where its confidence is 0. Of several body models in a file the fullest is read.

    Raises:
        ValueError: no such archive, or an array is not as above.
    """
    arrays = load_npz(path)
    models = {key: _object(arrays, key) for key in _MODELS}
    model = next((key for key in _MODELS if models[key].get("global_orient") is not None), None)
    keys = [key for key in arrays if _is_keypoints(key)]
    if model is None and not keys:
        raise mismatch(f"{path}: keys", "smpl or smplx with poses, or keypoints", listed(arrays))
    misc = _object(arrays, "misc")
    up, fps = misc.get("up"), misc.get("fps")
    up = up if up in UPS else None
    fps = float(fps) if isinstance(fps, (int, float)) and math.isfinite(fps) and fps > 0 else None
    whole: dict[str, Track] = {}
    columns: list[_Column] = []
    notes = [] if options.fps or fps else ["frame rate not stated in the file"]
    if model is not None:
        tracks, columns = _model_tracks(path, model, models[model], up)
        whole |= tracks
        others = [key for key in _MODELS if key != model and models[key]]
        notes += [f"{key}: kept as it is, {model} is read" for key in others]
        notes += _hand_notes(whole, misc)
    for key in keys:
        track, joints = keypoints_track(path, arrays, key, up)
        whole[key] = track
        columns.append(_Column(None, key, key, joints))
    counts = {name: len(track.values) for name, track in whole.items()}
    if len(set(counts.values())) > 1:
        listing = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise mismatch(f"{path}: rows", "the same number in all arrays", listing)
    count = next(iter(counts.values()))
    rows, numbers, remarks = people_rows(path, arrays, count)
    notes += remarks
    derived = [key for key in _DERIVED if key in arrays]
    if derived:
        notes.append(f"{', '.join(derived)}: kept as they are, so they show the pose before refinement")
    genders = _object(arrays, "meta").get("gender")
    people = tuple(_person(ident, own, whole, numbers, genders) for ident, own in rows.items())
    source = _Source(arrays, npz_compressed(path), people, tuple(rows.values()), tuple(columns))
    return Motion(NAME, people, options.fps or fps, _skeleton(model), source=source, notes=tuple(notes))


def _object(arrays: Mapping[str, Array], key: str) -> Mapping[Any, Any]:
    array = arrays.get(key)
    value = array[()] if array is not None and array.shape == () and array.dtype.hasobject else None
    return value if isinstance(value, Mapping) else {}


def _model_tracks(
    path: Path, model: str, record: Mapping[str, Any], up: Up | None
) -> tuple[dict[str, Track], list[_Column]]:
    tracks: dict[str, Track] = {}
    columns = []
    for key, (name, part, joints, size) in _PARTS.items():
        value = record.get(key)
        if value is None and key not in ("global_orient", "body_pose"):
            continue
        array = np.asarray(value) if value is not None else np.zeros(0, object)
        numbers = math.prod(array.shape[1:])
        wanted = {"body_pose": (63, 69)}.get(key, () if size is None else (size,))
        if array.dtype.kind != "f" or array.ndim < 2 or not numbers or (wanted and numbers not in wanted):
            received = f"{array.shape} of {array.dtype}" if value is not None else "no such key"
            sizes = " or ".join(map(str, wanted)) or "K"
            raise mismatch(f"{path}: {key} of {model}", f"an array (N, {sizes}) of floats", received)
        if "hand" in key and numbers != 45:
            name, joints = key.replace("pose", "pca"), None
        if joints is None:
            names = numbered(name, numbers)
            tracks[name] = Track(array.reshape(len(array), numbers), "channels", part, names)
            columns.append(_Column(model, key, name))
            continue
        values = array.reshape(len(array), numbers // 3, 3)
        first = 0
        if name in tracks:
            old = tracks[name]
            if len(old.values) != len(values):
                raise mismatch(f"{path}: rows of {key} of {model}", len(old.values), len(values))
            first, joints = len(old.joints), (*old.joints, *joints)
            values = np.concatenate([old.values, values], axis=1)
        scene = up if part == "root" else None
        if name == "transl":
            tracks[name] = Track(values, "position", part, joints, metres=1.0, up=scene)
        else:
            tracks[name] = Track(values, "axis_angle", part, joints[: values.shape[1]], up=scene)
        columns.append(_Column(model, key, name, first=first))
    return tracks, columns


def _hand_notes(tracks: Mapping[str, Track], misc: Mapping[Any, Any]) -> list[str]:
    notes = []
    if {"left_hand_pca", "right_hand_pca"} & set(tracks):
        notes.append("hands are principal components of the hand model: channels, not rotations")
    if {"left_hand_pose", "right_hand_pose"} & set(tracks) and misc.get("flat_hand_mean") is False:
        notes.append("the file says that a mean hand is to be added to the rotations of the fingers (flat_hand_mean)")
    return notes


def _person(
    ident: str, rows: NDArray[np.int64], whole: Mapping[str, Track], numbers: NDArray[np.int64], genders: Any
) -> Person:
    tracks = {}
    for name, track in whole.items():
        confidence = None if track.confidence is None else track.confidence[rows]
        tracks[name] = track.replace(values=track.values[rows], confidence=confidence)
    if isinstance(genders, (list, tuple, np.ndarray)) and len(np.atleast_1d(genders)) > 1:
        own = {gender_of(genders[row]) for row in rows if row < len(genders)}
        gender = own.pop() if len(own) == 1 else None
    else:
        gender = gender_of(np.asarray(genders))
    return Person(ident, tracks, numbers[rows], gender=gender)


def _skeleton(model: str | None) -> Skeleton | None:
    return {"smpl": SMPL, "smplh": SMPL_H, "smplx": SMPL_X, None: None}[model]


def write(motion: Motion, path: Path) -> None:
    """Write the archive with the changed numbers of the tracks in it and nothing else changed.

    A keypoint that was not found and has been filled in keeps its confidence of 0.

    Raises:
        ValueError: nothing can be written there.
    """
    source: _Source = motion.source
    changed: dict[tuple[str | None, str], Array] = {}
    for new, old, rows in zip(motion.people, source.people, source.rows, strict=True):
        for column in source.columns:
            before = old.tracks[column.track].values
            after = merged(column.track, before, new.tracks[column.track].values)
            if after is before:
                continue
            at = (column.holder, column.key)
            if at not in changed:
                changed[at] = np.array(_array(source, column))
            _put(changed[at], column, rows, before, after)
    arrays = dict(source.arrays)
    for holder in {holder for holder, _ in changed if holder}:
        box = np.empty((), object)
        box[()] = {**_object(source.arrays, holder), **{k: v for (h, k), v in changed.items() if h == holder}}
        arrays[holder] = box
    arrays |= {key: value for (holder, key), value in changed.items() if holder is None}
    write_npz(path, arrays, compressed=source.compressed)


def _array(source: _Source, column: _Column) -> Any:
    return source.arrays[column.key] if column.holder is None else _object(source.arrays, column.holder)[column.key]


def _put(array: Array, column: _Column, rows: NDArray[np.int64], before: Array, after: Array) -> None:
    """Put the numbers of a track that changed into their places in an array of the file."""
    differs = (after != before) & np.isfinite(after)
    if column.joints is not None:
        at = np.ix_(rows, column.joints, np.arange(after.shape[2]))
        array[at] = np.where(differs, after, array[at])
        return
    flat = array.reshape(len(array), math.prod(array.shape[1:]))
    own = slice(3 * column.first, 3 * column.first + flat.shape[1])
    values, touched = (v.reshape(len(v), math.prod(v.shape[1:]))[:, own] for v in (after, differs))
    flat[rows] = np.where(touched, values, flat[rows])


FORMAT = Format(
    NAME,
    "MMHuman3D HumanData",
    matches,
    read,
    write,
    (".npz",),
    make=make,
    contents=("smpl",),
    metres=1.0,
    keeps=(
        "translation",
        "hands",
        "jaw and eyes",
        "expression",
        "betas",
        "changing betas",
        "gender",
        "people",
        "ids",
        "gaps",
        "frame numbers",
        "frame rate",
    ),
)
JOINTS_FORMAT = Format(
    "humandata-joints",
    "MMHuman3D HumanData of 3D keypoints",
    None,
    None,
    None,
    (".npz",),
    make=make,
    contents=("joints",),
    metres=1.0,
    keeps=("joint names", "confidence", "people", "ids", "gaps", "frame numbers", "frame rate"),
)
