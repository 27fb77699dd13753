"""``smoothnet refine``: motion files in, refined motion files of the same formats out."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smpl_tools.cli._paths import check_free, is_in, plan
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
from smpl_tools.cli._shared import (
    SOME_FAILED,
    about,
    complain,
    console,
    counted,
    number,
    print_json,
    printable,
    table,
)
from smpl_tools.cli.report import check_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from smpl_tools.contacts.keep_motion import PersonContacts
    from smpl_tools.refine_file import RefinedFile
    from smpl_tools.refine_motion import MotionReport

# A longer table says no more to a reader; --json has all of it.
_MOST_ROWS = 24


def refine(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT", help="Motion files or folders.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File to write, or folder for several inputs; default: NAME.refined.EXT beside each."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing outputs (never an input).")] = False,
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
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write an HTML page that shows what was done to one input."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Refine motions and write them in their own formats.

    The inputs stay as they are. With several inputs the others are done when one fails, and the exit status is 3.
    """
    outputs = plan(inputs, output)
    if report is not None:
        _check_report(report, inputs, outputs, force)
    settings = refining(method, model, backend, judge, strength, fps, kind, order, parts, person, keep_contacts)
    if output is not None and len(inputs) > 1:
        output.mkdir(exist_ok=True)

    done, failed = [], []
    with _Bar(len(inputs)) as bar:
        for source, target in zip(inputs, outputs, strict=True):
            try:
                became = _refine_one(source, target, force, settings, bar.start(source))
                if report is not None:
                    _write_report(report, source, target, force, settings)
            except (ValueError, OSError, ImportError, MemoryError) as error:
                if len(inputs) == 1 and not json:
                    raise
                with bar.hidden():
                    complain(error)
                failed.append({"input": str(source), "error": str(error)})
                continue
            paths = {"input": str(source), "output": str(target)} | ({"page": str(report)} if report else {})
            done.append({**paths, **became.as_dict()})
            if not json:
                with bar.hidden():
                    _show(source, target, became.report, became.feet, became.notes)
                    if report is not None:
                        console().print(f"  report: {printable(report)}", soft_wrap=True)
    if json:
        print_json({"refined": done, "failed": failed})
    if failed:
        raise typer.Exit(SOME_FAILED if len(inputs) > 1 else 1)


def _refine_one(
    source: Path, target: Path, force: bool, settings: dict[str, Any], progress: Callable[[float], None]
) -> RefinedFile:
    from smpl_tools.refine_file import refine_file

    # Before the work, and once more before writing: the work can take long.
    check_free(target, force)
    return refine_file(source, target, before_writing=lambda: check_free(target, force), progress=progress, **settings)


def _check_report(report: Path, inputs: list[Path], outputs: list[Path], force: bool) -> None:
    """Refuse a report before the work that it would be about."""
    check_page(report)
    if len(inputs) > 1:
        raise typer.BadParameter(f"--report shows one motion: expected one input, received {len(inputs)}")
    for path in (*inputs, *outputs):
        if is_in(report, path):
            raise typer.BadParameter(f"the report {report} is the motion {path} or lies in it; name another")
    check_free(report, force)


def _write_report(report: Path, source: Path, target: Path, force: bool, settings: dict[str, Any]) -> None:
    from smpl_tools import formats
    from smpl_tools.report.pages import write_report

    reading = {name: settings[name] for name in ("kind", "fps", "order")}
    before, after = (formats.read(path, **reading) for path in (source, target))
    people = settings["person"]
    check_free(report, force)
    with about(source, target, report):
        write_report(report, before, after, person=people[0] if people else None)


