"""Pieces of work that are timed: in this process, or in another with its own Python or its own number of threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from benchmarks.speed_measuring import Side, side
from benchmarks.speed_sgemm import Layer
from smoothnet_core import load_model, refine
from smoothnet_core.model import Model

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = "published-static"


@dataclass(frozen=True)
class Job:
    """What to do once.

    Attributes:
        what: ``refine``, ``twice`` (two threads, each refines), ``after`` (the same, one after the other), ``savgol``.
        frames: of the track.
        channels: of the track; positions (T, channels / 3, 3) unless the kind is ``channels``.
        model: a shipped name, or ``random N``: the published network with random weights and a window of N frames.
        kind: of the track.
        dtype: of the track.
        hop: frames between windows; None means the model's own.
    """

    what: str
    frames: int
    channels: int
    model: str = "default"
    kind: str = "position"
    dtype: str = "float32"
    hop: int | None = None

    @property
    def values(self) -> int:
        return self.frames * self.channels


@lru_cache(maxsize=2)
def track(frames: int, channels: int, dtype: str) -> NDArray[Any]:
    """Return (T, C): swings of about 1, and jitter."""
    rng = np.random.default_rng(channels)
    rates, phases = rng.uniform(0.02, 0.2, channels), rng.uniform(0, 2 * np.pi, channels)
    values = np.empty((frames, channels), dtype)
    for start in range(0, frames, 4096):
        rows = values[start : start + 4096]
        time = np.arange(start, start + len(rows))[:, None]
        rows[...] = np.sin(rates * time + phases) + 0.03 * rng.standard_normal(rows.shape, dtype=np.float32)
    return values


@cache
def model(name: str) -> Model:
    if not name.startswith("random "):
        return load_model(name)
    window, hidden, bottleneck = int(name.split()[1]), 512, 16
    rng = np.random.default_rng(window)
    tensors = {}
    for layer, outputs, inputs in (
        ("encoder.0", hidden, window),
        ("res_blocks.0.linear1", bottleneck, hidden),
        ("res_blocks.0.linear2", hidden, bottleneck),
        ("decoder", window, hidden),
    ):
        tensors[f"{layer}.weight"] = rng.normal(0, inputs**-0.5, (outputs, inputs)).astype(np.float32)
        tensors[f"{layer}.bias"] = np.zeros(outputs, np.float32)
    sizes = {"window": window, "hop": 1, "hidden": hidden, "bottleneck": bottleneck, "blocks": 1}
    return Model(name, tensors, {"architecture": "smoothnet", **sizes})


def layers(network: Model, size: int) -> list[Layer]:
    """Return the products that a network is made of, for one window of vectors of ``size`` numbers.

    Raises:
        ValueError: a network whose products are not known here.
    """
    shapes = {name: tensor.shape for name, tensor in network.tensors.items() if tensor.ndim == 2}
    if network.architecture == "smoothnet":
        return [Layer(*shape) for shape in shapes.values()]
    if network.architecture != "vector_filter":
        raise ValueError(f"architecture: expected smoothnet or vector_filter, received {network.architecture}")
    by_window = [shapes[f"{name}.weight"] for name in ("layer1", "layer2", "gain")]
    # Where all of a window is trusted, its quality is part of the first layer's bias.
    by_window[0] = (by_window[0][0], shapes["probe"][0])
    by_number = [shapes[name] for name in ("probe", "analysis", "synthesis")]
    return [*(Layer(*shape) for shape in by_window), *(Layer(*shape, times=size) for shape in by_number)]


def flops(job: Job) -> int:
    """Return how many multiplications and additions the network's products take in a job that refines."""
    network, size = model(job.model), 1 if job.kind == "channels" else 3
    hop = job.hop or network.hop
    windows = -(-(job.frames - network.window) // hop) + 1
    if network.architecture == "smoothnet":
        size = 1
    return windows * (job.channels // size) * sum(layer.flops for layer in layers(network, size))


def prepared(job: Job) -> Callable[[], Any]:
    """Return the function that does a job."""
    values = track(job.frames, job.channels, job.dtype)
    if job.kind == "position":
        values = values.reshape(job.frames, -1, 3)
    if job.what == "savgol":
        return lambda: savgol_filter(values, 31, 2, axis=0)
    network = model(job.model)

    def once() -> Any:
        return refine(values, kind=job.kind, model=network, hop=job.hop)

    def twice() -> None:
        threads = [threading.Thread(target=once) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def after() -> None:
        once()
        once()

    return {"refine": once, "twice": twice, "after": after}[job.what]


def here(job: Job) -> Side:
    """Return the side that does a job in this process."""
    return side(prepared(job))


class Worker:
    """Another process that does jobs, one at a time, while this one waits."""

    def __init__(self, python: str = sys.executable, environment: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [python, str(ROOT / "benchmarks" / "speed_worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.about = self._ask({})

    def side(self, job: Job) -> Side:
        return lambda: self._ask(asdict(job))["seconds"]

    def close(self) -> None:
        self.process.communicate()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.process.args}: ended with status {self.process.wait()}")
        return json.loads(answer)
