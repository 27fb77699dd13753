"""Rotations down a skeleton and over time: local and global, their mean, what lies between, how fast they turn.

Rotations are matrices as in :mod:`smpl_tools.rotations`: active, on column vectors. Where the joints are is told by
:func:`smpl_tools.skeleton.positions`.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch, one_of
from smoothnet_core.rotations import geodesic_angle, interpolate, matrix_to_axis_angle, project_to_so3
from smpl_tools.frame_rates import checked_rate

__all__ = [
    "angular_acceleration",
    "angular_velocity",
    "geodesic_angle",
    "global_rotations",
    "local_rotations",
    "mean_rotation",
    "slerp",
]

Array = NDArray[np.float64]
Frame = Literal["world", "body"]

# Two signed singular values of a mean rotation that cancel to within this leave a whole circle of nearest rotations.
_AMBIGUOUS = 1e-9


def global_rotations(rotations: ArrayLike, parents: ArrayLike) -> Array:
    """Return the rotations of joints in the scene, ``R[c] = R[parent] @ r[c]``.

    Args:
        rotations: (..., J, 3, 3), e.g. (T, J, 3, 3), each relative to its parent; a root's to the scene.
        parents: (J,) index of the parent, -1 for a root; a parent stands before its children.

    Returns:
        (..., J, 3, 3) float64. NaN below joints that were not observed.

    Raises:
        ValueError: a shape is not as above, or a parent stands after its child.
    """
    local, tree = _on_tree(rotations, parents)
    turned = np.empty_like(local)
    for joint, parent in enumerate(tree):
        if parent < 0:
            turned[..., joint, :, :] = local[..., joint, :, :]
        else:
            np.matmul(turned[..., parent, :, :], local[..., joint, :, :], out=turned[..., joint, :, :])
    return turned


def local_rotations(rotations: ArrayLike, parents: ArrayLike) -> Array:
    """Return the rotations of joints relative to their parents, ``r[c] = R[parent]^T @ R[c]``.

    Args:
        rotations: (..., J, 3, 3), e.g. (T, J, 3, 3), each in the scene.
        parents: (J,) as in :func:`global_rotations`.

    Returns:
        (..., J, 3, 3) float64. NaN where the joint or its parent was not observed.

    Raises:
        ValueError: a shape is not as above, or a parent stands after its child.
    """
    turned, tree = _on_tree(rotations, parents)
    local = turned.copy()
    children = np.flatnonzero(tree >= 0)
    local[..., children, :, :] = turned[..., tree[children], :, :].swapaxes(-1, -2) @ turned[..., children, :, :]
    return local


def mean_rotation(matrices: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Return the rotation with the least sum of squared chordal (Frobenius) distances to N rotations.

    That is the rotation nearest to their arithmetic mean (R. Hartley et al., "Rotation averaging", IJCV 103, 2013).

    Args:
        matrices: (..., N, 3, 3). Rotations with NaN in them are left out.
        weights: (N,) or (..., N), not negative; None: all the same.

    Returns:
        (..., 3, 3) float64; NaN where no rotation is left.

    Raises:
        ValueError: a shape or a weight is not as above, or rotations cancel so that many are equally near (half a turn
            about an axis and the identity, say).
    """
    given = _matrices(matrices, "(..., N, 3, 3)")
    seen = np.asarray(np.isfinite(given).all(axis=(-1, -2)))
    share = np.ones(given.shape[-3]) if weights is None else np.asarray(weights, np.float64)
    if share.shape not in (given.shape[-3:-2], given.shape[:-2]):
        raise mismatch("shape of weights", f"{given.shape[-3:-2]} or {given.shape[:-2]}", share.shape)
    if not (np.isfinite(share).all() and (share >= 0).all()):
        raise mismatch("weights", "finite numbers, none negative", "others")
    share = np.where(seen, share, 0.0)
    total = share.sum(axis=-1)
    left = total > 0
    share = share / np.where(left, total, 1.0)[..., None]
    mean = np.einsum("...n,...nij->...ij", share, np.where(seen[..., None, None], given, 0.0))
    mean[~left] = np.eye(3)
    singular = np.linalg.svd(mean, compute_uv=False)
    # With a mirrored mean the nearest rotation pays for the smallest singular value.
    smallest = np.where(np.linalg.det(mean) < 0, -singular[..., 2], singular[..., 2])
    cancelled = int((singular[..., 1] + smallest <= _AMBIGUOUS).sum())
    if cancelled:
        raise mismatch("rotations to average", "one mean", f"rotations that cancel, in {cancelled} of {left.size}")
    nearest = project_to_so3(mean)
    nearest[~left] = np.nan
    return nearest


