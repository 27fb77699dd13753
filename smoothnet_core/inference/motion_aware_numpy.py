"""The motion-aware variant without torch; see :mod:`smoothnet_core.models.motion_aware` for what it is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.checkpoints import branch
from smoothnet_core.inference import published_numpy
from smoothnet_core.inference.blas import linear


def forward(tensors: Mapping[str, NDArray[np.floating]], windows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Refine windows of single channels.

    Args:
        tensors: by the torch module's names.
        windows: (N, T) float32 or float64, T the network's window.

    Returns:
        (N, T) in the precision of ``windows``, in its unit.

    Raises:
        ValueError: the shape or type of ``windows``, or the tensors, are not as above.
    """
    # The position branch comes first: it refuses windows of the wrong length by their own.
    outputs = [
        published_numpy.forward(branch(tensors, name), np.diff(windows, n=order))
        for order, name in enumerate(("position", "velocity", "acceleration"))
    ]
    weight = np.ascontiguousarray(tensors["fuse.weight"], windows.dtype)
    return linear(np.concatenate(outputs, axis=1), weight) + tensors["fuse.bias"].astype(windows.dtype)
