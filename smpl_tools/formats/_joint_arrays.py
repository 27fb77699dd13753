"""What the formats of one bare array of joints share: a person with one track, and the same array written again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.restricted_pickle import load_npy
from smpl_tools.formats._changes import merged
from smpl_tools.formats._files import NPY_MAGIC, npy_header, replacing
from smpl_tools.motion import Motion, Person, Track

TRACK = "joints"


def array_like(path: Path, head: bytes, *trailing: int) -> NDArray[Any] | None:
    """Return the array (T, ...) of floats of an ``.npy`` file, T > 0, None for any other file.

    Args:
        path: the file; only its header is read if the shape is another.
        head: its first bytes.
        trailing: the axes after the first.
    """
    if not head.startswith(NPY_MAGIC):
        return None
    try:
        with path.open("rb") as file:
            shape, dtype = npy_header(file)
    # A damaged header is for the reader of plain arrays to judge.
    except Exception:
        return None
    return load_npy(path) if shape[:1] > (0,) and shape[1:] == trailing and dtype.kind == "f" else None


def off_middle(values: NDArray[Any], middle: int, first: int, second: int) -> float:
    """Return how far a joint is from the middle of two others, in their distance from each other; inf if never seen.

    The median over frames.
    """
    ends = values[:, [first, second]].astype(np.float64)
    apart = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1)
    off = np.linalg.norm(values[:, middle] - ends.mean(axis=1), axis=-1)
    known = np.isfinite(off) & (apart > 0)
    return float(np.median(off[known] / apart[known])) if known.any() else float("inf")


def motion_of(name: str, track: Track, fps: float | None, notes: tuple[str, ...]) -> Motion:
    """Return the motion of one person with one track, that :func:`write` can write again."""
    person = Person("0", {TRACK: track}, np.arange(len(track.values), dtype=np.int64))
    return Motion(name, (person,), fps, source=track.values, notes=notes)


def write(motion: Motion, path: Path) -> None:
    """Write the array with the shape and dtype it had.

    Raises:
        ValueError: nothing can be written there.
    """
    with replacing(path) as file:
        new = merged(TRACK, motion.source, motion.people[0].tracks[TRACK].values)
        np.lib.format.write_array(file, new, allow_pickle=False)


def save(values: NDArray[Any], path: Path) -> None:
    """Write a new ``.npy`` of float32, as the programs that read such files expect.

    Raises:
        ValueError: nothing can be written there.
    """
    with replacing(path) as file:
        np.lib.format.write_array(file, np.ascontiguousarray(values, np.float32), allow_pickle=False)
