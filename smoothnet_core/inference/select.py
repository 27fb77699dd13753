"""The one place that decides what runs a network."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch, one_of, require

if TYPE_CHECKING:
    from smoothnet_core.inference.plan import Network

Array = NDArray[np.float32]
Run = Callable[[Array, Array], Array]
Tracks = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]

BACKENDS = ("auto", "numpy", "torch", "triton")
# The networks whose input is windows (N, C, T) of single channels.
CHANNEL_NETWORKS = ("smoothnet", "motion_aware")
# The networks that there are fused kernels of, which run over whole tracks.
TRACK_NETWORKS = ("smoothnet", "vector_filter")
# Frames a window that they take at most.
WIDEST_FUSED = 128


def resolve_backend(
    backend: str, *, is_tensor: bool, device: str = "cpu", architecture: str = "vector_filter", window: int = 32
) -> str:
    """Return the backend that runs: the one asked for, or for ``auto`` the one the data is at home in.

    Args:
        backend: one of ``BACKENDS``.
        is_tensor: whether the track is a torch tensor.
        device: of a tensor, as torch names it. Arrays go to the current CUDA device and back.
        architecture: of the weights.
        window: likewise.

    Raises:
        ValueError: unknown, or one that this network or this machine cannot run.
        MissingExtraError: triton is asked for and not installed.
    """
    one_of("backend", backend, BACKENDS)
    if backend == "triton":
        _check_triton(is_tensor, device, architecture)
        return backend
    if backend != "auto":
        return backend
    if not is_tensor:
        return "numpy"
    fused = device.startswith("cuda") and architecture in TRACK_NETWORKS and window <= WIDEST_FUSED
    fused = fused and find_spec("triton") is not None
    return "triton" if fused else "torch"


def device_for(backend: str, tensor_device: str | None) -> str:
    """Return the device that a backend runs on: a tensor's own; for arrays (None) the CPU, or the current CUDA one."""
    if backend == "numpy":
        return "cpu"
    if tensor_device is not None:
        return tensor_device
    return "cuda" if backend == "triton" and os.environ.get("TRITON_INTERPRET") != "1" else "cpu"


def _check_triton(is_tensor: bool, device: str, architecture: str) -> None:
    if architecture not in TRACK_NETWORKS:
        raise mismatch(f"backend for weights of the architecture {architecture}", "numpy or torch", "'triton'")
    torch = require("torch", "torch")
    require("triton", "cuda")
    if os.environ.get("TRITON_INTERPRET") == "1" or (device.startswith("cuda") and is_tensor):
        return
    if is_tensor or not torch.cuda.is_available():
        here = f"one on {device}" if is_tensor else "none on this machine"
        raise mismatch("device for the backend triton", "a CUDA device", here)


def select_tracks(network: Any, device: str, *, hop: int, blend: str) -> Tracks:
    """Return the function from a track (T, N, D) and its quality (T, N, 2) to the refined track, by the fused kernel.

    All are NumPy arrays, which go to the device and back; tensors are refined where they are by
    :mod:`smoothnet_core.inference.torch_on_device`.

    Args:
        network: a :class:`smoothnet_core.Model`.
        device: as torch names it.
        hop: frames between the starts of windows.
        blend: ``uniform`` or ``taper``.

    Raises:
        ValueError: there are no kernels for the architecture.
    """
    import torch

    from smoothnet_core.inference.torch_on_device import tracks_of

    tracks = tracks_of(network, "triton", device)

    def run(values: NDArray[np.float64], quality: NDArray[np.float64]) -> NDArray[np.float64]:
        inner = torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(device)
        seen = None
        if not (quality == 1).all():
            seen = torch.from_numpy(np.ascontiguousarray(quality, np.float32)).to(device)
        return tracks(inner, seen, hop=hop, blend=blend).cpu().numpy().astype(np.float64)

    return run


def select_track_network(
    architecture: str, tensors: Mapping[str, Array], weights: NDArray[np.float64]
) -> Network | None:
    """Return what runs a whole track's windows without torch; None for architectures that are run window by window.

    Args:
        architecture: of the weights.
        tensors: by their names in the file.
        weights: (W,) that frames are blended with, see :func:`smoothnet_core.windows.overlap_weights`.
    """
    from smoothnet_core.inference import motion_aware_numpy, published_numpy, vector_filter_numpy

    networks = {
        "smoothnet": published_numpy.Published,
        "motion_aware": motion_aware_numpy.MotionAware,
        "vector_filter": vector_filter_numpy.VectorFilter,
    }
    if architecture not in networks:
        return None
    return networks[architecture](tensors, weights)


def select_engine(
    architecture: str, tensors: Mapping[str, Array], metadata: Mapping[str, Any], backend: str, device: str
) -> Run:
    """Return the function from windows (N, W, D) and quality (N, W, 2) to refined windows (N, W, D), all float32.

    The body-aware network has the J joints of a body in one window: D = 3 J, and quality (N, W, 3 J), roughness too.
    Where the backend is ``triton``, windows are refined by torch: kernels run over tracks (:func:`select_tracks`).
    """
    if backend in ("torch", "triton"):
        from smoothnet_core.inference.torch_engine import build

        return build(architecture, tensors, metadata, device)
    network = select_track_network(architecture, tensors, np.ones(int(metadata["window"])))
    if network is not None:
        from smoothnet_core.inference.plan import run_windows

        return partial(run_windows, network)
    from smoothnet_core.inference import body_aware_numpy, robust_fit_numpy

    if architecture == "body_aware":
        root, swap = metadata["root"], metadata["swap"]
        return lambda windows, quality: body_aware_numpy.forward(tensors, root, swap, windows, quality)
    return lambda windows, quality: robust_fit_numpy.forward(tensors, windows, quality)
