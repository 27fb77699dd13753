"""Motions brought onto one stage: metres, Y up, one timeline, a floor, so that one camera sees them all alike."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch, one_of
from smpl_tools.coordinates import UNITS, stated_ups, up_rotation
from smpl_tools.joint_names import normal_name, normal_names
from smpl_tools.measures import ASSUMED_FPS
from smpl_tools.motion import Motion, time_span
from smpl_tools.pictures.figure import Figure, figure_of
from smpl_tools.poses import Poses, paired_people, poses, unit_by_size, upward

Array = NDArray[np.float64]

# How tall somebody is taken to be whose file has no unit that makes sense.
_TALL = 1.7
# The floor lies below the lowest joint of all but this share of the frames.
_BELOW_FLOOR = 0.1


@dataclass(frozen=True, eq=False)
class Actor:
    """A person of one motion on the stage.

    Attributes:
        person: id.
        joints: J names.
        points: (T, P, 3) metres, Y up, on the stage's timeline; the joints first; NaN where nobody was seen.
        figure: how they are joined.
        seen: (T,) the person's row in the file for each frame of the timeline, -1 where there is none.
    """

    person: str
    joints: tuple[str, ...]
    points: Array
    figure: Figure
    seen: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stage:
    """Motions side by side.

    Attributes:
        casts: the people of each motion, in the same order in all of them.
        names: what each motion's file is called.
        fps: frames a second of the timeline.
        first: frame number at which the timeline begins.
        turn: (3, 3) from the files' axes to Y up.
        scale: metres in one unit of the files.
        flat: whether the positions are those of a picture; z is zero then.
        floor: height of the floor, None for flat motions.
        facing: (3,) horizontal direction in which people look on average.
    """

    casts: tuple[tuple[Actor, ...], ...]
    names: tuple[str, ...]
    fps: float
    first: int
    turn: Array
    scale: float
    flat: bool
    floor: float | None
    facing: Array

    @property
    def frame_count(self) -> int:
        """Frames of the timeline."""
        return len(self.casts[0][0].points)


def staged(motions: Sequence[Motion], *, person: str | None = None) -> Stage:
    """Bring motions of the same people onto a stage.

    Which way is up and how long a unit is follows from the first motion: what its file states, or else the joints'
    names and a person's size.

    Args:
        motions: at least one.
        person: id of the person to show; None shows all.

    Raises:
        ValueError: the motions do not belong together, an unknown person, or nothing that can be drawn.
    """
    motions = [_with_ends(motion) for motion in motions]
    first = motions[0]
    rows = [paired_people(first, other) for other in motions]
    known = [one.id for one, _ in rows[0]]
    chosen = known if person is None else [one_of("person", person, known)]
    tracks = [
        [poses(motion, pairs[known.index(name)][1]) for name in chosen]
        for motion, pairs in zip(motions, rows, strict=True)
    ]
    leading = tracks[0]
    for motion, cast in zip(motions, tracks, strict=True):
        for one, other in zip(leading, cast, strict=True):
            if one.positions.shape[2] != other.positions.shape[2]:
                raise mismatch(
                    f"joints of {motion.path}", f"{one.positions.shape[2]}D as before", f"{other.positions.shape[2]}D"
                )
    if not any(np.isfinite(one.positions).all(axis=-1).any() for one in leading):
        raise mismatch("values to draw", "at least one observed joint", "only NaN")
    flat = leading[0].positions.shape[2] == 2
    turn, scale = _turn(first, leading), _scale(leading, flat)
    start, length = _timeline([one for cast in tracks for one in cast])
    casts = tuple(
        tuple(_actor(name, one, turn, scale, start, length) for name, one in zip(chosen, cast, strict=True))
        for cast in tracks
    )
    everybody = [actor for cast in casts for actor in cast]
    return Stage(
        casts=casts,
        names=tuple(m.path.name if m.path is not None else m.format for m in motions),
        fps=_rate(motions),
        first=start,
        turn=turn,
        scale=scale,
        flat=flat,
        # That of the last motion, which is calmer than the first, less half the thickness of a foot.
        floor=None if flat else floor_below([actor.points for actor in casts[-1]]) - 0.02,
        facing=np.array([0.0, 0.0, 1.0]) if flat else _facing(everybody),
    )


def floor_below(points: Sequence[Array]) -> float:
    """Return the height that people's lowest points (T, P, 3) seldom come below."""
    lows = [np.nanmin(rows[..., 1], axis=1) for p in points if len(rows := p[np.isfinite(p[..., 1]).any(axis=1)])]
    return float(np.quantile(np.concatenate(lows), _BELOW_FLOOR))


