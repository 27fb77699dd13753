"""CSV of joints."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpl_tools.formats import FORMATS, detect, read, write
from smpl_tools.motion import Motion, Person, Track

PLAIN = "frame,time,left_wrist_x,left_wrist_y,left_wrist_z,nose_x,nose_y,nose_z,note\n"
ROWS = '3,0.1,1,2,3,4,5,6,hi\n4,0.1333333,1.5,2,,4,5.25,6,"a, b"\n7,0.2333333,1,2,3,nan,5,6,\n'


def file(tmp_path, text, name="take.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def test_reads_names_frames_rate_and_what_is_missing(tmp_path):
    motion = read(file(tmp_path, PLAIN + ROWS))
    (person,) = motion.people
    track = person.tracks["joints"]
    assert motion.format == "csv"
    assert motion.fps == 30.0
    assert track.joints == ("left_wrist", "nose")
    assert person.frames.tolist() == [3, 4, 7]
    expected = [[[1, 2, 3], [4, 5, 6]], [[1.5, 2, np.nan], [4, 5.25, 6]], [[1, 2, 3], [np.nan, 5, 6]]]
    assert np.array_equal(track.values, expected, equal_nan=True)
    assert track.confidence is None


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("style", ["{j}_{a}", "{j}.{A}", "{j}:{A}", "{j} {a}", "{j}-{a}"])
def test_headers_and_separators_as_programs_write_them(tmp_path, separator, style):
    names = [style.format(j=j, a=a, A=a.upper()) for j in ("LWrist", "Nose") for a in "xy"]
    text = separator.join(names) + "\r\n" + separator.join(["1", "2", "3", "4"]) + "\r\n"
    motion = read(file(tmp_path, text))
    assert motion.people[0].tracks["joints"].joints == ("LWrist", "Nose")
    assert motion.people[0].tracks["joints"].values.tolist() == [[[1, 2], [3, 4]]]
    assert motion.fps is None


@pytest.mark.parametrize("word", ["confidence", "conf", "visibility", "vis", "score", "likelihood", "c"])
def test_confidence_and_people(tmp_path, word):
    text = f"person,a_x,a_y,a_{word}\nann,1,2,0.5\nbob,3,4,2\nann,5,6,\n"
    motion = read(file(tmp_path, text))
    assert [p.id for p in motion.people] == ["ann", "bob"]
    ann, bob = (p.tracks["joints"] for p in motion.people)
    assert ann.values.tolist() == [[[1, 2]], [[5, 6]]]
    assert ann.confidence.tolist() == [[0.5], [0.0]]
    assert bob.confidence.tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("column", "step", "note"),
    [
        ("timestamp", "0.04", None),
        ("time_sec", "0.04", None),
        ("Time (Seconds)", "0.04", None),
        ("timestamp_ms", "40", None),
        ("timestamp_ms", "0.04", None),
        ("timestamp", "40", "milliseconds"),
        ("Time", "40000", "microseconds"),
        ("timestamp", "40000000", "nanoseconds"),
    ],
)
def test_times_in_the_units_that_programs_write(tmp_path, column, step, note):
    rows = "".join(f"{k},{1000 + k * float(step)},1,2\n" for k in range(6))
    motion = read(file(tmp_path, f"frame_index,{column},a_x,a_y\n{rows}"))
    # A name that says milliseconds is believed.
    assert motion.fps == pytest.approx(25000.0 if (column, step) == ("timestamp_ms", "0.04") else 25.0)
    assert motion.notes == (() if note is None else (f"column {column} taken for {note}",))


@pytest.mark.parametrize("name", ["frame_index", "frame_idx", "frame_num", "Frame No", "frame_id"])
def test_names_of_the_frame_number(tmp_path, name):
    assert read(file(tmp_path, f"{name},a_x,a_y\n4,1,2\n7,1,2\n")).people[0].frames.tolist() == [4, 7]


def test_no_frames_are_made_and_read_back(tmp_path):
    none = Person("0", {"joints": Track(np.empty((0, 2, 3)), "position", "body", ("a", "b"))}, np.arange(0))
    FORMATS["csv"].make(Motion("csv", (none,), 30.0), tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == "frame,time,a_x,a_y,a_z,b_x,b_y,b_z\n"


def test_written_again_cell_by_cell(tmp_path):
    text = (PLAIN + ROWS).replace("\n", "\r\n")
    path = file(tmp_path, text)
    motion = read(path)
    write(motion, tmp_path / "same.csv")
    assert (tmp_path / "same.csv").read_bytes() == path.read_bytes()
    track = motion.people[0].tracks["joints"]
    values = track.values.copy()
    values[1, 0] = [9, 8, 7]
    write(
        motion.with_people((motion.people[0].with_tracks({"joints": track.replace(values=values)}),)),
        tmp_path / "n.csv",
    )
    lines = (tmp_path / "n.csv").read_bytes().decode().split("\r\n")
    assert lines[2] == '4,0.1333333,9.000000,8.000000,7.000000,4,5.25,6,"a, b"'
    before = text.split("\r\n")
    assert [lines[k] for k in (0, 1, 3)] == [before[k] for k in (0, 1, 3)]


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=4),
    st.integers(2, 3),
    st.booleans(),
    st.sampled_from([None, 24.0, 29.97, 30.0, 59.94, 120.0]),
)
def test_made_and_read_back_exactly(tmp_path_factory, gaps, size, trusted, fps):
    generator = np.random.default_rng(len(gaps))
    people = []
    for ident in ("2", "ann"):
        frames = np.cumsum(np.array(gaps) + 1)
        values = generator.normal(size=(len(frames), 2, size))
        values[0, 1] = np.nan
        confidence = generator.uniform(size=(len(frames), 2)) if trusted else None
        people.append(Person(ident, {"joints": Track(values, "position", "body", ("a", "b"), confidence)}, frames))
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    FORMATS["csv"].make(Motion("x", tuple(people), fps), path)
    again = read(path)
    assert detect(path).name == "csv"
    assert [p.id for p in again.people] == ["2", "ann"]
    for new, old in zip(again.people, people, strict=True):
        assert np.array_equal(new.frames, old.frames)
        assert np.array_equal(new.tracks["joints"].values, old.tracks["joints"].values, equal_nan=True)
        if trusted:
            assert np.allclose(new.tracks["joints"].confidence, old.tracks["joints"].confidence, atol=0)
    if fps is not None and len(gaps) > 1:
        assert again.fps == pytest.approx(fps, rel=1e-6)


def test_people_with_different_joints(tmp_path):
    frames = np.arange(2)
    one = Person("0", {"joints": Track(np.ones((2, 2, 2)), "position", "body", ("a", "b"))}, frames)
    confidence = np.full((2, 2), 0.5)
    two = Person("1", {"joints": Track(2 * np.ones((2, 2, 2)), "position", "body", ("b", "c"), confidence)}, frames)
    FORMATS["csv"].make(Motion("x", (one, two), 30.0), tmp_path / "x.csv")
    tracks = [person.tracks["joints"] for person in read(tmp_path / "x.csv").people]
    assert [track.joints for track in tracks] == [("a", "b", "c")] * 2
    nan = np.nan
    assert np.array_equal(tracks[0].values[0, :, 0], [1, 1, nan], equal_nan=True)
    assert np.array_equal(tracks[1].values[0, :, 0], [nan, 2, 2], equal_nan=True)
    assert [track.confidence[0].tolist() for track in tracks] == [[1, 1, 0], [0, 0.5, 0.5]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a_x,a_y\n1\n", "line 2: expected 2 cells, received 1"),
        ("a_x,a_y\n1,2\n3,q\n", "line 3, column a_y: expected a number, received 'q'"),
        ("frame,a_x,a_y\n1.5,1,2\n", "column frame: expected whole numbers, received something else"),
        ("frame,a_x,a_y\n2,1,2\n1,1,2\n", "frame numbers of person 0: expected strictly increasing"),
        (
            "one,two\n1,2\n",
            "first line: expected names of columns such as left_wrist_x, left_wrist_y, received 'one,two'",
        ),
        ("", "first line: expected names of columns such as"),
    ],
)
def test_refusals_name_line_and_column(tmp_path, text, message):
    path = file(tmp_path, text)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
        read(path, format="csv")


@pytest.mark.parametrize("text", ["one,two\n1,2\n", "a_x,b_y\n1,2\n", "hello", "\x00\x01,a_x,a_y\n"])
def test_other_text_is_no_csv_of_joints(tmp_path, text):
    with pytest.raises(ValueError, match="unknown format"):
        detect(file(tmp_path, text))
