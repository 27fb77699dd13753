"""Where a person's joints are: read from position tracks, or from rotations by forward kinematics."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.coordinates import UNITS
from smpl_tools.joint_names import normal_name
from smpl_tools.measures import is_observed, prepared
from smpl_tools.motion import Motion, Person, Skeleton, Track
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X, cut, person_positions

Array = NDArray[np.float64]

# A person's height in metres, with the arms up or bent down; between powers of ten it tells the unit.
_PERSON = (0.4, 4.0)
_ROTATIONS = ("axis_angle", "rotation_matrix", "quat_wxyz", "rotation_6d")
# What joins the joints of pose estimators, whose files state no skeleton.
_LIMBS = (
    *(("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("shoulder", "hip")),
    *(("ankle", "heel"), ("ankle", "foot_index"), ("ankle", "big_toe"), ("ankle", "small_toe")),
    *(("wrist", "index"), ("wrist", "pinky"), ("wrist", "thumb")),
)
# Those of Human3.6M.
_MIDDLES = (("pelvis", "spine"), ("spine", "thorax"), ("thorax", "nose"), ("nose", "head"))


@dataclass(frozen=True, eq=False)
class Poses:
    """A person's joints over time.

    Attributes:
        joints: J names.
        positions: (T, J, 3) in ``unit``, or (T, J, 2) pixels; NaN where not observed.
        frames: (T,) frame numbers.
        unit: ``m``, ``px``, or ``file units`` where the file does not say.
        metres: one unit in metres, None where the file does not say, and in pixels.
        parents: (J,) index of the parent, -1 for a root, where there is a skeleton.
        turning: names of the K joints that have rotations.
        rotations: (T, K, 3, 3) theirs, each relative to its parent; NaN where not observed. None without rotations.
    """

    joints: tuple[str, ...]
    positions: Array
    frames: NDArray[np.int64]
    unit: str
    metres: float | None
    parents: NDArray[np.int64] | None = None
    turning: tuple[str, ...] = ()
    rotations: Array | None = None


def poses(motion: Motion, person: Person, *, hands: bool = False) -> Poses:
    """Return a person's joint positions, fingers only if asked for.

    Rotations go through the motion's own skeleton, or where the file has none through the approximate SMPL body of
    ``smpl_tools.skeleton``; joints without rotations do not turn. Of several tracks that say where the same joint is,
    the first counts.

    Raises:
        ValueError: the person has neither positions of joints nor rotations of a known skeleton.
    """
    parts = ("root", "body", "hands") if hands else ("root", "body")
    turning = {n: t for n, t in person.tracks.items() if t.kind in _ROTATIONS and t.part in parts}
    if turning:
        return _from_rotations(motion, person, turning, hands)
    placed = {n: t for n, t in person.tracks.items() if t.kind == "position" and t.part == "body"}
    placed = placed or {n: t for n, t in person.tracks.items() if t.kind == "position"}
    if not placed:
        raise mismatch(f"tracks of person {person.id}", "positions or rotations of joints", ", ".join(person.tracks))
    # Space before image, and what has a known unit before what has not.
    track = max(placed.values(), key=lambda t: (t.values.shape[2], t.metres is not None))
    unit = "px" if track.values.shape[2] == 2 else "m" if track.metres == 1.0 else "file units"
    return Poses(track.joints, track.values.astype(np.float64), person.frames, unit, track.metres)


def unit_by_size(people: Sequence[Poses]) -> tuple[str | None, float]:
    """Return the unit, of m, cm and mm, in which people have a person's size, None if in none, and their size."""
    tall = [
        np.ptp(frame[np.isfinite(frame).all(axis=-1)], axis=0).max()
        for one in people
        for frame in one.positions
        if np.isfinite(frame).all(axis=-1).any()
    ]
    height = float(np.median(tall)) if tall else math.nan
    known = (unit for unit in ("m", "cm", "mm") if _PERSON[0] <= height * UNITS[unit] < _PERSON[1])
    return next(known, None), height


def paired_people(one: Motion, other: Motion) -> list[tuple[Person, Person]]:
    """Return the people of two motions in pairs: by id, or the only one with the only one.

    Raises:
        ValueError: their ids are not the same, or nobody is there.
    """
    if len(one.people) == len(other.people) == 1:
        return [(one.people[0], other.people[0])]
    by_id = {p.id: p for p in other.people}
    if not one.people or {p.id for p in one.people} != set(by_id):
        raise mismatch(f"people of {other.path}", f"{_ids(one)}, as in {one.path}", _ids(other))
    return [(p, by_id[p.id]) for p in one.people]


