"""SciPy's BLAS kept to one thread for a while.

Its products here are small: with a thread for each core, most of the time goes into waking them and waiting for them,
twice to five times as much as the products take, and many times as much where other programs keep the cores busy.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

_lock = threading.Lock()
_inside = 0
_before = 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Let the BLAS of SciPy's wheels use one thread in this block; another BLAS is left as it is.

    The number is that of the whole process. Blocks may overlap, in threads too: the last to end gives it back.
    """
    global _inside, _before
    functions = _functions()
    if functions is None:
        yield
        return
    get, set_ = functions
    with _lock:
        if not _inside:
            _before = get()
            set_(1)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                set_(_before)


@cache
def _functions() -> tuple[Any, Any] | None:
    """Return what gets and what sets the number of threads; None without the OpenBLAS of SciPy's wheels."""
    import scipy

    package = Path(scipy.__file__).parent
    for folder in (package.parent / "scipy.libs", package / ".dylibs"):
        for path in sorted(folder.glob("libscipy_openblas*")):
            try:
                # Loaded already, by SciPy: this finds it.
                library = ctypes.CDLL(str(path))
                get, set_ = library.scipy_openblas_get_num_threads, library.scipy_openblas_set_num_threads
            except (OSError, AttributeError):
                continue
            get.restype, set_.argtypes, set_.restype = ctypes.c_int, [ctypes.c_int], None
            return get, set_
    return None
