from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smoothnet_core import metrics
from tests.helpers import shared


def random_rotations(count, seed):
    return Rotation.from_quat(np.random.default_rng(seed).normal(size=(count, 4)))


def motions(seed=0, frames=12, joints=6, size=3):
    rng = np.random.default_rng(seed)
    truth = np.cumsum(rng.normal(0, 0.05, (frames, joints, size)), axis=0)
    return truth + rng.normal(0, 0.1, truth.shape), truth


def similarity(a, b):
    """Align a (J, 3) to b with SciPy's solution of the rotation and a least-squares scale."""
    a0, b0 = a - a.mean(0), b - b.mean(0)
    rotation, _ = Rotation.align_vectors(b0, a0)
    turned = rotation.apply(a0)
    return (turned * b0).sum() / (a0**2).sum() * turned + b.mean(0)


def test_published_values():
    golden = np.load(shared("golden", "metrics.npz"))
    pair, root = (golden["predicted"], golden["groundtruth"]), golden["root_joints"]
    acceleration = metrics.accel(*pair, root=root)
    for ours, name in (
        (metrics.mean(metrics.mpjpe(*pair, root=root)), "mpjpe_mm"),
        (metrics.mean(metrics.pa_mpjpe(*pair)), "pa_mpjpe_mm"),
        (metrics.mean(acceleration), "accel_mm_per_frame2"),
        (acceleration.sum() / len(pair[0]), "accel_mm_per_frame2_zero_padded"),
    ):
        assert ours == pytest.approx(float(golden[name]), rel=1e-6)


def test_known_values():
    truth = np.zeros((4, 2, 3))
    moved = truth + np.array([0.003, 0, 0.004])
    assert metrics.mpjpe(moved, truth) == pytest.approx([5] * 4)
    assert metrics.mpjpe(moved, truth, root=[0]) == pytest.approx([0] * 4)
    parabola = truth.copy()
    parabola[:, :, 1] = 0.001 * np.arange(4)[:, None] ** 2
    assert metrics.accel(parabola, truth) == pytest.approx([2, 2])
    assert metrics.accel(parabola, truth, per="second2", fps=30) == pytest.approx([1800, 1800])
    assert metrics.mpjve(parabola, truth) == pytest.approx([1, 3, 5])
    assert metrics.mpjve(parabola, truth, per="second", fps=10) == pytest.approx([10, 30, 50])
    assert metrics.accel(parabola, truth, root=[0]) == pytest.approx([0, 0])
    pixels = np.zeros((3, 2, 2))
    assert metrics.pixel_error(pixels + np.array([3, 4]), pixels) == pytest.approx([5] * 3)
    assert metrics.pixel_accel(pixels + np.arange(3)[:, None, None] ** 2, pixels) == pytest.approx([math.sqrt(8)])
    assert metrics.mpvpe(moved, truth) == pytest.approx([5] * 4)


def test_against_plain_loops():
    predicted, truth = motions()
    difference = predicted - truth
    slow = [np.mean([np.linalg.norm(j) for j in frame]) * 1000 for frame in difference]
    np.testing.assert_allclose(metrics.mpjpe(predicted, truth), slow)
    second = difference[2:] - 2 * difference[1:-1] + difference[:-2]
    np.testing.assert_allclose(metrics.accel(predicted, truth), np.linalg.norm(second, axis=-1).mean(1) * 1000)


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=50, deadline=None)
def test_procrustes_is_scipys_and_blind_to_similarities(seed, flat):
    predicted, truth = motions(seed, frames=3)
    if flat:
        truth[..., 2] = 0
    slow = [np.linalg.norm(similarity(a, b) - b, axis=1).mean() * 1000 for a, b in zip(predicted, truth, strict=True)]
    ours = metrics.pa_mpjpe(predicted, truth)
    np.testing.assert_allclose(ours, slow, rtol=1e-7)
    turned = 2.5 * predicted @ random_rotations(1, seed).as_matrix()[0] + [1, 2, 3]
    np.testing.assert_allclose(metrics.pa_mpjpe(turned, truth), ours, rtol=1e-7)


