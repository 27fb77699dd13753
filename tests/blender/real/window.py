"""Refine in a window, where jobs run between events: undo, a saved file, cancelling, loading, and no crash.

The bpy module never runs a modal operator; this is done in Blender itself, with the archive given::

    blender --factory-startup --enable-event-simulate --python window.py -- ARCHIVE.zip TAKE.bvh

Whatever is not as it must be ends Blender with status 1, all well with 0. Closing a window or loading a file during a
job is where a forgotten handler or timer brings Blender down.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy

MODULE = "bl_ext.user_default.smoothnet"
# Frames of a take that is not refined in a moment, and seconds after which a job hangs.
LONG, PATIENCE = 20_000, 120.0


def modal() -> list[str]:
    """Return the modal operators of all windows."""
    return [operator.bl_idname for window in bpy.context.window_manager.windows for operator in window.modal_operators]


def in_view(operator: Callable[..., set[str]], *how: Any, window: Any = None, **named: Any) -> set[str]:
    """Call an operator as from a 3D view."""
    window = window or bpy.context.window_manager.windows[0]
    area = next((area for area in window.screen.areas if area.type == "VIEW_3D"), window.screen.areas[0])
    with bpy.context.temp_override(window=window, area=area, region=area.regions[-1]):
        return operator(*how, **named)


def ended() -> Iterator[float]:
    """Wait for the job to end."""
    until = time.monotonic() + PATIENCE
    while modal():
        assert time.monotonic() < until, f"still running: {modal()}"
        yield 0.1


def tap(key: str) -> Iterator[float]:
    """Press and release a key over the first window."""
    for value in ("PRESS", "RELEASE"):
        bpy.context.window_manager.windows[0].event_simulate(type=key, value=value, x=600, y=400)
        yield 0.2


def actions() -> list[tuple[str, int, bool, str]]:
    """Return what a cancelled job must leave as it was."""
    return [(a.name, a.users, a.use_fake_user, str(sorted(name for name, _ in a.items()))) for a in bpy.data.actions]


def shown(name: str) -> Any:
    """Return the action that an object plays, found anew: undo and loading make other objects."""
    return bpy.data.objects[name].animation_data.action


def import_take(path: Path) -> str:
    """Import a take with Blender's importer; return the name of the armature."""
    assert bpy.ops.import_anim.bvh(filepath=str(path), update_scene_fps=True) == {"FINISHED"}
    bpy.ops.ed.undo_push(message="Imported")
    return bpy.context.object.name


def lengthen(name: str) -> None:
    """Repeat the keys of a take, so that its refinement takes a while."""
    keyframes = sys.modules[f"{MODULE}.keyframes"]
    source = keyframes.active_source(bpy.data.objects[name])
    for curve in keyframes.read_curves(source):
        values = [curve.values[k % len(curve.values)] for k in range(LONG)]
        keyframes.replace_keys(source, curve.key, [k + 1.0 for k in range(LONG)], values)


def short_take(take: Path) -> Iterator[float]:
    """Refine, undo, redo, save, open, blend, apply, refine again, revert."""
    refine, compare = bpy.ops.smoothnet.refine, bpy.ops.smoothnet.compare
    name = import_take(take)
    original = shown(name).name
    in_view(refine, "INVOKE_DEFAULT")
    yield from ended()
    assert shown(name).name == f"{original}_refined", shown(name).name
    in_view(bpy.ops.ed.undo)
    yield 0.5
    assert [action.name for action in bpy.data.actions] == [original], actions()
    assert shown(name).name == original
    in_view(bpy.ops.ed.redo)
    yield 0.5
    assert shown(name).name == f"{original}_refined"
    shown(name).smoothnet.blend = 0.25
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "take.blend")
        bpy.ops.wm.save_as_mainfile(filepath=path)
        bpy.ops.wm.open_mainfile(filepath=path)
        yield 1.0
    assert shown(name).smoothnet.blend == 0.25
    shown(name).smoothnet.blend = 1.0
    assert not shown(name).smoothnet.problem
    in_view(compare, take="ORIGINAL")
    assert shown(name).name == original
    in_view(compare)
    # Ends within invoke(), where a handler that was left behind crashed Blender a moment later.
    in_view(bpy.ops.smoothnet.apply, "INVOKE_DEFAULT")
    yield 0.5
    yield from ended()
    in_view(refine, "INVOKE_DEFAULT")
    yield from ended()
    in_view(bpy.ops.smoothnet.revert)
    yield 0.5
    assert shown(name).name == f"{original}_refined"


def long_take(take: Path) -> Iterator[float]:
    """Cancel with ESC, load a file, close the window, switch the extension off: each during a job."""
    refine = bpy.ops.smoothnet.refine
    name = import_take(take)
    lengthen(name)
    before = actions()

    def start(window: Any = None) -> Iterator[float]:
        assert in_view(refine, "INVOKE_DEFAULT", window=window) == {"RUNNING_MODAL"}
        yield 0.5
        assert modal() == ["SMOOTHNET_OT_refine"], modal()

    yield from start()
    assert in_view(bpy.ops.smoothnet.analyze, "INVOKE_DEFAULT") == {"CANCELLED"}
    yield from tap("ESC")
    assert not modal()
    assert actions() == before
    in_view(bpy.ops.wm.window_new)
    yield 1.0
    second = bpy.context.window_manager.windows[-1]
    yield from start(second)
    with bpy.context.temp_override(window=second):
        bpy.ops.wm.window_close()
    yield 0.5
    assert not modal()
    assert actions() == before
    yield from start()
    bpy.ops.preferences.addon_disable(module=MODULE)
    # Blender forgets the operator with the next event over the window; until then 4.3 crashes on a new handler.
    for x in (500, 600, 700):
        bpy.context.window_manager.windows[0].event_simulate(type="MOUSEMOVE", value="NOTHING", x=x, y=400)
        yield 0.7
    # Properties of the extension's own go with it.
    assert [one[:3] for one in actions()] == [one[:3] for one in before]
    bpy.ops.preferences.addon_enable(module=MODULE)
    yield 0.5
    yield from start()
    bpy.ops.wm.read_homefile(use_empty=True)
    yield 1.0
    assert not modal()
    assert not bpy.data.actions


def main(archive: str, take: str) -> None:
    """Go on between the window's events, and end."""
    bpy.context.preferences.view.show_splash = False
    path = str(Path(archive).resolve())
    bpy.ops.extensions.package_install_files(filepath=path, repo="user_default", enable_on_install=True)
    tests = [short_take(Path(take).resolve()), long_take(Path(take).resolve())]

    def go_on() -> float:
        try:
            while tests:
                try:
                    return next(tests[0])
                except StopIteration:
                    print(f"passed: {tests.pop(0).__name__}", flush=True)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)

    bpy.app.timers.register(go_on, first_interval=1.0, persistent=True)


if __name__ == "__main__":
    main(*sys.argv[sys.argv.index("--") + 1 :])
