"""Refinement of a stream: frame by frame, after a latency of one's choice."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from functools import partial
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import rotations
from smoothnet_core._checks import mismatch, one_of
from smoothnet_core._online_answers import STEADY_REACH, Answers, Run
from smoothnet_core._online_frames import read_confidence, read_frame, read_mask, unknown, written_as
from smoothnet_core._online_history import History, Rows
from smoothnet_core._reading import one_line
from smoothnet_core._vectors import SIX_D_VECTORS, from_vectors, to_vectors
from smoothnet_core.model import Model, load_model
from smoothnet_core.rates import same_rate
from smoothnet_core.tracks import FASTEST_FPS, KINDS, ROTATIONS, checked_strength, number
from smoothnet_core.windows import blend_weights, lengthened

Array = NDArray[np.float64]

# Networks that see a window of one joint or channel at a time and were made for jitter.
ARCHITECTURES = ("vector_filter", "smoothnet", "motion_aware")
_SLOWEST_FPS = 0.1
# The published network's float32 inputs stay below this.
_LARGEST_INPUT = 1e20
# A stream whose times are this near to whole frames, in frames, has no drops.
_ON_CLOCK = 0.02
_LEAST_STEP = 1e-6
# Below this latency, in frames at so many a second, the weights made for the ends of windows are better. Found on
# training clips, see docs/live.md.
_ENDS, _ENDS_FPS = 16, 30.0


class _Waiting(NamedTuple):
    """A frame that is not due yet: (1, N, ...) numbers as the caller writes them, (N,) which were observed."""

    flat: Array
    observed: NDArray[np.bool_]
    gone: NDArray[np.bool_]


class OnlineRefiner:
    """Refines a stream: ``push`` takes one frame after the other and returns each after ``latency`` further ones.

    At each frame the network sees the window that ends there, and a frame that is due is the weighted mean of what the
    windows so far say of it. At full latency those windows are run that :func:`smoothnet_core.refine` runs, ``hop``
    frames apart. A stream without times, gaps or absences, at the network's own rate, then gives the result of
    ``refine`` up to float32 rounding. Full latency is the window less one frame; of rotations, which our own networks
    leave to be smoothed over 20 frames to both sides, 20 more: with less the later ones are not finished when a frame
    is due. Exceptions: published networks see positions relative to their mean over the window, not over the take, and
    with a ``hop`` above 1 the frame at which the window aligned with a take's end begins misses that window; and a
    rotation that somewhere turns by more than 60 degrees from one frame to the next is seen as a matrix all through a
    take, in a stream only in windows that show that turn.

    Frames need not come evenly: give their ``time``, in seconds. The window is then interpolated at the network's
    rate back from the newest frame, and what it answers at the due frame's time. Frames that were dropped count as not
    observed. Without times, ``fps`` says how far apart frames are.

    A joint that is not observed in a frame (NaN, masked, no confidence) holds its last value, and what lies between is
    interpolated once it is seen again. A joint that has not been observed for the length of a window comes out as NaN
    until it is seen again, when it begins anew; so people may come and go.

    Nothing is kept longer than a window and the latency need.

    Args:
        model: as in ``refine``: a shipped name, a file of weights, or a loaded model; ours for single joints
            (``vector_filter``) or a published one. ``auto`` takes ``live``, which knows the ends of windows, for a
            latency below 16 frames at 30 a second, and ``default`` from there on.
        latency: frames from 0 to the window less one; for rotations and our own networks to 20 more.
        fps: frames a second of the stream; None means the weights' own rate.
        kind: as in ``refine``.
        order: of ``rotation_6d``, as in ``refine``.
        strength: as in ``refine``.
        hop: frames between the starts of windows from a latency of the window less one on; None means the weights'
            own. With less latency a window is run at every frame.

    Raises:
        ValueError: an argument is not as above.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model = "auto",
        *,
        latency: int,
        fps: float | None = None,
        kind: str = "position",
        order: str = "columns",
        strength: float = 1.0,
        hop: int | None = None,
    ) -> None:
        network = load_model(_for_latency(latency, fps) if isinstance(model, str) and model == "auto" else model)
        if network.architecture not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise mismatch(f"model {network.name}", f"an architecture of {known}", network.architecture)
        self.model = network
        self.window = network.window
        full = self.window - 1
        self.kind = one_of("kind", kind, KINDS)
        # As in takes: the published networks see rotations as they are.
        self._steady = kind in ROTATIONS and not network.is_published
        most = full + (STEADY_REACH if self._steady else 0)
        if not isinstance(latency, Integral) or isinstance(latency, bool) or not 0 <= latency <= most:
            raise mismatch("latency", f"a whole number of frames from 0 to {most}", one_line(repr(latency), 80))
        self.latency = int(latency)
        self.order = one_of("order", order, SIX_D_VECTORS)
        self.strength = checked_strength(strength)
        self._fps = None if fps is None else _checked_fps(fps)
        whole = hop is None or (isinstance(hop, Integral) and not isinstance(hop, bool) and 1 <= hop <= self.window)
        if not whole:
            expected = f"a whole number of frames from 1 to the window, {self.window}"
            raise mismatch("hop", expected, one_line(repr(hop), 80))
        if hop is not None and self.latency < full:
            raise mismatch("hop", f"none with a latency below {full} frames, where every frame has a window", hop)
        self._hop = network.hop if hop is None else int(hop)
        own, given = network.fps, self._fps
        self._same_rate = own is None or given is None or same_rate(given, own)
        # Seconds are counted in frames of the network's clock.
        self._clock = own if own is not None else given
        self._run = _windows(network, kind)
        self._weights = blend_weights("uniform" if network.is_published else "taper", self.window)
        if self.latency < full:
            self._weights[: self.window - _trained_ends(network)] = 0.0
        self.reset()

    def reset(self) -> None:
        """Forget the stream; the next frame is the first of another one, which may have another shape."""
        self._shape: tuple[int, ...] | None = None
        self._count = 0
        self._on_clock = self._same_rate
        self._times: tuple[float, float] | None = None
        self._newest = -1.0
        self._last_quats: Array | None = None
        self._waiting: deque[_Waiting] = deque()

    @property
    def pending(self) -> int:
        """How many frames were pushed and have not come out yet."""
        return len(self._waiting)

    @property
    def nbytes(self) -> int:
        """Bytes that are kept of the stream."""
        return 0 if self._shape is None else self._history.rows.nbytes + sum(w.flat.nbytes for w in self._waiting)

    def push(self, frame: Any, time: float | None = None, *, mask: Any = None, confidence: Any = None) -> Any:
        """Take the next frame and return the refined one that is due.

        Args:
            frame: (...) NumPy array or torch tensor of floats: one frame of what ``refine`` calls a track, as
                (J, 3) or (P, J, 3) for ``position``. All frames have the shape of the first. NaN is not observed.
            time: in seconds, later than that of the frame before; for all frames or for none.
            mask: True = observed; one value, (J,) or the frame's shape.
            confidence: in [0, 1], likewise; 0 is not observed.

        Returns:
            The frame that was pushed ``latency`` frames before, refined, of its shape and with the type and dtype of
            the first; None as long as none is due. NaN where a joint has not been observed for a window's length.

        Raises:
            ValueError: an argument is not as above. The stream is then as if the frame had not been pushed.
        """
        values, lead = read_frame(frame, self.kind, self._shape)
        stamp, moment = self._stamp(time)
        flat = values.astype(np.float64).reshape((1, -1, *values.shape[len(lead) :]))
        vectors, observed = to_vectors(flat, self.kind, self.order)
        observed = observed[0] & read_mask(mask, values.shape, lead)
        trust = read_confidence(confidence, values.shape, lead)
        observed &= trust > 0

        if self._shape is None:
            self._begin(frame, values.shape, len(lead), *vectors.shape[1:])
        self._times = moment
        self._on_clock = self._on_clock and abs(stamp - self._count) <= _ON_CLOCK
        # Times within the tolerance are whole frames; what comes after them still comes later.
        stamp = float(self._count) if self._on_clock else max(stamp, self._newest + _LEAST_STEP)
        self._newest = stamp
        self._count += 1
        self._add(flat, vectors[0], observed, trust, stamp)
        return self._emit() if len(self._waiting) > self.latency else None

    def flush(self) -> list[Any]:
        """End the stream: return the frames that have not come out yet, in order, and :meth:`reset`."""
        if self._waiting and self.latency >= self.window - 1 and self._on_clock and self._count > 1:
            if self._count < self.window:
                self._answers.add_short(partial(lengthened, window=self.window))
            elif (self._count - self.window) % self._hop:
                # As in takes, its first frame is left to the windows in step.
                self._answers.add_window(True, self.window - 1)
        rest = [self._emit() for _ in range(len(self._waiting))]
        self.reset()
        return rest

    def _stamp(self, time: float | None) -> tuple[float, tuple[float, float] | None]:
        """Return the frame's time in frames of the network's clock, and (first, newest) time in seconds."""
        if self._count and (time is None) != (self._times is None):
            raise mismatch("time", "one for every frame or for none", repr(time))
        if time is None:
            rate = 1.0 if self._same_rate or self._fps is None else (self._clock or 1.0) / self._fps
            return self._count * rate, None
        moment = number("time", "a number of seconds", time)
        if not np.isfinite(moment):
            raise mismatch("time", "a number of seconds", time)
        if self._clock is None:
            raise mismatch("fps", "frames a second, since the weights state none and frames have times", None)
        if self._times is None:
            return 0.0, (moment, moment)
        first, newest = self._times
        if moment <= newest:
            raise mismatch("time", f"later than that of the frame before, {newest:g}", f"{moment:g}")
        return (moment - first) * self._clock, (first, moment)

    def _begin(self, frame: Any, shape: tuple[int, ...], lead: int, count: int, size: int) -> None:
        steady = self._steady
        self._shape = shape
        self._written_as = written_as(frame)
        self._known = unknown(self.kind, self.order, count, shape[lead:])
        rows = Rows(**Answers.columns(count, size, steady))
        self._history = History(rows, count, size, self.window)
        self._answers = Answers(self._history, self._run, self._weights, is_rotation=size == 9, steady=steady)
        self._keep = self.latency + 1 + (STEADY_REACH if steady else 0)

    def _add(self, flat: Array, vectors: Array, observed: NDArray[np.bool_], trust: Array, stamp: float) -> None:
        wide = observed.reshape((1, -1, *[1] * (flat.ndim - 2)))
        self._known = np.where(wide, flat, self._known)
        self._history.add(vectors, observed, trust, stamp)
        self._waiting.append(_Waiting(self._known, observed, self._history.gone))
        self._history.forget(self._keep)
        self._answers.begin()
        if not vectors.size or not self.strength:
            return
        scheduled = self._on_clock and self.latency >= self.window - 1
        if not scheduled or (self._count >= self.window and (self._count - self.window) % self._hop == 0):
            self._answers.add_window(self._on_clock, self.latency + 1)

    def _emit(self) -> Any:
        row = len(self._history.rows) - len(self._waiting)
        waiting = self._waiting.popleft()
        old = self._history.rows["values"][row]
        new = self._answers.refined(row) if old.size and self.strength else old
        if self.strength < 1:
            new = self._between(old, new)
        given, observed = waiting.flat, waiting.observed
        result = from_vectors(new[None], given, np.ones((1, len(observed)), bool), self.kind, self.order)[0]
        if self.kind == "quat_wxyz":
            last = given[0] if self._last_quats is None else self._last_quats
            result *= np.where((result * last).sum(axis=1) < 0, -1.0, 1.0)[:, None]
            self._last_quats = result.copy()
        # What did not change keeps its very bits, which a trip through matrices would not.
        same = observed & (new == old).all(axis=1)
        if same.any() and (self.kind != "quat_wxyz" or not self.strength):
            result[same] = given[0, same]
        result[waiting.gone] = np.nan
        return self._written_as(result.reshape(self._shape or ()))

    def _between(self, old: Array, new: Array) -> Array:
        if not self.strength or old.shape[1] != 9:
            return old + self.strength * (new - old)
        first, second = (vectors.reshape(-1, 3, 3) for vectors in (old, new))
        return rotations.interpolate(first, second, np.full(len(first), self.strength)).reshape(-1, 9)


