"""The one place that decides what runs a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch, one_of
from smoothnet_core.windows import blend_weights

if TYPE_CHECKING:
    from smoothnet_core.inference.overlapping import Network

Array = NDArray[np.float32]
Run = Callable[[Array, Array], Array]

BACKENDS = ("auto", "numpy", "torch", "triton")
# The networks whose input is windows (N, C, T) of single channels.
CHANNEL_NETWORKS = ("smoothnet", "motion_aware")


def resolve_backend(backend: str, *, is_tensor: bool) -> str:
    """Return the backend that runs: the one asked for, or for ``auto`` the one the data is at home in.

    Raises:
        ValueError: unknown, or one that this installation cannot run.
    """
    one_of("backend", backend, BACKENDS)
    if backend == "triton":
        raise mismatch("backend", "numpy or torch (this version has no triton kernel)", repr(backend))
    if backend == "auto":
        return "torch" if is_tensor else "numpy"
    return backend


def select_track_network(architecture: str, tensors: Mapping[str, Array], blend: str, window: int) -> Network | None:
    """Return what runs a whole track's windows without torch; None for architectures that are run window by window."""
    from smoothnet_core.inference import motion_aware_numpy, published_numpy, vector_filter_numpy

    networks = {
        "smoothnet": published_numpy.Published,
        "motion_aware": motion_aware_numpy.MotionAware,
        "vector_filter": vector_filter_numpy.VectorFilter,
    }
    if architecture not in networks:
        return None
    return networks[architecture](tensors, blend_weights(blend, window))


def select_engine(
    architecture: str, tensors: Mapping[str, Array], metadata: Mapping[str, Any], backend: str, device: str
) -> Run:
    """Return the function from windows (N, W, D) and quality (N, W, 2) to refined windows (N, W, D), all float32.

    The body-aware network has the J joints of a body in one window: D = 3 J, and quality (N, W, 3 J), roughness too.
    """
    if backend == "torch":
        from smoothnet_core.inference.torch_engine import build

        return build(architecture, tensors, metadata, device)
    if architecture in CHANNEL_NETWORKS:
        from smoothnet_core.inference import motion_aware_numpy, published_numpy

        forward = (published_numpy if architecture == "smoothnet" else motion_aware_numpy).forward

        def by_channel(windows: Array, quality: Array) -> Array:
            rows = windows.transpose(0, 2, 1)
            out = forward(tensors, np.ascontiguousarray(rows).reshape(-1, rows.shape[2]))
            return out.reshape(rows.shape).transpose(0, 2, 1)

        return by_channel
    from smoothnet_core.inference import body_aware_numpy, robust_fit_numpy, vector_filter_numpy

    if architecture == "body_aware":
        root, swap = metadata["root"], metadata["swap"]
        return lambda windows, quality: body_aware_numpy.forward(tensors, root, swap, windows, quality)
    by_joint = robust_fit_numpy.forward if architecture == "robust_fit" else vector_filter_numpy.forward
    return lambda windows, quality: by_joint(tensors, windows, quality)
