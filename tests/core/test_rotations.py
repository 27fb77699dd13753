from __future__ import annotations

import math
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smoothnet_core import rotations as rot
from tests.helpers import shared

# What each function takes and gives; drives the tests of kind, dtype and shape.
CONVERSIONS = {
    "axis_angle_to_matrix": ((3,), (3, 3)),
    "matrix_to_axis_angle": ((3, 3), (3,)),
    "axis_angle_to_quat_wxyz": ((3,), (4,)),
    "quat_wxyz_to_axis_angle": ((4,), (3,)),
    "quat_wxyz_to_matrix": ((4,), (3, 3)),
    "matrix_to_quat_wxyz": ((3, 3), (4,)),
    "rotation_6d_to_matrix": ((6,), (3, 3)),
    "matrix_to_rotation_6d": ((3, 3), (6,)),
    "project_to_so3": ((3, 3), (3, 3)),
}
BATCHES = [(), (5,), (2, 3), (0,), (2, 0, 3)]
KINDS = {
    "numpy float32": (np.float32, None),
    "numpy float64": (np.float64, None),
    "torch float32": (np.float32, "torch"),
    "torch float64": (np.float64, "torch"),
}

angles = st.one_of(
    st.floats(0, math.pi), st.sampled_from([0.0, 1e-300, 1e-12, 1e-8, 1e-4, math.pi - 1e-8, math.pi - 1e-4, math.pi])
)
directions = st.tuples(*[st.floats(-1, 1)] * 3).map(np.array).filter(lambda v: np.linalg.norm(v) > 1e-3)
vectors = st.builds(lambda a, d: a * d / np.linalg.norm(d), angles, directions)


def random_rotations(count, seed):
    return Rotation.from_quat(np.random.default_rng(seed).normal(size=(count, 4)))


def given_as(kind, values):
    dtype, module = KINDS[kind]
    array = np.asarray(values, dtype)
    return array if module is None else pytest.importorskip(module).from_numpy(array)


def sample(shape, batch, rng):
    matrices = random_rotations(max(math.prod(batch), 1), rng.integers(1 << 30)).as_matrix()
    of_shape = {
        (3, 3): lambda m: m,
        (3,): rot.matrix_to_axis_angle,
        (4,): rot.matrix_to_quat_wxyz,
        (6,): rot.matrix_to_rotation_6d,
    }[shape]
    return of_shape(matrices[: math.prod(batch)].reshape(*batch, 3, 3))


@pytest.mark.parametrize("batch", BATCHES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CONVERSIONS)
def test_kind_dtype_and_batch_are_kept(name, kind, batch):
    takes, gives = CONVERSIONS[name]
    values = sample(takes, batch, np.random.default_rng(3))
    result = getattr(rot, name)(given_as(kind, values))
    reference = getattr(rot, name)(values)
    expected = given_as(kind, reference)
    assert type(result) is type(expected)
    assert result.dtype == expected.dtype
    assert tuple(result.shape) == (*batch, *gives)
    np.testing.assert_allclose(np.asarray(result), reference, atol=2e-6 if "32" in kind else 1e-12)


@pytest.mark.parametrize("name", CONVERSIONS)
def test_a_wrong_shape_is_refused_by_name(name):
    takes, _ = CONVERSIONS[name]
    what = name.partition("_to_")[0] if "_to_so3" not in name else "matrix"
    message = f"shape of {what}: expected (..., {', '.join(map(str, takes))}), received (2, 7)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        getattr(rot, name)(np.zeros((2, 7)))


