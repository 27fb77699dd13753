"""Sizes of the networks, apart from them, so that a configuration can be checked without torch."""

from __future__ import annotations

from dataclasses import dataclass

from smoothnet_core._checks import check_positive, mismatch, one_of
from smoothnet_core.joint_sets import JOINT_SETS, JointSet


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
        _check_dropout(self.dropout)


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


@dataclass(frozen=True)
class RobustSizes:
    """Sizes of the robust fit.

    Attributes:
        window: frames W.
        hidden: width of the convolutions.
        rounds: how often the fit is made again with other trust in the values.
    """

    window: int = 96
    hidden: int = 32
    rounds: int = 3

    def __post_init__(self) -> None:
        check_positive("size", self, ("window", "hidden", "rounds"))


@dataclass(frozen=True)
class BodySizes:
    """Sizes of the body-aware network.

    Attributes:
        joints: a key of ``JOINT_SETS`` in :mod:`smoothnet_core.joint_sets`.
        window: frames W.
        hidden: width between the blocks.
        blocks: number of residual blocks; that of number i sees frames 2**i apart.
        dropout: probability, in training only.
        first: the model that refines a take joint by joint before its windows are cut, a shipped name or a file of
            weights; it becomes part of the weights.
    """

    joints: str = "mediapipe_15"
    window: int = 64
    hidden: int = 256
    blocks: int = 4
    dropout: float = 0.2
    first: str = "default"

    def __post_init__(self) -> None:
        one_of("size joints", self.joints, JOINT_SETS)
        check_positive("size", self, ("window", "hidden", "blocks"))
        _check_dropout(self.dropout)

    @property
    def joint_set(self) -> JointSet:
        """The joints by name."""
        return JOINT_SETS[self.joints]


def _check_dropout(dropout: float) -> None:
    if not 0 <= dropout < 1:
        raise mismatch("size dropout", "at least 0 and below 1", dropout)


# By architecture.
SIZES: dict[str, type[PublishedSizes] | type[Sizes] | type[RobustSizes] | type[BodySizes]] = {
    "smoothnet": PublishedSizes,
    "motion_aware": PublishedSizes,
    "vector_filter": Sizes,
    "robust_fit": RobustSizes,
    "body_aware": BodySizes,
}
