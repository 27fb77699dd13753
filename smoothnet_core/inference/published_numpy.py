"""The published network without torch; see :mod:`smoothnet_core.models.published` for what it is."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.checkpoints import published_sizes
from smoothnet_core.inference.blas import prepared
from smoothnet_core.inference.layout import Step
from smoothnet_core.inference.plan import Run
from smoothnet_core.inference.scratch import kept, room

Array = NDArray[np.floating]

# Numbers side by side of the windows of a stretch; of these, so many at once go through the layers, in the cache.
_COLUMNS, _AT_ONCE = 8192, 384


class Published:
    """The tensors as they are needed.

    Args:
        tensors: float32 or float64, by their published names.
        weights: (W,) that frames of the output are multiplied by, as overlapping windows are blended.
    """

    centred = False
    columns = _COLUMNS
    least_size = 1

    def __init__(self, tensors: Mapping[str, Array], weights: Array) -> None:
        self.weights = weights
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

    def on(self, rows: Array) -> tuple[Run, Array]:
        """Return what runs windows (W, D, M), which may not be overwritten, and where its answers stand.

        See :class:`~smoothnet_core.inference.plan.Network`; it sees no quality.
        """
        flat = rows.reshape(self.window, -1)
        answer = room("answer", flat.shape, self.dtype)
        pieces: list[tuple[_Layers, Array, Array]] = []
        # Pieces of one size, as nearly as may be.
        at_once = -(-flat.shape[1] // max(1, -(-flat.shape[1] // _AT_ONCE)))
        for start in range(0, flat.shape[1], max(1, at_once)):
            windows, out = flat[:, start : start + at_once], answer[:, start : start + at_once]
            count = windows.shape[1]
            pieces.append((kept((self, count), lambda count=count: _Layers(self, count)), windows, out))

        def run(_: Array | None) -> None:
            for own, windows, out in pieces:
                own.run(windows, out)

        return run, answer.reshape(rows.shape)


class _Layers:
    """The network on a number of windows at once, in memory of its own."""

    def __init__(self, network: Published, count: int) -> None:
        number = network.dtype.type

        def empty(name: str, width: int) -> Array:
            return room(name, (count, width), network.dtype)

        def leaky(x: Array, slope: float, name: str) -> list[Step]:
            """Return what replaces x by the larger of x and slope * x, for slopes below 1."""
            other = empty(name, x.shape[1])
            return [partial(np.multiply, x, number(slope), out=other), partial(np.maximum, x, other, out=x)]

        # Here a window's numbers lie side by side: products of few columns are faster that way. The ones at the end are
        # what biases are multiplied by.
        self._given = np.ones((count, network.window + 1), network.dtype)
        hidden, wide = empty("hidden", network.hidden), empty("wide", network.hidden)
        self._steps: list[Step] = [prepared(self._given, network.encoder, hidden, "second")]
        self._steps += leaky(hidden, 0.1, "slope")
        for first, bias, second in network.blocks:
            narrow = np.ones((count, len(first) + 1), network.dtype)
            inner = narrow[:, :-1]
            self._steps += [prepared(hidden, first, inner, "second"), partial(np.add, inner, bias, out=inner)]
            self._steps += leaky(inner, 0.2, "narrow slope")
            self._steps.append(prepared(narrow, second, wide, "second"))
            self._steps += leaky(wide, 0.2, "slope")
            self._steps.append(partial(np.add, hidden, wide, out=hidden))
        self._refined = empty("refined", network.window)
        self._steps.append(prepared(hidden, network.decoder, self._refined, "second"))
        self._bias = network.decoder_bias[:, None]

    def run(self, windows: Array, out: Array) -> None:
        """Go from windows (W, count) to refined ones."""
        self._given[:, :-1] = windows.T
        for step in self._steps:
            step()
        np.add(self._refined.T, self._bias, out=out)


def _with_bias(tensors: Mapping[str, Array], layer: str) -> Array:
    return np.concatenate([tensors[f"{layer}.weight"], tensors[f"{layer}.bias"][:, None]], axis=1)
