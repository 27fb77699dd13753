"""How the studies train the networks that only they use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from smoothnet_core._checks import require
from smoothnet_core.model import Model
from smpl_tools.experiments.frame import Bench
from smpl_tools.experiments.sequences import Crops, Example, Vary

if TYPE_CHECKING:
    from torch import nn

# Frames of a crop in training, which is SmoothNet's window too, and crops a step.
WINDOW, _BATCH = 32, 32
EPOCHS = 12
_QUICK_STEPS, _QUICK_BATCH = 2, 4
_LEARNING_RATE = 1e-3

Loss = Callable[["nn.Module", Any], Any]


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    """Return what ``build`` builds, its random start always the same.

    Raises:
        MissingExtraError: torch is not installed.
    """
    require("torch", "train").manual_seed(0)
    return build()


def train_network(
    bench: Bench,
    network: nn.Module,
    training: Sequence[Example],
    loss: Loss,
    *,
    margin: int = 0,
    epochs: int = EPOCHS,
    vary: Vary = lambda rng, inputs, truth: (inputs, truth),
    each_epoch: Callable[[nn.Module], object] = lambda network: None,
) -> None:
    """Train a network in place on runs of 32 frames; how it ends is kept, whatever it scores.

    Args:
        bench: its quick form takes two small steps.
        network: with the parameters it starts from.
        training: what batches are drawn from.
        loss: from the network and a batch: inputs (N, 32 + 2 * margin, I) and truth (N, 32, O).
        margin: frames of context that the network needs on either side.
        epochs: after which training ends.
        vary: changes a batch at random.
        each_epoch: called with the network, in evaluation mode, after every epoch.

    Raises:
        MissingExtraError: Lightning Fabric is not installed.
    """
    require("lightning_fabric", "train")
    from smoothnet_core.training.loop import train
    from smoothnet_core.training.settings import Schedule

    batch = _QUICK_BATCH if bench.quick else _BATCH
    crops = Crops(training, WINDOW, margin, batch, seed=0, vary=vary)
    epoch = 1 if bench.quick else crops.epoch
    schedule = Schedule(
        steps=_QUICK_STEPS if bench.quick else epochs * epoch,
        optimizer="amsgrad",
        learning_rate=_LEARNING_RATE,
        select_every=epoch,
    )

    def select(current: nn.Module) -> float:
        each_epoch(current)
        return 0.0

    train(network, crops, loss, schedule, select=select)


def absolute_loss(acceleration: float) -> Loss:
    """Return the loss of a batch: the mean absolute error plus ``acceleration`` times that of second differences."""
    from smoothnet_core.training.losses import published_loss
    from smoothnet_core.training.settings import PublishedLossWeights

    weights = PublishedLossWeights(1.0, acceleration)
    return lambda network, batch: published_loss(network(batch[0]), batch[1], weights)


def train_smoothnet(bench: Bench, training: Sequence[Example]) -> Model:
    """Train the published SmoothNet, window 32, with the published loss on estimates (T, C) of channels (T, C)."""
    from smoothnet_core.models.published import SmoothNet
    from smoothnet_core.training.losses import published_loss
    from smoothnet_core.training.settings import PublishedLossWeights

    def loss(network: nn.Module, batch: Any) -> Any:
        estimate, truth = batch
        refined = network(estimate.transpose(1, 2)).transpose(1, 2)
        return published_loss(refined, truth, PublishedLossWeights())

    network = seeded(lambda: SmoothNet(WINDOW))
    train_network(bench, network, training, loss)
    return as_model(network)


def as_model(smoothnet: nn.Module) -> Model:
    """Return a published SmoothNet as a model for ``refine``, which then takes a window at every frame."""
    tensors = {name: tensor.detach().cpu().numpy().copy() for name, tensor in smoothnet.state_dict().items()}
    return Model("SmoothNet", tensors, {"architecture": "smoothnet", "window": WINDOW, "hop": 1})


def parameters(network: nn.Module) -> int:
    """Return how many numbers a network learns."""
    return sum(parameter.numel() for parameter in network.parameters())