def joint_index(stage: Stage, name: str) -> int:
    """Return the index of a joint by its name, or by one that means the same.

    Raises:
        ValueError: nobody has it.
    """
    joints = stage.casts[0][0].joints
    for names, wanted in ((list(joints), name), (normal_names(joints), normal_name(name))):
        if wanted in names:
            return names.index(wanted)
    return list(joints).index(one_of("joint", name, joints))


def _with_ends(motion: Motion) -> Motion:
    """Return the motion with a joint where its skeleton says that a bone without children ends, such as a hand."""
    frame = motion.skeleton
    if frame is None or frame.ends is None:
        return motion
    leaves = np.flatnonzero(np.isfinite(frame.ends).all(axis=1) & ~np.isin(np.arange(len(frame.joints)), frame.parents))
    longer = dataclasses.replace(
        frame,
        joints=(*frame.joints, *(f"{frame.joints[j]}_end" for j in leaves)),
        parents=np.concatenate([frame.parents, leaves]),
        offsets=np.concatenate([frame.offsets, frame.ends[leaves]]),
        ends=None,
    )
    return dataclasses.replace(motion, skeleton=longer)


def _rate(motions: Sequence[Motion]) -> float:
    rates = [motion.fps for motion in motions if motion.fps is not None]
    for motion, rate in zip(motions, (motion.fps for motion in motions), strict=True):
        if rate is not None and abs(rate / rates[0] - 1) > 0.02:
            raise mismatch(f"frame rate of {motion.path}", f"{rates[0]:g} as before", f"{rate:g}")
    return rates[0] if rates else ASSUMED_FPS


def _timeline(tracks: Sequence[Poses]) -> tuple[int, int]:
    frames = np.unique(np.concatenate([one.frames for one in tracks]))
    return int(frames[0]), time_span(frames, "a picture")


def _actor(name: str, track: Poses, turn: Array, scale: float, start: int, length: int) -> Actor:
    figure = figure_of(track, scale)
    flat = np.zeros((*track.positions.shape[:2], 3))
    flat[..., : track.positions.shape[2]] = track.positions
    seen = np.full(length, -1)
    seen[track.frames - start] = np.arange(len(track.frames))
    joints = np.full((length, *flat.shape[1:]), np.nan)
    joints[track.frames - start] = scale * flat @ turn.T
    return Actor(name, track.joints, figure.points(joints), figure, seen)


def _turn(motion: Motion, tracks: Sequence[Poses]) -> Array:
    flat = tracks[0].positions.shape[2] == 2
    stated = stated_ups(motion)
    if len(stated) == 1 and not flat:
        return up_rotation(next(iter(stated)), "y")
    _, up, sign = upward(tracks[0], slice(None))
    cosine = math.copysign(1.0, sign)
    if up == 1:
        return np.diag([1.0, cosine, cosine])
    if up == 2:
        return np.array([[1.0, 0, 0], [0, 0, cosine], [0, -cosine, 0]])
    return np.array([[0, -cosine, 0], [cosine, 0, 0], [0, 0, 1.0]])


def _scale(tracks: Sequence[Poses], flat: bool) -> float:
    if tracks[0].metres is not None and not flat:
        return tracks[0].metres
    unit, size = unit_by_size(tracks)
    if unit is not None and not flat:
        return UNITS[unit]
    return _TALL / size if size > 0 else 1.0


def _facing(cast: Sequence[Actor]) -> Array:
    total = np.zeros(3)
    for actor in cast:
        names = normal_names(actor.joints)
        for pair in (("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")):
            if set(pair) <= set(names):
                left, right = (actor.points[:, names.index(name)] for name in pair)
                ahead = np.cross(left - right, [0.0, 1.0, 0.0])
                total += np.nansum(ahead / np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9), axis=0)
                break
    length = float(np.linalg.norm(total))
    # Who turns around and around looks nowhere in particular.
    return total / length if length > 1e-6 else np.array([0.0, 0.0, 1.0])
