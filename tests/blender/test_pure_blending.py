"""Mixtures of original and refined, and what a file keeps of them; without Blender."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from blender_addon.animation.blending import Mix, mixed, mixes, packed, share_of, unpacked, values
from blender_addon.animation.curves import CurveKey
from blender_addon.animation.plan import Body, Options, plan_take
from blender_addon.animation.refining import Refined
from blender_addon.animation.rotation_modes import MODES, channel_count, from_quat_wxyz, to_quat_wxyz
from tests.blender.plan_samples import curve, rotation_curves

PATH = 'pose.bones["Hips"].rotation_quaternion'


def _mix(mode: str, seed: int = 0, noise: float = 0.1, count: int = 40) -> Mix:
    rng = np.random.default_rng(seed)
    t = np.arange(count)[:, None]
    path = np.cumsum(rng.normal(scale=0.15, size=(count, 3)), axis=0)
    first = np.roll(Rotation.from_rotvec(path).as_quat(), 1, axis=1)
    second = np.roll(Rotation.from_rotvec(path + noise * np.sin(t / 3 + np.arange(3))).as_quat(), 1, axis=1)
    before = from_quat_wxyz(first, mode)
    after = from_quat_wxyz(second, mode, before)
    n = channel_count(mode)
    return Mix("OBHero", PATH, mode, "ROOT", tuple(range(n)), n, 1.0 + t[:, 0], False, (None,) * n, before, after)


def _angle(first: np.ndarray, second: np.ndarray, mode: str) -> np.ndarray:
    a, b = (Rotation.from_quat(np.roll(to_quat_wxyz(v, mode), -1, axis=1)) for v in (first, second))
    return (a * b.inv()).magnitude()


@given(st.sampled_from(MODES), st.floats(0.01, 0.99), st.integers(0, 20))
def test_rotations_mix_along_the_shortest_way(mode: str, share: float, seed: int) -> None:
    """The share of the angle, on the way from one to the other; quaternions of unit length."""
    mix = _mix(mode, seed)
    made = mixed(mix, share)
    whole = _angle(mix.before, mix.after, mode)
    assert np.abs(_angle(mix.before, made, mode) - share * whole).max() < 1e-5
    assert np.abs(_angle(made, mix.after, mode) - (1 - share) * whole).max() < 1e-5
    if mode == "QUATERNION":
        assert np.abs(np.linalg.norm(made, axis=1) - 1).max() < 1e-9


def test_the_ends_are_exact_and_locations_straight() -> None:
    mix = _mix("XYZ")
    assert mixed(mix, 0.0) is mix.before
    assert mixed(mix, 1.0) is mix.after
    place = dataclasses.replace(mix, mode="")
    assert np.allclose(mixed(place, 0.25), 0.75 * mix.before + 0.25 * mix.after, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_keys_that_stay_are_exact_in_every_mixture(mode: str) -> None:
    """What was kept at full strength is kept at half, also where the original is wound on or of the other sign."""
    mix = _mix(mode)
    before = mix.before.copy()
    if mode == "QUATERNION":
        before[[7, 30]] *= -1.5
    else:
        before[[7, 30], 0] += 2 * np.pi * (2 if mode == "AXIS_ANGLE" else 1)
    after = mix.after.copy()
    after[[7, 30]] = before[[7, 30]]
    made = mixed(dataclasses.replace(mix, before=before, after=after), 0.5)
    assert (made[[7, 30]] == before[[7, 30]]).all()


def test_each_curve_gets_its_own_keys() -> None:
    """Components with keys at other times, and one without a curve."""
    mix = _mix("QUATERNION")
    rows = np.array([0, 3, 5])
    mix = dataclasses.replace(mix, indices=(0, 2), rows=(None, rows))
    found = values(mix, 1.0)
    assert set(found) == {CurveKey(PATH, 0), CurveKey(PATH, 2)}
    assert (found[CurveKey(PATH, 0)] == mix.after[:, 0]).all()
    assert (found[CurveKey(PATH, 2)] == mix.after[rows, 2]).all()


def test_mixes_of_channels_name_curves_and_rows() -> None:
    """From a plan: a component without curve is not written, one with fewer keys gets these."""
    times = np.arange(1.0, 41.0)
    full = rotation_curves("Hips", times)
    fewer = [dataclasses.replace(full[1], times=times[::2], values=full[1].values[::2])]
    place = [curve("location", i, times, np.sin(times + i)) for i in (0, 2)]
    body = Body({"Hips": "QUATERNION", "": "XYZ"}, {})
    plan = plan_take([full[0], *fewer, *full[2:], *place], body, Options(fill_gaps=False), fps=30)
    refined = [Refined(c, np.zeros((40, len(c.keys))), np.ones((40, len(c.keys)))) for c in plan.channels]
    turn, move = mixes(refined, "OBHero")
    assert turn.indices == (0, 1, 2, 3)
    assert [None if r is None else r.tolist() for r in turn.rows] == [None, list(range(0, 40, 2)), None, None]
    assert move.indices == (0, 2)
    assert (turn.part, move.part, turn.mode, move.mode) == ("OTHER", "ROOT", "QUATERNION", "")


def test_shares_are_products_within_bounds() -> None:
    mix = _mix("XYZ")
    assert share_of(mix, 0.5, {"ROOT": 0.5}) == 0.25
    assert share_of(mix, 0.5, {"LEGS": 0.5}) == 0.5
    assert share_of(mix, 2.0, {}) == 1.0
    assert share_of(mix, -1.0, {}) == 0.0


def test_packed_and_unpacked_are_the_same_in_single_precision() -> None:
    rows = np.array([0, 3, 5], np.int64)
    first = dataclasses.replace(_mix("QUATERNION"), rows=(None, rows, None, None))
    second = dataclasses.replace(_mix("ZYX", 1, count=7), slot="KEFace", part="HEAD", rekeyed=True)
    found = unpacked(packed([first, second]))
    for mix, other in zip([first, second], found, strict=True):
        for name in ("slot", "path", "mode", "part", "indices", "size", "rekeyed"):
            assert getattr(mix, name) == getattr(other, name), name
        for name in ("times", "before", "after"):
            assert (getattr(mix, name).astype(np.float32) == getattr(other, name)).all(), name
        assert [None if r is None else r.tolist() for r in other.rows] == [
            None if r is None else r.tolist() for r in mix.rows
        ]
    assert unpacked(packed([])) == []


@given(st.binary(max_size=80) | st.integers(0, 400))
def test_whatever_else_is_there_is_said(raw: bytes | int) -> None:
    """Bytes of anything, and a real record cut short."""
    if isinstance(raw, int):
        raw = packed([_mix("XYZ", count=9)])[:raw]
    with pytest.raises(ValueError, match=r"the stored refinement cannot be read \(.*\): refine again"):
        unpacked(raw)
