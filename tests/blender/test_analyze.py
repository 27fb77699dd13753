"""Analyze: what it lists, colours and marks, that it changes no key, and that Clear leaves nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.blender.analysis_scenes import armature, select, spike

bpy = pytest.importorskip("bpy", reason="needs the bpy module")


def _readings(obj: Any) -> dict[str, tuple[float, int, int]]:
    return {r.name: (r.jitter, r.spikes, r.gaps) for r in obj.smoothnet_analysis.readings}


def _keys(action: Any) -> list[tuple[str, int, list[float]]]:
    from blender_addon.bridge import keyframes

    return [(c.path, c.index, c.values.tolist()) for c in keyframes.read_curves(keyframes.active_source(action))]


def _colors(obj: Any) -> list[Any]:
    return [(b.color.palette, tuple(b.color.custom.normal), tuple(b.color.custom.select)) for b in obj.pose.bones]


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ"])
def test_the_worst_bone_comes_first_and_no_key_changes(scene: Any, mode: str) -> None:
    """Jitter in degrees, as put in."""
    obj = armature(noise=2.0, mode=mode)
    before = _keys(obj)
    assert bpy.ops.smoothnet.analyze() == {"FINISHED"}
    assert next(r.name for r in obj.smoothnet_analysis.readings) == "Hand"
    found = _readings(obj)
    assert found["Hand"][0] == pytest.approx(2.0, rel=0.25)
    assert found["Hips"][0] < 0.05
    assert found["Spine"][0] < 0.05
    assert obj.smoothnet_analysis.action == obj.animation_data.action.name
    assert _keys(obj) == before


def test_spikes_and_gaps_become_markers_to_jump_to(scene: Any) -> None:
    """One marker for what is near in time, and the way through them."""
    obj = armature()
    spike(obj, "Hand", 40)
    spike(obj, "Spine", 42)
    spike(obj, "Hand", 90)
    for frame in range(60, 66):
        obj.pose.bones["Hips"].keyframe_delete("rotation_quaternion", frame=frame)
    scene.timeline_markers.new("Mine", frame=7)
    assert bpy.ops.smoothnet.analyze() == {"FINISHED"}
    assert _readings(obj)["Hand"][1:] == (2, 0)
    assert _readings(obj)["Hips"][1:] == (0, 1)
    ours = {"Spike Hand +1": 40, "Gap Hips": 60, "Spike Hand": 90}
    assert {m.name: m.frame for m in scene.timeline_markers} == {"Mine": 7, **ours}
    scene.frame_set(1)
    for frame in (40, 60, 90):
        assert bpy.ops.smoothnet.jump_marker(direction="NEXT") == {"FINISHED"}
        assert scene.frame_current == frame
    assert bpy.ops.smoothnet.jump_marker(direction="NEXT") == {"CANCELLED"}
    bpy.ops.smoothnet.jump_marker(direction="PREVIOUS")
    assert scene.frame_current == 60


def test_analyzing_again_replaces_and_clear_leaves_nothing(scene: Any) -> None:
    """Own colours and own markers stay."""
    obj = armature(noise=2.0)
    spike(obj, "Spine", 50)
    obj.pose.bones["Hand"].color.palette = "CUSTOM"
    obj.pose.bones["Hand"].color.custom.normal = (0.1, 0.2, 0.3)
    obj.pose.bones["Hips"].color.palette = "THEME03"
    scene.timeline_markers.new("Spike Spine", frame=3)
    before = _colors(obj)
    bpy.ops.smoothnet.analyze()
    first = _colors(obj)
    assert first != before
    assert all(palette == "CUSTOM" for palette, _, _ in first)
    bpy.ops.smoothnet.analyze()
    assert len(obj.smoothnet_analysis.readings) == 3
    assert len(scene.timeline_markers) == 2
    assert bpy.ops.smoothnet.clear_analysis() == {"FINISHED"}
    assert _colors(obj) == before
    assert [(m.name, m.frame) for m in scene.timeline_markers] == [("Spike Spine", 3)]
    assert not obj.smoothnet_analysis.readings
    assert not scene.smoothnet_view.marks
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.smoothnet.clear_analysis()


def test_colors_go_from_blue_to_red_and_a_users_new_color_stays(scene: Any) -> None:
    """Calm bones are bluer than red, jittery ones redder than blue."""
    obj = armature(noise=4.0)
    bpy.ops.smoothnet.analyze()
    calm, jittery = (obj.pose.bones[name].color.custom.normal for name in ("Hips", "Hand"))
    assert calm[2] > calm[0]
    assert jittery[0] > jittery[2]
    obj.pose.bones["Hips"].color.custom.normal = (0.5, 0.25, 0.125)
    obj.pose.bones["Hand"].name = "Paw"
    bpy.ops.smoothnet.clear_analysis()
    np.testing.assert_allclose(obj.pose.bones["Hips"].color.custom.normal, (0.5, 0.25, 0.125), atol=0.003)
    assert obj.pose.bones["Paw"].color.palette == "DEFAULT"


def test_colors_and_markers_can_be_left_out(scene: Any) -> None:
    """As set in the sidebar."""
    obj = armature()
    spike(obj, "Spine", 50)
    before = _colors(obj)
    scene.smoothnet_view.color_bones = scene.smoothnet_view.set_markers = False
    bpy.ops.smoothnet.analyze()
    assert _colors(obj) == before
    assert not scene.timeline_markers
    assert _readings(obj)["Spine"][1] == 1


def test_all_survives_saving_and_undo(scene: Any, tmp_path: Any) -> None:
    """And is cleared after loading as before."""
    obj = armature(noise=2.0)
    spike(obj, "Spine", 50)
    before = _colors(obj)
    bpy.ops.smoothnet.analyze()
    found, colors = _readings(obj), _colors(obj)
    path = str(tmp_path / "take.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    obj = bpy.data.objects["Hero"]
    assert _readings(obj) == found
    assert _colors(obj) == colors
    assert len(bpy.context.scene.timeline_markers) == 1
    bpy.ops.ed.undo_push(message="opened")
    bpy.ops.smoothnet.clear_analysis()
    bpy.ops.ed.undo_push(message="cleared")
    bpy.ops.ed.undo()
    obj = bpy.data.objects["Hero"]
    assert _readings(obj) == found
    assert len(bpy.context.scene.timeline_markers) == 1
    bpy.ops.smoothnet.clear_analysis()
    assert _colors(obj) == before
    assert not bpy.context.scene.timeline_markers


def test_a_click_in_the_list_selects_the_bone(scene: Any) -> None:
    """It is the only selected one, and active."""
    from blender_addon.bridge.armatures import selected_bones

    obj = armature(noise=2.0)
    bpy.ops.smoothnet.analyze()
    bpy.ops.object.mode_set(mode="POSE")
    names = [r.name for r in obj.smoothnet_analysis.readings]
    obj.smoothnet_analysis.active = names.index("Spine")
    assert selected_bones(obj) == ["Spine"]
    assert obj.data.bones.active.name == "Spine"
    obj.pose.bones["Spine"].name = "Back"
    obj.smoothnet_analysis.active = names.index("Hand")
    obj.smoothnet_analysis.active = names.index("Spine")
    assert selected_bones(obj) == ["Hand"]


def test_empties_and_shape_keys_are_measured_too(scene: Any) -> None:
    """Locations in mm, shape keys in percent."""
    empty = bpy.data.objects.new("Solve", None)
    mesh = bpy.data.meshes.new("Face")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    face = bpy.data.objects.new("Face", mesh)
    for obj in (empty, face):
        scene.collection.objects.link(obj)
    face.shape_key_add(name="Basis")
    smile = face.shape_key_add(name="Smile")
    rng = np.random.default_rng(0)
    for frame in range(90):
        empty.location = np.array([0.05 * frame, 0, 1]) + rng.normal(scale=0.01, size=3)
        empty.keyframe_insert("location", frame=frame)
        smile.value = 0.5 + 0.3 * np.sin(frame / 9) + rng.normal(scale=0.02)
        smile.keyframe_insert("value", frame=frame)
    select(empty, face)
    assert bpy.ops.smoothnet.analyze() == {"FINISHED"}
    one, other = empty.smoothnet_analysis.readings[0], face.smoothnet_analysis.readings[0]
    assert (one.name, one.kind, one.unit) == ("Location", "OBJECT", " mm")
    assert one.jitter == pytest.approx(10 * np.sqrt(3), rel=0.3)
    assert (other.name, other.kind, other.unit) == ("Smile", "SHAPE_KEY", " %")
    assert other.jitter == pytest.approx(2.0, rel=0.4)


def test_what_cannot_be_measured_is_said(scene: Any) -> None:
    """Nothing selected, nothing keyed, few keys, muted curves."""
    with pytest.raises(RuntimeError, match=r"Select an armature, or another animated object|poll"):
        bpy.ops.smoothnet.analyze()
    empty = bpy.data.objects.new("Still", None)
    scene.collection.objects.link(empty)
    select(empty)
    with pytest.raises(RuntimeError, match="Nothing selected has keys: select an animated object"):
        bpy.ops.smoothnet.analyze()
    obj = armature()
    bone = obj.pose.bones["Spine"]
    bone.location = (0, 0, 0)
    bone.keyframe_insert("location", frame=1)
    bone.location = (0, 0, 1)
    bone.keyframe_insert("location", frame=100)
    bpy.ops.smoothnet.analyze()
    assert obj.smoothnet_analysis.note == "Not measured: 1 with fewer than 5 keys a second"


def test_nla_strips_put_markers_where_the_scene_plays_them(scene: Any) -> None:
    """A strip at half speed, moved by 100 frames."""
    obj = armature()
    spike(obj, "Hand", 41)
    action = obj.animation_data.action
    strip = obj.animation_data.nla_tracks.new().strips.new("take", 101, action)
    obj.animation_data.action = None
    strip.scale = 2.0
    bpy.ops.smoothnet.analyze()
    expected = strip.frame_start + (41 - strip.action_frame_start) * 2
    assert {m.name: m.frame for m in scene.timeline_markers} == {"Spike Hand": round(expected)}
