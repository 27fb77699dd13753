"""EasyMocap's SMPL, SMPL-H and SMPL-X parameters: a folder of JSON, one file a frame.

Layout (EasyMocap, ``doc/02_output.md``, ``easymocap/smplmodel/body_model.py``, ``easymocap/bodymodel/smpl.py``,
``easymocap/mytools/file_utils.py``): a list of people, or an object with the list ``annots``; of each ``id``, ``Rh``
(1, 3), ``Th`` (1, 3), ``shapes`` (1, 10), ``expression`` (1, 10) and ``poses``, whose number of columns tells the model
(``_LAYOUTS``). ``poses`` begins with three zeros or leaves them out, as the body is turned by ``Rh``; fingers are
principal components in 78 and 87 columns and in ``handl`` and ``handr``, rotations in 156 and 165 (``smplfull``).

``Rh`` turns about the origin of the model, not about the pelvis as ``global_orient`` of SMPL does. With the pelvis at
rest at J, the same body has ``transl = Th + R(Rh) J - J`` (https://github.com/zju3dv/EasyMocap/issues/469). J depends
on the shape and is in no file: ``smpl_tools.coordinates.PELVIS`` stands for it, in both directions, so what is read and
written again is exact; ``transl`` itself is off by at most twice the distance from there to the person's pelvis.

The world is that of the camera calibration: EasyMocap's board lies on the ground with Z up
(``easymocap/annotator/chessboard.py``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.coordinates import PELVIS
from smpl_tools.formats._files import read_bytes, replacing_folder
from smpl_tools.formats._format import Format, Options
from smpl_tools.formats._json import parsed, written
from smpl_tools.formats._names import frame_numbers, numbered
from smpl_tools.formats._records import Field, Part, Place, Records, at, rewritten
from smpl_tools.formats.easymocap_new import make
from smpl_tools.motion import Kind, Motion, Person, Skeleton, Track, Up
from smpl_tools.motion import Part as PartName
from smpl_tools.rotations import axis_angle_to_matrix
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X

NAME = "easymocap"
UP: Up = "z"
_SUFFIX = ".json"
_HEAD_BYTES = 2**16
_LATENT = 32
_LEFT, _RIGHT = ("left_hand_pose", 45), ("right_hand_pose", 45)
_LEFT_PCA, _RIGHT_PCA = ("left_hand_pca", 6), ("right_hand_pca", 6)
_HEAD = (("jaw_pose", 3), ("eye_pose", 6))
# Columns of ``poses``: zeros in front, then tracks with their numbers.
_LAYOUTS: dict[int, tuple[int, tuple[tuple[str, int], ...]]] = {
    63: (0, (("body_pose", 63),)),
    66: (3, (("body_pose", 63),)),
    69: (0, (("body_pose", 69),)),
    72: (3, (("body_pose", 69),)),
    78: (3, (("body_pose", 63), _LEFT_PCA, _RIGHT_PCA)),
    87: (3, (("body_pose", 63), _LEFT_PCA, _RIGHT_PCA, *_HEAD)),
    156: (3, (("body_pose", 63), _LEFT, _RIGHT)),
    165: (3, (("body_pose", 63), *_HEAD, _LEFT, _RIGHT)),
}
# Other keys and the track; None of the hands, which is decided by the number.
_OTHERS: dict[str, str] = {"shapes": "betas", "expression": "expression", "handl": "left", "handr": "right"}
_KINDS: dict[str, tuple[Kind, PartName, tuple[str, ...]]] = {
    "global_orient": ("axis_angle", "root", SMPL.joints[:1]),
    "body_pose": ("axis_angle", "body", SMPL.joints[1:]),
    "jaw_pose": ("axis_angle", "face", SMPL_X.joints[22:23]),
    "eye_pose": ("axis_angle", "face", SMPL_X.joints[23:25]),
    "left_hand_pose": ("axis_angle", "hands", SMPL_H.joints[22:37]),
    "right_hand_pose": ("axis_angle", "hands", SMPL_H.joints[37:52]),
    "left_hand_pca": ("channels", "hands", ()),
    "right_hand_pca": ("channels", "hands", ()),
    "betas": ("channels", "shape", ()),
    "expression": ("channels", "face", ()),
}


@dataclass(frozen=True, eq=False)
class _Source:
    """Every file's bytes by its name, the people as the motion has them, and as the files have them (``Th``)."""

    files: dict[str, bytes]
    people: tuple[Person, ...]
    records: Records


def matches(path: Path, head: bytes) -> bool:
    """Tell whether the path is a folder whose first JSON file with anybody in it has ``Rh``, ``Th`` and ``poses``."""
    if not path.is_dir():
        return False
    for file in sorted(one for one in path.iterdir() if _is_file(one)):
        start = read_bytes(file, _HEAD_BYTES)
        if b'"people"' in start:
            return False
        if b'"Rh"' in start:
            return b'"Th"' in start and b'"poses"' in start
        if b'"id"' in start or len(start) == _HEAD_BYTES:
            return False
    return False


