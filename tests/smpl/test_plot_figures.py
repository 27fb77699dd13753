"""``smoothnet plot --figure track`` and ``accuracy``: what is drawn, how it is written, what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from smpl_tools.motion import Motion, Person, Track
from tests.helpers import REPOSITORY
from tests.smpl.cli_helpers import Program, body, saved

pytest.importorskip("matplotlib", reason="matplotlib is not installed (the extra 'report')")

from smpl_tools.pictures.accuracy import Result, accuracy_figure, results_of, stored_results
from smpl_tools.pictures.overview import before_after
from smpl_tools.pictures.style import save
from smpl_tools.pictures.track import track_figure

STORED = REPOSITORY / "docs" / "results"


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


def motion(values: np.ndarray, name: str = "take.npy", fps: float | None = 30.0) -> Motion:
    track = Track(values, "position", "body", tuple(f"j{j}" for j in range(values.shape[1])))
    return Motion("array", (Person("0", {"body": track}, np.arange(len(values))),), fps, path=Path(name))


def three(frames: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    truth = body(frames)
    before = truth.copy()
    before[:, 2, 1] += np.random.default_rng(1).normal(0, 0.1, frames)
    return before, (truth + before) / 2, truth


def test_a_track_is_the_coordinate_that_jittered_and_its_derivatives():
    arrays = three()
    figure = track_figure(*map(motion, arrays), joint="j2", start=1.0, end=3.0)
    assert figure.get_figwidth() == 3.3
    panels = figure.axes
    assert [axes.get_ylabel().split("\n")[0] for axes in panels] == ["y", "speed", "acceleration"]
    assert panels[-1].get_xlabel() == "time (s)"
    for line, values in zip(panels[0].lines, arrays, strict=True):
        np.testing.assert_allclose(line.get_xdata(), np.arange(30, 91) / 30)
        np.testing.assert_array_equal(line.get_ydata(), values[30:91, 2, 1])
    for line, values in zip(panels[2].lines, arrays, strict=True):
        expected = np.linalg.norm(np.diff(values[:, 2], 2, axis=0), axis=1) * 900
        np.testing.assert_allclose(line.get_ydata(), expected[29:90])
    assert [line.get_label() for line in panels[0].lines] == ["before", "after", "truth"]
    # Told apart without colours, too.
    assert len({line.get_linestyle() for line in panels[0].lines}) == 2
    greys = [np.dot(_rgb(line.get_color()), (0.299, 0.587, 0.114)) for line in panels[0].lines]
    assert min(abs(a - b) for k, a in enumerate(greys) for b in greys[:k]) > 0.15


def _rgb(code: str) -> list[float]:
    return [int(code[k : k + 2], 16) / 255 for k in (1, 3, 5)]


def test_unless_told_three_seconds_with_the_jitter_are_shown():
    before = body(600)
    after = before.copy()
    after[400:430, 1] += np.random.default_rng(0).normal(0, 0.2, (30, 3))
    low, high = track_figure(motion(before), motion(after), joint="j1").axes[0].get_xlim()
    assert high - low == pytest.approx(3)
    assert low < 400 / 30 < 430 / 30 < high
    whole = track_figure(motion(before[:40]), motion(after[:40]), joint="j1").axes[0].get_xlim()
    assert whole[1] == pytest.approx(39 / 30)


def test_the_overview_shows_the_truth_as_well():
    figure = before_after(*map(motion, three()))
    assert [line.get_label() for line in figure.axes[0].lines] == ["before", "after", "truth"]


def test_letters_travel_with_the_file_and_the_same_figure_is_the_same_file(tmp_path: Path):
    written = []
    for name in ("a.pdf", "b.pdf", "a.svg", "b.svg"):
        save(track_figure(*map(motion, three())), tmp_path / name)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    assert written[2] == written[3]
    assert b"/FontFile2" in written[0]
    assert b"/Type3" not in written[0]
    assert b"<text" not in written[2]
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", written[0])
    assert box
    assert float(box[1]) == pytest.approx(3.3 * 72, abs=1)


def test_accuracy_is_what_evaluate_says(program: Program, tmp_path: Path):
    before, after, truth = (saved(tmp_path / f"{n}.npy", v) for n, v in zip("bat", three(), strict=True))
    out = tmp_path / "figure.pdf"
    ran = program("plot", "--figure", "accuracy", before, after, truth, "-o", out)
    assert (ran.status, ran.err) == (0, "")
    assert out.read_bytes().startswith(b"%PDF")
    arrays = three()
    panels = results_of([motion(arrays[0], "x/b.npy"), motion(arrays[1], "y/b.npy")], motion(arrays[2]))
    assert [result.name for result in panels[""]] == ["x/b", "y/b"]
    for result, path in zip(panels[""], (before, after), strict=True):
        said = json.loads(program("evaluate", path, truth, "--fps", "30", "--json").out)["metrics"]
        assert result.values["speed ratio"] == pytest.approx(said["speed_ratio"])
        assert result.values["MPJPE (mm)"] == pytest.approx(said["mpjpe_mm"])
        assert result.values["Accel (mm/frame²)"] == pytest.approx(said["accel_mm_per_frame2"])
    figure = accuracy_figure(panels)
    assert [axes.get_ylabel() for axes in figure.axes] == ["MPJPE (mm)", "Accel (mm/frame²)"]
    for axes, measure in zip(figure.axes, ("MPJPE (mm)", "Accel (mm/frame²)"), strict=True):
        points = [line.get_xydata()[0] for line in axes.lines[1:]]
        expected = [(r.values["speed ratio"], r.values[measure]) for r in panels[""]]
        np.testing.assert_allclose(points, expected)


@pytest.mark.parametrize("name", ["frontier", "tuning", "joints", "live", "filters", "stages", "rotations", "noise"])
@pytest.mark.parametrize("width", ["column", "page"])
def test_the_studies_results_can_be_drawn(name: str, width: str):
    panels = stored_results(STORED / f"{name}.json")
    assert all(result.values["speed ratio"] > 0 for results in panels.values() for result in results)
    figure = accuracy_figure(panels, width=width)
    assert figure.get_figwidth() == {"column": 3.3, "page": 6.9}[width]
    figure.draw_without_rendering()


def test_the_frontier_s_table_point_by_point():
    table = json.loads((STORED / "frontier.json").read_text(encoding="utf-8"))["tables"][0]
    names = [name for name, _ in table["columns"]]
    rows = [dict(zip(names, row, strict=True)) for row in table["rows"]]
    panels = stored_results(STORED / "frontier.json")
    assert list(panels) == ["static", "video", "video smoothed"]
    for mode, results in panels.items():
        own = [row for row in rows if row["mode"] == mode]
        assert [r.name for r in results] == [row["refiner"].strip("*") for row in own]
        assert [r.ours for r in results] == ["**" in row["refiner"] for row in own]
        assert [r.values["speed ratio"] for r in results] == [row["speed"] for row in own]
        assert [r.values["Accel (mm/frame²)"] for r in results] == [row["Accel mm/frame²"] for row in own]
    assert {r.name for r in panels["static"] if r.ours} == {"default", "fast"}


def test_many_results_differ_in_mark_or_colour_and_nothing_is_cut_off():
    results = [Result(f"r{k}", {"speed ratio": 0.5 + k / 20, "MPJPE (mm)": 30.0 * 1.3**k}) for k in range(20)]
    (axes,) = accuracy_figure({"": results}).axes
    looks = {(line.get_marker(), line.get_color()) for line in axes.lines[1:]}
    assert len(looks) == 20
    low, high = axes.get_ylim()
    assert low < 30
    assert high > 30.0 * 1.3**19


def test_refusals(program: Program, tmp_path: Path):
    before, after, truth = (saved(tmp_path / f"{n}.npy", v) for n, v in zip("bat", three(), strict=True))
    out = tmp_path / "f.pdf"
    track = ("plot", "--figure", "track", before, after)
    error = program.refused(*track, "-o", out, "--start", "90", "--fps", "30")
    assert error == f"{before}: start and end: expected three frames between 0 and 6.63333, received 90 and 6.63333"
    short = saved(tmp_path / "s.npy", three()[2][:50])
    error = program.refused(*track, short, "-o", out)
    assert error == f"{before}: frames of the truth: expected the 200 frames before, received 50 frames"
    flat = saved(tmp_path / "f.npy", three()[2][..., :2])
    error = program.refused(*track, flat, "-o", out)
    assert error == f"{before}: positions of the truth: expected 3D as before, received 2D"
    error = program.refused("plot", "--figure", "accuracy", short, truth, "-o", out)
    assert error == f"{short}: frames of person 0 in the estimate: expected 200 as in the ground truth, received 50"
    wanted = "expected the JSON of a study with a table of speed and errors"
    for text, found in (("[]", "TypeError in it"), ("{", "JSONDecodeError in it"), ('{"tables": []}', "none such")):
        study = tmp_path / "study.json"
        study.write_text(text)
        error = program.refused("plot", "--figure", "accuracy", study, "-o", out)
        assert error == f"{study}: {wanted}, received {found}"
    assert not out.exists()
