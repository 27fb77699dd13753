"""The last frames of a stream: a table that forgets, and what a network sees of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import _rotation_planes as planes
from smoothnet_core import rotations

Array = NDArray[np.float64]

# Rows that a table begins with.
_ROWS = 64
# A stream of so many frames a window tells the network no more; older ones are forgotten.
_MOST_FRAMES = 4096
# Cosine of half of 60 degrees, as for whole takes: beyond it a quaternion's sign is anyone's guess.
_FARTHEST = 0.866
# A point of the network's clock farther than this from any frame, in frames, was not observed.
_NEAR = 0.75


class Rows:
    """Arrays that grow at one end and forget at the other, in memory that does not grow with the stream."""

    def __init__(self, **columns: tuple[int, ...]) -> None:
        self._arrays: dict[str, NDArray[Any]] = {name: np.zeros((_ROWS, *size)) for name, size in columns.items()}
        self._start = self._stop = 0
        self.first = 0

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return all rows (R, ...) of a column; row 0 is that of frame ``first``."""
        return self._arrays[name][self._start : self._stop]

    @property
    def nbytes(self) -> int:
        """Bytes that are held."""
        return sum(array.nbytes for array in self._arrays.values())

    def add(self) -> None:
        """Add a row of zeros."""
        room = len(next(iter(self._arrays.values())))
        if self._stop == room:
            grown = 2 * room if 2 * len(self) > room else room
            for name, array in self._arrays.items():
                larger = np.zeros((grown, *array.shape[1:]))
                larger[: len(self)] = array[self._start : self._stop]
                self._arrays[name] = larger
            self._start, self._stop = 0, len(self)
        for array in self._arrays.values():
            array[self._stop] = 0
        self._stop += 1

    def forget(self, before: int) -> None:
        """Forget the frames before one."""
        rows = min(max(0, before - self.first), len(self))
        self._start += rows
        self.first += rows


class History:
    """The frames that a window may still need, gaps filled with what is known so far.

    A frame that a vector was not observed in holds the value before; once the vector is seen again, within a window's
    length, what lies between is interpolated. After a longer absence, and at the start of the stream, a vector begins:
    windows that reach farther back see it continued by point reflection, as takes shorter than a window are.

    Attributes:
        rows: ``stamp``, ``values`` (N, D), ``quality`` (N, 2); of rotations also ``quats`` (N, 4), with signs that
            follow one another, and ``calm`` (N), 1 where the turn since the frame before is a small one.
        gone: (N,) of the newest frame: not observed for a window's length.
    """

    def __init__(self, rows: Rows, count: int, size: int, window: int) -> None:
        self.rows = rows
        self.window = window
        self.gone = np.ones(count, bool)
        self._is_rotation = size == 9
        start = np.eye(3).ravel() if self._is_rotation else np.zeros(size)
        self._begun = np.full(count, np.inf)
        self._unknown = np.tile(start, (count, 1))
        self._seen = np.full(count, -1)
        self._seen_at = np.full(count, -np.inf)

    @property
    def newest(self) -> int:
        """Number of the newest frame."""
        return self.rows.first + len(self.rows) - 1

    def add(self, vectors: Array, observed: NDArray[np.bool_], trust: Array, stamp: float) -> None:
        """Add a frame.

        Args:
            vectors: (N, D).
            observed: (N,).
            trust: (N,) in [0, 1].
            stamp: in frames of the network's clock.
        """
        rows = self.rows
        rows.add()
        values = rows["values"]
        rows["stamp"][-1] = stamp
        rows["quality"][-1, :, 0] = np.where(observed, trust, 0.0)
        rows["quality"][-1, :, 1] = observed
        values[-1] = np.where(observed[:, None], vectors, values[-2] if len(rows) > 1 else self._unknown)
        anew = observed & (stamp - self._seen_at >= self.window)
        if anew.any():
            self._begun[anew] = stamp
        back = observed & ~anew & (self._seen < self.newest - 1)
        if self._is_rotation:
            self._add_quats(slice(None), len(rows) - 1, anew)
        for frame in np.unique(self._seen[back]):
            self._bridge(frame - rows.first, np.flatnonzero(back & (self._seen == frame)))
        self._seen[observed] = self.newest
        self._seen_at[observed] = stamp
        self.gone = stamp - self._seen_at >= self.window

    def _bridge(self, row: int, columns: NDArray[np.intp]) -> None:
        """Interpolate between a row and the newest what was not observed between them."""
        if row < 0:
            return
        stamp, values = self.rows["stamp"], self.rows["values"]
        share = (stamp[row + 1 : -1] - stamp[row]) / (stamp[-1] - stamp[row])
        low, high = values[row, columns], values[-1, columns]
        if not self._is_rotation:
            values[row + 1 : -1, columns] = low + share[:, None, None] * (high - low)
            return
        shape = (len(share), len(columns), 3, 3)
        low, high = (np.broadcast_to(end.reshape(-1, 3, 3), shape) for end in (low, high))
        between = rotations.interpolate(low, high, np.broadcast_to(share[:, None], shape[:2]))
        values[row + 1 : -1, columns] = between.reshape(*shape[:2], 9)
        for bridged in range(row + 1, len(values)):
            self._add_quats(columns, bridged, np.zeros(len(columns), bool))

    def _add_quats(self, columns: Any, row: int, anew: NDArray[np.bool_]) -> None:
        quats = planes.quat_of_matrix(self.rows["values"][row, columns].T).T
        step = np.ones(len(quats))
        if row:
            step = (quats * self.rows["quats"][row - 1, columns]).sum(axis=1)
        step[anew] = 1.0
        self.rows["quats"][row, columns] = np.where(step[:, None] < 0, -quats, quats)
        self.rows["calm"][row, columns] = np.abs(step) > _FARTHEST

    def forget(self, keep: int) -> None:
        """Forget frames that neither a window nor the last ``keep`` frames need."""
        stamp = self.rows["stamp"]
        # Two frames more than the window, to interpolate from.
        needed = int(np.searchsorted(stamp, stamp[-1] - self.window, "right")) - 2
        needed = max(0, min(needed, len(stamp) - keep), len(stamp) - max(_MOST_FRAMES, keep))
        self.rows.forget(self.rows.first + needed)

    def begun_rows(self, least: int, most: int) -> NDArray[np.intp]:
        """Return (N,) the rows at which the vectors began, but none before ``least`` or after ``most``."""
        return np.clip(np.searchsorted(self.rows["stamp"], self._begun - 1e-6), least, most)

    def calm(self) -> NDArray[np.bool_]:
        """Return (N,) which rotations turn little from frame to frame all through the newest window."""
        inside = self.rows["stamp"] > self.rows["stamp"][-1] - self.window + 1
        return np.asarray(self.rows["calm"][inside].all(axis=0))

    def by_frames(self, length: int, column: str = "values") -> tuple[Array, Array]:
        """Return the newest ``length`` frames (length, N, D) and their quality (length, N, 2), to be read only."""
        stamps = self.rows["stamp"][-1] + np.arange(1 - length, 1)
        if len(self.rows) >= length and not (self._begun > stamps[0] + 1e-6).any():
            return self.rows[column][-length:], self.rows["quality"][-length:]
        index = np.maximum(np.arange(len(self.rows) - length, len(self.rows)), 0)
        return self._begun_only(stamps, self.rows[column][index], self.rows["quality"][index])

    def by_clock(self, column: str = "values") -> tuple[Array, Array]:
        """Return the same of the newest window at whole frames of the network's clock back from the newest frame."""
        stamp = self.rows["stamp"]
        at = stamp[-1] + np.arange(1.0 - self.window, 1.0)
        values = cubic(stamp, self.rows[column], at)
        after = np.minimum(np.searchsorted(stamp, at), len(stamp) - 1)
        before = np.maximum(after - 1, 0)
        nearest = np.where(at - stamp[before] <= stamp[after] - at, before, after)
        usual = float(np.median(np.diff(stamp[-self.window :]))) if len(stamp) > 1 else 1.0
        quality = self.rows["quality"][nearest]
        quality[np.abs(stamp[nearest] - at) > _NEAR * max(1.0, usual)] = 0.0
        return self._begun_only(at, values, quality)

    def _begun_only(self, stamps: Array, values: Array, quality: Array) -> tuple[Array, Array]:
        """Continue, in place, each vector by point reflection to before it began, and its quality by reflection."""
        for begun in np.unique(self._begun[self._begun > stamps[0] + 1e-6]):
            columns = np.flatnonzero(self._begun == begun)
            early = int(np.searchsorted(stamps, begun - 1e-6))
            if early == len(stamps):
                # Nothing is known of them yet.
                quality[:, columns] = 0.0
                continue
            before = ((early, 0), (0, 0), (0, 0))
            values[:, columns] = np.pad(values[early:, columns], before, mode="reflect", reflect_type="odd")
            quality[:, columns] = np.pad(quality[early:, columns], before, mode="reflect")
        return values, quality


