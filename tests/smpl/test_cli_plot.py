"""``smoothnet plot``: what is drawn, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from smpl_tools import formats
from smpl_tools.motion import Motion, Person, Track
from tests.helpers import REPOSITORY
from tests.smpl.cli_helpers import Program, body, saved

pytest.importorskip("matplotlib", reason="matplotlib is not installed (the extra 'report')")

from smpl_tools.pictures.compared import Curves, zoom
from smpl_tools.pictures.overview import before_after

TAKES = REPOSITORY / "assets" / "takes"


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


def motion(values: np.ndarray, fps: float | None = 30.0, frames: np.ndarray | None = None) -> Motion:
    names = tuple(f"j{j}" for j in range(values.shape[1]))
    frames = np.arange(len(values)) if frames is None else frames
    track = Track(values, "position", "body", names)
    return Motion("array", (Person("0", {"body": track}, frames),), fps, path=Path("take$1.npy"))


def smoothed(values: np.ndarray) -> np.ndarray:
    return (np.roll(values, 1, 0) + values + np.roll(values, -1, 0)) / 3


@pytest.mark.parametrize(("suffix", "magic"), [(".PNG", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_every_form_of_figure(program: Program, tmp_path: Path, suffix: str, magic: bytes):
    files = saved(tmp_path / "a.npy", body()), saved(tmp_path / "b.npy", smoothed(body()))
    out = tmp_path / f"figure{suffix}"
    ran = program("plot", *files, "-o", out)
    assert (ran.status, ran.err) == (0, "")
    assert out.read_bytes().startswith(magic)


def test_the_lines_are_the_joint_s_track_and_its_derivatives():
    old = body(60)
    old[:, 2] += np.random.default_rng(5).normal(0, 0.1, (60, 3))
    new = smoothed(old)
    figure = before_after(motion(old), motion(new))
    assert "j2" in figure.get_suptitle()
    whole = [axes for axes in figure.axes if axes.get_ylabel()]
    assert [a.get_ylabel() for a in whole] == [
        "x (file units)",
        "y (file units)",
        "z (file units)",
        "speed\n(file units/s)",
        "acceleration\n(file units/s²)",
    ]
    for values, index in ((old, 0), (new, 1)):
        for axis in range(3):
            np.testing.assert_array_equal(whole[axis].lines[index].get_ydata(), values[:, 2, axis])
        speed = np.linalg.norm(np.diff(values[:, 2], axis=0), axis=1) * 30
        np.testing.assert_allclose(whole[3].lines[index].get_ydata(), speed)
        acceleration = np.linalg.norm(np.diff(values[:, 2], 2, axis=0), axis=1) * 900
        np.testing.assert_allclose(whole[4].lines[index].get_ydata(), acceleration)
    np.testing.assert_allclose(whole[0].lines[0].get_xdata(), np.arange(60) / 30)


def test_without_a_rate_the_axis_is_in_frames_and_gaps_break_the_line():
    frames = np.concatenate([np.arange(5, 15), np.arange(18, 30)])
    figure = before_after(motion(body(22), None, frames), motion(body(22), None, frames), joint="j1")
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), np.arange(5, 30))
    assert np.isnan(axes.lines[0].get_ydata()[10:13]).all()
    assert "frame" in {a.get_xlabel() for a in figure.axes}


@pytest.mark.parametrize("name", ["reactidle_000.bvh", "dance_smplh.npz"])
def test_takes_with_a_skeleton_show_it(name: str):
    take = formats.read(TAKES / name)
    figure = before_after(take, take)
    before, after = figure.axes[-2:]
    assert len(before.collections) == len(after.collections) == round(take.fps / 4)
    assert len(before.collections[0].get_segments()) > 15
    assert (before.get_xlim(), before.get_ylim()) == (after.get_xlim(), after.get_ylim())
    figure.draw_without_rendering()


def test_two_dimensions_and_holes():
    values = 100 * body(40, size=2)
    values[3:9, 1] = np.nan
    figure = before_after(motion(values), motion(values))
    assert [a.get_ylabel() for a in figure.axes if a.get_ylabel()][:2] == ["x (px)", "y (px)"]


def test_frames_in_which_nobody_is_seen():
    values = body(40)
    values[10:] = np.nan
    before_after(motion(values), motion(values)).draw_without_rendering()


@pytest.mark.parametrize("values", [np.ones((3, 1, 3)), body(9, 1)])
def test_still_and_short_takes(values: np.ndarray):
    before_after(motion(values), motion(values)).draw_without_rendering()


def test_refusals(program: Program, tmp_path: Path):
    one = saved(tmp_path / "a.npy", body())
    out = tmp_path / "f.png"

    def refused(after: np.ndarray, *options: object) -> str:
        return program.refused("plot", one, saved(tmp_path / "b.npy", after), "-o", out, *options)

    assert refused(body(39)) == f"{one}: frames after: expected the 40 frames before, received 39 frames"
    assert refused(body(40, 5)) == f"{one}: joints after: expected the 4 joints before, received 5 joints"
    assert refused(body(), "--joint", "wrist").startswith(f"{one}: joint: expected one of joint_0, joint_1, ")
    assert refused(body(), "--person", "7") == f"{one}: person: expected one of 0, received '7'"
    few = saved(tmp_path / "c.npy", body(2))
    assert program.refused("plot", few, few, "-o", out) == f"{few}: frames to draw: expected at least 3, received 2"
    nothing = saved(tmp_path / "d.npy", np.full((9, 2, 3), np.nan))
    assert "at least one observed joint" in program.refused("plot", nothing, nothing, "-o", out)
    assert not out.exists()
    out.write_bytes(b"mine")
    assert refused(body()) == f"{out}: exists already; add --force to replace it"
    assert "cannot be written" in program.refused("plot", one, one, "-o", tmp_path / "none" / "x.png")


def test_without_matplotlib_the_extra_is_named(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    one = saved(tmp_path / "a.npy", body())
    error = program.refused("plot", one, one, "-o", tmp_path / "x.png")
    assert error == "matplotlib is not installed; add it with: pip install 'smoothnet[report]'"


def test_the_piece_shown_close_is_where_jitter_went_and_not_where_movement_is_fast():
    time = np.arange(200) / 30
    fast = np.where(time > 5, 5 * np.sin(12 * time), 0.0)
    jitter = np.where((time > 1) & (time < 2), 0.02 * (-1.0) ** np.arange(200), 0.0)
    still = np.zeros(200)
    clean = np.stack([fast, still, still], axis=1)
    noisy = clean + jitter[:, None]
    curves = Curves(time, noisy, clean, "time (s)", "s", "m")
    first, last = zoom(curves, 30.0)
    assert time[first] >= 0.9
    assert time[last] <= 2.1
    same = Curves(time, noisy, noisy, "time (s)", "s", "m")
    assert time[zoom(same, 30.0)[0]] > 4.9
