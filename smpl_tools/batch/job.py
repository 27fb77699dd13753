"""One file of a batch: what decides its result, whether it must be done, and doing it, wherever that runs."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from smoothnet_core import Model, __version__
from smpl_tools.plain_json import plain
from smpl_tools.refine_file import refine_file

if TYPE_CHECKING:
    from smpl_tools.batch.places import Place


@dataclass(frozen=True, eq=False)
class Refining:
    """What decides the result of a file beside the file.

    Attributes:
        options: keyword arguments of ``smpl_tools.refine_file.refine_file`` but the model.
        model: the weights; None for filters.
    """

    options: dict[str, Any]
    model: Model | None

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what another process makes the same of: the weights, without engines that they ran in here."""
        model = self.model
        return Refining, (self.options, None if model is None else Model(model.name, model.tensors, model.metadata))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What a record says of the options, and the version of the program."""
        return {"version": __version__, **plain(self.options)}

    @cached_property
    def weights(self) -> dict[str, str] | None:
        """What a record says of the model: its name, and a hash of its tensors and of what goes with them."""
        if self.model is None:
            return None
        found = hashlib.sha256(json.dumps(plain(dict(self.model.metadata)), sort_keys=True).encode())
        for name, tensor in sorted(self.model.tensors.items()):
            found.update(f"\n{name} {tensor.dtype.str} {tensor.shape}\n".encode())
            found.update(np.ascontiguousarray(tensor).data)
        return {"name": self.model.name, "sha256": found.hexdigest()}


class Before(NamedTuple):
    """What the last record of a source says that decides whether it is done again; see ``manifest.py``."""

    sha256: str | None
    settings: str
    weights: str | None
    result: str
    result_sha256: str | None
    error: str | None
    transient: bool


@dataclass(frozen=True)
class Job:
    """One file to refine.

    Attributes:
        name: of the source, in the manifest.
        source: where it is; what else than a path that can be is for ``places.py``.
        result: name of the result, in the manifest.
        target: where the result belongs, likewise.
        staged: where it is written first, in a folder of its own that does not exist yet; None where the target is no
            path.
        before: what is known from before.
        retry: do it again though it failed before and nothing has changed.
    """

    name: str
    source: Path | Place
    result: str
    target: Path | Place
    staged: Path | None
    before: Before | None = None
    retry: bool = False


class Outcome(NamedTuple):
    """What became of a job.

    Attributes:
        name: of the source.
        state: ``refined`` (its result is staged), ``unchanged``, ``failed`` or, with nothing tried, ``failed before``.
        why: it was done: ``new``, ``input changed``, ...; or the error of before.
        record: for the manifest; None where nothing was done.
        files: contents of the result by name, where it could not be written from where the job was done.
    """

    name: str
    state: str
    why: str
    record: dict[str, Any] | None
    files: tuple[tuple[str, bytes], ...] | None = None


def attend(job: Job, refining: Refining) -> Outcome:
    """Do one job between paths if it must be done. Nothing that is wrong with its file raises an exception."""
    assert isinstance(job.source, Path)
    assert isinstance(job.target, Path)
    assert job.staged is not None
    state, why = needed(job, refining)
    if state != "refined":
        return Outcome(job.name, state, why, None)
    record = {"source": job.name, "result": job.result}
    record |= do_file(job.source, job.staged, refining, shown=job.target)
    return Outcome(job.name, "failed" if record["error"] else "refined", why, record)


def needed(job: Job, refining: Refining) -> tuple[str, str]:
    """Return the state that a job between paths will come to if nothing fails, and why.

    The state is ``refined`` where it must be done.
    """
    assert isinstance(job.source, Path)
    assert isinstance(job.target, Path)
    old = job.before
    if old is None:
        return "refined", "new"
    if _tried(job.source) != old.sha256:
        return "refined", "input changed"
    if old.settings != canonical(refining.settings):
        return "refined", f"settings changed: {', '.join(_differing(old.settings, refining.settings))}"
    if old.weights != (refining.weights and refining.weights["sha256"]):
        return "refined", "weights changed"
    if old.result != job.result:
        return "refined", "another name"
    if old.error is not None:
        again = job.retry or old.transient
        return ("refined", "failed before") if again else ("failed before", old.error)
    if not os.path.lexists(job.target):
        return "refined", "result missing"
    if job.target.is_symlink() or _tried(job.target) != old.result_sha256:
        return "refined", "result changed"
    return "unchanged", ""


def canonical(settings: Any) -> str:
    """Return settings as text that is the same for the same settings."""
    return json.dumps(settings, sort_keys=True)


def _differing(old: str, new: dict[str, Any]) -> list[str]:
    before = json.loads(old)
    before = before if isinstance(before, dict) else {}
    return [name for name in {**before, **new} if before.get(name) != new.get(name)]


def do_file(source: Path, staged: Path, refining: Refining, *, shown: Path | None = None) -> dict[str, Any]:
    """Refine a file of this machine into another, and say what became of it.

    Args:
        source: a file or a folder that is one motion.
        staged: what to write, in a folder that is made for it; after an error there is nothing.
        refining: how.
        shown: what errors call ``staged``.

    Returns:
        Of the manifest's record ``sha256``, ``settings``, ``model``, ``result_sha256``, ``format``, ``metrics``,
        ``notes``, ``error`` (None if all went well), ``transient`` and ``seconds``.
    """
    began = time.monotonic()
    record = _empty(refining)
    options = refining.options if refining.model is None else {**refining.options, "model": refining.model}
    try:
        before = _state(source)
        record["sha256"] = before[0]
        staged.parent.mkdir()
        became = refine_file(source, staged, **options)
        if _tried_state(source) != before:
            raise _ChangedError(f"{source}: changed while it was being read")
        record["result_sha256"] = digest(staged)
        record |= {"format": became.format, "notes": list(became.notes), "metrics": _metrics(became.as_dict())}
    # A bad file must not stop the others, whatever it does to who reads it.
    except Exception as error:
        record["result_sha256"] = None
        record["error"] = told(error).replace(str(staged), str(shown or staged))
        record["transient"] = is_transient(error)
    record["seconds"] = round(time.monotonic() - began, 4)
    return plain(record)


def _empty(refining: Refining) -> dict[str, Any]:
    record: dict[str, Any] = {"sha256": None, "settings": refining.settings, "model": refining.weights}
    record |= dict.fromkeys(("result_sha256", "format", "metrics", "notes", "error"))
    return {**record, "transient": False, "seconds": None}


def failed_record(name: str, result: str, refining: Refining, error: str) -> dict[str, Any]:
    """Return the record of a file that nothing could be done with, to be tried again by the next run."""
    return {"source": name, "result": result, **_empty(refining), "error": error, "transient": True}


class _ChangedError(ValueError):
    """The next run is to look at the file again."""


def _metrics(report: dict[str, Any]) -> dict[str, Any]:
    # The others are settings, or the notes.
    names = ("fps", "fps_assumed", "tracks", "unobserved", "unknown", "bridged_frames", "splits", "feet")
    return {name: report[name] for name in names}


def told(error: BaseException) -> str:
    """Return an error in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    if isinstance(error, MemoryError):
        return "not enough memory"
    return text if isinstance(error, (ValueError, ImportError)) and text else f"{type(error).__name__}: {text}"


