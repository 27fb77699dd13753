"""``smoothnet report`` and ``smoothnet view``: a motion seen before, after and in truth, as a file or from a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smpl_tools.cli._paths import check_free, is_in
from smpl_tools.cli._shared import (
    UNITS,
    about,
    console,
    counted,
    fps_option,
    kind_option,
    name_option,
    order_option,
    printable,
)

if TYPE_CHECKING:
    from smpl_tools.motion import Motion

PersonChoice = Annotated[str | None, typer.Option(metavar="ID", help="Person to show. Default: the first.")]
UnitChoice = Annotated[
    str | None, name_option(UNITS, "Unit of positions in the files. Default: the format's, or told by size.")
]
BodyChoice = Annotated[bool, typer.Option("--body", help="Draw the licence-free body, where there are SMPL poses.")]
BodyModelChoice = Annotated[
    Path | None,
    typer.Option("--body-model", metavar="FILE", help="Draw the body of this SMPL model file of yours instead."),
]
ShareChoice = Annotated[
    bool,
    typer.Option("--share-template", help="Your word that the model's template mesh may be in the page."),
]


def report(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="Motion file or folder as captured.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="The same motion refined.")],
    groundtruth: Annotated[Path | None, typer.Argument(metavar="GROUNDTRUTH", help="The true motion.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")] = Path("report.html"),
    person: PersonChoice = None,
    unit: UnitChoice = None,
    body: BodyChoice = False,
    body_model: BodyModelChoice = None,
    share_template: ShareChoice = False,
    fps: Annotated[float | None, fps_option("the files say")] = None,
    kind: Annotated[str | None, kind_option("plain arrays hold")] = None,
    order: Annotated[str | None, order_option()] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing report (never a motion).")] = False,
) -> None:
    """Write a page that shows a motion before, after and, where there is one, in truth.

    One HTML file that needs no network: a 3D player, and linked to it the tracks of every joint, errors, repaired
    spikes, gaps, foot contacts and metrics.
    """
    check_page(output)
    files = [path for path in (before, after, groundtruth) if path is not None]
    for path in files:
        if is_in(output, path):
            raise typer.BadParameter(f"the output {output} is the input {path} or lies in it; name another")
    check_free(output, force)

    from smpl_tools import formats
    from smpl_tools.report.bodies import check_shared
    from smpl_tools.report.pages import write_report

    check_shared(body_model, share_template)
    motions = [formats.read(path, kind=kind, fps=fps, order=order) for path in files]
    how: dict[str, Any] = {"person": person, "unit": unit, "body": body, "body_model": body_model}
    with about(*files, *([body_model] if body_model else [])):
        size = write_report(output, *motions, share_template=share_template, **how)
    told(output, size, motions[0])


def view(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Motion file or folder to show.")],
    other: Annotated[Path | None, typer.Argument(metavar="FILE2", help="The same motion refined.")] = None,
    person: PersonChoice = None,
    unit: UnitChoice = None,
    body: BodyChoice = False,
    body_model: BodyModelChoice = None,
    fps: Annotated[float | None, fps_option("the files say")] = None,
    kind: Annotated[str | None, kind_option("plain arrays hold")] = None,
    order: Annotated[str | None, order_option()] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of this machine; 0 takes a free one.")] = 8421,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> None:
    """Show a motion in the browser, and again whenever its file changes, until Ctrl-C.

    The page comes from a server that only this machine can reach.
    """
    from smpl_tools import formats
    from smpl_tools.report.server import Files, serve

    paths = tuple(path for path in (file, other) if path is not None)

    def read() -> list[Motion]:
        return [formats.read(path, kind=kind, fps=fps, order=order) for path in paths]

    # A model of the user's own stays on the user's machine.
    how: dict[str, Any] = {"person": person, "unit": unit, "body": body, "body_model": body_model}
    with about(*paths, *([body_model] if body_model else [])):
        files = Files(paths, read, share_template=True, **how)

    def started(address: str) -> None:
        console().print(f"{address}  (Ctrl-C ends it)", soft_wrap=True)
        if not no_browser:
            import webbrowser

            webbrowser.open(address)

    serve(files, port, started)


def check_page(path: Path) -> None:
    """Refuse a name that no browser takes for a page.

    Raises:
        typer.BadParameter: it ends in something else.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"expected a name ending in .html, received {path.name!r}")


def told(output: Path, size: int, motion: Motion) -> None:
    """Print what was written."""
    line = f"{printable(output)}: {counted(motion.frame_count, 'frame')}, {size / 1e6:.1f} MB"
    console().print(line, soft_wrap=True)
