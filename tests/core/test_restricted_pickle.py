from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from smoothnet_core.restricted_pickle import load_npy, load_npz, load_pickle
from tests.core.attacks import ATTACKS, assert_value_or_one_line, binary, runs, touch

PROTOCOLS = range(6)
ARRAYS = {
    "C": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "Fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(20)[::3],
    "permuted": np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1),
    "big-endian": np.arange(5, dtype=">f8"),
    "bool": np.array([True, False]),
    "half": np.array([1.5, np.nan], np.float16),
    "complex": np.array([1 + 2j]),
    "text": np.array(["ab", "c"]),
    "bytes": np.array([b"ab", b"c"]),
    "empty": np.zeros((0, 3)),
    "scalar": np.array(3.5),
    "record": np.array([(1, 2.5)], dtype=[("a", "<i4"), ("b", "<f8")]),
    "record of vectors": np.zeros(2, dtype=[("a", "<f4", (3,))]),
}


def same(a: object, b: object) -> None:
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert isinstance(b, np.ndarray)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if a.dtype == object:
            for x, y in zip(a.ravel(), b.ravel(), strict=True):
                same(x, y)
        else:
            np.testing.assert_array_equal(a, b)
    elif isinstance(a, dict):
        assert isinstance(b, dict)
        same(list(a), list(b))
        same(list(a.values()), list(b.values()))
    elif isinstance(a, (list, tuple)):
        assert isinstance(b, (list, tuple))
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert a == b or (a != a and b != b)


def read_back(value: object, path: Path, protocol: int) -> object:
    path.write_bytes(pickle.dumps(value, protocol))
    return load_pickle(path)


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("title", ARRAYS)
def test_arrays_come_back(tmp_path, title, protocol):
    array = ARRAYS[title]
    back = read_back({"x": array, "again": array}, tmp_path / "a.pkl", protocol)
    same(back["x"], array)
    assert back["again"] is back["x"]
    assert back["x"].flags.writeable


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_containers_and_scalars_come_back(tmp_path, protocol):
    shared = [1, 2.5, None, True, 10**40, -1, "é\n", b"", b"\xff\x00", bytearray(b"ab"), bytearray(), 1 + 2j]
    value = {
        "shared": shared,
        "again": shared,
        "sets": [set(), {1, "a"}, frozenset({(1, 2)}), frozenset()],
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        "dicts": [{}, OrderedDict(a=1, b=OrderedDict()), defaultdict(list, {3: [1]}), defaultdict(None)],
        "ranges": [range(1, 9, 2), slice(None, 3)],
        np.int64(4): [np.float32(1.5), np.bool_(True), np.str_("a")],
        ("a", 3): np.array([None, [1], {"a": np.ones(2)}], dtype=object),
    }
    back = read_back(value, tmp_path / "a.pkl", protocol)
    same(back, value)
    assert back["shared"] is back["again"]
    assert back["dicts"][2].default_factory is list


def test_a_list_may_contain_itself(tmp_path):
    value: list[object] = []
    value.append(value)
    back = read_back(value, tmp_path / "a.pkl", 4)
    assert back[0] is back


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
ANY_ARRAY = npst.arrays(
    npst.floating_dtypes() | npst.integer_dtypes() | npst.boolean_dtypes(), npst.array_shapes(min_side=0)
)
VALUES = st.recursive(
    SCALARS | ANY_ARRAY,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(value=VALUES, protocol=st.sampled_from(PROTOCOLS))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_holds_data_comes_back(tmp_path, value, protocol):
    same(read_back(value, tmp_path / "a.pkl", protocol), value)


@given(data=st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_gives_one_line_or_a_value(tmp_path, data):
    value = {"a": [np.arange(5.0), (1, "x")], "b": OrderedDict(c={1, 2}), 3: np.array([[1], None], dtype=object)}
    raw = bytearray(pickle.dumps(value, data.draw(st.sampled_from(PROTOCOLS))))
    for place, byte in data.draw(st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255)), max_size=3)):
        raw[place] = byte
    path = tmp_path / "a.pkl"
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    assert_value_or_one_line(load_pickle, path)


