"""What formats of SMPL poses share: shape and gender as files state them, and a plain motion's arrays to write."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.coordinates import PELVIS, with_up
from smpl_tools.formats._names import numbered
from smpl_tools.motion import Motion, Person, Track

Array = NDArray[Any]

GENDERS = ("neutral", "male", "female")


def gender_of(value: Any) -> str | None:
    """Return ``neutral``, ``male`` or ``female`` from text, bytes or an array of one; None for the rest."""
    if isinstance(value, np.ndarray):
        value = value.item() if value.size == 1 else None
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    # Some archives hold the text of Python 2's bytes, b'female'.
    text = value.strip().removeprefix("b'").removesuffix("'").lower() if isinstance(value, str) else ""
    return next((gender for gender in GENDERS if text and gender.startswith(text)), None)


def one_shape(value: Any) -> Array | None:
    """Return ``betas`` (K,) from an array (K,) or (1, K) of finite floats; None for anything else."""
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.ndim not in (1, 2):
        return None
    flat = value.reshape(-1) if value.ndim == 1 or len(value) == 1 else np.empty(0)
    return flat if flat.size and np.isfinite(flat).all() else None


def pose(person: Person, joints: int) -> Array:
    """Return the rotation vectors (T, joints, 3) of root and body of a plain SMPL motion.

    Args:
        person: with ``global_orient`` and ``body_pose`` of 21 or 23 joints.
        joints: 22 or 24; the two hands of SMPL are at rest where the motion has none, and left out of 22.
    """
    orient, body = person.tracks["global_orient"].values, person.tracks["body_pose"].values
    result = np.zeros((len(orient), joints, 3), np.result_type(orient, body))
    result[:, :1] = orient
    count = min(joints - 1, body.shape[1])
    result[:, 1 : 1 + count] = body[:, :count]
    return result


def part_pose(person: Person, name: str, joints: int) -> Array:
    """Return the rotation vectors (T, joints, 3) of a part by its track's name, at rest without one."""
    if name in person.tracks:
        return person.tracks[name].values
    return np.zeros((len(person.frames), joints, 3), person.tracks["global_orient"].values.dtype)


def translation(person: Person) -> Array:
    """Return ``transl`` (T, 3), zeros where the motion has none."""
    if "transl" in person.tracks:
        return person.tracks["transl"].values[:, 0]
    return np.zeros((len(person.frames), 3), person.tracks["global_orient"].values.dtype)


def shape(person: Person, size: int) -> Array:
    """Return one ``betas`` (size,) for the take: the stated ones, or the mean over frames, cut off or padded with 0."""
    betas = person.betas
    if betas is None and "betas" in person.tracks:
        betas = np.nanmean(person.tracks["betas"].values, axis=0)
    result = np.zeros(size, np.float64 if betas is None else betas.dtype)
    if betas is not None:
        result[: min(size, len(betas))] = betas[:size]
    return result


def shapes(person: Person, size: int) -> Array:
    """Return ``betas`` (T, size) of every frame, cut off or padded with 0."""
    if "betas" not in person.tracks:
        return np.repeat(shape(person, size)[None], len(person.frames), axis=0)
    betas = person.tracks["betas"].values
    result = np.zeros((len(betas), size), betas.dtype)
    result[:, : min(size, betas.shape[1])] = betas[:, :size]
    return result


def only_person(motion: Any, what: str) -> Person:
    """Return the person of a motion that has one.

    Raises:
        ValueError: nobody or several people are in it.
    """
    if len(motion.people) != 1:
        raise mismatch(f"people for {what}", "one", ", ".join(p.id for p in motion.people) or "nobody")
    return motion.people[0]


def take_shape(value: Any, frames: int) -> tuple[Array | None, Track | None]:
    """Return the one shape (K,) of a take from what a file has under ``betas``, or the track of one that changes.

    Args:
        value: an array (T, K), (1, K) or (K,) of floats; anything else has neither.
        frames: T of the person.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return None, None
    if value.ndim != 2 or len(value) != frames or not frames:
        return one_shape(value), None
    if np.isfinite(value).all() and (value == value[0]).all():
        return one_shape(value[:1]), None
    return None, Track(value, "channels", "shape", numbered("betas", value.shape[1]))


def camera_view(person: Person) -> tuple[Person, Person]:
    """Return a person of a world with Y up, ``transl`` stated, and the same as a camera sees it.

    The camera stands at the world's origin, level, and looks along -z: x stays right, y points down, z away. The body
    model's origin is not its pelvis, which turns ``transl`` about ``PELVIS``.
    """
    orient = person.tracks["global_orient"].replace(up="y")
    place = Track(translation(person)[:, None], "position", "root", ("pelvis",), metres=1.0, up="y")
    world = dataclasses.replace(person, tracks={**person.tracks, "global_orient": orient, "transl": place})
    (camera,) = with_up(Motion("", (world,), None), "-y", pelvis=PELVIS).people
    return world, camera
