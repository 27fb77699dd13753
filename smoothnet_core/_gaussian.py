"""Gaussian smoothing of many tracks at once, by matrix products.

What ``scipy.ndimage.gaussian_filter1d`` computes, in half the time and without ``scipy.ndimage``, whose import takes as
long as refining a short take.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from smoothnet_core.inference.blas import product

Array = NDArray[np.float64]

# Standard deviations that are looked at to both sides.
_TRUNCATE = 4.0
# Samples in a block: more are more arithmetic for each, fewer are more samples that two blocks look at.
_BLOCK = 64
# Numbers of blocks that are laid out at once, to stay in the cache.
_AT_ONCE = 2**15


def gaussian(tracks: Array, sigma: float) -> Array:
    """Return (..., T) tracks smoothed along their last axis, held beyond their ends.

    Args:
        tracks: (..., T), T >= 1.
        sigma: standard deviation in samples.
    """
    reach = int(_TRUNCATE * sigma + 0.5)
    frames = tracks.shape[-1]
    if not reach or not tracks.size:
        return tracks.copy()
    block = max(_BLOCK, 2 * reach)
    taps = _taps(sigma, reach, block)
    blocks = -(-frames // block)
    held = np.empty((tracks.size // frames, blocks * block + 2 * reach))
    own = tracks.reshape(len(held), frames)
    held[:, reach : reach + frames] = own
    held[:, :reach] = own[:, :1]
    held[:, reach + frames :] = own[:, -1:]
    row, step = held.strides
    windows = as_strided(held, (len(held), blocks, len(taps)), (row, block * step, step), writeable=False)
    smooth = np.empty((len(held), blocks, block))
    together = max(1, _AT_ONCE // len(taps))
    for track, target in zip(windows, smooth, strict=True):
        for first in range(0, blocks, together):
            part = slice(first, first + together)
            product(np.ascontiguousarray(track[part]), taps, out=target[part])
    return smooth.reshape(len(held), -1)[:, :frames].reshape(tracks.shape)


@lru_cache(maxsize=16)
def _taps(sigma: float, reach: int, block: int) -> Array:
    """Return (block + 2 reach, block): what the samples around a block give to each of it."""
    weights = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / sigma))
    result = np.zeros((block + 2 * reach, block))
    for sample in range(block):
        result[sample : sample + len(weights), sample] = weights / weights.sum()
    return result
