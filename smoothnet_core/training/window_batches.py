"""All windows of paired clips, shuffled anew every epoch, as the paper trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from smoothnet_core._checks import mismatch
from smoothnet_core.training.batches import Batch, Pair


class WindowBatches:
    """Draws every stride-1 window of every clip once an epoch; the same seed gives the same batches.

    The joints of all windows of a batch are tracks of their own, so clips may have different joints.

    Attributes:
        epoch: batches an epoch; the last one of an epoch may be smaller.
    """

    def __init__(
        self, pairs: Sequence[Pair], window: int, batch: int, seed: int, part: int = 0, parts: int = 1
    ) -> None:
        """Take paired clips (metres, relative to the root, at one frame rate), frames a window and windows a batch.

        Of ``parts`` of every batch of ``parts`` times so many windows, number ``part`` is drawn. For parts of equal
        size some windows, fewer than there are parts, come twice an epoch.

        Raises:
            ValueError: no clip is as long as one window.
        """
        self._pairs, self._window, self._size, self._part, self._parts = pairs, window, batch, part, parts
        counts = count_windows(pairs, window)
        self._clip = np.repeat(np.arange(len(pairs)), counts)
        if not len(self._clip):
            raise mismatch("paired clips", f"at least one of {window} frames or more", f"none of {len(pairs)}")
        self._start = np.concatenate([np.arange(count) for count in counts])
        self._quality = [np.stack([p.confidence * p.observed, p.observed], axis=-1) for p in pairs]
        self.epoch = -(-len(self._clip) // (batch * parts))
        self._rng = np.random.default_rng(seed)
        self._shuffle()

    def batch(self) -> Batch:
        """Return the next batch."""
        if self._next == self.epoch:
            self._shuffle()
        chosen = self._order[self._next * self._size :][: self._size]
        self._next += 1
        parts: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
        for clip, start in zip(self._clip[chosen].tolist(), self._start[chosen].tolist(), strict=True):
            piece = slice(start, start + self._window)
            pair = self._pairs[clip]
            for part, track in zip(parts, (pair.estimate, pair.groundtruth, self._quality[clip]), strict=True):
                part.append(track[piece].transpose(1, 0, 2))
        return Batch(*(np.concatenate(part).astype(np.float32) for part in parts))

    def state(self) -> dict[str, Any]:
        """Return what :meth:`restore` needs to continue with the same batches; JSON can hold it."""
        return {"shuffled_by": self._shuffled_by, "next": self._next}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue where :meth:`state` was taken."""
        self._rng.bit_generator.state = state["shuffled_by"]
        self._shuffle()
        self._next = state["next"]

    def _shuffle(self) -> None:
        self._shuffled_by = dict(self._rng.bit_generator.state)
        order = self._rng.permutation(len(self._clip))
        self._order = np.resize(order, -(-len(order) // self._parts) * self._parts)[self._part :: self._parts]
        self._next = 0


def count_windows(pairs: Sequence[Pair], window: int) -> list[int]:
    """Return how many stride-1 windows each clip has."""
    return [max(0, len(pair.estimate) - window + 1) for pair in pairs]
