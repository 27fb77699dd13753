"""How the fused kernels divide their work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.checkpoints import published_sizes

# Half the largest float16, for what rounding adds.
_LARGEST_HALF = 32_000.0
# Weights are made so many times as large at most before they are split in halves.
_MOST = 1024.0


@dataclass(frozen=True)
class Launch:
    """How a kernel divides its work.

    Attributes:
        rows: windows a tile, a power of two; more where the overlaps need them.
        warps: of a program.
        stages: of the pipeline over a program's tiles; more than 1 reads ahead, into much more of the chip's memory.
        piece: columns of a layer that are taken at once, a power of two; fewer where that leaves less padding.
        steps: tiles that one program walks over at most.
        programs: that each processor is to have at least before a program walks over more than one tile.
        resident: which weights are read once a program and stay on the chip: ``none``, ``wide`` (our own network's
            layers between wide ones) or ``all``.
        halves: float32 products of float16 halves instead of tf32 parts; for factors that float16 can hold.
    """

    rows: int
    warps: int
    stages: int = 1
    piece: int = 64
    steps: int = 16
    programs: int = 8
    resident: str = "none"
    halves: bool = False


def tuned(architecture: str, tensors: Mapping[str, NDArray[Any]], precision: str) -> Launch:
    """Return the division of work for a network, by its sizes: what was fastest on an H200."""
    half = precision == "bf16"
    if architecture == "vector_filter":
        widths = [len(tensors["probe"]), len(tensors["layer2.bias"]), len(tensors["analysis"])]
        # Weights that stay on the chip are to leave room for a program's windows.
        few = len(tensors["synthesis"]) <= 32 and sum(widths) <= 448
        halves = not half and vector_filter_scale(tensors) is not None
        if max(widths) <= 64:
            return Launch(rows=64, warps=4, resident="all" if few and (half or halves) else "none", halves=halves)
        if half or halves:
            return Launch(rows=128, warps=8, piece=128, resident="all" if few and half else "none", halves=halves)
        return Launch(rows=128, warps=8)
    sizes = published_sizes({name: np.asarray(value, np.float32) for name, value in tensors.items()})
    if sizes["blocks"] == 1 and sizes["bottleneck"] <= 32:
        # Two programs share a processor's memory.
        numbers = 2 * sizes["hidden"] * (len(tensors["decoder.bias"]) + sizes["bottleneck"])
        if half and numbers <= 49_152:
            return Launch(rows=64, warps=4, resident="all")
        if half and numbers <= 90_000:
            return Launch(rows=128, warps=8, piece=128, resident="all")
        if not half and published_scales(tensors) is not None:
            return Launch(rows=64, warps=4, halves=True)
    # Wider ones leave no registers for 128 rows.
    return Launch(rows=128 if sizes["bottleneck"] <= 256 else 64, warps=8)


def vector_filter_scale(tensors: Mapping[str, NDArray[Any]]) -> float | None:
    """Return how many times as large our own network's weights are made, to be split in float16 halves.

    Or None where a factor could be too large for float16. The kernel brings windows to size 1, a root mean square over
    frames, so every layer has a bound.
    """
    t = {name: np.asarray(value, np.float64) for name, value in tensors.items()}
    length = np.sqrt(len(t["synthesis"]))
    probes = len(t["probe"])
    # Logarithms to the base 2; layer 1 holds the factor, below 1, that makes them natural ones.
    least, most = -np.log2(1e-2), np.log2(np.linalg.norm(t["probe"], axis=1) * length + 1)
    layer1, quality = t["layer1.weight"][:, :probes], t["layer1.weight"][:, probes:]
    hidden = _above(layer1) @ most + _above(-layer1) @ np.full(probes, least)
    hidden = _above(hidden + _above(quality).sum(axis=1) + t["layer1.bias"])
    second = _above(_above(t["layer2.weight"]) @ hidden + t["layer2.bias"])
    gains = np.maximum(_above(t["gain.weight"]) @ second, _above(-t["gain.weight"]) @ second)
    filtered = np.linalg.norm(t["analysis"], axis=1) * length * (gains + np.abs(t["gain.bias"]))
    if not all(float(np.abs(x).max()) < _LARGEST_HALF for x in (most, hidden, second, filtered)):
        return None
    scale = _two_to(_LARGEST_HALF / max(float(np.abs(x).max()) for x in t.values()))
    return min(_MOST, scale) if scale >= 1 else None


def published_scales(tensors: Mapping[str, NDArray[Any]]) -> tuple[float, float, float] | None:
    """Return how many times as large the published network's weights are made, to be split in float16 halves.

    And how large the largest number of a window may become, and how many times as large a window: hidden activations,
    which grow by as much as both, are then none too large for float16. Or None where these would be so small that
    float16 lacks digits.
    """
    t = {name: np.abs(np.asarray(value, np.float64)) for name, value in tensors.items()}
    scale = _two_to(16 / max(float(value.max()) for key, value in t.items() if key.endswith("weight")))
    by_input, by_bias = t["encoder.0.weight"].sum(axis=1), t["encoder.0.bias"]
    inner = np.zeros(0), np.zeros(0)
    for i in range(sum(key.endswith("linear1.weight") for key in t)):
        first, second = t[f"res_blocks.{i}.linear1.weight"], t[f"res_blocks.{i}.linear2.weight"]
        inner = first @ by_input, first @ by_bias + t[f"res_blocks.{i}.linear1.bias"]
        by_input, by_bias = (
            by_input + second @ inner[0],
            by_bias + second @ inner[1] + t[f"res_blocks.{i}.linear2.bias"],
        )
    growth = max(1.0, scale * float(by_input.max()), float(inner[0].max(initial=0.0)))
    added = max(1.0, scale * float(by_bias.max()), float(inner[1].max(initial=0.0)))
    largest, most = _two_to(_LARGEST_HALF / growth), min(_MOST, _two_to(_LARGEST_HALF / added))
    return (scale, largest, min(most, largest)) if min(scale, largest) >= 1 else None


def _two_to(number: float) -> float:
    """Return the largest power of two up to a number."""
    return float(2.0 ** np.floor(np.log2(number)))


def _above(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(x, 0.0)


def pieces_of(width: int, piece: int) -> tuple[int, int]:
    """Return the width filled up, and the size of the equal pieces, powers of two, that it falls into.

    Pieces are at most ``piece`` (and at least 16) columns, and large: narrow ones take longer than their share.
    """
    choices = [size for size in (256, 128, 64, 32, 16) if size <= max(16, piece)]
    size = min(choices, key=lambda p: (-(-width // p) * p * (1 + 16 / p), -p))
    return -(-width // size) * size, size
