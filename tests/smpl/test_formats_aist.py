"""AIST++ motions and keypoints."""

from __future__ import annotations

import os
import pickle
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smpl_tools.contents import as_content
from smpl_tools.formats import FORMATS, detect, read, write
from smpl_tools.formats.aist import COCO_17
from smpl_tools.motion import Motion, Person, Track
from smpl_tools.skeleton import SMPL, person_positions
from tests.smpl.plain_smpl import assert_same_person, made, people, plain_motion, plain_person


def motion_content(shape=(8, 24, 3), dtype=np.float32) -> dict:
    rng = np.random.default_rng(3)
    return {
        "smpl_poses": rng.normal(size=shape).astype(dtype),
        "smpl_scaling": np.array([93.8], dtype),
        "smpl_trans": (100 * rng.normal(size=(shape[0], 3))).astype(dtype),
        "smpl_loss": 0.25,
    }


def keypoints_content() -> dict:
    keypoints = 100 * np.random.default_rng(4).normal(size=(2, 9, 17, 3))
    keypoints[0, 3, 5] = np.nan
    return {"keypoints3d": keypoints[0], "keypoints3d_optim": keypoints[1]}


def saved(path, content, protocol=pickle.HIGHEST_PROTOCOL):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def assert_same(one, other):
    assert list(one) == list(other)
    for key in one:
        assert type(one[key]) is type(other[key])
        if isinstance(one[key], np.ndarray):
            assert (one[key].dtype, one[key].shape) == (other[key].dtype, other[key].shape)
            assert one[key].tobytes() == other[key].tobytes()
        else:
            assert one[key] == other[key]


CONTENTS = {
    "motion": motion_content,
    "flat motion": lambda: motion_content((8, 72)),
    "float64": lambda: motion_content(dtype=np.float64),
    "one frame": lambda: motion_content((1, 24, 3)),
    "no frame": lambda: motion_content((0, 72)),
    "keypoints": keypoints_content,
    "one kind of keypoints": lambda: {"keypoints3d": keypoints_content()["keypoints3d"]},
}


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("protocol", range(2, 6))
def test_round_trip(tmp_path, name, protocol):
    path = saved(tmp_path / "in.pkl", CONTENTS[name](), protocol)
    assert detect(path).name == "aist"
    write(read(path), tmp_path / "out.pkl")
    assert_same(pickle.loads((tmp_path / "out.pkl").read_bytes()), CONTENTS[name]())


@pytest.mark.parametrize("compress", [0, 3, ("bz2", 3), ("xz", 3)])
def test_round_trip_through_joblib(tmp_path, compress):
    joblib = pytest.importorskip("joblib", reason="joblib, which writes such files, is not installed")
    joblib.dump(motion_content(), tmp_path / "in.pkl", compress=compress)
    write(read(tmp_path / "in.pkl"), tmp_path / "out.pkl")
    assert_same(joblib.load(tmp_path / "out.pkl"), motion_content())


@pytest.mark.parametrize("shape", [(8, 24, 3), (8, 72)])
def test_a_motion(tmp_path, shape):
    content = motion_content(shape)
    motion = read(saved(tmp_path / "in.pkl", content))
    (person,) = motion.people
    assert (motion.format, motion.fps, motion.notes) == ("aist", 60, ("lengths are in centimetres",))
    assert person.frames.tolist() == list(range(8))
    assert {n: (t.kind, t.part, t.values.shape) for n, t in person.tracks.items()} == {
        "global_orient": ("axis_angle", "root", (8, 1, 3)),
        "body_pose": ("axis_angle", "body", (8, 23, 3)),
        "transl": ("position", "root", (8, 1, 3)),
    }
    np.testing.assert_array_equal(
        person.tracks["body_pose"].values.reshape(8, 69), content["smpl_poses"].reshape(8, 72)[:, 3:]
    )
    # The body is the male one of mean shape, as AIST++ fitted it.
    assert person.gender == "male"
    np.testing.assert_array_equal(person.betas, np.zeros(10))
    assert (person.tracks["global_orient"].up, person.tracks["transl"].up) == ("y", "y")
    # The skeleton is in the file's own unit, so that it fits the translation.
    assert motion.skeleton is not None
    placed = person_positions(person, motion.skeleton)
    np.testing.assert_allclose(placed[:, 0], content["smpl_trans"], rtol=1e-6)
    thigh = np.linalg.norm(placed[:, 4] - placed[:, 1], axis=-1)
    np.testing.assert_allclose(thigh, np.linalg.norm(SMPL.offsets[4]) * np.float32(93.8))
    assert read(tmp_path / "in.pkl", fps=30).fps == 30


