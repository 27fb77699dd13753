"""Which part of the body a bone belongs to, and which side, guessed from the names and the hierarchy of common rigs.

Names of joints are read by ``smpl_tools.rigs.names``; beside those this module knows what only rigs in Blender have:
controls (``hand_ik.L``, ``c_thigh_fk.l``), prefixes of layers (``DEF-``, ``ORG-``, ``MCH-``), faces, and the Japanese
names of MMD. A bone whose name says nothing belongs to the part of the bone above it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from smoothnet_core._checks import mismatch
from smpl_tools.contacts.feet import WholeLeg, whole_legs
from smpl_tools.rigs.names import part_of as joint_part

ROOT, SPINE, HEAD, ARMS, HANDS, LEGS, OTHER = PARTS = ("ROOT", "SPINE", "HEAD", "ARMS", "HANDS", "LEGS", "OTHER")

_OF_JOINT = {
    **dict.fromkeys(("root", "pelvis"), ROOT),
    "spine": SPINE,
    **dict.fromkeys(("neck", "head", "face"), HEAD),
    **dict.fromkeys(("collar", "shoulder", "upper_arm", "elbow"), ARMS),
    **dict.fromkeys(("wrist", "hand", "finger"), HANDS),
    **dict.fromkeys(("hip_base", "hip", "thigh", "leg", "knee", "ankle", "foot", "toe"), LEGS),
}
# Words of a name by the part that they tell, most telling part first: a jaw's root is of the head, a hand's arm IK of
# the hand.
_WORDS: tuple[tuple[str, frozenset[str]], ...] = tuple(
    (part, frozenset(words.split()))
    for part, words in (
        (HANDS, "hand hands palm wrist finger fingers thumb pinky pinkie metacarpal carpal knuckle digit"),
        (
            LEGS,
            "leg legs thigh upleg upperleg lowerleg shin calf knee ankle foot feet toe toes toebase heel ball buttock"
            " glute bigtoe smalltoe femur tibia metatarsal metatarsals hipjoint",
        ),
        (
            ARMS,
            "arm arms upperarm uparm forearm forarm lowerarm elbow shoulder shldr clavicle collar scapula humerus"
            " bicep",
        ),
        (
            HEAD,
            "head neck face facial skull jaw jawbone chin mouth lip lips tongue teeth tooth nose nostril cheek brow"
            " brows eye eyes eyebrow eyelid eyelash eyeball lid ear ears forehead temple hair ponytail beard",
        ),
        (SPINE, "spine chest torso abdomen thorax waist back belly stomach breast ribcage ribs upperback lowerback"),
        (ROOT, "root hips pelvis cog trajectory groove mother lowerbody"),
    )
)
_HANDS, _LEGS, _HEADS = (dict(_WORDS)[part] for part in (HANDS, LEGS, HEAD))
# Middle and ring fingers, spelled as other words are; the thumb's neighbours of MMD.
_FINGERS = re.compile(r"(?:fore|middle|mid|third|ring|little|index)\d")
# Words that name a control, a layer, a helper or a kind of bone, not what it moves.
_NOISE_TEXT = (
    "def org mch ctrl control ik fk pole target tweak parent drv driver ref stretch twist roll bend bip j adj sec c x m"
    " bone bones jnt joint end nub tip leaf share base cc rl b offset swing helper corrective switch socket line vis"
    " str master"
)
_NOISE = frozenset(_NOISE_TEXT.split())
# Not the body's motion, though a word of it may stand in the name.
_NOT_BODY_TEXT = "footsteps camera light weapon prop gun sword cape skirt tail wing cloth"
_NOT_BODY = frozenset(_NOT_BODY_TEXT.split())
# What is told by all words together alone.
_WHOLE = {"lower body": ROOT, "upper body": SPINE, "center": ROOT, "traj": ROOT, "pos": ROOT, "fore": ARMS}
_JAPANESE: tuple[tuple[str, str], ...] = (
    (HANDS, "手首|親指|人指|人差指|中指|薬指|小指|手先|ダミー"),
    (LEGS, "足|脚|ひざ|膝|つま先|爪先|太もも"),
    (ARMS, "肩|腕|ひじ|肘|手捩|手捻"),
    (HANDS, "手"),
    (HEAD, "首|頭|目|眼|顔|舌|歯|顎|あご|口|眉|耳|髪"),
    (ROOT, "下半身|センター|全ての親|グルーブ|腰|操作中心"),
    (SPINE, "上半身|胸"),
)
_MMD_LEG = {"足": "thigh", "ひざ": "knee", "足首": "ankle", "つま先": "toe"}
# Which bones of a rig may form a leg, first choice first.
_LAYERS = (r"^(?!DEF-|ORG-|MCH-|.*_(?:fk|ik)\b)", r"^DEF-", r"^ORG-", r"_fk\b")
_SIDES = {"left": "left", "l": "left", "right": "right", "r": "right"}
_RIGIFY_SPINE = re.compile(r"^((?:DEF-|ORG-|MCH-)?)spine(?:_fk|_tweak)?(?:\.(\d{3}))?$")


def part_of(names: Sequence[str], parents: Sequence[int] | None = None) -> dict[str, str]:
    """Return the part of each bone, one of ``PARTS``.

    ROOT are the hips and what is above them; necks and faces belong to HEAD, collar bones to ARMS, wrists to HANDS,
    feet to LEGS. A bone whose name is unknown belongs to the part of its parent if that is HEAD, ARMS, HANDS or LEGS,
    and to OTHER if not.

    Args:
        names: B bones, parents first.
        parents: (B,) place of each bone's parent, -1 for a root; None: go by names alone.
    """
    above = [-1] * len(names) if parents is None else [int(parent) for parent in parents]
    parts = _rigify(names, [_part_of_name(name) for name in names])
    if parents is not None:
        for bone, parent in enumerate(above):
            # What hangs on a limb or a head is part of it, be it called a root; on hands and heads also what is worn.
            if parent >= 0 and parts[parent] in (HANDS, HEAD, ARMS, LEGS):
                taken = (None, ROOT, OTHER) if parts[parent] in (HANDS, HEAD) else (None, ROOT)
                if parts[bone] in taken:
                    parts[bone] = parts[parent]
        _add_roots(parts, above)
    return {name: part or OTHER for name, part in zip(names, parts, strict=True)}


def side_of(name: str) -> str:
    """Return ``left``, ``right`` or ``""``, as a bone's name says."""
    if side := joint_part(name).side:
        return side
    if found := re.search("[左右]", name):
        return "left" if found[0] == "左" else "right"
    sides = [_SIDES[word] for word in _words(name) if word in _SIDES]
    return sides[0] if sides else ""


