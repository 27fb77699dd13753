"""Which action and slot animates what: objects, shape keys, NLA strips, linked data."""

from __future__ import annotations

import re

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from blender_addon.animation.curves import CurveKey
from blender_addon.animation.grids import real_fps
from blender_addon.bridge import keyframes as kf
from blender_addon.bridge.actions import SLOTTED

X = CurveKey("location", 0)


def new_object(scene, name, data=None):
    thing = bpy.data.objects.new(name, data)
    scene.collection.objects.link(thing)
    return thing


@pytest.fixture
def thing(scene):
    """An object at x = frame, from frame 0 to 400."""
    thing = new_object(scene, "Thing")
    thing.keyframe_insert("location", index=0, frame=0)
    kf.replace_keys(kf.active_source(thing), X, np.array([0.0, 400.0]), np.array([0.0, 400.0]))
    return thing


def doubled(source, name="Doubled"):
    copy = kf.duplicate(source, name)
    kf.write_values(copy, {X: np.array([0.0, 800.0])})
    return copy


def x_at(thing, frame, subframe=0.0):
    bpy.context.scene.frame_set(frame, subframe=subframe)
    return thing.evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world.translation[0]


def strip_of(thing, source, start=0):
    """Move the action of an object into an NLA strip."""
    strip = thing.animation_data.nla_tracks.new().strips.new("Strip", start, source.action)
    kf.assign(thing, source, strip)
    thing.animation_data.action = None
    return strip


def problem(id):
    return kf.editable_problem(id)


def test_a_copy_leaves_the_original_alone(thing):
    source = kf.active_source(thing)
    copy = doubled(source, "Take refined")
    assert copy.action.name == "Take refined"
    assert copy.action.library is None
    assert x_at(thing, 10) == pytest.approx(10.0)
    kf.assign(thing, copy)
    assert kf.active_source(thing) == copy
    assert x_at(thing, 10) == pytest.approx(20.0)
    kf.assign(thing, source)
    assert x_at(thing, 10) == pytest.approx(10.0)
    assert kf.duplicate(source, "Take refined").action.name == "Take refined.001"


def test_keep_and_remove(thing):
    source = kf.active_source(thing)
    kf.keep(source)
    assert source.action.use_fake_user
    copy = kf.duplicate(source, "Copy")
    kf.remove(copy)
    assert "Copy" not in bpy.data.actions
    assert kf.active_source(thing) == source


def test_nothing_animates_it(scene):
    still = new_object(scene, "Still")
    assert kf.active_source(still) is None
    assert kf.nla_sources(still) == []
    assert problem(still) == 'Empty "Still" has no action: nothing animates it'
    assert kf.active_source(bpy.data.meshes.new("Mesh")) is None
    # What has none yet can be given some.
    action = bpy.data.actions.new("Empty")
    slot = action.slots.new("OBJECT", "Still") if SLOTTED else None
    kf.assign(still, kf.Source(action, slot))
    assert kf.active_source(still) == kf.Source(action, slot)


def test_an_armature_that_was_never_evaluated(thing):
    rig = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    kf.assign(rig, kf.active_source(thing))
    assert kf.active_source(rig) == kf.active_source(thing)


def test_one_action_for_two_objects(thing, scene):
    source = kf.active_source(thing)
    other = new_object(scene, "Another")
    kf.assign(other, source)
    assert kf.users(source) == [other, thing]
    kf.assign(other, doubled(source))
    assert kf.users(source) == [thing]
    assert x_at(other, 10) == pytest.approx(20.0)


def test_constraints_and_fake_users_animate_nothing(thing, scene):
    source = kf.active_source(thing)
    new_object(scene, "Bound").constraints.new("ACTION").action = source.action
    kf.keep(source)
    assert kf.users(source) == [thing]


@pytest.mark.skipif(not SLOTTED, reason="slots came with Blender 4.4")
def test_slots_of_one_action_are_kept_apart(thing, scene):
    source = kf.active_source(thing)
    other = new_object(scene, "Other")
    second = kf.Source(source.action, source.action.slots.new("OBJECT", "Other"))
    kf.assign(other, second)
    assert kf.read_curves(second) == []
    kf.replace_keys(second, X, np.array([0.0, 10.0]), np.array([5.0, 5.0]))
    assert x_at(thing, 10) == pytest.approx(10.0)
    assert x_at(other, 10) == pytest.approx(5.0)
    assert kf.users(source) == [thing]
    assert kf.users(second) == [other]
    copy = kf.duplicate(second, "Copy")
    assert copy.slot.identifier == second.slot.identifier
    assert [curve.values.tolist() for curve in kf.read_curves(copy)] == [[5.0, 5.0]]
    assert len(copy.action.slots) == 2
    kf.write_values(copy, {X: np.array([7.0, 7.0])})
    kf.assign(other, copy)
    assert x_at(other, 10) == pytest.approx(7.0)
    assert x_at(thing, 10) == pytest.approx(10.0)


@pytest.mark.skipif(not SLOTTED, reason="slots came with Blender 4.4")
def test_an_action_without_slot_animates_nothing(thing):
    thing.animation_data.action_slot = None
    assert kf.active_source(thing) is None
    assert problem(thing) == 'Empty "Thing" uses no slot of its action "ThingAction": choose one in the action editor'


