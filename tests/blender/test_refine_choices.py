"""What the animator chooses for Refine: range, marked keys, cycles, bones, channels, strengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.blender import refine_scenes as rs

HIPS = 'pose.bones["Hips"].rotation_quaternion'
PLACE = 'pose.bones["Hips"].location'
FRAMES = np.arange(1.0, 151.0)


def _changes(obj: Any, path: str, original: Any) -> np.ndarray:
    """Return (K,) how much each key of a property was changed."""
    before = {c.array_index: rs.column(c) for c in rs.all_curves(original) if c.data_path == path}
    after = rs.values(obj, path)
    return np.abs(after - np.stack([before[i][:, 1] for i in sorted(before)], axis=1)).max(axis=1)


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "AXIS_ANGLE"])
@pytest.mark.parametrize("which", ["SCENE", "PREVIEW"])
def test_outside_the_range_nothing_changes_and_there_is_no_pop(scene: Any, which: str, mode: str) -> None:
    """Bit for bit outside; at both ends the change grows from nothing."""
    obj = rs.hero(150, mode, 2.0, bones=("Hips", "Spine"))
    original = obj.animation_data.action
    name = {"QUATERNION": "rotation_quaternion", "XYZ": "rotation_euler", "AXIS_ANGLE": "rotation_axis_angle"}[mode]
    before = rs.pose(obj, "Hips", FRAMES)
    scene.frame_start, scene.frame_end = 40, 110
    if which == "PREVIEW":
        scene.frame_start, scene.frame_end = 1, 150
        scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 40, 110
    assert rs.refine(frames=which) == {"FINISHED"}
    for path in (f'pose.bones["Hips"].{name}', PLACE):
        changes = _changes(obj, path, original)
        assert (changes[:40] == 0).all()
        assert (changes[109:] == 0).all()
        assert (changes[50:100] > 0).mean() > 0.9
    change = rs.degrees(rs.pose(obj, "Hips", FRAMES), before)
    inside = change[55:95].mean()
    assert change[[40, 108]].max() < 0.1 * inside
    assert change[[41, 107]].max() < 0.3 * inside
    between = np.arange(38.0, 44.0, 0.25)
    steps = rs.degrees(*[rs.pose(obj, "Hips", between)[cut] for cut in (slice(1, None), slice(None, -1))])
    assert steps.max() < 5


def test_the_range_is_one_of_scene_frames(scene: Any) -> None:
    """Under time remapping, and in a strip that starts later, other frames of the action lie within it."""
    obj = rs.hero(150, bones=("Hips",))
    original = obj.animation_data.action
    played = rs.values(obj, HIPS)[39]
    scene.render.frame_map_new = 200
    assert rs.degrees(rs.pose(obj, "Hips", [80]), played[None]).max() < 0.1
    scene.frame_start, scene.frame_end = 80, 220
    assert rs.refine(frames="SCENE") == {"FINISHED"}
    changed = np.flatnonzero(_changes(obj, HIPS, original) > 0)
    assert (changed[0], changed[-1]) == (40, 108)
    bpy.ops.smoothnet.revert()
    scene.render.frame_map_new = 100
    data = obj.animation_data
    data.nla_tracks.new().strips.new("Take", 21, original)
    data.action = None
    scene.frame_start, scene.frame_end = 60, 130
    assert rs.degrees(rs.pose(obj, "Hips", [60]), played[None]).max() < 0.1
    assert rs.refine(frames="SCENE") == {"FINISHED"}
    data.action = data.nla_tracks[0].strips[0].action
    if hasattr(data, "action_slot"):
        data.action_slot = data.nla_tracks[0].strips[0].action_slot
    changed = np.flatnonzero(_changes(obj, HIPS, original) > 0)
    assert (changed[0], changed[-1]) == (40, 108)


def test_a_preview_range_that_is_not_set_is_asked_for(scene: Any) -> None:
    """And a range without any key changes nothing."""
    obj = rs.hero(bones=("Hips",))
    with pytest.raises(RuntimeError, match="range: expected a preview range in the timeline, received none"):
        rs.refine(frames="PREVIEW")
    scene.frame_start, scene.frame_end = 500, 600
    state = rs.file_state()
    with pytest.raises(RuntimeError, match="nothing to refine: Hips: rotation_quaternion: no key lies in the range"):
        rs.refine(frames="SCENE")
    assert rs.file_state() == state
    assert obj.animation_data.action.name in bpy.data.actions


def test_marked_and_selected_keys_stay_exactly(scene: Any) -> None:
    """Extremes by default, other types and selected ones on request; their neighbours do not jump."""
    obj = rs.hero(150, noise=2.0, bones=("Hips",))
    original = obj.animation_data.action
    for c in rs.curves(obj):
        for p in c.keyframe_points:
            p.select_control_point = False
        c.keyframe_points[60].type = "EXTREME"
        c.keyframe_points[90].type = "BREAKDOWN"
        c.keyframe_points[120].select_control_point = True
    cases = (({}, [60]), ({"marked": {"BREAKDOWN"}}, [90]), ({"marked": {"EXTREME"}, "keep_selected": True}, [60, 120]))
    for settings, stay in cases:
        assert rs.refine(**settings) == {"FINISHED"}
        for path in (HIPS, PLACE):
            changes = _changes(obj, path, original)
            assert set(np.flatnonzero(changes == 0)) == set(stay), settings
        for at in stay:
            assert _changes(obj, HIPS, original)[[at - 1, at + 1]].max() < 0.35 * _changes(obj, HIPS, original).max()
            assert {p.type for c in rs.curves(obj) for p in [c.keyframe_points[60]]} == {"EXTREME"}


def test_marked_keys_stay_in_an_original_whose_quaternions_change_sign(scene: Any) -> None:
    """Keys at w >= 0, as exporters write them: what stays does not make the curve jump more often than before."""
    obj = rs.armature(bones=("Hips",))
    quats = rs.swing(FRAMES / 20, 2.0, size=250.0)
    quats *= np.where(quats[:, :1] < 0, -1.0, 1.0)
    rs.key(obj, HIPS, FRAMES, quats)
    jumps = (quats[1:] * quats[:-1]).sum(axis=1) < 0
    assert jumps.sum() >= 2
    for c in rs.curves(obj):
        for at in (30, 75, 120):
            c.keyframe_points[at].type = "EXTREME"
    assert rs.refine() == {"FINISHED"}
    new = rs.values(obj, HIPS)
    assert not (((new[1:] * new[:-1]).sum(axis=1) < 0) & ~jumps).any()
    assert np.abs(new - quats.astype(np.float32))[[30, 75, 120]].max() == 0


def test_range_edges_of_wrapped_eulers_keep_their_turns(scene: Any) -> None:
    """An original that wraps at half a turn, as BVH files do, gets no further wrap at the edge of a range."""
    obj = rs.armature(bones=("Hips",))
    obj.pose.bones["Hips"].rotation_mode = "XYZ"
    rng = np.random.default_rng(0)
    angle = 0.12 * FRAMES + rng.normal(scale=0.02, size=150)
    wrapped = np.stack([0 * angle, 0 * angle, (angle + np.pi) % (2 * np.pi) - np.pi], axis=1)
    rs.key(obj, 'pose.bones["Hips"].rotation_euler', FRAMES, wrapped)
    jumps = np.abs(np.diff(wrapped[:, 2])) > 3
    scene.frame_start, scene.frame_end = 15, 130
    assert rs.refine(frames="SCENE") == {"FINISHED"}
    new = rs.values(obj, 'pose.bones["Hips"].rotation_euler')
    assert not ((np.abs(np.diff(new[:, 2])) > 3) & ~jumps).any()
    assert np.abs(new - wrapped)[[*range(14), *range(130, 150)]].max() < 1e-6


@pytest.mark.parametrize("told", ["modifiers", "action", "asked"])
@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ"])
def test_cycles_are_seamless_in_value_and_slope(scene: Any, told: str, mode: str) -> None:
    """Whoever says that the clip repeats; the root goes on from where it ended."""
    obj = rs.armature(bones=("Hips", "Spine"))
    times = np.arange(1.0, 42.0)
    rng = np.random.default_rng(4)
    phase = 2 * np.pi * (times - 1) / 40
    angles = np.stack([0.6 * np.sin(phase), 0.3 * np.cos(phase), 0.1 * np.sin(2 * phase)], axis=1)
    angles = angles + rng.normal(scale=0.03, size=angles.shape)
    name = "rotation_euler"
    if mode == "QUATERNION":
        from mathutils import Euler

        name, angles = "rotation_quaternion", np.array([Euler(row).to_quaternion() for row in angles])
    for bone in ("Hips", "Spine"):
        obj.pose.bones[bone].rotation_mode = mode
        rs.key(obj, f'pose.bones["{bone}"].{name}', times, angles)
    walk = np.stack([0.05 * times, 0.1 * np.sin(phase), 0 * times], axis=1) + rng.normal(scale=0.01, size=(41, 3))
    rs.key(obj, PLACE, times, walk)
    if told == "modifiers":
        for c in rs.curves(obj):
            cycles = c.modifiers.new("CYCLES")
            both = "REPEAT_OFFSET" if c.data_path == PLACE else "REPEAT"
            cycles.mode_before = cycles.mode_after = both
    if told == "action":
        action = obj.animation_data.action
        action.use_frame_range, action.use_cyclic, action.frame_start, action.frame_end = True, True, 1, 41
    assert rs.refine(**({"cyclic": "ON"} if told == "asked" else {})) == {"FINISHED"}
    for path, old in ((f'pose.bones["Hips"].{name}', angles), (PLACE, walk)):
        new = rs.values(obj, path)
        shift = new[-1] - new[0]
        if path != PLACE:
            assert np.abs(shift).max() < 1e-5
        elif told == "modifiers":
            assert np.abs(shift - (walk[-1] - walk[0])).max() < 1e-5
        else:
            # Nobody says how it repeats: what goes on is what moved by more than noise.
            assert shift[0] == pytest.approx(walk[-1, 0] - walk[0, 0], abs=1e-5)
            assert np.abs(shift[1:]).max() < 1e-6
        slopes = (new[-1] - new[-2]) - (new[1] - new[0])
        bends = np.abs(np.diff(new, 2, axis=0))
        assert np.abs(slopes).max() < 2 * bends.max()
        assert bends.max() < 0.5 * np.abs(np.diff(old, 2, axis=0)).max()
    if told == "modifiers":
        assert {m.mode_after for c in rs.curves(obj) for m in c.modifiers} == {"REPEAT", "REPEAT_OFFSET"}


def test_a_walk_in_place_repeats_where_it_is(scene: Any) -> None:
    """A location that repeats without offset meets its start again."""
    obj = rs.armature(bones=("Hips",))
    times = np.arange(1.0, 42.0)
    rng = np.random.default_rng(6)
    phase = 2 * np.pi * (times - 1) / 40
    walk = np.stack([np.sin(phase), np.cos(phase), 0.05 * times], axis=1) * 0.3 + rng.normal(scale=0.02, size=(41, 3))
    for c, how in zip(rs.key(obj, PLACE, times, walk), ("REPEAT", "REPEAT", "REPEAT_OFFSET"), strict=True):
        c.modifiers.new("CYCLES").mode_after = how
        c.modifiers[0].mode_before = how
    assert rs.refine() == {"FINISHED"}
    new = rs.values(obj, PLACE)
    assert np.abs((new[-1] - new[0])[:2]).max() < 1e-6
    assert (new[-1] - new[0])[2] == pytest.approx(walk[-1, 2] - walk[0, 2], abs=1e-5)


def test_selected_bones_alone(scene: Any) -> None:
    """In every version's way of selecting; none selected is asked for."""
    obj = rs.hero()
    original = obj.animation_data.action

    def select(*names: str) -> None:
        for bone in obj.pose.bones:
            (bone if hasattr(bone, "select") else bone.bone).select = bone.name in names

    select()
    with pytest.raises(RuntimeError, match="bones of 'Hero': expected selected ones, received none"):
        rs.refine(bones="SELECTED")
    select("Spine", "LeftHand")
    assert rs.refine(bones="SELECTED") == {"FINISHED"}
    for bone in rs.BONES:
        changed = _changes(obj, f'pose.bones["{bone}"].rotation_quaternion', original).max() > 0
        assert changed == (bone in ("Spine", "LeftHand"))
    assert _changes(obj, PLACE, original).max() == 0


