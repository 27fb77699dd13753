"""Meshes as files, read back by readers of their own."""

from __future__ import annotations

import re
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpl_tools.bodies.free_body import free_body
from smpl_tools.bodies.meshes import UNITS, vertex_normals, write_mesh, write_vertices_npz

LICENCE = "For research only.\nNot to be passed on."
CORNERS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def needs_trimesh():
    return pytest.importorskip("trimesh", reason="the extra `meshes` is not installed")


def read_obj(path):
    """The lines of an OBJ: remarks, vertices, normals, and the two numbers of every corner, from zero."""
    remarks, rows, faces = [], {"v": [], "vn": []}, []
    for line in path.read_text().splitlines():
        word, *rest = line.split()
        if word == "#":
            remarks.append(" ".join(rest))
        elif word in rows:
            rows[word].append([float(x) for x in rest])
        elif word == "f":
            faces.append([[int(corner.split("/")[k]) - 1 for k in (0, 2)] for corner in rest])
    return remarks, np.array(rows["v"]), np.array(rows["vn"]), np.array(faces)


def read_ply(path):
    head, _, body = path.read_bytes().partition(b"end_header\n")
    lines = head.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    counts = [int(line.split()[2]) for line in lines if line.startswith("element")]
    names = [line.split()[2] for line in lines if line.startswith("property float")]
    assert names == ["x", "y", "z", "nx", "ny", "nz"]
    rows = np.frombuffer(body, "<f4", 6 * counts[0]).reshape(-1, 6)
    faces = np.frombuffer(body, np.dtype([("n", "u1"), ("corners", "<i4", 3)]), counts[1], 24 * counts[0])
    assert (faces["n"] == 3).all()
    remarks = [line.removeprefix("comment ") for line in lines if line.startswith("comment")]
    return remarks, rows[:, :3], rows[:, 3:], faces["corners"]


def volume(vertices, faces):
    a, b, c = (vertices[faces[:, k]].astype(float) for k in range(3))
    return np.einsum("fi,fi->", a, np.cross(b, c)) / 6


def test_normals_of_a_sphere_point_away_from_its_middle():
    sphere = needs_trimesh().creation.icosphere(3)
    normals = vertex_normals(np.array(sphere.vertices) + 5, sphere.faces)
    np.testing.assert_allclose(normals, sphere.vertices, atol=0.02)


def test_normals_weigh_faces_by_their_areas():
    normals = vertex_normals(CORNERS * [1, 1, 2], FACES)
    # At the origin three faces meet: of area 1/2 below, and of area 1 on two sides.
    np.testing.assert_allclose(normals[0], np.array([-1, -1, -0.5]) / 1.5, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-12)


def test_a_vertex_without_a_face_has_some_normal():
    flat = np.array([[0, 1, 1]])
    np.testing.assert_array_equal(vertex_normals(CORNERS, flat), [[0, 1, 0]] * 4)


@given(st.integers(0, 2**32 - 1))
def test_normals_turn_with_the_mesh(seed):
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    np.testing.assert_allclose(
        vertex_normals(CORNERS @ turn.T, FACES), vertex_normals(CORNERS, FACES) @ turn.T, atol=1e-9
    )


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_a_body_comes_back_in_its_unit_and_right_way_out(tmp_path, suffix, unit):
    needs_trimesh()
    body = free_body()
    path = tmp_path / f"body{suffix}"
    assert write_mesh(path, body.vertices, body.faces, unit=unit) is None
    remarks, vertices, normals, faces = (read_obj if suffix == ".obj" else read_ply)(path)
    if suffix == ".obj":
        np.testing.assert_array_equal(faces[..., 0], faces[..., 1])
        faces = faces[..., 0]
    factor = {"m": 1, "cm": 100, "mm": 1000}[unit]
    assert f"unit: {unit}" in remarks
    np.testing.assert_allclose(vertices, body.vertices * factor, atol=1e-6 * factor)
    np.testing.assert_array_equal(faces, body.faces)
    assert volume(vertices / factor, faces) == pytest.approx(volume(body.vertices, body.faces), rel=1e-5)
    np.testing.assert_allclose(normals, vertex_normals(body.vertices, body.faces), atol=1e-6)
    # Outwards: a step along the normals makes the body larger.
    assert volume(vertices / factor + 0.001 * normals, faces) > volume(vertices / factor, faces)


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_the_licence_is_in_the_file_and_returned(tmp_path, suffix):
    needs_trimesh()
    path = tmp_path / f"body{suffix}"
    assert write_mesh(path, CORNERS, FACES, licence=LICENCE) == LICENCE
    remarks = (read_obj if suffix == ".obj" else read_ply)(path)[0]
    assert [r for r in remarks if r.startswith("licence")] == [
        "licence: For research only.",
        "licence: Not to be passed on.",
    ]
    before = path.read_bytes()
    write_mesh(path, CORNERS, FACES, licence=LICENCE)
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_another_program_reads_it(tmp_path, suffix):
    trimesh = needs_trimesh()
    path = tmp_path / f"body{suffix}"
    write_mesh(path, CORNERS, FACES, unit="cm", licence=LICENCE)
    mesh = trimesh.load(path, process=False)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(1e6 / 6)


