"""The body-aware network: two engines and a definition, what it commutes with, and its way through ``refine``."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from smoothnet_core import load_model, refine, refine_with_report
from smoothnet_core._limbs import even_limbs
from smoothnet_core.checkpoints import Weights, read_safetensors, write_safetensors
from smoothnet_core.inference.body_aware_numpy import forward
from smoothnet_core.joint_sets import AXES, JOINT_SETS
from smoothnet_core.model import Model

NAMES, ROOT = JOINT_SETS["mediapipe_15"].joints, JOINT_SETS["mediapipe_15"].root
SWAP = JOINT_SETS["mediapipe_15"].swap.tolist()
JOINTS, WINDOW, HIDDEN, BLOCKS = len(NAMES), 24, 12, 3
METADATA = {
    "architecture": "body_aware",
    "window": WINDOW,
    "hop": 12,
    "fps": 30.0,
    "sizes": {"hidden": HIDDEN, "blocks": BLOCKS},
    "joint_set": "mediapipe_15",
    "joints": list(NAMES),
    "root": list(ROOT),
    "axes": AXES,
    "swap": SWAP,
    "first": dict(load_model("default").metadata),
}
BEFORE = {f"first.{name}": tensor for name, tensor in load_model("default").tensors.items()}


def tensors(joints=JOINTS):
    rng = np.random.default_rng(5)
    layers = {"encoder": (HIDDEN, 6 * joints, 3), "decoder": (3 * joints, HIDDEN, 1)}
    for i in range(BLOCKS):
        layers |= {f"blocks.{i}.wide": (HIDDEN, HIDDEN, 3), f"blocks.{i}.narrow": (HIDDEN, HIDDEN, 1)}
    made = {f"{name}.weight": rng.normal(size=shape) * 0.25 for name, shape in layers.items()}
    made |= {f"{name}.bias": rng.normal(size=shape[0]) * 0.25 for name, shape in layers.items()}
    return {name: value.astype(np.float32) for name, value in made.items()}


@lru_cache
def model():
    return Model("test", tensors() | BEFORE, METADATA)


def windows(count=3, frames=WINDOW, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, frames, 3 * JOINTS)), rng.random((count, frames, 3 * JOINTS))


def take(frames=60, joints=JOINTS, seed=0, fps=30.0):
    """A body of about human size that moves and jitters, (T, J, 3)."""
    rng = np.random.default_rng(seed)
    rest, phase = rng.normal(size=(1, joints, 3)) * 0.4, rng.uniform(0, 6, (1, joints, 3))
    return rest + 0.1 * np.sin(2 * np.pi * 0.7 * np.arange(frames)[:, None, None] / fps + phase)


def jittery(**arguments):
    clean = take(**arguments)
    return clean + 0.02 * np.random.default_rng(9).normal(size=clean.shape)


def oracle(windows, quality):
    """The definition, frame by frame and tap by tap, in float64."""
    given = {name: value.astype(float) for name, value in tensors().items()}

    def convolved(layer, rows, dilation=1):
        weight, last = given[f"{layer}.weight"], len(rows) - 1
        middle = weight.shape[2] // 2
        out = []
        for t in range(len(rows)):
            frames = [np.clip(t + (tap - middle) * dilation, 0, last) for tap in range(weight.shape[2])]
            out.append(sum(weight[:, :, tap] @ rows[f] for tap, f in enumerate(frames)) + given[f"{layer}.bias"])
        return np.array(out)

    def leaky(x):
        return np.where(x > 0, x, 0.1 * x)

    gauss = np.exp(-0.5 * (np.arange(-6, 7) / 1.5) ** 2)

    def corrected(window, trust):
        body = window.reshape(len(window), -1, 3)
        body = body - (body[:, 7:8] + body[:, 8:9]) / 2
        size = np.mean([np.sqrt((joint**2).sum()) for frame in body for joint in frame])
        sure = trust.reshape(len(trust), -1, 3).copy()
        sure[..., 2] = np.minimum(4 * sure[..., 2] / size, 2)
        given = np.hstack([1.5 * body.reshape(window.shape) / size, sure.reshape(trust.shape)])
        hidden = leaky(convolved("encoder", given))
        for i in range(BLOCKS):
            hidden = hidden + convolved(f"blocks.{i}.narrow", leaky(convolved(f"blocks.{i}.wide", hidden, 2**i)))
        answer = 0.2 * size * convolved("decoder", hidden)
        held = answer[np.clip(np.arange(-6, len(window) + 6), 0, len(window) - 1)]
        return window + np.transpose([np.convolve(column, gauss / gauss.sum(), "valid") for column in held.T])

    results = []
    for window, trust in zip(windows, quality, strict=True):
        sides = trust.reshape(len(trust), -1, 3)[:, SWAP].reshape(trust.shape)
        results.append((corrected(window, trust) + mirror(corrected(mirror(window), sides))) / 2)
    return np.array(results)


def mirror(positions):
    """Return positions (..., 3 J) as a mirror shows them."""
    joints = positions.reshape(*positions.shape[:-1], -1, 3)
    return (joints[..., SWAP, :] * [-1, 1, 1]).reshape(positions.shape)


def with_torch(windows, quality):
    torch = pytest.importorskip("torch")
    from smoothnet_core.models.body_aware import from_tensors

    network = from_tensors(tensors(), ROOT, SWAP).eval().to(torch.from_numpy(windows[:0]).dtype)
    with torch.inference_mode():
        return network(torch.from_numpy(windows), torch.from_numpy(quality)).numpy()


def with_numpy(windows, quality):
    return forward({k: v.astype(windows.dtype) for k, v in tensors().items()}, ROOT, SWAP, windows, quality)


ENGINES = pytest.mark.parametrize("engine", [with_numpy, with_torch])


@ENGINES
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-6)])
@pytest.mark.parametrize("frames", [WINDOW, 64, 5, 1])
def test_both_engines_are_the_definition(engine, dtype, tolerance, frames):
    x, q = windows(frames=frames)
    out = engine(x.astype(dtype), q.astype(dtype))
    assert out.dtype == dtype
    np.testing.assert_allclose(out, oracle(x, q), rtol=0, atol=tolerance)
    assert np.abs(out - x).max() > 0.1


def test_the_engines_agree_over_many_windows():
    x, q = (a.astype(np.float32) for a in windows(count=140))
    np.testing.assert_allclose(with_numpy(x, q), with_torch(x, q), rtol=0, atol=1e-5)


@ENGINES
@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 9))
@settings(max_examples=15)
def test_any_path_of_the_root_and_any_positive_scale_pass_through(engine, scale, seed):
    x, q = windows(count=2, seed=seed)
    path = np.tile(np.random.default_rng(seed + 100).normal(size=(2, WINDOW, 3)) * 5, JOINTS)
    # Roughness is in the unit of the positions.
    scaled = q * np.tile([1, 1, scale], JOINTS)
    np.testing.assert_allclose(engine(scale * x + path, scaled), scale * engine(x, q) + path, rtol=1e-9, atol=1e-9)


@ENGINES
def test_a_mirror_image_comes_out_as_the_mirror_image(engine):
    x, q = windows()
    sides = q.reshape(*q.shape[:2], -1, 3)[:, :, SWAP].reshape(q.shape)
    np.testing.assert_allclose(engine(mirror(x), sides), mirror(engine(x, q)), atol=1e-12)


@ENGINES
def test_a_body_of_no_size_stays(engine):
    x, q = windows()
    path = np.tile(x[:, :, :3], JOINTS)
    np.testing.assert_allclose(engine(path, q), path, atol=1e-12)


def test_a_new_network_changes_nothing():
    torch = pytest.importorskip("torch")
    from smoothnet_core.models.sizes import BodySizes
    from smoothnet_core.training.architectures import ARCHITECTURES

    network = ARCHITECTURES["body_aware"].build(BodySizes()).eval()
    assert sum(p.numel() for p in network.parameters()) == 1_131_565
    x, q = windows()
    out = network(torch.from_numpy(x).float(), torch.from_numpy(q).float())
    np.testing.assert_array_equal(out.detach().numpy(), x.astype(np.float32))


@pytest.mark.parametrize("name", JOINT_SETS)
def test_joint_sets(name):
    joints = JOINT_SETS[name]
    assert len(joints.joints) == len(set(joints.joints)) == int(name.split("_")[1])
    assert (joints.swap[joints.swap] == np.arange(len(joints.joints))).all()
    assert sorted(joints.swap[list(joints.root)]) == sorted(joints.root)
    moved = [n for n, other in zip(joints.joints, joints.swap, strict=True) if n != joints.joints[other]]
    assert moved == [n for n in joints.joints if n.startswith(("left_", "right_"))]


def test_the_joints_of_paired_files():
    expected = "nose left/right_shoulder elbow wrist hip knee ankle foot_index".replace("left/right_", "").split()
    assert NAMES[0] == expected[0]
    assert list(NAMES[1::2]) == [f"left_{part}" for part in expected[1:]]
    assert list(NAMES[2::2]) == [f"right_{part}" for part in expected[1:]]
    assert [NAMES[i] for i in ROOT] == ["left_hip", "right_hip"]


# Through refine.


@pytest.mark.parametrize("frames", [WINDOW, 7, 2])
def test_one_window_of_a_take_and_a_shorter_take_are_the_definition(frames):
    track = jittery(frames=frames)
    smooth = refine(track, model="default")
    quality = np.ones((1, frames, JOINTS, 3))
    quality[0, ..., 2] = gaussian_filter1d(np.linalg.norm(track - smooth, axis=2), 5.0, axis=0, mode="nearest")
    expected = oracle(smooth.reshape(1, frames, -1), quality.reshape(1, frames, -1)).reshape(track.shape)
    np.testing.assert_allclose(refine(track, model=model()), even_limbs(expected, NAMES), atol=1e-5)


@settings(max_examples=15)
@given(
    scale=st.sampled_from([1e-9, 0.01, 39.37, 1000.0]), offset=st.floats(-100, 100), frames=st.sampled_from([2, 9, 60])
)
def test_offset_and_positive_scale_of_a_take_change_nothing(scale, offset, frames):
    track = jittery(frames=frames)
    expected = scale * refine(track, model=model()) + scale * offset
    np.testing.assert_allclose(refine(scale * (track + offset), model=model()), expected, rtol=0, atol=scale * 1e-4)


def test_joints_are_found_by_name():
    order = np.random.default_rng(1).permutation(JOINTS)
    track = jittery()
    confidence = np.random.default_rng(2).uniform(0.1, 1, track.shape[:2])
    expected = refine(track, model=model(), confidence=confidence)
    names = [NAMES[i] for i in order]
    out = refine(track[:, order], model=model(), joints=names, confidence=confidence[:, order])
    np.testing.assert_allclose(out, expected[:, order], atol=1e-6)
    np.testing.assert_array_equal(refine(track, model=model(), joints=NAMES, confidence=confidence), expected)


def test_further_joints_follow_the_nearest():
    track = jittery()
    wrist, nose = NAMES.index("left_wrist"), NAMES.index("nose")
    extra = np.stack([track[:, wrist] + 0.01, track[:, nose] - 0.01, track[:, wrist] * 1.001], axis=1)
    whole = np.concatenate([extra[:, :1], track, extra[:, 1:]], axis=1)
    names = ["thumb", *NAMES, "ear", "left_wrist_2"]
    out = refine(whole, model=model(), joints=names)
    expected = refine(track, model=model())
    np.testing.assert_allclose(out[:, 1:16], expected, atol=1e-6)
    smooth = refine(whole, model="default")
    correction = expected - refine(track, model="default")
    assert np.abs(correction[:, wrist] - correction[:, nose]).max() > 0.02
    for place, followed in ((0, wrist), (16, nose), (17, wrist)):
        np.testing.assert_allclose(out[:, place] - smooth[:, place], correction[:, followed], atol=1e-6)


@pytest.mark.parametrize("fps", [24.0, 60.0])
def test_other_frame_rates(fps):
    seconds = 3
    at_model = refine(take(frames=30 * seconds + 1), model=model())
    frames = int(fps) * seconds + 1
    other = refine(take(frames=frames, fps=fps), fps=fps, model=model())
    assert other.shape == (frames, JOINTS, 3)
    # Compared every half second, away from the ends.
    a, b = at_model[15:-14:15], other[int(fps) // 2 : -int(fps) // 2 + 1 : int(fps) // 2]
    assert np.linalg.norm(a - take(frames=91)[15:-14:15], axis=-1).mean() > 0.05
    assert np.linalg.norm(a - b, axis=-1).mean() < 0.005


@pytest.mark.parametrize("frames", [0, 1, 2, 3, 7, 23, 25, 100])
def test_any_length(frames):
    track = jittery(frames=frames)
    out = refine(track, model=model())
    assert out.shape == track.shape
    assert np.isfinite(out).all()
    if frames < 2:
        np.testing.assert_array_equal(out, track)
    else:
        # A short take is not corrected more than a long one.
        assert np.abs(out - track).max() < 1.5 * np.abs(refine(jittery(), model=model()) - jittery()).max()


def test_gaps_are_filled_and_what_stands_in_them_does_not_matter():
    track, mask = jittery(), np.ones((60, JOINTS), bool)
    mask[10:15, 3] = mask[30:33] = False
    mask[:, 5] = False
    expected, report = refine_with_report(np.where(mask[..., None], track, np.nan), model=model())
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(refine(track + ~mask[..., None] * 7.0, mask=mask, model=model()), expected)
    np.testing.assert_array_equal(report.filled, ~mask)
    assert np.flatnonzero(report.never_observed).tolist() == [5]
    assert (report.model, report.backend, report.changed.shape) == ("test", "numpy", (60, JOINTS))
    # Whether a joint was observed tells something: the same numbers without a gap give another result.
    held = refine(np.where(mask[..., None], track, np.nan), strength=0.0, model=model())
    assert np.abs(refine(held, model=model()) - expected).max() > 1e-4


def test_strength_goes_straight_from_the_input_to_the_result():
    track = jittery()
    full = refine(track, model=model())
    np.testing.assert_allclose(refine(track, model=model(), strength=0.25), 0.75 * track + 0.25 * full, atol=1e-12)
    np.testing.assert_array_equal(refine(track, model=model(), strength=0.0), track)


def test_tensors_come_back_as_tensors():
    torch = pytest.importorskip("torch")
    track = jittery().astype(np.float32)
    out = refine(torch.from_numpy(track), model=model(), joints=NAMES)
    assert out.dtype == torch.float32
    np.testing.assert_allclose(out.numpy(), refine(track, model=model()), atol=1e-5)


@pytest.mark.parametrize(
    ("track", "arguments", "message"),
    [
        (
            np.ones((9, JOINTS, 2)),
            {},
            r"^track for the model test: expected positions in 3D, received positions in 2D$",
        ),
        (
            np.ones((9, JOINTS, 3)),
            {"kind": "axis_angle"},
            r"^track for the model test: expected positions in 3D, received axis_angle$",
        ),
        (
            np.ones((9, 33, 3)),
            {},
            r"^joints for the model test: expected 15 in its order \(nose, left_shoulder, .*, right_foot_index\), "
            r"or their names in joints, received 33 without names$",
        ),
        (
            np.ones((9, 15, 3)),
            {"joints": ["head", *NAMES[1:-1], "toe"]},
            r"^joints for the model test: expected also nose, right_foot_index, received 15 names without$",
        ),
        (
            np.ones((9, 16, 3)),
            {"joints": [*NAMES, "nose"]},
            r"^joints for the model test: expected each once, received nose more than once$",
        ),
        (np.ones((9, 15, 3)), {"joints": NAMES[1:]}, r"^joints: expected 15 names, received 14$"),
        (np.ones((9, 15, 3)), {"hop": 25}, r"^hop: expected a whole number of frames from 1 to the window, 24, "),
    ],
)
def test_refused_tracks(track, arguments, message):
    with pytest.raises(ValueError, match=message):
        refine(track, model=model(), **arguments)


def test_files_are_read_and_used(tmp_path):
    path = tmp_path / "body.safetensors"
    write_safetensors(path, Weights(tensors() | BEFORE, METADATA))
    assert read_safetensors(path).metadata == METADATA
    loaded = load_model(path)
    assert loaded.body is not None
    assert (loaded.body.joints, loaded.body.root) == (NAMES, ROOT)
    assert loaded.first is not None
    assert (loaded.first.name, loaded.first.architecture) == ("default", "vector_filter")
    np.testing.assert_array_equal(refine(jittery(), model=loaded.first), refine(jittery(), model="default"))
    assert load_model("default").body is None
    assert load_model("default").first is None
    np.testing.assert_array_equal(refine(jittery(), model=path), refine(jittery(), model=model()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": {"hidden": 12}}, r"metadata entry 'sizes': expected the whole numbers hidden, blocks, received "),
        ({"joints": ["a", "a"]}, r"'joints': expected a list of different names, received \['a', 'a'\]$"),
        ({"joints": None}, r"metadata entry 'joints': expected a list of different names, received None$"),
        ({"root": [15]}, r"metadata entry 'root': expected a list of indices below 15, received \[15\]$"),
        ({"root": []}, r"metadata entry 'root': expected a list of indices below 15, received \[\]$"),
        ({"swap": SWAP[:14]}, r"'swap': expected each joint's counterpart on the other side, by index, received "),
        ({"swap": [*SWAP[1:], 0]}, r"'swap': expected each joint's counterpart on the other side, by index, "),
        ({"swap": None}, r"'swap': expected each joint's counterpart on the other side, by index, received None$"),
        ({"first": None}, r"'first': expected the metadata of a vector_filter network, received None$"),
        ({"first": {"architecture": "smoothnet"}}, r"'first': expected the metadata of a vector_filter network, "),
        ({"fps": 25.0}, r"metadata entry 'first': expected fps 25.0, as the network's own, received fps 30"),
        (
            {"first": {**METADATA["first"], "window": 16}},
            r"network before the body-aware one: probe: expected shape \(128, 16\), received \(128, 32\)$",
        ),
        (
            {"joints": list(NAMES[:14]), "swap": list(range(14))},
            r"encoder.weight: expected shape \(12, 84, 3\), received \(12, 90, 3\)$",
        ),
        ({"sizes": {"hidden": 12, "blocks": 2}}, r"names of the weights: expected .*, received .*blocks\.2\.wide"),
    ],
)
def test_refused_weights(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        write_safetensors(tmp_path / "body.safetensors", Weights(tensors() | BEFORE, METADATA | change))
