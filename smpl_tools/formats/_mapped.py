"""Arrays that stay on the disk: memory maps of ``.npy`` files larger than memory need be, one to read, one to write.

A page of a map counts as memory of the process from its first use until the system needs the room elsewhere. So that
what is read once and written once does not look like, or crowd out, memory in use, pages are let go all along
(:func:`few_pages`): they stay in the system's cache and come back from there where they are needed again.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.restricted_pickle import npy_layout
from smpl_tools.formats._files import write_npy_header

# Smaller files are read whole.
SMALLEST = 2**24
# Seconds from one time that pages are let go to the next: some tens of megabytes are read meanwhile at most.
_INTERVAL = 0.005


def mapped_npy(path: Path) -> tuple[NDArray[Any], mmap.mmap] | None:
    """Return the numbers of an ``.npy``, read-only, and the memory map that they lie in.

    None where they are to be read instead: the file is small or not what can be mapped (not row by row, of another
    byte order, of objects, damaged), or the system cannot let go of pages.
    """
    if not hasattr(mmap, "MADV_DONTNEED") or path.stat().st_size < SMALLEST:
        return None
    with path.open("rb") as file:
        try:
            shape, fortran, dtype = npy_layout(file)
        # The reader of whole files says what is wrong with it.
        except Exception:
            return None
        start, size = file.tell(), int(np.prod(shape, dtype=object)) * dtype.itemsize
        if fortran or dtype.hasobject or not dtype.isnative or not size or start + size > path.stat().st_size:
            return None
        held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(held, dtype, size // dtype.itemsize, start).reshape(shape), held


def mapped_output(file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[NDArray[Any], mmap.mmap]:
    """Return an array in a new, empty file, an ``.npy`` once it is filled, and the memory map that it lies in.

    Args:
        file: open for reading and writing.
        shape: of the array.
        dtype: of numbers.

    Raises:
        OSError: there is no room for it on the disk.
    """
    write_npy_header(file, shape, dtype)
    file.flush()
    start, count = file.tell(), int(np.prod(shape))
    size = start + count * dtype.itemsize
    os.ftruncate(file.fileno(), size)
    try:
        # A full disk shows now: at a page of a map it would end the process.
        os.posix_fallocate(file.fileno(), 0, size)
    except AttributeError:
        pass  # macOS has no such call
    except OSError as error:
        # Some file systems know nothing of it.
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENODEV):
            raise
    held = mmap.mmap(file.fileno(), size)
    return np.frombuffer(held, dtype, count, start).reshape(shape), held


@contextmanager
def few_pages(*maps: mmap.mmap) -> Iterator[None]:
    """Let go of the maps' pages again and again while the block runs; nothing that was written to them is lost."""
    done = threading.Event()

    def let_go() -> None:
        while True:
            last = done.wait(_INTERVAL)
            for one in maps:
                one.madvise(mmap.MADV_DONTNEED)
            if last:
                return

    keeper = threading.Thread(target=let_go, name="smoothnet-pages", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()
