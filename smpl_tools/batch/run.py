"""A run of a batch: what there is to do, by whom it is done, and what is written down of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from smpl_tools.batch import manifest, objects
from smpl_tools.batch.finding import Found, Planned, find, planned
from smpl_tools.batch.job import Job, Outcome, Refining, failed_record, told
from smpl_tools.batch.output import RESERVED, Output, check_usable
from smpl_tools.batch.places import look
from smpl_tools.batch.workers import Workers, core_count

_FIRST_FAILURE = "the first failure ends it (--fail-fast)"


class Engine(Protocol):
    """What does jobs, like :class:`smpl_tools.batch.workers.Workers`."""

    def outcomes(self, jobs: Iterator[Job]) -> Iterator[list[Outcome]]:
        """Yield what has become of jobs, as they are done, several at once where they are."""
        ...


def local_engine(workers: int | None, files: int, refining: Refining) -> Workers:
    """Return processes of this machine.

    Args:
        workers: how many; None is one for each core.
        files: how many there are to do, at most.
        refining: how.
    """
    return Workers(min(workers or core_count(), files), refining)


@dataclass
class Tally:
    """How far a run is.

    Attributes:
        total: files, and folders that are one motion, found in the tree.
        refined: by source, why it was: ``new``, ``input changed``, ...
        unchanged: sources whose results are there from before.
        failed: by source, the error.
        left_out: why something in the tree was not looked at, with the names.
        gone: results of sources that are no longer in the tree; they stay.
        broken_lines: of the manifest, that were no records.
        began: when, as ``time.monotonic`` has it.
        stopped: why not all was done.
    """

    total: int = 0
    refined: dict[str, str] = field(default_factory=dict)
    unchanged: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    gone: int = 0
    broken_lines: int = 0
    began: float = field(default_factory=time.monotonic)
    stopped: str | None = None

    @property
    def done(self) -> int:
        """Sources of which it is known what became of them."""
        return len(self.refined) + self.unchanged + len(self.failed)

    def reasons(self) -> Counter[str]:
        """Return how many were done for each reason."""
        return Counter(why.split(":")[0] for why in self.refined.values())


@dataclass(frozen=True)
class Batch:
    """What a run is asked for.

    Attributes:
        root: the folder to look through, or its URL as :func:`smpl_tools.batch.places.place_of` returns it.
        output: the folder to write to, likewise.
        refining: how.
        skip: patterns of names to leave out.
        force: write into a folder that holds other files, or results of another root.
        retry_failed: do files again that failed before, though nothing has changed.
        fail_fast: begin nothing more after the first failure.
        workers: processes; None is one for each core.
        engine: what is told workers, files and refining, and does the jobs.
    """

    root: Path | str
    output: Path | str
    refining: Refining
    skip: Sequence[str] = ()
    force: bool = False
    retry_failed: bool = False
    fail_fast: bool = False
    workers: int | None = None
    engine: Callable[[int | None, int, Refining], AbstractContextManager[Engine]] = local_engine


Watch = Callable[[Tally], None]


def preview(batch: Batch) -> tuple[Tally, list[tuple[str, str, str]]]:
    """Say what :func:`run` would do, and write nothing.

    Returns:
        The tally as it will be if nothing more fails, and of each file to be done the names of source and result, and
        why.

    Raises:
        ValueError: see :func:`run`.
    """
    found, plan = _looked_through(batch)
    known = _known(batch)
    tally = Tally()
    _begin(tally, found, known)
    todo = []
    for one in plan:
        state, why = look(_job(batch, known, one, Path()), batch.refining)
        _count(tally, Outcome(one.source, state, why, None))
        if state == "refined":
            todo.append((one.source, one.result, why))
    return tally, todo


def run(batch: Batch, watch: Watch = lambda tally: None, tally: Tally | None = None) -> Tally:
    """Refine what is to be refined, and go on where an earlier run ended.

    Args:
        batch: what is asked for.
        watch: called with the tally at the beginning and after every file.
        tally: to count in, for who wants to know how far it came after an exception.

    Raises:
        ValueError: no tree to look through; an output folder that is not for this, or in which another batch is at
            work; a manifest that cannot be written. What was done by then is there.
        OSError: processes cannot be started.
        ImportError: what a URL needs is not installed.
    """
    tally = Tally() if tally is None else tally
    found, plan = _looked_through(batch)
    with _output(batch) as output:
        # Now that nobody else writes.
        known = _known(batch)
        known.open()
        try:
            _begin(tally, found, known)
            for name, error in found.failed.items():
                known.add(_failure(batch, name, error))
            watch(tally)
            _refine_all(batch, output, known, plan, tally, watch)
        except BaseException:
            known.close(None)
            raise
        known.close(_root(batch))
    return tally


def _output(batch: Batch) -> Output | objects.ObjectOutput:
    return Output(batch.output) if isinstance(batch.output, Path) else objects.ObjectOutput(batch.output)


def _root(batch: Batch) -> str:
    """Return what the manifest calls the input folder."""
    return str(batch.root.resolve()) if isinstance(batch.root, Path) else batch.root


def _looked_through(batch: Batch) -> tuple[Found, list[Planned]]:
    """Return what there is to do, having looked whether the output folder can be used."""
    to = batch.refining.options.get("to")
    if isinstance(batch.root, Path):
        found = find(batch.root, batch.skip)
        plan = list(planned(found, batch.root, to, RESERVED))
    else:
        found, plan = objects.look_through(batch.root, batch.skip, to, RESERVED)
    if isinstance(batch.output, Path):
        check_usable(batch.output, batch.force)
    else:
        objects.check_usable(batch.output, batch.force)
    return found, plan


def _known(batch: Batch) -> manifest.Manifest:
    """Return what is known from runs before, of the same tree unless told otherwise."""
    if isinstance(batch.output, Path):
        known = manifest.Manifest(batch.output / manifest.NAME)
    else:
        known = objects.ObjectManifest(batch.output)
    root = _root(batch)
    other = next((entry.root for entry in known.entries.values() if entry.root != root), None)
    if other is not None and not batch.force:
        raise ValueError(
            f"{batch.output}: holds the results of {other}, received {root}: name another output folder, or add "
            "--force if the folder was moved"
        )
    return known


def _begin(tally: Tally, found: Found, known: manifest.Manifest) -> None:
    names = {*found.sources, *found.failed}
    tally.total, tally.left_out, tally.broken_lines = len(names), found.left_out, known.broken
    tally.failed.update(found.failed)
    tally.gone = sum(1 for name, entry in known.entries.items() if name not in names and entry.before.error is None)


def _job(batch: Batch, known: manifest.Manifest, one: Planned, staged: Path | None) -> Job:
    entry = known.entries.get(one.source)
    before = None if entry is None else entry.before
    if isinstance(batch.root, Path):
        source = batch.root / one.source
    else:
        source = objects.place(batch.root, one.source, loaded=True)
    if isinstance(batch.output, Path):
        target = batch.output / one.result
    else:
        target = objects.place(batch.output, one.result, loaded=before is not None and before.error is None)
    return Job(one.source, source, one.result, target, staged, before, batch.retry_failed)


def _refine_all(
    batch: Batch, output: Any, known: manifest.Manifest, plan: list[Planned], tally: Tally, watch: Watch
) -> None:
    at_work: dict[str, Job] = {}
    root = _root(batch)

    def jobs() -> Iterator[Job]:
        for one in plan:
            if batch.fail_fast and tally.failed:
                tally.stopped = _FIRST_FAILURE
                return
            try:
                job = _job(batch, known, one, output.stage(one.result))
            except ValueError as error:
                tally.failed[one.source] = told(error)
                known.add(_failure(batch, one.source, told(error), one.result))
                watch(tally)
                continue
            at_work[one.source] = job
            yield job

    todo = jobs()
    first = next(todo, None)
    if first is None:
        return
    with batch.engine(batch.workers, len(plan), batch.refining) as workers:
        for ready in workers.outcomes(chain([first], todo)):
            ready = [_placed(output, at_work.pop(outcome.name), outcome) for outcome in ready]
            # A line says what the disk knows.
            output.settle()
            for outcome in ready:
                if outcome.record is not None:
                    known.add({"root": root, **outcome.record})
                _count(tally, outcome)
            known.settle()
            watch(tally)
    if at_work:
        # They were handed out, and not begun.
        tally.stopped = _FIRST_FAILURE


def _placed(output: Any, job: Job, outcome: Outcome) -> Outcome:
    """Put a result into its place."""
    if outcome.state != "refined" or outcome.record is None:
        output.drop(job.staged)
        return outcome
    try:
        output.put(job.staged if outcome.files is None else outcome.files, job.result)
    except ValueError as error:
        wrong = {"result_sha256": None, "error": told(error), "transient": True}
        return outcome._replace(state="failed", record={**outcome.record, **wrong})
    return outcome


def _count(tally: Tally, outcome: Outcome) -> None:
    if outcome.state == "refined":
        tally.refined[outcome.name] = outcome.why
    elif outcome.state == "unchanged":
        tally.unchanged += 1
    else:
        tally.failed[outcome.name] = outcome.record["error"] if outcome.record else outcome.why


def _failure(batch: Batch, name: str, error: str, result: str = "") -> dict[str, Any]:
    """Return the record of a file that could not be begun."""
    record = failed_record(name, result, batch.refining, error)
    return {"root": _root(batch), **record}
