"""From motion files to a folder of paired sequences: render, estimate, write; one clip after the other."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import metrics
from smoothnet_core._checks import mismatch
from smpl_tools import formats
from smpl_tools.formats._files import replacing, replacing_folder, write_npz
from smpl_tools.motion import Motion
from smpl_tools.pairs.body import HIPS, JOINT_NAMES
from smpl_tools.pairs.estimator import array_shapes
from smpl_tools.pairs.stage import Clip, Settings, render, staged
from smpl_tools.sources._arrays import load
from smpl_tools.sources.paired import MODES


@dataclass(frozen=True)
class Result:
    """What became of a clip.

    Attributes:
        name: of the clip.
        frames: T.
        found: share of the frames in which the estimator found somebody, by mode.
        mpjpe_mm: its mean error there.
        render_fps: pictures a second; None for a clip that was there already.
    """

    name: str
    frames: int
    found: dict[str, float]
    mpjpe_mm: dict[str, float]
    render_fps: float | None


def make_clip(
    clip: Clip, motion: Motion, settings: Settings, folder: Path, *, force: bool = False, keep_pictures: bool = False
) -> Result:
    """Render a clip, run the estimator in every mode, and write ``NAME.npz``; one that is there is left as it is.

    With ``keep_pictures`` the pictures stay beside it, in a folder ``NAME``.

    Raises:
        ValueError: the motion cannot be used, the estimator failed, or the file there was made with other settings.
        MissingExtraError: the renderer is not installed.
    """
    target = folder / f"{clip.name}.npz"
    made_with = _made_with(clip, motion, settings)
    if target.exists() and not force:
        arrays = load(target)
        _check_same(target, arrays, made_with)
        return _result(clip, settings, arrays, None)
    stage = staged(clip, motion, settings)
    with tempfile.TemporaryDirectory(prefix="smoothnet-pairs-") as scratch:
        pictures = Path(scratch) / "frames"
        began = time.perf_counter()
        render(stage, settings.occluders, pictures)
        rate = len(stage.joints) / (time.perf_counter() - began)
        joints = stage.camera.seen(stage.joints)
        arrays = {
            "gt_3d": (joints - joints[:, HIPS].mean(axis=1, keepdims=True)).astype(np.float32),
            "gt_2d": stage.camera.project(joints).astype(np.float32),
            **_estimates(pictures, Path(scratch), settings, len(joints)),
        }
        if keep_pictures:
            with replacing_folder(folder / clip.name) as kept:
                shutil.copytree(pictures, kept, dirs_exist_ok=True)
    arrays["fps"] = np.float32(settings.fps)
    arrays["metadata"] = np.array(json.dumps({**_described(clip, settings), **stage.described, "made_with": made_with}))
    write_npz(target, arrays, compressed=True)
    return _result(clip, settings, arrays, rate)


def _estimates(pictures: Path, scratch: Path, settings: Settings, frames: int) -> dict[str, NDArray[Any]]:
    """Return the arrays of every mode, NaN for those that were not asked for."""
    arrays = {}
    for mode, suffix in MODES.items():
        if mode in settings.modes:
            found = settings.estimator.run(pictures, scratch / f"estimate{suffix}.npz", mode, settings.fps, frames)
            found["est_3d"] = found["est_3d"] - found["est_3d"][:, HIPS].mean(axis=1, keepdims=True)
        else:
            found = {name: np.full(shape, np.nan, np.float32) for name, shape in array_shapes(frames).items()}
        arrays |= {name + suffix: array for name, array in found.items()}
    return arrays


def _made_with(clip: Clip, motion: Motion, settings: Settings) -> dict[str, Any]:
    """Return what decides a clip, as JSON gives it back."""
    views = settings.views if isinstance(settings.views, int) else asdict(settings.views[clip.view])
    return {
        "motion": motion.path.name if motion.path else "",
        "estimator": settings.estimator.name,
        "modes": list(settings.modes),
        "views": views,
        "occluders": settings.occluders,
        "size": settings.size,
        "fps": settings.fps,
        "seed": settings.seed,
        "motion_fps": motion.fps,
    }


def _check_same(target: Path, arrays: dict[str, Any], made_with: dict[str, Any]) -> None:
    try:
        before = json.loads(str(arrays["metadata"]))["made_with"]
        differing = [key for key, value in made_with.items() if before[key] != value]
    except (KeyError, TypeError, ValueError):
        raise mismatch(f"{target}", "a clip made by smoothnet pairs (--force replaces it)", "another file") from None
    if differing:
        key = differing[0]
        raise mismatch(f"{target}: {key} (--force makes it again)", repr(made_with[key]), repr(before[key]))


def _described(clip: Clip, settings: Settings) -> dict[str, Any]:
    return {
        "clip": clip.name,
        "subject": clip.subject,
        "fps": settings.fps,
        "joint_names": list(JOINT_NAMES),
        "image_size": [settings.size, settings.size],
        "estimator": settings.estimator.name,
        "axes": "camera frame, metres, x right, y down, z away from the camera",
        "centre": "mean of left_hip and right_hip",
        "body_licence": "CC0 1.0 (MakeHuman)",
    }


def _result(clip: Clip, settings: Settings, arrays: dict[str, Any], rate: float | None) -> Result:
    found, errors = {}, {}
    for mode in settings.modes:
        estimate = arrays["est_3d" + MODES[mode]]
        seen = np.isfinite(estimate).all(axis=(1, 2))
        found[mode] = float(seen.mean())
        errors[mode] = float("nan")
        if seen.any():
            errors[mode] = float(np.mean(metrics.mpjpe(estimate[seen], arrays["gt_3d"][seen], root=HIPS)))
    return Result(clip.name, len(arrays["gt_3d"]), found, errors, rate)


def write_splits(folder: Path, validation: Collection[str] | None) -> dict[str, list[str]]:
    """Write ``splits.json`` over all clips of a folder, split by subject into ``train`` and ``val``.

    Args:
        folder: of the clips.
        validation: subjects to validate on; None takes every fifth of the sorted subjects, none of a single one.

    Returns:
        What was written: names of clips by split.

    Raises:
        ValueError: a file there is no paired sequence, or nothing can be written.
    """
    clips = subjects_in(folder)
    known = sorted(set(clips.values()))
    if validation is None:
        validation = known[1::5]
    splits = {
        "train": [name for name, subject in clips.items() if subject not in validation],
        "val": [name for name, subject in clips.items() if subject in validation],
    }
    with replacing(folder / "splits.json") as file:
        file.write(json.dumps(splits, indent=1).encode())
    return splits


def subjects_in(folder: Path) -> dict[str, str]:
    """Return who moves in each clip of a folder, by the clip's name.

    Raises:
        ValueError: a file there is no paired sequence.
    """
    subjects = {}
    for path in sorted(folder.glob("*.npz")):
        try:
            subjects[path.stem] = str(json.loads(str(load(path)["metadata"]))["subject"])
        except (KeyError, TypeError, ValueError):
            raise mismatch(f"{path}", "a paired sequence", "another file") from None
    return subjects


def read_motion(path: Path, fps: float | None) -> Motion:
    """Read a motion and refuse one without people.

    Raises:
        ValueError: not a motion, or nobody is in it.
    """
    motion = formats.read(path, fps=fps)
    if not motion.people:
        raise mismatch(f"{path}: people", "at least one", "none")
    return motion
