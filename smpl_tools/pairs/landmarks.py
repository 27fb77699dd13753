"""Where a motion's limbs are, whatever its joints are called: the points that the rendered body is posed by.

Joints are known by the usual names of BVH rigs (CMU, Mixamo, Unreal, Blender), of SMPL and of pose estimators. What
ends a limb and has no joint of its own, such as a wrist that is a BVH's End Site, follows the turning of the joint
before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.signal import butter, sosfiltfilt

from smoothnet_core._checks import mismatch
from smpl_tools.motion import Motion, Person
from smpl_tools.poses import Poses, poses, upward

Array = NDArray[np.float64]

SIDES = ("left", "right")
# Of both sides; the first name that a file has counts. Words are joined and lower case, the side is taken off.
_SIDED = {
    "hip": ("upleg", "thigh", "upperleg", "femur", "hip"),
    "knee": ("knee", "leg", "shin", "calf", "lowerleg", "tibia"),
    "ankle": ("ankle", "foot"),
    "toe": ("toebase", "toe", "toes", "ball", "footindex", "bigtoe", "foot"),
    "shoulder": ("arm", "upperarm", "shldr", "humerus", "shoulder"),
    "elbow": ("elbow", "forearm", "lowerarm", "radius"),
    "wrist": ("wrist", "hand"),
    "hand": ("handmiddle1", "middle1", "mid1", "handindex1", "index1", "fingerbase", "fingers", "index", "hand"),
    "ear": ("ear",),
}
_MIDDLE = {
    "neck": ("neck", "neck01", "lowerneck"),
    "head": ("head", "face"),
    "nose": ("nose",),
}
_BACK = re.compile(r"(spine|lowerback|upperback|abdomen|chest|upperchest|thorax|torso)\d*")
_REQUIRED = ("hip", "knee", "shoulder", "elbow")
# Human movement lies below; what a capture has above it is its own noise, and would be truth here.
LOWPASS_HZ = 8.0


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Points of a person over time, in the unit of the file, Y up.

    Attributes:
        points: (T, 3) by name: ``left_hip``, ``left_knee``, ``left_ankle``, ``left_toe``, ``left_shoulder``,
            ``left_elbow``, ``left_wrist``, ``left_hand``, the same of the right, ``neck`` and ``spine`` (the
            middle of the back).
        head: (T, 3, 3) the directions, as columns, to the head's left, up and forwards.
    """

    points: dict[str, Array]
    head: Array

    def at(self, frames: Array) -> Landmarks:
        """Return them at times (T',) in frames from the first, by cubic splines."""
        clock = np.arange(len(self.head))
        points = {name: CubicSpline(clock, track, axis=0)(frames) for name, track in self.points.items()}
        return Landmarks(points, CubicSpline(clock, self.head, axis=0)(frames))


def landmarks(motion: Motion, person: Person, fps: float) -> Landmarks:
    """Return a person's landmarks at another frame rate, low-passed at ``LOWPASS_HZ``, gaps interpolated.

    Raises:
        ValueError: the file states no frame rate, is too short, or lacks a joint that is needed.
    """
    if motion.fps is None:
        raise mismatch(f"{motion.path}: frame rate", "a statement in the file, or --motion-fps", "none")
    track = poses(motion, person, hands=True)
    if track.positions.shape[-1] != 3:
        raise mismatch(f"{motion.path}: positions of joints", "3 coordinates", track.positions.shape[-1])
    found = _Finder(track, str(motion.path))
    points = {name: found.end(name) for name in found.names()}
    head = found.head(points)
    values = np.stack([*points.values(), *np.moveaxis(head, 2, 0)], axis=1)
    across, up, sign = upward(track, slice(None))
    axes = np.zeros((3, 3))
    axes[0, across], axes[1, up] = 1.0, sign
    axes[2] = np.cross(axes[0], axes[1])
    even = _evenly(str(motion.path), values @ axes.T, person.frames, motion.fps, fps)
    return Landmarks(dict(zip(points, np.moveaxis(even[:, :-3], 1, 0), strict=True)), np.swapaxes(even[:, -3:], 1, 2))


