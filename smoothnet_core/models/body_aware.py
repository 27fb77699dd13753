"""The body-aware network in torch: it sees all joints of a known set at once and corrects what time alone cannot tell.

Its windows hold joint positions that a network which sees time alone has refined, and it adds a correction to them:
what it has learned that an estimator does wrong in such a pose (depth, swaps, occluded limbs). It sees positions
relative to the root and to the body's size in the window, how sure the estimator was, and how rough the take was there
before; its correction is in the body's size, so the result follows any path of the root and any positive scale exactly.
In use it sees every take and its mirror image, so the result of
the one is the mirror image of the other's. The correction is smoothed over time by a fixed Gaussian, so it never adds
jitter. The layers are convolutions over time, with dilations 1, 2, 4, ... as in temporal convolutional networks (Bai,
Kolter, Koltun 2018; for poses Pavllo et al., CVPR 2019, who average over the mirror image too).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from smoothnet_core.inference.body_aware_numpy import (
    CORRECTION_RADIUS,
    CORRECTION_SCALE,
    CORRECTION_SIGMA,
    LEAK,
    POSITION_SCALE,
    QUALITIES,
    ROUGHEST,
    ROUGHNESS_SCALE,
)


class Block(nn.Module):
    """A dilated convolution and a 1 x 1 one, added to the block's input."""

    def __init__(self, hidden: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.wide = nn.Conv1d(hidden, hidden, 3, dilation=dilation)
        self.narrow = nn.Conv1d(hidden, hidden, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, hidden, W) from (N, hidden, W)."""
        (dilation,) = self.wide.dilation
        wide = functional.leaky_relu(self.wide(_held(x, dilation)), LEAK)
        return x + self.dropout(self.narrow(wide))


class BodyAware(nn.Module):
    """The network; tensor names are those of the weight files.

    Args:
        root: indices of the joints whose mean is the root.
        swap: index of each of the J joints' counterpart on the other side.
        hidden: width between the blocks.
        blocks: number of residual blocks; that of number i sees frames 2**i apart.
        dropout: probability, in training only.
    """

    kernel: Tensor

    def __init__(
        self, root: Sequence[int], swap: Sequence[int], hidden: int = 128, blocks: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.root, self.swap = list(root), list(swap)
        joints = len(self.swap)
        self.encoder = nn.Conv1d((3 + QUALITIES) * joints, hidden, 3)
        self.blocks = nn.ModuleList([Block(hidden, 2**i, dropout) for i in range(blocks)])
        self.decoder = nn.Conv1d(hidden, 3 * joints, 1)
        # At the start nothing is corrected.
        for parameter in self.decoder.parameters():
            nn.init.zeros_(parameter)
        steps = torch.arange(-CORRECTION_RADIUS, CORRECTION_RADIUS + 1)
        kernel = torch.exp(-0.5 * (steps / CORRECTION_SIGMA) ** 2)
        self.register_buffer("kernel", (kernel / kernel.sum())[None, None], persistent=False)

    def forward(self, windows: Tensor, quality: Tensor) -> Tensor:
        """Return the refined windows.

        In training mode the mirror image is left out: there batches show both.

        Args:
            windows: (N, W, 3 J) refined positions, x, y, z of one joint after the other; W any number of frames.
            quality: (N, W, 3 J) likewise: confidence in [0, 1], 1 where the frame was observed, and roughness, the
                distance that joints were refined by before, in the unit of the positions.

        Returns:
            (N, W, 3 J).
        """
        correction = self._correction(windows, quality)
        if not self.training:
            sides = quality.unflatten(2, (-1, QUALITIES))[:, :, self.swap].flatten(2)
            image = self._correction(self._mirrored(windows), sides)
            correction = (correction + self._mirrored(image)) / 2
        return windows + correction

    def _correction(self, windows: Tensor, quality: Tensor) -> Tensor:
        joints = windows.unflatten(2, (-1, 3))
        body = joints - joints[:, :, self.root].mean(dim=2, keepdim=True)
        size = body.norm(dim=3).mean(dim=(1, 2))[:, None, None]
        unit = torch.where(size > 0, size, torch.ones_like(size))
        trust = quality.unflatten(2, (-1, QUALITIES))
        rough = (trust[..., 2:] * (ROUGHNESS_SCALE / unit[..., None])).clamp(max=ROUGHEST)
        given = [body.flatten(2) * (POSITION_SCALE / unit), torch.cat([trust[..., :2], rough], dim=3).flatten(2)]
        hidden = self.encoder(_held(torch.cat(given, dim=2).transpose(1, 2), 1))
        hidden = functional.leaky_relu(hidden, LEAK)
        for block in self.blocks:
            hidden = block(hidden)
        correction = self.decoder(hidden)
        smooth = functional.conv1d(_held(correction, CORRECTION_RADIUS).flatten(0, 1)[:, None], self.kernel)
        return CORRECTION_SCALE * size * smooth.reshape(correction.shape).transpose(1, 2)

    def _mirrored(self, positions: Tensor) -> Tensor:
        """Return positions or corrections (N, W, 3 J) as a mirror shows them."""
        image = positions.unflatten(2, (-1, 3))[:, :, self.swap]
        return torch.cat([-image[..., :1], image[..., 1:]], dim=3).flatten(2)


def from_tensors(tensors: Mapping[str, NDArray[np.floating]], root: Sequence[int], swap: Sequence[int]) -> BodyAware:
    """Return the network with the given tensors, root and counterparts, its sizes taken from the tensors' shapes."""
    blocks = sum(name.endswith(".narrow.bias") for name in tensors)
    network = BodyAware(root, swap, len(tensors["encoder.bias"]), blocks)
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()})
    return network


def _held(x: Tensor, reach: int) -> Tensor:
    """Hold the first and last frame of (N, C, W) beyond the ends."""
    return functional.pad(x, (reach, reach), mode="replicate")
