"""Results of simple_romp (ROMP and BEV): ``video_results.npz`` of a video, or the ``.npz`` of one image.

Layout (simple_romp, ``romp/utils.py``, ``save_video_results``): ``results``, a dictionary of frames by the image's
name, each a dictionary of arrays over the N people in it: ``smpl_thetas`` (N, 72) rotation vectors, ``smpl_betas``
(N, 10), BEV's (N, 11), ``cam`` (N, 3), ``cam_trans`` (N, 3) translation before the camera in metres, and what is
computed from these; and with ``-t`` ``track_ids`` (N,). ``sequence_results`` then holds the same numbers once more by
track: lists over the person's frames, and ``frame_id``, the frames' places in ``results``. The ``.npz`` of an image
has as ``results`` the dictionary of arrays itself. Both are arrays of one object, which is a pickle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.restricted_pickle import load_npz
from smpl_tools.formats._files import ZIP_MAGIC, npz_compressed, npz_headers, write_npz
from smpl_tools.formats._format import Format, Options
from smpl_tools.formats._matched import matched, max_gap
from smpl_tools.formats._names import listed, numbered
from smpl_tools.formats._records import Field, Part, Place, Records, at, rewritten
from smpl_tools.formats.romp_new import make
from smpl_tools.motion import Motion, Person, Track, Up
from smpl_tools.skeleton import SMPL

NAME = "romp"
# simple_romp saves videos, and its converter to FBX writes animations, at this rate.
READERS_FPS = 24.0
_CAMERA: Up = "-y"
_RESULTS, _SEQUENCES = "results", "sequence_results"
_POSE, _SHAPE, _PLACE, _IDS = "smpl_thetas", "smpl_betas", "cam_trans", "track_ids"
_COLUMNS: dict[str, int | None] = {_POSE: 72, _SHAPE: None, _PLACE: 3, "cam": 3}
_DERIVED = ("verts", "joints", "pj2d_org", "params_pred")
_PARTS: dict[str, tuple[tuple[str, int], ...]] = {
    _POSE: (("global_orient", 3), ("body_pose", 69)),
    "global_orient": (("global_orient", 3),),
    "body_pose": (("body_pose", 69),),
}


@dataclass(frozen=True, eq=False)
class _Source:
    records: Records
    compressed: bool


@dataclass(frozen=True)
class _Entry:
    """One person in one frame: the frame's place in the file, what stands before and after an array's key."""

    frame: int
    above: Place
    index: int
    copy: tuple[Place, int] | None = None


def matches(path: Path, head: bytes) -> bool:
    """Tell whether the file is an archive whose ``results`` or ``sequence_results`` are SMPL poses."""
    if not head.startswith(ZIP_MAGIC):
        return False
    headers = npz_headers(path)
    keys = [key for key in (_RESULTS, _SEQUENCES) if key in headers]
    if not keys or not all(headers[key] == ((), np.dtype(object)) for key in keys):
        return False
    return _layout(load_npz(path)) is not None


def _layout(content: Mapping[str, Any]) -> str | None:
    """Return where the poses are: ``image``, ``results`` or ``sequence_results``; None where there are none."""
    results, sequences = (_object(content, key) for key in (_RESULTS, _SEQUENCES))
    if _POSE in results:
        return "image"
    if results and all(isinstance(r, Mapping) and _POSE in r for r in results.values()):
        return _RESULTS
    if sequences and all(isinstance(s, Mapping) and _POSE in s and "frame_id" in s for s in sequences.values()):
        return _SEQUENCES
    return None


def _object(content: Mapping[str, Any], key: str) -> Mapping[Any, Any]:
    array = content.get(key)
    value = array[()] if isinstance(array, np.ndarray) and array.shape == () and array.dtype.hasobject else None
    return value if isinstance(value, Mapping) else {}


def read(path: Path, options: Options) -> Motion:
    """Read ROMP's or BEV's results: one person for each track id.

    Without track ids, people are matched across frames by where their joints are. Frame numbers are those in the
    images' names where they rise, else the frames' places. Tracks: ``global_orient``, ``body_pose``, ``transl``,
    ``betas`` and ``cam``.

    Raises:
        ValueError: not such an archive, or an array is not as above; the message names the frame.
    """
    content = load_npz(path)
    layout = _layout(content)
    if layout is None:
        raise mismatch(f"{path}: content", f"results or sequence_results with {_POSE}", listed(content))
    notes = [] if options.fps else ["frame rate not stated in the file"]
    if layout == _SEQUENCES:
        entries, numbers = _of_sequences(path, content), None
    else:
        frames: dict[Any, Place] = {"": (_RESULTS, ())}
        if layout == _RESULTS:
            frames = {name: (_RESULTS, (), name) for name in _object(content, _RESULTS)}
        for name, place in frames.items():
            _check(path, name, at(content, place))
        numbers = _frame_numbers(list(frames))
        entries, remarks = _of_frames(content, list(frames.values()), numbers, options.fps)
        notes += remarks
    people, fields = [], []
    for ident, rows in entries.items():
        person, own, apart = _person(path, ident, content, rows, numbers)
        people.append(person)
        fields.append(own)
        if apart:
            notes.append(f"sequence_results of person {ident} differs from results and is left as it is")
    keys = {key for rows in entries.values() for row in rows for key in at(content, row.above)}
    derived = [key for key in _DERIVED if key in keys]
    if derived:
        notes.append(f"{', '.join(derived)}: kept as they are, so they show the pose before refinement")
    source = _Source(Records(content, tuple(people), tuple(fields)), npz_compressed(path))
    return Motion(NAME, tuple(people), options.fps, SMPL, source=source, notes=tuple(notes))


def _check(path: Path, name: Any, record: Mapping[str, Any]) -> None:
    count = len(record[_POSE]) if isinstance(record[_POSE], np.ndarray) and record[_POSE].ndim else -1
    for key, columns in _COLUMNS.items():
        value: Any = record.get(key)
        if value is None and key != _POSE:
            continue
        wanted = f"an array ({max(count, 0) if key != _POSE else 'N'}, {columns or 'K'}) of floats"
        shape = value.shape if isinstance(value, np.ndarray) and value.dtype.kind == "f" else ()
        if len(shape) != 2 or shape[0] != count or columns not in (None, shape[1]):
            array = isinstance(value, np.ndarray)
            received = f"{value.shape} of {value.dtype}" if array else f"a {type(value).__name__}"
            raise mismatch(f"{path}: {key}{_in(name)}", wanted, received)
    if record.get(_IDS) is not None:
        idents = np.asarray(record[_IDS])
        if idents.shape != (count,) or idents.dtype.kind not in "iu":
            raise mismatch(f"{path}: {_IDS}{_in(name)}", f"{count} whole numbers", f"{idents.shape} of {idents.dtype}")


def _in(name: Any) -> str:
    return f" of frame {' '.join(str(name).split())[-60:]}" if name else ""


def _frame_numbers(names: list[Any]) -> NDArray[np.int64]:
    found = [re.findall(r"[0-9]+", PurePosixPath(str(name)).stem) for name in names]
    if all(found) and all(len(groups[-1]) < 10 for groups in found):
        numbers = np.array([int(groups[-1]) for groups in found], np.int64)
        if (np.diff(numbers) > 0).all():
            return numbers
    return np.arange(len(names), dtype=np.int64)


def _of_frames(
    content: Mapping[str, Any], places: list[Place], numbers: NDArray[np.int64], fps: float | None
) -> tuple[dict[str, list[_Entry]], list[str]]:
    """Return every person's entries, and remarks on how they were told apart."""
    records = [at(content, place) for place in places]
    counts = [len(record[_POSE]) for record in records]
    remarks = []
    if all(_IDS in record or not count for record, count in zip(records, counts, strict=True)):
        idents = [np.asarray(record.get(_IDS, ())).tolist() for record in records]
    elif max(counts) <= 1:
        idents = [[0] * count for count in counts]
    elif len(records) == 1:
        idents = [list(range(counts[0]))]
    else:
        where = [record.get(_PLACE) for record in records]
        if any(w is None for w in where):
            raise mismatch("people without track ids", f"{_PLACE} to match them by", "none")
        found = matched([record[_POSE] for record in records], where, numbers, fps)  # type: ignore[arg-type]
        idents = [row.tolist() for row in found]
        remarks.append(
            f"people matched across frames; one lost for more than {max_gap(fps)} frames returns as a new one"
        )
    sequences = _object(content, _SEQUENCES)
    taken: dict[int, int] = {}
    people: dict[int, list[_Entry]] = {}
    twice = 0
    for frame, (place, own) in enumerate(zip(places, idents, strict=True)):
        for index, ident in enumerate(own):
            k = taken.get(ident, 0)
            taken[ident] = k + 1
            if ident < 0:
                continue
            rows = people.setdefault(ident, [])
            if rows and rows[-1].frame == frame:
                twice += 1
                continue
            copy = ((_SEQUENCES, (), ident), k) if _stands_at(sequences.get(ident), k, frame) else None
            rows.append(_Entry(frame, place, index, copy))
    if twice:
        remarks.append(f"{twice} poses have the id of another pose in their frame: left out, kept in the file")
    return {str(ident): people[ident] for ident in sorted(people)}, remarks


