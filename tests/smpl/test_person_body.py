from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smpl_tools.bodies.model_files import load_body_model
from smpl_tools.bodies.person_body import person_body
from smpl_tools.bodies.posing import body_rotations, posed_joints
from smpl_tools.contents import as_content
from smpl_tools.formats import read
from smpl_tools.motion import Motion, Person, Track
from smpl_tools.skeleton import SMPL
from tests.helpers import REPOSITORY
from tests.smpl.body_files import write_smpl, write_smplh, write_smplx

T = 5
RNG = np.random.default_rng(11)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A small model of each family."""
    folder = tmp_path_factory.mktemp("models")
    write_smpl(folder / "SMPL_MALE.pkl", 130)
    write_smplh(folder / "SMPLH_MALE.npz", 130)
    write_smplx(folder / "SMPLX_MALE.npz", 130)
    return {m.name: m for m in map(load_body_model, sorted(folder.iterdir()))}


def archive(path, width, **others):
    poses, trans = RNG.normal(size=(T, width)), RNG.normal(size=(T, 3))
    np.savez(path, poses=poses, trans=trans, **others)
    return poses, trans


@pytest.mark.parametrize("name", ["smpl", "smplh", "smplx"])
@pytest.mark.parametrize("width", [72, 156, 165])
def test_amass_archives_on_every_model(tmp_path, models, name, width):
    betas = RNG.normal(size=16)
    poses, trans = archive(tmp_path / "a.npz", width, betas=betas, gender=np.array("female"))
    motion, model = read(tmp_path / "a.npz"), models[name]
    got = person_body(motion.people[0], model)
    hands = {156: 66, 165: 75}
    parts = {"global_orient": poses[:, :3], "body_pose": poses[:, 3 : 72 if width == 72 else 66]}
    if width != 72:
        start = hands[width]
        parts |= {"left_hand_pose": poses[:, start : start + 45], "right_hand_pose": poses[:, start + 45 : start + 90]}
    if width == 165:
        parts |= {"jaw_pose": poses[:, 66:69], "eye_pose": poses[:, 69:75]}
    np.testing.assert_allclose(got.rotations, body_rotations(model, **parts), atol=1e-12)
    np.testing.assert_array_equal(got.transl, trans)
    known = model.shape_vertices.shape[-1]
    np.testing.assert_array_equal(got.betas, betas[:known])
    left_out = (f"the file has 16 betas, the model {known}: the others are left out",) if known < 16 else ()
    assert got.notes == left_out
    assert got.expression is None


def test_a_shape_and_an_expression_for_every_frame(tmp_path, models):
    betas, expressions = RNG.normal(size=(T, 10)), RNG.normal(size=(T, 12))
    archive(tmp_path / "a.npz", 165, betas=betas, expressions=expressions)
    motion = read(tmp_path / "a.npz")
    got = person_body(motion.people[0], models["smplx"])
    np.testing.assert_array_equal(got.betas, betas)
    np.testing.assert_array_equal(got.expression, expressions[:, :10])
    assert got.notes == ("the file has 12 expression coefficients, the model 10: the others are left out",)
    other = person_body(motion.people[0], models["smplh"])
    assert other.expression is None
    assert other.notes == ("the file has 12 expression coefficients, the model 0: the others are left out",)


@pytest.mark.parametrize("betas", [None, np.zeros((2, 10)), np.zeros(0), np.array("none")])
def test_a_file_without_a_usable_shape(tmp_path, models, betas):
    archive(tmp_path / "a.npz", 72, **({} if betas is None else {"betas": betas}))
    motion = read(tmp_path / "a.npz")
    assert person_body(motion.people[0], models["smpl"]).betas is None


@pytest.mark.parametrize(
    ("stated", "expected"),
    [("female", "female"), ("MALE", "male"), (b"neutral", "neutral"), ("b'male'", "male"), ("other", None), (3, None)],
)
def test_the_gender_that_an_archive_states(tmp_path, stated, expected):
    archive(tmp_path / "a.npz", 156, gender=np.array(stated))
    assert read(tmp_path / "a.npz").people[0].gender == expected
    archive(tmp_path / "b.npz", 156, betas=np.zeros((1, 16)))
    motion = read(tmp_path / "b.npz")
    assert motion.people[0].gender is None
    betas = motion.people[0].betas
    assert betas is not None
    assert betas.shape == (16,)


def results(betas):
    pose, world = RNG.normal(size=(2, T, 72))
    person = {"pose": pose, "pose_world": world, "trans": RNG.normal(size=(T, 3)), "frame_ids": np.arange(T)}
    return {"a\nb": person | {"trans_world": RNG.normal(size=(T, 3)), "betas": betas}}


@pytest.mark.parametrize("betas", [np.ones(10), np.ones((1, 10)), RNG.normal(size=(T, 10))])
def test_wham_s_two_views(tmp_path, models, betas):
    content = results(betas)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    motion, model = read(tmp_path / "a.pkl"), models["smplh"]
    (record,) = content.values()
    for world, suffix in ((False, ""), (True, "_world")):
        (person,) = as_content(motion, "smpl", camera=not world)[0].people
        got = person_body(person, model)
        pose = record[f"pose{suffix}"]
        np.testing.assert_allclose(got.rotations, body_rotations(model, pose[:, :3], pose[:, 3:]), atol=1e-12)
        np.testing.assert_array_equal(got.transl, record[f"trans{suffix}"])
        np.testing.assert_array_equal(got.betas, betas.reshape(-1) if betas.size == 10 else betas)
    other = dict(content)
    other["a\nb"] = record | {"betas": None}
    (tmp_path / "b.pkl").write_bytes(pickle.dumps(other))
    motion = read(tmp_path / "b.pkl")
    assert motion.people[0].betas is None


def test_aist_is_brought_to_metres(tmp_path, models):
    content = {
        "smpl_poses": RNG.normal(size=(T, 24, 3)),
        "smpl_scaling": np.array([93.8]),
        "smpl_trans": 100 * RNG.normal(size=(T, 3)),
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    motion, model = read(tmp_path / "a.pkl"), models["smpl"]
    got = person_body(motion.people[0], model)
    # The data set's own rule: scaled body, then translation, in centimetres.
    joints = posed_joints(model, got.rotations) * 93.8 + content["smpl_trans"][:, None]
    np.testing.assert_allclose(posed_joints(model, got.rotations, None, got.transl) * 93.8, joints, atol=1e-9)


def made(**tracks):
    return Motion("other", (Person("7", tracks, np.arange(T)),), 30.0)


def test_rotations_of_every_kind_by_name(models):
    model = models["smpl"]
    turns = Rotation.from_rotvec(RNG.normal(size=(T * 3, 3)))
    matrices = turns.as_matrix().reshape(T, 3, 3, 3)
    values = {
        "axis_angle": turns.as_rotvec().reshape(T, 3, 3),
        "rotation_matrix": matrices,
        "quat_wxyz": turns.as_quat()[:, [3, 0, 1, 2]].reshape(T, 3, 4),
        "rotation_6d": np.concatenate([matrices[..., 0], matrices[..., 1]], -1),
    }
    names = ("head", "left_knee", "nose")
    for kind, array in values.items():
        motion = made(
            body=Track(array, kind, "body", names), later=Track(matrices[:, ::-1], "rotation_matrix", "body", names)
        )
        got = person_body(motion.people[0], model)
        np.testing.assert_allclose(got.rotations[:, SMPL.joints.index("head")], matrices[:, 0], atol=1e-12)
        np.testing.assert_allclose(got.rotations[:, SMPL.joints.index("left_knee")], matrices[:, 1], atol=1e-12)
        assert (got.rotations == np.eye(3)).all(axis=(0, 2, 3)).sum() == 22
        assert (got.betas, got.transl, got.expression, got.notes) == (None, None, None, ())


def test_what_was_not_observed_is_nan(models):
    values = np.zeros((T, 1, 3))
    values[2], values[3] = np.nan, np.inf
    motion = made(g=Track(values, "axis_angle", "root", ("pelvis",)))
    rotations = person_body(motion.people[0], models["smpl"]).rotations
    assert np.isnan(rotations[2:4, 0]).all()
    assert np.isfinite(np.delete(rotations, [2, 3], axis=0)).all()


def test_people_without_rotations_are_refused(models):
    motion = made(joints=Track(np.zeros((T, 1, 3)), "position", "body", ("head",)))
    with pytest.raises(
        ValueError, match=r"^tracks of person 7: expected rotations of joints of the model smpl, received joints$"
    ):
        person_body(motion.people[0], models["smpl"])


def test_a_real_take_has_the_place_of_its_file(models):
    motion = read(REPOSITORY / "assets" / "takes" / "dance_smplh_truth.npz")
    got = person_body(motion.people[0], models["smplh"])
    joints = posed_joints(models["smplh"], got.rotations, got.betas, got.transl)
    pelvis = models["smplh"].joint_places[0]
    if got.betas is not None:
        pelvis = pelvis + models["smplh"].shape_joints[0][:, : len(got.betas)] @ got.betas
    np.testing.assert_allclose(joints[:, 0], pelvis + motion.people[0].tracks["transl"].values[:, 0], atol=1e-6)
    # Z is up in the file, so the head is above the feet.
    assert (joints[:, SMPL.joints.index("head"), 2] > joints[:, SMPL.joints.index("left_foot"), 2]).mean() > 0.9
