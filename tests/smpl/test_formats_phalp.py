"""PHALP's and 4D-Humans' results."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smpl_tools.contents import as_content
from smpl_tools.formats import FORMATS, detect, read, write
from smpl_tools.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from smpl_tools.skeleton import SMPL
from tests.smpl.format_helpers import assert_close, assert_same, loaded, plus, saved, smpl_motion, smpl_person


def smpl(rng):
    vectors = rng.normal(0, 0.5, (24, 3))
    matrices = axis_angle_to_matrix(vectors).astype(np.float32)
    return {"betas": rng.normal(size=10).astype(np.float32), "body_pose": matrices[1:], "global_orient": matrices[:1]}


def phalp(names=None):
    """Return five frames: person 1 in all, lost in frames 2 and 3 (ghosts there), person 4 in frames 1 to 3."""
    rng = np.random.default_rng(3)
    people = {0: [(1, 0)], 1: [(1, 0), (4, 0)], 2: [(4, 0), (1, 1)], 3: [(1, 2), (4, 0)], 4: [(1, 0)]}
    results, last = {}, {}
    for time, there in people.items():
        name = (names or "outputs/_DEMO/take/img/{:06d}.jpg").format(time + 1)
        frame = {"time": time, "shot": 0, "frame_path": name}
        frame |= {key: [] for key in ("tracked_ids", "tracked_bbox", "tid", "bbox", "tracked_time", "conf", "mask")}
        frame |= {key: [] for key in ("size", "smpl", "camera", "camera_bbox", "3d_joints", "2d_joints")}
        for ident, lost in there:
            if not lost:
                last[ident] = {
                    "smpl": smpl(rng),
                    "camera": rng.normal(size=3).astype(np.float32) + np.float32([0, 0, 40]),
                    "camera_bbox": rng.normal(size=3).astype(np.float32),
                    "3d_joints": rng.normal(size=(45, 3)).astype(np.float32),
                    "2d_joints": rng.normal(size=90).astype(np.float32),
                    "size": [1080, 1920],
                    "mask": {"size": [1080, 1920], "counts": b"rle"},
                    "conf": np.float32(0.9),
                }
                frame["tracked_ids"].append(ident)
                frame["tracked_bbox"].append(np.arange(4.0))
            frame["tid"].append(ident)
            frame["bbox"].append(np.arange(4.0))
            frame["tracked_time"].append(lost)
            for key, value in last[ident].items():
                frame[key].append({**value} if isinstance(value, dict) else value)
        results[name] = frame
    return results


def test_what_is_read(tmp_path):
    content = phalp()
    motion = read(saved(tmp_path / "in.pkl", content))
    assert (motion.format, motion.fps, motion.skeleton) == ("phalp", 30, SMPL)
    assert motion.notes == (
        "frame rate not stated in the file: 30 frames a second assumed",
        "2 poses of people who were lost repeat the last one seen: left out, kept in the file",
        "3d_joints, 2d_joints: kept as they are, so they show the pose before refinement",
    )
    assert [(p.id, p.frames.tolist()) for p in motion.people] == [("1", [0, 1, 4]), ("4", [1, 2, 3])]
    person = motion.people[1]
    assert {n: (t.kind, t.part, t.values.shape, t.up, t.metres) for n, t in person.tracks.items()} == {
        "global_orient": ("rotation_matrix", "root", (3, 1, 3, 3), "-y", None),
        "body_pose": ("rotation_matrix", "body", (3, 23, 3, 3), None, None),
        "betas": ("channels", "shape", (3, 10), None, None),
        "transl": ("position", "root", (3, 1, 3), "-y", 1.0),
        "camera_bbox": ("channels", "camera", (3, 3), None, None),
    }
    third = list(content.values())[2]
    assert np.array_equal(person.tracks["body_pose"].values[1], third["smpl"][0]["body_pose"])
    assert np.array_equal(person.tracks["transl"].values[1, 0], third["camera"][0])
    assert person.tracks["transl"].values.dtype == np.float32


def test_ghosts_are_told_by_tracked_ids_where_no_time_is_counted(tmp_path):
    content = phalp()
    for frame in content.values():
        del frame["tracked_time"]
    motion = read(saved(tmp_path / "in.pkl", content))
    assert [p.frames.tolist() for p in motion.people] == [[0, 1, 4], [1, 2, 3]]


def test_predictions_in_place_of_ghosts_are_read_and_named(tmp_path):
    content = phalp()
    frame = list(content.values())[2]
    frame["tracked_time"][1] = -1
    motion = read(saved(tmp_path / "in.pkl", content), fps=25)
    assert motion.fps == 25
    assert motion.people[0].frames.tolist() == [0, 1, 2, 4]
    assert "1 poses were predicted while the person was lost (tracked_time -1)" in motion.notes


@pytest.mark.parametrize("compress", [0, 3])
def test_an_unchanged_motion_is_the_same_content(tmp_path, compress):
    joblib = pytest.importorskip("joblib", reason="joblib, which writes such files, is not installed")
    joblib.dump(phalp(), tmp_path / "in.pkl", compress=compress)
    assert detect(tmp_path / "in.pkl").name == "phalp"
    write(read(tmp_path / "in.pkl"), tmp_path / "out.pkl")
    assert_same(joblib.load(tmp_path / "out.pkl"), phalp())


@pytest.mark.parametrize(
    ("track", "place"),
    [
        ("global_orient", ("smpl", 0, "global_orient")),
        ("body_pose", ("smpl", 0, "body_pose")),
        ("betas", ("smpl", 0, "betas")),
        ("transl", ("camera", 0)),
        ("camera_bbox", ("camera_bbox", 0)),
    ],
)
def test_a_changed_row_lands_in_its_place_and_nowhere_else(tmp_path, track, place):
    motion = read(saved(tmp_path / "in.pkl", phalp()))
    write(plus(motion, 1, track, 0.5, row=1), tmp_path / "out.pkl")
    expected = phalp()
    holder = list(expected.values())[2]
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = holder[place[-1]] + np.float32(0.5)
    assert_same(loaded(tmp_path / "out.pkl"), expected)
    assert_same(motion.source.content, phalp())


def test_someone_who_is_twice_in_a_frame_is_written_twice(tmp_path):
    content = phalp()
    frame = next(iter(content.values()))
    for key in ("tid", "tracked_time", "smpl", "camera", "camera_bbox"):
        frame[key].append(frame[key][0])
    motion = read(saved(tmp_path / "in.pkl", content))
    assert motion.people[0].frames.tolist() == [0, 1, 4]
    write(plus(motion, 0, "transl", 1), tmp_path / "out.pkl")
    frame = next(iter(loaded(tmp_path / "out.pkl").values()))
    assert np.array_equal(frame["camera"][0], frame["camera"][1])


def test_times_that_do_not_rise_are_not_frame_numbers(tmp_path):
    content = phalp()
    for frame in content.values():
        frame["time"] = 7
    assert read(saved(tmp_path / "in.pkl", content)).people[0].frames.tolist() == [0, 1, 4]
    for number, frame in enumerate(content.values()):
        frame["time"] = 100 + number
    assert read(saved(tmp_path / "in.pkl", content)).people[0].frames.tolist() == [100, 101, 104]


def test_a_camera_that_is_not_always_there_is_no_track(tmp_path):
    content = phalp()
    list(content.values())[1]["camera_bbox"][1] = None
    motion = read(saved(tmp_path / "in.pkl", content))
    assert ["camera_bbox" in p.tracks for p in motion.people] == [True, False]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from([np.float32, np.float64]), st.sampled_from([21, 23]))
def test_a_new_file_reads_back(tmp_path_factory, seed, dtype, body):
    path = tmp_path_factory.getbasetemp() / "new.pkl"
    people = (
        smpl_person("2", (5, 6, 9), seed=seed, dtype=dtype, body=body, extra=("betas",), up="-y"),
        smpl_person("7", (0, 4, 5), seed=seed + 1, dtype=dtype, body=body, extra=("betas",), up="-y"),
    )
    motion = smpl_motion(*people)
    FORMATS["phalp"].make(motion, path)
    assert detect(path).name == "phalp"
    again = read(path)
    assert_close(as_content(again, "smpl")[0], motion, atol=2e-6)
    content = loaded(path)
    assert list(content) == [f"{k:06d}.jpg" for k in range(10)]
    assert [f["tid"] for f in content.values()] == [[7], [], [], [], [7], [2, 7], [2], [], [], [2]]
    first = content["000000.jpg"]
    assert {len(v) for v in first.values() if isinstance(v, list)} == {1}
    vectors = matrix_to_axis_angle(first["smpl"][0]["global_orient"].astype(np.float64))
    np.testing.assert_allclose(vectors, people[1].tracks["global_orient"].values[0], atol=1e-6)


def test_names_that_are_no_numbers_are_numbered(tmp_path):
    FORMATS["phalp"].make(smpl_motion(smpl_person("ann"), smpl_person("7")), tmp_path / "new.pkl")
    assert [p.id for p in read(tmp_path / "new.pkl").people] == ["1", "2"]


@pytest.mark.parametrize(
    ("motion", "message"),
    [
        (smpl_motion(smpl_person(frames=(-1, 0))), "frame numbers for PHALP results: expected 0 and more, received -1"),
        (smpl_motion(smpl_person(frames=())), "people for PHALP results: expected at least one, received nobody"),
    ],
)
def test_what_cannot_be_made(tmp_path, motion, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        FORMATS["phalp"].make(motion, tmp_path / "new.pkl")
    assert not (tmp_path / "new.pkl").exists()


FIRST = "outputs/_DEMO/take/img/000001.jpg"
CHANGES = [
    ({"tid": "1"}, f"tid of frame {FIRST}: expected a list of whole numbers, received a str"),
    ({"tid": [1.5]}, f"tid of frame {FIRST}: expected a list of whole numbers, received a list"),
    ({"tracked_time": [None]}, f"tracked_time of frame {FIRST}: expected numbers, received a NoneType"),
    ({"smpl": []}, f"smpl of frame {FIRST}: expected a list of 1, as tid, received 0"),
    ({"smpl": {}}, f"smpl of frame {FIRST}: expected a list of 1, as tid, received a dict"),
    (
        {"smpl": [{"global_orient": np.zeros((1, 3)), "body_pose": np.zeros((23, 3, 3))}]},
        f"global_orient of person 1 in frame {FIRST}: expected an array (1, 3, 3) of floats, received (1, 3) of",
    ),
    (
        {"smpl": [{"global_orient": np.zeros((1, 3, 3))}]},
        f"body_pose of person 1 in frame {FIRST}: expected an array (23, 3, 3) of floats, received something else",
    ),
    (
        {"camera": [np.zeros(2, np.float32)]},
        f"camera of person 1 in frame {FIRST}: expected an array (3,) of floats, received (2,) of float32",
    ),
    (
        {"smpl": [{**smpl(np.random.default_rng(0)), "betas": np.zeros(16, np.float32)}]},
        "betas of person 1: expected the same size in every frame, received [(10,), (16,)]",
    ),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_bad_entries_are_refused(tmp_path, change, message):
    content = phalp()
    content[FIRST].update(change)
    path = saved(tmp_path / "in.pkl", content)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_another_pickle_is_refused_and_an_attack_too(tmp_path):
    path = saved(tmp_path / "in.pkl", {"a": {"tid": []}})
    message = (
        f"{path}: content: expected a dictionary of frames, each with tid and smpl, received a dictionary with 'a'"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        read(path, format="phalp")

    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'canary'}",)

    content = phalp()
    content[FIRST]["mask"] = Attack()
    with pytest.raises(ValueError, match=r"in\.pkl: refused: .*system.* nothing was run"):
        read(saved(path, content))
    assert not (tmp_path / "canary").exists()
