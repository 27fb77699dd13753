"""Armatures as read from Blender, and poses computed from channels against those that Blender evaluates."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import shared

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from blender_addon import armatures  # noqa: E402
from blender_addon.curves import Curve, bone_path  # noqa: E402
from blender_addon.pose_channels import linear_sampler, rotation_channel, sample_pose  # noqa: E402
from blender_addon.posing import INHERIT_SCALE, world_ends, world_rotations  # noqa: E402

MODES = ("QUATERNION", "AXIS_ANGLE", "XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX")


def make_armature(
    bones: list[tuple[str, str, tuple[float, float, float], tuple[float, float, float]]], name: str = "rig"
) -> Any:
    """Return an armature object of bones given by name, parent, head and tail."""
    obj = bpy.data.objects.new(name, bpy.data.armatures.new(name))
    bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj
    obj.select_set(True)
    bpy.ops.object.mode_set(mode="EDIT")
    for bone, parent, head, tail in bones:
        new = obj.data.edit_bones.new(bone)
        new.head, new.tail = head, tail
        if parent:
            new.parent = obj.data.edit_bones[parent]
    bpy.ops.object.mode_set(mode="OBJECT")
    return obj


def random_armature(rng: np.random.Generator, count: int) -> Any:
    """Return an armature whose bones have every way to follow their parents, at random, and the object turned."""
    obj = make_armature([])
    bpy.ops.object.mode_set(mode="EDIT")
    made: list[Any] = []
    for k in range(count):
        bone = obj.data.edit_bones.new(f"bone {k}")
        parent = made[rng.integers(max(0, k - 6), k)] if k and rng.random() > 0.1 else None
        start = np.array(parent.tail) if parent else rng.normal(size=3)
        connected = parent is not None and rng.random() < 0.3
        bone.head = start if connected else start + rng.normal(size=3) * 0.3
        bone.tail = np.array(bone.head) + rng.normal(size=3) * 0.3
        bone.roll = rng.uniform(-3, 3)
        bone.parent = parent
        bone.use_connect = connected
        bone.use_inherit_rotation = rng.random() < 0.7
        bone.use_local_location = rng.random() < 0.7
        bone.inherit_scale = str(rng.choice(INHERIT_SCALE))
        made.append(bone)
    bpy.ops.object.mode_set(mode="OBJECT")
    obj.location, obj.rotation_euler, obj.scale = rng.normal(size=3), rng.uniform(-3, 3, 3), rng.uniform(0.5, 1.5, 3)
    return obj


def pose_at_random(rng: np.random.Generator, obj: Any, *, scaled: bool) -> None:
    """Set all channels of all bones at random, in all rotation modes."""
    for bone in obj.pose.bones:
        bone.rotation_mode = str(rng.choice(MODES))
        setattr(bone, rotation_channel(bone.rotation_mode), rng.uniform(-2, 2, 4 if len(bone.rotation_mode) > 3 else 3))
        bone.location = rng.normal(size=3) * 0.2
        if scaled:
            bone.scale = rng.uniform(0.6, 1.5, 3) * rng.choice([1, 1, 1, -1], 3)


def computed(obj: Any) -> tuple[Any, Any, Any]:
    """Return heads, tails (B, 3) and rotations (B, 3, 3) from the channels."""
    rig = armatures.read_rig(obj)
    pose = sample_pose(rig.names, armatures.rest_channels(obj), lambda key: None, 1)
    heads, tails = world_ends(rig, *pose)
    return heads[0], tails[0], world_rotations(rig, *pose)[0]


def evaluated(obj: Any) -> tuple[Any, Any]:
    """Return heads and tails (B, 3) as Blender evaluates them."""
    bpy.context.view_layer.update()
    ready = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    names = armatures.read_rig(obj).names
    world = ready.matrix_world
    return tuple(np.array([world @ getattr(ready.pose.bones[n], end) for n in names]) for end in ("head", "tail"))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("scaled", [False, True])
def test_heads_and_tails_are_those_that_blender_evaluates(scene: Any, seed: int, scaled: bool) -> None:
    rng = np.random.default_rng(seed)
    obj = random_armature(rng, 25)
    bpy.context.view_layer.update()
    pose_at_random(rng, obj, scaled=scaled)
    expected = evaluated(obj)
    heads, tails, _ = computed(obj)
    size = max(1.0, abs(expected[0]).max())
    np.testing.assert_allclose(heads / size, expected[0] / size, atol=1e-5)
    np.testing.assert_allclose(tails / size, expected[1] / size, atol=1e-5)
