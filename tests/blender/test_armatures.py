"""Armatures as read from Blender, and poses computed from channels against those that Blender evaluates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.helpers import shared

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from blender_addon.animation.rotation_modes import channel_name
from blender_addon.bridge import armatures
from blender_addon.bridge.keyframes import active_source, read_curves
from blender_addon.rigs.feet import keep_feet
from blender_addon.rigs.pose_channels import linear_sampler, sample_pose
from blender_addon.rigs.posing import INHERIT_SCALE, world_ends, world_rotations

SELECTS_POSE = "select" in bpy.types.PoseBone.bl_rna.properties
# Blender's BVH importer leaves its file open.
UNCLOSED = pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning", "ignore:Exception ignored in. <_io.FileIO"
)
TWO = ((0, 0, 2), (0, 0, 3))
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
        setattr(bone, channel_name(bone.rotation_mode), rng.uniform(-2, 2, 4 if len(bone.rotation_mode) > 3 else 3))
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


@pytest.mark.parametrize("seed", range(4))
def test_rotations_are_those_of_evaluated_bones(scene: Any, seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    obj = random_armature(rng, 12)
    obj.scale = 1.3, 1.3, 1.3
    bpy.context.view_layer.update()
    pose_at_random(rng, obj, scaled=False)
    bpy.context.view_layer.update()
    ready = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    turned = computed(obj)[2]
    for k, name in enumerate(armatures.read_rig(obj).names):
        matrix = (ready.matrix_world @ ready.pose.bones[name].matrix).to_3x3().normalized()
        np.testing.assert_allclose(turned[k], np.array(matrix), atol=2e-5)


@pytest.mark.parametrize("mode", INHERIT_SCALE)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("local", [False, True])
def test_each_way_to_follow_is_blenders(scene: Any, mode: str, turned: bool, local: bool) -> None:
    rng = np.random.default_rng(7)
    obj = random_armature(rng, 5)
    for k, bone in enumerate(obj.data.bones):
        bone.inherit_scale = mode
        bone.use_inherit_rotation = turned or k == 0
        bone.use_local_location = local
    bpy.context.view_layer.update()
    pose_at_random(rng, obj, scaled=True)
    expected = evaluated(obj)
    for got, other in zip(computed(obj), expected, strict=False):
        np.testing.assert_allclose(got, other, atol=1e-5)


def test_a_rig_is_read_parents_first(scene: Any) -> None:
    obj = make_armature(
        [
            ("hand", "", (0, 0, 2), (0, 0, 3)),
            ("hips", "", (0, 0, 0), (0, 0, 1)),
            ("arm", "hips", (0, 0, 1), (0, 0, 2)),
        ]
    )
    bpy.ops.object.mode_set(mode="EDIT")
    obj.data.edit_bones["hand"].parent = obj.data.edit_bones["arm"]
    obj.data.edit_bones["hand"].use_connect = True
    bpy.ops.object.mode_set(mode="OBJECT")
    obj.location = 1, 2, 3
    bpy.context.view_layer.update()
    rig = armatures.read_rig(obj)
    assert rig.names == ("hips", "arm", "hand")
    assert rig.parents.tolist() == [-1, 0, 1]
    assert rig.connected.tolist() == [False, False, True]
    assert rig.lengths.tolist() == pytest.approx([1, 1, 1])
    assert rig.world[:3, 3].tolist() == [1, 2, 3]
    obj.pose.bones["arm"].rotation_mode = "ZXY"
    assert armatures.rotation_modes(obj) == {"hips": "QUATERNION", "arm": "ZXY", "hand": "QUATERNION"}
    assert tuple(armatures.rotation_modes(obj)) == rig.names


def test_present_channels_are_those_of_each_mode(scene: Any) -> None:
    obj = make_armature([("a", "", (0, 0, 0), (0, 0, 1)), ("b", "a", (0, 0, 1), (0, 0, 2)), ("c", "b", *TWO)])
    bones = obj.pose.bones
    bones["a"].rotation_quaternion = 0.5, 0.5, -0.5, 0.5
    bones["b"].rotation_mode, bones["b"].rotation_euler = "YZX", (0.25, 0.5, 0.75)
    bones["c"].rotation_mode, bones["c"].rotation_axis_angle = "AXIS_ANGLE", (1.5, 0, 0, 1)
    bones["b"].location, bones["c"].scale = (1, 2, 4), (0.5, 2, 1)
    present = armatures.rest_channels(obj)
    assert present.modes == ("QUATERNION", "YZX", "AXIS_ANGLE")
    assert [rotation.tolist() for rotation in present.rotations] == [
        [0.5, 0.5, -0.5, 0.5], [0.25, 0.5, 0.75], [1.5, 0, 0, 1],
    ]  # fmt: skip
    assert present.locations.tolist() == [[0, 0, 0], [1, 2, 4], [0, 0, 0]]
    assert present.scales.tolist() == [[1, 1, 1], [1, 1, 1], [0.5, 2, 1]]


def select(obj: Any, *names: str) -> None:
    """Select bones as each Blender keeps it, in pose or object mode."""
    for bone in obj.pose.bones if SELECTS_POSE else obj.data.bones:
        bone.select = bone.name in names


def test_selected_bones_are_told_in_every_mode(scene: Any) -> None:
    obj = make_armature([("a", "", (0, 0, 0), (0, 0, 1)), ("b", "a", (0, 0, 1), (0, 0, 2)), ("c", "b", *TWO)])
    for mode in ("OBJECT", "POSE"):
        bpy.ops.object.mode_set(mode=mode)
        select(obj, "c", "a")
        assert armatures.selected_bones(obj) == ["a", "c"]
        select(obj)
        assert armatures.selected_bones(obj) == []
    select(obj, "a", "c")
    (obj.pose.bones if SELECTS_POSE else obj.data.bones)["a"].hide = True
    assert armatures.hidden_bones(obj) == {"a"}
    assert armatures.selected_bones(obj) == ["c"]
    collection = obj.data.collections.new("gone")
    collection.assign(obj.data.bones["c"])
    collection.is_visible = False
    assert armatures.hidden_bones(obj) == {"a", "c"}
    assert armatures.selected_bones(obj) == []
    bpy.ops.object.mode_set(mode="EDIT")
    for bone in obj.data.edit_bones:
        bone.hide = False
        bone.select = bone.name == "b"
    assert armatures.selected_bones(obj) == ["b"]
    bpy.ops.object.mode_set(mode="OBJECT")


def test_what_is_no_armature_is_refused(scene: Any) -> None:
    empty = bpy.data.objects.new("Light rig", None)
    for function in (
        armatures.read_rig,
        armatures.rotation_modes,
        armatures.rest_channels,
        armatures.selected_bones,
        armatures.hidden_bones,
    ):
        with pytest.raises(ValueError, match=r"^object: expected an armature, received Light rig, empty$"):
            function(empty)
    with pytest.raises(ValueError, match=r"^object: expected an armature, received none$"):
        armatures.read_rig(None)


def test_an_empty_armature_is_a_rig_without_bones(scene: Any) -> None:
    obj = make_armature([])
    assert armatures.read_rig(obj).names == ()
    assert armatures.selected_bones(obj) == []
    heads, tails, turned = computed(obj)
    assert heads.shape == tails.shape == (0, 3)
    assert turned.shape == (0, 3, 3)


def test_units_of_the_scene(scene: Any) -> None:
    assert armatures.metres_per_unit(scene) == 1
    scene.unit_settings.scale_length = 0.01
    assert armatures.metres_per_unit(scene) == pytest.approx(0.01)


@pytest.mark.parametrize("mode", ["QUATERNION", "AXIS_ANGLE", "ZXY"])
def test_objects_move_by_their_own_curves(scene: Any, mode: str) -> None:
    rng = np.random.default_rng(11)
    parent = bpy.data.objects.new("parent", None)
    obj = make_armature([("a", "", (0, 0, 0), (0, 0, 1))])
    scene.collection.objects.link(parent)
    parent.location, parent.rotation_euler = rng.normal(size=3), rng.normal(size=3)
    bpy.context.view_layer.update()
    obj.parent, obj.matrix_parent_inverse = parent, parent.matrix_world.inverted()
    parent.location.x += 1
    obj.rotation_mode = mode
    obj.delta_location, obj.delta_scale = rng.normal(size=3), (1, 2, 0.5)
    if mode != "AXIS_ANGLE":
        delta = "delta_rotation_quaternion" if mode == "QUATERNION" else "delta_rotation_euler"
        setattr(obj, delta, rng.normal(size=4 if mode == "QUATERNION" else 3))
    bpy.context.view_layer.update()
    assert armatures.sample_world(obj, lambda key: None, 3).shape == (4, 4)
    for channel in (channel_name(mode), "location", "scale"):
        for frame in (1, 4):
            setattr(obj, channel, rng.uniform(0.5, 1.5, len(getattr(obj, channel))))
            obj.keyframe_insert(channel, frame=frame)
    frames = np.arange(1, 5)
    expected, values = [], {}
    for frame in frames:
        scene.frame_set(int(frame))
        expected.append(np.array(obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world))
        for channel in (channel_name(mode), "location", "scale"):
            for index, number in enumerate(getattr(obj, channel)):
                values.setdefault((channel, index), []).append(number)
    got = armatures.sample_world(obj, lambda key: np.array(values[tuple(key)]), 4)
    np.testing.assert_allclose(got, expected, atol=1e-5)


@UNCLOSED
@pytest.mark.parametrize("mode", ["NATIVE", "QUATERNION"])
def test_an_imported_take_stands_where_blender_shows_it(scene: Any, mode: str) -> None:
    path = shared("data", "real", "reactidle", "003_genuine.bvh")
    bpy.ops.import_anim.bvh(filepath=str(path), rotate_mode=mode, update_scene_duration=True)
    obj = bpy.context.object
    rig = armatures.read_rig(obj)
    frames = np.arange(1, scene.frame_end + 1)
    curves = list(read_curves(active_source(obj)))
    pose = sample_pose(rig.names, armatures.rest_channels(obj), linear_sampler(curves, frames), len(frames))
    heads, tails = world_ends(rig, *pose)
    assert np.ptp(heads, axis=0).max() > 0.01
    for row in range(0, len(frames), 101):
        scene.frame_set(int(frames[row]))
        expected = evaluated(obj)
        np.testing.assert_allclose(heads[row], expected[0], atol=1e-5)
        np.testing.assert_allclose(tails[row], expected[1], atol=1e-5)


@UNCLOSED
def test_feet_of_an_imported_take_stand_still_in_blender(scene: Any) -> None:
    path = shared("data", "real", "reactidle", "003_genuine.bvh")
    bpy.ops.import_anim.bvh(filepath=str(path), rotate_mode="QUATERNION", update_scene_duration=True)
    obj = bpy.context.object
    rig, frames = armatures.read_rig(obj), np.arange(1, 301)
    sampler = linear_sampler(read_curves(active_source(obj)), frames)
    quats, locations, _ = sample_pose(rig.names, armatures.rest_channels(obj), sampler, len(frames))
    kept = keep_feet(rig, quats, locations, fps=30)
    assert kept.slide_before is not None
    assert kept.slide_after is not None
    assert kept.slide_after < 0.3 * kept.slide_before
    for name, values in kept.quats.items():
        quats[:, rig.names.index(name)] = values
    for name, values in kept.locations.items():
        locations[:, rig.names.index(name)] = values
    obj.animation_data_clear()
    feet = [rig.names.index(f"foot.{side}") for side in "LR"]
    predicted, shown = world_ends(rig, quats, locations)[0][:, feet], []
    for row in range(0, len(frames), 25):
        for k, bone in enumerate(rig.names):
            obj.pose.bones[bone].rotation_quaternion = quats[row, k]
            obj.pose.bones[bone].location = locations[row, k]
        shown.append(evaluated(obj)[0][feet])
    np.testing.assert_allclose(shown, predicted[::25], atol=1e-5)
