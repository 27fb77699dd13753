"""The table of formats: which one a file is, and reading and writing through it."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from smoothnet_core._checks import mismatch, one_of
from smoothnet_core.limits import LimitError
from smoothnet_core.rotations import ORDERS
from smpl_tools.formats import (
    aist,
    amass,
    arrays,
    bvh,
    easymocap,
    gltf,
    gvhmr,
    humandata,
    humanml3d,
    joint_csv,
    mediapipe,
    mediapipe_json,
    motionbert,
    openpose,
    phalp,
    romp,
    smoothnet_npz,
    smplifyx,
    tram,
    vibe,
    wham,
)
from smpl_tools.formats._files import ZIP_MAGIC, npz_headers, read_bytes, reason
from smpl_tools.formats._format import Format, Options, Rewriting
from smpl_tools.formats._names import listed
from smpl_tools.formats._pickles import content_of, described, is_pickle, loading_once
from smpl_tools.motion import VALUE_SHAPES, Motion

HEAD_BYTES = 4096

# Asked in this order: the first that matches reads the file. Plain arrays match almost anything and stand last.
_TABLE: tuple[Format, ...] = (
    wham.FORMAT,
    vibe.FORMAT,
    gvhmr.FORMAT,
    tram.FORMAT,
    aist.FORMAT,
    phalp.FORMAT,
    mediapipe.FORMAT,
    mediapipe_json.FORMAT,
    openpose.FORMAT,
    easymocap.FORMAT,
    smplifyx.FORMAT,
    bvh.FORMAT,
    gltf.FORMAT,
    romp.FORMAT,
    humandata.FORMAT,
    humandata.JOINTS_FORMAT,
    amass.FORMAT,
    amass.SMPL_X_FORMAT,
    amass.BLENDER_FORMAT,
    smoothnet_npz.FORMAT,
    humanml3d.FORMAT,
    motionbert.FORMAT,
    joint_csv.FORMAT,
    arrays.FORMAT,
)

FORMATS: dict[str, Format] = {f.name: f for f in _TABLE}


def _head(path: Path) -> bytes:
    if path.is_dir():
        return b""
    if not path.is_file():
        raise ValueError(f"{path}: expected a file or a folder, found nothing of that name")
    return read_bytes(path, HEAD_BYTES)


def _found(path: Path, head: bytes) -> str:
    """Say in a few words what a file that no format knows begins with."""
    if path.is_dir():
        names = sorted(p.name for p in path.iterdir())
        return f"a folder with {listed(names, 3)}" if names else "an empty folder"
    if not head:
        return "an empty file"
    if head.startswith(ZIP_MAGIC):
        keys = npz_headers(path)
        return f"an archive with the keys {listed(keys)}" if keys else "an archive without arrays"
    if is_pickle(head):
        return f"a pickle of {described(content_of(path))}"
    begin = head[:16]
    readable = begin.isascii() and begin.decode().isprintable()
    return f"a file that begins with {(begin.decode() if readable else begin)!r}"


def detect(path: str | os.PathLike[str]) -> Format:
    """Return the format of a file or folder, decided by its content.

    Raises:
        ValueError: it cannot be read or no format knows it; the message says what was found and lists the formats.
    """
    path = Path(path)
    try:
        head = _head(path)
        with loading_once():
            for known in FORMATS.values():
                if known.matches is not None and known.matches(path, head):
                    return known
            found = _found(path, head)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {reason(error)}") from None
    raise mismatch(f"{path}: unknown format", "one of " + ", ".join(_readable()), found)


def _readable() -> list[str]:
    return [name for name, one in FORMATS.items() if one.read is not None]


def read(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    kind: str | None = None,
    fps: float | None = None,
    order: str | None = None,
    mapped: bool = False,
) -> Motion:
    """Read a motion.

    Args:
        path: a file, or a folder of a format that is one.
        format: a key of ``FORMATS``; None decides by content.
        kind: kind of a plain array's values, a key of ``VALUE_SHAPES``; other formats state their own.
        fps: frames a second, in place of what the file says; the file's own statement is written back unchanged.
        order: order of the numbers of a plain array of ``rotation_6d``, of ``smoothnet_core.rotations.ORDERS``;
            None: as an ``.npz`` states it, else ``columns``.
        mapped: large arrays may stay on the disk, see ``Options.mapped``.

    Raises:
        ValueError: unknown format or kind, or a file that is not what its format demands.
    """
    path = Path(path)
    if kind is not None:
        one_of("kind", kind, VALUE_SHAPES)
    if order is not None:
        one_of("order", order, ORDERS)
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise mismatch("fps", "a positive number", repr(fps))
    try:
        with loading_once():
            chosen = detect(path) if format is None else FORMATS[one_of("format", format, _readable())]
            assert chosen.read is not None  # of all that are detected or can be named here
            _head(path)
            motion = chosen.read(path, Options(kind, fps, order, mapped))
    except LimitError as error:
        # Some limits are looked at where nobody knows the file.
        raise error if str(path) in str(error) else LimitError(f"{path}: {error}") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {reason(error)}") from None
    motion = dataclasses.replace(motion, path=path)
    return motion if fps is None else dataclasses.replace(motion, fps=float(fps))


def write(motion: Motion, path: str | os.PathLike[str]) -> None:
    """Write a motion in the format it was read from, whole or not at all; what was not changed stays as it was.

    Raises:
        ValueError: unknown format, a motion that was not read from a file, or nothing can be written there.
    """
    _readable_again(motion, path)(motion, Path(path))


@contextmanager
def rewriting(motion: Motion, path: str | os.PathLike[str]) -> Iterator[Rewriting]:
    """Begin the file that :func:`write` writes; it takes the place of ``path`` when the block ends without an error.

    Of a motion that was read with ``mapped``, values can be written to the file as they are made, so that there never
    is more than a part of them in memory.

    Raises:
        ValueError: as :func:`write`.
    """
    rewrite = _readable_again(motion, path)
    begin = FORMATS[motion.format].rewriting
    begun = None if begin is None else begin(motion, Path(path))
    if begun is None:
        yield Rewriting({}, lambda new: rewrite(new, Path(path)))
        return
    with begun as file:
        yield file


def _readable_again(motion: Motion, path: str | os.PathLike[str]) -> Callable[[Motion, Path], None]:
    """Return how a motion is written again."""
    if motion.source is None:
        raise mismatch(f"{path}: motion to write", "one that was read from a file", "one without a source")
    rewrite = FORMATS[one_of("format", motion.format, FORMATS)].write
    if rewrite is None:
        raise mismatch(f"{path}: format to write again", "one that is read", motion.format)
    return rewrite
