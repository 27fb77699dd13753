"""Files that a URL names: brought to this machine to be refined, and their results taken back, by fsspec."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from smoothnet_core._checks import require
from smpl_tools.batch.job import Job, Outcome, Refining, attend, failed_record, needed, told

# S3 takes objects of up to 5 GiB by one request; s3fs parts them from 100 MB on unless told otherwise.
_ONE_PUT = {"s3": {"chunksize": 2**32}}

Files = tuple[tuple[str, bytes], ...]


def place_of(text: str) -> Path | str:
    """Return what an argument names: a path of this machine, or the URL of objects without a slash at its end.

    Raises:
        ValueError: a URL of URLs (``zip://...::s3://...``).
    """
    if "://" not in text:
        return Path(text)
    if text.startswith("file://"):
        return Path(url2pathname(urlsplit(text).path))
    if "::" in text:
        raise ValueError(f"{text}: expected one URL, received one within another")
    scheme, rest = text.split("://", 1)
    return f"{scheme}://{rest.strip('/') if scheme == 'memory' else rest.rstrip('/')}"


def file_system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and what it calls the place; nothing that was listed before is believed.

    Raises:
        ValueError: there is no such kind of URL, or it names nothing.
        ImportError: what it needs is not installed.
    """
    require("fsspec", "cluster")
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        # "Install s3fs to access S3", say.
        package = re.search(r"[Ii]nstall ['\"`]?([\w-]+)", str(error))
        told = f"{package[1]} is not installed; add it with: pip install {package[1]}" if package else str(error)
        raise ImportError(f"{url}: {told}") from None
    except ValueError as error:
        raise ValueError(f"{url}: {error}") from None
    system.invalidate_cache()
    return system, path.rstrip("/")


def _schemes(system: Any) -> tuple[str, ...]:
    return (system.protocol,) if isinstance(system.protocol, str) else tuple(system.protocol)


def is_own(url: str) -> bool:
    """Tell whether what a URL names is seen by this process alone."""
    return "memory" in _schemes(file_system(url)[0])


def is_safe(name: str) -> bool:
    """Tell whether the name of an object can be that of a file below a folder, and of no file elsewhere."""
    parts = name.split("/")
    drive = os.name == "nt" and any(sign in name for sign in "\\:")
    return not ({"", ".", ".."} & {*parts} or "\0" in name or drive or max(map(len, map(os.fsencode, parts))) > 255)


def listed(system: Any, path: str) -> dict[str, int]:
    """Return the sizes of all objects below a place, by their names from there."""
    found = system.find(path, detail=True)
    before = f"{path}/"
    return {
        name[len(before) :]: info.get("size") or 0
        for name, info in sorted(found.items())
        if name.startswith(before) and info.get("type") != "directory" and not name.endswith("/")
    }


@dataclass(frozen=True)
class Place:
    """An object, or all objects below it where they are one motion of many files.

    Attributes:
        root: URL of the folder.
        name: from there.
        carried: contents, by name within the place (one of ``""`` for a file), where only the process that the job
            comes from has them; results then go back to it in the outcome.
    """

    root: str
    name: str
    carried: Files | None = None

    def __str__(self) -> str:
        return f"{self.root}/{self.name}"

    def fetch(self, local: Path) -> None:
        """Write what is there to a path of this machine, of which the folder is there.

        Raises:
            FileNotFoundError: there is nothing.
            ValueError: names that no files may have.
        """
        if self.carried is not None:
            if not self.carried:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(self))
            for name, content in self.carried:
                file = _inner(local, name)
                file.write_bytes(content)
            return
        system, base = file_system(self.root)
        path = f"{base}/{self.name}"
        try:
            system.get_file(path, str(local))
        except (FileNotFoundError, IsADirectoryError):
            local.unlink(missing_ok=True)
        if local.is_file():
            return
        names = listed(system, path)
        if not names:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(self))
        for name in names:
            if not is_safe(name):
                raise ValueError(f"{self}/{name}: its name cannot be that of a file")
            system.get_file(f"{path}/{name}", str(_inner(local, name)))

    def load(self) -> Place:
        """Return the place with what is there."""
        with tempfile.TemporaryDirectory(prefix="smoothnet-") as folder:
            try:
                self.fetch(Path(folder, "it"))
            except FileNotFoundError:
                return dataclasses.replace(self, carried=())
            return dataclasses.replace(self, carried=tuple(files_of(Path(folder, "it"))))

    def send(self, files: Iterable[tuple[str, bytes | Path]]) -> None:
        """Write objects, each by one request, and remove others that are below the place.

        Args:
            files: contents, or where they are, by name within the place; one of ``""`` for a file.
        """
        system, base = file_system(self.root)
        path = f"{base}/{self.name}"
        settings = next((_ONE_PUT[scheme] for scheme in _schemes(system) if scheme in _ONE_PUT), {})
        sent = set()
        for name, content in files:
            target = f"{path}/{name}" if name else path
            if isinstance(content, Path):
                system.put_file(str(content), target, **settings)
            else:
                system.pipe_file(target, content)
            sent.add(name)
        if sent != {""}:
            system.invalidate_cache()
            for name in listed(system, path).keys() - sent:
                system.rm_file(f"{path}/{name}")


