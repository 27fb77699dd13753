"""TRAM's ``camera.npy``: how the camera moved, which takes a person from its view to the world and back.

A dictionary of arrays for all N frames of the video (TRAM, ``scripts/estimate_camera.py``; a point of the camera's view
is ``R p + T`` in the world, ``lib/pipeline/visualization.py``): ``world_cam_R`` (N, 3, 3) and ``world_cam_T`` (N, 3) to
a world with Y up, which the first version did not write, and ``pred_cam_R`` and ``pred_cam_T`` to one with the axes of
the first frame's camera. The file stands one folder above the people's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.restricted_pickle import load_npy
from smpl_tools.coordinates import PELVIS
from smpl_tools.motion import Track, Up

Array = NDArray[np.float64]

_NAME = "camera.npy"
_WORLDS: tuple[tuple[str, Up, str], ...] = (
    ("world_cam", "y", "the world's view is computed with camera.npy"),
    ("pred_cam", "-y", "the world's view is computed with camera.npy, its axes are those of the first frame's camera"),
)
# How far from a rotation the matrices may be: they come as float32.
_ORTHOGONAL = 1e-3


@dataclass(frozen=True, eq=False)
class Camera:
    """Where the camera was in a person's frames.

    Attributes:
        rotations: (T, 3, 3) from its view to the world.
        translations: (T, 3), metres.
        up: the world's.
    """

    rotations: Array
    translations: Array
    up: Up


def camera_of(path: Path, frames: NDArray[np.int64]) -> tuple[Camera | None, str]:
    """Return the camera at a person's frames, None without a usable file; and a remark on where the view comes from.

    Args:
        path: the person's file; the camera's is looked for one folder up, then beside it.
        frames: (T,) numbers in the video.
    """
    without = "as the camera sees it: its own movement is in camera.npy"
    folders = path.resolve().parents[:2]
    file = next((folder / _NAME for folder in reversed(folders) if (folder / _NAME).is_file()), None)
    if file is None:
        return None, without
    try:
        content = load_npy(file).item()
        key, up, remark = next(world for world in _WORLDS if f"{world[0]}_R" in content)
        rotations, translations = (np.asarray(content[f"{key}_{part}"], np.float64) for part in "RT")
    # Whatever that file holds, it is no fault of the one that was asked for.
    except (ValueError, KeyError, TypeError, StopIteration):
        return None, f"{without}, which cannot be read"
    count = len(rotations) if rotations.ndim else 0
    if rotations.shape != (count, 3, 3) or translations.shape != (count, 3):
        return None, f"{without}, which has other shapes than TRAM's"
    if frames.size and not 0 <= frames.min() <= frames.max() < count:
        return None, f"{without}, which is of another video: it has {count} frames"
    rotations, translations = rotations[frames], translations[frames]
    products = rotations @ rotations.transpose(0, 2, 1)
    if not (np.isfinite(translations).all() and np.all(np.abs(products - np.eye(3)) < _ORTHOGONAL)):
        return None, f"{without}, which holds no rotations"
    return Camera(rotations, translations, up), remark


def in_world(camera: Camera, tracks: Mapping[str, Track]) -> dict[str, Track]:
    """Return ``global_orient_world`` and, of a person that has it, ``transl_world``.

    The body model turns about its pelvis, not its origin, which turns ``transl`` about ``PELVIS``.
    """
    orient = tracks["global_orient"]
    turned = camera.rotations[:, None] @ orient.values.astype(np.float64)
    result = {"global_orient_world": orient.replace(values=turned.astype(orient.values.dtype), up=camera.up)}
    if "transl" in tracks:
        transl = tracks["transl"]
        place = transl.values.astype(np.float64) + PELVIS
        moved = np.einsum("tij,tkj->tki", camera.rotations, place) + camera.translations[:, None] - PELVIS
        result["transl_world"] = transl.replace(values=moved.astype(transl.values.dtype), up=camera.up)
    return result


def in_camera(camera: Camera, name: str, world: NDArray[np.floating]) -> Array:
    """Return what the camera sees of ``global_orient_world`` or ``transl_world``, the inverse of :func:`in_world`.

    Args:
        camera: of T frames.
        name: ``global_orient`` or ``transl``.
        world: (T, 1, 3, 3) or (T, 1, 3).
    """
    if name == "global_orient":
        return camera.rotations.transpose(0, 2, 1)[:, None] @ world.astype(np.float64)
    place = world.astype(np.float64) + PELVIS - camera.translations[:, None]
    return np.einsum("tji,tkj->tki", camera.rotations, place) - PELVIS
