"""Training from files: small ones of the real layout, then the whole command."""

import json

import numpy as np
import pytest

from smpl_tools.sources import MODES, read_clean, read_paired
from tests.helpers import shared

JOINTS = 15


def paired_file(folder, name, subject, frames=40, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.sin(np.arange(frames)[:, None, None] * 0.2 + rng.normal(size=(1, JOINTS, 3)) * 3).astype(np.float32)
    arrays = {"fps": np.float32(30), "metadata": json.dumps({"subject": subject}), "gt_3d": truth}
    for suffix in MODES.values():
        estimate = (truth + 0.1 * rng.normal(size=truth.shape)).astype(np.float32)
        estimate[3] = np.nan
        arrays["est_3d" + suffix] = estimate
        arrays["visibility" + suffix] = rng.random((frames, JOINTS)).astype(np.float32)
    np.savez(folder / f"{name}.npz", **arrays)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data" / "paired"
    folder.mkdir(parents=True)
    for seed, name in enumerate(("a", "b", "c")):
        paired_file(folder, name, f"subject {name}", seed=seed)
    (folder / "splits.json").write_text(json.dumps({"train": ["a", "b"], "val": ["c"]}))
    skeleton = {"names": ["hips", "knee"], "parents": np.array([-1, 0]), "offsets": np.array([[0, 0, 0], [0, -0.5, 0]])}
    index = [
        {"clip": "one", "subject": "85", "skeleton": "s", "fps": 60, "frames": 90},
        {"clip": "two", "subject": "7", "skeleton": "s", "fps": 60, "frames": 90},
    ]
    arrays = {"index": json.dumps(index), **{f"skel/s/{k}": np.asarray(v) for k, v in skeleton.items()}}
    half_turn = np.array([0, 0, 32767, 0], np.int16)
    for clip in index:
        arrays[clip["clip"] + "/q"] = np.broadcast_to(half_turn, (90, 2, 4)).copy()
        arrays[clip["clip"] + "/root"] = np.linspace(0, 1, 90)[:, None].repeat(3, axis=1).astype(np.float32)
    np.savez(tmp_path / "data" / "clean.npz", **arrays)
    return tmp_path / "data"


CONFIG = """
name: tiny
version: "3"
data: two clips
licence: none
pairs: {folder: paired, train: [train], validation: [val]}
clean: {file: clean.npz, exclude_subjects: ["85"]}
mix: {clean: 0.25}
training:
  steps: 4
  batch: 4
  crop: 36
  joints: 2
  sizes: {window: 32, probes: 16, hidden: 8, filters: 8}
"""


def test_paired_clips(data):
    clips = read_paired(data / "paired", ["train", "val"])
    assert [(c.name, c.mode) for c in clips][:4] == [*(("a", m) for m in MODES), ("b", "static")]
    assert clips[0].subject == "subject a"
    assert clips[0].detected.sum() == 39


def test_clean_motion_is_posed_and_thinned(data):
    (track,) = read_clean(data / "clean.npz", ["85"], 30.0)
    assert track.shape == (45, 2, 3)
    # Half a turn about z takes the knee from below the hips to above them.
    np.testing.assert_allclose(track[:, 1] - track[:, 0], np.broadcast_to([0, 0.5, 0], (45, 3)), atol=1e-3)
    np.testing.assert_allclose(track[:, 0, 0], np.linspace(0, 1, 90)[::2], atol=1e-6)


def test_the_real_sets_are_read():
    clips = read_paired(shared("data", "paired"), ["val"])
    assert len(clips) == 21
    assert all(c.estimate.shape == c.groundtruth.shape for c in clips)


def test_the_command_writes_weights_and_a_card(data, tmp_path, capsys):
    pytest.importorskip("lightning_fabric")
    from smoothnet_core import load_model, refine
    from smpl_tools.cli.main import main

    config = tmp_path / "tiny.yaml"
    config.write_text(CONFIG)
    assert main(["train", str(config), "--data", str(data)]) == 0
    model = load_model(tmp_path / "tiny.safetensors")
    assert (model.window, model.hop, model.fps, model.metadata["version"]) == (32, 8, 30.0, "3")
    card = (tmp_path / "tiny.md").read_text()
    assert "| static | tiny |" in card
    assert "| static | tiny |" in capsys.readouterr().out
    assert refine(np.zeros((40, 2, 3)), model=model).shape == (40, 2, 3)
    before = (tmp_path / "tiny.safetensors").read_bytes()
    assert main(["train", str(config), "--data", str(data)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main(["train", str(config), "--data", str(data), "--force"]) == 0
    # The same configuration gives the same weights.
    assert (tmp_path / "tiny.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("name: tiny\n", ""),
            "tiny.yaml: expected exactly the keys name, version, data, licence, pairs, clean, mix, training, ",
        ),
        (("steps: 4", "steps: 0"), "training setting steps: expected a positive number, received 0"),
        (("[train]", "[trian]"), "expected one of train, val, received 'trian'"),
        (("folder: paired, ", ""), "tiny.yaml: pairs: expected the keys folder, train, validation"),
        (("clean.npz", "cleam.npz"), "cleam.npz: expected an .npz file of arrays"),
        (("name: tiny", "name: [tiny"), "tiny.yaml: expected a YAML file"),
    ],
)
def test_refused_configurations(data, tmp_path, capsys, change, message):
    pytest.importorskip("lightning_fabric")
    from smpl_tools.cli.main import main

    config = tmp_path / "tiny.yaml"
    config.write_text(CONFIG.replace(*change))
    assert main(["train", str(config), "--data", str(data)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "tiny.safetensors").exists()
