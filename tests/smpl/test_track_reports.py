"""Reports of tracks: looked at in blocks, long takes measured in stretches, against SciPy and the whole take."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt
from scipy.spatial.transform import Rotation

from smpl_tools import measures, track_reports
from smpl_tools.measures import MEASURED_FRAMES, changes, jitter, prepared, sampled, speed_kept
from smpl_tools.motion import Motion, Person, Track
from smpl_tools.track_reports import TrackReport, observation, track_report

KINDS = {"position": (3,), "channels": (), "axis_angle": (3,), "rotation_matrix": (3, 3), "quat_wxyz": (4,)}


def values(kind: str, frames: int, joints: int = 3, seed: int = 0, size: float = 1.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / 30
    smooth = size * np.sin(2 * np.pi * 0.3 * time + generator.uniform(0, 6, (1, joints, 3)))
    vectors = smooth + generator.normal(0, 0.02, (frames, joints, 3))
    if kind in ("position", "axis_angle"):
        return vectors
    if kind == "channels":
        return vectors[..., 0]
    turns = Rotation.from_rotvec(vectors.reshape(-1, 3))
    found = turns.as_matrix() if kind == "rotation_matrix" else turns.as_quat()[:, [3, 0, 1, 2]]
    return found.reshape(frames, joints, *KINDS[kind])


def track(array: np.ndarray, kind: str) -> Track:
    return Track(array, kind, "body", tuple(f"j{j}" for j in range(array.shape[1])))


def reported(old: np.ndarray, new: np.ndarray, kind: str, frames: np.ndarray | None = None) -> TrackReport:
    before = track(old, kind)
    person = Person("0", {"body": before}, np.arange(len(old)) if frames is None else frames)
    seen = observation(before, person.frames, 30.0)
    return track_report(Motion("array", (person,), 30.0), person, "body", track(new, kind), seen, 30.0)


@pytest.mark.parametrize("block", [1, 7, 50, 2**15])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("holes", [False, True])
def test_the_largest_change_is_that_of_the_whole_take(
    kind: str, holes: bool, block: int, monkeypatch: pytest.MonkeyPatch
):
    # Vectors of up to a whole turn: two of them can be far apart and stand for nearly the same rotation.
    old, new = values(kind, 60, size=3.0), values(kind, 60, seed=1, size=3.0)
    if holes:
        old[5:9, 1] = np.nan
        old[:, 2] = np.inf
        new[:, 2] = np.inf
    apart = changes(prepared(track(old, kind)), prepared(track(new, kind)))
    row, joint = np.unravel_index(np.nanargmax(apart), apart.shape)
    monkeypatch.setattr(track_reports, "_BLOCK", block)
    report = reported(old, new, kind)
    factor = 1.0 if kind in ("position", "channels") else 180 / np.pi
    assert report.largest_change == pytest.approx(apart[row, joint] * factor)
    assert (report.largest_change_frame, report.largest_change_joint) == (row, f"j{joint}")
    assert report.filled_frames == (4 if holes else 0)


def test_rotations_that_are_none_are_not_observed():
    old = values("quat_wxyz", 20)
    old[3, 1] = 0.0
    report = reported(old, values("quat_wxyz", 20, seed=1), "quat_wxyz")
    assert report.filled_frames == 1
    with pytest.raises(ValueError, match="track: expected at least one observed value, received none: all of it is"):
        reported(np.zeros((5, 2, 4)), np.ones((5, 2, 4)), "quat_wxyz")


def test_pieces_and_what_they_show():
    old = values("position", 40)
    old[:20, 1] = np.nan
    old[30, :] = np.nan
    frames = np.concatenate([np.arange(20), np.arange(500, 520)])
    seen = observation(track(old, "position"), frames, 30.0)
    assert [one.tolist() for one in seen.joints] == [[True, False, True], [True, True, True]]
    assert np.flatnonzero(~seen.rows).tolist() == [30]


def test_speed_kept_of_rotations_is_that_of_scipy():
    old, new = values("rotation_matrix", 200, 2), values("rotation_matrix", 200, 2, seed=4)

    def fast(matrices: np.ndarray) -> float:
        speeds = []
        for j in range(2):
            turns = Rotation.from_matrix(matrices[:, j])
            speeds.append(np.quantile((turns[1:] * turns[:-1].inv()).magnitude(), 0.95))
        return sum(speeds)

    slow = sosfiltfilt(butter(4, 4.0, fs=30, output="sos"), old, axis=0, padlen=15)
    u, _, v = np.linalg.svd(slow)
    expected = fast(new) / fast(u @ v)
    found = speed_kept(
        prepared(track(old, "rotation_matrix")), prepared(track(new, "rotation_matrix")), np.arange(200), 30.0
    )
    assert found == pytest.approx(expected, rel=1e-9)


def test_jitter_of_rotations_is_that_of_scipy():
    old = values("quat_wxyz", 100, 2)
    lengths = []
    for j in range(2):
        turns = Rotation.from_quat(old[:, j][:, [1, 2, 3, 0]])
        steps = (turns[1:] * turns[:-1].inv()).as_rotvec()
        lengths.append(np.linalg.norm(np.diff(steps, axis=0), axis=-1))
    found = jitter(prepared(track(old, "quat_wxyz")), np.arange(100), 30.0)
    assert found == pytest.approx(np.mean(lengths) * 900, rel=1e-9)


def test_all_of_a_short_take_is_measured():
    assert sampled(np.zeros(MEASURED_FRAMES, bool)) == slice(0, MEASURED_FRAMES)


def test_a_long_take_is_measured_all_over_where_it_was_observed():
    whole = sampled(np.ones(1_000_003, bool))
    assert isinstance(whole, np.ndarray)
    assert (len(whole), whole[0], whole[-1]) == (MEASURED_FRAMES, 0, 1_000_002)
    assert (np.diff(whole) > 0).all()
    assert np.diff(whole).max() < 1.1 * 1_000_003 / (MEASURED_FRAMES / measures._STRETCH)
    seen = np.zeros(1_000_003, bool)
    seen[500_000:700_000] = True
    some = sampled(seen)
    assert len(some) == MEASURED_FRAMES
    assert seen[some].all()
    seen[500_020:] = False
    assert sampled(seen).tolist() == list(range(500_000, 500_020))


@pytest.mark.parametrize("kind", ["position", "axis_angle"])
def test_a_long_take_s_measures_are_near_those_of_all_of_it(kind: str):
    frames = 3 * MEASURED_FRAMES
    old, new = values(kind, frames, 2), values(kind, frames, 2, seed=3)
    new = old + 0.3 * (new - new.mean(axis=0)) * 0.1
    report = reported(old, new, kind)
    first, second = prepared(track(old, kind)), prepared(track(new, kind))
    factor = 1.0 if kind == "position" else 180 / np.pi
    assert report.jitter_before == pytest.approx(jitter(first, np.arange(frames), 30.0) * factor, rel=0.02)
    assert report.jitter_after == pytest.approx(jitter(second, np.arange(frames), 30.0) * factor, rel=0.02)
    assert report.speed_kept == pytest.approx(speed_kept(first, second, np.arange(frames), 30.0), rel=0.01)
    assert report.largest_change == pytest.approx(np.nanmax(changes(first, second)) * factor)
