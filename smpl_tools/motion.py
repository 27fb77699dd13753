"""What a motion is: people, each with named tracks over time, and what the file they came from said about them.

A :class:`Motion` is read by :mod:`smpl_tools.formats`, changed by replacing tracks, and written back by the format
that read it. It is immutable; its arrays are never written to by this package.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch, one_of
from smoothnet_core.limits import check_limit

Kind = Literal["position", "axis_angle", "rotation_matrix", "quat_wxyz", "rotation_6d", "channels"]
Part = Literal["root", "body", "hands", "face", "shape", "camera"]
Up = Literal["y", "z", "-y"]

# Differences of such numbers are exact, as whole numbers and as floats.
_LAST_FRAME = 2**52
PARTS: tuple[Part, ...] = ("root", "body", "hands", "face", "shape", "camera")
DEFAULT_PARTS: tuple[Part, ...] = ("root", "body")
UPS: tuple[Up, ...] = ("y", "z", "-y")
# The trailing axes of one joint's value in each kind; a position may also be 2D.
VALUE_SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "position": ((3,), (2,)),
    "axis_angle": ((3,),),
    "rotation_matrix": ((3, 3),),
    "quat_wxyz": ((4,),),
    "rotation_6d": ((6,),),
    "channels": ((),),
}


def time_span(frames: NDArray[np.int64], what: str = "a motion") -> int:
    """Return how many frames there are from the first of some frame numbers to the last.

    Args:
        frames: (T,) strictly increasing.
        what: is made of so many frames, for the error.

    Raises:
        ValueError: they are more than the limit: two numbers in a file can be as far apart as it likes.
    """
    length = int(frames[-1]) - int(frames[0]) + 1 if len(frames) else 0
    check_limit(f"frames of {what}, missing ones included", "frames", length)
    return length


@dataclass(frozen=True, eq=False)
class Track:
    """One array over time.

    Attributes:
        values: float array (T, J, ...): T frames, J joints (or J channels for ``kind="channels"``), then the value's
            own axes, see ``VALUE_SHAPES``. NaN where nothing was observed. Angles in radians (``channels`` holding
            angles too), positions in the file's unit (pixels in 2D).
        kind: what one joint's value is.
        part: the part of the person it belongs to, which ``--parts`` selects.
        joints: J names.
        confidence: (T, J) in [0, 1], or None where the file states none.
        order: order of the six numbers of ``rotation_6d`` (``interleaved``, ``columns``, ``rows``).
        metres: one unit of a 3D position in metres; None where the file does not say, and in pixels.
        up: which axis of the scene points up, for what is told in the scene's axes: root orientations and positions.
            ``-y`` is a camera's frame, x right, y down, z away. None where the file does not say, for rotations
            relative to a parent, and in an image.
    """

    values: NDArray[np.floating]
    kind: Kind
    part: Part
    joints: tuple[str, ...]
    confidence: NDArray[np.floating] | None = None
    order: str = "columns"
    metres: float | None = None
    up: Up | None = None

    def __post_init__(self) -> None:
        one_of("kind of a track", self.kind, VALUE_SHAPES)
        if self.up is not None:
            one_of("up axis of a track", self.up, UPS)
        one_of("part of a track", self.part, PARTS)
        if self.values.ndim < 2 or self.values.shape[2:] not in VALUE_SHAPES[self.kind]:
            raise mismatch(
                f"values of a {self.kind} track",
                " or ".join(f"(T, J, {', '.join(map(str, s))})" if s else "(T, J)" for s in VALUE_SHAPES[self.kind]),
                self.values.shape,
            )
        if len(self.joints) != self.values.shape[1]:
            raise mismatch("joint names of a track", f"{self.values.shape[1]} names", f"{len(self.joints)}")
        if self.confidence is not None and self.confidence.shape != self.values.shape[:2]:
            raise mismatch("confidence of a track", self.values.shape[:2], self.confidence.shape)

    def replace(self, **changes: Any) -> Track:
        """Return a copy with some attributes changed."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Person:
    """One person (or one hierarchy of a BVH): tracks of equal length.

    Attributes:
        id: the file's own name for the person, as text (``"0"`` where it has none).
        tracks: by name, e.g. ``global_orient``, ``body_pose``, ``transl``, ``left_hand_pose``, ``joints``.
        frames: (T,) int64, strictly increasing: the frame number in the file of every row. A missing number is a gap
            in which this person was not seen.
        betas: (K,) the body shape where the file states one for the whole take; a shape that changes is a track.
        gender: ``neutral``, ``male`` or ``female`` where the file says which body model the pose is for.
    """

    id: str
    tracks: Mapping[str, Track]
    frames: NDArray[np.int64]
    betas: NDArray[np.floating] | None = None
    gender: str | None = None

    def __post_init__(self) -> None:
        for name, track in self.tracks.items():
            if len(track.values) != len(self.frames):
                raise mismatch(f"frames of track {name!r} of person {self.id}", len(self.frames), len(track.values))
        if len(self.frames) and max(abs(int(self.frames[0])), abs(int(self.frames[-1]))) >= _LAST_FRAME:
            raise mismatch(f"frame numbers of person {self.id}", f"below {_LAST_FRAME:,}", "a greater number")
        if not (self.frames[1:] > self.frames[:-1]).all():
            raise mismatch(f"frame numbers of person {self.id}", "strictly increasing", "a repeated or falling number")

    def with_tracks(self, tracks: Mapping[str, Track]) -> Person:
        """Return a copy in which the named tracks are replaced; the others stay the same objects."""
        unknown = set(tracks) - set(self.tracks)
        if unknown:
            raise mismatch("tracks to replace", "some of " + ", ".join(self.tracks), ", ".join(sorted(unknown)))
        return dataclasses.replace(self, tracks={**self.tracks, **tracks})


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A hierarchy of J joints.

    Attributes:
        joints: J names.
        parents: (J,) int64 index of the parent, -1 for a root; a parent stands before its children.
        offsets: (J, 3) rest position relative to the parent, in the file's unit; NaN where the file has none.
        metres: one unit in metres, None where the file does not say.
        ends: (J, 3) where the bone of a joint without children ends, relative to the joint; NaN where the file does
            not say. None for a skeleton that knows of no ends.
    """

    joints: tuple[str, ...]
    parents: NDArray[np.int64]
    offsets: NDArray[np.floating]
    metres: float | None = None
    ends: NDArray[np.floating] | None = None


@dataclass(frozen=True, eq=False)
class Motion:
    """People in motion, as one file states them.

    Attributes:
        format: name of the format that read it (a key of ``smpl_tools.formats.FORMATS``).
        people: at least one person, unless the file has none.
        fps: frames a second; None where the file does not say.
        skeleton: the joints' hierarchy, where the file has one.
        image_size: (width, height) in pixels of 2D data, where known.
        source: what the format keeps to write the same file again; opaque to everybody else.
        path: the file or folder it was read from.
        notes: remarks for the reader of ``smoothnet info``, e.g. an assumed frame rate.
    """

    format: str
    people: tuple[Person, ...]
    fps: float | None
    skeleton: Skeleton | None = None
    image_size: tuple[float, float] | None = None
    source: Any = None
    path: Path | None = None
    notes: tuple[str, ...] = field(default=())

    def with_people(self, people: tuple[Person, ...]) -> Motion:
        """Return a copy with other people (same number, same ids, same order)."""
        if [p.id for p in people] != [p.id for p in self.people]:
            raise mismatch("people", [p.id for p in self.people], [p.id for p in people])
        return dataclasses.replace(self, people=people)

    @property
    def frame_count(self) -> int:
        """Length of the file's timeline in frames: from its first to its last numbered frame."""
        seen = [p.frames for p in self.people if len(p.frames)]
        return int(max(f[-1] for f in seen) - min(f[0] for f in seen)) + 1 if seen else 0
