"""How a refiner does on paired clips: the numbers of the model card and of ``benchmarks/accuracy.py``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from smoothnet_core import metrics
from smpl_tools.sources import PairedClip

# The joints of the paired set: the root is the middle of the hips; wrists and ankles are what moves fast.
_HIPS, _LIMBS = (7, 8), (5, 6, 11, 12)
COLUMNS = ("mpjpe_mm", "pa_mpjpe_mm", "accel_mm_per_frame2", "speed_ratio", "jitter_ratio")

Refiner = Callable[[PairedClip], Any]


def paired_scores(clips: Sequence[PairedClip], refiner: Refiner) -> dict[str, dict[str, float]]:
    """Return, for each mode, frame-weighted means over clips of ``COLUMNS``.

    Args:
        clips: paired clips.
        refiner: returns the refined (T, J, 3) of a clip, without gaps.
    """
    rows: dict[str, list[tuple[int, list[float]]]] = {}
    for clip in clips:
        output, truth = np.asarray(refiner(clip), np.float64), clip.groundtruth.astype(np.float64)
        values = [
            float(np.mean(metrics.mpjpe(output, truth, root=_HIPS))),
            float(np.mean(metrics.pa_mpjpe(output, truth))),
            float(np.mean(metrics.accel(output, truth))),
            float(metrics.speed_ratio(output, truth, joints=_LIMBS)),
            float(metrics.jitter_ratio(output, truth)),
        ]
        rows.setdefault(clip.mode, []).append((len(truth), values))
    return {
        mode: dict(
            zip(COLUMNS, np.average([v for _, v in parts], axis=0, weights=[n for n, _ in parts]).tolist(), strict=True)
        )
        for mode, parts in rows.items()
    }


def score_table(scores: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return a Markdown table of ``{name of the refiner: paired_scores(...)}``."""
    lines = [
        "| estimator mode | refiner | MPJPE mm | PA-MPJPE mm | Accel mm/frame^2 | speed ratio | jitter ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for mode in next(iter(scores.values())):
        for name, by_mode in scores.items():
            s = [by_mode[mode][column] for column in COLUMNS]
            lines.append(f"| {mode} | {name} | {s[0]:.1f} | {s[1]:.1f} | {s[2]:.2f} | {s[3]:.2f} | {s[4]:.2f} |")
    return "\n".join(lines)
