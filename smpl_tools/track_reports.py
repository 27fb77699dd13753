"""What became of one track: looked at in blocks of frames, so that a take of any length needs little memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import _rotation_planes as planes
from smoothnet_core._vectors import to_planes, to_vectors
from smoothnet_core.inference.threads import each
from smpl_tools.measures import jitter, pieces, prepared, sampled, speed_kept, unit_of
from smpl_tools.motion import Motion, Person, Track

Array = NDArray[np.float64]

# Values looked at at once.
_BLOCK = 2**15
# Numbers that are no larger are positions, channels and angles without a closer look.
_PLAIN = 1e11


@dataclass(frozen=True)
class TrackReport:
    """What became of one track of one person.

    Attributes:
        person: the person's id.
        track: the track's name.
        frames: T, rows of the person in the file.
        filled_frames: rows in which at least one joint was not observed and was filled in.
        unit: of lengths and angles here: ``mm``, ``px``, ``deg``, or ``unit`` where the file does not say.
        largest_change: farthest an observed value was moved; None where nothing was observed.
        largest_change_joint: the joint it happened to.
        largest_change_frame: its frame number in the file.
        jitter_before: mean length of the acceleration, ``unit`` per second squared; None below three frames in a row.
            Jitter and speed of takes longer than ``smpl_tools.measures.MEASURED_FRAMES`` are those of stretches spread
            evenly over it.
        jitter_after: the same of the result.
        speed_kept: see ``smpl_tools.measures.speed_kept``.
    """

    person: str
    track: str
    frames: int
    filled_frames: int
    unit: str
    largest_change: float | None
    largest_change_joint: str | None
    largest_change_frame: int | None
    jitter_before: float | None
    jitter_after: float | None
    speed_kept: float | None


class Observation(NamedTuple):
    """Where a track has values.

    Attributes:
        rows: (T,) True where a joint was observed.
        joints: for each piece of the track (``smpl_tools.measures.pieces``) the joints that it shows, (J,).
        whole: every value was observed.
    """

    rows: NDArray[np.bool_]
    joints: tuple[NDArray[np.bool_], ...]
    whole: bool


def observation(track: Track, frames: NDArray[np.int64], fps: float) -> Observation:
    """Return where a track has values.

    Raises:
        ValueError: it has none.
    """
    rows, joints, whole = np.empty(len(frames), bool), [], True
    for piece in pieces(frames, fps):
        seen = np.zeros(track.values.shape[1], bool)
        for block in _blocks(track.values, piece):
            own = _observed(track, block)
            rows[block] = True if own is None else own.any(axis=1)
            seen |= True if own is None else own.any(axis=0)
            whole &= own is None
        joints.append(seen)
    if not rows.any():
        # Its refusal says why.
        prepared(track)
    return Observation(rows, tuple(joints), whole)


def track_report(motion: Motion, person: Person, name: str, after: Track, seen: Observation, fps: float) -> TrackReport:
    """Return what became of a track of a person.

    Args:
        motion: as it was.
        person: of the motion.
        name: of the track.
        after: what it has become.
        seen: of the track as it was.
        fps: frames a second.
    """
    before = person.tracks[name]
    unit = unit_of(motion, name, before)
    rows = sampled(seen.rows)
    frames = person.frames[rows]
    parts = [track.replace(values=track.values[rows], confidence=None) for track in (before, after)]
    (moved, filled), old, new = _together(
        lambda: _moved(before, after), lambda: prepared(parts[0]), lambda: prepared(parts[1])
    )
    kept, *jumps = _together(
        lambda: speed_kept(old, new, frames, fps), lambda: jitter(old, frames, fps), lambda: jitter(new, frames, fps)
    )
    return TrackReport(
        person=person.id,
        track=name,
        frames=len(person.frames),
        filled_frames=filled,
        unit=unit.name,
        largest_change=None if moved is None else moved.distance * unit.factor,
        largest_change_joint=None if moved is None else before.joints[moved.joint],
        largest_change_frame=None if moved is None else int(person.frames[moved.row]),
        jitter_before=_scaled(jumps[0], unit.factor),
        jitter_after=_scaled(jumps[1], unit.factor),
        speed_kept=kept,
    )


def _together(*tasks: Callable[[], Any]) -> list[Any]:
    """Return what each task returns, done in all threads."""
    results: list[Any] = [None] * len(tasks)

    def do(index: int) -> None:
        results[index] = tasks[index]()

    each(do, range(len(tasks)))
    return results


class _Moved(NamedTuple):
    distance: float
    row: int
    joint: int


def _moved(before: Track, after: Track) -> tuple[_Moved | None, int]:
    """Return the observed value that was moved farthest, and the number of rows in which values were filled in."""
    farthest, filled = None, 0
    for block in _blocks(before.values, slice(0, len(before.values))):
        seen = _observed(before, block)
        if seen is not None:
            now = _observed(after, block)
            filled += int((~seen if now is None else ~seen & now).any(axis=1).sum())
        farthest = _farthest(before, after, block, seen, farthest)
    return farthest, filled


def _farthest(
    before: Track, after: Track, block: slice, seen: NDArray[np.bool_] | None, farthest: _Moved | None
) -> _Moved | None:
    """Return the value of a block of rows that was moved farthest, or the one that is known where that is farther."""
    old, new = before.values[block], after.values[block]
    straight = before.kind in ("position", "channels")
    if straight or before.kind == "axis_angle":
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.subtract(new, old, dtype=np.float64)
            # Rotations are at most as far apart as their vectors.
            far = np.abs(apart) if before.kind == "channels" else _length(apart)
    else:
        far = np.full(old.shape[:2], np.inf)
    far[np.isnan(far) if seen is None else np.isnan(far) | ~seen] = -1.0
    row, joint = np.unravel_index(int(far.argmax()), far.shape)
    rows, joints = np.array([row]), np.array([joint])
    # The one that may be the farthest first: after it, there are few that may be farther.
    for _ in range(2):
        least = -1.0 if farthest is None else farthest.distance
        rows, joints = (part[far[rows, joints] > least] for part in (rows, joints))
        if not rows.size:
            break
        found = far[rows, joints] if straight else _angles(before, old[rows, joints], new[rows, joints])
        best = int(found.argmax())
        if found[best] > least:
            farthest = _Moved(float(found[best]), block.start + int(rows[best]), int(joints[best]))
        if straight:
            break
        rows, joints = np.nonzero(far > (-1.0 if farthest is None else farthest.distance))
    return farthest


def _angles(track: Track, old: NDArray[Any], new: NDArray[Any]) -> Array:
    """Return the angles (M,) between rotations (M, ...) of the track's kind."""
    first, second = (
        to_planes(to_vectors(values[:, None].astype(np.float64), track.kind, track.order)[0]) for values in (old, new)
    )
    return planes.angle_between(first, second)


def _length(vectors: Array) -> Array:
    """Return the lengths (...) of vectors (..., D)."""
    total = np.square(vectors[..., 0])
    for number in range(1, vectors.shape[-1]):
        total += np.square(vectors[..., number])
    return np.sqrt(total, out=total)


def _observed(track: Track, block: slice) -> NDArray[np.bool_] | None:
    """Return (T, J) where a block of rows has values; None where it has all."""
    values = track.values[block]
    plain = track.kind in ("position", "channels", "axis_angle") and values.size
    # NaN is on neither side of a limit.
    if plain and float(values.max()) < _PLAIN and float(values.min()) > -_PLAIN:
        return None
    seen = to_vectors(values.astype(np.float64), track.kind, track.order)[1]
    return None if seen.all() else seen


def _blocks(values: NDArray[Any], rows: slice) -> Iterator[slice]:
    """Yield slices that cover some rows of a track, each a few thousand values."""
    step = max(1, _BLOCK // max(1, values.shape[1]))
    return (slice(start, min(start + step, rows.stop)) for start in range(rows.start, rows.stop, step))


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
