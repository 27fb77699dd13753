"""Batches as processes: killed, interrupted, two at once, without room, and workers that end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from smpl_tools.batch.job import Job, Refining
from smpl_tools.batch.workers import Workers
from tests.helpers import REPOSITORY
from tests.smpl.batch_helpers import ended, leftovers, records, results, started, tree
from tests.smpl.batch_kills import kill_often
from tests.smpl.cli_helpers import body, saved

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and limits of Unix")

MEDIAN = ("--method", "median", "--workers", "1")


def until(condition: object, running: subprocess.Popen[str]) -> None:
    assert callable(condition)
    while not condition():
        assert running.poll() is None, running.communicate()
        time.sleep(0.005)


def test_a_batch_that_is_killed_again_and_again_comes_to_the_same_end(tmp_path: Path):
    happened = kill_often(tmp_path, files=24, kills=4, seed=1)
    assert sum(happened.killed.values()) == 4
    assert happened.done_again == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_that_is_interrupted_tidies_up_and_goes_on(tmp_path: Path, number: int, status: int):
    source, output = tree(tmp_path / "in", 150), tmp_path / "out"
    running = started(source, "-o", output, "--workers", 2)
    until(lambda: output.is_dir() and len(results(output)) > 5, running)
    # As the terminal does it: to all processes of the program.
    os.killpg(running.pid, number)
    out, err = running.communicate(timeout=60)
    assert running.returncode == status, (out, err)
    assert "Traceback" not in err
    assert leftovers(output) == []
    done = results(output)
    assert 5 < len(done) < 150
    # Of the very last, one for each worker, results may be there and their lines not yet.
    known = set(records(output))
    assert known <= set(done)
    assert len(done) - len(known) <= 2
    assert re.search(r"150 files: \d+ refined, 0 unchanged, 0 failed, \d+ not done", out)
    assert "ended early; the same command goes on from here" in out
    assert (err == "error: interrupted\n") == (number == signal.SIGINT)


def test_the_second_of_two_at_once_is_refused_and_the_first_is_right(tmp_path: Path):
    source, output = tree(tmp_path / "in", 12), tmp_path / "out"
    first = started(source, "-o", output)
    until(lambda: (output / "manifest.jsonl").exists(), first)
    first.send_signal(signal.SIGSTOP)
    status, out, err = ended(source, "-o", output)
    assert (status, out) == (1, "")
    first.send_signal(signal.SIGCONT)
    assert err == f"error: {output}: another batch is at work in this folder (process {first.pid})\n"
    assert first.communicate(timeout=120)[1] == ""
    assert first.returncode == 0
    assert sorted(results(output)) == sorted(results(source))
    assert leftovers(output) == []


def test_of_many_started_together_one_does_it(tmp_path: Path):
    source, output = tree(tmp_path / "in", 12), tmp_path / "out"
    running = [started(source, "-o", output, *MEDIAN) for _ in range(4)]
    told = [one.communicate(timeout=120) for one in running]
    assert {one.returncode for one in running} <= {0, 1}
    assert any(one.returncode == 0 for one in running)
    refused = [err for one, (_, err) in zip(running, told, strict=True) if one.returncode]
    assert all("another batch is at work in this folder" in err for err in refused)
    assert sorted(results(output)) == sorted(results(source)) == sorted(records(output))


def limit_file_sizes() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))


def test_a_file_that_there_is_no_room_for_is_said_and_done_when_there_is(tmp_path: Path):
    source, output = tree(tmp_path / "in", 3), tmp_path / "out"
    saved(source / "large.npy", body(2000))
    status, out, err = ended(source, "-o", output, *MEDIAN, preexec_fn=limit_file_sizes)
    assert status == 3
    assert "4 files: 3 refined, 0 unchanged, 1 failed" in out
    assert err == f"error: {output / 'large.npy'}: cannot be written: File too large\n"
    assert leftovers(output) == []
    assert not (output / "large.npy").exists()
    status, out, _ = ended(source, "-o", output, *MEDIAN)
    assert status == 0
    assert "4 files: 1 refined, 3 unchanged, 0 failed" in out
    assert "refined because: failed before 1" in out


def test_without_room_for_the_manifest_it_ends_and_can_be_gone_on_with(tmp_path: Path):
    source, output = tree(tmp_path / "in", 60), tmp_path / "out"
    status, out, err = ended(source, "-o", output, *MEDIAN, preexec_fn=limit_file_sizes)
    assert status == 1
    assert err == f"error: {output / 'manifest.jsonl'}: cannot be written: File too large\n"
    assert "not done" in out
    assert leftovers(output) == []
    done = len(records(output))
    assert 5 < done < 60
    status, out, _ = ended(source, "-o", output, *MEDIAN)
    assert status == 0
    assert f"60 files: {60 - done} refined, {done} unchanged" in out


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount half a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_a_clear_error_and_leaves_no_half_file(tmp_path: Path, small_disk: Path):
    source, output, roomy = tree(tmp_path / "in", 30), small_disk / "out", tmp_path / "roomy"
    assert ended(source, "-o", roomy, *MEDIAN)[0] == 0
    status, out, err = ended(source, "-o", output, *MEDIAN)
    assert status in (1, 3)
    assert "No space left on device" in err
    assert all(line.endswith("cannot be written: No space left on device") for line in err.splitlines())
    assert " failed" in out
    assert leftovers(output) == []
    there, expected = results(output), results(roomy)
    assert 0 < len(there) < 30
    assert {name: expected[name] for name in there} == there
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert ended(source, "-o", output, *MEDIAN)[0] == 0
    assert results(output) == expected


def test_a_worker_that_ends_costs_its_file_only(tmp_path: Path):
    takes = [saved(tmp_path / f"{index}.npy", body()) for index in range(6)]
    refining = Refining({"method": "median"}, None)
    with Workers(1, refining) as workers:
        process = workers._workers[0].process

        def jobs() -> Iterator[Job]:
            for index, take in enumerate(takes):
                if index == 0:
                    # It gets the first and does not come to begin it.
                    os.kill(process.pid, signal.SIGSTOP)
                if index == 1:
                    os.kill(process.pid, signal.SIGKILL)
                staged = tmp_path / f"stage{index}" / take.name
                yield Job(take.name, take, take.name, tmp_path / "out" / take.name, staged)

        outcomes = {one.name: one for ready in workers.outcomes(jobs()) for one in ready}
    assert {name: one.state for name, one in outcomes.items()} == {
        "0.npy": "failed",
        **{f"{index}.npy": "refined" for index in range(1, 6)},
    }
    record = outcomes["0.npy"].record
    assert record is not None
    assert record["error"] == f"{takes[0]}: the process that refined it ended with SIGKILL, perhaps for want of memory"
    assert record["transient"]


def test_workers_have_one_thread_and_end_with_who_started_them(tmp_path: Path):
    source, output = tree(tmp_path / "in", 100), tmp_path / "out"
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    running = started(source, "-o", output, "--workers", "2", env=environment)
    until(lambda: output.is_dir() and len(results(output)) > 5, running)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    if not children.exists():
        running.kill()
        pytest.skip("the system does not tell processes from their parents")
    found = [int(pid) for pid in children.read_text(encoding="ascii").split()]
    workers = [pid for pid in found if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")]
    assert len(workers) == 2
    for pid in workers:
        assert "OMP_NUM_THREADS=1\0" in Path(f"/proc/{pid}/environ").read_text(encoding="utf-8")
        assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
    running.kill()
    running.communicate()
    end = time.monotonic() + 20
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < end, "they did not end"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_script_without_a_guard_is_told_to_have_one(tmp_path: Path):
    source = tree(tmp_path / "in", 2)
    script = tmp_path / "script.py"
    script.write_text("from smpl_tools.cli.main import run\nrun()\n")
    command = [sys.executable, str(script), "batch", str(source), "-o", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    # By the weights of a network, which are larger than what a pipe holds.
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == (
        "error: a worker process ended while it started, with status 1; a script that runs batches does so under "
        "if __name__ == '__main__', since each process imports it again"
    )
