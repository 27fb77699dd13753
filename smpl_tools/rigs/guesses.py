"""The unit and the axes of a skeleton whose file states neither, told from its size and from where its feet are."""

from __future__ import annotations

import math

import numpy as np

from smpl_tools.contents import carried
from smpl_tools.coordinates import UNITS, assuming, stated_units, stated_ups
from smpl_tools.joint_names import is_numbered
from smpl_tools.motion import Motion, Up
from smpl_tools.poses import poses, unit_by_size, upward

# In metres: what files of skeletons are in. The last is the unit of CMU's files, an inch divided by 0.45.
RIG_UNITS: dict[str, float] = {
    "metres": 1.0,
    "centimetres": 0.01,
    "millimetres": 0.001,
    "inches": 0.0254,
    "CMU's unit": 0.0254 / 0.45,
}
# The longest way along the bones from the root of a grown person's skeleton, to the fingers or the toes, in metres.
_REACH = 1.35


def with_guesses(motion: Motion) -> tuple[Motion, tuple[str, ...]]:
    """Return a motion whose tracks state axes and unit, guessed where the file says nothing, and what was guessed.

    The unit of a skeleton is the one of metres, centimetres, millimetres, inches and CMU's in which a grown person's
    bones are of about the right length, that of joints the one of m, cm and mm in which people are as large as people
    are; the up axis is the one along which people are longest, feet down.

    Args:
        motion: with a skeleton, or with 3D positions of joints.
    """
    notes = []
    up = None if stated_ups(motion) else _guessed_up(motion)
    if up is not None:
        notes.append(f"axes not stated in the file: {'-y' if up == '-y' else up} taken for up")
    metres = None
    if not stated_units(motion):
        unit = guessed_unit(motion)
        if unit is not None:
            metres = RIG_UNITS[unit]
            notes.append(f"unit not stated in the file: taken for {unit} by the length of the bones")
        elif "joints" in carried(motion):
            seen = [poses(motion, person) for person in motion.people]
            name, _ = unit_by_size([one for one in seen if one.positions.shape[2] == 3])
            if name is not None:
                metres = UNITS[name]
                notes.append(f"unit not stated in the file: taken for {name} by the size of the people")
    return assuming(motion, up=up, metres=metres), tuple(notes)


def guessed_unit(motion: Motion) -> str | None:
    """Return the name of the unit of a motion's skeleton by its size; None for one without lengths."""
    skeleton = motion.skeleton
    if skeleton is None:
        return None
    lengths = np.linalg.norm(skeleton.offsets, axis=1)
    reach = np.zeros(len(lengths))
    for j, parent in enumerate(skeleton.parents):
        if parent >= 0:
            reach[j] = reach[parent] + lengths[j]
    longest = float(reach.max(initial=0.0))
    if not (math.isfinite(longest) and longest > 0):
        return None
    return min(RIG_UNITS, key=lambda name: abs(math.log(longest * RIG_UNITS[name] / _REACH)))


def _guessed_up(motion: Motion) -> Up | None:
    for person in motion.people:
        try:
            seen = poses(motion, person)
        except ValueError:
            continue
        if seen.positions.shape[2] == 3 and np.isfinite(seen.positions).any() and not is_numbered(seen.joints):
            _, axis, sign = upward(seen, slice(None, None, max(1, len(seen.frames) // 200)))
            known: dict[tuple[int, float], Up] = {(1, 1.0): "y", (2, 1.0): "z", (1, -1.0): "-y"}
            return known.get((axis, sign))
    return None
