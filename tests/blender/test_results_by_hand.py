"""Refined takes whose actions were renamed, removed or changed by hand: every button says what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.blender import refine_scenes as rs

HIPS = 'pose.bones["Hips"].rotation_quaternion'
ops = bpy.ops.smoothnet
BUTTONS = ("compare", "set_blend", "apply", "revert")


def _refined() -> Any:
    obj = rs.hero(bones=("Hips", "Spine"))
    assert rs.refine() == {"FINISHED"}
    return obj


def _buttons_say(message: str) -> None:
    for name in BUTTONS:
        state = rs.file_state()
        with pytest.raises(RuntimeError, match=message):
            getattr(ops, name)(**({"blend": 0.5} if name == "set_blend" else {}))
        assert rs.file_state() == state


def test_renamed_actions_are_still_a_pair(scene: Any) -> None:
    """Names are the animator's."""
    obj = _refined()
    old, new = bpy.data.actions["HeroAction"], bpy.data.actions["HeroAction_refined"]
    old.name, new.name = "Take 1", "Clean"
    assert ops.compare() == {"FINISHED"}
    assert obj.animation_data.action == old
    assert ops.compare() == {"FINISHED"}
    assert ops.set_blend(blend=0.5) == {"FINISHED"}
    assert rs.refine() == {"FINISHED"}
    assert sorted(a.name for a in bpy.data.actions) == ["Take 1", "Take 1_refined"]
    assert ops.revert() == {"FINISHED"}
    assert [a.name for a in bpy.data.actions] == ["Take 1"]


def test_a_name_that_is_taken_gets_a_number(scene: Any) -> None:
    """An action of another origin is never touched."""
    obj = rs.hero(bones=("Hips",))
    taken = obj.animation_data.action.copy()
    taken.name = "HeroAction_refined"
    before = rs.keys_of(taken)
    assert rs.refine() == {"FINISHED"}
    assert obj.animation_data.action.name == "HeroAction_refined.001"
    assert rs.keys_of(taken) == before
    assert rs.refine() == {"FINISHED"}
    assert len(bpy.data.actions) == 3


def test_the_original_was_removed(scene: Any) -> None:
    """The refined take stays as it is, every button says why it cannot go on, and Refine begins anew with it."""
    obj = _refined()
    values = rs.values(obj, HIPS)
    bpy.data.actions.remove(bpy.data.actions["HeroAction"])
    _buttons_say('The original of "HeroAction_refined" was removed: nothing to compare it with')
    assert (rs.values(obj, HIPS) == values).all()
    assert rs.refine() == {"FINISHED"}
    assert ops.compare() == {"FINISHED"}
    assert obj.animation_data.action.name == "HeroAction_refined"
    assert ops.revert() == {"FINISHED"}
    assert (rs.values(obj, HIPS) == values).all()


def test_the_refined_action_was_removed(scene: Any) -> None:
    """The original can be chosen and refined again."""
    obj = _refined()
    bpy.data.actions.remove(obj.animation_data.action)
    _buttons_say("The selected objects have no refined take: press Refine first")
    original = bpy.data.actions["HeroAction"]
    obj.animation_data.action = original
    if hasattr(obj.animation_data, "action_slot"):
        obj.animation_data.action_slot = original.slots[0]
    _buttons_say("The selected objects have no refined take: press Refine first")
    assert rs.refine() == {"FINISHED"}
    assert sorted(a.name for a in bpy.data.actions) == ["HeroAction", "HeroAction_refined"]
    assert ops.revert() == {"FINISHED"}


def test_another_action_was_assigned(scene: Any) -> None:
    """An object that plays neither of a pair has no refined take."""
    obj = _refined()
    other = bpy.data.actions["HeroAction"].copy()
    other.name = "Other"
    obj.animation_data.action = other
    _buttons_say("The selected objects have no refined take: press Refine first")
    assert rs.refine() == {"FINISHED"}
    assert sorted(a.name for a in bpy.data.actions) == ["HeroAction", "HeroAction_refined", "Other", "Other_refined"]
    assert ops.revert() == {"FINISHED"}
    assert obj.animation_data.action == other