@given(raw=st.binary(max_size=40))
@example(b"")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_gives_one_line_or_a_value(tmp_path, raw):
    path = tmp_path / "a.npy"
    path.write_bytes(raw)
    for load in (load_pickle, load_npy, load_npz):
        assert_value_or_one_line(load, path)


def test_the_attacks_are_attacks(canary):
    runs(ATTACKS["exec, protocol 4"][0](canary))
    assert canary.exists()


@pytest.mark.parametrize("title", ATTACKS)
def test_attacks_are_refused_by_name(tmp_path, canary, title):
    make, message = ATTACKS[title]
    path = tmp_path / "bad.pkl"
    path.write_bytes(make(canary))
    with pytest.raises(ValueError, match=rf"^{path}: refused: .*{message}") as caught:
        load_pickle(path)
    assert "\n" not in str(caught.value)
    assert not canary.exists()


@pytest.mark.parametrize("title", ATTACKS)
@pytest.mark.parametrize("form", ["npy", "npz", "gz"])
def test_attacks_are_refused_inside_other_files(tmp_path, canary, title, form):
    make, message = ATTACKS[title]
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    npy = header.getvalue() + make(canary)
    path = tmp_path / f"bad.{form}"
    if form == "npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("good.npy", _npy(np.zeros(3)))
            archive.writestr("pose.npy", npy)
        load, where = load_npz, r"member pose\.npy: "
    elif form == "npy":
        path.write_bytes(npy)
        load, where = load_npy, ""
    else:
        path.write_bytes(gzip.compress(make(canary)))
        load, where = load_pickle, ""
    with pytest.raises(ValueError, match=rf"^{path}: refused: {where}.*{message}"):
        load(path)
    assert not canary.exists()


COMPRESSORS = [0, "zlib", "gzip", "bz2", "xz", "lzma"]


@pytest.mark.parametrize("compress", COMPRESSORS)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_joblib_files_come_back(tmp_path, compress, protocol):
    joblib = pytest.importorskip("joblib")
    objects = np.array([np.arange(3), None, {"a": [1]}], dtype=object)
    value = {1: {**ARRAYS, "objects": objects, "n": 3, "list": [np.arange(1000.0)] * 2}, "end": np.ones(3)}
    joblib.dump(value, tmp_path / "a.pkl", compress=compress and (compress, 3), protocol=protocol)
    same(load_pickle(tmp_path / "a.pkl"), value)


def test_subclasses_come_back_as_plain_arrays(tmp_path):
    joblib = pytest.importorskip("joblib")
    mapped = np.memmap(tmp_path / "map", np.float32, "w+", shape=(4,))
    mapped[:] = range(4)
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1.0, 2.0]])
    for dump, name in ((joblib.dump, "a"), (lambda v, p: p.write_bytes(pickle.dumps(v)), "b")):
        dump([mapped, matrix], tmp_path / name)
        back = load_pickle(tmp_path / name)
        same(back, [np.arange(4, dtype=np.float32), np.array([[1.0, 2.0]])])


@pytest.mark.parametrize("compress", COMPRESSORS)
def test_a_payload_in_joblib_s_objects_is_refused(tmp_path, canary, compress):
    joblib = pytest.importorskip("joblib")
    path = tmp_path / "bad.pkl"
    joblib.dump({"x": np.array([touch(canary)], dtype=object)}, path, compress=compress and (compress, 3))
    with pytest.raises(ValueError, match=rf"^{path}: refused: the file asks for (builtins|__builtin__)\.exec, "):
        load_pickle(path)
    assert not canary.exists()


