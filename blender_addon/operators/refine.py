"""Refine: a clean take beside the original, in one step that can be undone."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import bpy

from .. import engines, keyframes, preferences, results
from ..blending import PARTS, Mix, mixes, share_of, values
from ..jobs import Background, JobOperator, Progress
from ..plan import Options, Plan, plan_take
from ..properties import SETTINGS, RefineSettings
from ..refining import Refined, refine_take, sample
from ..results import Pair
from ..takes import Take, body_of, chosen, options_of, originals, takes_of

# What a refined action is called after its original.
SUFFIX = "_refined"


@dataclass
class Made:
    """A refined action before anybody plays it.

    Attributes:
        original: the action it was refined from.
        refined: the new one.
        takes: those of its slots that were refined.
        mixes: their channels.
        stored: the same as the action keeps it.
        skipped: what was left alone, a line each.
        changed: whether anything was refined.
    """

    original: bpy.types.Action
    refined: bpy.types.Action
    takes: list[Take]
    mixes: list[Mix]
    stored: bytes
    skipped: list[str]
    changed: bool


class SMOOTHNET_OT_refine(JobOperator, RefineSettings, bpy.types.Operator):
    """Make a refined copy of the action of every selected object; the original stays"""

    bl_idname = "smoothnet.refine"
    bl_label = "Refine Motion"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Something selected must be animated."""
        return animated(cls, context)

    def job(self, context: bpy.types.Context) -> Generator[Progress | Background, Any, None]:
        """Refine the takes of the selected objects."""
        take_settings(self, context)
        takes, problems = takes_of(chosen(context), context.scene)
        if not takes:
            raise ValueError(problems[0] if problems else "selected objects: expected keyframes, received none")
        made = yield from refine_takes(context, takes, self)
        tell(self, made, problems)


def animated(cls: type, context: bpy.types.Context) -> bool:
    """Return whether something selected is animated; say so where it is not."""
    ids = chosen(context)
    if any(keyframes.active_source(id_) or keyframes.nla_sources(id_) for id_ in ids):
        return True
    cls.poll_message_set("Select an animated object" if not ids else "The selected objects have no keyframes")
    return False


def take_settings(operator: Any, context: bpy.types.Context) -> None:
    """Fill in what a call did not say with what the scene's settings say."""
    settings = context.scene.smoothnet
    for name in SETTINGS:
        if not operator.properties.is_property_set(name):
            setattr(operator, name, getattr(settings, name))


def refine_takes(
    context: bpy.types.Context, takes: list[Take], settings: Any
) -> Generator[Progress | Background, Any, list[Made]]:
    """Refine takes; the file changes at the end alone, all at once.

    Raises:
        ValueError: nothing can be refined; the message says why.
    """
    if settings.from_original:
        originals(takes)
    by_action: dict[bpy.types.Action, list[Take]] = {}
    for take in takes:
        by_action.setdefault(take.source.action, []).append(take)
    made: list[Made] = []
    try:
        for number, (action, members) in enumerate(by_action.items()):
            span = (number / len(by_action), (number + 1) / len(by_action))
            made.append((yield from _made(context, action, members, settings, span)))
        if not any(one.changed for one in made):
            reasons = dict.fromkeys(line for one in made for line in one.skipped)
            raise ValueError("nothing to refine: " + ("; ".join(reasons) or "no curve moves"))
    except BaseException:
        for one in made:
            bpy.data.actions.remove(one.refined)
        raise
    for one in made:
        if one.changed:
            _take_over(one, _refined_before(one.original))
        else:
            bpy.data.actions.remove(one.refined)
    return [one for one in made if one.changed]


def _refined_before(action: bpy.types.Action) -> bpy.types.Action | None:
    """Return the action that was refined from this one before."""
    pair = results.pair_of(action)
    return pair.refined if pair is not None and pair.original == action else None


