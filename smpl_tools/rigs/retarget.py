"""Motions of rigs as SMPL's, SMPL's as a rig's, and how far the two are apart.

Both ways a joint's rotation in the scene changes by a constant rotation of :mod:`smpl_tools.rigs.rest`, so one way
undoes the other exactly, joint by joint.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.motion import Person, Skeleton
from smpl_tools.rigs.report import RetargetReport, compare
from smpl_tools.rigs.rest import Alignment, align, world_rotations
from smpl_tools.rigs.rig_map import RigMap
from smpl_tools.rigs.smpl_bvh import smpl_bvh_skeleton
from smpl_tools.rigs.spine import SPINE
from smpl_tools.rotations import axis_angle_to_matrix, continuous_axis_angle, matrix_to_axis_angle
from smpl_tools.skeleton import SMPL, cut, person_pose, positions

Array = NDArray[np.float64]

_SPINE = tuple(SMPL.joints.index(name) for name in SPINE)
# Joints whose rotation is spread over all the rig's joints that share it; of other chains the last joint takes it.
_SPREAD = (*_SPINE, SMPL.joints.index("neck"))


@dataclass(frozen=True, eq=False)
class SmplTake:
    """A motion as SMPL's, with the constants that lead back to the rig.

    Attributes:
        global_orient: (T, 1, 3) axis-angle of the pelvis in the rig's scene.
        body_pose: (T, 23, 3) axis-angle of the other joints, each relative to its parent.
        transl: (T, 3) where the pelvis joint is, metres. A body model's ``transl`` is less by its pelvis at rest.
        alignment: how the rig's joints lie to SMPL's.
        report: how far this is from the rig's motion.
    """

    global_orient: Array
    body_pose: Array
    transl: Array
    alignment: Alignment
    report: RetargetReport


@dataclass(frozen=True, eq=False)
class RigTake:
    """A motion of a rig.

    Attributes:
        skeleton: J joints.
        rotations: (T, J, 3, 3) of each joint relative to its parent, of a root relative to the scene.
        root_positions: (T, 3) where the root is, in the rig's unit.
        report: how far this is from the SMPL motion.
    """

    skeleton: Skeleton
    rotations: Array
    root_positions: Array
    report: RetargetReport


def rig_pose(person: Person, skeleton: Skeleton) -> tuple[Skeleton, Array, Array, Array]:
    """Return what :func:`rig_to_smpl` takes of a person of a file, such as a BVH: that person's hierarchy alone.

    Args:
        person: T rows; tracks as :func:`smpl_tools.skeleton.person_pose` takes them.
        skeleton: the motion's; hierarchies of other people are left out.

    Returns:
        The rig of J joints, (T, J, 3, 3) rotations, (T, 3) root positions and (T, J, 3) local offsets.

    Raises:
        ValueError: no track of the person names a joint of the skeleton, or the person's joints have several roots.
    """
    rotations, offsets = person_pose(person, skeleton)
    named = {
        joint.rpartition(".")[0] if track.kind == "channels" else joint
        for track in person.tracks.values()
        for joint in track.joints
    }
    roots = np.arange(len(skeleton.joints))
    for joint, parent in enumerate(skeleton.parents):
        roots[joint] = joint if parent < 0 else roots[parent]
    own = sorted({int(roots[j]) for j, name in enumerate(skeleton.joints) if name in named})
    if len(own) != 1:
        raise mismatch(f"roots of person {person.id}", "one", ", ".join(skeleton.joints[k] for k in own))
    kept = np.flatnonzero(roots == own[0])
    return cut(skeleton, kept.tolist()), rotations[:, kept], offsets[:, kept[0]], offsets[:, kept]


def rig_to_smpl(
    skeleton: Skeleton,
    rotations: ArrayLike,
    root_positions: ArrayLike,
    *,
    alignment: Alignment | None = None,
    rig_map: RigMap | None = None,
    reference: ArrayLike | None = None,
    local_offsets: ArrayLike | None = None,
    offsets: ArrayLike | None = None,
    scale: float | str = "legs",
) -> SmplTake:
    """Return a rig's motion as SMPL's, in the rig's own scene (its axes and origin; lengths times the scale).

    Bones point where the rig's point, ``R_smpl[j] = R_rig[last of j's chain] @ matrices[j]``; what is between two
    joints of a chain goes into their product. The middle between the hips is kept, so feet stay on the ground.

    Args:
        skeleton: J joints.
        rotations: (T, J, 3, 3) of each joint relative to its parent, of a root relative to the scene. NaN where not
            observed: NaN in the joints that depend on it.
        root_positions: (T, 3) where the root is, in the rig's unit.
        alignment: that of another take of the same rig; the arguments after it but ``local_offsets`` are then unused.
        rig_map, reference, offsets, scale: as in :func:`smpl_tools.rigs.rest.align`.
        local_offsets: (T, J, 3) or (J, 3) in place of the skeleton's offsets.

    Raises:
        ValueError: a shape is not as above, or as in :func:`smpl_tools.rigs.rest.align`.
    """
    local, root = _checked(skeleton, rotations, root_positions)
    made = alignment or align(
        skeleton,
        local,
        rig_map=rig_map,
        reference=reference,
        local_offsets=local_offsets,
        offsets=offsets,
        scale=scale,
    )
    if tuple(made.skeleton.joints) != tuple(skeleton.joints):
        raise mismatch("joints of the alignment's rig", ", ".join(skeleton.joints), ", ".join(made.skeleton.joints))
    placed = positions(local, root, skeleton, local_offsets)
    turned = world_rotations(local, skeleton.parents)
    world = np.empty((len(local), 24, 3, 3))
    for j, chain in enumerate(made.rig_map.chains):
        world[:, j] = turned[:, chain[-1]] @ made.matrices[j] if chain else world[:, int(SMPL.parents[j])]
    pelvis = made.rig_map.chains[0][-1]
    middle = placed[:, pelvis] + turned[:, pelvis] @ made.rig_hips
    transl = made.scale * middle - world[:, 0] @ made.smpl_hips
    smpl_local = world.copy()
    smpl_local[:, 1:] = np.swapaxes(world[:, SMPL.parents[1:]], -1, -2) @ world[:, 1:]
    vectors = continuous_axis_angle(matrix_to_axis_angle(smpl_local))
    smpl = positions(smpl_local, transl, Skeleton(SMPL.joints, SMPL.parents, made.offsets))
    report = compare(made, made.scale * placed, smpl, to_smpl=True)
    return SmplTake(vectors[:, :1], vectors[:, 1:], transl, made, report)


def smpl_to_rig(
    global_orient: ArrayLike,
    body_pose: ArrayLike,
    transl: ArrayLike,
    skeleton: Skeleton | None = None,
    *,
    alignment: Alignment | None = None,
    rotations: ArrayLike | None = None,
    local_offsets: ArrayLike | None = None,
    rig_map: RigMap | None = None,
    reference: ArrayLike | None = None,
    offsets: ArrayLike | None = None,
    scale: float | str = "legs",
) -> RigTake:
    """Return an SMPL motion as a rig's.

    Args:
        global_orient: (T, 1, 3) axis-angle, in the scene's axes.
        body_pose: (T, 23, 3) axis-angle.
        transl: (T, 3) where the pelvis joint is, metres.
        skeleton: the rig; None takes :func:`smpl_tools.rigs.smpl_bvh.smpl_bvh_skeleton` with ``offsets``.
        alignment: that of :func:`rig_to_smpl`, for the way back; None finds one.
        rotations: (T, J, 3, 3) a take of the rig itself, e.g. what the SMPL motion was made from. The joints that
            SMPL has not keep their rotations of it, and joints that share one of SMPL's share what has changed; with
            None they stay as in the standing pose and share all alike.
        local_offsets: (T, J, 3) or (J, 3) in place of the skeleton's offsets.
        rig_map, reference, offsets, scale: as in :func:`smpl_tools.rigs.rest.align`.

    Raises:
        ValueError: a shape is not as above, or as in :func:`smpl_tools.rigs.rest.align`.
    """
    orient, pose, where = (np.asarray(a, np.float64) for a in (global_orient, body_pose, transl))
    frames = len(orient)
    for name, array, shape in (
        ("global_orient", orient, (frames, 1, 3)),
        ("body_pose", pose, (frames, 23, 3)),
        ("transl", where, (frames, 3)),
    ):
        if array.shape != shape:
            raise mismatch(f"shape of {name}", shape, array.shape)
    rig = skeleton or (alignment.skeleton if alignment else smpl_bvh_skeleton(offsets).skeleton)
    take = None if rotations is None else np.asarray(rotations, np.float64)
    if take is not None and take.shape != (frames, len(rig.joints), 3, 3):
        raise mismatch("shape of rotations", (frames, len(rig.joints), 3, 3), take.shape)
    made = alignment or align(
        rig, take, rig_map=rig_map, reference=reference, local_offsets=local_offsets, offsets=offsets, scale=scale
    )
    if tuple(made.skeleton.joints) != tuple(rig.joints):
        raise mismatch("joints of the alignment's rig", ", ".join(rig.joints), ", ".join(made.skeleton.joints))
    smpl_local = axis_angle_to_matrix(np.concatenate([orient, pose], axis=1))
    world = world_rotations(smpl_local, SMPL.parents)
    base = np.broadcast_to(made.reference, (frames, *made.reference.shape)) if take is None else take
    local, turned = _rig_rotations(made, world, base)
    pelvis = made.rig_map.chains[0][-1]
    middle = (where + world[:, 0] @ made.smpl_hips) / made.scale
    goal = middle - turned[:, pelvis] @ made.rig_hips
    still = np.zeros((frames, 3))
    root = goal - positions(local, still, rig, local_offsets)[:, pelvis]
    placed = positions(local, root, rig, local_offsets)
    smpl = positions(smpl_local, where, Skeleton(SMPL.joints, SMPL.parents, made.offsets))
    return RigTake(rig, local, root, compare(made, made.scale * placed, smpl, to_smpl=False))


def _checked(skeleton: Skeleton, rotations: ArrayLike, root_positions: ArrayLike) -> tuple[Array, Array]:
    local, root = np.asarray(rotations, np.float64), np.asarray(root_positions, np.float64)
    count = len(skeleton.joints)
    if local.ndim != 4 or local.shape[1:] != (count, 3, 3):
        raise mismatch("shape of rotations", f"(T, {count}, 3, 3)", local.shape)
    if root.shape != (len(local), 3):
        raise mismatch("shape of root_positions", (len(local), 3), root.shape)
    return local, root


def _rig_rotations(made: Alignment, world: Array, base: Array) -> tuple[Array, Array]:
    """Return the rig's rotations, relative to the parent and to the scene, from SMPL's in the scene."""
    parents = made.skeleton.parents
    goals: dict[int, Array] = {}
    spread: dict[int, tuple[int, ...]] = {}
    for j, chain in enumerate(made.rig_map.chains):
        if not chain:
            continue
        source = j
        if j in _SPINE:
            # The last spine joint that the rig has turns with those above it that it has not.
            for above in _SPINE[_SPINE.index(j) + 1 :]:
                if made.rig_map.chains[above]:
                    break
                source = above
        goals[chain[-1]] = world[:, source] @ made.matrices[j].T
        if j in _SPREAD and len(chain) > 1:
            spread[chain[0]] = chain
    local, turned = np.array(base, np.float64), np.empty_like(np.asarray(base, np.float64))
    done: set[int] = set()
    for joint, parent in enumerate(parents):
        before = np.broadcast_to(np.eye(3), (len(local), 3, 3)) if parent < 0 else turned[:, parent]
        if joint in spread and joint not in done:
            chain = spread[joint]
            own = base[:, chain[0]]
            for k in chain[1:]:
                own = own @ base[:, k]
            change = np.swapaxes(before, 1, 2) @ goals[chain[-1]] @ np.swapaxes(own, 1, 2)
            vector = matrix_to_axis_angle(change)
            product = before
            reached = np.broadcast_to(np.eye(3), before.shape)
            for number, k in enumerate(chain, 1):
                reached = reached @ base[:, k]
                goals[k] = before @ axis_angle_to_matrix(vector * (number / len(chain))) @ reached
                local[:, k] = np.swapaxes(product, 1, 2) @ goals[k]
                product = goals[k]
                done.add(k)
        elif joint in goals and joint not in done:
            local[:, joint] = np.swapaxes(before, 1, 2) @ goals[joint]
        turned[:, joint] = before @ local[:, joint]
    return local, turned
