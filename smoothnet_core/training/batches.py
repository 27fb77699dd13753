"""Random crops of paired and clean tracks, turned, mirrored, projected and reversed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.training.settings import Settings

Array = NDArray[np.float32]

# Most use is on three numbers a joint; the same weights also serve image points and single channels.
_DIMENSIONS, _DIMENSION_SHARES = (1, 2, 3), (0.15, 0.15, 0.7)
# How often a crop's confidence is withheld, as estimators without one do.
_NO_CONFIDENCE = 0.4


@dataclass(frozen=True, eq=False)
class Pair:
    """An estimate of joint positions and the truth.

    Attributes:
        name: of the clip, for messages and tables.
        estimate: (T, J, 3) metres, gaps interpolated.
        groundtruth: (T, J, 3).
        confidence: (T, J) in [0, 1].
        observed: (T, J) 1 where the estimator saw something, 0 where it was interpolated.
    """

    name: str
    estimate: Array
    groundtruth: Array
    confidence: Array
    observed: Array


@dataclass(frozen=True)
class Batch:
    """Crops ready for the network: B crops of J joints of D numbers, flattened to B * J tracks.

    Attributes:
        estimate: (B * J, T, D).
        groundtruth: (B * J, T, D).
        quality: (B * J, T, 2) confidence and observed.
        clean: (B * J,) 1 where the estimate is the truth itself.
    """

    estimate: Array
    groundtruth: Array
    quality: Array
    clean: Array


@dataclass(frozen=True)
class CleanShare:
    """How clean motion enters: as it is, to be left alone, or with the paper's synthetic noise (its Table 10).

    Attributes:
        share: of all crops that are drawn from clean motion.
        noisy: of those, how many get noise: every coordinate independently, with probability p in [0.05, 0.95], a
            Gaussian of standard deviation sigma in [5, 60] mm.
    """

    share: float = 0.3
    noisy: float = 0.35


class Sampler:
    """Draws batches; the same seed gives the same batches."""

    def __init__(
        self, pairs: Sequence[Pair], clean: Sequence[Array], clean_share: CleanShare, settings: Settings
    ) -> None:
        """Take paired clips and clean tracks (T, J, 3) in metres, all at ``settings.fps``.

        Raises:
            ValueError: nothing is as long as one crop.
        """
        self._settings = settings
        self._pairs = [p for p in pairs if len(p.estimate) >= settings.crop]
        self._clean = [c for c in clean if len(c) >= settings.crop]
        if not self._pairs:
            raise mismatch("paired clips", f"at least one of {settings.crop} frames or more", f"none of {len(pairs)}")
        self._clean_crops = round(settings.batch * clean_share.share) if self._clean else 0
        self._noisy = clean_share.noisy
        self._pair_odds = _by_length([len(p.estimate) for p in self._pairs])
        self._clean_odds = _by_length([len(c) for c in self._clean])
        self._rng = np.random.default_rng(settings.seed)

    def batch(self) -> Batch:
        """Return the next batch; all its crops have the same number D of dimensions."""
        rng, settings = self._rng, self._settings
        size = rng.choice(_DIMENSIONS, p=_DIMENSION_SHARES)
        crops = [self._clean_crop() for _ in range(self._clean_crops)]
        crops += [self._pair_crop() for _ in range(settings.batch - self._clean_crops)]
        estimates, truths, qualities, marks = [], [], [], []
        for estimate, truth, quality, is_clean in crops:
            # The network is equivariant; turning only chooses which D of the three numbers it sees.
            turn = np.linalg.qr(rng.normal(size=(3, 3)))[0][:, :size]
            step = -1 if rng.random() < 0.5 else 1
            estimates.append((estimate @ turn)[::step].transpose(1, 0, 2))
            truths.append((truth @ turn)[::step].transpose(1, 0, 2))
            qualities.append(quality[::step].transpose(1, 0, 2))
            marks.append(np.full(estimate.shape[1], is_clean))
        return Batch(*(np.concatenate(part).astype(np.float32) for part in (estimates, truths, qualities, marks)))

    def _clean_crop(self) -> tuple[Array, Array, Array, float]:
        rng, settings = self._rng, self._settings
        track = self._clean[rng.choice(len(self._clean), p=self._clean_odds)]
        start = rng.integers(0, len(track) - settings.crop + 1)
        joints = rng.choice(track.shape[1], settings.joints, replace=track.shape[1] < settings.joints)
        truth = track[start : start + settings.crop, joints]
        quality = np.ones((*truth.shape[:2], 2), np.float32)
        if rng.random() >= self._noisy:
            return truth, truth, quality, 1.0
        hit = rng.random(truth.shape) < rng.uniform(0.05, 0.95)
        noise = rng.normal(0.0, rng.uniform(0.005, 0.06), truth.shape)
        return (truth + hit * noise).astype(np.float32), truth, quality, 0.0

    def _pair_crop(self) -> tuple[Array, Array, Array, float]:
        rng, settings = self._rng, self._settings
        pair = self._pairs[rng.choice(len(self._pairs), p=self._pair_odds)]
        start = rng.integers(0, len(pair.estimate) - settings.crop + 1)
        piece = slice(start, start + settings.crop)
        confidence = pair.confidence[piece]
        if rng.random() < _NO_CONFIDENCE:
            confidence = np.ones_like(confidence)
        observed = pair.observed[piece]
        quality = np.stack([confidence * observed, observed], axis=-1)
        return pair.estimate[piece], pair.groundtruth[piece], quality, 0.0


def _by_length(lengths: Sequence[int]) -> NDArray[np.float64]:
    odds = np.asarray(lengths, dtype=np.float64)
    return odds / odds.sum() if len(odds) else odds
