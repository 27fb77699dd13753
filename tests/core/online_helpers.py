"""What the tests of streams share."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from smoothnet_core import rotations
from smoothnet_core.online import OnlineRefiner

WINDOW = 32
FULL = WINDOW - 1
FPS = 30.0


def refused(message: str) -> Any:
    """Expect a ``ValueError`` of this very message."""
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def walk(frames: int, *shape: int, seed: int = 0, noise: float = 0.02) -> np.ndarray:
    """Return a track (frames, *shape) in metres that moves and jitters."""
    rng = np.random.default_rng(seed)
    at = np.arange(frames).reshape(-1, *[1] * len(shape)) / FPS
    moving = 0.4 * np.sin(2 * np.pi * 0.7 * at + rng.uniform(0, 6, (1, *shape)))
    return moving + rng.normal(0, noise, (frames, *shape))


def turns(frames: int, joints: int, seed: int = 0, noise: float = 0.05) -> np.ndarray:
    """Return rotation vectors (frames, joints, 3) that turn and jitter."""
    smooth = rotations.axis_angle_to_matrix(2.5 * walk(frames, joints, 3, seed=seed, noise=0.0))
    jitter = rotations.axis_angle_to_matrix(np.random.default_rng(seed).normal(0, noise, (frames, joints, 3)))
    return rotations.matrix_to_axis_angle(smooth @ jitter)


def streamed(refiner: OnlineRefiner, track, times=None, **given) -> np.ndarray:
    """Return what a refiner makes of a track, checking that each frame comes after its latency."""
    out = []
    for k, frame in enumerate(track):
        own = {name: value[k] for name, value in given.items()}
        done = refiner.push(frame, None if times is None else times[k], **own)
        assert (done is None) == (k < refiner.latency)
        assert refiner.pending == min(k + 1, refiner.latency)
        out += [] if done is None else [done]
    out += refiner.flush()
    assert len(out) == len(track)
    assert refiner.pending == 0
    return np.array(out)
