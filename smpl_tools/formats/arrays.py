"""Plain arrays: an ``.npy``, or an ``.npz`` in which one array is the motion.

The first axis is time. What the numbers are is told by the caller's ``kind``; (T, J, 3) and (T, J, 2) are positions
without it. An ``.npz`` may state its rate in a scalar ``fps``, what its numbers are in ``kind`` and ``order``, and its
joints' names in ``joints``.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.restricted_pickle import load_npy, load_npz
from smoothnet_core.rotations import ORDERS
from smpl_tools.formats._changes import check_shape, merged, row_blocks
from smpl_tools.formats._files import NPY_MAGIC, ZIP_MAGIC, npz_compressed, npz_headers, replacing, write_npz
from smpl_tools.formats._format import Format, Options, Rewriting
from smpl_tools.formats._mapped import few_pages, mapped_npy, mapped_output
from smpl_tools.formats._names import listed, numbered, unique_names
from smpl_tools.formats._smpl import only_person
from smpl_tools.motion import VALUE_SHAPES, Motion, Person, Track, time_span

NAME = "array"
# Where several arrays could be the motion, the one array with one of these names is it.
PREFERRED_KEYS = ("motion", "positions", "poses")
TRACK = "motion"


@dataclass(frozen=True, eq=False)
class _Source:
    arrays: dict[str, NDArray[Any]]
    key: str
    is_archive: bool
    compressed: bool = False
    held: mmap.mmap | None = None


def matches(path: Path, head: bytes) -> bool:
    """Return whether the file is an ``.npy``, or an ``.npz`` with an array that can be a motion."""
    if head.startswith(NPY_MAGIC):
        return True
    return head.startswith(ZIP_MAGIC) and any(_can_be_motion(s, d) for s, d in npz_headers(path).values())


def _can_be_motion(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    return len(shape) >= 2 and dtype.kind == "f"


def read(path: Path, options: Options) -> Motion:
    """Read a plain array as one person with one track, ``motion``, of (T, J, ...) values.

    Raises:
        ValueError: no array, or several, can be the motion; integers; a shape that the kind does not fit.
    """
    if _is_npy(path):
        on_disk = mapped_npy(path) if options.mapped else None
        array, held = (load_npy(path), None) if on_disk is None else on_disk
        source = _Source({TRACK: array}, TRACK, is_archive=False, held=held)
    else:
        arrays = load_npz(path)
        source = _Source(arrays, _choose(path, arrays), is_archive=True, compressed=npz_compressed(path))
    array = source.arrays[source.key]
    what = f"{path}: array {source.key!r}" if source.is_archive else f"{path}: array"
    if array.dtype.kind != "f":
        raise mismatch(what, "floating-point numbers", f"dtype {array.dtype}")
    kind, shape = _layout(what, array.shape, options.kind or _stated(source.arrays, "kind", VALUE_SHAPES))
    if options.order is not None and kind != "rotation_6d":
        raise mismatch(f"{what}: kind of what has an order", "rotation_6d", kind)
    order = options.order or _stated(source.arrays, "order", ORDERS) or "columns"
    if not shape[1]:
        raise mismatch(f"{what}: shape", "at least one joint or channel", array.shape)
    values = array.reshape(shape)
    names = numbered("channel" if kind == "channels" else "joint", shape[1])
    stated = source.arrays.get("joints")
    if stated is not None and stated.dtype.kind == "U" and stated.shape == (shape[1],):
        names = tuple(unique_names(stated.tolist()))
    track = Track(values, kind, "body", names, order=order)
    person = Person("0", {TRACK: track}, np.arange(len(values), dtype=np.int64))
    fps = _fps(source.arrays)
    notes = () if array.shape == shape else (f"{array.shape} read as {kind} {shape}",)
    return Motion(NAME, (person,), fps, source=source, path=path, notes=notes)


def _is_npy(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(NPY_MAGIC)) == NPY_MAGIC


def _choose(path: Path, arrays: dict[str, NDArray[Any]]) -> str:
    candidates = [key for key, a in arrays.items() if _can_be_motion(a.shape, a.dtype)]
    if len(candidates) > 1:
        preferred = [key for key in candidates if key in PREFERRED_KEYS]
        candidates = preferred if len(preferred) == 1 else candidates
    if len(candidates) == 1:
        return candidates[0]
    expected = "one array of floats with two or more axes, or one named " + ", ".join(PREFERRED_KEYS)
    raise mismatch(f"{path}: arrays", expected, listed(f"{key} {a.shape} {a.dtype}" for key, a in arrays.items()))


def _layout(what: str, shape: tuple[int, ...], kind: str | None) -> tuple[Any, tuple[int, ...]]:
    """Return the kind and the shape (T, J, ...) of the track."""
    if kind is None:
        if len(shape) == 3 and shape[2] in (2, 3):
            return "position", shape
        kinds = ", ".join(VALUE_SHAPES)
        raise mismatch(f"{what}: shape", f"(T, J, 3) or (T, J, 2) where no kind is given (of {kinds})", shape)
    for value in VALUE_SHAPES[kind]:
        size = math.prod(value)
        if len(shape) > len(value) + 1 and shape[len(shape) - len(value) :] == value:
            return kind, (shape[0], math.prod(shape[1 : len(shape) - len(value)]), *value)
        if len(shape) == len(value) + 1 and shape[1:] == value:
            return kind, (shape[0], 1, *value)
        # One flat axis of numbers a frame, or of numbers a joint (a matrix as nine).
        if len(shape) == 2 and shape[1] and shape[1] % size == 0:
            return kind, (shape[0], shape[1] // size, *value)
        if len(shape) == 3 and shape[2] == size:
            return kind, (shape[0], shape[1], *value)
    wanted = " or ".join(f"(T, J, {', '.join(map(str, v))})" if v else "(T, C)" for v in VALUE_SHAPES[kind])
    raise mismatch(f"{what}: shape for kind {kind}", f"{wanted}, or (T, C) that divides into it", shape)


def _stated(arrays: dict[str, NDArray[Any]], key: str, known: Collection[str]) -> str | None:
    """Return a word of an archive, None where it has none of those known."""
    word = arrays.get(key)
    return (
        str(word) if word is not None and word.shape == () and word.dtype.kind == "U" and str(word) in known else None
    )


def _fps(arrays: dict[str, NDArray[Any]]) -> float | None:
    fps = arrays.get("fps")
    if fps is None or fps.size != 1 or fps.dtype.kind not in "fiu":
        return None
    value = float(fps.reshape(()))
    return value if math.isfinite(value) and value > 0 else None


def write(motion: Motion, path: Path) -> None:
    """Write the array with the shape and dtype it had, and all other arrays as they were.

    Raises:
        ValueError: nothing can be written there.
    """
    source: _Source = motion.source
    original = source.arrays[source.key]
    new = motion.people[0].tracks[TRACK].values
    flat = original.reshape(new.shape) if new.size == original.size else original
    result = merged(TRACK, flat, new)
    arrays = source.arrays if result is flat else {**source.arrays, source.key: result.reshape(original.shape)}
    if source.is_archive:
        write_npz(path, arrays, compressed=source.compressed)
    else:
        with replacing(path) as file:
            np.lib.format.write_array(file, arrays[source.key], allow_pickle=False)


def rewriting(motion: Motion, path: Path) -> AbstractContextManager[Rewriting] | None:
    """Begin an ``.npy`` in the place of one that stayed on the disk; None for others."""
    held = motion.source.held
    return None if held is None else _on_disk(motion, path, held)


@contextmanager
def _on_disk(motion: Motion, path: Path, held: mmap.mmap) -> Iterator[Rewriting]:
    person = motion.people[0]
    old, original = person.tracks[TRACK].values, motion.source.arrays[TRACK]
    with replacing(path, readable=True) as file:
        array, output = mapped_output(file, original.shape, original.dtype)
        out = array.reshape(old.shape)

        def write(new: Motion) -> None:
            values = new.people[0].tracks[TRACK].values
            check_shape(TRACK, old, values)
            if values is out:
                return
            for rows in row_blocks(old):
                out[rows] = np.where(np.isfinite(values[rows]), values[rows], old[rows])

        with few_pages(held, output):
            yield Rewriting({(person.id, TRACK): out}, write)
            output.flush()


def make(motion: Motion, path: Path) -> None:
    """Write positions, or rotation vectors, of one person as a plain array; missing frames are NaN.

    An ``.npy`` holds the array alone; an ``.npz`` holds it as ``motion`` with ``joints``, their names, ``kind`` and
    ``fps``.

    Raises:
        ValueError: not one person, or nothing can be written there.
    """
    person = only_person(motion, "a plain array")
    track = person.tracks[TRACK]
    first = int(person.frames[0]) if len(person.frames) else 0
    values = np.full((time_span(person.frames, "a plain array"), *track.values.shape[1:]), np.nan, track.values.dtype)
    values[person.frames - first] = track.values
    if path.suffix.lower() == ".npy":
        with replacing(path) as file:
            np.lib.format.write_array(file, values, allow_pickle=False)
        return
    arrays: dict[str, NDArray[Any]] = {TRACK: values, "joints": np.array(track.joints), "kind": np.array(track.kind)}
    if track.kind == "rotation_6d":
        arrays["order"] = np.array(track.order)
    if motion.fps is not None:
        arrays["fps"] = np.array(float(motion.fps))
    write_npz(path, arrays, compressed=False)


FORMAT = Format(
    NAME,
    "plain arrays",
    matches,
    read,
    write,
    (".npy", ".npz"),
    make=make,
    contents=("array",),
    keeps=("joint names", "gaps", "frame rate"),
    any_joints=True,
    rewriting=rewriting,
)
