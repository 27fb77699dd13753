"""``smoothnet pairs`` as a whole, with pictures and an estimator of a few lines."""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from smpl_tools.pairs import render, stage
from smpl_tools.pairs.body import HIPS, JOINT_NAMES, Shape, bone_places, make_body, skinned, truth
from smpl_tools.pairs.camera import View, place
from smpl_tools.pairs.estimator import Estimator
from smpl_tools.pairs.motions import read_motions
from smpl_tools.pairs.stage import Settings, clips_of, staged
from smpl_tools.sources.paired import read_paired
from tests.helpers import REPOSITORY
from tests.smpl.cli_helpers import Program, amass

pytest.importorskip("embreex", reason="the renderer (extra pairs) is not installed")
Image = pytest.importorskip("PIL.Image", reason="Pillow (extra pairs) is not installed")

# Finds somebody in all pictures but the first, always in the same pose, 5 m away from the origin.
ESTIMATE = """
import sys, numpy as np
from pathlib import Path
frames, output, mode, fps = sys.argv[1:]
count = len(list(Path(frames).glob("*.jpg")))
pose = np.linspace(0, 1, 45).reshape(15, 3) + 5.0
est_3d = np.tile(pose, (count, 1, 1))
est_3d[0] = np.nan
np.savez(output, est_3d=est_3d, est_2d=np.zeros((count, 15, 2)), visibility=np.full((count, 15), len(mode) / 20))
"""


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


@pytest.fixture
def fake(tmp_path):
    (tmp_path / "estimate.py").write_text(ESTIMATE)
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(tmp_path / 'estimate.py'))}"


@pytest.fixture
def walks(tmp_path):
    return [amass(tmp_path / f"{name}.npz", frames=14, seed=seed) for seed, name in enumerate(("anna", "ben"))]


def arrays_of(path):
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def test_a_paired_set_from_two_motions(program, walks, fake, tmp_path):
    output = tmp_path / "set"
    ran = program(
        "pairs", *walks, "-o", output, "--size", 64, "--estimator", fake, "--occluders", 1, "--cameras", 1, "--pictures"
    )
    assert ran.status == 0, ran.err
    names = [f"{who}_b0_c0" for who in ("anna", "ben")]
    assert all(name in ran.out for name in names)
    assert "train: 1 clip, val: 1 clip" in ran.out
    assert json.loads((output / "splits.json").read_text()) == {"train": names[:1], "val": names[1:]}
    arrays = arrays_of(output / f"{names[0]}.npz")
    assert {name: (a.shape, a.dtype.str) for name, a in arrays.items() if name not in ("metadata", "fps")} == {
        "gt_3d": ((14, 15, 3), "<f4"),
        "gt_2d": ((14, 15, 2), "<f4"),
        **{
            name + suffix: (shape, "<f4")
            for suffix in ("", "_video", "_videosm")
            for name, shape in (("est_3d", (14, 15, 3)), ("est_2d", (14, 15, 2)), ("visibility", (14, 15)))
        },
    }
    assert (arrays["fps"].shape, float(arrays["fps"])) == ((), 30.0)
    described = json.loads(str(arrays["metadata"]))
    assert described["subject"] == "anna"
    assert described["joint_names"] == list(JOINT_NAMES)
    for name in ("gt_3d", "est_3d"):
        np.testing.assert_allclose(arrays[name][1:, HIPS].mean(axis=1), 0, atol=1e-5)
    assert np.isnan(arrays["est_3d"][0]).all()
    np.testing.assert_allclose(arrays["visibility_videosm"], len("video smoothed") / 20)
    # The truth in the picture is the truth in space, seen by the camera that the metadata describes.
    camera, clip = described["camera"], arrays["gt_3d"].astype(float)
    slopes = (arrays["gt_2d"] - camera["cx"]) / camera["f_px"]
    depth = [np.linalg.lstsq(*_shifted(clip[t], slopes[t]), rcond=None)[0] for t in range(14)]
    for t, shift in enumerate(depth):
        seen = clip[t] + shift
        expected = camera["f_px"] * seen[:, :2] / seen[:, 2:] + camera["cx"]
        np.testing.assert_allclose(arrays["gt_2d"][t], expected, atol=1e-2)
    pictures = sorted((output / names[0]).iterdir())
    assert [p.name for p in pictures] == [f"{t:06d}.jpg" for t in range(14)]
    with Image.open(pictures[0]) as picture:
        assert (picture.size, picture.mode) == ((64, 64), "RGB")
    clips = read_paired(output, ["train", "val"])
    assert len(clips) == 6
    assert {clip.subject for clip in clips} == {"anna", "ben"}


