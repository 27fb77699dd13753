"""Copies of actions: at once, or curve by curve, since Blender copies millions of keys in one long breath."""

from __future__ import annotations

from collections.abc import Generator

import bpy

from .actions import SLOTTED, Source


def duplicate(source: Source, name: str) -> Source:
    """Return a local copy of an action, with everything in it, and in it the slot that matches the source's.

    Args:
        source: action and slot; the action may be linked.
        name: of the copy; Blender adds a number if it is taken.
    """
    action = source.action.copy()
    action.name = name
    if not SLOTTED:
        return Source(action)
    return Source(action, next(slot for slot in action.slots if slot.handle == source.slot.handle))


def duplicate_in_pieces(source: Source, name: str) -> Generator[float, None, Source]:
    """Do as :func:`duplicate`; yields the share done."""
    yield 0.0
    return duplicate(source, name)
