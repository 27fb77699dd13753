"""TRAM's ``hps_track_*.npy``: one person as the camera sees them.

Layout (TRAM, ``lib/models/hmr_vimo.py`` and ``scripts/estimate_humans.py`` write it, ``lib/pipeline/visualization.py``
reads it): an array of objects whose one object is a dictionary of tensors, ``pred_rotmat`` (T, 24, 3, 3), the same
rotations as ``pred_pose`` (T, 144) in 6D, columns one after the other, ``pred_shape`` (T, 10), ``pred_trans``
(T, 1, 3) in metres, ``pred_cam`` (T, 3) for the crop, ``frame`` (T,). x right, y down, z away.

Where ``camera.npy``, which tells how the camera moved, stands one folder up or beside the file, the world's view is
there too (``_tram_camera.py``). It is computed, not stored: a change of it alone is written as the camera sees it, and
a change of the camera's view comes before it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.restricted_pickle import load_npy
from smpl_tools.formats._changes import merged
from smpl_tools.formats._files import NPY_MAGIC, npy_header, replacing
from smpl_tools.formats._format import Format, Options
from smpl_tools.formats._pickles import described
from smpl_tools.formats._smpl import only_person, pose, shapes, take_shape, translation
from smpl_tools.formats._torch_container import dump_with_tensors
from smpl_tools.formats._tram_camera import Camera, camera_of, in_camera, in_world
from smpl_tools.motion import Motion, Person, Track, Up
from smpl_tools.rotations import axis_angle_to_matrix, matrix_to_rotation_6d, rotation_6d_to_matrix
from smpl_tools.skeleton import SMPL

NAME = "tram"
UP: Up = "-y"
ASSUMED_FPS = 30.0
_ROTATIONS, _SIX, _SHAPE, _TRANS, _CAMERA, _FRAME = (
    "pred_rotmat",
    "pred_pose",
    "pred_shape",
    "pred_trans",
    "pred_cam",
    "frame",
)
_ORDER = "columns"
# Rotations computed from the same six numbers, one of them in another precision, differ by less.
_SAME = 1e-3


@dataclass(frozen=True, eq=False)
class _Source:
    content: Mapping[Any, Any]
    tensors: list[NDArray[Any]]
    six_agrees: bool
    tracks: Mapping[str, Track]
    camera: Camera | None


def matches(path: Path, head: bytes) -> bool:
    """Return whether the file is an array of one object that has TRAM's keys."""
    return _holds_one_object(head) and _is_tram(load_npy(path).item())


def _holds_one_object(head: bytes) -> bool:
    if not head.startswith(NPY_MAGIC):
        return False
    try:
        shape, dtype = npy_header(io.BytesIO(head))
    # A header that is damaged or longer than the head is none of TRAM's.
    except Exception:
        return False
    return shape == () and dtype.kind == "O"


def _is_tram(content: Any) -> bool:
    return isinstance(content, Mapping) and _ROTATIONS in content and _FRAME in content


def read(path: Path, options: Options) -> Motion:
    """Read a person's file, at an assumed 30 frames a second.

    Tracks: ``global_orient`` and ``body_pose`` as matrices, ``transl``, ``pred_cam``, ``betas`` where they change, and
    with ``camera.npy`` ``global_orient_world`` and ``transl_world``.

    Raises:
        ValueError: the file is refused or damaged, or a tensor is not as above.
    """
    tensors: list[NDArray[Any]] = []
    array = load_npy(path, tensors=tensors)
    content: Any = array.item() if array.dtype.hasobject and array.size == 1 else None
    if not _is_tram(content):
        found = f"{array.shape} of {array.dtype}" if content is None else described(content)
        raise mismatch(f"{path}: content", f"a dictionary with {_ROTATIONS} and {_FRAME}", found)
    frames = content[_FRAME]
    if not isinstance(frames, np.ndarray) or frames.ndim != 1 or frames.dtype.kind not in "iu":
        raise mismatch(f"{path}: {_FRAME}", "a tensor (T,) of integers", _shape(frames))
    count = len(frames)
    rotations = _floats(path, content, _ROTATIONS, (count, 24, 3, 3))
    tracks = {
        "global_orient": Track(rotations[:, :1], "rotation_matrix", "root", SMPL.joints[:1], up=UP),
        "body_pose": Track(rotations[:, 1:], "rotation_matrix", "body", SMPL.joints[1:]),
    }
    if content.get(_TRANS) is not None:
        places = _floats(path, content, _TRANS, (count, 1, 3), (count, 3)).reshape(count, 1, 3)
        tracks["transl"] = Track(places, "position", "root", ("pelvis",), metres=1.0, up=UP)
    if content.get(_CAMERA) is not None:
        camera = _floats(path, content, _CAMERA, (count, 3))
        tracks[_CAMERA] = Track(camera, "channels", "camera", ("scale", "x", "y"))
    betas, changing = take_shape(content.get(_SHAPE), count)
    if changing is not None:
        tracks["betas"] = changing
    camera, remark = camera_of(path, frames.astype(np.int64))
    if camera is not None:
        tracks |= in_world(camera, tracks)
    try:
        person = Person("0", tracks, frames.astype(np.int64), betas)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    notes = [] if options.fps else [f"frame rate not stated in the file: {ASSUMED_FPS:g} frames a second assumed"]
    notes.append(remark)
    agrees = _agrees(content.get(_SIX), rotations)
    if not agrees and content.get(_SIX) is not None:
        notes.append(f"{_SIX} differs from {_ROTATIONS} and is left as it is")
    return Motion(
        NAME,
        (person,),
        options.fps or ASSUMED_FPS,
        SMPL,
        source=_Source(content, tensors, agrees, tracks, camera),
        notes=tuple(notes),
    )


