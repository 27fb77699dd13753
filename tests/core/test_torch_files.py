from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from smoothnet_core.torch_files import _DTYPES, load_torch
from tests.core.attacks import ATTACKS, assert_value_or_one_line, touch

LAYOUTS = {"zip": True, "legacy": False}
MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"


@pytest.fixture(params=LAYOUTS)
def save(request, tmp_path):
    torch = pytest.importorskip("torch")

    def write(value):
        path = tmp_path / "a.pt"
        torch.save(value, path, _use_new_zipfile_serialization=LAYOUTS[request.param])
        return path

    return write


def archive(path, program, **storages):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", program)
        for name, raw in storages.items():
            file.writestr(f"a/{name}" if name == "byteorder" else f"a/data/{name.removeprefix('s')}", raw)
    return path


def storage(kind, key, count, module="torch"):
    """The persistent id of a storage, in pickle's opcodes."""
    number = b"L" + str(count).encode() + b"L\n"
    name = f"X\x07\x00\x00\x00storagec{module}\n{kind}\nV{key}\nVcpu\n".encode()
    return b"(" + name + number + b"tQ"


def tensor(stored, offset, size, stride):
    def ints(values):
        return b"(" + b"".join(b"L" + str(v).encode() + b"L\n" for v in values) + b"t"

    number = b"L" + str(offset).encode() + b"L\n"
    return TENSOR + b"(" + stored + number + ints(size) + ints(stride) + b"I00\nNtR"


@pytest.mark.parametrize("name", sorted(_DTYPES))
def test_every_type_comes_back(save, name):
    torch = pytest.importorskip("torch")
    dtype = getattr(torch, name)
    value = torch.tensor([[0, 1, 2], [3, 1, 0]]).to(dtype)
    back = load_torch(save({"x": value, "again": value}))
    assert back["x"].dtype == value.numpy().dtype
    np.testing.assert_array_equal(back["x"], value.numpy())
    assert back["again"] is back["x"]


def test_bfloat16_is_widened(save):
    torch = pytest.importorskip("torch")
    value = torch.linspace(-3, 3, 12).reshape(3, 4).bfloat16()
    back = load_torch(save(value.T))
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, value.T.float().numpy())


def test_views_keep_shape_strides_and_shared_memory(save):
    torch = pytest.importorskip("torch")
    base = torch.arange(24.0).reshape(2, 3, 4)
    views = {
        "base": base,
        "permuted": base.permute(2, 0, 1),
        "sliced": base[1:, ::2, 1:3],
        "expanded": base[:1, :1, :1].expand(4, 5, 6),
        "scalar": base[1, 2, 3],
        "empty": base[:0],
        "none": torch.zeros(0),
    }
    back = load_torch(save(views))
    for name, view in views.items():
        np.testing.assert_array_equal(back[name], view.numpy())
        if view.numel():
            assert back[name].strides == view.numpy().strides
    back["base"][1, 2, 3] = -7
    assert back["scalar"] == -7


def test_what_surrounds_tensors_comes_back(save):
    torch = pytest.importorskip("torch")
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters(), amsgrad=True)
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    saved = {
        "state_dict": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "size": torch.Size([2, 3]),
        "devices": [torch.device("cuda", 1), torch.device("cpu")],
        "dtype": torch.float32,
        "array": np.arange(3),
        "number": np.float64(2.5),
        "storage": torch.ones(2).untyped_storage(),
    }
    back = load_torch(save(saved))
    assert isinstance(back["state_dict"], OrderedDict)
    np.testing.assert_array_equal(back["state_dict"]["weight"], network.weight.detach().numpy())
    assert back["optimizer"]["param_groups"] == optimizer.state_dict()["param_groups"]
    np.testing.assert_array_equal(back["parameter"], [1, 1])
    assert back["size"] == (2, 3)
    assert back["devices"] == ["cuda:1", "cpu"]
    assert str(back["dtype"]) == "torch.float32"
    assert back["number"] == 2.5
    np.testing.assert_array_equal(back["storage"].view(np.float32), [1, 1])


def test_where_a_tensor_lay_is_ignored(tmp_path):
    program = tensor(storage("FloatStorage", "0", 2, "torch.cuda").replace(b"Vcpu", b"Vcuda:3"), 0, [2], [1]) + b"."
    back = load_torch(archive(tmp_path / "a.pt", program, s0=np.array([1, 2], "<f4").tobytes()))
    np.testing.assert_array_equal(back, [1, 2])


