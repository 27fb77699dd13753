"""Clips that repeat, without Blender: one round with its neighbours, and how far each round carries on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .plan import Channel

Array = NDArray[np.float64]

# Ends of a clip that are apart by so many times its noise were moved apart.
_MOVED = 7.0


def cycle_shift(values: Array, channels: Sequence[Channel]) -> Array | float:
    """Return how far each round of a cycle starts from where the last one did.

    Args:
        values: (T, N, n), one round; its last frame is the first of the next.
        channels: the N channels, all of one kind.

    Returns:
        (N, n); 0 for rotations.
    """
    if channels[0].kind == "rotation":
        return 0.0
    moved = values[-1] - values[0]
    # Half a normal distribution's width, from differences of second order, which have sqrt(6) times the noise.
    noise = np.median(np.abs(np.diff(values, 2, axis=0)), axis=0) / (0.6745 * np.sqrt(6.0))
    goes_on = {"REPEAT": False, "OFFSET": True}
    return np.array(
        [
            # Where nobody says so, a clip in place is told from one that walks by more than what noise moves its ends.
            [m if goes_on.get(cycle, abs(m) > _MOVED * n) else 0.0 for cycle, m, n in zip(c.cycles, *row, strict=True)]
            for c, *row in zip(channels, moved, noise, strict=True)
        ]
    )


def with_neighbours(values: NDArray[Any], pad: int, shift: Array | float | None = None) -> NDArray[Any]:
    """Return a cycle with ``pad`` frames of its neighbours on both sides; its last frame is the next one's first.

    Args:
        values: (T, N, ...).
        pad: frames.
        shift: of :func:`cycle_shift`; None where there is none.
    """
    count = len(values) - 1
    rows = np.arange(-pad, count + 1 + pad)
    out = values[np.mod(rows, count)]
    if shift is None:
        return out
    return out + np.floor_divide(rows, count).reshape(-1, 1, 1) * shift
