"""Who plays an action, and an action's slots by name: the part of the bridge that swaps one action for another."""

from __future__ import annotations

import bpy

from .actions import SLOTTED, Source, animated, clips, source_of_user


def slot_identifier(source: Source) -> str:
    """Return what a source's slot is called in its action; empty without slots."""
    return source.slot.identifier if source.slot is not None else ""


def identity(source: Source) -> tuple[int, str]:
    """Return what tells sources apart."""
    return source.action.session_uid, slot_identifier(source)


def sources_of(action: bpy.types.Action) -> list[Source]:
    """Return all slots of an action as sources."""
    return [Source(action, slot) for slot in action.slots] if SLOTTED else [Source(action)]


def source_of(action: bpy.types.Action, identifier: str) -> Source:
    """Return the source of a slot by its identifier.

    Raises:
        ValueError: the action has no such slot.
    """
    for source in sources_of(action):
        # A refinement that was stored before there were slots names none.
        if identifier in ("", slot_identifier(source)):
            return source
    raise ValueError(f"action {action.name!r}: expected slot {identifier!r}, received none of that name")


def target_type(source: Source) -> str:
    """Return the type of datablock that a source is for: ``OBJECT``, ``KEY``, ...; ``UNSPECIFIED`` for none yet."""
    return source.slot.target_id_type if source.slot is not None else source.action.id_root


def counterpart(source: Source, action: bpy.types.Action) -> Source:
    """Return the slot of another action that answers to a source's.

    Raises:
        ValueError: the action has no such slot.
    """
    return source_of(action, slot_identifier(source))


def players(action: bpy.types.Action) -> list[tuple[bpy.types.ID, bpy.types.NlaStrip | None, Source]]:
    """Return all that plays an action: datablock, NLA strip (None: directly), and source; muted strips too."""
    found = []
    for id_ in animated():
        data = id_.animation_data
        strips = [strip for track in data.nla_tracks for strip in clips(track.strips, muted=True)]
        for strip in (None, *strips):
            source = source_of_user(data if strip is None else strip)
            if source is not None and source.action == action:
                found.append((id_, strip, source))
    return found


def sources_played(id_: bpy.types.ID) -> list[Source]:
    """Return all sources that a datablock plays, directly and in NLA strips."""
    data = getattr(id_, "animation_data", None)
    if data is None:
        return []
    users = [data, *(strip for track in data.nla_tracks for strip in clips(track.strips, muted=True))]
    return [source for user in users if (source := source_of_user(user)) is not None]


def to_action_time(frame: float, strip: bpy.types.NlaStrip | None) -> float:
    """Return the frame of the action that an NLA strip plays at a frame of the scene; without a strip the same."""
    if strip is None:
        return frame
    into = (frame - strip.frame_start) / strip.scale
    return strip.action_frame_end - into if strip.use_reverse else strip.action_frame_start + into
