"""Table 3 of the supplementary document: filters at the networks' MPJPE and at their Accel, in 2D and 3D."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from smpl_tools.experiments.frame import Bench, Result, Table
from smpl_tools.experiments.images import image_clips, picture_size
from smpl_tools.experiments.refiners import (
    GRIDS,
    Tried,
    filtering,
    networks,
    raw,
    setting_text,
    try_all,
)
from smpl_tools.paired_scores import COLUMNS, MEASURES, PIXEL_MEASURES, Measure, Refiner, paired_scores
from smpl_tools.sources import PairedClip

# The paper's Table 3 is about an estimator that sees single frames.
_MODE = "static"
_PIXELS_PER_METRE = 250.0


def run(bench: Bench) -> Result:
    """Match every filter with our first network, first in MPJPE, then in Accel, on validation clips."""
    in_space = [clip for clip in bench.validation if clip.mode == _MODE]
    in_picture = image_clips(bench, in_space)
    space = {key: MEASURES[key] for key in COLUMNS}
    tables, lost = [], []
    for title, clips, measures, error, accel, unit in (
        ("2D", in_picture, PIXEL_MEASURES, "error_px", "accel_px_per_frame2", _PIXELS_PER_METRE),
        ("3D", in_space, space, "mpjpe_mm", "accel_mm_per_frame2", 1.0),
    ):
        searched = {key: measures[key] for key in (error, accel)}
        tried = try_all(lambda refiner, c=clips, m=searched: paired_scores(c, refiner, m), bench, unit)
        table, behind = _matched(title, clips, measures, (error, accel), tried, bench)
        tables.append(table)
        lost += behind
    published = [name for name, model in bench.networks.items() if model.is_published]
    differs = (
        f"Networks of the published architecture here: {', '.join(published) or 'none was given (--model NAME=FILE)'}. "
        "MediaPipe's static mode in place of CPN and FCN, 15 joints in place of 17, 30 frames a second in place of 50. "
        "The filters' settings are those that come nearest to our first network on these very clips, as the paper's "
        "are: this is a comparison, not a selection. The paper's speed is that of its own machine."
    )
    return Result(differs, "; ".join(lost) + "." if lost else "nowhere in these tables.", tables)


def _matched(
    title: str,
    clips: Sequence[PairedClip],
    measures: Mapping[str, Measure],
    compared: tuple[str, str],
    tried: Sequence[Tried],
    bench: Bench,
) -> tuple[Table, list[str]]:
    columns = {"matched in": None, "refiner": None, "setting": None}
    columns |= {measure.heading: measure.decimals for measure in measures.values()} | {"frames a second": 0}
    ours = networks(bench, picture_size(bench, clips[0]) if title == "2D" else None)
    first = next(iter(ours))
    target = paired_scores(clips, ours[first], measures)[_MODE]
    rows, behind = [], []

    def add(group: str, name: str, setting: str, refiner: Refiner) -> dict[str, float]:
        found = paired_scores(clips, refiner, measures)[_MODE]
        speed = None if name == "raw" else _frames_a_second(clips, refiner)
        rows.append([group, name, setting, *(found[key] for key in measures), speed])
        return found

    add("-", "raw", "", raw)
    for key, other in (compared, compared[::-1]):
        for name in GRIDS:
            family = [t for t in tried if t.name == name]
            nearest = min(family, key=lambda t, k=key: abs(np.log(t.scores[_MODE][k] / target[k])))
            found = add(measures[key].heading, name, setting_text(nearest.setting), filtering(name, nearest.setting))
            if measures[other].distance(found[other]) < measures[other].distance(target[other]):
                d = measures[other].decimals
                numbers = f"{target[other]:.{d}f} ({name}: {found[other]:.{d}f})"
                behind.append(f"{title} at equal {measures[key].heading}, {measures[other].heading} {numbers}")
    fastest = max((row for row in rows if row[-1] is not None), key=lambda row: row[-1])
    for name, refiner in ours.items():
        add("-", name, "", refiner)
        if rows[-1][-1] < fastest[-1]:
            behind.append(
                f"{title}, frames a second {rows[-1][-1]:,.0f} by `{name}` ({fastest[1]}: {fastest[-1]:,.0f})"
            )
    protocol = (
        f"Paired validation clips, static mode, 15 joints, 30 frames a second, {title}"
        + (" (pixels of a 448 x 448 picture)." if title == "2D" else " (hip-centred).")
        + " Frames a second: the longest of these clips, the whole call with its checks, NumPy, on this machine."
    )
    return Table(f"Filters matched with `{first}`, {title}", protocol, columns, rows), behind


def _frames_a_second(clips: Sequence[PairedClip], refiner: Refiner) -> float:
    """Return how many frames the refiner does in a second, by the best of seven times over the longest clip."""
    clip = max(clips, key=lambda c: len(c.estimate))
    times = []
    for _ in range(7):
        start = time.perf_counter()
        refiner(clip)
        times.append(time.perf_counter() - start)
    return len(clip.estimate) / min(times)
