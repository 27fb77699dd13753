from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smpl_tools.motion import Person, Skeleton, Track
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X, person_positions, positions

ALL = {"SMPL": (SMPL, 24), "SMPL-H": (SMPL_H, 52), "SMPL-X": (SMPL_X, 55)}
# The kinematic tree that the SMPL model publishes, for the first 24 joints.
SMPL_PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]


def rotations(seed, *lead):
    vectors = 2 * np.random.default_rng(seed).normal(size=(int(np.prod(lead)), 3))
    return Rotation.from_rotvec(vectors).as_matrix().reshape(*lead, 3, 3)


def identity(frames, joints):
    return np.broadcast_to(np.eye(3), (frames, joints, 3, 3))


@pytest.mark.parametrize("name", ALL)
def test_hierarchies(name):
    skeleton, count = ALL[name]
    assert len(skeleton.joints) == len(set(skeleton.joints)) == count
    assert skeleton.parents.shape == (count,)
    assert skeleton.offsets.shape == (count, 3)
    assert (skeleton.parents < np.arange(count)).all()
    assert (skeleton.parents >= 0).sum() == count - 1
    assert skeleton.joints[:22] == SMPL.joints[:22]
    with pytest.raises(ValueError, match="read-only"):
        skeleton.offsets[0] = 1


def test_the_tree_is_smpls():
    np.testing.assert_array_equal(SMPL.parents, SMPL_PARENTS)
    np.testing.assert_array_equal(SMPL_H.parents[:22], SMPL_PARENTS[:22])
    fingers = [SMPL_X.joints[p] for p in SMPL_X.parents[25:55:3]]
    assert fingers == ["left_wrist"] * 5 + ["right_wrist"] * 5
    assert SMPL_X.joints[25:40:3] == ("left_index1", "left_middle1", "left_pinky1", "left_ring1", "left_thumb1")


@pytest.mark.parametrize("name", ALL)
def test_the_rest_pose_is_a_t_pose_of_a_grown_person(name):
    skeleton, count = ALL[name]
    rest = dict(zip(skeleton.joints, positions(identity(1, count), None, skeleton)[0], strict=True))
    # Soles lie about 2 cm below the foot joint, the crown about 17 cm above the head joint.
    assert rest["head"][1] - rest["left_foot"][1] + 0.19 == pytest.approx(1.7, abs=0.02)
    assert rest["left_wrist"][0] > 0.6
    assert rest["left_wrist"][1] == pytest.approx(rest["left_shoulder"][1], abs=0.01)
    assert rest["left_foot"][2] > rest["left_ankle"][2]
    for joint, place in rest.items():
        if joint.startswith("left"):
            np.testing.assert_allclose(rest["right" + joint[4:]], place * [-1, 1, 1])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(1, 7))
def test_positions_are_products_of_homogeneous_matrices(seed, frames, count):
    rng = np.random.default_rng(seed)
    parents = np.array([-1] + [rng.integers(-1, j) for j in range(1, count)])
    offsets = rng.normal(size=(count, 3))
    turns = rotations(seed, max(frames, 1), count)[:frames]
    transl = rng.normal(size=(frames, 3))
    result = positions(turns, transl, Skeleton(tuple("abcdefg"[:count]), parents, offsets))
    assert result.shape == (frames, count, 3)
    for t in range(frames):
        worlds = []
        for j in range(count):
            local = np.eye(4)
            local[:3, :3] = turns[t, j]
            local[:3, 3] = transl[t] if parents[j] < 0 else offsets[j]
            worlds.append(local if parents[j] < 0 else worlds[parents[j]] @ local)
        np.testing.assert_allclose(result[t], [w[:3, 3] for w in worlds], atol=1e-12)


def test_bones_keep_their_length_and_the_scene_may_turn():
    turns, transl = rotations(1, 5, 24), np.random.default_rng(1).normal(size=(5, 3))
    result = positions(turns, transl, SMPL)
    lengths = np.linalg.norm(result[:, 1:] - result[:, SMPL.parents[1:]], axis=-1)
    np.testing.assert_allclose(lengths, np.tile(np.linalg.norm(SMPL.offsets[1:], axis=-1), (5, 1)), atol=1e-12)
    scene = rotations(2, 1)[0]
    turned = turns.copy()
    turned[:, 0] = scene @ turns[:, 0]
    np.testing.assert_allclose(positions(turned, transl @ scene.T, SMPL), result @ scene.T, atol=1e-12)


