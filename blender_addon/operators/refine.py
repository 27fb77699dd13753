"""Refine: a clean take beside the original, in one step that can be undone."""

from collections.abc import Generator, Sequence
from typing import Any

import bpy

from ..bridge import keyframes
from ..jobs import Background, JobOperator, Progress
from ..properties import SETTINGS, RefineSettings
from ..refinement import Made, refine_takes
from ..takes import chosen, takes_of


class SMOOTHNET_OT_refine(JobOperator, RefineSettings, bpy.types.Operator):
    """Make a refined copy of the action of every selected object; the original stays"""

    bl_idname = "smoothnet.refine"
    bl_label = "Refine Motion"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Something selected must be animated."""
        return animated(cls, context)

    def job(self, context: bpy.types.Context) -> Generator[Progress | Background, Any, None]:
        """Refine the takes of the selected objects."""
        take_settings(self, context)
        takes, problems = takes_of(chosen(context), context.scene)
        if not takes:
            raise ValueError(problems[0] if problems else "selected objects: expected keyframes, received none")
        made = yield from refine_takes(context, takes, self)
        tell(self, made, problems)


def animated(cls: type, context: bpy.types.Context) -> bool:
    """Return whether something selected is animated; say so where it is not."""
    ids = chosen(context)
    if any(keyframes.active_source(id_) or keyframes.nla_sources(id_) for id_ in ids):
        return True
    cls.poll_message_set("Select an animated object" if not ids else "The selected objects have no keyframes")
    return False


def take_settings(operator: Any, context: bpy.types.Context) -> None:
    """Fill in what a call did not say with what the scene's settings say."""
    settings = context.scene.smoothnet
    for name in SETTINGS:
        if not operator.properties.is_property_set(name):
            setattr(operator, name, getattr(settings, name))


def tell(operator: bpy.types.Operator, made: Sequence[Made], problems: Sequence[str]) -> None:
    """Report what was done, and what was not."""
    skipped = [line for one in made for line in one.skipped]
    names = ", ".join(one.original.name for one in made[:3]) + ("…" if len(made) > 3 else "")
    bones = sum(len(one.mixes) for one in made)
    operator.report({"INFO"}, f"Refined {names}: {bones} channels")
    problems = [*problems, *dict.fromkeys(line for one in made for line in one.told)]
    if problems:
        operator.report({"WARNING"}, "; ".join(problems))
    if skipped:
        more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        operator.report({"WARNING"}, f"Left alone: {'; '.join(skipped[:3])}{more}")


CLASSES = (SMOOTHNET_OT_refine,)
