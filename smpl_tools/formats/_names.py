"""Names told apart, and named in a message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


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


def listed(names: Iterable[str], limit: int = 12) -> str:
    """Return names in one line for a message: the first ``limit``, and how many more there are."""
    shown = list(names)
    text = ", ".join(name if name.isprintable() else repr(name) for name in shown[:limit])
    return f"{text} and {len(shown) - limit} more" if len(shown) > limit else text or "none"
