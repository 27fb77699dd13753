"""Where bones end and how they are turned about themselves, from the places of joints alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smpl_tools.joint_names import normal_names

Array = NDArray[np.float64]

# No bone is shorter than this share of the skeleton's size; Blender takes bones without length away.
_SHORTEST = 0.004
# Bones with nothing beyond them are this share of the one before.
_BEYOND = 0.5
# What joins joints that come without a hierarchy, by their usual names: to the first that is there.
_SIDED: dict[str, tuple[str, ...]] = {
    "knee": ("hip",),
    "ankle": ("knee",),
    "foot": ("ankle",),
    "foot_index": ("ankle",),
    "big_toe": ("ankle",),
    "small_toe": ("ankle",),
    "heel": ("ankle",),
    "elbow": ("shoulder",),
    "wrist": ("elbow",),
    "hand": ("wrist",),
    "index": ("wrist",),
    "pinky": ("wrist",),
    "thumb": ("wrist",),
    "ear": ("eye",),
}
_MIDDLE: dict[str, tuple[str, ...]] = {
    "left_hip": ("pelvis",),
    "right_hip": ("pelvis",),
    "left_collar": ("spine_3", "thorax", "neck"),
    "right_collar": ("spine_3", "thorax", "neck"),
    "left_shoulder": ("left_collar", "thorax", "neck"),
    "right_shoulder": ("right_collar", "thorax", "neck"),
    "left_eye": ("nose", "head"),
    "right_eye": ("nose", "head"),
    "spine": ("pelvis",),
    "spine_1": ("pelvis",),
    "spine_2": ("spine_1",),
    "spine_3": ("spine_2",),
    "thorax": ("spine",),
    "neck": ("spine_3", "thorax", "spine", "pelvis"),
    "nose": ("neck", "thorax"),
    "head": ("neck", "nose", "thorax"),
    "head_top": ("head", "neck", "nose"),
}
_BEFORE = _MIDDLE | {
    f"{side}_{joint}": tuple(f"{side}_{name}" for name in before)
    for side in ("left", "right")
    for joint, before in _SIDED.items()
}
# Joints whose sets have no pelvis or neck are joined across.
_ACROSS = (
    ("left_hip", "right_hip", "pelvis"),
    ("left_shoulder", "right_shoulder", "neck"),
    ("left_shoulder", "left_hip", "pelvis"),
    ("right_shoulder", "right_hip", "pelvis"),
)


def tails(places: Array, parents: NDArray[np.int64], ends: Array | None = None) -> Array:
    """Return where the bones of joints end, (J, 3).

    A bone goes to the child that lies straightest on, from a root to the child with most joints below it; without
    children to where the file says that it ends, else half as far as the bone before it, in its direction.

    Args:
        places: (J, 3) at rest.
        parents: (J,) index of the parent, -1 for a root; a parent stands before its children.
        ends: (J, 3) of joints without children, NaN where not known.
    """
    count = len(parents)
    smallest = _SHORTEST * (float(np.linalg.norm(np.ptp(places, axis=0))) or 1.0)
    below = np.ones(count, np.int64)
    for j in range(count - 1, 0, -1):
        if parents[j] >= 0:
            below[parents[j]] += below[j]
    directions = np.zeros((count, 3))
    lengths = np.zeros(count)
    for j, parent in enumerate(parents):
        children = [c for c in np.flatnonzero(parents == j) if np.linalg.norm(places[c] - places[j]) > smallest]
        before = directions[parent] if parent >= 0 else np.zeros(3)
        if not children and any(parents == j):
            # Its children are where it is itself: it goes where they go.
            children = [c for k in np.flatnonzero(parents == j) for c in np.flatnonzero(parents == k)]
            children = [c for c in children if np.linalg.norm(places[c] - places[j]) > smallest]
        if children:
            ways = places[children] - places[j]
            far = np.linalg.norm(ways, axis=1)
            if np.any(before):
                best = int(np.argmax((ways * before).sum(axis=1) / far))
            else:
                best = int(np.argmax(below[children]))
            directions[j], lengths[j] = ways[best] / far[best], far[best]
            continue
        way = np.full(3, np.nan) if ends is None else ends[j] - places[j]
        if np.isfinite(way).all() and np.linalg.norm(way) > smallest:
            directions[j], lengths[j] = way / np.linalg.norm(way), np.linalg.norm(way)
        elif parent >= 0:
            directions[j], lengths[j] = before, _BEYOND * lengths[parent]
        if not np.any(directions[j]):
            directions[j], lengths[j] = (0.0, 0.0, 1.0), 10 * smallest
    return np.asarray(places + directions * np.maximum(lengths, smallest)[:, None])


def forward(direction: Array) -> tuple[float, float, float]:
    """Return what a bone's Z axis is turned to: the figure's front, -Y, or up for a bone that points there itself.

    Knees and elbows then bend about the bone's X axis.
    """
    along = direction / np.linalg.norm(direction)
    return (0.0, -1.0, 0.0) if abs(along[1]) < 0.9 else (0.0, 0.0, 1.0)


def limbs(joints: tuple[str, ...]) -> list[tuple[int, int]]:
    """Return pairs of joints that belong together, by the usual names of joints of people."""
    at: dict[str, int] = {}
    for j, name in enumerate(normal_names(joints)):
        at.setdefault(name, j)
    pairs = []
    for name, before in _BEFORE.items():
        if name in at:
            start = next((at[b] for b in before if b in at), None)
            if start is not None and start != at[name]:
                pairs.append((start, at[name]))
    pairs += [(at[a], at[b]) for a, b, middle in _ACROSS if a in at and b in at and middle not in at]
    return list(dict.fromkeys(pairs))
