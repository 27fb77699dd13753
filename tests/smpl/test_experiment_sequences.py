"""What the studies' networks are trained on and compared with, as far as it needs no torch."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smpl_tools.experiments.backbones import LIFTERS, SCORED
from smpl_tools.experiments.backbones_epochs import _against_the_paper, _Course
from smpl_tools.experiments.backbones_stages import _behind
from smpl_tools.experiments.refinenet import _turned
from smpl_tools.experiments.refinenet_energy import Energy, energy, least_energy
from smpl_tools.experiments.sequences import Crops, Example
from smpl_tools.inverse_kinematics import JOINTS


def ramps(*lengths):
    """Return examples whose numbers say where they come from: 1000 a clip and 1 a frame."""
    for index, length in enumerate(lengths):
        ramp = (1000 * index + np.arange(length, dtype=np.float32))[:, None]
        yield Example(f"clip {index}", ramp, ramp.repeat(2, axis=1))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(0, 5), st.integers(0, 99))
def test_crops_are_runs_of_frames_with_their_context(frames, margin, seed):
    inputs, truth = Crops(list(ramps(5, 30, 12)), frames, margin, 8, seed).batch()
    assert inputs.shape == (8, frames + 2 * margin, 1)
    assert truth.shape == (8, frames, 2)
    for given_inputs, wanted in zip(inputs[..., 0], truth[..., 0], strict=True):
        length = {0: 5, 1: 30, 2: 12}[wanted[0] // 1000]
        assert wanted.tolist() == list(wanted[0] + np.arange(frames))
        around = wanted[0] % 1000 + np.arange(-margin, frames + margin)
        assert (given_inputs % 1000).tolist() == around.clip(0, length - 1).tolist()


def test_crops_continue_where_their_state_was_taken():
    crops = Crops(list(ramps(40, 50)), 8, 0, 4, seed=3)
    crops.batch()
    state = json.loads(json.dumps(crops.state()))
    expected = crops.batch()
    other = Crops(list(ramps(40, 50)), 8, 0, 4, seed=9)
    other.restore(state)
    for array, wanted in zip(other.batch(), expected, strict=True):
        np.testing.assert_array_equal(array, wanted)
    assert crops.epoch == round(90 / 32)


def test_crops_may_vary_at_random_and_still_be_repeated():
    def moved(rng, inputs, truth):
        by = rng.integers(1, 9)
        return inputs + by, truth + by

    crops, plain = Crops(list(ramps(40)), 8, 0, 4, 3, moved), Crops(list(ramps(40)), 8, 0, 4, 3)
    state = crops.state()
    inputs, truth = crops.batch()
    assert len(np.unique(truth - plain.batch()[1])) == 1
    crops.restore(state)
    np.testing.assert_array_equal(crops.batch()[0], inputs)


def test_turned_and_mirrored_crops_stay_the_same_motion():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(64, 3, 15, 3)).astype(np.float32)
    estimate = truth + rng.normal(size=truth.shape).astype(np.float32)
    # The confidence of a joint tells its height, which no turn about the vertical changes.
    inputs = np.concatenate([estimate.reshape(64, 3, 45), truth[..., 1]], axis=-1)
    seen, wanted = _turned(np.random.default_rng(1), inputs, truth.reshape(64, 3, 45))
    new_estimate, new_truth = (a.reshape(64, 3, 15, 3) for a in (seen[..., :45], wanted))
    np.testing.assert_allclose(seen[..., 45:], new_truth[..., 1], atol=1e-6)
    nose = [np.linalg.norm(a[0] - a[1], axis=-1)[..., 0] for a in ((estimate, truth), (new_estimate, new_truth))]
    np.testing.assert_allclose(*nose, atol=1e-5)
    mirrored = np.abs(new_truth[..., 1] - truth[..., 1]).max(axis=(1, 2)) > 0.1
    assert 16 < mirrored.sum() < 48
    joint = {name: JOINTS.index(name) for name in ("nose", "left_hip", "right_hip")}
    for crop, (old, new) in enumerate(zip(truth, new_truth, strict=True)):
        # A triple product of three joints changes its sign in a mirror, and left is right there.
        left, right = ("right_hip", "left_hip") if mirrored[crop] else ("left_hip", "right_hip")
        before = np.linalg.det(old[:, [joint["nose"], joint["left_hip"], joint["right_hip"]]])
        after = np.linalg.det(new[:, [joint["nose"], joint[left], joint[right]]])
        np.testing.assert_allclose(after, -before if mirrored[crop] else before, rtol=1e-3, atol=1e-4)


def test_no_clip_is_long_enough():
    with pytest.raises(
        ValueError, match=r"^training clips: expected at least one of 9 frames or more, received none of 2$"
    ):
        Crops(list(ramps(5, 8)), 9, 0, 4, seed=0)


def scene(seed, frames=24, joints=2):
    rng = np.random.default_rng(seed)
    truth = np.sin(0.1 * np.arange(frames)[:, None, None] + rng.normal(size=(1, joints, 3)))
    return truth + 0.05 * rng.normal(size=truth.shape), rng.random(frames), truth


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 30), st.floats(0, 10), st.integers(1, 30), st.floats(0.01, 1))
def test_the_energy_never_rises(seed, smooth, bridge, stride, cap):
    estimate, visibility, _ = scene(seed)
    weights = Energy(smooth, bridge, stride, cap)
    refined = least_energy(estimate, visibility, weights)
    assert np.isfinite(refined).all()
    before, after = (energy(x, estimate, visibility, weights) for x in (estimate, refined))
    assert after <= before + 1e-9


@pytest.mark.parametrize("stride", [5, 23, 40])
def test_without_a_cap_it_is_the_solution_of_a_dense_linear_system(stride):
    estimate, visibility, _ = scene(4)
    weights = Energy(smooth=2.5, bridge=1.5, stride=stride, cap=math.inf)
    frames = len(estimate)
    # A median over 9 frames, the ends repeated; the least visibility is 0.01.
    wide = np.pad(visibility, 4, mode="edge")
    seen = np.array([max(0.01, np.median(wide[t : t + 9])) for t in range(frames)])
    system = np.diag(seen)
    for step, weight in ((1, np.full(frames, 2.5)), (stride, 1.5 * (1 - seen))):
        for t in range(frames - step):
            row = np.zeros(frames)
            row[[t, t + step]] = -1, 1
            system += weight[t] * np.outer(row, row)
    expected = np.linalg.solve(system, (seen[:, None, None] * estimate).reshape(frames, -1))
    refined = least_energy(estimate, visibility, weights)
    np.testing.assert_allclose(refined.reshape(frames, -1), expected, atol=1e-9)


def test_a_cap_ignores_what_is_far_off():
    _, _, truth = scene(1)
    spoilt = truth.copy()
    spoilt[10:13] += 3.0
    refined = least_energy(spoilt, np.ones(24), Energy(smooth=1.0, bridge=0.0, cap=0.2))
    assert np.abs(refined - truth).max() < 0.1
    believed = least_energy(spoilt, np.ones(24), Energy(smooth=1.0, bridge=0.0, cap=10.0))
    assert np.abs(believed - truth).max() > 1.0


def test_what_nobody_sees_is_bridged():
    standing = np.ones((60, 2, 3))
    hidden = (np.arange(60) > 20) & (np.arange(60) < 40)
    spoilt = standing + hidden[:, None, None]
    visibility = (~hidden).astype(float)
    left, alone, bridged = (
        np.abs(least_energy(spoilt, visibility, weights) - standing).max()
        for weights in (Energy(0.0, 0.0, cap=9.0), Energy(0.5, 0.0, cap=9.0), Energy(0.5, 1.0, cap=9.0))
    )
    assert left > 0.99
    assert bridged < alone / 2 < 0.3


def test_visibility_must_have_the_frames_of_the_estimate():
    with pytest.raises(
        ValueError, match=r"^shape of visibility: expected \(24,\), as the estimate's frames, received \(23,\)$"
    ):
        least_energy(scene(0)[0], np.ones(23), Energy())


def test_the_papers_observations_are_held_against_the_numbers():
    def course(heading, loss, *scores):
        points = [{"mpjpe_mm": m, "accel_mm_per_frame2": a} for m, a in scores]
        return _Course(heading, loss, points, points)

    said = _against_the_paper(
        LIFTERS,
        [
            course("1 frame", "L1", (90, 20), (80, 25)),
            course("1 frame", "L1 + accel", (90, 20), (85, 15)),
            course("27 frames", "L1", (90, 20), (82, 10)),
            course("27 frames", "L1 + accel", (90, 20), (81, 8)),
        ],
    )
    assert said.split("; ") == [
        "the Accel of a single-frame network rises with the epochs: so here (20.0 to 25.0)",
        "several frames lower MPJPE: not so here (80.0 to 82.0)",
        "several frames lower Accel: so here (25.0 to 10.0)",
        "an acceleration loss lowers Accel and raises MPJPE (1 frame): so here "
        "(MPJPE 80.0 to 85.0, Accel 25.0 to 15.0)",
        "an acceleration loss lowers Accel and raises MPJPE (27 frames): not so here "
        "(MPJPE 82.0 to 81.0, Accel 10.0 to 8.0).",
    ]


def test_a_strategy_is_behind_whatever_has_the_lower_error():
    def scores(accel, error, speed):
        return dict.fromkeys(SCORED, error) | {"accel_mm_per_frame2": accel, "speed_ratio": speed}

    table = {"ours": scores(5.0, 80.0, 0.9), "smooth": scores(4.0, 90.0, 0.3), "raw": scores(30.0, 80.0, 2.0)}
    said = "`ours` (speed 0.90) is behind in Accel mm/frame² 5.00 (smooth: 4.00 at speed 0.30)."
    assert _behind("ours", table) == said
    assert _behind("ours", {"ours": table["ours"]}) == "`ours` (speed 0.90) has the lowest of every error."
