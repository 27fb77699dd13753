"""The forward pass of our own network without torch; see :mod:`smoothnet_core.models.vector_filter` for what it is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.inference.blas import linear

Array = NDArray[np.float32]

# As in the torch module, whose constants this one cannot import without torch.
FLOOR = 1e-2
# Windows whose hidden activations are held at once.
_BLOCK = 8192


def forward(tensors: Mapping[str, Array], windows: Array, quality: Array) -> Array:
    """Refine windows.

    Args:
        tensors: by the torch module's names.
        windows: (N, W, D) float32.
        quality: (N, W, 2) float32: confidence in [0, 1], and 1 where the frame was observed.

    Returns:
        (N, W, D) float32.
    """
    blocks = range(0, len(windows), _BLOCK)
    return np.concatenate([_block(tensors, windows[i : i + _BLOCK], quality[i : i + _BLOCK]) for i in blocks])


def _block(tensors: Mapping[str, Array], windows: Array, quality: Array) -> Array:
    count, window, size = windows.shape
    centred = windows - windows.mean(axis=1, keepdims=True)
    energy = np.square(centred).sum(axis=2).mean(axis=1)[:, None]
    spread = np.sqrt(np.where(energy > 0, energy, 1))
    # All vectors' components as rows (N * D, W), so that each linear map over time is one matrix product.
    rows = np.ascontiguousarray(centred.transpose(0, 2, 1)).reshape(-1, window)
    probed = linear(rows, tensors["probe"]).reshape(count, size, -1)
    lengths = np.sqrt(np.square(probed).sum(axis=1) + 1e-12 * np.square(spread)) / spread
    features = np.concatenate([np.log(lengths + FLOOR), quality.reshape(count, -1)], axis=1)
    hidden = np.maximum(linear(features, tensors["layer1.weight"]) + tensors["layer1.bias"], 0)
    hidden = np.maximum(linear(hidden, tensors["layer2.weight"]) + tensors["layer2.bias"], 0)
    gains = linear(hidden, tensors["gain.weight"]) + tensors["gain.bias"]
    filtered = linear(rows, tensors["analysis"]).reshape(count, size, -1) * gains[:, None, :]
    change = linear(filtered.reshape(count * size, -1), tensors["synthesis"]).reshape(count, size, window)
    return windows + change.transpose(0, 2, 1)
