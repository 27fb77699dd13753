"""A network for takes in which some numbers are off and the others exact: parabolas through what can be trusted.

Every value of a track is replaced by that of a parabola in time, fitted around it by weighted least squares, several
times over: small convolutional networks look at how far each value is from its neighbours and from the last fit, and
say how far to trust it in the next one (robust local regression as in Cleveland, JASA 1979, with learned weights). Of
the last fits, narrow and wide ones, slowly changing shares are taken, and a slowly changing part of Gaussian smoothing.

What the networks see are lengths relative to the window's own jitter, so for any orthogonal Q, scale s and offset c
``f(s Q x + c) = s Q f(x) + c``, as for :mod:`smoothnet_core.models.vector_filter`; D may be any number.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from smoothnet_core.inference.robust_fit_numpy import (
    BANDWIDTHS,
    DILATIONS,
    FLOOR,
    GATE_REACH,
    GATE_WIDTH,
    HELD,
    KEPT_LINES,
    LEAST_SCALE,
    LEAST_TRUST,
    LINE_FLOOR,
    SMOOTHINGS,
    box,
    lines,
    moment_places,
    probes,
    smoothing,
)
from smoothnet_core.models.sizes import RobustSizes


class Trunk(nn.Module):
    """Convolutions over time, each added to what it sees: (N, C, W) in, (N, ``out``, W) out."""

    def __init__(self, size: int, hidden: int, out: int) -> None:
        super().__init__()
        self.enter = nn.Conv1d(size, hidden, 3)
        self.layers = nn.ModuleList([nn.Conv1d(hidden, hidden, 3, dilation=dilation) for dilation in DILATIONS])
        self.leave = nn.Conv1d(hidden, out, 1)
        _zero(self.leave)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out, W)."""
        hidden = torch.relu(self.enter(_held(x, 1)))
        for dilation, layer in zip(DILATIONS, self.layers, strict=True):
            hidden = hidden + torch.relu(layer(_held(hidden, dilation)))
        return self.leave(hidden)


