"""The sidebar of the 3D view: the button, its settings, and what came of it."""

import bpy

from . import jobs, results
from .armature_motion import RECORD
from .curves import KEY_TYPES
from .holds import constrained_bones
from .operators.results import pairs_of, shows_refined
from .panel_parts import draw_analysis, draw_left_alone, draw_numbers, draw_trails, right, write
from .properties import PART_NAMES
from .takes import chosen

TAB = "SmoothNet"

_ICONS = bpy.types.UILayout.bl_rna.functions["prop"].parameters["icon"].enum_items

# How many bones something else moves, as last seen: while the scene plays, every frame draws anew.
_seen_held: dict[int, int] = {}


class _Panel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = TAB


class SMOOTHNET_MT_more(bpy.types.Menu):
    """What else can be refined, and made of the pose."""

    bl_label = "More"

    def draw(self, context: bpy.types.Context) -> None:
        """Everything at once, then baking."""
        layout = self.layout
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("smoothnet.batch", text="Refine All in Scene", icon="SCENE_DATA").scope = "SCENE"
        layout.operator("smoothnet.batch", text="Refine All Actions in File", icon="FILE_BLEND").scope = "FILE"
        layout.separator()
        layout.operator("smoothnet.bake", icon="KEYINGSET")
        layout.operator("smoothnet.unbake", icon="LOOP_BACK")


class SMOOTHNET_PT_refine(_Panel, bpy.types.Panel):
    """What is refined, and how much."""

    bl_label = "Refine"

    def draw(self, context: bpy.types.Context) -> None:
        """The button, then its settings."""
        layout = self.layout
        step = jobs.running()
        if step is not None:
            layout.progress(factor=step.share, text=f"{step.text}  {step.share:.0%}")
            layout.label(text="ESC: Cancel")
            return
        row = layout.row(align=True)
        row.scale_y = 1.4
        row.operator("smoothnet.refine", text="Refine", icon="MOD_SMOOTH")
        row.menu("SMOOTHNET_MT_more", text="", icon="DOWNARROW_HLT")
        if not bpy.ops.smoothnet.refine.poll():
            layout.label(text="Select an animated object", icon="INFO")
            if not bpy.data.actions:
                layout.operator("smoothnet.import_motion", text="Import Motion", icon="IMPORT")
        _draw_baking(layout.column(align=True), context)
        settings = context.scene.smoothnet
        column = _split(layout).column()
        column.prop(settings, "channels", text="Channels")
        column.prop(settings, "bones")
        column.prop(settings, "frames")
        column.prop(settings, "model")
        if settings.model == "FILE":
            column.prop(settings, "model_file")
        column.prop(settings, "strength", slider=True)


class SMOOTHNET_PT_strengths(_Panel, bpy.types.Panel):
    """Strength of each part."""

    bl_label = "Strength per Part"
    bl_parent_id = "SMOOTHNET_PT_refine"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """One slider a part, and what puts bones into parts."""
        layout = _split(self.layout)
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
        layout = _split(self.layout)
        settings = context.scene.smoothnet
        column = layout.column(heading="Repair")
        column.prop(settings, "repair_spikes", text="Spikes")
        column.prop(settings, "steady_slow", text="Video Errors")
        column.prop(settings, "fill_gaps", text="Gaps")
        row = column.row()
        row.active = settings.fill_gaps
        row.prop(settings, "longest_gap", text="Up To")
        column = layout.column(heading="Keep")
        column.prop(settings, "protect_fast", text="Fast Motion")
        column.prop(settings, "keep_feet", text="Standing Feet")
        column.prop(settings, "keep_selected", text="Selected Keys")
        # Narrower than one below the other, and as the editors of keys draw them.
        split = self.layout.split(factor=0.4)
        split.use_property_split = False
        right(split, "Key Types")
        row = split.row(align=True)
        for name in KEY_TYPES:
            icon = f"KEYTYPE_{name}_VEC"
            row.prop_enum(settings, "marked", name, text="", icon=icon if icon in _ICONS else "KEYFRAME")
        layout.prop(settings, "cyclic")
        column = layout.column(heading="Also")
        column.prop(settings, "all_locations")
        column.prop(settings, "bake_sparse", text="Sparse Curves")
        layout.column(heading="Again").prop(settings, "from_original", text="From Original")