def _stands_at(sequence: Any, k: int, frame: int) -> bool:
    numbers = sequence.get("frame_id") if isinstance(sequence, Mapping) else None
    return isinstance(numbers, (list, np.ndarray)) and k < len(numbers) and numbers[k] == frame


def _of_sequences(path: Path, content: Mapping[str, Any]) -> dict[str, list[_Entry]]:
    people = {}
    for ident, sequence in _object(content, _SEQUENCES).items():
        frames = np.asarray(sequence["frame_id"])
        if frames.ndim != 1 or frames.dtype.kind not in "iu" or len(frames) != len(sequence[_POSE]):
            raise mismatch(f"{path}: frame_id of person {ident}", f"{len(sequence[_POSE])} whole numbers", frames.shape)
        place = (_SEQUENCES, (), ident)
        people[str(ident)] = [_Entry(int(frame), place, k) for k, frame in enumerate(frames)]
    return people


def _person(
    path: Path, ident: str, content: Mapping[str, Any], rows: list[_Entry], numbers: NDArray[np.int64] | None
) -> tuple[Person, tuple[Field, ...], bool]:
    """Return a person, where the numbers stand, and whether the copies by track are other numbers."""
    tracks: dict[str, Track] = {}
    fields = []
    apart = False
    for key in (*_COLUMNS, "global_orient", "body_pose"):
        if not all(key in at(content, row.above) for row in rows):
            continue
        firsts = [(*row.above, key, row.index) for row in rows]
        values = [np.asarray(at(content, place)) for place in firsts]
        if len({value.shape for value in values}) > 1 or values[0].dtype.kind != "f" or values[0].ndim != 1:
            raise mismatch(f"{path}: {key} of person {ident}", "floats of the same number in every frame", "others")
        array = np.array(values)
        extra = [() if row.copy is None else ((*row.copy[0], key, row.copy[1]),) for row in rows]
        known = [tuple(p for p in own if _is_there(content, p)) for own in extra]
        apart |= any(
            not np.array_equal(at(content, p), at(content, first))
            for first, own in zip(firsts, known, strict=True)
            for p in own
        )
        if key in _COLUMNS:
            tracks |= _tracks(path, ident, key, array)
            places = [(first, *own) for first, own in zip(firsts, known, strict=True)]
        else:
            # The pose once more, where it is the pose: smoothing by ROMP leaves these as they were.
            same = (array == tracks[key].values.reshape(len(array), -1)).all(axis=1)
            places = [(first, *own) if s else () for first, own, s in zip(firsts, known, same, strict=True)]
        fields.append(Field(tuple(places), _parts(key, array.shape[1])))
    frames = np.array([row.frame for row in rows], np.int64)
    try:
        person = Person(ident, tracks, frames if numbers is None else numbers[frames])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return person, tuple(fields), apart


