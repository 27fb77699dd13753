"""What can be said of a track without ground truth: how much it jitters, how fast it is, how far it was moved.

Speeds and accelerations are taken between frames that follow each other and were observed; nothing is read into a gap.
Rotations of every kind are measured by the angle: the angular velocity between two frames is the axis-angle vector of
``R[t + 1] @ R[t].T``. All measures are blind to where the scene's axes point and to a bone's roll.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import _rotation_planes as planes
from smoothnet_core._low_pass import low_passed
from smoothnet_core._vectors import empty_over_time, parts, to_planes
from smoothnet_core.tracks import Prepared, prepare, settled
from smpl_tools.motion import Motion, Track, time_span

Array = NDArray[np.float64]

ASSUMED_FPS = 30.0
# A person missing for no longer than this is bridged; a longer absence ends the piece.
BRIDGED_SECONDS = 0.5
# Voluntary movement of limbs lies below about this frequency; what the input has above it counts as noise.
MOVEMENT_HZ = 4.0
# Below this many frames the low-pass says more about its own edges than about the movement.
_SHORTEST_FOR_SPEED = 8
# Takes of more frames are measured in stretches, of so many frames each.
MEASURED_FRAMES, _STRETCH = 2**13, 2**8
# Numbers measured at once.
_BLOCK_NUMBERS = 2**16


@dataclass(frozen=True)
class Unit:
    """The unit lengths or angles of a track are reported in.

    Attributes:
        name: ``mm``, ``px``, ``deg``, or ``unit`` where the file does not say what its numbers are.
        factor: how many of it one of the track's own unit is (radians for angles).
    """

    name: str
    factor: float


def unit_of(motion: Motion, name: str, track: Track) -> Unit:
    """Return the unit in which measures of a track of that name are reported."""
    if track.kind not in ("position", "channels") or (motion.format == "bvh" and name.endswith("_angles")):
        return Unit("deg", 180.0 / np.pi)
    if track.kind == "channels":
        return Unit("unit", 1.0)
    if track.values.shape[2] == 2:
        return Unit("px", 1.0)
    return Unit("unit", 1.0) if track.metres is None else Unit("mm", 1000.0 * track.metres)


def pieces(frames: NDArray[np.int64], fps: float) -> list[slice]:
    """Split a person's rows where the person was missing for longer than ``BRIDGED_SECONDS``.

    Args:
        frames: (T,) strictly increasing frame numbers.
        fps: frames a second.

    Returns:
        Slices of rows that together cover all of them; none for T = 0.

    Raises:
        ValueError: a rate is so high that what is bridged would be more frames than the limit.
    """
    if len(frames) and int(frames[-1]) - int(frames[0]) == len(frames) - 1:
        return [slice(0, len(frames))]
    missing = np.diff(frames) - 1
    cuts = np.flatnonzero(missing > BRIDGED_SECONDS * fps) + 1
    edges = [0, *cuts.tolist(), len(frames)]
    found = [slice(a, b) for a, b in itertools.pairwise(edges) if b > a]
    for rows in found:
        time_span(frames[rows], "a take")
    return found


def sampled(seen: NDArray[np.bool_]) -> slice | NDArray[np.int64]:
    """Return the rows that jitter and speed are measured in: all of them, of long takes ``MEASURED_FRAMES``.

    They are stretches of rows, evenly spread over those in which anything was observed.

    Args:
        seen: (T,) where anything was observed.
    """
    count = len(seen) if seen.all() else int(np.count_nonzero(seen))
    if len(seen) <= MEASURED_FRAMES:
        return slice(0, len(seen))
    chosen: slice | NDArray[np.int64] = slice(None)
    if count > MEASURED_FRAMES:
        starts = np.linspace(0, count - _STRETCH, MEASURED_FRAMES // _STRETCH).astype(np.int64)
        chosen = (starts[:, None] + np.arange(_STRETCH)).reshape(-1)
    return chosen if count == len(seen) else np.flatnonzero(seen)[chosen]


def is_observed(track: Track) -> bool:
    """Tell whether a track has at least one finite value."""
    step = max(1, _BLOCK_NUMBERS // max(1, track.values[:1].size))
    return any(np.isfinite(track.values[i : i + step]).any() for i in range(0, len(track.values), step))


def prepared(track: Track) -> Prepared:
    """Return a track in the one form that is measured: (T, J, D) vectors, and which of them were observed.

    Raises:
        ValueError: not one value of the track is observed.
    """
    return prepare(track.values, kind=track.kind, order=track.order)


def jitter(track: Prepared, frames: NDArray[np.int64], fps: float) -> float | None:
    """Return the mean length of the acceleration: second difference times ``fps`` squared.

    Args:
        track: T frames, from ``prepared``.
        frames: (T,) frame numbers.
        fps: frames a second.

    Returns:
        Mean over joints and frames, in the track's unit (radians for rotations) per second squared; None where no
        three frames in a row were observed.
    """
    seen = track.observed & ~track.never_observed
    usable = seen[:-2] & seen[1:-1] & seen[2:] & (frames[2:] - frames[:-2] == 2)[:, None]
    total = 0.0
    for part in _joint_blocks(track):
        lengths = _lengths(np.diff(_velocity(track.values[:, part], track.is_rotation)))
        total += float(lengths.sum(where=usable[:, part].T))
    count = int(usable.sum())
    return total / count * fps * fps if count else None


def speed_kept(before: Prepared, after: Prepared, frames: NDArray[np.int64], fps: float) -> float | None:
    """Return how much of the movement's speed is left after refinement.

    Of each joint the 95th percentile over frames of its speed is taken, and averaged over joints; the result is this
    number of ``after`` divided by that of ``before`` low-passed at ``MOVEMENT_HZ`` (Butterworth of order 4, forwards
    and backwards, so without delay). The low-pass is there because jitter is fast: against the raw input every good
    refinement would seem to lose speed. Noise that the input has below ``MOVEMENT_HZ`` still counts as movement in
    it, so a value a little below 1 need not be a loss.

    Args:
        before: the input, T frames, from ``prepared``.
        after: the output, the same way.
        frames: (T,) frame numbers.
        fps: frames a second.

    Returns:
        The ratio; None for fewer than 8 frames and where the input does not move.
    """
    if len(frames) < _SHORTEST_FOR_SPEED:
        return None
    seen = before.observed & ~before.never_observed
    usable = seen[:-1] & seen[1:] & (np.diff(frames) == 1)[:, None]
    fast_before = fast_after = 0.0
    slow = _low_passed(before.values, frames, fps, before.is_rotation)
    for part in _joint_blocks(before):
        fast_before += _fast(_velocity(slow[:, part], before.is_rotation), usable[:, part])
        fast_after += _fast(_velocity(after.values[:, part], before.is_rotation), usable[:, part])
    # Rounding alone makes a still track "move".
    still = 1e-9 * max(1.0, float(before.values.max()), -float(before.values.min()))
    return fast_after / fast_before if fast_before > still else None


def changes(before: Prepared, after: Prepared) -> Array:
    """Return (T, J) how far each value was moved: distance, or angle in radians; NaN where nothing was observed."""
    moved = np.full(before.observed.shape, np.nan)
    for part in parts(before.values.shape):
        old, new = to_planes(before.values[part]), to_planes(after.values[part])
        apart = planes.angle_between(old, new) if before.is_rotation else _lengths(new - old)
        np.copyto(moved[part], apart.reshape(moved[part].shape[::-1]).T, where=before.observed[part])
    return moved


def _joint_blocks(track: Prepared) -> Iterator[slice]:
    """Yield slices that cover the joints, each so few that their numbers stay in the cache."""
    frames, count, size = track.values.shape
    together = max(1, _BLOCK_NUMBERS // max(1, frames * size))
    return (slice(start, start + together) for start in range(0, count if frames else 0, together))


def _velocity(values: Array, rotation: bool) -> Array:
    """Return (D, N, T - 1) differences, or (3, N, T - 1) rotation vectors from frame to frame, of (T, N, ...)."""
    if not rotation:
        return np.diff(values.transpose(2, 1, 0))
    frames, count = values.shape[:2]
    quats = planes.quat_of_matrix(to_planes(values)).reshape(4, count, frames)
    w, x, y, z = quats[..., 1:]
    # Of the frame before, turned back.
    v, a, b, c = quats[..., :-1]
    real = w * v + x * a + y * b + z * c
    turn = np.stack([v * x - w * a - y * c + z * b, v * y - w * b - z * a + x * c, v * z - w * c - x * b + y * a])
    sine = _lengths(turn)
    angle = 2 * np.arctan2(sine, np.abs(real))
    still = sine == 0
    sine[still] = 1.0
    angle /= sine
    angle[still] = 2.0
    turn *= np.copysign(angle, real)
    return turn


def _lengths(vectors: Array) -> Array:
    """Return the lengths (...) of vectors (D, ...)."""
    total = np.square(vectors[0])
    for entries in vectors[1:]:
        total += np.square(entries)
    return np.sqrt(total, out=total)


def _fast(velocity: Array, usable: NDArray[np.bool_]) -> float:
    """Return the sum over joints of the 95th percentile of their speeds, from (D, N, T) and (T, N)."""
    speeds = _lengths(velocity)
    if usable.all():
        return float(np.quantile(speeds, 0.95, axis=1, overwrite_input=True).sum())
    return sum(float(np.quantile(one[own], 0.95)) for one, own in zip(speeds, usable.T, strict=True) if own.any())


def _low_passed(values: Array, frames: NDArray[np.int64], fps: float, rotation: bool) -> Array:
    """Low-pass (T, N, D) vectors piece by piece on the uniform timeline; rotations return to the nearest rotation."""
    result = empty_over_time(values.shape)
    for rows in pieces(frames, fps):
        tracks = values[rows].transpose(1, 2, 0).reshape(-1, rows.stop - rows.start)
        numbers = frames[rows] - frames[rows.start]
        length = int(numbers[-1]) + 1
        if length > len(numbers):
            tracks = np.stack([np.interp(np.arange(length), numbers, track) for track in tracks])
        slow = low_passed(tracks, 4, min(MOVEMENT_HZ, 0.4 * fps), fps, min(15, length - 1))
        result[rows] = slow[:, numbers].reshape(*values.shape[1:], -1).transpose(2, 0, 1)
    return settled(result, rotation)
