"""Frames as text, over OSC and VMC, and through refiners; see ``test_stream_process.py`` for real senders."""

from __future__ import annotations

import io
import json
import math
import re
import signal
import sys

import numpy as np
import pytest

from smoothnet_core._checks import MissingExtraError
from smoothnet_core.online import OnlineRefiner
from smpl_tools.cli import stream as command
from smpl_tools.live import session as sessions
from smpl_tools.live.endpoints import Endpoint, endpoint, listening, packets, sending
from smpl_tools.live.frames import LiveFrame
from smpl_tools.live.running import Interrupts, run
from smpl_tools.live.session import Session, Settings
from smpl_tools.live.texts import CsvReader, CsvWriter, JsonReader, LineReader, json_text
from tests.core.online_helpers import refused
from tests.smpl.cli_helpers import Program, body


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


def fed(monkeypatch: pytest.MonkeyPatch, text: str | bytes) -> None:
    """Let standard input hold this text."""
    content = text if isinstance(text, bytes) else text.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def refined(track: np.ndarray, latency: int, **how) -> np.ndarray:
    refiner = OnlineRefiner(latency=latency, **how)
    out = [refiner.push(frame) for frame in track]
    return np.array([o for o in out if o is not None] + refiner.flush())


def settings(latency: int = 3, **given) -> Settings:
    return Settings("auto", latency, **given)


# The command with text


def test_lines_of_json_come_out_refined(program: Program, monkeypatch):
    track = body(20, 2)
    fed(monkeypatch, "".join(json.dumps(frame.tolist()) + "\n" for frame in track))
    ran = program("stream", "--latency", 5)
    assert ran.status == 0
    found = np.array([json.loads(line) for line in ran.out.splitlines()])
    np.testing.assert_allclose(found, refined(track, 5), rtol=1e-6)
    assert ran.err.startswith("20 frames in, 20 out; ")
    assert ran.err.endswith(" at the 99th percentile\n")


def test_an_object_keeps_what_it_has(program: Program, monkeypatch):
    track = body(12, 2)
    lines = [
        {"id": k, "time": k / 30, "frame": {"hip": f[0].tolist(), "knee": f[1].tolist()}, "note": {"a": [None, "b"]}}
        for k, f in enumerate(track)
    ]
    lines[4]["frame"]["knee"] = [None, None, None]
    fed(monkeypatch, "\n".join(map(json.dumps, lines)))
    ran = program("stream", "--latency", 2, "--joints", "knee")
    assert ran.status == 0
    found = [json.loads(line) for line in ran.out.splitlines()]
    assert [(f["id"], f["time"], f["note"]) for f in found] == [(f["id"], f["time"], f["note"]) for f in lines]
    hips, knees = (np.array([f["frame"][name] for f in found]) for name in ("hip", "knee"))
    np.testing.assert_allclose(hips, track[:, 0], rtol=1e-6)
    track[4, 1] = np.nan
    np.testing.assert_allclose(knees, refined(track[:, 1], 2), rtol=1e-6, atol=1e-7)


def test_rows_of_csv_come_out_as_rows(program: Program, monkeypatch):
    track = body(15, 2)
    rows = [f"{k / 30!r}," + ",".join(map(repr, frame.ravel().tolist())) for k, frame in enumerate(track)]
    rows[3] = rows[3].split(",")[0] + ",,,,0,0,0"
    track[3] = [[np.nan] * 3, [0, 0, 0]]
    header = "time,ax,ay,az,bx,by,bz"
    fed(monkeypatch, "\r\n".join([header, *rows]))
    ran = program("stream", "--latency", 4)
    lines = ran.out.splitlines()
    assert lines[0] == header
    found = np.array([list(map(float, line.split(","))) for line in lines[1:]])
    np.testing.assert_allclose(found[:, 0], np.arange(15) / 30)
    np.testing.assert_allclose(found[:, 1:].reshape(-1, 2, 3), refined(track, 4), rtol=1e-6, atol=1e-7)


