"""The studies themselves: quick runs on small data, and what can be checked against an independent oracle."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smoothnet_core import filters, load_model, metrics
from smpl_tools.experiments import images, noise, refiners, rotations, tuning, unseen
from smpl_tools.experiments.frame import Bench
from smpl_tools.experiments.images import image_clips
from smpl_tools.experiments.knowing import knowing, local_parabolas
from smpl_tools.experiments.table import STUDIES, run_study
from smpl_tools.paired_scores import HIPS, LIMBS, MEASURES, PIXEL_MEASURES, paired_scores
from smpl_tools.rotations import rotation_6d_to_matrix
from smpl_tools.sources import MODES, PairedClip
from smpl_tools.sources.clean import clean_clips
from tests.helpers import shared
from tests.smpl.cli_helpers import Program
from tests.smpl.experiment_data import CAMERA, write_data

WITHOUT_TRAINING = ("tuning", "filters", "worst", "frontier", "noise", "rotations", "clean", "frames", "unseen")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def bench(data):
    return Bench(data, quick=True)


@pytest.mark.parametrize("name", WITHOUT_TRAINING)
def test_quick(bench, name):
    if name in ("frontier", "frames"):
        pytest.importorskip("matplotlib")
    result = run_study(name, bench)
    assert result.tables
    for table in result.tables:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.columns)}
        assert "frames a second" in table.protocol or "clips" in table.protocol
        for row in table.rows:
            for value, decimals in zip(row, table.columns.values(), strict=True):
                assert isinstance(value, str) if decimals is None else value is None or math.isfinite(value), row
    assert result.losses.endswith(".")
    json.dumps(result.settings)
    assert len(result.drawings) == (name in ("frontier", "frames"))


def test_several_by_the_command(data, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    ran = Program(capsys)("experiments", "frames", "tuning", "--quick", "--data", data, "-o", tmp_path)
    assert ran.status == 0, ran.err
    # The page has the order of the list, not of the runs.
    page = (tmp_path / "results.md").read_text()
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == [STUDIES[name].title for name in ("tuning", "frames")]
    (figure,) = re.findall(r"\]\((.*\.png)\)", page)
    assert (tmp_path / figure).read_bytes().startswith(b"\x89PNG")


def test_settings_are_tuned_on_training_clips_alone(data, bench):
    changed = Bench(data, quick=True)
    # Validation clips that stand still: were they looked at, other settings would win.
    changed.__dict__["validation"] = [replace(c, groundtruth=np.ones_like(c.groundtruth)) for c in bench.validation]
    assert tuning.run(changed).settings == tuning.run(bench).settings


def test_the_tuned_setting_is_the_best_of_those_that_keep_the_speed():
    def tried(name, error, speed):
        return refiners.Tried(name, {}, {"static": {"mpjpe_mm": error, "speed_ratio": speed}})

    fast, slow, better = tried("a", 9.0, 1.2), tried("b", 1.0, 0.5), tried("c", 5.0, 0.95)
    assert refiners.best([fast, slow, better], "static", "mpjpe_mm") is better
    assert refiners.best([fast, slow, better], "static", "mpjpe_mm", 0.0) is slow
    assert refiners.best([slow, tried("d", 0.5, 0.4)], "static", "mpjpe_mm") is slow


def test_losses_count_rivals_that_keep_the_speed():
    def scores(error, speed):
        return {"static": {"mpjpe_mm": error, "speed_ratio": speed}}

    measures = {"mpjpe_mm": MEASURES["mpjpe_mm"]}
    table = {"ours": scores(10.0, 1.0), "flat": scores(1.0, 0.3), "equal": scores(9.97, 1.0)}
    assert refiners.losses("ours", table, measures).startswith("nowhere")
    text = refiners.losses("ours", table | {"good": scores(9.0, 1.0)}, measures)
    assert text == "`ours` is behind rivals that keep 0.95 of the speed in static, MPJPE mm 10.0 (good: 9.0)."


def test_scores_against_formulas():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(200, 15, 3)).cumsum(axis=0) / 50
    output = truth + 0.02 * rng.normal(size=truth.shape)
    clips = [
        PairedClip(str(n), "static", "s", 25.0, output[part], truth[part], np.ones((len(truth[part]), 15)))
        for n, part in enumerate((slice(0, 50), slice(50, 200)))
    ]
    found = paired_scores(clips, lambda clip: clip.estimate, MEASURES)["static"]

    def centred(x):
        return x - x[:, HIPS].mean(axis=1, keepdims=True)

    errors = 1000 * np.linalg.norm(centred(output) - centred(truth), axis=-1).mean(axis=1)
    assert found["mpjpe_mm"] == pytest.approx(errors.mean())
    assert found["worst_mpjpe_mm"] == pytest.approx(np.sort(errors)[-2:].mean())
    assert found["accel_mm_per_second2"] == pytest.approx(625 * found["accel_mm_per_frame2"])
    fastest = []
    for clip, own in zip(clips, (errors[:50], errors[50:]), strict=True):
        speed = np.linalg.norm(np.diff(clip.groundtruth[:, LIMBS], axis=0), axis=-1).max(axis=1)
        fastest.append(own[1:][speed >= np.quantile(speed, 0.95)].mean())
    assert found["fastest_mpjpe_mm"] == pytest.approx((50 * fastest[0] + 150 * fastest[1]) / 200)


def test_pa_pixels_undo_a_similarity_of_the_picture():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(4, 15, 2))
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    measure = PIXEL_MEASURES["pa_error_px"].of
    np.testing.assert_allclose(measure(2.5 * truth @ turn.T + 7, truth, 30.0), 0, atol=1e-12)
    assert np.mean(measure(truth * [1, -1], truth, 30.0)) > 0.1  # a mirror image is none


@pytest.mark.parametrize("level", noise.LEVELS, ids=lambda level: f"{level.space}D {level.name}")
def test_the_noise_has_the_errors_that_the_paper_states(level):
    truth = np.zeros((4000, 20, level.space))
    noisy = noise.with_noise(level, truth, np.random.default_rng(0))
    if level.space == 2:
        error, accel = metrics.pixel_error(noisy, truth).mean(), metrics.pixel_accel(noisy, truth).mean()
    else:
        error, accel = metrics.mpjpe(noisy, truth).mean(), metrics.accel(noisy, truth).mean()
    assert error == pytest.approx(level.published[0], rel=0.02)
    assert accel == pytest.approx(level.published[1], rel=0.04)
    # And the exact expectation: with k coordinates hit, sigma times the mean of a chi distribution of k degrees.
    chi = [math.sqrt(2) * math.gamma((k + 1) / 2) / math.gamma(k / 2) if k else 0.0 for k in range(level.space + 1)]
    odds = [
        math.comb(level.space, k) * level.share**k * (1 - level.share) ** (level.space - k) for k in range(len(chi))
    ]
    unit = 1 if level.space == 2 else 1000
    assert error == pytest.approx(unit * level.deviation * np.dot(odds, chi), rel=0.01)


def test_clean_clips(data):
    path = data / "cmu" / "cmu_train.npz"
    clips = list(clean_clips(path, keep=noise.HELD_OUT))
    assert [(c.subject, c.fps) for c in clips] == [("13", 30.0), ("60", 60.0)]
    assert {c.subject for c in clean_clips(path, leave_out=noise.HELD_OUT)} == {"7"}
    clip = clips[1].body()
    assert clip.joints == ("hips", "chest", "hand")
    np.testing.assert_allclose(np.linalg.norm(clip.positions[:, 2] - clip.positions[:, 1], axis=-1), 0.3, atol=1e-6)
    half = clip.at(30.0)
    np.testing.assert_array_equal(half.positions, clip.positions[::2])
    back = half.at(60.0)
    assert len(back.positions) == 59
    np.testing.assert_allclose(back.positions[::2], half.positions, atol=1e-9)
    np.testing.assert_allclose(back.positions, clip.positions[:59], atol=2e-3)
    between = Rotation.from_matrix(back.rotations[21, 1]) * Rotation.from_matrix(half.rotations[10, 1]).inv()
    whole = Rotation.from_matrix(half.rotations[11, 1]) * Rotation.from_matrix(half.rotations[10, 1]).inv()
    assert between.magnitude() == pytest.approx(whole.magnitude() / 2)
    assert len(clips[0].at(50.0).positions) == 99
    with pytest.raises(ValueError, match=r"cmu_train.npz: expected clips of subjects 99, received none$"):
        list(clean_clips(path, keep=["99"]))


def test_projection():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(30, 6, 3)) * [0.2, 0.4, 0.2] + [3, 1, 5]
    seen = images.projected(points, distance=4.0, height=1.5, azimuth=0.6, focal=1300.0, size=1000.0)
    middle = points.mean(axis=(0, 1))
    walk = points.mean(axis=1, keepdims=True) - middle
    assert np.linalg.norm(walk[..., [0, 2]], axis=-1).max() < 0.4 * 4  # nobody walks far: nothing is brought nearer
    eye = middle + 4.0 * np.array([np.sin(0.6), 0, np.cos(0.6)])
    eye[1] = points[..., 1].min() + 1.5
    # SciPy's rotation that takes the scene's axes to a camera's (x right, y down, z ahead).
    ahead = (middle - eye) / np.linalg.norm(middle - eye)
    axes = Rotation.align_vectors(
        [[0, 0, 1], [1, 0, 0]], [ahead, np.cross(ahead, [0, 1, 0]) / np.hypot(ahead[0], ahead[2])]
    )[0].as_matrix()
    local = (points - eye) @ axes.T
    np.testing.assert_allclose(seen, 1300 * local[..., :2] / local[..., 2:] + 500, atol=1e-6)
    # What is higher is further up in the picture, where y is smaller.
    assert np.corrcoef(points[..., 1].ravel(), seen[..., 1].ravel())[0, 1] < -0.9
    # Somebody who walks away by 50 m stays in front of the camera.
    far = points + np.linspace(0, 50, 30)[:, None, None] * [0, 0, 1]
    assert np.isfinite(images.projected(far, distance=4.0, height=1.5, azimuth=0.0, focal=1.0, size=1.0)).all()


def test_image_points(data, bench):
    clips = image_clips(bench, bench.validation)
    assert [clip.mode for clip in clips] == list(MODES)
    with np.load(data / "paired" / "dance.npz") as arrays:
        np.testing.assert_array_equal(clips[1].estimate, arrays["est_2d_video"])
        np.testing.assert_array_equal(clips[1].groundtruth, arrays["gt_2d"])
        rest = {key: arrays[key] for key in arrays.files if key != "gt_2d"}
    folder = data.parent / "without"
    (folder / "paired").mkdir(parents=True)
    np.savez(folder / "paired" / "dance.npz", **rest)
    with pytest.raises(ValueError, match=r"dance.npz: expected an array named gt_2d, received none$"):
        image_clips(Bench(folder), bench.validation)


def test_rotation_tracks_of_clips(bench):
    clip = bench.validation[0]
    (turned,) = rotations.rotation_clips([clip])
    assert turned.estimate.shape == (len(clip.estimate), 14, 6)
    np.testing.assert_array_equal(turned.detected, clip.detected)
    assert turned.confidence.shape == (len(clip.estimate), 14)
    # The truth was made of this skeleton, so forward kinematics gives the very joints.
    joints = rotations._joints(turned.groundtruth.astype(np.float64))
    np.testing.assert_allclose(joints, clip.groundtruth, atol=1e-5)
    assert np.isfinite(rotation_6d_to_matrix(refiners.raw(turned))).all()


def test_filters_see_the_clip_as_refine_does(bench):
    clip = bench.validation[0]
    raw = refiners.raw(clip)
    np.testing.assert_array_equal(raw[clip.detected], clip.estimate[clip.detected])
    np.testing.assert_allclose(raw[5], (raw[4] + raw[6]) / 2, atol=1e-6)
    expected = filters.kalman(raw, fps=30, cutoff=2.0, confidence=np.where(clip.detected[:, None], clip.confidence, 0))
    found = refiners.filtering("kalman", {"cutoff": 2.0})(clip)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_unseen_modes_and_subjects(data):
    given = dict.fromkeys(("default", "without-video-smoothed", "without-ann"), "default")
    result = unseen.run(Bench(data, given, quick=True))
    unseen_rows = {(row[0], row[1], row[2]) for row in result.tables[0].rows}
    assert ("mode video smoothed", "video smoothed", "without-video-smoothed") in unseen_rows
    assert not any(what == "mode video smoothed" and mode != "video smoothed" for what, mode, _ in unseen_rows)
    assert {("subject ann", mode, "without-ann") for mode in MODES} <= unseen_rows
    assert {("subject eve", mode, "default") for mode in MODES} <= unseen_rows
    message = (
        "model without-bert: expected without- and one of static, video, video-smoothed, ann, bob, received 'bert'"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        unseen.run(Bench(data, given | {"without-bert": "default"}, quick=True))


def test_cameras_and_pictures_are_those_of_the_paired_clips(data, bench):
    clip = bench.validation[0]
    assert images.picture_size(bench, clip) == (448, 448)
    assert images.camera(bench, clip, 1000.0) == {
        "distance": 4.0,
        "height": 1.2,
        "azimuth": 0.7,
        "focal": pytest.approx(CAMERA["f_px"] * 1000 / 448),
        "size": 1000.0,
    }
    folder = data.parent / "untold"
    (folder / "paired").mkdir(parents=True)
    np.savez(folder / "paired" / "dance.npz", metadata='{"image_size": [448, 448]}')
    with pytest.raises(ValueError, match=r"dance.npz: expected camera in its metadata, received none$"):
        images.camera(Bench(folder), clip, 1000.0)


def test_the_published_network_sees_points_of_a_picture_as_it_was_trained(bench):
    model = load_model(shared("golden", "pw3d_w8.pth.tar"))
    clip = image_clips(bench, bench.validation)[0]
    own = refiners.network(model, (448, 448))(clip)
    scaled = replace(clip, estimate=10 * clip.estimate)
    np.testing.assert_allclose(refiners.network(model, (4480, 4480))(scaled), 10 * own, rtol=1e-4)
    assert np.abs(refiners.network(model)(clip) - own).max() > 1.0


# Who knows which numbers the noise has hit.


def test_a_parabola_is_found_whatever_noise_has_hit():
    time = np.arange(60)[:, None, None]
    truth = 0.3 * time**2 - 2.0 * time + np.arange(6).reshape(1, 3, 2)
    rng = np.random.default_rng(0)
    hit = rng.random(truth.shape) < 0.4
    values = truth + hit * rng.normal(0, 50, truth.shape)
    np.testing.assert_allclose(local_parabolas(values, np.where(hit, 0.0, 1.0), 3.0), truth, rtol=1e-4, atol=0.05)
    assert np.abs(local_parabolas(values, np.ones(truth.shape), 3.0) - truth).max() > 5


def test_parabolas_are_those_of_least_squares():
    rng = np.random.default_rng(1)
    values, weights = rng.normal(size=40), rng.uniform(0.2, 1, 40)
    found = local_parabolas(values, weights, 2.0)
    for t in (0, 3, 20, 39):
        time = np.arange(40) - t
        near = np.abs(time) <= 8
        root = np.sqrt(weights * np.exp(-0.5 * (time / 2) ** 2))[near]
        powers = np.stack([time[near] ** k for k in range(3)], axis=1) * root[:, None]
        expected = np.linalg.lstsq(powers, values[near] * root, rcond=None)[0][0]
        assert found[t] == pytest.approx(expected, abs=1e-4)


def test_knowing_tells_exact_numbers_from_others():
    truth = np.sin(np.arange(80) / 9)[:, None, None] * np.ones((1, 2, 3), np.float32)
    truth = truth.astype(np.float32)
    estimate = truth.copy()
    estimate[::3, 0, 1] += 5
    clip = PairedClip("a", "static", "s", 50.0, estimate, truth, np.ones((80, 2), np.float32))
    assert np.abs(knowing(1.5, 0.0)(clip) - truth).max() < 0.01
    assert np.abs(knowing(1.5, 0.1)(clip) - truth)[:, 0, 1].max() > 0.1
