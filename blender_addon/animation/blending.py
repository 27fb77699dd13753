"""Between the original and the refined take, without Blender: what the sliders mix, and what a file keeps of it.

A file keeps of each refined action what its channels are at full strength. The original's keys are in the original
action, which is kept; so any mixture can be made again, also after the file was closed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .curves import CurveKey
from .held import held_values
from .quaternions import slerp
from .refining import Refined
from .rotation_modes import to_quat_wxyz

Array = NDArray[np.float64]

PARTS = ("ROOT", "SPINE", "HEAD", "ARMS", "HANDS", "LEGS", "OTHER")
_VERSION = 1


@dataclass(frozen=True, eq=False)
class Mix:
    """One channel, original and refined.

    Attributes:
        slot: identifier of the action's slot; empty where Blender knows of none.
        path: data path of its curves.
        mode: rotation mode; empty for locations and values.
        part: of the body.
        indices: array indices of the curves that are written, a list of the n components.
        size: n.
        times: (U,) frames.
        rekeyed: each written curve has keys at all of ``times``.
        rows: for each written curve the rows of its keys; None where ``rekeyed``.
        before: (U, n) original values.
        after: (U, n) refined values.
    """

    slot: str
    path: str
    mode: str
    part: str
    indices: tuple[int, ...]
    size: int
    times: Array
    rekeyed: bool
    rows: tuple[NDArray[np.int64] | None, ...]
    before: Array
    after: Array


def mixes(refined: Sequence[Refined], slot: str) -> list[Mix]:
    """Return what the sliders mix."""
    out: list[Mix] = []
    for r in refined:
        c = r.channel
        written = [i for i, curve in enumerate(c.curves) if curve is not None or c.rekeyed]
        rows: list[NDArray[np.int64] | None] = []
        for i in written:
            curve = c.curves[i]
            if curve is None or c.rekeyed or len(curve.times) == len(c.times):
                rows.append(None)
            else:
                rows.append(np.searchsorted(c.times, curve.times))
        indices = tuple(c.keys[i].index for i in written)
        path, size = c.keys[0].path, len(c.keys)
        out.append(Mix(slot, path, c.mode, c.part, indices, size, c.times, c.rekeyed, tuple(rows), r.before, r.after))
    return out


def mixed(mix: Mix, share: float) -> Array:
    """Return the values (U, n) between original (0) and refined (1); rotations go the shortest way."""
    if share == 0:
        return mix.before
    if share == 1:
        return mix.after
    if not mix.mode:
        return mix.before + share * (mix.after - mix.before)
    quats = slerp(to_quat_wxyz(mix.before, mix.mode), to_quat_wxyz(mix.after, mix.mode), share)
    return held_values(quats, mix.mode, mix.after, (mix.before == mix.after).all(axis=1))


def values(mix: Mix, share: float) -> dict[CurveKey, Array]:
    """Return the values of each written curve at its keys."""
    made = mixed(mix, share)
    return {
        CurveKey(mix.path, index): made[:, index] if rows is None else made[rows, index]
        for index, rows in zip(mix.indices, mix.rows, strict=True)
    }


def share_of(mix: Mix, overall: float, parts: Mapping[str, float]) -> float:
    """Return the share of the refined take that a channel gets."""
    return min(1.0, max(0.0, overall * parts.get(mix.part, 1.0)))


def packed(mixes: Sequence[Mix]) -> bytes:
    """Return the channels as bytes, in float32 as Blender's own keys; Blender's files are compressed as a whole."""
    arrays: list[NDArray[np.float32]] = []
    known: dict[bytes, int] = {}
    size = 0

    def put(array: NDArray[Any]) -> int:
        nonlocal size
        start = size
        arrays.append(np.ascontiguousarray(array, np.float32))
        size += 4 * array.size
        return start

    def put_once(array: NDArray[Any]) -> int:
        # Times are mostly those of all channels.
        raw = np.asarray(array, np.float32).tobytes()
        if raw not in known:
            known[raw] = put(array)
        return known[raw]

    entries = [
        {
            "slot": mix.slot,
            "path": mix.path,
            "mode": mix.mode,
            "part": mix.part,
            "indices": mix.indices,
            "size": mix.size,
            "count": len(mix.times),
            "rekeyed": mix.rekeyed,
            "rows": [None if rows is None else [put_once(rows), len(rows)] for rows in mix.rows],
            "times": put_once(mix.times),
            "before": put(mix.before),
            "after": put(mix.after),
        }
        for mix in mixes
    ]
    head = json.dumps({"version": _VERSION, "channels": entries}).encode()
    return b"".join([len(head).to_bytes(8, "little"), head, *(array.data for array in arrays)])


def unpacked(raw: bytes) -> list[Mix]:
    """Return what :func:`packed` stored.

    Raises:
        ValueError: it is not that.
    """
    try:
        start = 8 + int.from_bytes(raw[:8], "little")
        head = json.loads(raw[8:start])
        if head["version"] != _VERSION:
            raise ValueError(f"version {head['version']}")

        def get(offset: int, count: int) -> Array:
            return np.frombuffer(raw, np.float32, count, start + offset).astype(np.float64)

        return [
            Mix(
                slot=e["slot"],
                path=e["path"],
                mode=e["mode"],
                part=e["part"],
                indices=tuple(e["indices"]),
                size=e["size"],
                times=get(e["times"], e["count"]),
                rekeyed=e["rekeyed"],
                rows=tuple(None if r is None else get(*r).astype(np.int64) for r in e["rows"]),
                before=get(e["before"], e["count"] * e["size"]).reshape(-1, e["size"]),
                after=get(e["after"], e["count"] * e["size"]).reshape(-1, e["size"]),
            )
            for e in head["channels"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the stored refinement cannot be read ({error}): refine again") from error
