"""What refinement does to motion that needs none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smoothnet_core import filters, refine
from smoothnet_core.rotations import geodesic_angle
from smpl_tools.experiments.frame import Bench, Result, Table
from smpl_tools.sources.clean import CleanClip, clean_clips

_RATES = (30.0, 60.0, 120.0)
# In millimetres and degrees, on average.
_AIMS = (3.0, 1.0)


def run(bench: Bench) -> Result:
    """Measure by how much positions and rotations of clean capture change at 30, 60 and 120 frames a second."""
    clips = [clip for clip in clean_clips(bench.clean_file) if clip.fps == 60]
    clips = clips[:2] if bench.quick else clips
    rows, behind = [], []
    for fps in _RATES:
        bench.say(f"  {fps:g} frames a second: {len(clips)} clips")
        for name in (*bench.networks, "median 5, 1.5"):
            changes = np.array([_changes(bench, name, clip.body().at(fps)) for clip in clips])
            means, worst = changes.mean(axis=0), changes.max(axis=0)
            rows.append([f"{fps:g}", name, means[0], worst[0], means[1], worst[1]])
            if name in bench.networks and (means > _AIMS).any():
                behind.append(f"`{name}` at {fps:g} frames a second: {means[0]:.2f} mm, {means[1]:.2f} degrees")
    columns = {
        "frames a second": None,
        "refiner": None,
        "mean change mm": 2,
        "worst clip mm": 2,
        "mean change degrees": 2,
        "worst clip degrees": 2,
    }
    table = Table(
        "By how much clean motion changes",
        f"{len(clips)} clips of CMU motion capture, 60 frames a second; 30 by leaving out every second frame, 120 by "
        "cubic splines and spherical interpolation. All joints but fingers and eyes; positions in the world, rotations "
        "local. Means over frames and joints, then over clips.",
        columns,
        rows,
    )
    lost = "above 3 mm or 1 degree: " + "; ".join(behind) + "." if behind else "nowhere: less than 3 mm and 1 degree."
    return Result("the paper has no such study. Our networks have seen some of this motion in training.", lost, [table])


def _changes(bench: Bench, name: str, clip: CleanClip) -> Sequence[float]:
    """Return the mean change of a clip in millimetres and in degrees."""

    def refined(track: np.ndarray, kind: str) -> np.ndarray:
        if name in bench.networks:
            return refine(track, fps=clip.fps, kind=kind, model=bench.networks[name])
        return filters.median(track, fps=clip.fps, kind=kind)

    moved = np.linalg.norm(refined(clip.positions, "position") - clip.positions, axis=-1)
    turned = geodesic_angle(refined(clip.rotations, "rotation_matrix"), clip.rotations)
    return 1000 * float(moved.mean()), float(np.degrees(turned).mean())
