"""What a training run is told, checked before anything is computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from smoothnet_core._checks import mismatch
from smoothnet_core.models.sizes import Sizes

T = TypeVar("T")


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of :func:`smoothnet_core.training.losses.loss`."""

    position: float = 1.0
    acceleration: float = 0.5
    speed: float = 1.0


@dataclass(frozen=True)
class Settings:
    """One training run.

    Attributes:
        fps: frames a second of all the training data.
        hop: frames between windows, in training and by default in use.
        steps: optimiser steps.
        learning_rate: peak of the one-cycle schedule.
        batch: crops a step.
        crop: frames a crop; several windows, so that the loss sees what blending makes of them.
        joints: joints drawn from a clean clip for one crop.
        seed: of everything random.
        sizes: of the network.
        loss: weights of its terms.
    """

    fps: float = 30.0
    hop: int = 8
    steps: int = 3000
    learning_rate: float = 2e-3
    batch: int = 48
    crop: int = 72
    joints: int = 15
    seed: int = 0
    sizes: Sizes = field(default_factory=Sizes)
    loss: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        for name in ("fps", "hop", "steps", "learning_rate", "batch", "joints"):
            if getattr(self, name) <= 0:
                raise mismatch(f"training setting {name}", "a positive number", getattr(self, name))
        if self.crop < self.sizes.window:
            raise mismatch("training setting crop", f"at least the window, {self.sizes.window} frames", self.crop)


def numbers_from(cls: type[T], values: Mapping[str, Any], what: str) -> T:
    """Return the dataclass of numbers that a configuration states; what it leaves out has the defaults.

    Args:
        cls: a dataclass whose fields are numbers, or such dataclasses again.
        values: by field name.
        what: names the values in messages.

    Raises:
        ValueError: an unknown name or a wrong type, named.
    """
    if not isinstance(values, Mapping):
        raise mismatch(what, "names with values", repr(values))
    fields = {f.name: f for f in dataclasses.fields(cast(Any, cls))}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise mismatch(what, "one of " + ", ".join(fields), ", ".join(map(str, unknown)))
    made = {}
    for name, value in values.items():
        default = fields[name].default
        if default is dataclasses.MISSING:
            made[name] = numbers_from(cast(Any, fields[name].default_factory), value, f"{what} {name}")
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            raise mismatch(f"{what} {name}", "a number", repr(value))
        elif isinstance(default, int) and value != int(value):
            raise mismatch(f"{what} {name}", "a whole number", value)
        else:
            made[name] = type(default)(value)
    return cls(**made)
