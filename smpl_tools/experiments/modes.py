"""Tables 7 to 9 of the supplementary document, across estimators: trained on one mode of ours, tested on all."""

from __future__ import annotations

from smpl_tools.experiments.frame import Bench, Result
from smpl_tools.experiments.matrix import Column, compared_with, matrix_losses, matrix_table, score_matrix
from smpl_tools.experiments.short_training import SHORT, by_channel, train_short
from smpl_tools.experiments.spaces import METRES
from smpl_tools.experiments.tuning import PROTOCOL
from smpl_tools.sources import MODES

# The study `unseen` takes weights by option and leaves their training to the command.
_UNSEEN = (
    "Our own network without a mode or without a subject is the study `unseen`: `smoothnet train` with the preset "
    "`default` and `modes: [video, video smoothed]`, or `exclude_subjects: [cmu13]`, in its paired source, then "
    "`smoothnet experiments unseen --model without-static=FILE --model without-cmu13=FILE`."
)


def run(bench: Bench) -> Result:
    """Train the published network on each mode and on all, and test each on every mode."""
    trained = {
        f"trained on {mode}": by_channel(train_short(bench, [clip for clip in bench.training if clip.mode == mode]))
        for mode in MODES
    }
    trained["trained on all three"] = by_channel(train_short(bench, bench.training))
    columns = {mode: Column([clip for clip in bench.validation if clip.mode == mode], METRES) for mode in MODES}
    scores = score_matrix(columns, compared_with(bench, trained))
    table = matrix_table("Across the modes of the estimator: SmoothNet 512/16/1, window 32", PROTOCOL, scores, columns)
    differs = f"three modes of one estimator in place of several estimators. {SHORT} {_UNSEEN}"
    return Result(differs, matrix_losses(bench, scores, columns), [table])
