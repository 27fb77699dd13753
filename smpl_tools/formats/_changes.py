"""What a writer takes from a changed track."""

from __future__ import annotations

import math
from collections.abc import Iterator
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
    check_shape(what, original, new)
    if not changed(original, new):
        return original
    result = original.copy(order="K")
    np.copyto(result, new, where=np.isfinite(new), casting="same_kind")
    return result


def check_shape(what: str, original: NDArray[Any], new: NDArray[Any]) -> None:
    """Raise the ``ValueError`` that says so where a track has another shape than the file's.

    Args:
        what: the track.
        original: as the file has it.
        new: what is to be written.
    """
    if new.shape != original.shape:
        raise mismatch(f"shape of the track {what}", original.shape, new.shape)


def changed(original: NDArray[Any], new: NDArray[Any]) -> bool:
    """Tell whether any number of two arrays of one shape differs; NaN is the same as NaN."""
    if new is original:
        return False
    # A track that was refined differs in its first frames.
    return any(not np.array_equal(new[rows], original[rows], equal_nan=True) for rows in row_blocks(original))


def row_blocks(array: NDArray[Any], numbers: int = 2**16) -> Iterator[slice]:
    """Yield slices that cover the rows of an array, each of about as many ``numbers``."""
    step = max(1, numbers // max(1, math.prod(array.shape[1:])))
    return (slice(start, start + step) for start in range(0, len(array), step))
