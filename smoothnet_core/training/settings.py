"""What a training run is told, checked before anything is computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from smoothnet_core._checks import check_positive, mismatch, one_of

T = TypeVar("T")

OPTIMIZERS = ("adam", "amsgrad")
DECAYS = ("one-cycle", "exponential", "constant")

SHORTEST_CYCLE = 20
# The filter that low-passes some of the crops wants more than 15.
_SHORTEST_CROP = 16


@dataclass(frozen=True)
class Schedule:
    """How :func:`smoothnet_core.training.loop.train` trains.

    Attributes:
        steps: optimiser steps.
        optimizer: ``adam`` or ``amsgrad``, Adam's variant that the paper uses.
        learning_rate: at the start; for ``one-cycle`` at its peak.
        decay: of the learning rate: ``one-cycle`` (up for a tenth of the steps, then down), ``exponential`` (times
            ``factor`` every ``epoch`` steps) or ``constant``; runs of fewer than 20 steps have no room for a cycle and
            keep the rate.
        factor: of the exponential decay.
        epoch: steps.
        clip: greatest norm of the gradient; 0 for no limit.
        weight_decay: of the weights, apart from the gradient (AdamW; Loshchilov, Hutter, ICLR 2019).
        average: decay, each step, of the running mean of the weights that is selected and returned; 0 for none.
        select_every: steps between selection scores.
        record_every: steps between rows of the curves.
        checkpoint_every: steps after which the run is saved, where it has a folder.
        seed: of everything random.
    """

    steps: int = 3000
    optimizer: str = "adam"
    learning_rate: float = 2e-3
    decay: str = "one-cycle"
    factor: float = 0.95
    epoch: int = 100
    clip: float = 1.0
    weight_decay: float = 0.0
    average: float = 0.0
    select_every: int = 500
    record_every: int = 50
    checkpoint_every: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("schedule optimizer", self.optimizer, OPTIMIZERS)
        one_of("schedule decay", self.decay, DECAYS)
        counts = ("steps", "epoch", "select_every", "record_every", "checkpoint_every")
        check_positive("schedule", self, (*counts, "learning_rate", "factor"))
        for name in ("clip", "weight_decay"):
            if getattr(self, name) < 0:
                raise mismatch(f"schedule {name}", "a number that is not negative", getattr(self, name))
        if not 0 <= self.average < 1:
            raise mismatch("schedule average", "at least 0 and below 1", self.average)


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of :func:`smoothnet_core.training.losses.loss`.

    Attributes:
        position: of the position error.
        acceleration: of the acceleration error.
        speed: of the speed that is missing.
        too_fast: of the speed that is too much, as a share of ``speed``; below 1 the output leans to the fast side of
            what the input leaves open.
    """

    position: float = 1.0
    acceleration: float = 0.5
    speed: float = 1.0
    too_fast: float = 1.0


@dataclass(frozen=True)
class BodyLossWeights(LossWeights):
    """Weights of the terms of the loss of whole bodies.

    Attributes:
        position, acceleration, speed, too_fast: as for :class:`LossWeights`.
        aligned: of the position error that a similarity leaves, :func:`smoothnet_core.training.losses.aligned_error`.
    """

    acceleration: float = 2.0
    aligned: float = 0.0


@dataclass(frozen=True)
class PublishedLossWeights:
    """Weights of the terms of :func:`smoothnet_core.training.losses.published_loss`, the paper's."""

    position: float = 1.0
    acceleration: float = 0.1


@dataclass(frozen=True)
class WindowSettings:
    """One training run in the manner of the paper (Zeng et al., ECCV 2022): stride-1 windows of paired clips.

    The learning rate falls by ``factor`` every epoch.

    Attributes:
        fps: frames a second of all the training data.
        hop: frames between windows in use.
        epochs: passes over all windows.
        batch: windows a step.
        learning_rate: at the start.
        factor: of its decay.
        seed: of everything random.
        loss: weights of its terms.
    """

    fps: float = 30.0
    hop: int = 1
    epochs: int = 70
    batch: int = 128
    learning_rate: float = 1e-4
    factor: float = 0.95
    seed: int = 0
    loss: PublishedLossWeights = field(default_factory=PublishedLossWeights)

    def __post_init__(self) -> None:
        check_positive("training setting", self, ("fps", "hop", "epochs", "batch", "learning_rate", "factor"))


@dataclass(frozen=True)
class Settings:
    """One training run on crops.

    Attributes:
        fps: frames a second of all the training data.
        hop: frames between windows, in training and by default in use.
        steps: optimiser steps.
        learning_rate: peak of the one-cycle schedule.
        batch: crops a step.
        crop: frames a crop; several windows, so that the loss sees what blending makes of them.
        joints: joints drawn from a clean clip for one crop.
        kept_units: units of each hidden layer that stay after training, those that say most; 0 for all.
        first: weights to begin from, a shipped name or a file; none if empty.
        agreement: weight of the acceleration that is between a crop's refinement and that of the same crop cut into
            windows half a hop later: so much of the noise that is left comes from where windows happen to begin.
        select_every: steps between selection scores.
        seed: of everything random.
        loss: weights of its terms.
    """

    fps: float = 30.0
    hop: int = 8
    steps: int = 3000
    learning_rate: float = 2e-3
    batch: int = 48
    crop: int = 72
    joints: int = 15
    kept_units: int = 0
    first: str = ""
    agreement: float = 0.0
    select_every: int = 500
    seed: int = 0
    loss: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        counts = ("hop", "steps", "batch", "crop", "joints", "select_every")
        check_positive("training setting", self, (*counts, "fps", "learning_rate"))
        if self.crop < _SHORTEST_CROP:
            raise mismatch("training setting crop", f"at least {_SHORTEST_CROP} frames", self.crop)
        for name in ("kept_units", "agreement"):
            if getattr(self, name) < 0:
                raise mismatch(f"training setting {name}", "a number that is not negative", getattr(self, name))
        if self.agreement and self.hop < 2:
            raise mismatch(
                "training setting agreement", "0 with a hop of 1, which windows have no half of", self.agreement
            )


