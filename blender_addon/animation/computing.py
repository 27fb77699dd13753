"""One take from curves to refined channels and numbers, without Blender: what a worker thread does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..rigs.standing import Armature, keep_feet
from .curves import Curve, CurveKey
from .numbers import Numbers, numbers_of
from .plan import Body, Options, Plan, plan_take
from .refining import RefineArray, Refined, Sampled, Tick, refine_take, sample

Array = NDArray[np.float64]

# Up to so many channels times keys the numbers of a take are computed while the sidebar is drawn.
_AT_ONCE = 2**18


@dataclass(frozen=True, eq=False)
class Given:
    """What is read of a take.

    Attributes:
        curves: of its action and slot.
        body: of the object.
        options: the animator's.
        fps: frames a second at which the action's frames play.
        repeats: the action itself is set to be cyclic.
        armature: to pose it; None for objects and shape keys.
    """

    curves: Sequence[Curve]
    body: Body
    options: Options
    fps: float
    repeats: bool
    armature: Armature | None


@dataclass(frozen=True, eq=False)
class Prepared:
    """A plan, and what of its curves Blender itself must evaluate.

    Attributes:
        plan: what is refined.
        asked: curves and frames.
        sampled: what is known of its channels without that; None where something is asked.
    """

    plan: Plan
    sampled: list[Sampled | None]
    asked: list[tuple[CurveKey, Array]]


@dataclass(frozen=True, eq=False)
class Computed:
    """What came of a take.

    Attributes:
        refined: its channels at full strength.
        numbers: for the sidebar, computed when called; None where no bone turns.
        notes: what could not be done.
    """

    refined: list[Refined]
    numbers: Callable[[], Numbers | None]
    notes: list[str]


def prepare(given: Given, tick: Tick = lambda share: None) -> Prepared:
    """Plan a take, and find out what must be evaluated."""
    plan = plan_take(given.curves, given.body, given.options, fps=given.fps, repeats=given.repeats)
    asked: list[tuple[CurveKey, Array]] = []

    def ask(key: CurveKey, frames: Array) -> Array:
        asked.append((key, frames))
        return np.zeros(len(frames))

    sampled: list[Sampled | None] = []
    for number, channel in enumerate(plan.channels):
        tick(number / len(plan.channels))
        before = len(asked)
        values = sample(channel, ask)
        sampled.append(values if len(asked) == before else None)
    return Prepared(plan, sampled, asked)


def compute(
    given: Given,
    prepared: Prepared,
    answers: Mapping[tuple[CurveKey, bytes], Array],
    refine: RefineArray,
    tick: Tick = lambda share: None,
) -> Computed:
    """Refine a prepared take.

    Args:
        given: the take.
        prepared: of it.
        answers: by curve and :func:`question`, the values (T,) that were asked for.
        refine: see :func:`.refining.refine_take`.
        tick: told the share that is done; may raise to stop.
    """
    sampled: list[Sampled] = [
        values or sample(channel, lambda key, frames: answers[key, question(frames)])
        for channel, values in zip(prepared.plan.channels, prepared.sampled, strict=True)
    ]
    refined = refine_take(sampled, given.options, tick, fps=given.fps, refine=refine)
    notes: list[str] = []
    if given.options.keep_feet and given.armature is not None and refined:
        try:
            refined = keep_feet(given.armature, refined, given.options, given.fps)
        except ValueError as error:
            notes.append(f"feet not kept: {error}")
    numbers = partial(numbers_of, refined, given.fps, given.armature)
    if sum(len(r.before) for r in refined) > _AT_ONCE:
        # Whoever looks would wait for it.
        found = numbers()
        return Computed(refined, lambda: found, notes)
    return Computed(refined, numbers, notes)


def question(frames: Array) -> bytes:
    """Return what tells one set of frames from another."""
    return frames.tobytes()
