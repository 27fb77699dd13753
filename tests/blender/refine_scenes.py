"""Noisy takes keyed onto objects, what they pose, and what a file holds; needs bpy.

Keys are written and read here by Blender's own functions alone, so that the bridge under test is not its own judge.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import bpy
import numpy as np
from mathutils import Euler, Quaternion

MODES = ("QUATERNION", "AXIS_ANGLE", "XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX")
BONES = ("Hips", "Spine", "Head", "LeftArm", "LeftHand", "LeftUpLeg")


def armature(name: str = "Hero", bones: Sequence[str] = BONES) -> Any:
    """Return an armature object whose bones form a chain, selected and active."""
    data = bpy.data.armatures.new(name)
    obj = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(obj)
    select(obj)
    bpy.ops.object.mode_set(mode="EDIT")
    parent = None
    for place, bone_name in enumerate(bones):
        bone = data.edit_bones.new(bone_name)
        bone.head, bone.tail, bone.parent = (0.1 * place, 0, place), (0.1 * place, 0, place + 1), parent
        parent = bone
    bpy.ops.object.mode_set(mode="OBJECT")
    return obj


def select(*objects: Any) -> None:
    """Select objects alone, the last one active."""
    for obj in bpy.context.scene.objects:
        obj.select_set(obj in objects)
    bpy.context.view_layer.objects.active = objects[-1]


def swing(seconds: np.ndarray, noise: float = 1.0, seed: int = 0, size: float = 40.0) -> np.ndarray:
    """Return quaternions (T, 4) w, x, y, z of a swing of ``size`` degrees with ``noise`` in degrees."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 6, 3)
    angles = np.radians(size) * np.stack([np.sin(2.0 * seconds + p) for p in phase], axis=1) * [1.0, 0.4, 0.3]
    angles += rng.normal(scale=np.radians(max(noise, 1e-9)) / np.sqrt(3), size=angles.shape)
    return np.array([Euler(row, "XYZ").to_quaternion() for row in angles])


def channels(quat_wxyz: np.ndarray, mode: str) -> tuple[str, np.ndarray]:
    """Return Blender's property and values of quaternions in a rotation mode, by mathutils, each near the last."""
    if mode == "QUATERNION":
        rows = [Quaternion(row) for row in quat_wxyz]
        for last, row in itertools.pairwise(rows):
            row.make_compatible(last)
        return "rotation_quaternion", np.array(rows)
    if mode == "AXIS_ANGLE":
        found = [Quaternion(row).to_axis_angle() for row in quat_wxyz]
        return "rotation_axis_angle", np.array([[angle, *axis] for axis, angle in found])
    out: list[Euler] = []
    for row in quat_wxyz:
        out.append(Quaternion(row).to_euler(mode, out[-1]) if out else Quaternion(row).to_euler(mode))
    return "rotation_euler", np.array([list(row) for row in out])


def key(obj: Any, path: str, times: Any, values: Any, interpolation: str = "LINEAR") -> list[Any]:
    """Key all components (T, n) of a property of an object or shape keys; return the curves."""
    values = np.asarray(values, float).reshape(len(times), -1)
    single = values.shape[1] == 1
    made = []
    for index in range(values.shape[1]):
        # Makes action, slot and curve wherever this Blender has them.
        assert obj.keyframe_insert(path, frame=float(times[0]), **({} if single else {"index": index}))
        curve = next(c for c in curves(obj) if c.data_path == path and c.array_index == index)
        points = curve.keyframe_points
        points.add(len(times) - 1)
        points.foreach_set("co", np.column_stack([times, values[:, index]]).astype(np.float32).ravel())
        kind = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items[interpolation].value
        points.foreach_set("interpolation", np.full(len(times), kind, np.int32))
        curve.update()
        made.append(curve)
    return made


def key_rotation(obj: Any, bone: str, times: Any, quat_wxyz: np.ndarray, mode: str, **how: Any) -> list[Any]:
    """Key a bone's rotation in a mode, which it gets."""
    obj.pose.bones[bone].rotation_mode = mode
    channel, values = channels(quat_wxyz, mode)
    return key(obj, f'pose.bones["{bone}"].{channel}', times, values, **how)


def hero(frames: int = 90, mode: str = "QUATERNION", noise: float = 1.0, bones: Sequence[str] = BONES) -> Any:
    """Return an armature of which all bones swing, and the first walks, with noise: a key on every frame from 1."""
    obj = armature(bones=bones)
    times = np.arange(1.0, frames + 1)
    for seed, bone in enumerate(bones):
        key_rotation(obj, bone, times, swing(times / 30, noise, seed), mode)
    rng = np.random.default_rng(99)
    walk = np.stack([0.02 * times, 0.1 * np.sin(times / 6), 0.0 * times], axis=1)
    key(obj, f'pose.bones["{bones[0]}"].location', times, walk + rng.normal(scale=0.004, size=walk.shape))
    return obj


def curves(user: Any) -> list[Any]:
    """Return the F-curves that a datablock plays."""
    data = user.animation_data
    if not hasattr(data.action, "slots"):
        return list(data.action.fcurves)
    slot = data.action_slot
    return [c for bag in _bags(data.action) if bag.slot_handle == slot.handle for c in bag.fcurves]


def curve(user: Any, path: str, index: int = 0) -> Any:
    """Return one F-curve that a datablock plays."""
    return next(c for c in curves(user) if c.data_path == path and c.array_index == index)


