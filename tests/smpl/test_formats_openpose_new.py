"""New folders of OpenPose files."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from smpl_tools.convert import make, prepared_for
from smpl_tools.formats import FORMATS, read
from smpl_tools.formats._openpose_joints import BODY_25, BODY_25B, COCO_18, HAND
from smpl_tools.joint_names import normal_name
from smpl_tools.motion import Motion, Person, Track
from tests.helpers import shared


def motion(names, frames=(3, 4, 6), confidence=None, seed=0):
    generator = np.random.default_rng(seed)
    values = generator.uniform(100, 500, (1, len(names), 2)) + generator.uniform(0, 5, (len(frames), len(names), 2))
    values = values.round(3)
    track = Track(values, "position", "body", tuple(names), confidence)
    return Motion("csv", (Person("0", {"joints": track}, np.array(frames)),), 30.0)


@pytest.mark.parametrize("layout", [BODY_25, BODY_25B, COCO_18])
def test_the_layout_the_joints_fit(tmp_path, layout):
    one = motion([normal_name(name) for name in layout])
    FORMATS["openpose"].make(one, tmp_path / "take")
    files = sorted(p.name for p in (tmp_path / "take").iterdir())
    assert files == [f"take_{k:012d}_keypoints.json" for k in (3, 4, 5, 6)]
    first = json.loads((tmp_path / "take" / files[0]).read_text())
    (person,) = first["people"]
    assert first["version"] == 1.3
    assert person["person_id"] == [-1]
    assert person["face_keypoints_2d"] == person["hand_left_keypoints_2d"] == person["pose_keypoints_3d"] == []
    expected = np.concatenate([one.people[0].tracks["joints"].values[0], np.ones((len(layout), 1))], axis=1)
    assert np.array_equal(np.array(person["pose_keypoints_2d"]).reshape(-1, 3), expected)
    assert json.loads((tmp_path / "take" / files[2]).read_text())["people"] == []
    again = read(tmp_path / "take")
    assert again.people[0].frames.tolist() == [3, 4, 6]


def test_hands_and_what_was_not_seen(tmp_path):
    names = [*COCO_18, *(f"{side}_hand_{joint}" for side in ("left", "right") for joint in HAND)]
    one = motion(names, confidence=np.full((3, len(names)), 0.25))
    values = one.people[0].tracks["joints"].values
    values[1, 2] = np.nan
    FORMATS["openpose"].make(one, tmp_path / "take")
    again = read(tmp_path / "take")
    tracks = again.people[0].tracks
    assert list(tracks) == ["pose", "left_hand", "right_hand"]
    assert np.array_equal(tracks["pose"].values, values[:, :18], equal_nan=True)
    assert np.array_equal(tracks["right_hand"].values, values[:, 39:])
    assert tracks["pose"].confidence[1, 2] == 0
    assert tracks["pose"].confidence[0, 2] == 0.25


def test_a_real_folder_comes_back(tmp_path):
    one = read(shared("data", "real", "openpose", "two_people_cam01"))
    ready, _ = prepared_for(one, "openpose")
    make(ready, "openpose", tmp_path / "take")
    again = read(tmp_path / "take")
    assert len(again.people) == len(one.people)
    for new, old in zip(again.people, one.people, strict=True):
        assert np.array_equal(new.frames, old.frames)
        for name, track in old.tracks.items():
            assert np.array_equal(new.tracks[name].values, track.values, equal_nan=True)
            assert np.array_equal(new.tracks[name].confidence, track.confidence)


def test_refusals(tmp_path):
    path = tmp_path / "take"
    cases = [
        (Motion("csv", (), 30.0), "people for OpenPose files: expected at least one, received nobody"),
        (motion(COCO_18, frames=(-2, -1, 0)), "frame numbers for OpenPose files: expected 0 and more, received -2"),
        (motion(["a", "b"]), "joints for OpenPose's body: expected Nose"),
    ]
    for bad, message in cases:
        with pytest.raises(ValueError, match=re.escape(message)):
            FORMATS["openpose"].make(bad, path)
        assert not path.exists()
