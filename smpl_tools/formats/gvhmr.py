"""GVHMR's ``hmr4d_results.pt``: one person, in the world and as the camera sees them.

Layout (GVHMR, ``hmr4d/model/gvhmr/gvhmr_pl_demo.py`` writes it and ``tools/demo/demo.py`` draws it): a dictionary saved
by ``torch.save`` with ``smpl_params_global`` and ``smpl_params_incam``, each of float32 tensors ``body_pose`` (L, 63),
``global_orient`` (L, 3), both rotation vectors, ``transl`` (L, 3) in metres and ``betas`` (L, 10); some versions add
``left_hand_pose`` and ``right_hand_pose`` (L, 45), ``jaw_pose``, ``leye_pose`` and ``reye_pose`` (L, 3). The body model
is SMPL-X. The world has Y up, the camera's view x right, y down, z away. ``K_fullimg`` (L, 3, 3) holds the camera's
intrinsics, ``net_outputs`` what the network said before.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.formats._changes import merged
from smpl_tools.formats._files import ZIP_MAGIC
from smpl_tools.formats._format import Format, Options
from smpl_tools.formats._pickles import described
from smpl_tools.formats._smpl import camera_view, only_person, pose, shapes, take_shape, translation
from smpl_tools.formats._torch_container import Container, read_container, rewrite_container, write_container
from smpl_tools.motion import Motion, Part, Person, Track, Up
from smpl_tools.skeleton import SMPL, SMPL_X

NAME = "gvhmr"
UP: Up = "y"
ASSUMED_FPS = 30.0
_WORLD, _CAMERA = "smpl_params_global", "smpl_params_incam"
# A file that is none of ours is not searched for longer than this.
_PROGRAM_BYTES = 2**24
# Full HD, where a motion does not say what its pictures measure.
_IMAGE_SIZE = (1920.0, 1080.0)


@dataclass(frozen=True)
class _Piece:
    """What one key holds: joints ``[start, start + len(joints))`` of a track."""

    track: str
    part: Part
    joints: tuple[str, ...]
    start: int = 0


_PIECES: dict[str, _Piece] = {
    "global_orient": _Piece("global_orient", "root", SMPL_X.joints[:1]),
    "body_pose": _Piece("body_pose", "body", SMPL_X.joints[1:22]),
    "left_hand_pose": _Piece("left_hand_pose", "hands", SMPL_X.joints[25:40]),
    "right_hand_pose": _Piece("right_hand_pose", "hands", SMPL_X.joints[40:55]),
    "jaw_pose": _Piece("jaw_pose", "face", SMPL_X.joints[22:23]),
    "leye_pose": _Piece("eye_pose", "face", SMPL_X.joints[23:24]),
    "reye_pose": _Piece("eye_pose", "face", SMPL_X.joints[24:25], 1),
    "transl": _Piece("transl", "root", ("pelvis",)),
}
_OWN = ("global_orient", "transl")
# The tensors that hold a track's numbers, each with the joint of the track that it begins with.
_Places = list[tuple[NDArray[Any], int]]


@dataclass(frozen=True, eq=False)
class _Source:
    container: Container
    person: Person
    places: dict[str, _Places]


def matches(path: Path, head: bytes) -> bool:
    """Return whether the file is a container of PyTorch's that names GVHMR's dictionaries."""
    if not head.startswith(ZIP_MAGIC):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(names) != 1:
                return False
            with archive.open(names[0]) as member:
                program = member.read(_PROGRAM_BYTES)
    # Any other format's file, whatever is wrong with it, is for that format to judge.
    except Exception:
        return False
    return _WORLD.encode() in program or _CAMERA.encode() in program


def read(path: Path, options: Options) -> Motion:
    """Read GVHMR's results as one person, at an assumed 30 frames a second.

    Tracks: ``global_orient``, ``body_pose`` and ``transl`` as the camera sees them, ``global_orient_world`` and
    ``transl_world``; the body's parts a second time with ``_world`` only where the two dictionaries differ in them;
    ``betas`` where they change. A file with one of the dictionaries has its tracks without ``_world``.

    Raises:
        ValueError: the file is refused or damaged, or a tensor is not as above.
    """
    container = read_container(path)
    content = container.value
    views = [key for key in (_CAMERA, _WORLD) if isinstance(content, Mapping) and isinstance(content.get(key), Mapping)]
    if not views:
        raise mismatch(f"{path}: content", f"a dictionary with {_WORLD} or {_CAMERA}", described(content))
    tracks: dict[str, Track] = {}
    places: dict[str, _Places] = {}
    count = _frames(path, content, views[0])
    for view in views:
        up: Up = "y" if view == _WORLD else "-y"
        for name, (track, tensors) in _tracks(f"{path}: {view}", container, content[view], count, up).items():
            if name in tracks and name not in _OWN and _same(tracks[name], track):
                places[name] += tensors
            else:
                key = f"{name}_world" if name in tracks else name
                tracks[key], places[key] = track, tensors
    betas, notes = _betas(content, views, count, tracks, places)
    if not options.fps:
        notes.insert(0, f"frame rate not stated in the file: {ASSUMED_FPS:g} frames a second assumed")
    if "net_outputs" in content:
        notes.append("net_outputs: kept as they are, so they show the pose before refinement")
    person = Person("0", tracks, np.arange(count, dtype=np.int64), betas)
    source = _Source(container, person, places)
    return Motion(NAME, (person,), options.fps or ASSUMED_FPS, SMPL, source=source, notes=tuple(notes))


def _frames(path: Path, content: Mapping[Any, Any], view: str) -> int:
    orient = content[view].get("global_orient")
    if not isinstance(orient, np.ndarray) or orient.ndim != 2:
        received = orient.shape if isinstance(orient, np.ndarray) else f"a {type(orient).__name__}"
        raise mismatch(f"{path}: {view}, global_orient", "a tensor (L, 3) of floats", received)
    return len(orient)


def _tensor(what: str, container: Container, value: Any, shape: tuple[int, int]) -> NDArray[Any]:
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.shape != shape:
        received = f"{value.shape} of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
        raise mismatch(what, f"a tensor {shape} of floats", received)
    if value.size and container.place(value) is None:
        raise mismatch(what, f"a tensor {shape} of floats", "an array of NumPy's")
    return value


def _tracks(
    what: str, container: Container, parameters: Mapping[Any, Any], count: int, up: Up
) -> dict[str, tuple[Track, _Places]]:
    """Return the tracks of one dictionary, each with the tensors that hold it."""
    found: dict[str, tuple[Track, _Places]] = {}
    for key, piece in _PIECES.items():
        value = parameters.get(key)
        if value is None and key not in ("global_orient", "body_pose"):
            continue
        tensor = _tensor(f"{what}, {key}", container, value, (count, 3 * len(piece.joints)))
        values = tensor.reshape(count, len(piece.joints), 3)
        if piece.track in found and piece.start:
            first, tensors = found[piece.track]
            joined = np.concatenate([first.values, values], axis=1)
            track = first.replace(values=joined, joints=(*first.joints, *piece.joints))
            found[piece.track] = (track, [*tensors, (tensor, piece.start)])
            continue
        if key == "transl":
            track = Track(values, "position", "root", piece.joints, metres=1.0, up=up)
        else:
            track = Track(values, "axis_angle", piece.part, piece.joints, up=up if piece.part == "root" else None)
        found[piece.track] = (track, [(tensor, 0)])
    return found


def _same(one: Track, other: Track) -> bool:
    return one.joints == other.joints and np.array_equal(one.values, other.values, equal_nan=True)


def _betas(
    content: Mapping[Any, Any],
    views: list[str],
    count: int,
    tracks: dict[str, Track],
    places: dict[str, _Places],
) -> tuple[NDArray[Any] | None, list[str]]:
    """Return the one shape of the take, or add the track of one that changes; and a note on a second, other shape."""
    shapes = {view: content[view].get("betas") for view in views}
    kept = [v for v in shapes.values() if isinstance(v, np.ndarray) and v.shape[:1] == (count,) and v.ndim == 2]
    if not kept:
        return None, []
    same = [value for value in kept if np.array_equal(value, kept[0], equal_nan=True)]
    one, track = take_shape(kept[0], count)
    if track is not None:
        tracks["betas"], places["betas"] = track, [(value, 0) for value in same]
    differ = len(same) < len(kept)
    return one, [f"betas of {_WORLD} differ from those of {_CAMERA} and are left as they are"] if differ else []


def write(motion: Motion, path: Path) -> None:
    """Write the same container with the changed numbers in their tensors, and every other byte of it as it was.

    Raises:
        ValueError: nothing can be written there, or a track has another shape than the file's.
    """
    source: _Source = motion.source
    (person,) = motion.people
    changes = []
    for name, old in source.person.tracks.items():
        values = merged(name, old.values, person.tracks[name].values)
        if values is old.values:
            continue
        for tensor, start in source.places[name]:
            joints = 1 if old.kind == "channels" else tensor.shape[1] // 3
            part = values if old.kind == "channels" else values[:, start : start + joints]
            changes.append((tensor, part.reshape(tensor.shape)))
    rewrite_container(path, source.container, changes)


def make(motion: Motion, path: Path) -> None:
    """Write new results of one person: ``smpl_params_global``, ``smpl_params_incam`` and ``K_fullimg``, all float32.

    A motion in the world has no camera; the file gets a level one that stands at the world's origin and does not move,
    so that both dictionaries tell the same movement. Its focal length is the picture's diagonal, as GVHMR assumes too.

    Raises:
        ValueError: not one person, or nothing can be written there.
    """
    person = only_person(motion, "GVHMR's results")
    world, camera = camera_view(person)
    width, height = motion.image_size or _IMAGE_SIZE
    focal = float(np.hypot(width, height))
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], np.float32)
    content: dict[str, Any] = {key: _parameters(view) for key, view in ((_WORLD, world), (_CAMERA, camera))}
    content["K_fullimg"] = np.repeat(intrinsics[None], len(person.frames), axis=0)
    write_container(path, content)


def _parameters(person: Person) -> dict[str, NDArray[np.float32]]:
    joints = pose(person, 22)
    return {
        "body_pose": joints[:, 1:].reshape(len(joints), 63).astype(np.float32),
        "betas": shapes(person, 10).astype(np.float32),
        "global_orient": joints[:, 0].astype(np.float32),
        "transl": translation(person).astype(np.float32),
    }


FORMAT = Format(
    NAME,
    "GVHMR results",
    matches,
    read,
    write,
    (".pt",),
    make=make,
    contents=("smpl",),
    up=UP,
    metres=1.0,
    fps=ASSUMED_FPS,
    keeps=("translation", "betas", "changing betas"),
)
