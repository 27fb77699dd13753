"""What each of several processes draws of every batch, and data that are read shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import check_positive, mismatch
from smoothnet_core.training.batches import Pair

# Batches drawn from a shard before the next one is read, at most; each shard has its turn at least twice in a run.
_TURN, _TURNS = 200, 2


class Shard(NamedTuple):
    """Some of the training data, all at one frame rate: paired clips, and clean tracks (T, J, 3) in metres."""

    pairs: Sequence[Pair] = ()
    clean: Sequence[NDArray[Any]] = ()


# Each is read by its call, and forgotten once nobody draws from it.
Shards = Sequence[Callable[[], Shard]]


def in_memory(pairs: Sequence[Pair] = (), clean: Sequence[NDArray[Any]] = ()) -> Shards:
    """Return data that are there already."""
    shard = Shard(pairs, clean)
    return [lambda: shard]


@dataclass(frozen=True)
class Share:
    """What this process draws: of the ``parts`` of every batch its own, ``rank``, ``rank + processes`` and so on.

    A part has random numbers of its own, and of data in shards those of its number, whichever process draws it. So
    the parts alone, and not the processes, decide what is trained.

    Attributes:
        rank: of this process, from 0 on.
        processes: that train together.
        parts: of a batch, equally large.
    """

    rank: int = 0
    processes: int = 1
    parts: int = 1

    def __post_init__(self) -> None:
        check_positive("share", self, ("processes", "parts"))
        if self.parts % self.processes:
            raise mismatch("parts of a batch", f"a multiple of the {self.processes} processes", self.parts)

    @property
    def own(self) -> range:
        """The numbers of the parts that this process draws."""
        return range(self.rank, self.parts, self.processes)

    def size(self, batch: int) -> int:
        """Return how much of a batch a part is.

        Raises:
            ValueError: they would not be equally large.
        """
        if batch % self.parts:
            raise mismatch("training setting batch", f"a multiple of its {self.parts} parts", batch)
        return batch // self.parts


def drawn(
    data: Shards,
    draw: Callable[[Shard, int], Any],
    share: Share,
    seed: int,
    turn: Callable[[Any], int] | int,
) -> list[Any]:
    """Return the batches of this process's own parts.

    Args:
        data: to draw from. Each part draws from all that is there at once; shards are dealt out to the parts in turn.
        draw: returns what draws one part from a shard, by a seed; see :class:`smoothnet_core.training.loop.Batches`.
        share: of this process.
        seed: of everything random; with one part it is that part's own.
        turn: batches drawn from a shard until the next one is read: of what draws them, or the steps of a run, in
            which each shard is to have a turn more than once.

    Raises:
        ValueError: there are fewer shards than parts, or nothing can be drawn from one of them.
    """
    seeds = [seed] if share.parts == 1 else [int(s) for s in np.random.SeedSequence(seed).generate_state(share.parts)]
    if len(data) == 1:
        shard = data[0]()
        return [draw(shard, seeds[part]) for part in share.own]
    if len(data) < share.parts:
        raise mismatch("shards", f"at least one for each of the {share.parts} parts of a batch", len(data))
    return [InTurn(data, range(part, len(data), share.parts), draw, seeds[part], turn) for part in share.own]


class InTurn:
    """Draws from shards one after the other, in an order drawn anew each round; one at a time is in memory."""

    def __init__(
        self,
        data: Shards,
        own: Sequence[int],
        draw: Callable[[Shard, int], Any],
        seed: int,
        turn: Callable[[Any], int] | int,
    ) -> None:
        """Take shards, the numbers of those to draw from, and what :func:`drawn` takes.

        Every shard is read once, so that what is wrong with one is known before the first step.

        Raises:
            ValueError: nothing can be drawn from a shard; it is named by its number.
        """
        self._data, self._own, self._draw = data, own, draw
        steps = max(1, min(_TURN, turn // (_TURNS * len(own)))) if isinstance(turn, int) else 0
        self._turn = turn if callable(turn) else lambda batches: steps
        self._rng = np.random.default_rng(seed)
        self._batches: Any = None
        for number in own:
            self._open(number, 0)
        self._order: list[int] = []
        self._next_shard()

    def batch(self) -> Any:
        """Return the next batch."""
        if not self._left:
            self._next_shard()
        self._left -= 1
        return self._batches.batch()

    def state(self) -> dict[str, Any]:
        """Return what :meth:`restore` needs to continue with the same batches; JSON can hold it."""
        return {
            "drawn_by": dict(self._rng.bit_generator.state),
            "order": self._order,
            "shard": self._shard,
            "left": self._left,
            "batches": self._batches.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue where :meth:`state` was taken."""
        self._rng.bit_generator.state = state["drawn_by"]
        self._order, self._left = list(state["order"]), state["left"]
        self._open(state["shard"], 0)
        self._batches.restore(state["batches"])

    def _next_shard(self) -> None:
        if not self._order:
            self._order = [self._own[i] for i in self._rng.permutation(len(self._own)).tolist()]
        self._open(self._order.pop(), int(self._rng.integers(2**63)))
        self._left = self._turn(self._batches)

    def _open(self, number: int, seed: int) -> None:
        # What was read before is forgotten first.
        self._batches, self._shard = None, number
        shard = self._data[number]()
        try:
            self._batches = self._draw(shard, seed)
        except ValueError as error:
            raise ValueError(f"shard {number + 1} of {len(self._data)}: {error}") from None
