"""Vectors over time at another frame rate, each piece without a gap for itself; see ``smpl_tools.resampling``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.signal import butter, sosfiltfilt

from smpl_tools.frame_rates import NewFrames
from smpl_tools.rotations import continuous_quat_wxyz, matrix_to_quat_wxyz, quat_wxyz_to_matrix

Array = NDArray[np.float64]

# Forwards and backwards an order of 8 leaves 1 / (1 + x^16) at x times its corner: 2 % at 1.275 times.
_ORDER = 8
_CORNER = 1 / (1 / 0.02 - 1) ** (1 / (2 * _ORDER))
# The low-pass has died away after this many new frames.
_MEMORY = 40
# Vectors worked on at once, which bounds memory.
_BLOCK = 2**17


def resampled(vectors: Array, seen: NDArray[np.bool_], new: NewFrames, *, rotation: bool) -> Array:
    """Return (M, N, D) vectors at new frames, from vectors (T, N, D) and where they were observed (T, N)."""
    result = np.full((len(new.frames), *vectors.shape[1:]), np.nan)
    smooth = _low_pass(new.ratio)
    for length, rows, ticks, columns in _pieces(seen, new):
        own = slice(ticks[0], ticks[0] + np.searchsorted(new.position[ticks[0] :], rows[0] + length - 1, "right"))
        share, old_rows = new.share[own], new.rows[own] - rows[0]
        on_row = share == 0
        step = max(1, _BLOCK // (length + 2 * _memory(new.ratio)))
        for first in range(0, len(columns), step):
            part = slice(first, first + step)
            piece = vectors[rows[part] + np.arange(length)[:, None], columns[part]]
            curve = continuous_quat_wxyz(matrix_to_quat_wxyz(_matrices(piece))) if rotation else piece
            # Seen from its first value a track that stands still is 0, and stays as it is to the bit.
            start = curve[:1]
            curve = smooth(curve - start)
            if on_row.all():
                between = curve[old_rows] + start
            else:
                spline = make_interp_spline(np.arange(length), curve, k=min(3, length - 1), axis=0)
                between = spline(old_rows + share) + start
            if rotation:
                between = quat_wxyz_to_matrix(between).reshape(len(between), -1, 9)
            if new.ratio <= 1:
                between[on_row] = piece[old_rows[on_row]]
            result[ticks[part] + np.arange(len(share))[:, None], columns[part]] = between
    return result


def _low_pass(ratio: Fraction) -> Callable[[Array], Array]:
    """Return the low-pass for going from one rate to another that is ``ratio`` times slower."""
    if ratio <= 1:
        return lambda curve: curve
    # The corner in the warped frequency of the bilinear transform, in which the filter has its shape exactly; near the
    # old rate nearly everything passes.
    corner = 2 / math.pi * math.atan(_CORNER * math.tan(math.pi / 2 / float(ratio)))
    sections = butter(_ORDER, corner, output="sos")
    pad = _memory(ratio)

    def smooth(curve: Array) -> Array:
        last = len(curve) - 1
        if last < 1:
            return curve
        # From the straight line between its ends, which passes unchanged, a curve goes on by point reflection about
        # each end as an odd and periodic one does; so a short one goes on for long enough too.
        line = np.linspace(curve[0], curve[-1], last + 1)
        times, at = np.divmod(np.arange(-pad, len(curve) + pad), last)
        turned = times % 2 == 1
        sign = np.where(turned, -1.0, 1.0).reshape(-1, *[1] * (curve.ndim - 1))
        longer = sign * (curve - line)[np.where(turned, last - at, at)]
        return line + sosfiltfilt(sections, longer, axis=0, padlen=0)[pad:-pad]

    return smooth


def _memory(ratio: Fraction) -> int:
    """Return the old frames after which the low-pass has died away."""
    return math.ceil(_MEMORY * ratio) if ratio > 1 else 0


def _pieces(
    seen: NDArray[np.bool_], new: NewFrames
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Yield pieces observed without a gap, those together whose new frames lie alike between their old ones.

    Yields:
        Their length in rows, and of each its first row, its first new frame's index and its column.
    """
    joined = np.zeros_like(seen)
    joined[:-1] = seen[1:] & seen[:-1] & new.followed[:-1, None]
    begun = np.zeros_like(seen)
    begun[1:] = joined[:-1]
    columns, starts = np.nonzero((seen & ~begun).T)
    lengths = np.nonzero((seen & ~joined).T)[1] + 1 - starts
    ticks = np.searchsorted(new.position, starts)
    used = ticks < np.searchsorted(new.position, starts + lengths - 1, side="right")
    columns, starts, lengths, ticks = columns[used], starts[used], lengths[used], ticks[used]
    groups: dict[tuple[int, int, float], list[int]] = {}
    # Within a piece the new frames follow each other evenly: the first tells where all of them are.
    alike = zip(lengths.tolist(), (new.rows[ticks] - starts).tolist(), new.share[ticks].tolist(), strict=True)
    for piece, key in enumerate(alike):
        groups.setdefault(key, []).append(piece)
    for (length, _, _), members in groups.items():
        yield length, starts[members], ticks[members], columns[members]


def _matrices(vectors: Array) -> Array:
    return vectors.reshape(*vectors.shape[:2], 3, 3)
