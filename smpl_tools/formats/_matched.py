"""Who is who over time, for formats that list the people of a frame in any order: told by where their joints are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smpl_tools.coordinates import PELVIS
from smpl_tools.people import MAX_GAP_SECONDS, assign_people
from smpl_tools.rotations import axis_angle_to_matrix
from smpl_tools.skeleton import SMPL, positions

_ASSUMED_FPS = 30.0


def max_gap(fps: float | None) -> int:
    """Return for how many frames a lost person is remembered."""
    return round(MAX_GAP_SECONDS * (fps or _ASSUMED_FPS))


def matched(
    poses: Sequence[NDArray[Any]], places: Sequence[NDArray[Any]], frames: NDArray[np.int64], fps: float | None
) -> list[NDArray[np.int64]]:
    """Return each frame's people's numbers, from 0 in order of appearance, by :func:`smpl_tools.people.assign_people`.

    Args:
        poses: F arrays (P_f, J, 3) of the rotation vectors of root and body, SMPL's first J joints.
        places: F arrays (P_f, 3), the translations, in metres.
        frames: F frame numbers, strictly increasing.
        fps: frames a second; None assumes 30, which decides for how long a lost person is remembered.
    """
    counts = [len(one) for one in poses]
    total = sum(counts)
    turns = np.zeros((total, len(SMPL.joints), 3))
    flat = np.concatenate(
        [np.asarray(one, np.float64).reshape(len(one), -1, 3) for one in poses if len(one)] or [turns]
    )
    turns[:, : flat.shape[1]] = flat
    where = np.concatenate([np.asarray(one, np.float64).reshape(-1, 3) for one in places])
    # A value that is not finite places nobody.
    usable = np.isfinite(turns).all(axis=(1, 2)) & np.isfinite(where).all(axis=1)
    joints = np.full((total, len(SMPL.joints), 3), np.nan)
    joints[usable] = positions(axis_angle_to_matrix(turns[usable]), where[usable] + PELVIS, SMPL)
    split = np.split(joints, np.cumsum(counts)[:-1])
    return assign_people(split, frames, max_gap=max_gap(fps))
