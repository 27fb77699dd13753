"""Which joints of a skeleton are its legs and feet, by the names that programs and data sets give them.

A name is taken apart into words (``mixamorig:LeftToeBase``, ``toe.L``, ``lFoot``, ``Bip01 L Toe0``); one word says the
side, and what the others end with says the joint. ``foot`` is the ankle, save where a joint of that side is called
ankle: there, as in SMPL, it is the ball of the foot.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from smoothnet_core._checks import mismatch

_SIDES = {"left": "left", "l": "left", "right": "right", "r": "right"}
# By role, what the words of a name end with once side and numbers are taken out; the longest that fits decides.
_ENDINGS: dict[str, tuple[str, ...]] = {
    "thigh": ("thigh", "thighbend", "upleg", "upperleg", "legupper", "femur", "thighstretch"),
    "hip": ("hip",),
    "knee": (
        "knee",
        "kne",
        "shin",
        "calf",
        "crus",
        "shank",
        "tibia",
        "lowleg",
        "lowerleg",
        "leglower",
        "legstretch",
        "leg",
    ),
    "ankle": ("ankle", "ank", "talus"),
    "foot": ("foot",),
    "heel": ("heel", "hee", "calcn", "calcaneus"),
    "toe": ("toe", "toes", "toebase", "ball", "bigtoe", "football", "mtp"),
    "toe_end": ("toeend", "toesend", "toebaseend", "toetip", "toenub", "footindex", "hallux"),
    "other": ("smalltoe", "littletoe", "pinkytoe"),
    # Named so that a shorter ending does not take them.
    "": ("foreleg", "eyeball"),
}
_BY_LENGTH = sorted(((end, role) for role, ends in _ENDINGS.items() for end in ends), key=lambda e: -len(e[0]))
# Bones that help a rig and carry no joint of the person.
_HELPERS = {"ik", "fk", "pole", "target", "ctrl", "control", "twist", "roll", "rot", "helper", "corrective", "mch"}


@dataclass(frozen=True)
class Leg:
    """The joints of one leg as indices into a list of names; None where there is no such joint.

    Attributes:
        side: ``left`` or ``right``.
        hip: where the thigh begins.
        knee: where the shin begins.
        ankle: where the foot begins.
        heel: the heel.
        toe: the ball of the foot.
        toe_end: the tip of the toes.
        other: a further toe.
    """

    side: str
    hip: int | None = None
    knee: int | None = None
    ankle: int | None = None
    heel: int | None = None
    toe: int | None = None
    toe_end: int | None = None
    other: int | None = None

    @property
    def rear(self) -> int | None:
        """The joint that tells whether the rear of the foot stands: the heel, or the ankle above it."""
        return self.ankle if self.heel is None else self.heel

    @property
    def front(self) -> int | None:
        """The joint that tells whether the front of the foot stands: its ball, or the tip of the toes."""
        return self.toe_end if self.toe is None else self.toe

    @property
    def points(self) -> tuple[int, ...]:
        """Rear and front, as far as they are there."""
        return tuple(j for j in (self.rear, self.front) if j is not None)


@dataclass(frozen=True)
class WholeLeg(Leg):
    """A leg that can be bent: hip, knee and ankle are there."""

    hip: int = -1
    knee: int = -1
    ankle: int = -1


def find_legs(joints: Sequence[str]) -> tuple[Leg, ...]:
    """Return the legs that have a foot, the left one first.

    Args:
        joints: J names, of SMPL, motion capture and rigs (BVH, Mixamo, Rokoko, Xsens, HIK, 3ds Max, Unreal, Blender,
            Daz, VRM) or pose estimators (MediaPipe, OpenPose, COCO, Human3.6M).

    Raises:
        ValueError: no name is that of a foot; the message lists the names.
    """
    found: dict[tuple[str, str], int] = {}
    for numbered in (False, True):  # thigh.L before thigh.L.001
        for index, name in enumerate(joints):
            side, role, number = _read(name)
            if side and role and number == numbered:
                found.setdefault((side, role), index)
    legs = []
    for side in ("left", "right"):
        at = {role: index for (s, role), index in found.items() if s == side}
        foot, ankle, toe = at.get("foot"), at.get("ankle"), at.get("toe")
        if ankle is None:
            ankle = foot
        elif toe is None:
            toe = foot
        hip = at.get("thigh", at.get("hip"))
        leg = Leg(side, hip, at.get("knee"), ankle, at.get("heel"), toe, at.get("toe_end"), at.get("other"))
        if leg.points:
            legs.append(leg)
    if not legs:
        listed = ", ".join(map(str, joints)) or "none"
        raise mismatch("joints of the feet", "names such as left_ankle, LeftFoot, foot.L or foot_l", listed)
    return tuple(legs)


@lru_cache(maxsize=1 << 14)
def _read(name: str) -> tuple[str | None, str | None, bool]:
    """Return side, role and whether a number stands in a joint's name; None for what it does not say."""
    bare = re.split(r"[:|]", name)[-1]
    # LThigh and lThigh, but not Left and left.
    apart = re.sub(r"(?<![A-Za-z])([LR])(?=[A-Z])", r"\1 ", bare)
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", apart)]
    sides = [word for word in words if word in _SIDES]
    if not sides:
        # lfemur, rfoot: nothing but the letter tells the side apart.
        whole = "".join(words)
        if whole[:1] in ("l", "r") and whole[1:] in dict(_BY_LENGTH):
            sides, words = [whole[0]], [whole[1:]]
    if not sides or _HELPERS & set(words):
        return None, None, False
    rest = "".join(word for word in words if word not in _SIDES)
    role = next((role for end, role in _BY_LENGTH if rest.endswith(end)), None)
    # The number of a copy (thigh.L.001), not that of a toe (Toe0, toes_01) or a figure (Bip01 L Foot).
    copy = bool(re.search(r"\d+$", bare)) and role not in ("toe", "toe_end")
    return _SIDES[sides[0]], role, copy


def whole_legs(joints: Sequence[str]) -> tuple[WholeLeg, ...]:
    """Return the legs that have hip, knee and ankle, the left one first.

    Raises:
        ValueError: there is none; the message lists the names.
    """
    whole = []
    for leg in find_legs(joints):
        if leg.hip is not None and leg.knee is not None and leg.ankle is not None:
            whole.append(WholeLeg(**vars(leg)))
    if not whole:
        raise mismatch("joints of the legs", "hip, knee and ankle of a leg", ", ".join(map(str, joints)))
    return tuple(whole)


def foot_points(legs: Sequence[Leg]) -> tuple[list[int], list[int]]:
    """Return the joints of all feet that tell whether they stand, leg by leg, rear first, and of which kind each is.

    Ankles, heels, balls and tips are kinds of their own, since they stand at different heights.
    """
    joints = [joint for leg in legs for joint in leg.points]
    roles = ("ankle", "heel", "toe", "toe_end")
    kinds = [
        next(k for k, role in enumerate(roles) if getattr(leg, role) == joint) for leg in legs for joint in leg.points
    ]
    return joints, kinds
