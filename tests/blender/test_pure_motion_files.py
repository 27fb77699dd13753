"""What needs no Blender of import and export: which files are meant, what armatures remember, rates and bones."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender_addon.files.bone_shapes import forward, limbs, tails
from blender_addon.files.motion_files import (
    Record,
    Stated,
    chosen_paths,
    digest_of,
    folder_of,
    for_animators,
    record_of,
    scene_rate,
)
from smpl_tools.coordinates import up_rotation
from smpl_tools.formats.mediapipe import LANDMARKS
from smpl_tools.skeleton import SMPL, SMPL_H
from tests.helpers import REPOSITORY

RECORD = Record(
    "/a/ü.npz", "00", "amass", "0", "smpl", ("pelvis", "b"), ("pelvis", 'b".001'), 1.0, 3, 29.97, 0.8, "z", 1.0,
    (0.0, 0.0, 1.0), (0.0, -0.2, 0.0), (0.5,), "female", Stated(kind="axis_angle", camera=True),
)  # fmt: skip


def test_a_record_is_what_was_written():
    assert record_of(RECORD.text(), "Hero") == RECORD


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"path": 1}', RECORD.text().replace('"stated"', '"said"')])
def test_a_record_that_is_none(text):
    with pytest.raises(
        ValueError,
        match=r"^Hero: what it remembers of its file: expected as the import wrote it, received something else$",
    ):
        record_of(text, "Hero")


def test_hints_at_the_command_line_are_left_out():
    assert for_animators("unit not known: kept (--from-unit says what it is)") == "unit not known: kept"
    assert for_animators("received 3D positions of joints; smoothnet fit finds poses for positions") == (
        "received 3D positions of joints"
    )
    assert for_animators("a (b) -- c") == "a (b) -- c"


def test_which_files_are_meant(tmp_path):
    for name in ("a.npz", "b.npz"):
        (tmp_path / name).touch()
    both = [tmp_path / "a.npz", tmp_path / "b.npz"]
    assert chosen_paths("", str(tmp_path), ["a.npz", "b.npz", "a.npz"]) == both
    assert chosen_paths(str(both[0]), "", []) == both[:1]
    assert chosen_paths(str(both[0]), str(tmp_path), ["b.npz"]) == both[1:]
    # No file is chosen: the folder is.
    assert chosen_paths("", str(tmp_path), [""]) == [tmp_path]
    assert chosen_paths(str(tmp_path / "typed"), str(tmp_path), []) == [tmp_path]
    assert chosen_paths(str(tmp_path / "gone.npz"), "", []) == [tmp_path / "gone.npz"]
    with pytest.raises(ValueError, match=r"^file to import: expected a file or a folder, received none chosen$"):
        chosen_paths("", "", [])


def test_a_file_alone_is_not_its_folder(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    assert folder_of(tmp_path / "x.json") == tmp_path / "x.json"
    assert folder_of(tmp_path) == tmp_path


def test_a_digest_is_of_the_content(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "folder" / "in").mkdir(parents=True)
    (tmp_path / "folder" / "in" / "b").write_bytes(b"2")
    before = digest_of(tmp_path / "a"), digest_of(tmp_path / "folder")
    assert before == (digest_of(tmp_path / "a"), digest_of(tmp_path / "folder"))
    (tmp_path / "folder" / "in" / "b").rename(tmp_path / "folder" / "in" / "c")
    (tmp_path / "a").write_bytes(b"3")
    assert digest_of(tmp_path / "a") != before[0]
    assert digest_of(tmp_path / "folder") != before[1]
    assert digest_of(tmp_path / "none") == ""


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (30, (30, 1.0)),
        (30000 / 1001, (30, 1.001)),
        (24000 / 1001, (24, 1.001)),
        (60000 / 1001, (60, 1.001)),
        (1 / 0.0333333, (30, 1.0)),
        (1 / 0.008333, (120, 1.0)),
        (12.5, (12, 0.96)),
        (0.5, (1, 2.0)),
    ],
)
def test_rates_of_scenes(fps, expected):
    assert scene_rate(fps) == pytest.approx(expected)


@given(st.floats(0.1, 1000))
def test_every_rate_is_that_of_a_scene(fps):
    whole, base = scene_rate(fps)
    assert whole / base == pytest.approx(fps, rel=2e-4)


def rest(skeleton):
    places = np.zeros((len(skeleton.joints), 3))
    for j, parent in enumerate(skeleton.parents):
        places[j] = skeleton.offsets[j] + (places[parent] if parent >= 0 else 0)
    return places @ up_rotation("y", "z").T


@pytest.mark.parametrize("skeleton", [SMPL, SMPL_H])
def test_bones_go_on_to_the_joint_that_lies_straight_on(skeleton):
    places = rest(skeleton)
    ends = tails(places, skeleton.parents)
    at = {name: j for j, name in enumerate(skeleton.joints)}
    pairs = [("pelvis", "spine1"), ("spine3", "neck"), ("left_hip", "left_knee"), ("right_elbow", "right_wrist")]
    if "left_middle1" in at:
        pairs += [("left_wrist", "left_middle1"), ("right_ring2", "right_ring3")]
    for joint, following in pairs:
        np.testing.assert_array_equal(ends[at[joint]], places[at[following]], err_msg=joint)
    # A last bone goes on where the one before it went.
    went, goes = places[at["head"]] - places[at["neck"]], ends[at["head"]] - places[at["head"]]
    assert np.dot(went, goes) / np.linalg.norm(went) / np.linalg.norm(goes) > 0.999


@given(st.integers(1, 12), st.integers(0, 2**16), st.booleans())
def test_no_bone_is_without_length(count, seed, together):
    rng = np.random.default_rng(seed)
    parents = np.array([-1, *(rng.integers(0, j) for j in range(1, count))])
    places = np.zeros((count, 3)) if together else rng.normal(size=(count, 3))
    places[rng.integers(0, count)] = places[0]
    ends = tails(places, parents)
    size = np.linalg.norm(np.ptp(places, axis=0)) or 1.0
    lengths = np.linalg.norm(ends - places, axis=1)
    assert lengths.min() > 0.0039 * size
    for j in range(count):
        z = np.array(forward(ends[j] - places[j]))
        assert abs(np.dot(z, ends[j] - places[j])) < 0.91 * lengths[j]


def test_known_ends_are_kept():
    places = np.array([[0.0, 0, 0], [0, 0, 1]])
    ends = np.array([[np.nan] * 3, [0, -1, 1]])
    np.testing.assert_array_equal(tails(places, np.array([-1, 0]), ends), [[0, 0, 1], [0, -1, 1]])


def test_joints_that_belong_together():
    pairs = {(LANDMARKS[a], LANDMARKS[b]) for a, b in limbs(LANDMARKS)}
    assert {("left_hip", "left_knee"), ("left_shoulder", "right_shoulder"), ("right_elbow", "right_wrist")} <= pairs
    assert not any({"left", "right"} <= set(f"{a} {b}".replace("_", " ").split()) for a, b in pairs
                   if (a, b) not in (("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")))  # fmt: skip
    assert limbs(("joint_0", "joint_1")) == []
    smpl = {(SMPL.joints[a], SMPL.joints[b]) for a, b in limbs(SMPL.joints)}
    parents = {(SMPL.joints[p], SMPL.joints[j]) for j, p in enumerate(SMPL.parents) if p >= 0}
    assert len(smpl & parents) >= 22


def test_nothing_but_what_the_extension_ships_is_imported():
    code = (
        "import sys, blender_addon.files.figures, blender_addon.files.motion_files, blender_addon.files.written_back\n"
        "import smpl_tools.bodies.fitted_motion, smpl_tools.bodies.free_body, smpl_tools.formats.gltf\n"
        "import smpl_tools.rigs.motions, smpl_tools.convert, smpl_tools.resampling\n"
        "from smpl_tools.bodies.fitting import fit_motion\n"
        "names = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(names & {'torch', 'typer', 'rich', 'click', 'smplx', 'trimesh', 'matplotlib', 'bpy', 'pandas'}))"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
