"""Channels refined without Blender: what the network is shown, and how its answer reaches the keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import smoothnet_core
from blender_addon.curves import KEY_TYPES, Curve, CurveKey
from blender_addon.held import held_values
from blender_addon.plan import Body, Channel, Options, plan_take
from blender_addon.refining import Refined, refine_take, sample, weights
from blender_addon.rotation_modes import MODES, from_quat_wxyz, to_quat_wxyz
from tests.blender.plan_samples import curve, quats, rotation_curves

TIMES = np.arange(1.0, 91.0)
BODY = Body(
    modes={"Hips": "QUATERNION", "": "XYZ", **{f"B{mode}": mode for mode in MODES}},
    present={},
    roots=frozenset({"Hips"}),
    limits={"Jaw": (0.0, 1.0)},
)
PLACE = 'pose.bones["Hips"].location'


def _real(track: Any, *, tick: Callable[[float], None], **how: Any) -> Any:
    tick(0.5)
    return smoothnet_core.refine(track, **how)


def _never(key: CurveKey, frames: Any) -> Any:
    raise AssertionError(f"{key} need not be evaluated")


class _Spy:
    """Stands for the network: keeps what it is shown, and answers with a change of it."""

    def __init__(self, change: Callable[[Any], Any] = lambda track: track) -> None:
        self.calls: list[tuple[Any, dict[str, Any]]] = []
        self._change = change

    def __call__(self, track: Any, *, tick: Any, **how: Any) -> Any:
        self.calls.append((track, how))
        return self._change(track)


def _refined(
    curves: list[Curve], refine: Any = _real, fps: float = 30, repeats: bool = False, **options: Any
) -> list[Refined]:
    chosen = Options(**options)
    plan = plan_take(curves, BODY, chosen, fps=fps, repeats=repeats)
    return refine_take([sample(c, _never) for c in plan.channels], chosen, fps=fps, refine=refine)


def _places(values: Any, times: Any = TIMES, **more: Any) -> list[Curve]:
    return [curve(PLACE, i, times, values[:, i], **more) for i in range(values.shape[1])]


def _angle(first: Any, second: Any) -> Any:
    a, b = (Rotation.from_quat(np.roll(q, -1, axis=-1)) for q in (first, second))
    return (a * b.inv()).magnitude()


def test_keys_on_the_grid_are_what_the_network_says() -> None:
    """For quaternions and locations exactly its answer, up to the sign."""
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(size=(90, 3)), axis=0)
    alone = {"repair_spikes": False, "protect_fast": False, "steady_slow": False}
    turn, move = _refined([*rotation_curves("Hips", TIMES), *_places(walk)], **alone)
    wanted = smoothnet_core.refine(quats(TIMES), fps=30, kind="quat_wxyz")
    assert _angle(turn.after, wanted).max() < 1e-6
    assert np.abs(move.after - smoothnet_core.refine(walk, fps=30, kind="position")).max() < 1e-9
    assert (turn.before == quats(TIMES)).all()


@pytest.mark.parametrize("model", ["default", "deglitch"])
def test_fast_turns_are_given_back_unless_the_network_takes_glitches_alone(model: str) -> None:
    """And locations are left as the network leaves them."""
    swing = np.zeros((90, 3))
    swing[:, 0] = np.radians(30.0) * np.sin(TIMES)
    turns = np.roll(Rotation.from_rotvec(swing).as_quat(), 1, axis=1)
    curves = [curve('pose.bones["Hips"].rotation_quaternion', i, TIMES, v) for i, v in enumerate(turns.T)]
    halved = _Spy(lambda track: track if track.shape[-1] == 3 else track * [1.0, 0.5, 0.5, 0.5])
    walk = np.cumsum(np.random.default_rng(0).normal(size=(90, 3)), axis=0)
    off = {}
    for protect in (False, True):
        turn, move = _refined([*curves, *_places(walk)], halved, model=model, protect_fast=protect, repair_spikes=False)
        off[protect] = np.degrees(_angle(turn.after, turns).max())
        assert (move.after == walk).all()
    assert off[False] > 10.0
    assert off[True] < 0.6 * off[False] if model == "default" else off[True] == off[False]


@given(st.sampled_from([24.0, 25.0, 30 / 1.001, 60.0, 120.0]), st.sampled_from(["QUATERNION", "ZXY"]))
def test_the_rate_counts_in_seconds(fps: float, mode: str) -> None:
    """The network is told keys a second, whatever a frame is."""
    spy = _Spy()
    times = 1 + np.arange(60) * fps / 30
    values = from_quat_wxyz(quats(np.arange(60)), mode)
    name = "rotation_quaternion" if mode == "QUATERNION" else "rotation_euler"
    _refined([curve(f'pose.bones["B{mode}"].{name}', i, times, v) for i, v in enumerate(values.T)], spy, fps)
    assert spy.calls[0][1]["fps"] == pytest.approx(30.0, rel=1e-5)
    assert spy.calls[0][1]["kind"] == "quat_wxyz"


@pytest.mark.parametrize("times", [TIMES, TIMES[np.random.default_rng(1).random(90) > 0.3]])
def test_all_modes_get_the_same_rotation(times: Any) -> None:
    """On the grid and off it."""
    made = {}
    for mode in MODES:
        values = from_quat_wxyz(quats(times), mode)
        name = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}.get(mode, "rotation_euler")
        curves = [curve(f'pose.bones["B{mode}"].{name}', i, times, v) for i, v in enumerate(values.T)]
        made[mode] = to_quat_wxyz(_refined(curves, fill_gaps=False)[0].after, mode)
    for mode in MODES:
        # Off the grid, channels are sampled between keys, where each mode goes its own way.
        assert _angle(made[mode], made["QUATERNION"]).max() < (1e-5 if len(times) == 90 else 0.04), mode
    assert _angle(made["QUATERNION"], quats(times)).max() > 1e-3


@pytest.mark.parametrize("mode", MODES)
def test_channels_stay_on_the_turn_and_sign_that_they_had(mode: str) -> None:
    """An original that starts whole turns away, or with a quaternion of negative real part."""
    values = from_quat_wxyz(quats(TIMES), mode)
    if mode == "QUATERNION":
        values = -values
    else:
        values[:, 0] += 2 * np.pi * (2 if mode == "AXIS_ANGLE" else 1)
    name = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}.get(mode, "rotation_euler")
    one = _refined([curve(f'pose.bones["B{mode}"].{name}', i, TIMES, v) for i, v in enumerate(values.T)])[0]
    assert np.abs(one.after - values).max() < 0.5


@given(st.integers(5, 60), st.integers(20, 60))
def test_outside_the_range_nothing_changes_and_inside_it_grows(first: int, length: int) -> None:
    """Exactly; the weight rises smoothly from 0, to 1 where there is room."""
    options: dict[str, Any] = {"first": float(first), "last": float(first + length)}
    turn, move = _refined(
        [*rotation_curves("Hips", TIMES), *_places(np.sin(TIMES[:, None] / 5 + np.arange(3)))],
        _Spy(lambda track: track[::-1]),
        repair_spikes=False,
        **options,
    )
    outside = (first >= TIMES) | (first + length <= TIMES)
    for one in (turn, move):
        assert (one.after[outside & (TIMES < 90)] == one.before[outside & (TIMES < 90)]).all()
    weight = weights(turn.channel, Options(**options), 30)
    assert np.abs(np.diff(weight)).max() < 0.2
    assert weight.max() == 1.0
    assert weight[first - 1] == 0.0


def test_where_the_take_itself_ends_the_change_does_not_fade() -> None:
    channel = plan_take(rotation_curves("Hips", TIMES), BODY, Options(), fps=30).channels[0]
    assert (weights(channel, Options(first=1.0, last=90.0), 30) == 1).all()
    assert (weights(channel, Options(first=-5.0, last=200.0), 30) == 1).all()


@given(st.lists(st.integers(0, 89), min_size=1, max_size=6, unique=True), st.sampled_from([24.0, 60.0]))
def test_marked_keys_stay_and_what_is_away_from_them_changes(marked: list[int], fps: float) -> None:
    kinds = np.zeros(90, np.uint8)
    kinds[marked] = KEY_TYPES.index("EXTREME")
    curves = rotation_curves("Hips", TIMES, key_types=kinds)
    one = _refined(curves, _Spy(lambda track: track[::-1]), fps=fps, repair_spikes=False)[0]
    assert (one.after[marked] == one.before[marked]).all()
    weight = weights(one.channel, Options(), fps)
    away = np.abs(np.arange(90)[:, None] - np.array(marked)).min(axis=1)
    assert ((weight == 1) == (away >= 0.15 * fps - 1e-6)).all()
    assert ((weight == 0) == (away == 0)).all()


@given(st.sampled_from(MODES), st.lists(st.integers(0, 59), min_size=1, max_size=5, unique=True), st.integers(0, 30))
def test_held_keys_stay_and_rotations_are_the_ones_asked_for(mode: str, held: list[int], seed: int) -> None:
    """Whatever the original's signs and turns; between two held ones that agree it is continuous."""
    rng = np.random.default_rng(seed)
    path = np.cumsum(rng.normal(scale=0.2, size=(60, 3)), axis=0)
    old = np.roll(Rotation.from_rotvec(path).as_quat(), 1, axis=1)
    like = from_quat_wxyz(old, mode)
    if mode == "QUATERNION":
        like[30:] *= -1
    else:
        like[30:, 0] += 2 * np.pi * (2 if mode == "AXIS_ANGLE" else 1)
    stays = np.zeros(60, bool)
    stays[held] = True
    small = np.where(stays[:, None], 0.0, 0.05 * np.sin(np.arange(60)[:, None] + np.arange(3)))
    new = np.roll((Rotation.from_rotvec(small) * Rotation.from_rotvec(path)).as_quat(), 1, axis=1)
    new[stays] = old[stays]
    found = held_values(new, mode, like, stays)
    assert (found[stays] == like[stays]).all()
    assert _angle(to_quat_wxyz(found, mode), new).max() < 1e-5
    if mode == "QUATERNION":
        jumps = np.flatnonzero((found[1:] * found[:-1]).sum(axis=1) < 0)
        assert set(jumps) <= {29}


