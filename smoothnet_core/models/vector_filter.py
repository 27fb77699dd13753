"""Our own network in torch: a linear filter whose taps depend on what only lengths can tell.

The window of one joint is W vectors of D numbers. A small perceptron sees the lengths of linear combinations of the
window (levels, differences, whatever training made of them), relative to the window's own spread, and answers with
gains for a bank of linear filters over time. The output is linear in the window once the gains are known, and lengths
do not change when the vectors are turned, mirrored, shifted or scaled; so for any orthogonal Q, scale s and offset c
``f(s Q x + c) = s Q f(x) + c`` holds exactly, with no augmentation and no constraint on training. The same weights
serve D = 1 (a channel), 2 and 3 (positions) and 9 (rotation matrices).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smoothnet_core.models.sizes import Sizes

# Lengths below this share of the window's spread look alike to the perceptron; rounding stays far below it.
FLOOR = 1e-2


class VectorFilter(nn.Module):
    """The network; tensor names are those of the weight files.

    Input ``windows`` (N, W, D) and ``quality`` (N, W, 2): confidence in [0, 1] (1 where nothing is known) and 1 for an
    observed frame, 0 for an interpolated one. Output (N, W, D).
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        w = sizes.window
        self.probe = nn.Parameter(_probes(sizes.probes, w))
        self.layer1 = nn.Linear(sizes.probes + 2 * w, sizes.hidden)
        self.layer2 = nn.Linear(sizes.hidden, sizes.hidden)
        self.gain = nn.Linear(sizes.hidden, sizes.filters)
        self.analysis = nn.Parameter(torch.randn(sizes.filters, w) / w**0.5)
        self.synthesis = nn.Parameter(torch.randn(w, sizes.filters) * 0.1 / sizes.filters**0.5)
        if sizes.filters <= w:
            self._start_from_cosines()

    def forward(self, windows: Tensor, quality: Tensor) -> Tensor:
        """Return the refined windows (N, W, D)."""
        centred = windows - windows.mean(dim=1, keepdim=True)
        energy = centred.square().sum(dim=2).mean(dim=1)[:, None]
        # A window that does not move comes out as it went in, whatever the gains; the root has no slope at zero.
        spread = torch.where(energy > 0, energy, torch.ones_like(energy)).sqrt()
        # Lengths have an infinite slope at zero; the tiny term keeps the gradient finite there and nothing else.
        lengths = ((self.probe @ centred).square().sum(dim=2) + 1e-12 * spread.square()).sqrt() / spread
        features = torch.cat([torch.log(lengths + FLOOR), quality.flatten(1)], dim=1)
        hidden = torch.relu(self.layer1(features))
        hidden = torch.relu(self.layer2(hidden))
        gains = self.gain(hidden)
        return windows + self.synthesis @ (gains[:, :, None] * (self.analysis @ centred))

    def _start_from_cosines(self) -> None:
        """Start a small bank as a low-pass: filters that each take out one term of the cosine transform.

        The output differs from the input by as many patterns as there are filters. Where they are no more than the
        window's frames, random ones leave much of the noise out of reach, and training hardly finds the rest.
        """
        window, count = self.sizes.window, min(self.sizes.filters, self.sizes.window - 1)
        order = torch.arange(window - count, window)
        terms = torch.cos(torch.pi / window * order[:, None] * (torch.arange(window) + 0.5)) * (2 / window) ** 0.5
        with torch.no_grad():
            self.analysis[:count] = terms
            self.synthesis[:, :count] = -terms.T
            # The slowest terms stay; up to a third of all of them, what is taken out grows to nearly all.
            self.gain.bias[:count] = 0.95 * ((order - window / 16) / (window / 4)).clamp(0, 1)
            self.gain.weight *= 0.3


def from_tensors(tensors: Mapping[str, NDArray[np.float32]]) -> VectorFilter:
    """Return the network with the given tensors, its sizes taken from their shapes."""
    probes, window = tensors["probe"].shape
    sizes = Sizes(window, probes, len(tensors["layer1.bias"]), len(tensors["analysis"]))
    network = VectorFilter(sizes)
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()})
    return network


def _probes(count: int, window: int) -> Tensor:
    """Return a start for the probes: levels, first and second differences, then random combinations.

    Fewer probes than frames are some of these rows of each kind, from one end of the window to the other.
    """
    identity = torch.eye(window)
    rows = torch.cat([identity, identity.diff(dim=0), identity.diff(n=2, dim=0)])
    if count < window:
        rows = rows[torch.linspace(0, len(rows) - 1, count).round().long()]
    elif count > len(rows):
        rows = torch.cat([rows, torch.randn(count - len(rows), window) / window**0.5])
    return rows[:count].contiguous()
