"""Keys of F-curves as arrays and back; the oracle is Blender's own keys and evaluation."""

from __future__ import annotations

import re

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from blender_addon.animation.curves import INTERPOLATIONS, KEY_TYPES, CurveKey, bone_path
from blender_addon.bridge import keyframes as kf

LOCATION = CurveKey("location", 0)
NAMES = ["Hips", 'say "hi"', "back\\slash", "Hüfte.L", "腰"]


@pytest.fixture
def thing(scene):
    """An object animated by an action with one curve, location x."""
    thing = bpy.data.objects.new("Thing", None)
    scene.collection.objects.link(thing)
    thing.keyframe_insert("location", index=0, frame=1, group="Moves")
    return thing


@pytest.fixture
def source(thing):
    return kf.active_source(thing)


def fcurve(source, key=LOCATION):
    return kf._find(source, key)


def keys_of(source, key=LOCATION):
    return list(fcurve(source, key).keyframe_points)


def only(source):
    (curve,) = kf.read_curves(source)
    return curve


def positions(keys):
    """Key and both handles: (K, 3, 2)."""
    return np.array([[key.handle_left, key.co, key.handle_right] for key in keys])


def test_what_is_written_is_read(source):
    rng = np.random.default_rng(0)
    times, values = np.cumsum(rng.uniform(0.1, 3.0, 100)) - 50, rng.normal(size=100)
    modes = [INTERPOLATIONS[at] for at in rng.integers(0, len(INTERPOLATIONS), 100)]
    kf.replace_keys(source, LOCATION, times, values, interpolation=modes)
    curve = only(source)
    np.testing.assert_array_equal(curve.times, np.float32(times))
    np.testing.assert_array_equal(curve.values, np.float32(values))
    assert [INTERPOLATIONS[at] for at in curve.interpolation] == modes
    assert [key.interpolation for key in keys_of(source)] == modes
    assert curve.times.dtype == curve.values.dtype == np.float64
    assert (curve.key, curve.locked, curve.cycle, curve.modified) == (LOCATION, False, "", False)


def test_types_and_selection_are_read(source):
    kf.replace_keys(source, LOCATION, np.arange(12.0), np.zeros(12))
    for at, key in enumerate(keys_of(source)):
        key.type = KEY_TYPES[at % len(KEY_TYPES)]
        key.select_control_point = at % 3 == 0
    curve = only(source)
    assert [KEY_TYPES[at] for at in curve.key_types] == [KEY_TYPES[at % len(KEY_TYPES)] for at in range(12)]
    assert curve.selected.tolist() == [at % 3 == 0 for at in range(12)]
    (plain,) = kf.read_curves(source, marks=False)
    assert not plain.key_types.any()
    assert not plain.selected.any()
    np.testing.assert_array_equal(plain.times, curve.times)