def test_nothing_held_is_continuous_all_along() -> None:
    like = quats(TIMES)
    like[30:] *= -1
    found = held_values(quats(TIMES), "QUATERNION", like, np.zeros(90, bool))
    assert ((found[1:] * found[:-1]).sum(axis=1) > 0).all()


def test_spikes_and_gaps_are_not_believed() -> None:
    """The mask of the network leaves them out; without repairs only the gap."""
    times = TIMES[(TIMES < 20) | (TIMES > 25)]
    walk = np.sin(times[:, None] / 20 + np.arange(3))
    walk[50] += 3.0
    for repair, wanted in ((True, [19, 20, 21, 22, 23, 24, 56]), (False, [19, 20, 21, 22, 23, 24])):
        spy = _Spy()
        _refined(_places(walk, times), spy, repair_spikes=repair)
        assert np.flatnonzero(~spy.calls[0][1]["mask"][:, 0]).tolist() == wanted
    spy = _Spy()
    _refined(_places(np.sin(TIMES[:, None] / 20 + np.arange(3))), spy)
    assert "mask" not in spy.calls[0][1]


def test_a_cycle_is_shown_with_its_neighbours() -> None:
    """Three seconds on both sides; the root has walked on; the answer meets itself at the seam."""
    times = TIMES[:41]
    phase = 2 * np.pi * (times - 1) / 40
    walk = np.stack([0.1 * times, np.sin(phase), np.cos(phase)], axis=1)
    spy = _Spy(lambda track: track + 0.01 * np.sin(np.arange(len(track)))[:, None, None])
    one = _refined(_places(walk), spy, repeats=True, repair_spikes=False)[0]
    shown = spy.calls[0][0]
    assert len(shown) == 41 + 180
    steps = np.diff(shown[:, 0], axis=0)
    assert np.abs(steps[:, 0] - 0.1).max() < 1e-9
    assert np.abs(np.diff(steps, axis=0)).max() < 0.03
    assert np.abs(one.after[-1] - one.after[0] - [4.0, 0.0, 0.0]).max() < 1e-9


