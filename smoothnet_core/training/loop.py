"""The training loop for any network, on Lightning Fabric: selection, curves, and runs that can be interrupted."""

from __future__ import annotations

import json
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from smoothnet_core._checks import mismatch
from smoothnet_core.training.curves import Row, add_events, events, write_curves
from smoothnet_core.training.processes import noticing_lost_processes, of_all, row_of, take_mean_of_parts
from smoothnet_core.training.run_state import (
    check_same_run,
    network_and_optimizer,
    read_state,
    restore_network_and_optimizer,
    under,
    write_state,
)
from smoothnet_core.training.settings import SHORTEST_CYCLE, Schedule

# How much of the running mean of the loss the newest step is.
_NEWEST = 0.02


class Batches(Protocol):
    """What training draws from."""

    def batch(self) -> Any:
        """Return the next batch: a dataclass or a tuple of arrays."""
        ...

    def state(self) -> Any:
        """Return what JSON can hold and :meth:`restore` needs to continue with the same batches."""
        ...

    def restore(self, state: Any) -> None:
        """Continue where :meth:`state` was taken."""
        ...


@dataclass(frozen=True, eq=False)
class Trained:
    """What came of a run.

    Attributes:
        tensors: of the network with the best score; of the last one where nothing was selected. Where the schedule
            averages the weights, of the averaged network.
        step: after which they were taken.
        score: theirs; None where nothing was selected.
        curve: the course of the run.
    """

    tensors: dict[str, NDArray[Any]]
    step: int
    score: float | None
    curve: list[Row]


def train(
    network: nn.Module,
    batches: Batches | Sequence[Batches],
    loss: Callable[[nn.Module, Any], Tensor],
    schedule: Schedule,
    *,
    select: Callable[[nn.Module], float] | None = None,
    folder: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    report: Callable[[int, float], None] = lambda step, value: None,
    fabric: Fabric | None = None,
) -> Trained:
    """Train a network; parameters with ``requires_grad`` false stay as they are.

    The same network, data, schedule and number of threads give the same tensors. On the CPU they are the same bits
    too where the run was interrupted and continued, and whichever number of processes drew the parts of the batches.
    The network's own start is the caller's: seed torch before it is built. Torch's generator is seeded here, with
    ``schedule.seed``; where there are several parts, for each of them at each step.

    All processes must call this with the same arguments but for ``batches``. Only the first one writes, reads,
    selects and reports; what it returns is what counts for running statistics, which each process has of its own.

    Args:
        network: trained in place; afterwards it holds the last tensors, not the best.
        batches: what is drawn from; several draw one part of every batch each, and the loss of a batch is the mean of
            those of its parts. Of the parts of all processes these are this one's, as
            :class:`smoothnet_core.training.shards.Share` deals them out.
        loss: returns the scalar loss from the network and a batch, whose arrays have become tensors on its device.
        schedule: of the optimizer.
        select: returns a score of the network (in evaluation mode, without gradients; the averaged one where the
            schedule averages), lower is better; called every ``schedule.select_every`` steps and after the last.
        folder: for ``state.safetensors``, ``curves.csv`` and TensorBoard's events. A run that was interrupted there
            continues, one that is complete returns at once what came of it.
        settings: whatever else decides the result, as values that JSON can hold; a run is continued only with the same.
        report: called after every step with its number from 1 and a running mean of the loss.
        fabric: of the processes and their precision, launched, see :func:`smoothnet_core.training.processes.launched`;
            None for one process on the CPU.

    Raises:
        ValueError: the run in ``folder`` was begun with other settings, or the loss or the score is not finite.
        MissingExtraError: tensorboard, which ``folder`` needs, is not installed.
        ConnectionError: another process has ended or does not answer.
        KeyboardInterrupt: on Ctrl-C in any process, after the current step; with ``folder``, the run can be continued.
    """
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    with noticing_lost_processes(fabric):
        own = list(batches) if isinstance(batches, Sequence) else [batches]
        return _train(fabric, network, own, loss, schedule, select, folder, settings or {}, report)


