"""When feet stand on the ground, from heights and speeds with hysteresis, and how much standing feet slide.

Heights are in metres and speeds in metres a second, so that thresholds mean the same at every frame rate and in every
unit. What an estimator leaves of its errors after refinement is slow, and makes feet that stand move: thresholds grow
with how much they seem to. Their values are the best found on some subjects (``benchmarks/contacts.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.contacts.ground import Ground, check_positions, ground_plane, smooth_motion, up_axis

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


# How noise is seen: through a Gaussian of this standard deviation in seconds, and which quantile over time.
_NOISE_SECONDS, _NOISE_QUANTILE = 0.08, 0.25


@dataclass(frozen=True)
class ContactSettings:
    """When a joint of a foot counts as standing.

    A contact is found where the joint is at most at ``height`` and as fast as ``speed``, and goes on as long as it is
    at most at ``leave_height`` and as fast as ``leave_speed``. Each pair is for a quiet motion and for a noisy one, by
    :func:`noise_level`; in between lies a straight line.

    Attributes:
        height: metres above where the joint stands.
        leave_height: the same, for a contact to go on.
        speed: metres a second.
        leave_speed: the same, for a contact to go on.
        smoothing: standard deviation in seconds of the Gaussian through which heights and speeds are seen.
        bridged: seconds; contacts that are no farther apart are one.
        noise: metres a second up to which a motion is quiet, and from which on it is noisy.
        shortest: seconds; shorter contacts are none.
    """

    height: tuple[float, float] = (0.04, 0.22)
    leave_height: tuple[float, float] = (0.05, 0.28)
    speed: tuple[float, float] = (0.12, 0.45)
    leave_speed: tuple[float, float] = (0.18, 0.9)
    smoothing: tuple[float, float] = (0.04, 0.12)
    bridged: tuple[float, float] = (0.05, 0.1)
    noise: tuple[float, float] = (0.045, 0.08)
    shortest: float = 0.1

    def __post_init__(self) -> None:
        for name in ("height", "leave_height", "speed", "leave_speed", "smoothing", "bridged", "noise"):
            pair = getattr(self, name)
            if len(pair) != 2 or not 0 <= pair[0] <= pair[1]:
                raise mismatch(f"contact setting {name}", "two numbers from 0 on, the first not above the second", pair)
        for name in ("height", "speed"):
            for enter, leave in zip(getattr(self, name), getattr(self, f"leave_{name}"), strict=True):
                if leave < enter:
                    raise mismatch(f"contact setting leave_{name}", f"at least the {name}, {enter}", leave)
        if not self.shortest >= 0:
            raise mismatch("contact setting shortest", "seconds, 0 or more", self.shortest)

    def between(self, noise: float, pair: tuple[float, float]) -> float:
        """Return the number for a motion with that :func:`noise_level`, of a pair for a quiet and a noisy one."""
        quiet, noisy = self.noise
        share = float(np.clip((noise - quiet) / max(noisy - quiet, 1e-9), 0, 1))
        return (1 - share) * pair[0] + share * pair[1]


DEFAULT = ContactSettings()


def contacts(
    positions: ArrayLike,
    *,
    fps: float,
    up: str = "y",
    metres: float = 1.0,
    kinds: ArrayLike | None = None,
    ground: Ground | None = None,
    settings: ContactSettings = DEFAULT,
) -> Flags:
    """Return (T, F): whether each joint of the feet stands.

    Args:
        positions: (T, F, 3) of joints that touch the ground or are just above it: heels or ankles, toes. NaN is not
            observed, and no contact; through shorter gaps than ``settings.bridged`` a contact goes on.
        fps: frames a second.
        up: the axis that points up: ``x``, ``y``, ``z``, or with a minus where it points down.
        metres: one unit of the positions in metres.
        kinds: (F,) equal for joints of the same kind, see :func:`smpl_tools.contacts.ground.ground_plane`.
        ground: where the ground is; None finds it.
        settings: thresholds.

    Raises:
        ValueError: another shape, or an argument out of range.
    """
    x = check_positions(positions, fps, metres)
    seen = np.isfinite(x).all(-1)
    if not seen.any():
        return np.zeros(x.shape[:2], bool)
    if ground is None:
        ground = ground_plane(x, fps=fps, up=up, metres=metres, kinds=kinds)
    noise = noise_level(x, fps=fps, metres=metres)
    smooth, velocity = smooth_motion(x, fps, settings.between(noise, settings.smoothing))
    height, speed = ground.heights(smooth), np.linalg.norm(velocity, axis=-1) * metres

    def within(highest: tuple[float, float], fastest: tuple[float, float]) -> Flags:
        return (height <= settings.between(noise, highest)) & (speed <= settings.between(noise, fastest))

    found = seen & within(settings.height, settings.speed)
    going_on = seen & within(settings.leave_height, settings.leave_speed)
    bridged, shortest = settings.between(noise, settings.bridged) * fps, settings.shortest * fps
    result = np.zeros_like(found)
    for joint in range(x.shape[1]):
        for run in runs(going_on[:, joint]):
            result[run, joint] = found[run, joint].any()
        result[:, joint] = _without_short(~_without_short(~result[:, joint], bridged), shortest)
    return result


def noise_level(positions: ArrayLike, *, fps: float, metres: float = 1.0) -> float:
    """Return how fast feet that stand seem to move, in metres a second: what is noise, or sliding, in the motion.

    In every frame the slowest joint counts, and of those the lowest quarter over time: unless everybody is in the air
    for three quarters of a take, that is a foot that stands.

    Args:
        positions: (T, F, 3) of the joints of feet of both sides.
        fps: frames a second.
        metres: one unit of the positions in metres.
    """
    x = check_positions(positions, fps, metres)
    seen = np.isfinite(x).all(-1)
    if not seen.any():
        return 0.0
    speed = np.linalg.norm(smooth_motion(x, fps, _NOISE_SECONDS)[1], axis=-1) * metres
    slowest = np.where(seen, speed, np.inf).min(axis=1)
    return float(np.quantile(slowest[np.isfinite(slowest)], _NOISE_QUANTILE))


def foot_slide(positions: ArrayLike, contact: ArrayLike, *, fps: float, up: str = "y", metres: float = 1.0) -> Array:
    """Return how fast (F,) in mm/s each joint moves along the ground while it stands: the mean over steps from one
    frame in contact to the next in contact; NaN for a joint that never stands for two frames.

    Args:
        positions: (T, F, 3).
        contact: (T, F) bool, e.g. of :func:`contacts`. To compare motions give each the contacts of the same one.
        fps: frames a second.
        up: as in :func:`contacts`.
        metres: one unit of the positions in metres.

    Raises:
        ValueError: another shape, or an argument out of range.
    """
    x = check_positions(positions, fps, metres)
    standing = np.asarray(contact, bool)
    if standing.shape != x.shape[:2]:
        raise mismatch("shape of contact", x.shape[:2], standing.shape)
    steps = np.diff(x, axis=0)
    axis = up_axis(up)
    along = np.linalg.norm(steps - (steps @ axis)[..., None] * axis, axis=-1) * (1000 * metres * fps)
    counted = standing[1:] & standing[:-1] & np.isfinite(along)
    total, count = np.where(counted, along, 0.0).sum(axis=0), counted.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def runs(flags: Flags) -> list[slice]:
    """Return the runs of True in flags (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int))).tolist()
    return [slice(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _without_short(flags: Flags, frames: float) -> Flags:
    """Return flags (T,) without runs shorter than that many frames; runs at either end stay."""
    result = flags.copy()
    for run in runs(flags):
        if run.stop - run.start + 1e-6 < frames and run.start > 0 and run.stop < len(flags):
            result[run] = False
    return result
