"""What Analyze says of a take, without Blender: jitter, spikes and gaps of each bone, and where to look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..animation.refining import Sampled
from ..animation.rotation_modes import to_quat_wxyz
from .measures import as_vectors, extent, held, jitter, rotation_spikes, runs, spikes

Array = NDArray[np.float64]
Tick = Callable[[float], None]

DEGREES, MILLIMETRES, PERCENT = "°", " mm", " %"
SPIKE, GAP, HELD = "Spike", "Gap", "Held"
_STILL_METRES = 1e-4
# Frames times vectors looked at before the job can be stopped.
_AT_ONCE = 2**19


class Event(NamedTuple):
    """Something to look at, from its first to its last frame in the action's frames."""

    kind: str
    first: float
    last: float


@dataclass
class Reading:
    """What was measured of a bone, a shape key, or the place or rotation of an object.

    Attributes:
        name: the bone or shape key; ``Location`` or ``Rotation`` of an object.
        kind: ``BONE``, ``SHAPE_KEY`` or ``OBJECT``.
        jitter: how far it is off a smooth path, see :func:`measures.jitter`.
        unit: of the jitter.
        events: spikes, gaps, and where it is held.
    """

    name: str
    kind: str
    jitter: float
    unit: str
    events: list[Event] = field(default_factory=list)


class Mark(NamedTuple):
    """A marker for the timeline."""

    frame: int
    name: str


def readings_of(
    sampled: Sequence[Sampled], fps: float, metres: float, tick: Tick = lambda share: None
) -> list[Reading]:
    """Return what is to be said of the channels of a take, the worst first.

    A bone's jitter is that of its rotation; only where that has no keys, of its location.

    Args:
        sampled: channels and their values, of a plan whose gaps of any length are to be filled.
        fps: frames of the action a second.
        metres: one unit of its locations in metres.
        tick: told the share that is done; may raise to stop.
    """
    found: dict[tuple[str, str], Reading] = {}
    done = 0
    moving = [s for s in sampled if s.channel.kind != "location" or _moves(s, metres)]
    for members in _batches(moving):
        first = members[0].channel
        rotation = first.kind == "rotation"
        rate = fps / first.grid.step
        values = np.stack([to_quat_wxyz(s.grid, s.channel.mode) if rotation else s.grid for s in members], axis=1)
        vectors = as_vectors(values) if rotation else values
        factor, unit = {"rotation": (1.0, DEGREES), "location": (1000.0 * metres, MILLIMETRES)}.get(
            first.kind, (100.0, PERCENT)
        )
        trembling, off, still = (
            jitter(vectors, rate) * factor,
            rotation_spikes(values, rate) if rotation else spikes(values, rate),
            held(vectors, rate, rotation),
        )
        for column, member in enumerate(members):
            channel = member.channel
            unseen = channel.unseen if channel.unseen is not None else np.zeros(len(values), bool)
            frames = channel.grid.times
            # What is filled in has no say of its own.
            events = [
                Event(name, float(frames[start]), float(frames[stop - 1]))
                for name, flags in (
                    (GAP, unseen),
                    (SPIKE, off[:, column] & ~unseen),
                    (HELD, still[:, column] & ~unseen),
                )
                for start, stop in runs(flags)
            ]
            kinds = ("SHAPE_KEY" if channel.kind == "value" else "BONE") if channel.owner else "OBJECT"
            name = channel.owner or channel.kind.capitalize()
            reading = Reading(name, kinds, float(trembling[column]), unit, events)
            known = found.setdefault((kinds, name), reading)
            if known is not reading:
                if rotation:
                    known.jitter, known.unit = reading.jitter, reading.unit
                known.events = sorted({*known.events, *events}, key=lambda event: event.first)
        done += len(members)
        tick(done / len(moving))
    return sorted(found.values(), key=lambda reading: (-reading.jitter, -len(reading.events), reading.name))


def marks_of(events: Iterable[tuple[str, Event]], near: float, most: int) -> tuple[list[Mark], int]:
    """Return markers for what happens to bones, and how many were left out.

    What follows within ``near`` frames and is of one kind shares a marker, at its first frame, named after the first
    bone and how many more there are.

    Args:
        events: (name of the bone, event), in the frames of the scene.
        near: frames.
        most: no more markers than that: those of most bones are kept.
    """
    groups: list[tuple[float, str, list[str]]] = []
    for kind in (SPIKE, GAP, HELD):
        end = -np.inf
        for name, event in sorted((e for e in events if e[1].kind == kind), key=lambda e: (e[1].first, e[0])):
            if event.first > end + near:
                groups.append((event.first, kind, []))
                end = event.last
            if name not in groups[-1][2]:
                groups[-1][2].append(name)
            end = max(end, event.last)
    left_out = max(0, len(groups) - most)
    kept = sorted(groups, key=lambda group: -len(group[2]))[:most]
    marks = []
    for first, kind, names in sorted(kept):
        more = f" +{len(names) - 1}" if len(names) > 1 else ""
        # Blender cuts a marker's name at 63 bytes.
        marks.append(Mark(round(first), f"{kind} {names[0][:40]}{more}"))
    return marks, left_out


def _moves(s: Sampled, metres: float) -> bool:
    """Importers key the location of bones that stay where they are, give or take rounding."""
    return float(extent(s.grid[:, None])[0]) * metres > _STILL_METRES


def _batches(sampled: Sequence[Sampled]) -> Iterator[list[Sampled]]:
    """Yield channels of one kind on one grid, some at a time."""
    groups: dict[tuple[object, ...], list[Sampled]] = {}
    for s in sampled:
        grid = s.channel.grid
        groups.setdefault((s.channel.kind, grid.start, grid.step, grid.count), []).append(s)
    for group in groups.values():
        size = max(1, _AT_ONCE // max(1, group[0].channel.grid.count))
        for start in range(0, len(group), size):
            yield group[start : start + size]
