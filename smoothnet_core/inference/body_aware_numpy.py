"""The body-aware network without torch; see :mod:`smoothnet_core.models.body_aware` for what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from smoothnet_core.inference.blas import linear

Array = NDArray[np.floating]

# Positions come in, and corrections go out, in sizes of the body (about half a metre) times these, which brings both to
# the order of 1.
POSITION_SCALE, CORRECTION_SCALE = 1.5, 0.2
LEAK = 0.1
# Standard deviation in frames of the Gaussian that corrections are smoothed by, and how far its weights reach.
CORRECTION_SIGMA, CORRECTION_RADIUS = 1.5, 6
# Windows whose hidden activations are held at once.
_BLOCK = 128


def forward(tensors: Mapping[str, Array], root: Sequence[int], windows: Array, quality: Array) -> Array:
    """Refine windows.

    Args:
        tensors: by the torch module's names.
        root: indices of the joints whose mean is the root.
        windows: (N, W, 3 J) smoothed positions, x, y, z of one joint after the other; of the dtype of the tensors.
        quality: (N, W, 2 J) likewise: confidence in [0, 1], and 1 where the frame was observed.

    Returns:
        (N, W, 3 J).
    """
    blocks = range(0, len(windows), _BLOCK)
    return np.concatenate([_block(tensors, root, windows[i : i + _BLOCK], quality[i : i + _BLOCK]) for i in blocks])


def _block(tensors: Mapping[str, Array], root: Sequence[int], windows: Array, quality: Array) -> Array:
    count, frames = windows.shape[:2]
    joints = windows.reshape(count, frames, -1, 3)
    body = joints - joints[:, :, list(root)].mean(axis=2, keepdims=True)
    size = np.sqrt(np.square(body).sum(axis=3)).mean(axis=(1, 2))[:, None, None]
    scaled = body.reshape(windows.shape) * (POSITION_SCALE / np.where(size > 0, size, 1)).astype(windows.dtype)
    hidden = _leaky(_convolved(tensors, "encoder", np.concatenate([scaled, quality], axis=2), 1))
    for i in range(sum(name.endswith(".narrow.bias") for name in tensors)):
        wide = _leaky(_convolved(tensors, f"blocks.{i}.wide", hidden, 2**i))
        hidden += _convolved(tensors, f"blocks.{i}.narrow", wide, 1)
    correction = _convolved(tensors, "decoder", hidden, 1) * (CORRECTION_SCALE * size).astype(windows.dtype)
    truncate = CORRECTION_RADIUS / CORRECTION_SIGMA
    return windows + gaussian_filter1d(correction, CORRECTION_SIGMA, axis=1, mode="nearest", truncate=truncate)


def _convolved(tensors: Mapping[str, Array], layer: str, x: Array, dilation: int) -> Array:
    """Return the convolution (N, W, H) over time of (N, W, C); beyond the ends the first and last frame are held."""
    weight = tensors[f"{layer}.weight"]
    frames, reach = x.shape[1], dilation * (weight.shape[2] // 2)
    held = np.pad(x, ((0, 0), (reach, reach), (0, 0)), mode="edge")
    taps = np.concatenate([held[:, i * dilation :][:, :frames] for i in range(weight.shape[2])], axis=2)
    # The taps of one channel after the other in the weights, the channels of one tap after the other in the rows.
    rows = weight.transpose(0, 2, 1).reshape(len(weight), -1)
    product = linear(taps.reshape(-1, taps.shape[2]), np.ascontiguousarray(rows))
    return product.reshape(*x.shape[:2], -1) + tensors[f"{layer}.bias"]


def _leaky(x: Array) -> Array:
    # For slopes below 1, the larger of x and slope * x.
    return np.maximum(x, x * x.dtype.type(LEAK), out=x)
