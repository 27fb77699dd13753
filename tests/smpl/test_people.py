"""Assigning detections to people."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smpl_tools.people import GATE, assign_people, person_sizes

# An upright figure 100 pixels high: head, neck, shoulders, hips, knees, ankles.
FIGURE = np.array(
    [[0, -50], [0, -38], [-11, -36], [11, -36], [-8, 2], [8, 2], [-9, 26], [9, 26], [-9, 50], [9, 50]], float
)


def walk(start: tuple[float, float], velocity: tuple[float, float], frames: int, noise: float = 0.0, seed: int = 0):
    """Return (T, K, 2): the figure moving in a straight line."""
    places = np.array(start) + np.arange(frames)[:, None] * np.array(velocity)
    jitter = np.random.default_rng(seed).normal(0, noise, (frames, *FIGURE.shape)) if noise else 0.0
    return places[:, None] + FIGURE + jitter


def test_one_person_keeps_the_number():
    track = walk((0, 0), (3, 0), 50)
    assert all(ids.tolist() == [0] for ids in assign_people(track[:, None], range(50), max_gap=5))


@pytest.mark.parametrize(("missing", "expected"), [(5, 0), (6, 1)])
def test_a_lost_person_keeps_the_number_within_the_gap_and_not_after(missing, expected):
    track = walk((0, 0), (3, 1), 40)
    kept = [*range(10), *range(10 + missing, 40)]
    detections = [track[t][None] if t in kept else np.empty((0, 10, 2)) for t in range(40)]
    ids = assign_people(detections, range(40), max_gap=5)
    assert ids[9].tolist() == [0]
    assert ids[10].tolist() == []
    assert ids[10 + missing].tolist() == [expected]
    # Frames that are missing altogether are the same gap.
    again = assign_people([track[t][None] for t in kept], kept, max_gap=5)
    assert again[10].tolist() == [expected]


def test_the_gate_keeps_strangers_apart():
    size = person_sizes(FIGURE[None])[0]
    near, far = (FIGURE + np.array([share * GATE * size, 0]) for share in (0.9, 1.1))
    assert assign_people([FIGURE[None], near[None]], [0, 1], max_gap=9)[1].tolist() == [0]
    assert assign_people([FIGURE[None], far[None]], [0, 1], max_gap=9)[1].tolist() == [1]


def test_a_detection_without_keypoints_is_nobody():
    nothing = np.full_like(FIGURE, np.nan)
    ids = assign_people([np.stack([nothing, FIGURE]), np.stack([FIGURE, nothing])], [0, 1], max_gap=3)
    assert [i.tolist() for i in ids] == [[-1, 0], [0, -1]]


def test_a_fragment_does_not_take_the_place_of_the_whole():
    track = walk((0, 0), (4, 0), 10, noise=2.0)
    fragment = np.full_like(FIGURE, np.nan)
    fragment[:2] = walk((0, 0), (4, 0), 10)[5, :2]
    detections = [track[t][None] for t in range(10)]
    detections[5] = np.stack([fragment, track[5]])
    assert assign_people(detections, range(10), max_gap=3)[5].tolist() == [1, 0]


def test_a_keypoint_unseen_for_long_moves_with_the_body():
    track = walk((0, 0), (6, 0), 30)
    track[1:29, :5] = np.nan
    last = track[29].copy()
    last[5:] = np.nan
    ids = assign_people([*track[:29, None], last[None]], range(30), max_gap=3)
    assert ids[29].tolist() == [0]


def test_three_dimensions_and_single_points():
    points = np.zeros((4, 1, 1, 3))
    points[:, 0, 0, 2] = [0.0, 0.1, 0.2, 50.0]
    assert [i.tolist() for i in assign_people(points, range(4), max_gap=3)] == [[0], [0], [0], [1]]


def test_nobody_anywhere():
    assert [i.tolist() for i in assign_people([np.empty((0, 25, 2))] * 2, [0, 1], max_gap=3)] == [[], []]
    assert assign_people([], [], max_gap=3) == []


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([0], "frame numbers: expected 2, one for each frame, received 1"),
        ([1, 1], "frame numbers: expected strictly increasing, received a repeated or falling number"),
    ],
)
def test_frame_numbers_are_checked(frames, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        assign_people([FIGURE[None]] * 2, frames, max_gap=3)


FRAMES = 40
ORDERS = st.lists(st.permutations([0, 1]), min_size=FRAMES, max_size=FRAMES)


@settings(max_examples=40, deadline=None)
@given(
    orders=ORDERS,
    left=st.floats(3, 12),
    right=st.floats(3, 12),
    lower=st.floats(-30, 30),
    hidden=st.integers(0, 8),
    seed=st.integers(0, 99),
)
def test_two_people_who_cross_stay_themselves(orders, left, right, lower, hidden, seed):
    middle = FRAMES / 2 + 0.3
    one = walk((-left * middle, 0), (left, 0), FRAMES, noise=0.7, seed=seed)
    two = walk((right * middle, lower), (-right, 0), FRAMES, noise=0.7, seed=seed + 100)
    both = np.stack([one, two], axis=1)
    # The second may be hidden by the first while they pass.
    begin = FRAMES // 2 - hidden // 2
    detections, truth = [], []
    for t, order in enumerate(orders):
        shown = [p for p in order if not (p == 1 and begin <= t < begin + hidden)]
        detections.append(both[t, shown])
        truth.append(shown)
    ids = assign_people(detections, range(FRAMES), max_gap=30)
    first = dict(zip(truth[0], ids[0].tolist(), strict=True))
    assert [[first[p] for p in shown] for shown in truth] == [i.tolist() for i in ids]


@settings(max_examples=30, deadline=None)
@given(orders=ORDERS, scale=st.floats(1e-3, 1e3), shift=st.floats(-500, 500))
def test_order_scale_and_place_do_not_matter(orders, scale, shift):
    tracks = [walk((-60, 0), (3, 0), FRAMES, 1.0, 1), walk((60, 10), (-3, 1), FRAMES, 1.0, 2)]
    both = np.stack(tracks, axis=1)
    plain = assign_people(list(both), range(FRAMES), max_gap=5)
    changed = [(both[t, order] + shift) * scale for t, order in enumerate(orders)]
    ids = assign_people(changed, range(FRAMES), max_gap=5)
    names = dict(zip(plain[0][orders[0]].tolist(), ids[0].tolist(), strict=True))
    assert all([names[n] for n in p[o].tolist()] == i.tolist() for p, o, i in zip(plain, orders, ids, strict=True))


def test_the_assignment_is_the_cheapest_of_all():
    rng = np.random.default_rng(5)
    before = FIGURE + rng.uniform(-40, 40, (5, 1, 2))
    after = before + rng.normal(0, 12, (5, 1, 2))
    ids = assign_people([before, after], [0, 1], max_gap=1)[1]
    size = person_sizes(before)
    cost = np.linalg.norm(after[None] - before[:, None], axis=-1).mean(-1) / size[:, None]
    assert cost.min(axis=1).max() < GATE
    best = min(itertools.permutations(range(5)), key=lambda p: sum(min(cost[p[j], j], GATE) for j in range(5)))
    assert ids.tolist() == list(best)


def test_size_is_about_the_height_and_ignores_one_wrong_keypoint():
    wrong = FIGURE.copy()
    wrong[9] = [5000, 5000]
    nothing = np.full_like(FIGURE, np.nan)
    sizes = person_sizes(np.stack([FIGURE, 2 * FIGURE, wrong, nothing]))
    assert 80 < sizes[0] < 180
    assert sizes[1] == pytest.approx(2 * sizes[0])
    assert sizes[2] < 1.5 * sizes[0]
    assert sizes[3] == 0
