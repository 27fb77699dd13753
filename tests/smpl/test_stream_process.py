"""``smoothnet stream`` as a program between two others: a sender in a process of its own, a receiver here."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from smoothnet_core import rotations
from smoothnet_core.online import OnlineRefiner
from tests.smpl.cli_helpers import body

PROGRAM = [sys.executable, "-c", "from smpl_tools.cli.main import run; run()"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
FRAMES, LATENCY = 40, 3

# A sender knows nothing of this package. It is given the port and the frames, in JSON, on its standard input.
SENDER = """
import json, socket, struct, sys, time

given = json.loads(sys.stdin.read())
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

def text(value):
    raw = value.encode() + b"\\0"
    return raw + b"\\0" * (-len(raw) % 4)

def message(address, *arguments):
    types = "".join({str: "s", float: "f", int: "i"}[type(a)] for a in arguments)
    coded = {"s": text, "f": lambda a: struct.pack(">f", a), "i": lambda a: struct.pack(">i", a)}
    return text(address) + text("," + types) + b"".join(coded[t](a) for t, a in zip(types, arguments))

def bundle(messages):
    return b"#bundle\\0" + struct.pack(">Q", 1) + b"".join(struct.pack(">i", len(m)) + m for m in messages)

def send(packet):
    out.sendto(packet, ("127.0.0.1", given["port"]))
    time.sleep(0.002)

"""


def sender(script: str, port: int, **given: object) -> None:
    """Run a sender to its end."""
    document = json.dumps({"port": port, **given})
    command = [sys.executable, "-I", "-c", SENDER + textwrap.dedent(script)]
    subprocess.run(command, input=document, text=True, check=True, timeout=60)


@contextmanager
def streaming(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run ``smoothnet stream`` on a free port; yield the process, once it listens, and the port."""
    command = [*PROGRAM, "stream", "--latency", str(LATENCY), *map(str, arguments)]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, env=ENVIRONMENT, **pipes)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        said = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+) \((udp|osc|vmc)\), latency 3 frames; Ctrl-C ends\n", line)
        assert said, line
        yield process, int(said[1])
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        heard.bind(("127.0.0.1", 0))
        heard.settimeout(30)
        yield heard


