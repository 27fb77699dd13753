"""Glitches among exact values: found, and replaced by what all joints together say."""

import re

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smoothnet_core import _repair, refine, repair
from smoothnet_core._joint_motion import JointMotion, exactly, known, motion_of, told_by_others

FRAMES = 160


def moving(frames=FRAMES, joints=6, size=3, seed=0):
    """Joints that follow four smooth signals, each in its own way."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / 30
    signals = sum(
        np.sin(2 * np.pi * rate * time + rng.uniform(0, 6, 4)) * rng.normal(size=4) / rate for rate in (0.3, 0.7, 1.3)
    )
    return (signals @ rng.normal(size=(4, joints * size))).reshape(frames, joints, size)


def hit(track, share=0.1, far=0.5, seed=1):
    """The track with some of its vectors off, and which."""
    rng = np.random.default_rng(seed)
    off = rng.random(track.shape[:2]) < share
    return track + off[..., None] * rng.normal(0, far, track.shape), off


def error(result, truth):
    return np.linalg.norm(result - truth, axis=-1).mean()


def test_what_is_known_is_the_dense_gaussian():
    rng = np.random.default_rng(0)
    frames, size = 10, 3
    mixing = rng.normal(size=(2, size, size))
    precision, places = mixing @ mixing.swapaxes(1, 2) + np.eye(size)
    motion = JointMotion(precision, rng.uniform(0.5, 2.0, frames - 2), places)
    told, information = rng.uniform(0.1, 2.0, (frames, size)), rng.normal(size=(frames, size))
    difference = np.kron(np.diff(np.eye(frames), n=2, axis=0), np.eye(size))
    weights = np.kron(np.diag(1 / motion.size), motion.precision)
    # A pose counts once for ten frames.
    poses = np.kron(np.eye(frames), places / 10)
    covariance = np.linalg.inv(difference.T @ weights @ difference + poses + np.diag(told.ravel()))
    mean = covariance @ information.ravel()

    posterior = known(motion, told, information)
    np.testing.assert_allclose(posterior.mean.ravel(), mean, rtol=1e-9)
    np.testing.assert_allclose(posterior.variance.ravel(), np.diag(covariance), rtol=1e-9)
    acceleration = difference @ mean
    whole = difference @ covariance @ difference.T + np.outer(acceleration, acceleration)
    for t, found in enumerate(posterior.accelerations):
        block = slice(t * size, (t + 1) * size)
        np.testing.assert_allclose(found, whole[block, block], rtol=1e-9, atol=1e-12)
    second = (covariance + np.outer(mean, mean)).reshape(frames, size, frames, size)
    np.testing.assert_allclose(posterior.poses, np.einsum("tatb->ab", second) / frames, rtol=1e-9)


def test_what_the_others_tell_is_least_squares():
    track = moving()
    told, usual = told_by_others(track, np.ones(track.shape[:2], bool))
    for joint in range(track.shape[1]):
        others = np.delete(track, joint, axis=1).reshape(FRAMES, -1)
        own = track[:, joint] - track[:, joint].mean(axis=0)
        others = others - others.mean(axis=0)
        # A ridge of a thousandth of the mean variance.
        ridge = np.eye(others.shape[1]) * 1e-3 * track.var(axis=0).mean() * FRAMES
        expected = others @ np.linalg.solve(others.T @ others + ridge, others.T @ own)
        near = np.linalg.norm(told[:, joint] - track[:, joint].mean(axis=0) - expected, axis=1)
        assert np.median(near) < 1e-2
    np.testing.assert_allclose(usual, np.median(np.linalg.norm(track - told, axis=-1), axis=0))
    alone, nothing = told_by_others(track[:, :1], np.ones((FRAMES, 1), bool))
    np.testing.assert_array_equal(alone, track[:, :1])
    assert not nothing.any()


def test_the_others_contradict_what_is_off_or_not_seen_for_long():
    track = moving()
    far = track.copy()
    far[70:80, 3] += [2.0, -2.5, 1.5]
    told, usual = told_by_others(far, np.ones(far.shape[:2], bool))
    assert (np.linalg.norm(far - told, axis=-1)[70:80, 3] > 4 * usual[3]).all()
    assert error(told[70:80, 3], track[70:80, 3]) < 0.5
    seen = np.ones(far.shape[:2], bool)
    seen[70:110, 3] = False
    far[70:110, 3] = 50.0
    told, _ = told_by_others(far, seen)
    assert error(told[70:110, 3], track[70:110, 3]) < 0.5


def test_the_model_learns_which_numbers_move_together_and_when_movement_is_fast():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 500, 1)) * np.where(np.arange(500) < 250, 1.0, 5.0)[:, None]
    track = np.cumsum(np.cumsum(np.hstack([one, one, other]), axis=0), axis=0)
    motion = motion_of(exactly(track))
    covariance = np.linalg.inv(motion.precision)
    likeness = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert likeness[0, 1] > 0.9
    assert abs(likeness[0, 2]) < 0.2
    assert motion.size[300:].mean() > 10 * motion.size[:200].mean()


@pytest.mark.parametrize(("size", "share"), [(2, 0.1), (3, 0.1), (3, 0.4)])
def test_hits_vanish_and_the_rest_stays_to_the_last_digit(size: int, share: float):
    truth = moving(size=size)
    track, off = hit(truth, share)
    result = repair(track)
    assert error(result, truth) < 0.03 * error(track, truth)
    assert error(result, truth) < 0.2 * error(refine(track, model="deglitch"), truth)
    assert (result == track).all(axis=-1)[~off].mean() > 0.95


@pytest.mark.parametrize(("frames", "far"), [(3, 1.0), (8, 1.0), (12, 1.0), (25, 2.0)])
def test_a_joint_that_is_off_for_many_frames_is_told_by_the_others(frames: int, far: float):
    truth = moving(300, 10)
    track = truth.copy()
    track[70 : 70 + frames, 3] += far * np.array([2.0, -2.5, 1.5])
    result = repair(track)
    off = np.zeros(truth.shape[:2], bool)
    off[70 : 70 + frames, 3] = True
    assert error(result[off], truth[off]) < 0.05 * error(track[off], truth[off])
    assert (result == track).all(axis=-1)[~off].mean() > 0.95


def test_hit_numbers_vanish_one_by_one():
    truth = moving()
    rng = np.random.default_rng(1)
    track = truth + (rng.random(truth.shape) < 0.3) * rng.normal(0, 0.5, truth.shape)
    result = repair(track, hits="number")
    assert error(result, truth) < 0.03 * error(track, truth)
    channels = repair(track.reshape(FRAMES, -1), kind="channels")
    np.testing.assert_array_equal(channels.reshape(track.shape), result)
    assert error(result, truth) < 0.3 * error(repair(track), truth)


def test_motion_without_hits_stays():
    truth = moving()
    assert (repair(truth) == truth).mean() > 0.98
    assert error(repair(truth), truth) < 1e-3 * truth.std()
    still = np.broadcast_to(truth[:1], truth.shape).copy()
    np.testing.assert_array_equal(repair(still), still)


def test_offset_scale_and_turns_of_the_scene_go_through():
    track, _ = hit(moving())
    result = repair(track)
    np.testing.assert_allclose(repair(-300 * track + 7), -300 * result + 7, rtol=0, atol=1e-4)
    turn = Rotation.from_rotvec([0.3, -1.0, 0.7]).as_matrix()
    np.testing.assert_allclose(repair(track @ turn.T), result @ turn.T, atol=1e-6)


def turns(frames=FRAMES, joints=4):
    return Rotation.from_rotvec(0.2 * moving(frames, joints).reshape(-1, 3))


def test_rotations_are_repaired_and_turn_with_scene_and_roll():
    truth = turns()
    off = np.random.default_rng(1).random((FRAMES, 4)) < 0.1
    wrong = Rotation.random(FRAMES * 4, random_state=2)
    quats = np.where(off.reshape(-1, 1), (truth * wrong).as_quat(), truth.as_quat())
    given = Rotation.from_quat(quats)

    def angles(result, reference):
        return (Rotation.from_quat(result.reshape(-1, 4)[:, [1, 2, 3, 0]]) * reference.inv()).magnitude()

    def wxyz(rotation):
        return rotation.as_quat()[:, [3, 0, 1, 2]].reshape(FRAMES, 4, 4)

    result = repair(wxyz(given), kind="quat_wxyz")
    before = (given * truth.inv()).magnitude().mean()
    assert angles(result, truth).mean() < 0.05 * before
    by_network = refine(wxyz(given), kind="quat_wxyz", model="deglitch")
    assert angles(result, truth).mean() < angles(by_network, truth).mean()
    kept = np.abs((result * wxyz(given)).sum(axis=-1)) > 1 - 1e-14
    assert kept[~off].mean() > 0.95

    scene, roll = Rotation.from_rotvec([0.2, 0.9, -0.4]), Rotation.from_rotvec([1.0, 0.1, 0.5])
    turned = repair(wxyz(scene * given * roll), kind="quat_wxyz")
    assert angles(turned, scene * Rotation.from_quat(result.reshape(-1, 4)[:, [1, 2, 3, 0]]) * roll).max() < 1e-5


def test_a_gap_is_filled_from_what_the_other_joints_do():
    truth = moving()
    track = truth.copy()
    track[60:100, 2] = np.nan
    filled = repair(track)
    time = np.arange(FRAMES)
    seen = ~np.isnan(track[:, 2, 0])
    straight = np.stack([np.interp(time, time[seen], truth[seen, 2, d]) for d in range(3)], axis=1)
    assert error(filled[60:100, 2], truth[60:100, 2]) < 0.08 * error(straight[60:100], truth[60:100, 2])
    np.testing.assert_array_equal(repair(truth, mask=~np.isnan(track).any(axis=-1)), filled)


def test_confidence_tells_where_to_look():
    truth = moving()
    track, off = hit(truth, 0.15, 0.03)
    told = repair(track, confidence=np.where(off, 0.05, 1.0))
    assert error(told, truth) < error(repair(track), truth)


def test_strength_lies_between():
    track, _ = hit(moving())
    whole = repair(track)
    np.testing.assert_array_equal(repair(track, strength=0.0), track)
    np.testing.assert_allclose(repair(track, strength=0.25), track + 0.25 * (whole - track), atol=1e-12)


def test_long_takes_go_piece_by_piece_without_a_seam(monkeypatch: pytest.MonkeyPatch):
    truth = moving(300)
    track, _ = hit(truth)
    monkeypatch.setattr(_repair, "_PIECE", 128)
    monkeypatch.setattr(_repair, "_SHARED", 32)
    result = repair(track)
    assert error(result, truth) < 0.03 * error(track, truth)
    bend = np.linalg.norm(np.diff(result - truth, n=2, axis=0), axis=-1).max(axis=1)
    assert bend.max() < 0.1 * np.linalg.norm(np.diff(track - truth, n=2, axis=0), axis=-1).max()


def test_many_joints_go_in_groups_that_move_together(monkeypatch: pytest.MonkeyPatch):
    # Two bodies whose joints take turns in the file: each is seen as one.
    truth = np.stack([moving(seed=1), moving(seed=2)], axis=2).reshape(FRAMES, 12, 3)
    track, _ = hit(truth)
    monkeypatch.setattr(_repair, "_TOGETHER", 18)
    groups = []
    whole = _repair.without_hits
    monkeypatch.setattr(_repair, "without_hits", lambda v, f, s: groups.append(v[0, :, 0]) or whole(v, f, s))
    result = repair(track)
    assert [len(group) for group in groups] == [6, 6]
    bodies = [set(track[0, side::2, 0]) for side in (0, 1)]
    assert sorted(map(sorted, map(set, groups))) == sorted(map(sorted, bodies))
    assert error(result, truth) < 0.03 * error(track, truth)


@pytest.mark.parametrize("frames", range(1, 12))
def test_any_length(frames: int):
    track, _ = hit(moving(frames))
    result = repair(track)
    assert result.shape == track.shape
    assert np.isfinite(result).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hits": "both"}, "hits: expected one of joint, number, received 'both'"),
        ({"hits": "number", "kind": "axis_angle"}, "hits: expected one of joint, received 'number'"),
        ({"strength": 2}, "strength: expected a number from 0 to 1, received 2"),
        ({"fps": 0}, "fps: expected a positive number of frames a second, received 0"),
        ({"kind": "quat"}, "kind: expected one of position"),
    ],
)
def test_bad_arguments(given: dict, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        repair(moving(20), **given)
