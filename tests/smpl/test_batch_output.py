"""The folder that a batch writes to: one batch at a time, whole results, nothing outside."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from smpl_tools.batch.output import LOCK, Output, check_usable
from tests.helpers import REPOSITORY

HOLDS = """
import sys, time
from pathlib import Path
from smpl_tools.batch.output import Output
with Output(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


def staged(output: Output, result: str, content: bytes = b"new") -> Path:
    path = output.stage(result)
    path.parent.mkdir()
    path.write_bytes(content)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.name != LOCK)


def test_a_result_appears_in_its_place_and_replaces_an_earlier_one(tmp_path: Path):
    folder = tmp_path / "deep" / "out"
    with Output(folder) as output:
        for content in (b"1", b"2"):
            path = staged(output, "a/b/c.npy", content)
            assert path.parent.parent == folder / "a" / "b"
            output.put(path, "a/b/c.npy")
            assert (folder / "a/b/c.npy").read_bytes() == content
    assert names(folder) == ["a", "a/b", "a/b/c.npy"]


def test_a_folder_replaces_a_folder_with_all_that_is_in_it(tmp_path: Path):
    with Output(tmp_path) as output:
        for name in ("1.json", "2.json"):
            path = output.stage("take")
            path.mkdir(parents=True)
            (path / name).write_bytes(b"")
            output.put(path, "take")
    assert names(tmp_path) == ["take", "take/2.json"]


def test_a_folder_that_cannot_be_replaced_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "take").mkdir()
    (tmp_path / "take" / "mine.json").write_bytes(b"")
    with Output(tmp_path) as output:
        path = output.stage("take")
        path.mkdir(parents=True)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", refuse)
            with pytest.raises(ValueError, match=r"take: cannot be written: Input/output error"):
                output.put(path, "take")
    assert names(tmp_path) == ["take", "take/mine.json"]


def test_what_was_not_put_is_removed_at_the_end(tmp_path: Path):
    with Output(tmp_path) as output:
        staged(output, "a/b.npy")
        output.drop(staged(output, "a/c.npy"))
        assert len(names(tmp_path)) == 3
    assert names(tmp_path) == ["a"]


def test_what_killed_runs_left_is_removed_at_the_start_and_nothing_else(tmp_path: Path):
    outside = tmp_path / "outside"
    (outside / ".smoothnet-batch-0123").mkdir(parents=True)
    folder = tmp_path / "out"
    for name in ("a/.smoothnet-batch-0a1b2c3d/x", ".smoothnet-batch-00/y", "a/.smoothnet", "a/.hidden/x", "b"):
        (folder / name).mkdir(parents=True)
    (folder / "link").symlink_to(outside)
    with Output(folder):
        assert names(folder) == ["a", "a/.hidden", "a/.hidden/x", "a/.smoothnet", "b", "link"]
    assert (outside / ".smoothnet-batch-0123").is_dir()


def test_two_at_once_are_refused_until_the_first_ends_however_it_ends(tmp_path: Path):
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(ValueError, match=rf"another batch is at work in this folder \(process {other.pid}\)$"):
            Output(tmp_path).__enter__()
        other.kill()
    with Output(tmp_path):
        pass


def test_links_in_the_folder_are_not_written_through(tmp_path: Path):
    outside, folder = tmp_path / "outside", tmp_path / "out"
    (outside / "sub").mkdir(parents=True)
    (outside / "file.npy").write_bytes(b"mine")
    with Output(folder) as output:
        (folder / "sub").symlink_to(outside / "sub")
        (folder / "file.npy").symlink_to(outside / "file.npy")
        (folder / "hard.npy").hardlink_to(outside / "file.npy")
        with pytest.raises(ValueError, match=r"out/sub/a.npy: cannot be written: .*out/sub is a link, and nothing is"):
            output.stage("sub/a.npy")
        with pytest.raises(ValueError, match=r"out/file.npy: cannot be written: it is a link, and nothing is"):
            output.put(staged(output, "file.npy"), "file.npy")
        output.put(staged(output, "hard.npy"), "hard.npy")
        # Made while the result was being computed.
        path = staged(output, "late/a.npy")
        (folder / "late").rename(folder / "moved")
        (folder / "late").symlink_to(outside / "sub")
        with pytest.raises(ValueError, match=r"late is a link"):
            output.put(path, "late/a.npy")
    assert names(outside) == ["file.npy", "sub"]
    assert (outside / "file.npy").read_bytes() == b"mine"
    assert (folder / "hard.npy").read_bytes() == b"new"


