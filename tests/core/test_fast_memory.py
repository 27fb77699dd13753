"""``out=``, and tracks that are larger than the memory that there is."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from smoothnet_core import refine
from tests.core import window_oracle as oracle
from tests.helpers import REPOSITORY

CASES = {
    "positions": {"track": oracle.motion(700, 5, 3, seed=1)},
    "channels": {"track": oracle.motion(700, 5, 3, seed=2)[..., 0], "kind": "channels"},
    "float32": {"track": oracle.motion(700, 5, 3, seed=3, dtype=np.float32), "model": "fast"},
    "float16": {"track": oracle.motion(700, 5, 2, seed=4, dtype=np.float16)},
    "published": {"track": oracle.motion(300, 5, 3, seed=5), "model": "published-static"},
    "gaps": {"track": oracle.motion(700, 5, 3, seed=6, gaps=[(1, 50, 90), (3, 0, 700)])},
    "half strength": {"track": oracle.motion(700, 5, 3, seed=7), "strength": 0.5},
    "strength 0": {"track": oracle.motion(300, 5, 3, seed=8), "strength": 0.0},
    "another rate": {"track": oracle.motion(700, 5, 3, seed=9), "fps": 60.0},
    "rotations": {"track": oracle.motion(300, 5, 3, seed=10), "kind": "axis_angle"},
    "quaternions": {"track": oracle.motion(300, 5, 4, seed=11), "kind": "quat_wxyz"},
    "shorter than a window": {"track": oracle.motion(9, 5, 3, seed=12)},
    "one frame": {"track": oracle.motion(1, 5, 3, seed=13)},
    "nothing": {"track": np.empty((0, 5, 3))},
}


@pytest.mark.parametrize("case", CASES)
def test_out_is_written_to_and_returned(case):
    call = CASES[case]
    track = call["track"]
    before = track.copy()
    expected = refine(**call)
    for out in (np.full_like(track, 7), np.full_like(track, np.nan, order="F"), _every_second(track)):
        assert refine(**call, out=out) is out
        np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(track, before)


def _every_second(track):
    return np.full((*track.shape[:-1], 2 * track.shape[-1]), 3, track.dtype)[..., ::2]


def test_what_lies_around_out_stays():
    track = CASES["positions"]["track"]
    around = np.full((702, 7, 4), -1.5)
    refine(track, out=around[1:-1, 1:-1, :3])
    inside = np.zeros(around.shape, bool)
    inside[1:-1, 1:-1, :3] = True
    assert (around[~inside] == -1.5).all()
    np.testing.assert_array_equal(around[1:-1, 1:-1, :3], refine(track))


def test_a_memory_map_is_written_to(tmp_path):
    track = CASES["float32"]["track"]
    np.save(tmp_path / "in.npy", track)
    source = np.load(tmp_path / "in.npy", mmap_mode="r")
    out = np.lib.format.open_memmap(tmp_path / "out.npy", mode="w+", dtype=np.float32, shape=track.shape)
    assert refine(source, out=out) is out
    out.flush()
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), refine(track))


def test_a_tensor_is_written_to():
    torch = pytest.importorskip("torch")
    track = torch.from_numpy(CASES["positions"]["track"])
    for backend in ("auto", "numpy"):
        out = torch.zeros_like(track)
        assert refine(track, out=out, backend=backend) is out
        np.testing.assert_array_equal(out.numpy(), refine(track, backend=backend).numpy())


TRACK = CASES["positions"]["track"]
READ_ONLY = np.broadcast_to(np.zeros(3), TRACK.shape)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((700, 5)), r"^out: expected what the track is, \(700, 5, 3\) float64, received \(700, 5\) float64$"),
        (np.zeros(TRACK.shape, "f4"), r"^out: expected .* float64, received \(700, 5, 3\) float32$"),
        (TRACK.tolist(), r"^out: expected what the track is, \(700, 5, 3\) float64, received a list$"),
        (READ_ONLY, r"^out: expected an array that can be written to, received one that can only be read$"),
    ],
)
def test_what_out_may_not_be(out, message):
    with pytest.raises(ValueError, match=message):
        refine(TRACK, out=out)


@pytest.mark.parametrize("shift", [0, 1])
def test_out_may_not_lie_in_the_track(shift):
    memory = np.concatenate([TRACK, TRACK[:1]])
    before = memory.copy()
    with pytest.raises(ValueError, match=r"^out: expected memory of its own, received an array in the track's memory$"):
        refine(memory[:-1], out=memory[shift : shift + len(TRACK)])
    np.testing.assert_array_equal(memory, before)


# A process that may have so many MB of data of its own beside what it has once it has refined a little.
LIMITED = """
import json, resource, sys
sys.path.insert(0, {root!r})
import numpy as np
from smoothnet_core import load_model, refine
from tests.core import window_oracle as oracle

model = {model}
size, frames, kind = {size}, {frames}, {kind!r}
shape = (frames, size) if kind == "channels" else (frames, 1, size)
refine(np.random.default_rng(0).normal(size=(9000, *shape[1:])).astype("f4"), model=model, kind=kind)
status = open("/proc/self/status").read()
limit = 1024 * int(status.split("VmData:")[1].split()[0]) + {allowed} * 1_000_000
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    np.zeros({allowed} * 1_000_000 + 2**20, np.uint8)
    raise SystemExit("the system limits no memory")
except MemoryError:
    pass
if {source!r}:
    track, out = np.load({source!r}, mmap_mode="r"), np.lib.format.open_memmap({target!r}, "w+", "f4", shape)
else:
    track, out = np.empty(shape, np.float32), None
    for start in range(0, frames, 2**16):
        time = np.arange(start, min(start + 2**16, frames))
        track[start : start + 2**16] = np.sin(time / 9 + np.sin(time)).reshape(-1, *[1] * (track.ndim - 1))
out = refine(track, model=model, kind=kind, out=out)
off = 0.0
for start in (0, 3_999_968, frames - 2048):
    part = slice(start, start + 2048)
    there = slice(64 * (start > 0), 2048 - 64 * (start + 2048 < frames))
    off = max(off, float(np.abs(refine(track[part], model=model, kind=kind)[there] - out[part][there]).max()))
print(json.dumps(off))
"""


def limited(**how):
    """Run the script above; return how far the result is from that of short pieces of the track."""
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux limits a process's data")
    script = LIMITED.format(**{"root": str(REPOSITORY), "source": "", "target": "", **how})
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("'fast'", "channels"),
        # The published network of its usual size would take a minute.
        ("oracle.published_model(8, 16, 2)", "channels"),
    ],
)
def test_ten_million_frames_in_memory_take_little_more_than_input_and_output(model, kind):
    assert limited(model=model, kind=kind, size=1, frames=10_000_000, allowed=40 + 40 + 100) < 1e-5


def test_ten_million_frames_from_disk_to_disk_take_next_to_nothing(tmp_path):
    frames, size = 10_000_000, 3
    source, target = str(tmp_path / "in.npy"), str(tmp_path / "out.npy")
    values = np.lib.format.open_memmap(source, mode="w+", dtype=np.float32, shape=(frames, 1, size))
    for start in range(0, frames, 2**16):
        time = np.arange(start, min(start + 2**16, frames))[:, None, None]
        values[start : start + 2**16] = np.sin(time / [9, 11, 13] + np.sin(time))
    del values
    how = {"model": "'fast'", "kind": "position", "size": size, "frames": frames}
    assert limited(**how, allowed=60, source=source, target=target) < 1e-5
