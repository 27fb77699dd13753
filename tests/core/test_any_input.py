"""What callers bring, good and bad, to the refiner and to every filter alike."""

import re
import threading

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smoothnet_core import Model, filters, load_model, refine, refine_with_report, repair
from smoothnet_core.checkpoints import Weights, write_safetensors

FRAMES = 90


def published_model(window=16, hidden=24, bottleneck=5, blocks=2, seed=0):
    """The published network with random weights."""
    rng = np.random.default_rng(seed)

    def layer(name, out, into):
        bound = into**-0.5
        return {f"{name}.weight": rng.uniform(-bound, bound, (out, into)), f"{name}.bias": rng.uniform(-1, 1, out)}

    tensors = layer("encoder.0", hidden, window) | layer("decoder", window, hidden)
    for i in range(blocks):
        tensors |= layer(f"res_blocks.{i}.linear1", bottleneck, hidden)
        tensors |= layer(f"res_blocks.{i}.linear2", hidden, bottleneck)
    sizes = {"window": window, "hidden": hidden, "bottleneck": bottleneck, "blocks": blocks}
    metadata = {"architecture": "smoothnet", **sizes, "hop": 1, "fps": None}
    return Model("random", {name: value.astype(np.float32) for name, value in tensors.items()}, metadata)


PUBLISHED = published_model()
CALLS = {
    "refine": refine,
    "refine at 60 fps": lambda track, **given: refine(track, **{"fps": 60, **given}),
    "refine as published": lambda track, **given: refine(track, **{"model": PUBLISHED, **given}),
    "repair": repair,
    **filters.FILTERS,
}
EVERY = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def positions(frames=FRAMES, joints=3):
    swing = np.sin(np.arange(frames)[:, None, None] / 9 + np.arange(joints * 3).reshape(joints, 3))
    return swing + 0.02 * np.random.default_rng(0).normal(size=swing.shape)


def of_kind(kind, frames=FRAMES):
    turns = Rotation.from_rotvec(positions(frames).reshape(-1, 3))
    shape = {
        "rotation_matrix": lambda: turns.as_matrix().reshape(frames, 3, 3, 3),
        "rotation_6d": lambda: turns.as_matrix()[..., :2].swapaxes(-1, -2).reshape(frames, 3, 6),
        "quat_wxyz": lambda: turns.as_quat()[:, [3, 0, 1, 2]].reshape(frames, 3, 4),
    }
    return shape[kind]() if kind in shape else positions(frames)


def by_loop(tensors, track, hop):
    """The published network and its blending, one window and one channel at a time in float64."""
    t = {name: value.astype(np.float64) for name, value in tensors.items()}
    window, blocks = len(t["decoder.bias"]), len({n.split(".")[1] for n in t if n.startswith("res_")})
    total, count = np.zeros(track.shape), np.zeros(len(track))
    starts = list(range(0, len(track) - window + 1, hop))
    for start in starts if starts[-1] == len(track) - window else [*starts, len(track) - window]:
        for c in range(track.shape[1]):
            x = t["encoder.0.weight"] @ track[start : start + window, c] + t["encoder.0.bias"]
            x = np.where(x > 0, x, 0.1 * x)
            for i in range(blocks):
                y = t[f"res_blocks.{i}.linear1.weight"] @ x + t[f"res_blocks.{i}.linear1.bias"]
                y = (
                    t[f"res_blocks.{i}.linear2.weight"] @ np.where(y > 0, y, 0.2 * y)
                    + t[f"res_blocks.{i}.linear2.bias"]
                )
                x = x + np.where(y > 0, y, 0.2 * y)
            total[start : start + window, c] += t["decoder.weight"] @ x + t["decoder.bias"]
        count[start : start + window] += 1
    return total / count[:, None]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("sizes", [(8, 5, 1, 1), (16, 33, 7, 2), (32, 64, 16, 1), (64, 40, 9, 5)], ids=str)
