"""How calm an output is against how much of the movement it keeps: every filter at every setting, and our networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from smoothnet_core._checks import require
from smpl_tools.experiments.frame import Bench, Drawing, Result, Table
from smpl_tools.experiments.informed import informed_table
from smpl_tools.experiments.refiners import Scores, Tried, networks, score_rows, setting_text, try_all
from smpl_tools.experiments.tuning import PROTOCOL
from smpl_tools.paired_scores import COLUMNS, MEASURES, paired_scores
from smpl_tools.pictures import accuracy as drawn
from smpl_tools.pictures.style import STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ACCEL, _JITTER = "accel_mm_per_frame2", "jitter_ratio"
# An output is compared with the filters whose jitter ratio is within this of its own.
_NEAR = 0.05
_AXES = {"jitter_ratio": (0.3, 1.6), "speed_ratio": (0.5, 1.2)}


def run(bench: Bench) -> Result:
    """Score all settings on validation clips; compare each network with the filters of its own jitter."""
    measures = {key: MEASURES[key] for key in COLUMNS}
    tried = try_all(lambda refiner: paired_scores(bench.validation, refiner, measures), bench)
    ours = score_rows(bench.validation, networks(bench), measures)
    columns = {"mode": None, "jitter": 2, "refiner": None, "setting": None}
    columns |= {MEASURES[key].heading: MEASURES[key].decimals for key in COLUMNS if key != _JITTER}
    rows, behind = [], []
    modes = list(tried[0].scores)
    others = [key for key in COLUMNS if key != _JITTER]
    for mode in modes:
        for at in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1):
            found = _calmest(tried, mode, at)
            if found is not None:
                scores = found.scores[mode]
                rows.append([mode, scores[_JITTER], found.name, setting_text(found.setting)])
                rows[-1] += [scores[key] for key in others]
        for name, by_mode in ours.items():
            own = by_mode[mode]
            rows.append([mode, own[_JITTER], f"**{name}**", "", *(own[key] for key in others)])
            rival = _calmest(tried, mode, own[_JITTER])
            if rival is not None and rival.scores[mode][_ACCEL] <= own[_ACCEL]:
                calm = rival.scores[mode]
                behind.append(
                    f"{mode}: `{name}` accelerates {own[_ACCEL]:.2f} at jitter {own[_JITTER]:.2f}, {rival.name} "
                    f"({setting_text(rival.setting)}) {calm[_ACCEL]:.2f} at {calm[_JITTER]:.2f}"
                )
    table = Table(
        "The frontier",
        f"{PROTOCOL} For jitter ratios from 0.5 to 1.1 the filter with the lowest Accel within {_NEAR} of it, of all "
        f"{len(tried)} settings, chosen on these very clips; and our networks.",
        columns,
        rows,
    )
    lost = "; ".join(behind) + "." if behind else "no filter of the same jitter accelerates less in any mode."
    drawing = Drawing(
        "accel",
        "Accel against jitter and speed ratio (1 is right) of every filter at every setting, and of our networks; "
        "paired validation, 30 frames a second.",
        _figure(modes, tried, ours),
    )
    return Result("the paper has no such study.", lost, [table, informed_table(bench)], [drawing])


def _calmest(tried: Sequence[Tried], mode: str, jitter: float) -> Tried | None:
    """Return the setting with the lowest Accel among those near a jitter ratio."""
    near = [t for t in tried if abs(t.scores[mode][_JITTER] - jitter) <= _NEAR]
    return min(near, key=lambda t: t.scores[mode][_ACCEL], default=None)


def _figure(modes: Sequence[str], tried: Sequence[Tried], ours: dict[str, Scores]) -> Figure:
    require("matplotlib", "report")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = [*dict.fromkeys(t.name for t in tried), *ours]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.2 * len(modes), 5.4), layout="constrained")
        panels = figure.subplots(2, len(modes), squeeze=False)
        for row, (key, limits) in enumerate(_AXES.items()):
            for axes, mode in zip(panels[row], modes, strict=True):
                results = [drawn.Result(t.name, t.scores[mode]) for t in tried]
                results += [drawn.Result(name, scores[mode], ours=True) for name, scores in ours.items()]
                drawn.draw_results(axes, results, key, _ACCEL, names)
                # What is far above the calmest output is of no interest.
                lowest = min(result.values[_ACCEL] for result in results)
                axes.set_ylim(0.95 * lowest, 2 * lowest)
                axes.set_xlim(*limits)
                axes.set_xlabel(key.replace("_", " "))
                axes.set_title(mode if row == 0 else "", loc="left")
        for row in panels:
            row[0].set_ylabel("Accel (mm/frame²)")
        drawn.legend_below(figure, panels.flat, names)
    return figure
