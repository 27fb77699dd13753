"""Small files that declare or unpack to far more than they hold, by a title: the file's name and its bytes.

``python -m tests.smpl.hostile_files FOLDER`` reads those that were written there, and prints what came of each.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import resource
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from smpl_tools.formats import read

HUGE = 10**12


def npy(header: str, body: bytes = b"") -> bytes:
    """Return an ``.npy`` with any header."""
    text = header.encode("latin-1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def npy_of(shape: tuple[int, ...], kind: str = "<f4", body: bytes = b"") -> bytes:
    return npy(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n", body)


def npz(packed: bool = True, **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def array(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, values)
    return file.getvalue()


def zip_bomb(amount: int) -> bytes:
    """Return an archive of poses, nothing but zeros, that unpacks to about ``amount`` bytes."""
    file = io.BytesIO()
    frames = amount // (156 * 8)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("poses.npy", "w", force_zip64=True) as member:
            member.write(npy_of((frames, 156), "<f8"))
            for _ in range(frames // 1000):
                member.write(bytes(156 * 8 * 1000))
            member.write(bytes(156 * 8 * (frames % 1000)))
        archive.writestr("trans.npy", array(np.zeros((1, 3))))
    return file.getvalue()


def lying_zip() -> bytes:
    """Return an archive whose directory says that its one member has a thousand bytes, of which it has millions."""
    raw = bytearray(npz(poses=npy_of((10**5, 156), "<f8") + bytes(10**8)))
    size = struct.pack("<I", 10**8 + len(npy_of((10**5, 156), "<f8")))
    return bytes(raw.replace(size, struct.pack("<I", 1000)))


def many_members(count: int) -> bytes:
    """Return an archive whose directory names one and the same member again and again."""
    name, data = b"a.npy", array(np.zeros(1))
    local = struct.pack(
        "<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, zlib.crc32(data), len(data), len(data), len(name), 0
    )
    head = (b"PK\x01\x02", 20, 20, 0, 0, 0, 0, zlib.crc32(data), len(data), len(data), len(name), 0, 0, 0, 0, 0, 0)
    entry = struct.pack("<4s6H3I5H2I", *head) + name
    body = local + name + data
    size = len(entry) * count
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count & 0xFFFF, count & 0xFFFF, size, len(body), 0)
    return body + entry * count + end


def bvh(joints: int = 1, frames: int = 1, roots: int = 1, rows: str = "") -> bytes:
    parts = ["HIERARCHY"]
    for root in range(roots):
        parts.append(f"ROOT r{root}\n{{\nOFFSET 0 0 0\nCHANNELS 1 Xrotation")
        parts += [f"JOINT j{k}\n{{\nOFFSET 0 1 0\nCHANNELS 1 Xrotation" for k in range(joints - 1)]
        parts.append("}\n" * joints)
    return "\n".join([*parts, f"MOTION\nFrames: {frames}\nFrame Time: 0.01\n{rows}"]).encode()


def nested(depth: int, around: str = "[]") -> bytes:
    return (around[0] * depth + around[1] * depth).encode()


def collisions(count: int) -> bytes:
    """Return a pickle of a dictionary whose keys all have the same hash."""
    keys = b"".join(pickle.dumps((2**61 - 1) * k, 2)[2:-1] + b"N" for k in range(1, count))
    return b"\x80\x02}(" + keys + b"u."


def crowd(people: int) -> bytes:
    one = {"pose_keypoints_2d": [1, 2, 1]}
    return json.dumps({"people": [one] * people}, separators=(",", ":")).encode()


def pickled(value: object, protocol: int = 4) -> bytes:
    return pickle.dumps(value, protocol)


def wham(frames: list[int]) -> bytes:
    count = len(frames)
    record = {"pose": np.zeros((count, 72)), "trans": np.zeros((count, 3)), "frame_ids": np.array(frames)}
    return pickled({0: record, 1: dict(record)})


_DEEP = b"\x80\x04" + b"]" * 50_000 + b"a" * 49_999 + b"."
_WHAM = pickled({0: {"pose": np.zeros((2, 72)), "frame_ids": np.arange(2), "more": None}})
# Each gives a refusal, in little time and memory; by a title, the file's name, its bytes, and what the refusal says.
BOMBS: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "npy of 10^12 frames": ("a.npy", lambda: npy_of((HUGE, 24, 3)), "its header declares 288,000,000,000,000 bytes"),
    "npy of no frames and 10^12 joints": (
        "a.npy",
        lambda: npy_of((0, HUGE, 3)),
        "an empty array: expected at most 20,000,000, received 3,000,000,000,000 .SMOOTHNET_LIMITS=objects=",
    ),
    "npy of 10^12 frames and no joints": ("a.npy", lambda: npy_of((HUGE, 0, 3)), "other axes of an empty array"),
    "npy of many joints": (
        "a.npy",
        lambda: npy_of((1, 10**6, 3), "<f2", bytes(6 * 10**6)),
        "joints or channels .joint.: expected at most 20,000, received 1,000,000 .SMOOTHNET_LIMITS=joints=",
    ),
    "npy of text": ("a.npy", lambda: npy_of((2,), "<U10000000"), "its header declares"),
    "npy of 10^12 objects": (
        "a.npy",
        lambda: npy_of((HUGE,), "|O", pickled(np.array([None], object))),
        "its header declares objects of shape",
    ),
    "npy with a deep header": ("a.npy", lambda: npy("(" * 5000 + ")" * 5000), "not a readable .npy"),
    "npy with a huge number": ("a.npy", lambda: npy_of((10**400, 3)), "not a readable .npy file"),
    "npz of 10^12 frames": (
        "a.npz",
        lambda: npz(poses=npy_of((HUGE, 156)), trans=npy_of((HUGE, 3))),
        "its header declares",
    ),
    "npz of no frames and 10^12 channels": (
        "a.npz",
        lambda: npz(motion=npy_of((0, HUGE, 3))),
        "other axes of an empty array",
    ),
    "landmarks of no frames": (
        "a.npz",
        lambda: npz(keypoints3d=npy_of((0, HUGE, 4)), __key_strict__=array(np.array(True))),
        "other axes of an empty array",
    ),
    "zip bomb": ("a.npz", lambda: zip_bomb(2 * 10**8), "growth=NUMBER moves this limit"),
    "zip whose directory lies": ("a.npz", lying_zip, "a.npz"),
    "zip of many members": (
        "a.npz",
        lambda: many_members(60_000),
        "members of the archive: expected at most 10,000, received 60,000",
    ),
    "torch file of 10^12 numbers": (
        "a.pt",
        lambda: torch_file(HUGE),
        "a storage of 1,000,000,000,000 x 4 bytes, found 4 bytes",
    ),
    "zlib bomb": ("a.pkl", lambda: zlib.compress(b"\x80\x04]" * 5 * 10**7, 9), "growth=NUMBER moves this limit"),
    "gzip bomb of lists": (
        "a.pkl",
        lambda: gzip.compress(b"\x80\x04" + b"]" * 6 * 10**7),
        "operations of the pickle: expected at most",
    ),
    "bz2 bomb": ("a.pkl", lambda: bz2.compress(b"\x80\x04" + bytes(7 * 10**7)), "growth=NUMBER moves this limit"),
    "xz bomb": ("a.pkl", lambda: lzma.compress(b"\x80\x04" + bytes(7 * 10**7)), "growth=NUMBER moves this limit"),
    "deep pickle": ("a.pkl", lambda: _DEEP, "a pickle of a list"),
    "keys of one hash": (
        "a.pkl",
        lambda: collisions(50_000),
        "more than 5,000 keys are neither text nor numbers of 64 bits",
    ),
    "keys of one hash in tuples": ("a.pkl", lambda: pickled({(k, -k): 0 for k in range(6000)}), "more than 5,000 keys"),
    "people in 2^60 frames": ("a.pkl", lambda: wham([0, 2**60]), "frame numbers of person 0: expected below"),
    "BVH of a million joints": (
        "a.bvh",
        lambda: bvh(joints=300_000),
        "joints: expected at most 20,000, received 20,001 .SMOOTHNET_LIMITS=joints=",
    ),
    "BVH of a million roots": ("a.bvh", lambda: bvh(roots=100_000), "joints: expected at most 20,000"),
    "BVH of 10^12 frames": (
        "a.bvh",
        lambda: bvh(frames=HUGE, rows="0\n"),
        "rows of the table: expected 1000000000000 as 'Frames:' declares, received 1",
    ),
    "BVH of blanks": ("a.bvh", lambda: bvh(frames=1, rows="\n" * 21_000_000), "values: expected at most 20,000,000"),
    "deep JSON": ("a.json", lambda: b'{"world_landmarks":' + nested(10**6) + b"}", "nested too deeply"),
    "deep JSON of objects": (
        "a.json",
        lambda: b'{"world_landmarks":' + b'{"a":' * 10**6 + b"1" + b"}" * 10**6 + b"}",
        "nested too deeply",
    ),
    "JSON of many lists": (
        "a.json",
        lambda: b'{"world_landmarks":[' + b"[]," * 11_000_000 + b"[]]}",
        "values: expected at most 20,000,000, received 22,000,0",
    ),
    "JSON of a long number": ("a.json", lambda: b'{"world_landmarks":[' + b"9" * 10**6 + b"]}", "not readable JSON"),
    "CSV of one long cell": ("a.csv", lambda: b"a_x,a_y\n" + b"1" * 10**6 + b",2\n", "not a readable table"),
    "CSV of many cells": ("a.csv", lambda: b"a_x,a_y\n" + b",\n" * 11_000_000, "values: expected at most 20,000,000"),
    "CSV of many joints": (
        "a.csv",
        lambda: (",".join(f"j{k}_x,j{k}_y" for k in range(30_000)) + "\n" + "1," * 59_999 + "1\n").encode(),
        "joints: expected at most 20,000, received 30,000",
    ),
}


def torch_file(count: int) -> bytes:
    """Return a container of PyTorch's that declares a storage of ``count`` numbers and has one."""
    number = b"L" + str(count).encode() + b"L\n"
    stored = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nV0\nVcpu\n" + number + b"tQ"
    program = (
        b"}Vsmpl_params_global\nctorch._utils\n_rebuild_tensor_v2\n("
        + stored
        + b"K\x00("
        + number
        + b"t(K\x01tI00\nNtRs."
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", program)
        archive.writestr("a/data/0", bytes(4))
    return file.getvalue()


def read_all(folder: Path) -> dict[str, dict[str, Any]]:
    """Return by title what reading a file in its folder came to, in seconds of the processor and MiB of the process."""
    seen = {}
    for index, (title, (name, *_)) in enumerate(BOMBS.items()):
        path, begun = folder / str(index) / name, time.process_time()
        try:
            read(path)
            message = ""
        except ValueError as error:
            message = str(error)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seen[title] = {"message": message, "seconds": time.process_time() - begun, "MiB": peak}
    return seen


if __name__ == "__main__":
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"before": before, "seen": read_all(Path(sys.argv[1]))}))
