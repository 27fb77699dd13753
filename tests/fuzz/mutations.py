"""Damage to files of every kind: whole ones cut and flipped, and their parts changed and put together again."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import re
import struct
import zipfile
import zlib
from random import Random
from typing import Any

_NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?")
_WORD = re.compile(rb"[A-Za-z_]{2,}")
_NUMBERS = (
    *(b"0", b"-1", b"1", b"2", b"1e308", b"-1e999", b"1e-320", b"nan", b"inf", b"-inf", b"NaN", b"Infinity"),
    *(b"999999999999", b"9223372036854775807", b"18446744073709551616", b"1e30", b"", b"0.5", b"255", b"65536"),
)
_WORDS = (b"id", b"frame", b"poses", b"trans", b"__proto__", b"../../x", b"null", b"true", b"\xff\xfe", b"Rh", b"time")
# NaN, infinities, the largest, the smallest, and large ones, as float32 and float64.
_FLOATS = [
    struct.pack(code, value)
    for value in (float("nan"), float("inf"), float("-inf"), 1e30, 1e-44, 0.0)
    for code in ("<f", "<d")
] + [struct.pack("<d", value) for value in (1e300, 5e-324, -0.0)]
_NPY = b"\x93NUMPY"
# Pickle opcodes, the ones that make, call and refer among them.
_OPCODES = [
    bytes([c]) for c in b"().0125CEGIJKLMNPQRSTUVX]abcdeghijloqrstu}\x81\x82\x85\x86\x87\x88\x8c\x8f\x91\x92\x93\x94"
]


def mutated(data: bytes, rng: Random, pool: tuple[bytes, ...] = ()) -> bytes:
    """Return damaged bytes.

    Args:
        data: a good file.
        rng: decides.
        pool: other files, of which pieces may be taken.
    """
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = _once(data, rng, pool)
    return data


def _once(data: bytes, rng: Random, pool: tuple[bytes, ...]) -> bytes:
    whole = rng.random()
    if whole < 0.15:
        return _raw(data, rng, pool)
    if data.startswith(b"PK\x03\x04"):
        return _archive(data, rng, pool)
    if data.startswith(_NPY):
        return _npy(data, rng, pool)
    if data[:1] in (b"{", b"[") and rng.random() < 0.6:
        return _json(data, rng)
    if data[:1] == b"\x80":
        return _pickle(data, rng, pool)
    return _text(data, rng) if data[:64].isascii() else _raw(data, rng, pool)


def _raw(data: bytes, rng: Random, pool: tuple[bytes, ...]) -> bytes:
    """Return bytes cut, flipped, repeated, or joined with another file's."""
    raw = bytearray(data)
    if not raw:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(8)))
    at = rng.randrange(len(raw))
    how = rng.randrange(8)
    if how == 0:
        del raw[at:]
    elif how == 1:
        for _ in range(rng.choice((1, 2, 8))):
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    elif how == 2:
        raw[at] = rng.choice((0, 255, rng.randrange(256)))
    elif how == 3:
        raw[at:at] = raw[at : at + rng.randrange(1, 64)]
    elif how == 4:
        del raw[at : at + rng.randrange(1, 64)]
    elif how == 5:
        one = rng.choice(_FLOATS)
        raw[at : at + len(one)] = one
    elif how == 6 and pool:
        other = rng.choice(pool)
        start = rng.randrange(len(other) + 1)
        raw[at:] = other[start:]
    else:
        size = rng.choice((2, 4, 8))
        raw[at : at + size] = rng.getrandbits(8 * size).to_bytes(size, "little")
    return bytes(raw)


def _swap(data: bytes, pattern: re.Pattern[bytes], rng: Random, others: tuple[bytes, ...]) -> bytes:
    """Return the text with one match replaced, by something of ``others`` or by another match."""
    found = list(pattern.finditer(data[: 2**16]))
    if not found:
        return data
    one = rng.choice(found)
    new = rng.choice(others) if rng.random() < 0.7 else rng.choice(found)[0]
    return data[: one.start()] + new + data[one.end() :]


def _text(data: bytes, rng: Random) -> bytes:
    how = rng.randrange(8)
    if how < 3:
        return _swap(data, _NUMBER, rng, _NUMBERS)
    if how == 3:
        return _swap(data, _WORD, rng, _WORDS)
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    if how == 4:
        lines.insert(at, rng.choice(lines))
    elif how == 5:
        del lines[at]
    elif how == 6:
        other = rng.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines[at] = lines[at] * rng.choice((2, 3)) + rng.choice((b"", b" ", b"\x00", b"{", b"}", b",", b"\xff"))
    return b"\n".join(lines)


