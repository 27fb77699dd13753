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
# Frames that are looked at first for whether anything turns.
_FIRST = 64
# A larger angle, in radians, is looked at more closely elsewhere.
_LARGEST_ANGLE = 1e6


def refine_rotations(matrices: Array, quality: Array, refined: Refine) -> Array:
    """Refine rotations (T, N, 9) as unit quaternions where they may be: four numbers in place of nine.

    Turning the scene or a bone's roll is an orthogonal map of the four too, and a straight way between two quaternions
    keeps to the shortest turn for longer. Their sign is that which lies nearer to the frame before; where frames are so
    far apart that this says nothing of what is between them, the nine numbers of the matrices stand for themselves.
    """
    frames = len(matrices)
    new = empty_over_time(matrices.shape)
    quats = from_planes(planes.quat_of_matrix(to_planes(matrices)), frames)
    steps = _steps(quats)
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
    found = _refined_straight(quats, refined)
    if found is None:
        return None
    entries, still = found
    new = from_planes(entries, len(quats))
    new *= np.where((new[0] * quat_wxyz[0]).sum(axis=1) < 0, -1.0, 1.0)[:, None]
    if still.any():
        new[:, still] = quat_wxyz[:, still]
    return new


def refine_axis_angles(axis_angle: Array, refined: Refine) -> Array | None:
    """Refine rotation vectors (T, N, 3) in radians, all of them observed, as :func:`refine_quats` does quaternions.

    Whole turns stay those that bring a vector nearest to the given one.
    """
    given = to_planes(axis_angle)
    # NaN is not smaller either.
    if not (np.abs(given) < _LARGEST_ANGLE).all():
        return None
    found = _refined_straight(from_planes(planes.quat_of_axis_angle(given), len(axis_angle)), refined)
    if found is None:
        return None
    entries, still = found
    entries *= np.where(entries[0] < 0, -1.0, 1.0)
    new = from_planes(planes.axis_angle_of_quat(entries, given), len(axis_angle))
    if still.any():
        new[:, still] = axis_angle[:, still]
    return new


def _refined_straight(quats: Array, refined: Refine) -> tuple[Array, NDArray[np.bool_]] | None:
    """Return refined unit quaternions (4, M) of unit quaternions (T, N, 4), and (N,) which never turn.

    None where frames are too far apart.
    """
    steps = _steps(quats)
    if not (np.abs(steps) > _FARTHEST).all():
        return None
    new, still = _continued(quats, steps, np.ones((*quats.shape[:2], 2)), refined)
    entries = to_planes(new)
    entries /= _lengths(entries)
    return entries, still


def _steps(quats: Array) -> Array:
    """Return (T - 1, N) products of neighbouring quaternions (T, N, 4)."""
    entries = quats.transpose(2, 1, 0)
    return np.einsum("dnt,dnt->nt", entries[..., 1:], entries[..., :-1]).T


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
    jumps = steps < 0
    if jumps.any():
        signs = np.ones(quats.shape[:2])
        signs[1:] -= 2 * (np.cumsum(jumps, axis=0) % 2)
        quats *= signs[..., None]
    # From the first frame, so that what never turns comes out bit for bit.
    start = quats[0]
    inner = refined(quats - start, quality)
    # Most show in their first frames that they turn.
    still = np.asarray(~inner[:_FIRST].any(axis=(0, 2)))
    if still.any():
        still[still] = ~inner[:, still].any(axis=(0, 2))
    inner += start
    return inner, still


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
