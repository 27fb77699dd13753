"""Missing frames and missing values: where they are, and filling them when asked."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.tracks import prepare
from smpl_tools.motion import Motion, Person, Track, time_span


def missing(person: Person) -> int:
    """Return how many frames of a person's time are missing, or lack the value of a joint that others have."""
    if not len(person.frames):
        return 0
    absent = int(person.frames[-1] - person.frames[0]) + 1 - len(person.frames)
    lacking = np.zeros(len(person.frames), bool)
    for track in person.tracks.values():
        seen = _seen(track.values)
        lacking |= (~seen[:, seen.any(axis=0)]).any(axis=1)
    return absent + int(lacking.sum())


def without_empty_frames(motion: Motion) -> Motion:
    """Return a motion whose people have no frames in which nothing of them was observed: these become gaps."""
    people = tuple(_without_empty_frames(person) for person in motion.people)
    if all(new is old for new, old in zip(people, motion.people, strict=True)):
        return motion
    return dataclasses.replace(motion, people=people, source=None)


def _without_empty_frames(person: Person) -> Person:
    there = np.zeros(len(person.frames), bool)
    for track in person.tracks.values():
        if track.kind != "channels":
            there |= _seen(track.values).any(axis=1)
    if there.all() or not there.any():
        return person
    tracks = {
        name: track.replace(
            values=track.values[there], confidence=None if track.confidence is None else track.confidence[there]
        )
        for name, track in person.tracks.items()
    }
    return dataclasses.replace(person, tracks=tracks, frames=person.frames[there])


def filled(motion: Motion) -> Motion:
    """Return a motion in which every person is there in every frame from their first to their last.

    What was not observed is interpolated in time, rotations along the shortest way, and held at the ends; what was
    observed keeps its very bits, a joint that was never observed its NaN. Confidence is 0 where a value was filled in.
    A motion without gaps is returned as it is; another can no longer be written back into the file it came from.
    """
    people = tuple(_filled(person) if missing(person) else person for person in motion.people)
    if all(new is old for new, old in zip(people, motion.people, strict=True)):
        return motion
    return dataclasses.replace(motion, people=people, source=None)


def _filled(person: Person) -> Person:
    first = int(person.frames[0])
    frames = first + np.arange(time_span(person.frames, f"person {person.id} with gaps filled"), dtype=np.int64)
    rows = person.frames - first
    tracks = {name: _filled_track(track, rows, len(frames)) for name, track in person.tracks.items()}
    return dataclasses.replace(person, tracks=tracks, frames=frames)


def _filled_track(track: Track, rows: np.ndarray, count: int) -> Track:
    values = np.full((count, *track.values.shape[1:]), np.nan, track.values.dtype)
    values[rows] = track.values
    confidence = None
    if track.confidence is not None:
        confidence = np.zeros((count, len(track.joints)), track.confidence.dtype)
        confidence[rows] = track.confidence
    seen = _seen(values)
    known = seen.any(axis=0)
    if known.any():
        ready = prepare(values[:, known], kind=track.kind, order=track.order)
        values[:, known] = ready.restore(ready.values, 1.0)
    return track.replace(values=values, confidence=confidence)


def _seen(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return (T, J) True where all numbers of a value are finite."""
    finite = np.isfinite(values)
    return np.asarray(finite.all(axis=tuple(range(2, finite.ndim))))
