"""A take refined, without Blender: channels of a plan and their values in, values of all keys out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..seeing.measures import rotation_spikes, spikes
from .curves import INTERPOLATIONS, Curve, CurveKey
from .cycles import cycle_shift, with_neighbours
from .grids import Grid
from .held import held_values
from .noise_kinds import noise_kind
from .plan import Channel, Options
from .protecting import protect_fast, steady_slow
from .quaternions import log_quat_wxyz, multiplied, power, turned
from .rotation_modes import from_quat_wxyz, to_quat_wxyz

Array = NDArray[np.float64]
Evaluate = Callable[[CurveKey, Array], Array]
Tick = Callable[[float], None]
RefineArray = Callable[..., Any]

# Seconds over which a change fades in and out at the ends of a range, and on both sides of a key that stays.
FADE, MARKED_FADE = 0.3, 0.15
# Seconds of a cycle's neighbours that the network is shown on both sides.
_AROUND = 3.0
# Frames by which a key may miss the time that is asked for.
_NEAR = 1e-3
# Leaves good values nearly as they are, and takes away no fast motion.
_TAKES_GLITCHES = "deglitch"
# Numbers refined in one call: between two calls a job can be stopped.
_AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class Sampled:
    """A channel's values before any change.

    Attributes:
        channel: whose.
        grid: (T, n) on the channel's grid.
        keys: (U, n) at its ``times``.
    """

    channel: Channel
    grid: Array
    keys: Array


@dataclass(frozen=True, eq=False)
class Refined:
    """A channel's values at full strength.

    Attributes:
        channel: whose.
        before: (U, n) at its ``times``.
        after: (U, n); ``before`` where nothing may change.
    """

    channel: Channel
    before: Array
    after: Array


def sample(channel: Channel, evaluate: Evaluate) -> Sampled:
    """Read a channel's values; ``evaluate(key, frames)`` is asked where curves are neither keyed nor straight."""
    columns: list[tuple[Array, Array]] = []
    frames, times = channel.grid.times, channel.times
    if len(frames) == len(times) and (abs(frames - times) <= _NEAR).all():
        curves = [curve.values for curve in channel.curves if curve is not None and curve.times is times]
        if len(curves) == len(channel.keys):
            keys = np.stack(curves).T
            return Sampled(channel, keys, keys)
    for key, curve, present in zip(channel.keys, channel.curves, channel.present, strict=True):
        if curve is None:
            columns.append((np.full(len(frames), present), np.full(len(times), present)))
        else:
            columns.append((_at(curve, key, frames, evaluate), _at(curve, key, times, evaluate)))
    grid, keys = (np.stack([column[i] for column in columns]).T for i in range(2))
    return Sampled(channel, grid, keys)


def _at(curve: Curve, key: CurveKey, frames: Array, evaluate: Evaluate) -> Array:
    if frames is curve.times or (len(frames) == len(curve.times) and (abs(frames - curve.times) <= _NEAR).all()):
        return curve.values
    near = np.searchsorted(curve.times, frames - _NEAR)
    near = np.minimum(near, len(curve.times) - 1)
    if (abs(curve.times[near] - frames) <= _NEAR).all():
        return curve.values[near]
    if (curve.interpolation[:-1] == INTERPOLATIONS.index("LINEAR")).all():
        return np.interp(frames, curve.times, curve.values)
    return evaluate(key, frames)


def refine_take(
    sampled: Sequence[Sampled],
    options: Options,
    tick: Tick = lambda share: None,
    *,
    fps: float,
    refine: RefineArray,
) -> list[Refined]:
    """Refine the channels of a take at full strength.

    Args:
        sampled: channels and their values.
        options: the animator's.
        fps: frames a second at which the action's frames play.
        refine: as ``smoothnet_core.refine``, with a ``tick`` of its own besides.
        tick: told the share that is done; may raise to stop.
    """
    total = sum(s.grid.size for s in sampled) or 1
    done = 0
    refined: dict[int, Refined] = {}
    for batch in _batches(sampled):
        members = [sampled[i] for i in batch]
        values = _network_values(members)
        size = sum(s.grid.size for s in members)
        told = partial(_share, tick, done / total, size / total)
        new = _refined(values, [s.channel for s in members], options, fps, partial(refine, tick=told))
        for mode, plain in _plain(members, options, fps).items():
            # All rotations of a take at once, as most takes allow: many small steps would cost more than the network.
            after = new if plain == list(range(len(members))) else new[:, plain]
            if mode:
                after = from_quat_wxyz(after, mode, side_by_side([members[column].keys for column in plain]))
            for column, one in zip(plain, np.moveaxis(after, 1, 0), strict=True):
                refined[batch[column]] = Refined(
                    members[column].channel, members[column].keys, _limited(members[column], one)
                )
        for column, i in enumerate(batch):
            if i not in refined:
                refined[i] = _at_keys(sampled[i], values[:, column], new[:, column], options, fps)
        done += size
        tick(done / total)
    return [refined[i] for i in range(len(sampled))]


