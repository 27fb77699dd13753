"""The program as a whole: help, version, exit codes, start-up."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import smoothnet_core
from smoothnet_core._checks import MissingExtraError
from smpl_tools import formats
from smpl_tools.cli import _refining, _shared, plot, render
from smpl_tools.cli.evaluate import UNITS
from smpl_tools.evaluation import UNITS as KNOWN_UNITS
from smpl_tools.motion import PARTS, VALUE_SHAPES
from smpl_tools.pictures import look, style, video
from smpl_tools.refine_motion import METHODS
from tests.smpl.cli_helpers import Program, body, saved

COMMANDS = (
    "refine",
    "batch",
    "info",
    "models",
    "evaluate",
    "pairs",
    "plot",
    "render",
    "train",
    "experiments",
    "stream",
)
PROGRAM = [sys.executable, "-c", "from smpl_tools.cli.main import run; run()"]


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


def external(*arguments: object, **given: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=60, **given
    )


def test_names_written_out_for_a_fast_start_are_those_of_the_library():
    assert _refining.PARTS == PARTS
    assert _refining.METHODS == METHODS
    assert set(_shared.KINDS) == set(VALUE_SHAPES)
    assert set(UNITS) == set(KNOWN_UNITS)
    assert plot.SUFFIXES == style.SUFFIXES
    assert set(plot.WIDTHS) == set(style.WIDTHS)
    assert render.SUFFIXES == video.SUFFIXES
    assert set(render.BACKGROUNDS) == set(look.LOOKS)


def test_help_lists_every_command(program: Program):
    for arguments in ((), ("--help",), ("-h",)):
        ran = program(*arguments)
        assert (ran.status, ran.err) == (0, "")
        assert all(re.search(rf"^  {name}\s+\S", ran.out, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_help_text(program: Program, command: str):
    ran = program(command, "--help")
    assert ran.status == 0
    options = ran.out.split("Options:")[1]
    entries = re.split(r"\n  (?=-)", options)[1:]
    assert entries
    for entry in entries:
        words = re.sub(r"^(-\S+,? ?)+(<[^>]*>|[A-Z|]+(?= {2,}|\n))?", "", entry).strip()
        assert re.match(r"\w", words), entry


def test_version(program: Program):
    ran = program("--version")
    assert (ran.status, ran.out) == (0, f"smoothnet {smoothnet_core.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["refine"], "Missing argument"),
        (["refien"], "No such command"),
        (["info", "x", "--nope"], "No such option"),
        (["refine", "x", "--strength", "2"], "--strength"),
        (["refine", "x", "--strength", "nan"], "--strength"),
        (["refine", "x", "--fps", "0"], "expected a positive number of frames a second, received 0"),
        (["refine", "x", "--fps", "nan"], "expected a positive number of frames a second, received nan"),
        (["refine", "x", "--method", "mean"], "expected one of smoothnet, repair, one-euro, .*, received 'mean'"),
        (["refine", "x", "--kind", "euler"], "expected one of position, .*, received 'euler'"),
        (["refine", "x", "--parts", "root,feet"], "--parts.*expected one of root, body, .*, received 'feet'"),
        (["refine", "x", "--method", "median", "--model", "y"], "go with --method smoothnet, not with median"),
        (["refine", "x", "--method", "median", "--backend", "numpy"], "go with --method smoothnet"),
        (["evaluate", "x", "y", "--unit", "ft"], "expected one of m, cm, mm, in, received 'ft'"),
        (["plot", "x", "y", "-o", "z.gif"], "expected a name ending in .png, .pdf, .svg, received 'z.gif'"),
        (["plot", "x", "y"], "--output"),
        (["plot", "x", "-o", "z.pdf"], r"overview: expected BEFORE AFTER \[GROUNDTRUTH\], received 1"),
        (["plot", "x", "y", "-o", "z.pdf", "--width", "page"], "--width goes with --figure track and accuracy"),
        (["plot", "x", "y", "-o", "z.pdf", "--start", "1"], "--start and --end go with --figure track"),
        (["plot", "x", "-o", "z.pdf", "--figure", "accuracy"], "RESULT... GROUNDTRUTH or the JSON of a study"),
        (["render", "x", "y", "-o", "z.avi"], "expected a name ending in .mp4, .gif, .webp, received 'z.avi'"),
        (["render", "x", "y", "-o", "z.mp4", "--size", "big"], "expected WIDTHxHEIGHT in pixels, such as 1280x720"),
    ],
)
def test_wrong_usage_exits_with_2(program: Program, arguments: list[str], message: str):
    error = program.refused(*arguments, status=2)
    assert re.search(message, error), error
    assert error.endswith(" --help)")


@pytest.mark.parametrize(
    ("raised", "status", "line"),
    [
        (ValueError("first\nsecond \x1b[31m"), 1, "first second \\x1b[31m"),
        (OSError(28, "No space left on device", "/x"), 1, "/x: No space left on device"),
        (MissingExtraError("torch is not installed"), 1, "torch is not installed"),
        (MemoryError(), 1, "not enough memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_goes_wrong_inside_a_command_is_one_line(
    program: Program, monkeypatch: pytest.MonkeyPatch, raised: BaseException, status: int, line: str
):
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(formats, "read", fail)
    assert program.refused("info", "x.npy", status=status) == line


def test_brackets_in_a_name_are_no_markup(program: Program, tmp_path: Path):
    odd = saved(tmp_path / "a[red]b[bold] $x$ :smile:.npy", body())
    assert str(odd) in program("info", odd).out
    ran = program("refine", odd, "--method", "median")
    assert (ran.status, ran.err) == (0, "")
    assert str(odd) in ran.out
    assert "[/red]" in program.refused("info", tmp_path / "[/red].npy")


def test_numbers():
    assert _shared.number(None) == _shared.number(float("nan")) == "-"
    assert _shared.number(0.0, "mm") == "0 mm"
    assert [_shared.number(v) for v in (1234.5, 12.345, 1.2345, 0.0012345, 1e-9)] == [
        "1,234",
        "12.3",
        "1.23",
        "0.00123",
        "1.00e-09",
    ]


def test_help_starts_fast_and_imports_nothing_heavy():
    best = min(_timed() for _ in range(2))
    # Half a second is the aim on an idle machine; the test leaves room for a busy one.
    assert best < 1.5
    code = (
        "import sys; from smpl_tools.cli.main import main; main(['refine', '--help']);"
        "print([m for m in ('numpy', 'scipy', 'torch', 'matplotlib', 'safetensors') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def _timed() -> float:
    start = time.perf_counter()
    assert external("--help").returncode == 0
    return time.perf_counter() - start


def test_as_a_process(tmp_path: Path):
    take = saved(tmp_path / "take.npy", body())
    ran = external("refine", take, "--method", "gaussian", "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["refined"][0]["output"] == str(tmp_path / "take.refined.npy")
    assert ran.stderr == ""
    missing = external("info", tmp_path / "none.npy")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.startswith("error: ")
    assert "\x1b" not in ran.stdout + missing.stderr


def test_an_output_that_knows_only_ascii(tmp_path: Path):
    take = saved(tmp_path / "täke.npy", body())
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([*PROGRAM, "info", str(take)], capture_output=True, env=environment, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert b"t\\xe4ke.npy" in ran.stdout


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path):
    take = saved(tmp_path / "take.npy", body())
    with subprocess.Popen(
        [*PROGRAM, "info", str(take)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as job:
        assert job.stdout is not None
        assert job.stderr is not None
        job.stdout.close()
        assert "Traceback" not in job.stderr.read()


def test_the_bar_is_on_stderr_and_the_table_on_stdout(tmp_path: Path):
    pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")
    takes = [saved(tmp_path / f"{name}.npy", body()) for name in "ab"]
    screen, terminal = pty.openpty()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [*PROGRAM, "refine", *map(str, takes), str(tmp_path / "none.npy"), "--method", "median"],
        stdout=subprocess.PIPE,
        stderr=terminal,
        env=environment,
    ) as job:
        os.close(terminal)
        shown = b""
        while True:
            try:
                piece = os.read(screen, 65536)
            except OSError:  # Linux reports the end of a terminal so
                break
            if not piece:
                break
            shown += piece
        assert job.stdout is not None
        out = job.stdout.read()
    os.close(screen)
    assert job.returncode == 3
    assert out.count(b"largest") == 2
    assert b"\x1b" not in out
    assert "\u2501".encode() in shown
    assert b"error: " in shown
    assert b"largest" not in shown