@pytest.mark.parametrize("compress", COMPRESSORS)
def test_every_truncation_of_a_joblib_file_is_reported(tmp_path, compress):
    joblib = pytest.importorskip("joblib")
    path = tmp_path / "a.pkl"
    joblib.dump({"x": np.arange(30.0), "y": "z"}, path, compress=compress and (compress, 3))
    raw = path.read_bytes()
    for end in range(0, len(raw) - 20, 7):
        path.write_bytes(raw[:end])
        with pytest.raises(ValueError, match=rf"^{path}: not a readable pickle: [^\n]*; expected a complete"):
            load_pickle(path)


def test_python_2_files_come_back(tmp_path):
    # pickle.dumps({'a': numpy.array([1., 2.], 'f4')}, 0) and (..., 2) of Python 2, with \xff in a text.
    state = b"(I1\n(I2\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
    old = b"(dS'a'\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR" + state
    old += b"S'\\x00\\x00\\x80?\\x00\\x00\\x00@'\ntbsS'g\\xff'\nL3L\ns."
    (tmp_path / "0.pkl").write_bytes(old)
    back = load_pickle(tmp_path / "0.pkl")
    same(back, {"a": np.array([1, 2], np.float32), "g\xff": 3})
    (tmp_path / "2.pkl").write_bytes(b"\x80\x02}U\x02g\xffc__builtin__\nset\n]K\x01a\x85Rs.")
    same(load_pickle(tmp_path / "2.pkl"), {"g\xff": {1}})


def test_tensors_in_pickles_come_back_as_arrays(tmp_path):
    torch = pytest.importorskip("torch")
    t = torch.arange(12.0).reshape(3, 4)
    value = {
        "t": t,
        "view": t[1:, ::2],
        "half": t.bfloat16(),
        "grad": torch.nn.Parameter(t),
        "wide": t[:1].expand(5, 4),
    }
    for protocol in (2, 4, 5):
        back = read_back(value, tmp_path / "a.pkl", protocol)
        same(back, {k: v.detach().float().numpy() for k, v in value.items()})
    # The layout of TRAM's hps_track files: a dict of tensors in a 0-d object array.
    np.save(tmp_path / "a.npy", np.array({"pred_trans": t}, dtype=object))
    same(load_npy(tmp_path / "a.npy").item(), {"pred_trans": t.numpy()})
    # Which of the arrays were tensors can be asked for.
    np.save(tmp_path / "a.npy", np.array({"tensors": [t, t[1]], "array": np.ones(3)}, dtype=object))
    tensors = []
    content = load_npy(tmp_path / "a.npy", tensors=tensors).item()
    assert [id(array) for array in tensors] == [id(array) for array in content["tensors"]]


