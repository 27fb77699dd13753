"""Every command and program that the documentation shows is run, in the order in which a reader types them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from smpl_tools.cli.main import app
from smpl_tools.experiments.table import STUDIES
from tests.documented import Block, blocks, calls, commands, inline, sequences
from tests.documented_files import NAMES, fill, own_files, programs
from tests.helpers import REPOSITORY

pytest.importorskip("torch", reason="the documented commands use all extras: torch is not installed")
pytest.importorskip("matplotlib", reason="the documented commands use all extras: matplotlib is not installed")
pytest.importorskip("ray", reason="the documented commands use all extras: Ray is not installed")
pytest.importorskip("embreex", reason="the documented commands use all extras: embreex is not installed")


def _never() -> bool:
    return False


def _gpus() -> bool:
    import torch

    return torch.cuda.device_count() >= 8


# What is not run, why, and whether it can be run here after all, and then is. Its options are parsed like all others'.
_S3 = "needs an object store: tests/smpl/test_batch_ray.py has one"
_MODELS = "needs SMPL's model files, which may not be passed on"
_MACHINES = "needs two machines"
_VENV = "makes an environment: tests/test_packaging.py does"
NOT_RUN: dict[str, tuple[str, Callable[[], bool]]] = {
    "git clone REPOSITORY smoothnet && cd smoothnet": ("the address is the reader's", _never),
    "python3 -m venv .venv && . .venv/bin/activate": (_VENV, _never),
    "python3.12 -m venv mediapipe-env && mediapipe-env/bin/pip install mediapipe==0.10.21 'numpy<2'": (_VENV, _never),
    "smoothnet batch s3://takes/in -o s3://takes/out --engine ray": (_S3, _never),
    "smoothnet batch s3://bucket/takes -o s3://bucket/refined --engine ray --address head:6379": (
        "needs a cluster and an object store",
        _never,
    ),
    "smoothnet mesh take.npz -o smplx.glb --body smplx --models ~/body_models": (_MODELS, _never),
    "smoothnet fit joints.csv -o wham.pkl --to wham --body smpl --models ~/body_models": (_MODELS, _never),
    "smoothnet train --preset published --data DATA -o published.safetensors": ("trains for an hour", _never),
    "tensorboard --logdir my.run": ("serves until it is stopped", _never),
    "smoothnet train my.yaml --accelerator cuda --devices 8 --precision bf16-mixed": ("needs eight GPUs", _gpus),
    "smoothnet train my.yaml --accelerator cuda --devices 8 --num-nodes 2": (_MACHINES, _never),
    "srun --nodes 2 --ntasks-per-node 8 smoothnet train my.yaml --accelerator cuda --devices 8 --num-nodes 2": (
        _MACHINES,
        _never,
    ),
    "torchrun --nproc-per-node 8 $(which smoothnet) train my.yaml --accelerator cuda --devices 8": (
        "needs eight GPUs",
        _gpus,
    ),
}
# Of these every line needs Blender; tests/blender/ runs what they do.
_BLENDER = re.compile(r"\s*blender --background |.*\bimport bpy\b|.*BLENDER_USER_RESOURCES", re.DOTALL)
# Pages whose commands another test runs, on files of their own; their options are parsed here all the same.
ELSEWHERE = {
    "docs/pictures.md": "tests/smpl/test_pictures_documented.py",
    # What made the pictures, written there by the program that makes them.
    "docs/gallery/README.md": "docs/gallery/make_gallery.py",
}
# Programs that are no whole ones, and are compiled alone.
PARTS = {"docs/training.md": "needs two processes: tests/smpl/test_train_processes.py"}

# What is run in short: the same command with less to do.
SHORTER = (
    (r"(smoothnet pairs .* --estimator .*)", r"\1 --size 64 --cameras 1 --modes static"),
    (r"--drawn 400", "--drawn 2"),
    (r"--devices 4", "--devices 2"),
    (r"--workers 8", "--workers 2"),
    # It serves until somebody presses Ctrl-C.
    (r"(smoothnet view .*)", r"timeout --signal INT 5 \1 --no-browser --port 0 || [ $? = 124 ]"),
    # Somebody must say something before silence is an end.
    (r"(smoothnet stream --input \w+://:(\d+).*)", r"knock \2 & \1 --silence 0.5"),
)


def parsed(arguments: list[str]) -> None:
    """Parse the arguments of ``smoothnet`` as it would; fail with its message."""
    program = typer.main.get_command(app)
    name, *rest = arguments
    if name.startswith("-"):
        assert name in ("--help", "--version"), name
        return
    assert name in program.commands, f"there is no command {name}"
    with contextlib.suppress(typer.Exit):
        program.commands[name].make_context(f"smoothnet {name}", rest)


def in_short(command: str) -> str | None:
    """Return what is run in place of a command; None where nothing is."""
    if command in NOT_RUN:
        return command if NOT_RUN[command][1]() else None
    if _BLENDER.match(command) or command.startswith("pip install"):
        return None
    if command.startswith("make "):
        return f"make --dry-run --directory '{REPOSITORY}' {command.removeprefix('make ')} CI=1 > /dev/null"
    if command.startswith("python benchmarks/"):
        return re.sub(r"^python (\S+).*", rf"python '{REPOSITORY}'/\1 --help > /dev/null", command)
    for long, short in SHORTER:
        command = re.sub(long, short, command)
    if "smoothnet stream" in command:
        for port in re.findall(r"(?<=:)\d{4,5}", command):
            command = re.sub(rf"\b{port}\b", str(_free_port()), command)
    return command


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _script(sequence: list[Block], folder: Path) -> str:
    """Return a program of the shell that says on its standard error what it is at."""
    lines = ["set -e -o pipefail"]
    for block in sequence:
        if block.language == "sh":
            todo = [(command, in_short(command)) for command in commands(block)]
        elif block.page in PARTS or _BLENDER.match(block.text):
            compile(block.text, block.name, "exec")
            continue
        else:
            name = f"block_{block.line}.py"
            (folder / name).write_text(NAMES + block.text)
            todo = [(f"the program at {block.name}", f"python {name}")]
        for command, short in todo:
            if short is not None:
                lines += [f"cat >&2 <<'--'\n::: {block.page}: {command}\n--", short]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documented")
    fill(folder)
    return folder


@pytest.mark.parametrize("sequence", [pytest.param(s, id=s[0].name) for s in sequences() if s[0].page not in ELSEWHERE])
def test_what_is_documented_works_as_it_is_typed(sequence, files, tmp_path):
    folder = tmp_path / "here"
    shutil.copytree(files, folder, symlinks=True)
    own_files(sequence[0].page, folder)
    programs(tmp_path / "bin")
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), "MPLBACKEND": "agg"}
    environment |= {"HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    script = _script(sequence, folder)
    with subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=300)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    # What was said since the last command began.
    assert process.returncode == 0, said[said.rfind("::: ") :]


@pytest.mark.parametrize("block", [pytest.param(b, id=b.name) for b in blocks() if b.language == "sh"])
def test_the_options_of_documented_commands_are_known(block):
    for command in commands(block):
        for arguments in calls(command.replace("$(which smoothnet)", "smoothnet"), "smoothnet"):
            parsed(arguments)


def test_commands_within_sentences_name_what_there_is():
    program = typer.main.get_command(app)
    for page, text in inline():
        words = text.split()
        if words[0] == "python":
            if words[1] == "-m":
                assert (REPOSITORY / f"{words[2].replace('.', '/')}.py").is_file(), (page, text)
            else:
                assert (REPOSITORY / words[1]).is_file(), (page, text)
        elif words[0] == "make":
            assert re.search(rf"^{words[1]}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE), (page, text)
        elif words[1] != "--help":
            command = program.commands.get(words[1])
            assert command is not None, (page, text)
            known = {option for parameter in command.params for option in parameter.opts}
            assert {w for w in words if re.match(r"--?[a-z]", w)} <= known, (page, text)
            if words[1] == "experiments" and len(words) > 2 and not words[2].startswith("-"):
                assert words[2] in STUDIES, (page, text)


def test_what_is_not_run_is_there():
    shown = {command for block in blocks() if block.language == "sh" for command in commands(block)}
    assert set(NOT_RUN) - shown == set(), "not in the documentation any more"
    assert set(ELSEWHERE) <= {block.page for block in blocks()}
    assert all((REPOSITORY / name).is_file() for name in ELSEWHERE.values())
    assert set(PARTS) <= {block.page for block in blocks() if block.language == "python"}


def test_every_extra_that_is_asked_for_exists():
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    for block in blocks():
        for command in commands(block) if block.language == "sh" else ():
            for extras in re.findall(r"pip install '[.\w]+\[([\w,]+)\]'", command):
                for extra in extras.split(","):
                    assert re.search(rf"^{extra} = \[", text, re.MULTILINE), (block.name, extra)


def test_options_of_benchmarks_are_known():
    for block in blocks():
        for command in commands(block) if block.language == "sh" else ():
            if command.startswith("python benchmarks/"):
                text = (REPOSITORY / command.split()[1]).read_text(encoding="utf-8")
                assert all(f'"{word}"' in text for word in command.split() if word.startswith("--")), command


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("refine take.bvh --no-such-option", "No such option"),
        ("refine take.bvh --strength lots", "a valid"),
        ("convert take.bvh", "Missing"),
    ],
)
def test_wrong_options_are_seen(command, message):
    with pytest.raises(typer.BadParameter.__mro__[1], match=message):
        parsed(command.split())


def test_comments_and_pipes_are_told_from_commands():
    block = Block("x.md", 1, "sh", "", "a 'b # c' --d=e#f # rest\n# alone\n\nx | smoothnet y -z 'u v' && smoothnet w\n")
    assert commands(block) == ["a 'b # c' --d=e#f", "x | smoothnet y -z 'u v' && smoothnet w"]
    assert calls(commands(block)[1], "smoothnet") == [["y", "-z", "u v"], ["w"]]
