"""The 1-Euro filter: a causal low-pass whose cutoff rises with speed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import rotations
from smoothnet_core.filters._common import checked_fps, filtered, not_negative, positive

Array = NDArray[np.float64]


def one_euro(
    track: Any,
    *,
    fps: float | None = None,
    kind: str = "position",
    strength: float = 1.0,
    mask: Any = None,
    confidence: Any = None,
    order: str = "columns",
    min_cutoff: float = 1.0,
    beta: float = 0.7,
    d_cutoff: float = 1.0,
) -> Any:
    """Low-pass causally, the less the faster the movement (G. Casiez, N. Roussel, D. Vogel, CHI 2012, algorithm 1).

    The speed is that of the whole vector, not of each coordinate, so that turning the scene turns the result. Rotations
    go the fraction of the way to the new one that numbers would (slerp), and their speed is the angular speed. Like
    every causal filter it lags behind.

    Args:
        track: (T, ...); this and the shared arguments as :mod:`smoothnet_core.filters` says.
        min_cutoff: cutoff at rest in Hz.
        beta: Hz of cutoff for each unit of speed: the track's unit, or radians, a second. The default suits metres and
            radians; pixels and centimetres need one that is as many times smaller as their numbers are larger.
        d_cutoff: cutoff in Hz of the low-pass on the speed.
    """
    rate = checked_fps(fps)
    positive("min_cutoff", min_cutoff)
    not_negative("beta", beta)
    speed_gain = _gain(np.asarray(positive("d_cutoff", d_cutoff)), rate)

    def smooth(prepared: Any) -> Array:
        x = prepared.values
        if prepared.is_rotation:
            x = x.reshape(*x.shape[:2], 3, 3)
        result = np.empty_like(x)
        state = result[0] = x[0]
        velocity = 0.0
        for t in range(1, len(x)):
            step = _difference(x[t], state, prepared.is_rotation)
            velocity = velocity + speed_gain * (step * rate - velocity)
            speed = np.linalg.norm(velocity, axis=-1, keepdims=True)
            move = _gain(min_cutoff + beta * speed, rate) * step
            state = state @ rotations.axis_angle_to_matrix(move) if prepared.is_rotation else state + move
            result[t] = state
        return result.reshape(prepared.values.shape)

    return filtered(track, smooth, kind=kind, strength=strength, mask=mask, confidence=confidence, order=order)


def _gain(cutoff: Array, rate: float) -> Array:
    """Return the share of a new sample in a first-order low-pass."""
    return 1 / (1 + rate / (2 * math.pi * cutoff))


def _difference(new: Array, old: Array, is_rotation: bool) -> Array:
    """Return (N, D) the way from old to new; for rotations (N, 3), the rotation vector in the bone's own axes."""
    return rotations.matrix_to_axis_angle(old.swapaxes(-1, -2) @ new) if is_rotation else new - old
