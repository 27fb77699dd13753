"""The licence-free body: SMPL's rest pose and joints, MakeHuman's mesh, shapes of its own."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.bodies.free_body import BETAS, free_body, lengths_to_betas, stature, stature_to_betas
from smpl_tools.pairs.body import Shape, make_body
from smpl_tools.skeleton import SMPL, positions

PELVIS = [0, -0.2233, 0.0282]
BODY = free_body()
J = {name: j for j, name in enumerate(SMPL.joints)}


def offsets(model, betas=None):
    places = model.joint_places if betas is None else model.joint_places + model.shape_joints @ betas
    relative = places.copy()
    relative[1:] -= places[model.parents[1:]]
    return relative


def unit(name, amount=1.0):
    return amount * (np.array(BETAS) == name)


def volume(vertices, faces):
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.einsum("fi,fi->", a, np.cross(b, c)) / 6


def skinned(model, turns):
    """Vertices (V, 3) of joints turned by axis-angle vectors in degrees, by name, with 4 by 4 matrices."""
    world = []
    for j, parent in enumerate(model.parents):
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_rotvec(turns.get(model.joints[j], [0, 0, 0]), degrees=True).as_matrix()
        matrix[:3, 3] = offsets(model)[j]
        world.append(matrix if parent < 0 else world[parent] @ matrix)
    back = np.tile(np.eye(4), (len(world), 1, 1))
    back[:, :3, 3] = -model.joint_places
    blended = np.einsum("vj,jab->vab", model.weights, np.stack(world) @ back)
    return np.einsum("vab,vb->va", blended, np.c_[model.vertices, np.ones(len(model.vertices))])[:, :3]


@pytest.mark.parametrize("gender", ["neutral", "male", "female"])
def test_it_is_a_body_model_on_smpls_joints(gender):
    model = free_body(gender=gender)
    assert isinstance(model, BodyModel)
    assert (model.name, model.gender, model.licence, model.pose_vertices) == ("free", gender, None, None)
    assert model.joints == SMPL.joints
    np.testing.assert_array_equal(model.parents, SMPL.parents)
    assert model.shape_vertices.shape == (13524, 3, len(BETAS))


def test_the_joints_are_those_of_the_skeleton_but_for_wider_hips():
    away = offsets(BODY)[1:] - SMPL.offsets[1:]
    hips = [J["left_hip"] - 1, J["right_hip"] - 1]
    np.testing.assert_allclose(away[hips], [[0.0214, 0, 0], [-0.0214, 0, 0]], atol=1e-4)
    np.testing.assert_allclose(np.delete(away, hips, axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(BODY.joint_places[0], PELVIS, atol=1e-12)


@pytest.mark.parametrize("gender", ["male", "female"])
def test_bones_of_men_and_women_point_as_smpls(gender):
    model = free_body(gender=gender)
    for joint in SMPL.joints[1:]:
        degrees = 9 if joint.endswith("_hip") else 4.2
        ours, theirs = offsets(model)[J[joint]], SMPL.offsets[J[joint]]
        angle = np.degrees(np.arccos(ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)))
        assert angle < degrees, joint


def test_a_motion_of_smpl_puts_the_joints_where_the_skeleton_has_them():
    rng = np.random.default_rng(0)
    rotations = Rotation.from_rotvec(rng.normal(0, 0.5, (5 * 24, 3))).as_matrix().reshape(5, 24, 3, 3)
    placed = positions(rotations, np.zeros((5, 3)), SMPL, offsets(BODY))
    expected = positions(rotations, np.zeros((5, 3)), SMPL)
    legs = [J[n] for n in SMPL.joints if n.endswith(("_hip", "_knee", "_ankle", "_foot"))]
    others = [j for j in range(24) if j not in legs]
    np.testing.assert_allclose(placed[:, others], expected[:, others], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(placed - expected, axis=-1)[:, legs], 0.0214, atol=1e-4)


def test_it_stands_on_level_soles_and_looks_forwards():
    lowest = BODY.vertices[:, 1].min()
    assert lowest == pytest.approx(-1.152, abs=0.001)
    for side in (-1, 1):
        foot = BODY.vertices[(side * BODY.vertices[:, 0] > 0) & (BODY.vertices[:, 1] < lowest + 0.012)]
        assert np.ptp(foot[:, 2]) > 0.2  # heel and toes both touch
    head = BODY.vertices[BODY.weights[:, J["head"]] > 0.99]
    nose = head[np.argmax(head[:, 2])]
    assert abs(nose[0]) < 0.001
    assert nose[2] > BODY.joint_places[J["head"], 2] + 0.1
    assert stature(BODY) == pytest.approx(1.674, abs=0.001)


def test_left_and_right_are_mirror_images():
    mirror = np.array([-1.0, 1, 1])
    distance, partner = KDTree(BODY.vertices).query(BODY.vertices * mirror)
    assert distance.max() < 1e-6
    swapped = [J[re.sub("left|right", lambda m: {"left": "right", "right": "left"}[m[0]], n)] for n in SMPL.joints]
    np.testing.assert_allclose(BODY.joint_places[swapped] * mirror, BODY.joint_places, atol=1e-6)
    assert len(np.unique(partner)) == len(partner)
    np.testing.assert_allclose(BODY.weights[partner][:, swapped], BODY.weights, atol=1e-6)
    steps = BODY.shape_vertices[partner] * mirror[:, None]
    np.testing.assert_allclose(steps, BODY.shape_vertices, atol=2e-3)


def test_weights_are_shares_of_at_most_four_joints():
    assert BODY.weights.min() >= 0
    np.testing.assert_allclose(BODY.weights.sum(axis=1), 1, atol=1e-12)
    assert (BODY.weights > 0).sum(axis=1).max() == 4
    assert (BODY.weights.max(axis=0) > 0.45).all()  # no joint moves nothing


def test_the_mesh_stays_closed_and_right_way_out():
    source = make_body(Shape(0.5, (1 / 3, 1 / 3, 1 / 3), 0, 0, 1))
    np.testing.assert_array_equal(BODY.faces, source.triangles)
    edges = BODY.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    assert len(np.unique(edges, axis=0)) == len(edges)
    assert {*map(tuple, edges)} == {*map(tuple, edges[:, ::-1])}
    assert volume(BODY.vertices, BODY.faces) == pytest.approx(volume(source.vertices, source.triangles), rel=0.06)
    for name in BETAS:
        for amount in (-1, 1):
            assert volume(BODY.vertices + BODY.shape_vertices @ unit(name, amount), BODY.faces) > 0.03


def test_turning_the_arms_into_the_rest_pose_wrings_no_skin():
    source = make_body(Shape(0.5, (1 / 3, 1 / 3, 1 / 3), 0, 0, 1))
    areas = []
    for vertices in (BODY.vertices, source.vertices):
        a, b, c = (vertices[BODY.faces[:, k]] for k in range(3))
        areas.append(np.linalg.norm(np.cross(b - a, c - a), axis=1))
    ratio = areas[0] / areas[1]
    assert ratio.min() > 0.4
    assert np.quantile(ratio, 0.01) > 0.8


def test_elbows_bend_forwards_and_knees_backwards():
    hands = skinned(BODY, {"left_elbow": [0, -90, 0], "right_elbow": [0, 90, 0]})
    follows = BODY.weights[:, J["left_hand"]] > 0.9
    assert hands[follows, 2].min() > 0.25
    shins = skinned(BODY, {"left_knee": [90, 0, 0]})
    assert shins[BODY.weights[:, J["left_foot"]] > 0.9, 2].max() < -0.3


def test_palms_look_down_and_thumbs_forwards():
    left = BODY.weights[:, J["left_wrist"]] + BODY.weights[:, J["left_hand"]] > 0.9
    fingers = BODY.weights[:, J["left_hand"]] > 0.9
    thumb = left & (BODY.weights[:, J["left_hand"]] < 0.05)
    assert BODY.vertices[thumb, 2].max() > BODY.vertices[fingers, 2].max() - 0.02
    spread = np.ptp(BODY.vertices[fingers], axis=0)
    assert spread[2] > spread[1]


def test_only_toes_follow_the_ball_of_the_foot():
    moved = np.abs(skinned(BODY, {"left_foot": [-40, 0, 0]}) - BODY.vertices).max(axis=1)
    toes = moved > 1e-3
    assert 500 < toes.sum() < 1500
    assert BODY.vertices[toes, 2].min() > BODY.joint_places[J["left_foot"], 2] - 0.045
    assert (BODY.vertices[toes, 0] > 0).all()


@pytest.mark.parametrize("name", BETAS)
def test_the_pelvis_stays_whatever_the_shape(name):
    np.testing.assert_array_equal(BODY.shape_joints[0] @ unit(name), 0)
    assert np.abs(BODY.shape_vertices @ unit(name)).max() > 0.01


def test_betas_mean_what_is_said_of_them():
    length = np.linalg.norm(offsets(BODY), axis=1)

    def changed(name, amount=1.0):
        return np.linalg.norm(offsets(BODY, unit(name, amount)), axis=1)[1:] / length[1:]

    np.testing.assert_allclose(changed("size"), 1.1, atol=1e-9)
    limbs = {"legs": ("_knee", "_ankle"), "arms": ("_elbow", "_wrist")}
    for name, ends in limbs.items():
        expected = [1.1 if joint.endswith(ends) else 1.0 for joint in SMPL.joints[1:]]
        np.testing.assert_allclose(changed(name), expected, atol=5e-3)
    np.testing.assert_allclose(changed("trunk")[[J["left_knee"] - 1, J["left_wrist"] - 1, J["head"] - 1]], 1, atol=1e-9)
    neck = BODY.shape_joints[J["neck"]] @ unit("trunk")
    assert np.linalg.norm(neck) == pytest.approx(0.1 * np.hypot(0.59, 0.03), abs=1e-6)
    for gender, amount in (("male", 1), ("female", -1)):
        other = free_body(gender=gender)
        np.testing.assert_allclose(BODY.vertices + BODY.shape_vertices @ unit("sex", amount), other.vertices, atol=1e-9)
        np.testing.assert_allclose(
            BODY.joint_places + BODY.shape_joints @ unit("sex", amount), other.joint_places, atol=1e-9
        )
    heavy, light = (volume(BODY.vertices + BODY.shape_vertices @ unit("weight", w), BODY.faces) for w in (1, -1))
    assert heavy > 1.2 * light


def test_a_shape_of_makehuman_is_the_template():
    shape = Shape(sex=1.0, race=(0.2, 0.3, 0.5), weight=0.5, muscle=-0.3, scale=1.05)
    model = free_body(shape, "male")
    assert stature(model) == pytest.approx(1.05 * stature(free_body(Shape(1.0, (0.2, 0.3, 0.5), 0.5, -0.3, 1.0))), 1e-6)
    np.testing.assert_allclose(model.joint_places[0], PELVIS, atol=1e-12)


@settings(max_examples=10)
@given(st.floats(0.5, 2.5))
def test_a_stature_is_reached(metres):
    assert stature(BODY, stature_to_betas(BODY, metres)) == pytest.approx(metres, abs=1e-9)


@settings(max_examples=10)
@given(*[st.floats(0.8, 1.2)] * 3)
def test_lengths_of_bones_are_reached(thigh, shin, arm):
    wanted = {"left_elbow": 0.26 * arm, "left_knee": 0.38 * thigh, "right_knee": 0.38 * thigh}
    both = {**wanted, "left_ankle": 0.4 * shin}
    legs_alike = {**wanted, "left_ankle": 0.4005 * thigh}
    found = np.linalg.norm(offsets(BODY, lengths_to_betas(BODY, legs_alike)), axis=1)
    for name, length in legs_alike.items():
        assert found[J[name]] == pytest.approx(length, abs=1e-3)
    # Thighs and shins change together: the nearest that one factor for both allows.
    found = np.linalg.norm(offsets(BODY, lengths_to_betas(BODY, both)), axis=1)
    a, b = np.array([0.38053, 0.38053, 0.4005]), np.array([0.38 * thigh, 0.38 * thigh, 0.4 * shin])
    assert found[J["left_knee"]] == pytest.approx(0.38053 * (a @ b) / (a @ a), abs=1e-3)


def test_one_length_alone_sizes_the_whole_body():
    betas = lengths_to_betas(BODY, {"left_ankle": 0.44})
    assert stature(BODY, betas) == pytest.approx(stature(BODY) * 0.44 / 0.4005, rel=0.01)


def test_the_same_call_gives_the_same_body_and_shares_nothing():
    again = free_body()
    for name in ("vertices", "joint_places", "weights", "shape_vertices", "shape_joints", "faces", "parents"):
        np.testing.assert_array_equal(getattr(again, name), getattr(BODY, name))
        assert not np.shares_memory(getattr(again, name), getattr(BODY, name))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: free_body(gender="x"), "gender of the free body: expected one of female, neutral, male, received 'x'"),
        (lambda: stature(BODY, np.zeros(10)), "betas of the free body: expected (7,), received (10,)"),
        (lambda: stature_to_betas(BODY, 170), "stature: expected 0.5 to 2.5 m, received 170"),
        (lambda: lengths_to_betas(BODY, {}), "lengths of bones: expected at least one, received none"),
        (
            lambda: lengths_to_betas(BODY, {"left_knee": -1.0}),
            "length of left_knee: expected a positive number of metres, received -1.0",
        ),
    ],
)
def test_what_is_wrong_is_refused(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


def test_a_length_of_no_bone_is_refused():
    with pytest.raises(ValueError, match=r"^joint of a length: expected one of left_hip, .*, received 'pelvis'$"):
        lengths_to_betas(BODY, {"pelvis": 1.0})


def test_another_model_has_no_such_betas():
    other = BodyModel(**{**BODY.__dict__, "name": "smpl"})
    with pytest.raises(ValueError, match=r"^body model: expected the free body, received smpl$"):
        stature_to_betas(other, 1.7)
