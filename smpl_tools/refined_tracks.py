"""One track of a person through a refiner, on a uniform timeline and in pieces where the person was long away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smpl_tools.measures import pieces
from smpl_tools.motion import Track
from smpl_tools.track_reports import Observation

# Takes values on a timeline, the track they are from, their confidence, and names of joints for models that need them.
Refiner = Callable[[NDArray[Any], Track, NDArray[Any] | None, Sequence[str] | None], NDArray[Any]]


def refined_track(
    track: Track,
    seen: Observation,
    frames: NDArray[np.int64],
    fps: float,
    refiner: Refiner,
    names: Sequence[str] | None,
) -> Track:
    """Return a track refined; joints that a piece never shows keep their NaN in it.

    Args:
        track: T rows.
        seen: where it has values.
        frames: (T,) frame numbers.
        fps: frames a second.
        refiner: what the pieces go through.
        names: of the joints, for a model that knows a body and wants to be shown all of it; None for all others.
    """
    result: NDArray[Any] | None = None
    for rows, shown in zip(pieces(frames, fps), seen.joints, strict=True):
        if not shown.any():
            continue
        joints = np.flatnonzero(shown if names is None else np.ones_like(shown))
        numbers, values, confidence = on_timeline(track, frames, rows, joints)
        refined = refiner(values, track, confidence, names)
        if len(refined) == len(track.values) and shown.all():
            return track.replace(values=refined)
        result = track.values.copy() if result is None else result
        result[rows.start : rows.stop, shown] = refined[numbers][:, shown[joints]]
    return track if result is None else track.replace(values=result)


def on_timeline(
    track: Track, frames: NDArray[np.int64], rows: slice, joints: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[Any] | None]:
    """Return where on the piece's timeline its rows are, and values and confidence there, NaN and 0 between the rows.

    Args:
        track: T rows.
        frames: (T,) frame numbers.
        rows: the piece.
        joints: of the track, that are wanted.
    """
    numbers = frames[rows] - frames[rows.start]
    length = int(numbers[-1]) + 1
    if length == len(numbers) and len(joints) == track.values.shape[1]:
        return numbers, track.values[rows], None if track.confidence is None else track.confidence[rows]
    values = np.full((length, len(joints), *track.values.shape[2:]), np.nan, track.values.dtype)
    values[numbers] = track.values[rows][:, joints]
    confidence = None
    if track.confidence is not None:
        confidence = np.zeros((length, len(joints)), track.confidence.dtype)
        confidence[numbers] = track.confidence[rows][:, joints]
    return numbers, values, confidence
