"""Rotations through a network that sees vectors: as quaternions where frames follow each other closely."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import _rotation_planes as planes
from smoothnet_core._vectors import empty_over_time, from_planes, to_planes
from smoothnet_core.tracks import settled

Array = NDArray[np.float64]
Refine = Callable[[Array, Array], Array]

# Cosine of half of 60 degrees: a rotation that turns farther from one frame to the next is not seen as a quaternion.
# With it no error of the study `rotations` is more than 0.1 % above that of matrices alone; at 120 degrees tails are.
_FARTHEST = 0.866
# Lengths whose squares are numbers with all their digits.
_SHORTEST, _LONGEST = 1e-100, 1e100


def refine_rotations(matrices: Array, quality: Array, refined: Refine) -> Array:
    """Refine rotations (T, N, 9) as unit quaternions where they may be: four numbers in place of nine.

    Turning the scene or a bone's roll is an orthogonal map of the four too, and a straight way between two quaternions
    keeps to the shortest turn for longer. Their sign is that which lies nearer to the frame before; where frames are so
    far apart that this says nothing of what is between them, the nine numbers of the matrices stand for themselves.
    """
    frames = len(matrices)
    new = empty_over_time(matrices.shape)
    quats = from_planes(planes.quat_of_matrix(to_planes(matrices)), frames)
    steps = (quats[1:] * quats[:-1]).sum(axis=2)
    calm = (np.abs(steps) > _FARTHEST).all(axis=0)
    for columns, by in ((calm, _refined_quats), (~calm, _refined_matrices)):
        if columns.all():
            return by(matrices, quats, steps, quality, refined)
        if columns.any():
            new[:, columns] = by(
                matrices[:, columns], quats[:, columns], steps[:, columns], quality[:, columns], refined
            )
    return new


def refine_quats(quat_wxyz: Array, refined: Refine) -> Array | None:
    """Refine quaternions (T, N, 4) of any length and sign, all of them observed; to unit ones, without jumps of sign.

    Returns:
        (T, N, 4) what :func:`refine_rotations` makes of their matrices, without these; None where it would refine
        matrices, and where one of them is no rotation.
    """
    entries = to_planes(quat_wxyz)
    lengths = _lengths(entries)
    if not ((lengths > _SHORTEST) & (lengths < _LONGEST)).all():
        return None
    entries /= lengths
    quats = from_planes(entries, len(quat_wxyz))
    steps = (quats[1:] * quats[:-1]).sum(axis=2)
    if not (np.abs(steps) > _FARTHEST).all():
        return None
    new, still = _continued(quats, steps, np.ones((*quats.shape[:2], 2)), refined)
    entries = to_planes(new)
    entries /= _lengths(entries)
    new = from_planes(entries, len(new))
    new *= np.where((new[0] * quat_wxyz[0]).sum(axis=1) < 0, -1.0, 1.0)[:, None]
    if still.any():
        new[:, still] = quat_wxyz[:, still]
    return new


def _lengths(entries: Array) -> Array:
    return np.sqrt(np.einsum("dm,dm->m", entries, entries))


def _continued(quats: Array, steps: Array, quality: Array, refined: Refine) -> tuple[Array, NDArray[np.bool_]]:
    """Return refined quaternions (T, N, 4), not of length 1, and (N,) which never turn.

    Args:
        quats: of length 1; their signs are changed in place so that they do not jump.
        steps: (T - 1, N) products of neighbours.
        quality: (T, N, 2).
        refined: what refines vectors.
    """
    signs = np.ones(quats.shape[:2])
    signs[1:] -= 2 * (np.cumsum(steps < 0, axis=0) % 2)
    quats *= signs[..., None]
    # From the first frame, so that what never turns comes out bit for bit.
    start = quats[0]
    inner = refined(quats - start, quality)
    return inner + start, np.asarray(~inner.any(axis=(0, 2)))


def _refined_quats(matrices: Array, quats: Array, steps: Array, quality: Array, refined: Refine) -> Array:
    """Return (T, N, 9) of rotations given as matrices, as quaternions (T, N, 4), and by the products of neighbours."""
    new, still = _continued(quats, steps, quality, refined)
    new = from_planes(planes.matrix_of_quat(to_planes(new)), len(matrices))
    if still.any():
        new[:, still] = matrices[:, still]
    return new


def _refined_matrices(matrices: Array, quats: Array, steps: Array, quality: Array, refined: Refine) -> Array:
    """Return the same by the nine numbers of the matrices."""
    start = matrices[0]
    return settled(refined(matrices - start, quality) + start, True)