def test_keypoints(tmp_path):
    motion = read(saved(tmp_path / "in.pkl", keypoints_content()))
    tracks = motion.people[0].tracks
    assert list(tracks) == ["keypoints3d", "keypoints3d_optim"]
    assert np.isnan(tracks["keypoints3d"].values[3, 5]).all()
    assert COCO_17[5:9] == ("left_shoulder", "right_shoulder", "left_elbow", "right_elbow")
    assert len(set(COCO_17)) == 17
    assert motion.skeleton is None
    new = tracks["keypoints3d"].replace(values=tracks["keypoints3d"].values + 1)
    write(motion.with_people((motion.people[0].with_tracks({"keypoints3d": new}),)), tmp_path / "out.pkl")
    expected = keypoints_content()
    expected["keypoints3d"] += 1
    assert_same(pickle.loads((tmp_path / "out.pkl").read_bytes()), expected)


@pytest.mark.parametrize("shape", [(8, 24, 3), (8, 72)])
@pytest.mark.parametrize(
    ("track", "key", "columns"),
    [
        ("global_orient", "smpl_poses", slice(0, 3)),
        ("body_pose", "smpl_poses", slice(3, 72)),
        ("transl", "smpl_trans", slice(0, 3)),
    ],
)
def test_a_changed_track_lands_in_its_place_and_nowhere_else(tmp_path, shape, track, key, columns):
    motion = read(saved(tmp_path / "in.pkl", motion_content(shape)))
    (person,) = motion.people
    new = person.tracks[track].replace(values=person.tracks[track].values + np.float32(0.5))
    write(motion.with_people((person.with_tracks({track: new}),)), tmp_path / "out.pkl")
    expected = motion_content(shape)
    expected[key].reshape(8, -1)[:, columns] += np.float32(0.5)
    assert_same(pickle.loads((tmp_path / "out.pkl").read_bytes()), expected)
    assert_same(motion.source, motion_content(shape))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            motion_content() | {"smpl_poses": np.zeros((8, 23, 3))},
            "smpl_poses: expected an array (N, 24, 3) of floats, received (8, 23, 3) of float64",
        ),
        (
            motion_content() | {"smpl_poses": np.zeros((8, 156))},
            "smpl_poses: expected an array (N, 72) of floats, received (8, 156) of float64",
        ),
        (
            motion_content() | {"smpl_trans": "far"},
            "smpl_trans: expected an array (N, 3) of floats, received a str",
        ),
        (
            motion_content() | {"smpl_scaling": np.ones((2, 2))},
            "smpl_scaling: expected an array (N,) of floats, received (2, 2) of float64",
        ),
        (motion_content() | {"smpl_scaling": np.ones(2)}, "smpl_scaling: expected one number, received 2"),
        (
            motion_content() | {"smpl_trans": np.zeros((7, 3))},
            "frames of track 'transl' of person 0: expected 8, received 7",
        ),
        (
            {"keypoints3d": np.zeros((5, 67, 3))},
            "keypoints3d: expected an array (N, 17, 3) of floats, received (5, 67, 3) of float64",
        ),
        (
            {"keypoints3d": np.zeros((5, 17, 3), int)},
            "keypoints3d: expected an array (N, 17, 3) of floats, received (5, 17, 3) of int64",
        ),
    ],
)
def test_bad_arrays_are_refused(tmp_path, content, message):
    path = saved(tmp_path / "in.pkl", content)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
        read(path)


@pytest.mark.parametrize(
    ("content", "found"), [([1, 2], "a list"), ({"smpl_poses": 1, "b\n": 2}, r"a dictionary with 'smpl_poses', 'b\n'")]
)
def test_another_pickle_is_refused(tmp_path, content, found):
    path = saved(tmp_path / "in.pkl", content)
    message = "expected a dictionary with smpl_poses, smpl_trans and smpl_scaling, or with keypoints3d, received "
    with pytest.raises(ValueError, match=re.escape(f"{path}: content: {message}{found}")):
        read(path, format="aist")


