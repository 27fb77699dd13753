"""The floor of a video: a grid that shows how people move over it, fading into the distance, and soft shadows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from smpl_tools.pictures.camera import Camera
from smpl_tools.pictures.figure import Figure
from smpl_tools.pictures.paint import LIGHT, Image

Array = NDArray[np.float64]

# Metres.
_SPACING, _LINE = 0.5, 0.012
_FADES_AT = 2.6
_SHADOW, _SOFT = 0.42, 0.015
_STEEPNESS = 0.4
# Shadows are soft: one value for so many pixels along each axis is enough.
_COARSE = 4


class Floor:
    """Draws the floor that a camera sees.

    Args:
        camera: sees it from above.
        height: of the floor, metres.
        background: colour (3,), 0 to 1, into which it fades.
        line: colour (3,) of the grid.
        shine: colour (3,) of the floor near the people.
    """

    def __init__(self, camera: Camera, height: float, background: Image, line: Image, shine: Image) -> None:
        self._camera, self._height, self._line = camera, height, line
        rays = camera.rays @ camera.rotation
        # How far along its ray the floor is; the camera never changes its height, so in every frame the same.
        below = rays[..., 1] < -1e-4
        far = np.where(below, (camera.eyes[0, 1] - height) / np.maximum(-rays[..., 1], 1e-4), np.inf)
        with np.errstate(invalid="ignore"):
            places = np.where(below[..., None], rays[..., [0, 2]] * np.where(below, far, 0)[..., None], 0.0)
        ahead = camera.rotation[2] * [1, 0, 1] * camera.distance
        away = np.linalg.norm(places - ahead[[0, 2]], axis=-1)
        fade = np.where(below, np.exp(-0.5 * (away / _FADES_AT) ** 2), 0.0)
        self._places = places.astype(np.float32)
        # How many metres a pixel covers along each axis of the floor.
        covers = np.abs(np.gradient(places, axis=0)) + np.abs(np.gradient(places, axis=1))
        covers = np.maximum(covers, 1e-6)
        self._sharpness = (1 / covers).astype(np.float32)
        self._edge = (0.5 + 0.5 * _LINE / covers).astype(np.float32)
        # Lines closer than pixels would flicker.
        self._strength = (fade[..., None] * np.clip(0.3 * _SPACING / covers - 0.3, 0, 1)).astype(np.float32)
        self._fade = fade.astype(np.float32)
        # Above this row there is no line.
        self._first = int(np.argmax((self._strength > 1e-3).any(axis=(1, 2))))
        self._drawn: tuple[Any, Image] | None = None
        self._empty = (background + self._fade[..., None] * (shine - background)).astype(np.float32)

    def draw(self, frame: int) -> Image:
        """Return the picture (H, W, 3) of the floor without anybody on it."""
        eye = self._camera.eyes[frame, [0, 2]].astype(np.float32)
        # A camera that stands still sees the same floor.
        if self._drawn is None or (eye != self._drawn[0]).any():
            rows = slice(self._first, None)
            from_line = (self._places[rows] + eye) / np.float32(_SPACING)
            from_line = np.abs(from_line - np.round(from_line)) * np.float32(_SPACING)
            lines = np.clip(self._edge[rows] - from_line * self._sharpness[rows], 0, 1) * self._strength[rows]
            line = np.maximum(lines[..., 0], lines[..., 1])[..., None]
            picture = self._empty.copy()
            picture[rows] += line * (self._line - picture[rows])
            self._drawn = eye, picture
        return self._drawn[1].copy()

    def shade(self, picture: Image, points: Array, figure: Figure, frame: int) -> None:
        """Darken a picture (H, W, 3) where a figure with its points at (P, 3) keeps the light from the floor."""
        # Steeper than the light on the figure, so that the shadow stays near the feet.
        light = _STEEPNESS * (self._camera.rotation.T @ LIGHT)
        light[1] = 1.0
        limbs = points[figure.ends]
        seen = np.isfinite(limbs).all(axis=(1, 2))
        limbs, radii = limbs[seen], figure.radii[seen]
        if not len(limbs):
            return
        above = np.maximum(limbs[..., 1] - self._height, 0.0)
        thrown = (limbs - above[..., None] * light)[..., [0, 2]]
        wide = radii + _SOFT + 0.1 * above
        box = self._box(thrown, float(wide.max()), frame)
        rows, columns = range(*box[0].indices(len(picture))), range(*box[1].indices(picture.shape[1]))
        if not rows or not columns:
            return
        fine = box[0], box[1]
        coarse = slice(box[0].start, box[0].stop, _COARSE), slice(box[1].start, box[1].stop, _COARSE)
        places = self._places[coarse] + self._camera.eyes[frame, [0, 2]].astype(np.float32)
        dark = np.zeros(places.shape[:2], np.float32)
        for (start, end), (first, last), (low, high) in zip(thrown, wide, above, strict=True):
            along = (end - start).astype(np.float32)
            offset = places - start.astype(np.float32)
            share = np.clip(offset @ along / max(float(along @ along), 1e-9), 0, 1)
            offset -= share[..., None] * along
            radius = np.float32(first) + share * np.float32(last - first)
            height = np.float32(low) + share * np.float32(high - low)
            near = np.einsum("hwc,hwc->hw", offset, offset) / (radius * radius)
            np.maximum(dark, np.exp(-near) / (1 + np.float32(1.6) * height), out=dark)
        smooth = _larger(dark, len(rows), len(columns))
        picture[fine] *= 1 - np.float32(_SHADOW) * (smooth * self._fade[fine])[..., None]

    def _box(self, thrown: Array, wide: float, frame: int) -> tuple[slice, slice]:
        """Return the rows and columns in which shadows at (L, 2, 2) of the floor lie."""
        corners = (thrown.reshape(-1, 1, 2) + 2 * wide * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])).reshape(-1, 2)
        points = np.stack([corners[:, 0], np.full(len(corners), self._height), corners[:, 1]], axis=-1)
        seen = self._camera.seen(points, frame)
        width, height = self._camera.size
        if seen[:, 2].min() < 0.1:
            return slice(0, height), slice(0, width)
        pixels = self._camera.project(seen)
        low = np.clip(np.floor(pixels.min(axis=0)).astype(int), 0, self._camera.size)
        high = np.clip(np.ceil(pixels.max(axis=0)).astype(int), 0, self._camera.size)
        return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _larger(values: Image, rows: int, columns: int) -> Image:
    """Return values given for every ``_COARSE``-th row and column for all of them, linear in between."""

    def along(values: Image, count: int) -> Image:
        at = np.arange(count, dtype=np.float32) / _COARSE
        low = np.minimum(at.astype(np.int64), len(values) - 1)
        high = np.minimum(low + 1, len(values) - 1)
        share = np.clip(at - low, 0, 1)[:, None]
        return values[low] + share * (values[high] - values[low])

    return along(along(values, rows).T, columns).T
