"""Files that keep a motion in many small arrays, one a person and frame: their places, and what is written there."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.limits import check_limit
from smpl_tools.formats._changes import merged
from smpl_tools.motion import Person

Array = NDArray[Any]
# Keys and indices, one after the other, from the content of a file to the numbers of one person in one frame. ``()``
# is the index of the one element of an array without axes.
Place = tuple[Any, ...]


@dataclass(frozen=True)
class Part:
    """Numbers ``first`` to ``last`` of a track's row, which stand in the file's array from number ``at`` on."""

    track: str
    first: int
    last: int
    at: int


@dataclass(frozen=True, eq=False)
class Field:
    """An array of the file that rows of a person come from.

    Attributes:
        places: for every row where the array stands; after the first, where it stands once more. None to write none.
        parts: which numbers of it belong to which tracks.
    """

    places: tuple[tuple[Place, ...], ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, eq=False)
class Records:
    """What is needed to write a file again: its content, the people as read, and for each person the fields."""

    content: Any
    people: tuple[Person, ...]
    fields: tuple[tuple[Field, ...], ...]


def at(content: Any, place: Place) -> Any:
    """Return what stands at a place."""
    for key in place:
        content = content[key]
    return content


def rewritten(records: Records, people: Sequence[Person]) -> Any:
    """Return the content with the numbers that changed, in the dtype and shape of the arrays they stand in.

    What did not change is the same object as before; containers on the way to a change are copied.

    Raises:
        ValueError: a track has another shape than the one that was read.
    """
    changes: dict[Place, Any] = {}
    for old, new, fields in zip(records.people, people, records.fields, strict=True):
        before = {name: _flat(track.values) for name, track in old.tracks.items()}
        after = {name: _flat(merged(name, old.tracks[name].values, new.tracks[name].values)) for name in before}
        differs = {name: _differs(before[name], after[name]) for name in before}
        for field in fields:
            touched = [differs[p.track][:, p.first : p.last].any(axis=1) for p in field.parts]
            for row in np.flatnonzero(np.any(touched, axis=0)).tolist():
                if not field.places[row]:
                    continue
                first, *copies = field.places[row]
                original = at(records.content, first)
                value = _filled_in(original, field.parts, row, after, differs)
                changes[first] = value
                # A copy that the file's user changed alone is left alone.
                changes |= {c: value for c in copies if np.array_equal(at(records.content, c), original)}
    return with_changes(records.content, changes)


def _flat(values: Array) -> Array:
    return values.reshape(len(values), int(np.prod(values.shape[1:])))


def _differs(before: Array, after: Array) -> NDArray[np.bool_]:
    return ~((before == after) | (np.isnan(before) & np.isnan(after)))


def _filled_in(
    original: Any, parts: Iterable[Part], row: int, after: Mapping[str, Array], differs: Mapping[str, Array]
) -> Any:
    # Lists come from text, in which a whole number is one of floats.
    array = np.array(original, None if isinstance(original, np.ndarray) else np.float64)
    flat = array.reshape(-1)
    for part in parts:
        columns = slice(part.first, part.last)
        target = flat[part.at : part.at + part.last - part.first]
        np.copyto(target, after[part.track][row, columns], where=differs[part.track][row, columns], casting="same_kind")
    return array if isinstance(original, np.ndarray) else array.tolist()


def with_changes(content: Any, changes: Mapping[Place, Any]) -> Any:
    """Return the content with other values at some places; what is not on the way to one is the same object."""
    if not changes:
        return content
    below: dict[Any, dict[Place, Any]] = {}
    values: dict[Any, Any] = {}
    for (key, *rest), value in changes.items():
        if rest:
            below.setdefault(key, {})[tuple(rest)] = value
        else:
            values[key] = value
    values |= {key: with_changes(content[key], inner) for key, inner in below.items()}
    result = content.copy(order="K") if isinstance(content, np.ndarray) else copy.copy(content)
    for key, value in values.items():
        result[key] = value
    return result


def whole_numbers(people: Sequence[Person], first: int = 0) -> list[int]:
    """Return the people's ids as numbers where all are different ones, else numbers from ``first`` in their order."""
    ids = [person.id for person in people]
    if all(ident.isascii() and ident.isdigit() and len(ident) < 10 for ident in ids):
        numbers = [int(ident) for ident in ids]
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(first, first + len(ids)))


def timeline(people: Sequence[Person], what: str) -> list[tuple[int, list[tuple[int, int]]]]:
    """Return every frame number from the first to the last, and who is there: indices of person and row.

    Raises:
        ValueError: nobody is in any frame, or a frame number is negative.
    """
    seen = [person.frames for person in people if len(person.frames)]
    if not seen:
        raise mismatch(f"people for {what}", "at least one", "nobody")
    first, last = min(int(f[0]) for f in seen), max(int(f[-1]) for f in seen)
    check_limit(f"frames of {what}, missing ones included", "frames", last - first + 1)
    if first < 0:
        raise mismatch(f"frame numbers for {what}", "0 and more", str(first))
    there: dict[int, list[tuple[int, int]]] = {frame: [] for frame in range(first, last + 1)}
    for index, person in enumerate(people):
        for row, frame in enumerate(person.frames.tolist()):
            there[frame].append((index, row))
    return list(there.items())
