"""What a network trained on positions leaves to do on rotations, whose noise hides their movement for longer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._gaussian import gaussian

Array = NDArray[np.float64]

# Standard deviations in frames at 30 a second: of the smoothing, and of the time over which noise and speed are
# averaged. Found on paired training clips (geodesic error) and clean capture (change), see the study `rotations`.
_SIGMA, _AROUND = 3.0, 5.0


def steadied(before: Array, after: Array, sigma: float = _SIGMA, frames: float = 1.0) -> Array:
    """Smooth rotations further where they were noisier than they are fast.

    Where a network has moved a rotation by much more than it turns from one frame to the next, noise hides its
    movement, and a Gaussian takes over; where it turns by more than it was moved, it stays. Both are lengths in the
    nine numbers of a matrix, so turning the scene or a bone's roll turns the result. So it is for the positions of
    joints that such rotations place.

    Args:
        before: (T, N, D) what the network was given.
        after: (T, N, D) what it answered.
        sigma: standard deviation of the Gaussian in frames at 30 a second.
        frames: how many frames of the track make one at 30 a second.

    Returns:
        (T, N, D), not yet rotations.
    """
    if len(after) < 2:
        return after
    # Each number over time lies by itself in memory, as the filters below read and write it.
    old, new = (np.ascontiguousarray(track.transpose(1, 2, 0)) for track in (before, after))
    steps = np.square(np.diff(new)).sum(axis=1) * frames**2
    speed = _averaged(np.concatenate([steps[:, :1], steps], axis=1), frames)
    noise = _averaged(np.square(new - old).sum(axis=1), frames)
    # Of the energies' squares, so of the fourth powers of lengths: the change from one to the other is quick.
    np.square(noise, out=noise)
    both = noise + np.square(speed)
    share = np.divide(noise, both, out=np.zeros_like(both), where=both > 0)
    smooth = gaussian(new, sigma * frames)
    smooth -= new
    smooth *= share[:, None]
    smooth += new
    return smooth.transpose(2, 0, 1)


def steadied_row(before: Array, after: Array, row: int, sigma: float = _SIGMA, frames: float = 1.0) -> Array:
    """Return (N, D) one row of what :func:`steadied` returns, at the cost of one row."""
    if len(after) < 2:
        return after[row]
    near, own = _around(row, len(after), _AROUND * frames)
    # The first frame moves as the second one does.
    later = np.maximum(near, 1)
    speed = own @ np.square(after[later] - after[later - 1]).sum(axis=2) * frames**2
    noise = own @ np.square(after[near] - before[near]).sum(axis=2)
    np.square(noise, out=noise)
    both = noise + np.square(speed)
    share = np.divide(noise, both, out=np.zeros_like(both), where=both > 0)
    near, own = _around(row, len(after), sigma * frames)
    smooth = np.tensordot(own, after[near], 1)
    return after[row] + share[:, None] * (smooth - after[row])


def _around(row: int, count: int, sigma: float) -> tuple[NDArray[np.intp], Array]:
    """Return the rows that a Gaussian around one sees, the outermost again and again beyond the ends, and weights."""
    reach = int(4 * sigma + 0.5)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 / sigma**2 * offsets**2)
    return np.clip(row + offsets, 0, count - 1), weights / weights.sum()


def _averaged(energy: Array, frames: float) -> Array:
    return gaussian(energy, _AROUND * frames)
