"""The forward pass of our own network without torch; see :mod:`smoothnet_core.models.vector_filter` for what it is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.inference.blas import linear, row_means
from smoothnet_core.windows import blend_weights, lengthened, window_starts

Array = NDArray[np.floating]

# As in the torch module, whose constants this one cannot import without torch.
FLOOR = 1e-2
# Windows whose hidden activations are held at once: they stay in the cache.
_BLOCK = 256


def forward(tensors: Mapping[str, Array], windows: Array, quality: Array) -> Array:
    """Refine windows.

    Args:
        tensors: by the torch module's names.
        windows: (N, W, D) of the dtype of the tensors.
        quality: (N, W, 2) likewise: confidence in [0, 1], and 1 where the frame was observed.

    Returns:
        (N, W, D).
    """
    network = _Network(tensors, np.ones(windows.shape[1]))
    result = np.empty_like(windows)
    for start in range(0, len(windows), _BLOCK):
        block = slice(start, start + _BLOCK)
        rows = np.moveaxis(windows[block].astype(np.float64), 2, 0)
        change = network.changes(rows, quality[block])
        result[block] = windows[block] + change.transpose(2, 0, 1)
    return result


def refine_track(
    tensors: Mapping[str, Array], values: Array, quality: Array, *, window: int, hop: int, blend: str
) -> NDArray[np.float64]:
    """Refine every window of a track and blend the overlaps, as :func:`smoothnet_core.windows.refine_windows` does.

    Here the blend is part of the last linear map, and only what the network changes is added up.

    Args:
        tensors: float32, by the torch module's names.
        values: (T, N, D) float64, each vector's numbers not far beyond 1.
        quality: (T, N, 2): confidence in [0, 1], and 1 where the frame was observed.
        window: frames a window, as the tensors have.
        hop: frames between the starts of windows, 1 to ``window``.
        blend: ``uniform`` or ``taper``.

    Returns:
        (T, N, D), a view of an array (N, D, T).
    """
    frames = len(values)
    values, quality, own = lengthened(values, quality, window)
    tracks = np.ascontiguousarray(values.transpose(1, 2, 0))
    trusted = (quality == 1).all(axis=(0, 2))
    weights = blend_weights(blend, window)
    network = _Network(tensors, weights)
    count, size, length = tracks.shape
    starts = window_starts(length, window, hop)
    norm = np.zeros(length)
    for start in starts:
        norm[start : start + window] += weights
    # Of each window the frames up to the next window's start lie beside one another, and so on: as many summands as
    # windows overlap, each of the whole track. The last window may start out of step.
    regular = len(range(0, length - window + 1, hop))
    groups = [(0, regular)] if regular == len(starts) else [(0, regular), (regular, regular + 1)]
    share = 1 / norm
    result = np.empty(tracks.shape)
    parts = -(-window // hop)
    sums = np.zeros((hop, size, regular + parts), network.dtype)
    total = np.zeros((size, max(length, sums.shape[2] * hop)))
    for joint in range(count):
        sums[:] = 0
        tail = None
        for first, last in groups:
            step = hop if last <= regular else 1
            view = np.lib.stride_tricks.as_strided(
                tracks[joint, :, starts[first] :],
                (size, last - first, window),
                (tracks.strides[1], step * tracks.strides[2], tracks.strides[2]),
                writeable=False,
            )
            for start in range(0, last - first, _BLOCK):
                stop = min(start + _BLOCK, last - first)
                seen = None
                if not trusted[joint]:
                    at = starts[first + start : first + stop]
                    seen = quality[at[:, None] + np.arange(window), joint]
                change = network.changes(view[:, start:stop], seen)
                if last > regular:
                    tail = change[:, :, 0].T
                    continue
                for part in range(parts):
                    piece = change[part * hop : (part + 1) * hop]
                    sums[: len(piece), :, start + part : stop + part] += piece
        total[:, : sums.shape[2] * hop].reshape(size, -1, hop)[...] = sums.transpose(1, 2, 0)
        if tail is not None:
            total[:, starts[-1] : length] += tail
        np.multiply(total[:, :length], share, out=result[joint])
        result[joint] += tracks[joint]
    return result[:, :, own : own + frames].transpose(2, 0, 1)


class _Network:
    """The tensors as they are needed, and room for what lies between input and output."""

    def __init__(self, tensors: Mapping[str, Array], weights: Array) -> None:
        self.tensors = tensors
        self.dtype = tensors["probe"].dtype
        # Frames of the output weighted as overlapping windows are.
        self.synthesis = (tensors["synthesis"] * weights[:, None]).astype(self.dtype)
        layer, probes = tensors["layer1.weight"], len(tensors["probe"])
        self.by_lengths = np.ascontiguousarray(layer[:, :probes])
        self.by_quality = np.ascontiguousarray(layer[:, probes:])
        # Of windows in which everything was observed and is trusted.
        self.bias = tensors["layer1.bias"]
        self.trusted = self.bias + self.by_quality.sum(axis=1)
        self.room: dict[str, Array] = {}

    def changes(self, windows: Array, quality: Array | None) -> Array:
        """Return what is to be added to windows (D, M, W), weighted; they may be read only and of higher precision.

        Args:
            windows: see above.
            quality: (M, W, 2), or None where all of it is 1.

        Returns:
            (W, D, M), overwritten by the next call: all windows' first frames lie together, then their second ones.
        """
        size, count, window = windows.shape
        t = self.tensors
        rows = self._room("rows", size * count, window)
        # In their own precision, which leaves all digits of the lower one to what happens within a window.
        middle = np.einsum("dmw->dm", windows)[..., None] / window
        np.subtract(windows, middle, out=rows.reshape(windows.shape), casting="same_kind")
        squares = np.square(rows, out=self._room("change", size * count, window))
        energy = row_means(squares).reshape(size, count).sum(axis=0)[:, None]
        spread = np.sqrt(np.where(energy > 0, energy, 1))

        probed = linear(rows, t["probe"], self._room("wide", size * count, len(t["probe"])))
        np.square(probed, out=probed)
        lengths = probed.reshape(size, count, -1).sum(axis=0)
        lengths += 1e-12 * np.square(spread)
        np.sqrt(lengths, out=lengths)
        lengths /= spread
        lengths += FLOOR
        features = np.log(lengths, out=lengths)
        hidden = linear(features, self.by_lengths, self._room("hidden", count, len(self.bias)))
        if quality is None:
            hidden += self.trusted
        else:
            hidden += linear(np.ascontiguousarray(quality.reshape(count, -1), self.dtype), self.by_quality) + self.bias
        np.maximum(hidden, 0, out=hidden)
        hidden = linear(hidden, t["layer2.weight"], self._room("hidden2", count, len(t["layer2.bias"])))
        hidden += t["layer2.bias"]
        np.maximum(hidden, 0, out=hidden)
        gains = linear(hidden, t["gain.weight"], self._room("gains", count, len(t["gain.bias"])))
        gains += t["gain.bias"]

        filtered = linear(rows, t["analysis"], self._room("wide", size * count, len(gains[0])))
        by_window = filtered.reshape(size, count, -1)
        np.multiply(by_window, gains, out=by_window)
        return linear(self.synthesis, filtered, squares.reshape(window, -1)).reshape(window, size, count)

    def _room(self, name: str, rows: int, columns: int) -> Array:
        if name not in self.room or self.room[name].size < rows * columns:
            self.room[name] = np.empty(rows * columns, self.dtype)
        return self.room[name][: rows * columns].reshape(rows, columns)
