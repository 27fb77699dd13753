"""How the fused kernels divide their work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.checkpoints import published_sizes


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
        halves: float32 products of float16 halves instead of tf32 parts.
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
    """Return the division of work for a network, by its sizes."""
    half = precision == "bf16"
    if architecture == "vector_filter":
        return Launch(rows=64, warps=4)
    sizes = published_sizes({name: np.asarray(value, np.float32) for name, value in tensors.items()})
    small = sizes["blocks"] == 1 and sizes["bottleneck"] <= 32 and sizes["hidden"] <= 512
    if small:
        return Launch(rows=64, warps=4, resident=half)
    return Launch(rows=128, warps=8) if half and sizes["bottleneck"] <= 256 else Launch(rows=64, warps=8)


def pieces_of(width: int, piece: int) -> tuple[int, int]:
    """Return the width filled up, and the size of the equal pieces, powers of two, that it falls into.

    Pieces are at most ``piece`` (and at least 16) columns, and large: narrow ones take longer than their share.
    """
    choices = [size for size in (256, 128, 64, 32, 16) if size <= max(16, piece)]
    size = min(choices, key=lambda p: (-(-width // p) * p * (1 + 16 / p), -p))
    return -(-width // size) * size, size
