"""Which values of a track are exact and which are off, and what the track was without them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from smoothnet_core._joint_motion import FAR, exactly, known, motion_of, told_by_others

Array = NDArray[np.float64]

# Lengths are in sizes of an acceleration of the track, variances accordingly. An exact value is so exact, and nothing
# that is off by less than the second is looked for.
_EXACT, _LEAST_OFF = 1e-3**2, 3.0**2
# At first what the rest of the track says of a value is taken to be less sure than it seems (its variance times the
# second, falling to 1 in so many rounds): otherwise first wrong guesses stay. Then rounds go on until guesses stay.
_UNSURE_ROUNDS, _UNSURE, _MOST_ROUNDS, _STAYS = 8, 4.0, 20, 2e-3
# How much of a round's messages replaces the last one's.
_STEP = 0.7
_MIXTURE_ROUNDS = 50
_FEWEST_OFF, _MOST_OFF = 1e-3, 0.99
# A value that is exact with this probability stays as it is, to the last digit.
_KEPT = 0.99
# The least precision of a message: in parts of that of a value that is off, and at all. With less, rounding would
# leave nothing of it beside the others.
_LEAST_PART, _LEAST_PRECISION = 1e-6, 1e-6
# What the rest says is known to so many parts of what a value itself says.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class _Mixture:
    """How vectors lie about what they should be: a share ``off`` with variance ``wide``, the others with ``narrow``."""

    off: float
    narrow: float
    wide: float


@dataclass(frozen=True, eq=False)
class _Messages:
    """What vectors say by themselves: Gaussians of a precision (T, N) and ``information`` (T, N, D), means times it."""

    precision: Array
    information: Array

    def towards(self, other: _Messages, step: float) -> _Messages:
        """Return these, moved towards others."""
        return _Messages(
            self.precision + step * (other.precision - self.precision),
            self.information + step * (other.information - self.information),
        )


def without_hits(values: Array, first: Array, sure: Array) -> Array:
    """Return a track with those of its vectors replaced that are off among exact ones.

    The vectors of all joints are one Gaussian process over time; a vector is exact, or off by a Gaussian of unknown
    width. Messages of the vectors to the process are found by expectation propagation (T. Minka, "Expectation
    propagation for approximate Bayesian inference", UAI 2001), the process' covariance, the share of vectors that are
    off and the width by expectation maximisation. What is known of a vector's numbers is held by one variance, their
    mean, so turning the vectors turns the result.

    Args:
        values: (T, N, D), T >= 4.
        first: (T, N, D) a first guess of the result.
        sure: (T, N) by which the odds that a vector is exact are multiplied; 0 where it was not observed.
    """
    frames, size = len(values), values.shape[2]
    unit = _root_mean_square(np.diff(first, n=2, axis=0))
    if not unit:
        return first
    middle = first.mean(axis=0)
    odd = ((0, frames % 2), (0, 0), (0, 0))
    given, mean = (np.pad((track - middle) / unit, odd, mode="edge") for track in (values, first))
    sure = np.pad(sure, odd[:2])

    mixture = _first_mixture(_squares(given - mean), size, sure)
    # Where the first guess follows what is off for many frames on end, the other joints tell. What they contradict says
    # nothing by itself until the rest has settled.
    told, usual = told_by_others(mean, sure > 0)
    suspect = _squares(mean - told) > (FAR * usual) ** 2
    mean = np.where(suspect[..., None], told, mean)
    variance = np.where(suspect, np.maximum(usual**2 / size, mixture.narrow), mixture.narrow)
    unsuspected = np.where(suspect, 0.0, sure)
    motion = motion_of(exactly(mean.reshape(len(mean), -1)))
    result, exact, messages = mean, np.zeros(sure.shape), None
    for number in range(_MOST_ROUNDS):
        variance = variance * (1 + (_UNSURE - 1) * max(0.0, 1 - number / _UNSURE_ROUNDS))
        squares, before = _squares(given - mean), exact
        mixture = _Mixture(mixture.off, _EXACT, mixture.wide)
        trusted = unsuspected if number <= _UNSURE_ROUNDS else sure
        exact = _exact(squares, variance, mixture, size, trusted)
        if number > _UNSURE_ROUNDS + 1 and np.abs(exact - before).mean() < _STAYS:
            break
        if number:
            mixture = _refitted(mixture, exact, squares, size, trusted)
        new = _messages(given, mean, variance, exact, mixture, trusted)
        messages = new if messages is None else messages.towards(new, _STEP)
        posterior = known(motion, messages.precision.repeat(size, axis=1), messages.information.reshape(len(given), -1))
        motion = motion_of(posterior)
        result = posterior.mean.reshape(given.shape)
        spread = posterior.variance.reshape(given.shape).mean(axis=2)
        mean, variance = _rest(result, spread, messages, mean, variance)
    kept = (exact > _KEPT)[:frames, :, None]
    return np.where(kept, values, result[:frames] * unit + middle)


def _first_mixture(squares: Array, size: int, sure: Array) -> _Mixture:
    """Return how vectors of ``size`` numbers lie about a first guess, by their squared distances (T, N) from it."""
    narrow = max(float(np.median(squares[sure > 0])) / size, _EXACT)
    mixture = _Mixture(0.5, narrow, max(2 * float(squares[sure > 0].mean()) / size, 4 * narrow))
    for _ in range(_MIXTURE_ROUNDS):
        exact = _exact(squares, np.zeros_like(squares), mixture, size, sure)
        narrow = max(_weighted(squares, exact) / size, _EXACT)
        mixture = _refitted(_Mixture(mixture.off, narrow, mixture.wide), exact, squares, size, sure)
    return mixture


def _refitted(mixture: _Mixture, exact: Array, squares: Array, size: int, sure: Array) -> _Mixture:
    """Return the mixture with the share of vectors that are off, and their variance, as probabilities say."""
    off = np.where(sure > 0, 1 - exact, 0.0)
    share = float(np.clip(off.sum() / max(np.count_nonzero(sure), 1), _FEWEST_OFF, _MOST_OFF))
    return _Mixture(share, mixture.narrow, max(_weighted(squares, off) / size, 4 * mixture.narrow, _LEAST_OFF))


def _exact(squares: Array, variance: Array, mixture: _Mixture, size: int, sure: Array) -> Array:
    """Return the probability (T, N) that vectors are exact, by their squared distances from what the rest says."""
    small, large = variance + mixture.narrow, variance + mixture.wide
    with np.errstate(divide="ignore"):
        prior = np.log(sure) + np.log((1 - mixture.off) / mixture.off)
    return expit(prior - 0.5 * size * np.log(small / large) - 0.5 * squares * (1 / small - 1 / large))


def _messages(given: Array, mean: Array, variance: Array, exact: Array, mixture: _Mixture, sure: Array) -> _Messages:
    """Return the messages that, with what the rest says, have mean and variance of the mixture of both cases.

    Args:
        given: (T, N, D) the vectors.
        mean: (T, N, D) and ``variance`` (T, N) of what the rest says.
        variance: see ``mean``.
        exact: (T, N) the probability of one case.
        mixture: tells both cases.
        sure: (T, N) 0 where a vector says nothing.
    """

    def case(own: float) -> tuple[Array, Array]:
        both = 1 / (1 / variance + 1 / own)
        return both, both[..., None] * (mean / variance[..., None] + given / own)

    (narrow, if_exact), (wide, if_off) = case(mixture.narrow), case(mixture.wide)
    share = exact[..., None]
    middle = share * if_exact + (1 - share) * if_off
    spread = exact * narrow + (1 - exact) * wide
    spread += exact * (1 - exact) * _squares(if_exact - if_off) / given.shape[2]
    precision = 1 / spread - 1 / variance
    least = max(_LEAST_PART / mixture.wide, _LEAST_PRECISION)
    # Where the cases differ by more than either is sure of, the mixture knows less than the rest does.
    nothing = (precision < least) | (sure == 0)
    information = middle / spread[..., None] - mean / variance[..., None]
    return _Messages(
        np.where(nothing, least, np.minimum(precision, 1 / mixture.narrow)),
        np.where(nothing[..., None], least * mean, information),
    )


def _rest(result: Array, spread: Array, messages: _Messages, mean: Array, variance: Array) -> tuple[Array, Array]:
    """Return mean and variance of what all other vectors say of each; where rounding leaves nothing, as they were."""
    left = 1 / spread - messages.precision
    lost = left < _ROUNDING * messages.precision
    new_variance = np.where(lost, variance, 1 / np.where(lost, 1.0, left))
    new_mean = (result / spread[..., None] - messages.information) * new_variance[..., None]
    return np.where(lost[..., None], mean, new_mean), new_variance


def _squares(vectors: Array) -> Array:
    return np.square(vectors).sum(axis=2)


def _weighted(values: Array, weights: Array) -> float:
    total = float(weights.sum())
    return float((values * weights).sum()) / total if total else 0.0


def _root_mean_square(values: Array) -> float:
    peak = float(np.abs(values).max(initial=0.0))
    return peak * float(np.sqrt(np.square(values / peak).mean())) if peak else 0.0
