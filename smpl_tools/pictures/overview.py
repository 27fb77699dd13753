"""One figure that shows what a refinement did: a joint's track and its derivatives, and poses frame upon frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import require
from smpl_tools.motion import Motion
from smpl_tools.pictures.compared import Curves, compared, curves_of, peak, zoom
from smpl_tools.pictures.style import AFTER, BEFORE, STYLE, TRUTH, plain
from smpl_tools.poses import Poses, bones, upward

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

_SHADE = "#F0F0F0"
_GHOST_SECONDS = 0.25
_LINES: dict[str, dict[str, Any]] = {
    "before": {"color": BEFORE},
    "after": {"color": AFTER, "linewidth": 1.3},
    "truth": {"color": TRUTH, "linestyle": (0, (3, 1.5))},
}


def before_after(
    before: Motion, after: Motion, truth: Motion | None = None, *, joint: str | None = None, person: str | None = None
) -> Figure:
    """Draw a refinement.

    Rotations are turned into joint positions first (forward kinematics). On the left the joint's coordinates, its
    speed and its acceleration over the whole take, in the middle the second from which most jitter went, on the right
    the poses of a quarter of a second in it drawn over each other: a pose that trembles is blurred, one that
    moves is fanned out.

    Args:
        before: the motion as captured.
        after: the same motion refined: the same people, frames and joints.
        truth: the true motion, whose joint is drawn as well.
        joint: name of the joint; None takes the one that jitters most.
        person: id of the person; None takes the first.

    Raises:
        ValueError: the two motions do not belong together, an unknown name, or nothing that can be drawn.
        MissingExtraError: matplotlib is not installed.
    """
    require("matplotlib", "report")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    found = compared(before, after, truth, joint=joint, person=person)
    old, new = found.tracks[:2]
    curves = curves_of(found, before.fps)
    piece = zoom(curves, before.fps)
    size = curves.before.shape[1]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 1.25 * (size + 2) + 0.6), layout="constrained")
        grid = figure.add_gridspec(size + 2, 3, width_ratios=[2.4, 1.7, 1.6])
        whole = close = None
        left: list[Axes] = []
        for row in range(size + 2):
            whole = figure.add_subplot(grid[row, 0], sharex=whole)
            close = figure.add_subplot(grid[row, 1], sharex=close)
            label = _draw_row(row, curves, whole, close, piece)
            whole.set_ylabel(label)
            left.append(whole)
            last = row == size + 1
            for axes in (whole, close):
                axes.tick_params(labelbottom=last)
                axes.margins(x=0)
                if last:
                    axes.set_xlabel(curves.clock)
            if row == 0:
                whole.set_title("whole take", loc="left")
                close.set_title("shaded piece", loc="left")
                whole.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False, borderaxespad=0.1)
        figure.align_ylabels(left)
        halves = grid[:, 2].subgridspec(2, 1)
        panels = figure.add_subplot(halves[0]), figure.add_subplot(halves[1])
        _draw_poses(panels, old, new, peak(curves, piece), before.fps)
        source = before.path.name if before.path is not None else before.format
        who = f", person {found.person}" if len(before.people) > 1 else ""
        figure.suptitle(plain(f"{source}{who}: {old.joints[found.joint]}"), fontsize=9, x=0.01, ha="left")
    return figure


def _draw_row(row: int, curves: Curves, whole: Axes, close: Axes, piece: tuple[int, int]) -> str:
    """Draw one quantity in both columns and return its label."""
    size = curves.before.shape[1]
    if row < size:
        lines = {name: values[:, row] for name, values in curves.motions().items()}
        time, label = curves.time, f"{'xyz'[row]} ({curves.unit})"
    else:
        time, lines = curves.derivative(row - size + 1)
        label = curves.derivative_label(row - size + 1)
    first, last = curves.time[piece[0]], curves.time[piece[1]]
    inside = (time >= first) & (time <= last)
    for name, values in lines.items():
        whole.plot(time, values, label=name, **{**_LINES[name], "linewidth": 0.8})
        marks: dict[str, Any] = {"marker": "o", "markersize": 2.2} if name == "before" else {}
        close.plot(time[inside], values[inside], **_LINES[name], **marks)
    whole.axvspan(first, last, color=_SHADE, zorder=0)
    if row == size + 1:
        for axes in (whole, close):
            spread_out(axes, lines)
    return label


def spread_out(axes: Axes, lines: dict[str, Array]) -> None:
    """Make the vertical axis logarithmic, where it can be: jitter and what is left of it differ by orders."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if not all((values[np.isfinite(values)] > 0).any() for values in lines.values()):
        return
    axes.set_yscale("log")
    low, high = np.log10(axes.get_ylim())
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if high - low < 3 else (1.0,), numticks=9))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_poses(panels: tuple[Axes, Axes], old: Poses, new: Poses, peak: int, fps: float | None) -> None:
    """Draw the poses around one moment over each other."""
    from matplotlib.collections import LineCollection

    count = min(len(old.frames), max(3, round(_GHOST_SECONDS * (fps or 30.0))))
    middle = int(np.searchsorted(old.frames - old.frames[0], peak))
    start = int(np.clip(middle - count // 2, 0, len(old.frames) - count))
    rows = slice(start, start + count)
    across, up, sign = upward(new, rows)
    pairs = bones(new)
    centre = np.stack([_middle(frame) for frame in new.positions[rows]])[:, None]
    flat = [(source.positions[rows] - centre)[:, :, [across, up]] * np.array([1.0, sign]) for source in (old, new)]
    for axes, values, colour, name in zip(panels, flat, (BEFORE, AFTER), ("before", "after"), strict=True):
        for number, frame in enumerate(values):
            strength = 0.25 + 0.75 * (number + 1) / count
            if pairs:
                axes.add_collection(LineCollection(list(frame[pairs]), colors=colour, alpha=strength, linewidths=0.9))
            else:
                axes.plot(frame[:, 0], frame[:, 1], "o", color=colour, alpha=strength, markersize=2)
        axes.set_title(f"{name}: {count} consecutive frames", loc="left")
        axes.set_aspect("equal", adjustable="box", anchor="NW")
        axes.set_axis_off()
    # The same part of space in both, or one would look calmer for being smaller.
    everything = np.concatenate([f.reshape(-1, 2) for f in flat])
    shown = everything[np.isfinite(everything).all(axis=1)]
    low, high = (shown.min(axis=0), shown.max(axis=0)) if len(shown) else (np.zeros(2), np.ones(2))
    pad = 0.04 * float((high - low).max()) or 1.0
    for axes in panels:
        axes.set_xlim(low[0] - pad, high[0] + pad)
        axes.set_ylim(low[1] - pad, high[1] + pad)


def _middle(frame: Array) -> Array:
    """Return the mean of a frame's observed joints (J, D)."""
    seen = frame[np.isfinite(frame).all(axis=-1)]
    return seen.mean(axis=0) if len(seen) else np.zeros(frame.shape[1])
