"""Refined copies of actions: read, computed in a worker thread, written, and only then played."""

import dataclasses
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import bpy
import numpy as np

from . import engines, kept_numbers, keyframes, preferences, results
from .blending import PARTS, Mix, mixes, share_of, values
from .computing import Computed, Given, compute, prepare, question
from .curves import Curve, CurveKey
from .jobs import Background, Progress
from .keyframes import Source
from .numbers import Numbers
from .results import Pair
from .takes import Player, Take, armature_of, body_of, options_of, starting

# What a refined action is called after its original.
SUFFIX = "_refined"

Step = Progress | Background


@dataclass
class Made:
    """A refined action before anybody plays it.

    Attributes:
        original: the action that it is compared with: the first one, also if it was refined from a refined one.
        refined: the new one; None where nothing was to be refined.
        players: who is to play it, and which slot of it.
        mixes: their channels.
        stored: the same as the action keeps it.
        skipped: what was left alone, a line each.
        told: what the engine said.
        numbers: what computes those of the first of its takes in which bones turn.
    """

    original: bpy.types.Action
    refined: bpy.types.Action | None
    players: list[tuple[Player, Source]]
    mixes: list[Mix]
    stored: bytes
    skipped: list[str]
    told: list[str]
    numbers: Callable[[], Numbers | None]


def refine_takes(
    context: bpy.types.Context, takes: list[Take], settings: Any, of: tuple[int, int] = (0, 1)
) -> Generator[Step, Any, list[Made]]:
    """Refine takes; the file changes at the end alone, all at once.

    Args:
        context: of the operator.
        takes: what is refined.
        settings: a :class:`.properties.RefineSettings`.
        of: which piece this is of how many, for the progress that is shown.

    Raises:
        ValueError: nothing can be refined; the message says why.
    """
    takes = starting(takes, settings.from_original)
    by_action: dict[bpy.types.Action, list[Take]] = {}
    for take in takes:
        by_action.setdefault(take.source.action, []).append(take)
    made: list[Made] = []
    try:
        for number, (action, members) in enumerate(by_action.items()):
            start, end = ((of[0] + (number + i) / len(by_action)) / of[1] for i in range(2))
            made.append((yield from _made(context, action, members, settings, (start, end - start))))
        done = [one for one in made if one.refined is not None]
        if not done:
            reasons = list(dict.fromkeys(line for one in made for line in one.skipped))
            more = f" and {len(reasons) - 3} more" if len(reasons) > 3 else ""
            raise ValueError(f"nothing to refine: {'; '.join(reasons[:3]) or 'no curve moves'}{more}")
        for one in done:
            if (earlier := _refined_before(one.original)) is not None:
                results.check_replaceable(earlier, one.refined)
            for player, _ in one.players:
                keyframes.check_assignable(player.id)
    except BaseException:
        for one in made:
            if one.refined is not None:
                bpy.data.actions.remove(one.refined)
        raise
    for one in done:
        _take_over(one, _refined_before(one.original))
    return done


def _refined_before(action: bpy.types.Action) -> bpy.types.Action | None:
    """Return the action that was refined from this one before."""
    pair = results.pair_of(action)
    return pair.refined if pair is not None and pair.original == action else None


def _made(
    context: bpy.types.Context, action: bpy.types.Action, members: list[Take], settings: Any, span: tuple[float, float]
) -> Generator[Step, Any, Made]:
    """Make the refined copy of one action."""
    at = partial(_at, span)
    pair = results.pair_of(action)
    original, before = (action, None) if pair is None else pair
    told: list[str] = []
    skipped: list[str] = []
    found: list[Callable[[], Numbers | None]] = []
    new: list[Mix] = []
    known: dict[str, dict[CurveKey, Curve]] = {}
    for take in members:
        done = yield from _computed(context, take, options_of(settings, take, context), told, at)
        known[keyframes.slot_identifier(take.source)] = {curve.key: curve for curve in done.curves}
        skipped += done.left
        found.append(done.computed.numbers)
        told += done.computed.notes
        new += done.channels
    if not new:
        return Made(original, None, [], [], b"", skipped, told, partial(_first, found))
    channels = _with_earlier(new, before, members, settings)
    stored = yield Background(lambda tick: results.pack(channels), at(0.7), at(0.75), f"Storing {action.name}")
    copy = yield from _copied(members[0].source, original.name + SUFFIX, partial(at, 0.75, 0.1))
    try:
        # The copy has a record like its original's, which may name another refined action.
        results.forget(copy)
        for share in _write(copy, channels, settings, known):
            yield Progress(at(0.85 + 0.15 * share), f"Writing {copy.name}")
    except BaseException:
        bpy.data.actions.remove(copy)
        raise
    players = [(player, keyframes.counterpart(take.source, copy)) for take in members for player in take.players]
    return Made(original, copy, players, channels, stored, skipped, told, partial(_first, found))


def _first(numbers: list[Callable[[], Numbers | None]]) -> Numbers | None:
    return next((found for compute in numbers if (found := compute()) is not None), None)


def _at(span: tuple[float, float], share: float, length: float = 0.0, within: float = 0.0) -> float:
    return span[0] + span[1] * (share + length * within)


@dataclass(frozen=True, eq=False)
class _Done:
    """One take: its curves, what came of them, what the sliders mix, and what is left alone."""

    curves: list[Curve]
    computed: Computed
    channels: list[Mix]
    left: list[str]


