"""WHAM's results, and those laid out alike."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
from collections import defaultdict

import numpy as np
import pytest

from smpl_tools.formats import detect, read, write
from smpl_tools.skeleton import SMPL


def wham(same_body: bool = True, dtype: type = np.float32) -> defaultdict:
    """Return what WHAM's demo collects for two people, the second of whom is lost for three frames."""
    rng = np.random.default_rng(7)
    results: defaultdict = defaultdict(dict)
    for key, frames in ((0, np.arange(6)), (3, np.array([2, 3, 7, 8]))):
        pose, world = rng.normal(size=(2, len(frames), 72)).astype(dtype)
        if same_body:
            world[:, 3:] = pose[:, 3:]
        results[key]["pose"] = pose
        results[key]["trans"] = rng.normal(size=(len(frames), 3)).astype(dtype)
        results[key]["pose_world"] = world
        results[key]["trans_world"] = rng.normal(size=(len(frames), 3)).astype(dtype)
        results[key]["betas"] = rng.normal(size=(len(frames), 10)).astype(dtype)
        results[key]["verts"] = rng.normal(size=(len(frames), 20, 3)).astype(dtype)
        results[key]["frame_ids"] = frames
    return results


def vibe() -> dict:
    rng = np.random.default_rng(8)
    return {
        1: {
            "pred_cam": rng.normal(size=(5, 3)).astype(np.float32),
            "orig_cam": rng.normal(size=(5, 4)).astype(np.float32),
            "verts": rng.normal(size=(5, 20, 3)).astype(np.float32),
            "pose": rng.normal(size=(5, 72)).astype(np.float32),
            "betas": rng.normal(size=(5, 10)).astype(np.float32),
            "joints3d": rng.normal(size=(5, 49, 3)).astype(np.float32),
            "joints2d": None,
            "bboxes": rng.normal(size=(5, 4)),
            "frame_ids": np.arange(5),
        }
    }


