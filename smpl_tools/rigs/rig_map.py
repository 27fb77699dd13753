"""Which joints of a rig SMPL's 24 joints take their rotations from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.motion import Skeleton
from smpl_tools.rigs.names import Part, part_of
from smpl_tools.rigs.spine import SPINE, along_the_spine
from smpl_tools.rigs.structure import ancestors, by_structure, common_ancestor, path
from smpl_tools.skeleton import SMPL

_KEY = tuple(f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "shoulder", "elbow"))
_LIMBS = (("hip", "knee", "ankle", "foot"), ("collar", "shoulder", "elbow", "wrist", "hand"))


@dataclass(frozen=True)
class RigMap:
    """Which joints of a rig are which of SMPL's.

    A joint of SMPL turns with the last joint of its chain: its rotation is the product of the chain's rotations, up
    to a constant change of axes. Where a chain is empty, the rig has no such joint.

    Attributes:
        joints: names of the rig's J joints.
        chains: for each of SMPL's 24 joints the rig's joints, from the parent's chain down.
        places: for each of SMPL's joints the joint of the rig that stands at its place, -1 for none.
        found: for each of SMPL's joints how it was found: ``name``, ``structure``, ``spine`` (by its place along the
            spine) or ``""``.
        notes: what is unusual, in sentences.
    """

    joints: tuple[str, ...]
    chains: tuple[tuple[int, ...], ...]
    places: tuple[int, ...]
    found: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def unmapped(self) -> tuple[str, ...]:
        """Names of the rig's joints that no joint of SMPL takes: fingers, twist bones beside the limb, the face."""
        taken = {joint for chain in self.chains for joint in chain}
        return tuple(name for k, name in enumerate(self.joints) if k not in taken)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of SMPL's joints that the rig has not; they stay as they are at rest."""
        return tuple(name for name, chain in zip(SMPL.joints, self.chains, strict=True) if not chain)

    def lines(self) -> list[str]:
        """Return one line for each of SMPL's joints: its chain in the rig and how it was found."""
        return [
            f"{name}: {' > '.join(self.joints[k] for k in chain)} ({how})" if chain else f"{name}: none"
            for name, chain, how in zip(SMPL.joints, self.chains, self.found, strict=True)
        ]


def map_rig(skeleton: Skeleton) -> RigMap:
    """Return which joints of a rig are SMPL's, by their names, else by the shape of the hierarchy at rest.

    Rotations of spine joints are kept whole: each joint of the rig's spine goes to the joint of SMPL's spine nearest
    to it along the length from pelvis to neck, in order, so several may share one.

    Args:
        skeleton: J joints of one hierarchy (or several, of which the one with the body counts), in any unit and axes.

    Raises:
        ValueError: neither names nor structure show a body with two legs.
    """
    parents = np.asarray(skeleton.parents, np.int64)
    if not (parents < np.arange(len(parents))).all():
        raise mismatch("parents of the rig", "each before its children", parents.tolist())
    parts = [part_of(name) for name in skeleton.joints]
    found = _by_name(parents, parts)
    how = dict.fromkeys(found, "name")
    notes = []
    if any(key not in found for key in _KEY):
        places = np.zeros((len(parents), 3))
        for joint, parent in enumerate(parents):
            offset = np.nan_to_num(np.asarray(skeleton.offsets[joint], np.float64))
            places[joint] = offset + (places[parent] if parent >= 0 else 0)
        shape, remark = by_structure(parents, places)
        added = _agreeing(parents, found, shape)
        found.update(added)
        how.update(dict.fromkeys(added, "structure"))
        notes += [remark] if added and remark else []
    _drop_tangled(parents, found, how, notes, skeleton.joints)
    lacking = [name for name in ("left_hip", "right_hip") if name not in found]
    trunk = _trunk(parents, parts, found, skeleton.joints)
    if lacking or trunk is None:
        names = ", ".join(skeleton.joints[:12]) + (", ..." if len(skeleton.joints) > 12 else "")
        raise mismatch("joints of the rig", "a body with two legs and a trunk", names or "none")
    pelvis, spine, neck, head = trunk
    for name, joints in (("pelvis", [pelvis]), ("neck", neck[:1]), ("head", head)):
        if joints:
            how.setdefault(name, "name" if parts[joints[0]].part in (name, "face") else "structure")
            found[name] = joints[0]
    return _chains(parents, parts, skeleton, found, how, spine, neck, notes)


