"""EasyMocap's body parameters."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smpl_tools.coordinates import PELVIS
from smpl_tools.formats import FORMATS, detect, read, write
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X
from tests.smpl.format_helpers import assert_close, plus, smpl_motion, smpl_person

WIDTHS = (63, 66, 69, 72, 78, 87, 156, 165)


def params(ident=0, seed=0, width=72, **changes):
    rng = np.random.default_rng(seed)
    poses = rng.normal(0, 0.3, (1, width)).round(3)
    if width not in (63, 69):
        poses[:, :3] = 0
    record = {
        "id": ident,
        "Rh": rng.normal(0, 1, (1, 3)).round(3).tolist(),
        "Th": rng.normal(0, 1, (1, 3)).round(3).tolist(),
        "poses": poses.tolist(),
        "shapes": rng.normal(0, 1, (1, 10)).round(3).tolist(),
    }
    return {k: v for k, v in {**record, **changes}.items() if v is not None}


def as_easymocap_writes(people):
    """Return the text of ``write_common_results``: three decimals, its own line breaks."""
    out = ["[\n"]
    for number, person in enumerate(people):
        out.append('    {\n        "id": ' + str(person["id"]))
        for key, rows in person.items():
            if key != "id":
                lines = ", \r\n".join("          [" + ", ".join(f"{x:2.3f}" for x in row) + "]" for row in rows)
                out.append(f',\n        "{key}": [\r\n{lines}\r\n        ]')
        out.append("\n    }" + (",\n" if number < len(people) - 1 else "\n"))
    return "".join([*out, "]\n"])


def folder(path, frames, style=as_easymocap_writes):
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    for number, people in frames.items():
        (path / f"{number:06d}.json").write_bytes(style(people).encode())
    return path


def two_people(**more):
    """Return frames 4 to 7: person 0 in all, person 3 in 4, 5 and 7 in changing order."""
    order = {4: (0, 3), 5: (3, 0), 6: (0,), 7: (3, 0)}
    return {n: [params(i, 10 * n + i, **more) for i in who] for n, who in order.items()}


def contents(path):
    return {p.name: p.read_bytes() for p in path.iterdir()}


def test_what_is_read(tmp_path):
    frames = two_people()
    path = folder(tmp_path / "smpl", frames)
    assert detect(path).name == "easymocap"
    motion = read(path)
    assert (motion.fps, motion.skeleton) == (None, SMPL)
    assert motion.notes == (
        "axes: Z up taken for granted, as of a board on the ground",
        "frame rate not stated in the files",
    )
    assert [(p.id, p.frames.tolist()) for p in motion.people] == [("0", [4, 5, 6, 7]), ("3", [4, 5, 7])]
    person, record = motion.people[1], frames[5][0]
    assert {n: (t.kind, t.part, t.values.shape, t.up, t.metres) for n, t in person.tracks.items()} == {
        "global_orient": ("axis_angle", "root", (3, 1, 3), "z", None),
        "body_pose": ("axis_angle", "body", (3, 23, 3), None, None),
        "betas": ("channels", "shape", (3, 10), None, None),
        "transl": ("position", "root", (3, 1, 3), "z", 1.0),
    }
    assert np.array_equal(person.tracks["global_orient"].values[1], record["Rh"])
    assert np.array_equal(person.tracks["body_pose"].values[1].reshape(1, -1), np.array(record["poses"])[:, 3:])
    # The point of the body that lies at x at rest is at R(Rh) x + Th here, at R (x - J) + J + transl in SMPL.
    turn = Rotation.from_rotvec(record["Rh"][0])
    for point in np.random.default_rng(0).normal(size=(5, 3)):
        here = turn.apply(point) + record["Th"][0]
        there = turn.apply(point - PELVIS) + PELVIS + person.tracks["transl"].values[1, 0]
        np.testing.assert_allclose(here, there, atol=1e-12)


@pytest.mark.parametrize("style", [as_easymocap_writes, json.dumps, lambda d: json.dumps({"annots": d}, indent=4)])
def test_an_unchanged_motion_is_the_same_bytes(tmp_path, style):
    path = folder(tmp_path / "smpl", {1: [], **two_people()}, style)
    assert detect(path).name == "easymocap"
    write(read(path), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(path)


@pytest.mark.parametrize("style", [as_easymocap_writes, json.dumps, lambda d: json.dumps({"annots": d}, indent=4)])
@pytest.mark.parametrize(
    ("track", "key", "start"), [("body_pose", "poses", 3), ("betas", "shapes", 0), ("transl", "Th", 0)]
)
def test_a_changed_row_lands_in_its_place_and_nowhere_else(tmp_path, style, track, key, start):
    frames = two_people()
    path = folder(tmp_path / "smpl", frames, style)
    write(plus(read(path), 1, track, 0.5, row=2), tmp_path / "out")
    old, new = contents(path), contents(tmp_path / "out")
    assert {name for name in old if old[name] != new[name]} == {"000007.json"}
    (record, other) = frames[7]
    document = json.loads(new["000007.json"])
    found = document["annots"] if isinstance(document, dict) else document
    assert found[1] == other
    assert {k: v for k, v in found[0].items() if k != key} == {k: v for k, v in record.items() if k != key}
    expected = np.array(record[key])
    expected[:, start:] += 0.5
    np.testing.assert_allclose(found[0][key], expected, atol=1e-12)
    if style is not as_easymocap_writes:
        assert new["000007.json"].decode() == style(found)


def test_a_turned_root_keeps_its_translation_by_moving_th(tmp_path):
    path = folder(tmp_path / "smpl", two_people())
    motion = read(path)
    write(plus(motion, 0, "global_orient", 0.5, row=0), tmp_path / "out")
    again = read(tmp_path / "out")
    np.testing.assert_allclose(
        again.people[0].tracks["transl"].values, motion.people[0].tracks["transl"].values, atol=1e-12
    )
    th = json.loads((tmp_path / "out" / "000004.json").read_text())[0]["Th"]
    assert th != two_people()[4][0]["Th"]


@pytest.mark.parametrize("width", WIDTHS)
def test_every_layout(tmp_path, width):
    frames = {k: [params(0, k, width)] for k in range(3)}
    path = folder(tmp_path / "smpl", frames, json.dumps)
    motion = read(path)
    tracks = motion.people[0].tracks
    row = np.array(frames[1][0]["poses"][0])[0 if width in (63, 69) else 3 :]
    sizes = {name: t.values[0].size for name, t in tracks.items() if name not in ("global_orient", "transl", "betas")}
    pca, whole = {"left_hand_pca": 6, "right_hand_pca": 6}, {"left_hand_pose": 45, "right_hand_pose": 45}
    head = {"jaw_pose": 3, "eye_pose": 6}
    body = {"body_pose": 69 if width in (69, 72) else 63}
    expected = {78: body | pca, 87: body | pca | head, 156: body | whole, 165: body | head | whole}.get(width, body)
    assert list(sizes.items()) == list(expected.items())
    joined = np.concatenate([tracks[name].values[1].reshape(-1) for name in sizes])
    assert np.array_equal(joined, row)
    assert motion.skeleton is {87: SMPL_X, 165: SMPL_X, 69: SMPL, 72: SMPL}.get(width, SMPL_H)
    assert any("principal components" in note for note in motion.notes) == (width in (78, 87))
    name = list(sizes)[-1]
    write(plus(motion, 0, name, 1, row=1), tmp_path / "out")
    new = json.loads((tmp_path / "out" / "000001.json").read_text())[0]["poses"][0]
    np.testing.assert_allclose(np.array(new)[-sizes[name] :], row[-sizes[name] :] + 1, atol=1e-12)
    assert new[: -sizes[name]] == frames[1][0]["poses"][0][: -sizes[name]]


def test_hands_beside_the_pose(tmp_path):
    both = {"handl": [[0.1] * 6], "handr": [[0.2] * 45], "expression": [[0.5] * 10]}
    frames = {k: [params(0, k, 63, **both)] for k in range(2)}
    tracks = read(folder(tmp_path / "smpl", frames, json.dumps)).people[0].tracks
    assert tracks["left_hand_pca"].values.shape == (2, 6)
    assert tracks["right_hand_pose"].values.shape == (2, 15, 3)
    assert tracks["expression"].values.shape == (2, 10)
    # In smplfull the pose has the fingers; the components are those it was made from.
    frames = {k: [params(0, k, 156, **both)] for k in range(2)}
    tracks = read(folder(tmp_path / "smpl", frames, json.dumps)).people[0].tracks
    assert "left_hand_pca" not in tracks


def test_person_ids_and_whole_numbers(tmp_path):
    record = params(None, personID=5, Rh=[[0, 0, 0]], Th=[0, 1, 2])
    path = folder(tmp_path / "smpl", {0: [record], 1: [record]}, json.dumps)
    motion = read(path)
    assert motion.people[0].id == "5"
    write(plus(motion, 0, "transl", 0.25, row=1), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "000001.json").read_text())[0]["Th"] == [0.25, 1.25, 2.25]


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**20),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([(), ("betas",), ("hands",), ("hands", "face", "betas"), ("face",)]),
)
def test_a_new_folder_reads_back(tmp_path_factory, seed, dtype, extra):
    path = tmp_path_factory.getbasetemp() / "new"
    shutil.rmtree(path, ignore_errors=True)
    body = 21 if {"hands", "face"} & set(extra) else 23
    people = (
        smpl_person("2", (5, 6, 9), seed=seed, dtype=dtype, body=body, extra=extra, up="z"),
        smpl_person("7", (3, 4, 5), seed=seed + 1, dtype=dtype, body=body, up="z"),
    )
    motion = smpl_motion(*people)
    FORMATS["easymocap"].make(motion, path)
    assert detect(path).name == "easymocap"
    assert_close(read(path), motion, atol=1e-12)
    assert sorted(contents(path)) == [f"{k:06d}.json" for k in range(3, 10)]
    assert [p["id"] for p in json.loads((path / "000005.json").read_text())] == [2, 7]
    assert json.loads((path / "000007.json").read_text()) == []
    record = json.loads((path / "000003.json").read_text())[0]
    width = 165 if "face" in extra else 156 if "hands" in extra else 72
    assert {k: np.shape(v) for k, v in record.items() if k != "id"} == {
        "Rh": (1, 3),
        "Th": (1, 3),
        "poses": (1, width),
        "shapes": (1, 10),
        **({"expression": (1, 10)} if "face" in extra else {}),
    }


def test_what_cannot_be_made(tmp_path):
    with pytest.raises(ValueError, match="frame numbers for EasyMocap files: expected 0 and more, received -1"):
        FORMATS["easymocap"].make(smpl_motion(smpl_person(frames=(-1, 0))), tmp_path / "new")


CHANGES = [
    (
        {"poses": [[0.0] * 70]},
        "poses of person 0: expected 63 or 66 or 69 or 72 or 78 or 87 or 156 or 165 numbers, received 70",
    ),
    ({"poses": [[0.0] * 32]}, "poses of person 0: expected a pose, received 32 numbers, a VPoser latent (smplfull"),
    (
        {"poses": [[1.0, 0, 0] + [0.0] * 69]},
        "poses of person 0: expected three zeros first, as Rh turns the body, received [1.0, 0.0, 0.0]",
    ),
    ({"poses": None}, "poses of person 0: expected 63 or 66 or 69 or 72 or 78 or 87 or 156 or 165 numbers, received 0"),
    ({"Rh": [[1, 2]]}, "Rh of person 0: expected 3 numbers, received 2"),
    ({"Rh": "abc"}, "Rh of person 0: expected one row of numbers, received a str"),
    ({"Th": [[1, 2], [3]]}, "Th of person 0: expected one row of numbers, received a list"),
    ({"Th": [[1, 2, 3], [1, 2, 3]]}, "Th of person 0: expected one row of numbers, received an array (2, 3)"),
    ({"shapes": [[1.0] * 9]}, "shapes of person 0: expected 9 numbers as in 000000.json, received 10"),
    ({"id": 1.5}, "id of person 0: expected a whole number, received a float"),
    ({"id": None}, "id of person 0: expected a whole number, received nothing"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_bad_people_are_refused(tmp_path, change, message):
    path = folder(tmp_path / "smpl", {0: [params(0, 0, **change)], 1: [params(0, 1)]}, json.dumps)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read(path, format="easymocap")
    assert str(caught.value).startswith(f"{path}/0000")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable JSON: "),
        ("{}", "JSON: expected a list of people, or an object with the list annots, received a dict"),
        ("[1]", "JSON: expected a list of people, or an object with the list annots, received a list"),
        (json.dumps([params(0), params(0)]), "ids: expected a different one for each person, received 0 twice"),
    ],
)
def test_bad_files_are_refused(tmp_path, text, message):
    path = folder(tmp_path / "smpl", {0: [params()], 1: [params()]})
    (path / "000001.json").write_text(text)
    with pytest.raises(ValueError, match=re.escape(f"{path / '000001.json'}: {message}")):
        read(path)


def test_other_folders_keep_their_formats(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(ValueError, match=r"received no file that ends in \.json$"):
        read(tmp_path / "in", format="easymocap")
    (tmp_path / "in" / "a_000001_keypoints.json").write_text('{"version": 1.3, "people": []}')
    assert detect(tmp_path / "in").name == "openpose"
    (tmp_path / "in" / "a_000001_keypoints.json").write_text('[{"id": 0, "keypoints3d": [[0, 0, 0, 1]]}]')
    with pytest.raises(ValueError, match="unknown format"):
        detect(tmp_path / "in")
    with pytest.raises(ValueError, match="expected a folder of EasyMocap's JSON files, received a file"):
        read(tmp_path / "in" / "a_000001_keypoints.json", format="easymocap")


def test_images_beside_the_files_are_named(tmp_path):
    path = folder(tmp_path / "smpl", two_people())
    (path / "000004.jpg").write_text("x")
    assert read(path).notes[-1] == "entries of the folder that are not .json files, left out on writing: 1"
