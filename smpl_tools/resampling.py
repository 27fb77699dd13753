"""Change the frame rate: of positions, rotations and channels over time, and of whole motions.

The new values lie on one smooth curve through the old ones: cubic splines, for rotations of unit quaternions. Against
spherical interpolation between two frames that was measured on 40 clips of clean capture, every second frame of 60
taken out and put back: joints are 1.12 mm off instead of 1.45 mm on average (their bones' offsets held), their angles
0.250 instead of 0.275 degrees (in the median 0.008 instead of 0.030), and the acceleration of joints 6.6 instead of
9.2 m/s^2. Where a rotation is noise from frame to frame the spline overshoots: with noise of 0.02 rad on every axis it
is 1.70 degrees off, spherical interpolation 1.41. Resample after refining.

Before the rate falls, what the new one cannot show is taken out by a low-pass without delay, forwards and backwards; of
a vibration at half the new rate or faster at most 2 % of the amplitude are left, of one at a quarter of the new rate
more than 99.9 %. Ends are continued by point reflection, so the first and last value of every piece stay.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import make_interp_spline
from scipy.signal import butter, sosfiltfilt

from smoothnet_core._array_api import fill_along_time
from smoothnet_core._checks import mismatch
from smoothnet_core.tracks import prepare
from smpl_tools.frame_rates import NewFrames, checked_rate, nominal_rate, rate_ratio, resample_frames, resample_times
from smpl_tools.motion import Motion, Person, Track
from smpl_tools.rotations import (
    continuous_axis_angle,
    continuous_quat_wxyz,
    matrix_to_axis_angle,
    matrix_to_quat_wxyz,
    matrix_to_rotation_6d,
    quat_wxyz_to_matrix,
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

# Forwards and backwards an order of 8 leaves 1 / (1 + x^16) at x times its corner: 2 % at 1.275 times.
_ORDER = 8
_CORNER = 1 / (1 / 0.02 - 1) ** (1 / (2 * _ORDER))
# The low-pass has died away after this many new frames.
_MEMORY = 20
# Vectors worked on at once, which bounds memory.
_BLOCK = 2**17


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
    result = _resampled(flat, np.asarray(np.isfinite(flat).all(axis=2)), new, rotation=False)
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
    result = _resampled(flat, np.asarray(np.isfinite(flat).all(axis=2)), new, rotation=True)
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
    return Person(person.id, {name: _track_at(track, new) for name, track in person.tracks.items()}, new.frames)


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
        vectors = _resampled(ready.values, ready.observed, new, rotation=ready.is_rotation)
        values[...] = _as_kind(vectors, track)
        if track.kind in ("position", "rotation_matrix", "rotation_6d"):
            # Old values between which nothing was smoothed keep their bits, which a trip through matrices would not.
            same = (new.share == 0)[:, None] & ready.observed[new.rows] if new.ratio <= 1 else False
            axes = (1,) * (values.ndim - 2)
            values = np.where(np.reshape(same, (*np.shape(same), *axes)), track.values[new.rows], values)
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


def _resampled(vectors: Array, seen: NDArray[np.bool_], new: NewFrames, *, rotation: bool) -> Array:
    """Return (M, N, D) vectors at new frames, from vectors (T, N, D) and where they were observed (T, N)."""
    result = np.full((len(new.frames), *vectors.shape[1:]), np.nan)
    smooth = _low_pass(new.ratio)
    for length, rows, ticks, columns in _pieces(seen, new):
        own = slice(ticks[0], ticks[0] + np.searchsorted(new.position[ticks[0] :], rows[0] + length - 1, "right"))
        share, old_rows = new.share[own], new.rows[own] - rows[0]
        on_row = share == 0
        step = max(1, _BLOCK // length)
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
    pad = math.ceil(_MEMORY * ratio)
    return lambda curve: sosfiltfilt(sections, curve, axis=0, padtype="odd", padlen=min(len(curve) - 1, pad))


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
