from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d, median_filter
from scipy.signal import butter, savgol_filter, sosfiltfilt
from scipy.spatial.transform import Rotation

from smoothnet_core import filters, rotations

ALL = pytest.mark.parametrize("name", filters.FILTERS)
LINEAR = ("savgol", "gaussian", "butterworth", "kalman")
SHAPES = {
    "position": [(2, 3), (4, 2), (3,)],
    "rotation_6d": [(2, 6)],
    "rotation_matrix": [(2, 3, 3)],
    "quat_wxyz": [(2, 4)],
    "axis_angle": [(2, 3)],
    "channels": [(), (3,), (2, 2)],
}


def random_rotations(count, seed):
    return Rotation.from_quat(np.random.default_rng(seed).normal(size=(count, 4)))


def movement(frames, *rest, seed=0, noise=0.02):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(0, 0.03, (frames, *rest)), axis=0) + rng.normal(0, noise, (frames, *rest))


def turning(frames, joints=2, seed=0):
    return rotations.axis_angle_to_matrix(movement(frames, joints, 3, seed=seed) + np.array([0.3, -0.5, 0.8]))


def of_kind(kind, frames, shape=(2,)):
    if kind in ("position", "channels"):
        return movement(frames, *shape)
    matrices = turning(frames, shape[0])
    return {
        "rotation_matrix": lambda: matrices,
        "rotation_6d": lambda: rotations.matrix_to_rotation_6d(matrices),
        "quat_wxyz": lambda: rotations.continuous_quat_wxyz(rotations.matrix_to_quat_wxyz(matrices)),
        "axis_angle": lambda: rotations.matrix_to_axis_angle(matrices),
    }[kind]()


@ALL
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize(("kind", "shape"), [(k, s) for k, shapes in SHAPES.items() for s in shapes], ids=str)
def test_type_dtype_and_shape_are_kept(name, kind, shape, library, dtype):
    values = of_kind(kind, 40, shape)
    track = values.astype(dtype)
    before = track.copy()
    if library == "torch":
        torch = pytest.importorskip("torch")
        track, before = torch.from_numpy(track), torch.from_numpy(before)
    result = filters.FILTERS[name](track, fps=30.0, kind=kind)
    assert type(result) is type(track)
    assert result.dtype == track.dtype
    assert result.shape == track.shape
    assert (track == before).all()
    reference = filters.FILTERS[name](values, fps=30.0, kind=kind)
    assert np.abs(reference - values).max() > 1e-3
    np.testing.assert_allclose(np.asarray(result), reference, atol=1e-5 if dtype == "float32" else 1e-12)


@ALL
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("frames", [0, 1, 2, 3, 4, 7])
def test_short_tracks(name, kind, frames):
    track = of_kind(kind, frames, SHAPES[kind][0])
    result = filters.FILTERS[name](track, kind=kind)
    assert result.shape == track.shape
    assert np.isfinite(result).all()
    if frames == 1:
        np.testing.assert_array_equal(result, track)


def test_scipy_does_the_linear_ones():
    x = movement(100, 3, 3)
    np.testing.assert_array_equal(filters.savgol(x), savgol_filter(x, 31, 2, axis=0))
    np.testing.assert_array_equal(filters.savgol(x, window=7, polyorder=3), savgol_filter(x, 7, 3, axis=0))
    np.testing.assert_array_equal(filters.gaussian(x, sigma=2.5), gaussian_filter1d(x, 2.5, axis=0, mode="nearest"))
    for poles in (1, 2, 3, 4):
        sections = butter(poles, 5, fs=60, output="sos")
        np.testing.assert_array_equal(
            filters.butterworth(x, fps=60, cutoff=5, poles=poles), sosfiltfilt(sections, x, axis=0)
        )
    np.testing.assert_array_equal(filters.butterworth(x), filters.butterworth(x, fps=30))


def test_the_median_is_scipys():
    x = movement(100, 4)
    expected = gaussian_filter1d(median_filter(x, (5, 1), mode="nearest"), 1.5, axis=0)
    np.testing.assert_array_equal(filters.median(x, kind="channels"), expected)
    x = movement(100, 2, 3)
    flat = gaussian_filter1d(median_filter(x.reshape(100, 6), (9, 1), mode="nearest"), 2.0, axis=0)
    np.testing.assert_array_equal(filters.median(x, size=9, sigma=2.0), flat.reshape(x.shape))


