"""The main call, with the shipped weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smoothnet_core import load_model, refine, refine_with_report, shipped_models
from tests.helpers import shared

FRAMES = 120


def motion(frames=FRAMES, fps=30.0, joints=3):
    """A smooth swing of a few joints in metres."""
    time = np.arange(frames)[:, None, None] / fps
    phase = np.arange(joints)[None, :, None] + np.array([0.0, 0.7, 1.9])
    return 0.4 * np.sin(2 * np.pi * 0.8 * time + phase) + 0.1 * np.sin(2 * np.pi * 2.1 * time + 2 * phase)


def noisy(seed=0, **arguments):
    track = motion(**arguments)
    return track + 0.02 * np.random.default_rng(seed).normal(size=track.shape)


def rotation_track(frames=FRAMES, noise=0.06):
    rng = np.random.default_rng(4)
    vectors = motion(frames, joints=4) * 2 + noise * rng.normal(size=(frames, 4, 3))
    return Rotation.from_rotvec(vectors.reshape(-1, 3))


def movement(track):
    return np.linalg.norm(track - track.mean(axis=0), axis=-1).max()


def test_it_is_nearer_to_the_truth_and_smoother():
    truth, before = motion(), noisy()
    output = refine(before)
    assert np.linalg.norm(output - truth, axis=-1).mean() < 0.7 * np.linalg.norm(before - truth, axis=-1).mean()
    acceleration = [np.linalg.norm(np.diff(x - truth, n=2, axis=0), axis=-1).mean() for x in (output, before)]
    assert acceleration[0] < 0.3 * acceleration[1]


@settings(max_examples=20)
@given(
    scale=st.sampled_from([0.01, 100.0, -1.0, -39.37, 1e-12, 1e9]), offset=st.floats(-100, 100), size=st.integers(2, 3)
)
def test_offset_scale_and_sign_change_nothing(scale, offset, size):
    track = noisy()[..., :size]
    expected = scale * refine(track) + scale * offset
    np.testing.assert_allclose(refine(scale * track + scale * offset), expected, atol=abs(scale) * 1e-5)


def test_channels_are_equivariant_too_and_each_by_itself():
    track = noisy().reshape(FRAMES, -1)
    out = refine(track, kind="channels")
    np.testing.assert_allclose(refine(-100 * track + 7, kind="channels"), -100 * out + 7, atol=1e-3)
    np.testing.assert_allclose(refine(track[:, 2], kind="channels"), out[:, 2], atol=1e-6)


def test_turning_the_scene_turns_the_result():
    track = noisy()
    for turn in Rotation.random(5, random_state=0).as_matrix():
        np.testing.assert_allclose(refine(track @ turn.T), refine(track) @ turn.T, atol=1e-5)


def test_turning_the_scene_or_a_bones_roll_changes_no_rotation_result():
    matrices = rotation_track().as_matrix().reshape(FRAMES, 4, 3, 3)
    out = refine(matrices, kind="rotation_matrix")
    scene, roll = Rotation.random(2, random_state=1).as_matrix()
    np.testing.assert_allclose(refine(scene @ matrices @ roll, kind="rotation_matrix"), scene @ out @ roll, atol=1e-5)


def test_every_rotation_kind_gives_the_same_rotations():
    turns = rotation_track()
    matrices = turns.as_matrix().reshape(FRAMES, 4, 3, 3)
    expected = refine(matrices, kind="rotation_matrix")
    quats = refine(turns.as_quat()[:, [3, 0, 1, 2]].reshape(FRAMES, 4, 4), kind="quat_wxyz")
    vectors = refine(turns.as_rotvec().reshape(FRAMES, 4, 3), kind="axis_angle")
    back = Rotation.from_quat(quats[..., [1, 2, 3, 0]].reshape(-1, 4)).as_matrix()
    np.testing.assert_allclose(back.reshape(expected.shape), expected, atol=1e-6)
    np.testing.assert_allclose(Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix(), back, atol=1e-6)
    assert (np.sum(quats[1:] * quats[:-1], axis=-1) > 0).all()
    six = {
        "columns": lambda m: np.concatenate([m[..., 0], m[..., 1]], axis=-1),
        "rows": lambda m: np.concatenate([m[..., 0, :], m[..., 1, :]], axis=-1),
        "interleaved": lambda m: m[..., :2].reshape((*m.shape[:-2], 6)),
    }
    for order, pick in six.items():
        out = refine(pick(matrices), kind="rotation_6d", order=order)
        np.testing.assert_allclose(out, pick(expected), atol=1e-6)


@pytest.mark.parametrize("frames", [0, 1, 2, 3, 5, 31, 32, 33, 40])
@pytest.mark.parametrize("fps", [None, 24.0, 60.0, 120.0])
def test_any_length(frames, fps):
    track = noisy(frames=frames)
    out = refine(track, fps=fps)
    assert out.shape == track.shape
    assert np.isfinite(out).all()
    if frames <= 1:
        np.testing.assert_array_equal(out, track)
    elif frames == 2:
        # Two frames are a straight line; nothing in them is known to be jitter.
        assert np.abs(out - track).max() < 0.02


def test_a_constant_and_strength_zero_are_left_alone():
    constant = np.full((50, 2, 3), 1.7)
    np.testing.assert_allclose(refine(constant), constant, atol=1e-12)
    np.testing.assert_array_equal(refine(noisy(), strength=0), noisy())
    half = refine(noisy(), strength=0.5)
    np.testing.assert_allclose(half, (noisy() + refine(noisy())) / 2, atol=1e-12)


def test_the_same_motion_at_another_rate_gives_the_same_result():
    slow = noisy()
    time = np.arange(FRAMES) / 30
    for fps in (60.0, 120.0):
        fine = np.arange(int((FRAMES - 1) * fps / 30) + 1) / fps
        from scipy.interpolate import CubicSpline

        out = refine(CubicSpline(time, slow)(fine), fps=fps)[:: int(fps / 30)]
        assert np.linalg.norm(out - refine(slow), axis=-1).mean() < 0.01 * movement(slow)


@pytest.mark.parametrize("fps", [30, 60, 120])
def test_clean_motion_stays_clean(fps):
    track = motion(frames=6 * fps, fps=fps)
    assert np.linalg.norm(refine(track, fps=fps) - track, axis=-1).mean() < 0.003


def test_gaps_spikes_and_confidence():
    truth, track = motion(), noisy()
    track[40:44, 1] = np.nan
    track[70, 0] += 1.5
    output, report = refine_with_report(track)
    assert np.isfinite(output).all()
    assert report.filled.sum() == 4
    assert report.filled[40:44, 1].all()
    assert np.linalg.norm(output[70, 0] - truth[70, 0]) < 0.3
    assert report.changed[70, 0] > 1.2
    mask = np.ones(FRAMES, bool)
    mask[70] = False
    masked = refine(track, mask=mask)
    assert np.linalg.norm(masked[70, 0] - truth[70, 0]) < 0.06
    trusted = refine(track, confidence=np.full((FRAMES, 3), 0.5))
    assert not np.array_equal(trusted, output)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_layout_and_read_only_input(dtype):
    track = np.asfortranarray(noisy().astype(dtype))[:, ::2]
    track.flags.writeable = False
    out = refine(track)
    assert out.dtype == dtype
    assert out.shape == track.shape
    np.testing.assert_allclose(out, refine(noisy()[:, ::2]), atol=0.01)


def test_torch_tensors_come_back_as_they_are():
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, torch.float64, torch.float16):
        track = torch.from_numpy(noisy()).to(dtype)
        out, report = refine_with_report(track)
        assert isinstance(out, torch.Tensor)
        assert (out.dtype, out.shape, out.device) == (dtype, track.shape, track.device)
        assert report.backend == "torch"
        expected = refine(track.numpy())
        np.testing.assert_allclose(out.numpy(), expected, atol=1e-5 if dtype != torch.float16 else 2e-3)
    np.testing.assert_allclose(refine(noisy(), backend="torch"), refine(noisy(), backend="numpy"), atol=1e-5)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("name", ["pw3d_w8", "pw3d_w32", "h36m_aist_w32"])
def test_published_checkpoints_give_the_published_result(name, backend):
    if backend == "torch":
        pytest.importorskip("torch")
    golden = np.load(shared("golden", f"{name}.npz"))
    model = load_model(shared("golden", f"{name}.pth.tar"))
    out = refine(golden["input"], model=model, hop=1, blend="uniform", kind="channels", backend=backend)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, golden["sequence_output"], atol=1e-5)
    # The published model's own settings are these.
    np.testing.assert_array_equal(refine(golden["input"], model=model, kind="channels", backend=backend), out)


def test_published_weights_see_pixels_in_their_own_range():
    golden = np.load(shared("golden", "pw3d_w32.npz"))
    model = load_model(shared("golden", "pw3d_w32.pth.tar"))
    unit = golden["input"][:, :4].astype(np.float64).reshape(-1, 2, 2)
    size = np.array([640.0, 480.0])
    pixels = (unit + 1) * size / 2
    out = refine(pixels, model=model, image_size=(640, 480))
    np.testing.assert_allclose((2 * out / size - 1).reshape(-1, 4), golden["sequence_output"][:, :4], atol=1e-5)


def test_shipped_models():
    assert "default" in shipped_models()
    model = load_model("default")
    assert (model.window, model.fps) == (32, 30.0)
    assert load_model(model) is model


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"model": "nothing"},
            r"^model: expected one of the shipped names .*default.* or a file of weights, received 'noth",
        ),
        ({"strength": 1.5}, r"^strength: expected a number from 0 to 1, received 1.5$"),
        ({"strength": float("nan")}, r"^strength: expected a number from 0 to 1, received nan$"),
        ({"fps": 0}, r"^fps: expected a positive number of frames a second, received 0$"),
        ({"fps": 1e12}, r"^fps: expected 0.1 to 1,000,000 frames a second, received 1000000000000.0$"),
        ({"fps": 0.01}, r"^fps: expected 0.1 to 1,000,000 frames a second, received 0.01$"),
        ({"hop": 33}, r"^hop: expected a whole number of frames from 1 to the window, 32, received 33$"),
        ({"blend": "hann"}, r"^blend: expected one of auto, uniform, taper, received 'hann'$"),
        ({"backend": "jax"}, r"^backend: expected one of auto, numpy, torch, triton, received 'jax'$"),
        ({"kind": "pose"}, r"^kind: expected one of position, .*, received 'pose'$"),
        ({"joints": ["a"]}, r"^joints: expected 3 names, received 1$"),
        ({"image_size": (640, 480)}, r"^image_size: expected \(width, height\) > 0 of 2D positions, received"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        refine(noisy(), **arguments)


def test_an_explicit_backend_that_is_missing_says_what_installs_it(monkeypatch):
    import sys

    load_model("default")._engines.clear()
    monkeypatch.setitem(sys.modules, "torch", None)
    from smoothnet_core import MissingExtraError

    with pytest.raises(
        MissingExtraError, match=r"^torch is not installed; add it with: pip install 'smoothnet\[torch\]'$"
    ):
        refine(noisy(), backend="torch")


def test_blocks_of_joints_change_nothing(monkeypatch):
    for fps in (None, 60.0):
        whole = refine(noisy(), fps=fps)
        monkeypatch.setattr("smoothnet_core._joint_tracks._BLOCK_NUMBERS", 400)
        np.testing.assert_allclose(refine(noisy(), fps=fps), whole, atol=1e-6)
        monkeypatch.undo()
