"""What a writer takes from a changed track."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch


def merged(what: str, original: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
    """Return the numbers to write: the new ones in the file's dtype, the file's own where the new ones are not finite.

    Args:
        what: the track, for the error.
        original: as the file has it; the very object is returned where nothing changed.
        new: same shape.

    Raises:
        ValueError: the shapes differ.
    """
    if new.shape != original.shape:
        raise mismatch(f"shape of the track {what}", original.shape, new.shape)
    if new is original or np.array_equal(new, original, equal_nan=True):
        return original
    result = original.copy(order="K")
    np.copyto(result, new, where=np.isfinite(new), casting="same_kind")
    return result
