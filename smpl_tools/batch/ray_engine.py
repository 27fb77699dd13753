"""Jobs of a batch on a Ray cluster, by Ray Data: actors that keep the weights, results as they are done."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from smoothnet_core import __version__
from smoothnet_core._checks import mismatch, require
from smoothnet_core.inference.select import TRACK_NETWORKS
from smpl_tools.batch.job import Job, Outcome, Refining, failed_record, told
from smpl_tools.batch.places import attend_anywhere

# Files that are handed to Ray at once, and to an actor at once; the others wait here, as names.
_WAVE = 10_000
_BLOCK = 8
# A worker that ends in the midst of files costs them nothing; one file that is alone each time is to blame at last.
_TRIES_ALONE = 2
# Seconds in which a cluster must answer.
_ANSWER = 10.0
_QUIET = {
    # Nothing is sent to Ray's makers.
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # What nodes report, which Ray would print to stdout.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}


class RayCluster:
    """A connection to a Ray cluster, or one of this machine alone that lasts as long as the block.

    Attributes:
        gpus: that the cluster has.
    """

    def __init__(self, address: str | None = None, *, fail_fast: bool = False) -> None:
        """Say which cluster.

        Args:
            address: of a cluster, as Ray has it; ``auto`` is one of this machine. None is what ``RAY_ADDRESS`` says,
                or else a new one.
            fail_fast: begin nothing more after the first failure.

        Raises:
            MissingExtraError: Ray is not installed.
        """
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        require("ray", "cluster")
        self._address = address or os.environ.get("RAY_ADDRESS") or "local"
        self._fail_fast = fail_fast
        self._ours = False
        self.gpus = 0

    def __enter__(self) -> RayCluster:
        """Connect, unless this process is connected already.

        Raises:
            ValueError: there is no cluster at the address, or it cannot be connected to.
        """
        import ray

        if not ray.is_initialized():
            dashboard = False if self._address == "local" else None
            try:
                _check_reachable(self._address)
                with _signals_kept(), _stderr_closed():
                    ray.init(
                        address=self._address,
                        include_dashboard=dashboard,
                        log_to_driver=False,
                        logging_level=logging.CRITICAL,
                    )
            # Ray raises what it likes; that of a cluster that does not come up is an Exception.
            except Exception as error:
                told = " ".join(str(error).split())
                raise ValueError(f"{self._address}: no Ray cluster can be used there: {told}") from None
            self._ours = True
        self.gpus = int(ray.cluster_resources().get("GPU", 0))
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        if self._ours:
            with _signals_kept():
                ray.shutdown()

    def refining(self, refining: Refining) -> Refining:
        """Return how files are refined there: where no backend is named, by the kernels if the cluster has GPUs.

        Raises:
            ValueError: the kernels are asked for, and there are no GPUs or none for these weights.
        """
        model, backend = refining.model, refining.options.get("backend")
        if model is None:
            return refining
        fused = model.architecture in TRACK_NETWORKS
        if backend == "triton" and not fused:
            raise mismatch(
                f"backend for weights of the architecture {model.architecture}", "numpy or torch", "'triton'"
            )
        if backend == "triton" and not self.gpus:
            raise mismatch("cluster for the backend triton", "one with GPUs", "one without")
        if backend == "auto" and fused and self.gpus:
            return Refining({**refining.options, "backend": "triton"}, model)
        return refining

    def engine(self, workers: int | None, files: int, refining: Refining) -> RayWorkers:
        """Return what does the jobs, for :class:`smpl_tools.batch.run.Batch`."""
        import ray

        gpu = refining.options.get("backend") == "triton"
        there = self.gpus if gpu else int(ray.cluster_resources().get("CPU", 1))
        return RayWorkers(max(1, min(workers or there, files)), refining, gpu=gpu, fail_fast=self._fail_fast)


class RayWorkers:
    """Actors of a cluster, each with one core or one GPU, that Ray Data gives jobs to."""

    def __init__(self, count: int, refining: Refining, *, gpu: bool, fail_fast: bool) -> None:
        self._count = count
        self._refining = refining
        self._gpu = gpu
        self._fail_fast = fail_fast

    def __enter__(self) -> RayWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def outcomes(self, jobs: Iterator[Job]) -> Iterator[list[Outcome]]:
        """Yield what has become of jobs, as they are done, several at once.

        What was lost with a node or a process is done again; a file that ends the process that has nothing else to
        do, again and again, has failed. Jobs that are not begun, since one has failed, have no outcome.

        Raises:
            ValueError: Ray itself fails.
        """
        import ray

        given = ray.put(self._refining)
        flag = _flag() if self._fail_fast else None
        failed = False
        while wave := {job.name: job for job in islice(jobs, _WAVE)}:
            per_block = max(1, min(_BLOCK, len(wave) // (4 * self._count)))
            for turn in range(1 + _TRIES_ALONE):
                for ready in self._done(list(wave.values()), given, 1 if turn else per_block, flag):
                    # What was done twice is said once.
                    new = [outcome for outcome in ready if wave.pop(outcome.name, None) is not None]
                    if flag is not None and not failed and any(outcome.state == "failed" for outcome in new):
                        ray.get(flag.put_up.remote())
                        failed = True
                    if new:
                        yield new
                if failed:
                    return
                if not wave:
                    break
            if wave:
                yield [self._lost(job) for job in wave.values()]

    def _done(self, jobs: list[Job], given: Any, per_block: int, flag: Any) -> Iterator[list[Outcome]]:
        """Yield outcomes of those jobs that no process ended with."""
        import ray.data
        from ray.exceptions import RayError

        _be_quiet()
        context = ray.data.DataContext.get_current()
        # What ends with its process is missing from the results, and nothing else is.
        context.max_errored_blocks = -1
        rows = [{"job": job} for job in jobs]
        data = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // per_block))
        with warnings.catch_warnings():
            # How often a task is tried can be said in no other way up to Ray 2.63.
            warnings.simplefilter("ignore", DeprecationWarning)
            data = data.map_batches(
                _Actor,
                fn_constructor_args=([given], __version__, flag),
                batch_size=None,
                compute=ray.data.ActorPoolStrategy(size=min(self._count, len(rows))),
                max_restarts=-1,
                max_task_retries=1,
                num_gpus=1 if self._gpu else None,
                num_cpus=None if self._gpu else 1,
            )
        try:
            for batch in data.iter_batches(batch_size=None, prefetch_batches=0, batch_format="numpy"):
                yield [told.outcome for told in batch["told"]]
        except RayError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise ValueError(f"Ray: {type(error).__name__}: {lines[-1] if lines else ''}") from None

    def _lost(self, job: Job) -> Outcome:
        error = (
            f"{job.source}: the process that refined it ended again and again, though it did nothing else, perhaps for "
            "want of memory"
        )
        return Outcome(job.name, "failed", "", failed_record(job.name, job.result, self._refining, error))


@dataclass(frozen=True)
class _Told:
    """What no table takes for a row or a list of values."""

    outcome: Outcome


class _Flag:
    """Says to all actors whether to begin no more."""

    def __init__(self) -> None:
        self._up = False

    def put_up(self) -> None:
        self._up = True

    def is_up(self) -> bool:
        return self._up


def _flag() -> Any:
    import ray

    return ray.remote(num_cpus=0)(_Flag).remote()


class _Actor:
    """Does jobs in a process of some node."""

    def __init__(self, given: list[Any], version: str, flag: Any) -> None:
        import ray

        # Nothing here may fail: an actor that cannot be made is made again and again.
        self._refining: Refining = ray.get(given[0])
        self._version = version
        self._flag = flag

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return what became of jobs; nothing of those that are not to be begun any more."""
        return {"told": np.array([_Told(self._attend(job)) for job in batch["job"] if self._may_begin()], object)}

    def _may_begin(self) -> bool:
        import ray

        return self._flag is None or not ray.get(self._flag.is_up.remote())

    def _attend(self, job: Job) -> Outcome:
        wrong = self._wrong(job)
        if wrong is None:
            try:
                return self._refined(job)
            except OSError as error:
                wrong = told(error)
        record = failed_record(job.name, job.result, self._refining, f"{job.source}: {wrong}")
        return Outcome(job.name, "failed", "", record)

    def _refined(self, job: Job) -> Outcome:
        if job.staged is None:
            return attend_anywhere(job, self._refining)
        # Another actor may have been at it when its node was lost, or be at it still, cut off: each has its own place.
        job.staged.parent.mkdir(exist_ok=True)
        own = job.staged.parent / secrets.token_hex(4) / job.staged.name
        outcome = attend_anywhere(dataclasses.replace(job, staged=own), self._refining)
        if outcome.state == "refined" and not job.staged.exists():
            own.rename(job.staged)
        return outcome

    def _wrong(self, job: Job) -> str | None:
        """Say what is wrong with the node."""
        node = socket.gethostname()
        if self._version != __version__:
            return f"expected smoothnet {self._version} on the node {node}, found {__version__}"
        folders = [job.source.parent] if isinstance(job.source, Path) else []
        folders += [job.staged.parent.parent] if job.staged is not None else []
        for folder in folders:
            if not folder.is_dir():
                return f"the node {node} does not see {folder}: a folder must be on a file system that all nodes share"
        return None


def _check_reachable(address: str) -> None:
    """Raise OSError where nobody answers: Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER).close()


def _be_quiet() -> None:
    """Have Ray Data say nothing: what counts is said by the batch itself."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False  # pyright: ignore[reportAttributeAccessIssue]
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextlib.contextmanager
def _stderr_closed() -> Iterator[None]:
    """Have nothing written to stderr in this block, not by libraries of C++ either; errors are exceptions."""
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Leave what signals do as it was before the block: Ray takes SIGTERM for itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
