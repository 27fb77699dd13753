"""How the studies of short trainings compare: by mode, or as a matrix of what was trained on and what is tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from smpl_tools.experiments.frame import Bench, Table
from smpl_tools.experiments.refiners import Scores, filtering, losses, mode_table, networks, raw, score_rows
from smpl_tools.experiments.tuning import PROTOCOL, UNTUNED
from smpl_tools.paired_scores import COLUMNS, MEASURES, Measure, Refiner, paired_scores
from smpl_tools.sources import PairedClip


@dataclass(frozen=True, eq=False)
class Column:
    """What is tested on.

    Attributes:
        clips: all counted together, whatever their modes.
        measures: of them; the keys are those of all columns.
    """

    clips: Sequence[PairedClip]
    measures: Mapping[str, Measure]


def compared_with(bench: Bench, trained: Mapping[str, Refiner]) -> dict[str, Refiner]:
    """Return the rows of a table: the raw input, a filter, the networks that a study trained, the judged networks."""
    return {"raw": raw, UNTUNED: filtering("median", {}), **trained, **networks(bench)}


def scored_by_mode(bench: Bench, title: str, trained: Mapping[str, Refiner]) -> tuple[Table, str]:
    """Return the table of trained networks on the validation clips, and where our first network is behind."""
    measures = {key: MEASURES[key] for key in COLUMNS}
    bench.say(f"  scoring on {len(bench.validation)} validation clips")
    scores = score_rows(bench.validation, compared_with(bench, trained), measures)
    table = mode_table(title, PROTOCOL, scores, measures)
    return table, losses(next(iter(bench.networks)), scores, measures)


def score_matrix(columns: Mapping[str, Column], rows: Mapping[str, Refiner]) -> dict[str, Scores]:
    """Return the scores of every row by the name of the column."""
    renamed = {name: [replace(clip, mode=name) for clip in column.clips] for name, column in columns.items()}
    return {
        row: {name: paired_scores(renamed[name], refiner, column.measures)[name] for name, column in columns.items()}
        for row, refiner in rows.items()
    }


def matrix_table(title: str, protocol: str, scores: Mapping[str, Scores], columns: Mapping[str, Column]) -> Table:
    """Return the matrices of all measures, one under the other."""
    rows = []
    for key in next(iter(columns.values())).measures:
        heading = " / ".join(dict.fromkeys(column.measures[key].heading for column in columns.values()))
        rows += [[heading, row, *(by_column[name][key] for name in columns)] for row, by_column in scores.items()]
    return Table(title, protocol, {"measure": None, "refiner": None, **dict.fromkeys(columns, 2)}, rows)


def matrix_losses(bench: Bench, scores: Mapping[str, Scores], columns: Mapping[str, Column]) -> str:
    """Return in words where our first network is behind, and which rows make errors larger than those of ``raw``.

    A row may lack some of the columns.
    """
    ours = next(iter(bench.networks))
    alike: dict[int, list[str]] = {}
    for name in scores[ours]:
        alike.setdefault(id(columns[name].measures), []).append(name)
    said = []
    for names in alike.values():
        here = {
            row: {name: by_column[name] for name in names if name in by_column} for row, by_column in scores.items()
        }
        sentence = losses(ours, here, columns[names[0]].measures)
        said.append(sentence if len(alike) == 1 else f"{', '.join(names)}: {sentence}")
    above = [
        f"{name}: {row} {by_column[name]['mpjpe']:.1f} ({scores['raw'][name]['mpjpe']:.1f})"
        for name in columns
        for row, by_column in scores.items()
        if name in by_column and by_column[name]["mpjpe"] > scores["raw"][name]["mpjpe"]
    ]
    return " ".join([*said, *([f"MPJPE above raw: {'; '.join(above)}."] if above else [])])
