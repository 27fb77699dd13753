"""Missing frames and values: counted, and filled only when asked."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from smpl_tools.gaps import filled, missing, without_empty_frames
from smpl_tools.motion import Motion, Person, Track
from smpl_tools.rotations import axis_angle_to_matrix

FRAMES = np.array([5, 6, 7, 10, 11], np.int64)


def person(frames=FRAMES, dtype=np.float64):
    line = np.stack([frames, 2.0 * frames, 0 * frames], axis=1)[:, None].astype(dtype)
    turns = axis_angle_to_matrix(0.05 * frames[:, None] * np.array([0, 1.0, 0]))[:, None]
    tracks = {
        "transl": Track(line, "position", "root", ("pelvis",), np.full((len(frames), 1), 0.5)),
        "global_orient": Track(turns, "rotation_matrix", "root", ("pelvis",)),
    }
    return Person("7", tracks, frames, np.ones(10), "male")


def motion(one):
    return Motion("wham", (one,), 30.0, source="file")


def test_without_gaps_nothing_happens():
    whole = motion(person(np.arange(3, 9)))
    assert filled(whole) is whole
    assert missing(whole.people[0]) == 0
    assert missing(person(np.empty(0, np.int64))) == 0


def test_missing_frames_are_counted_and_filled_along_the_shortest_way():
    one = person()
    assert missing(one) == 2
    (full,) = filled(motion(one)).people
    assert full.frames.tolist() == list(range(5, 12))
    assert (full.id, full.gender, full.betas.tolist()) == ("7", "male", [1.0] * 10)
    expected = np.stack([full.frames, 2.0 * full.frames, 0 * full.frames], axis=1)
    assert np.allclose(full.tracks["transl"].values[:, 0], expected, atol=1e-9)
    slerp = Slerp(FRAMES, Rotation.from_matrix(one.tracks["global_orient"].values[:, 0]))
    assert np.allclose(full.tracks["global_orient"].values[:, 0], slerp(full.frames).as_matrix(), atol=1e-9)
    assert full.tracks["transl"].confidence[:, 0].tolist() == [0.5, 0.5, 0.5, 0, 0, 0.5, 0.5]
    assert np.array_equal(full.tracks["transl"].values[[0, 1, 2, 5, 6]], one.tracks["transl"].values)
    assert filled(motion(one)).source is None


def test_missing_values_of_one_joint():
    frames = np.arange(6)
    values = np.random.default_rng(0).normal(size=(6, 3, 3)).astype(np.float32)
    values[2, 1] = np.nan
    values[:, 2] = np.nan
    one = Person("0", {"joints": Track(values, "position", "body", ("a", "b", "never"))}, frames)
    assert missing(one) == 1
    (full,) = filled(motion(one)).people
    new = full.tracks["joints"].values
    assert new.dtype == np.float32
    assert np.isnan(new[:, 2]).all()
    seen = np.isfinite(values)
    assert np.array_equal(new[seen], values[seen])
    assert np.allclose(new[2, 1], (values[1, 1] + values[3, 1]) / 2, atol=1e-6)
    assert missing(full) == 0


def test_frames_of_nothing_become_gaps():
    one = person()
    lost = {name: track.replace(values=track.values.copy()) for name, track in one.tracks.items()}
    for track in lost.values():
        track.values[[0, 3]] = np.nan
    lost["transl"].values[2] = np.nan
    (new,) = without_empty_frames(motion(one.with_tracks(lost))).people
    assert new.frames.tolist() == [6, 7, 11]
    for name, track in new.tracks.items():
        np.testing.assert_array_equal(track.values, lost[name].values[[1, 2, 4]])
    assert new.tracks["transl"].confidence.shape == (3, 1)
    whole = motion(one)
    assert without_empty_frames(whole) is whole