def _made(
    context: bpy.types.Context, action: bpy.types.Action, members: list[Take], settings: Any, span: tuple[float, float]
) -> Generator[Progress | Background, Any, Made]:
    """Make the refined copy of one action."""
    start, length = span[0], span[1] - span[0]
    engine = engines.choose(preferences.get(context))
    refined_by_take: list[list[Refined]] = []
    skipped: list[str] = []
    plans: list[tuple[Take, Plan, Options]] = []
    for take in members:
        yield Progress(start, f"Reading {action.name}")
        options = options_of(settings, take, context)
        curves = keyframes.read_curves(take.source)
        repeats = keyframes.is_cyclic(take.source)
        plan = plan_take(curves, body_of(take.owner), options, fps=take.fps, repeats=repeats)
        skipped += [f"{s.owner or take.owner.name}: {s.channel}: {s.reason}" for s in plan.skipped]
        plans.append((take, plan, options))
    for take, plan, options in plans:
        sampled = []
        for i, channel in enumerate(plan.channels):
            sampled.append(sample(channel, lambda key, frames, take=take: keyframes.evaluate(take.source, key, frames)))
            yield Progress(start + 0.1 * length * i / len(plan.channels), f"Reading {action.name}")
        how: dict[str, Any] = {"fps": take.fps, "refine": engine.refine}
        done = yield Background(
            lambda tick, s=sampled, o=options, h=how: refine_take(s, o, tick=tick, **h),
            start + 0.1 * length,
            start + 0.6 * length,
            f"Refining {action.name}",
        )
        refined_by_take.append(done)
    new_mixes = [
        mix
        for take, refined in zip(members, refined_by_take, strict=True)
        for mix in mixes(refined, keyframes.slot_identifier(take.source))
    ]
    all_mixes = [*new_mixes, *_still_wanted(action, new_mixes, members, settings)]
    stored = yield Background(
        lambda tick: results.pack(all_mixes), start + 0.6 * length, start + 0.7 * length, f"Storing {action.name}"
    )
    copy = keyframes.duplicate(members[0].source, action.name + SUFFIX).action
    one = Made(action, copy, members, all_mixes, stored, skipped, bool(new_mixes))
    try:
        for share in _write(one, settings):
            yield Progress(start + (0.7 + 0.3 * share) * length, f"Writing {copy.name}")
    except BaseException:
        bpy.data.actions.remove(copy)
        raise
    return one


def _still_wanted(action: bpy.types.Action, new: list[Mix], members: list[Take], settings: Any) -> list[Mix]:
    """Return channels refined before that stay as they are: other slots', and other bones' than the selected ones."""
    before = _refined_before(action)
    if before is None:
        return []
    slots = {keyframes.slot_identifier(take.source) for take in members}
    known = {(mix.slot, mix.path) for mix in new}
    return [
        mix
        for mix in results.mixes_of(before)
        if (mix.slot, mix.path) not in known and (mix.slot not in slots or settings.bones == "SELECTED")
    ]


def _write(one: Made, settings: Any) -> Iterator[float]:
    """Write the channels of all slots into the copy; yields the share that is done."""
    parts = {part: getattr(settings, f"strength_{part.lower()}") for part in PARTS}
    results.set_blends(one.refined, settings.strength, parts)
    rekeyed = [mix for mix in one.mixes if mix.rekeyed]
    for mix in rekeyed:
        source = keyframes.source_of(one.refined, mix.slot)
        share = share_of(mix, settings.strength, parts)
        for key, new in values(mix, share).items():
            keyframes.replace_keys(source, key, mix.times, new)
        yield 0.0
    yield from results.write_blend_in_pieces(one.refined, [mix for mix in one.mixes if not mix.rekeyed])


def _take_over(one: Made, earlier: bpy.types.Action | None) -> None:
    """Let the players play the refined action, in place of an earlier one from the same original."""
    if earlier is not None:
        results.replace(earlier, one.refined)
        results.unlink(Pair(one.original, earlier))
        bpy.data.actions.remove(earlier)
        one.refined.name = one.original.name + SUFFIX
    for take in one.takes:
        source = keyframes.counterpart(take.source, one.refined)
        for player in take.players:
            keyframes.assign(player.id, source, player.strip)
    results.link(Pair(one.original, one.refined), one.mixes, one.stored)
    one.refined.smoothnet.skipped = "\n".join(one.skipped)


def tell(operator: bpy.types.Operator, made: Sequence[Made], problems: Sequence[str]) -> None:
    """Report what was done, and what was not."""
    skipped = [line for one in made for line in one.skipped]
    names = ", ".join(one.original.name for one in made[:3]) + ("…" if len(made) > 3 else "")
    bones = sum(len(one.mixes) for one in made)
    operator.report({"INFO"}, f"Refined {names}: {bones} channels")
    if problems:
        operator.report({"WARNING"}, "; ".join(problems))
    if skipped:
        more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        operator.report({"WARNING"}, f"Left alone: {'; '.join(skipped[:3])}{more}")


CLASSES = (SMOOTHNET_OT_refine,)
