"""``smoothnet fit``: SMPL poses from joints and from vertices."""

from __future__ import annotations

import json

import numpy as np
import pytest

from smpl_tools.contents import as_content
from smpl_tools.convert import make, prepared_for
from smpl_tools.formats import read
from smpl_tools.motion import Motion, Person, Track
from smpl_tools.rotations import axis_angle_to_matrix, geodesic_angle
from smpl_tools.skeleton import SMPL
from tests.helpers import REPOSITORY, shared
from tests.smpl.cli_helpers import Program, amass

DANCE = REPOSITORY / "assets" / "takes" / "dance_smplh_truth.npz"


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Sixteen frames of a dance, Z up."""
    path = tmp_path_factory.mktemp("takes") / "short.npz"
    with np.load(DANCE) as archive:
        arrays = {k: archive[k] for k in archive.files}
    arrays |= {k: arrays[k][60:76] for k in ("poses", "trans")}
    np.savez(path, **arrays)
    return path


def joints_of(path):
    motion = read(path)
    return as_content(motion, "joints")[0].people[0].tracks["joints"]


def test_joints_in_a_table_become_poses(program, tmp_path, short):
    program("convert", short, "-o", tmp_path / "joints.csv", "--up", "y")
    ran = program("fit", tmp_path / "joints.csv", "-o", tmp_path / "fit.npz")
    assert ran.status == 0
    assert "16 of 16 frames fitted, 16 converged; off by " in ran.out
    assert "unit not stated in the file: taken for m by the size of the people" in ran.out
    old, new = joints_of(short), joints_of(tmp_path / "fit.npz")
    names = SMPL.joints[:22]
    pair = [t.values[:, [t.joints.index(n) for n in names]] for t in (old, new)]
    assert np.linalg.norm(pair[0] - pair[1], axis=-1).mean() < 0.005
    assert new.up == "z"


def test_vertices_give_the_very_poses_back(program, tmp_path, short):
    program("mesh", short, "-o", tmp_path / "v.npz")
    ran = program("fit", tmp_path / "v.npz", "-o", tmp_path / "fit.npz", "--json")
    (person,) = json.loads(ran.out)["people"]
    assert person["max_mm"] < 0.1
    assert (person["frames"], person["fitted_frames"]) == (16, 16)
    old, new = (read(path).people[0].tracks for path in (short, tmp_path / "fit.npz"))
    for name in ("global_orient", "body_pose"):
        angles = geodesic_angle(*(axis_angle_to_matrix(t[name].values) for t in (old, new)))
        assert np.rad2deg(angles).max() < 0.05, name
    assert np.abs(old["transl"].values - new["transl"].values).max() < 1e-4
    assert read(tmp_path / "fit.npz").fps == 30.0


def test_a_real_take_of_mediapipe(program, tmp_path):
    with np.load(shared("data", "real", "mediapipe", "cam03_smooth.npz")) as archive:
        arrays = {k: a[:25] if a.ndim == 3 else a for k, a in ((k, archive[k]) for k in archive.files)}
    take = tmp_path / "take.npz"
    np.savez(take, **arrays)
    ran = program("fit", take, "-o", tmp_path / "fit.npz", "--json")
    (person,) = json.loads(ran.out)["people"]
    assert person["mean_mm"] < 15
    assert person["converged_frames"] > 0.9 * person["frames"]
    track = joints_of(tmp_path / "fit.npz")
    heights = track.values[..., 2]
    assert (heights[:, track.joints.index("head")] > heights[:, track.joints.index("left_knee")]).all()


def test_another_format_and_people_with_gaps(program, tmp_path, short):
    track = joints_of(short)
    rows = [0, 1, 2, 6, 7, 8]
    people = tuple(
        Person(name, {"joints": Track(track.values[rows] + k, "position", "body", track.joints)}, np.array(rows))
        for k, name in enumerate(("4", "7"))
    )
    ready, _ = prepared_for(Motion("x", people, 30.0), "csv")
    make(ready, "csv", tmp_path / "two.csv")
    ran = program("fit", tmp_path / "two.csv", "-o", tmp_path / "x.pkl", "--to", "wham", "--from-up", "z")
    assert ran.status == 0
    found = read(tmp_path / "x.pkl")
    assert [p.id for p in found.people] == ["4", "7"]
    assert all(p.frames.tolist() == rows for p in found.people)
    refused = program.refused("fit", tmp_path / "two.csv", "-o", tmp_path / "y.npz", "--person", "4")
    assert "no gap (--fill fills them)" in refused
    assert program("fit", tmp_path / "two.csv", "-o", tmp_path / "y.npz", "--person", "4", "--fill").status == 0
    assert len(read(tmp_path / "y.npz").people[0].frames) == 9


def test_refusals(program, tmp_path, short):
    out = tmp_path / "fit.npz"
    points = np.random.default_rng(0).normal(size=(5, 12, 3))
    np.save(tmp_path / "points.npy", points)
    assert program.refused("fit", tmp_path / "points.npy", "-o", out) == (
        f"{tmp_path / 'points.npy'}: joints of person 0: expected joints with names, or SMPL's 22 or 24, received 12"
    )
    np.save(tmp_path / "mesh.npy", np.zeros((5, 200, 3)))
    assert "(T, 13524, 3), received (5, 200, 3)" in program.refused("fit", tmp_path / "mesh.npy", "-o", out)
    text = "a_x,a_y,a_z,b_x,b_y,b_z\n" + "0,0,0,1,1,1\n" * 5
    (tmp_path / "two.csv").write_text(text)
    assert program.refused("fit", tmp_path / "two.csv", "-o", out) == (
        f"{tmp_path / 'two.csv'}: joints of person 0: expected those of SMPL or of h36m_17, coco_17, mediapipe_33, "
        "received a, b"
    )
    wrong = program.refused("fit", short, "-o", out, "--to", "bvh", status=2)
    assert wrong.startswith("Invalid value for --to: expected one of wham, ")
    assert "has no vertices" in program.refused("fit", tmp_path / "mesh.npy", "-o", out, "--body", "skeleton", status=2)
    assert "is the input" in program.refused("fit", short, "-o", short, status=2)
    amass(out, 3)
    assert program.refused("fit", short, "-o", out) == f"{out}: exists already; add --force to replace it"
