"""The runs of frames in which an estimator errs as a whole, found in pairs: swaps, wrong poses, losses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from smoothnet_core.training.batches import Pair
from smoothnet_core.training.error_model import JOINTS, MIRRORED, RUNS, SWAPPED

Array = NDArray[np.floating]
Bools = NDArray[np.bool_]

# Limbs are swapped where that brings them nearer by this factor, and left and right are this far apart (m).
_SWAP_GAIN, _SWAP_APART = 0.6, 0.1
# A pose is wrong as a whole where in the mean its joints jump by more than this (m) from the median of so many frames
# around, and from there on both sides for as long as they stay off by the lesser length.
_FAILURE, _AROUND, _FAILURE_ENDS = 0.2, 91, 0.12
QUANTILES = np.linspace(0, 1, 33)


class Clip:
    """A pair as the fit sees it.

    Attributes:
        truth: (T, J, 3).
        error: (T, J, 3) estimate less truth.
        jump: (T, J, 3) error less its median in the frames around.
        confidence: (T, J).
        observed: (T,) whether anybody was detected.
        runs: by name, (T,) the frames that each kind takes.
        plain: (T,) the others.
    """

    def __init__(self, pair: Pair) -> None:
        self.truth = np.asarray(pair.groundtruth, np.float64)
        self.error = np.asarray(pair.estimate, np.float64) - self.truth
        self.confidence = pair.confidence
        self.runs = _swaps(self.truth, self.error)
        usual = median_filter(self.error, (_AROUND, 1, 1), mode="nearest")
        self.jump = self.error - usual
        jump = np.linalg.norm(self.jump, axis=-1).mean(axis=1)
        swapped = np.logical_or.reduce(list(self.runs.values()))
        self.observed = np.asarray(pair.observed).min(axis=1) > 0
        failures = [np.arange(a, b) for a, b in bounds(jump > _FAILURE_ENDS) if (jump[a:b] > _FAILURE).any()]
        self.runs["failure"] = np.isin(np.arange(len(jump)), np.concatenate([[], *failures])) & ~swapped
        self.runs["lost"] = ~self.observed
        for name in RUNS[:-1]:
            self.runs[name] = self.runs[name] & self.observed
        self.plain = ~np.logical_or.reduce(list(self.runs.values()))


def _swaps(truth: Array, error: Array) -> dict[str, Bools]:
    other = truth[:, MIRRORED] - truth
    found = {}
    for name, joints in SWAPPED.items():
        pick = list(joints)
        as_is = np.linalg.norm(error[:, pick], axis=-1).mean(axis=1)
        swapped = np.linalg.norm((error - other)[:, pick], axis=-1).mean(axis=1)
        apart = np.linalg.norm(other[:, pick], axis=-1).mean(axis=1)
        found[name] = (swapped < _SWAP_GAIN * as_is) & (apart > _SWAP_APART)
    found["arms"] &= ~found["body"]
    found["legs"] &= ~found["body"]
    return found


def failures(clips: list[Clip]) -> tuple[Array, Array]:
    """Return the jumps (F, J, 3) of all runs in which the whole pose is wrong, and where each begins and ends."""
    runs = [clip.jump[a:b] for clip in clips for a, b in bounds(clip.runs["failure"])]
    edges = np.cumsum([0, *(len(run) for run in runs)], dtype=np.float64)
    return np.concatenate([np.zeros((0, JOINTS, 3)), *runs]), edges


def swap_edge(clips: list[Clip]) -> Array:
    """Return () how far joints have gone to the other side in the frames before and after a swap, as a mean share."""
    products, squares = np.float64(0.0), np.float64(1e-12)
    for clip in clips:
        for name, joints in SWAPPED.items():
            for a, b in bounds(clip.runs[name]):
                edges = [t for t in (a - 1, b) if 0 <= t < len(clip.plain) and clip.plain[t]]
                way = (clip.truth[:, MIRRORED] - clip.truth)[edges][:, list(joints)]
                products += np.sum(way * clip.error[edges][:, list(joints)])
                squares += np.sum(np.square(way))
    return np.asarray(np.clip(products / squares, 0.0, 1.0))


def run_lengths(clips: list[Clip], fps: float) -> tuple[Array, Array]:
    """Return how many runs of each kind begin in a second (R,), and quantiles of their length in seconds (R, Q)."""
    seconds = sum(len(clip.error) for clip in clips) / fps
    rate, table = np.zeros(len(RUNS)), np.zeros((len(RUNS), len(QUANTILES)))
    for number, name in enumerate(RUNS):
        lengths = [(b - a) / fps for clip in clips for a, b in bounds(clip.runs[name])]
        if lengths:
            rate[number], table[number] = len(lengths) / seconds, np.quantile(lengths, QUANTILES)
    return rate, table


def bounds(flags: Bools) -> list[tuple[int, int]]:
    """Return first frame and frame after the last of each run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