def test_any_published_size_is_the_loop_in_float64(sizes, backend):
    if backend == "torch":
        pytest.importorskip("torch")
    window = sizes[0]
    model = published_model(*sizes)
    for frames in (window, window + 1, 2 * window - 1, 67):
        track = np.random.default_rng(frames).normal(size=(frames, 6)).astype(np.float32)[:, ::2]
        track.flags.writeable = False
        for hop in (1, 5):
            out = refine(track, model=model, hop=hop, blend="uniform", kind="channels", backend=backend)
            np.testing.assert_allclose(out, by_loop(model.tensors, track, hop), atol=1e-5)


@EVERY
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e4, 1e9, 1e30, 1e38, 1e90, 1e300, 1e-12, 1e-30, 1e-44, 1e-200, 1e-310])
def test_every_result_is_finite(call, dtype, scale):
    smallest, largest = float(np.finfo(dtype).tiny), min(1e100, float(np.finfo(dtype).max))
    for kind in ("position", "channels", "quat_wxyz", "rotation_6d", "rotation_matrix", "axis_angle"):
        with np.errstate(over="ignore", under="ignore"):
            track = (scale * of_kind(kind, 40)).astype(dtype)
        if kind in ("position", "channels"):
            meant = (np.abs(track) < largest).all(axis=-1).any()
        else:
            # The entries of a rotation keep enough digits to be one.
            meant = 1e3 * smallest < scale < min(largest / 10, 1e10 if kind == "axis_angle" else np.inf)
        if meant:
            assert np.isfinite(call(track, kind=kind)).all()


@EVERY
def test_a_result_beyond_the_range_of_its_dtype_stops_at_the_end_of_it(call):
    track = np.full((60, 1), 6.5e4, np.float16)
    track[::2] = -6.5e4
    track[28:32] = 6.5e4
    assert np.isfinite(call(track, kind="channels")).all()


@pytest.mark.parametrize("scale", [-1.0, 1e9, -1e-12, 1e30, 1e-30, -1e90, 1e-250])
@pytest.mark.parametrize("fps", [None, 60.0])
def test_no_scale_is_too_large_or_small_for_our_own_weights(scale, fps):
    # Relative to its size, the result may change by the rounding of float32 at most.
    np.testing.assert_allclose(refine(scale * positions(), fps=fps) / scale, refine(positions(), fps=fps), atol=1e-6)


@pytest.mark.parametrize(("offset", "atol"), [(1e3, 1e-6), (1e6, 1e-6), (1e9, 2e-6)])
@pytest.mark.parametrize("fps", [None, 60.0])
def test_no_offset_is_too_far_for_our_own_weights(offset, atol, fps):
    moved = refine(positions() + offset, fps=fps)
    np.testing.assert_allclose(moved - offset, refine(positions(), fps=fps), atol=atol)


def test_one_wild_frame_costs_no_digits_elsewhere():
    wild = positions(200)
    wild[50, 1] = 1e9
    far = np.r_[0:18, 83:200]
    np.testing.assert_allclose(refine(wild)[far], refine(positions(200))[far], atol=1e-6)


@EVERY
@pytest.mark.parametrize("kind", ["position", "channels", "axis_angle", "quat_wxyz", "rotation_6d", "rotation_matrix"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_frame_comes_back_bit_for_bit(call, kind, dtype):
    track = of_kind(kind, 1).astype(dtype)
    np.testing.assert_array_equal(call(track, kind=kind), track)


@pytest.mark.parametrize("value", [1.7, 0.1, -1e9, 1e-12, 0.0])
@pytest.mark.parametrize("fps", [None, 60])
def test_what_never_moves_comes_back_bit_for_bit(value, fps):
    track = np.full((77, 2, 3), value)
    np.testing.assert_array_equal(refine(track, fps=fps), track)


@EVERY
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e200])
def test_what_is_no_number_is_not_observed(call, value):
    broken, masked = positions(), positions()
    broken[10, 1, 2] = broken[0, 0, 0] = broken[-1, 2, 1] = value
    broken[:, 1, 0] = value
    masked[:, 1] = np.nan
    masked[0, 0] = masked[-1, 2] = np.nan
    np.testing.assert_array_equal(call(broken), call(masked))


