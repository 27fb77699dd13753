"""The one reader of pickles: plain and joblib files, and the NumPy files whose object arrays are pickles.

A pickle is a program. Nothing of it is run here: see :mod:`smoothnet_core._pickle_machine` for how it is read and
:mod:`smoothnet_core._pickle_types` and :mod:`smoothnet_core._pickle_objects` for what it may hold. PyTorch's files are
read by :func:`smoothnet_core.torch_files.load_torch`.
"""

from __future__ import annotations

import bz2
import io
import lzma
import math
import warnings
import zipfile
import zlib
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._pickle_machine import Allowance, Machine, Types
from smoothnet_core._pickle_objects import OBJECT_TYPES
from smoothnet_core._pickle_types import JOBLIB_TYPES, PLAIN_TYPES, checked_shape, checked_text
from smoothnet_core._reading import Refusal, checked_size, members, most_bytes, read_bytes, reading, reason
from smoothnet_core.limits import LimitError, exceeded, unpacked_bytes
from smoothnet_core.torch_files import MAGIC_NUMBER, PICKLED_TENSOR_TYPES

_TYPES = {**PLAIN_TYPES, **JOBLIB_TYPES, **PICKLED_TENSOR_TYPES, **OBJECT_TYPES}
_STEP = 2**24
# Few enough bytes to stay in the cache on their way.
_PART = 2**18
# Enough for every preset of xz (at most 65 MiB), and no more for a header that asks for gigabytes.
_LZMA_MEMORY = 2**28
_NPY_MAGIC = b"\x93NUMPY"


def _lzma_engine() -> Any:
    return lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)


def _zlib_engine() -> Any:
    return zlib.decompressobj(wbits=47)  # zlib or gzip, by their header


# By first bytes; none of them can start a pickle.
_COMPRESSORS: dict[bytes, Callable[[], Any]] = {
    b"\x78": _zlib_engine,
    b"\x1f\x8b": _zlib_engine,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\x00": _lzma_engine,
    b"\x5d\x00": _lzma_engine,
}


def load_pickle(path: str | PathLike[str], *, max_bytes: int | None = None) -> Any:
    """Return what a pickle or a joblib file holds, without running anything it asks for.

    Python numbers, text and containers come back as themselves, arrays (memory maps and matrices too) as new
    ``numpy.ndarray``, PyTorch tensors as arrays, bfloat16 widened to float32. Chumpy's arrays (``Ch``, ``Select``,
    ``Reshape``, ``transpose``) come back as the ``numpy.ndarray`` they stand for, SciPy's ``csc`` and ``csr`` matrices
    as new ``scipy.sparse`` matrices whose every index was checked. joblib's zlib, gzip, bz2, xz and lzma compression is
    recognised by content. Python 2 strings come back as Latin-1 text.

    Args:
        path: the file.
        max_bytes: most bytes to read, after decompression; None for the limit of :mod:`smoothnet_core.limits`.

    Raises:
        ValueError: the file cannot be read, is damaged, is larger, or asks for anything else; one line with the path.
    """
    path = Path(path)
    with reading(path, "pickle", "a complete pickle or joblib file"):
        most = most_bytes(max_bytes)
        packed = read_bytes(path, most)
        content = _decompressed(packed, most)
        if content[:4] == b"PK\x03\x04":
            raise ValueError("it is a zip archive, as .npz and .pt files are")
        if content[:4] == b"\x04\x22\x4d\x18":
            raise ValueError("it is compressed with lz4, which is not read")
        value = _load(io.BytesIO(content), len(packed))
        if type(value) is int and value == MAGIC_NUMBER:
            raise ValueError("it is a PyTorch file")
        return value


def load_npy(
    path: str | PathLike[str],
    *,
    max_bytes: int | None = None,
    tensors: list[NDArray[Any]] | None = None,
) -> NDArray[Any]:
    """Return the array of a ``.npy`` file; the objects of an object array are read as :func:`load_pickle` reads them.

    Args:
        path: the file.
        max_bytes: most bytes to read; None for the limit.
        tensors: receives those of the arrays in it that the file holds as PyTorch tensors.

    Raises:
        ValueError: as :func:`load_pickle`.
    """
    path = Path(path)
    with reading(path, ".npy file", "a NumPy array"):
        size = checked_size(path, most_bytes(max_bytes))
        with path.open("rb") as file:
            return _parse_npy(file, size, size, tensors)


