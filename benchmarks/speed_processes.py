"""Whole processes: the command line's time, and the memory that refining takes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from benchmarks.speed_jobs import ROOT
from benchmarks.speed_measuring import Row, progress, ratio, spread

MB = 1_000_000
# What the memory of a refinement may exceed its input and output by.
BESIDE = 100.0
# What the command line may take for a file that does not fit, however long.
DISK_LIMIT = 500.0
COMMAND = "import sys; sys.path.insert(0, {root!r}); from smpl_tools.cli.main import run; run()"
# Numbers of a file that are made at once.
PIECE = 2**20


def command(*arguments: str) -> list[str]:
    """Return the command that is ``smoothnet ARGUMENTS``, of this source tree, by this Python."""
    return [sys.executable, "-c", COMMAND.format(root=str(ROOT)), *arguments]


def run(arguments: list[str], **keywords: Any) -> tuple[float, float]:
    """Run a command; return the seconds on the clock and of the processor.

    Raises:
        RuntimeError: it failed; the message is what it said.
    """
    before = os.times()
    begun = time.perf_counter()
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, **keywords)
    seconds = time.perf_counter() - begun
    after = os.times()
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments[3:])}: status {done.returncode}: {done.stderr.strip()[-500:]}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, used


@contextmanager
def folder(needed: int) -> Iterator[Path]:
    """Yield an empty folder for files of so many bytes, and remove it.

    Raises:
        RuntimeError: the disk has no room.
    """
    with tempfile.TemporaryDirectory(prefix="smoothnet-bench-") as name:
        free = shutil.disk_usage(name).free
        if free < needed + 500 * MB:
            raise RuntimeError(f"{name}: {needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free; TMPDIR names another")
        yield Path(name)


def amass(path: Path, frames: int, fps: float) -> None:
    """Write an archive as AMASS has them, not compressed: 52 joints that swing, with jitter."""
    rng = np.random.default_rng(0)
    time_ = np.arange(frames)[:, None] / fps
    rates, phases = rng.uniform(0.5, 6, 159), rng.uniform(0, 2 * np.pi, 159)
    moving = 0.4 * np.sin(rates * time_ + phases) + 0.02 * rng.standard_normal((frames, 159))
    np.savez(
        path,
        trans=moving[:, 156:],
        gender=np.array("neutral"),
        mocap_framerate=np.array(fps),
        betas=np.zeros(16),
        dmpls=np.zeros((frames, 8)),
        poses=moving[:, :156],
    )


def command_line(frames: int, rounds: Mapping[float, int]) -> list[Row]:
    """Return how long ``smoothnet refine`` takes beside ``smoothnet convert`` of the same file.

    Args:
        frames: of the take.
        rounds: of each frame rate.
    """
    rows = []
    with folder(frames * 167 * 8 * 3) as where:
        for fps, turns in rounds.items():
            source, out = where / "take.npz", str(where / "out.npz")
            amass(source, frames, fps)
            convert = command("convert", str(source), "-o", out, "--force")
            ways = {
                "root and body": command("refine", str(source), "-o", out, "--force"),
                "all 52 joints": command("refine", str(source), "-o", out, "--force", "--parts", "root,body,hands"),
            }
            run(convert)
            for name, refine in ways.items():
                times = [(run(refine), run(convert)) for _ in range(turns)]
                ours, theirs = ([t[side] for t in times] for side in (0, 1))
                wall = [t[0] for t in ours], [t[0] for t in theirs]
                used = [t[1] for t in ours], [t[1] for t in theirs]
                note = f"{spread(wall[0]).median:.2f} s and {spread(wall[1]).median:.2f} s; "
                note += f"processor time {ratio(*used).median:.2f} times"
                size = f"{frames:,} x 52 joints, {fps:g} fps"
                case = f"`refine`, {name} / `convert`"
                rows.append(Row("command line", case, size, ratio(*wall), "times", 3.0, note=note))
                progress(f"  {case} {size}: {rows[-1].value.median:.2f} times")
    return rows


IN_MEMORY = """
import json, sys
sys.path.insert(0, {root!r})
import numpy as np
from smoothnet_core import load_model, refine
from benchmarks.speed_processes import resident, reset_peak
model = load_model({model!r})
base = resident("VmRSS")
track = np.empty(({frames}, {channels}), {dtype!r})
rng = np.random.default_rng(0)
for start in range(0, len(track), 2048):
    rows = track[start : start + 2048]
    rows[...] = np.sin(0.05 * np.arange(start, start + len(rows)))[:, None] + 0.03 * rng.standard_normal(rows.shape)
