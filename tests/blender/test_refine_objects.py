"""Refine beyond one armature: empties, shape keys, several objects, shared actions, slots, NLA, linked data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.blender import refine_scenes as rs

FRAMES = np.arange(1.0, 91.0)
HIPS = 'pose.bones["Hips"].rotation_quaternion'


def _object(name: str, data: Any = None) -> Any:
    obj = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(obj)
    return obj


def _face(name: str = "Face") -> Any:
    """A mesh of whose shape keys one is noisy between its ends, and one is held at zero."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    obj = _object(name, mesh)
    for block in ("Basis", "JawOpen", "Blink"):
        obj.shape_key_add(name=block)
    rng = np.random.default_rng(0)
    jaw = np.clip(0.5 + 0.6 * np.sin(FRAMES / 9) + rng.normal(scale=0.03, size=90), 0, 1)
    rs.key(mesh.shape_keys, 'key_blocks["JawOpen"].value', FRAMES, jaw)
    rs.key(mesh.shape_keys, 'key_blocks["Blink"].value', FRAMES, 0 * jaw)
    return obj


def _shake(obj: Any, mode: str) -> np.ndarray:
    noisy = rs.swing(FRAMES / 30, 1.0)
    obj.rotation_mode = mode
    channel, values = rs.channels(noisy, mode)
    rs.key(obj, channel, FRAMES, values)
    return noisy


@pytest.mark.parametrize("mode", rs.MODES)
@pytest.mark.parametrize("kind", ["empty", "camera"])
def test_objects_without_bones(scene: Any, kind: str, mode: str) -> None:
    """Empties and camera solves: rotation in every mode, and location."""
    obj = _object("Solve", bpy.data.cameras.new("Cam") if kind == "camera" else None)
    noisy = _shake(obj, mode)
    rng = np.random.default_rng(1)
    rs.key(obj, "location", FRAMES, np.sin(FRAMES / 12)[:, None] + rng.normal(scale=0.01, size=(90, 3)))
    rough = np.abs(np.diff(rs.values(obj, "location"), 2, axis=0)).mean()
    rs.select(obj)
    assert rs.refine() == {"FINISHED"}
    assert rs.roughness(rs.pose(obj, "", FRAMES)) < 0.4 * rs.roughness(noisy)
    assert np.abs(np.diff(rs.values(obj, "location"), 2, axis=0)).mean() < 0.5 * rough
    assert obj.rotation_mode == mode


def test_shape_keys_stay_within_their_sliders(scene: Any) -> None:
    """A mouth that opens to its end does not open beyond; what stands still is not touched."""
    obj = _face()
    keys = obj.data.shape_keys
    jaw, blink = 'key_blocks["JawOpen"].value', 'key_blocks["Blink"].value'
    before = rs.values(keys, jaw)
    original = keys.animation_data.action
    rs.select(obj)
    assert rs.refine() == {"FINISHED"}
    new = rs.values(keys, jaw)
    assert keys.animation_data.action != original
    assert np.abs(np.diff(new, 2, axis=0)).mean() < 0.6 * np.abs(np.diff(before, 2, axis=0)).mean()
    assert new.min() >= 0
    assert new.max() <= 1
    assert (rs.values(keys, blink) == 0).all()
    assert bpy.ops.smoothnet.compare() == {"FINISHED"}
    assert keys.animation_data.action == original
    assert bpy.ops.smoothnet.revert() == {"FINISHED"}
    assert len(bpy.data.actions) == 1


def test_several_selected_objects_at_once(scene: Any) -> None:
    """An armature, an empty and a face: each gets its own refined action; what is not selected gets none."""
    hero = rs.hero(bones=("Hips", "Spine"))
    empty, other, face = _object("Prop"), _object("Other"), _face()
    for obj in (empty, other):
        _shake(obj, "QUATERNION")
    rs.select(hero, face, empty)
    names = {user.name: user.animation_data.action.name for user in (hero, empty, other, face.data.shape_keys)}
    assert rs.refine() == {"FINISHED"}
    for user in (hero, empty, face.data.shape_keys):
        assert user.animation_data.action.name == f"{names[user.name]}_refined"
        assert bpy.data.actions[names[user.name]].use_fake_user
    assert other.animation_data.action.name == names["Other"]
    assert len(bpy.data.actions) == 7