def _inner(local: Path, name: str) -> Path:
    if not name:
        return local
    file = local.joinpath(*name.split("/"))
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def paths_of(local: Path) -> list[tuple[str, Path]]:
    """Return a file by the name ``""``, or all files of a folder by theirs."""
    if local.is_file():
        return [("", local)]
    files = sorted(Path(place, name) for place, _, names in os.walk(local) for name in names)
    return [(file.relative_to(local).as_posix(), file) for file in files]


def files_of(local: Path) -> Files:
    """Return the contents of a file or a folder, see :func:`paths_of`."""
    return tuple((name, file.read_bytes()) for name, file in paths_of(local))


def attend_anywhere(job: Job, refining: Refining) -> Outcome:
    """Do one job if it must be done, see :func:`smpl_tools.batch.job.attend`, wherever its files are.

    What a URL names is read to a folder of this machine, which is gone afterwards, and what is made there is written by
    one request an object. The state ``refined`` says that this is done, or that ``files`` of the outcome are to be
    written.
    """
    if isinstance(job.source, Path) and isinstance(job.target, Path):
        return attend(job, refining)
    with tempfile.TemporaryDirectory(prefix="smoothnet-") as folder:
        try:
            local = _brought(job, Path(folder))
        # Whatever the libraries of a store raise; the next run tries again.
        except Exception as error:
            return _failed(job, refining, f"{job.source}: cannot be read: {told(error)}")
        outcome = attend(local, refining)
        if outcome.record is not None and outcome.record["error"]:
            error = outcome.record["error"]
            for here, there in ((local.source, job.source), (local.target, job.target)):
                error = error.replace(str(here), str(there))
            outcome.record["error"] = error
        if outcome.state != "refined" or isinstance(job.target, Path):
            return outcome
        assert isinstance(local.staged, Path)
        try:
            if job.target.carried is not None:
                return outcome._replace(files=files_of(local.staged))
            job.target.send(paths_of(local.staged))
        except Exception as error:
            return _failed(job, refining, f"{job.target}: cannot be written: {told(error)}")
        return outcome


def look(job: Job, refining: Refining) -> tuple[str, str]:
    """Return the state that a job will come to if nothing fails, and why; see :func:`smpl_tools.batch.job.needed`."""
    if isinstance(job.source, Path) and isinstance(job.target, Path):
        return needed(job, refining)
    if job.before is None:
        return "refined", "new"
    with tempfile.TemporaryDirectory(prefix="smoothnet-") as folder:
        try:
            return needed(_brought(job, Path(folder)), refining)
        except Exception as error:
            return "failed before", f"{job.source}: cannot be read: {told(error)}"


def _brought(job: Job, folder: Path) -> Job:
    """Return a job of this machine that does another."""
    source, target, staged = job.source, job.target, job.staged
    if isinstance(source, Place):
        local = folder / "source" / PurePosixPath(source.name).name
        local.parent.mkdir()
        source.fetch(local)
        source = local
    if isinstance(target, Place):
        name = PurePosixPath(target.name).name
        local, staged = folder / "target" / name, folder / "stage" / name
        if job.before is not None and job.before.error is None:
            local.parent.mkdir()
            with contextlib.suppress(FileNotFoundError):
                target.fetch(local)
        target = local
    return dataclasses.replace(job, source=source, target=target, staged=staged)


def _failed(job: Job, refining: Refining, error: str) -> Outcome:
    return Outcome(job.name, "failed", "", failed_record(job.name, job.result, refining, error))
