from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from smpl_tools import resampling as res
from smpl_tools import rotations as rot
from smpl_tools.kinematics import slerp
from smpl_tools.motion import VALUE_SHAPES, Motion, Person, Track
from smpl_tools.sources.clean import clean_motions
from tests.helpers import shared


def waves(frames, fps, count=3, fastest=2.0, seed=0):
    rng = np.random.default_rng(seed)
    phase, speed = rng.uniform(0, 6, (2, count))
    return np.sin(np.arange(frames)[:, None] / fps * 2 * np.pi * fastest * (0.3 + speed / 9) + phase)


def smooth_rotations(frames, fps, joints=2, seed=0):
    vectors = 2 * waves(frames, fps, 3 * joints, 1.0, seed).reshape(frames, joints, 3)
    return Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(frames, joints, 3, 3)


def degrees(a, b):
    return np.rad2deg(rot.geodesic_angle(a, b))


@given(st.integers(0, 2**32 - 1), st.integers(4, 60), st.sampled_from([(24, 60), (30, 60), (29.97, 59.94), (50, 50)]))
def test_at_a_higher_rate_positions_are_scipys_cubic_spline(seed, frames, rates):
    values = np.random.default_rng(seed).normal(size=(frames, 2, 3))
    before = values.copy()
    found = res.resample_positions(values, *rates)
    new = res.resample_frames(np.arange(frames), *rates)
    np.testing.assert_allclose(found, CubicSpline(np.arange(frames), values)(new.position), atol=1e-9)
    np.testing.assert_array_equal(found[new.share == 0], values[new.rows[new.share == 0]])
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize(("fps_in", "fps_out"), [(60, 30), (100, 30), (240, 24), (120, 59.94), (60, 50), (30, 29.97)])
@pytest.mark.parametrize("rotations", [False, True], ids=["channels", "rotations"])
def test_a_lower_rate_shows_slow_vibrations_whole_without_lag_and_fast_ones_not_at_all(fps_in, fps_out, rotations):
    count, exact = 1600, float(res.nominal_rate(fps_out))
    times, new_times = np.arange(count) / fps_in, res.resample_times(count, fps_in, fps_out)
    inner = slice(len(new_times) // 4, -len(new_times) // 4)

    def resampled(hertz):
        wave = 0.2 * np.sin(2 * np.pi * hertz * times + 0.4)
        if not rotations:
            return res.resample_channels(wave[:, None], fps_in, fps_out)[inner, 0] / 0.2
        turned = rot.axis_angle_to_matrix(wave[:, None] * [0, 0.6, 0.8])
        vectors = rot.matrix_to_axis_angle(res.resample_rotations(turned, fps_in, fps_out))
        return vectors[inner] @ [0, 0.6, 0.8] / 0.2

    slow = 2 * np.pi * exact / 4 * new_times[inner] + 0.4
    basis = np.stack([np.sin(slow), np.cos(slow)], axis=1)
    (amplitude, quadrature), *_ = np.linalg.lstsq(basis, resampled(exact / 4), rcond=None)
    assert 0.97 < amplitude < 1.03
    assert abs(quadrature) < 5e-3
    for share in (0.501, 0.55, 0.7, 0.9):
        if share * exact < fps_in / 2:
            assert abs(resampled(share * exact)).max() < 0.02


def test_a_steady_turn_near_the_limit_of_the_new_rate_goes_on_through_the_low_pass():
    times = np.arange(1200) / 120
    turned = rot.axis_angle_to_matrix(2 * np.pi * 14 * times[:, None] * [0.36, 0.48, 0.8])
    # Half a turn a frame is 15 a second at 30.
    assert degrees(res.resample_rotations(turned, 120, 30), turned[::4])[60:-60].max() < 1e-6


@pytest.mark.parametrize("rates", [(30, 60), (60, 30), (60, 25), (25, 60)])
def test_smooth_rotations_stay_where_they_are_and_turn_with_the_scene(rates):
    fps_in, fps_out = rates
    turned = smooth_rotations(300, fps_in)
    truth = smooth_rotations(len(res.resample_times(300, *rates)), fps_out)
    found = res.resample_rotations(turned, *rates)
    np.testing.assert_allclose(found @ found.swapaxes(-1, -2), np.broadcast_to(np.eye(3), found.shape), atol=1e-12)
    assert degrees(found, truth)[8:-8].max() < 0.05
    left, right = Rotation.from_rotvec([[1, 2, 0.5], [0.3, 0, -2]]).as_matrix()
    np.testing.assert_allclose(res.resample_rotations(left @ turned @ right, *rates), left @ found @ right, atol=1e-9)


def test_splines_of_rotations_are_more_exact_than_slerp_on_clean_capture():
    motions = (m for _, m in clean_motions(shared("data", "cmu", "cmu_train.npz")) if m.fps == 60)
    found, spherical = [], []
    for _, motion in zip(range(10), motions, strict=False):
        truth = motion.people[0].tracks["body_pose"].values
        slow = res.resample_rotations(truth, 60, 30)
        truth = truth[: 2 * len(slow) - 1]
        found.append(degrees(res.resample_rotations(slow, 30, 60), truth).mean())
        at = np.arange(len(truth)) / 2
        spherical.append(degrees(slerp(np.arange(len(slow)), slow, at), truth).mean())
    assert np.mean(found) < 0.95 * np.mean(spherical)


@pytest.mark.parametrize("rates", [(60, 30), (30, 60), (60, 25), (25, 30)])
def test_nothing_is_made_up_in_a_gap_and_every_piece_stands_alone(rates):
    rng = np.random.default_rng(8)
    values = rng.normal(size=(120, 4, 3))
    frames = np.concatenate([np.arange(10, 90), np.arange(101, 141)])
    holes = {0: range(20, 33), 1: range(5), 2: [3, 5, 6, 50, 119], 3: range(120)}
    for joint, rows in holes.items():
        values[list(rows), joint] = np.nan
    found = res.resample_positions(values, *rates, frames=frames)
    new = res.resample_frames(frames, *rates)
    assert len(found) == len(new.frames)
    for joint in range(4):
        seen = np.isfinite(values[:, joint, 0])
        after = np.where(new.share > 0, new.rows + 1, new.rows)
        np.testing.assert_array_equal(np.isfinite(found[:, joint, 0]), seen[new.rows] & seen[after])
        for piece in np.split(np.arange(120), np.flatnonzero((np.diff(frames) > 1) | np.diff(seen)) + 1):
            own = [k for k, row in enumerate(new.rows) if row in piece and np.isfinite(found[k, joint, 0])]
            if own:
                alone = res.resample_positions(values[piece, joint], *rates, frames=frames[piece], origin=10)
                np.testing.assert_allclose(found[own, joint], alone, atol=1e-12)


def test_what_stands_still_stays_as_it_is_and_short_pieces_have_no_filter_to_fear():
    values = np.broadcast_to(np.float32([1e4 + 0.1, -0.3, 0.7]), (50, 3))
    for rates in ((60, 25), (30, 60)):
        found = res.resample_channels(values, *rates)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.broadcast_to(values[0], found.shape))
    line = np.arange(5.0)[:, None]
    for frames in range(6):
        expected = np.arange(0, max(frames - 0.9, 0), 0.5)
        np.testing.assert_allclose(res.resample_channels(line[:frames, 0], 30, 60), expected[: 2 * len(line) - 1])
        np.testing.assert_allclose(res.resample_channels(line[:frames, 0], 60, 30), line[:frames:2, 0], atol=1e-6)


