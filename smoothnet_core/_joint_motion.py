"""How vectors stand and move together: a Gaussian model of a take, and what it says of a track known in part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, get_lapack_funcs
from scipy.ndimage import gaussian_filter1d

from smoothnet_core.inference.blas import product

Array = NDArray[np.float64]

# Of the mean variance of the accelerations, and of the poses, this much is added to each: no number is told wholly by
# the others.
_OWN, _OWN_PLACE = 0.02, 1e-3
# What a pose is likely to be counts once for so many frames: those after it are nearly the same pose.
_ALIKE = 10.0
# Frames over which the size of accelerations is averaged, and the least of its mean that any stretch has.
_BURST, _CALMEST = 3.0, 0.02
# A vector so many times farther than usual from what the others say is taken to be off at first.
FAR = 4.0
_TOLD_ROUNDS = 30
_factor, _from_factor = get_lapack_funcs(("potrf", "potri"), dtype=np.float64)
# Second differences.
_DIFFERENCE = np.array([1.0, -2.0, 1.0])


@dataclass(frozen=True, eq=False)
class JointMotion:
    """Accelerations and poses are Gaussian, each with one covariance between the C numbers of a frame.

    Attributes:
        precision: (C, C), the inverse of the covariance of accelerations.
        size: (T - 2,) by which that covariance is multiplied from frame to frame.
        places: (C, C), the inverse of the covariance of poses, about 0.
    """

    precision: Array
    size: Array
    places: Array


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is known of a track.

    Attributes:
        mean: (T, C).
        variance: (T, C).
        accelerations: (T - 2, C, C) expected outer products of the accelerations with themselves.
        poses: (C, C) likewise of the frames, their mean.
    """

    mean: Array
    variance: Array
    accelerations: Array
    poses: Array


def exactly(track: Array) -> Posterior:
    """Return a track (T, C) that is known."""
    return Posterior(track, np.zeros_like(track), _outer_products(track), _squared(track) / len(track))


def motion_of(posterior: Posterior) -> JointMotion:
    """Return the model that a track tells."""
    # The plain sum of squares: measured by the covariance, directions that never move would weigh as much as others,
    # and where they are not known they would seem to move.
    size = gaussian_filter1d(np.trace(posterior.accelerations, axis1=1, axis2=2), _BURST, mode="nearest")
    size = np.maximum(size / size.mean(), _CALMEST)
    covariance = np.einsum("t,tab->ab", 1 / size, posterior.accelerations) / len(size)
    places = _inverse(_widened(posterior.poses, _OWN_PLACE))
    return JointMotion(_inverse(_widened(covariance, _OWN)), size, places)


def _outer_products(track: Array) -> Array:
    acceleration = np.diff(track, n=2, axis=0)
    return acceleration[:, :, None] * acceleration[:, None, :]


def told_by_others(track: Array, seen: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return what the other vectors of the same frame say of each, by least squares over the take: (T, N, D).

    With it, how far vectors (N,) usually are from that: the median distance. A vector that is much farther, or not
    seen, counts as what the others say of it. Of a single vector nothing is said but itself.

    Args:
        track: (T, N, D).
        seen: (T, N).
    """
    frames, joints, size = track.shape
    told, kept, usual = track, track, np.zeros(joints)
    for _ in range(_TOLD_ROUNDS if joints > 1 else 0):
        middle = kept.mean(axis=0)
        apart = (kept - middle).reshape(frames, -1)
        precision = _inverse(_widened(_squared(apart) / frames, _OWN_PLACE))
        # A Gaussian's mean of some numbers, given the others, by the precision of all.
        pull = product(apart, precision).reshape(track.shape)
        own = precision.reshape(joints, size, joints, size)[np.arange(joints), :, np.arange(joints)]
        told = kept - np.einsum("tnd,nde->tne", pull, np.linalg.inv(own))
        distance = np.linalg.norm(track - told, axis=2)
        usual = np.nan_to_num(np.nanmedian(np.where(seen | ~seen.any(axis=0), distance, np.nan), axis=0))
        kept = np.where((~seen | (distance > FAR * usual))[:, :, None], told, track)
    return told, usual


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
    poses = _frames_of(later)
    for i in range(count - 2, -1, -1):
        mean[i] = inverses[i] @ told[i] - gains[i] @ mean[i + 1]
        across = -product(gains[i], later)
        here = inverses[i] - product(across, gains[i], transposed="second")
        variance[i] = np.diag(here)
        _spread_of_accelerations(here, across, later, accelerations[2 * i : 2 * i + 2])
        poses += _frames_of(here)
        later = here
    track = mean.reshape(frames, size)
    poses = (poses + _squared(track)) / frames
    return Posterior(track, variance.reshape(frames, size), accelerations + _outer_products(track), poses)


def _blocks(motion: JointMotion, frames: int) -> tuple[Array, Array]:
    """Return the model's precision as blocks of two frames: (n, 2 C, 2 C) of each, (n - 1, 2 C, 2 C) with the next."""
    size = len(motion.precision)
    weights = np.zeros((3, frames))
    for apart in range(3):
        for i in range(3 - apart):
            weights[apart, i : i + frames - 2] += _DIFFERENCE[i] * _DIFFERENCE[i + apart] / motion.size
    same, one, two = (w[:, None, None] * motion.precision for w in weights)
    same += motion.places / _ALIKE
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


def _squared(track: Array) -> Array:
    return product(track, track, transposed="first")


def _frames_of(block: Array) -> Array:
    """Return the sum (C, C) of the covariances of both frames of a block (2 C, 2 C)."""
    size = len(block) // 2
    return block[:size, :size] + block[size:, size:]


def _widened(covariance: Array, share: float) -> Array:
    return covariance + np.eye(len(covariance)) * (share * np.trace(covariance) / len(covariance))


def _inverse(matrix: Array) -> Array:
    """Return the inverse of a symmetric positive definite matrix."""
    half, failed = _factor(matrix, lower=1)
    if not failed:
        half, failed = _from_factor(half, lower=1)
    if failed:
        raise LinAlgError("a precision is not positive definite")
    half = np.tril(half)
    return half + np.tril(half, -1).T
