"""``smoothnet render``: a video of a motion before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smpl_tools.cli._paths import check_free
from smpl_tools.cli._shared import (
    BODIES,
    about,
    console,
    counted,
    fps_option,
    frame_rate,
    kind_option,
    models_option,
    name_option,
    order_option,
    printable,
)

# Those of smpl_tools.pictures.
SUFFIXES = (".mp4", ".gif", ".webp")
BACKGROUNDS = ("light", "dark")


def _size(value: str) -> str:
    width, cross, height = value.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise typer.BadParameter(f"expected WIDTHxHEIGHT in pixels, such as 1280x720, received {value!r}")
    return value


def render(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="Motion file or folder as captured.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="The same motion refined.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Video to write; the suffix (.mp4, .gif, .webp) says in what form.")
    ],
    groundtruth: Annotated[
        Path | None, typer.Argument(metavar="[GROUNDTRUTH]", help="The true motion, as a third picture.")
    ] = None,
    size: Annotated[
        str, typer.Option(metavar="WxH", help="Pixels; a tall picture has its halves below each other.", callback=_size)
    ] = "1280x720",
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames a second of the video. Default: the motion's, halved until at most 60 (.gif, .webp: 30).",
            callback=frame_rate,
        ),
    ] = None,
    start: Annotated[float, typer.Option(metavar="SECONDS", help="Where in the motion to begin.")] = 0.0,
    end: Annotated[float | None, typer.Option(metavar="SECONDS", help="Where to end. Default: at its end.")] = None,
    speed: Annotated[float, typer.Option(help="0.25 shows a quarter of the speed.")] = 1.0,
    view: Annotated[
        str,
        typer.Option(
            metavar="NAME|DEGREES",
            help="From where: front, side, three-quarter, top, or degrees around the person, 90 from the left.",
        ),
    ] = "three-quarter",
    overlay: Annotated[bool, typer.Option("--overlay", help="Over each other in place of side by side.")] = False,
    trail: Annotated[
        list[str] | None,
        typer.Option(metavar="JOINT", help="Draw the last second of this joint's way; may be repeated."),
    ] = None,
    body: Annotated[
        str | None,
        name_option(BODIES, "Draw a body in place of the skeleton; free needs no model files."),
    ] = None,
    models: Annotated[Path | None, models_option()] = None,
    background: Annotated[str, name_option(BACKGROUNDS, "Of the picture.")] = "light",
    person: Annotated[str | None, typer.Option(metavar="ID", help="Only this person. Default: everybody.")] = None,
    from_fps: Annotated[float | None, fps_option("the files say")] = None,
    kind: Annotated[str | None, kind_option("plain arrays hold")] = None,
    order: Annotated[str | None, order_option()] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing video.")] = False,
) -> None:
    """Draw a motion before and after as a video, side by side.

    Every picture shows one frame of the motions as it is; nothing is interpolated.
    """
    suffix = output.suffix.lower()
    if suffix not in SUFFIXES:
        raise typer.BadParameter(
            f"expected a name ending in {', '.join(SUFFIXES)}, received {output.name!r}", param_hint="--output"
        )
    check_free(output, force)

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from smpl_tools import formats
    from smpl_tools.pictures.film import Choices, Film
    from smpl_tools.pictures.video import MOST_FPS, write_video

    width, _, height = size.lower().partition("x")
    choices = Choices(
        size=(int(width), int(height)),
        fps=fps,
        most_fps=MOST_FPS[suffix],
        start=start,
        end=end,
        speed=speed,
        view=view,
        overlay=overlay,
        person=person,
        trails=tuple(trail or ()),
        background=background,
        body=body,
        models=models,
    )
    paths = [before, after, *([] if groundtruth is None else [groundtruth])]
    motions = [formats.read(path, kind=kind, fps=from_fps, order=order) for path in paths]
    with about(*paths):
        film = Film(motions, choices)
    screen = console(stderr=True)
    columns = (TextColumn("drawing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("left"))
    with Progress(*columns, console=screen, disable=not screen.is_terminal, transient=True) as progress:
        bar = progress.add_task("drawing", total=film.frame_count)
        write_video(output, film.draw, film.frame_count, film.fps, lambda done: progress.update(bar, completed=done))
    out = console()
    out.print(f"{', '.join(printable(path) for path in paths)} -> {printable(output)}", soft_wrap=True)
    assumed = " (30 frames a second assumed; --from-fps says otherwise)" if motions[0].fps is None else ""
    seconds = film.frame_count / film.fps
    out.print(f"  {counted(film.frame_count, 'frame')} of {size}, {film.fps:g} fps, {seconds:.1f} s{assumed}")
