"""A whole refinement of a tensor where it lies: prepared, refined and restored on its device.

For what most calls are: positions or channels without gaps at the weights' own frame rate. For anything else the
ordinary way through NumPy gives the same within float32's rounding.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from smoothnet_core.inference.select import TRACK_NETWORKS
from smoothnet_core.inference.torch_tracks import TorchTracks
from smoothnet_core.model import Model

# As the ordinary way has them, see ``_refine`` and ``_vectors``.
_LARGEST_INPUT = 1e20
_LARGEST = 1e100

_TRACKS: WeakKeyDictionary[Model, dict[tuple[str, str, str], Any]] = WeakKeyDictionary()


def tracks_of(network: Model, backend: str, device: Any, precision: str = "fp32") -> Any:
    """Return what refines tracks (T, N, D) on a device, made once for each network, ``torch`` or ``triton``.

    Args:
        network: the weights.
        backend: ``torch`` (:class:`TorchTracks`) or ``triton`` (:class:`TritonTracks`).
        device: as torch names it.
        precision: ``fp32`` or ``bf16``.
    """
    made = _TRACKS.setdefault(network, {})
    key = (backend, str(device), precision)
    if key not in made:
        if backend == "torch":
            dtype = torch.bfloat16 if precision == "bf16" else torch.float32
            made[key] = TorchTracks(network.architecture, network.tensors, device, dtype)
        else:
            from smoothnet_core.inference.triton_tracks import TritonTracks

            made[key] = TritonTracks(network.architecture, network.tensors, device, precision)
    return made[key]


@torch.no_grad()
def refine_on_device(
    track: Tensor,
    network: Model,
    *,
    kind: str,
    backend: str,
    hop: int,
    blend: str,
    strength: float = 1.0,
    image_size: tuple[float, float] | None = None,
    precision: str = "fp32",
) -> Tensor | None:
    """Refine a track as :func:`smoothnet_core.refine` does, or return None where only the ordinary way can.

    Args:
        track: (T, ...) floats, as ``kind`` says; its last axis holds a position's 2 or 3 numbers.
        network: the weights; the track is taken to be at their frame rate.
        kind: see :func:`smoothnet_core.refine`.
        backend: ``torch`` or ``triton``.
        hop: frames between the starts of windows.
        blend: ``uniform`` or ``taper``.
        strength: from 0 to 1.
        image_size: (width, height) of 2D positions for the published network.
        precision: ``fp32`` or ``bf16``.

    Returns:
        A new tensor like ``track``, or None: rotations, gaps, fewer than 2 frames, nothing at all, or a network that
        does not run on whole tracks.
    """
    if kind not in ("position", "channels") or network.architecture not in TRACK_NETWORKS:
        return None
    if track.ndim < 1 + (kind == "position") or not track.is_floating_point() or len(track) < 2 or not track.numel():
        return None
    if kind == "position" and track.shape[-1] not in (2, 3):
        return None
    if not strength:
        return track.clone() if bool(torch.isfinite(track).all()) else None
    values = track.reshape(len(track), -1, track.shape[-1] if kind == "position" else 1)
    usable = (values.abs() < _LARGEST).all()
    scale, offset = _frame_of_reference(values, network, kind, image_size)
    inner = ((values - offset) / scale).to(torch.float32)
    refined = tracks_of(network, backend, track.device, precision)(inner, hop=hop, blend=blend)
    new = refined * scale + offset
    if strength != 1.0:
        new = values + strength * (new - values)
    limit = torch.finfo(track.dtype).max
    result = new.clamp_(-limit, limit).to(track.dtype).reshape(track.shape)
    # Asked last, so that the device is not waited for before it has all its work.
    return result if bool(usable) else None


def _frame_of_reference(
    values: Tensor, network: Model, kind: str, image_size: tuple[float, float] | None
) -> tuple[Tensor, Tensor]:
    """Return the scale and the offset, both (N, D) float64, that a network's input is taken relative to."""
    count, size = values.shape[1:]
    if image_size is not None and network.is_published:
        half = torch.as_tensor(image_size, dtype=torch.float64, device=values.device) / 2
        return half.expand(count, size), half.expand(count, size)
    start = values[0].double()
    offset = torch.zeros_like(start)
    if kind == "position" or not network.is_published:
        # From the first frame, so that what never moves comes out bit for bit.
        offset = start + (values - start).mean(dim=0)
    peak = (values - offset).abs().amax(dim=(0, 2))[:, None].expand(count, size)
    if network.is_published:
        return (peak / _LARGEST_INPUT).clamp(min=1.0), offset
    return torch.where(peak > 0, peak, 1.0), offset
