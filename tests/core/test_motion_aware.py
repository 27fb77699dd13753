"""The motion-aware variant: NumPy and torch against the definition, its files, and its use."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from smoothnet_core import load_model, refine
from smoothnet_core.checkpoints import Weights, motion_aware_sizes, read_safetensors, write_safetensors
from smoothnet_core.inference.motion_aware_numpy import MotionAware
from smoothnet_core.inference.plan import run_windows
from smoothnet_core.models.sizes import PublishedSizes
from tests.core.test_published import oracle as published_oracle

WINDOW, HIDDEN, BOTTLENECK, BLOCKS = 10, 12, 5, 2
METADATA = {
    "architecture": "motion_aware",
    "window": WINDOW,
    "hop": 1,
    "hidden": HIDDEN,
    "bottleneck": BOTTLENECK,
    "blocks": BLOCKS,
}


def tensors():
    rng = np.random.default_rng(7)
    made = {"fuse.weight": rng.normal(size=(WINDOW, 3 * WINDOW - 3)), "fuse.bias": rng.normal(size=WINDOW)}
    for name, frames in (("position", WINDOW), ("velocity", WINDOW - 1), ("acceleration", WINDOW - 2)):
        shapes = {"encoder.0": (HIDDEN, frames), "decoder": (frames, HIDDEN)}
        for i in range(BLOCKS):
            shapes[f"res_blocks.{i}.linear1"] = (BOTTLENECK, HIDDEN)
            shapes[f"res_blocks.{i}.linear2"] = (HIDDEN, BOTTLENECK)
        for layer, shape in shapes.items():
            made[f"{name}.{layer}.weight"] = rng.normal(size=shape) * 0.3
            made[f"{name}.{layer}.bias"] = rng.normal(size=shape[0]) * 0.3
    return {name: value.astype(np.float32) for name, value in made.items()}


def oracle(windows):
    """Branches on the window, its first and its second differences, one after the other into one linear map."""
    given = tensors()
    parts = []
    for name, seen in (
        ("position", windows),
        ("velocity", windows[:, 1:] - windows[:, :-1]),
        ("acceleration", windows[:, 2:] - 2 * windows[:, 1:-1] + windows[:, :-2]),
    ):
        own = {key[len(name) + 1 :]: value for key, value in given.items() if key.startswith(name)}
        parts.append(published_oracle(own, seen))
    return np.concatenate(parts, axis=1) @ given["fuse.weight"].astype(float).T + given["fuse.bias"]


def with_numpy(windows):
    own = {name: np.asarray(value, windows.dtype) for name, value in tensors().items()}
    return run_windows(MotionAware(own, np.ones(WINDOW)), windows[..., None])[..., 0]


def with_torch(windows):
    torch = pytest.importorskip("torch")
    from smoothnet_core.models.motion_aware import from_tensors

    network = from_tensors(tensors()).to(torch.from_numpy(windows[:0]).dtype)
    with torch.inference_mode():
        return network(torch.from_numpy(windows)[:, None])[:, 0].numpy()


@pytest.mark.parametrize("engine", ["numpy", "torch"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 1e-12)])
def test_both_engines_are_the_definition(engine, dtype, tolerance):
    windows = np.random.default_rng(0).normal(size=(6, WINDOW)).astype(dtype)
    out = with_numpy(windows) if engine == "numpy" else with_torch(windows)
    assert out.dtype == dtype
    np.testing.assert_allclose(out, oracle(windows.astype(float)), rtol=0, atol=tolerance)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_files_are_read_and_used(tmp_path, backend):
    if backend == "torch":
        pytest.importorskip("torch")
    path = tmp_path / "m.safetensors"
    write_safetensors(path, Weights(tensors(), METADATA))
    for name, tensor in read_safetensors(path).tensors.items():
        np.testing.assert_array_equal(tensor, tensors()[name])
    model = load_model(path)
    assert model.is_published
    # One window, hop 1: nothing to blend, so the track is the network's answer, channel by channel.
    track = np.random.default_rng(1).normal(size=(WINDOW, 4)) * 0.1
    out = refine(track, kind="channels", model=model, backend=backend)
    np.testing.assert_allclose(out, oracle(track.T).T, atol=1e-5)


def test_sizes_follow_from_the_shapes():
    expected = {"window": WINDOW, "hidden": HIDDEN, "bottleneck": BOTTLENECK, "blocks": BLOCKS}
    assert motion_aware_sizes(tensors()) == expected


def test_torch_makes_these_tensors_and_the_stated_number_of_them():
    torch = pytest.importorskip("torch")
    from smoothnet_core.models.motion_aware import MotionAware

    sizes = PublishedSizes(WINDOW, HIDDEN, BOTTLENECK, BLOCKS)
    state = MotionAware(**asdict(sizes)).state_dict()
    assert {n: tuple(t.shape) for n, t in state.items()} == {n: t.shape for n, t in tensors().items()}
    count = sum(t.numel() for t in MotionAware().parameters())
    # Per branch 2 * 512 * t + 512 + t of the two ends and 2 * 512 * 16 + 512 + 16 of the block; then the fusion.
    assert count == sum(1025 * t + 512 + 16912 for t in (32, 31, 30)) + 94 * 32
    assert round(count, -3) == 151_000
    assert torch.isfinite(MotionAware(3)(torch.zeros(1, 1, 3))).all()


def test_a_window_without_acceleration_is_refused():
    pytest.importorskip("torch")
    from smoothnet_core.models.motion_aware import MotionAware

    message = r"^window: expected at least 3 frames, which have one acceleration, received 2$"
    with pytest.raises(ValueError, match=message):
        MotionAware(2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("fuse.bias"), r"names of the weights: expected position, velocity, .*, received no fuse$"),
        (
            lambda t: t.update({"jerk.x": t["fuse.bias"]}),
            r"names of the weights: expected position, .* received jerk.x$",
        ),
        (lambda t: t.update({"fuse.bias": t["fuse.bias"][1:]}), r"fuse.bias: expected shape \(10,\), received \(9,\)$"),
        (
            lambda t: t.update(
                {k.replace("position", "velocity"): v for k, v in t.items() if k.startswith("position")}
            ),
            r"sizes of the branch velocity: expected \{'window': 9, .*\}, received \{'window': 10, .*\}$",
        ),
        (
            lambda t: t.pop("acceleration.decoder.bias"),
            r"names of the weights: expected also decoder.bias, received .*$",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path, change, message):
    changed = tensors()
    change(changed)
    with pytest.raises(ValueError, match=message):
        write_safetensors(tmp_path / "m.safetensors", Weights(changed, METADATA))


def test_metadata_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"metadata entry 'hidden': expected 12, as the tensors say, received 13$"):
        write_safetensors(tmp_path / "m.safetensors", Weights(tensors(), METADATA | {"hidden": 13}))
