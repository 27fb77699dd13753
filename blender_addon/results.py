"""A refined action and its original: which is which, what the sliders mix, and what is shown.

Both actions point at each other in custom properties (not in registered ones: in Blender 5.0 these go on pointing at
an action that was removed); the refined one keeps its channels at full strength in a third, see
:mod:`.animation.blending`, so that it can be blended after the file was saved and opened again. Sliders and numbers are
in ``action.smoothnet``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import bpy
from bpy.app.handlers import persistent

from .animation.blending import PARTS, Mix, packed, share_of, unpacked, values
from .animation.curves import Array, Curve, CurveKey
from .bridge import keyframes

STORED, ORIGINAL, REFINED = "smoothnet_channels", "smoothnet_original", "smoothnet_refined"

# Keys computed before they are written.
_AT_ONCE = 1_000_000

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
    original, refined = action.get(ORIGINAL), action.get(REFINED)
    if isinstance(original, bpy.types.Action):
        return Pair(original, action)
    if isinstance(refined, bpy.types.Action) and refined.get(ORIGINAL) == action:
        return Pair(action, refined)
    return None


def is_lost(action: bpy.types.Action) -> bool:
    """Return whether an action was refined from one that is not there any more."""
    return STORED in action and pair_of(action) is None


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
    refined[ORIGINAL] = original
    refined.smoothnet.had_fake_user = original.use_fake_user
    original[REFINED] = refined
    original.use_fake_user = True
    refined[STORED] = stored
    _unpacked[refined.session_uid] = list(mixes)


def unlink(pair: Pair) -> None:
    """Forget it again; the actions stay."""
    # A copy made by hand of the refined action is of the same original.
    if pair.original.get(REFINED) == pair.refined:
        pair.original.pop(REFINED)
    forget(pair.refined)


def forget(action: bpy.types.Action) -> None:
    """Clear what is remembered on an action."""
    for name in (ORIGINAL, REFINED, STORED):
        if name in action:
            del action[name]  # `pop` would make megabytes of Python's bytes of it.
    _unpacked.pop(action.session_uid, None)


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


def parts_of(refined: bpy.types.Action) -> list[str]:
    """Return the parts of the body that a refined action moves; all of them where it does not tell."""
    try:
        found = {mix.part for mix in mixes_of(refined)}
    except ValueError:
        return list(PARTS)
    return [part for part in PARTS if part in found]


def write_blend(refined: bpy.types.Action) -> None:
    """Write the keys that the sliders ask for.

    Raises:
        ValueError: keys were added or removed since, or :func:`mixes_of` says so.
    """
    for _ in write_blend_in_pieces(refined, mixes_of(refined)):
        pass


def write_blend_in_pieces(
    refined: bpy.types.Action, mixes: Sequence[Mix], known: Mapping[str, Mapping[CurveKey, Curve]] | None = None
) -> Iterator[float]:
    """Write the keys of some channels piece by piece; yields the share that is done.

    Args:
        refined: the action.
        mixes: its channels.
        known: by slot the curves as they were read, where the action is a fresh copy of what they were read from.
    """
    record = refined.smoothnet
    overall, parts = record.blend, blends_of(record)
    waiting: dict[CurveKey, Array] = {}
    keys = 0
    for number, mix in enumerate(mixes):
        last = number == len(mixes) - 1
        waiting |= values(mix, share_of(mix, overall, parts))
        keys += mix.after.size
        # Curves are looked up for many at once, and never so many that the window would seem to hang.
        if last or keys > _AT_ONCE or mixes[number + 1].slot != mix.slot:
            source = keyframes.source_of(refined, mix.slot)
            for _ in keyframes.write_in_pieces(source, waiting, (known or {}).get(mix.slot)):
                yield number / len(mixes)
            waiting, keys = {}, 0


def blend_changed(action: bpy.types.Action) -> None:
    """Follow a slider; what cannot be written is said in the sidebar, since a slider has no other way to say it."""
    if _quiet or STORED not in action:
        return
    try:
        write_blend(action)
        action.smoothnet.problem = ""
    except ValueError as error:
        action.smoothnet.problem = str(error)


def blends_of(record: bpy.types.PropertyGroup) -> dict[str, float]:
    """Return the blend of each part."""
    return {part: getattr(record, f"blend_{part.lower()}") for part in PARTS}


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


def show(pairs: Sequence[Pair], refined: bool, ids: Sequence[bpy.types.ID]) -> None:
    """Let objects and shape keys that play one action of a pair play the other.

    Raises:
        ValueError: see :func:`check_replaceable`; nothing was changed.
    """
    ways = [pair if refined else Pair(pair.refined, pair.original) for pair in pairs]
    for old, new in ways:
        check_replaceable(old, new, ids)
    for old, new in ways:
        replace(old, new, ids)


def replace(old: bpy.types.Action, new: bpy.types.Action, ids: Sequence[bpy.types.ID] | None = None) -> None:
    """Let what plays one action (of ``ids``; None means all) play another, slot by slot, in NLA strips too."""
    for id_, strip, source in _playing(old, ids):
        keyframes.assign(id_, keyframes.counterpart(source, new), strip)


def check_replaceable(old: bpy.types.Action, new: bpy.types.Action, ids: Sequence[bpy.types.ID] | None = None) -> None:
    """Find out whether :func:`replace` can do all of it.

    Raises:
        ValueError: Blender holds an action fast, or the new one has no such slot.
    """
    for id_, _, source in _playing(old, ids):
        keyframes.check_assignable(id_)
        keyframes.counterpart(source, new)


def _playing(action: bpy.types.Action, ids: Sequence[bpy.types.ID] | None) -> list[Any]:
    return [player for player in keyframes.players(action) if ids is None or player[0] in ids]


def revert(pairs: Sequence[Pair]) -> None:
    """Let whatever plays the refined actions play the originals again, and remove the refined ones.

    Raises:
        ValueError: see :func:`check_replaceable`; nothing was changed.
    """
    for original, refined in pairs:
        check_replaceable(refined, original)
    for pair in pairs:
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
