"""Pickles as Python 2 wrote them, of objects as Chumpy and old SciPy have them, without either."""

from __future__ import annotations

import io
import pickle
import re
import struct
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock


class Ch:
    """Stands for chumpy.ch.Ch: a state as its ``__getstate__`` makes, with what ``__new__`` puts beside the array."""

    def __init__(self, x: Any = None, **entries: Any) -> None:
        self.__dict__.update(
            {"_dirty_vars": {"x"}, "_itr": None, "_make_dense": False, "_make_sparse": False, "_depends_on_deps": {}}
        )
        self.__dict__.update(entries if x is None else {"x": x})


class ChLambda(Ch): ...


class Select(Ch): ...


class Reshape(Ch): ...


class transpose(Ch): ...


_MODULES = {"chumpy": (), "chumpy.ch": (Ch, ChLambda), "chumpy.reordering": (Select, Reshape, transpose)}


@contextmanager
def chumpy_modules() -> Iterator[None]:
    """Put the stand-ins where Chumpy's classes would be, so that pickles name those."""
    modules: dict[str, types.ModuleType] = {}
    own = {kind: kind.__module__ for kinds in _MODULES.values() for kind in kinds}
    for name, kinds in _MODULES.items():
        modules[name] = types.ModuleType(name)
        for kind in kinds:
            setattr(modules[name], kind.__name__, kind)
            kind.__module__ = name
    try:
        with mock.patch.dict(sys.modules, modules):
            yield
    finally:
        for kind, module in own.items():
            kind.__module__ = module


class _Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Writes bytes and ASCII text as Python 2's one kind of string."""

    dispatch = pickle._Pickler.dispatch.copy()  # type: ignore[attr-defined]

    def save_string(self, value: Any) -> None:
        raw = value if isinstance(value, bytes) else value.encode("ascii")
        if self.proto == 0:  # type: ignore[attr-defined]
            # The literal of Python 2 is that of Python 3 without the b.
            self.write(b"S" + repr(raw)[1:].encode("ascii") + b"\n")  # type: ignore[attr-defined]
        elif len(raw) < 256:
            self.write(b"U" + bytes([len(raw)]) + raw)  # type: ignore[attr-defined]
        else:
            self.write(b"T" + struct.pack("<i", len(raw)) + raw)  # type: ignore[attr-defined]
        self.memoize(value)

    dispatch[bytes] = save_string
    dispatch[str] = save_string


def python2_dumps(value: Any, protocol: int) -> bytes:
    """Return the pickle of a value, protocol 0 to 2, with the modules' names of Python 2's days."""
    buffer = io.BytesIO()
    with chumpy_modules():
        _Python2Pickler(buffer, protocol).dump(value)
    raw = buffer.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    return re.sub(rb"cscipy\.sparse\._(csc|csr)\n", rb"cscipy.sparse.\1\n", raw)


def python3_dumps(value: Any, protocol: int) -> bytes:
    """Return the pickle of a value as this Python writes it, with Chumpy's names."""
    with chumpy_modules():
        return pickle.dumps(value, protocol)
