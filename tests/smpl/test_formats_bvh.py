from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from smoothnet_core.limits import limit
from smpl_tools.formats import bvh, detect, read, write
from smpl_tools.skeleton import person_positions
from tests.helpers import shared

SIX = "Xposition Yposition Zposition Zrotation Xrotation Yrotation"


def text(
    *,
    root: str = f"CHANNELS 6 {SIX}",
    child: str = "CHANNELS 3 Zrotation Xrotation Yrotation",
    rows: str = "0 1 0 10 20 30 1.5 -2.5 3.5\n0 1 0 11 21 31 2.5 -3.5 4.5\n",
    frames: str = "2",
    time: str = "0.0333333",
) -> str:
    return (
        f"HIERARCHY\nROOT Hips\n{{\n\tOFFSET 0 0 0\n\t{root}\n\tJOINT Chest\n\t{{\n\t\tOFFSET 0 10 0\n\t\t{child}\n"
        f"\t\tEnd Site\n\t\t{{\n\t\t\tOFFSET 0 5 0\n\t\t}}\n\t}}\n}}\n"
        f"MOTION\nFrames: {frames}\nFrame Time: {time}\n{rows}"
    )


def saved(folder: Path, content: str | bytes, name: str = "take.bvh") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def track(motion, name, person=0):
    return motion.people[person].tracks[name].values


def bones(motion):
    assert motion.skeleton is not None
    return motion.skeleton


def changed(motion, name, values, person=0):
    people = list(motion.people)
    one = people[person]
    people[person] = one.with_tracks({name: one.tracks[name].replace(values=values)})
    return motion.with_people(tuple(people))


def written(motion, folder: Path) -> str:
    write(motion, folder / "out.bvh")
    return (folder / "out.bvh").read_bytes().decode()


# --- reading ---------------------------------------------------------------------------------------------------------


def test_what_a_small_file_says(tmp_path):
    motion = read(saved(tmp_path, text()))
    person = motion.people[0]
    assert motion.format == "bvh"
    assert motion.fps == 30.0
    assert person.id == "0"
    assert set(person.tracks) == {"global_orient", "transl", "body_pose"}
    assert person.tracks["body_pose"].joints == ("Chest",)
    assert person.tracks["body_pose"].part == "body"
    assert person.tracks["global_orient"].part == person.tracks["transl"].part == "root"
    assert bones(motion).joints == ("Hips", "Chest")
    np.testing.assert_array_equal(bones(motion).parents, [-1, 0])
    np.testing.assert_array_equal(bones(motion).offsets, [[0, 0, 0], [0, 10, 0]])
    np.testing.assert_array_equal(track(motion, "transl"), [[[0, 1, 0]], [[0, 1, 0]]])


AXES = ["xyz", "xzy", "yxz", "yzx", "zxy", "zyx", "xyx", "xzx", "yxy", "yzy", "zxz", "zyz"]


@pytest.mark.parametrize("axes", AXES)
def test_rotation_channels_multiply_from_left_to_right(tmp_path, axes):
    child = "CHANNELS 3 " + " ".join(f"{a.upper()}rotation" for a in axes)
    motion = read(saved(tmp_path, text(child=child)))
    angles = [[1.5, -2.5, 3.5], [2.5, -3.5, 4.5]]
    expected = Rotation.from_euler(axes.upper(), angles, degrees=True).as_matrix()
    np.testing.assert_allclose(track(motion, "body_pose")[:, 0], expected, atol=1e-15)


def test_channels_in_any_order(tmp_path):
    mixed = "CHANNELS 6 Yrotation Zposition Xrotation Xposition Zrotation Yposition"
    motion = read(saved(tmp_path, text(root=mixed)))
    np.testing.assert_array_equal(track(motion, "transl")[0, 0], [10, 30, 1])
    expected = Rotation.from_euler("YXZ", [0, 0, 20], degrees=True).as_matrix()
    np.testing.assert_allclose(track(motion, "global_orient")[0, 0], expected, atol=1e-15)


