"""Selection data: who is kept back, and what the score is."""

from __future__ import annotations

import numpy as np
import pytest

from smoothnet_core import filters, metrics
from smpl_tools.selection import CARD_MEASURES, Selection, keep_back, selection_score
from smpl_tools.sources import PairedClip


def clip(subject="s", mode="static", joints=15, frames=40, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.sin(np.arange(frames)[:, None, None] * 0.2 + 3 * rng.normal(size=(1, joints, 3))).astype(np.float32)
    estimate = (truth + 0.05 * rng.normal(size=truth.shape)).astype(np.float32)
    return PairedClip(f"clip {seed}", mode, subject, 30.0, estimate, truth, np.ones(truth.shape[:2], np.float32))


def test_every_third_subject_is_kept_back():
    clips = [clip(subject) for subject in "gabbfcdea"]
    training, kept = keep_back(clips, Selection())
    assert {c.subject for c in kept} == {"c", "f"}
    assert {c.subject for c in training} == {"a", "b", "d", "e", "g"}
    assert len(training) + len(kept) == len(clips)


def test_named_subjects_are_kept_back():
    clips = [clip(subject) for subject in "abc"]
    training, kept = keep_back(clips, Selection(["b"]))
    assert [c.subject for c in training] == ["a", "c"]
    assert [c.subject for c in kept] == ["b"]
    assert keep_back(clips, None) == (clips, [])


@pytest.mark.parametrize(
    ("subjects", "message"),
    [
        (["d"], r"^select subjects: expected one of a, b, received 'd'$"),
        (["a", "b"], r"^select subjects: expected some subjects left to train on, received all of them kept back$"),
        ("every third subject", r"^select subjects: expected at least three subjects in the sources, received a, b$"),
    ],
)
def test_refused_subjects(subjects, message):
    with pytest.raises(ValueError, match=message):
        keep_back([clip("a"), clip("b")], Selection(subjects))


class Identity:
    """Stands in for a torch network whose NumPy twin gives back its windows."""

    def __init__(self, torch, window):
        w, h = window, 4
        zeros = {"probe": (4, w), "layer1.weight": (h, 4 + 2 * w), "layer1.bias": (h,), "layer2.weight": (h, h)}
        zeros |= {
            "layer2.bias": (h,),
            "gain.weight": (2, h),
            "gain.bias": (2,),
            "analysis": (2, w),
            "synthesis": (w, 2),
        }
        self.tensors = {name: torch.zeros(shape) for name, shape in zeros.items()}

    def state_dict(self):
        return self.tensors


@pytest.mark.parametrize("joints", [15, 17])
def test_the_score_is_what_it_says(joints):
    torch = pytest.importorskip("torch")
    clips = [clip(mode="a", joints=joints), clip(mode="a", joints=joints, frames=70, seed=1)]
    clips += [clip(mode="b", joints=joints, seed=2)]
    metadata = {"architecture": "vector_filter", "window": 16, "hop": 4, "fps": 30.0}
    score = {"mpjpe_mm": 2.0, "speed_ratio": 50.0}
    received = selection_score(clips, score, metadata)(Identity(torch, 16))

    root, limbs = ((7, 8), (5, 6, 11, 12)) if joints == 15 else (None, None)
    errors, speeds = [], []
    for c in clips:
        errors.append(metrics.mpjpe(c.estimate, c.groundtruth, root=root).mean())
        speeds.append(metrics.speed_ratio(c.estimate, c.groundtruth, joints=limbs))
    # Clips of a mode count by their frames, modes alike.
    mean_error = ((40 * errors[0] + 70 * errors[1]) / 110 + errors[2]) / 2
    mean_speed = ((40 * speeds[0] + 70 * speeds[1]) / 110 + speeds[2]) / 2
    assert received == pytest.approx(2 * mean_error + 50 * abs(mean_speed - 1), rel=1e-4)


def test_measures_of_15_joints_are_those_of_the_tables():
    from smpl_tools.paired_scores import MEASURES

    c = clip()
    out = filters.gaussian(c.estimate)
    for name, measure in CARD_MEASURES.items():
        np.testing.assert_array_equal(
            measure.of(out, c.groundtruth, 30.0), MEASURES[name].of(out, c.groundtruth, 30.0), err_msg=name
        )
