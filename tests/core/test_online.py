"""Refinement of streams: as whole takes at full latency, and whatever a stream may do."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicHermiteSpline, make_interp_spline

from smoothnet_core import _online_history, load_model, refine, rotations
from smoothnet_core._online_history import Rows, cubic_weights
from smoothnet_core.model import Model
from smoothnet_core.online import OnlineRefiner

WINDOW = 32
FULL = WINDOW - 1
FPS = 30.0


def walk(frames: int, *shape: int, seed: int = 0, noise: float = 0.02) -> np.ndarray:
    """Return a track (frames, *shape) in metres that moves and jitters."""
    rng = np.random.default_rng(seed)
    at = np.arange(frames).reshape(-1, *[1] * len(shape)) / FPS
    moving = 0.4 * np.sin(2 * np.pi * 0.7 * at + rng.uniform(0, 6, (1, *shape)))
    return moving + rng.normal(0, noise, (frames, *shape))


def turns(frames: int, joints: int, seed: int = 0, noise: float = 0.05) -> np.ndarray:
    """Return rotation vectors (frames, joints, 3) that turn and jitter."""
    smooth = rotations.axis_angle_to_matrix(2.5 * walk(frames, joints, 3, seed=seed, noise=0.0))
    jitter = rotations.axis_angle_to_matrix(np.random.default_rng(seed).normal(0, noise, (frames, joints, 3)))
    return rotations.matrix_to_axis_angle(smooth @ jitter)


def streamed(refiner: OnlineRefiner, track, times=None, **given) -> np.ndarray:
    """Return what a refiner makes of a track, checking that each frame comes after its latency."""
    out = []
    for k, frame in enumerate(track):
        own = {name: value[k] for name, value in given.items()}
        done = refiner.push(frame, None if times is None else times[k], **own)
        assert (done is None) == (k < refiner.latency)
        assert refiner.pending == min(k + 1, refiner.latency)
        out += [] if done is None else [done]
    out += refiner.flush()
    assert len(out) == len(track)
    assert refiner.pending == 0
    return np.array(out)


def without_seam(difference: np.ndarray) -> np.ndarray:
    """Leave out the one frame before whose turn nobody knew that the take ends, see :class:`OnlineRefiner`."""
    frames = len(difference)
    return difference if frames <= WINDOW else np.delete(difference, frames - WINDOW, axis=0)


@settings(max_examples=25, deadline=None)
@given(
    frames=st.one_of(st.sampled_from([1, 2, 3, 31, 32, 33, 63, 64, 65]), st.integers(1, 140)),
    model=st.sampled_from(["default", "fast"]),
    kind=st.sampled_from(["position", "channels"]),
    hop=st.sampled_from([None, 1, 5, 32]),
    seed=st.integers(0, 99),
)
def test_at_full_latency_a_stream_is_refined_as_a_take(frames, model, kind, hop, seed):
    track = walk(frames, 2, 3, seed=seed)
    expected = refine(track, model=model, kind=kind, hop=hop)
    found = streamed(OnlineRefiner(model, latency=FULL, kind=kind, hop=hop), track)
    assert without_seam(np.abs(found - expected)).max(initial=0) < 2e-6
    # What that one frame misses is the edge of a single window; with few windows more than a millimetre.
    assert np.abs(found - expected).max() < 0.02


@pytest.mark.parametrize("frames", [1, 7, 32, 50, 77])
@pytest.mark.parametrize("model", ["published-video", "published-static"])
def test_published_weights_too_where_they_see_numbers_as_they_are(frames, model):
    track = walk(frames, 4)
    found = streamed(OnlineRefiner(model, latency=FULL, kind="channels"), track)
    np.testing.assert_allclose(found, refine(track, model=model, kind="channels"), atol=2e-6)
    matrices = rotations.axis_angle_to_matrix(turns(frames, 2))
    found = streamed(OnlineRefiner(model, latency=FULL, kind="rotation_matrix"), matrices)
    np.testing.assert_allclose(found, refine(matrices, model=model, kind="rotation_matrix"), atol=2e-6)


def test_published_weights_see_positions_relative_to_their_window():
    track = walk(90, 3, 3)
    near = streamed(OnlineRefiner("published-video", latency=8), track)
    far = streamed(OnlineRefiner("published-video", latency=8), track + [3.0, -2.0, 5.0])
    np.testing.assert_allclose(far, near + [3.0, -2.0, 5.0], atol=1e-5)
    offline = refine(track, model="published-video")
    full = streamed(OnlineRefiner("published-video", latency=FULL), track)
    assert np.abs(full - offline).mean() < 0.25 * np.abs(track - offline).mean()


@pytest.mark.parametrize("latency", range(0, WINDOW, 1))
def test_every_latency_moves_towards_the_offline_result(latency):
    track = walk(100, 3, 3)
    found = streamed(OnlineRefiner(latency=latency), track)
    assert np.isfinite(found).all()
    offline = refine(track)
    limit = 1.2 if latency < 2 else 0.75
    assert np.abs(found - offline).mean() < limit * np.abs(track - offline).mean()


def test_without_a_hop_of_its_own_full_latency_equals_the_blend_of_all_windows():
    track = walk(80, 2, 3)
    # Below full latency a window is run at every frame: the middle of a take differs by the one frame alone.
    every = streamed(OnlineRefiner(latency=FULL, hop=1), track)
    nearly = streamed(OnlineRefiner(latency=FULL - 1), track)
    assert np.abs(every - nearly)[FULL:-FULL].max() < 1e-3


@pytest.mark.parametrize("kind", ["rotation_matrix", "axis_angle", "quat_wxyz", "rotation_6d"])
def test_rotations_differ_from_a_take_by_what_smoothing_has_not_seen_yet(kind):
    vectors = turns(120, 3)
    convert = {
        "rotation_matrix": rotations.axis_angle_to_matrix,
        "axis_angle": np.asarray,
        "quat_wxyz": rotations.axis_angle_to_quat_wxyz,
        "rotation_6d": lambda v: rotations.matrix_to_rotation_6d(rotations.axis_angle_to_matrix(v)),
    }[kind]
    track = np.asarray(convert(vectors))
    if kind == "quat_wxyz":
        # As some programs write them, now on this side and now on that.
        track = track * np.where(np.random.default_rng(1).random((120, 3, 1)) < 0.3, -1, 1)
    found = streamed(OnlineRefiner(latency=FULL, kind=kind), track)
    expected = refine(track, kind=kind)
    back = {
        "rotation_matrix": np.asarray,
        "axis_angle": rotations.axis_angle_to_matrix,
        "quat_wxyz": rotations.quat_wxyz_to_matrix,
        "rotation_6d": rotations.rotation_6d_to_matrix,
    }[kind]
    angles = np.rad2deg(rotations.geodesic_angle(back(found), back(expected)))
    assert angles.mean() < 0.03
    assert angles.max() < 1.0
    if kind in ("quat_wxyz", "axis_angle"):
        # The same of the numbers: signs and whole turns follow one another as in a take.
        assert np.abs(found - expected).max() < 0.02


def test_a_rotation_that_jumps_is_seen_as_a_matrix():
    vectors = turns(100, 2)
    vectors[50:, 0] = rotations.matrix_to_axis_angle(
        rotations.axis_angle_to_matrix(np.array([0.0, 2.5, 0.0])) @ rotations.axis_angle_to_matrix(vectors[50:, 0])
    )
    matrices = rotations.axis_angle_to_matrix(vectors)
    found = streamed(OnlineRefiner(latency=FULL, kind="rotation_matrix"), matrices)
    np.testing.assert_allclose(np.linalg.det(found), 1.0, atol=1e-9)
    angles = np.rad2deg(rotations.geodesic_angle(found, refine(matrices, kind="rotation_matrix")))
    # Windows away from the jump see quaternions, where a whole take decides for matrices.
    assert np.median(angles) < 0.1
    assert angles[:, 1].max() < 1.0


def test_what_does_not_move_comes_out_bit_for_bit():
    still = np.broadcast_to(np.random.default_rng(0).normal(size=(4, 3)), (60, 4, 3))
    assert (streamed(OnlineRefiner(latency=5), still) == still).all()
    assert (streamed(OnlineRefiner(latency=FULL), still) == still).all()
    turned = rotations.axis_angle_to_matrix(still)
    assert (streamed(OnlineRefiner(latency=5, kind="rotation_matrix"), turned) == turned).all()


def test_strength_is_the_way_from_the_frame_to_the_answer():
    track = walk(70, 2, 3)
    whole = streamed(OnlineRefiner(latency=6), track)
    half = streamed(OnlineRefiner(latency=6, strength=0.5), track)
    np.testing.assert_allclose(half, (track + whole) / 2, atol=1e-12)
    assert (streamed(OnlineRefiner(latency=6, strength=0.0), track) == track).all()
    quats = rotations.axis_angle_to_quat_wxyz(turns(70, 2))
    assert (streamed(OnlineRefiner(latency=6, strength=0.0, kind="quat_wxyz"), quats) == quats).all()
    matrices = rotations.quat_wxyz_to_matrix(quats)
    whole = streamed(OnlineRefiner(latency=6, kind="rotation_matrix"), matrices)
    half = streamed(OnlineRefiner(latency=6, kind="rotation_matrix", strength=0.5), matrices)
    total = rotations.geodesic_angle(matrices, whole)
    np.testing.assert_allclose(rotations.geodesic_angle(matrices, half), total / 2, atol=1e-7)


def test_scale_offset_and_turning_change_nothing():
    track = walk(60, 2, 3)
    plain = streamed(OnlineRefiner(latency=4), track)
    turn = rotations.axis_angle_to_matrix(np.array([0.3, -1.0, 0.7]))
    found = streamed(OnlineRefiner(latency=4), -1000 * track @ turn.T + 50)
    np.testing.assert_allclose(found, -1000 * plain @ turn.T + 50, atol=1e-2)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_frames_come_out_as_they_went_in(dtype):
    track = walk(40, 2, 2, 3).astype(dtype)
    track.flags.writeable = False
    refiner = OnlineRefiner(latency=2)
    out = [refiner.push(frame) for frame in track]
    assert out[0] is None
    assert (out[5].dtype, out[5].shape) == (track.dtype, (2, 2, 3))
    strided = np.asfortranarray(track)
    again = streamed(OnlineRefiner(latency=2), strided)
    np.testing.assert_array_equal(np.array(out[2:]), again[:38])


def test_tensors_come_out_as_tensors():
    torch = pytest.importorskip("torch", reason="torch is an extra")
    track = walk(20, 2, 3)
    refiner = OnlineRefiner(latency=1)
    out = [refiner.push(torch.from_numpy(frame).float()) for frame in track][1:] + refiner.flush()
    assert all(isinstance(o, torch.Tensor) and o.dtype == torch.float32 for o in out)
    np.testing.assert_allclose(torch.stack(out).numpy(), streamed(OnlineRefiner(latency=1), track), atol=1e-5)


def test_two_streams_do_not_meet_and_a_refiner_can_be_used_again():
    first, second = walk(70, 2, 3, seed=1), walk(70, 5, 3, seed=2)
    alone = [streamed(OnlineRefiner(latency=7), track) for track in (first, second)]
    one, other = OnlineRefiner(latency=7), OnlineRefiner(latency=7)
    out: list[list] = [[], []]
    for frames in zip(first, second, strict=True):
        for refiner, frame, found in zip((one, other), frames, out, strict=True):
            found.append(refiner.push(frame))
    for refiner, found, expected in zip((one, other), out, alone, strict=True):
        np.testing.assert_array_equal(np.array(found[7:] + refiner.flush()), expected)
    # After flush, and in the middle of a stream after reset, another one begins.
    np.testing.assert_array_equal(streamed(one, second), alone[1])
    for frame in first[:40]:
        one.push(frame)
    one.reset()
    np.testing.assert_array_equal(streamed(one, second), alone[1])
    assert one.flush() == []


def test_memory_stays_what_it_is_however_long_the_stream(monkeypatch):
    frame = walk(400, 6, 3).astype(np.float32)
    refiner = OnlineRefiner("fast", latency=12)
    sizes = []
    for k in range(2500):
        refiner.push(frame[k % 400])
        sizes.append(refiner.nbytes)
    assert max(sizes[100:]) == max(sizes[100:300])
    assert sizes[-1] < 400_000
    # Times may lie as close as they like.
    monkeypatch.setattr(_online_history, "_MOST_FRAMES", 200)
    quick = OnlineRefiner("fast", latency=3)
    for k in range(900):
        quick.push(frame[k % 400, 0], 1e-5 * k)
    assert quick.nbytes < 200_000


@pytest.mark.parametrize(("shape", "kind"), [((48, 3), "position"), ((144,), "channels"), ((36, 4), "quat_wxyz")])
def test_a_push_takes_less_than_what_a_frame_has(shape, kind):
    track = walk(260, *shape) + (np.array([3.0, 0, 0, 0]) if kind == "quat_wxyz" else 0)
    refiner = OnlineRefiner(latency=8, kind=kind)
    spent = []
    for frame in track:
        start = time.process_time()
        refiner.push(frame)
        spent.append(time.process_time() - start)
    # Far from what it takes on a machine that does nothing else (see docs/live.md), since tests run side by side.
    assert np.median(spent[60:]) < 0.008


# Times, gaps, people


def test_times_that_are_even_change_nothing():
    track = walk(75, 2, 3)
    for latency in (3, FULL):
        expected = streamed(OnlineRefiner(latency=latency), track)
        found = streamed(OnlineRefiner(latency=latency), track, 1e6 + np.arange(75) / FPS)
        np.testing.assert_array_equal(found, expected)


def curve(joints: int = 3):
    """Return a smooth movement as a function of time."""
    return make_interp_spline(np.arange(0, 200) / FPS, walk(200, joints, 3, noise=0.0), axis=0)


@pytest.mark.parametrize("latency", [0, 4, FULL])
def test_uneven_times_are_as_good_as_even_ones(latency):
    rng = np.random.default_rng(0)
    even = np.arange(150) / FPS
    uneven = even + rng.uniform(-0.3, 0.3, 150) / FPS
    noise = rng.normal(0, 0.02, (150, 3, 3))

    def error(times, told):
        truth = curve()(times)
        found = streamed(OnlineRefiner(latency=latency), truth + noise, told)
        difference = found - truth
        return np.linalg.norm(difference, axis=-1).mean(), np.linalg.norm(np.diff(difference, 2, axis=0), axis=-1).mean()

    regular, told = error(even, None), error(uneven, uneven)
    assert told[0] < 1.05 * regular[0]
    assert told[1] < 1.4 * regular[1]
    untold = error(uneven, None)
    if latency:
        assert told[1] < 0.75 * untold[1]


@pytest.mark.parametrize("fps", [15.0, 25.0, 60.0, 120.0])
def test_other_frame_rates_are_brought_to_the_networks(fps):
    times = np.arange(int(5 * fps)) / fps
    truth = curve()(times)
    track = truth + np.random.default_rng(0).normal(0, 0.02, truth.shape)
    latency = min(FULL, round(8 * fps / FPS))
    found = streamed(OnlineRefiner(latency=latency, fps=fps), track)
    assert np.linalg.norm(found - truth, axis=-1).mean() < 0.75 * np.linalg.norm(track - truth, axis=-1).mean()
    by_times = streamed(OnlineRefiner(latency=latency, fps=fps), track, 7 + times)
    np.testing.assert_allclose(by_times, found, atol=1e-6)


def test_dropped_frames_count_as_not_observed():
    rng = np.random.default_rng(3)
    times = np.arange(150) / FPS
    truth = curve()(times)
    track = truth + rng.normal(0, 0.02, truth.shape)
    kept = rng.random(150) > 0.1
    kept[0] = True
    dropped = streamed(OnlineRefiner(latency=8), track[kept], times[kept])
    masked = streamed(OnlineRefiner(latency=8), np.where(kept[:, None, None], track, np.nan))[kept]
    assert np.linalg.norm(dropped - masked, axis=-1).mean() < 0.004
    assert np.linalg.norm(dropped - truth[kept], axis=-1).mean() < 0.024


def test_gaps_are_bridged_as_in_a_take_where_they_close_in_time():
    track = walk(140, 3, 3)
    track[20:23, 0] = np.nan
    track[60:70, 1] = np.nan
    track[100, 2, 1] = np.inf
    found = streamed(OnlineRefiner(latency=FULL), track)
    assert np.isfinite(found).all()
    difference = without_seam(np.linalg.norm(found - refine(track), axis=-1))
    assert np.median(difference) < 1e-6
    assert difference.max() < 0.01
    masked = track.copy()
    masked[~np.isfinite(track)] = 5.0
    mask = np.isfinite(track)
    np.testing.assert_array_equal(streamed(OnlineRefiner(latency=FULL), masked, mask=mask), found)
    np.testing.assert_array_equal(streamed(OnlineRefiner(latency=FULL), masked, confidence=mask.astype(float)), found)


def test_confidence_is_heard():
    track = walk(90, 2, 3)
    doubt = np.ones((90, 2))
    doubt[40:60] = 0.1
    expected = refine(track, confidence=doubt)
    found = streamed(OnlineRefiner(latency=FULL), track, confidence=doubt)
    assert without_seam(np.abs(found - expected)).max() < 2e-6
    assert np.abs(found - refine(track)).max() > 1e-4


@pytest.mark.parametrize("latency", [0, 5, FULL])
@pytest.mark.parametrize("kind", ["position", "quat_wxyz"])
def test_people_come_and_go(latency, kind):
    track = walk(260, 2, 2, 3)
    if kind == "quat_wxyz":
        track = rotations.axis_angle_to_quat_wxyz(track)
    alone = streamed(OnlineRefiner(latency=latency, kind=kind), track[:, :1])
    # The second person comes late, leaves, and comes again.
    there = np.zeros(260, bool)
    there[50:100] = there[200:] = True
    track[~there, 1] = np.nan
    found = streamed(OnlineRefiner(latency=latency, kind=kind), track)
    np.testing.assert_allclose(found[:, 0], alone[:, 0], atol=1e-5)
    gone = np.isnan(found[:, 1]).all(axis=(1, 2))
    expected = np.ones(260, bool)
    expected[50 : 100 + FULL] = expected[200:] = False
    np.testing.assert_array_equal(gone, expected)
    assert np.isfinite(found[~gone]).all()
    # Who comes again begins anew, as at the start of a stream.
    again = streamed(OnlineRefiner(latency=latency, kind=kind), track[200:, 1:])
    if latency < FULL:
        np.testing.assert_allclose(np.abs(found[200:, 1:]), np.abs(again), atol=1e-5)


def test_nobody_at_first_and_nothing_at_all():
    nothing = np.full((40, 2, 3), np.nan)
    assert np.isnan(streamed(OnlineRefiner(latency=3), nothing)).all()
    assert streamed(OnlineRefiner(latency=3), np.zeros((9, 0, 3))).shape == (9, 0, 3)
    assert streamed(OnlineRefiner(latency=0, kind="channels"), np.arange(5.0)).shape == (5,)
    assert OnlineRefiner(latency=3).flush() == []


def test_a_long_silence_is_a_new_beginning():
    track = walk(120, 2, 3)
    times = np.arange(120) / FPS
    times[60:] += 100.0
    found = streamed(OnlineRefiner(latency=6), track, times)
    after = streamed(OnlineRefiner(latency=6), track[60:])
    np.testing.assert_allclose(found[60:], after, atol=1e-5)
    assert np.isfinite(found).all()


# What is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latency": 32}, "latency: expected a whole number of frames from 0 to 31, received 32"),
        ({"latency": -1}, "latency: expected a whole number of frames from 0 to 31, received -1"),
        ({"latency": 2.0}, "latency: expected a whole number of frames from 0 to 31, received 2.0"),
        ({"latency": True}, "latency: expected a whole number of frames from 0 to 31, received True"),
        ({"latency": 4, "fps": 0}, "fps: expected a positive number of frames a second, received 0"),
        ({"latency": 4, "fps": "x"}, "fps: expected a positive number of frames a second, received 'x'"),
        ({"latency": 4, "fps": np.nan}, "fps: expected a positive number of frames a second, received nan"),
        ({"latency": 4, "fps": 2e6}, "fps: expected 0.1 to 1,000,000 frames a second, received 2000000.0"),
        (
            {"latency": 4, "kind": "euler"},
            "kind: expected one of position, rotation_6d, rotation_matrix, quat_wxyz, axis_angle, channels, "
            "received 'euler'",
        ),
        ({"latency": 4, "order": "xyz"}, "order: expected one of interleaved, columns, rows, received 'xyz'"),
        ({"latency": 4, "strength": 2}, "strength: expected a number from 0 to 1, received 2"),
        ({"latency": 31, "hop": 0}, "hop: expected a whole number of frames from 1 to the window, 32, received 0"),
        ({"latency": 31, "hop": 33}, "hop: expected a whole number of frames from 1 to the window, 32, received 33"),
        (
            {"latency": 30, "hop": 4},
            "hop: expected none with a latency below 31 frames, where every frame has a window, received 4",
        ),
        (
            {"latency": 4, "model": "body"},
            "model body: expected an architecture of vector_filter, smoothnet, motion_aware, received body_aware",
        ),
        (
            {"latency": 4, "model": "deglitch"},
            "model deglitch: expected an architecture of vector_filter, smoothnet, motion_aware, received robust_fit",
        ),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError) as error:
        OnlineRefiner(**arguments)
    assert str(error.value) == message


FRAME = np.zeros((2, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0.0]],), "frame: expected a NumPy array or a torch tensor, received a list"),
        (
            (np.ma.masked_array(FRAME),),
            "frame: expected a NumPy array or a torch tensor, received a MaskedArray",
        ),
        ((FRAME.astype(int),), "frame: expected an array of floats, received shape (2, 3), dtype int64"),
        ((np.zeros((2, 4)),), "shape of a position frame: expected (..., 2) or (..., 3), received (2, 4)"),
        ((np.zeros(()),), "shape of a position frame: expected (..., 2) or (..., 3), received ()"),
        ((np.zeros((3, 3)),), "shape of the frame: expected that of the first, (2, 3), received (3, 3)"),
        ((FRAME, 2.0), "time: expected later than that of the frame before, 2, received 2"),
        ((FRAME, 1.5), "time: expected later than that of the frame before, 2, received 1.5"),
        ((FRAME, None), "time: expected one for every frame or for none, received None"),
        ((FRAME, np.inf), "time: expected a number of seconds, received inf"),
        ((FRAME, "x"), "time: expected a number of seconds, received 'x'"),
    ],
)
def test_wrong_frames_are_named_and_change_nothing(arguments, message):
    track = walk(20, 2, 3)
    expected = streamed(OnlineRefiner(latency=1), track, 1 + np.arange(20) / 10)
    refiner = OnlineRefiner(latency=1)
    out = [refiner.push(track[k], 1 + k / 10) for k in range(11)]
    with pytest.raises(ValueError) as error:
        refiner.push(*arguments)
    assert str(error.value) == message
    out += [refiner.push(track[k], 1 + k / 10) for k in range(11, 20)]
    np.testing.assert_array_equal(np.array(out[1:] + refiner.flush()), expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mask": [True]}, "shape of mask: expected (), (J,) or the frame's (2, 3), received (1,)"),
        ({"mask": [0.5, 1]}, "mask: expected True or False, received other numbers, dtype float64"),
        ({"mask": ["a", "b"]}, "mask: expected an array of numbers, received dtype <U1"),
        ({"confidence": [2.0, 0.5]}, "confidence: expected values in [0, 1], received 0.5 to 2"),
        ({"confidence": np.ones((2, 3, 1))}, "shape of confidence: expected (), (J,) or the frame's (2, 3), received (2, 3, 1)"),
    ],
)
def test_a_wrong_mask_or_confidence_is_named(given, message):
    with pytest.raises(ValueError) as error:
        OnlineRefiner(latency=1).push(FRAME, **given)
    assert str(error.value) == message


def test_times_need_a_clock():
    own = load_model("published-video")
    model = Model("no rate", own.tensors, {key: value for key, value in own.metadata.items() if key != "fps"})
    with pytest.raises(ValueError) as error:
        OnlineRefiner(model, latency=1).push(FRAME, 0.0)
    assert str(error.value) == (
        "fps: expected frames a second, since the weights state none and frames have times, received None"
    )
    refiner = OnlineRefiner(model, latency=1, fps=50)
    assert refiner.push(FRAME, 0.0) is None
    assert refiner.push(FRAME, 0.02) is not None


# The pieces


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), count=st.integers(1, 12))
def test_cubic_weights_are_hermites(seed, count):
    rng = np.random.default_rng(seed)
    nodes = np.cumsum(rng.uniform(0.1, 2.0, count))
    at = np.sort(rng.uniform(nodes[0] - 1, nodes[-1] + 1, 9))
    values = rng.normal(size=count)
    index, weights = cubic_weights(nodes, at)
    found = (weights * values[index]).sum(axis=1)
    inside = np.clip(at, nodes[0], nodes[-1])
    if count < 3:
        np.testing.assert_allclose(found, np.interp(inside, nodes, values), atol=1e-12)
        return
    # The slopes of the parabolas through three nodes, at the ends those of the outer pieces.
    slopes = np.gradient(values, nodes, edge_order=1)
    np.testing.assert_allclose(found, CubicHermiteSpline(nodes, values, slopes)(inside), atol=1e-9)


@settings(max_examples=30)
@given(steps=st.lists(st.integers(1, 40), min_size=1, max_size=40), keep=st.integers(1, 90))
def test_a_table_holds_the_last_rows(steps, keep):
    rows = Rows(number=(), pair=(2,))
    count = 0
    for step in steps:
        for _ in range(step):
            rows.add()
            rows["number"][-1] = count
            rows["pair"][-1] = count
            count += 1
        rows.forget(count - keep)
        expected = np.arange(max(0, count - keep), count)
        assert rows.first == expected[0]
        np.testing.assert_array_equal(rows["number"], expected)
        np.testing.assert_array_equal(rows["pair"], np.stack([expected, expected], axis=1))
    rows.add()
    assert rows["pair"][-1].tolist() == [0, 0]


def test_it_needs_no_torch():
    assert "torch" not in sys.modules["smoothnet_core.online"].__dict__
