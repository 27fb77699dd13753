"""Our own network without torch; see :mod:`smoothnet_core.models.vector_filter` for what it is."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.inference.blas import prepared
from smoothnet_core.inference.layout import Step
from smoothnet_core.inference.plan import Run
from smoothnet_core.inference.scratch import kept, room

Array = NDArray[np.floating]

# As in the torch module, whose constants this one cannot import without torch.
FLOOR = 1e-2
# Numbers side by side, of wide networks and of narrow ones: longer rows are no faster, and what lies between products
# still is in a cache.
_COLUMNS, _NARROW, _NARROW_COLUMNS = 4032, 64, 6048
# A spread that nothing seen has; float32 holds its inverse.
_NO_SPREAD = 1e-36


class VectorFilter:
    """The tensors as they are needed.

    Args:
        tensors: float32 or float64, by the torch module's names.
        weights: (W,) that frames of the output are multiplied by, as overlapping windows are blended.
    """

    centred = True
    # Of each window it keeps more than its numbers.
    least_size = 2

    def __init__(self, tensors: Mapping[str, Array], weights: Array) -> None:
        self.weights = weights
        self.dtype = tensors["probe"].dtype
        self.probes = len(tensors["probe"])
        # What windows are probed with and taken apart with: one product of both is faster than two.
        self.seen = np.concatenate([tensors["probe"], tensors["analysis"]])
        self.synthesis = (tensors["synthesis"] * weights[:, None]).astype(self.dtype)
        layer, probes = tensors["layer1.weight"], self.probes
        # Biases stand beside the weights, and a row of ones beside what they see. A quality of 1 all through a window
        # is part of that bias.
        by_quality = layer[:, probes:]
        self.by_quality = np.ascontiguousarray(by_quality)
        self.trusted = _with_bias(layer[:, :probes], tensors["layer1.bias"] + by_quality.sum(axis=1))
        self.untrusted = _with_bias(layer[:, :probes], tensors["layer1.bias"])
        self.layer2 = _with_bias(tensors["layer2.weight"], tensors["layer2.bias"])
        self.gain = _with_bias(tensors["gain.weight"], tensors["gain.bias"])
        self.columns = _COLUMNS if len(self.seen) > _NARROW else _NARROW_COLUMNS

    def on(self, rows: Array) -> tuple[Run, Array]:
        """Return what runs windows (W, D, M), each relative to its own middle, and where its answers stand: there too.

        See :class:`~smoothnet_core.inference.plan.Network`.
        """
        return _Steps(self, rows).run, rows


class _Steps:
    """The network on windows (W, D, M) in one place in memory, which they are overwritten in."""

    def __init__(self, network: VectorFilter, rows: Array) -> None:
        window, size, count = rows.shape
        dtype, number = network.dtype, network.dtype.type
        probes, filters, hidden = network.probes, len(network.gain), len(network.layer2)
        flat = rows.reshape(window, -1)
        wide = room("wide", (probes + filters, flat.shape[1]), dtype)
        probed, filtered = (own.reshape(-1, size, count) for own in (wide[:probes], wide[probes:]))
        # Below each a row of ones, which their biases are multiplied by: shared by windows of all numbers up to one.
        width = max(count, network.columns // max(network.least_size, size))
        heights = (probes, len(network.trusted), hidden)
        wide_ones = kept((network, width), lambda: [np.ones((height + 1, width), dtype) for height in heights])
        features, first, second = (own[:, :count] for own in wide_ones)
        self._first, lengths = first[:-1], features[:-1]
        energy, gains = np.empty(count, dtype), room("gains", (filters, 1, count), dtype)
        # Three times as fast as with the number 0.
        zeros = np.zeros(count, dtype)
        # Logarithms of the probed lengths, relative to the windows' spread.
        self._before: list[Step] = [
            partial(np.einsum, "wdm,wdm->m", rows, rows, out=energy),
            partial(np.maximum, energy, number(_NO_SPREAD), out=energy),
            partial(np.divide, number(window), energy, out=energy),
            prepared(network.seen, flat, wide),
            partial(np.square, probed, out=probed),
            *(partial(np.add, probed[:, 0], probed[:, other], out=probed[:, 0]) for other in range(1, size)),
            partial(np.multiply, probed[:, 0], energy, out=lengths),
            partial(np.add, lengths, number(1e-12), out=lengths),
            partial(np.sqrt, lengths, out=lengths),
            partial(np.add, lengths, number(FLOOR), out=lengths),
            partial(np.log, lengths, out=lengths),
        ]
        self._trusted = prepared(network.trusted, features, self._first)
        self._untrusted = prepared(network.untrusted, features, self._first)
        self._by_quality = network.by_quality
        self._after: list[Step] = [
            partial(np.maximum, self._first, zeros, out=self._first),
            prepared(network.layer2, first, second[:-1]),
            partial(np.maximum, second[:-1], zeros, out=second[:-1]),
            prepared(network.gain, second, gains[:, 0]),
            partial(np.multiply, filtered, gains, out=filtered),
            prepared(network.synthesis, wide[probes:], flat),
        ]

    def run(self, quality: Array | None) -> None:
        """Replace the windows by what is to be added to them, weighted; ``quality`` is (W, 2, M), or None: all 1."""
        for step in self._before:
            step()
        if quality is None:
            self._trusted()
        else:
            self._untrusted()
            seen = quality.reshape(self._by_quality.shape[1], -1)
            prepared(self._by_quality, seen, self._first, add=True)()
        for step in self._after:
            step()


def _with_bias(weight: Array, bias: Array) -> Array:
    return np.concatenate([weight, bias[:, None]], axis=1)