def test_of_two_objects_with_one_action_the_other_keeps_the_original(scene: Any) -> None:
    """Also when both are refined later on: then one refined action serves both."""
    first = rs.hero(bones=("Hips",))
    second = first.copy()
    bpy.context.scene.collection.objects.link(second)
    action = first.animation_data.action
    assert second.animation_data.action == action
    rs.select(first)
    assert rs.refine() == {"FINISHED"}
    assert second.animation_data.action == action
    refined = rs.values(first, HIPS)
    rs.select(first, second)
    assert rs.refine() == {"FINISHED"}
    assert first.animation_data.action == second.animation_data.action != action
    assert len(bpy.data.actions) == 2
    assert np.abs(rs.values(first, HIPS) - refined).max() < 1e-6
    from blender_addon import results

    mixes = results.mixes_of(first.animation_data.action)
    assert len({(m.slot, m.path) for m in mixes}) == len(mixes) == 2
    assert bpy.ops.smoothnet.revert() == {"FINISHED"}
    assert first.animation_data.action == second.animation_data.action == action


@pytest.mark.skipif("slots" not in bpy.types.Action.bl_rna.properties, reason="this Blender has no slots")
def test_one_slot_of_two_is_refined(scene: Any) -> None:
    """The other slot is carried over; refined later on, both are."""
    first, second = rs.hero(bones=("Hips",)), _object("Prop")
    action = first.animation_data.action
    second.animation_data_create().action = action
    second.animation_data.action_slot = action.slots.new(id_type="OBJECT", name="Prop")
    noisy = _shake(second, "QUATERNION")
    rs.select(first)
    assert rs.refine() == {"FINISHED"}
    new = first.animation_data.action
    assert [s.identifier for s in new.slots] == [s.identifier for s in action.slots]
    assert second.animation_data.action == action
    rs.select(second)
    assert rs.refine() == {"FINISHED"}
    assert len(bpy.data.actions) == 2
    new = first.animation_data.action
    assert second.animation_data.action == new
    assert second.animation_data.action_slot.identifier == "OBProp"
    assert rs.roughness(rs.pose(second, "", FRAMES)) < 0.5 * rs.roughness(noisy)
    before = {c[:2]: c for c in rs.keys_of(action)}
    assert all(c != before[c[:2]] for c in rs.keys_of(new) if c[0] == HIPS)


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_nla_strips_play_the_refined_action_as_before(scene: Any, scale: float) -> None:
    """Strips keep place, scale and repeats; muted tracks their action; the scale tells how fast the keys play."""
    obj = rs.hero(bones=("Hips",))
    data = obj.animation_data
    action = data.action
    track, quiet = data.nla_tracks.new(), data.nla_tracks.new()
    strip = track.strips.new("Take", 11, action)
    strip.scale, strip.repeat = scale, 2.0
    muted = quiet.strips.new("Muted", 1, action.copy())
    quiet.mute = True
    data.action = None
    names = ("frame_start", "frame_end", "scale", "repeat", "action_frame_start", "action_frame_end")
    kept = [getattr(strip, name) for name in names]
    other = muted.action
    before = rs.pose(obj, "Hips", np.arange(11.0, 11 + 89 * scale, scale))
    assert rs.refine() == {"FINISHED"}
    assert strip.action.name == f"{action.name}_refined"
    assert muted.action == other
    assert data.action is None
    assert [getattr(strip, name) for name in names] == kept
    after = rs.pose(obj, "Hips", np.arange(11.0, 11 + 89 * scale, scale))
    assert rs.roughness(after) < 0.5 * rs.roughness(before)
    assert bpy.ops.smoothnet.compare() == {"FINISHED"}
    assert strip.action == action
    assert [getattr(strip, name) for name in names] == kept
    assert bpy.ops.smoothnet.revert() == {"FINISHED"}
    assert strip.action == action


def test_a_stretched_strip_plays_its_keys_at_another_rate(scene: Any) -> None:
    """Twice as long is half as fast: refined as in a scene of half the rate."""
    made = []
    for rate, scale in ((15, 1.0), (30, 2.0), (30, 1.0)):
        obj = rs.hero(bones=("Hips",))
        scene.render.fps = rate
        data = obj.animation_data
        data.nla_tracks.new().strips.new("Take", 1, data.action).scale = scale
        data.action = None
        assert rs.refine() == {"FINISHED"}
        data.action = data.nla_tracks[0].strips[0].action
        if hasattr(data, "action_slot"):
            data.action_slot = data.nla_tracks[0].strips[0].action_slot
        made.append(rs.values(obj, HIPS))
    assert np.abs(made[1] - made[0]).max() < 1e-6
    assert np.abs(made[2] - made[0]).max() > 1e-4


