"""Robust fits without torch; see :mod:`smoothnet_core.models.robust_fit` for what they are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.inference.blas import linear
from smoothnet_core.inference.convolution import convolved

Array = NDArray[np.floating]

# Standard deviations in frames that the Gaussians of the fits, and of the smoothing after them, have before training.
BANDWIDTHS, SMOOTHINGS = (1.0, 2.0, 4.0, 8.0), (1.5, 3.0, 6.0)
# Convolutions see frames so far apart.
DILATIONS = (1, 2, 4)
# Of a value's distances from lines through pairs of its neighbours, the smallest are looked at: exact values lie near
# several, those that are off near hardly any.
KEPT_LINES = 8
# Lengths below this share of the window's jitter look alike; and likewise for distances from lines and for trust.
FLOOR, LINE_FLOOR = 1e-2, 1e-3
# The window's jitter counts as at least this share of its movement, so that rounding is never taken for jitter.
LEAST_SCALE = 1e-5
# Trust in every value, so that there is always something to fit.
LEAST_TRUST = 1e-4
PROBE_REACH, LINE_REACH = 4, 5
# Frames that tell how much trust there is around one; reach and standard deviation of what changes slowly; frames for
# which the ends are held when a fit is smoothed.
BOX, GATE_REACH, GATE_WIDTH, HELD = 13, 8, 3.2, 20
# Windows whose hidden activations are held at once.
_BLOCK = 512


def probes() -> NDArray[np.float32]:
    """Return (12, 9): differences from neighbours near and far, on both sides and on one, before training."""
    middle = PROBE_REACH
    rows = []
    for far in (1, 2, 3, 4):
        rows.append({0: 1.0, -far: -0.5, far: -0.5})
    for far in (1, 2):
        rows += [{0: 1.0, -far: -1.0}, {0: 1.0, far: -1.0}]
    rows += [{0: 1.0, -1: -2.0, -2: 1.0}, {0: 1.0, 1: -2.0, 2: 1.0}]
    rows.append({0: 1.0, -1: -2 / 3, 1: -2 / 3, -2: 1 / 6, 2: 1 / 6})
    rows.append({0: 1.0, -2: -2 / 3, 2: -2 / 3, -4: 1 / 6, 4: 1 / 6})
    return _kernels(rows, middle)


def lines() -> NDArray[np.float32]:
    """Return (33, 11): a value less that of the line through two of its neighbours, for many pairs of them."""
    pairs = [(-before, after) for before in range(1, 6) for after in range(1, 6)]
    for near, far in ((1, 2), (1, 3), (2, 3), (2, 4)):
        pairs += [(near, far), (-far, -near)]
    return _kernels([{0: 1.0, i: -j / (j - i), j: i / (j - i)} for i, j in pairs], LINE_REACH)


def _kernels(rows: list[dict[int, float]], reach: int) -> NDArray[np.float32]:
    kernels = np.zeros((len(rows), 2 * reach + 1), np.float32)
    for kernel, taps in zip(kernels, rows, strict=True):
        for place, tap in taps.items():
            kernel[reach + place] = tap
    return kernels


def moment_places(window: int) -> NDArray[np.float64]:
    """Return (W, W): how many frames the first index is after the second."""
    frames = np.arange(window, dtype=np.float64)
    return frames[:, None] - frames


def smoothing(log_widths: Array, window: int, reach: int) -> NDArray[np.float64]:
    """Return (S, W + 2 reach, W): Gaussians over a track whose ends are held for ``reach`` frames."""
    places = np.arange(window + 2 * reach)[:, None] - reach - np.arange(window)
    gauss = np.exp(-0.5 * np.square(places / np.exp(np.asarray(log_widths, np.float64))[:, None, None]))
    return gauss / gauss.sum(axis=1, keepdims=True)


def box(window: int) -> NDArray[np.float64]:
    """Return (W, W): the mean over the frames around each; beyond the ends there is nothing."""
    return (np.abs(moment_places(window)) <= BOX // 2) / BOX


def forward(tensors: Mapping[str, Array], windows: Array, quality: Array) -> Array:
    """Refine windows.

    Args:
        tensors: by the torch module's names.
        windows: (N, W, D) of the dtype of the tensors.
        quality: (N, W, 2) likewise: confidence in [0, 1], and 1 where the frame was observed; their product limits how
            far a value is trusted.

    Returns:
        (N, W, D).
    """
    result = np.empty_like(windows)
    for start in range(0, len(windows), _BLOCK):
        rows = slice(start, start + _BLOCK)
        result[rows] = _block(tensors, windows[rows], quality[rows])
    return result


def _block(tensors: Mapping[str, Array], windows: Array, quality: Array) -> Array:
    frames, dtype = windows.shape[1], windows.dtype
    middle = windows.mean(axis=1, keepdims=True)
    tracks = np.ascontiguousarray((windows - middle).transpose(0, 2, 1))
    energy = np.square(tracks).sum(axis=1).mean(axis=1)[:, None, None]
    least = dtype.type(LEAST_SCALE) * np.sqrt(np.where(energy > 0, energy, dtype.type(1)))
    probed = _lengths(_correlated(tracks, tensors["probe"]), least)
    # Of an even number of values, torch's median is the smaller of the two in the middle.
    median = np.partition(probed[:, 0], (frames - 1) // 2, axis=1)[:, (frames - 1) // 2]
    scale = np.maximum(median[:, None, None], least)
    off_lines = np.sort(_lengths(_correlated(tracks, lines().astype(dtype)), least), axis=1)[:, :KEPT_LINES]
    seen = np.concatenate([_log(probed, scale), np.log(off_lines / scale + dtype.type(LINE_FLOOR))], axis=1)
    given = quality.prod(axis=2)[:, None]
    count = len(tensors["bandwidths"])
    kernels = _moment_kernels(tensors["bandwidths"], frames, dtype)
    around = np.ascontiguousarray(box(frames).T, dtype)
    slow = smoothing(np.log([GATE_WIDTH]), frames, GATE_REACH)[0].astype(dtype)
    trust = np.repeat(given * _sigmoid(_trunk(tensors, "trust.0", seen) + 1), count, axis=1)
    gates = trust
    for number, sharpness in enumerate(tensors["sharpness"]):
        fits, judged = _judged(tracks, trust, kernels, around, scale, least)
        answer = _trunk(tensors, f"trust.{number + 1}", np.concatenate([seen, *judged], axis=1))
        trust, gates = given * _sigmoid(2 + answer[:, :count] - sharpness * judged[0]), answer[:, count:]
    fits, judged = _judged(tracks, trust, kernels, around, scale, least)
    fitted = (_softmax(_slowly(gates, slow))[:, None] * fits).sum(axis=2)
    bends = np.pad(_lengths(np.diff(fits, n=2, axis=3), least), ((0, 0), (0, 0), (1, 1)))
    apart = _lengths(fits - fits[:, :, -1:], least)
    features = np.concatenate([seen, *judged, _log(bends, scale), _log(apart, scale)], axis=1)
    return middle + _calmed(tensors, fitted, features, slow).transpose(0, 2, 1)


def _calmed(tensors: Mapping[str, Array], fitted: Array, features: Array, slow: Array) -> Array:
    """Return the fit (N, D, W), smoothed as much as the features (N, C, W) ask for."""
    hidden = _slowly(features, slow)
    for layer in ("calm.0", "calm.1"):
        hidden = np.maximum(_convolved(tensors, layer, hidden, 1), 0)
    parts = _softmax(_convolved(tensors, "calm.2", _slowly(hidden, slow), 1))
    result = parts[:, None, 0] * fitted
    smoothers = smoothing(tensors["smoothings"], fitted.shape[2], HELD).astype(fitted.dtype)
    for number, smoother in enumerate(smoothers, start=1):
        result += parts[:, None, number] * _over_time(_held(fitted, HELD), smoother)
    return result


def _judged(
    tracks: Array, trust: Array, kernels: Array, around: Array, scale: Array, least: Array
) -> tuple[Array, list[Array]]:
    """Return fits (N, D, B, W), and how far values are from them and how much trust there is around (N, B, W)."""
    frames = tracks.shape[2]
    weights = trust + trust.dtype.type(LEAST_TRUST)
    fits = np.empty((*tracks.shape[:2], *trust.shape[1:]), tracks.dtype)
    for number, kernel in enumerate(kernels):
        own = np.ascontiguousarray(weights[:, number])
        s0, s1, s2, s3, s4 = np.moveaxis(linear(own, kernel).reshape(len(own), 5, frames), 1, 0)
        weighted = (own[:, None] * tracks).reshape(-1, frames)
        moments = linear(weighted, kernel[: 3 * frames]).reshape(*tracks.shape[:2], 3, frames)
        # Where the weights do not determine a parabola, a little of it is given up for a line or a constant (a ridge).
        little = s0.dtype.type(1e-3) * s0
        slope, bend = s2 + little, s4 + little
        first, second, third = slope * bend - s3 * s3, s2 * s3 - s1 * bend, s1 * s3 - slope * s2
        whole = s0 * first + s1 * second + s2 * third
        factors = (part[:, None] / whole[:, None] for part in (first, second, third))
        fits[:, :, number] = sum(factor * moments[:, :, order] for order, factor in enumerate(factors))
    off = _log(_lengths(tracks[:, :, None] - fits, least), scale)
    near = linear(trust.reshape(-1, frames), around).reshape(trust.shape)
    return fits, [off, np.log(near + near.dtype.type(LINE_FLOOR))]


def _moment_kernels(log_bandwidths: Array, window: int, dtype: np.dtype) -> Array:
    """Return (B, 5 W, W): rows that give the moments of order 0 to 4 of a track of weights about every frame."""
    places = moment_places(window).T / np.exp(log_bandwidths.astype(np.float64))[:, None, None]
    gauss = np.exp(-0.5 * np.square(places))
    return np.concatenate([gauss * places**power for power in range(5)], axis=1).astype(dtype)


def _trunk(tensors: Mapping[str, Array], name: str, x: Array) -> Array:
    hidden = np.maximum(_convolved(tensors, f"{name}.enter", x, 1), 0)
    for number, dilation in enumerate(DILATIONS):
        hidden = hidden + np.maximum(_convolved(tensors, f"{name}.layers.{number}", hidden, dilation), 0)
    return _convolved(tensors, f"{name}.leave", hidden, 1)


def _convolved(tensors: Mapping[str, Array], layer: str, x: Array, dilation: int) -> Array:
    """Return the convolution (N, H, W) over time of (N, C, W)."""
    return np.ascontiguousarray(convolved(tensors, layer, x.transpose(0, 2, 1), dilation).transpose(0, 2, 1))


def _correlated(tracks: Array, kernels: Array) -> Array:
    """Return (N, D, K, W): the tracks (N, D, W), their ends held, with each of the kernels (K, odd)."""
    views = np.lib.stride_tricks.sliding_window_view(_held(tracks, kernels.shape[1] // 2), kernels.shape[1], axis=2)
    product = linear(views.reshape(-1, kernels.shape[1]), kernels)
    return product.reshape(*tracks.shape, -1).transpose(0, 1, 3, 2)


def _lengths(vectors: Array, least: Array) -> Array:
    """Return the lengths (N, ., W) of vectors (N, D, ., W), not quite zero, as in training."""
    return np.sqrt(np.square(vectors).sum(axis=1) + np.square(vectors.dtype.type(1e-3) * least))


def _log(lengths: Array, scale: Array) -> Array:
    return np.log(lengths / scale + lengths.dtype.type(FLOOR))


def _slowly(x: Array, slow: Array) -> Array:
    return _over_time(_held(x, GATE_REACH), slow)


def _over_time(x: Array, kernel: Array) -> Array:
    """Return ``x @ kernel`` for (N, C, V) and (V, W)."""
    return linear(x.reshape(-1, x.shape[2]), np.ascontiguousarray(kernel.T)).reshape(*x.shape[:2], -1)


def _held(x: Array, reach: int) -> Array:
    """Hold the first and last frame of (N, C, W) beyond the ends."""
    return np.pad(x, ((0, 0), (0, 0), (reach, reach)), mode="edge")


def _sigmoid(x: Array) -> Array:
    # Beyond this the result is 0 or 1 in float32.
    return 1 / (1 + np.exp(-np.clip(x, -80, 80)))


def _softmax(x: Array) -> Array:
    exponentials = np.exp(x - x.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
