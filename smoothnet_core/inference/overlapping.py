"""From a track to its overlapping windows and back, for networks that run without torch.

Numbers of neighbouring windows lie side by side in memory: every step is then done on long rows. To get there, a
stretch of a track is written down as blocks of ``hop`` frames, all blocks' first frames in a row, then the second ones,
and so on; its windows are overlapping views of that. However long the track, a task holds a few joints for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.inference.scratch import room
from smoothnet_core.inference.threads import each
from smoothnet_core.windows import blend_weights, lengthened

Array = NDArray[Any]

# Windows beside each other in memory, at least: rows much shorter than this cost more to begin than to go through.
_LONG_ROW = 128
# Windows of a stretch for each one at its ends that the neighbouring stretches compute too.
_FOR_EACH_SHARED = 32
# Numbers of a track that are worth a thread. Joints are parted whatever the number of threads: it changes no bit.
_WORTH = 60_000
# Energies of a joint that float32 holds with all their digits, and what counts as a number of a track.
_SMALL, _LARGE, _LARGEST = 1e-30, 1e30, 1e100


class Network(Protocol):
    """What runs windows.

    Attributes:
        columns: numbers side by side in memory that it likes to be given: as many as stay in the cache.
        centred: whether it sees each window relative to its own middle, and answers with what is to be added to it.
        dtype: what it computes in.
    """

    columns: int
    centred: bool
    dtype: np.dtype[Any]

    def run(self, rows: Array, quality: Array | None) -> Array:
        """Return (W, J, D, M), weighted as windows are blended, from M windows of J joints (W, J, D, M).

        What it returns is overwritten by the next call in the same thread. ``quality`` is (W, 2, J, M), or None where
        all of it is 1.
        """
        ...


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
    window: int,
    hop: int,
    blend: str,
    strength: float = 1.0,
    frame: Frame | None = None,
    unfit: str = "take",
) -> None:
    """Refine all windows of a track and blend them.

    Args:
        track: (T, J, D) of any float type and strides, T >= 1. One shorter than a window is continued beyond its ends.
        quality: (T, J, 2): confidence in [0, 1], and 1 where the frame was observed; None: all of it is 1.
        network: see :class:`Network`.
        out: (T, J, D) to write to.
        window: frames a window.
        hop: frames between the starts of windows, 1 to ``window``.
        blend: ``uniform`` or ``taper``.
        strength: 0 to 1.
        frame: for a network that does not centre.
        unfit: ``take`` numbers as they are, or ``refuse`` a track that should be looked at first.

    Raises:
        UnfitTrackError: see ``unfit``; part of ``out`` may have been written to.
    """
    if len(track) < window:
        seen = np.ones((*track.shape[:2], 2)) if quality is None else quality
        longer, seen, own = lengthened(track, seen, window)
        whole = np.empty(longer.shape, out.dtype)
        how = {"window": window, "hop": hop, "blend": blend, "strength": strength, "frame": frame, "unfit": unfit}
        refine_overlapping(longer, seen, network, whole, **how)
        out[...] = whole[own : own + len(track)]
        return
    careful = unfit == "refuse"
    job = _Job(track, quality, network, out, window, hop, blend_weights(blend, window), strength, frame, careful)
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
    weights: Array
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

    @property
    def exact(self) -> np.dtype[Any]:
        """What numbers are kept in beside the network: nothing that the track holds gets lost."""
        return np.result_type(self.track.dtype, self.network.dtype)

    def stretches(self) -> list[_Stretch]:
        count, size = self.track.shape[1:]
        # Of single numbers as few as of pairs: networks keep more of each window than its numbers.
        most = max(1, self.network.columns // max(2, size))
        long = min(self.regular, max(_LONG_ROW, _FOR_EACH_SHARED * (self.parts - 1)))
        worth = self.track.size // _WORTH
        pieces = 4 if worth >= 4 else 2 if worth >= 2 else 1
        together = max(1, min(most // long, -(-count // pieces)))
        long = self.regular if self.regular <= long else max(1, most // together)
        # All of one size, for which networks keep memory, but for the last: the window at the end lies in it.
        edges = list(range(0, max(1, self.regular - max(long // 2, self.parts + 1)), long))
        edges.append(-(-len(self.track) // self.hop))
        return [
            _Stretch(slice(start, start + together), first, last)
            for first, last in pairwise(edges)
            for start in range(0, count, together)
        ]

    def do(self, stretch: _Stretch) -> None:
        """Refine a stretch: all windows that touch it are computed here."""
        hop, window, parts = self.hop, self.window, self.parts
        first, last = max(0, stretch.first - parts + 1), min(self.regular, stretch.last)
        at_end = self.misses_end and stretch.last * hop >= len(self.track)
        track = self.track[:, stretch.joints]
        if self.network.centred:
            # From its first frame on, so that what never moves is seen as zeros exactly.
            base = np.asarray(track[first * hop], self.exact)
        else:
            assert self.frame is not None
            base = self.frame.offset[stretch.joints].astype(self.exact)
        many = last - first
        count = max(many + parts - 1, stretch.last - first)
        with np.errstate(invalid="ignore" if self.careful else "warn", over="ignore"):
            blocks = self._blocks(track, base, first, count)
            if self.careful:
                _check_size(base, blocks)
            end = np.array(track[len(track) - window :] - base, order="C") if at_end else None
            scale = None if self.frame is None else self.frame.scale[stretch.joints]
            if scale is not None and (scale != 1).any():
                blocks /= scale[:, :, None]
                end = None if end is None else end / scale
            rows = self._windows(blocks, many, end)
        answer = self.network.run(rows, self._quality(stretch, first, last, at_end))

        sums = room("sums", blocks.shape, self.network.dtype)
        sums[..., :many], sums[..., many:] = answer[:hop, ..., :many], 0
        norm = np.zeros((hop, count))
        for part in range(parts):
            piece = slice(part * hop, (part + 1) * hop)
            steps = len(self.weights[piece])
            if part:
                sums[:steps, :, :, part : part + many] += answer[piece, ..., :many]
            norm[:steps, part : part + many] += self.weights[piece, None]
        if at_end:
            place, step = np.divmod(len(track) - window - first * hop + np.arange(window), hop)
            sums[step, :, :, place] += answer[..., many]
            norm[step, place] += self.weights
        own = slice(stretch.first - first, stretch.last - first)
        change = sums[..., own]
        # Beyond the end of the track there is nothing.
        change *= (self.strength / np.where(norm > 0, norm, 1)).astype(change.dtype)[:, None, None, own]
        values = room("values", change.shape, self.exact)
        self._refined(blocks[..., own], base, change, stretch.joints, values)
        target = self.out[stretch.first * hop : stretch.last * hop, stretch.joints]
        if target.dtype.itemsize < 4:
            limit = float(np.finfo(target.dtype).max)
            np.clip(values, -limit, limit, out=values)
        whole = len(target) // hop
        target[: whole * hop].reshape(whole, hop, *target.shape[1:])[...] = values[..., :whole].transpose(3, 0, 1, 2)
        target[whole * hop :] = values[: len(target) - whole * hop, ..., -1]

    def _refined(self, blocks: Array, base: Array, change: Array, joints: slice, out: Array) -> None:
        """Write the refined numbers, from what they were relative to the base and what the network says of them."""
        if self.frame is None:
            np.add(blocks, change, out=out)
            out += base[:, :, None]
            return
        if self.strength < 1:
            change = change + (1 - self.strength) * blocks
        np.multiply(change, self.frame.scale[joints][:, :, None], out=out)
        out += base[:, :, None]

    def _blocks(self, track: Array, base: Array, first: int, count: int) -> Array:
        """Return (hop, J, D, count) the frames of blocks from the first, relative to the base."""
        hop, own = self.hop, track[first * self.hop :]
        blocks = room("blocks", (hop, *track.shape[1:], count), self.exact)
        whole = min(count, len(own) // hop)
        steps = own[: whole * hop].reshape(whole, hop, *own.shape[1:]).transpose(1, 2, 3, 0)
        np.subtract(steps, base[:, :, None], out=blocks[..., :whole])
        if whole < count:
            # Beyond the end only where a window does not need it.
            blocks[..., whole:] = 0
            rest = own[whole * hop : (whole + 1) * hop] - base
            blocks[: len(rest), :, :, whole] = rest
        return blocks

    def _windows(self, blocks: Array, many: int, end: Array | None) -> Array:
        """Return windows (W, J, D, M): the regular ones of blocks, and the one (W, J, D) at the end of the track."""
        parts, (hop, count, size) = self.parts, blocks.shape[:3]
        rows = room("rows", (parts * hop, count, size, many + (end is not None)), self.network.dtype)
        strides = blocks.strides
        view = np.lib.stride_tricks.as_strided(
            blocks, (parts, hop, count, size, many), (strides[3], *strides), writeable=False
        )
        target = rows.reshape(parts, hop, count, size, -1)[..., :many]
        if self.network.centred:
            np.subtract(view, self._middles(blocks, many), out=target, casting="same_kind")
        else:
            np.copyto(target, view, casting="same_kind")
        if end is not None:
            rows[: self.window, ..., many] = end - end.mean(axis=0) if self.network.centred else end
        return rows[: self.window]

    def _middles(self, blocks: Array, many: int) -> Array:
        """Return the means (J, D, M) of windows."""
        whole, rest = divmod(self.window, self.hop)
        sums = blocks.sum(axis=0)
        middles = sums[..., :many].copy()
        for part in range(1, whole):
            middles += sums[..., part : part + many]
        if rest:
            middles += blocks[:rest].sum(axis=0)[..., whole : whole + many]
        middles /= self.window
        return middles

    def _quality(self, stretch: _Stretch, first: int, last: int, at_end: bool) -> Array | None:
        """Return (W, 2, J, M), or None where all of it is 1."""
        if self.quality is None:
            return None
        quality = self.quality[:, stretch.joints]
        end = len(quality) if at_end else (last - 1) * self.hop + self.window
        if (quality[first * self.hop : end] == 1).all():
            return None
        return self._plain_windows(quality, first, last, at_end).transpose(0, 2, 1, 3)

    def _plain_windows(self, quality: Array, first: int, last: int, at_end: bool) -> Array:
        """Return windows (W, J, 2, M) of the quality."""
        starts = self.hop * np.arange(first, last)
        if at_end:
            starts = np.append(starts, len(quality) - self.window)
        return quality[starts + np.arange(self.window)[:, None]].transpose(0, 2, 3, 1)


def _check_size(base: Array, blocks: Array) -> None:
    energy = np.einsum("hjdm,hjdm->j", blocks, blocks)
    still = energy == 0
    fit = still | ((energy > _SMALL) & (energy < _LARGE))
    # Squares of what is very small are zero too.
    if not fit.all() or not (np.abs(base) < _LARGEST).all() or (still.any() and blocks[:, still].any()):
        raise UnfitTrackError