def ended(process: subprocess.Popen[str], status: int = 0) -> tuple[str, str]:
    """Return what a process said until its end, which comes by itself."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert "Traceback" not in err
    return out, err


def received(heard: socket.socket, count: int) -> list[bytes]:
    return [heard.recv(65536) for _ in range(count)]


def refined(track: np.ndarray, kind: str = "position", times=None) -> np.ndarray:
    refiner = OnlineRefiner(latency=LATENCY, kind=kind)
    out = [refiner.push(frame, None if times is None else times[k]) for k, frame in enumerate(track)]
    return np.array([o for o in out if o is not None] + refiner.flush())


def messages(packets: list[bytes]) -> list[tuple[str, list]]:
    from smpl_tools.live.osc import messages as parsed

    return [message for packet in packets for message in parsed(packet)]


def test_json_over_udp(receiver):
    track = body(FRAMES, 4)
    goal = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
    with streaming("--input", "udp://:0", "--output", goal, "--silence", 1) as (process, port):
        script = """
            for k, frame in enumerate(given["frames"]):
                send(json.dumps({"frame": frame, "number": k}).encode())
                if k == 5:
                    send(b"\\xff\\x00 nothing")
                    send(b"")
        """
        sender(script, port, frames=track.tolist())
        found = [json.loads(packet) for packet in received(receiver, FRAMES)]
        _, err = ended(process)
    assert [f["number"] for f in found] == list(range(FRAMES))
    np.testing.assert_allclose([f["frame"] for f in found], refined(track), rtol=1e-6, atol=1e-9)
    assert err.splitlines()[:2] == [
        "left out: frame: expected JSON, received bytes that are no UTF-8",
        "left out: frame: expected JSON, received ''",
    ]
    assert re.match(r"40 frames in, 40 out; 2 left out; [\d.]+ ms a frame, [\d.]+ ms at the 99th", err.splitlines()[2])


def test_osc_to_osc(receiver):
    pytest.importorskip("pythonosc", reason="python-osc is an extra")
    quats = rotations.axis_angle_to_quat_wxyz(body(FRAMES, 3)).astype(np.float32)
    goal = f"osc://127.0.0.1:{receiver.getsockname()[1]}/refined"
    options = ("--input", "osc://:0/pose", "--output", goal, "--kind", "quat_wxyz", "--silence", 1)
    with streaming(*options) as (process, port):
        script = """
            for k, frame in enumerate(given["frames"]):
                send(message("/pose", *frame) if k % 2 else bundle([message("/other", 1), message("/pose", *frame)]))
                if k == 7:
                    send(b"/pose\\0\\0\\0,fff\\0\\0\\0\\0short")
                    send(message("/pose", 1.0, 2.0, 3.0))
                    send(message("/pose", "a", 1.0, 1.0, 1.0))
        """
        sender(script, port, frames=quats.reshape(FRAMES, -1).tolist())
        found = messages(received(receiver, FRAMES))
        _, err = ended(process)
    assert {address for address, _ in found} == {"/refined"}
    values = np.array([arguments for _, arguments in found]).reshape(FRAMES, 3, 4)
    np.testing.assert_allclose(values, refined(quats.astype(float), "quat_wxyz"), atol=1e-6)
    said = err.splitlines()
    assert said[0].startswith("left out: packet: expected OSC, received 21 bytes that are none")
    assert said[1:3] == [
        "left out: numbers of a frame: expected a multiple of 4 for quat_wxyz, at least 4, received 3",
        "left out: arguments of /pose: expected numbers, received ['a', 1.0, 1.0, 1.0]",
    ]
    assert said[3].startswith("40 frames in, 40 out; 3 left out; ")


@pytest.mark.parametrize("as_bundles", [False, True])
@pytest.mark.parametrize("time_first", [False, True])
def test_vmc_to_vmc(receiver, as_bundles, time_first):
    pytest.importorskip("pythonosc", reason="python-osc is an extra")
    names = ["Hips", "Spine", "LeftUpperLeg"]
    quats = rotations.axis_angle_to_quat_wxyz(body(FRAMES, 4)).astype(np.float32).astype(float)
    places = np.tile([0.0, 0.25, 0.5], (FRAMES, 4, 1))
    places[:, 0] = body(FRAMES, 1, seed=3)[:, 0]
    places = places.astype(np.float32).astype(float)
    times = (1.0 + np.arange(FRAMES) / 30).astype(np.float32).astype(float)
    xyzw = np.concatenate([places, quats[..., [1, 2, 3, 0]]], axis=-1)
    goal = f"vmc://127.0.0.1:{receiver.getsockname()[1]}"
    with streaming("--input", "vmc://:0", "--output", goal, "--silence", 1) as (process, port):
        script = """
            for k, frame in enumerate(given["frames"]):
                moment = [message("/VMC/Ext/T", given["times"][k])]
                root, *bones = frame
                found = [message("/VMC/Ext/Root/Pos", "root", *root)]
                found += [message("/VMC/Ext/Bone/Pos", n, *b) for n, b in zip(given["names"], bones)]
                found = moment + found if given["first"] else found + moment
                found.insert(2, message("/VMC/Ext/Blend/Val", "Joy", k / 100))
                found.insert(3, message("/VMC/Ext/OK", 1))
                for packet in [bundle(found)] if given["bundles"] else found:
                    send(packet)
                if k == 9:
                    send(message("/VMC/Ext/Bone/Pos", "Hips", 1.0))
                    send(b"#bundle\\0junk")
        """
        given = {"names": names, "times": times.tolist(), "frames": xyzw.tolist()}
        sender(script, port, **given, bundles=as_bundles, first=time_first)
        found = messages(received(receiver, FRAMES))
        _, err = ended(process)
    assert "40 frames in, 40 out; 2 left out; " in err
    assert "left out: arguments of /VMC/Ext/Bone/Pos: expected a name and at least 7 numbers, received ['Hips', " in err
    np.testing.assert_allclose([a[0] for address, a in found if address == "/VMC/Ext/T"], times)
    joys = [a[1] for address, a in found if address == "/VMC/Ext/Blend/Val"]
    np.testing.assert_allclose(joys, np.arange(FRAMES) / 100, atol=1e-6)
    expected = {"turns": refined(quats, "quat_wxyz", times), "places": refined(places, "position", times)}
    for j, name in enumerate(["root", *names]):
        address = "/VMC/Ext/Root/Pos" if j == 0 else "/VMC/Ext/Bone/Pos"
        numbers = np.array([a[1:] for sent, a in found if sent == address and a[0] == name])
        np.testing.assert_allclose(numbers[:, :3], expected["places"][:, j], atol=1e-5)
        np.testing.assert_allclose(numbers[:, [6, 3, 4, 5]], expected["turns"][:, j], atol=1e-5)


def test_vmc_to_standard_output_as_json():
    pytest.importorskip("pythonosc", reason="python-osc is an extra")
    with streaming("--input", "vmc://:0", "--joints", "Hips", "--silence", 0.5) as (process, port):
        script = """
            for k in range(10):
                numbers = 0.0, 1.0, k / 8, 0.0, 0.0, 0.0, 1.0
                send(bundle([message("/VMC/Ext/Bone/Pos", name, *numbers) for name in ("Hips", "Head")]))
        """
        sender(script, port)
        out, _ = ended(process)
    found = [json.loads(line) for line in out.splitlines()]
    assert len(found) == 10
    assert found[5]["frame"]["quat_wxyz"]["Hips"] == [1.0, 0.0, 0.0, 0.0]
    assert found[5]["frame"]["position"]["Head"] == [0.0, 1.0, 0.625]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_lets_out_what_waits_and_ends_well(receiver, how):
    track = body(10, 2)
    goal = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
    with streaming("--input", "udp://:0", "--output", goal) as (process, port):
        sender("for frame in given['frames']: send(json.dumps(frame).encode())", port, frames=track.tolist())
        found = received(receiver, 10 - LATENCY)
        process.send_signal(how)
        found += received(receiver, LATENCY)
        _, err = ended(process)
    np.testing.assert_allclose([json.loads(f) for f in found], refined(track), rtol=1e-6, atol=1e-9)
    assert err.startswith("10 frames in, 10 out; ")


def test_piping():
    track = body(30, 2)
    command = [*PROGRAM, "stream", "--latency", str(LATENCY)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert process.stdin is not None
    assert process.stdout is not None
    found = []
    for k, frame in enumerate(track):
        process.stdin.write(json.dumps(frame.tolist()) + "\n")
        process.stdin.flush()
        if k >= LATENCY:
            # Each comes as soon as it is due, not when a buffer is full.
            found.append(json.loads(process.stdout.readline()))
    out, err = process.communicate(timeout=60)
    found += [json.loads(line) for line in out.splitlines()]
    np.testing.assert_allclose(found, refined(track), rtol=1e-6, atol=1e-9)
    assert err.startswith("30 frames in, 30 out; ")
    assert process.returncode == 0


def test_a_reader_that_has_seen_enough_ends_it_quietly():
    lines = "\n".join(json.dumps(frame.tolist()) for frame in body(3000, 2))
    command = [*PROGRAM, "stream", "--latency", "0"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=ENVIRONMENT, **pipes) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        with contextlib.suppress(BrokenPipeError):
            process.communicate(lines, timeout=60)
    assert process.returncode != 0
