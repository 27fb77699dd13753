"""Large plain arrays: refined from disk to disk, with the bytes that they have when read whole."""

from __future__ import annotations

import errno
import json
import mmap
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from smpl_tools import formats, refine_motion
from smpl_tools.cli.refine import _refine_one
from smpl_tools.formats import _mapped
from tests.helpers import REPOSITORY
from tests.smpl.cli_helpers import Program, published

pytestmark = pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="this system cannot let go of pages")

SETTINGS = {"method": "median", "parts": ["body"], "person": None}


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mapped, "SMALLEST", 0)


def take(path: Path, shape: tuple[int, ...] = (300, 4, 3), dtype: str = "<f4", order: str = "C") -> Path:
    numbers = np.random.default_rng(0).normal(size=shape).cumsum(axis=0)
    np.save(path, np.asarray(numbers, dtype, order=order))
    return path


def refined(source: Path, target: Path, kind: str | None = None, **settings: object) -> None:
    _refine_one(source, target, False, {**SETTINGS, **settings, "kind": kind}, lambda done: None)


def whole(source: Path, kind: str | None = None, **settings: object) -> bytes:
    """Return the bytes of the file that is written of a motion read whole."""
    motion = formats.read(source, kind=kind)
    target = source.with_name("whole.npy")
    formats.write(refine_motion.refine_motion(motion, **{**SETTINGS, **settings}).motion, target)
    return target.read_bytes()


@pytest.mark.parametrize("method", ["median", "smoothnet"])
@pytest.mark.parametrize(
    ("shape", "kind", "dtype", "order"),
    [
        ((300, 4, 3), None, "<f4", "C"),
        ((300, 12), "channels", "<f8", "C"),
        ((300, 12), "axis_angle", "<f2", "C"),
        ((1, 12), "channels", "<f4", "C"),
        # These are read whole.
        ((300, 4, 3), None, ">f4", "C"),
        ((300, 4, 3), None, "<f4", "F"),
    ],
)
def test_the_bytes_are_those_of_a_file_read_whole(
    tmp_path: Path, shape: tuple[int, ...], kind: str | None, dtype: str, order: str, method: str
):
    source = take(tmp_path / "take.npy", shape, dtype, order)
    before = source.read_bytes()
    refined(source, tmp_path / "out.npy", kind, method=method)
    assert (tmp_path / "out.npy").read_bytes() == whole(source, kind, method=method)
    assert source.read_bytes() == before


def test_what_stays_on_the_disk_cannot_be_written_to(tmp_path: Path):
    motion = formats.read(take(tmp_path / "take.npy"), mapped=True)
    values = motion.people[0].tracks["motion"].values
    assert motion.source.held is not None
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 0
    assert formats.read(tmp_path / "take.npy").source.held is None


@pytest.mark.parametrize("method", ["median", "smoothnet"])
def test_a_joint_that_is_never_seen_keeps_its_nan(tmp_path: Path, method: str):
    source = take(tmp_path / "take.npy")
    values = np.load(source)
    values[:, 1] = np.nan
    values[20:23, 2] = np.nan
    np.save(source, values)
    refined(source, tmp_path / "out.npy", method=method)
    found = np.load(tmp_path / "out.npy")
    assert np.isnan(found[:, 1]).all()
    expected = np.load(take(tmp_path / "other.npy"))
    np.save(tmp_path / "other.npy", np.where(np.isnan(values), np.nan, expected).astype(np.float32))
    whole(tmp_path / "other.npy", method=method)
    np.testing.assert_allclose(found, np.load(tmp_path / "whole.npy"), rtol=1e-5, atol=1e-6)


def test_a_track_that_is_left_alone_is_copied(tmp_path: Path):
    source = take(tmp_path / "take.npy")
    motion = formats.read(source, mapped=True)
    with formats.rewriting(motion, tmp_path / "out.npy") as file:
        file.write(motion)
    assert (tmp_path / "out.npy").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, MemoryError])
