"""What a fit of a body gives: pose, shape, translation, and how far it is from what was seen."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smpl_tools.rotations import axis_angle_to_matrix, continuous_axis_angle, matrix_to_axis_angle

Array = NDArray[np.float64]

_FINGER = re.compile("(left|right)_(index|middle|pinky|ring|thumb)[123]")
_FACE = ("jaw", "left_eye_smplhf", "right_eye_smplhf")


@dataclass(frozen=True, eq=False)
class Fit:
    """A body fitted to T frames.

    Attributes:
        joints: J names, those of the model.
        axis_angle: (T, J, 3) radians, each joint relative to its parent; continuous over time, so that lengths may
            exceed pi. NaN in frames in which nothing was seen.
        transl: (T, 3) metres; NaN as above.
        betas: (K,) shape of the whole take, (T, K) where each frame has its own, None for a plain skeleton.
        places: (J, 3) or (T, J, 3) the joints at rest with that shape, metres.
        mean_error: (T,) mean distance in metres between what was seen and where the body puts it; NaN as above.
        max_error: (T,) the largest one.
        converged: (T,) False where the steps ran out before the error stopped falling; False where nothing was seen.
        iterations: steps that the slowest frame took.
    """

    joints: tuple[str, ...]
    axis_angle: Array
    transl: Array
    betas: Array | None
    places: Array
    mean_error: Array
    max_error: Array
    converged: NDArray[np.bool_]
    iterations: int

    @property
    def rotations(self) -> Array:
        """(T, J, 3, 3) of each joint relative to its parent."""
        return axis_angle_to_matrix(self.axis_angle)

    @property
    def global_orient(self) -> Array:
        """(T, 1, 3) axis-angle of the first joint in the scene."""
        return self.axis_angle[:, :1]

    @property
    def body_pose(self) -> Array:
        """(T, 23, 3) of SMPL, (T, 21, 3) of SMPL-H and SMPL-X: all other joints but fingers, jaw and eyes."""
        return self._part([name for name in self.joints[1:] if not _FINGER.fullmatch(name) and name not in _FACE])

    @property
    def left_hand_pose(self) -> Array | None:
        """(T, 15, 3), None for a body without fingers."""
        return self._fingers("left")

    @property
    def right_hand_pose(self) -> Array | None:
        """(T, 15, 3), None for a body without fingers."""
        return self._fingers("right")

    @property
    def face_pose(self) -> Array | None:
        """(T, 3, 3) of jaw, left and right eye, None for a body without."""
        return self._part(list(_FACE)) if set(_FACE) <= set(self.joints) else None

    def _fingers(self, side: str) -> Array | None:
        names = [name for name in self.joints if name.startswith(side) and _FINGER.fullmatch(name)]
        return self._part(names) if names else None

    def _part(self, names: list[str]) -> Array:
        return self.axis_angle[:, [self.joints.index(name) for name in names]]


def continuous(rotations: Array) -> Array:
    """Return the rotation vectors (T, J, 3) of matrices (T, J, 3, 3), each the nearest to the one before it."""
    return continuous_axis_angle(matrix_to_axis_angle(rotations)) if len(rotations) else np.zeros(rotations.shape[:3])


def evenly(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return at most ``count`` of the rows, evenly spread, the same ones counted from either end."""
    if len(rows) <= count:
        return rows
    first = np.floor(np.linspace(0, (len(rows) - 1) / 2, (count + 1) // 2)).astype(int)
    return rows[np.unique(np.concatenate([first, len(rows) - 1 - first]))]
