"""``smoothnet info`` and ``smoothnet models``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from smoothnet_core import shipped_models
from smpl_tools.cli.info import describe
from smpl_tools.motion import Motion, Person, Track
from tests.helpers import REPOSITORY, shared
from tests.smpl.cli_helpers import Program, body, saved

TAKES = REPOSITORY / "assets" / "takes"


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


def test_a_bvh(program: Program):
    found = json.loads(program("info", TAKES / "reactidle_000.bvh", "--json").out)
    assert (found["format"], found["frames"], found["fps"], found["fps_assumed"]) == ("bvh", 288, 24.0, False)
    assert found["duration_s"] == 12.0
    assert len(found["skeleton_joints"]) == 19
    (one,) = found["people"]
    tracks = {t["name"]: t for t in one["tracks"]}
    assert tracks["body_pose"]["unit"] == "deg"
    assert 100 < tracks["body_pose"]["jitter_per_s2"] < 400
    assert one["gaps"] == []
    text = program("info", TAKES / "reactidle_000.bvh").out
    assert "288 frames, 12.00 s at 24 fps" in text
    assert "skeleton of 19 joints" in text


def test_gaps_and_what_was_not_observed():
    frames = np.array([3, 4, 5, 8, 9, 20])
    values = body(6)
    values[2, 1] = np.nan
    track = Track(values, "position", "body", ("a", "b", "c", "d"), confidence=np.ones((6, 4)))
    empty = Track(np.full((6, 1, 3), np.nan), "position", "root", ("root",))
    found = describe(
        Motion("array", (Person("9", {"x": track, "e": empty}, frames),), None, notes=("n",), path=Path("x")), "title"
    )
    (one,) = found["people"]
    assert one["gaps"] == [[6, 7], [10, 19]]
    assert (one["first_frame"], one["last_frame"], one["frames"]) == (3, 20, 6)
    assert one["tracks"][0]["observed"] == pytest.approx(23 / 24)
    assert one["tracks"][0]["has_confidence"]
    assert (one["tracks"][1]["observed"], one["tracks"][1]["jitter_per_s2"]) == (0.0, None)
    assert (found["frames"], found["fps_assumed"], found["notes"]) == (18, True, ["n"])


@pytest.mark.parametrize("frames", [0, 1, 3])
def test_short_files(program: Program, tmp_path: Path, frames: int):
    path = saved(tmp_path / "x.npy", body(frames))
    assert program("info", path).status == 0
    found = json.loads(program("info", path, "--json", "--fps", 10).out)
    assert (found["frames"], found["fps"], found["duration_s"]) == (frames, 10.0, frames / 10)


def test_people_that_come_and_go(program: Program):
    ran = program("info", shared("data", "real", "openpose", "two_people_cam01"))
    assert ran.status == 0, ran.err
    assert "px/s²" in ran.out
    assert "note: frame rate not stated" in ran.out


def test_what_cannot_be_read(program: Program, tmp_path: Path):
    assert "found nothing of that name" in program.refused("info", tmp_path / "none.bvh")
    (tmp_path / "empty").mkdir()
    assert "unknown format: expected one of" in program.refused("info", tmp_path / "empty")
    loop = tmp_path / "loop.npy"
    loop.symlink_to(loop)
    program.refused("info", loop)


def test_numbers_out_of_range_give_no_traceback(program: Program, tmp_path: Path):
    landmarks = [[[0.1, 0.2, 0.3, 1.0]] * 33] * 3
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"fps": 1e300, "world_landmarks": landmarks}))
    assert program("info", path).status == 0
    huge = saved(tmp_path / "huge.npy", np.full((40, 22, 3), 1e305))
    with np.errstate(all="ignore"):
        refused = program.refused("info", huge)
    assert refused.startswith(f"{huge}: ")


def test_the_models_are_the_shipped_ones(program: Program):
    ran = program("models", "--json")
    assert ran.status == 0, ran.err
    listed = json.loads(ran.out)
    assert [m["name"] for m in listed] == sorted(shipped_models())
    assert all(m["parameters"] > 0 and m["window"] > 0 for m in listed)
    text = program("models").out
    assert "parameters" in text
    assert all(name in text for name in shipped_models())
