"""What is done with a stretch of a track, settled before its numbers are known.

Threads take turns at the interpreter: while one looks at arrays and makes views of them, another that comes from a
product waits. So all stretches of one shape use the same memory, and what is done with it is a list of prepared calls.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.inference.layout import Layout, Step
from smoothnet_core.inference.scratch import kept, room
from smoothnet_core.windows import end_weights

Array = NDArray[Any]
Run = Callable[["Array | None"], object]

# What a sum of weights may be off from 1.
_EQUAL = 1e-6


class Network(Protocol):
    """What runs windows.

    Attributes:
        columns: numbers side by side in memory that it likes to be given: as many as stay in the cache.
        least_size: of vectors with fewer numbers it likes no more windows than of those with so many.
        centred: whether it sees each window relative to its own middle, and answers with what is to be added to it.
        dtype: what it computes in.
        weights: (W,) that the frames of its answers are multiplied by, see
            :func:`smoothnet_core.windows.overlap_weights`.
    """

    columns: int
    least_size: int
    centred: bool
    dtype: np.dtype[Any]
    weights: Array

    def on(self, rows: Array) -> tuple[Run, Array]:
        """Return what runs the M windows of vectors that stand in some memory (W, D, M), and where its answers stand.

        The answers (W, D, M) are times the weights. What runs them takes their quality (W, 2, M), or None where all of
        it is 1; it may overwrite the windows.
        """
        ...


class Plan:
    """A stretch of one shape.

    Args:
        network: what runs its windows.
        layout: how it lies in memory.
        dtype: what its numbers are kept in beside the network.
        regular: windows in step.
        end: where the window begins that is aligned with the end of the track, or None.
        strength: 0 to 1.
    """

    def __init__(
        self, network: Network, layout: Layout, dtype: np.dtype[Any], regular: int, end: int | None, strength: float
    ) -> None:
        self._layout, self._network, self._strength = layout, network, strength
        self._regular, self._end = regular, end
        self._padded = layout.memory("values", dtype)
        self.values = self._padded[:, : layout.columns]
        rows = room("windows", (layout.parts * layout.hop, layout.columns), network.dtype)
        self._before = layout.windows(self._padded, rows, centred=network.centred)
        self._windows = rows[: layout.window]
        self._run, answer = network.on(self._windows.reshape(layout.window, layout.size, -1))
        self._after, self.change = self._blending(answer.reshape(layout.window, -1))

    def read(self, track: Array, base: Array) -> None:
        """Write to the values a track (T, joints, size), relative to a base (joints, size)."""
        self._layout.read(track, base, self._padded)

    def run(self, quality: Array | None) -> None:
        """Go from the values to the change: (hop, columns) what windows say of each frame, blended, times strength.

        Args:
            quality: (T, joints, 2) from the first frame of the stretch on, or None where all of it is 1.
        """
        for step in self._before:
            step()
        if self._end is not None:
            _copy_end(self._layout, self.values, self._windows, self._regular, self._end, self._network.centred)
        self._run(None if quality is None else self._windows_of(quality))
        for step in self._after:
            step()

    def _windows_of(self, quality: Array) -> Array | None:
        """Return (W, 2, M), or None where all of it is 1."""
        own = self._layout
        seen = len(quality) if self._end is not None else (self._regular - 1) * own.hop + own.window
        if (quality[:seen] == 1).all():
            return None
        layout = Layout(own.hop, own.window, own.blocks, own.joints, 2)
        padded = layout.memory("qualities", self._network.dtype)
        layout.read(quality, np.zeros(quality.shape[1:]), padded)
        rows = room("windows of quality", (layout.parts * layout.hop, layout.columns), self._network.dtype)
        for step in layout.windows(padded, rows, centred=False):
            step()
        if self._end is not None:
            _copy_end(layout, padded[:, : layout.columns], rows[: own.window], self._regular, self._end, centred=False)
        return rows[: own.window].reshape(own.window, 2, -1)

    def _blending(self, answer: Array) -> tuple[list[Step], Array]:
        """Return what adds up the answers (W, columns) for each frame, in their memory, and the sums."""
        layout, weights, regular = self._layout, self._network.weights, self._regular
        hop, answers, sums = layout.hop, layout.grid(answer), answer[: layout.hop]
        norm = np.zeros((hop, layout.blocks))
        # Those beyond begin too late to be windows; one of them stands for the window at the end.
        steps: list[Step] = [partial(answers[:, :, regular:].fill, 0)]
        last = None
        if self._end is not None:
            last = np.empty_like(answers[:, :, regular])
            steps.insert(0, partial(np.copyto, last, answers[:, :, regular]))
        for part in range(layout.parts):
            own = slice(part * hop, (part + 1) * hop)
            piece, shift = answer[own], part * layout.shift
            norm[: len(piece), part : part + regular] += weights[own, None]
            if part:
                target = sums[: len(piece), shift:]
                steps.append(partial(np.add, target, piece[:, : layout.columns - shift], out=target))
        if last is not None:
            assert self._end is not None
            places = layout.places(self._end)
            late = end_weights(weights)
            norm[places[0], places[2]] += late
            if not late[0]:
                steps.append(partial(last[0].fill, 0))
            steps.append(partial(_add, layout.grid(sums), places, last))
        factor = self._strength / np.where(norm > 0, norm, 1)
        # The weights of windows in step mostly add up to 1: what is left are the ends of a track.
        uneven = np.flatnonzero((np.abs(factor - 1) > _EQUAL).any(axis=0))
        for run in np.split(uneven, np.flatnonzero(np.diff(uneven) > 1) + 1) if uneven.size else []:
            blocks = slice(run[0], run[-1] + 1)
            target = layout.grid(sums)[:, :, blocks]
            steps.append(partial(np.multiply, target, factor[:, None, blocks, None].astype(sums.dtype), out=target))
        return steps, sums


def run_windows(network: Network, windows: Array, quality: Array | None = None) -> Array:
    """Refine windows one by one, on a network whose weights are ones.

    Args:
        network: what runs them.
        windows: (N, W, D) of the network's dtype.
        quality: (N, W, 2) likewise: confidence in [0, 1], and 1 where the frame was observed; None: all of it is 1.

    Returns:
        (N, W, D).

    Raises:
        ValueError: the shape or type of ``windows`` is not as above.
    """
    if windows.ndim != 3 or windows.shape[1] != len(network.weights):
        raise mismatch("windows", f"(N, {len(network.weights)}, D)", windows.shape)
    if windows.dtype != network.dtype:
        raise mismatch("type of the windows", network.dtype, windows.dtype)
    result = np.empty_like(windows)
    at_once = max(1, network.columns // max(network.least_size, windows.shape[2]))
    for start in range(0, len(windows), at_once):
        part = slice(start, start + at_once)
        inner = windows[part].transpose(1, 2, 0)
        rows, run, answer = kept((network, inner.shape), partial(_alone, network, inner.shape))
        middle = inner.mean(axis=0, dtype=np.float64) if network.centred else 0
        np.subtract(inner, middle, out=rows, casting="same_kind")
        seen = None if quality is None or (quality[part] == 1).all() else quality[part].transpose(1, 2, 0)
        run(None if seen is None else np.ascontiguousarray(seen))
        refined = answer.transpose(2, 0, 1)
        result[part] = windows[part] + refined if network.centred else refined
    return result


def _alone(network: Network, shape: tuple[int, ...]) -> tuple[Array, Run, Array]:
    """Return memory for windows (W, D, M), and what runs them."""
    rows = np.empty(shape, network.dtype)
    return rows, *network.on(rows)


def _copy_end(layout: Layout, values: Array, windows: Array, regular: int, end: int, centred: bool) -> None:
    """Write the window that is aligned with the end of the track after the last one in step."""
    last = layout.grid(values)[layout.places(end)]
    layout.grid(windows)[:, :, regular] = last - last.mean(axis=0) if centred else last


def _add(grid: Array, places: tuple[Array, slice, Array], more: Array) -> None:
    grid[places] += more
