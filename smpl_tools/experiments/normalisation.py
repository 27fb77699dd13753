"""Table 14 of the supplementary document: what a sequence is normalised by, and another mode than trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smpl_tools.experiments.frame import Bench, Result
from smpl_tools.experiments.matrix import compared_with
from smpl_tools.experiments.refiners import losses, mode_table, score_rows
from smpl_tools.experiments.short_training import SHORT, by_channel, train_short
from smpl_tools.paired_scores import COLUMNS, MEASURES, Refiner
from smpl_tools.sources import PairedClip

Array = NDArray[np.float32]
# Mean and standard deviation over time of every coordinate of every joint, (1, J, D) each.
Statistics = tuple[Array, Array]

_TRAINED_ON, _OTHER = "static", "video smoothed"
# A millimetre: what moves less is not blown up.
_LEAST = 1e-3
_BY_TRUTH, _RAW_BY_TRUTH = "by the truth's statistics", "raw, by the truth's statistics"


def of_estimate(clip: PairedClip) -> Statistics:
    """Return the statistics of the estimate, its gaps interpolated."""
    return _statistics(clip.interpolated)


def of_truth(clip: PairedClip) -> Statistics:
    """Return the statistics of the truth."""
    return _statistics(clip.groundtruth)


def normalised(clip: PairedClip, statistics: Callable[[PairedClip], Statistics]) -> PairedClip:
    """Return a clip with the estimate, its gaps interpolated, by its own statistics, the truth by those named."""
    return replace(
        clip,
        estimate=_shifted(clip.interpolated, of_estimate(clip)),
        groundtruth=_shifted(clip.groundtruth, statistics(clip)),
    )


def within(refiner: Refiner, statistics: Callable[[PairedClip], Statistics]) -> Refiner:
    """Return the refiner that normalises the estimate, refines it, and gives the output the statistics named."""

    def refined(clip: PairedClip) -> Any:
        mean, deviation = statistics(clip)
        return np.asarray(refiner(normalised(clip, statistics))) * deviation + mean

    return refined


def run(bench: Bench) -> Result:
    """Train one network without normalisation and one with either kind; score them on two modes."""
    training = [clip for clip in bench.training if clip.mode == _TRAINED_ON]
    trained = {
        "no normalisation": by_channel(train_short(bench, training)),
        "by the input's statistics": _trained_within(bench, training, of_estimate),
        _BY_TRUTH: _trained_within(bench, training, of_truth),
        _RAW_BY_TRUTH: within(lambda clip: clip.estimate, of_truth),
    }
    validation = [clip for clip in bench.validation if clip.mode in (_TRAINED_ON, _OTHER)]
    measures = {key: MEASURES[key] for key in COLUMNS}
    scores = score_rows(validation, compared_with(bench, trained), measures)
    protocol = (
        "Paired validation clips, 15 joints, hip-centred, 30 frames a second; the networks of this study are trained "
        f"on the mode {_TRAINED_ON} alone. By the truth's statistics: the input is normalised by its own mean and "
        "deviation, and the output gets the truth's, which nobody has in use."
    )
    table = mode_table("SmoothNet 512/16/1, window 32, by normalisation", protocol, scores, measures, "tested on")
    differs = (
        f"MediaPipe's mode {_TRAINED_ON} in place of EFT, its mode {_OTHER} in place of TCMR. The text leaves open "
        "over what the statistics are taken and where the truth's come in: here they are of every coordinate of every "
        "joint over the whole clip, and the truth's replace the input's behind the network, since before it they would "
        "leave the input's bias as it is. A row without a network is added, which shows what the truth's statistics do "
        f"alone. {SHORT}"
    )
    possible = {name: by_mode for name, by_mode in scores.items() if name not in (_BY_TRUTH, _RAW_BY_TRUTH)}
    lost = losses(next(iter(bench.networks)), possible, measures)
    return Result(differs, f"(rows that know the truth left out) {lost}", [table])


def _trained_within(
    bench: Bench, training: list[PairedClip], statistics: Callable[[PairedClip], Statistics]
) -> Refiner:
    return within(by_channel(train_short(bench, [normalised(clip, statistics) for clip in training])), statistics)


def _shifted(track: Array, statistics: Statistics) -> Array:
    mean, deviation = statistics
    return (track - mean) / deviation


def _statistics(track: Array) -> Statistics:
    return track.mean(axis=0, keepdims=True), np.maximum(track.std(axis=0, keepdims=True), _LEAST)
