"""How the fused kernels divide their work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.checkpoints import published_sizes

# The published network's windows are made smaller than this for products of float16 halves.
LARGEST = 64.0
# Half the largest float16, for what rounding adds.
_LARGEST_HALF = 32_000.0


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
        resident: weights are read once a program and stay on the chip, if they are few enough.
        halves: float32 products of float16 halves instead of tf32 parts; for factors that float16 can hold. The
            published network takes windows down to the size of its biases so, and larger ones are made smaller first.
    """

    rows: int
    warps: int
    stages: int = 1
    piece: int = 64
    steps: int = 16
    programs: int = 8
    resident: bool = False
    halves: bool = False


def tuned(architecture: str, tensors: Mapping[str, NDArray[Any]], precision: str) -> Launch:
    """Return the division of work for a network, by its sizes: what was fastest on an H200."""
    half = precision == "bf16"
    if architecture == "vector_filter":
        widths = [len(tensors["probe"]), len(tensors["layer2.bias"]), len(tensors["analysis"])]
        # Weights that stay on the chip are to leave room for a program's windows.
        resident = half and len(tensors["synthesis"]) <= 32 and sum(widths) <= 448
        halves = not half and fits_halves(tensors)
        if max(widths) <= 64:
            return Launch(rows=64, warps=4, resident=resident, halves=halves)
        return Launch(rows=128, warps=8, piece=128 if half else 64, resident=resident, halves=halves)
    sizes = published_sizes({name: np.asarray(value, np.float32) for name, value in tensors.items()})
    if half and sizes["blocks"] == 1 and sizes["bottleneck"] <= 32 and sizes["hidden"] <= 512:
        return Launch(rows=128, warps=8, piece=128, resident=True)
    # Wider ones leave no registers for 128 rows.
    rows = 128 if sizes["bottleneck"] <= 256 else 64
    # Windows much smaller than its biases would lose digits in halves.
    return Launch(rows=rows, warps=8)


def fits_halves(tensors: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether no factor in our own network can be too large for float16, whatever the track.

    The kernel brings windows to size 1, a root mean square over frames, so every layer has a bound.
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
    return all(float(np.abs(x).max()) < _LARGEST_HALF for x in (most, hidden, second, filtered, *t.values()))


def _above(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(x, 0.0)


def pieces_of(width: int, piece: int) -> tuple[int, int]:
    """Return the width filled up, and the size of the equal pieces, powers of two, that it falls into.

    Pieces are at most ``piece`` (and at least 16) columns, and large: narrow ones take longer than their share.
    """
    choices = [size for size in (256, 128, 64, 32, 16) if size <= max(16, piece)]
    size = min(choices, key=lambda p: (-(-width // p) * p * (1 + 16 / p), -p))
    return -(-width // size) * size, size
