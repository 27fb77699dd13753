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
def clip(addon):
    """A clip of a subject whom the network has not seen."""
    return next(iter(accuracy.clips_of(shared("data"), ("94",), 1)))


def test_truth_is_where_blender_sees_it(scene, clip):
    stage = accuracy.Stage(clip, "XYZ")
    places = np.stack([clip.root[:, 0], -clip.root[:, 2], clip.root[:, 1]], axis=1)
    assert np.abs(stage.truth[0][:, 0] - places).max() < 1e-5
    for frame in (1, 37, len(clip.root)):
        bpy.context.scene.frame_set(frame)
        seen = stage.armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
        heads = [seen.matrix_world @ seen.pose.bones[name].head for name in clip.joints]
        assert np.abs(np.array(heads) - stage.truth[0][frame - 1]).max() < 1e-4


@pytest.mark.parametrize("mode", accuracy.MODES)
def test_refined_is_nearer_than_smoothed(scene, clip, mode):
    stage = accuracy.Stage(clip, mode)
    stage.key(*accuracy.jittered(clip, np.random.default_rng(0)))
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
