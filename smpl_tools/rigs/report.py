"""How far a motion of a rig and the same motion of SMPL are apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smpl_tools.formats._names import listed
from smpl_tools.rigs.rest import Alignment
from smpl_tools.skeleton import SMPL

Array = NDArray[np.float64]

# Where they lie in pelvis and chest differs from rig to rig; they are the ends of no bone that turns by itself.
_ROOTS_OF_LIMBS = tuple(SMPL.joints.index(f"{side}_{n}") for side in ("left", "right") for n in ("hip", "collar"))


@dataclass(frozen=True, eq=False)
class RetargetReport:
    """How far a converted motion is from the one it came from.

    Attributes:
        bones: B pairs of SMPL's joints that have a counterpart in the rig, as ``left_hip-left_knee``; not those to hips
            and collars, whose places in pelvis and chest are each rig's own.
        bone_mean_degrees, bone_max_degrees: (B,) angle between the directions of a bone in the two, over time.
        joints: N names of SMPL's joints that have a counterpart in the rig.
        joint_mean_mm, joint_max_mm: (N,) distance of the target's joints from where they would be if each of its bones
            had the source's direction; in millimetres of the SMPL body.
        placed_mean_mm, placed_max_mm: (N,) distance of the target's joints from the source's, which are only scaled:
            this holds the differences of proportions too.
        scale: metres of the SMPL body a unit of the rig.
        shared: chains of several joints of the rig that are one joint of SMPL, as ``neck: Neck > Neck1``. Only the
            product of their rotations is in the SMPL motion.
        missing: SMPL's joints that the rig has not.
        unmapped: the rig's joints that SMPL has not.
        notes: what is unusual, in sentences.
    """

    bones: tuple[str, ...]
    bone_mean_degrees: Array
    bone_max_degrees: Array
    joints: tuple[str, ...]
    joint_mean_mm: Array
    joint_max_mm: Array
    placed_mean_mm: Array
    placed_max_mm: Array
    scale: float
    shared: tuple[str, ...]
    missing: tuple[str, ...]
    unmapped: tuple[str, ...]
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the report as sentences."""
        made = []
        if np.isfinite(self.bone_max_degrees).any() and np.isfinite(self.joint_max_mm).any():
            worst = int(np.nanargmax(self.bone_max_degrees))
            far = int(np.nanargmax(self.joint_max_mm))
            made += [
                f"directions of bones differ by {np.nanmean(self.bone_mean_degrees):.1f} degrees on average, "
                f"{self.bone_max_degrees[worst]:.1f} at most ({self.bones[worst]})",
                f"joints are off by {np.nanmean(self.joint_mean_mm):.0f} mm on average, "
                f"{self.joint_max_mm[far]:.0f} mm at most ({self.joints[far]}); with the difference in proportions by "
                f"{np.nanmean(self.placed_mean_mm):.0f} mm and {np.nanmax(self.placed_max_mm):.0f} mm",
            ]
        made.append(f"one unit of the rig is {self.scale:.6g} m of the SMPL body")
        for what, names in (
            ("several joints of the rig are one of SMPL's", self.shared),
            ("the rig has no", self.missing),
            ("SMPL has no joint for", self.unmapped),
        ):
            made += [f"{what}: {listed(names, 8)}"] if names else []
        return made + list(self.notes)


def compare(made: Alignment, rig: Array, smpl: Array, *, to_smpl: bool) -> RetargetReport:
    """Compare joints (T, J, 3) of the rig, in metres of the SMPL body, with SMPL's (T, 24, 3)."""
    mapping = made.rig_map
    joints = [j for j in range(24) if mapping.places[j] >= 0]
    ours, theirs = smpl, rig[:, [max(k, 0) for k in mapping.places]]
    source, target = (theirs, ours) if to_smpl else (ours, theirs)
    built = target.copy()
    bones, angles = [], []
    for j in joints:
        parent = int(SMPL.parents[j])
        while parent >= 0 and parent not in joints:
            parent = int(SMPL.parents[parent])
        if parent < 0:
            continue
        one, other = source[:, j] - source[:, parent], target[:, j] - target[:, parent]
        lengths = np.linalg.norm(one, axis=-1), np.linalg.norm(other, axis=-1)
        direction = one
        if j not in _ROOTS_OF_LIMBS and min(np.nanmax(length, initial=0) for length in lengths) > 1e-6:
            bones.append(f"{SMPL.joints[parent]}-{SMPL.joints[j]}")
            cross = np.linalg.norm(np.cross(one, other), axis=-1)
            angles.append(np.rad2deg(np.arctan2(cross, (one * other).sum(-1))))
            direction = one / lengths[0][:, None] * lengths[1][:, None]
        else:
            direction = other
        built[:, j] = built[:, parent] + direction
    off = 1000 * np.linalg.norm(built[:, joints] - target[:, joints], axis=-1)
    apart = 1000 * np.linalg.norm(source[:, joints] - target[:, joints], axis=-1)
    turned = np.array(angles).T.reshape(len(rig), len(bones))
    shared = tuple(
        f"{SMPL.joints[j]}: {' > '.join(mapping.joints[k] for k in chain)}"
        for j, chain in enumerate(mapping.chains)
        if len(chain) > 1
    )
    return RetargetReport(
        tuple(bones),
        *_mean_and_max(turned),
        tuple(SMPL.joints[j] for j in joints),
        *_mean_and_max(off),
        *_mean_and_max(apart),
        made.scale,
        shared,
        mapping.missing,
        mapping.unmapped,
        made.notes,
    )


def _mean_and_max(values: Array) -> tuple[Array, Array]:
    """Return mean and maximum over time of what is finite, NaN where nothing is."""
    seen = np.isfinite(values)
    some = seen.any(axis=0)
    mean = np.where(some, np.where(seen, values, 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1), np.nan)
    return mean, np.where(some, np.where(seen, values, -np.inf).max(axis=0, initial=-np.inf), np.nan)