def saved(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def loaded(path):
    return pickle.loads(path.read_bytes())


def assert_same(one, other):
    """Fail unless two results are the same in types, keys, order, dtypes and bits."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()
    else:
        assert one == other


def plus(motion, person: int, track: str, amount: float):
    """Return the motion with ``amount`` added to one track of one person."""
    people = list(motion.people)
    old = people[person].tracks[track]
    people[person] = people[person].with_tracks({track: old.replace(values=old.values + old.values.dtype.type(amount))})
    return motion.with_people(tuple(people))


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("make", [wham, vibe])
def test_round_trip_of_pickles(tmp_path, protocol, make):
    path = saved(tmp_path / "in.pkl", make(), protocol)
    assert detect(path).name == make.__name__
    write(read(path), tmp_path / "out.pkl")
    assert_same(loaded(tmp_path / "out.pkl"), make())


@pytest.mark.parametrize("compress", [0, 3, *((name, 3) for name in ("zlib", "gzip", "bz2", "xz", "lzma"))])
@pytest.mark.parametrize("make", [wham, vibe])
def test_round_trip_of_joblib_files(tmp_path, compress, make):
    joblib = pytest.importorskip("joblib", reason="joblib, which writes such files, is not installed")
    joblib.dump(make(), tmp_path / "in.pkl", compress=compress)
    assert detect(tmp_path / "in.pkl").name == make.__name__
    write(read(tmp_path / "in.pkl"), tmp_path / "out.pkl")
    assert_same(joblib.load(tmp_path / "out.pkl"), make())


def test_what_is_read(tmp_path):
    content = wham()
    motion = read(saved(tmp_path / "in.pkl", content))
    assert (motion.format, motion.fps, motion.skeleton) == ("wham", 30, SMPL)
    assert motion.notes == (
        "frame rate not stated in the file: 30 frames a second assumed",
        "verts: kept as they are, so they show the pose before refinement",
    )
    assert [p.id for p in motion.people] == ["0", "3"]
    person, record = motion.people[1], content[3]
    assert person.frames.tolist() == [2, 3, 7, 8]
    assert {n: (t.kind, t.part, t.values.shape) for n, t in person.tracks.items()} == {
        "global_orient": ("axis_angle", "root", (4, 1, 3)),
        "body_pose": ("axis_angle", "body", (4, 23, 3)),
        "global_orient_world": ("axis_angle", "root", (4, 1, 3)),
        "transl": ("position", "root", (4, 1, 3)),
        "transl_world": ("position", "root", (4, 1, 3)),
        "betas": ("channels", "shape", (4, 10)),
    }
    np.testing.assert_array_equal(person.tracks["body_pose"].values.reshape(4, 69), record["pose"][:, 3:])
    np.testing.assert_array_equal(person.tracks["global_orient_world"].values[:, 0], record["pose_world"][:, :3])
    np.testing.assert_array_equal(person.tracks["transl_world"].values[:, 0], record["trans_world"])
    assert person.tracks["body_pose"].joints[:2] == ("left_hip", "right_hip")


def test_a_stated_rate_needs_no_note(tmp_path):
    motion = read(saved(tmp_path / "in.pkl", vibe()), fps=25)
    assert motion.fps == 25
    assert motion.notes == ("verts, joints3d: kept as they are, so they show the pose before refinement",)
    assert motion.people[0].tracks["pred_cam"].joints == ("scale", "x", "y")
    assert motion.people[0].tracks["orig_cam"].part == "camera"


@pytest.mark.parametrize(
    ("track", "places"),
    [
        ("global_orient", [("pose", slice(0, 3))]),
        ("body_pose", [("pose", slice(3, 72)), ("pose_world", slice(3, 72))]),
        ("global_orient_world", [("pose_world", slice(0, 3))]),
        ("transl", [("trans", slice(0, 3))]),
        ("transl_world", [("trans_world", slice(0, 3))]),
        ("betas", [("betas", slice(0, 10))]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_changed_track_lands_in_its_place_and_nowhere_else(tmp_path, track, places, dtype):
    motion = read(saved(tmp_path / "in.pkl", wham(dtype=dtype)))
    write(plus(motion, 1, track, 0.5), tmp_path / "out.pkl")
    expected = wham(dtype=dtype)
    for key, columns in places:
        expected[3][key][:, columns] += dtype(0.5)
    assert_same(loaded(tmp_path / "out.pkl"), expected)
    # What was read is as it was.
    assert_same(motion.source, wham(dtype=dtype))


def test_a_second_body_pose_is_a_track_of_its_own(tmp_path):
    motion = read(saved(tmp_path / "in.pkl", wham(same_body=False)))
    assert "body_pose_world" in motion.people[0].tracks
    write(plus(plus(motion, 0, "body_pose", 1), 0, "body_pose_world", 2), tmp_path / "out.pkl")
    expected = wham(same_body=False)
    expected[0]["pose"][:, 3:] += np.float32(1)
    expected[0]["pose_world"][:, 3:] += np.float32(2)
    assert_same(loaded(tmp_path / "out.pkl"), expected)


def test_what_was_not_observed_and_not_filled_keeps_its_bits(tmp_path):
    content = wham()
    content[0]["trans"][2] = np.nan
    motion = read(saved(tmp_path / "in.pkl", content))
    write(plus(motion, 0, "transl", 1), tmp_path / "out.pkl")
    content[0]["trans"] += np.float32(1)
    assert_same(loaded(tmp_path / "out.pkl"), content)


@pytest.mark.parametrize("frames", [0, 1])
def test_short_and_sparse_records(tmp_path, frames):
    content = {"a": {key: value[:frames] for key, value in wham()[0].items()} | {"betas": np.zeros(10), "trans": None}}
    motion = read(saved(tmp_path / "in.pkl", content))
    assert "betas" not in motion.people[0].tracks
    assert motion.people[0].id == "a"
    write(motion, tmp_path / "out.pkl")
    assert_same(loaded(tmp_path / "out.pkl"), content)


def test_the_pickle_names_numpy_so_that_numpy_1_finds_it(tmp_path):
    write(read(saved(tmp_path / "in.pkl", wham())), tmp_path / "out.pkl")
    content = (tmp_path / "out.pkl").read_bytes()
    assert b"numpy._core" not in content
    assert b"numpy.core.multiarray" in content


class _Attack:
    def __reduce__(self):
        return os.system, ("touch canary",)


def test_an_attack_is_refused_by_name_and_nothing_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = wham()
    content[0]["verts"] = _Attack()
    saved(tmp_path / "in.pkl", content)
    for format in (None, "wham"):
        with pytest.raises(ValueError, match=r"in\.pkl: refused: .*system.* nothing was run"):
            read(tmp_path / "in.pkl", format=format)
    assert not (tmp_path / "canary").exists()


def test_a_truncated_file_is_refused(tmp_path):
    path = saved(tmp_path / "in.pkl", wham())
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=re.escape(f"{path}: not a readable pickle")) as caught:
        read(path)
    assert "\n" not in str(caught.value)


CHANGES = [
    ({"pose": np.zeros((6, 69))}, "pose of person 0: expected an array (6, 72) of floats, received (6, 69) of float64"),
    ({"pose": [1, 2]}, "pose of person 0: expected an array (6, 72) of floats, received a list"),
    (
        {"pose": np.zeros((6, 72), int)},
        "pose of person 0: expected an array (6, 72) of floats, received (6, 72) of int64",
    ),
    (
        {"pose_world": np.zeros((5, 72))},
        "pose_world of person 0: expected an array (6, 72) of floats, received (5, 72)",
    ),
    ({"trans": np.zeros((6, 2))}, "trans of person 0: expected an array (6, 3) of floats, received (6, 2) of float64"),
    (
        {"frame_ids": np.arange(6.0)},
        "frame_ids of person 0: expected an array (T,) of integers, received (6,) of float64",
    ),
    ({"frame_ids": None}, "frame_ids of person 0: expected an array (T,) of integers, received a NoneType"),
    ({"frame_ids": np.arange(6)[::-1]}, "frame numbers of person 0: expected strictly increasing, received a repeated"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_bad_arrays_are_refused(tmp_path, change, message):
    content = wham()
    content[0].update(change)
    path = saved(tmp_path / "in.pkl", content)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
        read(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [({}, "a dictionary with nothing in it"), ({"a": 1, 2: 3}, "a dictionary with 'a', 2"), ([1], "a list")],
)
def test_another_pickle_is_refused(tmp_path, content, found):
    path = saved(tmp_path / "in.pkl", content)
    message = f"{path}: content: expected a dictionary of people, each with pose and frame_ids, received {found}"
    with pytest.raises(ValueError, match=re.escape(message)):
        read(path, format="wham")
    with pytest.raises(ValueError, match=r"in\.pkl: unknown format"):
        read(path)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    motion = read(saved(tmp_path / "in.pkl", wham()))
    (tmp_path / "out.pkl").write_bytes(b"precious")
    broken = dataclasses.replace(motion, source={**motion.source, 0: {**motion.source[0], "extra": lambda: None}})
    with pytest.raises((pickle.PicklingError, AttributeError)):
        write(broken, tmp_path / "out.pkl")
    assert (tmp_path / "out.pkl").read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.pkl", "out.pkl"]
    with pytest.raises(ValueError, match=re.escape("nowhere")):
        write(motion, tmp_path / "nowhere" / "out.pkl")