def test_channels_and_all_locations(scene: Any) -> None:
    """Rotation or root location alone; other bones' locations on request."""
    obj = rs.hero(bones=("Hips", "Spine"))
    original = obj.animation_data.action
    other = 'pose.bones["Spine"].location'
    rs.key(obj, other, np.arange(1.0, 91.0), np.random.default_rng(0).normal(scale=0.01, size=(90, 3)))
    cases = (({"channels": "ROTATION"}, {HIPS}), ({"channels": "LOCATION"}, {PLACE}), ({}, {HIPS, PLACE}),
             ({"all_locations": True}, {HIPS, PLACE, other}),
             ({"channels": "ROTATION", "all_locations": True}, {HIPS}))  # fmt: skip
    for settings, wanted in cases:
        assert rs.refine(**settings) == {"FINISHED"}
        assert {p for p in (HIPS, PLACE, other) if _changes(obj, p, original).max() > 0} == wanted, settings


def test_strength_overall_and_per_part(scene: Any) -> None:
    """Half the strength is half the way of every rotation; parts that get none are as they were."""
    obj = rs.hero()
    paths = {bone: f'pose.bones["{bone}"].rotation_quaternion' for bone in rs.BONES}
    old = {bone: rs.values(obj, path) for bone, path in paths.items()}
    assert rs.refine() == {"FINISHED"}
    full = {bone: rs.values(obj, path) for bone, path in paths.items()}
    assert rs.refine(strength=0.5, strength_legs=0.0, strength_hands=0.5) == {"FINISHED"}
    for bone, share in zip(rs.BONES, (0.5, 0.5, 0.5, 0.5, 0.25, 0.0), strict=True):
        new = rs.values(obj, paths[bone])
        whole = rs.degrees(old[bone], full[bone])
        assert np.abs(rs.degrees(old[bone], new) - share * whole).max() < 0.05, bone
        if share == 0:
            assert (new == old[bone]).all()
    obj.pose.bones["Head"].smoothnet_part = "LEGS"
    assert rs.refine(strength_legs=0.0) == {"FINISHED"}
    assert (rs.values(obj, paths["Head"]) == old["Head"]).all()


