"""One track of a person through a refiner, on a uniform timeline and in pieces where the person was long away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.tracks import Prepared
from smpl_tools.measures import pieces
from smpl_tools.motion import Track

# Takes values on a timeline, the track they are from, their confidence, and names of joints for models that need them.
Refiner = Callable[[NDArray[Any], Track, NDArray[Any] | None, Sequence[str] | None], NDArray[Any]]


def refined_track(
    track: Track,
    old: Prepared,
    frames: NDArray[np.int64],
    fps: float,
    refiner: Refiner,
    names: Sequence[str] | None,
) -> Track:
    """Return a track refined; joints that a piece never shows keep their NaN in it.

    Args:
        track: T rows.
        old: the same, prepared.
        frames: (T,) frame numbers.
        fps: frames a second.
        refiner: what the pieces go through.
        names: of the joints, for a model that knows a body and wants to be shown all of it; None for all others.
    """
    result = track.values.copy()
    for rows in pieces(frames, fps):
        seen = np.asarray(old.observed[rows].any(axis=0))
        if not seen.any():
            continue
        joints = np.flatnonzero(seen if names is None else np.ones_like(seen))
        numbers, values, confidence = on_timeline(track, frames, rows, joints)
        refined = refiner(values, track, confidence, names)
        result[rows.start : rows.stop, seen] = refined[numbers][:, seen[joints]]
    return track.replace(values=result)


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
    values = np.full((length, len(joints), *track.values.shape[2:]), np.nan, track.values.dtype)
    values[numbers] = track.values[rows][:, joints]
    confidence = None
    if track.confidence is not None:
        confidence = np.zeros((length, len(joints)), track.confidence.dtype)
        confidence[numbers] = track.confidence[rows][:, joints]
    return numbers, values, confidence
