"""Armatures as Blender evaluates them over time, with constraints, drivers and NLA, as arrays."""

from collections.abc import Iterator, Sequence

import bpy
import numpy as np

from ..animation.curves import Array
from ..files.evaluated_motion import Take
from . import keyframes


def sampled(
    context: bpy.types.Context, objects: Sequence[bpy.types.Object], times: Array
) -> Iterator[float | list[Take]]:
    """Yield the share done now and then, and last the takes of armatures at frames of the scene, whole or not.

    The scene is at its own frame again afterwards.

    Args:
        context: whose scene and view layer are evaluated.
        objects: armatures.
        times: (T,) frames.

    Raises:
        ValueError: an armature is disabled.
    """
    scene = context.scene
    for object in objects:
        if not object.evaluated_get(context.evaluated_depsgraph_get()).is_evaluated:
            raise ValueError(f"{object.name} is disabled in viewports and does not move: enable it first")
    current, between = scene.frame_current, scene.frame_subframe
    resting = _deforming(context, objects)
    still = [_still(object) for object in objects]
    worlds = [np.empty((len(times), 4, 4)) for _ in objects]
    poses = [np.empty((len(times), len(names), 4, 4), np.float32) for names, *_ in still]
    try:
        for modifier in resting:
            modifier.show_viewport = False
        for row, time in enumerate(times.tolist()):
            whole = int(np.floor(time + 1e-6))
            scene.frame_set(whole, subframe=max(0.0, time - whole))
            depsgraph = context.evaluated_depsgraph_get()
            for object, world, pose in zip(objects, worlds, poses, strict=True):
                evaluated = object.evaluated_get(depsgraph)
                world[row] = evaluated.matrix_world
                # Blender stores matrices by columns.
                evaluated.pose.bones.foreach_get("matrix", pose[row].reshape(-1))
            if row % 50 == 49:
                yield (row + 1) / len(times)
    finally:
        for modifier in resting:
            modifier.show_viewport = True
        scene.frame_set(current, subframe=between)
    takes = []
    for object, (names, parents, rest, tails, deforming), world, pose in zip(
        objects, still, worlds, poses, strict=True
    ):
        turned = pose.astype(np.float64).swapaxes(-1, -2)
        takes.append(Take(object.name, names, parents, rest, tails, deforming, world, turned))
    yield [_parents_first(take) for take in takes]


def _deforming(context: bpy.types.Context, objects: Sequence[bpy.types.Object]) -> list[bpy.types.Modifier]:
    """Return the modifiers by which armatures deform meshes that nothing else looks at: most of the time goes there."""
    followed = set()
    for object in context.view_layer.objects:
        bones = object.pose.bones if object.pose is not None else ()
        for owner in (object, *bones):
            for constraint in owner.constraints:
                followed.add(getattr(constraint, "target", None))
                followed |= {each.target for each in getattr(constraint, "targets", ())}
        if object.parent_type.startswith("VERTEX"):
            followed.add(object.parent)
    found = []
    for object in context.view_layer.objects:
        if object not in followed and object.library is None and object.override_library is None:
            for modifier in object.modifiers:
                if modifier.type == "ARMATURE" and modifier.object in objects and modifier.show_viewport:
                    found.append(modifier)
    return found


def _still(object: bpy.types.Object) -> tuple[tuple[str, ...], np.ndarray, Array, Array, np.ndarray]:
    bones = [bone.bone for bone in object.pose.bones]
    place = {bone.name: k for k, bone in enumerate(bones)}
    return (
        tuple(place),
        np.array([-1 if bone.parent is None else place[bone.parent.name] for bone in bones], np.int64),
        np.array([np.array(bone.matrix_local) for bone in bones], np.float64).reshape(-1, 4, 4),
        np.array([bone.tail_local for bone in bones], np.float64).reshape(-1, 3),
        np.array([bone.use_deform for bone in bones], bool),
    )


def _parents_first(take: Take) -> Take:
    order: list[int] = []
    pending = list(np.flatnonzero(take.parents < 0)[::-1])
    while pending:
        bone = int(pending.pop())
        order.append(bone)
        pending += list(np.flatnonzero(take.parents == bone)[::-1])
    place = {bone: k for k, bone in enumerate(order)}
    return Take(
        take.name,
        tuple(take.bones[bone] for bone in order),
        np.array([place.get(int(take.parents[bone]), -1) for bone in order], np.int64),
        take.rest[order],
        take.tails[order],
        take.deforming[order],
        take.world,
        take.pose[:, order],
    )


def action_range(object: bpy.types.Object) -> tuple[float, float] | None:
    """Return the first and last frame with a key of what animates an object; None where nothing has keys."""
    source = keyframes.active_source(object)
    curves = [] if source is None else keyframes.read_curves(source, marks=False)
    times = [curve.times for curve in curves if len(curve.times)]
    return (min(float(t[0]) for t in times), max(float(t[-1]) for t in times)) if times else None
