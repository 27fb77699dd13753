"""Refine All: every object of the scene, every action of the file, from the window and from scripts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.blender import refine_scenes as rs

FRAMES = np.arange(1.0, 61.0)
HIPS = 'pose.bones["Hips"].rotation_quaternion'
ROOT = Path(__file__).parents[2]


def _heroes(count: int = 2) -> list[Any]:
    heroes = [rs.hero(60, bones=("Hips", "Spine")) for _ in range(count)]
    for hero in heroes:
        hero.select_set(False)
    return heroes


def _prop(name: str, keys: int) -> Any:
    obj = bpy.data.objects.new(name, None)
    bpy.context.scene.collection.objects.link(obj)
    rng = np.random.default_rng(0)
    rs.key(obj, "location", np.linspace(1, 60, keys), rng.normal(size=(keys, 3)))
    return obj


def test_all_objects_of_the_scene_whatever_is_selected(scene: Any) -> None:
    """Armatures and others; objects of other scenes are left alone."""
    heroes = _heroes()
    prop = _prop("Prop", 60)
    away = bpy.data.scenes.new("Other")
    lone = bpy.data.objects.new("Lone", None)
    away.collection.objects.link(lone)
    rs.key(lone, "location", FRAMES, np.random.default_rng(0).normal(size=(60, 3)))
    assert bpy.ops.smoothnet.batch() == {"FINISHED"}
    for obj in (*heroes, prop):
        assert obj.animation_data.action.name.endswith("_refined")
    assert not lone.animation_data.action.name.endswith("_refined")


def test_one_that_cannot_be_refined_does_not_stop_the_rest(scene: Any, capfd: Any) -> None:
    """Too few keys, muted curves: named with the reason, and the others are done."""
    heroes = _heroes(2)
    still = _prop("Still", 4)
    muted = _prop("Muted", 60)
    for c in rs.curves(muted):
        c.mute = True
    held = _prop("Held", 60)
    data = held.animation_data
    data.nla_tracks.new().strips.new("Take", 1, data.action)
    data.action = None
    data.use_tweak_mode = True
    assert bpy.ops.smoothnet.batch() == {"FINISHED"}
    data.use_tweak_mode = False
    for obj in heroes:
        assert obj.animation_data.action.name.endswith("_refined")
    for obj in (still, muted):
        assert not obj.animation_data.action.name.endswith("_refined")
    said = capfd.readouterr().out
    assert "StillAction: nothing to refine: Still: location: fewer than 5 keys a second" in said
    assert "MutedAction: nothing to refine: Muted: location: muted or locked" in said
    assert 'Empty "Held" is in NLA tweak mode' in said


def test_actions_that_move_nothing_are_not_spoken_of(scene: Any, capfd: Any) -> None:
    """A camera's lens, a material: no object's motion."""
    _heroes(1)
    camera, material = bpy.data.cameras.new("Lens"), bpy.data.materials.new("Paint")
    rs.key(camera, "lens", FRAMES, np.random.default_rng(0).normal(size=60))
    rs.key(material, "metallic", FRAMES, np.random.default_rng(0).normal(size=60))
    assert bpy.ops.smoothnet.batch(scope="FILE") == {"FINISHED"}
    assert "Warning" not in capfd.readouterr().out
    assert len(bpy.data.actions) == 4


def test_all_actions_of_the_file(scene: Any) -> None:
    """Also those that nobody plays; read with the armature that has their bones; twice is the same as once."""
    hero = _heroes(1)[0]
    played = hero.animation_data.action
    spare = played.copy()
    spare.name, spare.use_fake_user = "Spare", True
    alien = bpy.data.actions.new("Alien")
    alien.use_fake_user = True
    before = rs.keys_of(spare)
    for _ in range(2):
        assert bpy.ops.smoothnet.batch(scope="FILE") == {"FINISHED"}
        names = ["Alien", "HeroAction", "HeroAction_refined", "Spare", "Spare_refined"]
        assert sorted(a.name for a in bpy.data.actions) == names
    assert rs.keys_of(spare) == before
    assert bpy.data.actions["Spare_refined"].use_fake_user
    assert rs.keys_of(bpy.data.actions["Spare_refined"]) == rs.keys_of(bpy.data.actions["HeroAction_refined"])
    assert hero.animation_data.action.name == "HeroAction_refined"


@pytest.mark.parametrize("from_original", [True, False])
@pytest.mark.parametrize("shows", ["first", "second"])
def test_objects_that_show_both_of_a_pair(scene: Any, shows: str, from_original: bool) -> None:
    """One shows the original, the other the refined action: one new refined action for both."""
    first = _heroes(1)[0]
    second = first.copy()
    scene.collection.objects.link(second)
    rs.select(first, second)
    assert rs.refine() == {"FINISHED"}
    rs.select(first if shows == "first" else second)
    assert bpy.ops.smoothnet.compare() == {"FINISHED"}
    assert first.animation_data.action != second.animation_data.action
    assert bpy.ops.smoothnet.batch(from_original=from_original) == {"FINISHED"}
    assert first.animation_data.action == second.animation_data.action
    assert sorted(a.name for a in bpy.data.actions) == ["HeroAction", "HeroAction_refined"]


def test_nothing_to_refine_is_an_error(scene: Any) -> None:
    """An empty scene, and one in which nothing can be refined."""
    for scope in ("SCENE", "FILE"):
        with pytest.raises(RuntimeError, match="actions: expected keyframes, received none"):
            bpy.ops.smoothnet.batch(scope=scope)
    _prop("Still", 4)
    with pytest.raises(RuntimeError, match="StillAction: nothing to refine: Still: location: fewer than 5 keys"):
        bpy.ops.smoothnet.batch()
    assert len(bpy.data.actions) == 1


SCRIPT = """
import sys
import bpy
import blender_addon

