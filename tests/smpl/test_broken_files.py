"""What the fuzzers found, each once more."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from smoothnet_core.restricted_pickle import load_npy, load_pickle
from smpl_tools.formats import read, write
from tests.smpl.hostile_files import npz
from tests.smpl.test_hostile_pickles import array

BAD_TEXT = np.frombuffer((0x12345678).to_bytes(4, "little") * 2, "<U2")


def test_text_of_characters_that_do_not_exist_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", BAD_TEXT)
    with pytest.raises(ValueError, match="a text in an array has a character that does not exist"):
        load_npy(tmp_path / "a.npy")
    (tmp_path / "a.npz").write_bytes(npz(poses=array(np.zeros((2, 156))), gender=array(BAD_TEXT)))
    with pytest.raises(ValueError, match=r"member gender\.npy: a text in an array has"):
        read(tmp_path / "a.npz")
    record = np.zeros(1, [("a", "f4"), ("b", ">U1")])
    record["b"] = "x"
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(record).replace(b"\0\0\0x", b"\x7f\0\0x"))
    with pytest.raises(ValueError, match="a character that does not exist"):
        load_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("times", "fps"),
    [
        ("0 1 2", 1.0),
        ("2 1 0", None),
        ("0 0.1 nan", 10.0),
        ("0 0.1 -5", 10.0),
        ("nan nan nan", None),
        ("0 inf 1", None),
    ],
)
def test_times_that_do_not_rise_make_no_negative_rate(tmp_path, times, fps):
    rows = "".join(f"{time},{k},1\n" for k, time in enumerate(times.split()))
    (tmp_path / "a.csv").write_text("time,a_x,a_y\n" + rows)
    found = read(tmp_path / "a.csv").fps
    assert found == (pytest.approx(fps) if fps else None)


@pytest.mark.parametrize("scaling", [0.0, -1.0, np.nan, np.inf, 1e-310])
def test_a_scaling_that_is_none_is_refused(tmp_path, scaling):
    content = {"smpl_poses": np.zeros((2, 72)), "smpl_trans": np.zeros((2, 3)), "smpl_scaling": np.array([scaling])}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match="smpl_scaling: expected a positive number, received"):
        read(tmp_path / "a.pkl")


def test_what_is_only_named_is_written_under_its_own_name(tmp_path):
    record = {"pose": np.zeros((2, 72)), "frame_ids": np.arange(2), "more": "here"}
    raw = pickle.dumps({0: record}, 2).replace(b"X\x04\x00\x00\x00here", b"ctorch\nfloat32\n")
    (tmp_path / "a.pkl").write_bytes(raw)
    write(read(tmp_path / "a.pkl"), tmp_path / "b.pkl")
    assert b"smoothnet_core" not in (tmp_path / "b.pkl").read_bytes()
    assert str(load_pickle(tmp_path / "b.pkl")[0]["more"]) == "torch.float32"


def test_what_nests_too_deeply_to_be_written_is_said_so(tmp_path):
    record = {"pose": np.zeros((2, 72)), "frame_ids": np.arange(2), "more": "here"}
    deep = b"]" * 3000 + b"a" * 2999
    raw = pickle.dumps({0: record}, 2).replace(b"X\x04\x00\x00\x00here", deep)
    (tmp_path / "a.pkl").write_bytes(raw)
    motion = read(tmp_path / "a.pkl")
    with pytest.raises(ValueError, match="pickle to write: nested too deeply"):
        write(motion, tmp_path / "b.pkl")
    assert not (tmp_path / "b.pkl").exists()
