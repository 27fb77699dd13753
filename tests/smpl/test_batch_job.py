"""One file of a batch: whether it must be done, and what is said of it."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smoothnet_core import __version__, load_model, refine
from smpl_tools.batch import job as module
from smpl_tools.batch.job import Before, Job, Refining, attend, canonical, digest, do_file, needed
from smpl_tools.refine_file import refine_file
from tests.smpl.cli_helpers import body, published, saved

MEDIAN = Refining({"method": "median", "strength": 1.0}, None)


@pytest.fixture
def take(tmp_path: Path) -> Path:
    return saved(tmp_path / "take.npy", body())


def job(take: Path, **other: Any) -> Job:
    folder = take.parent
    return Job("take.npy", take, "take.npy", folder / "out.npy", folder / "stage" / "take.npy", **other)


def before(record: dict[str, Any]) -> Before:
    weights = record["model"] and record["model"]["sha256"]
    told = (record[name] for name in ("result", "result_sha256", "error", "transient"))
    return Before(record["sha256"], canonical(record["settings"]), weights, *told)


def done(take: Path, refining: Refining = MEDIAN) -> Before:
    """Do a job, put its result into its place, and return what is known of it."""
    outcome = attend(job(take), refining)
    assert outcome.state == "refined"
    assert outcome.record is not None
    (take.parent / "stage" / "take.npy").replace(take.parent / "out.npy")
    (take.parent / "stage").rmdir()
    return before(outcome.record)


def test_a_record_says_all_that_was_done(take: Path):
    staged = take.parent / "stage" / "take.npy"
    record = do_file(take, staged, Refining({"method": "smoothnet", "fps": 25.0}, load_model("default")))
    refine_file(take, take.with_name("same.npy"), method="smoothnet", fps=25.0)
    assert staged.read_bytes() == take.with_name("same.npy").read_bytes()
    assert record["sha256"] == hashlib.sha256(take.read_bytes()).hexdigest()
    assert record["result_sha256"] == hashlib.sha256(staged.read_bytes()).hexdigest()
    assert record["settings"] == {"version": __version__, "method": "smoothnet", "fps": 25.0}
    assert record["model"]["name"] == "default"
    assert (record["format"], record["error"], record["transient"]) == ("array", None, False)
    assert record["metrics"]["fps"] == 25.0
    assert record["metrics"]["tracks"][0]["jitter_after"] < record["metrics"]["tracks"][0]["jitter_before"]
    assert record["seconds"] > 0
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_weights_are_known_by_their_numbers_and_not_by_their_name(tmp_path: Path):
    one, other = published(tmp_path / "a.safetensors"), published(tmp_path / "b.safetensors")
    weights = [Refining({}, load_model(path)).weights for path in (one, other, published(tmp_path / "c", hop=2))]
    assert all(weights)
    assert len({found["sha256"] for found in weights if found}) == 2
    model = load_model(one)
    name = next(iter(model.tensors))
    changed = {**model.tensors, name: np.nextafter(model.tensors[name], np.float32(1))}
    found = Refining({}, dataclasses.replace(model, tensors=changed)).weights
    assert found is not None
    assert found["sha256"] not in {one["sha256"] for one in weights if one}


def test_what_workers_are_given_can_be_sent():
    refining = Refining({"method": "smoothnet"}, load_model("default"))
    refine(body(), model=refining.model)
    sent = pickle.loads(pickle.dumps(refining))
    assert (sent.settings, sent.weights) == (refining.settings, refining.weights)


def test_what_is_done_is_not_done_again(take: Path):
    old = done(take)
    assert needed(job(take, before=old), MEDIAN) == ("unchanged", "")
    outcome = attend(job(take, before=old), MEDIAN)
    assert (outcome.state, outcome.record) == ("unchanged", None)
    # The times of files say nothing.
    os.utime(take)
    os.utime(take.parent / "out.npy")
    assert needed(job(take, before=old), MEDIAN)[0] == "unchanged"


def test_whatever_changed_is_done_again(take: Path, monkeypatch: pytest.MonkeyPatch):
    assert needed(job(take), MEDIAN) == ("refined", "new")
    old = done(take)
    result = take.parent / "out.npy"
    renamed = dataclasses.replace(job(take, before=old), result="b.npy")
    assert needed(renamed, MEDIAN) == ("refined", "another name")
    half = Refining({"method": "median", "strength": 0.5}, None)
    assert needed(job(take, before=old), half) == ("refined", "settings changed: strength")
    model = Refining(MEDIAN.options, load_model("default"))
    assert needed(job(take, before=old), model) == ("refined", "weights changed")
    newer = Refining(MEDIAN.options, None)
    with monkeypatch.context() as patch:
        patch.setattr(module, "__version__", "99")
        assert needed(job(take, before=old), newer) == ("refined", "settings changed: version")
    content = result.read_bytes()
    result.write_bytes(content[:-1] + b"\x01")
    assert needed(job(take, before=old), MEDIAN) == ("refined", "result changed")
    result.unlink()
    assert needed(job(take, before=old), MEDIAN) == ("refined", "result missing")
    other = take.with_name("elsewhere.npy")
    other.write_bytes(content)
    result.symlink_to(other)
    assert needed(job(take, before=old), MEDIAN) == ("refined", "result changed")
    # One bit of the input, its size and time as they were.
    there, changed = take.stat(), bytearray(take.read_bytes())
    changed[-1] ^= 1
    take.write_bytes(changed)
    os.utime(take, ns=(there.st_atime_ns, there.st_mtime_ns))
    assert needed(job(take, before=old), MEDIAN) == ("refined", "input changed")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npz", b"junk", "unknown format: expected one of"),
        ("a.bvh", b"HIERARCHY\n", "line 1: expected ROOT"),
        ("a.npy", b"", "unknown format"),
        ("a.pkl", b"\x80\x02cos\nsystem\n(S'true'\ntR.", "refused"),
    ],
)
def test_a_bad_file_is_said_to_be_bad_and_not_tried_again(tmp_path: Path, name: str, content: bytes, message: str):
    bad = tmp_path / name
    bad.write_bytes(content)
    outcome = attend(job(bad), MEDIAN)
    assert outcome.state == "failed"
    assert outcome.record is not None
    error = outcome.record["error"]
    assert error.startswith(f"{bad}: ")
    assert message in error
    assert "\n" not in error
    assert not outcome.record["transient"]
    assert outcome.record["result_sha256"] is None
    old = before(outcome.record)
    assert needed(job(bad, before=old), MEDIAN) == ("failed before", error)
    assert needed(job(bad, before=old, retry=True), MEDIAN) == ("refined", "failed before")
    bad.write_bytes(content + b" ")
    assert needed(job(bad, before=old), MEDIAN) == ("refined", "input changed")


def fails(raised: BaseException) -> Any:
    def failing(*_: object, **__: object) -> None:
        raise raised

    return failing


@pytest.mark.parametrize(
    ("raised", "error", "transient"),
    [
        (OSError(errno.EIO, "Input/output error", "x.npy"), "x.npy: Input/output error", True),
        (OSError(errno.EIO, "Input/output error"), "Input/output error", True),
        (OSError("9 requested and 7 written"), "OSError: 9 requested and 7 written", True),
        (gzip.BadGzipFile("not gzipped"), "BadGzipFile: not gzipped", False),
        (MemoryError(), "not enough memory", True),
        (ImportError("smplx is not installed"), "smplx is not installed", True),
        (ValueError("two\nlines"), "two lines", False),
        (KeyError("poses"), "KeyError: 'poses'", False),
        (RecursionError("too deep"), "RecursionError: too deep", False),
        (ZeroDivisionError(), "ZeroDivisionError: ", False),
    ],
)
def test_errors_of_the_machine_are_told_from_those_of_the_file(
    take: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException, error: str, transient: bool
):
    monkeypatch.setattr(module, "refine_file", fails(raised))
    record = do_file(take, take.parent / "stage" / "a.npy", MEDIAN)
    assert (record["error"], record["transient"]) == (error, transient)


def test_a_full_disk_is_an_error_of_the_machine_and_names_the_result(take: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "fsync", fails(OSError(errno.ENOSPC, "No space left on device")))
    outcome = attend(job(take), MEDIAN)
    assert outcome.record is not None
    assert outcome.record["error"] == f"{take.parent / 'out.npy'}: cannot be written: No space left on device"
    assert outcome.record["transient"]
    assert list((take.parent / "stage").iterdir()) == []
    assert needed(job(take, before=before(outcome.record)), MEDIAN) == ("refined", "failed before")


def test_an_input_that_changes_while_it_is_read_is_not_believed(take: Path, monkeypatch: pytest.MonkeyPatch):
    def meanwhile(source: Path, *arguments: Any, **settings: Any) -> Any:
        became = refine_file(source, *arguments, **settings)
        changes[-1](source)
        return became

    monkeypatch.setattr(module, "refine_file", meanwhile)
    content = take.read_bytes()
    changes: list[Callable[[Path], object]] = [lambda p: p.write_bytes(content + b"1"), Path.unlink]
    changes.append(lambda p: os.utime(p, ns=(1, 1)))
    while changes:
        take.write_bytes(content)
        outcome = attend(job(take), MEDIAN)
        assert outcome.record is not None
        assert outcome.record["error"] == f"{take}: changed while it was being read"
        assert outcome.record["transient"]
        assert outcome.record["result_sha256"] is None
        (take.parent / "stage" / "take.npy").unlink()
        (take.parent / "stage").rmdir()
        changes.pop()


def test_a_folder_is_hashed_by_names_and_contents(tmp_path: Path):
    folder = tmp_path / "take"
    (folder / "b").mkdir(parents=True)
    (folder / "a.json").write_bytes(b"1")
    (folder / "b" / "\udcff.json").write_bytes(b"2")
    lines = hashlib.sha256(b"1").hexdigest().encode() + b" a.json\n"
    lines += hashlib.sha256(b"2").hexdigest().encode() + b" b/\xff.json\n"
    assert digest(folder) == hashlib.sha256(lines).hexdigest()
    (folder / "a.json").rename(folder / "c.json")
    assert digest(folder) != hashlib.sha256(lines).hexdigest()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_link_to_a_pipe_or_to_nothing_fails_at_once(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for name, leads_to, message in (
        ("a.npy", "pipe", "expected a file or a folder, found a device or a pipe"),
        ("b.npy", "nothing", "No such file or directory"),
        ("c.npy", "c.npy", "Too many levels of symbolic links"),
        ("d.npy", "/dev/zero", "expected a file or a folder, found a device or a pipe"),
    ):
        (tmp_path / name).symlink_to(leads_to)
        record = do_file(tmp_path / name, tmp_path / "stage" / name, MEDIAN)
        assert record["error"] == f"{tmp_path / name}: {message}"
