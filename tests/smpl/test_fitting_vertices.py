from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.spatial.transform import Rotation

from smpl_tools.bodies import fit_vertices as module
from smpl_tools.bodies.fit_vertices import fit_vertices
from smpl_tools.rotations import axis_angle_to_matrix, geodesic_angle
from smpl_tools.skeleton import SMPL_X
from tests.smpl.body_helpers import made_body, posed, random_poses

BODY = made_body(14, 5)
RIGID = made_body(14, 5, pose_shapes=False)
WRONG_SHAPE = "shape of vertices of the body model free: expected (T, 336, 3), received (2, 5, 3)"
BETAS = np.array([2.0, -1.5, 0.5, 1.0, -2.0])


def _take(frames=8, limb=100.0, body=BODY, betas=BETAS, seed=0):
    rotations = random_poses(frames, len(body.joints), limb, seed)
    transl = np.random.default_rng(seed).normal(0, 3, (frames, 3))
    return posed(body, rotations, betas, transl)[0], rotations, transl


def _degrees(a, b):
    return np.rad2deg(geodesic_angle(a, b))


@pytest.mark.parametrize("body", [BODY, RIGID], ids=["pose shapes", "none"])
@pytest.mark.parametrize("limb", [30.0, 120.0])
def test_pose_shape_and_place_of_the_models_own_vertices_are_found(body, limb):
    vertices, rotations, transl = _take(limb=limb, body=body)
    before = vertices.copy()
    fit = fit_vertices(body, vertices)
    assert fit.mean_error.max() < 2e-6
    assert fit.max_error.max() < 2e-5
    np.testing.assert_allclose(fit.betas, BETAS, atol=0.01)
    np.testing.assert_allclose(fit.transl, transl, atol=1e-4)
    assert _degrees(fit.rotations, rotations).max() < 0.05
    assert fit.converged.all()
    np.testing.assert_array_equal(vertices, before)


def test_errors_are_the_distances_of_the_vertices_that_the_fit_makes():
    vertices, _, _ = _take(3)
    vertices += np.random.default_rng(0).normal(0, 0.01, vertices.shape)
    fit = fit_vertices(BODY, vertices)
    made, _ = posed(BODY, fit.rotations, fit.betas, fit.transl)
    far = np.linalg.norm(made - vertices, axis=2)
    # Pose-dependent shapes go through float32.
    np.testing.assert_allclose(fit.mean_error, far.mean(axis=1), atol=1e-7)
    np.testing.assert_allclose(fit.max_error, far.max(axis=1), atol=1e-7)


def test_noise_stays_noise():
    vertices, rotations, _ = _take(12, limb=60)
    noise = np.random.default_rng(1).normal(0, 0.005, vertices.shape)
    fit = fit_vertices(BODY, vertices + noise)
    assert fit.mean_error.max() < np.linalg.norm(noise, axis=2).mean() * 1.05
    assert _degrees(fit.rotations, rotations).mean() < 4
    made, _ = posed(BODY, fit.rotations, fit.betas, fit.transl)
    assert np.linalg.norm(made - vertices, axis=2).mean() < 0.004


def test_known_betas_are_kept_and_one_shape_a_frame_can_be_found():
    vertices, rotations, _ = _take(4)
    fit = fit_vertices(BODY, vertices, betas=BETAS)
    np.testing.assert_array_equal(fit.betas, BETAS)
    assert _degrees(fit.rotations, rotations).max() < 0.02
    many = np.random.default_rng(3).uniform(-2, 2, (4, 5))
    vertices, rotations, _ = _take(4, betas=many)
    fit = fit_vertices(BODY, vertices, shared_shape=False)
    assert fit.betas is not None
    np.testing.assert_allclose(fit.betas, many, atol=0.02)
    assert fit.places.shape == (4, 24, 3)
    assert _degrees(fit.rotations, rotations).max() < 0.2
    np.testing.assert_array_equal(fit_vertices(BODY, vertices, betas=many).betas, many)


def test_a_part_of_the_vertices_does_and_frames_without_any_are_nan():
    vertices, rotations, _ = _take(10, limb=60)
    mask = np.random.default_rng(0).random(len(BODY.vertices)) < 0.6
    fit = fit_vertices(BODY, vertices, mask=mask)
    assert _degrees(fit.rotations, rotations).max() < 0.1
    holes = vertices.copy()
    holes[np.random.default_rng(1).random(holes.shape[:2]) < 0.3] = np.nan
    holes[4] = np.nan
    fit = fit_vertices(BODY, holes)
    seen = np.arange(10) != 4
    assert _degrees(fit.rotations, rotations)[seen].max() < 0.2
    for array in (fit.axis_angle, fit.transl, fit.mean_error, fit.max_error):
        assert np.isnan(array[4]).all()
        assert np.isfinite(array[seen]).all()
    assert not fit.converged[4]


