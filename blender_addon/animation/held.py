"""Rotation channels of which some keys must stay as they are, without Blender."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .rotation_modes import from_quat_wxyz

Array = NDArray[np.float64]

# Values this near to each other are of the same sign and the same turn.
_SAME = 1e-3


def held_values(quat_wxyz: Array, mode: str, like: Array, held: NDArray[np.bool_]) -> Array:
    """Return channel values (U, n) of rotations (U, 4), some of which must stay as they are.

    From one held key to the next they are continuous, as :func:`.rotation_modes.from_quat_wxyz` makes them. Where that
    would not arrive at the held key (it lies whole turns away, or is of the other sign), they are those nearest to
    ``like``: what wraps in between goes on wrapping where it did, and there is no leap next to a held key.

    Args:
        quat_wxyz: (U, 4) rotations; those of held keys are what ``like`` says.
        mode: rotation mode.
        like: (U, n) values before.
        held: (U,) which keys stay.
    """
    stays = np.flatnonzero(held)
    out = from_quat_wxyz(quat_wxyz, mode, like)
    if not len(stays):
        return out
    nearest = from_quat_wxyz(quat_wxyz[None], mode, like[None])[0]
    arrives = np.abs(out[stays] - nearest[stays]).max(axis=1) < _SAME
    if not arrives[0]:
        # Before the first one nothing is given but its own end, so that is where it starts.
        first = stays[0]
        out[: first + 1] = from_quat_wxyz(quat_wxyz[first::-1], mode, like[first::-1])[::-1]
    for start, end, fine in zip(stays[:-1], stays[1:], arrives[:-1] & arrives[1:], strict=True):
        if not fine and end - start > 1:
            run = from_quat_wxyz(quat_wxyz[start : end + 1], mode, like[start : end + 1])
            agrees = np.abs(run[-1] - nearest[end]).max() < _SAME
            out[start : end + 1] = run if agrees else nearest[start : end + 1]
    if not arrives[-1]:
        out[stays[-1] :] = from_quat_wxyz(quat_wxyz[stays[-1] :], mode, like[stays[-1] :])
    out[held] = like[held]
    return out