def leg_joints(
    names: Sequence[str], parents: Sequence[int], usable: Sequence[bool] | None = None
) -> tuple[WholeLeg, ...]:
    """Return hip, knee, ankle and, where they are, toes of the legs as places among the bones, the left leg first.

    Of rigs with several chains to a leg the first that hangs together is taken, of: bones without a mark, ``DEF-``,
    ``ORG-``, FK controls.

    Args:
        names: B bones.
        parents: (B,) place of each bone's parent, -1 for a root.
        usable: (B,) only these bones may be hip, knee and ankle, e.g. those with keys; None: all.

    Raises:
        ValueError: no such leg has a known name; the message lists the names.
    """
    spelled = [_leg_name(name) for name in names]
    for layer in _LAYERS:
        of_layer = [new if re.search(layer, name) else "" for name, new in zip(names, spelled, strict=True)]
        try:
            legs = whole_legs(of_layer)
        except ValueError:
            continue
        good = tuple(
            leg
            for leg in legs
            if _hangs(leg, parents) and (usable is None or all(usable[k] for k in (leg.hip, leg.knee, leg.ankle)))
        )
        if good:
            return good
    raise mismatch(
        "bones of the legs",
        "thigh, shin and foot of a side, each below the one before, with names such as LeftUpLeg, thigh.L or calf_l"
        + ("" if usable is None else ", and with keys"),
        ", ".join(names) or "none",
    )


