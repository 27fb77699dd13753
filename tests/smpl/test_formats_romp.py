"""Results of simple_romp."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smpl_tools.formats import FORMATS, detect, read, write
from smpl_tools.skeleton import SMPL
from tests.smpl.format_helpers import assert_close, assert_same, plus, smpl_motion, smpl_person


def boxed(value):
    box = np.empty((), object)
    box[()] = value
    return box


def saved(path, **contents):
    np.savez(path, **{key: boxed(value) for key, value in contents.items()})
    return path


def loaded(path):
    with np.load(path, allow_pickle=True) as archive:
        return {key: archive[key][()] for key in archive.files}


def frame(rng, idents, *, betas=10, tracked=True, places=None):
    """Return what simple_romp gives for one image with as many people as there are ids."""
    count = len(idents)
    thetas = rng.normal(0, 0.5, (count, 72)).astype(np.float32)
    record = {
        "cam": rng.normal(size=(count, 3)).astype(np.float32),
        "global_orient": thetas[:, :3].copy(),
        "body_pose": thetas[:, 3:].copy(),
        "smpl_betas": rng.normal(size=(count, betas)).astype(np.float32),
        "smpl_thetas": thetas,
        "center_confs": rng.uniform(size=(count, 1)).astype(np.float32),
        "cam_trans": (rng.normal(size=(count, 3)) if places is None else np.array(places)).astype(np.float32),
        "verts": rng.normal(size=(count, 7, 3)).astype(np.float32),
        "joints": rng.normal(size=(count, 71, 3)).astype(np.float32),
    }
    if tracked:
        record["track_ids"] = np.array(idents, np.int32)
    return record


def video(names="{:08d}.png", smoothed=False):
    """Return results and sequences of five frames, as ``save_video_results`` collects them."""
    rng = np.random.default_rng(5)
    people = [[1, 2], [2, 1], [1], [1], [2, 1]]
    results = {names.format(k): frame(rng, idents) for k, idents in enumerate(people)}
    sequences = {}
    for number, record in enumerate(results.values()):
        if smoothed:
            record["smpl_thetas"] = record["smpl_thetas"] + np.float32(0.01)
        for index, ident in enumerate(record["track_ids"]):
            sequence = sequences.setdefault(ident, {"frame_id": []})
            sequence["frame_id"].append(number)
            for key, values in record.items():
                sequence.setdefault(key, []).append(np.array(values[index]))
    return {"results": results, "sequence_results": sequences}


def test_what_is_read(tmp_path):
    content = video()
    path = saved(tmp_path / "in.npz", **content)
    assert detect(path).name == "romp"
    motion = read(path)
    assert (motion.fps, motion.skeleton) == (None, SMPL)
    assert motion.notes == (
        "frame rate not stated in the file",
        "verts, joints: kept as they are, so they show the pose before refinement",
    )
    assert [(p.id, p.frames.tolist()) for p in motion.people] == [("1", [0, 1, 2, 3, 4]), ("2", [0, 1, 4])]
    person = motion.people[1]
    assert {n: (t.kind, t.part, t.values.shape, t.up, t.metres) for n, t in person.tracks.items()} == {
        "global_orient": ("axis_angle", "root", (3, 1, 3), "-y", None),
        "body_pose": ("axis_angle", "body", (3, 23, 3), None, None),
        "betas": ("channels", "shape", (3, 10), None, None),
        "transl": ("position", "root", (3, 1, 3), "-y", 1.0),
        "cam": ("channels", "camera", (3, 3), None, None),
    }
    fifth = content["results"]["00000004.png"]
    assert np.array_equal(person.tracks["body_pose"].values[2].reshape(-1), fifth["smpl_thetas"][0, 3:])
    assert np.array_equal(person.tracks["transl"].values[2, 0], fifth["cam_trans"][0])


@pytest.mark.parametrize("compressed", [False, True])
def test_an_unchanged_motion_is_the_same_content(tmp_path, compressed):
    (np.savez_compressed if compressed else np.savez)(tmp_path / "in.npz", **{k: boxed(v) for k, v in video().items()})
    write(read(tmp_path / "in.npz"), tmp_path / "out.npz")
    assert_same(loaded(tmp_path / "out.npz"), video())


@pytest.mark.parametrize(
    ("track", "keys"),
    [
        ("global_orient", [("smpl_thetas", slice(0, 3)), ("global_orient", slice(0, 3))]),
        ("body_pose", [("smpl_thetas", slice(3, 72)), ("body_pose", slice(0, 69))]),
        ("transl", [("cam_trans", slice(0, 3))]),
        ("betas", [("smpl_betas", slice(0, 10))]),
        ("cam", [("cam", slice(0, 3))]),
    ],
)
def test_a_changed_row_lands_in_all_its_places_and_nowhere_else(tmp_path, track, keys):
    motion = read(saved(tmp_path / "in.npz", **video()))
    write(plus(motion, 0, track, 0.5, row=4), tmp_path / "out.npz")
    expected = video()
    for key, columns in keys:
        for row in (expected["results"]["00000004.png"][key][1], expected["sequence_results"][1][key][4]):
            row[columns] += np.float32(0.5)
    assert_same(loaded(tmp_path / "out.npz"), expected)
    assert_same({k: v[()] for k, v in motion.source.records.content.items()}, video())


def test_a_pose_that_romp_smoothed_leaves_the_raw_one_alone(tmp_path):
    motion = read(saved(tmp_path / "in.npz", **video(smoothed=True)))
    write(plus(motion, 0, "body_pose", 1), tmp_path / "out.npz")
    new, old = loaded(tmp_path / "out.npz")["results"], video(smoothed=True)["results"]
    for name in old:
        assert np.array_equal(new[name]["body_pose"], old[name]["body_pose"])
    assert not np.array_equal(new["00000000.png"]["smpl_thetas"], old["00000000.png"]["smpl_thetas"])


def test_sequences_that_say_something_else_are_left_alone(tmp_path):
    content = video()
    content["sequence_results"][1]["cam_trans"][0] = content["sequence_results"][1]["cam_trans"][0] + np.float32(1)
    motion = read(saved(tmp_path / "in.npz", **content))
    assert "sequence_results of person 1 differs from results and is left as it is" in motion.notes
    before = content["sequence_results"][1]["cam_trans"][0].copy()
    write(plus(motion, 0, "transl", 3), tmp_path / "out.npz")
    assert np.array_equal(loaded(tmp_path / "out.npz")["sequence_results"][1]["cam_trans"][0], before)


@pytest.mark.parametrize("stacked", [False, True])
def test_sequences_alone(tmp_path, stacked):
    sequences = video()["sequence_results"]
    if stacked:
        sequences = {i: {k: np.array(v) for k, v in s.items()} for i, s in sequences.items()}
    motion = read(saved(tmp_path / "in.npz", results={}, sequence_results=sequences))
    assert [(p.id, p.frames.tolist()) for p in motion.people] == [("1", [0, 1, 2, 3, 4]), ("2", [0, 1, 4])]
    write(plus(motion, 1, "transl", 1, row=0), tmp_path / "out.npz")
    found = loaded(tmp_path / "out.npz")["sequence_results"][2]["cam_trans"][0]
    assert np.array_equal(found, sequences[2]["cam_trans"][0] + np.float32(1))


def test_one_image(tmp_path):
    record = frame(np.random.default_rng(0), [0, 0], tracked=False, betas=11)
    motion = read(saved(tmp_path / "in.npz", results=record))
    assert [(p.id, p.frames.tolist()) for p in motion.people] == [("0", [0]), ("1", [0])]
    assert motion.people[1].tracks["betas"].values.shape == (1, 11)
    write(motion, tmp_path / "out.npz")
    assert_same(loaded(tmp_path / "out.npz")["results"], record)


def test_without_track_ids_people_are_matched(tmp_path):
    rng = np.random.default_rng(1)
    still = {0: rng.normal(0, 0.3, 72), 1: rng.normal(0, 0.3, 72)}
    results = {}
    for k, order in enumerate([(0, 1), (1, 0), (1, 0), (0, 1)]):
        places = [[(-1.5, 1.5)[who] + 0.01 * k, 0, 5] for who in order]
        record = frame(rng, order, tracked=False, places=places)
        record["smpl_thetas"] = np.array([still[who] for who in order], np.float32)
        results[f"image_{k + 10}.png"] = record
    motion = read(saved(tmp_path / "in.npz", results=results, sequence_results={}))
    assert [p.frames.tolist() for p in motion.people] == [[10, 11, 12, 13]] * 2
    assert [set(np.sign(p.tracks["transl"].values[:, 0, 0])) for p in motion.people] == [{-1}, {1}]
    assert "people matched across frames; one lost for more than 30 frames returns as a new one" in motion.notes
    for record in results.values():
        del record["cam_trans"]
    with pytest.raises(ValueError, match="people without track ids: expected cam_trans to match them by"):
        read(saved(tmp_path / "in.npz", results=results, sequence_results={}))


def test_an_id_that_is_twice_in_a_frame(tmp_path):
    content = video()
    content["results"]["00000000.png"]["track_ids"][:] = 1
    content["sequence_results"] = {}
    motion = read(saved(tmp_path / "in.npz", **content))
    assert "1 poses have the id of another pose in their frame: left out, kept in the file" in motion.notes
    assert motion.people[0].frames.tolist() == [0, 1, 2, 3, 4]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from([np.float32, np.float64]), st.sampled_from([21, 23]))
def test_a_new_file_reads_back(tmp_path_factory, seed, dtype, body):
    path = tmp_path_factory.getbasetemp() / "new.npz"
    people = (
        smpl_person("2", (5, 6, 9), seed=seed, dtype=dtype, body=body, extra=("betas",), up="-y"),
        smpl_person("7", (3, 4, 5), seed=seed + 1, dtype=dtype, body=body, extra=("betas",), up="-y"),
    )
    motion = smpl_motion(*people)
    FORMATS["romp"].make(motion, path)
    assert detect(path).name == "romp"
    assert_close(read(path), motion, atol=0)
    content = loaded(path)
    assert list(content["results"]) == [f"{k:08d}.png" for k in range(3, 10)]
    assert content["sequence_results"][7]["frame_id"] == [0, 1, 2]
    thetas = np.array(content["sequence_results"][2]["smpl_thetas"])
    assert thetas.shape == (3, 72)
    assert thetas.dtype == dtype
    write(plus(read(path), 0, "transl", 1), path)
    place = np.array(loaded(path)["sequence_results"][2]["cam_trans"])
    np.testing.assert_allclose(place, people[0].tracks["transl"].values[:, 0] + 1, atol=1e-6)


def test_the_camera_of_a_new_file_projects_like_its_translation(tmp_path):
    FORMATS["romp"].make(smpl_motion(smpl_person(frames=range(40))), tmp_path / "new.npz")
    for record in loaded(tmp_path / "new.npz")["results"].values():
        (scale, x, y), place = record["cam"][0], record["cam_trans"][0]
        if place[2] > 0:
            np.testing.assert_allclose(2 * np.array([x / scale, y / scale, 1 / scale]), place, rtol=1e-9)
        else:
            assert not record["cam"].any()


NAME = "00000000.png"
CHANGES = [
    (
        {"smpl_thetas": np.zeros((2, 66), np.float32)},
        f"smpl_thetas of frame {NAME}: expected an array (N, 72) of floats",
    ),
    ({"smpl_thetas": [1]}, f"smpl_thetas of frame {NAME}: expected an array (N, 72) of floats, received a list"),
    (
        {"cam_trans": np.zeros((1, 3))},
        f"cam_trans of frame {NAME}: expected an array (2, 3) of floats, received (1, 3)",
    ),
    ({"smpl_betas": np.zeros((2, 3), int)}, f"smpl_betas of frame {NAME}: expected an array (2, K) of floats"),
    ({"track_ids": np.zeros(3, int)}, f"track_ids of frame {NAME}: expected 2 whole numbers, received (3,) of int64"),
    ({"track_ids": np.zeros(2)}, f"track_ids of frame {NAME}: expected 2 whole numbers, received (2,) of float64"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_bad_arrays_are_refused(tmp_path, change, message):
    content = video()
    content["results"][NAME].update(change)
    path = saved(tmp_path / "in.npz", **content)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")) as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("frames", [[0, 0, 1], [1, 0, 2]])
def test_bad_sequences_are_refused(tmp_path, frames):
    sequence = {"frame_id": frames, "smpl_thetas": list(np.zeros((3, 72), np.float32))}
    path = saved(tmp_path / "in.npz", sequence_results={4: sequence})
    with pytest.raises(ValueError, match=re.escape(f"{path}: frame numbers of person 4: expected strictly increasing")):
        read(path)
    path = saved(tmp_path / "in.npz", sequence_results={4: {**sequence, "frame_id": [0.5]}})
    with pytest.raises(ValueError, match=re.escape(f"{path}: frame_id of person 4: expected 3 whole numbers")):
        read(path)


def test_other_archives_are_not_romp(tmp_path):
    for content in ({"results": {}}, {"results": {"a": {"b": 1}}}, {"results": 3}):
        path = saved(tmp_path / "in.npz", **content)
        with pytest.raises(ValueError, match="unknown format"):
            detect(path)
        expected = f"{path}: content: expected results or sequence_results with smpl_thetas, received results"
        with pytest.raises(ValueError, match=re.escape(expected)):
            read(path, format="romp")
    np.savez(tmp_path / "in.npz", results=np.zeros((4, 17, 3)))
    assert detect(tmp_path / "in.npz").name == "array"
