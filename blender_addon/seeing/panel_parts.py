"""What the sidebar shows of measures and trails; called by the panels."""

import textwrap

import bpy

from ..bridge.keyframes import active_source
from . import trails

_MOST_ROWS, _MOST_NAMES = 10, 8
# Share of a line that the name takes, in lists and where it is a label.
_NAME, _LABEL = 0.52, 0.4
# Width of a character and of what surrounds a text, in pixels of an interface at scale 1.
_CHARACTER, _MARGIN, _ICON = 6.5, 36, 20


class SMOOTHNET_UL_readings(bpy.types.UIList):
    """Bones, the most jittery first."""

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0, flt_flag=0):
        """Name, jitter, and how much there is to look at."""
        split = layout.split(factor=_NAME)
        split.label(text=item.name)
        right(split, f"{item.jitter:.2f}{item.unit}")
        right(split, str(item.spikes + item.gaps) if item.spikes or item.gaps else "–")


def draw_analysis(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Draw the button, the list and the way through the markers."""
    view = context.scene.smoothnet_view
    row = layout.row(align=True)
    row.operator("smoothnet.analyze", icon="VIEWZOOM")
    row.operator("smoothnet.clear_analysis", text="", icon="X")
    row = layout.row(align=True)
    row.prop(view, "color_bones", text="Colors", toggle=True, icon="COLOR")
    row.prop(view, "set_markers", text="Markers", toggle=True, icon="MARKER_HLT")
    obj = context.object
    analysis = obj.smoothnet_analysis if obj is not None else None
    if obj is not None and analysis is not None and analysis.action:
        column = layout.column(align=True)
        head = column.split(factor=_NAME)
        head.label(text="Bone" if obj.type == "ARMATURE" else "Channel")
        right(head, "Jitter")
        right(head, "Marks")
        rows = min(_MOST_ROWS, max(3, len(analysis.readings)))
        column.template_list(
            "SMOOTHNET_UL_readings", "", analysis, "readings", analysis, "active", rows=rows, maxrows=rows
        )
        if 0 <= analysis.active < len(analysis.readings):
            chosen_one = analysis.readings[analysis.active]
            column.label(text=f"{_count(chosen_one.spikes, 'Spike')}, {_count(chosen_one.gaps, 'Gap')}")
        if view.color_bones and obj.type == "ARMATURE" and obj.mode != "POSE":
            column.label(text="Colors show in Pose Mode", icon="INFO")
        source = active_source(obj)
        if source is not None and source.action.name not in analysis.action:
            write(column, f"Of {analysis.action}", context, icon="INFO")
        if analysis.note:
            write(column, analysis.note, context, icon="INFO")
    marks = len(context.scene.smoothnet_view.marks)
    if marks:
        row = layout.row(align=True)
        row.operator("smoothnet.jump_marker", text="", icon="TRIA_LEFT").direction = "PREVIOUS"
        row.label(text=_count(marks, "Marker"))
        row.operator("smoothnet.jump_marker", text="", icon="TRIA_RIGHT").direction = "NEXT"


def draw_numbers(layout: bpy.types.UILayout, record: bpy.types.PropertyGroup) -> None:
    """Draw what a refinement did."""
    if not record.has_numbers:
        return
    rows = [
        ("Jitter", f"{record.jitter_before:.2f}° → {record.jitter_after:.2f}°"),
        ("Speed Kept", f"{record.speed_kept:.0%}"),
        ("Change", f"Up to {record.largest_change:.1f}°"),
    ]
    if record.largest_bone:
        rows += [("", record.largest_bone), ("", f"Frame {record.largest_frame:g}")]
    if record.slide_before >= 0.0:
        rows.append(("Foot Slide", f"{record.slide_before:.0f} → {record.slide_after:.0f} mm/s"))
    column = layout.column(align=True)
    column.scale_y = 0.85
    for name, text in rows:
        split = column.split(factor=_LABEL)
        right(split, name)
        split.label(text=text)


def draw_left_alone(layout: bpy.types.UILayout, context: bpy.types.Context, skipped: str) -> None:
    """Draw each reason for which something was left alone, and names."""
    reasons: dict[str, dict[str, None]] = {}
    for line in skipped.split("\n"):
        # Names of bones may hold colons, reasons do not.
        owner, _, reason = line.rpartition(": ")
        reasons.setdefault(reason, {})[owner] = None
    for reason, owners in reasons.items():
        column = layout.column(align=True)
        write(column, f"{reason[:1].upper()}{reason[1:]}: {len(owners)}", context)
        for owner in list(owners)[:_MOST_NAMES]:
            write(column, owner, context, icon="DOT")
        if len(owners) > _MOST_NAMES:
            write(column, f"{len(owners) - _MOST_NAMES} more", context, icon="BLANK1")


def draw_trails(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Draw the switch, and what is shown."""
    view = context.scene.smoothnet_view
    on = trails.is_on()
    layout.operator("smoothnet.trails", icon="CURVE_PATH", depress=on)
    if trails.problem() and not on:
        write(layout, trails.problem(), context, icon="ERROR")
    column = layout.column()
    column.active = on
    column.row().prop(view, "trail_range", expand=True)
    if view.trail_range == "AROUND":
        column.prop(view, "trail_frames", text="± Frames")
    row = column.row(align=True)
    row.prop(view, "trail_points", toggle=True)
    row.prop(view, "trail_original", toggle=True)


def write(layout: bpy.types.UILayout, text: str, context: bpy.types.Context, icon: str = "NONE") -> None:
    """Draw a text on as many lines as the sidebar's width asks for."""
    width = context.region.width / context.preferences.system.ui_scale - _MARGIN - (_ICON if icon != "NONE" else 0)
    column = layout.column(align=True)
    for number, line in enumerate(textwrap.wrap(text, max(12, int(width / _CHARACTER)))):
        column.label(text=line, icon=icon if number == 0 else "BLANK1" if icon != "NONE" else "NONE")


def right(layout: bpy.types.UILayout, text: str) -> None:
    """Draw a text at the right end."""
    cell = layout.row()
    cell.alignment = "RIGHT"
    cell.label(text=text)


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


CLASSES = (SMOOTHNET_UL_readings,)
