"""The motions that people are rendered in: motion files, and archives of clean motion capture."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from smoothnet_core._checks import mismatch
from smpl_tools import formats
from smpl_tools.motion import Motion, Person
from smpl_tools.sources.clean import clean_motions, is_clean


@dataclass(frozen=True, eq=False)
class Source:
    """Somebody in motion.

    Attributes:
        name: of the motion, the first part of its clips' names.
        subject: who moves; a split never divides one.
        motion: that shows it.
        index: of the person in it.
    """

    name: str
    subject: str
    motion: Motion
    index: int

    @property
    def person(self) -> Person:
        """Return the person."""
        return self.motion.people[self.index]


def read_motions(
    paths: Sequence[Path], fps: float | None = None, *, by_folder: bool = False, leave_out: Collection[str] = ()
) -> list[Source]:
    """Read motions of any format, and archives of clean motion capture (``smpl_tools.sources.clean``).

    Args:
        paths: of the files.
        fps: frames a second of motion files, in place of what they say.
        by_folder: files of one folder are of one subject; otherwise each is of its own. An archive says itself who
            moves.
        leave_out: subjects.

    Raises:
        ValueError: not a motion, nobody in it, or nobody left.
    """
    sources = [source for path in paths for source in _read(path, fps, by_folder, leave_out)]
    if not sources:
        raise mismatch("motions", "at least one", "none without subjects " + ", ".join(leave_out))
    return sources


def _read(path: Path, fps: float | None, by_folder: bool, leave_out: Collection[str]) -> Iterator[Source]:
    if is_clean(path):
        for subject, motion in clean_motions(path, leave_out):
            yield Source(str(motion.path), subject, motion, 0)
        return
    motion = formats.read(path, fps=fps)
    if not motion.people:
        raise mismatch(f"{path}: people", "at least one", "none")
    path = path.absolute()
    subject = path.parent.name if by_folder else path.stem
    stem = f"{subject}_{path.stem}" if by_folder else path.stem
    for index in range(len(motion.people)):
        suffix = f"_p{index}" if len(motion.people) > 1 else ""
        if subject + suffix not in leave_out:
            yield Source(stem + suffix, subject + suffix, motion, index)
