"""Numbers of a refinement: computed when somebody looks, the same after undo, saving and opening."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from blender_addon import kept_numbers
from blender_addon.animation import computing
from blender_addon.animation.numbers import numbers_of
from tests.blender import refine_scenes as rs

NAMES = ("jitter_before", "jitter_after", "speed_kept", "largest_change", "largest_bone", "largest_frame")


def _refined() -> Any:
    rs.hero()
    assert rs.refine() == {"FINISHED"}
    return bpy.data.actions["HeroAction_refined"]


def _read(action: Any) -> dict[str, Any]:
    return {name: getattr(action.smoothnet, name) for name in (*NAMES, "has_numbers", "slide_before", "slide_after")}


def test_they_are_computed_once_and_only_when_looked_at(scene: Any) -> None:
    """Refine itself does not wait for them; what is read is what `numbers_of` says."""
    found = []
    with mock.patch.object(computing, "numbers_of", side_effect=lambda *a: found.append(numbers_of(*a)) or found[-1]):
        action = _refined()
        assert not found
        first, again = _read(action), _read(action)
    (numbers,) = found
    assert first == again
    assert first["has_numbers"]
    assert (first["slide_before"], first["slide_after"]) == (-1, -1)
    assert first["largest_bone"] == numbers.largest_bone
    for name in set(NAMES) - {"largest_bone"}:
        assert first[name] == pytest.approx(getattr(numbers, name), rel=1e-6)
    assert 0 < first["jitter_after"] < first["jitter_before"]


def test_long_takes_are_not_computed_while_something_is_drawn(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refine computes them, in its thread."""
    monkeypatch.setattr(computing, "_AT_ONCE", 1)
    action = _refined()
    with mock.patch("blender_addon.animation.numbers.jitter", side_effect=AssertionError):
        assert _read(action)["has_numbers"]


@pytest.mark.parametrize("looked", [False, True])
def test_they_are_saved(scene: Any, tmp_path: Path, looked: bool) -> None:
    """Whether anybody looked before or not."""
    action = _refined()
    before = _read(action) if looked else None
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "take.blend"))
    before = before or _read(action)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "take.blend"))
    assert _read(bpy.data.actions["HeroAction_refined"]) == before


def test_an_action_that_was_never_refined_has_none(scene: Any) -> None:
    """And damaged ones count as none."""
    action = bpy.data.actions.new("Plain")
    assert not action.smoothnet.has_numbers
    assert action.smoothnet.slide_after == -1
    for number, text in enumerate(("{", "[1]", "7")):
        other = bpy.data.actions.new(f"Other {number}")
        other.smoothnet.numbers = text
        assert not other.smoothnet.has_numbers


def test_few_takes_wait(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many takes the first are computed, since waiting ones hold their arrays."""
    monkeypatch.setattr(kept_numbers, "_MOST", 2)
    computed: list[int] = []
    actions = [bpy.data.actions.new("Take") for _ in range(4)]
    for place, action in enumerate(actions):
        kept_numbers.keep(action, lambda place=place: computed.append(place))
    assert computed == [0, 1]
    assert not np.any([action.smoothnet.has_numbers for action in actions])
    assert computed == [0, 1, 2, 3]
