"""Our network: the same on NumPy and torch, and equivariant by construction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ortho_group

from smoothnet_core import refine
from smoothnet_core.inference import vector_filter_numpy
from smoothnet_core.inference.overlapping import refine_overlapping
from smoothnet_core.inference.plan import run_windows
from smoothnet_core.windows import overlap_weights, refine_windows
from tests.core.window_oracle import vector_shapes

WINDOW, PROBES, HIDDEN, FILTERS = 16, 40, 24, 20


def random_tensors(dtype=np.float32):
    rng = np.random.default_rng(5)
    shapes = vector_shapes(WINDOW, PROBES, HIDDEN, FILTERS)
    return {name: (rng.normal(size=shape) * 0.3).astype(dtype) for name, shape in shapes.items()}


def with_numpy(tensors, windows, quality):
    return run_windows(vector_filter_numpy.VectorFilter(tensors, np.ones(windows.shape[1])), windows, quality)


def reference(tensors, window, quality):
    """One window (W, D) by the definition, in float64 and loops over nothing but matrices."""
    t = {k: v.astype(np.float64) for k, v in tensors.items()}
    centred = window - window.mean(axis=0)
    spread = np.sqrt((centred**2).sum(axis=1).mean()) or 1.0
    lengths = np.sqrt(((t["probe"] @ centred) ** 2).sum(axis=1) + 1e-12 * spread**2) / spread
    features = np.concatenate([np.log(lengths + 1e-2), quality.ravel()])
    hidden = np.maximum(t["layer1.weight"] @ features + t["layer1.bias"], 0)
    hidden = np.maximum(t["layer2.weight"] @ hidden + t["layer2.bias"], 0)
    gains = t["gain.weight"] @ hidden + t["gain.bias"]
    return window + t["synthesis"] @ (gains[:, None] * (t["analysis"] @ centred))


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_numpy_is_the_definition(size, monkeypatch):
    monkeypatch.setattr(vector_filter_numpy, "_NARROW_COLUMNS", 21)
    rng = np.random.default_rng(size)
    windows = rng.normal(size=(20, WINDOW, size)).astype(np.float32)
    quality = rng.random((20, WINDOW, 2)).astype(np.float32)
    windows[3] = 2.5
    out = with_numpy(random_tensors(), windows, quality)
    expected = [
        reference(random_tensors(), w.astype(float), q.astype(float)) for w, q in zip(windows, quality, strict=True)
    ]
    np.testing.assert_allclose(out, expected, atol=2e-5)
    np.testing.assert_array_equal(out[3], windows[3])


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_torch_is_numpy(size):
    torch = pytest.importorskip("torch")
    from smoothnet_core.models.vector_filter import from_tensors

    rng = np.random.default_rng(size)
    windows = rng.normal(size=(20, WINDOW, size)).astype(np.float32)
    quality = rng.random((20, WINDOW, 2)).astype(np.float32)
    network = from_tensors(random_tensors())
    out = network(torch.from_numpy(windows), torch.from_numpy(quality)).detach().numpy()
    np.testing.assert_allclose(out, with_numpy(random_tensors(), windows, quality), rtol=1e-5, atol=1e-5)
    assert set(network.state_dict()) == set(random_tensors())


def test_gradients_are_finite_where_nothing_moves():
    torch = pytest.importorskip("torch")
    from smoothnet_core.models.vector_filter import from_tensors

    windows = torch.zeros(2, WINDOW, 3, requires_grad=True)
    network = from_tensors(random_tensors())
    network(windows, torch.ones(2, WINDOW, 2)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())
    assert torch.isfinite(windows.grad).all()


@given(
    size=st.sampled_from([2, 3, 9]),
    seed=st.integers(0, 1000),
    scale=st.floats(1e-3, 1e3) | st.floats(-1e3, -1e-3),
    offset=st.floats(-100, 100),
)
def test_equivariance_in_float64(size, seed, scale, offset):
    tensors = random_tensors(np.float64)
    rng = np.random.default_rng(seed)
    windows, quality = rng.normal(size=(3, WINDOW, size)), rng.random((3, WINDOW, 2))
    turn = ortho_group.rvs(size, random_state=seed)
    out = with_numpy(tensors, windows, quality)
    moved = with_numpy(tensors, scale * windows @ turn + offset, quality)
    np.testing.assert_allclose(moved, scale * out @ turn + offset, atol=1e-6 * (abs(scale) + abs(offset)))


@pytest.mark.parametrize("hop", [1, 4, 5, WINDOW])
@pytest.mark.parametrize("frames", [2, WINDOW, WINDOW + 1, 77])
@pytest.mark.parametrize("blend", ["uniform", "taper"])
def test_a_track_is_its_windows_blended(hop, frames, blend, monkeypatch):
    monkeypatch.setattr(vector_filter_numpy, "_NARROW_COLUMNS", 54)
    tensors = random_tensors(np.float64)
    rng = np.random.default_rng(frames)
    values, quality = rng.normal(size=(frames, 3, 9)), np.ones((frames, 3, 2))
    # One joint is not trusted everywhere, one never moves.
    quality[:, 1, 0] = rng.random(frames)
    values[:, 2] = values[0, 2]
    network = vector_filter_numpy.VectorFilter(tensors, overlap_weights(blend, WINDOW, hop))
    out = np.full(values.shape, np.nan)
    refine_overlapping(values, quality, network, out, hop=hop)
    expected = refine_windows(
        values.transpose(1, 0, 2),
        quality.transpose(1, 0, 2),
        lambda windows, quality: with_numpy(tensors, windows, quality),
        window=WINDOW,
        hop=hop,
        blend=blend,
    )
    np.testing.assert_allclose(out, expected.transpose(1, 0, 2), atol=1e-11)
    np.testing.assert_allclose(out[:, 2], values[:, 2], atol=1e-14)


def test_joints_and_blocks_change_rounding_alone(monkeypatch):
    rng = np.random.default_rng(3)
    track = rng.normal(size=(300, 7, 4)) * 0.1 + [1, 0, 0, 0]
    track[50:60, 2] = np.nan
    whole = refine(track, fps=24, kind="quat_wxyz")
    alone = [refine(track[:, n : n + 1], fps=24, kind="quat_wxyz") for n in range(7)]
    np.testing.assert_allclose(whole, np.concatenate(alone, axis=1), atol=1e-7)
    for blocks in (1, 2**22):
        monkeypatch.setattr("smoothnet_core._joint_tracks._BLOCK_NUMBERS", blocks)
        np.testing.assert_allclose(whole, refine(track, fps=24, kind="quat_wxyz"), atol=1e-7)


def test_threads_change_no_bit(monkeypatch):
    rng = np.random.default_rng(3)
    track = rng.normal(size=(700, 9, 3))
    gaps = np.where(rng.random(track.shape) < 0.01, np.nan, track)
    results = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append([refine(track), refine(gaps), refine(track, fps=60), refine(track, kind="axis_angle")])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(("window", "filters"), [(32, 32), (32, 30), (40, 40)])
def test_a_small_network_starts_as_a_low_pass_that_sees_both_ends(window, filters):
    torch = pytest.importorskip("torch")
    from smoothnet_core.models.sizes import Sizes
    from smoothnet_core.models.vector_filter import VectorFilter

    torch.manual_seed(3)
    network = VectorFilter(Sizes(window, window // 2, 8, filters))
    seen = (network.probe != 0).any(dim=0)
    assert seen[0]
    assert seen[-1]
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(500, window, 3)).astype(np.float32)
    turn = np.arange(window)[:, None] / window + rng.random((500, 1, 3))
    slow = np.sin(turn * 1.5).astype(np.float32)
    quality = torch.ones(500, window, 2)
    with torch.no_grad():
        left, moved = (network(torch.from_numpy(x), quality).numpy() - x for x in (noise, slow))
    # White noise keeps the share that its mean and the slow terms have; what moves slowly stays.
    kept = np.square(noise + left - noise.mean(axis=1, keepdims=True)).mean()
    assert kept < 0.3
    assert np.square(moved).mean() < 0.01 * slow.var(axis=1).mean()


def test_a_large_network_starts_with_random_filters():
    torch = pytest.importorskip("torch")
    from smoothnet_core.models.sizes import Sizes
    from smoothnet_core.models.vector_filter import VectorFilter

    torch.manual_seed(4)
    network = VectorFilter(Sizes(16, 20, 8, 17))
    np.testing.assert_array_equal(network.probe[:16].detach(), np.eye(16))
    # Cosines would be orthonormal and the synthesis their negative.
    assert abs(network.synthesis.std().item() * 17**0.5 - 0.1) < 0.02
    gram = (network.analysis @ network.analysis.T).detach().numpy()
    assert np.abs(gram - np.diag(gram.diagonal())).max() > 0.1
