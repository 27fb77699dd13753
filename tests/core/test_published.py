"""The published network, in torch and in NumPy, against the published code's outputs and a float64 oracle."""

from __future__ import annotations

import numpy as np
import pytest

from smoothnet_core.checkpoints import Weights, published_sizes, read_published, read_safetensors, write_safetensors
from smoothnet_core.inference.plan import run_windows
from smoothnet_core.inference.published_numpy import Published
from tests.core.test_checkpoints import GOLDEN, METADATA, published_tensors
from tests.helpers import shared


def with_numpy(tensors, windows):
    own = {name: np.asarray(value, windows.dtype) for name, value in tensors.items()}
    return run_windows(Published(own, np.ones(windows.shape[1])), windows[..., None])[..., 0]


def with_torch(tensors, windows):
    torch = pytest.importorskip("torch")
    from smoothnet_core.models.published import from_tensors

    network = from_tensors(tensors).to(torch.from_numpy(windows[:0].copy()).dtype)
    with torch.inference_mode():
        return network(torch.from_numpy(np.ascontiguousarray(windows))[:, None])[:, 0].numpy()


ENGINES = {"numpy": with_numpy, "torch": with_torch}


def oracle(tensors, windows):
    """The published formulas in float64, one window at a time."""

    def affine(layer, x):
        return tensors[f"{layer}.weight"].astype(float) @ x + tensors[f"{layer}.bias"]

    def leaky(x, slope):
        return np.where(x > 0, x, slope * x)

    out = []
    for x in windows.astype(float):
        h = leaky(affine("encoder.0", x), 0.1)
        for i in range(published_sizes(tensors)["blocks"]):
            narrow = leaky(affine(f"res_blocks.{i}.linear1", h), 0.2)
            h = h + leaky(affine(f"res_blocks.{i}.linear2", narrow), 0.2)
        out.append(affine("decoder", h))
    return np.array(out)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", GOLDEN)
def test_golden_windows_and_sequences(name, engine):
    tensors = read_published(shared("golden", f"{name}.pth.tar")).tensors
    with np.load(shared("golden", f"{name}.npz")) as golden:
        track, first, sequence = golden["input"], golden["window_output"], golden["sequence_output"]
    size = GOLDEN[name]["window"]
    windows = np.lib.stride_tricks.sliding_window_view(track, size, axis=0)  # (N, C, T)
    out = ENGINES[engine](tensors, windows.reshape(-1, size)).reshape(windows.shape).transpose(0, 2, 1)
    np.testing.assert_allclose(out[:8], first, rtol=0, atol=1e-5)
    total, count = np.zeros(track.shape), np.zeros((len(track), 1))
    for start, window in enumerate(out):
        total[start : start + size] += window
        count[start : start + size] += 1
    np.testing.assert_allclose(total / count, sequence, rtol=0, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 1e-12)])
@pytest.mark.parametrize("count", [0, 1, 7])
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
def test_engines_equal_the_oracle(engine, dtype, tolerance, count, layout):
    tensors = published_tensors()
    windows = np.random.default_rng(count).normal(size=(count, 8)).astype(dtype)
    if layout == "F":
        windows = np.asfortranarray(windows)
    if layout == "strided":
        windows = np.repeat(windows, 2, axis=1)[:, ::2]
    out = ENGINES[engine](tensors, windows)
    assert out.dtype == dtype
    assert out.shape == windows.shape
    if count:
        np.testing.assert_allclose(out, oracle(tensors, windows), rtol=tolerance, atol=tolerance)


def test_blocks_do_not_show():
    tensors = published_tensors()
    windows = np.random.default_rng(0).normal(size=(9001, 8))
    before = windows.copy()
    out = with_numpy(tensors, windows)
    np.testing.assert_array_equal(windows, before)
    for i in (0, 4095, 4096, 8191, 8192, 9000):
        np.testing.assert_allclose(out[i], oracle(tensors, windows[i : i + 1])[0], rtol=1e-12, atol=1e-12)


def test_a_missing_value_stays_in_its_window():
    windows = np.ones((3, 8), np.float32)
    windows[1, 2] = np.nan
    out = with_numpy(published_tensors(), windows)
    assert np.isnan(out[1]).all()
    assert np.isfinite(out[[0, 2]]).all()


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        (np.zeros((2, 9, 1), np.float32), r"^windows: expected \(N, 8, D\), received \(2, 9, 1\)$"),
        (np.zeros((2, 8), np.float32), r"^windows: expected \(N, 8, D\), received \(2, 8\)$"),
        (np.zeros((2, 8, 1), int), r"^type of the windows: expected float32, received int64$"),
        (np.zeros((2, 8, 1)), r"^type of the windows: expected float32, received float64$"),
    ],
)
def test_wrong_windows(windows, message):
    with pytest.raises(ValueError, match=message):
        run_windows(Published(published_tensors(), np.ones(8)), windows)


def test_a_converted_checkpoint_gives_the_same(tmp_path):
    path = tmp_path / "a.safetensors"
    write_safetensors(path, Weights(published_tensors(), METADATA))
    windows = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    back = read_safetensors(path).tensors
    np.testing.assert_array_equal(with_numpy(back, windows), with_numpy(published_tensors(), windows))


# From the table of the paper's configurations, at window 32.
PARAMETERS = {
    "3dpw-spin": 50_224,
    "aist-vibe": 691_872,
    "h36m-fcn": 691_872,
    "mmpose": 822_048,
    "mmhuman3d": 2_659_872,
}


def test_published_configurations_have_the_published_size():
    pytest.importorskip("torch")
    from smoothnet_core.models.published import PUBLISHED_SIZES, SmoothNet

    counts = {
        name: sum(p.numel() for p in SmoothNet(32, **sizes).parameters()) for name, sizes in PUBLISHED_SIZES.items()
    }
    assert counts == PARAMETERS


def test_the_network_trains_with_dropout_and_runs_without():
    torch = pytest.importorskip("torch")
    from smoothnet_core.models.published import SmoothNet, from_weights

    torch.manual_seed(0)
    network = SmoothNet(8, 12, 5, 2, dropout=0.5)
    x = torch.randn(2, 3, 8)
    assert not torch.equal(network(x), network(x))
    network(x).square().mean().backward()
    assert all(torch.isfinite(p.grad).all() and p.grad.any() for p in network.parameters())
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    back = from_weights(Weights(tensors, METADATA))
    assert not back.training
    assert torch.equal(back(x), network.eval()(x))
    with pytest.raises(ValueError, match=r"^windows: expected \(N, C, 8\), received \(2, 8, 3\)$"):
        back(x.transpose(1, 2))
    with pytest.raises(ValueError, match=r"^architecture of the weights: expected smoothnet, received 'other'$"):
        from_weights(Weights(tensors, METADATA | {"architecture": "other"}))