def test_procrustes_does_not_mirror():
    _, truth = motions()
    assert metrics.pa_mpjpe(3 * truth - 1, truth).max() < 1e-9
    assert metrics.pa_mpjpe(truth * [1, 1, -1], truth).min() > 1


def test_procrustes_of_degenerate_frames_is_finite():
    predicted, truth = motions(frames=3)
    point = np.ones_like(truth)
    centred = truth - truth.mean(1, keepdims=True)
    np.testing.assert_allclose(metrics.pa_mpjpe(point, truth), np.linalg.norm(centred, axis=-1).mean(1) * 1000)
    assert (metrics.pa_mpjpe(predicted, point) < 1e-9).all()
    line = truth[:, :1] * np.arange(1, 7)[:, None]
    assert np.isfinite(metrics.pa_mpjpe(line, truth)).all()
    assert np.isfinite(metrics.pa_mpjpe(predicted[:, :1], truth[:, :1])).all()


@pytest.mark.parametrize("name", ["mpjpe", "pa_mpjpe", "accel", "mpjve"])
def test_what_does_not_count_is_left_out(name):
    metric = getattr(metrics, name)
    predicted, truth = motions()
    without = metric(predicted[:, :5], truth[:, :5])
    mask = np.ones((12, 6), bool)
    mask[:, 5] = False
    np.testing.assert_allclose(metric(predicted, truth, mask=mask), without)
    hidden = predicted.copy()
    hidden[:, 5, 1] = np.nan
    np.testing.assert_allclose(metric(hidden, truth), without)
    np.testing.assert_allclose(metric(predicted, np.where(np.isnan(hidden), np.nan, truth)), without)
    frames = np.ones(12, bool)
    frames[4] = False
    result = metric(predicted, truth, mask=frames)
    reach = {"mpjpe": 0, "pa_mpjpe": 0, "mpjve": 1, "accel": 2}[name]
    gone = list(range(4 - reach, 5))
    assert np.isnan(result[gone]).all()
    np.testing.assert_allclose(np.delete(result, gone), np.delete(metric(predicted, truth), gone))
    assert np.isnan(metric(predicted, truth, mask=np.zeros(12, bool))).all()


def test_a_frame_without_its_root_does_not_count():
    predicted, truth = motions()
    predicted[3, 1] = np.nan
    result = metrics.mpjpe(predicted, truth, root=[1, 2])
    assert np.isnan(result[3])
    assert np.isfinite(np.delete(result, 3)).all()


@pytest.mark.parametrize("frames", [0, 1, 2, 3])
def test_short_motions(frames):
    predicted, truth = motions(frames=frames)
    assert metrics.mpjpe(predicted, truth).shape == (frames,)
    assert metrics.pa_mpjpe(predicted, truth).shape == (frames,)
    assert metrics.mpjve(predicted, truth).shape == (max(frames - 1, 0),)
    assert metrics.accel(predicted, truth).shape == (max(frames - 2, 0),)
    assert math.isnan(metrics.jitter_ratio(predicted, truth)) == (frames < 3)
    assert math.isnan(metrics.speed_ratio(predicted, truth)) == (frames < 2)


def test_tensors_are_read():
    torch = pytest.importorskip("torch")
    predicted, truth = motions()
    ours = metrics.mpjpe(torch.from_numpy(predicted), torch.from_numpy(truth).requires_grad_(), mask=torch.ones(12))
    np.testing.assert_array_equal(ours, metrics.mpjpe(predicted, truth))
    half = torch.from_numpy(predicted).to(torch.bfloat16)
    np.testing.assert_array_equal(metrics.mpjpe(half, truth), metrics.mpjpe(half.double().numpy(), truth))


def test_mean_and_worst():
    values = np.arange(200.0)
    assert metrics.mean(values) == 99.5
    assert metrics.worst(values) == 198.5
    assert metrics.worst(values, 100) == 99.5
    assert metrics.worst(np.append(values, np.nan)) == metrics.worst(values[:150], 0.1) + 49.5 == 198.5
    assert metrics.worst(np.array([3.0, 1])) == 3
    assert math.isnan(metrics.mean(np.array([np.nan])))
    assert math.isnan(metrics.worst(np.empty(0)))
    with pytest.raises(ValueError, match=r"^percent: expected above 0, at most 100, received 0$"):
        metrics.worst(values, 0)