def _evenly(path: str, values: Array, frames: NDArray[np.int64], rate: float, fps: float) -> Array:
    """Return (T', P, 3) at ``fps`` of (T, P, 3) at the rows' frame numbers."""
    flat = values.reshape(len(values), -1)
    seen = np.isfinite(flat).all(axis=1)
    if seen.sum() < 2 or (np.ptp(frames[seen]) / rate) * fps < 8:
        raise mismatch(
            f"{path}: length of the motion", f"at least 8 frames at {fps:g} frames a second", f"{seen.sum()}"
        )
    numbers = frames[seen]
    timeline = np.arange(numbers[0], numbers[-1] + 1)
    even = np.stack([np.interp(timeline, numbers, column) for column in flat[seen].T], axis=1)
    cutoff = min(LOWPASS_HZ, 0.45 * fps)
    if cutoff < 0.45 * rate:
        pad = min(len(even) - 1, round(rate))
        even = sosfiltfilt(butter(2, cutoff, fs=rate, output="sos"), even, axis=0, padlen=pad)
    at = np.arange(int((len(even) - 1) * fps / rate + 1e-9) + 1) * rate / fps
    spline = CubicSpline(np.arange(len(even)), even, axis=0)
    return spline(at).reshape(len(at), *values.shape[1:])


class _Finder:
    """The joints of one person by our names, and where what has no joint must be."""

    def __init__(self, track: Poses, path: str) -> None:
        self._positions = track.positions
        keys = [_key(name) for name in track.joints]
        self._back = [j for j, (side, base) in enumerate(keys) if not side and _BACK.fullmatch(base)]
        self._at: dict[str, int] = {}
        for name, known in _MIDDLE.items():
            self._assign(name, [("", base) for base in known], keys)
        for side in SIDES:
            for name, known in _SIDED.items():
                self._assign(f"{side}_{name}", [(side, base) for base in known], keys)
        missing = [f"{side}_{name}" for side in SIDES for name in _REQUIRED if f"{side}_{name}" not in self._at]
        self._turns, self._rest = _turns_and_rest(track)
        if self._turns is not None and not missing and not self._rests_upright():
            self._turns = None
        if self._turns is None:
            missing += [f"{s}_{n}" for s in SIDES for n in ("ankle", "wrist") if f"{s}_{n}" not in self._at]
        if missing:
            raise mismatch(
                f"{path}: joints", ", ".join(missing) + " by one of their usual names", ", ".join(track.joints)
            )

    def _assign(self, name: str, wanted: list[tuple[str, str]], keys: list[tuple[str, str]]) -> None:
        # A joint is one thing only: SMPL's foot is its toe, since its ankle is the ankle.
        for key in wanted:
            if key in keys and keys.index(key) not in self._at.values():
                self._at[name] = keys.index(key)
                return

    @staticmethod
    def names() -> list[str]:
        """Return the landmarks, each after those it may be made from."""
        limbs = ("hip", "knee", "ankle", "toe", "shoulder", "elbow", "wrist", "hand")
        return [f"{side}_{limb}" for limb in limbs for side in SIDES] + ["neck", "spine"]

    def end(self, name: str) -> Array:
        """Return where a landmark is, (T, 3)."""
        if name in self._at:
            return self._positions[:, self._at[name]]
        if name == "neck":
            return (self.end("left_shoulder") + self.end("right_shoulder")) / 2
        if name == "spine":
            return self._middle_of_the_back()
        side, limb = name.split("_")
        before, first = {"ankle": ("knee", "hip"), "toe": ("ankle", "knee"), "wrist": ("elbow", "shoulder")}.get(
            limb, ("wrist", "elbow")
        )
        start, along = self.end(f"{side}_{before}"), self.end(f"{side}_{before}") - self.end(f"{side}_{first}")
        turn = self._turn(f"{side}_{before}")
        if turn is None:
            # Straight on; a foot forwards, across the shank and the line of the hips.
            lateral = self.end("left_hip") - self.end("right_hip")
            return start + 0.5 * (np.cross(along, lateral) / _norm(lateral) if limb == "toe" else along)
        if limb == "toe":
            return start + _norm(along) * (turn @ (self._axes @ [0.0, -0.12, 0.3]))
        return start + 0.8 * turn @ self._straight(f"{side}_{before}", f"{side}_{first}")

    def _middle_of_the_back(self) -> Array:
        """Return the joint of the spine nearest to the middle between hips and neck, or without one that middle."""
        hips, neck = (self.end("left_hip") + self.end("right_hip")) / 2, self.end("neck")
        middle, height = (hips + neck) / 2, np.nanmean(_norm(neck - hips))
        away = {j: np.nanmean(_norm(self._positions[:, j] - middle)) / height for j in self._back}
        # Some rigs have joints of the spine in the neck or in the hips themselves.
        near = [j for j, distance in away.items() if distance < 0.35]
        return self._positions[:, min(near, key=lambda j: away[j])] if near else middle

    def _straight(self, joint: str, before: str) -> Array:
        """Return the rest position of a joint relative to the one before, along which the next limb rests."""
        if joint in self._at and before in self._at:
            return self._rest[self._at[joint]] - self._rest[self._at[before]]
        side = joint.split("_")[0]
        return self._straight(f"{side}_elbow", f"{side}_shoulder")

    def _turn(self, name: str) -> Array | None:
        """Return the world rotation (T, 3, 3) since rest of a joint, or of the one before it that has a rotation."""
        if self._turns is None:
            return None
        if name in self._at:
            return self._turns[:, self._at[name]]
        return self._turn(name.replace("wrist", "elbow").replace("ankle", "knee"))

    def _rests_upright(self) -> bool:
        """Find left, up and front at rest, ``_axes``, and say whether they are those of somebody who stands."""
        rest = {name: self._rest[j] for name, j in self._at.items()}
        hips = (rest["left_hip"] + rest["right_hip"]) / 2
        up = (rest["left_shoulder"] + rest["right_shoulder"]) / 2 - hips
        self._axes = frames(rest["left_hip"] - rest["right_hip"], up)
        thigh = rest["left_knee"] - rest["left_hip"]
        return bool(thigh @ self._axes[:, 1] < -0.5 * np.linalg.norm(thigh))

    def head(self, points: dict[str, Array]) -> Array:
        """Return where the head's left, up and front are, (T, 3, 3) with the directions as columns."""
        if self._turns is not None and "head" in self._at:
            return self._turns[:, self._at["head"]] @ self._axes
        if {"nose", "left_ear", "right_ear"} <= set(self._at):
            left = self.end("left_ear") - self.end("right_ear")
            front = self.end("nose") - (self.end("left_ear") + self.end("right_ear")) / 2
            return frames(left, np.cross(front, left))
        return frames(points["left_shoulder"] - points["right_shoulder"], points["neck"] - points["spine"])


