"""Processes of this machine that do the jobs of a batch, one thread in each."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from smpl_tools.batch.job import Job, Outcome, Refining, failed_record
from smpl_tools.batch.places import attend_anywhere

# A worker has its next job already when it is done with one.
_AHEAD = 2
# What the libraries of linear algebra look at when they are loaded.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def core_count() -> int:
    """Return how many cores this process may use."""
    available = getattr(os, "sched_getaffinity", None)
    return max(1, len(available(0)) if available else os.cpu_count() or 1)


@dataclass(eq=False)
class _Worker:
    process: Any
    connection: Connection
    jobs: deque[Job] = field(default_factory=deque)


class Workers:
    """Processes that are started once, and end with the block or with this process, however that ends."""

    def __init__(self, count: int, refining: Refining) -> None:
        self._count = count
        self._refining = refining
        # Not forked: this process may have threads.
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []

    def __enter__(self) -> Workers:
        """Start the processes.

        Raises:
            OSError: they cannot be.
        """
        try:
            for _ in range(self._count):
                self._workers.append(self._started())
            for worker in self._workers:
                self._await_ready(worker)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            # They hold nothing that is not finished or begun again.
            worker.process.kill()
            worker.connection.close()
        for worker in self._workers:
            worker.process.join()

    def outcomes(self, jobs: Iterator[Job]) -> Iterator[list[Outcome]]:
        """Yield what has become of jobs, as they are done, several at once where they are.

        A process that a job ends is replaced, and the job failed.
        """
        returned: deque[Job] = deque()

        def fill(worker: _Worker) -> None:
            while len(worker.jobs) < _AHEAD:
                job = returned.popleft() if returned else next(jobs, None)
                if job is None:
                    return
                worker.jobs.append(job)
                with contextlib.suppress(OSError):  # it has ended, as is seen when its answer is waited for
                    worker.connection.send(job)

        while True:
            for worker in self._workers:
                fill(worker)
            busy = {worker.connection: worker for worker in self._workers if worker.jobs}
            if not busy:
                return
            ready = []
            for connection in wait(list(busy)):
                worker = busy[connection]  # pyright: ignore[reportArgumentType]
                try:
                    ready.append(worker.connection.recv())
                except (EOFError, OSError):
                    job = worker.jobs.popleft()
                    returned.extend(worker.jobs)
                    ready.append(self._ended(worker, job))
                else:
                    worker.jobs.popleft()
                    fill(worker)
            yield ready

    def _ended(self, worker: _Worker, job: Job) -> Outcome:
        """Replace a process that has ended at a job, and say so of the job."""
        worker.process.join()
        worker.connection.close()
        code = worker.process.exitcode
        self._workers.remove(worker)
        new = self._started()
        self._workers.append(new)
        self._await_ready(new)
        how = signal.Signals(-code).name if code < 0 else f"status {code}"
        hint = ", perhaps for want of memory" if how == "SIGKILL" else ""
        error = f"{job.source}: the process that refined it ended with {how}{hint}"
        record = failed_record(job.name, job.result, self._refining, error)
        return Outcome(job.name, "failed", "", record)

    def _started(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs,), daemon=True)
        with _one_thread_each(), _uninterrupted():
            process.start()
        # Theirs alone, so that each side sees the other end.
        theirs.close()
        return _Worker(process, ours)

    def _await_ready(self, worker: _Worker) -> None:
        try:
            worker.connection.recv()
            # Not with the process: the weights fill a pipe, and a process that ends first leaves who writes waiting.
            worker.connection.send(self._refining)
        except (EOFError, OSError):
            worker.process.join()
            raise OSError(
                f"a worker process ended while it started, with status {worker.process.exitcode}; a script that runs "
                "batches does so under if __name__ == '__main__', since each process imports it again"
            ) from None


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Have processes that are started in this block compute in one thread."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Have processes that are started in this block leave Ctrl-C, which the terminal sends to all, to this one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _work(connection: Connection) -> None:
    """Do jobs until the other side closes the connection or is gone."""
    # Who started this one ends it, whatever is sent to all at once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    with contextlib.suppress(EOFError, OSError):  # nobody is there any more
        connection.send(None)
        refining: Refining = connection.recv()
        while True:
            job = connection.recv()
            outcome = attend_anywhere(job, refining)
            try:
                connection.send(outcome)
            except OSError:
                if job.staged is not None:
                    shutil.rmtree(job.staged.parent, ignore_errors=True)
                raise
