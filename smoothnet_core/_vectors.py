"""Vectors over time from values of every kind and back, and how they lie in memory.

See :mod:`smoothnet_core.tracks` for what the vectors are. Time is last in memory, so that what runs along it finds its
numbers side by side.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import _rotation_planes as planes
from smoothnet_core import rotations
from smoothnet_core._array_api import fill_along_time
from smoothnet_core._polar import determinants, to_nearest_rotations

Array = NDArray[np.float64]

# Beyond this no number is a position or an angle, and its square would not be far from overflowing.
_LARGEST = 1e100
# Sine of the angle, or volume of unit edges, below which vectors no longer tell a rotation.
_DEGENERATE = 1e-6
# Rotations converted at once: their temporaries stay in the cache, and small beside the track.
_BLOCK = 2**13
# Whole turns of an angle beyond this leave no digit to the angle itself.
_LARGEST_ANGLE = 1e12
# Where the two vectors of a rotation's six numbers stand.
SIX_D_VECTORS = {
    "interleaved": ([0, 2, 4], [1, 3, 5]),
    "columns": ([0, 1, 2], [3, 4, 5]),
    "rows": ([0, 1, 2], [3, 4, 5]),
}


def empty_over_time(shape: tuple[int, ...]) -> Array:
    """Return an array (T, N, D) to be written to, in memory (N, D, T)."""
    frames, count, size = shape
    return np.empty((count, size, frames)).transpose(2, 0, 1)


def to_planes(values: Array) -> Array:
    """Return a copy (D, M) of values (T, N, D) with all vectors' first numbers in a row, then the second, ..."""
    return np.array(values.transpose(2, 1, 0), order="C").reshape(values.shape[2], -1)


