"""Several threads at once, tracks that lie in files, and little memory: the same bits as one call after the other."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from smoothnet_core import load_model, refine
from smoothnet_core.inference import blas_threads
from tests.core import window_oracle as oracle

CALLS = [
    {"track": oracle.motion(3000, 7, 3, seed=1), "model": "default"},
    {"track": oracle.motion(900, 20, 3, seed=2, dtype=np.float32), "model": "fast"},
    {"track": oracle.motion(700, 9, 3, seed=3)[..., 0], "kind": "channels", "model": "published-static"},
    {"track": oracle.motion(2500, 5, 3, seed=4, gaps=[(1, 100, 180)]), "model": "default", "hop": 3},
    {"track": oracle.motion(33, 60, 3, seed=5), "model": "published-static"},
    {"track": oracle.motion(1200, 4, 3, seed=6), "kind": "axis_angle", "model": "default"},
    {"track": oracle.motion(1200, 4, 2, seed=7), "model": "default", "fps": 60.0},
]


def run(call):
    return refine(**call)


@pytest.fixture
def hasty():
    """Let threads take turns a thousand times as often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_at_once_give_the_bits_of_one_after_the_other(threads, hasty):
    expected = [run(call) for call in CALLS]
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(3):
            for found, wanted in zip(pool.map(run, CALLS), expected, strict=True):
                np.testing.assert_array_equal(found, wanted)


def test_one_model_and_one_track_serve_all_threads(hasty):
    model = load_model("default")
    track = oracle.motion(4001, 3, 3)
    track.flags.writeable = False
    expected = refine(track, model=model)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: refine(track, model=model), range(12)):
            np.testing.assert_array_equal(found, expected)


def test_a_refusal_in_one_thread_leaves_the_others_alone():
    good, bad = oracle.motion(2000, 5, 3), np.full((2000, 5, 3), np.nan)
    expected = refine(good)

    def refused(_):
        with pytest.raises(ValueError, match="at least one observed value"):
            refine(bad)

    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(refused, i) for i in range(8)]
        results = [pool.submit(refine, good) for _ in range(8)]
        assert all(other.result() is None for other in others)
        for result in results:
            np.testing.assert_array_equal(result.result(), expected)


def test_calls_leave_no_threads_and_no_settings_behind():
    functions = blas_threads._functions()
    run(CALLS[0])
    before, blas = threading.active_count(), functions and functions[0]()
    for _ in range(5):
        for call in CALLS[:3]:
            run(call)
    # Threads that are kept for the next call are few; those that a call makes for itself are gone.
    assert threading.active_count() <= before
    assert (functions and functions[0]()) == blas


@pytest.mark.parametrize("number", ["1", "2", "3"])
def test_the_number_of_threads_changes_no_bit(number, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    expected = [run(call) for call in CALLS]
    monkeypatch.setenv("OMP_NUM_THREADS", number)
    for call, wanted in zip(CALLS, expected, strict=True):
        np.testing.assert_array_equal(run(call), wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["fast", "published-static"])
def test_a_read_only_memory_map_is_a_track(name, dtype, tmp_path):
    track = oracle.motion(1500, 6, 3, dtype=dtype, gaps=[(2, 700, 720)])
    np.save(tmp_path / "track.npy", track)
    before = (tmp_path / "track.npy").read_bytes()
    mapped = np.load(tmp_path / "track.npy", mmap_mode="r")
    np.testing.assert_array_equal(refine(mapped, model=name), refine(track, model=name))
    assert (tmp_path / "track.npy").read_bytes() == before