def test_geodesic_degrees():
    a = Rotation.from_euler("z", [[0], [90]], degrees=True).as_matrix().reshape(2, 1, 3, 3)
    a = np.concatenate([a, a], 1)
    b = np.broadcast_to(np.eye(3), a.shape).copy()
    np.testing.assert_allclose(metrics.geodesic_degrees(a, b), [0, 90])
    a[1, 0] = np.nan
    np.testing.assert_allclose(metrics.geodesic_degrees(a, b), [0, 90])
    assert np.isnan(metrics.geodesic_degrees(a, b, mask=[True, False])[1])


def test_ratios():
    output, reference = motions(frames=60)
    np.testing.assert_allclose(metrics.jitter_ratio(0.5 * reference, reference), 0.5)
    np.testing.assert_allclose(metrics.speed_ratio(2 * reference, reference, joints=[1, 3]), 2)
    still = np.zeros_like(reference)
    assert math.isnan(metrics.jitter_ratio(output, still))
    assert math.isnan(metrics.speed_ratio(output, still))
    limbs = [0, 2]
    speed = [np.linalg.norm(np.diff(x[:, limbs], axis=0), axis=-1) for x in (output, reference)]
    tops = [np.quantile(s, 0.95, axis=0).mean() for s in speed]
    assert metrics.speed_ratio(output, reference, joints=limbs) == pytest.approx(tops[0] / tops[1])
    output[:, 4] = np.nan
    kept = [0, 1, 2, 3, 5]
    assert metrics.speed_ratio(output, reference) == pytest.approx(metrics.speed_ratio(output, reference, joints=kept))
    assert metrics.jitter_ratio(output, reference) == pytest.approx(
        metrics.jitter_ratio(output[:, kept], reference[:, kept])
    )


@pytest.mark.parametrize(("table", "size"), [(metrics.METRICS, 3), (metrics.PIXEL_METRICS, 2)])
def test_the_tables_share_one_call(table, size):
    predicted, truth = motions(size=size)
    for name, metric in table.items():
        values = metric(predicted, truth, [0, 1], np.ones(12, bool), 30.0)
        assert values.dtype == np.float64, name
        assert 0 < metrics.mean(values) <= metrics.worst(values)
        assert np.all(metric(truth, truth, None, None, 30.0) < 1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, g: metrics.mpjpe(p[0], g), "shape of the estimate: expected (T, J, 3), received (6, 3)"),
        (
            lambda p, g: metrics.mpjpe(p, g[1:]),
            "shape of the truth: expected (12, 6, 3), as the estimate, received (11, 6, 3)",
        ),
        (lambda p, g: metrics.pixel_error(p, g), "shape of the estimate: expected (T, J, 2), received (12, 6, 3)"),
        (
            lambda p, g: metrics.geodesic_degrees(p, g),
            "shape of the estimate: expected (T, J, 3, 3), received (12, 6, 3)",
        ),
        (lambda p, g: metrics.jitter_ratio(p[0], g), "shape of the estimate: expected (T, J, D), received (6, 3)"),
        (lambda p, g: metrics.mpjpe(p, g, mask=np.ones(6)), "shape of mask: expected (12,) or (12, 6), received (6,)"),
        (lambda p, g: metrics.mpjpe(p, g, root=[6]), "root: expected indices from 0 to 5, received [6]"),
        (lambda p, g: metrics.mpjpe(p, g, root=[]), "root: expected indices from 0 to 5, received []"),
        (lambda p, g: metrics.accel(p, g, per="frame"), "per: expected one of frame2, second2, received 'frame'"),
        (
            lambda p, g: metrics.accel(p, g, per="second2"),
            "fps: expected a positive number of frames a second, received None",
        ),
        (
            lambda p, g: metrics.mpjve(p, g, per="second", fps=0),
            "fps: expected a positive number of frames a second, received 0",
        ),
        (lambda p, g: metrics.speed_ratio(p, g, 2), "quantile: expected a number from 0 to 1, received 2"),
        (lambda p, g: metrics.speed_ratio(p, g, joints=[-1]), "joints: expected indices from 0 to 5, received [-1]"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call(*motions())
