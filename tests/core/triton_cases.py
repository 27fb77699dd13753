"""Checks of the fused kernels that need triton at work: on a GPU, or in its interpreter, which is chosen at import.

Run by :mod:`tests.core.test_triton_tracks`, in a process of its own where there is no GPU.
"""

# ruff: noqa: E402

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("triton", reason="triton is not installed")

from smoothnet_core import load_model, refine
from smoothnet_core.inference.torch_tracks import TorchTracks
from smoothnet_core.inference.triton_launch import Launch, pieces_of, published_scales, tuned, vector_filter_scale
from smoothnet_core.inference.triton_tracks import TritonTracks
from smoothnet_core.inference.triton_weights import arrangement
from smoothnet_core.windows import refine_windows
from tests.core.window_oracle import vector_shapes

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SMALL = Launch(rows=64 if DEVICE == "cuda" else 16, warps=4, piece=16, steps=4, programs=1)


def published(window, hidden, bottleneck, blocks, seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"encoder.0": (hidden, window), "decoder": (window, hidden)}
    for i in range(blocks):
        shapes[f"res_blocks.{i}.linear1"] = (bottleneck, hidden)
        shapes[f"res_blocks.{i}.linear2"] = (hidden, bottleneck)
    tensors = {f"{name}.weight": rng.normal(size=shape) / shape[1] ** 0.5 for name, shape in shapes.items()}
    tensors |= {f"{name}.bias": rng.normal(size=shape[0]) * 0.1 for name, shape in shapes.items()}
    return {name: value.astype(np.float32) for name, value in tensors.items()}


def vector_filter(window, probes, hidden, filters, seed=0):
    rng = np.random.default_rng(seed)
    shapes = vector_shapes(window, probes, hidden, filters)
    return {name: (rng.normal(size=shape) * 0.25).astype(np.float32) for name, shape in shapes.items()}


NETWORKS = {
    "smoothnet": published(8, 40, 6, 1),
    "smoothnet deep": published(8, 48, 24, 3),
    "smoothnet odd": published(11, 24, 5, 2),
    "vector_filter": vector_filter(8, 20, 24, 18),
    "vector_filter odd": vector_filter(11, 17, 40, 16),
}


def network_of(name):
    return name.split()[0], NETWORKS[name], len(NETWORKS[name].get("decoder.bias", NETWORKS[name].get("synthesis", ())))


def track_of(frames, vectors, size, seed=1):
    rng = np.random.default_rng(seed)
    values = np.cumsum(rng.normal(size=(frames, vectors, size)), axis=0) * 0.1
    return torch.from_numpy(values.astype(np.float32)).to(DEVICE)


def quality_of(frames, vectors):
    rng = np.random.default_rng(2)
    seen = rng.random((frames, vectors)) < 0.8
    return torch.from_numpy(np.stack([rng.random((frames, vectors)) * seen, seen], 2).astype(np.float32)).to(DEVICE)


def expected(name, values, quality, hop, blend):
    """The definition, in float64 on the CPU."""
    architecture, tensors, _ = network_of(name)
    seen = None if quality is None else quality.double().cpu()
    return TorchTracks(architecture, tensors, "cpu", torch.float64)(values.double().cpu(), seen, hop=hop, blend=blend)


def error(found, wanted, given):
    """How far off, as a share of what the network changed."""
    assert found.shape == wanted.shape
    assert torch.isfinite(found).all()
    difference = found.double().cpu() - wanted
    return float(difference.norm() / (wanted - given.double().cpu()).norm())


def both(name, values, quality=None, *, hop, blend="taper", launch=SMALL, precision="fp32"):
    architecture, tensors, _ = network_of(name)
    out = torch.full_like(values, float("nan"))
    tracks = TritonTracks(architecture, tensors, DEVICE, precision, launch)
    found = tracks(values, quality, hop=hop, blend=blend, out=out)
    return error(found, expected(name, values, quality, hop, blend), values)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("extra", [-1, 0, 1, 45])
def test_any_length_and_hop(name, extra):
    window = network_of(name)[2]
    hops = {-1: (1, 3), 0: (1,), 1: (1, 3), 45: (1, 3, window)}[extra]
    for hop in hops:
        frames = window + extra
        assert both(name, track_of(frames, 2, 3), hop=hop, blend="uniform" if hop == 3 else "taper") < 3e-6, hop


@pytest.mark.parametrize("size", [1, 2, 4, 9])
@pytest.mark.parametrize("name", ["smoothnet", "vector_filter"])
def test_any_size(name, size):
    assert both(name, track_of(31, 2, size), hop=3) < 3e-6


