"""Training and test data as files have it, read into arrays for :mod:`smoothnet_core.training`."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from smoothnet_core._checks import mismatch
from smpl_tools.formats._files import reason
from smpl_tools.skeleton import Skeleton, positions

# The three ways in which the estimator was run, and how their arrays are called in a paired file.
MODES = {"static": "", "video": "_video", "video smoothed": "_videosm"}
# Below this share of detected frames a clip says nothing about a refiner.
_MIN_DETECTED = 0.3


@dataclass(frozen=True, eq=False)
class PairedClip:
    """An estimator's output and the truth for the same frames.

    Attributes:
        name: of the clip.
        mode: a key of ``MODES``.
        subject: who moves.
        fps: frames a second.
        estimate: (T, J, 3) metres, NaN where nobody was detected.
        groundtruth: (T, J, 3) metres.
        confidence: (T, J) in [0, 1].
    """

    name: str
    mode: str
    subject: str
    fps: float
    estimate: NDArray[np.float32]
    groundtruth: NDArray[np.float32]
    confidence: NDArray[np.float32]

    @property
    def detected(self) -> NDArray[np.bool_]:
        """(T,) True where somebody was detected."""
        return np.asarray(np.isfinite(self.estimate).all(axis=(1, 2)))


def read_paired(folder: Path, splits: Sequence[str]) -> list[PairedClip]:
    """Read the named splits of a folder of paired ``.npz`` files with its ``splits.json``, in every mode.

    Raises:
        ValueError: the folder, a split or a file is missing or not of this layout.
    """
    listing = folder / "splits.json"
    try:
        known = json.loads(listing.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise mismatch(f"{listing}", "a JSON file that lists the splits", reason(error)) from None
    clips = []
    for split in splits:
        if split not in known:
            raise mismatch(f"split of {listing}", "one of " + ", ".join(known), repr(split))
        for name in known[split]:
            clips += _read_pair(folder / f"{name}.npz", name)
    return clips


def _read_pair(path: Path, name: str) -> list[PairedClip]:
    arrays = _load(path)
    try:
        subject = json.loads(str(arrays["metadata"]))["subject"]
        clips = [
            PairedClip(
                name,
                mode,
                subject,
                float(arrays["fps"]),
                arrays["est_3d" + suffix],
                arrays["gt_3d"],
                np.nan_to_num(arrays["visibility" + suffix]).clip(0, 1),
            )
            for mode, suffix in MODES.items()
        ]
    except KeyError as error:
        raise mismatch(f"{path}", "the arrays of a paired sequence", f"none named {error}") from None
    return [clip for clip in clips if clip.detected.mean() >= _MIN_DETECTED]


def read_clean(path: Path, exclude_subjects: Collection[str], fps: float) -> list[NDArray[np.float32]]:
    """Read clean motion capture: joint positions (T, J, 3) in metres at ``fps`` (a whole fraction of each clip's own).

    The file holds ``index`` (JSON), and for every clip quaternions ``q`` (int16 times 1/32767, xyzw), ``root`` (T, 3)
    and the skeleton's ``names``, ``parents`` and ``offsets``.

    Raises:
        ValueError: a missing or different file.
    """
    arrays = _load(path)
    tracks = []
    try:
        for clip in json.loads(str(arrays["index"])):
            step = clip["fps"] / fps
            if str(clip["subject"]) in exclude_subjects or step != int(step):
                continue
            tracks.append(_clean_positions(arrays, clip)[:: int(step)])
    except KeyError as error:
        raise mismatch(f"{path}", "the arrays of clean motion", f"none named {error}") from None
    return tracks


def _clean_positions(arrays: dict[str, Any], clip: dict[str, Any]) -> NDArray[np.float32]:
    quat_xyzw = arrays[clip["clip"] + "/q"].astype(np.float64)
    place = f"skel/{clip['skeleton']}/"
    skeleton = Skeleton(
        tuple(map(str, arrays[place + "names"])), arrays[place + "parents"], arrays[place + "offsets"].astype(float)
    )
    matrices = Rotation.from_quat(quat_xyzw.reshape(-1, 4)).as_matrix().reshape((*quat_xyzw.shape[:2], 3, 3))
    return positions(matrices, arrays[clip["clip"] + "/root"].astype(float), skeleton).astype(np.float32)


def _load(path: Path) -> dict[str, Any]:
    try:
        with np.load(path) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise mismatch(f"{path}", "an .npz file of arrays", reason(error)) from None
