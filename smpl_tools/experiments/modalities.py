"""Tables 12 and 13 of the supplementary document: the numbers that a motion is told by, and tests across them."""

from __future__ import annotations

from smpl_tools.experiments.frame import Bench, Result
from smpl_tools.experiments.matrix import Column, compared_with, matrix_losses, score_matrix
from smpl_tools.experiments.refiners import Scores, mode_table
from smpl_tools.experiments.short_training import SHORT, by_channel, train_short
from smpl_tools.experiments.spaces import METRES, rotations

# Those that never jump, which Table 13 crosses.
_CONTINUOUS = ("6D rotation", "3D position")


def run(bench: Bench) -> Result:
    """Train a network on each kind of numbers, test it on that kind, and those of 6D and 3D on each other's."""
    columns, trained = {}, {}
    for name, space in rotations().items():
        bench.say(f"  {name}")
        trained[f"trained on {name}"] = by_channel(train_short(bench, space.clips(bench.training)))
        columns[name] = Column(space.clips(bench.validation), space.measures)
    used_on = {f"trained on {name}": (name,) for name in columns if name not in _CONTINUOUS}
    used_on["raw"] = tuple(columns)
    scores: dict[str, Scores] = {}
    for name, refiner in compared_with(bench, trained).items():
        scores |= score_matrix({on: columns[on] for on in used_on.get(name, _CONTINUOUS)}, {name: refiner})
    protocol = (
        "Paired validation clips, 30 frames a second, all three modes of the estimator together: rotations of the 14 "
        "joints of one small skeleton by inverse kinematics, estimate and truth alike. Errors are of the 15 joints of "
        "that skeleton by forward kinematics, hip-centred; a 3D position is that of these joints, so that all kinds of "
        "numbers have the same errors before they are refined, but for frames without a detection, where rotations or "
        "positions are interpolated."
    )
    table = mode_table("SmoothNet 512/16/1, window 32, by the numbers it sees", protocol, scores, METRES, "used on")
    differs = (
        "rotations that inverse kinematics makes of MediaPipe's joints in place of EFT's on 3DPW, with an angle-axis "
        "at most pi long and a quaternion's real part not negative, wherever that makes them jump. Our own network "
        f"takes rotations as matrices. {SHORT}"
    )
    return Result(differs, matrix_losses(bench, scores, columns), [table])
