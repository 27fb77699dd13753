"""The text of a BVH file: its hierarchy and its table of numbers, and the same text with some numbers changed.

The layout is the one of Biovision's exporters, as described by Meredith and Maddock, "Motion Capture File Formats
Explained", Department of Computer Science, University of Sheffield, 2001, section on BVH. Accepted beyond it: keywords
in any case, names with spaces, several roots, any number and order of channels, any white space and line ends,
``nan`` and ``inf`` in the spellings that C libraries print.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.limits import check_limit
from smpl_tools.formats._files import check_values, read_bytes
from smpl_tools.formats._names import unique_names

# Lines handled at a time: bounds the memory that the tokens of a long file take.
_BLOCK = 512
_CHANNELS = {f"{axis}{kind}".lower(): f"{axis}{kind}" for axis in "XYZ" for kind in ("position", "rotation")}
# What stands in the stack of open joints for an end site.
_END_SITE = -2
_LINE_END = re.compile(r"\r\n|\r|\n")
# A name goes on to the end of the line or to a brace: it may hold spaces.
_TOKEN = re.compile(
    r"\s*(?:(?P<key>root|joint|end)(?![^\s{}])(?P<name>[^{}]*)|(?P<other>[{}]|[^\s{}]+))", re.IGNORECASE
)
_MOTION = re.compile(
    r"\s*frames[ \t]*:?[ \t]*(?P<frames>\S*)\s+frame[ \t]*time[ \t]*:?[ \t]*(?P<time>\S*)[ \t]*(?:\r\n|\r|\n|$)",
    re.IGNORECASE,
)
_NOT_FINITE = re.compile(r"[+-]?(?:1\.#\w+|nan(?:\(\w*\))?|inf(?:inity)?)", re.IGNORECASE)


@dataclass(frozen=True)
class BvhJoint:
    """One joint: name, index of its parent (-1: a root), OFFSET, and its channels as ``Xposition`` to ``Zrotation``.

    ``first`` is the column of the first channel in the table, ``end`` the OFFSET of the joint's end site, NaN without.
    """

    name: str
    parent: int
    offset: tuple[float, float, float]
    channels: tuple[str, ...]
    first: int
    end: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class BvhText:
    """A file as read.

    Attributes:
        joints: a parent before its children, in the file's order; end sites left out.
        header: the text up to and with the line of the frame time.
        body: the text of the table.
        frame_time: seconds, as the file writes it.
        values: (T, C) float64, C the number of channels; NaN where the file has no finite number.
    """

    joints: tuple[BvhJoint, ...]
    header: str
    body: str
    frame_time: str
    values: NDArray[np.float64]


def encode(text: str) -> bytes:
    """Return the bytes that a text of :func:`parse` came from."""
    return text.encode("utf-8", "surrogateescape")


def parse(path: Path) -> BvhText:
    """Read the text of a BVH file.

    Raises:
        ValueError: not the text of a whole BVH file; the message names the line.
    """
    # Bytes that are not UTF-8 survive as surrogates, so that the same bytes can be written.
    data = read_bytes(path)
    check_values(path, data, b"\r\n{")
    text = data.decode("utf-8", "surrogateescape")
    joints, position, line = _Header(path, text).joints()
    match = _MOTION.match(text, position)
    if match is None:
        found = " ".join(text[position : position + 40].split()) or "the end of the file"
        raise mismatch(f"{path}: line {line}", "'Frames:' and 'Frame Time:' after MOTION", repr(found))
    if not re.fullmatch(r"[0-9]{1,18}", match["frames"]):
        raise mismatch(f"{path}: Frames", "a whole number", repr(match["frames"]))
    header, body = text[: match.end()], text[match.end() :]
    # Line of the table's first row: the number of line ends before it, plus one.
    start = sum(1 for _ in re.finditer(r"\r\n|\r|\n", header)) + 1
    channels = sum(len(joint.channels) for joint in joints)
    values = _table(path, body, channels, int(match["frames"]), start)
    return BvhText(joints, header, body, match["time"], values)


class _Header:
    """A reader of the hierarchy, token by token, that knows the line it is in and never calls itself."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text
        self._line = 0
        self._end = 0
        self._tokens = self._scan()

    def _scan(self) -> Iterator[tuple[str, str]]:
        """Yield (keyword, name) of ROOT, JOINT and End lines, and (token, "") for all else."""
        position = 1 if self._text.startswith("\ufeff") else 0
        while position < len(self._text):
            end = _LINE_END.search(self._text, position)
            line_end = end.end() if end else len(self._text)
            line = self._text[position:line_end]
            self._line, self._end = self._line + 1, line_end
            position, at = line_end, 0
            while token := _TOKEN.match(line, at):
                at = token.end()
                yield (token["key"].lower(), token["name"].strip()) if token["key"] else (token["other"], "")

    def _next(self, expected: str) -> tuple[str, str]:
        token = next(self._tokens, None)
        if token is None:
            raise mismatch(f"{self._path}: line {self._line}", expected, "the end of the file")
        return token

    def _fail(self, expected: str, found: str) -> ValueError:
        return mismatch(f"{self._path}: line {self._line}", expected, repr(found[:40]))

    def joints(self) -> tuple[tuple[BvhJoint, ...], int, int]:
        """Return the joints, the position after the line of MOTION, and that line's number."""
        word = self._next("HIERARCHY")[0]
        if word.lower() != "hierarchy":
            raise self._fail("HIERARCHY", word)
        names: list[str] = []
        parents: list[int] = []
        offsets: list[tuple[float, float, float]] = []
        ends: list[tuple[float, float, float]] = []
        channels: list[tuple[str, ...]] = []
        stack: list[int] = []
        while True:
            word, name = self._next("ROOT, JOINT or MOTION")
            key = word.lower()
            if key == "motion" and not stack:
                break
            if key == "}" and stack:
                stack.pop()
            elif key in ("root", "joint") and stack[-1:] != [_END_SITE] and (key == "root") == (not stack):
                check_limit(f"{self._path}: joints", "joints", len(names) + 1)
                parents.append(stack[-1] if stack else -1)
                stack.append(len(names))
                names.append(_readable(name) or f"joint {len(names)}")
                offsets.append((0.0, 0.0, 0.0))
                ends.append((np.nan, np.nan, np.nan))
                channels.append(())
                self._open()
            elif key == "end" and stack and stack[-1] != _END_SITE:
                stack.append(_END_SITE)
                self._open()
            elif key == "offset" and stack:
                offset = self._offset()
                if stack[-1] == _END_SITE:
                    ends[stack[-2]] = offset
                else:
                    offsets[stack[-1]] = offset
            elif key == "channels" and stack and stack[-1] != _END_SITE:
                channels[stack[-1]] = self._channels()
            else:
                inside = "OFFSET, CHANNELS, JOINT, End Site or }" if stack else "ROOT or MOTION"
                raise self._fail(inside, f"{word} {name}".strip())
        if not any(channels):
            raise mismatch(f"{self._path}: hierarchy", "a joint with channels", f"{len(names)} joints, none with")
        first = np.cumsum([0] + [len(c) for c in channels])
        made = zip(unique_names(names), parents, offsets, channels, first.tolist(), ends, strict=False)
        return tuple(BvhJoint(*m) for m in made), self._end, self._line

    def _open(self) -> None:
        token = self._next("{")[0]
        if token != "{":
            raise self._fail("{", token)

    def _offset(self) -> tuple[float, float, float]:
        numbers = []
        for _ in range(3):
            token = self._next("three numbers after OFFSET")[0]
            try:
                numbers.append(_number(token))
            except ValueError:
                raise self._fail("three numbers after OFFSET", token) from None
        return numbers[0], numbers[1], numbers[2]

    def _channels(self) -> tuple[str, ...]:
        count = self._next("a number after CHANNELS")[0]
        if not re.fullmatch(r"[0-6]", count):
            raise self._fail("a number from 0 to 6 after CHANNELS", count)
        names = []
        for _ in range(int(count)):
            token = self._next("the names of the channels")[0]
            if token.lower() not in _CHANNELS:
                raise self._fail("one of " + ", ".join(_CHANNELS.values()), token)
            names.append(_CHANNELS[token.lower()])
        return tuple(names)


