"""Memory that a thread uses again and again: fresh memory costs as much as the small steps that are done in it."""

from __future__ import annotations

import threading
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_own = threading.local()
# More than this is given back: a thread keeps a few times as much at most.
_MOST = 2**23


def room(name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array to be written to; what it holds lasts until this thread asks for that name again."""
    kept: dict[str, NDArray[Any]] = _own.__dict__.setdefault("kept", {})
    size = prod(shape) * np.dtype(dtype).itemsize
    memory = kept.get(name)
    if memory is None or memory.size < size:
        memory = np.empty(size, np.uint8)
        if size <= _MOST:
            kept[name] = memory
    return memory[:size].view(dtype).reshape(shape)
