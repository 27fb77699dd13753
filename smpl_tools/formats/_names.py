"""Names told apart, and named in a message."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from smoothnet_core._checks import mismatch
from smoothnet_core.limits import check_limit


def unique_names(names: Sequence[str]) -> list[str]:
    """Return the names with later copies numbered: the second ``hand`` becomes ``hand (2)``."""
    taken: set[str] = set()
    count: dict[str, int] = {}
    result = []
    for name in names:
        new = name
        while new in taken:
            count[name] = count.get(name, 1) + 1
            new = f"{name} ({count[name]})"
        taken.add(new)
        result.append(new)
    return result


def on_one_line(names: Iterable[str], without: str = "") -> list[str]:
    """Return the names as text can hold them: line ends and what cannot be printed, and these characters, become ``_``.

    Names that would be the same, or empty, are told apart by numbers.
    """
    plain = ["".join(c if c.isprintable() and c not in without else "_" for c in name) for name in names]
    return unique_names([name if name.strip() else "_" for name in plain])


def numbered(name: str, count: int) -> tuple[str, ...]:
    """Return the names of joints or channels that have none of their own: ``name_0``, ``name_1``, ...

    Raises:
        ValueError: they are more than the limit.
    """
    check_limit(f"joints or channels ({name})", "joints", count)
    return tuple(f"{name}_{k}" for k in range(count))


def listed(names: Iterable[str], limit: int = 12) -> str:
    """Return names in one line for a message: the first ``limit``, and how many more there are."""
    shown = list(names)
    text = ", ".join(name if name.isprintable() else repr(name) for name in shown[:limit])
    return f"{text} and {len(shown) - limit} more" if len(shown) > limit else text or "none"


def frame_numbers(path: Path, names: Sequence[str], suffix: str = "") -> list[int]:
    """Return the frame numbers of files by their names: the last number before the suffix that differs.

    Raises:
        ValueError: no number is in all names and a different one in each.
    """
    groups = [re.findall(r"[0-9]+", name[: len(name) - len(suffix)]) for name in names]
    for place in range(1, min(map(len, groups), default=0) + 1):
        numbers = [int(group[-place]) for group in groups]
        if len(set(numbers)) == len(numbers) and max(numbers) < 2**63:
            return numbers
    example = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    raise mismatch(f"{path}: file names", "a frame number that differs from file to file", example)