@EVERY
def test_nothing_given_is_modified_or_handed_back(call):
    track, confidence = positions(), np.random.default_rng(1).random((FRAMES, 3))
    track[9] = np.nan
    mask = np.arange(FRAMES) % 11 > 0
    before = track.copy(), mask.copy(), confidence.copy()
    for kind in ("position", "channels", "axis_angle"):
        for strength in (0, 0.5, 1):
            result = call(track, mask=mask, confidence=confidence, kind=kind, strength=strength)
            result[:] = 0
            for given, copy in zip((track, mask, confidence), before, strict=True):
                np.testing.assert_array_equal(given, copy)


@EVERY
@pytest.mark.parametrize("dtype", [np.float16, np.float32, ">f4", ">f8", np.longdouble])
def test_dtypes_layouts_and_read_only(call, dtype):
    track = np.asfortranarray(np.repeat(positions(), 2, axis=1).astype(dtype))[:, ::2]
    track.flags.writeable = False
    result = call(track)
    assert result.dtype == track.dtype
    np.testing.assert_array_equal(result, call(track.copy()))
    # In half precision a value may be near enough to the edge of being off, for `repair`, to fall on the other side.
    atol = (2e-2 if call is repair else 5e-3) if dtype == np.float16 else 1e-5
    np.testing.assert_allclose(result.astype(float), call(positions()), atol=atol)


@EVERY
@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32", "float64"])
def test_tensors_that_want_gradients_and_have_other_strides(call, name):
    torch = pytest.importorskip("torch")
    track = torch.tensor(positions()).to(getattr(torch, name)).transpose(0, 1).contiguous().transpose(0, 1)
    track = track.requires_grad_()
    before = track.detach().clone()
    result = call(track)
    assert (result.dtype, result.shape, result.requires_grad) == (track.dtype, track.shape, False)
    assert torch.isfinite(result).all()
    assert torch.equal(track, before)
    expected = call(before.double().numpy())
    np.testing.assert_allclose(result.double().numpy(), expected, atol=1e-2 if "16" in name else 1e-5)


@EVERY
def test_scalars_of_any_library_will_do(call):
    expected = call(positions(), strength=0.5, fps=60)
    for strength, fps in ((np.float32(0.5), np.int64(60)), (np.array(0.5), np.float32(60))):
        np.testing.assert_array_equal(call(positions(), strength=strength, fps=fps), expected)
    mask = np.arange(FRAMES) % 7 > 0
    expected = call(positions(), mask=mask)
    for given in (mask.astype(np.uint8), list(mask), np.repeat(mask[:, None], 3, axis=1).astype(float)):
        np.testing.assert_array_equal(call(positions(), mask=given), expected)


@EVERY
def test_confidence_0_is_not_observed_unless_all_of_it_is(call):
    wild, seen = positions(), np.ones((FRAMES, 3))
    wild[20:23, 1] = 1e6
    seen[20:23, 1] = 0
    np.testing.assert_allclose(call(wild, confidence=seen), call(wild, mask=seen == 1), atol=1e-12)
    np.testing.assert_array_equal(call(positions(), confidence=0 * seen), call(positions()))
    assert np.isfinite(call(positions(), confidence=1e-320 * seen)).all()


def test_confidence_0_is_reported_as_filled():
    seen = np.ones((FRAMES, 3))
    seen[4:6, 2] = 0
    np.testing.assert_array_equal(refine_with_report(positions(), confidence=seen)[1].filled, seen == 0)


