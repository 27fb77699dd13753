"""Fast motion given back to refined rotations, and slow motion smoothed further, by the kind of noise. Without Blender.

A network that smooths takes more than noise from what turns fast. What it took away is noise and motion together; of
white noise a short average leaves a known share, of motion nearly all. So the average of what was taken away is given
back by as much as it exceeds that share: by ``1 - noise / size`` of the squares, and nothing below (the shrinkage of
W. James and C. Stein, "Estimation with quadratic loss", 1961). To smooth what a smoother left, and to add it, is the
twicing of J. W. Tukey, "Exploratory Data Analysis", 1977.

That is right for noise that is even (see :mod:`.noise_kinds`), and where there is hardly any. Uneven errors last for
some frames, as motion does: given back, they would do harm, and where a bone turns slowly more of them can go.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .noise_kinds import RATE, NoiseKind, averaged, gaussian
from .quaternions import dots

Array32 = NDArray[np.float32]
Floats = NDArray[Any]
Flags = NDArray[np.bool_]

# All found on clean capture with noise laid over it and on paired clips, of subjects on whom nothing is reported.
# Standard deviations in frames at 30 a second: of the average of what was taken away, and of its size.
_AVERAGED, _SIZED = 0.7, 1.5
# What noise leaves, in sizes of its root mean square: what exceeds this is motion.
_OVER_NOISE = 1.5
# Standard deviations in frames at 30 a second: of what smooths slow motion further, and of its speed.
_SMOOTHED, _SPEED_OVER = 2.0, 5.0
# From slow to fast: degrees in a frame at 30 a second.
_SLOW = (6.0, 12.0)


def protect_fast(kind: NoiseKind, after_quat_wxyz: Floats, mask: Flags, fps: float) -> Floats:
    """Return refined rotations to which fast motion was given back where noise is even.

    Turning the scene, or a bone's roll, turns the result.

    Args:
        kind: of the original's noise.
        after_quat_wxyz: (T, B, 4) refined, of either sign.
        mask: (T, B) False where the original is not believed: nothing of it is given back.
        fps: frames a second.

    Returns:
        (T, B, 4) unit quaternions in float32, of either sign; what came in, where nothing changes.
    """
    some = np.flatnonzero(kind.even > 0)
    if not len(some):
        return after_quat_wxyz
    new, old = _aligned(after_quat_wxyz, kind, some)
    taken = old - new
    if not mask.all():
        taken *= _of(mask.T, some, 0)
    lasting = averaged(taken, _AVERAGED * fps / RATE)
    size = averaged(dots(lasting, lasting)[None], _SIZED * fps / RATE)[0]
    # Half an angle is the number.
    left = np.radians(_OVER_NOISE / 2.0) ** 2 * np.square(gaussian(_AVERAGED * fps / RATE)).sum()
    given = 1.0 - np.float32(left) * np.square(_of(kind.size, some, 0)) / np.maximum(size, np.float32(1e-20))
    np.maximum(given, 0.0, out=given)
    given *= kind.even[some, None].astype(np.float32)
    lasting *= given
    return _changed(after_quat_wxyz, some, new, lasting)


def steady_slow(kind: NoiseKind, after_quat_wxyz: Floats, fps: float) -> Floats:
    """Return refined rotations smoothed further where noise is uneven and the bone turns slowly.

    Turning the scene, or a bone's roll, turns the result.

    Args:
        kind: of the original's noise.
        after_quat_wxyz: (T, B, 4) refined, of either sign.
        fps: frames a second.

    Returns:
        (T, B, 4) unit quaternions in float32, of either sign; what came in, where nothing changes.
    """
    some = np.flatnonzero(kind.uneven > 0)
    if not len(some):
        return after_quat_wxyz
    new, _ = _aligned(after_quat_wxyz, kind, some)
    steps = new[..., 1:] - new[..., :-1]
    squares = dots(steps, steps)
    squares = averaged(np.concatenate([squares[:, :1], squares], axis=1)[None], _SPEED_OVER * fps / RATE)[0]
    speed = np.sqrt(squares) * np.float32(np.degrees(2.0) * fps / RATE)
    slow = np.clip((np.float32(_SLOW[1]) - speed) / np.float32(_SLOW[1] - _SLOW[0]), 0.0, 1.0)
    slow *= slow * (3.0 - 2.0 * slow)
    change = averaged(new, _SMOOTHED * fps / RATE)
    change -= new
    slow *= kind.uneven[some, None].astype(np.float32)
    change *= slow
    return _changed(after_quat_wxyz, some, new, change)


def _aligned(after: Floats, kind: NoiseKind, some: NDArray[np.intp]) -> tuple[Array32, Array32]:
    """Return rotations (4, S, T) of some bones with the signs of the original, and the original."""
    new, old = np.array(_of(after.T, some, 1), np.float32, order="C"), _of(kind.rotations, some, 1)
    other = dots(old, new) < 0
    if other.any():
        new *= np.where(other, np.float32(-1.0), np.float32(1.0))
    return new, old


def _of(values: NDArray, some: NDArray[np.intp], axis: int) -> NDArray:
    """Return values of some bones, without a copy where these are all."""
    return values if len(some) == values.shape[axis] else np.take(values, some, axis=axis)


def _changed(whole: Floats, some: NDArray[np.intp], own: Array32, change: Array32) -> Array32:
    """Return rotations (T, B, 4), those of some bones (4, S, T) with a change of theirs, of unit length."""
    new = own + change
    new /= np.sqrt(dots(new, new))
    if len(some) == whole.shape[1]:
        return new.T
    out = np.array(whole.T, np.float32, order="C")
    out[:, some] = new
    return out.T
