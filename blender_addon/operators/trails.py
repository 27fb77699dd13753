"""Motion trails on and off."""

import bpy

from ..seeing import trails
from ..seeing.trail_paths import paths_of, trail_bones


class SMOOTHNET_OT_trails(bpy.types.Operator):
    """Draw where the selected bones go, or hands, feet, head and hips: the original in orange, the refined in blue"""

    bl_idname = "smoothnet.trails"
    bl_label = "Motion Trails"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Tell what is missing."""
        if trails.is_on() or trails.drawn_objects(context):
            return True
        cls.poll_message_set("Select an armature, or another animated object")
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Turn on or off; what cannot be drawn is said here rather than by the drawing."""
        if trails.is_on():
            trails.turn_off()
        elif bpy.app.background:
            self.report({"ERROR"}, "Motion trails need a window: none is open")
            return {"CANCELLED"}
        else:
            objects = trails.drawn_objects(context)
            first = context.scene.frame_start
            try:
                found = [paths_of(o, trail_bones(o) if o.type == "ARMATURE" else [], first, first) for o in objects]
            except ValueError as error:
                self.report({"ERROR"}, str(error))
                return {"CANCELLED"}
            if not any(paths is not None for paths in found):
                self.report({"ERROR"}, "Nothing selected has keys: select an animated object")
                return {"CANCELLED"}
            trails.turn_on()
        for window in context.window_manager.windows:
            for area in window.screen.areas:
                if area.type == "VIEW_3D":
                    area.tag_redraw()
        return {"FINISHED"}


CLASSES = (SMOOTHNET_OT_trails,)
