"""Pinhole cameras: where they stand, what they see, and the file that describes them.

Worlds are Y up. A camera's own axes are x right, y down, z away from it, and its pictures' origin is the upper left
corner of the upper left pixel, so that the first pixel's centre is at (0.5, 0.5).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.formats._files import reason

Array = NDArray[np.float64]

# What of the picture's width stays free on every side of the joints when the distance is chosen.
_MARGIN = 0.1
_NEAREST, _FARTHEST = 2.0, 12.0
# A person lower than this share of the picture is not looked at from still farther away.
_LOWEST_PERSON = 0.4
_KEYS = {"azimuth_deg": (-720, 720), "height_m": (-10, 10), "fov_deg": (10, 120), "distance_m": (0.5, 50)}


@dataclass(frozen=True)
class View:
    """Where a camera stands about a person.

    Attributes:
        azimuth_deg: 0 in front of the person, 90 at the person's left.
        height_m: above the floor.
        fov_deg: field of view across the picture.
        distance_m: along the floor from the middle of where the person moves; None for the nearest that sees all.
    """

    azimuth_deg: float
    height_m: float
    fov_deg: float
    distance_m: float | None = None


@dataclass(frozen=True, eq=False)
class Camera:
    """A placed camera.

    Attributes:
        rotation: (3, 3) from the world to the camera.
        position: (3,) in the world, metres.
        focal_px: focal length in pixels.
        size: width and height of its pictures in pixels.
    """

    rotation: Array
    position: Array
    focal_px: float
    size: int

    def seen(self, points: Array) -> Array:
        """Return world points (..., 3) in the camera's axes."""
        return (points - self.position) @ self.rotation.T

    def project(self, points: Array) -> Array:
        """Return the pixels (..., 2) of points (..., 3) in the camera's axes."""
        return self.focal_px * points[..., :2] / points[..., 2:] + self.size / 2


def random_views(count: int, generator: np.random.Generator) -> list[View]:
    """Return views evenly spread around the person, the first about in front, of drawn height and field of view."""
    views = []
    for k in range(count):
        azimuth = 360 * k / count + generator.uniform(-25, 25)
        views.append(
            View(round(azimuth, 1), round(generator.uniform(0.9, 1.9), 2), round(generator.uniform(30, 60), 1))
        )
    return views


def read_views(path: Path) -> list[View]:
    """Read views from a JSON file: a list of objects with the keys of :class:`View`, ``distance_m`` optional.

    Raises:
        ValueError: not such a file, or a number out of range.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise mismatch(f"{path}", "a JSON file of cameras", reason(error)) from None
    if not isinstance(content, list) or not content:
        raise mismatch(f"{path}", "a list of at least one camera", type(content).__name__)
    views = []
    for number, entry in enumerate(content, 1):
        what = f"{path}: camera {number}"
        if not isinstance(entry, dict) or not set(_KEYS) - {"distance_m"} <= set(entry) <= set(_KEYS):
            found = ", ".join(map(str, entry)) if isinstance(entry, dict) else type(entry).__name__
            raise mismatch(f"{what}: keys", ", ".join(_KEYS) + " (the last may be missing)", found)
        for key, value in entry.items():
            low, high = _KEYS[key]
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise mismatch(f"{what}: {key}", f"a number from {low} to {high}", repr(value))
        views.append(View(**{key: float(value) for key, value in entry.items()}))
    return views


def place(view: View, joints: Array, facing: Array, floor: float, size: int) -> tuple[Camera, float]:
    """Place a camera about a person in motion.

    Without a given distance the nearest of 2 to 12 m is taken at which every joint stays in the picture. Where the
    person would be seen smaller than two fifths of the picture for that, the path over the floor is shortened instead.

    Args:
        view: from where.
        joints: (T, J, 3) in the world, metres.
        facing: (3,) where the person faces on average.
        floor: height of the floor.
        size: of the pictures in pixels.

    Returns:
        The camera, and the factor at most 1 by which the path over the floor about ``middle(joints)`` must be scaled.
    """
    centre = middle(joints)
    turn = math.radians(view.azimuth_deg) + math.atan2(facing[0], facing[2])
    away = np.array([math.sin(turn), 0.0, math.cos(turn)])
    focal = size / 2 / math.tan(math.radians(view.fov_deg) / 2)

    def at(distance: float) -> Camera:
        position = centre + distance * away
        position[1] = floor + view.height_m
        return Camera(_looking(centre - position), position, focal, size)

    if view.distance_m is not None:
        return at(view.distance_m), 1.0
    # Somebody who lies is as long as somebody who stands is tall.
    length = np.ptp(joints, axis=1).max(axis=-1).mean()
    last = min(_FARTHEST, max(_NEAREST, focal * length / (_LOWEST_PERSON * size)))
    distances = np.geomspace(_NEAREST, last, 40)
    for distance in distances:
        if _all_in(at(float(distance)), joints):
            return at(float(distance)), 1.0
    camera = at(float(last))
    for scale in np.geomspace(1.0, 0.01, 60):
        if _all_in(camera, shortened(joints, float(scale))):
            return camera, float(scale)
    return at(_FARTHEST), 0.0


def middle(joints: Array) -> Array:
    """Return the middle (3,) of the box that joints (T, J, 3) keep to."""
    flat = joints.reshape(-1, 3)
    return (flat.min(axis=0) + flat.max(axis=0)) / 2


def shortened(joints: Array, scale: float) -> Array:
    """Return joints (T, J, 3) with the path over the floor scaled about its middle."""
    return joints + path_change(joints, scale)[:, None]


def path_change(joints: Array, scale: float) -> Array:
    """Return the shift (T, 3) of a whole body that scales its path over the floor."""
    path = joints.mean(axis=1) - middle(joints)
    return (scale - 1) * path * [1.0, 0.0, 1.0]


def _looking(direction: Array) -> Array:
    """Return the rotation from the world to a camera that looks along a direction, upright."""
    z = direction / np.linalg.norm(direction)
    x = np.cross(z, [0.0, 1.0, 0.0])
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def _all_in(camera: Camera, joints: Array) -> bool:
    points = camera.seen(joints)
    if points[..., 2].min() < 0.3:
        return False
    pixels = camera.project(points) / camera.size
    return bool(((pixels > _MARGIN) & (pixels < 1 - _MARGIN)).all())
