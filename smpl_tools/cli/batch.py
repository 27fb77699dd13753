"""``smoothnet batch``: a folder of motions, with all that is below it, refined into another."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smpl_tools.cli._paths import is_in
from smpl_tools.cli._refining import (
    BackendOption,
    FpsOption,
    JudgeOption,
    KeepContactsOption,
    KindOption,
    MethodOption,
    ModelOption,
    OrderOption,
    PartsOption,
    PersonOption,
    StrengthOption,
    refining,
)
from smpl_tools.cli._shared import SOME_FAILED, complain, console, counted, number, one_name_of, print_json, printable

if TYPE_CHECKING:
    from smpl_tools.batch.run import Batch, Tally

# What is longer stands in the manifest.
_MOST_LISTED = 200
# Seconds between two lines of progress where no bar can be drawn, and over which the rate is taken.
_INTERVAL = 10.0
_RATE_OVER = 30.0


def batch(
    root: Annotated[str, typer.Argument(metavar="INPUT_DIR", help="Folder of motions, at any depth, or its URL.")],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="OUTPUT_DIR", help="Folder for the results and the manifest, or its URL."
        ),
    ],
    workers: Annotated[
        int | None, typer.Option(help="Processes, of one thread each. Default: one for each core.", min=1)
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            metavar="local|ray",
            help="Where files are refined: processes of this machine, or a Ray cluster.",
            callback=one_name_of(("local", "ray")),
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="Of the Ray cluster. Default: $RAY_ADDRESS, or a new one of this machine alone."),
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="NAME", help="Format to write. Default: each file's own.")] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Leave out names like this, such as 'shape.npz'; may be repeated."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Begin no more files after one has failed.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed before, though nothing has changed.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Write into a folder that holds other files, or results of another INPUT_DIR."),
    ] = False,
    method: MethodOption = "smoothnet",
    model: ModelOption = None,
    backend: BackendOption = None,
    judge: JudgeOption = "rotations",
    strength: StrengthOption = 1.0,
    fps: FpsOption = None,
    kind: KindOption = None,
    order: OrderOption = None,
    parts: PartsOption = None,
    person: PersonOption = None,
    keep_contacts: KeepContactsOption = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Refine all motions in a folder and below it into another folder, under their own names.

    Run again, it does what is not done yet or has changed. The exit status is 3 when some files failed.
    """
    from smpl_tools.batch.job import Refining
    from smpl_tools.batch.places import place_of
    from smpl_tools.batch.run import Batch

    if address is not None and engine != "ray":
        raise typer.BadParameter("--address goes with --engine ray")
    here = engine == "local"
    settings = refining(method, model, backend, judge, strength, fps, kind, order, parts, person, keep_contacts, here)
    if to is not None:
        from smpl_tools.convert import makeable

        one_name_of(makeable(), "--to")(to)
    places = place_of(root), place_of(output)
    if _within(*places) or _within(*reversed(places)):
        raise typer.BadParameter(f"one of {root} and {output} lies in the other; name an output folder outside")
    weights = settings.pop("model", None)
    asked = Batch(
        root=places[0],
        output=places[1],
        refining=Refining({**settings, "to": to}, weights),
        skip=tuple(skip or ()),
        force=force,
        retry_failed=retry_failed,
        fail_fast=fail_fast,
        workers=workers,
    )
    if here:
        _do(asked, dry_run, json)
        return
    from smpl_tools.batch.ray_engine import RayCluster

    with RayCluster(address, fail_fast=fail_fast) as cluster:
        asked = dataclasses.replace(asked, refining=cluster.refining(asked.refining), engine=cluster.engine)
        _do(asked, dry_run, json)


def _within(one: Path | str, other: Path | str) -> bool:
    """Tell whether a place is, or lies in, another."""
    if isinstance(one, Path) and isinstance(other, Path):
        return is_in(one, other)
    return f"{one}/".startswith(f"{other}/") if type(one) is type(other) else False


def _do(asked: Batch, dry_run: bool, json: bool) -> None:
    """Do what is asked, and say what became of it.

    Raises:
        typer.Exit: some files failed.
    """
    from smpl_tools.batch.run import Tally, preview, run

    root, output = asked.root, asked.output
    if dry_run:
        tally, todo = preview(asked)
        _show_preview(root, output, tally, todo, json)
    else:
        tally = Tally()
        try:
            with _Progress() as progress:
                run(asked, progress, tally)
        except BaseException:
            # What was done is done, whatever ended it.
            if tally.done and not json:
                _show(root, output, tally)
            raise
        if json:
            _print_json(root, output, tally)
        else:
            _show(root, output, tally)
    if tally.failed:
        raise typer.Exit(SOME_FAILED)


