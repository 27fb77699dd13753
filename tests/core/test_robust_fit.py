"""Robust fits: two engines and a definition, what they commute with, and how they are trained."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ortho_group

from smoothnet_core import load_model, refine
from smoothnet_core.checkpoints import Weights, write_safetensors
from smoothnet_core.inference import robust_fit_numpy
from smoothnet_core.model import Model
from smoothnet_core.training.hit_batches import HitBatches
from smoothnet_core.training.settings import HitSettings
from smoothnet_core.training.shards import in_memory

WINDOW, HIDDEN, ROUNDS = 40, 6, 2
METADATA = {
    "architecture": "robust_fit",
    "window": WINDOW,
    "hop": 20,
    "fps": None,
    "sizes": {"hidden": HIDDEN, "rounds": ROUNDS},
}


def random_tensors(dtype=np.float32):
    rng = np.random.default_rng(5)
    layers = {"calm.0": (HIDDEN, 20 + 16, 1), "calm.1": (HIDDEN, HIDDEN, 1), "calm.2": (4, HIDDEN, 1)}
    for i, told in enumerate((1, 4, 8)):
        layers[f"trust.{i}.enter"] = (HIDDEN, 20 + (8 if i else 0), 3)
        layers |= {f"trust.{i}.layers.{k}": (HIDDEN, HIDDEN, 3) for k in range(3)}
        layers[f"trust.{i}.leave"] = (told, HIDDEN, 1)
    made = {f"{name}.weight": rng.normal(size=shape) * 0.2 for name, shape in layers.items()}
    made |= {f"{name}.bias": rng.normal(size=shape[0]) * 0.2 for name, shape in layers.items()}
    made["probe"] = robust_fit_numpy.probes() + 0.05 * rng.normal(size=(12, 9))
    made["bandwidths"], made["smoothings"] = np.log([1.2, 2.0, 3.5, 9.0]), np.log([1.4, 3.3, 5.0])
    made["sharpness"] = np.array([0.8, 1.3])
    return {name: value.astype(dtype) for name, value in made.items()}


def some_windows(count=6, size=1, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.cumsum(rng.normal(size=(count, WINDOW, size)), axis=1)
    hit = rng.random((count, WINDOW, 1)) < 0.3
    return truth + 8 * hit * rng.normal(size=truth.shape), rng.random((count, WINDOW, 2))


def reference(t, window, quality):
    """One window (W, D) by the definition, frame by frame, in float64."""
    frames = np.arange(WINDOW)
    clamp = lambda i: np.clip(i, 0, WINDOW - 1)  # noqa: E731 -- used like a function of mathematics
    track = window - window.mean(axis=0)
    least = 1e-5 * (np.sqrt((track**2).sum(axis=1).mean()) or 1.0)
    length = lambda v: np.sqrt((v**2).sum(axis=-1) + (1e-3 * least) ** 2)  # noqa: E731

    def correlated(kernels):
        reach = kernels.shape[1] // 2
        return np.array([[sum(k[reach + o] * track[clamp(i + o)] for o in range(-reach, reach + 1)) for i in frames]
                         for k in kernels.astype(float)])  # fmt: skip

    probed = length(correlated(t["probe"]))
    scale = max(np.sort(probed[0])[(WINDOW - 1) // 2], least)
    log = lambda r: np.log(r / scale + 1e-2)  # noqa: E731
    off_lines = np.sort(length(correlated(robust_fit_numpy.lines())), axis=0)[:8]
    seen = np.concatenate([log(probed), np.log(off_lines / scale + 1e-3)])

    def convolved(layer, x, dilation=1):
        weight, middle = t[f"{layer}.weight"], t[f"{layer}.weight"].shape[2] // 2
        taps = [x[:, clamp(frames + (k - middle) * dilation)] for k in range(weight.shape[2])]
        return sum(weight[:, :, k] @ tap for k, tap in enumerate(taps)) + t[f"{layer}.bias"][:, None]

    def trunk(name, x):
        hidden = np.maximum(convolved(f"{name}.enter", x), 0)
        for k, dilation in enumerate((1, 2, 4)):
            hidden = hidden + np.maximum(convolved(f"{name}.layers.{k}", hidden, dilation), 0)
        return convolved(f"{name}.leave", hidden)

    def fitted(trust):
        fits = np.empty((4, WINDOW, window.shape[1]))
        for b, width in enumerate(np.exp(t["bandwidths"])):
            for i in frames:
                u = (frames - i) / width
                weight = (trust[b] + 1e-4) * np.exp(-(u**2) / 2)
                powers = u[:, None] ** np.arange(3)
                # A ridge of 1e-3 of the weight on slope and bend.
                normal = powers.T @ (weight[:, None] * powers) + 1e-3 * weight.sum() * np.diag([0, 1, 1])
                fits[b, i] = np.linalg.solve(normal, powers.T @ (weight[:, None] * track))[0]
        off = length(track - fits)
        near = np.array([[trust[b][max(0, i - 6) : i + 7].sum() / 13 for i in frames] for b in range(4)])
        return fits, np.concatenate([log(off), np.log(near + 1e-3)]), log(off)

    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    given = quality.prod(axis=1)
    trust = np.repeat(given * sigmoid(trunk("trust.0", seen) + 1), 4, axis=0)
    for k in range(ROUNDS):
        _, judged, off = fitted(trust)
        answer = trunk(f"trust.{k + 1}", np.concatenate([seen, judged]))
        trust = given * sigmoid(2 + answer[:4] - t["sharpness"][k] * off)
    fits, judged, _ = fitted(trust)

    def smoothed(x, width, reach):
        places = np.arange(-reach, WINDOW + reach)
        gauss = np.exp(-0.5 * ((places[:, None] - frames) / width) ** 2)
        return x[..., clamp(places)] @ (gauss / gauss.sum(axis=0))

    slow = lambda x: smoothed(x, 3.2, 8)  # noqa: E731
    softmax = lambda x: np.exp(x) / np.exp(x).sum(axis=0)  # noqa: E731
    mixed = (softmax(slow(answer[4:]))[:, :, None] * fits).sum(axis=0)
    bends = np.pad(length(np.diff(fits, n=2, axis=1)), ((0, 0), (1, 1)))
    hidden = slow(np.concatenate([seen, judged, log(bends), log(length(fits - fits[-1]))]))
    for layer in ("calm.0", "calm.1"):
        hidden = np.maximum(convolved(layer, hidden), 0)
    parts = softmax(convolved("calm.2", slow(hidden)))
    choices = [mixed.T, *(smoothed(mixed.T, width, 20) for width in np.exp(t["smoothings"]))]
    return window.mean(axis=0) + sum(part * choice for part, choice in zip(parts, choices, strict=True)).T


@pytest.mark.parametrize("size", [1, 3])
def test_numpy_is_the_definition(size, monkeypatch):
    monkeypatch.setattr(robust_fit_numpy, "_BLOCK", 4)
    windows, quality = some_windows(size=size)
    quality[1], quality[2, 10:20] = 1.0, 0.0
    tensors = random_tensors(np.float64)
    expected = [reference(tensors, w, q) for w, q in zip(windows, quality, strict=True)]
    np.testing.assert_allclose(robust_fit_numpy.forward(tensors, windows, quality), expected, atol=1e-6)
    single = robust_fit_numpy.forward(random_tensors(), windows.astype(np.float32), quality.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, atol=2e-3)


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_torch_is_numpy(size):
    torch = pytest.importorskip("torch")
    from smoothnet_core.models.robust_fit import from_tensors

    windows, quality = some_windows(size=size)
    tensors = random_tensors()
    network = from_tensors(tensors, WINDOW)
    assert set(network.state_dict()) == set(tensors)
    out = network.double()(torch.from_numpy(windows), torch.from_numpy(quality)).detach().numpy()
    exact = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    np.testing.assert_allclose(out, robust_fit_numpy.forward(exact, windows, quality), atol=1e-6)


def test_gradients_are_finite_where_nothing_moves():
    torch = pytest.importorskip("torch")
    from smoothnet_core.models.robust_fit import from_tensors

    windows = torch.zeros(2, WINDOW, 3, requires_grad=True)
    network = from_tensors(random_tensors(), WINDOW)
    out = network(windows, torch.ones(2, WINDOW, 2))
    out.sum().backward()
    assert not out.any()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())
    assert torch.isfinite(windows.grad).all()


@given(
    size=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 1000),
    scale=st.floats(1e-3, 1e3) | st.floats(-1e3, -1e-3),
    offset=st.floats(-100, 100),
)
def test_equivariance_in_float64(size, seed, scale, offset):
    tensors = random_tensors(np.float64)
    windows, quality = some_windows(2, size, seed)
    turn = ortho_group.rvs(size, random_state=seed) if size > 1 else np.eye(1)
    out = robust_fit_numpy.forward(tensors, windows, quality)
    moved = robust_fit_numpy.forward(tensors, scale * windows @ turn + offset, quality)
    np.testing.assert_allclose(moved, scale * out @ turn + offset, atol=1e-5 * (abs(scale) + abs(offset)))


def test_what_was_not_observed_counts_for_nothing():
    """Where others are, a value without trust weighs less than 1e-4 of them."""
    smooth, quality = np.sin(np.arange(WINDOW) / 9.0)[None, :, None], np.ones((1, WINDOW, 2))
    quality[0, 17:20, 1] = 0
    off = smooth.copy()
    off[0, 17:20] += 3.0
    tensors = random_tensors(np.float64)
    # The trust networks see the value all the same, so only a fit that trusts nothing else comes out alike.
    for name in tensors:
        if name.startswith(("trust", "calm")):
            tensors[name] = np.zeros_like(tensors[name])
    there, here = (robust_fit_numpy.forward(tensors, w, quality) for w in (smooth, off))
    assert np.abs(there - here).max() < 0.02


def test_weights_are_written_and_read_and_wrong_ones_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, Weights(random_tensors(), METADATA))
    model = load_model(path)
    assert (model.architecture, model.fps, model.body) == ("robust_fit", None, None)
    take = some_windows(1)[0][0]
    # No rate is stated, so a take's own changes nothing.
    np.testing.assert_array_equal(
        refine(take, model=model, kind="channels", fps=50.0), refine(take, model=model, kind="channels")
    )
    for change, message in (
        ({"sizes": {"hidden": 3}}, r"metadata entry 'sizes': expected the whole numbers hidden, rounds, received"),
        ({"sizes": {"hidden": HIDDEN, "rounds": 3}}, r"names of the weights: expected "),
        (
            {"sizes": {"hidden": 7, "rounds": ROUNDS}},
            r"calm.0.weight: expected shape \(7, 36, 1\), received \(6, 36, 1\)$",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            write_safetensors(path, Weights(random_tensors(), METADATA | change))


@pytest.mark.parametrize("frames", [2, 3, WINDOW - 1, WINDOW, 150])
def test_takes_of_any_length(frames):
    model = Model("test", random_tensors(), METADATA)
    rng = np.random.default_rng(1)
    out = refine(rng.normal(size=(frames, 4, 3)), model=model)
    assert out.shape == (frames, 4, 3)
    assert np.isfinite(out).all()


def clean(frames=400, joints=5):
    rng = np.random.default_rng(3)
    return [np.cumsum(rng.normal(size=(frames + 10 * i, joints, 3)), axis=0) / 50 for i in range(2)]


def test_hits_leave_the_rest_exact():
    batches = HitBatches(clean(), WINDOW, HitSettings(batch=50))
    sizes, shares = set(), []
    for _ in range(30):
        batch = batches.batch()
        assert batch.estimate.shape == batch.groundtruth.shape == (50, WINDOW, batch.estimate.shape[2])
        assert batch.estimate.dtype == batch.quality.dtype == np.float32
        assert (batch.quality == 1).all()
        assert batch.quality.shape == (50, WINDOW, 2)
        error = batch.estimate - batch.groundtruth
        hit = (error != 0).any(axis=2)
        # Vectors are hit as a whole.
        np.testing.assert_array_equal(hit, (error != 0).all(axis=2))
        shares += list(hit.mean(axis=1))
        assert error[hit].std() == pytest.approx(1, abs=0.2)
        sizes.add(batch.estimate.shape[2])
    assert sizes == {1, 2, 3}
    assert min(shares) < 0.15
    assert max(shares) > 0.85


def test_hit_batches_go_on_where_they_were():
    batches = HitBatches(clean(), WINDOW, HitSettings(batch=20, seed=4))
    batches.batch()
    state = batches.state()
    expected = batches.batch()
    again = HitBatches(clean(), WINDOW, HitSettings(batch=20, seed=9))
    again.restore(state)
    np.testing.assert_array_equal(again.batch().estimate, expected.estimate)


def test_motion_that_is_too_short_to_be_hit():
    with pytest.raises(ValueError, match=r"^clean motion: expected a clip of at least 95 frames, received none of 2$"):
        HitBatches(clean(60), WINDOW, HitSettings())


def test_training_calms_what_was_hit():
    pytest.importorskip("lightning_fabric")
    from smoothnet_core.models.sizes import RobustSizes
    from smoothnet_core.training.architectures import ARCHITECTURES
    from smoothnet_core.training.loop import train
    from smoothnet_core.training.recipes import hit_run

    time = np.arange(600)[:, None, None] / 60
    phases = np.random.default_rng(2).uniform(0, 6, (1, 8, 3))
    moving = [0.3 * np.sin(2 * np.pi * 0.5 * time + phases)]
    sizes, settings = RobustSizes(WINDOW, 8, 2), HitSettings(steps=40, batch=32, learning_rate=0.01)
    run = hit_run(ARCHITECTURES["robust_fit"], sizes, settings, in_memory(clean=moving))
    tensors = train(run.network, run.batches, run.loss, run.schedule).tensors
    metadata = METADATA | ARCHITECTURES["robust_fit"].metadata(sizes)
    model = Model("trained", tensors, metadata)
    rng = np.random.default_rng(8)
    truth = moving[0][:200]
    take = truth + (rng.random(truth.shape) < 0.3) * rng.normal(0, 0.05, truth.shape)
    refined = refine(take.reshape(200, -1)[:, :, None], model=model, kind="channels").reshape(truth.shape)
    assert np.abs(refined - truth).mean() < 0.5 * np.abs(take - truth).mean()
