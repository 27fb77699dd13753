"""Pictures of the body: rays through Embree, on the processor, without a display or a graphics driver."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from smoothnet_core._checks import require
from smpl_tools.pairs.body import Body
from smpl_tools.pairs.camera import Camera
from smpl_tools.pairs.scene import Look, backdrop, pixel_rays

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]

# Rays per pixel along each axis.
_SAMPLES = 2
_AMBIENT = 0.55
# Metres: what lies behind nothing, and from how deep a step on there is an outline.
_FAR, _STEP = 1e3, 0.05
# The twelve triangles of a box whose corners count z fastest, then y, then x.
_BOX = np.array(
    [
        *[(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1)],
        *[(2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)],
    ]
)


class Renderer:
    """Draws one body before one camera.

    Args:
        body: V vertices.
        colours: (V, 3) from 0 to 1.
        camera: that looks.
        look: backdrop, light and noise.
        floor: height of the floor in the world.
        things: boxes (8, 3) in the way, in the world.
        generator: draws backdrop and noise.

    Raises:
        MissingExtraError: Embree is not installed.
    """

    def __init__(
        self,
        body: Body,
        colours: Array,
        camera: Camera,
        look: Look,
        floor: float,
        things: list[Array],
        generator: np.random.Generator,
    ) -> None:
        require("embreex", "pairs")
        self._body, self._colours, self._camera = body, colours.astype(np.float32), camera
        self._light = (camera.rotation @ np.array(look.light)).astype(np.float32)
        corners = body.triangles.ravel()
        faces = np.repeat(np.arange(len(body.triangles)), 3)
        ones = np.ones(len(corners), np.float32)
        self._gather = sparse.csr_array((ones, (corners, faces)), shape=(len(body.vertices), len(body.triangles)))
        self._rays = pixel_rays(camera, 1).astype(np.float32)
        self._fine_rays = _by_pixel(pixel_rays(camera, _SAMPLES)).astype(np.float32)
        self._behind = _by_pixel(backdrop(camera, look, floor, _SAMPLES, generator)).astype(np.float32)
        self._depth = np.full(self._behind.shape[:3], np.inf, np.float32)
        for thing in things:
            self._put(thing, generator.uniform(0.1, 0.8, 3))
        self._empty = self._behind.mean(axis=2)
        self._nearest, self._farthest = self._depth.min(axis=2), self._depth.max(axis=2)
        # A few fields of noise, shifted anew for every picture: drawing each anew takes longer than rendering it.
        self._noise = generator.normal(0, look.noise, (4, camera.size, camera.size, 3)).astype(np.float32)
        self._generator = generator

    def draw(self, vertices: Array) -> Picture:
        """Return the picture (S, S, 3) uint8 of the body with its vertices at (V, 3) in the world."""
        seen = self._camera.seen(vertices)
        picture = self._empty.copy()
        window = _window(self._camera, seen)
        if window is not None:
            points = seen.astype(np.float32)
            a, b, c = (points[self._body.triangles[:, k]] for k in range(3))
            across = np.cross(b - a, c - a)
            normals = self._gather @ across
            # What faces away is hidden by what faces the camera, and takes as long to hand over.
            triangles = self._body.triangles[np.einsum("fc,fc->f", across, a) < 0]
            scene = Scene(points, triangles)
            hit = scene.shoot(self._rays[window])
            near = hit.near & (hit.depth < self._nearest[window])
            edge = _edges(np.where(hit.near, hit.depth, np.float32(_FAR)))
            edge |= hit.near & (hit.depth > self._nearest[window]) & (hit.depth < self._farthest[window])
            part = picture[window]
            part[near & ~edge] = self._shaded(normals, hit, triangles, near & ~edge)
            # Only where the outline passes do the other rays of a pixel see anything else than its first.
            fine = self._behind[window][edge]
            hit = scene.shoot(self._fine_rays[window][edge])
            near = hit.near & (hit.depth < self._depth[window][edge])
            fine[near] = self._shaded(normals, hit, triangles, near)
            part[edge] = fine.mean(axis=1)
        shift = tuple(self._generator.integers(0, self._camera.size, 2))
        noise = np.roll(self._noise[self._generator.integers(len(self._noise))], shift, axis=(0, 1))
        return np.clip(255 * picture + noise + 0.5, 0, 255).astype(np.uint8)

    def _shaded(self, normals: Any, hit: Hits, triangles: NDArray[np.int64], near: NDArray[np.bool_]) -> Any:
        """Return the colours (n, 3) of the samples that show the body: Lambert's law on smooth normals."""
        corners = triangles[hit.triangle[near]]
        u, v = hit.u[near][:, None], hit.v[near][:, None]
        first, second, third = corners.T
        normal = (1 - u - v) * normals[first] + u * normals[second] + v * normals[third]
        colours = self._colours
        colour = (1 - u - v) * colours[first] + u * colours[second] + v * colours[third]
        lit = normal @ self._light / np.maximum(np.sqrt(np.einsum("nc,nc->n", normal, normal)), 1e-12)
        return colour * (_AMBIENT + (1 - _AMBIENT) * np.maximum(lit, 0))[:, None]

    def _put(self, thing: Array, colour: Array) -> None:
        """Draw a box into the backdrop, before whatever is there already."""
        points = self._camera.seen(thing).astype(np.float32)
        hit = Scene(points, _BOX).shoot(self._fine_rays)
        near = hit.near & (hit.depth < self._depth)
        a, b, c = (points[_BOX[hit.triangle[near], k]] for k in range(3))
        normal = np.cross(b - a, c - a)
        lit = np.abs(normal @ self._light) / np.linalg.norm(normal, axis=1)
        self._behind[near] = colour * (_AMBIENT + (1 - _AMBIENT) * lit)[:, None]
        self._depth[near] = hit.depth[near]


