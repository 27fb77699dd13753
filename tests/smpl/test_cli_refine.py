"""``smoothnet refine``: outputs, refusals, several inputs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from smoothnet_core import shipped_models
from smoothnet_core.filters import FILTERS
from smpl_tools import formats
from tests.helpers import REPOSITORY, shared
from tests.smpl.cli_helpers import Program, amass, body, published, saved

TAKES = REPOSITORY / "assets" / "takes"


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


@pytest.fixture
def take(tmp_path: Path) -> Path:
    return saved(tmp_path / "take.npy", body())


def test_the_default_output_stands_beside_the_input(program: Program, take: Path):
    before = take.read_bytes()
    ran = program("refine", take, "--method", "median")
    assert (ran.status, ran.err) == (0, "")
    refined = np.load(take.with_name("take.refined.npy"))
    expected = FILTERS["median"](body(), fps=30.0, kind="position")
    np.testing.assert_array_equal(refined, expected)
    assert take.read_bytes() == before
    assert f"{take} -> {take.with_name('take.refined.npy')}" in ran.out
    assert f"median, strength 1, {len(refined)} frames, 30 fps (assumed" in ran.out
    assert "largest" in ran.out
    assert sorted(p.name for p in take.parent.iterdir()) == ["take.npy", "take.refined.npy"]


def test_options_reach_the_refiner(program: Program, take: Path, tmp_path: Path):
    flat = saved(tmp_path / "flat.npy", body(30, 4).reshape(30, 12))
    out = tmp_path / "out.npy"
    ran = program(
        "refine",
        flat,
        "-o",
        out,
        "--kind",
        "axis_angle",
        "--fps",
        50,
        "--strength",
        0.5,
        "--method",
        "kalman",
        "--json",
    )
    assert ran.status == 0, ran
    expected = FILTERS["kalman"](body(30, 4), fps=50.0, kind="axis_angle", strength=0.5)
    np.testing.assert_allclose(np.load(out), expected.reshape(30, 12), atol=1e-12)
    report = json.loads(ran.out)["refined"][0]
    assert (report["fps"], report["fps_assumed"], report["strength"]) == (50.0, False, 0.5)
    assert report["tracks"][0]["unit"] == "deg"
    assert set(report["tracks"][0]) >= {
        "filled_frames",
        "jitter_before",
        "jitter_after",
        "speed_kept",
        "largest_change",
    }


def test_parts_select_tracks_and_the_rest_is_bit_identical(program: Program, tmp_path: Path):
    source = amass(tmp_path / "a.npz")
    assert program("refine", source, "--parts", "root", "--method", "gaussian").status == 0
    old, new = np.load(source), np.load(tmp_path / "a.refined.npz")
    np.testing.assert_array_equal(old["poses"][:, 3:], new["poses"][:, 3:])
    assert not np.array_equal(old["poses"][:, :3], new["poses"][:, :3])
    assert not np.array_equal(old["trans"], new["trans"])
    assert old.files == new.files


def test_an_existing_output_is_replaced_only_by_force(program: Program, take: Path, tmp_path: Path):
    out = tmp_path / "out.npy"
    out.write_bytes(b"mine")
    error = program.refused("refine", take, "-o", out, "--method", "median")
    assert error == f"{out}: exists already; add --force to replace it"
    assert out.read_bytes() == b"mine"
    assert program("refine", take, "-o", out, "--method", "median", "--force").status == 0
    assert np.load(out).shape == body().shape


def test_an_input_is_never_the_output(program: Program, take: Path, tmp_path: Path):
    before = take.read_bytes()
    link = tmp_path / "link.npy"
    link.symlink_to(take)
    hard = tmp_path / "hard.npy"
    os.link(take, hard)
    for output in (take, tmp_path / "x" / ".." / "take.npy", link, hard, tmp_path):
        error = program.refused("refine", take, "-o", output, "--force", "--method", "median", status=2)
        assert "is the input" in error
    assert take.read_bytes() == before


def test_a_single_output_may_be_an_existing_folder(program: Program, take: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    assert program("refine", take, "-o", tmp_path / "out", "--method", "median").status == 0
    assert (tmp_path / "out" / "take.npy").is_file()


def test_several_inputs_go_into_a_folder(program: Program, take: Path, tmp_path: Path):
    other = saved(tmp_path / "other.npy", body(30, seed=3))
    ran = program("refine", take, other, "-o", tmp_path / "new", "--method", "median")
    assert (ran.status, ran.err) == (0, "")
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["other.npy", "take.npy"]
    error = program.refused("refine", take, other, "-o", other, "--method", "median", status=2)
    assert f"--output: expected a folder for several inputs, received the file {other}" in error
    error = program.refused("refine", take, other, "-o", tmp_path / "no" / "new", "--method", "median")
    assert "No such file or directory" in error


def test_two_outputs_of_one_name_are_refused_before_anything_is_done(program: Program, take: Path, tmp_path: Path):
    (tmp_path / "sub").mkdir()
    twin = saved(tmp_path / "sub" / "take.npy", body())
    error = program.refused("refine", take, twin, "-o", tmp_path / "new", "--method", "median", status=2)
    assert "would both be written to" in error
    assert not (tmp_path / "new").exists()
    assert "would both be written to" in program.refused("refine", take, take, "--method", "median", status=2)


def test_the_others_are_done_when_one_fails(program: Program, take: Path, tmp_path: Path):
    broken = tmp_path / "broken.npy"
    broken.write_bytes(take.read_bytes()[:200])
    ran = program("refine", broken, take, "--method", "median")
    assert ran.status == 3
    assert ran.err.startswith(f"error: {broken}: ")
    assert ran.err.count("\n") == 1
    assert (tmp_path / "take.refined.npy").is_file()
    assert not (tmp_path / "broken.refined.npy").exists()
    ran = program("refine", broken, take, "--method", "median", "--force", "--json")
    document = json.loads(ran.out)
    assert [d["input"] for d in document["refined"]] == [str(take)]
    assert [d["input"] for d in document["failed"]] == [str(broken)]
    ran = program("refine", broken, tmp_path / "none.npy", "--method", "median")
    assert ran.status == 3


def test_a_single_failure_with_json_is_a_document_too(program: Program, tmp_path: Path):
    ran = program("refine", tmp_path / "none.npy", "--method", "median", "--json")
    assert ran.status == 1
    assert json.loads(ran.out)["failed"][0]["input"] == str(tmp_path / "none.npy")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_takes(program: Program, tmp_path: Path, frames: int):
    ran = program("refine", saved(tmp_path / "short.npy", body(frames)), "--method", "butterworth")
    assert ran.status == 0, ran.err
    assert np.load(tmp_path / "short.refined.npy").shape == (frames, 4, 3)


def test_no_frames(program: Program, tmp_path: Path):
    ran = program("refine", saved(tmp_path / "empty.npy", body(0)), "--method", "median", "--json")
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)["refined"][0]["tracks"] == []
    assert np.load(tmp_path / "empty.refined.npy").shape == (0, 4, 3)


def test_bad_inputs(program: Program, tmp_path: Path):
    def refused(name: str, content: bytes | np.ndarray) -> str:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.save(path, content)
        error = program.refused("refine", path, "--method", "median")
        assert error.startswith(str(path))
        assert sorted(p.name for p in tmp_path.iterdir()) == [name]
        path.unlink()
        return error

    assert "values to refine: expected at least one observed value" in refused("nan.npy", np.full((9, 2, 3), np.nan))
    assert "an empty file" in refused("zero.npy", b"")
    assert "unknown format: expected one of" in refused("text.bvh", b"hello world")
    refused("cut.bvh", b"HIERARCHY\nROOT a\n{\n")
    refused("integers.npy", np.zeros((5, 2, 3), np.int64))
    assert "kind" in refused("flat.npy", np.zeros((5, 7)))


def test_an_unwritable_output(program: Program, take: Path, tmp_path: Path):
    error = program.refused("refine", take, "-o", tmp_path / "none" / "x.npy", "--method", "median")
    assert error.startswith(f"{tmp_path / 'none' / 'x.npy'}: cannot be written: ")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return  # permissions do not stop root
    (tmp_path / "locked").mkdir(mode=0o500)
    error = program.refused("refine", take, "-o", tmp_path / "locked" / "x.npy", "--method", "median")
    assert "cannot be written" in error


def test_an_unknown_model_lists_the_known_ones(program: Program, take: Path):
    error = program.refused("refine", take, "--model", "nope")
    listed = ", ".join(sorted(shipped_models())) or "(none)"
    assert error.startswith(f"model: expected one of the shipped names {listed}, or a file of weights")
    assert error.endswith("received 'nope'")


def test_an_unknown_backend_lists_the_known_ones(program: Program, take: Path, tmp_path: Path):
    model = published(tmp_path / "m.safetensors")
    error = program.refused("refine", take, "--model", model, "--backend", "abacus", status=2)
    assert "expected one of auto, numpy, torch, triton, received 'abacus'" in error


def test_a_person_that_is_not_there(program: Program, take: Path):
    error = program.refused("refine", take, "--method", "median", "--person", "7")
    assert error == f"{take}: person: expected one of 0, received '7'"


def test_weights_from_a_file(program: Program, take: Path, tmp_path: Path):
    model = published(tmp_path / "m.safetensors")
    ran = program("refine", take, "--model", model, "--backend", "numpy", "--json")
    assert ran.status == 0, ran.err
    report = json.loads(ran.out)["refined"][0]
    assert report["model"] == str(model)
    assert np.isfinite(np.load(tmp_path / "take.refined.npy")).all()


def test_a_folder_goes_to_a_folder(program: Program, tmp_path: Path):
    folder = tmp_path / "json"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for frame in range(12):
        points = np.column_stack([generator.normal(400, 2, (18, 2)) + np.arange(18)[:, None] * 9, np.ones(18)])
        person = {"person_id": [-1], "pose_keypoints_2d": points.ravel().round(3).tolist()}
        (folder / f"v_{frame:03}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": [person]}))
    ran = program("refine", folder, "--method", "gaussian")
    assert ran.status == 0, ran.err
    assert len(list((tmp_path / "json.refined").iterdir())) == 12
    error = program.refused("refine", folder, "-o", folder / "inside", "--method", "gaussian", status=2)
    assert "is the input" in error
    assert "exists already" in program.refused("refine", folder, "--method", "gaussian")


@pytest.mark.parametrize("name", ["reactidle_000.bvh", "dance_smplh.npz"])
def test_the_takes_in_the_assets(program: Program, tmp_path: Path, name: str):
    ran = program("refine", TAKES / name, "-o", tmp_path / name, "--method", "median", "--json")
    assert ran.status == 0, ran.err
    for track in json.loads(ran.out)["refined"][0]["tracks"]:
        assert track["jitter_after"] < 0.7 * track["jitter_before"]
        assert 0.8 < track["speed_kept"] < 1.1


def test_real_landmarks(program: Program, tmp_path: Path):
    source = shared("data", "real", "mediapipe", "cam01_raw.npz")
    ran = program("refine", source, "-o", tmp_path / "out.npz", "--method", "kalman", "--json")
    assert ran.status == 0, ran.err
    assert {t["track"] for t in json.loads(ran.out)["refined"][0]["tracks"]} == {"world_landmarks", "image_landmarks"}


def test_the_shipped_network_on_the_assets(program: Program, tmp_path: Path):
    if "default" not in shipped_models():
        pytest.skip("the weights 'default' are not in assets/models")
    ran = program("refine", TAKES / "dance_smplh.npz", "-o", tmp_path / "d.npz", "--json")
    assert ran.status == 0, ran.err
    report = json.loads(ran.out)["refined"][0]
    assert (report["method"], report["model"]) == ("smoothnet", "default")
    assert all(t["jitter_after"] < 0.5 * t["jitter_before"] for t in report["tracks"])


def test_the_table_ends_with_the_notes_of_the_file(program: Program, tmp_path: Path):
    path = saved(tmp_path / "take.npy", np.stack([body()[:, :, 0]] * 6, axis=2).reshape(40, -1))
    ran = program("refine", path, "--method", "median", "--kind", "channels")
    assert "(40, 24) read as channels" not in ran.out  # as many axes as were there: nothing to remark
    ran = program("refine", path, "--method", "median", "--kind", "position", "--force", "--json")
    assert json.loads(ran.out)["refined"][0]["notes"] == ["(40, 24) read as position (40, 8, 3)"]
    ran = program("refine", path, "--method", "median", "--kind", "position", "--force")
    assert ran.out.endswith("  note: (40, 24) read as position (40, 8, 3)\n")


def test_what_has_no_frames_is_said_to_have_none(program: Program, tmp_path: Path):
    ran = program("refine", saved(tmp_path / "take.npy", body()[:0]), "--method", "median")
    assert ran.out.endswith("no frames: nothing to refine\n")


def test_channels_of_a_bvh_that_hold_angles_are_in_degrees(program: Program, tmp_path: Path):
    rows = "".join(f"{5 * (t % 2)}\n" for t in range(20))
    text = (
        "HIERARCHY\nROOT Knee\n{\nOFFSET 0 0 0\nCHANNELS 1 Xrotation\n}\nMOTION\nFrames: 20\nFrame Time: 0.1\n" + rows
    )
    (tmp_path / "knee.bvh").write_text(text)
    track = json.loads(program("info", tmp_path / "knee.bvh", "--json").out)["people"][0]["tracks"][0]
    assert (track["unit"], track["jitter_per_s2"]) == ("deg", pytest.approx(1000.0))


@pytest.mark.parametrize("strength", ["-0.1", "1.5", "nan"])
def test_a_strength_out_of_range(program: Program, take: Path, strength: str):
    error = program.refused("refine", take, "--strength", strength, status=2)
    assert f"expected a number from 0 to 1, received {float(strength):g}" in error


def test_feet_stay_where_they_stand_when_asked(program, tmp_path):
    take = TAKES / "reactidle_000.bvh"
    plain, kept = tmp_path / "plain.bvh", tmp_path / "kept.bvh"
    program("refine", take, "-o", plain)
    ran = program("refine", take, "-o", kept, "--keep-contacts")
    assert "feet: on the ground in up to" in ran.out
    report = json.loads(program("refine", take, "-o", kept, "--keep-contacts", "--force", "--json").out)["refined"][0]
    (feet,) = report["feet"]
    assert feet["slide_after"] < 0.1 * feet["slide_before"]
    assert json.loads(program("refine", take, "-o", plain, "--force", "--json").out)["refined"][0]["feet"] == []
    one, other = (formats.read(path).people[0].tracks for path in (plain, kept))
    # Legs and root follow the feet; all else is as without.
    names = one["body_pose"].joints
    a, b = one["body_pose"].values, other["body_pose"].values
    changed = {name for k, name in enumerate(names) if not np.allclose(a[:, k], b[:, k], atol=1e-6)}
    assert changed
    assert all(any(word in name.lower() for word in ("thigh", "shin", "foot", "leg", "toe")) for name in changed)


def test_feet_of_a_motion_relative_to_the_hips_are_refused(program):
    take = shared("data", "real", "mediapipe", "cam01_raw.npz")
    message = program.refused("refine", take, "-o", "/dev/null/x.npz", "--keep-contacts")
    assert message == f"{take}: person 0: movement: expected one through the scene, received one relative to the hips"
