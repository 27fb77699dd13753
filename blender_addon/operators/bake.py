"""Bake Pose to Keys: what constraints, IK and drivers show becomes keys in a new action, which can be refined."""

import math
from collections.abc import Generator
from typing import Any

import bpy
import numpy as np
from bpy.props import BoolProperty, EnumProperty, PointerProperty, StringProperty

from .. import baking
from ..bridge import keyframes
from ..bridge.armatures import selected_bones
from ..jobs import JobOperator, Progress
from ..takes import scene_fps

SUFFIX = "_baked"
# Share of the whole that goes to evaluating poses; the rest to writing keys.
_EVALUATING = 0.8


# The custom property in which a baked action points at the one before; see :mod:`..results` for why it is none of ours.
ORIGINAL = "smoothnet_unbaked"


class SMOOTHNET_PG_bake(bpy.types.PropertyGroup):
    """What an action was like before it was baked"""

    had_fake_user: BoolProperty(name="Had Fake User", description="Whether the action before had a fake user")
    muted: StringProperty(name="Muted", description="Constraints and drivers that baking muted")


class SMOOTHNET_OT_bake(JobOperator, bpy.types.Operator):
    """Give bones moved by constraints, IK or drivers keys on every frame, in a new action; the original stays"""

    bl_idname = "smoothnet.bake"
    bl_label = "Bake Pose to Keys"
    bl_options = {"REGISTER", "UNDO"}

    span: EnumProperty(
        name="Frames",
        items=(
            ("ALL", "All", "From the first key or frame of the scene to the last"),
            ("SCENE", "Scene", "The frame range of the scene"),
            ("PREVIEW", "Preview", "The preview range of the timeline"),
        ),
        default="ALL",
    )
    only_selected: BoolProperty(
        name="Only Selected Bones",
        description="Bake selected bones and the chains that they are part of",
        default=False,
    )
    sparse: BoolProperty(
        name="Sparse Curves",
        description="Also give curves with fewer than 5 keys a second a key on every frame",
        default=False,
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """An armature must be selected; whether it has something to bake is seen at the start."""
        if _armatures(context):
            return True
        cls.poll_message_set("Select an armature")
        return False

    def job(self, context: bpy.types.Context) -> Generator[Progress, None, None]:
        """Bake every selected armature; the file changes at the end alone, or not at all."""
        armatures = _armatures(context)
        plans = [(obj, bones) for obj in armatures if (bones := self._bones(obj))]
        poses = []
        share = _EVALUATING / max(1, len(plans))
        for number, (obj, bones) in enumerate(plans):
            frames = _frames(context.scene, obj, self.span)
            poses.append((obj, (yield from _part(baking.bake_pose(obj, bones, frames), number * share, share))))
        written: list[bpy.types.Object] = []
        curves = 0
        try:
            for number, (obj, baked) in enumerate(poses):
                share = (1 - _EVALUATING) / len(poses)
                yield from _part(_write(obj, baked), _EVALUATING + number * share, share)
                written.append(obj)
            for obj in armatures if self.sparse else ():
                if count := (yield from _bake_sparse(context.scene, obj, fresh=obj in written)):
                    curves += count
                    written.append(obj)
        except BaseException:
            for obj in written:
                if _record(obj):
                    _revert(obj)
            raise
        if not written:
            raise ValueError("nothing to bake: no constraint, IK or driver moves a bone of the selected armatures")
        bones = sum(len(baked.bones) for _, baked in poses)
        self.report({"INFO"}, f"Baked {bones} bones" + (f" and {curves} curves" if curves else ""))

    def _bones(self, obj: bpy.types.Object) -> list[str]:
        held = baking.constrained_bones(obj)
        if self.only_selected:
            chosen = set(selected_bones(obj))
            return baking.with_chains(obj, [bone for bone in held if bone in chosen])
        return list(held)


class SMOOTHNET_OT_unbake(bpy.types.Operator):
    """Go back to the action before baking, and let the muted constraints and drivers work again"""

    bl_idname = "smoothnet.unbake"
    bl_label = "Revert Bake"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A selected armature must play a baked action."""
        if any(_record(obj) for obj in _armatures(context)):
            return True
        cls.poll_message_set("No selected armature plays a baked action")
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Bring actions, constraints and drivers back."""
        for obj in _armatures(context):
            if not _record(obj):
                continue
            try:
                _revert(obj)
            except ValueError as error:
                self.report({"ERROR"}, str(error))
                return {"CANCELLED"}
        return {"FINISHED"}


def _armatures(context: bpy.types.Context) -> list[bpy.types.Object]:
    found = [obj for obj in context.selected_objects or () if obj.type == "ARMATURE"]
    active = context.active_object
    if active is not None and active.type == "ARMATURE" and active.mode == "POSE" and active not in found:
        found.append(active)
    return found


def _record(obj: bpy.types.Object) -> SMOOTHNET_PG_bake | None:
    action = obj.animation_data.action if obj.animation_data else None
    if action is None or not (action.get(ORIGINAL) or action.smoothnet_bake.muted):
        return None
    return action.smoothnet_bake


def _write(obj: bpy.types.Object, baked: baking.BakedPose) -> Generator[Progress, None, None]:
    original = keyframes.active_source(obj)
    name = original.action.name if original else obj.name
    fake = original.action.use_fake_user if original else False
    new, muted = yield from baking.write_pose(obj, baked, _name(name))
    record = new.action.smoothnet_bake
    record.had_fake_user = fake
    if original:
        new.action[ORIGINAL] = original.action
    record.muted = baking.packed(muted)


def _name(name: str) -> str:
    return name.removesuffix(SUFFIX) + SUFFIX


def _revert(obj: bpy.types.Object) -> None:
    """Let an object play again what it played before its bake; the baked action goes unless others play it."""
    baked = obj.animation_data.action
    record = baked.smoothnet_bake
    original, fake, muted = baked.get(ORIGINAL), record.had_fake_user, baking.unpacked(record.muted)
    _play(obj, original)
    baking.unmute(obj, muted)
    if original is not None:
        original.use_fake_user = fake
    if baked.users - baked.use_fake_user == 0:
        bpy.data.actions.remove(baked)


def _play(obj: bpy.types.Object, action: bpy.types.Action | None) -> None:
    """Play an action again, or none."""
    present = keyframes.active_source(obj)
    if action is None or present is None:
        if obj.animation_data.use_tweak_mode:
            raise ValueError(f"{keyframes.label(obj)} is in NLA tweak mode: leave it first (Tab in the NLA editor)")
        obj.animation_data.action = action
    else:
        keyframes.assign(obj, keyframes.counterpart(present, action))


def _frames(scene: bpy.types.Scene, obj: bpy.types.Object, span: str) -> np.ndarray:
    if span == "PREVIEW" and scene.use_preview_range:
        return np.arange(scene.frame_preview_start, scene.frame_preview_end + 1, dtype=np.float64)
    first, last = scene.frame_start, scene.frame_end
    source = keyframes.active_source(obj)
    if span == "ALL" and source:
        times = [curve.times for curve in keyframes.read_curves(source, marks=False) if len(curve.times)]
        first = min([first, *(math.floor(t[0]) for t in times)])
        last = max([last, *(math.ceil(t[-1]) for t in times)])
    return np.arange(first, last + 1, dtype=np.float64)


def _bake_sparse(scene: bpy.types.Scene, obj: bpy.types.Object, *, fresh: bool) -> Generator[Progress, None, int]:
    """Bake the sparse curves of what an object plays, in place if its action is fresh; return how many."""
    source = keyframes.active_source(obj)
    fps = scene_fps(scene)
    curves = baking.sparse_curves(keyframes.read_curves(source, marks=False), fps) if source else []
    if source is None or not curves:
        return 0
    samples = yield from baking.bake_curves(source, curves)
    if fresh:
        for key, sample in samples.items():
            keyframes.replace_keys(source, key, sample.times, sample.values)
        return len(curves)
    if problem := keyframes.editable_problem(obj):
        raise ValueError(problem)
    new = yield from baking.write_curves(source, samples, _name(source.action.name))
    record = new.action.smoothnet_bake
    record.had_fake_user = source.action.use_fake_user
    new.action[ORIGINAL] = source.action
    keyframes.keep(source)
    keyframes.assign(obj, new)
    return len(curves)


def _part(steps: Generator[Progress, None, Any], start: float, share: float) -> Generator[Progress, None, Any]:
    """Pass on a piece of work with its place in the whole; return what it returns."""
    try:
        while True:
            step = next(steps)
            yield Progress(start + step.share * share, step.text)
    except StopIteration as done:
        return done.value
    finally:
        steps.close()  # the scene goes back to its frame


CLASSES = (SMOOTHNET_PG_bake, SMOOTHNET_OT_bake, SMOOTHNET_OT_unbake)


def register() -> None:
    """Let actions remember what they were baked from."""
    bpy.types.Action.smoothnet_bake = PointerProperty(type=SMOOTHNET_PG_bake)


def unregister() -> None:
    """Forget it."""
    del bpy.types.Action.smoothnet_bake
