"""Accuracy against speed: how wrong results are, and how much of the movement they keep."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smoothnet_core._checks import mismatch, one_of, require
from smpl_tools.evaluation import evaluate_motions
from smpl_tools.formats._files import read_bytes
from smpl_tools.motion import Motion
from smpl_tools.pictures.style import COLOURS, MARKERS, STYLE, WIDTHS, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPEED = "speed ratio"
# Where the worst is so many times as wrong as the best, the axis is logarithmic.
_WIDE = 2.5
# Headings of the studies' tables, and what they are called here; the first of each that a table has is drawn.
_MEASURES = (
    (r"MPJPE (mm|px)|geodesic degrees|hands and feet mm|MPJPE-1% mm", "error"),
    (r"Accel (mm|px)/frame²|Accel-1% mm/frame²", "acceleration"),
)
_OF_FILES = {
    "mpjpe_mm": "MPJPE (mm)",
    "error_px": "MPJPE (px)",
    "accel_mm_per_frame2": "Accel (mm/frame²)",
    "accel_px_per_frame2": "Accel (px/frame²)",
}
# Columns that say what was refined how, and not on what.
_NO_PANELS = ("refiner", "setting", "filter", "strategy")


@dataclass(frozen=True)
class Result:
    """A point of the figure.

    Attributes:
        name: points of the same name look alike and have one line in the legend.
        values: by measure.
        ours: is drawn hollow and black, over the others.
    """

    name: str
    values: Mapping[str, float]
    ours: bool = False


def results_of(results: Sequence[Motion], truth: Motion) -> dict[str, list[Result]]:
    """Return the errors of motions against the truth, as ``evaluate_motions`` measures them, in one panel.

    Raises:
        ValueError: a motion does not belong to the truth.
    """
    found = []
    names = _names([motion.path or Path(motion.format) for motion in results])
    for motion, name in zip(results, names, strict=True):
        try:
            values = evaluate_motions(motion, truth)["metrics"]
        except ValueError as error:
            raise ValueError(f"{motion.path}: {error}") from None
        named = {label: values[key] for key, label in _OF_FILES.items() if values.get(key) is not None}
        if values["speed_ratio"] is None:
            raise mismatch(f"{motion.path}: speed against the truth's", "a number", "none: too few frames")
        found.append(Result(name, {SPEED: values["speed_ratio"], **named}))
    return {"": found}


def _names(paths: Sequence[Path]) -> list[str]:
    """Return names that tell files apart: without endings, and without folders where these do not differ."""
    names = [path.stem for path in paths]
    names = [f"{p.parent.name}/{name}" if names.count(name) > 1 else name for p, name in zip(paths, names, strict=True)]
    return [name if names.count(name) == 1 else str(path) for path, name in zip(paths, names, strict=True)]


def stored_results(path: Path) -> dict[str, list[Result]]:
    """Return the results of a study by what they were measured on, from a JSON that ``experiments`` wrote.

    Raises:
        ValueError: it is no such file, or it has no table with speeds and errors.
    """
    wanted = "the JSON of a study with a table of speed and errors"
    try:
        tables = json.loads(read_bytes(path).decode())["tables"]
        for table in tables:
            names = [str(name) for name, _ in table["columns"]]
            chosen = [next((n for n in names if re.fullmatch(pattern, n)), None) for pattern, _ in _MEASURES]
            if "speed" in names and any(chosen):
                return _of_table(names, [dict(zip(names, row, strict=True)) for row in table["rows"]], chosen)
    except (ValueError, TypeError, KeyError) as error:
        raise mismatch(f"{path}", wanted, f"{type(error).__name__} in it") from None
    raise mismatch(f"{path}", wanted, "none such")


def _of_table(names: list[str], rows: list[dict[str, Any]], chosen: list[str | None]) -> dict[str, list[Result]]:
    who = next((name for name in _NO_PANELS if name in names), names[0])
    where = next((n for n in names if n not in _NO_PANELS and all(isinstance(row[n], str) for row in rows)), None)
    panels: dict[str, list[Result]] = {}
    for row in rows:
        values = {SPEED: row["speed"], **{_axis_label(name): row[name] for name in chosen if name is not None}}
        if None not in values.values():
            text = str(row[who])
            found = Result(text.strip("*` "), values, ours=text.startswith("**"))
            panels.setdefault("" if where is None else str(row[where]), []).append(found)
    return panels


def _axis_label(heading: str) -> str:
    quantity, _, unit = heading.rpartition(" ")
    return f"{quantity} ({unit})"


def accuracy_figure(panels: Mapping[str, Sequence[Result]], *, width: str = "column") -> Figure:
    """Draw errors over the speed that is kept: right is alive, low is right.

    Args:
        panels: of :func:`results_of` or :func:`stored_results`.
        width: one of ``WIDTHS``; a row for each panel in a column, a column for each on a page.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require("matplotlib", "report")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    inches = WIDTHS[one_of("width", width, WIDTHS)]
    measures = list(dict.fromkeys(m for results in panels.values() for r in results for m in r.values if m != SPEED))
    across = width == "page"
    counts = (len(measures), len(panels)) if across else (len(panels), len(measures))
    with mpl.rc_context(STYLE):
        everything = [result for results in panels.values() for result in results]
        names = dict.fromkeys(r.name for r in sorted(everything, key=lambda r: r.ours))
        rows = math.ceil(len(names) / _legend_columns(inches, names))
        figure = Figure(figsize=(inches, 1.75 * counts[0] + 0.17 * rows), layout="constrained")
        grid = figure.subplots(*counts, squeeze=False, sharex=True)
        for p, (title, results) in enumerate(panels.items()):
            for m, measure in enumerate(measures):
                axes = grid[m, p] if across else grid[p, m]
                draw_results(axes, results, SPEED, measure, list(names))
                if max(values := [r.values[measure] for r in results]) > _WIDE * min(values) > 0:
                    _logarithmic(axes)
                axes.set_ylabel(measure if not across or p == 0 else "")
                if title and (m == 0):
                    axes.set_title(plain(title), loc="left")
                if m == len(measures) - 1 if across else p == len(panels) - 1:
                    axes.set_xlabel(SPEED)
        legend_below(figure, grid.flat, names)
    return figure


