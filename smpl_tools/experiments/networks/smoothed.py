"""A backbone and the published SmoothNet after it as one network, for training in one stage."""

from __future__ import annotations

from torch import Tensor, nn

from smoothnet_core.models.published import SmoothNet


class Smoothed(nn.Module):
    """What the backbone says of the frames of one window, and what SmoothNet makes of that.

    Args:
        backbone: from (N, T + 2 * margin, inputs) to (N, T, outputs).
        smoother: whose window is T.
    """

    def __init__(self, backbone: nn.Module, smoother: SmoothNet) -> None:
        super().__init__()
        self.backbone = backbone
        self.smoother = smoother

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return SmoothNet's output and the backbone's, both (N, T, outputs)."""
        between = self.backbone(frames)
        return self.smoother(between.transpose(1, 2)).transpose(1, 2), between