def _by_name(parents: NDArray[np.int64], parts: list[Part]) -> dict[str, int]:
    found: dict[str, int] = {}
    for side in ("left", "right"):
        # The first of several joints of one part: the others carry a share of its twist.
        first: dict[str, int] = {}
        for joint, part in enumerate(parts):
            if part.side == side:
                first.setdefault(part.part, joint)

        def under(part: str, other: str, first: dict[str, int] = first) -> bool:
            return part in first and other in first and first[other] in ancestors(parents, first[part])[1:]

        # A hip above a thigh is only where the leg hangs.
        thighs = [first[part] for part in ("thigh", "hip", "leg") if part in first]
        names = {"hip": thighs[0]} if thighs else {}
        if names.get("hip", -1) != first.get("leg", -1) and (under("leg", "thigh") or under("leg", "hip")):
            names["knee"] = first["leg"]
        if "knee" in first:
            names["knee"] = first["knee"]
        if "ankle" in first:
            names["ankle"] = first["ankle"]
            if under("foot", "ankle"):
                names["foot"] = first["foot"]
        elif "foot" in first:
            names["ankle"] = first["foot"]
        if "toe" in first and "foot" not in names:
            names["foot"] = first["toe"]
        if "collar" in first:
            names["collar"] = first["collar"]
        if "upper_arm" in first:
            names["shoulder"] = first["upper_arm"]
            if under("upper_arm", "shoulder"):
                names.setdefault("collar", first["shoulder"])
        elif "shoulder" in first:
            names["shoulder"] = first["shoulder"]
        if "elbow" in first:
            names["elbow"] = first["elbow"]
        if "wrist" in first:
            names["wrist"] = first["wrist"]
            if under("hand", "wrist"):
                names["hand"] = first["hand"]
        elif "hand" in first:
            names["wrist"] = first["hand"]
        found.update({f"{side}_{name}": joint for name, joint in names.items()})
    return found


def _agreeing(parents: NDArray[np.int64], found: dict[str, int], shape: dict[str, int]) -> dict[str, int]:
    """Return the limbs' joints that structure adds without contradicting a name."""
    limbs = {k: v for k, v in shape.items() if k.startswith(("left_", "right_"))}
    clash = [k for k, v in limbs.items() if k in found and found[k] != v]
    # Names of one side that stand on the other side of the hierarchy mean that structure sees left as right.
    swapped = {("right_" + k[5:] if k.startswith("left_") else "left_" + k[6:]): v for k, v in limbs.items()}
    if clash and sum(found.get(k) == v for k, v in swapped.items()) > sum(found.get(k) == v for k, v in limbs.items()):
        limbs = swapped
    taken = set(found.values())
    return {k: v for k, v in limbs.items() if k not in found and v not in taken}


def _drop_tangled(
    parents: NDArray[np.int64], found: dict[str, int], how: dict[str, str], notes: list[str], names: tuple[str, ...]
) -> None:
    """Take out joints of a limb that do not hang from the limb's joints above them."""
    for side in ("left", "right"):
        for limb in _LIMBS:
            above = -1
            for part in limb:
                joint = found.get(f"{side}_{part}", -1)
                if joint < 0:
                    continue
                if above >= 0 and above not in ancestors(parents, joint)[1:]:
                    notes.append(f"{names[joint]} does not hang from {names[above]} and is left out")
                    del found[f"{side}_{part}"], how[f"{side}_{part}"]
                    continue
                above = joint


