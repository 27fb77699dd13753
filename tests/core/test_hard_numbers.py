"""Numbers that are hard to compute with, through the refiner with every shipped model, and all filters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smoothnet_core import load_model, refine, repair, shipped_models
from tests.core.test_any_input import CALLS, EVERY, of_kind, positions

ROTATIONS = ("axis_angle", "rotation_matrix", "quat_wxyz", "rotation_6d")
KINDS = ("position", "channels", *ROTATIONS)
MODELS = {name: (lambda track, name=name, **more: refine(track, model=name, **more)) for name in shipped_models()}
# What goes joint by joint, and takes any joints.
ALL = {**CALLS, **{f"model {name}": call for name, call in MODELS.items() if not name.startswith("body")}}
EACH = pytest.mark.parametrize("call", ALL.values(), ids=ALL)
_PUBLISHED = [call for name, call in ALL.items() if "published" in name]
HARD = (np.nan, np.inf, -np.inf, 1e30, -1e30, 1e300, 1e-30, 5e-324, -0.0, 1e-310, 1.7976931348623157e308)


def is_rotation(track, kind):
    """Tell whether all of a track are rotations: matrices orthogonal, quaternions of length 1 or as they came."""
    flat = track.astype(np.float64).reshape(-1, *track.shape[2:])
    if kind == "rotation_matrix":
        products = flat @ flat.swapaxes(-1, -2)
        return np.allclose(products, np.eye(3), atol=1e-4) and (np.linalg.det(flat) > 0).all()
    return np.isfinite(flat).all()


@EACH
@pytest.mark.parametrize("kind", KINDS)
def test_no_joints_and_no_frames_come_back(call, kind):
    whole = of_kind(kind, 9)
    for track in (whole[:0], whole[:, :0], whole[:0, :0]):
        result = call(track, kind=kind)
        assert result.shape == track.shape
        assert result.dtype == track.dtype


@EACH
@pytest.mark.parametrize("kind", ROTATIONS)
def test_half_turns_from_frame_to_frame(call, kind):
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(3, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    turns = np.where((np.arange(60) % 2)[:, None, None], np.pi * axes, 1e-9 * axes)
    turns[30:] = np.pi * rng.normal(size=(30, 3, 3))
    track = as_kind(turns, kind)
    for more in ({}, {"fps": 60}, {"fps": 24}, {"mask": np.arange(60) % 5 > 0}):
        result = call(track, kind=kind, **more)
        assert np.isfinite(result).all()
        assert is_rotation(result, kind)


def as_kind(turns, kind):
    made = Rotation.from_rotvec(turns.reshape(-1, 3))
    shape = turns.shape[:2]
    if kind == "axis_angle":
        return turns
    if kind == "quat_wxyz":
        return made.as_quat()[:, [3, 0, 1, 2]].reshape(*shape, 4)
    matrices = made.as_matrix().reshape(*shape, 3, 3)
    return matrices if kind == "rotation_matrix" else matrices[..., :2].swapaxes(-1, -2).reshape(*shape, 6)


@EACH
def test_the_signs_of_quaternions_change_nothing(call):
    track = of_kind("quat_wxyz", 60)
    signs = np.where(np.random.default_rng(1).random((60, 3, 1)) < 0.5, -1.0, 1.0)
    signs[:, 0] = np.where(np.arange(60) % 2, -1.0, 1.0)[:, None]
    one, other = call(track, kind="quat_wxyz"), call(signs * track, kind="quat_wxyz")
    # Of both signs of a rotation the result takes that of the first frame.
    cosines = np.abs((one * other).sum(axis=-1)) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)
    np.testing.assert_allclose(cosines, 1, atol=1e-9)


@EACH
@pytest.mark.parametrize("kind", ["quat_wxyz", "rotation_6d", "rotation_matrix"])
def test_rotations_of_zeros_are_not_observed(call, kind):
    track = of_kind(kind, 60)
    masked = track.copy()
    for rows in (slice(0, 2), slice(20, 25), slice(58, 60)):
        track[rows, 1], masked[rows, 1] = 0, np.nan
    track[:, 2], masked[:, 2] = 0, np.nan
    result = call(track, kind=kind)
    np.testing.assert_array_equal(np.isfinite(result), np.isfinite(call(masked, kind=kind)))
    assert np.isfinite(result[:, :2]).all()
    np.testing.assert_array_equal(result[:, :2], call(masked, kind=kind)[:, :2])


@EACH
def test_nothing_but_zeros_and_nothing_at_all(call):
    for kind in KINDS:
        zeros = np.zeros_like(of_kind(kind, 20))
        if kind in ("position", "channels", "axis_angle"):
            result = call(zeros, kind=kind)
            # The published network answers a constant with what it learned of constants.
            if call in _PUBLISHED:
                assert np.isfinite(result).all()
            else:
                np.testing.assert_array_equal(result, zeros)
        else:
            with pytest.raises(
                ValueError, match="at least one observed value, received none: all of it is NaN, masked o"
            ):
                call(zeros, kind=kind)
        with pytest.raises(
            ValueError, match="track: expected at least one observed value, received none: all of it is"
        ):
            call(np.full_like(zeros, np.nan), kind=kind)


@EACH
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_hard_numbers_anywhere(call, kind, dtype, data):
    frames = data.draw(st.integers(1, 40))
    track = of_kind(kind, frames).copy()
    flat = track.reshape(-1)
    for _ in range(data.draw(st.integers(1, 12))):
        flat[data.draw(st.integers(0, flat.size - 1))] = data.draw(st.sampled_from(HARD))
    with np.errstate(over="ignore", under="ignore"):
        track = track.astype(dtype)
    before = track.copy()
    fps = data.draw(st.sampled_from([None, 24, 30, 60, 120]))
    try:
        result = call(track, kind=kind, fps=fps)
    except ValueError:
        with pytest.raises(ValueError, match="at least one observed value"):
            call(track, kind=kind, fps=fps)
        return
    np.testing.assert_array_equal(track, before)
    assert result.shape == track.shape
    assert result.dtype == track.dtype
    # What is finite and within what is meant is answered by a number, and so is all of a joint that was ever seen.
    meant = np.isfinite(track) & (np.abs(track) < (1e100 if dtype == np.float64 else 1e38))
    entries = meant.reshape(frames, 3, -1).all(axis=-1)
    assert np.isfinite(result.reshape(frames, 3, -1)[entries]).all()
    assert not np.isinf(result[np.isfinite(result) | np.isfinite(track)]).any()


BODIES = {name: len(load_model(name).body.joints) for name in MODELS if name.startswith("body")}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_hard_numbers_anywhere_in_a_body(name, dtype, data):
    frames, joints = data.draw(st.integers(1, 70)), BODIES[name]
    rng = np.random.default_rng(frames)
    track = (rng.normal(size=(1, joints, 3)) + 0.1 * rng.normal(size=(frames, joints, 3)).cumsum(axis=0)).astype(dtype)
    flat = track.reshape(-1)
    for _ in range(data.draw(st.integers(1, 12))):
        with np.errstate(over="ignore", under="ignore"):
            flat[data.draw(st.integers(0, flat.size - 1))] = dtype(data.draw(st.sampled_from(HARD)))
    before = track.copy()
    result = refine(track, model=name, fps=data.draw(st.sampled_from([None, 24, 30, 60, 120])))
    np.testing.assert_array_equal(track, before)
    assert (result.shape, result.dtype) == (track.shape, track.dtype)
    assert np.isfinite(result).all()


@EACH
@pytest.mark.parametrize("value", [0.0, 1.7, -1e9, 1e30, 1e-310])
def test_constant_tracks_stay(call, value):
    if call in _PUBLISHED:
        pytest.skip("the published network changes constants")
    track = np.full((77, 2, 3), value)
    np.testing.assert_allclose(call(track), track, rtol=1e-6, atol=0)


def noisy(kind, frames=200):
    rng = np.random.default_rng(3)
    if kind in ROTATIONS:
        swing = 0.6 * np.sin(np.arange(frames)[:, None, None] / 11 + np.arange(9).reshape(3, 3))
        return as_kind(swing + 0.03 * rng.normal(size=swing.shape), kind)
    return positions(frames) + 0.03 * rng.normal(size=positions(frames).shape)


def change(before, after, kind):
    """Return the root mean square change, of rotations in radians."""
    if kind not in ROTATIONS:
        return float(np.sqrt(np.mean((after - before) ** 2)))
    turns = [Rotation.from_matrix(matrices(track, kind).reshape(-1, 3, 3)) for track in (before, after)]
    return float(np.sqrt(np.mean((turns[0].inv() * turns[1]).magnitude() ** 2)))


def matrices(track, kind):
    shape = track.shape[:2]
    if kind == "rotation_matrix":
        return track
    if kind == "axis_angle":
        return Rotation.from_rotvec(track.reshape(-1, 3)).as_matrix().reshape(*shape, 3, 3)
    if kind == "quat_wxyz":
        return Rotation.from_quat(track.reshape(-1, 4)[:, [1, 2, 3, 0]]).as_matrix().reshape(*shape, 3, 3)
    first, second = track[..., :3], track[..., 3:]
    return np.stack([first, second, np.cross(first, second)], axis=-1)


# Of what the first refinement changes, so much at most a second one changes again; docs/reliability.md states it.
TWICE = {"default": 0.05, "fast": 0.05, "deglitch": 0.05, "live": 0.35, "repair": 0.01}
TRAINED = {**MODELS, "repair": repair}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TWICE)
def test_refining_twice_changes_little(name, kind):
    track = noisy(kind)
    once = TRAINED[name](track, kind=kind)
    twice = TRAINED[name](once, kind=kind)
    assert change(once, twice, kind) < TWICE[name] * change(track, once, kind)


BACKENDS = [(name, kind) for name in shipped_models() if not name.startswith("body") for kind in KINDS]


@pytest.mark.parametrize(("name", "kind"), BACKENDS)
def test_numpy_and_torch_agree(name, kind):
    pytest.importorskip("torch")
    for frames in (1, 7, 40, 150):
        track = noisy(kind, frames)
        if load_model(name).architecture == "robust_fit":
            pytest.skip("one backend alone")
        one, other = (refine(track, model=name, kind=kind, backend=backend) for backend in ("numpy", "torch"))
        np.testing.assert_allclose(one, other, atol=1e-5)


@EVERY
def test_the_same_input_gives_the_same_bits(call):
    for kind in KINDS:
        track = noisy(kind, 60)
        np.testing.assert_array_equal(call(track, kind=kind), call(track.copy(), kind=kind))
