"""Which joints of a rig's spine go to which of SMPL's three."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smpl_tools.motion import Skeleton
from smpl_tools.skeleton import SMPL

SPINE = ("spine1", "spine2", "spine3")


def along_the_spine(skeleton: Skeleton, pelvis: int, spine: list[int], neck: int) -> dict[int, list[int]]:
    """Return which of the rig's spine joints go to each of SMPL's three, by their places along the spine."""
    if not spine:
        return {}

    def along(offsets: NDArray[np.floating], joints: list[int]) -> NDArray[np.float64]:
        steps = np.linalg.norm(np.nan_to_num(np.asarray(offsets, np.float64)[joints]), axis=1)
        return np.cumsum(steps)

    ours = along(SMPL.offsets, [SMPL.joints.index(n) for n in (*SPINE, "neck")])
    ours = ours[:3] / ours[3]
    theirs = along(skeleton.offsets, spine + ([neck] if neck >= 0 else []))
    if neck < 0:
        # No neck to measure to: the last spine joint is where SMPL's is.
        theirs = np.append(theirs, theirs[-1] / ours[2])
    share = theirs[: len(spine)] / theirs[len(spine)] if theirs[len(spine)] > 0 else np.linspace(0, 1, len(spine))
    count = len(spine)
    # In order, and where there are enough joints none of SMPL's goes without: the least sum of squared distances.
    best: tuple[float, tuple[int, ...]] | None = None
    for choice in _ordered(count):
        cost = float(sum((share[k] - ours[c]) ** 2 for k, c in enumerate(choice)))
        if best is None or cost < best[0] - 1e-12:
            best = (cost, choice)
    assert best is not None
    groups: dict[int, list[int]] = {}
    for joint, number in zip(spine, best[1], strict=True):
        groups.setdefault(number, []).append(joint)
    return groups


def _ordered(count: int) -> list[tuple[int, ...]]:
    """Return the ways to give ``count`` joints in order to three: all different, or each of the three used."""
    if count == 1:
        return [(0,), (1,), (2,)]
    if count == 2:
        return [(0, 1), (0, 2), (1, 2)]
    return [
        (0,) * first + (1,) * (last - first) + (2,) * (count - last)
        for first in range(1, count - 1)
        for last in range(first + 1, count)
    ]
