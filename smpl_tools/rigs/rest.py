"""How the axes of a rig's joints lie to SMPL's: constant rotations, decided once from a standing pose of the rig."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.motion import Skeleton
from smpl_tools.rigs.hinges import Poses, by_hinges, transposed
from smpl_tools.rigs.rig_map import RigMap, map_rig
from smpl_tools.rigs.standing import (
    STANDING,
    body_axes,
    bone_between,
    faces_backwards,
    standing_frames,
    stands,
    unit,
    up_direction,
)
from smpl_tools.rotations import project_to_so3
from smpl_tools.skeleton import SMPL, positions

Array = NDArray[np.float64]

# The joint that the bone of a limb's joint points at.
_BONES = {
    **{f"{s}_{a}": f"{s}_{b}" for s in ("left", "right") for a, b in (("hip", "knee"), ("knee", "ankle"))},
    **{f"{s}_{a}": f"{s}_{b}" for s in ("left", "right") for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))},
    **{f"{s}_{a}": f"{s}_{b}" for s in ("left", "right") for a, b in (("ankle", "foot"), ("wrist", "hand"))},
}
_TRUNK = {"spine1": "spine2", "spine2": "spine3", "spine3": "neck", "neck": "head"}
_NAMES = SMPL.joints
_INDEX = {name: j for j, name in enumerate(_NAMES)}


@dataclass(frozen=True, eq=False)
class Alignment:
    """A constant change of axes between each joint of a rig and SMPL's: ``R_smpl = R_rig @ matrices``, in the scene.

    Attributes:
        rig_map: which joints are which.
        skeleton: the rig.
        offsets: (24, 3) rest offsets of the SMPL body, metres.
        matrices: (24, 3, 3); of a joint that the rig has not, those of SMPL's joint above it.
        reference: (J, 3, 3) rotations of the rig's joints relative to their parents in a standing pose.
        scale: SMPL's metres a unit of the rig, by the length of the legs (or as given).
        rig_hips: (3,) the middle between the hips in the rig's pelvis joint, in the rig's unit.
        smpl_hips: (3,) the same in SMPL's pelvis, metres.
        source: what the standing pose is: ``rest``, ``given`` or ``frames``.
        notes: what is unusual, in sentences.
    """

    rig_map: RigMap
    skeleton: Skeleton
    offsets: Array
    matrices: Array
    reference: Array
    scale: float
    rig_hips: Array
    smpl_hips: Array
    source: str
    notes: tuple[str, ...] = ()


def align(
    skeleton: Skeleton,
    rotations: ArrayLike | None = None,
    *,
    rig_map: RigMap | None = None,
    reference: ArrayLike | None = None,
    local_offsets: ArrayLike | None = None,
    offsets: ArrayLike | None = None,
    scale: float | str = "legs",
) -> Alignment:
    """Return how a rig's joints lie to SMPL's.

    The standing pose is ``reference`` if given; else the rig's rest pose (no rotations) if it stands: trunk and legs
    along one line, arms anywhere from straight out to hanging; else the average over the best standing frames of
    ``rotations``. In that pose SMPL's pelvis, spine, neck, head and collars are taken to be at rest, turned with the
    body as a whole; bones of arms and legs are turned to the rig's directions by the smallest rotation relative to the
    bone above, so twist follows from the body's facing. A foot keeps its sole square to the leg and turns to the rig's
    heading.
    Averaged frames are less sure of what is neutral: there spine and neck are turned to the rig's bones too, and the
    twist of upper arms and legs follows from the axes that elbows and knees bend about.

    Args:
        skeleton: J joints.
        rotations: (T, J, 3, 3) of each joint relative to its parent; only looked at where the rest pose does not stand.
        rig_map: which joints are which; None finds it.
        reference: (J, 3, 3) rotations of a standing pose, each relative to its parent, e.g. of a T-pose frame.
        local_offsets: (T, J, 3) or (J, 3) in place of the skeleton's offsets.
        offsets: (24, 3) rest offsets of the SMPL body in metres; None takes ``smpl_tools.skeleton.SMPL``.
        scale: metres a unit of the rig, or ``legs``: SMPL's legs over the rig's.

    Raises:
        ValueError: a shape is not as above, the rig has no body that can be found, an offset of it is not finite, or
            neither rest pose nor frames stand.
    """
    count = len(skeleton.joints)
    mapping = map_rig(skeleton) if rig_map is None else rig_map
    if len(mapping.joints) != count:
        raise mismatch("joints of rig_map", count, len(mapping.joints))
    smpl = _smpl_offsets(offsets)
    notes: list[str] = list(mapping.notes)
    local, at, best, source = _standing_poses(skeleton, mapping, rotations, reference, local_offsets)
    if source == "frames":
        notes.append(f"the rest pose does not stand; neutral is the average of {len(best)} standing frames")
    poses = Poses(world_rotations(local, skeleton.parents), positions(local, None, skeleton, at), best)
    standing = poses.placed[best]
    up = up_direction(standing, mapping)
    if faces_backwards(standing, mapping, up):
        mapping = _swapped(mapping)
        notes.append("left and right are named the other way round: the feet say so")
    matrices = _matrices(poses, mapping, smpl, up, source)
    pelvis = mapping.chains[0][-1]
    middle = (standing[0, mapping.places[1]] + standing[0, mapping.places[2]]) / 2 - standing[0, pelvis]
    rig_hips = poses.world[best[0], pelvis].T @ middle
    factor = _leg_scale(standing[0], mapping, smpl) if scale == "legs" else scale
    if not isinstance(factor, (int, float)) or not 0 < factor < np.inf:
        raise mismatch("scale", "'legs' or a positive number", repr(scale))
    return Alignment(
        mapping,
        skeleton,
        smpl,
        matrices,
        local[best[0]].copy(),
        float(factor),
        rig_hips,
        (smpl[1] + smpl[2]) / 2,
        source,
        tuple(dict.fromkeys(notes)),
    )


def _standing_poses(
    skeleton: Skeleton,
    mapping: RigMap,
    rotations: ArrayLike | None,
    reference: ArrayLike | None,
    local_offsets: ArrayLike | None,
) -> tuple[Array, Array, NDArray[np.int64], str]:
    """Return poses (N, J, 3, 3), offsets (J, 3) or (N, J, 3), which poses stand, the best first, and what they are."""
    given = np.asarray(skeleton.offsets if local_offsets is None else local_offsets, np.float64)
    fixed = np.asarray(skeleton.offsets, np.float64) if given.ndim == 3 else given
    for k in {k for chain in mapping.chains for k in chain}:
        if skeleton.parents[k] >= 0 and not np.isfinite(fixed[k]).all():
            raise mismatch(f"offset of the joint {skeleton.joints[k]}", "three finite numbers", fixed[k].tolist())
    fixed = np.nan_to_num(fixed)
    eye = np.broadcast_to(np.eye(3), (1, len(skeleton.joints), 3, 3))
    poses = eye if reference is None else np.asarray(reference, np.float64)[None]
    if poses.shape != eye.shape:
        raise mismatch("shape of reference", eye.shape[1:], poses.shape[1:])
    placed = positions(poses, None, skeleton, fixed)
    if stands(placed, mapping, up_direction(placed, mapping), strict=reference is None)[0]:
        return poses, fixed, np.zeros(1, np.int64), "rest" if reference is None else "given"
    if reference is not None:
        raise mismatch("reference pose of the rig", STANDING, "one that does not stand")
    return *standing_frames(skeleton, mapping, rotations, given), "frames"


def _smpl_offsets(offsets: ArrayLike | None) -> Array:
    made = np.asarray(SMPL.offsets if offsets is None else offsets, np.float64)
    if made.shape != (24, 3):
        raise mismatch("shape of offsets", (24, 3), made.shape)
    return made


def world_rotations(local: Array, parents: NDArray[np.int64]) -> Array:
    """Return rotations (T, J, 3, 3) relative to the scene, of rotations relative to the parent."""
    turned = np.empty_like(np.asarray(local, np.float64))
    for joint, parent in enumerate(parents):
        turned[:, joint] = local[:, joint] if parent < 0 else turned[:, parent] @ local[:, joint]
    return turned


def _swapped(mapping: RigMap) -> RigMap:
    """Return the map with the joints of left and right exchanged."""
    names = [name.replace("left", "L").replace("right", "left").replace("L", "right") for name in _NAMES]
    order = [_INDEX[name] for name in names]
    return replace(
        mapping,
        chains=tuple(mapping.chains[j] for j in order),
        places=tuple(mapping.places[j] for j in order),
        found=tuple(mapping.found[j] for j in order),
    )


def _turn(one: Array, other: Array) -> Array:
    """Return the smallest rotations (T, 3, 3) that turn directions (T, 3) to others; half turns about any axis."""
    a, b = unit(one), unit(other)
    v, c = np.cross(a, b), (a * b).sum(-1)[:, None, None]
    cross = np.zeros((len(v), 3, 3))
    cross[:, 2, 1], cross[:, 0, 2], cross[:, 1, 0] = v[:, 0], v[:, 1], v[:, 2]
    cross -= np.swapaxes(cross, 1, 2).copy()
    made = np.eye(3) + cross + cross @ cross / np.maximum(1 + c, 1e-12)
    for k in np.flatnonzero(c[:, 0, 0] < -1 + 1e-9):
        axis = unit(np.cross(a[k], np.eye(3)[int(np.argmin(np.abs(a[k])))]))
        made[k] = 2 * np.outer(axis, axis) - np.eye(3)
    return made


def _matrices(poses: Poses, mapping: RigMap, smpl: Array, up: Array, source: str) -> Array:
    """Return the change of axes (24, 3, 3) of each joint, averaged over the standing poses."""
    frames = source == "frames"
    placed, world = poses.placed[poses.best], poses.world[poses.best]
    body = body_axes(placed, mapping, up)
    if source == "rest":
        body = _snapped(body, up)
    hinges = by_hinges(poses, mapping, smpl) if frames else {}
    # How SMPL's joints are turned in the scene in each of the poses.
    stance = np.empty((len(placed), 24, 3, 3))
    matrices = np.empty((24, 3, 3))
    for j, name in enumerate(_NAMES):
        parent = int(SMPL.parents[j])
        chain = mapping.chains[j]
        above = body if parent < 0 else stance[:, parent]
        if not chain:
            # Without a joint of its own it goes on as the joint above is.
            stance[:, j], matrices[j] = above, matrices[parent]
            continue
        target = _BONES.get(name) or (_TRUNK.get(name) if frames else None)
        bone = bone_between(placed, mapping, name, target) if target else None
        if name.endswith("ankle") and bone is not None and not frames:
            at = _heading(above, bone, smpl[_INDEX[_BONES[name]]])
        elif target and bone is not None:
            # SMPL's own spine is bent at rest; one that is straight at rest is that one's neutral.
            ours = smpl[_INDEX[target]] if name in _BONES else np.array([0.0, 1.0, 0.0])
            at = _turn(above @ ours, bone) @ above
        else:
            at = above if target or name in _BONES or name.endswith(("foot", "hand")) else body
        matrices[j] = hinges.get(name, project_to_so3((transposed(world[:, chain[-1]]) @ at).mean(axis=0)))
        stance[:, j] = world[:, chain[-1]] @ matrices[j]
    return matrices


def _heading(leg: Array, foot: Array, ours: Array) -> Array:
    """Return the axes (T, 3, 3) of lower legs turned about their length to where the feet (T, 3) point.

    The sole stays square to the leg as it is in SMPL's rest pose, however high the rig's ankles are. ``ours`` (3,) is
    SMPL's foot at rest.
    """
    length = leg[..., 1]
    rest = leg @ ours
    flat = [d - (d * length).sum(-1)[:, None] * length for d in (rest, foot)]
    clear = np.linalg.norm(flat[1], axis=-1) > 0.3 * np.linalg.norm(foot, axis=-1)
    return np.where(clear[:, None, None], _turn(*flat) @ leg, leg)


def _snapped(body: Array, up: Array) -> Array:
    """Return a body's axes at rest, laid along the scene's where they differ by a little only."""
    left = body[0, :, 0]
    axis = int(np.argmax(np.abs(left)))
    if np.count_nonzero(up) != 1 or abs(left[axis]) < np.cos(np.deg2rad(10)):
        return body
    exact = np.sign(left[axis]) * np.eye(3)[axis]
    return np.asarray(np.stack([exact, up, np.cross(exact, up)], axis=-1)[None], np.float64)


def _leg_scale(placed: Array, mapping: RigMap, smpl: Array) -> float:
    ours, theirs = [], []
    for side in ("left", "right"):
        for one, other in (("hip", "knee"), ("knee", "ankle")):
            bone = bone_between(placed[None], mapping, f"{side}_{one}", f"{side}_{other}")
            if bone is not None:
                ours.append(np.linalg.norm(smpl[_INDEX[f"{side}_{other}"]]))
                theirs.append(np.linalg.norm(bone))
    if not theirs:
        raise mismatch("legs of the rig", "a bone of the leg that has a length", "none")
    return float(np.sum(ours) / np.sum(theirs))
