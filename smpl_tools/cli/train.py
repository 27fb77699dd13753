"""``smoothnet train``: weights from a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smpl_tools.cli._paths import check_free
from smpl_tools.cli._shared import console


def train(
    config: Annotated[Path, typer.Argument(help="YAML configuration, such as assets/models/default.yaml.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Weights to write; default: CONFIG with .safetensors.")
    ] = None,
    data: Annotated[Path, typer.Option("--data", help="Folder that the configuration's paths start from.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace existing weights.")] = False,
) -> None:
    """Train a network and write its weights and model card."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from smpl_tools.train_model import read_plan, train_model

    plan = read_plan(config)
    output = config.with_suffix(".safetensors") if output is None else output
    if output.suffix != ".safetensors":
        raise ValueError(f"{output}: expected a name that ends in .safetensors, received {output.suffix!r}")
    check_free(output, force)
    screen = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[loss]}"), TimeRemainingColumn())
    with Progress(*columns, console=screen, disable=not screen.is_terminal, redirect_stdout=False) as progress:
        job = progress.add_task("training", total=None, loss="")

        def report(step: int, steps: int, loss: float) -> None:
            progress.update(job, total=steps, completed=step, loss=f"loss {loss * 1e3:.1f} mm")
            if not screen.is_terminal and step % max(1, steps // 10) == 0:
                screen.print(f"step {step} of {steps}, loss {loss * 1e3:.1f} mm")

        card = train_model(plan, data, output, report=report)
    console().print(card)
