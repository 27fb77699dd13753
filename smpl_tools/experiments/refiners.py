"""What is compared: no refinement, filters with their settings, networks; and the search for settings."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smoothnet_core import filters, refine
from smoothnet_core.model import Model
from smpl_tools.experiments.frame import Bench, Table
from smpl_tools.paired_scores import Measure, Refiner, paired_scores
from smpl_tools.sources import PairedClip

Setting = Mapping[str, float]
Scores = dict[str, dict[str, float]]

# A filter that flattens movement accelerates little and is worth nothing: it must leave this much of the speed.
MIN_SPEED = 0.95
# By the names of ``smoothnet_core.filters.FILTERS``; cutoffs in Hz, the others in frames.
GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "one-euro": {
        "min_cutoff": (0.1, 0.3, 0.6, 1.0, 2.0, 4.0),
        "beta": (0.0, 0.1, 0.5, 2.0, 5.0, 10.0, 20.0),
    },
    "savgol": {"window": (5, 7, 9, 11, 13, 15, 19, 23, 31), "polyorder": (2, 3, 4)},
    "gaussian": {"sigma": (0.7, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)},
    "butterworth": {"cutoff": (1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0), "poles": (2, 4)},
    "median": {"size": (3, 5, 7, 9, 11, 15, 21), "sigma": (0.5, 0.7, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)},
    "kalman": {"cutoff": (0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0)},
}


def raw(clip: PairedClip) -> Any:
    """Return the estimate as it is, its gaps interpolated."""
    return clip.interpolated


def filtering(name: str, setting: Setting) -> Refiner:
    """Return a filter as a refiner of clips; the Kalman filter alone weighs by the estimator's confidence."""
    apply = filters.FILTERS[name]

    def refined(clip: PairedClip) -> Any:
        confidence = {"confidence": clip.confidence} if name == "kalman" else {}
        return apply(clip.estimate, fps=clip.fps, kind=clip.kind, mask=clip.detected, **confidence, **setting)

    return refined


def by_mode(name: str, settings_by_mode: Mapping[str, Setting]) -> Refiner:
    """Return a filter that has a setting of its own for each mode of the estimator."""
    return lambda clip: filtering(name, settings_by_mode[clip.mode])(clip)


def network(model: Model, image_size: tuple[float, float] | None = None) -> Refiner:
    """Return a network as a refiner of clips; points in pictures come with their pictures' size."""

    def refined(clip: PairedClip) -> Any:
        return refine(
            clip.estimate,
            fps=clip.fps,
            kind=clip.kind,
            model=model,
            mask=clip.detected,
            confidence=clip.confidence,
            image_size=image_size,
        )

    return refined


def networks(bench: Bench, image_size: tuple[float, float] | None = None) -> dict[str, Refiner]:
    """Return the networks that are judged, by their names in a table; ``image_size`` as for :func:`network`."""
    return {name: network(model, image_size) for name, model in bench.networks.items()}


def setting_text(setting: Setting) -> str:
    """Return a setting as it is printed: ``size 5, sigma 1.5``."""
    return ", ".join(f"{key} {value:g}" for key, value in setting.items())


def settings(name: str, bench: Bench, per_metre: float = 1.0) -> Iterator[dict[str, float]]:
    """Yield the settings of a filter that are searched.

    Args:
        name: of the filter.
        bench: its quick form takes two settings only.
        per_metre: units of the tracks in a metre, which One-Euro's ``beta`` depends on.
    """
    grid = GRIDS[name]
    found = (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))
    # A polynomial that goes through (nearly) every point smooths nothing.
    possible = [s for s in found if "window" not in s or s["polyorder"] + 1 < s["window"]]
    for setting in possible[:: len(possible) // 2] if bench.quick else possible:
        yield {key: value / per_metre if key == "beta" else value for key, value in setting.items()}


@dataclass(frozen=True)
class Tried:
    """A filter's setting and its scores by mode."""

    name: str
    setting: dict[str, float]
    scores: Scores


def try_all(score: Callable[[Refiner], Scores], bench: Bench, per_metre: float = 1.0) -> list[Tried]:
    """Score every setting of every filter; ``per_metre`` as in :func:`settings`."""
    found = []
    for name in GRIDS:
        tried = list(settings(name, bench, per_metre))
        bench.say(f"  {name}: {len(tried)} settings")
        found += [Tried(name, setting, score(filtering(name, setting))) for setting in tried]
    return found


def best(tried: Sequence[Tried], mode: str, error: str, min_speed: float = MIN_SPEED) -> Tried:
    """Return the setting with the lowest ``error`` in a mode among those that keep the speed.

    Where none keeps it, the one that keeps most.

    Args:
        tried: settings with the scores ``error`` and ``speed_ratio``.
        mode: of the estimator.
        error: name of the measure.
        min_speed: what a setting must keep; 0 asks for nothing.
    """

    def rank(one: Tried) -> tuple[bool, float]:
        speed = one.scores[mode]["speed_ratio"]
        slow = not speed >= min_speed
        return slow, -speed if slow else one.scores[mode][error]

    return min(tried, key=rank)


def score_rows(
    clips: Sequence[PairedClip], rows: Mapping[str, Refiner], measures: Mapping[str, Measure]
) -> dict[str, Scores]:
    """Return the scores by mode of every refiner, by its name in the table."""
    return {name: paired_scores(clips, refiner, measures) for name, refiner in rows.items()}


def mode_table(
    title: str, protocol: str, scores: Mapping[str, Scores], measures: Mapping[str, Measure], first: str = "mode"
) -> Table:
    """Return a table of scores, mode by mode, of those refiners that have the mode."""
    columns = {first: None, "refiner": None, **{m.heading: m.decimals for m in measures.values()}}
    modes = dict.fromkeys(mode for by_mode in scores.values() for mode in by_mode)
    rows = [
        [mode, name, *(by_mode[mode][key] for key in measures)]
        for mode in modes
        for name, by_mode in scores.items()
        if mode in by_mode
    ]
    return Table(title, protocol, columns, rows)


def losses(ours: str, scores: Mapping[str, Scores], measures: Mapping[str, Measure]) -> str:
    """Return in words in which measures a refiner is not the best of those that keep the speed, and who is.

    Values that are printed alike count as equal.

    Args:
        ours: a name of ``scores``.
        scores: by mode, of every refiner; those with less than ``MIN_SPEED`` of a mode's speed are no rivals in it.
        measures: that are compared, besides the speed itself.
    """
    found = []
    for mode, own in scores[ours].items():
        rivals = {
            name: by_mode[mode]
            for name, by_mode in scores.items()
            if name != ours and mode in by_mode and by_mode[mode].get("speed_ratio", 1.0) >= MIN_SPEED
        }
        for key, measure in measures.items():
            if not rivals:
                break
            winner = min(rivals, key=lambda name, key=key, m=measure: m.distance(rivals[name][key]))
            if measure.distance(rivals[winner][key]) < measure.distance(own[key]):
                d = measure.decimals
                found.append(f"{mode}, {measure.heading} {own[key]:,.{d}f} ({winner}: {rivals[winner][key]:,.{d}f})")
    if not found:
        return f"nowhere in these measures: no rival that keeps {MIN_SPEED} of the speed is better than `{ours}`."
    return f"`{ours}` is behind rivals that keep {MIN_SPEED} of the speed in " + "; ".join(found) + "."
