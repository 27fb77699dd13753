"""Planted feet stay planted: a foot in contact keeps its place, and hip, knee and pelvis give way.

For each contact the place is the median of where the foot is during it. The legs are bent by analytic inverse
kinematics of two bones (``smpl_tools.contacts.two_bone``), with the knee's plane as it was; where a leg is too short
the pelvis sinks, smoothly; beyond what it may sink the foot is let go, smoothly too. Before, between and after contacts
the change fades (``smpl_tools.contacts.planting``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.contacts.detection import DEFAULT, ContactSettings, contacts, foot_slide
from smpl_tools.contacts.feet import WholeLeg, foot_points, whole_legs
from smpl_tools.contacts.ground import up_axis
from smpl_tools.contacts.plan import KEEP, KeepSettings, Plan, bent_leg, make_plan
from smpl_tools.motion import Skeleton
from smpl_tools.skeleton import positions as joint_positions

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Kept:
    """What became of the feet.

    Attributes:
        contact: (T, F) which of the F points of feet were kept; see ``smpl_tools.contacts.feet.foot_points``.
        points: the names of these F points.
        slide_before: (F,) mm/s, see :func:`smpl_tools.contacts.detection.foot_slide`; NaN for one that never stands.
        slide_after: (F,) the same of the result, in the same contacts.
        moved: (T, F) mm that the points were moved.
        knee_change: (T, L) degrees by which the bend of the L legs' knees was changed.
        lifted: (T,) mm that the pelvis was raised, below 0 lowered.
    """

    contact: Flags
    points: tuple[str, ...]
    slide_before: Array
    slide_after: Array
    moved: Array
    knee_change: Array
    lifted: Array


def keep_contacts(
    rotations: ArrayLike,
    transl: ArrayLike,
    skeleton: Skeleton,
    *,
    fps: float,
    up: str = "y",
    metres: float = 1.0,
    contact: ArrayLike | None = None,
    local_offsets: ArrayLike | None = None,
    detection: ContactSettings = DEFAULT,
    settings: KeepSettings = KEEP,
) -> tuple[Array, Array, Kept]:
    """Keep planted feet of a skeleton that turns its joints.

    Only hips, knees, ankles and the root's place change, and only in and around contacts; frames beyond the ease are
    the same to the last bit. Feet and toes keep their directions in the scene, but for what it takes to hold heel and
    toe both. Bones keep their lengths.

    Args:
        rotations: (T, J, 3, 3) of each joint relative to its parent; all finite.
        transl: (T, 3) place of the root.
        skeleton: J joints; the legs are found by their names (:func:`smpl_tools.contacts.feet.find_legs`).
        fps: frames a second.
        up: the axis that points up: ``x``, ``y``, ``z``, or with a minus where it points down.
        metres: one unit of the skeleton in metres.
        contact: (T, F) of the points of :func:`smpl_tools.contacts.feet.foot_points`; None finds them.
        local_offsets: (T, J, 3) or (J, 3) in place of the skeleton's offsets.
        detection: thresholds of contacts, and what counts as quiet and as noisy.
        settings: see :class:`KeepSettings`.

    Returns:
        Rotations (T, J, 3, 3) and transl (T, 3), float64, and what became of the feet.

    Raises:
        ValueError: another shape, no frame, a number that is not finite, no leg with hip, knee and ankle, a knee that
            does not hang on its hip or an ankle that does not on its knee.
    """
    local, root = np.asarray(rotations, np.float64), np.asarray(transl, np.float64)
    before = joint_positions(local, root, skeleton, local_offsets)
    if not len(before):
        raise mismatch("rotations", "at least one frame", "none")
    if not np.isfinite(before).all():
        raise mismatch("rotations, transl and offsets", "finite numbers", "NaN or infinite ones")
    legs = whole_legs(skeleton.joints)
    for leg in legs:
        _check_chain(leg, skeleton)
    x = before * metres
    contact = _contact(x, legs, contact, fps, up, detection)
    plan = make_plan(x, legs, contact, fps, up_axis(up), detection, settings, rigid=True)

    world = _world_rotations(local, skeleton.parents)
    shift = plan.lift[:, None] * up_axis(up)
    new_root = root + shift / metres
    result = local.copy()
    for leg, foot in zip(legs, plan.feet, strict=True):
        bent = bent_leg(x, leg, legs, foot.joints[leg.ankle], shift, fps)
        turn = bent.thigh_turn
        for joint, wanted in ((leg.hip, turn), (leg.knee, bent.shin_turn), (leg.ankle, foot.turn)):
            parent = int(skeleton.parents[joint])
            above = np.eye(3) if joint == leg.hip else turn
            outer = np.eye(3) if parent < 0 else above @ world[:, parent]
            result[:, joint] = np.swapaxes(outer, -1, -2) @ wanted @ world[:, joint]
            turn = wanted
    new_root[~plan.changed], result[~plan.changed] = root[~plan.changed], local[~plan.changed]
    after = joint_positions(result, new_root, skeleton, local_offsets)
    return result, new_root, _kept(before, after, skeleton.joints, legs, plan, fps, up, metres)


def keep_contacts_positions(
    positions: ArrayLike,
    joints: Sequence[str],
    *,
    fps: float,
    up: str = "y",
    metres: float = 1.0,
    contact: ArrayLike | None = None,
    detection: ContactSettings = DEFAULT,
    settings: KeepSettings = KEEP,
) -> tuple[Array, Kept]:
    """Keep planted feet of joints that are given by their places alone.

    Thighs and shins keep the length that they have in each frame; feet get their usual length while heel and toe stand.

    Args:
        positions: (T, J, 3), all finite.
        joints: J names.
        fps: frames a second.
        up: as in :func:`keep_contacts`.
        metres: one unit of the positions in metres.
        contact: as in :func:`keep_contacts`.
        detection: as in :func:`keep_contacts`.
        settings: as in :func:`keep_contacts`.

    Returns:
        Positions (T, J, 3) float64, and what became of the feet.

    Raises:
        ValueError: another shape, no frame, a number that is not finite, or no leg with hip, knee and ankle.
    """
    before = np.asarray(positions, np.float64)
    if before.ndim != 3 or before.shape[1:] != (len(joints), 3):
        raise mismatch("shape of positions", f"(T, {len(joints)}, 3)", before.shape)
    if not len(before):
        raise mismatch("positions", "at least one frame", "none")
    if not np.isfinite(before).all():
        raise mismatch("positions", "finite numbers", "NaN or infinite ones")
    legs = whole_legs(joints)
    x = before * metres
    contact = _contact(x, legs, contact, fps, up, detection)
    plan = make_plan(x, legs, contact, fps, up_axis(up), detection, settings, rigid=False)
    shift = plan.lift[:, None] * up_axis(up)
    after = x + shift[:, None]
    for leg, foot in zip(legs, plan.feet, strict=True):
        bent = bent_leg(x, leg, legs, foot.joints[leg.ankle], shift, fps)
        after[:, leg.knee] = bent.knee
        for joint, place in foot.joints.items():
            after[:, joint] = place + bent.ankle - foot.joints[leg.ankle]
    after = np.where(plan.changed[:, None, None], after / metres, before)
    return after, _kept(before, after, joints, legs, plan, fps, up, metres)


def _check_chain(leg: WholeLeg, skeleton: Skeleton) -> None:
    """Refuse a leg whose knee does not hang on its hip, or whose ankle does not hang on its knee."""
    for joint, above in ((leg.knee, leg.hip), (leg.ankle, leg.knee)):
        parent = int(skeleton.parents[joint])
        while parent >= 0 and parent != above:
            parent = int(skeleton.parents[parent])
        if parent < 0:
            names = skeleton.joints
            raise mismatch(f"joint {names[joint]}", f"one that hangs on {names[above]}", "one that does not")


def _contact(
    x: Array, legs: Sequence[WholeLeg], contact: ArrayLike | None, fps: float, up: str, detection: ContactSettings
) -> Flags:
    points, kinds = foot_points(legs)
    if contact is None:
        return contacts(x[:, points], fps=fps, up=up, kinds=kinds, settings=detection)
    given = np.asarray(contact, bool)
    if given.shape != (len(x), len(points)):
        raise mismatch("shape of contact", (len(x), len(points)), given.shape)
    return given


def _world_rotations(local: Array, parents: NDArray[np.int64]) -> Array:
    world = local.copy()
    for joint, parent in enumerate(parents):
        if parent >= 0:
            world[:, joint] = world[:, parent] @ local[:, joint]
    return world


def _kept(
    before: Array,
    after: Array,
    joints: Sequence[str],
    legs: Sequence[WholeLeg],
    plan: Plan,
    fps: float,
    up: str,
    metres: float,
) -> Kept:
    points, _ = foot_points(legs)
    slides = [foot_slide(x[:, points], plan.contact, fps=fps, up=up, metres=metres) for x in (before, after)]
    bends = [np.stack([_bend(x, leg) for leg in legs], axis=1) for x in (before, after)]
    return Kept(
        contact=plan.contact,
        points=tuple(joints[joint] for joint in points),
        slide_before=slides[0],
        slide_after=slides[1],
        moved=1000 * metres * np.linalg.norm(after[:, points] - before[:, points], axis=-1),
        knee_change=np.degrees(bends[1] - bends[0]),
        lifted=1000 * plan.lift,
    )


def _bend(x: Array, leg: WholeLeg) -> Array:
    """Return the angle (T,) by which a knee is bent, 0 for a straight leg."""
    thigh, shin = x[:, leg.knee] - x[:, leg.hip], x[:, leg.ankle] - x[:, leg.knee]
    return np.arctan2(np.linalg.norm(np.cross(thigh, shin), axis=-1), (thigh * shin).sum(axis=-1))