def test_the_folder_itself_may_be_a_link(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    with Output(tmp_path / "out") as output:
        output.put(staged(output, "a/b.npy"), "a/b.npy")
    assert (tmp_path / "real/a/b.npy").read_bytes() == b"new"


def test_a_lock_that_is_a_link_is_not_opened(tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "out" / LOCK).symlink_to(tmp_path / "mine")
    with pytest.raises(ValueError, match="out: cannot be written to: Too many levels of symbolic links"):
        Output(tmp_path / "out").__enter__()
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_what_is_in_the_way_is_named_and_stays(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "take").write_bytes(b"")
    with Output(tmp_path) as output:
        with pytest.raises(ValueError, match=r"file/a.npy: cannot be written: .*file is a file$"):
            output.stage("file/a.npy")
        with pytest.raises(ValueError, match=r"folder.npy: cannot be written: it is no file, and this result is one"):
            output.put(staged(output, "folder.npy"), "folder.npy")
        path = output.stage("take")
        path.mkdir(parents=True)
        with pytest.raises(ValueError, match=r"take: cannot be written: it is a file, and this result is a folder"):
            output.put(path, "take")
    assert names(tmp_path) == ["file", "folder.npy", "take"]


@pytest.mark.parametrize("call", ["rename", "fsync"])
def test_a_disk_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Output(tmp_path) as output:
        output.put(staged(output, "a.npy", b"old"), "a.npy")
        path = staged(output, "a.npy", b"new")
        with monkeypatch.context() as patch:
            patch.setattr(*((Path, "replace") if call == "rename" else (os, "fsync")), full)
            if call == "fsync":
                output.put(path, "a.npy")
            with pytest.raises(ValueError, match="cannot be written: No space left on device"):
                output.settle() if call == "fsync" else output.put(path, "a.npy")
    assert names(tmp_path) == ["a.npy"]
    assert (tmp_path / "a.npy").read_bytes() in (b"old", b"new")


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if os.path.isdir("/sys/kernel"):  # noqa: PTH112  # read-only for root too
        with pytest.raises(ValueError, match=r"^/sys/kernel: cannot be written to: (Permission|Operation|Read-only)"):
            Output(Path("/sys/kernel")).__enter__()
    if os.getuid() != 0:
        tmp_path.chmod(0o500)
        with pytest.raises(ValueError, match="cannot be written to: Permission denied"):
            Output(tmp_path).__enter__()
        tmp_path.chmod(0o700)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match="file: cannot be written to: File exists"):
        Output(tmp_path / "file").__enter__()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with Output(tmp_path) as output:
        monkeypatch.setattr(Path, "mkdir", refuse)
        with pytest.raises(ValueError, match=r"a/b.npy: cannot be written: Read-only file system"):
            output.stage("a/b.npy")


def test_a_folder_of_other_files_is_taken_only_by_force(tmp_path: Path):
    check_usable(tmp_path / "new", False)
    (tmp_path / LOCK).touch()
    (tmp_path / ".smoothnet-batch-01").mkdir()
    check_usable(tmp_path, False)
    (tmp_path / "mine.npy").touch()
    with pytest.raises(ValueError, match=r"received one that holds 'mine.npy' \(--force writes into it\)"):
        check_usable(tmp_path, False)
    check_usable(tmp_path, True)
    (tmp_path / "manifest.jsonl").touch()
    check_usable(tmp_path, False)
    with pytest.raises(ValueError, match="cannot be used as the output folder: Not a directory"):
        check_usable(tmp_path / "mine.npy", False)
