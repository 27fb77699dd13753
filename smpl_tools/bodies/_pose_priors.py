"""What is taken for likely of a pose where the positions of joints do not tell it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smpl_tools.bodies._least_squares import cross_matrix
from smpl_tools.rotations import matrix_to_quat_wxyz

Array = NDArray[np.float64]

# Weights in square metres for a square radian: a radian that weighs 1e-4 counts as much as a joint off by 1 cm. A bone
# as long as an upper arm has a stiffness of about 0.06, so these decide only what the positions leave open.
_ANY_TURN = 1e-5
_TWIST = 1e-4
_COLLAR = 3e-5
_UNTOLD = 1e-4
_SPINE = 1e-3
_OFF_HINGE = 1e-3
_BACKWARDS = 3e-3
_CHANGE = 3e-4


class PosePriors:
    """Small weights on rotations relative to the parent: all, twists, off a hinge, backwards, and changes over time.

    A rotation by the angle a about n is measured by the vector ``2 sin(a / 2) n``, twice the quaternion's own. Its part
    along a bone is twice the sine of half the twist, times the cosine of half the swing.
    """

    def __init__(
        self,
        joints: tuple[str, ...],
        parents: NDArray[np.int64],
        places: Array,
        told: NDArray[np.bool_],
        foreign: bool,
    ) -> None:
        """Set the weights of J joints at ``places`` (J, 3).

        A chain of bones of which the ends alone are seen should bend evenly and not buckle: ``told`` (J,) is False for
        joints in it. Nor should a spine that is drawn to points which another skeleton has elsewhere (``foreign``).
        """
        count = len(joints)
        self._weights = np.zeros((count, 3, 3))
        self._hinges = np.zeros((count, 3))
        hinges = hinge_axes(joints, parents, places)
        for j, name in enumerate(joints):
            if parents[j] < 0:
                continue
            weight = _COLLAR if name.endswith("collar") else _ANY_TURN
            if not told[j]:
                weight = _UNTOLD
            if name.startswith("spine") and (foreign or not told[j]):
                weight = _SPINE
            self._weights[j] = weight * np.eye(3)
            children = np.flatnonzero(parents == j)
            length = np.linalg.norm(places[children[0]] - places[j]) if len(children) == 1 else 0.0
            if length > 0:
                along = (places[children[0]] - places[j]) / length
                self._weights[j] += _TWIST * np.outer(along, along)
            if j in hinges:
                self._weights[j] += _OFF_HINGE * (np.eye(3) - np.outer(hinges[j], hinges[j]))
                self._hinges[j] = hinges[j]

    def add(
        self, rotations: Array, turned: Array, parents: NDArray[np.int64], wanted: Array | None
    ) -> tuple[Array, Array, Array]:
        """Return cost (T,), and pull (T, J, 3) and square (T, J, 3, 3) for a turn of each joint in the scene's axes.

        Args:
            rotations: (T, J, 3, 3) relative to the parent.
            turned: (T, J, 3, 3) in the scene.
            parents: (J,).
            wanted: (T, J, 3, 3) rotations near which it should stay; None: anywhere.
        """
        vector, slope = _measured(rotations)
        bent = np.minimum((vector * self._hinges).sum(axis=-1), 0.0)
        backwards = _BACKWARDS * (bent < 0)[..., None, None] * (self._hinges[:, :, None] * self._hinges[:, None])
        weights = self._weights + backwards
        cost, pull, square = _quadratic(vector, slope, weights)
        if wanted is not None:
            more = _quadratic(*_measured(rotations @ wanted.swapaxes(-1, -2)), _CHANGE * np.eye(3))
            cost, pull, square = cost + more[0], pull + more[1], square + more[2]
        # From the parent's axes to the scene's.
        carried = np.where((parents < 0)[:, None, None], np.eye(3), turned[:, np.maximum(parents, 0)])
        return cost, (carried @ pull[..., None])[..., 0], carried @ square @ carried.swapaxes(-1, -2)


def hinge_axes(joints: tuple[str, ...], parents: NDArray[np.int64], places: Array) -> dict[int, Array]:
    """Return the axes (3,) about which knees and elbows bend, by index of the joint.

    At rest the body looks along Z: a shin bends backwards and a forearm forwards.
    """
    axes = {}
    for j, name in enumerate(joints):
        part = name.removeprefix("left_").removeprefix("right_")
        if part in ("knee", "elbow") and parents[j] >= 0:
            along = places[j] - places[parents[j]]
            axis = np.cross(along, (0.0, 0.0, -1.0 if part == "knee" else 1.0))
            if np.linalg.norm(axis) > 0:
                axes[j] = axis / np.linalg.norm(axis)
    return axes


def _measured(rotations: Array) -> tuple[Array, Array]:
    """Return ``2 sin(a / 2) n`` (..., 3) and its derivative (..., 3, 3) by a turn before it, ``exp(d) R``.

    From ``exp(d) q = q + (-d . v, w d + d x v) / 2``.
    """
    quat_wxyz = matrix_to_quat_wxyz(rotations)
    real, vector = quat_wxyz[..., :1, None], quat_wxyz[..., 1:]
    return 2 * vector, real * np.eye(3) - cross_matrix(vector)


def _quadratic(vector: Array, slope: Array, weights: Array) -> tuple[Array, Array, Array]:
    weighted = (weights @ vector[..., None])[..., 0]
    across = slope.swapaxes(-1, -2)
    cost = (vector * weighted).sum(axis=(-1, -2))
    return cost, -(across @ weighted[..., None])[..., 0], across @ weights @ slope
