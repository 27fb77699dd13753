"""SMPL's 24 joints as the hierarchy of a BVH file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.motion import Skeleton
from smpl_tools.skeleton import SMPL

# Where the body ends beyond its last joints, as shares of the bone to that joint, or in metres for the crown.
_BEYOND = {"left_foot": 0.6, "right_foot": 0.6, "left_hand": 1.1, "right_hand": 1.1}
_CROWN = (0.0, 0.17, 0.0)


@dataclass(frozen=True, eq=False)
class SmplBvh:
    """A hierarchy to write.

    Attributes:
        skeleton: SMPL's 24 joints in the order of a BVH file: each joint's children follow it, one branch after the
            other. Offsets in metres, the root's zero.
        end_sites: offset (3,) in metres of the end site of each joint that has no children, by name.
        order: (24,) index in SMPL's order of each of the skeleton's joints.
    """

    skeleton: Skeleton
    end_sites: dict[str, NDArray[np.float64]]
    order: NDArray[np.int64]


def smpl_bvh_skeleton(offsets: ArrayLike | None = None) -> SmplBvh:
    """Return SMPL's joints as a hierarchy in the order that a BVH file has them in.

    Args:
        offsets: (24, 3) rest position of each joint relative to its parent in metres, e.g. those of a body model's
            shape; the root's is taken as zero. None takes those of ``smpl_tools.skeleton.SMPL``.

    Raises:
        ValueError: ``offsets`` have another shape.
    """
    given = np.asarray(SMPL.offsets if offsets is None else offsets, np.float64)
    if given.shape != (24, 3):
        raise mismatch("shape of offsets", (24, 3), given.shape)
    order: list[int] = []
    stack = [0]
    while stack:
        joint = stack.pop()
        order.append(joint)
        stack += np.flatnonzero(SMPL.parents == joint)[::-1].tolist()
    parents = np.array([order.index(int(SMPL.parents[j])) if SMPL.parents[j] >= 0 else -1 for j in order], np.int64)
    placed = given[order].copy()
    placed[0] = 0
    names = tuple(SMPL.joints[j] for j in order)
    ends = {name: share * given[SMPL.joints.index(name)] for name, share in _BEYOND.items()}
    # Toes go on level, whatever the height of the ankle.
    for name in ("left_foot", "right_foot"):
        ends[name][1] = 0.0
    ends["head"] = np.array(_CROWN)
    return SmplBvh(Skeleton(names, parents, placed), ends, np.array(order, np.int64))
