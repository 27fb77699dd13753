"""A Kalman filter that expects constant velocity, and the smoother that goes back over it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.filters._common import checked_fps, filtered, positive

Array = NDArray[np.float64]

# Variance of the velocity (per frame) before anything was seen, in variances of a measurement: as good as unknown.
_UNKNOWN = 1e6
# A measurement of less confidence than this tells no less: its variance stays far from overflowing.
_LEAST_CONFIDENCE = 1e-9


def kalman(
    track: Any,
    *,
    fps: float | None = None,
    kind: str = "position",
    strength: float = 1.0,
    mask: Any = None,
    confidence: Any = None,
    order: str = "columns",
    cutoff: float = 3.0,
) -> Any:
    """Smooth with a constant-velocity model (H. Rauch, F. Tung, C. Striebel, AIAA Journal 3(8), 1965).

    White noise accelerates the state, white noise is on the measurements, and only the ratio of the two matters. It is
    given as a frequency: away from the ends, and well below ``fps / 2``, the smoother multiplies frequency f by
    ``1 / (1 + (f / cutoff)^4)``. The result is linear in the track. A gap is bridged by the model, not by a straight
    line; before the first and after the last observation the track is held. ``confidence`` c gives a measurement
    1 / c times the variance.

    Args:
        track: (T, ...); this and the shared arguments as :mod:`smoothnet_core.filters` says.
        cutoff: the frequency in Hz that is halved.
    """
    noise = (2 * math.pi * positive("cutoff", cutoff) / checked_fps(fps)) ** 4

    def smooth(prepared: Any) -> Array:
        observed = prepared.observed
        inside = np.logical_or.accumulate(observed) & np.logical_or.accumulate(observed[::-1])[::-1]
        weight = np.ones(observed.shape) if prepared.confidence is None else prepared.confidence
        weight = np.where(inside, np.maximum(weight, _LEAST_CONFIDENCE) * observed, 1.0)
        if (weight == 1).all():
            weight = weight[:, :1]  # the same gains for all
        return _smoothed(prepared.values, *_gains(weight, noise))

    return filtered(track, smooth, kind=kind, strength=strength, mask=mask, confidence=confidence, order=order)


def _gains(weight: Array, noise: float) -> tuple[Array, Array]:
    """Return the filter's gains (T, M, 2) on position and velocity, and the smoother's (T-1, M, 2, 2).

    Args:
        weight: (T, M), one over the variance of each measurement; 0 where there is none, above 0 in frame 0.
        noise: variance of the acceleration, per frame.
    """
    frames, count = weight.shape
    forward = np.zeros((frames, count, 2))
    backward = np.zeros((max(frames - 1, 0), count, 2, 2))
    p00, p01, p11 = 1 / weight[0], np.zeros(count), np.full(count, _UNKNOWN)
    for t in range(1, frames):
        a00, a01, a11 = p00 + 2 * p01 + p11 + noise / 3, p01 + p11 + noise / 2, p11 + noise
        # P F^T A^-1, where A is the covariance of the prediction.
        determinant = a00 * a11 - a01 * a01
        backward[t - 1, :, 0, 0] = ((p00 + p01) * a11 - p01 * a01) / determinant
        backward[t - 1, :, 0, 1] = (p01 * a00 - (p00 + p01) * a01) / determinant
        backward[t - 1, :, 1, 0] = ((p01 + p11) * a11 - p11 * a01) / determinant
        backward[t - 1, :, 1, 1] = (p11 * a00 - (p01 + p11) * a01) / determinant
        share = weight[t] / (weight[t] * a00 + 1)
        forward[t, :, 0], forward[t, :, 1] = a00 * share, a01 * share
        p00, p01, p11 = a00 - a00 * a00 * share, a01 - a00 * a01 * share, a11 - a01 * a01 * share
    return forward, backward


def _smoothed(x: Array, forward: Array, backward: Array) -> Array:
    """Run the filter forwards over x (T, N, D) and the smoother backwards, with the gains of :func:`_gains`."""
    position, velocity = np.zeros_like(x), np.zeros_like(x)
    position[0] = x[0]
    for t in range(1, len(x)):
        predicted = position[t - 1] + velocity[t - 1]
        surprise = x[t] - predicted
        position[t] = predicted + forward[t, :, :1] * surprise
        velocity[t] = velocity[t - 1] + forward[t, :, 1:] * surprise
    for t in range(len(x) - 2, -1, -1):
        late = position[t + 1] - position[t] - velocity[t]
        turn = velocity[t + 1] - velocity[t]
        gain = backward[t, :, None]
        position[t] += gain[..., 0, 0] * late + gain[..., 0, 1] * turn
        velocity[t] += gain[..., 1, 0] * late + gain[..., 1, 1] * turn
    return position