blender_addon.register()
try:
    bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
    print(bpy.ops.smoothnet.batch(scope="FILE", model="fast", strength=0.5))
    bpy.ops.wm.save_as_mainfile(filepath=sys.argv[2], check_existing=False)
finally:
    blender_addon.unregister()
"""


def test_a_script_of_its_own(scene: Any, tmp_path: Any) -> None:
    """As the documentation shows it: open, refine all, save; the file that was opened stays as it is."""
    hero = _heroes(1)[0]
    original = rs.values(hero, HIPS)
    source, target = str(tmp_path / "in.blend"), str(tmp_path / "out.blend")
    bpy.ops.wm.save_as_mainfile(filepath=source, check_existing=False)
    raw = Path(source).read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, source, target],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "{'FINISHED'}" in done.stdout
    assert Path(source).read_bytes() == raw
    bpy.ops.wm.open_mainfile(filepath=target)
    hero = bpy.data.objects["Hero"]
    assert hero.animation_data.action.name == "HeroAction_refined"
    assert hero.animation_data.action.smoothnet.blend == 0.5
    assert np.abs(rs.values(hero, HIPS) - original).max() > 1e-4
    rs.select(hero)
    assert bpy.ops.smoothnet.revert() == {"FINISHED"}
    assert (rs.values(hero, HIPS) == original).all()


def test_the_script_of_the_documentation(tmp_path: Any) -> None:
    """Word for word, in a process of its own that ends well."""
    manual = (ROOT / "docs" / "extension.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", manual, re.S)
    script = next(block for block in blocks if "blender_addon.register()" in block)
    rs.write_bvh(tmp_path / "walk.bvh")
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        # As a shell would have it: Blender before 5.0 asks it where it is.
        env={**os.environ, "PYTHONPATH": str(ROOT), "PWD": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "walk.blend"))
    obj = bpy.data.objects["walk"]
    assert obj.animation_data.action.name == "walk_refined"
    assert bpy.data.actions["walk"].use_fake_user
    assert len(rs.curves(obj)[-1].keyframe_points) < 120
