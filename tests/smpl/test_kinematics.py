from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, RotationSpline, Slerp

from smpl_tools import kinematics as kin
from smpl_tools import rotations as rot
from smpl_tools.motion import Skeleton
from smpl_tools.skeleton import SMPL_X, positions


def random_rotations(seed, *lead):
    vectors = 2 * np.random.default_rng(seed).normal(size=(int(np.prod(lead)), 3))
    return Rotation.from_rotvec(vectors).as_matrix().reshape(*lead, 3, 3)


def random_tree(rng, count):
    return np.array([-1] + [rng.integers(-1, j) for j in range(1, count)])


def turning(t):
    """Two turning axes, one carried by the other: the matrices, and the exact world velocity and acceleration."""
    p, dp, ddp = 2 * np.sin(2 * t), 4 * np.cos(2 * t), -8 * np.sin(2 * t)
    q, dq, ddq = 1.5 * np.cos(3 * t), -4.5 * np.sin(3 * t), -13.5 * np.cos(3 * t)
    carrier = Rotation.from_euler("z", p[:, None])
    z, x = np.array([0, 0, 1.0]), carrier.apply([1.0, 0, 0])
    velocity = dp[:, None] * z + dq[:, None] * x
    acceleration = ddp[:, None] * z + ddq[:, None] * x + (dp * dq)[:, None] * np.cross(z, x)
    return (carrier * Rotation.from_euler("x", q[:, None])).as_matrix(), velocity, acceleration


def length(vectors):
    return np.linalg.norm(vectors, axis=-1)


def test_the_geodesic_error_is_where_people_look_for_it():
    assert kin.geodesic_angle is rot.geodesic_angle
    a, b = random_rotations(0, 20), random_rotations(1, 20)
    expected = (Rotation.from_matrix(a).inv() * Rotation.from_matrix(b)).magnitude()
    np.testing.assert_allclose(kin.geodesic_angle(a, b), expected, atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(0, 5), st.integers(1, 8))
def test_global_rotations_are_products_down_the_tree_and_local_ones_the_way_back(seed, frames, count):
    parents = random_tree(np.random.default_rng(seed), count)
    local = random_rotations(seed, max(frames, 1), count)[:frames]
    before = local.copy()
    turned = kin.global_rotations(local, parents)
    for t in range(frames):
        for j in range(count):
            chain = Rotation.identity()
            k = j
            while k >= 0:
                chain = Rotation.from_matrix(local[t, k]) * chain
                k = parents[k]
            np.testing.assert_allclose(turned[t, j], chain.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(kin.local_rotations(turned, parents), local, atol=1e-12)
    np.testing.assert_array_equal(local, before)


def test_rotations_of_one_pose_and_of_many_takes_and_what_was_not_observed():
    parents = [-1, 0, 1, 0]
    local = random_rotations(2, 5, 7, 4)
    local[3, 2, 1] = np.nan
    turned = kin.global_rotations(local, parents)
    np.testing.assert_array_equal(kin.global_rotations(local[1, 2], parents), turned[1, 2])
    assert np.isnan(turned[3, 2]).any(axis=(1, 2)).tolist() == [False, True, True, False]
    assert np.isnan(kin.local_rotations(turned, parents)[3, 2]).any(axis=(1, 2)).tolist() == [False, True, True, False]


def test_joints_are_where_roma_puts_them():
    roma = pytest.importorskip("roma", reason="roma belongs to the extra bodies")
    import torch

    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(6, 55, 3))
    transl = rng.normal(size=(6, 3))
    local = torch.from_numpy(vectors)
    worlds: list = []
    for j, parent in enumerate(SMPL_X.parents):
        offset = torch.from_numpy(transl if parent < 0 else np.tile(SMPL_X.offsets[j], (6, 1)))
        step = roma.RigidUnitQuat(roma.rotvec_to_unitquat(local[:, j]), offset)
        worlds.append(step if parent < 0 else worlds[parent] @ step)
    result = positions(rot.axis_angle_to_matrix(vectors), transl, SMPL_X)
    np.testing.assert_allclose(result, torch.stack([w.translation for w in worlds], 1).numpy(), atol=1e-12)
    turned = kin.global_rotations(rot.axis_angle_to_matrix(vectors), SMPL_X.parents)
    expected = roma.unitquat_to_rotmat(torch.stack([w.linear for w in worlds], 1)).numpy()
    np.testing.assert_allclose(turned, expected, atol=1e-12)


