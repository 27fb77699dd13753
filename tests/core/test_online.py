"""Refinement of streams: at full latency as of whole takes, at every other nearly so."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothnet_core import _online_history, refine, rotations
from smoothnet_core._online_answers import STEADY_REACH
from smoothnet_core.online import OnlineRefiner
from tests.core.online_helpers import FULL, WINDOW, streamed, turns, walk


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
    assert np.abs(found - expected).max(initial=0) < 2e-6


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
    offset = np.array([3.0, -2.0, 5.0])
    near = streamed(OnlineRefiner("published-video", latency=8), track)
    far = streamed(OnlineRefiner("published-video", latency=8), track + offset)
    np.testing.assert_allclose(far, near + offset, atol=1e-5)
    offline = refine(track, model="published-video")
    full = streamed(OnlineRefiner("published-video", latency=FULL), track)
    assert np.abs(full - offline).mean() < 0.25 * np.abs(track - offline).mean()


@pytest.mark.parametrize("latency", range(0, WINDOW, 1))
def test_every_latency_moves_towards_the_offline_result(latency):
    track = walk(100, 3, 3)
    found = streamed(OnlineRefiner(latency=latency), track)
    assert np.isfinite(found).all()
    offline = refine(track)
    limit = 1.5 if latency < 2 else 0.75
    assert np.abs(found - offline).mean() < limit * np.abs(track - offline).mean()


def test_without_a_hop_of_its_own_full_latency_equals_the_blend_of_all_windows():
    track = walk(80, 2, 3)
    # Below full latency a window is run at every frame: the middle of a take differs by the one frame alone.
    every = streamed(OnlineRefiner(latency=FULL, hop=1), track)
    nearly = streamed(OnlineRefiner(latency=FULL - 1), track)
    assert np.abs(every - nearly)[FULL:-FULL].max() < 1e-3


def test_weights_for_ends_are_asked_for_ends_alone():
    track = walk(90, 2, 3)
    first = streamed(OnlineRefiner("live", latency=7), track)
    later = streamed(OnlineRefiner("live", latency=15), track)
    np.testing.assert_allclose(later, first, atol=1e-12)
    # Unless all windows of a take are asked for.
    full = streamed(OnlineRefiner("live", latency=FULL), track)
    assert np.abs(full - refine(track, model="live")).max() < 2e-6


def test_auto_takes_what_suits_the_latency():
    taken = {latency: OnlineRefiner(latency=latency).model.name for latency in (0, 15, 16, FULL)}
    assert taken == {0: "live", 15: "live", 16: "default", FULL: "default"}
    # Of a stream of 60 frames a second twice as many are as long.
    assert OnlineRefiner(latency=30, fps=60).model.name == "live"
    assert OnlineRefiner(latency=9, fps=15).model.name == "default"
    assert OnlineRefiner("default", latency=0).model.name == "default"


@pytest.mark.parametrize("frames", [1, 7, 31, 32, 33, 52, 53, 120])
@pytest.mark.parametrize("kind", ["rotation_matrix", "axis_angle", "quat_wxyz", "rotation_6d"])
def test_rotations_differ_from_a_take_by_what_smoothing_has_not_seen_yet(kind, frames):
    vectors = turns(frames, 3)
    convert = {
        "rotation_matrix": rotations.axis_angle_to_matrix,
        "axis_angle": np.asarray,
        "quat_wxyz": rotations.axis_angle_to_quat_wxyz,
        "rotation_6d": lambda v: rotations.matrix_to_rotation_6d(rotations.axis_angle_to_matrix(v)),
    }[kind]
    track = np.asarray(convert(vectors))
    if kind == "quat_wxyz":
        # As some programs write them, now on this side and now on that.
        track = track * np.where(np.random.default_rng(1).random((frames, 3, 1)) < 0.3, -1, 1)
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
    if frames > FULL + STEADY_REACH:
        assert angles.max() > 1e-3
    # With as many more frames of latency nothing is missing.
    found = streamed(OnlineRefiner(latency=FULL + STEADY_REACH, kind=kind), track)
    np.testing.assert_allclose(found, expected, atol=2e-6)
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
