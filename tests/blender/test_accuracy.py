"""On an armature whose true motion is known, refined keys are nearer to it than keys smoothed by Blender."""

from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from benchmarks import blender_accuracy as accuracy
from tests.helpers import shared

# Found by the benchmark on clips of other subjects, as it searches: for the place of joints and for angles.
RIVALS = {
    "butterworth, tuned for world mm": ("butterworth", {"cutoff_frequency": 2.5, "filter_order": 1}),
    "gaussian, tuned for world mm": ("gaussian", {"sigma": 0.5, "filter_width": 4, "factor": 1.0}),
    "butterworth, tuned for degrees": ("butterworth", {"cutoff_frequency": 5.0, "filter_order": 1}),
    "gaussian, tuned for degrees": ("gaussian", {"sigma": 0.5, "filter_width": 2, "factor": 1.0}),
}


@pytest.fixture(scope="module")
def clips(addon):
    """Clips of subjects whom the network has not seen: one dances, one is an acrobat."""
    return {subject: next(accuracy.clips_of(shared("data"), (subject,), 1)) for subject in accuracy.REPORTED_ON}


def test_truth_is_where_blender_sees_it(scene, clips):
    clip = clips["94"]
    stage = accuracy.Stage(clip, "XYZ")
    places = np.stack([clip.root[:, 0], -clip.root[:, 2], clip.root[:, 1]], axis=1)
    assert np.abs(stage.truth[0][:, 0] - places).max() < 1e-5
    for frame in (1, 37, len(clip.root)):
        bpy.context.scene.frame_set(frame)
        seen = stage.armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
        heads = [seen.matrix_world @ seen.pose.bones[name].head for name in clip.joints]
        assert np.abs(np.array(heads) - stage.truth[0][frame - 1]).max() < 1e-4


@pytest.mark.parametrize(("subject", "mode"), [("94", "QUATERNION"), ("94", "XYZ"), ("85", "QUATERNION")])
def test_refined_is_nearer_than_smoothed(scene, clips, subject, mode):
    stage = accuracy.Stage(clips[subject], mode)
    stage.key(*accuracy.jittered(clips[subject], np.random.default_rng(0)))
    found = {name: stage.smoothed(operator, [setting])[0] for name, (operator, setting) in RIVALS.items()}
    disturbed = stage.scores()
    refined = stage.refined()
    for error in accuracy.ERRORS:
        assert refined[error] < 0.95 * disturbed[error]
        for name, scores in found.items():
            assert scores[error] != disturbed[error], name  # It did smooth.
            assert refined[error] < scores[error], name
    assert 0.9 < refined["speed"] < 1.1
    assert refined["jitter"] < 1.5


def test_the_truth_itself_hardly_changes(scene, clips):
    """Motion as fast as it gets, without any error."""
    for clip in clips.values():
        stage = accuracy.Stage(clip, "QUATERNION")
        refined = stage.refined()
        assert refined["degrees"] < 0.6
        assert 0.98 < refined["speed"] < 1.02