HABITS = {
    "CRLF": text().replace("\n", "\r\n"),
    "old Mac": text().replace("\n", "\r"),
    "tabs": text().replace(" ", "\t").replace("End\tSite", "End Site").replace("Frame\tTime", "Frame Time"),
    "lower case": text().lower(),
    "upper case": text().upper(),
    "blank lines": text().replace("\n", "\n\n"),
    "byte order mark": "\ufeff" + text(),
    "braces on the line": re.sub(r"\n\s*\{", " {", text()),
    "no space before the brace": text().replace("Hips\n{", "Hips{"),
    "loose colons": text().replace("Frames:", "Frames :").replace("Frame Time:", "Frame  Time  :\t"),
    "no final newline": text().rstrip("\n"),
    "trailing spaces": text(rows="0 1 0 10 20 30 1.5 -2.5 3.5  \n  0  1 0\t11 21 31 2.5 -3.5 4.5 \n"),
    "scientific": text(rows="0 1e0 0 1E+1 20 30 1.5 -25e-1 3.5\n0 1 0 11 21 31 2.5 -3.5 4.5\n"),
    "leading blank lines": "\n \n" + text(),
    "wrapped channels": text().replace("Zrotation Xrotation Yrotation\n\t\tEnd", "Zrotation\nXrotation Yrotation\nEnd"),
}


@pytest.mark.parametrize("habit", HABITS)
def test_habits_of_programs_change_nothing(tmp_path, habit):
    path = saved(tmp_path, HABITS[habit])
    plain = read(saved(tmp_path, text(), "plain.bvh"))
    assert detect(path).name == "bvh"
    motion = read(path)
    assert motion.fps == 30.0
    for name in plain.people[0].tracks:
        np.testing.assert_array_equal(track(motion, name), track(plain, name))
    np.testing.assert_array_equal(bones(motion).offsets, bones(plain).offsets)
    write(motion, tmp_path / "out.bvh")
    assert (tmp_path / "out.bvh").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("habit", HABITS)
def test_white_space_and_the_other_numbers_stay_when_one_joint_changes(tmp_path, habit):
    path = saved(tmp_path, HABITS[habit])
    motion = read(path)
    out = written(changed(motion, "transl", track(motion, "transl") + np.array([0.5, 0, 0])), tmp_path)
    before = path.read_bytes().decode()
    assert re.sub(r"[^\s]", "", out) == re.sub(r"[^\s]", "", before)
    pairs = [(a, b) for a, b in zip(before.split(), out.split(), strict=True) if a != b]
    assert pairs == [("0", "0.5000")] * 2


@pytest.mark.parametrize(
    ("time", "fps"),
    [
        ("0.041667", 24.0),
        ("0.0416667", 24.0),
        ("0.041666", 24.0),
        ("0.0333333", 30.0),
        ("0.033333", 30.0),
        ("0.0333", 30.0),
        ("3.33333e-02", 30.0),
        ("0.03333333333333333", 30.0),
        ("0.0333667", 30000 / 1001),
        ("0.033367", 30000 / 1001),
        ("0.0166667", 60.0),
        ("0.016683", 60000 / 1001),
        ("0.008333", 120.0),
        (".008333333", 120.0),
        ("0.01", 100.0),
        ("0.04", 25.0),
        ("1", 1.0),
        ("0.0285714", 35.0),
        ("0.08", 12.5),
        ("0.008", 125.0),
        ("0.005", 200.0),
        ("0", None),
    ],
)
def test_frame_rate(tmp_path, time, fps):
    motion = read(saved(tmp_path, text(time=time)))
    assert motion.fps == (None if fps is None else pytest.approx(fps, rel=1e-9))
    assert any("no frame rate" in note for note in motion.notes) == (fps is None)


@pytest.mark.parametrize(
    "bad", ["nan", "-nan(ind)", "NaN", "1.#QNAN", "-1.#IND", "inf", "-Infinity", "1.#INF", "1e999"]
)
def test_not_finite_is_not_observed_and_stays_as_written(tmp_path, bad):
    path = saved(tmp_path, text(rows=f"0 1 0 10 20 30 {bad} -2.5 3.5\n0 {bad} 0 11 21 31 2.5 -3.5 4.5\n"))
    motion = read(path)
    assert np.isnan(track(motion, "body_pose")[0]).all()
    assert np.isfinite(track(motion, "body_pose")[1]).all()
    assert np.isnan(track(motion, "transl")[1, 0, 1])
    assert motion.notes == ("2 numbers are not finite and count as not observed",)
    assert written(motion, tmp_path) == path.read_text()
    # A refiner that changes the rest leaves the text of what it could not fill.
    moved = track(motion, "body_pose").copy()
    moved[1] = np.eye(3)
    out = written(changed(motion, "body_pose", moved), tmp_path).splitlines()
    assert out[-2].split()[6:] == [bad, "-2.5", "3.5"]
    assert [float(v) for v in out[-1].split()[6:]] == [0, 0, 0]


