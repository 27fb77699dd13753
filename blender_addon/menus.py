"""Entries in Blender's own menus, where animators look for smoothing; search (F3) finds what menus have."""

import bpy


def _draw(self: bpy.types.Menu, context: bpy.types.Context) -> None:
    self.layout.separator()
    self.layout.operator("smoothnet.refine", icon="MOD_SMOOTH")
    self.layout.operator("smoothnet.compare")


# Key menus of graph editor and dope sheet, and the animation menu of the 3D view, which pose mode has too.
_MENUS = ("GRAPH_MT_key", "DOPESHEET_MT_key", "VIEW3D_MT_object_animation")


def register() -> None:
    """Add the entries."""
    for name in _MENUS:
        getattr(bpy.types, name).append(_draw)


def unregister() -> None:
    """Remove them."""
    for name in _MENUS:
        getattr(bpy.types, name).remove(_draw)
