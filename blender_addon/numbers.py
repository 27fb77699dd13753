"""What a refinement did, in numbers for the sidebar; without Blender."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .measures import as_vectors, jitter, largest_turn, speed_kept
from .refining import Refined
from .rotation_modes import to_quat_wxyz
from .standing import Armature, Slides, slides

Array = NDArray[np.float64]

# Bones that turn by less than this, in degrees, say nothing of jitter.
_MOVES = 0.5


@dataclass(frozen=True)
class Numbers:
    """What a refinement at full strength did to rotations and feet.

    Attributes:
        jitter_before: degrees, the mean over bones that move.
        jitter_after: the same of the result.
        speed_kept: share of the movement that is left, see :func:`.measures.speed_kept`; NaN where nothing moves.
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
    before, after = (_quats(members, name) for name in ("before", "after"))
    rate = fps / grid.step
    first, second = as_vectors(before), as_vectors(after)
    moving = (np.ptp(first, axis=0) > _MOVES).any(axis=-1)
    if not moving.any():
        return None
    if not moving.all():
        first, second = first[:, moving], second[:, moving]
    change = largest_turn(before, after)
    channel = members[change.vector].channel
    return Numbers(
        jitter_before=float(jitter(first, rate).mean()),
        jitter_after=float(jitter(second, rate).mean()),
        speed_kept=speed_kept(first, second, rate),
        largest_change=change.size,
        largest_bone=channel.owner,
        largest_frame=float(channel.times[change.frame]),
        slides=None if armature is None else slides(armature, refined, fps),
    )


def _quats(members: Sequence[Refined], name: str) -> Array:
    """Return (T, N, 4) of channels on one grid, modes of one kind at once."""
    modes = {r.channel.mode for r in members}
    if len(modes) == 1:
        return to_quat_wxyz(np.stack([getattr(r, name) for r in members], axis=1), modes.pop())
    out = np.empty((len(members[0].channel.times), len(members), 4))
    for mode in modes:
        columns = [i for i, r in enumerate(members) if r.channel.mode == mode]
        out[:, columns] = to_quat_wxyz(np.stack([getattr(members[i], name) for i in columns], axis=1), mode)
    return out