def test_what_cannot_be_read_is_left_out_and_counted(program: Program, monkeypatch):
    good = [json.dumps(frame.tolist()) for frame in body(8, 2)]
    bad = [
        "nonsense",
        "[1, 2",
        '{"joints": []}',
        "[[1, 2]]",
        '[["1", 2, 3], [1, 2, 3]]',
        "[[1,2,3],[1,2]]",
        "\xff",
        "7",
    ]
    mixed = [line for pair in zip(good, bad, strict=True) for line in pair]
    mixed.insert(1, "[" * 100_000)
    fed(monkeypatch, "\n".join(mixed).encode("latin-1"))
    ran = program("stream", "--latency", 2)
    assert ran.status == 0
    assert len(ran.out.splitlines()) == 8
    found = np.array([json.loads(line) for line in ran.out.splitlines()])
    np.testing.assert_allclose(found, refined(body(8, 2), 2), rtol=1e-6)
    said = ran.err.splitlines()
    assert "Traceback" not in ran.err
    assert said[:-1] == [
        "left out: frame: expected JSON, received brackets within brackets without end",
        "left out: frame: expected JSON, received 'nonsense'",
        "left out: frame: expected JSON, received '[1, 2'",
        "left out: frame: expected an array, or an object with a key frame, received the keys joints",
        "left out: shape of the frame: expected that of the first, (2, 3), received (1, 2)",
        'left out: frame: expected numbers and nulls in rows of one length, received [["1", 2, 3], [1, 2, 3]]',
        "left out: frame: expected numbers and nulls in rows of one length, received [[1, 2, 3], [1, 2]]",
        "left out: frame: expected JSON, received bytes that are no UTF-8",
        "left out: frame: expected an array, or an object with a key frame, received 7",
    ]
    assert said[-1].startswith("8 frames in, 8 out; 9 left out; ")


def test_after_ten_messages_the_rest_is_counted(program: Program, monkeypatch):
    fed(monkeypatch, "[[1,2,3]]\n" + "[[1,2\n" * 40)
    ran = program("stream", "--latency", 0)
    assert ran.err.count("left out:") == 10
    assert "further ones are only counted\n" in ran.err
    assert "1 frame in, 1 out; 40 left out; " in ran.err


def test_nothing_in_nothing_out(program: Program, monkeypatch):
    fed(monkeypatch, "\n\n")
    ran = program("stream")
    assert (ran.status, ran.out, ran.err) == (0, "", "0 frames in, 0 out\n")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--latency", "32"], 1, "latency: expected a whole number of frames from 0 to 31, received 32"),
        (["--model", "body"], 1, "model body: expected an architecture of vector_filter, smoothnet, motion_aware, "),
        (["--input", "http://x:1"], 1, "--input: expected -, udp://HOST:PORT, osc://HOST:PORT/ADDRESS or vmc://"),
        (["--input", "udp://:1/x"], 1, "--input: expected -, udp://HOST:PORT, "),
        (["--output", "osc://:1"], 1, "--output: expected -, udp://HOST:PORT, "),
        (["--output", "udp://:99999"], 1, "--output: expected -, udp://HOST:PORT, "),
        (["--input", "udp://0.0.0.0:1"], 1, "input udp://0.0.0.0:1: expected 127.0.0.1, unless --host names where to"),
        (["--host", "0.0.0.0"], 2, "Invalid value for --host: standard input has no host"),
        (["--silence", "1"], 2, "Invalid value for --silence: standard input ends by itself"),
        (["--kind", "euler"], 2, "Invalid value for '--kind': expected one of position, "),
        (["--times", "now"], 2, "Invalid value for '--times': expected one of auto, given, arrival, none, "),
        (["--strength", "2"], 2, "Invalid value for '--strength': expected a number from 0 to 1, received 2"),
    ],
)
def test_wrong_use_is_one_line(program: Program, arguments, status, message):
    assert program.refused("stream", *arguments, status=status).startswith(message)


def test_a_missing_extra_is_named(program: Program, monkeypatch):
    monkeypatch.setitem(sys.modules, "pythonosc", None)
    for name in [name for name in sys.modules if name.startswith("pythonosc.")]:
        monkeypatch.delitem(sys.modules, name)
    for arguments in (["--input", "vmc://:0"], ["--output", "vmc://:1"], ["--output", "osc://:1/x"]):
        message = program.refused("stream", *arguments)
        assert message == "pythonosc is not installed; add it with: pip install 'smoothnet[live]'"
    assert issubclass(MissingExtraError, ImportError)


def test_names_written_out_are_those_of_the_library():
    assert command.TIMES == sessions.TIMES


# Readers and writers


def test_an_endpoint_is_what_its_text_says():
    assert endpoint("-", "x") == Endpoint("-")
    assert endpoint("udp://:5005", "x") == Endpoint("udp", "127.0.0.1", 5005)
    assert endpoint("vmc://example.org:39539", "x") == Endpoint("vmc", "example.org", 39539)
    assert endpoint("osc://[::1]:9/a/b/", "x") == Endpoint("osc", "::1", 9, "/a/b")
    assert str(endpoint("osc://:9/a", "x")) == "osc://127.0.0.1:9/a"


