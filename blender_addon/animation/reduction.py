"""Fewer keys: the keys that a curve needs so that nowhere it leaves its old keys by more than a tolerance.

Between two kept keys the curve is the cubic with the values and slopes of both. Blender draws the same one between keys
of BEZIER interpolation whose handles end a third of the way to their neighbours, since then time runs evenly along
the curve (:attr:`Reduced.left`, :attr:`Reduced.right`). The slope at a key is the same on both sides, so the handles
are ALIGNED ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch

from .rotation_modes import channel_count, to_quat_wxyz

Array = NDArray[np.float64]
Places = NDArray[np.int64]
Flags = NDArray[np.bool_]

# Keys worked on at once: tens of megabytes.
_BLOCK = 200_000
# Keys of a stretch that is worked on in one go; the keys where it is cut go if they can.
_STRETCH = 256


@dataclass(frozen=True, eq=False)
class Reduced:
    """The keys kept of curves that belong together, all at the same times.

    Attributes:
        places: (K,) places among the old keys, rising, first and last included.
        times: (K,) frames.
        values: (K, n) of the n curves, as they were.
        slopes: (K, n) per frame.
    """

    places: Places
    times: Array
    values: Array
    slopes: Array

    @property
    def left(self) -> Array:
        """Left handles (K, n, 2): frame and value."""
        return self._handles(-1)

    @property
    def right(self) -> Array:
        """Right handles (K, n, 2): frame and value."""
        return self._handles(1)

    def _handles(self, side: int) -> Array:
        thirds = np.diff(self.times) / 3
        if not len(thirds):
            thirds = np.ones(1)
        # The outer handles of the ends are as long as the inner ones.
        reach = side * (np.concatenate([thirds[:1], thirds]) if side < 0 else np.concatenate([thirds, thirds[-1:]]))
        reach = reach[: len(self.times)]
        handles = np.empty((*self.values.shape, 2))
        handles[..., 0] = (self.times + reach)[:, None]
        handles[..., 1] = self.values + reach[:, None] * self.slopes
        return handles

    def evaluate(self, frames: ArrayLike) -> Array:
        """Return the curves (T, n) at frames (T,), held before the first and after the last key."""
        frames = np.clip(np.asarray(frames, np.float64), self.times[0], self.times[-1])
        after = np.clip(np.searchsorted(self.times, frames, side="right"), 1, max(1, len(self.times) - 1))
        after = np.minimum(after, len(self.times) - 1)
        before = np.maximum(after - 1, 0)
        return _cubic(frames, self.times, self.values.T, self.slopes.T, before, after).T


def reduce_rotations(
    times: ArrayLike,
    values: ArrayLike,
    mode: str,
    degrees: float,
    keep: ArrayLike | None = None,
    tick: Callable[[float], None] | None = None,
) -> list[Reduced]:
    """Return the keys to keep of the rotation channels of each of B bones.

    Args:
        times: (K,) frames of the keys, rising.
        values: (K, B, n) continuous channel values in a rotation mode.
        mode: Blender's rotation mode of all these bones.
        degrees: by how much the rotation of a bone may differ from what it was, at each old key.
        keep: (K,) or (K, B) keys that must stay.
        tick: called with the share done.

    Raises:
        ValueError: an unknown mode, other shapes, times that do not rise, values that are not finite, or a tolerance
            that is negative.
    """
    channel_count(mode)
    # |p - q|^2 = 2 - 2 p.q of unit quaternions is (2 sin(angle / 4))^2.
    limit = 4 * math.sin(math.radians(min(degrees, 180.0)) / 4) ** 2

    def prepared(flat: Array) -> Array:
        return to_quat_wxyz(flat.T, mode).T

    def apart(new: Array, old: Array) -> Array:
        return 2 - 2 * np.abs((prepared(new) * old).sum(0))

    return _reduced(times, values, channel_count(mode), degrees, (prepared, apart, limit), keep, tick)


def reduce_values(
    times: ArrayLike,
    values: ArrayLike,
    tolerance: float,
    keep: ArrayLike | None = None,
    tick: Callable[[float], None] | None = None,
) -> list[Reduced]:
    """Return the keys to keep of B groups of n curves (locations, n = 3, or single values, n = 1).

    Args:
        times: (K,) frames of the keys, rising.
        values: (K, B, n).
        tolerance: the largest distance, over the n curves together, from what was there, at each old key.
        keep: (K,) or (K, B) keys that must stay.
        tick: called with the share done.

    Raises:
        ValueError: as :func:`reduce_rotations`.
    """

    def apart(new: Array, old: Array) -> Array:
        gap = new - old
        return (gap * gap).sum(0)

    return _reduced(times, values, None, tolerance, (lambda flat: flat, apart, tolerance * tolerance), keep, tick)


_Measure = tuple[Callable[[Array], Array], Callable[[Array, Array], Array], float]


def _reduced(
    times: ArrayLike,
    values: ArrayLike,
    count: int | None,
    tolerance: float,
    measure: _Measure,
    keep: ArrayLike | None,
    tick: Callable[[float], None] | None,
) -> list[Reduced]:
    times, values = np.asarray(times, np.float64), np.asarray(values, np.float64)
    if times.ndim != 1 or not len(times) or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise mismatch("times of keys", "(K,) rising frames, at least one", f"shape {times.shape}")
    if values.ndim != 3 or len(values) != len(times) or count not in (None, values.shape[2]):
        raise mismatch("shape of values of keys", f"({len(times)}, B, {count or 'n'})", values.shape)
    if not np.isfinite(values).all():
        raise mismatch("values of keys", "finite numbers", "NaN or infinity")
    if not tolerance >= 0:
        raise mismatch("tolerance", "zero or more", tolerance)
    keys, bones = values.shape[:2]
    fixed = np.zeros((keys, bones), bool)
    if keep is not None:
        marks = np.asarray(keep, bool)
        if marks.shape not in ((keys,), (keys, bones)):
            raise mismatch("shape of the keys that stay", f"({keys},) or ({keys}, {bones})", marks.shape)
        fixed |= marks.reshape(keys, -1)
    fixed[[0, -1]] = True
    slopes = _slopes(times, values)
    found: list[Reduced] = []
    step = max(1, _BLOCK // keys)
    for start in range(0, bones, step):
        part = slice(start, start + step)
        kept = _Keys(times, values[:, part], slopes[:, part], measure).fewest(fixed[:, part])
        for place, flags in enumerate(kept.T, start):
            at = np.flatnonzero(flags)
            found.append(Reduced(at, times[at], values[at, place], slopes[at, place]))
        if tick is not None:
            tick(min(1.0, (start + step) / bones))
    return found


def _slopes(times: Array, values: Array) -> Array:
    """Return slopes (K, B, n) at all keys, of the parabola through a key and its two neighbours (at ends, the next)."""
    slopes = np.zeros(values.shape)
    if len(times) < 2:
        return slopes
    span = np.diff(times)[:, None, None]
    chords = np.diff(values, axis=0) / span
    slopes[0], slopes[-1] = chords[0], chords[-1]
    if len(times) > 2:
        slopes[1:-1] = (chords[:-1] * span[1:] + chords[1:] * span[:-1]) / (span[:-1] + span[1:])
        # The chord of a parabola has the mean of the slopes at its ends.
        slopes[0], slopes[-1] = 2 * chords[0] - slopes[1], 2 * chords[-1] - slopes[-2]
    return slopes


def _cubic(frames: Array, times: Array, values: Array, slopes: Array, before: Places, after: Places) -> Array:
    """Return (n, F) at frames (F,) between the keys at two places (F,) of keys (n, K)."""
    span = times[after] - times[before]
    s = (frames - times[before]) / np.where(span > 0, span, 1.0)
    r = 1 - s
    start, end = values[:, before], values[:, after]
    # Bernstein's form, with the handles at a third: at s = 0 and 1 exactly the values.
    third = span / 3
    ahead, behind = start + third * slopes[:, before], end - third * slopes[:, after]
    return r * r * r * start + 3 * r * r * s * ahead + 3 * r * s * s * behind + s * s * s * end


class _Keys:
    """Keys of B groups of curves, one group after the other in flat arrays (n, B K)."""

    def __init__(self, times: Array, values: Array, slopes: Array, measure: _Measure) -> None:
        count = values.shape[2]
        self._shape = values.shape[:2]
        self._times = np.tile(times, values.shape[1])
        self._values = np.ascontiguousarray(values.transpose(2, 1, 0)).reshape(count, -1)
        self._slopes = np.ascontiguousarray(slopes.transpose(2, 1, 0)).reshape(count, -1)
        self._all = np.arange(len(self._times))
        prepare, self._apart, limit = measure
        self._goal = prepare(self._values)
        # What rounding makes of equal curves is no deviation.
        self._limit = limit + 1e-14

    def fewest(self, fixed: Flags) -> Flags:
        """Return the keys (K, B) to keep."""
        must = fixed.T.ravel()
        kept = self._merged(self._reached(must), must)
        return kept.reshape(self._shape[::-1]).T

    def _reached(self, must: Flags) -> Flags:
        """Keep, from each key that must stay on, the farthest key that one piece reaches, and so on from there.

        That gives the fewest keys if pieces of good pieces are good, which is nearly so. All stretches between keys
        that must stay are worked on at once, and long ones are cut. Each step tries one piece of each: first as long a
        one as the last one was, then twice as long, then halfway between good and bad.
        """
        cut = must | (self._all % self._shape[0] % _STRETCH == 0)
        kept = cut.copy()
        border = np.flatnonzero(cut)
        inside = np.diff(border) > 1  # the last key of a bone and the first of the next are neighbours
        start, end = border[:-1][inside], border[1:][inside]
        best, bad = start + 1, end + 1
        trial = np.minimum(start + 2, end)
        while len(start):
            good = self._good(start, trial)
            best, bad = np.where(good, trial, best), np.where(good, bad, trial)
            farther = np.minimum(end, 2 * trial - start)
            trial = np.where(good & (bad > end), farther, (best + bad) // 2)
            found = (best == end) | (bad - best == 1)
            kept[best[found]] = True
            length = best - start
            start = np.where(found, best, start)
            best, bad = np.where(found, start + 1, best), np.where(found, end + 1, bad)
            trial = np.where(found, np.minimum(start + np.maximum(length, 2), end), trial)
            open_ = start + 1 < end
            start, end, best, bad, trial = (array[open_] for array in (start, end, best, bad, trial))
        return kept

    def _good(self, start: Places, end: Places) -> Flags:
        """Return whether pieces (P,) between two keys deviate nowhere too much; each has a key inside."""
        counts = end - start - 1
        first = np.cumsum(counts) - counts
        places = np.arange(counts.sum()) + np.repeat(start + 1 - first, counts)
        new = self._between(places, np.repeat(start, counts), np.repeat(end, counts))
        return np.maximum.reduceat(self._apart(new, self._goal[:, places]), first) <= self._limit

    def _merged(self, kept: Flags, must: Flags) -> Flags:
        """Drop keys without which the piece around them is still good, every other one at a time."""
        odd, idle = 0, 0
        fresh = kept & ~must  # keys whose neighbours changed since they were tried
        while idle < 2:
            order = kept.reshape(self._shape[::-1]).cumsum(1).ravel()
            tried = fresh & (order % 2 == odd)
            odd = 1 - odd
            if not tried.any():
                idle += 1
                continue
            idle = 0
            fresh &= ~tried
            rest = kept & ~tried
            starts, before, after = self._pieces(rest)
            piece = np.cumsum(rest) - 1
            touched = np.zeros(len(starts), bool)
            touched[piece[tried]] = True
            places = np.flatnonzero(touched[piece] & ~rest)
            error = np.zeros(len(kept))
            error[places] = self._apart(self._between(places, before[places], after[places]), self._goal[:, places])
            good = np.maximum.reduceat(error, starts) <= self._limit
            dropped = tried & good[piece]
            kept = kept & ~dropped
            gone = np.flatnonzero(dropped)
            fresh[before[gone]] = fresh[after[gone]] = True
            fresh &= kept & ~must
        return kept

    def _pieces(self, kept: Flags) -> tuple[Places, Places, Places]:
        """Return the places of kept keys, and for each key the kept ones before and after it (itself if kept)."""
        starts = np.flatnonzero(kept)
        before = np.maximum.accumulate(np.where(kept, self._all, 0))
        after = np.minimum.accumulate(np.where(kept, self._all, len(kept) - 1)[::-1])[::-1]
        return starts, before, after

    def _between(self, places: Places, before: Places, after: Places) -> Array:
        return _cubic(self._times[places], self._times, self._values, self._slopes, before, after)
