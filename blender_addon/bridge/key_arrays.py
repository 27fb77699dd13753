"""Arrays of keys: Blender's numbers of names, straight pieces between keys, and which times are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import bpy
import numpy as np

from ..animation.curves import INTERPOLATIONS, KEY_TYPES, Array

# Keys this near in frames are at the same time; Blender's own evaluation takes 1e-4 for its own.
SAME_TIME = 1e-3
_NEAR_KEY = 1e-4
LINEAR = INTERPOLATIONS.index("LINEAR")


class Shared:
    """Arrays of curves: one that has the same as the curve before is given that array, not one that is like it."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[bytes, Any]] = {}

    def __call__(self, name: str, raw: np.ndarray, make: Callable[[np.ndarray], Any]) -> Any:
        """Return what ``make`` makes of an array as Blender has it."""
        content = np.ascontiguousarray(raw).tobytes()
        before = self._last.get(name)
        if before is not None and before[0] == content:
            return before[1]
        made = make(raw)
        self._last[name] = content, made
        return made


def straight(times: Array, values: Array, modes: np.ndarray, frames: Array) -> Array:
    """Return constant and linear pieces between keys, as Blender has them; every frame lies between keys."""
    last = np.clip(np.searchsorted(times, frames, side="right") - 1, 0, max(0, len(times) - 2))
    following = np.minimum(last + 1, len(times) - 1)
    span = np.maximum(times[following] - times[last], _NEAR_KEY)
    share = np.where(modes[last] == LINEAR, (frames - times[last]) / span, 0.0)
    at_next = np.abs(frames - times[following]) <= _NEAR_KEY
    share = np.where(at_next, 1.0, share)
    return values[last] + share * (values[following] - values[last])


def same_times(new: np.ndarray, old: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the places in new and old whose times are the same."""
    if not len(old) or not len(new):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    after = np.clip(np.searchsorted(old, new), 0, len(old) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(np.abs(old[before] - new) <= np.abs(old[after] - new), before, after)
    # float32 tells times apart less finely the later they are.
    same = np.abs(old[nearest] - new) <= np.maximum(SAME_TIME, 2.0 * np.spacing(np.abs(new)))
    return np.flatnonzero(same), nearest[same]


def _values_of(prop: str, names: Sequence[str]) -> np.ndarray:
    """Blender's number of each name; -1 where this Blender has no such name."""
    items = {item.identifier: item.value for item in bpy.types.Keyframe.bl_rna.properties[prop].enum_items}
    return np.array([items.get(name, -1) for name in names], np.int32)


def _places_of(numbers: np.ndarray) -> np.ndarray:
    places = np.zeros(numbers.max() + 1, np.uint8)
    places[numbers[numbers >= 0]] = np.flatnonzero(numbers >= 0)
    return places


INTERPOLATION_VALUES = _values_of("interpolation", INTERPOLATIONS)
INTERPOLATION_PLACES = _places_of(INTERPOLATION_VALUES)
KEY_TYPE_PLACES = _places_of(_values_of("type", KEY_TYPES))


def interpolation_numbers(where: str, names: str | Sequence[str], count: int) -> np.ndarray:
    """Return Blender's numbers of the interpolations of ``count`` keys, from one name for all or one for each.

    Raises:
        ValueError: too few or too many, or an unknown one; ``where`` is what it concerns.
    """
    each = [names] * count if isinstance(names, str) else list(names)
    if len(each) != count:
        raise ValueError(f"{where}: {len(each)} interpolations, {count} keys")
    kinds = set(each)
    if unknown := kinds - set(INTERPOLATIONS):
        raise ValueError(f"Unknown interpolation {min(unknown)}; known are {', '.join(INTERPOLATIONS)}")
    numbers = {name: int(INTERPOLATION_VALUES[INTERPOLATIONS.index(name)]) for name in kinds}
    if len(kinds) == 1:
        return np.full(count, numbers[each[0]], np.uint8)
    return np.array([numbers[name] for name in each], np.uint8)
