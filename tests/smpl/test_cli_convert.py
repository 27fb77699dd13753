"""``smoothnet convert``."""

from __future__ import annotations

import json

import numpy as np
import pytest

from smpl_tools.formats import read
from tests.helpers import REPOSITORY
from tests.smpl.cli_helpers import Program, amass, body, saved

TAKES = REPOSITORY / "assets" / "takes"
DANCE, IDLE = TAKES / "dance_smplh.npz", TAKES / "reactidle_000.bvh"


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


def test_the_same_format_is_the_same_file(program, tmp_path):
    ran = program("convert", IDLE, "-o", tmp_path / "x.bvh")
    assert ran.status == 0
    assert (tmp_path / "x.bvh").read_bytes() == IDLE.read_bytes()


def test_amass_to_bvh_says_what_it_does_and_loses(program, tmp_path):
    ran = program("convert", DANCE, "-o", tmp_path / "x.bvh")
    assert ran.status == 0
    assert f"{DANCE} -> {tmp_path / 'x.bvh'}" in ran.out
    assert "bvh, 298 frames, 30 fps, 1 person" in ran.out
    assert "note: bone lengths are those of a skeleton of our own measures, not of the SMPL body" in ran.out
    motion = read(tmp_path / "x.bvh")
    # AMASS has Z up, a BVH Y: the head is above the hips along Y.
    heights = motion.people[0].tracks["transl"].values[:, 0]
    assert np.ptp(heights[:, 1]) < 0.6
    assert heights[:, 1].mean() > 0.5


@pytest.mark.parametrize("to", ["amass-smplx", "smplx-blender"])
def test_smpl_goes_to_other_layouts_and_back(program, tmp_path, to):
    assert program("convert", DANCE, "-o", tmp_path / "x.npz", "--to", to).status == 0
    assert program("convert", tmp_path / "x.npz", "-o", tmp_path / "y.npz", "--to", "amass", "--up", "z").status == 0
    with np.load(DANCE) as old, np.load(tmp_path / "y.npz") as new:
        for key in ("poses", "trans", "betas", "gender"):
            assert np.array_equal(new[key], old[key]), key
        assert new["mocap_framerate"] == old["mocap_framerate"]


def test_up_and_unit_of_a_bvh_there_and_back(program, tmp_path):
    x, y = tmp_path / "x.bvh", tmp_path / "y.bvh"
    ran = program("convert", IDLE, "-o", x, "--up", "z", "--unit", "cm", "--from-unit", "m", "--from-up", "y")
    assert ran.status == 0
    assert "note" not in ran.out
    assert program("convert", x, "-o", y, "--up", "y", "--unit", "m", "--from-unit", "cm", "--from-up", "z").status == 0
    old, new, between = read(IDLE), read(y), read(x)
    assert np.allclose(new.skeleton.offsets, old.skeleton.offsets, atol=1e-6)
    assert np.allclose(between.skeleton.offsets, old.skeleton.offsets[:, [0, 2, 1]] * [100, -100, 100], atol=1e-5)
    for name, track in old.people[0].tracks.items():
        assert np.allclose(new.people[0].tracks[name].values, track.values, atol=1e-6), name


def test_onto_a_character(program, tmp_path):
    ran = program("convert", DANCE, "-o", tmp_path / "x.bvh", "--rig", IDLE)
    assert ran.status == 0
    assert "directions of bones differ by" in ran.out
    assert read(tmp_path / "x.bvh").skeleton.joints == read(IDLE).skeleton.joints


def test_json(program, tmp_path):
    ran = program("convert", DANCE, "-o", tmp_path / "x.bvh", "--json")
    found = json.loads(ran.out)
    assert found["format"] == "bvh"
    assert found["files"] == [{"path": str(tmp_path / "x.bvh"), "people": ["0"], "frames": 298, "fps": 30.0}]
    assert len(found["notes"]) >= 1


def test_people_of_a_csv_into_a_folder(program, tmp_path):
    text = "person,frame,joint_x,joint_y,joint_z\n" + "".join(
        f"{who},{k},{k},0,1\n" for who in ("ann", "b/b") for k in range(5)
    )
    (tmp_path / "two.csv").write_text(text)
    (tmp_path / "out").mkdir()
    refused = program.refused("convert", tmp_path / "two.csv", "-o", tmp_path / "x.npz", "--to", "array")
    assert refused == (
        f"{tmp_path / 'two.csv'}: people for plain arrays: expected one (--person chooses one; a folder as output "
        "takes all), received ann, b/b"
    )
    assert program("convert", tmp_path / "two.csv", "-o", tmp_path / "out", "--to", "array").status == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["two.ann.npy", "two.b_b.npy"]
    assert np.load(tmp_path / "out" / "two.ann.npy").shape == (5, 1, 3)
    assert (
        program("convert", tmp_path / "two.csv", "-o", tmp_path / "x.npz", "--to", "array", "--person", "ann").status
        == 0
    )


