"""CSV of joints: a line a frame, a column a coordinate.

Read: a first line of names; ``<joint>_x``, ``<joint>_y`` and maybe ``<joint>_z`` (also ``.x``, ``:X``, `` x``), a
confidence as ``<joint>_confidence``, ``_conf``, ``_visibility``, ``_vis``, ``_score``, ``_likelihood`` or ``_c``;
``frame`` numbers the lines, ``time`` or ``timestamp`` tells the frame rate, ``person`` whose line it is. Times are in
seconds, in milliseconds where the name says so (``timestamp_ms``) or where a frame else lasted more than a second.
Separated by commas, semicolons or tabs; an empty cell or ``nan`` was not observed. Other columns are kept as they are.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.limits import check_limit
from smpl_tools.formats._changes import merged
from smpl_tools.formats._files import check_values, read_bytes, reason, replacing
from smpl_tools.formats._format import Format, Options
from smpl_tools.formats._names import on_one_line
from smpl_tools.motion import Motion, Person, Track

NAME = "csv"
TRACK = "joints"
_SEPARATORS = (",", ";", "\t")
_AXIS = re.compile(
    r"(?P<joint>.*\S)[\s_.:-](?P<what>x|y|z|conf(?:idence)?|vis(?:ibility)?|score|likelihood|c)", re.IGNORECASE
)
# By what its name says, seconds; None where it does not say.
_TIMES: dict[str, float | None] = {
    **dict.fromkeys(("time", "timestamp"), None),
    **dict.fromkeys(
        ("time_s", "time_sec", "time_seconds", "timestamp_s", "time_(s)", "time_(seconds)", "seconds"), 1.0
    ),
    **dict.fromkeys(("time_ms", "timestamp_ms", "time_(ms)", "milliseconds", "ms"), 1e-3),
}
# Nobody's frames last longer than a second: then times are counted in thousandths, millionths or thousand millionths.
_SMALLER = {"milliseconds": 1e-3, "microseconds": 1e-6, "nanoseconds": 1e-9}
_FRAMES = ("frame", "frame_number", "frame_num", "frame_no", "frame_index", "frame_idx", "frame_id", "index")
_PEOPLE = ("person", "person_id", "id", "subject")
# A rate within this share of a whole number of hundredths is that number: times are rounded when they are printed.
_ROUNDING = 1e-4


@dataclass(frozen=True, eq=False)
class _Source:
    """The cells as text, which separator, what ends the lines; of every person the rows; of every joint the columns."""

    cells: list[list[str]]
    separator: str
    line_end: str
    rows: tuple[NDArray[np.int64], ...]
    columns: NDArray[np.int64]
    values: tuple[NDArray[np.float64], ...]


@dataclass(frozen=True)
class _Header:
    joints: tuple[str, ...]
    columns: NDArray[np.int64]
    confidences: list[int]
    frame: int | None
    time: int | None
    person: int | None


def matches(path: Path, head: bytes) -> bool:
    """Tell whether the file is text whose first line names the coordinates of at least one joint."""
    line = head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0]
    try:
        text = line.decode("utf-8").strip("\r")
    except UnicodeDecodeError:
        return False
    if not text.isprintable() and "\t" not in text:
        return False
    return any(separator in text and _header(_split(text, separator)) is not None for separator in _SEPARATORS)


def _split(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    # A line end within the line.
    except csv.Error:
        return []


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _header(names: list[str]) -> _Header | None:
    """Return what the columns are, None where no joint has its coordinates."""
    found: dict[str, dict[str, int]] = {}
    single: dict[str, int] = {}
    for column, name in enumerate(names):
        match = _AXIS.fullmatch(name.strip())
        if match is None:
            single.setdefault(_plain(name), column)
        else:
            what = match["what"].lower()
            found.setdefault(match["joint"], {}).setdefault(what if what in "xyz" else "confidence", column)
    joints = {joint: at for joint, at in found.items() if {"x", "y"} <= set(at)}
    if not joints:
        return None
    axes = "xyz" if all("z" in at for at in joints.values()) else "xy"
    columns = np.array([[at[axis] for axis in axes] for at in joints.values()], np.int64)
    confidences = [at.get("confidence", -1) for at in joints.values()]

    def one(known: Iterable[str]) -> int | None:
        return next((single[name] for name in known if name in single), None)

    return _Header(tuple(joints), columns, confidences, one(_FRAMES), one(_TIMES), one(_PEOPLE))


def read(path: Path, options: Options) -> Motion:
    """Read the lines as one person, or one for each value of the column ``person``, with the track ``joints``.

    Raises:
        ValueError: no such header, a line of another length, or a cell that is no number; the message names the line.
    """
    data = read_bytes(path)
    check_values(path, data, b",;\t\n\r")
    text = data.decode("utf-8-sig", "replace")
    line_end = "\r\n" if "\r\n" in text else "\n"
    first = text.split("\n", 1)[0].strip("\r")
    separator = max(_SEPARATORS, key=first.count)
    try:
        cells = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row]
    except csv.Error as error:
        raise ValueError(f"{path}: not a readable table: {reason(error)}") from None
    header = _header(cells[0]) if cells else None
    if header is None:
        raise mismatch(f"{path}: first line", "names of columns such as left_wrist_x, left_wrist_y", repr(first[:60]))
    for number, row in enumerate(cells[1:], start=2):
        if len(row) != len(cells[0]):
            raise mismatch(f"{path}: line {number}", f"{len(cells[0])} cells", f"{len(row)}")
    body = cells[1:]
    values = _numbers(path, body, header.columns.ravel().tolist(), cells[0]).reshape(-1, *header.columns.shape)
    trust = [column for column in header.confidences if column >= 0]
    confidence = np.ones(values.shape[:2])
    for joint, column in enumerate(header.confidences):
        if column >= 0:
            numbers = _numbers(path, body, [column], cells[0])[:, 0]
            confidence[:, joint] = np.clip(np.nan_to_num(numbers), 0.0, 1.0)
    check_limit(f"{path}: joints", "joints", len(header.joints))
    lines: dict[str, list[int]] = {}
    for number, row in enumerate(body):
        lines.setdefault(row[header.person].strip() if header.person is not None else "0", []).append(number)
    people, rows = [], []
    for ident, numbers in lines.items():
        own = np.array(numbers, np.int64)
        track = Track(values[own], "position", "body", header.joints, confidence[own] if trust else None)
        frames = np.arange(len(own), dtype=np.int64)
        if header.frame is not None:
            frames = _frame_numbers(path, body, own, header.frame, cells[0])
        try:
            people.append(Person(ident, {TRACK: track}, frames))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        rows.append(own)
    fps, notes = _rate(path, body, header, rows, people, cells[0])
    if options.fps:
        notes = ()
    source = _Source(
        cells, separator, line_end, tuple(rows), header.columns, tuple(p.tracks[TRACK].values for p in people)
    )
    return Motion(NAME, tuple(people), fps, source=source, notes=notes)


def _numbers(path: Path, rows: list[list[str]], columns: list[int], names: list[str]) -> NDArray[np.float64]:
    result = np.empty((len(rows), len(columns)))
    for r, row in enumerate(rows):
        for c, column in enumerate(columns):
            cell = row[column].strip()
            try:
                result[r, c] = float(cell) if cell else np.nan
            except ValueError:
                where = f"{path}: line {r + 2}, column {names[column].strip()}"
                raise mismatch(where, "a number", repr(cell[:24])) from None
    return np.where(np.isfinite(result), result, np.nan)


def _frame_numbers(
    path: Path, rows: list[list[str]], own: NDArray[np.int64], column: int, names: list[str]
) -> NDArray[np.int64]:
    numbers = _numbers(path, [rows[k] for k in own], [column], names)[:, 0]
    if not (np.isfinite(numbers) & (numbers == np.round(numbers)) & (np.abs(numbers) < 2**53)).all():
        raise mismatch(f"{path}: column {names[column].strip()}", "whole numbers", "something else")
    return numbers.astype(np.int64)


def _rate(
    path: Path,
    rows: list[list[str]],
    header: _Header,
    own: list[NDArray[np.int64]],
    people: list[Person],
    names: list[str],
) -> tuple[float | None, tuple[str, ...]]:
    """Return the frame rate, and remarks: that there is none, or what the times were taken for."""
    for person, mine in zip(people, own, strict=True):
        if header.time is None:
            break
        times = _numbers(path, [rows[k] for k in mine], [header.time], names)[:, 0]
        steps = np.diff(times) / np.diff(person.frames)
        steps = steps[np.isfinite(steps) & (steps > 0)]
        if not steps.size:
            continue
        name = names[header.time].strip()
        unit, taken = _TIMES[_plain(name)], ()
        if unit is None:
            step = float(np.median(steps))
            smaller = (
                next(((n, u) for n, u in _SMALLER.items() if step * u <= 1), (None, 1.0)) if step > 1 else (None, 1.0)
            )
            unit, taken = smaller[1], () if smaller[0] is None else (f"column {name} taken for {smaller[0]}",)
        rate = float((person.frames[-1] - person.frames[0]) / ((times[-1] - times[0]) * unit))
        if not 0 < rate < np.inf:
            # Times that are missing at the ends, or do not rise.
            rate = float(1 / (np.median(steps) * unit))
        if not 0 < rate < np.inf:
            continue
        short = round(rate, 2)
        return (short if short > 0 and abs(rate / short - 1) < _ROUNDING else rate), taken
    return None, ("the file does not state its frame rate",)


def write(motion: Motion, path: Path) -> None:
    """Write the same table with the changed numbers in it, each with as many decimals as its column had, at least 6.

    Raises:
        ValueError: nothing can be written there.
    """
    source: _Source = motion.source
    cells = [list(row) for row in source.cells]
    digits = [max([6, *(len(row[c].partition(".")[2]) for row in source.cells[1:20])]) for c in range(len(cells[0]))]
    for person, rows, old in zip(motion.people, source.rows, source.values, strict=True):
        new = merged(TRACK, old, person.tracks[TRACK].values)
        changed = ~((new == old) | (np.isnan(new) & np.isnan(old)))
        for row, joint, axis in np.argwhere(changed):
            column = source.columns[joint, axis]
            cells[rows[row] + 1][column] = f"{new[row, joint, axis]:.{min(digits[column], 17)}f}"
    _save(cells, source.separator, source.line_end, path)


def _save(cells: list[list[str]], separator: str, line_end: str, path: Path) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator=line_end).writerows(cells)
    with replacing(path) as file:
        file.write(text.getvalue().encode("utf-8"))


def make(motion: Motion, path: Path) -> None:
    """Write ``person`` (of several), ``frame``, ``time`` where the rate is known, x, y, z of every joint, confidences.

    A joint that not all people have is empty for the others.

    Raises:
        ValueError: nothing can be written there.
    """
    several = [person.id for person in motion.people] != ["0"]
    tracks = _alike([_joints(person) for person in motion.people])
    if not tracks:
        raise mismatch("people to write", "at least one", "nobody")
    names = _column_names(tracks[0], several, motion.fps is not None)
    lines: list[list[str]] = []
    for person, track in zip(motion.people, tracks, strict=True):
        numbers = track.values
        if track.confidence is not None:
            numbers = np.concatenate([numbers, track.confidence[..., None]], axis=2)
        flat = numbers.reshape(len(numbers), numbers.shape[1] * numbers.shape[2])
        for frame, row in zip(person.frames.tolist(), flat.tolist(), strict=True):
            start = [person.id] if several else []
            start += [str(frame)] + ([] if motion.fps is None else [f"{frame / motion.fps:.9g}"])
            lines.append(start + ["" if x != x else repr(x) for x in row])
    _save([names, *lines], ",", "\n", path)


def _joints(person: Person) -> Track:
    track = person.tracks.get(TRACK)
    if track is None:
        raise mismatch(f"tracks of person {person.id}", TRACK, ", ".join(person.tracks) or "none")
    return track


def _alike(tracks: list[Track]) -> list[Track]:
    """Return tracks that all have the joints of any of them; one that a person lacks is NaN with confidence 0."""
    if len({(track.joints, track.confidence is None) for track in tracks}) <= 1:
        return tracks
    joints = tuple(dict.fromkeys(joint for track in tracks for joint in track.joints))
    trusted = any(track.confidence is not None for track in tracks)
    result = []
    for track in tracks:
        at = [joints.index(joint) for joint in track.joints]
        shape = (len(track.values), len(joints))
        values = np.full((*shape, track.values.shape[2]), np.nan, track.values.dtype)
        values[:, at] = track.values
        confidence = np.zeros(shape) if trusted else None
        if confidence is not None:
            confidence[:, at] = 1.0 if track.confidence is None else track.confidence
        result.append(track.replace(values=values, joints=joints, confidence=confidence))
    return result


def _column_names(track: Track, several: bool, timed: bool) -> list[str]:
    axes = ["x", "y", "z"][: track.values.shape[2]] + ([] if track.confidence is None else ["confidence"])
    start = ["person"] * several + ["frame"] + ["time"] * timed
    return start + [f"{joint}_{axis}" for joint in on_one_line(track.joints) for axis in axes]


FORMAT = Format(
    NAME,
    "CSV of joints",
    matches,
    read,
    write,
    (".csv",),
    make=make,
    contents=("joints", "joints_2d"),
    metres=1.0,
    keeps=("joint names", "confidence", "people", "ids", "gaps", "frame numbers", "frame rate"),
    any_joints=True,
)
