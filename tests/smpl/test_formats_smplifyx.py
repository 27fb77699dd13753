"""Folders of SMPLify-X results."""

from __future__ import annotations

import os
import re
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smpl_tools.formats import FORMATS, detect, read, write
from smpl_tools.formats._files import replacing_folder
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X
from tests.smpl.format_helpers import assert_close, assert_same, loaded, plus, saved, smpl_motion, smpl_person


def result(seed=0, **changes):
    """Return one person's fit in one frame, as fit_single_frame.py writes it without VPoser."""
    rng = np.random.default_rng(seed)

    def row(count):
        return rng.normal(0, 0.3, (1, count)).astype(np.float32)

    record = {
        "camera_rotation": np.eye(3, dtype=np.float32)[None],
        "camera_translation": row(3) + np.float32([[0, 0, 30]]),
        "betas": row(10),
        "global_orient": row(3),
        "body_pose": row(63),
        "left_hand_pose": row(12),
        "right_hand_pose": row(12),
        "jaw_pose": row(3),
        "leye_pose": row(3),
        "reye_pose": row(3),
        "expression": row(10),
    }
    return {k: v for k, v in {**record, **changes}.items() if v is not None}


def folder(path, frames=3, protocol=2, first=8, **changes):
    """Write ``results`` of one person; frames are numbered 8, 9, 10, as text that sorts otherwise."""
    shutil.rmtree(path, ignore_errors=True)
    for k in range(frames):
        saved(path / f"frame_{first + k}" / "000.pkl", result(k, **changes), protocol)
    return path


