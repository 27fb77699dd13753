"""Rotations turned on so that the joints come to refined positions: the system, what it reaches, what it leaves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from smoothnet_core.rotations import axis_angle_to_matrix, geodesic_angle, project_to_so3
from smpl_tools.joint_refinement import descendants, from_root, normal_equations, refine_at_joints, toward_positions
from smpl_tools.motion import Skeleton
from smpl_tools.skeleton import SMPL, positions

# A trunk of three, two arms that hang on its end, a leg on the root; the arms' last joints turn nothing.
PARENTS = np.array([-1, 0, 1, 1, 2, 3, 4, 0, 7])
OFFSETS = np.array(
    [
        [0, 0, 0],
        [0, 0.4, 0.05],
        [0.2, 0.1, 0],
        [-0.2, 0.1, 0],
        [0.3, 0, 0.1],
        [-0.3, 0, 0.1],
        [0.2, 0.05, 0],
        [0.1, -0.4, 0],
        [0, -0.4, 0.02],
    ]
)
TREE = Skeleton(tuple("abcdefghi"), PARENTS, OFFSETS)
JOINTS = len(PARENTS)


def turns(frames: int, size: float, seed: int = 0, joints: int = JOINTS) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(0, size, (frames * joints, 3))
    return axis_angle_to_matrix(vectors).reshape(frames, joints, 3, 3)


def movement(frames: int = 50, seed: int = 0, joints: int = JOINTS) -> np.ndarray:
    phases = np.random.default_rng(seed).uniform(0, 6, (1, joints, 3))
    vectors = 0.4 * np.sin(2 * np.pi * np.arange(frames)[:, None, None] / 30 + phases)
    return axis_angle_to_matrix(vectors)


def relative(rotations: np.ndarray, skeleton: Skeleton = TREE) -> np.ndarray:
    return from_root(positions(rotations, None, skeleton), skeleton)


def smooth(placed: np.ndarray) -> np.ndarray:
    return gaussian_filter1d(placed, 2.0, axis=0)


def smooth_rotations(rotations: np.ndarray) -> np.ndarray:
    # Not SciPy's way to the nearest rotation: before 1.11 it depended on how the scene is turned.
    return project_to_so3(gaussian_filter1d(rotations, 2.0, axis=0))


def judged(rotations: np.ndarray, skeleton: Skeleton = TREE, **more: object) -> np.ndarray:
    return refine_at_joints(rotations, smooth_rotations(rotations), skeleton, smooth, **more)


@pytest.mark.parametrize("turning", [np.arange(JOINTS), np.array([0, 2, 4]), np.array([3])])
def test_the_system_is_that_of_finite_differences(turning):
    here, start = turns(3, 0.5), turns(3, 0.5, 1)
    wanted = relative(here) + np.random.default_rng(2).normal(0, 0.1, (3, JOINTS, 3))
    weights = np.linspace(0.5, 1.5, JOINTS)
    stiffness = np.linspace(0.1, 0.4, len(turning))
    above, matrix, vector = normal_equations(here, start, wanted, TREE, turning, stiffness, weights)

    def moved(frame: int, x: np.ndarray) -> np.ndarray:
        local = here[frame : frame + 1].copy()
        for k, joint in enumerate(turning):
            # Turned about the scene's axes: of the parent's rotation and its own, both are as they were.
            turn = Rotation.from_rotvec(above[frame, k].T @ x[3 * k : 3 * k + 3]).as_matrix()
            local[0, joint] = turn @ local[0, joint]
        return relative(local)[0]

    size = 1e-5
    for frame in range(3):
        steps = size * np.eye(3 * len(turning))
        jacobian = np.stack([(moved(frame, s) - moved(frame, -s)).ravel() / (2 * size) for s in steps], axis=1)
        weight = np.repeat(weights, 3)
        stiff = np.repeat(stiffness, 3)
        expected = jacobian.T @ (weight[:, None] * jacobian) + np.diag(stiff)
        np.testing.assert_allclose(matrix[frame], expected, atol=1e-8)
        back = [
            above[frame, k] @ Rotation.from_matrix(start[frame, j] @ here[frame, j].T).as_rotvec()
            for k, j in enumerate(turning)
        ]
        gap = (wanted[frame] - relative(here[frame : frame + 1])[0]).ravel()
        np.testing.assert_allclose(vector[frame], jacobian.T @ (weight * gap) + stiff * np.ravel(back), atol=1e-8)


def test_exact_positions_in_reach_are_reached():
    truth = movement(20)
    start = truth @ turns(20, 0.15, 3)
    found = toward_positions(
        start, relative(truth), TREE, turning=np.arange(JOINTS), stiffness=np.zeros(JOINTS), steps=12
    )
    before = np.abs(relative(start) - relative(truth)).max()
    after = np.abs(relative(found) - relative(truth)).max()
    assert before > 0.1
    assert after < 1e-4


def test_it_is_the_least_of_what_it_says():
    start = movement(1)
    wanted = relative(start) + np.random.default_rng(4).normal(0, 0.05, (1, JOINTS, 3))
    stiffness = np.linspace(0.02, 0.2, JOINTS)
    found = toward_positions(start, wanted, TREE, turning=np.arange(JOINTS), stiffness=stiffness, steps=30)

    def cost(rotations: np.ndarray) -> np.ndarray:
        angles = geodesic_angle(start, rotations)[0]
        return np.concatenate([(relative(rotations) - wanted).ravel(), np.sqrt(stiffness) * angles])

    def by_vectors(x: np.ndarray) -> np.ndarray:
        return cost(Rotation.from_rotvec(x.reshape(-1, 3)).as_matrix()[None] @ start)

    oracle = least_squares(by_vectors, np.full(3 * JOINTS, 1e-3), xtol=1e-12, ftol=1e-12, gtol=1e-12)
    assert np.square(cost(found)).sum() == pytest.approx(2 * oracle.cost, rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3))
def test_a_turned_or_scaled_scene_turns_and_scales_with_it(seed, scale):
    noisy = movement(40, seed) @ turns(40, 0.05, seed)
    whole = judged(noisy)
    turn = Rotation.random(random_state=seed).as_matrix()
    turned = noisy.copy()
    turned[:, 0] = turn @ turned[:, 0]
    expected = whole.copy()
    expected[:, 0] = turn @ expected[:, 0]
    np.testing.assert_allclose(judged(turned), expected, atol=1e-9)
    scaled = Skeleton(TREE.joints, PARENTS, scale * OFFSETS)
    np.testing.assert_allclose(judged(noisy, scaled), whole, atol=1e-9)


def test_bones_keep_their_lengths():
    found = judged(movement() @ turns(50, 0.1))
    np.testing.assert_allclose(found @ found.swapaxes(-1, -2), np.broadcast_to(np.eye(3), found.shape), atol=1e-12)
    placed = relative(found)
    lengths = np.linalg.norm(placed[:, 1:] - placed[:, PARENTS[1:]], axis=2)
    np.testing.assert_allclose(lengths, np.broadcast_to(np.linalg.norm(OFFSETS[1:], axis=1), lengths.shape), rtol=1e-12)


def test_what_errors_make_up_for_is_not_lost():
    """The chest shakes, and the arms' first joints shake back: where the hands are is known, and stays known."""
    truth = movement(90)
    shake = turns(90, 0.15, 5, 1)[:, 0]
    noisy = truth.copy()
    noisy[:, 1] = truth[:, 1] @ shake
    for joint in (2, 3):
        noisy[:, joint] = shake.swapaxes(-1, -2) @ truth[:, joint]
    alone = smooth_rotations(noisy)
    # So much noise in one and none in the other is taken out of both unequally.
    alone[:, 1] = noisy[:, 1]

    def off(rotations: np.ndarray) -> float:
        ends = [4, 5, 6]
        return float(np.linalg.norm(relative(rotations)[:, ends] - relative(truth)[:, ends], axis=2).mean())

    found = refine_at_joints(noisy, alone, TREE, smooth)
    assert off(found) < 0.6 * off(alone)