def _train(
    fabric: Fabric,
    network: nn.Module,
    own: Sequence[Batches],
    loss: Callable[[nn.Module, Any], Tensor],
    schedule: Schedule,
    select: Callable[[nn.Module], float] | None,
    folder: Path | None,
    settings: Mapping[str, Any],
    report: Callable[[int, float], None],
) -> Trained:
    """Train, see :func:`train`."""
    torch.manual_seed(schedule.seed)
    parts = len(own) * fabric.world_size
    first = fabric.is_global_zero
    plain = _optimizer(network, schedule)
    rates = _learning_rates(plain, schedule)
    model, optimizer = fabric.setup(network, plain)
    run = {"schedule": asdict(schedule), "network": _shapes(network), "settings": settings, "parts": parts}
    run["precision"] = str(fabric.strategy.precision.precision)
    # As JSON gives it back, since it is compared with what a file holds.
    run = json.loads(json.dumps(run))
    averaged = None
    if schedule.average:
        averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(schedule.average))
    answer = network if averaged is None else averaged.module
    state = _State(fabric, network, averaged, plain, own, run)
    if folder is not None:
        if first:
            folder.mkdir(parents=True, exist_ok=True)
        state.read(folder)
        rates.last_epoch = state.step
    # Where the state of one generator does not say all, each part of each step has a seed.
    seeded = parts > 1 or fabric.device.type != "cpu"
    # Of the halves that overflow the scaler makes a step that is left out.
    overflows = run["precision"] == "16-mixed"

    with ExitStack() as stack:
        writer = stack.enter_context(events(folder, state.step)) if folder is not None and first else None
        interrupted = stack.enter_context(_interrupts_deferred())
        network.train()
        for step in range(state.step + 1, schedule.steps + 1):
            rows = []
            for index, part in enumerate(own):
                if seeded:
                    _seed(schedule.seed, step, fabric.global_rank + index * fabric.world_size)
                optimizer.zero_grad()
                with fabric.no_backward_sync(model):
                    value = loss(model, _to_device(part.batch(), fabric.device))
                    fabric.backward(value)
                rows.append(row_of((value.item(), interrupted()), network))
            told = take_mean_of_parts(fabric, rows, network, 2).double()
            newest = _finite(told[:, 0].mean().item(), f"loss at step {step}")
            # All processes stop after the same step, whichever of them was told to.
            pressed = bool(told[:, 1].any())
            if schedule.clip:
                fabric.clip_gradients(model, optimizer, max_norm=schedule.clip, error_if_nonfinite=not overflows)
            optimizer.step()
            if averaged is not None:
                averaged.update_parameters(network)
            rate = plain.param_groups[0]["lr"]
            rates.step()
            state.step = step
            state.running = newest if step == 1 else (1 - _NEWEST) * state.running + _NEWEST * newest
            score = None
            if select is not None and _due(step, schedule.select_every, schedule.steps):
                score = fabric.broadcast(_score(select, answer) if first else 0.0)
                score = _finite(score, f"selection score at step {step}")
                state.keep_if_best(score, answer)
            if score is not None or _due(step, schedule.record_every, schedule.steps):
                state.curve.append(Row(step, state.running, rate, score))
                if writer is not None:
                    add_events(writer, state.curve[-1])
            if folder is not None and (pressed or _due(step, schedule.checkpoint_every, schedule.steps)):
                state.write(folder)
            if pressed:
                raise KeyboardInterrupt
            if first:
                report(step, state.running)
    chosen, step = (answer.state_dict(), state.step) if state.score is None else (state.best, state.best_step)
    tensors = {name: tensor.detach().cpu().numpy().copy() for name, tensor in chosen.items()}
    return Trained(tensors, step, state.score, state.curve)


