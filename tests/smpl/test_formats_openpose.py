"""OpenPose folders."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smpl_tools.formats import detect, read, write
from smpl_tools.formats._openpose_joints import BODY_25, BODY_25B, COCO_18
from tests.helpers import shared

# An upright figure 100 pixels high in BODY_25's order.
_X = [0, 0, -10, -14, -16, 10, 14, 16, 0, -7, -7, -7, 7, 7, 7, -2, 2, -5, 5, 9, 11, 6, -9, -11, -6]
_Y = [-45, -35, -35, -15, 0, -35, -15, 0, 0, 0, 25, 50, 0, 25, 50, -48, -48, -46, -46, 55, 54, 52, 55, 54, 52]
BODY = np.array([_X, _Y], float).T


def record(points, confidence=0.5, **others) -> dict:
    flat = np.concatenate([points, np.full((len(points), 1), confidence)], axis=1)
    return {"person_id": [-1], "pose_keypoints_2d": flat.ravel().tolist(), **others}


def folder(path: Path, frames: list[list[dict]], pattern: str = "clip_{:012d}_keypoints.json", **style) -> Path:
    path.mkdir()
    for number, people in enumerate(frames):
        text = json.dumps({"version": 1.3, "people": people}, **(style or {"separators": (",", ":")}))
        (path / pattern.format(number)).write_text(text)
    return path


def documents(path: Path) -> list[dict]:
    return [json.loads(file.read_text()) for file in sorted(path.iterdir())]


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


def changed(motion, change, track="pose"):
    """Return the motion with ``change(values)`` in a track of every person that has it."""
    people = []
    for person in motion.people:
        new = {track: person.tracks[track].replace(values=change(person.tracks[track].values))}
        people.append(person.with_tracks(new if track in person.tracks else {}))
    return motion.with_people(tuple(people))


@pytest.mark.parametrize("name", ["single_cam01", "two_people_cam01"])
def test_real_folders_come_back_byte_for_byte(tmp_path, name):
    source = shared("data", "real", "openpose", name)
    assert detect(source).name == "openpose"
    motion = read(source)
    write(motion, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(source)


def test_a_real_take_of_two_people(tmp_path):
    motion = read(shared("data", "real", "openpose", "two_people_cam01"), fps=60)
    assert motion.fps == 60
    whole = [p for p in motion.people if len(p.frames) > 90]
    # Two who sit and one who walks; an outlier in frame 37 is a fourth.
    assert [len(p.frames) for p in whole] == [100, 100, 98]
    assert [len(p.frames) for p in motion.people if p not in whole] == [1]
    track = whole[2].tracks["pose"]
    assert track.joints == BODY_25B
    assert track.confidence is not None
    assert np.array_equal(np.isnan(track.values).all(axis=-1), track.confidence == 0)
    write(changed(motion, lambda v: v + 1.0), tmp_path / "out")
    for old, new in zip(documents(Path(motion.path or "")), documents(tmp_path / "out"), strict=True):
        for one, other in zip(old["people"], new["people"], strict=True):
            before, after = (np.array(p["pose_keypoints_2d"]).reshape(-1, 3) for p in (one, other))
            np.testing.assert_array_equal(after[:, 2], before[:, 2])
            np.testing.assert_array_equal(after[:, :2], before[:, :2] + (before[:, 2:] > 0))


@settings(max_examples=8, deadline=None)
@given(orders=st.lists(st.permutations([0, 1]), min_size=20, max_size=20), seed=st.integers(0, 99))
def test_crossing_people_keep_their_identity_and_their_slot(tmp_path_factory, orders, seed):
    tmp_path = tmp_path_factory.mktemp("crossing")
    time = np.arange(20)[:, None, None]
    noise = np.random.default_rng(seed).normal(0, 0.5, (2, 20, 25, 2))
    tracks = BODY + np.stack([time * [4.0, 0.2], [80, 0] - time * [5.0, 0]]) + noise
    source = folder(tmp_path / "in", [[record(tracks[p, t]) for p in order] for t, order in enumerate(orders)])
    motion = read(source)
    first = orders[0]
    assert [p.id for p in motion.people] == ["0", "1"]
    for person, number in zip(motion.people, first, strict=True):
        np.testing.assert_array_equal(person.tracks["pose"].values, tracks[number])
    people = (motion.people[0], motion.people[1].with_tracks({"pose": _shifted(motion.people[1].tracks["pose"])}))
    write(motion.with_people(people), tmp_path / "out")
    for t, (order, document) in enumerate(zip(orders, documents(tmp_path / "out"), strict=True)):
        for place, number in enumerate(order):
            points = np.array(document["people"][place]["pose_keypoints_2d"]).reshape(-1, 3)
            wanted = tracks[number, t] + (100 if number == first[1] else 0)
            np.testing.assert_array_equal(points[:, :2], wanted)


def _shifted(track):
    return track.replace(values=track.values + 100)


def test_frames_gaps_and_the_frame_rate(tmp_path):
    people = [[record(BODY)], [], [record(BODY)], *[[]] * 45, [record(BODY)]]
    source = folder(tmp_path / "in", people)
    at_thirty = read(source)
    assert [p.frames.tolist() for p in at_thirty.people] == [[0, 2], [48]]
    assert at_thirty.fps is None
    assert at_thirty.notes == (
        "frame rate not stated in the files",
        "people matched across frames; one lost for more than 30 frames returns as a new one",
    )
    at_sixty = read(source, fps=60)
    assert [p.frames.tolist() for p in at_sixty.people] == [[0, 2, 48]]
    write(at_sixty, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(source)


def test_unseen_keypoints_are_nan_and_keep_their_numbers_until_they_are_filled(tmp_path):
    unseen = record(BODY)
    unseen["pose_keypoints_2d"][9:12] = [0, 0, 0]
    unseen["pose_keypoints_2d"][12:15] = [7.5, 8.5, 0.0]
    source = folder(tmp_path / "in", [[record(BODY)], [unseen]])
    motion = read(source)
    values, confidence = motion.people[0].tracks["pose"].values, motion.people[0].tracks["pose"].confidence
    assert np.isnan(values[1, 3:5]).all()
    assert np.isfinite(values[0]).all()
    assert confidence is not None
    assert confidence[1, 2:6].tolist() == [0.5, 0, 0, 0.5]
    filled = values.copy()
    filled[1, 3] = [1.25, -3.5]
    write(changed(motion, lambda _: filled), tmp_path / "out")
    numbers = documents(tmp_path / "out")[1]["people"][0]["pose_keypoints_2d"]
    assert numbers[9:15] == [1.25, -3.5, 0, 7.5, 8.5, 0.0]
    names = sorted(contents(source))
    # The file of the first frame was not changed.
    assert contents(tmp_path / "out")[names[0]] == contents(source)[names[0]]


def test_hands_and_face_are_tracks_where_they_were_seen(tmp_path):
    hand, face = np.tile(np.arange(21.0) + 1, (2, 1)).T, np.tile(np.arange(70.0), (2, 1)).T
    left = {"hand_left_keypoints_2d": record(hand)["pose_keypoints_2d"]}
    silent = {"hand_right_keypoints_2d": [0] * 63, "face_keypoints_2d": []}
    full = {"face_keypoints_2d": record(face)["pose_keypoints_2d"]}
    source = folder(
        tmp_path / "in", [[record(BODY, **left, **silent)], [record(BODY, **silent, **left)], [record(BODY, **full)]]
    )
    motion = read(source)
    tracks = motion.people[0].tracks
    assert {n: (t.part, t.values.shape) for n, t in tracks.items()} == {
        "pose": ("body", (3, 25, 2)),
        "left_hand": ("hands", (3, 21, 2)),
        "face": ("face", (3, 70, 2)),
    }
    assert tracks["left_hand"].joints[:2] == ("Wrist", "Thumb1")
    np.testing.assert_array_equal(tracks["left_hand"].values[1], hand)
    assert np.isnan(tracks["left_hand"].values[2]).all()
    write(changed(motion, lambda v: np.nan_to_num(v) + 1, "left_hand"), tmp_path / "out")
    after = documents(tmp_path / "out")
    assert after[0]["people"][0]["hand_left_keypoints_2d"][:4] == [2.0, 2.0, 0.5, 3.0]
    # No numbers stand where there were none, and nothing else moved.
    assert after[2] == documents(source)[2]
    assert after[0]["people"][0] | left == documents(source)[0]["people"][0]


@pytest.mark.parametrize("style", [{"separators": (",", ":")}, {"indent": 4}, {"separators": (", ", ": ")}])
def test_changed_files_keep_the_layout_of_their_text(tmp_path, style):
    source = folder(tmp_path / "in", [[record(BODY)]], **style)
    (file,) = source.iterdir()
    file.write_text(file.read_text() + "\n")
    write(changed(read(source), lambda v: v + 1000), tmp_path / "out")
    (written,) = (tmp_path / "out").iterdir()
    document = json.loads(file.read_text())
    document["people"][0] = record(BODY + 1000)
    assert written.read_text() == json.dumps(document, **style) + "\n"


@pytest.mark.parametrize(
    ("points", "names"), [(BODY, BODY_25), (BODY[:18], COCO_18), (BODY[:3], ("keypoint_0", "keypoint_1", "keypoint_2"))]
)
def test_keypoints_are_named_by_their_number(tmp_path, points, names):
    assert read(folder(tmp_path / "in", [[record(points)]])).people[0].tracks["pose"].joints == names


def test_twenty_five_keypoints_that_do_not_tell(tmp_path):
    points = record(BODY)
    points["pose_keypoints_2d"][3 * 8 : 3 * 9] = points["pose_keypoints_2d"][3 * 17 : 3 * 18] = [0, 0, 0]
    motion = read(folder(tmp_path / "in", [[points]]))
    assert motion.people[0].tracks["pose"].joints == BODY_25
    assert "25 keypoints: taken as BODY_25, the poses do not tell it from BODY_25B" in motion.notes


@pytest.mark.parametrize(
    ("names", "frames"),
    [
        (["a2d_7.json", "a2d_9.json"], [7, 9]),
        (["5_keypoints_2d.json", "6_keypoints_2d.json"], [5, 6]),
        (["v10.json", "v9.json"], [9, 10]),
        (["x3.JSON"], [3]),
    ],
)
def test_frame_numbers_come_from_file_names(tmp_path, names, frames):
    source = folder(tmp_path / "in", [])
    for name in names:
        (source / name).write_text(json.dumps({"people": [record(BODY)]}))
    assert read(source).people[0].frames.tolist() == frames


def test_other_files_are_left_out_and_3d_is_kept(tmp_path):
    source = folder(tmp_path / "in", [[record(BODY, pose_keypoints_3d=[1, 2, 3, 4])]])
    (source / "README.txt").write_text("about")
    (source / "sub.json").mkdir()
    motion = read(source)
    assert motion.notes[2:] == (
        "the files hold 3D keypoints too: they are kept as they are",
        "entries of the folder that are not .json files, left out on writing: 2",
    )
    write(changed(motion, lambda v: v + 1), tmp_path / "out")
    (after,) = documents(tmp_path / "out")
    assert after["people"][0]["pose_keypoints_3d"] == [1, 2, 3, 4]


def test_keys_of_the_first_versions(tmp_path):
    def old(people):
        return [{key.removesuffix("_2d"): value for key, value in person.items()} for person in people]

    hand = np.c_[np.arange(21.0), np.arange(21.0), np.ones(21)].ravel().tolist()
    frames = [[record(BODY + k, hand_left_keypoints_2d=hand)] for k in range(4)]
    new = read(folder(tmp_path / "new", frames))
    source = folder(tmp_path / "old", [old(people) for people in frames])
    motion = read(source)
    for track in ("pose", "left_hand"):
        np.testing.assert_array_equal(motion.people[0].tracks[track].values, new.people[0].tracks[track].values)
    write(changed(motion, lambda values: values + 1), tmp_path / "out")
    (person,) = documents(tmp_path / "out")[2]["people"]
    assert set(person) == {"person_id", "pose_keypoints", "hand_left_keypoints"}
    assert person["pose_keypoints"][:2] == [3.0 + BODY[0, 0], 3.0 + BODY[0, 1]]


def test_people_without_keypoints_by_any_name_are_refused(tmp_path):
    source = folder(tmp_path / "in", [[{"person_id": [-1], "skeleton": [1, 2, 3]}]])
    with pytest.raises(ValueError, match="keys of person 0: expected pose_keypoints_2d, received person_id, skeleton"):
        read(source)


def test_nobody_is_in_the_picture(tmp_path):
    nothing = record(np.zeros((25, 2)), 0)
    for number, people in enumerate(([[], []], [[nothing]], [[{"pose_keypoints_2d": []}]])):
        source = folder(tmp_path / f"in{number}", people)
        motion = read(source)
        assert motion.people == ()
        write(motion, tmp_path / f"out{number}")
        assert contents(tmp_path / f"out{number}") == contents(source)


GOOD = json.dumps({"people": [record(BODY)]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "b_1.json: not readable JSON: Expecting value: line 1 column 1 (char 0)"),
        (GOOD[:200], "b_1.json: not readable JSON: Expecting"),
        ('{"people": ' + "[" * 100000, "b_1.json: not readable JSON: nested too deeply"),
        ('{"people": [' + "9" * 5000 + "]}", "b_1.json: not readable JSON: Exceeds the limit"),
        (b"\xff\xfe\xff", "b_1.json: not readable JSON: "),
        ("[1]", "b_1.json: JSON: expected an object with the key people, received a list"),
        ('{"person": 1}', "b_1.json: people: expected a list of objects, received no such key"),
        ('{"people": [1]}', "b_1.json: people: expected a list of objects, received something else"),
        (
            '{"people": [{"pose_keypoints_2d": [1, 2]}]}',
            "b_1.json: pose_keypoints_2d: expected a list of x, y, confidence for each keypoint, received 2 numbers",
        ),
        (
            '{"people": [{"face_keypoints_2d": "x"}]}',
            "b_1.json: face_keypoints_2d: expected a list of x, y, confidence for each keypoint, received a str",
        ),
        (
            '{"people": [{"pose_keypoints_2d": [1, "2", 1]}]}',
            "b_1.json: pose_keypoints_2d: expected numbers, received a str",
        ),
        (
            '{"people": [{"pose_keypoints_2d": [true, 2, 1]}]}',
            "b_1.json: pose_keypoints_2d: expected numbers, received a bool",
        ),
        (
            '{"people": [{"pose_keypoints_2d": [1e300, 2, 1]}]}',
            "b_1.json: pose_keypoints_2d: expected numbers up to 1e+09, received 1e+300",
        ),
        (
            '{"people": [{"pose_keypoints_2d": [Infinity, 2, 1]}]}',
            "b_1.json: pose_keypoints_2d: expected numbers up to 1e+09, received inf",
        ),
        (
            json.dumps({"people": [record(BODY[:18])]}),
            "b_1.json: keypoints of a person: expected 25 as in a_0.json, received 18",
        ),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path, text, message):
    source = tmp_path / "in"
    source.mkdir()
    (source / "a_0.json").write_text(GOOD)
    (source / "b_1.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=re.escape(f"{source}/{message}")) as caught:
        read(source)
    assert "\n" not in str(caught.value)


def test_nan_in_the_text_is_not_seen(tmp_path):
    source = folder(tmp_path / "in", [[record(BODY)]])
    (file,) = source.iterdir()
    file.write_text(file.read_text().replace("-45.0,0.5", "NaN,0.5").replace("-35.0,0.5", "-35.0,NaN", 1))
    motion = read(source)
    assert np.isnan(motion.people[0].tracks["pose"].values[0, :2]).all()
    assert motion.people[0].tracks["pose"].confidence[0, :3].tolist() == [0.5, 0.0, 0.5]
    write(motion, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(source)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["a.json", "b.json"],
            "file names: expected a frame number that differs from file to file, received a.json, b.json",
        ),
        (
            ["a1.json", "b1.json"],
            "file names: expected a frame number that differs from file to file, received a1.json, b1",
        ),
        (
            ["99999999999999999999.json"],
            "file names: expected a frame number that differs from file to file, received 9999",
        ),
        ([], "expected a folder of OpenPose JSON files, received no file that ends in .json"),
    ],
)
def test_files_without_frame_numbers_are_refused(tmp_path, names, message):
    source = folder(tmp_path / "in", [])
    for name in names:
        (source / name).write_text(GOOD)
    with pytest.raises(ValueError, match=re.escape(f"{source}: {message}")):
        read(source, format="openpose")


def test_one_file_and_other_folders_are_not_openpose(tmp_path):
    file = tmp_path / "one.json"
    file.write_text(GOOD)
    with pytest.raises(ValueError, match="expected a folder of OpenPose JSON files, received a file"):
        read(file, format="openpose")
    other = tmp_path / "easymocap"
    other.mkdir()
    (other / "000000.json").write_text('[{"id": 0, "Rh": [[0, 0, 0]]}]')
    with pytest.raises(ValueError, match=r"easymocap: unknown format: expected one of .*openpose"):
        read(other)


def test_writing_replaces_a_folder_of_the_same_files_only(tmp_path):
    source = folder(tmp_path / "in", [[record(BODY)], [record(BODY)]])
    motion = changed(read(source), lambda v: v + 1)
    target = folder(tmp_path / "out", [[]])
    write(motion, target)
    assert sorted(contents(target)) == sorted(contents(source))
    (target / "mine.txt").write_text("precious")
    with pytest.raises(ValueError, match=r"already holds 'mine\.txt'"):
        write(motion, target)
    assert (target / "mine.txt").read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]
