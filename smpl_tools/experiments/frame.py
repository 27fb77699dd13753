"""What a study is given and what it returns."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smoothnet_core.model import Model, load_model
from smpl_tools.sources import PairedClip, read_paired

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cell = str | float | int | None

# The quick form of a study sees this much of the data.
_QUICK_CLIPS, _QUICK_FRAMES = 2, 90
_HELD_BACK = ("val", "test")


@dataclass(frozen=True)
class Table:
    """Numbers with their protocol.

    Attributes:
        title: one line.
        protocol: frame rate, joints, split and units, in a sentence or two.
        columns: heading (with its unit) -> decimals; None for text.
        rows: a cell for each column; None is printed as a dash.
    """

    title: str
    protocol: str
    columns: Mapping[str, int | None]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure of a study: ``name`` (part of its file name), a caption, and the matplotlib figure."""

    name: str
    caption: str
    figure: Figure


@dataclass(frozen=True, eq=False)
class Result:
    """What a study found.

    Attributes:
        differs: what differs from the paper's setting, in a sentence or two.
        losses: where our networks lose, in words computed from the numbers.
        tables: at least one.
        drawings: its figures.
        settings: values in JSON's types that other studies use; see :meth:`Bench.settings_of`.
    """

    differs: str
    losses: str
    tables: Sequence[Table]
    drawings: Sequence[Drawing] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Bench:
    """What a study works with.

    Attributes:
        data: the folder with ``paired/`` and ``cmu/cmu_train.npz``.
        models: weights to judge, by the name they have in the tables: shipped names, files or loaded models. The first
            is the one that the sentence on losses is about.
        quick: run the short form: few clips of few frames, few settings, few training steps.
        stored: folder of the results of earlier runs, or None.
        say: called with a line on what is being done.
    """

    data: Path
    models: Mapping[str, str | Path | Model] = field(default_factory=lambda: {"default": "default"})
    quick: bool = False
    stored: Path | None = None
    say: Callable[[str], None] = lambda line: None
    _settings: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @cached_property
    def networks(self) -> dict[str, Model]:
        """The loaded ``models``."""
        return {name: load_model(model) for name, model in self.models.items()}

    @cached_property
    def training(self) -> list[PairedClip]:
        """All paired training clips in every mode of the estimator."""
        read_paired(self._paired, [])  # which refuses a folder without a readable list of splits
        splits = json.loads((self._paired / "splits.json").read_text(encoding="utf-8"))
        return self._some(read_paired(self._paired, [split for split in splits if split not in _HELD_BACK]))

    @cached_property
    def selection(self) -> list[PairedClip]:
        """A third of the training clips, on which settings are chosen."""
        if self.quick:
            return self.training
        return [clip for i, group in enumerate(_by_name(self.training)) if i % 3 == 0 for clip in group]

    @cached_property
    def validation(self) -> list[PairedClip]:
        """The paired validation clips in every mode of the estimator."""
        return self._some(read_paired(self._paired, ["val"]))

    @property
    def clean_file(self) -> Path:
        """The file of clean motion."""
        return self.data / "cmu" / "cmu_train.npz"

    def settings_of(self, study: str) -> Mapping[str, Any]:
        """Return the ``settings`` of another study: of this run, stored by an earlier one of the same form, or now."""
        if study not in self._settings:
            from smpl_tools.experiments.store import read_stored
            from smpl_tools.experiments.table import run_study

            earlier = None if self.stored is None else read_stored(self.stored, study)
            if earlier is not None and earlier["quick"] == self.quick:
                self._settings[study] = earlier["settings"]
            else:
                run_study(study, self)
        return self._settings[study]

    def keep(self, study: str, settings: Mapping[str, Any]) -> None:
        """Remember a study's settings for the studies after it."""
        self._settings[study] = settings

    @property
    def _paired(self) -> Path:
        return self.data / "paired"

    def _some(self, clips: list[PairedClip]) -> list[PairedClip]:
        if not self.quick:
            return clips
        return [_cut(clip) for group in _by_name(clips)[:_QUICK_CLIPS] for clip in group]


def _by_name(clips: Sequence[PairedClip]) -> list[list[PairedClip]]:
    groups: dict[str, list[PairedClip]] = {}
    for clip in clips:
        groups.setdefault(clip.name, []).append(clip)
    return list(groups.values())


def _cut(clip: PairedClip) -> PairedClip:
    piece = slice(0, _QUICK_FRAMES)
    return dataclasses.replace(
        clip,
        estimate=clip.estimate[piece],
        groundtruth=clip.groundtruth[piece],
        confidence=clip.confidence[piece],
    )
