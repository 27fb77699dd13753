"""Planted feet of an armature: how much they slide, and channels with which they do not.

The legs are found by their names (``blender_addon.parts``) and taken out of the rig as a small skeleton in the scene,
where z points up; :func:`smpl_tools.contacts.keeping.keep_contacts` keeps its feet, and what it turned is put back into
the bones' rotation channels, what it lifted into the location channel of the hips.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.contacts.detection import contacts, foot_slide
from smpl_tools.contacts.feet import WholeLeg, foot_points
from smpl_tools.contacts.keep_motion import leg_length, leg_unit
from smpl_tools.contacts.keeping import keep_contacts
from smpl_tools.contacts.plan import KEEP, KeepSettings
from smpl_tools.motion import Skeleton
from smpl_tools.rotations import matrix_to_quat_wxyz

from ..animation.quaternions import multiplied
from .leg_rig import Legs, legs_of
from .posing import Rig, location_axes, world_ends, world_rotations

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Lengths of legs in metres that are taken as they are told: children and giants, but no centimetres taken for metres.
_PLAUSIBLE = (0.4, 1.7)
# Metres: with no bone to move the hips are left where they are.
_NO_LIFT = 1e-9
# Turns below this many radians are none.
_NO_TURN = 1e-9


class Slide(NamedTuple):
    """How much the feet slide.

    Attributes:
        speed: mm/s along the ground while they stand, the mean over all contacts; None where they never stand.
        contact: (T, F) which points of the feet stand.
        points: their names: bones of which the head touches the ground; ``NAME (tail)`` for a foot's own tip.
        metres: one unit of the scene.
        unit_guessed: the scene's unit made no person of the armature; it was told from the length of the legs.
    """

    speed: float | None
    contact: Flags
    points: tuple[str, ...]
    metres: float
    unit_guessed: bool


@dataclass(frozen=True, eq=False)
class KeptFeet:
    """Channels with which planted feet stay where they are.

    Attributes:
        quats: by bone that changed, quat_wxyz (T, 4) of its rotation channel, of the signs and lengths it had.
        locations: by bone that changed, one at most, its location channel (T, 3).
        contact: by point of the feet, the share of frames in which it stands.
        slide_before: mm/s, the mean over all contacts; None without any.
        slide_after: the same of the result, in the same contacts.
        largest_change: mm that a point of the feet was moved at most.
        metres: one unit of the scene.
        unit_guessed: see :class:`Slide`.
    """

    quats: dict[str, Array]
    locations: dict[str, Array]
    contact: dict[str, float]
    slide_before: float | None
    slide_after: float | None
    largest_change: float
    metres: float
    unit_guessed: bool


def slide(
    rig: Rig,
    quats: ArrayLike,
    locations: ArrayLike,
    scales: ArrayLike | None = None,
    *,
    fps: float,
    metres: float = 1.0,
    contact: ArrayLike | None = None,
) -> Slide:
    """Return how much the feet slide.

    Args:
        rig: B bones.
        quats: (T, B, 4) quat_wxyz of the rotation channels, one row a frame of ``fps``.
        locations: (T, B, 3).
        scales: (T, B, 3); None: all 1.
        fps: frames a second.
        metres: one unit of the scene in metres.
        contact: (T, F) as found in another take of the same armature, to compare the two; None finds contacts here.

    Raises:
        ValueError: no leg of known names, or another shape.
    """
    body = legs_of(rig, None)
    heads, tails = world_ends(body.rig, *_of_bones(body.bones, quats, locations, scales))
    x = body.points(heads, tails)
    unit, guessed = _unit(x, body.legs, metres)
    columns, kinds = foot_points(body.legs)
    feet = x[:, columns]
    if contact is None:
        contact = contacts(feet, fps=fps, up="z", metres=unit, kinds=kinds)
    standing = np.asarray(contact, bool)
    speeds = foot_slide(feet, standing, fps=fps, up="z", metres=unit)
    return Slide(_mean(speeds, standing), standing, tuple(body.names[k] for k in columns), unit, guessed)


def keep_feet(
    rig: Rig,
    quats: ArrayLike,
    locations: ArrayLike,
    scales: ArrayLike | None = None,
    *,
    fps: float,
    metres: float = 1.0,
    turnable: Collection[str] | None = None,
    movable: Collection[str] | None = None,
    contact: ArrayLike | None = None,
    settings: KeepSettings = KEEP,
) -> KeptFeet:
    """Return the channels of thighs, shins, feet and hips with which planted feet stay where they are.

    Args:
        rig: B bones; bones between thigh and shin (twist bones) turn with the thigh.
        quats: as of :func:`slide`.
        locations: as of :func:`slide`.
        scales: as of :func:`slide`.
        fps: frames a second.
        metres: one unit of the scene in metres.
        turnable: names of bones whose rotation may be changed: thigh, shin and foot must be; None: all.
        movable: names of bones whose location may be changed; None: all. Without one above both legs that is not
            connected to its parent, the hips keep their height.
        contact: as of :func:`slide`.
        settings: how feet are kept.

    Raises:
        ValueError: no leg of known names that may be changed; legs without a bone above both; an armature scaled
            differently along its axes; a bone of the legs that does not inherit rotation; or another shape.
    """
    sizes = np.sqrt((rig.world[..., :3, :3] ** 2).sum(axis=-2)).reshape(-1, 3)
    for size in sizes:
        if size.max() > 1.001 * size.min():
            raise mismatch("scale of the armature", "the same along x, y and z", ", ".join(f"{s:.4g}" for s in size))
    body = legs_of(rig, turnable)
    own = _of_bones(body.bones, quats, locations, scales)
    heads, tails = world_ends(body.rig, *own)
    turned = world_rotations(body.rig, *own)
    x = body.points(heads, tails)
    unit, guessed = _unit(x, body.legs, metres)
    mover = _mover(body, own[1], movable)
    if mover is None:
        settings = dataclasses.replace(settings, pelvis=_NO_LIFT)

    # The skeleton begins at the hips; tails of feet are joints that turn with the foot.
    bones = len(body.rig.names)
    joints = [*range(body.top, bones), *range(bones, len(body.names))]
    at = {joint: k for k, joint in enumerate(joints)}
    rotation = np.concatenate([turned, turned[:, [body.parents[k] for k in range(bones, len(body.names))]]], axis=1)
    parents = np.array([-1, *(at[body.parents[joint]] for joint in joints[1:])], np.int64)
    local, offsets = rotation[:, joints], np.zeros((len(x), len(joints), 3))
    for k, joint in enumerate(joints[1:], start=1):
        back = np.swapaxes(rotation[:, body.parents[joint]], -1, -2)
        local[:, k] = back @ rotation[:, joint]
        offsets[:, k] = (back @ (x[:, joint] - x[:, body.parents[joint]])[..., None])[..., 0]
    skeleton = Skeleton(tuple(body.roles[joint] for joint in joints), parents, np.zeros((len(joints), 3)))
    new_local, new_place, kept = keep_contacts(
        local, x[:, body.top], skeleton, fps=fps, up="z", metres=unit, contact=contact, local_offsets=offsets,
        settings=settings,
    )  # fmt: skip

    new = rotation.copy()
    for k, joint in enumerate(joints):
        above = int(parents[k])
        new[:, joint] = new_local[:, k] if above < 0 else new[:, joints[above]] @ new_local[:, k]
    new_quats, new_at = own[0].copy(), own[1].copy()
    changed = [getattr(leg, name) for leg in body.legs for name in ("hip", "knee", "ankle")]
    for bone in changed:
        parent = int(body.rig.parents[bone])
        carried = rotation[:, bone]
        if parent >= 0 and body.rig.inherit_rotation[bone]:
            carried = new[:, parent] @ np.swapaxes(rotation[:, parent], -1, -2) @ carried
        new_quats[:, bone] = _turned(own[0][:, bone], np.swapaxes(carried, -1, -2) @ new[:, bone])
    if mover is not None:
        shift = new_place - x[:, body.top]
        rows = np.abs(shift).max(axis=1) > 0
        axes = location_axes(body.rig, mover, *own)
        new_at[rows, mover] += np.linalg.solve(axes[rows], shift[rows, :, None])[..., 0]

    after = body.points(*world_ends(body.rig, new_quats, new_at, own[2]))
    columns, _ = foot_points(body.legs)
    speeds = [foot_slide(p[:, columns], kept.contact, fps=fps, up="z", metres=unit) for p in (x, after)]
    names = body.rig.names
    return KeptFeet(
        quats={names[b]: new_quats[:, b] for b in changed if not np.array_equal(new_quats[:, b], own[0][:, b])},
        locations={} if mover is None or np.array_equal(new_at, own[1]) else {names[mover]: new_at[:, mover]},
        contact={body.names[k]: float(kept.contact[:, i].mean()) for i, k in enumerate(columns)},
        slide_before=_mean(speeds[0], kept.contact),
        slide_after=_mean(speeds[1], kept.contact),
        largest_change=float(1000 * unit * np.linalg.norm((after - x)[:, columns], axis=-1).max()),
        metres=unit,
        unit_guessed=guessed,
    )


def _of_bones(
    bones: NDArray[np.int64], quats: ArrayLike, locations: ArrayLike, scales: ArrayLike | None
) -> tuple[Array, Array, Array | None]:
    q, at = np.asarray(quats, np.float64), np.asarray(locations, np.float64)
    size = None if scales is None else np.asarray(scales, np.float64)
    for name, array in (("quats", q), ("locations", at), ("scales", size)):
        if array is not None and (array.ndim != 3 or array.shape[1] <= int(bones.max())):
            raise mismatch(f"shape of {name}", "(T, B, 4)" if name == "quats" else "(T, B, 3)", array.shape)
    return q[:, bones], at[:, bones], None if size is None else size[:, bones]


def _unit(x: Array, legs: tuple[WholeLeg, ...], metres: float) -> tuple[float, bool]:
    """Return the metres of the scene's unit, and whether they had to be told from the length of the legs."""
    if not len(x):
        raise mismatch("frames", "at least one", "none")
    length = leg_length(x, legs)
    if _PLAUSIBLE[0] <= length * metres <= _PLAUSIBLE[1]:
        return float(metres), False
    return leg_unit(length), True


