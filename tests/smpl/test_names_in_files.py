"""Names that a file carries are no paths: whatever they are, nothing is written outside the output's folder."""

from __future__ import annotations

import contextlib
import dataclasses
import pickle

import numpy as np
import pytest

from smpl_tools.convert import make, makeable, prepared_for
from smpl_tools.formats import FORMATS, read
from tests.smpl import test_survival
from tests.smpl.cli_helpers import Program
from tests.smpl.hostile_files import npz
from tests.smpl.test_hostile_pickles import array

NAMES = {
    "up": "../../escaped",
    "up, as on Windows": "..\\..\\escaped",
    "absolute": "/escaped",
    "a drive": "C:\\escaped",
    "dots": "..",
    "a dot": ".",
    "a home": "~/escaped",
    "zeros": "a\0b",
    "lines": "a\nMOTION\nFrames: 9",
    "escapes": "\x1b[2Ja\r",
    "long": "x" * 5000,
    "long, of three bytes each": "名" * 300,
    "braces": "a{b}c",
    "quotes": "a\"b',;\tc",
    "a device": "CON",
    "a variable": "$HOME/`id`",
    "blank": " ",
    "Greek": "Αλέξανδρος",
    "Arabic": "يوسف",
    "Japanese": "鈴木",
    "emoji": "\U0001f57a\U0001f3fd",
    "turned round": "\u202egpj.exe",
}
EVERY = pytest.mark.parametrize("title", NAMES)


@pytest.fixture
def home(tmp_path):
    """A folder around the output's, in which nothing else may appear."""
    inner = tmp_path / "a" / "b" / "c"
    (inner / "out").mkdir(parents=True)
    return inner


def everything(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file())


def check_contained(tmp_path, home, source, before):
    for path in set(everything(tmp_path)) - before:
        assert path.is_relative_to(home / "out"), path
        assert path.resolve().is_relative_to(home / "out"), path
        assert path.name.isprintable() or path == source
        assert len(path.name.encode()) <= 255


def wham_of(path, *names):
    record = {"pose": np.zeros((3, 72)), "trans": np.zeros((3, 3)), "frame_ids": np.arange(3)}
    path.write_bytes(pickle.dumps({name: {k: v.copy() for k, v in record.items()} for name in names}, 4))
    return path


@EVERY
@pytest.mark.parametrize("to", ["amass", "bvh", "gvhmr", "tram", "aist", "array", "motionbert", "mediapipe"])
def test_ids_of_people_are_no_paths(tmp_path, home, capsys, title, to):
    source = wham_of(home / "take.pkl", NAMES[title], "other")
    before, program = set(everything(tmp_path)), Program(capsys)
    ran = program("convert", source, "-o", home / "out", "--to", to)
    made = set(everything(tmp_path)) - before
    if ran.status:
        assert ran.err.startswith("error: ")
        assert ran.err.count("\n") == 1
    else:
        assert len(made) == 2
    check_contained(tmp_path, home, source, before)


@EVERY
@pytest.mark.parametrize("to", [name for name in makeable() if "people" in FORMATS[name].keeps])
def test_ids_of_people_within_a_file_or_folder(tmp_path, home, capsys, title, to):
    source = wham_of(home / "take.pkl", NAMES[title], "other")
    before, program = set(everything(tmp_path)), Program(capsys)
    suffix = FORMATS[to].suffixes[0] if FORMATS[to].suffixes else ""
    ran = program("convert", source, "-o", home / "out" / f"take{suffix}", "--to", to, "--from-fps", 30)
    if ran.status:
        assert ran.err.startswith("error: ")
        assert ran.err.count("\n") == 1
    check_contained(tmp_path, home, source, before)
    for path in (home / "out").iterdir():
        if FORMATS[to].read is not None:
            assert len(read(path).people) == 2


