"""What the tests of the command line share."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from smoothnet_core.checkpoints import Weights, write_safetensors
from smpl_tools.cli.main import main


class Ran(NamedTuple):
    status: int
    out: str
    err: str


class Program:
    """Runs ``smoothnet`` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Ran:
        self._capsys.readouterr()
        status = main([str(a) for a in arguments])
        return Ran(status, *self._capsys.readouterr())

    def refused(self, *arguments: object, status: int = 1) -> str:
        """Return the one line of an error."""
        ran = self(*arguments)
        assert ran.status == status, ran
        assert ran.err.startswith("error: ")
        assert ran.err.count("\n") == 1
        assert "Traceback" not in ran.err
        return ran.err.removeprefix("error: ").rstrip("\n")


def body(frames: int = 40, joints: int = 4, seed: int = 0, size: int = 3) -> np.ndarray:
    """Return a person of about a metre's size that moves and jitters, (T, J, size) in metres."""
    generator = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / 30
    rest = np.linspace(0, 1.2, joints)[None, :, None] * np.eye(size)[1]
    moving = 0.3 * np.sin(2 * np.pi * time + generator.uniform(0, 6, (1, joints, size)))
    return rest + moving + generator.normal(0, 0.02, (frames, joints, size))


def saved(path: Path, values: np.ndarray) -> Path:
    np.save(path, values)
    return path


def amass(path: Path, frames: int = 40, width: int = 72, seed: int = 0, fps: float = 30.0) -> Path:
    """Write an AMASS-like file of random, jittery poses."""
    generator = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / 30
    poses = 0.3 * np.sin(2 * np.pi * time + np.arange(width)) + generator.normal(0, 0.02, (frames, width))
    trans = 0.5 * np.sin(time + np.arange(3)) + generator.normal(0, 0.01, (frames, 3))
    np.savez(path, poses=poses, trans=trans, betas=np.zeros(16), gender=np.array("neutral"), mocap_framerate=fps)
    return path


def published(path: Path, window: int = 8, hop: int = 1) -> Path:
    """Write a network of the published kind with random weights."""
    generator = np.random.default_rng(0)
    shapes = {
        "encoder.0.weight": (6, window),
        "encoder.0.bias": (6,),
        "res_blocks.0.linear1.weight": (4, 6),
        "res_blocks.0.linear1.bias": (4,),
        "res_blocks.0.linear2.weight": (6, 4),
        "res_blocks.0.linear2.bias": (6,),
        "decoder.weight": (window, 6),
        "decoder.bias": (window,),
    }
    tensors = {name: generator.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}
    metadata = {"architecture": "smoothnet", "window": window, "hop": hop, "fps": None}
    metadata |= {"hidden": 6, "bottleneck": 4, "blocks": 1}
    write_safetensors(path, Weights(tensors, metadata))
    return path
