"""The 2D half of a paired set: image points as the estimator saw them, the projected truth, and the camera."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.experiments.frame import Bench
from smpl_tools.sources import MODES, PairedClip
from smpl_tools.sources._arrays import load


def image_clips(bench: Bench, clips: Sequence[PairedClip]) -> list[PairedClip]:
    """Return the same clips and frames as image points (T, J, 2) in pixels, y down.

    Raises:
        ValueError: a file has no image points.
    """
    found = []
    for clip in clips:
        estimate, truth = (
            _array(bench, clip.name, name)[: len(clip.estimate)] for name in ("est_2d" + MODES[clip.mode], "gt_2d")
        )
        found.append(dataclasses.replace(clip, estimate=estimate, groundtruth=truth))
    return found


def picture_size(bench: Bench, clip: PairedClip) -> tuple[int, int]:
    """Return width and height in pixels of a clip's pictures.

    Raises:
        ValueError: the file's metadata do not say.
    """
    width, height = _said(bench, clip.name, "image_size")
    return width, height


def camera(bench: Bench, clip: PairedClip, size: float) -> dict[str, float]:
    """Return the arguments of :func:`projected` for a clip's camera, with pictures ``size`` pixels wide.

    Raises:
        ValueError: the file's metadata do not say.
    """
    seen = _said(bench, clip.name, "camera")
    return {
        "distance": seen["distance_m"],
        "height": seen["height_m"],
        "azimuth": seen["azimuth_rad"],
        "focal": seen["f_px"] * size / picture_size(bench, clip)[0],
        "size": size,
    }


def projected(
    points: NDArray[np.float64], *, distance: float, height: float, azimuth: float, focal: float, size: float
) -> NDArray[np.float64]:
    """Return (T, J, 2) pixels, y down, of points (T, J, 3) with Y up.

    The camera stands ``distance`` from the mean of all points (horizontally) and ``height`` above the lowest, and
    looks at that mean. Who walks far is brought nearer to the mean until nobody comes closer to the camera than half
    of ``distance``.

    Args:
        points: metres.
        distance: metres.
        height: metres.
        azimuth: radians about Y.
        focal: focal length in pixels.
        size: width and height of the picture in pixels.
    """
    middle = points.mean(axis=(0, 1))
    walk = points.mean(axis=1, keepdims=True) - middle
    walk[..., 1] = 0.0
    farthest = float(np.linalg.norm(walk, axis=-1).max())
    points = points - walk * max(0.0, 1 - 0.4 * distance / farthest) if farthest > 0 else points
    eye = middle + distance * np.array([np.sin(azimuth), 0.0, np.cos(azimuth)])
    eye[1] = points[..., 1].min() + height
    ahead = (middle - eye) / np.linalg.norm(middle - eye)
    right = np.cross(ahead, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    seen = (points - eye) @ np.stack([right, np.cross(ahead, right), ahead], axis=-1)
    return focal * seen[..., :2] / seen[..., 2:] + size / 2


def _said(bench: Bench, clip: str, key: str) -> Any:
    about = json.loads(str(_array(bench, clip, "metadata")))
    if key not in about:
        raise mismatch(f"{bench.data / 'paired' / clip}.npz", f"{key} in its metadata", "none")
    return about[key]


def _array(bench: Bench, clip: str, name: str) -> Any:
    path = bench.data / "paired" / f"{clip}.npz"
    arrays = load(path)
    if name not in arrays:
        raise mismatch(f"{path}", f"an array named {name}", "none")
    return arrays[name]