def _shifted(points, slopes):
    """Return the linear system whose solution is by how much centred points were shifted from the camera's axes."""
    rows, values = [], []
    for (x, y, z), (u, v) in zip(points, slopes, strict=True):
        rows += [[1, 0, -u], [0, 1, -v]]
        values += [u * z - x, v * z - y]
    return np.array(rows), np.array(values)


def test_what_is_there_is_kept_until_forced(program, walks, fake, tmp_path):
    output = tmp_path / "set"
    arguments = ["pairs", walks[0], "-o", output, "--size", 64, "--cameras", 1, "--estimator", fake]
    arguments += ["--modes", "static"]
    assert program(*arguments).status == 0
    clip = output / "anna_b0_c0.npz"
    before = clip.read_bytes()
    (tmp_path / "estimate.py").write_text("raise SystemExit('not again')")
    ran = program(*arguments)
    assert (ran.status, clip.read_bytes()) == (0, before)
    assert "not again" in program.refused(*arguments, "--force")
    assert clip.read_bytes() == before
    message = f"{clip}: seed (--force makes it again): expected 7, received 0"
    assert program.refused(*arguments, "--seed", 7).endswith(message)
    (tmp_path / "estimate.py").write_text(ESTIMATE)
    assert program(*arguments, "--force").status == 0
    assert clip.read_bytes() == before, "the seed decides everything"
    np.savez(clip, nothing=1)
    message = f"{clip}: expected a clip made by smoothnet pairs (--force replaces it), received another file"
    assert program.refused(*arguments).endswith(message)


def test_a_clip_that_fails_is_left_out(program, walks, fake, tmp_path):
    output = tmp_path / "set"
    failing = ESTIMATE + "\nif 'static' == mode and count == 14: sys.exit('too long a clip')\n"
    (tmp_path / "estimate.py").write_text(failing)
    short = amass(tmp_path / "carl.npz", frames=10)
    arguments = ["--cameras", 1, "--size", 64, "--estimator", fake, "--modes", "static"]
    ran = program("pairs", walks[0], short, "-o", output, *arguments)
    assert ran.status == 3
    assert f"error: anna_b0_c0: estimator {fake}: exit status 1; it said: too long a clip" in ran.err
    assert {p.name for p in output.iterdir()} == {"carl_b0_c0.npz", "splits.json"}
    arrays = arrays_of(output / "carl_b0_c0.npz")
    assert np.isfinite(arrays["est_3d"][1:]).all()
    assert np.isnan(arrays["est_3d_video"]).all()
    assert [clip.mode for clip in read_paired(output, ["train"])] == ["static"]
    ran = program("pairs", *walks, "-o", tmp_path / "none", *arguments)
    assert ran.status == 1
    assert ran.err.endswith(f"error: {tmp_path / 'none'}: no clip could be made\n")


def test_subjects_by_folder_and_by_name(program, fake, tmp_path):
    for who in ("01", "02"):
        (tmp_path / who).mkdir()
    takes = [amass(tmp_path / who / "walk.npz", frames=9) for who in ("01", "02")]
    arguments = ["pairs", *takes, "-o", tmp_path / "set", "--size", 64, "--cameras", 1, "--estimator", fake]
    message = program.refused(*arguments)
    assert message == (
        "names of the clips: expected different ones, received walk_b0_c0 twice; rename a motion file, or --by-folder"
    )
    assert program(*arguments, "--by-folder", "--validation", "01").status == 0
    assert json.loads((tmp_path / "set" / "splits.json").read_text()) == {
        "train": ["02_walk_b0_c0"],
        "val": ["01_walk_b0_c0"],
    }
    message = program.refused(*arguments, "--by-folder", "--validation", "01,05")
    assert message == "subjects to validate on: expected some of 01, 02, received 01, 05"


