"""What is refined, decided without Blender: F-curves become channels, and what is left alone is named with its reason.

A channel is what belongs together: the three or four curves of a bone's rotation, those of a location, or the one of a
shape key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .curves import KEY_TYPES, Curve, CurveKey, moves, target_of
from .grids import Grid, gaps, grid_of, is_sparse
from .rotation_modes import MODES, channel_name

ROTATIONS = {"rotation_quaternion": 4, "rotation_axis_angle": 4, "rotation_euler": 3}


@dataclass(frozen=True)
class Options:
    """What the animator chose.

    Attributes:
        rotations: refine rotations.
        locations: refine the location of roots and of objects.
        all_locations: and of all other bones.
        bones: only these; None means all.
        first: first frame that may change; None means the whole take.
        last: last frame that may change.
        model: name of shipped weights, or a file.
        repair_spikes: single values far off are not believed.
        fill_gaps: missing keys in an otherwise dense curve are added.
        longest_gap: seconds; longer ones stay as they are.
        protect_fast: fast motion is given back to rotations whose noise is even, see :mod:`.protecting`.
        steady_slow: slow rotations are smoothed further where errors are uneven.
        keep_feet: feet that stand stay where they stand.
        marked: key types (of ``KEY_TYPES``) that stay exactly as they are.
        keep_selected: keys selected in the editors stay exactly as they are.
        cyclic: ``AUTO`` (what repeats by its Cycles modifiers or its action's setting), ``ON`` or ``OFF``.
        bake_sparse: give curves with few keys one on every frame, instead of leaving them alone.
    """

    rotations: bool = True
    locations: bool = True
    all_locations: bool = False
    bones: frozenset[str] | None = None
    first: float | None = None
    last: float | None = None
    model: str = "default"
    repair_spikes: bool = True
    fill_gaps: bool = True
    longest_gap: float = 1.0
    protect_fast: bool = True
    steady_slow: bool = True
    keep_feet: bool = False
    marked: frozenset[str] = frozenset({"EXTREME"})
    keep_selected: bool = False
    cyclic: str = "AUTO"
    bake_sparse: bool = False


@dataclass(frozen=True)
class Body:
    """What the plan must know of the object that a take moves.

    Attributes:
        modes: rotation mode of each bone; of the object itself under the empty name.
        present: present values of the components that :func:`unkeyed` names.
        roots: bones whose location is that of the whole: those without parent, and hips.
        parts: part of each bone.
        limits: smallest and largest value of each shape key.
    """

    modes: Mapping[str, str]
    present: Mapping[CurveKey, float]
    roots: frozenset[str] = frozenset()
    parts: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Channel:
    """Curves that are refined together.

    Attributes:
        owner: bone or shape key; empty for the object.
        kind: ``rotation``, ``location`` or ``value``.
        mode: the rotation mode; empty for others.
        keys: path and index of the n components.
        curves: their curves; None for a component without keys.
        present: (n,) values of the components without keys.
        part: of the body.
        grid: even frames on which it is refined.
        times: (U,) frames of all keys that the result has, on all of its curves.
        rekeyed: all components get a key at each of ``times``: gaps are filled, few keys baked, or a component of a
            quaternion was without keys.
        unseen: (T,) frames of the grid in gaps: nothing is known there.
        cycles: for each of the n components, where the take is a cycle, ``REPEAT``, ``OFFSET`` or ``""`` where its
            curve does not say which; empty where the take does not repeat.
        limits: of a shape key.
    """

    owner: str
    kind: str
    mode: str
    keys: tuple[CurveKey, ...]
    curves: tuple[Curve | None, ...]
    present: tuple[float, ...]
    part: str
    grid: Grid
    times: NDArray[np.float64]
    rekeyed: bool = False
    unseen: NDArray[np.bool_] | None = None
    cycles: tuple[str, ...] = ()
    limits: tuple[float, float] | None = None

    @property
    def keyed(self) -> tuple[Curve, ...]:
        """The curves that there are."""
        return tuple(curve for curve in self.curves if curve is not None)

    def marked(self, options: Options) -> NDArray[np.bool_]:
        """Return (U,) which of ``times`` hold a key that stays as it is."""
        found = np.zeros(len(self.times), bool)
        stays = np.array([name in options.marked for name in KEY_TYPES])
        for curve in self.keyed:
            keep = stays[curve.key_types]
            if options.keep_selected:
                keep = keep | curve.selected
            if keep.any():
                found |= np.isin(self.times, curve.times[keep])
        return found


@dataclass(frozen=True)
class Skipped:
    """What is left alone, and why."""

    owner: str
    channel: str
    reason: str


@dataclass(frozen=True, eq=False)
class Plan:
    """What is refined and what is not."""

    channels: tuple[Channel, ...]
    skipped: tuple[Skipped, ...]


def plan_take(curves: Sequence[Curve], body: Body, options: Options, *, fps: float, repeats: bool = False) -> Plan:
    """Sort the curves of a take into channels.

    Args:
        curves: of one action and slot.
        body: of the object.
        options: the animator's.
        fps: frames a second at which the action's frames play.
        repeats: the action itself is set to be cyclic.
    """
    channels: list[Channel] = []
    skipped: list[Skipped] = []
    turning = {owner for owner, channel in _moved(curves) if channel == "rotation_mode"}
    timings: dict[tuple[Any, ...], _Timing] = {}
    for (owner, channel), members in _groups(curves).items():
        size = ROTATIONS.get(channel, 3 if channel == "location" else 1)
        if not _wanted(owner, channel, body, options):
            continue
        reason = ""
        if channel in ROTATIONS and not _in_use(channel, body.modes.get(owner, "")):
            reason = "its rotation mode does not use these curves" if owner in body.modes else "there is no such bone"
        elif channel in ROTATIONS and owner in turning:
            reason = "its rotation mode is animated"
        elif any(curve.locked for curve in members):
            reason = "muted or locked"
        elif any(curve.modified for curve in members):
            reason = "it has F-curve modifiers"
        elif not all(np.isfinite(curve.values).all() for curve in members):
            reason = "a key holds no number"
        elif not any(_within(curve, options) for curve in members):
            reason = "no key lies in the range"
        if reason:
            skipped.append(Skipped(owner, channel, reason))
            continue
        if not any(moves(curve.values) for curve in members):
            continue  # Nothing moves: there is nothing to say about it.
        sparse = all(is_sparse(curve.times, curve.values, fps) for curve in members)
        if sparse and not options.bake_sparse:
            skipped.append(Skipped(owner, channel, "fewer than 5 keys a second"))
            continue
        # Most channels of a take have one array of times, see :func:`..bridge.keyframes.each_curve`.
        same = (sparse, *(id(curve.times) for curve in members))
        if same not in timings:
            timings[same] = _timing([curve.times for curve in members], options, fps, sparse)
        channels.append(_channel(owner, channel, members, size, body, options, repeats, timings[same]))
    return Plan(tuple(channels), tuple(skipped))


def unkeyed(curves: Sequence[Curve]) -> list[CurveKey]:
    """Return the components without curve of rotations and locations that have curves for others."""
    keys = {curve.key for curve in curves}
    found: dict[CurveKey, None] = {}
    for members in _groups(curves).values():
        channel = members[0].path.rpartition(".")[2]
        for index in range(ROTATIONS.get(channel, 3 if channel == "location" else 1)):
            key = CurveKey(members[0].path, index)
            if key not in keys:
                found[key] = None
    return list(found)


def _moved(curves: Iterable[Curve]) -> Iterable[tuple[str, str]]:
    for curve in curves:
        if target := target_of(curve.path):
            yield target.owner, target.channel


def _groups(curves: Sequence[Curve]) -> dict[tuple[str, str], list[Curve]]:
    groups: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        target = target_of(curve.path)
        if target is not None and len(curve.times) and target.channel in (*ROTATIONS, "location", "value"):
            groups.setdefault((target.owner, target.channel), []).append(curve)
    return groups


def _wanted(owner: str, channel: str, body: Body, options: Options) -> bool:
    if owner and channel != "value" and options.bones is not None and owner not in options.bones:
        return False
    if channel in ROTATIONS:
        return options.rotations
    if channel == "location":
        return options.locations and (options.all_locations or not owner or owner in body.roots)
    return True


def _within(curve: Curve, options: Options) -> bool:
    """Whether a key lies between the ends of the range, where it may change."""
    if options.first is None and options.last is None:
        return True
    first = -np.inf if options.first is None else options.first
    last = np.inf if options.last is None else options.last
    return bool(((curve.times > first) & (curve.times < last)).any())


def _in_use(channel: str, mode: str) -> bool:
    return mode in MODES and channel == channel_name(mode)


class _Timing(NamedTuple):
    """Times of a channel: see :class:`Channel`; and whether any of them are new."""

    grid: Grid
    times: NDArray[np.float64]
    unseen: NDArray[np.bool_] | None
    more: bool


def _timing(own: Sequence[NDArray[np.float64]], options: Options, fps: float, sparse: bool) -> _Timing:
    own = list({id(times): times for times in own}.values())
    times = np.unique(np.concatenate(own))
    unseen = None
    if sparse:
        grid = Grid(float(times[0]), 1.0, int(np.floor(times[-1] - times[0] + 1e-6)) + 1)
        added = grid.times
    else:
        grid = grid_of(own)
        added = np.empty(0)
        if options.fill_gaps:
            unseen = np.zeros(grid.count, bool)
            for first, end in gaps(times, grid, fps, options.longest_gap):
                unseen[first:end] = True
            added = grid.times[unseen]
    # One array of times for all that have the same: what is the same array need not be compared.
    times = np.union1d(times, added)
    times = own[0] if np.array_equal(times, own[0]) else times
    return _Timing(grid, times, unseen if unseen is not None and unseen.any() else None, bool(len(added)))


def _channel(
    owner: str,
    channel: str,
    members: Sequence[Curve],
    size: int,
    body: Body,
    options: Options,
    repeats: bool,
    timing: _Timing,
) -> Channel:
    path = members[0].path
    by_index = {curve.index: curve for curve in members}
    keys = tuple(CurveKey(path, index) for index in range(size))
    # Three of four numbers of a quaternion do not say how it turns.
    incomplete = len(by_index) < size and channel in ("rotation_quaternion", "rotation_axis_angle")
    cycles: tuple[str, ...] = ()
    if options.cyclic == "ON" or (options.cyclic == "AUTO" and (repeats or any(curve.cycle for curve in members))):
        unsaid = "" if channel == "location" else "REPEAT"
        cycles = tuple(by_index[i].cycle or unsaid if i in by_index else "REPEAT" for i in range(size))
    part = "ROOT" if not owner else "OTHER" if channel == "value" else body.parts.get(owner, "OTHER")
    return Channel(
        owner=owner,
        kind="rotation" if channel in ROTATIONS else channel,
        mode=body.modes[owner] if channel in ROTATIONS else "",
        keys=keys,
        curves=tuple(by_index.get(index) for index in range(size)),
        present=tuple(0.0 if index in by_index else body.present.get(keys[index], 0.0) for index in range(size)),
        part=part,
        grid=timing.grid,
        times=timing.times,
        rekeyed=timing.more or incomplete,
        unseen=timing.unseen,
        cycles=cycles,
        limits=body.limits.get(owner) if channel == "value" else None,
    )
