"""New HumanData files from SMPL poses or 3D joints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.coordinates import stated_ups
from smpl_tools.formats._files import write_npz
from smpl_tools.formats._human_data_joints import HUMAN_DATA
from smpl_tools.formats._smpl import part_pose, pose, shapes, translation
from smpl_tools.joint_names import picked
from smpl_tools.motion import Motion, Person

_PARTS = {"left_hand_pose", "right_hand_pose", "jaw_pose", "eye_pose", "expression"}


def make(motion: Motion, path: Path) -> None:
    """Write new HumanData: one row a person and frame, in order of frames, with ``person_id`` and ``frame_id``.

    SMPL poses become ``smpl``, with hands or a face ``smplx``; joints become ``keypoints3d`` and its mask, those that
    HUMAN_DATA knows by their names. ``meta`` holds the gender of every row where all are known; ``misc`` the frame rate
    (``fps``) and the axis that points up (``up``) where they are known, and ``flat_hand_mean`` True. There are no
    images.

    Args:
        motion: in the plain form ``smpl`` or ``joints``.
        path: the file.

    Raises:
        ValueError: nobody is in it, no joint that HUMAN_DATA knows, or nothing can be written there.
    """
    people = [person for person in motion.people if len(person.frames)]
    if not people:
        raise mismatch("people for HumanData", "at least one", "nobody")
    frames = np.concatenate([person.frames for person in people])
    order = np.argsort(frames, kind="stable")

    def rows(part: Callable[[Person], NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([part(person) for person in people])[order]

    misc: dict[str, Any] = {"flat_hand_mean": True}
    ups = stated_ups(motion)
    misc |= {"fps": float(motion.fps)} if motion.fps else {}
    misc |= {"up": next(iter(ups))} if len(ups) == 1 else {}
    arrays: dict[str, Any] = {
        "__key_strict__": np.array(False),
        "__data_len__": np.array(len(frames)),
        "__keypoints_compressed__": np.array(False),
    }
    if "global_orient" in people[0].tracks:
        full = any(_PARTS & set(person.tracks) for person in people)
        arrays["smplx" if full else "smpl"] = _boxed({key: rows(part) for key, part in _parts(full).items()})
    else:
        arrays["keypoints3d"] = rows(_keypoints)
        arrays["keypoints3d_mask"] = (arrays["keypoints3d"][..., 3] > 0).any(axis=0).astype(np.uint8)
        arrays["keypoints3d_convention"] = np.array("human_data")
    ids = [person.id for person in people]
    numbers = all(ident.isascii() and ident.isdigit() and str(int(ident)) == ident and len(ident) < 10 for ident in ids)
    named = np.array([int(ident) for ident in ids] if numbers else ids)
    arrays["person_id"] = np.repeat(named, [len(person.frames) for person in people])[order]
    arrays["frame_id"] = frames[order]
    genders = [person.gender for person in people]
    if all(genders):
        own = np.repeat(np.array(genders), [len(person.frames) for person in people])[order]
        arrays["meta"] = _boxed({"gender": own})
    arrays["misc"] = _boxed(misc)
    write_npz(path, arrays, compressed=True)


def _parts(full: bool) -> dict[str, Callable[[Person], NDArray[Any]]]:
    """Return what each key of the model's dictionary is made by."""
    parts: dict[str, Callable[[Person], NDArray[Any]]] = {
        "global_orient": lambda p: p.tracks["global_orient"].values[:, 0],
        "body_pose": lambda p: pose(p, 22 if full else 24)[:, 1:],
        "betas": lambda p: shapes(p, 10),
        "transl": translation,
    }
    if full:
        parts |= {
            "left_hand_pose": lambda p: part_pose(p, "left_hand_pose", 15),
            "right_hand_pose": lambda p: part_pose(p, "right_hand_pose", 15),
            "jaw_pose": lambda p: part_pose(p, "jaw_pose", 1)[:, 0],
            "leye_pose": lambda p: part_pose(p, "eye_pose", 2)[:, 0],
            "reye_pose": lambda p: part_pose(p, "eye_pose", 2)[:, 1],
            "expression": _expression,
        }
    return parts


def _expression(person: Person) -> NDArray[Any]:
    result = np.zeros((len(person.frames), 10), person.tracks["global_orient"].values.dtype)
    if "expression" in person.tracks:
        values = person.tracks["expression"].values[:, :10]
        result[:, : values.shape[1]] = values
    return result


def _keypoints(person: Person) -> NDArray[Any]:
    track = picked(person.tracks["joints"], HUMAN_DATA, what="HumanData", optional=True)
    seen = np.isfinite(track.values).all(axis=2)
    confidence = np.ones(seen.shape) if track.confidence is None else track.confidence
    result = np.concatenate([track.values, confidence[..., None]], axis=2)
    result[~seen] = 0
    return result


def _boxed(value: Any) -> NDArray[Any]:
    box = np.empty((), object)
    box[()] = value
    return box
