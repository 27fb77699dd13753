"""PyTorch's files without PyTorch: the zip container of ``torch.save`` and the layout before PyTorch 1.6.

Tensors become NumPy arrays; nothing the file asks for is run (see :mod:`smoothnet_core._pickle_machine`).
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._pickle_machine import Allowance, Machine, Named, Types
from smoothnet_core._pickle_types import PLAIN_TYPES, checked_shape
from smoothnet_core._reading import Refusal, members, most_bytes, read_bytes, reading, show

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001
# Views may repeat their storage (tied weights, expand), but not without end.
_REPEATED_BYTES = 2**28

# PyTorch's name of a storage: how its elements lie in the file.
_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "b1",
    "ComplexFloatStorage": "c8",
    "ComplexDoubleStorage": "c16",
    "UntypedStorage": "u1",
    "_UntypedStorage": "u1",
}
_DTYPES = {
    **{f"float{n}": f"f{n // 8}" for n in (16, 32, 64)},
    **{f"int{n}": f"i{n // 8}" for n in (8, 16, 32, 64)},
    **{f"uint{n}": f"u{n // 8}" for n in (8, 16, 32, 64)},
    "bool": "b1",
    "complex64": "c8",
    "complex128": "c16",
}


def load_torch(
    path: str | PathLike[str],
    *,
    max_bytes: int | None = None,
    storages: dict[str, NDArray[Any]] | None = None,
) -> Any:
    """Return what ``torch.save`` wrote, tensors and parameters as NumPy arrays, without running anything.

    Arrays have the tensor's shape, strides and type; those that shared a storage share memory; bfloat16 is widened to
    float32. Devices come back as text, ``torch.Size`` as a tuple; where a tensor lay (CUDA, CPU) is ignored.

    Args:
        path: the file, a zip container or the layout before PyTorch 1.6.
        max_bytes: most bytes that the file, or the members of the container together, may have; None for
            the limit.
        storages: receives the storages (1-D) of a zip container by their member's name; the returned tensors are views
            of them. Nothing is added for the layout before PyTorch 1.6.

    Raises:
        ValueError: the file cannot be read, is damaged, is larger, or asks for anything else; one line with the path.
    """
    path = Path(path)
    with reading(path, "PyTorch file", "what torch.save writes"):
        if zipfile.is_zipfile(path):
            return _load_container(path, most_bytes(max_bytes), {} if storages is None else storages)
        content = read_bytes(path, most_bytes(max_bytes))
        return _load_legacy(content, Allowance(_REPEATED_BYTES + 8 * len(content), len(content)))


def _load_container(path: Path, max_bytes: int, storages: dict[str, NDArray[Any]]) -> Any:
    with zipfile.ZipFile(path) as archive:
        files = members(path, archive, max_bytes)
        roots = [name.removesuffix("data.pkl") for name in files if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise ValueError(f"the archive has {len(roots)} members data.pkl, expected 1")
        root = roots[0]
        mark = archive.read(f"{root}byteorder") if f"{root}byteorder" in files else b"little"
        if mark not in (b"little", b"big"):
            raise ValueError(f"byte order {mark!r}, expected little or big")
        program = archive.read(f"{root}data.pkl")
        packed = min(files[f"{root}data.pkl"].compress_size, path.stat().st_size)
        allowance = Allowance(_REPEATED_BYTES + 4 * len(program), packed)

        def persistent(identity: Any) -> NDArray[Any]:
            _, storage, key, _, count = _storage_identity(identity, 5)
            name = f"{root}data/{key}"
            if name not in storages:
                if name not in files:
                    raise ValueError(f"member {name} is missing")
                data = archive.read(name)
                storages[name] = _storage(data, _STORAGES[storage.name], count, mark.decode())
                allowance.add(4 * len(data))
            return storages[name]

        return Machine(io.BytesIO(program), _FILE_TYPES, allowance, persistent).load()


def _load_legacy(content: bytes | bytearray, allowance: Allowance) -> Any:
    """Read five pickles (magic number, version, system, the object, the storages' keys), then the storages.

    Each storage is an int64 count of elements and the elements, little-endian.
    """
    stream = io.BytesIO(content)

    def unpickle(persistent: Callable[[Any], Any] | None = None) -> Any:
        return Machine(stream, _FILE_TYPES, allowance, persistent).load()

    magic = unpickle()
    if type(magic) is not int or magic != MAGIC_NUMBER:
        raise ValueError("neither a zip container nor PyTorch's magic number")
    version = unpickle()
    if version != _LEGACY_VERSION:
        raise ValueError(f"version {show(version)}, expected {_LEGACY_VERSION}")
    unpickle()

    # The storages lie behind the object that uses them: it is read once to learn their types, and again with them.
    start = stream.tell()
    declared: dict[str, tuple[str, int]] = {}
    storages: dict[str, NDArray[Any]] = {}
    room = Allowance(len(content), len(content))

    def declare(identity: Any) -> NDArray[Any]:
        _, storage, key, _, count, view = _storage_identity(identity, 6)
        if view is not None:
            raise ValueError("a view of a storage, expected a whole one")
        if key not in declared:
            kind = _STORAGES[storage.name]
            room.spend(count * _element(kind).itemsize)
            declared[key] = (kind, count)
            storages[key] = np.zeros(count, np.float32 if kind == "bfloat16" else kind)
        return storages[key]

    unpickle(declare)
    keys = unpickle()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(declared):
        raise ValueError("the storages that follow are not those that its tensors use")
    for key in keys:
        kind, count = declared[key]
        if int.from_bytes(stream.read(8), "little") != count:
            raise ValueError(f"the data of storage {key} are not the {count:,} elements declared")
        storages[key] = _storage(stream.read(count * _element(kind).itemsize), kind, count, "little")
    stream.seek(start)
    return unpickle(lambda identity: storages[_storage_identity(identity, 6)[2]])


def _storage_identity(identity: Any, size: int) -> tuple[Any, ...]:
    if not isinstance(identity, tuple) or len(identity) != size or identity[0] != "storage":
        raise Refusal("the file refers to an object outside itself that is no storage; nothing was run")
    storage, key, count = identity[1], identity[2], identity[4]
    if not isinstance(storage, Named) or storage.name not in _STORAGES or not isinstance(key, str):
        raise ValueError("a storage without type or key")
    if type(count) is not int or count < 0:
        raise ValueError(f"a storage of {show(count)} elements")
    return identity


def _element(kind: str) -> np.dtype[Any]:
    return np.dtype("u2" if kind == "bfloat16" else kind)


def _storage(data: bytes, kind: str, count: int, order: str) -> NDArray[Any]:
    element = _element(kind)
    if len(data) != count * element.itemsize:
        raise ValueError(f"a storage of {count:,} x {element.itemsize} bytes, found {len(data):,} bytes")
    array = np.frombuffer(data, element.newbyteorder("<" if order == "little" else ">")).astype(element)
    if kind == "bfloat16":
        # bfloat16 is the upper half of a float32.
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


def _tensor(machine: Machine, storage: Any, offset: Any, size: Any, stride: Any) -> NDArray[Any]:
    """Return the view of ``storage`` (1-D) that starts at element ``offset``; size and stride in elements."""
    if not isinstance(storage, np.ndarray) or storage.ndim != 1 or storage.dtype.hasobject:
        raise ValueError("a tensor without storage")
    # A tensor may stand here for a storage; one with other strides would be read beyond its memory.
    if not storage.flags.c_contiguous:
        raise ValueError("a tensor whose storage has gaps or repetitions")
    shape, steps = checked_shape(size), checked_shape(stride)
    if len(shape) != len(steps) or type(offset) is not int or offset < 0:
        raise ValueError(f"a tensor of size {shape}, stride {steps} and offset {show(offset)}")
    if 0 in shape:
        return np.empty(shape, storage.dtype)
    if offset + sum((n - 1) * step for n, step in zip(shape, steps, strict=True)) >= len(storage):
        raise ValueError(f"a tensor of size {shape}, stride {steps} and offset {offset} in {len(storage):,} elements")
    machine.allowance.spend(math.prod(shape) * storage.itemsize)
    strides = [step * storage.itemsize for step in steps]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, strides)


def _tensor_v2(
    machine: Machine,
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any,
    hooks: Any,
    metadata: Any = None,
) -> NDArray[Any]:
    if metadata:
        raise ValueError("a tensor stored with a pending conjugation or negation, expected its plain values")
    return _tensor(machine, storage, offset, size, stride)


def _tensor_v3(
    machine: Machine,
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any,
    hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> NDArray[Any]:
    if not isinstance(storage, np.ndarray) or not isinstance(dtype, Named) or dtype.name not in _DTYPES:
        what = dtype if isinstance(dtype, Named) else show(dtype)
        raise ValueError(f"a tensor of type {what}, expected one of {', '.join(_DTYPES)}")
    typed = storage.view(_DTYPES[dtype.name])
    return _tensor_v2(machine, typed, offset, size, stride, requires_grad, hooks, metadata)


def _parameter(machine: Machine, data: Any, requires_grad: Any, hooks: Any) -> Any:
    return data


def _size(machine: Machine, size: Any) -> tuple[int, ...]:
    return checked_shape(size)


def _device(machine: Machine, kind: Any, index: Any = None) -> str:
    if not isinstance(kind, str) or not isinstance(index, (int, type(None))):
        raise ValueError(f"a device named by {show(kind)} and {show(index)}")
    return kind if index is None else f"{kind}:{index}"


def _storage_from_bytes(machine: Machine, data: Any) -> Any:
    if not isinstance(data, (bytes, bytearray)):
        raise ValueError(f"a storage made from a {type(data).__name__}")
    machine.allowance.spend(len(data))
    return _load_legacy(data, machine.allowance)


_TENSOR_TYPES: Types = {
    Named("torch._utils", "_rebuild_tensor"): _tensor,
    Named("torch._utils", "_rebuild_tensor_v2"): _tensor_v2,
    Named("torch._utils", "_rebuild_tensor_v3"): _tensor_v3,
    Named("torch._utils", "_rebuild_parameter"): _parameter,
    Named("torch", "Size"): _size,
    Named("torch", "device"): _device,
    **{Named("torch", name): None for name in (*_DTYPES, "bfloat16")},
}
# Inside a torch file a storage is named by type and key; the names themselves make nothing.
_FILE_TYPES: Types = {
    **PLAIN_TYPES,
    **_TENSOR_TYPES,
    **{Named(module, name): None for module in ("torch", "torch.cuda", "torch.storage") for name in _STORAGES},
}
# In an ordinary pickle a storage is a whole file of the old layout, as bytes.
PICKLED_TENSOR_TYPES: Types = {**_TENSOR_TYPES, Named("torch.storage", "_load_from_bytes"): _storage_from_bytes}
