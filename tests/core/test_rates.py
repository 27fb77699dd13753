import numpy as np
import pytest
from scipy.interpolate import make_interp_spline

from smoothnet_core.rates import _spline, refine_at_rate, same_rate

RATES = [10.0, 24.0, 25.0, 29.97, 50.0, 59.94, 60.0, 100.0, 120.0, 240.0]


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("frames", [2, 3, 5, 40, 133])
def test_a_refiner_that_changes_nothing_changes_nothing(fps, frames):
    track = np.random.default_rng(frames).normal(size=(frames, 3, 2)).cumsum(axis=0)
    out = refine_at_rate(track, np.ones((frames, 3, 2)), lambda x, q: x, fps=fps, model_fps=30.0)
    np.testing.assert_allclose(out, track, atol=1e-9)


@pytest.mark.parametrize("fps", [24.0, 60.0, 120.0])
def test_the_refiner_sees_the_motion_at_its_own_rate(fps):
    def motion(time):
        return np.sin(2 * np.pi * 1.5 * time)[:, None, None]

    seen = []

    def refine(track, quality):
        seen.append(track)
        return track

    refine_at_rate(motion(np.arange(400) / fps), np.ones((400, 1, 2)), refine, fps=fps, model_fps=30.0)
    expected = motion(np.arange(len(seen[0])) / 30)
    np.testing.assert_allclose(seen[0][8:-8], expected[8:-8], atol=2e-3)


def test_jitter_above_the_networks_limit_goes_with_the_jitter_below_it():
    rng = np.random.default_rng(0)
    slow = np.sin(np.linspace(0, 20, 1200))[:, None, None]
    noisy = slow + 0.05 * rng.normal(size=slow.shape)

    def smooth(track, quality):
        from scipy.ndimage import gaussian_filter1d

        return gaussian_filter1d(track, 3, axis=0)

    out = refine_at_rate(noisy, np.ones((1200, 1, 2)), smooth, fps=120.0, model_fps=30.0)
    jitter = [np.square(np.diff(x, n=2, axis=0)).mean() for x in (out, noisy)]
    assert jitter[0] < 0.01 * jitter[1]


def test_same_rate():
    assert same_rate(29.97, 30)
    assert same_rate(30, 30)
    assert not same_rate(25, 30)
    assert not same_rate(31, 30)


@pytest.mark.parametrize("frames", [2, 3, 4, 5, 6, 7, 50])
def test_the_spline_is_the_cubic_one_without_knots_at_its_ends(frames):
    tracks = np.random.default_rng(frames).normal(size=(2, 3, frames))
    at = np.linspace(0, frames - 1 + 0.5, 91)
    expected = make_interp_spline(np.arange(frames), tracks, k=min(3, frames - 1), axis=2)(at)
    np.testing.assert_allclose(_spline(tracks, at), expected, atol=1e-13)
