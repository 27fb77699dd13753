"""Weights in the form that the fused kernels read: padded, in one precision, the blend and its order folded in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoothnet_core._checks import mismatch
from smoothnet_core.checkpoints import published_sizes
from smoothnet_core.inference.triton_launch import Launch, pieces_of, published_scales, vector_filter_scale
from smoothnet_core.windows import blend_weights

Array = NDArray[np.float64]

# The matrix units take no fewer.
_LEAST = 16


@dataclass(frozen=True)
class Arrangement:
    """How a window's frames are arranged for the overlaps, see :mod:`smoothnet_core.inference.triton_tiles`.

    Attributes:
        columns: frames of a window, filled up to a power of two.
        r: frames a hop, likewise.
        q: windows that overlap, likewise; at least so many that ``r * q`` fill the matrix units.
        lag: rows before a tile's first that it needs.
        carry: the same filled up to a power of two.
        order: (r * q,) the frame of a window in every column of the last layer, -1 for none.
    """

    columns: int
    r: int
    q: int
    lag: int
    carry: int
    order: NDArray[np.int64]


@dataclass(frozen=True)
class Packed:
    """Weights on a device, in the order of the kernel's arguments, and the sizes that it is compiled for."""

    weights: tuple[Tensor, ...]
    sizes: dict[str, Any]
    arrangement: Arrangement