def bones(track: Poses) -> list[tuple[int, int]]:
    """Return pairs of joints to draw a line between; none where neither skeleton nor names tell them."""
    if track.parents is not None:
        return [(int(p), j) for j, p in enumerate(track.parents) if p >= 0]
    if SMPL.joints[0] in track.joints and set(track.joints) <= set(SMPL.joints):
        own = cut(SMPL, [SMPL.joints.index(name) for name in track.joints])
        return [(int(p), j) for j, p in enumerate(own.parents) if p >= 0]
    at = {normal_name(name): j for j, name in reversed(list(enumerate(track.joints)))}
    pairs = [(f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in _LIMBS]
    pairs += [(f"left_{joint}", f"right_{joint}") for joint in ("shoulder", "hip")]
    pairs += _MIDDLES if "thorax" in at else ()
    return [(at[a], at[b]) for a, b in pairs if a in at and b in at]


def hips(joints: tuple[str, ...]) -> list[int]:
    """Return the joints whose mean is the root: the pelvis by one of its names, or both hips; empty if unknown."""
    names = [normal_name(name) for name in joints]
    if "pelvis" in names:
        return [names.index("pelvis")]
    pair = [names.index(name) for name in ("left_hip", "right_hip") if name in names]
    return pair if len(pair) == 2 else []


def upward(track: Poses, rows: slice) -> tuple[int, int, float]:
    """Return the axes to draw a pose by: across, up, and -1 where up is the axis's negative direction.

    In an image y points down. In space up is the axis along which the head is farthest from the feet, by the names of
    the joints; a person's longest axis where the names do not say (arms held out span as much as a body is tall).
    Across is the wider of the other two.
    """
    if track.positions.shape[2] == 2:
        return 0, 1, -1.0
    # Frame by frame, about the frame's own middle: a person who walks far does not lie down.
    seen = [np.isfinite(frame).all(axis=1) for frame in track.positions[rows]]
    frames = [frame - frame[s].mean(axis=0) for frame, s in zip(track.positions[rows], seen, strict=True) if s.any()]
    if not frames:
        return 0, 1, 1.0
    extent = np.mean([np.ptp(frame[np.isfinite(frame).all(axis=1)], axis=0) for frame in frames], axis=0)
    names = [normal_name(name) for name in track.joints]

    def place(pattern: str) -> NDArray[np.float64] | None:
        own = [j for j, name in enumerate(names) if re.search(pattern, name)]
        values = np.array([frame[own] for frame in frames]).reshape(-1, 3)
        values = values[np.isfinite(values).all(axis=1)]
        return values.mean(axis=0) if len(values) else None

    head, feet = place("head|neck|nose|shoulder"), place("ankle|foot|toe|heel")
    origin = np.zeros(3)
    way = (origin if head is None else head) - (origin if feet is None else feet)
    up = int(np.argmax(extent if head is None or feet is None else np.abs(way)))
    across = int(max((a for a in range(3) if a != up), key=lambda a: extent[a]))
    return across, up, -1.0 if way[up] < 0 else 1.0


def _ids(motion: Motion) -> str:
    return ", ".join(p.id for p in motion.people) or "nobody"


def _from_rotations(motion: Motion, person: Person, turning: dict[str, Track], hands: bool) -> Poses:
    frame = motion.skeleton
    # The bodies of this package are in metres and no statement of the file.
    own = frame is not None and frame not in (SMPL, SMPL_H, SMPL_X) and bool(np.isfinite(frame.offsets).all())
    if not own or frame is None:
        frame, person, turning = _on_smpl(motion, person, turning)
    positions = person_positions(person, frame)
    # Joints under another person's root have no place at all.
    fingers = {name for t in person.tracks.values() if t.part == "hands" and not hands for name in t.joints}
    under = [j for j in range(len(frame.joints)) if not len(positions) or np.isfinite(positions[:, j]).any()]
    under = [j for j in under if frame.joints[j] not in fingers]
    place = {j: k for k, j in enumerate(under)}
    names, matrices = [], []
    for track in turning.values():
        values = _matrices(track)
        for k, joint in enumerate(track.joints):
            if joint not in names:
                names.append(joint)
                matrices.append(values[:, k])
    return Poses(
        joints=tuple(frame.joints[j] for j in under),
        positions=positions[:, under],
        frames=person.frames,
        unit="file units" if own else "m",
        metres=None if own else 1.0,
        parents=np.array([place.get(int(frame.parents[j]), -1) for j in under], np.int64),
        turning=tuple(names),
        rotations=np.stack(matrices, axis=1),
    )


def _on_smpl(motion: Motion, person: Person, turning: dict[str, Track]) -> tuple[Skeleton, Person, dict[str, Track]]:
    """Return the body of the SMPL family that has the joints, and the person as that body can show it."""
    names = {name for track in turning.values() for name in track.joints}
    frame = next((s for s in (SMPL, SMPL_H, SMPL_X) if names <= set(s.joints)), None)
    if frame is None:
        # A plain array of rotations names no joints; as many as SMPL has are taken for SMPL's.
        key, track = next(iter(turning.items()))
        if len(turning) > 1 or len(track.joints) not in (22, 24):
            raise mismatch(
                f"joints of person {person.id}", "those of SMPL, or a skeleton", ", ".join(sorted(names)[:4]) + ", ..."
            )
        frame, turning = SMPL, {key: track.replace(joints=SMPL.joints[: len(track.joints)])}
    tracks = dict(turning)
    # A translation in another unit than the body's would tear them apart: then the root stays at the origin.
    if "transl" in person.tracks and person.tracks["transl"].metres == 1.0:
        tracks["transl"] = person.tracks["transl"]
    return frame, Person(person.id, tracks, person.frames), turning


def _matrices(track: Track) -> Array:
    """Return (T, J, 3, 3), NaN where not observed."""
    shape = (*track.values.shape[:2], 3, 3)
    if not is_observed(track):
        return np.full(shape, np.nan)
    ready = prepared(track)
    return np.where(ready.observed[..., None, None], ready.values.reshape(shape), np.nan)
