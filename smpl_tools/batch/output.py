"""The folder that a batch writes to: one batch at a time, results that appear whole, nothing outside."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from smpl_tools.batch import manifest
from smpl_tools.formats._files import reason

LOCK = ".smoothnet-batch.lock"
_STAGE = ".smoothnet-batch-"
RESERVED = (manifest.NAME, LOCK)


def check_usable(folder: Path, force: bool) -> None:
    """Refuse a folder that holds what no batch made, unless told to.

    Raises:
        ValueError: it is a file, cannot be read, or holds other files and no manifest.
    """
    try:
        held = sorted(one.name for one in folder.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise ValueError(f"{folder}: cannot be used as the output folder: {reason(error)}") from None
    others = [name for name in held if not name.startswith(_STAGE) and name != LOCK]
    if others and manifest.NAME not in held and not force:
        raise ValueError(
            f"{folder}: expected a new or empty folder, or one of a batch before, received one that holds "
            f"{others[0]!r} (--force writes into it)"
        )


class Output:
    """The folder, locked while the block lasts; what killed runs left unfinished in it is removed at the start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: int | None = None
        self._stages: set[Path] = set()
        # Folders with new names in them that the disk may not know yet.
        self._unsettled: set[Path] = set()
        self._real = folder

    def __enter__(self) -> Output:
        """Lock the folder; make it if need be.

        Raises:
            ValueError: another batch is at work in it, or it cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._real = self.folder.resolve()
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
            self._lock = os.open(self.folder / LOCK, flags, 0o666)
        except OSError as error:
            raise ValueError(f"{self.folder}: cannot be written to: {reason(error)}") from None
        try:
            _lock(self._lock)
        except OSError as error:
            owner = os.pread(self._lock, 20, 0).decode("ascii", "replace").strip() if hasattr(os, "pread") else ""
            os.close(self._lock)
            if not isinstance(error, (BlockingIOError, PermissionError)):
                raise ValueError(f"{self.folder}: cannot be locked: {reason(error)}") from None
            who = f" (process {owner})" if owner else ""
            raise ValueError(f"{self.folder}: another batch is at work in this folder{who}") from None
        try:
            # For who is refused: a full disk is no reason to stop here.
            with contextlib.suppress(OSError):
                os.ftruncate(self._lock, 0)
                os.write(self._lock, str(os.getpid()).encode())
            self._clean()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for stage in self._stages:
            shutil.rmtree(stage, ignore_errors=True)
        assert self._lock is not None
        # With it goes the lock, as it does when the process is killed; the file stays, or two could hold one each.
        os.close(self._lock)

    def _clean(self) -> None:
        """Remove what killed runs had not finished."""
        for place, folders, _ in os.walk(self.folder):
            for name in [name for name in folders if name.startswith(_STAGE)]:
                folders.remove(name)
                shutil.rmtree(Path(place, name), ignore_errors=True)

    def target(self, result: str) -> Path:
        """Return where a result belongs."""
        return self.folder / result

    def stage(self, result: str) -> Path:
        """Return where a result is to be written first: beside its place, in a folder that is not there yet.

        Raises:
            ValueError: the folder of the result leads elsewhere or is a file, or cannot be made.
        """
        parent = self.folder
        for name in PurePosixPath(result).parts[:-1]:
            parent = parent / name
            try:
                parent.mkdir()
                _sync(parent.parent)
            except FileExistsError:
                pass
            except OSError as error:
                raise ValueError(f"{self.target(result)}: cannot be written: {reason(error)}") from error
        self._check(result)
        stage = parent / f"{_STAGE}{secrets.token_hex(4)}"
        self._stages.add(stage)
        return stage / PurePosixPath(result).name

    def _check(self, result: str) -> None:
        """Refuse a result whose place is not where its name says."""
        target, parent = self.target(result), self.folder
        for name in PurePosixPath(result).parts[:-1]:
            parent = parent / name
            if parent.is_symlink():
                raise ValueError(
                    f"{target}: cannot be written: {parent} is a link, and nothing is written through links"
                )
            if not parent.is_dir():
                raise ValueError(f"{target}: cannot be written: {parent} is a file")
        if Path(os.path.realpath(parent)) != self._real.joinpath(*PurePosixPath(result).parts[:-1]):
            raise ValueError(f"{target}: cannot be written: {parent} leads out of {self.folder}")

    def put(self, staged: Path, result: str) -> None:
        """Move a result that is whole into its place, in the stead of an earlier one; :meth:`settle` makes it last.

        Raises:
            ValueError: it cannot be: something of another kind is there, or the folder does not let it.
        """
        target = self.target(result)
        try:
            self._check(result)
            if target.is_symlink():
                raise ValueError(f"{target}: cannot be written: it is a link, and nothing is written through links")
            if staged.is_dir():
                if target.exists():
                    if not target.is_dir():
                        raise ValueError(f"{target}: cannot be written: it is a file, and this result is a folder")
                    self._exchange(staged, target)
                    return
            elif target.exists() and not target.is_file():
                raise ValueError(f"{target}: cannot be written: it is no file, and this result is one")
            staged.replace(target)
            self._unsettled.add(target.parent)
        except OSError as error:
            raise ValueError(f"{target}: cannot be written: {reason(error)}") from error
        finally:
            self.drop(staged)

    def _exchange(self, staged: Path, target: Path) -> None:
        """Put a folder in the place of one that is there, which comes back if that fails."""
        old = staged.with_name(f"{_STAGE}old")
        target.rename(old)
        try:
            staged.replace(target)
        except BaseException:
            old.rename(target)
            raise
        self._unsettled.add(target.parent)

    def settle(self) -> None:
        """Have the disk know where all results are that were put.

        Raises:
            ValueError: it does not take it.
        """
        while self._unsettled:
            folder = self._unsettled.pop()
            try:
                _sync(folder)
            except OSError as error:
                raise ValueError(f"{folder}: cannot be written: {reason(error)}") from error

    def drop(self, staged: Path) -> None:
        """Remove what was staged, if anything was."""
        shutil.rmtree(staged.parent, ignore_errors=True)
        self._stages.discard(staged.parent)


def _lock(file: int) -> None:
    """Take the lock of a file, which ends with the process.

    Raises:
        BlockingIOError or PermissionError: another process has it.
        OSError: there are no locks here.
    """
    if os.name == "nt":
        import msvcrt

        locking: Any = getattr(msvcrt, "locking")  # noqa: B009  # not there for who checks types elsewhere
        locking(file, getattr(msvcrt, "LK_NBLCK"), 1)  # noqa: B009
        return
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sync(folder: Path) -> None:
    """Have the disk know the names in a folder; Windows does so by itself."""
    if os.name == "nt":
        return
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