@dataclass(frozen=True)
class EndSettings(Settings):
    """One training run on crops for streams, which see a frame near the end of a window.

    Attributes:
        fps, hop, steps, learning_rate, batch, crop, joints, first, select_every, seed, loss: as for
            :class:`Settings`, whose ``agreement`` must be 0.
        latencies: how many latencies are trained for, from 0 on.
        none: how much a latency of 0 counts, beside 1 for each other one.
    """

    learning_rate: float = 1e-3
    batch: int = 12
    latencies: int = 8
    none: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("training setting", self, ("latencies",))
        if self.agreement:
            raise mismatch(
                "training setting agreement", "0 for streams, which have a window at every frame", self.agreement
            )
        if self.none < 0:
            raise mismatch("training setting none", "a number that is not negative", self.none)


@dataclass(frozen=True)
class BodySettings:
    """One training run on crops of whole bodies, each one window long.

    Attributes:
        fps: frames a second of all the training data.
        hop: frames between windows in use.
        steps: optimiser steps.
        learning_rate: peak of the one-cycle schedule.
        weight_decay, average: see :class:`Schedule`.
        batch: crops a step.
        select_every: steps between selection scores.
        seed: of everything random.
        kept: share of the learned correction that the weights keep. A network is surer of people it has seen than it
            may be of others; what is best for those is found on people who were kept back from training.
        loss: weights of its terms.
    """

    fps: float = 30.0
    hop: int = 32
    steps: int = 1200
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-3
    average: float = 0.995
    batch: int = 48
    select_every: int = 200
    seed: int = 0
    kept: float = 1.0
    loss: BodyLossWeights = field(default_factory=BodyLossWeights)

    def __post_init__(self) -> None:
        check_positive("training setting", self, ("fps", "hop", "steps", "learning_rate", "batch", "select_every"))
        if not 0 < self.kept <= 1:
            raise mismatch("training setting kept", "above 0 and at most 1", self.kept)


@dataclass(frozen=True)
class HitLossWeights(LossWeights):
    """Weights of the terms of the loss of windows with hits, see :class:`LossWeights`."""

    acceleration: float = 3.0
    speed: float = 0.0


@dataclass(frozen=True)
class HitSettings:
    """One training run on single windows of clean motion in which some values are hit.

    Attributes:
        fps: frames a second of all the training data, which is played slower and faster; the weights state none.
        hop: frames between windows in use.
        steps: optimiser steps.
        learning_rate: peak of the one-cycle schedule.
        batch: windows a step.
        select_every: steps between selection scores.
        seed: of everything random.
        loss: weights of its terms.
    """

    fps: float = 60.0
    hop: int = 48
    steps: int = 3000
    learning_rate: float = 3e-3
    batch: int = 256
    select_every: int = 500
    seed: int = 0
    loss: HitLossWeights = field(default_factory=HitLossWeights)

    def __post_init__(self) -> None:
        check_positive("training setting", self, ("fps", "hop", "steps", "learning_rate", "batch", "select_every"))


# By recipe, see smoothnet_core.training.recipes.
SETTINGS: dict[str, type[Settings] | type[WindowSettings] | type[HitSettings] | type[BodySettings]] = {
    "crops": Settings,
    "ends": EndSettings,
    "windows": WindowSettings,
    "hits": HitSettings,
    "bodies": BodySettings,
}


def numbers_from(cls: type[T], values: Mapping[str, Any], what: str) -> T:
    """Return the dataclass of numbers that a configuration states; what it leaves out has the defaults.

    Args:
        cls: a dataclass whose fields are numbers or texts, or such dataclasses again.
        values: by field name.
        what: names the values in messages.

    Raises:
        ValueError: an unknown name or a wrong type, named.
    """
    return _changed(cls(), values, what)


def _changed(defaults: T, values: Mapping[str, Any], what: str) -> T:
    if not isinstance(values, Mapping):
        raise mismatch(what, "names with values", repr(values))
    fields = [field.name for field in dataclasses.fields(cast(Any, defaults))]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise mismatch(what, "one of " + ", ".join(fields), ", ".join(map(str, unknown)))
    made = {}
    for name, value in values.items():
        default = getattr(defaults, name)
        if dataclasses.is_dataclass(default):
            made[name] = _changed(default, value, f"{what} {name}")
        elif isinstance(default, str):
            if not isinstance(value, str):
                raise mismatch(f"{what} {name}", "text", repr(value))
            made[name] = value
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            raise mismatch(f"{what} {name}", "a number", repr(value))
        elif isinstance(default, int) and value != int(value):
            raise mismatch(f"{what} {name}", "a whole number", value)
        else:
            made[name] = type(default)(value)
    return dataclasses.replace(cast(Any, defaults), **made)
