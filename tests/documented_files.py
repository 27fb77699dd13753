"""A folder of small files under the names that the documentation's commands and programs use."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np

from smpl_tools.cli.main import main
from smpl_tools.sources import MODES
from tests.core.test_estimator_errors import made_up_pair
from tests.documented import blocks
from tests.helpers import REPOSITORY

FRAMES = 102
# What the pages' programs take for granted.
NAMES = f"""
import sys
import numpy as np
generator = np.random.default_rng(0)
truth = generator.normal(size=({FRAMES}, 15, 3))
axis_angle, channels, camera = generator.normal(size=(40, 24, 3)), generator.normal(size=(40, 6)), truth
show = print
sys.argv = ["my_estimator.py", "pictures", "found.npz", "static", "30"]
"""
# An estimator by the rules of docs/pairs.md that finds somebody; the one of that page is run by itself.
_ESTIMATOR = """
import sys
from pathlib import Path
import numpy as np
frames, output, mode, fps = sys.argv[1:]
count = len(list(Path(frames).iterdir()))
places = np.cumsum(np.random.default_rng(0).normal(0, 0.01, (count, 15, 3)), axis=0)
np.savez(output, est_3d=places, est_2d=places[..., :2], visibility=np.ones((count, 15)))
"""
_CONFIG = """
name: tiny
version: "1"
about: a small one
data: two clips
licence: none
architecture: vector_filter
sizes: {window: 32, probes: 16, hidden: 8, filters: 8}
recipe: crops
training: {steps: 2, batch: 4, crop: 36, select_every: 1}
sources:
  - {kind: paired, folder: my_pairs, splits: [train]}
validation:
  - {kind: paired, folder: my_pairs, splits: [val]}
select: none
"""
# Sends to a port of this machine until somebody listens there.
_KNOCK = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
    out.connect(("127.0.0.1", int(sys.argv[1])))
    heard = 0
    while heard < 3:
        time.sleep(0.1)
        try:
            out.send(b"[[0, 0, 0]]")
            heard += 1
        except ConnectionRefusedError:
            heard = 0
"""
# Long jobs in short.
_SHORTER = (("steps: 1500", "steps: 2"),)


def fill(folder: Path) -> None:
    """Write the files, and the programs that stand for those of a reader, into an empty folder."""
    (folder / "assets").symlink_to(REPOSITORY / "assets")
    _takes(folder)
    _made_of("take.npz", folder)
    _paired(folder / "my_pairs")
    _paired(folder / "DATA" / "my_pairs")
    (folder / "my_estimator.py").write_text(_ESTIMATOR)
    for name in ("my.yaml", "CONFIG.yaml"):
        (folder / name).write_text(_CONFIG)
    (folder / "pictures").mkdir()
    for number in range(3):
        (folder / "pictures" / f"{number:06}.jpg").touch()
    np.save(folder / "joints.npy", np.random.default_rng(0).normal(size=(FRAMES, 15, 3)).cumsum(0))
    _checkpoint(folder / "checkpoint_32.pth.tar")


def own_files(page: str, folder: Path) -> None:
    """Write the files that a page itself shows, in short forms."""
    for block in blocks():
        if block.page == page and block.title:
            text = block.text
            for long, short in _SHORTER:
                text = text.replace(long, short)
            (folder / block.title).write_text(text)


def programs(folder: Path) -> None:
    """Write ``smoothnet``, ``python``, and what stands at both ends of a stream."""
    folder.mkdir()
    tracker = 'for n in 1 2 3 4 5 6 7 8; do echo "[[0, $n, 0], [1, 1, $n]]"; done'
    texts = {"python": f'exec "{sys.executable}" "$@"'}
    texts |= {"tracker": tracker, "viewer": "exec cat", "knock": f'exec "{sys.executable}" -c \'{_KNOCK}\' "$1"'}
    for name, text in texts.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    # A program of Python's, as pip makes it: what works in several processes starts it again by its name.
    (folder / "smoothnet").write_text(
        f"#!{sys.executable}\nfrom smpl_tools.cli.main import run\n\nif __name__ == '__main__':\n    run()\n"
    )
    (folder / "smoothnet").chmod(0o755)


def _takes(folder: Path) -> None:
    takes = REPOSITORY / "assets" / "takes"
    for name, source in (("take", "dance_smplh"), ("truth", "dance_smplh_truth")):
        with np.load(takes / f"{source}.npz") as archive:
            whole = dict(archive)
        count = len(whole["poses"])
        cut = {key: value[:FRAMES] if value.shape[:1] == (count,) else value for key, value in whole.items()}
        np.savez(folder / f"{name}.npz", **cut)
    text = (takes / "reactidle_000.bvh").read_text(encoding="utf-8")
    head, frames = re.split(r"(?<=\n)(?=[-\d. ]+\n)", text, maxsplit=1)
    head = re.sub(r"Frames:\s*\d+", f"Frames: {FRAMES}", head)
    (folder / "take.bvh").write_text(head + "\n".join(frames.splitlines()[:FRAMES]) + "\n")
    for copy in ("dance.npz", "estimate.npz"):
        shutil.copy(folder / "take.npz", folder / copy)
    for copy in ("walk.bvh", "character.bvh"):
        shutil.copy(folder / "take.bvh", folder / copy)
    (folder / "amass").mkdir()
    shutil.copy(folder / "take.npz", folder / "amass" / "a.npz")
    (folder / "takes" / "more").mkdir(parents=True)
    shutil.copy(folder / "take.npz", folder / "takes" / "dance.npz")
    shutil.copy(folder / "take.bvh", folder / "takes" / "more" / "idle.bvh")


def _made_of(take: str, folder: Path) -> None:
    for name, form in (
        ("wham_output.pkl", "wham"),
        ("hmr4d_results.pt", "gvhmr"),
        ("landmarks.npz", "mediapipe"),
        ("joints.csv", "csv"),
    ):
        assert main(["convert", str(folder / take), "-o", str(folder / name), "--to", form]) == 0


def _paired(folder: Path) -> None:
    folder.mkdir(parents=True)
    for seed, name in enumerate(("a", "b", "c")):
        pair = made_up_pair(seed)
        arrays = {"fps": np.float32(30), "metadata": json.dumps({"subject": name}), "gt_3d": pair.groundtruth}
        for mode in MODES.values():
            arrays |= {f"est_3d{mode}": pair.estimate, f"visibility{mode}": pair.confidence}
        np.savez(folder / f"{name}.npz", **arrays)
    (folder / "splits.json").write_text(json.dumps({"train": ["a", "b"], "val": ["c"]}))


def _checkpoint(path: Path) -> None:
    import torch

    from smoothnet_core.models.published import SmoothNet

    torch.save({"state_dict": SmoothNet().state_dict()}, path)
