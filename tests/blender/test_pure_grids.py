"""Time grids of keys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender_addon.animation.grids import Grid, gaps, grid_of, is_sparse, keys_per_second, real_fps


def as_stored(times):
    """As Blender holds them."""
    return np.asarray(times, np.float32).astype(np.float64)


STEPS = {"each": 1.0, "second": 2.0, "glTF": 0.8, "film": 24 / 29.97, "slow": 10.0, "120 fps": 0.2}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
@pytest.mark.parametrize("start", [0.0, 1.0, 0.8, -37.0, 1001.25, 80_000.0])
@pytest.mark.parametrize("count", [2, 3, 10, 1800])
def test_even_keys_give_the_grid_of_exactly_these_keys(step, start, count):
    times = as_stored(start + step * np.arange(count))
    grid = grid_of([times] * 4)
    assert grid.count == count
    np.testing.assert_allclose(grid.times, times, rtol=0.0, atol=1e-6 * max(1.0, abs(times).max()))
    np.testing.assert_array_equal(grid.index_of(times), np.arange(count))


def test_keys_on_whole_frames_give_whole_numbers():
    assert grid_of([np.arange(1.0, 1801.0)]) == Grid(1.0, 1.0, 1800)
    assert grid_of([np.arange(5.0, 105.0, 2.0)]) == Grid(5.0, 2.0, 50)


@given(
    st.sampled_from([1.0, 2.0, 0.8, 24 / 29.97, 0.5]),
    st.floats(-1e4, 1e4),
    st.integers(20, 3000),
    st.floats(0.0, 0.3),
    st.integers(0, 2**32 - 1),
)
def test_missing_keys_leave_the_step_and_the_extent(step, start, count, share, seed):
    keep = np.random.default_rng(seed).random(count) >= share
    keep[[0, 1, 2, 3, -1]] = True
    places = np.flatnonzero(keep)
    times = as_stored(start + step * places)
    grid = grid_of([times])
    assert grid.count == count
    np.testing.assert_array_equal(grid.index_of(times), places)


def test_a_hundred_thousand_fractional_frames_do_not_drift():
    # glTF holds seconds in float32 too: the noise of both.
    times = as_stored(as_stored(np.arange(100_000) / 30) * 24)
    grid = grid_of([times])
    assert grid.count == 100_000
    assert grid.step == pytest.approx(0.8, abs=1e-7)
    np.testing.assert_array_equal(grid.index_of(times), np.arange(100_000))


def test_curves_of_one_channel_share_a_grid():
    few, many = np.array([1.0, 100.0]), np.arange(1.0, 101.0)
    assert grid_of([few, many, np.zeros(0)]) == Grid(1.0, 1.0, 100)
    assert grid_of([np.arange(0.0, 10.0), np.arange(0.5, 10.0)]) == Grid(0.0, 0.5, 20)
    assert grid_of([np.array([7.25])]) == Grid(7.25, 1.0, 1)


def test_uneven_keys_are_sampled_each_frame_or_finer():
    assert grid_of([np.array([1.0, 4.0, 5.0, 11.0, 30.0])]) == Grid(1.0, 1.0, 30)
    rng = np.random.default_rng(1)
    loose = np.concatenate([[0.0], np.cumsum(rng.uniform(3.0, 9.0, 50))])
    grid = grid_of([loose])
    assert (grid.start, grid.step) == (0.0, 1.0)
    assert loose[-1] <= grid.end < loose[-1] + 1.0
    tight = np.concatenate([[0.0], np.cumsum(rng.uniform(0.2, 0.6, 50))])
    assert grid_of([tight]).step == pytest.approx(np.median(np.diff(tight)), rel=0.05)
    assert grid_of([loose], frame=0.5).step == 0.5


def test_one_odd_key_does_not_change_the_step():
    times = np.sort(np.append(as_stored(np.arange(1, 1000) * 0.8), 400.3))
    grid = grid_of([times])
    assert grid.step == pytest.approx(0.8, abs=1e-5)
    places = grid.index_of(times)
    assert (places < 0).sum() == 1
    assert times[places < 0] == 400.3


def test_times_off_the_grid():
    np.testing.assert_array_equal(
        Grid(1.0, 2.0, 3).index_of([0.0, 1.0, 2.0, 3.0, 5.0, 7.0, -1.0]), [-1, 0, -1, 1, 2, -1, -1]
    )
    np.testing.assert_array_equal(Grid(1.0, 2.0, 3).times, [1.0, 3.0, 5.0])
    assert Grid(1.0, 2.0, 3).end == 5.0


def test_no_key_is_an_error():
    with pytest.raises(ValueError, match=r"^A grid needs at least one key$"):
        grid_of([np.zeros(0), np.zeros(0)])
    with pytest.raises(ValueError, match=r"^A grid needs at least one key$"):
        grid_of([])


def test_gaps_are_runs_of_frames_without_key():
    times = np.delete(np.arange(1.0, 101.0), [10, 11, 12, 50, 70])
    grid = grid_of([times])
    assert gaps(times, grid, fps=30.0) == [(10, 13), (50, 51), (70, 71)]


def test_long_gaps_and_sparse_curves_are_meant():
    times = np.delete(np.arange(1.0, 101.0), np.r_[10:24, 50:65])
    grid = grid_of([times])
    # 14 frames missing: half a second between the keys around them.
    assert gaps(times, grid, fps=30.0, longest=0.5) == [(10, 24)]
    assert gaps(times, grid, fps=30.0, longest=0.6) == [(10, 24), (50, 65)]
    assert gaps(times[::2], grid, fps=30.0) == []
    assert gaps(times[:1], grid, fps=30.0) == []
    # The step counts: the same keys twice as far apart.
    assert gaps(2.0 * times, grid_of([2.0 * times]), fps=30.0, longest=0.5) == []
    assert gaps(2.0 * times, grid_of([2.0 * times]), fps=60.0, longest=0.5) == [(10, 24)]


def test_keys_a_second():
    assert keys_per_second(np.arange(0.0, 31.0), 30.0) == pytest.approx(30.0)
    assert keys_per_second(np.arange(0.0, 31.0, 6.0), 30.0) == pytest.approx(5.0)
    assert keys_per_second(np.array([1.0]), 30.0) == 0.0
    assert keys_per_second(np.zeros(0), 30.0) == 0.0


def test_which_curves_are_sparse():
    times = np.arange(0.0, 301.0)
    moving = np.sin(times)
    assert not is_sparse(times, moving, 30.0)
    assert not is_sparse(times[::6], moving[::6], 30.0)
    assert is_sparse(times[::7], moving[::7], 30.0)
    assert not is_sparse(times[::7], moving[::7], 30.0, least=4.0)
    assert is_sparse(times[:2], moving[:2], 30.0)
    assert is_sparse(times, np.full(301, 0.7), 30.0)
    assert is_sparse(times[:0], moving[:0], 30.0)


def test_frames_a_second():
    assert real_fps(24, 1.0) == 24.0
    assert real_fps(30, 1.001) == pytest.approx(29.97, abs=1e-3)
    # Twice as long: half as many frames of the action in a second.
    assert real_fps(24, 1.0, 100, 200) == 12.0
    assert real_fps(24, 1.0, 100, 100, strip_scale=2.0) == 12.0