def is_transient(error: BaseException | None) -> bool:
    """Tell whether an error is one of the machine (space, permissions, memory), not of the file."""
    while error is not None:
        if isinstance(error, (MemoryError, ImportError, _ChangedError)):
            return True
        # Those without a number come of damaged archives, but for NumPy's own of a full disk.
        if isinstance(error, OSError) and (error.errno is not None or type(error) is OSError):
            return True
        # "from None" hides what an error came from, and keeps it.
        error = error.__cause__ or error.__context__
    return False


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder: that of the lines ``HASH NAME`` of all files in it, by name.

    Raises:
        OSError: it cannot be read.
    """
    if not path.is_dir():
        if path.exists() and not path.is_file():
            raise ValueError(f"{path}: expected a file or a folder, found a device or a pipe")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    found = hashlib.sha256()
    files = [Path(place, name) for place, _, names in os.walk(path) for name in names]
    for name, file in sorted((os.fsencode(one.relative_to(path).as_posix()), one) for one in files):
        if file.is_file():
            found.update(f"{digest(file)} ".encode() + name + b"\n")
    return found.hexdigest()


def _state(path: Path) -> tuple[str, int]:
    # The time as well, for what is changed and changed back.
    return digest(path), path.stat().st_mtime_ns


def _tried_state(path: Path) -> tuple[str, int] | None:
    try:
        return _state(path)
    except OSError:
        return None


def _tried(path: Path) -> str | None:
    """Return the digest of what can be read."""
    try:
        return digest(path)
    except (OSError, ValueError):
        return None