def _for_latency(latency: Any, fps: Any) -> str:
    """Return the shipped weights that are better at a latency; what is no latency or rate is refused elsewhere."""
    try:
        seconds = float(latency) / (_ENDS_FPS if fps is None else float(fps))
    except (TypeError, ValueError, ZeroDivisionError):
        return "default"
    return "live" if seconds * _ENDS_FPS < _ENDS else "default"


def _trained_ends(network: Model) -> int:
    """Return how many frames before its end a window was trained for: all, or as many as the recipe had latencies."""
    found: Any = network.metadata
    for key in ("configuration", "training", "latencies"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return min(found, network.window) if isinstance(found, int) and found > 0 else network.window


def _checked_fps(fps: float) -> float:
    rate = number("fps", "a positive number of frames a second", fps)
    if not rate > 0:
        raise mismatch("fps", "a positive number of frames a second", fps)
    if not _SLOWEST_FPS <= rate <= FASTEST_FPS:
        raise mismatch("fps", f"{_SLOWEST_FPS:g} to {FASTEST_FPS:,} frames a second", fps)
    return rate


def _windows(network: Model, kind: str) -> Run:
    """Return the function that runs the network on one window of all joints, see ``Run``.

    The network sees it as :func:`smoothnet_core.refine` shows windows: ours at size 1 and from near it, since neither
    offset nor scale matters to it; the published ones positions relative to their mean, and all else as it is.
    """
    run = network.engine("numpy")
    published = network.is_published

    def refined(values: Array, quality: Array, last: int) -> Array:
        # Each window by itself in memory: what follows is then several times as fast.
        rows = np.ascontiguousarray(values.transpose(1, 0, 2))
        # From the first frame, so that what never moves comes out bit for bit.
        start = np.zeros_like(rows[:, :1]) if published and kind != "position" else rows[:, :1].copy()
        inner = rows - start
        if published and kind == "position":
            middle = inner.mean(axis=1, keepdims=True)
            inner -= middle
            start += middle
        size = np.abs(inner).reshape(len(inner), -1).max(axis=1)[:, None, None]
        size = np.maximum(size / _LARGEST_INPUT, 1.0) if published else np.where(size > 0, size, 1.0)
        inner /= size
        new = run(inner.astype(np.float32), quality.transpose(1, 0, 2).astype(np.float32, order="C"))
        return (new[:, len(values) - last :] * size + start).transpose(1, 0, 2)

    return refined
