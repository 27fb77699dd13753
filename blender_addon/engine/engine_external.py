"""The networks in another Python: what is asked of its process, how long it is waited for, what it may answer."""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import smoothnet_core

from .engine_process import WorkerProcess
from .engine_worker import PROTOCOL, SIZES, ProtocolError, one_line

Array = NDArray[Any]
Tick = Callable[[float], None]

# Seconds for starting another Python, and for a take on top of what its numbers need at the slowest.
TIMEOUT = 120.0
_SLOWEST = 25_000  # numbers a second
# Seconds without a sign of life during work, and between looks at whether the user cancelled.
_SILENCE, _POLL = 20.0, 0.05
# Seconds for which an engine that did not answer is not asked again: each piece of a job would wait for it anew.
_REST = 300.0
_ARRAYS = ("mask", "confidence")


class EngineError(RuntimeError):
    """An engine could not compute; the message is one line that says which and why."""


class Cancelled(Exception):
    """:meth:`ExternalEngine.cancel` was called."""


class ExternalEngine:
    """The networks in another Python, a process of its own that is kept for the next take and started again when dead.

    One take at a time; other threads wait for their turn.

    Attributes:
        python: file of that Python.
        timeout: seconds for its start, and for a take on top of what the numbers of the take may need.
        hint: what would make it faster; empty if nothing is known to.
    """

    def __init__(self, python: str | os.PathLike[str], timeout: float = TIMEOUT) -> None:
        self.python, self.timeout, self.hint = os.fspath(python), timeout, ""
        self._process: WorkerProcess | None = None
        self._device = ""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._requests = 0
        self._deaths, self._problem, self._rests_until = 0, "", 0.0

    @property
    def pid(self) -> int | None:
        """Number of the process; None where none runs."""
        process = self._process
        return process.pid if process is not None and process.is_running else None

    def refine(self, track: Array, *, tick: Tick | None = None, **keywords: Any) -> Array:
        """See :class:`engines.Engine`; raises :class:`Cancelled` too. ``model`` is a name or a file."""
        given = np.asarray(track)
        arrays = {"track": _for_transfer(given)}
        for name in _ARRAYS:
            if (value := keywords.pop(name, None)) is not None:
                arrays[name] = _for_transfer(np.asarray(value))
        header = {"type": "refine", "keywords": _plain(keywords)}
        with self._turn(tick):
            answer = self._asked(header, arrays, tick)
        report_share(tick, 1.0)
        return checked(answer, given, self.python)

    def describe(self) -> str:
        """See :class:`engines.Engine`; the device is named once the process has started."""
        return self._device or self.python

    def start(self, tick: Tick | None = None) -> str:
        """Start the process unless it runs, also if it failed a moment ago; return its device.

        Raises:
            EngineError: it does not start, or lacks something; the message says what.
        """
        with self._turn(tick):
            self._rests_until = 0.0
            self._started(tick)
        return self._device

    def cancel(self) -> None:
        """End the process and what it is doing; the call that waits for it raises :class:`Cancelled`."""
        self._stop.set()
        self.close()

    def close(self) -> None:
        """End the process; the next take starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    @contextmanager
    def _turn(self, tick: Tick | None) -> Iterator[None]:
        while not self._lock.acquire(timeout=_POLL):
            report_share(tick, 0.0)
        try:
            self._stop.clear()
            yield
        except BaseException:
            # After a failure nobody knows what the process is at; after ESC its work is for nobody.
            self.close()
            raise
        finally:
            self._lock.release()

    def _asked(self, header: dict[str, Any], arrays: dict[str, Array], tick: Tick | None) -> Array:
        """Send a request and return the answer's track, with a second try where the process was dead before it."""
        if time.monotonic() < self._rests_until:
            raise EngineError(self._problem)
        limit = self.timeout + arrays["track"].size / _SLOWEST
        process, was_warm = self._started(tick)
        try:
            try:
                answer, made = self._answer(process, header, arrays, limit, tick)
            except _EndedError as error:
                if error.had_begun or not was_warm:
                    raise
                self.close()
                process, _ = self._started(tick)
                answer, made = self._answer(process, header, arrays, limit, tick)
        except _EndedError as error:
            self._deaths += 1
            raise self._rest(str(error)) if self._deaths > 1 else error from None
        self._deaths = 0
        if answer["type"] == "failed":
            raise EngineError(f"{self.python} failed: {answer.get('message')}")
        if answer["type"] != "result" or "track" not in made:
            raise self._rest(f"{self.python} answered {answer['type']!r} instead of a result")
        return made["track"]

    def _started(self, tick: Tick | None) -> tuple[WorkerProcess, bool]:
        """Return the process, ready, and whether it ran already."""
        process = self._process
        if process is not None and process.is_running:
            return process, True
        python = self._found()
        try:
            process = self._process = WorkerProcess(python)
        except (OSError, ValueError) as error:
            raise EngineError(f"{self.python} cannot be run: {one_line(error)}") from None
        start = {"type": "start", "protocol": PROTOCOL, "package": str(_package_folder())}
        try:
            answer, _ = self._answer(process, start, {}, self.timeout, tick)
        except _EndedError as error:
            raise self._rest(str(error)) from None
        if answer["type"] == "refused":
            raise self._rest(str(answer.get("message")))
        if answer["type"] != "ready" or answer.get("protocol") != PROTOCOL:
            raise self._rest(
                f"{self.python} answered {answer['type']!r} of protocol {answer.get('protocol')}, expected 'ready' of "
                f"{PROTOCOL}"
            )
        self._device, self.hint = str(answer.get("device")), str(answer.get("hint", ""))
        return process, False

    def _found(self) -> Path:
        """Return the file of the Python."""
        if not self.python:
            raise EngineError("no Python is chosen in the preferences")
        path = Path(self.python)
        if path.is_dir():
            raise EngineError(f"{path} is a folder: choose the Python in it, such as {_example(path)}")
        if not path.is_absolute() or not path.is_file():
            raise EngineError(f"{path} is no file")
        is_program = path.suffix.lower() == ".exe" if os.name == "nt" else os.access(path, os.X_OK)
        if "python" not in path.name.lower() or not is_program:
            raise EngineError(f"{path} is no Python: choose a program such as {_example(path.parent)}")
        return path

    def _answer(
        self,
        process: WorkerProcess,
        header: dict[str, Any],
        arrays: dict[str, Array],
        limit: float,
        tick: Tick | None,
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """Send a frame and wait for what answers it."""
        self._requests += 1
        number, had_begun = self._requests, False
        # Its answer may be as large as what it was given.
        process.largest = max(process.largest, sum(array.nbytes for array in arrays.values()))
        process.send({**header, "id": number}, arrays)
        begun = heard = time.monotonic()
        # Loading a library may keep the worker from giving signs of life.
        silence = limit if header["type"] == "start" else min(_SILENCE, limit)
        while True:
            report_share(tick, 0.0)
            try:
                frame = process.answers.get(timeout=_POLL)
            except queue.Empty:
                frame = ()
            if self._stop.is_set():
                raise Cancelled(self.python)
            now = time.monotonic()
            if frame is None:
                raise _EndedError(f"{self.python} {process.how_it_ended()}", had_begun)
            if isinstance(frame, ProtocolError):
                raise self._rest(f"{self.python} {frame}, which is no answer of ours")
            if frame and frame[0]["type"] != "alive":
                if frame[0].get("id") == number:
                    return frame
                raise self._rest(f"{self.python} answered another question")
            if frame:
                heard, had_begun = now, True
            if now - begun > limit:
                raise self._rest(f"{self.python} gave no answer in {limit:.0f} s")
            if now - heard > silence:
                raise self._rest(f"{self.python} gave no sign of life for {silence:.0f} s")

    def _rest(self, problem: str) -> EngineError:
        """Return the error, which is also the answer for a while."""
        self._problem, self._rests_until = problem, time.monotonic() + _REST
        return EngineError(problem)


class _EndedError(EngineError):
    """The process ended; ``had_begun``: when it had begun with the work."""

    def __init__(self, message: str, had_begun: bool) -> None:
        super().__init__(message)
        self.had_begun = had_begun


def _package_folder() -> Path:
    return Path(str(smoothnet_core.__file__)).absolute().parent


def _example(folder: Path) -> Path:
    """Return what a Python would be called in the folder of a virtual environment, or beside what was chosen."""
    inside = ("Scripts/python.exe", "python.exe") if os.name == "nt" else ("bin/python3", "python3")
    return next((folder / name for name in inside if (folder / name).is_file()), folder / inside[0])


def _for_transfer(array: Array) -> Array:
    little = array.dtype.newbyteorder("<")
    return np.ascontiguousarray(array, little if little.str in SIZES else np.float64)


def _plain(keywords: dict[str, Any]) -> dict[str, Any]:
    """Return arguments as JSON has them."""
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in keywords.items()}
    # The other process has another current folder.
    if isinstance(model := plain.get("model"), (str, os.PathLike)) and Path(model).is_file():
        plain["model"] = str(Path(model).absolute())
    try:
        json.dumps(plain, default=lambda value: value.item())
    except (TypeError, ValueError, AttributeError):
        raise EngineError("another Python takes the model by its name or file, and plain numbers") from None
    return plain


def checked(result: Array, given: Array, who: str) -> Array:
    """Return what an engine answered if it can be an answer."""
    dtype = given.dtype if np.issubdtype(given.dtype, np.floating) else np.dtype(np.float64)
    if result.shape != given.shape or not np.issubdtype(result.dtype, np.floating):
        raise EngineError(f"{who} returned {result.dtype} {result.shape}, expected {dtype} {given.shape}")
    if not np.isfinite(result).all():
        raise EngineError(f"{who} returned numbers that are not finite")
    return result.astype(dtype, copy=False)


def report_share(tick: Tick | None, share: float) -> None:
    """Call ``tick`` if there is one."""
    if tick is not None:
        tick(share)
