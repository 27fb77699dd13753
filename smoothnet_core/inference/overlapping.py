"""From a track to its overlapping windows and back, for networks that run without torch.

Numbers of neighbouring windows lie side by side in memory: every step is then done on long rows. To get there, a
stretch of a track is written down as blocks of ``hop`` frames, all blocks' first frames in a row, then the second ones,
and so on; its windows are overlapping views of that, as far apart as a block is wide. However long the track, a task
holds a few joints for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.inference.layout import Layout
from smoothnet_core.inference.plan import Network, Plan
from smoothnet_core.inference.scratch import kept
from smoothnet_core.inference.threads import each
from smoothnet_core.windows import lengthened

Array = NDArray[Any]

# Windows of a stretch for each one at its ends that the neighbouring stretches compute too.
_FOR_EACH_SHARED = 32
# Numbers of a track that are worth a thread. Tracks are parted whatever the number of threads: it changes no bit.
_WORTH = 60_000
# Energies of a joint that float32 holds with all their digits, and what counts as a number of a track.
_SMALL, _LARGE, _LARGEST = 1e-30, 1e30, 1e100


class UnfitTrackError(Exception):
    """A track holds what is no number, or joints that move by less or more than float32 can square."""


@dataclass(frozen=True, eq=False)
class Frame:
    """What a network that does not centre sees a track relative to: offset and scale, both (J, D)."""

    offset: Array
    scale: Array


def refine_overlapping(
    track: Array,
    quality: Array | None,
    network: Network,
    out: Array,
    *,
    hop: int,
    strength: float = 1.0,
    frame: Frame | None = None,
    unfit: str = "take",
) -> None:
    """Refine all windows of a track and blend them as the network's weights say.

    Args:
        track: (T, J, D) of any float type and strides, T >= 1. One shorter than a window is continued beyond its ends.
        quality: (T, J, 2): confidence in [0, 1], and 1 where the frame was observed; None: all of it is 1.
        network: see :class:`~smoothnet_core.inference.plan.Network`.
        out: (T, J, D) to write to.
        hop: frames between the starts of windows, 1 to the window.
        strength: 0 to 1.
        frame: for a network that does not centre.
        unfit: ``take`` numbers as they are, or ``refuse`` a track that should be looked at first.

    Raises:
        UnfitTrackError: see ``unfit``; part of ``out`` may have been written to.
    """
    window = len(network.weights)
    if len(track) < window:
        seen = np.ones((*track.shape[:2], 2)) if quality is None else quality
        longer, seen, own = lengthened(track, seen, window)
        whole = np.empty(longer.shape, out.dtype)
        refine_overlapping(longer, seen, network, whole, hop=hop, strength=strength, frame=frame, unfit=unfit)
        out[...] = whole[own : own + len(track)]
        return
    job = _Job(track, quality, network, out, window, hop, strength, frame, unfit == "refuse")
    each(job.do, job.stretches())


class _Stretch(NamedTuple):
    """Joints, and blocks of frames from ``first`` up to before ``last``; the last one goes to the end of the track."""

    joints: slice
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class _Job:
    track: Array
    quality: Array | None
    network: Network
    out: Array
    window: int
    hop: int
    strength: float
    frame: Frame | None
    careful: bool

    @property
    def parts(self) -> int:
        """Blocks that a window lies in."""
        return -(-self.window // self.hop)

    @property
    def regular(self) -> int:
        """Windows in step; where they miss the end one more is aligned with it."""
        return (len(self.track) - self.window) // self.hop + 1

    @property
    def misses_end(self) -> bool:
        return (len(self.track) - self.window) % self.hop != 0

    def stretches(self) -> list[_Stretch]:
        count, size = self.track.shape[1:]
        most = max(1, self.network.columns // max(self.network.least_size, size))
        shared = self.parts - 1
        least = min(self.regular, _FOR_EACH_SHARED * max(1, shared))
        together = max(1, min(count, most // least))
        together = -(-count // -(-count // together))
        # Windows of a stretch, those included that the one before computes too. All have the same number, for which
        # networks keep memory, but for the last: the window at the end lies in it.
        pieces = -(-min(4, self.track.size // _WORTH) * together // count)
        most_windows = max(least, min(most // together, -(-self.regular // max(1, pieces)) + shared))
        step = max(1, most_windows - shared)
        edges = [0, *range(most_windows, max(1, self.regular - max(step // 2, self.parts + 1)), step)]
        edges.append(-(-len(self.track) // self.hop))
        return [
            _Stretch(slice(start, start + together), first, last)
            for first, last in pairwise(edges)
            for start in range(0, count, together)
        ]

    def do(self, stretch: _Stretch) -> None:
        """Refine a stretch: all windows that touch it are computed here."""
        hop, network = self.hop, self.network
        first, last = max(0, stretch.first - self.parts + 1), min(self.regular, stretch.last)
        track = self.track[first * hop :, stretch.joints]
        at_end = self.misses_end and stretch.last * hop >= len(self.track)
        # What numbers are kept in beside the network: nothing that the track holds gets lost.
        exact = np.result_type(track.dtype, network.dtype)
        blocks = max(last - first + self.parts - 1, stretch.last - first)
        layout = Layout(hop, self.window, blocks, *track.shape[1:])
        shape = (network, layout, exact, last - first, len(track) - self.window if at_end else None, self.strength)
        plan = kept(shape, lambda: Plan(*shape))
        # From its first frame on, so that what never moves is seen as zeros exactly.
        base = np.asarray(track[0] if self.frame is None else self.frame.offset[stretch.joints], exact)
        scale = None if self.frame is None else self.frame.scale[stretch.joints].T[:, None]
        values, change = plan.values, plan.change
        with np.errstate(invalid="ignore" if self.careful else "warn", over="ignore"):
            plan.read(track, base)
            if self.careful:
                _check_size(base, layout.grid(values))
            if scale is not None and (scale != 1).any():
                layout.grid(values)[...] /= scale
            plan.run(None if self.quality is None else self.quality[first * hop :, stretch.joints])
        if scale is None:
            values += change
        else:
            if self.strength < 1:
                change += ((1 - self.strength) * values).astype(change.dtype)
            np.multiply(layout.grid(change), scale, out=layout.grid(values))
        target = self.out[stretch.first * hop : stretch.last * hop, stretch.joints]
        if target.dtype.itemsize < 4:
            limit = float(np.finfo(target.dtype).max)
            layout.grid(values)[...] += base.T[:, None]
            base = np.zeros_like(base)
            np.clip(values, -limit, limit, out=values)
        layout.write(values, base, stretch.first - first, target)


def _check_size(base: Array, grid: Array) -> None:
    energy = np.einsum("hdbj,hdbj->j", grid, grid)
    still = energy == 0
    fit = still | ((energy > _SMALL) & (energy < _LARGE))
    # Squares of what is very small are zero too.
    if not fit.all() or not (np.abs(base) < _LARGEST).all() or (still.any() and grid[..., still].any()):
        raise UnfitTrackError
