"""What ``smoothnet convert`` does to a motion between two formats, and what it says about it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smpl_tools.contents import as_content, carried
from smpl_tools.convert import make, prepared_for
from smpl_tools.coordinates import with_up
from smpl_tools.formats import FORMATS, read
from smpl_tools.motion import Motion, Track
from smpl_tools.rotations import axis_angle_to_matrix, matrix_to_quat_wxyz, matrix_to_rotation_6d
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X, person_positions
from tests.smpl.cli_helpers import Program
from tests.smpl.gltf_reader import Gltf
from tests.smpl.plain_motions import (
    FACE,
    HANDS,
    base,
    picked_rows,
    points_person,
    smpl_parts,
    smpl_person,
    smpl_places,
    track,
    with_track,
)

GAPS = [0, 1, 2, 5, 6, 7, 8, 11]


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


def placed_person(**extra):
    return with_track(smpl_person(**extra), transl=smpl_parts()["transl"])


def written(motion, name, path, **how):
    ready, notes = prepared_for(motion, name, **how)
    make(ready, name, path)
    return path, notes


def test_shape_and_gender_go_along_to_another_rate():
    person = dataclasses.replace(placed_person(), betas=np.ones(10), gender="female")
    ready, notes = prepared_for(base("smpl", person, 30.0), "amass", fps=60)
    assert (ready.fps, ready.people[0].gender, ready.people[0].betas.tolist()) == (60.0, "female", [1.0] * 10)
    assert notes == ()


@pytest.mark.parametrize("name", ["bvh", "gltf"])
def test_what_belongs_to_the_body_model_is_said_to_stay_behind(name):
    parts = smpl_parts()
    person = dataclasses.replace(placed_person(), betas=np.ones(10), gender="female")
    _, notes = prepared_for(base("smpl", with_track(person, expression=parts["expression"])), name)
    assert "not kept without a body model: expression, betas, gender" in notes


def test_components_of_hands_are_said_to_stay_behind():
    pca = {
        name.replace("pose", "pca"): Track(
            np.ones((12, 6)), "channels", "hands", tuple(f"{name}_{k}" for k in range(6))
        )
        for name in HANDS
    }
    motion = base("smpl", with_track(placed_person(), **pca))
    note = "hands not kept: they are principal components of the hand model, which turns them into poses"
    for name in ("amass", "bvh", "easymocap"):
        assert note in prepared_for(motion, name)[1]
    assert note not in prepared_for(base("smpl", placed_person()), "amass")[1]


def test_one_shape_for_every_frame_is_one_shape(tmp_path):
    person = dataclasses.replace(placed_person(), betas=np.linspace(-1, 1, 10))
    path, _ = written(base("smpl", person), "phalp", tmp_path / "x.pkl")
    again = read(path)
    assert "betas" in again.people[0].tracks
    ready, notes = prepared_for(again, "amass", fps=None)
    assert np.array_equal(ready.people[0].betas, np.linspace(-1, 1, 10).astype(np.float32))
    assert not any("betas" in note for note in notes)


def test_a_late_start_is_named_where_frames_have_no_numbers():
    person = placed_person()
    motion = base("smpl", dataclasses.replace(person, frames=person.frames + 17), 30.0)
    assert "not kept by this format: frame numbers" in prepared_for(motion, "amass")[1]
    assert not any("frame numbers" in note for note in prepared_for(motion, "tram")[1])


def archive(path, *lengths, scalings=()):
    """Write an archive of SmoothNet's with sequences of several lengths, units and no axes; return the people."""
    people = []
    arrays = {key: np.empty(len(lengths), object) for key in ("imgname", "pose", "trans", "scaling")}
    for k, (length, scaling) in enumerate(zip(lengths, scalings, strict=True)):
        person = picked_rows(placed_person(ident=f"take{k}"), slice(0, length))
        people.append(person)
        arrays["imgname"][k] = np.array([f"take{k}/{frame}.jpg" for frame in range(length)])
        vectors = np.concatenate([person.tracks[n].values for n in ("global_orient", "body_pose")], axis=1)
        arrays["pose"][k] = vectors.reshape(length, 72)
        arrays["trans"][k] = person.tracks["transl"].values[:, 0] * scaling
        arrays["scaling"][k] = np.full((length, 1), scaling)
    np.savez(path, **arrays)
    return people