def _readable(name: str) -> str:
    # Names of files that are not UTF-8 are shown as Latin-1, which knows every byte.
    raw = encode(name)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _number(token: str) -> float:
    """Return a number, NaN for what is not finite; refuse what only Python takes for a number."""
    if _NOT_FINITE.fullmatch(token):
        return float("nan")
    if "_" in token or not token.isascii():
        raise ValueError(token)
    value = float(token)
    return value if np.isfinite(value) else float("nan")


def blocks(body: str, channels: int) -> Iterator[tuple[str, list[str]]]:
    """Yield pieces of the table's text, of whole rows, with their tokens."""
    lines = body.splitlines(keepends=True)
    for start in range(0, len(lines), _BLOCK):
        piece = "".join(lines[start : start + _BLOCK])
        yield piece, piece.split()


def _table(path: Path, body: str, channels: int, frames: int, start: int) -> NDArray[np.float64]:
    """Return the (T, C) numbers; nothing is allocated that the text does not hold."""
    parts = []
    rows = 0
    lines = body.splitlines()
    # The built-in is several times faster, and right where nothing is written that only Python takes for a number.
    number = float if body.isascii() and "_" not in body else _number
    for begin in range(0, len(lines), _BLOCK):
        split = [line.split() for line in lines[begin : begin + _BLOCK]]
        for k, tokens in enumerate(split):
            if tokens and len(tokens) != channels:
                if rows + sum(map(bool, split[:k])) == frames:
                    found = repr(" ".join(tokens)[:40])
                    raise mismatch(
                        f"{path}: line {start + begin + k}", f"the end of the file after frame {frames}", found
                    )
                what = f"{path}: line {start + begin + k}, frame {rows + sum(map(bool, split[:k])) + 1} of {frames}"
                raise mismatch(what, f"{channels} numbers", len(tokens))
        try:
            values = np.fromiter(map(number, itertools.chain.from_iterable(split)), np.float64)
        except ValueError:
            values = np.array([_checked(path, t, start + begin + k) for k, row in enumerate(split) for t in row])
        parts.append(values.reshape(-1, channels))
        rows += len(parts[-1])
    if rows != frames:
        raise mismatch(f"{path}: rows of the table", f"{frames} as 'Frames:' declares", rows)
    table = np.concatenate(parts) if parts else np.empty((0, channels))
    table[~np.isfinite(table)] = np.nan
    return table


