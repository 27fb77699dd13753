"""The one list of studies."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from smoothnet_core._checks import one_of
from smpl_tools.experiments.frame import Bench, Result


@dataclass(frozen=True)
class Study:
    """One study.

    Attributes:
        title: heading of its section.
        module: of this package; its function ``run(bench: Bench) -> Result`` is the study.
        minutes: that the full form takes on two cores.
    """

    title: str
    module: str
    minutes: float


STUDIES: dict[str, Study] = {
    "tuning": Study("Filters tuned on the training clips", "tuning", 10),
    "filters": Study("Filters at equal MPJPE and at equal Accel", "equal_terms", 3),
    "worst": Study("The worst 1 % of frames", "worst", 1),
    "frontier": Study("Accel against jitter and speed", "frontier", 4),
    "noise": Study("Synthetic noise", "noise", 25),
    "rotations": Study("6D rotations", "rotations", 10),
    "joints": Study("Rotations judged at the joints", "joints", 4),
    "clean": Study("Clean motion in", "clean", 3),
    "frames": Study("Frame by frame", "frames", 0.5),
    "live": Study("Accuracy against latency", "live", 15),
    "unseen": Study("Unseen estimator modes and subjects", "unseen", 1),
    "refinenet": Study("RefineNet, and refiners on top of it", "refinenet", 5),
    "epochs": Study("Backbones by epoch, with and without acceleration loss", "backbones_epochs", 12),
    "stages": Study("One stage against two", "backbones_stages", 22),
    "losses": Study("The terms of the loss", "loss_terms", 3),
    "windows": Study("The length of the window", "window_lengths", 4),
    "modalities": Study("Modalities, and across them", "modalities", 5),
    "normalisation": Study("Normalisation", "normalisation", 3),
    "modes": Study("Across the modes of the estimator", "modes", 4),
    "representations": Study("Across representations", "representations", 4),
    "data": Study("Across data", "motions", 3),
    "architectures": Study("Architectures and their sizes", "architectures", 20),
}


def run_study(name: str, bench: Bench) -> Result:
    """Run one study.

    Raises:
        ValueError: no study has the name, or its data are not as they should be.
        MissingExtraError: it needs an extra that is not installed.
    """
    study = STUDIES[one_of("study", name, STUDIES)]
    bench.say(f"{name}: {study.title}")
    result = importlib.import_module(f"smpl_tools.experiments.{study.module}").run(bench)
    bench.keep(name, result.settings)
    return result
