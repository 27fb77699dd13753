"""Any mix of sources, at one frame rate; that of paired files and clean motion is tested with the training too."""

from __future__ import annotations

import json

import numpy as np
import pytest

from smoothnet_core.joint_sets import JOINT_SETS
from smpl_tools.sources import DATASETS, MODES, PairedClip, at_rate, read_paired, read_sources
from smpl_tools.sources.joint_maps import joint_map, with_joints
from tests.helpers import shared
from tests.smpl.test_sources_published import write_layout

FRAMES, JOINTS = 40, 15


def truth(phase, frames=FRAMES, fps=30.0):
    time = np.arange(frames)[:, None, None] / fps
    return np.sin(2 * time + phase + np.arange(JOINTS * 3).reshape(1, JOINTS, 3)).astype(np.float32)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "paired"
    folder.mkdir()
    for number, name in enumerate(("a", "b")):
        arrays = {"fps": np.float32(30), "metadata": json.dumps({"subject": f"subject {name}"}), "gt_3d": truth(number)}
        for suffix in MODES.values():
            arrays["est_3d" + suffix] = truth(number) + np.float32(0.01)
            arrays["visibility" + suffix] = np.full((FRAMES, JOINTS), 0.5, np.float32)
        np.savez(folder / f"{name}.npz", **arrays)
    (folder / "splits.json").write_text(json.dumps({"train": ["a", "b"]}))
    skeleton = {"names": ["hips"], "parents": np.array([-1]), "offsets": np.zeros((1, 3))}
    clip = {"clip": "one", "subject": "7", "skeleton": "s", "fps": 60, "frames": 20}
    arrays = {"index": json.dumps([clip]), **{f"skel/s/{k}": np.asarray(v) for k, v in skeleton.items()}}
    arrays |= {"one/q": np.tile(np.array([0, 0, 0, 32767], np.int16), (20, 1, 1)), "one/root": np.ones((20, 3))}
    np.savez(tmp_path / "clean.npz", **arrays)
    write_layout(tmp_path / "poses", "pw3d", "spin", "3D", "train")
    return tmp_path


def test_a_mix_is_read_at_one_rate(data):
    specs = [
        {"kind": "paired", "folder": "paired", "splits": ["train"]},
        {"kind": "clean", "file": "clean.npz"},
        {"kind": "pw3d", "folder": "poses", "estimator": "spin"},
    ]
    sources = read_sources(specs, [data], 15.0)
    assert {clip.mode for clip in sources.pairs} == {*MODES, "spin"}
    assert {clip.fps for clip in sources.pairs} == {15.0}
    assert len(sources.pairs[0].estimate) == FRAMES // 2
    assert [track.shape for track in sources.clean] == [(5, 1, 3)]
    as_they_are = read_sources(specs, [data], None)
    assert {clip.fps for clip in as_they_are.pairs if clip.mode != "spin"} == {30.0}
    assert [track.shape for track in as_they_are.clean] == [(20, 1, 3)]


def test_the_first_folder_that_has_a_path_counts(data, tmp_path):
    spec = {"kind": "paired", "folder": "paired", "splits": ["train"]}
    other = tmp_path / "other"
    other.mkdir()
    assert len(read_sources([spec], [other, data], 30.0).pairs) == len(read_sources([spec], [data], 30.0).pairs)
    (other / "paired").mkdir()
    with pytest.raises(ValueError, match=f"^{other / 'paired' / 'splits.json'}: expected a JSON file"):
        read_sources([spec], [other, data], 30.0)
    with pytest.raises(ValueError, match=f"^{tmp_path / 'no' / 'clean.npz'}: "):
        read_sources([{"kind": "clean", "file": "clean.npz"}], [tmp_path / "no", tmp_path / "neither"], 30.0)


def test_modes_and_subjects_are_chosen(data):
    spec = {"kind": "paired", "folder": "paired", "splits": ["train"], "modes": ["video"]}
    assert [(c.name, c.mode) for c in read_sources([spec], [data], 30.0).pairs] == [("a", "video"), ("b", "video")]
    spec["exclude_subjects"] = ["subject a"]
    assert [c.subject for c in read_sources([spec], [data], 30.0).pairs] == ["subject b"]
    with pytest.raises(ValueError, match=r"clean.npz: expected clips without subjects 7, received none$"):
        read_sources([{"kind": "clean", "file": "clean.npz", "exclude_subjects": ["7"]}], [data], 30.0)


PAIRED = {"kind": "paired", "folder": "paired", "splits": ["train"]}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("paired", "source 2: expected a mapping with the key kind, received 'paired'"),
        ({"kind": "pared"}, f"source 2, kind: expected one of paired, clean, {', '.join(DATASETS)}, received 'pared'"),
        ({"kind": "clean"}, r"source 2 \(clean\): expected the key file, received no keys"),
        (
            {**PAIRED, "mode": []},
            r"\(paired\), key: expected one of folder, splits, modes, exclude_subjects, joints, received 'm",
        ),
        ({**PAIRED, "splits": "train"}, r"source 2 \(paired\), splits: expected a list of text, received 'train'"),
        ({**PAIRED, "splits": [1]}, r"splits: expected a list of text, received \[1\]"),
        (
            {**PAIRED, "modes": ["still"]},
            "mode of paired files: expected one of static, video, video smoothed, received",
        ),
        ({**PAIRED, "splits": ["val"]}, r"split of .*splits.json: expected one of train, received 'val'"),
        (
            {"kind": "aist", "folder": "poses", "estimator": "vibe", "exclude_mpjpe_mm": True},
            r"source 2 \(aist\), exclude_mpjpe_mm: expected a number, received True",
        ),
        ({"kind": "clean", "file": "none.npz"}, r"none.npz: expected an .npz file of arrays, received"),
    ],
)
def test_refused_sources(data, spec, message):
    with pytest.raises(ValueError, match=message) as raised:
        read_sources([{"kind": "clean", "file": "clean.npz"}, spec], [data], 30.0)
    assert "\n" not in str(raised.value)


