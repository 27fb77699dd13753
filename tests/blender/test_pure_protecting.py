"""Refined rotations by the kind of their noise: fast motion given back, slow motion steadied, all else as it was."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

import smoothnet_core
from blender_addon.animation.noise_kinds import noise_kind
from blender_addon.animation.protecting import protect_fast, steady_slow

BONES = 12


def _rotations(vectors: Any) -> Any:
    turns = Rotation.from_rotvec(np.reshape(vectors, (-1, 3))).as_quat()
    return turns[:, [3, 0, 1, 2]].reshape(*np.shape(vectors)[:-1], 4)


def _turned(first: Any, second: Any) -> Any:
    """``first * second``, each (..., 4) or one rotation for all."""
    shape = np.broadcast_shapes(first.shape, second.shape)
    a, b = (Rotation.from_quat(np.broadcast_to(q, shape).reshape(-1, 4)[:, [1, 2, 3, 0]]) for q in (first, second))
    return (a * b).as_quat()[:, [3, 0, 1, 2]].reshape(shape)


def _degrees(first: Any, second: Any) -> Any:
    a, b = (Rotation.from_quat(q.reshape(-1, 4)[:, [1, 2, 3, 0]]) for q in (first, second))
    return np.degrees((a.inv() * b).magnitude()).reshape(first.shape[:-1])


def _motion(seconds: float = 12.0, fps: float = 30.0, hertz: float = 5.0, degrees: float = 20.0) -> Any:
    """Bones that turn slowly, and fast from the third second to the fifth."""
    times = np.arange(round(seconds * fps)) / fps
    axes = np.random.default_rng(5).normal(size=(BONES, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    fast = np.exp(-((times - 4.0) ** 4)) * np.sin(2 * np.pi * hertz * times)
    angles = np.radians(20.0) * np.sin(2 * np.pi * 0.2 * times) + np.radians(degrees) * fast
    return _rotations(angles[:, None, None] * axes), abs(times - 4.0) < 0.9


def _white(shape: tuple[int, ...], degrees: float, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(scale=np.radians(degrees) / np.sqrt(3), size=(*shape, 3))


def _bursts(shape: tuple[int, ...], degrees: float, seed: int = 0) -> Any:
    """Errors of some frames' length whose size changes, as those of estimators."""
    rng = np.random.default_rng(seed)
    size = np.exp(1.2 * gaussian_filter1d(rng.normal(size=shape), 2.0, axis=0) * 2.66)
    return gaussian_filter1d(_white(shape, degrees, seed + 1), 0.5, axis=0) * size[..., None]


def _network(noisy: Any, fps: float = 30.0, model: str = "default") -> Any:
    return np.asarray(smoothnet_core.refine(noisy, fps=fps, kind="quat_wxyz", model=model))


def _kind(noisy: Any, fps: float = 30.0) -> Any:
    found = noise_kind(noisy, fps)
    assert found is not None
    return found


def _all(noisy: Any) -> Any:
    return np.ones(noisy.shape[:2], bool)


@pytest.mark.parametrize("fps", [24.0, 30.0, 60.0, 120.0])
@pytest.mark.parametrize("degrees", [1.5, 4.0])
def test_white_noise_is_even_and_of_its_size(fps: float, degrees: float) -> None:
    """However fast the motion is for a while, and at every rate."""
    truth, fast = _motion(fps=fps)
    kind = _kind(_turned(truth, _rotations(_white(truth.shape[:2], degrees))), fps)
    assert (kind.even > 0.9).all()
    assert (kind.uneven < 0.1).all()
    assert np.median(kind.size[:, ~fast]) == pytest.approx(degrees, rel=0.15)


def test_bursts_are_uneven_and_clean_motion_is_not_held_for_errors() -> None:
    """Quiet bones are even beside others that are not."""
    truth, _ = _motion()
    errors = _bursts(truth.shape[:2], 3.0)
    errors[:, :3] = 0.0
    kind = _kind(_turned(truth, _rotations(errors)))
    assert (kind.even[3:] == 0).all()
    assert (kind.uneven[3:] > 0.9).all()
    assert (kind.even[:3] > 0.9).all()
    clean = _kind(truth)
    assert (clean.even == 1).all()
    assert (clean.uneven == 0).all()