def test_local_offsets_take_the_skeletons_place():
    turns = rotations(3, 4, 24)
    longer = np.tile(SMPL.offsets * 2, (4, 1, 1))
    np.testing.assert_allclose(positions(turns, None, SMPL, longer), 2 * positions(turns, None, SMPL), atol=1e-12)
    np.testing.assert_allclose(positions(turns, None, SMPL, longer[0]), positions(turns, None, SMPL, longer))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((4, 23, 3, 3)), None, SMPL), "shape of rotations: expected (T, 24, 3, 3), received (4, 23, 3, 3)"),
        ((np.zeros((4, 24, 3)), None, SMPL), "shape of rotations: expected (T, 24, 3, 3), received (4, 24, 3)"),
        ((identity(4, 24), np.zeros((4, 1, 3)), SMPL), "shape of transl: expected (4, 3), received (4, 1, 3)"),
        (
            (identity(4, 24), None, SMPL, np.zeros((3, 24, 3))),
            "shape of local_offsets: expected (4, 24, 3) or (24, 3), received (3, 24, 3)",
        ),
        (
            (identity(1, 2), None, Skeleton(("a", "b"), np.array([1, -1]), np.zeros((2, 3)))),
            "parents of the skeleton: expected each before its children, received [1, -1]",
        ),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        positions(*arguments)


def person(**tracks):
    frames = len(next(iter(tracks.values())).values)
    return Person("0", tracks, np.arange(frames))


@pytest.mark.parametrize("kind", ["axis_angle", "rotation_matrix", "quat_wxyz", "rotation_6d"])
def test_a_persons_positions_in_every_kind(kind):
    turns = rotations(4, 3, 24)
    rotation = Rotation.from_matrix(turns.reshape(-1, 3, 3))
    values = {
        "axis_angle": lambda: rotation.as_rotvec().reshape(3, 24, 3),
        "rotation_matrix": lambda: turns,
        "quat_wxyz": lambda: rotation.as_quat()[:, [3, 0, 1, 2]].reshape(3, 24, 4),
        "rotation_6d": lambda: np.concatenate([turns[..., 0], turns[..., 1]], axis=-1),
    }[kind]()
    transl = np.random.default_rng(4).normal(size=(3, 1, 3))
    one = person(
        global_orient=Track(values[:, :1], kind, "root", SMPL.joints[:1]),
        body_pose=Track(values[:, 1:], kind, "body", SMPL.joints[1:]),
        body_pose_world=Track(values[::-1, 1:], kind, "body", SMPL.joints[1:]),
        transl=Track(transl, "position", "root", ("pelvis",)),
        betas=Track(np.zeros((3, 10)), "channels", "shape", tuple(f"betas_{k}" for k in range(10))),
    )
    np.testing.assert_allclose(person_positions(one, SMPL), positions(turns, transl[:, 0], SMPL), atol=1e-12)


def test_what_was_not_observed_is_nan_below():
    pose = np.zeros((2, 23, 3))
    pose[1, SMPL.joints.index("left_knee") - 1] = np.nan
    one = person(body_pose=Track(pose, "axis_angle", "body", SMPL.joints[1:]))
    first, second = np.isnan(person_positions(one, SMPL)[..., 0])
    assert not first.any()
    assert {SMPL.joints[j] for j in np.flatnonzero(second)} == {"left_ankle", "left_foot"}


def test_joints_of_other_roots_are_nan():
    skeleton = Skeleton(("a", "b", "c"), np.array([-1, 0, -1]), np.ones((3, 3)))
    one = person(global_orient=Track(identity(2, 1), "rotation_matrix", "root", ("a",)))
    result = person_positions(one, skeleton)
    np.testing.assert_array_equal(result[:, :2], [[[1, 1, 1], [2, 2, 2]]] * 2)
    assert np.isnan(result[:, 2]).all()


def test_a_person_of_another_skeleton_is_refused():
    one = person(joints=Track(np.zeros((2, 1, 3)), "position", "body", ("nose",)))
    with pytest.raises(ValueError, match=r"^tracks of person 0: expected joints of the skeleton, received joints$"):
        person_positions(one, SMPL)
