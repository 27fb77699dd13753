"""Where refined motions are written, decided before anything is read: inputs are never modified."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import typer


def plan(inputs: Sequence[Path], output: Path | None) -> list[Path]:
    """Return the output of every input.

    Without ``output`` it is ``NAME.refined.EXT`` beside the input. Several inputs go into the folder ``output`` under
    their own names, and so does a single file where ``output`` is an existing folder.

    Raises:
        typer.BadParameter: ``output`` cannot take several inputs, two would be written to one place, or an output is
            an input or lies in one.
    """
    if output is None:
        outputs = [_beside(path) for path in inputs]
    elif len(inputs) > 1:
        if output.exists() and not output.is_dir():
            raise typer.BadParameter(f"--output: expected a folder for several inputs, received the file {output}")
        outputs = [output / _named(path).name for path in inputs]
    elif output.is_dir() and not inputs[0].is_dir():
        outputs = [output / _named(inputs[0]).name]
    else:
        outputs = [output]

    taken: dict[str, Path] = {}
    for source, target in zip(inputs, outputs, strict=True):
        real = os.path.realpath(target)
        if real in taken:
            raise typer.BadParameter(f"{taken[real]} and {source} would both be written to {target}")
        taken[real] = source
        for other in inputs:
            if is_in(target, other):
                raise typer.BadParameter(f"the output {target} is the input {other} or lies in it; name another")
    return outputs


def check_free(target: Path, force: bool) -> None:
    """Refuse to replace an existing output unless told to.

    Raises:
        ValueError: ``target`` exists and ``force`` is false.
    """
    if not force and os.path.lexists(target):
        raise ValueError(f"{target}: exists already; add --force to replace it")


def _named(path: Path) -> Path:
    # "." and ".." have no name of their own.
    return path if path.name not in ("", "..") else path.resolve()


def _beside(path: Path) -> Path:
    path = _named(path)
    if path.is_dir():
        return path.with_name(f"{path.name}.refined")
    return path.with_name(f"{path.stem}.refined{path.suffix}")


def is_in(target: Path, source: Path) -> bool:
    """Tell whether a path is, or lies in, another one that exists."""
    if target.exists() and source.exists() and target.samefile(source):
        return True
    real, folder = Path(os.path.realpath(target)), Path(os.path.realpath(source))
    return real == folder or folder in real.parents
