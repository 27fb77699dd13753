"""``smoothnet train`` on two machines and from sources in shards."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from smpl_tools.sources import read_sources
from tests.helpers import REPOSITORY
from tests.smpl.cli_helpers import Program
from tests.smpl.test_train_model import CONFIG, WINDOWS, data, needs_training  # noqa: F401 -- a fixture

pytestmark = pytest.mark.skipif(importlib.util.find_spec("yaml") is None, reason="the extra `train` is not installed")

PAIRED = {"kind": "paired", "folder": "paired", "splits": ["train", "val"]}
CLEAN = {"kind": "clean", "file": "clean.npz"}
SHARDED = (
    WINDOWS.replace("splits: [train], ", "splits: [train, val], ").replace("epochs: 2", "epochs: 4") + "shards: 2\n"
)
IN_CROPS = CONFIG.replace("85", "none").replace("[train]", "[train, val]").replace("subject b", "subject a")
IN_CROPS += "shards: 2\n"


@pytest.fixture
def program(capsys):
    return Program(capsys)


def test_shards_of_sources_are_all_of_them(data):  # noqa: F811
    whole = read_sources([PAIRED, CLEAN], [data], 30.0)
    shards = [read_sources([PAIRED, CLEAN], [data], 30.0, shard, 2) for shard in range(2)]
    assert [{clip.name for clip in shard.pairs} for shard in shards] == [{"a", "c"}, {"b"}]
    found = [clip for shard in shards for clip in shard.pairs]
    assert sorted((c.name, c.mode) for c in found) == sorted((c.name, c.mode) for c in whole.pairs)
    for track, shard in zip(whole.clean, shards, strict=True):
        (only,) = shard.clean
        np.testing.assert_array_equal(only, track)
    message = r"^source 2 \(clean\), shard 3 of 3: expected a clip \(take fewer\), received none$"
    with pytest.raises(ValueError, match=message):
        read_sources([PAIRED, CLEAN], [data], 30.0, 2, 3)


@needs_training
def test_two_machines_train_what_one_process_does(data, tmp_path, program):  # noqa: F811
    config = tmp_path / "two.yaml"
    config.write_text(SHARDED + "parts: 2\n")
    assert program("train", config, "--data", data, "-o", tmp_path / "one.safetensors").status == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "from smpl_tools.cli.main import run; run()"
    machines = []
    for number in range(2):
        # Only the first machine sees where the weights go.
        output = tmp_path / f"machine{number}" / "w.safetensors"
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "NODE_RANK": str(number)}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        command = [sys.executable, "-c", code, "train", config, "--data", data, "-o", output, "--num-nodes", "2"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        machines.append(subprocess.Popen([str(word) for word in command], env=environment, **pipes))
    said = [machine.communicate(timeout=300) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert (tmp_path / "machine0" / "w.safetensors").read_bytes() == (tmp_path / "one.safetensors").read_bytes()
    assert not (tmp_path / "machine1").exists()
    assert "step 10 of " in said[0][1]
    assert said[1] == ("", "")


@needs_training
@pytest.mark.parametrize("recipe", [SHARDED, IN_CROPS])
def test_shards_are_interrupted_and_go_on(data, tmp_path, program, monkeypatch, recipe):  # noqa: F811
    import signal

    import smoothnet_core.training.loop as loop
    from smoothnet_core import load_model

    config = tmp_path / "tiny.yaml"
    config.write_text(recipe)
    assert program("train", config, "--data", data, "-o", tmp_path / "whole.safetensors").status == 0
    step = loop._to_device

    def pressed(*arguments):
        signal.raise_signal(signal.SIGINT)
        return step(*arguments)

    monkeypatch.setattr(loop, "_to_device", pressed)
    for _ in range(3):
        assert program("train", config, "--data", data).status == 130
    monkeypatch.undo()
    assert program("train", config, "--data", data).status == 0
    assert (tmp_path / "tiny.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert load_model(tmp_path / "tiny.safetensors").metadata["configuration"]["shards"] == 2


@needs_training
def test_a_run_goes_on_in_its_parts(data, tmp_path, program, monkeypatch):  # noqa: F811
    import smpl_tools.train_model as train_model

    config = tmp_path / "tiny.yaml"
    config.write_text(CONFIG + "parts: 2\n")
    assert program("train", config, "--data", data, "-o", tmp_path / "whole.safetensors").status == 0
    card = train_model._model_card

    def power_cut(*arguments):
        raise OSError("power cut")

    monkeypatch.setattr(train_model, "_model_card", power_cut)
    assert program("train", config, "--data", data).status == 1
    monkeypatch.setattr(train_model, "_model_card", card)
    # How many parts were begun is in the folder.
    config.write_text(CONFIG)
    assert program("train", config, "--data", data).status == 0
    assert (tmp_path / "tiny.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert config.read_text() == CONFIG


@needs_training
@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ("shards: 0", [], "tiny.yaml: shards: expected a positive whole number, received 0"),
        ("parts: two", [], "tiny.yaml: parts: expected a positive whole number, received 'two'"),
        ("parts: 3", [], "training setting batch: expected a multiple of its 3 parts, received 4"),
        ("shards: 5", [], "source 2 (clean), shard 2 of 5: expected a clip (take fewer), received none"),
        ("", ["--precision", "16-mixed"], "precision: expected 32 or bf16-mixed without CUDA, received 16-mixed"),
    ],
)
def test_refused(data, tmp_path, program, change, arguments, message):  # noqa: F811
    config = tmp_path / "tiny.yaml"
    config.write_text(CONFIG + change)
    assert program.refused("train", config, "--data", data, *arguments).endswith(message)


@needs_training
def test_subjects_are_kept_back_by_name_from_shards(data, tmp_path, program):  # noqa: F811
    config = tmp_path / "tiny.yaml"
    config.write_text(SHARDED.replace("select: none", "select: {subjects: [subject c]}"))
    ran = program("train", config, "--data", data)
    assert ran.status == 0, ran.err
    assert "the best on kept-back subjects (subject c)" in ran.out
    config.write_text(SHARDED.replace("select: none", "select: {subjects: [subject d]}"))
    message = "select subjects: expected subjects of the sources, received subject d"
    assert program.refused("train", config, "--data", data, "--force").endswith(message)
    config.write_text(SHARDED.replace("select: none\n", ""))
    message = "select: expected none, or subjects by name, where the data are read in shards, received None"
    assert program.refused("train", config, "--data", data, "--force").endswith(message)
