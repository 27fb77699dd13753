"""Refinement of a tensor where it lies is the ordinary one within float32's rounding, or says that it cannot."""

import numpy as np
import pytest

from smoothnet_core import load_model, refine
from smoothnet_core.inference import select

torch = pytest.importorskip("torch", reason="torch is not installed")


def walk(shape, dtype=np.float32, seed=3):
    rng = np.random.default_rng(seed)
    return (np.cumsum(rng.normal(size=shape) * 0.02, axis=0) + rng.normal(size=shape) * 0.01 + 5.0).astype(dtype)


def by_torch(track, model, kind="position", hop=None, **how):
    from smoothnet_core.inference.torch_on_device import refine_on_device

    network = load_model(model)
    blend = "uniform" if network.is_published else "taper"
    how = {"backend": "torch", "hop": hop or network.hop, "blend": blend} | how
    return refine_on_device(torch.from_numpy(track), network, kind=kind, **how)


@pytest.mark.parametrize("model", ["default", "fast", "published-video"])
@pytest.mark.parametrize(
    ("shape", "kind"), [((77, 4, 3), "position"), ((20, 2), "position"), ((61, 5), "channels"), ((2, 3), "channels")]
)
def test_as_on_numpy(model, shape, kind):
    track = walk(shape)
    for strength in (1.0, 0.4):
        found = by_torch(track, model, kind, strength=strength)
        assert found.dtype == torch.float32
        np.testing.assert_allclose(
            found.numpy(), refine(track, model=model, kind=kind, strength=strength), atol=3e-6, rtol=0
        )


def test_pixels():
    track = walk((40, 3, 2)) * 100
    wanted = refine(track, model="published-video", image_size=(640, 480))
    found = by_torch(track, "published-video", image_size=(640, 480))
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_dtypes(dtype):
    track = walk((50, 2, 3), dtype)
    found = by_torch(track, "default")
    assert found.numpy().dtype == dtype
    np.testing.assert_allclose(found.numpy(), refine(track), atol=1e-2 if dtype == np.float16 else 3e-6)


def test_what_does_not_move_keeps_its_bits_and_input_is_not_touched():
    track = walk((50, 3, 3))
    track[:, 1] = 0.1
    before = track.copy()
    found = by_torch(track, "default").numpy()
    np.testing.assert_array_equal(found[:, 1], track[:, 1])
    np.testing.assert_array_equal(track, before)
    np.testing.assert_array_equal(by_torch(track, "default", strength=0.0).numpy(), track)


def test_far_from_the_origin():
    track = walk((60, 2, 3), np.float64) + 1e6
    np.testing.assert_allclose(by_torch(track, "default").numpy(), refine(track), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("track", "kind", "model"),
    [
        (walk((30, 2, 4)), "quat_wxyz", "default"),
        (np.where(np.arange(30)[:, None, None] == 7, np.nan, walk((30, 2, 3))), "position", "default"),
        (np.where(np.arange(30)[:, None, None] == 7, np.inf, walk((30, 2, 3))), "position", "default"),
        (walk((1, 2, 3)), "position", "default"),
        (walk((30, 0, 3)), "position", "default"),
        (walk((30, 2, 4)), "position", "default"),
        (walk((30, 2, 3)), "position", "deglitch"),
        (walk((30, 15, 3)), "position", "body"),
    ],
)
def test_what_is_left_to_numpy(track, kind, model):
    assert by_torch(track, model, kind) is None


def test_the_backend_of_a_tensor(monkeypatch):
    monkeypatch.setattr(select, "find_spec", lambda name: object())
    assert select.resolve_backend("auto", is_tensor=True, device="cuda:0") == "triton"
    assert select.resolve_backend("auto", is_tensor=True, device="cuda:0", architecture="body_aware") == "torch"
    assert select.resolve_backend("auto", is_tensor=True, device="cpu") == "torch"
    assert select.resolve_backend("auto", is_tensor=False) == "numpy"
    monkeypatch.setattr(select, "find_spec", lambda name: None)
    assert select.resolve_backend("auto", is_tensor=True, device="cuda:0") == "torch"


def test_triton_where_it_cannot_run(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(
        ValueError, match=r"^backend for weights of the architecture body_aware: expected numpy or torch"
    ):
        select.resolve_backend("triton", is_tensor=True, architecture="body_aware")
    monkeypatch.setattr(select, "require", lambda module, extra: torch)
    with pytest.raises(
        ValueError, match=r"^device for the backend triton: expected a CUDA device, received one on cpu$"
    ):
        select.resolve_backend("triton", is_tensor=True, device="cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        ValueError, match=r"^device for the backend triton: expected a CUDA device, received none on this machine$"
    ):
        select.resolve_backend("triton", is_tensor=False)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert select.resolve_backend("triton", is_tensor=False) == "triton"
