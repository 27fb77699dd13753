"""The report's data: exact against numbers computed here, its marks, its refusals, and the page that holds it."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from smpl_tools import formats
from smpl_tools.evaluation import evaluate_motions
from smpl_tools.motion import Motion, Person, Track
from smpl_tools.report.data import report_data
from smpl_tools.report.packing import joined, packed, parted, unpacked
from smpl_tools.report.pages import LIBRARIES, page, write_report
from tests.helpers import REPOSITORY
from tests.smpl.body_files import write_smpl
from tests.smpl.cli_helpers import body

TAKES = REPOSITORY / "assets" / "takes"
LIMBS = ("left_hip", "right_hip", "left_ankle", "right_ankle")


def motion(values: np.ndarray, name: str = "a.npy", frames: np.ndarray | None = None, **track: Any) -> Motion:
    joints = track.pop("joints", LIMBS[: values.shape[1]])
    fps = track.pop("fps", 30.0)
    frames = np.arange(len(values)) if frames is None else frames
    kind = "channels" if values.ndim == 2 else "position"
    one = Track(values, kind, "body", joints, **track)
    return Motion("array", (Person("0", {"body": one}, frames),), fps, path=Path(name))


def shown(*motions: Motion | None, **how: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    return parted(report_data(*motions, **how))  # type: ignore[arg-type]


def test_positions_errors_and_metrics_are_those_of_the_motions():
    truth, old = body(60, seed=1), body(60, seed=1) + np.random.default_rng(2).normal(0, 0.02, (60, 4, 3))
    new = (old + truth) / 2
    motions = motion(old, metres=1.0), motion(new, metres=1.0), motion(truth, metres=1.0)
    found, arrays = shown(*motions)
    assert [take["key"] for take in found["takes"]] == ["before", "after", "truth"]
    for key, values in zip(("before", "after", "truth"), (old, new, truth), strict=True):
        assert_array_equal(arrays[f"positions.{key}"], values.astype(np.float32))
    hips = [0, 1]
    assert found["root"] == hips
    for key, values in (("before", old), ("after", new)):
        rooted = values - values[:, hips].mean(1, keepdims=True) - truth + truth[:, hips].mean(1, keepdims=True)
        assert_allclose(arrays[f"error.{key}"], 1000 * np.linalg.norm(rooted, axis=-1).mean(1), rtol=1e-5)
        accel = 1000 * np.linalg.norm(rooted[2:] - 2 * rooted[1:-1] + rooted[:-2], axis=-1).mean(1)
        assert np.isnan(arrays[f"accel.{key}"][[0, -1]]).all()
        assert_allclose(arrays[f"accel.{key}"][1:-1], accel, rtol=1e-4)
    rows = {row["label"]: row for row in found["metrics"]}
    evaluated = evaluate_motions(motions[1], motions[2])["metrics"]
    assert rows["MPJPE"]["values"]["after"] == pytest.approx(evaluated["mpjpe_mm"], rel=1e-12)
    assert rows["MPJPE"]["worst"]["after"] == pytest.approx(evaluated["mpjpe_mm_worst_1_percent"], rel=1e-12)
    assert rows["MPJPE"]["values"]["before"] == pytest.approx(2 * evaluated["mpjpe_mm"], rel=1e-6)
    shaking = np.linalg.norm(np.diff(old, 2, axis=0), axis=-1).mean() * 900
    assert rows["Jitter"]["values"]["before"] == pytest.approx(shaking, rel=1e-9)
    moved = np.linalg.norm(new - old, axis=-1) * 1000
    assert rows["Mean change"]["values"]["after"] == pytest.approx(moved.mean())
    assert rows["Largest change"]["values"]["after"] == pytest.approx(moved.max())
    frame, joint = rows["Largest change"]["at"]
    assert moved[frame, joint] == moved.max()


def test_lengths_come_in_metres_whatever_the_files_count_in():
    values = body(30)
    for scale, how in ((1000.0, {"metres": 0.001}), (100.0, {"metres": 0.01})):
        found, arrays = shown(motion(values * scale, **how))
        assert (found["unit"], found["takes"][0]["key"]) == ("m", "take")
        assert_allclose(arrays["positions.take"], values, rtol=1e-6)
        assert not any("unit of length" in note for note in found["notes"])
    found, arrays = shown(motion(values * 1000))
    assert_allclose(arrays["positions.take"], values, rtol=1e-6)
    assert any("told by the size of a person" in note for note in found["notes"])
    found, arrays = shown(motion(values * 1e6))
    assert found["unit"] == "file units"
    found, arrays = shown(motion(values * 1000), unit="cm")
    assert_allclose(arrays["positions.take"], values * 10, rtol=1e-6)


def test_frames_that_a_person_misses_and_frame_numbers_of_the_file_are_kept():
    frames = np.concatenate([np.arange(5, 15), np.arange(18, 30)])
    found, arrays = shown(motion(body(22), frames=frames, metres=1.0), motion(body(22), frames=frames, metres=1.0))
    assert (found["first"], found["frames"]) == (5, 25)
    assert np.isnan(arrays["positions.before"][10:13]).all()
    assert_array_equal(arrays["positions.before"][13:], body(22)[10:].astype(np.float32))
    assert found["gaps"] == [[10, 13, -1, False]]


def test_gaps_that_were_filled_are_told_of_each_joint():
    old = body(40)
    old[10:14, 2] = np.nan
    old[20:22] = np.nan
    found, _ = shown(motion(old, metres=1.0), motion(body(40), metres=1.0))
    assert found["gaps"] == [[10, 14, 2, True], [20, 22, -1, True]]
    found, _ = shown(motion(old, metres=1.0), motion(old, metres=1.0))
    assert found["gaps"] == [[10, 14, 2, False], [20, 22, -1, False]]


def test_spikes_are_where_a_joint_was_off_for_a_moment():
    clean = body(80, seed=3)
    old = clean + np.random.default_rng(4).normal(0, 0.002, clean.shape)
    old[20, 1] += 0.3
    old[50:53, 3, 0] -= 0.2
    # What stays moved for a second is no spike.
    old[30:65, 2, 1] += 0.25
    found, _ = shown(motion(old, metres=1.0), motion(clean, metres=1.0))
    told = {(frame, joint): size for frame, joint, size in found["spikes"]}
    assert set(told) <= {(20, 1), (50, 3), (51, 3), (52, 3)}
    assert len(told) == 2
    assert told[20, 1] == pytest.approx(np.linalg.norm(old[20, 1] - clean[20, 1]), abs=0.01)
    assert found["spike_unit"] == "m"


def test_spikes_of_rotations_are_told_of_the_joint_that_turned():
    truth = formats.read(TAKES / "dance_smplh_truth.npz")
    person = truth.people[0]
    pose = person.tracks["body_pose"]
    turned = pose.values.copy()
    knee = pose.joints.index("left_knee")
    turned[100, knee] += [0.6, 0, 0]
    old = truth.with_people((person.with_tracks({"body_pose": pose.replace(values=turned)}),))
    found, _ = shown(old, truth)
    ((frame, joint, degrees),) = found["spikes"]
    assert (frame, found["joints"][joint], found["spike_unit"]) == (100, "left_knee", "°")
    assert degrees > 20


def walking(frames: int = 120) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return hips, knees and ankles of someone whose left foot stands first, then the right one."""
    names = ("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle")
    x = np.zeros((frames, 6, 3))
    x[:, :, 0] = [0.1, -0.1] * 3
    x[:, :, 1] = [0.9, 0.9, 0.5, 0.5, 0.08, 0.08]
    half = frames // 2
    lifted = 0.25 * np.sin(np.linspace(0, np.pi, half))
    x[:half, 5, 1] += lifted
    x[half:, 4, 1] += lifted
    x[:half, 5, 2] = np.linspace(-0.4, 0.4, half)
    x[half:, 5, 2] = 0.4
    x[half:, 4, 2] = np.linspace(0, 0.8, half)
    x[:, :4, 2] = np.linspace(0, 0.5, frames)[:, None]
    return x, names


