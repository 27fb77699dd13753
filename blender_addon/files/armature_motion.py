"""Figures as armatures with a keyed action, and as meshes on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Vector

from ..animation.curves import Array, CurveKey, bone_path
from ..animation.rotation_modes import channel_name, from_quat_wxyz
from ..bridge import keyframes
from .bone_shapes import forward, limbs
from .figure import Figure, Skin, channels

# Custom property of an armature object: the text of a ``motion_files.Record``.
RECORD = "smoothnet_source"


@dataclass(frozen=True)
class Imported:
    """What one person became.

    Attributes:
        object: the armature.
        bones: names of the joints' bones, in the order of the joints.
        mesh: the skinned mesh object, None without.
    """

    object: bpy.types.Object
    bones: tuple[str, ...]
    mesh: bpy.types.Object | None


def build(
    context: bpy.types.Context,
    figure: Figure,
    name: str,
    collection: bpy.types.Collection,
    times: Array,
    rotation_mode: str = "QUATERNION",
) -> Imported:
    """Return a figure as an armature in a collection, with an action of one key a frame, and its mesh if it has one.

    Args:
        context: in object mode; the armature becomes the active object.
        figure: J joints, T frames.
        name: of the armature, the action and the mesh.
        collection: that is seen in the view layer.
        times: (T,) frames of the scene.
        rotation_mode: Blender's name of the bones' rotation mode.
    """
    armature = bpy.data.armatures.new(name)
    object = bpy.data.objects.new(name, armature)
    collection.objects.link(object)
    context.view_layer.objects.active = object
    object.select_set(True)
    bones = _add_bones(figure, armature)
    for bone in object.pose.bones:
        bone.rotation_mode = rotation_mode
    if figure.quat_wxyz is None:
        _join(object, figure, bones)
        armature.display_type = "STICK"
    _add_keys(object, figure, bones, name, times, rotation_mode)
    mesh = None
    if figure.skin is not None:
        mesh = _add_skin(figure.skin, object, bones, name, collection)
        object.show_in_front = True
    return Imported(object, bones, mesh)


def _add_bones(figure: Figure, armature: bpy.types.Armature) -> tuple[str, ...]:
    bpy.ops.object.mode_set(mode="EDIT")
    made = []
    for j, joint in enumerate(figure.joints):
        bone = armature.edit_bones.new(joint)
        bone.head, bone.tail = figure.places[j], figure.tails[j]
        bone.align_roll(Vector(forward(figure.tails[j] - figure.places[j])))
        parent = int(figure.parents[j])
        if parent >= 0:
            bone.parent = made[parent]
            # A connected bone cannot move by itself.
            at_end = np.abs(figure.places[j] - figure.tails[parent]).max() < 1e-7
            bone.use_connect = bool(at_end) and j not in figure.moves
        made.append(bone)
    names = tuple(bone.name for bone in made)
    if figure.quat_wxyz is None:
        for start, end in limbs(figure.joints):
            bone = armature.edit_bones.new(f"{names[start]} to {names[end]}")
            bone.head, bone.tail = figure.places[start], figure.places[end]
            if bone.length < 1e-4:
                bone.tail = figure.tails[start]
            bone.use_deform = False
    bpy.ops.object.mode_set(mode="OBJECT")
    return names


def _join(object: bpy.types.Object, figure: Figure, bones: Sequence[str]) -> None:
    """Let the bones between joints go from the one to the other."""
    for start, end in limbs(figure.joints):
        bone = object.pose.bones.get(f"{bones[start]} to {bones[end]}")
        if bone is None:
            continue
        place = bone.constraints.new("COPY_LOCATION")
        place.target, place.subtarget = object, bones[start]
        reach = bone.constraints.new("STRETCH_TO")
        reach.target, reach.subtarget = object, bones[end]
        reach.volume = "NO_VOLUME"


def _add_keys(
    object: bpy.types.Object, figure: Figure, bones: Sequence[str], name: str, times: Array, rotation_mode: str
) -> None:
    rest = [np.array(object.data.bones[bone].matrix_local.to_3x3(), np.float64) for bone in bones]
    turned, moved = channels(figure, rest)
    source = keyframes.make(object, name)
    for values, channel in ((turned, channel_name(rotation_mode)), (moved, "location")):
        for j, path in values.items():
            seen = np.isfinite(path).all(axis=1)
            keyed = path[seen]
            if not len(keyed):
                continue
            if values is turned:
                keyed = from_quat_wxyz(keyed, rotation_mode)
            for index in range(keyed.shape[1]):
                key = CurveKey(bone_path(bones[j], channel), index)
                keyframes.replace_keys(source, key, times[seen], keyed[:, index], group=bones[j])
    keyframes.assign(object, source)


def _add_skin(
    skin: Skin, object: bpy.types.Object, bones: Sequence[str], name: str, collection: bpy.types.Collection
) -> bpy.types.Object:
    mesh = bpy.data.meshes.new(f"{name} Body")
    mesh.from_pydata(skin.vertices.tolist(), [], skin.faces.tolist())
    mesh.validate()
    mesh.polygons.foreach_set("use_smooth", np.ones(len(mesh.polygons), bool))
    mesh.update()
    if skin.licence is not None:
        mesh["licence"] = skin.licence
    body = bpy.data.objects.new(mesh.name, mesh)
    collection.objects.link(body)
    for j, bone in enumerate(bones):
        group = body.vertex_groups.new(name=bone)
        for vertex in np.flatnonzero(skin.weights[:, j] > 0).tolist():
            group.add((vertex,), skin.weights[vertex, j], "REPLACE")
    body.parent = object
    modifier = body.modifiers.new("Armature", "ARMATURE")
    modifier.object = object
    return body
