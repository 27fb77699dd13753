"""Training from files: small ones of the real layout, then the whole command."""

import importlib.util
import json
import signal

import numpy as np
import pytest

from smpl_tools.sources import MODES, read_clean, read_paired
from tests.helpers import shared
from tests.smpl.cli_helpers import Program
from tests.smpl.test_sources_published import write_layout

needs_training = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("lightning_fabric", "tensorboard", "yaml")),
    reason="the extra `train` is not installed",
)

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
# A comment of its author.
name: tiny
version: "3"
about: a small one
data: two clips
licence: none
architecture: vector_filter
sizes: {window: 32, probes: 16, hidden: 8, filters: 8}
recipe: crops
training: {steps: 4, batch: 4, crop: 36, joints: 2, select_every: 2}
mix: {clean: 0.25}
sources:
  - {kind: paired, folder: paired, splits: [train]}
  - {kind: clean, file: clean.npz, exclude_subjects: ["85"]}
validation:
  - {kind: paired, folder: paired, splits: [val]}
select: {subjects: [subject b]}
"""
WINDOWS = """
name: windows
version: "1"
about: the paper's way
data: two clips
licence: none
architecture: smoothnet
sizes: {window: 16, hidden: 16, bottleneck: 4}
recipe: windows
training: {epochs: 2, batch: 20}
sources: [{kind: paired, folder: paired, splits: [train], modes: [video]}]
validation: [{kind: paired, folder: paired, splits: [val]}]
select: none
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


@pytest.fixture
def program(capsys):
    return Program(capsys)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG)
    return path


@needs_training
def test_the_command_writes_weights_and_what_belongs_to_them(data, tmp_path, config, program):
    import yaml

    from smoothnet_core import load_model, refine
    from smpl_tools.train_plan import read_plan

    ran = program("train", config, "--data", data, "-o", tmp_path / "out" / "w.safetensors")
    assert ran.status == 0, ran.err
    assert "step 4 of 4, loss" in ran.err
    model = load_model(tmp_path / "out" / "w.safetensors")
    assert (model.window, model.hop, model.fps, model.metadata["version"]) == (32, 8, 30.0, "3")
    card = (tmp_path / "out" / "w.md").read_text()
    assert card.strip() == ran.out.strip()
    assert "| static | tiny |" in card
    assert "\na small one\n" in card
    selected = model.metadata["selected"]
    assert selected["step"] in (2, 4)
    score = f"1 mpjpe_mm + 1 accel_mm_per_frame2 = {selected['score']:.2f}"
    assert f"after step {selected['step']} of 4, the best on kept-back subjects (subject b): {score}." in card
    # The exact configuration is beside it, in the card and in the weights, and makes the same plan.
    written = tmp_path / "out" / "w.yaml"
    assert read_plan(written) == read_plan(config)
    assert written.read_text() in card
    assert yaml.safe_load(written.read_text()) == model.metadata["configuration"]
    assert sorted(p.name for p in (tmp_path / "out" / "w.run").iterdir()) == ["curves.csv", "tensorboard"]
    assert refine(np.zeros((40, 2, 3)), model=model).shape == (40, 2, 3)


HITS = """
name: tiny-hits
version: "1"
about: against glitches
data: one clip
licence: none
architecture: robust_fit
sizes: {window: 20, hidden: 4, rounds: 1}
recipe: hits
training: {steps: 3, batch: 6, hop: 10}
sources: [{kind: clean, file: clean.npz, exclude_subjects: ["85"]}]
validation: [{kind: paired, folder: paired, splits: [val]}]
select: none
"""


@needs_training
def test_values_that_are_off(data, tmp_path, program):
    from smoothnet_core import load_model, refine

    path = tmp_path / "hits.yaml"
    path.write_text(HITS)
    ran = program("train", path, "--data", data)
    assert ran.status == 0, ran.err
    model = load_model(tmp_path / "hits.safetensors")
    assert (model.architecture, model.window, model.hop, model.fps) == ("robust_fit", 20, 10, None)
    card = (tmp_path / "hits.md").read_text()
    assert "- Window 20 frames, hop 10; takes are not resampled, whatever their frame rate.\n" in card
    assert "| video | tiny-hits |" in card
    assert np.isfinite(refine(np.random.default_rng(0).normal(size=(45, 2, 3)), model=model, fps=50.0)).all()
    path.write_text(HITS.replace("window: 20", "window: 40"))
    message = "error: clean motion: expected a clip of at least 95 frames, received none of 1\n"
    ran = program("train", path, "--data", data, "--force")
    assert (ran.status, ran.err.endswith(message)) == (1, True)


@needs_training
def test_the_same_configuration_gives_the_same_weights(data, tmp_path, config, program):
    first = tmp_path / "tiny.safetensors"
    assert program("train", config, "--data", data).status == 0
    before = first.read_bytes()
    # By default everything lies beside the configuration, which stays as its author wrote it.
    assert config.read_text() == CONFIG
    ran = program("train", config, "--data", data)
    assert (ran.status, ran.err) == (1, f"error: {first}: exists already; add --force to replace it\n")
    assert program("train", config, "--data", data, "--force").status == 0
    assert first.read_bytes() == before
    again = tmp_path / "again.safetensors"
    config.rename(tmp_path / "elsewhere.yaml")
    assert program("train", tmp_path / "elsewhere.yaml", "--data", data, "-o", again).status == 0
    assert again.read_bytes() == before


