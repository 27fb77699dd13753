"""Trees of objects that a URL names, as the input and as the output of a batch."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
import weakref
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from smpl_tools.batch import manifest
from smpl_tools.batch.finding import Found, Planned, find, planned
from smpl_tools.batch.job import told
from smpl_tools.batch.places import Files, Place, file_system, is_own, is_safe, listed

# Objects cannot be added to: lines that are not in the manifest yet are objects of their own below this name.
PARTS = ".smoothnet-batch-parts"
# Seconds between two of them.
_INTERVAL = 5.0
# Of a folder that may be one motion, what tells it: the beginning of JSON, whole pickles, and no others.
_HEAD_BYTES = 8192
_LARGEST_FRAME = 2**22
_MOST_EMPTY = 100


def look_through(url: str, skip: Sequence[str], to: str | None, reserved: Sequence[str]) -> tuple[Found, list[Planned]]:
    """Look through the objects below a URL as ``finding.py`` does through a folder.

    Raises:
        ValueError: there are none, or they cannot be listed; see :func:`smpl_tools.batch.finding.find`.
    """
    try:
        system, base = file_system(url)
        names = listed(system, base)
        is_file = not names and system.isfile(base)
    except (ValueError, ImportError):
        raise
    # Whatever the libraries of a store raise.
    except Exception as error:
        raise ValueError(f"{url}: cannot be read: {told(error)}") from None
    if not names:
        raise ValueError(f"{url}: expected a folder, found {'a file' if is_file else 'nothing of that name'}")
    with tempfile.TemporaryDirectory(prefix="smoothnet-") as folder:
        sketch, failed = Path(folder, "it"), {}
        try:
            failed = _sketched(system, base, names, sketch)
            found = find(sketch, skip)
            found.failed |= failed
            plan = list(planned(found, sketch, to, reserved))
        except ValueError as error:
            raise ValueError(str(error).replace(str(sketch), url)) from None
        except Exception as error:
            raise ValueError(f"{url}: cannot be read: {told(error)}") from None
        found.failed = {name: error.replace(str(sketch), url) for name, error in found.failed.items()}
    return found, plan


def _sketched(system: Any, base: str, names: dict[str, int], sketch: Path) -> dict[str, str]:
    """Make a tree of empty files of these names, but for what tells folders that are one motion.

    Returns:
        Names that cannot be those of files, and why.
    """
    failed = {}
    sketch.mkdir()
    for name in names:
        try:
            if not is_safe(name):
                raise ValueError
            file = sketch.joinpath(*name.split("/"))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(exist_ok=False)
        # Also one that is the folder of another, or the same where large letters are no others than small ones.
        except (ValueError, OSError):
            failed[name] = f"{sketch}/{name}: its name cannot be that of a file"
    frames: dict[str, list[str]] = {}
    for name in names:
        if name not in failed and PurePosixPath(name).suffix.lower() in (".json", ".pkl"):
            frames.setdefault(name.rpartition("/")[0], []).append(name)
    for inside in frames.values():
        texts = [name for name in sorted(inside) if name.lower().endswith(".json")]
        for name in texts[:_MOST_EMPTY]:
            head = system.cat_file(f"{base}/{name}", start=0, end=min(_HEAD_BYTES, names[name]))
            (sketch / name).write_bytes(head)
            # A frame without anybody tells nothing.
            if b'"' in head:
                break
        first = min((name for name in inside if name.lower().endswith(".pkl")), default=None)
        if first is not None and names[first] <= _LARGEST_FRAME:
            (sketch / first).write_bytes(system.cat_file(f"{base}/{first}"))
    return failed


class ObjectOutput:
    """The objects below a URL, to which workers write by themselves.

    They cannot be locked: two batches into one place both write all that they make, whole.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> ObjectOutput:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def stage(self, result: str) -> None:
        """Return where a result is to be written first: nowhere here."""

    def drop(self, staged: None) -> None:
        """Remove what was staged: nothing."""

    def put(self, files: Files | None, result: str) -> None:
        """Write a result that its worker could not write.

        Raises:
            ValueError: it cannot be.
        """
        if files is not None:
            try:
                Place(self._url, result).send(files)
            except Exception as error:
                raise ValueError(f"{self._url}/{result}: cannot be written: {told(error)}") from error

    def settle(self) -> None:
        """Have results last: they do."""