@pytest.mark.parametrize("name", ["vector_filter", "vector_filter odd"])
def test_quality(name):
    for hop in (1, 4):
        assert both(name, track_of(37, 3, 2), quality_of(37, 3), hop=hop) < 3e-6
    ones = torch.ones_like(quality_of(29, 2))
    assert both(name, track_of(29, 2, 3), ones, hop=4) < 3e-6


@pytest.mark.parametrize("name", ["smoothnet", "smoothnet deep", "vector_filter"])
def test_any_division_of_the_work(name):
    values = track_of(113, 2, 1)
    for launch in (
        Launch(64, 4, piece=32, programs=1000, resident="all"),
        Launch(64, 4, piece=32, resident="wide"),
        Launch(64, 4, piece=16, programs=1, steps=16),
    ):
        assert both(name, values, hop=5, launch=launch) < 3e-6


@pytest.mark.parametrize("name", ["smoothnet", "smoothnet deep", "vector_filter"])
def test_bfloat16(name):
    found = both(name, track_of(61, 2, 3), hop=3, precision="bf16")
    assert 1e-4 < found < 2e-2


def test_strides_are_used_as_they_are():
    for name in ("smoothnet", "vector_filter"):
        architecture, tensors, _ = network_of(name)
        whole = track_of(60, 5, 6)
        values = whole[10:57, 1::2, 2:5]
        over_time = values.permute(1, 2, 0).contiguous().permute(2, 0, 1)
        out = torch.full((47, 4, 5), float("nan"), device=DEVICE).permute(0, 2, 1)[:, 1:3, :3]
        wanted = expected(name, values, None, 3, "taper")
        tracks = TritonTracks(architecture, tensors, DEVICE, launch=SMALL)
        for given in (values, over_time):
            out.fill_(float("nan"))
            assert tracks(given, hop=3, blend="taper", out=out) is out
            assert error(out, wanted, values) < 3e-6
        assert torch.equal(whole, track_of(60, 5, 6))


def test_dtypes_and_read_only_input():
    architecture, tensors, _ = network_of("vector_filter")
    tracks = TritonTracks(architecture, tensors, DEVICE, launch=SMALL)
    values = track_of(29, 2, 3)
    for dtype, bound in ((torch.float64, 3e-6), (torch.float16, 5e-2), (torch.bfloat16, 3e-1)):
        given = values.to(dtype)
        found = tracks(given, hop=4, blend="taper")
        assert found.dtype == dtype
        assert error(found, expected("vector_filter", given, None, 4, "taper"), given) < bound


def test_what_does_not_move_stays():
    architecture, tensors, _ = network_of("vector_filter")
    values = torch.full((40, 2, 3), 0.5, device=DEVICE)
    for precision in ("fp32", "bf16"):
        found = TritonTracks(architecture, tensors, DEVICE, precision, SMALL)(values, hop=4, blend="taper")
        assert torch.equal(found, values)


def test_nothing_in_nothing_out():
    architecture, tensors, _ = network_of("smoothnet")
    tracks = TritonTracks(architecture, tensors, DEVICE)
    assert tracks(torch.zeros((9, 0, 3), device=DEVICE), hop=1, blend="taper").shape == (9, 0, 3)


@pytest.mark.parametrize("name", ["smoothnet", "vector_filter"])
@pytest.mark.parametrize("frames", [5, 8, 30])
def test_the_torch_version_is_the_numpy_one(name, frames):
    architecture, tensors, window = network_of(name)
    values, quality = track_of(frames, 2, 3).double().cpu(), quality_of(frames, 2).double().cpu()
    network = TorchTracks(architecture, tensors, "cpu", torch.float64).network

    def run(windows, seen):
        with torch.no_grad():
            if architecture == "smoothnet":
                return network(torch.from_numpy(windows).transpose(1, 2)).transpose(1, 2).numpy()
            return network(torch.from_numpy(windows), torch.from_numpy(seen)).numpy()

    by_joint = values.numpy().transpose(1, 0, 2), quality.numpy().transpose(1, 0, 2)
    for hop in (1, 3, window):
        wanted = refine_windows(*by_joint, run, window=window, hop=hop, blend="taper").transpose(1, 0, 2)
        found = expected(name, values, quality, hop, "taper")
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-10, atol=1e-10)


def test_refused():
    architecture, tensors, _ = network_of("vector_filter")
    tracks = TritonTracks(architecture, tensors, DEVICE)
    values = track_of(20, 2, 3)
    with pytest.raises(
        ValueError, match=r"^hop: expected a whole number of frames from 1 to the window, 8, received 9$"
    ):
        tracks(values, hop=9, blend="taper")
    with pytest.raises(ValueError, match=r"^quality: expected \(20, 2, 2\), received \(20, 2\)$"):
        tracks(values, values[..., 0], hop=4, blend="taper")
    with pytest.raises(ValueError, match=r"^out: expected \(20, 2, 3\) on \S+, received \(19, 2, 3\) on \S+$"):
        tracks(values, hop=4, blend="taper", out=values[:19])
    with pytest.raises(ValueError, match=r"^precision: expected one of fp32, bf16, received 'fp8'$"):
        TritonTracks(architecture, tensors, DEVICE, "fp8")
    with pytest.raises(
        ValueError, match=r"^architecture of the weights: expected smoothnet or vector_filter, received 'x'"
    ):
        TritonTracks("x", tensors, DEVICE)


