"""The joint sets that body-aware networks know: names in order, the root, and which joint is whose mirror image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of all training data with joint sets; a camera's own frame.
AXES = "x right, y down, z away from the camera"


@dataclass(frozen=True)
class JointSet:
    """Joints in a fixed order.

    Attributes:
        joints: J names; those of one side begin with ``left_`` or ``right_``.
        root: indices of the joints whose mean position is the root.
    """

    joints: tuple[str, ...]
    root: tuple[int, ...]

    @property
    def swap(self) -> NDArray[np.int64]:
        """(J,) index of each joint's counterpart on the other side; its own where it has none."""
        sides = {"left": "right", "right": "left"}
        names = ["_".join([sides.get(side, side), *rest]) for side, *rest in (name.split("_") for name in self.joints)]
        return np.array([self.joints.index(name) for name in names])


def mirrored(positions: NDArray[Any], swap: Sequence[int] | NDArray[np.int64]) -> NDArray[Any]:
    """Return positions (..., J, 3) as a mirror shows them: x reversed, left joints where right ones were.

    Args:
        positions: (..., J, 3), x to the side.
        swap: (J,) index of each joint's counterpart.
    """
    return positions[..., np.asarray(swap), :] * np.array([-1, 1, 1], positions.dtype)


def _sides(*parts: str) -> tuple[str, ...]:
    return tuple(f"{side}_{part}" for part in parts for side in ("left", "right"))


def _limb(side: str, *parts: str) -> tuple[str, ...]:
    return tuple(f"{side}_{part}" for part in parts)


_LEG, _ARM = ("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")

JOINT_SETS: dict[str, JointSet] = {
    # The landmarks of MediaPipe Pose that have a counterpart in a skeleton, as paired files have them.
    "mediapipe_15": JointSet(
        ("nose", *_sides("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot_index")), (7, 8)
    ),
    # Human3.6M (Ionescu et al., TPAMI 2014), the 17 joints and their order of most published results.
    "h36m_17": JointSet(
        (
            "pelvis",
            *_limb("right", *_LEG),
            *_limb("left", *_LEG),
            "spine",
            "thorax",
            "nose",
            "head",
            *_limb("left", *_ARM),
            *_limb("right", *_ARM),
        ),
        (0,),
    ),
    # SMPL (Loper et al., SIGGRAPH Asia 2015).
    "smpl_24": JointSet(
        (
            "pelvis",
            *_sides("hip"),
            "spine1",
            *_sides("knee"),
            "spine2",
            *_sides("ankle"),
            "spine3",
            *_sides("foot"),
            "neck",
            *_sides("collar"),
            "head",
            *_sides("shoulder", "elbow", "wrist", "hand"),
        ),
        (0,),
    ),
}
