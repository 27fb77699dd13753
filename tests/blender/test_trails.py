"""Motion trails: where joints go, as Blender itself says, and that drawing never stays behind or fails twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.blender.analysis_scenes import armature, select

bpy = pytest.importorskip("bpy", reason="needs the bpy module")


@pytest.fixture
def drawing() -> Any:
    """The module of trails, turned off afterwards."""
    from blender_addon.seeing import trails

    yield trails
    trails.turn_off()


def _heads(obj: Any, bones: list[str], frames: range) -> np.ndarray:
    """Blender's own evaluation (T, N, 3): heads, of Hand the tail, in the scene."""
    found = []
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        poses = [obj.pose.bones[name] for name in bones]
        found.append([obj.matrix_world @ (bone.tail if bone.name == "Hand" else bone.head) for bone in poses])
    return np.array(found)


@pytest.mark.parametrize("mode", ["QUATERNION", "ZXY"])
def test_trails_are_where_blender_puts_the_bones(scene: Any, mode: str) -> None:
    """All frames, all rotation modes, an armature that stands askew."""
    from blender_addon.seeing.trail_paths import paths_of

    obj = armature(mode=mode, frames=40, noise=3.0)
    obj.location, obj.rotation_euler, obj.scale = (1, 2, 3), (0.3, 0.2, 0.1), (1.5, 1.5, 1.5)
    bpy.context.view_layer.update()
    bones = ["Spine", "Hand"]
    paths = paths_of(obj, bones, 1, 40)
    assert paths is not None
    assert paths.after is None
    assert not paths.moving
    own = np.array(obj.matrix_world)
    world = paths.before @ own[:3, :3].T + own[:3, 3]
    np.testing.assert_allclose(world, _heads(obj, bones, range(1, 41)), atol=2e-5)
    assert paths.keyed.all()


def test_sparse_keys_and_a_moving_object_are_followed(scene: Any) -> None:
    """Bezier curves between few keys are as Blender evaluates them, and the object's own motion counts."""
    from blender_addon.seeing.trail_paths import paths_of

    obj = armature(frames=0)
    bone = obj.pose.bones["Spine"]
    for frame, angle in ((1, 0.0), (11, 1.0), (40, -0.5)):
        bone.rotation_mode = "XYZ"
        bone.rotation_euler = (angle, 0, angle / 2)
        bone.keyframe_insert("rotation_euler", frame=frame)
        obj.location = (angle, frame / 10, 0)
        obj.rotation_euler = (0, 0, angle)
        obj.keyframe_insert("location", frame=frame)
        obj.keyframe_insert("rotation_euler", frame=frame)
    paths = paths_of(obj, ["Hand"], 1, 40)
    assert paths is not None
    assert paths.moving
    np.testing.assert_allclose(paths.before, _heads(obj, ["Hand"], range(1, 41)), atol=2e-5)
    spine = paths_of(obj, ["Spine"], 1, 40)
    assert spine is not None
    assert np.flatnonzero(spine.keyed[:, 0]).tolist() == [0, 10, 39]


def test_empties_have_trails_and_objects_without_keys_none(scene: Any) -> None:
    """The trail of an object is that of its origin, its parent's place included."""
    from blender_addon.seeing.trail_paths import paths_of

    parent, empty = (bpy.data.objects.new(name, None) for name in ("Parent", "Solve"))
    for obj in (parent, empty):
        scene.collection.objects.link(obj)
    parent.location = (5, 0, 0)
    empty.parent = parent
    assert paths_of(empty, [], 1, 10) is None
    for frame in range(1, 11):
        empty.location = (0, frame, 0)
        empty.keyframe_insert("location", frame=frame)
    bpy.context.view_layer.update()
    paths = paths_of(empty, [], 1, 10)
    assert paths is not None
    np.testing.assert_allclose(paths.before[:, 0], [(5, frame, 0) for frame in range(1, 11)], atol=1e-5)


def test_before_and_after_are_the_original_and_the_refined_take(scene: Any) -> None:
    """Whichever of the two is shown."""
    from blender_addon import results
    from blender_addon.bridge import keyframes
    from blender_addon.seeing.trail_paths import paths_of

    obj = armature(frames=30)
    source = keyframes.active_source(obj)
    original = _heads(obj, ["Hand"], range(1, 31))
    refined = keyframes.duplicate(source, "refined")
    keyframes.write_values(
        refined, {c.key: np.roll(c.values, 3) for c in keyframes.read_curves(refined) if "Spine" in c.path}
    )
    results.link(results.Pair(source.action, refined.action), [], b"-")
    for shown in (source, refined):
        keyframes.assign(obj, shown)
        paths = paths_of(obj, ["Hand"], 1, 30)
        assert paths is not None
        assert paths.after is not None
        np.testing.assert_allclose(paths.before, original, atol=2e-5)
        assert np.abs(paths.after - paths.before).max() > 0.05
    np.testing.assert_allclose(paths.after, _heads(obj, ["Hand"], range(1, 31)), atol=2e-5)


