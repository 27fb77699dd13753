"""Refine on armatures: every rotation mode, keys as they come, and what must stay as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.blender import refine_scenes as rs

FRAMES = np.arange(1.0, 91.0)


def _bone(mode: str, quats: np.ndarray, times: np.ndarray = FRAMES, **how: Any) -> Any:
    obj = rs.armature(bones=("Hips",))
    rs.key_rotation(obj, "Hips", times, quats, mode, **how)
    return obj


def _path(mode: str, bone: str = "Hips") -> str:
    channel = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}.get(mode, "rotation_euler")
    return f'pose.bones["{bone}"].{channel}'


@pytest.mark.parametrize("mode", rs.MODES)
def test_a_take_gets_nearer_to_the_truth_in_every_mode(scene: Any, mode: str) -> None:
    """Less jitter, nearer to the truth, keys where they were, unit quaternions and no flip."""
    truth, noisy = rs.swing(FRAMES / 30, 0.0), rs.swing(FRAMES / 30, 1.5)
    obj = _bone(mode, noisy)
    original = obj.animation_data.action
    assert rs.refine() == {"FINISHED"}
    assert obj.animation_data.action != original
    found = rs.pose(obj, "Hips", FRAMES)
    assert rs.roughness(found) < 0.4 * rs.roughness(noisy)
    assert rs.degrees(found, truth).mean() < 0.75 * rs.degrees(noisy, truth).mean()
    assert obj.pose.bones["Hips"].rotation_mode == mode
    new = rs.values(obj, _path(mode))
    if mode == "QUATERNION":
        assert np.abs(np.linalg.norm(new, axis=1) - 1).max() < 1e-6
    if mode != "AXIS_ANGLE":
        assert np.abs(np.diff(new, axis=0)).max() < 0.5
    for curve in rs.curves(obj):
        assert (rs.column(curve)[:, 0] == FRAMES).all()


def test_the_same_take_in_all_modes_of_one_rig_is_one_pose(scene: Any) -> None:
    """Within 0.1 degrees on every frame, each bone in a mode of its own."""
    obj = rs.armature(bones=[f"B{mode}" for mode in rs.MODES])
    noisy = rs.swing(FRAMES / 30, 1.5, size=80.0)
    for mode in rs.MODES:
        rs.key_rotation(obj, f"B{mode}", FRAMES, noisy, mode)
    assert rs.refine() == {"FINISHED"}
    first = rs.pose(obj, "BQUATERNION", FRAMES)
    assert rs.degrees(first, noisy).max() > 0.5
    for mode in rs.MODES[1:]:
        assert obj.pose.bones[f"B{mode}"].rotation_mode == mode
        assert rs.degrees(rs.pose(obj, f"B{mode}", FRAMES), first).max() < 0.1


@pytest.mark.parametrize("mode", rs.MODES)
def test_winding_on_past_whole_turns_does_not_flip(scene: Any, mode: str) -> None:
    """A wheel that turns four times, and one that turns the other way, in between frames too."""
    axis = np.array([0.0, 0.0, 1.0])
    angle = 0.28 * FRAMES + np.random.default_rng(1).normal(scale=0.02, size=90)
    noisy = np.column_stack([np.cos(angle / 2), np.sin(angle / 2)[:, None] * axis])
    obj = _bone(mode, noisy)
    if mode == "AXIS_ANGLE":
        for index, numbers in enumerate((angle, 0 * angle, 0 * angle, 0 * angle + 1)):
            points = rs.curve(obj, _path(mode), index).keyframe_points
            points.foreach_set("co", np.column_stack([FRAMES, numbers]).ravel())
    assert rs.refine() == {"FINISHED"}
    halves = rs.pose(obj, "Hips", np.arange(1.0, 90.0, 0.5))
    steps = rs.degrees(halves[1:], halves[:-1])
    assert steps.max() < 11
    assert steps.min() > 5


@pytest.mark.parametrize("mode", ["XYZ", "ZXY", "YZX"])
def test_gimbal_lock_is_passed_without_a_flip(scene: Any, mode: str) -> None:
    """The middle angle goes through a quarter turn and back: the pose in between frames stays near the keys'."""
    from mathutils import Euler

    rng = np.random.default_rng(2)
    angles = np.zeros((90, 3))
    middle = "XYZ".index(mode[1])
    angles[:, middle] = 1.45 * np.sin(FRAMES / 20)
    angles += rng.normal(scale=0.01, size=angles.shape)
    obj = rs.armature(bones=("Hips",))
    obj.pose.bones["Hips"].rotation_mode = mode
    rs.key(obj, _path(mode), FRAMES, angles)
    assert rs.refine() == {"FINISHED"}
    new = rs.values(obj, _path(mode))
    assert np.abs(new - angles).max() < 0.6
    wanted = np.array([Euler(row, mode).to_quaternion() for row in angles])
    assert rs.degrees(rs.pose(obj, "Hips", FRAMES), wanted).max() < 3