def contents(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_what_is_read(tmp_path):
    path = folder(tmp_path / "results")
    assert detect(path).name == "smplifyx"
    motion = read(path)
    assert (motion.fps, motion.skeleton) == (None, SMPL_X)
    assert motion.notes == (
        "frame rate not stated in the files",
        "hands are principal components of the hand model: channels, not rotations",
    )
    (person,) = motion.people
    assert person.frames.tolist() == [8, 9, 10]
    assert {n: (t.kind, t.part, t.values.shape, t.up, t.metres) for n, t in person.tracks.items()} == {
        "global_orient": ("axis_angle", "root", (3, 1, 3), "-y", None),
        "body_pose": ("axis_angle", "body", (3, 21, 3), None, None),
        "left_hand_pca": ("channels", "hands", (3, 12), None, None),
        "right_hand_pca": ("channels", "hands", (3, 12), None, None),
        "jaw_pose": ("axis_angle", "face", (3, 1, 3), None, None),
        "eye_pose": ("axis_angle", "face", (3, 2, 3), None, None),
        "expression": ("channels", "face", (3, 10), None, None),
        "betas": ("channels", "shape", (3, 10), None, None),
        "transl": ("position", "root", (3, 1, 3), "-y", 1.0),
    }
    last = result(2)
    assert np.array_equal(person.tracks["body_pose"].values[2].reshape(1, -1), last["body_pose"])
    assert np.array_equal(person.tracks["eye_pose"].values[2, 1], last["reye_pose"][0])
    assert np.array_equal(person.tracks["transl"].values[2], last["camera_translation"])


@pytest.mark.parametrize("protocol", range(2, 6))
def test_an_unchanged_motion_is_the_same_bytes(tmp_path, protocol):
    path = folder(tmp_path / "results", protocol=protocol)
    write(read(path), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(path)
    write(read(path), path)
    assert contents(tmp_path / "out") == contents(path)


@pytest.mark.parametrize(
    ("track", "keys"),
    [
        ("global_orient", ["global_orient"]),
        ("body_pose", ["body_pose"]),
        ("eye_pose", ["leye_pose", "reye_pose"]),
        ("jaw_pose", ["jaw_pose"]),
        ("left_hand_pca", ["left_hand_pose"]),
        ("expression", ["expression"]),
        ("betas", ["betas"]),
        ("transl", ["camera_translation"]),
    ],
)
def test_a_changed_row_lands_in_its_file_and_nowhere_else(tmp_path, track, keys):
    path = folder(tmp_path / "results")
    write(plus(read(path), 0, track, 0.25, row=1), tmp_path / "out")
    before, after = contents(path), contents(tmp_path / "out")
    assert {name for name in before if before[name] != after[name]} == {"frame_9/000.pkl"}
    expected = result(1)
    for key in keys:
        expected[key] = expected[key] + np.float32(0.25)
    assert_same(loaded(tmp_path / "out" / "frame_9" / "000.pkl"), expected)


def test_python_2_pickles_and_files_straight_in_the_folder(tmp_path):
    for k in (1, 2):
        saved(tmp_path / "in" / f"{k:03d}.pkl", result(k, body_pose=np.zeros((1, 69), np.float32)), 2)
    text = (tmp_path / "in" / "001.pkl").read_bytes()
    # Python 2 writes keys as byte strings, with another opcode.
    old = text.replace(b"X\x0d\x00\x00\x00global_orient", b"U\x0dglobal_orient")
    assert old != text
    (tmp_path / "in" / "001.pkl").write_bytes(old)
    motion = read(tmp_path / "in")
    assert motion.people[0].frames.tolist() == [1, 2]
    assert motion.people[0].tracks["body_pose"].joints == SMPL.joints[1:]
    assert np.array_equal(motion.people[0].tracks["global_orient"].values[0], result(1)["global_orient"])
    write(motion, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "in")


def test_hands_of_45_are_rotations(tmp_path):
    path = folder(tmp_path / "results", left_hand_pose=np.ones((1, 45)), jaw_pose=None, leye_pose=None, reye_pose=None)
    motion = read(path, fps=30)
    track = motion.people[0].tracks["left_hand_pose"]
    assert (track.kind, track.joints) == ("axis_angle", SMPL_H.joints[22:37])
    assert motion.skeleton is SMPL_H
    assert "rotations of the fingers are taken as they are: a model with a mean hand adds it to them" in motion.notes


def test_a_turned_camera_places_nobody(tmp_path):
    path = folder(tmp_path / "results", camera_rotation=np.diag([1.0, -1, -1])[None])
    motion = read(path)
    tracks = motion.people[0].tracks
    assert "transl" not in tracks
    assert (tracks["camera_translation"].part, tracks["global_orient"].up) == ("camera", None)
    assert motion.notes[-1] == "camera_rotation turns the body before the camera: camera_translation is not the body's"


def test_a_translation_of_the_body_comes_before_the_cameras(tmp_path):
    path = folder(tmp_path / "results", transl=np.float32([[1, 2, 3]]), pose_embedding=np.zeros((1, 32), np.float32))
    tracks = read(path).people[0].tracks
    assert tracks["transl"].values[0, 0].tolist() == [1, 2, 3]
    assert tracks["camera_translation"].kind == "channels"


def test_several_people_are_matched(tmp_path):
    path = tmp_path / "results"
    for frame, order in enumerate([(0, 1), (1, 0), (1, 0), (0,), (0, 1)]):
        for place, who in enumerate(order):
            where = np.float32([[(-2, 2)[who] + 0.02 * frame, 0, 20]])
            saved(path / f"{frame:05d}" / f"{place:03d}.pkl", result(who, camera_translation=where), 2)
    motion = read(path)
    assert [p.frames.tolist() for p in motion.people] == [[0, 1, 2, 3, 4], [0, 1, 2, 4]]
    assert [set(np.sign(p.tracks["transl"].values[:, 0, 0])) for p in motion.people] == [{-1}, {1}]
    assert "people matched across frames; one lost for more than 30 frames returns as a new one" in motion.notes
    write(plus(motion, 1, "transl", 1, row=1), tmp_path / "out")
    old, new = contents(path), contents(tmp_path / "out")
    assert {name for name in old if old[name] != new[name]} == {"00001/000.pkl"}
    saved(path / "00003" / "000.pkl", result(0, camera_translation=None))
    with pytest.raises(ValueError, match="people: expected one file a frame, or camera_translation to match people by"):
        read(path)


def test_people_of_one_frame_need_no_matching(tmp_path):
    for place in (0, 1):
        saved(tmp_path / "results" / "dance" / f"{place:03d}.pkl", result(place, camera_translation=None))
    assert [p.frames.tolist() for p in read(tmp_path / "results").people] == [[0], [0]]


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**20),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([(), ("hands",), ("hands", "face", "betas")]),
)
def test_a_new_folder_reads_back(tmp_path_factory, seed, dtype, extra):
    path = tmp_path_factory.getbasetemp() / "new"
    shutil.rmtree(path, ignore_errors=True)
    person = smpl_person("0", (5, 6, 9, 70), seed=seed, dtype=dtype, body=21, extra=extra, up="-y")
    motion = smpl_motion(person)
    FORMATS["smplifyx"].make(motion, path)
    assert detect(path).name == "smplifyx"
    again = read(path)
    assert_close(again, motion, atol=0)
    assert again.people[0].tracks["body_pose"].values.dtype == dtype
    record = loaded(path / "000005" / "000.pkl")
    assert set(record) == set(result())
    assert {key: value.shape[0] for key, value in record.items()} == dict.fromkeys(record, 1)
    assert record["left_hand_pose"].shape == ((1, 45) if "hands" in extra else (1, 12))