def slerp(times: ArrayLike, matrices: ArrayLike, at: ArrayLike) -> Array:
    """Return the rotations at other times: between two keys at constant speed the shortest way, on a key the key.

    Args:
        times: (T,) strictly increasing, any unit.
        matrices: (T, ..., 3, 3), e.g. (T, J, 3, 3); NaN where not observed.
        at: (M,) in the same unit, none before the first or after the last of ``times``.

    Returns:
        (M, ..., 3, 3) float64; NaN where one of the two keys is. Between keys half a turn apart either way may be
        taken.

    Raises:
        ValueError: shapes or times are not as above.
    """
    clock, wanted = np.asarray(times, np.float64), np.asarray(at, np.float64)
    keys = _over_time(matrices)
    if clock.shape != keys.shape[:1] or not len(clock):
        raise mismatch("shape of times", f"one time for each of {len(keys)} rotations, at least 1", clock.shape)
    if not (np.isfinite(clock).all() and (np.diff(clock) > 0).all()):
        raise mismatch("times", "finite and strictly increasing", "others")
    if wanted.ndim != 1:
        raise mismatch("shape of at", "(M,)", wanted.shape)
    if not ((wanted >= clock[0]) & (wanted <= clock[-1])).all():
        raise mismatch("at", f"times from {clock[0]:g} to {clock[-1]:g}", "others")
    before = np.searchsorted(clock, wanted, side="right") - 1
    after = np.minimum(before + 1, len(clock) - 1)
    on_key = clock[before] == wanted
    result = keys[before]
    start, end = before[~on_key], after[~on_key]
    share = (wanted[~on_key] - clock[start]) / (clock[end] - clock[start])
    share = np.broadcast_to(share.reshape(-1, *[1] * (keys.ndim - 3)), (len(share), *keys.shape[1:-2]))
    result[~on_key] = interpolate(keys[start], keys[end], share)
    return result


def angular_velocity(matrices: ArrayLike, fps: float, *, frame: Frame = "world") -> Array:
    """Return how fast and about which axis rotations turn, in radians per second.

    Between two frames it is the rotation vector of ``R[t + 1] @ R[t]^T`` times ``fps``, exact for a steady turn; at a
    frame the mean of the two around it, which is exact to second order. At the first and last frame it goes on with
    the acceleration of the frame beside it, where that is known.

    Args:
        matrices: (T, ..., 3, 3), e.g. (T, J, 3, 3); from frame to frame less than half a turn.
        fps: frames a second.
        frame: ``world``: along the axes that the matrices turn into, ``dR/dt = [w] R``; for rotations relative to a
            parent these are the parent's. ``body``: along the turning joint's own, ``dR/dt = R [w]``.

    Returns:
        (T, ..., 3) float64; NaN where the frame or one beside it is, or there is a single frame.

    Raises:
        ValueError: a shape, ``fps`` or ``frame`` is not as above.
    """
    turned, steps = _steps(matrices, fps, frame)
    result = np.full((len(turned), *turned.shape[1:-1]), math.nan)
    if len(steps):
        result[1:-1] = (steps[1:] + steps[:-1]) / 2
        bend = np.nan_to_num(np.diff(steps, axis=0) / 2) if len(steps) > 1 else np.zeros_like(steps)
        result[0], result[-1] = steps[0] - bend[0], steps[-1] + bend[-1]
    return _in_frame(result, turned, frame)


def angular_acceleration(matrices: ArrayLike, fps: float, *, frame: Frame = "world") -> Array:
    """Return the change of the angular velocity, in radians per second squared.

    The central difference of the exact velocities between frames; the first and last frame have that of the frame
    beside them. In the body's axes too it is the derivative of the velocity, since ``d(R^T w)/dt = R^T dw/dt``.

    Args:
        matrices: as in :func:`angular_velocity`.
        fps: frames a second.
        frame: the axes, as in :func:`angular_velocity`.

    Returns:
        (T, ..., 3) float64; NaN where the frame or one beside it is, or there are fewer than three frames.

    Raises:
        ValueError: a shape, ``fps`` or ``frame`` is not as above.
    """
    turned, steps = _steps(matrices, fps, frame)
    result = np.full((len(turned), *turned.shape[1:-1]), math.nan)
    if len(steps) > 1:
        result[1:-1] = np.diff(steps, axis=0) * float(fps)
        result[0], result[-1] = result[1], result[-2]
    return _in_frame(result, turned, frame)


def _steps(matrices: ArrayLike, fps: float, frame: str) -> tuple[Array, Array]:
    """Return the matrices and (T - 1, ..., 3) the angular velocities between frames, in the world's axes."""
    one_of("frame", frame, ("world", "body"))
    rate = checked_rate("fps", fps)
    turned = _over_time(matrices)
    return turned, matrix_to_axis_angle(turned[1:] @ turned[:-1].swapaxes(-1, -2)) * rate


def _in_frame(vectors: Array, matrices: Array, frame: str) -> Array:
    return vectors if frame == "world" else (matrices.swapaxes(-1, -2) @ vectors[..., None])[..., 0]


def _over_time(matrices: ArrayLike) -> Array:
    return _matrices(matrices, "(T, ..., 3, 3)")


def _matrices(matrices: ArrayLike, shape: str) -> Array:
    array = np.asarray(matrices, np.float64)
    if array.ndim < 3 or array.shape[-2:] != (3, 3):
        raise mismatch("shape of matrices", shape, array.shape)
    return array


def _on_tree(rotations: ArrayLike, parents: ArrayLike) -> tuple[Array, NDArray[np.int64]]:
    tree = np.asarray(parents)
    if tree.ndim != 1 or (tree.size and tree.dtype.kind not in "iu"):
        raise mismatch("parents", "whole numbers (J,)", f"shape {tree.shape}, dtype {tree.dtype}")
    array = np.asarray(rotations, np.float64)
    if array.ndim < 3 or array.shape[-3:] != (len(tree), 3, 3):
        raise mismatch("shape of rotations", f"(..., {len(tree)}, 3, 3)", array.shape)
    if not (tree < np.arange(len(tree))).all():
        raise mismatch("parents of the skeleton", "each before its children", tree.tolist())
    return array, tree.astype(np.int64)