@pytest.mark.parametrize(
    ("given", "status", "message"),
    [
        (["--modes", "statc"], 2, "Invalid value for --modes: expected one of static, video, video smoothed, received"),
        (["--cameras", "no.json"], 1, "no.json: expected a JSON file of cameras, received No such file or directory"),
        (["--cameras", "0"], 1, "0: expected a JSON file of cameras, received No such file or directory"),
        (
            ["--estimator", "nothing-of-that-name"],
            1,
            "estimator: expected mediapipe, or a command whose program exists",
        ),
        (["--size", "10"], 2, "Invalid value for '--size': "),
        (
            ["--drawn", 2, "--occluders", 1],
            1,
            "--drawn: expected no --cameras, --bodies or --occluders, which it draws",
        ),
        (["--tilted", 0.5], 1, "--tilted: expected --drawn beside it, received 0.5 alone"),
        (["--tumbling", 0.5], 1, "--tumbling: expected --drawn beside it, received 0.5 alone"),
        (["--drawn", 2, "--tilted", 1.5], 2, "Invalid value for '--tilted': "),
        (["--drawn", 2], 1, "motions: expected one of at least 1.33 s, received none"),
        (["--leave-out", "anna"], 1, "motions: expected at least one, received none without subjects anna"),
    ],
)
def test_refusals_come_before_any_work(program, walks, fake, tmp_path, given, status, message):
    output = tmp_path / "set"
    arguments = ["pairs", walks[0], "-o", output, "--estimator", fake, *given]
    assert program.refused(*arguments, status=status).startswith(message)
    assert not output.exists()


def test_mediapipe_without_its_python(program, walks, tmp_path, monkeypatch):
    monkeypatch.delenv("SMOOTHNET_MEDIAPIPE_PYTHON", raising=False)
    message = program.refused("pairs", walks[0], "-o", tmp_path / "set")
    assert message.startswith("Python of MediaPipe (--mediapipe-python or SMOOTHNET_MEDIAPIPE_PYTHON): not given;")


def test_without_the_renderer_the_extra_is_named(program, walks, fake, tmp_path, monkeypatch):
    for name in ("embreex", "embreex.rtcore_scene", "embreex.mesh_construction"):
        monkeypatch.setitem(sys.modules, name, None)
    message = program.refused("pairs", walks[0], "-o", tmp_path / "set", "--cameras", 1, "--estimator", fake)
    assert message == "embreex is not installed; add it with: pip install 'smoothnet[pairs]'"


def test_bodies_and_cameras_are_shared_as_they_should_be():
    (source,) = read_motions([REPOSITORY / "assets" / "takes" / "dance_smplh_truth.npz"])
    settings = Settings(Estimator("none", ("none",), 1.0), ("static",), 2, bodies=2)
    clips = clips_of(source, settings)
    assert [clip.name for clip in clips] == [f"dance_smplh_truth_b{b}_c{c}" for b in (0, 1) for c in (0, 1)]
    made = [staged(clip, source, settings).described for clip in clips]
    assert made[0]["body"] == made[1]["body"] != made[2]["body"] == made[3]["body"]
    assert made[0]["camera"]["azimuth_deg"] == made[2]["camera"]["azimuth_deg"] != made[1]["camera"]["azimuth_deg"]
    assert made[0]["look"] != made[1]["look"]


def test_all_joints_are_in_the_picture_and_the_body_is_where_they_are():
    (source,) = read_motions([REPOSITORY / "assets" / "takes" / "dance_smplh_truth.npz"])
    settings = Settings(Estimator("none", ("none",), 1.0), ("static",), (View(15, 1.3, 45),), size=128)
    (clip,) = clips_of(source, settings)
    scene = staged(clip, source, settings)
    pixels = scene.camera.project(scene.camera.seen(scene.joints))
    assert 0 < pixels.min() < pixels.max() < 128
    # Feet are on the floor, not in it.
    lowest = min(
        skinned(scene.body, r, p)[:, 1].min() for r, p in zip(scene.rotations[::20], scene.places[::20], strict=True)
    )
    assert abs(lowest - scene.floor) < 0.08


def before_a_wall(look, colour):
    """Return a look with a backdrop of one colour and no noise."""
    colours = (colour, colour)
    return replace(look, noise=0.0, wall="plain", floor="plain", wall_colours=colours, floor_colours=colours)


