"""SciPy's BLAS is kept to one thread, and gets its threads back."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from scipy.linalg.blas import dgemm

from smoothnet_core.inference import blas_threads


@pytest.fixture
def threads():
    """How many threads SciPy's BLAS uses now; it has two, whatever the environment says."""
    functions = blas_threads._functions()
    if functions is None:
        pytest.skip("this SciPy brings no OpenBLAS")
    get, set_ = functions
    before = get()
    set_(2)
    yield get
    set_(before)


def test_one_thread_within_the_block_and_as_many_as_before_after_it(threads):
    with blas_threads.one_thread():
        assert threads() == 1
        matrix = np.arange(9.0).reshape(3, 3)
        assert np.array_equal(dgemm(1.0, matrix, matrix), matrix @ matrix)
    assert threads() == 2


def test_given_back_after_an_error(threads):
    with pytest.raises(KeyError), blas_threads.one_thread():
        raise KeyError
    assert threads() == 2


def test_overlapping_blocks_of_threads(threads):
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with blas_threads.one_thread():
            entered.set()
            leave.wait()

    worker = threading.Thread(target=other)
    with blas_threads.one_thread():
        worker.start()
        entered.wait()
    assert threads() == 1
    leave.set()
    worker.join()
    assert threads() == 2


def test_another_blas_is_left_alone(monkeypatch):
    monkeypatch.setattr(blas_threads, "_functions", lambda: None)
    with blas_threads.one_thread():
        pass
