"""Motion trails in the 3D view: where joints go, before and after refinement.

Trails are drawn by a handler that Blender calls on every redraw. It computes only what changed, and should anything
go wrong it takes itself away and leaves a message for the sidebar, rather than fail on every redraw.
"""

from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent

from .trail_paths import MOST_TRAILS, Known, Line, Paths, paths_of, selected_in_pose, trail_bones

# Told apart by colour-blind eyes too (Okabe and Ito): vermillion the original, sky blue the refined take.
BEFORE, AFTER, NOW = (0.835, 0.369, 0.0, 0.9), (0.337, 0.706, 0.914, 1.0), (1.0, 1.0, 1.0, 1.0)
_WIDTHS = {BEFORE: 1.5, AFTER: 2.5}
_KEY_SIZE, _NOW_SIZE = 4.0, 9.0
_MOST_OBJECTS = 8

# What is drawn, by object: what it was computed from, and the paths.
_paths: dict[int, tuple[Any, Paths | None]] = {}
_mains: dict[int, list[str]] = {}
_lines: dict[Known, Line] = {}
_batches: dict[Any, tuple[Any, Any]] = {}
_handler: Any = None
_problem = ""


def is_on() -> bool:
    """Tell whether trails are drawn."""
    return _handler is not None


def problem() -> str:
    """Return why drawing was given up; empty if it was not."""
    return _problem


def turn_on() -> None:
    """Draw from now on."""
    global _handler, _problem
    if _handler is None:
        _problem = ""
        _forget()
        _handler = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW")
        for name, function in _FOLLOWED.items():
            getattr(bpy.app.handlers, name).append(function)


def turn_off() -> None:
    """Draw no more."""
    global _handler
    if _handler is not None:
        for name, function in _FOLLOWED.items():
            handlers = getattr(bpy.app.handlers, name)
            if function in handlers:
                handlers.remove(function)
        bpy.types.SpaceView3D.draw_handler_remove(_handler, "WINDOW")
        _handler = None
    _forget()


def drawn_objects(context: bpy.types.Context) -> list[bpy.types.Object]:
    """Return the selected or active objects that have an action, a few of them at most."""
    objects = list(context.selected_objects)
    if context.active_object is not None and context.active_object not in objects:
        objects.append(context.active_object)
    return [obj for obj in objects if obj.animation_data is not None][:_MOST_OBJECTS]


def current_paths(obj: bpy.types.Object, scene: bpy.types.Scene) -> Paths | None:
    """Return the trails of an object, computed anew only where keys, bones or range are others."""
    bones = _bones(obj) if obj.type == "ARMATURE" else []
    first, last = _range(scene)
    made_from = (tuple(bones), first, last, _action_of(obj))
    known = _paths.get(obj.session_uid)
    if known is None or known[0] != made_from:
        known = (made_from, paths_of(obj, bones, first, last, _lines))
        _paths[obj.session_uid] = known
    return known[1]


def shown_rows(paths: Paths, scene: bpy.types.Scene) -> slice:
    """Return the rows of the trails that the scene asks for."""
    view = scene.smoothnet_view
    if view.trail_range == "ALL":
        return slice(0, len(paths.frames))
    now = scene.frame_current_final
    start, stop = np.searchsorted(paths.frames, [now - view.trail_frames, now + view.trail_frames + 1e-6])
    return slice(int(start), int(stop))


def _bones(obj: bpy.types.Object) -> list[str]:
    """Return what :func:`trail_bones` does, names looked at once: it is asked on every redraw."""
    chosen = selected_in_pose(obj)
    if chosen:
        return chosen[:MOST_TRAILS]
    if obj.session_uid not in _mains:
        _mains[obj.session_uid] = trail_bones(obj)
    return _mains[obj.session_uid]


def _range(scene: bpy.types.Scene) -> tuple[int, int]:
    if scene.use_preview_range:
        return scene.frame_preview_start, scene.frame_preview_end
    return scene.frame_start, scene.frame_end


def _action_of(obj: bpy.types.Object) -> int:
    action = obj.animation_data.action if obj.animation_data else None
    return action.session_uid if action is not None else 0


def _draw() -> None:
    global _problem
    try:
        _draw_all(bpy.context)
    except Exception as error:
        # Whatever it was would come again with every redraw, for as long as the window is open.
        _problem = f"Trails are off: {error}"
        turn_off()


