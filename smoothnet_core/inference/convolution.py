"""Convolutions over time as matrix products, for the networks that run without torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.inference.blas import linear

Array = NDArray[np.floating]


def convolved(tensors: Mapping[str, Array], layer: str, x: Array, dilation: int) -> Array:
    """Return the convolution (N, W, H) over time of (N, W, C); beyond the ends the first and last frame are held."""
    weight = tensors[f"{layer}.weight"]
    frames, reach = x.shape[1], dilation * (weight.shape[2] // 2)
    held = np.pad(x, ((0, 0), (reach, reach), (0, 0)), mode="edge")
    taps = np.concatenate([held[:, i * dilation :][:, :frames] for i in range(weight.shape[2])], axis=2)
    # The taps of one channel after the other in the weights, the channels of one tap after the other in the rows.
    rows = weight.transpose(0, 2, 1).reshape(len(weight), -1)
    product = linear(taps.reshape(-1, taps.shape[2]), np.ascontiguousarray(rows))
    return product.reshape(*x.shape[:2], -1) + tensors[f"{layer}.bias"]