@pytest.mark.parametrize("name", NAMES)
def test_bones_of_any_name(scene, name):
    armature = bpy.data.armatures.new("Rig")
    rig = bpy.data.objects.new("Rig", armature)
    scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    armature.edit_bones.new(name).tail = (0, 0, 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    rig.pose.bones[0].keyframe_insert("location", frame=1)
    source = kf.active_source(rig)
    key = CurveKey(bone_path(rig.pose.bones[0].name, "location"), 1)
    assert key in [curve.key for curve in kf.read_curves(source)]
    kf.replace_keys(source, key, np.array([1.0, 3.0]), np.array([0.0, 4.0]))
    scene.frame_set(2)
    assert rig.pose.bones[0].location[1] == pytest.approx(2.0)
    kf.write_values(source, {key: np.array([0.0, 8.0])})
    scene.frame_set(2)
    assert rig.pose.bones[0].location[1] == pytest.approx(4.0)


def test_new_curves_get_the_group_and_blenders_colours(source):
    for index in range(4):
        key = CurveKey(bone_path("Hips", "rotation_quaternion"), index)
        kf.replace_keys(source, key, np.array([1.0]), np.array([0.5]), group="Hips")
    curves = [fcurve(source, curve.key) for curve in kf.read_curves(source) if curve.key != LOCATION]
    assert [curve.group.name for curve in curves] == ["Hips"] * 4
    assert {curve.color_mode for curve in curves} == {"AUTO_YRGB"}
    assert len(kf.holder(source).groups) == 2


@pytest.mark.parametrize("handle", ["FREE", "ALIGNED", "VECTOR", "AUTO", "AUTO_CLAMPED"])
def test_handles_follow_the_values(source, handle):
    rng = np.random.default_rng(2)
    times, values = np.arange(20.0) * 1.5, rng.normal(size=20)
    kf.replace_keys(source, LOCATION, times, values, interpolation="BEZIER")
    for key in keys_of(source):
        key.handle_left_type = key.handle_right_type = handle
    fcurve(source).update()
    if handle in ("FREE", "ALIGNED"):
        for key in keys_of(source):
            key.handle_right = key.co + type(key.co)((0.4, 0.3))
            key.handle_left = key.co - type(key.co)((0.4, 0.3))
    before = positions(keys_of(source))
    change = rng.normal(size=20)
    kf.write_values(source, {LOCATION: values + change})
    after = positions(keys_of(source))
    np.testing.assert_allclose(after[:, 1, 1], values + change, atol=1e-6)
    np.testing.assert_array_equal(after[:, 1, 0], before[:, 1, 0])
    if handle in ("FREE", "ALIGNED"):
        np.testing.assert_allclose(after - before, np.repeat(change[:, None, None] * [0.0, 1.0], 3, axis=1), atol=1e-6)
    # As Blender has them after its own insertion of these keys.
    fcurve(source).keyframe_points.handles_recalc()
    np.testing.assert_allclose(positions(keys_of(source)), after, atol=1e-6)
    assert {key.handle_left_type for key in keys_of(source)} == {handle}


def test_unchanged_curves_are_not_touched(source):
    kf.replace_keys(source, LOCATION, np.arange(5.0), np.arange(5.0), interpolation="BEZIER")
    for key in keys_of(source):
        # What an update would change.
        key.handle_left = (key.co[0] - 0.1, 7.0)
    before = positions(keys_of(source))
    kf.write_values(source, {LOCATION: np.arange(5.0)})
    np.testing.assert_array_equal(positions(keys_of(source)), before)


def test_the_scene_shows_what_was_written(thing, source, scene):
    kf.replace_keys(source, LOCATION, np.array([0.8, 1.6, 2.4]), np.array([1.0, 2.0, 3.0]))
    kf.write_values(source, {LOCATION: np.array([5.0, 7.0, 9.0])})
    scene.frame_set(2, subframe=0.0)
    assert thing.location[0] == pytest.approx(8.0, abs=1e-5)


def test_pieces_say_the_share_done(source):
    keys = [CurveKey("location", index) for index in range(3)]
    for key in keys:
        kf.replace_keys(source, key, np.arange(4.0), np.zeros(4))
    pieces = kf.write_in_pieces(source, {key: np.ones(4) for key in keys})
    assert next(pieces) == pytest.approx(1 / 3)
    written = [curve.values.max() for curve in kf.read_curves(source)]
    assert written == [1.0, 0.0, 0.0]
    assert list(pieces) == pytest.approx([2 / 3, 1.0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({CurveKey("scale", 2): np.zeros(1)}, "Action ThingAction: there is no curve scale[2]"),
        ({LOCATION: np.zeros(3)}, "Action ThingAction, curve location[0]: expected 1 values, got 3"),
        ({LOCATION: np.zeros((1, 1))}, "Action ThingAction, curve location[0]: expected 1 values, got 1x1"),
        ({LOCATION: np.array([np.nan])}, "Action ThingAction, curve location[0]: a value is not a finite number"),
    ],
)
def test_nothing_is_written_where_something_is_wrong(source, values, message):
    second = CurveKey("location", 1)
    kf.replace_keys(source, second, np.array([1.0]), np.array([3.0]))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        kf.write_in_pieces(source, {second: np.ones(1), **values})
    assert fcurve(source, second).keyframe_points[0].co[1] == 3.0


@pytest.mark.parametrize(
    ("times", "values", "interpolation", "message"),
    [
        ([1, 2], [0], "LINEAR", "Action ThingAction, curve location[0]: expected 2 values, got 1"),
        ([2, 2], [0, 0], "LINEAR", "Action ThingAction, curve location[0]: the times of keys must rise"),
        ([1, np.inf], [0, 0], "LINEAR", "Action ThingAction, curve location[0]: the times of keys must rise"),
        ([1, 2], [0, 0], ["LINEAR"], "Action ThingAction, curve location[0]: 1 interpolations, 2 keys"),
        ([], [], "LINEAR", "Action ThingAction, curve location[0]: expected at least one key"),
        ([1, 2], [0, 0], "WOBBLE", f"Unknown interpolation WOBBLE; known are {', '.join(INTERPOLATIONS)}"),
    ],
)
def test_keys_that_cannot_be(source, times, values, interpolation, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        kf.replace_keys(source, LOCATION, np.array(times, float), np.array(values, float), interpolation=interpolation)
    assert len(keys_of(source)) == 1


def test_keys_at_old_times_stay_what_they_were(source):
    kf.replace_keys(source, LOCATION, np.arange(1.0, 6.0), np.zeros(5), interpolation="BEZIER")
    curve = fcurve(source)
    curve.extrapolation, curve.color_mode, curve.color = "LINEAR", "CUSTOM", (0.25, 0.5, 0.75)
    curve.modifiers.new("NOISE").strength = 3.0
    group = curve.group.name
    marked = keys_of(source)[2]
    marked.type, marked.easing, marked.amplitude, marked.select_control_point = "EXTREME", "EASE_IN", 2.5, True
    marked.handle_left_type = marked.handle_right_type = "FREE"
    marked.handle_left, marked.handle_right = (2.6, -1.0), (3.3, 2.0)
    times = np.sort(np.append(np.arange(1.0, 6.0, 0.8), 3.0 + 2e-7))
    kf.replace_keys(source, LOCATION, times, times * 10, interpolation="BEZIER")
    curve = fcurve(source)
    assert (curve.extrapolation, curve.color_mode, tuple(curve.color)) == ("LINEAR", "CUSTOM", (0.25, 0.5, 0.75))
    assert (curve.modifiers[0].type, curve.modifiers[0].strength, curve.group.name) == ("NOISE", 3.0, group)
    np.testing.assert_allclose([key.co for key in keys_of(source)], np.column_stack([times, times * 10]), rtol=1e-6)
    (kept,) = [key for key in keys_of(source) if key.type == "EXTREME"]
    assert (kept.easing, kept.amplitude, kept.select_control_point) == ("EASE_IN", 2.5, True)
    assert (kept.handle_left_type, kept.handle_right_type) == ("FREE", "FREE")
    np.testing.assert_allclose(kept.handle_left, (2.6, 29.0), atol=1e-5)
    np.testing.assert_allclose(kept.handle_right, (3.3, 32.0), atol=1e-5)
    others = [key for key in keys_of(source) if key.type == "KEYFRAME"]
    assert {key.handle_left_type for key in others} == {"AUTO_CLAMPED"}
    assert len(others) == len(times) - 1


def test_locks_of_curve_and_group(source):
    group = fcurve(source).group
    for owner in (fcurve(source), group):
        for switch in ("mute", "lock"):
            setattr(owner, switch, True)
            assert only(source).locked, (owner, switch)
            setattr(owner, switch, False)
    assert not only(source).locked


@pytest.mark.parametrize(
    ("before", "after", "cycle"),
    [("REPEAT", "REPEAT", "REPEAT"), ("NONE", "REPEAT", "REPEAT"), ("REPEAT", "NONE", "REPEAT"),
     ("REPEAT_OFFSET", "REPEAT_OFFSET", "OFFSET"), ("NONE", "REPEAT_OFFSET", "OFFSET"), ("NONE", "NONE", ""),
     ("MIRROR", "MIRROR", "")],
)  # fmt: skip
def test_cycles(source, before, after, cycle):
    modifier = fcurve(source).modifiers.new("CYCLES")
    modifier.mode_before, modifier.mode_after = before, after
    assert (only(source).cycle, only(source).modified) == (cycle, False)
    modifier.mute = True
    assert only(source).cycle == ""


def test_other_modifiers(source):
    modifier = fcurve(source).modifiers.new("NOISE")
    assert (only(source).cycle, only(source).modified) == ("", True)
    modifier.mute = True
    assert not only(source).modified


def test_baked_samples_have_no_keys(source):
    kf.replace_keys(source, LOCATION, np.arange(1.0, 11.0), np.arange(10.0))
    fcurve(source).convert_to_samples(1, 10)
    assert only(source).times.shape == (0,)
    np.testing.assert_allclose(kf.evaluate(source, LOCATION, [2.0, 3.0]), [1.0, 2.0])


@pytest.mark.parametrize("modes", [["LINEAR"], ["CONSTANT"], ["LINEAR", "CONSTANT"], ["BEZIER"], list(INTERPOLATIONS)])
def test_evaluation_is_blenders(source, modes):
    rng = np.random.default_rng(3)
    times = 1000 + np.cumsum(rng.uniform(0.5, 2.0, 60))
    chosen = [modes[at] for at in rng.integers(0, len(modes), 60)]
    kf.replace_keys(source, LOCATION, times, rng.normal(size=60), interpolation=chosen)
    near = np.concatenate([times, times + 5e-5, times - 5e-5, times + 3e-4, times - 3e-4])
    for frames in (rng.uniform(times[0], times[-1], 500), near, times, np.array([0.0, 5000.0]), np.zeros(0), times[:1]):
        expected = np.array([fcurve(source).evaluate(frame) for frame in frames])
        np.testing.assert_allclose(kf.evaluate(source, LOCATION, frames), expected, atol=2e-6)
    fcurve(source).modifiers.new("NOISE")
    expected = [fcurve(source).evaluate(frame) for frame in times]
    np.testing.assert_array_equal(kf.evaluate(source, LOCATION, times), expected)


def test_a_curve_that_is_not_there_has_no_values(source):
    with pytest.raises(ValueError, match=r"^Action ThingAction: there is no curve scale\[1\]$"):
        kf.evaluate(source, CurveKey("scale", 1), np.array([1.0]))


def test_an_action_without_curves(scene):
    action = bpy.data.actions.new("Empty")
    slot = action.slots.new("OBJECT", "Thing") if hasattr(action, "slots") else None
    source = kf.Source(action, slot)
    assert kf.read_curves(source) == []
    assert kf.curve_count(source) == 0
    kf.replace_keys(source, LOCATION, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    assert kf.curve_count(source) == 1
    assert [curve.key for curve in kf.each_curve(source)] == [LOCATION]
    assert only(source).values.tolist() == [3.0, 4.0]


def test_curves_share_what_they_have_alike(source):
    """The very arrays, so that what was found out of one need not be found out of the next."""
    times = np.arange(1.0, 6.0)
    for index, mode in ((0, "LINEAR"), (1, "LINEAR"), (2, "BEZIER")):
        kf.replace_keys(source, CurveKey("location", index), times + (index == 1), times, interpolation=mode)
    keys_of(source, CurveKey("location", 2))[3].type = "EXTREME"
    first, second, third = kf.read_curves(source)
    assert first.interpolation is second.interpolation
    assert first.key_types is second.key_types
    assert second.selected is third.selected
    assert (second.times == times + 1).all()
    assert (third.times == times).all()
    assert [INTERPOLATIONS[at] for at in third.interpolation] == ["BEZIER"] * 5
    assert [KEY_TYPES[at] for at in third.key_types] == ["KEYFRAME"] * 3 + ["EXTREME", "KEYFRAME"]


def test_a_change_of_the_last_value_alone_is_written(source):
    """Known curves are compared with, not read again."""
    kf.replace_keys(source, LOCATION, np.arange(1.0, 6.0), np.arange(5.0))
    values = np.array([0.0, 1.0, 2.0, 3.0, 7.0])
    list(kf.write_in_pieces(source, {LOCATION: values}, {LOCATION: only(source)}))
    np.testing.assert_array_equal(only(source).values, values)
