"""Which tracks of a person are judged at the joints, on what skeleton, and how they go through that refinement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core._steady_rotations import steadied
from smoothnet_core._vectors import as_matrices
from smoothnet_core.tracks import Prepared, prepare
from smpl_tools.body_tracks import Work
from smpl_tools.joint_refinement import refine_at_joints
from smpl_tools.measures import is_observed, pieces, prepared
from smpl_tools.motion import Motion, Person, Skeleton, Track
from smpl_tools.refined_tracks import Refiner, on_timeline
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X, person_pose

Array = NDArray[np.float64]

# What rotations may be refined by.
JUDGES = ("rotations", "joints")
# Standard deviation, in frames at 30 a second, of the Gaussian that takes over where positions are noisier than fast.
# With that of rotations, 3, wrists and ankles lose speed.
_SIGMA = 2.5
_ROTATIONS = ("axis_angle", "rotation_matrix", "quat_wxyz", "rotation_6d")


@dataclass(frozen=True, eq=False)
class _Piece:
    """A piece of a track on its timeline of L frames.

    Attributes:
        joints: (N,) of the track, that the piece shows.
        places: (N,) where they stand in the skeleton, -1 for those that are not in it.
        numbers: on the timeline, of the piece's rows.
        ready: the input.
        refined: (L, N, 9) each rotation refined by itself.
    """

    joints: NDArray[np.int64]
    places: NDArray[np.int64]
    numbers: slice | NDArray[np.int64]
    ready: Prepared
    refined: Array


def refined_at_joints(
    motion: Motion, work: Sequence[Work], refiner: Refiner, *, strength: float, fps: float, steady: bool
) -> dict[tuple[str, str], Track]:
    """Return the tracks of rotations judged at the joints, by person and name; other tracks are not in it.

    Each goes through the refiner by itself, and then with the person's others through
    :func:`smpl_tools.joint_refinement.refine_at_joints`, with positions from the same refiner. Of several tracks that
    turn the same joint only the first is judged. Rotations that are not to be refined are as the file has them, but a
    root that is not is left out of sight: its noise is not for the body to make up for.

    Args:
        motion: that the work is from.
        work: what is to be refined.
        refiner: at full strength.
        strength: 0 (unchanged) to 1.
        fps: frames a second.
        steady: smooth positions further where they were noisier than they are fast, as the core does with rotations.

    Raises:
        ValueError: none of the tracks are rotations of a known skeleton.
    """
    people: dict[str, tuple[Person, dict[str, Track]]] = {}
    for person, name, track in work:
        if track.kind in _ROTATIONS and is_observed(track):
            people.setdefault(person.id, (person, {}))[1][name] = track
    found: dict[tuple[str, str], Track] = {}
    for person, tracks in people.values():
        skeleton = _skeleton(motion, tracks)
        if skeleton is not None:
            new = _refined_person(person, tracks, skeleton, refiner, strength, fps, steady)
            found |= {(person.id, name): track for name, track in new.items()}
    if not found and any(is_observed(track) for _, _, track in work):
        received = dict.fromkeys(f"{name} ({track.kind} {track.values.shape[1:]})" for _, name, track in work)
        expected = "rotations of a skeleton that the file has, or of SMPL's joints"
        raise mismatch("tracks to judge at the joints", expected, ", ".join(received))
    return found


def _skeleton(motion: Motion, tracks: Mapping[str, Track]) -> Skeleton | None:
    """Return the skeleton whose joints the tracks turn: the file's, or the one of the SMPL family with these names.

    As many rotations without names as SMPL has joints are taken for SMPL's.
    """
    names = [joint for track in tracks.values() for joint in track.joints]
    own = motion.skeleton
    if own is not None and np.isfinite(own.offsets).all():
        return own if set(names) & set(own.joints) else None
    for known in (SMPL, SMPL_H, SMPL_X):
        if set(names) <= set(known.joints):
            return known
    numbered = len(tracks) == 1 and all(name.endswith(f"_{j}") for j, name in enumerate(names))
    if numbered and len(names) in (22, len(SMPL.joints)):
        return replace(SMPL, joints=(*names, *SMPL.joints[len(names) :]))
    return None


def _refined_person(
    person: Person,
    tracks: Mapping[str, Track],
    skeleton: Skeleton,
    refiner: Refiner,
    strength: float,
    fps: float,
    steady: bool,
) -> dict[str, Track]:
    free = {name: j for j, name in enumerate(skeleton.joints)}
    places = {n: np.array([free.pop(joint, -1) for joint in t.joints], np.int64) for n, t in tracks.items()}
    judged = {name: track for name, track in tracks.items() if (places[name] >= 0).any()}
    if not judged:
        return {}
    observed = {name: prepared(track).observed for name, track in judged.items()}
    rotations, offsets = person_pose(person, skeleton)
    roots = np.flatnonzero(skeleton.parents < 0)
    rotations[:, np.setdiff1d(roots, np.concatenate(list(places.values())))] = np.eye(3)
    frame = replace(skeleton, offsets=_usual(offsets, roots, skeleton))

    values = {name: track.values.copy() for name, track in judged.items()}
    for rows in pieces(person.frames, fps):
        parts = {}
        for name, track in judged.items():
            joints = np.flatnonzero(observed[name][rows].any(axis=0))
            if joints.size:
                parts[name] = _piece(track, joints, places[name][joints], person.frames, rows, refiner)
        if not parts:
            continue
        numbers = person.frames[rows] - person.frames[rows.start]
        whole = np.full((int(numbers[-1]) + 1, *rotations.shape[1:]), np.nan)
        whole[numbers] = rotations[rows]
        new = _judged(whole, list(parts.values()), frame, refiner, fps, steady)
        for name, part in parts.items():
            vectors, inside = part.refined.copy(), part.places >= 0
            vectors[:, inside] = new[:, part.places[inside]].reshape(len(new), -1, 9)
            values[name][rows.start : rows.stop, part.joints] = part.ready.restore(vectors, strength)[part.numbers]
    return {name: track.replace(values=values[name]) for name, track in judged.items()}


def _usual(offsets: Array, roots: NDArray[np.int64], skeleton: Skeleton) -> Array:
    """Return (J, 3) offsets: of bones whose length changes over time, the middle one."""
    offsets = offsets.copy()
    offsets[:, roots] = 0.0
    seen = np.isfinite(offsets).all(axis=(1, 2))
    return np.median(offsets[seen], axis=0) if seen.any() else np.asarray(skeleton.offsets, np.float64)


def _piece(
    track: Track,
    joints: NDArray[np.int64],
    places: NDArray[np.int64],
    frames: NDArray[np.int64],
    rows: slice,
    refiner: Refiner,
) -> _Piece:
    numbers, values, confidence = on_timeline(track, frames, rows, joints)
    ready = prepare(values, kind=track.kind, order=track.order, confidence=confidence)
    refined = prepare(refiner(values, track, confidence, None, None), kind=track.kind, order=track.order)
    return _Piece(joints, places, numbers, ready, refined.values)


def _judged(
    whole: Array, parts: Sequence[_Piece], skeleton: Skeleton, refiner: Refiner, fps: float, steady: bool
) -> Array:
    """Return the rotations (L, J, 3, 3) of a person's piece; ``whole`` (L, J, 3, 3) holds those of the file."""
    given = prepare(whole, kind="rotation_matrix")
    before = as_matrices(given.values)
    before[:, given.never_observed] = np.eye(3)
    after, trust = before.copy(), given.observed.astype(np.float64)
    for part in parts:
        inside = part.places >= 0
        places = part.places[inside]
        before[:, places] = as_matrices(part.ready.values)[:, inside]
        after[:, places] = as_matrices(part.refined)[:, inside]
        if part.ready.confidence is not None:
            trust[:, places] *= part.ready.confidence[:, inside]
    # A joint's place is known as well as the least known rotation above it.
    known = np.ones_like(trust)
    for joint, parent in enumerate(skeleton.parents):
        if parent >= 0:
            known[:, joint] = np.minimum(known[:, parent], trust[:, parent])
    shown = np.flatnonzero(known.any(axis=0))
    names = tuple(skeleton.joints[j] for j in shown)

    def refine_positions(placed: Array) -> Array:
        own = placed[:, shown]
        new = refiner(own, Track(own, "position", "body", names), known[:, shown], None, None)
        result = np.full(placed.shape, np.nan)
        result[:, shown] = steadied(own, new, _SIGMA, fps / 30.0) if steady else new
        return result

    turning = np.concatenate([part.places for part in parts])
    return refine_at_joints(before, after, skeleton, refine_positions, turning=turning[turning >= 0])
