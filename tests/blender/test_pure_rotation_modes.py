"""Rotation channels of every mode against SciPy, and their continuity."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from blender_addon.animation.rotation_modes import (
    EULER_ORDERS,
    MODES,
    channel_count,
    channel_name,
    from_quat_wxyz,
    to_quat_wxyz,
)

TURN = 2 * np.pi
SEEDS = st.integers(0, 2**32 - 1)


def scipy_of(values: np.ndarray, mode: str) -> Rotation:
    if mode == "QUATERNION":
        return Rotation.from_quat(np.roll(values, -1, axis=-1))
    if mode == "AXIS_ANGLE":
        axis = values[:, 1:] / np.linalg.norm(values[:, 1:], axis=-1, keepdims=True)
        return Rotation.from_rotvec(values[:, :1] * axis)
    places = ["XYZ".index(letter) for letter in mode]
    return Rotation.from_euler(mode.lower(), values[:, places])


def rotation(quat_wxyz: np.ndarray) -> Rotation:
    return Rotation.from_quat(np.roll(quat_wxyz, -1, axis=-1))


def apart(a: Rotation, b: Rotation) -> np.ndarray:
    # The magnitude of a rotation vector is exact for small angles, where that of a trace is not.
    return np.linalg.norm((a.inv() * b).as_rotvec(), axis=-1)


def smooth_turns(seed: int, frames: int = 200, size: float = 3.0) -> np.ndarray:
    """Return quaternions (T, 4), of any sign, of a motion that turns far, by less than 40 degrees a frame."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, frames)[:, None]
    vector = sum(rng.normal(0, size / (k + 1), 3) * np.sin(TURN * k * t + rng.uniform(0, TURN, 3)) for k in range(1, 4))
    quat = np.roll(Rotation.from_rotvec(np.asarray(vector)).as_quat(), 1, axis=-1)
    return quat * rng.choice([-1.0, 1.0], (frames, 1))


def random_values(seed: int, mode: str, frames: int = 50) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 4, (frames, channel_count(mode)))
    if mode in EULER_ORDERS:
        # A third of them in, or by a hair beside, gimbal lock.
        lock = rng.choice([-1.0, 1.0], frames) * np.pi / 2 + 10.0 ** rng.uniform(-17, -2, frames)
        values[:, "XYZ".index(mode[1])] = np.where(rng.random(frames) < 0.3, lock, values[:, "XYZ".index(mode[1])])
    return values


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_channel_values_mean_what_scipy_says(mode: str, seed: int) -> None:
    values = random_values(seed, mode)
    quat = to_quat_wxyz(values, mode)
    np.testing.assert_allclose(np.linalg.norm(quat, axis=-1), 1, atol=1e-12)
    assert apart(rotation(quat), scipy_of(values, mode)).max() < 1e-9


@pytest.mark.parametrize("with_like", [True, False])
@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_there_and_back_is_the_same_pose(mode: str, with_like: bool, seed: int) -> None:
    quat = to_quat_wxyz(random_values(seed, mode), mode)
    like = random_values(seed + 1, mode) if with_like else None
    values = from_quat_wxyz(quat, mode, like)
    assert apart(scipy_of(values, mode), rotation(quat)).max() < 1e-6


@pytest.mark.parametrize("mode", EULER_ORDERS)
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_each_euler_triple_is_the_nearest_to_the_one_before(mode: str, seed: int) -> None:
    quat = smooth_turns(seed)
    euler = from_quat_wxyz(quat, mode)
    i, j, k = ("XYZ".index(letter) for letter in mode)
    other = euler.copy()
    other[:, [i, k]] += np.pi
    other[:, j] = np.pi - other[:, j]
    for same in (euler, other):
        for_each = same[1:] - euler[:-1]
        nearest = for_each - TURN * np.rint(for_each / TURN)
        step = np.linalg.norm(np.diff(euler, axis=0), axis=-1)
        assert (step <= np.linalg.norm(nearest, axis=-1) + 1e-9).all()


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS)
def test_quaternions_keep_their_sign_over_time(seed: int) -> None:
    quat = smooth_turns(seed)
    like = quat * 3
    values = from_quat_wxyz(quat, "QUATERNION", like)
    assert ((values[1:] * values[:-1]).sum(-1) > 0.7).all()
    np.testing.assert_allclose(values[0], like[0] / 3)
    assert from_quat_wxyz(quat, "QUATERNION")[0, 0] >= 0


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS)
def test_axes_do_not_flip_and_angles_wind(seed: int) -> None:
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    steps = rng.uniform(-0.6, 0.9, 300)
    steps[51:55] = 0
    angle = np.cumsum(steps)
    angle -= angle[50]  # the identity for a while, crossed and wound about
    like = np.column_stack([angle, np.tile(axis * 7, (300, 1))])
    quat = to_quat_wxyz(like, "AXIS_ANGLE") * rng.choice([-1.0, 1.0], (300, 1))
    values = from_quat_wxyz(quat, "AXIS_ANGLE", like)
    np.testing.assert_allclose(values[:, 0], angle, atol=1e-6)
    np.testing.assert_allclose(values[:, 1:], np.tile(axis, (300, 1)), atol=1e-6)


