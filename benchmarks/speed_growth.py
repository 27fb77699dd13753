"""How the cost grows with frames, channels and the window: curves, their slopes, and the figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.speed_jobs import PUBLISHED, Job, here
from benchmarks.speed_measuring import Row, interleaved, progress, spread

FRAMES = (300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000)
CHANNELS = (3, 6, 12, 24, 48, 96, 192, 384, 600)
WINDOWS = (8, 16, 32, 64)
NAMES = {"default": "position", "fast": "position", PUBLISHED: "channels"}
# Below this share of the largest size what every call costs, whatever its length, still shows.
FIXED = 0.05


@dataclass(frozen=True)
class Curve:
    """Seconds by size, of one kind of work."""

    name: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def slope(self) -> float:
        """Of a line through the logarithms of the larger sizes: 1 is linear."""
        sizes, seconds = np.array(self.sizes), np.array(self.seconds)
        large = sizes >= FIXED * sizes.max()
        return float(np.polyfit(np.log(sizes[large]), np.log(seconds[large]), 1)[0])

    @property
    def bend(self) -> float:
        """How far the points are from a straight line at most, in per cent of what they are."""
        line = np.polyval(np.polyfit(self.sizes, self.seconds, 1), self.sizes)
        return float(100 * np.abs(line / self.seconds - 1).max())


def growth(frames: Sequence[int], channels: Sequence[int], seconds: float) -> tuple[dict[str, list[Curve]], list[Row]]:
    """Return the curves, by what grows, and a row for each."""
    long, wide, windows = 3_000, 12, 24
    curves = {"frames": [_curve("Savitzky-Golay", [Job("savgol", n, wide) for n in frames], frames, seconds)]}
    curves["channels"] = [_curve("Savitzky-Golay", [Job("savgol", long, n) for n in channels], channels, seconds)]
    for name, kind in NAMES.items():
        jobs = [Job("refine", n, wide, name, kind) for n in frames]
        curves["frames"].append(_curve(name, jobs, frames, seconds))
        jobs = [Job("refine", long, n, name, kind) for n in channels]
        curves["channels"].append(_curve(name, jobs, channels, seconds))
    jobs = [Job("refine", 10_000, windows, f"random {n}", "channels", hop=1) for n in WINDOWS]
    curves["window"] = [_curve("512/16/1, hop 1", jobs, WINDOWS, seconds)]
    rows = []
    for what, own in curves.items():
        for curve in own:
            size = f"{what} {curve.sizes[0]:,} to {curve.sizes[-1]:,}"
            if what == "window":
                rows.append(Row("growth", curve.name, size, spread([curve.bend]), "% off a straight line"))
                progress(f"  {what}: {curve.bend:.1f} % off a straight line")
                continue
            per = curve.seconds[-1] / curve.sizes[-1] * curve.sizes[0] / curve.seconds[0]
            note = f"the largest takes {per:.2f} times as long as the smallest for its size"
            rows.append(Row("growth", curve.name, size, spread([curve.slope]), "slope", note=note))
            progress(f"  {what}: {curve.name} slope {curve.slope:.2f}")
    return curves, rows


def _curve(name: str, jobs: Sequence[Job], sizes: Sequence[int], seconds: float) -> Curve:
    """Measure the jobs; the best of a few rounds, since what comes between only adds."""
    found = [spread(interleaved({"": here(job)}, seconds=seconds, most=25)[""]).low for job in jobs]
    return Curve(name, tuple(sizes), tuple(found))


def draw(curves: dict[str, list[Curve]], path: Path) -> None:
    """Write the figure.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
    colours = {"Savitzky-Golay": "0.45", "fast": "tab:green", "default": "tab:blue"}
    for axis, what, title in zip(axes, ("frames", "channels"), ("12 channels", "3,000 frames"), strict=False):
        for curve in curves[what]:
            style = {"color": colours.get(curve.name, "tab:red"), "marker": "o", "markersize": 4}
            axis.loglog(curve.sizes, curve.seconds, label=f"{curve.name}: slope {curve.slope:.2f}", **style)
        sizes = np.array(curves[what][0].sizes, float)
        top = 3 * max(curve.seconds[-1] for curve in curves[what])
        axis.loglog(sizes, top * sizes / sizes[-1], color="0.8", linestyle="--", label="slope 1", zorder=0)
        # Room for the legend.
        axis.set_ylim(bottom=min(min(curve.seconds) for curve in curves[what]) / 60)
        axis.set_title(title)
        axis.set_xlabel(what)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, loc="lower right")
    axis, curve = axes[2], curves["window"][0]
    axis.plot(curve.sizes, curve.seconds, "o", color="tab:red", label=curve.name)
    slope, start = np.polyfit(curve.sizes, curve.seconds, 1)
    ends = np.array([0, curve.sizes[-1]])
    axis.plot(ends, start + slope * ends, "--", color="0.6", label="straight line through them", zorder=0)
    axis.set_xticks(curve.sizes)
    axis.set_ylim(bottom=0)
    axis.set_xlim(left=0)
    axis.set_title("10,000 frames x 24 channels")
    axis.set_xlabel("frames a window")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="lower right")
    axes[0].set_ylabel("seconds")
    figure.savefig(path, dpi=110)
    plt.close(figure)
