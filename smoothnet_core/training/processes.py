"""Training by several processes on one or more machines, through Lightning Fabric."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smoothnet_core._checks import check_positive, mismatch, one_of, require

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor, nn

ACCELERATORS = ("cpu", "cuda", "mps", "auto")
# Those under which every process has the whole network: a network that is split between them gains nothing here.
STRATEGIES = ("auto", "ddp")
PRECISIONS = ("32", "bf16-mixed", "16-mixed")
# What each machine is told where nothing else starts the processes.
_NODE_VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
# Tells a process that was started here by which one.
_STARTED_BY = "SMOOTHNET_STARTED_BY"


@dataclass(frozen=True)
class Processes:
    """What trains.

    Attributes:
        accelerator: one of ``ACCELERATORS``.
        devices: GPUs of each machine, or processes on its CPU.
        num_nodes: machines.
        strategy: one of ``STRATEGIES``; ``auto`` is ``ddp`` where there are several processes.
        precision: ``32``; in the network's own arithmetic ``bf16-mixed`` or, on CUDA alone, ``16-mixed``. Weights,
            their means and the optimizer's state have 32 bits with each.
    """

    accelerator: str = "cpu"
    devices: int = 1
    num_nodes: int = 1
    strategy: str = "auto"
    precision: str = "32"

    def __post_init__(self) -> None:
        one_of("accelerator", self.accelerator, ACCELERATORS)
        one_of("strategy", self.strategy, STRATEGIES)
        one_of("precision", self.precision, PRECISIONS)
        check_positive("number of", self, ("devices", "num_nodes"))


def launched(processes: Processes) -> Fabric:
    """Return Fabric after all processes were started and have found each other.

    Where nothing else starts them (Slurm, torchrun), this program is started again with its own arguments, once for
    every further process of this machine.

    Raises:
        ValueError: there is no such accelerator or too few devices, it cannot do the precision, processes of several
            machines are not told where they meet, or another number of processes was started.
        ConnectionError: they did not find each other.
        MissingExtraError: Lightning Fabric is not installed.
    """
    require("lightning_fabric", "train")
    import torch
    from lightning_fabric import Fabric
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    cuda = processes.accelerator in ("cuda", "auto") and torch.cuda.is_available()
    if processes.precision == "16-mixed" and not cuda:
        raise mismatch("precision", "32 or bf16-mixed without CUDA", "16-mixed")
    count = processes.devices * processes.num_nodes
    # Processes that do not know of each other would write into each other's files.
    if (started := os.environ.get("WORLD_SIZE", str(count))) != str(count):
        raise mismatch("devices times machines", f"{started}, the processes that were started", count)
    try:
        fabric = Fabric(
            accelerator=processes.accelerator,
            devices=processes.devices,
            num_nodes=processes.num_nodes,
            strategy="ddp" if count > 1 else processes.strategy,
            precision="32-true" if processes.precision == "32" else processes.precision,  # pyright: ignore
        )
    except (MisconfigurationException, RuntimeError) as error:
        what = f"{processes.devices} devices of the accelerator {processes.accelerator}"
        raise mismatch("training", what, " ".join(str(error).split())) from None
    environment = getattr(fabric.strategy, "cluster_environment", None)
    if processes.num_nodes > 1 and environment is not None and not environment.creates_processes_externally:
        missing = [name for name in _NODE_VARIABLES if name not in os.environ]
        if missing:
            expected = "the environment variables " + ", ".join(_NODE_VARIABLES)
            raise mismatch("training on several machines", expected, "none named " + ", ".join(missing))
    # What Fabric says of each process that has come.
    for name in ("distributed", "rank_zero"):
        logging.getLogger(f"lightning_fabric.utilities.{name}").setLevel(logging.WARNING)
    if _STARTED_BY in os.environ:
        threading.Thread(target=_end_with, args=(int(os.environ[_STARTED_BY]),), daemon=True).start()
    os.environ[_STARTED_BY] = str(os.getpid())
    try:
        fabric.launch()
    except RuntimeError as error:
        raise ConnectionError(
            f"the {count} processes did not find each other: {' '.join(str(error).split())}"
        ) from None
    finally:
        del os.environ[_STARTED_BY]
    return fabric


def _end_with(parent: int) -> None:
    """End this process once the one that started it has: while it waits for that one, nothing else would tell it."""
    while os.getppid() == parent:
        time.sleep(0.5)
    print("error: training cannot go on, since the process that started this one has ended", file=sys.stderr)
    os._exit(1)


@contextmanager
def noticing_lost_processes(fabric: Fabric) -> Iterator[None]:
    """Say in one line that another process has ended, when that is why nothing can go on.

    Raises:
        ConnectionError: so it is.
    """
    try:
        yield
    except RuntimeError as error:
        # The ways in which torch's back ends say so; gloo's errors have no type of their own.
        lost = ("gloo", "nccl", "connection", "recv", "socket", "timed out")
        if fabric.world_size == 1 or not any(word in str(error).lower() for word in lost):
            raise
        raise ConnectionError(
            f"training cannot go on, since another of its {fabric.world_size} processes has ended or does not answer"
        ) from error


def of_all(fabric: Fabric, own: Sequence[Any]) -> list[Any]:
    """Return the objects that all processes have for their parts, by the parts' numbers; all processes must call it."""
    by_process = [fabric.broadcast(own, src=rank) for rank in range(fabric.world_size)]
    return [item for items in zip(*by_process, strict=True) for item in items]


def row_of(values: Sequence[float], network: nn.Module) -> Tensor:
    """Return numbers and then the gradients of a network's parameters as one tensor (N,)."""
    import torch

    parameters = [p for p in network.parameters() if p.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    return torch.cat([torch.tensor(values, device=parameters[0].device), *(g.flatten() for g in gradients)])


def take_mean_of_parts(fabric: Fabric, rows: Sequence[Tensor], network: nn.Module, values: int) -> Tensor:
    """Give a network the mean of the gradients of all parts of a batch, its own and those of the other processes.

    The parts are added in the order of their numbers, so the sum has the same bits however many processes there are.

    Args:
        fabric: of the processes, all of which must call this.
        rows: of this process's own parts, from :func:`row_of`.
        network: whose gradients are replaced.
        values: numbers at the head of a row.

    Returns:
        (parts, values) these numbers, by the parts' numbers.
    """
    import torch

    own = torch.stack(list(rows))
    gathered = [own]
    if fabric.world_size > 1:
        gathered = [torch.empty_like(own) for _ in range(fabric.world_size)]
        torch.distributed.all_gather(gathered, own)
    parts = torch.stack(gathered, dim=1).flatten(0, 1)
    mean = parts[0, values:].clone()
    for part in parts[1:]:
        mean += part[values:]
    mean /= len(parts)
    parameters = [p for p in network.parameters() if p.requires_grad]
    for parameter, gradient in zip(parameters, mean.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = gradient.view_as(parameter)
    return parts[:, :values].cpu()