@needs_training
def test_ctrl_c_and_the_same_command_again(data, tmp_path, config, program, monkeypatch):
    import smoothnet_core.training.loop as loop

    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    assert program("train", config, "--data", data, "-o", whole).status == 0
    step = loop._to_device

    def pressed(*arguments):
        signal.raise_signal(signal.SIGINT)
        return step(*arguments)

    monkeypatch.setattr(loop, "_to_device", pressed)
    for _ in range(2):
        ran = program("train", config, "--data", data, "-o", parts)
        expected = f"interrupted; the same command goes on from {tmp_path / 'parts.run'}, with --fresh it begins again"
        assert (ran.status, ran.err) == (130, f"error: {expected}\n")
        assert not parts.exists()
    monkeypatch.undo()
    changed = tmp_path / "changed.yaml"
    changed.write_text(CONFIG.replace("steps: 4", "steps: 5"))
    ran = program("train", changed, "--data", data, "-o", parts)
    assert ran.status == 1
    assert "schedule steps: expected 4, with which the run in this folder was begun, received 5\n" in ran.err
    ran = program("train", config, "--data", data, "-o", parts)
    assert ran.status == 0
    assert "step 2 of 4" not in ran.err, "two steps had been done"
    assert "step 3 of 4" in ran.err
    assert parts.read_bytes() == whole.read_bytes()


@needs_training
def test_a_fresh_start_forgets_the_interrupted_run(data, tmp_path, config, program):
    run = tmp_path / "tiny.run"
    run.mkdir()
    (run / "state.safetensors").write_bytes(b"damaged")
    assert program("train", config, "--data", data).status == 1
    ran = program("train", config, "--data", data, "--fresh")
    assert ran.status == 0
    assert "step 1 of 4" in ran.err


@needs_training
@pytest.mark.parametrize("architecture", ["smoothnet", "motion_aware"])
def test_the_papers_way(data, tmp_path, program, architecture):
    from smoothnet_core import load_model

    config = tmp_path / "windows.yaml"
    config.write_text(WINDOWS.replace("smoothnet", architecture))
    assert program("train", config, "--data", data).status == 0
    model = load_model(tmp_path / "windows.safetensors")
    assert (model.architecture, model.window, model.hop, model.metadata["hidden"]) == (architecture, 16, 1, 16)
    # Two clips of 40 frames in one mode have 50 windows, an epoch of three batches.
    assert model.metadata["selected"] == {"step": 6, "steps": 6, "score": None}
    assert "after step 6 of 6, the last." in (tmp_path / "windows.md").read_text()


@needs_training
def test_presets_are_listed_and_trained(data, tmp_path, program, monkeypatch):
    import smpl_tools.train_plan as train_plan

    listed = program("train", "--list-presets")
    assert listed.status == 0
    for name in ("default", "motion-aware", "published", "published-8", "published-16", "published-64"):
        assert name in listed.out
    monkeypatch.setattr(train_plan, "_PRESETS", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(WINDOWS)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert program("train", "--preset", "small", "--data", data).status == 0
    names = ["small.md", "small.run", "small.safetensors", "small.yaml"]
    assert sorted(p.name for p in (tmp_path / "here").iterdir()) == names


@needs_training
def test_one_of_configuration_and_preset_is_needed(config, program):
    for arguments in ([], [config, "--preset", "default"]):
        ran = program("train", *arguments)
        assert ran.status == 2
        assert "expected either CONFIG or --preset NAME" in ran.err
    ran = program("train", config, "-o", "weights.pth")
    assert (ran.status, ran.err) == (
        1,
        "error: weights.pth: expected a name that ends in .safetensors, received '.pth'\n",
    )


@needs_training
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("name: tiny\n", ""), "tiny.yaml: keys: expected also name, received version, about, "),
        (("steps: 4", "steps: 0"), "tiny.yaml: training setting steps: expected a positive number, received 0"),
        (("[train]", "[trian]"), "expected one of train, val, received 'trian'"),
        (("folder: paired, splits: [train]", "splits: [train]"), "source 1 (paired): expected the key folder"),
        (("clean.npz", "cleam.npz"), "cleam.npz: expected an .npz file of arrays"),
        (("name: tiny", "name: [tiny"), "tiny.yaml: expected a YAML file"),
        (("[subject b]", "[subject c]"), "select subjects: expected one of subject a, subject b, received 'subject c'"),
    ],
)
def test_refused_configurations(data, tmp_path, config, program, change, message):
    config.write_text(CONFIG.replace(*change))
    ran = program("train", config, "--data", data)
    assert ran.status == 1
    assert message in ran.err
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "tiny.safetensors").exists()


@needs_training
def test_scores_are_taken_on_positions_in_3d(data, tmp_path):
    import yaml

    from smpl_tools.train_model import train_model
    from smpl_tools.train_plan import plan_from

    write_layout(data / "poses", "h36m", "cpn", "2D", "train")
    spec = {"kind": "h36m", "folder": "poses", "estimator": "cpn", "representation": "2D"}
    plan = plan_from({**yaml.safe_load(WINDOWS), "validation": [spec]})
    message = r"on which scores are taken: expected 3D positions, received 2 numbers a joint$"
    with pytest.raises(ValueError, match=message):
        train_model(plan, [data], tmp_path / "w.safetensors")