def test_feet_on_the_ground_and_how_far_they_slide():
    x, names = walking()
    slid = x.copy()
    slid[:, 4, 2] += np.linspace(0, 0.1, len(x))
    how: dict[str, Any] = {"joints": names, "metres": 1.0, "up": "y"}
    found, _ = shown(motion(slid, **how), motion(x, **how))
    bands = {(band["side"], band["take"]): band["runs"] for band in found["contacts"]}
    assert set(bands) == {(side, key) for side in ("left", "right") for key in ("before", "after")}
    standing = np.zeros(len(x), bool)
    for start, stop in bands["left", "after"]:
        standing[start:stop] = True
    assert standing[5:55].all()
    assert not standing[75:105].any()
    row = next(row for row in found["metrics"] if row["label"] == "Foot slide")
    # A tenth of a metre in four seconds, of one of two feet.
    assert row["values"]["before"] == pytest.approx(0.5 * 100 / (len(x) - 1) * 30, rel=0.1)
    assert row["values"]["after"] < 1


def test_someone_told_relative_to_the_hips_stands_on_no_ground():
    x, names = walking()
    still = x - x[:, :2].mean(axis=1, keepdims=True)
    found, _ = shown(motion(still, joints=names, metres=1.0, up="y"))
    assert found["contacts"] == []
    assert "no foot contacts: the person is told relative to the hips" in found["notes"]
    assert "Foot slide" not in [row["label"] for row in found["metrics"]]


