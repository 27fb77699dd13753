"""How well glitches that last are taken out, and gaps filled: ``repair`` beside ``deglitch``, a median and splines.

    python benchmarks/glitches.py FOLDER

FOLDER holds ``cmu/cmu_train.npz``. In clean motion capture of people whom no network saw, joints are off by one vector
for some frames on end (normal, 150 mm on each axis, and 10 mm anew in every frame), or not seen for as long. Prints the
mean distance from the truth in mm, over the joint-frames that were hit and over all others.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from smoothnet_core import filters, refine, repair
from smpl_tools.sources.clean import clean_clips

Array = NDArray[np.float64]

SUBJECTS = ("13", "60", "61")
LENGTHS = (1, 3, 8, 15, 30)
CLIPS, SHORTEST, LONGEST, RUNS_PER_100_FRAMES = 6, 300, 800, 1.5
JUMP, JITTER = 0.15, 0.01


def clips(folder: Path) -> Iterator[Array]:
    """Yield (T, J, 3) positions in metres."""
    found = (clip.body().positions for clip in clean_clips(folder / "cmu" / "cmu_train.npz", keep=SUBJECTS))
    middling = [positions for positions in found if SHORTEST <= len(positions) <= LONGEST]
    yield from middling[:: max(1, len(middling) // CLIPS)][:CLIPS]


def hit(truth: Array, length: int, rng: np.random.Generator) -> tuple[Array, NDArray[np.bool_]]:
    """Return the take with some joints off for ``length`` frames on end, and where."""
    track, off = truth.copy(), np.zeros(truth.shape[:2], bool)
    for _ in range(round(RUNS_PER_100_FRAMES * len(truth) / 100)):
        start, joint = rng.integers(0, len(truth) - length), rng.integers(truth.shape[1])
        rows = slice(start, start + length)
        track[rows, joint] += rng.normal(0, JUMP, 3) + rng.normal(0, JITTER, (length, 3))
        off[rows, joint] = True
    return track, off


def splined(track: Array, off: NDArray[np.bool_]) -> Array:
    """Return the take with cubic splines over what was not seen."""
    filled, time = track.copy(), np.arange(len(track))
    for joint in np.flatnonzero(off.any(axis=0)):
        seen = ~off[:, joint]
        filled[:, joint] = CubicSpline(time[seen], track[seen, joint])(time)
    return filled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    truths = list(clips(parser.parse_args().folder))
    rows: list[tuple[str, Callable[[Array, NDArray[np.bool_]], Array]]] = [
        ("off, as given", lambda track, off: track),
        ("off, median 5, 1.5", lambda track, off: filters.median(track, fps=60)),
        ("off, deglitch", lambda track, off: refine(track, model="deglitch")),
        ("off, repair", lambda track, off: repair(track)),
        ("not seen, splines", splined),
        ("not seen, repair", lambda track, off: repair(track, mask=~off)),
    ]
    print(f"{len(truths)} clips, {sum(map(len, truths)):,} frames, 60 frames a second; mm: hit / all others\n")
    print("| | " + " | ".join(f"{length} frames" for length in LENGTHS) + " |")
    print("|---|" + "---|" * len(LENGTHS))
    for name, way in rows:
        cells = []
        for length in LENGTHS:
            rng = np.random.default_rng(length)
            at, elsewhere = [], []
            for truth in truths:
                track, off = hit(truth, length, rng)
                far = 1e3 * np.linalg.norm(way(track, off) - truth, axis=-1)
                at.append(far[off])
                elsewhere.append(far[~off])
            cells.append(f"{np.concatenate(at).mean():.1f} / {np.concatenate(elsewhere).mean():.2f}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