def test_savgol_takes_the_longest_window_that_fits():
    x = movement(12, 1, 3)
    np.testing.assert_array_equal(filters.savgol(x), savgol_filter(x, 11, 2, axis=0))
    np.testing.assert_array_equal(filters.savgol(x[:2]), x[:2])


def plain_one_euro(x, rate, min_cutoff, beta, d_cutoff):
    """Return one channel after algorithm 1 of the paper."""

    def alpha(cutoff):
        return 1 / (1 + (1 / (2 * math.pi * cutoff)) * rate)

    out, speed = [x[0]], 0.0
    for value in x[1:]:
        speed = alpha(d_cutoff) * (value - out[-1]) * rate + (1 - alpha(d_cutoff)) * speed
        a = alpha(min_cutoff + beta * abs(speed))
        out.append(a * value + (1 - a) * out[-1])
    return np.array(out)


def test_one_euro_is_the_papers():
    x = movement(80, 3)
    result = filters.one_euro(x, fps=50, kind="channels", min_cutoff=0.5, beta=2, d_cutoff=1.5)
    for channel in range(3):
        np.testing.assert_allclose(result[:, channel], plain_one_euro(x[:, channel], 50, 0.5, 2, 1.5), atol=1e-14)
    later = x.copy()
    later[40:] += 1
    changed = filters.one_euro(later, fps=50, kind="channels", min_cutoff=0.5, beta=2, d_cutoff=1.5)
    np.testing.assert_array_equal(changed[:40], result[:40])  # causal


def test_one_euro_on_rotations_about_one_axis_is_that_on_the_angle():
    angle = np.cumsum(np.random.default_rng(0).normal(0, 0.1, 60))
    axis = np.array([0.6, 0, 0.8])
    result = filters.one_euro(rotations.axis_angle_to_matrix(angle[:, None] * axis), fps=30, kind="rotation_matrix")
    expected = plain_one_euro(angle, 30, 1.0, 0.7, 1.0)
    np.testing.assert_allclose(result, rotations.axis_angle_to_matrix(expected[:, None] * axis), atol=1e-12)


def plain_smoother(y, weight, noise):
    """Return the most likely positions by least squares over all states at once: what the smoother must find."""
    frames = len(y)
    step = np.linalg.cholesky(np.linalg.inv(noise * np.array([[1 / 3, 1 / 2], [1 / 2, 1]]))).T
    rows = [np.sqrt(weight[t]) * np.eye(2 * frames)[2 * t] for t in range(frames)]
    wanted = list(np.sqrt(weight) * y)
    for t in range(frames - 1):
        block = np.zeros((2, 2 * frames))
        block[:, 2 * t : 2 * t + 2] = -step @ [[1, 1], [0, 1]]
        block[:, 2 * t + 2 : 2 * t + 4] = step
        rows += list(block)
        wanted += [0, 0]
    return np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0][::2]


def test_the_kalman_smoother_is_least_squares():
    y = movement(40, 2)
    confidence = np.random.default_rng(1).uniform(0.1, 1, y.shape)
    mask = np.ones(y.shape, bool)
    mask[10:14, 1] = False
    noise = (2 * math.pi * 3 / 30) ** 4
    for trust, weight in (
        ({}, np.ones(y.shape)),
        ({"mask": mask}, mask * 1.0),
        ({"confidence": confidence}, confidence),
        ({"confidence": confidence, "mask": mask}, confidence * mask),
    ):
        result = filters.kalman(y, fps=30, kind="channels", cutoff=3, **trust)
        for n in range(2):
            np.testing.assert_allclose(result[:, n], plain_smoother(y[:, n], weight[:, n], noise), atol=1e-5)


