"""How much a take jitters, where it is off or held, and what a refinement did to it: numbers from arrays alone.

Vectors are (T, N, D) in one unit: positions (D = 3), single values (D = 1), or rotations through :func:`as_vectors`.
Frames follow each other at ``fps`` a second and every number is finite. All is elementwise, since the NumPy of
Blender's own builds has no BLAS.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.rotations import continuous_quat_wxyz

from ..animation.quaternions import dots, unit_parts

Array = NDArray[np.float64]
# float32 where that is fine enough.
Floats = NDArray[Any]
Flags = NDArray[np.bool_]

# Frames are compared with others this far away or as near to it as whole frames allow, so that a take reads the same
# at every rate: what is noise at 30 frames a second.
_RATE = 30.0
# Of the fourth difference of noise, its size in sizes of the noise: the root of 1 + 16 + 36 + 16 + 1.
_FOURTH = math.sqrt(70.0)
# From the median length of a Gaussian vector in three dimensions to its root mean square.
_TYPICAL = 1.126
# And so from the median length of fourth differences to the noise.
NOISE_OF_FOURTH = _TYPICAL / _FOURTH
_FEWEST = 8

# A spike lasts at most so long at 30 frames a second; it is farther off than `_OVER_SPEED` of the fastest steps around
# it and than `_OVER_USUAL` of what is usual in that second. Found on 1,200 s of clean capture, with spikes put in.
_LONGEST_SPIKE, _STEPS_AROUND = 3, 3
_OVER_SPEED, _OVER_USUAL = 2.0, 6.0
SPIKE_DEGREES = 4.0
# Of values with no unit of their own, in shares of the range they lie in.
_SPIKE_SHARE = 0.05
_STILL_SHARE = 1e-3
# Vectors times frames looked at together: what is between input and result stays in the processor's cache.
_TOGETHER = 2**17

# A value is held for at least so many seconds; it would have moved on at the speed of a least step each side.
_HELD_SECONDS, _HELD_DEGREES_A_SECOND, _HELD_SHARE_A_SECOND = 0.1, 15.0, 0.1
_SAME_DEGREES, _SAME_SHARE = 1e-3, 1e-6
# A step as many times as long as the next is the jump to where the tracker found it again.
_CAUGHT_UP = 3.0


def as_vectors(quat_wxyz: Array) -> Array:
    """Return rotations as vectors whose differences have lengths in degrees.

    Twice the unit quaternion without jumps of sign: a chord of it is the angle between two rotations, 1 % short at
    57 degrees.

    Args:
        quat_wxyz: (T, B, 4), finite.

    Returns:
        (T, B, 4).
    """
    unit = quat_wxyz / np.sqrt(_squares(quat_wxyz))[..., None]
    return np.degrees(2.0) * continuous_quat_wxyz(unit)


def jitter(vectors: Array, fps: float) -> Array:
    """Return how far (N,) each vector is, frame by frame, from the smooth path through the frames around it.

    A cubic through two frames on either side misses the frame between them by noise, hardly by motion; of this the
    median in each second is averaged over the take, so a spike does not count and a second of jitter does. For white
    noise it is the root mean square of the noise. 0 where there are fewer than 8 frames.

    Args:
        vectors: (T, N, D).
        fps: frames a second.

    Returns:
        (N,) in the unit of the vectors: degrees for rotations.
    """
    lag = frames_apart(fps)
    if len(vectors) < max(_FEWEST, 4 * lag + 1):
        return np.zeros(vectors.shape[1])
    missed = vectors
    for _ in range(4):
        missed = missed[lag:] - missed[:-lag]
    lengths = np.sqrt(_squares(missed))
    return np.mean(second_medians(lengths.T, fps)[1], axis=1) * NOISE_OF_FOURTH


def second_medians(values: Array, fps: float) -> tuple[Array, Array]:
    """Return the middles (S,) in frames of pieces of about a second, and the medians (N, S) of values (N, T) there."""
    edges = _blocks(values.shape[1], fps)
    return (edges[:-1] + edges[1:] - 1) / 2, _medians(values, edges)


def rotation_spikes(quat_wxyz: Array, fps: float) -> Flags:
    """Return which rotations (T, B) of (T, B, 4) are far off for a moment, as :func:`spikes` says, by 4 degrees."""
    # Twice the number is the angle.
    return _all_spikes(unit_parts(quat_wxyz), fps, np.float64(math.radians(SPIKE_DEGREES) / 2.0), signs=True)


def spikes(vectors: Array, fps: float) -> Flags:
    """Return which vectors are far off for a moment, up to a tenth of a second, and back again: not to be believed.

    A run of one to three frames (at 30 a second) is a spike where every frame of it lies far from the path between the
    frames around the run: farther than twice the fastest step among the three before and after, six times as far as
    is usual in that second, and than 5 % of the range that it moves in. Fast movement speeds up before it turns round,
    so it is none. The first and last two frames are never spikes: nothing tells. After F. R. Hampel, "The influence
    curve and its role in robust estimation", JASA 69 (1974): far is many times the median.

    Args:
        vectors: (T, N, D) positions or single values; rotations go to :func:`rotation_spikes`.
        fps: frames a second.

    Returns:
        (T, N).
    """
    return _all_spikes(np.ascontiguousarray(vectors.T), fps, _SPIKE_SHARE * _sizes(vectors), signs=False)


def extent(vectors: Array) -> Array:
    """Return the size (N,) of what each vector of (T, N, D) moves in, the outermost 2 % left out."""
    if not len(vectors):
        return np.zeros(vectors.shape[1])
    low, high = np.percentile(vectors, (2.0, 98.0), axis=0)
    return np.sqrt(_squares(high - low))


def _sizes(vectors: Array) -> Array:
    """Return extents (N,), of what moves less than a thousandth of what moves most, infinite: that is rounding."""
    size = extent(vectors)
    return np.where(size > _STILL_SHARE * size.max(initial=0.0), size, np.inf)


def held(vectors: Array, fps: float, rotations: bool) -> Flags:
    """Return where a moving vector stays exactly the same while others move: where a tracker had lost it.

    Args:
        vectors: (T, N, D), rotations from :func:`as_vectors`.
        fps: frames a second.
        rotations: whether lengths are degrees.

    Returns:
        (T, N) True at the frames that only repeat the one before them.
    """
    frames, count = vectors.shape[:2]
    result = np.zeros((frames, count), bool)
    if frames < 3:
        return result
    moves = np.diff(vectors, axis=0)
    steps = np.sqrt(_squares(moves))
    if rotations:
        same, least = np.full(count, _SAME_DEGREES), np.full(count, _HELD_DEGREES_A_SECOND / fps)
    else:
        size = _sizes(vectors)
        same, least = _SAME_SHARE * size, _HELD_SHARE_A_SECOND * size / fps
    still = steps <= same
    # Bones that never move say nothing of whether the others do.
    moving = ~still.all(axis=0)
    others, resting = int(moving.sum()) - 1, (still & moving).sum(axis=1) - 1
    shortest = max(2, math.ceil(_HELD_SECONDS * fps - 1e-6))
    for n in np.flatnonzero(moving & still.any(axis=0)):
        for start, stop in runs(still[:, n]):
            if stop - start < shortest or start == 0 or stop == len(still):
                continue
            if min(steps[start - 1, n], steps[stop, n]) < least[n]:
                continue  # it had come to rest
            onwards = (moves[start - 1, n] * moves[stop, n]).sum() > 0
            caught_up = stop + 1 < len(steps) and steps[stop, n] > _CAUGHT_UP * steps[stop + 1, n]
            if not (onwards or caught_up):
                continue  # it turned round at a joint's limit
            if others and resting[start:stop].mean() > 0.5 * others:
                continue  # all rest
            result[start + 1 : stop + 1, n] = True
    return result


def runs(flags: Flags) -> list[tuple[int, int]]:
    """Return the runs of True in (T,) flags as (start, stop)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