def _trunk(
    parents: NDArray[np.int64], parts: list[Part], found: dict[str, int], names: tuple[str, ...]
) -> tuple[int, list[int], list[int], list[int]] | None:
    """Return the pelvis and the joints of spine, neck and head (none or one) from below, None without a body."""
    hips = [found[f"{side}_hip"] for side in ("left", "right") if f"{side}_hip" in found]
    arms = [
        next(found[f"{side}_{part}"] for part in ("collar", "shoulder") if f"{side}_{part}" in found)
        for side in ("left", "right")
        if f"{side}_collar" in found or f"{side}_shoulder" in found
    ]

    def of(part: str) -> list[int]:
        return [j for j, p in enumerate(parts) if p.part == part]

    heads = (of("head") or of("face"))[:1]
    tips = heads or of("neck")[-1:] or arms or of("spine")[-1:]
    if not hips or not tips:
        return None
    pelvis = common_ancestor(parents, [*hips, tips[0], *arms])
    if pelvis < 0 or pelvis in hips:
        return None
    chest = common_ancestor(parents, arms) if len(arms) > 1 else (int(parents[arms[0]]) if arms else -1)
    tip = tips[0] if tips[0] not in arms else chest
    if not heads and chest >= 0:
        # Without a head by name, what goes on from chest or neck is the rest of the neck, and its end the head.
        limbs = set(arms) | {j for arm in arms for j in path(parents, chest, arm)}
        while True:
            onward = [
                j
                for j in np.flatnonzero(parents == tip).tolist()
                if j not in limbs and parts[j].part in ("spine", "neck", "")
            ]
            if len(onward) != 1:
                break
            tip = onward[0]
    line = path(parents, pelvis, tip)
    necks = [k for k, joint in enumerate(line) if parts[joint].part == "neck"]
    if necks:
        cut = necks[0]
    elif chest in line:
        cut = line.index(chest) + 1
    else:
        cut = len(line) - len([j for j in line if j in heads])
    spine, above = line[:cut], line[cut:]
    if heads and above and above[-1] == heads[0]:
        return pelvis, spine, above[:-1], heads
    if len(above) > 1 and parts[above[-1]].part != "neck":
        return pelvis, spine, above[:-1], above[-1:]
    return pelvis, spine, above, []


def _chains(
    parents: NDArray[np.int64],
    parts: list[Part],
    skeleton: Skeleton,
    found: dict[str, int],
    how: dict[str, str],
    spine: list[int],
    neck: list[int],
    notes: list[str],
) -> RigMap:
    chains: dict[str, list[int]] = {}
    for number, joints in along_the_spine(skeleton, found["pelvis"], spine, found.get("neck", -1)).items():
        chains[SPINE[number]] = joints
        found[SPINE[number]], how[SPINE[number]] = joints[-1], "spine"
    for j, name in enumerate(SMPL.joints):
        if name not in found or name in SPINE:
            continue
        if name == "neck":
            chains[name] = neck
            continue
        above = int(SMPL.parents[j])
        while above >= 0 and SMPL.joints[above] not in found:
            above = int(SMPL.parents[above])
        start = chains[SMPL.joints[above]][-1] if above >= 0 else -1
        line = ancestors(parents, found[name])[::-1] if start < 0 else path(parents, start, found[name])
        if above >= 0 and not line:
            # A branch that leaves the trunk below or above where SMPL's does, such as collars that hang from the neck.
            taken = {k for chain in chains.values() for k in chain}
            line = [k for k in ancestors(parents, found[name])[::-1] if k not in taken]
        # Pieces of the bone above, and twist bones in line with it, turn that bone's lower end.
        tail = 0
        if above >= 0:
            own = parts[found[SMPL.joints[above]]]
            while tail < len(line) - 1 and (parts[line[tail]].part == "twist" or parts[line[tail]] == own != Part("")):
                tail += 1
            if SMPL.joints[above].partition("_")[0] in ("left", "right"):
                chains[SMPL.joints[above]] += line[:tail]
                line = line[tail:]
        chains[name] = line
    places = tuple(found.get(name, -1) for name in SMPL.joints)
    return RigMap(
        tuple(skeleton.joints),
        tuple(tuple(chains.get(name, ())) for name in SMPL.joints),
        places,
        tuple(how.get(name, "") for name in SMPL.joints),
        tuple(notes),
    )