class _Progress:
    """How far the batch is, how fast, and how long it will take, on stderr: a bar, or now and then a line."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._past: deque[tuple[float, int]] = deque()
        self._said = time.monotonic()

    def __enter__(self) -> _Progress:
        if sys.stderr.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("files  {task.description}"))
            # Without redirection: it would send what belongs on stdout to this console, so to stderr.
            self._bar = Progress(
                *columns, console=console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._bar.start()
            self._task = self._bar.add_task("looking", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, tally: Tally) -> None:
        """Show how far it is."""
        now = time.monotonic()
        self._past.append((now, tally.done))
        while now - self._past[0][0] > _RATE_OVER and len(self._past) > 2:
            self._past.popleft()
        if self._bar is not None:
            self._bar.update(self._task, total=tally.total, completed=tally.done, description=self._how(tally))
        elif now - self._said >= _INTERVAL:
            self._said = now
            print(f"{tally.done:,} of {counted(tally.total, 'file')}, {self._how(tally)}", file=sys.stderr, flush=True)

    def _how(self, tally: Tally) -> str:
        (then, before), (now, done) = self._past[0], self._past[-1]
        parts = []
        if done > before and now > then:
            rate = (done - before) / (now - then)
            pace = f"{number(rate)} a second" if rate >= 1 else f"{number(1 / rate)} s a file"
            parts = [pace, f"{_duration((tally.total - done) / rate)} left"]
        if tally.failed:
            parts.append(f"{len(tally.failed):,} failed")
        return ", ".join(parts) or "starting"


def _duration(seconds: float) -> str:
    """Return a time as people say it: ``42 s``, ``3:05 min``, ``12:30 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours = whole // 60, whole // 3600
    return f"{minutes}:{whole % 60:02} min" if minutes < 60 else f"{hours}:{minutes % 60:02} h"


def _show_preview(
    root: Path | str, output: Path | str, tally: Tally, todo: list[tuple[str, str, str]], json: bool
) -> None:
    if json:
        listed = [{"source": source, "result": result, "why": why} for source, result, why in todo]
        print_json({**_summary(root, output, tally), "to_refine": listed})
        return
    out = console()
    for source, result, why in todo[:_MOST_LISTED]:
        both = f"{printable(_inside(root, source))} -> {printable(_inside(output, result))}"
        out.print(f"{both} ({printable(why)})", soft_wrap=True)
    if len(todo) > _MOST_LISTED:
        out.print(f"... and {len(todo) - _MOST_LISTED:,} more; --json lists them all")
    parts = [f"{len(todo):,} to refine", f"{tally.unchanged:,} unchanged", f"{len(tally.failed):,} failed"]
    out.print(f"{counted(tally.total, 'file')}: {', '.join(parts)}; nothing was written")
    _show_rest(tally)


def _inside(place: Path | str, name: str) -> Path | str:
    return place / name if isinstance(place, Path) else f"{place}/{name}"


def _show(root: Path | str, output: Path | str, tally: Tally) -> None:
    out = console()
    out.print(f"{printable(root)} -> {printable(output)}", soft_wrap=True)
    parts = [f"{len(tally.refined):,} refined", f"{tally.unchanged:,} unchanged", f"{len(tally.failed):,} failed"]
    left = tally.total - tally.done
    if left:
        parts.append(f"{left:,} not done")
    took = time.monotonic() - tally.began
    out.print(f"  {counted(tally.total, 'file')}: {', '.join(parts)}; {_duration(took)}")
    reasons = tally.reasons()
    if set(reasons) - {"new"}:
        listed = ", ".join(f"{why} {count:,}" for why, count in reasons.most_common())
        out.print(f"  refined because: {listed}", soft_wrap=True)
    if left:
        out.print(f"  {tally.stopped or 'ended early'}; the same command goes on from here", soft_wrap=True)
    _show_rest(tally)


def _show_rest(tally: Tally) -> None:
    out = console()
    if tally.left_out:
        listed = ", ".join(f"{printable(why)} {len(names):,}" for why, names in sorted(tally.left_out.items()))
        out.print(f"  left out: {listed}", soft_wrap=True)
    if tally.gone:
        out.print(f"  {counted(tally.gone, 'result')} of files that are no longer there: left as they are")
    if tally.broken_lines:
        out.print(f"  the manifest had {counted(tally.broken_lines, 'broken line')}: what was in them is done again")
    sys.stdout.flush()
    for error in list(tally.failed.values())[:_MOST_LISTED]:
        complain(error)
    if len(tally.failed) > _MOST_LISTED:
        complain(f"{len(tally.failed) - _MOST_LISTED:,} more failed; the manifest has them all")


def _print_json(root: Path | str, output: Path | str, tally: Tally) -> None:
    print_json(_summary(root, output, tally))


def _summary(root: Path | str, output: Path | str, tally: Tally) -> dict[str, Any]:
    return {
        "input": str(root),
        "output": str(output),
        "files": tally.total,
        "refined": tally.refined,
        "unchanged": tally.unchanged,
        "failed": [{"source": name, "error": error} for name, error in tally.failed.items()],
        "not_done": tally.total - tally.done,
        "left_out": tally.left_out,
        "results_without_source": tally.gone,
        "seconds": round(time.monotonic() - tally.began, 3),
    }