def _logarithmic(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def draw_results(axes: Axes, results: Sequence[Result], x: str, y: str, names: Sequence[str]) -> None:
    """Draw results as points, those of ours hollow and over the others.

    Args:
        axes: to draw into.
        results: with values of both measures.
        x: measure along the horizontal axis, a ratio to the truth's.
        y: measure along the vertical axis.
        names: of all results of the figure, whose order says how each looks.
    """
    axes.axvline(1.0, color="0.8", linewidth=0.8, zorder=0)
    for place, name in enumerate(names):
        for ours in (False, True):
            own = [r for r in results if r.name == name and r.ours == ours]
            if not own:
                continue
            points = np.array([[r.values[x], r.values[y]] for r in own], np.float64)
            look: dict[str, Any] = {"marker": MARKERS[place % len(MARKERS)], "linestyle": "", "label": plain(name)}
            if ours:
                look |= {"color": "black", "markerfacecolor": "none", "markersize": 6, "zorder": 3}
            else:
                look |= {"color": COLOURS[place % len(COLOURS)], "markersize": 3.5, "markeredgecolor": "0.25"}
                look |= {"markeredgewidth": 0.3}
            axes.plot(*points.T, **look)
    axes.margins(0.1)


def legend_below(figure: Figure, panels: Any, names: Iterable[str]) -> None:
    """Put one legend of all panels below them, in the order of ``names``."""
    handles: dict[str, Any] = {}
    for axes in panels:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    labels = [plain(name) for name in names if plain(name) in handles]
    columns = _legend_columns(figure.get_figwidth(), labels)
    lines = [handles[label] for label in labels]
    figure.legend(lines, labels, loc="outside lower center", ncols=columns, frameon=False)


def _legend_columns(inches: float, names: Iterable[str]) -> int:
    # A mark, and letters of seven points.
    return max(1, min(8, int(inches / (0.4 + 0.054 * max(map(len, names))))))
