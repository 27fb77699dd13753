"""Copies of actions made curve by curve; the oracle is Blender's own copy."""

from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from blender_addon.animation.curves import INTERPOLATIONS, CurveKey, bone_path
from blender_addon.bridge import action_copy
from blender_addon.bridge import keyframes as kf
from blender_addon.bridge.actions import SLOTTED

# What tells copies apart, and what only says which one is which.
OWN = {"name", "name_full", "session_uid", "users", "handle", "slot_handle", "rna_type", "original", "id_type", "tag",
       "bl_system_properties_get", "action", "owner_id"}  # fmt: skip


def contents(thing, depth=0):
    """All properties of a structure of Blender's, and of what it holds, as plain values."""
    found = {}
    for prop in thing.bl_rna.properties:
        name = prop.identifier
        if name in OWN and not (name == "name" and depth):
            continue
        value = getattr(thing, name)
        if prop.type == "COLLECTION":
            # Channels of groups come with the curves.
            found[name] = len(value) if name == "channels" else [contents(item, depth + 1) for item in value]
        elif prop.type == "POINTER":
            if value is not None and not isinstance(value, bpy.types.ID):
                found[name] = value.name if name == "group" else value.identifier if name in ("slot", "active") else (
                    contents(value, depth + 1))  # fmt: skip
        elif getattr(prop, "is_array", False):
            found[name] = tuple(value)
        else:
            found[name] = value
    return found


def rich_action(scene):
    """An action with everything: modifiers, groups, colours, handles, markers, properties, another slot."""
    armature = bpy.data.armatures.new("Rig")
    rig = bpy.data.objects.new("Rig", armature)
    scene.collection.objects.link(rig)
    rig["switch"] = 1
    rig.keyframe_insert('["switch"]', frame=1)
    rig["switch"] = 4
    rig.keyframe_insert('["switch"]', frame=10)
    source = kf.active_source(rig)
    rng = np.random.default_rng(0)
    for at in range(8):
        key = CurveKey(bone_path(f"b{at // 4}", "rotation_quaternion"), at % 4)
        modes = [INTERPOLATIONS[mode] for mode in rng.integers(0, len(INTERPOLATIONS), 40)]
        kf.replace_keys(source, key, np.arange(40.0), rng.normal(size=40), interpolation=modes, group=f"b{at // 4}")
    bag = kf.holder(source)
    for at, key in enumerate(bag.fcurves[2].keyframe_points):
        key.handle_left_type = key.handle_right_type = ("FREE", "ALIGNED", "VECTOR", "AUTO", "AUTO_CLAMPED")[at % 5]
        key.easing, key.type = ("EASE_IN", "EASE_OUT", "AUTO")[at % 3], ("EXTREME", "JITTER")[at % 2]
        key.back, key.period, key.amplitude = 0.5 * at, 2.0 + at, 3.0
        key.select_control_point, key.select_left_handle, key.select_right_handle = at % 2 == 0, at % 3 == 0, True
    bag.fcurves[2].update()
    curve = bag.fcurves[3]
    curve.color_mode, curve.color, curve.extrapolation = "CUSTOM", (0.25, 0.5, 0.75), "LINEAR"
    curve.auto_smoothing = "CONT_ACCEL" if curve.auto_smoothing == "NONE" else "NONE"
    curve.lock = curve.mute = curve.hide = True
    curve.select = False
    generator = bag.fcurves[4].modifiers.new("GENERATOR")
    generator.poly_order = 3
    generator.coefficients = (1.0, 0.5, 0.25, 0.125)
    generator.use_restricted_range, generator.frame_start, generator.frame_end = True, 100.0, 200.0
    generator.blend_in, generator.use_influence, generator.influence = 3.0, True, 0.5
    envelope = bag.fcurves[5].modifiers.new("ENVELOPE")
    for frame in (5.0, 9.0):
        envelope.control_points.add(frame)
    # At once: one by one Blender takes the point for a modifier, and may crash.
    envelope.control_points.foreach_set("min", (-5.0, -9.0))
    envelope.control_points.foreach_set("max", (5.0, 9.0))
    cycles = bag.fcurves[6].modifiers.new("CYCLES")
    cycles.mode_before, cycles.mode_after, cycles.cycles_after = "NONE", "REPEAT_OFFSET", 3
    for kind in ("NOISE", "LIMITS", "STEPPED", "FNGENERATOR"):
        bag.fcurves[6].modifiers.new(kind).mute = True
    bag.fcurves[6].modifiers[2].use_max_y, bag.fcurves[6].modifiers[2].max_y = True, 0.5
    group = bag.groups["b1"]
    group.color_set, group.lock, group.show_expanded = "CUSTOM", True, True
    group.colors.normal = (0.125, 0.25, 0.5)
    action = source.action
    action.pose_markers.new("Step").frame = 7
    action["take"], action["notes"] = "A 12", {"who": "Éva", "marks": [1, 2, 3]}
    action.use_frame_range, action.use_cyclic, action.frame_start, action.frame_end = True, True, 3.0, 33.0
    if SLOTTED:
        other = kf.Source(action, action.slots.new("OBJECT", "Other"))
        kf.replace_keys(other, CurveKey("location", 2), np.arange(3.0), np.arange(3.0))
        action.slots.active = other.slot
    return rig, source


