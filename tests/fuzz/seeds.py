"""Good files to begin from, of a few frames: made by the writers of every format, captured, and in other layouts."""

from __future__ import annotations

import io
import json
import pickle
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from smoothnet_core.checkpoints import Weights, write_safetensors
from smoothnet_core.restricted_pickle import load_npz
from smpl_tools.convert import make, makeable, prepared_for
from smpl_tools.formats import FORMATS
from smpl_tools.formats._torch_container import write_container
from tests.core import test_any_input
from tests.helpers import REPOSITORY
from tests.smpl import test_survival
from tests.smpl.body_files import write_smpl

# By format, the cases of ``tests.smpl.test_survival`` that differ in what a reader has to do.
_CASES = ("translation", "hands", "jaw and eyes", "changing betas", "people", "gaps", "confidence", "joint names")
_FRAMES = 3
_TAKES = REPOSITORY / "assets" / "takes"


@cache
def seeds() -> dict[str, tuple[bytes, ...]]:
    """Return good files by format; of a format that is a folder, the files that may stand in it."""
    found: dict[str, list[bytes]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in makeable():
            if FORMATS[name].read is None:
                continue
            found[name] = list(_made(name, Path(folder)))
    for more in (_others(), _captured()):
        for name, files in more.items():
            found.setdefault(name, []).extend(files)
    return {name: tuple(dict.fromkeys(files)) for name, files in found.items()}


def _made(name: str, folder: Path) -> Iterator[bytes]:
    for content in FORMATS[name].contents:
        for what, motion in test_survival.CASES[content]().items():
            if what not in _CASES:
                continue
            suffixes = FORMATS[name].suffixes or ("",)
            for suffix in suffixes:
                path = folder / f"{name}-{content}-{what}{suffix}".replace(" ", "_")
                try:
                    ready, _ = prepared_for(_short(motion), name)
                    make(ready, name, path)
                except ValueError:
                    # What a format has no room for.
                    continue
                files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
                yield from (file.read_bytes() for file in files[:1])


def _short(motion: Any) -> Any:
    """Return the first frames of a motion, so that a mutation is likely to hit what matters."""
    people = []
    for person in motion.people:
        rows = np.arange(min(_FRAMES, len(person.frames)))
        people.append(test_survival.picked_rows(person, rows))
    return motion.with_people(tuple(people))


def _others() -> dict[str, list[bytes]]:
    """Return files in layouts that are read and that no writer of ours makes."""
    rng = np.random.default_rng(0)
    frames = {"frames": [{"worldLandmarks": _landmarks(rng), "landmarks": _landmarks(rng)}, {"landmarks": []}]}
    published = test_any_input.PUBLISHED
    weights = {"state_dict": dict(published.tensors), "epoch": 3}
    saved = _through_file(lambda path: write_container(path, weights))
    return {
        "bvh": [_BVH.encode()],
        "mediapipe-json": [json.dumps(frames).encode(), json.dumps(frames["frames"]).encode()],
        "openpose": [_OLD_OPENPOSE.encode()],
        "csv": [b"a_x;a_y;a_conf;time_ms\r\n1;2;0.5;0\r\n;nan;1;33\r\n3;4;;66\r\n", b"p.x\tp.y\tp.z\n1\t2\t3\n"],
        "humanml3d": [_npy(rng.normal(size=(_FRAMES, 263)).astype(np.float32))],
        "array": [_npy(rng.normal(size=(2, 3, 4)).astype(">f4")), _npy(np.asfortranarray(rng.normal(size=(4, 5, 3))))],
        "pickle": [pickle.dumps(_plain(rng), protocol) for protocol in (0, 2, 4, 5)],
        "npy": [_npy(np.array([{"a": np.ones(2)}, None, [1, "x"]], object)), _npy(np.arange(3))],
        "weights": [_safetensors(Weights(published.tensors, published.metadata)), saved],
        "body-model": [_through_file(lambda path: write_smpl(path, vertices=49))],
        "live-json": [json.dumps({"time": 0.1, "frame": {"a": [0, 1, 2], "b": [3, None, 5]}, "mask": [1, 0]}).encode()],
        "live-csv": [b"time,a_x,a_y,a_z\n0,1,2,3\n0.1,2,3,4\n"],
    }


def _captured() -> dict[str, list[bytes]]:
    """Return the beginnings of the takes that come with the project, which real systems recorded."""
    text = (_TAKES / "reactidle_000.bvh").read_text(encoding="utf-8")
    head, table = text.split("Frame Time:")
    lines = table.splitlines(keepends=True)[: 1 + _FRAMES]
    head = re.sub(r"Frames:\s*[0-9]+", f"Frames: {_FRAMES}", head)
    arrays = load_npz(_TAKES / "dance_smplh.npz")
    frames = len(arrays["poses"])
    archive = io.BytesIO()
    np.savez(archive, **{key: a[:_FRAMES] if a.shape[:1] == (frames,) else a for key, a in arrays.items()})
    return {"bvh": [f"{head}Frame Time:{''.join(lines)}".encode()], "amass": [archive.getvalue()]}


def _landmarks(rng: np.random.Generator) -> list[dict[str, float]]:
    return [dict(zip(("x", "y", "z", "visibility"), row, strict=True)) for row in rng.random((33, 4)).tolist()]


def _plain(rng: np.random.Generator) -> dict[Any, Any]:
    objects = np.array([np.arange(3), None, {"a": [1]}], dtype=object)
    record = np.array([(1, 2.5)], dtype=[("a", "<i4"), ("b", "<f8")])
    return {"pose": rng.normal(size=(2, 3)), 1: [{2, 3}, (1, "x")], "objects": objects, "record": record, "n": 2**70}


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array)
    return file.getvalue()


def _safetensors(weights: Weights) -> bytes:
    return _through_file(lambda path: write_safetensors(path, weights))


def _through_file(write: Callable[[Path], Any]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write(path)
        return path.read_bytes()


_OLD_OPENPOSE = '{"version":1.0,"people":[{"pose_keypoints":[1,2,0.5,3,4,1]},{"pose_keypoints":[9,9,0.1,0,0,0]}]}'
_BVH = """HIERARCHY
ROOT hip
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT left arm
  {
    OFFSET 1.5 0 -2e1
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 1 0
    }
  }
  JOINT index1
  {
    OFFSET 0 1 0
    CHANNELS 2 Xrotation Xposition
  }
}
ROOT prop
{
  OFFSET 0 0 0
  CHANNELS 1 Yrotation
}
MOTION
Frames: 3
Frame Time: 0.0333333
0 1 2 10 20 30 1 2 3 4 5 6
0 1 nan 11 21 31 1 2 3 4 5.25 6
0 1 2 12 22 32 1 2 3 4 5 1.#QNAN
"""
