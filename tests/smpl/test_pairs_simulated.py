"""``smoothnet pairs --errors-of``: pairs without pictures, of errors like those of a paired set."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from smpl_tools.pairs.simulated import errors_like
from smpl_tools.sources.paired import read_paired
from tests.smpl.cli_helpers import Program, amass


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


@pytest.fixture
def walks(tmp_path):
    return [amass(tmp_path / f"{name}.npz", frames=80, seed=seed) for seed, name in enumerate(("anna", "ben"))]


@pytest.fixture
def paired(tmp_path):
    """Two clips whose estimate is 2 cm and more off, sideways above all; nobody is found in every tenth frame."""
    folder = tmp_path / "paired"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        time = np.arange(150)[:, None, None] / 30
        truth = rng.normal(0, 0.4, (1, 15, 3)) + 0.2 * np.sin(2 * np.pi * 0.5 * time + rng.uniform(0, 6, (1, 15, 3)))
        truth -= truth[:, 7:9].mean(axis=1, keepdims=True)
        estimate = truth + rng.normal(size=truth.shape) * [0.06, 0.02, 0.02]
        estimate -= estimate[:, 7:9].mean(axis=1, keepdims=True)
        estimate[::10] = np.nan
        arrays = {"gt_3d": truth, "fps": np.float32(30), "metadata": json.dumps({"subject": name})}
        for suffix in ("", "_video", "_videosm"):
            found = estimate if suffix != "_videosm" else np.full_like(estimate, np.nan)
            arrays |= {f"est_3d{suffix}": found, f"visibility{suffix}": np.full((150, 15), 0.9)}
        np.savez(folder / f"{name}.npz", **arrays)
    (folder / "splits.json").write_text(json.dumps({"train": ["a", "b"], "val": []}))
    return folder


def test_errors_are_like_those_of_the_folder(program, walks, paired, tmp_path, monkeypatch):
    # Neither the renderer nor an estimator is needed.
    for name in ("embreex", "PIL", "PIL.Image"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delenv("SMOOTHNET_MEDIAPIPE_PYTHON", raising=False)
    output = tmp_path / "set"
    arguments = ["pairs", *walks, "-o", output, "--drawn", 12, "--errors-of", paired, "--modes", "static,video"]
    ran = program(*arguments, "--validation", "none")
    assert ran.status == 0, ran.err
    assert "train: 12 clips, val: 0 clips" in ran.out
    clips = read_paired(output, ["train"])
    assert {clip.mode for clip in clips} == {"static", "video"}
    errors = np.concatenate([(clip.estimate - clip.groundtruth)[clip.detected] for clip in clips])
    across, *others = errors[:, :7].std(axis=(0, 1))
    assert across == pytest.approx(0.06, rel=0.35)
    assert max(others) < 0.045
    missed = 1 - np.concatenate([clip.detected for clip in clips]).mean()
    assert 0.02 < missed < 0.3
    assert all(((clip.confidence >= 0) & (clip.confidence <= 1)).all() for clip in clips)
    with np.load(output / "drawn_00000.npz") as arrays:
        described = json.loads(str(arrays["metadata"]))
        assert described["estimator"] == "errors like those of paired"
        assert np.isnan(arrays["est_2d"]).all()
        assert np.isfinite(arrays["gt_2d"]).all()
    before = (output / "drawn_00003.npz").read_bytes()
    assert program(*arguments, "--validation", "none", "--force").status == 0
    assert (output / "drawn_00003.npz").read_bytes() == before, "the seed decides everything"


@pytest.mark.parametrize("given", [["--estimator", "python x.py"], ["--occluders", 1], ["--pictures"]])
def test_nothing_is_rendered_beside_simulated_errors(program, walks, paired, tmp_path, given):
    message = program.refused("pairs", walks[0], "-o", tmp_path / "set", "--errors-of", paired, *given)
    expected = "--errors-of: expected no --estimator, --occluders or --pictures, since nothing is rendered, received "
    assert message.startswith(expected)
    assert not (tmp_path / "set").exists()


def test_folders_that_no_errors_can_be_taken_from(paired, tmp_path):
    with pytest.raises(ValueError, match=r"paired: training clips of the mode video smoothed: expected at least one, "):
        errors_like(paired, ["video smoothed"], 30.0)
    with pytest.raises(ValueError, match=r"paired: clip a: expected 50 frames a second, received 30$"):
        errors_like(paired, ["static"], 50.0)
    with pytest.raises(ValueError, match=r"splits.json: "):
        errors_like(tmp_path, ["static"], 30.0)