def test_filled_gaps_are_written(tmp_path):
    motion = read(saved(tmp_path, text(rows="0 1 0 10 20 30 nan nan nan\n0 1 0 11 21 31 2.5 -3.5 4.5\n")))
    filled = track(motion, "body_pose").copy()
    filled[0] = filled[1]
    again = read(saved(tmp_path, written(changed(motion, "body_pose", filled), tmp_path)))
    np.testing.assert_allclose(track(again, "body_pose"), filled, atol=1e-6)


def test_one_or_two_rotation_channels_are_unwrapped_angles(tmp_path):
    rows = "0 1 0 10 20 30 170 5\n0 1 0 10 20 30 -170 6\n0 1 0 10 20 30 nan 7\n0 1 0 10 20 30 -150 8\n"
    path = saved(tmp_path, text(child="CHANNELS 2 Zrotation Xrotation", rows=rows, frames="4"))
    motion = read(path)
    joint = motion.people[0].tracks["joint_angles"]
    assert joint.kind == "channels"
    assert joint.part == "body"
    assert joint.joints == ("Chest.Zrotation", "Chest.Xrotation")
    np.testing.assert_allclose(np.rad2deg(joint.values), [[170, 5], [190, 6], [np.nan, 7], [210, 8]])
    out = written(changed(motion, "joint_angles", joint.values + np.deg2rad([0, 1])), tmp_path).splitlines()
    assert [line.split()[6:] for line in out[-4:]] == [
        ["170", "6.0000"],
        ["-170", "7.0000"],
        ["nan", "8.0000"],
        ["-150", "9.0000"],
    ]


def test_a_repeated_neighbouring_axis_is_no_euler_order(tmp_path):
    motion = read(saved(tmp_path, text(child="CHANNELS 3 Xrotation Xrotation Yrotation")))
    assert track(motion, "joint_angles").shape == (2, 3)


def test_a_root_without_all_positions(tmp_path):
    root = "CHANNELS 4 Yposition Zrotation Xrotation Yrotation"
    motion = read(saved(tmp_path, text(root=root, rows="1 10 20 30 1 2 3\n2 10 20 30 1 2 3\n")))
    lone = motion.people[0].tracks["transl_channels"]
    assert lone.kind == "channels"
    assert lone.joints == ("Hips.Yposition",)
    np.testing.assert_array_equal(lone.values, [[1], [2]])
    assert "transl" not in motion.people[0].tracks
    out = written(changed(motion, "transl_channels", lone.values + 1), tmp_path).splitlines()
    assert [line.split()[0] for line in out[-2:]] == ["2.0000", "3.0000"]


def test_a_root_that_only_turns_about_one_axis(tmp_path):
    motion = read(saved(tmp_path, text(root="CHANNELS 1 Yrotation", rows="90 1 2 3\n95 1 2 3\n")))
    assert motion.people[0].tracks["root_angles"].part == "root"


