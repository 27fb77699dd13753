"""From motion files to a folder of paired sequences: render, estimate, write; one clip after the other."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import metrics
from smoothnet_core._checks import mismatch
from smpl_tools.formats._files import replacing, replacing_folder, write_npz
from smpl_tools.pairs.body import HIPS, JOINT_NAMES
from smpl_tools.pairs.drawn import TILTED, Pool
from smpl_tools.pairs.estimator import array_shapes
from smpl_tools.pairs.motions import Source
from smpl_tools.pairs.simulated import SimulatedErrors
from smpl_tools.pairs.stage import Settings, Stage, clips_of, render, staged
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


@dataclass(frozen=True, eq=False)
class Job:
    """One clip to make.

    Attributes:
        name: of its file.
        made_with: what decides the clip beside the settings, as JSON gives it back.
        stage: returns what it is rendered from.
    """

    name: str
    made_with: dict[str, Any]
    stage: Callable[[], Stage]


def grid_jobs(sources: Sequence[Source], settings: Settings) -> list[Job]:
    """Return a job for every motion with every body before every camera."""
    jobs = []
    for source in sources:
        motion = source.motion
        about = {"motion": motion.path.name if motion.path else "", "motion_fps": motion.fps}
        for clip in clips_of(source, settings):
            views = settings.views if isinstance(settings.views, int) else asdict(settings.views[clip.view])
            made_with = {**about, "views": views, "occluders": settings.occluders}
            jobs.append(Job(clip.name, made_with, partial(staged, clip, source, settings)))
    return jobs


def drawn_jobs(
    sources: Sequence[Source], count: int, settings: Settings, tilted: float = TILTED, tumbling: float = 0.0
) -> list[Job]:
    """Return jobs for so many clips drawn at random; ``tilted`` and ``tumbling`` as for :class:`Pool`.

    Raises:
        ValueError: a motion cannot be used, or none is long enough.
    """
    pool = Pool(sources, settings.fps, tilted, tumbling)
    motions = zlib.crc32("\n".join(source.name for source in sources).encode())
    made_with: dict[str, Any] = {"drawn": True, "motions": len(sources), "motions_crc32": motions}
    # Sets that were made before there was a choice say nothing of it.
    made_with |= {} if tilted == TILTED else {"tilted": tilted}
    made_with |= {"tumbling": tumbling} if tumbling else {}
    return [Job(f"drawn_{k:05d}", made_with, partial(pool.stage, k, settings)) for k in range(count)]


def make_clip(
    job: Job, settings: Settings, folder: Path, *, force: bool = False, keep_pictures: bool = False
) -> Result:
    """Render a clip, run the estimator in every mode, and write ``NAME.npz``; one that is there is left as it is.

    Where errors are simulated, nothing is rendered. With ``keep_pictures`` the pictures stay beside it, in a folder
    ``NAME``.

    Raises:
        ValueError: the motion cannot be used, the estimator failed, or the file there was made with other settings.
        MissingExtraError: the renderer is not installed.
    """
    target = folder / f"{job.name}.npz"
    made_with = {**job.made_with, **_of_settings(settings)}
    if target.exists() and not force:
        arrays = load(target)
        _check_same(target, arrays, made_with)
        return _result(job.name, settings, arrays, None)
    stage = job.stage()
    joints = stage.camera.seen(stage.landmarks)
    arrays = {
        "gt_3d": (joints - joints[:, HIPS].mean(axis=1, keepdims=True)).astype(np.float32),
        "gt_2d": stage.camera.project(joints).astype(np.float32),
    }
    estimator, rate = settings.estimator, None
    if isinstance(estimator, SimulatedErrors):
        truth, generator = arrays["gt_3d"], stage.generator
        arrays |= _by_mode(settings, len(joints), lambda m: estimator.estimate(truth, m, settings.fps, generator))
    else:
        with tempfile.TemporaryDirectory(prefix="smoothnet-pairs-") as scratch:
            pictures, written = Path(scratch) / "frames", Path(scratch) / "estimate.npz"
            began = time.perf_counter()
            render(stage, pictures)
            rate = len(joints) / (time.perf_counter() - began)

            def run(mode: str) -> dict[str, NDArray[Any]]:
                written.unlink(missing_ok=True)
                return estimator.run(pictures, written, mode, settings.fps, len(joints))

            arrays |= _by_mode(settings, len(joints), run)
            if keep_pictures:
                with replacing_folder(folder / job.name) as kept:
                    shutil.copytree(pictures, kept, dirs_exist_ok=True)
    arrays["fps"] = np.float32(settings.fps)
    arrays["metadata"] = np.array(
        json.dumps({**_described(job.name, settings), **stage.described, "made_with": made_with})
    )
    write_npz(target, arrays, compressed=True)
    return _result(job.name, settings, arrays, rate)


def _by_mode(
    settings: Settings, frames: int, estimate: Callable[[str], dict[str, NDArray[Any]]]
) -> dict[str, NDArray[Any]]:
    """Return the arrays of every mode, NaN for those that were not asked for."""
    arrays = {}
    for mode, suffix in MODES.items():
        if mode in settings.modes:
            found = estimate(mode)
            found["est_3d"] = found["est_3d"] - found["est_3d"][:, HIPS].mean(axis=1, keepdims=True)
        else:
            found = {name: np.full(shape, np.nan, np.float32) for name, shape in array_shapes(frames).items()}
        arrays |= {name + suffix: array for name, array in found.items()}
    return arrays


def _of_settings(settings: Settings) -> dict[str, Any]:
    return {
        "estimator": settings.estimator.name,
        "landmarks": [settings.estimator.offsets.get(name) for name in JOINT_NAMES],
        "modes": list(settings.modes),
        "size": settings.size,
        "fps": settings.fps,
        "seed": settings.seed,
    }


def _check_same(target: Path, arrays: dict[str, Any], made_with: dict[str, Any]) -> None:
    try:
        before = json.loads(str(arrays["metadata"]))["made_with"]
        wanted = json.loads(json.dumps(made_with))
        differing = [key for key, value in wanted.items() if before[key] != value]
    except (KeyError, TypeError, ValueError):
        raise mismatch(f"{target}", "a clip made by smoothnet pairs (--force replaces it)", "another file") from None
    if differing:
        key = differing[0]
        raise mismatch(f"{target}: {key} (--force makes it again)", repr(made_with[key]), repr(before[key]))


def _described(name: str, settings: Settings) -> dict[str, Any]:
    return {
        "clip": name,
        "fps": settings.fps,
        "joint_names": list(JOINT_NAMES),
        "image_size": [settings.size, settings.size],
        "estimator": settings.estimator.name,
        "axes": "camera frame, metres, x right, y down, z away from the camera",
        "centre": "mean of left_hip and right_hip",
        "body_licence": "CC0 1.0 (MakeHuman)",
    }


def _result(name: str, settings: Settings, arrays: dict[str, Any], rate: float | None) -> Result:
    found, errors = {}, {}
    for mode in settings.modes:
        estimate = arrays["est_3d" + MODES[mode]]
        seen = np.isfinite(estimate).all(axis=(1, 2))
        found[mode] = float(seen.mean())
        errors[mode] = float("nan")
        if seen.any():
            errors[mode] = float(np.mean(metrics.mpjpe(estimate[seen], arrays["gt_3d"][seen], root=HIPS)))
    return Result(name, len(arrays["gt_3d"]), found, errors, rate)


def write_splits(folder: Path, validation: Collection[str] | None) -> dict[str, list[str]]:
    """Write ``splits.json`` over all clips of a folder, split by subject into ``train`` and ``val``.

    A clip in which limbs of one of the two move a body of the other is in neither.

    Args:
        folder: of the clips.
        validation: subjects to validate on; None takes every fifth of the sorted subjects, none of a single one.

    Returns:
        What was written: names of clips by split.

    Raises:
        ValueError: a file there is no paired sequence, or nothing can be written.
    """
    clips = subjects_in(folder)
    known = sorted({subject for subjects in clips.values() for subject in subjects})
    if validation is None:
        validation = known[1::5]
    splits = {
        "train": [name for name, subjects in clips.items() if not set(subjects) & set(validation)],
        "val": [name for name, subjects in clips.items() if set(subjects) <= set(validation)],
    }
    with replacing(folder / "splits.json") as file:
        file.write(json.dumps(splits, indent=1).encode())
    return splits


def subjects_in(folder: Path) -> dict[str, list[str]]:
    """Return who moves in each clip of a folder, by the clip's name: the subject, then of whom single limbs are.

    Raises:
        ValueError: a file there is no paired sequence.
    """
    subjects = {}
    for path in sorted(folder.glob("*.npz")):
        try:
            metadata = json.loads(str(load(path)["metadata"]))
            limbs = metadata["drawn"].get("limbs_of") if "drawn" in metadata else None
            subjects[path.stem] = [str(metadata["subject"]), *([str(limbs)] if limbs is not None else [])]
        except (AttributeError, KeyError, TypeError, ValueError):
            raise mismatch(f"{path}", "a paired sequence", "another file") from None
    return subjects