def check_usable(url: str, force: bool) -> None:
    """Refuse a place that holds what no batch made, unless told to.

    Raises:
        ValueError: it cannot be listed, is an object, or holds others and no manifest.
    """
    system, base = file_system(url)
    try:
        if system.isfile(base):
            raise ValueError(f"{url}: cannot be used as the output folder: it is a file")
        held = sorted(PurePosixPath(name.rstrip("/")).name for name in system.ls(base, detail=False) if name != base)
    except FileNotFoundError:
        return
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"{url}: cannot be used as the output folder: {told(error)}") from None
    others = [name for name in held if name != PARTS]
    if others and manifest.NAME not in held and PARTS not in held and not force:
        raise ValueError(
            f"{url}: expected a new or empty folder, or one of a batch before, received one that holds "
            f"{others[0]!r} (--force writes into it)"
        )


class ObjectManifest(manifest.Manifest):
    """A manifest that is an object, and while a run goes on more of them, which are not in it yet.

    It is kept in a file of this machine. Every few seconds what is new in there becomes a part; at the end the whole
    becomes the manifest, by one request, and the parts are removed. A later line of a source counts, so parts that a
    killed run did not come to remove do no harm.
    """

    def __init__(self, url: str) -> None:
        """Read a manifest and its parts, if there are any; nothing is changed.

        Raises:
            ValueError: see :class:`smpl_tools.batch.manifest.Manifest`.
        """
        self._url = f"{url}/{manifest.NAME}"
        self._system, self._base = file_system(url)
        self._run = f"{time.time_ns():020}-{secrets.token_hex(4)}"
        self._count = 0
        self._last = time.monotonic()
        folder = tempfile.mkdtemp(prefix="smoothnet-")
        weakref.finalize(self, shutil.rmtree, folder, True)
        local = Path(folder, manifest.NAME)
        try:
            self._parts = sorted(f"{self._base}/{PARTS}/{name}" for name in self._listed_parts())
            with local.open("wb") as file:
                for path in (f"{self._base}/{manifest.NAME}", *self._parts):
                    content = self._content(path)
                    # A part must not go on with a line that somebody cut.
                    file.write(content + b"\n" if content and not content.endswith(b"\n") else content)
        except Exception as error:
            raise ValueError(f"{self._url}: cannot be read: {told(error)}") from None
        try:
            super().__init__(local)
        except ValueError as error:
            raise ValueError(str(error).replace(str(local), self._url)) from None
        self._sent = self._end

    def _listed_parts(self) -> list[str]:
        return list(listed(self._system, f"{self._base}/{PARTS}"))

    def _content(self, path: str) -> bytes:
        try:
            return self._system.cat_file(path)
        except FileNotFoundError:
            return b""

    def settle(self) -> None:
        """Write what was added as an object of its own, now and then.

        Raises:
            ValueError: it cannot be written.
        """
        if time.monotonic() - self._last >= _INTERVAL:
            self._send_part()

    def _send_part(self) -> None:
        if self._sent == self._end:
            return
        with self.path.open("rb") as file:
            file.seek(self._sent)
            content = file.read(self._end - self._sent)
        path = f"{self._base}/{PARTS}/{self._run}-{self._count:06}.jsonl"
        self._write(path, content)
        self._parts.append(path)
        self._count, self._sent, self._last = self._count + 1, self._end, time.monotonic()

    def close(self, root: str | None) -> None:
        """End as :meth:`smpl_tools.batch.manifest.Manifest.close` does.

        Raises:
            ValueError: it cannot be written; the lines are there as they were.
        """
        try:
            self._send_part()
        except BaseException:
            super().close(None)
            raise
        super().close(root)
        if root is None:
            return
        self._write(f"{self._base}/{manifest.NAME}", self.path.read_bytes())
        try:
            for path in self._parts:
                self._system.rm_file(path)
        except Exception as error:
            raise ValueError(f"{self._url}: its parts cannot be removed: {told(error)}") from None

    def _write(self, path: str, content: bytes) -> None:
        try:
            self._system.pipe_file(path, content)
        except Exception as error:
            raise ValueError(f"{self._url}: cannot be written: {told(error)}") from None


def place(root: str, name: str, *, loaded: bool) -> Place:
    """Return an object, with what is there where this process alone sees it.

    Args:
        root: URL of the folder.
        name: from there.
        loaded: whether what is there matters.
    """
    if not is_own(root):
        return Place(root, name)
    return Place(root, name).load() if loaded else Place(root, name, ())
