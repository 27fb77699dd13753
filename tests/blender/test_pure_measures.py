"""Measures of one take: jitter, spikes, held values, gaps, and what a refinement changed."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, sosfiltfilt
from scipy.spatial.transform import Rotation

from blender_addon import measures
from blender_addon.curves import Curve, CurveKey
from blender_addon.grids import Grid
from blender_addon.plan import Channel
from blender_addon.readings import GAP, HELD, SPIKE, Event, marks_of, readings_of
from blender_addon.refining import Sampled
from smpl_tools.formats import read

TAKE = Path(__file__).parents[2] / "assets" / "takes" / "reactidle_000.bvh"


def _swing(frames: int = 300, fps: float = 30.0, hz: float = 1.0, degrees: float = 40.0, bones: int = 3) -> np.ndarray:
    """Rotations (T, B, 4) of bones that swing about axes of their own."""
    rng = np.random.default_rng(3)
    axes = rng.normal(size=(bones, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = np.radians(degrees) * np.sin(2 * np.pi * hz * np.arange(frames) / fps + 1.3)
    half = angles[:, None, None] / 2
    return np.concatenate([np.cos(half) + np.zeros((1, bones, 1)), np.sin(half) * axes], axis=2)


def _turned(quats: np.ndarray, rotvecs: np.ndarray) -> np.ndarray:
    first = Rotation.from_quat(quats[..., [1, 2, 3, 0]].reshape(-1, 4))
    second = Rotation.from_rotvec((rotvecs + np.zeros((*quats.shape[:-1], 3))).reshape(-1, 3))
    return (first * second).as_quat()[:, [3, 0, 1, 2]].reshape(quats.shape)


def test_differences_of_vectors_are_degrees_whatever_the_signs() -> None:
    """SciPy says the angles; a chord is at most 1 % short of them."""
    quats = _swing(60, hz=1.0, degrees=80.0)
    rng = np.random.default_rng(0)
    flipped = quats * rng.choice([-1.0, 1.0], size=quats.shape[:2])[..., None] * 3.0
    steps = np.linalg.norm(np.diff(measures.as_vectors(flipped), axis=0), axis=-1)
    a, b = (Rotation.from_quat(q[..., [1, 2, 3, 0]].reshape(-1, 4)) for q in (quats[:-1], quats[1:]))
    np.testing.assert_allclose(steps.ravel(), np.degrees((a.inv() * b).magnitude()), rtol=0.01)


@pytest.mark.parametrize("fps", [24.0, 30.0, 60.0, 120.0])
@pytest.mark.parametrize("noise", [0.3, 2.0])
def test_jitter_is_the_size_of_the_noise_at_every_rate(fps: float, noise: float) -> None:
    """Root mean square of the angle, in degrees."""
    rng = np.random.default_rng(1)
    quats = _swing(round(20 * fps), fps)
    vectors = rng.normal(scale=np.radians(noise) / math.sqrt(3), size=(*quats.shape[:2], 3))
    found = measures.jitter(measures.as_vectors(_turned(quats, vectors)), fps)
    np.testing.assert_allclose(found, noise, rtol=0.12)


def test_fast_clean_motion_hardly_jitters() -> None:
    """Two full swings of 80 degrees a second."""
    assert (measures.jitter(measures.as_vectors(_swing(hz=2.0)), 30.0) < 0.25).all()


def test_jitter_of_a_third_of_the_time_counts_and_a_spike_does_not() -> None:
    """It is the median of each second, averaged."""
    quats = _swing(300, bones=1)
    rng = np.random.default_rng(2)
    noisy = quats.copy()
    noisy[:100] = _turned(quats[:100], rng.normal(scale=np.radians(2.0) / math.sqrt(3), size=(100, 1, 3)))
    assert 0.4 < measures.jitter(measures.as_vectors(noisy), 30.0)[0] < 0.9
    spiked = quats.copy()
    spiked[150] = _turned(quats[150:151], np.array([1.0, 0, 0]))
    clean = measures.jitter(measures.as_vectors(quats), 30.0)[0]
    assert measures.jitter(measures.as_vectors(spiked), 30.0)[0] < clean + 0.05


@pytest.mark.parametrize("frames", [0, 1, 2, 7])
def test_short_takes_say_nothing(frames: int) -> None:
    """No measure fails on them."""
    quats = _swing(frames)
    vectors = measures.as_vectors(quats) if frames else np.zeros((0, 3, 4))
    assert not measures.jitter(vectors, 30.0).any()
    assert not measures.spikes(vectors, 30.0).any()
    assert measures.spikes(vectors, 30.0).shape == (frames, 3)
    assert not measures.held(vectors, 30.0, rotations=True).any()
    assert math.isnan(measures.speed_kept(vectors, vectors, 30.0))


@settings(max_examples=60, deadline=None)
@given(
    frame=st.integers(2, 290),
    length=st.integers(1, 3),
    degrees=st.floats(25.0, 179.0),
    fps=st.sampled_from([24.0, 30.0, 60.0, 120.0]),
    seed=st.integers(0, 99),
)
def test_a_spike_is_found_and_nothing_else(frame: int, length: int, degrees: float, fps: float, seed: int) -> None:
    """One to three frames at 30 a second, as many more at higher rates, turned far off."""
    per = max(1, round(fps / 30))
    quats = _swing(300 * per, fps, hz=0.7, degrees=20.0)
    rows = slice(frame * per, (frame + length) * per)
    axis = np.random.default_rng(seed).normal(size=3)
    quats[rows, 1] = _turned(quats[rows, 1], np.radians(degrees) * axis / np.linalg.norm(axis))
    wanted = np.zeros(quats.shape[:2], bool)
    wanted[rows, 1] = True
    np.testing.assert_array_equal(measures.rotation_spikes(quats, fps), wanted)


def test_signs_of_quaternions_are_no_spikes() -> None:
    """A quaternion and its opposite are one rotation."""
    quats = _swing()
    quats[100, 0] *= -1
    quats[200:, 1] *= -1
    assert not measures.rotation_spikes(quats, 30.0).any()


@pytest.mark.parametrize("hz", [0.5, 1.0, 2.0, 3.0, 4.0])
def test_fast_clean_motion_has_no_spikes(hz: float) -> None:
    """Not even shaking at 4 Hz, which turns round every four frames."""
    assert not measures.rotation_spikes(_swing(hz=hz, degrees=60.0), 30.0).any()


def test_a_step_and_noise_are_no_spikes() -> None:
    """What does not come back is a movement; what always jumps is jitter."""
    quats = _swing()
    quats[150:] = _turned(quats[150:], np.array([0.0, 0.8, 0.0]))
    assert not measures.rotation_spikes(quats, 30.0).any()
    noisy = _turned(_swing(3000), np.random.default_rng(5).normal(scale=0.05, size=(3000, 3, 3)))
    assert not measures.rotation_spikes(noisy, 30.0).any()
    ticking = _swing(300)
    ticking[::5] = _turned(ticking[::5], np.array([0.3, 0.0, 0.0]))
    assert not measures.rotation_spikes(ticking, 30.0).any()


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e4])
def test_positions_and_values_have_spikes_in_shares_of_their_range(size: float) -> None:
    """So the unit does not matter; what only rounds off has none."""
    t = np.arange(300) / 30.0
    values = np.stack([np.sin(2 * t), np.cos(t), 1e-9 * np.random.default_rng(0).normal(size=300)], axis=1)[..., None]
    values = size * values
    values[120:122, 1] += 0.5 * size
    wanted = np.zeros((300, 3), bool)
    wanted[120:122, 1] = True
    np.testing.assert_array_equal(measures.spikes(values, 30.0), wanted)


def test_real_capture_has_no_spikes_until_they_are_put_in() -> None:
    """A take of a real person; of those put in nearly all are found, and nothing else is."""
    tracks = read(TAKE).people[0].tracks
    matrices = tracks["body_pose"].values
    quats = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_quat()[:, [3, 0, 1, 2]].reshape(*matrices.shape[:2], 4)
    assert not measures.rotation_spikes(quats, 24.0).any()
    assert not measures.held(measures.as_vectors(quats), 24.0, rotations=True).any()
    rng = np.random.default_rng(0)
    wanted = np.zeros(quats.shape[:2], bool)
    for bone in range(quats.shape[1]):
        for frame in range(5, len(quats) - 8, 40):
            rows = slice(frame, frame + rng.integers(1, 3))
            axis = rng.normal(size=3)
            quats[rows, bone] = _turned(
                quats[rows, bone], np.radians(rng.uniform(15, 60)) * axis / np.linalg.norm(axis)
            )
            wanted[rows, bone] = True
    found = measures.rotation_spikes(quats, 24.0)
    assert (found & wanted).sum() > 0.93 * wanted.sum()
    assert (found & wanted).sum() >= 0.99 * found.sum()


def test_spikes_of_a_take_are_found_in_a_fifth_of_a_second() -> None:
    """52 bones, 1,800 frames; of the processor's time, since other work may go on."""
    quats = _swing(1800, bones=52)
    times = []
    for _ in range(3):
        start = time.process_time()
        measures.rotation_spikes(quats, 30.0)
        times.append(time.process_time() - start)
    assert min(times) < 0.2


