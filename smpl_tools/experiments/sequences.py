"""Sequences of vectors with their truth, for the networks that only the studies train: crops in, predictions out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.training.batches import Seeded

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[np.float32]
# From inputs (N, T + 2 * margin, I) and truth (N, T, O) to others of the same shapes.
Vary = Callable[[np.random.Generator, Array, Array], tuple[Array, Array]]


@dataclass(frozen=True, eq=False)
class Example:
    """What a network sees of one clip, and what it should answer.

    Attributes:
        name: of the clip.
        inputs: (T, I), finite.
        truth: (T, O).
    """

    name: str
    inputs: Array
    truth: Array


class Crops(Seeded):
    """Draws batches of crops, every frame of every example equally often on average; the same seed, the same batches.

    Args:
        examples: to draw from.
        frames: T of a crop; shorter examples are left out.
        margin: frames of context on either side of the inputs; beyond an example's ends its end frames are repeated.
        batch: crops a batch.
        seed: of the drawing.
        vary: changes the inputs and truth of a batch at random before it is given out.

    Raises:
        ValueError: no example is as long as a crop.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        frames: int,
        margin: int,
        batch: int,
        seed: int,
        vary: Vary = lambda rng, inputs, truth: (inputs, truth),
    ) -> None:
        super().__init__(seed)
        usable = [e for e in examples if len(e.truth) >= frames]
        if not usable:
            raise mismatch("training clips", f"at least one of {frames} frames or more", f"none of {len(examples)}")
        self._inputs = [padded(e.inputs, margin) for e in usable]
        self._truths = [e.truth for e in usable]
        self._starts = np.array([(i, s) for i, e in enumerate(usable) for s in range(len(e.truth) - frames + 1)])
        self._frames, self._margin, self._batch = frames, margin, batch
        self._vary = vary

    @property
    def epoch(self) -> int:
        """Steps after which as many frames were drawn as there are."""
        return max(1, round(sum(map(len, self._truths)) / (self._frames * self._batch)))

    def batch(self) -> tuple[Array, Array]:
        """Return inputs (N, T + 2 * margin, I) and truth (N, T, O)."""
        chosen = self._starts[self._rng.integers(len(self._starts), size=self._batch)]
        wide = self._frames + 2 * self._margin
        inputs = np.stack([self._inputs[i][s : s + wide] for i, s in chosen])
        truth = np.stack([self._truths[i][s : s + self._frames] for i, s in chosen])
        return self._vary(self._rng, inputs, truth)


def padded(inputs: Array, margin: int) -> Array:
    """Return (T + 2 * margin, I): the end frames repeated ``margin`` times."""
    return np.pad(inputs, ((margin, margin), (0, 0)), mode="edge")


def predict(network: nn.Module, inputs: Array, margin: int) -> Array:
    """Return what a network answers (T, O) to a whole clip (T, I); it is left in evaluation mode."""
    import torch

    network.eval()
    with torch.inference_mode():
        return network(torch.from_numpy(padded(inputs, margin))[None])[0].numpy()
