"""The course of a training run: a table, and TensorBoard's event files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from smoothnet_core._checks import require
from smoothnet_core._writing import replace_file

CURVES_FILE = "curves.csv"
EVENTS_FOLDER = "tensorboard"


class Row(NamedTuple):
    """One point of the curves.

    Attributes:
        step: optimiser steps done.
        loss: running mean of the loss.
        learning_rate: of this step.
        score: selection score, lower is better; None where none was taken at this step.
    """

    step: int
    loss: float
    learning_rate: float
    score: float | None


def write_curves(folder: Path, curve: Sequence[Row]) -> None:
    """Write ``curves.csv``: one line a row, the score empty where there is none.

    Raises:
        ValueError: it cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(Row._fields)
    table.writerows(curve)
    replace_file(folder / CURVES_FILE, text.getvalue().encode("ascii"))


@contextmanager
def events(folder: Path, after: int) -> Iterator[Any]:
    """Open TensorBoard's writer; of what it wrote in an earlier attempt nothing beyond step ``after`` is shown.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """
    require("tensorboard", "train")
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / EVENTS_FOLDER), purge_step=after + 1)
    try:
        yield writer
    finally:
        writer.close()


def add_events(writer: Any, row: Row) -> None:
    """Write one row to TensorBoard."""
    writer.add_scalar("loss", row.loss, row.step)
    writer.add_scalar("learning rate", row.learning_rate, row.step)
    if row.score is not None:
        writer.add_scalar("selection score", row.score, row.step)