def _shape(value: Any) -> str:
    return f"{value.shape} of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


def _floats(path: Path, content: Mapping[Any, Any], key: str, *shapes: tuple[int, ...]) -> NDArray[Any]:
    value = content[key]
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.shape not in shapes:
        raise mismatch(f"{path}: {key}", f"a tensor {shapes[0]} of floats", _shape(value))
    return value


def _agrees(six: Any, rotations: NDArray[Any]) -> bool:
    if not isinstance(six, np.ndarray) or six.dtype.kind != "f" or six.shape != (len(rotations), 144):
        return False
    numbers = six.reshape(-1, 24, 6).astype(np.float64)
    usable = np.all(np.isfinite(numbers), axis=-1) & np.all(np.isfinite(rotations), axis=(-2, -1))
    matrices = rotation_6d_to_matrix(np.where(usable[..., None], numbers, [1, 0, 0, 0, 1, 0]), _ORDER)
    near = np.abs(matrices - rotations).max(axis=(-2, -1), initial=0) <= _SAME
    return bool(np.all(near | ~usable))


def write(motion: Motion, path: Path) -> None:
    """Write the same dictionary with the changed numbers in it; tensors stay tensors.

    ``pred_pose`` follows ``pred_rotmat`` at the joints and frames that changed, and keeps its numbers elsewhere.

    Raises:
        ValueError: nothing can be written there, or a track has another shape than the file's.
    """
    source: _Source = motion.source
    (person,) = motion.people
    old = source.content
    values = {name: _as_seen(source, name, person) for name in source.tracks if not name.endswith("_world")}
    new = {_ROTATIONS: np.concatenate([values["global_orient"], values["body_pose"]], axis=1)}
    for key, name in ((_TRANS, "transl"), (_CAMERA, _CAMERA), (_SHAPE, "betas")):
        if name in values:
            new[key] = values[name].reshape(old[key].shape)
    new = {key: merged(key, old[key], numbers) for key, numbers in new.items()}
    if source.six_agrees:
        six = matrix_to_rotation_6d(new[_ROTATIONS].astype(np.float64), _ORDER)
        turned = ((new[_ROTATIONS] != old[_ROTATIONS]) & np.isfinite(new[_ROTATIONS])).any(axis=(-2, -1))
        before = old[_SIX].reshape(-1, 24, 6)
        after = np.where(turned[..., None], six, before).astype(before.dtype)
        new[_SIX] = merged(_SIX, old[_SIX], after.reshape(old[_SIX].shape))
    # What replaces a tensor is written as one.
    known = {id(tensor) for tensor in source.tensors}
    tensors = [*source.tensors, *(numbers for key, numbers in new.items() if id(old[key]) in known)]
    _dump({**old, **new}, path, tensors)


def _as_seen(source: _Source, name: str, person: Person) -> NDArray[Any]:
    """Return a track's numbers as the camera sees them: from the world's view in the frames where it alone changed."""
    values, world = person.tracks[name].values, f"{name}_world"
    if source.camera is None or world not in source.tracks:
        return values
    if not np.array_equal(values, source.tracks[name].values, equal_nan=True):
        return values
    before = source.tracks[world].values
    after = merged(world, before, person.tracks[world].values)
    changed = (after != before).reshape(len(before), -1).any(axis=1)
    seen = in_camera(source.camera, name, after).astype(values.dtype)
    return np.where(changed.reshape(-1, *[1] * (values.ndim - 1)), seen, values)


def make(motion: Motion, path: Path) -> None:
    """Write a new file of one person, all tensors float32 but ``frame`` (int64).

    ``pred_cam`` belongs to a crop of a picture that there is not; it is the neutral one, scale 1 in the crop's middle.

    Raises:
        ValueError: not one person, or nothing can be written there.
    """
    person = only_person(motion, "TRAM's results")
    count = len(person.frames)
    rotations = axis_angle_to_matrix(pose(person, 24).astype(np.float64))
    content = {
        _CAMERA: np.tile(np.array([1, 0, 0], np.float32), (count, 1)),
        _SIX: matrix_to_rotation_6d(rotations, _ORDER).reshape(count, 144).astype(np.float32),
        _SHAPE: shapes(person, 10).astype(np.float32),
        _ROTATIONS: rotations.astype(np.float32),
        _TRANS: translation(person)[:, None].astype(np.float32),
        _FRAME: np.array(person.frames),
    }
    _dump(content, path, list(content.values()))


def _dump(content: Mapping[Any, Any], path: Path, tensors: list[NDArray[Any]]) -> None:
    array = np.empty((), object)
    array[()] = content
    with replacing(path) as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        dump_with_tensors(array, file, tensors)


FORMAT = Format(
    NAME,
    "TRAM results of one person",
    matches,
    read,
    write,
    (".npy",),
    make=make,
    contents=("smpl",),
    up=UP,
    metres=1.0,
    fps=ASSUMED_FPS,
    keeps=("translation", "betas", "changing betas", "gaps", "frame numbers"),
)
