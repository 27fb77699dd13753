"""From a configuration to weights and their model card."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smoothnet_core import filters, refine
from smoothnet_core._checks import mismatch, require
from smoothnet_core.checkpoints import Weights, write_safetensors
from smoothnet_core.model import Model
from smpl_tools.formats._files import reason, replacing
from smpl_tools.paired_scores import paired_scores, score_table
from smpl_tools.sources import PairedClip, read_clean, read_paired

_KEYS = ("name", "version", "data", "licence", "pairs", "clean", "mix", "training")


@dataclass(frozen=True)
class Plan:
    """A checked configuration.

    Attributes:
        name: of the weights.
        version: of the weights.
        data: one line on what they are trained on, for the metadata.
        licence: one line on the weights' terms.
        pairs: ``folder``, ``train`` (names of splits) and ``validation`` (likewise).
        clean: ``file`` and ``exclude_subjects``; empty for none.
        mix: of them, see :class:`smoothnet_core.training.batches.Mix`.
        training: settings of :mod:`smoothnet_core.training`.
    """

    name: str
    version: str
    data: str
    licence: str
    pairs: Mapping[str, Any]
    clean: Mapping[str, Any]
    mix: Mapping[str, Any]
    training: Mapping[str, Any]


def read_plan(path: Path) -> Plan:
    """Read a YAML configuration.

    Raises:
        ValueError: not YAML, or a key is missing, unknown or of the wrong type.
        MissingExtraError: PyYAML is not installed.
    """
    yaml = require("yaml", "train")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise mismatch(f"{path}", "a YAML file", reason(error)) from None
    if not isinstance(content, dict) or set(content) != set(_KEYS):
        found = ", ".join(map(str, content)) if isinstance(content, dict) else repr(content)
        raise mismatch(f"{path}", "exactly the keys " + ", ".join(_KEYS), found)
    for key, needed in (("pairs", {"folder", "train", "validation"}), ("clean", {"file", "exclude_subjects"})):
        value = content[key]
        if not isinstance(value, dict) or (value and not needed <= set(value)):
            raise mismatch(f"{path}: {key}", "the keys " + ", ".join(sorted(needed)), repr(value))
    return Plan(**content)


def train_model(
    plan: Plan, data: Path, output: Path, *, report: Callable[[int, int, float], None] = lambda step, steps, loss: None
) -> str:
    """Train, score on the validation splits, and write the weights and, beside them, their model card.

    Args:
        plan: what to train.
        data: the folder that the plan's paths are relative to.
        output: a ``.safetensors`` file; the card has the same name with ``.md``.
        report: called with the step, the number of steps, and the running loss.

    Returns:
        The model card.

    Raises:
        ValueError: the plan or its data are not as they should be.
        MissingExtraError: torch or Lightning Fabric is not installed.
    """
    require("torch", "train")
    require("lightning_fabric", "train")
    from smoothnet_core.training.batches import Mix, Sampler
    from smoothnet_core.training.loop import fit
    from smoothnet_core.training.settings import Settings, numbers_from

    settings = numbers_from(Settings, plan.training, "training setting")
    folder = data / plan.pairs["folder"]
    pairs = [_as_pair(clip) for clip in read_paired(folder, plan.pairs["train"])]
    validation = read_paired(folder, plan.pairs["validation"])
    clean = []
    if plan.clean:
        subjects = [str(s) for s in plan.clean["exclude_subjects"]]
        clean = read_clean(data / plan.clean["file"], subjects, settings.fps)
    mix = numbers_from(Mix, plan.mix, "mix of training data")
    tensors = fit(
        Sampler(pairs, clean, mix, settings),
        settings,
        report=lambda step, value: report(step, settings.steps, value),
    )
    metadata = {
        "architecture": "vector_filter",
        "name": plan.name,
        "version": plan.version,
        "window": settings.sizes.window,
        "hop": settings.hop,
        "fps": settings.fps,
        "sizes": asdict(settings.sizes),
        "data": plan.data,
        "licence": plan.licence,
        "mix": asdict(mix),
        "training": asdict(settings),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(output, Weights(tensors, metadata))
    card = _model_card(metadata, tensors, validation)
    with replacing(output.with_suffix(".md")) as file:
        file.write(card.encode())
    return card


def _as_pair(clip: PairedClip) -> Any:
    from smoothnet_core.training.batches import Pair

    seen = clip.detected
    observed = np.broadcast_to(seen[:, None], clip.confidence.shape).astype(np.float32)
    return Pair(clip.name, interpolated(clip), clip.groundtruth, clip.confidence, observed)


def interpolated(clip: PairedClip) -> Any:
    """Return the estimate (T, J, 3) with undetected frames interpolated in time, as the filters see it."""
    # A filter of strength 0 changes nothing but the gaps.
    return filters.gaussian(clip.estimate, strength=0.0, mask=clip.detected)


def _model_card(metadata: Mapping[str, Any], tensors: Mapping[str, Any], validation: Sequence[PairedClip]) -> str:
    model = Model(metadata["name"], tensors, metadata)

    def refined(clip: PairedClip) -> Any:
        return refine(clip.estimate, fps=clip.fps, model=model, mask=clip.detected, confidence=clip.confidence)

    def median(clip: PairedClip) -> Any:
        return filters.median(interpolated(clip), fps=clip.fps)

    rows = {"raw": interpolated, "median 5 + Gaussian 1.5": median, metadata["name"]: refined}
    scores = {name: paired_scores(validation, refiner) for name, refiner in rows.items()}
    parameters = sum(int(np.size(t)) for t in tensors.values())
    return f"""# Weights `{metadata["name"]}`, version {metadata["version"]}

Made by `smoothnet train`; written by it, not by hand.

- Network: `{metadata["architecture"]}`, {parameters:,} parameters, {json.dumps(metadata["sizes"])}.
- Window {metadata["window"]} frames at {metadata["fps"]:g} frames a second, hop {metadata["hop"]};
  other rates are resampled.
- Data: {metadata["data"]}
- Licence: {metadata["licence"]}
- Use: joint positions in 2D or 3D, rotations, single channels; any unit, any skeleton. Time alone is seen: a joint that
  stays wrong for longer than the window stays wrong, and motion faster than about a third of a second may lose height.

## Paired validation: real estimator output against exact truth

{score_table(scores)}

Frame-weighted means over clips of subjects that training did not see. The truth's own mean acceleration is 9.4, so a
low Accel counts only beside speed and jitter ratios near 1 (output over truth).

## Training settings

```json
{json.dumps({key: metadata[key] for key in ("mix", "training")}, indent=2)}
```
"""