def test_spikes_are_repaired_or_kept(scene: Any) -> None:
    """A single frame far off: believed less where repairs are on."""
    truth = rs.swing(FRAMES / 30, 0.0)
    noisy = rs.swing(FRAMES / 30, 0.3)
    noisy[70] = rs.swing(np.array([0.0]), 0.0, seed=9, size=160.0)[0]
    obj = rs.armature(bones=("Hips",))
    rs.key_rotation(obj, "Hips", FRAMES, noisy, "QUATERNION")
    off = []
    for repair in (True, False):
        assert rs.refine(repair_spikes=repair) == {"FINISHED"}
        off.append(rs.degrees(rs.pose(obj, "Hips", FRAMES), truth)[65:76].max())
    assert off[0] < 2
    assert off[1] > 2 * off[0]


def test_settings_of_the_scene_count_where_a_call_says_nothing(scene: Any) -> None:
    """As the panel shows them."""
    obj = rs.hero(bones=("Hips",))
    original = obj.animation_data.action
    scene.smoothnet.channels = "LOCATION"
    assert rs.refine() == {"FINISHED"}
    assert _changes(obj, HIPS, original).max() == 0
    assert _changes(obj, PLACE, original).max() > 0
    assert rs.refine(channels="BOTH") == {"FINISHED"}
    assert _changes(obj, HIPS, original).max() > 0
