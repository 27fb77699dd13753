"""Feet by name, the ground, and contacts of a walker whose steps are known."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smpl_tools.contacts.detection import ContactSettings, contacts, foot_slide, noise_level
from smpl_tools.contacts.feet import Leg, find_legs, foot_points, whole_legs
from smpl_tools.contacts.ground import ground_plane

KINDS = [0, 1, 0, 1]
CYCLE, STANCE = 1.2, 0.7


def walker(fps=60.0, seconds=7.2, speed=1.1, floor=0.3):
    """Return (T, 4, 3) of left ankle and toe, right ankle and toe, Y up, and where each foot stands, (T, 4).

    A foot stands for ``STANCE`` seconds of a cycle of ``CYCLE`` and swings along a minimum-jerk path, rising by 0.15 m.
    """
    time = np.arange(round(seconds * fps)) / fps
    x, standing = np.zeros((len(time), 4, 3)), np.zeros((len(time), 4), bool)
    for side in (0, 1):
        number, phase = np.divmod(time + side * CYCLE / 2, CYCLE)
        swing = np.clip((phase - STANCE) / (CYCLE - STANCE), 0, 1)
        step = swing**3 * (10 - 15 * swing + 6 * swing**2)
        height = 0.15 * np.sin(np.pi * step) ** 2
        for joint, rest, ahead in ((0, 0.08, 0.0), (1, 0.02, 0.13)):
            x[:, 2 * side + joint] = np.stack(
                [np.full(len(time), 0.2 * side), floor + rest + height, speed * CYCLE * (number + step) + ahead], axis=1
            )
            standing[:, 2 * side + joint] = phase < STANCE
    return x, standing


def near_edges(standing, frames):
    """Return (T, F) where a contact begins or ends within that many frames."""
    edge = np.zeros_like(standing)
    edge[1:] = standing[1:] != standing[:-1]
    return np.stack([np.convolve(e, np.ones(2 * frames + 1), mode="same") > 0 for e in edge.T], axis=1)


NAMES = {
    "SMPL": (["left_hip", "left_knee", "left_ankle", "left_foot"], "0123"),
    "Mixamo": (["mixamorig:LeftUpLeg", "mixamorig:LeftLeg", "mixamorig:LeftFoot", "mixamorig:LeftToeBase"], "0123"),
    "CMU": (["LHipJoint", "LeftUpLeg", "LeftLeg", "LeftFoot", "LeftToeBase"], "1234"),
    "CMU asf": (["lhipjoint", "lfemur", "ltibia", "lfoot", "ltoes"], "1234"),
    "Daz": (["lButtock", "lThighBend", "lThighTwist", "lShin", "lFoot", "lToe"], "1345"),
    "Unreal": (["thigh_l", "thigh_twist_01_l", "calf_l", "foot_l", "ball_l", "ik_foot_l"], "0234"),
    "Rigify": (["thigh.L.001", "thigh.L", "shin.L", "foot.L", "toe.L"], "1234"),
    "3ds Max": (["Bip01 L Thigh", "Bip01 L Calf", "Bip01 L Foot", "Bip01 L Toe0"], "0123"),
    "HIK": (["Character1_LeftUpLeg", "Character1_LeftLeg", "Character1_LeftFoot", "Character1_LeftToeBase"], "0123"),
    "Rokoko": (["LeftThigh", "LeftShin", "LeftFoot", "LeftToe"], "0123"),
    "Xsens": (["LeftUpperLeg", "LeftLowerLeg", "LeftFoot", "LeftToe"], "0123"),
    "VRM": (["J_Bip_L_UpperLeg", "J_Bip_L_LowerLeg", "J_Bip_L_Foot", "J_Bip_L_ToeBase"], "0123"),
    "SMPL FBX": (["m_avg_L_Hip", "m_avg_L_Knee", "m_avg_L_Ankle", "m_avg_L_Foot"], "0123"),
    "OpenPose": (["LHip", "LKnee", "LAnkle", "LSmallToe", "LBigToe"], "0124"),
}


@pytest.mark.parametrize("name", NAMES)
def test_legs_by_name(name):
    joints, expected = NAMES[name]
    right = [
        re.sub("LHip", "RHip", re.sub(r"Left|left|(?<![A-Za-z])[Ll](?![a-z]{2}(?<!lf))", _other, j)) for j in joints
    ]
    legs = find_legs(["root", *joints])
    assert [leg.side for leg in legs] == ["left"]
    assert (legs[0].hip, legs[0].knee, legs[0].ankle, legs[0].toe) == tuple(1 + int(k) for k in expected)
    if right != joints:
        assert {leg.side for leg in find_legs(right)} == {"right"}


def _other(match):
    return {"Left": "Right", "left": "right", "L": "R", "l": "r"}[match[0]]


def test_heels_tips_and_lone_ankles():
    names = ["left_ankle", "right_ankle", "left_heel", "right_heel", "left_foot_index", "right_foot_index"]
    assert find_legs(names) == (
        Leg("left", ankle=0, heel=2, toe_end=4),
        Leg("right", ankle=1, heel=3, toe_end=5),
    )
    assert foot_points(find_legs(names)) == ([2, 4, 3, 5], [1, 3, 1, 3])
    assert foot_points(find_legs(["nose", "left_ankle"])) == ([1], [0])
    assert find_legs(["LeftFoot", "LeftToeBase", "LeftToe_End"]) == (Leg("left", ankle=0, toe=1, toe_end=2),)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: find_legs(["hips", "eyeball_l", "left_hand"]),
            "joints of the feet: expected names such as left_ankle, LeftFoot, foot.L or foot_l, "
            "received hips, eyeball_l, left_hand",
        ),
        (
            lambda: whole_legs(["left_ankle", "left_knee"]),
            "joints of the legs: expected hip, knee and ankle of a leg, received left_ankle, left_knee",
        ),
        (
            lambda: contacts(np.zeros((5, 3)), fps=30),
            "shape of positions: expected (T, F, 3), received (5, 3)",
        ),
        (lambda: contacts(np.zeros((5, 1, 3)), fps=0), "fps: expected a positive number, received 0"),
        (
            lambda: contacts(np.zeros((5, 1, 3)), fps=30, metres=-1.0),
            "metres in one unit: expected a positive number, received -1.0",
        ),
        (
            lambda: contacts(np.zeros((5, 1, 3)), fps=30, up="w"),
            "up: expected one of x, y, z, -x, -y, -z, received 'w'",
        ),
        (
            lambda: contacts(np.zeros((5, 2, 3)), fps=30, kinds=[0]),
            "shape of kinds: expected (2,), received (1,)",
        ),
        (
            lambda: ground_plane(np.full((5, 1, 3), np.nan), fps=30),
            "positions of feet: expected at least one observed value, received none",
        ),
        (
            lambda: foot_slide(np.zeros((5, 2, 3)), np.zeros((4, 2), bool), fps=30),
            "shape of contact: expected (5, 2), received (4, 2)",
        ),
        (
            lambda: ContactSettings(leave_speed=(0.1, 0.9)),
            "contact setting leave_speed: expected at least the speed, 0.12, received 0.1",
        ),
        (
            lambda: ContactSettings(height=(0.05, 0.03)),
            "contact setting height: expected two numbers from 0 on, the first not above the second, "
            "received (0.05, 0.03)",
        ),
        (
            lambda: ContactSettings(shortest=-0.1),
            "contact setting shortest: expected seconds, 0 or more, received -0.1",
        ),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


@pytest.mark.parametrize("fps", [24.0, 30.0, 60.0, 120.0])
def test_a_walkers_steps_are_found(fps):
    x, standing = walker(fps)
    found = contacts(x, fps=fps, kinds=KINDS)
    # A foot that has hardly risen, or hardly not come down, is slow and low: up to 0.1 s belong to either.
    sure = ~near_edges(standing, round(0.1 * fps))
    np.testing.assert_array_equal(found[sure], standing[sure])
    assert (found & standing).sum() > 0.95 * standing.sum()


def test_the_frame_rate_does_not_matter():
    fast = contacts(walker(120.0)[0], fps=120, kinds=KINDS)
    for fps in (30.0, 60.0):
        slow = contacts(walker(fps)[0], fps=fps, kinds=KINDS)
        assert (slow != fast[:: round(120 / fps)]).mean() < 0.015


@given(st.integers(0, 10**6), st.floats(-50, 50), st.sampled_from([1.0, 100.0, 1000.0, 39.37]))
@settings(max_examples=15, deadline=None)
def test_units_turns_and_shifts_do_not_matter(seed, shift, unit):
    x, _ = walker(30.0, seconds=3.6)
    x = x + 0.003 * np.random.default_rng(seed).standard_normal(x.shape)
    found = contacts(x, fps=30, kinds=KINDS)
    turn = Rotation.from_euler("y", seed, degrees=True).as_matrix()
    moved = (x @ turn.T + [shift, -shift / 3, 1.0]) * unit
    np.testing.assert_array_equal(contacts(moved, fps=30, metres=1 / unit, kinds=KINDS), found)
    for up, axes, sign in (("z", [0, 2, 1], 1), ("x", [1, 0, 2], 1), ("-y", [0, 1, 2], -1)):
        other = (x * [1, sign, 1])[..., axes]
        np.testing.assert_array_equal(contacts(other, fps=30, up=up, kinds=KINDS), found)


@pytest.mark.parametrize("noise", [0.005, 0.01])
def test_noise_is_seen_through(noise):
    x, standing = walker(60.0)
    found = contacts(x + noise * np.random.default_rng(3).standard_normal(x.shape), fps=60, kinds=KINDS)
    assert (found & standing).sum() / found.sum() > 0.9
    assert (found & standing).sum() / standing.sum() > 0.9


def test_hysteresis():
    fps, rule = 60.0, ContactSettings()
    creep = (rule.speed[0] + rule.leave_speed[0]) / 2 / fps
    x = np.zeros((300, 1, 3))
    # Stands, creeps, jumps away, creeps without having stood, stands again.
    x[100:150, 0, 0] = creep * np.arange(1, 51)
    x[150:, 0, 0] = 1.0
    x[150:170, 0, 1] = 0.3
    x[170:220, 0, 0] += 0.1 + creep * np.arange(50)
    x[170:220, 0, 1] = 0.02
    x[220:, 0, 0] += 3.0
    x[220:240, 0, 1] = 0.3
    found = contacts(x, fps=fps)[:, 0]
    assert found[:140].all()
    assert not found[155:238].any()
    assert found[250:].all()


def test_what_is_not_observed_is_no_contact():
    x, _ = walker(60.0)
    whole = contacts(x, fps=60, kinds=KINDS)
    x[100:160, 0] = np.nan
    x[:, 3] = np.nan
    found = contacts(x, fps=60, kinds=KINDS)
    assert not found[100:160, 0].any()
    assert not found[:, 3].any()
    np.testing.assert_array_equal(found[:, 1:3], whole[:, 1:3])
    np.testing.assert_array_equal(found[170:, 0], whole[170:, 0])
    assert not contacts(np.full((4, 2, 3), np.nan), fps=30).any()
    assert contacts(np.zeros((1, 2, 3)), fps=30).all()
    assert contacts(np.zeros((0, 2, 3)), fps=30).shape == (0, 2)


def test_short_contacts_are_none_and_short_gaps_are_bridged():
    rule = ContactSettings(smoothing=(0.0, 0.0), shortest=0.1, bridged=(0.05, 0.05))
    x = np.zeros((180, 1, 3))
    # Not observed for two frames, in the air for a third of a second, down for six frames, in the air again.
    x[60:62] = np.nan
    x[80:140, 0, 1] = 0.2
    x[100:106, 0, 1] = 0.0
    found = contacts(x, fps=60, settings=rule)[:, 0]
    assert found[:78].all()
    assert not found[82:138].any()
    assert found[142:].all()
    # At 30 a second they last long enough.
    assert contacts(x, fps=30, settings=rule)[101:105, 0].all()


def test_the_ground_is_found_whatever_its_height():
    for floor in (-3.0, 0.0, 12.0):
        ground = ground_plane(walker(60.0, floor=floor)[0], fps=60, kinds=KINDS)
        np.testing.assert_allclose(ground.normal, [0, 1, 0])
        assert ground.level == pytest.approx(floor + 0.02, abs=0.002)
        np.testing.assert_allclose(ground.rest, [0.06, 0, 0.06, 0], atol=0.002)


def test_a_foot_that_is_held_up_all_the_time_does_not_stand():
    x, _ = walker(60.0)
    x[:, 2:] = x[:1, 2:] + [0, 0.3, 0]
    found = contacts(x, fps=60, kinds=KINDS)
    assert found[:, :2].any()
    assert not found[:, 2:].any()


def test_a_sloping_ground():
    x, standing = walker(60.0)
    x = np.concatenate([x, x @ np.diag([1.0, 1.0, -1.0]) + [4.0, 0, 0]])
    turn = Rotation.from_euler("xz", [6, -4], degrees=True).as_matrix()
    ground = ground_plane(x @ turn.T, fps=60, kinds=KINDS, slope=True)
    angle = np.degrees(np.arccos(np.clip(ground.normal @ turn[:, 1], -1, 1)))
    assert angle < 0.5
    found = contacts(x @ turn.T, fps=60, kinds=KINDS, ground=ground)
    both = np.concatenate([standing, standing])
    assert (found & both).sum() > 0.95 * both.sum()
    assert (found & ~both).sum() < 0.1 * both.sum()


def test_slide_is_the_speed_along_the_ground():
    x = np.zeros((50, 2, 3))
    x[:, 0, 0] = 0.002 * np.arange(50)
    x[:, 0, 1] = 0.01 * np.arange(50)
    contact = np.ones((50, 2), bool)
    np.testing.assert_allclose(foot_slide(x, contact, fps=30), [60, 0], atol=1e-9)
    np.testing.assert_allclose(foot_slide(100 * x, contact, fps=30, metres=0.01), [60, 0], atol=1e-9)
    np.testing.assert_allclose(foot_slide(x[..., [0, 2, 1]], contact, fps=60, up="-z"), [120, 0], atol=1e-9)
    contact[1::2, 0] = False
    x[10:20, 1] = np.nan
    slide = foot_slide(x, contact, fps=30)
    assert np.isnan(slide[0])
    assert slide[1] == 0


def test_noise_is_how_fast_standing_feet_seem():
    x, _ = walker(60.0)
    assert noise_level(x, fps=60) < 0.02
    drift = np.cumsum(np.full((len(x), 1, 3), [0.2 / 60, 0, 0]), axis=0)
    assert noise_level(x + drift, fps=60) == pytest.approx(0.2, abs=0.03)
    assert noise_level(np.full((3, 2, 3), np.nan), fps=60) == 0.0
