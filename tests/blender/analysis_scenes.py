"""Animated objects for tests of what the animator sees."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def armature(name: str = "Hero", frames: int = 120, noise: float = 0.0, mode: str = "QUATERNION") -> Any:
    """An armature of three bones in a chain, Hips, Spine and Hand, that swings; the noise of Hand is in degrees."""
    import bpy

    data = bpy.data.armatures.new(name)
    obj = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(obj)
    select(obj)
    bpy.ops.object.mode_set(mode="EDIT")
    parent = None
    for place, bone_name in enumerate(("Hips", "Spine", "Hand")):
        bone = data.edit_bones.new(bone_name)
        bone.head, bone.tail, bone.parent = (0.1 * place, 0, place), (0.1 * place, 0, place + 1), parent
        parent = bone
    bpy.ops.object.mode_set(mode="OBJECT")
    rng = np.random.default_rng(0)
    for bone in obj.pose.bones:
        bone.rotation_mode = mode
        size = math.radians(noise) / math.sqrt(3) if bone.name == "Hand" else 0.0
        for frame in range(frames):
            angle = 0.5 * math.sin(frame / 15)
            euler = np.array([angle, 0.3 * angle, 0.0]) + rng.normal(scale=max(size, 1e-12), size=3)
            set_rotation(bone, euler)
            bone.keyframe_insert(channel(mode), frame=frame + 1)
    return obj


def channel(mode: str) -> str:
    """Blender's property of a rotation mode."""
    return "rotation_quaternion" if mode == "QUATERNION" else "rotation_euler"


def set_rotation(bone: Any, euler: np.ndarray) -> None:
    """Set a bone's rotation by Euler angles XYZ."""
    from mathutils import Euler

    if bone.rotation_mode == "QUATERNION":
        bone.rotation_quaternion = Euler(euler, "XYZ").to_quaternion()
    else:
        bone.rotation_euler = euler


def select(*objects: Any) -> None:
    """Select objects alone, the last one active."""
    import bpy

    for obj in bpy.context.scene.objects:
        obj.select_set(obj in objects)
    bpy.context.view_layer.objects.active = objects[-1]


def spike(obj: Any, bone: str, frame: int, radians: float = 1.2) -> None:
    """Turn one key of a bone far off."""
    one = obj.pose.bones[bone]
    set_rotation(one, np.array([radians, -radians, 0.3]))
    one.keyframe_insert(channel(one.rotation_mode), frame=frame)