def test_held_values_are_found_where_the_others_move() -> None:
    """Not where all rest, not where it came to rest, not at the ends."""
    quats = _swing(300, hz=0.5)
    quats[100:108, 0] = quats[100, 0]
    wanted = np.zeros((300, 3), bool)
    wanted[101:108, 0] = True
    np.testing.assert_array_equal(measures.held(measures.as_vectors(quats), 30.0, rotations=True), wanted)
    resting = _swing(300, hz=0.5)
    resting[200:220] = resting[200]
    assert not measures.held(measures.as_vectors(resting), 30.0, rotations=True).any()
    stopped = _swing(300, hz=0.5)
    stopped[200:, 0] = stopped[200, 0]
    stopped[:30, 1] = stopped[30, 1]
    assert not measures.held(measures.as_vectors(stopped), 30.0, rotations=True).any()


def test_a_joint_at_its_limit_is_not_held() -> None:
    """A straight knee stays exactly straight, and then bends back the way it came."""
    quats = _swing(300, hz=1.0)
    angles = np.minimum(np.radians(40) * np.sin(2 * np.pi * np.arange(300) / 30), np.radians(20))
    quats[:, 0] = np.stack([np.cos(angles / 2), np.sin(angles / 2), 0 * angles, 0 * angles], axis=1)
    assert not measures.held(measures.as_vectors(quats), 30.0, rotations=True).any()