def test_positions_of_other_joints_count_where_they_move(tmp_path):
    child = f"CHANNELS 6 {SIX}"
    still = "0 1 0 10 20 30 0 9 0 1 2 3\n0 1 0 10 20 30 0 9 0 1 2 3\n"
    motion = read(saved(tmp_path, text(child=child, rows=still)))
    assert "joint_positions" not in motion.people[0].tracks
    np.testing.assert_array_equal(bones(motion).offsets[1], [0, 9, 0])
    moving = still[: len(still) // 2] + "0 1 0 10 20 30 0 9.5 0 1 2 3\n"
    motion = read(saved(tmp_path, text(child=child, rows=moving)))
    positions = motion.people[0].tracks["joint_positions"]
    assert positions.joints == ("Chest",)
    np.testing.assert_array_equal(positions.values[:, 0], [[0, 9, 0], [0, 9.5, 0]])
    np.testing.assert_array_equal(bones(motion).offsets[1], [0, 10, 0])


@pytest.mark.parametrize(
    "name",
    ["LeftHandThumb1", "RightHandIndex3", "lthumb", "LeftFingerBase", "thumb.01.L", "f_pinky.02.R", "LeftInHandMiddle",
     "mixamorig:RightHandRing2", "hand_little_1", "rRing1"],
)  # fmt: skip
def test_names_of_fingers(tmp_path, name):
    motion = read(saved(tmp_path, text().replace("Chest", name)))
    assert motion.people[0].tracks["hand_pose"].joints == (name,)
    assert motion.people[0].tracks["hand_pose"].part == "hands"


@pytest.mark.parametrize("name", ["Spring", "LeftHand", "spine_middle", "LeftToeIndex", "Chest", "String.L"])
def test_names_of_other_joints(tmp_path, name):
    motion = read(saved(tmp_path, text().replace("Chest", name)))
    assert motion.people[0].tracks["body_pose"].joints == (name,)


def test_several_roots_are_several_people(tmp_path):
    one = "ROOT {0}\n{{\nOFFSET 0 0 0\nCHANNELS 3 Zrotation Xrotation Yrotation\nEnd Site\n{{\nOFFSET 0 1 0\n}}\n}}\n"
    header = "HIERARCHY\n" + one.format("Ann") + one.format("Bob")
    motion = read(saved(tmp_path, header + "MOTION\nFrames: 1\nFrame Time: 0.01\n1 2 3 4 5 6\n"))
    assert [p.id for p in motion.people] == ["Ann", "Bob"]
    expected = Rotation.from_euler("ZXY", [[1, 2, 3], [4, 5, 6]], degrees=True).as_matrix()
    np.testing.assert_allclose(track(motion, "global_orient", 1)[0, 0], expected[1], atol=1e-15)
    np.testing.assert_array_equal(bones(motion).parents, [-1, -1])
    turned = changed(motion, "global_orient", track(motion, "global_orient", 1) @ np.diag([-1.0, 1, -1]), person=1)
    assert written(turned, tmp_path).splitlines()[-1].split()[:3] == ["1", "2", "3"]


def test_names_with_spaces_and_other_alphabets(tmp_path):
    content = text().replace("Hips", "Bip01 L Thigh").replace("Chest", "胸").encode()
    motion = read(saved(tmp_path, content))
    assert bones(motion).joints == ("Bip01 L Thigh", "胸")
    latin = text().replace("Chest", "Hüfte").encode("latin-1")
    path = saved(tmp_path, latin)
    motion = read(path)
    assert bones(motion).joints[1] == "Hüfte"
    write(motion, tmp_path / "out.bvh")
    assert (tmp_path / "out.bvh").read_bytes() == latin


def test_equal_and_missing_names_are_told_apart(tmp_path):
    assert bones(read(saved(tmp_path, text().replace("Chest", "Hips")))).joints == ("Hips", "Hips (2)")
    assert bones(read(saved(tmp_path, text().replace("JOINT Chest", "JOINT")))).joints == ("Hips", "joint 1")


def test_no_frames(tmp_path):
    path = saved(tmp_path, text(rows="", frames="0"))
    motion = read(path)
    assert len(motion.people[0].frames) == 0
    assert track(motion, "body_pose").shape == (0, 1, 3, 3)
    assert written(motion, tmp_path) == path.read_text()
    assert person_positions(motion.people[0], bones(motion)).shape == (0, 2, 3)


def test_joints_without_channels(tmp_path):
    motion = read(saved(tmp_path, text(child="CHANNELS 0", rows="1 2 3 4 5 6\n1 2 3 4 5 7\n")))
    assert "body_pose" not in motion.people[0].tracks
    assert bones(motion).joints == ("Hips", "Chest")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (text(rows="0 1 0 10 20 30 1.5 -2.5 3.5\n0 1 0 11\n"), "line 20, frame 2 of 2: expected 9 numbers, received 4"),
        (text(rows="0 1 0 1 2 3 4 5 6 7\n0 1 0 1 2 3 4 5\n"), "line 19, frame 1 of 2: expected 9 numbers, received 10"),
        (text(frames="5"), "rows of the table: expected 5 as 'Frames:' declares, received 2"),
        (text(frames="1"), "rows of the table: expected 1 as 'Frames:' declares, received 2"),
        (text(frames="999999999999999999"), "expected 999999999999999999 as 'Frames:' declares, received 2"),
        (text(frames="0"), "rows of the table: expected 0 as 'Frames:' declares, received 2"),
        (text(frames="-3"), "Frames: expected a whole number, received '-3'"),
        (text(frames="two"), "Frames: expected a whole number, received 'two'"),
        (text(rows="0 1 0 10 20 30 1,5 -2.5 3.5\n"), "line 19: expected a number, received '1,5'"),
        (text(rows="0 1 0 10 20 30 1_5 -2.5 3.5\n"), "line 19: expected a number, received '1_5'"),
        (text(rows="0 1 0 10 20 30 ٣ -2.5 3.5\n"), "line 19: expected a number, received '٣'"),
        (text(time="soon"), "Frame Time: expected seconds, 0 or more, received 'soon'"),
        (text(time="-0.1"), "Frame Time: expected seconds, 0 or more, received '-0.1'"),
        (text(time="nan"), "Frame Time: expected seconds, 0 or more, received 'nan'"),
        (text(time="1e400"), "Frame Time: expected seconds, 0 or more, received '1e400'"),
        (text().replace("OFFSET 0 10 0", "OFFSET 0 10"), "expected three numbers after OFFSET, received 'CHANNELS'"),
        (text(child="CHANNELS 7 Xrotation"), "line 9: expected a number from 0 to 6 after CHANNELS, received '7'"),
        (text(child="CHANNELS 1 Wrotation"), "line 9: expected one of Xposition, Xrotation, .* received 'Wrotation'"),
        (text(child="CHANNELS 2 Xrotation"), "line 10: expected one of Xposition, .* received 'end'"),
        (text(root="CHANNELS 0", child="CHANNELS 0"), "expected a joint with channels, received 2 joints, none"),
        (text().replace("ROOT", "JOINT", 1), "line 2: expected ROOT or MOTION, received 'joint Hips'"),
        (text().replace("}\nMOTION", "MOTION"), "expected OFFSET, CHANNELS, JOINT, End Site or }, received 'MOTION'"),
        (text().replace("Hips\n{", "Hips\n"), "line 4: expected {, received 'OFFSET'"),
        (text()[:60], "line 5: expected one of Xposition, .*, received '.*'"),
        (text()[: text().index("MOTION")], "line 15: expected ROOT, JOINT or MOTION, received the end of the file"),
        (text()[: text().index("Frames")], "line 16: expected 'Frames:' and 'Frame Time:' .* received 'the end"),
        ("HIERARCHY\n" + "ROOT a\n{\n" * 2, "line 4: expected OFFSET, CHANNELS, .* or }, received 'root a'"),
        ("HIERARCHY MOTION\nFrames: 1\nFrame Time: 1\n", "expected a joint with channels, received 0 joints"),
    ],
)  # fmt: skip
def test_refusals_name_the_place(tmp_path, content, message):
    path = saved(tmp_path, content)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: .*{message}") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_chain_of_the_greatest_depth_is_read_and_a_longer_one_refused(tmp_path):
    def chain(count):
        opened = "".join(f"JOINT j{k}\n{{\nOFFSET 0 1 0\nCHANNELS 1 Xrotation\n" for k in range(count - 1))
        table = f"MOTION\nFrames: 1\nFrame Time: 0.1\n{'0 ' * (count + 2)}\n"
        root = "HIERARCHY\nROOT r\n{\nOFFSET 0 0 0\nCHANNELS 3 Xrotation Yrotation Zrotation\n"
        return root + opened + "}\n" * count + table

    most = limit("joints")
    assert len(bones(read(saved(tmp_path, chain(most)))).joints) == most
    with pytest.raises(
        ValueError, match=r"joints: expected at most 20,000, received 20,001 \(SMOOTHNET_LIMITS=joints="
    ):
        read(saved(tmp_path, chain(most + 1)))


