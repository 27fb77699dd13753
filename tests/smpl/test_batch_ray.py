"""Batches on a real Ray cluster of two nodes on this machine, one of which is killed in the midst of a run."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import REPOSITORY
from tests.smpl.batch_helpers import ended, leftovers, records, results, started, tree
from tests.smpl.batch_kills import strip
from tests.smpl.cli_helpers import body, saved
from tests.smpl.object_helpers import s3_server

pytest.importorskip("ray", reason="needs ray")

NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with s3_server() as environment:
        yield environment


@pytest.fixture(scope="module")
def cluster(server: dict[str, str]) -> Iterator[Any]:
    """Start a cluster; its nodes find the S3 server."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in {**server, "RAY_USAGE_STATS_ENABLED": "0"}.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        logging.getLogger("ray").setLevel(logging.CRITICAL)
        running = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        try:
            yield running
        finally:
            running.shutdown()


def until(condition: Any, running: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_node_that_is_killed_costs_time_and_nothing_else(cluster: Any, tmp_path: Path):
    source, output = tree(tmp_path / "in", 60, frames=200), tmp_path / "out"
    (source / "bad.npz").write_bytes(b"junk")
    status, _, told = ended(source, "-o", tmp_path / "alone")
    assert status == 3
    node = cluster.add_node(**NODE)
    running = started(source, "-o", output, "--engine", "ray", "--address", cluster.address)
    until(lambda: (output / "manifest.jsonl").exists() and len((output / "manifest.jsonl").read_bytes()) > 0, running)
    cluster.remove_node(node, allow_graceful=False)
    done = len(results(output))
    out, err = running.communicate(timeout=200)
    assert done < 60
    assert running.returncode == 3, err
    # But for lines of progress, Ray and its nodes say nothing.
    assert [line for line in err.splitlines() if " left" not in line] == told.splitlines()
    assert out.splitlines()[1].startswith("  61 files: 60 refined, 0 unchanged, 1 failed; ")
    assert len(out.splitlines()) == 2
    assert results(output) == results(tmp_path / "alone")
    assert strip(records(output)) == strip(records(tmp_path / "alone"))
    assert leftovers(output) == []


def test_objects_are_read_and_written_by_the_nodes(cluster: Any, server: dict[str, str], tmp_path: Path):
    import fsspec

    source = tree(tmp_path / "in", 6)
    assert ended(source, "-o", tmp_path / "alone")[0] == 0
    keys = {"key": "nobody", "secret": "nothing"}
    system = fsspec.filesystem("s3", endpoint_url=server["AWS_ENDPOINT_URL"], skip_instance_cache=True, **keys)
    system.mkdir("shelf")
    system.put(f"{source}/", "shelf/in/", recursive=True)
    there = ("s3://shelf/in", "-o", "s3://shelf/out", "--engine", "ray", "--address", cluster.address)
    status, out, err = ended(*there, env=server)
    assert status == 0, err
    assert "6 files: 6 refined, 0 unchanged, 0 failed" in out
    system.get("shelf/out/", f"{tmp_path / 'got'}/", recursive=True)
    assert results(tmp_path / "got") == results(tmp_path / "alone")
    status, out, err = ended(*there, env=server)
    assert status == 0, err
    assert "6 files: 0 refined, 6 unchanged, 0 failed" in out


def test_what_one_process_has_comes_and_goes_by_it_and_a_deadly_file_is_found(cluster: Any, tmp_path: Path):
    take = saved(tmp_path / "take.npy", body())
    program = "import sys; from tests.smpl.ray_helpers import main; main(*sys.argv[1:])"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", program, cluster.address, str(take)]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, env=environment)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["first"] == [6, 0, {}]
    assert told["again"] == [0, 6, {}]
    assert ended(tmp_path, "-o", tmp_path.with_name("alone"), "--method", "median")[0] == 0
    expected = (tmp_path.with_name("alone") / "take.npy").read_bytes().hex()
    assert told["results"] == {f"/out/a/{index}.npy": expected for index in range(6)}
    assert told["others"] == ["/out/manifest.jsonl"]
    assert told["said"] == 6
    wrong = {name: error for name, error in told["deadly"].items() if error is not None}
    assert wrong == {
        "bad.npy": "memory://in/bad.npy: the process that refined it ended again and again, though it did nothing "
        "else, perhaps for want of memory"
    }


def test_the_options_of_a_batch_do_the_same_there(cluster: Any, tmp_path: Path):
    source, output = tree(tmp_path / "in", 4), tmp_path / "out"
    (source / "bad.npz").write_bytes(b"junk")
    there = (source, "-o", output, "--engine", "ray", "--address", cluster.address)
    status, out, _ = ended(*there, "--dry-run")
    assert (status, "5 files: 5 to refine, 0 unchanged, 0 failed; nothing was written" in out) == (0, True), out
    assert not output.exists()
    assert ended(*there)[0] == 3
    before = {name: (output / name).stat().st_mtime_ns for name in results(output)}
    assert len(before) == 4
    # What failed is not tried again unless asked for, and nothing else is done then.
    status, out, _ = ended(*there)
    assert (status, "5 files: 0 refined, 4 unchanged, 1 failed" in out) == (3, True), out
    first = records(output)["bad.npz"]
    status, out, _ = ended(*there, "--retry-failed")
    again = records(output)["bad.npz"]
    assert (again["error"], again != first) == (first["error"], True)
    assert (status, "5 files: 0 refined, 4 unchanged, 1 failed" in out) == (3, True), out
    assert {name: (output / name).stat().st_mtime_ns for name in results(output)} == before
    many = tree(tmp_path / "many", 300)
    (many / "0.npz").write_bytes(b"junk")
    status, out, err = ended(
        many, "-o", tmp_path / "few", "--engine", "ray", "--address", cluster.address, "--fail-fast"
    )
    assert status == 3, err
    assert "(--fail-fast)" in out
    assert len(results(tmp_path / "few")) < 300


def test_nobody_at_the_address(tmp_path: Path):
    source = tree(tmp_path / "in", 1)
    status, out, err = ended(source, "-o", tmp_path / "out", "--engine", "ray", "--address", "127.0.0.1:1")
    assert (status, out) == (1, "")
    assert err.startswith("error: 127.0.0.1:1: no Ray cluster can be used there: ")
    assert not (tmp_path / "out").exists()
