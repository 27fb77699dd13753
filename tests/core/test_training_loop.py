"""The training loop, on a network that has all that makes runs hard to repeat: dropout and running statistics."""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest

from smoothnet_core import MissingExtraError

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")
pytest.importorskip("tensorboard")

from smoothnet_core.training.loop import train  # noqa: E402 -- after the check that it can be imported
from smoothnet_core.training.settings import Schedule  # noqa: E402

SCHEDULE = Schedule(steps=40, select_every=7, record_every=5, checkpoint_every=10)


@dataclass(frozen=True)
class Examples:
    inputs: np.ndarray
    answers: np.ndarray


class Draw:
    """Random inputs and what a sum of some of them makes of them."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def batch(self):
        inputs = self.rng.normal(size=(16, 8)).astype(np.float32)
        return Examples(inputs, inputs[:, :2].sum(axis=1, keepdims=True))

    def state(self):
        return self.rng.bit_generator.state

    def restore(self, state):
        self.rng.bit_generator.state = state


def network(seed=3):
    torch.manual_seed(seed)
    layers = [torch.nn.Linear(8, 16), torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(16), torch.nn.Linear(16, 1)]
    return torch.nn.Sequential(*layers)


def loss(model, batch):
    return (model(batch.inputs) - batch.answers).abs().mean()


def select(model):
    # Draws from torch's generator, which must not change what training draws.
    return float((model(torch.randn(64, 8)) - 1).square().mean())


def run(schedule=SCHEDULE, **options):
    return train(network(), Draw(), loss, schedule, **{"select": select, **options})


def assert_same(one, other):
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensor in one.tensors.items():
        np.testing.assert_array_equal(tensor, other.tensors[name], err_msg=name)
    assert (one.step, one.score, one.curve) == (other.step, other.score, other.curve)


def press_at(step):
    """A report that presses Ctrl-C during a step."""

    def report(done, value):
        if done == step - 1:
            os.kill(os.getpid(), signal.SIGINT)

    return report


@pytest.mark.parametrize("optimizer", ["adam", "amsgrad"])
@pytest.mark.parametrize("decay", ["one-cycle", "exponential", "constant"])
def test_an_interrupted_run_ends_bit_for_bit_as_an_uninterrupted_one(tmp_path, optimizer, decay):
    schedule = replace(SCHEDULE, optimizer=optimizer, decay=decay, epoch=3)
    whole = run(schedule)
    with pytest.raises(KeyboardInterrupt):
        run(schedule, folder=tmp_path, report=press_at(13))
    with pytest.raises(RuntimeError, match="power cut"):
        run(schedule, folder=tmp_path, report=power_cut)
    assert_same(run(schedule, folder=tmp_path), whole)
    # And a run that is complete is not done again.
    assert_same(run(schedule, folder=tmp_path, report=power_cut), whole)


def power_cut(step, value):
    assert step > 13, "what was saved when Ctrl-C was pressed is not done again"
    if step == 27:
        raise RuntimeError("power cut")


def test_the_signal_handler_is_put_back(tmp_path):
    usual = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(report=press_at(5))
    assert signal.getsignal(signal.SIGINT) is usual


def test_the_seed_decides():
    assert_same(run(), run())
    other = run(replace(SCHEDULE, seed=1))
    assert any((tensor != other.tensors[name]).any() for name, tensor in run().tensors.items())


def test_scores_do_not_change_what_is_trained():
    last = run(select=None)
    assert last.step == 40
    assert last.score is None
    # Falling scores choose the last network too.
    falling = iter(range(100, 0, -1))
    chosen = run(select=lambda model: next(falling) + 0 * select(model))
    for name, tensor in last.tensors.items():
        np.testing.assert_array_equal(tensor, chosen.tensors[name])


def test_the_best_checkpoint_is_the_best():
    seen = {}
    scores = iter([5.0, 3.0, 4.0, 3.0, 9.0, 8.0])

    def scored(model):
        assert not model.training
        assert not torch.is_grad_enabled()
        seen[len(seen)] = {name: tensor.clone().numpy() for name, tensor in model.state_dict().items()}
        return next(scores)

    trained = run(select=scored)
    assert (trained.step, trained.score) == (14, 3.0)
    assert [(row.step, row.score) for row in trained.curve if row.score is not None] == [
        *zip((7, 14, 21, 28, 35, 40), (5.0, 3.0, 4.0, 3.0, 9.0, 8.0), strict=True)
    ]
    for name, tensor in trained.tensors.items():
        np.testing.assert_array_equal(tensor, seen[1][name])


def test_it_learns_and_tells():
    said = []
    trained = run(Schedule(steps=300, learning_rate=2e-2), report=lambda step, value: said.append((step, value)))
    assert [step for step, _ in said] == list(range(1, 301))
    assert said[-1][1] < 0.7 * said[0][1]
    assert trained.curve[-1].loss == said[-1][1]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Schedule(4, learning_rate=8.0, decay="constant", record_every=1), [8, 8, 8, 8]),
        (
            Schedule(6, learning_rate=8.0, decay="exponential", factor=0.5, epoch=2, record_every=1),
            [8, 8, 4, 4, 2, 2],
        ),
    ],
)
def test_learning_rates(schedule, expected):
    assert [row.learning_rate for row in run(schedule, select=None).curve] == expected


def test_a_one_cycle_rises_for_a_tenth_and_falls():
    schedule = Schedule(100, decay="one-cycle", learning_rate=1.0, record_every=1)
    rates = [row.learning_rate for row in run(schedule, select=None).curve]
    assert np.argmax(rates) == 9
    assert max(rates) == pytest.approx(1.0)
    assert (np.diff(rates)[9:] < 0).all()
    assert rates[-1] < 1e-4


@pytest.mark.parametrize("steps", [1, 2, 10, 19])
def test_the_shortest_cycles_keep_the_rate(steps):
    curve = run(Schedule(steps, learning_rate=1.0, record_every=1), select=None).curve
    assert [row.learning_rate for row in curve] == [1.0] * steps


def test_frozen_parameters_stay():
    model = network()
    before = model[0].weight.detach().clone()
    model[0].requires_grad_(False)
    train(model, Draw(), loss, Schedule(steps=5))
    assert torch.equal(model[0].weight, before)
    assert not torch.equal(model[3].weight, network()[3].weight)


def test_gradients_are_clipped():
    norms = []

    class Watched(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(8, 1, bias=False)
            self.inner.weight.register_post_accumulate_grad_hook(lambda p: norms.append(p.grad.norm().item()))

        def forward(self, x):
            return self.inner(x)

    def steep(model, batch):
        return 1e4 * loss(model, batch)

    def moved(clip):
        torch.manual_seed(0)
        model = Watched()
        start = model.inner.weight.detach().clone()
        # Adam hardly cares about the gradient's size, so its own epsilon is what shows a small one.
        train(model, Draw(), steep, Schedule(1, decay="constant", clip=clip))
        return (model.inner.weight - start).abs().max().item()

    assert moved(1e-9) < 0.2 * moved(0.0)
    assert norms[0] > 1e3


def test_curves_are_files_too(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(folder=tmp_path, report=press_at(22))
    trained = run(folder=tmp_path)
    with (tmp_path / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [5, 7, 10, 14, 15, 20, 21, 25, 28, 30, 35, 40]
    for row, expected in zip(rows, trained.curve, strict=True):
        assert float(row["loss"]) == expected.loss
        assert float(row["learning_rate"]) == expected.learning_rate
        assert row["score"] == ("" if expected.score is None else repr(expected.score))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in shown.Scalars("loss")] == [row.step for row in trained.curve]
    assert [event.step for event in shown.Scalars("selection score")] == [7, 14, 21, 28, 35, 40]


def test_a_run_is_continued_with_its_own_settings_only(tmp_path):
    run(folder=tmp_path, settings={"data": "one", "sizes": {"window": 8}})
    start = rf"^{tmp_path}/state.safetensors: "
    ending = ", with which the run in this folder was begun, received "
    with pytest.raises(ValueError, match=f'{start}settings data: expected "one"{ending}"two"$'):
        run(folder=tmp_path, settings={"data": "two", "sizes": {"window": 8}})
    with pytest.raises(ValueError, match=f"{start}settings sizes window: expected 8{ending}16$"):
        run(folder=tmp_path, settings={"data": "one", "sizes": {"window": 16}})
    with pytest.raises(ValueError, match=f"{start}schedule steps: expected 40{ending}50$"):
        run(replace(SCHEDULE, steps=50), folder=tmp_path, settings={"data": "one", "sizes": {"window": 8}})
    other = torch.nn.Sequential(torch.nn.Linear(8, 1))
    with pytest.raises(ValueError, match=rf"{start}network 0.weight: expected \[16, 8\]{ending}\[1, 8\]$"):
        train(other, Draw(), loss, SCHEDULE, folder=tmp_path)


def test_a_damaged_state_is_refused(tmp_path):
    run(folder=tmp_path)
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"^{state}: ") as refused:
        run(folder=tmp_path)
    assert "\n" not in str(refused.value)


def test_tied_weights_are_saved(tmp_path):
    def tied():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 1))
        model[1].weight = model[0].weight
        return model

    whole = train(tied(), Draw(), loss, SCHEDULE)
    with pytest.raises(KeyboardInterrupt):
        train(tied(), Draw(), loss, SCHEDULE, folder=tmp_path, report=press_at(20))
    assert_same(train(tied(), Draw(), loss, SCHEDULE, folder=tmp_path), whole)


def test_what_is_not_finite_stops_the_run(tmp_path):
    with pytest.raises(ValueError, match=r"^loss at step 1: expected a finite number, received nan$"):
        train(network(), Draw(), lambda model, batch: loss(model, batch) * float("nan"), SCHEDULE)
    with pytest.raises(ValueError, match=r"^selection score at step 7: expected a finite number, received inf$"):
        run(select=lambda model: float("inf"))


def test_tensorboard_is_asked_for_where_it_is_needed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert run(Schedule(steps=2)).step == 2
    with pytest.raises(MissingExtraError, match=r"pip install 'smoothnet\[train\]'$"):
        run(Schedule(steps=2), folder=tmp_path)


def test_batches_may_be_tuples():
    class Tuples(Draw):
        def batch(self):
            examples = super().batch()
            return examples.inputs, examples.answers

    as_tuples = train(network(), Tuples(), lambda m, b: loss(m, Examples(*b)), SCHEDULE, select=select)
    assert_same(as_tuples, run())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, r"^schedule steps: expected a positive number, received 0$"),
        ({"factor": -1.0}, r"^schedule factor: expected a positive number, received -1.0$"),
        ({"clip": -1.0}, r"^schedule clip: expected a number that is not negative, received -1.0$"),
        ({"optimizer": "sgd"}, r"^schedule optimizer: expected one of adam, amsgrad, received 'sgd'$"),
        ({"decay": "cosine"}, r"^schedule decay: expected one of one-cycle, exponential, constant, received 'cosine'$"),
    ],
)
def test_refused_schedules(values, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**values)


def test_the_state_holds_nothing_but_tensors_and_json(tmp_path):
    run(folder=tmp_path)
    content = (tmp_path / "state.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert json.loads(header["__metadata__"]["run"])["step"] == 40