# Small files that declare or make a great deal, or take for ever; and what must be said.
DTYPE = b"cnumpy\ndtype\n(X\x02\x00\x00\x00f8I0\nI1\ntR(I3\nX\x01\x00\x00\x00<NNNI-1\nI-1\nI0\ntb"
EMPTY_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntX\x01\x00\x00\x00btR"
DOUBLED = b")" + b"p0\ng0\n\x86" * 60  # a tuple of twice a tuple of twice ...: 2**60 leaves
BOMBS = {
    "array": (
        EMPTY_ARRAY + b"(I1\n(I1000000000000\nt" + DTYPE + b"I00\nB\x00\x00\x00\x00tb.",
        "0 bytes for an array of",
    ),
    "huge shape": (
        EMPTY_ARRAY + b"(I1\n(" + b"L" + b"9" * 30 + b"L\nt" + DTYPE + b"I00\nNtb.",
        "an array shape that is",
    ),
    "bytearray": (b"cbuiltins\nbytearray\nI1000000000000\n\x85R.", "the bytes of an array are a int"),
    "list of a range": (b"cbuiltins\nlist\ncbuiltins\nrange\nI1000000000000\n\x85R\x85R.", r"calls builtins\.list"),
    "set of a range": (b"cbuiltins\nset\ncbuiltins\nrange\nI1000000000000\n\x85R\x85R.", "made from a range, expected"),
    "declared text": (b"X\xff\xff\xff\x7fabc.", "not a readable pickle: [^;]*bytes"),
    "declared bytes": (b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc.", "not a readable pickle: [^;]*bytes"),
    "key that hashes for ever": (b"}" + DOUBLED + b"Ns.", "a tuple is used as a key, expected"),
    "shape that prints for ever": (EMPTY_ARRAY + b"(I1\n" + DOUBLED + DTYPE + b"I00\nNtb.", "an array shape that is"),
    "dtype that prints for ever": (b"cnumpy\ndtype\n" + DOUBLED + b"\x85R.", "array data type a tuple, expected"),
    "bytes used often": (
        binary(bytes(2**20)) + b"q\x000" + b"cbuiltins\nbytearray\nh\x00\x85R0" * 40 + b"N.",
        "refused: it declares more data than it holds",
    ),
    "list used often": (
        b"]q\x00(" + b"K\x01" * 2**18 + b"e0" + b"cbuiltins\nset\nh\x00\x85R0" * 40 + b"N.",
        "refused: it declares more data than it holds",
    ),
    "array never filled": (EMPTY_ARRAY + b".", "refused: an array or data type in it is never given its contents"),
    "array in a tuple, never filled": (EMPTY_ARRAY + b"\x85.", "refused: an array or data type in it is never given"),
    "array within itself": (
        b"(" + EMPTY_ARRAY + b"q\x01h\x01t.",
        "refused: an array or data type in it refers to itself",
    ),
    "records within records": (
        b"cnumpy\ndtype\n(X\x02\x00\x00\x00V8I0\nI1\ntR(I3\nX\x01\x00\x00\x00|N(X\x01\x00\x00\x00at}"
        b"X\x01\x00\x00\x00acnumpy\ndtype\n(X\x02\x00\x00\x00V8I0\nI1\ntR(I3\nX\x01\x00\x00\x00|N(X\x01\x00\x00\x00bt}"
        b"X\x01\x00\x00\x00b" + DTYPE + b"I0\n\x86sI8\nI1\nI16\ntbI0\n\x86sI8\nI1\nI16\ntb.",
        "records within records",
    ),
}


@pytest.mark.parametrize("title", BOMBS)
def test_small_files_cannot_take_memory_or_time(tmp_path, title):
    raw, message = BOMBS[title]
    path = tmp_path / "bomb.pkl"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=message):
        load_pickle(path)


def test_an_inline_array_cannot_be_larger_than_its_file(tmp_path):
    joblib = pytest.importorskip("joblib")
    path = tmp_path / "a.pkl"
    joblib.dump(np.zeros(7, np.uint8), path)
    raw = path.read_bytes()
    assert raw.count(b"K\x07\x85") == 1
    path.write_bytes(raw.replace(b"K\x07\x85", b"\x8a\x08" + struct.pack("<q", 2**61) + b"\x85"))
    with pytest.raises(ValueError, match=r"bytes for an array of shape \(2305843009213693952,\) and type uint8"):
        load_pickle(path)


def test_unpacked_size_is_bounded(tmp_path):
    raw = pickle.dumps(bytes(10**6))
    for pack in (zlib.compress, bz2.compress, lzma.compress):
        path = tmp_path / "a.pkl"
        path.write_bytes(pack(raw))
        assert load_pickle(path, max_bytes=10**6 + 100) == bytes(10**6)
        with pytest.raises(
            ValueError,
            match=rf"^{path}: refused: bytes that [\d,]+ unpack to: expected at most 100,000, received more \(SMOOTH",
        ):
            load_pickle(path, max_bytes=100_000)
        path.write_bytes(raw)
        with pytest.raises(
            ValueError, match=r"refused: bytes of the file: expected at most 100,000, received 1,000,\d+ \("
        ):
            load_pickle(path, max_bytes=100_000)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "it ends before the pickle does; expected a complete pickle or joblib file, found an empty file"),
        (b"\x80\x04K", "not enough data in stream to read uint1; .*found 3 bytes beginning with b'.x80.x04K'"),
        (b"hello", "KeyError: 101|is no pickle operation"),
        (b"PK\x03\x04", "it is a zip archive, as .npz and .pt files are; expected"),
        (b"\x04\x22\x4d\x18", "it is compressed with lz4, which is not read; expected"),
        (b"\x80\x06N.", "pickle protocol 6, expected 0 to 5; expected"),
        (b".", "an operation finds no value to work on"),
        (b"t.", "an operation finds no mark"),
        (b"Na.", "an operation finds no list to add to"),
        (b"}(K\x01u.", r"zip\(\) argument 2 is shorter"),
        (b"h\x05.", "KeyError: 5"),
        (b"Sabc\n.", "a text of protocol 0 has no quotes"),
        (pickle.dumps(0x1950A86A20F9469CFC6C, 2), "it is a PyTorch file"),
        (b"cnumpy\ndtype\n(X\x02\x00\x00\x00M8I0\nI1\ntR.", "array data type 'M8', expected numbers, text or objects"),
    ],
)
def test_unreadable_files(tmp_path, raw, message):
    path = tmp_path / "x.pkl"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=rf"^{path}: not a readable pickle: .*({message})"):
        load_pickle(path)


