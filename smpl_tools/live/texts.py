"""Frames as text: JSON, one document a line or a datagram, and CSV, one row a frame."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from smoothnet_core._checks import mismatch
from smpl_tools.live.frames import Array, LiveFrame, from_row, the_track

# Columns of CSV with these names hold the time.
_TIMES = ("time", "t", "timestamp")
_DIGITS = 7


class JsonReader:
    """Reads a frame from a JSON document.

    An array is a frame. So is an object whose ``frame`` is an array, or an object from names to numbers; its ``time``
    (seconds), ``mask`` and ``confidence`` are used, and whatever else it has goes out again. null is not observed.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def read(self, text: bytes) -> list[LiveFrame]:
        """Return the frames of one line.

        Raises:
            ValueError: it is not as said.
        """
        try:
            document = json.loads(text.decode("utf-8-sig"))
        except RecursionError:
            raise mismatch("frame", "JSON", "brackets within brackets without end") from None
        except UnicodeDecodeError:
            raise mismatch("frame", "JSON", "bytes that are no UTF-8") from None
        except ValueError:
            raise mismatch("frame", "JSON", repr(text[:40].decode(errors="replace").strip())) from None
        if not isinstance(document, dict):
            return [LiveFrame({self._kind: _numbers("frame", document)})]
        if "frame" not in document:
            raise mismatch("frame", "an array, or an object with a key frame", f"the keys {', '.join(document)[:80]}")
        content, names = document["frame"], None
        if isinstance(content, dict):
            names, content = tuple(content), list(content.values())
        values = _numbers("frame", content)
        given = {key: _numbers(key, document[key]) for key in ("mask", "confidence") if document.get(key) is not None}
        if "mask" in given:
            given["mask"] = given["mask"] != 0
        time = document.get("time")
        if time is not None and (not isinstance(time, (int, float)) or isinstance(time, bool)):
            raise mismatch("time", "a number of seconds", repr(time)[:80])
        rest = {key: value for key, value in document.items() if key not in ("frame", "time", "mask", "confidence")}
        return [LiveFrame({self._kind: values}, names, None if time is None else float(time), rest=rest, **given)]

    def finish(self) -> list[LiveFrame]:
        """Return what is left."""
        return []


class CsvReader:
    """Reads a frame from a row of numbers; the first row may name the columns, one of them ``time``.

    An empty cell is not observed.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._header: list[str] | None = None
        self._time: int | None = None
        self._width: int | None = None

    @property
    def header(self) -> list[str] | None:
        """The names of the columns, if the first row holds names."""
        return self._header

    def read(self, text: bytes) -> list[LiveFrame]:
        """Return the frames of one line; none of a header.

        Raises:
            ValueError: it is not as said.
        """
        cells = [cell.strip() for cell in text.decode("utf-8", "replace").strip().split(",")]
        try:
            row = np.array([float(cell) if cell else math.nan for cell in cells])
        except ValueError:
            if self._width is None and not any(_is_number(cell) for cell in cells):
                self._header, self._width = cells, len(cells)
                lower = [cell.lower() for cell in cells]
                self._time = next((lower.index(name) for name in _TIMES if name in lower), None)
                return []
            raise mismatch("row", "numbers with commas between them", repr(",".join(cells)[:60])) from None
        if self._width is not None and len(row) != self._width:
            raise mismatch("row", f"{self._width} numbers as before", len(row))
        time = None if self._time is None else float(row[self._time])
        if time is not None and not math.isfinite(time):
            raise mismatch("time", "a number of seconds", cells[self._time or 0] or "nothing")
        numbers = row if self._time is None else np.delete(row, self._time)
        frame = LiveFrame({self._kind: from_row(numbers, self._kind)}, time=time)
        self._width = len(row)
        return [frame]

    def finish(self) -> list[LiveFrame]:
        """Return what is left."""
        return []


class LineReader:
    """Reads JSON or CSV, whichever the first line is."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.reader: JsonReader | CsvReader | None = None

    def read(self, text: bytes) -> list[LiveFrame]:
        """Return the frames of one line; none of an empty one.

        Raises:
            ValueError: it is not a frame.
        """
        if not text.strip():
            return []
        if self.reader is None:
            self.reader = (JsonReader if text.lstrip()[:1] in (b"{", b"[") else CsvReader)(self._kind)
        return self.reader.read(text)

    def finish(self) -> list[LiveFrame]:
        """Return what is left."""
        return []


def json_text(frame: LiveFrame) -> str:
    """Return a frame as one line of JSON: an array where it came as one, else an object."""
    tracks = {kind: _listed(values, frame.names) for kind, values in frame.tracks.items()}
    content: Any = tracks if len(tracks) > 1 else next(iter(tracks.values()))
    if frame.names is None and frame.time is None and frame.rest is None:
        return json.dumps(content, allow_nan=False, separators=(",", ":"))
    document: dict[str, Any] = {} if frame.time is None else {"time": frame.time}
    document["frame"] = content
    if isinstance(frame.rest, dict):
        document |= frame.rest
    return json.dumps(_plain(document), allow_nan=False, separators=(",", ":"))


class CsvWriter:
    """Writes frames as rows; the first is the header, where the input had one."""

    def __init__(self, reader: CsvReader | None = None) -> None:
        self._reader = reader
        self._begun = False

    def text(self, frame: LiveFrame) -> str:
        """Return the line or lines of a frame.

        Raises:
            ValueError: the frame has more than one kind of numbers.
        """
        cells = ["" if math.isnan(x) else f"{x:.{_DIGITS}g}" for x in the_track(frame, "CSV").ravel()]
        header = None if self._reader is None else self._reader.header
        if frame.time is not None:
            lower = [] if header is None else [name.lower() for name in header]
            at = next((lower.index(name) for name in _TIMES if name in lower), 0)
            cells.insert(at, repr(frame.time))
        lines = [",".join(cells)]
        if not self._begun and header is not None:
            lines.insert(0, ",".join(header))
        self._begun = True
        return "\n".join(lines)


def _numbers(what: str, content: Any) -> Array:
    """Return nested lists of numbers and nulls as an array."""
    try:
        array = np.asarray(content)
        if array.dtype == object:
            flat = array.ravel().tolist()
            if any(not (x is None or type(x) in (int, float, bool)) for x in flat):
                raise ValueError
            array = np.array([math.nan if x is None else float(x) for x in flat]).reshape(array.shape)
    except (ValueError, OverflowError):
        raise mismatch(what, "numbers and nulls in rows of one length", f"{json.dumps(content)[:60]}") from None
    if what == "frame" and not array.ndim:
        raise mismatch(what, "an array, or an object with a key frame", f"{json.dumps(content)[:60]}")
    if array.dtype.kind not in "fiu" + "b" * (what == "mask"):
        raise mismatch(what, "numbers and nulls in rows of one length", f"{json.dumps(content)[:60]}")
    return array.astype(np.float64)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _listed(values: Array, names: tuple[str, ...] | None) -> Any:
    if names is not None:
        return {name: _listed(value, None) for name, value in zip(names, values, strict=True)}
    if values.ndim == 0:
        return None if math.isnan(values) else float(f"{float(values):.{_DIGITS}g}")
    return [_listed(value, None) for value in values]


def _plain(value: Any) -> Any:
    """Return a document in which what JSON does not know is null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