def test_one_long_line_is_read_in_linear_time(tmp_path):
    path = saved(tmp_path, "HIERARCHY ROOT a { OFFSET 0 0 0 " + "OFFSET 0 0 0 " * 50_000)
    with pytest.raises(ValueError, match="received the end of the file"):
        read(path)


# --- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["000_genuine.bvh", "003_genuine.bvh"])
def test_real_files_come_back_byte_for_byte(tmp_path, name):
    path = shared("data", "real", "reactidle", name)
    motion = read(path)
    assert motion.fps == 24.0
    assert detect(path).name == "bvh"
    write(motion, tmp_path / "out.bvh")
    assert (tmp_path / "out.bvh").read_bytes() == path.read_bytes()


def test_a_real_file_changed_and_read_again(tmp_path):
    path = shared("data", "real", "reactidle", "003_genuine.bvh")
    motion = read(path)
    rng = np.random.default_rng(1)
    shape = track(motion, "body_pose").shape
    noise = Rotation.from_rotvec(rng.normal(scale=0.05, size=(shape[0] * shape[1], 3))).as_matrix().reshape(shape)
    new = track(motion, "body_pose") @ noise
    write(changed(motion, "body_pose", new), tmp_path / "out.bvh")
    again = read(tmp_path / "out.bvh")
    np.testing.assert_allclose(track(again, "body_pose"), new, atol=3e-8)
    np.testing.assert_array_equal(track(again, "transl"), track(motion, "transl"))
    before, after = path.read_text().split("\n"), (tmp_path / "out.bvh").read_text().split("\n")
    assert before[:127] == after[:127]
    assert [len(r.split()) for r in before] == [len(r.split()) for r in after]
    for a, b in zip(before[127:-1], after[127:-1], strict=True):
        assert a.split()[:6] == b.split()[:6]
    angles = np.array([r.split() for r in after[127:-1]], float)
    assert np.abs(np.diff(angles, axis=0)).max() < 180


