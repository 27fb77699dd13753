"""Simulated estimator errors: on errors whose law is known, and on real ones."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothnet_core.training.batches import Pair
from smoothnet_core.training.error_model import JOINTS, KERNELS, MIRRORED, RUNS, SWAPPED, ErrorModel
from smoothnet_core.training.estimator_errors import fit_errors, seen_by_camera, transplanted
from smoothnet_core.training.noise import Kernel, mixture
from tests.helpers import shared

FPS = 30.0
HIPS = (7, 8)
ANY_KERNEL = st.builds(Kernel, st.sampled_from([np.inf, 2.0, 0.3, 0.05, 0.0]), st.sampled_from([1, 2]))


def body(rng, frames):
    """Return a made-up motion (T, 15, 3): a standing body that sways, centred on the hips."""
    side = np.array([0, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1])
    height = np.array([-60, -50, -50, -25, -25, 0, 0, 0, 0, 40, 40, 80, 80, 85, 85]) / 100
    rest = np.stack([0.15 * side, height, 0.02 * np.arange(JOINTS)], axis=1)
    phase = rng.uniform(0, 2 * np.pi, (JOINTS, 3))
    sway = 0.1 * np.sin(2 * np.pi * 0.5 * np.arange(frames)[:, None, None] / FPS + phase)
    motion = rest + sway
    return motion - motion[:, HIPS].mean(axis=1, keepdims=True)


def made_up_pair(seed, frames=200):
    """Return a pair whose errors are a bias, drift and white noise, with runs of each kind at known times."""
    rng = np.random.default_rng(seed)
    truth = body(rng, frames)
    error = 0.03 * rng.normal(size=(1, JOINTS, 3)) * [1, 1, 2]
    error = error + 0.02 * Kernel(0.5, 2).draw(rng, frames, (JOINTS, 3), FPS) * [1, 1, 2]
    error += 0.01 * rng.normal(size=error.shape)
    estimate = truth + error
    legs = list(SWAPPED["legs"])
    estimate[50:56, legs] += (truth[:, MIRRORED] - truth)[50:56, legs]
    # A magnitude above any that the noise reaches.
    estimate[100:103] += rng.normal(0, 0.5, (1, JOINTS, 3))
    estimate -= estimate[:, HIPS].mean(axis=1, keepdims=True)
    observed = np.ones((frames, JOINTS))
    observed[150:153] = 0
    size = np.linalg.norm(estimate - truth, axis=-1)
    confidence = np.clip(1 - 3 * size + 0.02 * rng.normal(size=size.shape), 0, 1) * observed
    return Pair(str(seed), estimate, truth, confidence, observed)


@pytest.fixture(scope="module")
def pairs():
    return [made_up_pair(seed) for seed in range(8)]


@pytest.fixture(scope="module")
def model(pairs):
    return fit_errors(pairs)


@pytest.fixture(scope="module")
def drawn(model, pairs):
    truth = np.stack([p.groundtruth for p in pairs] * 8)
    return truth, *model.sample(np.random.default_rng(5), truth, FPS)


@settings(deadline=None, max_examples=25)
@given(kernel=ANY_KERNEL, fps=st.sampled_from([30.0, 60.0]))
def test_kernels_have_the_correlation_they_state(kernel, fps):
    track = kernel.draw(np.random.default_rng(0), 12, (20000,), fps)
    track = np.broadcast_to(track, (12, 20000))
    measured = (track[:, None] * track).mean(axis=-1)
    lags = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    # Standard error of a correlation over 20000 draws is below 0.01; the first frame is as the last.
    np.testing.assert_allclose(measured, kernel.correlation(lags, fps), atol=0.06)


def test_a_mixture_is_found_again():
    lags = np.array([0, 1, 2, 3, 5, 8, 13, 21, 34])
    moments = np.stack([kernel.correlation(lags, FPS) for kernel in KERNELS], axis=1)
    power = np.array([[0.4, 0.0, 0.2, 0.0, 0.1, 0.0, 0.3], [0.0, 1.0, 0.0, 0.5, 0.0, 0.25, 0.0]]).T
    np.testing.assert_allclose(mixture(moments, moments @ power, np.ones((1, 1))), power, atol=1e-6)


def test_covariances_in_time_are_those_of_the_pairs(pairs, drawn):
    truth, estimate, _, _ = drawn
    real = np.stack([p.estimate - p.groundtruth for p in pairs])
    simulated = estimate - truth
    for lag in (0, 1, 5, 15):
        ours, theirs = ((e[:, lag:] * e[:, : e.shape[1] - lag]).mean() for e in (simulated, real))
        assert ours == pytest.approx(theirs, rel=0.15), lag
    for axis in range(3):
        assert simulated[..., axis].std() == pytest.approx(real[..., axis].std(), rel=0.15)
    bend = [np.abs(np.diff(e, n=2, axis=1)).mean() for e in (simulated, real)]
    assert bend[0] == pytest.approx(bend[1], rel=0.15)


def test_runs_are_found(model):
    seconds = 200 / FPS
    rate = dict(zip(RUNS, model.run_rate, strict=True))
    length = dict(zip(RUNS, model.run_seconds.mean(axis=1), strict=True))
    assert rate["legs"] == pytest.approx(1 / seconds, rel=0.15)
    assert length["legs"] == pytest.approx(6 / FPS, rel=0.2)
    assert rate["failure"] == pytest.approx(1 / seconds, rel=0.01)
    assert length["failure"] == pytest.approx(3 / FPS, rel=0.01)
    assert rate["lost"] == pytest.approx(1 / seconds, rel=0.01)
    assert length["lost"] == pytest.approx(3 / FPS, rel=0.01)
    assert rate["arms"] < 0.1 / seconds


def test_swaps_are_drawn(model):
    """With nothing but swaps of the legs, joints are where they are or where the other side is."""
    still = {name: np.zeros_like(array) for name, array in model.to_arrays().items()}
    still |= {name: getattr(model, name) for name in ("fps", "mixing", "run_seconds", "confidence", "failure_edges")}
    still["run_rate"] = np.array([0, 2.0, 0, 0, 0])
    truth = body(np.random.default_rng(1), 300)
    estimate, _, observed = ErrorModel.from_arrays(still).sample(np.random.default_rng(2), truth, FPS)
    off = np.linalg.norm(estimate - truth, axis=-1)
    swapped = np.linalg.norm(estimate - truth[:, MIRRORED], axis=-1) < 1e-6
    legs = list(SWAPPED["legs"])
    others = np.setdiff1d(np.arange(JOINTS), legs)
    assert (off[:, others] < 1e-6).all()
    assert ((off[:, legs] < 1e-6) | swapped[:, legs]).all()
    # Two runs of six frames a second cover 1 - exp(-0.4) of the time.
    assert swapped[:, legs].all(axis=1).mean() == pytest.approx(0.33, abs=0.15)
    assert (observed == 1).all()


def test_the_part_that_follows_from_the_position_stays_within_reach(model):
    """Far outside of what was fitted, the error is that of the nearest position that was."""
    calm = replace(model, power=np.zeros_like(model.power), run_rate=np.zeros(len(RUNS)))
    far = 10 * body(np.random.default_rng(1), 5)
    near = np.clip(far, *model.reach)
    errors = [calm.sample(np.random.default_rng(0), truth, FPS)[0] - truth for truth in (far, near)]
    # The estimate is centred on its own hips, and each truth has others.
    errors = [error - error[:, :1] for error in errors]
    np.testing.assert_allclose(errors[0], errors[1], atol=1e-5)


def test_losses_are_bridged(model, drawn):
    _, estimate, confidence, observed = drawn
    assert np.isin(observed, (0, 1)).all()
    lost = observed[..., 0] == 0
    assert lost.mean() == pytest.approx(3 / 200, rel=0.4)
    assert (observed[lost] == 0).all()
    assert (confidence[lost] == 0).all()
    assert np.isfinite(estimate).all()
    # Inside a gap the second difference is nil.
    bend = np.abs(np.diff(estimate, n=2, axis=1)).max(axis=(2, 3))
    assert (bend[lost[:, 1:-1] & lost[:, 2:] & lost[:, :-2]] < 1e-5).all()


def test_the_estimate_is_centred_on_the_hips(drawn):
    np.testing.assert_allclose(drawn[1][:, :, HIPS].mean(axis=2), 0, atol=1e-5)


def test_confidence_goes_with_the_error(pairs, drawn):
    truth, estimate, confidence, observed = drawn
    seen = observed > 0
    size = np.linalg.norm(estimate - truth, axis=-1)[seen]
    assert np.corrcoef(size, confidence[seen])[0, 1] < -0.6
    real = np.concatenate([p.confidence[p.observed > 0] for p in pairs])
    assert confidence[seen].mean() == pytest.approx(real.mean(), abs=0.05)
    assert confidence.min() >= 0
    assert confidence.max() <= 1


def test_the_same_generator_gives_the_same(model):
    truth = body(np.random.default_rng(3), 40)
    one, other = (model.sample(np.random.default_rng(7), truth, FPS) for _ in range(2))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    third = model.sample(np.random.default_rng(8), truth, FPS)[0]
    assert not np.array_equal(one[0], third)


@settings(deadline=None, max_examples=20)
@given(
    lead=st.sampled_from([(), (2,), (2, 3)]),
    frames=st.integers(1, 40),
    joints=st.sampled_from([1, 4, 15, 17, 33]),
    fps=st.sampled_from([24.0, 30.0, 120.0]),
)
def test_any_shape_and_rate(model, lead, frames, joints, fps):
    truth = np.random.default_rng(0).normal(size=(*lead, frames, joints, 3))
    estimate, confidence, observed = model.sample(np.random.default_rng(1), truth, fps)
    assert estimate.shape == truth.shape
    assert confidence.shape == observed.shape == truth.shape[:-1]
    assert {a.dtype for a in (estimate, confidence, observed)} == {np.dtype(np.float32)}
    assert np.isfinite(estimate).all()


def test_more_joints_than_a_body_do_not_share_their_errors(model):
    truth = np.zeros((60, 30, 3))
    # Wrong poses are replayed, so that joints with the same source jump alike.
    calm = replace(model, run_rate=np.zeros(len(RUNS)))
    error = calm.sample(np.random.default_rng(0), truth, FPS)[0]
    size = np.corrcoef(np.diff(error[..., 2], axis=0).T)[~np.eye(30, dtype=bool)]
    assert size.max() < 0.999


def test_at_another_rate_the_same_errors_are_seen_more_often(model):
    truth = np.broadcast_to(body(np.random.default_rng(3), 1), (40, 120, JOINTS, 3))
    slow = model.sample(np.random.default_rng(0), truth, 30.0)[0] - truth
    fast = model.sample(np.random.default_rng(0), np.repeat(truth, 2, axis=1), 60.0)[0] - np.repeat(truth, 2, axis=1)
    assert fast.std() == pytest.approx(slow.std(), rel=0.15)

    def lagged(error, lag):
        return (error[:, lag:] * error[:, :-lag]).mean()

    assert lagged(fast, 20) == pytest.approx(lagged(slow, 10), rel=0.2)


def test_arrays_there_and_back(model, tmp_path):
    np.savez(tmp_path / "model.npz", **model.to_arrays())
    with np.load(tmp_path / "model.npz") as archive:
        loaded = ErrorModel.from_arrays(dict(archive))
    truth = body(np.random.default_rng(3), 40)
    np.testing.assert_array_equal(
        loaded.sample(np.random.default_rng(1), truth, FPS)[0], model.sample(np.random.default_rng(1), truth, FPS)[0]
    )


def test_refused_arrays(model):
    arrays = model.to_arrays()
    with pytest.raises(ValueError, match=r"^error model, gain, shape: expected \(15, 4, 3\), received \(15, 3, 3\)$"):
        ErrorModel.from_arrays(arrays | {"gain": arrays["gain"][:, :3]})
    del arrays["power"]
    with pytest.raises(
        ValueError, match=r"^arrays of an error model: expected fps, gain, reach, power, .* received fps"
    ):
        ErrorModel.from_arrays(arrays)


def test_refused_input(model, pairs):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"^truth, shape: expected \(\.\.\., T, J, 3\), received \(4, 15, 2\)$"):
        model.sample(rng, np.zeros((4, 15, 2)), FPS)
    with pytest.raises(ValueError, match=r"^frames a second: expected a positive number, received 0$"):
        model.sample(rng, np.zeros((4, 15, 3)), 0)
    with pytest.raises(ValueError, match=r"^frames a second: expected a positive number, received nan$"):
        fit_errors(pairs, float("nan"))
    with pytest.raises(ValueError, match=r"^pairs to fit errors to: expected at least one, received none$"):
        fit_errors([])
    with pytest.raises(ValueError, match=r"expected one of more than 60 frames, received only shorter ones$"):
        fit_errors([made_up_pair(0, 60)])
    p = pairs[0]
    lost = Pair("lost", p.estimate, p.groundtruth, p.confidence, np.zeros_like(p.observed))
    with pytest.raises(ValueError, match=r"neither lost nor swapped nor far off, received none$"):
        fit_errors([lost])
    few = Pair("few", p.estimate[:, :9], p.groundtruth[:, :9], p.confidence[:, :9], p.observed[:, :9])
    with pytest.raises(ValueError, match=r"^pair few, shape: expected \(T, 15, 3\), received \(200, 9, 3\)$"):
        fit_errors([few])


def test_transplanted_errors_are_those_of_the_pair(pairs):
    pair = pairs[0]
    truth = body(np.random.default_rng(9), 50)
    real = pair.estimate - pair.groundtruth
    mirrored = real[:, MIRRORED] * [-1, 1, 1]
    found = set()
    for seed in range(8):
        estimate, confidence, observed = transplanted(np.random.default_rng(seed), pair, truth)
        for name, error, order in (("as is", real, np.arange(JOINTS)), ("mirrored", mirrored, MIRRORED)):
            for start in range(len(real) - 49):
                if np.allclose(estimate - truth, error[start : start + 50], atol=1e-6):
                    found.add(name)
                    np.testing.assert_allclose(confidence, pair.confidence[start : start + 50][:, order], atol=1e-6)
                    np.testing.assert_array_equal(observed, pair.observed[start : start + 50][:, order])
                    break
            else:
                continue
            break
        else:
            pytest.fail("the error is none of the pair's")
    assert found == {"as is", "mirrored"}


@pytest.mark.parametrize("joints", [4, 24])
def test_transplanted_onto_other_joints(pairs, joints):
    estimate, confidence, observed = transplanted(np.random.default_rng(0), pairs[0], np.zeros((30, joints, 3)))
    assert estimate.shape == (30, joints, 3)
    assert confidence.shape == observed.shape == (30, joints)


def test_transplanted_refuses(pairs):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"^pair 0, frames: expected 201 or more, received 200$"):
        transplanted(rng, pairs[0], np.zeros((201, 15, 3)))
    with pytest.raises(ValueError, match=r"^truth, shape: expected \(T, J, 3\), received \(5, 15\)$"):
        transplanted(rng, pairs[0], np.zeros((5, 15)))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_camera_sees_the_same_body_upright(seed):
    rng = np.random.default_rng(seed)
    motion = rng.normal(size=(5, 6, 3)) + np.array([3.0, 1.0, -2.0])
    seen = seen_by_camera(rng, motion, (1, 2))
    np.testing.assert_allclose(seen[:, [1, 2]].mean(axis=1), 0, atol=1e-12)
    # Downwards is upwards turned round, and the body is neither mirrored nor stretched.
    np.testing.assert_allclose(np.diff(seen[..., 1], axis=1), -np.diff(motion[..., 1], axis=1), atol=1e-12)
    bones, turned = (np.diff(x, axis=1)[:, :3] for x in (motion, seen))
    np.testing.assert_allclose(np.linalg.det(turned), np.linalg.det(bones), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(bones, axis=-1), atol=1e-12)


def test_a_batch_is_drawn_in_time(model):
    """48 crops of 72 frames feed one training step; the best of several draws, since the machine may be busy."""
    truth = np.stack([body(np.random.default_rng(k), 72) for k in range(48)])
    rng, took = np.random.default_rng(0), []
    for _ in range(5):
        start = time.process_time()
        model.sample(rng, truth, FPS)
        took.append(time.process_time() - start)
    assert min(took) < 0.1


def test_real_errors():
    """Of a few real clips: power, jitter and heavy tails come out as they went in."""
    names = ("cmu01_01_playground", "cmu02_05_mixed", "cmu13_jumping2", "cmu11_01_dm")
    real_pairs = []
    for name in names:
        with np.load(shared("data", "paired", f"{name}.npz")) as z:
            seen = np.isfinite(z["est_3d"]).all(axis=(1, 2))
            estimate = z["est_3d"][seen].astype(float)
            confidence = z["visibility"][seen].clip(0, 1)
            real_pairs.append(Pair(name, estimate, z["gt_3d"][seen], confidence, np.ones(confidence.shape)))
    fitted = fit_errors(real_pairs)
    rng = np.random.default_rng(0)
    simulated = [fitted.sample(rng, np.stack([p.groundtruth] * 8), FPS)[0] - p.groundtruth for p in real_pairs]
    real = [p.estimate - p.groundtruth for p in real_pairs]

    def numbers(errors):
        size = np.concatenate([np.linalg.norm(e, axis=-1).ravel() for e in errors])
        bend = np.concatenate([np.linalg.norm(np.diff(e, n=2, axis=-3), axis=-1).ravel() for e in errors])
        return np.array([np.sqrt(np.square(size).mean()), bend.mean(), (size > 0.1).mean()])

    np.testing.assert_allclose(numbers(simulated), numbers(real), rtol=0.2)