@pytest.mark.parametrize("step", [2.0, 0.8, 0.5])
def test_keys_that_are_not_on_every_frame_stay_where_they_are(scene: Any, step: float) -> None:
    """Every second frame, glTF's fractional ones, two a frame."""
    times = 1.0 + step * np.arange(90)
    obj = _bone("QUATERNION", rs.swing(times / 30, 1.5), times)
    before = rs.pose(obj, "Hips", times)
    assert rs.refine() == {"FINISHED"}
    assert np.abs(rs.column(rs.curves(obj)[0])[:, 0] - times).max() < 1e-4
    after = rs.pose(obj, "Hips", times)
    assert rs.roughness(after) < 0.6 * rs.roughness(before)
    assert rs.degrees(after, rs.swing(times / 30, 0.0)).mean() < rs.degrees(before, rs.swing(times / 30, 0.0)).mean()


@pytest.mark.parametrize("interpolation", ["LINEAR", "BEZIER"])
def test_uneven_keys_are_refined_where_they_are(scene: Any, interpolation: str) -> None:
    """Keys dropped here and there keep their times and interpolation, and no key is added."""
    keep = np.random.default_rng(5).random(90) > 0.4
    keep[[0, -1]] = True
    times = FRAMES[keep]
    obj = _bone("QUATERNION", rs.swing(times / 30, 1.5), times, interpolation=interpolation)
    assert rs.refine(fill_gaps=False) == {"FINISHED"}
    for curve in rs.curves(obj):
        assert (rs.column(curve)[:, 0] == times).all()
        assert {p.interpolation for p in curve.keyframe_points} == {interpolation}
    truth = rs.swing(times / 30, 0.0)
    found = rs.pose(obj, "Hips", times)
    assert rs.degrees(found, truth).mean() < 0.9 * rs.degrees(rs.swing(times / 30, 1.5), truth).mean()


def test_gaps_are_filled_and_long_ones_are_not(scene: Any) -> None:
    """A hole of 8 frames gets keys that go on with the motion; one of 40 gets none."""
    frames = np.arange(1.0, 201.0)
    times = frames[((frames < 40) | (frames > 47)) & ((frames < 100) | (frames > 140))]
    obj = _bone("QUATERNION", rs.swing(times / 30, 0.5), times)
    original = obj.animation_data.action
    assert rs.refine() == {"FINISHED"}
    found = rs.column(rs.curves(obj)[0])[:, 0]
    assert set(found) == set(times) | set(np.arange(40.0, 48.0))
    hole = np.arange(40.0, 48.0)
    assert rs.degrees(rs.pose(obj, "Hips", hole), rs.swing(hole / 30, 0.0, size=40)).max() < 4
    assert len(rs.all_curves(original)[0].keyframe_points) == len(times)
    assert rs.refine(fill_gaps=False) == {"FINISHED"}
    assert set(rs.column(rs.curves(obj)[0])[:, 0]) == set(times)


def test_stepped_and_bezier_keys_keep_their_interpolation_and_handles_move_along(scene: Any) -> None:
    """CONSTANT stays so; free handles keep their offset from the key."""
    obj = _bone("QUATERNION", rs.swing(FRAMES / 30, 1.5), interpolation="BEZIER")
    curves = rs.curves(obj)
    for point in curves[1].keyframe_points[10:20]:
        point.interpolation = "CONSTANT"
    for point in curves[2].keyframe_points:
        point.handle_left_type = point.handle_right_type = "FREE"
        point.handle_right = point.co[0] + 0.3, point.co[1] + 0.01
    before = rs.column(curves[2], "handle_right") - rs.column(curves[2])
    assert rs.refine() == {"FINISHED"}
    new = rs.curves(obj)
    assert [p.interpolation for p in new[1].keyframe_points].count("CONSTANT") == 10
    assert np.abs(rs.column(new[2], "handle_right") - rs.column(new[2]) - before).max() < 1e-5