def test_unchanged_joints_of_a_changed_track_keep_their_text(tmp_path):
    path = shared("data", "real", "reactidle", "003_genuine.bvh")
    motion = read(path)
    new = track(motion, "body_pose").copy()
    new[:, 3] = np.eye(3)
    write(changed(motion, "body_pose", new), tmp_path / "out.bvh")
    old_table = np.array([r.split() for r in path.read_text().split("\n")[127:-1]])
    new_table = np.array([r.split() for r in (tmp_path / "out.bvh").read_text().split("\n")[127:-1]])
    columns = np.flatnonzero((old_table != new_table).any(axis=0))
    face = motion.source.text.joints[bones(motion).joints.index("face")]
    assert set(columns) <= set(range(face.first + 3, face.first + 6))
    assert {len(v.partition(".")[2]) for v in new_table.ravel()} == {6}


def test_angles_beyond_half_a_turn_go_on_where_the_file_is(tmp_path):
    turns = [350, 370, 390, 410, 430]
    rows = "".join(f"0 1 0 {a} 100 30 1 2 3\n" for a in turns)
    motion = read(saved(tmp_path, text(rows=rows, frames="5")))
    tilt = Rotation.from_euler("x", 1e-3, degrees=True).as_matrix()
    out = written(changed(motion, "global_orient", track(motion, "global_orient") @ tilt), tmp_path)
    angles = np.array([line.split()[3:6] for line in out.splitlines()[-5:]], float)
    np.testing.assert_allclose(angles, [[a, 100, 30] for a in turns], atol=0.01)


def test_flips_in_the_file_are_gone_from_what_is_written(tmp_path):
    turns = [170, 179, -172, -163]
    rows = "".join(f"0 1 0 {a} 0 0 1 2 3\n" for a in turns)
    motion = read(saved(tmp_path, text(rows=rows, frames="4")))
    tilt = Rotation.from_euler("z", 1.0, degrees=True).as_matrix()
    out = written(changed(motion, "global_orient", tilt @ track(motion, "global_orient")), tmp_path)
    assert [line.split()[3] for line in out.splitlines()[-4:]] == ["171.0000", "180.0000", "189.0000", "198.0000"]


def test_digits_are_the_files_own(tmp_path):
    rows = "0.12345678 1 0 10 20 30 1.25 -2.5 3.5\n0 1 0 11 21 31 2.5 -3.5 4.123456\n"
    motion = read(saved(tmp_path, text(rows=rows)))
    out = written(changed(motion, "transl", track(motion, "transl") + 1 / 3), tmp_path)
    assert out.splitlines()[-1].split()[:4] == ["0.33333333", "1.33333333", "0.33333333", "11"]
    out = written(changed(motion, "body_pose", np.broadcast_to(np.eye(3), (2, 1, 3, 3))), tmp_path)
    assert all(len(v.partition(".")[2]) == 6 for v in out.splitlines()[-1].split()[6:])


