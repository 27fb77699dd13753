"""The frame of the studies: the list, the command, stored results, the page."""

from __future__ import annotations

import importlib
import json
import re

import pytest

from smpl_tools.experiments import table as studies
from smpl_tools.experiments.frame import Bench, Result, Table
from smpl_tools.experiments.store import read_stored, results_page, store, text_of
from smpl_tools.experiments.table import STUDIES, Study
from tests.smpl.cli_helpers import Program
from tests.smpl.experiment_data import FRAMES, write_data

KEYS = "differs, figures, losses, models, quick, settings, study, tables"


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def result(value: float) -> Result:
    table = Table("One number", "No protocol.", {"what": None, "error mm": 1, "count": 0}, [["a", value, None]])
    return Result("in everything.", "nowhere.", [table], settings={"best": value})


def section(page: str, name: str) -> str:
    found = re.search(rf"^## {re.escape(STUDIES[name].title)}$.*?(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, name
    return found.group()


def test_every_study_is_a_function_of_its_module():
    for study in STUDIES.values():
        assert callable(importlib.import_module(f"smpl_tools.experiments.{study.module}").run)
        assert study.minutes > 0


def test_a_study_run_again_replaces_its_own_section_only(tmp_path):
    store(tmp_path, "noise", result(1.25), ["default"], quick=False)
    store(tmp_path, "worst", result(2.0), ["default", "mine"], quick=False)
    before = (tmp_path / "results.md").read_text()
    # In the order of the list, not of the runs.
    assert before.index("## The worst") < before.index("## Synthetic noise")
    assert "| a | 1.2 | - |" in section(before, "noise")
    assert "models: default, mine." in section(before, "worst")
    store(tmp_path, "worst", result(3.0), ["default"], quick=True)
    after = (tmp_path / "results.md").read_text()
    assert section(after, "noise") == section(before, "noise")
    assert "| a | 3.0 | - |" in section(after, "worst")
    assert "The numbers mean nothing" in section(after, "worst")
    assert after == results_page(tmp_path / "results")
    assert read_stored(tmp_path / "results", "noise")["settings"] == {"best": 1.25}
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["noise.json", "results", "results.md", "worst.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "noise.json: expected the JSON of a stored result, received Expecting property name"),
        ('{"study": "noise"}', f"noise.json: expected the keys {KEYS}, received others"),
    ],
)
def test_a_damaged_result_is_refused(tmp_path, content, message):
    (tmp_path / "noise.json").write_text(content)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_stored(tmp_path, "noise")


def test_cells():
    assert [text_of(v, d) for v, d in ((1234.56, 1), (0.5, 0), (None, 2), (float("nan"), 2), ("x", 1), (3, None))] == [
        "1,234.6",
        "0",
        "-",
        "-",
        "x",
        "3",
    ]


def test_settings_of_another_study(tmp_path, monkeypatch):
    runs = []

    def run(bench: Bench) -> Result:
        runs.append(bench.quick)
        return result(float(len(runs)))

    monkeypatch.setattr(importlib.import_module("smpl_tools.experiments.worst"), "run", run)
    bench = Bench(tmp_path)
    assert bench.settings_of("worst") == bench.settings_of("worst") == {"best": 1.0}
    assert runs == [False]
    store(tmp_path, "worst", result(7.0), [], quick=False)
    assert Bench(tmp_path, stored=tmp_path / "results").settings_of("worst") == {"best": 7.0}
    # Settings of the other form are not taken.
    assert Bench(tmp_path, stored=tmp_path / "results", quick=True).settings_of("worst") == {"best": 2.0}
    assert runs == [False, True]


def test_the_splits_of_a_bench(data):
    bench = Bench(data, quick=True)
    assert [clip.name for clip in bench.training] == ["walk"] * 3 + ["jump"] * 3
    assert [clip.name for clip in bench.validation] == ["dance"] * 3
    assert {len(clip.estimate) for clip in bench.training} == {FRAMES}
    # A third of the clips.
    assert [clip.name for clip in Bench(data).selection] == ["walk"] * 3


def test_the_list(program):
    ran = program("experiments", "--list")
    assert ran.status == 0
    assert [line.split()[0] for line in ran.out.splitlines() if line.strip()][2:] == list(STUDIES)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nothing"], 1, "study: expected one of " + ", ".join(STUDIES) + ", received 'nothing'"),
        (
            ["worst", "--model", "file"],
            2,
            "--model: expected NAME=FILE, received 'file' (see smoothnet experiments --help)",
        ),
        (["worst", "--data", "nowhere"], 1, "nowhere/paired/splits.json: expected a JSON file that lists the splits, "),
    ],
)
def test_refused(program, tmp_path, monkeypatch, arguments, status, message):
    monkeypatch.chdir(tmp_path)
    ran = program("experiments", *arguments)
    assert ran.status == status
    # What is being done was said before.
    *_, last = ran.err.splitlines()
    assert last.startswith("error: ")
    assert message in last
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_and_stores(program, tmp_path, monkeypatch):
    monkeypatch.setitem(studies.STUDIES, "worst", Study("The worst", "worst", 1))
    monkeypatch.setattr(
        importlib.import_module("smpl_tools.experiments.worst"), "run", lambda bench: result(len(bench.models))
    )
    monkeypatch.chdir(tmp_path)
    ran = program("experiments", "worst", "--quick")
    assert ran.status == 0
    assert "One number. No protocol." in ran.out
    assert "Where we lose: nowhere." in ran.out
    # The quick form writes nothing unless it is told where.
    assert list(tmp_path.iterdir()) == []
    assert program("experiments", "worst", "--model", "other=default").status == 0
    document = json.loads((tmp_path / "docs" / "results" / "worst.json").read_text())
    assert (document["models"], document["quick"], document["settings"]) == (["default", "other"], False, {"best": 2})
    assert "| a | 2.0 | - |" in (tmp_path / "docs" / "results.md").read_text()