def written(path):
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def test_vertices_of_all_frames_are_written_in_pieces(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(7, 4, 3))
    frames[3] = np.nan
    path = tmp_path / "vertices.npz"
    pieces = iter([frames[0], frames[1:1], frames[1:4], frames[4:]])
    result = write_vertices_npz(
        path, pieces, FACES, count=7, fps=59.94, unit="cm", frame_numbers=np.arange(7) * 2, licence=LICENCE
    )
    content = written(path)
    assert result == LICENCE
    assert set(content) == {"vertices", "faces", "fps", "unit", "frame_numbers", "licence"}
    assert content["vertices"].dtype == np.float32
    np.testing.assert_array_equal(content["vertices"], (frames * 100).astype(np.float32))
    np.testing.assert_array_equal(content["faces"], FACES)
    np.testing.assert_array_equal(content["frame_numbers"], np.arange(7) * 2)
    assert (float(content["fps"]), str(content["unit"]), str(content["licence"])) == (59.94, "cm", LICENCE)


def test_frames_are_counted_from_zero_and_a_free_body_has_no_licence(tmp_path):
    path = tmp_path / "vertices.npz"
    assert write_vertices_npz(path, [np.stack([CORNERS] * 3)], FACES, count=3, fps=30) is None
    content = written(path)
    assert "licence" not in content
    np.testing.assert_array_equal(content["frame_numbers"], [0, 1, 2])


def test_memory_does_not_grow_with_the_motion(tmp_path):
    body = free_body()
    count, piece = 60, body.vertices
    tracemalloc.start()
    write_vertices_npz(tmp_path / "v.npz", (piece for _ in range(count)), body.faces, count=count, fps=30)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "v.npz").stat().st_size > count * piece.size * 4
    assert peak < 4e6 < count * piece.size * 4


def mesh(**changes):
    def call(folder):
        needs_trimesh()
        given = {"vertices": CORNERS, "faces": FACES, "name": "x.obj", **changes}
        write_mesh(folder / given.pop("name"), given.pop("vertices"), given.pop("faces"), **given)

    return call


def frames(**changes):
    def call(folder):
        given = {"frames": [CORNERS, CORNERS], "faces": FACES, "count": 2, "fps": 30.0, **changes}
        write_vertices_npz(folder / "x.npz", given.pop("frames"), given.pop("faces"), **given)

    return call


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (mesh(name="x.fbx"), "ending of x.fbx: expected one of .obj, .ply, received '.fbx'"),
        (mesh(unit="inch"), "unit of a mesh: expected one of m, cm, mm, received 'inch'"),
        (mesh(vertices=CORNERS[:, :2]), "shape of vertices: expected (V, 3), received (4, 2)"),
        (mesh(faces=FACES + 1), "faces: expected indices of 4 vertices, received 1 to 4"),
        (
            mesh(faces=FACES.astype(float)),
            "faces: expected whole numbers of shape (F, 3), received float64 of shape (4, 3)",
        ),
        (
            mesh(vertices=np.where(np.eye(4, 3) > 0, np.inf, CORNERS)),
            "vertices of a mesh: expected finite numbers, received vertex 0 at [inf, 0.0, 0.0]",
        ),
        (frames(unit="inch"), "unit of a mesh: expected one of m, cm, mm, received 'inch'"),
        (frames(fps=0), "fps: expected a positive number, received 0"),
        (frames(count=1), "frames of a mesh: expected 1, received more"),
        (frames(count=3), "frames of a mesh: expected 3, received 2"),
        (frames(frames=[]), "frames of a mesh: expected at least one, received 0"),
        (frames(frames=[CORNERS, CORNERS[:3]]), "vertices of frame 1: expected (4, 3), received (3, 3)"),
        (frames(frames=[CORNERS[0]]), "shape of a piece of frames: expected (V, 3) or (n, V, 3), received (3,)"),
        (frames(frame_numbers=[1]), "shape of frame_numbers: expected (2,), received (1,)"),
        (frames(faces=FACES + 1), "faces: expected indices of 4 vertices, received 1 to 4"),
    ],
)
def test_what_is_wrong_is_refused_and_leaves_nothing(tmp_path, call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    needs_trimesh()
    path = tmp_path / "no" / "x.obj"
    message = f"{path}: cannot be written: the folder {Path(path).parent} does not exist"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        write_mesh(path, CORNERS, FACES)


def test_without_trimesh_the_command_that_adds_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trimesh", None)
    message = "trimesh is not installed; add it with: pip install 'smoothnet[meshes]'"
    with pytest.raises(ImportError, match=f"^{re.escape(message)}$"):
        write_mesh(tmp_path / "x.obj", CORNERS, FACES)
    assert list(tmp_path.iterdir()) == []
