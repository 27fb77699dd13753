"""Bones coloured by how much they jitter, their own colours kept and given back; bones selected by name."""

import math
from typing import Any

import bpy

# Blue, pale, red: told apart by colour-blind eyes too. From the set of M. Okabe and K. Ito, "Color universal design"
# (2008): blue and vermillion, as Blender shows colours of bones, gamma-corrected.
_RAMP = ((0.0, 0.447, 0.698), (0.91, 0.89, 0.78), (0.835, 0.369, 0.0))
# Degrees at which the ramp begins and ends; in between it goes with the logarithm.
CALM, JITTERY = 0.1, 3.0


def ramp(degrees: float) -> tuple[float, float, float]:
    """Return the colour of a jitter in degrees."""
    share = math.log(max(degrees, 1e-6) / CALM) / math.log(JITTERY / CALM)
    place = min(max(share, 0.0), 1.0) * (len(_RAMP) - 1)
    low = min(int(place), len(_RAMP) - 2)
    rest = place - low
    red, green, blue = ((1 - rest) * a + rest * b for a, b in zip(_RAMP[low], _RAMP[low + 1], strict=True))
    return red, green, blue


def color_bone(bone: bpy.types.PoseBone, degrees: float) -> None:
    """Colour a bone; its own colours are kept, those from before an earlier analysis where it has them."""
    kept, color = bone.smoothnet_color, bone.color
    if not kept.is_set:
        kept.palette = color.palette
        for name in ("normal", "select", "active"):
            setattr(kept, name, getattr(color.custom, name))
        kept.is_set = True
    normal = ramp(degrees)
    color.palette = "CUSTOM"
    color.custom.normal = normal
    color.custom.select = tuple(0.6 + 0.4 * part for part in normal)
    color.custom.active = tuple(0.8 + 0.2 * part for part in normal)
    # As Blender holds it, in steps of 1/255.
    kept.given = color.custom.normal


def restore_colors(obj: bpy.types.Object) -> None:
    """Give all bones of an armature their own colours back, but for those coloured anew since."""
    for bone in obj.pose.bones if obj.pose else ():
        kept = bone.smoothnet_color
        if not kept.is_set:
            continue
        ours = max(abs(a - b) for a, b in zip(bone.color.custom.normal, kept.given, strict=True)) < 1e-3
        if ours and bone.color.palette == "CUSTOM":
            for name in ("normal", "select", "active"):
                setattr(bone.color.custom, name, getattr(kept, name))
            bone.color.palette = kept.palette
        kept.is_set = False


def select_bone(obj: bpy.types.Object, name: str) -> None:
    """Make a bone the only selected and the active one, as a click on it does."""
    if obj.type != "ARMATURE" or obj.mode == "EDIT" or name not in obj.data.bones:
        return
    # From Blender 5.0 the selection is that of the pose.
    on_pose = "select" in bpy.types.PoseBone.bl_rna.properties
    bones: Any = obj.pose.bones if on_pose else obj.data.bones
    for bone in bones:
        bone.select = bone.name == name
    obj.data.bones.active = obj.data.bones[name]
