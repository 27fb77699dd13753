"""Another Python as a process of its own: started without a shell, spoken to in frames, killed without a trace."""

from __future__ import annotations

import atexit
import os
import queue
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .engine_worker import ProtocolError, read_frame, write_frame

WORKER = Path(__file__).with_name("engine_worker.py")
# What a Python may say before the worker has its stdout; the largest answer that brings no array.
_SKIPPED, _SMALL = 1 << 16, 1 << 20
# Lines of stderr that are kept, and characters of the one that is shown.
_LINES, _SHOWN = 20, 200
_REAPED = 3.0

Frame = tuple[dict[str, Any], dict[str, NDArray[Any]]]


def safe_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for another Python: none that tell this Python where its own modules are."""
    kept = {name: value for name, value in environment.items() if not name.startswith(("PYTHON", "__PYVENV"))}
    # Neither the folder of the script nor the current one is looked into for modules, and nothing is written there.
    return {**kept, "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}


class WorkerProcess:
    """A worker that runs.

    Attributes:
        answers: the frames that it sent; an ``Exception`` where it sent something else, None when it ended.
        largest: bytes that the arrays of an answer may have.
    """

    def __init__(self, python: Path) -> None:
        """Start it.

        Raises:
            OSError: the system does not run that file.
        """
        self.answers: queue.Queue[Frame | ProtocolError | None] = queue.Queue()
        self.largest = _SMALL
        self._said: deque[str] = deque(maxlen=_LINES)
        own_group: dict[str, Any] = (
            {"creationflags": subprocess.CREATE_NO_WINDOW} if os.name == "nt" else {"start_new_session": True}
        )
        self._process = subprocess.Popen(
            [str(python), "-u", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=python.parent,
            env=safe_environment(os.environ),
            **own_group,
        )
        _running.add(self)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._stderr = threading.Thread(target=self._hear, daemon=True)
        self._listener.start()
        self._stderr.start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it lives."""
        return self._process.poll() is None

    def send(self, header: dict[str, Any], arrays: Mapping[str, NDArray[Any]] | None = None) -> None:
        """Send a frame without waiting for the worker to read it."""
        threading.Thread(target=self._write, args=(header, arrays), daemon=True).start()

    def how_it_ended(self) -> str:
        """Return why a process that ended did so: its signal or status, and the last it said on stderr."""
        self._stderr.join(_REAPED)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAPED)
        status = self._process.poll()
        if status is None:
            text = "closed its output"
        elif status < 0:
            text = f"was killed by signal {-status}"
        else:
            text = f"ended with status {status}"
        last = next((line for line in reversed(self._said) if line.strip()), "").strip()
        return f"{text}: {last[:_SHOWN]}" if last else text

    def kill(self) -> None:
        """End it at once and wait until it is gone; again: nothing happens."""
        if self._process.poll() is None:
            try:
                if os.name == "nt":
                    self._process.kill()
                else:
                    # A script that starts a Python may have chosen to wait for it: both belong to one group.
                    os.killpg(self._process.pid, signal.SIGKILL)
            except OSError:
                self._process.kill()
        # If the system holds it for longer, the listener waits for it.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAPED)

    def _write(self, header: dict[str, Any], arrays: Mapping[str, NDArray[Any]] | None) -> None:
        # If it is gone, the listener says so.
        with suppress(OSError, ValueError):
            write_frame(self._process.stdin, header, arrays)

    def _listen(self) -> None:
        stream, skipped = self._process.stdout, _SKIPPED
        try:
            while (frame := read_frame(stream, lambda: self.largest, skipped)) is not None:
                skipped = 0
                header, arrays = frame
                made = {
                    name: np.frombuffer(content, dtype).reshape(shape)
                    for name, (dtype, shape, content) in arrays.items()
                }
                self.answers.put((header, made))
        except (ProtocolError, OSError) as error:
            self.answers.put(error if isinstance(error, ProtocolError) else None)
        self.answers.put(None)
        # Whatever it was, without stdin it ends; waiting for it leaves no dead process behind.
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        self._process.wait()
        _running.discard(self)

    def _hear(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            while line := stream.readline(4096):
                self._said.append(line.decode(errors="replace"))


_running: set[WorkerProcess] = set()


def kill_all() -> None:
    """End every worker that runs."""
    for process in list(_running):
        process.kill()


atexit.register(kill_all)
