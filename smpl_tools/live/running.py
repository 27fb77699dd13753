"""A stream from its beginning to its end: what cannot be read is left out and counted."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from smpl_tools.live.endpoints import Reader
from smpl_tools.live.frames import LiveFrame
from smpl_tools.live.session import Session

# Of so many frames the time that each took is remembered.
_TIMED = 10_000


@dataclass
class Tally:
    """What a stream was.

    Attributes:
        frames: that were refined.
        sent: that went out.
        skipped: pieces that were no frame, or not one that goes with the others.
        unsent: frames that could not be sent.
        interrupted: by Ctrl-C, which is how most streams end.
    """

    frames: int = 0
    sent: int = 0
    skipped: int = 0
    unsent: int = 0
    interrupted: bool = False
    _seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_TIMED))

    def took(self, share: float) -> float | None:
        """Return the seconds that a share of the frames took at most; None without frames."""
        return float(np.quantile(np.array(self._seconds), share)) if self._seconds else None


class Interrupts:
    """Lets Ctrl-C, and the signal that ends a service, come between two pieces of a stream, not amid one.

    A second one does not wait.
    """

    def __init__(self) -> None:
        self._busy = self._wanted = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        # Elsewhere than in the main thread no signal comes.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._came) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _came(self, number: int, frame: object) -> None:
        if not self._busy or self._wanted:
            raise KeyboardInterrupt
        self._wanted = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold back what comes until the end."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
        if self._wanted:
            raise KeyboardInterrupt


def run(
    source: Iterable[bytes],
    reader: Reader,
    session: Session,
    send: Callable[[LiveFrame], None],
    complain: Callable[[str], None],
    held: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Tally:
    """Refine a stream until its source ends or the user interrupts; frames that have not come out yet then do.

    Args:
        source: lines or packets.
        reader: makes frames of them.
        session: refines them.
        send: sends them.
        complain: is told what was left out, and why.
        held: holds back interrupts while a piece is worked on.

    Raises:
        BrokenPipeError: nobody reads standard output any more.
        MissingExtraError: python-osc is not installed.
    """
    tally = Tally()

    def out(frames: list[LiveFrame]) -> None:
        for frame in frames:
            try:
                send(frame)
                tally.sent += 1
            except BrokenPipeError:
                raise
            except (ValueError, OSError) as error:
                tally.unsent += 1
                complain(f"frame {tally.sent + tally.unsent} could not be sent: {error}")

    def take(frames: list[LiveFrame]) -> None:
        for frame in frames:
            started = time.perf_counter()
            try:
                done = session.push(frame)
            except ValueError as error:
                tally.skipped += 1
                complain(f"{error}")
                continue
            tally._seconds.append(time.perf_counter() - started)
            tally.frames += 1
            out(done)

    try:
        for piece in source:
            with held():
                try:
                    frames = reader.read(piece)
                except ValueError as error:
                    tally.skipped += 1
                    complain(f"{error}")
                    continue
                take(frames)
    except KeyboardInterrupt:
        tally.interrupted = True
    take(reader.finish())
    out(session.finish())
    return tally
