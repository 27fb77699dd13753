"""What a training run needs to go on as if nothing had happened, in one file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from smoothnet_core._checks import mismatch
from smoothnet_core._reading import reading
from smoothnet_core._writing import replace_file

STATE_FILE = "state.safetensors"
_ENTRY = "run"


def write_state(folder: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Write tensors and values that JSON can hold; the file appears complete or not at all.

    Raises:
        ValueError: it cannot be written.
    """
    # Copies, since tensors that share memory (tied weights) are refused.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(values, allow_nan=False)
    replace_file(folder / STATE_FILE, safetensors.torch.save(copies, {_ENTRY: text}))


def read_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return what :func:`write_state` wrote; None where there is nothing yet.

    Raises:
        ValueError: the file is damaged; one line with the path.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return None
    with reading(path, "safetensors file", "the state of a training run"), safe_open(path, framework="pt") as file:
        values = json.loads(file.metadata()[_ENTRY])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- the file itself has no iterator
    return tensors, values


def begun_parts(folder: Path) -> int | None:
    """Return how many parts each batch of the run in a folder has; None where there is none yet.

    Raises:
        ValueError: the file is damaged; one line with the path.
    """
    saved = read_state(folder)
    return None if saved is None else saved[1]["run"].get("parts")


def remove_state(folder: Path) -> None:
    """Remove the state of a run whose result is safe, so that the next run in this folder begins anew."""
    (folder / STATE_FILE).unlink(missing_ok=True)


def check_same_run(folder: Path, begun: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Check that the run in a folder was begun with the settings of now (both as JSON gives them back).

    Raises:
        ValueError: they differ; the message names the first difference.
    """
    was, is_now = dict(_leaves(begun)), dict(_leaves(now))
    for name in [*was, *is_now]:
        if was.get(name) != is_now.get(name):
            expected = f"{json.dumps(was.get(name))}, with which the run in this folder was begun"
            raise mismatch(f"{folder / STATE_FILE}: {name}", expected, json.dumps(is_now.get(name)))


def network_and_optimizer(network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return all tensors of both, by names that :func:`restore_network_and_optimizer` knows."""
    tensors = {f"network/{name}": tensor for name, tensor in network.state_dict().items()}
    for index, entries in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": tensor for name, tensor in entries.items()}
    return tensors


def restore_network_and_optimizer(
    network: torch.nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], groups: Any
) -> None:
    """Put the tensors of :func:`network_and_optimizer` back; ``groups`` are the optimizer's ``param_groups``."""
    network.load_state_dict(under("network", tensors))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in under("optimizer", tensors).items():
        index, entry = name.split("/")
        state.setdefault(int(index), {})[entry] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with ``prefix/``, by what follows it."""
    start = prefix + "/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def _leaves(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from _leaves(value, f"{name} {key}".strip())
    else:
        yield name, values
