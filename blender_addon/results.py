"""A refined action and its original: which is which, what the sliders mix, and what is shown.

Both actions name each other in ``action.smoothnet``; the refined one keeps its channels at full strength in a custom
property of its own (see :mod:`.blending`), so that it can be blended after the file was saved and opened again.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import bpy
from bpy.app.handlers import persistent

from . import keyframes
from .blending import Mix, packed, share_of, unpacked, values

STORED = "smoothnet_channels"

_unpacked: dict[int, list[Mix]] = {}
# While a script sets several sliders, keys are written once, at the end.
_quiet = False


class Pair(NamedTuple):
    """An original action and the one refined from it."""

    original: bpy.types.Action
    refined: bpy.types.Action


def pair_of(action: bpy.types.Action | None) -> Pair | None:
    """Return the pair to which an action belongs; None for one that was never refined."""
    if action is None:
        return None
    record = action.smoothnet
    if record.original is not None:
        return Pair(record.original, action)
    if record.refined is not None and record.refined.smoothnet.original == action:
        return Pair(action, record.refined)
    return None


def shown_pair(id_: bpy.types.ID | None) -> Pair | None:
    """Return the pair of the action that an object or shape key plays."""
    source = None if id_ is None else keyframes.active_source(id_)
    if source is not None:
        return pair_of(source.action)
    # A take in the NLA editor is not the active action.
    sources = [] if id_ is None else keyframes.nla_sources(id_)
    return next((pair for _, source in sources if (pair := pair_of(source.action))), None)


def link(pair: Pair, mixes: Sequence[Mix], stored: bytes) -> None:
    """Remember that one action was refined from the other."""
    original, refined = pair
    refined.smoothnet.original = original
    refined.smoothnet.had_fake_user = original.use_fake_user
    original.smoothnet.refined = refined
    original.use_fake_user = True
    refined[STORED] = stored
    _unpacked[refined.session_uid] = list(mixes)


def unlink(pair: Pair) -> None:
    """Forget it again; the actions stay."""
    original, refined = pair
    refined.smoothnet.original = None
    original.smoothnet.refined = None
    refined.pop(STORED, None)
    _unpacked.pop(refined.session_uid, None)


def pack(mixes: Sequence[Mix]) -> bytes:
    """Return what :func:`link` stores; slow for long takes, and free of Blender: for a worker thread."""
    return packed(mixes)


def mixes_of(refined: bpy.types.Action) -> list[Mix]:
    """Return the channels of a refined action.

    Raises:
        ValueError: they are not there, or cannot be read.
    """
    if refined.session_uid not in _unpacked:
        stored = refined.get(STORED)
        if not isinstance(stored, bytes):
            raise ValueError(f"action {refined.name!r} does not carry what it was refined from: refine again")
        _unpacked[refined.session_uid] = unpacked(stored)
    return _unpacked[refined.session_uid]


def write_blend(refined: bpy.types.Action) -> None:
    """Write the keys that the sliders ask for.

    Raises:
        ValueError: keys were added or removed since, or :func:`mixes_of` says so.
    """
    for _ in write_blend_in_pieces(refined, mixes_of(refined)):
        pass


def write_blend_in_pieces(refined: bpy.types.Action, mixes: Sequence[Mix]) -> Iterator[float]:
    """Write the keys of some channels piece by piece; yields the share that is done."""
    record = refined.smoothnet
    overall, parts = record.blend, record.parts()
    by_slot: dict[str, dict[Any, Any]] = {}
    for mix in mixes:
        by_slot.setdefault(mix.slot, {}).update(values(mix, share_of(mix, overall, parts)))
    for number, (slot, new) in enumerate(by_slot.items()):
        source = keyframes.source_of(refined, slot)
        for share in keyframes.write_in_pieces(source, new):
            yield (number + share) / len(by_slot)


def blend_changed(action: bpy.types.Action) -> None:
    """Follow a slider; what cannot be written is said in the sidebar, since a slider has no other way to say it."""
    if _quiet or action.smoothnet.original is None:
        return
    try:
        write_blend(action)
        action.smoothnet.problem = ""
    except ValueError as error:
        action.smoothnet.problem = str(error)


def set_blends(action: bpy.types.Action, overall: float, parts: dict[str, float]) -> None:
    """Set all sliders without writing keys."""
    global _quiet
    _quiet = True
    try:
        action.smoothnet.blend = overall
        for part, share in parts.items():
            setattr(action.smoothnet, f"blend_{part.lower()}", share)
    finally:
        _quiet = False


def show(pair: Pair, refined: bool, ids: Sequence[bpy.types.ID]) -> None:
    """Let objects and shape keys that play one action of the pair play the other."""
    replace(pair.original if refined else pair.refined, pair.refined if refined else pair.original, ids)


def replace(old: bpy.types.Action, new: bpy.types.Action, ids: Sequence[bpy.types.ID] | None = None) -> None:
    """Let what plays one action (of ``ids``; None means all) play another, slot by slot, in NLA strips too."""
    for id_, strip, source in keyframes.players(old):
        if ids is None or id_ in ids:
            keyframes.assign(id_, keyframes.counterpart(source, new), strip)


def revert(pair: Pair) -> None:
    """Let whatever plays the refined action play the original again, and remove the refined one.

    Raises:
        ValueError: Blender holds the action fast; nothing was changed.
    """
    original, refined = pair
    replace(refined, original)
    had = refined.smoothnet.had_fake_user
    unlink(pair)
    bpy.data.actions.remove(refined)
    original.use_fake_user = had


@persistent
def _forget(*_: Any) -> None:
    """Undo and loading bring other channels under the same numbers."""
    _unpacked.clear()


_HANDLERS = ("load_post", "undo_post", "redo_post")

CLASSES = ()


def register() -> None:
    """Follow undo and loading."""
    for name in _HANDLERS:
        getattr(bpy.app.handlers, name).append(_forget)


def unregister() -> None:
    """Stop following."""
    for name in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(_forget)
    _unpacked.clear()
