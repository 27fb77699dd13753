"""One figure that shows what a refinement did: a joint's track and its derivatives, and poses frame upon frame."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch, one_of, require
from smpl_tools.formats._files import replacing
from smpl_tools.motion import Motion
from smpl_tools.poses import Poses, bones, paired_people, poses, upward

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

SUFFIXES = (".png", ".pdf", ".svg")
# Okabe and Ito's palette: told apart by every kind of colour vision, and in grey.
_BEFORE, _AFTER, _SHADE = "#E69F00", "#0072B2", "#F0F0F0"
_ZOOM_SECONDS, _ZOOM_SHARE = 1.0, 0.4
_GHOST_SECONDS = 0.25
_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.0,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class _Curves:
    """One joint before and after on a common time axis; NaN where not observed."""

    time: Array
    before: Array
    after: Array
    clock: str
    per: str
    unit: str


def before_after(before: Motion, after: Motion, *, joint: str | None = None, person: str | None = None) -> Figure:
    """Draw a refinement.

    Rotations are turned into joint positions first (forward kinematics). On the left the joint's coordinates, its
    speed and its acceleration over the whole take, in the middle the second from which most jitter went, on the right
    the poses of a quarter of a second in it drawn over each other: a pose that trembles is blurred, one that
    moves is fanned out.

    Args:
        before: the motion as captured.
        after: the same motion refined: the same people, frames and joints.
        joint: name of the joint; None takes the one that jitters most.
        person: id of the person; None takes the first.

    Raises:
        ValueError: the two motions do not belong together, an unknown name, or nothing that can be drawn.
        MissingExtraError: matplotlib is not installed.
    """
    require("matplotlib", "report")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    old, new, name = _pair(before, after, person)
    index = _most_jittery(old) if joint is None else old.joints.index(one_of("joint", joint, old.joints))
    curves = _curves(old, new, index, before.fps)
    zoom = _zoom(curves, before.fps)
    size = curves.before.shape[1]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10.5, 1.25 * (size + 2) + 0.6), layout="constrained")
        grid = figure.add_gridspec(size + 2, 3, width_ratios=[2.4, 1.7, 1.6])
        whole = close = None
        left: list[Axes] = []
        for row in range(size + 2):
            whole = figure.add_subplot(grid[row, 0], sharex=whole)
            close = figure.add_subplot(grid[row, 1], sharex=close)
            label = _draw_row(row, curves, whole, close, zoom)
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
                whole.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, borderaxespad=0.1)
        figure.align_ylabels(left)
        halves = grid[:, 2].subgridspec(2, 1)
        panels = figure.add_subplot(halves[0]), figure.add_subplot(halves[1])
        _draw_poses(panels, old, new, _peak(curves, zoom), before.fps)
        source = before.path.name if before.path is not None else before.format
        who = f", person {name}" if len(before.people) > 1 else ""
        figure.suptitle(_plain(f"{source}{who}: {old.joints[index]}"), fontsize=9, x=0.01, ha="left")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, PDF or SVG by the name's suffix, whole or not at all.

    Raises:
        ValueError: another suffix, or nothing can be written there.
    """
    suffix = one_of("suffix of a figure", path.suffix.lower(), SUFFIXES)
    drawn = io.BytesIO()
    figure.savefig(drawn, format=suffix[1:], dpi=200)
    with replacing(path) as file:
        file.write(drawn.getvalue())


def _pair(before: Motion, after: Motion, person: str | None) -> tuple[Poses, Poses, str]:
    pairs = paired_people(before, after)
    known = [old.id for old, _ in pairs]
    chosen = known[0] if person is None else one_of("person", person, known)
    one, other = pairs[known.index(chosen)]
    old, new = poses(before, one), poses(after, other)
    if not np.array_equal(one.frames, other.frames):
        raise mismatch("frames after", f"the {len(one.frames)} frames before", f"{len(other.frames)} frames")
    if old.joints != new.joints or old.positions.shape != new.positions.shape:
        raise mismatch("joints after", f"the {len(old.joints)} joints before", f"{len(new.joints)} joints")
    if len(one.frames) < 3:
        raise mismatch("frames to draw", "at least 3", len(one.frames))
    if not np.isfinite(old.positions).all(axis=-1).any():
        raise mismatch("values to draw", "at least one observed joint", "only NaN")
    return old, new, chosen


