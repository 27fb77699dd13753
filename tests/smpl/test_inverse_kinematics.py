"""Joint positions to rotations and back, against forward kinematics and SciPy."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smpl_tools.inverse_kinematics import JOINTS, SKELETON, TURNING, joints_to_rotations, rotations_to_joints
from smpl_tools.skeleton import positions
from tests.helpers import shared


def pose(seed: int, size: float, frames: int = 5) -> np.ndarray:
    """Return local rotations (T, 14, 3, 3): any root, the others up to ``size`` radians from rest."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(frames, len(TURNING), 3))
    vectors *= size * rng.random((frames, len(TURNING), 1)) / np.linalg.norm(vectors, axis=-1, keepdims=True)
    matrices = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(frames, len(TURNING), 3, 3)
    matrices[:, 0] = Rotation.random(frames, random_state=seed).as_matrix()
    return matrices


@given(seed=st.integers(0, 10**6), size=st.floats(0, 2.5))
def test_positions_come_back(seed, size):
    joints = rotations_to_joints(pose(seed, size))
    found = joints_to_rotations(joints)
    np.testing.assert_allclose(found @ found.swapaxes(-1, -2), np.broadcast_to(np.eye(3), found.shape), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(found), 1.0, atol=1e-9)
    # The skeleton's own hierarchy, posed by the rotations found, puts every joint where it was.
    every = np.tile(np.eye(3), (len(joints), len(SKELETON.joints), 1, 1))
    every[:, : len(TURNING)] = found
    placed = positions(every, None, SKELETON)[:, [SKELETON.joints.index(name) for name in JOINTS]]
    np.testing.assert_allclose(placed, joints, atol=1e-7)


@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 1000))
def test_only_directions_matter_and_the_scene_turns_the_root_alone(seed, scale):
    joints = rotations_to_joints(pose(seed, 1.0))
    turn = Rotation.random(random_state=seed).as_matrix()
    found, moved = joints_to_rotations(joints), joints_to_rotations(scale * joints @ turn.T + 3.0)
    np.testing.assert_allclose(moved[:, 0], turn @ found[:, 0], atol=1e-7)
    np.testing.assert_allclose(moved[:, 1:], found[:, 1:], atol=1e-6)


def test_bones_turn_by_the_smallest_rotation():
    rotations = np.tile(np.eye(3), (1, len(TURNING), 1, 1))
    elbow, knee = TURNING.index("left_elbow"), TURNING.index("right_knee")
    rotations[0, elbow] = Rotation.from_euler("z", 70, degrees=True).as_matrix()
    rotations[0, knee] = Rotation.from_euler("x", 100, degrees=True).as_matrix()
    joints = rotations_to_joints(rotations)
    # Both turns are about axes across their bones, so they are the smallest and come back themselves.
    np.testing.assert_allclose(joints_to_rotations(joints), rotations, atol=1e-9)
    # Roll about the upper arm is not told by the elbow; what cannot be seen is set to none.
    shoulder = TURNING.index("left_shoulder")
    bone = SKELETON.offsets[SKELETON.joints.index("left_elbow")]
    rolled = np.tile(np.eye(3), (1, len(TURNING), 1, 1))
    rolled[0, shoulder] = Rotation.from_rotvec(0.8 * bone / np.linalg.norm(bone)).as_matrix()
    found = joints_to_rotations(rotations_to_joints(rolled))
    np.testing.assert_allclose(found[0, shoulder], np.eye(3), atol=1e-9)


def test_opposite_to_rest_is_half_a_turn():
    rotations = np.tile(np.eye(3), (1, len(TURNING), 1, 1))
    rotations[0, TURNING.index("left_knee")] = np.diag([1.0, -1.0, -1.0])
    joints = rotations_to_joints(rotations)
    found = joints_to_rotations(joints)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(rotations_to_joints(found), joints, atol=1e-9)


def test_what_is_not_seen_is_nan():
    joints = rotations_to_joints(pose(1, 0.5))
    joints[2] = np.nan
    joints[3, JOINTS.index("left_wrist")] = joints[3, JOINTS.index("left_elbow")]
    found = joints_to_rotations(joints)
    assert np.isnan(found[2]).all()
    assert [TURNING[j] for j in np.flatnonzero(np.isnan(found[3]).any(axis=(1, 2)))] == ["left_elbow"]
    assert np.isfinite(found[[0, 1, 4]]).all()


def test_real_people():
    with np.load(shared("data", "paired", "cmu01_01_playground.npz")) as arrays:
        joints = arrays["gt_3d"].astype(np.float64)
    found = joints_to_rotations(joints)
    placed = rotations_to_joints(found)
    # Bones point where the person's do; lengths are the skeleton's.
    for end, start in (("left_wrist", "left_elbow"), ("right_foot_index", "right_ankle"), ("left_hip", "right_hip")):
        bones = [x[:, JOINTS.index(end)] - x[:, JOINTS.index(start)] for x in (joints, placed)]
        a, b = (bone / np.linalg.norm(bone, axis=-1, keepdims=True) for bone in bones)
        np.testing.assert_allclose(a, b, atol=1e-6)
    # The camera looks along Z with Y down: a person who stands there has the head up, so the root's Y points to -Y.
    assert (found[:, 0, 1, 1] < 0).mean() > 0.9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: joints_to_rotations(np.zeros((4, 14, 3))),
            "shape of the joints: expected (..., 15, 3), received (4, 14, 3)",
        ),
        (
            lambda: rotations_to_joints(np.zeros((14, 3, 3))),
            "shape of the rotations: expected (T, 14, 3, 3), received (14, 3, 3)",
        ),
    ],
)
def test_other_shapes_are_refused(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()
