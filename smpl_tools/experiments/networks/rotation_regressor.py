"""A regressor of joint rotations, recurrent or not: in the place of VIBE (Kocabas et al., CVPR 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Frames that the recurrent part sees at once, as VIBE's does; the next ones start anew.
CHUNK = 16


class RotationRegressor(nn.Module):
    """A perceptron on each frame, and between its layers and the answer a GRU over 16 frames, added to what it sees.

    After Kocabas et al., "VIBE: Video inference for human body pose and shape estimation", CVPR 2020, whose temporal
    encoder is a GRU with such a residual connection. There features of pictures come in and parameters of SMPL go out,
    in three iterations; here 2D keypoints come in and go straight to rotations.

    Attributes:
        margin: frames of context that the input has more than the output on either side: none.

    Args:
        inputs: numbers a frame.
        joints: rotations a frame, as 6D (Zhou et al., CVPR 2019: the first two columns, one after the other).
        width: of all hidden layers.
        recurrent: whether there is a GRU.
        dropout: probability, in training only.
    """

    margin = 0

    def __init__(
        self, inputs: int, joints: int, width: int = 256, recurrent: bool = True, dropout: float = 0.25
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width), nn.ReLU()
        )
        self.gru = nn.GRU(width, width, batch_first=True) if recurrent else None
        self.regressor = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout))
        self.last = nn.Linear(width, 6 * joints)
        # Rest is where to start: with small weights and no turn for an offset, all rotations begin near the identity.
        nn.init.normal_(self.last.weight, std=0.01)
        with torch.no_grad():
            self.last.bias.copy_(torch.eye(3)[:, :2].T.flatten().repeat(joints))

    def forward(self, frames: Tensor) -> Tensor:
        """Return rotations (N, T, 6 * joints) from (N, T, inputs)."""
        features = self.features(frames)
        if self.gru is not None:
            count, length, width = features.shape
            padded = functional.pad(features, (0, 0, 0, -length % CHUNK))
            seen, _ = self.gru(padded.reshape(-1, CHUNK, width))
            features = features + seen.reshape(count, -1, width)[:, :length]
        return self.last(self.regressor(features))
