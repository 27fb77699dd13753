"""What a format is to the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from smpl_tools.motion import Motion, Up

# What a file may keep of a motion beside its poses or positions; see ``Format.keeps``.
KEPT = (
    "translation",
    "hands",
    "jaw and eyes",
    "expression",
    "betas",
    "changing betas",
    "gender",
    "joint names",
    "confidence",
    "people",
    "ids",
    "gaps",
    "frame numbers",
    "frame rate",
)


@dataclass(frozen=True)
class Options:
    """What the caller says about a file beyond its content.

    Attributes:
        kind: kind of a plain array's values (a key of ``smpl_tools.motion.VALUE_SHAPES``), None where not said.
        order: order of the six numbers of a plain array's ``rotation_6d``, None where not said.
        fps: frames a second, None where not said. ``smpl_tools.formats.read`` sets it on the motion in any case; a
            format looks at it only where the reading itself depends on the rate.
        mapped: numbers may stay on the disk, where they are read from as they are needed; for who reads them once and
            lets nobody write to the file meanwhile.
    """

    kind: str | None = None
    fps: float | None = None
    order: str | None = None
    mapped: bool = False


class Rewriting(NamedTuple):
    """A file being written with what is becoming of a motion.

    Attributes:
        out: by the person's id and the track's name, where new values may be written to: an array of the track's
            shape and dtype, in the file itself; empty where a format has none.
        write: ``write(motion)``: fill the file with the motion. A track that is one of those arrays is there already,
            and is taken to be finite wherever it was.
    """

    out: Mapping[tuple[str, str], NDArray[Any]]
    write: Callable[[Motion], None]


@dataclass(frozen=True)
class Format:
    """One line of the table of formats.

    Attributes:
        name: the name on the command line and in ``Motion.format``.
        title: what it is, for a help text.
        matches: ``matches(path, head) -> bool``; ``head`` is the first ``HEAD_BYTES`` bytes, ``b""`` for a folder. It
            decides by content; a file that can belong to no other format and is broken may raise a ``ValueError``.
            None for a format that is only written.
        read: ``read(path, options) -> Motion``; None for a format that is only written.
        write: ``write(motion, path)``: the file it was read from with what changed, whole or not at all.
        suffixes: usual file name endings; empty for a folder.
        make: ``make(motion, path)``: a new file from a motion in the plain form (``smpl_tools.contents``) of one of
            ``contents``; None for a format that is only rewritten.
        contents: what can be made, keys of ``smpl_tools.contents.CONTENTS``, the fullest first.
        up: the axis that points up in a new file; None where the format does not prescribe one.
        metres: the unit of lengths in a new file; None where the format does not prescribe one.
        fps: the rate that readers assume where the file cannot state one; None where it can, or none is assumed.
        keeps: what survives in a new file, of ``KEPT``.
        betas: how many numbers of a body's shape, if it keeps one.
        expression: how many numbers of a face's expression, if it keeps one.
        any_joints: a new file takes joints as they are; others want the joints of a set of theirs.
        rewriting: ``rewriting(motion, path)``: as ``write``, but a file that values can be written to as they are
            made; None for a motion that it has nothing to offer to.
    """

    name: str
    title: str
    matches: Callable[[Path, bytes], bool] | None
    read: Callable[[Path, Options], Motion] | None
    write: Callable[[Motion, Path], None] | None
    suffixes: tuple[str, ...] = ()
    make: Callable[[Motion, Path], None] | None = None
    contents: tuple[str, ...] = ()
    up: Up | None = None
    metres: float | None = None
    fps: float | None = None
    keeps: tuple[str, ...] = ()
    betas: int = 10
    expression: int = 10
    any_joints: bool = False
    rewriting: Callable[[Motion, Path], AbstractContextManager[Rewriting] | None] | None = None