@pytest.mark.parametrize("load", [load_pickle, load_npy, load_npz])
def test_files_that_cannot_be_opened(tmp_path, load):
    with pytest.raises(ValueError, match=rf"^{tmp_path}/no: cannot be read: No such file or directory$"):
        load(tmp_path / "no")
    with pytest.raises(ValueError, match=rf"^{tmp_path}: cannot be read: Is a directory$"):
        load(tmp_path)


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_files_come_back_as_numpy_reads_them(tmp_path, save):
    sequences = np.empty(2, dtype=object)
    sequences[:] = [np.zeros((3, 6)), np.ones((5, 6))]
    path = tmp_path / "a.npz"
    save(path, joints_3d=sequences, smpl={"pose": np.ones(3)}, dates=np.array(["2020-01-01"], "M8[D]"), **ARRAYS)
    back = load_npz(path)
    with np.load(path, allow_pickle=True) as expected:
        assert list(back) == expected.files
        for name in expected.files:
            same(back[name], expected[name])
            assert back[name].flags.writeable
            assert back[name].flags.f_contiguous == expected[name].flags.f_contiguous


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            b"",
            r"not a readable \.npy file: no \.npy header, expected b'.x93NUMPY' and found b''; expected a NumPy array",
        ),
        (
            _npy(np.zeros(4))[:-1],
            r"declares 32 bytes \(shape \(4,\), type float64\), expected at most the 31 that follow",
        ),
        (_npy(np.zeros(4)).replace(b"(4,), ", b"(9**9,)"), "not a readable .npy file: "),
        (_npy(np.zeros(4)).replace(b"(4,), }  ", b"(-4,), } "), "an array shape that is no tuple"),
        (b"\x93NUMPY\x07\x00" + bytes(90), "we only support format|version"),
        (_npy(np.array([None, 1], object)).replace(b"(2,)", b"(3,)"), r"objects of shape \(3,\), which do not follow"),
    ],
)
def test_unreadable_npy_files(tmp_path, raw, message):
    path = tmp_path / "x.npy"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=rf"^{path}: .*{message}"):
        load_npy(path)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("inner.npy", raw)
    with pytest.raises(ValueError, match=r"x\.npz: not a readable \.npz file: member inner\.npy: "):
        load_npz(tmp_path / "x.npz")


def test_members_that_declare_too_much_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(10**6), b=np.zeros(10**6))
    with pytest.raises(
        ValueError,
        match=rf"^{path}: refused: bytes that its members declare: expected at most 1,000, received 16,000,\d+ \(",
    ):
        load_npz(path, max_bytes=1000)


def test_an_npz_member_that_is_no_array_is_reported(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(ValueError, match=r"member notes\.txt: no \.npy header"):
        load_npz(path)


def test_nothing_heavy_is_imported():
    code = "import sys, smoothnet_core.restricted_pickle; print([m for m in ('torch', 'joblib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