@pytest.mark.parametrize("name", ["csv", "gltf", "wham"])
def test_sequences_of_several_lengths_and_units(tmp_path, name):
    people = archive(tmp_path / "x.npz", 5, 9, scalings=(100.0, 80.0))
    motion = read(tmp_path / "x.npz", fps=60)
    path, _ = written(motion, name, tmp_path / f"y{FORMATS[name].suffixes[0]}")
    if name == "gltf":
        file = Gltf(path)
        last = [max(file.numbers(s["input"])[-1] for s in file.json["animations"][0]["samplers"])]
        assert last[0] == pytest.approx(8 / 60)
        return
    again = read(path)
    assert [p.id for p in again.people] == ["take0", "take1"]
    for new, old in zip(again.people, people, strict=True):
        assert len(new.frames) == len(old.frames)
        if name == "csv":
            joints = new.tracks["joints"]
            assert joints.joints == SMPL.joints
            np.testing.assert_allclose(joints.values[:, :22], smpl_places(old), rtol=0, atol=1e-9)
        else:
            np.testing.assert_allclose(new.tracks["transl_world"].values, old.tracks["transl"].values, atol=1e-12)


def test_an_archive_at_another_rate(tmp_path):
    archive(tmp_path / "x.npz", 5, 9, scalings=(100.0, 80.0))
    with pytest.raises(ValueError, match=r"not known \(--from-fps says what it is\)"):
        prepared_for(read(tmp_path / "x.npz"), "wham", fps=30)
    ready, _ = prepared_for(read(tmp_path / "x.npz", fps=60), "wham", fps=30)
    assert [len(p.frames) for p in ready.people] == [3, 5]


def test_a_root_of_unknown_axes_stands_up_on_a_skeleton(tmp_path):
    # The skeleton stands upright at rest, whatever the axes of the scene are.
    upright = base("smpl", placed_person(), 30.0)
    lying = with_up(upright, "z")
    tracks = {n: t.replace(up=None) for n, t in lying.people[0].tracks.items()}
    unknown = dataclasses.replace(lying, people=(dataclasses.replace(lying.people[0], tracks=tracks),))
    path, notes = written(unknown, "bvh", tmp_path / "x.bvh")
    assert "axes not stated in the file: z taken for up" in notes
    again = read(path)
    offsets = dict(zip(again.skeleton.joints, again.skeleton.offsets, strict=True))
    assert offsets["left_knee"][1] < -0.3
    found = person_positions(again.people[0], again.skeleton)
    at = [again.skeleton.joints.index(joint) for joint in SMPL.joints[:22]]
    np.testing.assert_allclose(found[:, at], smpl_places(upright.people[0]), rtol=0, atol=1e-5)


def test_people_with_gaps_in_a_camera_into_a_file_each(program, tmp_path):
    one, two = placed_person(ident="3"), placed_person(ident="12")
    two = dataclasses.replace(picked_rows(two, GAPS), frames=two.frames[GAPS] + 17)
    path, _ = written(base("smpl", [one, two], 30.0), "romp", tmp_path / "x.npz")
    (tmp_path / "out").mkdir()
    arguments = ("convert", path, "-o", tmp_path / "out", "--to", "amass", "--from-fps", "30")
    assert "no gap (--fill fills them)" in program.refused(*arguments)
    ran = program(*arguments, "--fill")
    assert ran.status == 0
    assert "frame numbers" in ran.out
    assert "people" not in ran.out.split("not kept", 1)[1]
    for old in (one, two):
        new = with_up(read(tmp_path / "out" / f"x.{old.id}.npz"), "y").people[0]
        assert len(new.frames) == 12
        rows = old.frames - old.frames[0]
        moved = np.abs(smpl_places(new)[rows] - smpl_places(old))
        assert moved.max() < 1e-6
        # In between the root goes straight on and turns the shortest way.
        before, after = rows[2], rows[3]
        share = (np.arange(before, after + 1) - before) / max(after - before, 1)
        root = new.tracks["transl"].values[before : after + 1, 0]
        np.testing.assert_allclose(root, root[0] + share[:, None] * (root[-1] - root[0]), atol=1e-6)


