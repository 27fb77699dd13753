"""The way the published code refines a sequence, stated anew so that it can be timed beside ours.

What it does, as read in cure-lab/SmoothNet (commit 2b4cf81): its data sets cut a sequence into windows, one frame
apart, in a Python loop, and stack them (``lib/dataset``); the network, in torch, sees all of them at once; and
``lib/utils/utils.py`` appends every frame of every window to a list for its frame of the sequence, in two nested Python
loops, and takes the mean of each list. Numbers are float32 throughout. Nothing of that code is copied here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def published_path(tensors: Mapping[str, Array]) -> Callable[[Array], Array]:
    """Return the function from a sequence (T, C), T at least a window, to the refined one, (T, C) float32.

    Raises:
        ImportError: torch is not installed.
    """
    import torch

    from smoothnet_core.models.published import from_tensors

    network = from_tensors(tensors)
    window = network.window

    def refine(sequence: Array) -> Array:
        cut = []
        for first in range(len(sequence) - window + 1):
            cut.append(sequence[first : first + window])
        windows = torch.from_numpy(np.array(cut, dtype=np.float32))
        with torch.no_grad():
            refined = network(windows.permute(0, 2, 1)).permute(0, 2, 1)
        of_frame: list[list[torch.Tensor]] = [[] for _ in sequence]
        for first in range(len(refined)):
            for place in range(window):
                of_frame[first + place].append(refined[first, place])
        return torch.stack([torch.stack(values).mean(dim=0) for values in of_frame]).numpy()

    return refine
