"""The sidebar of the 3D view: settings, the button, and what came of it."""

import bpy

from . import results
from .baking import constrained_bones
from .operators.results import pairs_of, shows_refined
from .panel_parts import draw_analysis, draw_numbers, draw_trails
from .properties import PART_NAMES
from .takes import chosen

TAB = "SmoothNet"


class _Panel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = TAB


class SMOOTHNET_PT_refine(_Panel, bpy.types.Panel):
    """What is refined, and how much."""

    bl_label = "Refine"

    def draw(self, context: bpy.types.Context) -> None:
        """Settings first, then the button."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        settings = context.scene.smoothnet
        layout.prop(settings, "channels", text="Channels")
        layout.prop(settings, "bones")
        layout.prop(settings, "frames")
        layout.prop(settings, "model")
        if settings.model == "FILE":
            layout.prop(settings, "model_file")
        layout.prop(settings, "strength", slider=True)
        held = _held(context)
        if held:
            box = layout.box().column(align=True)
            box.label(text=f"Constraints move {held} bones", icon="INFO")
            box.operator("smoothnet.bake", text="Bake First", icon="KEYINGSET")
        row = layout.row()
        row.scale_y = 1.5
        row.operator("smoothnet.refine", text="Refine", icon="MOD_SMOOTH")
        if not _some_animated(context):
            layout.label(text="Select an animated object", icon="INFO")


class SMOOTHNET_PT_strengths(_Panel, bpy.types.Panel):
    """Strength of each part."""

    bl_label = "Strength per Part"
    bl_parent_id = "SMOOTHNET_PT_refine"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """One slider a part, and what puts bones into parts."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column(align=True)
        for part in PART_NAMES:
            column.prop(context.scene.smoothnet, f"strength_{part.lower()}", slider=True)
        layout.operator_menu_enum("smoothnet.set_part", "part", text="Put Bones into Part", icon="GROUP_BONE")


class SMOOTHNET_PT_repair(_Panel, bpy.types.Panel):
    """Errors that are more than jitter, and what must stay."""

    bl_label = "Repair and Keep"
    bl_parent_id = "SMOOTHNET_PT_refine"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Repairs, then what stays, then what is unusual."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        settings = context.scene.smoothnet
        column = layout.column(heading="Repair")
        column.prop(settings, "repair_spikes", text="Spikes")
        column.prop(settings, "fill_gaps", text="Gaps")
        row = column.row()
        row.active = settings.fill_gaps
        row.prop(settings, "longest_gap", text="Up To")
        column = layout.column(heading="Keep")
        column.prop(settings, "keep_feet", text="Standing Feet")
        column.prop(settings, "keep_selected", text="Selected Keys")
        column = layout.column()
        column.prop(settings, "marked", text="Key Types", expand=False)
        layout.prop(settings, "cyclic")
        column = layout.column(heading="Also")
        column.prop(settings, "all_locations")
        column.prop(settings, "bake_sparse", text="Sparse Curves")
        column.prop(settings, "from_original")


class SMOOTHNET_PT_result(_Panel, bpy.types.Panel):
    """The refined take beside its original."""

    bl_label = "Result"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Something selected was refined."""
        return bool(pairs_of(chosen(context)))

    def draw(self, context: bpy.types.Context) -> None:
        """What is shown, how it is blended, and how to go on."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        ids = chosen(context)
        pair = pairs_of(ids)[0]
        record = pair.refined.smoothnet
        refined = shows_refined(ids)
        shown = pair.refined if refined else pair.original
        layout.label(text=shown.name, icon="ACTION")
        text = "Show Original" if refined else "Show Refined"
        layout.operator("smoothnet.compare", text=text, icon="UV_SYNC_SELECT", depress=not refined)
        column = layout.column()
        column.active = refined
        column.prop(record, "blend", slider=True)
        if record.problem:
            layout.label(text=record.problem, icon="ERROR")
        draw_numbers(layout, context)
        row = layout.row(align=True)
        row.operator("smoothnet.apply", icon="CHECKMARK")
        row.operator("smoothnet.revert", icon="LOOP_BACK")
        settings = context.scene.smoothnet
        column = layout.column(heading="On Apply")
        column.prop(settings, "reduce_keys")
        if settings.reduce_keys:
            column.prop(settings, "tolerance", text="Angle")
            column.prop(settings, "tolerance_location", text="Location")


class SMOOTHNET_PT_blends(_Panel, bpy.types.Panel):
    """Blend of each part."""

    bl_label = "Blend per Part"
    bl_parent_id = "SMOOTHNET_PT_result"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """One slider a part that the take has."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        ids = chosen(context)
        pair = pairs_of(ids)[0]
        column = layout.column(align=True)
        column.active = shows_refined(ids)
        for part in results.parts_of(pair.refined):
            column.prop(pair.refined.smoothnet, f"blend_{part.lower()}", slider=True)


class SMOOTHNET_PT_left_alone(_Panel, bpy.types.Panel):
    """What was not refined, and why."""

    bl_label = "Left Alone"
    bl_parent_id = "SMOOTHNET_PT_result"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Something was left alone."""
        return bool(pairs_of(chosen(context))[0].refined.smoothnet.skipped)

    def draw(self, context: bpy.types.Context) -> None:
        """A line each."""
        column = self.layout.column(align=True)
        for line in pairs_of(chosen(context))[0].refined.smoothnet.skipped.split("\n"):
            column.label(text=line)


class SMOOTHNET_PT_analysis(_Panel, bpy.types.Panel):
    """Where a take is bad, before anything is changed."""

    bl_label = "Analyze"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Button, list, markers."""
        draw_analysis(self.layout, context)


class SMOOTHNET_PT_trails(_Panel, bpy.types.Panel):
    """Paths of joints, before and after."""

    bl_label = "Motion Trails"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """The switch, and what is shown."""
        draw_trails(self.layout, context)


def _some_animated(context: bpy.types.Context) -> bool:
    return bpy.ops.smoothnet.refine.poll()


def _held(context: bpy.types.Context) -> int:
    """Return how many bones of the active armature constraints move."""
    obj = context.active_object
    if obj is None or obj.type != "ARMATURE":
        return 0
    return len(constrained_bones(obj))


CLASSES = (
    SMOOTHNET_PT_refine,
    SMOOTHNET_PT_strengths,
    SMOOTHNET_PT_repair,
    SMOOTHNET_PT_result,
    SMOOTHNET_PT_blends,
    SMOOTHNET_PT_left_alone,
    SMOOTHNET_PT_analysis,
    SMOOTHNET_PT_trails,
)