def test_a_track_of_another_shape_is_refused(tmp_path):
    motion = read(saved(tmp_path, text()))
    longer = np.zeros((2, 2, 3))
    broken = motion.people[0].tracks["transl"].replace(values=longer, joints=("a", "b"))
    one = motion.people[0].with_tracks({"transl": broken})
    with pytest.raises(
        ValueError, match=re.escape("shape of the track transl: expected (2, 1, 3), received (2, 2, 3)")
    ):
        write(motion.with_people((one,)), tmp_path / "out.bvh")
    assert not (tmp_path / "out.bvh").exists()


def test_reading_leaves_the_motion_and_the_file_alone(tmp_path):
    path = saved(tmp_path, text())
    motion = read(path)
    new = track(motion, "body_pose") @ Rotation.from_euler("x", 0.1).as_matrix()
    before = new.copy()
    write(changed(motion, "body_pose", new), tmp_path / "out.bvh")
    np.testing.assert_array_equal(new, before)
    assert path.read_text() == text()


# --- any hierarchy ---------------------------------------------------------------------------------------------------


@st.composite
def hierarchies(draw):
    """Return the text of a BVH with 1 to 6 joints in any tree, any channels, and the (T, C) numbers in it."""
    names = [f"{axis}{kind}" for kind in ("position", "rotation") for axis in "XYZ"]
    count = draw(st.integers(1, 6))
    parents = [-1] + [draw(st.integers(0, k - 1)) for k in range(1, count)]
    channels = [draw(st.permutations(names))[: draw(st.integers(0, 6))] for _ in range(count)]
    if not any(channels):
        channels[0] = ["Xrotation"]
    end, pad = draw(st.sampled_from(["\n", "\r\n"])), draw(st.sampled_from([" ", "\t", "  "]))
    order: list[int] = []

    def block(joint):
        order.append(joint)
        word = "ROOT" if joint == 0 else "JOINT"
        lines = [f"{word} j{joint}", "{", f"OFFSET 0 {joint} 1"]
        lines += [pad.join(["CHANNELS", str(len(channels[joint])), *channels[joint]])]
        for child in [k for k, p in enumerate(parents) if p == joint]:
            lines += block(child)
        return [*lines, "End Site", "{", "OFFSET 0 0 1", "}", "}"]

    header = ["HIERARCHY", *block(0), "MOTION"]
    frames = draw(st.integers(0, 5))
    total = sum(len(c) for c in channels)
    table = draw(arrays(np.int64, (frames, total), elements=st.integers(-400_000, 400_000))) / 1000
    rows = [pad.join(f"{v:.5f}" for v in row) for row in table]
    header += [f"Frames:{pad}{frames}", f"Frame Time:{pad}0.05", *rows]
    return end.join(header) + end, table, [channels[j] for j in order], [parents[j] for j in order], order


@settings(max_examples=60, deadline=None)
@given(hierarchies())
def test_any_hierarchy_is_read_right_and_comes_back(tmp_path_factory, made):
    content, table, channels, parents, order = made
    folder = tmp_path_factory.mktemp("any")
    path = saved(folder, content)
    motion = read(path)
    assert bones(motion).joints == tuple(f"j{k}" for k in order)
    write(motion, folder / "out.bvh")
    assert (folder / "out.bvh").read_bytes() == path.read_bytes()

    # Forward kinematics straight from the numbers, one matrix a channel, against the tracks.
    expected = np.zeros((len(table), len(order), 3))
    turned = np.zeros((len(table), len(order), 3, 3))
    column = 0
    for j, names in enumerate(channels):
        offset = np.tile([0.0, order[j], 1.0], (len(table), 1))
        local = np.tile(np.eye(3), (len(table), 1, 1))
        for name in names:
            value = table[:, column]
            column += 1
            if name.endswith("position"):
                offset[:, "XYZ".index(name[0])] = value
            elif len(table):
                local = local @ Rotation.from_euler(name[0], value[:, None], degrees=True).as_matrix()
        up = parents[j] if parents[j] < 0 else order.index(parents[j])
        turned[:, j] = local if up < 0 else turned[:, up] @ local
        expected[:, j] = offset if up < 0 else expected[:, up] + (turned[:, up] @ offset[..., None])[..., 0]
    if motion.people[0].tracks:
        np.testing.assert_allclose(person_positions(motion.people[0], bones(motion)), expected, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(AXES),
    arrays(np.float64, (8, 3), elements=st.floats(-400, 400)),
    arrays(np.float64, (3,), elements=st.floats(-3, 3)),
)
def test_rotations_written_are_rotations_read(tmp_path_factory, axes, start, turn):
    folder = tmp_path_factory.mktemp("turn")
    child = "CHANNELS 3 " + " ".join(f"{a.upper()}rotation" for a in axes)
    rows = "".join(f"0 1 0 10 20 30 {a:.6f} {b:.6f} {c:.6f}\n" for a, b, c in start)
    motion = read(saved(folder, text(child=child, rows=rows, frames="8")))
    new = track(motion, "body_pose") @ Rotation.from_rotvec(turn).as_matrix()
    again = read(saved(folder, written(changed(motion, "body_pose", new), folder)))
    # Half a unit of the sixth decimal, in degrees, in each of three angles.
    np.testing.assert_allclose(track(again, "body_pose"), new, atol=3e-8)


