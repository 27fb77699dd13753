from __future__ import annotations

import copyreg
import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest

from smoothnet_core.restricted_pickle import load_npy, load_npz, load_pickle
from smoothnet_core.torch_files import load_torch
from tests.core.attack_names import by_name
from tests.core.attack_ways import WAYS
from tests.core.attacks import binary, runs, shell, text, touch
from tests.core.test_restricted_pickle import _npy
from tests.core.test_torch_files import MAGIC, archive, storage, tensor

NAMES = by_name()
ALL = {**NAMES, **WAYS}


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"


def refused(load, path, message):
    with pytest.raises(ValueError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("title", ALL)
def test_every_way_is_refused_by_name_and_runs_nothing(tmp_path, canary, title):
    make, message = ALL[title]
    path = tmp_path / "bad.pkl"
    path.write_bytes(make(canary))
    refused(load_pickle, path, message)
    path.write_bytes(zlib.compress(make(canary)))
    refused(load_pickle, path, message)
    assert not canary.exists()


@pytest.mark.parametrize("title", WAYS)
def test_every_way_is_refused_in_the_other_files(tmp_path, canary, title):
    make, message = WAYS[title]
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
    npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + make(canary)
    (tmp_path / "bad.npy").write_bytes(npy)
    refused(load_npy, tmp_path / "bad.npy", message)
    np.savez(tmp_path / "bad.npz", good=np.zeros(2))
    with zipfile.ZipFile(tmp_path / "bad.npz", "a") as file:
        file.writestr("pose.npy", npy)
    refused(load_npz, tmp_path / "bad.npz", f"member pose.npy: .*({message})")
    if "persistent" not in title and "storage" not in title and "joblib" not in title:
        refused(load_torch, archive(tmp_path / "zip.pt", make(canary)), message)
        (tmp_path / "old.pt").write_bytes(MAGIC + make(canary))
        refused(load_torch, tmp_path / "old.pt", message)
    assert not canary.exists()


@pytest.mark.parametrize(
    "make",
    [
        WAYS["a chain of getattr and __import__"][0],
        WAYS["the module by way of the memo"][0],
        WAYS["a memo that is written twice"][0],
        WAYS["a pickle in bytes in a pickle"][0],
        WAYS["an object in an array"][0],
        NAMES["the system: os.system, STACK_GLOBAL"][0],
        NAMES["the system: posix.system, INST"][0],
    ],
)
def test_these_attacks_are_attacks(canary, make):
    runs(make(canary))
    assert canary.exists()


def test_an_extension_that_is_registered_is_refused_all_the_same(tmp_path, canary):
    copyreg.add_extension("builtins", "exec", 0xF0)
    try:
        attack = WAYS["an extension code of one byte"][0](canary)
        runs(attack)
        assert canary.exists()
        canary.unlink()
        (tmp_path / "bad.pkl").write_bytes(attack)
        refused(load_pickle, tmp_path / "bad.pkl", "refused: the file asks for extension code 240, which")
    finally:
        copyreg.remove_extension("builtins", "exec", 0xF0)
    assert not canary.exists()


def test_what_stands_behind_the_end_of_a_pickle_is_not_read(tmp_path, canary):
    path = tmp_path / "two.pkl"
    path.write_bytes(pickle.dumps([1]) + pickle.dumps(touch(canary)))
    assert load_pickle(path) == [1]
    assert not canary.exists()


def test_a_storage_cannot_name_a_file_outside_its_archive(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(8))
    for key in ("../../secret", str(tmp_path / "secret"), "..\\\\secret"):
        program = tensor(storage("FloatStorage", key, 2), 0, [2], [1]) + b"."
        refused(load_torch, archive(tmp_path / "a.pt", program), "member a/data/.*secret is missing")


def test_a_persistent_id_in_a_torch_file_is_a_storage_or_refused(tmp_path, canary):
    named = b"\x80\x02(" + text("storage") + b"cos\nsystem\n" + text("0") + text("cpu") + b"K\x01tQ."
    refused(load_torch, archive(tmp_path / "a.pt", named), r"refused: the file asks for os\.system,")
    other = b"\x80\x02(" + text("file") + text(shell(canary)) + b"tQ."
    refused(load_torch, archive(tmp_path / "a.pt", other), "refused: the file refers to an object outside itself")


def test_records_with_objects_in_them_are_no_way_round(tmp_path, canary):
    array = np.zeros(1, dtype=[("a", "O"), ("b", "f4")])
    array["a"][0] = touch(canary)
    for protocol in (0, 2, 4):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(array, protocol))
        refused(load_pickle, tmp_path / "a.pkl", r"refused: the file asks for (__builtin__|builtins)\.exec,")
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    refused(load_npy, tmp_path / "a.npy", r"refused: the file asks for builtins\.exec,")
    (tmp_path / "b.npy").write_bytes(_npy(np.zeros(1, "f8")).replace(b"'<f8'", b"[('a','O')]")[:128] + bytes(8))
    with pytest.raises(ValueError, match=r"not a readable \.npy"):
        load_npy(tmp_path / "b.npy")
    assert not canary.exists()


def test_bytes_within_bytes_are_only_bytes(tmp_path, canary):
    inner = pickle.dumps(touch(canary))
    for _ in range(4):
        inner = b"\x80\x04" + binary(inner) + b"."
    (tmp_path / "a.pkl").write_bytes(inner)
    assert isinstance(load_pickle(tmp_path / "a.pkl"), bytes)
    assert not canary.exists()
