from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smpl_tools import rotations as rot

INTRINSIC = pytest.mark.parametrize("intrinsic", [True, False], ids=["intrinsic", "extrinsic"])
AXES = pytest.mark.parametrize("axes", rot.AXES)


def random_rotations(count, seed):
    return Rotation.from_quat(np.random.default_rng(seed).normal(size=(count, 4)))


def name(axes, intrinsic):
    return axes.upper() if intrinsic else axes  # SciPy's spelling


def locked_angles(axes, rng, count):
    angles = rng.uniform(-3, 3, (count, 3))
    angles[:, 1] = rng.choice([0, math.pi, -math.pi] if axes[0] == axes[2] else [math.pi / 2, -math.pi / 2], count)
    return angles


def test_there_are_twelve_orders():
    assert len(rot.AXES) == len(set(rot.AXES)) == 12


@INTRINSIC
@AXES
@pytest.mark.parametrize("tensor", [False, True], ids=["numpy", "torch"])
def test_euler_angles_are_scipys(axes, intrinsic, tensor):
    oracle = random_rotations(50, 5)
    matrices, angles = oracle.as_matrix(), oracle.as_euler(name(axes, intrinsic))
    read = pytest.importorskip("torch").from_numpy if tensor else np.asarray
    np.testing.assert_allclose(np.asarray(rot.matrix_to_euler(read(matrices), axes, intrinsic)), angles, atol=1e-10)
    np.testing.assert_allclose(np.asarray(rot.euler_to_matrix(read(angles), axes, intrinsic)), matrices, atol=1e-14)


@INTRINSIC
@AXES
@pytest.mark.parametrize("off", [0, 1e-12, 1e-8, 2e-7, 1e-6, 1e-3])
def test_euler_angles_at_and_near_gimbal_lock(axes, intrinsic, off):
    angles = locked_angles(axes, np.random.default_rng(1), 30)
    angles[:, 1] += off
    matrices = rot.euler_to_matrix(angles, axes, intrinsic)
    found = rot.matrix_to_euler(matrices, axes, intrinsic)
    np.testing.assert_allclose(
        rot.euler_to_matrix(found, axes, intrinsic), matrices, atol=2e-7 if off < 1e-7 else 1e-12
    )
    if off == 0:
        assert (found[:, 0 if intrinsic else 2] == 0).all()


