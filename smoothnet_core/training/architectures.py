"""The networks that can be trained, in one table: how they are built and how they refine windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smoothnet_core.checkpoints import FIRST
from smoothnet_core.joint_sets import AXES
from smoothnet_core.model import load_model
from smoothnet_core.models.body_aware import BodyAware
from smoothnet_core.models.motion_aware import MotionAware
from smoothnet_core.models.published import SmoothNet
from smoothnet_core.models.robust_fit import RobustFit
from smoothnet_core.models.sizes import BodySizes, PublishedSizes
from smoothnet_core.models.vector_filter import VectorFilter
from smoothnet_core.windows import blend_weights, end_weights, window_starts

_NOT_NEEDED = ("configuration", "selected")


@dataclass(frozen=True)
class Architecture:
    """A kind of network.

    Attributes:
        build: returns a new network of its sizes, see ``SIZES`` in :mod:`smoothnet_core.models.sizes`.
        run: refines windows (N, W, D) with a network and their quality (N, W, 2); (N, W, D). The body-aware network has
            the J joints of a body in one window, D = 3 J, and quality (N, W, 3 J).
        blend: how overlapping windows are blended in use, see :mod:`smoothnet_core.windows`.
        metadata: what a file of its weights states about sizes, and about the body it knows.
        states_rate: whether the weights are for one frame rate, to which takes of others are resampled.
        fixed: tensors that belong to the weights but are not trained: those of a network that runs before it.
    """

    build: Callable[[Any], nn.Module]
    run: Callable[[Callable[..., Tensor], Tensor, Tensor], Tensor]
    blend: str
    metadata: Callable[[Any], dict[str, Any]]
    states_rate: bool = True
    fixed: Callable[[Any], dict[str, NDArray[np.float32]]] = lambda sizes: {}


def _by_channel(network: Callable[..., Tensor], windows: Tensor, quality: Tensor) -> Tensor:
    return network(windows.transpose(1, 2)).transpose(1, 2)


def _by_vector(network: Callable[..., Tensor], windows: Tensor, quality: Tensor) -> Tensor:
    return network(windows, quality)


def _published_metadata(sizes: PublishedSizes) -> dict[str, Any]:
    return {name: size for name, size in asdict(sizes).items() if name not in ("window", "dropout")}


def _body(sizes: BodySizes) -> BodyAware:
    joints = sizes.joint_set
    return BodyAware(joints.root, joints.swap.tolist(), sizes.hidden, sizes.blocks, sizes.dropout)


def _body_metadata(sizes: BodySizes) -> dict[str, Any]:
    return {
        "sizes": asdict(sizes),
        "joint_set": sizes.joints,
        "joints": list(sizes.joint_set.joints),
        "root": list(sizes.joint_set.root),
        "swap": sizes.joint_set.swap.tolist(),
        "axes": AXES,
        # How it was trained is in the file it came from.
        "first": {key: value for key, value in load_model(sizes.first).metadata.items() if key not in _NOT_NEEDED},
    }


def _body_fixed(sizes: BodySizes) -> dict[str, NDArray[np.float32]]:
    return {FIRST + name: tensor for name, tensor in load_model(sizes.first).tensors.items()}


ARCHITECTURES = {
    "smoothnet": Architecture(lambda s: SmoothNet(**asdict(s)), _by_channel, "uniform", _published_metadata),
    "motion_aware": Architecture(lambda s: MotionAware(**asdict(s)), _by_channel, "uniform", _published_metadata),
    "vector_filter": Architecture(VectorFilter, _by_vector, "taper", lambda s: {"sizes": asdict(s)}),
    # Resampling would spread the values that are off over their neighbours.
    "robust_fit": Architecture(RobustFit, _by_vector, "taper", lambda s: {"sizes": asdict(s)}, states_rate=False),
    "body_aware": Architecture(_body, _by_vector, "taper", _body_metadata, fixed=_body_fixed),
}


def refine_crops(
    run: Callable[[Tensor, Tensor], Tensor], tracks: Tensor, quality: Tensor, *, window: int, hop: int, blend: str
) -> Tensor:
    """Refine tracks window by window and blend, as :mod:`smoothnet_core.windows` does, with gradients.

    Args:
        run: maps windows (M, W, D) and their quality (M, W, 2) to refined windows (M, W, D).
        tracks: (N, T, D), T at least the window.
        quality: (N, T, 2) confidence and whether the frame was observed.
        window: frames W.
        hop: frames between the starts of windows.
        blend: ``uniform`` or ``taper``.

    Returns:
        (N, T, D).
    """
    count, frames, size = tracks.shape
    starts = torch.from_numpy(window_starts(frames, window, hop))
    index = starts[:, None] + torch.arange(window)
    windows = tracks[:, index].reshape(-1, window, size)
    refined = run(windows, quality[:, index].reshape(-1, window, 2)).reshape(count, -1, window, size)
    own = blend_weights(blend, window)
    weights = np.array([end_weights(own) if start % hop else own for start in starts.tolist()], np.float32)
    weights = torch.from_numpy(weights).to(tracks.device)
    flat = index.reshape(-1).to(tracks.device)
    total = torch.zeros_like(tracks).index_add_(1, flat, (refined * weights[..., None]).reshape(count, -1, size))
    norm = torch.zeros(frames, device=tracks.device).index_add_(0, flat, weights.reshape(-1))
    return total / norm[:, None]


def streamed_crops(
    run: Callable[[Tensor, Tensor], Tensor],
    tracks: Tensor,
    quality: Tensor,
    *,
    window: int,
    latencies: int,
    blend: str,
) -> list[Tensor]:
    """Refine tracks as streams are, see :class:`smoothnet_core.online.OnlineRefiner`, with gradients.

    Args:
        run: as for :func:`refine_crops`; so are the other arguments.
        tracks: (N, T, D), T at least the window and the latencies.
        quality: (N, T, 2).
        window: frames W.
        latencies: how many, from 0 on.
        blend: ``uniform`` or ``taper``.

    Returns:
        For each latency L the tracks (N, T - W + 1 - L, D) of the frames from W - 1 on that are due within the crop.
    """
    count, frames, size = tracks.shape
    ends = frames - window + 1
    index = torch.arange(ends)[:, None] + torch.arange(window)
    windows = tracks[:, index].reshape(-1, window, size)
    refined = run(windows, quality[:, index].reshape(-1, window, 2)).reshape(count, ends, window, size)
    weights = torch.from_numpy(blend_weights(blend, window)).float().flip(0).tolist()
    outputs = []
    for latency in range(latencies):
        due = ends - latency
        # The window that ends k frames after a frame has it k frames before its own end.
        shares = [refined[:, k : k + due, window - 1 - k] * weights[k] for k in range(latency + 1)]
        outputs.append(torch.stack(shares).sum(dim=0) / sum(weights[: latency + 1]))
    return outputs
