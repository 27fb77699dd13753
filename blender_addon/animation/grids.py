"""How a channel is sampled: even time grids for its keys, gaps in it, and which curves have keys enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .curves import Array, moves

# Of curves with fewer keys a second, a network trained on motion capture can say nothing.
LEAST_KEYS_PER_SECOND = 5.0
# Share of a grid's step by which a key may miss its place, apart from float32's own coarseness.
_OFF = 0.02


@dataclass(frozen=True)
class Grid:
    """Evenly spaced frames.

    Attributes:
        start: first frame, not always whole.
        step: frames between two.
        count: how many.
    """

    start: float
    step: float
    count: int

    @cached_property
    def times(self) -> Array:
        """(count,) frames, read only."""
        times: Array = self.start + self.step * np.arange(self.count, dtype=np.float64)
        times.flags.writeable = False
        return times

    @property
    def end(self) -> float:
        """The last frame."""
        return self.start + self.step * (self.count - 1)

    def index_of(self, times: Array) -> NDArray[np.intp]:
        """Return the place of each time (K,) in the grid: (K,), -1 where a time is not on it."""
        times = np.asarray(times, np.float64)
        places = np.rint((times - self.start) / self.step)
        missed = np.abs(self.start + self.step * places - times)
        on = (missed <= _tolerance(times, self.step)) & (places >= 0) & (places < self.count)
        return np.where(on, places, -1).astype(np.intp)


def grid_of(times_list: Sequence[Array], frame: float = 1.0) -> Grid:
    """Return the grid on which the curves of a channel are sampled.

    Keys at an even spacing, whatever it is, give the grid of exactly these keys; where some are missing it goes on with
    the same step. Otherwise the step is a frame, or the median spacing if that is smaller, from the first key on; such
    a grid covers the last key.

    Args:
        times_list: the key times (K,) of each curve, in frames, rising.
        frame: length of a frame in the units of the times.

    Raises:
        ValueError: there is no key at all.
    """
    times = np.unique(np.concatenate([np.zeros(0), *(np.asarray(times, np.float64) for times in times_list)]))
    if not len(times):
        raise ValueError("A grid needs at least one key")
    times = times[np.concatenate([[True], np.diff(times) > 2.0 * _coarseness(times[1:])])]
    if len(times) == 1:
        return Grid(float(times[0]), float(frame), 1)
    spacings = np.diff(times)
    median = float(np.median(spacings))
    for step in (median, float(spacings.min())):
        if grid := _even(times, spacings, step):
            return grid
    step = min(float(frame), median)
    if step < frame:
        # The mean of those like the median is free of the noise of single ones.
        alike = spacings[np.abs(spacings - median) <= _tolerance(times[1:], median)]
        step = float(alike.mean()) if len(alike) else median
    extent = (times[-1] - times[0]) / step
    return Grid(float(times[0]), step, int(np.ceil(extent - _OFF)) + 1)


def gaps(times: Array, grid: Grid, fps: float, longest: float = 0.5) -> list[tuple[int, int]]:
    """Return the runs of grid frames at which an otherwise dense curve has no key.

    Args:
        times: (K,) frames of the curve's keys.
        grid: its grid.
        fps: frames a second.
        longest: seconds between the keys around a gap; longer ones were meant, and are left out.

    Returns:
        First place in the grid and the place after the last, for each run; nothing if the curve has keys at half of
        the grid's frames or fewer, so that having none is the rule.
    """
    places = np.unique(grid.index_of(times))
    places = places[places >= 0]
    if len(places) < 2:
        return []
    jumps = np.diff(places)
    if np.median(jumps) > 1:
        return []
    open_ones = np.flatnonzero((jumps > 1) & (jumps * grid.step / fps <= longest * (1.0 + 1e-9)))
    return [(int(places[at]) + 1, int(places[at + 1])) for at in open_ones]


def keys_per_second(times: Array, fps: float) -> float:
    """Return how many keys a second a curve has over its own extent; 0 for fewer than two."""
    if len(times) < 2 or times[-1] <= times[0]:
        return 0.0
    return float((len(times) - 1) * fps / (times[-1] - times[0]))


def is_sparse(times: Array, values: Array, fps: float, least: float = LEAST_KEYS_PER_SECOND) -> bool:
    """Return whether a curve says too little to be refined.

    That is: fewer than three keys, one value all along, or fewer than ``least`` keys a second.
    """
    return len(values) < 3 or not moves(values) or keys_per_second(times, fps) < least * (1.0 - 1e-6)


def real_fps(
    render_fps: float, fps_base: float, frame_map_old: int = 100, frame_map_new: int = 100, strip_scale: float = 1.0
) -> float:
    """Return how many frames of an action pass in a second of playing.

    Args:
        render_fps: the scene's frames a second.
        fps_base: which these are divided by (1.001 for 29.97).
        frame_map_old: time remapping: so many frames of animation ...
        frame_map_new: ... are stretched to so many frames of the scene.
        strip_scale: scale of the NLA strip that plays the action.
    """
    return render_fps / fps_base * frame_map_old / frame_map_new / strip_scale


def _even(times: Array, spacings: Array, step: float) -> Grid | None:
    """The grid of this step that holds all keys; None if there is none."""
    # Counted from key to key, so that noise in the step does not add up.
    places = np.concatenate([[0.0], np.cumsum(np.rint(spacings / step))])
    if (np.diff(places) < 1).any():
        return None
    step = float((times[-1] - times[0]) / places[-1])
    start = float(times[0])
    if (2.0 * _coarseness(times) > 0.25 * step).any():
        return None
    missed = times - (start + step * places)
    # Half of the spread off both ends: the first and the last key are no better than the others.
    start += float(missed.max() + missed.min()) / 2.0
    if (np.abs(times - (start + step * places)) > _tolerance(times, step)).any():
        return None
    for nice_step, nice_start in ((round(step), round(start)), (step, float(times[0]))):
        nice = np.abs(times - (nice_start + nice_step * places))
        if nice_step > 0 and (nice <= np.maximum(2.0 * _coarseness(times), 1e-6)).all():
            start, step = float(nice_start), float(nice_step)
            break
    return Grid(start, step, int(places[-1]) + 1)


def _tolerance(times: Array, step: float) -> Array:
    return _OFF * step + 2.0 * _coarseness(times)


def _coarseness(times: Array) -> Array:
    """What float32, in which Blender holds times, cannot tell apart."""
    return np.spacing(np.abs(times).astype(np.float32)).astype(np.float64)
