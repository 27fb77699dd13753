"""Preferences in Blender: defaults, what a script sets, what is drawn, and the test of an engine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from blender_addon import preferences
from blender_addon.engine import engines


@pytest.fixture(autouse=True)
def _registered(scene: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    own = not hasattr(bpy.types, "SMOOTHNET_OT_test_engine")
    if own:
        for cls in preferences.CLASSES:
            bpy.utils.register_class(cls)
    monkeypatch.setattr(preferences, "_OWN", preferences.Settings())
    yield
    engines.close_all()
    if own:
        for cls in reversed(preferences.CLASSES):
            bpy.utils.unregister_class(cls)


@pytest.fixture
def enabled() -> Iterator[Any]:
    """The preferences as Blender holds them for an extension that the user enabled."""
    addon = bpy.context.preferences.addons.new()
    addon.module = preferences.__package__
    yield addon.preferences
    bpy.context.preferences.addons.remove(addon)


def test_without_preferences_a_script_sets_its_own() -> None:
    assert preferences.get(bpy.context) == preferences.Settings("BUILT_IN", "", 120.0, "", "", False)
    assert isinstance(preferences.chosen_engine(bpy.context), engines.BuiltInEngine)
    preferences.get(bpy.context).engine = "EXTERNAL"
    preferences.get(bpy.context).python = sys.executable
    engine = preferences.chosen_engine(bpy.context)
    assert isinstance(engine, engines.ExternalEngine)
    assert engine.python == sys.executable


def test_defaults_in_blender_are_those_of_scripts(enabled: Any) -> None:
    got = preferences.get(bpy.context)
    assert type(got).__name__ == "SMOOTHNET_AP_preferences"
    assert got.engine in engines.PREFERENCES
    assert {name: getattr(got, name) for name in vars(preferences.Settings())} == vars(preferences.Settings())


def test_engines_that_can_be_chosen_are_those_there_are(enabled: Any) -> None:
    items = enabled.bl_rna.properties["engine"].enum_items
    assert tuple(item.identifier for item in items) == engines.PREFERENCES
    enabled.engine, enabled.python, enabled.timeout = "EXTERNAL", sys.executable, 33.0
    engine = preferences.chosen_engine(bpy.context)
    assert (engine.python, engine.timeout) == (sys.executable, 33.0)


# Newer versions warn on their own, and an exception in its place ends them.
@pytest.mark.filterwarnings("ignore:.*does not support blend relative")
@pytest.mark.parametrize("name", ["python", "smpl_folder"])
def test_a_path_does_not_depend_on_the_open_file(enabled: Any, tmp_path: Path, name: str) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    setattr(enabled, name, "//python3")
    assert getattr(enabled, name) == str(tmp_path / "python3")


def test_another_choice_forgets_the_last_test(enabled: Any) -> None:
    for name, value in (("engine", "TORCH"), ("python", "/usr/bin/python3")):
        enabled.test_result, enabled.test_failed = "fast", True
        setattr(enabled, name, value)
        assert (enabled.test_result, enabled.test_failed) == ("", False)


@pytest.mark.parametrize("engine", ["BUILT_IN", "EXTERNAL"])
def test_test_names_device_and_speed(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_TEST_FRAMES", 300)
    settings = preferences.get(bpy.context)
    settings.engine, settings.python = engine, sys.executable
    assert bpy.ops.smoothnet.test_engine() == {"FINISHED"}
    assert not settings.test_failed
    assert "frames/s" in settings.test_result
    assert settings.test_result.startswith(preferences.chosen_engine(bpy.context).describe())


def test_failed_test_says_why(enabled: Any) -> None:
    enabled.engine, enabled.python = "EXTERNAL", "/nowhere/python"
    with pytest.raises(RuntimeError, match=r"Engine: /nowhere/python is no file"):
        bpy.ops.smoothnet.test_engine()
    assert enabled.test_failed
    assert enabled.test_result == "/nowhere/python is no file"


def test_told() -> None:
    told = preferences.told
    assert told(engines.Measurement("CPU", 1234.5, 1234.5, "")) == "CPU: 1,234 frames/s"
    assert (
        told(engines.Measurement("NVIDIA X", 99000.0, 9000.0, "h i"))
        == "NVIDIA X: 99,000 frames/s (built-in: 9,000)\nH i"
    )


def test_body_models_that_were_found(tmp_path: Path) -> None:
    lines = preferences._body_lines
    assert lines("") == ["Not set: motions come as armatures without a mesh"]
    assert lines(str(tmp_path / "nowhere")) == ["There is no such folder"]
    assert lines(str(tmp_path)) == ["No model found: expected names such as SMPL_NEUTRAL.npz or SMPLX_MALE.pkl"]
    (tmp_path / "smplx").mkdir()
    for name in ("SMPL_NEUTRAL.npz", "smplx/SMPLX_MALE.pkl", "smplx/SMPLX_NEUTRAL.npz"):
        (tmp_path / name).write_bytes(b"")
    assert lines(str(tmp_path)) == ["No model found: expected names such as SMPL_NEUTRAL.npz or SMPLX_MALE.pkl"]
    preferences._seen.clear()
    assert lines(str(tmp_path)) == ["SMPL: neutral", "SMPL-X: neutral, male"]


class Layout:
    """Takes the place of Blender's layout and notes what is drawn."""

    def __init__(self, drawn: list[str]) -> None:
        self.drawn = drawn

    def row(self, **how: Any) -> Layout:
        return Layout(self.drawn)

    box = column = row

    def label(self, text: str, icon: str = "NONE") -> None:
        assert icon in bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items
        self.drawn.append(text)

    def prop(self, owner: Any, name: str, **how: Any) -> None:
        assert name in owner.bl_rna.properties
        self.drawn.append(f"[{name}]")

    def prop_enum(self, owner: Any, name: str, value: str) -> None:
        assert value in owner.bl_rna.properties[name].enum_items
        self.drawn.append(f"[{value}{'' if getattr(self, 'enabled', True) else ' off'}]")

    def operator(self, name: str) -> None:
        self.drawn.append(f"<{name}>")


