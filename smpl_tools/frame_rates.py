"""Frame rates and frame numbers: what a rate's short spelling stands for, and where another rate's frames fall.

All of it is exact: positions on the old clock are fractions of whole numbers, so that no take is long enough for
rounding to move a frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.limits import check_limit
from smoothnet_core.tracks import FASTEST_FPS, number

# Rates of colour television and of what has to fit it: 1000/1001 of a whole number (SMPTE ST 12-1 for 24 to 60).
_NTSC = tuple(Fraction(whole * 1000, 1001) for whole in (24, 30, 48, 60, 120, 240))
# Rates in common use, frames a second.
COMMON_RATES: tuple[float, ...] = tuple(
    sorted([*map(float, _NTSC), 24.0, 25.0, 30.0, 48.0, 50.0, 60.0, 90.0, 100.0, 120.0, 240.0])
)
# Rates are stated with a few digits. The simplest ratio within this of the stated one, in frames at the take's end, is
# what was meant: 100 to 33.333333 is every third frame.
_ROUNDING_FRAMES = 1e-3
_SIMPLE = 10_000
_LARGEST_PRODUCT = 2**62


@dataclass(frozen=True, eq=False)
class NewFrames:
    """Where the M frames of a new rate fall between the rows of an old one.

    Attributes:
        frames: (M,) int64 the new frame numbers, strictly increasing.
        rows: (M,) int64 the old row at or before each.
        share: (M,) float64 in [0, 1) how far on the way to the row after it; 0 where it falls on the row.
        followed: (T,) whether the frame after a row's is the next row's.
        ratio: old frames that pass in a new one.
    """

    frames: NDArray[np.int64]
    rows: NDArray[np.int64]
    share: NDArray[np.float64]
    followed: NDArray[np.bool_]
    ratio: Fraction

    @property
    def position(self) -> NDArray[np.float64]:
        """(M,) place on the old clock, in rows."""
        return self.rows + self.share


def nominal_rate(fps: float) -> Fraction | float:
    """Return the exact rate that a rounded one stands for: 29.97 is 30000/1001; others are returned as they are.

    Known are 1000/1001 of 24, 30, 48, 60, 120 and 240, written with two digits after the point (23.98) or more.

    Raises:
        ValueError: not a positive number, or more than ``smoothnet_core.tracks.FASTEST_FPS``.
    """
    rate = checked_rate("fps", fps)
    for exact in _NTSC:
        for digits in range(2, 13):
            if abs(rate - round(float(exact), digits)) <= 1e-9:
                return exact
    return rate


def checked_rate(what: str, fps: Any) -> float:
    """Return ``fps`` as a float, or raise the ``ValueError`` that says that ``what`` is no frame rate."""
    expected = f"a positive number of frames a second, at most {FASTEST_FPS}"
    rate = number(what, expected, fps)
    if not (math.isfinite(rate) and 0 < rate <= FASTEST_FPS):
        raise mismatch(what, expected, fps)
    return rate


def rate_ratio(fps_in: float, fps_out: float, frames: int) -> Fraction:
    """Return the old frames that pass in a new one, ``fps_in / fps_out``, exactly.

    Args:
        fps_in: the old rate; 29.97 and its like stand for the exact rate (see :func:`nominal_rate`).
        fps_out: the new rate, likewise.
        frames: length of the take in old frames. A simple ratio that comes to the same within a thousandth of a frame
            over that length is taken instead.

    Raises:
        ValueError: a rate is not a positive number, or the take is too long for whole numbers of 64 bits.
    """
    exact = _fraction("fps_in", fps_in) / _fraction("fps_out", fps_out)
    simple = exact.limit_denominator(_SIMPLE)
    new_frames = max(1, math.ceil(frames / exact))
    if simple and abs(simple - exact) * new_frames < _ROUNDING_FRAMES:
        exact = simple
    ratio = exact.limit_denominator(max(1, _LARGEST_PRODUCT // (frames + 2)))
    if not ratio or frames * max(1 / ratio, 1) >= _LARGEST_PRODUCT:
        raise mismatch("length of the take", "fewer frames, or rates that differ less", f"{frames} frames")
    return ratio


def resample_times(frames: int, fps_in: float, fps_out: float) -> NDArray[np.float64]:
    """Return when the frames of a new rate are: ``k / fps_out`` seconds, from the first old frame to the last.

    Args:
        frames: how many frames there are at ``fps_in``.
        fps_in: the old rate; 29.97 and its like stand for the exact rate (see :func:`nominal_rate`).
        fps_out: the new rate, likewise.

    Returns:
        (M,) seconds since the first frame. The last is at the old end or before it by less than a new frame.

    Raises:
        ValueError: ``frames`` is negative, or a rate is not a positive number.
    """
    if frames < 0:
        raise mismatch("frames", "0 or more", frames)
    count = len(resample_frames(np.arange(frames), fps_in, fps_out).frames)
    return np.arange(count) / float(_fraction("fps_out", fps_out))


def resample_frames(frames: ArrayLike, fps_in: float, fps_out: float, *, origin: int | None = None) -> NewFrames:
    """Return the new frame numbers of somebody seen in some frames, and the rows they lie between.

    Frame ``origin`` keeps its number and its time; all other numbers count from there at the new rate. A new frame is
    there where both old frames around it are, or where it falls on one. So nothing is made up within a gap, and a rate
    and back again gives every number that both rates have its old place.

    Args:
        frames: (T,) whole numbers, strictly increasing: the frame number of every row at ``fps_in``.
        fps_in: the old rate; 29.97 and its like stand for the exact rate (see :func:`nominal_rate`).
        fps_out: the new rate, likewise.
        origin: the frame number both clocks share; None: the first of ``frames``. People of one motion share one.

    Raises:
        ValueError: the numbers are not as above, or a rate is not a positive number.
    """
    old = np.asarray(frames)
    if old.ndim != 1 or (old.size and old.dtype.kind not in "iu"):
        raise mismatch("frames", "whole numbers (T,)", f"shape {old.shape}, dtype {old.dtype}")
    old = old.astype(np.int64)
    if len(old) > 1 and np.diff(old).min() < 1:
        raise mismatch("frames", "strictly increasing numbers", "a repeated or falling number")
    start = int(origin if origin is not None else old[0] if len(old) else 0)
    since = old - start
    ratio = rate_ratio(fps_in, fps_out, int(np.abs(since).max()) if len(old) else 0)
    up, down = ratio.numerator, ratio.denominator
    check_limit(f"frames at {fps_out:g} frames a second", "frames", len(old) * down // up)
    if len(old) and int(np.abs(since).max() + 1) * max(up, down) >= 2**62:
        raise mismatch("frame numbers to change the rate of", "smaller ones, or rates of shorter numbers", old[-1])
    # New frame k is at k * up / down old frames. Each row has those from itself to the next frame.
    first = -(-since * down // up)
    stop = -(-(since + 1) * down // up)
    followed = np.append(np.diff(old) == 1, False)[: len(old)]
    on_row = first * up == since * down
    count = np.where(followed, stop - first, on_row)
    rows = np.repeat(np.arange(len(old)), count)
    ticks = np.repeat(first - (np.cumsum(count) - count), count) + np.arange(len(rows))
    return NewFrames(start + ticks, rows, (ticks * up - since[rows] * down) / down, followed, ratio)


def _fraction(what: str, fps: float) -> Fraction:
    exact = nominal_rate(checked_rate(what, fps))
    # A float's shortest decimal is what somebody wrote.
    return exact if isinstance(exact, Fraction) else Fraction(repr(exact))