def _is_there(content: Any, place: Place) -> bool:
    try:
        at(content, place)
    except (KeyError, IndexError):
        return False
    return True


def _parts(key: str, columns: int) -> tuple[Part, ...]:
    names = _PARTS.get(key, (({_SHAPE: "betas", _PLACE: "transl"}.get(key, key), columns),))
    starts = np.cumsum([0, *(count for _, count in names)]).tolist()
    return tuple(Part(name, 0, count, start) for (name, count), start in zip(names, starts, strict=False))


def _tracks(path: Path, ident: str, key: str, values: NDArray[Any]) -> dict[str, Track]:
    if key == _POSE:
        if values.shape[1] != 72:
            raise mismatch(f"{path}: {key} of person {ident}", "72 numbers", values.shape[1])
        joints = values.reshape(-1, 24, 3)
        return {
            "global_orient": Track(joints[:, :1], "axis_angle", "root", SMPL.joints[:1], up=_CAMERA),
            "body_pose": Track(joints[:, 1:], "axis_angle", "body", SMPL.joints[1:]),
        }
    if key == _PLACE:
        return {"transl": Track(values[:, None], "position", "root", ("pelvis",), metres=1.0, up=_CAMERA)}
    name, part = ("betas", "shape") if key == _SHAPE else (key, "camera")
    return {name: Track(values, "channels", part, numbered(name, values.shape[1]))}


def write(motion: Motion, path: Path) -> None:
    """Write the archive with the changed numbers of the tracks wherever the file holds them, and nothing else changed.

    Raises:
        ValueError: nothing can be written there.
    """
    source: _Source = motion.source
    write_npz(path, rewritten(source.records, motion.people), compressed=source.compressed)


FORMAT = Format(
    NAME,
    "ROMP or BEV results of simple_romp",
    matches,
    read,
    write,
    (".npz",),
    make=make,
    contents=("smpl",),
    up=_CAMERA,
    metres=1.0,
    fps=READERS_FPS,
    keeps=("translation", "betas", "changing betas", "people", "ids", "gaps", "frame numbers"),
)
