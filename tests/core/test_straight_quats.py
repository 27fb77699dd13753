"""Quaternions and rotation vectors without gaps are refined without a trip through matrices, to the same result."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smoothnet_core import _joint_tracks as joint_tracks
from smoothnet_core import refine, rotations

FRAMES, JOINTS = 130, 5


def turning(step: float, seed: int = 0) -> np.ndarray:
    """Quaternions (T, J, 4) that turn by about so many radians a frame, with the scalar first."""
    vectors = np.random.default_rng(seed).normal(0, step, (FRAMES, JOINTS, 3)).cumsum(axis=0)
    quats = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_quat()[:, [3, 0, 1, 2]]
    return quats.reshape(FRAMES, JOINTS, 4)


@pytest.fixture
def ways(monkeypatch):
    """What was refined straight, as they come: whether it was."""
    found = []
    original = joint_tracks.refine_quats

    def watched(*args):
        found.append((result := original(*args)) is not None)
        return result

    monkeypatch.setattr(joint_tracks, "refine_quats", watched)
    return found


@pytest.mark.parametrize("fps", [30, 50])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_what_matrices_give(ways, dtype, fps):
    track = turning(0.05)
    out = refine(track.astype(dtype), kind="quat_wxyz", fps=fps)
    assert ways
    assert all(ways)
    assert out.dtype == dtype
    by_matrices = refine(rotations.quat_wxyz_to_matrix(track), kind="rotation_matrix", fps=fps)
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(rotations.quat_wxyz_to_matrix(out.astype(float)), by_matrices, rtol=0, atol=tolerance)


def test_lengths_and_signs_of_the_track_do_not_matter_and_curves_do_not_jump(ways):
    track = turning(0.05)
    expected = refine(track, kind="quat_wxyz")
    rng = np.random.default_rng(1)
    signs = np.where(rng.random(track.shape[:2]) < 0.5, -1.0, 1.0)
    out = refine(track * (signs * rng.uniform(1e-3, 1e3, track.shape[:2]))[..., None], kind="quat_wxyz")
    assert all(ways)
    np.testing.assert_allclose(np.linalg.norm(out, axis=2), 1, rtol=0, atol=1e-14)
    np.testing.assert_allclose(out, expected * signs[0][:, None], rtol=0, atol=1e-12)
    assert ((out[1:] * out[:-1]).sum(axis=2) > 0.9).all()


@pytest.mark.parametrize("kind", ["quat_wxyz", "axis_angle"])
@pytest.mark.parametrize("late", [False, True])
def test_what_never_turns_keeps_its_bits(kind, late):
    track = turning(0.05)
    track[:, 2] = 3 * track[7, 2]
    if kind == "axis_angle":
        track = rotations.quat_wxyz_to_axis_angle(track)
    if late:
        # It turns, but none of its first hundred frames does.
        track[:100, 1] = track[100, 1]
    out = refine(track, kind=kind)
    np.testing.assert_array_equal(out[:, 2], track[:, 2])
    assert (out[-10:, 1] != track[-10:, 1]).any()


@pytest.fixture
def by_vectors(monkeypatch):
    """The same of rotation vectors."""
    found = []
    original = joint_tracks.refine_axis_angles

    def watched(*args):
        found.append((result := original(*args)) is not None)
        return result

    monkeypatch.setattr(joint_tracks, "refine_axis_angles", watched)
    return found


@pytest.mark.parametrize("fps", [30, 50])
def test_rotation_vectors_too_with_their_whole_turns(by_vectors, fps):
    matrices = rotations.quat_wxyz_to_matrix(turning(0.05))
    # As files have them: here beyond half a turn, there with some turns more.
    track = rotations.matrix_to_axis_angle(matrices)
    angles = np.linalg.norm(track, axis=2, keepdims=True)
    turns = np.array([-2, -1, 0, 1, 5])[:, None]
    track *= (angles + 2 * np.pi * turns) / angles
    out = refine(track, kind="axis_angle", fps=fps)
    assert by_vectors
    assert all(by_vectors)
    expected = refine(matrices, kind="rotation_matrix", fps=fps)
    np.testing.assert_allclose(rotations.axis_angle_to_matrix(out), expected, rtol=0, atol=1e-12)
    # By way of matrices, which a mask of ones leads to.
    np.testing.assert_allclose(out, refine(track, kind="axis_angle", fps=fps, mask=angles[..., 0] > -1), atol=1e-9)


@pytest.mark.parametrize("broken", [np.nan, np.inf, 1e9, 1e200])
def test_vectors_that_are_no_rotations_take_the_other_way(by_vectors, broken):
    track = rotations.quat_wxyz_to_axis_angle(turning(0.05))
    track[20:23, 1] = broken
    assert np.isfinite(refine(track, kind="axis_angle")).all()
    assert not all(by_vectors)
    assert any(by_vectors)


@pytest.mark.parametrize("broken", [np.nan, 0.0, 1e200])
def test_gaps_and_far_turns_take_the_other_way(ways, broken):
    track = turning(0.05)
    track[20:23, 1] = broken
    out = refine(track, kind="quat_wxyz")
    # A few joints at a time: the others are not held back.
    assert not all(ways)
    assert any(ways)
    assert np.isfinite(out).all()
    ways.clear()
    refine(turning(1.5), kind="quat_wxyz")
    assert not any(ways)


def test_masks_confidences_and_strengths_take_the_other_way(ways):
    track = turning(0.05)
    ones = np.ones(track.shape[:2])
    straight = refine(track, kind="quat_wxyz")
    count = len(ways)
    for how in ({"mask": ones > 0}, {"confidence": ones}):
        np.testing.assert_allclose(refine(track, kind="quat_wxyz", **how), straight, rtol=0, atol=1e-12)
    refine(track, kind="quat_wxyz", strength=0.5)
    assert len(ways) == count
