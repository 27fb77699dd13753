"""The commands of ``docs/pictures.md``, as they stand there, on a take of a few frames."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import REPOSITORY
from tests.smpl.cli_helpers import Program

for _module, _extra in (
    ("matplotlib", "report"),
    ("imageio_ffmpeg", "render"),
    ("PIL", "render"),
    ("embreex", "render"),
):
    pytest.importorskip(_module, reason=f"{_module} is not installed (the extra '{_extra}')")

PAGE = (REPOSITORY / "docs" / "pictures.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("smoothnet ")]
TAKES = REPOSITORY / "assets" / "takes"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files that the commands name: eight seconds at a frame a second."""
    made = tmp_path_factory.mktemp("documented")
    for source, name in (("dance_smplh", "take"), ("dance_smplh_truth", "truth"), ("dance_smplh_truth", "gaussian")):
        with np.load(TAKES / f"{source}.npz") as archive:
            arrays = {key: archive[key] for key in archive.files}
        frames = len(arrays["poses"])
        arrays = {k: v[::30][:8] if v.ndim and len(v) == frames else v for k, v in arrays.items()}
        np.savez(made / f"{name}.npz", **{**arrays, "mocap_framerate": np.array(1.0)})
    (made / "docs").mkdir()
    shutil.copytree(REPOSITORY / "docs" / "results", made / "docs" / "results")
    generator = np.random.default_rng(0)
    for name in ("openpose", "openpose.refined"):
        (made / name).mkdir()
        for frame in range(4):
            points = np.column_stack([generator.uniform(100, 400, (25, 2)), np.ones(25)])
            people = [{"person_id": [-1], "pose_keypoints_2d": points.ravel().tolist()}]
            text = json.dumps({"version": 1.3, "people": people})
            (made / name / f"cam_{frame:012d}_keypoints.json").write_text(text)
    return made


def test_there_are_commands():
    assert len(COMMANDS) > 10
    assert {"plot", "render"} <= {line.split()[1] for line in COMMANDS}


def test_every_command_runs(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    program = Program(capsys)
    monkeypatch.chdir(folder)
    for line in COMMANDS:
        ran = program(*shlex.split(line)[1:], "--force")
        assert ran.status == 0, (line, ran.err)
        output = Path(re.search(r"-o (\S+)", line)[1])
        assert output.stat().st_size > 1000, line
