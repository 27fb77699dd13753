"""Settings in the scene, what is remembered on a refined action, and the part a bone was given by hand."""

import bpy
from bpy.props import (
    BoolProperty,
    EnumProperty,
    FloatProperty,
    PointerProperty,
    StringProperty,
)

from . import callbacks
from .animation.curves import KEY_TYPES

PART_NAMES = {
    "ROOT": ("Root", "Hips and what carries the whole body"),
    "SPINE": ("Spine", "Spine, chest and shoulders' base"),
    "HEAD": ("Head", "Neck, head and face"),
    "ARMS": ("Arms", "Shoulders to wrists"),
    "HANDS": ("Hands", "Hands and fingers"),
    "LEGS": ("Legs", "Thighs to toes"),
    "OTHER": ("Other", "Whatever else is animated"),
}
MODELS = (
    ("default", "Default", "The best result for the jitter of video capture"),
    ("fast", "Fast", "Nearly as good at a sixteenth of the arithmetic, for very long takes"),
    ("deglitch", "Deglitch", "Takes out single wrong values and leaves good ones nearly as they are"),
    ("FILE", "File…", "Weights that you trained yourself"),
)
_TYPE_NAMES = {
    "KEYFRAME": "Keyframe",
    "BREAKDOWN": "Breakdown",
    "MOVING_HOLD": "Moving Hold",
    "EXTREME": "Extreme",
    "JITTER": "Jitter",
    "GENERATED": "Generated",
}


# Each run of an operator starts from the scene's settings, not from what the last run had.
_OWN = {"SKIP_SAVE"}


def _strength(name: str, text: str) -> FloatProperty:
    return FloatProperty(name=name, description=text, default=1.0, min=0.0, max=1.0, subtype="FACTOR", options=_OWN)


class RefineSettings:
    """What Refine can be told; mixed into the scene's settings and into the operators."""

    channels: EnumProperty(
        name="Refine",
        description="What of the take is refined",
        items=(
            ("BOTH", "Both", "Rotations, and the location of roots and objects"),
            ("ROTATION", "Rotation", "Rotations alone"),
            ("LOCATION", "Location", "The location of roots and objects alone"),
        ),
        default="BOTH",
        options=_OWN,
    )
    all_locations: BoolProperty(
        name="All Locations",
        description="Refine the location of every bone, not of roots alone, as rigs for faces need it",
        options=_OWN,
    )
    bones: EnumProperty(
        name="Bones",
        description="Which bones of the selected armatures are refined",
        items=(("ALL", "All", "All bones"), ("SELECTED", "Selected", "Selected bones alone")),
        default="ALL",
        options=_OWN,
    )
    frames: EnumProperty(
        name="Range",
        description="Which frames may change; at its ends the change fades out",
        items=(
            ("ALL", "Whole Take", "All keys of the action"),
            ("SCENE", "Scene", "From the scene's start to its end"),
            ("PREVIEW", "Preview", "The preview range of the timeline"),
        ),
        default="ALL",
        options=_OWN,
    )
    model: EnumProperty(
        name="Model", description="The network that refines", items=MODELS, default="default", options=_OWN
    )
    model_file: StringProperty(
        name="File",
        description="Weights made by smoothnet train, or a published checkpoint",
        subtype="FILE_PATH",
        options=_OWN,
    )
    strength: _strength("Strength", "Where the blend between the original and the refined take starts")
    strength_root: _strength("Root", "Strength for the root, times the overall one")
    strength_spine: _strength("Spine", "Strength for the spine, times the overall one")
    strength_head: _strength("Head", "Strength for neck, head and face, times the overall one")
    strength_arms: _strength("Arms", "Strength for the arms, times the overall one")
    strength_hands: _strength("Hands", "Strength for hands and fingers, times the overall one")
    strength_legs: _strength("Legs", "Strength for the legs, times the overall one")
    strength_other: _strength("Other", "Strength for everything else, times the overall one")
    repair_spikes: BoolProperty(
        name="Repair Spikes",
        description="Single values far off are replaced by what their neighbours say",
        default=True,
        options=_OWN,
    )
    fill_gaps: BoolProperty(
        name="Fill Gaps",
        description="Add the missing keys of an otherwise densely keyed curve",
        default=True,
        options=_OWN,
    )
    longest_gap: FloatProperty(
        name="Longest Gap",
        description="Longer gaps stay as they are",
        default=1.0,
        min=0.0,
        soft_max=5.0,
        subtype="TIME_ABSOLUTE",
        unit="TIME_ABSOLUTE",
        options=_OWN,
    )
    steady_slow: BoolProperty(
        name="Steady Video Errors",
        description="Slow turns are smoothed further where errors come in bursts, as those of video capture do",
        default=True,
        options=_OWN,
    )
    protect_fast: BoolProperty(
        name="Protect Fast Motion",
        description="Fast turns keep their height where the noise of the take is even, or where there is hardly any",
        default=True,
        options=_OWN,
    )
    keep_feet: BoolProperty(
        name="Keep Feet", description="Feet that stand stay where they stand; legs give way", options=_OWN
    )
    marked: EnumProperty(
        name="Keep Keys",
        description="Keys of these types stay exactly as they are",
        items=tuple((name, _TYPE_NAMES[name], f"{_TYPE_NAMES[name]} keys", 1 << i) for i, name in enumerate(KEY_TYPES)),
        options={"ENUM_FLAG", *_OWN},
        default={"EXTREME"},
    )
    keep_selected: BoolProperty(
        name="Keep Selected Keys",
        description="Keys selected in the editors stay exactly as they are",
        options=_OWN,
    )
    cyclic: EnumProperty(
        name="Cyclic",
        description="Whether the end of the clip goes over into its start without a seam",
        items=(
            ("AUTO", "Auto", "What repeats by its Cycles modifiers or its action's settings"),
            ("ON", "On", "The clip repeats"),
            ("OFF", "Off", "The clip does not repeat"),
        ),
        default="AUTO",
        options=_OWN,
    )
    bake_sparse: BoolProperty(
        name="Bake Sparse Curves",
        description="Give curves with fewer than 5 keys a second one on every frame; otherwise they are left alone",
        options=_OWN,
    )
    from_original: BoolProperty(
        name="Start from Original",
        description="Refine the original again, not what was already refined",
        default=True,
        options=_OWN,
    )


