"""Feet kept and measured in a refined take, without Blender: the pose of an armature from the channels of its take."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..animation.curves import Curve, CurveKey
from ..animation.grids import Grid
from ..animation.held import held_values
from ..animation.plan import Options
from ..animation.quaternions import multiplied, power, turned
from ..animation.refining import Refined, between, weights
from ..animation.rotation_modes import to_quat_wxyz
from . import feet
from .leg_rig import legs_of
from .pose_channels import Channels, Pose, sample_pose
from .posing import Rig

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Armature:
    """What must be known of an armature to pose it.

    Attributes:
        rig: its bones.
        present: values of channels without curves.
        curves: of its action.
        metres: one unit of the scene in metres.
    """

    rig: Rig
    present: Channels
    curves: Sequence[Curve]
    metres: float


@dataclass(frozen=True)
class Slides:
    """How fast standing feet slide, in mm/s: in the original and in the refined take, in the same contacts."""

    before: float
    after: float


def keep_feet(armature: Armature, refined: Sequence[Refined], options: Options, fps: float) -> list[Refined]:
    """Return the channels with which feet that stand stay where they stand.

    Raises:
        ValueError: no leg of known names that may be changed, and what :func:`.feet.keep_feet` refuses.
    """
    grid = _common_grid(refined)
    pose = _pose(armature, grid, {r.channel.keys: r.after for r in refined}, refined)
    kept = feet.keep_feet(
        armature.rig,
        *pose,
        fps=fps / grid.step,
        metres=armature.metres,
        turnable={r.channel.owner for r in refined if r.channel.kind == "rotation"},
        movable={r.channel.owner for r in refined if r.channel.kind == "location"},
    )
    places = {name: i for i, name in enumerate(armature.rig.names)}
    out: list[Refined] = []
    for r in refined:
        owner, kind = r.channel.owner, r.channel.kind
        weight = weights(r.channel, options, fps)
        if kind == "rotation" and owner in kept.quats:
            change = turned(pose.quats[:, places[owner]], kept.quats[owner])
            change = power(between(grid, r.channel.times, change), weight)
            quats = multiplied(change, to_quat_wxyz(r.after, r.channel.mode))
            out.append(dataclasses.replace(r, after=held_values(quats, r.channel.mode, r.after, weight == 0)))
        elif kind == "location" and owner in kept.locations:
            change = between(grid, r.channel.times, kept.locations[owner] - pose.locations[:, places[owner]], log=False)
            out.append(dataclasses.replace(r, after=r.after + weight[:, None] * change))
        else:
            out.append(r)
    return out


def slides(armature: Armature, refined: Sequence[Refined], fps: float) -> Slides | None:
    """Return how fast standing feet slide before and after; None without legs of known names, or where none stands."""
    grid = _common_grid(refined)
    how = {"fps": fps / grid.step, "metres": armature.metres}
    try:
        bones = legs_of(armature.rig, None).bones
        poses = [
            _pose(armature, grid, {r.channel.keys: getattr(r, name) for r in refined}, refined, bones)
            for name in ("before", "after")
        ]
        after = feet.slide(armature.rig, *poses[1], **how)
        before = feet.slide(armature.rig, *poses[0], contact=after.contact, **how)
    except ValueError:
        return None
    return None if before.speed is None or after.speed is None else Slides(before.speed, after.speed)


def _common_grid(refined: Sequence[Refined]) -> Grid:
    """Return the frames that all channels lie in, at the finest step of any."""
    grids = [r.channel.grid for r in refined]
    start, end, step = min(g.start for g in grids), max(g.end for g in grids), min(g.step for g in grids)
    return Grid(start, step, round((end - start) / step) + 1)


def _pose(
    armature: Armature,
    grid: Grid,
    values: Mapping[tuple[CurveKey, ...], Array],
    refined: Sequence[Refined],
    bones: NDArray[np.int64] | None = None,
) -> Pose:
    """Pose bones at the frames of a grid, refined channels by their new values, others by their curves.

    Args:
        armature: of B bones.
        grid: T frames.
        values: of refined channels, by their curves.
        refined: the channels.
        bones: places of those that are posed; the others stay as at rest. None: all.
    """
    frames = grid.times
    known: dict[CurveKey, tuple[Array, Array]] = {curve.key: (curve.times, curve.values) for curve in armature.curves}
    for r in refined:
        for index, key in enumerate(r.channel.keys):
            known[key] = (r.channel.times, values[r.channel.keys][:, index])

    def sampler(key: CurveKey) -> Array | None:
        if key not in known or not len(known[key][0]):
            return None
        times, numbers = known[key]
        if len(times) == len(frames) and times[0] == frames[0] and times[-1] == frames[-1]:
            return numbers
        return np.interp(frames, times, numbers)

    if bones is None:
        return sample_pose(armature.rig.names, armature.present, sampler, grid.count)
    names, present = armature.rig.names, armature.present
    some = Channels(
        tuple(present.modes[b] for b in bones),
        tuple(present.rotations[b] for b in bones),
        present.locations[bones],
        present.scales[bones],
    )
    part = sample_pose([names[b] for b in bones], some, sampler, grid.count)
    quats, locations = np.zeros((grid.count, len(names), 4)), np.zeros((grid.count, len(names), 3))
    quats[..., 0] = 1.0
    quats[:, bones], locations[:, bones] = part.quats, part.locations
    if part.scales is None:
        return Pose(quats, locations, None)
    scales = np.ones(locations.shape)
    scales[:, bones] = part.scales
    return Pose(quats, locations, scales)