def test_frame_rate_is_public(tmp_path):
    assert bvh.frame_rate(tmp_path, "0.02") == 50.0


def test_a_number_that_is_the_same_to_its_digits_keeps_its_text(tmp_path):
    rows = "0 1.25 -0.0 10 20 30 0 -0.00 5\n0.5 1.25 0 11 21 31 2 0 5.0\n"
    motion = read(saved(tmp_path, text(rows=rows)))
    new = track(motion, "transl") + 1e-9
    new[0, 0, 0] = -4e-5
    out = written(changed(motion, "transl", new), tmp_path)
    assert out.endswith(rows)
    new[0, 0] = [0.1, 1.3, -6e-5]
    new[1, 0, 0] = 1e-17
    tokens = written(changed(motion, "transl", new), tmp_path).split()[-18:]
    assert " ".join(tokens) == "0.1000 1.3000 -0.0001 10 20 30 0 -0.00 5 0.0000 1.25 0 11 21 31 2 0 5.0"
    # A hinge stays one: its other angles are not written anew.
    turned = track(motion, "body_pose").copy()
    turned[:, 0] = bvh.euler_to_matrix(np.deg2rad([[0.5, 0, 5], [1.5, 0, 5]]), "zxy")
    tokens = written(changed(motion, "body_pose", turned), tmp_path).split()[-18:]
    assert " ".join(tokens) == "0 1.25 -0.0 10 20 30 0.5000 -0.00 5 0.5 1.25 0 11 21 31 1.5000 0 5.0"


def test_exponents_keep_their_precision(tmp_path):
    rows = "0 1.0 0 1.234567891e+01 20 30 1 2 3\n0 1.5E0 0 2.5e-02 21 31 1 2 3\n"
    motion = read(saved(tmp_path, text(rows=rows)))
    turned = track(motion, "body_pose") @ bvh.euler_to_matrix(np.array([0.1, 0.2, 0.3]), "xyz")
    tokens = written(changed(motion, "body_pose", turned), tmp_path).split()[-18:]
    assert [len(t.partition(".")[2]) for t in tokens[6:9]] == [8, 8, 8]
    again = read(saved(tmp_path, written(changed(motion, "body_pose", turned), tmp_path)))
    np.testing.assert_allclose(track(again, "body_pose"), turned, atol=1e-9)


def test_junk_after_the_last_frame(tmp_path):
    path = saved(tmp_path, text() + "\n# exported by a program\n")
    with pytest.raises(
        ValueError, match=r"line 22: expected the end of the file after frame 2, received '# exported by a program'$"
    ):
        read(path)


def test_several_turns_are_written_without_jumps(tmp_path):
    time = np.arange(90)
    wrapped = (time * 25.0 + 180) % 360 - 180
    path = saved(tmp_path, text(rows="".join(f"0 1 0 0 0 {a:.4f} 0 0 0\n" for a in wrapped), frames="90"))
    motion = read(path)
    order = motion.people[0].tracks["global_orient"].values @ bvh.euler_to_matrix(np.array([0.0, 1e-3, 0.0]), "xyz")
    rows = written(changed(motion, "global_orient", order), tmp_path).splitlines()[-90:]
    angles = np.array([r.split()[3:6] for r in rows], float)
    assert np.abs(np.diff(angles, axis=0)).max() < 26
    assert np.ptp(angles) > 2000