def cubic(nodes: Array, values: Array, at: Array) -> Array:
    """Return the values (M, ...) at times (M,) of a cubic through ``values`` (K, ...) at times (K,), in time order."""
    index, weights = cubic_weights(nodes, at)
    first, stop = index.min(), index.max() + 1
    table = np.zeros((len(at), stop - first))
    for k in range(4):
        table[np.arange(len(at)), index[:, k] - first] += weights[:, k]
    return (table @ values[first:stop].reshape(stop - first, -1)).reshape(len(at), *values.shape[1:])


def cubic_weights(nodes: Array, at: Array) -> tuple[NDArray[np.intp], Array]:
    """Return which nodes (M, 4) a cubic through points in time takes at times (M,), and their weights (M, 4).

    Hermite's cubic with the slopes of the parabolas through three nodes each; at the ends those of straight lines.
    Times outside the nodes are taken to be the nearest node.
    """
    last = len(nodes) - 1
    if not last:
        return np.zeros((len(at), 4), np.intp), np.tile([1.0, 0.0, 0.0, 0.0], (len(at), 1))
    left = np.clip(np.searchsorted(nodes, at, "right") - 1, 0, last - 1)
    index = np.stack([np.maximum(left - 1, 0), left, left + 1, np.minimum(left + 2, last)], axis=1)
    before, h, after = np.diff(nodes[index], axis=1).T
    u = np.clip((at - nodes[left]) / h, 0.0, 1.0)
    weights = np.zeros((len(at), 4))
    weights[:, 1] = 1 - u * u * (3 - 2 * u)
    weights[:, 2] = u * u * (3 - 2 * u)
    for slope, gap, inner, outer in ((u * (1 - u) ** 2, before, 1, 0), (u * u * (u - 1), after, 2, 3)):
        # The slope, times h, is a mean of that of the piece itself and that of the piece beside it.
        there = gap > 0
        share = np.where(there, h / np.where(there, h + gap, 1.0), 0.0)
        own = slope * (1 - share)
        weights[:, 1] -= own
        weights[:, 2] += own
        beside = slope * share * np.where(there, h / np.where(there, gap, 1.0), 0.0)
        sign = 1.0 if outer == 0 else -1.0
        weights[:, inner] += sign * beside
        weights[:, outer] -= sign * beside
    return index.astype(np.intp), weights
