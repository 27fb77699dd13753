"""Limbs and trails painted into an array: round, lit, with smooth edges, the nearer before the farther."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Float32; NumPy's stubs make float64 of most of what is done with it.
Image = NDArray[Any]

# Towards the light, in the camera's axes (x right, y down, z away): from the upper left, in front.
LIGHT = np.array([-0.42, -0.66, -0.62]) / np.linalg.norm([-0.42, -0.66, -0.62])
_AMBIENT, _DIFFUSE, _SHINE = 0.55, 0.55, 0.18


@dataclass(eq=False)
class Canvas:
    """A picture in the making.

    Attributes:
        colours: (H, W, 3), 0 to 1.
        depths: (H, W) metres away from the camera of what was painted there; infinite where nothing was.
    """

    colours: Image
    depths: Image


def lit(colour: NDArray[np.floating], normals: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the colours (..., 3) of a surface with unit normals (..., 3) in the camera's axes."""
    facing = normals @ LIGHT.astype(normals.dtype)
    brightness = _AMBIENT + _DIFFUSE * np.maximum(facing, 0)
    shine = _SHINE * np.maximum(facing, 0) ** 12
    return brightness[..., None] * colour + shine[..., None]


def paint_limb(
    canvas: Canvas,
    pixels: NDArray[np.floating],
    depths: NDArray[np.floating],
    radii: NDArray[np.floating],
    colour: NDArray[np.floating],
    pixels_per_metre: float,
) -> None:
    """Paint a cone with round ends.

    Args:
        canvas: is changed.
        pixels: (2, 2) its two ends, x and y.
        depths: (2,) metres.
        radii: (2,) pixels.
        colour: (3,) 0 to 1.
        pixels_per_metre: at its depth, to know how far it bulges towards the camera.
    """
    box = _box(canvas, pixels, float(radii.max()))
    if box is None:
        return
    share, x, y = _from_line(pixels, box)
    radius = np.float32(radii[0]) + share * np.float32(radii[1] - radii[0])
    squared = x * x + y * y
    cover = np.clip(radius + np.float32(0.5) - np.sqrt(squared), 0, 1)
    squared /= radius * radius
    bulge = np.sqrt(np.maximum(1 - squared, 0))
    depth = np.float32(depths[0]) + share * np.float32(depths[1] - depths[0])
    depth -= radius * bulge / np.float32(pixels_per_metre)
    cover[depth >= canvas.depths[box]] = 0
    length = radius * np.maximum(np.sqrt(squared + bulge * bulge), 1e-6)
    normals = np.stack([x / length, y / length, -bulge * radius / length], axis=-1)
    # Darker where the surface turns away, which parts a limb from the one behind it.
    shown = lit(colour.astype(np.float32), normals) * (np.float32(0.72) + np.float32(0.28) * bulge)[..., None]
    part = canvas.colours[box]
    part += cover[..., None] * (shown - part)
    np.copyto(canvas.depths[box], depth, where=cover > 0.5)


def paint_trail(
    canvas: Canvas,
    pixels: NDArray[np.floating],
    depths: NDArray[np.floating],
    strengths: NDArray[np.floating],
    radius: float,
    colour: NDArray[np.floating],
) -> None:
    """Paint a line through N points, as far as nothing painted before is in front of it.

    Args:
        canvas: is changed; its depths stay.
        pixels: (N, 2); where one is NaN the line breaks.
        depths: (N,) metres.
        strengths: (N - 1,) how opaque each piece is, 0 to 1.
        radius: half the line's width in pixels.
        colour: (3,) 0 to 1.
    """
    there: Any = np.isfinite(pixels).all(axis=1)
    whole = _box(canvas, pixels[there], radius) if there.any() else None
    if whole is None:
        return
    # Where pieces meet they lie over each other: the stronger counts once.
    cover = np.zeros_like(canvas.depths)
    for k in np.flatnonzero(np.logical_and(there[1:], there[:-1])):
        box = _box(canvas, pixels[k : k + 2], radius)
        if box is None:
            continue
        share, x, y = _from_line(pixels[k : k + 2], box)
        piece = np.clip(np.float32(radius + 0.5) - np.sqrt(x * x + y * y), 0, 1) * np.float32(strengths[k])
        piece[depths[k] + share * (depths[k + 1] - depths[k]) >= canvas.depths[box]] = 0
        np.maximum(cover[box], piece, out=cover[box])
    part = canvas.colours[whole]
    part += cover[whole][..., None] * (colour.astype(np.float32) - part)


def _box(canvas: Canvas, pixels: NDArray[np.floating], radius: float) -> tuple[slice, slice] | None:
    """Return the rows and columns that a line of some thickness through points (N, 2) lies in, None for none."""
    height, width = canvas.depths.shape
    left, top = np.maximum(np.floor(pixels.min(axis=0) - radius - 1), 0).astype(int)
    right, bottom = np.minimum(np.ceil(pixels.max(axis=0) + radius + 1), [width, height]).astype(int)
    return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None


def _from_line(pixels: NDArray[np.floating], box: tuple[slice, slice]) -> tuple[Any, Any, Any]:
    """Return, for every pixel of a box, where along a line between two points it is nearest, and x and y from there."""
    start, along = pixels[0].astype(np.float32), (pixels[1] - pixels[0]).astype(np.float32)
    x = np.arange(box[1].start, box[1].stop, dtype=np.float32)[None] + np.float32(0.5) - start[0]
    y = np.arange(box[0].start, box[0].stop, dtype=np.float32)[:, None] + np.float32(0.5) - start[1]
    share = np.clip((x * along[0] + y * along[1]) / max(float(along @ along), 1e-6), 0, 1)
    return share, x - share * along[0], y - share * along[1]
