"""One track of a person through a refiner, on a uniform timeline and in pieces where the person was long away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._vectors import frame_blocks
from smpl_tools.measures import pieces
from smpl_tools.motion import Track
from smpl_tools.track_reports import Observation

# Takes values on a timeline, the track they are from, their confidence, names of joints for models that need them, and
# an array that the result may be written to.
Refiner = Callable[[NDArray[Any], Track, NDArray[Any] | None, Sequence[str] | None, NDArray[Any] | None], NDArray[Any]]


def refined_track(
    track: Track,
    seen: Observation,
    frames: NDArray[np.int64],
    fps: float,
    refiner: Refiner,
    names: Sequence[str] | None,
    out: NDArray[Any] | None = None,
) -> Track:
    """Return a track refined; joints that a piece never shows keep their NaN in it.

    Args:
        track: T rows.
        seen: where it has values.
        frames: (T,) frame numbers.
        fps: frames a second.
        refiner: what the pieces go through.
        names: of the joints, for a model that knows a body and wants to be shown all of it; None for all others.
        out: of the track's shape and dtype: what the values are written to; None makes a new array.
    """
    values = out
    for rows, shown in zip(pieces(frames, fps), seen.joints, strict=True):
        target = None
        if shown.any():
            # Into what is given everything goes, so that nothing need be copied to be chosen from.
            joints = np.flatnonzero(shown if names is None and out is None else np.ones_like(shown))
            numbers, given, confidence = on_timeline(track, frames, rows, joints)
            if out is not None and len(given) == rows.stop - rows.start:
                target = out[rows]
            refined = refiner(given, track, confidence, names, target)
            if out is None and len(refined) == len(track.values) and shown.all():
                return track.replace(values=refined)
            if target is None or not np.may_share_memory(refined, target):
                values = track.values.copy() if values is None else values
                values[rows.start : rows.stop, shown] = refined[numbers][:, shown[joints]]
        if out is not None and not shown.all():
            for block in frame_blocks(out[rows]):
                out[rows][block, ~shown] = track.values[rows][block, ~shown]
    return track.replace(values=track.values if values is None else values)


def on_timeline(
    track: Track, frames: NDArray[np.int64], rows: slice, joints: NDArray[np.int64]
) -> tuple[slice | NDArray[np.int64], NDArray[Any], NDArray[Any] | None]:
    """Return where on the piece's timeline its rows are, and values and confidence there, NaN and 0 between the rows.

    Args:
        track: T rows.
        frames: (T,) frame numbers.
        rows: the piece.
        joints: of the track, that are wanted.
    """
    length = int(frames[rows.stop - 1] - frames[rows.start]) + 1
    numbers = slice(0, length)
    if length == rows.stop - rows.start:
        if len(joints) == track.values.shape[1]:
            return numbers, track.values[rows], None if track.confidence is None else track.confidence[rows]
    else:
        numbers = frames[rows] - frames[rows.start]
    values = np.full((length, len(joints), *track.values.shape[2:]), np.nan, track.values.dtype)
    values[numbers] = track.values[rows][:, joints]
    confidence = None
    if track.confidence is not None:
        confidence = np.zeros((length, len(joints)), track.confidence.dtype)
        confidence[numbers] = track.confidence[rows][:, joints]
    return numbers, values, confidence
