"""Our own network without torch; see :mod:`smoothnet_core.models.vector_filter` for what it is."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.inference.blas import prepared, product
from smoothnet_core.inference.scratch import room

Array = NDArray[np.floating]

# As in the torch module, whose constants this one cannot import without torch.
FLOOR = 1e-2
# Numbers side by side, of wide networks and of narrow ones: longer rows are no faster, and what lies between products
# still is in a cache.
_COLUMNS, _NARROW, _NARROW_COLUMNS = 4032, 64, 6048
# Shapes of windows for which a thread keeps its memory: most of a track's stretches are of one.
_KEPT_STEPS = 2


class VectorFilter:
    """The tensors as they are needed.

    Args:
        tensors: float32 or float64, by the torch module's names.
        weights: (W,) that frames of the output are multiplied by, as overlapping windows are blended.
    """

    centred = True

    def __init__(self, tensors: Mapping[str, Array], weights: Array) -> None:
        self._own = threading.local()
        self.dtype = tensors["probe"].dtype
        self.probe, self.analysis = (np.ascontiguousarray(tensors[name]) for name in ("probe", "analysis"))
        self.synthesis = (tensors["synthesis"] * weights[:, None]).astype(self.dtype)
        layer, probes = tensors["layer1.weight"], len(self.probe)
        # Biases stand beside the weights, and a row of ones beside what they see. A quality of 1 all through a window
        # is part of that bias.
        by_quality = layer[:, probes:]
        self.by_quality = np.ascontiguousarray(by_quality)
        self.trusted = _with_bias(layer[:, :probes], tensors["layer1.bias"] + by_quality.sum(axis=1))
        self.untrusted = _with_bias(layer[:, :probes], tensors["layer1.bias"])
        self.layer2 = _with_bias(tensors["layer2.weight"], tensors["layer2.bias"])
        self.gain = _with_bias(tensors["gain.weight"], tensors["gain.bias"])
        self.columns = _COLUMNS if max(probes, len(self.analysis)) > _NARROW else _NARROW_COLUMNS

    def run(self, rows: Array, quality: Array | None) -> Array:
        """Return what is to be added to windows, weighted; see :class:`~smoothnet_core.inference.overlapping.Network`.

        Args:
            rows: (W, J, D, M) each window relative to its own middle.
            quality: (W, 2, J, M), or None where all of it is 1.
        """
        rows = np.ascontiguousarray(rows)
        energy = np.einsum("wjdm,wjdm->jm", rows, rows) / self.dtype.type(len(rows))
        steps = self._steps(rows)
        steps.probe()
        self._logarithms(steps.probed, energy, steps.lengths)
        if quality is None:
            steps.trusted()
        else:
            steps.untrusted()
            seen = np.ascontiguousarray(quality, self.dtype).reshape(len(self.by_quality[0]), -1)
            product(self.by_quality, seen, out=steps.first, add=True)
        # Three times as fast as with the number 0.
        np.maximum(steps.first, steps.zeros, out=steps.first)
        steps.layer2()
        np.maximum(steps.second, steps.zeros, out=steps.second)
        steps.gain()
        steps.analyse()
        np.multiply(steps.filtered, steps.gains, out=steps.filtered)
        steps.synthesise()
        return rows

    def _steps(self, rows: Array) -> _Steps:
        """Return the products for windows in this memory; the same ones as long as they come there."""
        known: dict[Any, _Steps] = self._own.__dict__.setdefault("steps", {})
        key = (rows.ctypes.data, rows.shape)
        if key not in known:
            if len(known) >= _KEPT_STEPS:
                known.pop(next(iter(known)))
            known[key] = _Steps(self, rows)
        return known[key]

    def _logarithms(self, probed: Array, energy: Array, out: Array) -> None:
        """Write the logarithms (P, J, M) of the probed lengths, relative to the windows' spread; overwrites probed."""
        relative = 1 / np.where(energy > 0, energy, 1)
        np.square(probed, out=probed)
        lengths = probed[:, :, 0]
        for number in range(1, probed.shape[2]):
            lengths += probed[:, :, number]
        np.multiply(lengths, relative, out=out)
        out += self.dtype.type(1e-12)
        np.sqrt(out, out=out)
        out += self.dtype.type(FLOOR)
        np.log(out, out=out)


class _Steps:
    """The products of a network for windows in one place in memory, and room for what lies between them."""

    def __init__(self, network: VectorFilter, rows: Array) -> None:
        window, joints, size, many = rows.shape
        count, dtype = joints * many, network.dtype
        probes, filters, hidden = len(network.probe), len(network.analysis), len(network.layer2)
        flat = rows.reshape(window, -1)
        wide = np.empty((max(probes, filters), flat.shape[1]), dtype)
        self.probed = wide[:probes].reshape(probes, joints, size, many)
        self.filtered = wide[:filters].reshape(filters, joints, size, many)
        features, first, second = (np.ones((rows + 1, count), dtype) for rows in (probes, len(network.trusted), hidden))
        self.lengths = features[:-1].reshape(probes, joints, many)
        self.first, self.second = first[:-1], second[:-1]
        self.zeros = np.zeros(self.first.shape, dtype)
        gains = np.empty((filters, count), dtype)
        self.gains = gains.reshape(filters, joints, 1, many)
        self.probe = prepared(network.probe, flat, wide[:probes])
        self.trusted = prepared(network.trusted, features, self.first)
        self.untrusted = prepared(network.untrusted, features, self.first)
        self.layer2 = prepared(network.layer2, first, self.second)
        self.gain = prepared(network.gain, second, gains)
        self.analyse = prepared(network.analysis, flat, wide[:filters])
        # By then the windows are not needed any more.
        self.synthesise = prepared(network.synthesis, wide[:filters], flat)


def forward(tensors: Mapping[str, Array], windows: Array, quality: Array) -> Array:
    """Refine windows.

    Args:
        tensors: by the torch module's names.
        windows: (N, W, D) of the dtype of the tensors.
        quality: (N, W, 2) likewise: confidence in [0, 1], and 1 where the frame was observed.

    Returns:
        (N, W, D).
    """
    count, window, size = windows.shape
    network = VectorFilter(tensors, np.ones(window))
    result = np.empty_like(windows)
    block = max(1, network.columns // size)
    for start in range(0, count, block):
        part = slice(start, start + block)
        rows = windows[part].transpose(1, 2, 0).astype(np.float64)
        rows -= rows.mean(axis=0)
        seen = None if (quality[part] == 1).all() else quality[part].transpose(1, 2, 0)[:, :, None]
        centred = room("centred", (window, 1, size, rows.shape[2]), network.dtype)
        centred[:, 0] = rows
        change = network.run(centred, seen)
        result[part] = windows[part] + change[:, 0].transpose(2, 0, 1)
    return result


def _with_bias(weight: Array, bias: Array) -> Array:
    return np.concatenate([weight, bias[:, None]], axis=1)
