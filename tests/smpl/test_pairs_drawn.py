"""Clips drawn at random from all motions: the same for the same seed, and people all the same."""

from __future__ import annotations

import json
import shlex
import sys

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smpl_tools.pairs import drawn
from smpl_tools.pairs.body import CARRIERS, HIPS, JOINT_NAMES, Shape, bone_places, make_body, truth
from smpl_tools.pairs.drawn import Pool
from smpl_tools.pairs.estimator import MEDIAPIPE_OFFSETS, Estimator
from smpl_tools.pairs.motions import read_motions
from smpl_tools.pairs.paired_set import write_splits
from smpl_tools.pairs.stage import Settings
from tests.smpl.cli_helpers import Program, amass
from tests.smpl.experiment_data import clean_arrays

SETTINGS = Settings(Estimator("none", ("none",), 1.0), ("static",), 2, size=64, seed=3)
# Finds nobody.
ESTIMATE = """
import sys, numpy as np
from pathlib import Path
frames, output, mode, fps = sys.argv[1:]
count = len(list(Path(frames).glob("*.jpg")))
shapes = {"est_3d": (count, 15, 3), "est_2d": (count, 15, 2), "visibility": (count, 15)}
np.savez(output, **{name: np.full(shape, np.nan) for name, shape in shapes.items()})
"""


@pytest.fixture
def walks(tmp_path):
    return [amass(tmp_path / f"{name}.npz", frames=90, seed=seed) for seed, name in enumerate(("anna", "ben", "carl"))]


@pytest.fixture
def body():
    return make_body(Shape(1.0, (0.2, 0.3, 0.5), 0.0, 0.0, 1.0))


def moving(body, frames=5, seed=0):
    """Return rotations (T, B, 3, 3) of bones in the world and where the pelvis is."""
    generator = np.random.default_rng(seed)
    turns = Rotation.random(frames * len(body.bones), random_state=seed).as_matrix()
    return turns.reshape(frames, len(body.bones), 3, 3), generator.normal(size=(frames, 3))


def places_of(body, rotations, root, offsets=None):
    return truth(body, rotations, bone_places(body, rotations, root), offsets)


def test_a_clip_is_decided_by_seed_and_number(walks):
    pool = Pool(read_motions(walks), 30.0)
    first, again = (pool.stage(4, SETTINGS) for _ in range(2))
    np.testing.assert_array_equal(first.landmarks, again.landmarks)
    assert (first.described, first.occluders) == (again.described, again.occluders)
    assert first.generator.integers(1 << 40) == again.generator.integers(1 << 40)
    assert pool.stage(5, SETTINGS).described != first.described


def test_what_is_drawn_varies_and_stays_in_the_picture(walks):
    pool = Pool(read_motions(walks), 30.0)
    stages = [pool.stage(number, SETTINGS) for number in range(40)]
    told = [stage.described["drawn"] for stage in stages]
    for key in ("mirrored", "tilt_deg", "arms", "legs"):
        assert 0 < sum(key in entry for entry in told) < 40, key
    assert {stage.described["subject"] for stage in stages} == {"anna", "ben", "carl"}
    assert {stage.occluders for stage in stages} == {0, 1, 2}
    assert len({len(stage.joints) for stage in stages}) > 3
    for stage in stages:
        assert 40 <= len(stage.joints) <= 151
        pixels = stage.camera.project(stage.camera.seen(stage.joints))
        assert 0 < pixels.min() < pixels.max() < 64
        if "tilt_deg" in stage.described["drawn"]:
            assert stage.floor == 0.0
            np.testing.assert_allclose(stage.joints[..., 1].min(axis=1), 0, atol=1e-9)


@pytest.mark.parametrize("share", [0, 1])
def test_how_many_are_tilted_is_asked_for(walks, share):
    pool = Pool(read_motions(walks), 30.0, share)
    assert sum("tilt_deg" in pool.stage(number, SETTINGS).described["drawn"] for number in range(8)) == 8 * share


def test_who_tumbles_turns_over_and_lands_on_the_floor(walks):
    pool = Pool(read_motions(walks), 30.0, 0, 1)
    for number in range(8):
        stage = pool.stage(number, SETTINGS)
        assert 1 <= stage.described["drawn"]["turns_over"] <= 3
        assert stage.floor == 0.0
        lowest = stage.joints[..., 1].min(axis=1)
        assert -1e-9 < lowest.min() < 0.01
        assert lowest.max() < 1.5 + 1e-9, "three jumps at most"
        # Upside down at some time: the hips above the nose.
        nose, hips = JOINT_NAMES.index("nose"), [JOINT_NAMES.index(f"{side}_hip") for side in ("left", "right")]
        assert (stage.joints[:, hips, 1].mean(axis=1) > stage.joints[:, nose, 1]).any()


def test_a_tumble_goes_all_the_way_round_without_a_jerk():
    turns, height, _ = drawn._tumble(400, 100.0, np.random.default_rng(3))
    np.testing.assert_allclose(turns @ turns.swapaxes(1, 2), np.broadcast_to(np.eye(3), turns.shape), atol=1e-9)
    assert turns[:, 1, 1].min() < -0.99, "upside down"
    step = np.arccos(np.clip((np.einsum("tij,tij->t", turns[1:], turns[:-1]) - 1) / 2, -1, 1))
    # 1.5 times the mean rate of the shortest turn, three at once.
    assert 0.05 < step.max() < 3 * 1.5 * 2 * np.pi / (0.5 * 100)
    assert height.min() >= 0