@given(vectors)
@settings(max_examples=200, deadline=None)
def test_scipy_agrees_and_every_round_trip_returns(v):
    oracle = Rotation.from_rotvec(v)
    matrix = rot.axis_angle_to_matrix(v)
    np.testing.assert_allclose(matrix, oracle.as_matrix(), atol=1e-14)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-14)
    quat = rot.matrix_to_quat_wxyz(matrix)
    assert quat[0] >= 0
    wxyz = oracle.as_quat()[[3, 0, 1, 2]]
    np.testing.assert_allclose(quat * np.sign(quat @ wxyz), wxyz, atol=1e-14)
    for back in (rot.matrix_to_axis_angle(matrix), rot.quat_wxyz_to_axis_angle(rot.axis_angle_to_quat_wxyz(v))):
        # At pi both signs are right; a small angle keeps its digits.
        error = min(np.linalg.norm(back - v), np.linalg.norm(back + v) if np.linalg.norm(v) > 3.14159 else np.inf)
        assert error <= 1e-14 + 1e-15 * np.linalg.norm(v)
    np.testing.assert_allclose(rot.quat_wxyz_to_matrix(-3 * quat), matrix, atol=1e-14)
    for order in rot.ORDERS:
        six = rot.matrix_to_rotation_6d(matrix, order)
        np.testing.assert_allclose(rot.rotation_6d_to_matrix(six, order), matrix, atol=1e-14)


def test_tiny_angles_keep_their_digits():
    v = np.array([1e-9, -2e-9, 3e-9])
    for back in (
        rot.matrix_to_axis_angle(rot.axis_angle_to_matrix(v)),
        rot.quat_wxyz_to_axis_angle(rot.axis_angle_to_quat_wxyz(v)),
    ):
        np.testing.assert_allclose(back, v, rtol=1e-14)


def test_six_numbers_stand_where_the_order_says():
    m = np.arange(9.0).reshape(3, 3)
    assert rot.matrix_to_rotation_6d(m, "interleaved").tolist() == [0, 1, 3, 4, 6, 7]
    assert rot.matrix_to_rotation_6d(m, "columns").tolist() == [0, 3, 6, 1, 4, 7]
    assert rot.matrix_to_rotation_6d(m, "rows").tolist() == [0, 1, 2, 3, 4, 5]
    message = "order of a 6D rotation: expected one of interleaved, columns, rows, received 'wxyz'"
    for function, argument in ((rot.matrix_to_rotation_6d, m), (rot.rotation_6d_to_matrix, np.ones(6))):
        with pytest.raises(ValueError, match=f"^{message}$"):
            function(argument, "wxyz")


def test_gram_schmidt_keeps_the_first_direction_and_the_plane():
    first, second = np.array([0.0, 3, 4]), np.array([1.0, 1, 1])
    m = rot.rotation_6d_to_matrix(np.concatenate([first, second]))
    np.testing.assert_allclose(m[:, 0], first / 5)
    np.testing.assert_allclose(m[:, 2] @ second, 0, atol=1e-15)
    assert m[:, 1] @ second > 0
    np.testing.assert_allclose(np.linalg.det(m), 1)
    np.testing.assert_allclose(rot.rotation_6d_to_matrix(np.concatenate([first, second]), "rows"), m.T)


def test_published_six_numbers():
    golden = np.load(shared("golden", "rot6d.npz"))
    matrices = rot.axis_angle_to_matrix(golden["axis_angle"])
    ours = rot.matrix_to_rotation_6d(matrices, "interleaved")
    np.testing.assert_allclose(ours, golden["rot6d"][:, 0], atol=1e-7)
    back = rot.rotation_6d_to_matrix(golden["rot6d"][:, 0], "interleaved")
    published = rot.axis_angle_to_matrix(golden["axis_angle_back"].astype(np.float64))
    assert rot.geodesic_angle(back, published).max() < 1e-5


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    "v",
    [[0, 0, 0], [1e-30, 0, 0], [1e-9, 2e-9, 0], [1e-4, 0, -2e-4], [0.3, -1, 2], [math.pi - 1e-5, 0, 0], [0, 2.2, -2.2]],
    ids=str,
)
def test_gradient_of_a_round_trip_is_the_identity(v, precision):
    torch = pytest.importorskip("torch")
    dtype = getattr(torch, precision)
    start = torch.tensor(v, dtype=dtype)
    tolerance = 3e-5 if precision == "float32" else 1e-9
    for there, back in (
        (rot.axis_angle_to_matrix, rot.matrix_to_axis_angle),
        (rot.axis_angle_to_quat_wxyz, rot.quat_wxyz_to_axis_angle),
    ):
        jacobian = torch.autograd.functional.jacobian(lambda x, f=there, g=back: g(f(x)), start)
        torch.testing.assert_close(jacobian, torch.eye(3, dtype=dtype), atol=tolerance, rtol=0)


