"""A first guess of the pose from the points of a body, frame by frame, from the root outwards."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smpl_tools.bodies._least_squares import State
from smpl_tools.bodies._points import Structure
from smpl_tools.bodies._pose_priors import hinge_axes
from smpl_tools.bodies.point_sets import shortest_turn
from smpl_tools.rotations import project_to_so3

Array = NDArray[np.float64]

_TORSO = ("pelvis", "hip", "spine1", "spine2", "spine3", "neck", "collar", "shoulder")
# The parent's rotation against what the points say of a joint's own.
_CARRIED = 0.05
# A bent knee tells the twist of the hip, by the sine of its bend; below this it is the parent that tells it.
_BEND = 0.3
_DIRECTION = 10.0


def guess(structure: Structure, seen: Array, shape: Array) -> State:
    """Return poses that turn every bone as the points show.

    The body as a whole is turned by the rotation that best fits the trunk (W. Kabsch, Acta Crystallographica A32,
    1976), each joint by the one that best fits the nearest points that hang on it; the plane in which a knee or an
    elbow bends tells the twist of hip or shoulder.

    Args:
        structure: K points.
        seen: (T, K, 3) without gaps.
        shape: (T, S).
    """
    s = structure
    joints = len(s.joints)
    places = s.places(shape[0])
    rest = s.shares @ places
    single = s.single
    whole = _whole(s, seen, rest)
    hinges = hinge_axes(s.joints, s.parents[:joints], places)
    local = np.empty((len(seen), joints, 3, 3))
    turned = np.empty_like(local)
    placed = np.empty((len(seen), joints, 3))
    for j in range(joints):
        parent = s.parents[j]
        carried = whole if parent < 0 else turned[:, parent]
        if j in single:
            placed[:, j] = seen[:, single[j]]
        elif parent < 0:
            placed[:, j] = _root(s, seen, rest, places, whole)
        else:
            placed[:, j] = placed[:, parent] + (turned[:, parent] @ (places[j] - places[parent]))
        own = carried
        if visible := nearest_points(s, j):
            arms, bones = seen[:, visible] - placed[:, j, None], rest[visible] - places[j]
            scale = np.square(bones).sum()
            if len(visible) == 1:
                own = shortest_turn(carried @ bones[0], arms[:, 0]) @ carried
            elif scale > 0:
                outer = np.einsum("tkd,ke->tde", arms, bones) / scale
                own = project_to_so3(outer + _CARRIED * carried)
            child = _only_child(s, j)
            if child in hinges and child in single and (ends := nearest_points(s, child)):
                upper, lower = arms[:, 0], seen[:, ends].mean(axis=1) - seen[:, single[child]]
                normal = np.cross(_unit(upper), _unit(lower))
                outer = normal[..., None] * hinges[child] + _BEND * own
                outer = outer + _DIRECTION * _unit(upper)[..., None] * _unit(bones[0])
                own = project_to_so3(outer)
        turned[:, j] = own
        local[:, j] = own if parent < 0 else turned[:, parent].swapaxes(-1, -2) @ own
    return State(local, placed[:, 0] - places[0], shape)


def nearest_points(structure: Structure, joint: int) -> list[int]:
    """Return the points that hang on a joint with no joint between that is seen itself."""
    s = structure
    nodes = [np.flatnonzero(row) for row in s.shares]

    def hangs(k: int, j: int) -> bool:
        return bool(s.below[nodes[k], j].all()) and j not in nodes[k]

    hanging = [k for k in range(len(nodes)) if hangs(k, joint)]
    between = [c for c in s.single if c < len(s.joints) and c != joint and s.below[c, joint]]
    return [k for k in hanging if not any(hangs(k, c) for c in between)]


def _only_child(structure: Structure, joint: int) -> int:
    children = np.flatnonzero(structure.parents[: len(structure.joints)] == joint)
    return int(children[0]) if len(children) == 1 else -1


def _trunk(structure: Structure, rest: Array) -> list[int]:
    count = len(structure.joints)
    names = [name.removeprefix("left_").removeprefix("right_") for name in structure.joints]
    firm = [j for j in range(count) if names[j] in _TORSO or structure.parents[j] < 0]
    chosen = [k for k, row in enumerate(structure.shares) if set(np.flatnonzero(row)) <= set(firm)]
    if len(chosen) >= 3:
        spread = np.linalg.svd(rest[chosen] - rest[chosen].mean(axis=0), compute_uv=False)
        if spread[1] > 0.1 * spread[0]:
            return chosen
    return list(range(len(rest)))


def _whole(structure: Structure, seen: Array, rest: Array) -> Array:
    chosen = _trunk(structure, rest)
    middle, own = seen[:, chosen].mean(axis=1, keepdims=True), rest[chosen].mean(axis=0)
    return project_to_so3(np.einsum("tkd,ke->tde", seen[:, chosen] - middle, rest[chosen] - own))


def _root(structure: Structure, seen: Array, rest: Array, places: Array, whole: Array) -> Array:
    """Return where the root lies when the points next to it are turned as a whole."""
    near = nearest_points(structure, 0) or list(range(len(rest)))
    low = [k for k in near if any("hip" in structure.joints[n] for n in np.flatnonzero(structure.shares[k])
                                  if n < len(structure.joints))] or near  # fmt: skip
    return seen[:, low].mean(axis=1) - whole @ (rest[low].mean(axis=0) - places[0])


def _unit(vector: Array) -> Array:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-12)
