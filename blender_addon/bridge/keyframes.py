"""The bridge between F-curves and arrays; nothing else in the extension knows actions, slots, strips or channelbags.

Blender holds keys in float32; arrays here are float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import bpy
import numpy as np

from ..animation.curves import INTERPOLATIONS, Array, Curve, CurveKey
from .action_copy import duplicate, duplicate_in_pieces
from .actions import (
    KEY_FIELDS,
    Source,
    active_source,
    acts,
    add_keys,
    assign,
    check_assignable,
    editable_problem,
    holder,
    is_cyclic,
    keep,
    key_field,
    label,
    make,
    nla_sources,
    remove,
    users,
)
from .key_arrays import (
    INTERPOLATION_PLACES,
    INTERPOLATION_VALUES,
    KEY_TYPE_PLACES,
    LINEAR,
    SAME_TIME,
    Shared,
    interpolation_numbers,
    same_times,
    straight,
)
from .players import (
    counterpart,
    identity,
    players,
    slot_identifier,
    source_of,
    sources_of,
    sources_played,
    target_type,
    to_action_time,
)

__all__ = [
    "Source",
    "active_source",
    "acts",
    "assign",
    "check_assignable",
    "counterpart",
    "curve_count",
    "duplicate",
    "duplicate_in_pieces",
    "each_curve",
    "editable_problem",
    "evaluate",
    "identity",
    "is_cyclic",
    "keep",
    "label",
    "make",
    "nla_sources",
    "players",
    "read_curves",
    "remove",
    "replace_keys",
    "set_handles",
    "slot_identifier",
    "source_of",
    "sources_of",
    "sources_played",
    "target_type",
    "to_action_time",
    "users",
    "write_in_pieces",
    "write_values",
]

_HANDLES = ("handle_left", "handle_right")
_FLOATS = {"location", "rotation_quaternion", "rotation_euler", "rotation_axis_angle", "scale", "value"}
_CYCLES = {"REPEAT": "REPEAT", "REPEAT_OFFSET": "OFFSET"}


def read_curves(source: Source, *, marks: bool = True) -> list[Curve]:
    """Return all F-curves of a source in their order; a curve of baked samples has no keys.

    Args:
        source: action and slot.
        marks: read also what type each key has and which are selected, which is half of the work; otherwise all keys
            are ordinary ones, not selected.
    """
    return list(each_curve(source, marks=marks))


def each_curve(source: Source, *, marks: bool = True, selection: bool = True) -> Iterator[Curve]:
    """Read as :func:`read_curves`, a curve at a time; :func:`curve_count` says how many there are.

    A curve with keys at the same times as the one before has the same array of times, not one that is like it; so do
    interpolations, types and selections.

    Args:
        source: action and slot.
        marks: as there.
        selection: of the marks, read also which keys are selected.
    """
    bag = holder(source)
    if bag is None:
        return
    groups = {group.name: group.mute or group.lock for group in bag.groups}
    shared = Shared()
    for curve in bag.fcurves:
        yield _read(curve, groups, marks, marks and selection, shared)


def curve_count(source: Source) -> int:
    """Return how many F-curves a source has."""
    bag = holder(source)
    return 0 if bag is None else len(bag.fcurves)


def write_values(source: Source, values: Mapping[CurveKey, Array]) -> None:
    """Give the keys of curves new values at their old times.

    Handles move along with their key, automatic ones are computed anew; all else stays. Curves whose values are what
    they were are not touched. Where no key has other than constant or linear interpolation, no handle is in use, and
    computing them would take two thirds of the time: there they only move along, until Blender computes them when the
    interpolation is changed in an editor.

    Args:
        source: action and slot.
        values: (K,) for each curve, as many as it has keys.

    Raises:
        ValueError: a curve does not exist, has another number of keys, or a value is not finite; nothing is written.
    """
    list(write_in_pieces(source, values))


def write_in_pieces(
    source: Source, values: Mapping[CurveKey, Array], known: Mapping[CurveKey, Curve] | None = None
) -> Iterator[float]:
    """Do as :func:`write_values`, a curve at a time: yields the share done after each; errors come at the call.

    Args:
        source: action and slot.
        values: as there.
        known: curves as they were read, of this source or of what it is a fresh copy of: these are not read again.
    """
    curves = _curves_by_key(source)
    for key, new in values.items():
        if key not in curves:
            raise ValueError(f"Action {source.action.name}: there is no curve {_name(key)}")
        _check(source, key, new, len(curves[key].keyframe_points))
    return _write_each(curves, values, known or {})


def replace_keys(
    source: Source,
    key: CurveKey,
    times: Array,
    values: Array,
    *,
    interpolation: str | Sequence[str] = "LINEAR",
    group: str = "",
) -> None:
    """Give a curve other keys, at other times; a missing curve is made.

    The curve keeps its modifiers, group, colour and extrapolation; a key at a time where there was one keeps type,
    handles, easing and selection. New keys have automatic handles.

    Args:
        source: action and slot.
        key: which curve.
        times: (K,) frames, rising.
        values: (K,).
        interpolation: Blender's name of one for all keys, or of K, one for each.
        group: name of the group of a curve that is made.

    Raises:
        ValueError: no key, arrays that do not fit each other, are not finite or not rising, an unknown interpolation.
    """
    count = len(times)
    if not count:
        raise ValueError(f"Action {source.action.name}, curve {_name(key)}: expected at least one key")
    _check(source, key, values, count)
    moments = np.asarray(times, np.float32)
    if not np.isfinite(moments).all() or (np.diff(moments) <= 0.0).any():
        raise ValueError(f"Action {source.action.name}, curve {_name(key)}: the times of keys must rise")
    modes = interpolation_numbers(f"Action {source.action.name}, curve {_name(key)}", interpolation, count)

    curve = _find(source, key) or _new_curve(source, key, group)
    points = curve.keyframe_points
    old_co = key_field(points, "co", np.float32, 2)
    here, there = same_times(moments, old_co[:, 0])
    kept, handles = {}, {}
    if len(here):
        kept = {name: key_field(points, name, kind)[there] for name, kind in KEY_FIELDS.items()}
        handles = {name: (key_field(points, name, np.float32, 2) - old_co)[there] for name in _HANDLES}

    points.clear()
    fresh = add_keys(points, count)
    co = np.column_stack([moments, np.asarray(values, np.float32)])
    points.foreach_set("co", co.ravel())
    points.foreach_set("interpolation", modes)
    for name, kind in KEY_FIELDS.items():
        if name == "interpolation":
            continue
        field = np.full(count, False if name.startswith("select") else fresh[name], kind)
        if name in kept:
            field[here] = kept[name]
        if (field != fresh[name]).any():
            points.foreach_set(name, field)
    for name, offsets in handles.items():
        moved = co.copy()
        moved[here] += offsets
        points.foreach_set(name, moved.ravel())
    curve.update()


def set_handles(source: Source, key: CurveKey, left: Array, right: Array) -> None:
    """Give the keys of a curve handles of their own, ALIGNED ones, and BEZIER interpolation.

    Args:
        source: action and slot.
        key: which curve.
        left: (K, 2) frame and value of each key's left handle.
        right: (K, 2) of its right handle, in line with the left one.

    Raises:
        ValueError: there is no such curve, or it has another number of keys.
    """
    curve = _curves_by_key(source).get(key)
    if curve is None:
        raise ValueError(f"Action {source.action.name}: there is no curve {_name(key)}")
    points = curve.keyframe_points
    for handles in (left, right):
        if np.shape(handles) != (len(points), 2):
            count = np.shape(handles)[0]
            raise ValueError(f"Action {source.action.name}, curve {_name(key)}: {len(points)} keys, {count} handles")
    aligned = bpy.types.Keyframe.bl_rna.properties["handle_left_type"].enum_items["ALIGNED"].value
    bezier = INTERPOLATION_VALUES[INTERPOLATIONS.index("BEZIER")]
    points.foreach_set("interpolation", np.full(len(points), bezier, np.uint8))
    for side, handles in (("left", left), ("right", right)):
        points.foreach_set(f"handle_{side}_type", np.full(len(points), aligned, np.uint8))
        points.foreach_set(f"handle_{side}", np.asarray(handles, np.float32).ravel())
    curve.update()


def evaluate(source: Source, key: CurveKey, frames: Array) -> Array:
    """Return a curve at frames (T,), whole or not, as Blender evaluates it, with its modifiers: (T,) float64.

    Raises:
        ValueError: there is no such curve.
    """
    curve = _find(source, key)
    if curve is None:
        raise ValueError(f"Action {source.action.name}: there is no curve {_name(key)}")
    # Blender's own precision of time.
    frames = np.asarray(frames, np.float32).astype(np.float64)
    points = curve.keyframe_points
    if len(points) and not any(not modifier.mute for modifier in curve.modifiers) and _is_float(key):
        co = key_field(points, "co", np.float32, 2).astype(np.float64)
        modes = INTERPOLATION_PLACES[key_field(points, "interpolation", np.uint8)]
        inside = not len(frames) or (co[0, 0] <= frames.min() and frames.max() <= co[-1, 0])
        if inside and (modes <= LINEAR).all() and (np.diff(co[:, 0]) > SAME_TIME).all():
            return straight(co[:, 0], co[:, 1], modes, frames)
    return np.fromiter(map(curve.evaluate, frames.tolist()), np.float64, len(frames))


def _is_float(key: CurveKey) -> bool:
    """Whether the property is surely not one of whole numbers, whose curves jump."""
    return key.path.rpartition(".")[2] in _FLOATS


def _read(curve: bpy.types.FCurve, groups: Mapping[str, bool], marks: bool, selection: bool, shared: Shared) -> Curve:
    points = curve.keyframe_points
    count = len(points)
    co = key_field(points, "co", np.float32, 2)
    modes = key_field(points, "interpolation", np.uint8)
    types = key_field(points, "type", np.uint8) if marks else np.zeros(count, np.uint8)
    chosen = key_field(points, "select_control_point", np.bool_) if selection else np.zeros(count, np.bool_)
    cycle, modified = _modifiers(curve)
    group = curve.group
    return Curve(
        path=curve.data_path,
        index=curve.array_index,
        times=shared("times", co[:, 0], lambda times: times.astype(np.float64)),
        values=co[:, 1].astype(np.float64),
        interpolation=shared("interpolation", modes, INTERPOLATION_PLACES.__getitem__),
        key_types=shared("type", types, KEY_TYPE_PLACES.__getitem__ if marks else np.asarray),
        selected=shared("selected", chosen, np.asarray),
        locked=curve.mute or curve.lock or (group is not None and groups[group.name]),
        cycle=cycle,
        modified=modified,
    )


def _modifiers(curve: bpy.types.FCurve) -> tuple[str, bool]:
    """The cycle of a curve, and whether other modifiers change what its keys say."""
    cycle, modified = "", False
    for modifier in curve.modifiers:
        if modifier.mute or not modifier.is_valid:
            continue
        if modifier.type != "CYCLES":
            modified = True
        elif not cycle:
            # A mirrored round ends where it began without being a cycle; one side alone is enough.
            cycle = _CYCLES.get(modifier.mode_after, "") or _CYCLES.get(modifier.mode_before, "")
    return cycle, modified


def _write_each(
    curves: Mapping[CurveKey, Any], values: Mapping[CurveKey, Array], known: Mapping[CurveKey, Curve]
) -> Iterator[float]:
    untold = last = None
    only_straight = False
    for done, (key, new) in enumerate(values.items(), start=1):
        curve, read = curves[key], known.get(key)
        points = curve.keyframe_points
        if read is None or len(read.times) != len(points):
            co = key_field(points, "co", np.float32, 2)
            before = co[:, 1].copy()
            modes = INTERPOLATION_PLACES[key_field(points, "interpolation", np.uint8)]
        else:
            co = np.empty((len(points), 2), np.float32)
            co[:, 0] = read.times
            before, modes = read.values, read.interpolation
        if modes is not last:
            last, only_straight = modes, bool((modes <= LINEAR).all())
        co[:, 1] = new
        # Mostly the first value tells.
        if len(co) and (co[0, 1] != before[0] or not np.array_equal(co[:, 1], before)):
            # Unlike ``co``, this moves the handles along.
            points.foreach_set("co_ui", co.ravel())
            if only_straight:
                untold = curve
            else:
                curve.update()
        yield done / len(values)
    if untold is not None:
        # Whoever plays the action hears of all its curves by one.
        untold.update()


def _curves_by_key(source: Source) -> dict[CurveKey, Any]:
    bag = holder(source)
    return {} if bag is None else {CurveKey(curve.data_path, curve.array_index): curve for curve in bag.fcurves}


def _find(source: Source, key: CurveKey) -> bpy.types.FCurve | None:
    bag = holder(source)
    return None if bag is None else bag.fcurves.find(key.path, index=key.index)


def _new_curve(source: Source, key: CurveKey, group: str) -> bpy.types.FCurve:
    bag = holder(source, make=True)
    curve = bag.fcurves.new(key.path, index=key.index)
    # As Blender colours the curves of keys that it inserts.
    four = key.path.endswith(("rotation_quaternion", "rotation_axis_angle"))
    curve.color_mode = "AUTO_YRGB" if four else "AUTO_RGB"
    if group:
        curve.group = bag.groups.get(group) or bag.groups.new(group)
    return curve


def _check(source: Source, key: CurveKey, values: Array, count: int) -> None:
    if np.shape(values) != (count,):
        shape = "x".join(str(size) for size in np.shape(values))
        raise ValueError(f"Action {source.action.name}, curve {_name(key)}: expected {count} values, got {shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"Action {source.action.name}, curve {_name(key)}: a value is not a finite number")


def _name(key: CurveKey) -> str:
    return f"{key.path}[{key.index}]"
