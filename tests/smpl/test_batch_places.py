"""Batches between URLs: objects in memory and on an S3 server, what they may be called, and their manifest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smpl_tools.batch.job import Refining
from smpl_tools.batch.places import is_safe, place_of
from smpl_tools.batch.run import Batch, Tally, preview, run
from tests.smpl.batch_helpers import ended, records, results, tree
from tests.smpl.cli_helpers import body, saved
from tests.smpl.object_helpers import s3_server

fsspec = pytest.importorskip("fsspec", reason="URLs need fsspec")
objects = pytest.importorskip("smpl_tools.batch.objects")

MEDIAN = Refining({"method": "median"}, None)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Any]:
    """Give an empty store with three takes in ``/in``."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    for index in range(3):
        system.pipe_file(f"/in/a/{index}.npy", saved(tmp_path / "take.npy", body(seed=index)).read_bytes())
    yield system
    system.store.clear()


def batch(**other: Any) -> Batch:
    return Batch("memory://in", "memory://out", MEDIAN, workers=1, **other)


def test_what_an_argument_names(tmp_path: Path):
    assert place_of("takes/a") == Path("takes/a")
    assert place_of(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    assert place_of("s3://takes/in/") == "s3://takes/in"
    assert place_of("memory:///in/") == "memory://in"
    with pytest.raises(ValueError, match="expected one URL, received one within another"):
        place_of("zip://a::s3://b/c.zip")


@pytest.mark.parametrize("name", ["../a.npy", "a/../../b.npy", "/a.npy", "a//b.npy", "./a", "a\0.npy", "a" * 256])
def test_names_that_are_not_those_of_files_below(name: str):
    assert not is_safe(name)
    assert is_safe(f"a{name.replace('/', '').replace(chr(0), '')}"[:200])


def test_objects_are_refined_like_files_and_not_again(memory: Any, tmp_path: Path):
    _, todo = preview(batch())
    assert todo == [(f"a/{index}.npy", f"a/{index}.npy", "new") for index in range(3)]
    assert memory.find("/out") == []
    run(batch())
    (tmp_path / "in" / "a").mkdir(parents=True)
    for index in range(3):
        saved(tmp_path / "in" / "a" / f"{index}.npy", body(seed=index))
    run(Batch(tmp_path / "in", tmp_path / "out", MEDIAN, workers=1))
    expected = results(tmp_path / "out")
    names = memory.find("/out")
    assert names == ["/out/a/0.npy", "/out/a/1.npy", "/out/a/2.npy", "/out/manifest.jsonl"]
    assert {name[5:]: memory.cat_file(name) for name in names[:3]} == expected
    lines = [json.loads(line) for line in memory.cat_file("/out/manifest.jsonl").splitlines()]
    local = records(tmp_path / "out")
    for line in lines:
        assert line.pop("root") == "memory://in"
        same = {**local[line["source"]], "seconds": line["seconds"]}
        assert line == {name: value for name, value in same.items() if name != "root"}
    assert run(batch()).unchanged == 3
    memory.pipe_file("/out/a/0.npy", b"other")
    memory.rm_file("/out/a/1.npy")
    memory.pipe_file("/in/a/2.npy", memory.cat_file("/in/a/0.npy"))
    assert run(batch()).refined == {
        "a/0.npy": "result changed",
        "a/1.npy": "result missing",
        "a/2.npy": "input changed",
    }
    assert memory.cat_file("/out/a/0.npy") == memory.cat_file("/out/a/2.npy") == expected["a/0.npy"]


def test_hostile_names_are_said_and_lead_nowhere(memory: Any, tmp_path: Path):
    content = memory.cat_file("/in/a/0.npy")
    hostile = ["../up.npy", "a/../../../up.npy", "/etc/up.npy"]
    for name in hostile:
        memory.store[f"/in/{name}"] = memory.store["/in/a/0.npy"]
    tally = run(Batch("memory://in", tmp_path / "deep" / "out", MEDIAN, workers=1))
    assert sorted(tally.failed) == sorted(hostile)
    assert tally.failed["../up.npy"] == "memory://in/../up.npy: its name cannot be that of a file"
    made = ["a/0.npy", "a/1.npy", "a/2.npy", "manifest.jsonl", ".smoothnet-batch.lock"]
    assert sorted(results(tmp_path)) == sorted([*(f"deep/out/{name}" for name in made), "take.npy"])
    assert memory.cat_file("/in/a/0.npy") == content


def test_folders_that_are_one_motion_are(memory: Any, tmp_path: Path):
    person = {"pose_keypoints_2d": [value for joint in range(25) for value in (joint * 3.0, joint * 2.0, 0.9)]}
    for frame in range(12):
        people = [] if frame == 5 else [person]
        memory.pipe_file(f"/in/clip/x_{frame:012}_keypoints.json", json.dumps({"people": people}).encode())
    tally = run(batch())
    assert tally.refined == dict.fromkeys(["a/0.npy", "a/1.npy", "a/2.npy", "clip"], "new")
    assert len(memory.find("/out/clip")) == 12
    assert run(batch()).unchanged == 4
    memory.pipe_file("/out/clip/other.json", b"{}")
    assert run(batch()).refined == {"clip": "result changed"}
    assert len(memory.find("/out/clip")) == 12


def test_a_killed_run_is_gone_on_with_from_its_parts(memory: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(objects, "_INTERVAL", 0.0)
    known: list[str] = []

    def dies(tally: Tally) -> None:
        if tally.done == 2:
            known.extend(memory.find("/out"))
            # As if nothing more were done.
            monkeypatch.setattr(objects.ObjectManifest, "_write", lambda *_: None)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(batch(), dies)
    assert "/out/manifest.jsonl" not in known
    assert sum("/.smoothnet-batch-parts/" in name for name in known) == 2
    monkeypatch.undo()
    tally = run(batch())
    assert (len(tally.refined), tally.unchanged) == (1, 2)
    assert memory.find("/out") == ["/out/a/0.npy", "/out/a/1.npy", "/out/a/2.npy", "/out/manifest.jsonl"]


def test_a_store_that_does_not_take_results_is_an_error_of_each(memory: Any, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(objects.Place, "send", full)
    tally = run(batch())
    assert tally.failed["a/0.npy"] == "memory://out/a/0.npy: cannot be written: No space left on device"
    monkeypatch.undo()
    assert run(batch()).reasons() == {"failed before": 3}


def test_refusals(memory: Any, tmp_path: Path):
    with pytest.raises(ValueError, match=r"^memory://none: expected a folder, found nothing of that name$"):
        run(Batch("memory://none", "memory://out", MEDIAN))
    with pytest.raises(ValueError, match=r"^memory://in/a/0.npy: expected a folder, found a file$"):
        run(Batch("memory://in/a/0.npy", "memory://out", MEDIAN))
    with pytest.raises(ValueError, match=r"^nosuch://a: .*nosuch"):
        run(Batch("nosuch://a", "memory://out", MEDIAN))
    memory.pipe_file("/out/mine", b"")
    with pytest.raises(ValueError, match=r"^memory://out: expected a new or empty folder, .* holds 'mine'"):
        run(batch())
    assert len(run(batch(force=True)).refined) == 3
    memory.pipe_file("/else/a.npy", memory.cat_file("/in/a/0.npy"))
    with pytest.raises(ValueError, match=r"^memory://out: holds the results of memory://in, received memory://else"):
        run(Batch("memory://else", "memory://out", MEDIAN))
    status, _, err = ended("memory://in", "-o", "memory://in/out")
    assert status == 2
    assert "one of memory://in and memory://in/out lies in the other" in err


def test_an_s3_server_gets_what_a_folder_gets(tmp_path: Path):
    source = tree(tmp_path / "in", 8)
    (source / "bad # é.npz").write_bytes(b"junk")
    status, _, told = ended(source, "-o", tmp_path / "out")
    assert status == 3
    with s3_server() as environment:
        keys = {"key": "nobody", "secret": "nothing"}
        system = fsspec.filesystem("s3", endpoint_url=environment["AWS_ENDPOINT_URL"], skip_instance_cache=True, **keys)
        system.mkdir("takes")
        system.put(f"{source}/", "takes/in/", recursive=True)
        status, out, err = ended("s3://takes/in", "-o", "s3://takes/out", env=environment)
        assert status == 3, err
        assert "9 files: 8 refined, 0 unchanged, 1 failed" in out
        assert err == told.replace(str(source), "s3://takes/in")
        system.get("takes/out/", f"{tmp_path / 'got'}/", recursive=True)
        assert results(tmp_path / "got") == results(tmp_path / "out")
        status, out, _ = ended("s3://takes/in", "-o", "s3://takes/out", env=environment)
        assert status == 3
        assert "9 files: 0 refined, 8 unchanged, 1 failed" in out
        status, out, err = ended("s3://nowhere/in", "-o", "s3://takes/out", env=environment)
        assert (status, out) == (1, "")
        assert err.startswith("error: s3://nowhere/in: ")
        shutil.rmtree(tmp_path / "got")