def test_confidence_and_gaps_of_2d_joints_at_another_rate(tmp_path):
    one = points_person(size=2)
    joints = one.tracks["joints"]
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.2, 0.9, joints.values.shape[:2])
    confidence[7, 3] = 0.0
    one = picked_rows(with_track(one, joints=joints.replace(confidence=confidence)), [0, 1, 2, 3, 6, 7, 8, 9, 10, 11])
    motion = base("joints_2d", one, 30.0)
    path, _ = written(motion, "csv", tmp_path / "x.csv", fps=60)
    (new,) = read(path).people
    # Twice as many frames where both neighbours are there, none between the frames 3 and 6.
    assert new.frames.tolist() == [*range(7), *range(12, 23)]
    track = new.tracks["joints"]
    even = new.frames % 2 == 0
    given = one.tracks["joints"]
    seen = np.isfinite(track.values[even]).all(axis=2)
    np.testing.assert_allclose(track.confidence[even][seen], given.confidence[seen], atol=1e-12)
    np.testing.assert_allclose(track.values[even][seen], given.values[seen], atol=1e-9)
    # The keypoint that was not seen in frame 7 has no place from 6 to 8 but at these.
    column = [np.flatnonzero(new.frames == frame)[0] for frame in (13, 14, 15)]
    assert np.isnan(track.values[column, 3]).all()
    assert (track.confidence[column, 3] == 0).all()
    between = np.flatnonzero(new.frames == 1)[0]
    np.testing.assert_allclose(track.confidence[between], given.confidence[:2].mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("name", ["bvh", "glb"])
def test_an_amass_file_with_y_up(program, tmp_path, name):
    # As in BEAT2: AMASS's keys, but Y is up.
    motion = base("smpl", placed_person(), 30.0)
    path, _ = written(motion, "amass", tmp_path / "x.npz", up="y")
    assert program("convert", path, "-o", tmp_path / f"y.{name}", "--from-up", "y").status == 0
    expected = smpl_places(motion.people[0])
    if name == "bvh":
        again = read(tmp_path / "y.bvh")
        found = person_positions(again.people[0], again.skeleton)
        names = again.skeleton.joints
        offsets = dict(zip(names, again.skeleton.offsets, strict=True))
        assert offsets["left_knee"][1] < -0.3
        found = found[:, [names.index(joint) for joint in SMPL.joints[:22]]]
    else:
        file = Gltf(tmp_path / "y.glb")
        places = [file.places(0, frame / 30) for frame in range(12)]
        found = np.array([[one[joint] for joint in SMPL.joints[:22]] for one in places])
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


KINDS = {
    "axis_angle": lambda m: Rotation.from_matrix(m.reshape(-1, 3, 3)).as_rotvec().reshape(*m.shape[:2], 3),
    "quat_wxyz": matrix_to_quat_wxyz,
    "rotation_matrix": lambda m: m,
    "rotation_6d": lambda m: matrix_to_rotation_6d(m, "columns"),
}


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("count", [22, 24, 52, 55])
@pytest.mark.parametrize("kind", KINDS)
def test_an_array_of_smpls_rotations(tmp_path, kind, count, flat):
    matrices = Rotation.random(6 * count, random_state=count).as_matrix().reshape(6, count, 3, 3)
    values = KINDS[kind](matrices)
    np.save(tmp_path / "x.npy", values.reshape(6, -1) if flat else values)
    motion = read(tmp_path / "x.npy", kind=kind, fps=30)
    assert carried(motion) == ("smpl", "array")
    path, notes = written(motion, "amass-smplx", tmp_path / "y.npz")
    assert "rotations of a plain array taken for those of SMPL's joints, the first for the root" in notes
    tracks = [t for t in read(path).people[0].tracks.values() if t.kind == "axis_angle"]
    found = {joint: t.values[:, k] for t in tracks for k, joint in enumerate(t.joints)}
    names = {22: SMPL.joints[:22], 24: SMPL.joints, 52: SMPL_H.joints, 55: SMPL_X.joints}[count]
    # Nothing says how the scene lies, so the root is for another test.
    for k, joint in enumerate(names[1:], 1):
        if joint in found:
            np.testing.assert_allclose(axis_angle_to_matrix(found[joint]), matrices[:, k], atol=1e-6, err_msg=joint)
    assert set(names) - set(found) <= {"left_hand", "right_hand"}


@pytest.mark.parametrize("order", ["interleaved", "columns", "rows"])
def test_the_order_of_6d_rotations(program, tmp_path, order):
    turns = axis_angle_to_matrix(np.concatenate([t.values for t in smpl_person().tracks.values()], axis=1))
    np.save(tmp_path / "x.npy", matrix_to_rotation_6d(turns, order).reshape(12, 144).astype(np.float32))
    arguments = ("--kind", "rotation_6d", "--order", order, "--from-fps", "30", "--from-up", "y", "--to", "wham")
    assert program("convert", tmp_path / "x.npy", "-o", tmp_path / "y.pkl", *arguments).status == 0
    (person,) = read(tmp_path / "y.pkl").people
    found = np.concatenate([person.tracks[n].values for n in ("global_orient_world", "body_pose")], axis=1)
    np.testing.assert_allclose(axis_angle_to_matrix(found), turns, atol=1e-6)


def test_an_order_of_something_else_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((4, 24, 3)))
    with pytest.raises(ValueError, match="kind of what has an order: expected rotation_6d, received axis_angle"):
        read(tmp_path / "x.npy", kind="axis_angle", order="rows")
    with pytest.raises(ValueError, match="order: expected one of interleaved, columns, rows, received 'up'"):
        read(tmp_path / "x.npy", order="up")


