"""A lifter that sees one frame: in the place of FCN (Martinez et al., ICCV 2017)."""

from __future__ import annotations

from torch import Tensor, nn


class SingleFrameLifter(nn.Module):
    """Residual blocks of fully connected layers, each with batch normalisation, ReLU and dropout, frame by frame.

    After Martinez et al., "A simple yet effective baseline for 3D human pose estimation", ICCV 2017, without its limit
    on the weights' norms. There the width is 1024 and the dropout 0.5.

    Attributes:
        margin: frames of context that the input has more than the output on either side: none.

    Args:
        inputs: numbers a frame.
        outputs: numbers a frame.
        width: of the hidden layers.
        blocks: residual blocks of two layers each.
        dropout: probability, in training only.
    """

    margin = 0

    def __init__(self, inputs: int, outputs: int, width: int = 256, blocks: int = 2, dropout: float = 0.25) -> None:
        super().__init__()
        self.first = _layer(inputs, width, dropout)
        self.blocks = nn.ModuleList(
            nn.Sequential(_layer(width, width, dropout), _layer(width, width, dropout)) for _ in range(blocks)
        )
        self.last = nn.Linear(width, outputs)

    def forward(self, frames: Tensor) -> Tensor:
        """Return (N, T, outputs) from (N, T, inputs)."""
        hidden = self.first(frames.flatten(0, 1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.last(hidden).unflatten(0, frames.shape[:2])


def _layer(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(dropout))