class Hits:
    """What rays met: whether anything, how far away along z, and where in which triangle; arrays of the rays' shape."""

    def __init__(self, found: dict[str, Any], shape: tuple[int, ...]) -> None:
        self.near = (found["geomID"] >= 0).reshape(shape)
        self.depth = found["tfar"].reshape(shape)
        self.triangle = found["primID"].reshape(shape)
        self.u, self.v = found["u"].reshape(shape), found["v"].reshape(shape)


class Scene:
    """Triangles (F, 3) between points (V, 3) in the camera's axes, float32, and what rays from its origin meet.

    Raises:
        MissingExtraError: Embree is not installed.
    """

    def __init__(self, points: Any, triangles: NDArray[np.int64]) -> None:
        self._scene = require("embreex.rtcore_scene", "pairs").EmbreeScene()
        # The mesh belongs to the scene from here on.
        require("embreex.mesh_construction", "pairs").TriangleMesh(self._scene, points, triangles.astype(np.int32))

    def shoot(self, rays: Any) -> Hits:
        """Return the hits, in arrays (...), of rays (..., 3)."""
        flat = rays.reshape(-1, 3)
        return Hits(self._scene.run(np.zeros_like(flat), flat, output=1), rays.shape[:-1])


def _window(camera: Camera, points: Array) -> tuple[slice, slice] | None:
    """Return the rows and columns of the picture that points (V, 3) lie in; None where they are not in it."""
    if points[:, 2].min() < 0.1:
        return slice(0, camera.size), slice(0, camera.size)
    pixels = camera.project(points)
    low = np.clip(np.floor(pixels.min(axis=0)).astype(int), 0, camera.size)
    high = np.clip(np.ceil(pixels.max(axis=0)).astype(int), 0, camera.size)
    if (high <= low).any():
        return None
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _by_pixel(fine: Any) -> Any:
    """Return (H, W, n, ...) of (H * k, W * k, ...): the n = k * k samples of every pixel."""
    height, width = (n // _SAMPLES for n in fine.shape[:2])
    apart = fine.reshape(height, _SAMPLES, width, _SAMPLES, *fine.shape[2:]).swapaxes(1, 2)
    return apart.reshape(height, width, _SAMPLES**2, *fine.shape[2:])


def _edges(depth: Any) -> NDArray[np.bool_]:
    """Return where depths (H, W) differ from those beside them by more than ``_STEP``."""
    return ndimage.maximum_filter(depth, 3) - ndimage.minimum_filter(depth, 3) > _STEP
