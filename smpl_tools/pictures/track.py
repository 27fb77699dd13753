"""A joint's track before and after, as wide as a column of a paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from smoothnet_core._checks import mismatch, one_of, require
from smpl_tools.motion import Motion
from smpl_tools.pictures.compared import Curves, compared, curves_of, zoom
from smpl_tools.pictures.overview import spread_out
from smpl_tools.pictures.style import AFTER, BEFORE, STYLE, TRUTH, WIDTHS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What of a longer take is shown, unless it is said.
_SECONDS, _FRAMES = 3.0, 90
# In grey, light and dark; the truth also by its dashes.
_LINES: dict[str, dict[str, Any]] = {
    "before": {"color": BEFORE, "linewidth": 0.9},
    "after": {"color": AFTER, "linewidth": 1.3},
    "truth": {"color": TRUTH, "linewidth": 0.9, "linestyle": (0, (2.5, 1.5))},
}


def track_figure(
    before: Motion,
    after: Motion,
    truth: Motion | None = None,
    *,
    joint: str | None = None,
    person: str | None = None,
    start: float | None = None,
    end: float | None = None,
    width: str = "column",
) -> Figure:
    """Draw the coordinate of a joint from which most jitter went, the joint's speed and its acceleration.

    Args:
        before: the motion as captured.
        after: the same motion refined.
        truth: the true motion.
        joint: name of the joint; None takes the one that jitters most.
        person: id of the person; None takes the first.
        start: seconds (frames, where no rate is known) at which to begin; without ``start`` and ``end`` the three
            seconds from which most jitter went are shown.
        end: at which to end.
        width: one of ``WIDTHS``.

    Raises:
        ValueError: the motions do not belong together, an unknown name, or nothing that can be drawn.
        MissingExtraError: matplotlib is not installed.
    """
    require("matplotlib", "report")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    inches = WIDTHS[one_of("width", width, WIDTHS)]
    curves = curves_of(compared(before, after, truth, joint=joint, person=person), before.fps)
    first, last = _span(curves, before.fps, start, end)
    axis = _axis(curves)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(inches, 2.9), layout="constrained")
        panels = figure.subplots(3, 1, sharex=True)
        for order, axes in enumerate(panels):
            if order == 0:
                time, lines = curves.time, {name: values[:, axis] for name, values in curves.motions().items()}
                axes.set_ylabel(f"{'xyz'[axis]}\n({curves.unit})")
            else:
                time, lines = curves.derivative(order)
                axes.set_ylabel(curves.derivative_label(order))
            inside = (time >= first - 1e-9) & (time <= last + 1e-9)
            for name, values in lines.items():
                axes.plot(time[inside], values[inside], label=name, **_LINES[name])
            if order == 2:
                spread_out(axes, {name: values[inside] for name, values in lines.items()})
        panels[-1].set_xlim(first, last)
        panels[-1].set_xlabel(curves.clock)
        figure.align_ylabels(panels)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=3, frameon=False)
    return figure


def _span(curves: Curves, fps: float | None, start: float | None, end: float | None) -> tuple[float, float]:
    low, high = float(curves.time[0]), float(curves.time[-1])
    if start is None and end is None:
        half = (_FRAMES if fps is None else _SECONDS) / 2
        piece = zoom(curves, fps)
        middle = float(curves.time[piece[0]] + curves.time[piece[1]]) / 2
        middle = float(np.clip(middle, low + half, max(high - half, low + half)))
        return middle - half, min(middle + half, high)
    first, last = low if start is None else max(start, low), high if end is None else min(end, high)
    if np.count_nonzero((curves.time >= first) & (curves.time <= last)) < 3:
        raise mismatch("start and end", f"three frames between {low:g} and {high:g}", f"{first:g} and {last:g}")
    return first, last


def _axis(curves: Curves) -> int:
    """Return the coordinate from which most jitter was taken; if none was, the one that moves most."""
    removed = np.abs(np.diff(curves.before - curves.after, 2, axis=0))
    return int(np.argmax(np.nansum(removed if np.nansum(removed) else np.abs(np.diff(curves.before, axis=0)), axis=0)))
