"""What a hop costs in accuracy: every measure of a network at several hops beside its own at hop 1.

    python benchmarks/hops.py FOLDER [--models default fast] [--hops 1 4 8 12 16] [--document FILE.md]

FOLDER holds ``paired/`` and ``cmu/cmu_train.npz``. Positions are those of the validation and of the training clips, in
every mode of the estimator; rotations are the clips of the study ``rotations``, all of the validation ones and every
sixth of the training ones; clean motion is that of the study ``clean``. Windows are blended as in use. Prints Markdown
tables: the value at the first hop, and by how many percent of it the value at each other hop is higher. Weights are
shipped names or files.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from smoothnet_core.model import Model, load_model
from smpl_tools.experiments import clean, rotations
from smpl_tools.experiments.frame import Bench
from smpl_tools.experiments.refiners import network
from smpl_tools.formats._files import replacing
from smpl_tools.paired_scores import MEASURES, Measure, paired_scores
from smpl_tools.sources import PairedClip

# Of all those of the studies: acceleration in frames tells the same as in seconds.
POSITIONS = {name: measure for name, measure in MEASURES.items() if name != "accel_mm_per_second2"}
# By data: (row, measure) to one value for each hop.
Rows = dict[tuple[str, str], list[float]]


def at_hop(model: Model, hop: int) -> Model:
    """Return a model whose own hop is another."""
    return replace(model, metadata={**model.metadata, "hop": hop})


def paired_rows(clips: Sequence[PairedClip], models: Sequence[Model], measures: Mapping[str, Measure]) -> Rows:
    """Return every measure in every mode for each model."""
    scores = [paired_scores(clips, network(model), measures) for model in models]
    return {
        (mode, measure.heading): [by_mode[mode][name] for by_mode in scores]
        for mode in scores[0]
        for name, measure in measures.items()
    }


def clean_rows(data: Path, models: Sequence[Model]) -> Rows:
    """Return by how much clean motion changes, for each model."""
    (table,) = clean.run(Bench(data, {str(model.hop): model for model in models})).tables
    headings = list(table.columns)[2:]
    rows: Rows = {}
    for fps, name, *values in table.rows:
        if name in {str(model.hop) for model in models}:
            for heading, value in zip(headings, values, strict=True):
                rows.setdefault((f"{fps} frames a second", heading), []).append(float(value or 0.0))
    return rows


def text(rows: Rows, hops: Sequence[int]) -> str:
    """Return a table, and under it the largest change of each hop."""
    lines = [f"| | measure | hop {hops[0]} | " + " | ".join(f"{hop}, %" for hop in hops[1:]) + " |"]
    lines.append("|---|---|---|" + "---|" * (len(hops) - 1))
    worst = [(0.0, "nowhere")] * len(hops)
    for (row, measure), values in rows.items():
        changes = [100 * (value / values[0] - 1) for value in values]
        worst = [max(w, (abs(c), f"{row}, {measure}")) for w, c in zip(worst, changes, strict=True)]
        lines.append(f"| {row} | {measure} | {values[0]:.4g} | " + " | ".join(f"{c:+.2f}" for c in changes[1:]) + " |")
    said = "; ".join(f"hop {hop} {w:.2f} % ({where})" for hop, (w, where) in zip(hops[1:], worst[1:], strict=True))
    return "\n".join(lines) + f"\n\nLargest change: {said}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", default=["default", "fast"], help="shipped names or files")
    parser.add_argument("--hops", nargs="+", type=int, default=[1, 4, 8, 12, 16])
    parser.add_argument("--document", type=Path, help="Markdown file to write the tables to as well")
    arguments = parser.parse_args()
    bench = Bench(arguments.folder)
    names = sorted({clip.name for clip in bench.training})[::6]
    some = [clip for clip in bench.training if clip.name in names]
    sections: list[str] = []

    def add(title: str, rows: Rows) -> None:
        sections.append(f"### {title}\n\n{text(rows, arguments.hops)}")
        print(sections[-1] + "\n", flush=True)

    for name in arguments.models:
        models = [at_hop(load_model(name), hop) for hop in arguments.hops]
        add(f"`{name}`: positions, validation clips", paired_rows(bench.validation, models, POSITIONS))
        validation = rotations.rotation_clips(bench.validation)
        add(f"`{name}`: rotations, validation clips", paired_rows(validation, models, rotations.MEASURES))
        add(f"`{name}`: positions, training clips", paired_rows(bench.training, models, POSITIONS))
        training = rotations.rotation_clips(some)
        add(f"`{name}`: rotations, every sixth training clip", paired_rows(training, models, rotations.MEASURES))
        add(f"`{name}`: clean motion", clean_rows(arguments.folder, models))
    if arguments.document:
        with replacing(arguments.document) as file:
            file.write(("\n\n".join(sections) + "\n").encode())


if __name__ == "__main__":
    main()
