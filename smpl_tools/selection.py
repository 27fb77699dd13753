"""Selection data: subjects kept back from training, by whose score the best checkpoint is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from smoothnet_core import metrics, refine
from smoothnet_core._checks import mismatch, one_of
from smoothnet_core.model import Model
from smpl_tools.paired_scores import COLUMNS, HIPS, LIMBS, MEASURES, Measure, paired_scores
from smpl_tools.sources import PairedClip

EVERY_THIRD = "every third subject"
# The joints of paired files; clips of other joint sets come centred on their own root.
_JOINTS = 15


def _mpjpe(output: Any, truth: Any, fps: float) -> Any:
    return metrics.mpjpe(output, truth, root=HIPS if truth.shape[1] == _JOINTS else None)


def _speed(output: Any, truth: Any, fps: float) -> float:
    return metrics.speed_ratio(output, truth, joints=LIMBS if truth.shape[1] == _JOINTS else None)


# Those of a model card, for clips of any joints.
CARD_MEASURES: dict[str, Measure] = {
    **{name: MEASURES[name] for name in COLUMNS},
    "mpjpe_mm": replace(MEASURES["mpjpe_mm"], of=_mpjpe),
    "speed_ratio": replace(MEASURES["speed_ratio"], of=_speed),
}


@dataclass(frozen=True)
class Selection:
    """How the best checkpoint is found.

    Attributes:
        subjects: of the training sources, kept back from training: ``every third subject`` (of their sorted names,
            from the third on) or a list. Clean motion is not touched: exclude their clips there.
        score: weights, by names of ``CARD_MEASURES``. The score is the weighted sum of how far each measure, averaged
            over estimator modes, is from its best value (0 of an error, 1 of a ratio); lower is better.
    """

    subjects: str | list[str] = EVERY_THIRD
    score: dict[str, float] = field(default_factory=lambda: {"mpjpe_mm": 1.0, "accel_mm_per_frame2": 1.0})


def selection_from(content: Any) -> Selection | None:
    """Return the selection that a configuration states: None for nothing, the text ``none`` or keys with values.

    Raises:
        ValueError: something else.
    """
    if content == "none":
        return None
    if content is None:
        return Selection()
    if not isinstance(content, Mapping):
        raise mismatch("select", "none, or the keys subjects and score", repr(content))
    for key in content:
        one_of("select, key", key, ("subjects", "score"))
    selection = Selection(**content)
    subjects, score = selection.subjects, selection.score
    named = isinstance(subjects, list) and subjects and all(isinstance(subject, str) for subject in subjects)
    if subjects != EVERY_THIRD and not named:
        raise mismatch("select subjects", f"{EVERY_THIRD!r} or a list of names", repr(subjects))
    if not isinstance(score, Mapping) or not score:
        raise mismatch("select score", "weights by measure", repr(score))
    for name, weight in score.items():
        one_of("select score", name, CARD_MEASURES)
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or weight <= 0:
            raise mismatch(f"select score {name}", "a positive number", repr(weight))
    return selection


def keep_back(clips: Sequence[PairedClip], selection: Selection | None) -> tuple[list[PairedClip], list[PairedClip]]:
    """Return the clips to train on and those kept back.

    Raises:
        ValueError: there are fewer than three subjects, a named one is unknown, or nobody is left to train on.
    """
    if selection is None:
        return list(clips), []
    known = sorted({clip.subject for clip in clips})
    if isinstance(selection.subjects, str):
        kept = known[2::3]
        if not kept:
            raise mismatch("select subjects", "at least three subjects in the sources", ", ".join(known) or "none")
    else:
        kept = [one_of("select subjects", subject, known) for subject in selection.subjects]
    training = [clip for clip in clips if clip.subject not in kept]
    if not training:
        raise mismatch("select subjects", "some subjects left to train on", "all of them kept back")
    return training, [clip for clip in clips if clip.subject in kept]


def model_refiner(model: Model, hop: int | None = None) -> Callable[[PairedClip], Any]:
    """Return the refiner of clips that a model is; ``hop`` None is the model's own."""

    def refined(clip: PairedClip) -> Any:
        return refine(clip.estimate, fps=clip.fps, model=model, mask=clip.detected, confidence=clip.confidence, hop=hop)

    return refined


def selection_score(
    clips: Sequence[PairedClip],
    score: Mapping[str, float],
    metadata: Mapping[str, Any],
    fixed: Mapping[str, Any] | None = None,
) -> Callable[[Any], float]:
    """Return the function from a torch network to its score on clips.

    It runs as in use but for its hop, which is at least a quarter of the window: the paper's networks are used at a
    hop of one frame, which costs several times as much, every epoch.

    Args:
        clips: that were kept back.
        score: see :class:`Selection`.
        metadata: of the weights.
        fixed: tensors of the weights beside the network's own.
    """
    measures = {name: CARD_MEASURES[name] for name in score}
    hop = max(int(metadata["hop"]), int(metadata["window"]) // 4)

    def scored(network: Any) -> float:
        tensors = {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}
        refiner = model_refiner(Model("in training", {**tensors, **(fixed or {})}, metadata), hop)
        by_mode = paired_scores(clips, refiner, measures).values()
        means = {name: np.mean([values[name] for values in by_mode]) for name in score}
        return float(sum(weight * abs(means[name] - measures[name].target) for name, weight in score.items()))

    return scored
