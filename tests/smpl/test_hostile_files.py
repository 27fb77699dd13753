from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys

import pytest

from smoothnet_core.limits import LIMITS, check_limit, limit
from smoothnet_core.restricted_pickle import load_npz
from smpl_tools.convert import make, prepared_for
from smpl_tools.formats import read
from smpl_tools.refine_motion import refine_motion
from tests.helpers import REPOSITORY
from tests.smpl.cli_helpers import Program
from tests.smpl.format_helpers import smpl_motion, smpl_person
from tests.smpl.hostile_files import BOMBS, bvh, crowd, npy_of, npz, wham, zip_bomb
from tests.smpl.plain_motions import points_person

SECONDS, MEBIBYTES = 5, 500


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What a process of its own makes of all of them, one after the other."""
    folder = tmp_path_factory.mktemp("bombs")
    for index, (name, make_bytes, _) in enumerate(BOMBS.values()):
        (folder / str(index)).mkdir()
        (folder / str(index) / name).write_bytes(make_bytes())
    command = [sys.executable, "-m", "tests.smpl.hostile_files", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return folder, json.loads(done.stdout)


@pytest.mark.parametrize("title", BOMBS)
def test_a_small_file_that_declares_much_is_refused_at_once(seen, title):
    folder, found = seen
    one, (name, _, message) = found["seen"][title], BOMBS[title]
    path = folder / str(list(BOMBS).index(title)) / name
    assert one["message"].startswith(f"{path}: ")
    assert re.search(message, one["message"]), one["message"]
    assert "\n" not in one["message"]
    assert one["seconds"] < SECONDS
    assert one["MiB"] - found["before"] < MEBIBYTES


def test_a_limit_is_moved_by_the_environment(tmp_path, monkeypatch, capsys):
    path = tmp_path / "take.bvh"
    path.write_bytes(bvh(joints=40, rows="0 " * 40 + "\n"))
    assert len(read(path).people[0].tracks["joint_angles"].joints) == 39
    monkeypatch.setenv("SMOOTHNET_LIMITS", "joints=30, bytes=1e6")
    with pytest.raises(ValueError, match=r"joints: expected at most 30, received 31 \(SMOOTHNET_LIMITS=joints=NUMBER"):
        read(path)
    assert "SMOOTHNET_LIMITS=joints=NUMBER moves this limit" in Program(capsys).refused("info", path)
    monkeypatch.setenv("SMOOTHNET_LIMITS", "joints=40")
    read(path)
    (tmp_path / "zeros.npz").write_bytes(zip_bomb(7 * 10**7))
    with pytest.raises(ValueError, match=r"zeros\.npz: refused: bytes that its members declare in a file of"):
        load_npz(tmp_path / "zeros.npz")
    monkeypatch.setenv("SMOOTHNET_LIMITS", "growth=2000")
    assert load_npz(tmp_path / "zeros.npz")["poses"].nbytes > 6 * 10**7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "joint=5",
            "limit in SMOOTHNET_LIMITS: expected one of bytes, text, growth, members, objects, joints, frames, pe",
        ),
        ("joints", "SMOOTHNET_LIMITS, joints: expected a positive number, received ''"),
        ("joints=-1", "SMOOTHNET_LIMITS, joints: expected a positive number, received '-1'"),
        ("joints=inf", "SMOOTHNET_LIMITS, joints: expected a positive number, received 'inf'"),
        ("bytes=many", "SMOOTHNET_LIMITS, bytes: expected a positive number, received 'many'"),
    ],
)
def test_a_wrong_limit_is_reported(monkeypatch, tmp_path, text, message):
    monkeypatch.setenv("SMOOTHNET_LIMITS", text)
    with pytest.raises(ValueError, match=re.escape(message)):
        limit("joints")
    path = tmp_path / "take.bvh"
    path.write_bytes(bvh(rows="0\n"))
    with pytest.raises(ValueError, match=re.escape(message)):
        read(path)


def test_limits_say_what_was_too_much():
    check_limit("joints", "joints", LIMITS["joints"][0])
    with pytest.raises(ValueError, match=r"^feet: expected at most 20,000, received 10{39} "):
        check_limit("feet", "joints", 10**400)


def test_a_text_larger_than_allowed_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "take.bvh"
    path.write_bytes(bvh(rows="0\n"))
    monkeypatch.setenv("SMOOTHNET_LIMITS", "text=50")
    with pytest.raises(ValueError, match=rf"^{path}: bytes: expected at most 50, received {path.stat().st_size} \("):
        read(path)


def test_a_crowd_is_refused_where_each_is_compared_with_each(tmp_path):
    for frame in range(2):
        (tmp_path / f"{frame:06d}.json").write_bytes(crowd(501))
    with pytest.raises(ValueError, match=r"people in frame 0, and known from those before: expected at most 500, rec"):
        read(tmp_path)


# Frame numbers and rates in a small file that stand for years of frames.
FAR = 10**9


@pytest.mark.parametrize("to", ["openpose", "easymocap", "smplifyx", "phalp", "romp", "array", "mediapipe", "csv"])
def test_two_frames_far_apart_become_no_file_of_all_between(tmp_path, to):
    person = smpl_person(frames=(0, FAR), body=21)
    if to == "openpose":
        person = dataclasses.replace(points_person(frames=2, size=2), frames=person.frames)
    motion = smpl_motion(person)
    path = tmp_path / ("out.npy" if to == "array" else "out")
    if to == "csv":
        make(prepared_for(motion, to)[0], to, path)
        assert path.stat().st_size < 10**4
        return
    with pytest.raises(
        ValueError, match=r"expected at most 5,000,000, received 1,000,000,001 \(SMOOTHNET_LIMITS=frames="
    ):
        make(prepared_for(motion, to)[0], to, path)
    assert not path.exists()


def test_gaps_of_years_are_not_filled_and_are_refined_apart(tmp_path):
    (tmp_path / "take.pkl").write_bytes(wham([0, 1, 2, FAR, FAR + 1]))
    motion = read(tmp_path / "take.pkl")
    _, report = refine_motion(motion)
    assert report.splits == 2
    with pytest.raises(
        ValueError, match="frames of person 0 with gaps filled, missing ones included: expected at most"
    ):
        prepared_for(motion, "aist", fill=True)
    # At a rate at which half a second is a billion frames, nothing is bridged that would not fit.
    with pytest.raises(ValueError, match="frames of a take, missing ones included: expected at most 5,000,000"):
        refine_motion(motion, fps=3e9)


@pytest.mark.parametrize("rate", [1e-9, 1e-300, 5e-324])
def test_a_rate_near_zero_does_not_make_years_of_frames(rate):
    motion = smpl_motion(smpl_person(frames=tuple(range(20))), fps=rate)
    with pytest.raises(ValueError, match=r"expected|frames"):
        refine_motion(motion)
    with pytest.raises(ValueError, match=r"expected|frames"):
        prepared_for(motion, "amass", fps=30.0)


def test_an_empty_array_of_usual_size_is_read(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(
        npz(poses=npy_of((0, 156), "<f8"), verts=npy_of((0, 10_475, 3), "<f4"), trans=npy_of((0, 3), "<f8"))
    )
    assert len(read(path).people[0].frames) == 0
