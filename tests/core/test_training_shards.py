"""Parts of batches, and data that are read shard by shard."""

from __future__ import annotations

import gc
import json
import weakref

import numpy as np
import pytest

from smoothnet_core.training.batches import Pair
from smoothnet_core.training.shards import InTurn, Shard, Share, drawn, in_memory
from smoothnet_core.training.window_batches import WindowBatches


class Numbers:
    """Draws where it draws from, and a random number."""

    def __init__(self, shard, seed):
        if not shard.clean:
            raise ValueError("clean motion: expected some, received none")
        self.number, self.rng = shard.clean[0][0], np.random.default_rng(seed)

    def batch(self):
        return int(self.number), self.rng.random()

    def state(self):
        return dict(self.rng.bit_generator.state)

    def restore(self, state):
        self.rng.bit_generator.state = state


def shards(count):
    return [lambda number=number: Shard(clean=[np.array([number])]) for number in range(count)]


def sources(batches, count):
    return [batches.batch()[0] for _ in range(count)]


def test_parts_are_dealt_out_to_processes():
    assert [list(Share(rank, 2, 6).own) for rank in range(2)] == [[0, 2, 4], [1, 3, 5]]
    assert Share(parts=4).size(12) == 3
    with pytest.raises(ValueError, match=r"^training setting batch: expected a multiple of its 4 parts, received 6$"):
        Share(parts=4).size(6)
    with pytest.raises(ValueError, match=r"^parts of a batch: expected a multiple of the 3 processes, received 4$"):
        Share(0, 3, 4)


def test_a_part_draws_the_same_whoever_draws_it():
    data = in_memory(clean=[np.array([7])])
    alone = drawn(data, Numbers, Share(parts=4), 5, 100)
    shared = [drawn(data, Numbers, Share(rank, 2, 4), 5, 100) for rank in range(2)]
    first = [part.batch() for part in alone]
    assert first == [shared[part % 2][part // 2].batch() for part in range(4)]
    assert len(set(first)) == 4, "each part has numbers of its own"
    (only,) = drawn(data, Numbers, Share(), 5, 100)
    assert only.batch() == (7, np.random.default_rng(5).random()), "one part has the seed itself"


def test_shards_take_turns():
    # Of 40 steps each of five shards has two turns of four.
    (batches,) = drawn(shards(5), Numbers, Share(), 0, 40)
    orders = []
    for _ in range(2):
        found = sources(batches, 20)
        turns = found[::4]
        assert found == list(np.repeat(turns, 4))
        assert sorted(turns) == list(range(5))
        orders.append(turns)
    assert orders[0] != orders[1], "each round has an order of its own"
    own = [{*sources(part, 40)} for part in drawn(shards(5), Numbers, Share(parts=2), 0, 40)]
    assert own == [{0, 2, 4}, {1, 3}]
    # No turn is longer than 200 batches.
    assert len({*sources(InTurn(shards(2), [0, 1], Numbers, 0, 10**6), 201)}) == 2


@pytest.mark.parametrize("after", [0, 1, 4, 19, 20, 33])
def test_shards_go_on_where_they_were(after):
    def made():
        return InTurn(shards(5), range(5), Numbers, 3, 40)

    whole, broken, restored = made(), made(), made()
    for _ in range(after):
        assert whole.batch() == broken.batch()
    restored.restore(json.loads(json.dumps(broken.state())))
    assert [whole.batch() for _ in range(50)] == [restored.batch() for _ in range(50)]


def test_one_shard_at_a_time_is_in_memory():
    read = []

    def alive():
        gc.collect()
        return sum(track() is not None for track in read)

    def shard():
        assert not alive()
        track = np.zeros(1)
        read.append(weakref.ref(track))
        return Shard(clean=[track])

    class Keeps(Numbers):
        def __init__(self, shard, seed):
            super().__init__(shard, seed)
            self.track = shard.clean[0]

    batches = InTurn([shard] * 3, range(3), Keeps, 0, 30)
    for _ in range(30):
        batches.batch()
        assert alive() == 1
    assert len(read) > 6


def test_what_is_wrong_with_a_shard_is_known_at_the_start():
    data = [*shards(2), lambda: Shard()]
    with pytest.raises(ValueError, match=r"^shard 3 of 3: clean motion: expected some, received none$"):
        drawn(data, Numbers, Share(), 0, 10)
    message = r"^shards: expected at least one for each of the 4 parts of a batch, received 3$"
    with pytest.raises(ValueError, match=message):
        drawn(data, Numbers, Share(parts=4), 0, 10)


@pytest.mark.parametrize(("frames", "batch"), [(31, 12), (30, 12), (22, 6)])
def test_parts_of_windows_are_the_whole_batch(frames, batch):
    rng = np.random.default_rng(1)
    pairs = [Pair("clip", *rng.normal(size=(2, frames, 2, 3)), *rng.random((2, frames, 2)))]
    whole = WindowBatches(pairs, 8, batch, 5)
    parts = [WindowBatches(pairs, 8, batch // 3, 5, part, 3) for part in range(3)]
    assert {part.epoch for part in parts} == {whole.epoch}
    windows = frames - 7
    for number in range(2 * whole.epoch):
        together = [part.batch().estimate for part in parts]
        assert len({len(part) for part in together}) == 1
        expected = whole.batch().estimate
        found = np.concatenate(together)
        # For parts of one size fewer than three windows come twice.
        last = number % whole.epoch == whole.epoch - 1
        assert 0 <= len(found) - len(expected) <= (2 * (-windows % 3) if last else 0)
        assert {w.tobytes() for w in expected} <= {w.tobytes() for w in found}
