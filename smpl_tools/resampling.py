"""Change the frame rate: of positions, rotations and channels over time, and of whole motions.

The new values lie on one smooth curve through the old ones: cubic splines, for rotations of unit quaternions. That is
more exact than spherical interpolation between two frames. On 152 clips of clean capture, brought from 60 frames a
second to 30 (low-passed) and back, joints are 0.71 mm from where they were instead of 0.92 mm on average (roots held),
their accelerations 6.9 m/s^2 off instead of 9.4, and rotations 0.15 degrees instead of 0.18. SciPy's RotationSpline
comes to the same one joint at a time. What is noise from frame to frame a spline amplifies: with 0.02 rad of it on
every axis the frames put between are 1.69 degrees off, spherical interpolation's 1.40; so refine first
(``python benchmarks/frame_rate.py FOLDER``).

Before the rate falls, what the new one cannot show is taken out by a low-pass without delay, forwards and backwards. Of
a vibration at half the new rate or faster at most 2 % of the amplitude are left, of one at a quarter of the new rate
more than 98 %. A step overshoots by 9 %. Ends are continued by point reflection, so the first and last value of every
piece stay.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._array_api import fill_along_time
from smoothnet_core._checks import mismatch
from smoothnet_core.tracks import prepare
from smpl_tools._resampled import resampled
from smpl_tools.frame_rates import NewFrames, checked_rate, nominal_rate, rate_ratio, resample_frames, resample_times
from smpl_tools.motion import Motion, Person, Track
from smpl_tools.rotations import (
    continuous_axis_angle,
    continuous_quat_wxyz,
    matrix_to_axis_angle,
    matrix_to_quat_wxyz,
    matrix_to_rotation_6d,
)

__all__ = [
    "NewFrames",
    "at_rate",
    "nominal_rate",
    "resample_channels",
    "resample_frames",
    "resample_positions",
    "resample_rotations",
    "resample_times",
]

Array = NDArray[np.float64]


def resample_positions(
    values: ArrayLike, fps_in: float, fps_out: float, *, frames: ArrayLike | None = None, origin: int | None = None
) -> NDArray[np.floating]:
    """Return positions at another frame rate, by cubic splines.

    Args:
        values: (T, ..., D), e.g. (T, J, 3), in any unit. A vector with NaN in it was not observed.
        fps_in: frames a second; 29.97 and its like stand for the exact rate (see :func:`nominal_rate`).
        fps_out: the new rate, likewise. If it is lower, each observed piece is low-passed on its own.
        frames: (T,) frame numbers of the rows, for rows with gaps between them; None: no gaps.
        origin: the frame number both clocks share, see :func:`resample_frames`; None: the first.

    Returns:
        (M, ..., D), a row for every frame of ``resample_frames(frames, ...)``, in the dtype of ``values``. NaN where
        a frame around it was not observed. At a rate that is not lower, old values that fall on a new frame are
        kept to the bit.

    Raises:
        ValueError: a shape, the frame numbers or a rate is not as above.
    """
    given = _floats(values)
    if given.ndim < 2:
        raise mismatch("shape of values", "(T, ..., D)", given.shape)
    new = _new_frames(len(given), frames, fps_in, fps_out, origin)
    flat = given.reshape(len(given), math.prod(given.shape[1:-1]), given.shape[-1]).astype(np.float64)
    result = resampled(flat, np.asarray(np.isfinite(flat).all(axis=2)), new, rotation=False)
    return result.reshape(len(result), *given.shape[1:]).astype(given.dtype)


def resample_channels(
    values: ArrayLike, fps_in: float, fps_out: float, *, frames: ArrayLike | None = None, origin: int | None = None
) -> NDArray[np.floating]:
    """Return single numbers (T, ...) at another frame rate, each for itself as :func:`resample_positions` does.

    Angles must be continuous over time (``numpy.unwrap``).
    """
    given = _floats(values)
    if given.ndim < 1:
        raise mismatch("shape of values", "(T, ...)", given.shape)
    return resample_positions(given[..., None], fps_in, fps_out, frames=frames, origin=origin)[..., 0]


def resample_rotations(
    matrices: ArrayLike, fps_in: float, fps_out: float, *, frames: ArrayLike | None = None, origin: int | None = None
) -> NDArray[np.floating]:
    """Return rotations at another frame rate, by cubic splines of their unit quaternions.

    The quaternions follow the shortest way from frame to frame, are low-passed and interpolated as four numbers, and
    brought back to length 1. Turning all rotations from either side turns the result likewise.

    Args:
        matrices: (T, ..., 3, 3), e.g. (T, J, 3, 3). NaN where not observed.
        fps_in: as in :func:`resample_positions`, and so are the others.
        fps_out: the new rate.
        frames: (T,) frame numbers.
        origin: the frame number both clocks share.

    Returns:
        (M, ..., 3, 3) as :func:`resample_positions` does.

    Raises:
        ValueError: a shape, the frame numbers or a rate is not as above.
    """
    given = _floats(matrices)
    if given.ndim < 3 or given.shape[-2:] != (3, 3):
        raise mismatch("shape of matrices", "(T, ..., 3, 3)", given.shape)
    new = _new_frames(len(given), frames, fps_in, fps_out, origin)
    flat = given.reshape(len(given), math.prod(given.shape[1:-2]), 9).astype(np.float64)
    result = resampled(flat, np.asarray(np.isfinite(flat).all(axis=2)), new, rotation=True)
    return result.reshape(len(result), *given.shape[1:]).astype(given.dtype)


def at_rate(motion: Motion, fps: float, *, fps_in: float | None = None) -> Motion:
    """Return a motion at another frame rate.

    Every track is resampled as what it is, and its dtype kept; confidence is interpolated along straight lines and 0
    where the new value is not observed. What has no confidence counts as not observed, unless nothing has any. Rotation
    vectors, quaternions and the angles among the channels (named ``<joint>.Xrotation`` and so on) come out continuous
    over time, from the file's first value on. The first frame of the motion keeps its number, and all people's new
    numbers count from there. The result cannot be written into the file's own layout again: its ``source`` is None.
    At the rate that the motion has already, the motion itself is returned.

    Args:
        motion: what ``smpl_tools.formats.read`` returns.
        fps: the new rate; 29.97 and its like stand for the exact rate, which the result then states.
        fps_in: the motion's rate, in place of its own.

    Raises:
        ValueError: a rate is not a positive number, or the motion's is not known; where the motion has a path the
            message begins with it.
    """
    where = "" if motion.path is None else f"{motion.path}: "
    own = motion.fps if fps_in is None else fps_in
    if own is None:
        raise mismatch(f"{where}frame rate of the motion", "one in the file, or fps_in", "none")
    try:
        rate, own = float(nominal_rate(fps)), checked_rate("fps_in", own)
        seen = [p.frames for p in motion.people if len(p.frames)]
        origin = int(min(f[0] for f in seen)) if seen else 0
        if rate_ratio(own, rate, max(motion.frame_count - 1, 0)) == 1:
            return motion if motion.fps == own else dataclasses.replace(motion, fps=own)
        people = tuple(_person_at(p, resample_frames(p.frames, own, rate, origin=origin)) for p in motion.people)
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error
    note = f"brought from {own:.6g} to {rate:.6g} frames a second"
    return dataclasses.replace(motion, people=people, fps=rate, source=None, notes=(*motion.notes, note))


def _person_at(person: Person, new: NewFrames) -> Person:
    tracks = {name: _track_at(track, new) for name, track in person.tracks.items()}
    return dataclasses.replace(person, tracks=tracks, frames=new.frames)


def _track_at(track: Track, new: NewFrames) -> Track:
    confidence, mask = None, None
    if track.confidence is not None:
        after = np.where(new.share > 0, new.rows + 1, new.rows)
        share = new.share[:, None]
        confidence = (1 - share) * track.confidence[new.rows] + share * track.confidence[after]
        trusted = np.nan_to_num(track.confidence) > 0
        mask = trusted if trusted.any() else None
    values = np.full((len(new.frames), *track.values.shape[1:]), np.nan, track.values.dtype)
    try:
        ready = prepare(_unwrapped(track), kind=track.kind, order=track.order, mask=mask)
    except ValueError:
        # Not one value is usable.
        ready = None
    if ready is not None:
        vectors = resampled(ready.values, ready.observed, new, rotation=ready.is_rotation)
        values[...] = _as_kind(vectors, track)
        if new.ratio <= 1 and track.kind in ("rotation_matrix", "rotation_6d"):
            # Old values keep their bits, which a trip through matrices would not.
            same = (new.share == 0)[:, None] & ready.observed[new.rows]
            values[same] = track.values[new.rows][same]
    if confidence is not None and track.confidence is not None:
        shown = np.isfinite(values).all(axis=tuple(range(2, values.ndim)))
        confidence = np.where(shown, confidence, 0.0).astype(track.confidence.dtype)
    return track.replace(values=values, confidence=confidence)


def _unwrapped(track: Track) -> NDArray[np.floating]:
    """Return the values; of channels that are angles about an axis, without jumps by whole turns."""
    angles = [j for j, name in enumerate(track.joints) if name.endswith(("Xrotation", "Yrotation", "Zrotation"))]
    if track.kind != "channels" or not angles:
        return track.values
    values = track.values.copy()
    for j in angles:
        seen = np.isfinite(values[:, j])
        values[seen, j] = np.unwrap(values[seen, j])
    return values


def _as_kind(vectors: Array, track: Track) -> Array:
    """Return (M, J, ...) values of the track's kind from vectors (M, J, D)."""
    if track.kind == "channels":
        return vectors[..., 0]
    if track.kind == "position":
        return vectors
    matrices = vectors.reshape(*vectors.shape[:2], 3, 3)
    if track.kind == "rotation_matrix":
        return matrices
    if track.kind == "rotation_6d":
        return matrix_to_rotation_6d(matrices, track.order)
    # Among the ways to write a rotation the file's own first value says which.
    first = fill_along_time(track.values)[:1]
    if track.kind == "quat_wxyz":
        return continuous_quat_wxyz(np.concatenate([first, matrix_to_quat_wxyz(matrices)]))[1:]
    return continuous_axis_angle(np.concatenate([first, matrix_to_axis_angle(matrices)]))[1:]


def _floats(values: ArrayLike) -> NDArray[np.floating]:
    array = np.asarray(values)
    if array.dtype.kind not in "fbiu":
        raise mismatch("values", "an array of numbers", f"dtype {array.dtype}")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _new_frames(count: int, frames: ArrayLike | None, fps_in: float, fps_out: float, origin: int | None) -> NewFrames:
    old = np.arange(count) if frames is None else np.asarray(frames)
    if old.shape != (count,):
        raise mismatch("shape of frames", (count,), old.shape)
    return resample_frames(old, fps_in, fps_out, origin=origin)