def test_positions_that_agree_change_nothing():
    noisy = movement() @ turns(50, 0.05)
    refined = smooth_rotations(noisy)
    found = refine_at_joints(noisy, refined, TREE, lambda placed: relative(refined))
    np.testing.assert_allclose(found, refined, atol=1e-12)


def test_only_turning_joints_change_and_inputs_are_left():
    noisy = movement() @ turns(50, 0.05)
    refined = smooth_rotations(noisy)
    noisy.flags.writeable = refined.flags.writeable = False
    found = refine_at_joints(noisy, refined, TREE, smooth, turning=[1, 4])
    for joint in range(JOINTS):
        assert np.array_equal(found[:, joint], refined[:, joint]) == (joint not in (1, 4))


def test_a_rotation_that_was_left_alone_stays():
    noisy = movement() @ turns(50, 0.05)
    refined = smooth_rotations(noisy)
    refined[:, 2] = noisy[:, 2]
    found = refine_at_joints(noisy, refined, TREE, smooth)
    np.testing.assert_array_equal(found[:, 2], refined[:, 2])
    assert not np.array_equal(found[:, 3], refined[:, 3])


def test_joints_of_which_nothing_is_known_do_not_count():
    noisy = movement() @ turns(50, 0.05)

    def without(placed: np.ndarray, value: float) -> np.ndarray:
        result = smooth(placed)
        result[:, [4, 6]] = value
        return result

    refined = smooth_rotations(noisy)
    found = refine_at_joints(noisy, refined, TREE, lambda placed: without(placed, np.nan))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[:, [4, 6]], refined[:, [4, 6]])
    assert not np.allclose(found[:, 3], refined[:, 3], atol=1e-6)
    nothing = refine_at_joints(noisy, refined, TREE, lambda placed: np.full(placed.shape, np.nan))
    np.testing.assert_array_equal(nothing, refined)