@pytest.mark.parametrize("v", [[1e-6, 0, 0], [0.5, 1, -0.2], [0, math.pi - 1e-3, 0], [1, 2, 5]], ids=str)
@pytest.mark.parametrize("name", CONVERSIONS)
def test_gradients_match_finite_differences(name, v):
    torch = pytest.importorskip("torch")
    matrix = rot.axis_angle_to_matrix(torch.tensor([v], dtype=torch.float64))
    source = {"axis_angle": lambda m: torch.tensor([v], dtype=torch.float64), "quat_wxyz": rot.matrix_to_quat_wxyz}
    source |= {"rotation_6d": rot.matrix_to_rotation_6d, "matrix": lambda m: m, "project": lambda m: m}
    start = source[name.partition("_to_")[0]](matrix).requires_grad_()
    assert torch.autograd.gradcheck(getattr(rot, name), (start,), atol=1e-6)


def test_gradients_at_the_identity_and_at_pi_are_finite():
    torch = pytest.importorskip("torch")
    for diagonal in ([1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]):
        m = torch.diag(torch.tensor(diagonal, dtype=torch.float64)).requires_grad_()
        for function in (rot.matrix_to_quat_wxyz, rot.matrix_to_axis_angle, rot.project_to_so3):
            (gradient,) = torch.autograd.grad(function(m).sum(), m)
            assert torch.isfinite(gradient).all()
        (gradient,) = torch.autograd.grad(rot.geodesic_angle(m, m.detach()), m)
        assert torch.isfinite(gradient).all()


def test_projection_is_the_nearest_rotation_and_never_a_reflection():
    rng = np.random.default_rng(0)
    m = rng.normal(size=(40, 3, 3))
    nearest = rot.project_to_so3(m)
    np.testing.assert_allclose(nearest @ nearest.swapaxes(-1, -2), np.broadcast_to(np.eye(3), m.shape), atol=1e-13)
    np.testing.assert_allclose(np.linalg.det(nearest), 1)
    others = random_rotations(2000, 1).as_matrix()
    best = np.linalg.norm(others[None] - m[:, None], axis=(-2, -1)).min(1)
    assert (np.linalg.norm(nearest - m, axis=(-2, -1)) <= best + 1e-12).all()
    turn = others[0]
    np.testing.assert_allclose(rot.project_to_so3(turn @ m), turn @ nearest, atol=1e-11)
    np.testing.assert_allclose(np.linalg.det(rot.project_to_so3(np.diag([1.0, 1, -1]))), 1)


def test_projection_has_the_right_gradient_everywhere_it_has_one():
    torch = pytest.importorskip("torch")
    m = torch.from_numpy(np.random.default_rng(1).normal(size=(6, 3, 3))).requires_grad_()
    assert torch.autograd.gradcheck(rot.project_to_so3, (m,))
    assert torch.autograd.gradcheck(rot.project_to_so3, (torch.eye(3, dtype=torch.float64, requires_grad=True),))
    zero = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    rot.project_to_so3(zero).sum().backward()
    assert zero.grad is not None
    assert (zero.grad == 0).all()


