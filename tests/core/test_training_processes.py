"""Training by two real processes: the bits of one, stopped and killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")
pytest.importorskip("tensorboard")

from smoothnet_core.training.loop import train  # noqa: E402 -- after the check that it can be imported
from smoothnet_core.training.processes import Processes, launched, row_of, take_mean_of_parts  # noqa: E402
from smoothnet_core.training.run_state import begun_parts  # noqa: E402
from smoothnet_core.training.settings import Schedule  # noqa: E402
from smoothnet_core.training.shards import Share  # noqa: E402
from tests.helpers import REPOSITORY  # noqa: E402

SCHEDULE = Schedule(steps=30, select_every=7, record_every=5, checkpoint_every=10, average=0.9)


class Draw:
    def __init__(self, part):
        self.rng = np.random.default_rng(part)

    def batch(self):
        inputs = self.rng.normal(size=(6, 8)).astype(np.float32)
        return inputs, inputs[:, :2].sum(axis=1, keepdims=True)

    def state(self):
        return self.rng.bit_generator.state

    def restore(self, state):
        self.rng.bit_generator.state = state


def run(fabric=None, parts=2, schedule=SCHEDULE, **options):
    torch.manual_seed(3)
    layers = [torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(16, 1)]
    share = Share(fabric.global_rank, fabric.world_size, parts) if fabric else Share(parts=parts)
    return train(
        torch.nn.Sequential(*layers),
        [Draw(part) for part in share.own],
        options.pop("loss", loss),
        schedule,
        select=lambda model: float((model(torch.ones(4, 8)) - 1).square().mean()),
        fabric=fabric,
        **options,
    )


def loss(model, batch):
    return (model(batch[0]) - batch[1]).abs().mean()


def assert_same(tensors, other):
    assert tensors.keys() == other.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, other[name], err_msg=name)


# What the program of the tests below does: where it is told to, its second process sends itself a signal.
PROGRAM = """
import os, sys
from pathlib import Path
import numpy as np
from smoothnet_core.training.processes import Processes, launched
from tests.core.test_training_processes import loss, run

folder, number, at = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
fabric = launched(Processes(devices=2))
steps = 0

def interrupted(model, batch):
    global steps
    steps += 1
    if fabric.global_rank == 1 and steps == at:
        os.kill(os.getpid(), number)
    return loss(model, batch)

try:
    trained = run(fabric, folder=folder, loss=interrupted)
except ConnectionError as error:
    sys.exit(f"refused: {error}")
except KeyboardInterrupt:
    print("stopped", fabric.global_rank, steps, flush=True)
    sys.exit(0)