def test_what_is_only_carried_along_does_not_count():
    noisy = movement() @ turns(50, 0.05)

    def otherwise(placed: np.ndarray) -> np.ndarray:
        result = smooth(placed)
        result[:, [4, 5, 6]] += 0.5
        return result

    refined = smooth_rotations(noisy)
    one, other = (refine_at_joints(noisy, refined, TREE, f, turning=[0, 1]) for f in (smooth, otherwise))
    np.testing.assert_array_equal(one, other)


def test_frames_stand_alone_and_blocks_do_not_show():
    noisy = movement(300, joints=24) @ turns(300, 0.05, 0, 24)
    wanted = smooth(relative(noisy, SMPL))
    how = {"turning": np.arange(22), "stiffness": np.full(22, 0.1)}
    whole = toward_positions(noisy, wanted, SMPL, **how)
    part = toward_positions(noisy[250:260], wanted[250:260], SMPL, **how)
    np.testing.assert_allclose(whole[250:260], part, atol=1e-12)


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_short_takes(frames):
    noisy = movement(frames) @ turns(frames, 0.05)
    found = refine_at_joints(noisy, noisy @ turns(frames, 0.01, 6), TREE, lambda placed: placed)
    assert found.shape == noisy.shape
    assert np.isfinite(found).all()


def test_a_body_without_size_and_a_single_joint():
    noisy = movement() @ turns(50, 0.05)
    flat = Skeleton(TREE.joints, PARENTS, 0 * OFFSETS)
    refined = smooth_rotations(noisy)
    np.testing.assert_array_equal(refine_at_joints(noisy, refined, flat, smooth), refined)
    one = Skeleton(("a",), PARENTS[:1], OFFSETS[:1])
    np.testing.assert_array_equal(refine_at_joints(noisy[:, :1], refined[:, :1], one, smooth), refined[:, :1])


def test_what_hangs_on_what():
    below = descendants(TREE)
    assert {j for j in range(JOINTS) if below[1, j]} == {2, 3, 4, 5, 6}
    assert below[0].sum() == JOINTS - 1
    assert not below[6].any()
    two = Skeleton(("a", "b", "c"), np.array([-1, -1, 1]), np.ones((3, 3)))
    placed = np.arange(9.0).reshape(1, 3, 3)
    np.testing.assert_array_equal(from_root(placed, two), [[[0, 0, 0], [0, 0, 0], [3, 3, 3]]])


def test_refusals():
    noisy = movement(4)
    cases = [
        (
            lambda: refine_at_joints(noisy, noisy[:2], TREE, smooth),
            "shape of refined: expected (4, 9, 3, 3), received (2, 9, 3, 3)",
        ),
        (
            lambda: refine_at_joints(noisy, noisy, TREE, lambda placed: placed[:2]),
            "shape of the refined positions: expected (4, 9, 3), received (2, 9, 3)",
        ),
        (
            lambda: refine_at_joints(noisy[:, :5], noisy[:, :5], TREE, smooth),
            "shape of rotations: expected (T, 9, 3, 3), received (4, 5, 3, 3)",
        ),
        (
            lambda: toward_positions(noisy, noisy[..., 0, :2], TREE, turning=[0], stiffness=[1.0]),
            "shape of wanted: expected (4, 9, 3), received (4, 9, 2)",
        ),
        (
            lambda: toward_positions(noisy, noisy[..., 0], TREE, turning=[0, 1], stiffness=[1.0]),
            "shape of stiffness: expected (2,), received (1,)",
        ),
        (
            lambda: toward_positions(noisy, noisy[..., 0], TREE, turning=[0], stiffness=[1.0], weights=[1.0]),
            "shape of weights: expected (9,), received (1,)",
        ),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=r".") as caught:
            call()
        assert str(caught.value) == message
