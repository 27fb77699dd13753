"""``smoothnet train``: weights from a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smoothnet_core.training.processes import ACCELERATORS, PRECISIONS, STRATEGIES
from smpl_tools.cli._paths import check_free
from smpl_tools.cli._shared import INTERRUPTED, complain, console, name_option, printable, table


def train(
    config: Annotated[Path | None, typer.Argument(help="YAML configuration.")] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", metavar="NAME", help="A configuration that comes with the program.")
    ] = None,
    list_presets: Annotated[bool, typer.Option("--list-presets", help="Print the presets and exit.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Weights to write; default: CONFIG with .safetensors, or ./NAME."),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            metavar="FOLDER",
            help="Folder that the configuration's paths start from; of several, each by its own --data, the first that "
            "has a path. Default: here.",
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin again, in place of continuing a run that was interrupted.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing weights.")] = False,
    accelerator: Annotated[str, name_option(ACCELERATORS, "What computes.")] = "cpu",
    devices: Annotated[
        int, typer.Option("--devices", min=1, help="GPUs of each machine, or processes on its CPU.")
    ] = 1,
    num_nodes: Annotated[
        int, typer.Option("--num-nodes", min=1, help="Machines; the same command is given on each.")
    ] = 1,
    strategy: Annotated[
        str, name_option(STRATEGIES, "How processes share the work; auto: ddp where there are several.")
    ] = "auto",
    precision: Annotated[
        str, name_option(PRECISIONS, "Bits in which the network computes; 16-mixed on CUDA only.")
    ] = "32",
) -> None:
    """Train a network and write its weights, model card, exact configuration and curves.

    A run that was interrupted continues where it was when the same command is given again.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from smoothnet_core.training.processes import Processes
    from smpl_tools.train_model import run_folder, train_model
    from smpl_tools.train_plan import preset_names, read_plan, read_preset

    if list_presets:
        rows = table("preset", "what", left=2)
        for name in preset_names():
            rows.add_row(name, printable(read_preset(name).about))
        console().print(rows)
        return
    if config is not None and preset is None:
        plan, default = read_plan(config), config.with_suffix(".safetensors")
    elif preset is not None and config is None:
        plan, default = read_preset(preset), Path(f"{preset}.safetensors")
    else:
        raise typer.BadParameter("expected either CONFIG or --preset NAME")
    output = output or default
    if output.suffix != ".safetensors":
        raise ValueError(f"{output}: expected a name that ends in .safetensors, received {output.suffix!r}")
    check_free(output, force)
    screen = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[loss]}"), TimeRemainingColumn())
    try:
        with Progress(*columns, console=screen, disable=not screen.is_terminal, redirect_stdout=False) as progress:
            job = progress.add_task("training", total=None, loss="")

            def report(step: int, steps: int, loss: float) -> None:
                progress.update(job, total=steps, completed=step, loss=f"loss {loss:.4f}")
                if not screen.is_terminal and step % max(1, steps // 10) == 0:
                    screen.print(f"step {step} of {steps}, loss {loss:.4f}")

            how = Processes(accelerator, devices, num_nodes, strategy, precision)
            card = train_model(plan, data or [Path()], output, fresh=fresh, processes=how, report=report)
    except KeyboardInterrupt:
        complain(f"interrupted; the same command goes on from {run_folder(output)}, with --fresh it begins again")
        raise typer.Exit(INTERRUPTED) from None
    if card is not None:
        console().print(card)
