"""glTF: what is in the file, evaluated by a reader of its own, is where the joints and the vertices are."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.bodies.free_body import BETAS, free_body
from smpl_tools.bodies.gltf_body import MovingBody, write_bodies
from smpl_tools.bodies.meshes import vertex_normals
from smpl_tools.formats.gltf import NAME, Figure, Skin, write_figures, write_skeletons
from smpl_tools.motion import Skeleton
from smpl_tools.skeleton import SMPL, SMPL_X, positions
from tests.smpl.gltf_reader import Gltf

Y_UP = {"y": np.eye(3), "z": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0.0]])}
LICENCE = "For research only."


def motion(frames=7, joints=24, seed=0, size=0.7):
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0, size / 3, (frames, joints, 3)), axis=0)
    rotations = Rotation.from_rotvec(walk.reshape(-1, 3)).as_matrix().reshape(frames, joints, 3, 3)
    return rotations, np.cumsum(rng.normal(0, 0.1, (frames, 3)), axis=0)


def volume(vertices, faces):
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.einsum("fi,fi->", a, np.cross(b, c)) / 6


def assert_places(file, expected, fps, frames=None, skin=0, joints=SMPL.joints, atol=2e-6):
    """Compare joints at every frame, (T, J, 3) metres and Y up."""
    for row, number in enumerate(range(len(expected)) if frames is None else frames):
        places = file.places(skin, number / fps)
        np.testing.assert_allclose([places[name] for name in joints], expected[row], atol=atol)


@pytest.mark.parametrize("suffix", [".glb", ".gltf"])
@pytest.mark.parametrize("up", ["y", "z"])
@pytest.mark.parametrize("rest_up", ["y", "z", None])
@pytest.mark.parametrize("unit_m", [1.0, 0.01])
def test_joints_are_where_forward_kinematics_has_them(tmp_path, suffix, up, rest_up, unit_m):
    rotations, transl = motion()
    skeleton = Skeleton(SMPL.joints, SMPL.parents, SMPL.offsets / unit_m)
    path = tmp_path / f"take{suffix}"
    people = [("0", rotations, transl / unit_m)]
    write_skeletons(path, skeleton, people, 30, unit_m=unit_m, up=up, rest_up=rest_up)
    file = Gltf(path)
    expected = positions(rotations, transl, SMPL) @ Y_UP[up].T
    assert_places(file, expected, 30)
    at_rest = np.stack([file.places(0, None)[name] for name in SMPL.joints])
    np.testing.assert_allclose(
        at_rest[1:] - at_rest[SMPL.parents[1:]], SMPL.offsets[1:] @ Y_UP[rest_up or up].T, atol=1e-6
    )


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.floats(0.01, 3))
def test_any_motion_of_any_hierarchy(tmp_path_factory, seed, joints, size):
    rng = np.random.default_rng(seed)
    parents = np.array([-1, *(rng.integers(0, j) for j in range(1, joints))])
    skeleton = Skeleton(tuple(f"joint {j}" for j in range(joints)), parents, rng.normal(size=(joints, 3)))
    rotations, transl = motion(5, joints, seed, size)
    offsets = rng.normal(size=(5, joints, 3))
    path = tmp_path_factory.mktemp("gltf") / "x.glb"
    write_figures(path, [Figure("p", skeleton, rotations, transl, offsets)], 24)
    assert_places(Gltf(path), positions(rotations, transl, skeleton, offsets), 24, joints=skeleton.joints, atol=1e-5)


def test_times_are_the_frames_and_quaternions_never_turn_the_long_way(tmp_path):
    rotations, transl = motion(frames=400, size=1.5)
    numbers = np.arange(400) + 3
    numbers[200:] += 17
    write_figures(tmp_path / "x.glb", [Figure("p", SMPL, rotations, transl, frames=numbers)], 59.94)
    file = Gltf(tmp_path / "x.glb")
    for joint in SMPL.joints:
        times, quat_xyzw = file.sampler(file.node(joint), "rotation")
        np.testing.assert_array_equal(times, (numbers / 59.94).astype(np.float32))
        assert ((quat_xyzw[1:] * quat_xyzw[:-1]).sum(axis=1) >= 0).all()
        np.testing.assert_allclose(np.linalg.norm(quat_xyzw, axis=1), 1, atol=1e-6)
        assert (file.sampler(file.node(joint), "translation") is None) == (joint != "pelvis")
    animation = file.json["animations"][0]
    assert animation["extras"] == {"fps": 59.94}
    assert len({s["input"] for s in animation["samplers"]}) == 1
    assert "min" in file.json["accessors"][animation["samplers"][0]["input"]]


def test_frames_that_are_not_known_get_no_key(tmp_path):
    rotations, transl = motion()
    rotations[2, 5] = np.nan
    transl[4, 1] = np.nan
    write_skeletons(tmp_path / "x.glb", SMPL, [("p", rotations, transl)], 10)
    file = Gltf(tmp_path / "x.glb")
    known = [0, 1, 3, 5, 6]
    assert_places(file, positions(rotations, transl, SMPL)[known], 10, known)
    np.testing.assert_allclose(file.sampler(file.node("head"), "rotation")[0], np.array(known) / 10, rtol=1e-6)


def test_people_move_apart_in_one_animation(tmp_path):
    first, second = motion(seed=1), motion(9, 55, seed=2)
    figures = [Figure("anna", SMPL, *first), Figure("bert", SMPL_X, *second, frames=np.arange(4, 13))]
    write_figures(tmp_path / "x.glb", figures, 25)
    file = Gltf(tmp_path / "x.glb")
    assert_places(file, positions(*first, SMPL), 25, skin=0)
    assert_places(file, positions(*second, SMPL_X), 25, range(4, 13), skin=1, joints=SMPL_X.joints)
    assert len(file.json["animations"]) == 1
    names = [file.json["nodes"][i]["name"] for i in file.json["scenes"][0]["nodes"]]
    assert names == ["anna", "anna_bones", "bert", "bert_bones"]
    assert len(file.json["materials"]) == 1


def test_the_hierarchy_is_kept_and_a_root_without_places_stays(tmp_path):
    rotations, _ = motion()
    skeleton = Skeleton(SMPL.joints, SMPL.parents, SMPL.offsets + np.array([0.3, 0.5, 0]))
    write_skeletons(tmp_path / "x.gltf", skeleton, [("p", rotations, None)], 30, up="z", rest_up="y")
    file = Gltf(tmp_path / "x.gltf")
    assert_places(file, positions(rotations, None, skeleton) @ Y_UP["z"].T, 30)
    for joint, parent in zip(SMPL.joints, SMPL.parents, strict=True):
        above = "p" if parent < 0 else SMPL.joints[parent]
        assert file.node(joint) in file.json["nodes"][file.node(above)]["children"]


def test_bones_whose_length_changes_and_offsets_that_the_file_lacks(tmp_path):
    rotations, transl = motion()
    offsets = np.tile(SMPL.offsets, (7, 1, 1))
    knee = SMPL.joints.index("left_knee")
    offsets[:, knee] *= 1 + 0.1 * np.arange(7)[:, None]
    lacking = SMPL.offsets.copy()
    lacking[[0, knee]] = np.nan
    write_figures(
        tmp_path / "x.glb", [Figure("p", Skeleton(SMPL.joints, SMPL.parents, lacking), rotations, transl, offsets)], 30
    )
    file = Gltf(tmp_path / "x.glb")
    assert_places(file, positions(rotations, transl, SMPL, offsets), 30)
    moving = [j for j in SMPL.joints if file.sampler(file.node(j), "translation") is not None]
    assert moving == ["pelvis", "left_knee"]


def test_drawn_bones_span_their_joints_and_face_outwards(tmp_path):
    rotations, transl = motion()
    write_skeletons(tmp_path / "x.glb", SMPL, [("p", rotations, transl)], 30)
    file = Gltf(tmp_path / "x.glb")
    for seconds, frame in ((0, 0), (5 / 30, 5)):
        vertices, faces = file.skinned(file.node("p_bones"), seconds)
        joints = positions(rotations, transl, SMPL)[frame]
        nearest = np.linalg.norm(vertices[:, None] - joints, axis=-1).min(axis=0)
        # A bone begins at its parent and ends at its joint; a mark surrounds the joints at the ends.
        assert nearest.max() < 0.04
        pieces = faces.reshape(-1, 8, 3)
        assert len(pieces) == 23 + 5
        assert all(volume(vertices, piece) > 0 for piece in pieces)


def test_joints_in_one_place_are_drawn_too(tmp_path):
    skeleton = Skeleton(("root", "child"), np.array([-1, 0]), np.zeros((2, 3)))
    write_skeletons(tmp_path / "x.glb", skeleton, [("p", motion(3, 2)[0], None)], 30)
    file = Gltf(tmp_path / "x.glb")
    vertices, faces = file.skinned(file.node("p_bones"), 0.0)
    assert volume(vertices, faces) > 0
    assert np.isfinite(vertices).all()


def linear_blend(model, rotations, transl, betas):
    """Vertices (T, V, 3), joint by joint."""
    vertices, joints = model.vertices + model.shape_vertices @ betas, model.joint_places + model.shape_joints @ betas
    offsets = joints.copy()
    offsets[1:] -= joints[model.parents[1:]]
    skeleton = Skeleton(model.joints, model.parents, offsets)
    places = positions(rotations, transl + joints[0], skeleton)
    result = np.zeros((len(rotations), *vertices.shape))
    for frame, local in enumerate(rotations):
        world = []
        for j, parent in enumerate(model.parents):
            world.append(local[j] if parent < 0 else world[parent] @ local[j])
            result[frame] += model.weights[:, j, None] * ((vertices - joints[j]) @ world[j].T + places[frame, j])
    return result


@pytest.mark.parametrize("up", ["y", "z"])
def test_bodies_move_as_linear_blend_skinning_moves_them(tmp_path, up):
    model, betas = free_body(), np.array([0.5, -1, 0.3, 0.2, 0.1, -0.2, 0.3])
    first, second = motion(3, seed=1), motion(3, seed=2)
    bodies = [MovingBody("anna", model, *first), MovingBody("bert", free_body(gender="male"), *second, betas)]
    assert write_bodies(tmp_path / "x.glb", bodies, 30, up=up) is None
    file = Gltf(tmp_path / "x.glb")
    assert "copyright" not in file.json["asset"]
    for body, values in zip(bodies, (np.zeros(len(BETAS)), betas), strict=True):
        expected = linear_blend(body.model, body.rotations, body.transl, values) @ Y_UP[up].T
        for frame in range(3):
            vertices, faces = file.skinned(file.node(f"{body.name}_body"), frame / 30)
            np.testing.assert_allclose(vertices, expected[frame], atol=5e-6)
        np.testing.assert_array_equal(faces, body.model.faces)
    mesh = file.json["meshes"][0]["primitives"][0]["attributes"]
    at_rest = file.numbers(mesh["POSITION"])
    np.testing.assert_allclose(file.numbers(mesh["NORMAL"]), vertex_normals(at_rest, model.faces), atol=1e-4)
    np.testing.assert_allclose(file.numbers(mesh["WEIGHTS_0"]).sum(axis=1), 1, atol=1e-6)
    joints, weights = file.numbers(mesh["JOINTS_0"]), file.numbers(mesh["WEIGHTS_0"])
    assert (joints[weights == 0] == 0).all()
    targets = {v["target"] for v in file.json["bufferViews"] if "target" in v}
    assert targets == {34962, 34963}


def test_the_licence_of_a_model_goes_into_the_file(tmp_path):
    model = BodyModel(**{**free_body().__dict__, "name": "smpl", "licence": LICENCE})
    bodies = [MovingBody(name, model, *motion(2)) for name in ("a", "b")]
    assert write_bodies(tmp_path / "x.glb", bodies, 30) == LICENCE
    assert Gltf(tmp_path / "x.glb").json["asset"] == {"version": "2.0", "generator": "smoothnet", "copyright": LICENCE}


def test_more_joints_than_four_are_left_to_the_strongest(tmp_path):
    weights = np.array([[0.05, 0.3, 0.2, 0.25, 0.2], [0, 0, 1, 0, 0], [1, 1, 0, 0, 0]])
    skeleton = Skeleton(tuple("abcde"), np.array([-1, 0, 0, 0, 0]), np.eye(5, 3))
    skin = Skin(np.eye(3), np.eye(3), np.array([[0, 1, 2]]), weights)
    write_figures(tmp_path / "x.glb", [Figure("p", skeleton, motion(2, 5)[0], skin=skin)], 30)
    file = Gltf(tmp_path / "x.glb")
    mesh = file.json["meshes"][0]["primitives"][0]["attributes"]
    joints, shares = file.numbers(mesh["JOINTS_0"]), file.numbers(mesh["WEIGHTS_0"])
    table = np.zeros((3, 5))
    np.put_along_axis(table, joints[:, ::-1].astype(int), shares[:, ::-1], axis=1)
    np.testing.assert_allclose(
        table, [np.array([0, 0.3, 0.2, 0.25, 0.2]) / 0.95, weights[1], [0.5, 0.5, 0, 0, 0]], atol=1e-7
    )


def test_another_program_reads_it(tmp_path):
    trimesh = pytest.importorskip("trimesh", reason="the extra `meshes` is not installed")
    model = free_body()
    write_bodies(tmp_path / "x.glb", [MovingBody("p", model, *motion(2))], 30)
    (mesh,) = trimesh.load(tmp_path / "x.glb", process=False).geometry.values()
    np.testing.assert_allclose(mesh.vertices, model.vertices, atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, model.faces)


def test_the_same_motion_gives_the_same_bytes_and_stays_as_it_was(tmp_path):
    rotations, transl = motion()
    before = rotations.copy(), transl.copy()
    for name in ("a.glb", "b.glb"):
        write_skeletons(tmp_path / name, SMPL, [("p", rotations, transl)], 30, unit_m=0.01, up="z")
    assert (tmp_path / "a.glb").read_bytes() == (tmp_path / "b.glb").read_bytes()
    np.testing.assert_array_equal(before[0], rotations)
    np.testing.assert_array_equal(before[1], transl)
    assert NAME == "gltf"


ROTATIONS, TRANSL = motion(2)
TWO_ROOTS = Skeleton(("a", "b"), np.array([-1, -1]), np.zeros((2, 3)))
NOWHERE = Skeleton(("a", "b"), np.array([-1, 0]), np.full((2, 3), np.nan))
PAIR = ROTATIONS[:, :2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "x.fbx"}, "ending of x.fbx: expected one of .glb, .gltf, received '.fbx'"),
        ({"up": "x"}, "axis that points up: expected one of y, z, received 'x'"),
        ({"rest_up": "x"}, "axis that points up at rest: expected one of y, z, received 'x'"),
        ({"fps": 0}, "fps: expected a positive number, received 0"),
        ({"unit_m": -1.0}, "metres of a unit: expected a positive number, received -1.0"),
        ({"figures": []}, "people to write: expected at least one, received 0"),
        (
            {"figures": [Figure("p", SMPL, PAIR)]},
            "shape of rotations of p: expected (T, 24, 3, 3), received (2, 2, 3, 3)",
        ),
        (
            {"figures": [Figure("p", SMPL, ROTATIONS, TRANSL[:1])]},
            "shape of transl of p: expected (2, 3), received (1, 3)",
        ),
        (
            {"figures": [Figure("p", SMPL, ROTATIONS, offsets=SMPL.offsets)]},
            "shape of offsets of p: expected (2, 24, 3), received (24, 3)",
        ),
        (
            {"figures": [Figure("p", SMPL, ROTATIONS, frames=np.array([4, 4]))]},
            "frame numbers of p: expected strictly increasing, received a repeated or falling number",
        ),
        (
            {"figures": [Figure("p", SMPL, ROTATIONS, frames=np.array([-1, 4]))], "fps": 2},
            "times of p: expected from 0 on, distinct in single precision, received -0.5 to 2.0 s",
        ),
        (
            {"figures": [Figure("p", TWO_ROOTS, PAIR)]},
            "parents of the skeleton of p: expected one root, each before its children, received [-1, -1]",
        ),
        ({"figures": [Figure("p", NOWHERE, PAIR)]}, "offset of b of p: expected three numbers, received NaN"),
        (
            {"figures": [Figure("p", SMPL, ROTATIONS * np.nan)]},
            "frames of p: expected at least one that is known, received none of 2",
        ),
        (
            {"figures": [Figure("p", SMPL, ROTATIONS, skin=Skin(np.eye(3), np.eye(3), np.eye(3), np.eye(3)))]},
            "shape of weights of p: expected (3, 24), received (3, 3)",
        ),
    ],
)
def test_what_is_wrong_is_refused_and_leaves_nothing(tmp_path, arguments, message):
    given = {"name": "x.glb", "figures": [Figure("p", SMPL, ROTATIONS, TRANSL)], "fps": 30, **arguments}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        write_figures(tmp_path / given.pop("name"), given.pop("figures"), given.pop("fps"), **given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"betas": np.zeros(8)}, "shape of betas of p: expected at most (7,), received (8,)"),
        ({"transl": np.zeros((3, 3))}, "shape of transl of p: expected (2, 3), received (3, 3)"),
    ],
)
def test_a_body_that_is_wrong_is_refused(tmp_path, body, message):
    given = {"transl": TRANSL, **body}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        write_bodies(tmp_path / "x.glb", [MovingBody("p", free_body(), ROTATIONS, **given)], 30)