@pytest.mark.parametrize("mode", EULER_ORDERS)
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_a_continuous_original_is_given_back_however_it_winds(mode: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, 400)[:, None]
    like = rng.uniform(-20, 20, 3) + t * rng.uniform(-4, 4, 3) * np.pi
    values = from_quat_wxyz(to_quat_wxyz(like, mode), mode, like)
    np.testing.assert_allclose(values, like, atol=1e-6)


@pytest.mark.parametrize("mode", EULER_ORDERS)
def test_a_turn_of_two_rounds_through_gimbal_lock_is_given_back(mode: str) -> None:
    """The middle axis alone turns by 720 degrees, in steps that hit the lock exactly."""
    like = np.zeros((145, 3))
    like[:, "XYZ".index(mode[1])] = np.radians(np.arange(0, 725, 5))
    like[:, "XYZ".index(mode[0])] = 0.3
    for given_like in (like, None):
        values = from_quat_wxyz(to_quat_wxyz(like, mode), mode, given_like)
        np.testing.assert_allclose(values, like, atol=1e-6)


@pytest.mark.parametrize("mode", EULER_ORDERS)
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_refined_rotations_wind_as_the_original(mode: str, seed: int) -> None:
    """Noise of a degree, flips and whole turns in the original: the result is continuous and beside it."""
    rng = np.random.default_rng(seed)
    i, j, k = ("XYZ".index(letter) for letter in mode)
    smooth = np.empty((300, 3))
    t = np.linspace(0, 1, 300)
    smooth[:, i], smooth[:, k] = 14 * t, -9 * t + 1
    smooth[:, j] = np.sin(9 * t)  # away from the lock
    like = smooth + rng.normal(0, 0.02, smooth.shape)
    flipped = rng.random(300) < 0.3
    flipped[0] = False
    like[np.ix_(flipped, [i, k])] += np.pi
    like[flipped, j] = np.pi - like[flipped, j]
    like[1:] += TURN * rng.integers(-2, 3, (299, 3))
    values = from_quat_wxyz(to_quat_wxyz(smooth, mode), mode, like)
    np.testing.assert_allclose(values, smooth, atol=1e-6)


