"""Which joint of a rig is which of SMPL's, by the shape of its hierarchy at rest, where names say nothing."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Reaches of two limbs of one pair differ by no more than this share of the longer one.
_PAIR = 0.2
_LEG = ("hip", "knee", "ankle", "foot")
_ARM = ("shoulder", "elbow", "wrist")


def ancestors(parents: NDArray[np.int64], joint: int) -> list[int]:
    """Return the joints from ``joint`` itself up to its root."""
    line = []
    while joint >= 0:
        line.append(joint)
        joint = int(parents[joint])
    return line


def path(parents: NDArray[np.int64], above: int, joint: int) -> list[int]:
    """Return the joints from below ``above`` down to ``joint``; empty unless ``joint`` is under ``above``."""
    line = ancestors(parents, joint)
    return line[: line.index(above)][::-1] if above in line else []


def common_ancestor(parents: NDArray[np.int64], joints: list[int]) -> int:
    """Return the lowest joint that all ``joints`` are or hang from, -1 if there is none."""
    lines = [ancestors(parents, joint) for joint in joints]
    for joint in lines[0] if lines else []:
        if all(joint in line for line in lines[1:]):
            return joint
    return -1


def by_structure(parents: NDArray[np.int64], places: Array) -> tuple[dict[str, int], str]:
    """Return SMPL's limbs, neck, head and pelvis among J joints that stand at ``places`` (J, 3), and a remark.

    The pelvis is where two limbs alike and the trunk meet, the chest where two other limbs alike branch off the
    trunk. Of a limb the two longest neighbouring bones are upper and lower. Left and right go by the feet, which
    point forwards; without feet by the axis that the pair lies along, and the remark says so. Empty where the
    hierarchy is not so.
    """
    count = len(parents)
    children: list[list[int]] = [[] for _ in range(count)]
    reach = np.zeros(count)
    for joint in range(count - 1, -1, -1):
        parent = int(parents[joint])
        if parent >= 0:
            children[parent].insert(0, joint)
            step = float(np.linalg.norm(places[joint] - places[parent]))
            reach[parent] = max(reach[parent], reach[joint] + step)

    def length(top: int) -> float:
        return float(reach[top])

    def whole(top: int) -> float:
        return float(reach[top] + np.linalg.norm(places[top] - places[parents[top]]))

    def alike(one: int, other: int) -> bool:
        return min(length(one), length(other)) >= (1 - _PAIR) * max(length(one), length(other), 1e-12)

    best: tuple[float, int, tuple[int, int], int, tuple[int, int]] | None = None
    pairs = {
        joint: [
            pair for pair in itertools.combinations([c for c in children[joint] if reach[c] > 0], 2) if alike(*pair)
        ]
        for joint in range(count)
    }
    for pelvis in range(count):
        for legs in pairs[pelvis]:
            for chest in range(pelvis + 1, count):
                trunk = path(parents, pelvis, chest)
                if not trunk or trunk[0] in legs:
                    continue
                for arms in pairs[chest]:
                    # The limbs are the longest pairs; a hand's fingers and the face make pairs too.
                    size = sum(map(length, legs)) + sum(map(length, arms))
                    if best is None or size > best[0] * (1 + 1e-9):
                        best = (size, pelvis, legs, chest, arms)
    if best is None:
        return {}, ""
    _, pelvis, legs, chest, arms = best

    def limb(top: int, names: tuple[str, ...], before: int) -> dict[str, int]:
        chain = [top]
        while children[chain[-1]]:
            chain.append(
                max(children[chain[-1]], key=lambda c: reach[c] + np.linalg.norm(places[c] - places[parents[c]]))
            )
        bones = np.linalg.norm(np.diff(places[chain], axis=0), axis=1)
        if len(bones) < 2:
            return dict(zip(names, chain, strict=False))
        first = int(np.argmax(bones[:-1] + bones[1:]))
        made = dict(zip(names, chain[first:], strict=False))
        return made if first == 0 or before < 0 else {"collar": chain[0], **made}

    found = {"pelvis": pelvis}
    rest = [c for c in children[chest] if c not in arms]
    if rest:
        neck = max(rest, key=length)
        found["neck"] = neck
        if children[neck]:
            found["head"] = max(children[neck], key=length)
    limbs = [(limb(top, _LEG, -1), limb(arm, _ARM, 0)) for top, arm in ((legs[0], arms[0]), (legs[1], arms[1]))]
    up = places[[chest, *rest]].mean(axis=0) - np.mean([places[one["hip"]] for one, _ in limbs], axis=0)
    feet = [places[one["foot"]] - places[one["ankle"]] for one, _ in limbs if "foot" in one]
    forward = np.sum(feet, axis=0) if feet else np.zeros(3)
    forward = forward - up * (forward @ up) / max(float(up @ up), 1e-12)
    remark = ""
    if np.linalg.norm(forward) > 1e-6 * np.linalg.norm(up):
        left = np.cross(up, forward)
    else:
        apart = places[legs[0]] - places[legs[1]]
        # Rigs that lie along X face Z or -Y with X on their left; the others are taken to face X.
        upright = np.where(np.abs(up) == np.abs(up).max(), np.sign(up), 0)
        left = np.eye(3)[0] if np.argmax(np.abs(apart)) == 0 else np.cross(upright, np.eye(3)[0])
        remark = "left and right are told by the axes alone"

    def side(joint: int, other: int) -> str:
        return "left" if (places[joint] - places[other]) @ left > 0 else "right"

    for (one, two), part in (((limbs[0][0], limbs[1][0]), "hip"), ((limbs[0][1], limbs[1][1]), "shoulder")):
        first = side(one[part], two[part])
        for made, which in ((one, first), (two, "right" if first == "left" else "left")):
            found.update({f"{which}_{name}": joint for name, joint in made.items()})
    return found, remark
