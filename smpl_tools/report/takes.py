"""The motions of a report on one timeline: one person's joints before, after and in truth, in one unit."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch, one_of
from smoothnet_core.rates import same_rate
from smpl_tools.convert import only
from smpl_tools.coordinates import UNITS, stated_ups
from smpl_tools.measures import ASSUMED_FPS
from smpl_tools.motion import Motion, Person, time_span
from smpl_tools.poses import Poses, bones, paired_people, poses, unit_by_size, upward

Array = NDArray[np.float64]

KEYS = ("before", "after", "truth")
_AXES = {"y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0), "-y": (0.0, -1.0, 0.0)}


@dataclass(frozen=True, eq=False)
class Take:
    """One motion of a report.

    Attributes:
        key: ``before``, ``after`` or ``truth``; ``take`` where it is the only one.
        name: of the file, for people.
        motion: with the one person only.
        poses: the person's joints as the file has them, in the order of the report.
        positions: (T, J, D) in the report's unit on its timeline; NaN where not observed.
    """

    key: str
    name: str
    motion: Motion
    poses: Poses
    positions: Array


@dataclass(frozen=True, eq=False)
class Takes:
    """What a report shows.

    Attributes:
        person: the person's id.
        people: how many the file has.
        joints: J names.
        bones: pairs of joints to draw a line between.
        fps: frames a second.
        fps_assumed: no file says the rate.
        first: the frame number in the file of the timeline's first frame.
        unit: ``m``, ``px``, or ``file units``.
        unit_assumed: the files do not say the unit; it was told by the size of a person.
        metres: one unit of the files in metres; None where it is not known, and in pixels.
        up: (3,) the axis of the files that points up; None in 2D and of plain channels.
        takes: one to three motions.
    """

    person: str
    people: int
    joints: tuple[str, ...]
    bones: list[tuple[int, int]]
    fps: float
    fps_assumed: bool
    first: int
    unit: str
    unit_assumed: bool
    metres: float | None
    up: Array | None
    takes: tuple[Take, ...]

    def of(self, key: str) -> Take | None:
        """Return the take of that key, None where there is none."""
        return next((take for take in self.takes if take.key == key), None)

    @property
    def frames(self) -> int:
        """T, the length of the timeline."""
        return len(self.takes[0].positions)

    @property
    def size(self) -> int:
        """D: 3 in space, 2 in an image, 1 of plain channels."""
        return self.takes[0].positions.shape[2]


def gather(
    before: Motion,
    after: Motion | None = None,
    truth: Motion | None = None,
    *,
    person: str | None = None,
    unit: str | None = None,
) -> Takes:
    """Put one person of one to three motions on a common timeline.

    Rotations are turned into joint positions first (forward kinematics). A person of whom there are no joints but plain
    channels is shown by these, one joint and one number each.

    Args:
        before: the motion as captured, or the only one.
        after: the same motion refined: the same people, frames and joints.
        truth: the true motion: the same joints in any order, and at least the same frames.
        person: id of the person; None takes the first.
        unit: key of ``UNITS``: the unit of 3D positions in the files. None takes what they say, or else the one in
            which a person has a person's size.

    Raises:
        ValueError: the motions do not belong together, an unknown name, or nothing that can be shown.
    """
    known = [p.id for p in before.people]
    if not known:
        raise mismatch(f"people of {before.path}", "at least one", "nobody")
    chosen = known[0] if person is None else one_of("person", person, known)
    given = [before] + [motion for motion in (after, truth) if motion is not None]
    keys = [key for key, one in zip(KEYS, (before, after, truth), strict=True) if one is not None]
    keys = ["take"] if len(given) == 1 else keys
    people = [before.people[known.index(chosen)]] + [
        {a.id: b for a, b in paired_people(before, motion)}[chosen] for motion in given[1:]
    ]
    shown = [_shown(motion, one) for motion, one in zip(given, people, strict=True)]
    old = shown[0]
    if len(old.frames) < 3:
        raise mismatch("frames to show", "at least 3", len(old.frames))
    if not np.isfinite(old.positions).all(axis=-1).any():
        raise mismatch("values to show", "at least one observed joint", "only NaN")
    for index, key in enumerate(keys[1:], 1):
        shown[index] = _matched(key, old, shown[index])
    fps, assumed = _rate(given, keys)
    scale, name, guessed = _scale(shown, unit)
    span = np.concatenate([one.frames for one in shown])
    first = int(span.min())
    length = time_span(np.array([first, int(span.max())]), "a report")
    takes = tuple(
        Take(
            key,
            motion.path.name if motion.path is not None else motion.format,
            only(motion, [one.id]),
            joints,
            _on_timeline(joints, scale or 1.0, first, length),
        )
        for key, motion, one, joints in zip(keys, given, people, shown, strict=True)
    )
    return Takes(
        person=chosen,
        people=len(known),
        joints=old.joints,
        bones=bones(old),
        fps=fps,
        fps_assumed=assumed,
        first=first,
        unit=name,
        unit_assumed=guessed,
        metres=scale,
        up=_up(before, takes[0].poses),
        takes=takes,
    )


def _shown(motion: Motion, person: Person) -> Poses:
    plain = {name: track for name, track in person.tracks.items() if track.kind == "channels"}
    if plain and len(plain) == len(person.tracks):
        several = len(plain) > 1
        return Poses(
            tuple(f"{name}.{joint}" if several else joint for name, track in plain.items() for joint in track.joints),
            np.concatenate([track.values for track in plain.values()], axis=1).astype(np.float64)[..., None],
            person.frames,
            "file units",
            None,
        )
    return poses(motion, person)


def _matched(key: str, old: Poses, other: Poses) -> Poses:
    """Return the joints of another take in the order of the first.

    Raises:
        ValueError: other frames or joints.
    """
    if key == "truth" and sorted(other.joints) == sorted(old.joints) and len(set(old.joints)) == len(old.joints):
        order = [other.joints.index(name) for name in old.joints]
        other = dataclasses.replace(other, joints=old.joints, positions=other.positions[:, order], parents=None)
    same = other.positions.shape[1:] == old.positions.shape[1:]
    # Data sets name joints in their own ways; as many in the same order are taken for the same.
    if not same or (key == "after" and other.joints != old.joints):
        raise mismatch(
            _in(key, "joints"), f"the {len(old.joints)} joints before, in {old.positions.shape[2]}D", _counted(other)
        )
    if key == "after" and not np.array_equal(other.frames, old.frames):
        raise mismatch("frames after", f"the {len(old.frames)} frames before", f"{len(other.frames)} frames")
    numbered = any(len(p.frames) and int(p.frames[-1]) != len(p.frames) - 1 for p in (old, other))
    if not numbered and len(old.frames) != len(other.frames):
        raise mismatch(_in(key, "frames"), f"the {len(old.frames)} frames before", f"{len(other.frames)} frames")
    strange = np.setdiff1d(old.frames, other.frames)
    if strange.size:
        raise mismatch(_in(key, "frames"), "all those before", f"none with number {strange[0]}")
    return other


def _in(key: str, what: str) -> str:
    return f"{what} of the ground truth" if key == "truth" else f"{what} {key}"


def _counted(joints: Poses) -> str:
    return f"{joints.positions.shape[1]} joints in {joints.positions.shape[2]}D"


def _rate(motions: list[Motion], keys: list[str]) -> tuple[float, bool]:
    stated = [(key, motion.fps) for key, motion in zip(keys, motions, strict=True) if motion.fps is not None]
    for key, fps in stated[1:]:
        if not same_rate(fps, stated[0][1]):
            raise mismatch(_in(key, "frame rate"), f"{stated[0][1]:g}, as {stated[0][0]}", f"{fps:g}")
    return (stated[0][1], False) if stated else (ASSUMED_FPS, True)


def _scale(shown: list[Poses], unit: str | None) -> tuple[float | None, str, bool]:
    """Return metres in a unit of the files, the unit that is shown, and whether it was told by a person's size."""
    if shown[0].positions.shape[2] != 3:
        return None, shown[0].unit, False
    if unit is not None:
        return UNITS[one_of("unit", unit, UNITS)], "m", False
    stated = [one.metres for one in shown if one.metres is not None]
    if stated:
        return stated[0], "m", False
    name, _ = unit_by_size(shown[-1:])
    return (UNITS[name], "m", True) if name is not None else (None, "file units", False)


def _on_timeline(joints: Poses, scale: float, first: int, length: int) -> Array:
    result = np.full((length, *joints.positions.shape[1:]), np.nan)
    result[joints.frames - first] = joints.positions * scale
    # A point that is known in part has no place.
    result[~np.isfinite(result).all(axis=-1)] = np.nan
    return result


def _up(motion: Motion, joints: Poses) -> Array | None:
    if joints.positions.shape[2] != 3:
        return None
    stated = stated_ups(motion)
    if len(stated) == 1:
        return np.array(_AXES[stated.pop()])
    _, up, sign = upward(joints, slice(0, len(joints.frames)))
    return sign * np.eye(3)[up]