def test_listening_is_on_this_machine_unless_told():
    with listening(endpoint("udp://:0", "x"), None) as heard:
        assert heard.getsockname()[0] == "127.0.0.1"
        taken = Endpoint("udp", "127.0.0.1", heard.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            listening(taken, None)
    with listening(endpoint("udp://:0", "x"), "0.0.0.0") as heard:
        assert heard.getsockname()[0] == "0.0.0.0"


def test_silence_ends_what_has_begun():
    with listening(endpoint("udp://:0", "x"), None) as heard:
        with sending(Endpoint("udp", "127.0.0.1", heard.getsockname()[1]), JsonReader("position")) as send:
            send(LiveFrame({"position": np.zeros((1, 3))}))
        assert list(packets(heard, 0.1)) == [b"[[0.0,0.0,0.0]]"]


def test_json_takes_masks_and_confidence():
    text = b'{"frame": [[1, 2, 3], [4, 5, 6]], "mask": [true, false], "confidence": [0.5, 1], "time": 2}'
    (frame,) = JsonReader("position").read(text)
    assert frame.mask is not None
    assert frame.confidence is not None
    assert (frame.mask.tolist(), frame.confidence.tolist(), frame.time) == ([True, False], [0.5, 1.0], 2.0)
    for wrong, message in (
        (b'{"frame": [true]}', "frame: expected numbers and nulls in rows of one length, received [true]"),
        (b'{"frame": 1}', "frame: expected an array, or an object with a key frame, received 1"),
        (b'{"frame": [1], "time": "now"}', "time: expected a number of seconds, received 'now'"),
        (b'{"frame": [1], "mask": ["a"]}', "mask: expected numbers and nulls in rows of one length, received"),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            JsonReader("channels").read(wrong)


def test_what_json_does_not_know_is_null():
    frame = LiveFrame({"position": np.array([[1.0, math.nan, 3.0]])}, None, 1.5, rest={"x": math.inf, "y": [math.nan]})
    assert json_text(frame) == '{"time":1.5,"frame":[[1.0,null,3.0]],"x":null,"y":[null]}'


def test_csv_may_have_a_header_or_none():
    reader = CsvReader("position")
    assert reader.read(b"x,y,z\n") == []
    (frame,) = reader.read(b"1,,3\n")
    np.testing.assert_array_equal(frame.tracks["position"], [[1, math.nan, 3]])
    assert CsvWriter(reader).text(frame) == "x,y,z\n1,,3"
    plain = LineReader("channels")
    assert plain.read(b"  \n") == []
    (frame,) = plain.read(b"1, 2,3 ,4")
    assert frame.tracks["channels"].tolist() == [1, 2, 3, 4]
    assert CsvWriter().text(frame) == "1,2,3,4"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["1,2,x"], "row: expected numbers with commas between them, received '1,2,x'"),
        (["1,2,3", "x,y,z"], "row: expected numbers with commas between them, received 'x,y,z'"),
        (["1,2,3", "1,2"], "row: expected 3 numbers as before, received 2"),
        (["1,2,3,4"], "numbers of a frame: expected a multiple of 3 for position, at least 3, received 4"),
        (["t,x,y,z", ",1,2,3"], "time: expected a number of seconds, received nothing"),
    ],
)
def test_wrong_rows_are_named(rows, message):
    reader = CsvReader("position")
    for row in rows[:-1]:
        reader.read(row.encode())
    with refused(message):
        reader.read(rows[-1].encode())


# Sessions


def through(session: Session, frames: list[LiveFrame]) -> list[LiveFrame]:
    return [done for frame in frames for done in session.push(frame)] + session.finish()


def positions(track: np.ndarray, names=None, times=None) -> list[LiveFrame]:
    return [LiveFrame({"position": f}, names, None if times is None else times[k]) for k, f in enumerate(track)]