def all_curves(action: Any) -> list[Any]:
    """Return the F-curves of all slots of an action."""
    return [c for bag in _bags(action) for c in bag.fcurves] if hasattr(action, "slots") else list(action.fcurves)


def _bags(action: Any) -> Iterable[Any]:
    return (bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags)


def column(curve: Any, name: str = "co") -> np.ndarray:
    """Return a property of all keys of a curve; ``co`` and handles as (K, 2)."""
    points = curve.keyframe_points
    if name in ("co", "handle_left", "handle_right"):
        raw = np.empty(2 * len(points), np.float32)
        points.foreach_get(name, raw)
        return raw.reshape(-1, 2)
    raw = np.empty(len(points), np.int32)
    points.foreach_get(name, raw)
    return raw


def values(user: Any, path: str) -> np.ndarray:
    """Return the values (K, n) of a property's keys."""
    mine = sorted((c for c in curves(user) if c.data_path == path), key=lambda c: c.array_index)
    return np.stack([column(c)[:, 1] for c in mine], axis=1).astype(float)


def keys_of(action: Any) -> list[Any]:
    """Return all that an action's curves are, bit for bit."""
    out = []
    for c in all_curves(action):
        fields = (
            "co",
            "handle_left",
            "handle_right",
            "interpolation",
            "type",
            "handle_left_type",
            "select_control_point",
        )
        keys = tuple(column(c, name).tobytes() for name in fields)
        flags = (c.mute, c.lock, c.extrapolation, c.group.name if c.group else "", [m.type for m in c.modifiers])
        out.append((c.data_path, c.array_index, keys, flags))
    return out


def file_state() -> dict[str, Any]:
    """Return what must not change when nothing is done: actions, who plays them, and the current frame."""
    state: dict[str, Any] = {"frame": bpy.context.scene.frame_current}
    for action in bpy.data.actions:
        extra = {name: value for name, value in action.items() if name != "smoothnet"}
        state[f"action {action.name}"] = (action.users, action.use_fake_user, keys_of(action), extra)
    for user in (*bpy.data.objects, *bpy.data.shape_keys):
        data = user.animation_data
        if data is not None:
            strips = [
                (s.name, s.action, s.frame_start, s.frame_end, s.scale) for t in data.nla_tracks for s in t.strips
            ]
            slot = getattr(data, "action_slot", None)
            state[f"user {user.name}"] = (data.action, slot.identifier if slot else "", strips)
    return state


def pose(obj: Any, bone: str, frames: Iterable[float]) -> np.ndarray:
    """Return the rotations (T, 4) w, x, y, z of a bone's own channels as Blender plays them; empty: the object's."""
    out = []
    for frame in frames:
        bpy.context.scene.frame_set(int(np.floor(frame)), subframe=frame % 1)
        owner = obj.pose.bones[bone] if bone else obj
        out.append(owner.matrix_basis.to_quaternion())
    return np.array(out)


def degrees(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the angles (T,) between rotations."""
    dots = np.abs((first * second).sum(axis=-1)) / np.linalg.norm(first, axis=-1) / np.linalg.norm(second, axis=-1)
    return np.degrees(2 * np.arccos(np.clip(dots, 0, 1)))


def roughness(quat_wxyz: np.ndarray) -> float:
    """Return the mean angle in degrees by which rotations are off the middle of their neighbours."""
    q = quat_wxyz
    near = np.sign((q[:-2] * q[2:]).sum(axis=1, keepdims=True))
    return float(degrees(q[1:-1], q[:-2] * near + q[2:]).mean())


def refine(**settings: Any) -> Any:
    """Run Refine on what is selected; return what it says."""
    return bpy.ops.smoothnet.refine(**settings)


def write_bvh(path: Any, frames: int = 120) -> None:
    """Write a BVH file of three joints that turn about all axes, with noise."""
    lines = ["HIERARCHY"]
    for depth, name in enumerate(("Hips", "Spine", "Head")):
        pad = "  " * depth
        place = (
            "6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
            if not depth
            else "3 Zrotation Xrotation Yrotation"
        )
        lines += [
            f"{pad}{'JOINT' if depth else 'ROOT'} {name}",
            f"{pad}{{",
            f"{pad}  OFFSET 0.0 {10.0 if depth else 0.0} 0.0",
            f"{pad}  CHANNELS {place}",
        ]
    lines += [
        "      End Site",
        "      {",
        "        OFFSET 0.0 10.0 0.0",
        "      }",
        *["  " * d + "}" for d in (2, 1, 0)],
    ]
    lines += ["MOTION", f"Frames: {frames}", "Frame Time: 0.0333333"]
    rng = np.random.default_rng(0)
    for t in range(frames):
        row = [0.5 * t, 90 + 2 * np.sin(t / 6), 0.0]
        # The hips turn on and on, so that the file's angles wrap.
        for bone in range(3):
            angles = [60 * np.sin(t / 14 + bone), 30 * np.cos(t / 17), 5.0 * t if not bone else 20 * np.sin(t / 9)]
            row += list((np.array(angles) + rng.normal(scale=0.8, size=3) + 180) % 360 - 180)
        lines.append(" ".join(f"{value:.4f}" for value in row))
    path.write_text("\n".join(lines) + "\n")
