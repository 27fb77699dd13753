"""MediaPipe landmarks in JSON, in our layout and as programs dump MediaPipe's own results."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from smpl_tools.formats import FORMATS, detect, read, write
from smpl_tools.formats.mediapipe import LANDMARKS
from smpl_tools.motion import Motion, Person, Track
from tests.helpers import shared

GENERATOR = np.random.default_rng(0)
WORLD = GENERATOR.normal(size=(4, 33, 4)).round(6)
WORLD[..., 3] = GENERATOR.uniform(size=(4, 33)).round(3)
IMAGE = (WORLD + np.array([1, 1, 0, 0])).round(6)
NAMES = ("x", "y", "z", "visibility")


def objects(landmarks):
    return [dict(zip(NAMES, one, strict=True)) for one in landmarks.tolist()]


PAIRS = list(zip(WORLD, IMAGE, strict=True))
HEAD = {"fps": 25, "width": 640, "height": 480}
LAYOUTS = {
    "ours": {**HEAD, "world_landmarks": WORLD.tolist(), "image_landmarks": IMAGE.tolist()},
    "frames": {
        "fps": 25,
        "frames": [{"worldLandmarks": objects(w), "landmarks": objects(i), "t": 0} for w, i in PAIRS],
    },
    "list": [{"pose_world_landmarks": objects(w), "pose_landmarks": objects(i)} for w, i in PAIRS],
    "detector": [{"worldLandmarks": [objects(w)], "landmarks": [objects(i)]} for w, i in PAIRS],
}


def saved(tmp_path, document):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_and_written_again(tmp_path, layout):
    path = saved(tmp_path, LAYOUTS[layout])
    assert detect(path).name == "mediapipe-json"
    motion = read(path)
    tracks = motion.people[0].tracks
    assert list(tracks) == ["world_landmarks", "image_landmarks"]
    assert np.array_equal(tracks["world_landmarks"].values, WORLD[..., :3])
    assert np.array_equal(tracks["image_landmarks"].values, IMAGE[..., :3])
    assert np.array_equal(tracks["world_landmarks"].confidence, WORLD[..., 3])
    assert (tracks["world_landmarks"].metres, tracks["world_landmarks"].up) == (1.0, "-y")
    assert motion.fps == (25.0 if layout in ("ours", "frames") else None)
    assert motion.image_size == ((640, 480) if layout == "ours" else None)
    write(motion, tmp_path / "same.json")
    assert json.loads((tmp_path / "same.json").read_text()) == LAYOUTS[layout]
    moved = tracks["world_landmarks"].replace(values=tracks["world_landmarks"].values + 0.5)
    write(motion.with_people((motion.people[0].with_tracks({"world_landmarks": moved}),)), tmp_path / "new.json")
    again = read(tmp_path / "new.json").people[0].tracks
    assert np.array_equal(again["world_landmarks"].values, WORLD[..., :3] + 0.5)
    assert np.array_equal(again["world_landmarks"].confidence, WORLD[..., 3])
    assert np.array_equal(again["image_landmarks"].values, IMAGE[..., :3])


@pytest.mark.parametrize("nothing", [[], None])
def test_frames_without_a_detection(tmp_path, nothing):
    document = {"world_landmarks": [WORLD[0].tolist(), nothing, WORLD[2].tolist()]}
    motion = read(saved(tmp_path, document))
    values = motion.people[0].tracks["world_landmarks"].values
    assert np.isnan(values[1]).all()
    filled = motion.people[0].tracks["world_landmarks"].replace(values=np.nan_to_num(values) + 1)
    write(motion.with_people((motion.people[0].with_tracks({"world_landmarks": filled}),)), tmp_path / "y.json")
    written = json.loads((tmp_path / "y.json").read_text())["world_landmarks"]
    assert written[1] == nothing
    assert np.allclose(np.array(written[0])[:, :3], WORLD[0, :, :3] + 1)


@pytest.mark.parametrize("name", ["mediapipe", "mediapipe-json"])
def test_made_from_joints_of_another_file(tmp_path, name):
    joints = ("LWrist", "Nose", "RightHip")
    values = GENERATOR.normal(size=(3, 3, 3))
    frames = np.array([4, 5, 7])
    motion = Motion("csv", (Person("0", {"joints": Track(values, "position", "body", joints)}, frames),), 24.0)
    path = tmp_path / f"x{FORMATS[name].suffixes[0]}"
    FORMATS[name].make(motion, path)
    again = read(path)
    track = again.people[0].tracks["world_landmarks"]
    assert again.fps == 24.0
    at = [LANDMARKS.index(joint) for joint in ("left_wrist", "nose", "right_hip")]
    assert np.allclose(track.values[[0, 1, 3]][:, at], values, atol=1e-6)
    assert np.isnan(track.values[2]).all()
    assert track.confidence[0, at].tolist() == [1, 1, 1]
    assert track.confidence[0].sum() == 3


def test_a_real_take_goes_from_npz_to_json(tmp_path):
    from smpl_tools.convert import make, prepared_for

    motion = read(shared("data", "real", "mediapipe", "cam01_raw.npz"))
    ready, _ = prepared_for(motion, "mediapipe-json")
    make(ready, "mediapipe-json", tmp_path / "x.json")
    again = read(tmp_path / "x.json")
    old = motion.people[0].tracks["world_landmarks"]
    assert np.array_equal(again.people[0].tracks["world_landmarks"].values, old.values, equal_nan=True)
    assert again.fps == motion.fps


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"world_landmarks": [[[1, 2, 3, 4]] * 32]}, "world_landmarks, frame 0: expected 33 landmarks, received 32"),
        (
            {"world_landmarks": [[[1, 2, "a", 4]] * 33]},
            "world_landmarks, frame 0: expected landmarks of x, y, z, visib",
        ),
        ([{"landmarks": [objects(IMAGE[0])] * 2}], "image_landmarks, frame 0: expected one pose, received 2 poses"),
        ({"world_landmarks": [], "fps": -1}, "fps: expected a positive number, received -1"),
        (
            {"other": 1},
            "JSON: expected an object or a list of frames with world_landmarks, image_landmarks, received dict",
        ),
        (
            {"world_landmarks": [WORLD[0].tolist()], "image_landmarks": []},
            "frames of track 'image_landmarks' of person 0",
        ),
    ],
)
def test_refusals(tmp_path, document, message):
    path = saved(tmp_path, document)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
        read(path, format="mediapipe-json")


def test_text_that_is_no_json(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"world_landmarks": [')
    with pytest.raises(ValueError, match=re.escape(f"{path}: not readable JSON: ")):
        read(path)
    path.write_text('{"world_landmarks": ' + "[" * 100000)
    with pytest.raises(ValueError, match=re.escape(f"{path}: not readable JSON: nested too deeply")):
        read(path)
