"""Matrix products through SciPy's BLAS: the NumPy inside Blender has none, SciPy always brings its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs


def product(
    first: NDArray[Any], second: NDArray[Any], transposed: str = "", out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Return ``first @ second`` of C-ordered matrices of one dtype; ``transposed`` names one that is taken so.

    Args:
        first: float32 or float64.
        second: of the same dtype.
        transposed: ``first``, ``second`` or neither.
        out: C-ordered, of the same dtype: written to and returned. Fresh memory costs as much as a small product.
    """
    (gemm,) = get_blas_funcs(("gemm",), dtype=first.dtype)
    # BLAS counts columns first: the transposed views of C-ordered arrays are passed without a copy.
    how: dict[str, Any] = {"trans_a": transposed == "second", "trans_b": transposed == "first"}
    if out is not None:
        how |= {"beta": 0.0, "c": out.T, "overwrite_c": True}
    return gemm(1.0, second.T, first.T, **how).T


def linear(rows: NDArray[Any], weight: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Return ``rows @ weight.T`` for rows (M, K) and weight (N, K), both float32 or both float64; (M, N).

    ``out`` as in :func:`product`.
    """
    if not rows.size:
        return np.zeros((len(rows), len(weight)), rows.dtype)
    return product(rows, weight, "second", out)


def row_means(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the means (M,) of C-ordered rows (M, K), float32 or float64."""
    if not rows.size:
        return np.zeros(len(rows), rows.dtype)
    (gemv,) = get_blas_funcs(("gemv",), dtype=rows.dtype)
    size = rows.shape[1]
    return gemv(1.0, rows.T, np.full(size, 1 / size, rows.dtype), trans=1)