class SMOOTHNET_PT_result(_Panel, bpy.types.Panel):
    """The refined take beside its original."""

    bl_label = "Result"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Something selected was refined."""
        return bpy.ops.smoothnet.compare.poll() and jobs.running() is None

    def draw(self, context: bpy.types.Context) -> None:
        """What is shown, how it is blended, and how to go on."""
        layout = self.layout
        ids = chosen(context)
        pairs = pairs_of(ids)
        pair = pairs[0]
        record = pair.refined.smoothnet
        refined = shows_refined(ids)
        row = layout.row(align=True)
        row.operator("smoothnet.compare", text="Original", depress=not refined).take = "ORIGINAL"
        row.operator("smoothnet.compare", text="Refined", depress=refined).take = "REFINED"
        layout.label(text=(pair.refined if refined else pair.original).name, icon="ACTION")
        column = _split(layout).column()
        column.active = refined
        column.prop(record, "blend", slider=True)
        if len(pairs) > 1:
            text = f"Same for {len(pairs)} Takes"
            asked = layout.operator("smoothnet.set_blend", text=text)
            for name in ("", *PART_NAMES):
                setattr(asked, name.lower() or "blend", getattr(record, f"blend_{name.lower()}".rstrip("_")))
        if record.problem:
            write(layout, record.problem, context, icon="ERROR")
        draw_numbers(layout, record)
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
        ids = chosen(context)
        pair = pairs_of(ids)[0]
        column = _split(self.layout).column(align=True)
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
        pairs = pairs_of(chosen(context))
        return bool(pairs and pairs[0].refined.smoothnet.skipped)

    def draw(self, context: bpy.types.Context) -> None:
        """A reason, and what it holds for."""
        draw_left_alone(self.layout, context, pairs_of(chosen(context))[0].refined.smoothnet.skipped)


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


class SMOOTHNET_PT_files(_Panel, bpy.types.Panel):
    """Motion capture in and out."""

    bl_label = "Files"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Two buttons."""
        row = self.layout.row(align=True)
        row.operator("smoothnet.import_motion", text="Import", icon="IMPORT")
        row.operator("smoothnet.export_motion", text="Export", icon="EXPORT")


def _split(layout: bpy.types.UILayout) -> bpy.types.UILayout:
    layout.use_property_split = True
    layout.use_property_decorate = False
    return layout


def _draw_baking(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Offer to bake what constraints move, and to take that back."""
    held = _held(context)
    if held:
        layout.label(text=f"Constraints Move {held} {'Bone' if held == 1 else 'Bones'}", icon="CONSTRAINT_BONE")
        layout.operator("smoothnet.bake", text="Bake First", icon="KEYINGSET")
    elif bpy.ops.smoothnet.unbake.poll():
        layout.operator("smoothnet.unbake", icon="LOOP_BACK")


def _held(context: bpy.types.Context) -> int:
    """Return how many bones of the active armature constraints and drivers move."""
    obj = context.active_object
    # The bones between imported points only show them, and have nothing to refine.
    if obj is None or obj.type != "ARMATURE" or obj.pose is None or RECORD in obj:
        return 0
    if not context.screen.is_animation_playing or obj.session_uid not in _seen_held:
        _seen_held.clear()
        _seen_held[obj.session_uid] = len(constrained_bones(obj))
    return _seen_held[obj.session_uid]


CLASSES = (
    SMOOTHNET_MT_more,
    SMOOTHNET_PT_refine,
    SMOOTHNET_PT_strengths,
    SMOOTHNET_PT_repair,
    SMOOTHNET_PT_result,
    SMOOTHNET_PT_blends,
    SMOOTHNET_PT_left_alone,
    SMOOTHNET_PT_analysis,
    SMOOTHNET_PT_trails,
    SMOOTHNET_PT_files,
)