def test_two_dimensions_channels_and_several_people():
    flat = body(30, size=2) * 100
    found, arrays = shown(motion(flat), motion(flat), motion(flat + 1.0))
    assert (found["size"], found["unit"], found["errors"]["error"]) == (2, "px", "px")
    assert_allclose(arrays["error.after"], 0, atol=1e-4)
    assert found["scene"]["turn"][1] == [0, -1, 0]
    values = np.random.default_rng(0).normal(size=(30, 3))
    found, arrays = shown(motion(values, joints=("a", "b", "c")), motion(values, joints=("a", "b", "c")))
    assert (found["size"], found["joints"]) == (1, ["a", "b", "c"])
    assert_allclose(arrays["positions.after"][..., 0], values.astype(np.float32))
    one = motion(body(30), metres=1.0)
    two = dataclasses.replace(
        one.people[0], id="7", tracks={"body": Track(body(30, seed=9), "position", "body", LIMBS)}
    )
    both = dataclasses.replace(one, people=(*one.people, two))
    found, arrays = shown(both, both, person="7")
    assert found["person"] == "7"
    assert_allclose(arrays["positions.before"], body(30, seed=9), rtol=1e-6)


def test_up_is_up_and_left_stays_left():
    x, names = walking()
    for up, turned in (("y", x), ("z", x[..., [0, 2, 1]] * [1, -1, 1]), ("-y", x * [1, -1, -1])):
        # Stated, and told by where the feet are.
        for how in ({"up": up}, {}):
            found, arrays = shown(motion(turned, joints=names, metres=1.0, **how))
            drawn = arrays["positions.take"] @ np.array(found["scene"]["turn"]).T
            assert_allclose(drawn, x, atol=1e-6)
            assert found["scene"]["ground"] == pytest.approx(0.08, abs=0.01)
            # Left is at positive x, so the person looks along z.
            assert found["scene"]["facing"] == pytest.approx(0, abs=0.05)


def test_bodies_are_posed_by_the_turns_in_the_page():
    take = formats.read(TAKES / "dance_smplh_truth.npz")
    found, arrays = shown(take, take, body=True)
    assert found["body"]["licence"] is None
    count = len(arrays["body.vertices"])
    assert arrays["body.faces"].max() == count - 1
    assert_allclose(arrays["body.weights"].sum(1), 1, atol=1e-6)
    turns = arrays["body.turns.after"] / found["body"]["steps"]
    assert turns.shape == (298, 24, 4)
    assert_allclose(np.linalg.norm(turns, axis=-1), 1, atol=1e-4)
    # The page's skinning, written out for one frame, against that of the package.
    from smpl_tools.bodies.free_body import free_body
    from smpl_tools.bodies.person_body import person_body
    from smpl_tools.bodies.posing import posed_vertices
    from smpl_tools.rotations import quat_wxyz_to_matrix

    model = free_body()
    frame = 150
    local = quat_wxyz_to_matrix(turns[frame])
    rest, parents = arrays["body.rest"].astype(np.float64), arrays["body.parents"]
    turned, placed = np.empty((24, 3, 3)), np.empty((24, 3))
    for j, parent in enumerate(parents):
        turned[j] = local[j] if parent < 0 else turned[parent] @ local[j]
        placed[j] = rest[0] if parent < 0 else placed[parent] + turned[parent] @ (rest[j] - rest[parent])
    moved = np.einsum("jab,vjb->vja", turned, arrays["body.vertices"][:, None] - rest) + placed
    weights = np.zeros((count, 24))
    np.put_along_axis(weights, arrays["body.joints"].astype(int), arrays["body.weights"], axis=1)
    own = np.einsum("vj,vja->va", weights, moved)
    expected = next(posed_vertices(model, person_body(take.people[0], model).rotations, frames=[frame]))[0]
    assert_allclose(own, expected, atol=2e-4)


