"""Bake Pose to Keys and Revert Bake as the animator has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from blender_addon import baking
from blender_addon.animation.curves import CurveKey
from blender_addon.bridge import keyframes
from tests.blender.baking_rigs import FRAMES, armature, key_all, leg, run, seen


@pytest.fixture(autouse=True)
def operators(scene: Any) -> Iterator[None]:
    """The operators registered, also while the extension does not list them yet."""
    import blender_addon
    from blender_addon.operators import bake

    listed = "operators.bake" in blender_addon.MODULES
    if not listed:
        blender_addon._register(bake)
    yield
    if not listed:
        blender_addon._unregister(bake)


def test_baked_and_back(scene: Any) -> None:
    obj, _ = leg()
    scene.frame_start, scene.frame_end = 5, 10
    scene.frame_set(8)
    before = seen(obj)
    scene.frame_set(8)
    original = keyframes.active_source(obj).action
    assert bpy.ops.smoothnet.bake() == {"FINISHED"}
    new = obj.animation_data.action
    assert new != original
    assert new.name == original.name + "_baked"
    assert scene.frame_current == 8
    assert obj.pose.bones["shin"].constraints[0].mute
    assert original.use_fake_user
    np.testing.assert_allclose(seen(obj), before, atol=1e-4)
    curve = next(c for c in keyframes.read_curves(keyframes.active_source(obj)) if '"thigh"' in c.path)
    np.testing.assert_array_equal(curve.times, FRAMES)  # all keys, not the scene's range alone

    assert bpy.ops.smoothnet.unbake() == {"FINISHED"}
    assert obj.animation_data.action == original
    assert not original.use_fake_user
    assert not obj.pose.bones["shin"].constraints[0].mute
    assert all(action.name != original.name + "_baked" for action in bpy.data.actions)
    np.testing.assert_array_equal(seen(obj), before)


def test_the_record_is_in_the_file(scene: Any, tmp_path: Any) -> None:
    obj, _ = leg()
    before = seen(obj)
    bpy.ops.smoothnet.bake()
    path = str(tmp_path / "baked.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    obj = bpy.data.objects["rig"]
    assert obj.pose.bones["shin"].constraints[0].mute
    assert bpy.ops.smoothnet.unbake() == {"FINISHED"}
    assert not obj.pose.bones["shin"].constraints[0].mute
    np.testing.assert_allclose(seen(obj), before, atol=1e-6)


def test_the_scenes_range_alone(scene: Any) -> None:
    obj, _ = leg()
    scene.frame_start, scene.frame_end = 5, 10
    before = seen(obj)
    bpy.ops.smoothnet.bake(span="SCENE")
    np.testing.assert_allclose(seen(obj)[4:10], before[4:10], atol=1e-4)
    assert np.abs(seen(obj)[:4] - before[:4]).max() > 0.01


def test_selected_bones_bring_their_chain(scene: Any) -> None:
    obj, target = leg()
    hip = obj.pose.bones["hip"].constraints.new("COPY_LOCATION")
    hip.target, hip.influence = target, 0.3
    bpy.context.view_layer.update()
    before = seen(obj)
    holder = obj.pose.bones if "select" in bpy.types.PoseBone.bl_rna.properties else obj.data.bones
    for bone in holder:
        bone.select = bone.name == "thigh"
    bpy.ops.smoothnet.bake(only_selected=True)
    assert obj.pose.bones["shin"].constraints[0].mute
    assert not hip.mute
    np.testing.assert_allclose(seen(obj), before, atol=1e-4)


def test_two_armatures_or_none(scene: Any) -> None:
    """The second cannot be written: the first is as it was."""
    first, _ = leg()
    second, _ = leg()
    first.select_set(True)
    before = seen(first), seen(second)
    bpy.ops.smoothnet.bake()
    np.testing.assert_allclose(seen(first), before[0], atol=1e-4)
    np.testing.assert_allclose(seen(second), before[1], atol=1e-4)
    bpy.ops.smoothnet.unbake()
    names = sorted(action.name for action in bpy.data.actions)
    action = second.animation_data.action
    fcurves = action.fcurves if hasattr(action, "fcurves") else action.layers[0].strips[0].channelbags[0].fcurves
    next(c for c in fcurves if "thigh" in c.data_path).mute = True
    with pytest.raises(RuntimeError, match="is locked or muted"):
        bpy.ops.smoothnet.bake()
    assert sorted(action.name for action in bpy.data.actions) == names
    assert not first.pose.bones["shin"].constraints[0].mute
    assert not second.pose.bones["shin"].constraints[0].mute
    np.testing.assert_array_equal(seen(first), before[0])


def test_nothing_to_bake(scene: Any) -> None:
    obj = armature({"a": ("", (0, 0, 0), (0, 1, 0))})
    key_all(obj)
    with pytest.raises(RuntimeError, match="nothing to bake: no constraint, IK or driver moves a bone"):
        bpy.ops.smoothnet.bake()
    with pytest.raises(RuntimeError, match="No selected armature plays a baked action"):
        bpy.ops.smoothnet.unbake()
    obj.select_set(False)
    with pytest.raises(RuntimeError, match="Select an armature"):
        bpy.ops.smoothnet.bake()


def sparse_rig() -> tuple[Any, Any]:
    obj = armature({"a": ("", (0, 0, 0), (0, 1, 0)), "b": ("a", (0, 1, 0), (0, 2, 0))})
    for bone in obj.pose.bones:
        bone.rotation_mode = "XYZ"
    key_all(obj)
    source = keyframes.active_source(obj)
    path = 'pose.bones["b"].rotation_euler'
    for index in range(3):
        values = np.array([0.0, 1.0, 0.2]) * (index + 1)
        keyframes.replace_keys(
            source, CurveKey(path, index), np.array([1.0, 11.5, 60.5]), values, interpolation="BEZIER"
        )
    return obj, source


def test_sparse_curves_get_a_key_on_every_frame(scene: Any) -> None:
    obj, source = sparse_rig()
    curves = keyframes.read_curves(source)
    found = baking.sparse_curves(curves, 30.0)
    assert {curve.path for curve in found} == {'pose.bones["b"].rotation_euler'}
    frames = np.arange(1.0, 61.0)
    before = seen(obj, frames)
    samples = run(baking.bake_curves(source, found))
    assert all(sample.times.tolist() == [*range(1, 61), 60.5] for sample in samples.values())
    assert bpy.ops.smoothnet.bake(sparse=True) == {"FINISHED"}
    assert obj.animation_data.action != source.action
    np.testing.assert_allclose(seen(obj, frames), before, atol=1e-5)
    assert baking.sparse_curves(keyframes.read_curves(keyframes.active_source(obj)), 30.0) == []
    assert len(next(c for c in keyframes.read_curves(source) if '"b"' in c.path).times) == 3
    bpy.ops.smoothnet.unbake()
    assert obj.animation_data.action == source.action


def test_sparse_curves_and_constraints_in_one_action(scene: Any) -> None:
    obj, source = sparse_rig()
    obj.pose.bones["a"].constraints.new("LIMIT_ROTATION").use_limit_x = True
    bpy.context.view_layer.update()
    frames = np.arange(1.0, 61.0)
    before = seen(obj, frames)
    bpy.ops.smoothnet.bake(sparse=True)
    np.testing.assert_allclose(seen(obj, frames), before, atol=1e-4)
    assert len(bpy.data.actions) == 2
    bpy.ops.smoothnet.unbake()
    assert obj.animation_data.action == source.action
    np.testing.assert_array_equal(seen(obj, frames), before)
