"""Matrix products through SciPy's BLAS: the NumPy inside Blender has none, SciPy always brings its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs


def product(first: NDArray[Any], second: NDArray[Any], transposed: str = "") -> NDArray[Any]:
    """Return ``first @ second`` of C-ordered matrices of one dtype; ``transposed`` names one that is taken so.

    Args:
        first: float32 or float64.
        second: of the same dtype.
        transposed: ``first``, ``second`` or neither.
    """
    (gemm,) = get_blas_funcs(("gemm",), dtype=first.dtype)
    # BLAS counts columns first: the transposed views of C-ordered arrays are passed without a copy.
    return gemm(1.0, second.T, first.T, trans_a=transposed == "second", trans_b=transposed == "first").T


def linear(rows: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    """Return ``rows @ weight.T`` for rows (M, K) and weight (N, K), both float32 or both float64; (M, N)."""
    if not rows.size:
        return np.zeros((len(rows), len(weight)), rows.dtype)
    return product(rows, weight, transposed="second")