class Change(NamedTuple):
    """The farthest a refinement turned a bone: how far, and which bone at which frame (places in the arrays)."""

    size: float
    frame: int
    vector: int


def largest_turn(before_quat_wxyz: Array, after_quat_wxyz: Array) -> Change:
    """Return where two takes of rotations (T, B, 4) are farthest apart, in degrees."""
    near = np.minimum(_squares(after_quat_wxyz - before_quat_wxyz), _squares(after_quat_wxyz + before_quat_wxyz))
    angles = np.degrees(4.0 * np.arcsin(np.minimum(np.sqrt(near) / 2.0, 1.0)))
    if not angles.size:
        return Change(0.0, 0, 0)
    frame, vector = np.unravel_index(int(angles.argmax()), angles.shape)
    return Change(float(angles[frame, vector]), int(frame), int(vector))


def speed_kept(before: Array, after: Array, fps: float) -> float:
    """Return how much of a take's movement is left after refinement: 1 is all of it.

    Of velocities below 6 Hz, those of the result squared over their product with those of the input. What was taken
    away as noise has nothing to do with the movement, and drops out of the product; movement that was flattened to a
    share ``a`` of itself gives ``a`` squared over ``a``. NaN for fewer than 8 frames and where nothing moves.

    Args:
        before: (T, N, D) the input, most tellingly world positions.
        after: the same of the result; of rotations, vectors of :func:`as_vectors`.
        fps: frames a second.
    """
    return speed_share([speed_sums(before, after, fps)])