def as_kind(matrices, kind):
    return {
        "rotation_matrix": lambda: matrices,
        "axis_angle": lambda: rot.matrix_to_axis_angle(matrices),
        "quat_wxyz": lambda: rot.matrix_to_quat_wxyz(matrices),
        "rotation_6d": lambda: rot.matrix_to_rotation_6d(matrices, "rows"),
    }[kind]()


def as_matrix(track):
    values = track.values.astype(np.float64)
    return {
        "rotation_matrix": lambda: values,
        "axis_angle": lambda: rot.axis_angle_to_matrix(values),
        "quat_wxyz": lambda: rot.quat_wxyz_to_matrix(values),
        "rotation_6d": lambda: rot.rotation_6d_to_matrix(values, "rows"),
    }[track.kind]()


def motion_of(frames, fps, dtype=np.float64, first=0, **options):
    matrices = smooth_rotations(frames, fps)
    tracks = {
        kind: Track(as_kind(matrices, kind).astype(dtype), kind, "body", ("a", "b"), order="rows")
        for kind in VALUE_SHAPES
        if kind not in ("position", "channels")
    }
    curve = waves(frames, fps)
    tracks["transl"] = Track(curve[:, None].astype(dtype), "position", "root", ("a",))
    tracks["image"] = Track(curve[:, None, :2].astype(dtype), "position", "body", ("a",))
    tracks["betas"] = Track(np.tile(curve[:1], (frames, 1)).astype(dtype), "channels", "shape", ("x", "y", "z"))
    angles = np.mod(curve * 6, 2 * np.pi)
    tracks["angles"] = Track(angles.astype(dtype), "channels", "body", ("a.Xrotation", "b.Zrotation", "c.Yrotation"))
    person = Person("7", tracks, first + np.arange(frames))
    return Motion("amass", (person,), fps, source=object(), **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("fps_in", "fps_out"), [(30, 60), (60, 30), (59.94, 25)])
