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
    from .seeing import analysis_properties

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


def has_numbers(record: Any) -> bool:
    """Return whether anything is known of what a refinement did."""
    return bool(_numbers(record))


def jitter_before(record: Any) -> float:
    """Return the jitter of the original, in degrees."""
    return _numbers(record).get("jitter_before", 0.0)


def jitter_after(record: Any) -> float:
    """Return the jitter of the refined take, in degrees."""
    return _numbers(record).get("jitter_after", 0.0)


def speed_kept(record: Any) -> float:
    """Return the share of the speed that is left."""
    return _numbers(record).get("speed_kept", 0.0)


def largest_change(record: Any) -> float:
    """Return the largest turn of a bone, in degrees."""
    return _numbers(record).get("largest_change", 0.0)


def largest_bone(record: Any) -> str:
    """Return where that is."""
    return _numbers(record).get("largest_bone", "")


def largest_frame(record: Any) -> float:
    """Return when that is."""
    return _numbers(record).get("largest_frame", 0.0)


def slide_before(record: Any) -> float:
    """Return how fast standing feet slide in the original, in mm a second; -1 where none stand."""
    return (_numbers(record).get("slides") or {}).get("before", -1.0)


def slide_after(record: Any) -> float:
    """Return the same of the refined take."""
    return (_numbers(record).get("slides") or {}).get("after", -1.0)


def _numbers(record: Any) -> dict[str, Any]:
    from . import kept_numbers

    return kept_numbers.of(record.id_data)
