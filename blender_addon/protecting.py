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

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .measures import NOISE_OF_FOURTH, frames_apart, second_medians

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]
Flags = NDArray[np.bool_]

_RATE = 30.0
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
    before = _parts(before_quat_wxyz)
    before /= np.sqrt(_dots(before, before))
    turns_over = _dots(before[:, 1:], before[:, :-1]) < 0
    if turns_over.any():
        before[:, 1:] *= np.cumprod(np.where(turns_over, -1, 1), axis=0)
    noise, middle, even = _noise(before, fps)
    share = _share(middle, even)
    some = np.flatnonzero(share)
    if not len(some):
        return after_quat_wxyz
    whole = len(some) == len(share)
    after, old, seen, own = (
        (after_quat_wxyz, before, mask, noise)
        if whole
        else (after_quat_wxyz[:, some], before[:, :, some], mask[:, some], noise[:, some])
    )
    new = _parts(after)
    other = _dots(old, new) < 0
    taken = old * np.where(other, np.float32(-1.0), np.float32(1.0)) if other.any() else old
    taken = taken - new
    if not seen.all():
        taken *= seen
    lasting = _averaged(taken, _AVERAGED * fps / _RATE)
    size = _averaged(_dots(lasting, lasting)[None], _SIZED * fps / _RATE)[0]
    weights = _weights(_AVERAGED * fps / _RATE)
    left = np.square(own) * np.float32(np.radians(_OVER_NOISE / 2.0) ** 2 * np.square(weights).sum())
    given = 1.0 - left / np.maximum(size, np.float32(1e-20))
    np.maximum(given, 0.0, out=given)
    given *= share[some].astype(np.float32)
    lasting *= given
    result = after + np.moveaxis(lasting, 0, -1)
    result /= np.sqrt(_dots(np.moveaxis(result, -1, 0), np.moveaxis(result, -1, 0)))[..., None]
    if whole:
        return result
    out = after_quat_wxyz.copy()
    out[:, some] = result
    return out


def _parts(quat_wxyz: Array) -> Array32:
    """Return rotations (T, B, 4) as (4, T, B): number by number is faster, and float32 keeps 1e-5 degrees."""
    return np.ascontiguousarray(np.moveaxis(quat_wxyz, -1, 0), np.float32)


def _noise(parts: Array32, fps: float) -> tuple[Array32, Array32, float]:
    """Return the noise around each frame (T, B) and of each bone (B,) in degrees, and how uneven that of the take is.

    A second in which a bone rests, or is not seen, does not make its noise less than it mostly is.
    """
    frames = parts.shape[1]
    lag = frames_apart(fps)
    missed = parts
    for _ in range(4):
        missed = missed[:, lag:] - missed[:, :-lag]
    # Twice the number is the angle.
    off = np.sqrt(_dots(missed, missed)) * np.float32(np.degrees(2.0) * NOISE_OF_FOURTH)
    ordered = np.partition(np.ascontiguousarray(off.T), (len(off) // 10, len(off) // 2), axis=1)
    lowest, middle = ordered[:, len(off) // 10], ordered[:, len(off) // 2]
    centres, medians = second_medians(off, fps)
    medians = np.maximum(medians, middle).astype(np.float32)
    # From one second to the next in a straight line, so that nothing pops.
    places = np.clip(np.arange(frames) - (frames - len(off)) / 2, centres[0], centres[-1])
    at = np.clip(np.searchsorted(centres, places) - 1, 0, max(len(centres) - 2, 0))
    after = np.minimum(at + 1, len(centres) - 1)
    part = ((places - centres[at]) / np.maximum(centres[after] - centres[at], 1.0)).astype(np.float32)[:, None]
    noise = medians[after] - medians[at]
    noise *= part
    noise += medians[at]
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


def _averaged(values: Array32, sigma: float) -> Array32:
    """Return values (D, T, B) averaged over time with a Gaussian; beyond the ends they stay what they are there."""
    weights = _weights(sigma).astype(np.float32)
    reach, frames = len(weights) // 2, values.shape[1]
    padded = np.pad(values, ((0, 0), (reach, reach), (0, 0)), mode="edge")
    total = padded[:, reach : reach + frames] * weights[reach]
    for k in range(1, reach + 1):
        pair = padded[:, reach - k : reach - k + frames] + padded[:, reach + k : reach + k + frames]
        pair *= weights[reach + k]
        total += pair
    return total


def _weights(sigma: float) -> Array:
    reach = max(1, round(3.0 * sigma))
    weights = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / sigma))
    return weights / weights.sum()


def _dots(first: Any, second: Any) -> Any:
    """Return dot products over the first axis, number by number: faster than a sum over an axis so short."""
    total = first[0] * second[0]
    for one, other in zip(first[1:], second[1:], strict=True):
        total += one * other
    return total