def _draw_all(context: bpy.types.Context) -> None:
    import gpu

    if context.space_data is None or not context.space_data.overlay.show_overlays:
        return
    scene = context.scene
    view = scene.smoothnet_view
    gpu.state.blend_set("ALPHA")
    try:
        for obj in drawn_objects(context):
            paths = current_paths(obj, scene)
            if paths is None:
                continue
            rows = shown_rows(paths, scene)
            layers = [(paths.before, BEFORE if paths.after is not None else AFTER)]
            if paths.after is not None:
                layers = [(paths.after, AFTER)] if not view.trail_original else [*layers, (paths.after, AFTER)]
            with gpu.matrix.push_pop():
                if not paths.moving:
                    gpu.matrix.multiply_matrix(obj.matrix_world)
                for points, color in layers:
                    _draw_lines(obj, points, rows, color)
                last = layers[-1][0]
                if view.trail_points:
                    keyed = last[rows][paths.keyed[rows]]
                    _draw_points((obj.session_uid, "keys"), (rows, id(paths)), keyed, AFTER, _KEY_SIZE)
                for points, color in layers:
                    now = _at(points, paths.frames, scene.frame_current_final)
                    _draw_points((obj.session_uid, "now", color), None, now, color, _NOW_SIZE)
                _draw_points(
                    (obj.session_uid, "now"), None, _at(last, paths.frames, scene.frame_current_final), NOW, 4.0
                )
    finally:
        gpu.state.blend_set("NONE")


def _draw_lines(obj: bpy.types.Object, points: Any, rows: slice, color: tuple[float, float, float, float]) -> None:
    import gpu

    if rows.stop - rows.start < 2:
        return
    shader = _shader("POLYLINE_UNIFORM_COLOR")
    batch = _batch((obj.session_uid, color), (rows, id(points)), shader, "LINES", lambda: _pairs(points[rows]))
    shader.bind()
    shader.uniform_float("viewportSize", gpu.state.viewport_get()[2:])
    shader.uniform_float("lineWidth", _WIDTHS[color] * bpy.context.preferences.system.ui_scale)
    shader.uniform_float("color", color)
    batch.draw(shader)


def _draw_points(place: Any, made_from: Any, points: Any, color: tuple[float, ...], size: float) -> None:
    import gpu

    if not len(points):
        return
    # Points have had a shader of their own since the one for lines no longer sets their size on every system.
    shader = _shader("POINT_UNIFORM_COLOR", "UNIFORM_COLOR")
    batch = _batch(place, made_from, shader, "POINTS", lambda: points)
    gpu.state.point_size_set(size * bpy.context.preferences.system.ui_scale)
    shader.bind()
    shader.uniform_float("color", color)
    batch.draw(shader)
    gpu.state.point_size_set(1.0)


def _batch(place: Any, made_from: Any, shader: Any, kind: str, points: Any) -> Any:
    """Return what is drawn at a place; made anew if it was made from something else, or from None."""
    from gpu_extras.batch import batch_for_shader

    known = _batches.get(place)
    if made_from is None or known is None or known[0] != made_from:
        known = (made_from, batch_for_shader(shader, kind, {"pos": np.asarray(points(), np.float32)}))
        _batches[place] = known
    return known[1]


def _shader(*names: str) -> Any:
    """Return the first of Blender's shaders that this version has."""
    import gpu

    for name in names:
        if name not in _shaders:
            try:
                _shaders[name] = gpu.shader.from_builtin(name)
            except ValueError:
                _shaders[name] = None
        if _shaders[name] is not None:
            return _shaders[name]
    raise ValueError(f"this Blender has no shader {' or '.join(names)}")


_shaders: dict[str, Any] = {}


def _pairs(points: Any) -> Any:
    """Return the ends of all pieces (2 * (T - 1) * N, 3) of trails (T, N, 3)."""
    return np.stack([points[:-1], points[1:]], axis=2).transpose(1, 0, 2, 3).reshape(-1, 3)


def _at(points: Any, frames: Any, frame: float) -> Any:
    """Return (N, 3) where joints are at a frame; nothing outside the trails."""
    if not len(frames) or not frames[0] <= frame <= frames[-1]:
        return points[:0].reshape(0, 3)
    after = min(int(np.searchsorted(frames, frame)), len(frames) - 1)
    before = max(after - 1, 0)
    span = frames[after] - frames[before]
    share = (frame - frames[before]) / span if span else 0.0
    return (1 - share) * points[before] + share * points[after]


def _forget() -> None:
    _paths.clear()
    _lines.clear()
    _mains.clear()
    _batches.clear()


@persistent
def _undone(*_: Any) -> None:
    _forget()


@persistent
def _loading(*_: Any) -> None:
    turn_off()


@persistent
def _changed(scene: Any, depsgraph: Any) -> None:
    """Forget trails whose keys or bones at rest have changed."""
    for update in depsgraph.updates:
        if isinstance(update.id, bpy.types.Armature):
            _forget()
            return
        if isinstance(update.id, bpy.types.Action):
            changed = update.id.original.session_uid
            for place in [place for place in _lines if place.action == changed]:
                del _lines[place]
            _paths.clear()


_FOLLOWED = {
    "depsgraph_update_post": _changed,
    "undo_post": _undone,
    "redo_post": _undone,
    "load_pre": _loading,
}

CLASSES = ()


def register() -> None:
    """Nothing is drawn until it is asked for."""


def unregister() -> None:
    """Draw no more."""
    turn_off()
    _shaders.clear()
