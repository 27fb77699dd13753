"""Refined rotations judged at the joints: a degree at the spine moves the hands farther than a degree at a wrist.

Rotations refined each by itself place the joints by the sum of all that is left along a chain, and lose what an
estimator's errors make up for in one another: a hand may be where it should be although no rotation above it is right.
Here the joints that the unrefined rotations place are refined as positions as well, and the refined rotations are
turned a little further so that the joints come near to these. Bone lengths cannot change.

Positions are relative to the root, so that neither the unit nor the noise of its place matters. In the scene, hands and
feet came up to 3 % nearer where the root was as well known as the rotations, and the pose was up to 11 % worse where
the root shook five times as much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from smpl_tools.motion import Skeleton
from smpl_tools.skeleton import positions

Array = NDArray[np.float64]

# What a change of a rotation costs against one of a position, in units of what the refiner took for noise in each.
# Found with the Gaussian on positions (see ``smpl_tools.joint_tracks``) on paired training clips and clean capture with
# errors added; see the study `joints`.
_STIFFNESS = 2.0
# Rotations that were changed by less than this share of the others' change are taken to be right.
_UNCHANGED = 1e-6
# Keeps rotations that no position tells where they are; relative to the square of the body's size.
_FLOOR = 1e-6
# Gauss-Newton steps; after the first one joints move by a hundredth of a millimetre.
_STEPS = 2
# Frames solved at once: their matrices stay small beside a take.
_BLOCK = 256


def refine_at_joints(
    rotations: ArrayLike,
    refined: ArrayLike,
    skeleton: Skeleton,
    refine_positions: Callable[[Array], Array],
    *,
    turning: Sequence[int] | NDArray[np.int64] | None = None,
) -> Array:
    """Return rotations between those refined each by itself and those that place joints where refined positions are.

    Of each frame the sum over joints of the squared distance from the refined position, plus the sum over turning
    joints of ``s_j`` times the squared angle from the refined rotation is made least. ``s_j`` is twice the mean square
    of what refinement moved the positions by, over that of what it turned this rotation by: what was noisy gives way.
    Turning, shifting or scaling the scene or the body changes nothing but the place of the result.

    Args:
        rotations: (T, J, 3, 3) unrefined, each relative to its parent, a root's relative to the scene; without gaps.
        refined: (T, J, 3, 3) the same after refinement.
        skeleton: J joints, parents before children.
        refine_positions: takes (T, J, 3) positions relative to the root, in the skeleton's unit, and returns them
            refined; NaN for joints of which nothing is known.
        turning: the joints whose rotations may change; None: all.

    Returns:
        (T, J, 3, 3) float64; those of other joints are as in ``refined``.

    Raises:
        ValueError: a shape is not as above.
    """
    before, after = np.asarray(rotations, np.float64), np.asarray(refined, np.float64)
    if before.shape != after.shape:
        raise mismatch("shape of refined", before.shape, after.shape)
    placed = from_root(positions(before, None, skeleton), skeleton)
    chosen = np.arange(before.shape[1]) if turning is None else np.asarray(turning, np.int64)
    if not placed.size or not chosen.size:
        return after.copy()
    wanted = np.asarray(refine_positions(placed), np.float64)
    if wanted.shape != placed.shape:
        raise mismatch("shape of the refined positions", placed.shape, wanted.shape)
    # What hangs on a joint that does not turn is no more than carried along.
    counted = np.isin(skeleton.parents, chosen) & np.isfinite(wanted).all(axis=(0, 2))
    wanted = np.where(counted[:, None], from_root(wanted, skeleton), 0.0)
    noise = np.square(wanted - placed).sum(axis=2)[:, counted]
    turned = matrix_to_axis_angle(after[:, chosen] @ before[:, chosen].swapaxes(-1, -2))
    angles = np.square(turned).sum(axis=2).mean(axis=0)
    noisy = angles > _UNCHANGED * angles.mean()
    if not noise.size or not noisy.any():
        return after.copy()
    stiffness = _STIFFNESS * noise.mean() / angles[noisy]
    return toward_positions(
        after, wanted, skeleton, turning=chosen[noisy], stiffness=stiffness, weights=counted.astype(np.float64)
    )


def toward_positions(
    rotations: ArrayLike,
    wanted: ArrayLike,
    skeleton: Skeleton,
    *,
    turning: Sequence[int] | NDArray[np.int64],
    stiffness: ArrayLike,
    weights: ArrayLike | None = None,
    steps: int = _STEPS,
) -> Array:
    """Turn joints so that they come near to wanted positions, each frame by itself (Gauss-Newton).

    Made least is ``sum_c w_c |p_c - wanted_c|^2 + sum_j s_j a_j^2``, with ``a_j`` the angle by which joint j is turned
    away from ``rotations``. With ``R[j] -> exp([x_j]) R[j]`` in the scene's axes a joint c below j moves by
    ``x_j x (p_c - p_j)``; the normal equations follow from the sums of ``w_c``, ``w_c p_c`` and ``w_c p_c p_c^T`` over
    what hangs on each joint, as a chain's inertia does from those of its bodies.

    Args:
        rotations: (T, J, 3, 3), each relative to its parent, a root's relative to the scene.
        wanted: (T, J, 3) positions relative to the root, in the skeleton's unit; finite.
        skeleton: J joints, parents before children.
        turning: K indices of the joints that may turn.
        stiffness: (K,) ``s_j``, in the square of the skeleton's unit. Below a millionth of the square of the body's
            size it counts as that: no position tells the twist of a straight limb.
        weights: (J,) ``w_c``; None: 1.
        steps: of Gauss-Newton.

    Returns:
        (T, J, 3, 3) float64; joints that do not turn keep their numbers.

    Raises:
        ValueError: a shape is not as above.
    """
    start = np.asarray(rotations, np.float64)
    target = np.asarray(wanted, np.float64)
    if target.shape != (*start.shape[:2], 3):
        raise mismatch("shape of wanted", (*start.shape[:2], 3), target.shape)
    chosen = np.asarray(turning, np.int64)
    stiff = np.asarray(stiffness, np.float64)
    if stiff.shape != chosen.shape:
        raise mismatch("shape of stiffness", chosen.shape, stiff.shape)
    weight = np.ones(start.shape[1]) if weights is None else np.asarray(weights, np.float64)
    if weight.shape != start.shape[1:2]:
        raise mismatch("shape of weights", start.shape[1:2], weight.shape)
    size = np.square(from_root(positions(start[:1], None, skeleton), skeleton)).sum(axis=2)
    if not size.any() or not chosen.size:
        return start.copy()
    stiff = np.maximum(stiff, _FLOOR * size.mean())
    result = start.copy()
    for first in range(0, len(start), _BLOCK):
        rows = slice(first, first + _BLOCK)
        for _ in range(steps):
            above, matrix, vector = normal_equations(
                result[rows], start[rows], target[rows], skeleton, chosen, stiff, weight
            )
            turn = np.linalg.solve(matrix, vector[..., None])[..., 0].reshape(len(vector), -1, 3)
            # From the scene's axes to those of the parent, in which the rotation is stated.
            local = (above.swapaxes(-1, -2) @ turn[..., None])[..., 0]
            result[rows, chosen] = axis_angle_to_matrix(local) @ result[rows, chosen]
    return result


def normal_equations(
    rotations: Array,
    start: Array,
    wanted: Array,
    skeleton: Skeleton,
    turning: NDArray[np.int64],
    stiffness: Array,
    weights: Array,
) -> tuple[Array, Array, Array]:
    """Return the Gauss-Newton system of :func:`toward_positions` at ``rotations``.

    Args:
        rotations: (T, J, 3, 3) where the system is set up.
        start: (T, J, 3, 3) from which turning is counted.
        wanted: (T, J, 3) relative to the root.
        skeleton: J joints.
        turning: (K,) indices.
        stiffness: (K,) of turns.
        weights: (J,) of positions.

    Returns:
        The rotations (T, K, 3, 3) of the turning joints' parents in the scene, the matrix (T, 3 K, 3 K) and the right
        side (T, 3 K). The solution are K rotation vectors in the scene's axes.
    """
    frames, count = len(rotations), len(turning)
    placed = from_root(positions(rotations, None, skeleton), skeleton)
    below = descendants(skeleton)
    above = _parents_turned(rotations, skeleton)[:, turning]
    at = placed[:, turning]
    hanging = below[turning] * weights
    # Of what hangs on each joint: mass, first and second moment, force and torque about the root.
    mass = hanging.sum(axis=1)
    first = np.einsum("kc,tci->tki", hanging, placed)
    second = np.einsum("kc,tcij->tkij", hanging, placed[..., :, None] * placed[..., None, :])
    pull = wanted - placed
    force = np.einsum("kc,tci->tki", hanging, pull)
    torque = np.einsum("kc,tci->tki", hanging, np.cross(placed, pull)) - np.cross(at, force)

    # Joints on one chain move the same ones: all that hangs on the lower.
    up, low = np.nonzero(below[np.ix_(turning, turning)] | np.eye(count, dtype=bool))
    moment = (
        second[:, low]
        - first[:, low, :, None] * at[:, up, None, :]
        - at[:, low, :, None] * first[:, low, None, :]
        + mass[low, None, None] * at[:, low, :, None] * at[:, up, None, :]
    )
    shared = np.trace(moment, axis1=2, axis2=3)[..., None, None] * np.eye(3) - moment
    matrix = np.zeros((frames, count, count, 3, 3))
    matrix[:, up, low] = shared
    matrix[:, low, up] = shared.swapaxes(-1, -2)
    own = np.arange(count)
    matrix[:, own, own] += stiffness[:, None, None] * np.eye(3)

    back = matrix_to_axis_angle(start[:, turning] @ rotations[:, turning].swapaxes(-1, -2))
    vector = torque + stiffness[:, None] * (above @ back[..., None])[..., 0]
    full = matrix.transpose(0, 1, 3, 2, 4).reshape(frames, 3 * count, 3 * count)
    return above, full, vector.reshape(frames, 3 * count)


def descendants(skeleton: Skeleton) -> NDArray[np.bool_]:
    """Return (J, J): whether the second joint hangs on the first, itself not counted."""
    count = len(skeleton.joints)
    below = np.zeros((count, count), bool)
    for joint in range(count - 1, -1, -1):
        parent = skeleton.parents[joint]
        if parent >= 0:
            below[parent] |= below[joint]
            below[parent, joint] = True
    return below


def from_root(placed: Array, skeleton: Skeleton) -> Array:
    """Return positions (T, J, 3) relative to each joint's root."""
    roots: list[int] = []
    for joint, parent in enumerate(skeleton.parents):
        roots.append(joint if parent < 0 else roots[parent])
    return placed - placed[:, roots]


def _parents_turned(rotations: Array, skeleton: Skeleton) -> Array:
    """Return the rotations (T, J, 3, 3) of each joint's parent in the scene, the identity for a root."""
    turned, above = np.empty_like(rotations), np.empty_like(rotations)
    for joint, parent in enumerate(skeleton.parents):
        above[:, joint] = np.eye(3) if parent < 0 else turned[:, parent]
        np.matmul(above[:, joint], rotations[:, joint], out=turned[:, joint])
    return above
