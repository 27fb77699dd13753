"""The training loop, on Lightning Fabric."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from smoothnet_core.models.vector_filter import VectorFilter
from smoothnet_core.training.batches import Sampler
from smoothnet_core.training.losses import loss
from smoothnet_core.training.settings import Settings
from smoothnet_core.windows import blend_weights, window_starts


def fit(
    sampler: Sampler, settings: Settings, *, report: Callable[[int, float], None] = lambda step, value: None
) -> dict[str, NDArray[np.float32]]:
    """Train the network and return its tensors by name.

    The loss is taken of whole crops after their windows were blended, as in use. The same settings, data and number
    of threads give the same weights.

    Args:
        sampler: draws the batches.
        settings: of the run.
        report: called after every step with its number from 1 and a running mean of the loss.
    """
    fabric = Fabric(accelerator="cpu", devices=1)
    torch.manual_seed(settings.seed)
    network = VectorFilter(settings.sizes)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.1
    )
    model, optimizer = fabric.setup(network, optimizer)
    running = 0.0
    for step in range(1, settings.steps + 1):
        batch = sampler.batch()
        estimate, truth, quality = (
            torch.from_numpy(a).to(fabric.device) for a in (batch.estimate, batch.groundtruth, batch.quality)
        )
        value = loss(refine_crops(model, estimate, quality, settings), truth, settings.loss)
        optimizer.zero_grad()
        fabric.backward(value)
        fabric.clip_gradients(model, optimizer, max_norm=1.0)
        optimizer.step()
        schedule.step()
        running = value.item() if step == 1 else 0.98 * running + 0.02 * value.item()
        report(step, running)
    return {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}


def refine_crops(
    model: Callable[[Tensor, Tensor], Tensor], tracks: Tensor, quality: Tensor, settings: Settings
) -> Tensor:
    """Refine tracks (N, T, D) window by window and blend, as :mod:`smoothnet_core.windows` does, with gradients."""
    window = settings.sizes.window
    count, frames, size = tracks.shape
    starts = torch.from_numpy(window_starts(frames, window, settings.hop))
    index = starts[:, None] + torch.arange(window)
    windows = tracks[:, index].reshape(-1, window, size)
    refined = model(windows, quality[:, index].reshape(-1, window, 2)).reshape(count, -1, window, size)
    weights = torch.from_numpy(blend_weights("taper", window)).float().to(tracks.device)
    flat = index.reshape(-1).to(tracks.device)
    total = torch.zeros_like(tracks).index_add_(1, flat, (refined * weights[:, None]).reshape(count, -1, size))
    norm = torch.zeros(frames, device=tracks.device).index_add_(0, flat, weights.repeat(len(starts)))
    return total / norm[:, None]
