"""Which files of a tree are refined, and what their results are called."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from smpl_tools import formats
from smpl_tools.formats._files import reason

# Of files that formats which are read write; what else lies in a tree is left out.
SUFFIXES = frozenset(suffix for one in formats.FORMATS.values() if one.read is not None for suffix in one.suffixes)
# The files of a folder that is one motion, a frame each.
_FRAMES = (".json", ".pkl")


@dataclass
class Found:
    """What a tree holds; names are relative to it, with ``/`` between folders, in order.

    Attributes:
        sources: names of files, and of folders that are one motion, to refine.
        failed: names with the reason why they cannot be.
        left_out: why something is not looked at, with the names.
    """

    sources: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, why: str, name: str) -> None:
        """Note that something is not looked at."""
        self.left_out.setdefault(why, []).append(name)


def find(root: Path, skip: Sequence[str] = ()) -> Found:
    """Look through a tree.

    A link to a file is read as that file; a link to a folder is not followed. Names that begin with a dot, and files
    with endings that no format has, are left out. A folder in which a format finds one motion is refined as one.

    Args:
        root: the folder.
        skip: shell patterns of names, or of names relative to the root, that are left out, folders with all in them.

    Raises:
        ValueError: it is no folder, cannot be read, or is one motion itself.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: expected a folder, found {'a file' if root.exists() else 'nothing of that name'}")
    whole = _one_motion(root)
    if whole is not None:
        raise ValueError(f"{root}: expected a folder of motions, found one motion ({whole}): smoothnet refine takes it")
    found = Found()
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(root / folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if not folder:
                raise ValueError(f"{root}: cannot be read: {reason(error)}") from None
            found.failed[folder] = f"{root / folder}: cannot be read: {reason(error)}"
            continue
        for entry in listed:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if any(fnmatch.fnmatchcase(text, pattern) for text in (entry.name, name) for pattern in skip):
                found.leave_out("skipped", name)
            elif _look(entry, name, found):
                whole = _one_motion(root / name)
                if whole is None:
                    folders.append(name)
                else:
                    found.sources.append(name)
                    _beside_frames(root, name, whole, found)
    found.sources.sort()
    return found


def _look(entry: os.DirEntry[str], name: str, found: Found) -> bool:
    """Note what a file is to be taken for; return whether it is a folder to look into."""
    if entry.name.startswith("."):
        found.leave_out("hidden", name)
        return False
    if _is_folder(entry):
        if entry.is_symlink():
            found.leave_out("links to folders", name)
            return False
        return True
    suffix = PurePosixPath(entry.name).suffix.lower()
    if suffix not in SUFFIXES:
        found.leave_out(f"*{suffix}" if suffix else "without ending", name)
    elif entry.is_symlink() or entry.is_file():
        # A link that leads nowhere, or to a device, is refused when it is read.
        found.sources.append(name)
    else:
        found.leave_out("no regular files", name)
    return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle, or where one may not look
        return False


def _one_motion(folder: Path) -> str | None:
    """Return the format of a folder that is one motion."""
    try:
        return formats.detect(folder).name
    # Whatever a damaged file in it does to who looks: the file is named when it is read itself.
    except Exception:
        return None


def _beside_frames(root: Path, name: str, whole: str, found: Found) -> None:
    """Name motions that lie in a folder which is one itself: they would be lost without a word."""
    for place, folders, files in os.walk(root / name):
        folders.sort()
        for file in sorted(files):
            suffix = PurePosixPath(file).suffix.lower()
            if suffix in SUFFIXES and suffix not in _FRAMES and not file.startswith("."):
                inner = Path(place, file).relative_to(root)
                found.failed[inner.as_posix()] = (
                    f"{root / inner}: lies in a folder that is one motion ({whole}): move it, or refine it by itself"
                )


@dataclass(frozen=True)
class Planned:
    """Names of a source and of its result, relative to the two folders."""

    source: str
    result: str


def planned(found: Found, root: Path, to: str | None, reserved: Sequence[str]) -> Iterator[Planned]:
    """Yield what is to be refined into what; two that would meet at one name are noted as failed, both.

    Args:
        found: its ``failed`` is added to.
        root: that it was found in.
        to: a format to write; None keeps names as they are.
        reserved: names that results must not have.
    """
    results = {name: _result(root, name, to) for name in found.sources}
    takers: dict[str, list[str]] = {}
    for name, result in results.items():
        takers.setdefault(result, []).append(name)
    for name, result in results.items():
        rivals = [other for other in takers[result] if other != name]
        # A folder that is a result cannot hold others.
        above = [parent for parent in map(str, PurePosixPath(result).parents) if parent in takers]
        within = rivals or [other for parent in above for other in takers[parent]]
        if within:
            found.failed[name] = f"{root / name}: its result {result} meets that of {within[0]}: rename one"
            for other in within:
                found.failed.setdefault(
                    other, f"{root / other}: its result {results[other]} meets that of {name}: rename one"
                )
        elif result in reserved:
            found.failed[name] = f"{root / name}: its result would be called {result}, which the batch keeps for itself"
    for name, result in results.items():
        if name not in found.failed:
            yield Planned(name, result)


def _result(root: Path, name: str, to: str | None) -> str:
    if to is None:
        return name
    suffixes = formats.FORMATS[to].suffixes
    stem = name if (root / name).is_dir() else str(PurePosixPath(name).with_suffix(""))
    return stem + (suffixes[0] if suffixes else "")