SETTINGS = tuple(RefineSettings.__annotations__)


class SMOOTHNET_PG_settings(RefineSettings, bpy.types.PropertyGroup):
    """The scene's settings, which the panel shows."""

    tolerance: FloatProperty(
        name="Tolerance",
        description="Keys are left out where rotations stay within this angle",
        default=0.2,
        min=0.0,
        soft_max=5.0,
        precision=2,
    )
    tolerance_location: FloatProperty(
        name="Location Tolerance",
        description="Keys are left out where locations stay within this distance",
        default=0.001,
        min=0.0,
        soft_max=0.1,
        precision=4,
        unit="LENGTH",
    )
    reduce_keys: BoolProperty(name="Reduce Keys", description="On Apply, leave out keys that are not needed")


def _blend(name: str, text: str) -> FloatProperty:
    return FloatProperty(
        name=name,
        description=text,
        default=1.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        update=callbacks.blend_changed,
    )


class SMOOTHNET_PG_record(bpy.types.PropertyGroup):
    """What is remembered on a refined action, besides its original (see :mod:`.results`)."""

    # No methods here: see :mod:`.callbacks`.

    had_fake_user: BoolProperty()
    blend: _blend("Blend", "From the original to the refined take")
    blend_root: _blend("Root", "Blend for the root, times the overall one")
    blend_spine: _blend("Spine", "Blend for the spine, times the overall one")
    blend_head: _blend("Head", "Blend for neck, head and face, times the overall one")
    blend_arms: _blend("Arms", "Blend for the arms, times the overall one")
    blend_hands: _blend("Hands", "Blend for hands and fingers, times the overall one")
    blend_legs: _blend("Legs", "Blend for the legs, times the overall one")
    blend_other: _blend("Other", "Blend for everything else, times the overall one")
    problem: StringProperty(name="Problem", description="Why the sliders do not act")
    skipped: StringProperty(name="Left Alone", description="What was not refined, and why, a line each")
    muted: StringProperty(name="Muted Constraints", description="Constraints muted by baking, a line each")
    # Kept in the file, as JSON; what follows reads it, or what is not yet in it.
    numbers: StringProperty()
    has_numbers: BoolProperty(get=callbacks.has_numbers)
    jitter_before: FloatProperty(
        name="Jitter Before", description="Of the original, in degrees", get=callbacks.jitter_before
    )
    jitter_after: FloatProperty(
        name="Jitter After", description="Of the refined take, in degrees", get=callbacks.jitter_after
    )
    speed_kept: FloatProperty(
        name="Speed Kept", description="Share of the motion's speed that is left", get=callbacks.speed_kept
    )
    largest_change: FloatProperty(
        name="Largest Change", description="Largest turn of a bone, in degrees", get=callbacks.largest_change
    )
    largest_bone: StringProperty(name="Bone", description="Where the largest change is", get=callbacks.largest_bone)
    largest_frame: FloatProperty(name="Frame", description="When the largest change is", get=callbacks.largest_frame)
    slide_before: FloatProperty(name="Foot Slide Before", description="In mm a second", get=callbacks.slide_before)
    slide_after: FloatProperty(name="Foot Slide After", description="In mm a second", get=callbacks.slide_after)


CLASSES = (SMOOTHNET_PG_settings, SMOOTHNET_PG_record)


def register() -> None:
    """Hang the groups onto Blender's types."""
    bpy.types.Scene.smoothnet = PointerProperty(type=SMOOTHNET_PG_settings)
    bpy.types.Action.smoothnet = PointerProperty(type=SMOOTHNET_PG_record)
    bpy.types.PoseBone.smoothnet_part = EnumProperty(
        name="Part",
        description="The part of the body that the bone belongs to",
        items=(("AUTO", "Auto", "As guessed from the names of the bones"), *((k, *v) for k, v in PART_NAMES.items())),
        default="AUTO",
    )


def unregister() -> None:
    """Take them back."""
    del bpy.types.PoseBone.smoothnet_part
    del bpy.types.Action.smoothnet
    del bpy.types.Scene.smoothnet
