"""The paper's motion-aware variant of SmoothNet (Zeng et al., ECCV 2022), in torch.

The paper adds branches for velocity and acceleration to the one for position and fuses the three with a linear layer;
no code of it was published. What is chosen here where the text leaves it open:

- Each branch is a whole published network of the same widths. Velocities are first, accelerations second differences
  over time in the window (per frame, no division by the frame rate), so the branches see T, T - 1 and T - 2 numbers:
  nothing is made up at the ends, as padding would.
- The fusing layer maps the three outputs, one after the other, 3 T - 3 numbers, to T positions, over time, with all
  channels sharing it, as they share everything else. One linear map over time can integrate what the branches say
  about motion, which frame-by-frame weights could not.
- The loss is on the fused positions alone, as for the published network: the fusing layer makes of the branches'
  outputs what it needs.

At T = 32 with the default widths it has about 151,000 parameters, three times the published network.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smoothnet_core._checks import mismatch
from smoothnet_core.checkpoints import motion_aware_sizes
from smoothnet_core.models.published import SmoothNet


class MotionAware(nn.Module):
    """Three published networks and a linear layer.

    Its state dict has the published names after ``position.``, ``velocity.`` and ``acceleration.``, and ``fuse.*``.

    Args:
        window: frames T of a window, at least 3.
        hidden, bottleneck, blocks, dropout: of each branch, as in :class:`~smoothnet_core.models.published.SmoothNet`.
    """

    def __init__(
        self, window: int = 32, hidden: int = 512, bottleneck: int = 16, blocks: int = 1, dropout: float = 0.5
    ) -> None:
        super().__init__()
        if window < 3:
            raise mismatch("window", "at least 3 frames, which have one acceleration", window)
        self.window = window
        self.position = SmoothNet(window, hidden, bottleneck, blocks, dropout)
        self.velocity = SmoothNet(window - 1, hidden, bottleneck, blocks, dropout)
        self.acceleration = SmoothNet(window - 2, hidden, bottleneck, blocks, dropout)
        self.fuse = nn.Linear(3 * window - 3, window)

    def forward(self, x: Tensor) -> Tensor:
        """Return refined windows (N, C, T) from windows (N, C, T), in the unit of the input.

        Raises:
            ValueError: the last axis is not the network's window.
        """
        branches = [self.position(x), self.velocity(x.diff(dim=-1)), self.acceleration(x.diff(n=2, dim=-1))]
        return self.fuse(torch.cat(branches, dim=-1))


def from_tensors(tensors: Mapping[str, NDArray[np.floating]], dropout: float = 0.5) -> MotionAware:
    """Return the network with the given tensors, in evaluation mode, its sizes taken from their shapes.

    Raises:
        ValueError: names or shapes are not those of this network.
    """
    network = MotionAware(**motion_aware_sizes(tensors), dropout=dropout)
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()})
    return network.eval()
