"""Tables 7 to 9 of the supplementary document, across representations: 2D, 3D and rotations."""

from __future__ import annotations

from smpl_tools.experiments.frame import Bench, Result
from smpl_tools.experiments.matrix import Column, compared_with, matrix_losses, matrix_table, score_matrix
from smpl_tools.experiments.short_training import SHORT, by_channel, train_short
from smpl_tools.experiments.spaces import picture, positions, rotations


def run(bench: Bench) -> Result:
    """Train the published network on each representation and test each on all."""
    columns, trained = {}, {}
    for name, space in {"2D": picture(bench), "3D": positions(), "6D": rotations()["6D rotation"]}.items():
        bench.say(f"  {name}")
        trained[f"trained on {name}"] = by_channel(train_short(bench, space.clips(bench.training)))
        columns[name] = Column(space.clips(bench.validation), space.measures)
    scores = score_matrix(columns, compared_with(bench, trained))
    protocol = (
        "Paired validation clips, all three modes of the estimator together, 15 joints, 30 frames a second. 2D: "
        "networks see points from -1 to 1 over the picture, errors are in its pixels. 3D: hip-centred, mm. 6D: "
        "rotations of one small skeleton by inverse kinematics, estimate and truth alike, errors in mm of its joints "
        "by forward kinematics."
    )
    table = matrix_table("Across representations: SmoothNet 512/16/1, window 32", protocol, scores, columns)
    differs = (
        "the paper trains on 3D positions and tests on all three; here each is trained on too. Rotations are those "
        f"that inverse kinematics makes of MediaPipe's joints, in place of SMPL's. {SHORT}"
    )
    return Result(differs, matrix_losses(bench, scores, columns), [table])
