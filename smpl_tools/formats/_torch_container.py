"""PyTorch's tensors written without PyTorch: in its zip container, and inside an ordinary pickle.

Layouts: ``torch/serialization.py`` and ``caffe2/serialize/inline_container.cc`` of PyTorch. A container holds
``data.pkl``, a pickle of protocol 2 whose tensors are views of storages, and each storage's bytes as ``data/N``, stored
and aligned. In an ordinary pickle each storage is a whole file of the layout before PyTorch 1.6, as bytes.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core._reading import reading
from smoothnet_core.torch_files import MAGIC_NUMBER, load_torch
from smpl_tools.formats._files import ZIP_MAGIC, read_bytes, replacing
from smpl_tools.formats._pickles import _Pickler

Array = NDArray[Any]

_ALIGNMENT = 64
# Of a zip archive's header of a member, before its name.
_HEADER_BYTES = 30
_STORAGES = {
    "f8": "DoubleStorage",
    "f4": "FloatStorage",
    "f2": "HalfStorage",
    "i8": "LongStorage",
    "i4": "IntStorage",
    "i2": "ShortStorage",
    "i1": "CharStorage",
    "u1": "ByteStorage",
    "b1": "BoolStorage",
    "c8": "ComplexFloatStorage",
    "c16": "ComplexDoubleStorage",
}
_LEGACY_VERSION = 1001
_SYSTEM = {
    "protocol_version": _LEGACY_VERSION,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}


@dataclass(frozen=True, eq=False)
class Container:
    """A container as it was read.

    Attributes:
        value: what it holds, tensors as views of ``storages``.
        members: the bytes of all its members, by name and in their order.
        storages: (N,) arrays by the name of their member.
    """

    value: Any
    members: Mapping[str, bytes]
    storages: Mapping[str, Array]

    def place(self, array: Array) -> str | None:
        """Return the member that holds a tensor of the value; None for an array of NumPy's and an empty tensor."""
        return next((name for name, one in self.storages.items() if np.may_share_memory(one, array)), None)


@dataclass(frozen=True)
class _Named:
    """Something of PyTorch's that a pickle names."""

    module: str
    name: str

    def __call__(self, *arguments: Any) -> Any:
        # The pickler only writes the name of what it can be told to call.
        raise TypeError(f"{self.module}.{self.name} is only named here")


@dataclass(frozen=True, eq=False)
class _Storage:
    elements: Array
    key: str


_REBUILD = _Named("torch._utils", "_rebuild_tensor_v2")
_FROM_BYTES = _Named("torch.storage", "_load_from_bytes")
_STORAGE_TYPES = {kind: _Named("torch", name) for kind, name in _STORAGES.items()}


class _TensorPickler(_Pickler):
    """Writes those arrays that ``is_tensor`` picks as PyTorch writes tensors.

    ``identity`` names a storage that is kept outside the pickle; without it the pickle holds the bytes.
    """

    def __init__(
        self,
        file: BinaryIO,
        protocol: int,
        is_tensor: Callable[[Array], bool],
        identity: Callable[[_Storage], tuple[Any, ...]] | None = None,
    ) -> None:
        super().__init__(file, protocol)
        self._is_tensor = is_tensor
        self._identity = identity
        self._count = 0

    def persistent_id(self, obj: Any) -> Any:
        return self._identity(obj) if self._identity is not None and isinstance(obj, _Storage) else None

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, _Named):
            return obj.name
        if isinstance(obj, _Storage):
            return _FROM_BYTES, (_legacy_file(obj),)
        if isinstance(obj, np.ndarray) and self._is_tensor(obj):
            elements = obj.reshape(-1)
            strides = [1] * obj.ndim
            for axis in range(obj.ndim - 2, -1, -1):
                strides[axis] = strides[axis + 1] * max(obj.shape[axis + 1], 1)
            storage = _Storage(elements, str(self._count))
            self._count += 1
            return _REBUILD, (storage, 0, obj.shape, tuple(strides), False, OrderedDict())
        return super().reducer_override(obj)

    def save_global(self, obj: Any, name: str | None = None) -> None:
        if not isinstance(obj, _Named):
            super().save_global(obj, name)
            return
        self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        self.memoize(obj)


def _identity(storage: _Storage) -> tuple[Any, ...]:
    kind = storage.elements.dtype.str[1:]
    if kind not in _STORAGE_TYPES:
        raise mismatch("type of a tensor", ", ".join(_STORAGES), storage.elements.dtype)
    return ("storage", _STORAGE_TYPES[kind], storage.key, "cpu", storage.elements.size)


