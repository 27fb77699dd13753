"""Takes through Blender's importers: BVH, FBX and glTF, refined; keys stay where they were, nothing else changes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.blender import refine_scenes as rs

# Blender's own importers and exporters leave files for Python to close, and do what newer NumPy warns of.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def _poses(obj: Any, frames: np.ndarray) -> dict[str, np.ndarray]:
    return {bone.name: rs.pose(obj, bone.name, frames) for bone in obj.pose.bones}


def _rest(action: Any) -> dict[Any, Any]:
    """All but the values: times, interpolation, types, groups, modifiers; scale altogether."""
    out = {}
    for c in rs.all_curves(action):
        fields = [rs.column(c)[:, 0].tobytes(), rs.column(c, "interpolation").tobytes(), rs.column(c, "type").tobytes()]
        group = c.group.name if c.group else ""
        scale = rs.column(c).tobytes() if c.data_path.endswith("scale") else b""
        out[c.data_path, c.array_index] = (fields, group, scale)
    return out


def _check(obj: Any, frames: np.ndarray, most: float = 6.0) -> None:
    """Refine, and compare poses, keys and what must not change."""
    rs.select(obj)
    original = obj.animation_data.action
    modes = [bone.rotation_mode for bone in obj.pose.bones]
    before, rest, keys = _poses(obj, frames), _rest(original), rs.keys_of(original)
    assert rs.refine() == {"FINISHED"}
    action = obj.animation_data.action
    assert action != original
    assert rs.keys_of(original) == keys
    assert _rest(action) == rest
    assert [bone.rotation_mode for bone in obj.pose.bones] == modes
    after = _poses(obj, frames)
    moving = [name for name in after if rs.degrees(before[name][:1], before[name]).max() > 1]
    assert len(moving) >= 3
    for name in moving:
        assert rs.roughness(after[name]) < 0.75 * rs.roughness(before[name]), name
        assert rs.degrees(after[name], before[name]).max() < most
    # In between the keys no bone leaps: an Euler flip would show here.
    halves = _poses(obj, np.arange(frames[2], frames[-3], 0.5))
    for name in moving:
        steps = rs.degrees(halves[name][1:], halves[name][:-1])
        assert steps.max() < 8, name


def _imported(path: Any, mode: str = "NATIVE") -> Any:
    bpy.ops.import_anim.bvh(filepath=str(path), rotate_mode=mode, global_scale=0.01)
    return bpy.context.object


@pytest.mark.parametrize("mode", ["NATIVE", "XYZ", "QUATERNION"])
@pytest.mark.parametrize("fps", [24, 30])
def test_bvh(scene: Any, tmp_path: Any, mode: str, fps: int) -> None:
    """Euler angles that wrap, and quaternions; scaled to the scene's rate, and not."""
    path = tmp_path / "take.bvh"
    rs.write_bvh(path)
    scene.render.fps = fps
    _check(_imported(path, mode), np.arange(1.0, 121.0))


def _exported(tmp_path: Any) -> Any:
    """An armature that moves a mesh, as exporters want it."""
    path = tmp_path / "take.bvh"
    rs.write_bvh(path)
    obj = _imported(path, "QUATERNION")
    mesh = bpy.data.meshes.new("Skin")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    skin = bpy.data.objects.new("Skin", mesh)
    bpy.context.scene.collection.objects.link(skin)
    skin.parent = obj
    skin.modifiers.new("Armature", "ARMATURE").object = obj
    skin.vertex_groups.new(name="Hips").add([0, 1, 2], 1.0, "ADD")
    bpy.context.scene.frame_end = 120
    return obj


def test_fbx(scene: Any, tmp_path: Any) -> None:
    """Location, rotation and scale on every frame, leaf bones."""
    _exported(tmp_path)
    path = str(tmp_path / "take.fbx")
    bpy.ops.export_scene.fbx(filepath=path, bake_anim_simplify_factor=0.0, bake_anim_use_nla_strips=False)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.fbx(filepath=path)
    obj = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    frames = rs.column(max(rs.curves(obj), key=lambda c: len(c.keyframe_points)))[:, 0]
    _check(obj, frames.astype(float))


EXPORT = """
import os, sys
import bpy
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
bpy.ops.export_scene.gltf(
    filepath=sys.argv[2], export_animation_mode="ACTIVE_ACTIONS", export_optimize_animation_size=False
)
os._exit(0)
"""


@pytest.mark.parametrize("fps", [24, 30])
def test_gltf(scene: Any, tmp_path: Any, fps: int) -> None:
    """Keys on fractional frames in a scene of another rate."""
    _exported(tmp_path)
    blend, path = str(tmp_path / "take.blend"), str(tmp_path / "take.glb")
    bpy.ops.wm.save_as_mainfile(filepath=blend, check_existing=False)
    # After an export the bpy module of Blender 4.2 crashes, and that of 4.5 hangs, when Python ends.
    command = [sys.executable, "-c", EXPORT, blend, path]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = fps
    bpy.ops.import_scene.gltf(filepath=path)
    obj = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    frames = rs.column(max(rs.curves(obj), key=lambda c: len(c.keyframe_points)))[:, 0]
    assert (np.abs(frames - np.rint(frames)) > 0.01).any() == (fps == 24)
    _check(obj, frames.astype(float))
