"""The networks on torch, from and to NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import require
from smoothnet_core.inference.select import CHANNEL_NETWORKS

Array = NDArray[np.float32]

# Windows whose hidden activations are held at once; a robust fit holds many more of each.
_BLOCK, _ROBUST_BLOCK = 8192, 512


def build(
    architecture: str, tensors: Mapping[str, Array], metadata: Mapping[str, Any], device: str
) -> Callable[[Array, Array], Array]:
    """Return the function from windows and quality to refined windows, as ``select_engine``, run on ``device``.

    Raises:
        MissingExtraError: torch is not installed.
    """
    torch = require("torch", "torch")
    from smoothnet_core.models import body_aware, motion_aware, published, robust_fit, vector_filter

    if architecture == "body_aware":
        made = body_aware.from_tensors(tensors, metadata["root"], metadata["swap"])
    elif architecture == "robust_fit":
        made = robust_fit.from_tensors(tensors, metadata["window"])
    else:
        modules = {"smoothnet": published, "motion_aware": motion_aware, "vector_filter": vector_filter}
        made = modules[architecture].from_tensors(tensors)
    network = made.to(device).eval()
    block = _ROBUST_BLOCK if architecture == "robust_fit" else _BLOCK

    def forward(windows: Any, quality: Any) -> Any:
        if architecture in CHANNEL_NETWORKS:
            # Their input is (N, C, T): a joint's numbers are channels of their own.
            return network(windows.transpose(1, 2)).transpose(1, 2)
        return network(windows, quality)

    def run(windows: Array, quality: Array) -> Array:
        with torch.inference_mode():
            out = [
                forward(
                    torch.from_numpy(windows[i : i + block]).to(device),
                    torch.from_numpy(quality[i : i + block]).to(device),
                )
                .cpu()
                .numpy()
                for i in range(0, len(windows), block)
            ]
        return np.concatenate(out)

    return run
