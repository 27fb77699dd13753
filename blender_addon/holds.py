"""What moves bones besides their own channels: constraints, IK chains and drivers; and how to switch it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import bpy

from .animation.curves import target_of
from .animation.rotation_modes import channel_name
from .bridge.keyframes import active_source, acts


class Hold(NamedTuple):
    """A constraint or a driver.

    Attributes:
        bone: the bone that has it.
        constraint: name of the constraint; empty for a driver.
        path: of a driver, the data path that it drives, else empty.
        index: of a driver, the place in the property's array.
    """

    bone: str
    constraint: str
    path: str = ""
    index: int = 0  # pyright: ignore[reportIncompatibleMethodOverride]

    @property
    def name(self) -> str:
        """The constraint's name, or ``driver``."""
        return self.constraint or "driver"


def constrained_bones(obj: bpy.types.Object) -> dict[str, list[str]]:
    """Return the bones whose rotation or location is not what their keys say, and the names of what holds them.

    Counted are constraints that work and have influence, or may have some since it is animated; they hold their bone
    and, with IK, the bones of its chain. Of drivers, those of channels in use count, as ``driver``.
    """
    found: dict[str, list[str]] = {}
    for hold, bones in _holds(obj).items():
        for bone in bones:
            names = found.setdefault(bone, [])
            if hold.name not in names:
                names.append(hold.name)
    return {bone.name: found[bone.name] for bone in obj.pose.bones if bone.name in found}


def holds_of(obj: bpy.types.Object, bones: Iterable[str]) -> list[Hold]:
    """Return what holds any of some bones."""
    wanted = set(bones)
    return [hold for hold, held in _holds(obj).items() if wanted & set(held)]


def with_chains(obj: bpy.types.Object, bones: Iterable[str]) -> list[str]:
    """Return bones and those that a constraint holds together with them, which fall when it is muted; parents first."""
    wanted = set(bones)
    groups = [set(held) for held in _holds(obj).values()]
    while more := {bone for group in groups if group & wanted for bone in group} - wanted:
        wanted |= more
    return [bone.name for bone in obj.pose.bones if bone.name in wanted]


def mute(obj: bpy.types.Object, holds: Sequence[Hold]) -> list[Hold]:
    """Mute constraints and drivers; return those that worked before."""
    return [hold for hold in holds if _switch(obj, hold, mute=True)]


def unmute(obj: bpy.types.Object, holds: Sequence[Hold]) -> list[Hold]:
    """Let constraints and drivers work again; return those that do now, without those that are gone."""
    return [hold for hold in holds if _switch(obj, hold, mute=False)]


def packed(holds: Sequence[Hold]) -> str:
    """Return holds as a text to store."""
    return json.dumps([list(hold) for hold in holds])


def unpacked(text: str) -> list[Hold]:
    """Return holds from their text; none if it is not one that :func:`packed` wrote."""
    try:
        rows = json.loads(text)
        return [Hold(str(bone), str(name), str(path), int(index)) for bone, name, path, index in rows]
    except (TypeError, ValueError):
        return []


def switch_paths(obj: bpy.types.Object, holds: Sequence[Hold]) -> dict[str, float]:
    """Return the data paths that would switch muted constraints on if they are keyed, and the value that mutes."""
    paths: dict[str, float] = {}
    for hold in holds:
        if hold.constraint and (constraint := _constraint(obj, hold)) is not None:
            paths[constraint.path_from_id("mute")] = 1.0
            paths[constraint.path_from_id("enabled")] = 0.0
    return paths


def _holds(obj: Any) -> dict[Hold, list[str]]:
    """Return what works, and the bones that it holds."""
    found: dict[Hold, list[str]] = {}
    drivers = [driver for driver in (obj.animation_data.drivers if obj.animation_data else ()) if not driver.mute]
    source = active_source(obj)
    driven = {driver.data_path for driver in drivers}

    def moves(path: str) -> bool:
        return path in driven or (source is not None and acts(source, path))

    # Panels ask on every redraw: no key is read, and of thousands of curves only those that may matter.
    for bone in obj.pose.bones:
        for constraint in bone.constraints:
            path = constraint.path_from_id
            off = constraint.mute and not (moves(path("mute")) or moves(path("enabled")))
            weak = constraint.influence <= 0.0 and not moves(path("influence"))
            if constraint.is_valid and not off and not weak:
                found[Hold(bone.name, constraint.name)] = _moved_by(bone, constraint)
    for driver in drivers:
        target = target_of(driver.data_path)
        if target is None or target.kind != "bone" or target.owner not in obj.pose.bones:
            continue
        bone = obj.pose.bones[target.owner]
        if target.channel in ("location", channel_name(bone.rotation_mode)):
            found[Hold(bone.name, "", driver.data_path, driver.array_index)] = [bone.name]
    return found


def _moved_by(bone: Any, constraint: Any) -> list[str]:
    line = [bone.name, *(parent.name for parent in bone.parent_recursive)]
    if constraint.type == "IK":
        line = line if constraint.use_tail else line[1:]
        return line[: constraint.chain_count] if constraint.chain_count else line
    return line[: max(1, constraint.chain_count)] if constraint.type == "SPLINE_IK" else [bone.name]


def _constraint(obj: Any, hold: Hold) -> Any:
    bone = obj.pose.bones.get(hold.bone)
    return None if bone is None else bone.constraints.get(hold.constraint)


def _switch(obj: Any, hold: Hold, *, mute: bool) -> bool:
    if hold.constraint:
        found = _constraint(obj, hold)
    else:
        found = obj.animation_data.drivers.find(hold.path, index=hold.index) if obj.animation_data else None
    if found is None or found.mute == mute:
        return False
    found.mute = mute
    return True