def _leg_name(name: str) -> str:
    """Return a bone's name as ``whole_legs`` reads it: MMD's in English, the others without marks of layers."""
    side = side_of(name)
    if japanese := _MMD_LEG.get(re.sub(r"[左右]|\.[LR]$", "", name)):
        return f"{side}_{japanese}"
    if re.fullmatch(r"leg_[LR]", name):
        return f"{side}_thigh"
    return re.sub(r"^(?:DEF|ORG)[-_]|^c_(?=\w+_fk)|(?<=[a-z])_fk(?=\b|_)", "", name)


def _hangs(leg: WholeLeg, parents: Sequence[int]) -> bool:
    for joint, above in ((leg.knee, leg.hip), (leg.ankle, leg.knee)):
        parent = int(parents[joint])
        while parent >= 0 and parent != above:
            parent = int(parents[parent])
        if parent < 0:
            return False
    return True


def _words(name: str) -> list[str]:
    bare = re.split(r"[:|]", name)[-1]
    # lThigh and LThigh, but not Left.
    apart = re.sub(r"(?<![A-Za-z])([lrLR])(?=[A-Z])", r"\1 ", bare)
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", apart)]


@lru_cache(maxsize=1 << 14)
def _part_of_name(name: str) -> str | None:
    """Return the part that a name tells, None where it tells none."""
    for part, words in _JAPANESE:
        if re.search(words, name):
            return part
    words = _words(name)
    if _NOT_BODY & set(words):
        return OTHER
    plain = [word for word in words if word not in _NOISE]
    core = [word for word in plain if word not in _SIDES]
    if _HEADS & set(core) and not _HANDS & set(core):
        return HEAD
    if _FINGERS.search(name.lower()) and any(word in _SIDES for word in words) and not _LEGS & set(core):
        return HANDS
    if whole := _WHOLE.get(" ".join(core)):
        return whole
    for candidate in (re.split(r"[:|]", name)[-1], " ".join(plain), "".join(plain)):
        found = _OF_JOINT.get(joint_part(candidate).part)
        if found == LEGS and core == ["pelvis"]:
            return ROOT
        if found:
            return found
    for part, known in _WORDS:
        if known & set(core):
            return part
    return ROOT if "master" in words else None


def _rigify(names: Sequence[str], parts: list[str | None]) -> list[str | None]:
    """Tell hips, neck and head from the numbers of Rigify's spine: spine is the hips, from spine.004 on is the neck."""
    if not any(name.endswith("spine.006") for name in names):
        return parts
    result = parts.copy()
    for k, name in enumerate(names):
        if found := _RIGIFY_SPINE.match(name):
            number = int(found[2] or 0)
            result[k] = ROOT if number == 0 else SPINE if number < 4 else HEAD
        elif name == "torso":
            result[k] = ROOT
    return result


def _add_roots(parts: list[str | None], parents: Sequence[int]) -> None:
    """Make what is above the hips part of the root; in a rig without hips, the bone that all others hang on."""
    tops: list[int] = []
    for bone, parent in enumerate(parents):
        tops.append(bone if parent < 0 else tops[parent])
    known = [bone for bone, part in enumerate(parts) if part not in (None, OTHER)]
    hips = [bone for bone in known if parts[bone] == ROOT]
    for bone in hips:
        parent = parents[bone]
        while parent >= 0:
            if parts[parent] in (None, OTHER):
                parts[parent] = ROOT
            parent = parents[parent]
    for top in {tops[bone] for bone in known} if known else set(tops):
        if parts[top] is None or not hips:
            parts[top] = ROOT
