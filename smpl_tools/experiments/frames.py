"""One clip frame by frame, as in the last figures of the supplementary document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from smoothnet_core import metrics
from smoothnet_core._checks import require
from smpl_tools.experiments.frame import Bench, Drawing, Result
from smpl_tools.experiments.refiners import filtering, losses, mode_table, network, raw, score_rows
from smpl_tools.experiments.tuning import UNTUNED
from smpl_tools.paired_scores import COLUMNS, HIPS, MEASURES, Refiner
from smpl_tools.pictures.style import STYLE
from smpl_tools.sources import PairedClip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MODE = "static"
_COLOURS = ("#E69F00", "#009E73", "#0072B2")


def run(bench: Bench) -> Result:
    """Draw MPJPE and Accel of every frame of the validation clip whose estimate accelerates most wrongly."""
    clips = [clip for clip in bench.validation if clip.mode == _MODE]
    clip = max(clips, key=lambda c: float(metrics.accel(raw(c), c.groundtruth).mean()))
    name, model = next(iter(bench.networks.items()))
    refiners = {"raw": raw, UNTUNED: filtering("median", {}), name: network(model)}
    measures = {key: MEASURES[key] for key in COLUMNS}
    scores = score_rows([clip], refiners, measures)
    table = mode_table(
        f"Clip {clip.name}",
        f"{_MODE} mode, {len(clip.groundtruth)} frames at {clip.fps:g} a second, 15 joints, hip-centred, of the "
        "validation split; the filter is the best that keeps 0.95 of the speed on validation clips.",
        scores,
        measures,
    )
    drawing = Drawing("clip", f"MPJPE and Accel of every frame of {clip.name}, {_MODE} mode.", _figure(clip, refiners))
    differs = "MediaPipe on a rendered person in place of RLE, FCN, VIBE and SPIN; a filter is drawn beside."
    return Result(differs, losses(name, scores, measures), [table], [drawing])


def _figure(clip: PairedClip, refiners: dict[str, Refiner]) -> Figure:
    require("matplotlib", "report")
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 4.6), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        for (name, refiner), colour in zip(refiners.items(), _COLOURS, strict=True):
            output = np.asarray(refiner(clip), np.float64)
            errors = metrics.mpjpe(output, clip.groundtruth, root=HIPS)
            jerks = metrics.accel(output, clip.groundtruth)
            width = 0.7 if name == "raw" else 1.3
            above.plot(errors, color=colour, linewidth=width, label=f"{name}: mean {errors.mean():.1f} mm")
            label = f"{name}: mean {jerks.mean():.2f} mm/frame²"
            below.plot(np.arange(1, len(jerks) + 1), jerks, color=colour, linewidth=width, label=label)
        above.set_ylabel("MPJPE (mm)")
        below.set_ylabel("Accel (mm/frame²)")
        below.set_yscale("log")
        below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        below.set_xlabel(f"frame ({clip.fps:g} a second)")
        for axes in (above, below):
            axes.margins(x=0)
            axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, frameon=False, borderaxespad=0.1)
    return figure
