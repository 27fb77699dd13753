"""The study of latency: what is scored is what a stream gives, and what One-Euro gives so many frames later."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from smoothnet_core import filters, metrics
from smpl_tools.experiments import live
from smpl_tools.experiments.frame import Bench
from smpl_tools.paired_scores import HIPS
from tests.smpl.experiment_data import write_data


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(write_data(tmp_path_factory.mktemp("data")), quick=True)


def test_quick(bench):
    pytest.importorskip("matplotlib", reason="matplotlib is an extra")
    result = live.run(bench)
    scores, settings = result.tables
    for table in (scores, settings):
        assert {len(row) for row in table.rows} == {len(table.columns)}
    by_mode = {
        mode: [row for row in scores.rows if row[0] == mode] for mode in dict.fromkeys(r[0] for r in scores.rows)
    }
    for rows in by_mode.values():
        # Where a stream takes the weights that are judged anyway they stand once.
        names = ["auto", "default", *live._AIMS.values()]
        expected = [(at, name) for at in ("0", "6", "31") for name in names if (at, name) != ("31", "default")]
        assert [tuple(row[1:3]) for row in rows] == [*expected, ("take", "default")]
        assert all(math.isfinite(value) for row in rows for value in row[3:])
        # At full latency a stream is the take.
        assert rows[-4][3:] == pytest.approx(rows[-1][3:], rel=0.02)
    assert result.losses.endswith(".")
    json.dumps(result.settings)
    assert [drawing.name for drawing in result.drawings] == ["latency"]
    # Tuned on training clips alone.
    changed = replace(bench)
    changed.__dict__["validation"] = [replace(c, groundtruth=c.groundtruth[::-1]) for c in bench.validation]
    assert live.run(changed).settings == result.settings


def test_one_euro_is_that_many_frames_later(bench):
    clip = bench.validation[0]
    setting = {"min_cutoff": 1.5, "beta": 0.3}
    found = live._euro([clip], setting, [0, 5])
    output = np.asarray(filters.one_euro(clip.estimate, fps=30, mask=clip.detected, **setting), float)
    due = len(output) - live.LATENCIES[-1]
    for latency, scores in found.items():
        late = output[latency : latency + due]
        expected = metrics.mpjpe(late, clip.groundtruth[:due].astype(float), root=HIPS).mean()
        assert scores[clip.mode]["mpjpe_mm"] == pytest.approx(expected)


def test_losses_are_told_where_they_are():
    measures = {"mpjpe_mm": 100.0, "accel_mm_per_frame2": 8.0, "speed_ratio": 1.0, "jitter_ratio": 1.0}
    rival = {**measures, "mpjpe_mm": 101.0, "accel_mm_per_frame2": 7.0, "speed_ratio": 0.5}
    rows = {"auto": {"video": measures}, **{title: {"video": rival} for title in live._AIMS.values()}}
    assert live._losses({1: rows}, "auto").startswith("nowhere: from a latency of 2 frames on, `auto` is better than")
    assert live._losses({1: rows, 4: rows}, "auto") == (
        "from a latency of 2 frames on, One-Euro tuned for the very measure is not beaten in video at 4, "
        "Accel mm/frame² 8.00 at speed 1.00 (One-Euro: 7.00 at 0.50)."
    )
