"""How much a file may hold or declare, so that a hostile one takes neither memory nor time; and how to move a bound.

``SMOOTHNET_LIMITS`` in the environment sets bounds anew, for the library and the program alike:
``SMOOTHNET_LIMITS="bytes=16e9 joints=50000"``. A file that exceeds one is refused with a message that names it.
"""

from __future__ import annotations

import os
from functools import lru_cache

from smoothnet_core._checks import mismatch, one_of

VARIABLE = "SMOOTHNET_LIMITS"

# By name: the bound, and of what.
LIMITS: dict[str, tuple[int, str]] = {
    "bytes": (8 * 2**30, "bytes of a file, and of what it unpacks to"),
    "text": (2**30, "bytes of a file of text (BVH, CSV, JSON)"),
    "growth": (200, "times that a file may grow when it is unpacked; 64 MiB are allowed to any"),
    "members": (10_000, "members of an archive"),
    "objects": (20_000_000, "operations of a pickle; values of a JSON document, cells and lines of other text"),
    "joints": (20_000, "joints or channels of a track, joints of a skeleton"),
    "frames": (5_000_000, "frames of a time line, missing ones included, that is filled or resampled"),
    "people": (500, "people in one frame, where people are matched over time"),
}
# Whatever its ratio, what is unpacked to no more than this is let through.
_ANYWAY = 2**26


class LimitError(ValueError):
    """A file holds or declares more than a limit allows."""


def limit(name: str) -> int:
    """Return the bound ``name``, a key of ``LIMITS``, as the environment sets it, else as it stands there.

    Raises:
        ValueError: the environment names an unknown bound, or one that is no positive number.
    """
    return _stated(os.environ.get(VARIABLE, "")).get(name, LIMITS[name][0])


@lru_cache(maxsize=8)
def _stated(text: str) -> dict[str, int]:
    stated = {}
    for entry in text.replace(",", " ").split():
        name, _, number = entry.partition("=")
        one_of(f"limit in {VARIABLE}", name, LIMITS)
        try:
            stated[name] = int(float(number))
        except (ValueError, OverflowError):
            stated[name] = 0
        if stated[name] < 1:
            raise mismatch(f"{VARIABLE}, {name}", "a positive number", repr(number))
    return stated


def check_limit(what: str, name: str, received: int) -> None:
    """Raise the error that says how the bound is moved where ``received`` is more than the limit ``name`` allows.

    Args:
        what: is counted, for the message.
        name: a key of ``LIMITS``.
        received: how many there are, or are declared.

    Raises:
        LimitError: more than allowed.
    """
    bound = limit(name)
    if received > bound:
        raise exceeded(what, name, bound, received)


def exceeded(what: str, name: str, bound: int, received: object) -> LimitError:
    """Return the error of a limit that was exceeded."""
    shown = f"{received:,}" if isinstance(received, int) and abs(received) < 10**30 else str(received)[:40]
    return LimitError(
        f"{what}: expected at most {bound:,}, received {shown} ({VARIABLE}={name}=NUMBER moves this limit)"
    )


def unpacked_bytes(packed: int, most: int) -> int:
    """Return how many bytes ``packed`` bytes may become when they are unpacked, ``most`` at most."""
    return min(most, max(_ANYWAY, limit("growth") * packed))
