"""The legs of an armature as a rig of their own: what hangs on what, and which points tell whether a foot stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.contacts.feet import WholeLeg

from .parts import leg_joints
from .posing import Rig, world_ends

Array = NDArray[np.float64]

# A foot without a toe bone ends in its tail, if that is no higher above the ankle than this share of the leg.
_ABOVE = 0.03


@dataclass(frozen=True, eq=False)
class Legs:
    """The legs of a rig and all above them, and as further points the tails of feet that have no toe.

    Attributes:
        bones: places of the bones in the whole rig.
        rig: these bones.
        legs: joints as places among the points.
        top: the bone that all legs hang on; all after it are below it.
        names: of bones and tails.
        roles: the same as ``keep_contacts`` reads them.
        parents: of bones and tails.
        feet: bones whose tails are the points after the bones.
    """

    bones: NDArray[np.int64]
    rig: Rig
    legs: tuple[WholeLeg, ...]
    top: int
    names: tuple[str, ...]
    roles: tuple[str, ...]
    parents: tuple[int, ...]
    feet: tuple[int, ...]

    def points(self, heads: Array, tails: Array) -> Array:
        """Return (T, P, 3) of heads of bones and tails of feet."""
        return np.concatenate([heads, tails[:, list(self.feet)]], axis=1)


_ROLES = ("hip", "knee", "ankle", "heel", "toe", "toe_end")


def legs_of(rig: Rig, turnable: Collection[str] | None) -> Legs:
    """Return the legs of a rig.

    Args:
        rig: B bones.
        turnable: names of bones that may be thigh, shin and foot; None: all.

    Raises:
        ValueError: no leg of known names, legs without a bone above both, or a bone between thigh and foot that does
            not inherit rotation.
    """
    usable = None if turnable is None else [name in turnable for name in rig.names]
    legs = leg_joints(rig.names, rig.parents.tolist(), usable)
    # Heels and toes that hang elsewhere, as controls do, tell nothing of the foot.
    whole = [
        {
            role: j
            for role in _ROLES
            if (j := getattr(leg, role)) is not None and (j == leg.hip or _below(rig, j, leg.hip))
        }
        for leg in legs
    ]
    lines = [rig.above([leg["hip"]])[:-1] for leg in whole]
    common = sorted(set.intersection(*(set(line.tolist()) for line in lines)))
    if not common and len(legs) > 1:
        names = ", ".join(rig.names[leg["hip"]] for leg in whole)
        raise mismatch("legs", "a bone above both of them", f"{names} without one")
    top = common[-1] if common else whole[0]["hip"]
    for leg in whole:
        between = [b for b in rig.above([leg["ankle"]]).tolist() if _below(rig, b, leg["hip"])]
        for bone in between:
            if not rig.inherit_rotation[bone] and bone not in (leg["knee"], leg["ankle"]):
                raise mismatch(f"bone {rig.names[bone]}", "one that inherits rotation", "one that does not")
    # What is above the top comes first, so that the rest is one piece.
    first = rig.above([top]).tolist()
    below = [b for b in rig.above([j for leg in whole for j in leg.values()]).tolist() if b not in first]
    bones = np.array(first + below, np.int64)
    at = {bone: k for k, bone in enumerate(bones.tolist())}
    part = rig.take(bones)
    names, parents = list(part.names), part.parents.tolist()
    roles, feet = [f"bone {k}" for k in range(len(names))], []
    result = []
    for leg, found in zip(legs, whole, strict=True):
        placed = {role: at[bone] for role, bone in found.items()}
        if "toe" not in placed and "toe_end" not in placed and _low_tail(rig, found):
            placed["toe_end"] = len(names)
            feet.append(placed["ankle"])
            names.append(f"{part.names[placed['ankle']]} (tail)")
            parents.append(placed["ankle"])
            roles.append("")
        for role, place in placed.items():
            roles[place] = f"{leg.side}_{'thigh' if role == 'hip' else role}"
        result.append(WholeLeg(leg.side, **placed))
    return Legs(bones, part, tuple(result), at[top], tuple(names), tuple(roles), tuple(parents), tuple(feet))


def _below(rig: Rig, bone: int, above: int) -> bool:
    while bone >= 0:
        bone = int(rig.parents[bone])
        if bone == above:
            return True
    return False


def _low_tail(rig: Rig, leg: dict[str, int]) -> bool:
    """Return whether the tail of a foot at rest lies about as low as the ankle or lower, so that it can be its tip."""
    still = np.tile([1.0, 0.0, 0.0, 0.0], (1, len(rig.names), 1))
    first = dataclasses.replace(rig, world=rig.world.reshape(-1, 4, 4)[0])
    heads, tails = world_ends(first, still, np.zeros((1, len(rig.names), 3)))
    ankle = leg["ankle"]
    return bool(
        rig.lengths[ankle] > 0
        and tails[0, ankle, 2] <= heads[0, ankle, 2] + _ABOVE * np.linalg.norm(heads[0, leg["hip"]] - heads[0, ankle])
    )