def from_planes(entries: Array, frames: int) -> Array:
    """Return the values (T, N, D), a view, whose :func:`to_planes` are ``entries`` (D, T N)."""
    return entries.reshape(len(entries), entries.shape[1] // max(1, frames), frames).transpose(2, 1, 0)


def put(values: Array, part: tuple[slice, slice], entries: Array) -> None:
    target = values[part]
    target[...] = from_planes(entries, len(target))


def parts(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Yield slices of frames and vectors that cover (T, N, ...), each a few thousand vectors."""
    frames, count = shape[:2]
    together = max(1, _BLOCK // max(1, frames))
    for n in range(0, count, together):
        for t in range(0, frames, _BLOCK):
            yield slice(t, t + _BLOCK), slice(n, n + together)


def as_matrices(vectors: Array) -> Array:
    """Return (T, N, 3, 3) from the nine numbers of each rotation (T, N, 9)."""
    return vectors.reshape((*vectors.shape[:2], 3, 3))


def frame_blocks(vectors: Array) -> Iterator[slice]:
    """Yield slices that cover the frames of (T, N, ...), each a few thousand vectors."""
    step = max(1, _BLOCK // max(1, vectors.shape[1]))
    return (slice(start, start + step) for start in range(0, len(vectors), step))


def to_vectors(flat: Array, kind: str, order: str) -> tuple[Array, NDArray[np.bool_]]:
    """Return (T, N, D) vectors and where they are usable: numbers, and for rotations not degenerate."""
    if kind == "channels":
        flat = flat[..., None]
    valid = np.empty(flat.shape[:2], bool)
    if kind in ("channels", "position"):
        vectors = empty_over_time(flat.shape)
        vectors[...] = flat
        return vectors, np.asarray((np.abs(flat) < _LARGEST).all(axis=-1))
    vectors = empty_over_time((*flat.shape[:2], 9))
    for part in parts(flat.shape):
        piece = flat[part]
        if kind == "rotation_6d":
            matrices, valid[part] = _six_d_to_matrices(piece, order)
            vectors[part] = matrices.reshape((*piece.shape[:2], 9))
            continue
        entries, usable = _PLANES[kind](to_planes(piece.reshape(*piece.shape[:2], -1)))
        put(vectors, part, entries)
        valid[part] = usable.reshape(piece.shape[1], piece.shape[0]).T
    return vectors, valid


def _axis_angles_to_planes(given: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return matrices (9, M) of rotation vectors (3, M), and which of them are some; overwrites what is given."""
    valid = np.abs(given).max(axis=0) < _LARGEST
    given[:, ~valid] = 0.0
    far = np.sqrt(np.square(given).sum(axis=0)) >= _LARGEST_ANGLE
    given[:, far] = 0.0
    return planes.matrix_of_quat(planes.quat_of_axis_angle(given)), valid & ~far


def _quats_to_planes(given: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return matrices (9, M) of quaternions (4, M), and which of them are some; overwrites what is given."""
    peak = np.abs(given).max(axis=0)
    valid = (peak < _LARGEST) & (peak > 0)
    given[:, ~valid] = 1.0
    return planes.matrix_of_quat(given), valid


def _matrices_to_planes(given: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return the rotations nearest to matrices (9, M), and which are usable; overwrites what is given."""
    peak = np.abs(given).max(axis=0)
    valid = (peak < _LARGEST) & (peak > 0)
    given[:, ~valid] = np.eye(3).reshape(9, 1)
    # At size 1 no product overflows or vanishes.
    given /= np.where(valid, peak, 1.0)
    # Two dependent columns leave the nearest rotation undefined; so does a reflection.
    edges = np.square(given).reshape(3, 3, -1).sum(axis=0).prod(axis=0)
    valid &= determinants(given) > _DEGENERATE * np.sqrt(edges)
    given[:, ~valid] = np.eye(3).reshape(9, 1)
    nearest = given.copy()
    found = to_nearest_rotations(nearest)
    if not found.all():
        nearest[:, ~found] = rotations.project_to_so3(given[:, ~found].T.reshape(-1, 3, 3)).reshape(-1, 9).T
    return nearest, valid


_PLANES = {
    "axis_angle": _axis_angles_to_planes,
    "quat_wxyz": _quats_to_planes,
    "rotation_matrix": _matrices_to_planes,
}


def _six_d_to_matrices(flat: Array, order: str) -> tuple[Array, NDArray[np.bool_]]:
    peak = np.abs(flat).max(axis=2)
    valid = np.asarray((peak < _LARGEST) & (peak > 0))
    # They mean the same at any size; at size 1 no product of theirs overflows or vanishes.
    safe = np.where(valid[..., None], flat, 0.0) / np.where(valid, peak, 1.0)[..., None]
    first, second = (safe[..., index] for index in SIX_D_VECTORS[order])
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    # Two vectors span a plane unless one vanishes or they are parallel.
    valid &= np.linalg.norm(np.cross(first, second), axis=-1) > _DEGENERATE * lengths
    identity = rotations.matrix_to_rotation_6d(np.eye(3), order)
    return rotations.rotation_6d_to_matrix(np.where(valid[..., None], safe, identity), order), valid


def from_vectors(vectors: Array, flat: Array, observed: NDArray[np.bool_], kind: str, order: str) -> Array:
    """Return (T, N, ...) values of the kind from vectors (T, N, D), written the way the caller wrote them."""
    if kind == "channels":
        return vectors[..., 0].copy()
    if kind == "position":
        return vectors.copy()
    if kind == "rotation_matrix":
        return as_matrices(vectors).copy()
    result = np.empty(flat.shape)
    if kind == "rotation_6d":
        for rows in frame_blocks(vectors):
            result[rows] = rotations.matrix_to_rotation_6d(as_matrices(vectors[rows]), order)
        return result
    # In gaps the caller's way is that of the frame before.
    written = flat if observed.all() else np.nan_to_num(fill_along_time(np.where(observed[..., None], flat, np.nan)))
    if kind == "axis_angle":
        for part in parts(vectors.shape):
            quats = planes.quat_of_matrix(to_planes(vectors[part]))
            put(result, part, planes.axis_angle_of_quat(quats, to_planes(written[part])))
        return result
    together = max(1, _BLOCK // max(1, len(vectors)))
    for start in range(0, vectors.shape[1] if len(vectors) else 0, together):
        # Whole curves: signs are a matter of these.
        own = (slice(None), slice(start, start + together))
        quats = from_planes(planes.quat_of_matrix(to_planes(vectors[own])), len(vectors))
        result[own] = _continuous_like_first(quats, written[own][:1])
    return result


def _continuous_like_first(quat_wxyz: Array, reference: Array) -> Array:
    """Turn the signs of quaternions (T, N, 4), in place, so that curves have no jumps.

    Each starts on the hemisphere of the caller's first frame (1, N, 4).
    """
    signs = np.ones(quat_wxyz.shape[:2])
    opposite = _dots(quat_wxyz[1:], quat_wxyz[:-1]) < 0
    signs[1:] -= 2 * (np.cumsum(opposite, axis=0) % 2)
    signs *= np.where(_dots(reference, quat_wxyz[:1]) < 0, -1.0, 1.0)
    quat_wxyz *= signs[..., None]
    return quat_wxyz


def _dots(first: Array, second: Array) -> Array:
    """Return (T, N) products of vectors (T, N, 4)."""
    a, b = first, second
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2] + a[..., 3] * b[..., 3]