class _Attack:
    def __reduce__(self):
        return os.system, ("touch canary",)


def test_an_attack_is_refused_by_name_and_nothing_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "in.pkl", motion_content() | {"smpl_loss": _Attack()})
    for format in (None, "aist"):
        with pytest.raises(ValueError, match=r"in\.pkl: refused: .*system.* nothing was run"):
            read(tmp_path / "in.pkl", format=format)
    assert not (tmp_path / "canary").exists()


def test_damaged_files_are_refused(tmp_path):
    path = saved(tmp_path / "in.pkl", motion_content())
    whole = path.read_bytes()
    for size in (2, 100, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=re.escape(f"{path}: not a readable pickle")) as caught:
            read(path)
        assert "\n" not in str(caught.value)


@given(person=people(betas="none", metres=0.01))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_new_motions_hold_the_motion(tmp_path, person):
    motion, plain = made("aist", plain_motion(person, fps=60), tmp_path / "new.pkl")
    assert_same_person(plain.people[0], person)
    place = plain.people[0].tracks["transl"]
    assert (place.metres, place.up, motion.fps) == (0.01, "y", 60)


def test_new_motions_are_in_centimetres_by_their_scaling(tmp_path):
    person = plain_person(metres=0.01, dtype=np.float32)
    made("aist", plain_motion(person), tmp_path / "new.pkl")
    content = pickle.loads((tmp_path / "new.pkl").read_bytes())
    assert {k: (v.shape, v.dtype) for k, v in content.items()} == {
        "smpl_poses": ((6, 72), np.float32),
        "smpl_scaling": ((1,), np.float32),
        "smpl_trans": ((6, 3), np.float32),
    }
    # As its users have it, in place.
    content["smpl_trans"] /= content["smpl_scaling"]
    np.testing.assert_allclose(content["smpl_trans"], person.tracks["transl"].values[:, 0] / 100)


def keypoints_motion(names, dtype=np.float64, people=1) -> Motion:
    values = np.random.default_rng(2).normal(size=(7, len(names), 3)).astype(dtype)
    track = Track(values, "position", "body", tuple(names), metres=0.01, up="y")
    return Motion("", tuple(Person(str(k), {"joints": track}, np.arange(7)) for k in range(people)), 60)


@given(order=st.permutations([*COCO_17, "neck", "pelvis"]), dtype=st.sampled_from([np.float32, np.float64]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_new_keypoints_are_chosen_by_name(tmp_path, order, dtype):
    motion = keypoints_motion(order, dtype)
    FORMATS["aist"].make(motion, tmp_path / "new.pkl")
    content = pickle.loads((tmp_path / "new.pkl").read_bytes())
    assert list(content) == ["keypoints3d", "keypoints3d_optim"]
    found = as_content(read(tmp_path / "new.pkl"), "joints")[0].people[0].tracks["joints"]
    assert (found.joints, found.metres, found.up, found.values.dtype) == (COCO_17, 0.01, "y", dtype)
    given_track = motion.people[0].tracks["joints"]
    for k, name in enumerate(COCO_17):
        np.testing.assert_array_equal(found.values[:, k], given_track.values[:, order.index(name)])
        np.testing.assert_array_equal(content["keypoints3d_optim"][:, k], found.values[:, k])


def test_joints_that_are_missing_are_named(tmp_path):
    names = ["left_eye", *COCO_17[4:]]
    message = "joints for COCO's 17: expected nose, right_eye, left_ear, received left_eye, "
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        FORMATS["aist"].make(keypoints_motion(names), tmp_path / "new.pkl")


def test_only_one_person_fits(tmp_path):
    for motion in (keypoints_motion(COCO_17, people=2), plain_motion(plain_person("0"), plain_person("1"))):
        with pytest.raises(ValueError, match=re.escape("people for an AIST++ file: expected one, received 0, 1")):
            FORMATS["aist"].make(motion, tmp_path / "new.pkl")