def load_npz(path: str | PathLike[str], *, max_bytes: int | None = None) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` file by name, in their order, object arrays as in :func:`load_npy`.

    Args:
        path: the file, compressed or not.
        max_bytes: most bytes that its members may declare together; None for the limit.

    Raises:
        ValueError: as :func:`load_pickle`; also for a member that is no array.
    """
    path = Path(path)
    arrays = {}
    with reading(path, ".npz file", "a zip archive of NumPy arrays"), zipfile.ZipFile(path) as archive:
        for name, info in members(path, archive, most_bytes(max_bytes)).items():
            try:
                with archive.open(info) as member:
                    arrays[name.removesuffix(".npy")] = _parse_npy(
                        member, info.file_size, min(info.compress_size, path.stat().st_size)
                    )
            except (Refusal, LimitError) as error:
                raise type(error)(f"member {name}: {error}") from None
            except Exception as error:
                raise ValueError(f"member {name}: {reason(error)}") from error
    return arrays


def _load(stream: io.BytesIO, packed: int, types: Types = _TYPES) -> Any:
    # Arrays are copied out of the file, some by way of text and bytes, and views of tensors may repeat elements: a few
    # times the file's size, never more.
    allowance = Allowance(2**24 + 8 * len(stream.getbuffer()), packed)
    return Machine(stream, types, allowance).load()


def _noting(tensors: list[NDArray[Any]]) -> Types:
    """Return the types of a pickle, of which those that build a tensor add it to the list."""

    def noting(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(machine: Machine, *arguments: Any) -> Any:
            tensors.append(make(machine, *arguments))
            return tensors[-1]

        return made

    return {n: noting(make) if make is not None and n.module == "torch._utils" else make for n, make in _TYPES.items()}


def _decompressed(content: bytes, max_bytes: int) -> bytes | bytearray:
    """Return what a compressed pickle unpacks to; a plain one as it is.

    Raises:
        LimitError: more than ``max_bytes``, or than a file of this size may grow to.
    """
    make = next((make for magic, make in _COMPRESSORS.items() if content.startswith(magic)), None)
    if make is None:
        return content
    engine, rest, made = make(), content, bytearray()
    most = unpacked_bytes(len(content), max_bytes)
    while not engine.eof:
        step = engine.decompress(rest, _STEP)
        # zlib hands back what it has not read yet; the other two keep it.
        rest = getattr(engine, "unconsumed_tail", b"")
        if not step and not rest and not engine.eof:
            raise EOFError("its compressed data end too early")
        made += step
        if len(made) > most:
            name = "bytes" if most == max_bytes else "growth"
            raise exceeded(f"bytes that {len(content):,} unpack to", name, most, "more")
    return made


def npy_layout(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether columns come first, and dtype of an ``.npy``, read up to where its numbers begin.

    Raises:
        ValueError: it does not begin as one, or something else that NumPy's reader raises for a damaged header.
    """
    begin = file.read(len(_NPY_MAGIC))
    if begin != _NPY_MAGIC:
        raise ValueError(f"no .npy header, expected {_NPY_MAGIC!r} and found {begin!r}")
    file.seek(0)
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f".npy version {version}, expected one of {', '.join(map(str, readers))}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the file was written by Python 2 is no news to its user
        shape, fortran, dtype = readers[version](file)
    return checked_shape(shape), fortran, dtype


def _parse_npy(file: IO[bytes], size: int, packed: int, tensors: list[NDArray[Any]] | None = None) -> NDArray[Any]:
    """Return the array of an ``.npy`` of ``size`` bytes, read to its end: an archive checks its members there."""
    shape, fortran, dtype = npy_layout(file)
    if dtype.hasobject:
        array = _load(io.BytesIO(file.read()), packed, _TYPES if tensors is None else _noting(tensors))
        if not isinstance(array, np.ndarray) or array.shape != shape:
            raise ValueError(f"its header declares objects of shape {shape}, which do not follow")
        return array
    length, follow = math.prod(shape) * dtype.itemsize, size - file.tell()
    if length > follow:
        raise ValueError(
            f"its header declares {length:,} bytes (shape {shape}, type {dtype}), "
            f"expected at most the {follow:,} that follow"
        )
    if not length:
        array = np.empty(shape, dtype)
    else:
        content = np.empty(length, np.uint8)
        _read_into(file, content.data)
        array = content.view(dtype).reshape(shape, order="F" if fortran else "C")
    while file.read(_STEP):
        pass
    checked_text(array)
    return array


def _read_into(file: IO[bytes], target: memoryview) -> None:
    """Read as many bytes as there is room for, some at a time: all at once they would be there twice for a while."""
    filled = 0
    while filled < len(target):
        part = file.read(min(_PART, len(target) - filled))
        if not part:
            raise EOFError(f"it ends after {filled:,} of {len(target):,} bytes of numbers")
        target[filled : filled + len(part)] = part
        filled += len(part)
