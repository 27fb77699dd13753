"""A skeleton as it is drawn: limbs of some thickness between its joints, a head, left and right told apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smpl_tools.joint_names import normal_names
from smpl_tools.poses import Poses, bones

Array = NDArray[np.float64]

LEFT, MIDDLE, RIGHT = 0, 1, 2
# Metres, of a grown person: the first pattern that a joint's name fits.
_RADII = (
    ("thumb|index[1-4_]|middle[1-4_]|ring[1-4_]|pinky[1-4_]|eye|mouth|ear", 0.009),
    ("hip$|pelvis", 0.046),
    ("knee", 0.038),
    ("ankle|wrist", 0.026),
    ("foot|toe|heel|hand|index|pinky", 0.02),
    ("collar", 0.03),
    ("neck|thorax", 0.034),
    ("shoulder", 0.038),
    ("elbow", 0.031),
    ("spine|chest", 0.044),
)
_OTHER = 0.022
HEAD_RADIUS = 0.1
# From the joint that turns the head to the middle of the head.
_TO_HEAD = 0.1
# What estimators' joint sets have beside the limbs that are joined anywhere: they bear SMPL's names or those below.
_FACE = "eye|mouth|ear|nose|head|neck"


@dataclass(frozen=True, eq=False)
class Figure:
    """How the P points of a skeleton are joined: its J joints, and points in between that it has not.

    Attributes:
        between: for each of the P - J further points, the weights of the joints that it is a sum of, and those of
            others for where these were not observed.
        ends: (L, 2) points at the ends of a limb; the same twice for a ball.
        radii: (L, 2) metres.
        sides: (L,) ``LEFT``, ``MIDDLE`` or ``RIGHT``.
    """

    between: tuple[tuple[dict[int, float], ...], ...]
    ends: NDArray[np.int64]
    radii: Array
    sides: NDArray[np.int64]

    def points(self, positions: Array) -> Array:
        """Return all points (T, P, 3) of joints (T, J, 3); NaN where a joint that they need was not observed."""
        added = []
        for choices in self.between:
            point = np.full((len(positions), 3), np.nan)
            for weights in choices:
                other = np.sum([weight * positions[:, j] for j, weight in weights.items()], axis=0)
                point = np.where(np.isfinite(point), point, other)
            added.append(point[:, None])
        return np.concatenate([positions, *added], axis=1)


def figure_of(track: Poses, scale: float = 1.0) -> Figure:
    """Return how a person's joints are drawn, by the skeleton and the joints' names.

    Args:
        track: whom to draw.
        scale: metres in one unit of its positions.
    """
    names = normal_names(track.joints)
    at = {name: j for j, name in reversed(list(enumerate(names)))}
    radii = [next((r for pattern, r in _RADII if re.search(pattern, name)), _OTHER) for name in names]
    between: list[tuple[dict[int, float], ...]] = []
    limbs = [(a, b, radii[a], radii[b], _side(names[b], names[a])) for a, b in bones(track)]
    joined = {j for a, b, *_ in limbs for j in (a, b)}
    head = _head(track, at, scale)
    if head:
        between.append(head)
        place = len(names) + len(between) - 1
        shoulders = [at[f"{side}_shoulder"] for side in ("left", "right") if f"{side}_shoulder" in at]
        if track.parents is None and len(shoulders) == 2:
            between.append((dict.fromkeys(shoulders, 0.5),))
            limbs.append((len(names) + len(between) - 1, place, 0.034, 0.034, MIDDLE))
        limbs.append((place, place, HEAD_RADIUS, HEAD_RADIUS, MIDDLE))
    for j, name in enumerate(names):
        # A face's points lie on the head; any other joint that nothing reaches is a ball by itself.
        if j not in joined and not (head and re.search(_FACE, name)):
            limbs.append((j, j, radii[j], radii[j], _side(name, name)))
    return Figure(
        tuple(between),
        np.array([limb[:2] for limb in limbs], np.int64).reshape(-1, 2),
        np.array([limb[2:4] for limb in limbs], np.float64).reshape(-1, 2),
        np.array([limb[4] for limb in limbs], np.int64),
    )


def _side(end: str, start: str) -> int:
    if {end[:5], start[:5]} == {"left_", "right"}:
        return MIDDLE
    for name in (end, start):
        if name.startswith("left_"):
            return LEFT
        if name.startswith("right_"):
            return RIGHT
    return MIDDLE


def _head(track: Poses, at: dict[str, int], scale: float) -> tuple[dict[int, float], ...]:
    """Return the middle of the head as sums of joints, of which the first that was observed counts; maybe none."""
    joint = next((at[name] for name in ("head", "face") if name in at), None)
    if joint is not None and track.parents is not None and track.parents[joint] >= 0:
        below = int(track.parents[joint])
        lengths = np.linalg.norm(track.positions[:, joint] - track.positions[:, below], axis=-1) * scale
        seen = lengths[np.isfinite(lengths) & (lengths > 0)]
        further = min(1.0, _TO_HEAD / float(np.median(seen))) if len(seen) else 0.0
        return ({joint: 1.0 + further, below: -further},)
    found = [{at["left_ear"]: 0.5, at["right_ear"]: 0.5}] if {"left_ear", "right_ear"} <= set(at) else []
    if "thorax" in at and "head" in at:
        # There the head is its top.
        found.append({at["thorax"]: 0.4, at["head"]: 0.6})
    names = ("nose", "left_ear", "right_ear", "head")
    return (*found, *({at[name]: 1.0} for name in names if name in at))
