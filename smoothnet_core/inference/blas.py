"""Matrix products through SciPy's BLAS: the NumPy inside Blender has none, SciPy always brings its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs


def linear(rows: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    """Return ``rows @ weight.T`` for rows (M, K) and weight (N, K), both float32 or both float64; (M, N)."""
    if not rows.size:
        return np.zeros((len(rows), len(weight)), rows.dtype)
    (product,) = get_blas_funcs(("gemm",), dtype=rows.dtype)
    # BLAS counts columns first: the transposed views of C-ordered arrays are passed without a copy.
    return product(1.0, weight.T, rows.T, trans_a=True).T
