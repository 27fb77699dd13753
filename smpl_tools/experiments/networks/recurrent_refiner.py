"""A learned refiner of poses that sees all joints and the whole sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RecurrentRefiner(nn.Module):
    """A GRU over time in both directions whose answer is added to the poses; at the start it changes nothing.

    The SmoothNet paper (supplementary document, section 2.4) calls RefineNet learned and does not say how it is built;
    this is one such network. What its authors (Veges and Lorincz, ICONIP 2020) describe is an energy, see
    :mod:`smpl_tools.experiments.refinenet_energy`.

    Attributes:
        margin: frames of context that the input has more than the output on either side: none.

    Args:
        joints: number J of joints.
        width: of the GRU, in each direction.
        dropout: probability, in training only.
    """

    margin = 0

    def __init__(self, joints: int, width: int = 64, dropout: float = 0.3) -> None:
        super().__init__()
        self.joints = joints
        self.first = nn.Linear(4 * joints, width)
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.last = nn.Linear(2 * width, 3 * joints)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, frames: Tensor) -> Tensor:
        """Return poses (N, T, 3 * J) in metres from poses and confidences (N, T, 3 * J + J)."""
        seen, _ = self.gru(self.dropout(torch.relu(self.first(frames))))
        return frames[..., : 3 * self.joints] + self.last(self.dropout(seen))
