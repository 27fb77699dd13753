"""The published network's forward pass without torch; see :mod:`smoothnet_core.models.published` for what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.checkpoints import published_sizes
from smoothnet_core.inference.blas import linear

# Windows whose hidden activations are held at once: 8 MiB of float32 at H = 512.
_BLOCK = 4096


def forward(tensors: Mapping[str, NDArray[np.floating]], windows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Refine windows of single channels.

    Args:
        tensors: by their published names.
        windows: (N, T) float32 or float64, T the network's window.

    Returns:
        (N, T) in the precision of ``windows``, in its unit.

    Raises:
        ValueError: the shape or type of ``windows``, or the tensors, are not as above.
    """
    sizes = published_sizes(tensors)
    if windows.ndim != 2 or windows.shape[1] != sizes["window"]:
        raise mismatch("windows", f"(N, {sizes['window']})", windows.shape)
    if windows.dtype not in (np.float32, np.float64):
        raise mismatch("type of the windows", "float32 or float64", windows.dtype)
    weights = {name: np.ascontiguousarray(value, windows.dtype) for name, value in tensors.items()}
    out = np.empty(windows.shape, windows.dtype)
    for start in range(0, len(windows), _BLOCK):
        block = np.ascontiguousarray(windows[start : start + _BLOCK])
        hidden = _leaky(_affine(weights, "encoder.0", block), 0.1)
        for i in range(sizes["blocks"]):
            narrow = _leaky(_affine(weights, f"res_blocks.{i}.linear1", hidden), 0.2)
            hidden += _leaky(_affine(weights, f"res_blocks.{i}.linear2", narrow), 0.2)
        out[start : start + _BLOCK] = _affine(weights, "decoder", hidden)
    return out


def _affine(weights: Mapping[str, NDArray[Any]], layer: str, rows: NDArray[Any]) -> NDArray[Any]:
    product = linear(rows, weights[f"{layer}.weight"])
    product += weights[f"{layer}.bias"]
    return product


def _leaky(x: NDArray[Any], slope: float) -> NDArray[Any]:
    # For slopes below 1, the larger of x and slope * x.
    return np.maximum(x, x * x.dtype.type(slope), out=x)