def _mover(body: Legs, locations: Array, movable: Collection[str] | None) -> int | None:
    """Return the bone whose location lifts the hips: the nearest that moves over time, or the nearest that may."""
    line = body.rig.above([body.top]).tolist()[::-1]
    able = [
        bone for bone in line if not body.rig.connected[bone] and (movable is None or body.rig.names[bone] in movable)
    ]
    moving = [bone for bone in able if np.ptp(locations[:, bone], axis=0).max() > 0]
    return next(iter(moving or able), None)


def _turned(quat_wxyz: Array, turn: Array) -> Array:
    """Return quaternions (T, 4) times rotations (T, 3, 3): signs and lengths stay, and rows without a turn as well."""
    turn_wxyz = matrix_to_quat_wxyz(turn)
    still = 2 * np.sqrt((turn_wxyz[:, 1:] ** 2).sum(axis=1)) < _NO_TURN
    return np.where(still[:, None], quat_wxyz, multiplied(quat_wxyz, turn_wxyz))


def _mean(speeds: Array, contact: Flags) -> float | None:
    """Return the mean over all contacts of slides (F,) of points that stand as (T, F)."""
    weights = (contact[1:] & contact[:-1]).sum(axis=0)
    total = int(weights.sum())
    return float(np.nansum(speeds * weights)) / total if total else None
