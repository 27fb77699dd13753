"""The manifest: what is known after a run that ended anywhere."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from smpl_tools.batch.manifest import Manifest


def record(source: str, **other: Any) -> dict[str, Any]:
    found = {"source": source, "root": "/in", "result": source, "sha256": "1", "settings": {"strength": 1.0}}
    found |= {"model": {"name": "default", "sha256": "w"}, "result_sha256": "2", "error": None, "transient": False}
    return {**found, **other}


def written(path: Path, *found: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in found), encoding="ascii")
    return path


def added(path: Path, *found: dict[str, Any], root: str | None = None) -> Manifest:
    manifest = Manifest(path)
    manifest.open()
    for one in found:
        manifest.add(one)
    manifest.close(root)
    return manifest


def test_there_need_be_none(tmp_path: Path):
    manifest = Manifest(tmp_path / "manifest.jsonl")
    assert (manifest.entries, manifest.broken) == ({}, 0)
    assert list(tmp_path.iterdir()) == []


def test_records_come_back_whatever_their_names(tmp_path: Path):
    names = ["a b", "line\nbreak", "走る", os.fsdecode(b"\xff"), '"\\']
    path = tmp_path / "manifest.jsonl"
    added(path, *map(record, names), root="/in")
    assert list(Manifest(path).entries) == sorted(names)
    assert path.read_bytes().count(b"\n") == len(names)
    entry = Manifest(path).entries["a b"]
    assert entry.root == "/in"
    assert entry.before == ("1", '{"strength": 1.0}', "w", "a b", "2", None, False)


def test_the_last_line_of_a_source_counts_and_alone_stays(tmp_path: Path):
    path = tmp_path / "manifest.jsonl"
    added(path, record("b"), record("a", error="no"), record("b", sha256="3"))
    assert len(path.read_bytes().splitlines()) == 3
    assert Manifest(path).entries["b"].before.sha256 == "3"
    added(path, root="/in")
    assert [json.loads(line) for line in path.read_bytes().splitlines()] == [
        record("a", error="no"),
        record("b", sha256="3"),
    ]


@pytest.mark.parametrize("cut", [1, 2, 30, -1])
def test_a_line_that_was_not_written_whole_is_cut_off(tmp_path: Path, cut: int):
    path = written(tmp_path / "manifest.jsonl", record("a"), record("b"))
    line = json.dumps(record("c", notes=["longer than what will be added"] * 9)).encode()
    whole = path.read_bytes()
    path.write_bytes(whole + line[:cut])
    manifest = Manifest(path)
    assert (list(manifest.entries), manifest.broken) == (["a", "b"], 1)
    assert path.read_bytes() == whole + line[:cut]
    added(path, record("d"))
    assert path.read_bytes() == whole + json.dumps(record("d")).encode() + b"\n"


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"",
        bytes(500),
        b"[1]",
        b"7",
        b"{}",
        b"[" * 100_000,
        b"\xff\xfe",
        json.dumps(record("x", result=7)).encode(),
        json.dumps(record("x", model="default")).encode(),
        json.dumps(record("x", sha256=[1])).encode(),
        json.dumps({"source": "x"}).encode(),
    ],
)
def test_lines_that_are_no_records_cost_their_file_only(tmp_path: Path, line: bytes):
    path = written(tmp_path / "manifest.jsonl", record("a"))
    path.write_bytes(line + b"\n" + path.read_bytes())
    manifest = Manifest(path)
    assert (list(manifest.entries), manifest.broken) == (["a"], 1)
    added(path, root="/in")
    assert path.read_bytes() == json.dumps(record("a")).encode() + b"\n"


def test_a_moved_root_is_written_down(tmp_path: Path):
    path = written(tmp_path / "manifest.jsonl", record("a"))
    added(path, root="/elsewhere")
    assert Manifest(path).entries["a"].root == "/elsewhere"
    assert json.loads(path.read_bytes()) == record("a", root="/elsewhere")


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "manifest.jsonl"
    manifest = Manifest(path)
    manifest.open()
    manifest.add(record("a"))
    whole, write = path.read_bytes(), os.write

    def full(file: int, content: Any) -> int:
        if len(content) > 20:
            return write(file, content[:20])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(
        os, "write", lambda file, content: full(file, content) if len(content) > 20 else full(file, b"")
    )
    with pytest.raises(ValueError, match=r"manifest.jsonl: cannot be written: No space left on device"):
        manifest.add(record("b"))
    monkeypatch.undo()
    assert path.read_bytes() == whole
    manifest.add(record("c"))
    manifest.close(None)
    assert list(Manifest(path).entries) == ["a", "c"]


def test_one_that_cannot_be_read_is_refused(tmp_path: Path):
    (tmp_path / "manifest.jsonl").mkdir()
    with pytest.raises(ValueError, match=r"manifest.jsonl: cannot be read: Is a directory"):
        Manifest(tmp_path / "manifest.jsonl")


def test_a_file_of_the_same_name_that_is_no_manifest_is_not_lost(tmp_path: Path):
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(b'{"audio": "a.wav"}\n')
    with pytest.raises(ValueError, match=r"manifest.jsonl: expected the manifest of a batch, received other lines"):
        Manifest(path)
    path.write_bytes(b'{"source": "a.np')
    assert Manifest(path).entries == {}