def _computed(
    context: bpy.types.Context, take: Take, options: Any, told: list[str], at: Callable[[float], float]
) -> Generator[Step, Any, _Done]:
    """Read and compute one take."""
    name = take.source.action.name
    curves: list[Curve] = []
    count = keyframes.curve_count(take.source)
    for curve in keyframes.each_curve(take.source, selection=options.keep_selected):
        curves.append(curve)
        yield Progress(at(0.1 * len(curves) / count), f"Reading {name}")
    armature = None
    if getattr(take.owner, "type", "") == "ARMATURE":
        armature = armature_of(take.owner, curves, context.scene)
    repeats = keyframes.is_cyclic(take.source)
    given = Given(curves, body_of(take.owner, curves), options, take.fps, repeats, armature)
    prepared = yield Background(partial(prepare, given), at(0.1), at(0.12), f"Reading {name}")
    answers = {}
    for number, (key, frames) in enumerate(prepared.asked):
        answers[key, question(frames)] = keyframes.evaluate(take.source, key, frames)
        yield Progress(at(0.12 + 0.05 * number / len(prepared.asked)), f"Reading {name}")
    refine = _with(preferences.chosen_engine(context), told)
    slot = keyframes.slot_identifier(take.source)

    def work(tick: Callable[[float], None]) -> tuple[Computed, list[Mix]]:
        computed = compute(given, prepared, answers, refine, tick)
        return computed, mixes(computed.refined, slot)

    computed, channels = yield Background(work, at(0.17), at(0.7), f"Refining {name}")
    left = [f"{s.owner or take.owner.name}: {s.channel}: {s.reason}" for s in prepared.plan.skipped]
    return _Done(curves, computed, channels, left)


def _with(engine: engines.Engine, told: list[str]) -> Callable[..., Any]:
    """Return what refines an array with an engine; where it fails the built-in one does, and ``told`` says why."""

    def refine(track: Any, *, tick: Callable[[float], None], **how: Any) -> Any:
        new, message = engines.run_with_fallback(engine, track, tick=tick, **how)
        if message and message not in told:
            told.append(message)
        return new

    return refine


def _with_earlier(new: list[Mix], before: bpy.types.Action | None, members: list[Take], settings: Any) -> list[Mix]:
    """Return the channels of a new refined action: the new ones, and of those refined before the ones still wanted.

    These are other slots', other bones' than the selected ones, and all others where what was refined is refined
    again; there the original values of the new ones are those before the first time.
    """
    if before is None:
        return new
    try:
        earlier = {(mix.slot, mix.path): mix for mix in results.mixes_of(before)}
    except ValueError:
        return new  # It lost them, and what is made now has its own.
    slots = {keyframes.slot_identifier(take.source) for take in members}
    again = not settings.from_original
    if again:
        new = [_from_first(mix, earlier.get((mix.slot, mix.path))) for mix in new]
    known = {(mix.slot, mix.path) for mix in new}
    kept = [
        mix
        for name, mix in earlier.items()
        if name not in known and (again or mix.slot not in slots or settings.bones == "SELECTED")
    ]
    return [*new, *kept]


def _from_first(mix: Mix, earlier: Mix | None) -> Mix:
    """Return a channel that was refined twice as the way from its original to its last values."""
    if earlier is None or not np.array_equal(earlier.times.astype(np.float32), mix.times.astype(np.float32)):
        return mix
    return dataclasses.replace(earlier, part=mix.part, after=mix.after)


def _copied(source: Source, name: str, at: Callable[[float], float]) -> Generator[Step, Any, bpy.types.Action]:
    pieces = keyframes.duplicate_in_pieces(source, name)
    try:
        while True:
            try:
                share = next(pieces)
            except StopIteration as end:
                return end.value.action
            yield Progress(at(share), f"Copying {source.action.name}")
    finally:
        pieces.close()


def _write(
    copy: bpy.types.Action, channels: list[Mix], settings: Any, known: dict[str, dict[CurveKey, Curve]]
) -> Iterator[float]:
    """Write the channels of all slots into the copy of what was read; yields the share that is done."""
    parts = {part: getattr(settings, f"strength_{part.lower()}") for part in PARTS}
    results.set_blends(copy, settings.strength, parts)
    for mix in channels:
        if mix.rekeyed:
            source = keyframes.source_of(copy, mix.slot)
            for key, new in values(mix, share_of(mix, settings.strength, parts)).items():
                keyframes.replace_keys(source, key, mix.times, new)
            yield 0.0
    yield from results.write_blend_in_pieces(copy, [mix for mix in channels if not mix.rekeyed], known)


def _take_over(one: Made, earlier: bpy.types.Action | None) -> None:
    """Let the players play the refined action, in place of an earlier one from the same original."""
    original, refined = one.original, one.refined
    assert refined is not None  # since only those that were made are taken over
    if earlier is not None:
        original.use_fake_user = earlier.smoothnet.had_fake_user
        results.replace(earlier, refined)
        results.unlink(Pair(original, earlier))
        bpy.data.actions.remove(earlier)
        refined.name = original.name + SUFFIX
    for player, source in one.players:
        keyframes.assign(player.id, source, player.strip)
    if not one.players:
        # Nobody plays it, and it must not be lost when the file is saved.
        refined.use_fake_user = True
    results.link(Pair(original, refined), one.mixes, one.stored)
    refined.smoothnet.skipped = "\n".join(one.skipped)
    kept_numbers.keep(refined, one.numbers)
