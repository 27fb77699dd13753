import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smoothnet_core.windows import blend_weights, refine_windows, window_starts


def test_starts_cover_every_frame_and_stay_inside():
    for frames in range(8, 60):
        for hop in range(1, 9):
            starts = window_starts(frames, 8, hop)
            covered = np.zeros(frames, bool)
            for start in starts:
                covered[start : start + 8] = True
            assert covered.all()
            assert starts[-1] + 8 == frames
            assert len(set(starts)) == len(starts)


@given(
    frames=st.integers(2, 90),
    hop=st.integers(1, 16),
    blend=st.sampled_from(["uniform", "taper"]),
    size=st.integers(1, 4),
)
def test_windows_that_nothing_changes_blend_back_to_the_track(frames, hop, blend, size):
    values = np.random.default_rng(frames).normal(size=(3, frames, size)).astype(np.float32)
    quality = np.ones((3, frames, 2), np.float32)
    out = refine_windows(values, quality, lambda w, q: w, window=16, hop=hop, blend=blend)
    np.testing.assert_allclose(out, values, atol=1e-6)


def test_blend_is_the_weighted_mean_of_a_loop(monkeypatch):
    # Small blocks, so that several are needed.
    monkeypatch.setattr("smoothnet_core.windows._BLOCK_FLOATS", 500)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 50, 3)).astype(np.float32)
    quality = rng.random((2, 50, 2)).astype(np.float32)

    def run(windows, quality):
        return (windows**2 + quality.mean(axis=(1, 2))[:, None, None]).astype(np.float32)

    for blend in ("uniform", "taper"):
        weights = blend_weights(blend, 12)
        total, norm = np.zeros((2, 50, 3)), np.zeros(50)
        for start in window_starts(50, 12, 5):
            piece = slice(start, start + 12)
            own = weights.copy()
            if blend == "taper" and start % 5:
                # The window that is aligned with the end leaves its first frame to the others.
                own[0] = 0
            for n in range(2):
                total[n, piece] += own[:, None] * run(values[n : n + 1, piece], quality[n : n + 1, piece])[0]
            norm[piece] += own
        out = refine_windows(values, quality, run, window=12, hop=5, blend=blend)
        np.testing.assert_allclose(out, total / norm[:, None], rtol=1e-5, atol=1e-6)


def test_a_short_track_is_continued_by_point_reflection():
    line = np.linspace(0, 1, 5, dtype=np.float32)[None, :, None]
    seen = []

    def run(windows, quality):
        seen.append(windows.copy())
        return windows

    refine_windows(line, np.ones((1, 5, 2), np.float32), run, window=13, hop=4, blend="taper")
    # A line goes on as the same line, up to where reflection turns round.
    np.testing.assert_allclose(np.diff(seen[0][0, :, 0]), 0.25, atol=1e-6)


def test_refusals():
    values, quality = np.zeros((1, 9, 1), np.float32), np.ones((1, 9, 2), np.float32)
    with pytest.raises(
        ValueError, match=r"^hop: expected a whole number of frames from 1 to the window, 8, received 9$"
    ):
        refine_windows(values, quality, lambda w, q: w, window=8, hop=9, blend="taper")
    with pytest.raises(ValueError, match=r"^blend: expected one of uniform, taper, received 'hann'$"):
        blend_weights("hann", 8)
