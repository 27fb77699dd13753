"""Fast motion given back to refined rotations, where what was taken away can be told from noise. Without Blender.

A network that smooths takes more than noise from what turns fast. What it took away is noise and motion together; of
white noise a short average leaves a known share, of motion nearly all. So the average of what was taken away is given
back by as much as it exceeds that share: by ``1 - noise / size`` of the squares, and nothing below (the shrinkage of
W. James and C. Stein, "Estimation with quadratic loss", 1961). J. W. Tukey, "Exploratory Data Analysis" (1977), calls
it twicing to smooth what a smoother left, and to add it.

That is right for noise which is the same at all times, as sensors have it. The errors of estimators that see video
come in bursts, largest where the motion is fast: given back, they would do harm. Two things tell:

- The noise of a take is even: its size now and then differs no more than white noise does. Of the lengths of fourth
  differences the median is 2.01 times the lowest tenth if they are of white noise in three dimensions; 1.9 to 2.1
  with noise laid over clean capture, 2.2 to 3.5 with the errors of video.
- Or there is hardly any noise, of a bone or of the whole take: then nothing can be given back that would harm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from .measures import as_vectors, off_path, second_medians

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# All found on clean capture with noise laid over it and on paired clips, of subjects on whom nothing is reported.
# Standard deviations in frames at 30 a second: of the average of what was taken away, and of its size.
_AVERAGED, _SIZED = 0.7, 1.5
# What noise leaves, in sizes of its root mean square: what exceeds this is motion.
_OVER_NOISE = 1.5
# From noise that is even to noise that is not: median over lowest tenth.
_EVEN = (2.08, 2.3)
# From next to no noise to noise, in degrees: of a bone, and of a whole take.
_QUIET_BONE, _QUIET_TAKE = (0.2, 0.5), (0.5, 0.9)
# Bones that do not turn, by degrees of noise, say nothing of a take.
_STILL = 0.05
_FEWEST_SECONDS = 1.0


def protect_fast(before_quat_wxyz: Array, after_quat_wxyz: Array, mask: Flags, fps: float) -> Array:
    """Return refined rotations to which fast motion was given back.

    Turning the scene, or a bone's roll, turns the result. A take shorter than a second stays as it was refined.

    Args:
        before_quat_wxyz: (T, B, 4) the original, finite.
        after_quat_wxyz: (T, B, 4) refined, of either sign.
        mask: (T, B) False where the original is not believed: nothing of it is given back.
        fps: frames a second.

    Returns:
        (T, B, 4) unit quaternions.
    """
    if len(before_quat_wxyz) < max(8, _FEWEST_SECONDS * fps):
        return after_quat_wxyz
    before = as_vectors(before_quat_wxyz)
    noise, middle, even = _noise(before, fps)
    share = _share(middle, even)
    some = np.flatnonzero(share)
    if not len(some):
        return after_quat_wxyz
    result = after_quat_wxyz.copy()
    whole = len(some) == len(share)
    old, new, seen, own = (a if whole else a[:, some] for a in (before, after_quat_wxyz, mask, noise))
    new = np.degrees(2.0) * new
    taken = old * np.where(_dots(old, new) < 0, -1.0, 1.0)[..., None] - new
    if not seen.all():
        taken *= seen[..., None]
    frames = fps / 30.0
    lasting = gaussian_filter1d(taken, _AVERAGED * frames, axis=0, mode="nearest")
    size = gaussian_filter1d(_dots(lasting, lasting), _SIZED * frames, axis=0, mode="nearest")
    left = np.square(_OVER_NOISE * own) * _left(_AVERAGED * frames)
    given = share[some] * np.maximum(1.0 - left / np.maximum(size, 1e-12), 0.0)
    new += given[..., None] * lasting
    result[:, some] = new / np.sqrt(_dots(new, new))[..., None]
    return result


def _noise(vectors: Array, fps: float) -> tuple[Array, Array, float]:
    """Return the noise around each frame (T, B) and of each bone (B,) in degrees, and how uneven that of the take is.

    A second in which a bone rests, or is not seen, does not make its noise less than it mostly is.
    """
    frames = len(vectors)
    off = off_path(vectors, fps)
    ordered = np.partition(np.ascontiguousarray(off.T), (len(off) // 10, len(off) // 2), axis=1)
    lowest, middle = ordered[:, len(off) // 10], ordered[:, len(off) // 2]
    centres, medians = second_medians(off, fps)
    medians = np.maximum(medians, middle)
    # From one second to the next in a straight line, so that nothing pops.
    places = np.clip(np.arange(frames) - (frames - len(off)) / 2, centres[0], centres[-1])
    at = np.clip(np.searchsorted(centres, places) - 1, 0, max(len(centres) - 2, 0))
    after = np.minimum(at + 1, len(centres) - 1)
    part = ((places - centres[at]) / np.maximum(centres[after] - centres[at], 1.0))[:, None]
    noise = medians[at] + part * (medians[after] - medians[at])
    turning = middle > _STILL
    uneven = middle[turning] / np.maximum(lowest[turning], 1e-9)
    return noise, middle, float(np.median(uneven)) if turning.any() else np.inf


def _share(middle: Array, even: float) -> Array:
    """Return (B,) how much of the motion of each bone may be given back, by its noise and by that of all."""
    turning = middle[middle > _STILL]
    whole = float(np.sqrt(np.square(turning).mean())) if len(turning) else 0.0
    take = max(_fade(np.float64(even), *_EVEN), _fade(np.float64(whole), *_QUIET_TAKE))
    return np.maximum(_fade(middle, *_QUIET_BONE), take)


def _fade(x: Array | np.float64, full: float, none: float) -> Array:
    """Return 1 up to ``full``, 0 from ``none`` on, and smoothly from one to the other."""
    along = np.clip((x - full) / (none - full), 0.0, 1.0)
    return 1.0 - along * along * (3.0 - 2.0 * along)


def _left(sigma: float) -> float:
    """Return what share of the square of white noise the average leaves."""
    reach = int(4.0 * sigma + 0.5)
    weights = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / sigma))
    return float(np.square(weights).sum() / np.square(weights.sum()))


def _dots(first: Array, second: Array) -> Array:
    """Return dot products over the last axis, number by number: faster than a sum over an axis so short."""
    total = first[..., 0] * second[..., 0]
    for place in range(1, first.shape[-1]):
        total = total + first[..., place] * second[..., place]
    return total