def test_a_cycle_of_curves_that_say_how() -> None:
    """Repeated in place where they say so, however far apart the ends are."""
    times = TIMES[:41]
    walk = np.stack([0.1 * times, 0.1 * times, 0.001 * times], axis=1) + np.random.default_rng(0).normal(
        scale=0.001, size=(41, 3)
    )
    how = ("REPEAT", "OFFSET", "OFFSET")
    curves = [dataclasses.replace(c, cycle=cycle) for c, cycle in zip(_places(walk), how, strict=True)]
    one = _refined(curves, repair_spikes=False)[0]
    ends = one.after[-1] - one.after[0]
    assert ends[0] == pytest.approx(0, abs=1e-9)
    assert ends[1:] == pytest.approx((walk[-1] - walk[0])[1:], abs=1e-9)


def test_shape_keys_stay_within_their_sliders_unless_they_were_beyond() -> None:
    jaw = np.clip(0.5 + 0.7 * np.sin(TIMES / 8), 0, 1)
    for values, high in ((jaw, 1.0), (1.5 * jaw, 1.5)):
        one = _refined([curve('key_blocks["Jaw"].value', 0, TIMES, values)], _Spy(lambda track: 3 * track - 1))[0]
        assert (one.after.min(), one.after.max()) == (0.0, high)


