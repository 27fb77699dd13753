"""What smoothing could reach if it knew the truth: the best of several filters for every joint and stretch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from smpl_tools.experiments.frame import Bench, Table
from smpl_tools.experiments.refiners import filtering
from smpl_tools.experiments.tuning import PROTOCOL
from smpl_tools.sources import PairedClip

# From hardly any smoothing to far too much, (size, sigma) of the median filter.
_STRENGTHS = ((3, 0.7), (5, 1.0), (5, 1.5), (7, 2.0), (7, 3.0), (9, 4.0), (9, 6.0))
_STRETCHES = (8, 16, 32)


def informed_table(bench: Bench) -> Table:
    """Return the Accel and the speed of the choice that the truth itself makes, for stretches of several lengths.

    For every joint and stretch the setting with the lowest mean acceleration error is taken; no blending between
    stretches is charged for. So this bounds from below what a network that sets the strength of such a filter can do.
    """
    rows = []
    for mode in dict.fromkeys(clip.mode for clip in bench.validation):
        clips = [clip for clip in bench.validation if clip.mode == mode]
        measured = [_errors_and_speeds(clip) for clip in clips]
        for size, sigma, errors in zip(*zip(*_STRENGTHS, strict=True), _fixed(measured), strict=True):
            rows.append([mode, f"median, size {size}, sigma {sigma:g}, always", *errors])
        rows += [[mode, f"the best for each {n} frames", *_chosen(measured, n)] for n in _STRETCHES]
    columns = {"mode": None, "strength": None, "Accel mm/frame²": 2, "mean speed": 2}
    return Table(
        "If the truth chose the strength",
        f"{PROTOCOL} For every joint and stretch of frames, the one of these settings whose acceleration is nearest to "
        "the truth's. Mean speed of all joints, output over truth.",
        columns,
        rows,
    )


def _errors_and_speeds(clip: PairedClip) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return acceleration errors and speeds (S, T - 2, J) in mm for S settings, and the truth's speeds (T - 2, J)."""
    truth = clip.groundtruth.astype(np.float64)
    outputs = [np.asarray(filtering("median", {"size": k, "sigma": s})(clip), np.float64) for k, s in _STRENGTHS]
    errors = np.stack([np.linalg.norm(np.diff(output - truth, 2, axis=0), axis=-1) for output in outputs])
    speeds = np.stack([_speed(output) for output in outputs])
    return 1e3 * errors, 1e3 * speeds, 1e3 * _speed(truth)


def _speed(track: NDArray[Any]) -> NDArray[Any]:
    return np.linalg.norm(np.diff(track, axis=0), axis=-1)[1:]


def _fixed(measured: list[Any]) -> list[tuple[float, float]]:
    errors = np.concatenate([m[0] for m in measured], axis=1)
    speeds = np.concatenate([m[1] for m in measured], axis=1)
    truth = np.concatenate([m[2] for m in measured])
    return [(float(e.mean()), float(s.sum() / truth.sum())) for e, s in zip(errors, speeds, strict=True)]


def _chosen(measured: list[Any], stretch: int) -> tuple[float, float]:
    error = moved = should = 0.0
    frames = 0
    for errors, speeds, truth in measured:
        starts = np.arange(0, errors.shape[1], stretch)
        by_stretch = np.add.reduceat(errors, starts, axis=1)
        best = by_stretch.argmin(axis=0)[None]
        error += np.take_along_axis(by_stretch, best, 0).sum()
        moved += np.take_along_axis(np.add.reduceat(speeds, starts, axis=1), best, 0).sum()
        should += truth.sum()
        frames += truth.size
    return float(error / frames), float(moved / should)