@dataclass
class _State:
    """A run between two steps."""

    fabric: Fabric
    network: nn.Module
    averaged: nn.Module | None
    optimizer: torch.optim.Optimizer
    own: Sequence[Batches]
    run: Mapping[str, Any]
    step: int = 0
    running: float = 0.0
    score: float | None = None
    best_step: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    curve: list[Row] = field(default_factory=list)

    def keep_if_best(self, score: float, answer: nn.Module) -> None:
        if self.score is None or score < self.score:
            self.score, self.best_step = score, self.step
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in answer.state_dict().items()}

    def write(self, folder: Path) -> None:
        batches = of_all(self.fabric, [part.state() for part in self.own])
        if not self.fabric.is_global_zero:
            return
        tensors = network_and_optimizer(self.network, self.optimizer)
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        if self.averaged is not None:
            tensors |= {f"average/{name}": tensor for name, tensor in self.averaged.state_dict().items()}
        values = {name: getattr(self, name) for name in ("run", "step", "running", "score", "best_step", "curve")}
        values["groups"] = self.optimizer.state_dict()["param_groups"]
        values["batches"] = batches
        values["scaler"] = self.fabric.strategy.precision.state_dict()
        write_state(folder, tensors | {"generator": torch.get_rng_state()}, values)
        write_curves(folder, self.curve)

    def read(self, folder: Path) -> None:
        # The first process alone needs to see the folder; the others are told.
        saved = self.fabric.broadcast(read_state(folder) if self.fabric.is_global_zero else None)
        if saved is None:
            return
        tensors, values = saved
        check_same_run(folder, values["run"], self.run)
        restore_network_and_optimizer(self.network, self.optimizer, tensors, values["groups"])
        if self.averaged is not None:
            self.averaged.load_state_dict(under("average", tensors))
        self.fabric.strategy.precision.load_state_dict(values["scaler"])
        for part, drawn in zip(
            self.own, values["batches"][self.fabric.global_rank :: self.fabric.world_size], strict=True
        ):
            part.restore(drawn)
        torch.set_rng_state(tensors["generator"])
        self.best = under("best", tensors)
        self.curve = [Row(*row) for row in values["curve"]]
        self.step, self.running = values["step"], values["running"]
        self.score, self.best_step = values["score"], values["best_step"]


def _seed(seed: int, step: int, part: int) -> None:
    torch.manual_seed(int(np.random.SeedSequence([seed, step, part]).generate_state(1, np.uint64)[0]))


def _shapes(network: nn.Module) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in network.state_dict().items()}


def _optimizer(network: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    parameters = [p for p in network.parameters() if p.requires_grad]
    options: dict[str, Any] = {"lr": schedule.learning_rate, "amsgrad": schedule.optimizer == "amsgrad"}
    if schedule.weight_decay:
        return torch.optim.AdamW(parameters, weight_decay=schedule.weight_decay, **options)
    return torch.optim.Adam(parameters, **options)


def _learning_rates(optimizer: torch.optim.Optimizer, schedule: Schedule) -> torch.optim.lr_scheduler.LRScheduler:
    if schedule.decay == "one-cycle" and schedule.steps >= SHORTEST_CYCLE:
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, schedule.learning_rate, total_steps=schedule.steps, pct_start=0.1
        )
    factor = schedule.factor if schedule.decay == "exponential" else 1.0
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor ** (step // schedule.epoch))


def _to_device(batch: Any, device: torch.device) -> Any:
    if not is_dataclass(batch):
        return tuple(torch.from_numpy(array).to(device) for array in batch)
    # The same class, whose fields now hold tensors.
    return type(batch)(**{name: torch.from_numpy(array).to(device) for name, array in vars(batch).items()})


def _score(select: Callable[[nn.Module], float], network: nn.Module) -> float:
    network.eval()
    # Whatever chance the score involves must not change what training draws next.
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        score = select(network)
    network.train()
    return float(score)


def _due(step: int, every: int, last: int) -> bool:
    return step % every == 0 or step == last


def _finite(value: float, what: str) -> float:
    if not math.isfinite(value):
        raise mismatch(what, "a finite number", value)
    return value


@contextmanager
def _interrupts_deferred() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether Ctrl-C was pressed; only a second press stops the program at once.

    Between two steps everything that is saved belongs together; in the midst of one it does not.
    """
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    usual = signal.getsignal(signal.SIGINT)

    def defer(number: int, frame: Any) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, defer)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, usual)
