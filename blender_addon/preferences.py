"""What the user sets once: which engine computes, and where their own body models are."""

import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, StringProperty

from . import callbacks
from .engine import engines
from .jobs import Background, Job, JobOperator

# Seconds for which the files found in a folder count: drawing asks anew with every move of the mouse.
_FRESH = 5.0
# Width of a character and of what surrounds a text, in pixels of an interface at scale 1.
_CHARACTER, _MARGIN = 7, 60

_ENGINES = (
    ("BUILT_IN", "Built-in", "Compute with what comes with this extension"),
    ("TORCH", "Torch", "Compute with torch in Blender's own Python, on the GPU if it has one"),
    ("EXTERNAL", "External Python", "Compute in another Python with torch, as a process of its own"),
)


@dataclass
class Settings:
    """The preferences where the extension has none in Blender, as when a script registered it.

    Attributes:
        engine: one of ``engines.PREFERENCES``.
        python: file of the other Python.
        timeout: seconds, see :class:`engines.ExternalEngine`.
        smpl_folder: where the user's own body models are; empty for nowhere.
        test_result: what the last test of the engine said.
        test_failed: whether it failed.
    """

    engine: str = "BUILT_IN"
    python: str = ""
    timeout: float = engines.TIMEOUT
    smpl_folder: str = ""
    test_result: str = ""
    test_failed: bool = False


_OWN = Settings()


def get(context: bpy.types.Context) -> "SMOOTHNET_AP_preferences | Settings":
    """Return the preferences; a script may change what is returned."""
    addon = context.preferences.addons.get(__package__)
    return _OWN if addon is None or addon.preferences is None else addon.preferences


def chosen_engine(context: bpy.types.Context) -> engines.Engine:
    """Return the engine that the preferences name; use it with :func:`engines.run_with_fallback`."""
    preferences = get(context)
    return engines.choose(preferences.engine, python=preferences.python, timeout=preferences.timeout)


def found_bodies(folder: str) -> list[str]:
    """Return a line for each family of body models in a folder, e.g. ``SMPL-X: neutral, male``."""
    from smpl_tools.bodies.model_files import FAMILIES, GENDERS, MissingModelError, find_model_file

    lines = []
    for name, family in FAMILIES.items():
        there = []
        for gender in GENDERS:
            try:
                find_model_file(name, gender, Path(folder))
            except MissingModelError:
                continue
            there.append(gender)
        if there:
            lines.append(f"{family.title}: {', '.join(there)}")
    return lines


def engine_changed(preferences: Any) -> None:
    """Forget what the test of another engine said."""
    preferences.test_result, preferences.test_failed = "", False


def python_changed(preferences: Any) -> None:
    """Forget the test, and make a path absolute."""
    # A path relative to the open file would name another program beside another file.
    if preferences.python.startswith("//"):
        preferences.python = bpy.path.abspath(preferences.python)
    engine_changed(preferences)


def folder_changed(preferences: Any) -> None:
    """Make a path absolute."""
    if preferences.smpl_folder.startswith("//"):
        preferences.smpl_folder = bpy.path.abspath(preferences.smpl_folder)


