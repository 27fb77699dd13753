"""``smoothnet plot``: figures of a motion before and after, and of how accurate results are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smpl_tools.cli._paths import check_free
from smpl_tools.cli._shared import about, fps_option, kind_option, name_option, order_option

# Those of smpl_tools.pictures.style.
SUFFIXES = (".png", ".pdf", ".svg")
WIDTHS = ("column", "page")
FIGURES = ("overview", "track", "accuracy")


def plot(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="BEFORE AFTER [GROUNDTRUTH]",
            help="Motion files or folders. For accuracy: RESULT... GROUNDTRUTH, or the JSON of a study.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Figure to write; the suffix (.png, .pdf, .svg) says in what form.")
    ],
    figure: Annotated[
        str,
        name_option(
            FIGURES,
            "overview: a joint's coordinates, its derivatives, and poses; track: a joint for a column of a paper; "
            "accuracy: errors against the speed that is kept.",
        ),
    ] = "overview",
    width: Annotated[
        str | None, name_option(WIDTHS, "Of track and accuracy: 3.3 or 6.9 inches. Default: column.")
    ] = None,
    joint: Annotated[
        str | None, typer.Option(metavar="NAME", help="Joint to show. Default: the one that jitters most.")
    ] = None,
    person: Annotated[str | None, typer.Option(metavar="ID", help="Person to show. Default: the first.")] = None,
    start: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Where track begins. Default: the three seconds from which most jitter went."
        ),
    ] = None,
    end: Annotated[float | None, typer.Option(metavar="SECONDS", help="Where track ends.")] = None,
    fps: Annotated[float | None, fps_option("the files say")] = None,
    kind: Annotated[str | None, kind_option("plain arrays hold")] = None,
    order: Annotated[str | None, order_option()] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing figure.")] = False,
) -> None:
    """Draw a motion before and after, or how accurate results are against the speed that they keep."""
    if output.suffix.lower() not in SUFFIXES:
        raise typer.BadParameter(
            f"expected a name ending in {', '.join(SUFFIXES)}, received {output.name!r}", param_hint="--output"
        )
    stored = figure == "accuracy" and len(files) == 1 and files[0].suffix.lower() == ".json"
    if figure == "accuracy" and not stored and len(files) < 2:
        raise typer.BadParameter("accuracy: expected RESULT... GROUNDTRUTH or the JSON of a study, received one file")
    if figure != "accuracy" and len(files) not in (2, 3):
        raise typer.BadParameter(f"{figure}: expected BEFORE AFTER [GROUNDTRUTH], received {len(files)}")
    if figure != "track" and (start is not None or end is not None):
        raise typer.BadParameter("--start and --end go with --figure track")
    if figure == "overview" and width is not None:
        raise typer.BadParameter("--width goes with --figure track and accuracy")
    if figure == "accuracy" and (joint is not None or person is not None):
        raise typer.BadParameter("--joint and --person go with --figure overview and track")
    check_free(output, force)

    from smpl_tools import formats
    from smpl_tools.pictures.accuracy import accuracy_figure, results_of, stored_results
    from smpl_tools.pictures.overview import before_after
    from smpl_tools.pictures.style import save
    from smpl_tools.pictures.track import track_figure

    if stored:
        save(accuracy_figure(stored_results(files[0]), width=width or "column"), output)
        return
    motions = [formats.read(path, kind=kind, fps=fps, order=order) for path in files]
    with about(*files):
        if figure == "accuracy":
            made = accuracy_figure(results_of(motions[:-1], motions[-1]), width=width or "column")
        elif figure == "track":
            made = track_figure(*motions, joint=joint, person=person, start=start, end=end, width=width or "column")
        else:
            made = before_after(*motions, joint=joint, person=person)
    save(made, output)