def test_straight_curves_are_sampled_here_and_others_by_blender() -> None:
    """Nobody is asked for keys; in between them only curves that are not straight are."""
    times = TIMES[::2]
    straight = rotation_curves("Hips", times)
    asked: list[CurveKey] = []

    def evaluate(key: CurveKey, frames: Any) -> Any:
        asked.append(key)
        return np.zeros(len(frames))

    def channel(curves: list[Curve]) -> Channel:
        return plan_take(curves, BODY, Options(fill_gaps=False), fps=30).channels[0]

    def without_key(c: Curve, place: int) -> Curve:
        names = ("times", "values", "interpolation", "key_types", "selected")
        return dataclasses.replace(c, **{name: np.delete(getattr(c, name), place) for name in names})

    uneven = [without_key(c, 7) for c in straight]
    sample(channel(straight), evaluate)
    found = sample(channel(uneven), evaluate)
    assert asked == []
    assert found.grid[7] == pytest.approx((found.grid[6] + found.grid[8]) / 2)
    bent = [dataclasses.replace(c, interpolation=c.interpolation + (c.index == 2)) for c in uneven]
    sample(channel(bent), evaluate)
    assert asked == [straight[2].key]


def test_progress_rises_and_a_stop_goes_through() -> None:
    """The share that is done, from the network too."""
    curves = [*rotation_curves("Hips", TIMES), *_places(np.sin(TIMES[:, None] / 9 + np.arange(3)))]
    plan = plan_take(curves, BODY, Options(), fps=30)
    sampled = [sample(c, _never) for c in plan.channels]
    told: list[float] = []
    refine_take(sampled, Options(), told.append, fps=30, refine=_real)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)
    assert len(told) >= 4

    def stop(share: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        refine_take(sampled, Options(), stop, fps=30, refine=_real)