@EVERY
def test_names_of_joints_are_no_paths_and_come_back(tmp_path, home, capsys, title):
    joints = array(np.array([NAMES[title], "b"]))
    source = home / "take.npz"
    source.write_bytes(npz(motion=array(np.random.default_rng(0).random((9, 2, 3))), joints=joints))
    before, program = set(everything(tmp_path)), Program(capsys)
    for to in ("csv", "array", "smoothnet", "humandata-joints", "phalp", "bvh"):
        suffix = FORMATS[to].suffixes[-1]
        program(
            "convert", source, "-o", home / "out" / f"{to}{suffix}", "--to", to, "--from-fps", 30, "--from-unit", "m"
        )
    program("refine", source, "-o", home / "out" / "refined.npz")
    assert program("info", source).status == 0
    check_contained(tmp_path, home, source, before)
    if "\0" not in NAMES[title]:
        assert read(home / "out" / "refined.npz").people[0].tracks["motion"].joints == (NAMES[title], "b")
        # The first line is looked for in the beginning of a file.
        if title != "long":
            again = read(home / "out" / "csv.csv", format="csv").people[0].tracks["joints"]
            name = "".join(c if c.isprintable() else "_" for c in NAMES[title])
            assert again.joints == (name.strip() or "_", "b")


@EVERY
def test_names_of_pictures_are_no_paths(tmp_path, home, capsys, title):
    frames = {f"{NAMES[title]}/{k}.jpg": _phalp_frame(k) for k in range(3)}
    source = home / "take.pkl"
    source.write_bytes(pickle.dumps(frames))
    before, program = set(everything(tmp_path)), Program(capsys)
    assert program("refine", source, "-o", home / "out" / "refined.pkl").status == 0
    assert program("convert", source, "-o", home / "out" / "folder", "--to", "easymocap").status == 0
    check_contained(tmp_path, home, source, before)
    assert list(pickle.loads((home / "out" / "refined.pkl").read_bytes())) == list(frames)


def _phalp_frame(number):
    turn = np.eye(3)[None]
    smpl = {"global_orient": turn, "body_pose": np.repeat(turn, 23, axis=0), "betas": np.zeros(10)}
    return {"time": number, "tid": [1], "smpl": [smpl], "camera": [np.zeros(3)], "tracked_time": [0]}


@EVERY
def test_names_of_members_are_no_paths(tmp_path, home, capsys, title):
    members = {"motion": array(np.random.default_rng(0).random((9, 2, 3))), NAMES[title]: array(np.zeros(1))}
    source = home / "take.npz"
    source.write_bytes(npz(**members))
    before, program = set(everything(tmp_path)), Program(capsys)
    program("refine", source, "-o", home / "out" / "refined.npz")
    check_contained(tmp_path, home, source, before)


@EVERY
def test_names_of_bones_stay_names(tmp_path, home, title):
    motion = test_survival.CASES["rig"]()["joint names"]
    bad = NAMES[title]
    joints = (bad, *motion.skeleton.joints[1:])
    person = motion.people[0]
    tracks = {
        name: track.replace(joints=(bad,)) if track.part == "root" else track for name, track in person.tracks.items()
    }
    skeleton = dataclasses.replace(motion.skeleton, joints=joints)
    motion = dataclasses.replace(motion, people=(dataclasses.replace(person, tracks=tracks),), skeleton=skeleton)
    before = set(everything(tmp_path))
    for to, suffix in (("bvh", ".bvh"), ("gltf", ".glb"), ("gltf", ".gltf")):
        with contextlib.suppress(ValueError):
            make(prepared_for(motion, to)[0], to, home / "out" / f"take{suffix}")
    check_contained(tmp_path, home, None, before)
    if (home / "out" / "take.bvh").exists():
        again = read(home / "out" / "take.bvh")
        assert len(again.skeleton.joints) == len(joints)
        assert len(again.people[0].frames) == len(person.frames)


def test_links_are_followed_to_where_they_point_and_inputs_stay(tmp_path, home, capsys):
    source = wham_of(home / "take.pkl", "one", "other")
    kept = source.read_bytes()
    (home / "out" / "take.one.npz").symlink_to(source)
    program = Program(capsys)
    assert "exists already" in program.refused("convert", source, "-o", home / "out", "--to", "amass")
    (tmp_path / "elsewhere").mkdir()
    (home / "linked").symlink_to(tmp_path / "elsewhere")
    assert program("convert", source, "-o", home / "linked", "--to", "amass").status == 0
    assert len(everything(tmp_path / "elsewhere")) == 2
    assert source.read_bytes() == kept
