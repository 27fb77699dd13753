"""Programs that pass for another Python, and what tests of engines ask about processes."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from pathlib import Path

import numpy as np

from blender_addon.engine import engines
from blender_addon.engine.engine_process import WORKER


def take(frames: int = 120, joints: int = 3, dtype: type = np.float64) -> np.ndarray:
    return engines.measured_take()[:frames, :joints].astype(dtype)


def gone(pid: int) -> bool:
    """Whether the process has left nothing, not even what waits to be reaped."""
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() if Path("/proc").is_dir() else _is_unknown(pid):
            return True
        time.sleep(0.05)
    return False


def _is_unknown(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def fake(folder: Path, body: str) -> Path:
    """A program called python that does what ``body`` says; it has ``read()`` and ``write(header)``."""
    path = folder / "python_fake"
    path.write_text(
        f"#!{sys.executable}\n"
        + textwrap.dedent(
            f"""
            import importlib.util, os, sys, time
            spec = importlib.util.spec_from_file_location("worker", {str(WORKER)!r})
            worker = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(worker)
            read = lambda: worker.read_frame(sys.stdin.buffer, lambda: 1 << 40)
            write = lambda header, **arrays: worker.write_frame(sys.stdout.buffer, header, arrays)
            READY = {{"type": "ready", "protocol": worker.PROTOCOL, "device": "fake", "hint": "", "id": 1}}
            """
        )
        + textwrap.dedent(body)
    )
    path.chmod(0o755)
    return path
