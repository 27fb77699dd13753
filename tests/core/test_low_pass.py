"""The low-pass by matrix products against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, sosfiltfilt

from smoothnet_core._low_pass import low_passed


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([2, 4, 8]),
    st.floats(0.02, 0.48),
    st.integers(1, 300),
    st.integers(0, 200),
    st.integers(0, 1000),
)
def test_it_is_scipy_s(order: int, share: float, frames: int, pad: int, seed: int):
    tracks = np.random.default_rng(seed).normal(size=(3, frames)).cumsum(axis=1) + 10
    pad = min(pad, frames - 1)
    expected = sosfiltfilt(butter(order, 50 * share, fs=50, output="sos"), tracks, padtype="odd", padlen=pad)
    np.testing.assert_allclose(low_passed(tracks, order, 50 * share, 50.0, pad), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("frames", [63, 64, 65, 128, 1000, 2017, 2018, 2019, 9000])
def test_whole_blocks_and_parts_of_one(frames: int):
    tracks = np.random.default_rng(frames).normal(size=(2, frames))
    expected = sosfiltfilt(butter(4, 4, fs=30, output="sos"), tracks, padlen=15)
    np.testing.assert_allclose(low_passed(tracks, 4, 4.0, 30.0, 15), expected, rtol=0, atol=1e-12)


def test_views_of_any_kind_are_read_and_not_written_to():
    tracks = np.random.default_rng(1).normal(size=(100, 6))[::-1, ::2].T
    before = tracks.copy()
    tracks.flags.writeable = False
    expected = sosfiltfilt(butter(4, 4, fs=30, output="sos"), tracks, padlen=15)
    np.testing.assert_allclose(low_passed(tracks, 4, 4.0, 30.0, 15), expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(tracks, before)
