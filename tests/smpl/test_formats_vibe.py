"""VIBE's results beside WHAM's, and new files of both."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from smpl_tools.contents import as_content
from smpl_tools.coordinates import PELVIS
from smpl_tools.formats import FORMATS, detect, read, write
from smpl_tools.motion import Motion
from smpl_tools.rotations import axis_angle_to_matrix
from tests.smpl.plain_smpl import assert_same_person, made, people, plain_motion, plain_person

SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def record(frames: int = 5, **changes) -> dict:
    rng = np.random.default_rng(8)
    return {
        "pred_cam": rng.normal(size=(frames, 3)).astype(np.float32),
        "orig_cam": rng.normal(size=(frames, 4)).astype(np.float32),
        "pose": rng.normal(size=(frames, 72)).astype(np.float32),
        "betas": rng.normal(size=(frames, 10)).astype(np.float32),
        "joints2d": None,
        "bboxes": rng.normal(size=(frames, 4)),
        "frame_ids": np.arange(frames),
        **changes,
    }


def saved(path, content):
    path.write_bytes(pickle.dumps(content))
    return path


def without(content: dict, *keys: str) -> dict:
    return {key: value for key, value in content.items() if key not in keys}


WORLD = {"pose_world": np.zeros((5, 72)), "trans_world": np.zeros((5, 3))}


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (record(), "vibe"),
        (without(record(), "orig_cam"), "vibe"),
        (record(pose_world=None), "vibe"),
        (record(**WORLD), "wham"),
        (record(trans_world=np.zeros((5, 3))), "wham"),
        (without(record(), "orig_cam", "pred_cam"), "wham"),
        (record(orig_cam=None, pred_cam=None), "wham"),
    ],
)
def test_a_camera_without_a_world_makes_it_vibe(tmp_path, content, name):
    path = saved(tmp_path / "in.pkl", {1: content})
    assert detect(path).name == name
    assert [n for n in ("wham", "vibe") if FORMATS[n].matches(path, path.read_bytes()[:64])] == [name]
    motion = read(path)
    assert motion.format == name
    write(motion, tmp_path / "out.pkl")
    assert pickle.loads((tmp_path / "out.pkl").read_bytes()).keys() == {1}


def test_what_is_read(tmp_path):
    motion = read(saved(tmp_path / "in.pkl", {1: record(), 4: record(betas=np.tile(np.arange(10.0), (5, 1)))}))
    first, second = motion.people
    assert (motion.format, motion.fps, [p.id for p in motion.people]) == ("vibe", 30, ["1", "4"])
    assert list(first.tracks) == ["global_orient", "body_pose", "pred_cam", "orig_cam", "betas"]
    assert (first.tracks["global_orient"].up, first.tracks["body_pose"].up) == ("-y", None)
    assert first.betas is None
    # A shape that does not change is the person's, not a track.
    assert "betas" not in second.tracks
    np.testing.assert_array_equal(second.betas, np.arange(10))


@pytest.mark.parametrize("frames", [1, 2])
def test_one_shape_is_no_track_and_is_kept(tmp_path, frames):
    content = {0: record(frames, betas=np.ones((frames, 10), np.float32))}
    motion = read(saved(tmp_path / "in.pkl", content))
    assert "betas" not in motion.people[0].tracks
    write(motion, tmp_path / "out.pkl")
    again = pickle.loads((tmp_path / "out.pkl").read_bytes())
    assert again[0]["betas"].dtype == np.float32
    np.testing.assert_array_equal(again[0]["betas"], content[0]["betas"])


@given(first=people(name="2"), second=people(name="7"))
@SETTINGS
def test_new_wham_files_hold_the_motion(tmp_path, first, second):
    motion, plain = made("wham", plain_motion(first, second), tmp_path / "new.pkl")
    assert motion.fps == 30
    assert [p.id for p in motion.people] == ["2", "7"]
    for new, old in zip(plain.people, (first, second), strict=True):
        assert_same_person(new, old)
        np.testing.assert_array_equal(new.frames, old.frames)
        assert (new.tracks["global_orient"].up, new.tracks["transl"].metres) == ("y", 1)


def test_the_camera_of_a_new_wham_file_stands_in_the_world(tmp_path):
    person = plain_person()
    motion, _ = made("wham", plain_motion(person), tmp_path / "new.pkl")
    seen = as_content(motion, "smpl", camera=True)[0].people[0]
    turn = np.diag([1.0, -1, -1])
    np.testing.assert_allclose(
        axis_angle_to_matrix(seen.tracks["global_orient"].values),
        turn @ axis_angle_to_matrix(person.tracks["global_orient"].values),
        atol=1e-12,
    )
    pelvis = person.tracks["transl"].values + PELVIS
    np.testing.assert_allclose(seen.tracks["transl"].values + PELVIS, pelvis @ turn, atol=1e-12)
    np.testing.assert_array_equal(seen.tracks["body_pose"].values, person.tracks["body_pose"].values)
    assert "body_pose_world" not in motion.people[0].tracks


@given(first=people(name="1", up="-y"), second=people(name="the other", up="-y"))
@SETTINGS
def test_new_vibe_files_hold_the_pose(tmp_path, first, second):
    motion, plain = made("vibe", plain_motion(first, second), tmp_path / "new.pkl")
    assert [p.id for p in motion.people] == ["1", "the other"]
    for new, old in zip(plain.people, (first, second), strict=True):
        assert_same_person(new, old, translation=False)
        np.testing.assert_array_equal(new.frames, old.frames)
        assert new.tracks["global_orient"].up == "-y"


WHAM_KEYS = {
    "pose": (6, 72),
    "trans": (6, 3),
    "pose_world": (6, 72),
    "trans_world": (6, 3),
    "betas": (6, 10),
    "frame_ids": (6,),
}
VIBE_KEYS = {"pred_cam": (6, 3), "orig_cam": (6, 4), "pose": (6, 72), "betas": (6, 10), "bboxes": (6, 4)}


@pytest.mark.parametrize(
    ("name", "shapes"), [("wham", WHAM_KEYS), ("vibe", {**VIBE_KEYS, "joints2d": None, "frame_ids": (6,)})]
)
def test_joblib_reads_new_files_under_the_keys_that_programs_use(tmp_path, name, shapes):
    joblib = pytest.importorskip("joblib", reason="joblib, which reads such files, is not installed")
    made(name, plain_motion(plain_person("3", dtype=np.float32)), tmp_path / "new.pkl")
    content = joblib.load(tmp_path / "new.pkl")
    # Programs ask for people by number.
    assert list(content) == [3]
    assert {key: None if value is None else value.shape for key, value in content[3].items()} == shapes
    assert content[3]["pose"].dtype == np.float32
    assert content[3]["frame_ids"].dtype == np.int64


def test_the_neutral_camera_is_that_of_the_whole_picture(tmp_path):
    FORMATS["vibe"].make(plain_motion(), tmp_path / "new.pkl")
    content = pickle.loads((tmp_path / "new.pkl").read_bytes())[0]
    # As VIBE's convert_crop_cam_to_orig_img has it, for a picture as large as the crop.
    x, y, size = content["bboxes"][:, 0], content["bboxes"][:, 1], content["bboxes"][:, 2]
    scale = content["pred_cam"][:, 0] / (224 / size)
    np.testing.assert_array_equal(content["orig_cam"][:, 0], scale)
    np.testing.assert_array_equal(content["orig_cam"][:, 2], (x - 112) / 112 / scale + content["pred_cam"][:, 1])
    np.testing.assert_array_equal(content["orig_cam"][:, 3], (y - 112) / 112 / scale + content["pred_cam"][:, 2])


@pytest.mark.parametrize(
    ("ids", "keys"), [(["0", "10"], [0, 10]), (["01", "-1", "a/b"], ["01", "-1", "a/b"]), (["1", "1"], [1, "1 (2)"])]
)
@pytest.mark.parametrize("name", ["wham", "vibe"])
def test_ids_of_new_files(tmp_path, name, ids, keys):
    FORMATS[name].make(plain_motion(*(plain_person(k) for k in ids)), tmp_path / "new.pkl")
    assert list(pickle.loads((tmp_path / "new.pkl").read_bytes())) == keys


@pytest.mark.parametrize(("name", "title"), [("wham", "WHAM's results"), ("vibe", "VIBE's results")])
def test_nobody_is_no_new_file(tmp_path, name, title):
    with pytest.raises(ValueError, match=re.escape(f"people for {title}: expected at least one, received nobody")):
        FORMATS[name].make(Motion("", (), 30), tmp_path / "new.pkl")
    assert not list(tmp_path.iterdir())