@pytest.mark.parametrize("kind", ["numpy float64", "torch float64"])
def test_nan_stays_where_it_is(kind):
    m = np.stack([np.eye(3)] * 3)
    m[1, 0, 2] = np.nan
    result = np.asarray(rot.project_to_so3(given_as(kind, m)))
    assert np.isnan(result[1]).all()
    assert np.isfinite(result[[0, 2]]).all()
    assert np.isnan(rot.quat_wxyz_to_matrix(np.zeros(4))).any()
    assert np.isnan(rot.rotation_6d_to_matrix(np.array([1.0, 0, 0, 0, 0, 0]))).any()


@given(vectors, vectors)
@settings(max_examples=100, deadline=None)
def test_geodesic_angle_is_scipys(v, w):
    a, b = Rotation.from_rotvec(v), Rotation.from_rotvec(w)
    angle = rot.geodesic_angle(a.as_matrix(), b.as_matrix())
    np.testing.assert_allclose(angle, (a.inv() * b).magnitude(), atol=1e-13)


@pytest.mark.parametrize("angle", [1e-12, 1e-7, 1.0, math.pi - 1e-7])
def test_geodesic_angle_keeps_its_digits(angle):
    b = rot.axis_angle_to_matrix(np.array([0, angle, 0]))
    np.testing.assert_allclose(rot.geodesic_angle(np.eye(3), b), angle, rtol=1e-12 if angle < 1 else 1e-15)


