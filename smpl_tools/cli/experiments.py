"""``smoothnet experiments``: the studies, tabulated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smpl_tools.cli._shared import console, table

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from smpl_tools.experiments.frame import Table


def experiments(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Studies to run, in this order. Default: all.")
    ] = None,
    data: Annotated[
        Path, typer.Option("--data", help="Folder that holds paired/ and cmu/cmu_train.npz, as for train.")
    ] = Path(),
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for results.md and results/. Default: docs; with --quick: nothing is written.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE", help="Weights to judge beside the shipped ones, under this name; may be repeated."
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A few clips and steps: only checks that it runs.")] = False,
    show_list: Annotated[bool, typer.Option("--list", help="List the studies and how long they take.")] = False,
) -> None:
    """Run studies on paired data and write docs/results.md.

    The results of a study are stored; a study that is run again replaces its own section.
    """
    from smoothnet_core._checks import one_of
    from smpl_tools.experiments.table import STUDIES

    if show_list:
        listing = table("name", "study", "minutes", left=2)
        for name, study in STUDIES.items():
            listing.add_row(name, study.title, f"{study.minutes:g}")
        console().print(listing)
        return
    chosen = [one_of("study", name, STUDIES) for name in names or STUDIES]
    _run(chosen, data, Path("docs") if output is None and not quick else output, _models(model or []), quick)


def _run(names: list[str], data: Path, output: Path | None, models: dict[str, str], quick: bool) -> None:
    from smpl_tools.experiments.frame import Bench
    from smpl_tools.experiments.store import store
    from smpl_tools.experiments.table import run_study

    progress = console(stderr=True)
    stored = None if output is None else output / "results"
    bench = Bench(data, models, quick, stored, lambda line: progress.print(line, soft_wrap=True))
    screen = console()
    for name in names:
        result = run_study(name, bench)
        if output is not None:
            store(output, name, result, list(models), quick)
        for found in result.tables:
            screen.print(f"{found.title}. {found.protocol}")
            screen.print(_shown(found))
        screen.print(f"Where we lose: {result.losses}\n")


def _shown(found: Table) -> RichTable:
    """Return a table for the terminal: what a group of rows has in common stands in the first of them only."""
    from smpl_tools.experiments.store import text_of

    shown = table(*found.columns, left=sum(decimals is None for decimals in found.columns.values()))
    group = None
    for row in found.rows:
        cells = [text_of(value, decimals) for value, decimals in zip(row, found.columns.values(), strict=True)]
        shown.add_row("" if cells[0] == group else cells[0], *cells[1:])
        group = cells[0]
    return shown


def _models(given: list[str]) -> dict[str, str]:
    models = {"default": "default"}
    for entry in given:
        name, equals, file = entry.partition("=")
        if not (name and equals and file):
            raise typer.BadParameter(f"expected NAME=FILE, received {entry!r}", param_hint="--model")
        models[name] = file
    return models
