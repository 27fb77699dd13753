"""Fewer keys for an applied take: the channels that were refined, each group of curves with the same keys."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

import bpy
import numpy as np

from .animation.blending import Mix, share_of, values
from .animation.curves import KEY_TYPES, Array, Curve, CurveKey
from .animation.reduction import Reduced, reduce_rotations, reduce_values
from .bridge import keyframes
from .bridge.keyframes import Source
from .jobs import Background, Progress
from .results import blends_of, mixes_of

# Of a shape key's range.
_VALUE_TOLERANCE = 0.005


@dataclass
class Thinned:
    """Keys that are left, before they are written.

    Attributes:
        before: number of keys of the curves.
        after: number of those that are left.
        curves: by source and curve: the keys that stay, and the place of the curve's values among theirs.
    """

    before: int
    after: int
    curves: list[tuple[Source, CurveKey, Reduced, int]]

    def write(self) -> None:
        """Write the keys; they are few, and the work cannot be stopped halfway."""
        for source, key, reduced, column in self.curves:
            keyframes.replace_keys(source, key, reduced.times, reduced.values[:, column], interpolation="BEZIER")
            keyframes.set_handles(source, key, reduced.left[:, column], reduced.right[:, column])


def thinned(
    action: bpy.types.Action, settings: Any, span: tuple[float, float]
) -> Generator[Progress | Background, Any, Thinned]:
    """Compute which keys of a refined action are needed.

    Keys of other types than ordinary ones, which were set by hand, stay.

    Args:
        action: refined, not yet applied.
        settings: ``tolerance`` in degrees, ``tolerance_location`` in scene units.
        span: shares of the whole job at its start and end.

    Raises:
        ValueError: the action was changed since; see :func:`.results.mixes_of`.
    """
    found = Thinned(0, 0, [])
    by_slot: dict[str, list[Mix]] = {}
    for mix in mixes_of(action):
        by_slot.setdefault(mix.slot, []).append(mix)
    overall, parts = action.smoothnet.blend, blends_of(action.smoothnet)
    for slot, mixes in by_slot.items():
        source = keyframes.source_of(action, slot)
        curves = {}
        for curve in keyframes.each_curve(source):
            curves[curve.key] = curve
            yield Progress(span[0], f"Reading {action.name}")
        shares = [share_of(mix, overall, parts) for mix in mixes]
        work = partial(_reduced, mixes, shares, curves, settings.tolerance, settings.tolerance_location)
        for mix, reduced in (yield Background(work, span[0], span[1], f"Reducing {action.name}")):
            found.before += len(mix.times) * len(mix.indices)
            found.after += len(reduced.times) * len(mix.indices)
            found.curves += [(source, CurveKey(mix.path, index), reduced, index) for index in mix.indices]
    return found


def _reduced(
    mixes: list[Mix],
    shares: list[float],
    curves: dict[CurveKey, Curve],
    degrees: float,
    distance: float,
    tick: Callable[[float], None],
) -> list[tuple[Mix, Reduced]]:
    """Reduce what has the same times and mode at once, as long as its curves have keys at all of these times."""
    groups: dict[Any, list[tuple[Mix, float]]] = {}
    for mix, share in zip(mixes, shares, strict=True):
        if all(rows is None for rows in mix.rows):
            groups.setdefault((mix.mode, mix.size, mix.times.tobytes()), []).append((mix, share))
    out: list[tuple[Mix, Reduced]] = []
    done, total = 0, sum(len(group) for group in groups.values())
    for (mode, size, _), group in groups.items():
        tick(done / total)
        times = group[0][0].times
        keys = np.stack([_values(mix, share) for mix, share in group], axis=1)
        keep = np.stack([_marked(mix, curves) for mix, _ in group], axis=1)
        if mode:
            reduced = reduce_rotations(times, keys, mode, degrees, keep)
        else:
            reduced = reduce_values(times, keys, distance if size == 3 else _VALUE_TOLERANCE, keep)
        out += [(mix, one) for (mix, _), one in zip(group, reduced, strict=True)]
        done += len(group)
    return out


def _values(mix: Mix, share: float) -> Array:
    """Return the values (U, n) as written; components without a curve as they were."""
    new = mix.before.copy()
    for key, column in values(mix, share).items():
        new[:, key.index] = column
    return new


def _marked(mix: Mix, curves: dict[CurveKey, Curve]) -> Array:
    """Return (U,) which keys were set by hand."""
    ordinary = KEY_TYPES.index("KEYFRAME")
    marks = np.zeros(len(mix.times), bool)
    for index in mix.indices:
        curve = curves.get(CurveKey(mix.path, index))
        if curve is not None and len(curve.key_types) == len(marks):
            marks |= ~np.isin(curve.key_types, (ordinary, KEY_TYPES.index("JITTER")))
    return marks
