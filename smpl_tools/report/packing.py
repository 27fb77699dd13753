"""How a report's data lie in its page: text and arrays, compressed, in letters that no HTML reader takes for more."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smpl_tools.plain_json import plain

_TYPES = {"float32": "f4", "int16": "i2", "uint16": "u2", "uint32": "u4", "uint8": "u1"}


def packed(content: bytes) -> str:
    """Return bytes as gzip in base64; the same bytes give the same text."""
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode("ascii")


def unpacked(text: str) -> bytes:
    """Return what :func:`packed` was given."""
    return gzip.decompress(base64.b64decode(text))


def joined(document: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a JSON document and arrays as one piece: 4 bytes, the document's length, the document, the arrays.

    The document gets an entry ``arrays``: of each its type, its shape and where it begins, a multiple of 8 from the
    document's end, which is one itself. All numbers are little-endian.

    Raises:
        KeyError: an array of a type that pages do not know.
    """
    places, blocks, start = {}, [], 0
    for name, array in arrays.items():
        code = _TYPES[array.dtype.name]
        block = np.ascontiguousarray(array, dtype="<" + code).tobytes()
        places[name] = {"type": code, "shape": list(array.shape), "start": start}
        blocks.append(block + bytes(-len(block) % 8))
        start += len(blocks[-1])
    text = json.dumps(plain({**document, "arrays": places}), allow_nan=False, separators=(",", ":")).encode("ascii")
    text += b" " * (-(len(text) + 4) % 8)
    return len(text).to_bytes(4, "little") + text + b"".join(blocks)


def parted(content: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the document and the arrays of what :func:`joined` made."""
    end = 4 + int.from_bytes(content[:4], "little")
    document = json.loads(content[4:end])
    arrays = {}
    for name, place in document.pop("arrays").items():
        count = int(np.prod(place["shape"], dtype=np.int64))
        read = np.frombuffer(content, "<" + place["type"], count, end + place["start"])
        arrays[name] = read.reshape(place["shape"])
    return document, arrays