@pytest.mark.parametrize("frequency", [0.5, 2.0, 4.0])
def test_the_kalman_smoother_answers_as_said(frequency):
    fps, cutoff = 240, 2.0
    wave = np.sin(2 * math.pi * frequency * np.arange(2400) / fps)
    result = filters.kalman(wave, fps=fps, kind="channels", cutoff=cutoff)
    middle = slice(480, -480)  # whole periods, away from the ends
    gain = (result[middle] @ wave[middle]) / (wave[middle] @ wave[middle])
    assert gain == pytest.approx(1 / (1 + (frequency / cutoff) ** 4), abs=0.001)


@pytest.mark.parametrize("name", LINEAR)
def test_linear_filters_are_linear(name):
    smooth = filters.FILTERS[name]
    x, y = movement(60, 2, 3), movement(60, 2, 3, seed=1)
    combined = smooth(2 * x - 3 * y + 5)
    np.testing.assert_allclose(combined, 2 * smooth(x) - 3 * smooth(y) + 5, atol=1e-8)


@pytest.mark.parametrize("name", ["savgol", "gaussian", "median", "kalman"])
def test_time_may_run_backwards(name):
    smooth = filters.FILTERS[name]
    x = movement(60, 2, 3)
    np.testing.assert_allclose(smooth(x[::-1])[::-1], smooth(x), atol=1e-5 if name == "kalman" else 1e-12)


@ALL
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=8, deadline=None)
def test_turning_the_scene_or_a_bones_roll_turns_the_result(name, seed):
    smooth = filters.FILTERS[name]
    scene, roll = random_rotations(2, seed).as_matrix()
    matrices = turning(30, seed=seed)
    expected = scene @ smooth(matrices, kind="rotation_matrix") @ roll
    np.testing.assert_allclose(smooth(scene @ matrices @ roll, kind="rotation_matrix"), expected, atol=1e-9)
    if name != "median":  # each coordinate has its own median
        points = movement(30, 2, 3, seed=seed)
        np.testing.assert_allclose(smooth(points @ scene.T), smooth(points) @ scene.T, atol=1e-9)


@ALL
@pytest.mark.parametrize("kind", ["rotation_6d", "quat_wxyz", "axis_angle"])
def test_the_kind_of_rotation_makes_no_difference(name, kind):
    smooth = filters.FILTERS[name]
    back = {
        "rotation_6d": rotations.rotation_6d_to_matrix,
        "quat_wxyz": rotations.quat_wxyz_to_matrix,
        "axis_angle": rotations.axis_angle_to_matrix,
    }[kind]
    result = back(smooth(of_kind(kind, 50), kind=kind))
    expected = smooth(turning(50), kind="rotation_matrix")
    np.testing.assert_allclose(result, expected, atol=1e-12)
    np.testing.assert_allclose(result @ result.swapaxes(-1, -2), np.broadcast_to(np.eye(3), result.shape), atol=1e-12)


def test_the_order_of_six_numbers_is_read():
    six = rotations.matrix_to_rotation_6d(turning(30), "interleaved")
    result = filters.gaussian(six, kind="rotation_6d", order="interleaved")
    expected = rotations.matrix_to_rotation_6d(filters.gaussian(turning(30), kind="rotation_matrix"), "interleaved")
    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_the_vector_median_is_the_sample_nearest_to_all():
    matrices = turning(25, joints=1)
    half = 2
    expected = np.empty_like(matrices)
    for t in range(25):
        window = [matrices[min(max(t + k, 0), 24), 0] for k in range(-half, half + 1)]
        sums = [sum(np.linalg.norm(a - b) for b in window) for a in window]
        expected[t, 0] = window[int(np.argmin(sums))]
    tiny = filters.median(matrices, kind="rotation_matrix", size=5, sigma=1e-3)  # a Gaussian that averages nothing
    unique = slice(half, 25 - half)  # repeated ends make ties
    np.testing.assert_allclose(tiny[unique], expected[unique], atol=1e-12)


def test_the_median_throws_out_a_rotation_that_stands_alone():
    matrices = turning(40, joints=1)
    spoiled = matrices.copy()
    spoiled[20] = matrices[20] @ rotations.axis_angle_to_matrix(np.array([0, 2.5, 0]))
    clean, result = (filters.median(m, kind="rotation_matrix") for m in (matrices, spoiled))
    assert rotations.geodesic_angle(clean, result).max() < 0.1
    assert (
        rotations.geodesic_angle(*(filters.gaussian(m, kind="rotation_matrix") for m in (matrices, spoiled))).max()
        > 0.2
    )


