"""``smoothnet plot``: a figure of a motion before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smpl_tools.cli._paths import check_free
from smpl_tools.cli._shared import about, fps_option, kind_option, order_option

SUFFIXES = (".png", ".pdf", ".svg")


def plot(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="Motion file or folder as captured.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="The same motion refined.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Figure to write; the suffix (.png, .pdf, .svg) says in what form.")
    ],
    joint: Annotated[
        str | None, typer.Option(metavar="NAME", help="Joint to show. Default: the one that jitters most.")
    ] = None,
    person: Annotated[str | None, typer.Option(metavar="ID", help="Person to show. Default: the first.")] = None,
    fps: Annotated[float | None, fps_option("the files say")] = None,
    kind: Annotated[str | None, kind_option("plain arrays hold")] = None,
    order: Annotated[str | None, order_option()] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing figure.")] = False,
) -> None:
    """Draw a motion before and after.

    The track of one joint, its speed and acceleration, and consecutive poses drawn over each other.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise typer.BadParameter(
            f"expected a name ending in {', '.join(SUFFIXES)}, received {output.name!r}", param_hint="--output"
        )
    check_free(output, force)

    from smpl_tools import formats
    from smpl_tools.plotting import before_after, save

    motions = [formats.read(path, kind=kind, fps=fps, order=order) for path in (before, after)]
    with about(before, after):
        figure = before_after(*motions, joint=joint, person=person)
    save(figure, output)