def test_a_mirror_shows_the_same_person_with_sides_exchanged(body):
    rotations, root = moving(body)
    there, back = drawn._mirrored(rotations, root, body)
    np.testing.assert_allclose(drawn._mirrored(there, back, body)[0], rotations)
    sides = {"left": "right", "right": "left", "nose": "nose"}
    others = ["_".join([sides[name.split("_")[0]], *name.split("_")[1:]]) for name in JOINT_NAMES]
    swap = [JOINT_NAMES.index(other) for other in others]
    seen = places_of(body, rotations, root)[:, swap] * [-1.0, 1.0, 1.0]
    # The body itself is symmetric to a few millimetres.
    np.testing.assert_allclose(places_of(body, there, back), seen, atol=0.01)


@pytest.mark.parametrize("left_only", [False, True])
@pytest.mark.parametrize(("name", "trunk", "bone"), [("arms", "spine_03", "lowerarm"), ("legs", "pelvis", "foot")])
def test_lent_limbs_move_against_the_trunk_as_they_did(body, name, trunk, bone, left_only):
    own, _ = moving(body, seed=1)
    lent, _ = moving(body, seed=2)
    mixed = drawn._with_limbs(own, lent, body, name, left_only)
    at = body.bones.index

    def against_the_trunk(rotations, side):
        return np.swapaxes(rotations[:, at(trunk)], 1, 2) @ rotations[:, at(f"{bone}_{side}")]

    np.testing.assert_allclose(against_the_trunk(mixed, "l"), against_the_trunk(lent, "l"), atol=1e-12)
    right = own if left_only else lent
    np.testing.assert_allclose(against_the_trunk(mixed, "r"), against_the_trunk(right, "r"), atol=1e-12)
    kept = [b for b, other in enumerate(body.bones) if other[-2:] not in ("_l", "_r")]
    np.testing.assert_array_equal(mixed[:, kept], own[:, kept])


def test_landmarks_lie_beside_their_joints_and_turn_with_them(body):
    rest = np.broadcast_to(np.eye(3), (1, len(body.bones), 3, 3))
    beside = places_of(body, rest, np.zeros((1, 3)), MEDIAPIPE_OFFSETS) - places_of(body, rest, np.zeros((1, 3)))
    np.testing.assert_allclose(beside[0], [MEDIAPIPE_OFFSETS[name] for name in JOINT_NAMES], atol=1e-12)
    turns, root = moving(body)
    beside = places_of(body, turns, root, MEDIAPIPE_OFFSETS) - places_of(body, turns, root)
    for j, name in enumerate(JOINT_NAMES):
        expected = turns[:, body.bones.index(CARRIERS[name])] @ np.array(MEDIAPIPE_OFFSETS[name])
        np.testing.assert_allclose(beside[:, j], expected, atol=1e-12)
    only = places_of(body, turns, root, {"nose": (0.0, 0.1, 0.0)}) - places_of(body, turns, root)
    assert np.flatnonzero(np.abs(only).max(axis=(0, 2))).tolist() == [0]


def test_motions_of_a_clean_archive(tmp_path):
    path = tmp_path / "clean.npz"
    np.savez(path, **clean_arrays())
    sources = read_motions([path], leave_out=("60",))
    assert [(s.name, s.subject, s.motion.fps) for s in sources] == [
        ("clip0", "13", 30.0),
        ("clip2", "7", 60.0),
        ("clip3", "7", 60.0),
    ]
    assert sources[0].motion.skeleton is not None
    with pytest.raises(ValueError, match="without subjects 7, 13, 60, received none"):
        read_motions([path], leave_out=("7", "13", "60"))


def test_a_clip_of_two_subjects_is_split_from_neither(tmp_path):
    for name, subject, limbs in (("a", "1", None), ("b", "2", None), ("c", "1", "2"), ("d", "2", "2"), ("e", "1", "1")):
        drawn_as = {"limbs_of": limbs} if limbs else {}
        np.savez(tmp_path / f"{name}.npz", metadata=json.dumps({"subject": subject, "drawn": drawn_as}))
    assert write_splits(tmp_path, ["2"]) == {"train": ["a", "e"], "val": ["b", "d"]}


def test_the_command_draws_clips(walks, tmp_path, capsys):
    pytest.importorskip("embreex", reason="the renderer (extra pairs) is not installed")
    program = Program(capsys)
    (tmp_path / "estimate.py").write_text(ESTIMATE)
    fake = f"{shlex.quote(sys.executable)} {shlex.quote(str(tmp_path / 'estimate.py'))}"
    arguments = ["--size", 64, "--estimator", fake, "--modes", "static", "--seed", 3, "--validation", "ben"]
    ran = program("pairs", *walks, "-o", tmp_path / "two", "--drawn", 3, "--jobs", 2, *arguments)
    assert ran.status == 0, ran.err
    assert "3 of 3: drawn_00002" in ran.err
    assert program("pairs", *walks, "-o", tmp_path / "one", "--drawn", 2, *arguments).status == 0
    for name in ("drawn_00000", "drawn_00001"):
        with np.load(tmp_path / "one" / f"{name}.npz") as one, np.load(tmp_path / "two" / f"{name}.npz") as two:
            np.testing.assert_array_equal(one["gt_3d"], two["gt_3d"])
            np.testing.assert_allclose(one["gt_3d"][:, HIPS].mean(axis=1), 0, atol=1e-6)
            described = json.loads(str(one["metadata"]))
            assert described["drawn"]["motion"] == described["subject"]
    message = program.refused("pairs", walks[0], "-o", tmp_path / "two", "--drawn", 1, *arguments[:-2])
    assert message.endswith("drawn_00000.npz: motions (--force makes it again): expected 1, received 3")