def drawn(settings: Any) -> list[str]:
    lines: list[str] = []
    draw = preferences.SMOOTHNET_AP_preferences
    draw._draw_engine(settings, Layout(lines), 60)
    draw._draw_bodies(settings, Layout(lines), 60)
    return lines


def test_drawn_is_what_matters_and_long_texts_are_wrapped(enabled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "has_torch", lambda: False)
    lines = drawn(enabled)
    assert lines[:6] == ["Engine", "[BUILT_IN]", "[TORCH off]", "[EXTERNAL]", "Torch is not installed in this Python",
                         "<smoothnet.test_engine>"]  # fmt: skip
    assert "[python]" not in lines
    monkeypatch.setattr(engines, "has_torch", lambda: True)
    enabled.engine = "EXTERNAL"
    enabled.test_result = "/a/very/long/path/to/python has no scipy: " * 4
    lines = drawn(enabled)
    assert {"[TORCH]", "[python]", "[timeout]", "[smpl_folder]"} <= set(lines)
    assert max(map(len, lines)) <= 60
    assert sum("very/long" in line for line in lines) > 2
    enabled.test_result = "One\nTwo"
    assert {"One", "Two", "<smoothnet.test_engine>"} <= set(drawn(enabled))
    monkeypatch.setattr(preferences, "_running", [engines.built_in()])
    assert "Testing (ESC: Cancel)" in drawn(enabled)
    assert "<smoothnet.test_engine>" not in drawn(enabled)


def test_nothing_stays_marked_as_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_TEST_FRAMES", 60)
    assert bpy.ops.smoothnet.test_engine() == {"FINISHED"}
    assert preferences._running == []
    cancelled = preferences.SMOOTHNET_OT_test_engine.job(None, bpy.context)
    next(cancelled)
    assert len(preferences._running) == 1
    cancelled.close()
    assert preferences._running == []
