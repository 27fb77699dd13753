"""Fewer keys, within the tolerance at every old key."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicHermiteSpline
from scipy.spatial.transform import Rotation

from blender_addon.animation.reduction import Reduced, reduce_rotations, reduce_values
from blender_addon.animation.rotation_modes import MODES, from_quat_wxyz, to_quat_wxyz

SEEDS = st.integers(0, 2**32 - 1)


def takes(seed: int, keys: int = 240, bones: int = 4, noise: float = 0.002) -> tuple[np.ndarray, np.ndarray]:
    """Return frames, partly fractional, and quaternions (K, B, 4) of bones that swing, a little noisily."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.choice([0.8, 1.0, 1.7], keys)) - 20
    t = times[:, None, None] / keys
    vector = sum(rng.normal(0, 1 / k, (bones, 3)) * np.sin(2 * np.pi * k * t + rng.uniform(0, 6, 3)) for k in (1, 2, 4))
    vector = np.asarray(vector) + rng.normal(0, noise, (keys, bones, 3))
    quat = np.roll(Rotation.from_rotvec(vector.reshape(-1, 3)).as_quat(), 1, axis=-1)
    return times, quat.reshape(keys, bones, 4)


def angles(values: np.ndarray, mode: str, quat: np.ndarray) -> np.ndarray:
    a = Rotation.from_quat(np.roll(to_quat_wxyz(values, mode), -1, axis=-1))
    return np.degrees((a.inv() * Rotation.from_quat(np.roll(quat, -1, axis=-1))).magnitude())


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, degrees=st.sampled_from([0.0, 0.05, 0.3, 1.0, 5.0, 90.0]))
def test_rotations_stay_within_the_tolerance(mode: str, seed: int, degrees: float) -> None:
    times, quat = takes(seed)
    values = from_quat_wxyz(quat, mode)
    keep = np.random.default_rng(seed).random((len(times), 4)) < 0.05
    found = reduce_rotations(times, values, mode, degrees, keep)
    assert len(found) == 4
    for bone, one in enumerate(found):
        assert angles(one.evaluate(times), mode, quat[:, bone]).max() <= degrees + 1e-4
        assert {0, len(times) - 1} <= set(one.places)
        assert set(np.flatnonzero(keep[:, bone])) <= set(one.places)
        np.testing.assert_array_equal(one.times, times[one.places])
        np.testing.assert_array_equal(one.values, values[one.places, bone])
        alone = reduce_rotations(times, values[:, [bone]], mode, degrees, keep[:, [bone]])[0]
        np.testing.assert_array_equal(alone.places, one.places)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, tolerance=st.sampled_from([0.0, 0.003, 0.05, 2.0]), count=st.integers(1, 3))
def test_values_stay_within_the_tolerance_together(seed: int, tolerance: float, count: int) -> None:
    times, quat = takes(seed)
    values = quat[..., :count]
    for bone, one in enumerate(reduce_values(times, values, tolerance)):
        gap = np.linalg.norm(one.evaluate(times) - values[:, bone], axis=-1)
        assert gap.max() <= tolerance + 1e-6


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_no_key_could_be_left_out(seed: int) -> None:
    times, quat = takes(seed, bones=1)
    one = reduce_rotations(times, quat, "QUATERNION", 1.0)[0]
    assert len(one.places) < 0.5 * len(times)
    for at in range(1, len(one.places) - 1):
        fewer = [np.delete(part, at, 0) for part in (one.places, one.times, one.values, one.slopes)]
        assert angles(Reduced(*fewer).evaluate(times), "QUATERNION", quat[:, 0]).max() > 1.0


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_the_curve_is_the_hermite_cubic_of_values_and_slopes(seed: int) -> None:
    times, quat = takes(seed, bones=1)
    one = reduce_rotations(times, quat, "QUATERNION", 1.0)[0]
    frames = np.linspace(times[0], times[-1], 999)
    spline = CubicHermiteSpline(one.times, one.values, one.slopes)
    np.testing.assert_allclose(one.evaluate(frames), spline(frames), atol=1e-9)
    # Held outside, as Blender does.
    np.testing.assert_array_equal(one.evaluate([times[0] - 5, times[-1] + 5]), one.values[[0, -1]])


