"""The camera of a video: it looks at people from one side all the time, frames the take and goes along smoothly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from smoothnet_core._checks import mismatch
from smpl_tools.pictures.stage import Stage

Array = NDArray[np.float64]

# Degrees: around the person, from in front (0) to the person's left (90), and above the floor.
VIEWS = {"front": (0.0, 7.0), "side": (90.0, 7.0), "three-quarter": (40.0, 12.0), "top": (0.0, 78.0)}
_ELEVATION = 12.0
_FOV_DEG, _FLAT_FOV_DEG = 26.0, 2.0
# The camera goes along with what is left of a path after this Gaussian, and stands still for less than so far.
_FOLLOW_SECONDS, _STILL_METRES = 0.7, 0.35
# Shares of the picture that people keep free: at the top, where the labels are, and on the other three sides.
_TOP, _MARGIN = 0.15, 0.07
# In as many frames somebody may lie outside: a joint that an estimator throws across the room moves no camera.
_OUTSIDE = 0.015


@dataclass(frozen=True, eq=False)
class Camera:
    """A camera that moves but does not turn.

    Attributes:
        rotation: (3, 3) from the stage to the camera's axes: x right, y down, z away from it.
        eyes: (T, 3) where it is in each frame of the stage's timeline, metres, always at the same height.
        distance: from what it looks at, metres.
        focal_px: focal length in pixels.
        size: width and height of its picture in pixels.
    """

    rotation: Array
    eyes: Array
    distance: float
    focal_px: float
    size: tuple[int, int]

    def seen(self, points: Array, frame: int) -> Array:
        """Return points (..., 3) of the stage in the camera's axes."""
        return (points - self.eyes[frame]) @ self.rotation.T

    def project(self, seen: Array) -> Array:
        """Return the pixels (..., 2) of points (..., 3) in the camera's axes, the upper left corner at (0, 0)."""
        return np.asarray(self.focal_px * seen[..., :2] / seen[..., 2:] + np.array(self.size) / 2, np.float64)

    @cached_property
    def rays(self) -> Array:
        """The directions (H, W, 3) in the camera's axes of the middles of the pixels, z = 1."""
        width, height = self.size
        x = (np.arange(width) + 0.5 - width / 2) / self.focal_px
        y = (np.arange(height) + 0.5 - height / 2) / self.focal_px
        across, down = np.meshgrid(x, y)
        return np.stack([across, down, np.ones_like(down)], axis=-1, dtype=np.float64)


def view_angles(view: str) -> tuple[float, float]:
    """Return azimuth and elevation in degrees of a view: one of ``VIEWS``, or an azimuth such as ``-30``.

    Raises:
        ValueError: neither.
    """
    if view in VIEWS:
        return VIEWS[view]
    try:
        angle = float(view)
    except ValueError:
        angle = math.nan
    if not -360 <= angle <= 360:
        raise mismatch("view", f"one of {', '.join(VIEWS)}, or degrees from -360 to 360", repr(view))
    return angle, _ELEVATION


def follow(stage: Stage, view: str, size: tuple[int, int], rows: slice) -> Camera:
    """Place a camera that sees everybody in some frames of a stage, as near as it can.

    Args:
        stage: whom to see; flat motions are seen from in front, whatever the view.
        view: see :func:`view_angles`.
        size: width and height of the picture in pixels.
        rows: the frames of the timeline that are shown.
    """
    azimuth, elevation = (0.0, 0.0) if stage.flat else view_angles(view)
    turn = math.radians(azimuth) + math.atan2(stage.facing[0], stage.facing[2])
    rise = math.radians(elevation)
    away = np.array([math.sin(turn) * math.cos(rise), math.sin(rise), math.cos(turn) * math.cos(rise)])
    right = np.array([math.cos(turn), 0.0, -math.sin(turn)])
    rotation = np.stack([right, np.cross(-away, right), -away])
    points = np.concatenate([actor.points for cast in stage.casts for actor in cast], axis=1)
    targets = _targets(points, stage, rows)
    height = size[1]
    fov = _FLAT_FOV_DEG if stage.flat else _FOV_DEG
    focal = height / 2 / math.tan(math.radians(fov) / 2)
    relative = (points - targets[:, None])[rows] @ rotation.T
    seen: Any = np.isfinite(relative).all(axis=-1)
    relative = relative[seen.any(axis=1)]
    # The free space is not the same above and below: the middle of the picture is a little above that of the people.
    lift = (_TOP - _MARGIN) / 2
    half = np.array([0.5 - _MARGIN, 0.5 - (_TOP + _MARGIN) / 2]) * size
    distance, needed = 0.0, np.abs(relative[..., :2]) * focal / half
    if len(relative):
        distance = float(np.quantile(np.nanmax(needed - relative[..., 2:], axis=(1, 2)), 1 - _OUTSIDE))
    distance = max(distance, 0.5)
    shift = rotation[1] * lift * height * distance / focal
    return Camera(rotation, targets + distance * away - shift, distance, focal, size)


def _targets(points: Array, stage: Stage, rows: slice) -> Array:
    """Return (T, 3), what is looked at: the path over the floor, smoothed, at the height of the people's middle."""
    shown = points[rows].reshape(-1, 3)
    shown = shown[np.isfinite(shown).all(axis=1)]
    shown = shown if len(shown) else np.zeros((1, 3))
    low, high = np.quantile(shown, _OUTSIDE, axis=0), np.quantile(shown, 1 - _OUTSIDE, axis=0)
    if stage.floor is not None:
        low[1] = stage.floor
    targets = np.repeat((low + high)[None] / 2, len(points), axis=0)
    counts = np.isfinite(points).all(axis=-1).sum(axis=1)
    there = np.flatnonzero(counts)
    if len(there):
        axes = [0, 1] if stage.flat else [0, 2]
        middles = np.nansum(points[there], axis=1) / counts[there, None]
        for axis in axes:
            path = np.interp(np.arange(len(points)), there, middles[:, axis])
            path = gaussian_filter1d(path, _FOLLOW_SECONDS * stage.fps, mode="nearest")
            if np.ptp(path[rows]) > _STILL_METRES:
                targets[:, axis] = path
    return targets
