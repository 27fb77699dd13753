"""TRAM's files of one person, whose numbers are PyTorch's tensors in a pickle."""

from __future__ import annotations

import os
import pickle
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from scipy.spatial.transform import Rotation

from smoothnet_core.restricted_pickle import load_npy
from smpl_tools.formats import FORMATS, detect, read, write
from smpl_tools.formats.tram import _dump
from smpl_tools.motion import Motion
from smpl_tools.skeleton import SMPL
from tests.smpl.plain_smpl import assert_same_person, made, people, plain_motion, plain_person

SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SEEN = np.array([3, 4, 5, 9, 10])


def tram(frames: np.ndarray = SEEN, **changes) -> dict:
    """Return what TRAM saves, as arrays."""
    rng = np.random.default_rng(5)
    count = len(frames)
    rotations = Rotation.from_rotvec(rng.normal(size=(24 * count, 3))).as_matrix().reshape(count, 24, 3, 3)
    # Neither of unit length nor orthogonal, as the network gives them: the first column, then the second.
    first = rotations[..., 0] * rng.uniform(0.5, 2, (count, 24, 1))
    second = rotations[..., 1] + 0.3 * rotations[..., 0]
    return {
        "pred_cam": rng.normal(size=(count, 3)).astype(np.float32),
        "pred_pose": np.concatenate([first, second], axis=-1).reshape(count, 144).astype(np.float32),
        "pred_shape": rng.normal(size=(count, 10)).astype(np.float32),
        "pred_rotmat": rotations.astype(np.float32),
        "pred_trans": rng.normal(size=(count, 1, 3)).astype(np.float32),
        "frame": frames,
        **changes,
    }


def saved(path, content, *, tensors: bool = True):
    arrays = [value for value in content.values() if isinstance(value, np.ndarray)]
    _dump(content, path, arrays if tensors else [])
    return path


def loaded(path):
    return load_npy(path).item()


def assert_same(one, other):
    assert list(one) == list(other)
    for key, value in one.items():
        assert type(value) is type(other[key])
        if isinstance(value, np.ndarray):
            assert (value.dtype, value.shape) == (other[key].dtype, other[key].shape)
            np.testing.assert_array_equal(value, other[key])
        else:
            assert value == other[key]


def changed(motion: Motion, name: str, values: np.ndarray) -> Motion:
    (person,) = motion.people
    return motion.with_people((person.with_tracks({name: person.tracks[name].replace(values=values)}),))


@pytest.mark.parametrize("protocol", [None, 4])
def test_a_file_of_pytorchs_comes_back_as_one(tmp_path, protocol):
    torch = pytest.importorskip("torch", reason="PyTorch, which writes such files, is not installed")
    content = {key: torch.from_numpy(value) for key, value in tram().items()}
    content |= {"img_focal": np.array([1000.0]), "note": "kept", "more": {"deep": torch.ones(2, dtype=torch.int16)}}
    path = tmp_path / "hps_track_0.npy"
    if protocol is None:
        np.save(path, content)
    else:
        array = np.array(content, dtype=object)
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
            pickle.dump(array, file, protocol=protocol)
    assert detect(path).name == "tram"
    motion = read(path)
    for name in (None, "transl"):
        new = motion
        if name is not None:
            new = changed(motion, name, motion.people[0].tracks[name].values + np.float32(1))
        write(new, tmp_path / "out.npy")
        found = np.load(tmp_path / "out.npy", allow_pickle=True).item()
        assert list(found) == list(content)
        for key, value in content.items():
            assert type(found[key]) is type(value)
            if isinstance(value, torch.Tensor):
                expected = value + 1 if (key, name) == ("pred_trans", "transl") else value
                assert found[key].dtype == value.dtype
                assert torch.equal(found[key], expected)
        assert found["img_focal"].tolist() == [1000.0]
        assert found["more"]["deep"].dtype == torch.int16
        assert found["more"]["deep"].tolist() == [1, 1]
        assert found["note"] == "kept"


