"""What could be made of noisy tracks by somebody who knew which numbers the noise has hit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

from smpl_tools.experiments.frame import Bench
from smpl_tools.paired_scores import Refiner
from smpl_tools.sources import PairedClip

Array = NDArray[np.float64]

# Standard deviation in frames of the Gaussian over time, and how much a number that was hit counts beside an exact one.
_WIDTHS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0)
_TRUSTS = (0.0, 0.01, 0.1)
_REACH = 4.0


def knowing_settings(bench: Bench) -> Iterator[tuple[float, float]]:
    """Yield the widths and trusts that are searched; two in the quick form."""
    found = list(itertools.product(_WIDTHS, _TRUSTS))
    yield from found[:: len(found) // 2] if bench.quick else found


def knowing(width: float, trust: float) -> Refiner:
    """Return the refiner of clips whose estimate is the truth but for numbers that were hit.

    Every number is replaced by the value of a parabola through its channel, by weighted least squares.

    Args:
        width: standard deviation in frames of the weights over time.
        trust: weight of a number that was hit; an exact one has 1.
    """

    def refined(clip: PairedClip) -> Array:
        exact = clip.estimate == clip.groundtruth
        return local_parabolas(clip.estimate.astype(np.float64), np.where(exact, 1.0, trust), width)

    return refined


def local_parabolas(values: Array, weights: Array, width: float) -> Array:
    """Return the values at their own frames of parabolas fitted around each, channel by channel.

    Where the weights around do not determine a parabola, a little of it is given up for a line or a constant.

    Args:
        values: (T, ...).
        weights: (T, ...) of the values, not negative.
        width: standard deviation in frames of the Gaussian that weighs by time.
    """
    reach = int(np.ceil(_REACH * width))
    time = np.arange(-reach, reach + 1) / width
    gauss = np.exp(-0.5 * time**2)
    # A weight of nearly nothing everywhere, so that a frame without any weight around still has a value.
    weights = weights + 1e-9

    def moment(track: Array, power: int) -> Array:
        # Convolution turns time round.
        kernel = gauss * (-time) ** power
        return convolve1d(track, kernel, axis=0, mode="constant")

    s0, s1, s2, s3, s4 = (moment(weights, power) for power in range(5))
    m0, m1, m2 = (moment(weights * values, power) for power in range(3))
    little = 1e-6 * s0
    s2, s4 = s2 + little, s4 + little
    first, second, third = s2 * s4 - s3 * s3, s2 * s3 - s1 * s4, s1 * s3 - s2 * s2
    return (first * m0 + second * m1 + third * m2) / (s0 * first + s1 * second + s2 * third)