def test_shape_keys(scene):
    face = new_object(scene, "Face", bpy.data.meshes.new("Face"))
    face.shape_key_add(name="Basis")
    face.shape_key_add(name='jaw "open"').keyframe_insert("value", frame=1)
    keys = face.data.shape_keys
    source = kf.active_source(keys)
    (curve,) = kf.read_curves(source)
    assert curve.path == 'key_blocks["jaw \\"open\\""].value'
    assert kf.users(source) == [keys]
    assert problem(keys) == ""
    copy = kf.duplicate(source, "Copy")
    kf.write_values(copy, {curve.key: np.array([0.75])})
    kf.assign(keys, copy)
    scene.frame_set(1)
    assert keys.key_blocks[1].value == 0.75
    assert kf.label(keys) == f'Shape keys "{keys.name}"'


def test_strips_keep_their_place_when_their_action_changes(thing):
    source = kf.active_source(thing)
    strip = strip_of(thing, source, start=20)
    strip.action_frame_start, strip.action_frame_end = 10.0, 110.0
    strip.scale, strip.repeat = 1.5, 2.0
    names = ("frame_start", "frame_end", "action_frame_start", "action_frame_end", "scale", "repeat", "name")
    before = [getattr(strip, name) for name in names]
    assert kf.active_source(thing) is None
    assert problem(thing) == ""
    assert kf.nla_sources(thing) == [(strip, source)]
    assert kf.users(source) == [thing]
    at = x_at(thing, 50)
    copy = doubled(source)
    kf.replace_keys(copy, X, np.array([0.0, 700.0]), np.array([0.0, 1400.0]))
    kf.assign(thing, copy, strip)
    assert [getattr(strip, name) for name in names] == before
    assert kf.nla_sources(thing) == [(strip, copy)]
    assert x_at(thing, 50) == pytest.approx(2 * at, rel=1e-5)
    assert at == pytest.approx(10 + 30 / 1.5, rel=1e-5)


def test_muted_strips_and_tracks_are_not_heard(thing):
    source = kf.active_source(thing)
    strip = strip_of(thing, source)
    track = thing.animation_data.nla_tracks[0]
    for owner in (strip, track):
        owner.mute = True
        assert kf.nla_sources(thing) == []
        assert kf.users(source) == [thing]
        owner.mute = False
    other = thing.animation_data.nla_tracks.new()
    second = other.strips.new("Second", 0, source.action)
    kf.assign(thing, source, second)
    assert len(kf.nla_sources(thing)) == 2
    other.is_solo = True
    assert kf.nla_sources(thing) == [(second, source)]


def test_tweak_mode_is_left_by_the_user(thing):
    source = kf.active_source(thing)
    copy = doubled(source)
    strip = strip_of(thing, source)
    data = thing.animation_data
    data.nla_tracks.active = data.nla_tracks[0]
    strip.select = True
    data.use_tweak_mode = True
    assert data.use_tweak_mode
    assert kf.active_source(thing) == source
    message = 'Empty "Thing" is in NLA tweak mode: leave it first (Tab in the NLA editor)'
    for target in (None, strip):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            kf.assign(thing, copy, target)
    assert kf.active_source(thing) == source
    assert problem(thing) == message
    data.use_tweak_mode = False
    assert problem(thing) == ""


@pytest.mark.parametrize(("old", "new", "scale"), [(100, 100, 1.0), (100, 200, 1.0), (300, 100, 1.0), (100, 250, 1.6)])
def test_time_remapping_plays_keys_as_fast_as_we_say(thing, old, new, scale):
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 30, 1.25
    scene.render.frame_map_old, scene.render.frame_map_new = old, new
    if scale != 1.0:
        strip_of(thing, kf.active_source(thing)).scale = scale
    # What is seen a second of playing later: 24 frames of the scene.
    passed = x_at(thing, 44) - x_at(thing, 20)
    assert passed == pytest.approx(real_fps(30, 1.25, old, new, scale), rel=1e-4)


def test_cyclic_actions(thing):
    source = kf.active_source(thing)
    assert not kf.is_cyclic(source)
    source.action.use_cyclic = True
    assert not kf.is_cyclic(source)
    source.action.use_frame_range = True
    assert kf.is_cyclic(source)


@pytest.fixture
def library(thing, tmp_path):
    """A file with the object, a second one named Rig, an armature, with the same action; the scene is empty then."""
    source = kf.active_source(thing)
    kf.assign(new_object(bpy.context.scene, "Rig", bpy.data.armatures.new("Rig")), source)
    path = tmp_path / "lib.blend"
    bpy.data.libraries.write(str(path), set(bpy.data.objects) | {source.action})
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return path


def linked(path, kind, name):
    with bpy.data.libraries.load(str(path), link=True) as (_, into):
        setattr(into, kind, [name])
    return getattr(into, kind)[0]


def test_linked_objects(library):
    rig = linked(library, "objects", "Rig")
    assert problem(rig) == 'Armature "Rig" is linked from lib.blend: make it local first'


def test_overrides(library):
    rig = linked(library, "objects", "Rig")
    bpy.context.scene.collection.objects.link(rig)
    override = rig.override_create(remap_local_usages=True)
    assert problem(override) == 'Armature "Rig" is a library override of lib.blend: make it local first'


def test_linked_actions_are_only_copied(library):
    action = linked(library, "actions", "ThingAction")
    mine = new_object(bpy.context.scene, "Mine")
    source = kf.Source(action, action.slots[0] if SLOTTED else None)
    kf.assign(mine, source)
    assert problem(mine) == 'Action "ThingAction" of empty "Mine" is linked from lib.blend: make it local first'
    strip_of(mine, source)
    assert problem(mine) == 'Action "ThingAction" of empty "Mine" is linked from lib.blend: make it local first'
    copy = doubled(source)
    assert copy.action.library is None
    kf.assign(mine, copy)
    assert problem(mine) == ""
    mine.animation_data.nla_tracks.remove(mine.animation_data.nla_tracks[0])
    assert x_at(mine, 10) == pytest.approx(20.0)