def test_the_picture_shows_the_body_where_the_projection_says():
    body = make_body(Shape(1.0, (0.2, 0.3, 0.5), 0.0, 0.0, 1.0))
    rest = np.broadcast_to(np.eye(3), (1, len(body.bones), 3, 3))
    places = bone_places(body, rest, np.zeros((1, 3)))
    joints = truth(body, rest, places)
    floor = float(joints[..., 1].min()) - 0.02
    camera, _ = place(View(20, 1.2, 40, 3.0), joints, np.array([0.0, 0.0, 1.0]), floor, 160)
    generator = np.random.default_rng(0)
    look = stage.random_look(generator)
    red = np.tile([1.0, 0.0, 0.0], (len(body.vertices), 1))
    drawn = render.Renderer(body, red, camera, before_a_wall(look, (0.0, 0.0, 1.0)), floor, [], generator)
    vertices = skinned(body, rest[0], places[0])
    picture = drawn.draw(vertices).astype(float)
    shown = picture[..., 0] > picture[..., 2]
    # Every vertex falls on the body or a pixel beside it, and the body on no pixel that is far from all vertices.
    pixels = camera.project(camera.seen(vertices))
    hit = np.zeros_like(shown)
    hit[tuple(np.floor(pixels).astype(int).T[::-1])] = True
    touched = picture[..., 0] > 10
    assert ndimage.binary_dilation(touched, np.ones((3, 3)))[hit].all()
    touched = np.argwhere(touched)
    np.testing.assert_allclose(touched.min(axis=0), pixels.min(axis=0)[::-1], atol=1.2)
    np.testing.assert_allclose(touched.max(axis=0) + 1, pixels.max(axis=0)[::-1], atol=1.2)
    rows, columns = np.nonzero(shown)
    centres = np.stack([columns, rows], axis=1) + 0.5
    gaps = np.array([np.linalg.norm(pixels - c, axis=1).min() for c in centres])
    assert gaps.max() < 2.5
    # Edges are mixed of body and background, in about as many pixels as the outline is long.
    mixed = (picture[..., 0] > 10) & (picture[..., 2] > 40)
    assert 0.02 < mixed.sum() / shown.sum() < 0.5
    assert np.isclose(drawn.draw(vertices + np.array([50.0, 0, 0])).astype(float)[..., 0].max(), 0)


@pytest.mark.parametrize(("azimuth", "channel"), [(0, 0), (180, 1)])
def test_what_faces_the_camera_is_seen(azimuth, channel):
    body = make_body(Shape(0.0, (0.2, 0.3, 0.5), 0.0, 0.0, 1.0))
    rest = np.broadcast_to(np.eye(3), (1, len(body.bones), 3, 3))
    places = bone_places(body, rest, np.zeros((1, 3)))
    camera, _ = place(View(azimuth, 1.7, 8, 3.0), truth(body, rest, places)[:, :1], np.array([0.0, 0.0, 1.0]), -0.9, 96)
    look = stage.random_look(np.random.default_rng(2))
    # A face of red and a back of the head of green.
    front = body.vertices[:, 2] > body.joints[body.bones.index("head"), 2]
    colours = np.stack([front, ~front, np.zeros(len(front))], axis=1).astype(float)
    drawn = render.Renderer(
        body, colours, camera, before_a_wall(look, (0.0, 0.0, 0.0)), -0.9, [], np.random.default_rng(0)
    )
    shown = drawn.draw(skinned(body, rest[0], places[0])).reshape(-1, 3).astype(float).sum(axis=0)
    assert shown[channel] > 5 * shown[1 - channel]


def test_a_thing_in_the_way_hides_the_body():
    body = make_body(Shape(0.0, (0.2, 0.3, 0.5), 0.0, 0.0, 1.0))
    rest = np.broadcast_to(np.eye(3), (1, len(body.bones), 3, 3))
    places = bone_places(body, rest, np.zeros((1, 3)))
    joints = truth(body, rest, places)
    camera, _ = place(View(0, 1.0, 40, 3.0), joints, np.array([0.0, 0.0, 1.0]), -0.9, 96)
    look = stage.random_look(np.random.default_rng(2))
    corners = np.array([(x, y, z) for x in (-2, 2) for y in (-2, 2) for z in (1.0, 1.2)], float)

    def picture(things):
        colours = np.ones((len(body.vertices), 3))
        generator = np.random.default_rng(1)
        return render.Renderer(body, colours, camera, look, -0.9, things, generator)

    vertices = skinned(body, rest[0], places[0])
    hidden = picture([corners])
    far = vertices + np.array([0.0, 0, 40.0])
    without = hidden._empty
    drawn = hidden.draw(vertices).astype(float)
    assert np.abs(drawn - 255 * without).mean() < 2 * look.noise
    behind = picture([corners - [0, 0, 3.0]])
    assert np.abs(behind.draw(vertices).astype(float) - 255 * behind._empty).mean() > 3 * look.noise
    assert np.abs(behind.draw(far).astype(float) - 255 * behind._empty).mean() < 2 * look.noise


def test_help_says_what_the_command_does(program):
    ran = program("pairs", "--help")
    assert ran.status == 0
    assert re.search(r"Render people moved by motions", ran.out)