@pytest.mark.parametrize(("kind", "raw"), [("Float", np.array([1.5, -2], ">f4")), ("BFloat16", b"\x3f\xc0\xc0\x00")])
def test_big_endian_files_are_swapped(tmp_path, kind, raw):
    program = tensor(storage(f"{kind}Storage", "0", 2), 0, [2], [1]) + b"."
    back = load_torch(archive(tmp_path / "a.pt", program, s0=bytes(raw), byteorder=b"big"))
    assert back.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(back, [1.5, -2])


def test_complex_conjugates_are_reported(save):
    torch = pytest.importorskip("torch")
    path = save(torch.zeros(2, dtype=torch.complex64).conj())
    with pytest.raises(ValueError, match=r"a tensor stored with a pending conjugation or negation, expected its plain"):
        load_torch(path)


def test_payloads_are_refused(save, tmp_path):
    canary = tmp_path / "canary"
    path = save({"state_dict": {}, "hook": touch(canary)})
    with pytest.raises(
        ValueError, match=rf"^{path}: refused: the file asks for (builtins|__builtin__)\.exec, which is not"
    ):
        load_torch(path)
    assert not canary.exists()


# A torch file has persistent ids of its own.
@pytest.mark.parametrize("title", [t for t in ATTACKS if "persistent" not in t and "storage" not in t])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_attacks_are_refused_by_name(tmp_path, title, layout):
    make, message = ATTACKS[title]
    canary, path = tmp_path / "canary", tmp_path / "bad.pt"
    if layout == "zip":
        archive(path, make(canary))
    else:
        path.write_bytes(MAGIC + make(canary))
    with pytest.raises(ValueError, match=rf"^{path}: refused: .*{message}"):
        load_torch(path)
    assert not canary.exists()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"P1\n.", "an object outside itself that is no storage; nothing was run"),
        (b"(Vmodule\nVx\ntQ.", "an object outside itself that is no storage; nothing was run"),
        (b"ctorch.storage\n_load_from_bytes\n.", r"asks for torch\.storage\._load_from_bytes,"),
        (b"ctorch\nFloatStorage\n)R.", r"calls torch\.FloatStorage, which is not a way"),
        (storage("FloatStorage", "0", 3) + b".", r"a storage of 3 x 4 bytes, found 16 bytes"),
        (storage("FloatStorage", "0", 10**15) + b".", r"a storage of 1,000,000,000,000,000 x 4 bytes, found 16 bytes"),
        (storage("FloatStorage", "0", -1) + b".", "a storage of -1 elements"),
        (storage("FloatStorage", "9", 4) + b".", "member a/data/9 is missing"),
        (
            tensor(storage("FloatStorage", "0", 4), 1, [4], [1]) + b".",
            r"a tensor of size \(4,\), stride \(1,\) and offset 1",
        ),
        (tensor(storage("FloatStorage", "0", 4), -1, [4], [1]) + b".", r"and offset -1"),
        (tensor(storage("FloatStorage", "0", 4), 0, [2], [-1]) + b".", "an array shape that is no tuple"),
        (tensor(storage("FloatStorage", "0", 4), 0, [2, 2], [1]) + b".", r"a tensor of size \(2, 2\), stride \(1,\)"),
        (
            tensor(storage("FloatStorage", "0", 4), 0, [2**40], [0]) + b".",
            "refused: it declares more data than it holds",
        ),
        # One element repeated a thousand times, taken for a storage of a thousand: would read beyond the memory.
        (
            tensor(tensor(storage("FloatStorage", "0", 4), 0, [1000], [0]), 0, [1000], [1]) + b".",
            "a tensor whose storage has gaps or repetitions",
        ),
        (tensor(b"N", 0, [1], [1]) + b".", "a tensor without storage"),
    ],
)
def test_tensors_cannot_reach_beyond_their_file(tmp_path, program, message):
    path = archive(tmp_path / "bad.pt", program, s0=np.arange(4, dtype="<f4").tobytes())
    with pytest.raises(ValueError, match=rf"^{path}: .*{message}"):
        load_torch(path)