def _little_endian(array: Array) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _legacy_file(storage: _Storage) -> bytes:
    file = io.BytesIO()
    for value in (MAGIC_NUMBER, _LEGACY_VERSION, _SYSTEM):
        pickle.dump(value, file, 2)
    # The sixth item says which part of a storage it is: the whole.
    _TensorPickler(file, 2, lambda _: False, lambda s: (*_identity(s), None)).dump(storage)
    pickle.dump([storage.key], file, 2)
    file.write(struct.pack("<q", storage.elements.size) + _little_endian(storage.elements))
    return file.getvalue()


def dump_with_tensors(value: Any, file: BinaryIO, tensors: Iterable[Array]) -> None:
    """Write a pickle of protocol 4 in which these very arrays are PyTorch tensors and all others NumPy's."""
    kept = {id(array): array for array in tensors}
    _TensorPickler(file, 4, lambda array: id(array) in kept).dump(value)


def read_container(path: Path) -> Container:
    """Return a container's value together with all that is needed to write it again.

    Raises:
        ValueError: it cannot be read, or is a file in the layout before PyTorch 1.6.
    """
    storages: dict[str, Array] = {}
    if not read_bytes(path, 4).startswith(ZIP_MAGIC):
        raise mismatch(f"{path}: content", "a file of torch.save of PyTorch 1.6 or later", "no zip container")
    value = load_torch(path, storages=storages)
    # Members that hold no tensor are read here for the first time, and may be damaged.
    with reading(path, "PyTorch file", "what torch.save writes"), zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}
    return Container(value, members, storages)


def rewrite_container(path: Path, container: Container, changes: Iterable[tuple[Array, Array]]) -> None:
    """Write a container again with the numbers of some tensors replaced, and every other byte of its members as it was.

    Tensors that share memory in the file change together, as they do in PyTorch.

    Args:
        path: to write.
        container: as it was read.
        changes: tensors of its value, each with its new numbers, of the same shape.

    Raises:
        ValueError: nothing can be written there, what changed is an array of NumPy's or of bfloat16, or two tensors
            share memory and differ.
    """
    changed: dict[str, Array] = {}
    written: list[tuple[Array, Array]] = []
    for tensor, new in changes:
        if not tensor.size:
            continue
        name = container.place(tensor)
        if name is None:
            raise mismatch(f"{path}: what to change", "a tensor of the container", "an array of NumPy's")
        old = container.storages[name]
        target = changed.setdefault(name, old.copy())
        offset = tensor.__array_interface__["data"][0] - old.__array_interface__["data"][0]
        view: Array = np.ndarray(tensor.shape, tensor.dtype, target.data, offset, tensor.strides)
        view[...] = new
        written.append((view, new))
    if not all(np.array_equal(view, new, equal_nan=True) for view, new in written):
        raise mismatch(f"{path}: changed tensors", "numbers that fit where they share memory", "different ones")
    order = next((data for name, data in container.members.items() if name.endswith("/byteorder")), b"little")
    members = dict(container.members)
    for name, storage in changed.items():
        data = storage.astype(storage.dtype.newbyteorder(">" if order == b"big" else "<"), copy=False).tobytes()
        if len(data) != len(members[name]):
            raise mismatch(f"{path}: type of the changed tensor {name}", "float16, float32 or float64", "bfloat16")
        members[name] = data
    _write_members(path, members)


def write_container(path: Path, value: Any) -> None:
    """Write a new container of nested dictionaries and lists of plain values, in which every array is a tensor.

    Raises:
        ValueError: nothing can be written there, or an array's type has no tensor.
    """
    storages: list[_Storage] = []

    def identity(storage: _Storage) -> tuple[Any, ...]:
        storages.append(storage)
        return _identity(storage)

    program = io.BytesIO()
    _TensorPickler(program, 2, lambda _: True, identity).dump(value)
    members = {"archive/data.pkl": program.getvalue(), "archive/byteorder": b"little"}
    members |= {f"archive/data/{storage.key}": _little_endian(storage.elements) for storage in storages}
    _write_members(path, {**members, "archive/version": b"3\n"})


def _write_members(path: Path, members: Mapping[str, bytes]) -> None:
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            # An extra field of padding in front of the data, so that they can be mapped into memory.
            start = file.tell() + _HEADER_BYTES + len(name.encode()) + 4
            padding = -start % _ALIGNMENT
            info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
            archive.writestr(info, data)
