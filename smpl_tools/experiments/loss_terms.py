"""Table 11 of the supplementary document: what the network is trained to lower."""

from __future__ import annotations

from smpl_tools.experiments.frame import Bench, Result
from smpl_tools.experiments.matrix import scored_by_mode
from smpl_tools.experiments.short_training import SHORT, Terms, by_channel, train_short

_TERMS = {
    "position": Terms(acceleration=0.0),
    "acceleration": Terms(position=0.0),
    "position + acceleration": Terms(),
    "position + acceleration + speed": Terms(speed=1.0),
}


def run(bench: Bench) -> Result:
    """Train the published network with every choice of terms and score it on the validation clips."""
    trained = {name: by_channel(train_short(bench, bench.training, terms=terms)) for name, terms in _TERMS.items()}
    table, lost = scored_by_mode(bench, "SmoothNet 512/16/1, window 32, by the terms of its loss", trained)
    differs = (
        "MediaPipe in its three modes in place of EFT on 3DPW. Position is the mean absolute error of coordinates, "
        "acceleration 0.1 times that of their second differences, as published; speed, which is ours, the mean "
        f"difference of a joint's root-mean-square speed over the window from the truth's. {SHORT}"
    )
    return Result(differs, lost, [table])
