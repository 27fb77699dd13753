"""A folder of data as the studies want it, small enough to run them all in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from smpl_tools.inverse_kinematics import TURNING, rotations_to_joints
from smpl_tools.rotations import axis_angle_to_matrix
from smpl_tools.sources import MODES

FRAMES = 48
CAMERA = {"f_px": 600.0, "distance_m": 4.0, "height_m": 1.2, "azimuth_rad": 0.7}


def write_data(folder: Path) -> Path:
    """Write ``paired/`` (two training clips of two subjects, one validation clip) and ``cmu/cmu_train.npz``."""
    (folder / "paired").mkdir(parents=True)
    (folder / "cmu").mkdir()
    for seed, (name, subject) in enumerate((("walk", "ann"), ("jump", "bob"), ("dance", "eve"))):
        np.savez(folder / "paired" / f"{name}.npz", **paired_arrays(subject, seed))
    splits = {"train": ["walk"], "extra_train": ["jump"], "val": ["dance"]}
    (folder / "paired" / "splits.json").write_text(json.dumps(splits))
    np.savez(folder / "cmu" / "cmu_train.npz", **clean_arrays())
    return folder


def paired_arrays(subject: str, seed: int) -> dict[str, object]:
    """Return a person who moves smoothly, and estimates with jitter, one frame unseen."""
    rng = np.random.default_rng(seed)
    time = np.arange(FRAMES)[:, None, None] / 30
    vectors = 0.4 * np.sin(2 * np.pi * time + rng.uniform(0, 6, (1, len(TURNING), 3)))
    upright = np.diag([1.0, -1.0, -1.0])
    truth = rotations_to_joints(axis_angle_to_matrix(vectors)) @ upright
    seen = 224 + 600 * truth[..., :2] / (truth[..., 2:] + 4)
    about = {"subject": subject, "image_size": [448, 448], "camera": CAMERA}
    arrays = {"fps": np.float32(30), "metadata": json.dumps(about)}
    arrays |= {"gt_3d": truth.astype(np.float32), "gt_2d": seen.astype(np.float32)}
    for suffix in MODES.values():
        for name, exact, size in (("est_3d", truth, 0.03), ("est_2d", seen, 3.0)):
            estimate = (exact + size * rng.normal(size=exact.shape)).astype(np.float32)
            estimate[5] = np.nan
            arrays[name + suffix] = estimate
        arrays["visibility" + suffix] = rng.uniform(0.5, 1.0, truth.shape[:2]).astype(np.float32)
    return arrays


def clean_arrays() -> dict[str, object]:
    """Return four clips of subjects 13 and 60, which are held out, and 7, with a finger that is no part of the body."""
    parents = np.array([-1, 0, 1, 2])
    offsets = np.array([[0, 0, 0], [0, 0.5, 0], [0.3, 0, 0], [0.1, 0, 0]])
    skeleton = {"names": np.array(["hips", "chest", "hand", "index1"]), "parents": parents, "offsets": offsets}
    index = [
        {"clip": f"clip{number}", "subject": subject, "skeleton": "s", "fps": fps, "frames": 60}
        for number, (subject, fps) in enumerate((("13", 30), ("60", 60), ("7", 60), ("7", 60)))
    ]
    arrays: dict[str, object] = {"index": json.dumps(index)} | {
        f"skel/s/{key}": value for key, value in skeleton.items()
    }
    for number, clip in enumerate(index):
        angle = 0.8 * np.sin(2 * np.pi * np.arange(60)[:, None] / clip["fps"] + np.arange(4) + number) / 2
        quat_xyzw = np.stack([np.zeros_like(angle), np.sin(angle), np.sin(angle), np.cos(angle)], axis=-1)
        quat_xyzw /= np.linalg.norm(quat_xyzw, axis=-1, keepdims=True)
        arrays[clip["clip"] + "/q"] = np.round(32767 * quat_xyzw).astype(np.int16)
        arrays[clip["clip"] + "/root"] = np.linspace([0, 1, 0], [1, 1, 0], 60).astype(np.float32)
    return arrays