def finished(generator):
    """The shares and the result."""
    shares = []
    while True:
        try:
            shares.append(next(generator))
        except StopIteration as end:
            return shares, end.value


@pytest.mark.parametrize("curves_too", [True, False])
def test_a_copy_in_pieces_is_blenders_copy(scene, monkeypatch, curves_too):
    if not curves_too:
        # As Blender 4 has to, in every Blender.
        monkeypatch.setattr(action_copy, "_COPIES_CURVES", False)
    rig, source = rich_action(scene)
    before = contents(source.action)
    whole = kf.duplicate(source, "Whole")
    monkeypatch.setattr(action_copy, "_AT_ONCE", 0)
    shares, pieces = finished(kf.duplicate_in_pieces(source, "Pieces"))
    assert contents(source.action) == before
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) == 9 + SLOTTED
    made, expected = contents(pieces.action), contents(whole.action)
    assert made == expected
    assert {name: getattr(value, "to_dict", lambda value=value: value)() for name, value in pieces.action.items()} == {
        name: getattr(value, "to_dict", lambda value=value: value)() for name, value in whole.action.items()
    }
    if SLOTTED:
        assert pieces.slot.identifier == source.slot.identifier
    for key in [curve.key for curve in kf.read_curves(source)]:
        frames = np.linspace(-20.0, 80.0, 301)
        np.testing.assert_array_equal(kf.evaluate(pieces, key, frames), kf.evaluate(whole, key, frames))
    kf.assign(rig, pieces)
    assert kf.active_source(rig) == pieces
    scene.frame_set(5)
    assert rig["switch"] == int(rig["switch"])


def test_small_actions_are_copied_at_once(scene):
    _, source = rich_action(scene)
    shares, copy = finished(kf.duplicate_in_pieces(source, "Copy"))
    assert shares == []
    assert contents(copy.action) == contents(source.action)


def test_a_copy_given_up_leaves_nothing(scene, monkeypatch):
    _, source = rich_action(scene)
    monkeypatch.setattr(action_copy, "_AT_ONCE", 0)
    pieces = kf.duplicate_in_pieces(source, "Pieces")
    next(pieces)
    assert "Pieces" in bpy.data.actions
    pieces.close()
    assert "Pieces" not in bpy.data.actions


def test_baked_samples_are_carried_over(scene, monkeypatch):
    _, source = rich_action(scene)
    monkeypatch.setattr(action_copy, "_AT_ONCE", 0)
    kf.holder(source).fcurves[2].convert_to_samples(1, 20)
    _, copy = finished(kf.duplicate_in_pieces(source, "Pieces"))
    points = kf.holder(copy).fcurves[2].sampled_points
    assert [tuple(p.co) for p in points] == [tuple(p.co) for p in kf.holder(source).fcurves[2].sampled_points]
