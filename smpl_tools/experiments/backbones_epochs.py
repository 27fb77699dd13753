"""Figure 1 of the supplementary document: error and acceleration by epoch, with and without acceleration loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from smoothnet_core._checks import require
from smpl_tools.experiments.backbones import (
    ACCELERATION,
    DIFFERS,
    FAMILIES,
    PROTOCOL,
    Family,
    answering,
    answers_of,
    examples,
    train_backbone,
    true_acceleration,
    true_clips,
)
from smpl_tools.experiments.frame import Bench, Drawing, Result, Table
from smpl_tools.experiments.sequences import Example
from smpl_tools.paired_scores import MEASURES, paired_scores
from smpl_tools.pictures.style import COLOURS, STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MEASURES = {key: MEASURES[key] for key in ("mpjpe_mm", "accel_mm_per_frame2")}
# Training clips that the curves are taken of: every so many.
_EVERY = 8
_LOSSES = {"L1": 0.0, "L1 + accel": ACCELERATION}
_LISTED = (1, 2, 4, 8)
_COLOURS = {"train": COLOURS[4], "test": COLOURS[0]}


@dataclass
class _Course:
    """Scores by epoch of one training, for the clips it saw and the others; values by the measure's name."""

    heading: str
    loss: str
    train: list[dict[str, float]] = field(default_factory=list)
    test: list[dict[str, float]] = field(default_factory=list)


def run(bench: Bench) -> Result:
    """Train both backbones of each family with both losses and score them after every epoch."""
    tables, drawings, found = [], [], []
    for family in FAMILIES:
        seen = examples(bench, bench.training, family, mirrored=True)
        # One of two is mirrored.
        watched = seen[:: 2 * _EVERY]
        unseen = examples(bench, bench.validation, family)
        courses = [
            _course(bench, family, heading, loss, (seen, watched, unseen))
            for heading in (family.single, family.several)
            for loss in _LOSSES
        ]
        protocol = PROTOCOL.format(
            split=f"every {_EVERY}th training clip (train) and the validation clips (test)",
            accel=true_acceleration(family, unseen),
        )
        tables.append(_table(family, courses, protocol))
        caption = f"{family.name}, by epoch: MPJPE in mm above, Accel in mm/frame² below."
        drawings.append(Drawing(family.name.replace(" ", "_"), caption, _drawn(courses)))
        found.append(f"{family.name}: {_against_the_paper(family, courses)}")
    return Result(DIFFERS, f"no network of ours takes part. {' '.join(found)}", tables, drawings)


def _course(bench: Bench, family: Family, heading: str, loss: str, found: tuple[Sequence[Example], ...]) -> _Course:
    seen, watched, unseen = found
    course = _Course(heading, loss)
    clips = {"train": (watched, true_clips(family, watched)), "test": (unseen, true_clips(family, unseen))}

    def score(network: Any) -> None:
        for split, (inputs, truth) in clips.items():
            refiner = answering(family, answers_of(network, inputs))
            getattr(course, split).append(paired_scores(truth, refiner, _MEASURES)[family.name])

    bench.say(f"  training {family.name}, {heading}, {loss}")
    train_backbone(bench, family, heading, seen, _LOSSES[loss], score)
    return course


def _table(family: Family, courses: Sequence[_Course], protocol: str) -> Table:
    columns: dict[str, int | None] = {"sees": None, "loss": None, "epoch": 0}
    columns |= {f"{split} {m.heading}": m.decimals for m in _MEASURES.values() for split in _COLOURS}
    rows = []
    for course in courses:
        last = len(course.test)
        for epoch in [*(e for e in _LISTED if e < last), last]:
            values = [getattr(course, split)[epoch - 1][key] for key in _MEASURES for split in _COLOURS]
            rows.append([course.heading, course.loss, epoch, *values])
    return Table(f"{family.name}, by epoch", protocol, columns, rows)


def _drawn(courses: Sequence[_Course]) -> Figure:
    require("matplotlib", "report")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.2 * len(courses), 3.6), layout="constrained")
        axes = figure.subplots(len(_MEASURES), len(courses), sharex=True, sharey="row")
        for column, course in zip(axes.T, courses, strict=True):
            for panel, key in zip(column, _MEASURES, strict=True):
                for split, colour in _COLOURS.items():
                    values = [scores[key] for scores in getattr(course, split)]
                    panel.plot(np.arange(1, len(values) + 1), values, ".-", color=colour, label=split, markersize=3)
            column[0].set_title(f"{course.heading}, {course.loss}")
            column[-1].set_xlabel("epoch")
        for panel, measure in zip(axes[:, 0], _MEASURES.values(), strict=True):
            panel.set_ylabel(measure.heading)
        axes[0, -1].legend(frameon=False)
    return figure


def _against_the_paper(family: Family, courses: Sequence[_Course]) -> str:
    """Say of each of the paper's observations whether it holds on the test clips, with the numbers."""
    ends: Mapping[tuple[str, str], dict[str, float]] = {(c.heading, c.loss): c.test[-1] for c in courses}
    plain, with_acceleration = _LOSSES
    said = []

    def say(what: str, holds: bool, numbers: str) -> None:
        said.append(f"{what}: {'so here' if holds else 'not so here'} ({numbers})")

    first, last = (courses[0].test[i]["accel_mm_per_frame2"] for i in (0, -1))
    say("the Accel of a single-frame network rises with the epochs", last > first, f"{first:.1f} to {last:.1f}")
    one, several = ends[family.single, plain], ends[family.several, plain]
    for key, measure in _MEASURES.items():
        name = measure.heading.split()[0]
        say(f"several frames lower {name}", several[key] < one[key], f"{one[key]:.1f} to {several[key]:.1f}")
    for heading in (family.single, family.several):
        without, added = ends[heading, plain], ends[heading, with_acceleration]
        lower = added["accel_mm_per_frame2"] < without["accel_mm_per_frame2"]
        higher = added["mpjpe_mm"] > without["mpjpe_mm"]
        numbers = ", ".join(f"{m.heading.split()[0]} {without[k]:.1f} to {added[k]:.1f}" for k, m in _MEASURES.items())
        say(f"an acceleration loss lowers Accel and raises MPJPE ({heading})", lower and higher, numbers)
    return "; ".join(said) + "."