np.savez(folder / f"rank{fabric.global_rank}.npz", **trained.tensors)
"""


def two_processes(folder, number=0, at=0):
    script = folder / "program.py"
    script.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, str(script), str(folder), str(int(number)), str(at)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_two_processes_end_with_the_bits_of_one(tmp_path):
    whole = run()
    ran = two_processes(tmp_path)
    assert ran.returncode == 0, ran.stderr
    for rank in range(2):
        with np.load(tmp_path / f"rank{rank}.npz") as tensors:
            assert_same(whole.tensors, tensors)
    assert begun_parts(tmp_path) == 2
    # Parts are not the same batch in other words: they have random numbers of their own.
    assert any((tensor != whole.tensors[name]).any() for name, tensor in run(parts=1).tensors.items())


def test_a_killed_and_a_stopped_run_end_with_the_same_bits(tmp_path):
    ran = two_processes(tmp_path, signal.SIGKILL, 14)
    assert ran.returncode != 0
    said = "refused: training cannot go on, since another of its 2 processes has ended or does not answer\n"
    # Fabric's own launcher may be the first to notice.
    assert said in ran.stderr or "terminated with code -9" in ran.stderr
    # From step 10 on, where it was saved; the interrupt of one stops both after the same step.
    ran = two_processes(tmp_path, signal.SIGINT, 4)
    assert (ran.returncode, sorted(ran.stdout.splitlines())) == (0, ["stopped 0 4", "stopped 1 4"]), ran.stderr
    # Another number of processes goes on with the same parts.
    steps = []
    trained = run(folder=tmp_path, report=lambda step, value: steps.append(step))
    assert steps[0] == 15
    whole = run()
    assert_same(trained.tensors, whole.tensors)
    assert (trained.step, trained.score, trained.curve) == (whole.step, whole.score, whole.curve)


def test_the_gradient_is_that_of_the_whole_batch():
    """Without dropout and clipping: two parts of six are a batch of twelve."""

    class Both:
        def __init__(self):
            self.parts = [Draw(0), Draw(1)]

        def batch(self):
            return tuple(np.concatenate(both) for both in zip(*(part.batch() for part in self.parts), strict=True))

        def state(self):
            return None

    def trained(batches):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
        return train(model, batches, loss, Schedule(steps=20, clip=0.0))

    parts, whole = trained([Draw(0), Draw(1)]), trained(Both())
    for name, tensor in parts.tensors.items():
        np.testing.assert_allclose(tensor, whole.tensors[name], rtol=0, atol=1e-6, err_msg=name)
    assert parts.curve[-1].loss == pytest.approx(whole.curve[-1].loss, rel=1e-5)


def test_other_parts_are_another_run(tmp_path):
    run(folder=tmp_path)
    message = r"state.safetensors: parts: expected 2, with which the run in this folder was begun, received 4$"
    with pytest.raises(ValueError, match=message):
        run(parts=4, folder=tmp_path)
    message = r"precision: expected \"32-true\", with which the run in this folder was begun, received \"bf16-mixed\"$"
    with pytest.raises(ValueError, match=message):
        run(launched(Processes(precision="bf16-mixed")), folder=tmp_path)


def test_halves_are_for_arithmetic_alone(tmp_path):
    seen = set()

    def watched(model, batch):
        hook = torch.nn.Module.register_forward_hook(
            model.module[0], lambda layer, given, answer: seen.add((answer.dtype, layer.weight.dtype))
        )
        value = loss(model, batch)
        hook.remove()
        return value

    def mixed(**options):
        return run(launched(Processes(precision="bf16-mixed")), loss=watched, **options)

    whole = mixed()
    assert seen == {(torch.bfloat16, torch.float32)}
    assert {tensor.dtype for tensor in whole.tensors.values()} == {np.dtype(np.float32)}
    full = run()
    for name, tensor in full.tensors.items():
        np.testing.assert_allclose(whole.tensors[name], tensor, rtol=0, atol=0.02, err_msg=name)
    assert any((tensor != whole.tensors[name]).any() for name, tensor in full.tensors.items())

    def power_cut(step, value):
        if step == 17:
            raise OSError("power cut")

    with pytest.raises(OSError, match="power cut"):
        mixed(folder=tmp_path, report=power_cut)
    assert_same(mixed(folder=tmp_path).tensors, whole.tensors)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"accelerator": "tpu"}, r"^accelerator: expected one of cpu, cuda, mps, auto, received 'tpu'$"),
        ({"strategy": "fsdp"}, r"^strategy: expected one of auto, ddp, received 'fsdp'$"),
        ({"precision": "16"}, r"^precision: expected one of 32, bf16-mixed, 16-mixed, received '16'$"),
        ({"devices": 0}, r"^number of devices: expected a positive number, received 0$"),
    ],
)
def test_refused_processes(values, message):
    with pytest.raises(ValueError, match=message):
        Processes(**values)


def test_what_this_machine_cannot_do_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = r"^precision: expected 32 or bf16-mixed without CUDA, received 16-mixed$"
    for accelerator in ("cpu", "cuda", "auto"):
        with pytest.raises(ValueError, match=message):
            launched(Processes(accelerator, precision="16-mixed"))
    with pytest.raises(
        ValueError, match=r"^training: expected 2 devices of the accelerator cuda, received .*$"
    ) as refused:
        launched(Processes("cuda", 2))
    assert "\n" not in str(refused.value)
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MASTER_PORT", "1")
    message = r"MASTER_ADDR, MASTER_PORT, NODE_RANK, received none named MASTER_ADDR, NODE_RANK$"
    with pytest.raises(ValueError, match=message):
        launched(Processes(num_nodes=2))
    monkeypatch.setenv("WORLD_SIZE", "4")
    message = r"^devices times machines: expected 4, the processes that were started, received 1$"
    with pytest.raises(ValueError, match=message):
        launched(Processes())


def test_gradients_become_the_mean_of_the_parts():
    """Seen here, since Adam hardly cares about a gradient's size."""
    layer = torch.nn.Linear(2, 1)
    layer.bias.requires_grad_(False)
    rows = []
    for number, gradient in enumerate(([1.0, 2.0], [3.0, -4.0], [5.0, 8.0])):
        layer.weight.grad = torch.tensor([gradient])
        rows.append(row_of((10.0 + number, 0.0), layer))
    told = take_mean_of_parts(launched(Processes()), rows, layer, 2)
    assert layer.weight.grad.tolist() == [[3.0, 2.0]]
    assert told.tolist() == [[10.0, 0.0], [11.0, 0.0], [12.0, 0.0]]
