"""The rotation nearest to a matrix by Newton's method, for the many matrices that are nearly rotations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Matrices iterated at once: nine numbers of each, and their temporaries, stay in the cache.
_BLOCK = 8192
# Singular values that are no farther from 1 than this after the first step are right to the last digit after these
# steps: Newton's error is half the square of the one before. The others take more.
_NEAR, _STEPS, _MORE_STEPS = 0.02, 3, 10
_RIGHT = 1e-12
# Determinant of the matrix of unit norm below which the singular values differ so much that an SVD is the better way;
# a rotation has 0.19, a reflection less than 0.
_FLAT = 1e-3
# Squares of such entries do not overflow; squares of such norms, and their products of three, do not vanish.
_HUGE, _PLAIN = 1e100, (1e-20, 1e20)


def nearest_rotations(matrices: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return the nearest rotations (M, 3, 3) of finite matrices (M, 3, 3), and (M,) where they were found.

    Newton's iteration for the polar decomposition, ``X <- (X + X^-T) / 2`` (N. Higham, SIAM J. Sci. Stat. Comput. 7(4),
    1986), with the cofactors for the inverse. For a positive determinant the orthogonal factor is the nearest rotation.
    Flat and mirrored matrices are left to the caller.
    """
    nearest, found = np.empty(matrices.shape), np.empty(len(matrices), bool)
    for start in range(0, len(matrices), _BLOCK):
        part = slice(start, start + _BLOCK)
        entries = np.array(matrices[part].reshape(-1, 9).T, order="C")
        found[part] = to_nearest_rotations(entries)
        nearest[part] = entries.T.reshape(-1, 3, 3)
    return nearest, found


def to_nearest_rotations(x: Array) -> NDArray[np.bool_]:
    """Make matrices (9, M), row by row and in place, the nearest rotations; return (M,) where they were found.

    Elsewhere, where a matrix is flat, mirrored or not finite, the entries are of no use.
    """
    if x.size and not max(x.max(), -x.min()) < _HUGE:
        _scale(x, np.abs(x).max(axis=0) < _HUGE)
    norm = _square_sum(x)
    plain = (norm > _PLAIN[0]) & (norm < _PLAIN[1])
    if not plain.all():
        _scale(x, plain)
        norm = _square_sum(x)
    cofactors = np.empty(x.shape)
    determinant = _cofactors(x, cofactors)
    usable = determinant > _FLAT * norm * np.sqrt(norm)
    if not usable.all():
        x[:, ~usable] = np.eye(3).reshape(9, 1)
        determinant = _cofactors(x, cofactors)
    # With determinant 1 the singular values lie around 1, where the iteration is fast; any factor near its cube root
    # does, and this one is very near for determinants around 1.
    size = (1 + 2 * determinant) / (2 + determinant)
    unusual = np.flatnonzero((determinant < 0.1) | (determinant > 10))
    size[unusual] = np.cbrt(determinant[unusual])
    x *= 0.5 / size
    cofactors *= 0.5 * size / determinant
    x += cofactors
    # No singular value is below 1 now, so the sum of their squares tells how far they are from it.
    far = np.flatnonzero(0.5 * (_square_sum(x) - 3) > _NEAR)
    rest = x[:, far]
    _newton(x, cofactors, _STEPS)
    if far.size:
        _newton(rest, np.empty(rest.shape), _MORE_STEPS)
        x[:, far] = rest
        usable[far] &= _square_sum(rest) - 3 < _RIGHT
    return usable


def _newton(x: Array, cofactors: Array, steps: int) -> None:
    for _ in range(steps):
        determinant = _cofactors(x, cofactors)
        x *= 0.5
        cofactors *= 0.5 / determinant
        x += cofactors


def _scale(x: Array, plain: NDArray[np.bool_]) -> None:
    """Bring the matrices that are not plain to size 1 in place; to zero, where they are not finite."""
    unlike = x[:, ~plain]
    peak = np.abs(unlike).max(axis=0)
    finite = np.isfinite(peak)
    unlike[:, ~finite] = 0.0
    x[:, ~plain] = unlike / np.where(finite & (peak > 0), peak, 1.0)


def determinants(x: Array) -> Array:
    """Return the determinants (M,) of matrices (9, M)."""
    return _cofactors(x, np.empty(x.shape))


def _square_sum(x: Array) -> Array:
    total = np.square(x[0])
    for entries in x[1:]:
        total += np.square(entries)
    return total


def _cofactors(x: Array, out: Array) -> Array:
    """Write the cofactors (9, M) to ``out`` and return the determinants."""
    a, b, c, d, e, f, g, h, i = x
    other = np.empty(a.shape)
    for k, (p, q, r, s) in enumerate(
        (
            (e, i, f, h), (f, g, d, i), (d, h, e, g),
            (c, h, b, i), (a, i, c, g), (b, g, a, h),
            (b, f, c, e), (c, d, a, f), (a, e, b, d),
        )
    ):  # fmt: skip
        np.multiply(p, q, out=out[k])
        out[k] -= np.multiply(r, s, out=other)
    determinant = a * out[0]
    determinant += np.multiply(b, out[1], out=other)
    determinant += np.multiply(c, out[2], out=other)
    return determinant