@ALL
def test_strength(name):
    smooth = filters.FILTERS[name]
    x = movement(40, 2, 3)
    np.testing.assert_array_equal(smooth(x, strength=0), x)
    np.testing.assert_allclose(smooth(x, strength=0.25), x + 0.25 * (smooth(x) - x), atol=1e-14)
    matrices = turning(40)
    moved = rotations.geodesic_angle(matrices, smooth(matrices, kind="rotation_matrix"))
    part = rotations.geodesic_angle(matrices, smooth(matrices, kind="rotation_matrix", strength=0.25))
    np.testing.assert_allclose(part, 0.25 * moved, atol=1e-9)


@ALL
@pytest.mark.parametrize("kind", ["position", "quat_wxyz"])
def test_what_was_not_observed_has_no_influence(name, kind):
    smooth = filters.FILTERS[name]
    track = of_kind(kind, 40, SHAPES[kind][0])
    seen = np.ones((40, 2), bool)
    seen[:3] = seen[11:15, 1] = seen[38:, 0] = False
    hidden = np.where(seen[..., None], track, np.nan)
    result = smooth(hidden, kind=kind)
    assert np.isfinite(result).all()
    wild = np.where(seen[..., None], track, 7.0)
    np.testing.assert_allclose(smooth(wild, kind=kind, mask=seen), result, atol=1e-12)
    if name != "kalman":
        np.testing.assert_allclose(smooth(wild, kind=kind, confidence=seen * 0.5), result, atol=1e-12)
    np.testing.assert_allclose(smooth(wild, kind=kind, confidence=seen * 1.0), result, atol=1e-12)


@ALL
def test_a_joint_never_seen_follows_the_others(name):
    x = movement(40, 3, 3)
    x[:, 2] = np.nan
    assert np.isfinite(filters.FILTERS[name](x)).all()


@ALL
def test_a_track_at_rest_stays_at_rest(name):
    x = np.full((50, 2, 3), 1234.5)
    np.testing.assert_allclose(filters.FILTERS[name](x), x, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        *((n, {"fps": 0}, "fps: expected a positive number, received 0") for n in filters.FILTERS),
        ("kalman", {"fps": 1e12}, "fps: expected at most 1,000,000 frames a second, received 1000000000000.0"),
        *((n, {"strength": 2}, "strength: expected a number from 0 to 1, received 2") for n in filters.FILTERS),
        ("savgol", {"window": 30}, "window: expected an odd number from 1, received 30"),
        ("savgol", {"window": 7.0}, "window: expected an odd number from 1, received 7.0"),
        ("savgol", {"polyorder": -1}, "polyorder: expected a whole number from 0, received -1"),
        ("savgol", {"window": 3, "polyorder": 3}, "polyorder: expected below the window of 3 frames, received 3"),
        ("gaussian", {"sigma": 0}, "sigma: expected a positive number, received 0"),
        ("gaussian", {"sigma": math.nan}, "sigma: expected a positive number, received nan"),
        ("butterworth", {"cutoff": 15}, "cutoff: expected below half of fps, 15 Hz, received 15"),
        ("butterworth", {"cutoff": -1}, "cutoff: expected a positive number, received -1"),
        ("butterworth", {"poles": 0}, "poles: expected a whole number from 1, received 0"),
        ("median", {"size": 4}, "size: expected an odd number from 1, received 4"),
        ("median", {"sigma": math.inf}, "sigma: expected a positive number, received inf"),
        ("one-euro", {"min_cutoff": 0}, "min_cutoff: expected a positive number, received 0"),
        ("one-euro", {"beta": -1}, "beta: expected a number from 0, received -1"),
        ("one-euro", {"d_cutoff": 0}, "d_cutoff: expected a positive number, received 0"),
        ("kalman", {"cutoff": 0}, "cutoff: expected a positive number, received 0"),
    ],
)
def test_bad_parameters(name, given, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        filters.FILTERS[name](movement(10, 2, 3), **given)
