from __future__ import annotations

import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.spatial.transform import Rotation

from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.bodies.model_files import load_body_model
from smpl_tools.bodies.posing import body_rotations, posed_joints, posed_vertices
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X
from tests.smpl.body_files import SKELETONS, write_smpl, write_smplh, write_smplx

JOINTS = {name: len(skeleton.joints) for name, skeleton in SKELETONS.items()}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A small model of each family."""
    folder = tmp_path_factory.mktemp("models")
    write_smpl(folder / "SMPL_MALE.pkl", 130)
    write_smplh(folder / "SMPLH_MALE.npz", 130)
    write_smplx(folder / "SMPLX_MALE.npz", 130)
    return {m.name: m for m in map(load_body_model, sorted(folder.iterdir()))}


def turns(frames: int, joints: int, seed: int = 0, angle: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (
        Rotation.from_rotvec(rng.normal(scale=angle, size=(frames * joints, 3))).as_matrix().reshape(-1, joints, 3, 3)
    )


def vertices(*args, **options) -> np.ndarray:
    return np.concatenate([*posed_vertices(*args, **options)])


def by_definition(model: BodyModel, turn, betas, expression, transl):
    """Joints and vertices of one frame by homogeneous matrices, one joint and one vertex at a time."""
    shaped = model.vertices + model.shape_vertices[..., : len(betas)] @ betas
    places = model.joint_places + model.shape_joints[..., : len(betas)] @ betas
    if model.expression_vertices is not None and model.expression_joints is not None:
        shaped = shaped + model.expression_vertices[..., : len(expression)] @ expression
        places = places + model.expression_joints[..., : len(expression)] @ expression
    assert model.pose_vertices is not None
    shaped = shaped + model.pose_vertices @ np.concatenate([(r - np.eye(3)).ravel() for r in turn[1:]])
    world = []
    for j, parent in enumerate(model.parents):
        local = np.eye(4)
        local[:3, :3] = turn[j]
        local[:3, 3] = places[j] - (places[parent] if parent >= 0 else 0)
        world.append(world[parent] @ local if parent >= 0 else local)
    joints = np.array([m[:3, 3] for m in world])
    skinned = []
    for point, weights in zip(shaped, model.weights, strict=True):
        moved = [m @ np.append(point - place, 1) for m, place in zip(world, places, strict=True)]
        skinned.append((weights[:, None] * np.array(moved)).sum(0)[:3])
    return joints + transl, np.array(skinned) + transl


@pytest.mark.parametrize("name", JOINTS)
@pytest.mark.parametrize("per_frame", [False, True])
def test_joints_and_vertices_are_those_of_the_definition(models, name, per_frame):
    model, rng = models[name], np.random.default_rng(3)
    turn, transl = turns(7, JOINTS[name]), rng.normal(size=(7, 3))
    betas = rng.normal(size=(7, 6))
    expression = rng.normal(size=(7, 4)) if name == "smplx" else np.zeros((7, 0))
    given_betas, given_expression = (betas, expression) if per_frame else (betas[0], expression[0])
    got = vertices(model, turn, given_betas, transl, given_expression, block=3)
    joints = posed_joints(model, turn, given_betas, transl, given_expression)
    assert got.dtype == joints.dtype == np.float64
    for t in range(7):
        k = t if per_frame else 0
        expected = by_definition(model, turn[t], betas[k], expression[k], transl[t])
        np.testing.assert_allclose(joints[t], expected[0], atol=1e-12)
        np.testing.assert_allclose(got[t], expected[1], atol=1e-12)


@pytest.mark.parametrize("name", JOINTS)
def test_the_rest_pose_is_the_template(models, name):
    model = models[name]
    rest = np.broadcast_to(np.eye(3), (2, JOINTS[name], 3, 3))
    np.testing.assert_allclose(vertices(model, rest), np.stack([model.vertices] * 2), atol=1e-12)
    np.testing.assert_allclose(posed_joints(model, rest), np.stack([model.joint_places] * 2), atol=1e-12)
    shaped = model.vertices + model.shape_vertices[..., 1] * 2
    np.testing.assert_allclose(vertices(model, rest, [0, 2])[0], shaped, atol=1e-12)


def test_the_pelvis_lies_where_transl_says(models):
    transl = np.random.default_rng(0).normal(size=(4, 3))
    joints = posed_joints(models["smpl"], turns(4, 24), None, transl)
    np.testing.assert_allclose(joints[:, 0], models["smpl"].joint_places[0] + transl, atol=1e-12)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20)
def test_turning_the_root_turns_the_body_about_the_pelvis(models, seed):
    model, turn = models["smpl"], turns(1, 24, seed)
    whole = turns(1, 1, seed + 1)[:, 0]
    turned = turn.copy()
    turned[:, 0] = whole @ turn[:, 0]
    pelvis = model.joint_places[0]
    expected = (vertices(model, turn) - pelvis) @ whole[0].T + pelvis
    np.testing.assert_allclose(vertices(model, turned), expected, atol=1e-12)


@pytest.mark.parametrize("block", [1, 2, 5, 11, 12, 64])
def test_blocks_and_chosen_frames_change_nothing(models, block):
    model, rng = models["smplx"], np.random.default_rng(1)
    turn, betas, transl = turns(11, 55), rng.normal(size=(11, 10)), rng.normal(size=(11, 3))
    whole = vertices(model, turn, betas, transl)
    parts = [*posed_vertices(model, turn, betas, transl, block=block)]
    assert [len(p) for p in parts] == [min(block, 11 - start) for start in range(0, 11, block)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-12)
    for frames in (slice(2, 9, 3), [5, 5, 0, -1], np.array([3]), slice(4, 4)):
        chosen = [*posed_vertices(model, turn, betas, transl, block=block, frames=frames)]
        expected = whole[frames]
        assert sum(map(len, chosen)) == len(expected)
        if chosen:
            np.testing.assert_allclose(np.concatenate(chosen), expected, atol=1e-12)


@pytest.mark.parametrize("still", [range(1, 24), range(12, 24), [1], []])
def test_joints_at_rest_are_left_out_without_a_difference(models, still):
    model, turn = models["smpl"], turns(5, 24)
    turn[:, list(still)] = np.eye(3)
    expected = [by_definition(model, t, np.zeros(0), None, 0)[1] for t in turn]
    np.testing.assert_allclose(vertices(model, turn), expected, atol=1e-12)


def test_float32_is_exact_to_micrometres_and_sparse_weights_do_as_well(models):
    model, turn = models["smpl"], turns(9, 24)
    exact = vertices(model, turn, [1.0, -2.0])
    single = vertices(model, turn.astype(np.float32), np.array([1, -2], np.float32), dtype=np.float32)
    assert single.dtype == np.float32
    assert np.abs(single - exact).max() < 5e-6
    fields = {name: getattr(model, name) for name in model.__dataclass_fields__}
    other = BodyModel(**(fields | {"weights": sparse.csr_array(model.weights)}))
    np.testing.assert_allclose(vertices(other, turn, [1.0, -2.0]), exact, atol=1e-12)


def test_a_model_without_correctives_or_without_frames(models):
    fields = {name: getattr(models["smpl"], name) for name in models["smpl"].__dataclass_fields__}
    model, turn = BodyModel(**(fields | {"pose_vertices": None})), turns(3, 24)
    fields["pose_vertices"] = np.zeros_like(models["smpl"].pose_vertices)
    np.testing.assert_allclose(vertices(model, turn), vertices(BodyModel(**fields), turn), atol=1e-12)
    assert [*posed_vertices(model, turn[:0], np.zeros((0, 10)), np.zeros((0, 3)))] == []
    assert posed_joints(model, turn[:0], np.zeros((0, 10))).shape == (0, 24, 3)


def test_nan_stays_in_its_frame(models):
    model, turn = models["smpl"], turns(8, 24)
    clean = vertices(model, turn)
    turn[3, 5] = np.nan
    got, joints = vertices(model, turn), posed_joints(model, turn)
    assert np.isnan(got[3]).all()
    others = np.arange(8) != 3
    np.testing.assert_allclose(got[others], clean[others], atol=1e-12)
    below = [8, 11]  # right ankle and foot
    assert np.isnan(joints[3, below]).all()
    assert np.isfinite(np.delete(joints[3], below, axis=0)).all()


def test_inputs_are_not_changed(models):
    model, turn = models["smplx"], turns(5, 55)
    inputs = (turn, np.ones((5, 10)), np.ones((5, 3)), np.ones((5, 10)))
    for array in inputs:
        array.flags.writeable = False
    posed_joints(model, *inputs)
    vertices(model, *inputs, dtype=np.float32)


@pytest.mark.parametrize("still", [[], [20]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory_is_bounded_whatever_the_number_of_frames(tmp_path, dtype, still):
    write_smpl(tmp_path / "a.pkl", 1500)
    model = load_body_model(tmp_path / "a.pkl")
    turn = np.tile(turns(30, 24), (40, 1, 1, 1))
    turn[:, still] = np.eye(3)
    size = np.dtype(dtype).itemsize
    copied = 0 if size == 8 and not still else size
    bound = 2 * 64 * 1500 * 3 * size + 4 * 1500 * 12 * size + 1500 * 3 * 207 * copied
    # Rotations, features and transformations of a block, and the weights, are small beside it on a body.
    small = 64 * 24 * 12 * 8 * 8 + 1500 * 24 * 16 + len(turn) * 9 * 3
    tracemalloc.start()
    try:
        frames = sum(map(len, posed_vertices(model, turn, dtype=dtype)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert frames == 1200
    # The caller of the loop still holds the block before.
    assert peak < bound + 64 * 1500 * 3 * size + small


ROWS = np.zeros((4, 24, 3, 3))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            (ROWS[:, :23],),
            {},
            r"rotations for the model smpl: expected numbers \(T, 24, 3, 3\), received \(4, 23, 3, 3\)",
        ),
        (
            (np.zeros((4, 72)),),
            {},
            r"rotations for the model smpl: expected numbers \(T, 24, 3, 3\), received \(4, 72\)",
        ),
        (
            (ROWS, np.zeros(11)),
            {},
            r"shape of betas for the model smpl: expected \(K,\) or \(4, K\) with K at most 10, rec",
        ),
        ((ROWS, np.zeros((3, 10))), {}, r"shape of betas .* with K at most 10, received \(3, 10\)"),
        ((ROWS, None, np.zeros(3)), {}, r"shape of transl: expected \(4, 3\), received \(3,\)"),
        ((ROWS, None, None, np.zeros(1)), {}, r"shape of expression for the model smpl: .* with K at most 0, received"),
        ((ROWS,), {"block": 0}, "block of frames: expected at least 1, received 0"),
        ((ROWS,), {"dtype": np.float16}, "dtype of vertices: expected one of float32, float64, received 'float16'"),
    ],
)
def test_wrong_shapes_are_refused_at_once(models, arguments, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        posed_vertices(models["smpl"], *arguments, **options)
    if not options:
        with pytest.raises(ValueError, match=f"^{message}"):
            posed_joints(models["smpl"], *arguments)


def axis_angles(frames: int, joints: int) -> np.ndarray:
    return np.random.default_rng(joints).normal(size=(frames, joints, 3))


@pytest.mark.parametrize("name", JOINTS)
@pytest.mark.parametrize("body", [21, 23])
@pytest.mark.parametrize("flat", [False, True])
def test_parameters_of_any_model_on_any(models, name, body, flat):
    model = models[name]
    parts = {
        "global_orient": (axis_angles(3, 1), SMPL.joints[:1]),
        "body_pose": (axis_angles(3, body), SMPL.joints[1 : body + 1]),
        "left_hand_pose": (axis_angles(3, 15), SMPL_H.joints[22:37]),
        "right_hand_pose": (-axis_angles(3, 15), SMPL_H.joints[37:52]),
        "jaw_pose": (axis_angles(3, 1) / 2, ("jaw",)),
        "eye_pose": (axis_angles(3, 2), SMPL_X.joints[23:25]),
    }
    arrays = {key: a.reshape(3, -1) if flat else a for key, (a, _) in parts.items()}
    got = body_rotations(model, **arrays)
    expected = np.broadcast_to(np.eye(3), (3, JOINTS[name], 3, 3)).copy()
    for array, joints in parts.values():
        for k, joint in enumerate(joints):
            if joint in model.joints:
                expected[:, model.joints.index(joint)] = Rotation.from_rotvec(array[:, k]).as_matrix()
    np.testing.assert_allclose(got, expected, atol=1e-12)
    alone = body_rotations(model, arrays["global_orient"])
    np.testing.assert_allclose(alone[:, 0], expected[:, 0], atol=1e-12)
    np.testing.assert_array_equal(alone[:, 1:], np.broadcast_to(np.eye(3), alone[:, 1:].shape))


@pytest.mark.parametrize(
    ("name", "shape", "counts"),
    [
        ("body_pose", (3, 22, 3), r"\(3, 21, 3\) or \(3, 23, 3\)"),
        ("body_pose", (2, 21, 3), r"\(3, 21, 3\) or \(3, 23, 3\)"),
        ("left_hand_pose", (3, 6), r"\(3, 15, 3\)"),
        ("eye_pose", (18,), r"\(3, 2, 3\)"),
        ("jaw_pose", (), r"\(3, 1, 3\)"),
        ("left_hand_pose", (3, 3, 15), r"\(3, 15, 3\)"),
        ("global_orient", (3, 4), r"\(3, 1, 3\)"),
    ],
)
def test_parameters_of_wrong_shape_are_named(models, name, shape, counts):
    arrays = {"global_orient": np.zeros((3, 3))} | {name: np.zeros(shape)}
    with pytest.raises(ValueError, match=rf"^shape of {name}: expected {counts}, received {re.escape(str(shape))}$"):
        body_rotations(models["smplx"], **arrays)
