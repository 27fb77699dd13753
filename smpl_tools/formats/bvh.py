"""BVH files as motions, and back into the text they came from.

A joint's rotation is the product of its rotation channels from left to right, each about an axis of the turning joint;
its position channels take the place of its OFFSET. Tracks of a person, each there only if the file has such channels:

``global_orient``, ``transl``: rotation and position of the root; ``body_pose``, ``hand_pose``: rotations of the other
joints, fingers apart by their names; ``joint_positions``: positions of other joints, those that change over time;
``root_angles``, ``joint_angles``: one number a channel, in radians and without jumps, of joints that have not three
rotation channels; ``transl_channels``, ``joint_position_channels``: the same for positions without all three axes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.euler import AXES, continuous_euler, euler_to_matrix, matrix_to_euler
from smpl_tools.formats._files import replacing
from smpl_tools.formats._format import Format, Options
from smpl_tools.formats.bvh_new import make
from smpl_tools.formats.bvh_text import BvhJoint, BvhText, decimals, encode, parse, rewritten
from smpl_tools.frame_rates import COMMON_RATES
from smpl_tools.motion import Kind, Motion, Part, Person, Skeleton, Track

NAME = "bvh"
# A changed number gets at least as many digits: a file of whole degrees would round the refinement away.
MIN_DIGITS = 4
MAX_DIGITS = 17
# Positions that move by less than this share of the longest bone are the noise of rounding.
_STILL = 1e-5
# Frames converted at a time, which bounds memory.
_BLOCK = 4096
_FINGER = re.compile(r"thumb|index|pinky|pinkie|finger")
_FINGER_WORDS = {"middle", "ring", "little", "digit"}
_NOT_A_FINGER = re.compile(r"toe|foot|spine")


@dataclass(frozen=True)
class _Slot:
    """Where one joint (or channel) of a track stands: its columns, and the order of axes if they are Euler angles."""

    name: str
    columns: tuple[int, ...]
    axes: str = ""


@dataclass(frozen=True, eq=False)
class _Source:
    text: BvhText
    people: tuple[Person, ...]
    slots: tuple[dict[str, list[_Slot]], ...]


def matches(path: Path, head: bytes) -> bool:
    """Return whether the file begins with the word HIERARCHY."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:9].upper() == b"HIERARCHY"


def read(path: Path, options: Options) -> Motion:
    """Read a BVH file: one person, or one for each ROOT with the root's name as id.

    Raises:
        ValueError: not a whole BVH file, or more joints than the limit.
    """
    text = parse(path)
    joints = text.joints
    roots: list[int] = []
    for index, joint in enumerate(joints):
        roots.append(index if joint.parent < 0 else roots[joint.parent])
    longest = max(math.hypot(*j.offset) for j in joints)
    still = _STILL * longest if math.isfinite(longest) else 0.0
    moving = [_varies(text.values[:, _columns(j, "position")], still) for j in joints]
    members: dict[int, list[int]] = {}
    for index, root in enumerate(roots):
        members.setdefault(root, []).append(index)
    people, slots = [], []
    for first, own in members.items():
        layout = _layout([joints[k] for k in own], [moving[k] for k in own])
        tracks = {name: _track(name, s, text.values) for name, s in layout.items()}
        ident = joints[first].name if len(members) > 1 else "0"
        people.append(Person(ident, tracks, np.arange(len(text.values), dtype=np.int64)))
        slots.append(layout)
    fps = frame_rate(path, text.frame_time)
    lost = int(np.isnan(text.values).sum())
    notes = ([f"{lost} numbers are not finite and count as not observed"] if lost else []) + (
        ["the frame time is 0: no frame rate"] if fps is None else []
    )
    source = _Source(text, tuple(people), tuple(slots))
    return Motion(NAME, source.people, fps, _skeleton(text, moving), source=source, path=path, notes=tuple(notes))


