"""The axes of upper arms and legs by the axes that elbows and knees bend about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smpl_tools.rigs.rig_map import RigMap
from smpl_tools.rigs.standing import bone_between, unit
from smpl_tools.rotations import project_to_so3
from smpl_tools.skeleton import SMPL

Array = NDArray[np.float64]

# Where a bone ends, the end of the one below it, and the axis about which that one bends, of the joint at its start.
_HINGES = (
    ("left_hip", "left_knee", "left_ankle", (1, 0, 0)),
    ("right_hip", "right_knee", "right_ankle", (1, 0, 0)),
    ("left_shoulder", "left_elbow", "left_wrist", (0, -1, 0)),
    ("right_shoulder", "right_elbow", "right_wrist", (0, 1, 0)),
)
# Bent is from 20 degrees; fewer frames of it than this share say too little, and so do axes whose mean is shorter.
_BENT, _BENT_SHARE, _HINGED = np.sin(np.deg2rad(20)), 0.02, 0.8


@dataclass(frozen=True, eq=False)
class Poses:
    """A rig in N poses: (N, J, 3, 3) rotations in the scene, (N, J, 3) places, and which stand, the best first."""

    world: Array
    placed: Array
    best: NDArray[np.int64]


def transposed(rotations: Array) -> Array:
    """Return matrices (..., 3, 3) with rows and columns exchanged: the rotations back."""
    return np.swapaxes(rotations, -1, -2)


def by_hinges(poses: Poses, mapping: RigMap, smpl: Array) -> dict[str, Array]:
    """Return the change of axes of upper arms and upper legs, from all frames in which elbow and knee are bent.

    The axis of a knee is SMPL's x at rest, that of an elbow y: with the bone's direction it fixes all of the axes.
    """
    made = {}
    for name, lower, end, axis in _HINGES:
        upper, bent = (bone_between(poses.placed, mapping, *pair) for pair in ((name, lower), (lower, end)))
        if upper is None or bent is None:
            continue
        along = unit(upper)
        across = np.cross(along, unit(bent))
        strength = np.linalg.norm(across, axis=-1)
        used = np.flatnonzero(strength > _BENT)
        if len(used) < max(1, _BENT_SHARE * len(strength)):
            continue
        ours = _pair_axes(smpl[SMPL.joints.index(lower)][None], np.array([axis], np.float64))
        theirs = _pair_axes(along[used], across[used])
        turned = transposed(poses.world[used, mapping.chains[SMPL.joints.index(name)][-1]]) @ theirs @ transposed(ours)
        mean = (strength[used, None, None] * turned).sum(axis=0) / strength[used].sum()
        # What bends about all sorts of axes, as in a take that is mostly noise, has no hinge.
        if np.linalg.norm(mean @ ours[0, :, 1]) > _HINGED:
            made[name] = project_to_so3(mean)
    return made


def _pair_axes(along: Array, across: Array) -> Array:
    """Return the axes (T, 3, 3) of which the first is along the one and the second as near as can be to the other."""
    first = unit(along)
    second = unit(across - (across * first).sum(-1)[:, None] * first)
    return np.stack([first, second, np.cross(first, second)], axis=-1)
