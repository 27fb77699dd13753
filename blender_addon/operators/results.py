"""What is done with a refined take: compare it with its original, apply it, or take it back."""

from collections.abc import Generator
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty

from .. import results
from ..animation.blending import PARTS
from ..bridge import keyframes
from ..jobs import Background, JobOperator, Progress
from ..reducing import Thinned, thinned
from ..results import Pair
from ..takes import chosen


def _share(name: str, text: str) -> FloatProperty:
    return FloatProperty(
        name=name, description=text, default=1.0, min=0.0, max=1.0, subtype="FACTOR", options={"SKIP_SAVE"}
    )


class SMOOTHNET_OT_compare(bpy.types.Operator):
    """Switch the selected objects between the original and the refined take"""

    bl_idname = "smoothnet.compare"
    bl_label = "Compare"
    bl_options = {"REGISTER", "UNDO"}

    take: EnumProperty(
        name="Take",
        description="Which of the two takes plays",
        items=(
            ("OTHER", "Other", "The one that does not play now"),
            ("ORIGINAL", "Original", "The original take"),
            ("REFINED", "Refined", "The refined take"),
        ),
        default="OTHER",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Something selected must have been refined."""
        return refined(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Switch all to the take that was named, or to what the first one does not show."""
        ids = chosen(context)
        pairs = pairs_of(ids)
        showing = shows_refined(ids) if self.take == "OTHER" else self.take == "ORIGINAL"
        try:
            results.show(pairs, not showing, ids)
        except ValueError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, "Showing the original" if showing else "Showing the refined take")
        return {"FINISHED"}


class SMOOTHNET_OT_set_blend(bpy.types.Operator):
    """Blend the refined takes of the selected objects with their originals, as the sliders do"""

    bl_idname = "smoothnet.set_blend"
    bl_label = "Set Blend"
    bl_options = {"REGISTER", "UNDO"}

    blend: _share("Blend", "From the original (0) to the refined take (1)")
    root: _share("Root", "For the root, times the overall one")
    spine: _share("Spine", "For the spine, times the overall one")
    head: _share("Head", "For neck, head and face, times the overall one")
    arms: _share("Arms", "For the arms, times the overall one")
    hands: _share("Hands", "For hands and fingers, times the overall one")
    legs: _share("Legs", "For the legs, times the overall one")
    other: _share("Other", "For everything else, times the overall one")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Something selected must have been refined."""
        return refined(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Set the sliders that were given, and write the keys."""
        parts = {part: getattr(self, part.lower()) for part in PARTS if self.properties.is_property_set(part.lower())}
        try:
            for pair in pairs_of(chosen(context)):
                blend = self.blend if self.properties.is_property_set("blend") else pair.refined.smoothnet.blend
                results.set_blends(pair.refined, blend, parts)
                results.write_blend(pair.refined)
        except ValueError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class SMOOTHNET_OT_apply(JobOperator, bpy.types.Operator):
    """Make the refined take the take: the blend is settled, the original stays as an action of the file"""

    bl_idname = "smoothnet.apply"
    bl_label = "Apply"
    bl_options = {"REGISTER", "UNDO"}

    reduce_keys: BoolProperty(
        name="Reduce Keys", description="Leave out keys that are not needed", options={"SKIP_SAVE"}
    )
    tolerance: FloatProperty(
        name="Tolerance",
        description="Rotations stay within this angle, in degrees",
        default=0.2,
        min=0.0,
        soft_max=5.0,
        precision=2,
        options={"SKIP_SAVE"},
    )
    tolerance_location: FloatProperty(
        name="Location Tolerance",
        description="Locations stay within this distance",
        default=0.001,
        min=0.0,
        soft_max=0.1,
        precision=4,
        unit="LENGTH",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Something selected must have been refined."""
        return refined(cls, context)

    def job(self, context: bpy.types.Context) -> Generator[Progress | Background, Any, None]:
        """Settle every refined take of the selected objects."""
        settings = context.scene.smoothnet
        for name in ("reduce_keys", "tolerance", "tolerance_location"):
            if not self.properties.is_property_set(name):
                setattr(self, name, getattr(settings, name))
        ids = chosen(context)
        pairs = pairs_of(ids)
        fewer: list[Thinned] = []
        if self.reduce_keys:
            for number, pair in enumerate(pairs):
                span = (0.5 * number / len(pairs), 0.5 * (number + 1) / len(pairs))
                fewer.append((yield from thinned(pair.refined, self, span)))
        results.show(pairs, True, ids)
        for pair in pairs:
            results.unlink(pair)
        for one in fewer:
            one.write()
        removed = "".join(f", {one.before} to {one.after} keys" for one in fewer)
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
        pairs = pairs_of(chosen(context))
        names = [pair.original.name for pair in pairs]
        try:
            results.revert(pairs)
        except ValueError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"Back to {', '.join(names)}")
        return {"FINISHED"}


def refined(cls: type, context: bpy.types.Context) -> bool:
    """Return whether something selected was refined; say so where it was not."""
    ids = chosen(context)
    if any(results.shown_pair(id_) is not None for id_ in ids):
        return True
    sources = [source for id_ in ids for source in keyframes.sources_played(id_)]
    lost = next((source.action.name for source in sources if results.is_lost(source.action)), "")
    if lost:
        cls.poll_message_set(f'The original of "{lost}" was removed: nothing to compare it with')
    else:
        cls.poll_message_set("The selected objects have no refined take: press Refine first")
    return False


def pairs_of(ids: list[bpy.types.ID]) -> list[Pair]:
    """Return the pairs of original and refined action that objects and shape keys play."""
    return list(dict.fromkeys(pair for id_ in ids if (pair := results.shown_pair(id_)) is not None))


def shows_refined(ids: list[bpy.types.ID]) -> bool:
    """Return whether the first of the objects that were refined plays its refined action."""
    for id_ in ids:
        pair = results.shown_pair(id_)
        if pair is not None:
            return any(source.action == pair.refined for source in keyframes.sources_played(id_))
    return False


CLASSES = (SMOOTHNET_OT_compare, SMOOTHNET_OT_set_blend, SMOOTHNET_OT_apply, SMOOTHNET_OT_revert)