def frame_rate(path: Path, frame_time: str) -> float | None:
    """Return the frames a second that a frame time in seconds was printed from; None for 0.

    The time's reciprocal is taken if it is a whole number (0.008 is 125); else a rate in common use whose time printed
    with as many digits is the same; else the reciprocal if that is a short number (0.08 is 12.5); else the rate with
    the fewest decimals whose time differs by less than one unit of the last digit (some programs cut digits off).

    Raises:
        ValueError: not a number, or a negative one.
    """
    try:
        printed = Decimal(frame_time)
    except ArithmeticError:
        printed = Decimal("NaN")
    seconds = float(printed)
    if not 0 <= seconds < math.inf:
        raise mismatch(f"{path}: Frame Time", "seconds, 0 or more", repr(frame_time[:40]))
    rate = 1 / seconds if seconds else math.inf
    if not math.isfinite(rate):
        return None
    if abs(rate - round(rate)) <= 1e-9 * rate:
        return float(round(rate))
    unit = 10.0 ** int(printed.as_tuple().exponent)
    near = [r for r in COMMON_RATES if abs(1 / r - seconds) <= 0.5 * unit * (1 + 1e-6) + 1e-15]
    if near:
        return min(near, key=lambda r: abs(1 / r - seconds))
    if abs(rate - round(rate, 2)) <= 1e-9 * rate:
        return round(rate, 2)
    for digits in range(7):
        short = round(rate, digits)
        if short > 0 and abs(1 / short - seconds) < unit + 1e-15:
            return short
    return rate


def _columns(joint: BvhJoint, kind: str) -> list[int]:
    return [joint.first + k for k, channel in enumerate(joint.channels) if channel.endswith(kind)]


def _axes(joint: BvhJoint, kind: str) -> str:
    return "".join(channel[0].lower() for channel in joint.channels if channel.endswith(kind))


def _varies(values: NDArray[np.float64], still: float) -> bool:
    seen = values[np.isfinite(values).all(axis=1)]
    return bool(seen.size and np.ptp(seen, axis=0).max() > still)