@pytest.mark.parametrize(
    ("fps", "base", "old", "new"),
    [(24, 1.0, 100, 100), (25, 1.0, 100, 100), (30, 1.001, 100, 100), (60, 1.0, 100, 100), (120, 1.0, 100, 100),
     (60, 1.0, 100, 200), (24, 1.0, 200, 100)],
)  # fmt: skip
def test_the_same_seconds_give_the_same_result(scene: Any, fps: int, base: float, old: int, new: int) -> None:
    """Keys 30 to the second, whatever a frame is: rate, base and time remapping."""
    seconds = np.arange(90) / 30
    noisy = rs.swing(seconds, 1.5)
    wanted = _bone("QUATERNION", noisy, 1.0 + 30 * seconds)
    assert rs.refine() == {"FINISHED"}
    values = rs.values(wanted, _path("QUATERNION"))
    scene.render.fps, scene.render.fps_base = fps, base
    scene.render.frame_map_old, scene.render.frame_map_new = old, new
    # A frame of the action plays for so many frames of the scene.
    obj = _bone("QUATERNION", noisy, 1.0 + seconds * fps / base * old / new)
    assert rs.refine() == {"FINISHED"}
    assert np.abs(rs.values(obj, _path("QUATERNION")) - values).max() < 2e-3


def test_locked_and_muted_curves_stay_bit_for_bit_and_are_named(scene: Any) -> None:
    """A locked curve keeps its whole bone; a muted group keeps its own; all else is refined."""
    obj = rs.hero()
    spine, head = (f'pose.bones["{name}"].rotation_quaternion' for name in ("Spine", "Head"))
    rs.curve(obj, spine, 2).lock = True
    if rs.curve(obj, head, 0).group is None:  # Blender 4.2 makes none by itself.
        group = obj.animation_data.action.groups.new("Head")
        for index in range(4):
            rs.curve(obj, head, index).group = group
    rs.curve(obj, head, 0).group.mute = True
    before = {c[:2]: c for c in rs.keys_of(obj.animation_data.action)}
    assert rs.refine() == {"FINISHED"}
    action = obj.animation_data.action
    for c in rs.keys_of(action):
        assert (c[2] == before[c[:2]][2]) == (c[0] in (spine, head)), c[:2]
        assert c[3] == before[c[:2]][3]
    lines = action.smoothnet.skipped.split("\n")
    assert "Spine: rotation_quaternion: muted or locked" in lines
    assert "Head: rotation_quaternion: muted or locked" in lines


def test_scale_drivers_properties_and_modifiers_are_carried_over(scene: Any) -> None:
    """Everything that is not refined is in the new action as it was."""
    obj = rs.hero()
    action = obj.animation_data.action
    obj.pose.bones["Head"]["grip"] = 0.5
    rng = np.random.default_rng(3)
    rs.key(obj, 'pose.bones["Head"].scale', FRAMES, rng.random((90, 3)) + 0.5)
    rs.key(obj, 'pose.bones["Head"]["grip"]', FRAMES, rng.random(90))
    rs.curve(obj, 'pose.bones["LeftArm"].rotation_quaternion', 1).modifiers.new("NOISE")
    driver = obj.pose.bones["LeftHand"].driver_add("location", 0)
    driver.driver.expression = "frame / 10"
    action["note"] = "take 3"
    before = {c[:2]: c for c in rs.keys_of(action)}
    assert rs.refine() == {"FINISHED"}
    new = obj.animation_data.action
    after = {c[:2]: c for c in rs.keys_of(new)}
    assert set(after) == set(before)
    for key, c in before.items():
        if key[0].endswith(("scale", '["grip"]')) or "LeftArm" in key[0]:
            assert after[key] == c
    assert new["note"] == "take 3"
    assert len(obj.animation_data.drivers) == 1
    assert "LeftArm: rotation_quaternion: it has F-curve modifiers" in new.smoothnet.skipped.split("\n")


def test_sparse_curves_are_named_and_skipped_or_baked(scene: Any) -> None:
    """Two keys a second say too little; asked for, they get a key on every frame."""
    obj = rs.hero(bones=("Hips", "Spine"))
    times = np.arange(1.0, 92.0, 15.0)
    arm = 'pose.bones["Spine"].rotation_quaternion'
    for c in [c for c in rs.curves(obj) if c.data_path == arm]:
        while len(c.keyframe_points) > 0:
            c.keyframe_points.remove(c.keyframe_points[0])
        for t, value in zip(times, rs.swing(times / 30, 0.0)[:, c.array_index], strict=True):
            c.keyframe_points.insert(t, value)
    before = rs.values(obj, arm)
    played = rs.pose(obj, "Spine", np.arange(1.0, 92.0))
    assert rs.refine() == {"FINISHED"}
    assert (rs.values(obj, arm) == before).all()
    assert "Spine: rotation_quaternion: fewer than 5 keys a second" in obj.animation_data.action.smoothnet.skipped
    assert rs.refine(bake_sparse=True) == {"FINISHED"}
    assert (rs.column(rs.curve(obj, arm))[:, 0] == np.arange(1.0, 92.0)).all()
    assert rs.degrees(rs.pose(obj, "Spine", np.arange(1.0, 92.0)), played).max() < 3


