"""A file of every readable format, and the operators of import and export registered where the extension has none."""

from __future__ import annotations

import contextlib
import json

import numpy as np

from smpl_tools.contents import as_content
from smpl_tools.convert import make, prepared_for
from smpl_tools.coordinates import assuming, stated_units, stated_ups, with_unit, with_up
from smpl_tools.formats import FORMATS, read
from smpl_tools.rigs.guesses import with_guesses
from tests.smpl.test_survival import CASES, READ

# What a sample of each content shows: fingers and people where the format holds them.
_SHOWN = ("people", "hands", "translation", "joint names")
SAMPLES = [(name, content) for name in READ for content in FORMATS[name].contents]


@contextlib.contextmanager
def operators():
    """An empty scene at 30 frames a second, with import and export registered, by the extension or here."""
    import bpy

    from blender_addon.operators import export_motion, import_motion

    modules = []
    if not hasattr(bpy.types, "SMOOTHNET_OT_import_motion"):
        modules = [import_motion, export_motion]
    for module in modules:
        for cls in module.CLASSES:
            bpy.utils.register_class(cls)
        module.register()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 30
    try:
        yield bpy.context.scene
    finally:
        for module in reversed(modules):
            module.unregister()
            for cls in reversed(module.CLASSES):
                bpy.utils.unregister_class(cls)


def sample(name, content, folder, key=None):
    """Write a file of a format and return its path and how to read it."""
    form = FORMATS[name]
    cases = CASES[content]()
    keys = [k for k in _SHOWN if k in cases and (k in form.keeps or k in ("translation", "joint names"))]
    ready, _ = prepared_for(cases[key or keys[0]], name)
    path = folder / f"take{form.suffixes[-1 if name == 'array' else 0] if form.suffixes else ''}"
    make(ready, name, path)
    return path, {"kind": "position"} if name == "array" else {}


def places(path, **how):
    """Return where smpl_tools has the joints of every person of a file, (T, J, 3) metres, Z up, and their names."""
    motion = read(path, **how)
    flat = "joints_2d" if not _in_space(motion) else "joints"
    plain, _ = as_content(motion, flat)
    found = {}
    if flat == "joints_2d":
        for person in plain.people:
            found[person.id] = (person.tracks["joints"].values, person.tracks["joints"].joints)
        return found
    plain, _ = with_guesses(plain)
    if not stated_ups(plain):
        plain = assuming(plain, up="y")
    if not stated_units(plain):
        plain = assuming(plain, metres=1.0)
    plain = with_unit(with_up(plain, "z"), 1.0)
    for person in plain.people:
        found[person.id] = (person.tracks["joints"].values, person.tracks["joints"].joints)
    return found


def _in_space(motion):
    from smpl_tools.contents import derivable

    return derivable(motion, ("joints",)) is not None


def armatures():
    """Return the imported armatures by the ids of their people, with what they remember."""
    import bpy

    found = {}
    for object in bpy.data.objects:
        if object.type == "ARMATURE":
            record = json.loads(object["smoothnet_source"])
            found[record["person"]] = (object, record)
    return found


def heads(object, bones, frames):
    """Return where Blender evaluates the bones' heads, (T, B, 3) in the scene."""
    import bpy

    scene = bpy.context.scene
    result = []
    for frame in frames:
        scene.frame_set(int(np.floor(frame + 1e-6)), subframe=max(0.0, frame - np.floor(frame + 1e-6)))
        evaluated = object.evaluated_get(bpy.context.evaluated_depsgraph_get())
        pose = evaluated.pose.bones
        result.append([list(evaluated.matrix_world @ pose[bone].head) for bone in bones])
    return np.array(result)