def frames(left: Array, up: Array) -> Array:
    """Return rotations (..., 3, 3) whose columns are left, up and forwards.

    Args:
        left: (..., 3) kept in direction.
        up: (..., 3) made perpendicular to it.
    """
    x = left / _norm(left)
    y = up - (up * x).sum(axis=-1, keepdims=True) * x
    y = y / _norm(y)
    return np.stack([x, y, np.asarray(np.cross(x, y), np.float64)], axis=-1)


def _norm(vectors: Array) -> Array:
    return np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True))


def _key(name: str) -> tuple[str, str]:
    """Return side and joined words of a joint's name: ``("left", "upleg")`` for ``mixamorig:LeftUpLeg``."""
    own = re.sub(r"^Bip\d+", "", name.split(":")[-1])
    own = re.sub(r"^([lLrR])(?=[A-Z])", r"\1_", own)
    words = [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", own)]
    side = ""
    for word, meant in (("left", "left"), ("right", "right"), ("l", "left"), ("r", "right")):
        if not side and word in words:
            words.remove(word)
            side = meant
    base = "".join(words)
    # Acclaim's names have no space: lfemur, rtibia.
    if not side and base[1:] in {known for names in _SIDED.values() for known in names} and base[0] in "lr":
        side, base = ("left" if base[0] == "l" else "right"), base[1:]
    return side, base


def _turns_and_rest(track: Poses) -> tuple[Array | None, Array]:
    """Return world rotations (T, J, 3, 3) since rest and rest positions (J, 3); None for a file without rotations.

    The rest positions follow from the positions and the rotations, so that any skeleton will do.
    """
    if track.rotations is None or track.parents is None:
        return None, np.zeros((len(track.joints), 3))
    turns = np.broadcast_to(np.eye(3), (*track.positions.shape, 3)).copy()
    rest = np.zeros((len(track.joints), 3))
    turning = {name: k for k, name in enumerate(track.turning)}
    seen = np.isfinite(track.rotations).all(axis=(1, 2, 3)) & np.isfinite(track.positions).all(axis=(1, 2))
    for j, (name, parent) in enumerate(zip(track.joints, track.parents, strict=True)):
        own = track.rotations[:, turning[name]] if name in turning else turns[:, j]
        turns[:, j] = own if parent < 0 else turns[:, parent] @ own
        if parent >= 0 and seen.any():
            step = track.positions[seen, j] - track.positions[seen, parent]
            rest[j] = rest[parent] + np.einsum("tji,tj->ti", turns[seen, parent], step).mean(axis=0)
    return turns, rest
