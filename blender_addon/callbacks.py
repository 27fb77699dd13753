"""Functions that properties call, apart from all that imports Blender at its top.

Blender keeps them for as long as the process lives, and with them all that their module names: one that names ``bpy``
makes the bpy module of Blender 4.2 crash at the end of a script. The same holds for methods of property groups.
"""

from __future__ import annotations

from typing import Any


def blend_changed(record: Any, context: Any) -> None:
    """Follow a blend slider."""
    from . import results

    results.blend_changed(record.id_data)


def reading_chosen(analysis: Any, context: Any) -> None:
    """Select the bone of the row that was clicked."""
    from . import analysis_properties

    analysis_properties.reading_chosen(analysis)


def engine_changed(preferences: Any, context: Any) -> None:
    """Forget what the test of another engine said."""
    from . import preferences as module

    module.engine_changed(preferences)


def python_changed(preferences: Any, context: Any) -> None:
    """Forget the test, and make a path absolute."""
    from . import preferences as module

    module.python_changed(preferences)


def folder_changed(preferences: Any, context: Any) -> None:
    """Make a path absolute."""
    from . import preferences as module

    module.folder_changed(preferences)


def export_formats(operator: Any, context: Any) -> list[tuple[str, str, str]]:
    """Return the formats that the active armature can be written in."""
    from .operators import export_motion

    return export_motion.format_items(context)