def test_the_largest_turn() -> None:
    """SciPy says the angle; signs do not matter."""
    before = _swing(50)
    after = before.copy()
    after[20, 2] = -_turned(before[20, 2], np.radians([0.0, 33.0, 0.0]))
    change = measures.largest_turn(before, after)
    assert (change.frame, change.vector) == (20, 2)
    assert change.size == pytest.approx(33.0)
    assert measures.largest_turn(before[:0], after[:0]) == measures.Change(0.0, 0, 0)


def _walk(noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Joints (T, N, 3) that go to and fro, and how a tracker sees them."""
    t = np.arange(600) / 30.0
    rng = np.random.default_rng(4)
    phases = rng.uniform(0, 6, size=(5, 3))
    clean = 0.3 * np.sin(2 * np.pi * 1.2 * t[:, None, None] + phases)
    return clean, clean + rng.normal(scale=noise, size=clean.shape)


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.05])
def test_taking_noise_away_loses_no_speed(noise: float) -> None:
    """Even where the noise is faster than the movement."""
    clean, seen = _walk(noise)
    assert measures.speed_kept(seen, clean, 30.0) == pytest.approx(1.0, abs=0.02)
    assert measures.speed_kept(seen, seen, 30.0) == pytest.approx(1.0)


def test_flattened_movement_loses_speed() -> None:
    """To the share to which it was flattened; a slow low-pass flattens."""
    clean, seen = _walk(0.02)
    assert measures.speed_kept(seen, 0.7 * clean, 30.0) == pytest.approx(0.7, abs=0.02)
    slow = sosfiltfilt(butter(2, 1.0, fs=30.0, output="sos"), seen, axis=0)
    assert measures.speed_kept(seen, slow, 30.0) < 0.6
    assert math.isnan(measures.speed_kept(np.ones((60, 2, 3)), np.ones((60, 2, 3)), 30.0))


def _sampled(owner: str, kind: str, grid: np.ndarray, unseen: np.ndarray | None = None) -> Sampled:
    frames = Grid(1.0, 1.0, len(grid))
    path = f'pose.bones["{owner}"].x' if owner else "x"
    keys = tuple(CurveKey(path, k) for k in range(grid.shape[1]))
    empty = np.zeros(len(grid), np.uint8)
    curves = tuple(Curve(path, k, frames.times, grid[:, k], empty, empty, empty.astype(bool)) for k in range(len(keys)))
    mode = "QUATERNION" if kind == "rotation" else ""
    channel = Channel(owner, kind, mode, keys, curves, (0.0,) * len(keys), "OTHER", frames, frames.times, unseen=unseen)
    return Sampled(channel, grid, grid)


def test_readings_name_bones_the_worst_first_and_say_where_to_look() -> None:
    """One line a bone, in degrees; objects in mm, shape keys in percent."""
    quats = _swing(300, hz=0.5)
    rng = np.random.default_rng(0)
    quats[:, 1] = _turned(quats[:, 1], rng.normal(scale=0.02, size=(300, 3)))
    quats[50, 0] = _turned(quats[50, 0], np.array([1.0, 0.0, 0.0]))
    quats[100:108, 2] = quats[100, 2]
    unseen = np.zeros(300, bool)
    unseen[200:210] = True
    place = np.cumsum(np.full((300, 3), 0.01), axis=0) + rng.normal(scale=0.01, size=(300, 3))
    smile = 0.5 + 0.4 * np.sin(np.arange(300) / 20)[:, None]
    takes = [_sampled(name, "rotation", quats[:, k]) for k, name in enumerate(["Hips", "Arm", "Leg"])]
    takes[0] = _sampled("Hips", "rotation", quats[:, 0], unseen)
    rounding = _sampled("Arm", "location", 1e-8 * rng.normal(size=(300, 3)))
    shares = []
    found = readings_of(
        [*takes, rounding, _sampled("", "location", place), _sampled("Smile", "value", smile)], 30.0, 1.0, shares.append
    )
    by_name = {reading.name: reading for reading in found}
    assert [reading.name for reading in found][:2] == ["Location", "Arm"]
    assert {(r.name, r.kind, r.unit) for r in found} == {
        ("Hips", "BONE", "°"),
        ("Arm", "BONE", "°"),
        ("Leg", "BONE", "°"),
        ("Location", "OBJECT", " mm"),
        ("Smile", "SHAPE_KEY", " %"),
    }
    assert by_name["Hips"].events == [Event(GAP, 201.0, 210.0), Event(SPIKE, 51.0, 51.0)]
    assert by_name["Leg"].events == [Event(HELD, 102.0, 108.0)]
    assert by_name["Location"].jitter == pytest.approx(1000 * 0.01 * math.sqrt(3), rel=0.15)
    assert not by_name["Arm"].events
    assert shares[-1] == pytest.approx(1.0)


def test_markers_are_few_and_say_what_is_there() -> None:
    """What is near in time shares one."""
    events = [
        ("Hand", Event(SPIKE, 10.4, 10.4)),
        ("Foot", Event(SPIKE, 12.0, 13.0)),
        ("Hand", Event(SPIKE, 14.0, 14.0)),
        ("Hips", Event(GAP, 12.0, 20.0)),
        ("Hand", Event(SPIKE, 40.0, 40.0)),
    ]
    marks, left_out = marks_of(events, 5.0, 10)
    assert marks == [(10, "Spike Hand +1"), (12, "Gap Hips"), (40, "Spike Hand")]
    assert left_out == 0
    marks, left_out = marks_of(events, 5.0, 1)
    assert marks == [(10, "Spike Hand +1")]
    assert left_out == 2
    assert marks_of([], 5.0, 10) == ([], 0)
