"""Opening files that may be damaged or hostile: bounded sizes, and every failure as one line that names the file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smoothnet_core.limits import LimitError, check_limit, exceeded, limit, unpacked_bytes


class Refusal(ValueError):
    """The file asks for something that is never done; the message starts where ``PATH: refused:`` ends."""


def most_bytes(max_bytes: int | None) -> int:
    """Return the most bytes to read: those that the caller says, else the limit."""
    return limit("bytes") if max_bytes is None else max_bytes


def checked_size(path: Path, max_bytes: int) -> int:
    """Return how many bytes a file has.

    Raises:
        LimitError: more than ``max_bytes``.
    """
    size = path.stat().st_size
    if size > max_bytes:
        raise exceeded("bytes of the file", "bytes", max_bytes, size)
    return size


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Return the bytes of a file of at most ``max_bytes``.

    Raises:
        LimitError: it is larger.
    """
    checked_size(path, max_bytes)
    return path.read_bytes()


def members(path: Path, archive: zipfile.ZipFile, max_bytes: int) -> dict[str, zipfile.ZipInfo]:
    """Return a zip archive's files by name, in their order.

    Raises:
        LimitError: they are too many, or their declared sizes exceed ``max_bytes`` together, or what a file of this
            size may grow to.
    """
    check_limit("members of the archive", "members", len(archive.infolist()))
    found = {info.filename: info for info in archive.infolist() if not info.is_dir()}
    declared = sum(info.file_size for info in found.values())
    if declared > max_bytes:
        raise exceeded("bytes that its members declare", "bytes", max_bytes, declared)
    most = unpacked_bytes(path.stat().st_size, max_bytes)
    if declared > most:
        raise exceeded(f"bytes that its members declare in a file of {path.stat().st_size:,}", "growth", most, declared)
    return found


@contextmanager
def reading(path: Path, kind: str, expected: str) -> Iterator[None]:
    """Turn whatever fails inside the block into one ``ValueError`` of one line that starts with the path.

    Args:
        path: the file being read.
        kind: what it is read as, e.g. ``pickle``.
        expected: what a good file would have been.

    Raises:
        ValueError: the file was refused, cannot be opened, or is not a readable ``kind``.
    """
    try:
        yield
    except (Refusal, LimitError) as error:
        raise ValueError(f"{path}: refused: {one_line(error)}") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or one_line(error)}") from error
    # A damaged file can fail anywhere in the parsers below, with almost any exception.
    except Exception as error:
        raise ValueError(
            f"{path}: not a readable {kind}: {reason(error)}; expected {expected}, found {_describe(path)}"
        ) from error


def reason(error: Exception) -> str:
    """Return one line that says why ``error`` was raised: its message where that was written to be read."""
    text = one_line(error)
    if type(error) in (ValueError, EOFError, zipfile.BadZipFile) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def show(value: object) -> str:
    """Return how to mention a value from a file: numbers and text as they are, anything else by its type.

    The text of a container that repeats itself can be exponentially long.
    """
    return one_line(repr(value), 80) if isinstance(value, (int, float, str, bytes)) else f"a {type(value).__name__}"


def one_line(text: object, limit: int = 300) -> str:
    """Return ``str(text)`` with white space collapsed and control characters escaped, cut to ``limit`` characters."""
    flat = " ".join(str(text).split())
    printable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in flat)
    return printable if len(printable) <= limit else printable[:limit] + "..."


def _describe(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(8)
    return f"{path.stat().st_size:,} bytes beginning with {head!r}" if head else "an empty file"
