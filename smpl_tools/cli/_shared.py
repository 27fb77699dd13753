"""What the commands share: errors of one line, output that carries no markup, numbers as people read them."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import typer

from smpl_tools.plain_json import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

REFUSED = 1
SOME_FAILED = 3
INTERRUPTED = 130

ORDERS = ("interleaved", "columns", "rows")
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254}
BODIES = ("free", "smpl", "smplh", "smplx")
GENDERS = ("neutral", "male", "female")
# Axes that scenes are written with, and those that files may have: -y is a camera's.
UPS = ("y", "z")
KNOWN_UPS = (*UPS, "-y")
KINDS = ("position", "axis_angle", "rotation_matrix", "quat_wxyz", "rotation_6d", "channels")


def printable(text: object) -> str:
    """Return text on one line, control characters and escape sequences spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(str(text).split()))


def complain(error: BaseException | str) -> None:
    """Print ``error: ...``, one line, on stderr."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    elif not text and isinstance(error, BaseException):
        text = "not enough memory" if isinstance(error, MemoryError) else type(error).__name__
    print(f"error: {printable(text)}", file=sys.stderr)


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Make a command report a refusal in one line and exit with status 1, or 130 when interrupted."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except BrokenPipeError:
            # The reader of a pipe has seen enough; Click ends the program quietly.
            raise
        except (ValueError, OSError, ImportError, MemoryError) as error:
            complain(error)
            raise typer.Exit(REFUSED) from None
        except KeyboardInterrupt:
            complain("interrupted")
            raise typer.Exit(INTERRUPTED) from None

    return wrapped


@contextlib.contextmanager
def about(*paths: object) -> Iterator[None]:
    """Begin a ``ValueError`` that names none of these files with the first of them: it is what the error is about."""
    try:
        yield
    except ValueError as error:
        if any(str(path) in str(error) for path in paths):
            raise
        raise ValueError(f"{paths[0]}: {error}") from None


def console(*, stderr: bool = False) -> Console:
    """Return a console that interprets nothing in what it prints."""
    from rich.console import Console

    found = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not found.is_terminal:
        # Nobody's window limits a file or a pipe, where a table cut at 80 columns would be a loss.
        found = Console(stderr=stderr, markup=False, highlight=False, emoji=False, width=200)
    return found


def table(*columns: str, left: int = 1) -> Table:
    """Return an empty table; the first ``left`` columns hold text, the others numbers.

    Columns stand close together, and a name may have two lines, so that a terminal of 80 columns breaks no word.
    """
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for index, name in enumerate(columns):
        made.add_column(name, justify="left" if index < left else "right", overflow="fold")
    return made


def number(value: float | None, unit: str = "") -> str:
    """Return a number with three significant digits and its unit, a dash for None."""
    if value is None or not math.isfinite(value):
        return "-"
    # What is less than this is left over from rounding.
    value = 0.0 if abs(value) < 1e-9 else value
    digits = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}" if digits < 7 else f"{value:.2e}"
    return f"{text} {unit}".rstrip()


def counted(count: int, thing: str) -> str:
    """Return ``1 frame`` or ``2 frames``."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def print_json(document: Any) -> None:
    """Print one JSON document on stdout; numbers that JSON does not know become null."""
    print(json.dumps(plain(document), indent=2, allow_nan=False))


def comma_list(values: list[str] | None) -> list[str]:
    """Return the entries of a repeatable option whose values may also be separated by commas."""
    return [entry.strip() for value in values or [] for entry in value.split(",") if entry.strip()]


def frame_rate(value: float | None) -> float | None:
    """Check the value of ``--fps``."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise typer.BadParameter(f"expected a positive number of frames a second, received {value:g}")
    return value


def share(value: float) -> float:
    """Check the value of ``--strength``."""
    if not 0 <= value <= 1:
        raise typer.BadParameter(f"expected a number from 0 to 1, received {value:g}")
    return value


def one_name_of(known: tuple[str, ...], option: str | None = None) -> Callable[[str | None], str | None]:
    """Return a check that an option's value is one of ``known``; as a callback it knows its option itself."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in known:
            raise typer.BadParameter(f"expected one of {', '.join(known)}, received {value!r}", param_hint=option)
        return value

    return check


def fps_option(says: str) -> Any:
    """Return the option ``--fps``; ``says`` ends its help, e.g. ``the file says``."""
    return typer.Option(help=f"Frames a second, in place of what {says}.", callback=frame_rate)


def kind_option(holds: str) -> Any:
    """Return the option ``--kind``; ``holds`` begins its help, e.g. ``a plain array holds``."""
    return typer.Option(metavar="NAME", help=f"What {holds}: one of {', '.join(KINDS)}.", callback=one_name_of(KINDS))


def order_option() -> Any:
    """Return the option ``--order``, which goes with ``--kind rotation_6d``."""
    text = f"Order of the six numbers of rotation_6d: one of {', '.join(ORDERS)}. Default: columns."
    return typer.Option(metavar="NAME", help=text, callback=one_name_of(ORDERS))


def name_option(known: Iterable[str], text: str) -> Any:
    """Return an option that takes one of a few names, which its help shows."""
    names = tuple(known)
    return typer.Option(metavar="|".join(names), help=text, callback=one_name_of(names))


def models_option() -> Any:
    """Return the option ``--models``."""
    text = "Folder of your SMPL model files; default: $SMOOTHNET_BODY_MODELS, then the usual places."
    return typer.Option(help=text)


def from_up_option() -> Any:
    """Return the option ``--from-up``."""
    text = "Axis that points up in the input, in place of what is known; -y: a camera's."
    return name_option(KNOWN_UPS, text)
