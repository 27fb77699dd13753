"""A new BVH file from rotations of a skeleton: hierarchy, channels and numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.euler import continuous_euler, matrix_to_euler
from smpl_tools.formats._files import replacing
from smpl_tools.formats._names import on_one_line
from smpl_tools.formats._smpl import only_person
from smpl_tools.motion import Motion, Skeleton
from smpl_tools.rigs.plain_form import rig_arrays

# The order in which most programs write the rotations, and all read them.
AXES = "zxy"
_CHANNELS = " ".join(f"{axis.upper()}rotation" for axis in AXES)
_POSITIONS = "Xposition Yposition Zposition"
# A thousandth of a millimetre in metres, and less than that at the end of an arm.
_DIGITS = 6
# Rows formatted at a time, which bounds memory.
_BLOCK = 1024


def make(motion: Motion, path: Path) -> None:
    """Write a new BVH file: ``ZXY`` rotations, continuous over time, of every joint; positions of those that move.

    A joint without children ends where the skeleton says, or half its own bone further on.

    Args:
        motion: in the plain form ``rig``, one person.
        path: to write.

    Raises:
        ValueError: not one person, no frame rate, values that were not observed, or nothing can be written there.
    """
    person = only_person(motion, "a BVH file")
    skeleton = motion.skeleton
    if skeleton is None or motion.fps is None:
        lacking = "no skeleton" if skeleton is None else "no frame rate (convert --from-fps or fit --fps says it)"
        raise mismatch("motion for a BVH file", "a skeleton and a frame rate", lacking)
    rotations, offsets = rig_arrays(motion, person)
    moving = {0}
    if "joint_positions" in person.tracks:
        moving |= {skeleton.joints.index(joint) for joint in person.tracks["joint_positions"].joints}
    children: list[list[int]] = [[] for _ in skeleton.joints]
    for j, parent in enumerate(skeleton.parents):
        if parent >= 0:
            children[parent].append(j)
    columns: list[NDArray[np.float64]] = []
    for j in _depth_first(children):
        if j in moving:
            columns.append(offsets[:, j])
        columns.append(np.rad2deg(continuous_euler(matrix_to_euler(rotations[:, j], AXES), AXES)))
    table = np.concatenate(columns, axis=1)
    if not np.isfinite(table).all():
        raise mismatch(f"values of person {person.id}", "all observed (--fill fills gaps)", "some that are not")
    with replacing(path) as file:
        file.write("\n".join(_hierarchy(skeleton, children, moving)).encode("utf-8", "surrogateescape"))
        file.write(f"\nMOTION\nFrames: {len(table)}\nFrame Time: {1 / motion.fps:.10f}\n".encode())
        row = " ".join([f"%.{_DIGITS}f"] * table.shape[1]) + "\n"
        for start in range(0, len(table), _BLOCK):
            block = table[start : start + _BLOCK]
            # Minus zero is zero.
            file.write((row * len(block) % tuple((block + 0.0).ravel().tolist())).encode())


def _depth_first(children: list[list[int]]) -> Iterator[int]:
    """Yield the joints in the order in which a file lists them, the first joint first."""
    pending = [0]
    while pending:
        joint = pending.pop()
        yield joint
        pending += reversed(children[joint])


def _hierarchy(skeleton: Skeleton, children: list[list[int]], moving: set[int]) -> Iterator[str]:
    """Yield the lines of the hierarchy."""
    yield "HIERARCHY"
    names = on_one_line(skeleton.joints, "{}")
    open_joints: list[int] = []
    for joint in _depth_first(children):
        while open_joints and open_joints[-1] != skeleton.parents[joint]:
            open_joints.pop()
            yield "\t" * len(open_joints) + "}"
        outside = "\t" * len(open_joints)
        inside = outside + "\t"
        yield f"{outside}{'JOINT' if joint else 'ROOT'} {names[joint]}"
        yield outside + "{"
        yield f"{inside}OFFSET {_numbers(skeleton.offsets[joint])}"
        yield f"{inside}CHANNELS " + (f"6 {_POSITIONS} {_CHANNELS}" if joint in moving else f"3 {_CHANNELS}")
        open_joints.append(joint)
        if not children[joint]:
            end = np.full(3, np.nan) if skeleton.ends is None else skeleton.ends[joint]
            end = end if np.isfinite(end).all() else skeleton.offsets[joint] / 2
            yield from (f"{inside}End Site", inside + "{", f"{inside}\tOFFSET {_numbers(end)}", inside + "}")
    yield from ("\t" * depth + "}" for depth in reversed(range(len(open_joints))))


def _numbers(vector: NDArray[np.floating]) -> str:
    return " ".join(f"{x:.{_DIGITS}f}" for x in (vector + 0.0).tolist())
