"""What is done with a refined take: compared, blended, applied, reverted, undone, saved and opened again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

import smoothnet_core
from tests.blender import refine_scenes as rs

FRAMES = np.arange(1.0, 91.0)
HIPS = 'pose.bones["Hips"].rotation_quaternion'
ops = bpy.ops.smoothnet


def _quats(obj: Any, bone: str = "Hips") -> np.ndarray:
    return rs.values(obj, f'pose.bones["{bone}"].rotation_quaternion')


def _action(obj: Any) -> Any:
    return obj.animation_data.action


def test_the_original_is_kept_bit_for_bit(scene: Any) -> None:
    """One new action named after the old one, which is kept by a fake user."""
    obj = rs.hero()
    original = _action(obj)
    original["take"] = 7
    before, extra = rs.keys_of(original), {**original}
    assert not original.use_fake_user
    assert rs.refine() == {"FINISHED"}
    assert rs.keys_of(original) == before
    assert {k: v for k, v in original.items() if not k.startswith("smoothnet")} == extra
    assert original.use_fake_user
    assert sorted(a.name for a in bpy.data.actions) == ["HeroAction", "HeroAction_refined"]
    assert _action(obj).name == "HeroAction_refined"


def test_compare_switches_back_and_forth(scene: Any) -> None:
    """The pose is the one of the action that is shown."""
    obj = rs.hero(bones=("Hips",))
    before = rs.pose(obj, "Hips", FRAMES)
    rs.refine()
    refined = rs.pose(obj, "Hips", FRAMES)
    for wanted, name in ((before, "HeroAction"), (refined, "HeroAction_refined"), (before, "HeroAction")):
        assert ops.compare() == {"FINISHED"}
        assert _action(obj).name == name
        assert rs.degrees(rs.pose(obj, "Hips", FRAMES), wanted).max() < 1e-2


@pytest.mark.parametrize("way", ["operator", "slider"])
def test_blend_goes_the_shortest_way_part_by_part(scene: Any, way: str) -> None:
    """Rotations by the angle, locations straight; at both ends exactly original and refined."""
    obj = rs.hero(noise=3.0)
    place = 'pose.bones["Hips"].location'
    old, old_place = {b: _quats(obj, b) for b in rs.BONES}, rs.values(obj, place)
    rs.refine()
    new, new_place = {b: _quats(obj, b) for b in rs.BONES}, rs.values(obj, place)

    def blend(**shares: float) -> None:
        if way == "operator":
            assert ops.set_blend(**shares) == {"FINISHED"}
        else:
            for name, share in shares.items():
                setattr(_action(obj).smoothnet, "blend" if name == "blend" else f"blend_{name}", share)

    for share in (0.25, 0.0, 1.0, 0.6):
        blend(blend=share, legs=0.5)
        for bone in rs.BONES:
            mine = share * (0.5 if bone == "LeftUpLeg" else 1.0)
            whole = rs.degrees(old[bone], new[bone])
            assert np.abs(rs.degrees(old[bone], _quats(obj, bone)) - mine * whole).max() < 0.03
            assert np.abs(rs.degrees(new[bone], _quats(obj, bone)) - (1 - mine) * whole).max() < 0.03
            if mine in (0, 1):
                assert (_quats(obj, bone) == (new if mine else old)[bone]).all()
        assert np.abs(rs.values(obj, place) - old_place - share * (new_place - old_place)).max() < 1e-5
    assert _action(obj).smoothnet.problem == ""


def test_refining_again_starts_from_the_original(scene: Any) -> None:
    """The result is the same as of one refinement, and there is one refined action, whatever is shown."""
    obj = rs.hero(bones=("Hips", "Spine"))
    rs.refine()
    once = _quats(obj)
    for shown in ("refined", "original", "blended"):
        if shown == "original":
            ops.compare()
        if shown == "blended":
            ops.set_blend(blend=0.3)
        assert rs.refine() == {"FINISHED"}
        assert sorted(a.name for a in bpy.data.actions) == ["HeroAction", "HeroAction_refined"]
        assert np.abs(_quats(obj) - once).max() < 1e-6
    ops.revert()
    assert [a.name for a in bpy.data.actions] == ["HeroAction"]
    assert not _action(obj).use_fake_user


def test_what_was_refined_can_be_refined_again(scene: Any) -> None:
    """Asked for: smoother than once, one refined action, and the original is still the first one."""
    obj = rs.hero(bones=("Hips", "Spine"), noise=3.0)
    first = _quats(obj)
    rs.refine()
    once = _quats(obj)
    alone = {"channels": "ROTATION", "repair_spikes": False, "protect_fast": False, "steady_slow": False}
    assert rs.refine(from_original=False, **alone) == {"FINISHED"}
    twice = _quats(obj)
    assert sorted(a.name for a in bpy.data.actions) == ["HeroAction", "HeroAction_refined"]
    wanted = smoothnet_core.refine(once, fps=30, kind="quat_wxyz")
    assert np.abs(twice - wanted).max() < 1e-6 < np.abs(twice - once).max()
    assert rs.refine(from_original=False, strength=0.5) == {"FINISHED"}
    ops.set_blend(blend=0.0)
    assert (_quats(obj) == first).all()
    place = rs.values(obj, 'pose.bones["Hips"].location')
    ops.compare()
    assert _action(obj).name == "HeroAction"
    assert (rs.values(obj, 'pose.bones["Hips"].location') == place).all()
    assert rs.refine(from_original=True) == {"FINISHED"}
    assert np.abs(_quats(obj) - once).max() < 1e-6
    ops.revert()
    assert [a.name for a in bpy.data.actions] == ["HeroAction"]


def test_selected_bones_again_keep_the_others(scene: Any) -> None:
    """Bone after bone with other settings: each keeps what it had."""
    obj = rs.hero(bones=("Hips", "Spine", "Head"))
    old = {b: _quats(obj, b) for b in ("Hips", "Spine", "Head")}

    def select(name: str) -> None:
        for bone in obj.pose.bones:
            (bone if hasattr(bone, "select") else bone.bone).select = bone.name == name

    select("Spine")
    rs.refine(bones="SELECTED")
    spine = _quats(obj, "Spine")
    select("Head")
    assert rs.refine(bones="SELECTED", model="fast") == {"FINISHED"}
    assert (_quats(obj, "Spine") == spine).all()
    assert np.abs(_quats(obj, "Head") - old["Head"]).max() > 1e-3
    assert (_quats(obj, "Hips") == old["Hips"]).all()
    ops.set_blend(blend=0.0)
    for bone, values in old.items():
        assert (_quats(obj, bone) == values).all()


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ"])
@pytest.mark.parametrize("tolerance", [0.0, 0.2, 1.0])
def test_apply_with_fewer_keys_stays_within_the_tolerance(scene: Any, tolerance: float, mode: str) -> None:
    """On every frame, for all bones; and there are fewer keys."""
    obj = rs.hero(mode=mode)
    rs.refine()
    before = {b: rs.pose(obj, b, FRAMES) for b in rs.BONES}
    count = sum(len(c.keyframe_points) for c in rs.curves(obj))
    assert ops.apply(reduce_keys=tolerance > 0, tolerance=max(tolerance, 0.01)) == {"FINISHED"}
    for bone, poses in before.items():
        assert rs.degrees(rs.pose(obj, bone, FRAMES), poses).max() <= tolerance + 2e-2
    left = sum(len(c.keyframe_points) for c in rs.curves(obj))
    assert (left == count) if tolerance == 0 else (left < 0.8 * count)


def test_apply_keeps_the_keys_that_were_marked(scene: Any) -> None:
    """Extremes survive key reduction, exactly as they were in the original."""
    obj = rs.hero(bones=("Hips", "Spine"))
    for c in rs.curves(obj):
        for at in (23, 61):
            c.keyframe_points[at].type = "EXTREME"
    before = {(c.data_path, c.array_index): rs.column(c)[[23, 61]] for c in rs.curves(obj)}
    rs.refine()
    assert ops.apply(reduce_keys=True, tolerance=2.0) == {"FINISHED"}
    for c in rs.curves(obj):
        assert len(c.keyframe_points) < 60
        marked = [tuple(p.co) for p in c.keyframe_points if p.type == "EXTREME"]
        assert np.abs(np.array(marked) - before[c.data_path, c.array_index]).max() < 1e-6


def test_apply_settles_the_blend(scene: Any) -> None:
    """The half-blended take stays, the original too; nothing is left to compare, and Refine begins anew."""
    obj = rs.hero(bones=("Hips",))
    before = _quats(obj)
    rs.refine()
    ops.set_blend(blend=0.5)
    half = _quats(obj)
    ops.compare()
    assert ops.apply() == {"FINISHED"}
    assert _action(obj).name == "HeroAction_refined"
    assert (_quats(obj) == half).all()
    assert bpy.data.actions["HeroAction"].use_fake_user
    assert not [k for a in bpy.data.actions for k, _ in a.items() if k.startswith("smoothnet_")]
    with pytest.raises(RuntimeError, match="have no refined take: press Refine first"):
        ops.compare()
    assert rs.refine() == {"FINISHED"}
    ops.compare()
    assert _action(obj).name == "HeroAction_refined"
    assert (_quats(obj) == half).all()
    assert np.abs(before - half).max() > 1e-4


@pytest.mark.parametrize("fake", [False, True])
def test_revert_leaves_the_file_as_it_was(scene: Any, fake: bool) -> None:
    """Users, fake user, custom properties, keys, all of it."""
    obj = rs.hero()
    _action(obj).use_fake_user = fake
    state = rs.file_state()
    rs.refine()
    rs.refine(strength=0.5)
    ops.set_blend(blend=0.2)
    ops.compare()
    assert ops.revert() == {"FINISHED"}
    after = rs.file_state()
    assert after == state
    with pytest.raises(RuntimeError, match="have no refined take"):
        ops.revert()


def test_saved_and_opened_again_all_goes_on(scene: Any, tmp_path: Any) -> None:
    """Compare, blend, refine again and revert, from what the file holds."""
    obj = rs.hero()
    old = _quats(obj)
    rs.refine(strength=0.5)
    half = _quats(obj)
    path = str(tmp_path / "take.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path, check_existing=False)
    for step in range(2):
        bpy.ops.wm.open_mainfile(filepath=path)
        obj = bpy.data.objects["Hero"]
        assert (_quats(obj) == half).all()
        ops.compare()
        assert _action(obj).name == "HeroAction"
        assert _action(obj).use_fake_user
        ops.compare()
        if step == 0:
            assert ops.set_blend(blend=0.0) == {"FINISHED"}
            assert (_quats(obj) == old).all()
            ops.set_blend(blend=1.0)
            assert np.abs(rs.degrees(old, _quats(obj)) - 2 * rs.degrees(old, half)).max() < 0.03
            assert rs.refine(strength=0.5) == {"FINISHED"}
            assert np.abs(_quats(obj) - half).max() < 1e-6
        else:
            assert ops.revert() == {"FINISHED"}
            assert [(a.name, a.use_fake_user) for a in bpy.data.actions] == [("HeroAction", False)]


def test_undo_takes_one_step_back(scene: Any) -> None:
    """Refine is one step, a blend another; afterwards the sliders still work."""
    obj = rs.hero(bones=("Hips",))
    old = _quats(obj)
    bpy.ops.ed.undo_push(message="start")
    rs.refine()
    bpy.ops.ed.undo_push(message="refine")
    new = _quats(bpy.data.objects["Hero"])
    ops.set_blend(blend=0.0)
    bpy.ops.ed.undo_push(message="blend")
    bpy.ops.ed.undo()
    obj = bpy.data.objects["Hero"]
    assert (_quats(obj) == new).all()
    assert ops.set_blend(blend=0.5) == {"FINISHED"}
    assert np.abs(rs.degrees(old, _quats(obj)) - 0.5 * rs.degrees(old, new)).max() < 0.03
    bpy.ops.ed.undo()
    obj = bpy.data.objects["Hero"]
    assert (_quats(obj) == old).all()
    assert [(a.name, a.use_fake_user) for a in bpy.data.actions] == [("HeroAction", False)]
    assert rs.refine() == {"FINISHED"}
    assert np.abs(_quats(obj) - new).max() < 1e-6
