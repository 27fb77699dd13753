"""Where the ground is, from where feet are low and slow.

Level or sloping, at any height, in any unit, and one plane for the whole take: on stairs, and where the captured scene
sinks or rises by more than a few centimetres, only the level on which the feet stand longest at the bottom is found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import least_squares

from smoothnet_core._checks import mismatch, one_of

Array = NDArray[np.float64]

UP: tuple[str, ...] = ("x", "y", "z", "-x", "-y", "-z")
# A foot below this speed, in metres a second, may be standing.
SLOW = 0.3
# Heights of a foot that stands spread over about this much, in metres.
_BAND = 0.03
# The lowest band that is at least this full, beside the fullest, is where the foot stands.
_FULL = 0.3
# Feet of one kind, left and right, stand equally high but for this, in metres.
_UNEVEN = 0.04


@dataclass(frozen=True, eq=False)
class Ground:
    """A plane, and how high above it the joints of standing feet are.

    Attributes:
        normal: (3,) of length 1, upwards; in the scene's axes.
        level: the plane's distance from the origin along the normal, metres: where the lowest of the joints stands.
        rest: (F,) height in metres above the plane at which each of the joints stands.
        metres: one unit of the positions.
    """

    normal: Array
    level: float
    rest: Array
    metres: float

    def heights(self, positions: ArrayLike) -> Array:
        """Return the heights (T, F) in metres of the F joints (T, F, 3) above where each of them stands."""
        return np.asarray(positions, np.float64) @ self.normal * self.metres - self.level - self.rest


def up_axis(up: str) -> Array:
    """Return the unit vector (3,) of an axis ``x``, ``y``, ``z``, or with a minus where it points down."""
    one_of("up", up, UP)
    axis = np.zeros(3)
    axis["xyz".index(up[-1])] = -1.0 if up[0] == "-" else 1.0
    return axis


def ground_plane(
    positions: ArrayLike,
    *,
    fps: float,
    up: str = "y",
    metres: float = 1.0,
    kinds: ArrayLike | None = None,
    slope: bool = False,
    smoothing: float = 0.05,
) -> Ground:
    """Find the ground.

    A joint stands at the lowest height, within ``_BAND``, at which it is often slow. Of joints of one kind whose
    heights differ by more than ``_UNEVEN`` the higher one never stood, and gets the other's.

    Args:
        positions: (T, F, 3) of joints of feet; NaN is not observed.
        fps: frames a second.
        up: see :func:`up_axis`.
        metres: one unit of the positions in metres.
        kinds: (F,) equal where joints are of the same kind, e.g. 0 for both ankles and 1 for both toes; None takes
            every joint for one of its own.
        slope: let the plane tilt towards where slow feet are; needs a take that gets about.
        smoothing: standard deviation in seconds of the Gaussian that velocities are taken with.

    Raises:
        ValueError: another shape, an argument out of range, or no observed position.
    """
    x = check_positions(positions, fps, metres) * metres
    kinds = np.arange(x.shape[1]) if kinds is None else np.asarray(kinds)
    if kinds.shape != x.shape[1:2]:
        raise mismatch("shape of kinds", x.shape[1:2], kinds.shape)
    seen = np.isfinite(x).all(-1)
    if not seen.any():
        raise mismatch("positions of feet", "at least one observed value", "none")
    normal = up_axis(up)
    smooth, velocity = smooth_motion(x, fps, smoothing)
    speed = np.where(seen, np.linalg.norm(velocity, axis=-1), np.nan)
    slow = _slow(speed)
    rest = _standing(np.where(slow, smooth @ normal, np.nan), kinds)
    if slope:
        normal, rest = _tilted(smooth, slow, normal, rest, kinds)
    level = float(np.nanmin(rest))
    return Ground(normal, level, rest - level, float(metres))


def check_positions(positions: ArrayLike, fps: float, metres: float) -> Array:
    """Return positions (T, F, 3) as float64, NaN where one of the three numbers is not finite.

    Raises:
        ValueError: another shape, or a rate or unit that is not a positive number.
    """
    x = np.asarray(positions, np.float64)
    if x.ndim != 3 or x.shape[2] != 3:
        raise mismatch("shape of positions", "(T, F, 3)", x.shape)
    for what, value in (("fps", fps), ("metres in one unit", metres)):
        if not (np.isfinite(value) and value > 0):
            raise mismatch(what, "a positive number", value)
    return np.where(np.isfinite(x).all(-1, keepdims=True), x, np.nan)


def smooth_motion(positions: Array, fps: float, seconds: float) -> tuple[Array, Array]:
    """Return positions (T, F, 3) after a Gaussian of that standard deviation, and their velocities per second.

    Gaps are bridged by straight lines; beyond the ends the motion goes on as its point reflection.
    """
    x = positions.copy()
    time = np.arange(len(x))
    for column in x.reshape(len(x), -1).T:
        seen = np.isfinite(column)
        column[:] = np.interp(time, time[seen], column[seen]) if seen.any() else 0.0
    sigma = seconds * fps
    pad = min(len(x) - 1, int(4 * sigma + 1))
    if pad < 1:
        return x, np.zeros_like(x)
    padded = np.concatenate([2 * x[:1] - x[pad:0:-1], x, 2 * x[-1:] - x[-2 : -pad - 2 : -1]])
    inner = slice(pad, pad + len(x))
    smooth = gaussian_filter1d(padded, sigma, axis=0, mode="nearest") if sigma > 0 else padded
    return smooth[inner], np.gradient(smooth, axis=0)[inner] * fps


def _slow(speed: Array) -> NDArray[np.bool_]:
    """Return (T, F) where a joint may be standing: below ``SLOW``, or in its slowest tenth if it hardly ever is."""
    slow = speed < SLOW
    for joint, column in enumerate(speed.T):
        seen = np.isfinite(column)
        if seen.any() and slow[:, joint].sum() < 0.05 * seen.sum():
            slow[:, joint] = column <= np.nanquantile(column, 0.1)
    return slow


def _standing(heights: Array, kinds: NDArray[np.generic]) -> Array:
    """Return (F,) the height at which each joint stands, of heights (T, F), NaN where it is not slow."""
    rest = np.array([_lowest_band(column[np.isfinite(column)]) for column in heights.T])
    for kind in np.unique(kinds):
        own = kinds == kind
        if np.isfinite(rest[own]).any():
            lowest = np.nanmin(rest[own])
            rest[own] = np.where(rest[own] <= lowest + _UNEVEN, rest[own], lowest)
    return rest


def _lowest_band(heights: Array) -> float:
    """Return the median of the lowest band of heights (N,) that is nearly as full as the fullest; NaN of none."""
    if not len(heights):
        return np.nan
    ordered = np.sort(heights)
    counts = np.searchsorted(ordered, ordered + _BAND, side="right") - np.arange(len(ordered))
    start = int(np.argmax(counts >= _FULL * counts.max()))
    # From there up to where it is fullest nearby.
    near = ordered <= ordered[start] + _BAND
    best = int(np.argmax(np.where(near, counts, 0)))
    return float(np.median(ordered[best : best + counts[best]]))


def _tilted(
    positions: Array, slow: NDArray[np.bool_], up: Array, rest: Array, kinds: NDArray[np.generic]
) -> tuple[Array, Array]:
    """Return normal and standing heights of the plane that fits slow feet best, those above it counting less."""
    across = np.eye(3)[[a for a in range(3) if up[a] == 0]]
    frame, joint = np.nonzero(slow & np.isfinite(rest))
    at = positions[frame, joint]
    middle = at.mean(axis=0)
    flat, height = (at - middle) @ across.T, at @ up
    groups = np.unique(kinds[joint], return_inverse=True)[1]
    start = np.array([np.median(rest[joint[groups == g]]) for g in range(groups.max() + 1)])

    def off(solution: Array) -> Array:
        residual = (height - flat @ solution[:2] - solution[2:][groups]) / (_BAND / 2)
        # A foot in the air is slow now and then, below the ground it never is.
        return np.where(residual > 0, np.sqrt(np.log1p(residual**2)), residual)

    found = least_squares(off, np.concatenate([[0.0, 0.0], start])).x
    normal = up - found[:2] @ across
    length = np.linalg.norm(normal)
    heights = np.where(slow, positions @ (normal / length), np.nan)
    return normal / length, _standing(heights, kinds)
