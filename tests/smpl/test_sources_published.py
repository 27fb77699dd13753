"""The published layouts, on small files of each that are written here."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smpl_tools.sources import DATASETS, read_published

LENGTHS = (12, 9, 14)
NAMES = {
    "h36m": ("S1_Directions.54138969", "S5_Eating.54138969", "S11_Walking.55011271"),
    "pw3d": ("courtyard_arguing_00", "courtyard_arguing_00", "downtown_bus_00"),
    "aist": ("gBR_sBM_c01_d04_mBR0_ch01", "gBR_sBM_c02_d04_mBR0_ch01", "gWA_sFM_c01_d27_mWA2_ch21"),
    "mpiinf3dhp": ("S1_Seq1_video_0", "S2_Seq1_video_0", "TS6"),
    "mupots": ("TS1", "TS1", "TS20"),
}
SUBJECTS = {
    "h36m": ["S1", "S5", "S11"],
    "pw3d": ["courtyard_arguing_00", "courtyard_arguing_00 (2)", "downtown_bus_00"],
    "aist": ["d04", "d04", "d27"],
    "mpiinf3dhp": ["S1", "S2", "TS6"],
    "mupots": ["TS1", "TS1", "TS20"],
}
CASES = [(name, joints) for name, known in DATASETS.items() for joints in known.roots]


def objects(entries):
    array = np.empty(len(entries), dtype=object)
    array[:] = entries
    return array


def contents(dataset, representation, joints, seed, key=None):
    rng = np.random.default_rng(seed)
    names = zip(NAMES[dataset], LENGTHS, strict=True)
    arrays = {"imgname": objects([np.array([f"{name}/{k:06d}.jpg" for k in range(n)]) for name, n in names])}
    if representation == "smpl":
        arrays["pose"] = objects([rng.normal(size=(n, 72)) for n in LENGTHS])
        arrays["shape"] = objects([rng.normal(size=(n, 10)) for n in LENGTHS])
    elif representation == "2D":
        arrays["joints_2d"] = objects([rng.uniform(0, 1000, (n, joints * 2)) for n in LENGTHS])
    else:
        arrays[key or "joints_3d"] = objects([rng.normal(size=(n, joints * 3)).astype(np.float32) for n in LENGTHS])
    return arrays


def write_layout(folder, dataset, estimator, representation, split, *, joints=None, key=None, change=None):
    """Write both archives; the truth differs from the estimate by noise of its own. Return what they hold."""
    joints = joints or next(iter(DATASETS[dataset].roots))
    place = folder / f"{dataset}_{estimator}_{representation}"
    written = []
    for seed, (part, who) in enumerate((("detected", estimator), ("groundtruth", "gt"))):
        (place / part).mkdir(parents=True)
        arrays = contents(dataset, representation, joints, seed, key)
        if change:
            change(part, arrays)
        np.savez(place / part / f"{dataset}_{who}_{representation}_{split}.npz", **arrays)
        written.append(arrays)
    return written


@pytest.mark.parametrize("key", ["joints_3d", "keypoints_3d"])
@pytest.mark.parametrize(("dataset", "joints"), CASES)
def test_joints_are_centred_on_the_root(tmp_path, dataset, joints, key):
    detected, groundtruth = write_layout(tmp_path, dataset, "vibe", "3D", "test", joints=joints, key=key)
    # These are random, so any real limit would leave all of them out.
    clips = read_published(tmp_path, dataset, "vibe", split="test", exclude_mpjpe_mm=1e6)
    assert [clip.subject for clip in clips] == SUBJECTS[dataset]
    assert {(clip.mode, clip.fps) for clip in clips} == {("vibe", DATASETS[dataset].fps)}
    root = list(DATASETS[dataset].roots[joints])
    for clip, estimate, truth in zip(clips, detected[key], groundtruth[key], strict=True):
        for values, flat in ((clip.estimate, estimate), (clip.groundtruth, truth)):
            assert values.dtype == np.float32
            expected = flat.reshape(len(flat), joints, 3)
            # Differences of joints are as in the file, and the root is at the origin.
            np.testing.assert_allclose(np.diff(values, axis=1), np.diff(expected, axis=1), atol=1e-5)
            np.testing.assert_allclose(values[:, root].mean(axis=1), 0, atol=1e-6)
        np.testing.assert_array_equal(clip.confidence, np.ones((len(estimate), joints)))
        assert clip.detected.all()


def test_the_paper_roots():
    assert {name: dict(known.roots) for name, known in DATASETS.items()} == {
        "h36m": {17: (0,), 14: (2, 3)},
        "pw3d": {14: (2, 3)},
        "aist": {14: (2, 3)},
        "mpiinf3dhp": {17: (14,)},
        "mupots": {17: (14,)},
    }


def test_image_points_run_from_minus_one_to_one(tmp_path):
    detected, _ = write_layout(tmp_path, "h36m", "cpn", "2D", "train")
    clips = read_published(tmp_path, "h36m", "cpn", representation="2D")
    assert [clip.estimate.shape for clip in clips] == [(n, 17, 2) for n in LENGTHS]
    expected = (detected["joints_2d"][1].reshape(-1, 17, 2) - 500) / 500
    np.testing.assert_allclose(clips[1].estimate, expected, atol=1e-6)


@pytest.mark.parametrize("dataset", DATASETS)
def test_rotations_are_matrices(tmp_path, dataset):
    detected, _ = write_layout(tmp_path, dataset, "spin", "smpl", "train")
    clips = read_published(tmp_path, dataset, "spin", representation="smpl")
    expected = Rotation.from_rotvec(detected["pose"][2].reshape(-1, 3)).as_matrix().reshape(-1, 24, 9)
    np.testing.assert_allclose(clips[2].estimate, expected, atol=1e-6)


def test_badly_fitted_videos_of_aist_are_left_out(tmp_path):
    """All joints but the first stand off by a known length; half of the root's own error must not count."""
    offsets = (150.0, 180.0, 100.0)

    def change(part, arrays):
        flat = [np.zeros((n, 42), np.float32) for n in LENGTHS]
        if part == "detected":
            for values, millimetres in zip(flat, offsets, strict=True):
                values.reshape(-1, 14, 3)[:, 4:, 1] = millimetres / 1000 * 14 / 10
                values += 5.0
        arrays["joints_3d"] = objects(flat)

    write_layout(tmp_path, "aist", "vibe", "3D", "test", change=change)

    def kept(**limit):
        return [len(c.estimate) for c in read_published(tmp_path, "aist", "vibe", split="test", **limit)]

    assert DATASETS["aist"].exclude_mpjpe_mm == 170.0
    assert kept() == [12, 14]
    assert kept(exclude_mpjpe_mm=120.0) == [14]
    assert kept(exclude_mpjpe_mm=181.0) == [12, 9, 14]


