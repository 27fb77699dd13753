"""SmoothNet as published (Zeng et al., ECCV 2022), in torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smoothnet_core._checks import mismatch
from smoothnet_core.checkpoints import Weights, published_sizes

# Widths, blocks and dropout of the published configurations; every window (8, 16, 32, 64) uses the same.
PUBLISHED_SIZES: dict[str, dict[str, Any]] = {
    "3dpw-spin": {"hidden": 512, "bottleneck": 16, "blocks": 1, "dropout": 0.5},
    "aist-vibe": {"hidden": 512, "bottleneck": 128, "blocks": 5, "dropout": 0.25},
    "h36m-fcn": {"hidden": 512, "bottleneck": 128, "blocks": 5, "dropout": 0.25},
    "mmpose": {"hidden": 512, "bottleneck": 256, "blocks": 3, "dropout": 0.5},
    "mmhuman3d": {"hidden": 512, "bottleneck": 512, "blocks": 5, "dropout": 0.5},
}


class ResidualBlock(nn.Module):
    """Two linear maps through a bottleneck, each with dropout and LeakyReLU 0.2, added to the block's input."""

    def __init__(self, hidden: int, bottleneck: int, dropout: float) -> None:
        super().__init__()
        self.linear1 = nn.Linear(hidden, bottleneck)
        self.linear2 = nn.Linear(bottleneck, hidden)
        self.dropout = nn.Dropout(dropout)
        self.activation = nn.LeakyReLU(0.2)

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., hidden) from (..., hidden)."""
        narrow = self.activation(self.dropout(self.linear1(x)))
        return x + self.activation(self.dropout(self.linear2(narrow)))


class SmoothNet(nn.Module):
    """The published network: every channel is one sequence of ``window`` frames, and all share the weights.

    Its state dict has the published names ``encoder.0.*``, ``res_blocks.{i}.linear1|linear2.*``, ``decoder.*``.

    Args:
        window: frames T of a window.
        hidden: width H between the blocks.
        bottleneck: width R inside a block.
        blocks: number B of residual blocks.
        dropout: probability, in training only.
    """

    def __init__(
        self, window: int = 32, hidden: int = 512, bottleneck: int = 16, blocks: int = 1, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.window = window
        self.encoder = nn.Sequential(nn.Linear(window, hidden), nn.LeakyReLU(0.1))
        self.res_blocks = nn.Sequential(*(ResidualBlock(hidden, bottleneck, dropout) for _ in range(blocks)))
        self.decoder = nn.Linear(hidden, window)

    def forward(self, x: Tensor) -> Tensor:
        """Return refined windows (N, C, T) from windows (N, C, T), in the unit of the input.

        Raises:
            ValueError: the last axis is not the network's window.
        """
        if x.ndim != 3 or x.shape[-1] != self.window:
            raise mismatch("windows", f"(N, C, {self.window})", tuple(x.shape))
        return self.decoder(self.res_blocks(self.encoder(x)))


def from_tensors(tensors: Mapping[str, NDArray[np.floating]], dropout: float = 0.5) -> SmoothNet:
    """Return the network with the given tensors, in evaluation mode, its sizes taken from their shapes.

    Raises:
        ValueError: names or shapes are not those of the published network.
    """
    network = SmoothNet(**published_sizes(tensors), dropout=dropout)
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()})
    return network.eval()


def from_weights(weights: Weights, dropout: float = 0.5) -> SmoothNet:
    """Return the network of weights with the architecture ``smoothnet``, as :func:`from_tensors`.

    Raises:
        ValueError: they are of another architecture, or as :func:`from_tensors`.
    """
    if weights.metadata.get("architecture") != "smoothnet":
        raise mismatch("architecture of the weights", "smoothnet", repr(weights.metadata.get("architecture")))
    return from_tensors(weights.tensors, dropout)
