from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpl_tools import frame_rates as rates

RATES = (24.0, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0, 100.0, 120.0, 33.333333, 12.5)


@pytest.mark.parametrize(
    ("spelling", "whole"),
    [
        *((29.97, 30), (29.97003, 30), (30000 / 1001, 30), (59.94, 60), (23.98, 24), (23.976, 24), (24000 / 1001, 24)),
        *((119.88, 120), (120000 / 1001, 120), (47.95, 48), (47.952, 48), (239.76, 240)),
    ],
)
def test_a_rounded_rate_stands_for_the_exact_one(spelling, whole):
    assert rates.nominal_rate(spelling) == Fraction(whole * 1000, 1001)


@pytest.mark.parametrize("fps", [30.0, 24, 23.97, 29.9, 59.9, 12.5, 25.0, 1e6, 0.1])
def test_other_rates_stay(fps):
    assert rates.nominal_rate(fps) == fps


def test_two_hours_of_television_land_on_every_second_frame():
    new = rates.resample_frames(np.arange(431_568), 59.94, 29.97)
    np.testing.assert_array_equal(new.rows, np.arange(0, 431_568, 2))
    np.testing.assert_array_equal(new.frames, np.arange(215_784))
    assert not new.share.any()


@pytest.mark.parametrize(("fps_out", "last"), [(33.333333, 999.99999), (30, 900), (30.3, 909)])
def test_a_last_frame_within_rounding_of_the_end_is_kept(fps_out, last):
    times = rates.resample_times(3001, 100, fps_out)
    assert len(times) == round(last) + 1
    np.testing.assert_allclose(times, np.arange(len(times)) / fps_out, rtol=1e-15)
    assert rates.resample_times(3000, 100, fps_out)[-1] < times[-1]
    assert len(rates.resample_times(0, 100, fps_out)) == 0
    assert rates.resample_times(1, 100, fps_out).tolist() == [0.0]


@given(
    st.sets(st.integers(-40, 200), max_size=60),
    st.sampled_from(RATES) | st.floats(1, 300),
    st.sampled_from(RATES) | st.floats(1, 300),
    st.none() | st.integers(-60, 60),
)
def test_new_frames_are_those_between_frames_that_are_there(numbers, fps_in, fps_out, origin):
    frames = np.array(sorted(numbers), np.int64)
    new = rates.resample_frames(frames, fps_in, fps_out, origin=origin)
    start = (int(frames[0]) if len(frames) else 0) if origin is None else origin
    ratio = new.ratio
    # As stated: within a thousandth of a frame over the length of the take, or of one old frame where there is none.
    exact = float(rates.nominal_rate(fps_in)) / float(rates.nominal_rate(fps_out))
    length = max(1, int(np.abs(frames - start).max()) if len(frames) else 1)
    assert abs(float(ratio) - exact) * max(1, math.ceil(length / exact)) < 1e-3
    expected = []
    if len(frames):
        for k in range(math.ceil((frames[0] - start) / ratio), math.floor((frames[-1] - start) / ratio) + 1):
            at = start + k * ratio
            if {math.floor(at), math.ceil(at)} <= numbers:
                row = int(np.searchsorted(frames, math.floor(at)))
                expected.append((start + k, row, float(at - math.floor(at))))
    assert list(zip(new.frames.tolist(), new.rows.tolist(), new.share.tolist(), strict=True)) == expected


@given(st.integers(0, 2**32 - 1), st.integers(0, 2000))
def test_there_and_back_keeps_the_numbers(seed, first):
    rng = np.random.default_rng(seed)
    frames = first + np.flatnonzero(rng.random(80) < 0.8)
    up = rates.resample_frames(frames, 30, 60)
    np.testing.assert_array_equal(rates.resample_frames(up.frames, 60, 30, origin=up.frames[:1].sum()).frames, frames)
    down = rates.resample_frames(frames, 60, 30)
    back = rates.resample_frames(down.frames, 30, 60)
    # Numbers that both rates have mean the same moment again; between frames that are gone nothing comes back.
    assert set(back.frames) <= set(range(int(frames[0]), int(frames[-1]) + 1))
    both = frames[(frames - frames[0]) % 2 == 0]
    np.testing.assert_array_equal(back.frames[back.share == 0], both)


@given(st.floats(0.01, 1e6), st.floats(0.01, 1e6), st.integers(0, 10**7))
def test_a_ratio_is_right_to_a_thousandth_of_a_frame_at_the_end(fps_in, fps_out, frames):
    ratio = rates.rate_ratio(fps_in, fps_out, frames)
    exact = Fraction(*map(Fraction, (rates.nominal_rate(fps_in), rates.nominal_rate(fps_out))))
    assert abs(ratio - exact) * max(1, frames / exact) < 1.01e-3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: rates.nominal_rate(math.nan),
            "fps: expected a positive number of frames a second, at most 1000000, received nan",
        ),
        (
            lambda: rates.resample_times(3, 30, 0),
            "fps_out: expected a positive number of frames a second, at most 1000000, received 0",
        ),
        (lambda: rates.resample_times(-1, 30, 60), "frames: expected 0 or more, received -1"),
        (
            lambda: rates.resample_frames([0, 0], 30, 60),
            "frames: expected strictly increasing numbers, received a repeated or falling number",
        ),
        (
            lambda: rates.resample_frames([0.5], 30, 60),
            "frames: expected whole numbers (T,), received shape (1,), dtype float64",
        ),
        (
            lambda: rates.resample_frames([0, 2**62], 30, 60),
            f"length of the take: expected fewer frames, or rates that differ less, received {2**62} frames",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        call()