reset_peak()
out = refine(track.reshape(len(track), -1, 3), model=model, kind="position")
print(json.dumps({{"base": base, "peak": resident("VmHWM"), "arrays": track.nbytes + out.nbytes}}))
"""


def resident(what: str) -> int:
    """Return an entry of this process's status, in bytes (Linux)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status: no {what}")


def reset_peak() -> None:
    """Let the peak of resident memory begin anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def in_memory(frames: int, channels: int) -> list[Row]:
    """Return by how much the peak of resident memory exceeds the bare import, the input and the output."""
    rows = []
    for model in ("default", "fast", "published-static"):
        for dtype in ("float64", "float32"):
            # A network that takes minutes shows the same on a shorter track.
            own = frames if model != "published-static" else frames // 4
            script = IN_MEMORY.format(root=str(ROOT), model=model, frames=own, channels=channels, dtype=dtype)
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{model}: {done.stderr.strip()[-500:]}")
            found = json.loads(done.stdout)
            beside = (found["peak"] - found["base"] - found["arrays"]) / MB
            note = f"input and output {found['arrays'] / MB:,.0f} MB, bare import {found['base'] / MB:.0f} MB"
            size = f"{own:,} x {channels}, {dtype}"
            case = f"`{model}`, in memory, beside input and output"
            rows.append(Row("memory", case, size, spread([beside]), "MB", BESIDE, note=note))
            progress(f"  {case} {size}: {beside:.0f} MB")
    return rows


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, ({limit}, {limit}))
sys.path.insert(0, {root!r})
sys.argv[0] = "smoothnet"
from smpl_tools.cli.main import run
run()
"""


def watched(arguments: list[str]) -> tuple[dict[str, int], float]:
    """Run a command; return the peaks of its resident memory in bytes, by kind, and how many seconds it took.

    Raises:
        RuntimeError: it failed.
    """
    begun = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    peaks = {"RssAnon": 0, "VmHWM": 0}
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            lines = status.read_text(encoding="ascii").splitlines()
        except OSError:
            break
        for name, _, value in (line.partition(":") for line in lines):
            if name in peaks:
                peaks[name] = max(peaks[name], int(value.split()[0]) * 1024)
        time.sleep(0.01)
    _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments[3:])}: status {process.returncode}: {said.strip()[-500:]}")
    return peaks, time.perf_counter() - begun


def disk_to_disk(frames: int, channels: int) -> list[Row]:
    """Return the memory in which the command line refines a file of any length.

    Data that are the process's own are limited by the system (RLIMIT_DATA) to what the row promises, so that more
    would end it; pages of mapped files count as resident too, but are the file cache's and given up when asked for.
    """
    size = f"{frames:,} x {channels}, float32"
    case = "`refine in.npy -o out.npy`"
    with folder(2 * frames * channels * 4) as where:
        source, target = where / "in.npy", where / "out.npy"
        values = open_memmap(source, mode="w+", dtype=np.float32, shape=(frames, channels))
        rng = np.random.default_rng(0)
        step = PIECE // channels
        noise = rng.standard_normal((step, channels), dtype=np.float32)
        for start in range(0, frames, step):
            rows = values[start : start + step]
            swing = np.sin(0.05 * np.arange(start, start + len(rows), dtype=np.float64))[:, None]
            rows[...] = swing + 0.03 * np.roll(noise, start % 977, axis=0)[: len(rows)]
        values.flush()
        del values
        script = LIMITED.format(limit=int(DISK_LIMIT * MB), root=str(ROOT))
        words = ["refine", str(source), "-o", str(target), "--kind", "channels"]
        try:
            peaks, seconds = watched([sys.executable, "-c", script, *words])
        except RuntimeError as error:
            progress(f"  {case} {size}: {error}")
            failed = spread([float("inf")])
            return [Row("memory", case, size, failed, "MB", DISK_LIMIT, note="did not run within the limit")]
        assert np.load(target, mmap_mode="r").shape == (frames, channels)
        note = (
            f"its own data (RssAnon), limited by RLIMIT_DATA; with mapped files (VmHWM) {peaks['VmHWM'] / MB:,.0f} MB; "
        )
        note += f"{seconds:.0f} s"
        own = peaks["RssAnon"] / MB
    progress(f"  {case} {size}: {own:.0f} MB, {seconds:.0f} s")
    return [Row("memory", case, size, spread([own]), "MB", DISK_LIMIT, note=note)]
