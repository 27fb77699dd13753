"""How a stretch of a track and its windows lie in memory.

The stretch is written down as blocks of ``hop`` frames: a row for each frame of a block, and in a row the numbers of
all blocks, joint by joint and coordinate by coordinate. Windows are views of that, each of its parts a block further:
side by side in memory like the blocks that they begin with, and as many, though the last begin too late to be windows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from smoothnet_core.inference.scratch import room

Array = NDArray[Any]
Step = Callable[[], object]

# As many joints and more lie beside each other, as in the track; of fewer, the blocks do.
_SIDE_BY_SIDE = 8


@dataclass(frozen=True)
class Layout:
    """A stretch in memory.

    Attributes:
        hop: frames of a block, between the starts of windows.
        window: frames of a window.
        blocks: how many there are.
        joints: how many there are.
        size: numbers of a joint.
    """

    hop: int
    window: int
    blocks: int
    joints: int
    size: int

    @cached_property
    def parts(self) -> int:
        """Blocks that a window lies in."""
        return -(-self.window // self.hop)

    @cached_property
    def columns(self) -> int:
        """Numbers of a row."""
        return self.size * self.blocks * self.joints

    @cached_property
    def shift(self) -> int:
        """How far apart in a row the same number of two neighbouring blocks is."""
        return self.joints if self._joints_last else 1

    @cached_property
    def _joints_last(self) -> bool:
        return self.joints >= _SIDE_BY_SIDE

    def grid(self, rows: Array) -> Array:
        """Return rows (R, columns) as (R, size, blocks, joints), in the same memory."""
        if self._joints_last:
            return rows.reshape(-1, self.size, self.blocks, self.joints)
        return rows.reshape(-1, self.size, self.joints, self.blocks).swapaxes(2, 3)

    def places(self, start: int) -> tuple[Array, slice, Array]:
        """Return where in a grid of blocks the frames of a window are that starts anywhere: (window, size, joints)."""
        block, step = np.divmod(start + np.arange(self.window), self.hop)
        return step, slice(None), block

    def memory(self, name: str, dtype: DTypeLike) -> Array:
        """Return (hop, columns + padding) to read a track to."""
        return room(name, (self.hop, self.columns + (self.parts - 1) * self.shift), dtype)

    def read(self, track: Array, base: Array, padded: Array) -> None:
        """Write a track down.

        Args:
            track: (T, joints, size); the last block may go beyond its end, where zeros are.
            base: (joints, size) that it is taken relative to.
            padded: see :meth:`memory`. Beyond each row there are zeros, for windows that begin too late.
        """
        padded[:, self.columns :] = 0
        grid, base = self.grid(padded[:, : self.columns]), base.T
        whole = min(self.blocks, len(track) // self.hop)
        np.subtract(
            self._long(self._by_blocks(track, whole)), self._long(base[:, None]), out=self._long(grid[:, :, :whole])
        )
        if whole < self.blocks:
            grid[:, :, whole:] = 0
            rest = track[whole * self.hop : (whole + 1) * self.hop]
            grid[: len(rest), :, whole] = rest.transpose(0, 2, 1) - base

    def windows(self, padded: Array, out: Array, *, centred: bool) -> list[Step]:
        """Return what writes all windows of what was read.

        Args:
            padded: see :meth:`memory`.
            out: (parts * hop, columns).
            centred: whether each window is taken relative to its own middle.
        """
        between, number = padded.strides
        shape = (self.parts, self.hop, self.columns)
        view = np.lib.stride_tricks.as_strided(padded, shape, (self.shift * number, between, number), writeable=False)
        target = out.reshape(shape)
        if not centred:
            return [partial(np.copyto, target, view, casting="same_kind")]
        whole, rest = divmod(self.window, self.hop)
        sums = np.empty(padded.shape[1], padded.dtype)
        middles = np.empty(self.columns, padded.dtype)
        after = [sums[part * self.shift :][: self.columns] for part in range(whole)]
        steps: list[Step] = [partial(np.add.reduce, padded, axis=0, out=sums), partial(np.copyto, middles, after[0])]
        steps += [partial(np.add, middles, own, out=middles) for own in after[1:]]
        if rest:
            last = np.empty(self.columns, padded.dtype)
            own = padded[:rest, whole * self.shift :][:, : self.columns]
            steps += [partial(np.add.reduce, own, axis=0, out=last), partial(np.add, middles, last, out=middles)]
        steps.append(partial(np.divide, middles, padded.dtype.type(self.window), out=middles))
        steps.append(partial(np.subtract, view, middles, out=target, casting="same_kind"))
        return steps

    def write(self, rows: Array, base: Array, first: int, target: Array) -> None:
        """Write frames (T, joints, size) from block ``first`` on to the target, and add the base (joints, size)."""
        grid, base = self.grid(rows), base.T
        whole, left = divmod(len(target), self.hop)
        np.add(
            self._long(grid[:, :, first : first + whole]),
            self._long(base[:, None]),
            out=self._long(self._by_blocks(target, whole)),
            casting="same_kind",
        )
        if left:
            target[whole * self.hop :] = (grid[:left, :, first + whole] + base).transpose(0, 2, 1)

    def _by_blocks(self, track: Array, count: int) -> Array:
        """Return the first blocks of (T, joints, size) as a grid, in the same memory."""
        return track[: count * self.hop].reshape(count, self.hop, self.joints, self.size).transpose(1, 3, 0, 2)

    def _long(self, grid: Array) -> Array:
        """Return a grid with the axis last that NumPy is to go along: it would not choose the longer one by itself."""
        return grid if self._joints_last else grid.swapaxes(-2, -1)