def test_a_model_of_the_user_s_goes_into_a_page_with_their_word_only(tmp_path: Path):
    take = formats.read(TAKES / "dance_smplh_truth.npz")
    file = tmp_path / "SMPL_NEUTRAL.pkl"
    write_smpl(file)
    with pytest.raises(
        ValueError, match="permission to share it: expected --share-template, since the page would hold"
    ):
        report_data(take, body_model=file)
    found, arrays = shown(take, body_model=file, share_template=True)
    assert len(arrays["body.vertices"])
    assert "licen" in found["body"]["licence"].lower()


def refusal(*motions: Motion | None, **how: Any) -> str:
    with pytest.raises(ValueError, match="expected") as caught:
        report_data(*motions, **how)  # type: ignore[arg-type]
    return str(caught.value)


def test_what_does_not_belong_together_is_refused():
    one = motion(body(20), metres=1.0)
    assert (
        refusal(one, motion(body(19), metres=1.0)) == "frames after: expected the 20 frames before, received 19 frames"
    )
    assert refusal(one, motion(body(20, joints=3), metres=1.0)) == (
        "joints after: expected the 4 joints before, in 3D, received 3 joints in 3D"
    )
    assert refusal(one, motion(body(20), fps=60.0)) == "frame rate after: expected 30, as before, received 60"
    assert refusal(one, None, motion(body(20), fps=60.0)) == (
        "frame rate of the ground truth: expected 30, as before, received 60"
    )
    assert refusal(one, one, motion(body(25), metres=1.0)) == (
        "frames of the ground truth: expected the 20 frames before, received 25 frames"
    )
    assert refusal(one, one, motion(body(20, size=2))) == (
        "joints of the ground truth: expected the 4 joints before, in 3D, received 4 joints in 2D"
    )
    assert refusal(one, person="7") == "person: expected one of 0, received '7'"
    assert refusal(motion(body(2))) == "frames to show: expected at least 3, received 2"
    assert refusal(motion(np.full((9, 2, 3), np.nan))) == (
        "values to show: expected at least one observed joint, received only NaN"
    )
    assert refusal(one, body=True) == "a.npy: tracks to draw a body from: expected SMPL poses, received body"
    assert "people" in refusal(one, dataclasses.replace(one, people=()))


def test_the_truth_may_have_its_joints_in_another_order():
    values = body(20)
    order = [2, 0, 3, 1]
    truth = motion(values[:, order], joints=tuple(LIMBS[j] for j in order), metres=1.0)
    found, arrays = shown(motion(values, metres=1.0), None, truth)
    assert_array_equal(arrays["positions.truth"], arrays["positions.before"])
    assert_allclose(arrays["error.before"], 0, atol=1e-6)
    assert [take["key"] for take in found["takes"]] == ["before", "truth"]


def test_what_is_packed_comes_out_again_the_same():
    arrays: dict[str, Any] = {
        "a": np.arange(7, dtype=np.uint8),
        "b": np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32),
        "c": np.array([[1, -2]], np.int16),
    }
    content = joined({"text": "é</script>", "none": float("nan")}, arrays)
    document, found = parted(unpacked(packed(content)))
    assert document == {"text": "é</script>", "none": None}
    for name, array in arrays.items():
        assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_names_stay_text_in_the_page(tmp_path: Path):
    evil = "</script><script>alert(1)</script>"
    one = motion(body(20), f"{evil}.npy".replace("/", "∕"), joints=(evil, "b", "c", "d"), metres=1.0)
    text = page(report_data(one, one), evil)
    assert "alert(1)" not in text.replace("&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;", "")
    assert text.count("<script") == text.count("</script>") == 2 + len(LIBRARIES) + text.count('data-part="module:')
    out = tmp_path / "report.html"
    size = write_report(out, one, one)
    assert out.stat().st_size == size
    assert out.read_bytes() == page(report_data(one, one), f"{one.path} · {one.path}").encode()


def test_the_page_asks_for_nothing_beyond_itself():
    text = page(report_data(motion(body(20))), "x")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "connect-src 'none'" in policy[1]
    assert "http:" not in policy[1]
    # What is not compressed names no address: the namespaces of SVG are none.
    assert set(re.findall(r"https?://[^'\"\s)]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert "connect-src 'self'" in page(report_data(motion(body(20))), "x", live="1")


def test_the_libraries_are_those_of_their_provenance():
    folder = REPOSITORY / "assets" / "web"
    told = dict(re.findall(r"^([0-9a-f]{64})  (\S+)$", (folder / "README.md").read_text(encoding="utf-8"), re.M))
    sums = {name: digest for digest, name in told.items()}
    files = {path.name for path in folder.iterdir()} - {"README.md"}
    assert set(sums) == files
    assert set(LIBRARIES.values()) <= files
    for name, digest in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
