"""Frames through refiners: one refiner for each kind of numbers, the joints kept apart that are not to be refined."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch, one_of
from smoothnet_core.model import Model
from smoothnet_core.online import OnlineRefiner
from smpl_tools.live.frames import Array, LiveFrame

TIMES = ("auto", "given", "arrival", "none")
# Who sends has begun anew if its clock is back by more than this, in seconds, or so many frames in a row do not go with
# what came before.
_BACK, _REFUSED = 1.0, 30


@dataclass(frozen=True)
class Settings:
    """What a stream is refined with; see :class:`smoothnet_core.online.OnlineRefiner`.

    Attributes:
        model: weights.
        latency: in frames.
        fps: frames a second of frames that come without times, or None.
        order: of ``rotation_6d``.
        strength: 0 to 1.
        joints: names, or numbers from 0 along the first axis, of the joints that are refined; None for all.
        times: ``given``: what frames state; ``arrival``: when they arrive; ``none``: all equally far apart; ``auto``:
            given if the first frame states its time, else none.
    """

    model: str | Model
    latency: int
    fps: float | None = None
    order: str = "columns"
    strength: float = 1.0
    joints: Sequence[str] | None = None
    times: str = "auto"


class Session:
    """Refines the frames of one stream.

    Raises:
        ValueError: a setting is not as said.
    """

    def __init__(self, settings: Settings) -> None:
        one_of("times", settings.times, TIMES)
        self._settings = settings
        # So that settings are refused before the first frame.
        self._refiner("position")
        self._clear()

    def _clear(self) -> None:
        self._refiners: dict[str, OnlineRefiner] = {}
        self._names: tuple[str, ...] | None = None
        self._columns: NDArray[np.intp] | slice = slice(None)
        self._waiting: deque[LiveFrame] = deque()
        self._timed = self._settings.times in ("given", "arrival")
        self._newest = -math.inf
        self._refused = 0

    def _refiner(self, kind: str) -> OnlineRefiner:
        s = self._settings
        return OnlineRefiner(s.model, latency=s.latency, fps=s.fps, kind=kind, order=s.order, strength=s.strength)

    @property
    def pending(self) -> int:
        """Frames that have not come out yet."""
        return len(self._waiting)

    def push(self, frame: LiveFrame, arrived: float | None = None) -> list[LiveFrame]:
        """Take a frame and return those that are due: mostly one, more where joints with new names begin anew.

        Raises:
            ValueError: the frame does not go with the ones before; it is then left out.
        """
        if self._settings.times == "arrival":
            frame = replace(frame, time=time.monotonic() if arrived is None else arrived)
        try:
            done = self._push(frame)
        except ValueError:
            self._refused += 1
            if self._refused < _REFUSED:
                raise
            done = self.finish()
            with contextlib.suppress(ValueError):
                done += self._push(frame)
        self._refused = 0
        return done

    def _push(self, frame: LiveFrame) -> list[LiveFrame]:
        done: list[LiveFrame] = []
        known = self._names
        if self._refiners and (frame.names is None) != (known is None):
            raise mismatch("frame", "names as before" if known else "no names, as before", "the other")
        if known is not None and frame.names is not None and frame.names != known:
            new = [name for name in frame.names if name not in known]
            if new:
                done = self.finish()
            frame = _named(frame, (*known, *new))
        if self._timed and frame.time is not None and frame.time < self._newest - _BACK:
            done += self.finish()
        if not self._refiners:
            self._begin(frame)
        return done + self._pushed(frame)

    def _begin(self, frame: LiveFrame) -> None:
        columns = self._chosen(frame)
        if self._settings.times == "auto":
            self._timed = frame.time is not None
        refiners = {kind: self._refiner(kind) for kind in frame.tracks}
        # A first frame that is refused is no first frame.
        for kind, refiner in refiners.items():
            refiner.push(frame.tracks[kind][columns], self._time(frame), **_given(frame, kind, columns))
            refiner.reset()
        self._columns, self._names, self._refiners = columns, frame.names, refiners

    def _time(self, frame: LiveFrame) -> float | None:
        if self._timed and frame.time is None:
            raise mismatch("time", "a number of seconds in every frame", None)
        return frame.time if self._timed else None

    def _pushed(self, frame: LiveFrame) -> list[LiveFrame]:
        if set(frame.tracks) != set(self._refiners):
            raise mismatch("frame", " and ".join(self._refiners), " and ".join(frame.tracks))
        moment = self._time(frame)
        due: dict[str, Any] = {}
        for kind, refiner in self._refiners.items():
            values = frame.tracks[kind][self._columns]
            due[kind] = refiner.push(values, moment, **_given(frame, kind, self._columns))
        self._newest = -math.inf if moment is None else moment
        self._waiting.append(frame)
        return [] if any(refined is None for refined in due.values()) else [self._out(due)]

    def _out(self, due: dict[str, Array]) -> LiveFrame:
        frame = self._waiting.popleft()
        tracks = {kind: values.copy() for kind, values in frame.tracks.items()}
        for kind, refined in due.items():
            tracks[kind][self._columns] = refined
        return replace(frame, tracks=tracks)

    def finish(self) -> list[LiveFrame]:
        """Return the frames that have not come out yet; the next frame begins a new stream."""
        rest = {kind: refiner.flush() for kind, refiner in self._refiners.items()}
        done = [self._out({kind: frames[i] for kind, frames in rest.items()}) for i in range(len(self._waiting))]
        self._clear()
        return done

    def _chosen(self, frame: LiveFrame) -> NDArray[np.intp] | slice:
        joints = self._settings.joints
        if joints is None:
            return slice(None)
        track = next(iter(frame.tracks.values()))
        if frame.names is None:
            known = tuple(str(i) for i in range(len(track) if track.ndim else 0))
            what = f"joint, of {len(known)} without names,"
        else:
            known, what = frame.names, "joint"
        for joint in joints:
            one_of(what, joint, known)
        return np.array([known.index(joint) for joint in joints], np.intp)


def _given(frame: LiveFrame, kind: str, columns: NDArray[np.intp] | slice) -> dict[str, Any]:
    """Return the mask and the confidence of the chosen joints."""
    given = {}
    for name, value in (("mask", frame.mask), ("confidence", frame.confidence)):
        if value is not None:
            fits = value.ndim and len(value) == len(frame.tracks[kind])
            # What does not fit is refused by the refiner, in words.
            given[name] = value[columns] if fits else value
    return given


def _named(frame: LiveFrame, names: tuple[str, ...]) -> LiveFrame:
    """Return the frame with its joints in the order of ``names``, which hold them all; NaN where it has none."""
    assert frame.names is not None
    place = {name: i for i, name in enumerate(names)}
    index = [place[name] for name in frame.names]

    def spread(values: NDArray[Any], missing: float) -> NDArray[Any]:
        found = np.full((len(names), *values.shape[1:]), missing, np.result_type(values, type(missing)))
        found[index] = values
        return found

    tracks = {kind: spread(values, np.nan) for kind, values in frame.tracks.items()}
    mask = frame.mask if frame.mask is None or not frame.mask.ndim else spread(frame.mask, False)
    confidence = frame.confidence
    if confidence is not None and confidence.ndim:
        confidence = spread(confidence, 0.0)
    return replace(frame, tracks=tracks, names=names, mask=mask, confidence=confidence)
