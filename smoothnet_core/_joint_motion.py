"""How vectors move together: a Gaussian model of their accelerations, and what it says of a track known in part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, get_lapack_funcs
from scipy.ndimage import gaussian_filter1d

from smoothnet_core.inference.blas import product

Array = NDArray[np.float64]

# Of the mean variance of the accelerations, this much is added to each: no number is told wholly by the others.
_OWN = 0.02
# Frames over which the size of accelerations is averaged, and the least of its mean that any stretch has.
_BURST, _CALMEST = 3.0, 0.02
_factor, _from_factor = get_lapack_funcs(("potrf", "potri"), dtype=np.float64)
# Second differences.
_DIFFERENCE = np.array([1.0, -2.0, 1.0])


@dataclass(frozen=True, eq=False)
class JointMotion:
    """Accelerations are Gaussian, with one covariance between the C numbers of a frame, times a size of its own.

    Attributes:
        precision: (C, C), the inverse of the covariance.
        size: (T - 2,) by which the covariance is multiplied from frame to frame.
    """

    precision: Array
    size: Array


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is known of a track.

    Attributes:
        mean: (T, C).
        variance: (T, C).
        accelerations: (T - 2, C, C) expected outer products of the accelerations with themselves.
    """

    mean: Array
    variance: Array
    accelerations: Array


def motion_of(accelerations: Array, before: JointMotion | None = None) -> JointMotion:
    """Return the model that outer products of accelerations (T - 2, C, C) tell, a step on from the one before."""
    if before is None:
        before = JointMotion(_inverse(_widened(accelerations.mean(axis=0))), np.ones(len(accelerations)))
    size = np.einsum("tab,ab->t", accelerations, before.precision) / len(before.precision)
    size = gaussian_filter1d(size, _BURST, mode="nearest")
    size = np.maximum(size, _CALMEST * size.mean())
    covariance = np.einsum("t,tab->ab", 1 / size, accelerations) / len(size)
    return JointMotion(_inverse(_widened(covariance)), size)


def outer_products(track: Array) -> Array:
    """Return (T - 2, C, C) of the accelerations of a track (T, C)."""
    acceleration = np.diff(track, n=2, axis=0)
    return acceleration[:, :, None] * acceleration[:, None, :]


def known(motion: JointMotion, precision: Array, information: Array) -> Posterior:
    """Return what a model and independent Gaussian messages about single numbers say of a track.

    A Kalman filter and its smoother on blocks of two frames, in the information form: exact, linear in T.

    Args:
        motion: of C numbers over T frames, T even.
        precision: (T, C) of the messages, above 0.
        information: (T, C), their means times their precisions.
    """
    frames, size = precision.shape
    count, wide = frames // 2, 2 * size
    own, next_ones = _blocks(motion, frames)
    own[:, np.arange(wide), np.arange(wide)] += precision.reshape(count, wide)
    told = information.reshape(count, wide).copy()
    inverses, gains = np.empty_like(own), np.empty_like(next_ones)
    for i in range(count):
        if i:
            own[i] -= product(next_ones[i - 1], gains[i - 1], transposed="first")
            told[i] -= gains[i - 1].T @ told[i - 1]
        inverses[i] = _inverse(own[i])
        if i < count - 1:
            gains[i] = product(inverses[i], next_ones[i])
    mean, variance = np.empty((count, wide)), np.empty((count, wide))
    accelerations = np.empty((frames - 2, size, size))
    later = inverses[-1]
    mean[-1], variance[-1] = later @ told[-1], np.diag(later)
    for i in range(count - 2, -1, -1):
        mean[i] = inverses[i] @ told[i] - gains[i] @ mean[i + 1]
        across = -product(gains[i], later)
        here = inverses[i] - product(across, gains[i], transposed="second")
        variance[i] = np.diag(here)
        _spread_of_accelerations(here, across, later, accelerations[2 * i : 2 * i + 2])
        later = here
    track = mean.reshape(frames, size)
    return Posterior(track, variance.reshape(frames, size), accelerations + outer_products(track))


def _blocks(motion: JointMotion, frames: int) -> tuple[Array, Array]:
    """Return the model's precision as blocks of two frames: (n, 2 C, 2 C) of each, (n - 1, 2 C, 2 C) with the next."""
    size = len(motion.precision)
    weights = np.zeros((3, frames))
    for apart in range(3):
        for i in range(3 - apart):
            weights[apart, i : i + frames - 2] += _DIFFERENCE[i] * _DIFFERENCE[i + apart] / motion.size
    same, one, two = (w[:, None, None] * motion.precision for w in weights)
    own = np.empty((frames // 2, 2, size, 2, size))
    own[:, 0, :, 0], own[:, 1, :, 1] = same[0::2], same[1::2]
    own[:, 0, :, 1] = own[:, 1, :, 0] = one[0::2]
    later = np.zeros((frames // 2 - 1, 2, size, 2, size))
    later[:, 1, :, 0] = one[1:-1:2]
    later[:, 0, :, 0], later[:, 1, :, 1] = two[0:-2:2], two[1:-2:2]
    return own.reshape(-1, 2 * size, 2 * size), later.reshape(-1, 2 * size, 2 * size)


def _spread_of_accelerations(here: Array, across: Array, later: Array, out: Array) -> None:
    """Write the covariances (2, C, C) of the accelerations that begin in a block of two frames.

    Args:
        here: (2 C, 2 C) covariance of the block; ``later``: of the next.
        across: (2 C, 2 C) covariance of the block with the next.
        later: see ``here``.
        out: what is written.
    """
    size = len(here) // 2
    a, b = slice(None, size), slice(size, None)

    def both(matrix: Array) -> Array:
        return matrix + matrix.T

    out[0] = here[a, a] + 4 * here[b, b] + later[a, a]
    out[0] += both(across[a, a] - 2 * here[a, b] - 2 * across[b, a])
    out[1] = here[b, b] + 4 * later[a, a] + later[b, b]
    out[1] += both(across[b, b] - 2 * across[b, a] - 2 * later[a, b])


def _widened(covariance: Array) -> Array:
    return covariance + np.eye(len(covariance)) * (_OWN * np.trace(covariance) / len(covariance))


def _inverse(matrix: Array) -> Array:
    """Return the inverse of a symmetric positive definite matrix."""
    half, failed = _factor(matrix, lower=1)
    if not failed:
        half, failed = _from_factor(half, lower=1)
    if failed:
        raise LinAlgError("a precision is not positive definite")
    half = np.tril(half)
    return half + np.tril(half, -1).T