def _json(data: bytes, rng: Random) -> bytes:
    """Return a document with one of its values changed, renamed, repeated or put into itself."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return _text(data, rng)
    places: list[tuple[Any, Any]] = []
    left = [document]
    while left and len(places) < 4000:
        one = left.pop()
        items = one.items() if isinstance(one, dict) else enumerate(one) if isinstance(one, list) else ()
        for key, value in items:
            places.append((one, key))
            left.append(value)
    if not places:
        return _text(data, rng)
    holder, key = rng.choice(places)
    values: list[Any] = [None, True, -1, 0, 2**70, 1e308, float("nan"), float("inf"), "", "x", [], {}, [[]], [1, 2, 3]]
    how = rng.randrange(6)
    if how < 3:
        holder[key] = rng.choice(values)
    elif how == 3:
        other, at = rng.choice(places)
        try:
            holder[key] = json.loads(json.dumps(other[at]))
        except (KeyError, IndexError):
            return data
    elif isinstance(holder, dict):
        value = holder.pop(key)
        if how == 4:
            holder[rng.choice(("id", "people", "frames", "annots", "fps", "", "Rh", str(key) + "_2d"))] = value
    elif how == 4:
        del holder[key]
    else:
        holder.insert(key, holder[key])
    text = json.dumps(document)
    if rng.random() < 0.1:
        # A key twice, which no dictionary can hold.
        text = text.replace("{", '{"people": [], "id": 7, ', 1)
    return text.encode()


def _npy(data: bytes, rng: Random, pool: tuple[bytes, ...]) -> bytes:
    """Return an array with another header, or other numbers; of objects, another pickle."""
    start = min(10 + int.from_bytes(data[8:10], "little"), len(data))
    header, body = data[10:start], data[start:]
    how = rng.random()
    if how < 0.5:
        sort = rng.randrange(5)
        if sort < 3:
            header = _swap(
                header, re.compile(rb"[0-9]+"), rng, (b"0", b"1", b"3", b"1000000000000", b"24", b"72", b"4")
            )
        elif sort == 3:
            kinds = (
                b"'<f4'",
                b"'<f8'",
                b"'>f8'",
                b"'|O'",
                b"'<i8'",
                b"'<U4'",
                b"'<f2'",
                b"'<c16'",
                b"'<M8[s]'",
                b"'|V0'",
            )
            header = re.sub(rb"'[<>|=][a-zA-Z][^']*'", lambda _: rng.choice(kinds), header, count=1)
        else:
            header = header.replace(b"False", b"True") if rng.random() < 0.5 else _text(header, rng)
        return _NPY + b"\x01\x00" + struct.pack("<H", len(header)) + header + body
    if b"O" in header[:40] and body:
        return data[:start] + _pickle(body, rng, pool)
    if body and how < 0.9:
        size = 8 if b"8'" in header else 4
        place = rng.randrange(len(body) // size + 1) * size
        one = rng.choice([f for f in _FLOATS if len(f) == size])
        return data[:start] + body[:place] + one + body[place + size :]
    return _raw(data, rng, pool)


def _archive(data: bytes, rng: Random, pool: tuple[bytes, ...]) -> bytes:
    """Return a zip archive of which one member is changed, missing, renamed or there twice."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:
        return _raw(data, rng, pool)
    if not members:
        return _raw(data, rng, pool)
    at = rng.randrange(len(members))
    name, content = members[at]
    how = rng.random()
    if how < 0.7:
        members[at] = (name, _once(content, rng, pool))
    elif how < 0.8:
        del members[at]
    elif how < 0.9:
        other = rng.choice(members)[0]
        members[at] = (rng.choice((other, "../" + name, name.upper(), "poses.npy", "joints.npy", "x" * 300)), content)
    else:
        members.append((name, rng.choice(members)[1]))
    file = io.BytesIO()
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(file, "w", packing) as archive:
        for each, raw in members:
            info = zipfile.ZipInfo(each or "x")
            info.compress_type = packing
            archive.writestr(info, raw)
    return file.getvalue()


def _pickle(data: bytes, rng: Random, pool: tuple[bytes, ...]) -> bytes:
    """Return a pickle with other operations, numbers or text in it, compressed now and then as joblib does."""
    how = rng.randrange(10)
    at = rng.randrange(len(data) + 1)
    if how < 2:
        data = data[:at] + rng.choice(_OPCODES) + data[at + 1 :]
    elif how < 4:
        data = data[:at] + b"".join(rng.choice(_OPCODES) for _ in range(rng.randrange(1, 4))) + data[at:]
    elif how < 6:
        data = _swap(data, _WORD, rng, _WORDS)
    elif how < 8:
        one = rng.choice(_FLOATS)
        data = data[:at] + one + data[at + len(one) :]
    elif how == 8:
        pack = rng.choice((zlib.compress, gzip.compress, bz2.compress))
        return pack(data)
    else:
        return _raw(data, rng, pool)
    return data
