"""Paired files: rendered people with exact truth, and an estimator's output in three modes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smoothnet_core._checks import mismatch
from smpl_tools.formats._files import reason
from smpl_tools.sources._arrays import load
from smpl_tools.sources.clips import PairedClip

# The three ways in which the estimator was run, and how their arrays are called in a paired file.
MODES = {"static": "", "video": "_video", "video smoothed": "_videosm"}
# Below this share of detected frames a clip says nothing about a refiner.
_MIN_DETECTED = 0.3


def read_paired(folder: Path, splits: Sequence[str], every: slice = slice(None)) -> list[PairedClip]:
    """Read the named splits of a folder of paired ``.npz`` files with its ``splits.json``, in every mode.

    ``every`` says which of their files, others are not read.

    Raises:
        ValueError: the folder, a split or a file is missing or not of this layout.
    """
    listing = folder / "splits.json"
    try:
        known = json.loads(listing.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise mismatch(f"{listing}", "a JSON file that lists the splits", reason(error)) from None
    names = []
    for split in splits:
        if split not in known:
            raise mismatch(f"split of {listing}", "one of " + ", ".join(known), repr(split))
        names += known[split]
    return [clip for name in names[every] for clip in _read_pair(folder / f"{name}.npz", name)]


def _read_pair(path: Path, name: str) -> list[PairedClip]:
    arrays = load(path)
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
