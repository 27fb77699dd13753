"""How figures look, and how they are written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smoothnet_core._checks import one_of
from smpl_tools.formats._files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
# Inches: a column of a paper with two, and the page's text.
WIDTHS = {"column": 3.3, "page": 6.9}
# Okabe and Ito's palette: told apart by every kind of colour vision.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
# Light, dark and black: told apart in grey as well.
BEFORE, AFTER, TRUTH = COLOURS[0], COLOURS[4], "#222222"
MARKERS = "osD^vPX<>ph"
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.0,
}
# Letters travel with the figure: as TrueType in PDF, which printers ask for, and as outlines in SVG.
_WRITTEN: dict[Any, Any] = {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "smoothnet"}
# Without the time, the same figure is the same file.
_METADATA: dict[str, dict[str, Any]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


def save(figure: Figure, path: Path, *, dpi: int = 200) -> None:
    """Write a figure as PNG, PDF or SVG by the name's suffix, whole or not at all.

    Raises:
        ValueError: another suffix, or nothing can be written there.
    """
    import matplotlib as mpl

    suffix = one_of("suffix of a figure", path.suffix.lower(), SUFFIXES)
    drawn = io.BytesIO()
    with mpl.rc_context(_WRITTEN):
        figure.savefig(drawn, format=suffix[1:], dpi=dpi, metadata=_METADATA.get(suffix))
    with replacing(path) as file:
        file.write(drawn.getvalue())


def plain(text: str) -> str:
    """Return text in which nothing starts a formula."""
    return text.replace("$", r"\$")