@pytest.mark.parametrize("model", ["default", "fast"])
@pytest.mark.parametrize("fps", [30.0, 60.0])
def test_fast_motion_comes_nearer_to_the_truth_and_jitter_stays_away(fps: float, model: str) -> None:
    """Fast motion by a third at least; what is calm changes by less than a fifth of the noise."""
    truth, fast = _motion(fps=fps)
    noisy = _turned(truth, _rotations(_white(truth.shape[:2], 1.5)))
    refined = _network(noisy, fps, model)
    result = protect_fast(_kind(noisy, fps), refined, _all(noisy), fps)
    before, after = (_degrees(x, truth) for x in (refined, result))
    assert after[fast].mean() < 0.67 * before[fast].mean()
    calm = gaussian_filter1d(fast.astype(float), 0.3 * fps) < 1e-3
    assert _degrees(result, refined)[calm].mean() < 0.3
    assert after[calm].mean() < 1.1 * before[calm].mean()


def test_clean_motion_changes_by_half_of_what_it_did() -> None:
    """The truth itself refined."""
    truth, _ = _motion()
    refined = _network(truth)
    result = protect_fast(_kind(truth), refined, _all(truth), 30.0)
    assert _degrees(refined, truth).max() > 5.0
    assert _degrees(result, truth).mean() < 0.5 * _degrees(refined, truth).mean()


def test_nothing_pops() -> None:
    """What is given back comes and goes over frames with what was taken away, and is nothing before and after."""
    still = np.broadcast_to([1.0, 0.0, 0.0, 0.0], (240, BONES, 4))
    bump = np.radians(10.0) * np.exp(-(((np.arange(240) - 120) / 6.0) ** 2))
    noisy = _turned(_rotations(bump[:, None, None] * [0.6, 0.8, 0.0]), _rotations(_white((240, BONES), 0.7)))
    given = _degrees(protect_fast(_kind(noisy), still.copy(), _all(noisy), 30.0), still)
    assert abs(given[118:123] - 10.0).max() < 2.0
    assert abs(np.diff(given, axis=0)).max() < 3.0
    assert np.median(given[:100]) == 0


@given(st.integers(0, 2**31), st.booleans())
@settings(max_examples=10, deadline=None)
def test_turning_the_scene_or_the_roll_turns_the_result(seed: int, uneven: bool) -> None:
    """And signs of quaternions mean nothing."""
    rng = np.random.default_rng(seed)
    truth, _ = _motion()
    noisy = _turned(truth, _rotations((_bursts if uneven else _white)(truth.shape[:2], 2.5, seed)))
    refined = gaussian_filter1d(truth, 2.0, axis=0)
    refined /= np.linalg.norm(refined, axis=-1, keepdims=True)
    scene, roll = (_rotations(rng.normal(size=3)) for _ in range(2))
    signs = rng.choice([-1.0, 1.0], size=(*truth.shape[:2], 1))

    def both(original: Any, answer: Any) -> Any:
        kind = _kind(original)
        return steady_slow(kind, protect_fast(kind, answer, _all(original), 30.0), 30.0)

    there = both(signs * _turned(_turned(scene, noisy), roll), -signs * _turned(_turned(scene, refined), roll))
    here = both(noisy, refined)
    assert _degrees(here, refined).max() > 0.1
    assert _degrees(there, _turned(_turned(scene, here), roll)).max() < 1e-3
    np.testing.assert_allclose(np.linalg.norm(here, axis=-1), 1.0, atol=1e-6)


