"""Motions through a model that knows a body; and the preset `body`, trained small and used from the command line."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from smoothnet_core import refine
from smoothnet_core.checkpoints import Weights, write_safetensors
from smoothnet_core.joint_sets import JOINT_SETS
from smpl_tools.formats.mediapipe import LANDMARKS
from smpl_tools.motion import Motion, Person, Track
from smpl_tools.refine_motion import refine_motion
from smpl_tools.skeleton import SMPL
from tests.core.test_body_aware import BEFORE, METADATA, NAMES, jittery, model, tensors
from tests.smpl.cli_helpers import Program
from tests.smpl.test_train_model import paired_file

needs_training = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("lightning_fabric", "tensorboard", "yaml")),
    reason="the extra `train` is not installed",
)
PLACES = [LANDMARKS.index(name) for name in NAMES]


def motion(*tracks, format="array"):
    frames = len(next(iter(dict(tracks).values())).values)
    return Motion(format, (Person("0", dict(tracks), np.arange(frames)),), 30.0)


def position(values, joints=None, confidence=None):
    names = tuple(joints or (f"joint_{j}" for j in range(values.shape[1])))
    return Track(values, "position", "body", names, confidence)


def refined(given, **arguments):
    result, report = refine_motion(given, **{"model": model(), **arguments})
    return result.people[0].tracks, report


def landmarks(frames=60):
    """World landmarks (T, 33, 4) with visibilities; not detected in one frame."""
    values = jittery(frames=frames, joints=33)
    seen = np.random.default_rng(3).uniform(0.2, 1, (frames, 33, 1))
    whole = np.concatenate([values, seen], axis=-1).astype(np.float32)
    whole[4] = 0
    return whole


def test_the_joint_sets_agree_with_the_formats():
    assert JOINT_SETS["smpl_24"].joints == SMPL.joints
    assert set(NAMES) <= set(LANDMARKS)


def test_joints_are_found_by_name_or_by_order():
    values = jittery()
    expected = refine(values, fps=30, model=model())
    tracks, report = refined(motion(("motion", position(values))))
    np.testing.assert_array_equal(tracks["motion"].values, expected)
    assert (report.model, report.unknown) == ("test", ())
    order = np.random.default_rng(1).permutation(15)
    shuffled = position(values[:, order], [NAMES[i] for i in order])
    tracks, _ = refined(motion(("joints", shuffled)))
    np.testing.assert_allclose(tracks["joints"].values, expected[:, order], atol=1e-6)


def test_sequences_of_the_published_archives_are_taken_by_order():
    values = jittery()
    track = position(values, [f"joints_3d_{j}" for j in range(15)])
    tracks, _ = refined(motion(("joints_3d", track), format="smoothnet"))
    np.testing.assert_array_equal(tracks["joints_3d"].values, refine(values, fps=30, model=model()))


def test_what_it_cannot_refine_stays_and_is_named():
    values = jittery()
    turns = Track(values[:, :1], "axis_angle", "root", ("pelvis",))
    given = motion(("motion", position(values)), ("global_orient", turns), ("flat", position(values[..., :2])))
    tracks, report = refined(given)
    assert tracks["global_orient"] is turns
    assert report.unknown == ("0/global_orient", "0/flat")
    assert [t.track for t in report.tracks] == ["motion"]


@pytest.mark.parametrize(
    ("track", "received"),
    [
        (position(np.ones((9, 15, 2))), r"track \(position \(15, 2\)\)"),
        (position(np.ones((9, 17, 3))), r"track \(position \(17, 3\)\)"),
        (position(np.ones((9, 15, 3)), [f"marker {chr(97 + j)}" for j in range(15)]), r"track \(position \(15, 3\)\)"),
        (Track(np.ones((9, 15, 3)), "axis_angle", "body", NAMES), r"track \(axis_angle \(15, 3\)\)"),
    ],
)
def test_motions_that_it_cannot_refine_are_refused(track, received):
    message = (
        r"^tracks for the model test: expected 3D positions of nose, left_shoulder, .*, right_foot_index, "
        rf"by name or without names in this order, received {received}$"
    )
    with pytest.raises(ValueError, match=message):
        refined(motion(("track", track)))


def test_joints_that_are_never_seen_stay_unseen():
    values = jittery()
    values[:, 3] = np.nan
    values[:20, 5] = np.nan
    tracks, report = refined(motion(("motion", position(values))))
    out = tracks["motion"].values
    assert np.isnan(out[:, 3]).all()
    kept = [j for j in range(15) if j != 3]
    np.testing.assert_array_equal(out[:, kept], refine(values, fps=30, model=model())[:, kept])
    assert report.tracks[0].filled_frames == 20


def test_movements_apart_are_refined_apart():
    values = jittery(frames=80)
    frames = np.concatenate([np.arange(40), np.arange(40) + 100])
    person = Person("0", {"motion": position(values)}, frames)
    result, report = refine_motion(Motion("array", (person,), 30.0), model=model())
    out = result.people[0].tracks["motion"].values
    np.testing.assert_array_equal(out[:40], refine(values[:40], fps=30, model=model()))
    np.testing.assert_array_equal(out[40:], refine(values[40:], fps=30, model=model()))
    assert report.splits == 1


@pytest.fixture
def program(capsys):
    return Program(capsys)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "body.safetensors"
    write_safetensors(path, Weights(tensors() | BEFORE, METADATA))
    return path


def test_the_command_refines_mediapipes_world_landmarks(tmp_path, program, weights):
    world, image = landmarks(), landmarks() * np.float32(0.5)
    path = tmp_path / "take.npz"
    np.savez(path, world_landmarks=world, image_landmarks=image, fps=30.0)
    ran = program("refine", path, "--model", weights, "-o", tmp_path / "out.npz")
    assert ran.status == 0, ran.err
    assert "0/image_landmarks: not 3D joints that the model knows, left as it is\n" in ran.out
    with np.load(tmp_path / "out.npz") as written:
        np.testing.assert_array_equal(written["image_landmarks"], image)
        out = written["world_landmarks"]
    np.testing.assert_array_equal(out[..., 3], world[..., 3])
    seen = np.ones(len(world), bool)
    seen[4] = False
    arguments = {"fps": 30, "model": weights, "mask": seen}
    expected = refine(world[..., :3], joints=LANDMARKS, confidence=world[..., 3], **arguments)
    np.testing.assert_allclose(out[..., :3], expected, atol=1e-6)
    # Of 33 joints the 15 of the set come out as they do alone.
    alone = refine(world[:, PLACES, :3], confidence=world[:, PLACES, 3], **arguments)
    np.testing.assert_allclose(out[:, PLACES, :3], alone, atol=1e-5)


def test_the_command_refuses_rotations(tmp_path, program, weights):
    path = tmp_path / "turns.npy"
    np.save(path, jittery())
    error = program.refused("refine", path, "--kind", "axis_angle", "--model", weights)
    assert error.startswith(f"{path}: tracks for the model {weights}: expected 3D positions of nose, ")
    assert error.endswith("received motion (axis_angle (15, 3))")


@needs_training
def test_the_preset_trains_and_refines(tmp_path, program):
    import yaml

    from smoothnet_core import load_model
    from smpl_tools.train_plan import read_preset

    folder = tmp_path / "data" / "paired"
    folder.mkdir(parents=True)
    for seed, name in enumerate(("a", "b", "c")):
        paired_file(folder, name, name, frames=70, seed=seed)
    (folder / "splits.json").write_text(json.dumps({"train": ["a"], "extra_train": ["b"], "val": ["c"]}))
    # What `make pairs` makes lies in another folder.
    for number, source in enumerate(read_preset("body").sources[1:]):
        drawn = tmp_path / "made" / source["folder"]
        drawn.mkdir(parents=True)
        paired_file(drawn, "d", "d", frames=70, seed=3 + number)
        (drawn / "splits.json").write_text(json.dumps({"train": ["d"], "val": []}))
    content = read_preset("body").resolved()
    content["training"] |= {"steps": 20, "batch": 4}
    config = tmp_path / "body.yaml"
    config.write_text(yaml.safe_dump(content))
    ran = program("train", config, "--data", tmp_path / "data", "--data", tmp_path / "made")
    assert ran.status == 0, ran.err
    made = load_model(tmp_path / "body.safetensors")
    assert (made.architecture, made.window, made.hop, made.fps) == ("body_aware", 64, 32, 30.0)
    assert made.body is not None
    assert made.body.joints == NAMES
    assert made.first is not None
    assert made.first.metadata["version"] == load_model("default").metadata["version"]
    assert "configuration" not in made.first.metadata
    assert any(np.abs(t).max() > 0 for name, t in made.tensors.items() if name.startswith("decoder"))
    card = " ".join(ran.out.split())
    for said in (
        "3D positions of the 15 joints of `mediapipe_15`",
        "Joints: nose, left_shoulder, right_shoulder, ",
        "Root: left_hip and right_hip.",
        "x right, y down, z away from the camera.",
        "make pairs with `smoothnet pairs` and train with `smoothnet train`",
        "| static | body |",
    ):
        assert said in card
    assert "any skeleton" not in card
    take = tmp_path / "take.npy"
    np.save(take, jittery())
    assert program("refine", take, "--model", tmp_path / "body.safetensors").status == 0
    expected = refine(jittery(), fps=30, model=tmp_path / "body.safetensors")
    np.testing.assert_array_equal(np.load(tmp_path / "take.refined.npy"), expected)
