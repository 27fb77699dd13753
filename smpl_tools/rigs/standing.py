"""Whether a rig stands in a pose, and how its body lies in the scene then."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.motion import Skeleton
from smpl_tools.rigs.rig_map import RigMap
from smpl_tools.rigs.structure import ancestors
from smpl_tools.skeleton import SMPL, positions

Array = NDArray[np.float64]

# A trunk this near to one of the scene's axes stands along it.
_NEAR_AXIS = np.cos(np.deg2rad(20))
_TRUNK_LEAN, _LEG_SPREAD, _LEG_BENT = np.cos(np.deg2rad(30)), np.cos(np.deg2rad(45)), np.cos(np.deg2rad(70))
STANDING = "one that stands upright (trunk and legs in line)"
# Of a motion's standing frames this share, those that stand best, are averaged; no more frames than this are looked at.
_BEST_SHARE, _MOST_FRAMES = 0.1, 4000


def unit(v: Array) -> Array:
    """Return vectors (..., 3) made of length 1; zero stays zero."""
    length = np.linalg.norm(v, axis=-1, keepdims=True)
    return v / np.where(length > 0, length, 1)


def place_of(mapping: RigMap, name: str) -> int:
    """Return the rig's joint that stands at the place of a joint of SMPL, -1 for none."""
    return mapping.places[SMPL.joints.index(name)]


def trunk_direction(placed: Array, mapping: RigMap) -> Array:
    """Return the directions (T, 3) from between the hips to the neck, or what else stands highest on the trunk."""
    for names in (("neck",), ("head",), ("left_shoulder", "right_shoulder"), ("spine3",), ("spine2",), ("spine1",)):
        tops = [place_of(mapping, n) for n in names if place_of(mapping, n) >= 0]
        if tops:
            middle = placed[:, [place_of(mapping, "left_hip"), place_of(mapping, "right_hip")]].mean(axis=1)
            direction = placed[:, tops].mean(axis=1) - middle
            if np.linalg.norm(direction, axis=-1).max(initial=0) > 0:
                return unit(direction)
    raise mismatch("joints of the rig", "a trunk above the hips", ", ".join(mapping.joints[:12]))


def up_direction(placed: Array, mapping: RigMap) -> Array:
    """Return the direction (3,) that stands for up: the scene's axis that the trunk is along in most poses.

    Where it is along none in any pose, the trunk's own mean direction.
    """
    trunk = trunk_direction(placed, mapping)
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    along = (trunk @ axes.T >= _NEAR_AXIS).sum(axis=0)
    return axes[int(np.argmax(along))] if along.any() else unit(trunk.mean(axis=0))


def body_axes(placed: Array, mapping: RigMap, up: Array) -> Array:
    """Return the rotations (T, 3, 3) that turn SMPL's axes (left, up, forwards) to the body's."""
    across = placed[:, place_of(mapping, "left_hip")] - placed[:, place_of(mapping, "right_hip")]
    left = unit(across - (across @ up)[:, None] * up)
    return np.stack([left, np.broadcast_to(up, left.shape), np.cross(left, up)], axis=-1)


def bone_between(placed: Array, mapping: RigMap, one: str, other: str) -> Array | None:
    """Return the bone (T, 3) from one of SMPL's joints to another, None where the rig has none of any length."""
    start, end = place_of(mapping, one), place_of(mapping, other)
    if start < 0 or end < 0:
        return None
    bone = placed[:, end] - placed[:, start]
    return bone if np.nanmax(np.linalg.norm(bone, axis=-1), initial=0) > 0 else None


def _leg_cosines(placed: Array, mapping: RigMap, up: Array) -> list[Array]:
    """Return (T,) the cosines of upper and lower legs with straight down."""
    legs = []
    for side in ("left", "right"):
        for one, other in ((f"{side}_hip", f"{side}_knee"), (f"{side}_knee", f"{side}_ankle")):
            bone = bone_between(placed, mapping, one, other)
            if bone is not None:
                legs.append(-unit(bone) @ up)
    return legs


