"""The data sets of the paper, in the layout that was published with it.

``FOLDER/{dataset}_{estimator}_{2D|3D|smpl}/detected/{dataset}_{estimator}_{2D|3D|smpl}_{train|test}.npz``, and the
truth as ``groundtruth/{dataset}_gt_{2D|3D|smpl}_{train|test}.npz`` beside it (Zeng et al., ECCV 2022). The archives
hold arrays of objects, which are pickles; :mod:`smpl_tools.formats.smoothnet_npz` reads them and runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import metrics
from smoothnet_core._checks import mismatch, one_of
from smoothnet_core.rotations import axis_angle_to_matrix
from smpl_tools.formats import smoothnet_npz
from smpl_tools.formats._format import Options
from smpl_tools.formats._names import listed
from smpl_tools.motion import Person
from smpl_tools.sources.clips import PairedClip

# The tracks of smoothnet_npz that make up each; the release and its description name the 3D joints differently.
_TRACKS: dict[str, tuple[tuple[str, ...], ...]] = {
    "3D": (("joints_3d",), ("keypoints_3d",)),
    "2D": (("joints_2d",),),
    "smpl": (("global_orient", "body_pose"),),
}
REPRESENTATIONS = tuple(_TRACKS)
SPLITS = ("train", "test")
_SMPL_JOINTS = 24


@dataclass(frozen=True)
class Dataset:
    """What is known of a published data set and its files do not state.

    3D joints are in metres, image points in pixels, rotations in radians.

    Attributes:
        title: its name in the paper.
        roots: for each number of joints that its files may have, the joints whose mean is the root.
        fps: frames a second.
        subject: pattern of the part of a sequence's name that says who moves; without a match, the whole name.
        image_size: side of its pictures in pixels, None where no image points were published.
        exclude_mpjpe_mm: sequences whose root-aligned error is greater are left out, since their truth is badly fitted.
    """

    title: str
    roots: Mapping[int, tuple[int, ...]]
    fps: float
    subject: str = r".*"
    image_size: float | None = None
    exclude_mpjpe_mm: float | None = None


# By the names that the files have. SMPL-based estimators of Human3.6M come with the 14 joints of 3DPW.
# AIST++: the paper leaves out test videos above a limit that its text no longer states; 170 mm is our choice, about
# 1.6 times the mean error that it reports (106.9 mm).
DATASETS: dict[str, Dataset] = {
    "h36m": Dataset("Human3.6M", {17: (0,), 14: (2, 3)}, 50.0, subject=r"S\d+", image_size=1000.0),
    "pw3d": Dataset("3DPW", {14: (2, 3)}, 30.0),
    "aist": Dataset("AIST++", {14: (2, 3)}, 60.0, subject=r"d\d\d", exclude_mpjpe_mm=170.0),
    "mpiinf3dhp": Dataset("MPI-INF-3DHP", {17: (14,)}, 25.0, subject=r"T?S\d+"),
    "mupots": Dataset("MuPoTS-3D", {17: (14,)}, 30.0, subject=r"TS\d+"),
}


def read_published(
    folder: Path,
    dataset: str,
    estimator: str,
    *,
    representation: str = "3D",
    split: str = "train",
    exclude_mpjpe_mm: float | None = None,
) -> list[PairedClip]:
    """Read an estimator's output on a published data set, one clip a sequence, matched with the truth by name.

    Positions are centred on the data set's root, metres; image points run from -1 to 1 over the picture, as the paper
    has them; rotations are matrices (T, 24, 9). The archives know no confidence: it is 1.

    Args:
        folder: holds a folder for each data set and estimator.
        dataset: a key of ``DATASETS``.
        estimator: as the folder is called, ``spin`` say.
        representation: one of ``REPRESENTATIONS``.
        split: one of ``SPLITS``.
        exclude_mpjpe_mm: instead of the data set's own limit; 3D only.

    Raises:
        ValueError: an unknown choice, a file that is missing or of another layout, or a sequence that only one of the
            two files has, or has with another length or number of joints; it is named.
    """
    known = DATASETS[one_of("published data set", dataset, DATASETS)]
    one_of("representation", representation, REPRESENTATIONS)
    one_of("split of published data", split, SPLITS)
    if representation == "2D" and known.image_size is None:
        raise mismatch(f"representation of {known.title}", "3D or smpl", "2D")
    place = folder / f"{dataset}_{estimator}_{representation}"
    detected = place / "detected" / f"{dataset}_{estimator}_{representation}_{split}.npz"
    groundtruth = place / "groundtruth" / f"{dataset}_gt_{representation}_{split}.npz"
    estimates, truths = _sequences(detected, known, representation), _sequences(groundtruth, known, representation)
    if unmatched := sorted(estimates.keys() ^ truths.keys()):
        raise mismatch(f"{detected}: sequences", f"those of {groundtruth.name}", f"{listed(unmatched)} in one only")
    limit = known.exclude_mpjpe_mm if exclude_mpjpe_mm is None else exclude_mpjpe_mm
    clips = []
    for name, estimate in estimates.items():
        truth = truths[name]
        if estimate.shape != truth.shape:
            raise mismatch(f"{detected}: sequence {name}, shape", f"{truth.shape} as the truth", estimate.shape)
        if representation == "3D" and limit is not None and np.nanmean(metrics.mpjpe(estimate, truth)) > limit:
            continue
        match = re.search(known.subject, name)
        subject = match[0] if match else name
        confidence = np.ones(truth.shape[:2], np.float32)
        clips.append(PairedClip(name, estimator, subject, known.fps, estimate, truth, confidence))
    return clips


def _sequences(path: Path, known: Dataset, representation: str) -> dict[str, NDArray[np.float32]]:
    motion = smoothnet_npz.read(path, Options())
    return {person.id: _values(path, person, known, representation) for person in motion.people}


def _values(path: Path, person: Person, known: Dataset, representation: str) -> NDArray[np.float32]:
    tracks = next((names for names in _TRACKS[representation] if set(names) <= set(person.tracks)), None)
    if tracks is None:
        wanted = " or ".join("+".join(names) for names in _TRACKS[representation])
        raise mismatch(f"{path}: tracks", f"{wanted} for {representation}", listed(person.tracks))
    values: NDArray[Any] = np.concatenate([person.tracks[name].values for name in tracks], axis=1)
    if representation == "smpl":
        return axis_angle_to_matrix(values).reshape(len(values), _SMPL_JOINTS, 9).astype(np.float32)
    if values.shape[1] not in known.roots:
        counts = " or ".join(map(str, known.roots))
        raise mismatch(f"{path}: sequence {person.id}, joints of {known.title}", counts, values.shape[1])
    if representation == "2D" and known.image_size is not None:
        return (values / (known.image_size / 2) - 1).astype(np.float32)
    root = values[:, list(known.roots[values.shape[1]])].mean(axis=1, keepdims=True)
    return (values - root).astype(np.float32)