class RobustFit(nn.Module):
    """The network; tensor names are those of the weight files.

    Input ``windows`` (N, W, D) and ``quality`` (N, W, 2): confidence in [0, 1] (1 where nothing is known) and 1 for an
    observed frame, 0 for an interpolated one; their product limits how far a value is trusted. Output (N, W, D).
    """

    lines: Tensor
    slow: Tensor
    box: Tensor

    def __init__(self, sizes: RobustSizes) -> None:
        super().__init__()
        self.sizes = sizes
        count = len(BANDWIDTHS)
        self.probe = nn.Parameter(torch.from_numpy(probes()))
        self.bandwidths = nn.Parameter(torch.log(torch.tensor(BANDWIDTHS)))
        self.smoothings = nn.Parameter(torch.log(torch.tensor(SMOOTHINGS)))
        self.sharpness = nn.Parameter(torch.ones(sizes.rounds))
        seen = len(self.probe) + KEPT_LINES
        outs = [count] * (sizes.rounds - 1) + [2 * count]
        self.trust = nn.ModuleList(
            [Trunk(seen, sizes.hidden, 1), *(Trunk(seen + 2 * count, sizes.hidden, out) for out in outs)]
        )
        self.calm = nn.ModuleList(
            [
                nn.Conv1d(seen + 4 * count, sizes.hidden, 1),
                nn.Conv1d(sizes.hidden, sizes.hidden, 1),
                nn.Conv1d(sizes.hidden, len(SMOOTHINGS) + 1, 1),
            ]
        )
        _zero(self.calm[2])
        for name, fixed in (
            ("lines", lines()),
            ("slow", smoothing(np.log([GATE_WIDTH]), sizes.window, GATE_REACH)[0]),
            ("box", box(sizes.window)),
        ):
            self.register_buffer(name, torch.from_numpy(fixed.astype(np.float32)), persistent=False)

    def forward(self, windows: Tensor, quality: Tensor) -> Tensor:
        """Return the refined windows (N, W, D)."""
        middle = windows.mean(dim=1, keepdim=True)
        tracks = (windows - middle).transpose(1, 2)
        energy = tracks.square().sum(dim=1).mean(dim=1)[:, None, None]
        # A window that does not move comes out as it went in; the root has no slope at zero.
        least = LEAST_SCALE * torch.where(energy > 0, energy, torch.ones_like(energy)).sqrt()
        probed = _lengths(_correlated(tracks, self.probe), least)
        scale = torch.maximum(probed[:, 0].median(dim=1).values[:, None, None], least)
        off_lines = _lengths(_correlated(tracks, self.lines), least).sort(dim=1).values[:, :KEPT_LINES]
        seen = torch.cat([_log(probed, scale), torch.log(off_lines / scale + LINE_FLOOR)], dim=1)
        kernels = self._kernels()
        given = quality.prod(dim=2)[:, None]
        trust = (given * torch.sigmoid(self.trust[0](seen) + 1)).expand(-1, len(BANDWIDTHS), -1)
        gates = trust
        for number, trunk in enumerate(self.trust[1:]):
            fits, judged = self._judged(tracks, trust, kernels, scale, least)
            answer = trunk(torch.cat([seen, *judged], dim=1))
            told, gates = answer.split([len(BANDWIDTHS), answer.shape[1] - len(BANDWIDTHS)], dim=1)
            trust = given * torch.sigmoid(2 + told - self.sharpness[number] * judged[0])
        fits, judged = self._judged(tracks, trust, kernels, scale, least)
        shares = torch.softmax(self._slowly(gates), dim=1)
        fitted = (shares[:, None] * fits).sum(dim=2)
        bends = functional.pad(_lengths(fits.diff(n=2, dim=3), least), (1, 1))
        apart = _lengths(fits - fits[:, :, -1:], least)
        features = torch.cat([seen, *judged, _log(bends, scale), _log(apart, scale)], dim=1)
        return middle + self._calmed(fitted, features).transpose(1, 2)

    def _calmed(self, fitted: Tensor, features: Tensor) -> Tensor:
        """Return the fit (N, D, W), smoothed as much as the features (N, C, W) ask for."""
        hidden = self._slowly(features)
        for layer in self.calm[:2]:
            hidden = torch.relu(layer(hidden))
        parts = torch.softmax(self.calm[2](self._slowly(hidden)), dim=1)
        smooth = torch.einsum("ndv,svw->ndsw", _held(fitted, HELD), self._smoothers())
        return (parts[:, None] * torch.cat([fitted[:, :, None], smooth], dim=2)).sum(dim=2)

    def _kernels(self) -> Tensor:
        """Return (B, W, 5 W): a track of weights times this gives its moments of order 0 to 4 about every frame."""
        widths = self.bandwidths.exp()[:, None, None]
        places = torch.from_numpy(moment_places(self.sizes.window)).to(widths) / widths
        gauss = torch.exp(-0.5 * places.square())
        return torch.cat([gauss * places**power for power in range(5)], dim=2)

    def _judged(
        self, tracks: Tensor, trust: Tensor, kernels: Tensor, scale: Tensor, least: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return fits (N, D, B, W), and how far values are from them and how much trust there is around (N, B, W)."""
        count, size, frames = tracks.shape
        weights = (trust + LEAST_TRUST).transpose(0, 1)
        sums = (weights @ kernels).unflatten(2, (5, frames)).transpose(0, 1)
        weighted = weights[:, :, None] * tracks
        moments = (weighted.flatten(1, 2) @ kernels[:, :, : 3 * frames]).reshape(-1, count, size, 3, frames)
        first, second, third, whole = _parabola(*sums.unbind(dim=2))
        m0, m1, m2 = moments.permute(1, 2, 0, 3, 4).unbind(dim=3)
        fits = (first[:, None] * m0 + second[:, None] * m1 + third[:, None] * m2) / whole[:, None]
        off = _log(_lengths(tracks[:, :, None] - fits, least), scale)
        around = torch.log(trust @ self.box + LINE_FLOOR)
        return fits, (off, around)

    def _slowly(self, x: Tensor) -> Tensor:
        return _held(x, GATE_REACH) @ self.slow

    def _smoothers(self) -> Tensor:
        """Return (S, W + 2 HELD, W): Gaussians over a track whose ends are held."""
        frames = self.sizes.window
        places = torch.arange(frames + 2 * HELD)[:, None] - HELD - torch.arange(frames)
        gauss = torch.exp(-0.5 * (places.to(self.smoothings) / self.smoothings.exp()[:, None, None]).square())
        return gauss / gauss.sum(dim=1, keepdim=True)


def from_tensors(tensors: Mapping[str, NDArray[np.float32]], window: int) -> RobustFit:
    """Return the network with the given tensors for windows of so many frames."""
    network = RobustFit(RobustSizes(window, len(tensors["trust.0.enter.bias"]), len(tensors["sharpness"])))
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()})
    return network


def _parabola(s0: Tensor, s1: Tensor, s2: Tensor, s3: Tensor, s4: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the factors of the moments of order 0, 1 and 2 in a parabola's value at its middle, and their divisor."""
    # Where the weights do not determine a parabola, a little of it is given up for a line or a constant (a ridge).
    slope, bend = s2 + 1e-3 * s0, s4 + 1e-3 * s0
    first, second, third = slope * bend - s3 * s3, s2 * s3 - s1 * bend, s1 * s3 - slope * s2
    return first, second, third, s0 * first + s1 * second + s2 * third


def _correlated(tracks: Tensor, kernels: Tensor) -> Tensor:
    """Return (N, D, K, W): the tracks (N, D, W), their ends held, with each of the kernels (K, odd)."""
    reach = kernels.shape[1] // 2
    rows = _held(tracks, reach).flatten(0, 1)[:, None]
    return functional.conv1d(rows, kernels[:, None]).unflatten(0, tracks.shape[:2])


def _lengths(vectors: Tensor, least: Tensor) -> Tensor:
    """Return the lengths (N, ., W) of vectors (N, D, ., W), with a finite slope at zero."""
    return (vectors.square().sum(dim=1) + (1e-3 * least).square()).sqrt()


def _log(lengths: Tensor, scale: Tensor) -> Tensor:
    return torch.log(lengths / scale + FLOOR)


def _held(x: Tensor, reach: int) -> Tensor:
    """Hold the first and last frame of (N, C, W) beyond the ends."""
    return functional.pad(x, (reach, reach), mode="replicate")


def _zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
