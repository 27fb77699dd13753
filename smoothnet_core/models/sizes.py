"""Sizes of our own network, apart from it, so that a configuration can be checked without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """What the tensors' shapes follow from.

    Attributes:
        window: frames W.
        probes: linear combinations whose lengths the perceptron sees.
        hidden: width of the perceptron's two layers.
        filters: filters in the bank.
    """

    window: int = 32
    probes: int = 128
    hidden: int = 256
    filters: int = 128
