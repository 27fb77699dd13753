"""The manifest of a batch: JSON lines, one for each file, the last one of a file counting while a run goes on."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from smpl_tools.batch.job import Before, canonical
from smpl_tools.formats._files import reason, replacing

NAME = "manifest.jsonl"


class Entry(NamedTuple):
    """What is kept in memory of a line: what decides, and where the line is."""

    before: Before
    root: str
    start: int
    length: int


class Manifest:
    """The lines of a manifest by source.

    Attributes:
        path: of the file.
        entries: by the source's name.
        broken: lines that were no records, among them the beginning of one that a killed run left.
    """

    def __init__(self, path: Path) -> None:
        """Read a manifest, if there is one; nothing is changed.

        Raises:
            ValueError: it cannot be read, or is something else of that name, which must not be lost.
        """
        self.path = path
        self.entries: dict[str, Entry] = {}
        self.broken = 0
        # Where the next line begins: whatever a killed run left behind it is cut off.
        self._end = 0
        self._file: Any = None
        try:
            with path.open("rb") as file:
                for line in file:
                    if line.endswith(b"\n"):
                        self._take(line, self._end)
                        self._end += len(line)
                    else:
                        self.broken += 1
        except FileNotFoundError:
            pass
        except OSError as error:
            raise ValueError(f"{path}: cannot be read: {reason(error)}") from None
        if self._end and not self.entries:
            raise ValueError(f"{path}: expected the manifest of a batch, received other lines")

    def _take(self, line: bytes, start: int) -> None:
        try:
            found = json.loads(line)
            name, entry = found["source"], _entry(found, start, len(line))
        # Lines that somebody else wrote, or a disk lost: their files are done again.
        except (ValueError, KeyError, TypeError, RecursionError):
            self.broken += 1
            return
        self.entries[name] = entry

    def open(self) -> None:
        """Begin to add lines.

        Raises:
            ValueError: it cannot be written.
        """
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            os.ftruncate(self._file, self._end)
        except OSError as error:
            raise ValueError(f"{self.path}: cannot be written: {reason(error)}") from None

    def add(self, record: dict[str, Any]) -> None:
        """Add a record; a line that cannot be written whole is taken back.

        Raises:
            ValueError: it cannot be written.
        """
        line = json.dumps(record, allow_nan=False).encode("ascii") + b"\n"
        try:
            os.lseek(self._file, self._end, os.SEEK_SET)
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            os.ftruncate(self._file, self._end)
            raise ValueError(f"{self.path}: cannot be written: {reason(error)}") from None
        self._take(line, self._end)
        self._end += len(line)

    def settle(self) -> None:
        """Have lines be where the next run finds them: in a file they are."""

    def close(self, root: str | None) -> None:
        """End with one line for each source, in their order.

        Args:
            root: what the lines are to give as the folder of the sources; None leaves the lines as they are.

        Raises:
            ValueError: it cannot be written; the lines are there as they were.
        """
        try:
            os.fsync(self._file)
            if root is not None:
                self._rewrite(root)
        except OSError as error:
            raise ValueError(f"{self.path}: cannot be written: {reason(error)}") from None
        finally:
            os.close(self._file)
            self._file = None

    def _rewrite(self, root: str) -> None:
        with self.path.open("rb") as old, replacing(self.path) as new:
            for _, entry in sorted(self.entries.items()):
                old.seek(entry.start)
                line = old.read(entry.length)
                if entry.root != root:
                    line = json.dumps({**json.loads(line), "root": root}).encode("ascii") + b"\n"
                new.write(line)


def _entry(found: dict[str, Any], start: int, length: int) -> Entry:
    texts = [found["source"], found["root"], found["result"]]
    model = found["model"] and found["model"]["sha256"]
    perhaps = [found["sha256"], found["result_sha256"], found["error"], model]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError
    if not all(text is None or isinstance(text, str) for text in perhaps):
        raise TypeError
    before = Before(
        sha256=found["sha256"],
        # The same text for all of them.
        settings=sys.intern(canonical(found["settings"])),
        weights=model,
        result=found["result"],
        result_sha256=found["result_sha256"],
        error=found["error"],
        transient=bool(found["transient"]),
    )
    return Entry(before, sys.intern(found["root"]), start, length)