def test_what_is_read(tmp_path):
    content = tram()
    motion = read(saved(tmp_path / "in.npy", content))
    assert (motion.format, motion.fps, motion.skeleton) == ("tram", 30, SMPL)
    assert motion.notes == (
        "frame rate not stated in the file: 30 frames a second assumed",
        "as the camera sees it: its own movement is in camera.npy",
    )
    (person,) = motion.people
    assert person.frames.tolist() == SEEN.tolist()
    assert {n: (t.kind, t.part, t.values.shape, t.up, t.metres) for n, t in person.tracks.items()} == {
        "global_orient": ("rotation_matrix", "root", (5, 1, 3, 3), "-y", None),
        "body_pose": ("rotation_matrix", "body", (5, 23, 3, 3), None, None),
        "transl": ("position", "root", (5, 1, 3), "-y", 1),
        "pred_cam": ("channels", "camera", (5, 3), None, None),
        "betas": ("channels", "shape", (5, 10), None, None),
    }
    np.testing.assert_array_equal(person.tracks["body_pose"].values, content["pred_rotmat"][:, 1:])
    np.testing.assert_array_equal(person.tracks["transl"].values, content["pred_trans"])


def test_one_shape_is_the_persons(tmp_path):
    content = tram(pred_shape=np.ones((5, 10), np.float32), pred_trans=np.ones((5, 3), np.float32))
    (person,) = read(saved(tmp_path / "in.npy", content)).people
    np.testing.assert_array_equal(person.betas, np.ones(10))
    assert "betas" not in person.tracks
    assert person.tracks["transl"].values.shape == (5, 1, 3)
    write(read(tmp_path / "in.npy"), tmp_path / "out.npy")
    assert_same(loaded(tmp_path / "out.npy"), content)


@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.parametrize(
    ("track", "key"), [("transl", "pred_trans"), ("pred_cam", "pred_cam"), ("betas", "pred_shape")]
)
def test_a_changed_track_lands_in_its_place_and_nowhere_else(tmp_path, track, key, tensors):
    motion = read(saved(tmp_path / "in.npy", tram(), tensors=tensors))
    write(changed(motion, track, motion.people[0].tracks[track].values + np.float32(1)), tmp_path / "out.npy")
    expected = tram()
    expected[key] += np.float32(1)
    assert_same(loaded(tmp_path / "out.npy"), expected)
    assert (b"_rebuild_tensor" in (tmp_path / "out.npy").read_bytes()) == tensors
    assert_same(motion.source.content, tram())


@pytest.mark.parametrize("track", ["global_orient", "body_pose"])
def test_both_forms_of_the_rotations_follow_a_change(tmp_path, track):
    motion = read(saved(tmp_path / "in.npy", tram()))
    values = motion.people[0].tracks[track].values.copy()
    values[2, -1] = Rotation.from_rotvec([0.1, 0.2, 0.3]).as_matrix()
    write(changed(motion, track, values), tmp_path / "out.npy")
    expected = tram()
    joint = 0 if track == "global_orient" else 23
    expected["pred_rotmat"][2, joint] = values[2, -1]
    expected["pred_pose"].reshape(5, 24, 6)[2, joint] = np.concatenate([values[2, -1, :, 0], values[2, -1, :, 1]])
    assert_same(loaded(tmp_path / "out.npy"), expected)


@pytest.mark.parametrize("six", [np.zeros((5, 144), np.float32), tram()["pred_pose"][::-1].copy()])
def test_six_numbers_that_say_something_else_are_left_alone(tmp_path, six):
    motion = read(saved(tmp_path / "in.npy", tram(pred_pose=six)))
    assert "pred_pose differs from pred_rotmat and is left as it is" in motion.notes
    values = motion.people[0].tracks["body_pose"].values.copy()
    values[2] = np.eye(3)
    write(changed(motion, "body_pose", values), tmp_path / "out.npy")
    expected = tram(pred_pose=six)
    expected["pred_rotmat"][2, 1:] = np.eye(3)
    assert_same(loaded(tmp_path / "out.npy"), expected)


def test_a_file_with_little_in_it(tmp_path):
    content = {key: tram()[key] for key in ("pred_rotmat", "frame")}
    motion = read(saved(tmp_path / "in.npy", content), fps=25)
    assert list(motion.people[0].tracks) == ["global_orient", "body_pose"]
    assert (motion.fps, motion.notes) == (25, ("as the camera sees it: its own movement is in camera.npy",))
    write(motion, tmp_path / "out.npy")
    assert_same(loaded(tmp_path / "out.npy"), content)


def test_what_was_not_observed_keeps_its_bits(tmp_path):
    content = tram()
    content["pred_rotmat"][1, 4] = np.nan
    motion = read(saved(tmp_path / "in.npy", content))
    turned = motion.people[0].tracks["body_pose"].values.copy()
    turned[2, 3] = np.nan
    write(changed(motion, "body_pose", turned), tmp_path / "out.npy")
    assert_same(loaded(tmp_path / "out.npy"), content)