def test_an_archive_says_what_its_numbers_are(tmp_path):
    parts, person = smpl_parts(), placed_person()
    body = person.tracks["body_pose"]
    body = body.replace(values=body.values[:, :21], joints=body.joints[:21])
    person = with_track(person, body_pose=body, **{name: parts[name] for name in (*HANDS, *FACE)})
    motion = base("smpl", person)
    path, notes = written(motion, "array", tmp_path / "x.npz")
    assert "axis_angle of every joint; translation left out" in notes
    (new,) = as_content(read(path), "smpl")[0].people
    for name, old in motion.people[0].tracks.items():
        if name != "transl":
            assert new.tracks[name].joints == old.joints
            assert np.array_equal(new.tracks[name].values, old.values), name


@pytest.mark.parametrize("count", [21, 23, 53])
def test_rotations_of_other_numbers_are_no_poses(tmp_path, count):
    np.save(tmp_path / "x.npy", np.zeros((4, count, 3)))
    motion = read(tmp_path / "x.npy", kind="axis_angle")
    assert carried(motion) == ("array",)
    with pytest.raises(ValueError, match="content for AMASS"):
        prepared_for(motion, "amass")


def test_joints_without_names_are_taken_in_order_and_said_so():
    values = np.random.default_rng(0).normal(size=(4, 17, 3))
    joints = track(values, "position", "body", [f"joint_{k}" for k in range(17)])
    person = dataclasses.replace(points_person(frames=4), tracks={"joints": joints})
    motion = Motion("csv", (person,), 30.0)
    note = "joints have no names: taken for this format's, in its order"
    assert note in prepared_for(motion, "motionbert")[1]
    assert note not in prepared_for(motion, "smoothnet")[1]


def test_frames_of_nothing_are_missing_in_files_of_frame_numbers(tmp_path):
    turns = np.concatenate([t.values for t in smpl_person().tracks.values()], axis=1)
    turns[[4, 5]] = np.nan
    np.save(tmp_path / "x.npy", turns)
    path, _ = written(read(tmp_path / "x.npy", kind="axis_angle", fps=30), "wham", tmp_path / "y.pkl")
    assert read(path).people[0].frames.tolist() == [0, 1, 2, 3, 6, 7, 8, 9, 10, 11]
    with pytest.raises(ValueError, match=r"no gap \(--fill fills them\), received 2 frames of person 0"):
        prepared_for(read(tmp_path / "x.npy", kind="axis_angle", fps=30), "amass")


@pytest.mark.parametrize("up", ["y", "z"])
@pytest.mark.parametrize("metres", [1.0, 0.01, 0.001])
def test_through_a_bvh_of_another_unit_and_axis(tmp_path, up, metres):
    motion = base("smpl", placed_person(), 30.0)
    path, _ = written(motion, "bvh", tmp_path / "x.bvh", up=up, metres=metres)
    ready, notes = prepared_for(read(path), "wham")
    assert f"axes not stated in the file: {up} taken for up" in notes
    np.testing.assert_allclose(smpl_places(ready.people[0]), smpl_places(motion.people[0]), rtol=0, atol=1e-5)
    for name in ("global_orient", "body_pose"):
        pair = [axis_angle_to_matrix(one.people[0].tracks[name].values) for one in (ready, motion)]
        np.testing.assert_allclose(pair[0], pair[1], rtol=0, atol=1e-6)


def test_shapes_longer_than_a_format_has_room_for_are_said_to_be_cut_off():
    person = dataclasses.replace(placed_person(), betas=np.linspace(-1, 1, 16))
    motion = base("smpl", person, 30.0)
    assert prepared_for(motion, "amass")[1] == ()
    assert "betas: the first 10 of 16 numbers kept" in prepared_for(motion, "wham")[1]
    short = dataclasses.replace(person, betas=np.r_[np.ones(10), np.zeros(6)])
    assert not any("numbers kept" in note for note in prepared_for(base("smpl", short), "wham")[1])
    long = track(np.ones((12, 50)), "channels", "face", [f"expression_{k}" for k in range(50)])
    motion = base("smpl", with_track(placed_person(), expression=long), 30.0)
    assert "expression: the first 10 of 50 numbers kept" in prepared_for(motion, "easymocap")[1]
    assert prepared_for(motion, "smplx-blender")[1] == ()
