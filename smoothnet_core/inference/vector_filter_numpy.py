"""Our own network without torch; see :mod:`smoothnet_core.models.vector_filter` for what it is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.inference.blas import product
from smoothnet_core.inference.scratch import room

Array = NDArray[np.floating]

# As in the torch module, whose constants this one cannot import without torch.
FLOOR = 1e-2
# Numbers side by side, of wide networks and of narrow ones: longer rows are no faster, and what lies between products
# still is in a cache.
_COLUMNS, _NARROW, _NARROW_COLUMNS = 4032, 64, 8064


class VectorFilter:
    """The tensors as they are needed.

    Args:
        tensors: float32 or float64, by the torch module's names.
        weights: (W,) that frames of the output are multiplied by, as overlapping windows are blended.
    """

    centred = True

    def __init__(self, tensors: Mapping[str, Array], weights: Array) -> None:
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
        window, joints, size, many = rows.shape
        count = joints * many
        energy = np.einsum("wjdm,wjdm->jm", rows, rows) / self.dtype.type(window)
        flat = rows.reshape(window, -1)
        probes, filters = len(self.probe), len(self.analysis)
        wide = room("wide", (max(probes, filters), flat.shape[1]), self.dtype)

        probed = product(self.probe, flat, out=wide[:probes]).reshape(probes, joints, size, many)
        features = room("features", (probes + 1, joints, many), self.dtype)
        features[-1] = 1
        self._logarithms(probed, energy, features[:-1])
        features = features.reshape(-1, count)
        first = room("first", (len(self.trusted) + 1, count), self.dtype)
        if quality is None:
            product(self.trusted, features, out=first[:-1])
        else:
            product(self.untrusted, features, out=first[:-1])
            seen = np.ascontiguousarray(quality, self.dtype).reshape(2 * window, count)
            product(self.by_quality, seen, out=first[:-1], add=True)
        second = room("second", (len(self.layer2) + 1, count), self.dtype)
        product(self.layer2, _rectified(first), out=second[:-1])
        gains = product(self.gain, _rectified(second), out=room("gains", (filters, count), self.dtype))

        filtered = product(self.analysis, flat, out=wide[:filters])
        by_joint = filtered.reshape(filters, joints, size, many)
        by_joint *= gains.reshape(filters, joints, 1, many)
        return product(self.synthesis, filtered, out=room("answer", flat.shape, self.dtype)).reshape(rows.shape)

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
        change = network.run(rows.astype(network.dtype)[:, None], seen)
        result[part] = windows[part] + change[:, 0].transpose(2, 0, 1)
    return result


def _with_bias(weight: Array, bias: Array) -> Array:
    return np.concatenate([weight, bias[:, None]], axis=1)


def _rectified(rows: Array) -> Array:
    """Return rows (H + 1, N) with zero for what is below it, and ones in the last row."""
    hidden = rows[:-1]
    zeros = room("zeros", hidden.shape, rows.dtype)
    zeros[...] = 0
    # Three times as fast as with the number 0.
    np.maximum(hidden, zeros, out=hidden)
    rows[-1] = 1
    return rows
