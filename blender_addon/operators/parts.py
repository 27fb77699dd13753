"""Which part of the body a bone belongs to, where its name does not tell."""

import bpy
from bpy.props import EnumProperty

from ..bridge import armatures, keyframes
from ..properties import PART_NAMES


class SMOOTHNET_OT_set_part(bpy.types.Operator):
    """Put the selected bones into a part of the body"""

    bl_idname = "smoothnet.set_part"
    bl_label = "Put Bones into Part"
    bl_options = {"REGISTER", "UNDO"}

    part: EnumProperty(
        name="Part",
        description="The part that the selected bones belong to",
        items=(
            ("AUTO", "Auto", "As guessed from the names of the bones"),
            *((k, name, text) for k, (name, text) in PART_NAMES.items()),
        ),
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There must be selected bones that may change."""
        obj = context.active_object
        if obj is None or obj.type != "ARMATURE":
            cls.poll_message_set("Select an armature")
            return False
        if obj.library is not None:
            cls.poll_message_set(keyframes.editable_problem(obj))
            return False
        if not armatures.selected_bones(obj):
            cls.poll_message_set("Select bones of the armature")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Set the part of each."""
        obj = context.active_object
        bones = armatures.selected_bones(obj)
        for name in bones:
            if name in obj.pose.bones:
                obj.pose.bones[name].smoothnet_part = self.part
        self.report({"INFO"}, f"{len(bones)} bones: {PART_NAMES[self.part][0] if self.part != 'AUTO' else 'Auto'}")
        return {"FINISHED"}


CLASSES = (SMOOTHNET_OT_set_part,)
