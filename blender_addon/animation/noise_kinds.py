"""What kind of noise lies on the rotations of a take, without Blender: even, uneven, or hardly any.

Noise is even that has one size at all times, as that of sensors has: its size now and then differs no more than white
noise does. The errors of estimators that see video come in bursts, largest where the motion is fast; they are uneven.
Of the lengths of fourth differences the median is 2.01 times the lowest tenth if they are of white noise in three
dimensions; 1.9 to 2.1 with noise laid over clean capture, 2.2 to 3.5 with the errors of video.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..seeing.measures import NOISE_OF_FOURTH, frames_apart, second_medians
from .quaternions import dots, unit_parts

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

# All found on clean capture with noise laid over it and on paired clips, of subjects on whom nothing is reported.
# From noise that is even to noise that is not: median over lowest tenth.
_EVEN = (2.08, 2.3)
# From next to no noise to noise, in degrees: of a bone, and of a whole take.
_QUIET_BONE, _QUIET_TAKE = (0.2, 0.5), (0.5, 0.9)
# From what may be fast motion of clean capture, whose size is as uneven, to errors.
_LOUD_TAKE = (0.9, 1.3)
# Bones of less noise, in degrees, say nothing of a take: they hardly turn.
_STILL = 0.05
_FEWEST_SECONDS, _FEWEST = 1.0, 8
RATE = 30.0


@dataclass(frozen=True, eq=False)
class NoiseKind:
    """The noise on the rotations of a take.

    Attributes:
        rotations: (4, B, T) the take's unit quaternions, w, x, y, z, without jumps of sign.
        size: (B, T) degrees around each frame: root mean square.
        even: (B,) up to 1 where it is even, or hardly any, of the bone or of the whole take.
        uneven: (B,) up to 1 where it is certainly uneven.
    """

    rotations: Array32
    size: Array32
    even: Array
    uneven: Array


def noise_kind(quat_wxyz: Array, fps: float) -> NoiseKind | None:
    """Return what kind of noise lies on rotations (T, B, 4); None of less than a second: nothing tells.

    A second in which a bone rests, or is not seen, does not make its noise less than it mostly is.
    """
    if len(quat_wxyz) < max(_FEWEST, _FEWEST_SECONDS * fps, 4 * frames_apart(fps) + 2):
        return None
    rotations = unit_parts(quat_wxyz)
    size, middle, unevenness = _noise(rotations, fps)
    return NoiseKind(rotations, size, *_kinds(middle.astype(np.float64), unevenness))


def _noise(parts: Array32, fps: float) -> tuple[Array32, Array32, float]:
    """Return the noise around each frame (B, T) and of each bone (B,) in degrees, and how uneven it is in the take."""
    frames = parts.shape[2]
    lag = frames_apart(fps)
    missed = parts
    for _ in range(4):
        missed = missed[..., lag:] - missed[..., :-lag]
    # Twice the number is the angle.
    off = np.sqrt(dots(missed, missed)) * np.float32(np.degrees(2.0) * NOISE_OF_FOURTH)
    count = off.shape[1]
    ordered = np.partition(off, (count // 10, count // 2), axis=1)
    lowest, middle = ordered[:, count // 10], ordered[:, count // 2]
    centres, medians = second_medians(off, fps)
    medians = np.maximum(medians, middle[:, None])
    # From one second to the next in a straight line, so that nothing pops.
    places = np.clip(np.arange(frames) - (frames - count) / 2, centres[0], centres[-1])
    at = np.clip(np.searchsorted(centres, places) - 1, 0, max(len(centres) - 2, 0))
    after = np.minimum(at + 1, len(centres) - 1)
    part = ((places - centres[at]) / np.maximum(centres[after] - centres[at], 1.0)).astype(np.float32)
    noise = medians[:, after]
    before = medians[:, at]
    noise -= before
    noise *= part
    noise += before
    turning = middle > _STILL
    uneven = middle[turning] / np.maximum(lowest[turning], 1e-9)
    return noise, middle, float(np.median(uneven)) if turning.any() else np.inf


def _kinds(middle: NDArray[Any], unevenness: float) -> tuple[Array, Array]:
    """Return (B,) how even and how uneven the noise of each bone is, by its size and by that of all bones."""
    turning = middle[middle > _STILL]
    whole = np.sqrt(np.square(turning).mean()) if len(turning) else np.float64(0.0)
    take = np.maximum(_fade(np.float64(unevenness), *_EVEN), _fade(whole, *_QUIET_TAKE))
    even = np.maximum(_fade(middle, *_QUIET_BONE), take)
    return even, (1.0 - even) * (1.0 - _fade(whole, *_LOUD_TAKE))


def _fade(x: Any, full: float, none: float) -> Array:
    """Return 1 up to ``full``, 0 from ``none`` on, and smoothly from one to the other."""
    along = np.clip((x - full) / (none - full), 0.0, 1.0)
    return 1.0 - along * along * (3.0 - 2.0 * along)


def averaged(values: Array32, sigma: float) -> Array32:
    """Return values (D, B, T) averaged over time with a Gaussian; beyond the ends they stay what they are there."""
    weights = gaussian(sigma).astype(np.float32)
    reach, frames = len(weights) // 2, values.shape[2]
    out = np.empty_like(values)
    # One number at a time, of which the processor's cache holds all.
    for one, total in zip(values, out, strict=True):
        padded = np.pad(one, ((0, 0), (reach, reach)), mode="edge")
        np.multiply(padded[:, reach : reach + frames], weights[reach], out=total)
        for k in range(1, reach + 1):
            pair = padded[:, reach - k : reach - k + frames] + padded[:, reach + k : reach + k + frames]
            pair *= weights[reach + k]
            total += pair
    return out


def gaussian(sigma: float) -> Array:
    """Return the weights (2 k + 1,) of a Gaussian of a standard deviation in frames."""
    reach = max(1, round(3.0 * sigma))
    weights = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / sigma))
    return weights / weights.sum()