def test_joints_are_where_scipy_puts_them():
    rng = np.random.default_rng(4)
    parents = random_tree(rng, 9)
    skeleton = Skeleton(tuple("abcdefghi"), parents, rng.normal(size=(9, 3)))
    local = random_rotations(4, 5, 9)
    result = positions(local, None, skeleton)
    for j in range(9):
        # The offset of every joint, turned by all joints above it, one after the other.
        place, k = np.tile(skeleton.offsets[j], (5, 1)), parents[j]
        while k >= 0:
            place, k = Rotation.from_matrix(local[:, k]).apply(place) + skeleton.offsets[k], parents[k]
        np.testing.assert_allclose(result[:, j], place, atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.booleans())
def test_the_mean_is_scipys(seed, count, weighted):
    rng = np.random.default_rng(seed)
    matrices = random_rotations(seed, 4, count)
    weights = rng.uniform(0.1, 2, (4, count)) if weighted else None
    found = kin.mean_rotation(matrices, weights)
    for k in range(4):
        expected = Rotation.from_matrix(matrices[k]).mean(None if weights is None else weights[k])
        np.testing.assert_allclose(found[k], expected.as_matrix(), atol=1e-7)


def test_the_mean_leaves_out_what_was_not_observed():
    matrices = random_rotations(5, 2, 6)
    matrices[0, 2, 1, 1] = np.nan
    matrices[1] = np.nan
    found = kin.mean_rotation(matrices)
    np.testing.assert_allclose(found[0], kin.mean_rotation(matrices[0, [0, 1, 3, 4, 5]]), atol=1e-14)
    assert np.isnan(found[1]).all()
    weights = [1, 1, 0, 2, 1, 1]
    np.testing.assert_allclose(
        kin.mean_rotation(matrices, weights)[0], kin.mean_rotation(matrices[0, [0, 1, 3, 3, 4, 5]]), atol=1e-14
    )
    assert np.isnan(kin.mean_rotation(matrices[:, :0])).all()


@pytest.mark.parametrize("count", [2, 3])
def test_rotations_that_cancel_have_no_mean(count):
    turns = Rotation.from_rotvec(np.outer(np.arange(count) * 2 * np.pi / count, [0, 0.6, 0.8])).as_matrix()
    message = r"^rotations to average: expected one mean, received rotations that cancel, in 1 of 2$"
    with pytest.raises(ValueError, match=message):
        kin.mean_rotation(np.stack([turns, random_rotations(6, count)]))


def test_half_turns_about_three_axes_have_no_mean():
    # Their arithmetic mean mirrors: minus a third of the identity.
    with pytest.raises(ValueError, match=r"^rotations to average: expected one mean, received rotations that cancel"):
        kin.mean_rotation(Rotation.from_rotvec(np.pi * np.eye(3)).as_matrix())


@given(st.integers(0, 2**32 - 1), st.integers(2, 8))
def test_slerp_is_scipys_for_every_joint(seed, frames):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.1, 2, frames)) - 3
    keys = random_rotations(seed, frames, 2, 3)
    at = rng.uniform(times[0], times[-1], 11)
    found = kin.slerp(times, keys, at)
    for a in range(2):
        for b in range(3):
            expected = Slerp(times, Rotation.from_matrix(keys[:, a, b]))(at).as_matrix()
            np.testing.assert_allclose(found[:, a, b], expected, atol=1e-9)
    np.testing.assert_array_equal(kin.slerp(times, keys, times[::-1]), keys[::-1])


def test_slerp_makes_nothing_up():
    keys = random_rotations(7, 4, 2)
    keys[2, 0] = np.nan
    at = np.array([1.0, 1.25, 2.0, 2.5, 3.0])
    found = kin.slerp(np.arange(4), keys, at)
    assert np.isnan(found[:, 0]).any(axis=(1, 2)).tolist() == [False, True, True, True, False]
    np.testing.assert_array_equal(found[[0, 4], 0], keys[[1, 3], 0])
    assert np.isfinite(found[:, 1]).all()
    np.testing.assert_array_equal(kin.slerp([2.0], keys[:1], [2.0, 2.0]), keys[[0, 0]])


@pytest.mark.parametrize("frame", ["world", "body"])
def test_the_speed_of_a_turn_is_the_analytic_one_to_second_order(frame):
    worst = []
    for fps in (60, 120):
        matrices, velocity, acceleration = turning(np.arange(2 * fps) / fps)
        if frame == "body":
            velocity, acceleration = (np.einsum("tji,tj->ti", matrices, v) for v in (velocity, acceleration))
        found = kin.angular_velocity(matrices[:, None], fps, frame=frame)[:, 0]
        bend = kin.angular_acceleration(matrices[:, None], fps, frame=frame)[:, 0]
        off, off_bend = length(found - velocity), length(bend - acceleration)
        worst.append([off[1:-1].max(), off[[0, -1]].max(), off_bend[1:-1].max(), off_bend[[0, -1]].max()])
    # Speeds reach 6 rad/s, accelerations 18 rad/s^2. Twice the rate: a quarter of the error, at the end of an
    # acceleration half.
    assert (np.array(worst[0]) < [0.006, 0.015, 0.015, 2.0]).all()
    np.testing.assert_allclose(np.divide(*worst), [4, 4, 4, 2], rtol=0.05)


