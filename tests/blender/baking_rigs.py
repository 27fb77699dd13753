"""Armatures with constraints for the tests of baking; needs bpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
import numpy as np

from blender_addon.animation.rotation_modes import channel_count, channel_name

FRAMES = np.arange(1.0, 21.0)


def armature(bones: dict[str, tuple[str, tuple[float, float, float], tuple[float, float, float]]]) -> Any:
    """Return an armature object of bones by name: parent, head and tail; those that touch their parent connect."""
    data = bpy.data.armatures.new("rig")
    obj = bpy.data.objects.new("rig", data)
    bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj
    obj.select_set(True)
    bpy.ops.object.mode_set(mode="EDIT")
    for name, (parent, head, tail) in bones.items():
        bone = data.edit_bones.new(name)
        bone.head, bone.tail, bone.roll = head, tail, 0.4
        if parent:
            bone.parent = data.edit_bones[parent]
            bone.use_connect = (bone.head - bone.parent.tail).length < 1e-6
    bpy.ops.object.mode_set(mode="OBJECT")
    return obj


def leg(mode: str = "QUATERNION") -> tuple[Any, Any]:
    """Return a leg with keys on every bone, whose shin reaches for a moving target with IK; and the target."""
    obj = armature(
        {
            "hip": ("", (0, 0, 2), (0, 0.3, 2.2)),
            "thigh": ("hip", (0.1, 0, 2), (0.1, 0.1, 1.1)),
            "shin": ("thigh", (0.1, 0.1, 1.1), (0.1, 0, 0.2)),
            "foot": ("shin", (0.1, 0, 0.2), (0.1, -0.2, 0)),
        }
    )
    for bone in obj.pose.bones:
        bone.rotation_mode = mode
    key_all(obj)
    target = empty("target")
    key(target, "location", lambda t: (0.1 + 0.3 * np.sin(t / 4), -0.5 * np.cos(t / 5), 0.6 + 0.2 * np.sin(t / 3)))
    constraint = obj.pose.bones["shin"].constraints.new("IK")
    constraint.target, constraint.chain_count = target, 2
    bpy.context.view_layer.update()
    return obj, target


def key_all(obj: Any, seed: int = 3) -> None:
    """Key rotations of all bones and the location of those without parent, smoothly."""
    rng = np.random.default_rng(seed)
    for bone in obj.pose.bones:
        phase = rng.uniform(0, 6, 4)
        count = channel_count(bone.rotation_mode)
        base = np.array([1.0, 0.2, 0.1, 0.3]) if count == 4 else np.zeros(3)
        key(
            bone,
            channel_name(bone.rotation_mode),
            lambda t, p=phase[:count], b=base: b + 0.3 * np.sin(t / 6 + p),
        )
        if bone.parent is None:
            key(bone, "location", lambda t, p=phase[:3]: 0.2 * np.sin(t / 7 + p))


def key(thing: Any, channel: str, values: Callable[[float], Any]) -> None:
    for frame in FRAMES:
        setattr(thing, channel, values(frame))
        thing.keyframe_insert(channel, frame=frame)


def empty(name: str) -> Any:
    obj = bpy.data.objects.new(name, None)
    bpy.context.scene.collection.objects.link(obj)
    return obj


def seen(obj: Any, frames: np.ndarray = FRAMES) -> np.ndarray:
    """Return the matrices (T, B, 4, 4) of all bones, as evaluated."""
    scene = bpy.context.scene
    found = np.empty((len(frames), len(obj.pose.bones), 4, 4))
    for t, frame in enumerate(frames.tolist()):
        scene.frame_set(int(np.floor(frame)), subframe=frame % 1)
        for b, bone in enumerate(obj.pose.bones):
            found[t, b] = bone.matrix
    return found


def run(steps: Any) -> Any:
    """Run a generator to its end and return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value
