"""Accuracy against latency: our networks on streams, beside a One-Euro filter that may wait just as long."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import filters, refine
from smoothnet_core._checks import require
from smoothnet_core.model import Model
from smoothnet_core.online import OnlineRefiner
from smpl_tools.experiments.frame import Bench, Drawing, Result, Table
from smpl_tools.experiments.refiners import MIN_SPEED, Scores, Tried, best, setting_text
from smpl_tools.paired_scores import MEASURES, Refiner, paired_scores
from smpl_tools.pictures.style import COLOURS, STYLE
from smpl_tools.sources import PairedClip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

LATENCIES = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 31)
# Finer than that of the other studies: how much a filter lags is what a latency makes up for.
_GRID = {
    "min_cutoff": (0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0),
    "beta": (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
}
_KEYS = ("mpjpe_mm", "accel_mm_per_frame2", "speed_ratio", "jitter_ratio")
# What One-Euro is tuned for, and how it is then called.
_AIMS = {"mpjpe_mm": "One-Euro for MPJPE", "accel_mm_per_frame2": "One-Euro for Accel"}
# The weights that a stream takes unless told otherwise.
OURS = "auto"
# From here on ours is to be better in what it is compared in.
_FROM = 2
PROTOCOL = (
    "Paired validation clips, 15 joints, hip-centred, 30 frames a second; frames that are due at every latency while "
    f"the stream runs, so all but a clip's last {LATENCIES[-1]}; undetected frames count."
)


def run(bench: Bench) -> Result:
    """Tune One-Euro at every latency on training clips; score it and our networks on validation clips."""
    latencies = LATENCIES[::5] if bench.quick else LATENCIES
    tried = _tried(bench, latencies)
    found: dict[int, dict[str, Scores]] = {}
    chosen: dict[str, dict[str, dict[str, Any]]] = {}
    for latency in latencies:
        bench.say(f"  latency {latency}")
        own = OnlineRefiner(latency=latency).model.name
        others = {name: model for name, model in bench.networks.items() if model.name != own}
        rows = {name: _scores(bench.validation, latency, model) for name, model in {OURS: OURS, **others}.items()}
        for aim, title in _AIMS.items():
            modes = list(tried[latency][0].scores)
            best_of = {mode: best(tried[latency], mode, aim).setting for mode in modes}
            chosen.setdefault(title, {})[str(latency)] = best_of
            rows[title] = {
                mode: _euro([c for c in bench.validation if c.mode == mode], best_of[mode], [latency])[latency][mode]
                for mode in modes
            }
        found[latency] = rows
    offline = {
        name: _scores_of(bench.validation, lambda clip, model=model: _offline(clip, model))
        for name, model in bench.networks.items()
    }
    tables = [_table(found, offline), _settings_table(chosen)]
    caption = (
        "Error, acceleration error and speed ratio (1 is right) against latency in frames at 30 a second, on paired "
        "validation clips; dotted: the whole take at once."
    )
    return Result(
        "the paper has no study of latency. One-Euro's output for a frame is taken for the frame that many before, and "
        "its settings are searched for every latency and mode of the estimator, once for MPJPE and once for Accel; it "
        "sees undetected frames interpolated, which no stream could.",
        _losses(found, OURS),
        tables,
        [Drawing("latency", caption, _figure(found, offline))],
        settings=chosen,
    )


def streamed(clip: PairedClip, latency: int, model: Model | str) -> Array:
    """Return a clip that went through as a stream; what came before anybody was seen is as the estimate has it."""
    refiner = OnlineRefiner(model, latency=latency, kind=clip.kind)
    frames = zip(clip.estimate, clip.detected, clip.confidence, strict=True)
    out = [refiner.push(frame, mask=seen, confidence=trust) for frame, seen, trust in frames]
    refined = np.array([frame for frame in out if frame is not None] + refiner.flush(), np.float64)
    return np.where(np.isfinite(refined), refined, clip.interpolated)


def _offline(clip: PairedClip, model: Model) -> Any:
    return refine(
        clip.estimate, fps=clip.fps, kind=clip.kind, model=model, mask=clip.detected, confidence=clip.confidence
    )


def _scores(clips: Sequence[PairedClip], latency: int, model: Model | str) -> Scores:
    return _scores_of(clips, lambda clip: streamed(clip, latency, model))


def _scores_of(clips: Sequence[PairedClip], refined: Refiner) -> Scores:
    """Return scores by mode over the frames that are due at every latency."""
    cut = [_without_end(clip) for clip in clips]
    whole = {id(short): clip for short, clip in zip(cut, clips, strict=True)}
    measures = {key: MEASURES[key] for key in _KEYS}
    return paired_scores(cut, lambda clip: refined(whole[id(clip)])[: len(clip.groundtruth)], measures)


def _without_end(clip: PairedClip) -> PairedClip:
    keep = slice(0, len(clip.estimate) - LATENCIES[-1])
    return replace(
        clip, estimate=clip.estimate[keep], groundtruth=clip.groundtruth[keep], confidence=clip.confidence[keep]
    )


def _euro(clips: Sequence[PairedClip], setting: dict[str, Any], latencies: Sequence[int]) -> dict[int, Scores]:
    """Return the scores of One-Euro delayed by each latency; the filter itself runs once."""
    outputs = {
        id(clip): np.asarray(
            filters.one_euro(clip.estimate, fps=clip.fps, kind=clip.kind, mask=clip.detected, **setting), np.float64
        )
        for clip in clips
    }
    return {
        latency: _scores_of(clips, lambda clip, latency=latency: outputs[id(clip)][latency:]) for latency in latencies
    }


def _tried(bench: Bench, latencies: Sequence[int]) -> dict[int, list[Tried]]:
    """Return every setting of One-Euro with its scores on training clips, by latency."""
    found_all = [dict(zip(_GRID, values, strict=True)) for values in itertools.product(*_GRID.values())]
    grid = found_all[:: len(found_all) // 2] if bench.quick else found_all
    clips = bench.selection
    bench.say(f"  One-Euro: {len(grid)} settings on {len(clips)} training clips")
    found: dict[int, list[Tried]] = {latency: [] for latency in latencies}
    for setting in grid:
        for latency, scores in _euro(clips, setting, latencies).items():
            found[latency].append(Tried("one-euro", setting, scores))
    return found


def _table(found: dict[int, dict[str, Scores]], offline: dict[str, Scores]) -> Table:
    columns = {"mode": None, "latency": None, "refiner": None}
    columns |= {MEASURES[key].heading: MEASURES[key].decimals for key in _KEYS}
    rows = []
    for mode in next(iter(offline.values())):
        for latency, refiners in found.items():
            rows += [[mode, str(latency), name, *(scores[mode][k] for k in _KEYS)] for name, scores in refiners.items()]
        rows += [[mode, "take", name, *(scores[mode][k] for k in _KEYS)] for name, scores in offline.items()]
    title = "Accuracy against latency"
    return Table(title, f"{PROTOCOL} Latency in frames; `take` is the whole clip at once.", columns, rows)


def _settings_table(chosen: dict[str, dict[str, dict[str, Any]]]) -> Table:
    rows = [
        [title, mode, latency, setting_text(setting)]
        for title, by_latency in chosen.items()
        for mode in next(iter(by_latency.values()))
        for latency, by_mode in by_latency.items()
        for setting in [by_mode[mode]]
    ]
    columns = {"tuned": None, "mode": None, "latency": None, "setting": None}
    protocol = (
        f"On training clips, 30 frames a second; the lowest error of those that keep {MIN_SPEED} of the speed there, "
        "or the one that keeps most. More of the training clips hardly move, and where the truth stands still jitter "
        "makes the speed ratio large; so settings found for Accel keep less of it on validation clips."
    )
    return Table("One-Euro's settings", protocol, columns, rows)


def _losses(found: dict[int, dict[str, Scores]], ours: str) -> str:
    """Return in words where a network is not better than One-Euro tuned for the very measure."""
    lost = []
    for latency, rows in found.items():
        if latency < _FROM:
            continue
        for aim, title in _AIMS.items():
            measure = MEASURES[aim]
            for mode, own in rows[ours].items():
                rival = rows[title][mode]
                if not round(own[aim], measure.decimals) < round(rival[aim], measure.decimals):
                    d = measure.decimals
                    lost.append(
                        f"{mode} at {latency}, {measure.heading} {own[aim]:.{d}f} at speed {own['speed_ratio']:.2f} "
                        f"(One-Euro: {rival[aim]:.{d}f} at {rival['speed_ratio']:.2f})"
                    )
    if lost:
        where = "; ".join(lost)
        return f"from a latency of {_FROM} frames on, One-Euro tuned for the very measure is not beaten in {where}."
    return f"nowhere: from a latency of {_FROM} frames on, `{ours}` is better than One-Euro tuned for the very measure."


def _figure(found: dict[int, dict[str, Scores]], offline: dict[str, Scores]) -> Figure:
    require("matplotlib", "report")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    modes = list(next(iter(offline.values())))
    names = list(next(iter(found.values())))
    # Blue are networks, warm the filters, which come last.
    blues = (COLOURS[4], COLOURS[1], COLOURS[2], COLOURS[6])
    colours = [*blues[: len(names) - len(_AIMS)], COLOURS[0], COLOURS[5]]
    lines = {name: {at: rows[name] for at, rows in found.items() if name in rows} for name in names}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.2 * len(modes), 6.0), layout="constrained")
        panels = figure.subplots(3, len(modes), squeeze=False, sharex=True)
        for row, key in enumerate(_KEYS[:3]):
            for axes, mode in zip(panels[row], modes, strict=True):
                for name, colour in zip(names, colours, strict=False):
                    values = [scores[mode][key] for scores in lines[name].values()]
                    axes.plot(list(lines[name]), values, ".-", color=colour, markersize=4, label=name)
                whole = next(iter(offline.values()))[mode][key]
                axes.axhline(whole, color=COLOURS[4], linewidth=0.8, linestyle=":")
                # The worst of what is far behind is of no interest.
                seen = [scores[mode][key] for at, rows in found.items() if at for scores in rows.values()]
                low, high = min(seen), min(max(seen), (1.15 if key == "mpjpe_mm" else 2.2) * min(seen))
                axes.set_ylim(low - 0.05 * (high - low), high)
                if key == "speed_ratio":
                    axes.axhline(1.0, color="0.8", linewidth=0.8, zorder=0)
                    axes.set_xlabel("latency (frames)")
                axes.set_title(mode if row == 0 else "", loc="left")
        for row, key in enumerate(_KEYS[:3]):
            panels[row][0].set_ylabel(MEASURES[key].heading)
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure
