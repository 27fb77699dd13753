"""Takes through Blender's importers: BVH, FBX and glTF, refined; keys stay where they were, nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.blender import refine_scenes as rs

# Blender's importers leave files for Python to close.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

BONES = ("Hips", "Spine", "Head")


def _bvh(path: Any, frames: int = 120) -> None:
    """Write a BVH file whose joints turn about all axes, with noise."""
    lines = ["HIERARCHY"]
    for depth, name in enumerate(BONES):
        pad = "  " * depth
        place = (
            "6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
            if not depth
            else "3 Zrotation Xrotation Yrotation"
        )
        lines += [
            f"{pad}{'JOINT' if depth else 'ROOT'} {name}",
            f"{pad}{{",
            f"{pad}  OFFSET 0.0 {10.0 if depth else 0.0} 0.0",
            f"{pad}  CHANNELS {place}",
        ]
    lines += [
        "      End Site",
        "      {",
        "        OFFSET 0.0 10.0 0.0",
        "      }",
        *["  " * d + "}" for d in (2, 1, 0)],
    ]
    lines += ["MOTION", f"Frames: {frames}", "Frame Time: 0.0333333"]
    rng = np.random.default_rng(0)
    for t in range(frames):
        row = [0.5 * t, 90 + 2 * np.sin(t / 6), 0.0]
        # The hips turn on and on, so that the file's angles wrap.
        for bone in range(3):
            angles = [60 * np.sin(t / 14 + bone), 30 * np.cos(t / 17), 5.0 * t if not bone else 20 * np.sin(t / 9)]
            row += list((np.array(angles) + rng.normal(scale=0.8, size=3) + 180) % 360 - 180)
        lines.append(" ".join(f"{value:.4f}" for value in row))
    path.write_text("\n".join(lines) + "\n")


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
    _bvh(path)
    scene.render.fps = fps
    _check(_imported(path, mode), np.arange(1.0, 121.0))


def _exported(tmp_path: Any) -> Any:
    """An armature that moves a mesh, as exporters want it."""
    path = tmp_path / "take.bvh"
    _bvh(path)
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
    import addon_utils

    addon_utils.enable("io_scene_fbx")
    _exported(tmp_path)
    path = str(tmp_path / "take.fbx")
    bpy.ops.export_scene.fbx(filepath=path, bake_anim_simplify_factor=0.0, bake_anim_use_nla_strips=False)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    addon_utils.enable("io_scene_fbx")
    bpy.ops.import_scene.fbx(filepath=path)
    obj = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    frames = rs.column(max(rs.curves(obj), key=lambda c: len(c.keyframe_points)))[:, 0]
    _check(obj, frames.astype(float))


@pytest.mark.parametrize("fps", [24, 30])
def test_gltf(scene: Any, tmp_path: Any, fps: int) -> None:
    """Keys on fractional frames in a scene of another rate."""
    import addon_utils

    addon_utils.enable("io_scene_gltf2")
    _exported(tmp_path)
    path = str(tmp_path / "take.glb")
    bpy.ops.export_scene.gltf(
        filepath=path, export_animation_mode="ACTIVE_ACTIONS", export_optimize_animation_size=False
    )
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    addon_utils.enable("io_scene_gltf2")
    bpy.context.scene.render.fps = fps
    bpy.ops.import_scene.gltf(filepath=path)
    obj = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    frames = rs.column(max(rs.curves(obj), key=lambda c: len(c.keyframe_points)))[:, 0]
    assert (np.abs(frames - np.rint(frames)) > 0.01).any() == (fps == 24)
    _check(obj, frames.astype(float))
