"""Sizes of the published network, its motion-aware variant and ours: what they cost and what they give."""

from __future__ import annotations

import numpy as np

from smoothnet_core._checks import require
from smoothnet_core.model import Model
from smoothnet_core.models.sizes import PublishedSizes, Sizes
from smpl_tools.experiments.frame import Bench, Result, Table
from smpl_tools.experiments.matrix import scored_by_mode
from smpl_tools.experiments.refiners import network
from smpl_tools.experiments.short_training import SHORT, by_channel, train_short

# Those of the shipped weights.
_OWN = Sizes(hidden=192)


def run(bench: Bench) -> Result:
    """Train every network on the same clips, count what it costs, and score it on the validation clips."""
    models = {name: train_short(bench, bench.training, sizes=sizes) for name, sizes in _published().items()}
    models["motion-aware 512/16/1"] = train_short(bench, bench.training, architecture="motion_aware")
    trained = {name: by_channel(model) for name, model in models.items()}
    models["ours"] = train_short(bench, bench.training, architecture="vector_filter", sizes=_OWN)
    trained["ours"] = network(models["ours"])
    scored, lost = scored_by_mode(bench, "Networks by kind and size, window 32", trained)
    numbers = {"parameters thousands": 1, "window frames": 0, "hop frames": 0, "kFLOP per channel and frame": 1}
    costs = [
        [name, parameters(model) / 1000, model.window, model.hop, flop(model) / 1000]
        for name, model in (models | bench.networks).items()
    ]
    cost = Table(
        "What they cost",
        "FLOP of matrix products, two a multiplication, for positions in 3D: those of one window of a joint, divided "
        "by its 3 channels and by the frames from one window to the next.",
        {"network": None, **numbers},
        costs,
    )
    differs = (
        "the supplementary document compares no sizes. They are H/R/B of the published configurations: 512/16/1 of "
        "3DPW-SPIN, 512/128/5 of AIST-VIBE and H36M-FCN alike, 512/256/3 of MMPose, 512/512/5 of MMHuman3D; more steps "
        f"would serve the large ones best. {SHORT} `ours` is the shipped network's architecture trained in this way, "
        "not in its own; it sees a joint's coordinates together, and the estimator's confidence."
    )
    return Result(differs, lost, [scored, cost])


def parameters(model: Model) -> int:
    """Return how many numbers a network has learned."""
    return sum(int(np.size(tensor)) for tensor in model.tensors.values())


def flop(model: Model) -> float:
    """Return the floating-point operations of a network's matrix products per channel and frame, at its own hop."""
    from torch.utils.flop_counter import FlopCounterMode

    windows, quality = (np.ones((1, model.window, size), np.float32) for size in (3, 2))
    run_on_torch = model.engine("torch")
    with FlopCounterMode(display=False) as counter:
        run_on_torch(windows, quality)
    return counter.get_total_flops() / windows.shape[2] / model.hop


def _published() -> dict[str, PublishedSizes]:
    """Return the published configurations by their sizes; two of them are the same network."""
    require("torch", "train")
    from smoothnet_core.models.published import PUBLISHED_SIZES

    every = [PublishedSizes(**sizes) for sizes in PUBLISHED_SIZES.values()]
    return {f"SmoothNet {s.hidden}/{s.bottleneck}/{s.blocks}": s for s in every}
