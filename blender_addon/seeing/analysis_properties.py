"""What Analyze found, kept with the file and through undo; what markers it set; and how trails are shown."""

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from .. import callbacks

READING_KINDS = (
    ("BONE", "Bone", "A bone of an armature"),
    ("OBJECT", "Object", "The location or rotation of the object"),
    ("SHAPE_KEY", "Shape Key", "A shape key of the object's mesh"),
)


def reading_chosen(analysis: "SMOOTHNET_PG_analysis") -> None:
    """Select the bone of the row that was clicked."""
    from .bone_colors import select_bone

    if 0 <= analysis.active < len(analysis.readings) and analysis.readings[analysis.active].kind == "BONE":
        select_bone(analysis.id_data, analysis.readings[analysis.active].name)


class SMOOTHNET_PG_reading(bpy.types.PropertyGroup):
    """One line of the list; ``name`` is that of the bone or shape key."""

    kind: EnumProperty(items=READING_KINDS)
    jitter: FloatProperty(
        name="Jitter",
        description=(
            "How far the bone is, frame by frame, from a smooth path through the frames around it. "
            "Clean capture stays below 1°, most of it far below; video often jitters by 2° and more"
        ),
    )
    unit: StringProperty(description="Of the jitter")
    spikes: IntProperty(name="Spikes", description="Moments of up to a tenth of a second in which it is far off")
    gaps: IntProperty(name="Gaps", description="Stretches without keys, or held still while the others move")


class SMOOTHNET_PG_analysis(bpy.types.PropertyGroup):
    """What Analyze found on an object."""

    readings: CollectionProperty(type=SMOOTHNET_PG_reading)
    active: IntProperty(name="Bone", description="Click to select the bone", update=callbacks.reading_chosen)
    action: StringProperty(name="Action", description="What was analyzed")
    note: StringProperty(name="Note", description="What the list does not show")


class SMOOTHNET_PG_bone_color(bpy.types.PropertyGroup):
    """The colours that a bone had before Analyze, and the one it was given."""

    is_set: BoolProperty()
    palette: StringProperty()
    normal: FloatVectorProperty(subtype="COLOR_GAMMA")
    select: FloatVectorProperty(subtype="COLOR_GAMMA")
    active: FloatVectorProperty(subtype="COLOR_GAMMA")
    given: FloatVectorProperty(subtype="COLOR_GAMMA")


class SMOOTHNET_PG_mark(bpy.types.PropertyGroup):
    """A marker that Analyze set; ``name`` is the marker's."""

    frame: IntProperty()


class SMOOTHNET_PG_view(bpy.types.PropertyGroup):
    """Of a scene: markers of Analyze, and how trails are shown."""

    marks: CollectionProperty(type=SMOOTHNET_PG_mark)
    color_bones: BoolProperty(
        name="Color Bones", description="Color the bones from blue, calm, to red, jittery", default=True
    )
    set_markers: BoolProperty(name="Markers", description="Mark spikes and gaps in the timeline", default=True)
    trail_range: EnumProperty(
        name="Frames",
        description="Which frames of the trails are drawn",
        items=(
            ("AROUND", "Around", "Frames around the current one"),
            ("ALL", "All", "The whole range of the scene, or its preview range"),
        ),
        default="AROUND",
    )
    trail_frames: IntProperty(
        name="Around", description="Frames before and after the current one", default=30, min=1, soft_max=300, max=10000
    )
    trail_points: BoolProperty(name="Keys", description="Draw a point at each key", default=True)
    trail_original: BoolProperty(
        name="Original", description="Draw the trail of the original beside that of the refined take", default=True
    )


CLASSES = (
    SMOOTHNET_PG_reading,
    SMOOTHNET_PG_analysis,
    SMOOTHNET_PG_bone_color,
    SMOOTHNET_PG_mark,
    SMOOTHNET_PG_view,
)


def register() -> None:
    """Hang the groups onto Blender's types."""
    bpy.types.Object.smoothnet_analysis = PointerProperty(type=SMOOTHNET_PG_analysis)
    bpy.types.PoseBone.smoothnet_color = PointerProperty(type=SMOOTHNET_PG_bone_color)
    bpy.types.Scene.smoothnet_view = PointerProperty(type=SMOOTHNET_PG_view)


def unregister() -> None:
    """Take them back."""
    del bpy.types.Scene.smoothnet_view
    del bpy.types.PoseBone.smoothnet_color
    del bpy.types.Object.smoothnet_analysis
