"""The rotation nearest to a matrix by Newton's method, for the many matrices that are nearly rotations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Matrices iterated at once: nine numbers of each, and their temporaries, stay in the cache.
_BLOCK = 8192
_STEPS = 10
# Newton's error after the step that was this small is the square of it.
_LAST_STEP = 1e-8
# Determinant of the matrix of unit norm below which the singular values differ so much that an SVD is the better way;
# a rotation has 0.19, a reflection less than 0.
_FLAT = 1e-3


def nearest_rotations(matrices: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return the nearest rotations (M, 3, 3) of finite matrices (M, 3, 3), and (M,) where they were found.

    Newton's iteration for the polar decomposition, ``X <- (X + X^-T) / 2`` (N. Higham, SIAM J. Sci. Stat. Comput. 7(4),
    1986), with the cofactors for the inverse. For a positive determinant the orthogonal factor is the nearest rotation.
    Flat and mirrored matrices are left to the caller.
    """
    nearest, found = np.empty(matrices.shape), np.empty(len(matrices), bool)
    for start in range(0, len(matrices), _BLOCK):
        part = slice(start, start + _BLOCK)
        entries, found[part] = _iterate(np.array(matrices[part].reshape(-1, 9).T))
        nearest[part] = entries.T.reshape(-1, 3, 3)
    return nearest, found


def _iterate(x: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return the nine entries (9, M) of the rotations, and where they are right."""
    peak = np.abs(x).max(axis=0)
    x /= np.where(peak > 0, peak, 1.0)
    x /= np.sqrt(np.square(x).sum(axis=0) + (peak == 0))
    determinant = _determinant(x, _cofactors(x))
    usable = determinant > _FLAT
    x[:, ~usable] = np.eye(3).reshape(9, 1)
    # With determinant 1 the singular values lie around 1, where the iteration is fast.
    x /= np.cbrt(np.where(usable, determinant, 1.0))
    step = np.full(len(peak), np.inf)
    for _ in range(_STEPS):
        cofactors = _cofactors(x)
        new = 0.5 * (x + cofactors / _determinant(x, cofactors))
        step = np.abs(new - x).max(axis=0)
        x = new
        if (step < _LAST_STEP).all():
            break
    return x, usable & (step < _LAST_STEP)


def _cofactors(x: Array) -> Array:
    a, b, c, d, e, f, g, h, i = x
    out = np.empty(x.shape)
    out[0], out[1], out[2] = e * i - f * h, f * g - d * i, d * h - e * g
    out[3], out[4], out[5] = c * h - b * i, a * i - c * g, b * g - a * h
    out[6], out[7], out[8] = b * f - c * e, c * d - a * f, a * e - b * d
    return out


def _determinant(x: Array, cofactors: Array) -> Array:
    return x[0] * cofactors[0] + x[1] * cofactors[1] + x[2] * cofactors[2]
