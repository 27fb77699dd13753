"""Planted feet: exact where they can be reached, smooth around, and nothing else touched."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smpl_tools.contacts.detection import runs
from smpl_tools.contacts.feet import foot_points, whole_legs
from smpl_tools.contacts.keeping import keep_contacts, keep_contacts_positions
from smpl_tools.contacts.plan import KeepSettings
from smpl_tools.contacts.planting import displacements, steady
from smpl_tools.contacts.two_bone import bend_leg, smallest_rotation
from smpl_tools.motion import Skeleton
from smpl_tools.skeleton import SMPL, positions

AT = {name: j for j, name in enumerate(SMPL.joints)}
FREE = [AT[f"{side}_{joint}"] for side in ("left", "right") for joint in ("hip", "knee", "ankle")]
# Nothing is too far to be held.
HELD = KeepSettings(farthest=(1.0, 1.0), rise=(1.0, 1.0))
POINTS = foot_points(whole_legs(SMPL.joints))[0]


def crouch(fps=60.0, seconds=4.0, bend=25.0, slide=0.02, turn=0.05):
    """Return rotations (T, 24, 3, 3) and root (T, 3) of somebody who bobs with bent knees while all slides about."""
    time = np.arange(round(fps * seconds)) / fps
    angle = np.radians(bend + 10 * np.sin(2 * np.pi * 0.4 * time))
    turned = np.tile(np.eye(3), (len(time), 24, 1, 1))
    for side, sign in (("left", 1), ("right", -1)):
        sway = sign * turn * np.sin(2 * np.pi * 0.3 * time)
        for joint, share in (("hip", -1), ("knee", 2), ("ankle", -1)):
            vectors = np.stack([share * angle, 0 * time, sway * (joint == "hip")], axis=1)
            turned[:, AT[f"{side}_{joint}"]] = Rotation.from_rotvec(vectors).as_matrix()
    height = 0.1 + 0.8 * np.cos(angle)
    root = np.stack([slide * np.sin(2 * np.pi * 0.5 * time), height, slide * np.cos(2 * np.pi * 0.35 * time)], axis=1)
    return turned, root


def some(frames, start, stop, columns=(0, 1, 2, 3)):
    contact = np.zeros((frames, 4), bool)
    contact[start:stop, list(columns)] = True
    return contact


def test_planted_feet_stay_in_one_place_and_bones_keep_their_length():
    turned, root = crouch()
    contact = some(240, 60, 180)
    new, new_root, kept = keep_contacts(turned, root, SMPL, fps=60, contact=contact, settings=HELD)
    before, after = positions(turned, root, SMPL), positions(new, new_root, SMPL)
    np.testing.assert_array_equal(kept.contact, contact)
    stand = after[60:180][:, POINTS]
    # The foot's own length, and heights that follow the pelvis, leave heel and toe some micrometres.
    np.testing.assert_allclose(stand[..., [0, 2]], stand[:1, :, [0, 2]].repeat(120, 0), atol=2e-5)
    assert np.ptp(stand[..., 1], axis=0).max() < 0.25 * np.ptp(before[60:180][:, POINTS, 1], axis=0).max()
    assert kept.slide_before.min() > 20
    np.testing.assert_allclose(kept.slide_after, 0, atol=0.05)
    np.testing.assert_allclose(new @ new.swapaxes(-1, -2), np.broadcast_to(np.eye(3), new.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(new), 1.0)
    held = [j for j in range(24) if j not in FREE]
    np.testing.assert_array_equal(new[:, held], turned[:, held])
    # Each place is the middle of where the foot was, along the ground.
    middle = np.median(before[60:180][:, POINTS], axis=0)
    np.testing.assert_allclose(stand[0][:, [0, 2]], middle[:, [0, 2]], atol=0.015)


def test_what_is_not_near_a_contact_is_the_same_to_the_last_bit():
    turned, root = crouch()
    copies = turned.copy(), root.copy()
    new, new_root, kept = keep_contacts(turned, root, SMPL, fps=60, contact=np.zeros((240, 4), bool))
    np.testing.assert_array_equal(new, turned)
    np.testing.assert_array_equal(new_root, root)
    assert kept.moved.max() == 0
    assert np.isnan(kept.slide_after).all()
    new, new_root, kept = keep_contacts(turned, root, SMPL, fps=60, contact=some(240, 110, 130))
    # The ease of 9 frames, and the pelvis, which comes and goes over twice 12.
    for far in (slice(0, 110 - 33), slice(130 + 33, 240)):
        np.testing.assert_array_equal(new[far], turned[far])
        np.testing.assert_array_equal(new_root[far], root[far])
    assert (new[120] != turned[120]).any()
    np.testing.assert_array_equal(turned, copies[0])
    np.testing.assert_array_equal(root, copies[1])


@given(st.integers(0, 10**6), st.sampled_from([1.0, 100.0]))
@settings(max_examples=10, deadline=None)
def test_the_scene_may_be_turned_about_up_and_shifted(seed, unit):
    turned, root = crouch(seconds=2.0)
    contact = some(120, 20, 60, (0, 1)) | some(120, 50, 100, (2,))
    new, new_root, _ = keep_contacts(turned, root, SMPL, fps=60, contact=contact)
    turn = Rotation.from_euler("y", seed, degrees=True).as_matrix()
    shift = np.random.default_rng(seed).normal(size=3)
    other = turned.copy()
    other[:, 0] = turn @ turned[:, 0]
    body = Skeleton(SMPL.joints, SMPL.parents, SMPL.offsets * unit)
    moved = (root @ turn.T + shift) * unit
    found, found_root, _ = keep_contacts(other, moved, body, fps=60, contact=contact, metres=1 / unit)
    expected = new.copy()
    expected[:, 0] = turn @ new[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-8)
    np.testing.assert_allclose(found_root, (new_root @ turn.T + shift) * unit, atol=1e-8 * unit)


@pytest.mark.parametrize("up", ["z", "-y", "x"])
def test_any_axis_may_point_up(up):
    turned, root = crouch(seconds=2.0)
    contact = some(120, 30, 90)
    axis = np.zeros(3)
    axis["xyz".index(up[-1])] = -1 if up[0] == "-" else 1
    turn = smallest_rotation(np.array([[0, 1.0, 0]]), axis[None])[0]
    other = turned.copy()
    other[:, 0] = turn @ turned[:, 0]
    new, new_root, _ = keep_contacts(turned, root, SMPL, fps=60, contact=contact)
    found, found_root, _ = keep_contacts(other, root @ turn.T, SMPL, fps=60, contact=contact, up=up)
    np.testing.assert_allclose(found_root, new_root @ turn.T, atol=1e-9)
    np.testing.assert_allclose(found[:, 1:], new[:, 1:], atol=1e-8)


def bend_and_side(x, side):
    hip, knee, ankle = (x[:, AT[f"{side}_{joint}"]] for joint in ("hip", "knee", "ankle"))
    cross = np.cross(knee - hip, ankle - knee)
    bend = np.degrees(np.arctan2(np.linalg.norm(cross, axis=-1), ((knee - hip) * (ankle - knee)).sum(-1)))
    return bend, cross[:, 0]


@pytest.mark.parametrize("bend", [25.0, 11.0])
def test_knees_bend_as_before_and_do_not_pop(bend):
    turned, root = crouch(bend=bend)
    shaken = turned.copy()
    shaken[:, FREE] = turned[:, FREE] @ Rotation.from_rotvec(
        np.radians(2) * np.random.default_rng(1).standard_normal((240 * 6, 3))
    ).as_matrix().reshape(240, 6, 3, 3)
    contact = some(240, 40, 90) | some(240, 120, 200, (0, 1)) | some(240, 170, 230, (2, 3))
    for motion in (turned, shaken):
        new, new_root, kept = keep_contacts(motion, root, SMPL, fps=60, contact=contact)
        before, after = positions(motion, root, SMPL), positions(new, new_root, SMPL)
        for side in ("left", "right"):
            (old, old_cross), (now, cross) = bend_and_side(before, side), bend_and_side(after, side)
            assert (cross[now > 5] > 0).all() or (old_cross < 0).any()
            assert abs(np.diff(now)).max() < abs(np.diff(old)).max() + 3
        assert abs(kept.lifted).max() <= 60
        lift = np.diff(kept.lifted / 1000, 2) * 60**2
        assert abs(lift).max() < 5


def displacement(fps):
    turned, root = crouch(fps)
    contact = some(len(root), round(fps), round(2 * fps))
    new, new_root, _ = keep_contacts(turned, root, SMPL, fps=fps, contact=contact, settings=HELD)
    return (positions(new, new_root, SMPL) - positions(turned, root, SMPL))[:, POINTS]


def test_the_change_comes_and_goes_without_a_jump_in_place_or_speed():
    coarse, fine = displacement(60.0), displacement(240.0)
    # Of a curve with a continuous speed second differences go with the square of the step, or at an edge nearly so.
    assert abs(np.diff(fine, axis=0)).max() < abs(np.diff(coarse, axis=0)).max() / 3
    assert abs(np.diff(fine, 2, axis=0)).max() < abs(np.diff(coarse, 2, axis=0)).max() / 8
    np.testing.assert_allclose(fine[::4], coarse, atol=0.01)


def test_a_foot_on_its_toe_keeps_its_direction():
    time = np.arange(240)[:, None] / 60
    heel, toe = 0.02 * np.sin(2 * time + [0, 1, 2]), 0.02 * np.cos(3 * time + [0, 1, 2])
    places = [np.tile(track[100], (240, 1)) for track in (heel, toe)]
    standing = [np.zeros(240, bool), np.zeros(240, bool)]
    standing[0][60:90] = standing[1][60:180] = True
    moved = displacements([heel, toe], places, standing, 9, 60.0)
    np.testing.assert_allclose(moved[1][60:180], (places[1] - toe)[60:180])
    np.testing.assert_allclose(moved[0][60:90], (places[0] - heel)[60:90])
    assert np.linalg.norm((moved[0] - moved[1])[105:160], axis=-1).max() < 2e-4
    for move in moved:
        assert not move[:51].any()
        assert not move[189:].any()


def leg(rng, frames=40):
    hip = rng.normal(size=(frames, 3))
    upper, lower = 0.4, rng.uniform(0.3, 0.5)
    thigh, direction = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in rng.normal(size=(2, frames, 3)))
    knee = hip + upper * thigh
    # Bent by 20 to 120 degrees.
    axis = np.cross(thigh, direction)
    axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
    shin = Rotation.from_rotvec(axis * np.radians(rng.uniform(20, 120, (frames, 1)))).apply(thigh)
    return hip, knee, knee + lower * shin, axis, upper, lower


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_a_leg_reaches_what_it_can(seed):
    rng = np.random.default_rng(seed)
    hip, knee, ankle, axis, upper, lower = leg(rng)
    new_hip = hip + 0.05 * rng.normal(size=hip.shape)
    way = rng.normal(size=hip.shape)
    far = rng.uniform(1.05 * abs(upper - lower) + 0.01, 0.995 * (upper + lower), (len(hip), 1))
    target = new_hip + far * way / np.linalg.norm(way, axis=-1, keepdims=True)
    bent = bend_leg(hip, knee, ankle, new_hip, target, axis)
    np.testing.assert_allclose(bent.ankle, target, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(bent.knee - new_hip, axis=-1), upper, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(bent.ankle - bent.knee, axis=-1), lower, atol=1e-9)
    for turn, old, new in (
        (bent.thigh_turn, knee - hip, bent.knee - new_hip),
        (bent.shin_turn, ankle - knee, bent.ankle - bent.knee),
    ):
        np.testing.assert_allclose(turn @ turn.swapaxes(-1, -2), np.tile(np.eye(3), (len(hip), 1, 1)), atol=1e-9)
        np.testing.assert_allclose(np.einsum("tij,tj->ti", turn, old), new, atol=1e-8)
    # The plane of the knee goes along with the line from hip to ankle.
    line = smallest_rotation(
        *((v / np.linalg.norm(v, axis=-1, keepdims=True)) for v in (ankle - hip, target - new_hip))
    )
    carried = np.einsum("tij,tj->ti", line, axis)
    cross = np.cross(bent.knee - new_hip, bent.ankle - bent.knee)
    side = (carried * cross).sum(-1) / np.linalg.norm(cross, axis=-1)
    np.testing.assert_allclose(side, 1.0, atol=1e-6)


def test_a_leg_that_need_not_move_does_not_and_one_that_is_too_short_points_the_way():
    hip, knee, ankle, axis, upper, lower = leg(np.random.default_rng(5))
    same = bend_leg(hip, knee, ankle, hip, ankle, axis)
    np.testing.assert_allclose(same.knee, knee, atol=1e-9)
    np.testing.assert_allclose(same.thigh_turn, np.tile(np.eye(3), (40, 1, 1)), atol=1e-8)
    target = hip + 3 * (ankle - hip)
    short = bend_leg(hip, knee, ankle, hip, target, axis)
    reach = np.linalg.norm(short.ankle - hip, axis=-1)
    np.testing.assert_allclose(reach, np.minimum(np.linalg.norm(target - hip, axis=-1), upper + lower), atol=1e-6)


def test_a_straight_knee_bends_forwards():
    frames = 20
    hip = np.tile([0.0, 1.0, 0.0], (frames, 1))
    knee, ankle = hip - [0, 0.4, 0], hip - [0, 0.8, 0]
    # Bent backwards by less and less, then straight.
    knee[:10, 2] = -np.linspace(0.01, 0, 10)
    raised = ankle + np.linspace(0.0, 0.05, frames)[:, None] * [0, 1, 0]
    bent = bend_leg(hip, knee, ankle, hip, raised, np.tile([1.0, 0, 0], (frames, 1)))
    np.testing.assert_allclose(bent.knee[0], knee[0], atol=1e-9)
    assert (bent.knee[10:, 2] > 0.05).all()
    assert abs(np.diff(bent.knee[:, 2])).max() < 0.08


def test_positions_alone():
    turned, root = crouch()
    x = positions(turned, root, SMPL) + 0.002 * np.random.default_rng(0).standard_normal((240, 24, 3))
    contact = some(240, 60, 180)
    after, kept = keep_contacts_positions(x, SMPL.joints, fps=60, contact=contact, settings=HELD)
    np.testing.assert_array_equal(after[:20], x[:20])
    stand = after[60:180][:, POINTS]
    np.testing.assert_allclose(stand[..., [0, 2]], stand[:1, :, [0, 2]].repeat(120, 0), atol=1e-9)
    for side in ("left", "right"):
        for a, b in (("hip", "knee"), ("knee", "ankle")):
            lengths = [np.linalg.norm(y[:, AT[f"{side}_{a}"]] - y[:, AT[f"{side}_{b}"]], axis=-1) for y in (x, after)]
            np.testing.assert_allclose(lengths[1], lengths[0], atol=1e-9)
    foot = [np.linalg.norm(y[:, AT["left_foot"]] - y[:, AT["left_ankle"]], axis=-1) for y in (x, after)]
    np.testing.assert_allclose(foot[1][60:180], np.median(foot[0]), atol=2e-3)
    rest = [j for j in range(24) if j not in (*FREE, *POINTS)]
    shift = after[:, rest] - x[:, rest]
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:, :1], shift.shape), atol=1e-12)
    np.testing.assert_allclose(shift[..., [0, 2]], 0)
    assert kept.moved.max() > 5


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_a_few_frames_are_enough(frames):
    turned, root = (x[:frames] for x in crouch())
    contact = np.ones((frames, 4), bool)
    new, new_root, _ = keep_contacts(turned, root, SMPL, fps=60, contact=contact, settings=HELD)
    placed = positions(new, new_root, SMPL)[:, POINTS][..., [0, 2]]
    np.testing.assert_allclose(placed, placed[:1].repeat(frames, 0), atol=1e-5)


def test_a_foot_that_moves_on_is_not_held_back():
    time = np.arange(120)
    up = np.array([0, 0, 1.0])
    for axis, reach in ((0, 0.05), (2, 0.02)):
        track = np.zeros((120, 3))
        track[:, axis] = 0.002 * time
        kept = steady(track, np.ones(120, bool), 0.05, 0.02, up, 9, 5)
        for run in runs(kept):
            assert np.ptp(track[run, axis]) <= 2 * reach + 1e-9
        assert len(runs(kept)) > 2
        assert 0.5 < kept.mean() < 0.95
        np.testing.assert_array_equal(steady(0 * track, kept, 0.05, 0.02, up, 9, 5), kept)


@pytest.mark.parametrize(("bend", "slide"), [(11.0, 0.15), (25.0, 0.5)])
def test_a_foot_out_of_reach_is_let_go_smoothly(bend, slide):
    turned, root = crouch(bend=bend, slide=slide)
    new, new_root, kept = keep_contacts(turned, root, SMPL, fps=60, contact=some(240, 60, 180), settings=HELD)
    after = positions(new, new_root, SMPL)
    assert np.isfinite(after).all()
    assert abs(kept.lifted).max() <= 61
    assert abs(np.diff(kept.lifted / 1000, 2)).max() * 60**2 < 5
    before = positions(turned, root, SMPL)
    for side in ("left", "right"):
        now, old = bend_and_side(after, side)[0], bend_and_side(before, side)[0]
        assert abs(np.diff(now)).max() < 8
        # A leg is not stretched beyond 0.99 of its length, which is 16 degrees, if it was not before.
        assert now.min() > min(15, old.min()) - 0.1
    assert kept.slide_after.max() < kept.slide_before.max()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda t, r: keep_contacts(t, r, SMPL, fps=60, contact=np.zeros((240, 2), bool)),
            "shape of contact: expected (240, 4), received (240, 2)",
        ),
        (
            lambda t, r: keep_contacts(t, r * np.nan, SMPL, fps=60),
            "rotations, transl and offsets: expected finite numbers, received NaN or infinite ones",
        ),
        (
            lambda t, r: keep_contacts(t[:0], r[:0], SMPL, fps=60),
            "rotations: expected at least one frame, received none",
        ),
        (
            lambda t, r: keep_contacts_positions(np.zeros((0, 24, 3)), SMPL.joints, fps=60),
            "positions: expected at least one frame, received none",
        ),
        (
            lambda t, r: keep_contacts(t, r[:5], SMPL, fps=60),
            "shape of transl: expected (240, 3), received (5, 3)",
        ),
        (
            lambda t, r: keep_contacts(
                t, r, Skeleton(SMPL.joints, np.r_[-1, np.zeros(23, np.int64)], SMPL.offsets), fps=60
            ),
            "joint left_knee: expected one that hangs on left_hip, received one that does not",
        ),
        (
            lambda t, r: keep_contacts_positions(r, SMPL.joints, fps=60),
            "shape of positions: expected (T, 24, 3), received (240, 3)",
        ),
        (
            lambda t, r: keep_contacts_positions(np.full((3, 24, 3), np.inf), SMPL.joints, fps=60),
            "positions: expected finite numbers, received NaN or infinite ones",
        ),
        (
            lambda t, r: KeepSettings(ease=(0.3, 0.1)),
            "keep setting ease: expected two positive numbers, the first not above the second, received (0.3, 0.1)",
        ),
        (
            lambda t, r: KeepSettings(level=(1.0, 1.5)),
            "keep setting level: expected two numbers from 0 to 1, received (1.0, 1.5)",
        ),
        (lambda t, r: KeepSettings(pelvis=0), "keep setting pelvis: expected a positive number, received 0"),
        (lambda t, r: KeepSettings(straight=1.2), "keep setting straight: expected at most 1, received 1.2"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call(*crouch())
