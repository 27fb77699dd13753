"""How a refiner does on paired clips: the numbers of model cards and of the studies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import metrics
from smpl_tools.sources import PairedClip

Array = NDArray[np.float64]
Refiner = Callable[[PairedClip], Any]

# The joints of the paired set: the root is the middle of the hips; wrists and ankles are what moves fast.
HIPS, LIMBS = (7, 8), (5, 6, 11, 12)


@dataclass(frozen=True)
class Measure:
    """One column of a table.

    Attributes:
        heading: with the unit.
        decimals: that are printed.
        of: called with the output (T, J, ...), the truth of the same shape and the frames a second; returns one value,
            or one a frame.
        worst: take the mean over the worst 1 % of the frames of all clips together, instead of all of them.
        target: the best value: 0 of an error, 1 of a ratio to the truth.
    """

    heading: str
    decimals: int
    of: Callable[[Array, Array, float], float | Array]
    worst: bool = False
    target: float = 0.0

    def distance(self, value: float) -> float:
        """Return how far a value, rounded as it is printed, is from the best one; of no number, infinity."""
        return abs(round(value, self.decimals) - self.target) if math.isfinite(value) else math.inf


def _fastest(output: Array, truth: Array, fps: float) -> float:
    """Return the MPJPE over the 5 % of frames in which a wrist or an ankle of the truth is fastest."""
    speed = np.linalg.norm(np.diff(truth[:, LIMBS], axis=0), axis=-1).max(axis=1)
    errors = metrics.mpjpe(output, truth, root=HIPS)[1:]
    return float(errors[speed >= np.quantile(speed, 0.95)].mean())


def _pa_pixels(output: Array, truth: Array, fps: float) -> Array:
    """Return the distance (T,) in pixels after the best similarity transform of each frame, in complex numbers."""
    a, b = (x[..., 0] + 1j * x[..., 1] for x in (output, truth))
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    turn = (a.conj() * b).sum(axis=1, keepdims=True) / (np.abs(a) ** 2).sum(axis=1, keepdims=True)
    return np.abs(turn * a - b).mean(axis=1)


def _speed(output: Array, truth: Array, fps: float) -> float:
    return metrics.speed_ratio(output, truth, joints=LIMBS)


def _jitter(output: Array, truth: Array, fps: float) -> float:
    return metrics.jitter_ratio(output, truth)


MEASURES: dict[str, Measure] = {
    "mpjpe_mm": Measure("MPJPE mm", 1, lambda p, g, fps: metrics.mpjpe(p, g, root=HIPS)),
    "pa_mpjpe_mm": Measure("PA-MPJPE mm", 1, lambda p, g, fps: metrics.pa_mpjpe(p, g)),
    "accel_mm_per_frame2": Measure("Accel mm/frame²", 2, lambda p, g, fps: metrics.accel(p, g)),
    "speed_ratio": Measure("speed", 2, _speed, target=1.0),
    "jitter_ratio": Measure("jitter", 2, _jitter, target=1.0),
    "accel_mm_per_second2": Measure("Accel mm/s²", 0, lambda p, g, fps: metrics.accel(p, g, per="second2", fps=fps)),
    "mpjve_mm_per_frame": Measure("MPJVE mm/frame", 2, lambda p, g, fps: metrics.mpjve(p, g)),
    "fastest_mpjpe_mm": Measure("fastest 5 % mm", 1, _fastest),
    "worst_mpjpe_mm": Measure("MPJPE-1% mm", 1, lambda p, g, fps: metrics.mpjpe(p, g, root=HIPS), worst=True),
    "worst_accel_mm_per_frame2": Measure("Accel-1% mm/frame²", 1, lambda p, g, fps: metrics.accel(p, g), worst=True),
}
# Those of a model card.
COLUMNS = ("mpjpe_mm", "pa_mpjpe_mm", "accel_mm_per_frame2", "speed_ratio", "jitter_ratio")
PIXEL_MEASURES: dict[str, Measure] = {
    "error_px": Measure("MPJPE px", 2, lambda p, g, fps: metrics.pixel_error(p, g)),
    "pa_error_px": Measure("PA-MPJPE px", 2, _pa_pixels),
    "accel_px_per_frame2": Measure("Accel px/frame²", 2, lambda p, g, fps: metrics.pixel_accel(p, g)),
    "speed_ratio": MEASURES["speed_ratio"],
    "jitter_ratio": MEASURES["jitter_ratio"],
}


def paired_scores(
    clips: Sequence[PairedClip],
    refiner: Refiner,
    measures: Mapping[str, Measure] | None = None,
) -> dict[str, dict[str, float]]:
    """Return, for each mode, every measure: means over clips, each counting by its frames.

    Args:
        clips: paired clips.
        refiner: returns the refined clip, of the estimate's shape and without gaps.
        measures: by name; None takes the ``COLUMNS`` of ``MEASURES``.
    """
    chosen = {name: MEASURES[name] for name in COLUMNS} if measures is None else measures
    found: dict[str, dict[str, list[Any]]] = {}
    frames: dict[str, list[int]] = {}
    for clip in clips:
        output, truth = np.asarray(refiner(clip), np.float64), clip.groundtruth.astype(np.float64)
        frames.setdefault(clip.mode, []).append(len(truth))
        of_mode = found.setdefault(clip.mode, {name: [] for name in chosen})
        for name, measure in chosen.items():
            values = measure.of(output, truth, clip.fps)
            of_mode[name].append(values if measure.worst else float(np.mean(values)))
    return {
        mode: {
            name: metrics.worst(np.concatenate(of_mode[name]))
            if measure.worst
            else float(np.average(of_mode[name], weights=frames[mode]))
            for name, measure in chosen.items()
        }
        for mode, of_mode in found.items()
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
