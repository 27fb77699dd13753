"""The container of glTF 2.0: numbers in one buffer, what they are in JSON, both in one file.

After the specification of the Khronos Group, https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html.
"""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch, one_of
from smpl_tools.formats._files import replacing

SUFFIXES = (".glb", ".gltf")
# What a buffer view is for; animations and matrices have none.
VERTICES, INDICES = 34962, 34963

_COMPONENTS = {"uint8": 5121, "uint16": 5123, "uint32": 5125, "float32": 5126}
_TYPES = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_LIMIT = 2**32


class GltfFile:
    """A glTF asset in the making.

    Attributes:
        content: the JSON's objects by the name of their list, without buffers, views and accessors.
    """

    def __init__(self, generator: str, copyright: str | None = None) -> None:
        self._asset: dict[str, Any] = {"version": "2.0", "generator": generator}
        if copyright is not None:
            self._asset["copyright"] = copyright
        self.content: dict[str, list[dict[str, Any]]] = {}
        self._pieces: list[bytes] = []
        self._length = 0

    def add(self, kind: str, thing: dict[str, Any]) -> int:
        """Append an object to the list ``kind`` (``nodes``, ``meshes``, ...); return its index."""
        things = self.content.setdefault(kind, [])
        things.append(thing)
        return len(things) - 1

    def accessor(self, values: NDArray[Any], *, target: int | None = None, bounds: bool = False) -> int:
        """Append numbers to the buffer; return the index of their accessor.

        Args:
            values: (N,), (N, 3), (N, 4) or, as matrices act on columns, (N, 4, 4); uint8, uint16, uint32 or float32.
            target: ``VERTICES`` or ``INDICES``.
            bounds: state the least and the greatest values.
        """
        # Matrices are stored column by column.
        stored = np.swapaxes(values, 1, 2) if values.ndim == 3 else values
        content = np.ascontiguousarray(stored, dtype=values.dtype.newbyteorder("<")).tobytes()
        view: dict[str, Any] = {"buffer": 0, "byteOffset": self._length, "byteLength": len(content)}
        if target is not None:
            view["target"] = target
        # Every view begins at a multiple of 4, which suits all components.
        padded = content + bytes(-len(content) % 4)
        self._pieces.append(padded)
        self._length += len(padded)
        accessor: dict[str, Any] = {
            "bufferView": self.add("bufferViews", view),
            "componentType": _COMPONENTS[values.dtype.name],
            "count": len(values),
            "type": _TYPES[values.shape[1:]],
        }
        if bounds:
            for name, extreme in (("min", values.min(axis=0)), ("max", values.max(axis=0))):
                accessor[name] = np.atleast_1d(extreme).tolist()
        return self.add("accessors", accessor)

    def write(self, path: Path) -> None:
        """Write the asset with its buffer inside, ``.glb`` or ``.gltf`` by the ending of ``path``.

        Raises:
            ValueError: another ending, more than a ``.glb`` can hold, or nothing can be written there.
        """
        ending = one_of(f"ending of {path.name}", path.suffix.lower(), SUFFIXES)
        binary = b"".join(self._pieces)
        buffer: dict[str, Any] = {"byteLength": len(binary)}
        if ending == ".gltf":
            buffer["uri"] = "data:application/octet-stream;base64," + base64.b64encode(binary).decode("ascii")
        whole = {"asset": self._asset, "scene": 0, **self.content, "buffers": [buffer]}
        text = json.dumps(whole, separators=(",", ":"), allow_nan=False).encode("ascii")
        if ending == ".glb":
            # Chunks are padded to 4 bytes, JSON with spaces.
            text += b" " * (-len(text) % 4)
            total = 12 + 8 + len(text) + 8 + len(binary)
            if total >= _LIMIT:
                raise mismatch(f"{path}: size of a .glb", f"less than {_LIMIT} bytes", total)
            pieces = [
                struct.pack("<4sII", b"glTF", 2, total),
                struct.pack("<I4s", len(text), b"JSON"),
                text,
                struct.pack("<I4s", len(binary), b"BIN\0"),
                binary,
            ]
        else:
            pieces = [text, b"\n"]
        with replacing(path) as file:
            for piece in pieces:
                file.write(piece)
