"""HumanML3D and MotionBERT: bare arrays of joints."""

from __future__ import annotations

import re

import numpy as np
import pytest

from smoothnet_core.joint_sets import JOINT_SETS
from smpl_tools.formats import FORMATS, detect, read, write
from smpl_tools.formats.humanml3d import JOINTS as SMPL_22
from smpl_tools.motion import Motion, Person, Track
from smpl_tools.rotations import axis_angle_to_matrix, matrix_to_quat_wxyz
from smpl_tools.skeleton import SMPL, positions

H36M = JOINT_SETS["h36m_17"].joints


def smpl_joints(frames=30, dtype=np.float32):
    generator = np.random.default_rng(0)
    turns = axis_angle_to_matrix(generator.normal(0, 0.2, (frames, 24, 3)))
    transl = np.array([0, 0.9, 0]) + np.cumsum(generator.normal(0.01, 0.02, (frames, 3)), axis=0)
    return positions(turns, transl, SMPL)[:, :22].astype(dtype)


def h36m_joints(frames=30, dtype=np.float32):
    at = dict(zip(SMPL.joints, np.moveaxis(smpl_joints(frames, np.float64), 1, 0), strict=False))
    at |= {"spine": at["spine2"], "thorax": at["neck"], "nose": at["head"], "head": at["head"] + [0, 0.1, 0]}
    return np.stack([at[name] for name in H36M], axis=1).astype(dtype) * [1, -1, -1]


def saved(path, array):
    np.save(path, array)
    return path


@pytest.mark.parametrize(
    ("name", "array", "up", "fps", "metres"),
    [
        ("humanml3d", smpl_joints(), "y", 20.0, 1.0),
        ("humanml3d", smpl_joints(dtype=np.float64), "y", 20.0, 1.0),
        ("motionbert", h36m_joints().astype(np.float32), "-y", None, None),
    ],
)
def test_read_and_written_again(tmp_path, name, array, up, fps, metres):
    path = saved(tmp_path / "x.npy", array)
    assert detect(path).name == name
    motion = read(path)
    track = motion.people[0].tracks["joints"]
    assert (track.up, track.metres, motion.fps) == (up, metres, fps)
    assert track.joints == (SMPL_22 if name == "humanml3d" else H36M)
    write(motion, tmp_path / "same.npy")
    assert (tmp_path / "same.npy").read_bytes() == path.read_bytes()
    moved = track.replace(values=track.values + np.float32(0.25))
    write(motion.with_people((motion.people[0].with_tracks({"joints": moved}),)), tmp_path / "new.npy")
    again = np.load(tmp_path / "new.npy")
    assert again.dtype == array.dtype
    assert np.array_equal(again, array + np.float32(0.25))


def test_other_arrays_of_as_many_joints_stay_plain(tmp_path):
    generator = np.random.default_rng(0)
    for shape in ((20, 22, 3), (20, 17, 3)):
        assert detect(saved(tmp_path / "x.npy", generator.normal(size=shape))).name == "array"
    # COCO's 17 joints: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles.
    at = dict(zip(SMPL.joints, np.moveaxis(smpl_joints(), 1, 0), strict=False))
    face = [
        at["head"] + offset
        for offset in ([0, 0, 0.1], [0.03, 0.03, 0.1], [-0.03, 0.03, 0.1], [0.07, 0, 0], [-0.07, 0, 0])
    ]
    limbs = [
        at[f"{side}_{part}"]
        for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    ]
    assert detect(saved(tmp_path / "x.npy", np.stack(face + limbs, axis=1))).name == "array"
    # The same joints in millimetres are no HumanML3D.
    assert detect(saved(tmp_path / "x.npy", smpl_joints() * 1000)).name == "array"


def vectors_of(places):
    """Return feature vectors of joints (T, 22, 3), by the definition: roots turned about Y by known angles."""
    frames = len(places)
    angles = np.linspace(0.3, 1.5, frames) - 0.3
    turn = axis_angle_to_matrix(np.stack([0 * angles, angles, 0 * angles], axis=1))
    # The stored turn takes the body's facing to +Z: its inverse brings stored places back.
    quats = matrix_to_quat_wxyz(turn)
    half = np.arctan2(quats[:, 2], quats[:, 0])
    result = np.zeros((frames, 263))
    result[:-1, 0] = np.diff(half)
    root = places[:, 0]
    step = np.einsum("tij,tj->ti", turn[1:], np.diff(root, axis=0))
    result[:-1, 1:3] = step[:, [0, 2]]
    result[:, 3] = root[:, 1]
    local = places[:, 1:] - root[:, None] * [1, 0, 1]
    result[:, 4:67] = np.einsum("tij,tkj->tki", turn, local).reshape(frames, -1)
    return result.astype(np.float32)


def test_nothing_observed_is_no_pose(tmp_path):
    np.save(tmp_path / "x.npy", np.full((5, 22, 3), np.nan))
    assert detect(tmp_path / "x.npy").name == "array"


def test_feature_vectors_give_the_joints_back_and_are_not_written_again(tmp_path):
    places = smpl_joints(dtype=np.float64)
    places -= places[:1, :1] * [1, 0, 1]
    path = saved(tmp_path / "vecs.npy", vectors_of(places))
    assert detect(path).name == "humanml3d"
    motion = read(path)
    assert np.abs(motion.people[0].tracks["joints"].values - places).max() < 1e-5
    message = "expected joints (smoothnet convert --to humanml3d), received feature vectors"
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'o.npy'}: what to write: {message}")):
        write(motion, tmp_path / "o.npy")
    assert not (tmp_path / "o.npy").exists()


@pytest.mark.parametrize("name", ["humanml3d", "motionbert"])
def test_made_from_joints_in_another_order(tmp_path, name):
    array, joints = (smpl_joints(), SMPL_22) if name == "humanml3d" else (h36m_joints(), H36M)
    order = np.random.default_rng(1).permutation(len(joints))
    track = Track(array[:, order], "position", "body", tuple(joints[k] for k in order), metres=1.0)
    motion = Motion("csv", (Person("0", {"joints": track}, np.arange(len(array))),), 30.0)
    FORMATS[name].make(motion, tmp_path / "x.npy")
    assert np.array_equal(np.load(tmp_path / "x.npy"), array.astype(np.float32))
    assert detect(tmp_path / "x.npy").name == name
    fewer = Motion(
        "csv",
        (
            Person(
                "0",
                {"joints": track.replace(values=track.values[:, :5], joints=track.joints[:5])},
                np.arange(len(array)),
            ),
        ),
        30.0,
    )
    with pytest.raises(ValueError, match=r"^joints for .*: expected .*, received "):
        FORMATS[name].make(fewer, tmp_path / "y.npy")
    assert not (tmp_path / "y.npy").exists()


@pytest.mark.parametrize("name", ["humanml3d", "motionbert"])
def test_wrong_arrays_are_refused_by_name(tmp_path, name):
    wanted = "(T, 22, 3) or (T, 263)" if name == "humanml3d" else "(T, 17, 3)"
    for array in (np.zeros((5, 4, 3)), np.zeros((5, 17, 3), int), np.zeros(3)):
        path = saved(tmp_path / "x.npy", array)
        message = re.escape(f"{path}: array: expected {wanted} of floats in an .npy file, received something else")
        with pytest.raises(ValueError, match=message):
            read(path, format=name)