def _is_file(path: Path) -> bool:
    return path.suffix.lower() == _SUFFIX and path.is_file()


def read(path: Path, options: Options) -> Motion:
    """Read a folder of EasyMocap's body parameters, one person for each ``id``.

    Tracks: ``global_orient`` from ``Rh``, ``transl`` from ``Th`` (see above), ``body_pose``, ``betas``; of SMPL-H and
    SMPL-X ``left_hand_pose`` and ``right_hand_pose``, or the channels ``left_hand_pca`` and ``right_hand_pca``;
    ``jaw_pose``, ``eye_pose``, ``expression``. Frame numbers are those in the files' names.

    Raises:
        ValueError: a file is not JSON of this layout; the message names it.
    """
    if not path.is_dir():
        raise mismatch(str(path), "a folder of EasyMocap's JSON files", "a file")
    found = sorted(file.name for file in path.iterdir() if _is_file(file))
    if not found:
        raise mismatch(str(path), "a folder of EasyMocap's JSON files", "no file that ends in .json")
    numbers = frame_numbers(path, found, _SUFFIX)
    files = {name: read_bytes(path / name) for _, name in sorted(zip(numbers, found, strict=True))}
    content = {name: parsed(path / name, data) for name, data in files.items()}
    rows: dict[Any, list[tuple[int, Place]]] = {}
    for number, (name, document) in zip(sorted(numbers), content.items(), strict=True):
        for ident, place in _records(path / name, document):
            rows.setdefault(ident, []).append((number, (name, *place)))
    people, native, fields = [], [], []
    for ident, places in sorted(rows.items(), key=lambda item: (isinstance(item[0], str), item[0])):
        tracks, own = _tracks(path, content, [place for _, place in places])
        frames = np.array([number for number, _ in places], np.int64)
        native.append(Person(str(ident), tracks, frames))
        people.append(_with_transl(native[-1]))
        fields.append(own)
    notes = ["axes: Z up taken for granted, as of a board on the ground"] if people else []
    notes += [] if options.fps else ["frame rate not stated in the files"]
    tracks = {name for person in people for name in person.tracks}
    if {"left_hand_pca", "right_hand_pca"} & tracks:
        notes.append("hands are principal components of the hand model: channels, not rotations")
    others = sum(1 for file in path.iterdir() if not _is_file(file))
    if others:
        notes.append(f"entries of the folder that are not .json files, left out on writing: {others}")
    source = _Source(files, tuple(people), Records(content, tuple(native), tuple(fields)))
    return Motion(NAME, tuple(people), options.fps, _skeleton(tracks, people), source=source, notes=tuple(notes))


def _records(path: Path, document: Any) -> list[tuple[Any, Place]]:
    """Return everybody's id and place in a document."""
    above: Place = ()
    if isinstance(document, dict) and isinstance(document.get("annots"), list):
        above, document = ("annots",), document["annots"]
    if not isinstance(document, list) or not all(isinstance(record, dict) for record in document):
        raise mismatch(f"{path}: JSON", "a list of people, or an object with the list annots", _kind(document))
    found: dict[Any, Place] = {}
    for index, record in enumerate(document):
        ident = record.get("id", record.get("personID"))
        if type(ident) not in (int, str):
            raise mismatch(f"{path}: id of person {index}", "a whole number", _kind(ident))
        if ident in found:
            raise mismatch(f"{path}: ids", "a different one for each person", f"{ident} twice")
        found[ident] = (*above, index)
    return list(found.items())


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _numbers(path: Path, content: Any, place: Place, key: str) -> NDArray[np.float64]:
    """Return the flat numbers under a key of a person; none where the key is missing."""
    value = at(content, place).get(key)
    what = f"{path / place[0]}: {key} of person {place[-1]}"
    if value is None:
        return np.zeros(0)
    try:
        array = np.array(value)
    except ValueError:
        array = np.array(None)
    if array.dtype.kind not in "fi" or array.ndim not in (1, 2) or (array.ndim == 2 and len(array) != 1):
        raise mismatch(what, "one row of numbers", _kind(value) if array.ndim == 0 else f"an array {array.shape}")
    return array.reshape(-1).astype(np.float64)


