"""The motion-aware variant without torch; see :mod:`smoothnet_core.models.motion_aware` for what it is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.checkpoints import branch
from smoothnet_core.inference.blas import product
from smoothnet_core.inference.published_numpy import Published

Array = NDArray[np.floating]

_BRANCHES = ("position", "velocity", "acceleration")


class MotionAware:
    """The tensors as they are needed; arguments as those of :class:`Published`."""

    centred = False
    columns = Published.columns

    def __init__(self, tensors: Mapping[str, Array], weights: Array) -> None:
        self.branches = [
            Published(own, np.ones(len(own["decoder.bias"]))) for own in (branch(tensors, name) for name in _BRANCHES)
        ]
        self.dtype = self.branches[0].dtype
        fuse = np.concatenate([tensors["fuse.weight"], tensors["fuse.bias"][:, None]], axis=1)
        self.fuse = (fuse * weights[:, None]).astype(self.dtype)

    def run(self, rows: Array, quality: Array | None) -> Array:
        """Return the windows (W, ...) that follow from windows (W, ...), weighted; it sees no quality."""
        flat = rows.reshape(len(rows), -1)
        outputs = [own.run(np.diff(flat, n=order, axis=0), None).copy() for order, own in enumerate(self.branches)]
        ones = np.ones((1, flat.shape[1]), flat.dtype)
        return product(self.fuse, np.concatenate([*outputs, ones])).reshape(rows.shape)


def forward(tensors: Mapping[str, Array], windows: Array) -> Array:
    """Refine windows of single channels.

    Args:
        tensors: by the torch module's names.
        windows: (N, T) float32 or float64, T the network's window.

    Returns:
        (N, T) in the precision of ``windows``, in its unit.

    Raises:
        ValueError: the shape or type of ``windows``, or the tensors, are not as above.
    """
    window = len(tensors["fuse.bias"])
    if windows.ndim != 2 or windows.shape[1] != window:
        raise mismatch("windows", f"(N, {window})", windows.shape)
    if windows.dtype not in (np.float32, np.float64):
        raise mismatch("type of the windows", "float32 or float64", windows.dtype)
    own = {name: np.asarray(value, windows.dtype) for name, value in tensors.items()}
    return MotionAware(own, np.ones(window)).run(np.ascontiguousarray(windows.T), None).T.copy()
