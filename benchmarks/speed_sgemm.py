"""How fast this machine multiplies float32 matrices through SciPy's BLAS: the measure of what a network can reach.

SciPy's Python functions hold the interpreter's lock while they multiply; the C function behind them, called through
``ctypes``, does not, so that each thread has a core to itself. BLAS itself is kept to one thread.
"""

from __future__ import annotations

import ctypes
import importlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from smoothnet_core.inference.blas_threads import one_thread

# Windows that are multiplied at once; the best of them is what a network is measured by.
BLOCKS = (64, 128, 256, 512, 1024, 2048, 4096)
LARGE = 1536


class Product(NamedTuple):
    """``rows`` windows of ``inner`` numbers each, times a matrix of ``outer`` by ``inner``.

    ``windows_first``: whether each window's numbers lie side by side, or those of all windows at one place do.
    """

    rows: int
    inner: int
    outer: int
    windows_first: bool = True

    @property
    def flops(self) -> int:
        return 2 * self.rows * self.inner * self.outer


@cache
def _sgemm() -> Any:
    capsule = importlib.import_module("scipy.linalg.cython_blas").__pyx_capi__["sgemm"]
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(pointer(capsule, name(capsule)))


def _call(product: Product) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
    """Return the function, its arguments, and what must live as long as they are used."""
    rows, inner, outer, windows_first = product
    rng = np.random.default_rng(0)
    windows = rng.standard_normal((rows, inner), dtype=np.float32)
    weight = rng.standard_normal((outer, inner), dtype=np.float32)
    result = np.empty((rows, outer), np.float32)
    alpha, beta = np.ones(1, np.float32), np.zeros(1, np.float32)
    if windows_first:
        sizes, letters = (outer, rows, inner, inner, inner, outer), (b"T", b"N")
        first, second = weight, windows
    else:
        sizes, letters = (rows, outer, inner, rows, inner, rows), (b"N", b"N")
        first, second = windows.reshape(inner, rows), weight
    m, n, k, lda, ldb, ldc = (ctypes.c_int(size) for size in sizes)
    flags = [ctypes.c_char(letter) for letter in letters]
    kept = (first, second, result, alpha, beta, flags, m, n, k, lda, ldb, ldc)
    at = [ctypes.addressof(flag) for flag in flags]
    at += [ctypes.addressof(m), ctypes.addressof(n), ctypes.addressof(k), alpha.ctypes.data, first.ctypes.data]
    at += [ctypes.addressof(lda), second.ctypes.data, ctypes.addressof(ldb), beta.ctypes.data, result.ctypes.data]
    return _sgemm(), (*at, ctypes.addressof(ldc)), kept


def rate(products: Sequence[Product], *, threads: int, seconds: float) -> float:
    """Return the FLOP/s of all threads together, each of which runs the products in turn for about ``seconds``."""
    ready = threading.Barrier(threads)
    done = [(0.0, 0.0, 0)] * threads
    flops = sum(product.flops for product in products)

    def work(own: int) -> None:
        calls = [_call(product) for product in products]
        for function, arguments, _ in calls:
            function(*arguments)
        ready.wait()
        begun, count = time.perf_counter(), 0
        while (now := time.perf_counter()) - begun < seconds:
            for function, arguments, _ in calls:
                function(*arguments)
            count += 1
        done[own] = (begun, now, count)

    with one_thread():
        pool = [threading.Thread(target=work, args=(own,)) for own in range(threads)]
        for thread in pool:
            thread.start()
        for thread in pool:
            thread.join()
    # Each thread's own time: one that begins or ends a little later than the other was not idle in between.
    return sum(count * flops / (stop - start) for start, stop, count in done)


@dataclass(frozen=True)
class Layer:
    """A network's product: ``times`` rows for each window, of ``inner`` numbers each, become rows of ``outer``."""

    outer: int
    inner: int
    times: int = 1

    @property
    def flops(self) -> int:
        return 2 * self.outer * self.inner * self.times


def network_products(layers: Sequence[Layer], windows: int, windows_first: bool) -> list[Product]:
    """Return the products of a network's layers for a block of windows."""
    return [Product(windows * one.times, one.inner, one.outer, windows_first) for one in layers]


def best_products(layers: Sequence[Layer], seconds: float = 0.03) -> list[Product]:
    """Return the layers' products in the block size and layout in which one thread is fastest."""
    choices = [network_products(layers, windows, way) for windows in BLOCKS for way in (True, False)]
    rates = [max(rate(choice, threads=1, seconds=seconds) for _ in range(3)) for choice in choices]
    return choices[int(np.argmax(rates))]


def large() -> list[Product]:
    return [Product(LARGE, LARGE, LARGE)]