def test_joints_that_are_missing_are_bridged_and_new_ones_begin_anew():
    track = body(40, 3)
    frames = positions(track, ("a", "b", "c"))
    frames[10] = LiveFrame({"position": track[10, [2, 0]]}, ("c", "a"))
    found = through(Session(settings(4)), frames)
    track[10, 1] = np.nan
    np.testing.assert_allclose([f.tracks["position"] for f in found], refined(track, 4), atol=1e-12)
    track = body(40, 3)
    frames = positions(track[:20, :2], ("a", "b")) + positions(track[20:], ("a", "b", "c"))
    found = through(Session(settings(4)), frames)
    assert [f.names for f in found] == [("a", "b")] * 20 + [("a", "b", "c")] * 20
    np.testing.assert_allclose([f.tracks["position"] for f in found[20:]], refined(track[20:], 4), atol=1e-12)


def test_a_sender_that_begins_anew_is_followed():
    track = body(60, 2)
    times = np.concatenate([100 + np.arange(30) / 30, np.arange(30) / 30])
    found = through(Session(settings(3)), positions(track, times=times))
    assert [f.time for f in found] == times.tolist()
    for part in (slice(0, 30), slice(30, 60)):
        got = [f.tracks["position"] for f in found[part]]
        np.testing.assert_allclose(got, refined(track[part], 3), atol=1e-6)
    # A single frame from the past is not a beginning.
    session = Session(settings(0))
    session.push(positions(track[:1], times=[5.0])[0])
    with refused("time: expected later than that of the frame before, 5, received 4.9"):
        session.push(positions(track[:1], times=[4.9])[0])
    # So many frames of another shape are.
    session, others = Session(settings(0)), 0
    session.push(positions(track[:1])[0])
    for frame in positions(body(60, 5)):
        try:
            session.push(frame)
        except ValueError:
            others += 1
    assert others == 29


@pytest.mark.parametrize(
    ("frames", "given", "message"),
    [
        (
            [({"position": np.zeros((1, 3))}, ("a",)), ({"position": np.zeros((1, 3))}, None)],
            {},
            "frame: expected names as",
        ),
        (
            [({"position": np.zeros((1, 3))}, None), ({"position": np.zeros((1, 3))}, ("a",))],
            {},
            "frame: expected no names",
        ),
        (
            [({"position": np.zeros((1, 3))}, None), ({"channels": np.zeros(3)}, None)],
            {},
            "frame: expected position, rec",
        ),
        ([({"position": np.zeros((1, 3))}, ("a",))], {"joints": ["b"]}, "joint: expected one of a, received 'b'"),
        (
            [({"position": np.zeros((2, 3))}, None)],
            {"joints": ["2"]},
            "joint, of 2 without names,: expected one of 0, 1",
        ),
        (
            [({"position": np.zeros((2, 3))}, None)],
            {"times": "given"},
            "time: expected a number of seconds in every frame",
        ),
    ],
)
def test_frames_that_do_not_go_together_are_named(frames, given, message):
    session = Session(settings(**given))
    for tracks, names in frames[:-1]:
        session.push(LiveFrame(tracks, names))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        session.push(LiveFrame(*frames[-1]))


def test_times_may_be_those_of_arrival_or_none():
    track = body(30, 2)
    arrivals = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.05, 30))
    session = Session(settings(2, times="arrival"))
    found = [f for k, frame in enumerate(positions(track)) for f in session.push(frame, arrivals[k])]
    refiner = OnlineRefiner(latency=2)
    expected = [refiner.push(f, t) for f, t in zip(track, arrivals, strict=True)][2:]
    np.testing.assert_allclose([f.tracks["position"] for f in found], expected)
    found = through(Session(settings(2, times="none")), positions(track, times=arrivals))
    np.testing.assert_allclose([f.tracks["position"] for f in found], refined(track, 2))


def test_an_interrupted_stream_is_finished():
    track = body(10, 2)

    def source():
        yield from (json.dumps(frame.tolist()).encode() for frame in track)
        raise KeyboardInterrupt

    sent, said = [], []

    def send(frame: LiveFrame) -> None:
        if len(sent) == 3 and not said:
            raise OSError("no route")
        sent.append(frame)

    tally = run(source(), LineReader("position"), Session(settings(4)), send, said.append)
    assert (tally.frames, tally.sent, tally.unsent, tally.interrupted) == (10, 9, 1, True)
    assert said == ["frame 4 could not be sent: no route"]


def test_an_interrupt_waits_for_the_piece_that_is_worked_on():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def piece(interrupts: Interrupts, times: int) -> None:
        with interrupts.held():
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
                seen.append(times)

    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            piece(interrupts, 1)
        assert seen == [1]
        # Between pieces it comes at once.
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    # A second one does not wait.
    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt):
        piece(interrupts, 2)
    assert seen == [1, 2]
    assert signal.getsignal(signal.SIGTERM) is before