def _most_jittery(track: Poses) -> int:
    lengths = np.linalg.norm(np.diff(track.positions, 2, axis=0), axis=-1)
    seen = np.isfinite(lengths)
    means = np.where(seen, lengths, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    # Where no three frames in a row were seen, at least one that was seen at all.
    return int(np.argmax(means + 1e-300 * np.isfinite(track.positions).all(axis=-1).any(axis=0)))


def _curves(old: Poses, new: Poses, index: int, fps: float | None) -> _Curves:
    """Put a joint on the uniform timeline, so that a line breaks where the person was missing."""
    numbers = old.frames - old.frames[0]
    time = np.arange(int(numbers[-1]) + 1, dtype=np.float64)

    def uniform(source: Poses) -> Array:
        values = np.full((len(time), source.positions.shape[2]), np.nan)
        values[numbers] = source.positions[:, index]
        return values

    seconds = fps is not None
    clock = (time + old.frames[0]) / (fps if seconds else 1.0)
    names = ("time (s)", "s") if seconds else ("frame", "frame")
    return _Curves(clock, uniform(old), uniform(new), *names, old.unit)


def _zoom(curves: _Curves, fps: float | None) -> tuple[int, int]:
    """Return first and last index of the piece from which most jitter was taken, or in which the input jitters most."""
    length = max(8, min(round(_ZOOM_SHARE * len(curves.time)), round(_ZOOM_SECONDS * (fps or 30.0))))
    length = min(length, len(curves.time))
    # Where the input merely accelerates most there is fast movement, which is kept.
    removed = curves.before - curves.after
    shown = removed if np.nan_to_num(removed).any() else curves.before
    acceleration = np.nan_to_num(np.linalg.norm(np.diff(shown, 2, axis=0), axis=1))
    sums = np.convolve(acceleration, np.ones(max(1, length - 2)), mode="valid")
    start = int(np.argmax(sums)) if sums.size else 0
    return start, min(start + length, len(curves.time)) - 1


def _peak(curves: _Curves, zoom: tuple[int, int]) -> int:
    """Return the index in the zoomed piece at which the input accelerates most."""
    piece = np.diff(curves.before[zoom[0] : zoom[1] + 1], 2, axis=0)
    return zoom[0] + 1 + int(np.argmax(np.nan_to_num(np.linalg.norm(piece, axis=1))))


def _draw_row(row: int, curves: _Curves, whole: Axes, close: Axes, zoom: tuple[int, int]) -> str:
    """Draw one quantity in both columns and return its label."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    size = curves.before.shape[1]
    rate = 1.0 if curves.per == "frame" else 1.0 / float(curves.time[1] - curves.time[0])
    if row < size:
        pair = curves.before[:, row], curves.after[:, row]
        time, label = curves.time, f"{'xyz'[row]} ({curves.unit})"
    else:
        order = row - size + 1
        pair = tuple(
            np.linalg.norm(np.diff(v, order, axis=0), axis=1) * rate**order for v in (curves.before, curves.after)
        )
        time = curves.time[:-1] + 0.5 / rate if order == 1 else curves.time[1:-1]
        power = "" if order == 1 else "²"
        label = f"{('speed', 'acceleration')[order - 1]}\n({curves.unit}/{curves.per}{power})"
    first, last = curves.time[zoom[0]], curves.time[zoom[1]]
    inside = (time >= first) & (time <= last)
    for values, colour, name in zip(pair, (_BEFORE, _AFTER), ("before", "after"), strict=True):
        whole.plot(time, values, color=colour, label=name, linewidth=0.8)
        marks: dict[str, Any] = {"marker": "o", "markersize": 2.2} if name == "before" else {"linewidth": 1.3}
        close.plot(time[inside], values[inside], color=colour, **marks)
    whole.axvspan(first, last, color=_SHADE, zorder=0)
    if row == size + 1 and all((v[np.isfinite(v)] > 0).any() for v in pair):
        # Jitter and what is left of it differ by orders of magnitude.
        for axes in (whole, close):
            axes.set_yscale("log")
            low, high = np.log10(axes.get_ylim())
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if high - low < 3 else (1.0,), numticks=9))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
    return label


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
    for axes, values, colour, name in zip(panels, flat, (_BEFORE, _AFTER), ("before", "after"), strict=True):
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


def _plain(text: str) -> str:
    # A dollar sign would start a formula.
    return text.replace("$", r"\$")
