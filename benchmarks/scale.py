"""What a batch costs: files a second against workers and against files, and what a million sequences cost by that.

    python benchmarks/scale.py [--files 10 100 1000 10000] [--workers 1 2] [--frames 120]
                               [--json FILE] [--document FILE]

Makes folders of small arrays (frames x 24 joints x 3, float32) and runs ``smoothnet batch`` over each into an empty
folder, as a whole process, start-up included; then once more, when nothing is left to do. Counted are seconds of the
clock and of the processor, and the most memory that one of the processes held. ``--document`` puts the tables between
the markers of a document.

What a file costs is the slope of a straight line through the runs with as many workers; what that leaves at no file is
the start.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.speed import write_into
from benchmarks.speed_measuring import machine, progress

JOINTS = 24
MILLION = 1_000_000


@dataclass(frozen=True)
class Cost:
    """One run of ``smoothnet batch``.

    Attributes:
        workers: processes.
        files: in the folder.
        seconds: of the clock.
        processor: seconds of the processor, of all processes.
        memory: MiB, the most that one of the processes held.
        again: seconds of a second run, which finds everything done.
    """

    workers: int
    files: int
    seconds: float
    processor: float
    memory: float
    again: float


def make(folder: Path, files: int, frames: int) -> int:
    """Write so many takes in folders of a hundred, and return how many bytes they have."""
    rng = np.random.default_rng(0)
    walk = rng.standard_normal((frames, JOINTS, 3)).cumsum(axis=0) * 0.01
    for number in range(files):
        place = folder / f"{number // 100:04}"
        place.mkdir(exist_ok=True)
        noisy = walk + rng.standard_normal(walk.shape) * 0.01
        np.save(place / f"{number:06}.npy", noisy.astype(np.float32))
    return sum(path.stat().st_size for path in folder.rglob("*.npy"))


def run(source: Path, target: Path, workers: int) -> tuple[float, float, float]:
    """Return seconds of the clock and of the processor, and MiB, of one run."""
    command = [sys.executable, "-c", "from smpl_tools.cli.main import run; run()", "batch", str(source), "-o"]
    command += [str(target), "--workers", str(workers)]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # Of all children so far, the largest: takes are of one size, so it hardly grows.
    return seconds, processor, after.ru_maxrss / 1024


def measure(files: Sequence[int], workers: Sequence[int], frames: int) -> tuple[list[Cost], int]:
    """Run all combinations, and return what they cost and the bytes of one take."""
    costs: list[Cost] = []
    size = 0
    for count in files:
        with tempfile.TemporaryDirectory() as name:
            source = Path(name) / "takes"
            source.mkdir()
            size = make(source, count, frames) // count
            for number in workers:
                target = Path(name) / f"refined {number}"
                seconds, processor, memory = run(source, target, number)
                again, *_ = run(source, target, number)
                costs.append(Cost(number, count, seconds, processor, memory, again))
                progress(f"{count} files, {number} workers: {seconds:.1f} s, {count / seconds:.0f} files/s")
    return costs, size


def slope(costs: Sequence[Cost], what: str) -> tuple[float, float]:
    """Return what a file costs and what is left at no file, each file counting alike."""
    counts = np.array([cost.files for cost in costs], float)
    values = np.array([getattr(cost, what) for cost in costs])
    each, start = np.polyfit(counts, values, 1, w=1 / np.sqrt(counts))
    return float(each), float(start)


def text(costs: Sequence[Cost], size: int, frames: int) -> str:
    """Return the tables, in Markdown."""
    about = "; ".join(f"{name}: {value}" for name, value in machine().items())
    lines = [f"{date.today()}; {about}. A take: {frames} frames x {JOINTS} joints x 3, {size:,} bytes.", ""]
    lines += ["| workers | files | seconds | files a second | processor, s | peak of one process, MiB | again, s |"]
    lines += ["|--:|--:|--:|--:|--:|--:|--:|"]
    for cost in costs:
        rate = cost.files / cost.seconds
        lines.append(
            f"| {cost.workers} | {cost.files:,} | {cost.seconds:.1f} | {rate:.0f} | {cost.processor:.1f} "
            f"| {cost.memory:.0f} | {cost.again:.1f} |"
        )
    lines += ["", "| workers | start, s | a file, ms | processor a file, ms | again, ms a file | a million: hours |"]
    lines += ["|--:|--:|--:|--:|--:|--:|"]
    for workers in sorted({cost.workers for cost in costs}):
        own = [cost for cost in costs if cost.workers == workers]
        if len(own) < 2:
            continue
        each, start = slope(own, "seconds")
        processor, again = slope(own, "processor")[0], slope(own, "again")[0]
        lines.append(
            f"| {workers} | {start:.1f} | {1e3 * each:.2f} | {1e3 * processor:.2f} | {1e3 * again:.2f} "
            f"| {MILLION * each / 3600:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", nargs="+", type=int, default=[10, 100, 1000, 10_000])
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--frames", type=int, default=120, help="of a take")
    parser.add_argument("--json", type=Path, help="write all numbers there")
    parser.add_argument("--document", type=Path, help="put the tables between its markers")
    arguments = parser.parse_args()
    costs, size = measure(arguments.files, arguments.workers, arguments.frames)
    found = text(costs, size, arguments.frames)
    print(found)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(cost) for cost in costs], indent=1) + "\n", encoding="utf-8")
    if arguments.document:
        write_into(arguments.document, found)


if __name__ == "__main__":
    main()
