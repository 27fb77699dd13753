"""What every filter does around its own formula: read the track, check the numbers given, write the track again."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core._reading import one_line
from smoothnet_core.tracks import FASTEST_FPS, Prepared, checked_strength, number, prepare, settled

DEFAULT_FPS = 30.0


def filtered(
    track: Any,
    smooth: Callable[[Prepared], NDArray[np.float64]],
    *,
    kind: str,
    strength: float,
    mask: Any,
    confidence: Any,
    order: str,
) -> Any:
    """Return the track after ``smooth``, which is given two frames or more of at least one vector (T, N, D)."""
    strength = checked_strength(strength)
    prepared = prepare(track, kind=kind, order=order, mask=mask, confidence=confidence)
    new = prepared.values
    if len(new) > 1 and new.size and strength:
        new = settled(smooth(prepared), prepared.is_rotation)
    return prepared.restore(new, strength)


def checked_fps(fps: float | None) -> float:
    """Return ``fps`` or its default; refuse what is not a positive number, or one that leaves no digits to the rest."""
    rate = DEFAULT_FPS if fps is None else positive("fps", fps)
    if rate > FASTEST_FPS:
        raise mismatch("fps", f"at most {FASTEST_FPS:,} frames a second", fps)
    return rate


def positive(what: str, value: float) -> float:
    """Return ``value`` if it is a positive finite number; raise the ``ValueError`` that says so if not."""
    checked = number(what, "a positive number", value)
    if not (math.isfinite(checked) and checked > 0):
        raise mismatch(what, "a positive number", value)
    return checked


def not_negative(what: str, value: float) -> float:
    """Return ``value`` if it is a finite number from 0; raise the ``ValueError`` that says so if not."""
    checked = number(what, "a number from 0", value)
    if not (math.isfinite(checked) and checked >= 0):
        raise mismatch(what, "a number from 0", value)
    return checked


def whole(what: str, value: int, least: int, odd: bool = False) -> int:
    """Return ``value`` if it is a whole number from ``least`` (and odd); raise the ``ValueError`` that says so else."""
    if not isinstance(value, Integral) or value < least or (odd and value % 2 == 0):
        raise mismatch(what, f"{'an odd' if odd else 'a whole'} number from {least}", one_line(repr(value), 80))
    return int(value)
