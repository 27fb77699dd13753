"""Channels of all bones over time, from F-curves and from present values where there is no curve; without Blender."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch

from ..animation.curves import Curve, CurveKey, bone_path
from ..animation.rotation_modes import channel_name, to_quat_wxyz

Array = NDArray[np.float64]
Sampler = Callable[[CurveKey], "Array | None"]


@dataclass(frozen=True, eq=False)
class Channels:
    """Present values of the channels of B bones.

    Attributes:
        modes: B of Blender's rotation modes.
        rotations: of each bone the numbers of its mode: quat_wxyz, angle and axis, or three Euler angles x, y, z.
        locations: (B, 3).
        scales: (B, 3).
    """

    modes: tuple[str, ...]
    rotations: tuple[Array, ...]
    locations: Array
    scales: Array


class Pose(NamedTuple):
    """Bones over time: quat_wxyz (T, B, 4), locations (T, B, 3), scales (T, B, 3) or None where all are 1."""

    quats: Array
    locations: Array
    scales: Array | None


def linear_sampler(curves: Iterable[Curve], frames: ArrayLike) -> Sampler:
    """Return the sampler that goes in straight lines from key to key and holds the first and last: for dense keys."""
    at = np.asarray(frames, np.float64)
    known: Mapping[CurveKey, Curve] = {curve.key: curve for curve in curves if len(curve.times)}

    def sample(key: CurveKey) -> Array | None:
        curve = known.get(key)
        return None if curve is None else np.interp(at, curve.times, curve.values)

    return sample


def sample_pose(names: Sequence[str], present: Channels, sampler: Sampler, count: int) -> Pose:
    """Return the channels of bones over frames.

    Args:
        names: B bones.
        present: their present values, for channels without a curve.
        sampler: called with each curve's key; its values (T,), or None where there is no such curve.
        count: T.

    Raises:
        ValueError: a sampler's answer has another shape.
    """
    quats = np.empty((count, len(names), 4))
    locations = np.empty((count, len(names), 3))
    scales = np.empty((count, len(names), 3))
    for bone, name in enumerate(names):
        mode = present.modes[bone]
        values, moving = sampled(bone_path(name, channel_name(mode)), present.rotations[bone], sampler, count)
        # One frame tells all of a bone whose rotation stands still.
        quats[:, bone] = to_quat_wxyz(values if moving else values[:1], mode)
        locations[:, bone], _ = sampled(bone_path(name, "location"), present.locations[bone], sampler, count)
        scales[:, bone], _ = sampled(bone_path(name, "scale"), present.scales[bone], sampler, count)
    return Pose(quats, locations, None if (scales == 1).all() else scales)


def sampled(path: str, present: ArrayLike, sampler: Sampler, count: int) -> tuple[Array, bool]:
    """Return the numbers (T, n) of the property at a data path, and whether any has a curve.

    Args:
        path: Blender's data path.
        present: (n,) its present numbers, for those without a curve.
        sampler: as of :func:`sample_pose`.
        count: T.

    Raises:
        ValueError: a sampler's answer has another shape.
    """
    present = np.asarray(present, np.float64)
    values, moving = np.empty((count, len(present))), False
    for index, number in enumerate(present):
        found = sampler(CurveKey(path, index))
        if found is not None and np.shape(found) != (count,):
            raise mismatch(f"shape of the values of {path}[{index}]", (count,), np.shape(found))
        values[:, index] = number if found is None else found
        moving |= found is not None
    return values, moving
