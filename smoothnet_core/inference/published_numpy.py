"""The published network without torch; see :mod:`smoothnet_core.models.published` for what it is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.checkpoints import published_sizes
from smoothnet_core.inference.blas import linear
from smoothnet_core.inference.scratch import room

Array = NDArray[np.floating]

# Numbers side by side of the windows of a stretch; of these, so many at once go through the layers, in the cache.
_COLUMNS, _AT_ONCE = 8192, 768


class Published:
    """The tensors as they are needed.

    Args:
        tensors: float32 or float64, by their published names.
        weights: (W,) that frames of the output are multiplied by, as overlapping windows are blended.
    """

    centred = False
    columns = _COLUMNS

    def __init__(self, tensors: Mapping[str, Array], weights: Array) -> None:
        sizes = published_sizes(tensors)
        self.window, self.hidden = sizes["window"], sizes["hidden"]
        self.dtype = tensors["decoder.weight"].dtype
        # Biases of what is wide stand beside the weights, and ones beside what they see; the others are added.
        self.encoder = _with_bias(tensors, "encoder.0")
        self.blocks = [
            (
                np.ascontiguousarray(tensors[f"res_blocks.{i}.linear1.weight"]),
                tensors[f"res_blocks.{i}.linear1.bias"],
                _with_bias(tensors, f"res_blocks.{i}.linear2"),
            )
            for i in range(sizes["blocks"])
        ]
        weights = weights.astype(self.dtype)
        self.decoder = tensors["decoder.weight"] * weights[:, None]
        self.decoder_bias = tensors["decoder.bias"] * weights

    def run(self, rows: Array, quality: Array | None) -> Array:
        """Return the windows (W, ...) that follow from windows (W, ...), weighted; it sees no quality.

        See :class:`~smoothnet_core.inference.overlapping.Network`.
        """
        flat = rows.reshape(self.window, -1)
        answer = room("answer", flat.shape, self.dtype)
        for start in range(0, flat.shape[1], _AT_ONCE):
            self._columns(flat[:, start : start + _AT_ONCE], answer[:, start : start + _AT_ONCE])
        return answer.reshape(rows.shape)

    def _columns(self, windows: Array, out: Array) -> None:
        count = windows.shape[1]
        # Here a window's numbers lie side by side: products of few columns are faster that way.
        given = room("given", (count, self.window + 1), self.dtype)
        given[:, :-1], given[:, -1] = windows.T, 1
        hidden, wide, slope = (room(name, (count, self.hidden), self.dtype) for name in ("hidden", "wide", "slope"))
        linear(given, self.encoder, hidden)
        _leaky(hidden, 0.1, slope)
        for first, bias, second in self.blocks:
            narrow = room("narrow", (count, len(first) + 1), self.dtype)
            inner = linear(hidden, first, narrow[:, :-1])
            inner += bias
            narrow[:, -1] = 1
            _leaky(inner, 0.2, room("narrow slope", inner.shape, self.dtype))
            linear(narrow, second, wide)
            _leaky(wide, 0.2, slope)
            hidden += wide
        refined = linear(hidden, self.decoder, room("refined", (count, self.window), self.dtype))
        refined += self.decoder_bias
        out[...] = refined.T


def forward(tensors: Mapping[str, Array], windows: Array) -> Array:
    """Refine windows of single channels.

    Args:
        tensors: by their published names.
        windows: (N, T) float32 or float64, T the network's window.

    Returns:
        (N, T) in the precision of ``windows``, in its unit.

    Raises:
        ValueError: the shape or type of ``windows``, or the tensors, are not as above.
    """
    sizes = published_sizes(tensors)
    if windows.ndim != 2 or windows.shape[1] != sizes["window"]:
        raise mismatch("windows", f"(N, {sizes['window']})", windows.shape)
    if windows.dtype not in (np.float32, np.float64):
        raise mismatch("type of the windows", "float32 or float64", windows.dtype)
    own = {name: np.asarray(value, windows.dtype) for name, value in tensors.items()}
    network = Published(own, np.ones(sizes["window"]))
    return network.run(np.ascontiguousarray(windows.T), None).T.copy()


def _with_bias(tensors: Mapping[str, Array], layer: str) -> Array:
    return np.concatenate([tensors[f"{layer}.weight"], tensors[f"{layer}.bias"][:, None]], axis=1)


def _leaky(x: Array, slope: float, scratch: Array) -> None:
    """Replace x by the larger of x and slope * x, for slopes below 1."""
    np.multiply(x, x.dtype.type(slope), out=scratch)
    np.maximum(x, scratch, out=x)
