"""Refine everything in a scene or in a file, from the window or from a script without one."""

from collections.abc import Generator
from typing import Any

import bpy
from bpy.props import EnumProperty

from ..jobs import Background, JobOperator, Progress
from ..properties import RefineSettings
from ..refinement import Made, refine_takes
from ..takes import Take, everything, starting, takes_of, takes_of_file
from .refine import take_settings, tell


class SMOOTHNET_OT_batch(JobOperator, RefineSettings, bpy.types.Operator):
    """Refine the takes of all objects of the scene, or all actions of the file; each original stays"""

    bl_idname = "smoothnet.batch"
    bl_label = "Refine All"
    bl_options = {"REGISTER", "UNDO"}

    scope: EnumProperty(
        name="All",
        description="What is refined",
        items=(
            ("SCENE", "Objects of the Scene", "What the objects of this scene play"),
            ("FILE", "Actions of the File", "Every action, also those that no object plays"),
        ),
        default="SCENE",
        options={"SKIP_SAVE"},
    )

    def job(self, context: bpy.types.Context) -> Generator[Progress | Background, Any, None]:
        """Refine action after action; one that cannot be refined does not stop the others."""
        take_settings(self, context)
        if self.scope == "FILE":
            takes, problems = takes_of_file(context.scene)
        else:
            takes, problems = takes_of(everything(context.scene), context.scene)
        if not takes:
            raise ValueError(problems[0] if problems else "actions: expected keyframes, received none")
        takes = starting(takes, self.from_original)
        by_action: dict[bpy.types.Action, list[Take]] = {}
        for take in takes:
            by_action.setdefault(take.source.action, []).append(take)
        made: list[Made] = []
        for number, (action, members) in enumerate(by_action.items()):
            name = action.name
            try:
                made += yield from refine_takes(context, members, self, (number, len(by_action)))
            except ValueError as error:
                problems.append(f"{name}: {error}")
        if not made:
            raise ValueError("; ".join(problems))
        tell(self, made, problems)


CLASSES = (SMOOTHNET_OT_batch,)
