"""Streams with uneven times, other frame rates, gaps, and people who come and go."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicHermiteSpline, make_interp_spline

from smoothnet_core import refine, rotations
from smoothnet_core._online_answers import Answers
from smoothnet_core._online_history import History, Rows, cubic_weights
from smoothnet_core.online import OnlineRefiner
from tests.core.online_helpers import FPS, FULL, streamed, walk


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
        return np.linalg.norm(difference, axis=-1).mean(), np.linalg.norm(
            np.diff(difference, 2, axis=0), axis=-1
        ).mean()

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
    latency = min(FULL, round(16 * fps / FPS))
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
    difference = np.linalg.norm(found - refine(track), axis=-1)
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
    assert np.abs(found - expected).max() < 2e-6
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


@pytest.mark.parametrize("step", [1.0, 0.5, 2.0])
def test_what_lies_between_dropped_frames_was_not_observed(step):
    stamps = np.delete(np.arange(0.0, 60.0, step), slice(int(30 / step), int(34 / step)))
    history = History(Rows(**Answers.columns(1, 3, False)), 1, 3, 32)
    for stamp in stamps:
        history.add(np.full((1, 3), stamp), np.array([True]), np.array([0.5]), stamp)
    values, quality = history.by_clock()
    at = stamps[-1] + np.arange(-31.0, 1.0)
    # A straight line is what a cubic through it is, also across the gap.
    np.testing.assert_allclose(values[:, 0, 0], at, atol=1e-9)
    seen = np.abs(stamps[:, None] - at).min(axis=0) <= 0.75 * max(1.0, step)
    assert 3 <= (~seen).sum() <= 5
    np.testing.assert_array_equal(quality[:, 0], np.where(seen[:, None], [0.5, 1.0], 0.0))