def test_what_is_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type):
    source = take(tmp_path / "take.npy")
    before = source.read_bytes()

    def failing(*_: object, out: dict, **__: object) -> None:
        next(iter(out.values()))[:100] = 1.0
        raise error("stop")

    monkeypatch.setattr(refine_motion, "refine_motion", failing)
    with pytest.raises(error, match="stop"):
        refined(source, tmp_path / "out.npy")
    assert [one.name for one in tmp_path.iterdir()] == ["take.npy"]
    assert source.read_bytes() == before


def test_an_output_that_appears_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = take(tmp_path / "take.npy")
    real = refine_motion.refine_motion

    def slow(*given: object, **more: object) -> object:
        (tmp_path / "out.npy").write_text("mine")
        return real(*given, **more)

    monkeypatch.setattr(refine_motion, "refine_motion", slow)
    with pytest.raises(ValueError, match="exists already; add --force"):
        refined(source, tmp_path / "out.npy")
    assert (tmp_path / "out.npy").read_text() == "mine"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out.npy", "take.npy"]


def test_a_full_disk_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    source = take(tmp_path / "take.npy")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    ran = Program(capsys)("refine", source, "-o", tmp_path / "out.npy", "--method", "median")
    assert ran.status == 1
    assert ran.err == f"error: {tmp_path / 'out.npy'}: cannot be written: No space left on device\n"
    assert [one.name for one in tmp_path.iterdir()] == ["take.npy"]


def test_a_disk_that_cannot_say_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = take(tmp_path / "take.npy")

    def unknown(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", unknown)
    refined(source, tmp_path / "out.npy")
    assert (tmp_path / "out.npy").read_bytes() == whole(source)


def test_a_file_that_is_cut_short_is_refused_as_ever(tmp_path: Path):
    source = take(tmp_path / "take.npy")
    source.write_bytes(source.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"take.npy: not a readable .npy file: .* expected at most"):
        formats.read(source, mapped=True)


def test_pages_that_were_let_go_of_keep_what_was_written(tmp_path: Path):
    with (tmp_path / "array.npy").open("x+b") as file:
        array, held = _mapped.mapped_output(file, (1000, 1000), np.dtype(np.float32))
        with _mapped.few_pages(held):
            for row in range(1000):
                array[row] = row
        held.flush()
    np.testing.assert_array_equal(np.load(tmp_path / "array.npy"), np.arange(1000)[:, None].repeat(1000, 1))


def test_a_program_that_is_terminated_leaves_nothing(tmp_path: Path):
    source = tmp_path / "take.npy"
    np.save(source, np.sin(np.arange(1_000_000)[:, None] / 30 + np.arange(24)).astype(np.float32))
    command = [sys.executable, "-c", "from smpl_tools.cli.main import run; run()", "refine", str(source)]
    command += ["-o", str(tmp_path / "out.npy"), "--kind", "channels"]
    with subprocess.Popen(command, cwd=REPOSITORY) as running:
        while not list(tmp_path.glob(".smoothnet-*")):
            assert running.poll() is None
            time.sleep(0.01)
        running.terminate()
        assert running.wait() == 128 + signal.SIGTERM
    assert [one.name for one in tmp_path.iterdir()] == ["take.npy"]


_PEAK = """
import json, sys
from smpl_tools.cli.main import main
status = main(sys.argv[1:])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([status, int(peak.split()[1])]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell the peak of memory")
def test_memory_does_not_grow_with_the_take(tmp_path: Path):
    # A small network, so that what takes time is reading and writing.
    model = published(tmp_path / "small.safetensors", hop=8)
    peaks = []
    for frames in (1_000_000, 4_000_000):
        source = tmp_path / f"{frames}.npy"
        array = np.lib.format.open_memmap(source, "w+", np.float32, (frames, 8))
        array[:] = np.sin(np.arange(8))
        del array
        command = [sys.executable, "-c", _PEAK, "refine", str(source), "-o", str(tmp_path / "out.npy")]
        command += ["--kind", "channels", "--force", "--model", str(model)]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=True)
        status, peak = json.loads(ran.stdout.splitlines()[-1])
        assert status == 0
        peaks.append(peak / 2**10)
        source.unlink()
    # 96 MB more come in and 96 more go out, and read whole they would be there more than once. Of all that a part is
    # held at once, and the numbers of the frames, 24 MB of them.
    assert peaks[1] < peaks[0] + 150, peaks