def test_a_motion_at_another_rate_is_the_same_motion(fps_in, fps_out, dtype):
    motion = motion_of(400, fps_in, dtype, first=1001)
    found = res.at_rate(motion, fps_out)
    person, count = found.people[0], len(res.resample_times(400, fps_in, fps_out))
    exact = float(res.nominal_rate(fps_in))
    assert (found.fps, found.source, found.format, person.id) == (fps_out, None, "amass", "7")
    assert found.notes == (f"brought from {fps_in:.6g} to {fps_out:.6g} frames a second",)
    np.testing.assert_array_equal(person.frames, 1001 + np.arange(count))
    truth = motion_of(count, fps_out * fps_in / exact).people[0]
    inner = slice(8, -8)
    for name, track in person.tracks.items():
        old = motion.people[0].tracks[name]
        assert (track.kind, track.part, track.joints, track.order) == (old.kind, old.part, old.joints, old.order)
        assert track.values.dtype == dtype
        if name in ("transl", "image", "betas"):
            np.testing.assert_allclose(track.values[inner], truth.tracks[name].values[inner], atol=1e-3)
        elif name == "angles":
            assert abs(np.diff(track.values, axis=0)).max() < 3
            turns = (track.values - truth.tracks[name].values)[inner] / (2 * np.pi)
            np.testing.assert_allclose(turns, np.round(turns), atol=2e-3)
        else:
            assert degrees(as_matrix(track), as_matrix(truth.tracks[name]))[inner].max() < 0.1
    np.testing.assert_array_equal(person.tracks["betas"].values[-1], motion.people[0].tracks["betas"].values[0])
    # Rotation vectors pass half a turn, which those of the file do not.
    jumps = abs(np.diff(motion.people[0].tracks["axis_angle"].values, axis=0)).max()
    assert jumps > 3 > 10 * abs(np.diff(person.tracks["axis_angle"].values, axis=0)).max() / 10
    assert (np.sum(person.tracks["quat_wxyz"].values[1:] * person.tracks["quat_wxyz"].values[:-1], axis=-1) > 0).all()


def test_rotations_go_on_as_the_file_writes_its_first():
    turns = np.linspace(6.5, 7.5, 40)[:, None, None] * np.array([0, 0, 1.0])
    quats = -rot.axis_angle_to_quat_wxyz(turns)
    quats[0] = np.nan
    tracks = {
        "a": Track(turns, "axis_angle", "body", ("a",)),
        "q": Track(quats, "quat_wxyz", "body", ("a",)),
    }
    found = res.at_rate(Motion("arrays", (Person("0", tracks, np.arange(40)),), 30.0), 60).people[0].tracks
    np.testing.assert_allclose(found["a"].values[::2], turns, atol=1e-12)
    np.testing.assert_allclose(found["q"].values[2::2], quats[1:], atol=1e-12)


def test_old_rotations_keep_their_bits_at_a_higher_rate():
    values = 2 * rot.matrix_to_rotation_6d(smooth_rotations(9, 30)).astype(np.float32)
    values[4, 1] = np.nan
    person = Person("0", {"k": Track(values, "rotation_6d", "body", ("a", "b"))}, np.arange(9))
    found = res.at_rate(Motion("arrays", (person,), 30.0), 60).people[0].tracks["k"].values
    np.testing.assert_array_equal(found[::2], values)
    assert np.isnan(found[:, 1]).all(axis=1).sum() == 3


