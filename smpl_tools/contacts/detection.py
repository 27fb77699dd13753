"""When feet stand on the ground, from heights and speeds with hysteresis, and how much standing feet slide.

Heights are in metres and speeds in metres a second, so that thresholds mean the same at every frame rate and in every
unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import label

from smoothnet_core._checks import check_positive, mismatch
from smpl_tools.contacts.ground import Ground, check_positions, ground_plane, smooth_motion, up_axis

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class ContactSettings:
    """When a joint of a foot counts as standing.

    Attributes:
        enter_height: metres above where it stands, at most, for a contact to be found.
        leave_height: the same for a contact that was found to go on.
        enter_speed: metres a second, at most, for a contact to be found.
        leave_speed: the same for a contact that was found to go on.
        smoothing: standard deviation in seconds of the Gaussian through which heights and speeds are seen.
        shortest: seconds; shorter contacts are none.
        bridged: seconds; contacts that are no farther apart are one.
    """

    enter_height: float = 0.03
    leave_height: float = 0.05
    enter_speed: float = 0.15
    leave_speed: float = 0.3
    smoothing: float = 0.04
    shortest: float = 0.1
    bridged: float = 0.05

    def __post_init__(self) -> None:
        check_positive("contact setting", self, ("enter_height", "leave_height", "enter_speed", "leave_speed"))
        for name in ("height", "speed"):
            enter, leave = getattr(self, f"enter_{name}"), getattr(self, f"leave_{name}")
            if leave < enter:
                raise mismatch(f"contact setting leave_{name}", f"at least enter_{name}, {enter}", leave)
        for name in ("smoothing", "shortest", "bridged"):
            if getattr(self, name) < 0:
                raise mismatch(f"contact setting {name}", "seconds, 0 or more", getattr(self, name))


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
    smooth, velocity = smooth_motion(x, fps, settings.smoothing)
    height = ground.heights(smooth)
    speed = np.linalg.norm(velocity, axis=-1) * metres
    found = seen & (height <= settings.enter_height) & (speed <= settings.enter_speed)
    going_on = seen & (height <= settings.leave_height) & (speed <= settings.leave_speed)
    result = np.zeros_like(found)
    for joint in range(x.shape[1]):
        runs, count = label(going_on[:, joint])
        hit = np.unique(runs[found[:, joint]])
        standing = np.isin(runs, hit[hit > 0]) if count else going_on[:, joint]
        result[:, joint] = _without_short(~_without_short(~standing, settings.bridged * fps), settings.shortest * fps)
    return result


def _without_short(flags: Flags, frames: float) -> Flags:
    """Return flags (T,) without runs shorter than that many frames; runs at either end stay."""
    runs, count = label(flags)
    lengths = np.bincount(runs, minlength=count + 1)
    short = lengths + 1e-6 < frames
    short[[0, runs[0], runs[-1]]] = False
    return flags & ~short[runs]


def foot_slide(
    positions: ArrayLike, contact: ArrayLike, *, fps: float, up: str = "y", metres: float = 1.0
) -> Array:
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
