"""Which action and slot animates what, in every Blender: without slots (4.2), with slots, and without legacy F-curves.

Together with :mod:`.action_copy` the ground of :mod:`.keyframes`, which offers all of it to the rest of the extension.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import bpy
import numpy as np

# What a key has besides its position and its handles' positions, and how it is read: names of choices as Blender keeps
# them, in one byte, since it converts any other array key by key, which takes ten times as long.
KEY_FIELDS: dict[str, type] = {
    "interpolation": np.uint8,
    "type": np.uint8,
    "handle_left_type": np.uint8,
    "handle_right_type": np.uint8,
    "easing": np.uint8,
    "back": np.float32,
    "amplitude": np.float32,
    "period": np.float32,
    "select_control_point": np.bool_,
    "select_left_handle": np.bool_,
    "select_right_handle": np.bool_,
}
# Slots came with Blender 4.4.
SLOTTED = "slots" in bpy.types.Action.bl_rna.properties


class Source(NamedTuple):
    """Where F-curves are.

    Attributes:
        action: the action.
        slot: its slot; None where Blender has no slots.
    """

    action: bpy.types.Action
    slot: Any = None


def holder(source: Source, *, make: bool = False) -> Any:
    """Return what has the ``fcurves`` and ``groups`` of a source: a channelbag, or the action itself without slots.

    Args:
        source: action and slot.
        make: make layer, strip and channelbag where they are missing; otherwise the result is None there.
    """
    action, slot = source
    if not SLOTTED:
        return action
    for layer in action.layers:
        for strip in layer.strips:
            if bag := strip.channelbag(slot):
                return bag
    if not make:
        return None
    layer = action.layers[0] if action.layers else action.layers.new("Layer")
    strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True)


def active_source(id: bpy.types.ID) -> Source | None:
    """Return what animates a datablock now (in NLA tweak mode: the strip's); None without action or slot."""
    return source_of_user(getattr(id, "animation_data", None))


def nla_sources(id: bpy.types.ID) -> list[tuple[bpy.types.NlaStrip, Source]]:
    """Return the strips that can be heard, in unmuted tracks (the solo one, if any), each with its source.

    Strips inside of meta strips count; a strip's ``scale`` is how many scene frames a frame of its action lasts.
    """
    data = getattr(id, "animation_data", None)
    if data is None:
        return []
    solo = [track for track in data.nla_tracks if track.is_solo]
    tracks = solo or [track for track in data.nla_tracks if not track.mute]
    strips = (strip for track in tracks for strip in clips(track.strips))
    return [(strip, source) for strip in strips if (source := source_of_user(strip)) is not None]


def acts(source: Source, path: str) -> bool:
    """Return whether a source has a curve for a property that is no array, neither muted nor locked."""
    bag = holder(source)
    curve = None if bag is None else bag.fcurves.find(path)
    return curve is not None and not (
        curve.mute or curve.lock or (curve.group is not None and (curve.group.mute or curve.group.lock))
    )


def assign(id: bpy.types.ID, source: Source, strip: bpy.types.NlaStrip | None = None) -> None:
    """Let a source animate a datablock (object, shape keys, ...), or let an NLA strip of it play the source.

    The strip keeps its place, range, scale and repeats.

    Raises:
        ValueError: the datablock is in NLA tweak mode, where Blender holds its action fast.
    """
    check_assignable(id)
    data = id.animation_data or id.animation_data_create()
    if isinstance(id, bpy.types.Object) and id.type == "ARMATURE" and id.pose is None:
        # Blender since 4.4 crashes on an armature that was never evaluated; this makes its pose.
        id.data = id.data
    user = data if strip is None else strip
    user.action = source.action
    if SLOTTED:
        user.action_slot = source.slot


def check_assignable(id: bpy.types.ID) -> None:
    """Raise where :func:`assign` would.

    Raises:
        ValueError: the datablock is in NLA tweak mode, where Blender holds its action fast.
    """
    data = id.animation_data
    if data is not None and data.use_tweak_mode:
        raise ValueError(_tweaked(id))


def animated() -> Iterator[bpy.types.ID]:
    """Yield all datablocks of the file that have animation data.

    Not by ``bpy.data.user_map``, which crashes Blender 5.0 where pointers of add-ons lead from action to action.
    """
    for prop in bpy.data.bl_rna.properties:
        # Blender 5.2 lists all of them once more.
        if prop.type == "COLLECTION" and prop.identifier != "all_ids":
            for id_ in getattr(bpy.data, prop.identifier):
                if getattr(id_, "animation_data", None) is not None:
                    yield id_


def users(source: Source) -> list[bpy.types.ID]:
    """Return the datablocks that a source animates, directly or in an NLA strip, by type and name."""
    mine = [id for id in animated() if source in _sources_of(id.animation_data)]
    return sorted(mine, key=lambda id: (id.id_type, id.name_full))


def editable_problem(id: bpy.types.ID) -> str:
    """Return why the animation of a datablock cannot be changed, in a sentence for the user; ``""`` if it can."""
    name = label(id)
    if id.library is not None:
        return f"{name} is linked from {_file(id.library)}: make it local first"
    if id.override_library is not None:
        reference = id.override_library.reference
        where = f" of {_file(reference.library)}" if reference is not None and reference.library else ""
        return f"{name} is a library override{where}: make it local first"
    data = id.animation_data
    if data is not None and data.use_tweak_mode:
        return _tweaked(id)
    active = active_source(id)
    sources = [active] if active else [source for _, source in nla_sources(id)]
    for action, _ in sources:
        if action.library is not None:
            lower = name[0].lower() + name[1:]
            return f'Action "{action.name}" of {lower} is linked from {_file(action.library)}: make it local first'
    if sources:
        return ""
    if data is not None and data.action is not None:
        return f'{name} uses no slot of its action "{data.action.name}": choose one in the action editor'
    return f"{name} has no action: nothing animates it"


def label(id: bpy.types.ID) -> str:
    """Return how a datablock is called in messages, e.g. ``Armature "Hero"``."""
    if isinstance(id, bpy.types.Object):
        kind = id.type.replace("_", " ").capitalize()
    else:
        kind = "Shape keys" if isinstance(id, bpy.types.Key) else id.bl_rna.name
    return f'{kind} "{id.name}"'


def key_field(points: Any, name: str, kind: type, width: int = 1) -> np.ndarray:
    """Return one property of all keys, (K,) or (K, width)."""
    values = np.empty(len(points) * width, kind)
    points.foreach_get(name, values)
    return values.reshape(-1, width) if width > 1 else values


def add_keys(points: Any, count: int) -> dict[str, Any]:
    """Give a curve without keys new ones, all alike; return what they have of ``KEY_FIELDS``."""
    points.add(1)
    alike = {name: key_field(points, name, kind)[0] for name, kind in KEY_FIELDS.items()}
    points.add(count - 1)
    return alike


def is_cyclic(source: Source) -> bool:
    """Return whether the action is marked as a cycle (manual frame range, cyclic animation)."""
    return source.action.use_frame_range and source.action.use_cyclic


def keep(source: Source) -> None:
    """Keep an action in the file, also when nothing uses it."""
    source.action.use_fake_user = True


def make(id: bpy.types.ID, name: str) -> Source:
    """Return a new action without keys, with a slot for a datablock, which does not play it yet."""
    action = bpy.data.actions.new(name)
    return Source(action, action.slots.new(id_type=id.id_type, name=id.name) if SLOTTED else None)


def remove(source: Source) -> None:
    """Remove a whole action from the file; what it animated is animated by nothing then."""
    bpy.data.actions.remove(source.action)


def source_of_user(user: Any) -> Source | None:
    """Return the source of animation data or of an NLA strip."""
    if user is None or user.action is None:
        return None
    if not SLOTTED:
        return Source(user.action)
    return None if user.action_slot is None else Source(user.action, user.action_slot)


def _sources_of(data: Any) -> Iterator[Source]:
    """All of them, heard or not."""
    if data is None:
        return
    strips = (strip for track in data.nla_tracks for strip in clips(track.strips, muted=True))
    for user in (data, *strips):
        if source := source_of_user(user):
            yield source


def clips(strips: Any, *, muted: bool = False) -> Iterator[bpy.types.NlaStrip]:
    """Yield the strips that play actions, those inside of meta strips too, and on request muted ones."""
    for strip in strips:
        if strip.mute and not muted:
            continue
        if strip.type == "META":
            yield from clips(strip.strips, muted=muted)
        elif strip.type == "CLIP":
            yield strip


def _tweaked(id: bpy.types.ID) -> str:
    return f"{label(id)} is in NLA tweak mode: leave it first (Tab in the NLA editor)"


def _file(library: bpy.types.Library) -> str:
    return bpy.path.basename(library.filepath)