def test_gaps_are_refused_or_filled_when_asked(program, tmp_path):
    lines = ["frame,a_x,a_y,a_z,b_x,b_y,b_z"] + [f"{k},{k},0,0,1,1,{k}" for k in (0, 1, 2, 5, 6)]
    (tmp_path / "x.csv").write_text("\n".join(lines) + "\n")
    arguments = ("convert", tmp_path / "x.csv", "--to", "array", "-o", tmp_path / "x.npy")
    assert program(*arguments).status == 0
    assert np.isnan(np.load(tmp_path / "x.npy")[3]).all()
    assert program(*arguments, "--fill", "--force").status == 0
    assert np.allclose(np.load(tmp_path / "x.npy")[:, 0, 0], range(7))


def test_refusals(program, tmp_path):
    out = tmp_path / "out.bvh"
    points = saved(tmp_path / "joints.npy", body())
    assert program.refused("convert", points, "-o", out) == (
        f"{points}: content for BVH: expected rotations of a skeleton's joints, received 3D positions of joints, a "
        "plain array; smoothnet fit finds poses for positions"
    )
    assert f"the output {DANCE} is the input" in program.refused("convert", DANCE, "-o", DANCE, "--up", "y", status=2)
    assert "name one of" in program.refused("convert", DANCE, "-o", tmp_path / "x.xyz", status=2)
    assert "several formats end in .npy" in program.refused("convert", DANCE, "-o", tmp_path / "x.npy", status=2)
    assert "--to: expected one of" in program.refused("convert", DANCE, "-o", out, "--to", "fbx", status=2)
    assert "expected one of y, z, received 'x'" in program.refused("convert", DANCE, "-o", out, "--up", "x", status=2)
    program("convert", DANCE, "-o", out)
    assert program.refused("convert", DANCE, "-o", out) == f"{out}: exists already; add --force to replace it"
    assert program.refused("convert", amass(tmp_path / "a.npz"), "-o", tmp_path / "b.bvh", "--person", "7") == (
        f"{tmp_path / 'a.npz'}: person: expected one of 0, received '7'"
    )


def test_a_name_that_belongs_to_another_format_is_refused(program, tmp_path):
    refused = program.refused("convert", DANCE, "-o", tmp_path / "x.bvh", "--to", "amass", status=2)
    assert "expected a name that ends in .npz for amass, received 'x.bvh'" in refused
    refused = program.refused("convert", DANCE, "-o", tmp_path / "x.pkl", "--to", "smplifyx", status=2)
    assert "expected a folder for smplifyx, received 'x.pkl'" in refused
    assert not list(tmp_path.iterdir())
    assert program("convert", DANCE, "-o", tmp_path / "x.old", "--to", "amass").status == 0


def test_into_a_folder_in_its_own_format(program, tmp_path):
    assert program("convert", IDLE, "-o", tmp_path).status == 0
    assert (tmp_path / IDLE.name).read_bytes() == IDLE.read_bytes()
    assert "is the input" in program.refused("convert", tmp_path / IDLE.name, "-o", tmp_path, "--force", status=2)
    again = program.refused("convert", IDLE, "-o", tmp_path)
    assert again == f"{tmp_path / IDLE.name}: exists already; add --force to replace it"


@pytest.mark.parametrize("option", [("--up", "z"), ("--unit", "mm")])
def test_images_have_no_axes_and_no_unit(program, tmp_path, option):
    (tmp_path / "x.csv").write_text("frame,a_x,a_y\n0,1,2\n1,3,4\n")
    assert program.refused("convert", tmp_path / "x.csv", "-o", tmp_path / "y.csv", *option) == (
        f"{tmp_path / 'x.csv'}: motion to turn or to scale: expected one in space, with axes and a unit, received 2D "
        "positions of joints"
    )
    assert program("convert", tmp_path / "x.csv", "-o", tmp_path / "y.csv", "--fill").status == 0