def _checked(path: Path, token: str, line: int) -> float:
    try:
        return _number(token)
    except ValueError:
        raise mismatch(f"{path}: line {line}", "a number", repr(token[:40])) from None


def decimals(text: BvhText, columns: list[int]) -> int:
    """Return how many digits the file writes after the point in these columns, at most; an exponent moves the point."""
    most = 0
    channels = text.values.shape[1]
    exponents = "e" in text.body.lower()
    for _, tokens in blocks(text.body, channels):
        for column in columns:
            numbers = tokens[column::channels]
            if exponents:
                numbers = [_without_exponent(t) for t in numbers]
            fractions = [t.partition(".")[2] for t in numbers]
            most = max(most, max((len(f) for f in fractions if f.isdigit()), default=0))
    return most


def _without_exponent(token: str) -> str:
    mantissa, _, exponent = token.lower().partition("e")
    # What is not a number with an exponent is left as it is; a huge exponent says nothing about digits.
    if not re.fullmatch(r"[+-]?\d{1,3}", exponent):
        return token
    return "0." + "0" * max(len(mantissa.partition(".")[2]) - int(exponent), 0)


def rewritten(text: BvhText, changed: Mapping[int, NDArray[np.float64]], digits: Mapping[int, int]) -> Iterator[str]:
    """Yield the file's text with the numbers of some columns replaced.

    The old text stays where the new number is not finite, or is the old one to the digits that are written.

    Args:
        text: the file as read.
        changed: (T,) new numbers by column.
        digits: digits after the point, by column.
    """
    yield text.header
    if not changed:
        yield text.body
        return
    channels = text.values.shape[1]
    row = 0
    for piece, tokens in blocks(text.body, channels):
        count = len(tokens) // channels
        for column, values in changed.items():
            new, old = values[row : row + count], text.values[row : row + count, column]
            smallest = 0.5 * 10.0 ** -digits[column]
            differs = np.isfinite(new) & ~(abs(new - old) <= smallest)
            if not differs.any():
                continue
            # Rounding must not leave a minus before a zero.
            shown = np.where(abs(new) <= smallest, 0.0, new)
            written = (f"%.{digits[column]}f " * count % tuple(shown.tolist())).split()
            if not differs.all():
                kept = tokens[column::channels]
                written = [w if d else k for w, k, d in zip(written, kept, differs.tolist(), strict=True)]
            tokens[column::channels] = written
        row += count
        # The white space between the numbers stays as it was.
        gaps = re.split(r"\S+", piece)
        pieces = [""] * (len(gaps) + len(tokens))
        pieces[0::2] = gaps
        pieces[1::2] = tokens
        yield "".join(pieces)
