"""AIST++: the pickles of its ``motions`` (SMPL) and ``keypoints3d`` folders, 60 frames a second.

Layout (AIST++ API, ``aist_plusplus/loader.py`` reads it, ``processing/run_estimate_smpl.py`` writes it): ``smpl_poses``
(N, 24, 3) or (N, 72) axis-angle, ``smpl_scaling`` (1,) and ``smpl_trans`` (N, 3); or ``keypoints3d`` and
``keypoints3d_optim`` (N, 17, 3) in COCO's order. Y is up. Lengths are centimetres; the scaling is what a metre of the
SMPL body measures in them, so programs divide ``smpl_trans`` by it. The body is the male one of mean shape.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.formats._changes import merged
from smpl_tools.formats._format import Format, Options
from smpl_tools.formats._pickles import content_of, described, dump, is_pickle
from smpl_tools.formats._smpl import only_person, pose, translation
from smpl_tools.joint_names import picked
from smpl_tools.motion import Motion, Person, Track, Up
from smpl_tools.skeleton import SMPL

NAME = "aist"
FPS = 60.0
UP: Up = "y"
METRES = 0.01
# What a metre may measure at least, and one by this at most: further on its reciprocal is no number.
_SMALLEST = 1e-30
_POSES, _TRANS, _SCALING = "smpl_poses", "smpl_trans", "smpl_scaling"
_KEYPOINTS = ("keypoints3d", "keypoints3d_optim")
_FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
COCO_17 = (*_FACE, *(f"{side}_{part}" for part in _LIMBS for side in ("left", "right")))


def matches(path: Path, head: bytes) -> bool:
    """Tell whether the file is a pickle with the keys of a motion, or with ``keypoints3d``."""
    return is_pickle(head) and _is_aist(content_of(path))


def _is_aist(content: Any) -> bool:
    return isinstance(content, Mapping) and (_has_smpl(content) or any(key in content for key in _KEYPOINTS))


def _has_smpl(content: Mapping[Any, Any]) -> bool:
    return all(key in content for key in (_POSES, _TRANS, _SCALING))


def read(path: Path, options: Options) -> Motion:
    """Read an AIST++ motion as one person.

    Tracks: ``global_orient``, ``body_pose`` and ``transl``; or ``keypoints3d`` and ``keypoints3d_optim``.

    Raises:
        ValueError: the file is refused or damaged, or an array is not as above.
    """
    content = content_of(path)
    if not _is_aist(content):
        wanted = f"a dictionary with {_POSES}, {_TRANS} and {_SCALING}, or with {_KEYPOINTS[0]}"
        raise mismatch(f"{path}: content", wanted, described(content))
    tracks, skeleton, betas, gender = {}, None, None, None
    if _has_smpl(content):
        betas, gender = np.zeros(10), "male"
        scaling = _array(path, content, _SCALING, ())
        if scaling.shape != (1,):
            raise mismatch(f"{path}: {_SCALING}", "one number", f"{len(scaling)}")
        if not _SMALLEST < float(scaling[0]) < 1 / _SMALLEST:
            raise mismatch(f"{path}: {_SCALING}", "a positive number", f"{scaling[0]:g}")
        metres = 1.0 / float(scaling[0])
        skeleton = dataclasses.replace(SMPL, offsets=SMPL.offsets / metres, metres=metres)
        flat = isinstance(content[_POSES], np.ndarray) and content[_POSES].ndim == 2
        poses = _array(path, content, _POSES, (72,) if flat else (24, 3)).reshape(-1, 24, 3)
        tracks["global_orient"] = Track(poses[:, :1], "axis_angle", "root", SMPL.joints[:1], up=UP)
        tracks["body_pose"] = Track(poses[:, 1:], "axis_angle", "body", SMPL.joints[1:])
        places = _array(path, content, _TRANS, (3,))[:, None]
        tracks["transl"] = Track(places, "position", "root", ("pelvis",), metres=metres, up=UP)
    for key in _KEYPOINTS:
        if key in content:
            places = _array(path, content, key, (17, 3))
            tracks[key] = Track(places, "position", "body", COCO_17, metres=METRES, up=UP)
    count = len(next(iter(tracks.values())).values)
    try:
        person = Person("0", tracks, np.arange(count, dtype=np.int64), betas, gender)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return Motion(
        NAME,
        (person,),
        options.fps or FPS,
        skeleton,
        source=content,
        notes=("lengths are in centimetres",),
    )


def write(motion: Motion, path: Path) -> None:
    """Write the same dictionary as a pickle, with the changed numbers of the tracks in it and nothing else changed.

    Raises:
        ValueError: nothing can be written there.
    """
    (person,) = motion.people
    new = {key: person.tracks[key].values for key in _KEYPOINTS if key in person.tracks}
    if "body_pose" in person.tracks:
        rotations = (person.tracks["global_orient"].values, person.tracks["body_pose"].values)
        new |= {_POSES: np.concatenate(rotations, axis=1), _TRANS: person.tracks["transl"].values}
    content = copy.copy(motion.source)
    content.update({k: merged(k, motion.source[k], v.reshape(motion.source[k].shape)) for k, v in new.items()})
    dump(content, path)


def make(motion: Motion, path: Path) -> None:
    """Write a new file of ``motions``, or of ``keypoints3d`` from positions of joints that have COCO's 17 names.

    A motion has ``smpl_poses`` (N, 72), ``smpl_scaling`` 100 and ``smpl_trans`` in centimetres. Keypoints stand under
    both of their keys, since programs ask for either.

    Raises:
        ValueError: not one person, joints of COCO are missing, or nothing can be written there.
    """
    person = only_person(motion, "an AIST++ file")
    if "joints" in person.tracks:
        keypoints = picked(person.tracks["joints"], COCO_17, what="COCO's 17").values
        dump(dict.fromkeys(_KEYPOINTS, keypoints), path)
        return
    joints, places = pose(person, 24), translation(person)
    scaling = np.array([1 / METRES], places.dtype)
    dump({_POSES: joints.reshape(len(joints), 72), _SCALING: scaling, _TRANS: places}, path)


def _array(path: Path, content: Mapping[Any, Any], key: str, frame: tuple[int, ...]) -> NDArray[Any]:
    value = content[key]
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.shape[1:] != frame or value.ndim < 1:
        received = f"{value.shape} of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
        raise mismatch(f"{path}: {key}", f"an array {('N', *frame)} of floats".replace("'", ""), received)
    return value


FORMAT = Format(
    NAME,
    "AIST++ motion or 3D keypoints",
    matches,
    read,
    write,
    (".pkl",),
    make=make,
    contents=("smpl", "joints"),
    up=UP,
    metres=METRES,
    fps=FPS,
    keeps=("translation",),
)
