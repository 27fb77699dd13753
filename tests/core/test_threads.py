"""Tasks in several threads: each done once, errors passed on, none begun after one, no thread within a thread."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from smoothnet_core.inference import blas_threads, threads
from smoothnet_core.inference.scratch import room


@pytest.mark.parametrize(("asked", "count"), [("1", 1), ("3", 3), ("4,2", 4)])
def test_the_environment_says_how_many(monkeypatch, asked, count):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert threads.thread_count() == count


@pytest.mark.parametrize("asked", ["", "0", "-2", "many"])
def test_else_as_many_as_cores_that_may_be_used(monkeypatch, asked):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert threads.thread_count() == cores


@pytest.mark.parametrize("asked", ["1", "2", "5"])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_every_task_is_done_once(monkeypatch, asked, count):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    done: list[int] = []
    threads.each(done.append, range(count))
    assert sorted(done) == list(range(count))


def test_tasks_run_side_by_side(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    both = threading.Barrier(2, timeout=10)
    threads.each(lambda task: both.wait(), range(2))


def test_a_task_in_a_task_needs_no_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    done: list[tuple[int, int, bool]] = []

    def outer(task: int) -> None:
        own = threading.current_thread()
        threads.each(lambda inner: done.append((task, inner, threading.current_thread() is own)), range(3))

    threads.each(outer, range(6))
    assert sorted(done) == [(task, inner, True) for task in range(6) for inner in range(3)]


@pytest.mark.parametrize("asked", ["1", "2"])
def test_an_error_is_passed_on_and_ends_the_work(monkeypatch, asked):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    done: list[int] = []

    def fails(task: int) -> None:
        if task == 3:
            raise KeyError(task)
        done.append(task)

    with pytest.raises(KeyError, match="3"):
        threads.each(fails, range(10_000))
    assert len(done) < 10_000
    threads.each(done.append, [-1])
    assert done[-1] == -1


def test_an_error_of_another_thread_is_passed_on(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    caller, both = threading.current_thread(), threading.Barrier(2, timeout=10)

    def fails(task: int) -> None:
        both.wait()
        if threading.current_thread() is not caller:
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        threads.each(fails, range(2))


def test_blas_has_one_thread_within(monkeypatch):
    functions = blas_threads._functions()
    if functions is None:
        pytest.skip("this SciPy brings no OpenBLAS")
    get, set_ = functions
    before = get()
    set_(2)
    seen: list[int] = []
    threads.each(lambda task: seen.append(get()), range(4))
    assert seen == [1] * 4
    assert get() == 2
    set_(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_has_threads_of_its_own():
    code = """
import os, sys
import numpy as np
from smoothnet_core import refine
track = np.cumsum(np.random.default_rng(0).normal(size=(300, 9, 3)), axis=0)
first = refine(track)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(refine(track), first) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    # A fork beside threads is deprecated in newer Pythons, and still what multiprocessing does on some.
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONWARNINGS": "ignore"}
    assert subprocess.run([sys.executable, "-c", code], timeout=120, env=environment, check=False).returncode == 0


def test_room_is_of_this_thread_and_used_again():
    first = room("some", (4, 3), np.float32)
    assert first.shape == (4, 3)
    assert np.shares_memory(room("some", (2, 2), np.float64), first)
    assert not np.shares_memory(room("other", (2, 2), np.float64), first)
    others: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: others.append(room("some", (4, 3), np.float32)))
    thread.start()
    thread.join()
    assert not np.shares_memory(others[0], first)
    assert room("some", (0, 3), np.float32).shape == (0, 3)
