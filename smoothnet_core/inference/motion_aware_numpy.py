"""The motion-aware variant without torch; see :mod:`smoothnet_core.models.motion_aware` for what it is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.checkpoints import branch
from smoothnet_core.inference.blas import product
from smoothnet_core.inference.plan import Run, run_windows
from smoothnet_core.inference.published_numpy import Published

Array = NDArray[np.floating]

_BRANCHES = ("position", "velocity", "acceleration")


class MotionAware:
    """The tensors as they are needed; arguments as those of :class:`Published`."""

    centred = False
    columns, least_size = Published.columns, Published.least_size

    def __init__(self, tensors: Mapping[str, Array], weights: Array) -> None:
        self.weights = weights
        self.branches = [
            Published(own, np.ones(len(own["decoder.bias"]))) for own in (branch(tensors, name) for name in _BRANCHES)
        ]
        self.dtype = self.branches[0].dtype
        fuse = np.concatenate([tensors["fuse.weight"], tensors["fuse.bias"][:, None]], axis=1)
        self.fuse = (fuse * weights[:, None]).astype(self.dtype)

    def on(self, rows: Array) -> tuple[Run, Array]:
        """Return what runs windows (W, D, M), and where its answers stand; it sees no quality."""
        flat = rows.reshape(len(rows), -1)
        answer = np.empty(rows.shape, self.dtype)

        def run(_: Array | None) -> None:
            seen = [np.diff(flat, n=order, axis=0).T[..., None] for order in range(len(self.branches))]
            outputs = [run_windows(*both)[..., 0].T for both in zip(self.branches, seen, strict=True)]
            ones = np.ones((1, flat.shape[1]), flat.dtype)
            product(self.fuse, np.concatenate([*outputs, ones]), out=answer.reshape(len(rows), -1))

        return run, answer
