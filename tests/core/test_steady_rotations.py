"""What our networks leave on noisy rotations is smoothed; what they leave as it is stays."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from smoothnet_core import refine
from smoothnet_core._steady_rotations import steadied, steadied_row

FRAMES = 120


def turning(noise: float, fast: float = 0.1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (T, 2, 3, 3) with noise of so many radians, and without."""
    time = np.arange(FRAMES)
    vectors = np.stack([np.sin(fast * time), np.cos(1.3 * fast * time), 0.5 * np.sin(0.7 * fast * time)], axis=1)
    truth = Rotation.from_rotvec(np.repeat(vectors, 2, axis=0))
    off = Rotation.from_rotvec(np.random.default_rng(seed).normal(0, noise, (FRAMES * 2, 3)))
    return (truth * off).as_matrix().reshape(-1, 2, 3, 3), truth.as_matrix().reshape(-1, 2, 3, 3)


def degrees(one: np.ndarray, other: np.ndarray) -> float:
    difference = np.swapaxes(one, -1, -2) @ other
    return float(np.degrees(Rotation.from_matrix(difference.reshape(-1, 3, 3)).magnitude().mean()))


def test_what_was_left_alone_stays():
    track = np.random.default_rng(0).normal(size=(40, 3, 9)).cumsum(axis=0)
    np.testing.assert_array_equal(steadied(track, track), track)
    still = np.ones((40, 3, 9))
    np.testing.assert_array_equal(steadied(still, still), still)


def test_the_share_is_that_of_noise_and_speed():
    # Noise and speed of constant size: the share follows from their ratio alone, to the fourth power.
    frames, ratio = 60, 0.8
    line = np.zeros((frames, 1, 9))
    line[:, 0, 0] = np.arange(frames)
    bent = line.copy()
    bent[::2, 0, 1] += 1e-3
    given = bent.copy()
    given[..., 2] += ratio
    share = ratio**4 / (1 + ratio**4)
    result = steadied(given, bent)
    # Away from the ends the Gaussian of a zigzag is its middle.
    np.testing.assert_allclose(result[20:-20:2, 0, 1], 1e-3 - share * 0.5e-3, rtol=1e-3)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_takes(frames: int):
    given = np.random.default_rng(0).normal(size=(frames, 2, 9))
    assert np.isfinite(steadied(given, given + 1)).all()


def test_noisy_rotations_get_nearer_and_calmer_than_the_network_alone(monkeypatch: pytest.MonkeyPatch):
    noisy, truth = turning(0.5, fast=0.02)
    result = refine(noisy, kind="rotation_matrix", fps=30)
    monkeypatch.setattr("smoothnet_core._joint_tracks.steadied", lambda before, after: after)
    alone = refine(noisy, kind="rotation_matrix", fps=30)
    assert degrees(result, truth) < 0.9 * degrees(alone, truth)

    def bend(track):
        return np.abs(np.diff(track, n=2, axis=0)).mean()

    assert bend(result) < 0.7 * bend(alone)


def test_clean_fast_rotations_stay(monkeypatch: pytest.MonkeyPatch):
    _, clean = turning(0.0)
    result = refine(clean, kind="rotation_matrix", fps=30)
    monkeypatch.setattr("smoothnet_core._joint_tracks.steadied", lambda before, after: after)
    assert degrees(result, refine(clean, kind="rotation_matrix", fps=30)) < 0.05
    assert degrees(result, clean) < 1.0


def test_only_rotations_and_only_networks_of_ours_for_jitter(monkeypatch: pytest.MonkeyPatch):
    def refuse(before, after):
        raise AssertionError

    monkeypatch.setattr("smoothnet_core._joint_tracks.steadied", refuse)
    noisy, _ = turning(0.3)
    refine(noisy.reshape(FRAMES, 6, 3))
    refine(noisy.reshape(FRAMES, -1), kind="channels")
    refine(noisy, kind="rotation_matrix", model="deglitch")
    with pytest.raises(AssertionError):
        refine(noisy, kind="rotation_matrix")


