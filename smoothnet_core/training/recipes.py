"""The ways to train: on crops blended as in use or as streams are, on windows as the paper does, on hits, on bodies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smoothnet_core._checks import mismatch
from smoothnet_core.model import load_model
from smoothnet_core.models.sizes import Sizes
from smoothnet_core.training.architectures import Architecture, refine_crops, streamed_crops
from smoothnet_core.training.batches import Mix, Sampler
from smoothnet_core.training.body_batches import BodyBatches
from smoothnet_core.training.hit_batches import HitBatches
from smoothnet_core.training.loop import Batches
from smoothnet_core.training.losses import aligned_error, lengths, loss, published_loss
from smoothnet_core.training.quiet_units import without_quiet_units
from smoothnet_core.training.settings import (
    BodySettings,
    EndSettings,
    HitSettings,
    Schedule,
    Settings,
    WindowSettings,
)
from smoothnet_core.training.shards import Shard, Shards, Share, drawn
from smoothnet_core.training.window_batches import WindowBatches, count_windows
from smoothnet_core.windows import window_starts

# Batches from which is told what the units of a trained network say.
_HEARD_BATCHES = 200

# Frames of which an acceleration and a speed can be taken.
_SHORTEST_TRACK = 8

_WHOLE = Share()


@dataclass(frozen=True, eq=False)
class Run:
    """The first four arguments of :func:`smoothnet_core.training.loop.train`, and what is done with its tensors.

    Each recipe takes the data and which parts of every batch are drawn here, see :mod:`smoothnet_core.training.shards`.

    Attributes:
        network: to train.
        batches: what it is trained on, one for each of this process's parts.
        loss: of the network and a batch.
        schedule: of the training.
        finish: returns the tensors of the weights from those that came of the training.
        sizes: of the network after that.
    """

    network: nn.Module
    batches: Sequence[Batches]
    loss: Callable[[nn.Module, Any], Tensor]
    schedule: Schedule
    sizes: Any
    finish: Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]] = dict


def crop_run(
    architecture: Architecture,
    sizes: Any,
    settings: Settings,
    data: Shards,
    mix: Mix | None = None,
    share: Share = _WHOLE,
) -> Run:
    """Return a run on random crops of paired and clean motion.

    The loss, :func:`smoothnet_core.training.losses.loss`, is taken of whole crops after their windows were blended.

    Args:
        architecture: of the network.
        sizes: of the network.
        settings: of the run.
        data: paired clips and clean tracks at ``settings.fps``.
        mix: of both; None for the default one.
        share: of this process.

    Raises:
        ValueError: a crop is too short for its windows, a clip is not in 3D, none is as long as a crop, the weights to
            begin from have other sizes, or units of another network than the vector filter are to be left out.
    """
    if settings.crop < sizes.window:
        raise mismatch("training setting crop", f"at least the window, {sizes.window} frames", settings.crop)
    if settings.kept_units and not isinstance(sizes, Sizes):
        raise mismatch("training setting kept_units", "0 for other networks than vector_filter", settings.kept_units)
    part = replace(settings, batch=share.size(settings.batch))

    def draw(shard: Shard, seed: int) -> Sampler:
        for pair in shard.pairs:
            if pair.groundtruth.shape[2] != 3:
                raise mismatch(f"paired clip {pair.name}", "3D positions, which crops turn", pair.groundtruth.shape)
        return Sampler(shard.pairs, shard.clean, mix or Mix(), replace(part, seed=seed))

    later = settings.hop // 2
    if settings.agreement and settings.crop < sizes.window + later:
        expected = f"at least the window and half a hop, {sizes.window + later} frames, with an agreement"
        raise mismatch("training setting crop", expected, settings.crop)

    def crop_loss(network: nn.Module, batch: Any) -> Tensor:
        def refined(start: int) -> tuple[Tensor, Tensor]:
            run = partial(architecture.run, network)
            how = {"window": sizes.window, "hop": settings.hop, "blend": architecture.blend}
            result = refine_crops(run, batch.estimate[:, start:], batch.quality[:, start:], **how)
            return result, loss(result, batch.groundtruth[:, start:], settings.loss)

        result, value = refined(0)
        if not settings.agreement:
            return value
        other, other_value = refined(later)
        apart = lengths((result[:, later:] - other).diff(n=2, dim=1)).mean()
        return (value + other_value) / 2 + settings.agreement * apart

    schedule = Schedule(
        settings.steps,
        learning_rate=settings.learning_rate,
        select_every=settings.select_every,
        seed=settings.seed,
    )
    batches = drawn(data, draw, share, settings.seed, settings.steps)
    network = _built(architecture, sizes, settings.seed)
    if settings.first:
        _load_first(network, settings.first)
    if not settings.kept_units or settings.kept_units >= sizes.hidden:
        return Run(network, batches, crop_loss, schedule, sizes)

    def finish(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        # Other crops than those it was trained on, of the same kinds.
        (fresh,) = drawn(data, draw, _WHOLE, settings.seed + 1, _HEARD_BATCHES)
        how = {"window": sizes.window, "hop": settings.hop}
        heard = (_windows(fresh.batch(), **how) for _ in range(_HEARD_BATCHES * share.parts))
        return without_quiet_units(tensors, heard, settings.kept_units)

    return Run(network, batches, crop_loss, schedule, replace(sizes, hidden=settings.kept_units), finish)


def end_run(
    architecture: Architecture,
    sizes: Any,
    settings: EndSettings,
    data: Shards,
    mix: Mix | None = None,
    share: Share = _WHOLE,
) -> Run:
    """Return a run on crops as streams see them: at each latency a frame is blended of the windows that end by then.

    The loss is that of :func:`crop_run`, its mean over latencies. Arguments and errors as there; besides, a
    ``ValueError`` where a crop leaves too few frames.
    """
    least = sizes.window + settings.latencies + _SHORTEST_TRACK
    if settings.crop < least:
        expected = f"at least {least} frames for {settings.latencies} latencies"
        raise mismatch("training setting crop", expected, settings.crop)
    run = crop_run(architecture, sizes, settings, data, mix, share)

    def end_loss(network: nn.Module, batch: Any) -> Tensor:
        total: Any = 0.0
        counts = [settings.none, *[1.0] * (settings.latencies - 1)]
        outputs = streamed_crops(
            partial(architecture.run, network),
            batch.estimate,
            batch.quality,
            window=sizes.window,
            latencies=settings.latencies,
            blend=architecture.blend,
        )
        for count, output in zip(counts, outputs, strict=True):
            truth = batch.groundtruth[:, sizes.window - 1 :][:, : output.shape[1]]
            total = total + count * loss(output, truth, settings.loss)
        return total / sum(counts)

    return replace(run, loss=end_loss)


def window_run(
    architecture: Architecture, sizes: Any, settings: WindowSettings, data: Shards, share: Share = _WHOLE
) -> Run:
    """Return a run in the manner of the paper: all stride-1 windows every epoch, Adam with amsgrad, no blending.

    Args:
        architecture: of the network.
        sizes: of the network.
        settings: of the run.
        data: paired clips at ``settings.fps``, relative to the root, in metres. Each of several shards has its windows
            drawn once before the next one is read, so an epoch is only about once all of them.
        share: of this process.

    Raises:
        ValueError: no clip is as long as the window.
    """
    size = share.size(settings.batch)

    def window_loss(network: nn.Module, batch: Any) -> Tensor:
        refined = architecture.run(network, batch.estimate, batch.quality)
        return published_loss(refined, batch.groundtruth, settings.loss)

    if len(data) == 1:
        # All parts shuffle alike, so that together they are the batch that one alone would draw.
        pairs = data[0]().pairs
        batches = [WindowBatches(pairs, sizes.window, size, settings.seed, part, share.parts) for part in share.own]
        epoch = batches[0].epoch
    else:

        def draw(shard: Shard, seed: int) -> WindowBatches:
            return WindowBatches(shard.pairs, sizes.window, size, seed)

        batches = drawn(data, draw, share, settings.seed, lambda shard: shard.epoch)
        epoch = -(-sum(sum(count_windows(read().pairs, sizes.window)) for read in data) // settings.batch)
    schedule = Schedule(
        settings.epochs * epoch,
        "amsgrad",
        settings.learning_rate,
        "exponential",
        settings.factor,
        epoch,
        clip=0.0,
        select_every=epoch,
        seed=settings.seed,
    )
    return Run(_built(architecture, sizes, settings.seed), batches, window_loss, schedule, sizes)


def hit_run(architecture: Architecture, sizes: Any, settings: HitSettings, data: Shards, share: Share = _WHOLE) -> Run:
    """Return a run on single windows of clean motion in which some values are hit, see :class:`HitBatches`.

    Args:
        architecture: of the network.
        sizes: of the network.
        settings: of the run.
        data: clean tracks at ``settings.fps``.
        share: of this process.

    Raises:
        ValueError: no track is long enough.
    """

    def hit_loss(network: nn.Module, batch: Any) -> Tensor:
        return loss(architecture.run(network, batch.estimate, batch.quality), batch.groundtruth, settings.loss)

    schedule = Schedule(
        settings.steps,
        learning_rate=settings.learning_rate,
        select_every=settings.select_every,
        seed=settings.seed,
    )
    part = replace(settings, batch=share.size(settings.batch))

    def draw(shard: Shard, seed: int) -> HitBatches:
        return HitBatches(shard.clean, sizes.window, replace(part, seed=seed))

    batches = drawn(data, draw, share, settings.seed, settings.steps)
    return Run(_built(architecture, sizes, settings.seed), batches, hit_loss, schedule, sizes)


def body_run(
    architecture: Architecture, sizes: Any, settings: BodySettings, data: Shards, share: Share = _WHOLE
) -> Run:
    """Return a run of the body-aware network on single windows, see :class:`BodyBatches`.

    The loss, :func:`smoothnet_core.training.losses.loss`, is taken of each joint's track relative to the estimate's
    root; so a correction of the root itself counts as an error too, and cannot shake what looks still from the root.
    Where the settings say so, the error of whole poses after alignment is added.

    Args:
        architecture: of the network.
        sizes: of the network.
        settings: of the run.
        data: paired clips at ``settings.fps``, metres, of the joint set ``sizes.joints``.
        share: of this process.

    Raises:
        ValueError: a clip has other joints, or none is as long as the window.
    """

    def body_loss(network: nn.Module, batch: Any) -> Tensor:
        refined = architecture.run(network, batch.estimate, batch.quality)
        by_joint = loss(_joint_tracks(refined), _joint_tracks(batch.groundtruth), settings.loss)
        if not settings.loss.aligned:
            return by_joint
        # Neighbouring frames are much alike; every fourth tells as much at a quarter of the cost.
        poses, true = (bodies[:, ::4].unflatten(2, (-1, 3)).flatten(0, 1) for bodies in (refined, batch.groundtruth))
        return by_joint + settings.loss.aligned * aligned_error(poses, true)

    schedule = Schedule(
        settings.steps,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        average=settings.average,
        select_every=settings.select_every,
        seed=settings.seed,
    )
    part = replace(settings, batch=share.size(settings.batch))

    def draw(shard: Shard, seed: int) -> BodyBatches:
        return BodyBatches(shard.pairs, sizes, replace(part, seed=seed))

    batches = drawn(data, draw, share, settings.seed, settings.steps)

    def finish(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        # The correction is linear in the last layer.
        return {
            name: (tensor * settings.kept).astype(tensor.dtype) if name.startswith("decoder.") else tensor
            for name, tensor in tensors.items()
        }

    return Run(_built(architecture, sizes, settings.seed), batches, body_loss, schedule, sizes, finish)


def _joint_tracks(bodies: Tensor) -> Tensor:
    """Return the tracks (B * J, T, 3) of the joints of bodies (B, T, 3 J)."""
    return bodies.unflatten(2, (-1, 3)).transpose(1, 2).flatten(0, 1)


def _windows(batch: Any, window: int, hop: int) -> tuple[Tensor, Tensor]:
    """Return all windows of a batch of crops and their quality."""
    estimate, quality = (torch.from_numpy(values) for values in (batch.estimate, batch.quality))
    index = torch.from_numpy(window_starts(estimate.shape[1], window, hop))[:, None] + torch.arange(window)
    return estimate[:, index].flatten(0, 1), quality[:, index].flatten(0, 1)


def _load_first(network: nn.Module, name: str) -> None:
    """Give a network the weights that it begins from."""
    first = load_model(name)
    tensors = {name: torch.from_numpy(np.array(tensor)) for name, tensor in first.tensors.items()}
    own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if own != {name: tuple(tensor.shape) for name, tensor in tensors.items()}:
        raise mismatch(f"weights {first.name} to begin from", "tensors of the sizes that are trained", "others")
    network.load_state_dict(tensors)


def _built(architecture: Architecture, sizes: Any, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return architecture.build(sizes)
