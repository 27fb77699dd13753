"""The studies that train the published network: quick runs on small data, and what an independent oracle can check."""

from __future__ import annotations

import importlib
import json
import math
import re
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smoothnet_core import metrics
from smoothnet_core._checks import MissingExtraError
from smoothnet_core.model import load_model
from smoothnet_core.models.sizes import PublishedSizes, Sizes
from smpl_tools.experiments import architectures, matrix, motions, normalisation, short_training, spaces
from smpl_tools.experiments.frame import Bench
from smpl_tools.experiments.images import image_clips
from smpl_tools.experiments.matrix import Column
from smpl_tools.experiments.refiners import raw
from smpl_tools.experiments.rotations import rotation_clips
from smpl_tools.experiments.short_training import Terms, by_channel, train_short
from smpl_tools.experiments.table import run_study
from smpl_tools.inverse_kinematics import TURNING, joints_to_rotations
from smpl_tools.paired_scores import COLUMNS, MEASURES, PIXEL_MEASURES, paired_scores
from smpl_tools.sources import MODES
from tests.smpl import experiment_data

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")
ARCHITECTURES = importlib.import_module("smoothnet_core.training.architectures").ARCHITECTURES
from_tensors = importlib.import_module("smoothnet_core.models.published").from_tensors

FILTER = "median 5, 1.5"
BY_MODE = [(mode,) for mode in MODES]
SIZES = ("512/16/1", "512/128/5", "512/256/3", "512/512/5")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two subjects of each source, one to train on and one to validate on; clips as long as the longest window."""
    folder = tmp_path_factory.mktemp("data")
    splits = {"train": {"walk": "cmu7", "idle": "react1"}, "val": {"dance": "cmu60", "rest": "react2"}}
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(experiment_data, "FRAMES", 66)
        experiment_data.write_data(folder)
        for seed, (name, subject) in enumerate((splits["train"] | splits["val"]).items()):
            arrays: Any = experiment_data.paired_arrays(subject, seed)
            np.savez(folder / "paired" / f"{name}.npz", **arrays)
    (folder / "paired" / "splits.json").write_text(json.dumps({split: list(names) for split, names in splits.items()}))
    return folder


@pytest.fixture(scope="module")
def bench(data):
    return Bench(data, quick=True)


def names_by_group(table):
    groups: dict[str, list[str]] = {}
    for row in table.rows:
        groups.setdefault(row[0], []).append(row[1])
    return groups


# The studies: how the rows of each first table are grouped, and its trained networks.
ROWS = {
    "losses": (
        MODES,
        ["position", "acceleration", "position + acceleration", "position + acceleration + speed"],
    ),
    "windows": (MODES, ["window 8", "window 16", "window 32", "window 64"]),
    "normalisation": (
        ("static", "video smoothed"),
        [
            "no normalisation",
            "by the input's statistics",
            "by the truth's statistics",
            "raw, by the truth's statistics",
        ],
    ),
    "architectures": (MODES, [*(f"SmoothNet {sizes}" for sizes in SIZES), "motion-aware 512/16/1", "ours"]),
    "modes": (
        ("MPJPE mm", "PA-MPJPE mm", "Accel mm/frame²", "speed", "jitter"),
        [f"trained on {what}" for what in (*MODES, "all three")],
    ),
    "representations": (
        (
            "MPJPE px / MPJPE mm",
            "PA-MPJPE px / PA-MPJPE mm",
            "Accel px/frame² / Accel mm/frame²",
            "speed",
            "jitter",
        ),
        ["trained on 2D", "trained on 3D", "trained on 6D"],
    ),
    "data": (
        ("MPJPE mm", "PA-MPJPE mm", "Accel mm/frame²", "speed", "jitter"),
        ["trained on CMU", "trained on ReActIdle", "trained on CMU + noise"],
    ),
}


def checked(result):
    """Check what every result must be, and return its first table."""
    for table in result.tables:
        assert {len(row) for row in table.rows} == {len(table.columns)}
        for row in table.rows:
            for value, decimals in zip(row, table.columns.values(), strict=True):
                assert isinstance(value, str) if decimals is None else math.isfinite(value), row
    assert "`default` is behind" in result.losses or "nowhere" in result.losses
    assert "3,000 steps of 16 windows" in result.differs
    return result.tables[0]


@pytest.mark.parametrize("name", ROWS)
def test_quick(bench, name):
    table = checked(run_study(name, bench))
    groups, trained = ROWS[name]
    assert names_by_group(table) == {group: ["raw", FILTER, *trained, "default"] for group in groups}


def test_quick_modalities(bench):
    table = checked(run_study("modalities", bench))
    both = ["trained on 6D rotation", "trained on 3D position"]
    assert names_by_group(table) == {
        "angle-axis": ["raw", "trained on angle-axis"],
        "quaternion": ["raw", "trained on quaternion"],
        "6D rotation": ["raw", FILTER, *both, "default"],
        "3D position": ["raw", FILTER, *both, "default"],
    }
    # The same errors in whatever numbers, but for the frame that is interpolated.
    raw = np.array([row[2:] for row in table.rows if row[1] == "raw"])
    np.testing.assert_allclose(raw, np.broadcast_to(raw[0], raw.shape), rtol=0.05)


def test_columns_of_the_matrices(bench):
    for name, columns in {
        "modes": list(MODES),
        "representations": ["2D", "3D", "6D"],
        "data": ["CMU", "ReActIdle", "CMU + noise"],
    }.items():
        assert list(run_study(name, bench).tables[0].columns) == ["measure", "refiner", *columns]


def test_the_study_of_modes_says_how_to_train_for_the_one_of_unseen_modes(bench):
    differs = run_study("modes", bench).differs
    assert "--model without-static=FILE --model without-cmu13=FILE" in differs


# What networks cost


def linear(inputs, outputs):
    return inputs * outputs


def published_products(window, hidden, bottleneck, blocks):
    return 2 * linear(window, hidden) + 2 * blocks * linear(hidden, bottleneck)


def test_costs_by_hand(bench):
    table = run_study("architectures", bench).tables[1]
    found = {row[0]: row[1:] for row in table.rows}
    expected = {}
    for sizes in SIZES:
        hidden, bottleneck, blocks = map(int, sizes.split("/"))
        products = published_products(32, hidden, bottleneck, blocks)
        biases = hidden + 32 + blocks * (hidden + bottleneck)
        expected[f"SmoothNet {sizes}"] = [(products + biases) / 1000, 32, 1, 2 * products / 1000]
    branches = sum(published_products(window, 512, 16, 1) + 2 * 512 + window + 16 for window in (32, 31, 30))
    products = sum(published_products(window, 512, 16, 1) for window in (32, 31, 30)) + linear(93, 32)
    expected["motion-aware 512/16/1"] = [(branches + linear(93, 32) + 32) / 1000, 32, 1, 2 * products / 1000]
    for name, numbers in expected.items():
        assert found[name] == pytest.approx(numbers), name
    # Ours: probes, perceptron, filters there and back; the perceptron is shared by a joint's three channels.
    by_joint = linear(128 + 64, 192) + linear(192, 192) + linear(192, 128)
    by_channel_ = linear(32, 128) + 2 * linear(32, 128)
    assert found["ours"][2:] == pytest.approx([8, 2 * (by_channel_ + by_joint / 3) / 8 / 1000])
    # The paper's sizes as its page of facts has them.
    assert [found[f"SmoothNet {sizes}"][0] for sizes in SIZES] == [50.224, 691.872, 822.048, 2659.872]
    assert found["default"][0] == architectures.parameters(load_model("default")) / 1000


# Training


def tensors_of(model):
    return {name: np.array(tensor) for name, tensor in model.tensors.items()}


def same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_a_network_is_trained_once_and_what_ran_before_changes_nothing(bench, monkeypatch):
    monkeypatch.setattr(short_training, "_trained", {})
    said = []
    clips = bench.training
    bench = Bench(bench.data, quick=True, say=said.append)
    first = train_short(bench, clips)
    # Copies of the arrays are the same data.
    assert train_short(bench, [replace(clip, estimate=clip.estimate.copy()) for clip in clips]) is first
    assert said == ["  training smoothnet, 210 windows of 32 frames"]
    others = [
        train_short(bench, clips[:3]),
        train_short(bench, [replace(clip, groundtruth=clip.groundtruth + 1) for clip in clips]),
        train_short(bench, clips, terms=Terms(speed=1.0)),
        train_short(bench, clips, sizes=PublishedSizes(bottleneck=4)),
    ]
    for other in others:
        assert not same(tensors_of(first), tensors_of(other) | {"res_blocks.0.linear1.weight": np.zeros(1)})
    short_training._trained.clear()
    again = train_short(bench, clips)
    assert again is not first
    assert same(tensors_of(first), tensors_of(again))


def test_what_a_trained_model_says_of_itself(bench):
    published = train_short(bench, bench.training, sizes=PublishedSizes(8, hidden=12, bottleneck=4))
    assert (published.is_published, published.window, published.hop, published.fps) == (True, 8, 1, 30.0)
    ours = train_short(bench, bench.training, architecture="vector_filter", sizes=Sizes(16, 8, 8, 8))
    assert (ours.is_published, ours.window, ours.hop) == (False, 16, 8)


def test_training_lowers_the_loss(bench, monkeypatch):
    clips = [clip for clip in bench.training if clip.mode == "static"]
    sizes = PublishedSizes(8, hidden=64, bottleneck=8, dropout=0.0)
    before = train_short(bench, clips, sizes=sizes)
    monkeypatch.setattr(short_training, "_QUICK_STEPS", 300)
    monkeypatch.setattr(short_training, "_trained", {})
    after = train_short(bench, clips, sizes=sizes)

    def error(model):
        return paired_scores(clips, by_channel(model), {"e": MEASURES["mpjpe_mm"]})["static"]["e"]

    assert error(after) < 0.3 * error(before)


def test_the_terms_of_the_loss_by_hand():
    rng = np.random.default_rng(0)
    estimate, truth = rng.normal(size=(2, 4, 9, 3))
    batch = SimpleNamespace(
        estimate=torch.from_numpy(estimate), groundtruth=torch.from_numpy(truth), quality=torch.ones(4, 9, 2)
    )

    def speed(track):
        return np.sqrt((np.linalg.norm(np.diff(track, axis=1), axis=-1) ** 2).mean(axis=1))

    parts = [
        np.abs(estimate - truth).mean(),
        np.abs(np.diff(estimate, 2, axis=1) - np.diff(truth, 2, axis=1)).mean(),
        np.abs(speed(estimate) - speed(truth)).mean(),
    ]
    for terms in (Terms(), Terms(acceleration=0.0), Terms(position=0.0), Terms(speed=1.0), Terms(2.0, 3.0, 4.0)):
        found = short_training._loss(ARCHITECTURES["smoothnet"], terms)(lambda windows: windows, batch)
        assert found.item() == pytest.approx(np.dot([terms.position, terms.acceleration, terms.speed], parts))


def test_a_network_sees_every_number_as_it_is(bench):
    model = train_short(bench, bench.training, sizes=PublishedSizes(8, hidden=12, bottleneck=4))
    clip = bench.validation[0]
    filled = raw(clip).reshape(len(clip.estimate), -1)
    windows = np.lib.stride_tricks.sliding_window_view(filled, 8, axis=0).copy()
    with torch.no_grad():
        refined = from_tensors(model.tensors)(torch.from_numpy(windows)).numpy()
    # The plain mean over the eight windows that see frame 20.
    expected = np.mean([refined[20 - k, :, k] for k in range(8)], axis=0)
    np.testing.assert_allclose(by_channel(model)(clip)[20].ravel(), expected, atol=1e-6)


def test_a_window_longer_than_every_clip_is_refused(bench):
    clips = [
        replace(c, **{k: getattr(c, k)[:20] for k in ("estimate", "groundtruth", "confidence")}) for c in bench.training
    ]
    with pytest.raises(
        ValueError, match=r"^paired clips: expected at least one of 32 frames or more, received none of 6$"
    ):
        train_short(bench, clips)


@pytest.mark.parametrize("missing", ["torch", "lightning_fabric"])
def test_without_an_extra_the_message_says_what_to_install(bench, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    message = rf"^{missing} is not installed; add it with: pip install 'smoothnet\[train\]'$"
    with pytest.raises(MissingExtraError, match=message):
        train_short(bench, bench.training, sizes=PublishedSizes(5))


# The same motion in other numbers


def test_points_of_the_picture_are_seen_from_minus_one_to_one_and_measured_in_pixels(bench):
    space = spaces.picture(bench)
    pixels = image_clips(bench, bench.validation)
    numbers = space.clips(bench.validation)
    np.testing.assert_allclose(numbers[0].estimate, pixels[0].estimate / 224 - 1, atol=1e-6)
    assert np.isnan(numbers[0].estimate[5]).all()
    found = paired_scores(numbers, raw, space.measures)
    expected = paired_scores(pixels, raw, PIXEL_MEASURES)
    for mode in MODES:
        assert list(found[mode]) == list(spaces.METRES)
        np.testing.assert_allclose(list(found[mode].values()), list(expected[mode].values()), rtol=1e-4)


def test_rotations_in_every_form_are_those_of_inverse_kinematics(bench):
    clip = bench.validation[0]
    matrices = joints_to_rotations(clip.estimate[:5])
    by_scipy = Rotation.from_matrix(matrices.reshape(-1, 3, 3))
    found = {name: space.clips([clip])[0] for name, space in spaces.rotations().items()}
    assert [track.estimate.shape[1:] for track in found.values()] == [(14, 3), (14, 4), (14, 6), (15, 3)]
    quat = by_scipy.as_quat()[:, [3, 0, 1, 2]]
    quat *= np.where(quat[:, :1] < 0, -1, 1)
    shape = (5, len(TURNING), -1)
    np.testing.assert_allclose(found["angle-axis"].estimate[:5], by_scipy.as_rotvec().reshape(shape), atol=1e-5)
    np.testing.assert_allclose(found["quaternion"].estimate[:5], quat.reshape(shape), atol=1e-5)
    np.testing.assert_allclose(
        found["6D rotation"].estimate[:5], np.concatenate([matrices[..., 0], matrices[..., 1]], axis=-1), atol=1e-5
    )
    # The truth was made of this skeleton, so its joints are the clip's own.
    np.testing.assert_allclose(found["3D position"].groundtruth, clip.groundtruth, atol=1e-5)
    for track in found.values():
        assert track.confidence.shape == track.estimate.shape[:2]


def test_gaps_are_filled_by_turning_half_way_where_numbers_jump(bench):
    clip = bench.validation[0]
    found = {name: space.clips([clip])[0] for name, space in spaces.rotations().items()}
    for name in ("6D rotation", "3D position"):
        np.testing.assert_array_equal(found[name].detected, clip.detected)
    four, six = (Rotation.from_matrix(joints_to_rotations(clip.estimate[t])) for t in (4, 6))
    expected = Rotation.from_rotvec((six * four.inv()).as_rotvec() / 2) * four
    for name, read in (("angle-axis", Rotation.from_rotvec), ("quaternion", _from_wxyz)):
        assert found[name].detected.all()
        apart = (read(found[name].estimate[5]) * expected.inv()).magnitude()
        assert np.degrees(apart).max() < 2


def _from_wxyz(quat_wxyz):
    return Rotation.from_quat(quat_wxyz[:, [1, 2, 3, 0]])


def test_all_forms_are_measured_by_the_same_joints(bench):
    clip = bench.validation[0]
    clip = replace(clip, **{key: getattr(clip, key)[6:] for key in ("estimate", "groundtruth", "confidence")})
    scores = {}
    for name, space in spaces.rotations().items():
        scores[name] = paired_scores(space.clips([clip]), lambda c: c.estimate, space.measures)["static"]
    for by_measure in scores.values():
        np.testing.assert_allclose(list(by_measure.values()), list(scores["3D position"].values()), rtol=1e-3)
    assert scores["quaternion"]["mpjpe"] > 1


# Normalisation


def test_normalised_estimates_have_no_mean_and_unit_deviation(bench):
    clip = bench.validation[0]
    shown = normalisation.normalised(clip, normalisation.of_estimate)
    np.testing.assert_allclose(shown.estimate.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(shown.estimate.std(axis=0), 1, atol=1e-4)
    mean, deviation = raw(clip).mean(axis=0), raw(clip).std(axis=0)
    np.testing.assert_allclose(shown.groundtruth, (clip.groundtruth - mean) / deviation, rtol=1e-3, atol=1e-4)
    by_truth = normalisation.normalised(clip, normalisation.of_truth)
    np.testing.assert_array_equal(by_truth.estimate, shown.estimate)
    np.testing.assert_allclose(by_truth.groundtruth.mean(axis=0), 0, atol=1e-4)


def test_a_joint_that_stands_still_is_not_blown_up(bench):
    clip = bench.validation[0]
    still = replace(clip, estimate=np.ones_like(clip.estimate))
    assert np.abs(normalisation.normalised(still, normalisation.of_estimate).estimate).max() == 0


def test_the_output_is_brought_back_to_the_statistics_named(bench):
    clip = bench.validation[0]
    back = normalisation.within(lambda c: c.estimate, normalisation.of_estimate)(clip)
    np.testing.assert_allclose(back, raw(clip), atol=1e-5)
    truth = normalisation.within(lambda c: c.groundtruth, normalisation.of_truth)(clip)
    np.testing.assert_allclose(truth, clip.groundtruth, atol=1e-5)
    moved = normalisation.within(lambda c: c.estimate, normalisation.of_truth)(clip)
    np.testing.assert_allclose(moved.mean(axis=0), clip.groundtruth.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(moved.std(axis=0), clip.groundtruth.std(axis=0), atol=1e-5)


# Data


def test_noisy_clips_are_of_the_subjects_asked_for_and_as_noisy_as_stated(data):
    whole = Bench(data)
    assert {clip.subject for clip in motions._noisy(whole, leave_out=["60"])} == {"13", "7"}
    clips = motions._noisy(whole, keep=["60"])
    assert {clip.subject for clip in clips} == {"60"}
    np.testing.assert_array_equal(motions._noisy(whole, keep=["60"])[0].estimate, clips[0].estimate)
    clips = motions._noisy(whole)
    errors = np.concatenate([metrics.mpjpe(clip.estimate, clip.groundtruth) for clip in clips])
    assert errors.mean() == pytest.approx(48.42, rel=0.15)
    assert {(clip.fps, clip.groundtruth.shape[1]) for clip in clips} == {(30.0, 3)}
    assert not clips[0].groundtruth[:, 0].any()


def test_no_network_learns_from_subjects_that_it_is_tested_on(bench, monkeypatch):
    seen = {}
    monkeypatch.setattr(motions, "train_short", lambda bench, clips: seen.setdefault(len(seen), clips) and None)
    monkeypatch.setattr(motions, "by_channel", lambda model: raw)
    result = motions.run(bench)
    assert [{clip.subject for clip in clips} for clips in seen.values()] == [{"cmu7"}, {"react1"}, {"13", "7"}]
    assert "on clean motion of the same CMU subjects, 60, whom no training clip shows" in result.tables[0].protocol


def test_validation_without_a_subject_of_cmu_is_refused(data):
    bench = Bench(data, quick=True)
    bench.__dict__["validation"] = [clip for clip in bench.validation if clip.subject == "react2"]
    message = "subjects of the validation clips: expected one or more of CMU, received react2"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        motions.run(bench)


# The matrix


def test_a_column_counts_its_clips_together_whatever_their_modes(bench):
    columns = {"all": Column(bench.validation, spaces.METRES), "one": Column(bench.validation[:1], spaces.METRES)}
    scores = matrix.score_matrix(columns, {"raw": raw})
    by_mode = paired_scores(bench.validation, raw, {name: MEASURES[name] for name in COLUMNS})
    # All clips are of one length here.
    means = [np.mean([by_mode[mode][name] for mode in MODES]) for name in COLUMNS]
    np.testing.assert_allclose(list(scores["raw"]["all"].values()), means)
    assert scores["raw"]["one"] != scores["raw"]["all"]


def test_the_sentence_on_losses_takes_columns_that_are_measured_alike_together(bench):
    worse = dict.fromkeys(spaces.METRES, 2.0)
    better = {**dict.fromkeys(spaces.METRES, 1.0), "mpjpe": 1.5}
    columns = {name: Column([], spaces.METRES) for name in ("a", "b")} | {"c": Column([], spaces.PIXELS)}
    raw = {name: worse | {"speed_ratio": 0.1, "mpjpe": 1.8} for name in columns}
    scores = {
        "raw": raw,
        "default": {name: worse | {"mpjpe": 1.7} for name in columns} | {"c": worse},
        "x": {"a": better, "c": better},
        "y": {"b": better},
    }
    said = matrix.matrix_losses(bench, scores, columns)
    assert said.count("is behind rivals") == 2
    assert "a, b: `default` is behind rivals that keep 0.95 of the speed in a, MPJPE mm 1.7 (x: 1.5)" in said
    assert "b, MPJPE mm 1.7 (y: 1.5)" in said
    assert "c: `default` is behind rivals that keep 0.95 of the speed in c, MPJPE px 2.00 (x: 1.50)" in said
    assert said.endswith(". MPJPE above raw: c: default 2.0 (1.8).")
    del scores["default"]["c"]
    said = matrix.matrix_losses(bench, scores, columns)
    assert said.startswith("`default` is behind rivals that keep 0.95 of the speed in a, ")
    assert "above raw" not in said


def test_clips_of_rotations_keep_the_confidence_of_their_own_joints(bench):
    (clip,) = bench.validation[:1]
    found = {name: space.clips([clip])[0].confidence for name, space in spaces.rotations().items()}
    np.testing.assert_array_equal(found["3D position"], clip.confidence)
    np.testing.assert_array_equal(found["quaternion"], rotation_clips([clip])[0].confidence)
