"""Accuracy on paired sequences: the shipped weights beside the raw estimate and filters tuned on the training split.

    python benchmarks/accuracy.py FOLDER [--split val] [--model default] [--clean FILE]

FOLDER holds paired ``.npz`` files and ``splits.json``. Each filter family is searched on the training split (a third
of its clips): the setting with the lowest MPJPE among those that keep the 95th-percentile speed of wrists and ankles
at 0.95 or more of the truth's, averaged over the estimator's modes. The median filter's default, which keeps the
speed on the validation split too, is listed beside them. Prints a Markdown table; with clean motion capture (FILE, 60
frames a second) also by how much the model changes it: mean over joints, frames and clips, and the worst clip's mean.
"""

from __future__ import annotations

import argparse
import itertools
from functools import partial
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline

from smoothnet_core import filters, refine
from smpl_tools.paired_scores import paired_scores, score_table
from smpl_tools.sources import read_clean, read_paired
from smpl_tools.train_model import interpolated

GRID = {
    "one-euro": {"min_cutoff": [0.3, 0.6, 1.0, 2.0, 4.0], "beta": [0.5, 2.0, 5.0, 10.0]},
    "savgol": {"window": [7, 9, 11, 15, 21, 31], "polyorder": [2, 3]},
    "gaussian": {"sigma": [0.7, 1.0, 1.5, 2.0, 2.5, 3.0]},
    "butterworth": {"cutoff": [2.0, 3.0, 4.0, 5.0, 6.0]},
    "median": {"size": [3, 5, 7, 9], "sigma": [0.7, 1.0, 1.5, 2.0, 2.5]},
    "kalman": {"cutoff": [1.0, 1.5, 2.0, 3.0, 4.0, 5.0]},
}
MIN_SPEED = 0.95


def tuned(name: str, clips: list) -> dict[str, float]:
    """Return the best setting of a filter; the one that keeps most speed where none keeps enough."""
    best, best_rank = {}, (True, np.inf)
    for values in itertools.product(*GRID[name].values()):
        setting = dict(zip(GRID[name], values, strict=True))
        refiner = partial(filtered, name=name, setting=setting)
        scores = list(paired_scores(clips, refiner).values())
        speed = np.mean([s["speed_ratio"] for s in scores])
        slow = bool(speed < MIN_SPEED)
        rank = (slow, -speed if slow else np.mean([s["mpjpe_mm"] for s in scores]))
        if rank < best_rank:
            best, best_rank = setting, rank
    return best


def filtered(clip, name: str, setting: dict[str, float]):
    return filters.FILTERS[name](interpolated(clip), fps=clip.fps, **setting)


def clean_change(path: Path, model: str) -> str:
    """Return a Markdown table of how far clean motion is moved at 30, 60 and 120 frames a second."""
    lines = ["| clean motion at | mean change mm | worst clip mm |", "|---|---|---|"]
    for fps in (30, 60, 120):
        changes = []
        for clip in read_clean(path, [], 60.0):
            if fps == 120:
                time = np.arange(len(clip)) / 60
                track = CubicSpline(time, clip)(np.arange(2 * len(clip) - 1) / 120)
            else:
                track = clip[:: 60 // fps]
            changes.append(1e3 * np.linalg.norm(refine(track, fps=fps, model=model) - track, axis=-1).mean())
        lines.append(f"| {fps} fps | {np.mean(changes):.2f} | {np.max(changes):.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--model", default="default")
    parser.add_argument("--clean", type=Path)
    arguments = parser.parse_args()
    # Every third clip, of both training sets, in all its modes.
    training = [c for i, c in enumerate(read_paired(arguments.folder, ["train", "extra_train"])) if i // 3 % 3 == 0]
    clips = read_paired(arguments.folder, [arguments.split])
    rows = {
        "raw": paired_scores(clips, interpolated),
        "median size 5 sigma 1.5 (default)": paired_scores(clips, partial(filtered, name="median", setting={})),
    }
    for name in GRID:
        setting = tuned(name, training)
        label = f"{name} {' '.join(f'{k} {v:g}' for k, v in setting.items())}"
        rows[label] = paired_scores(clips, partial(filtered, name=name, setting=setting))
    rows[f"smoothnet {arguments.model}"] = paired_scores(
        clips,
        lambda c: refine(c.estimate, fps=c.fps, model=arguments.model, mask=c.detected, confidence=c.confidence),
    )
    print(score_table(rows))
    if arguments.clean:
        print("\n" + clean_change(arguments.clean, arguments.model))


if __name__ == "__main__":
    main()
