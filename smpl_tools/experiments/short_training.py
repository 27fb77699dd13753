"""How the studies of the published network train it: by the paper's recipe, cut short, all alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smoothnet_core import refine
from smoothnet_core._checks import require
from smoothnet_core.model import Model
from smoothnet_core.models.sizes import PublishedSizes, Sizes
from smpl_tools.experiments.frame import Bench
from smpl_tools.paired_scores import Refiner
from smpl_tools.sources import PairedClip, as_pair

if TYPE_CHECKING:
    from smoothnet_core.training.architectures import Architecture

# On subjects kept back from training, twice as many steps changed MPJPE by 0.01 mm and Accel by 1 %.
_STEPS, _BATCH = 3000, 16
_QUICK_STEPS, _QUICK_BATCH = 2, 4
_LEARNING_RATE = 1e-3
_FPS = 30.0
# Frames between windows in use: the paper's, and that of our shipped weights.
_HOP, _OWN_HOP = 1, 8

PUBLISHED = PublishedSizes()
# What differs from the paper in all these studies.
SHORT = (
    f"Networks of this study are trained for {_STEPS:,} steps of {_BATCH} windows with a learning rate that rises to "
    f"{_LEARNING_RATE:g} and falls again, in place of 70 epochs (some 40,000 steps of 128 windows here) at 1e-4 and "
    "falling; always with one seed, so a small difference may be chance. They see every number as a channel by itself "
    "and nothing centred on the take."
)


@dataclass(frozen=True)
class Terms:
    """Weights of the loss: the two terms of the published one, and our speed term (of a joint's whole vector)."""

    position: float = 1.0
    acceleration: float = 0.1
    speed: float = 0.0


# By what decides the result, so that a network that several studies share is trained once in a run.
_trained: dict[Any, Model] = {}


def train_short(
    bench: Bench,
    clips: Sequence[PairedClip],
    *,
    architecture: str = "smoothnet",
    sizes: PublishedSizes | Sizes = PUBLISHED,
    terms: Terms | None = None,
) -> Model:
    """Train a network on clips, as short as all networks of these studies; the same call gives the same weights.

    Args:
        bench: its quick form takes two small steps.
        clips: estimate (T, J, D), NaN where nothing was seen, and truth (T, J, D), as the network is to see them.
        architecture: a key of ``smoothnet_core.training.architectures.ARCHITECTURES``.
        sizes: of that architecture.
        terms: of the loss; None for the published ones.

    Raises:
        ValueError: no clip is as long as the window.
        MissingExtraError: torch or Lightning Fabric is not installed.
    """
    terms = Terms() if terms is None else terms
    key = (_digest(clips), bench.quick, architecture, sizes, terms)
    if key not in _trained:
        bench.say(f"  training {architecture}, {_count(clips, sizes.window):,} windows of {sizes.window} frames")
        _trained[key] = _train(bench, clips, architecture, sizes, terms)
    return _trained[key]


def by_channel(model: Model) -> Refiner:
    """Return a network as a refiner that sees every number of a clip as a channel by itself, as it was trained."""
    return lambda clip: refine(clip.interpolated, kind="channels", model=model)


def _train(bench: Bench, clips: Sequence[PairedClip], name: str, sizes: PublishedSizes | Sizes, terms: Terms) -> Model:
    require("torch", "train")
    require("lightning_fabric", "train")
    from smoothnet_core.training.architectures import ARCHITECTURES
    from smoothnet_core.training.loop import train
    from smoothnet_core.training.recipes import window_run
    from smoothnet_core.training.settings import Schedule, WindowSettings
    from smoothnet_core.training.shards import in_memory

    architecture = ARCHITECTURES[name]
    settings = WindowSettings(_FPS, batch=_QUICK_BATCH if bench.quick else _BATCH)
    run = window_run(architecture, sizes, settings, in_memory([as_pair(clip) for clip in clips]))
    schedule = Schedule(_QUICK_STEPS if bench.quick else _STEPS, "amsgrad", _LEARNING_RATE, seed=settings.seed)
    trained = train(run.network, run.batches, _loss(architecture, terms), schedule)
    hop = _OWN_HOP if isinstance(sizes, Sizes) else _HOP
    metadata = {"architecture": name, "window": sizes.window, "hop": hop, "fps": _FPS}
    return Model(name, trained.tensors, metadata | architecture.metadata(sizes))


def _loss(architecture: Architecture, terms: Terms) -> Callable[[Any, Any], Any]:
    from smoothnet_core.training.losses import loss, published_loss
    from smoothnet_core.training.settings import LossWeights, PublishedLossWeights

    published = PublishedLossWeights(terms.position, terms.acceleration)
    speed = LossWeights(position=0.0, acceleration=0.0, speed=terms.speed)

    def of_batch(network: Any, batch: Any) -> Any:
        refined = architecture.run(network, batch.estimate, batch.quality)
        value = published_loss(refined, batch.groundtruth, published)
        return value + loss(refined, batch.groundtruth, speed) if terms.speed else value

    return of_batch


def _count(clips: Sequence[PairedClip], window: int) -> int:
    return sum(max(0, len(clip.estimate) - window + 1) for clip in clips)


def _digest(clips: Sequence[PairedClip]) -> bytes:
    """Return what tells the data of a training apart from all others."""
    found = hashlib.sha256()
    for clip in clips:
        for array in (clip.estimate, clip.groundtruth, clip.confidence):
            found.update(repr((array.shape, array.dtype.str)).encode())
            found.update(array.tobytes())
    return found.digest()
