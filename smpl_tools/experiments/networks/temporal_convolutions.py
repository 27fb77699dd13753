"""A lifter that sees 27 frames: in the place of VideoPose (Pavllo et al., CVPR 2019)."""

from __future__ import annotations

from torch import Tensor, nn


class TemporalLifter(nn.Module):
    """Convolutions over time of three taps, dilated by 1, 3, 9, ..., with residual connections, and no padding.

    After Pavllo et al., "3D human pose estimation in video with temporal convolutions and semi-supervised training",
    CVPR 2019: one convolution from the input, then a block for each further level: a dilated convolution and one of a
    single tap, each with batch normalisation, ReLU and dropout. There the width is 1024.

    Attributes:
        margin: frames of context that the input has more than the output on either side: (3^levels - 1) / 2.

    Args:
        inputs: numbers a frame.
        outputs: numbers a frame.
        width: channels of the hidden layers.
        levels: of dilation; an output depends on 3^levels frames.
        dropout: probability, in training only.
    """

    def __init__(self, inputs: int, outputs: int, width: int = 256, levels: int = 3, dropout: float = 0.25) -> None:
        super().__init__()
        self.margin = (3**levels - 1) // 2
        self.first = _layer(inputs, width, 3, 1, dropout)
        self.blocks = nn.ModuleList(
            nn.Sequential(_layer(width, width, 3, 3**level, dropout), _layer(width, width, 1, 1, dropout))
            for level in range(1, levels)
        )
        self.last = nn.Conv1d(width, outputs, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Return (N, T, outputs) from (N, T + 2 * margin, inputs)."""
        hidden = self.first(frames.transpose(1, 2))
        for level, block in enumerate(self.blocks, start=1):
            hidden = hidden[..., 3**level : -(3**level)] + block(hidden)
        return self.last(hidden).transpose(1, 2)


def _layer(inputs: int, outputs: int, taps: int, dilation: int, dropout: float) -> nn.Sequential:
    # Batch normalisation has an offset of its own, as in the description.
    convolution = nn.Conv1d(inputs, outputs, taps, dilation=dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(dropout))