class SMOOTHNET_AP_preferences(bpy.types.AddonPreferences):
    """Preferences of the extension."""

    bl_idname = __package__

    engine: EnumProperty(
        name="Engine", description="What computes the refined motion", items=_ENGINES, update=callbacks.engine_changed
    )
    python: StringProperty(
        name="Python",
        description="The program of another Python that has torch, e.g. bin/python of a virtual environment",
        subtype="FILE_PATH",
        update=callbacks.python_changed,
    )
    timeout: FloatProperty(
        name="Time Limit",
        description="How long the other Python may take to start, and longer for a long take, "
        "before the built-in engine computes instead",
        default=engines.TIMEOUT,
        min=5.0,
        max=3600.0,
        step=500,
        precision=0,
        subtype="TIME_ABSOLUTE",
        unit="TIME_ABSOLUTE",
    )
    smpl_folder: StringProperty(
        name="Folder of Your SMPL Models",
        description="Where the SMPL, SMPL+H or SMPL-X files are that you registered for; with them, "
        "imported motions come with a skinned mesh",
        subtype="DIR_PATH",
        update=callbacks.folder_changed,
    )
    test_result: StringProperty(options={"HIDDEN"})
    test_failed: BoolProperty(options={"HIDDEN"})

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the preferences."""
        width = context.region.width / context.preferences.system.ui_scale if context.region else 600
        self._draw_engine(self.layout.box(), int((width - _MARGIN) / _CHARACTER))
        self._draw_bodies(self.layout.box(), int((width - _MARGIN) / _CHARACTER))

    def _draw_engine(self, box: bpy.types.UILayout, characters: int) -> None:
        box.label(text="Engine", icon="PREFERENCES")
        choices = box.row(align=True)
        for identifier, _, _ in _ENGINES:
            choice = choices.row(align=True)
            choice.enabled = identifier != "TORCH" or engines.has_torch()
            choice.prop_enum(self, "engine", identifier)
        if self.engine == "EXTERNAL":
            column = box.column()
            column.use_property_split = True
            column.use_property_decorate = False
            column.prop(self, "python")
            column.prop(self, "timeout")
            if not self.python:
                _write(box, "Choose the Python of an environment that has torch", characters)
        elif not engines.has_torch():
            _write(box, "Torch is not installed in this Python", characters)
        if _running:
            box.label(text="Testing (ESC: Cancel)", icon="TIME")
            return
        box.operator(SMOOTHNET_OT_test_engine.bl_idname)
        if self.test_result:
            _write(box, self.test_result, characters, "ERROR" if self.test_failed else "CHECKMARK")

    def _draw_bodies(self, box: bpy.types.UILayout, characters: int) -> None:
        box.label(text="Folder of Your SMPL Models", icon="OUTLINER_OB_ARMATURE")
        box.prop(self, "smpl_folder", text="")
        for line in _body_lines(self.smpl_folder):
            _write(box, line, characters)


_seen: dict[str, tuple[float, list[str]]] = {}


def _body_lines(folder: str) -> list[str]:
    """Return what to say of the folder of body models."""
    if not folder:
        return ["Not set: motions come as armatures without a mesh"]
    when, lines = _seen.get(folder, (-_FRESH, []))
    if time.monotonic() - when > _FRESH:
        if not Path(folder).is_dir():
            lines = ["There is no such folder"]
        else:
            missing = "No model found: expected names such as SMPL_NEUTRAL.npz or SMPLX_MALE.pkl"
            lines = found_bodies(folder) or [missing]
        _seen.clear()
        _seen[folder] = time.monotonic(), lines
    return lines


def _write(layout: bpy.types.UILayout, text: str, characters: int, icon: str = "NONE") -> None:
    """Draw a text on as many lines as it needs."""
    column = layout.column(align=True)
    lines = [line for paragraph in text.splitlines() for line in textwrap.wrap(paragraph, max(20, characters))]
    for number, line in enumerate(lines):
        column.label(text=line, icon=icon if number == 0 else "BLANK1" if icon != "NONE" else "NONE")


class SMOOTHNET_OT_test_engine(JobOperator, bpy.types.Operator):
    """Refine a take of half a minute with the chosen engine, compare it with the built-in one, and measure both"""

    bl_idname = "smoothnet.test_engine"
    bl_label = "Test Engine"
    bl_options: ClassVar = {"INTERNAL"}

    def job(self, context: bpy.types.Context) -> Job:
        """Test in a thread, since another Python may take its time to start."""
        engine = chosen_engine(context)
        get(context).test_result, get(context).test_failed = "", False
        _running.append(engine)
        try:
            text, has_failed = yield Background(lambda tick: _tested(engine, tick), text="Testing the engine")
        finally:
            _running.remove(engine)
        get(context).test_result, get(context).test_failed = text, has_failed
        if has_failed:
            raise ValueError(f"Engine: {text}")
        self.report({"INFO"}, text.replace("\n", ". "))


# Engines that are being tested.
_running: list[engines.Engine] = []


def _tested(engine: engines.Engine, tick: engines.Tick) -> tuple[str, bool]:
    try:
        return told(engines.measure(engine, tick)), False
    except engines.EngineError as error:
        return str(error), True


def told(measured: engines.Measurement) -> str:
    """Return what a measurement says, as the user reads it, the hint on a line of its own."""
    text = f"{measured.device}: {measured.frames_per_second:,.0f} frames/s"
    if measured.frames_per_second != measured.built_in:
        text += f" (built-in: {measured.built_in:,.0f})"
    return f"{text}\n{measured.hint[0].upper()}{measured.hint[1:]}" if measured.hint else text


CLASSES = (SMOOTHNET_OT_test_engine, SMOOTHNET_AP_preferences)


def unregister() -> None:
    """End the processes of engines."""
    engines.close_all()
