"""What travels through a stream: one frame of joints, whatever protocol it came by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """One frame.

    Attributes:
        tracks: kind -> (..., shape of the kind): ``position`` and so on; of VMC two, for rotations and positions. NaN
            is not observed.
        names: of what the first axis of each track holds; None where the sender does not say.
        time: in seconds; None where the sender does not say.
        mask: True = observed; (...) or the track's shape, or None.
        confidence: likewise, in [0, 1].
        rest: what goes out as it came in, of the protocol's own kind.
    """

    tracks: Mapping[str, Array]
    names: tuple[str, ...] | None = None
    time: float | None = None
    mask: NDArray[Any] | None = None
    confidence: NDArray[Any] | None = None
    rest: Any = None


# Numbers a joint as one row of them, and their shape.
SHAPES: dict[str, tuple[int, ...]] = {
    "position": (3,),
    "rotation_6d": (6,),
    "rotation_matrix": (3, 3),
    "quat_wxyz": (4,),
    "axis_angle": (3,),
    "channels": (),
}


def from_row(numbers: Array, kind: str) -> Array:
    """Return joints (J, ...) from a row of all their numbers.

    Raises:
        ValueError: they are not a whole number of joints.
    """
    shape = SHAPES[kind]
    each = int(np.prod(shape, dtype=np.int64))
    if not len(numbers) or len(numbers) % each:
        several = "" if each == 1 else f"a multiple of {each} for {kind}, "
        raise mismatch("numbers of a frame", f"{several}at least {each}", len(numbers))
    return numbers.reshape(-1, *shape)


def the_track(frame: LiveFrame, sink: str) -> Array:
    """Return the one track of a frame, for protocols that carry one.

    Raises:
        ValueError: it has several.
    """
    if len(frame.tracks) != 1:
        raise mismatch(f"frame for {sink}", "one kind of numbers", " and ".join(frame.tracks))
    return next(iter(frame.tracks.values()))
