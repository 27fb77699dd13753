"""``smoothnet mesh``."""

from __future__ import annotations

import json

import numpy as np
import pytest

from smpl_tools.bodies.free_body import free_body, stature
from tests.helpers import REPOSITORY
from tests.smpl.body_files import write_smpl, write_smplh
from tests.smpl.cli_helpers import Program, amass, body, saved

TAKES = REPOSITORY / "assets" / "takes"
DANCE = TAKES / "dance_smplh_truth.npz"


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


@pytest.fixture
def short(tmp_path):
    """Five frames of a dance, Z up."""
    with np.load(DANCE) as archive:
        arrays = {k: archive[k] for k in archive.files}
    arrays |= {k: arrays[k][:5] for k in ("poses", "trans")}
    np.savez(tmp_path / "short.npz", **arrays)
    return tmp_path / "short.npz"


def test_vertices_of_every_frame(program, tmp_path, short):
    ran = program("mesh", short, "-o", tmp_path / "v.npz")
    assert ran.status == 0
    assert "body free, 13,524 vertices, 5 frames" in ran.out
    with np.load(tmp_path / "v.npz") as found:
        vertices = found["vertices"]
        assert vertices.shape == (5, 13524, 3)
        assert vertices.dtype == np.float32
        assert float(found["fps"]) == 30.0
        assert "licence" not in found.files
    # Y is up in the mesh whatever the file has: as tall as a dancer, standing near the floor of the file.
    assert 1.2 < np.ptp(vertices[0, :, 1]) < 2.0
    assert abs(vertices[0, :, 1].min()) < 0.1
    assert program("mesh", short, "-o", tmp_path / "z.npz", "--up", "z", "--unit", "cm").status == 0
    with np.load(tmp_path / "z.npz") as found:
        turned = found["vertices"]
    expected = np.stack([vertices[..., 0], -vertices[..., 2], vertices[..., 1]], axis=-1) * 100
    assert np.abs(turned - expected).max() < 0.01


def test_meshes_of_chosen_frames(program, tmp_path, short):
    trimesh = pytest.importorskip("trimesh", reason="trimesh, of the extra meshes, writes meshes")
    ran = program("mesh", short, "-o", tmp_path / "m.obj", "--frames", "0,2-3", "--json")
    paths = json.loads(ran.out)["files"]
    assert [p.rsplit("/", 1)[1] for p in paths] == ["m_000000.obj", "m_000002.obj", "m_000003.obj"]
    program("mesh", short, "-o", tmp_path / "v.npz")
    with np.load(tmp_path / "v.npz") as found:
        vertices = found["vertices"]
    mesh = trimesh.load(paths[1], process=False)
    assert np.abs(mesh.vertices - vertices[2]).max() < 1e-5
    assert mesh.volume > 0.04
    assert program("mesh", short, "-o", tmp_path / "one.ply").status == 0
    assert (tmp_path / "one.ply").read_bytes().startswith(b"ply")


def test_a_body_as_tall_as_asked(program, tmp_path, short):
    program("mesh", short, "-o", tmp_path / "v.npz", "--stature", "1.9", "--gender", "male")
    with np.load(tmp_path / "v.npz") as found:
        tall = np.ptp(found["vertices"][0, :, 1])
    program("mesh", short, "-o", tmp_path / "w.npz", "--gender", "male")
    with np.load(tmp_path / "w.npz") as found:
        usual = np.ptp(found["vertices"][0, :, 1])
    assert tall / usual == pytest.approx(1.9 / stature(free_body(gender="male")), rel=0.05)


def test_animated_bodies(program, tmp_path, short):
    assert program("mesh", short, "-o", tmp_path / "x.glb").status == 0
    content = (tmp_path / "x.glb").read_bytes()
    assert content[:4] == b"glTF"
    document = json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")])
    assert "copyright" not in document["asset"]
    assert len(document["skins"][0]["joints"]) == 24


def test_a_licensed_body_says_so(program, tmp_path, short, monkeypatch):
    models = tmp_path / "models"
    models.mkdir()
    write_smpl(models / "SMPL_FEMALE.pkl", 130)
    write_smplh(models / "SMPLH_FEMALE.npz", 130)
    arguments = ("mesh", short, "-o", tmp_path / "v.npz", "--body", "smplh", "--gender", "female", "--models", models)
    ran = program(*arguments)
    assert ran.status == 0
    assert "non-commercial" in ran.out
    with np.load(tmp_path / "v.npz") as found:
        assert found["vertices"].shape == (5, 130, 3)
        assert "non-commercial" in str(found["licence"])
    monkeypatch.setenv("SMOOTHNET_BODY_MODELS", str(models))
    assert program("mesh", short, "-o", tmp_path / "x.glb", "--body", "smpl", "--gender", "female").status == 0
    content = (tmp_path / "x.glb").read_bytes()
    document = json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")])
    assert "non-commercial" in document["asset"]["copyright"]


def test_refusals(program, tmp_path, short, monkeypatch):
    monkeypatch.setenv("SMOOTHNET_BODY_MODELS", str(tmp_path))
    out = tmp_path / "v.npz"
    missing = program.refused("mesh", short, "-o", out, "--body", "smplx")
    assert "smpl-x.is.tue.mpg.de" in missing
    assert str(tmp_path) in missing
    wrong = program.refused("mesh", short, "-o", tmp_path / "v.stl", status=2)
    assert "expected a name that ends in .glb, .gltf, .obj, .ply, .npz, received 'v.stl'" in wrong
    assert "glTF is in metres" in program.refused("mesh", short, "-o", tmp_path / "v.glb", "--up", "z", status=2)
    assert "--frames goes with .obj" in program.refused("mesh", short, "-o", out, "--frames", "1", status=2)
    assert "--stature goes with" in program.refused(
        "mesh", short, "-o", out, "--stature", "2", "--body", "smpl", status=2
    )
    assert "such as 0,10,20-30, received '1,x'" in program.refused(
        "mesh", short, "-o", tmp_path / "v.obj", "--frames", "1,x", status=2
    )
    assert program.refused("mesh", short, "-o", tmp_path / "v.obj", "--frames", "3-7") == (
        f"{short}: --frames: expected frames of person 0, 0 to 4, received 5"
    )
    # At once, and without a list of them all.
    assert "received 5" in program.refused("mesh", short, "-o", tmp_path / "v.obj", "--frames", "0-99999999999")
    nobody = amass(tmp_path / "none.npz", 0)
    assert program.refused("mesh", nobody, "-o", tmp_path / "v.obj") == (
        f"{nobody}: frames of person 0: expected at least one, received none"
    )
    assert "is the input" in program.refused("mesh", short, "-o", short, status=2)
    joints = saved(tmp_path / "joints.npy", body())
    assert program.refused("mesh", joints, "-o", out) == (
        f"{joints}: content of the motion: expected SMPL poses, received 3D positions of joints, a plain array"
    )
    program("mesh", amass(tmp_path / "a.npz", 3), "-o", out)
    assert program.refused("mesh", short, "-o", out) == f"{out}: exists already; add --force to replace it"
