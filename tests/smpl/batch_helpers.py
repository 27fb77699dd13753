"""What the tests of batches share: trees of small files, the program as a process of its own, what is in a folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.helpers import REPOSITORY
from tests.smpl.cli_helpers import amass, body, saved

PROGRAM = [sys.executable, "-c", "from smpl_tools.cli.main import run; run()"]


def tree(root: Path, files: int, frames: int = 40) -> Path:
    """Make a tree of small arrays, AMASS files and BVHs in folders of different depth."""
    bvh = (REPOSITORY / "assets" / "takes" / "reactidle_000.bvh").read_text(encoding="utf-8").splitlines(True)
    start = next(k for k, line in enumerate(bvh) if line.startswith("Frames:"))
    for index in range(files):
        folder = root.joinpath(*["one", "two words", "drei"][: index % 4])
        folder.mkdir(parents=True, exist_ok=True)
        if index % 3 == 0:
            saved(folder / f"{index:05}.npy", body(frames, seed=index))
        elif index % 3 == 1:
            amass(folder / f"{index:05}.npz", frames, seed=index)
        else:
            rows = bvh[start + 2 + index % 50 :][:frames]
            lines = [*bvh[:start], f"Frames: {len(rows)}\n", bvh[start + 1], *rows]
            (folder / f"{index:05}.bvh").write_text("".join(lines), encoding="utf-8")
    return root


def started(*arguments: object, **given: Any) -> subprocess.Popen[str]:
    """Start the program in a session of its own."""
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True, **given}
    return subprocess.Popen([*PROGRAM, "batch", *map(str, arguments)], cwd=REPOSITORY, **given)


def ended(*arguments: object, **given: Any) -> tuple[int, str, str]:
    """Run the program; return status, stdout and stderr."""
    running = started(*arguments, **given)
    out, err = running.communicate(timeout=300)
    return running.returncode, out, err


def records(output: Path) -> dict[str, dict[str, Any]]:
    """Return the manifest's records by source, of which there is one each."""
    lines = (output / "manifest.jsonl").read_text(encoding="ascii").splitlines()
    found = {record["source"]: record for record in map(json.loads, lines)}
    assert len(found) == len(lines)
    return found


def results(output: Path) -> dict[str, bytes]:
    """Return the bytes of all files that are no business of the batch itself, by name."""
    found = {}
    for place, folders, files in os.walk(output):
        folders[:] = [name for name in folders if not name.startswith(".smoothnet-batch-")]
        for name in files:
            if not (Path(place) == output and name in ("manifest.jsonl", ".smoothnet-batch.lock")):
                path = Path(place, name)
                found[path.relative_to(output).as_posix()] = path.read_bytes()
    return found


def leftovers(output: Path) -> list[str]:
    """Return what unfinished work left."""
    return [str(path) for path in output.rglob(".smoothnet-*") if path.name != ".smoothnet-batch.lock"]


def emptied(folder: Path) -> Path:
    """Return a folder that is not there."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder
