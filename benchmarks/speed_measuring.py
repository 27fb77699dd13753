"""Timing things side by side, and the rows of the table that come of it."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# Seconds of rest before each side: the threads that BLAS woke for another one (savgol_filter solves a small system with
# it) keep a core busy for some 60 ms more, and that is not to be paid for by the next.
_REST = 0.1
# Short work is done for so many seconds, or the time of a call would be that of a core that wakes up.
_AWAKE = 0.05

# A side of a comparison: does its work once and returns how many seconds that took.
Side = Callable[[], float]


@dataclass(frozen=True)
class Spread:
    """The median of the rounds, the smallest and the largest."""

    median: float
    low: float
    high: float
    rounds: int

    def times(self, factor: float) -> Spread:
        return Spread(self.median * factor, self.low * factor, self.high * factor, self.rounds)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        group: the table's part.
        case: what was measured.
        size: of the track.
        value: what came out.
        unit: of ``value``.
        target: what it is to be, a number; None where nothing is asked for.
        at_most: whether the target is an upper limit, else a lower one.
        note: further numbers.
    """

    group: str
    case: str
    size: str
    value: Spread
    unit: str
    target: float | None = None
    at_most: bool = True
    note: str = ""

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value.median <= self.target if self.at_most else self.value.median >= self.target

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values), len(values))


def ratio(first: Sequence[float], second: Sequence[float]) -> Spread:
    """Return the spread of the rounds' own ratios."""
    return spread([a / b for a, b in zip(first, second, strict=True)])


def side(function: Callable[[], Any]) -> Side:
    """Return the side that calls a function, without the collector of garbage between.

    It says how long the middle one of its calls took; the first one counts only where there is no other.
    """

    def once() -> float:
        begun = time.perf_counter()
        kept = function()
        seconds = time.perf_counter() - begun
        # What comes out is given back to the system after the clock has stopped.
        del kept
        return seconds

    def run() -> float:
        enabled = gc.isenabled()
        gc.collect()
        gc.disable()
        time.sleep(_REST)
        try:
            begun, found = time.perf_counter(), [once()]
            while time.perf_counter() - begun < _AWAKE:
                found.append(once())
        finally:
            if enabled:
                gc.enable()
        return statistics.median(found[1:] or found)

    return run


def interleaved(sides: Mapping[str, Side], *, seconds: float, most: int = 15) -> dict[str, list[float]]:
    """Let the sides take turns, A B A B, for about ``seconds`` in all.

    Returns:
        What each side said in each round, by its name: 3 to ``most`` rounds, after one that only warms up. Where a
        round takes a third of the time or more, that one counts too, since its end is warmed up by its beginning; where
        it takes all of the time, there are two.
    """
    found: dict[str, list[float]] = {name: [] for name in sides}

    def one_round() -> float:
        begun = time.perf_counter()
        for name, run in sides.items():
            found[name].append(run())
        return time.perf_counter() - begun

    first = one_round()
    rounds = max(3 if first < seconds else 2, int(seconds / first))
    if first < seconds / 3:
        for values in found.values():
            values.clear()
        rounds = min(most, rounds) + 1
    for _ in range(rounds - 1):
        one_round()
    return found


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, str]:
    """Return what the numbers depend on besides the code."""
    import numpy
    import scipy

    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    name = next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    load = f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "nan"
    versions = f"Python {platform.python_version()}, NumPy {numpy.__version__}, SciPy {scipy.__version__}"
    return {"processor": name, "cores": str(cores()), "load at the start": load, "versions": versions}


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