def test_tweak_mode_is_refused(scene: Any) -> None:
    """Blender holds the action fast there; Compare and Revert say so too, and change nothing."""
    obj = rs.hero(bones=("Hips",))
    data = obj.animation_data
    data.nla_tracks.new().strips.new("Take", 1, data.action)
    data.action = None
    data.use_tweak_mode = True
    state = rs.file_state()
    with pytest.raises(RuntimeError, match="is in NLA tweak mode: leave it first"):
        rs.refine()
    assert rs.file_state() == state
    data.use_tweak_mode = False
    assert rs.refine() == {"FINISHED"}
    data.nla_tracks[0].strips[0].select = True
    data.use_tweak_mode = True
    state = rs.file_state()
    for call in (bpy.ops.smoothnet.compare, bpy.ops.smoothnet.revert):
        with pytest.raises(RuntimeError, match="is in NLA tweak mode: leave it first"):
            call()
        assert rs.file_state() == state
    data.use_tweak_mode = False


def test_what_cannot_be_refined_is_said(scene: Any) -> None:
    """Without keys, without selection."""
    with pytest.raises(RuntimeError, match="Select an animated object"):
        rs.refine()
    obj = _object("Still")
    rs.select(obj)
    with pytest.raises(RuntimeError, match="The selected objects have no keyframes"):
        rs.refine()


@pytest.mark.parametrize("how", ["hidden", "edit", "pose"])
def test_hidden_objects_and_other_modes(scene: Any, how: str) -> None:
    """A rig in edit or pose mode is refined as in object mode; a hidden one cannot be selected."""
    obj = rs.hero(bones=("Hips", "Spine"))
    noisy = rs.values(obj, HIPS)
    if how == "hidden":
        obj.hide_set(True)
        assert bpy.ops.smoothnet.batch() == {"FINISHED"}
    else:
        bpy.ops.object.mode_set(mode=how.upper())
        assert rs.refine() == {"FINISHED"}
        bpy.ops.object.mode_set(mode="OBJECT")
    assert rs.roughness(rs.values(obj, HIPS)) < 0.4 * rs.roughness(noisy)


def _library(tmp_path: Any) -> str:
    """Write a file with an animated hero and come back to an empty one."""
    rs.hero(bones=("Hips",))
    path = str(tmp_path / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path, check_existing=False)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return path


@pytest.mark.parametrize("how", ["object", "action", "override"])
def test_linked_data_is_refused_and_nothing_changes(scene: Any, tmp_path: Any, how: str) -> None:
    """Linked objects, local ones with a linked action, library overrides; beside them the local ones are refined."""
    path = _library(tmp_path)
    if how == "action":
        rs.hero(bones=("Hips",))
    with bpy.data.libraries.load(path, link=True) as (_, linked):
        if how == "action":
            linked.actions = ["HeroAction"]
        else:
            linked.objects = ["Hero"]
    if how == "action":
        obj = bpy.data.objects["Hero"]
        obj.animation_data.action = linked.actions[0]
        if hasattr(obj.animation_data, "action_slot"):
            obj.animation_data.action_slot = linked.actions[0].slots[0]
    else:
        obj = linked.objects[0]
        bpy.context.scene.collection.objects.link(obj)
        if how == "override":
            obj = obj.override_create(remap_local_usages=True)
    rs.select(obj)
    state = rs.file_state()
    message = "is a library override" if how == "override" else "is linked from library.blend: make it local first"
    with pytest.raises(RuntimeError, match=message):
        rs.refine()
    assert rs.file_state() == state
    local = _object("Prop")
    _shake(local, "QUATERNION")
    rs.select(obj, local)
    assert rs.refine() == {"FINISHED"}
    assert local.animation_data.action.name.endswith("_refined")
    after = rs.file_state()
    assert {k: after[k] for k in state if k.startswith("user")} == {k: state[k] for k in state if k.startswith("user")}