@EVERY
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strength": "1"}, "strength: expected a number from 0 to 1, received '1'"),
        ({"strength": None}, "strength: expected a number from 0 to 1, received None"),
        ({"strength": [1.0]}, "strength: expected a number from 0 to 1, received [1.0]"),
        ({"strength": -0.5}, "strength: expected a number from 0 to 1, received -0.5"),
        ({"mask": np.full(FRAMES, 0.5)}, "mask: expected True or False, received other numbers, dtype float64"),
        ({"mask": np.full(FRAMES, np.nan)}, "mask: expected True or False, received other numbers, dtype float64"),
        ({"mask": True}, "shape of mask: expected (T,), (T, J) or the track's (90, 3, 3), received ()"),
        (
            {"mask": np.ones((FRAMES, 2))},
            "shape of mask: expected (T,), (T, J) or the track's (90, 3, 3), received (90, 2)",
        ),
        ({"confidence": np.full((FRAMES, 3), 2.0)}, "confidence: expected values in [0, 1], received 2 to 2"),
        ({"kind": None}, "kind: expected one of position, "),
    ],
)
def test_refusals(call, arguments, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        call(positions(), **arguments)


@EVERY
@pytest.mark.parametrize("fps", ["30", [30], float("nan"), -1])
def test_a_rate_that_is_none(call, fps):
    with pytest.raises(ValueError, match=r"^fps: expected a positive number.*, received "):
        call(positions(), fps=fps)


@EVERY
def test_tracks_that_are_none(call):
    for track in ([[1.0, 2.0, 3.0]] * 5, None, 5.0, np.ma.masked_array(positions(), positions() > 0)):
        with pytest.raises(ValueError, match=r"^track: expected a NumPy array or a torch tensor, received a "):
            call(track)
    for track in (positions().astype(int), positions() > 0):
        with pytest.raises(ValueError, match=r"^track: expected an array \(T, ...\) of floats, received shape "):
            call(track)
    for track in (positions().astype(complex), positions().astype(object)):
        with pytest.raises(ValueError, match=r"^track: expected an array of numbers, received dtype "):
            call(track)
    with pytest.raises(ValueError, match=r"received none: all of it is NaN or masked$"):
        call(np.full((5, 2, 3), np.nan))
    with pytest.raises(ValueError, match=r"received none: all of it is NaN, masked or no rotation$"):
        call(np.tile(np.diag([1.0, 1.0, -1.0]), (5, 1, 1)), kind="rotation_matrix")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hop": 2.5}, "hop: expected a whole number of frames from 1 to the window, 32, received 2.5"),
        ({"hop": "2"}, "hop: expected a whole number of frames from 1 to the window, 32, received 2"),
        ({"joints": 3}, "joints: expected 3 names, received 3"),
        ({"joints": "abc"}, "joints: expected 3 names, received abc"),
        ({"model": 3}, "model: expected a shipped name, a path or a Model, received a int"),
        ({"model": None}, "model: expected a shipped name, a path or a Model, received a NoneType"),
        ({"image_size": "ab"}, "image_size: expected (width, height) > 0 of 2D positions, received 'ab'"),
        (
            {"image_size": (np.inf, 1)},
            "image_size: expected (width, height) > 0 of 2D positions, received (inf, 1) for position of 3",
        ),
    ],
)
def test_refusals_of_refine(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        refine(positions(), **arguments)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_threads_share_a_model(backend, tmp_path):
    if backend == "torch":
        pytest.importorskip("torch")
    write_safetensors(tmp_path / "model.safetensors", Weights(dict(PUBLISHED.tensors), dict(PUBLISHED.metadata)))
    model = load_model(tmp_path / "model.safetensors")
    tracks = [positions() * (i + 1) for i in range(8)]
    expected = [refine(track, model=PUBLISHED, kind="channels", backend=backend) for track in tracks]
    results = [np.empty(0)] * len(tracks)

    def work(numbers):
        for i in numbers:
            results[i] = refine(tracks[i], model=model, kind="channels", backend=backend)

    threads = [threading.Thread(target=work, args=(range(k, 8, 4),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, wanted)