class SpeedSums(NamedTuple):
    """What :func:`speed_kept` compares, of some of a take's vectors; 0 where nothing is known.

    Attributes:
        share: sum of squares of the velocities of the result.
        whole: sum of their products with those of the input.
        still: ``whole`` up to which nothing moves.
    """

    share: float
    whole: float
    still: float


def speed_sums(before: Array, after: Array, fps: float) -> SpeedSums:
    """Return the sums for some of a take's vectors; arguments as of :func:`speed_kept`."""
    from scipy.ndimage import gaussian_filter1d

    if len(before) < _FEWEST or not before.size:
        return SpeedSums(0.0, 0.0, 0.0)
    # A Gaussian of this deviation halves the amplitude at 6 Hz.
    sigma = math.sqrt(2.0 * math.log(2.0)) / (2.0 * math.pi * 6.0) * fps
    slow = [gaussian_filter1d(np.diff(x, axis=0), sigma, axis=0, mode="nearest") for x in (before, after)]
    # Of a quaternion the other sign is the same rotation.
    share, whole = float(np.square(slow[1]).sum()), float((slow[0] * slow[1]).sum())
    return SpeedSums(share, whole, (1e-6 * float(np.abs(before).max(initial=0.0))) ** 2 * len(before))


def speed_share(sums: Sequence[SpeedSums]) -> float:
    """Return what :func:`speed_kept` returns of a whole take, from the sums of its parts."""
    share, whole, still = sum(s.share for s in sums), sum(s.whole for s in sums), max(s.still for s in sums)
    return share / whole if whole > still else math.nan


