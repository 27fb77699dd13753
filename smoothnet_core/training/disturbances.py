"""Simulated motion and simulated errors, for what the paired clips do not show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfiltfilt

Array = NDArray[np.floating]

# Errors relative to how far a joint moves in the crop, from hardly visible to hopeless.
_LEVELS = (0.002, 0.15)
# Correlation of an error with the next frame's: from white to slow drift.
_MAX_CORRELATION = 0.95
# Cut-off, as a share of half the frame rate, of a track that was resampled or smoothed before it came here.
_CUTOFFS = (0.5, 0.95)
# The same of the wobble that is left of jitter which an estimator smoothed itself.
_WOBBLE_CUTOFFS = (0.15, 0.7)


def swing(rng: np.random.Generator, frames: int, joints: int, fps: float) -> Array:
    """Return (T, J, 3) a made-up motion: a few sinusoids a joint, of 0.1 to 4 Hz, amplitude falling with frequency."""
    time = np.arange(frames)[:, None, None, None] / fps
    frequency = np.exp(rng.uniform(np.log(0.1), np.log(4.0), (1, joints, 1, 4)))
    phase = rng.uniform(0, 2 * np.pi, (1, joints, 3, 4))
    amplitude = rng.normal(0, 0.2, (1, joints, 3, 4)) / np.maximum(frequency, 0.3)
    return np.sum(amplitude * np.sin(2 * np.pi * frequency * time + phase), axis=-1)


def disturbed(rng: np.random.Generator, truth: Array) -> Array:
    """Return a track (T, J, 3) with one of two errors.

    Either the paper's synthetic noise (its Table 10): every coordinate independently receives, with probability p, a
    Gaussian of 5 to 60 mm; or Gaussian noise, white, correlated in time or band-limited, of a strength that is a share
    of the joint's own movement, with a few spikes.
    """
    if rng.random() < 0.3:
        hit = rng.random(truth.shape) < rng.uniform(0.05, 1.0)
        return truth + hit * rng.normal(0.0, rng.uniform(0.005, 0.06), truth.shape)
    movement = np.sqrt(np.square(truth - truth.mean(axis=0)).sum(axis=2).mean(axis=0))[None, :, None]
    level = np.exp(rng.uniform(*np.log(_LEVELS)))
    spikes = (rng.random(truth.shape[:2]) < rng.choice([0.0, 0.01, 0.03]))[..., None]
    return truth + movement * (level * _noise(rng, truth.shape) + spikes * rng.normal(0.0, 0.5, truth.shape))


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return noise of about unit variance: white, of first order, or band-limited."""
    white = rng.normal(size=shape)
    colour = rng.integers(3)
    if colour == 0:
        return white
    if colour == 1:
        correlation = rng.uniform(0.0, _MAX_CORRELATION)
        return np.asarray(lfilter([np.sqrt(1 - correlation**2)], [1.0, -correlation], white, axis=0))
    cutoff = rng.uniform(*_WOBBLE_CUTOFFS)
    return sosfiltfilt(butter(2, cutoff, output="sos"), white, axis=0) / np.sqrt(cutoff)


def low_passed(rng: np.random.Generator, track: Array) -> Array:
    """Return a track (T, ...) as one that was resampled or lightly smoothed on its way here."""
    return sosfiltfilt(butter(4, rng.uniform(*_CUTOFFS), output="sos"), track, axis=0)