def test_in_gimbal_lock_the_axes_share_as_the_original_says() -> None:
    like = np.array([[[0.7, np.pi / 2, -0.4], [5.9, np.pi / 2, 4.8]], [[0.9, np.pi / 2, -0.2], [6.9, np.pi / 2, 5.8]]])
    turned = like + np.array([0.05, 0, 0])
    values = from_quat_wxyz(to_quat_wxyz(turned, "XYZ"), "XYZ", like)
    # What the lock leaves open is the sum of the two angles; the correction of 0.05 is split between them.
    np.testing.assert_allclose(values, like + np.array([0.025, 0, -0.025]), atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_float32_channels_come_back(mode: str) -> None:
    """What a file holds, single precision, comes back within single precision, gimbal lock and identity included."""
    degrees = np.array([[0, 0, 0], [0, 90, 0], [30, 90, 0], [30, 90, 45], [90, 90, 90], [0, -90, 0], [180, 0, 0]])
    like = np.radians(degrees).astype(np.float32)
    if mode == "QUATERNION":
        like = to_quat_wxyz(like, "XYZ").astype(np.float32)
    if mode == "AXIS_ANGLE":
        like = np.array([[0, 0, 1, 0], [0, 0, 1, 0], [1, 0, 1, 0], [-1, 0, 1, 0], [4, 0.6, 0.8, 0]], np.float32)
    like = like[None]  # each a take of its own
    values = from_quat_wxyz(to_quat_wxyz(like, mode), mode, like)
    np.testing.assert_allclose(values, like, atol=1e-6)


@pytest.mark.parametrize("mode", ["QUATERNION", "AXIS_ANGLE"])
def test_zero_means_the_identity(mode: str) -> None:
    values = np.zeros((2, 4))
    values[1, 0] = 0 if mode == "QUATERNION" else 2.0
    np.testing.assert_array_equal(to_quat_wxyz(values, mode), [[1, 0, 0, 0]] * 2)
    for target in MODES:
        back = from_quat_wxyz(np.zeros((2, 4)), target)
        np.testing.assert_allclose(to_quat_wxyz(back, target), [[1, 0, 0, 0]] * 2, atol=1e-15)
    np.testing.assert_array_equal(from_quat_wxyz(np.zeros((1, 4)), "AXIS_ANGLE"), [[0, 0, 1, 0]])
    np.testing.assert_array_equal(from_quat_wxyz(np.zeros((1, 4)), "AXIS_ANGLE", [[1, 0, 0, 2]])[0, 1:], [0, 0, 1])


@pytest.mark.parametrize("mode", MODES)
def test_axes_between_time_and_channels_are_apart(mode: str) -> None:
    values = np.stack([random_values(seed, mode) for seed in range(6)], 1).reshape(50, 2, 3, -1)
    quat = to_quat_wxyz(values, mode)
    back = from_quat_wxyz(quat, mode, values)
    for a in range(2):
        for b in range(3):
            np.testing.assert_array_equal(quat[:, a, b], to_quat_wxyz(values[:, a, b], mode))
            np.testing.assert_array_equal(back[:, a, b], from_quat_wxyz(quat[:, a, b], mode, values[:, a, b]))


@pytest.mark.parametrize("mode", MODES)
def test_no_frames_and_one_frame(mode: str) -> None:
    count = channel_count(mode)
    assert to_quat_wxyz(np.zeros((0, count)), mode).shape == (0, 4)
    assert from_quat_wxyz(np.zeros((0, 4)), mode, np.zeros((0, count))).shape == (0, count)
    assert from_quat_wxyz(np.ones((1, 4)), mode).shape == (1, count)


def test_the_inputs_stay_as_they_were() -> None:
    for mode in MODES:
        like = random_values(3, mode)
        quat = smooth_turns(3, 50)
        before = like.copy(), quat.copy()
        from_quat_wxyz(quat, mode, like)
        to_quat_wxyz(like, mode)
        np.testing.assert_array_equal(like, before[0])
        np.testing.assert_array_equal(quat, before[1])


def test_names_of_channels() -> None:
    assert [channel_name(mode) for mode in MODES[:3]] == [
        "rotation_quaternion", "rotation_axis_angle", "rotation_euler",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: to_quat_wxyz(np.zeros((2, 3)), "XYX"),
            "rotation mode: expected one of QUATERNION, AXIS_ANGLE, XYZ, XZY, YXZ, YZX, ZXY, ZYX, received 'XYX'",
        ),
        (
            lambda: to_quat_wxyz(np.zeros((2, 3)), "QUATERNION"),
            "shape of channel values: expected (T, ..., 4), received (2, 3)",
        ),
        (lambda: from_quat_wxyz(np.zeros(4), "XYZ"), "shape of quat_wxyz: expected (T, ..., 4), received (4,)"),
        (
            lambda: from_quat_wxyz(np.zeros((2, 4)), "XYZ", np.zeros((3, 3))),
            "shape of the values to be like: expected (2, 3), received (3, 3)",
        ),
    ],
)
def test_wrong_input_is_named(call: object, message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call()  # type: ignore[operator]
    assert str(error.value) == message


@pytest.mark.parametrize("mode", ["QUATERNION", "AXIS_ANGLE", "ZXY"])
def test_a_crowd_takes_no_time(mode: str) -> None:
    quat = np.repeat(smooth_turns(1, 500)[:, None], 600, 1)
    start = time.perf_counter()
    values = from_quat_wxyz(quat, mode)
    from_quat_wxyz(to_quat_wxyz(values, mode), mode, values)
    assert time.perf_counter() - start < 5  # a tenth of 3,000 bones x 1,000 frames, twice; 0.3 s when nothing else runs