@pytest.mark.parametrize(
    ("program", "rest", "message"),
    [
        (storage("FloatStorage", "0", 10**12)[:-2] + b"NtQ.", b"", "refused: it declares more data than it holds"),
        (storage("FloatStorage", "0", 1)[:-2] + b"NtQ.", b"].", "the storages that follow are not those"),
        (storage("FloatStorage", "0", 1)[:-2] + b"NtQ.", b"(V0\nl.", "the data of storage 0 are not the 1 elements"),
        (
            storage("FloatStorage", "0", 1)[:-2] + b"NtQ.",
            b"(V0\nl." + struct.pack("<q", 1) + b"ab",
            "a storage of 1 x 4 bytes, found 2 bytes",
        ),
        (storage("FloatStorage", "0", 1)[:-2] + b"(V1\nI0\nI1\nttQ.", b"", "a view of a storage, expected a whole one"),
        (b"N.", b"", "it ends before the pickle does"),
    ],
)
def test_damaged_legacy_files(tmp_path, program, rest, message):
    path = tmp_path / "bad.pt"
    path.write_bytes(MAGIC + program + rest)
    with pytest.raises(ValueError, match=rf"^{path}: .*{message}"):
        load_torch(path)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "it ends before the pickle does; expected what torch.save writes, found an empty file"),
        (pickle.dumps({"a": 1}), "neither a zip container nor PyTorch's magic number; expected what torch.save writes"),
        (MAGIC[:15] + pickle.dumps(7), "version 7, expected 1001"),
        (b"PK\x03\x04 cut", "not a readable PyTorch file"),
    ],
)
def test_unreadable_files(tmp_path, raw, message):
    path = tmp_path / "x.pt"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=rf"^{path}: not a readable PyTorch file: .*{message}|^{path}: {message}"):
        load_torch(path)


def test_archives_that_are_not_torch_s(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(
        ValueError, match=rf"^{path}: not a readable PyTorch file: the archive has 0 members data\.pkl, "
    ):
        load_torch(path)
    archive(path, b"N.", byteorder=b"middle")
    with pytest.raises(ValueError, match=r"byte order b'middle', expected little or big"):
        load_torch(path)
    with pytest.raises(ValueError, match=r"refused: bytes that its members declare: expected at most 5, received 8 \("):
        load_torch(path, max_bytes=5)
    with pytest.raises(ValueError, match=rf"^{tmp_path}/no: cannot be read: No such file or directory$"):
        load_torch(tmp_path / "no")


@pytest.mark.parametrize("step", [97])
def test_every_truncation_is_reported(save, step):
    torch = pytest.importorskip("torch")
    path = save({"x": torch.arange(30.0), "y": [torch.ones(3).double()]})
    raw = path.read_bytes()
    for end in range(0, len(raw), step):
        path.write_bytes(raw[:end])
        with pytest.raises(ValueError, match=rf"^{path}: (not a readable PyTorch file|refused): [^\n]*$"):
            load_torch(path)


def test_damage_gives_one_line_or_a_value(save):
    torch = pytest.importorskip("torch")
    path = save({"x": torch.arange(6.0).reshape(2, 3), "y": torch.ones(3).bfloat16()})
    raw = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(raw)
        for place in rng.integers(len(raw), size=2):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        assert_value_or_one_line(load_torch, path)


def test_golden_storages_are_those_of_torch(save):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    value = {str(i): torch.from_numpy(rng.normal(size=(i, 3)).astype(np.float32)) for i in range(1, 12)}
    path = save(value)
    expected = torch.load(io.BytesIO(path.read_bytes()), weights_only=True)
    back = load_torch(path)
    for name, tensor_ in expected.items():
        np.testing.assert_array_equal(back[name], tensor_.numpy())


def test_the_storages_are_handed_out_and_tensors_are_views_of_them(tmp_path):
    torch = pytest.importorskip("torch")
    base = torch.arange(6.0)
    torch.save({"a": base[1:5].reshape(2, 2), "b": base, "c": torch.ones(2)}, tmp_path / "a.pt")
    storages = {}
    value = load_torch(tmp_path / "a.pt", storages=storages)
    assert {name: array.tolist() for name, array in storages.items()} == {
        "a/data/0": [0, 1, 2, 3, 4, 5],
        "a/data/1": [1, 1],
    }
    storages["a/data/0"][1] = 9
    assert value["a"][0, 0] == value["b"][1] == 9
    torch.save({"a": base}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    storages = {}
    load_torch(tmp_path / "old.pt", storages=storages)
    assert storages == {}