def test_confidence_goes_along_and_what_has_none_is_not_observed():
    values = waves(9, 30, 4).reshape(9, 2, 2)
    values[6, 1] = np.nan
    confidence = np.ones((9, 2), np.float32)
    confidence[3, 0], confidence[1, 1] = 0.0, 0.5
    track = Track(values, "position", "body", ("a", "b"), confidence)
    untrusted = Track(values, "position", "body", ("a", "b"), np.zeros((9, 2)))
    person = Person("0", {"k": track, "none": untrusted}, np.arange(9))
    found = res.at_rate(Motion("openpose", (person,), 30.0), 60).people[0].tracks
    assert found["k"].confidence.dtype == np.float32
    assert found["k"].confidence[:6, 1].tolist() == [1, 0.75, 0.5, 0.75, 1, 1]
    assert np.flatnonzero(np.isnan(found["k"].values[:, 0, 0])).tolist() == [5, 6, 7]
    np.testing.assert_array_equal(found["k"].confidence[5:8, 0], 0)
    assert np.flatnonzero(np.isnan(found["none"].values[:, 1, 0])).tolist() == [11, 12, 13]
    assert np.isfinite(found["none"].values[:, 0]).all()


def test_people_share_one_clock_and_empty_tracks_stay_empty():
    def seen(ident, frames):
        tracks = {
            "k": Track(waves(len(frames), 30)[:, None], "position", "body", ("a",)),
            "hand": Track(np.full((len(frames), 2, 4), 0.0), "quat_wxyz", "hands", ("b", "c")),
            "no": Track(np.zeros((len(frames), 0, 3, 3)), "rotation_matrix", "hands", ()),
        }
        return Person(ident, tracks, np.array(frames, np.int64))

    motion = Motion("openpose", (seen("a", range(4, 12)), seen("b", range(7, 20)), seen("c", [9]), seen("d", [])), 60.0)
    a, b, c, d = res.at_rate(motion, 30).people
    # Frame 4 stays frame 4: 5 is at 6 of the old clock, 6 at 8.
    assert [p.frames.tolist() for p in (a, b, c, d)] == [[4, 5, 6, 7], [6, 7, 8, 9, 10, 11], [], []]
    for person in (a, b, c, d):
        assert np.isnan(person.tracks["hand"].values).all()
        assert person.tracks["no"].values.shape == (len(person.frames), 0, 3, 3)
    assert np.isfinite(b.tracks["k"].values).all()
    assert res.at_rate(Motion("openpose", (), 60.0), 30).people == ()


def test_the_rate_it_has_already():
    motion = motion_of(20, 29.97)
    assert res.at_rate(motion, 30000 / 1001) is motion
    unknown = motion_of(20, 30.0)
    assert res.at_rate(unknown, 60, fps_in=60).fps == 60
    assert res.at_rate(unknown, 60, fps_in=60).people is unknown.people


ONE = np.zeros((3, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: res.resample_positions(np.zeros(3), 30, 60), "shape of values: expected (T, ..., D), received (3,)"),
        (
            lambda: res.resample_positions(ONE, 30, 60, frames=[1, 2]),
            "shape of frames: expected (3,), received (2,)",
        ),
        (lambda: res.resample_positions([["a"]], 30, 60), "values: expected an array of numbers, received dtype <U1"),
        (lambda: res.resample_channels(1.0, 30, 60), "shape of values: expected (T, ...), received ()"),
        (
            lambda: res.resample_rotations(ONE, 30, 60),
            "shape of matrices: expected (T, ..., 3, 3), received (3, 1)",
        ),
        (
            lambda: res.at_rate(Motion("bvh", (), None, path="take.bvh"), 30),
            "take.bvh: frame rate of the motion: expected one in the file, or fps_in, received none",
        ),
        (
            lambda: res.at_rate(Motion("bvh", (), 30.0, path="take.bvh"), -1),
            "take.bvh: fps: expected a positive number of frames a second, at most 1000000, received -1",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        call()