def is_finger(name: str) -> bool:
    """Return whether a joint's name is that of a finger or a part of one."""
    lower = name.lower()
    if _NOT_A_FINGER.search(lower):
        return False
    words = {w.lower() for w in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
    words |= {w[1:] for w in words if w[0] in "lr"}
    return bool(_FINGER.search(lower)) or bool(words & _FINGER_WORDS)


def _layout(joints: Sequence[BvhJoint], moving: Sequence[bool]) -> dict[str, list[_Slot]]:
    """Return the tracks of one hierarchy, its root first, and where their numbers stand."""
    layout: dict[str, list[_Slot]] = {}

    def single(name: str, joint: BvhJoint, kind: str) -> None:
        for column in _columns(joint, kind):
            channel = joint.channels[column - joint.first]
            layout.setdefault(name, []).append(_Slot(f"{joint.name}.{channel}", (column,)))

    for number, (joint, moves) in enumerate(zip(joints, moving, strict=True)):
        root = number == 0
        axes, columns = _axes(joint, "rotation"), _columns(joint, "rotation")
        if axes in AXES:
            name = "global_orient" if root else "hand_pose" if is_finger(joint.name) else "body_pose"
            layout.setdefault(name, []).append(_Slot(joint.name, tuple(columns), axes))
        else:
            single("root_angles" if root else "joint_angles", joint, "rotation")
        axes, columns = _axes(joint, "position"), _columns(joint, "position")
        if not (root or moves):
            continue
        if sorted(axes) == ["x", "y", "z"]:
            ordered = tuple(columns[axes.index(axis)] for axis in "xyz")
            layout.setdefault("transl" if root else "joint_positions", []).append(_Slot(joint.name, ordered))
        else:
            single("transl_channels" if root else "joint_position_channels", joint, "position")
    return layout


_PARTS: dict[str, tuple[Kind, Part]] = {
    "global_orient": ("rotation_matrix", "root"),
    "body_pose": ("rotation_matrix", "body"),
    "hand_pose": ("rotation_matrix", "hands"),
    "transl": ("position", "root"),
    "joint_positions": ("position", "body"),
    "root_angles": ("channels", "root"),
    "joint_angles": ("channels", "body"),
    "transl_channels": ("channels", "root"),
    "joint_position_channels": ("channels", "body"),
}


def _track(name: str, slots: list[_Slot], table: NDArray[np.float64]) -> Track:
    kind, part = _PARTS[name]
    columns = np.array([s.columns for s in slots])
    if kind == "rotation_matrix":
        values = np.empty((len(table), len(slots), 3, 3))
        for axes in sorted({s.axes for s in slots}):
            chosen = [k for k, s in enumerate(slots) if s.axes == axes]
            for start in range(0, len(table), _BLOCK):
                angles = np.deg2rad(table[start : start + _BLOCK, columns[chosen]])
                values[start : start + _BLOCK, chosen] = euler_to_matrix(angles, axes)
        values[np.isnan(values).any(axis=(2, 3))] = np.nan
    elif kind == "position":
        values = table[:, columns]
    else:
        values = table[:, columns[:, 0]]
        if name.endswith("angles"):
            values = np.deg2rad(values)
            for column in values.T:
                seen = np.isfinite(column)
                column[seen] = np.unwrap(column[seen])
    return Track(values, kind, part, tuple(s.name for s in slots))


def _skeleton(text: BvhText, moving: Sequence[bool]) -> Skeleton:
    offsets = np.array([j.offset for j in text.joints])
    for k, joint in enumerate(text.joints):
        # A position that stands still is where the joint really is, whatever its OFFSET says.
        if joint.parent >= 0 and not moving[k]:
            for column, axis in zip(_columns(joint, "position"), _axes(joint, "position"), strict=True):
                seen = text.values[np.isfinite(text.values[:, column]), column]
                if seen.size:
                    offsets[k, "xyz".index(axis)] = seen[0]
    parents = np.array([j.parent for j in text.joints], dtype=np.int64)
    ends = np.array([j.end for j in text.joints])
    return Skeleton(tuple(j.name for j in text.joints), parents, offsets, ends=ends)


def write(motion: Motion, path: Path) -> None:
    """Write the text that was read, with the numbers of changed joints replaced.

    A changed rotation is written in the order of its joint's channels, continuous over time and starting at the angles
    nearest to the file's first ones; changed numbers get as many digits as the file uses, at least ``MIN_DIGITS``.
    Numbers of unchanged joints, and of frames where a changed track is not finite, keep their text.

    Raises:
        ValueError: nothing can be written there, or a track has another shape than the file's.
    """
    source: _Source = motion.source
    text = source.text
    changed: dict[int, NDArray[np.float64]] = {}
    for new, old, slots in zip(motion.people, source.people, source.slots, strict=True):
        for name in old.tracks:
            changed.update(_changed(name, old.tracks[name], new.tracks[name], slots[name], text.values))
    channels = [channel for joint in text.joints for channel in joint.channels]
    digits: dict[int, int] = {}
    for kind in ("position", "rotation"):
        columns = [k for k, channel in enumerate(channels) if channel.endswith(kind)]
        if any(k in changed for k in columns):
            count = min(max(decimals(text, columns), MIN_DIGITS), MAX_DIGITS)
            digits.update(dict.fromkeys(columns, count))
    with replacing(path) as file:
        for piece in rewritten(text, changed, digits):
            file.write(encode(piece))


def _changed(
    name: str, old: Track, new: Track, slots: list[_Slot], table: NDArray[np.float64]
) -> Iterable[tuple[int, NDArray[np.float64]]]:
    """Yield column and numbers, in the file's units, of what is not as it was read."""
    if new.values.shape != old.values.shape:
        raise mismatch(f"shape of the track {name}", old.values.shape, new.values.shape)
    if new.values is old.values:
        return
    for k, slot in enumerate(slots):
        values, before = np.asarray(new.values[:, k], np.float64), old.values[:, k]
        if np.array_equal(values, before, equal_nan=True):
            continue
        if slot.axes:
            columns = list(slot.columns)
            seen = np.flatnonzero(np.isfinite(table[:, columns]).all(axis=1))
            start = np.deg2rad(table[seen[:1]][:, columns])
            angles = matrix_to_euler(values, slot.axes)
            values = np.rad2deg(continuous_euler(np.concatenate([start, angles]), slot.axes)[len(start) :])
            yield from zip(slot.columns, values.T, strict=True)
            continue
        factor = 180 / np.pi if name.endswith("angles") else 1.0
        numbers = (values.reshape(len(values), -1).T, before.reshape(len(values), -1).T)
        for column, column_new, column_old in zip(slot.columns, *numbers, strict=True):
            if not np.array_equal(column_new, column_old, equal_nan=True):
                yield column, factor * column_new


FORMAT = Format(
    NAME,
    "BVH",
    matches,
    read,
    write,
    (".bvh",),
    make=make,
    contents=("rig",),
    up="y",
    keeps=("translation", "joint names", "frame rate"),
)