@pytest.mark.parametrize("which", ["original", "refined"])
def test_a_copy_of_a_pair_is_not_of_the_pair(scene: Any, which: str) -> None:
    """A duplicate by hand carries the properties; working on it must not take the pair apart."""
    obj = _refined()
    original, refined = bpy.data.actions["HeroAction"], bpy.data.actions["HeroAction_refined"]
    copy = (original if which == "original" else refined).copy()
    obj.animation_data.action = copy
    if which == "original":
        assert rs.refine() == {"FINISHED"}
        assert refined in list(bpy.data.actions)
        assert ops.revert() == {"FINISHED"}
        assert obj.animation_data.action == copy
    else:
        before = rs.keys_of(refined)
        assert ops.set_blend(blend=0.5) == {"FINISHED"}
        assert rs.keys_of(refined) == before
        assert ops.revert() == {"FINISHED"}
        assert obj.animation_data.action == original
        assert refined in list(bpy.data.actions)


def test_keys_changed_by_hand_are_not_overwritten_blindly(scene: Any) -> None:
    """A key more or a curve less: the slider and Set Blend say so and write nothing; Revert still works."""
    obj = _refined()
    action = obj.animation_data.action
    rs.curve(obj, HIPS, 1).keyframe_points.insert(45.5, 0.0)
    before = rs.keys_of(action)
    with pytest.raises(RuntimeError, match=r"Action HeroAction_refined, curve .*rotation_quaternion\[1\]: expected 91"):
        ops.set_blend(blend=0.5)
    assert rs.keys_of(action) == before
    action.smoothnet.blend = 0.3
    assert "expected 91 values, got 90" in action.smoothnet.problem
    assert rs.keys_of(action) == before
    assert ops.compare() == {"FINISHED"}
    assert ops.revert() == {"FINISHED"}
    assert [a.name for a in bpy.data.actions] == ["HeroAction"]


@pytest.mark.parametrize("stored", [None, b"short", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0{}", 3])
def test_what_the_file_holds_may_be_damaged(scene: Any, stored: Any) -> None:
    """Sliders say so; Compare, Refine and Revert work."""
    obj = _refined()
    from blender_addon import results

    action = obj.animation_data.action
    results._unpacked.clear()
    if stored is None:
        del action["smoothnet_channels"]
    else:
        action["smoothnet_channels"] = stored
    before = rs.keys_of(action)
    with pytest.raises(RuntimeError, match="refine again"):
        ops.set_blend(blend=0.5)
    assert rs.keys_of(action) == before
    with pytest.raises(RuntimeError, match="refine again"):
        ops.apply(reduce_keys=True)
    assert ops.compare() == {"FINISHED"}
    assert rs.refine() == {"FINISHED"}
    assert ops.set_blend(blend=0.5) == {"FINISHED"}
    assert ops.revert() == {"FINISHED"}


def test_two_objects_of_which_one_is_held_fast_change_together_or_not_at_all(scene: Any) -> None:
    """One of two objects with the refined action is in NLA tweak mode."""
    first = rs.hero(bones=("Hips",))
    second = first.copy()
    bpy.context.scene.collection.objects.link(second)
    rs.select(first, second)
    rs.refine()
    data = second.animation_data
    data.nla_tracks.new().strips.new("Take", 1, data.action)
    data.action = None
    data.use_tweak_mode = True
    for call in (ops.compare, ops.revert):
        state = rs.file_state()
        with pytest.raises(RuntimeError, match="is in NLA tweak mode"):
            call()
        assert rs.file_state() == state
    rs.select(first)
    state = rs.file_state()
    with pytest.raises(RuntimeError, match="is in NLA tweak mode"):
        rs.refine()
    assert rs.file_state() == state
    data.use_tweak_mode = False
    assert np.abs(rs.values(first, HIPS)).max() > 0
