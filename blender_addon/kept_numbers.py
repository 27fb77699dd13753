"""What a refinement did, in numbers: computed when somebody looks, kept in the file when it is saved.

``action.smoothnet.jitter_after`` and the like ask here. Undo and redo bring an action back under the number it had, so
what is known of it stays right.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import bpy
from bpy.app.handlers import persistent

from .animation.numbers import Numbers

# Takes whose numbers nobody looked at.
_MOST = 32

# By the number that Blender gives an action for as long as it runs: what computes, and what was computed.
_waiting: dict[int, Callable[[], Numbers | None]] = {}
_known: dict[int, dict[str, Any]] = {}


def keep(action: bpy.types.Action, compute: Callable[[], Numbers | None]) -> None:
    """Remember how the numbers of a refined action are computed; without Blender, from arrays that stay as they are."""
    _known.pop(action.session_uid, None)
    _waiting[action.session_uid] = compute
    if len(_waiting) > _MOST:
        # What computes them holds a whole take.
        _compute(next(iter(_waiting)))


def of(action: bpy.types.Action) -> dict[str, Any]:
    """Return the numbers of a refined action by name, its slides as ``before`` and ``after``; empty without any."""
    uid = action.session_uid
    if uid in _waiting:
        _compute(uid)
    elif uid not in _known:
        try:
            stored = json.loads(action.smoothnet.numbers or "{}")
        except ValueError:
            stored = {}
        _known[uid] = stored if isinstance(stored, dict) else {}
    return _known[uid]


def _compute(uid: int) -> None:
    found = _waiting.pop(uid)()
    _known[uid] = {} if found is None else asdict(found)


@persistent
def _store(*_: Any) -> None:
    """Write them where the file keeps them."""
    alive = {action.session_uid: action for action in bpy.data.actions}
    for uid in {*_waiting, *_known} & set(alive):
        action = alive[uid]
        if action.library is None:
            action.smoothnet.numbers = json.dumps(of(action))


@persistent
def _forget(*_: Any) -> None:
    _waiting.clear()
    _known.clear()


_HANDLERS = (("save_pre", _store), ("load_post", _forget))


def register() -> None:
    """Follow saving and loading."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    """Stop following."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
    _forget()
