"""A mesh that shows a skeleton: an octahedron along every bone, a small one at every joint where none begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Corners: beginning, four around, end; faces counter-clockwise seen from outside.
_FACES = np.array([[0, 2, 1], [0, 3, 2], [0, 4, 3], [0, 1, 4], [5, 1, 2], [5, 2, 3], [5, 3, 4], [5, 4, 1]])
# The four corners stand this share of a bone's length from its beginning, and from its axis.
_WAIST, _THICKNESS = 0.12, 0.08
# Size of what marks a joint without a bone, as a share of the skeleton's, and where all joints are in one place.
_MARK, _SINGLE = 0.012, 0.02


def octahedra(places: Array, parents: NDArray[np.int64]) -> tuple[Array, Array, NDArray[np.int64], NDArray[np.int64]]:
    """Return the vertices (V, 3), normals (V, 3) and faces (F, 3) of a skeleton's bones and each vertex's joint (V,).

    Args:
        places: (J, 3) of the joints at rest.
        parents: (J,) index of each joint's parent, -1 for a root.
    """
    size = float(np.linalg.norm(np.ptp(places, axis=0)))
    smallest = 1e-6 * size
    mark = _MARK * size if size > 0 else _SINGLE
    corners: list[Array] = []
    followed: list[int] = []
    for joint, parent in enumerate(parents):
        if parent >= 0 and np.linalg.norm(places[joint] - places[parent]) > smallest:
            corners.append(_octahedron(places[parent], places[joint] - places[parent], _WAIST, _THICKNESS))
            followed.append(int(parent))
    for joint in sorted(set(range(len(parents))) - set(followed)):
        start = places[joint] - np.array([0, mark, 0])
        corners.append(_octahedron(start, np.array([0, 2 * mark, 0]), 0.5, 0.5))
        followed.append(joint)
    # Faces share no vertices, so that their edges are sharp.
    vertices = np.stack(corners)[:, _FACES].reshape(-1, 3, 3)
    across = np.cross(vertices[:, 1] - vertices[:, 0], vertices[:, 2] - vertices[:, 0])
    normals = np.asarray(across / np.linalg.norm(across, axis=1, keepdims=True), np.float64)
    faces = np.arange(3 * len(vertices)).reshape(-1, 3)
    return vertices.reshape(-1, 3), np.repeat(normals, 3, axis=0), faces, np.repeat(np.array(followed), 24)


def _octahedron(start: Array, along: Array, waist: float, thickness: float) -> Array:
    """Return the six corners (6, 3) of one from ``start`` to ``start + along``."""
    other = np.eye(3)[int(np.argmin(np.abs(along)))]
    first = np.cross(along, other)
    first *= np.linalg.norm(along) / np.linalg.norm(first)
    second = np.cross(along, first) / np.linalg.norm(along)
    middle = start + waist * along
    around = [middle + thickness * side for side in (first, second, -first, -second)]
    return np.asarray(np.stack([start, *around, start + along]), np.float64)