def of_detected(action):
    return lambda part, arrays: action(arrays) if part == "detected" else None


def renamed(arrays):
    arrays["imgname"][2] = np.array(["other/000000.jpg"] * LENGTHS[2])


def shortened(arrays):
    arrays["joints_3d"][1] = arrays["joints_3d"][1][:-1]


def fewer_joints(arrays):
    arrays["joints_3d"] = objects([values[:, :39] for values in arrays["joints_3d"]])


def without_joints(arrays):
    arrays["pose"] = objects([np.zeros((n, 72)) for n in LENGTHS])
    del arrays["joints_3d"]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (
            renamed,
            r"pw3d_spin_3D_train.npz: sequences: expected those of pw3d_gt_3D_train.npz, "
            r"received downtown_bus_00, other in one only",
        ),
        (
            shortened,
            r"pw3d_spin_3D_train.npz: sequence courtyard_arguing_00 \(2\), shape: "
            r"expected \(9, 14, 3\) as the truth, received \(8, 14, 3\)",
        ),
        (fewer_joints, r"train.npz: sequence courtyard_arguing_00, joints of 3DPW: expected 14, received 13"),
        (
            without_joints,
            r"pw3d_spin_3D_train.npz: tracks: expected joints_3d or keypoints_3d for 3D, "
            r"received global_orient, body_pose",
        ),
    ],
)
def test_mismatches_name_the_sequence(tmp_path, action, message):
    write_layout(tmp_path, "pw3d", "spin", "3D", "train", change=of_detected(action))
    with pytest.raises(ValueError, match=message) as raised:
        read_published(tmp_path, "pw3d", "spin")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("h37m", "fcn", "3D", "train"),
            "published data set: expected one of h36m, pw3d, aist, mpiinf3dhp, mupots, rec",
        ),
        (("h36m", "fcn", "4D", "train"), "representation: expected one of 3D, 2D, smpl, received '4D'"),
        (("h36m", "fcn", "3D", "val"), "split of published data: expected one of train, test, received 'val'"),
        (("pw3d", "fcn", "2D", "train"), "representation of 3DPW: expected 3D or smpl, received 2D"),
        (("mupots", "tposenet", "3D", "test"), r"mupots_tposenet_3D_test.npz: cannot be read: No such file"),
    ],
)
def test_refused_choices(tmp_path, arguments, message):
    dataset, estimator, representation, split = arguments
    with pytest.raises(ValueError, match=message):
        read_published(tmp_path, dataset, estimator, representation=representation, split=split)


def test_nothing_in_a_file_is_run(tmp_path):
    """A pickle that would write a file is refused, and the file is not there."""
    target = tmp_path / "written"

    class Writer:
        def __reduce__(self):
            return (type(target).touch, (target,))

    def change(part, arrays):
        arrays["joints_3d"][0] = Writer()

    write_layout(tmp_path, "pw3d", "spin", "3D", "train", change=change)
    with pytest.raises(ValueError, match=r"pw3d_spin_3D_train\.npz"):
        read_published(tmp_path, "pw3d", "spin")
    assert not target.exists()
