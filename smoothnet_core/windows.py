"""Sliding windows over a track, and one track again from the refined windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch, one_of

BLENDS = ("uniform", "taper")
# Windows of about this many floats are refined at once: large enough for BLAS, small enough for any machine.
_BLOCK_FLOATS = 4_000_000

Windows = NDArray[Any]


def window_starts(frames: int, window: int, hop: int) -> NDArray[np.int64]:
    """Return the first frames of windows ``hop`` apart; one more is aligned with the end where they miss it."""
    starts = np.arange(0, frames - window + 1, hop)
    return starts if starts[-1] == frames - window else np.append(starts, frames - window)


def blend_weights(blend: str, window: int) -> NDArray[np.float64]:
    """Return the (window,) weight of every frame of a window when overlapping windows are averaged.

    ``uniform`` is the published plain mean; ``taper`` a squared sine, which fades a window out where it knows only
    one side of the motion, and never reaches zero.
    """
    one_of("blend", blend, BLENDS)
    if blend == "uniform":
        return np.ones(window)
    return np.sin(np.pi * (np.arange(window) + 0.5) / window) ** 2


def end_weights(weights: NDArray[Any]) -> NDArray[Any]:
    """Return the (window,) weights of the window that is aligned with the end, where those in step miss it.

    Where windows fade in, its first frame is left to those in step: a stream has given that frame away when it learns
    that the take ends. A plain mean stays that of all windows, as published.
    """
    return np.r_[weights.dtype.type(0), weights[1:]] if weights[0] < weights.max() else weights


def overlap_weights(blend: str, window: int, hop: int) -> NDArray[np.float64]:
    """Return :func:`blend_weights` (window,), scaled so that those of windows ``hop`` frames apart add up to 1.

    Where hops do not fit into the window, they do so on average.
    """
    if not 1 <= hop <= window:
        raise mismatch("hop", f"a whole number of frames from 1 to the window, {window}", hop)
    weights = blend_weights(blend, window)
    return weights * (hop / weights.sum())


def lengthened(values: Windows, quality: Windows, window: int) -> tuple[Windows, Windows, int]:
    """Continue a track shorter than one window beyond its ends by point reflection, and its quality by reflection.

    Args:
        values: (T, N, D), T >= 1.
        quality: (T, N, Q).
        window: frames that there are to be at least.

    Returns:
        values, quality, and the index of the track's first frame in them.
    """
    missing = max(0, window - len(values))
    if not missing:
        return values, quality, 0
    before = missing // 2
    ends = ((before, missing - before), (0, 0), (0, 0))
    return np.pad(values, ends, mode="reflect", reflect_type="odd"), np.pad(quality, ends, mode="reflect"), before


def refine_windows(
    values: Windows,
    quality: Windows,
    run: Callable[[Windows, Windows], Windows],
    *,
    window: int,
    hop: int,
    blend: str,
) -> NDArray[np.float64]:
    """Refine every window of a track and blend the overlaps.

    Args:
        values: (N, T, D) N vectors of D numbers over T frames.
        quality: (N, T, Q) confidence and whether the frame was observed, Q = 2; where a vector holds a whole body, of
            each of its joints.
        run: maps windows (M, window, D), of the dtype of ``values``, and their quality (M, window, Q) to refined
            windows (M, window, D).
        window: frames a window.
        hop: frames between the starts of windows, 1 to ``window``.
        blend: ``uniform`` or ``taper``.

    Returns:
        (N, T, D). A track shorter than one window is continued beyond its ends by point reflection, not by zeros.
    """
    if not 1 <= hop <= window:
        raise mismatch("hop", f"a whole number of frames from 1 to the window, {window}", hop)
    count, frames, size = values.shape
    weights = blend_weights(blend, window)
    late = end_weights(weights)
    if frames < window:
        late, sure, own = lengthened(values.transpose(1, 0, 2), quality.transpose(1, 0, 2), window)
        values, quality = late.transpose(1, 0, 2), sure.transpose(1, 0, 2)
        whole = refine_windows(values, quality, run, window=window, hop=hop, blend=blend)
        return whole[:, own : own + frames]

    starts = window_starts(frames, window, hop)
    total = np.zeros((count, frames, size))
    norm = np.zeros(frames)
    views = np.moveaxis(np.lib.stride_tricks.sliding_window_view(values, window, axis=1), -1, 2)
    qualities = np.moveaxis(np.lib.stride_tricks.sliding_window_view(quality, window, axis=1), -1, 2)
    block = max(1, _BLOCK_FLOATS // max(1, count * window * (size + quality.shape[2])))
    for piece in np.split(starts, np.arange(block, len(starts), block)):
        windows = np.ascontiguousarray(views[:, piece]).reshape(-1, window, size)
        refined = run(windows, np.ascontiguousarray(qualities[:, piece]).reshape(-1, window, quality.shape[2]))
        refined = refined.reshape(count, len(piece), window, size)
        for offset in range(window):
            # The starts of one piece are distinct, so no frame is added to twice in one statement.
            own = np.where(piece % hop, late[offset], weights[offset])
            total[:, piece + offset] += own[:, None] * refined[:, :, offset]
            norm[piece + offset] += own
    return total / norm[:, None]
