"""What there is to refine in a scene: actions with those who play them, and what must be known of these."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import bpy

from . import armatures, keyframes
from .curves import Curve, CurveKey, target_of
from .grids import real_fps
from .keyframes import Source
from .parts import part_of
from .plan import Body, Options, unkeyed
from .results import pair_of
from .standing import Armature


@dataclass
class Player:
    """An object or the shape keys of a mesh, and the NLA strip through which it plays an action; None: directly."""

    id: bpy.types.ID
    strip: bpy.types.NlaStrip | None


@dataclass
class Take:
    """One action and slot, with those of the chosen objects that play it.

    Attributes:
        source: action and slot.
        owner: whose bones, modes and limits count.
        fps: frames a second at which the action's frames play.
        players: those who are to play the refined action.
    """

    source: Source
    owner: bpy.types.ID
    fps: float
    players: list[Player] = field(default_factory=list)


def chosen(context: bpy.types.Context) -> list[bpy.types.ID]:
    """Return the selected objects and their shape keys, the active one first; it alone where nothing is selected."""
    objects = list(context.selected_objects or ())
    active = context.active_object
    if active is not None and (not objects or active.mode != "OBJECT" or active.select_get()):
        objects.insert(0, active)
    return with_shape_keys(objects)


def everything(scene: bpy.types.Scene | None = None) -> list[bpy.types.ID]:
    """Return all objects of a scene, or of the file, and their shape keys."""
    return with_shape_keys(bpy.data.objects if scene is None else scene.objects)


def with_shape_keys(objects: Iterable[bpy.types.Object]) -> list[bpy.types.ID]:
    """Return objects, each followed by the shape keys of its mesh."""
    ids: dict[bpy.types.ID, None] = {}
    for obj in objects:
        ids[obj] = None
        shape_keys = getattr(obj.data, "shape_keys", None)
        if shape_keys is not None:
            ids[shape_keys] = None
    return list(ids)


def takes_of(ids: Iterable[bpy.types.ID], scene: bpy.types.Scene) -> tuple[list[Take], list[str]]:
    """Return the takes that objects and shape keys play, and why others cannot be changed.

    An object without active action is taken by its NLA strips.
    """
    takes: dict[tuple[int, str], Take] = {}
    problems: list[str] = []
    for id_ in ids:
        active = keyframes.active_source(id_)
        found = [(None, active)] if active is not None else keyframes.nla_sources(id_)
        if not found:
            continue
        if problem := keyframes.editable_problem(id_):
            problems.append(problem)
            continue
        for strip, source in found:
            fps = scene_fps(scene) / (strip.scale if strip is not None else 1.0)
            take = takes.setdefault(keyframes.identity(source), Take(source, id_, fps))
            take.players.append(Player(id_, strip))
    return list(takes.values()), problems


def takes_of_file(scene: bpy.types.Scene) -> tuple[list[Take], list[str]]:
    """Return the takes of all actions of the file, played or not, originals of refined ones aside.

    An action that nobody plays is read with the first armature that has all of the bones that it moves.
    """
    takes, problems = takes_of(everything(), scene)
    known = {keyframes.identity(take.source) for take in takes}
    for action in bpy.data.actions:
        if action.library is not None or ((pair := pair_of(action)) is not None and pair.original == action):
            continue
        for source in keyframes.sources_of(action):
            if keyframes.target_type(source) not in ("OBJECT", "KEY", "UNSPECIFIED"):
                continue  # Of a lamp, a material, a camera's lens: no motion.
            if keyframes.identity(source) not in known and (owner := _owner_for(source)) is not None:
                takes.append(Take(source, owner, scene_fps(scene)))
    return takes, problems


def _owner_for(source: Source) -> bpy.types.ID | None:
    targets = [target for curve in keyframes.read_curves(source, marks=False) if (target := target_of(curve.path))]
    bones = {target.owner for target in targets if target.kind == "bone"}
    blocks = {target.owner for target in targets if target.kind == "shape_key"}
    for id_ in everything():
        if isinstance(id_, bpy.types.Key):
            fits = blocks and blocks <= set(id_.key_blocks.keys())
        elif id_.type == "ARMATURE":
            fits = bones and bones <= set(id_.pose.bones.keys())
        else:
            fits = targets and not bones and not blocks
        if fits and id_.library is None:
            return id_
    return None


def scene_fps(scene: bpy.types.Scene) -> float:
    """Return at how many frames of an action a second the scene plays, time remapping included."""
    render = scene.render
    return real_fps(render.fps, render.fps_base, render.frame_map_old, render.frame_map_new)


def starting(takes: Iterable[Take], from_original: bool) -> list[Take]:
    """Return takes, of which those that were refined before start from their original, or from what was refined.

    Takes that start from the same action and slot, as of two objects of which one shows the original and one the
    refined action, become one.
    """
    merged: dict[tuple[int, str], Take] = {}
    for take in takes:
        pair = pair_of(take.source.action)
        if pair is not None:
            take.source = keyframes.counterpart(take.source, pair.original if from_original else pair.refined)
        known = merged.setdefault(keyframes.identity(take.source), take)
        if known is not take:
            known.players += take.players
    return list(merged.values())


def body_of(id_: bpy.types.ID, curves: Sequence[Curve]) -> Body:
    """Return what a plan for some curves must know of an object or of shape keys."""
    present: dict[CurveKey, float] = {}
    for key in unkeyed(curves):
        try:
            value = id_.path_resolve(key.path)
        except ValueError:
            continue  # Curves outlive the bones that they were made for.
        present[key] = float(value[key.index])
    if isinstance(id_, bpy.types.Key):
        limits = {block.name: (block.slider_min, block.slider_max) for block in id_.key_blocks}
        return Body(modes={}, present=present, limits=limits)
    modes = {"": id_.rotation_mode}
    if id_.type != "ARMATURE":
        return Body(modes=modes, present=present)
    modes |= armatures.rotation_modes(id_)
    parts = bone_parts(id_)
    # A rig may hang its hips on a root of its own, which then carries nothing.
    roots = {bone.name for bone in id_.pose.bones if bone.parent is None or parts[bone.name] == "ROOT"}
    return Body(modes=modes, present=present, roots=frozenset(roots), parts=parts)


def bone_parts(obj: bpy.types.Object) -> dict[str, str]:
    """Return the part of each bone of an armature: as set by hand, or as guessed from the names."""
    bones = obj.pose.bones
    guessed = part_of(*armatures.hierarchy(obj))
    return {bone.name: guessed[bone.name] if bone.smoothnet_part == "AUTO" else bone.smoothnet_part for bone in bones}


def armature_of(obj: bpy.types.Object, curves: Sequence[Curve], scene: bpy.types.Scene) -> Armature:
    """Return what must be known of an armature to pose it without Blender."""
    return Armature(armatures.read_rig(obj), armatures.rest_channels(obj), curves, scene.unit_settings.scale_length)


def options_of(settings: bpy.types.PropertyGroup, take: Take, context: bpy.types.Context) -> Options:
    """Return the animator's choices for one take.

    Raises:
        ValueError: no preview range or file of weights is set, or no bone is selected.
    """
    scene = context.scene
    first = last = None
    if settings.frames != "ALL":
        if settings.frames == "PREVIEW" and not scene.use_preview_range:
            raise ValueError("range: expected a preview range in the timeline, received none")
        preview = settings.frames == "PREVIEW"
        first = scene.frame_preview_start if preview else scene.frame_start
        last = scene.frame_preview_end if preview else scene.frame_end
        # The frames of the scene are stretched against those of the action, and an NLA strip moves them.
        stretch = scene.render.frame_map_old / scene.render.frame_map_new
        strip = take.players[0].strip if take.players else None
        first, last = sorted(keyframes.to_action_time(f * stretch, strip) for f in (first, last))
    bones = None
    if settings.bones == "SELECTED" and getattr(take.owner, "type", "") == "ARMATURE":
        bones = frozenset(armatures.selected_bones(take.owner))
        if not bones:
            raise ValueError(f"bones of {take.owner.name!r}: expected selected ones, received none")
    model = settings.model
    if model == "FILE":
        if not settings.model_file:
            raise ValueError("model: expected a file of weights, received none")
        model = bpy.path.abspath(settings.model_file)
    return Options(
        rotations=settings.channels in ("BOTH", "ROTATION"),
        locations=settings.channels in ("BOTH", "LOCATION"),
        all_locations=settings.all_locations,
        bones=bones,
        first=first,
        last=last,
        model=model,
        repair_spikes=settings.repair_spikes,
        fill_gaps=settings.fill_gaps,
        longest_gap=settings.longest_gap,
        protect_fast=settings.protect_fast,
        steady_slow=settings.steady_slow,
        keep_feet=settings.keep_feet,
        marked=frozenset(settings.marked),
        keep_selected=settings.keep_selected,
        cyclic=settings.cyclic,
        bake_sparse=settings.bake_sparse,
    )
