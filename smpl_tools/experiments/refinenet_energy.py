"""The refinement of Veges and Lorincz (ICONIP 2020): the sequence of poses of least energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded
from scipy.ndimage import median_filter

from smoothnet_core._checks import mismatch

Array = NDArray[np.float64]

# Frames of the median that steadies the visibility.
_VISIBILITY_FRAMES = 9
# A sequence that nobody sees has no position at all without some faith in the estimate.
_LEAST_VISIBILITY = 0.01
# Every iteration lowers the energy; after so many it hardly changes.
_ITERATIONS = 10


@dataclass(frozen=True)
class Energy:
    """Weights of the terms of :func:`energy`.

    Attributes:
        smooth: of the step from one frame to the next.
        bridge: of the step over ``stride`` frames where the person is not seen.
        stride: frames.
        cap: metres; an estimate farther away than this counts no more than one at this distance.
    """

    smooth: float = 3.0
    bridge: float = 0.0
    stride: int = 20
    cap: float = 0.2


def energy(refined: Array, estimate: Array, visibility: Array, weights: Energy) -> float:
    """Return the energy of refined poses (T, J, 3) of an estimate (T, J, 3), both in metres.

    For each joint ``sum_t v_t min(|y_t - x_t|^2, cap^2) + smooth sum_t |y_t+1 - y_t|^2 + bridge sum_t (1 - v_t)
    |y_t+stride - y_t|^2``: a robust distance from the estimate x, weighted by visibility v (T,), and penalties on
    movement that bridge what is not seen (M. Veges and A. Lorincz, "Temporal smoothing for 3D human pose estimation and
    localization for occluded people", ICONIP 2020).
    """
    seen = _steady(visibility)
    distance = np.square(refined - estimate).sum(-1)
    total = np.sum(seen[:, None] * np.minimum(distance, weights.cap**2))
    total += weights.smooth * np.square(np.diff(refined, axis=0)).sum()
    steps = refined[weights.stride :] - refined[: -weights.stride]
    hidden = 1 - seen[: len(steps), None, None]
    return float(total + weights.bridge * np.sum(hidden * np.square(steps)))


def least_energy(estimate: Array, visibility: Array, weights: Energy) -> Array:
    """Return the poses (T, J, 3) that :func:`energy` is least for, from an estimate (T, J, 3) in metres without gaps.

    A capped distance is at most the distance itself where that is below the cap, and a constant elsewhere; so joint for
    joint a banded linear system gives the least of a bound, and repeating that never raises the energy. It is one of
    its local minima, the one found from the estimate.

    Args:
        estimate: (T, J, 3) metres, finite.
        visibility: (T,) in [0, 1]; a median over 9 frames is used.
        weights: of the terms.

    Raises:
        ValueError: the shapes do not fit together.
    """
    if estimate.ndim != 3 or visibility.shape != estimate.shape[:1]:
        raise mismatch("shape of visibility", f"{estimate.shape[:1]}, as the estimate's frames", visibility.shape)
    seen = _steady(visibility)
    smoothness = _bands(seen, weights)
    refined = np.array(estimate, np.float64)
    for joint in range(estimate.shape[1]):
        x = refined[:, joint].copy()
        for _ in range(_ITERATIONS):
            trusted = seen * (np.square(refined[:, joint] - x).sum(-1) <= weights.cap**2)
            system = smoothness.copy()
            # A joint that is trusted in no frame is left where it was by this, too small to matter elsewhere.
            system[0] += np.maximum(trusted, 1e-9)
            refined[:, joint] = solveh_banded(system, np.maximum(trusted, 1e-9)[:, None] * x, lower=True)
    return refined


def _steady(visibility: Array) -> Array:
    return np.maximum(median_filter(visibility, _VISIBILITY_FRAMES, mode="nearest"), _LEAST_VISIBILITY)


def _bands(seen: Array, weights: Energy) -> Array:
    """Return the lower bands of the quadratic form of both penalties on movement."""
    frames = len(seen)
    bands = np.zeros((min(weights.stride, frames - 1) + 1, frames))
    terms = ((1, np.full(frames, weights.smooth)), (weights.stride, weights.bridge * (1 - seen)))
    for stride, weight in terms:
        if stride < frames:
            weight = weight[: frames - stride]
            bands[0, : frames - stride] += weight
            bands[0, stride:] += weight
            bands[stride, : frames - stride] -= weight
    return bands
