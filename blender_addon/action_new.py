"""A new action for a datablock; part of the bridge with :mod:`.actions`, which knows slots."""

import bpy

from .actions import SLOTTED, Source


def new_source(id: bpy.types.ID, name: str) -> Source:
    """Return an empty action, with a slot for a datablock where Blender has slots; it is not assigned yet."""
    action = bpy.data.actions.new(name)
    return Source(action, action.slots.new(id.id_type, id.name) if SLOTTED else None)
