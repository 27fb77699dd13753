"""``smoothnet batch``: results as those of ``refine``, runs that go on where others ended, refusals, exit codes."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from smpl_tools.batch.run import Tally
from smpl_tools.cli import batch as command
from tests.smpl.batch_helpers import leftovers, records, results, tree
from tests.smpl.cli_helpers import Program, amass, body, published, saved
from tests.smpl.test_batch_finding import NAMES

MEDIAN = ("--method", "median", "--workers", 1)


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


@pytest.fixture
def takes(tmp_path: Path) -> Path:
    """Return a tree of three takes."""
    for name in ("a.npy", "sub/b.npy", "sub/c.npy"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        saved(tmp_path / "in" / name, body(seed=len(name)))
    return tmp_path / "in"


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_those_of_refine(program: Program, tmp_path: Path, workers: int):
    source, output = tree(tmp_path / "in", 9), tmp_path / "out"
    for name in NAMES:
        saved(source / name, body())
    options = ("--strength", 0.7)
    ran = program("batch", source, "-o", output, "--workers", workers, *options)
    assert (ran.status, ran.err) == (0, "")
    found = results(output)
    assert sorted(found) == sorted(results(source))
    assert sorted(records(output)) == sorted(found)
    for name, content in found.items():
        assert program("refine", source / name, "-o", tmp_path / "one", "--force", *options).status == 0
        assert (tmp_path / "one").read_bytes() == content, name
    assert f"{len(found)} files: {len(found)} refined, 0 unchanged, 0 failed" in ran.out


def test_the_options_of_refine_reach_the_refiner(program: Program, tmp_path: Path):
    (tmp_path / "in").mkdir()
    amass(tmp_path / "in" / "a.npz")
    weights = published(tmp_path / "w.safetensors")
    options = ("--model", weights, "--backend", "numpy", "--parts", "root", "--fps", 50)
    assert program("batch", tmp_path / "in", "-o", tmp_path / "out", *options, "--workers", 1).status == 0
    assert program("refine", tmp_path / "in" / "a.npz", "-o", tmp_path / "a.npz", *options).status == 0
    assert (tmp_path / "out" / "a.npz").read_bytes() == (tmp_path / "a.npz").read_bytes()
    record = records(tmp_path / "out")["a.npz"]
    assert record["model"]["name"] == str(weights)
    assert record["settings"] | {"parts": ["root"], "fps": 50.0, "backend": "numpy"} == record["settings"]


def test_what_is_done_is_not_done_again_and_what_changed_is(program: Program, takes: Path, tmp_path: Path):
    output = tmp_path / "out"
    assert program("batch", takes, "-o", output, *MEDIAN).status == 0
    first, lines = results(output), (output / "manifest.jsonl").read_bytes()
    ran = program("batch", takes, "-o", output, *MEDIAN)
    assert "3 files: 0 refined, 3 unchanged, 0 failed" in ran.out
    assert (results(output), (output / "manifest.jsonl").read_bytes()) == (first, lines)

    saved(takes / "a.npy", body(seed=77))
    (output / "sub" / "b.npy").unlink()
    (output / "sub" / "c.npy").write_bytes(b"")
    saved(takes / "new.npy", body())
    ran = program("batch", takes, "-o", output, *MEDIAN)
    assert "4 files: 4 refined, 0 unchanged, 0 failed" in ran.out
    told = set(re.search(r"refined because: (.*)", ran.out)[1].split(", "))  # pyright: ignore[reportOptionalSubscript]
    assert told == {"input changed 1", "result missing 1", "result changed 1", "new 1"}
    assert {name: results(output)[name] for name in ("sub/b.npy", "sub/c.npy")} == {
        name: first[name] for name in ("sub/b.npy", "sub/c.npy")
    }

    ran = program("batch", takes, "-o", output, *MEDIAN, "--strength", 0.5)
    assert "refined because: settings changed 4" in ran.out
    (takes / "new.npy").unlink()
    ran = program("batch", takes, "-o", output, *MEDIAN, "--strength", 0.5)
    assert "3 files: 0 refined, 3 unchanged, 0 failed" in ran.out
    assert "1 result of files that are no longer there: left as they are" in ran.out
    assert "new.npy" in results(output)


def test_other_weights_are_noticed_whatever_they_are_called(program: Program, takes: Path, tmp_path: Path):
    weights = published(tmp_path / "w.safetensors")
    asked = ("batch", takes, "-o", tmp_path / "out", "--workers", 1, "--model", weights)
    assert program(*asked).status == 0
    weights.rename(tmp_path / "v.safetensors")
    published(weights, hop=2)
    assert "refined because: weights changed 3" in program(*asked).out
    again = program(*asked[:-1], tmp_path / "v.safetensors")
    assert "refined because: weights changed 3" in again.out


def test_a_bad_file_stops_nothing_and_is_listed_at_the_end(program: Program, takes: Path, tmp_path: Path):
    output = tmp_path / "out"
    (takes / "a bad.bvh").write_bytes(b"junk")
    (takes / "sub" / "z.npz").write_bytes(b"PK\x03\x04junk")
    asked = ("batch", takes, "-o", output, *MEDIAN)
    ran = program(*asked)
    assert ran.status == 3
    assert "5 files: 3 refined, 0 unchanged, 2 failed" in ran.out
    errors = ran.err.splitlines()
    assert [line.split(": ")[:2] for line in errors] == [
        ["error", str(takes / "a bad.bvh")],
        ["error", str(takes / "sub/z.npz")],
    ]
    assert sorted(results(output)) == ["a.npy", "sub/b.npy", "sub/c.npy"]
    found = records(output)
    assert f"error: {found['a bad.bvh']['error']}" == errors[0]
    assert found["a bad.bvh"]["result_sha256"] is None

    # Nothing is tried again before something changes, and still nobody forgets it.
    lines = (output / "manifest.jsonl").read_bytes()
    again = program(*asked)
    assert (again.status, again.err) == (3, ran.err)
    assert "0 refined, 3 unchanged, 2 failed" in again.out
    assert (output / "manifest.jsonl").read_bytes() == lines
    retried = program(*asked, "--retry-failed")
    assert (retried.status, sorted(retried.err.splitlines())) == (3, sorted(errors))
    assert (output / "manifest.jsonl").read_bytes() != lines
    saved(takes / "sub" / "z.npy", body())
    (takes / "sub" / "z.npz").unlink()
    (takes / "a bad.bvh").unlink()
    mended = program(*asked)
    assert (mended.status, mended.err) == (0, "")
    assert "4 files: 1 refined, 3 unchanged, 0 failed" in mended.out


def test_the_first_failure_ends_it_if_told_so(program: Program, takes: Path, tmp_path: Path):
    (takes / "0.npy").write_bytes(b"junk")
    for index in range(20):
        saved(takes / f"many{index}.npy", body())
    asked = ("batch", takes, "-o", tmp_path / "out", *MEDIAN)
    ran = program(*asked, "--fail-fast")
    assert ran.status == 3
    assert ran.err.startswith(f"error: {takes / '0.npy'}: ")
    assert len(results(tmp_path / "out")) <= 3
    assert "not done" in ran.out
    assert "the first failure ends it (--fail-fast); the same command goes on from here" in ran.out
    assert program(*asked).status == 3
    assert len(results(tmp_path / "out")) == 23


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(program: Program, takes: Path, tmp_path: Path):
    output = tmp_path / "out"
    asked = ("batch", takes, "-o", output, *MEDIAN)
    ran = program(*asked, "--dry-run")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        *(f"{takes / name} -> {output / name} (new)" for name in ("a.npy", "sub/b.npy", "sub/c.npy")),
        "3 files: 3 to refine, 0 unchanged, 0 failed; nothing was written",
    ]
    assert not output.exists()
    assert program(*asked).status == 0
    saved(takes / "a.npy", body(seed=9))
    (takes / "bad.npz").write_bytes(b"junk")
    assert program(*asked, "--skip", "a.npy").status == 3
    before = {**results(output), "manifest": (output / "manifest.jsonl").read_bytes()}
    ran = program(*asked, "--dry-run", "--json")
    assert ran.status == 3
    found = json.loads(ran.out)
    assert found["to_refine"] == [{"source": "a.npy", "result": "a.npy", "why": "input changed"}]
    assert (found["unchanged"], [one["source"] for one in found["failed"]]) == (2, ["bad.npz"])
    assert {**results(output), "manifest": (output / "manifest.jsonl").read_bytes()} == before
    ran = program(*asked, "--dry-run", "--retry-failed", "--strength", 0.5)
    assert ran.status == 0
    assert "(settings changed: strength)" in ran.out


def test_another_format_and_names_that_meet(program: Program, tmp_path: Path):
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    amass(source / "one.npz")
    amass(source / "two.npz")
    (source / "two.bvh").write_text("HIERARCHY\n", encoding="ascii")
    ran = program("batch", source, "-o", output, *MEDIAN, "--to", "bvh")
    assert ran.status == 3
    assert list(results(output)) == ["one.bvh"]
    assert ran.err.splitlines() == [
        f"error: {source / 'two.bvh'}: its result two.bvh meets that of two.npz: rename one",
        f"error: {source / 'two.npz'}: its result two.bvh meets that of two.bvh: rename one",
    ]
    assert program("refine", source / "one.npz", "-o", tmp_path / "one.npz", "--method", "median").status == 0
    assert program("convert", tmp_path / "one.npz", "-o", tmp_path / "one.bvh").status == 0
    assert results(output)["one.bvh"] == (tmp_path / "one.bvh").read_bytes()
    assert records(output)["one.npz"]["result"] == "one.bvh"
    # A name that is free again is taken without being asked for.
    (source / "two.bvh").unlink()
    assert program("batch", source, "-o", output, *MEDIAN, "--to", "bvh").status == 0
    assert sorted(results(output)) == ["one.bvh", "two.bvh"]


def test_links_are_read_and_nothing_is_written_outside(program: Program, takes: Path, tmp_path: Path):
    outside, output = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    saved(outside / "far.npy", body(seed=5))
    (takes / "far.npy").symlink_to(outside / "far.npy")
    (takes / "loop").symlink_to(takes)
    before = results(outside)
    ran = program("batch", takes, "-o", output, *MEDIAN)
    assert (ran.status, ran.err) == (0, "")
    assert "left out: links to folders 1" in ran.out
    assert sorted(results(output)) == ["a.npy", "far.npy", "sub/b.npy", "sub/c.npy"]
    assert not (output / "far.npy").is_symlink()
    # A folder of the results that leads elsewhere.
    for name in ("b.npy", "c.npy"):
        (output / "sub" / name).unlink()
    (output / "sub").rmdir()
    (output / "sub").symlink_to(outside)
    ran = program("batch", takes, "-o", output, *MEDIAN)
    assert ran.status == 3
    assert "out/sub is a link, and nothing is written through links" in ran.err
    assert results(outside) == before


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["in", "-o", "in"], 2, "one of in and in lies in the other; name an output folder outside"),
        (["in", "-o", "in/out"], 2, "one of in and in/out lies in the other"),
        (["in/sub", "-o", "in"], 2, "one of in/sub and in lies in the other"),
        (["in", "-o", "out", "--workers", "0"], 2, "--workers"),
        (["in", "-o", "out", "--to", "gif"], 2, "expected one of"),
        (["in", "-o", "out", "--method", "median", "--model", "fast"], 2, "--model and --backend go with"),
        (["in", "-o", "out", "--model", "nope"], 1, "model: expected one of the shipped names"),
        (["nowhere", "-o", "out"], 1, "nowhere: expected a folder, found nothing of that name"),
        (["in/a.npy", "-o", "out"], 1, "in/a.npy: expected a folder, found a file"),
        (["in", "-o", "mine"], 1, "mine: expected a new or empty folder, or one of a batch before, received one that"),
        (["in", "-o", "mine/file"], 1, "mine/file: cannot be used as the output folder: Not a directory"),
        (["in", "-o", "in/a.npy/out"], 2, "lies in the other"),
    ],
)
def test_refusals(
    program: Program,
    takes: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    message: str,
):
    monkeypatch.chdir(takes.parent)
    Path("mine").mkdir()
    Path("mine/file").touch()
    before = results(takes.parent)
    assert message in program.refused("batch", *arguments, status=status)
    assert results(takes.parent) == before
    assert not Path("out").exists()


def test_the_results_of_another_folder_are_not_replaced(program: Program, takes: Path, tmp_path: Path):
    output = tmp_path / "out"
    assert program("batch", takes, "-o", output, *MEDIAN).status == 0
    moved = takes.rename(tmp_path / "moved")
    before = results(output)
    error = program.refused("batch", moved, "-o", output, *MEDIAN)
    assert f"{output}: holds the results of {takes}, received {moved}: name another output folder" in error
    assert results(output) == before
    ran = program("batch", moved, "-o", output, *MEDIAN, "--force")
    assert "0 refined, 3 unchanged" in ran.out
    assert program("batch", moved, "-o", output, *MEDIAN).status == 0


def test_an_empty_tree_is_done_at_once(program: Program, tmp_path: Path):
    (tmp_path / "in").mkdir()
    ran = program("batch", tmp_path / "in", "-o", tmp_path / "out", "--json")
    assert ran.status == 0
    assert json.loads(ran.out) | {"files": 0, "refined": {}, "failed": [], "not_done": 0} == json.loads(ran.out)
    assert leftovers(tmp_path / "out") == []


def test_progress_is_told_in_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    now = [100.0]
    monkeypatch.setattr(command.time, "monotonic", lambda: now[0])
    tally = Tally(total=1000)
    with command._Progress() as progress:
        for second in range(61):
            progress(tally)
            now[0] += 1.0
            tally.unchanged += 2
            if second == 10:
                tally.failed["x"] = "no"
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "20 of 1,000 files, 2.00 a second, 8:10 min left"
    assert lines[-1] == "121 of 1,000 files, 2.00 a second, 7:20 min left, 1 failed"
    assert len(lines) == 6


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.4, "59 s"), (60, "1:00 min"), (3599, "59:59 min"), (45_000, "12:30 h")]
)
def test_times_are_told_as_people_say_them(seconds: float, text: str):
    assert command._duration(seconds) == text


def test_a_name_that_does_not_fit_the_output_is_spelled_out(program: Program, tmp_path: Path):
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / os.fsdecode(b"\xff.npy"), np.zeros(3))
    ran = program("batch", tmp_path / "in", "-o", tmp_path / "out", *MEDIAN)
    assert ran.status == 3
    assert "\\udcff.npy" in ran.err


def test_what_is_not_installed_or_not_there_is_said(
    program: Program, takes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output = tmp_path / "out"
    error = program.refused("batch", takes, "-o", output, "--address", "auto", status=2)
    assert "--address goes with --engine ray" in error
    monkeypatch.setitem(sys.modules, "ray", None)
    error = program.refused("batch", takes, "-o", output, "--engine", "ray")
    assert error == "ray is not installed; add it with: pip install 'smoothnet[cluster]'"
    monkeypatch.setitem(sys.modules, "triton", None)
    for name in ("batch", "refine"):
        error = program.refused(name, takes, "-o", output, "--backend", "triton")
        assert "is not installed; add it with: pip install 'smoothnet[" in error
    assert not output.exists()