def test_models_and_a_file_that_is_none(scene: Any, tmp_path: Any) -> None:
    """Every shipped model refines; a bad file is a message and no change."""
    obj = rs.hero(bones=("Hips",))
    results = []
    for model in ("default", "fast", "deglitch"):
        assert rs.refine(model=model) == {"FINISHED"}
        results.append(rs.values(obj, 'pose.bones["Hips"].rotation_quaternion'))
    assert np.abs(results[0] - results[1]).max() > 1e-5
    assert np.abs(results[0] - results[2]).max() > 1e-5
    assert bpy.ops.smoothnet.revert() == {"FINISHED"}
    state = rs.file_state()
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"these are no weights")
    pickled = tmp_path / "bad.pth"
    pickled.write_bytes(b"cos\nsystem\n(S'touch never'\ntR.")
    cases = {
        str(bad): "bad.safetensors",
        str(pickled): "bad.pth",
        str(tmp_path): str(tmp_path),
        str(tmp_path / "none.safetensors"): "none.safetensors",
        "": "expected a file of weights",
    }
    for file, text in cases.items():
        with pytest.raises(RuntimeError, match="Error: ") as caught:
            rs.refine(model="FILE", model_file=file)
        assert text in str(caught.value)
        assert "Traceback" not in str(caught.value)
        assert rs.file_state() == state


@pytest.mark.parametrize("name", ['He said "hi"', "back\\slash", "Größe.L", "a]b[0]", "line\nbreak"])
def test_bones_of_any_name(scene: Any, name: str) -> None:
    """Quotes, backslashes, brackets: escaped in data paths, and named in messages as they are."""
    obj = rs.armature(bones=("Hips",))
    bone = obj.pose.bones["Hips"]
    bone.name = name
    path = f"{bone.path_from_id()}.rotation_quaternion"
    rs.key(obj, path, FRAMES, rs.swing(FRAMES / 30, 2.0))
    noisy = rs.values(obj, path)
    assert rs.refine() == {"FINISHED"}
    assert rs.roughness(rs.values(obj, path)) < 0.4 * rs.roughness(noisy)
    bone.rotation_mode = "XYZ"
    assert bpy.ops.smoothnet.revert() == {"FINISHED"}
    with pytest.raises(RuntimeError, match="its rotation mode does not use these curves") as caught:
        rs.refine()
    assert name in str(caught.value)


@pytest.mark.parametrize("start", [-5000.0, 100001.0])
@pytest.mark.parametrize("step", [1.0, 0.8])
def test_takes_far_from_the_first_frame(scene: Any, start: float, step: float) -> None:
    """Where single precision tells times apart by hundredths only: the same as near the start."""
    noisy = rs.swing(step * np.arange(90) / 30, 1.5)
    made = []
    for first in (1.0, start):
        obj = _bone("QUATERNION", noisy, first + step * np.arange(90))
        assert rs.refine() == {"FINISHED"}
        made.append(rs.values(obj, _path("QUATERNION")))
    assert len(made[1]) == 90
    assert np.abs(made[0] - made[1]).max() < 2e-3


def test_components_keyed_at_different_times(scene: Any) -> None:
    """Every curve keeps its own keys."""
    obj = _bone("QUATERNION", rs.swing(FRAMES / 30, 1.0))
    second = rs.curve(obj, _path("QUATERNION"), 2)
    for at in range(88, 0, -2):
        second.keyframe_points.remove(second.keyframe_points[at])
    times = [rs.column(c)[:, 0].tolist() for c in rs.curves(obj)]
    before = rs.pose(obj, "Hips", FRAMES)
    assert rs.refine() == {"FINISHED"}
    assert [rs.column(c)[:, 0].tolist() for c in rs.curves(obj)] == times
    assert rs.degrees(rs.pose(obj, "Hips", FRAMES), before).max() < 8
