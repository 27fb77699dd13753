"""Networks that were trained on positions, used on 6D rotations; with Table 5 of the supplementary document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import metrics
from smoothnet_core.rotations import matrix_to_rotation_6d, rotation_6d_to_matrix
from smpl_tools.experiments.frame import Bench, Result, Table
from smpl_tools.experiments.refiners import (
    GRIDS,
    best,
    by_mode,
    losses,
    mode_table,
    networks,
    raw,
    score_rows,
    setting_text,
    try_all,
)
from smpl_tools.inverse_kinematics import JOINTS, LIMB_BONES, TURNING, joints_to_rotations, rotations_to_joints
from smpl_tools.paired_scores import LIMBS, Measure, paired_scores
from smpl_tools.sources import PairedClip

Array = NDArray[np.float64]

# The joints whose being seen tells how sure a rotation is: the far ends of the bones that it turns.
_ENDS: dict[str, tuple[str, ...]] = {
    "pelvis": ("left_hip", "right_hip"),
    "spine": ("left_shoulder", "right_shoulder"),
    "chest": ("left_shoulder", "right_shoulder"),
    "neck": ("nose",),
    **{joint: (end,) for joint, end in LIMB_BONES},
}


def _degrees(track: Array, truth: Array) -> Array:
    return metrics.geodesic_degrees(rotation_6d_to_matrix(track), rotation_6d_to_matrix(truth))


def _joints(track: Array) -> Array:
    return rotations_to_joints(rotation_6d_to_matrix(track))


MEASURES = {
    "geodesic_deg": Measure(
        "geodesic degrees",
        2,
        lambda p, g, fps: metrics.geodesic_degrees(rotation_6d_to_matrix(p), rotation_6d_to_matrix(g)),
    ),
    "mpjpe_mm": Measure("MPJPE mm", 1, lambda p, g, fps: metrics.mpjpe(_joints(p), _joints(g))),
    "accel_mm_per_frame2": Measure("Accel mm/frame²", 2, lambda p, g, fps: metrics.accel(_joints(p), _joints(g))),
    "speed_ratio": Measure(
        "speed", 2, lambda p, g, fps: metrics.speed_ratio(_joints(p), _joints(g), joints=LIMBS), target=1.0
    ),
    "jitter_ratio": Measure("jitter", 2, lambda p, g, fps: metrics.jitter_ratio(_joints(p), _joints(g)), target=1.0),
    "worst_mpjpe_mm": Measure("MPJPE-1% mm", 1, lambda p, g, fps: metrics.mpjpe(_joints(p), _joints(g)), worst=True),
    "worst_accel_mm_per_frame2": Measure(
        "Accel-1% mm/frame²", 1, lambda p, g, fps: metrics.accel(_joints(p), _joints(g)), worst=True
    ),
}
_SEARCHED = ("geodesic_deg", "speed_ratio")


def rotation_clips(clips: Sequence[PairedClip]) -> list[PairedClip]:
    """Return clips of 15 joints as 6D tracks (T, 14, 6), columns, of the joints of ``inverse_kinematics.TURNING``."""
    sure = [[JOINTS.index(end) for end in _ENDS[name]] for name in TURNING]

    def tracks(joints: NDArray[np.float32]) -> NDArray[np.float32]:
        return matrix_to_rotation_6d(joints_to_rotations(joints)).astype(np.float32)

    return [
        replace(
            clip,
            estimate=tracks(clip.estimate),
            groundtruth=tracks(clip.groundtruth),
            confidence=np.stack([clip.confidence[:, ends].mean(axis=1) for ends in sure], axis=1),
        )
        for clip in clips
    ]


def run(bench: Bench) -> Result:
    """Compare on rotations with every filter, tuned on rotations of training clips at speed 0.95 or more."""
    names = list(dict.fromkeys(clip.name for clip in bench.selection))
    # Filters of rotations take long; a third of the clips for a selection still is thousands of frames.
    kept = set(names if bench.quick else names[::3])
    selection = rotation_clips([clip for clip in bench.selection if clip.name in kept])
    searched = {key: MEASURES[key] for key in _SEARCHED}
    tried = try_all(lambda refiner: paired_scores(selection, refiner, searched), bench)
    chosen = {
        name: {
            mode: best([t for t in tried if t.name == name], mode, "geodesic_deg").setting for mode in tried[0].scores
        }
        for name in GRIDS
    }
    validation = rotation_clips(bench.validation)
    refiners = {"raw": raw, **{name: by_mode(name, chosen[name]) for name in GRIDS}, **networks(bench)}
    scores = score_rows(validation, refiners, MEASURES)
    protocol = (
        "Paired validation clips, 30 frames a second: local 6D rotations of the 14 joints of one small skeleton by "
        "inverse kinematics, estimate and truth alike; joint errors by forward kinematics of that skeleton, 15 joints, "
        "hip-centred. Filters are tuned for the geodesic error at speed 0.95 or more on rotations of "
        f"{len(kept)} training clips."
    )
    rows = [[mode, name, setting_text(by[mode])] for mode in tried[0].scores for name, by in chosen.items()]
    settings = Table("Settings found for rotations", protocol, {"mode": None, "filter": None, "setting": None}, rows)
    differs = (
        "rotations by inverse kinematics from MediaPipe's joints in place of SMPL poses; twist about a bone, which "
        "joints do not tell, is that of the smallest rotation from rest."
    )
    first = next(iter(bench.networks))
    table = mode_table("6D rotations", protocol, scores, MEASURES)
    return Result(differs, losses(first, scores, MEASURES), [table, settings], settings=chosen)