def test_a_limb_that_is_not_seen_stays_with_its_parent():
    vertices, rotations, _ = _take(3, limb=40)
    arm = [BODY.joints.index(f"left_{name}") for name in ("elbow", "wrist", "hand")]
    fit = fit_vertices(BODY, vertices, mask=BODY.weights[:, arm].sum(axis=1) == 0)
    others = [j for j in range(24) if j not in arm]
    assert _degrees(fit.rotations, rotations)[:, others].max() < 1
    assert _degrees(fit.rotations, np.eye(3))[:, arm[1:]].max() < 1


def test_turned_vertices_turn_the_root_alone():
    vertices, _, _ = _take(5)
    fit = fit_vertices(BODY, vertices)
    for turn in (Rotation.from_euler("x", 180, degrees=True), Rotation.from_euler("zx", [90, 40], degrees=True)):
        other = fit_vertices(BODY, vertices @ turn.as_matrix().T)
        assert _degrees(other.rotations[:, 1:], fit.rotations[:, 1:]).max() < 0.01
        assert _degrees(other.rotations[:, 0], turn.as_matrix() @ fit.rotations[:, 0]).max() < 0.01
        np.testing.assert_allclose(other.betas, fit.betas, atol=1e-3)


def test_blocks_time_and_repetition_change_nothing(monkeypatch):
    vertices, _, _ = _take(7)
    fit = fit_vertices(BODY, vertices)
    again = fit_vertices(BODY, vertices)
    np.testing.assert_array_equal(fit.axis_angle, again.axis_angle)
    back = fit_vertices(BODY, vertices[::-1])
    assert _degrees(back.rotations[::-1], fit.rotations).max() < 1e-3
    monkeypatch.setattr(module, "_BLOCK_NUMBERS", 2 * len(BODY.vertices))
    parts = fit_vertices(BODY, vertices)
    assert _degrees(parts.rotations, fit.rotations).max() < 1e-3


def test_weights_may_be_sparse():
    vertices, _, _ = _take(2)
    body = replace(BODY, weights=csr_matrix(BODY.weights))
    np.testing.assert_array_equal(fit_vertices(body, vertices).axis_angle, fit_vertices(BODY, vertices).axis_angle)


def test_axis_angle_is_continuous():
    rotations = np.broadcast_to(np.eye(3), (40, 24, 3, 3)).copy()
    rotations[:, 0] = Rotation.from_euler("y", np.linspace(0, 700, 40)[:, None], degrees=True).as_matrix()
    fit = fit_vertices(RIGID, posed(RIGID, rotations, BETAS, np.zeros((40, 3)))[0])
    np.testing.assert_allclose(np.rad2deg(fit.global_orient[:, 0, 1]), np.linspace(0, 700, 40), atol=0.01)


def test_parts_of_a_body_with_fingers():
    body = made_body(10, 3, pose_shapes=False, skeleton=SMPL_X)
    rotations = random_poses(2, 55, 40)
    vertices, _ = posed(body, rotations, np.zeros(3), np.zeros((2, 3)))
    fit = fit_vertices(body, vertices)
    assert _degrees(fit.rotations, rotations).max() < 0.1
    assert fit.global_orient.shape == (2, 1, 3)
    assert fit.body_pose.shape == (2, 21, 3)
    assert fit.left_hand_pose is not None
    np.testing.assert_array_equal(fit.left_hand_pose, fit.axis_angle[:, 25:40])
    assert fit.right_hand_pose is not None
    np.testing.assert_array_equal(fit.right_hand_pose, fit.axis_angle[:, 40:])
    assert fit.face_pose is not None
    assert fit.face_pose.shape == (2, 3, 3)
    plain = fit_vertices(BODY, _take(1)[0])
    assert plain.body_pose.shape == (1, 23, 3)
    assert plain.left_hand_pose is None
    assert plain.face_pose is None
    np.testing.assert_array_equal(plain.rotations, axis_angle_to_matrix(plain.axis_angle))


def test_no_frames():
    fit = fit_vertices(BODY, np.zeros((0, len(BODY.vertices), 3)))
    assert fit.axis_angle.shape == (0, 24, 3)
    assert fit.betas is not None
    assert fit.betas.shape == (5,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vertices": np.zeros((2, 5, 3))}, WRONG_SHAPE),
        ({"vertices": np.full((2, 336, 3), np.nan)}, "vertices: expected finite ones in some frame, received none"),
        ({"mask": np.ones(3)}, "shape of mask: expected (336,) or (2, 336), received (3,)"),
        ({"betas": np.zeros(9)}, "shape of betas: expected (K,) or (2, K) with K up to 5, received (9,)"),
        ({"betas": np.full(2, np.nan)}, "betas: expected finite numbers, received NaN or infinity"),
        ({"iterations": 0}, "iterations: expected 1 or more, received 0"),
        ({"shape_count": -1}, "shape_count: expected 0 or more, received -1"),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted_is_refused(change, message):
    arguments = {"vertices": np.zeros((2, 336, 3))} | change
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fit_vertices(BODY, **arguments)
