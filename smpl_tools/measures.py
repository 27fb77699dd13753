"""What can be said of a track without ground truth: how much it jitters, how fast it is, how far it was moved.

Speeds and accelerations are taken between frames that follow each other and were observed; nothing is read into a gap.
Rotations of every kind are measured by the angle: the angular velocity between two frames is the axis-angle vector of
``R[t + 1] @ R[t].T``. All measures are blind to where the scene's axes point and to a bone's roll.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import rotations
from smoothnet_core.tracks import Prepared, prepare
from smpl_tools.motion import Motion, Track

Array = NDArray[np.float64]

ASSUMED_FPS = 30.0
# A person missing for no longer than this is bridged; a longer absence ends the piece.
BRIDGED_SECONDS = 0.5
# Voluntary movement of limbs lies below about this frequency; what the input has above it counts as noise.
MOVEMENT_HZ = 4.0
# Below this many frames the low-pass says more about its own edges than about the movement.
_SHORTEST_FOR_SPEED = 8


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
    """
    missing = np.diff(frames) - 1
    cuts = np.flatnonzero(missing > BRIDGED_SECONDS * fps) + 1
    edges = [0, *cuts.tolist(), len(frames)]
    return [slice(a, b) for a, b in itertools.pairwise(edges) if b > a]


def is_observed(track: Track) -> bool:
    """Tell whether a track has at least one finite value."""
    return bool(np.isfinite(track.values).any())


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
    total, count = 0.0, 0
    for n in np.flatnonzero(~track.never_observed):
        seen = track.observed[:, n]
        steps = _velocity(track.values[:, n], track.is_rotation)
        usable = seen[:-2] & seen[1:-1] & seen[2:] & (frames[2:] - frames[:-2] == 2)
        lengths = np.linalg.norm(np.diff(steps, axis=0), axis=-1)[usable]
        total, count = total + float(lengths.sum()), count + lengths.size
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
    fast_before = fast_after = 0.0
    for n in np.flatnonzero(~before.never_observed):
        seen = before.observed[:, n]
        usable = seen[:-1] & seen[1:] & (np.diff(frames) == 1)
        if usable.any():
            slow = _low_passed(before.values[:, n], frames, fps, before.is_rotation)
            fast_before += _fast(_velocity(slow, before.is_rotation)[usable])
            fast_after += _fast(_velocity(after.values[:, n], before.is_rotation)[usable])
    # Rounding alone makes a still track "move".
    still = 1e-9 * max(1.0, float(np.abs(before.values).max()))
    return fast_after / fast_before if fast_before > still else None


def changes(before: Prepared, after: Prepared) -> Array:
    """Return (T, J) how far each value was moved: distance, or angle in radians; NaN where nothing was observed."""
    if before.is_rotation:
        shape = (*before.values.shape[:2], 3, 3)
        moved = rotations.geodesic_angle(before.values.reshape(shape), after.values.reshape(shape))
    else:
        moved = np.linalg.norm(after.values - before.values, axis=-1)
    return np.where(before.observed, moved, np.nan)


def _velocity(values: Array, rotation: bool) -> Array:
    """Return (T - 1, D) differences, or (T - 1, 3) rotation vectors from frame to frame."""
    if not rotation:
        return np.diff(values, axis=0)
    matrices = values.reshape(-1, 3, 3)
    return rotations.matrix_to_axis_angle(matrices[1:] @ matrices[:-1].transpose(0, 2, 1))


def _fast(velocity: Array) -> float:
    return float(np.quantile(np.linalg.norm(velocity, axis=-1), 0.95))


def _low_passed(values: Array, frames: NDArray[np.int64], fps: float, rotation: bool) -> Array:
    """Low-pass (T, D) vectors piece by piece on the uniform timeline; rotations return to the nearest rotation."""
    from scipy.signal import butter, sosfiltfilt

    sections = butter(4, min(MOVEMENT_HZ, 0.4 * fps), fs=fps, output="sos")
    result = np.empty_like(values)
    for rows in pieces(frames, fps):
        numbers = frames[rows] - frames[rows.start]
        time = np.arange(numbers[-1] + 1)
        uniform = np.stack([np.interp(time, numbers, column) for column in values[rows].T], axis=1)
        slow = sosfiltfilt(sections, uniform, axis=0, padlen=min(15, len(uniform) - 1))
        result[rows] = slow[numbers]
    if rotation:
        result = rotations.project_to_so3(result.reshape(-1, 3, 3)).reshape(-1, 9)
    return result
