"""``smoothnet refine``: motion files in, refined motion files of the same formats out."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smpl_tools.cli._paths import check_free, plan
from smpl_tools.cli._shared import (
    SOME_FAILED,
    comma_list,
    complain,
    console,
    counted,
    fps_option,
    kind_option,
    number,
    one_name_of,
    order_option,
    print_json,
    printable,
    share,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from smpl_tools.contacts.keep_motion import PersonContacts
    from smpl_tools.refine_motion import MotionReport

METHODS = ("smoothnet", "repair", "one-euro", "savgol", "gaussian", "butterworth", "median", "kalman")
BACKENDS = ("auto", "numpy", "torch")
JUDGES = ("rotations", "joints")
PARTS = ("root", "body", "hands", "face", "shape", "camera")
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
    method: Annotated[
        str,
        typer.Option(metavar="NAME", help=f"One of {', '.join(METHODS)}.", callback=one_name_of(METHODS)),
    ] = "smoothnet",
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE", help="Shipped model or file of weights; for smoothnet only. Default: default."
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"{', '.join(BACKENDS)}; for smoothnet only. Default: auto.",
            callback=one_name_of(BACKENDS),
        ),
    ] = None,
    judge: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What rotations are refined by: rotations, each by itself, or joints, where they place them.",
            callback=one_name_of(JUDGES),
        ),
    ] = "rotations",
    strength: Annotated[
        float, typer.Option(help="From 0, which leaves the motion as it is, to 1.", callback=share)
    ] = 1.0,
    fps: Annotated[float | None, fps_option("the file says")] = None,
    kind: Annotated[str | None, kind_option("a plain array holds")] = None,
    order: Annotated[str | None, order_option()] = None,
    parts: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMES", help=f"Comma-separated, of {', '.join(PARTS)}. Default: root,body."),
    ] = None,
    person: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Refine only this person; may be repeated.")
    ] = None,
    keep_contacts: Annotated[
        bool, typer.Option("--keep-contacts", help="Keep feet that stand on the ground in place.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Refine motions and write them in their own formats.

    The inputs stay as they are. With several inputs the others are done when one fails, and the exit status is 3.
    """
    if method != "smoothnet" and (model is not None or backend is not None):
        raise typer.BadParameter(f"--model and --backend go with --method smoothnet, not with {method}")
    chosen = comma_list(parts) or ["root", "body"]
    for part in chosen:
        one_name_of(PARTS, "--parts")(part)
    outputs = plan(inputs, output)

    from smoothnet_core import load_model

    settings: dict[str, Any] = {"method": method, "judge": judge, "strength": strength}
    settings |= {"parts": chosen, "person": person or None}
    if method == "smoothnet":
        # Once for all inputs; and a model that is not there is no fault of theirs.
        settings |= {"model": load_model(model or "default"), "backend": backend or "auto"}
    if output is not None and len(inputs) > 1:
        output.mkdir(exist_ok=True)

    done, failed = [], []
    with _Bar(len(inputs)) as bar:
        for source, target in zip(inputs, outputs, strict=True):
            try:
                report, feet, notes = _refine_one(
                    source, target, force, kind, order, fps, settings, keep_contacts, bar.start(source)
                )
            except (ValueError, OSError, ImportError, MemoryError) as error:
                if len(inputs) == 1 and not json:
                    raise
                with bar.hidden():
                    complain(error)
                failed.append({"input": str(source), "error": str(error)})
                continue
            kept = [one.as_dict() for one in feet]
            done.append({"input": str(source), "output": str(target), **report.as_dict(), "feet": kept, "notes": notes})
            if not json:
                with bar.hidden():
                    _show(source, target, report, feet, notes)
    if json:
        print_json({"refined": done, "failed": failed})
    if failed:
        raise typer.Exit(SOME_FAILED if len(inputs) > 1 else 1)


def _refine_one(
    source: Path,
    target: Path,
    force: bool,
    kind: str | None,
    order: str | None,
    fps: float | None,
    settings: dict[str, Any],
    keep_contacts: bool,
    progress: Callable[[float], None],
) -> tuple[MotionReport, tuple[PersonContacts, ...], tuple[str, ...]]:
    from smpl_tools import formats
    from smpl_tools.refine_motion import refine_motion

    # Before the work, and once more before writing: the work can take long.
    check_free(target, force)
    motion = formats.read(source, kind=kind, fps=fps, order=order, mapped=True)
    feet: tuple[PersonContacts, ...] = ()
    remarks: tuple[str, ...] = ()
    with formats.rewriting(motion, target) as file:
        refined, report = refine_motion(motion, progress=progress, out=file.out, **settings)
        if keep_contacts:
            from smpl_tools.contacts.keep_motion import keep_contacts_motion

            refined, feet, remarks = keep_contacts_motion(refined, person=settings["person"], fps=fps)
        check_free(target, force)
        file.write(refined)
    return report, feet, (*motion.notes, *remarks)


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