def test_selected_bones_are_drawn_and_else_those_that_tell_most(scene: Any) -> None:
    """Hands, feet, head and hips, by the names of common rigs."""
    from blender_addon.seeing.bone_colors import select_bone
    from blender_addon.seeing.trail_paths import trail_bones

    obj = armature(frames=2)
    bpy.ops.object.mode_set(mode="POSE")
    select_bone(obj, "Spine")
    assert trail_bones(obj) == ["Spine"]
    bpy.ops.object.mode_set(mode="EDIT")
    bones = obj.data.edit_bones
    names = {"Head": "Spine", "LeftArm": "Spine", "LeftForeArm": "LeftArm", "LeftHand": "LeftForeArm"}
    names |= {"LeftUpLeg": "Hips", "LeftLeg": "LeftUpLeg", "LeftFoot": "LeftLeg", "LeftToeBase": "LeftFoot"}
    bones.remove(bones["Hand"])
    for place, (name, parent) in enumerate(names.items()):
        bone = bones.new(name)
        bone.head, bone.tail, bone.parent = (place, 0, 2), (place, 0, 3), bones[parent]
    bpy.ops.object.mode_set(mode="OBJECT")
    assert trail_bones(obj) == ["LeftHand", "LeftFoot", "Head", "Hips"]


def test_paths_are_kept_until_keys_change(scene: Any, drawing: Any) -> None:
    """Another frame or range around it computes nothing."""
    from blender_addon.bridge import keyframes

    obj = armature(frames=60)
    scene.frame_start, scene.frame_end = 1, 60
    drawing.turn_on()
    first = drawing.current_paths(obj, scene)
    scene.frame_set(30)
    assert drawing.current_paths(obj, scene) is first
    scene.smoothnet_view.trail_frames = 5
    assert drawing.shown_rows(first, scene) == slice(24, 35)
    scene.smoothnet_view.trail_range = "ALL"
    assert drawing.shown_rows(first, scene) == slice(0, 60)
    obj.pose.bones["Spine"].keyframe_insert("location", frame=20)
    bpy.context.view_layer.update()
    assert drawing.current_paths(obj, scene) is not first
    for curve in keyframes.read_curves(keyframes.active_source(obj)):
        second = drawing.current_paths(obj, scene)
        keyframes.write_values(keyframes.active_source(obj), {curve.key: curve.values + 0.1})
        bpy.context.view_layer.update()
        assert np.abs(drawing.current_paths(obj, scene).before - second.before).max() > 1e-3
    scene.frame_end = 50
    assert len(drawing.current_paths(obj, scene).frames) == 50


def test_nothing_stays_behind(scene: Any, drawing: Any, tmp_path: Any) -> None:
    """After off, after loading a file, after unregistering."""

    def ours() -> int:
        lists = (getattr(bpy.app.handlers, name) for name in drawing._FOLLOWED)
        return sum(handler in drawing._FOLLOWED.values() for handlers in lists for handler in handlers)

    armature(frames=5)
    for end in (
        drawing.turn_off,
        lambda: bpy.ops.wm.read_factory_settings(use_empty=True),
        drawing.unregister,
    ):
        drawing.turn_on()
        drawing.turn_on()
        assert drawing.is_on()
        assert ours() == len(drawing._FOLLOWED)
        end()
        assert not drawing.is_on()
        assert not ours()
        assert not drawing._paths


def test_a_failure_while_drawing_is_said_once(scene: Any, drawing: Any, monkeypatch: Any) -> None:
    """Then nothing is drawn any more, until it is turned on again."""
    calls = []

    def fail(context: Any) -> None:
        calls.append(1)
        raise RuntimeError("no context")

    monkeypatch.setattr(drawing, "_draw_all", fail)
    drawing.turn_on()
    drawing._draw()
    assert calls == [1]
    assert not drawing.is_on()
    assert drawing.problem() == "Trails are off: no context"
    drawing.turn_on()
    assert drawing.problem() == ""


def test_without_a_window_there_is_a_message(scene: Any, drawing: Any) -> None:
    """And nothing is turned on."""
    obj = armature(frames=5)
    select(obj)
    with pytest.raises(RuntimeError, match="Motion trails need a window: none is open"):
        bpy.ops.smoothnet.trails()
    assert not drawing.is_on()