def test_a_track_of_more_frames_a_second_is_steadied_alike():
    time = np.arange(0, 6, 1 / 120)
    after = np.stack([np.sin(time), np.cos(2 * time), 0.1 * time], axis=1)[:, None]
    before = after + 0.05 * np.sin(40 * time)[:, None, None]
    slow, fast = (steadied(before[::step], after[::step], frames=4 / step)[:: 4 // step] for step in (4, 1))
    assert np.abs(slow - after[::4]).max() > 0.01
    # Not at the ends, where half a frame counts.
    np.testing.assert_allclose(slow[20:-20], fast[20:-20], atol=5e-4)


def test_a_wider_gaussian_moves_more():
    after = np.random.default_rng(0).normal(size=(60, 2, 3))
    before = after + 10.0
    np.testing.assert_array_equal(steadied(before, after), steadied(before, after, 3.0))
    moved = [np.abs(steadied(before, after, sigma) - after).mean() for sigma in (0.5, 1.0, 2.0)]
    assert moved == sorted(moved)


def test_rotations_that_leap_are_refined_too():
    """One joint leaps by half a turn now and then, the others do not: each comes out as it does alone."""
    rng = np.random.default_rng(3)
    turns = gaussian_filter1d(rng.standard_normal((90, 3, 3)), 6, axis=0)
    matrices = Rotation.from_rotvec(turns.reshape(-1, 3)).as_matrix().reshape(90, 3, 3, 3)
    matrices[40, 1] = matrices[40, 1] @ np.diag([1.0, -1.0, -1.0])
    together = refine(matrices, fps=30.0, kind="rotation_matrix")
    alone = [refine(matrices[:, [n]], fps=30.0, kind="rotation_matrix") for n in range(3)]
    np.testing.assert_allclose(together, np.concatenate(alone, axis=1), atol=1e-6)
    # What leaps for a frame is not carried on: far from it nothing knows of it.
    calm = matrices.copy()
    calm[40, 1] = calm[39, 1]
    near = refine(calm, fps=30.0, kind="rotation_matrix")
    np.testing.assert_allclose(together[80:, 1], near[80:, 1], atol=0.02)


def test_the_sign_of_a_quaternion_says_nothing():
    """A turn through whole rounds passes every sign; the answer is the rotation's own."""
    angle = np.linspace(0, 6 * np.pi, 120) + 0.01 * np.random.default_rng(4).standard_normal(120)
    matrices = Rotation.from_rotvec(angle[:, None] * [0.6, 0.0, 0.8]).as_matrix()[:, None]
    quats = Rotation.from_matrix(matrices[:, 0]).as_quat()[:, None, [3, 0, 1, 2]]
    quats[::7] *= -1
    first = refine(matrices, fps=30.0, kind="rotation_matrix")
    second = Rotation.from_quat(refine(quats, fps=30.0, kind="quat_wxyz")[:, 0, [1, 2, 3, 0]]).as_matrix()
    np.testing.assert_allclose(first[:, 0], second, atol=1e-6)
    assert np.abs(first - matrices).max() < 0.2


@pytest.mark.parametrize("frames", [1, 2, 3, 30, 70])
@pytest.mark.parametrize("rate", [0.5, 1.0, 2.1])
def test_one_row_is_that_row_of_all(frames, rate):
    rng = np.random.default_rng(frames)
    before = np.cumsum(rng.normal(0, 0.05, (frames, 3, 4)), axis=0)
    before[:, 2] = 0
    after = before + rng.normal(0, 0.05, before.shape) * [[[0.1], [1.0], [0.0]]]
    expected = steadied(before, after, frames=rate)
    for row in range(frames):
        np.testing.assert_allclose(steadied_row(before, after, row, frames=rate), expected[row], atol=1e-12)
