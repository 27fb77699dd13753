"""Sizes of the networks, apart from them, so that a configuration can be checked without torch."""

from __future__ import annotations

from dataclasses import dataclass

from smoothnet_core._checks import check_positive, mismatch


@dataclass(frozen=True)
class PublishedSizes:
    """Sizes of the published network, and of each branch of its motion-aware variant; the paper's default ones.

    Attributes:
        window: frames T.
        hidden: width H between the blocks.
        bottleneck: width R inside a block.
        blocks: number B of residual blocks.
        dropout: probability, in training only.
    """

    window: int = 32
    hidden: int = 512
    bottleneck: int = 16
    blocks: int = 1
    dropout: float = 0.5

    def __post_init__(self) -> None:
        check_positive("size", self, ("window", "hidden", "bottleneck", "blocks"))
        if not 0 <= self.dropout < 1:
            raise mismatch("size dropout", "at least 0 and below 1", self.dropout)


@dataclass(frozen=True)
class Sizes:
    """Sizes of our own network.

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

    def __post_init__(self) -> None:
        check_positive("size", self, ("window", "probes", "hidden", "filters"))


# By architecture.
SIZES: dict[str, type[PublishedSizes] | type[Sizes]] = {
    "smoothnet": PublishedSizes,
    "motion_aware": PublishedSizes,
    "vector_filter": Sizes,
}
