"""What every source of pairs is read into."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from smoothnet_core import filters
from smoothnet_core.rates import same_rate
from smoothnet_core.training.batches import Pair


@dataclass(frozen=True, eq=False)
class PairedClip:
    """An estimator's output and the truth for the same frames.

    Any number J of joints. D is 3 for positions in metres, 2 for points in a picture, 6 for 6D rotations (one column
    after the other), 9 for rotations as matrices row by row.

    Attributes:
        name: of the clip.
        mode: how the estimator was run: a key of ``MODES`` for paired files, its name for published data.
        subject: who moves.
        fps: frames a second.
        estimate: (T, J, D), NaN where nobody was detected.
        groundtruth: (T, J, D).
        confidence: (T, J) in [0, 1].
    """

    name: str
    mode: str
    subject: str
    fps: float
    estimate: NDArray[np.float32]
    groundtruth: NDArray[np.float32]
    confidence: NDArray[np.float32]

    @property
    def detected(self) -> NDArray[np.bool_]:
        """(T,) True where somebody was detected."""
        return np.asarray(np.isfinite(self.estimate).all(axis=(1, 2)))

    @property
    def kind(self) -> str:
        """What the tracks are to filters and networks."""
        return {2: "position", 3: "position", 6: "rotation_6d"}.get(self.estimate.shape[2], "channels")

    @property
    def interpolated(self) -> NDArray[np.float32]:
        """(T, J, D) the estimate with undetected frames interpolated in time, as the filters see it."""
        # A filter of strength 0 changes nothing but the gaps.
        return filters.gaussian(self.estimate, strength=0.0, mask=self.detected, kind=self.kind)


def as_pair(clip: PairedClip) -> Pair:
    """Return a clip as training takes it: gaps interpolated, and told where they were."""
    observed = np.broadcast_to(clip.detected[:, None], clip.confidence.shape).astype(np.float32)
    return Pair(clip.name, clip.interpolated, clip.groundtruth, clip.confidence, observed)


def at_rate(clip: PairedClip, fps: float) -> PairedClip:
    """Return the clip at another frame rate; the clip itself where the rates differ by 2 % or less.

    Every n-th frame is taken where n is whole. Otherwise estimate and truth are interpolated by cubic splines without
    a low-pass before, since an estimator that sees fewer frames errs on each as much as before. A new frame is
    undetected where the nearest old one was, and before the first and after the last detection.
    """
    if same_rate(clip.fps, fps):
        return clip
    step = clip.fps / fps
    if np.isclose(step, round(step)):
        pick = slice(None, None, round(step))
        return replace(
            clip,
            fps=fps,
            estimate=clip.estimate[pick],
            groundtruth=clip.groundtruth[pick],
            confidence=clip.confidence[pick],
        )
    seen = np.flatnonzero(clip.detected)
    if len(seen) < 4:
        raise ValueError(f"{clip.name}: expected at least 4 detected frames to change its rate, received {len(seen)}")
    stamps = np.arange(int((len(clip.estimate) - 1) / step + 1e-6) + 1) * step
    nearest = np.round(stamps).astype(int)
    every = np.arange(len(clip.groundtruth))
    estimate = make_interp_spline(seen, clip.estimate[seen], axis=0)(stamps).astype(np.float32)
    # Beyond the first and last detection a spline runs away.
    estimate[~clip.detected[nearest] | (stamps < seen[0]) | (stamps > seen[-1])] = np.nan
    truth = make_interp_spline(every, clip.groundtruth, axis=0)(stamps).astype(np.float32)
    return replace(clip, fps=fps, estimate=estimate, groundtruth=truth, confidence=clip.confidence[nearest])
