"""JSON documents: read with errors of one line, and written again in the layout they had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from smpl_tools.formats._files import check_values, reason

# How programs lay out their JSON: OpenPose itself, Python, Python with an indent.
_STYLES: tuple[dict[str, Any], ...] = ({"separators": (",", ":")}, {}, {"indent": 4})


def parsed(path: Path, data: bytes) -> Any:
    """Return the document of a file's bytes.

    Raises:
        ValueError: it is not JSON, or holds more values than the limit.
    """
    check_values(path, data, b",[{")
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError(f"{path}: not readable JSON: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path}: not readable JSON: {reason(error)}") from None


def written(document: Any, data: bytes, before: Any) -> bytes:
    """Return a document's bytes, laid out as the bytes ``data`` of the document ``before`` are, else closely packed."""
    text = data.decode(json.detect_encoding(data), "surrogatepass")
    body = text.rstrip()
    style = next((s for s in _STYLES if dumped(before, **s) == body), _STYLES[0])
    return (dumped(document, **style) + text[len(body) :]).encode()


def dumped(document: Any, **style: Any) -> str:
    """Return a document's text.

    Raises:
        ValueError: it is nested more deeply than can be written.
    """
    try:
        return json.dumps(document, **style)
    except RecursionError:
        raise ValueError("JSON to write: nested too deeply") from None
