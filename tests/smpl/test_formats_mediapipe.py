"""MediaPipe landmarks."""

from __future__ import annotations

import re

import numpy as np
import pytest

from smpl_tools.formats import detect, read, write
from smpl_tools.formats.mediapipe import LANDMARKS
from tests.helpers import shared


def content(frames=7, dtype=np.float32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    return {
        "note": np.array("mine"),
        "image_landmarks": rng.uniform(0.1, 0.9, (frames, 33, 4)).astype(dtype),
        "world_landmarks": rng.uniform(-0.9, 0.9, (frames, 33, 4)).astype(dtype),
        "fps": np.float32(29.97),
        "width": np.array(1080),
        "height": np.array(1920.0),
    }


def saved(path, arrays, compressed=False):
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


def assert_same(path, arrays):
    with np.load(path) as archive:
        assert archive.files == list(arrays)
        for key, array in arrays.items():
            assert archive[key].dtype == np.asarray(array).dtype
            assert archive[key].shape == np.shape(array)
            assert archive[key].tobytes() == np.asarray(array).tobytes()


def changed(motion, track, change):
    (person,) = motion.people
    new = person.tracks[track].replace(values=change(person.tracks[track].values))
    return motion.with_people((person.with_tracks({track: new}),))


@pytest.mark.parametrize("name", ["cam01_raw", "cam01_smooth", "cam03_raw", "cam03_smooth"])
def test_real_files(tmp_path, name):
    source = shared("data", "real", "mediapipe", f"{name}.npz")
    assert detect(source).name == "mediapipe"
    motion = read(source)
    with np.load(source) as archive:
        arrays = dict(archive)
    assert motion.fps == 60
    assert motion.image_size == (float(arrays["width"]), float(arrays["height"]))
    (person,) = motion.people
    assert person.frames.tolist() == list(range(100))
    for key, track in person.tracks.items():
        assert (track.kind, track.part, track.joints) == ("position", "body", LANDMARKS)
        np.testing.assert_array_equal(track.values, arrays[key][..., :3])
        np.testing.assert_array_equal(track.confidence, arrays[key][..., 3])
    # In the image, whose y points down, the head is above the feet.
    image = person.tracks["image_landmarks"].values[:, :, 1].mean(axis=0)
    assert image[LANDMARKS.index("nose")] < image[LANDMARKS.index("left_heel")]
    write(motion, tmp_path / "out.npz")
    assert_same(tmp_path / "out.npz", arrays)


def test_the_names_are_blazeposes():
    # Indices as MediaPipe's documentation numbers them.
    known = {0: "nose", 2: "left_eye", 6: "right_eye_outer", 8: "right_ear", 10: "mouth_right", 11: "left_shoulder"}
    known |= {
        16: "right_wrist",
        19: "left_index",
        24: "right_hip",
        27: "left_ankle",
        30: "right_heel",
        31: "left_foot_index",
    }
    assert {index: LANDMARKS[index] for index in known} == known
    assert len(set(LANDMARKS)) == 33


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("frames", [0, 1, 7])
def test_round_trip(tmp_path, dtype, compressed, frames):
    path = saved(tmp_path / "in.npz", content(frames, dtype), compressed)
    write(read(path), tmp_path / "out.npz")
    assert_same(tmp_path / "out.npz", content(frames, dtype))
    assert (
        (tmp_path / "out.npz").stat().st_size < 0.97 * saved(path, content(frames, dtype)).stat().st_size
    ) == compressed


@pytest.mark.parametrize("track", ["image_landmarks", "world_landmarks"])
def test_a_changed_track_lands_in_its_place_and_nowhere_else(tmp_path, track):
    motion = read(saved(tmp_path / "in.npz", content()))
    write(changed(motion, track, lambda v: v + np.float32(0.5)), tmp_path / "out.npz")
    expected = content()
    expected[track][..., :3] += np.float32(0.5)
    assert_same(tmp_path / "out.npz", expected)


@pytest.mark.parametrize("missing", [0.0, np.nan])
def test_frames_not_detected(tmp_path, missing):
    arrays = content()
    arrays["world_landmarks"][2:4] = missing
    motion = read(saved(tmp_path / "in.npz", arrays))
    track = motion.people[0].tracks["world_landmarks"]
    assert np.isnan(track.values).all(axis=(1, 2)).tolist() == [False, False, True, True, False, False, False]
    assert track.confidence is not None
    assert not track.confidence[2:4].any()
    assert np.isfinite(motion.people[0].tracks["image_landmarks"].values).all()
    write(motion, tmp_path / "same.npz")
    assert_same(tmp_path / "same.npz", arrays)
    # Filled in, they are written; their visibility stays.
    write(changed(motion, "world_landmarks", lambda v: np.nan_to_num(v, nan=0.25)), tmp_path / "out.npz")
    arrays["world_landmarks"][2:4, :, :3] = 0.25
    assert_same(tmp_path / "out.npz", arrays)


def test_one_landmark_not_seen_and_one_at_the_origin(tmp_path):
    arrays = content()
    arrays["world_landmarks"][1, 4, :3] = np.nan
    arrays["world_landmarks"][1, 5, :3] = 0
    arrays["world_landmarks"][2, 6, 3] = 1.5
    motion = read(saved(tmp_path / "in.npz", arrays))
    track = motion.people[0].tracks["world_landmarks"]
    assert np.isnan(track.values[1, 4]).all()
    assert not track.values[1, 5].any()
    assert track.confidence is not None
    assert track.confidence[2, 6] == 1
    write(motion, tmp_path / "out.npz")
    assert_same(tmp_path / "out.npz", arrays)


def test_what_the_file_does_not_say(tmp_path):
    arrays = {"world_landmarks": content()["world_landmarks"]}
    motion = read(saved(tmp_path / "in.npz", arrays))
    assert (motion.fps, motion.image_size, motion.notes) == (None, None, ("frame rate not stated in the file",))
    assert list(motion.people[0].tracks) == ["world_landmarks"]
    stated = read(tmp_path / "in.npz", fps=50)
    assert (stated.fps, stated.notes) == (50, ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"image_landmarks": np.zeros((7, 17, 4))},
            "image_landmarks: expected (T, 33, 4) of floats, received (7, 17, 4) of float64",
        ),
        (
            {"world_landmarks": np.zeros((7, 33, 4), int)},
            "world_landmarks: expected (T, 33, 4) of floats, received (7, 33, 4) of int64",
        ),
        (
            {"world_landmarks": np.ones((6, 33, 4))},
            "frames of track 'image_landmarks' of person 0: expected 6, received 7",
        ),
        ({"fps": np.array(0.0)}, "fps: expected one positive number, received [0.0]"),
        ({"fps": np.array(np.inf)}, "fps: expected one positive number, received [inf]"),
        ({"width": np.array([1, 2])}, "width: expected one positive number, received [1, 2]"),
        ({"height": np.array("tall")}, "height: expected one positive number, received ['tall']"),
    ],
)
def test_bad_arrays_are_refused(tmp_path, change, message):
    path = saved(tmp_path / "in.npz", content() | change)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
        read(path)


def test_another_archive_is_refused(tmp_path):
    path = saved(tmp_path / "in.npz", {"a": np.zeros(3), "b": np.zeros(3)})
    message = f"{path}: keys: expected world_landmarks or image_landmarks, received a, b"
    with pytest.raises(ValueError, match=re.escape(message)):
        read(path, format="mediapipe")


def test_a_truncated_file_is_refused(tmp_path):
    path = saved(tmp_path / "in.npz", content())
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=re.escape(f"{path}: not a readable .npz")) as caught:
        read(path)
    assert "\n" not in str(caught.value)
