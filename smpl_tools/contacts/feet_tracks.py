"""Which tracks of a person say where the feet are, and how they are read and written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.tracks import Prepared, prepare
from smpl_tools.contacts.feet import whole_legs
from smpl_tools.contacts.keeping import Kept, keep_contacts, keep_contacts_positions
from smpl_tools.measures import is_observed
from smpl_tools.motion import Motion, Person, Skeleton, Track
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X, cut, person_pose, positions

Array = NDArray[np.float64]

_BODIES = (SMPL, SMPL_H, SMPL_X)
# Three numbers a joint that are not three of space.
_NOT_SPACE = {("mediapipe", "image_landmarks"), ("mediapipe-json", "image_landmarks")}


class Piece:
    """Tracks of a person on a uniform timeline, gaps filled.

    Attributes:
        person: of T' rows.
        ready: the tracks as vectors, by name.
        numbers: (T,) the row on the timeline of each row of the file.
        observed: by name, (T, J) where the file has a value.
    """

    def __init__(self, person: Person, names: dict[str, str], rows: slice) -> None:
        self.numbers = person.frames[rows] - person.frames[rows.start]
        length = int(self.numbers[-1]) + 1
        self.ready: dict[str, Prepared] = {}
        tracks: dict[str, Track] = {}
        for own, name in names.items():
            track = person.tracks[name]
            values = np.full((length, *track.values.shape[1:]), np.nan, track.values.dtype)
            values[self.numbers] = track.values[rows]
            if not np.isfinite(values).any():
                raise mismatch(f"track {name}", "an observed value", "none")
            self.ready[name] = ready = prepare(values, kind=track.kind, order=track.order)
            tracks[own] = track.replace(values=ready.restore(ready.values, 0.0), confidence=None)
        self.person = Person(person.id, tracks, np.arange(length))

    def written(
        self, name: str, vectors: Array, into: NDArray[Any], joints: list[int], frames: NDArray[np.bool_]
    ) -> None:
        """Put vectors (T', N, D) of some joints, in changed frames (T',), into the rows of a track (T, J, ...)."""
        ready = self.ready[name]
        values = ready.restore(vectors, 1.0)[self.numbers]
        replaced = (frames[:, None] & ready.observed)[self.numbers]
        for joint in joints:
            into[replaced[:, joint], joint] = values[replaced[:, joint], joint]


class FeetTracks(ABC):
    """The tracks that say where a person's feet are.

    Attributes:
        names: the tracks that are read, each by the name that it has in a piece.
        changed: the tracks that may be changed.
        joints: names of the joints whose positions they tell.
        stated_metres: one unit of the positions in metres; None where nothing says.
    """

    names: dict[str, str]
    changed: tuple[str, ...]
    joints: tuple[str, ...]
    stated_metres: float | None

    def piece(self, person: Person, rows: slice) -> Piece:
        """Return the tracks of some rows on a uniform timeline."""
        return Piece(person, self.names, rows)

    def whole(self, person: Person) -> Piece:
        """Return the tracks of all rows, one after the other whatever their frame numbers are."""
        return Piece(Person(person.id, person.tracks, np.arange(len(person.frames))), self.names, slice(0, None))

    def seen(self, person: Person, rows: slice) -> bool:
        """Return whether each of the tracks has a value in some rows."""
        return all(np.isfinite(person.tracks[name].values[rows]).any() for name in self.names.values())

    @abstractmethod
    def positions(self, piece: Piece) -> Array:
        """Return where the joints are, (T', J, 3)."""

    @abstractmethod
    def keep(self, piece: Piece, into: dict[str, NDArray[Any]], **how: Any) -> Kept:
        """Keep the feet of a piece in place, and put what changed into the rows of the changed tracks."""


class _Positions(FeetTracks):
    def __init__(self, name: str, track: Track) -> None:
        whole_legs(track.joints)
        self.names, self.changed, self.joints = {name: name}, (name,), track.joints
        self.stated_metres = track.metres

    def positions(self, piece: Piece) -> Array:
        return piece.person.tracks[self.changed[0]].values.astype(np.float64)

    def keep(self, piece: Piece, into: dict[str, NDArray[Any]], **how: Any) -> Kept:
        name = self.changed[0]
        before = self.positions(piece)
        after, kept = keep_contacts_positions(before, self.joints, **how)
        moved = (after != before).any(axis=(1, 2))
        piece.written(name, after, into[name], list(range(len(self.joints))), moved)
        return kept


class _Rotations(FeetTracks):
    def __init__(self, person: Person, skeleton: Skeleton, names: dict[str, str]) -> None:
        self.names = names
        shown = Person(person.id, {own: person.tracks[name] for own, name in names.items()}, person.frames)
        turned, placed = person_pose(shown, skeleton)
        known = np.isfinite(turned).all(axis=(2, 3)) | np.isfinite(placed).all(axis=2)
        self.skeleton = cut(skeleton, np.flatnonzero(known.any(axis=0)).tolist())
        self.joints = self.skeleton.joints
        roots = int((self.skeleton.parents < 0).sum())
        if roots != 1:
            raise mismatch(f"roots of person {person.id}", "one", roots)
        self.stated_metres = 1.0 if skeleton in _BODIES else person.tracks[names["transl"]].metres
        self._where: dict[int, tuple[str, int]] = {}
        for leg in whole_legs(self.joints):
            for joint in (leg.hip, leg.knee, leg.ankle):
                self._where[joint] = self._track_of(shown, self.joints[joint])
        self.changed = tuple(dict.fromkeys([name for name, _ in self._where.values()] + [names["transl"]]))

    def _track_of(self, person: Person, joint: str) -> tuple[str, int]:
        for own, track in person.tracks.items():
            if track.kind not in ("position", "channels") and joint in track.joints:
                return self.names[own], track.joints.index(joint)
        raise mismatch(f"joint {joint}", "a rotation about three axes", "none")

    def _pose(self, piece: Piece) -> tuple[Array, Array]:
        rotations, offsets = person_pose(piece.person, self.skeleton)
        return rotations, offsets

    def positions(self, piece: Piece) -> Array:
        rotations, offsets = self._pose(piece)
        return positions(rotations, None, self.skeleton, offsets)

    def keep(self, piece: Piece, into: dict[str, NDArray[Any]], **how: Any) -> Kept:
        rotations, offsets = self._pose(piece)
        root = offsets[:, int(np.argmax(self.skeleton.parents < 0))]
        turned, transl, kept = keep_contacts(rotations, root, self.skeleton, local_offsets=offsets, **how)
        vectors = {name: piece.ready[name].values.copy() for name in self.changed}
        moved = {name: np.zeros(len(root), bool) for name in self.changed}
        for joint, (name, k) in self._where.items():
            changed = (turned[:, joint] != rotations[:, joint]).any(axis=(1, 2))
            vectors[name][changed, k] = turned[changed, joint].reshape(-1, 9)
            moved[name] |= changed
        name = self.names["transl"]
        moved[name] = (transl != root).any(axis=1)
        vectors[name][moved[name], 0] = transl[moved[name]]
        for name in self.changed:
            joints = [k for one, k in self._where.values() if one == name] or [0]
            piece.written(name, vectors[name], into[name], joints, moved[name])
        return kept


def feet_tracks(motion: Motion, person: Person, skeleton: Skeleton | None) -> FeetTracks:
    """Find the tracks of a person that say where the feet are.

    Of a person in a camera's and in a world's view it is the world's.

    Raises:
        ValueError: there are none with hip, knee and ankle of a leg, or no path of the root.
    """
    tracks = person.tracks
    for suffix in ("_world", ""):
        if f"global_orient{suffix}" not in tracks:
            continue
        pose = f"body_pose{suffix}" if f"body_pose{suffix}" in tracks else "body_pose"
        names = {"global_orient": f"global_orient{suffix}", "body_pose": pose, "transl": f"transl{suffix}"}
        missing = [name for name in names.values() if name not in tracks]
        if missing:
            raise mismatch("tracks", "global_orient, body_pose and transl", f"no {', '.join(missing)}")
        frame = skeleton or motion.skeleton
        if frame is None or not np.isfinite(frame.offsets).all():
            joints = {joint for own in ("global_orient", "body_pose") for joint in tracks[names[own]].joints}
            frame = next((body for body in _BODIES if joints <= set(body.joints)), None)
            if frame is None:
                raise mismatch("joints", "those of SMPL, or a skeleton", ", ".join(sorted(joints)[:8]))
        if motion.format == "bvh":
            names |= {name: name for name, track in tracks.items() if is_observed(track)}
        return _Rotations(person, frame, names)
    placed = [
        (name, track)
        for name, track in tracks.items()
        if track.kind == "position"
        and track.values.shape[2] == 3
        and (motion.format, name) not in _NOT_SPACE
        and len(track.joints) > 1
    ]
    if not placed:
        raise mismatch("tracks", "3D positions, or global_orient, body_pose and transl", ", ".join(tracks))
    return _Positions(*placed[0])