def _share(tick: Tick, start: float, length: float, share: float) -> None:
    tick(start + length * share)


def _batches(sampled: Sequence[Sampled]) -> Iterable[list[int]]:
    """Group channels that can be refined in one call: of one kind, on one grid."""
    groups: dict[Any, list[int]] = {}
    for i, s in enumerate(sampled):
        c = s.channel
        groups.setdefault(
            (c.kind, round(c.grid.start, 3), round(c.grid.step, 6), c.grid.count, bool(c.cycles)), []
        ).append(i)
    for group in groups.values():
        size = max(1, _AT_ONCE // max(1, 4 * sampled[group[0]].channel.grid.count))
        for start in range(0, len(group), size):
            yield group[start : start + size]


def side_by_side(values: Sequence[Array]) -> Array:
    """Return (T, N, n) of N arrays (T, n), in memory (n, N, T): each number over time lies by itself, as in curves."""
    frames, size = values[0].shape
    out = np.empty((size, len(values), frames))
    for column, one in enumerate(values):
        out[:, column] = one.T
    return out.transpose(2, 1, 0)


def _network_values(members: Sequence[Sampled]) -> Array:
    """Return (T, N, n) of channels on one grid, rotations of one mode at once: quat_wxyz of rotations."""
    modes = [s.channel.mode for s in members]
    if not any(modes):
        return side_by_side([s.grid for s in members])
    if len(set(modes)) == 1:
        return to_quat_wxyz(side_by_side([s.grid for s in members]), modes[0])
    values = np.empty((len(members[0].grid), len(members), 4))
    for mode in set(modes):
        columns = [i for i, own in enumerate(modes) if own == mode]
        values[:, columns] = to_quat_wxyz(side_by_side([members[i].grid for i in columns]), mode)
    return values


_KINDS = {"rotation": "quat_wxyz", "location": "position", "value": "channels"}


def _refined(
    values: Array,
    channels: Sequence[Channel],
    options: Options,
    fps: float,
    refine: RefineArray,
) -> Array:
    """Refine (T, N, n) on one grid."""
    first = channels[0]
    rate = fps / first.grid.step
    kind = _KINDS[first.kind]
    mask = np.ones(values.shape[:2], bool)
    for column, channel in enumerate(channels):
        if channel.unseen is not None:
            mask[:, column] = ~channel.unseen
    if options.repair_spikes:
        if kind == "quat_wxyz":
            mask &= ~rotation_spikes(values, rate)
        else:
            mask &= ~spikes(values, rate)
    track, pad, shift = values, 0, 0.0
    if first.cycles and len(values) > 2:
        pad = round(_AROUND * rate)
        shift = cycle_shift(values, channels)
        track = with_neighbours(values, pad, shift)
        mask = with_neighbours(mask, pad)
    unsure = {} if mask.all() else {"mask": mask}
    if kind == "channels":
        track = track[..., 0]
    new = np.asarray(refine(track, fps=rate, kind=kind, model=options.model, **unsure))
    new = new.reshape(len(track), *values.shape[1:])
    if kind == "quat_wxyz" and options.model != _TAKES_GLITCHES and (options.protect_fast or options.steady_slow):
        new = _by_noise(track, new, mask, options, rate)
    # In memory as `side_by_side` has it, whatever computed it.
    new = np.ascontiguousarray(new.T, np.float64).T
    if pad:
        new = new[pad : pad + len(values)].copy()
        new[-1] = new[0] + shift
    return new


def _by_noise(track: Array, new: Array, mask: NDArray[np.bool_], options: Options, rate: float) -> Array:
    """Refine rotations (T, N, 4) further as the kind of their noise allows."""
    noise = noise_kind(track, rate)
    if noise is None:
        return new
    if options.protect_fast:
        new = protect_fast(noise, new, mask, rate)
    return steady_slow(noise, new, rate) if options.steady_slow else new


def _plain(members: Sequence[Sampled], options: Options, fps: float) -> dict[str, list[int]]:
    """Return by rotation mode the members whose keys are the frames of the grid, and may all change."""
    found: dict[str, list[int]] = {}
    fits: dict[Any, bool] = {}
    for column, s in enumerate(members):
        channel = s.channel
        # Most channels of a take have the same arrays, see :func:`..bridge.keyframes.each_curve`.
        marks = (array for curve in channel.keyed for array in (curve.times, curve.key_types, curve.selected))
        same = (channel.grid, id(channel.times), *map(id, marks))
        if same not in fits:
            on_grid = len(channel.times) == channel.grid.count and (channel.grid.index_of(channel.times) >= 0).all()
            fits[same] = bool(on_grid and (weights(channel, options, fps) == 1).all())
        if fits[same]:
            found.setdefault(channel.mode, []).append(column)
    return found


def _limited(s: Sampled, after: Array) -> Array:
    """Keep a shape key within its slider, unless it was beyond before."""
    if s.channel.limits is None:
        return after
    low, high = s.channel.limits
    return np.clip(after, min(low, s.keys.min()), max(high, s.keys.max()))


def _at_keys(s: Sampled, old: Array, new: Array, options: Options, fps: float) -> Refined:
    """Carry what was changed on the grid over to the keys, faded out where nothing may change."""
    channel = s.channel
    weight = weights(channel, options, fps)
    before = s.keys
    on_grid = channel.grid.index_of(channel.times)
    exact = (on_grid >= 0).all()
    if channel.kind == "rotation":
        start = to_quat_wxyz(before, channel.mode)
        change = turned(start, new[on_grid]) if exact else between(channel.grid, channel.times, turned(old, new))
        quats = multiplied(power(change, weight), start)
        after = held_values(quats, channel.mode, before, weight == 0)
    else:
        change = new[on_grid] - before if exact else between(channel.grid, channel.times, new - old, log=False)
        after = _limited(s, before + weight[:, None] * change)
    after[weight == 0] = before[weight == 0]
    return Refined(channel, before, after)


def between(grid: Grid, times: Array, change: Array, log: bool = True) -> Array:
    """Interpolate changes (T, n) on a grid to other times; turns (T, 4) through their logarithms."""
    places = grid.index_of(times)
    if (places >= 0).all():
        return change[places]
    numbers = log_quat_wxyz(change) if log else change
    at_keys = np.stack([np.interp(times, grid.times, column) for column in numbers.T], axis=1)
    return to_quat_wxyz(_angle_axis(at_keys), "AXIS_ANGLE") if log else at_keys


def _angle_axis(rotvec: Array) -> Array:
    angle = np.sqrt((rotvec**2).sum(axis=1, keepdims=True))
    return np.concatenate([angle, rotvec / np.where(angle, angle, 1.0)], axis=1)


def weights(channel: Channel, options: Options, fps: float) -> Array:
    """Return (U,) how much of a change each key takes: 0 outside the range and at keys that stay, 1 away from them."""
    times = channel.times
    weight = np.ones(len(times))
    fade = FADE * fps
    # At an end of the range beyond which the take goes on, the change fades; where the take itself ends it need not.
    if options.first is not None and times[0] < options.first - 1e-3:
        weight = np.minimum(weight, _smooth((times - options.first) / fade))
    if options.last is not None and times[-1] > options.last + 1e-3:
        weight = np.minimum(weight, _smooth((options.last - times) / fade))
    marked = channel.marked(options)
    if marked.any():
        stays = times[marked]
        at = np.clip(np.searchsorted(stays, times), 1, len(stays) - 1) if len(stays) > 1 else np.zeros(len(times), int)
        near = np.minimum(abs(times - stays[at]), abs(times - stays[at - 1]))
        weight = np.minimum(weight, _smooth(near / (MARKED_FADE * fps)))
    return weight


def _smooth(x: Array) -> Array:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)
