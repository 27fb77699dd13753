"""MMHuman3D's HumanData."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smpl_tools.formats import FORMATS, detect, read, write
from smpl_tools.formats._human_data_joints import HUMAN_DATA
from smpl_tools.motion import Motion, Person, Track
from smpl_tools.skeleton import SMPL, SMPL_X
from tests.smpl.format_helpers import assert_close, assert_same, plus, smpl_motion, smpl_person


def saved(path, content, compressed=True):
    """Write as ``HumanData.dump`` does: whatever is no array becomes one of objects."""
    (np.savez_compressed if compressed else np.savez)(path, **content)
    return path


def loaded(path):
    with np.load(path, allow_pickle=True) as archive:
        return {key: archive[key][()] for key in archive.files}


def marks(count, compressed=False):
    return {"__key_strict__": False, "__data_len__": count, "__keypoints_compressed__": compressed}


def estimated():
    """Return what demo/estimate_smpl.py writes for two people, the first of whom is lost in frame 6."""
    rng = np.random.default_rng(0)
    rows = [(5, 0), (5, 1), (6, 1), (8, 0), (8, 1)]
    count = len(rows)
    return {
        **marks(count),
        "smpl": {
            "body_pose": rng.normal(0, 0.3, (count, 23, 3)).astype(np.float32),
            "global_orient": rng.normal(0, 0.3, (count, 3)).astype(np.float32),
            "betas": rng.normal(size=(count, 10)).astype(np.float32),
        },
        "verts": rng.normal(size=(count, 4, 3)),
        "pred_cams": rng.normal(size=(count, 3)),
        "bboxes_xyxy": rng.normal(size=(count, 5)),
        "image_path": [f"images/{frame:06d}.png" for frame, _ in rows],
        "person_id": [who for _, who in rows],
        "frame_id": [frame for frame, _ in rows],
    }


def smplx(count=4, hands=45, dtype=np.float64):
    rng = np.random.default_rng(1)
    sizes = {"body_pose": (21, 3), "global_orient": (3,), "betas": (10,), "transl": (3,), "expression": (10,)}
    sizes |= {f"{side}_hand_pose": (15, 3) if hands == 45 else (hands,) for side in ("left", "right")}
    sizes |= {"leye_pose": (3,), "reye_pose": (3,), "jaw_pose": (3,)}
    return {key: rng.normal(0, 0.3, (count, *size)).astype(dtype) for key, size in sizes.items()}


def keypoints(count=4, joints=190, size=4, missing=()):
    rng = np.random.default_rng(2)
    array = rng.normal(size=(count, joints, size))
    array[..., -1] = 1
    array[:, missing] = 0
    return array


def test_the_190_names():
    assert len(set(HUMAN_DATA)) == 190
    spots = {0: "pelvis", 22: "jaw", 25: "left_index_1", 55: "nose", 60: "left_bigtoe", 66: "left_thumb"}
    spots |= {76: "right_eyebrow_1", 95: "right_eye_1", 101: "left_eye_4", 107: "right_mouth_1", 127: "right_contour_1"}
    spots |= {144: "right_hip_extra", 153: "nose_openpose", 178: "spine_4_3dhp", 189: "right_hand"}
    assert {k: HUMAN_DATA[k] for k in spots} == spots


def test_what_is_read_of_an_estimate(tmp_path):
    content = estimated()
    path = saved(tmp_path / "in.npz", content)
    assert detect(path).name == "humandata"
    motion = read(path)
    assert (motion.fps, motion.skeleton) == (None, SMPL)
    assert motion.notes == (
        "frame rate not stated in the file",
        "verts: kept as they are, so they show the pose before refinement",
    )
    assert [(p.id, p.frames.tolist()) for p in motion.people] == [("0", [5, 8]), ("1", [5, 6, 8])]
    assert {n: (t.kind, t.part, t.values.shape, t.up) for n, t in motion.people[1].tracks.items()} == {
        "global_orient": ("axis_angle", "root", (3, 1, 3), None),
        "body_pose": ("axis_angle", "body", (3, 23, 3), None),
        "betas": ("channels", "shape", (3, 10), None),
    }
    expected = content["smpl"]["body_pose"][[1, 2, 4]]
    assert np.array_equal(motion.people[1].tracks["body_pose"].values, expected)


@pytest.mark.parametrize("compressed", [False, True])
def test_an_unchanged_motion_is_the_same_content(tmp_path, compressed):
    content = estimated() | {"smplx": smplx(5), "misc": {"own": [1, "a"]}, "keypoints3d": keypoints(5)}
    saved(tmp_path / "in.npz", content, compressed)
    write(read(tmp_path / "in.npz"), tmp_path / "out.npz")
    assert_same(loaded(tmp_path / "out.npz"), loaded(tmp_path / "in.npz"))


PLACES = [
    ("global_orient", [("smplx", "global_orient")]),
    ("body_pose", [("smplx", "body_pose")]),
    ("transl", [("smplx", "transl")]),
    ("betas", [("smplx", "betas")]),
    ("expression", [("smplx", "expression")]),
    ("jaw_pose", [("smplx", "jaw_pose")]),
    ("eye_pose", [("smplx", "leye_pose"), ("smplx", "reye_pose")]),
    ("left_hand_pose", [("smplx", "left_hand_pose")]),
]


@pytest.mark.parametrize(("track", "places"), PLACES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_changed_row_lands_in_its_place_and_nowhere_else(tmp_path, track, places, dtype):
    content = estimated() | {"smplx": smplx(5, dtype=dtype)}
    motion = read(saved(tmp_path / "in.npz", content))
    assert motion.skeleton is SMPL_X
    assert "smpl: kept as it is, smplx is read" in motion.notes
    write(plus(motion, 1, track, 0.5, row=1), tmp_path / "out.npz")
    expected = loaded(tmp_path / "in.npz")
    for holder, key in places:
        expected[holder][key][2] += dtype(0.5)
    assert_same(loaded(tmp_path / "out.npz"), expected)
    assert_same(motion.source.arrays["smplx"][()], smplx(5, dtype=dtype))


def test_keypoints_and_their_confidence(tmp_path):
    mask = np.ones(190, np.uint8)
    mask[[0, 7, 100]] = 0
    array = keypoints(missing=[0, 7, 100])
    array[2, 5] = 0
    array[1, 6, 3] = 0.25
    flat = keypoints(size=3, joints=17)
    content = {**marks(4), "keypoints3d": array, "keypoints3d_mask": mask, "keypoints2d_original": flat}
    motion = read(saved(tmp_path / "in.npz", content))
    (person,) = motion.people
    track = person.tracks["keypoints3d"]
    assert track.joints == tuple(name for name, there in zip(HUMAN_DATA, mask, strict=True) if there)
    assert (track.values.shape, track.metres, track.up) == ((4, 187, 3), 1.0, None)
    assert np.isnan(track.values[2, 4]).all()
    assert np.isfinite(track.values).sum() == 3 * (4 * 187 - 1)
    assert track.confidence[1, 5] == 0.25
    assert (person.tracks["keypoints2d_original"].joints[0], person.tracks["keypoints2d_original"].metres) == (
        "joint_0",
        None,
    )
    filled = track.values.copy()
    filled[2, 4] = [1, 2, 3]
    filled[0, 0] += 1
    changed = person.with_tracks({"keypoints3d": track.replace(values=filled)})
    write(dataclasses.replace(motion, people=(changed,)), tmp_path / "out.npz")
    expected = loaded(tmp_path / "in.npz")
    expected["keypoints3d"][2, 5] = [1, 2, 3, 0]
    expected["keypoints3d"][0, 1, :3] += 1
    assert_same(loaded(tmp_path / "out.npz"), expected)


def test_compressed_keypoints(tmp_path):
    mask = np.zeros(190, np.uint8)
    mask[[3, 50, 189]] = 1
    content = {**marks(4, True), "keypoints3d": keypoints(joints=3), "keypoints3d_mask": mask}
    motion = read(saved(tmp_path / "in.npz", content))
    assert motion.people[0].tracks["keypoints3d"].joints == ("spine_1", "right_ring_2", "right_hand")
    write(plus(motion, 0, "keypoints3d", 1, row=2), tmp_path / "out.npz")
    expected = loaded(tmp_path / "in.npz")
    expected["keypoints3d"][2, :, :3] += 1
    assert_same(loaded(tmp_path / "out.npz"), expected)


def test_another_convention_has_no_names(tmp_path):
    content = {**marks(4), "keypoints3d": keypoints(), "keypoints3d_convention": "other"}
    track = read(saved(tmp_path / "in.npz", content)).people[0].tracks["keypoints3d"]
    assert track.joints[:2] == ("joint_0", "joint_1")


def test_a_data_set_is_taken_apart_into_takes(tmp_path):
    images = [f"b/imageFiles/take_{t}/image_{k:05d}.jpg" for t in (1, 2) for who in (0, 1) for k in (3, 4, 7)]
    meta = {"gender": np.array(["m", "m", "m", "f", "f", "f", "m", "f", "m", "f", "f", "f"])}
    content = {**marks(12), "smpl": {k: v for k, v in smplx(12).items() if k in ("global_orient", "body_pose")}}
    content |= {"image_path": images, "meta": meta}
    motion = read(saved(tmp_path / "in.npz", content))
    assert [p.id for p in motion.people] == ["take_1", "take_1 (2)", "take_2", "take_2 (2)"]
    assert all(p.frames.tolist() == [3, 4, 7] for p in motion.people)
    assert [p.gender for p in motion.people] == ["male", "female", None, "female"]
    assert "4 takes told apart by image folders and by frame numbers that start anew" in motion.notes
    write(plus(motion, 2, "global_orient", 1, row=0), tmp_path / "out.npz")
    difference = loaded(tmp_path / "out.npz")["smpl"]["global_orient"] - content["smpl"]["global_orient"]
    assert np.flatnonzero(difference.any(axis=1)).tolist() == [6]
    content["person_id"] = [0, 0, 0, 1, 1, 1] * 2
    ids = [p.id for p in read(saved(tmp_path / "in.npz", content)).people]
    assert ids == [f"b/imageFiles/take_{t}/{who}" for t in (1, 2) for who in (0, 1)]


def test_rows_in_any_order_and_rows_without_numbers(tmp_path):
    content = estimated()
    order = [4, 0, 3, 2, 1]
    for key in ("person_id", "frame_id", "image_path"):
        content[key] = [content[key][k] for k in order]
    content["smpl"] = {k: v[order] for k, v in content["smpl"].items()}
    motion = read(saved(tmp_path / "in.npz", content))
    assert {p.id: p.frames.tolist() for p in motion.people} == {"0": [5, 8], "1": [5, 6, 8]}
    assert np.array_equal(
        next(p for p in motion.people if p.id == "1").tracks["betas"].values, estimated()["smpl"]["betas"][[1, 2, 4]]
    )
    del content["frame_id"], content["image_path"]
    motion = read(saved(tmp_path / "in.npz", content))
    assert {p.id: p.frames.tolist() for p in motion.people} == {"0": [0, 1], "1": [0, 1, 2]}
    assert "frame numbers not stated in the file: rows are taken in their order" in motion.notes
    del content["person_id"]
    assert read(saved(tmp_path / "in.npz", content)).people[0].frames.tolist() == [0, 1, 2, 3, 4]


def test_components_of_the_hands_and_a_mean_hand(tmp_path):
    content = {**marks(4), "smplx": smplx(hands=6), "misc": {"flat_hand_mean": False}}
    motion = read(saved(tmp_path / "in.npz", content))
    assert motion.people[0].tracks["left_hand_pca"].values.shape == (4, 6)
    assert "hands are principal components of the hand model: channels, not rotations" in motion.notes
    content["smplx"] = smplx()
    notes = read(saved(tmp_path / "in.npz", content)).notes
    assert "the file says that a mean hand is to be added to the rotations of the fingers (flat_hand_mean)" in notes


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**20),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([(), ("betas",), ("hands",), ("hands", "face", "betas")]),
    st.sampled_from(["y", "z", "-y"]),
)
def test_a_new_file_reads_back(tmp_path_factory, seed, dtype, extra, up):
    path = tmp_path_factory.getbasetemp() / "new.npz"
    people = (
        smpl_person("ann", (5, 6, 9), seed=seed, dtype=dtype, body=21, extra=extra, up=up, gender="female"),
        smpl_person("7", (-3, 5), seed=seed + 1, dtype=dtype, body=21, up=up, gender="male"),
    )
    FORMATS["humandata"].make(smpl_motion(*people, fps=24000 / 1001), path)
    assert detect(path).name == "humandata"
    again = read(path)
    assert_close(again, smpl_motion(people[1], people[0]), atol=0)
    assert [p.gender for p in again.people] == ["male", "female"]
    assert again.fps == 24000 / 1001
    assert {t.up for p in again.people for n, t in p.tracks.items() if n in ("transl", "global_orient")} == {up}
    content = loaded(path)
    model = content["smplx" if extra and extra != ("betas",) else "smpl"]
    shape = (5, 21, 3) if extra and extra != ("betas",) else (5, 23, 3)
    assert (model["body_pose"].shape, model["body_pose"].dtype) == (shape, dtype)
    assert content["frame_id"].tolist() == [-3, 5, 5, 6, 9]


def test_new_files_of_joints_read_back(tmp_path):
    names = ("pelvis", "left_knee", "nose", "right_wrist", "unknown")
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 5, 3))
    values[1, 2] = np.nan
    confidence = rng.uniform(0.2, 1, (3, 5))
    track = Track(values, "position", "body", names, confidence, metres=1.0, up="z")
    motion = Motion("csv", (Person("4", {"joints": track}, np.array([2, 3, 9])),), 50.0)
    FORMATS["humandata-joints"].make(motion, tmp_path / "new.npz")
    assert detect(tmp_path / "new.npz").name == "humandata"
    again = read(tmp_path / "new.npz")
    (person,) = again.people
    found = person.tracks["keypoints3d"]
    at = [found.joints.index(name) for name in names[:4]]
    assert sorted(found.joints) == sorted(names[:4])
    np.testing.assert_array_equal(found.values[:, at], values[:, :4])
    seen = np.isfinite(values[:, :4]).all(axis=2)
    np.testing.assert_array_equal(found.confidence[:, at], np.where(seen, confidence[:, :4], 0))
    assert (again.fps, person.id, person.frames.tolist(), found.up) == (50, "4", [2, 3, 9], "z")
    assert loaded(tmp_path / "new.npz")["keypoints3d"].shape == (3, 190, 4)


def test_what_cannot_be_made(tmp_path):
    with pytest.raises(ValueError, match="people for HumanData: expected at least one, received nobody"):
        FORMATS["humandata"].make(smpl_motion(smpl_person(frames=())), tmp_path / "new.npz")
    track = Track(np.zeros((1, 1, 3)), "position", "body", ("antenna",))
    motion = Motion("csv", (Person("0", {"joints": track}, np.array([0])),), None)
    with pytest.raises(ValueError, match="joints for HumanData: expected pelvis"):
        FORMATS["humandata-joints"].make(motion, tmp_path / "new.npz")


CHANGES = [
    (
        {"smpl": {"global_orient": np.zeros((5, 4))}},
        "global_orient of smpl: expected an array (N, 3) of floats, received (5, 4)",
    ),
    (
        {"smpl": {"global_orient": np.zeros((5, 3))}},
        "body_pose of smpl: expected an array (N, 63 or 69) of floats, received no such key",
    ),
    (
        {"smpl": {**estimated()["smpl"], "body_pose": np.zeros((5, 23, 3, 3))}},
        "body_pose of smpl: expected an array (N, 63 or 69) of floats, received (5, 23, 3, 3) of float64",
    ),
    (
        {"smpl": {**estimated()["smpl"], "betas": np.zeros((1, 10))}},
        "rows: expected the same number in all arrays, received global_orient 5, body_pose 5, betas 1",
    ),
    (
        {"keypoints3d": np.zeros((5, 190, 3))},
        "keypoints3d: expected an array (N, K, 4) of floats, received (5, 190, 3)",
    ),
    (
        {"keypoints2d": np.zeros((5, 190, 3), int)},
        "keypoints2d: expected an array (N, K, 3) of floats, received (5, 190, 3) of int64",
    ),
    ({"frame_id": [5, 5, 6, 5, 8]}, "frames of person 0: expected a different one for each row, received one twice"),
    (
        {"person_id": None},
        "people: expected person_id, where several rows are of one frame, received rows 0 and 1 without",
    ),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_bad_arrays_are_refused(tmp_path, change, message):
    content = {k: v for k, v in {**estimated(), **change}.items() if v is not None}
    path = saved(tmp_path / "in.npz", content)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_other_archives_are_not_humandata(tmp_path):
    path = saved(tmp_path / "in.npz", {"keypoints3d": np.zeros((4, 17, 3))})
    assert detect(path).name == "array"
    saved(path, {"poses": np.zeros((4, 156)), "trans": np.zeros((4, 3))})
    assert detect(path).name == "amass"
    message = f"{path}: keys: expected smpl or smplx with poses, or keypoints, received poses, trans"
    with pytest.raises(ValueError, match=re.escape(message)):
        read(path, format="humandata")
