"""Copies of actions: at once, or curve by curve, since Blender copies millions of keys in one long breath."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

import bpy
import numpy as np

from .actions import KEY_FIELDS, SLOTTED, Source, add_keys, key_field, users

# Up to so many keys a copy at once takes a tenth of a second; before Blender 5.0, one in pieces twenty times as long.
_AT_ONCE = 2_000_000
# What a curve, a group and an action have besides their keys, in the order in which it can be set.
_CURVE = ("extrapolation", "auto_smoothing", "color_mode", "color", "hide", "lock", "mute", "select")
_GROUP = ("select", "lock", "mute", "show_expanded", "show_expanded_graph", "use_pin", "color_set")
_ACTION = ("use_frame_range", "use_cyclic", "frame_start", "frame_end")
_POSITIONS = ("co", "handle_left", "handle_right")
# Blender 5.0 copies a curve by itself.
_COPIES_CURVES = hasattr(bpy.types, "ActionChannelbagFCurves") and (
    "new_from_fcurve" in bpy.types.ActionChannelbagFCurves.bl_rna.functions
)


def duplicate(source: Source, name: str) -> Source:
    """Return a local copy of an action, with everything in it, and in it the slot that matches the source's.

    Args:
        source: action and slot; the action may be linked.
        name: of the copy; Blender adds a number if it is taken.
    """
    action = source.action.copy()
    action.name = name
    if not SLOTTED:
        return Source(action)
    return Source(action, next(slot for slot in action.slots if slot.handle == source.slot.handle))


def duplicate_in_pieces(source: Source, name: str) -> Generator[float, None, Source]:
    """Do as :func:`duplicate`, a curve at a time where there are many keys; yields the share done.

    A generator that is closed before its end leaves no copy behind. What cannot be made curve by curve is copied at
    once: curves of baked samples before Blender 5.0, slots for an unknown type of datablock.
    """
    curves = [curve for bag in _bags(source.action) for curve in bag.fcurves]
    keys = sum(len(curve.keyframe_points) for curve in curves)
    sampled = not _COPIES_CURVES and any(len(curve.sampled_points) for curve in curves)
    untyped = SLOTTED and any(slot.target_id_type == "UNSPECIFIED" for slot in source.action.slots)
    if keys <= _AT_ONCE or sampled or untyped:
        return duplicate(source, name)
    old, new = source.action, bpy.data.actions.new(name)
    finished = False
    try:
        slot, pairs = _empty_copy(source, new)
        done = 0
        for old_bag, new_bag, animated in pairs:
            groups = _copy_groups(old_bag, new_bag)
            for curve in old_bag.fcurves:
                made = _copy_curve(curve, new_bag, animated)
                if curve.group is not None:
                    made.group = groups[curve.group.name]
                done += 1
                yield done / len(curves)
        _copy_rest(old, new)
        finished = True
    finally:
        if not finished:
            bpy.data.actions.remove(new)
    return Source(new, slot)


def _bags(action: bpy.types.Action) -> list[Any]:
    """What has curves: the channelbags, or the action itself without slots."""
    if not SLOTTED:
        return [action]
    return [bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags]


def _empty_copy(source: Source, new: bpy.types.Action) -> tuple[Any, list[tuple[Any, Any, list[bpy.types.ID]]]]:
    """Make slots, layers, strips and bags; return the slot of the source, and old bag, new bag, who is animated."""
    old = source.action
    if not SLOTTED:
        new.id_root = old.id_root
        return None, [(old, new, users(source))]
    slots = {slot.handle: new.slots.new(slot.target_id_type, slot.name_display) for slot in old.slots}
    pairs = []
    for old_layer in old.layers:
        new_layer = new.layers.new(old_layer.name)
        for old_strip in old_layer.strips:
            new_strip = new_layer.strips.new(type=old_strip.type)
            for bag in old_strip.channelbags:
                new_bag = new_strip.channelbag(slots[bag.slot_handle], ensure=True)
                pairs.append((bag, new_bag, users(Source(old, bag.slot))))
    return slots[source.slot.handle], pairs


def _copy_groups(old: Any, new: Any) -> dict[str, Any]:
    """The new groups by name, since Blender looks through all for each."""
    groups = {group.name: new.groups.new(group.name) for group in old.groups}
    for group in old.groups:
        made = groups[group.name]
        _set_all(group, made, _GROUP)
        if group.color_set == "CUSTOM":
            _set_all(group.colors, made.colors, ("normal", "select", "active"))
    return groups


def _copy_curve(old: bpy.types.FCurve, bag: Any, animated: list[bpy.types.ID]) -> bpy.types.FCurve:
    if _COPIES_CURVES:
        return bag.fcurves.new_from_fcurve(old)
    new = bag.fcurves.new(old.data_path, index=old.array_index)
    _set_all(old, new, _CURVE)
    _copy_keys(old.keyframe_points, new.keyframe_points)
    for modifier in old.modifiers:
        _copy_modifier(modifier, new.modifiers.new(modifier.type))
    for modifier, copy in zip(old.modifiers, new.modifiers, strict=True):
        # Whatever is assigned makes it the active one.
        if modifier.active:
            copy.active = True
    if animated and _resolves(animated[0], old.data_path):
        # Whether it is a curve of whole numbers.
        new.update_autoflags(animated[0])
    return new


def _resolves(id: bpy.types.ID, path: str) -> bool:
    try:
        id.path_resolve(path, False)
    except ValueError:
        return False
    return True


def _copy_keys(old: Any, new: Any) -> None:
    if not len(old):
        return
    fresh = add_keys(new, len(old))
    for name in _POSITIONS:
        new.foreach_set(name, key_field(old, name, np.float32, 2).ravel())
    for name, kind in KEY_FIELDS.items():
        values = key_field(old, name, kind)
        # Most are what they are in new keys; setting takes as long as reading.
        if (values != fresh[name]).any():
            new.foreach_set(name, values)


def _copy_modifier(old: bpy.types.FModifier, new: bpy.types.FModifier) -> None:
    if old.type == "ENVELOPE":
        for point in old.control_points:
            new.control_points.add(point.frame)
        # At once: when one point's number is set, Blender takes the point for a modifier, and may crash.
        for name in ("min", "max"):
            numbers = np.empty(len(old.control_points), np.float32)
            old.control_points.foreach_get(name, numbers)
            new.control_points.foreach_set(name, numbers)
    # Those which others depend on stand first in Blender's own order; coefficients come last, after their number.
    names = [prop.identifier for prop in old.bl_rna.properties if not prop.is_readonly]
    _set_all(old, new, [name for name in names if name not in ("coefficients", "active")])
    if old.type == "GENERATOR":
        new.coefficients = old.coefficients


def _copy_rest(old: bpy.types.Action, new: bpy.types.Action) -> None:
    _set_all(old, new, _ACTION)
    for marker in old.pose_markers:
        new.pose_markers.new(marker.name).frame = marker.frame
    _copy_properties(old, new)
    if hasattr(old, "bl_system_properties_get") and (defined := old.bl_system_properties_get()):
        _copy_properties(defined, new.bl_system_properties_get(do_create=True))
    if SLOTTED and old.slots.active is not None:
        new.slots.active = new.slots[list(old.slots).index(old.slots.active)]


def _copy_properties(old: Any, new: Any) -> None:
    """Custom properties, and up to Blender 4.5 those which extensions define."""
    for name, value in old.items():
        new[name] = value.to_dict() if hasattr(value, "to_dict") else value


def _set_all(old: Any, new: Any, names: Iterable[str]) -> None:
    for name in names:
        setattr(new, name, getattr(old, name))
