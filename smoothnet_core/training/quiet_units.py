"""Hidden units that hardly say anything are taken out of a trained network.

Half of the units of a trained :class:`~smoothnet_core.models.vector_filter.VectorFilter` never answer, or so seldom and
softly that nothing comes of it, and cost as much as the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smoothnet_core.models.vector_filter import from_tensors

Tensors = dict[str, NDArray[Any]]


def without_quiet_units(
    tensors: Mapping[str, NDArray[Any]], windows: Iterable[tuple[Tensor, Tensor]], keep: int
) -> Tensors:
    """Return the tensors of a narrower vector filter.

    Of each hidden layer the units stay whose answers move the next layer most; what the others say on average goes into
    the next layer's bias.

    Args:
        tensors: of a vector filter.
        windows: batches of windows (N, W, D) with their quality (N, W, 2), such as it was trained on.
        keep: units of each layer that stay, at most as many as there are.
    """
    network = from_tensors(tensors).eval()
    layers = {"layer2": _Heard(), "gain": _Heard()}
    for name, heard in layers.items():
        getattr(network, name).register_forward_pre_hook(heard)
    with torch.no_grad():
        for values, quality in windows:
            network(values, quality)
    result = {name: np.array(value) for name, value in tensors.items()}
    for before, after in (("layer1", "layer2"), ("layer2", "gain")):
        outward = result[f"{after}.weight"]
        moved = layers[after].energy() * np.square(outward.astype(np.float64)).sum(axis=0)
        kept = np.sort(np.argsort(-moved, kind="stable")[:keep])
        quiet = np.setdiff1d(np.arange(len(moved)), kept)
        bias = result[f"{after}.bias"] + outward[:, quiet] @ layers[after].mean()[quiet]
        result[f"{after}.bias"] = bias.astype(outward.dtype)
        result[f"{after}.weight"] = np.ascontiguousarray(outward[:, kept])
        result[f"{before}.weight"] = np.ascontiguousarray(result[f"{before}.weight"][kept])
        result[f"{before}.bias"] = result[f"{before}.bias"][kept]
    return result


class _Heard:
    """Sums over what a layer was given."""

    def __init__(self) -> None:
        self.count, self.sums, self.squares = 0, np.zeros(1), np.zeros(1)

    def __call__(self, layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        answers = given[0].double().numpy()
        self.count += len(answers)
        self.sums = self.sums + answers.sum(axis=0)
        self.squares = self.squares + np.square(answers).sum(axis=0)

    def mean(self) -> NDArray[np.float64]:
        return self.sums / max(1, self.count)

    def energy(self) -> NDArray[np.float64]:
        return self.squares / max(1, self.count)
