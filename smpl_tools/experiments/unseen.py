"""Networks trained without an estimator mode or without a subject, measured on just that."""

from __future__ import annotations

from smoothnet_core._checks import mismatch
from smpl_tools.experiments.frame import Bench, Result, Table
from smpl_tools.experiments.refiners import MIN_SPEED, Scores, filtering, network, raw, score_rows
from smpl_tools.experiments.tuning import UNTUNED, best_filter
from smpl_tools.paired_scores import COLUMNS, MEASURES
from smpl_tools.sources import MODES, PairedClip

# `--model without-static=FILE`: weights that saw no clip of that mode; `without-cmu13`: none of that subject.
_PREFIX = "without-"
_ASKED = ("mpjpe_mm", "pa_mpjpe_mm", "accel_mm_per_frame2")


def run(bench: Bench) -> Result:
    """Measure every network named ``without-MODE`` or ``without-SUBJECT`` on what it did not see.

    Our first network is measured on every subject of the validation clips, of whom it saw none.

    Raises:
        ValueError: a name says without what, and there is no such mode or subject.
    """
    first, model = next(iter(bench.networks.items()))
    tests = [
        (f"subject {subject}", [c for c in bench.validation if c.subject == subject], first, model)
        for subject in dict.fromkeys(clip.subject for clip in bench.validation)
    ]
    tests += [
        (*_left_out(bench, name.removeprefix(_PREFIX)), name, other)
        for name, other in bench.networks.items()
        if name.startswith(_PREFIX)
    ]
    measures = {key: MEASURES[key] for key in COLUMNS}
    rows, behind = [], []
    for what, clips, name, weights in tests:
        rivals = {"raw": raw, "tuned filter": best_filter(bench, "mpjpe"), UNTUNED: filtering("median", {})}
        scores = score_rows(clips, rivals | {name: network(weights)}, measures)
        for mode in scores["raw"]:
            rows += [[what, mode, n, *(by_mode[mode][key] for key in COLUMNS)] for n, by_mode in scores.items()]
            behind += _not_met(what, mode, name, scores)
    columns = {"unseen": None, "mode": None, "refiner": None, **{m.heading: m.decimals for m in measures.values()}}
    table = Table(
        "On what was not seen in training",
        "Paired clips, 15 joints, hip-centred, 30 frames a second. A mode: its validation clips. A subject: all its "
        "clips. The tuned filter is the one that was best, with its setting, on training clips of the same mode at "
        "speed 0.95 or more, so it has seen what the network has not.",
        columns,
        rows,
    )
    left_out = ", ".join(name for name in bench.networks if name.startswith(_PREFIX))
    differs = (
        "modes of one estimator, and subjects, in place of estimators and data sets. Networks trained without a mode "
        f"or a subject in this run: {left_out or 'none'} (given as `--model {_PREFIX}MODE=FILE` or "
        f"`--model {_PREFIX}SUBJECT=FILE`)."
    )
    met = "nowhere: no error is above raw, Accel and PA-MPJPE are not above those of a filter that keeps the speed."
    return Result(differs, "; ".join(behind) + "." if behind else met, [table])


def _left_out(bench: Bench, what: str) -> tuple[str, list[PairedClip]]:
    """Return the clips that a network named ``without-WHAT`` did not see."""
    modes = {mode.replace(" ", "-"): mode for mode in MODES}
    if what in modes:
        return f"mode {modes[what]}", [clip for clip in bench.validation if clip.mode == modes[what]]
    clips = [clip for clip in bench.training if clip.subject == what]
    if not clips:
        known = [*modes, *dict.fromkeys(clip.subject for clip in bench.training)]
        raise mismatch(f"model {_PREFIX}{what}", f"{_PREFIX} and one of " + ", ".join(known), repr(what))
    return f"subject {what}", clips


def _not_met(what: str, mode: str, name: str, scores: dict[str, Scores]) -> list[str]:
    """Return where a network is worse than raw, or in what it must not be than filters that keep the speed there."""
    own = scores[name][mode]
    keeping = [n for n, by_mode in scores.items() if n != name and by_mode[mode]["speed_ratio"] >= MIN_SPEED]
    found = []
    for key in _ASKED:
        rivals = ["raw"] if key == "mpjpe_mm" else dict.fromkeys(["raw", *keeping])
        measure = MEASURES[key]
        for rival in rivals:
            theirs, d = scores[rival][mode][key], measure.decimals
            if measure.distance(theirs) < measure.distance(own[key]):
                numbers = f"{own[key]:.{d}f} ({rival}: {theirs:.{d}f})"
                found.append(f"`{name}` on {what}, {mode}: {measure.heading} {numbers}")
    return found