def stands(placed: Array, mapping: RigMap, up: Array, strict: bool = True) -> NDArray[np.bool_]:
    """Return (T,) whether a pose stands: trunk and legs upright, hips side by side, arms not crossed or raised.

    A pose in a motion may have bent knees and arms anywhere, since bending says what the twist is.
    """
    frame = body_axes(placed, mapping, up)
    left, forward = frame[..., 0], frame[..., 2]
    across = unit(placed[:, place_of(mapping, "left_hip")] - placed[:, place_of(mapping, "right_hip")])
    good = (trunk_direction(placed, mapping) @ up >= _TRUNK_LEAN) & (np.abs(across @ up) <= 0.5)
    good &= np.linalg.norm(across, axis=-1) > 0.5
    for cosine in _leg_cosines(placed, mapping, up):
        good &= cosine >= (_LEG_SPREAD if strict else _LEG_BENT)
    for side, sign in (("left", 1), ("right", -1)) if strict else ():
        bone = bone_between(placed, mapping, f"{side}_shoulder", f"{side}_elbow")
        if bone is not None:
            arm = unit(bone)
            good &= (sign * (arm * left).sum(-1) >= -0.5) & (arm @ up <= 0.8)
            good &= np.abs((arm * forward).sum(-1)) <= 0.8
    return good


def standing_frames(
    skeleton: Skeleton, mapping: RigMap, rotations: ArrayLike | None, offsets: Array
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Return the poses (N, J, 3, 3) and offsets of all frames, and which of them stand best, the best first."""
    if rotations is None:
        raise mismatch(
            "rest pose of the rig", f"{STANDING}, or frames or a reference that do", "a rest pose that does not stand"
        )
    poses = np.asarray(rotations, np.float64)
    if poses.ndim != 4 or poses.shape[1:] != (len(skeleton.joints), 3, 3):
        raise mismatch("shape of rotations", f"(T, {len(skeleton.joints)}, 3, 3)", poses.shape)
    needed = sorted({k for chain in mapping.chains for joint in chain for k in ancestors(skeleton.parents, joint)})
    chosen = np.flatnonzero(np.isfinite(poses[:, needed]).all(axis=(1, 2, 3)))
    chosen = chosen[:: max(1, -(-len(chosen) // _MOST_FRAMES))]
    poses = poses[chosen]
    at = offsets[chosen] if offsets.ndim == 3 else np.broadcast_to(offsets, (len(poses), *offsets.shape))
    placed = positions(poses, None, skeleton, np.nan_to_num(at))
    if len(poses):
        up = up_direction(placed, mapping)
        good = np.flatnonzero(stands(placed, mapping, up, strict=False))
        if good.size:
            score = _unrest(placed, mapping, up)
            order = good[np.argsort(score[good], kind="stable")][: max(1, int(_BEST_SHARE * len(poses)))]
            return poses, np.nan_to_num(at), order
    raise mismatch(
        "rest pose of the rig",
        f"{STANDING}, or frames or a reference that do",
        f"no standing pose at rest nor in {len(chosen)} frames",
    )


def _unrest(placed: Array, mapping: RigMap, up: Array) -> Array:
    """Return (T,) how far poses are from standing at ease with the arms beside the body."""
    forward = body_axes(placed, mapping, up)[..., 2]
    score = 2 * (1 - trunk_direction(placed, mapping) @ up)
    for cosine in _leg_cosines(placed, mapping, up):
        score = score + (1 - cosine)
    for side in ("left", "right"):
        upper = bone_between(placed, mapping, f"{side}_shoulder", f"{side}_elbow")
        lower = bone_between(placed, mapping, f"{side}_elbow", f"{side}_wrist")
        if upper is not None:
            score = score + 0.5 * (unit(upper) * forward).sum(-1) ** 2
            if lower is not None:
                score = score + 0.5 * (1 - (unit(upper) * unit(lower)).sum(-1))
    return score


def faces_backwards(placed: Array, mapping: RigMap, up: Array) -> bool:
    """Return whether both feet point against the way that a body with these hips faces."""
    forward = body_axes(placed, mapping, up)[..., 2]
    shares = []
    for side in ("left", "right"):
        bone = bone_between(placed, mapping, f"{side}_ankle", f"{side}_foot")
        if bone is None:
            return False
        flat = bone - (bone @ up)[:, None] * up
        if np.linalg.norm(flat, axis=-1).mean() < 0.3 * np.linalg.norm(bone, axis=-1).mean():
            return False
        shares.append(float((unit(flat) * forward).sum(-1).mean()))
    return max(shares) < -0.5
