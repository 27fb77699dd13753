"""The program ``smoothnet``."""

from __future__ import annotations

import ctypes
import io
import signal
import sys
import warnings
from typing import TYPE_CHECKING, Annotated

import typer

from smoothnet_core import __version__
from smpl_tools.cli._shared import INTERRUPTED, complain, one_line_errors
from smpl_tools.cli.batch import batch
from smpl_tools.cli.convert import convert
from smpl_tools.cli.evaluate import evaluate
from smpl_tools.cli.experiments import experiments
from smpl_tools.cli.fit import fit
from smpl_tools.cli.formats import formats
from smpl_tools.cli.info import info
from smpl_tools.cli.mesh import mesh
from smpl_tools.cli.models import models
from smpl_tools.cli.pairs import pairs
from smpl_tools.cli.plot import plot
from smpl_tools.cli.refine import refine
from smpl_tools.cli.render import render
from smpl_tools.cli.report import report, view
from smpl_tools.cli.stream import stream
from smpl_tools.cli.train import train

if TYPE_CHECKING:
    _UsageError = typer.BadParameter
else:
    # Typer brings its own Click or imports it, by its version; this base class is of the right one.
    _UsageError = typer.BadParameter.__mro__[1]

app = typer.Typer(
    help="Refine captured human motion: less jitter and less error, in the file format it came in.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(show: bool) -> None:
    if show:
        print(f"smoothnet {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Refine captured human motion: less jitter and less error, in the file format it came in."""
    if context.invoked_subcommand is None:
        print(context.get_help())


_COMMANDS = [
    refine,
    batch,
    convert,
    fit,
    mesh,
    info,
    formats,
    models,
    evaluate,
    plot,
    render,
    report,
    view,
    train,
    experiments,
    pairs,
    stream,
]
for _command in _COMMANDS:
    app.command()(one_line_errors(_command))


def main(arguments: list[str]) -> int:
    """Run one command.

    Returns:
        0; 1 where an input was refused; 2 wrong usage; 3 where some of several inputs failed; 130 interrupted.
    """
    try:
        status = app(arguments, prog_name="smoothnet", standalone_mode=False)
    except _UsageError as error:
        context = getattr(error, "ctx", None)
        program = context.command_path if context is not None else "smoothnet"
        complain(f"{error.format_message().rstrip('.')} (see {program} --help)")
        return 2
    except (typer.Abort, KeyboardInterrupt):
        complain("interrupted")
        return INTERRUPTED
    return status if isinstance(status, int) else 0


def _terminated(number: int, _: object) -> None:
    # An exception, so that unfinished files are removed on the way out.
    sys.exit(128 + number)


# Names of glibc's mallopt: how much free memory at its end, and arrays from what size on, go back to the system.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def _keep_memory() -> None:
    """Keep memory that was freed for the next array: to give it back and be given it anew takes a third of the time."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        # Not glibc.
        return
    mallopt(_M_MMAP_THRESHOLD, 2**30)
    mallopt(_M_TRIM_THRESHOLD, 2**30)


def run() -> None:
    """Run the program on its command line and exit with the status of ``main``."""
    signal.signal(signal.SIGTERM, _terminated)
    for text in (sys.stdout, sys.stderr):
        # A file name that the output's encoding does not know must not stop a job that is done.
        if isinstance(text, io.TextIOWrapper):
            text.reconfigure(errors="backslashreplace")
    # What NumPy remarks on numbers out of range is for who writes programs.
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    _keep_memory()
    sys.exit(main(sys.argv[1:]))