REFUSED = [
    ({"frame": np.arange(5.0)}, "frame: expected a tensor (T,) of integers, received (5,) of float64"),
    ({"frame": [1, 2]}, "frame: expected a tensor (T,) of integers, received a list"),
    (
        {"frame": np.array([0, 1, 2, 2, 3])},
        "frame numbers of person 0: expected strictly increasing, received a repeated",
    ),
    (
        {"pred_rotmat": np.zeros((5, 22, 3, 3))},
        "pred_rotmat: expected a tensor (5, 24, 3, 3) of floats, received (5, 22",
    ),
    ({"pred_trans": np.zeros((5, 2))}, "pred_trans: expected a tensor (5, 1, 3) of floats, received (5, 2) of float64"),
    ({"pred_cam": np.zeros((5, 3), int)}, "pred_cam: expected a tensor (5, 3) of floats, received (5, 3) of int64"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_bad_files_are_refused(tmp_path, change, message):
    path = saved(tmp_path / "in.npy", tram(**change))
    assert detect(path).name == "tram"
    with pytest.raises(ValueError, match="^" + re.escape(f"{path}: {message}")) as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((4, 3, 3)), "(4, 3, 3) of float64"),
        (np.array({"a": 1}, dtype=object), "a dictionary with 'a'"),
        (np.array([{"a": 1}] * 2, dtype=object), "(2,) of object"),
    ],
)
def test_other_arrays_are_not_taken(tmp_path, array, found):
    np.save(tmp_path / "in.npy", array, allow_pickle=True)
    assert detect(tmp_path / "in.npy").name == "array"
    message = f"{tmp_path / 'in.npy'}: content: expected a dictionary with pred_rotmat and frame, received {found}"
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        read(tmp_path / "in.npy", format="tram")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "in.npy").read_bytes()[:40])
    assert not FORMATS["tram"].matches(tmp_path / "cut.npy", (tmp_path / "cut.npy").read_bytes())


class _Attack:
    def __reduce__(self):
        return os.system, ("touch canary",)


def test_an_attack_is_refused_by_name_and_nothing_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("in.npy", np.array({**tram(), "more": _Attack()}, dtype=object), allow_pickle=True)
    for format in (None, "tram"):
        with pytest.raises(ValueError, match=r"in\.npy: refused: .*system.* nothing was run"):
            read("in.npy", format=format)
    assert not (tmp_path / "canary").exists()


@given(person=people(up="-y"))
@SETTINGS
def test_new_files_hold_the_motion(tmp_path, person):
    motion, plain = made("tram", plain_motion(person), tmp_path / "new.npy")
    # The layout is float32, and matrices.
    assert_same_person(plain.people[0], person, atol=2e-6)
    np.testing.assert_array_equal(plain.people[0].frames, person.frames)
    assert (plain.people[0].tracks["transl"].up, motion.fps) == ("-y", 30)
    # The two forms of its rotations say the same.
    assert motion.source.six_agrees


def test_new_files_are_as_tram_reads_them(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch, which reads such files, is not installed")
    made("tram", plain_motion(plain_person(frames=[2, 5, 6], up="-y")), tmp_path / "new.npy")
    content = np.load(tmp_path / "new.npy", allow_pickle=True).item()
    assert {key: (tuple(value.shape), value.dtype) for key, value in content.items()} == {
        "pred_cam": ((3, 3), torch.float32),
        "pred_pose": ((3, 144), torch.float32),
        "pred_shape": ((3, 10), torch.float32),
        "pred_rotmat": ((3, 24, 3, 3), torch.float32),
        "pred_trans": ((3, 1, 3), torch.float32),
        "frame": ((3,), torch.int64),
    }
    # What its visualisation does with them.
    assert content["pred_shape"].mean(dim=0, keepdim=True).repeat(3, 1).shape == (3, 10)
    assert torch.zeros(9, 3, 3)[content["frame"]].shape == (3, 3, 3)
    assert content["frame"].tolist() == [2, 5, 6]


def test_only_one_person_fits(tmp_path):
    with pytest.raises(ValueError, match=re.escape("people for TRAM's results: expected one, received a, b")):
        FORMATS["tram"].make(plain_motion(plain_person("a"), plain_person("b")), tmp_path / "new.npy")
