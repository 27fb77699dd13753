"""The body-aware network without torch; see :mod:`smoothnet_core.models.body_aware` for what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.inference.convolution import convolved
from smoothnet_core.inference.threads import each
from smoothnet_core.joint_sets import mirrored

Array = NDArray[np.floating]

# Positions come in, and corrections go out, in sizes of the body (about half a metre) times these, which brings both to
# the order of 1.
POSITION_SCALE, CORRECTION_SCALE = 1.5, 0.2
LEAK = 0.1
# Roughness comes in in sizes of the body times this, at most so much.
ROUGHNESS_SCALE, ROUGHEST = 4.0, 2.0
# Numbers of the quality of a joint in a frame.
QUALITIES = 3
# Standard deviation in frames of the Gaussian that corrections are smoothed by, and how far its weights reach.
CORRECTION_SIGMA, CORRECTION_RADIUS = 1.5, 6
# Windows that one thread refines at once.
_BLOCK = 16


def forward(
    tensors: Mapping[str, Array], root: Sequence[int], swap: Sequence[int], windows: Array, quality: Array
) -> Array:
    """Refine windows.

    Args:
        tensors: by the torch module's names.
        root: indices of the joints whose mean is the root.
        swap: index of each joint's counterpart on the other side.
        windows: (N, W, 3 J) positions, x, y, z of one joint after the other; of the dtype of the tensors.
        quality: (N, W, 3 J) likewise: confidence in [0, 1], 1 where the frame was observed, and roughness, the
            distance that joints were refined by before, in the unit of the positions.

    Returns:
        (N, W, 3 J).
    """
    result = windows.copy()

    def refine(rows: slice) -> None:
        correction = _correction(tensors, root, windows[rows], quality[rows])
        joints = quality[rows].reshape(*quality[rows].shape[:2], -1, QUALITIES)
        sides = joints[:, :, list(swap)].reshape(quality[rows].shape)
        image = _correction(tensors, root, _mirrored(windows[rows], swap), sides)
        result[rows] += (correction + _mirrored(image, swap)) / 2

    each(refine, [slice(start, start + _BLOCK) for start in range(0, len(windows), _BLOCK)])
    return result


def _mirrored(positions: Array, swap: Sequence[int]) -> Array:
    """Return positions or corrections (N, W, 3 J) as a mirror shows them."""
    return mirrored(positions.reshape(*positions.shape[:2], -1, 3), swap).reshape(positions.shape)


def _correction(tensors: Mapping[str, Array], root: Sequence[int], windows: Array, quality: Array) -> Array:
    count, frames = windows.shape[:2]
    joints = windows.reshape(count, frames, -1, 3)
    body = joints - joints[:, :, list(root)].mean(axis=2, keepdims=True)
    size = np.sqrt(np.square(body).sum(axis=3)).mean(axis=(1, 2))[:, None, None]
    scaled = body.reshape(windows.shape) * (POSITION_SCALE / np.where(size > 0, size, 1)).astype(windows.dtype)
    trust = quality.reshape(count, frames, -1, QUALITIES).copy()
    relative = trust[..., 2] * (ROUGHNESS_SCALE / np.where(size > 0, size, 1)).astype(windows.dtype)
    trust[..., 2] = np.minimum(relative, ROUGHEST)
    given = np.concatenate([scaled, trust.reshape(quality.shape)], axis=2)
    hidden = _leaky(convolved(tensors, "encoder", given, 1))
    for i in range(sum(name.endswith(".narrow.bias") for name in tensors)):
        wide = _leaky(convolved(tensors, f"blocks.{i}.wide", hidden, 2**i))
        hidden += convolved(tensors, f"blocks.{i}.narrow", wide, 1)
    correction = convolved(tensors, "decoder", hidden, 1) * (CORRECTION_SCALE * size).astype(windows.dtype)
    truncate = CORRECTION_RADIUS / CORRECTION_SIGMA
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(correction, CORRECTION_SIGMA, axis=1, mode="nearest", truncate=truncate)


def _leaky(x: Array) -> Array:
    # For slopes below 1, the larger of x and slope * x.
    return np.maximum(x, x * x.dtype.type(LEAK), out=x)
