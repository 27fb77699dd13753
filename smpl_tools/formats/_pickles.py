"""Pickles of results: told by their first bytes, written so that the programs they came from can read them."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from smoothnet_core._pickle_machine import Named
from smoothnet_core.restricted_pickle import load_pickle
from smpl_tools.formats._files import replacing

# A pickle of protocol 2 to 5, and what joblib compresses with: zlib, gzip, bz2, xz, lzma.
_PICKLES = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
_COMPRESSED = (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"]\x00\x00")
_NEW_NUMPY, _OLD_NUMPY = "numpy._core.", "numpy.core."

# Only the pickler that is written in Python can be told how to name a function; joblib's builds on it as well. Its
# methods for that are in no type stub.
_PythonPickler: Any = pickle._Pickler


# What has been loaded since a file was first asked about, by path; None outside of such a time.
_loaded: ContextVar[dict[Path, Any] | None] = ContextVar("loaded", default=None)


@contextmanager
def loading_once() -> Iterator[None]:
    """Let :func:`content_of` load a file once in the block, however many formats ask what is in it."""
    if _loaded.get() is not None:
        yield
        return
    token = _loaded.set({})
    try:
        yield
    finally:
        _loaded.reset(token)


def content_of(path: Path) -> Any:
    """Return what a pickle holds, by the one reader of pickles; whoever changes it takes a copy first.

    Raises:
        ValueError: see ``smoothnet_core.restricted_pickle.load_pickle``.
    """
    known = _loaded.get()
    if known is None:
        return load_pickle(path)
    if path not in known:
        known[path] = load_pickle(path)
    return known[path]


class _Pickler(_PythonPickler):
    """Names NumPy's functions as NumPy 1 did, which NumPy 2 knows too: many an estimator still runs on NumPy 1.

    What a file only names, such as PyTorch's data types, is named again.
    """

    def dump(self, obj: Any) -> None:
        """Write a pickle.

        Raises:
            ValueError: what is to be written is nested more deeply than can be.
        """
        try:
            super().dump(obj)
        except RecursionError:
            raise ValueError("pickle to write: nested too deeply") from None

    def reducer_override(self, obj: Any) -> Any:
        return obj.name if isinstance(obj, Named) else NotImplemented

    def save_global(self, obj: Any, name: str | None = None) -> None:
        if isinstance(obj, Named):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
            self.memoize(obj)
            return
        module = getattr(obj, "__module__", None) or ""
        if not module.startswith(_NEW_NUMPY):
            super().save_global(obj, name)
            return
        self.save(_OLD_NUMPY + module[len(_NEW_NUMPY) :])
        self.save(name or obj.__qualname__)
        self.write(pickle.STACK_GLOBAL)
        self.memoize(obj)


def is_pickle(head: bytes) -> bool:
    """Tell whether a file that begins with ``head`` is a pickle, or one that joblib compressed."""
    return head.startswith(_PICKLES + _COMPRESSED)


def described(content: Any) -> str:
    """Say in a few words what a pickle holds."""
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    keys = [repr(key)[:40] for key in itertools.islice(content, 5)]
    return f"a dictionary with {', '.join(keys) or 'nothing in it'}"


def dump(value: Any, path: Path) -> None:
    """Write a plain pickle of protocol 4, which ``joblib.load`` reads too, whole or not at all.

    Raises:
        ValueError: nothing can be written there.
    """
    with replacing(path) as file:
        _Pickler(file, 4).dump(value)
