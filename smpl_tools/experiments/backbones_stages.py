"""Table 2 of the supplementary document: SmoothNet trained with its backbone in one stage, or after it in a second."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from smoothnet_core import refine
from smoothnet_core.model import Model
from smpl_tools.experiments.backbones import (
    ACCELERATION,
    DIFFERS,
    FAMILIES,
    PROTOCOL,
    SCORED,
    Answers,
    Family,
    answering,
    answers_of,
    examples,
    refining,
    train_backbone,
    true_acceleration,
    true_clips,
)
from smpl_tools.experiments.frame import Bench, Result, Table
from smpl_tools.experiments.network_training import (
    WINDOW,
    as_model,
    parameters,
    seeded,
    train_network,
    train_smoothnet,
)
from smpl_tools.experiments.refiners import filtering, networks, score_rows
from smpl_tools.experiments.sequences import Example
from smpl_tools.paired_scores import Refiner

if TYPE_CHECKING:
    from torch import nn

_DIFFERS = (
    f"{DIFFERS} The paper's signs for its four one-stage rows were lost from its text; they are taken to be with and "
    "without an L1 loss on the backbone's own output, each with and without acceleration loss. A filter and our own "
    "networks on the backbones' output are added; ours were not trained on it."
)


def run(bench: Bench) -> Result:
    """Train every strategy for each family and score it on the validation clips."""
    tables, lost = [], []
    for family in FAMILIES:
        table, sentence = _compared(bench, family)
        tables.append(table)
        lost.append(f"{family.name}: {sentence}")
    return Result(_DIFFERS, " ".join(lost), tables)


def _compared(bench: Bench, family: Family) -> tuple[Table, str]:
    seen = examples(bench, bench.training, family, mirrored=True)
    unseen = examples(bench, bench.validation, family)
    rows: dict[str, tuple[Refiner, int]] = {}
    second_stage: dict[str, tuple[Refiner, int]] = {}
    for heading in (family.single, family.several):
        bench.say(f"  {family.name}: {heading}")
        network = train_backbone(bench, family, heading, seen)
        answers, size = answers_of(network, unseen), parameters(network)
        rows[heading] = answering(family, answers), size
        bench.say(f"  {family.name}: {heading}, then SmoothNet")
        model = train_smoothnet(bench, _answered(network, seen))
        learned = sum(int(np.size(tensor)) for tensor in model.tensors.values())
        second_stage[f"{heading}, then SmoothNet"] = answering(family, _smoothed(model, answers)), learned
        second_stage[f"{heading}, then median 5, Gaussian 1.5"] = (
            refining(family, answers, filtering("median", {})),
            0,
        )
        for name, refiner in networks(bench).items():
            learned = sum(int(np.size(tensor)) for tensor in bench.networks[name].tensors.values())
            second_stage[f"{heading}, then {name}"] = refining(family, answers, refiner), learned
    heading = family.several
    bench.say(f"  {family.name}: {heading}, acceleration loss")
    network = train_backbone(bench, family, heading, seen, ACCELERATION)
    rows[f"{heading}, accel loss"] = answering(family, answers_of(network, unseen)), parameters(network)
    for between in (False, True):
        for acceleration in (0.0, ACCELERATION):
            name = f"{heading} with SmoothNet"
            name += (", L1 between" if between else "") + (", accel loss" if acceleration else "")
            bench.say(f"  {family.name}: {name}")
            whole = _trained_as_one(bench, family, seen, between, acceleration)
            answers = _smoothed(as_model(whole.smoother), answers_of(whole.backbone, unseen))
            rows[name] = answering(family, answers), parameters(whole)
    rows |= second_stage
    scores = score_rows(true_clips(family, unseen), {name: refiner for name, (refiner, _) in rows.items()}, SCORED)
    columns: dict[str, int | None] = {"strategy": None, **{m.heading: m.decimals for m in SCORED.values()}}
    table = Table(
        f"{family.name}, one stage and two",
        PROTOCOL.format(split="validation clips", accel=true_acceleration(family, unseen))
        + " Parameters are those trained in the last stage.",
        columns | {"parameters M": 3},
        [[name, *(scores[name][family.name][key] for key in SCORED), size / 1e6] for name, (_, size) in rows.items()],
    )
    ours = f"{family.several}, then {next(iter(bench.networks))}"
    return table, _behind(ours, {name: by_mode[family.name] for name, by_mode in scores.items()})


def _behind(ours: str, scores: Mapping[str, Mapping[str, float]]) -> str:
    """Say which strategy has the lowest value of each error where ours has not, and what speed it keeps."""
    found = []
    for key, measure in SCORED.items():
        winner = min(scores, key=lambda name, key=key: scores[name][key])
        if measure.target == 0 and scores[winner][key] < scores[ours][key]:
            own, lowest, speed = scores[ours][key], scores[winner][key], scores[winner]["speed_ratio"]
            d = measure.decimals
            found.append(f"{measure.heading} {own:.{d}f} ({winner}: {lowest:.{d}f} at speed {speed:.2f})")
    kept = f"`{ours}` (speed {scores[ours]['speed_ratio']:.2f})"
    return f"{kept} is behind in {'; '.join(found)}." if found else f"{kept} has the lowest of every error."


def _trained_as_one(bench: Bench, family: Family, seen: Sequence[Example], between: bool, acceleration: float) -> Any:
    """Return backbone and SmoothNet trained as one; ``between`` adds an L1 loss on what the backbone answers."""
    from smoothnet_core.models.published import SmoothNet
    from smoothnet_core.training.losses import published_loss
    from smoothnet_core.training.settings import PublishedLossWeights
    from smpl_tools.experiments.networks.smoothed import Smoothed

    def loss(network: nn.Module, batch: Any) -> Any:
        refined, estimate = network(batch[0])
        value = published_loss(refined, batch[1], PublishedLossWeights(1.0, acceleration))
        return value + (estimate - batch[1]).abs().mean() if between else value

    whole: Any = seeded(lambda: Smoothed(family.build(family.several), SmoothNet(WINDOW)))
    train_network(bench, whole, seen, loss, margin=whole.backbone.margin)
    return whole


def _answered(network: Any, seen: Sequence[Example]) -> list[Example]:
    """Return examples whose input is what a backbone answers, on which the second stage is trained."""
    return [dataclasses.replace(e, inputs=answers_of(network, [e])[e.name]) for e in seen]


def _smoothed(model: Model, answers: Answers) -> Answers:
    """Return the answers after SmoothNet, which sees every number as a channel of its own, as it was trained."""
    return {name: refine(answer, kind="channels", model=model) for name, answer in answers.items()}
