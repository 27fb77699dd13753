"""What a frame of a stream costs on one core.

    OMP_NUM_THREADS=1 python benchmarks/live_cost.py

Prints the median and the 99th percentile of the processor time of ``OnlineRefiner.push`` in milliseconds, over 2,000
frames of 144 numbers after the first 100, and the memory that is kept of the stream.
"""

from __future__ import annotations

import os
import platform
import time

import numpy as np

import smoothnet_core
from smoothnet_core.online import OnlineRefiner

SHAPES = {"position": (48, 3), "channels": (144,), "quat_wxyz": (36, 4)}
CASES = (
    ("auto", 4, "position", False),
    ("auto", 8, "position", False),
    ("auto", 31, "position", False),
    ("auto", 4, "position", True),
    ("auto", 31, "position", True),
    ("fast", 4, "position", False),
    ("published-video", 4, "position", False),
    ("auto", 4, "channels", False),
    ("auto", 4, "quat_wxyz", False),
    ("auto", 31, "quat_wxyz", False),
)
FRAMES, SKIPPED = 2100, 100


def main() -> None:
    rng = np.random.default_rng(0)
    print(
        f"smoothnet {smoothnet_core.__version__}, NumPy {np.__version__}, Python {platform.python_version()}, "
        f"{time.strftime('%Y-%m-%d')}, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}"
    )
    print("| weights | latency | kind | times | median ms | 99 % ms | kept kB |\n|---|--:|---|---|--:|--:|--:|")
    for model, latency, kind, uneven in CASES:
        track = np.cumsum(rng.normal(0, 0.02, (FRAMES, *SHAPES[kind])), axis=0)
        if kind == "quat_wxyz":
            track = track / 5 + [1.0, 0.0, 0.0, 0.0]
        times = np.cumsum(rng.uniform(0.8, 1.2, FRAMES)) / 30
        refiner = OnlineRefiner(model, latency=latency, kind=kind)
        spent = []
        for k, frame in enumerate(track):
            start = time.process_time()
            refiner.push(frame, times[k] if uneven else None)
            spent.append(time.process_time() - start)
        usual, worst = 1e3 * np.quantile(spent[SKIPPED:], [0.5, 0.99])
        name = refiner.model.name if model == "auto" else model
        even = "uneven" if uneven else "none"
        print(f"| {name} | {latency} | {kind} | {even} | {usual:.2f} | {worst:.2f} | {refiner.nbytes / 1e3:.0f} |")


if __name__ == "__main__":
    main()
