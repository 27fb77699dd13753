"""Limbs of a take are brought nearer to their usual length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smoothnet_core._limbs import even_limbs
from smoothnet_core.joint_sets import JOINT_SETS, mirrored

BONES = {
    "mediapipe_15": ["shoulder elbow", "elbow wrist", "hip knee", "knee ankle", "ankle foot_index"],
    "h36m_17": ["shoulder elbow", "elbow wrist", "hip knee", "knee ankle"],
    "smpl_24": ["shoulder elbow", "elbow wrist", "wrist hand", "hip knee", "knee ankle", "ankle foot"],
}


def take(name="mediapipe_15", frames=31, seed=0, spread=0.2):
    """A body whose limbs swing, and change their length by a factor that is drawn anew in every frame."""
    rng = np.random.default_rng(seed)
    joints = JOINT_SETS[name].joints
    positions = np.repeat(rng.normal(size=(1, len(joints), 3)), frames, axis=0)
    at = joints.index
    for side in ("left", "right"):
        for bone in BONES[name]:
            begin, end = (at(f"{side}_{part}") for part in bone.split())
            swing = Rotation.from_rotvec(0.3 * np.cumsum(rng.normal(size=(frames, 3)), axis=0)).apply([0, 0.3, 0])
            positions[:, end] = positions[:, begin] + swing * np.exp(spread * rng.normal(size=(frames, 1)))
    return positions


def bones(positions, name="mediapipe_15"):
    at = JOINT_SETS[name].joints.index
    pairs = [
        (at(f"{side}_{a}"), at(f"{side}_{b}")) for a, b in map(str.split, BONES[name]) for side in ("left", "right")
    ]
    return np.stack([positions[:, b] - positions[:, a] for a, b in pairs], axis=1)


def lengths(positions, name="mediapipe_15"):
    return np.linalg.norm(bones(positions, name), axis=-1)


@pytest.mark.parametrize("name", JOINT_SETS)
def test_lengths_come_half_way_to_their_median_and_directions_stay(name):
    before = take(name, spread=0.15)
    after = even_limbs(before, JOINT_SETS[name].joints)
    was, now = lengths(before, name), lengths(after, name)
    usual = np.median(was, axis=0).reshape(-1, 2).mean(axis=1).repeat(2)
    # Half way, as ratios: the geometric mean of what it was and what is usual.
    np.testing.assert_allclose(now, np.sqrt(was * usual), rtol=1e-9)
    np.testing.assert_allclose(bones(after, name) / now[..., None], bones(before, name) / was[..., None], atol=1e-9)
    limbs = [part for bone in BONES[name] for part in bone.split()[1:]]
    others = [i for i, joint in enumerate(JOINT_SETS[name].joints) if joint.partition("_")[2] not in limbs]
    np.testing.assert_allclose(after[:, others], before[:, others], atol=1e-12)


@pytest.mark.parametrize(("top", "carried"), [("shoulder", "elbow wrist"), ("hip", "knee ankle foot_index")])
def test_shoulders_and_hips_keep_their_width_and_carry_their_limbs(top, carried):
    joints, rng = JOINT_SETS["mediapipe_15"].joints, np.random.default_rng(4)
    before = take(spread=0.0)
    left, right = ([joints.index(f"{side}_{part}") for part in (top, *carried.split())] for side in ("left", "right"))
    push = 0.1 * rng.normal(size=(len(before), 1, 3))
    before[:, left] += push
    after = even_limbs(before, joints)
    was, now = before[:, left[0]] - before[:, right[0]], after[:, left[0]] - after[:, right[0]]
    width = np.linalg.norm(was, axis=1)
    np.testing.assert_allclose(np.linalg.norm(now, axis=1), np.sqrt(width * np.median(width)))
    # The middle stays, and the limbs go along as they are.
    np.testing.assert_allclose(after[:, left[0]] + after[:, right[0]], before[:, left[0]] + before[:, right[0]])
    for side, half in ((left, 0.5), (right, -0.5)):
        moved = after[:, side] - before[:, side]
        np.testing.assert_allclose(moved, (half * (now - was))[:, None].repeat(len(side), axis=1), atol=1e-12)
    others = sorted(set(range(len(joints))) - {*left, *right})
    np.testing.assert_allclose(after[:, others], before[:, others], atol=1e-12)


def test_limbs_that_keep_their_length_stay_where_they_are():
    still = take(spread=0.0)
    np.testing.assert_allclose(even_limbs(still, JOINT_SETS["mediapipe_15"].joints), still, atol=1e-12)
    one = take(frames=1)
    # A single frame says nothing of what is usual but what the other side does.
    ratio = lengths(even_limbs(one, JOINT_SETS["mediapipe_15"].joints)) / lengths(one)
    np.testing.assert_allclose(
        ratio[:, ::2] * lengths(one)[:, ::2] ** 0.5, ratio[:, 1::2] * lengths(one)[:, 1::2] ** 0.5
    )


@given(seed=st.integers(0, 99), scale=st.floats(1e-3, 1e3), offset=st.floats(-50, 50))
def test_it_follows_the_scene(seed, scale, offset):
    joints, swap = JOINT_SETS["mediapipe_15"].joints, JOINT_SETS["mediapipe_15"].swap
    before, turn = take(seed=seed), Rotation.from_rotvec(2 * np.random.default_rng(seed).normal(size=3)).as_matrix()
    after = even_limbs(before, joints)
    moved = even_limbs(scale * before @ turn + offset, joints)
    np.testing.assert_allclose(moved, scale * after @ turn + offset, atol=1e-9 * (scale + abs(offset) + 1))
    np.testing.assert_allclose(even_limbs(mirrored(before, swap), joints), mirrored(after, swap), atol=1e-9)


def test_an_absurd_length_is_changed_by_a_limited_factor():
    joints = JOINT_SETS["mediapipe_15"].joints
    positions = take(spread=0.0)
    elbow, shoulder = joints.index("left_elbow"), joints.index("left_shoulder")
    arm = positions[:, elbow] - positions[:, shoulder]
    positions[5, elbow] = positions[5, shoulder] + 9 * arm[5]
    positions[6, elbow] = positions[6, shoulder] + arm[6] / 9
    positions[7, elbow] = positions[7, shoulder]
    after = even_limbs(positions, joints)
    reach = np.linalg.norm(after[:, elbow] - after[:, shoulder], axis=1) / np.linalg.norm(arm, axis=1)
    np.testing.assert_allclose(reach[5:8], [9 / 2**0.5, 2**0.5 / 9, 0], atol=1e-9)


def test_bodies_without_limbs_and_limbs_without_length():
    joints = ("head", "left_elbow", "right_elbow")
    positions = np.random.default_rng(0).normal(size=(5, 3, 3))
    np.testing.assert_array_equal(even_limbs(positions, joints), positions)
    collapsed = np.zeros((5, 15, 3))
    np.testing.assert_array_equal(even_limbs(collapsed, JOINT_SETS["mediapipe_15"].joints), collapsed)
    assert even_limbs(np.zeros((0, 15, 3)), JOINT_SETS["mediapipe_15"].joints).shape == (0, 15, 3)
