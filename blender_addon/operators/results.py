"""What is done with a refined take: compare it with its original, apply it, or take it back."""

from collections.abc import Generator
from typing import Any

import bpy
from bpy.props import BoolProperty, FloatProperty

from .. import keyframes, results
from ..jobs import Background, JobOperator, Progress
from ..results import Pair
from ..takes import chosen


class SMOOTHNET_OT_compare(bpy.types.Operator):
    """Switch the selected objects between the original and the refined take"""

    bl_idname = "smoothnet.compare"
    bl_label = "Compare"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Something selected must have been refined."""
        return refined(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Switch all to what the first one does not show."""
        ids = chosen(context)
        pairs = pairs_of(ids)
        showing = shows_refined(ids)
        try:
            for pair in pairs:
                results.show(pair, not showing, ids)
        except ValueError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, "Showing the original" if showing else "Showing the refined take")
        return {"FINISHED"}


class SMOOTHNET_OT_apply(JobOperator, bpy.types.Operator):
    """Make the refined take the take: the blend is settled, the original stays as an action of the file"""

    bl_idname = "smoothnet.apply"
    bl_label = "Apply"
    bl_options = {"REGISTER", "UNDO"}

    reduce_keys: BoolProperty(name="Reduce Keys", description="Leave out keys that are not needed")
    tolerance: FloatProperty(
        name="Tolerance", description="In degrees", default=0.2, min=0.0, soft_max=5.0, precision=2
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Something selected must have been refined."""
        return refined(cls, context)

    def job(self, context: bpy.types.Context) -> Generator[Progress | Background, Any, None]:
        """Settle every refined take of the selected objects."""
        settings = context.scene.smoothnet
        for name in ("reduce_keys", "tolerance"):
            if not self.properties.is_property_set(name):
                setattr(self, name, getattr(settings, name))
        ids = chosen(context)
        pairs = pairs_of(ids)
        fewer = []
        if self.reduce_keys:
            for number, pair in enumerate(pairs):
                span = (number / len(pairs), (number + 1) / len(pairs))
                fewer.append((yield from reduced(pair, self.tolerance, span)))
        for pair in pairs:
            results.show(pair, True, ids)
            results.unlink(pair)
        removed = "".join(f", {before} to {after} keys" for before, after in fewer)
        self.report({"INFO"}, f"Applied {', '.join(pair.refined.name for pair in pairs)}{removed}")


class SMOOTHNET_OT_revert(bpy.types.Operator):
    """Go back to the original take and throw the refined one away"""

    bl_idname = "smoothnet.revert"
    bl_label = "Revert"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Something selected must have been refined."""
        return refined(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Go back for everything that plays the refined takes of the selected objects."""
        names = []
        try:
            for pair in pairs_of(chosen(context)):
                results.revert(pair)
                names.append(pair.original.name)
        except ValueError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"Back to {', '.join(names)}")
        return {"FINISHED"}


def refined(cls: type, context: bpy.types.Context) -> bool:
    """Return whether something selected was refined; say so where it was not."""
    if pairs_of(chosen(context)):
        return True
    cls.poll_message_set("The selected objects have no refined take: press Refine first")
    return False


def pairs_of(ids: list[bpy.types.ID]) -> list[Pair]:
    """Return the pairs of original and refined action that objects and shape keys play."""
    pairs: list[Pair] = []
    for id_ in ids:
        pair = results.shown_pair(id_)
        if pair is not None and pair not in pairs:
            pairs.append(pair)
    return pairs


def shows_refined(ids: list[bpy.types.ID]) -> bool:
    """Return whether the first of the objects that were refined plays its refined action."""
    for id_ in ids:
        pair = results.shown_pair(id_)
        if pair is not None:
            return any(source.action == pair.refined for source in keyframes.sources_played(id_))
    return False


CLASSES = (SMOOTHNET_OT_compare, SMOOTHNET_OT_apply, SMOOTHNET_OT_revert)
