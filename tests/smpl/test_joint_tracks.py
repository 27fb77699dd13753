"""Motions judged at the joints: which tracks, which skeleton, gaps, and what is refused; the command and the study."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smoothnet_core import refine
from smoothnet_core._steady_rotations import steadied
from smoothnet_core.tracks import prepare
from smpl_tools import formats, joint_tracks
from smpl_tools.cli import _refining as cli
from smpl_tools.experiments import joints as study
from smpl_tools.experiments.frame import Bench
from smpl_tools.experiments.joint_takes import ERRORS, clean_takes, paired_takes, scores, with_errors
from smpl_tools.experiments.rotations import rotation_clips
from smpl_tools.measures import changes, prepared
from smpl_tools.motion import Motion, Person, Skeleton, Track
from smpl_tools.refine_motion import refine_motion
from smpl_tools.skeleton import SMPL, SMPL_H, person_pose, person_positions
from tests.helpers import REPOSITORY
from tests.smpl.cli_helpers import Program, amass
from tests.smpl.experiment_data import clean_arrays, write_data

TAKES = REPOSITORY / "assets" / "takes"
BODY = SMPL.joints[:22]


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


def vectors(frames: int, joints: int, seed: int = 0, noise: float = 0.05) -> np.ndarray:
    generator = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / 30
    moving = 0.3 * np.sin(2 * np.pi * time + generator.uniform(0, 6, (1, joints, 3)))
    return moving + generator.normal(0, noise, (frames, joints, 3))


def smpl(frames: int = 60, seed: int = 0, numbers: np.ndarray | None = None, ident: str = "0") -> Person:
    whole = vectors(frames, 52, seed)
    tracks = {
        "global_orient": Track(whole[:, :1], "axis_angle", "root", BODY[:1]),
        "body_pose": Track(whole[:, 1:22], "axis_angle", "body", BODY[1:]),
        "left_hand_pose": Track(whole[:, 22:37], "axis_angle", "hands", SMPL_H.joints[22:37]),
        "transl": Track(whole[:, 51:], "position", "root", BODY[:1], metres=1.0),
    }
    return Person(ident, tracks, np.arange(frames) if numbers is None else numbers)


def motion(*people: Person, **more: object) -> Motion:
    return Motion("amass", people or (smpl(),), 30.0, **more)


def rows(person: Person, part: slice) -> Person:
    tracks = {name: track.replace(values=track.values[part]) for name, track in person.tracks.items()}
    return Person(person.id, tracks, person.frames[part])


def judged(before: Motion, **more: object) -> Motion:
    return refine_motion(before, judge="joints", **more).motion


def same(one: Person, other: Person) -> bool:
    return all(np.array_equal(one.tracks[n].values, other.tracks[n].values, equal_nan=True) for n in one.tracks)


def test_selected_rotations_change_and_hands_are_carried():
    before = motion(smpl(), smpl(seed=1, ident="1"))
    after, report = refine_motion(before, judge="joints", person="1")
    alone = refine_motion(before, person="1").motion
    assert after.people[0] is before.people[0]
    old, new = before.people[1], after.people[1]
    assert new.tracks["left_hand_pose"] is old.tracks["left_hand_pose"]
    # Places of the root are refined as ever.
    np.testing.assert_array_equal(new.tracks["transl"].values, alone.people[1].tracks["transl"].values)
    for name in ("global_orient", "body_pose"):
        moved = changes(prepared(alone.people[1].tracks[name]), prepared(new.tracks[name]))
        assert 1e-4 < moved.mean() < 0.1
    assert report.judge == "joints"
    assert report.as_dict()["judge"] == "joints"
    assert [t.track for t in report.tracks] == ["global_orient", "body_pose", "transl"]


def test_joints_come_nearer_to_where_they_are_wanted():
    before = motion()
    at = {name: person_positions(m.people[0], SMPL) for name, m in (("raw", before), ("joints", judged(before)))}
    at["rotations"] = person_positions(refine_motion(before).motion.people[0], SMPL)
    near = {name: placed - placed[:, :1] for name, placed in at.items()}
    wanted = steadied(near["raw"], refine(near["raw"], fps=30.0), joint_tracks._SIGMA)
    off = {name: np.linalg.norm(placed - wanted, axis=2).mean() for name, placed in near.items()}
    assert off["joints"] < 0.75 * off["rotations"]
    assert off["rotations"] < off["raw"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_strength(dtype):
    person = smpl()
    tracks = {name: track.replace(values=track.values.astype(dtype)) for name, track in person.tracks.items()}
    before = motion(person.with_tracks(tracks))
    assert same(before.people[0], judged(before, strength=0.0).people[0])
    half, full = (judged(before, strength=s).people[0].tracks["body_pose"] for s in (0.5, 1.0))
    assert half.values.dtype == dtype
    whole = changes(prepared(tracks["body_pose"]), prepared(full))
    np.testing.assert_allclose(changes(prepared(tracks["body_pose"]), prepared(half)), whole / 2, atol=1e-6)


def test_a_shifted_scene_changes_no_rotation():
    before = motion()
    transl = before.people[0].tracks["transl"]
    shifted = motion(before.people[0].with_tracks({"transl": transl.replace(values=transl.values + 5.0)}))
    one, other = judged(before).people[0], judged(shifted).people[0]
    np.testing.assert_array_equal(one.tracks["body_pose"].values, other.tracks["body_pose"].values)


def test_a_root_that_is_not_refined_is_out_of_sight():
    before = motion()
    root = before.people[0].tracks["global_orient"]
    shaken = motion(before.people[0].with_tracks({"global_orient": root.replace(values=vectors(60, 1, 9, 0.3))}))
    one, other = (judged(m, parts=("body",)).people[0] for m in (before, shaken))
    assert other.tracks["global_orient"] is shaken.people[0].tracks["global_orient"]
    np.testing.assert_array_equal(one.tracks["body_pose"].values, other.tracks["body_pose"].values)


def test_long_absences_separate_and_short_ones_are_bridged():
    numbers = np.concatenate([np.arange(50), np.arange(90, 140)])
    person = smpl(100, numbers=numbers)
    after = judged(motion(person)).people[0]
    for part in (slice(0, 50), slice(50, 100)):
        assert same(rows(after, part), judged(motion(rows(person, part))).people[0])
    bridged = smpl(60, numbers=np.concatenate([np.arange(30), np.arange(35, 65)]))
    holes = np.full((65, 22, 3), np.nan)
    values = np.concatenate([bridged.tracks["global_orient"].values, bridged.tracks["body_pose"].values], axis=1)
    holes[bridged.frames] = values
    tracks = {
        "global_orient": Track(holes[:, :1], "axis_angle", "root", BODY[:1]),
        "body_pose": Track(holes[:, 1:], "axis_angle", "body", BODY[1:]),
    }
    expected = judged(motion(Person("0", tracks, np.arange(65)))).people[0]
    found = judged(motion(bridged)).people[0]
    for name in tracks:
        np.testing.assert_allclose(found.tracks[name].values, expected.tracks[name].values[bridged.frames], atol=1e-12)


def test_what_is_never_seen_stays_unknown():
    person = smpl()
    values = person.tracks["body_pose"].values.copy()
    values[:, 15] = np.nan  # the left shoulder's: nothing is known of the arm in space
    values[10:20, 3] = np.nan
    gone = person.with_tracks({"body_pose": person.tracks["body_pose"].replace(values=values)})
    found = judged(motion(gone)).people[0].tracks["body_pose"].values
    assert np.isnan(found[:, 15]).all()
    assert np.isfinite(np.delete(found, 15, axis=1)).all()


@pytest.mark.parametrize("count", [22, 24])
@pytest.mark.parametrize("kind", ["axis_angle", "rotation_matrix", "quat_wxyz", "rotation_6d"])
def test_rotations_without_names_are_smpl_s(count, kind):
    values = vectors(40, count)
    named = {
        "global_orient": Track(values[:, :1], "axis_angle", "root", SMPL.joints[:1]),
        "body_pose": Track(values[:, 1:], "axis_angle", "body", SMPL.joints[1:count]),
    }
    expected = judged(motion(Person("0", named, np.arange(40)))).people[0]
    matrices = prepare(values, kind="axis_angle").values.reshape(40, count, 3, 3)
    given = {
        "axis_angle": values,
        "rotation_matrix": matrices,
        "quat_wxyz": Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_quat()[:, [3, 0, 1, 2]].reshape(40, count, 4),
        "rotation_6d": np.concatenate([matrices[..., 0], matrices[..., 1]], axis=-1),
    }[kind]
    track = Track(given, kind, "body", tuple(f"joint_{j}" for j in range(count)))
    found = judged(Motion("array", (Person("0", {"array": track}, np.arange(40)),), 30.0)).people[0]
    turned = np.concatenate([prepared(expected.tracks[name]).values for name in named], axis=1)
    np.testing.assert_allclose(prepared(found.tracks["array"]).values, turned, atol=1e-6)


def test_a_second_view_of_a_joint_is_refined_by_itself():
    person = smpl()
    world = Track(vectors(60, 1, 4), "axis_angle", "root", BODY[:1])
    both = Person("0", {**person.tracks, "global_orient_world": world}, person.frames)
    one, two = judged(motion(both)).people[0], judged(motion(person)).people[0]
    alone = refine_motion(motion(both)).motion.people[0].tracks["global_orient_world"]
    np.testing.assert_array_equal(one.tracks["global_orient_world"].values, alone.values)
    np.testing.assert_array_equal(one.tracks["global_orient"].values, two.tracks["global_orient"].values)


def test_people_with_positions_alone_are_refined_as_ever():
    points = Person("p", {"joints": Track(vectors(60, 4), "position", "body", BODY[:4])}, np.arange(60))
    before = motion(smpl(), points)
    found, plain = judged(before).people[1], refine_motion(before).motion.people[1]
    np.testing.assert_array_equal(found.tracks["joints"].values, plain.tracks["joints"].values)


def test_bvh_by_its_own_skeleton():
    before = formats.read(TAKES / "reactidle_000.bvh")
    after = judged(before)
    assert before.skeleton is not None
    plain = refine_motion(before).motion
    for name in ("global_orient", "body_pose"):
        assert not np.array_equal(after.people[0].tracks[name].values, plain.people[0].tracks[name].values)
    rotations, _ = person_pose(after.people[0], before.skeleton)
    np.testing.assert_allclose(
        rotations @ rotations.swapaxes(-1, -2), np.broadcast_to(np.eye(3), rotations.shape), atol=1e-9
    )
    # A skeleton of another unit turns alike.
    larger = Skeleton(before.skeleton.joints, before.skeleton.parents, 100 * np.asarray(before.skeleton.offsets))
    tracks = {n: t for n, t in before.people[0].tracks.items() if t.kind == "rotation_matrix"}
    small, large = (
        judged(Motion("bvh", (Person("0", tracks, before.people[0].frames),), 24.0, skeleton=s)).people[0]
        for s in (before.skeleton, larger)
    )
    for name in tracks:
        np.testing.assert_allclose(small.tracks[name].values, large.tracks[name].values, atol=1e-9)


@pytest.mark.parametrize("method", ["gaussian", "repair", "median"])
def test_other_methods_are_judged_too(method):
    before = motion(smpl(30))
    one, other = judged(before, method=method), refine_motion(before, method=method).motion
    assert not same(one.people[0], other.people[0])


def test_refusals():
    points = Track(vectors(20, 4), "position", "body", BODY[:4])
    turns = Track(vectors(20, 4), "axis_angle", "body", ("a", "b", "c", "d"))
    unknown = motion(Person("0", {"joints": points, "turns": turns}, np.arange(20)), path=Path("take.npz"))
    with pytest.raises(ValueError, match=r".") as caught:
        judged(unknown)
    assert str(caught.value) == (
        "take.npz: tracks to judge at the joints: expected rotations of a skeleton that the file has, or of SMPL's "
        "joints, received joints (position (4, 3)), turns (axis_angle (4, 3))"
    )
    with pytest.raises(ValueError, match="judge: expected one of rotations, joints, received 'hands'"):
        refine_motion(unknown, judge="hands")
    # A skeleton without lengths is none.
    bare = Skeleton(("a", "b", "c", "d"), np.array([-1, 0, 1, 2]), np.full((4, 3), np.nan))
    with pytest.raises(ValueError, match="tracks to judge at the joints"):
        judged(motion(*unknown.people, skeleton=bare))
    known = Skeleton(("a", "b", "c", "d"), np.array([-1, 0, 1, 2]), np.ones((4, 3)))
    found = judged(motion(*unknown.people, skeleton=known)).people[0]
    assert not np.array_equal(found.tracks["turns"].values, turns.values)


def test_nobody_and_no_frames():
    assert judged(Motion("amass", (), 30.0)).people == ()
    empty = judged(motion(smpl(0)))
    assert empty.people[0].tracks["body_pose"].values.shape == (0, 21, 3)
    assert judged(motion(smpl(1))).people[0].tracks["body_pose"].values.shape == (1, 21, 3)


def test_the_command(program: Program, tmp_path: Path):
    take = amass(tmp_path / "take.npz", width=156)
    ran = program("refine", take, "-o", tmp_path / "out.npz", "--judge", "joints")
    assert (ran.status, ran.err) == (0, "")
    assert "smoothnet, model default, judged at the joints, strength 1" in ran.out
    expected = judged(formats.read(take)).people[0].tracks["body_pose"].values
    with np.load(tmp_path / "out.npz") as out, np.load(take) as given:
        np.testing.assert_array_equal(out["poses"][:, 3:66], expected.reshape(40, -1))
        np.testing.assert_array_equal(out["poses"][:, 66:], given["poses"][:, 66:])
    ran = program("refine", take, "-o", tmp_path / "again.npz", "--json")
    assert json.loads(ran.out)["refined"][0]["judge"] == "rotations"
    np.save(tmp_path / "points.npy", vectors(20, 4))
    message = program.refused("refine", tmp_path / "points.npy", "--judge", "joints")
    assert message.startswith(f"{tmp_path / 'points.npy'}: tracks to judge at the joints: expected rotations of")
    assert program("refine", take, "--judge", "feet").status == 2
    assert cli.JUDGES == joint_tracks.JUDGES


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = write_data(tmp_path_factory.mktemp("data"))
    arrays = clean_arrays()
    # Two of its clips are of the subjects that this study holds out.
    arrays["index"] = str(arrays["index"]).replace('"13"', '"85"').replace('"60"', '"94"')
    np.savez(folder / "cmu" / "cmu_train.npz", **arrays)
    return Bench(folder, quick=True)


def test_the_study(bench):
    result = study.run(bench)
    real, added, clean, settings = result.tables
    assert [row[0] for row in real.rows[::5]] == ["static", "video", "video smoothed"]
    assert {row[0] for row in added.rows} == {errors.name for errors in ERRORS}
    assert [row[1] for row in added.rows[:5]] == [
        "raw",
        "best filter",
        "default, rotations",
        "default, joints",
        "default, world",
    ]
    assert [row[:2] for row in clean.rows] == [
        [fps, f"default, {judge}"] for fps in ("30", "60") for judge in ("rotations", "joints")
    ]
    assert len(settings.rows) == 4 * len(ERRORS)
    for table in result.tables:
        for row in table.rows:
            assert len(row) == len(table.columns)
            assert all(isinstance(cell, str) or math.isfinite(cell) for cell in row)
    assert result.losses.endswith(".")


def test_takes_of_the_study(bench):
    """What is scored is what the study `rotations` scores, and errors are where they are said to be."""
    (clip, *_) = rotation_clips(bench.validation)
    (take,) = paired_takes([clip])
    exact = scores([take], lambda t: t.truth)[clip.mode]
    assert exact["mpjpe_mm"] == pytest.approx(0, abs=1e-9)
    assert (exact["speed_ratio"], exact["jitter_ratio"]) == (1.0, 1.0)
    (clean, *_) = clean_takes(bench.clean_file, held_out=True)
    assert len(clean_takes(bench.clean_file, held_out=True)) == len(clean_takes(bench.clean_file, held_out=False)) == 2
    with pytest.raises(ValueError, match="clips at 50 frames a second of subjects 85, 94: expected at least one"):
        clean_takes(bench.clean_file, held_out=True, fps=50.0)
    names = clean.skeleton.joints
    assert names == ("hips", "chest", "hand")
    assert list(clean.ends) == [2]
    off = with_errors(clean, ERRORS[0], np.random.default_rng(0))
    turned = scores([off], lambda t: t.motion)[ERRORS[0].name]
    # Of drift and jitter together, with a few spikes.
    assert 2.0 < turned["geodesic_deg"] < 5.0
    spine = with_errors(clean, ERRORS[2], np.random.default_rng(0))
    assert scores([spine], lambda t: t.motion)["spine"]["geodesic_deg"] < 0.4 * turned["geodesic_deg"]