def test_euler_keeps_dtype_and_has_gradients_at_the_lock():
    single = np.array([[0.1, 0.2, 0.3]], np.float32)
    assert rot.matrix_to_euler(rot.euler_to_matrix(single)).dtype == np.float32
    assert rot.continuous_euler(single).dtype == np.float32
    torch = pytest.importorskip("torch")
    for axes in ("xyz", "zxz"):
        angles = torch.tensor([0.3, math.pi / 2 if axes == "xyz" else 0.0, 0.2], dtype=torch.float64)
        matrix = rot.euler_to_matrix(angles, axes).requires_grad_()
        rot.matrix_to_euler(matrix, axes).sum().backward()
        assert matrix.grad is not None
        assert torch.isfinite(matrix.grad).all()
        free = torch.tensor([0.3, 0.8, 0.2], dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(
            lambda x, a=axes: rot.matrix_to_euler(rot.euler_to_matrix(x, a), a), free
        )
        torch.testing.assert_close(jacobian, torch.eye(3, dtype=torch.float64))


@INTRINSIC
@AXES
def test_a_continuous_movement_gets_continuous_angles(axes, intrinsic):
    rng = np.random.default_rng(6)
    truth = np.cumsum(rng.normal(0, 0.08, (600, 2, 3)), axis=0) + np.array([0.1, 0.7, 0.2])
    wrapped = rot.matrix_to_euler(rot.euler_to_matrix(truth, axes, intrinsic), axes, intrinsic)
    wrapped[200:205, 1] = np.nan
    result = rot.continuous_euler(wrapped, axes, intrinsic)
    assert np.isnan(result[200:205, 1]).all()
    seen = np.isfinite(wrapped)
    back = rot.euler_to_matrix(np.where(seen, result, 0), axes, intrinsic)
    np.testing.assert_allclose(back, rot.euler_to_matrix(np.where(seen, wrapped, 0), axes, intrinsic), atol=1e-6)
    np.testing.assert_array_equal(result[0], wrapped[0])
    # The walk it was made from has no larger steps than these; wrapped angles jump by pi and 2 pi.
    assert np.nanmax(abs(np.diff(wrapped, axis=0))) > 3
    gap = abs(np.diff(result, axis=0))
    assert np.nanmax(gap) < 2.2


@given(st.integers(0, 2**32 - 1), st.sampled_from(rot.AXES), st.booleans(), st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_each_triple_is_the_nearest_of_its_equals(seed, axes, intrinsic, frames):
    angles = np.random.default_rng(seed).uniform(-7, 7, (frames, 2, 3))
    result = rot.continuous_euler(angles, axes, intrinsic)
    np.testing.assert_allclose(
        rot.euler_to_matrix(result, axes, intrinsic), rot.euler_to_matrix(angles, axes, intrinsic), atol=1e-12
    )
    np.testing.assert_array_equal(result[:1], angles[:1])
    a, b, c = np.moveaxis(result[1:], -1, 0)
    other = np.stack([a + math.pi, -b if axes[0] == axes[2] else math.pi - b, c + math.pi], -1)
    distance = (np.diff(result, axis=0) ** 2).sum(-1)
    for family in (result[1:], other):
        step = family - result[:-1]
        step = np.mod(step + math.pi, 2 * math.pi) - math.pi
        assert (distance <= (step**2).sum(-1) + 1e-9).all()


@INTRINSIC
@AXES
def test_the_free_angle_stays_at_gimbal_lock(axes, intrinsic):
    rng = np.random.default_rng(7)
    lock = 0.0 if axes[0] == axes[2] else math.pi / 2
    start = np.array([[0.4, lock - 0.3, -0.8]])
    rotations = rot.euler_to_matrix(np.concatenate([start, locked_angles(axes, rng, 20)]), axes, intrinsic)
    result = rot.continuous_euler(rot.matrix_to_euler(rotations, axes, intrinsic), axes, intrinsic)
    np.testing.assert_allclose(rot.euler_to_matrix(result, axes, intrinsic), rotations, atol=1e-7)
    np.testing.assert_allclose(np.mod(result[1:, 0] - result[0, 0] + 0.1, math.pi), 0.1, atol=1e-12)
    slow = np.array([[0.4, lock, -0.8]]) + np.linspace(0, 0.3, 10)[:, None] * [[0, 0, 1]]
    found = rot.matrix_to_euler(rot.euler_to_matrix(slow, axes, intrinsic), axes, intrinsic)
    steady = rot.continuous_euler(np.concatenate([slow[:1], found[1:]]), axes, intrinsic)
    np.testing.assert_allclose(steady, slow, atol=1e-7)


def test_long_motions_take_seconds():
    angles = np.cumsum(np.random.default_rng(0).normal(0, 0.3, (20_000, 10, 3)), axis=0)
    start = time.perf_counter()
    rot.continuous_euler(angles, "zxy")
    rot.continuous_axis_angle(angles)
    assert time.perf_counter() - start < 5


def test_bad_euler_arguments():
    known = "xyx, xyz, xzx, xzy, yxy, yxz, yzx, yzy, zxy, zxz, zyx, zyz"
    for function, argument in (
        (rot.euler_to_matrix, np.zeros(3)),
        (rot.matrix_to_euler, np.eye(3)),
        (rot.continuous_euler, np.zeros((2, 3))),
    ):
        with pytest.raises(ValueError, match=f"^axes: expected one of {known}, received 'XYZ'$"):
            function(argument, "XYZ")
    with pytest.raises(ValueError, match=r"^shape of angles: expected \(\.\.\., 3\), received \(2, 4\)$"):
        rot.euler_to_matrix(np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"^shape of matrix: expected \(\.\.\., 3, 3\), received \(3,\)$"):
        rot.matrix_to_euler(np.zeros(3))
    with pytest.raises(ValueError, match=r"^shape of angles: expected \(T, \.\.\., 3\), received \(3,\)$"):
        rot.continuous_euler(np.zeros(3))


@pytest.mark.parametrize("tensor", [False, True], ids=["numpy", "torch"])
def test_quaternions_with_the_real_part_last(tensor):
    read = pytest.importorskip("torch").from_numpy if tensor else np.asarray
    oracle = random_rotations(20, 8)
    xyzw, matrices, vectors = read(oracle.as_quat()), read(oracle.as_matrix()), read(oracle.as_rotvec())
    np.testing.assert_allclose(rot.quat_xyzw_to_matrix(xyzw), matrices, atol=1e-14)
    np.testing.assert_allclose(rot.quat_xyzw_to_axis_angle(xyzw), vectors, atol=1e-14)
    for back in (rot.matrix_to_quat_xyzw(matrices), rot.axis_angle_to_quat_xyzw(vectors)):
        back = np.asarray(back)
        assert (back[:, 3] >= 0).all()
        np.testing.assert_allclose(back * np.sign((back * oracle.as_quat()).sum(-1))[:, None], xyzw, atol=1e-14)
    np.testing.assert_array_equal(rot.quat_wxyz_to_xyzw(rot.quat_xyzw_to_wxyz(xyzw)), xyzw)
    assert rot.quat_xyzw_to_wxyz(np.array([1.0, 2, 3, 4])).tolist() == [4, 1, 2, 3]
    with pytest.raises(ValueError, match=r"^shape of quat_xyzw: expected \(\.\.\., 4\), received \(3,\)$"):
        rot.quat_xyzw_to_wxyz(np.zeros(3))
    with pytest.raises(ValueError, match=r"^shape of quat_wxyz: expected \(\.\.\., 4\), received \(3,\)$"):
        rot.quat_wxyz_to_xyzw(np.zeros(3))
