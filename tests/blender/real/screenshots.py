"""Make the pictures of the manual: the extension, installed from its archive, in a window of its own profile.

Needs a window and, on X11, the program ``scrot``; one run for each picture::

    blender --factory-startup --window-geometry 0 0 1600 900 --python screenshots.py -- WHAT ARCHIVE TAKE OUT.png

WHAT is ``refine``, ``analyze`` or ``preferences``. The profile should be an empty one (``BLENDER_USER_RESOURCES``).
"""

from __future__ import annotations

import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

MODULE = "bl_ext.user_default.smoothnet"
TAB = "SmoothNet"
FRAME = 168
# Panels that are open in each picture.
OPEN = {"refine": {"refine", "result", "trails"}, "analyze": {"refine", "analysis"}, "preferences": set()}


def open_panels(names: set[str]) -> None:
    """Let some panels start open and the others closed, as the user may have left them."""
    panels = sys.modules[f"{MODULE}.panels"]
    classes = [cls for cls in panels.CLASSES if issubclass(cls, bpy.types.Panel)]
    for cls in reversed(classes):
        bpy.utils.unregister_class(cls)
    for cls in classes:
        is_open = cls.__name__.removeprefix("SMOOTHNET_PT_") in names
        cls.bl_options = set() if is_open else {"DEFAULT_CLOSED"}
        bpy.utils.register_class(cls)


def view() -> dict[str, Any]:
    """Return what operators of the 3D view need."""
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    region = next(region for region in area.regions if region.type == "WINDOW")
    return {"window": window, "area": area, "region": region}


def grab(path: Path) -> None:
    """Write what is on the screen."""
    bpy.ops.wm.redraw_timer(type="DRAW_WIN_SWAP", iterations=1)
    subprocess.run(["scrot", "--overwrite", str(path)], check=True)


def take_shown(take: Path) -> Iterator[float]:
    """Import a take and look at it, the tab of the extension beside it."""
    for obj in list(bpy.data.objects):
        bpy.data.objects.remove(obj)
    assert bpy.ops.smoothnet.import_motion(filepath=str(take)) == {"FINISHED"}
    place = view()
    space = place["area"].spaces.active
    space.show_region_ui = True
    space.overlay.show_cursor = False
    # A tab can be chosen once it was drawn.
    yield 1.0
    sidebar = next(region for region in place["area"].regions if region.type == "UI")
    sidebar.active_panel_category = TAB
    bpy.context.scene.frame_set(FRAME)
    with bpy.context.temp_override(**place):
        bpy.ops.view3d.view_axis(type="FRONT")
        bpy.ops.view3d.view_selected()
        bpy.ops.object.mode_set(mode="POSE")
        bpy.ops.pose.select_all(action="DESELECT")
    yield 1.0


def refine(take: Path) -> Iterator[float]:
    """A refined take with the trails of hands and feet."""
    yield from take_shown(take)
    with bpy.context.temp_override(**view()):
        assert bpy.ops.smoothnet.refine() == {"FINISHED"}
        assert bpy.ops.smoothnet.trails() == {"FINISHED"}
    bpy.context.scene.smoothnet_view.trail_points = False
    yield 1.5


def analyze(take: Path) -> Iterator[float]:
    """A take measured before any change."""
    yield from take_shown(take)
    with bpy.context.temp_override(**view()):
        assert bpy.ops.smoothnet.analyze() == {"FINISHED"}
    yield 1.5


def preferences(take: Path) -> Iterator[float]:
    """The preferences, over the whole window."""
    area = view()["area"]
    area.type = "PREFERENCES"
    bpy.context.preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = TAB
    with bpy.context.temp_override(window=view_window(), area=area):
        bpy.ops.screen.screen_full_area()
    yield 1.0
    bpy.ops.preferences.addon_expand(module=MODULE)
    window = view_window()
    area = window.screen.areas[-1]
    region = next(region for region in area.regions if region.type == "WINDOW")
    yield 0.5
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.smoothnet.test_engine()
    yield 1.5


def view_window() -> Any:
    """Return the one window there is."""
    return bpy.context.window_manager.windows[0]


def steps(what: str, archive: Path, take: Path, out: Path) -> Iterator[float]:
    """Install, show, grab; yields how long to wait."""
    done = bpy.ops.extensions.package_install_files(filepath=str(archive), repo="user_default", enable_on_install=True)
    assert done == {"FINISHED"}, done
    open_panels(OPEN[what])
    yield 1.0
    yield from {"refine": refine, "analyze": analyze, "preferences": preferences}[what](take)
    grab(out)


def main(what: str, *files: str) -> None:
    """Go on between the window's events, and end."""
    bpy.context.preferences.view.show_splash = False  # now: it opens before the first event
    work = steps(what, *(Path(file).resolve() for file in files))

    def go_on() -> float | None:
        try:
            return next(work)
        except StopIteration:
            pass
        except Exception:
            traceback.print_exc()
        bpy.ops.wm.quit_blender()
        return None

    bpy.app.timers.register(go_on, first_interval=1.0)


if __name__ == "__main__":
    main(*sys.argv[sys.argv.index("--") + 1 :])
