"""Files on the disk: read with errors of one line, written whole or not at all."""

from __future__ import annotations

import io
import os
import secrets
import shutil
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._reading import one_line
from smoothnet_core.limits import LimitError, check_limit, limit

ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
NPY_MAGIC = b"\x93NUMPY"
# Longer headers than NumPy itself reads; what a header declares about its own length is not believed.
_HEADER_BYTES = 2**16


def reason(error: BaseException) -> str:
    """Return the one-line reason of an exception."""
    text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    return one_line(text) or type(error).__name__


def read_bytes(path: Path, first: int | None = None) -> bytes:
    """Return the bytes of a file of text, or the ``first`` of any file.

    Raises:
        ValueError: it cannot be read, or is larger than the limit.
    """
    most = limit("text") if first is None else first
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if first is None:
                check_limit(f"{path}: bytes", "text", size)
            return file.read(min(most, size))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {reason(error)}") from None


def check_values(path: Path, data: bytes, between: bytes) -> None:
    """Refuse a text that holds too many values, told by the bytes that stand between or around them.

    Raises:
        ValueError: they are more than the limit.
    """
    check_limit(f"{path}: values", "objects", sum(map(data.count, (bytes([byte]) for byte in between))))


def _target(path: Path) -> Path:
    # A link keeps pointing where it points: the file behind it is the one replaced.
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise ValueError(f"{path}: cannot be written: the folder {target.parent} does not exist")
    return target


def _beside(target: Path) -> Path:
    # The name does not contain the target's, which may already have the greatest length allowed.
    return target.parent / f".smoothnet-{secrets.token_hex(6)}.tmp"


@contextmanager
def replacing(path: Path, *, readable: bool = False) -> Iterator[BinaryIO]:
    """Open a new binary file that takes the place of ``path`` when the block ends without an exception.

    The bytes go to a temporary name in the same folder, are flushed to the disk, and only then renamed. After an
    exception the temporary file is gone and ``path`` is as it was. An existing file's permissions are kept.

    Args:
        path: of the file.
        readable: open it for reading too.

    Raises:
        ValueError: the folder does not exist or nothing can be written there; any ``OSError`` of the block.
    """
    target = _target(path)
    temporary = _beside(target)
    try:
        if target.is_dir():
            raise ValueError(f"{path}: cannot be written: it is a folder")
        if target.exists() and not target.is_file():
            # Renaming over a device or a pipe would remove it.
            raise ValueError(f"{path}: cannot be written: it is not a regular file")
        try:
            with temporary.open("x+b" if readable else "xb") as file:
                try:
                    yield file
                except OSError as error:
                    if error.errno is None:
                        # NumPy says how much of an array it could write, not why: the system is asked again.
                        file.write(bytes(2**24))
                    raise
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                shutil.copymode(target, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(f"{path}: cannot be written: {reason(error)}") from None


def _names_below(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*")}


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Make a new folder that takes the place of ``path`` when the block ends without an exception.

    The block fills the temporary folder it is given. An existing folder is replaced only if it holds nothing that the
    new one does not hold as well, so that a mistyped path never deletes anything.

    Raises:
        ValueError: the parent does not exist, nothing can be written there, or ``path`` is a file or holds other
            files; any ``OSError`` of the block.
    """
    target = _target(path)
    temporary, old = _beside(target), _beside(target)
    try:
        if target.exists() and not target.is_dir():
            raise ValueError(f"{path}: cannot be written: it is a file, and this format is a folder")
        try:
            temporary.mkdir()
            yield temporary
            names = _names_below(temporary)
            for name in names:
                if (temporary / name).is_file():
                    with (temporary / name).open("rb+") as file:
                        os.fsync(file.fileno())
            if target.exists():
                # What lies deeper is looked at only where nothing is in the way yet: it may be a whole disk.
                others = sorted({p.name for p in target.iterdir()} - names) or sorted(_names_below(target) - names)
                if others:
                    raise ValueError(f"{path}: cannot be written: the folder already holds {others[0]!r}")
                target.rename(old)
                try:
                    temporary.rename(target)
                except OSError:
                    old.rename(target)
                    raise
            else:
                temporary.rename(target)
        finally:
            for leftover in (temporary, old):
                if leftover.exists():
                    shutil.rmtree(leftover)
    except OSError as error:
        raise ValueError(f"{path}: cannot be written: {reason(error)}") from None


def npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of an ``.npy`` from its beginning.

    What a damaged header raises is not documented: errors of its syntax, of its length, of its text.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that Python 2 wrote the file is no news to its user
        # Version 3 differs from 2 only in the encoding of field names, which no format here has.
        if np.lib.format.read_magic(file) == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    return shape, dtype


def write_npy_header(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Begin an ``.npy`` of numbers row by row, in the version that NumPy itself writes for them."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def npz_headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Return shape and dtype of every array of an ``.npz``, in the file's order, without reading the arrays.

    Raises:
        ValueError: the file is not a readable archive of arrays.
    """
    headers = {}
    try:
        with zipfile.ZipFile(path) as archive:
            check_limit("members of the archive", "members", len(archive.infolist()))
            for info in archive.infolist():
                if not info.filename.endswith(".npy"):
                    continue
                with archive.open(info) as member:
                    start = io.BytesIO(member.read(_HEADER_BYTES))
                headers[info.filename.removesuffix(".npy")] = npy_header(start)
    except LimitError as error:
        raise ValueError(f"{path}: refused: {error}") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {reason(error)}") from None
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: not a readable .npz archive, damaged or cut short: {reason(error)}") from None
    # What a damaged archive raises is not documented: errors of zip, of the compressions, of the header's syntax.
    except Exception as error:
        raise ValueError(f"{path}: not a readable .npz archive: {reason(error)}") from None
    return headers


def npz_compressed(path: Path) -> bool:
    """Return whether the arrays of a readable ``.npz`` are stored compressed."""
    with zipfile.ZipFile(path) as archive:
        return any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist())


@dataclass(frozen=True, eq=False)
class Rows:
    """An array to be written whose rows are made as they are needed.

    Attributes:
        shape: of the array.
        dtype: of the array.
        blocks: its rows in order, some at a time, each (T', ...) of that dtype.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    blocks: Iterable[NDArray[Any]]


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any] | Rows], *, compressed: bool) -> None:
    """Write arrays as an ``.npz``, in the mapping's order; arrays of objects are pickled, as NumPy does.

    Raises:
        ValueError: nothing can be written there.
    """
    # Here, since that module writes its files through this one.
    from smpl_tools.formats._pickles import _Pickler

    compression = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    # Not np.savez: it has no room for an array named "file", and its pickles cannot be read by every NumPy 1.
    with replacing(path) as file, zipfile.ZipFile(file, "w", compression, allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(name + ".npy", "w", force_zip64=True) as member:
                if isinstance(array, Rows):
                    write_npy_header(member, array.shape, array.dtype)
                    for block in array.blocks:
                        member.write(np.ascontiguousarray(block).data)
                elif array.dtype.hasobject:
                    header = np.lib.format.header_data_from_array_1_0(array)
                    np.lib.format.write_array_header_1_0(member, header)
                    _Pickler(member, 4).dump(array)
                else:
                    np.lib.format.write_array(member, array, allow_pickle=False)