def test_every_frame_has_its_column():
    for window, hop in ((8, 1), (32, 8), (31, 3), (64, 64), (9, 5)):
        order = arrangement(window, hop, False).order
        assert sorted(order[order >= 0]) == list(range(window))
        assert len(order) & (len(order) - 1) == 0
    assert pieces_of(192, 128) == (192, 64)
    assert pieces_of(512, 64) == (512, 64)
    assert pieces_of(20, 64) == (32, 32)


@pytest.mark.parametrize("model", ["fast", "published-video"])
def test_refine(model):
    rng = np.random.default_rng(0)
    track = (np.cumsum(rng.normal(size=(75, 2, 3)) * 0.02, axis=0) + 1.0).astype(np.float32)
    tensor = torch.from_numpy(track).to(DEVICE)
    wanted = refine(track, model=model)
    found = refine(tensor.clone().requires_grad_(), model=model, backend="triton")
    assert not found.requires_grad
    assert not found.is_inference()
    np.testing.assert_allclose(found.cpu().numpy(), wanted, atol=3e-6)
    np.testing.assert_allclose(refine(track, model=model, backend="triton"), wanted, atol=3e-6)
    # By way of NumPy.
    mask = np.ones((75, 2), bool)
    mask[20:24, 1] = False
    found = refine(tensor, model=model, mask=mask, backend="triton")
    np.testing.assert_allclose(found.cpu().numpy(), refine(track, model=model, mask=mask), atol=3e-6)


def test_halves_where_they_cannot_overflow():
    own = dict(load_model("default").tensors)
    assert vector_filter_scale(own) == 1024
    assert tuned("vector_filter", own, "fp32").halves
    large = own | {"layer2.weight": own["layer2.weight"] * 1e3}
    assert vector_filter_scale(large) is None
    assert not tuned("vector_filter", large, "fp32").halves
    channels = dict(load_model("published-video").tensors)
    scale, largest, most = published_scales(channels)
    windows = np.full(32, largest) * np.sign(channels["encoder.0.weight"])
    reached = np.abs(np.einsum("hw,hw->h", channels["encoder.0.weight"] * scale, windows)).max()
    assert 1 <= most <= largest < reached < 65504
    assert tuned("smoothnet", channels, "fp32").halves
    channels |= {"res_blocks.0.linear2.weight": channels["res_blocks.0.linear2.weight"] * 1e3}
    assert published_scales(channels) is None
    assert not tuned("smoothnet", channels, "fp32").halves
    for architecture, tensors in (("vector_filter", large), ("smoothnet", channels)):
        tracks = TritonTracks(architecture, tensors, DEVICE, launch=Launch(SMALL.rows, 4, halves=True))
        with pytest.raises(
            ValueError, match=r"^weights for float16 halves: expected numbers that cannot grow too large, received "
        ):
            tracks(track_of(40, 1, 3), hop=4, blend="taper")


@pytest.mark.parametrize("name", ["smoothnet", "smoothnet odd", "vector_filter", "vector_filter odd"])
def test_halves(name):
    for resident in ("none", "all"):
        launch = Launch(SMALL.rows, 4, piece=16, programs=1, steps=4, halves=True, resident=resident)
        assert both(name, track_of(61, 2, 3), hop=3, launch=launch) < 3e-6


@pytest.mark.parametrize(
    ("model", "size"),
    [
        *(("default", size) for size in (1e-3, 1.0, 1e3, 1e18)),
        *(("published-video", size) for size in (1e-3, 1.0, 1e3, 1e18)),
    ],
)
def test_halves_have_the_digits_of_float32(model, size):
    network = load_model(model)
    values = track_of(75, 2, 3).to(torch.float32) * size
    launch = Launch(SMALL.rows, 4, halves=True)
    found = TritonTracks(network.architecture, network.tensors, DEVICE, launch=launch)(values, hop=4, blend="taper")
    wanted = TorchTracks(network.architecture, network.tensors, DEVICE, torch.float64)(
        values.double(), hop=4, blend="taper"
    )
    gap, change = found.double() - wanted, wanted - values.double()
    assert gap.norm() <= 3e-6 * (change.norm() + wanted.norm() * (model != "default"))