def test_body_velocity_is_that_of_scipys_rotation_spline():
    times = np.arange(30) / 10
    curve = np.stack([np.sin(2 * times), 0.7 * np.cos(3 * times), np.sin(1.3 * times + 1)], axis=1)
    spline = RotationSpline(times, Rotation.from_rotvec(curve))
    at = np.arange(0.2, 2.6, 1 / 600)
    found = kin.angular_velocity(spline(at).as_matrix(), 600, frame="body")
    np.testing.assert_allclose(found, spline(at, 1), atol=1e-3)
    bend = kin.angular_acceleration(spline(at).as_matrix(), 600, frame="body")
    np.testing.assert_allclose(bend[1:-1], spline(at, 2)[1:-1], atol=0.05)


def test_a_steady_turn_is_exact_however_fast():
    axis = np.array([0.36, 0.48, 0.8])
    fps = 30
    steps = np.arange(8)[:, None] * 0.95 * np.pi * axis
    velocity = kin.angular_velocity(Rotation.from_rotvec(steps).as_matrix(), fps)
    np.testing.assert_allclose(velocity, np.tile(0.95 * np.pi * fps * axis, (8, 1)), atol=1e-10)
    np.testing.assert_allclose(kin.angular_acceleration(Rotation.from_rotvec(steps).as_matrix(), fps), 0, atol=1e-9)


def test_speed_is_not_told_beside_a_gap_and_of_too_few_frames():
    matrices = turning(np.arange(9) / 30)[0]
    matrices[4] = np.nan
    for function in (kin.angular_velocity, kin.angular_acceleration):
        gone = np.isnan(function(matrices, 30)).any(axis=1)
        assert gone.tolist() == [False] * 3 + [True] * 3 + [False] * 3
    # What lies beyond the frame beside an end is not needed there.
    assert np.isfinite(kin.angular_velocity(matrices[2:], 30)[0]).all()
    for frames, known in ((0, 0), (1, 0), (2, 2)):
        assert np.isfinite(kin.angular_velocity(matrices[:frames], 30)).all(axis=1).sum() == known
        assert np.isnan(kin.angular_acceleration(matrices[:frames], 30)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kin.global_rotations(np.eye(3), [-1]), "shape of rotations: expected (..., 1, 3, 3), received (3, 3)"),
        (
            lambda: kin.local_rotations(np.zeros((2, 3, 3)), [1, -1]),
            "parents of the skeleton: expected each before its children, received [1, -1]",
        ),
        (
            lambda: kin.global_rotations(np.zeros((2, 3, 3)), [-1.0, 0.0]),
            "parents: expected whole numbers (J,), received shape (2,), dtype float64",
        ),
        (lambda: kin.mean_rotation(np.eye(3)), "shape of matrices: expected (..., N, 3, 3), received (3, 3)"),
        (
            lambda: kin.mean_rotation(np.zeros((2, 4, 3, 3)), np.ones(2)),
            "shape of weights: expected (4,) or (2, 4), received (2,)",
        ),
        (
            lambda: kin.mean_rotation(np.zeros((2, 3, 3)), [1, -1]),
            "weights: expected finite numbers, none negative, received others",
        ),
        (
            lambda: kin.slerp([0, 0], np.zeros((2, 3, 3)), [0]),
            "times: expected finite and strictly increasing, received others",
        ),
        (
            lambda: kin.slerp([0], np.zeros((2, 3, 3)), [0]),
            "shape of times: expected one time for each of 2 rotations, at least 1, received (1,)",
        ),
        (lambda: kin.slerp([0, 1], np.zeros((2, 3, 3)), 0.5), "shape of at: expected (M,), received ()"),
        (
            lambda: kin.slerp([0, 1], np.zeros((2, 3, 3)), [1.5]),
            "at: expected times from 0 to 1, received others",
        ),
        (
            lambda: kin.angular_velocity(np.zeros((2, 3, 3)), 30, frame="local"),
            "frame: expected one of world, body, received 'local'",
        ),
        (
            lambda: kin.angular_velocity(np.zeros((2, 3, 3)), 0),
            "fps: expected a positive number of frames a second, at most 1000000, received 0",
        ),
        (
            lambda: kin.angular_acceleration(np.zeros((2, 3)), 30),
            "shape of matrices: expected (T, ..., 3, 3), received",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        call()
