"""``smoothnet evaluate``: numbers against the metrics themselves, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smoothnet_core import metrics
from smpl_tools import formats
from smpl_tools.evaluation import evaluate_motions
from smpl_tools.motion import Motion, Person, Track
from smpl_tools.poses import bones, hips, poses, upward
from smpl_tools.skeleton import SMPL, positions
from tests.helpers import REPOSITORY
from tests.smpl.cli_helpers import Program, amass, body, saved

TAKES = REPOSITORY / "assets" / "takes"


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


def evaluated(program: Program, *arguments: object) -> dict:
    ran = program("evaluate", *arguments, "--json")
    assert ran.status == 0, ran.err
    return json.loads(ran.out)


def test_positions(program: Program, tmp_path: Path):
    true, guess = body(40, seed=1), body(40, seed=2)
    files = saved(tmp_path / "e.npy", guess), saved(tmp_path / "t.npy", true)
    found = evaluated(program, *files, "--unit", "m", "--root", "0", "--fps", 50)
    assert (found["root"], found["unit"], found["unit_assumed"]) == (["joint_0"], "m", False)
    values = found["metrics"]
    assert values["mpjpe_mm"] == pytest.approx(metrics.mpjpe(guess, true, root=[0]).mean())
    assert values["pa_mpjpe_mm"] == pytest.approx(metrics.pa_mpjpe(guess, true).mean())
    accel = metrics.accel(guess, true, root=[0])
    assert values["accel_mm_per_frame2"] == pytest.approx(accel.mean())
    assert values["accel_mm_per_second2"] == pytest.approx(accel.mean() * 2500)
    assert values["mpjve_mm_per_frame"] == pytest.approx(metrics.mpjve(guess, true, root=[0]).mean())
    assert values["mpjpe_mm_worst_1_percent"] == pytest.approx(metrics.mpjpe(guess, true, root=[0]).max())
    assert values["speed_ratio"] == pytest.approx(metrics.speed_ratio(guess, true))
    assert values["jitter_ratio"] == pytest.approx(metrics.jitter_ratio(guess, true))
    text = program("evaluate", *files, "--unit", "m").out
    assert "mpjpe_mm" in text
    assert "root not subtracted" in text


@pytest.mark.parametrize(("unit", "scale"), [("m", 1.0), ("cm", 100.0), ("mm", 1000.0)])
def test_the_unit_is_told_by_a_person_s_size(program: Program, tmp_path: Path, unit: str, scale: float):
    files = [saved(tmp_path / f"{s}.npy", body(40, seed=s) * scale) for s in (1, 2)]
    found = evaluated(program, *files)
    assert (found["unit"], found["unit_assumed"]) == (unit, True)
    same = metrics.mpjpe(body(40, seed=1), body(40, seed=2)).mean()
    assert found["metrics"]["mpjpe_mm"] == pytest.approx(same)


def test_a_size_of_nobody_asks_for_the_unit(program: Program, tmp_path: Path):
    files = [saved(tmp_path / f"{s}.npy", body(40, seed=s) * 1e6) for s in (1, 2)]
    assert "say it with --unit" in program.refused("evaluate", *files)
    assert evaluated(program, *files, "--unit", "in")["unit"] == "in"


def test_pixels(program: Program, tmp_path: Path):
    true, guess = 100 * body(40, seed=1, size=2), 100 * body(40, seed=2, size=2)
    found = evaluated(program, saved(tmp_path / "e.npy", guess), saved(tmp_path / "t.npy", true))
    assert found["unit"] == "px"
    assert found["metrics"]["error_px"] == pytest.approx(metrics.pixel_error(guess, true).mean())
    assert found["metrics"]["accel_px_per_frame2"] == pytest.approx(metrics.pixel_accel(guess, true).mean())
    assert "mpjpe_mm" not in found["metrics"]


def test_rotations_go_through_forward_kinematics(program: Program, tmp_path: Path):
    files = amass(tmp_path / "e.npz", seed=1), amass(tmp_path / "t.npz", seed=2)
    found = evaluated(program, *files)
    assert found["forward_kinematics"]
    assert (found["root"], found["unit"], len(found["joints"])) == (["pelvis"], "m", 24)

    def placed(path: Path) -> tuple[np.ndarray, np.ndarray]:
        data = np.load(path)
        turned = Rotation.from_rotvec(data["poses"].reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
        return positions(turned, data["trans"], SMPL), turned

    (guess, turned), (true, truly) = placed(files[0]), placed(files[1])
    assert found["metrics"]["mpjpe_mm"] == pytest.approx(metrics.mpjpe(guess, true, root=[0]).mean())
    between = Rotation.from_matrix((truly.swapaxes(-1, -2) @ turned).reshape(-1, 3, 3)).magnitude()
    assert found["metrics"]["geodesic_deg"] == pytest.approx(np.degrees(between).mean())


def test_fingers_count_only_when_asked(program: Program):
    files = TAKES / "dance_smplh.npz", TAKES / "dance_smplh_truth.npz"
    assert len(evaluated(program, *files)["joints"]) == 24
    assert len(evaluated(program, *files, "--hands")["joints"]) == 52


def test_a_filter_makes_the_take_in_the_assets_better(program: Program, tmp_path: Path):
    estimate, truth = TAKES / "dance_smplh.npz", TAKES / "dance_smplh_truth.npz"
    assert program("refine", estimate, "-o", tmp_path / "r.npz", "--method", "median").status == 0
    before, after = (evaluated(program, path, truth)["metrics"] for path in (estimate, tmp_path / "r.npz"))
    assert after["mpjpe_mm"] < before["mpjpe_mm"]
    assert after["accel_mm_per_frame2"] < 0.3 * before["accel_mm_per_frame2"]


def test_a_motion_against_itself_has_no_error(program: Program):
    for name in ("reactidle_000.bvh", "dance_smplh_truth.npz"):
        values = evaluated(program, TAKES / name, TAKES / name)["metrics"]
        for measure in ("mpjpe_mm", "pa_mpjpe_mm", "accel_mm_per_frame2", "geodesic_deg"):
            assert values[measure] == pytest.approx(0, abs=1e-4)
        assert (values["speed_ratio"], values["jitter_ratio"]) == (1.0, 1.0)


def test_joints_are_chosen_by_name_or_number(program: Program, tmp_path: Path):
    true, guess = body(40, seed=1), body(40, seed=2)
    files = saved(tmp_path / "e.npy", guess), saved(tmp_path / "t.npy", true)
    found = evaluated(program, *files, "--joints", "joint_1,3", "--root", "none")
    assert found["joints"] == ["joint_1", "joint_3"]
    assert found["metrics"]["mpjpe_mm"] == pytest.approx(metrics.mpjpe(guess[:, [1, 3]], true[:, [1, 3]]).mean())
    assert "joint: expected a name, or a number from 0 to 3, received '4'" in program.refused(
        "evaluate", *files, "--joints", "4"
    )
    assert "root: expected one of joint_0, " in program.refused("evaluate", *files, "--root", "hip")


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_takes(program: Program, tmp_path: Path, frames: int):
    files = [saved(tmp_path / f"{s}.npy", body(frames, seed=s)) for s in (1, 2)]
    found = evaluated(program, *files)
    assert found["frames"] == frames
    assert ("accel_mm_per_frame2" in found["metrics"]) == (frames > 2)


def test_what_does_not_belong_together(program: Program, tmp_path: Path):
    truth = saved(tmp_path / "t.npy", body(40))
    fewer = saved(tmp_path / "f.npy", body(39))
    assert "frames of person 0 in the estimate: expected 40 as in the ground truth, received 39" in program.refused(
        "evaluate", fewer, truth
    )
    more = saved(tmp_path / "m.npy", body(40, 5))
    assert (
        "joints of person 0 in the estimate: expected 4 in 3D as in the ground truth (choose with --joints),"
        " received 5 in 3D" in program.refused("evaluate", more, truth)
    )
    plane = saved(tmp_path / "p.npy", body(40, size=2))
    assert "received 4 in 2D" in program.refused("evaluate", plane, truth)
    empty = saved(tmp_path / "n.npy", body(0))
    assert "frames of person 0: expected at least 1, received 0" in program.refused("evaluate", empty, empty)
    slow, fast = amass(tmp_path / "a.npz"), amass(tmp_path / "b.npz", fps=60.0)
    assert "frame rate of the estimate: expected that of the ground truth, 30, received 60" in program.refused(
        "evaluate", fast, slow
    )


def tracked(values: np.ndarray, frames: np.ndarray, ident: str = "0", names: tuple[str, ...] | None = None) -> Person:
    names = names or tuple(f"j{j}" for j in range(values.shape[1]))
    return Person(ident, {"body": Track(values, "position", "body", names)}, frames)


def test_frames_are_paired_by_number_and_missing_ones_count_nowhere():
    true, guess = body(40, seed=1), body(40, seed=2)
    seen = np.setdiff1d(np.arange(40), np.arange(10, 15))
    estimate = Motion("array", (tracked(guess[seen], seen),), 30.0)
    truth = Motion("array", (tracked(true, np.arange(40)),), 30.0)
    found = evaluate_motions(estimate, truth, unit="m", root=["none"])
    assert (found["frames"], found["missing_frames"]) == (40, 5)
    assert found["metrics"]["mpjpe_mm"] == pytest.approx(metrics.mpjpe(guess[seen], true[seen]).mean())
    with pytest.raises(
        ValueError, match="expected some of the ground truth's, 0 to 39, received 1 to 40, with frame 40"
    ):
        evaluate_motions(Motion("array", (tracked(guess, np.arange(1, 41)),), 30.0), truth)


def test_people_are_paired_by_id_and_joints_by_name():
    true = {i: body(20, seed=ord(i)) for i in "ab"}
    numbers = np.arange(20)
    truth = Motion("array", tuple(tracked(true[i], numbers, i) for i in "ab"), 30.0, path=Path("t"))
    swapped = tuple(tracked(true[i][:, ::-1], numbers, i, ("j3", "j2", "j1", "j0")) for i in "ba")
    found = evaluate_motions(Motion("array", swapped, 30.0), truth, unit="m")
    assert found["metrics"]["mpjpe_mm"] == 0
    assert found["frames"] == 40
    stranger = (tracked(true["a"], numbers, "a"), tracked(true["b"], numbers, "c"))
    with pytest.raises(ValueError, match=r"^people of t: expected a, c, as in e, received a, b$"):
        evaluate_motions(Motion("array", stranger, 30.0, path=Path("e")), truth)


def test_hips_by_their_names():
    assert hips(("head", "pelvis")) == [1]
    assert hips(("Nose", "MidHip", "RHip", "LHip")) == [1]
    assert hips(("left_hip", "nose", "right_hip")) == [0, 2]
    assert hips(("LHip", "Nose", "RHip")) == [0, 2]
    assert hips(("Hips", "Spine")) == [0]
    assert hips(("a", "b")) == []


def test_bones_and_up():
    take = formats.read(TAKES / "dance_smplh_truth.npz")
    found = poses(take, take.people[0])
    assert len(bones(found)) == 23
    across, up, sign = upward(found, slice(0, 5))
    # AMASS: Z up.
    assert (up, sign) == (2, 1.0)
    assert across != up
    names = ("LShoulder", "LElbow", "RShoulder", "x")
    flat = poses(Motion("array", (), 30.0), tracked(body(5, size=2), np.arange(5), names=names))
    assert bones(flat) == [(0, 1), (0, 2)]
    assert upward(flat, slice(0, 5)) == (0, 1, -1.0)


def test_arms_held_out_are_not_up():
    names = ("head", "hips", "left_hand", "right_hand", "left_foot", "right_foot")
    # Fingertips are farther apart than the head is from the feet.
    rest = np.array([[0, 1.6, 0], [0, 0.9, 0], [0.9, 1.4, 0], [-0.9, 1.4, 0], [0.1, 0, 0], [-0.1, 0, 0]], float)
    for axes, expected in (([0, 1, 2], (0, 1)), ([0, 2, 1], (0, 2)), ([1, 0, 2], (1, 0))):
        stands = np.tile(rest[:, axes], (5, 1, 1))
        for values, sign in ((stands, 1.0), (-stands, -1.0)):
            take = poses(Motion("array", (), 30.0), tracked(values, np.arange(5), names=names))
            assert upward(take, slice(None)) == (*expected, sign)


def test_rotations_without_names_are_those_of_smpl():
    vectors = np.zeros((3, 24, 3))
    unnamed = Track(vectors, "axis_angle", "body", tuple(f"joint_{j}" for j in range(24)))
    found = poses(Motion("array", (), None), Person("0", {"motion": unnamed}, np.arange(3)))
    np.testing.assert_allclose(found.positions[0], positions(np.eye(3) * np.ones((1, 24, 1, 1)), None, SMPL)[0])
    odd = Track(vectors[:, :5], "axis_angle", "body", tuple("abcde"))
    with pytest.raises(
        ValueError, match="joints of person 0: expected those of SMPL, or a skeleton, received a, b, c, d"
    ):
        poses(Motion("array", (), None), Person("0", {"motion": odd}, np.arange(3)))
    channels = Track(np.zeros((3, 2)), "channels", "body", ("a", "b"))
    with pytest.raises(ValueError, match="expected positions or rotations of joints, received motion"):
        poses(Motion("array", (), None), Person("0", {"motion": channels}, np.arange(3)))


def test_nothing_observed_in_both_is_refused(program: Program, tmp_path: Path):
    empty = saved(tmp_path / "empty.npy", np.full((10, 4, 3), np.nan))
    error = program.refused("evaluate", empty, saved(tmp_path / "truth.npy", body(10)), "--unit", "m")
    assert error == f"{empty}: values to compare: expected at least one joint observed in both, received none"


@pytest.mark.filterwarnings("error")
def test_infinite_rotations_count_as_not_observed(program: Program, tmp_path: Path):
    path = amass(tmp_path / "take.npz")
    arrays = dict(np.load(path))
    arrays["poses"][5, 6] = np.inf
    np.savez(tmp_path / "holes.npz", **arrays)
    assert program("evaluate", tmp_path / "holes.npz", path).status == 0