def _tracks(path: Path, content: Any, places: list[Place]) -> tuple[dict[str, Track], tuple[Field, ...]]:
    """Return the tracks as the files have them, with ``Th``, and where they stand."""
    tracks: dict[str, Track] = {}
    fields = []

    def stacked(key: str, sizes: tuple[int, ...] | None) -> NDArray[np.float64] | None:
        rows = [_numbers(path, content, place, key) for place in places]
        for place, row in zip(places, rows, strict=True):
            what = f"{path / place[0]}: {key} of person {place[-1]}"
            if key == "poses" and len(row) == _LATENT:
                raise mismatch(what, "a pose", f"{_LATENT} numbers, a VPoser latent (smplfull holds the pose)")
            if sizes is not None and len(row) not in sizes:
                raise mismatch(what, " or ".join(map(str, sizes)) + " numbers", len(row))
            if len(row) != len(rows[0]):
                raise mismatch(what, f"{len(rows[0])} numbers as in {places[0][0]}", len(row))
        return np.array(rows) if len(rows[0]) else None

    def add(key: str, values: NDArray[np.float64], layout: tuple[tuple[str, int], ...], start: int = 0) -> None:
        parts = []
        for name, count in layout:
            tracks[name] = _track(name, values[:, start : start + count])
            parts.append(Part(name, 0, count, start))
            start += count
        fields.append(Field(tuple(((*place, key),) for place in places), tuple(parts)))

    for key, name in (("Rh", "global_orient"), ("Th", "Th")):
        values = stacked(key, (3,))
        assert values is not None
        add(key, values, ((name, 3),))
    poses = stacked("poses", tuple(_LAYOUTS))
    assert poses is not None
    start, layout = _LAYOUTS[poses.shape[1]]
    turned = np.flatnonzero(poses[:, :start].any(axis=1))
    if turned.size:
        what = f"{path / places[turned[0]][0]}: poses of person {places[turned[0]][-1]}"
        raise mismatch(what, "three zeros first, as Rh turns the body", poses[turned[0], :start].tolist())
    add("poses", poses, layout, start)
    for key, name in _OTHERS.items():
        values = stacked(key, None)
        if values is None:
            continue
        if name in ("left", "right"):
            # Whole poses (smplfull) have the fingers already; these components belong to them and stay.
            if f"{name}_hand_pose" in tracks:
                continue
            name = f"{name}_hand_{'pose' if values.shape[1] == 45 else 'pca'}"
        add(key, values, ((name, values.shape[1]),))
    return tracks, tuple(fields)


def _track(name: str, values: NDArray[np.float64]) -> Track:
    if name == "Th":
        return Track(values[:, None], "position", "root", ("pelvis",), metres=1.0, up=UP)
    kind, part, joints = _KINDS[name]
    if kind == "channels":
        return Track(values, kind, part, numbered(name, values.shape[1]))
    vectors = values.reshape(len(values), -1, 3)
    up = UP if part == "root" else None
    return Track(vectors, kind, part, joints[: vectors.shape[1]], up=up)


def _skeleton(tracks: set[str], people: list[Person]) -> Skeleton:
    if "jaw_pose" in tracks:
        return SMPL_X
    return SMPL if all(p.tracks["body_pose"].values.shape[1] == 23 for p in people) else SMPL_H


def _shift(orient: NDArray[Any]) -> NDArray[np.float64]:
    """Return R J - J (T, 1, 3), what a turn about the origin moves the pelvis by."""
    return (axis_angle_to_matrix(orient.astype(np.float64)) @ PELVIS) - PELVIS


def _with_transl(person: Person) -> Person:
    """Return a person with ``transl`` in place of ``Th``."""
    tracks = dict(person.tracks)
    place = tracks.pop("Th")
    values = place.values + _shift(tracks["global_orient"].values)
    return dataclasses.replace(person, tracks={**tracks, "transl": place.replace(values=values)})


def _with_th(new: Person, old: Person, native: Person) -> Person:
    """Return a person with ``Th``: the file's own in rows where neither ``transl`` nor the root's turn changed."""
    tracks: Mapping[str, Track] = new.tracks
    same = np.ones(len(new.frames), bool)
    for name in ("global_orient", "transl"):
        pair = (tracks[name].values, old.tracks[name].values)
        same &= ((pair[0] == pair[1]) | ~np.isfinite(pair[0])).all(axis=(1, 2))
    values = tracks["transl"].values - _shift(tracks["global_orient"].values)
    place = native.tracks["Th"]
    kept = {name: track for name, track in tracks.items() if name != "transl"}
    th = place.replace(values=np.where(same[:, None, None], place.values, values))
    return dataclasses.replace(new, tracks={**kept, "Th": th})


def write(motion: Motion, path: Path) -> None:
    """Write the same files into a folder, those in which no number changed byte for byte.

    Raises:
        ValueError: nothing can be written there.
    """
    source: _Source = motion.source
    rows = zip(motion.people, source.people, source.records.people, strict=True)
    before = source.records.content
    content = rewritten(source.records, [_with_th(new, old, native) for new, old, native in rows])
    with replacing_folder(path) as folder:
        for name, data in source.files.items():
            same = content[name] is before[name]
            (folder / name).write_bytes(data if same else written(content[name], data, before[name]))


FORMAT = Format(
    NAME,
    "EasyMocap body parameters, a folder of JSON files",
    matches,
    read,
    write,
    make=make,
    contents=("smpl",),
    up=UP,
    metres=1.0,
    keeps=(
        "translation",
        "hands",
        "jaw and eyes",
        "expression",
        "betas",
        "changing betas",
        "people",
        "ids",
        "gaps",
        "frame numbers",
    ),
)
