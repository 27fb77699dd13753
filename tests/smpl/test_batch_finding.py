"""What of a tree is refined, and under which names results go."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from smpl_tools.batch.finding import find, planned
from tests.helpers import shared
from tests.smpl.cli_helpers import body, saved

NAMES = [
    "two words.npy",
    "-o.npy",
    "--force.npy",
    "line\nbreak.npy",
    "tab\t.npy",
    "Ходьба.npy",
    "走る.npy",
    "مشي.npy",
    "e\u0301.npy",
    "%s{}[red]$HOME`id`.npy",
    os.fsdecode(b"\xff\xfe.npy"),
    "UPPER.NPY",
]


def touched(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def results(root: Path, to: str | None = None) -> tuple[dict[str, str], dict[str, str]]:
    found = find(root)
    return {one.source: one.result for one in planned(found, root, to, ("manifest.jsonl",))}, found.failed


def test_files_are_found_at_any_depth_by_their_endings(tmp_path: Path):
    for name in (
        "b.bvh",
        "a/x.npz",
        "a/b/c/d/e.pkl",
        "a/shape.npz",
        "notes.txt",
        "film.mp4",
        "README",
        ".a.npz",
        ".git/x.npz",
    ):
        touched(tmp_path / name)
    found = find(tmp_path, ["shape.*"])
    assert found.sources == ["a/b/c/d/e.pkl", "a/x.npz", "b.bvh"]
    assert found.left_out == {
        "hidden": [".a.npz", ".git"],
        "without ending": ["README"],
        "*.mp4": ["film.mp4"],
        "*.txt": ["notes.txt"],
        "skipped": ["a/shape.npz"],
    }
    assert find(tmp_path, ["a/b"]).sources == ["a/shape.npz", "a/x.npz", "b.bvh"]


def test_names_in_any_script(tmp_path: Path):
    for name in NAMES:
        touched(tmp_path / "in" / name / name)
    assert find(tmp_path / "in").sources == sorted(f"{name}/{name}" for name in NAMES)


def test_a_link_to_a_file_is_that_file_and_one_to_a_folder_is_not_followed(tmp_path: Path):
    outside = touched(tmp_path / "outside" / "b.npy")
    root = tmp_path / "in"
    touched(root / "a" / "a.npy")
    (root / "file.npy").symlink_to(outside)
    (root / "nowhere.npy").symlink_to(tmp_path / "nothing.npy")
    (root / "itself.npy").symlink_to(root / "itself.npy")
    (root / "outside").symlink_to(outside.parent)
    (root / "a" / "loop").symlink_to(root)
    (root / "a" / "up.npy").symlink_to("..")
    found = find(root)
    assert found.sources == ["a/a.npy", "file.npy", "itself.npy", "nowhere.npy"]
    assert found.left_out == {"links to folders": ["outside", "a/loop", "a/up.npy"]}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path):
    touched(tmp_path / "a.npy")
    os.mkfifo(tmp_path / "pipe.npy")
    found = find(tmp_path)
    assert (found.sources, found.left_out) == (["a.npy"], {"no regular files": ["pipe.npy"]})


def test_a_folder_that_is_one_motion_is_refined_as_one(tmp_path: Path):
    take = shared("data", "real", "openpose", "single_cam01")
    root = tmp_path / "in"
    root.mkdir()
    (root / "take").mkdir()
    for file in sorted(take.iterdir())[:3]:
        (root / "take" / file.name).write_bytes(file.read_bytes())
    assert find(root).sources == ["take"]
    touched(root / "take" / "lost.bvh")
    found = find(root)
    assert found.sources == ["take"]
    assert found.failed == {
        "take/lost.bvh": f"{root / 'take/lost.bvh'}: lies in a folder that is one motion (openpose): move it, or "
        "refine it by itself"
    }
    with pytest.raises(ValueError, match=r"take: expected a folder of motions, found one motion \(openpose\)"):
        find(root / "take")


@pytest.mark.parametrize(("name", "is_there"), [("a.npy", "a file"), ("nothing", "nothing of that name")])
def test_a_root_that_is_no_folder_is_refused(tmp_path: Path, name: str, is_there: str):
    touched(tmp_path / "a.npy")
    with pytest.raises(ValueError, match=f"{name}: expected a folder, found {is_there}"):
        find(tmp_path / name)


def test_results_keep_their_names(tmp_path: Path):
    saved(tmp_path / "b.npy", body())
    touched(tmp_path / "a" / "b.bvh")
    assert results(tmp_path) == ({"a/b.bvh": "a/b.bvh", "b.npy": "b.npy"}, {})


def test_another_format_has_another_ending(tmp_path: Path):
    touched(tmp_path / "a" / "x.y.npz")
    assert results(tmp_path, "bvh") == ({"a/x.y.npz": "a/x.y.bvh"}, {})
    assert results(tmp_path, "openpose") == ({"a/x.y.npz": "a/x.y"}, {})


def test_results_that_meet_are_named_and_none_is_written(tmp_path: Path):
    for name in ("a.npz", "a.bvh", "a.pkl", "b.npz"):
        touched(tmp_path / name)
    plan, failed = results(tmp_path, "bvh")
    assert plan == {"b.npz": "b.bvh"}
    assert failed == {
        "a.bvh": f"{tmp_path / 'a.bvh'}: its result a.bvh meets that of a.npz: rename one",
        "a.npz": f"{tmp_path / 'a.npz'}: its result a.bvh meets that of a.bvh: rename one",
        "a.pkl": f"{tmp_path / 'a.pkl'}: its result a.bvh meets that of a.bvh: rename one",
    }


def test_a_folder_that_is_a_result_holds_no_other_results(tmp_path: Path):
    touched(tmp_path / "a.npz")
    touched(tmp_path / "a" / "x" / "b.npz")
    plan, failed = results(tmp_path, "openpose")
    assert plan == {}
    assert set(failed) == {"a.npz", "a/x/b.npz"}
    assert failed["a/x/b.npz"].endswith("its result a/x/b meets that of a.npz: rename one")


def test_the_manifest_is_no_result(tmp_path: Path):
    touched(tmp_path / "manifest.jsonl.npz")
    plan, failed = results(tmp_path, "openpose")
    assert plan == {}
    assert "which the batch keeps for itself" in failed["manifest.jsonl.npz"]


def test_damaged_files_do_not_disturb_the_search(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.json").write_bytes(b"[" * 100_000)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "0.pkl").write_bytes(b"\x80\x04" + bytes(100))
    np.save(tmp_path / "c.npy", np.zeros(3))
    assert find(tmp_path).sources == ["a/0.json", "b/0.pkl", "c.npy"]
