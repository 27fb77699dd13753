"""What an F-curve is, without Blender: keys over time as arrays, and what its data path says it moves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Blender's names of interpolations and key types; arrays hold the places in these lists.
INTERPOLATIONS = (
    "CONSTANT", "LINEAR", "BEZIER", "SINE", "QUAD", "CUBIC", "QUART", "QUINT", "EXPO", "CIRC", "BACK", "BOUNCE",
    "ELASTIC",
)  # fmt: skip
KEY_TYPES = ("KEYFRAME", "BREAKDOWN", "MOVING_HOLD", "EXTREME", "JITTER", "GENERATED")

_BONE = re.compile(r'pose\.bones\["((?:[^"\\]|\\.)*)"\]\.(\w+)')
_SHAPE_KEY = re.compile(r'key_blocks\["((?:[^"\\]|\\.)*)"\]\.value')
# Blender leaves a backslash before any other letter alone.
_ESCAPE = re.compile(r'\\([\\"ntrabf])')
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f"}


class CurveKey(NamedTuple):
    """Which F-curve of an action and slot: Blender's data path and array index."""

    path: str
    index: int  # pyright: ignore[reportIncompatibleMethodOverride]


class Target(NamedTuple):
    """What a data path moves.

    Attributes:
        owner: name of the bone or shape key; empty for the object itself.
        kind: ``bone``, ``object`` or ``shape_key``.
        channel: Blender's property: ``rotation_quaternion``, ``location``, ``value``, ...
    """

    owner: str
    kind: str
    channel: str


@dataclass(frozen=True, eq=False)
class Curve:
    """The keys of one F-curve.

    Attributes:
        path: data path, e.g. ``pose.bones["Hips"].rotation_quaternion``.
        index: place in the property's array.
        times: (K,) frames, rising, not always whole.
        values: (K,) in Blender's units (radians, scene units).
        interpolation: (K,) uint8, places in ``INTERPOLATIONS``: how the curve goes on after each key.
        key_types: (K,) uint8, places in ``KEY_TYPES``.
        selected: (K,) whether the key is selected.
        locked: the curve or its group is muted or locked: it stays as it is.
        cycle: ``""``, ``REPEAT`` or ``OFFSET`` (each round starts where the last one ended), from its Cycles modifier.
        modified: other modifiers change what its keys say.
    """

    path: str
    index: int
    times: Array
    values: Array
    interpolation: NDArray[np.uint8]
    key_types: NDArray[np.uint8]
    selected: NDArray[np.bool_]
    locked: bool = False
    cycle: str = ""
    modified: bool = False

    @property
    def key(self) -> CurveKey:
        """Path and index."""
        return CurveKey(self.path, self.index)


def moves(values: Array) -> bool:
    """Return whether values (K,) are not all the same; none are."""
    return len(values) > 0 and bool(values[0] != values[-1] or np.ptp(values) != 0)


@lru_cache(maxsize=1 << 16)
def target_of(path: str) -> Target | None:
    """Return what a data path moves; None for what is neither a bone's, an object's nor a shape key's own."""
    if bone := _BONE.fullmatch(path):
        return Target(_unescaped(bone[1]), "bone", bone[2])
    if shape := _SHAPE_KEY.fullmatch(path):
        return Target(_unescaped(shape[1]), "shape_key", "value")
    return Target("", "object", path) if path.isidentifier() else None


def bone_path(bone: str, channel: str) -> str:
    """Return the data path of a bone's property, escaped as Blender does."""
    escaped = bone.replace("\\", "\\\\").replace('"', '\\"')
    for letter, control in _CONTROL.items():
        escaped = escaped.replace(control, f"\\{letter}")
    return f'pose.bones["{escaped}"].{channel}'


def _unescaped(name: str) -> str:
    return _ESCAPE.sub(lambda found: _CONTROL.get(found[1], found[1]), name)