class _Bar:
    """A progress bar on stderr, shown only where that is a terminal."""

    def __init__(self, inputs: int) -> None:
        self._inputs = inputs
        self._started = 0
        self._progress: Any = None

    def __enter__(self) -> _Bar:
        if sys.stderr.isatty():
            from rich.progress import Progress

            # Without redirection: it would send what belongs on stdout to this console, so to stderr.
            self._progress = Progress(
                console=console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._progress.start()
            self._task = self._progress.add_task("", total=float(self._inputs))
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def start(self, source: Path) -> Callable[[float], None]:
        """Begin the next input; the result takes the fraction of it that is done."""
        before = self._started
        self._started += 1
        if self._progress is None:
            return lambda fraction: None
        self._progress.update(self._task, description=printable(source.name), completed=before)
        return lambda fraction: self._progress.update(self._task, completed=before + fraction)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Take the bar off the screen while other lines are printed."""
        if self._progress is not None:
            self._progress.stop()
        yield
        if self._progress is not None:
            self._progress.start()


def _show(
    source: Path, target: Path, report: MotionReport, feet: tuple[PersonContacts, ...], notes: tuple[str, ...]
) -> None:
    """Print what was done to one file."""
    several = len({t.person for t in report.tracks}) > 1
    lengths = {t.frames for t in report.tracks}
    uneven = len(lengths) > 1
    columns = ["person"] * several + ["track"] + ["frames"] * uneven
    columns += ["filled", "jitter\nbefore", "jitter\nafter", "", "speed\nkept", "largest\nchange", "in\nframe"]
    rows = table(*columns, left=1 + several)
    for track in report.tracks[:_MOST_ROWS]:
        change = number(track.largest_change, track.unit)
        kept = "-" if track.speed_kept is None else f"{track.speed_kept:.1%}"
        values = [
            printable(track.track),
            *[str(track.frames)] * uneven,
            str(track.filled_frames),
            number(track.jitter_before),
            number(track.jitter_after),
            f"{track.unit}/s²",
            kept,
            change,
            str(track.largest_change_frame) if track.largest_change else "-",
        ]
        rows.add_row(*([printable(track.person)] if several else []), *values)

    out = console()
    out.print(f"{printable(source)} -> {printable(target)}", soft_wrap=True)
    how = f"{report.method}, model {printable(report.model)}" if report.model else report.method
    how += ", judged at the joints" if report.judge == "joints" else ""
    assumed = " (assumed: the file does not say; set --fps)" if report.fps_assumed else ""
    frames = "" if uneven or not lengths else f"{counted(lengths.pop(), 'frame')}, "
    out.print(f"  {how}, strength {report.strength:g}, {frames}{report.fps:g} fps{assumed}", soft_wrap=True)
    if report.tracks:
        out.print(rows)
    elif not report.unobserved:
        out.print("  no frames: nothing to refine")
    if len(report.tracks) > _MOST_ROWS:
        out.print(f"  ... and {len(report.tracks) - _MOST_ROWS} more tracks; --json lists them all")
    for one in feet[:_MOST_ROWS]:
        who = f"person {printable(one.person)}: " if len(feet) > 1 else ""
        standing = max(one.contact.values(), default=0.0)
        slide = f"{number(one.slide_before, 'mm/s')} before, {number(one.slide_after, 'mm/s')} after"
        moved = f"moved by {number(one.largest_change, 'mm')} at most"
        told = "no foot stands" if one.slide_before is None else f"slide {slide}; {moved}"
        out.print(f"  feet: {who}on the ground in up to {standing:.0%} of the frames; {told}", soft_wrap=True)
    if report.bridged_frames:
        out.print(f"  {counted(report.bridged_frames, 'missing frame')} bridged")
    if report.splits:
        out.print(f"  {counted(report.splits, 'longer absence')}: what lies before and after was refined separately")
    for name in report.unobserved:
        out.print(f"  {printable(name)}: no value at all, left as it is", soft_wrap=True)
    for name in report.unknown:
        out.print(f"  {printable(name)}: not 3D joints that the model knows, left as it is", soft_wrap=True)
    for note in notes:
        out.print(f"  note: {printable(note)}", soft_wrap=True)
