"""The Gaussian by matrix products against SciPy's."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from smoothnet_core._gaussian import gaussian


@settings(max_examples=80, deadline=None)
@given(st.floats(0.01, 60.0), st.integers(1, 900), st.integers(0, 1000))
def test_it_is_scipy_s(sigma: float, frames: int, seed: int):
    tracks = np.random.default_rng(seed).normal(size=(2, 3, frames)).cumsum(axis=2) + 10
    expected = gaussian_filter1d(tracks, sigma, axis=2, mode="nearest")
    np.testing.assert_allclose(gaussian(tracks, sigma), expected, rtol=0, atol=1e-11)


def test_views_of_any_kind_are_read_and_not_written_to():
    tracks = np.random.default_rng(1).normal(size=(5000, 6))[::-1, ::2].T
    before = tracks.copy()
    tracks.flags.writeable = False
    expected = gaussian_filter1d(tracks, 3.0, axis=1, mode="nearest")
    np.testing.assert_allclose(gaussian(tracks, 3.0), expected, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(tracks, before)


def test_constants_stay_and_nothing_is_nothing():
    np.testing.assert_allclose(gaussian(np.full((2, 70), 3.0), 5.0), 3.0, rtol=1e-14)
    assert gaussian(np.zeros((0, 9)), 2.0).shape == (0, 9)
