"""Baked keys show what constraints, IK and drivers showed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from blender_addon import baking
from blender_addon.animation.rotation_modes import MODES, channel_name
from blender_addon.bridge import keyframes
from blender_addon.bridge.actions import holder
from tests.blender.baking_rigs import FRAMES, armature, empty, key, key_all, leg, run, seen


def bake(obj: Any, bones: list[str] | None = None, frames: np.ndarray = FRAMES) -> tuple[Any, list[baking.Hold]]:
    names = baking.with_chains(obj, bones or baking.constrained_bones(obj))
    return run(baking.write_pose(obj, run(baking.bake_pose(obj, names, frames)), "baked"))


@pytest.mark.parametrize("mode", MODES)
def test_an_ik_leg_stands_where_it_stood(scene: Any, mode: str) -> None:
    obj, _ = leg(mode)
    before = seen(obj)
    free = obj.pose.bones["shin"].constraints[0]
    free.mute = True
    assert np.abs(seen(obj) - before).max() > 0.1  # IK does something
    free.mute = False
    original = keyframes.active_source(obj)
    keys = {curve.key: curve.values for curve in keyframes.read_curves(original)}

    new, muted = bake(obj)

    assert muted == [baking.Hold("shin", "IK")]
    assert free.mute
    assert keyframes.active_source(obj) == new
    assert original.action.use_fake_user
    np.testing.assert_allclose(seen(obj), before, atol=1e-4)
    for curve in keyframes.read_curves(original):
        np.testing.assert_array_equal(curve.values, keys[curve.key])
    for curve in keyframes.read_curves(new):
        assert np.abs(np.diff(curve.values)).max() < 1.0  # no flips
        if '"hip"' in curve.path or '"foot"' in curve.path:
            np.testing.assert_array_equal(curve.values, keys[curve.key])
    assert all(bone.rotation_mode == mode for bone in obj.pose.bones)


def test_muted_constraints_work_again(scene: Any) -> None:
    obj, _ = leg()
    before = seen(obj)
    original = keyframes.active_source(obj)
    _, muted = bake(obj)
    stored = baking.packed(muted)
    keyframes.assign(obj, original)
    assert baking.unmute(obj, baking.unpacked(stored)) == muted
    assert not obj.pose.bones["shin"].constraints[0].mute
    np.testing.assert_array_equal(seen(obj), before)
    assert baking.unmute(obj, [baking.Hold("shin", "gone"), baking.Hold("gone", "IK")]) == []
    assert baking.unpacked("") == baking.unpacked("[[1]]") == []


def two_bones(mode: str = "QUATERNION", connected: bool = False) -> Any:
    obj = armature(
        {"a": ("", (0, 0, 0), (0, 1, 0)), "b": ("a", (0, 1, 0) if connected else (0.2, 1.1, 0), (0.5, 1.5, 0.8))}
    )
    for bone in obj.pose.bones:
        bone.rotation_mode = mode
    key_all(obj)
    return obj


def moving_target() -> Any:
    target = empty("target")
    key(target, "location", lambda t: (np.sin(t / 4), 0.5, np.cos(t / 5)))
    key(target, "rotation_euler", lambda t: (t / 4, 0.5 * np.sin(t / 3), -t / 9))
    return target


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["COPY_ROTATION", "CHILD_OF", "COPY_TRANSFORMS", "DAMPED_TRACK"])
def test_constraints_of_every_kind(scene: Any, kind: str, mode: str) -> None:
    obj = two_bones(mode)
    constraint = obj.pose.bones["b"].constraints.new(kind)
    constraint.target = moving_target()
    constraint.influence = 0.8
    bpy.context.view_layer.update()
    before = seen(obj)
    new, muted = bake(obj)
    assert baking.constrained_bones(obj) == {}
    assert muted == [baking.Hold("b", constraint.name)]
    np.testing.assert_allclose(seen(obj), before, atol=1e-4)
    moved = {curve.path for curve in keyframes.read_curves(new)}
    assert ('pose.bones["b"].location' in moved) == (kind in ("CHILD_OF", "COPY_TRANSFORMS"))
    assert 'pose.bones["b"].scale' not in moved


@pytest.mark.parametrize("inherit", ["FULL", "FIX_SHEAR", "ALIGNED", "AVERAGE", "NONE"])
@pytest.mark.parametrize("scale", [(1.4, 1.4, 1.4), (-1.0, 1.0, 1.0)])
def test_parents_that_scale(scene: Any, inherit: str, scale: tuple[float, ...]) -> None:
    obj = two_bones()
    key(obj.pose.bones["a"], "scale", lambda t: np.array(scale) * (1 + 0.02 * t))
    obj.data.bones["b"].inherit_scale = inherit
    obj.data.bones["b"].use_local_location = inherit != "AVERAGE"
    obj.pose.bones["b"].scale = (1, 1.2, 1)
    constraint = obj.pose.bones["b"].constraints.new("COPY_LOCATION")
    constraint.target = moving_target()
    turn = obj.pose.bones["b"].constraints.new("COPY_ROTATION")
    turn.target = constraint.target
    turn.mix_mode, turn.target_space, turn.owner_space = "AFTER", "LOCAL", "LOCAL"
    bpy.context.view_layer.update()
    before = seen(obj)
    bake(obj)
    np.testing.assert_allclose(seen(obj), before, atol=2e-4)


@pytest.mark.parametrize("own", [(-1, 1.2, 1), (-1, -1.2, 1), (-1, -1, -1.3)])
def test_bones_that_mirror_themselves_keep_their_scale(scene: Any, own: tuple[float, ...]) -> None:
    obj = two_bones()
    bone = obj.pose.bones["b"]
    bone.scale = own
    turn = bone.constraints.new("COPY_ROTATION")
    turn.target, turn.mix_mode, turn.target_space, turn.owner_space = moving_target(), "ADD", "LOCAL", "LOCAL"
    bone.constraints.new("LIMIT_LOCATION").use_max_x = True
    bpy.context.view_layer.update()
    before = seen(obj)
    new, _ = bake(obj)
    np.testing.assert_allclose(seen(obj), before, atol=1e-4)
    assert not any(curve.path == 'pose.bones["b"].scale' for curve in keyframes.read_curves(new))


def test_constraints_that_mirror_are_baked_as_negative_scale(scene: Any) -> None:
    obj = two_bones()
    constraint = obj.pose.bones["b"].constraints.new("COPY_TRANSFORMS")
    constraint.target = moving_target()
    constraint.target.scale = (-1, 1.1, 1)
    bpy.context.view_layer.update()
    before = seen(obj)
    bake(obj)
    np.testing.assert_allclose(seen(obj), before, atol=1e-4)


def test_stretch_is_kept_as_scale_keys(scene: Any) -> None:
    obj = two_bones()
    constraint = obj.pose.bones["b"].constraints.new("STRETCH_TO")
    constraint.target = moving_target()
    bpy.context.view_layer.update()
    before = seen(obj)
    new, _ = bake(obj)
    assert any(curve.path == 'pose.bones["b"].scale' for curve in keyframes.read_curves(new))
    np.testing.assert_allclose(seen(obj), before, atol=1e-4)


def test_driven_channels_are_baked_and_their_drivers_muted(scene: Any) -> None:
    obj = two_bones("XYZ")
    target = moving_target()
    driver = obj.pose.bones["b"].driver_add("rotation_euler", 1)
    variable = driver.driver.variables.new()
    variable.type = "TRANSFORMS"
    variable.targets[0].id = target
    variable.targets[0].transform_type = "LOC_X"
    driver.driver.expression = f"{variable.name} * 2"
    obj.pose.bones["a"].driver_add("scale", 0).driver.expression = "1.0"
    bpy.context.view_layer.update()
    before = seen(obj)
    assert baking.constrained_bones(obj) == {"b": ["driver"]}
    _, muted = bake(obj)
    assert muted == [baking.Hold("b", "", 'pose.bones["b"].rotation_euler', 1)]
    np.testing.assert_allclose(seen(obj), before, atol=1e-4)


def test_what_holds_bones_is_named(scene: Any) -> None:
    obj, target = leg()
    hip = obj.pose.bones["hip"]
    for influence, mute in ((0.0, False), (1.0, True)):
        constraint = hip.constraints.new("COPY_ROTATION")
        constraint.target, constraint.influence, constraint.mute = target, influence, mute
    hip.constraints.new("COPY_LOCATION")  # without target: not valid
    bpy.context.view_layer.update()
    assert baking.constrained_bones(obj) == {"thigh": ["IK"], "shin": ["IK"]}
    assert baking.with_chains(obj, ["shin"]) == ["thigh", "shin"]
    hip.constraints[0].keyframe_insert("influence", frame=1)
    assert baking.constrained_bones(obj) == {"hip": ["Copy Rotation"], "thigh": ["IK"], "shin": ["IK"]}
    ik = obj.pose.bones["shin"].constraints[0]
    ik.chain_count = 0
    assert baking.constrained_bones(obj)["hip"] == ["Copy Rotation", "IK"]
    ik.use_tail = False
    assert "shin" not in baking.constrained_bones(obj)


def test_a_keyed_switch_does_not_wake_the_constraint(scene: Any) -> None:
    obj, _ = leg()
    ik = obj.pose.bones["shin"].constraints[0]
    for frame, mute in ((1, True), (10, False)):
        ik.mute = mute
        ik.keyframe_insert("mute", frame=frame)
    before = seen(obj)
    assert baking.constrained_bones(obj)
    bake(obj)
    np.testing.assert_allclose(seen(obj), before, atol=1e-4)


def test_an_armature_without_action_gets_one(scene: Any) -> None:
    obj = armature({"a": ("", (0, 0, 0), (0, 1, 0))})
    obj.pose.bones["a"].constraints.new("COPY_TRANSFORMS").target = moving_target()
    bpy.context.view_layer.update()
    before = seen(obj)
    new, _ = bake(obj)
    assert new.action.name == "baked"
    np.testing.assert_allclose(seen(obj), before, atol=1e-4)


def test_fractional_frames_and_keys_outside_of_the_range(scene: Any) -> None:
    obj, _ = leg()
    frames = np.arange(5.0, 10.2, 0.8)
    before = seen(obj, frames)
    old = {curve.key: curve for curve in keyframes.read_curves(keyframes.active_source(obj))}
    new, _ = bake(obj, frames=frames)
    np.testing.assert_allclose(seen(obj, frames), before, atol=1e-4)
    for curve in keyframes.read_curves(new):
        if '"thigh"' in curve.path:
            outside = (curve.times < 5) | (curve.times > frames[-1] + 0.01)
            kept = np.isin(old[curve.key].times, curve.times[outside])
            np.testing.assert_array_equal(curve.values[outside], old[curve.key].values[kept])
            assert outside.sum() == (FRAMES < 5).sum() + np.count_nonzero(frames[-1] + 0.01 < FRAMES)


def test_stopping_leaves_frame_and_file_as_they_were(scene: Any) -> None:
    obj, _ = leg()
    scene.frame_set(7, subframe=0.25)
    actions, before = len(bpy.data.actions), np.array([bone.matrix for bone in obj.pose.bones])
    steps = baking.bake_pose(obj, ["thigh", "shin"], FRAMES)
    shares = [next(steps).share for _ in range(4)]
    assert shares == [0.05, 0.1, 0.15, 0.2]
    steps.close()
    assert (scene.frame_current, scene.frame_subframe) == (7, 0.25)
    assert len(bpy.data.actions) == actions
    assert not obj.pose.bones["shin"].constraints[0].mute
    np.testing.assert_array_equal([bone.matrix for bone in obj.pose.bones], before)


def test_stopping_while_writing_leaves_the_file_as_it_was(scene: Any) -> None:
    obj, _ = leg()
    before, actions = keyframes.active_source(obj), list(bpy.data.actions)
    steps = baking.write_pose(obj, run(baking.bake_pose(obj, ["thigh", "shin"], FRAMES)), "baked")
    assert next(steps).share == 1 / 8
    steps.close()
    assert list(bpy.data.actions) == actions
    assert keyframes.active_source(obj) == before
    assert not before.action.use_fake_user
    assert not obj.pose.bones["shin"].constraints[0].mute


def test_locked_curves_are_refused(scene: Any) -> None:
    obj, _ = leg()
    baked = run(baking.bake_pose(obj, ["thigh", "shin"], FRAMES))
    source = keyframes.active_source(obj)
    path = f'pose.bones["shin"].{channel_name("QUATERNION")}'
    curve = next(c for c in holder(source).fcurves if c.data_path == path and c.array_index == 2)
    curve.lock = True
    actions = len(bpy.data.actions)
    with pytest.raises(ValueError, match="is locked or muted") as error:
        run(baking.write_pose(obj, baked, "baked"))
    assert str(error.value) == f"Bone shin of rig: its curve {path}[2] is locked or muted"
    assert len(bpy.data.actions) == actions
    assert keyframes.active_source(obj) == source
    assert not obj.pose.bones["shin"].constraints[0].mute


def _hide(obj: Any) -> None:
    obj.hide_set(True)


def _rest(obj: Any) -> None:
    obj.data.pose_position = "REST"


def _mix(obj: Any) -> None:
    obj.animation_data.nla_tracks.new()
    obj.animation_data.action_blend_type = "ADD"


def test_a_pose_played_by_nla_strips(scene: Any) -> None:
    obj, _ = leg()
    data = obj.animation_data
    source = keyframes.active_source(obj)
    strip = data.nla_tracks.new().strips.new("walk", 1, source.action)
    if source.slot:
        strip.action_slot = source.slot
    data.action = None
    before = seen(obj)
    new, _ = bake(obj)
    assert {curve.path.split('"')[1] for curve in keyframes.read_curves(new)} == {"thigh", "shin"}
    np.testing.assert_allclose(seen(obj), before, atol=1e-4)


HIDDEN = 'Armature "rig" is hidden: show it to bake, since Blender does not evaluate what is hidden'


@pytest.mark.parametrize(
    ("prepare", "bones", "frames", "message"),
    [
        (_hide, ["shin"], FRAMES, HIDDEN),
        (_rest, ["shin"], FRAMES, 'Armature "rig" shows its rest position: switch to pose position to bake'),
        (
            _mix,
            ["shin"],
            FRAMES,
            'Armature "rig" mixes its action into NLA strips: set it to Replace with influence 1 to bake',
        ),
        (None, ["tail"], FRAMES, 'Armature "rig" has no bone tail'),
        (None, [], FRAMES, 'Armature "rig": there are no bones to bake'),
        (None, ["shin"], [], 'Armature "rig": there are no frames to bake'),
    ],
)  # fmt: skip
def test_what_cannot_be_baked_is_named(scene: Any, prepare: Any, bones: list[str], frames: Any, message: str) -> None:
    obj, _ = leg()
    if prepare:
        prepare(obj)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        run(baking.bake_pose(obj, bones, frames))
    assert str(error.value) == message
