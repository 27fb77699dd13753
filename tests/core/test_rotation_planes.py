"""Rotations in rows of memory: the same as SciPy's and as those of :mod:`smoothnet_core.rotations`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smoothnet_core import _rotation_planes as planes
from smoothnet_core import rotations


def rows(array):
    return np.ascontiguousarray(array.reshape(len(array), -1).T)


def all_turns(count=400, seed=0):
    """Rotations of every size: by nothing, by almost nothing, by half a turn and by almost half a turn."""
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(count, 3))
    axes[:60] = np.eye(3)[rng.integers(0, 3, 60)]
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = rng.uniform(0, np.pi, count)
    angles[::4] = rng.choice([0.0, 1e-12, 1e-6, np.pi - 1e-6, np.pi, 2 * np.pi / 3], count)[::4]
    return Rotation.from_rotvec(axes * angles[:, None])


def test_conversions_are_those_of_scipy():
    turns = all_turns()
    matrices, quats = turns.as_matrix(), turns.as_quat()[:, [3, 0, 1, 2]]
    np.testing.assert_allclose(planes.matrix_of_quat(rows(quats) * 3.7), rows(matrices), atol=1e-15)
    found = planes.quat_of_matrix(rows(matrices))
    assert (found[0] >= 0).all()
    np.testing.assert_allclose(np.abs((found.T * quats).sum(axis=1)), 1.0, atol=1e-14)
    np.testing.assert_allclose(planes.matrix_of_quat(found), rows(matrices), atol=2e-15)
    vectors = rows(turns.as_rotvec())
    np.testing.assert_allclose(planes.matrix_of_quat(planes.quat_of_axis_angle(vectors)), rows(matrices), atol=2e-15)


@pytest.mark.parametrize("size", [1e-200, 1e-101, 1.0, 9e99])
def test_the_size_of_a_quaternion_does_not_matter(size):
    quats = rows(all_turns(80).as_quat()[:, [3, 0, 1, 2]])
    np.testing.assert_allclose(planes.matrix_of_quat(quats * size), planes.matrix_of_quat(quats), atol=1e-14)


def test_rotation_vectors_are_written_like_others():
    vectors = rows(all_turns().as_rotvec())
    angle = np.linalg.norm(vectors, axis=0)
    axis = np.where(angle > 0, vectors / np.where(angle > 0, angle, 1), np.eye(3)[:, :1])
    for turns in (-1, 0, 1, 3):
        # Not at half a turn, which has two axes.
        usable = angle < 3.1
        like = vectors + 2 * np.pi * turns * axis
        quats = planes.quat_of_axis_angle(vectors)
        np.testing.assert_allclose(planes.axis_angle_of_quat(quats, like)[:, usable], like[:, usable], atol=1e-12)


@given(seed=st.integers(0, 100), share=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_what_lies_between_is_on_the_geodesic(seed, share):
    a, b = all_turns(80, seed).as_matrix(), all_turns(80, seed + 1).as_matrix()
    expected = rotations.interpolate(a, b, share)
    # From half a turn apart either way is the shortest.
    usable = rotations.geodesic_angle(a, b) < 3.1
    result = planes.between(rows(a), rows(b), share)
    np.testing.assert_allclose(result[:, usable], rows(expected)[:, usable], atol=1e-13)


def test_angles_are_those_between_rotations():
    a = all_turns()
    small = Rotation.from_rotvec(np.full((400, 3), 1e-9))
    for b in (all_turns(seed=1), a * small, small * a):
        expected = (a.inv() * b).magnitude()
        result = planes.angle_between(rows(a.as_matrix()), rows(b.as_matrix()))
        np.testing.assert_allclose(result, expected, atol=1e-14)
