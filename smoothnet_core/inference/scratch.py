"""Memory that a thread uses again and again: fresh memory costs as much as the small steps that are done in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

Made = TypeVar("Made")

_own = threading.local()
# More than this is given back: a thread keeps a few times as much at most.
_MOST = 2**24
# What was made for so many keys is kept: most of a track's stretches are of one shape, the first and the last of two.
_MOST_MADE = 16


def room(name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array to be written to; what it holds lasts until this thread asks for that name again."""
    memory: dict[str, NDArray[Any]] = _own.__dict__.setdefault("memory", {})
    size = prod(shape) * np.dtype(dtype).itemsize
    own = memory.get(name)
    if own is None or own.size < size:
        own = np.empty(size, np.uint8)
        if size <= _MOST:
            memory[name] = own
    return own[:size].view(dtype).reshape(shape)


def kept(key: Hashable, make: Callable[[], Made]) -> Made:
    """Return what this thread made for the key, if that was one of the last few; else make it."""
    made: dict[Hashable, Any] = _own.__dict__.setdefault("made", {})
    own = made.pop(key, None)
    if own is None:
        own = make()
        if len(made) >= _MOST_MADE:
            made.pop(next(iter(made)))
    made[key] = own
    return own
