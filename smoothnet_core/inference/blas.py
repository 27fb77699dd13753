"""Matrix products through SciPy's BLAS: the NumPy inside Blender has none, SciPy always brings its own.

It is called at the address that SciPy gives compiled code (``scipy.linalg.cython_blas``), not through SciPy's Python
functions: those keep other Python threads waiting while they compute.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs

from smoothnet_core._checks import mismatch

Array = NDArray[Any]

# What the address must take: two letters, three sizes, and matrices, each followed by the length of its columns.
_SIGNATURE = "void (char *, char *, int *, int *, int *, N *, N *, int *, N *, int *, N *, N *, int *)"
_NAMES = {"f": "sgemm", "d": "dgemm"}
_SCALARS = {
    letter: (ctypes.byref(number(0.0)), ctypes.byref(number(1.0)))
    for letter, number in (("f", ctypes.c_float), ("d", ctypes.c_double))
}


def product(first: Array, second: Array, transposed: str = "", out: Array | None = None, *, add: bool = False) -> Array:
    """Return ``first @ second``.

    Args:
        first: float32 or float64; it is copied unless its rows lie in memory as they are, however far apart.
        second: taken in the dtype of ``first``, likewise.
        transposed: ``first``, ``second`` or neither: a matrix that is taken so.
        out: of the same dtype, written to and returned: fresh memory costs as much as a small product. Its rows lie in
            memory as they are.
        add: add to what is in ``out``.

    Raises:
        ValueError: ``out`` is of another shape or dtype, or its rows do not lie in memory.
    """
    second = np.asarray(second, first.dtype)
    rows = first.shape[1 if transposed == "first" else 0]
    inner = first.shape[0 if transposed == "first" else 1]
    columns = second.shape[0 if transposed == "second" else 1]
    if out is None:
        out = np.empty((rows, columns), first.dtype)
    else:
        _check_out(out, (rows, columns), first.dtype)
    if not (rows and columns and inner):
        if not add:
            out[...] = 0
        return out
    first, second = (matrix if _in_rows(matrix) else np.ascontiguousarray(matrix) for matrix in (first, second))
    gemm = _gemm(first.dtype.char)
    if gemm is None:
        return _through_scipy(first, second, transposed, out, add)
    gemm(*_arguments(first, second, transposed, out, add))
    return out


def prepared(
    first: Array, second: Array, out: Array, transposed: str = "", *, add: bool = False
) -> Callable[[], object]:
    """Return the function that writes ``first @ second`` to ``out``, as they are when it is called.

    For products that are done again and again in the same memory, which is kept as long as the function is: to look at
    the arrays each time takes longer than a small product. Arguments and errors as :func:`product`.
    """
    gemm = _gemm(first.dtype.char)
    if gemm is None or not (first.size and second.size and _in_rows(first) and _in_rows(second)):
        return partial(product, first, second, transposed, out, add=add)
    rows, columns = first.shape[transposed == "first"], second.shape[transposed != "second"]
    _check_out(out, (rows, columns), first.dtype)
    call = partial(gemm, *_arguments(first, second, transposed, out, add))
    call.__dict__["memory"] = (first, second, out)
    return call


def _arguments(first: Array, second: Array, transposed: str, out: Array, add: bool) -> tuple[Any, ...]:
    """Return what BLAS wants to know of a product."""
    zero, one = _SCALARS[first.dtype.char]
    inner = first.shape[0 if transposed == "first" else 1]
    # BLAS counts columns first, so it is asked for the transposed product of the transposed matrices.
    return (
        b"T" if transposed == "second" else b"N",
        b"T" if transposed == "first" else b"N",
        *(_number(out.shape[1]), _number(out.shape[0]), _number(inner), one),
        *(second.ctypes.data, _length(second), first.ctypes.data, _length(first)),
        *(one if add else zero, out.ctypes.data, _length(out)),
    )


def linear(rows: Array, weight: Array, out: Array | None = None) -> Array:
    """Return ``rows @ weight.T`` for rows (M, K) and weight (N, K), both float32 or both float64; (M, N).

    ``out`` as in :func:`product`.
    """
    return product(rows, weight, "second", out)


@cache
def _gemm(letter: str) -> Callable[..., None] | None:
    """Return BLAS' product for a dtype as a function that lets go of the interpreter; None if it looks different."""
    module = importlib.import_module("scipy.linalg.cython_blas")
    capsule = getattr(module, "__pyx_capi__", {}).get(_NAMES[letter])
    if capsule is None:
        return None
    name_of, address_of = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    address_of.restype, address_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    signature = name_of(capsule)
    kind = signature.decode().split(", ")[5].removesuffix(" *")
    if signature.decode().replace(kind, "N") != _SIGNATURE:
        return None
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(address_of(capsule, signature))


@lru_cache(maxsize=4096)
def _number(value: int) -> Any:
    """Return what points to a whole number, which BLAS only reads."""
    return ctypes.byref(ctypes.c_int(value))


def _check_out(out: Array, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
    if out.shape != shape or out.dtype != dtype or not _in_rows(out):
        said = f"{out.shape} {out.dtype}, {out.strides} bytes apart"
        raise mismatch("out", f"rows of {shape} {dtype}", said)


def _in_rows(matrix: Array) -> bool:
    """Return whether the numbers of a row lie side by side, and the rows one after the other, however far apart."""
    (between, within), size, (count, width) = matrix.strides, matrix.itemsize, matrix.shape
    return (within == size or width < 2) and (count < 2 or (between >= width * size and between % size == 0))


def _length(matrix: Array) -> Any:
    """Return what points to the length of a row in memory, in numbers."""
    return _number(max(matrix.strides[0] // matrix.itemsize, matrix.shape[1]))


def _through_scipy(first: Array, second: Array, transposed: str, out: Array, add: bool) -> Array:
    """Do the same with SciPy's Python function."""
    (gemm,) = get_blas_funcs(("gemm",), dtype=first.dtype)
    how = {"trans_a": transposed == "second", "trans_b": transposed == "first"}
    result = gemm(1.0, np.ascontiguousarray(second).T, np.ascontiguousarray(first).T, **how).T
    if add:
        result = result + out
    out[...] = result
    return out
