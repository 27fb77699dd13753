"""What is refined and what is left alone, decided on curves alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender_addon.animation.curves import KEY_TYPES, Curve, CurveKey
from blender_addon.animation.plan import Body, Options, Plan, plan_take, unkeyed
from tests.blender.plan_samples import curve, quats, rotation_curves

TIMES = np.arange(1.0, 61.0)
HIPS = 'pose.bones["Hips"]'
BODY = Body(
    modes={"Hips": "QUATERNION", "Spine": "XYZ", "Head": "AXIS_ANGLE", "": "QUATERNION"},
    present={},
    roots=frozenset({"Hips"}),
    parts={"Hips": "ROOT", "Spine": "SPINE", "Head": "HEAD"},
    limits={"JawOpen": (0.0, 1.0)},
)


def _plan(curves: list[Curve], fps: float = 30, repeats: bool = False, **options: object) -> Plan:
    return plan_take(curves, BODY, Options(**options), fps=fps, repeats=repeats)  # type: ignore[arg-type]


def _one_with(**changed: object) -> list[Curve]:
    """The curves of a quaternion, of which one is otherwise."""
    curves = rotation_curves("Hips", TIMES)
    curves[2] = dataclasses.replace(curves[2], **changed)  # type: ignore[arg-type]
    return curves


def _named(plan: Plan) -> list[tuple[str, str]]:
    return [(channel.owner, channel.kind) for channel in plan.channels]


def _euler(bone: str = "Spine") -> list[Curve]:
    path = f'pose.bones["{bone}"].rotation_euler'
    return [curve(path, i, TIMES, np.sin(TIMES / 9 + i)) for i in range(3)]


def _place(bone: str = "Hips", **more: object) -> list[Curve]:
    return [curve(f'pose.bones["{bone}"].location', i, TIMES, np.sin(TIMES / 9 + i), **more) for i in range(3)]


def test_channels_of_everything_that_can_be_refined() -> None:
    """Rotations in their mode, the location of roots, the object itself, shape keys; nothing else."""
    head = [curve('pose.bones["Head"].rotation_axis_angle', i, TIMES, np.sin(TIMES / 7 + i)) for i in range(4)]
    own = [curve("rotation_quaternion", i, TIMES, quats(TIMES)[:, i]) for i in range(4)]
    other = [
        curve('key_blocks["JawOpen"].value', 0, TIMES, np.abs(np.sin(TIMES))),
        curve(f"{HIPS}.scale", 0, TIMES, np.sin(TIMES)),
        curve(f'{HIPS}["grip"]', 0, TIMES, np.sin(TIMES)),
        curve("hide_viewport", 0, TIMES, np.sin(TIMES)),
    ]
    plan = _plan([*rotation_curves("Hips", TIMES), *_place(), *_euler(), *_place("Spine"), *head, *own, *other])
    assert _named(plan) == [
        ("Hips", "rotation"),
        ("Hips", "location"),
        ("Spine", "rotation"),
        ("Head", "rotation"),
        ("", "rotation"),
        ("JawOpen", "value"),
    ]
    assert [c.mode for c in plan.channels] == ["QUATERNION", "", "XYZ", "AXIS_ANGLE", "QUATERNION", ""]
    assert [c.part for c in plan.channels] == ["ROOT", "ROOT", "SPINE", "HEAD", "ROOT", "OTHER"]
    assert [c.limits for c in plan.channels] == [None] * 5 + [(0.0, 1.0)]
    assert plan.skipped == ()
    for channel in plan.channels:
        assert (channel.grid.start, channel.grid.step, channel.grid.count) == (1, 1, 60)
        assert not channel.rekeyed


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, {("Hips", "rotation"), ("Hips", "location"), ("Spine", "rotation")}),
        ({"rotations": False}, {("Hips", "location")}),
        ({"locations": False}, {("Hips", "rotation"), ("Spine", "rotation")}),
        ({"all_locations": True, "rotations": False}, {("Hips", "location"), ("Spine", "location")}),
        ({"bones": frozenset({"Spine"})}, {("Spine", "rotation")}),
        ({"bones": frozenset({"Nobody"})}, set()),
    ],
)
def test_what_is_asked_for(options: dict[str, object], wanted: set[tuple[str, str]]) -> None:
    plan = _plan([*rotation_curves("Hips", TIMES), *_place(), *_euler(), *_place("Spine")], **options)
    assert set(_named(plan)) == wanted
    assert plan.skipped == ()


def test_the_selection_of_bones_is_not_one_of_objects_and_shape_keys() -> None:
    own = [curve("location", i, TIMES, np.sin(TIMES + i)) for i in range(3)]
    jaw = curve('key_blocks["JawOpen"].value', 0, TIMES, np.abs(np.sin(TIMES)))
    assert _named(_plan([*own, jaw], bones=frozenset({"Hips"}))) == [("", "location"), ("JawOpen", "value")]


@pytest.mark.parametrize(
    ("curves", "reason"),
    [
        (_one_with(locked=True), "muted or locked"),
        (_one_with(modified=True), "it has F-curve modifiers"),
        (rotation_curves("Spine", TIMES), "its rotation mode does not use these curves"),
        (_euler("Hips"), "its rotation mode does not use these curves"),
        (rotation_curves("Gone", TIMES), "there is no such bone"),
        ([*rotation_curves("Hips", TIMES), curve(f"{HIPS}.rotation_mode", 0, [1, 9], [0, 1])],
         "its rotation mode is animated"),
        (rotation_curves("Hips", TIMES[::10]), "fewer than 5 keys a second"),
        (rotation_curves("Hips", TIMES[:2]), "fewer than 5 keys a second"),
        (_one_with(values=np.where(TIMES == 9, np.nan, 0.5)), "a key holds no number"),
    ],
)  # fmt: skip
def test_what_is_left_alone_is_named_with_its_reason(curves: list[Curve], reason: str) -> None:
    plan = _plan([*curves, *_place()])
    assert _named(plan) == [("Hips", "location")]
    assert [s.reason for s in plan.skipped] == [reason]
    assert plan.skipped[0].channel == curves[0].path.rpartition(".")[2]


def test_what_does_not_move_is_nothing_to_speak_of() -> None:
    still = [dataclasses.replace(c, values=np.full(60, 0.5)) for c in rotation_curves("Hips", TIMES)]
    plan = _plan(still)
    assert plan.channels == plan.skipped == ()


@pytest.mark.parametrize("fps", [24.0, 30.0, 120.0])
def test_five_keys_a_second_are_enough_at_any_rate(fps: float) -> None:
    enough, few = (rotation_curves("Hips", 1 + fps / rate * np.arange(40)) for rate in (5.0, 4.9))
    assert _named(_plan(enough, fps=fps)) == [("Hips", "rotation")]
    assert _named(_plan(few, fps=fps)) == []
    baked = _plan(few, fps=fps, bake_sparse=True).channels[0]
    assert baked.rekeyed
    assert set(few[0].times) <= set(baked.times)
    assert baked.grid.step == 1


def test_a_channel_outside_the_range_is_named() -> None:
    curves = rotation_curves("Hips", TIMES)
    for first, last in ((60.0, 90.0), (-20.0, 1.0), (100.0, None), (None, 0.0), (30.2, 30.8)):
        plan = _plan(curves, first=first, last=last)
        assert [s.reason for s in plan.skipped] == ["no key lies in the range"], (first, last)
    assert _named(_plan(curves, first=59.0)) == [("Hips", "rotation")]


def test_gaps_get_keys_and_are_not_believed() -> None:
    times = TIMES[(TIMES < 20) | (TIMES > 27)]
    channel = _plan(rotation_curves("Hips", times)).channels[0]
    assert channel.rekeyed
    assert (channel.times == TIMES).all()
    assert channel.unseen is not None
    assert np.flatnonzero(channel.unseen).tolist() == list(range(19, 27))
    for options in ({"fill_gaps": False}, {"longest_gap": 0.2}):
        channel = _plan(rotation_curves("Hips", times), **options).channels[0]
        assert not channel.rekeyed
        assert (channel.times == times).all()
        assert channel.unseen is None


def test_a_quaternion_that_is_only_partly_keyed_gets_all_of_its_curves() -> None:
    """And of Euler angles and locations no curve is made."""
    curves = rotation_curves("Hips", TIMES)[1:]
    euler = _euler()[:2]
    missing = [CurveKey(f"{HIPS}.rotation_quaternion", 0), CurveKey('pose.bones["Spine"].rotation_euler', 2)]
    assert unkeyed([*curves, *euler]) == missing
    body = dataclasses.replace(BODY, present={missing[0]: 0.7, missing[1]: 0.3})
    turn, bend = plan_take([*curves, *euler], body, Options(), fps=30).channels
    assert turn.rekeyed
    assert turn.present == (0.7, 0.0, 0.0, 0.0)
    assert turn.curves[0] is None
    assert not bend.rekeyed
    assert bend.present == (0.0, 0.0, 0.3)


def test_marked_keys_of_any_component_mark_all_of_them() -> None:
    kinds = np.zeros(60, np.uint8)
    kinds[10], kinds[20] = KEY_TYPES.index("EXTREME"), KEY_TYPES.index("BREAKDOWN")
    selected = np.zeros(60, bool)
    selected[30] = True
    curves = rotation_curves("Hips", TIMES)
    curves[1] = dataclasses.replace(curves[1], key_types=kinds)
    curves[3] = dataclasses.replace(curves[3], selected=selected)
    channel = _plan(curves).channels[0]

    def marked(**options: object) -> list[int]:
        return np.flatnonzero(channel.marked(Options(**options))).tolist()  # type: ignore[arg-type]

    assert marked() == [10]
    assert marked(marked=frozenset({"EXTREME", "BREAKDOWN"})) == [10, 20]
    assert marked(marked=frozenset(), keep_selected=True) == [30]
    assert marked(marked=frozenset()) == []


@pytest.mark.parametrize(
    ("cyclic", "repeats", "modes", "wanted"),
    [
        ("AUTO", False, ("", "", ""), ()),
        ("AUTO", True, ("", "", ""), ("", "", "")),
        ("AUTO", False, ("REPEAT", "", "OFFSET"), ("REPEAT", "", "OFFSET")),
        ("ON", False, ("", "", ""), ("", "", "")),
        ("OFF", True, ("REPEAT", "REPEAT", "OFFSET"), ()),
    ],
)
def test_who_says_that_a_clip_repeats(
    cyclic: str, repeats: bool, modes: tuple[str, ...], wanted: tuple[str, ...]
) -> None:
    place = [dataclasses.replace(c, cycle=mode) for c, mode in zip(_place(), modes, strict=True)]
    assert _plan(place, repeats=repeats, cyclic=cyclic).channels[0].cycles == wanted
    turn = [dataclasses.replace(c, cycle=modes[0]) for c in rotation_curves("Hips", TIMES)]
    found = _plan(turn, repeats=repeats, cyclic=cyclic).channels[0].cycles
    assert found == (("REPEAT",) * 4 if wanted else ())


@given(st.lists(st.integers(0, 300), min_size=8, max_size=80, unique=True), st.sampled_from([24, 30, 60]))
def test_every_key_stays_and_new_ones_are_at_gaps_alone(frames: list[int], fps: int) -> None:
    """Whatever the times: none of the original's is lost, and without filling gaps none is added."""
    times = np.array(sorted(frames), float)
    for fill in (True, False):
        for channel in _plan(rotation_curves("Hips", times), fps=fps, fill_gaps=fill).channels:
            assert set(times) <= set(channel.times)
            assert (np.diff(channel.times) > 0).all()
            assert channel.grid.start <= times[0] + 1e-6
            assert channel.grid.end >= times[-1] - 1e-6
            if not fill:
                assert len(channel.times) == len(times)
