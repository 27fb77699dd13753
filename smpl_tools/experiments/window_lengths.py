"""Windows of 8, 16, 32 and 64 frames for the published network."""

from __future__ import annotations

from smoothnet_core.models.sizes import PublishedSizes
from smpl_tools.experiments.frame import Bench, Result
from smpl_tools.experiments.matrix import scored_by_mode
from smpl_tools.experiments.short_training import SHORT, by_channel, train_short

_WINDOWS = (8, 16, 32, 64)


def run(bench: Bench) -> Result:
    """Train the published network with every window and score it on the validation clips."""
    trained = {
        f"window {window}": by_channel(train_short(bench, bench.training, sizes=PublishedSizes(window)))
        for window in _WINDOWS
    }
    table, lost = scored_by_mode(bench, "SmoothNet 512/16/1 by its window in frames", trained)
    differs = (
        "the supplementary document has no table of windows. Clips are of 30 frames a second. All are trained on as "
        f"many windows, hence not on as many frames. {SHORT}"
    )
    return Result(differs, lost, [table])
