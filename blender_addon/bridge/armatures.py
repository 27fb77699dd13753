"""What is read of an armature object: bones at rest, rotation modes, present channels, selection, constraints."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.rotations import quat_wxyz_to_matrix

from ..animation.rotation_modes import channel_name, to_quat_wxyz
from ..rigs.pose_channels import Channels, Sampler, sampled
from ..rigs.posing import Rig

Array = NDArray[np.float64]


def read_rig(obj: bpy.types.Object) -> Rig:
    """Return the bones of an armature object at rest, parents first, as Blender saw them after its last edit.

    ``world`` is the object's matrix at the present frame.

    Raises:
        ValueError: the object is no armature.
    """
    bones = _sorted_bones(obj)
    at = {bone.name: k for k, bone in enumerate(bones)}
    rest = np.empty((len(bones), 4, 4))
    for k, bone in enumerate(bones):
        rest[k] = bone.matrix_local
    return Rig(
        names=tuple(at),
        parents=np.array([at[bone.parent.name] if bone.parent else -1 for bone in bones], np.int64),
        rest=rest,
        lengths=np.array([bone.length for bone in bones], np.float64),
        inherit_rotation=np.array([bone.use_inherit_rotation for bone in bones], bool),
        inherit_scale=tuple(bone.inherit_scale for bone in bones),
        use_local_location=np.array([bone.use_local_location for bone in bones], bool),
        connected=np.array([bone.use_connect for bone in bones], bool),
        world=np.array(obj.matrix_world, np.float64),
    )


def rotation_modes(obj: bpy.types.Object) -> dict[str, str]:
    """Return each bone's rotation mode, in the order of :func:`read_rig`.

    Raises:
        ValueError: the object is no armature.
    """
    return {name: bone.rotation_mode for name, bone in _pose_bones(obj).items()}


def rest_channels(obj: bpy.types.Object) -> Channels:
    """Return what the bones' channels hold at present, in the order of :func:`read_rig`.

    Raises:
        ValueError: the object is no armature.
    """
    bones = _pose_bones(obj).values()
    modes = tuple(bone.rotation_mode for bone in bones)
    return Channels(
        modes=modes,
        rotations=tuple(_rotation(bone) for bone in bones),
        locations=np.array([bone.location for bone in bones], np.float64).reshape(-1, 3),
        scales=np.array([bone.scale for bone in bones], np.float64).reshape(-1, 3),
    )


def sample_world(obj: bpy.types.Object, sampler: Sampler, count: int) -> Array:
    """Return an object's matrix in the scene: (T, 4, 4) if F-curves of its own move it, (4, 4) as it stands if not.

    Its parent and its constraints are taken as they are at the present frame.

    Args:
        obj: any object.
        sampler: called with each curve's key; its values (T,), or None where there is no such curve.
        count: T.
    """
    turn, turns = sampled(channel_name(obj.rotation_mode), _rotation(obj), sampler, count)
    place, moves = sampled("location", obj.location, sampler, count)
    size, grows = sampled("scale", obj.scale, sampler, count)
    world = np.array(obj.matrix_world, np.float64)
    if not (turns or moves or grows):
        return world
    basis = np.tile(np.eye(4), (count, 1, 1))
    basis[:, :3, :3] = quat_wxyz_to_matrix(to_quat_wxyz(turn, obj.rotation_mode))
    if obj.rotation_mode != "AXIS_ANGLE":  # of that mode Blender shows no delta
        name = "quaternion" if obj.rotation_mode == "QUATERNION" else "euler"
        delta = np.array(getattr(obj, f"delta_rotation_{name}"), np.float64)
        basis[:, :3, :3] = quat_wxyz_to_matrix(to_quat_wxyz(delta[None], obj.rotation_mode)) @ basis[:, :3, :3]
    basis[:, :3, :3] *= (size * np.array(obj.delta_scale))[:, None]
    basis[:, :3, 3] = place + np.array(obj.delta_location)
    return world @ np.linalg.inv(np.array(obj.matrix_basis, np.float64)) @ basis


def selected_bones(obj: bpy.types.Object) -> list[str]:
    """Return the selected bones that are visible, in the order of :func:`read_rig`.

    In edit mode those selected there; else those of pose mode, which Blender keeps in object mode too.

    Raises:
        ValueError: the object is no armature.
    """
    gone = hidden_bones(obj)
    return [name for name, bone in _states(obj).items() if bone.select and name not in gone]


def hidden_bones(obj: bpy.types.Object) -> set[str]:
    """Return the bones that are hidden, themselves or with all bone collections that they are in.

    Raises:
        ValueError: the object is no armature.
    """
    hidden = {name for name, bone in _states(obj).items() if bone.hide}
    bones = obj.data.edit_bones if obj.mode == "EDIT" else obj.data.bones
    for bone in bones:
        if len(bone.collections) and not any(one.is_visible_effectively for one in bone.collections):
            hidden.add(bone.name)
    return hidden


def metres_per_unit(scene: bpy.types.Scene) -> float:
    """Return how many metres one unit of a scene is."""
    return float(scene.unit_settings.scale_length)


def _rotation(owner: Any) -> Array:
    return np.array(getattr(owner, channel_name(owner.rotation_mode)), np.float64)


def _armature(obj: Any) -> bpy.types.Armature:
    if obj is None or obj.type != "ARMATURE":
        raise mismatch("object", "an armature", "none" if obj is None else f"{obj.name}, {obj.type.lower()}")
    return obj.data


def _sorted_bones(obj: Any) -> list[Any]:
    """Return the bones parents first: as Blender lists them, which is so but for files written by other programs."""
    placed: dict[str, Any] = {}
    for bone in _armature(obj).bones:
        line, one = [], bone
        while one is not None and one.name not in placed:
            line.append(one)
            one = one.parent
        placed.update((one.name, one) for one in reversed(line))
    return list(placed.values())


def _pose_bones(obj: Any) -> dict[str, Any]:
    """Return the pose's bones by name, in the order of the rig.

    Raises:
        ValueError: Blender has made no pose yet; it does when the scene is updated.
    """
    names = [bone.name for bone in _sorted_bones(obj)]
    found = {} if obj.pose is None else {bone.name: bone for bone in obj.pose.bones}
    if missing := [name for name in names if name not in found]:
        raise mismatch(f"pose of {obj.name}", "one with all bones, as after an update of the scene", f"no {missing[0]}")
    return {name: found[name] for name in names}


def _states(obj: Any) -> dict[str, Any]:
    """Return by name what holds a bone's selection: edit bones, pose bones (from Blender 5.0) or bones."""
    armature = _armature(obj)
    if obj.mode == "EDIT":
        return {bone.name: bone for bone in armature.edit_bones}
    if "select" in bpy.types.PoseBone.bl_rna.properties:
        return _pose_bones(obj)
    return {bone.name: bone for bone in _sorted_bones(obj)}


def hierarchy(obj: bpy.types.Object) -> tuple[list[str], list[int]]:
    """Return the names of the bones, in the order of :func:`read_rig`, and the place of each one's parent (-1: none).

    Raises:
        ValueError: the object is no armature.
    """
    bones = _sorted_bones(obj)
    at = {bone.name: k for k, bone in enumerate(bones)}
    return list(at), [at[bone.parent.name] if bone.parent else -1 for bone in bones]