def test_what_cannot_be_made(tmp_path):
    with pytest.raises(ValueError, match="frame numbers for SMPLify-X results: expected 0 and more, received -1"):
        FORMATS["smplifyx"].make(smpl_motion(smpl_person(frames=(-1, 0))), tmp_path / "new")
    (tmp_path / "new" / "deep").mkdir(parents=True)
    (tmp_path / "new" / "deep" / "cat.jpg").write_text("cat")
    with pytest.raises(ValueError, match=r"cannot be written: the folder already holds 'deep"):
        FORMATS["smplifyx"].make(smpl_motion(smpl_person()), tmp_path / "new")
    assert (tmp_path / "new" / "deep" / "cat.jpg").read_text() == "cat"


CHANGES = [
    (
        {"body_pose": np.zeros((1, 32), np.float32)},
        "body_pose: expected 63 or 69 numbers, received 32, a VPoser latent (VPoser, which wrote it, decodes it",
    ),
    ({"body_pose": np.zeros((1, 66))}, "body_pose: expected 63 or 69 numbers, received 66"),
    ({"body_pose": [0.0]}, "body_pose: expected some floats, in one row, received a list"),
    ({"global_orient": np.zeros((1, 4))}, "global_orient: expected 3 floats, in one row, received (1, 4)"),
    ({"betas": np.zeros((2, 10))}, "betas: expected some floats, in one row, received (2, 10)"),
    ({"camera_translation": np.zeros((1, 2))}, "camera_translation: expected 3 floats, in one row, received (1, 2)"),
    ({"betas": np.zeros((1, 16))}, "betas: expected 16 numbers as in frame_8/000.pkl, received 10 numbers"),
    ({"expression": None}, "expression: expected 10 numbers as in frame_9/000.pkl, received no such key"),
    ({"global_orient": None}, "content: expected a dictionary with global_orient, body_pose and betas, received"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_bad_files_are_refused(tmp_path, change, message):
    path = folder(tmp_path / "results")
    saved(path / "frame_8" / "000.pkl", result(0, **change))
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read(path, format="smplifyx")
    assert str(caught.value).startswith(f"{path}/frame_")
    assert "\n" not in str(caught.value)


def test_other_folders_are_not_smplifyx(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(
        ValueError, match=r"expected a folder of SMPLify-X results, received no file that ends in \.pkl"
    ):
        read(tmp_path / "in", format="smplifyx")
    saved(tmp_path / "in" / "take.pkl", {"smpl_poses": 1})
    with pytest.raises(ValueError, match="unknown format"):
        read(tmp_path / "in")
    with pytest.raises(ValueError, match="expected a folder of SMPLify-X results, received a file"):
        read(tmp_path / "in" / "take.pkl", format="smplifyx")
    for name in ("a", "b"):
        saved(tmp_path / "names" / name / "000.pkl", result())
    with pytest.raises(ValueError, match=r"file names: expected a frame number that differs .* received a, b"):
        read(tmp_path / "names")


def test_an_attack_is_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'canary'}",)

    path = folder(tmp_path / "results")
    saved(path / "frame_9" / "000.pkl", result(1, betas=Attack()))
    with pytest.raises(ValueError, match=r"frame_9/000\.pkl: refused: .*system.* nothing was run"):
        read(path)
    assert not (tmp_path / "canary").exists()


def test_other_files_of_the_folder_are_named(tmp_path):
    path = folder(tmp_path / "results")
    (path / "frame_8" / "output.png").write_text("x")
    motion = read(path)
    assert motion.notes[-1] == "files of the folder that are not results, left out on writing: 1"


def test_folders_within_folders_are_replaced_whole(tmp_path):
    target = tmp_path / "results"

    def write_all(content):
        with replacing_folder(target) as new:
            (new / "1").mkdir()
            (new / "1" / "a.pkl").write_text(content)

    for content in ("one", "two"):
        write_all(content)
        assert (target / "1" / "a.pkl").read_text() == content
    (target / "1" / "cat.jpg").write_text("cat")
    with pytest.raises(ValueError, match=r"results: cannot be written: the folder already holds '1/cat\.jpg'$"):
        write_all("three")
    assert (target / "1" / "a.pkl").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["results"]