def test_what_is_not_believed_is_not_given_back() -> None:
    """A value far off, said to be wrong, changes nothing; believed it would."""
    truth, _ = _motion()
    noisy = _turned(truth, _rotations(_white(truth.shape[:2], 1.0)))
    wrong = noisy.copy()
    wrong[60, 4] = _turned(noisy[60, 4], _rotations(np.radians([25.0, 0.0, 0.0])))
    mask = _all(noisy)
    mask[60, 4] = False
    unseen, believed = (protect_fast(_kind(wrong), truth, m, 30.0) for m in (mask, _all(noisy)))
    assert _degrees(unseen, truth)[60, 4] < 1.0
    assert _degrees(believed, truth)[60, 4] > 10.0


def test_uneven_errors_are_not_given_back_and_slow_motion_is_nearer() -> None:
    """Fast motion stays bit for bit if it is fast all the time."""
    truth, fast = _motion(hertz=1.5, degrees=100.0)
    noisy = _turned(truth, _rotations(_bursts(truth.shape[:2], 4.0)))
    refined = _network(noisy)
    kind = _kind(noisy)
    assert protect_fast(kind, refined, _all(noisy), 30.0) is refined
    result = steady_slow(kind, refined, 30.0)
    calm = gaussian_filter1d(fast.astype(float), 10.0) < 1e-3
    assert _degrees(result, truth)[calm].mean() < 0.98 * _degrees(refined, truth)[calm].mean()
    fastest = np.zeros(len(truth), bool)
    fastest[105:135] = True
    assert _degrees(result, refined)[fastest].max() < 0.05


def test_between_even_and_uneven_each_counts_by_its_share() -> None:
    """Half of what would be given back, or smoothed; of bones of which nothing is, only what float32 rounds off."""
    truth, _ = _motion()
    noisy = _turned(truth, _rotations(_white(truth.shape[:2], 1.5)))
    refined = _turned(truth, _rotations(gaussian_filter1d(_white(truth.shape[:2], 4.0), 1.0, axis=0)))
    refined = gaussian_filter1d(refined, 1.0, axis=0)
    refined /= np.linalg.norm(refined, axis=-1, keepdims=True)
    share = np.repeat([0.0, 0.5, 1.0], BONES // 3)
    whole, part = (dataclasses.replace(_kind(noisy), even=s, uneven=s) for s in (np.ones(BONES), share))
    for how in (
        lambda kind: protect_fast(kind, refined, _all(noisy), 30.0),
        lambda kind: steady_slow(kind, refined, 30.0),
    ):
        full, less = (_degrees(how(kind), refined) for kind in (whole, part))
        assert full.max() > 1.0
        np.testing.assert_allclose(less, share * full, atol=0.02 * full.max())
        assert (how(part)[:, share == 0] == refined[:, share == 0].astype(np.float32)).all()


def test_even_noise_is_not_steadied() -> None:
    """The very same array comes back."""
    truth, _ = _motion(degrees=5.0)
    noisy = _turned(truth, _rotations(_white(truth.shape[:2], 2.0)))
    refined = _network(noisy)
    assert steady_slow(_kind(noisy), refined, 30.0) is refined


@pytest.mark.parametrize("frames", [1, 5, 29])
def test_less_than_a_second_tells_nothing(frames: int) -> None:
    assert noise_kind(_motion()[0][:frames], 30.0) is None


def test_bones_that_never_turn_stay() -> None:
    """Of them nothing is divided by nothing."""
    still = np.broadcast_to([1.0, 0.0, 0.0, 0.0], (90, 3, 4)).copy()
    kind = _kind(still)
    assert np.isfinite(kind.size).all()
    assert (steady_slow(kind, protect_fast(kind, still, _all(still), 30.0), 30.0) == still).all()


def test_it_costs_little() -> None:
    """A minute of 52 bones, the fastest of some runs, on a machine that does other things besides."""
    noisy = _turned(np.array([1.0, 0.0, 0.0, 0.0]), _rotations(_white((1800, 52), 1.0)))
    mask, took = _all(noisy), []
    for _ in range(7):
        start = time.perf_counter()
        protect_fast(_kind(noisy), noisy, mask, 30.0)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.06
