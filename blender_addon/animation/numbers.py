"""What a refinement did, in numbers for the sidebar; without Blender."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..rigs.standing import Armature, Slides, slides
from ..seeing.measures import SpeedSums, as_vectors, jitter, largest_turn, speed_share, speed_sums
from .refining import Refined, side_by_side
from .rotation_modes import to_quat_wxyz

Array = NDArray[np.float64]

# Bones that turn by less than this, in degrees, say nothing of jitter.
_MOVES = 0.5
# Bones times frames looked at together: what lies between is many times as large.
_TOGETHER = 2**17


@dataclass(frozen=True)
class Numbers:
    """What a refinement at full strength did to rotations and feet.

    Attributes:
        jitter_before: degrees, the mean over bones that move.
        jitter_after: the same of the result.
        speed_kept: share of the movement that is left, see :func:`..seeing.measures.speed_kept`; NaN without any.
        largest_change: degrees.
        largest_bone: where.
        largest_frame: when.
        slides: of the feet; None where there are none that stand.
    """

    jitter_before: float
    jitter_after: float
    speed_kept: float
    largest_change: float
    largest_bone: str
    largest_frame: float
    slides: Slides | None


def numbers_of(refined: Sequence[Refined], fps: float, armature: Armature | None) -> Numbers | None:
    """Return the numbers of a take; None where no bone turns.

    Bones on the grid that most of them share are counted: those with other keys would need sampling again.
    """
    turning = [r for r in refined if r.channel.kind == "rotation"]
    grids = [(r.channel.grid, r.channel.mode) for r in turning if len(r.channel.times) == r.channel.grid.count]
    if not grids:
        return None
    grid = max(grids, key=grids.count)[0]
    members = [r for r in turning if r.channel.grid == grid and len(r.channel.times) == grid.count]
    step = max(1, _TOGETHER // max(1, grid.count))
    parts = [_of_some(members[start : start + step], fps / grid.step) for start in range(0, len(members), step)]
    before, after = (np.concatenate([getattr(part, name) for part in parts]) for name in ("before", "after"))
    if not len(before):
        return None
    change = max(parts, key=lambda part: part.change)
    return Numbers(
        jitter_before=float(before.mean()),
        jitter_after=float(after.mean()),
        speed_kept=speed_share([part.speed for part in parts]),
        largest_change=change.change,
        largest_bone=change.bone,
        largest_frame=change.frame,
        slides=None if armature is None else slides(armature, refined, fps),
    )


class _Some(NamedTuple):
    """Of some bones: jitter (n,) and speed of those that move, and the largest change of all."""

    before: Array
    after: Array
    speed: SpeedSums
    change: float
    bone: str
    frame: float


def _of_some(members: Sequence[Refined], rate: float) -> _Some:
    before, after = (_quats(members, name) for name in ("before", "after"))
    first, second = as_vectors(before), as_vectors(after)
    moving = (np.ptp(first, axis=0) > _MOVES).any(axis=-1)
    if not moving.all():
        first, second = first[:, moving], second[:, moving]
    change = largest_turn(before, after)
    channel = members[change.vector].channel
    return _Some(
        jitter(first, rate),
        jitter(second, rate),
        speed_sums(first, second, rate),
        change.size,
        channel.owner,
        float(channel.times[change.frame]),
    )


def _quats(members: Sequence[Refined], name: str) -> Array:
    """Return (T, N, 4) of channels on one grid, modes of one kind at once."""
    modes = {r.channel.mode for r in members}
    if len(modes) == 1:
        return to_quat_wxyz(side_by_side([getattr(r, name) for r in members]), modes.pop())
    out = np.empty((len(members[0].channel.times), len(members), 4))
    for mode in modes:
        columns = [i for i, r in enumerate(members) if r.channel.mode == mode]
        out[:, columns] = to_quat_wxyz(side_by_side([getattr(members[i], name) for i in columns]), mode)
    return out