def arrangement(window: int, hop: int, late: bool) -> Arrangement:
    """Return the arrangement for windows ``hop`` frames apart, with one more at the end where ``late``."""
    overlaps = -(-window // hop)
    r = _power(hop)
    q = max(_power(overlaps), _LEAST // r)
    lag = overlaps - 1 + late
    n = np.arange(r * q)
    frame = n % q * hop + n // q
    order = np.where((n // q < hop) & (frame < window), frame, -1)
    return Arrangement(max(_LEAST, _power(window)), r, q, lag, _power(max(1, lag)), order)


def packed(
    architecture: str,
    tensors: Mapping[str, Array],
    device: torch.device,
    precision: str,
    hop: int,
    blend: str,
    late: bool,
    trusted: bool,
    launch: Launch,
) -> Packed:
    """Return the weights (given in float64, by the torch module's names) as the kernel of the architecture reads them.

    ``trusted`` says that no quality will be given, since all of it is 1.
    """
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32

    def bias(array: Array, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        filled = np.zeros(shape)
        filled[tuple(slice(n) for n in array.shape)] = array
        return torch.as_tensor(filled, dtype=dtype, device=device)

    def put(array: Array, *shape: int, scale: float = 1.0) -> Tensor:
        if not launch.halves:
            return bias(array, *shape, dtype=dtype)
        large = (array * scale).astype(np.float16).astype(float)
        return torch.stack([bias(half, *shape, dtype=torch.float16) for half in (large, array * scale - large)])

    by_channel = architecture == "smoothnet"
    window = len(tensors["decoder.bias" if by_channel else "synthesis"])
    how = arrangement(window, hop, late)
    shares = blend_weights(blend, window)
    if by_channel:
        weights, sizes = _published(tensors, how, shares, launch, put, bias)
    else:
        weights, sizes = _vector_filter(tensors, how, shares, trusted, launch, put, bias)
    ordered = _ordered(shares, how)
    total = ordered.reshape(how.r, how.q).sum(axis=1)
    weights += (bias(np.concatenate([ordered, 1 / np.where(total > 0, total, 1.0)]), len(ordered) + how.r),)
    return Packed(weights, sizes, how)


def _published(
    t: Mapping[str, Array], how: Arrangement, shares: Array, launch: Launch, put: Any, bias: Any
) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
    sizes = published_sizes({name: value.astype(np.float32) for name, value in t.items()})
    blocks = sizes["blocks"]
    hidden, piece = pieces_of(sizes["hidden"], launch.piece)
    bottleneck, narrow = pieces_of(sizes["bottleneck"], 128)

    def stacked(name: str) -> Array:
        return np.stack([t[f"res_blocks.{i}.{name}"] for i in range(blocks)])

    scale, largest, most = 1.0, 1.0, 1.0
    if launch.halves:
        scale, largest, most = published_scales(t) or _refuse_halves()

    def weight(array: Array, *shape: int) -> Tensor:
        return put(array, *shape, scale=scale)

    columns = len(how.order)
    one = blocks == 1 and bottleneck == narrow
    side = max(narrow, columns)
    # In halves products take long, and what they leave is put in parts faster than it is multiplied.
    joined = one and launch.halves and side <= 64 and min(narrow, columns) >= side // 4
    decoder = _last(t["decoder.weight"], shares, how, launch)
    linear1 = weight(stacked("linear1.weight"), blocks, bottleneck, hidden)
    if joined:
        both = np.zeros((2 * side, sizes["hidden"]))
        both[: sizes["bottleneck"]], both[side : side + columns] = stacked("linear1.weight")[0], decoder
        linear1 = weight(both, 2 * side, hidden)
    weights = (
        weight(t["encoder.0.weight"], hidden, how.columns),
        bias(t["encoder.0.bias"], hidden),
        linear1,
        bias(stacked("linear1.bias"), blocks, bottleneck),
        weight(stacked("linear2.weight"), blocks, hidden, bottleneck),
        bias(stacked("linear2.bias"), blocks, hidden),
        weight(decoder, columns, hidden),
        bias(_ordered(t["decoder.bias"] * shares, how), columns),
    )
    return weights, {
        "HIDDEN": hidden, "PIECE": piece, "BOTTLENECK": bottleneck, "NARROW": narrow, "BLOCKS": blocks,
        "ONE": one, "JOINED": joined, "RESIDENT": launch.resident == "all" and one, "HALVES": launch.halves,
        "SCALE": 1 / scale, "LARGEST": largest, "MOST": most,
    }  # fmt: skip


def _vector_filter(
    t: Mapping[str, Array], how: Arrangement, shares: Array, trusted: bool, launch: Launch, put: Any, bias: Any
) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
    probes, probe_piece = pieces_of(len(t["probe"]), launch.piece)
    hidden, hidden_piece = pieces_of(len(t["layer2.bias"]), launch.piece)
    filters, filter_piece = pieces_of(len(t["analysis"]), launch.piece)
    scale = vector_filter_scale(t) or _refuse_halves() if launch.halves else 1.0

    def weight(array: Array, *shape: int) -> Tensor:
        return put(array, *shape, scale=scale)

    layer1 = t["layer1.weight"]
    by_lengths, by_quality = layer1[:, : len(t["probe"])], layer1[:, len(t["probe"]) :]
    weights = (
        weight(t["probe"], probes, how.columns),
        weight(by_lengths * np.log(2), hidden, probes),
        bias(t["layer1.bias"] + (by_quality.sum(axis=1) if trusted else 0.0), hidden),
        weight(by_quality[:, 0::2], hidden, how.columns),
        weight(by_quality[:, 1::2], hidden, how.columns),
        weight(t["layer2.weight"], hidden, hidden),
        bias(t["layer2.bias"], hidden),
        weight(t["gain.weight"], filters, hidden),
        bias(t["gain.bias"], filters),
        weight(t["analysis"], filters, how.columns),
        weight(_last(t["synthesis"], shares, how, launch), len(how.order), filters),
    )
    return weights, {
        "PROBES": probes, "PROBE_PIECE": probe_piece, "HIDDEN": hidden, "HIDDEN_PIECE": hidden_piece,
        "FILTERS": filters, "FILTER_PIECE": filter_piece, "HALVES": launch.halves, "SCALE": 1 / scale,
        "WIDE_STAY": launch.resident in ("wide", "all"), "NARROW_STAY": launch.resident == "all",
    }  # fmt: skip


def _refuse_halves() -> NoReturn:
    raise mismatch("weights for float16 halves", "numbers that cannot grow too large", "larger ones")


def _last(rows: Array, shares: Array, how: Arrangement, launch: Launch) -> Array:
    """Return the weights of the last layer, in halves without those of the blend: small ones would lose digits."""
    return _ordered(rows if launch.halves else rows * shares[:, None], how)


def _ordered(rows: Array, how: Arrangement) -> Array:
    """Return rows (W, ...) of the last layer in the order of the overlaps, zeros where there is no frame."""
    result = np.zeros((len(how.order), *rows.shape[1:]))
    result[how.order >= 0] = rows[how.order[how.order >= 0]]
    return result


def _power(number: int) -> int:
    """Return the least power of two that is not below ``number``."""
    return 1 << (number - 1).bit_length()