def test_handles_lie_on_the_slopes_a_third_of_the_way() -> None:
    one = Reduced(np.array([0, 2, 3]), np.array([0.0, 6.0, 9.0]), np.zeros((3, 1)), np.array([[1.0], [2.0], [3.0]]))
    np.testing.assert_allclose(one.left[:, 0], [[-2, -2], [4, -4], [8, -3]])
    np.testing.assert_allclose(one.right[:, 0], [[2, 2], [7, 2], [10, 3]])


def test_a_cubic_needs_its_ends_alone_and_a_corner_its_key() -> None:
    times = np.arange(0.0, 41.0)
    smooth = ((times / 40) ** 2)[:, None, None]
    assert reduce_values(times, smooth, 1e-3)[0].places.tolist() == [0, 40]
    assert reduce_values(times, np.ones((41, 1, 3)), 0.0)[0].places.tolist() == [0, 40]
    corner = np.abs(times - 20)[:, None, None]
    assert 20 in reduce_values(times, corner, 0.05)[0].places
    assert len(reduce_values(times, corner, 0.05)[0].places) <= 7


@pytest.mark.parametrize("keys", [1, 2, 3])
def test_few_keys(keys: int) -> None:
    times = np.arange(keys) * 2.5
    values = np.random.default_rng(0).normal(size=(keys, 2, 4))
    for bone, one in enumerate(reduce_values(times, values, 0.0)):
        # Through three keys goes a parabola, of which the ends are enough.
        assert one.places.tolist() == [[0], [0, 1], [0, 2]][keys - 1]
        assert one.left.shape == one.right.shape == (len(one.places), 4, 2)
        np.testing.assert_allclose(one.evaluate(times), values[:, bone], atol=1e-6)
    assert reduce_values(times, np.zeros((keys, 0, 3)), 1.0) == []


def test_hardly_more_than_the_fewest() -> None:
    """Of all choices of keys, the shortest path through the pieces that are good enough."""
    times, quat = takes(2, keys=80, bones=1)
    one = reduce_rotations(times, quat, "QUATERNION", 1.0)[0]
    every = reduce_rotations(times, quat, "QUATERNION", 0.0)[0]
    assert len(every.places) == 80
    fewest = np.full(80, 999)
    fewest[0] = 1
    for i in range(80):
        for j in range(i + 1, 80):
            piece = Reduced(*(part[[i, j]] for part in (every.places, every.times, every.values, every.slopes)))
            between = slice(i, j + 1)
            if angles(piece.evaluate(times[between]), "QUATERNION", quat[between, 0]).max() <= 1.0:
                fewest[j] = min(fewest[j], fewest[i] + 1)
    assert len(one.places) <= math.ceil(1.1 * fewest[-1])


def test_it_tells_how_far_it_is_and_stops_when_told() -> None:
    times, quat = takes(1, keys=2000, bones=120)
    shares: list[float] = []
    reduce_values(times, quat, 0.1, tick=shares.append)
    assert shares == sorted(shares)
    assert len(shares) > 1
    assert shares[-1] == 1.0


def test_a_long_take_takes_no_time() -> None:
    _, quat = takes(4, keys=1800, bones=52)
    start = time.perf_counter()
    reduce_rotations(np.arange(1800.0), from_quat_wxyz(quat, "XYZ"), "XYZ", 0.5)
    assert time.perf_counter() - start < 3  # 0.25 s when nothing else runs


GOOD = np.zeros((5, 2, 3))
FIVE = np.arange(5.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: reduce_values([0, 0], np.zeros((2, 1, 3)), 1),
            "times of keys: expected (K,) rising frames, at least one, received shape (2,)",
        ),
        (
            lambda: reduce_values(FIVE, GOOD[:4], 1),
            "shape of values of keys: expected (5, B, n), received (4, 2, 3)",
        ),
        (
            lambda: reduce_rotations(FIVE, GOOD, "QUATERNION", 1),
            "shape of values of keys: expected (5, B, 4), received (5, 2, 3)",
        ),
        (
            lambda: reduce_values(FIVE, GOOD * np.nan, 1),
            "values of keys: expected finite numbers, received NaN or infinity",
        ),
        (lambda: reduce_values(FIVE, GOOD, -1), "tolerance: expected zero or more, received -1"),
        (lambda: reduce_rotations(FIVE, GOOD, "XYZ", -1), "tolerance: expected zero or more, received -1"),
        (
            lambda: reduce_values(FIVE, GOOD, 1, np.zeros(4, bool)),
            "shape of the keys that stay: expected (5,) or (5, 2), received (4,)",
        ),
    ],
)
def test_wrong_input_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call()
    assert str(error.value) == message