def clip(fps, frames):
    undetected = truth(0.3, frames, fps) + np.float32(0.1)
    undetected[[0, 10, 11]] = np.nan
    confidence = np.linspace(0, 1, frames)[:, None].repeat(JOINTS, axis=1).astype(np.float32)
    return PairedClip("c", "spin", "s", fps, undetected, truth(0.3, frames, fps), confidence)


def test_the_same_rate_changes_nothing():
    original = clip(29.97, 30)
    assert at_rate(original, 30.0) is original


def test_a_whole_fraction_takes_every_nth_frame():
    thinned = at_rate(clip(60.0, 31), 20.0)
    assert thinned.fps == 20.0
    np.testing.assert_array_equal(thinned.groundtruth, truth(0.3, 31, 60.0)[::3])
    np.testing.assert_array_equal(thinned.confidence, clip(60.0, 31).confidence[::3])
    np.testing.assert_array_equal(np.flatnonzero(~thinned.detected), [0])


@pytest.mark.parametrize("fps", [30.0, 75.0])
def test_other_rates_are_interpolated(fps):
    changed = at_rate(clip(50.0, 101), fps)
    count = int(100 / 50 * fps) + 1
    assert changed.estimate.shape == (count, JOINTS, 3)
    # The motion is known at every time, so the oracle is the motion itself.
    np.testing.assert_allclose(changed.groundtruth, truth(0.3, count, fps), atol=1e-4)
    seen = changed.detected
    np.testing.assert_allclose(changed.estimate[seen], truth(0.3, count, fps)[seen] + 0.1, atol=1e-4)
    stamps = np.arange(count) * 50 / fps
    np.testing.assert_array_equal(~seen, np.isin(np.round(stamps), [10, 11]) | (stamps < 1))


def test_too_few_detections_to_interpolate():
    original = clip(50.0, 20)
    original.estimate[3:] = np.nan
    with pytest.raises(ValueError, match="c: expected at least 4 detected frames to change its rate, received 2"):
        at_rate(original, 30.0)


def test_the_real_sets_as_a_mix():
    specs = [PAIRED, {"kind": "clean", "file": "cmu/cmu_train.npz", "exclude_subjects": ["85", "94"]}]
    sources = read_sources(specs, [shared("data")], 30.0)
    assert len(sources.pairs) == len(read_paired(shared("data", "paired"), ["train"])) == 3 * 34
    assert len(sources.clean) > 100


# Clips of other joints.


@pytest.mark.parametrize("name", JOINT_SETS)
def test_every_joint_of_a_set_is_made_of_shares_that_sum_to_one(name):
    shares = joint_map(name)
    assert shares.shape == (len(JOINT_SETS[name].joints), 15)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-12)
    # What is made of a mirrored body is the mirror image of what is made of the body.
    swap, ours = JOINT_SETS[name].swap, JOINT_SETS["mediapipe_15"].swap
    np.testing.assert_allclose(shares[swap][:, ours], shares, atol=1e-12)


def test_a_clip_of_other_joints():
    rng = np.random.default_rng(0)
    names = JOINT_SETS["mediapipe_15"].joints
    truth = rng.normal(size=(9, 15, 3)).astype(np.float32)
    estimate = truth + 1
    estimate[4] = np.nan
    confidence = rng.uniform(size=(9, 15)).astype(np.float32)
    clip = PairedClip("a", "static", "s", 30.0, estimate, truth, confidence)
    made = with_joints(clip, "h36m_17")
    joints = JOINT_SETS["h36m_17"].joints
    at, there = joints.index, names.index
    hips = (truth[:, there("left_hip")] + truth[:, there("right_hip")]) / 2
    np.testing.assert_allclose(made.groundtruth[:, at("pelvis")], 0, atol=1e-6)
    np.testing.assert_allclose(
        made.groundtruth[:, at("left_wrist")], truth[:, there("left_wrist")] - hips, rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(made.estimate[:4], made.groundtruth[:4], atol=1e-6)
    assert made.detected.tolist() == clip.detected.tolist()
    np.testing.assert_allclose(made.confidence[:, at("left_wrist")], confidence[:, there("left_wrist")])
    both = confidence[:, [there("left_hip"), there("right_hip")]].mean(axis=1)
    np.testing.assert_allclose(made.confidence[:, at("pelvis")], both, rtol=1e-6)
    assert with_joints(clip, "mediapipe_15") is clip
    with pytest.raises(ValueError, match=r"^clip a: expected 15 joints in 3D, received shape \(9, 17, 3\)$"):
        with_joints(made, "h36m_17")


def test_joints_of_a_paired_source(data):
    spec = {"kind": "paired", "folder": "paired", "splits": ["train"], "joints": "coco_17"}
    with pytest.raises(
        ValueError, match=r"^joints of a source: expected one of mediapipe_15, h36m_17, smpl_24, received"
    ):
        read_sources([spec], [data], 30.0)