def _all_spikes(x: Floats, fps: float, least: Array | np.float64, signs: bool) -> Flags:
    """Return spikes (T, N) of vectors (D, N, T), of some at a time."""
    count, frames = x.shape[1:]
    result = np.zeros((count, frames), bool)
    stride = frames_apart(fps)
    least = np.broadcast_to(least, (count,)).astype(x.dtype)
    together = max(1, _TOGETHER // max(frames, 1))
    for first in range(0, count, together):
        some = slice(first, first + together)
        for phase in range(stride):
            result[some, phase::stride] = _spikes(x[:, some, phase::stride], fps / stride, least[some], signs)
    return result.T


def _spikes(x: Floats, fps: float, least: Floats, signs: bool) -> Flags:
    """Return spikes (N, T) of vectors (D, N, T) at about 30 frames a second."""
    count, frames = x.shape[1:]
    result = np.zeros((count, frames), bool)
    if frames < _FEWEST:
        return result
    # steps[t] goes from t - 1 to t; beyond the ends nothing moves.
    padded = np.zeros((count, frames + 1 + 2 * _STEPS_AROUND), x.dtype)
    steps = padded[:, _STEPS_AROUND : _STEPS_AROUND + frames + 1]
    steps[:, 1:frames] = _lengths(x[..., 1:] - x[..., :-1])
    # By the triangle inequality steps into and out of a spike are so long; few are, and only these are looked at.
    far = steps > 0.5 * least[:, None]
    if not far.any():
        return result
    fastest = padded[:, : frames + _STEPS_AROUND + 2]
    for k in range(1, _STEPS_AROUND):
        fastest = np.maximum(fastest, padded[:, k : k + frames + _STEPS_AROUND + 2])
    before, after = fastest[:, : frames + 1], fastest[:, _STEPS_AROUND + 1 :]
    long_in, long_out = ((steps > around) & far for around in (before, after))
    for length in range(1, _LONGEST_SPIKE + 1):
        # The run is [s, s + length) for s from 2 on; two frames are known on either side of it.
        places = frames - length - 3
        if places <= 0:
            break
        n, s = np.nonzero(long_in[:, 2 : 2 + places] & long_out[:, 2 + length : 2 + length + places])
        s += 2
        around = np.maximum(before[n, s], after[n, s + length])
        longer = np.flatnonzero(np.minimum(steps[n, s], steps[n, s + length]) > around)
        n, s, around = n[longer], s[longer], around[longer]
        off, chord = _off(x[:, n, s + np.arange(-2, length + 2)[:, None]], signs)
        around = np.maximum(around, chord / (length + 1))
        hit = np.flatnonzero((off > least[n]) & (off > _OVER_SPEED * around))
        n, s, off = n[hit], s[hit], off[hit]
        if not len(n):
            continue
        some, at = np.unique(n, return_inverse=True)
        own = x[:, some]
        usual = _usual(_lengths(own[..., 1:-1] - 0.5 * (own[..., :-2] + own[..., 2:])), fps)
        hit = np.flatnonzero(off > _OVER_USUAL * usual[at, s - 1])
        for k in range(length):
            result[n[hit], s[hit] + k] = True
    return result


def _off(x: Floats, signs: bool) -> tuple[Floats, Floats]:
    """Return how far runs (D, 2 + L + 2, K) are from the paths between the frames around, and how far these are apart.

    Paths are a straight and a curved one; of the frames of a run the nearest counts. Both are (K,).
    """
    a2, a1, run, b1, b2 = x[:, :1], x[:, 1:2], x[:, 2:-2], x[:, -2:-1], x[:, -1:]
    if signs:
        sign = np.where(dots(a1, b1) < 0, np.float32(-1.0), np.float32(1.0))
        b1, b2 = b1 * sign, b2 * sign
    length = run.shape[1]
    share = (np.arange(1, length + 1, dtype=x.dtype) / x.dtype.type(length + 1))[:, None]
    straight = (1 - share) * a1 + share * b1
    # The cubic through a1 and b1 with the speeds into a1 and out of b1 (Hermite).
    rest = share * (1 - share)
    bend = (length + 1) * rest * ((1 - share) * (a1 - a2) - share * (b2 - b1)) + rest * (1 - 2 * share) * (a1 - b1)
    if signs:
        run = run * np.where(dots(run, straight) < 0, np.float32(-1.0), np.float32(1.0))
    apart = run - straight
    off = np.minimum(_lengths(apart), _lengths(apart - bend))
    return off.min(axis=0), _lengths(b1 - a1)[0]


def _usual(off: Floats, fps: float) -> Floats:
    """Return (N, K) the median of lengths in the second around, the largest of that and its two neighbours."""
    edges = _blocks(off.shape[1], fps)
    middle = _medians(off, edges)
    padded = np.pad(middle, ((0, 0), (1, 1)), mode="edge")
    largest = np.maximum(np.maximum(padded[:, :-2], padded[:, 2:]), middle)
    return np.repeat(largest, np.diff(edges), axis=1)


def _blocks(frames: int, fps: float) -> NDArray[np.int64]:
    """Return the edges of pieces of about a second that cover all frames."""
    return np.linspace(0, frames, max(1, round(frames / fps)) + 1).astype(np.int64)


def _medians(values: Floats, edges: NDArray[np.int64]) -> Floats:
    """Return the medians (N, E - 1) of values (N, T) between edges (E,): all pieces of one length at once."""
    sizes = np.diff(edges)
    medians = np.empty((len(values), len(sizes)), values.dtype)
    for size in set(sizes.tolist()):
        pieces = np.flatnonzero(sizes == size)
        rows = values[:, edges[pieces][:, None] + np.arange(size)]
        half = size // 2
        # So few are sorted faster than divided at two places.
        ordered = np.sort(rows, axis=2)
        medians[:, pieces] = ordered[..., half] if size % 2 else (ordered[..., half - 1] + ordered[..., half]) / 2
    return medians


def frames_apart(fps: float) -> int:
    """Return how many frames apart frames are that are compared."""
    return max(1, round(fps / _RATE))


def _lengths(x: Floats) -> Floats:
    """Return the lengths of vectors whose numbers lie along the first axis."""
    return np.sqrt(dots(x, x))


def _squares(x: Array) -> Array:
    """Return squared lengths over the last axis, number by number: faster than a sum over an axis so short."""
    total = np.square(x[..., 0])
    for place in range(1, x.shape[-1]):
        total = total + np.square(x[..., place])
    return total
