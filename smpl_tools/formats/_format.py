"""What a format is to the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from smpl_tools.motion import Motion


@dataclass(frozen=True)
class Options:
    """What the caller says about a file beyond its content.

    Attributes:
        kind: kind of a plain array's values (a key of ``smpl_tools.motion.VALUE_SHAPES``), None where not said.
        fps: frames a second, None where not said. ``smpl_tools.formats.read`` sets it on the motion in any case; a
            format looks at it only where the reading itself depends on the rate.
    """

    kind: str | None = None
    fps: float | None = None


@dataclass(frozen=True)
class Format:
    """One line of the table of formats.

    Attributes:
        name: the name on the command line and in ``Motion.format``.
        title: what it is, for a help text.
        matches: ``matches(path, head) -> bool``; ``head`` is the first ``HEAD_BYTES`` bytes, ``b""`` for a folder. It
            decides by content; a file that can belong to no other format and is broken may raise a ``ValueError``.
        read: ``read(path, options) -> Motion``.
        write: ``write(motion, path)``: the same layout, whole or not at all.
        suffixes: usual file name endings, for a help text only; empty for a folder.
    """

    name: str
    title: str
    matches: Callable[[Path, bytes], bool]
    read: Callable[[Path, Options], Motion]
    write: Callable[[Motion, Path], None]
    suffixes: tuple[str, ...] = ()