def test_interpolation_walks_the_shortest_way_at_constant_speed():
    rng = np.random.default_rng(2)
    a, b = random_rotations(8, 2).as_matrix(), random_rotations(8, 3).as_matrix()
    t = rng.uniform(size=8)
    whole = rot.geodesic_angle(a, b)
    at = rot.interpolate(a, b, t)
    np.testing.assert_allclose(rot.geodesic_angle(a, at), t * whole, atol=1e-13)
    np.testing.assert_allclose(rot.geodesic_angle(at, b), (1 - t) * whole, atol=1e-13)
    np.testing.assert_allclose(rot.interpolate(a, b, 0), a, atol=1e-15)
    np.testing.assert_allclose(rot.interpolate(a, b, 1), b, atol=1e-14)
    assert rot.interpolate(a.astype(np.float32), b.astype(np.float32), 0.3).dtype == np.float32
    torch = pytest.importorskip("torch")
    tensor = rot.interpolate(torch.from_numpy(a), torch.from_numpy(b), 0.3)
    np.testing.assert_allclose(tensor.numpy(), rot.interpolate(a, b, 0.3), atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_quaternions_become_continuous(kind):
    rng = np.random.default_rng(4)
    smooth = np.cumsum(rng.normal(0, 0.1, (200, 3, 4)), axis=0) + np.array([3, 0, 0, 0])
    smooth /= np.linalg.norm(smooth, axis=-1, keepdims=True)
    flipped = smooth * rng.choice([-1, 1], (200, 3, 1))
    flipped[50:60, 1] = np.nan
    result = np.asarray(rot.continuous_quat_wxyz(given_as(kind, flipped)))
    expected = smooth * np.sign((smooth[0] * flipped[0]).sum(-1))[:, None]
    expected[50:60, 1] = np.nan
    np.testing.assert_array_equal(result, given_as(kind, expected))


@pytest.mark.parametrize("kind", KINDS)
def test_axis_angles_become_continuous(kind):
    time = np.linspace(-1, 1, 400)[:, None]
    # Several turns with a wandering axis, through the identity and back, and one that stays small.
    turning = 12 * time * np.array([[1, 0.2, 0]]) + 0.2 * np.sin(5 * time) * time * np.array([[0, 0, 1]])
    small = 0.5 * np.sin(3 * time) * np.array([[0, 1, 1]])
    truth = np.stack([turning, small], 1)
    wrapped = rot.matrix_to_axis_angle(rot.axis_angle_to_matrix(truth))
    wrapped[0] = truth[0]
    wrapped[100:110, 0] = np.nan
    truth[100:110, 0] = np.nan
    result = rot.continuous_axis_angle(given_as(kind, wrapped))
    np.testing.assert_allclose(np.asarray(result), truth, atol=1e-4 if "32" in kind else 1e-12)


def test_axis_angles_stay_continuous_through_whole_turns():
    angle = np.linspace(0, 4 * math.pi, 101)  # frame 50 is one whole turn: a vector of zeros after wrapping
    truth = angle[:, None] * np.array([0.6, 0, 0.8])
    wrapped = rot.matrix_to_axis_angle(rot.axis_angle_to_matrix(truth))
    wrapped[50] = 0
    np.testing.assert_allclose(rot.continuous_axis_angle(wrapped), truth, atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
@settings(max_examples=30, deadline=None)
def test_each_axis_angle_is_the_nearest_of_its_representatives(seed, frames):
    v = np.random.default_rng(seed).normal(0, 3, (frames, 2, 3))
    result = rot.continuous_axis_angle(v)
    np.testing.assert_allclose(rot.axis_angle_to_matrix(result), rot.axis_angle_to_matrix(v), atol=1e-12)
    np.testing.assert_array_equal(result[:1], v[:1])
    axis = v / np.linalg.norm(v, axis=-1, keepdims=True)
    for turns in (-2, -1, 1, 2):
        other = np.linalg.norm(result[1:] + 2 * math.pi * turns * axis[1:] - result[:-1], axis=-1)
        assert (np.linalg.norm(np.diff(result, axis=0), axis=-1) <= other + 1e-9).all()


def test_continuity_needs_a_time_axis():
    with pytest.raises(ValueError, match=r"^shape of quat_wxyz: expected \(T, \.\.\., 4\), received \(4,\)$"):
        rot.continuous_quat_wxyz(np.zeros(4))
    with pytest.raises(ValueError, match=r"^shape of axis_angle: expected \(T, \.\.\., 3\), received \(5, 4\)$"):
        rot.continuous_axis_angle(np.zeros((5, 4)))


def test_gradients_pass_through_continuity():
    torch = pytest.importorskip("torch")
    v = torch.tensor([[0.0, 3.0, 0], [0, -3.1, 0]], dtype=torch.float64, requires_grad=True)
    result = rot.continuous_axis_angle(v)
    torch.testing.assert_close(result[1, 1].detach(), torch.tensor(2 * math.pi - 3.1, dtype=torch.float64))
    result[1, 1].backward()
    assert v.grad is not None
    assert v.grad.tolist() == [[0, 0, 0], [0, 1, 0]]


def test_integers_and_lists_are_read_as_numbers():
    np.testing.assert_array_equal(rot.quat_wxyz_to_matrix([2, 0, 0, 0]), np.eye(3))


def test_no_heavy_import():
    code = (
        "import sys, smoothnet_core.rotations, smoothnet_core.metrics, smoothnet_core.filters, smpl_tools.rotations;"
        "print([m for m in ('torch', 'typer', 'rich', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_nearest_rotation_is_the_polar_factor_however_it_is_found():
    from scipy.linalg import polar

    rng = np.random.default_rng(4)
    turns = Rotation.random(9000, random_state=4).as_matrix()
    # More than one block: nearly rotations, far from it, stretched a thousandfold, mirrored, huge and tiny.
    m = turns + rng.normal(size=turns.shape) * np.resize([0.01, 0.5], (9000, 1, 1))
    m[::50] *= np.array([1.0, 1e-3, 1.0])
    m[::70] *= 1e200
    m[1::70] *= 1e-200
    nearest = rot.project_to_so3(m)
    np.testing.assert_allclose(nearest @ nearest.swapaxes(1, 2), np.broadcast_to(np.eye(3), m.shape), atol=1e-12)
    for index in [*range(0, 9000, 10), *range(1, 9000, 70)]:
        if np.linalg.det(m[index] / np.abs(m[index]).max()) > 1e-6:
            np.testing.assert_allclose(nearest[index], polar(m[index] / np.abs(m[index]).max())[0], atol=1e-9)
        else:
            assert np.linalg.det(nearest[index]) > 0.99
