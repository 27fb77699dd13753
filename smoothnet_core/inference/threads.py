"""Work done by as many threads as there are cores, with BLAS kept to one thread in each."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from smoothnet_core.inference.blas_threads import one_thread

Task = TypeVar("Task")

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_inside = threading.local()


def thread_count() -> int:
    """Return how many threads compute: what ``OMP_NUM_THREADS`` says, else one for each core this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    available = getattr(os, "sched_getaffinity", None)
    return max(1, len(available(0)) if available else os.cpu_count() or 1)


def each(function: Callable[[Task], object], tasks: Iterable[Task]) -> None:
    """Call ``function`` once for each task, in no order, in all threads; return when all are done.

    After an error no further task is begun, and it is raised. Within a task, tasks are done one after the other.
    """
    todo = list(tasks)
    helpers = min(thread_count(), len(todo)) - 1
    with one_thread():
        if helpers < 1 or getattr(_inside, "task", False):
            for task in todo:
                function(task)
            return
        waiting, taking = iter(todo), threading.Lock()
        failed = threading.Event()

        def work() -> None:
            _inside.task = True
            try:
                while not failed.is_set():
                    with taking:
                        task = next(waiting, _Done)
                    if task is _Done:
                        return
                    function(task)  # pyright: ignore[reportArgumentType]
            except BaseException:
                failed.set()
                raise
            finally:
                _inside.task = False

        pool = _threads()
        others = [pool.submit(work) for _ in range(helpers)]
        try:
            work()
        finally:
            # What was not begun need not be: the tasks are done.
            problems = [other.exception() for other in others if not other.cancel()]
        for problem in problems:
            if problem is not None:
                raise problem


class _Done:
    """Stands for the end of the tasks."""


def _threads() -> ThreadPoolExecutor:
    """Return the threads of this process, the same ones each time: to start some takes as long as a short take."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1, thread_count() - 1), "smoothnet")
        return _pool


def _forget() -> None:
    """Leave the threads to the parent: a forked process has none of them."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
