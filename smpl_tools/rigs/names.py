"""What the name of a rig's joint says: which part of the body, and of which side.

Names are those of the rigs in common use: BVH of CMU's motions (cgspeed's conversion, and the AMC names), Mixamo,
MotionBuilder's HIK, Rokoko, Xsens MVN (both exports), OptiTrack Motive, Ubisoft's LAFAN1, Bandai-Namco Research's set,
100STYLE, MakeHuman, DAZ and Poser, Unreal's mannequin, Blender's Rigify and Auto-Rig Pro, DeepMotion, 3ds Max Biped
(Truebones), VRM, and SMPL's own names as its Blender add-on and FBX files spell them. Read in public files of the
repositories facebookresearch/AnimatedDrawings, BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset,
omimo/PyMO, mrdoob/three.js and DeepMotionEditing/deep-motion-editing, and in public code that lists the others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from smpl_tools.formats.bvh import is_finger

# A part's names, all in small letters without digits, marks and side. Some rigs call the collar bone a shoulder and
# others the upper arm; legs, hips, feet and hands are as ambiguous. What stands above and below in the hierarchy
# settles these, not the name.
_PARTS: dict[str, str] = {
    "root": "root reference armature master world origin bip cog scene trajectory global rootjoint",
    "pelvis": "pelvis hips hip centerhip hipcenter",
    "spine": "spine chest upperchest chestupper chestlower abdomen abdomenlower abdomenupper ab torso thorax lowerback"
    " upperback midback back waist lumbar ribcage stomach belly spinelower spinemiddle spinemid spineupper lowerspine"
    " middlespine upperspine spinebase body trunk",
    "neck": "neck lowerneck upperneck necklower neckupper neckbase",
    "head": "head skull",
    "face": "face forehead",
    "collar": "collar clavicle clav collarbone scapula",
    "shoulder": "shoulder shldr shoulderjoint",
    "upper_arm": "arm upperarm uparm uarm humerus bicep armupper",
    "elbow": "elbow forearm forarm lowerarm lowarm farm radius ulna armlower",
    "wrist": "wrist",
    "hand": "hand palm",
    "hip_base": "hipjoint buttock glute",
    "hip": "hip",
    "thigh": "thigh upleg upperleg femur legupper uleg",
    "leg": "leg",
    "knee": "knee shin calf lowerleg lowleg tibia leglower lleg",
    "ankle": "ankle",
    "foot": "foot",
    "toe": "toe toes toebase ball forefoot",
}
_OF_NAME: dict[str, list[str]] = {}
for _part, _names in _PARTS.items():
    for _name in _names.split():
        _OF_NAME.setdefault(_name, []).append(_part)
_CENTRAL = {"root", "pelvis", "spine", "neck", "head", "face"}
_PREFIX = re.compile(
    r"^(?:mixamorig\d*|(?:character|actor|valvebiped|bip0*|joint|jnt|jt|bone|skel|rig|smplx?|bvh)\d*[ _.:-]+"
    r"|(?:cc_base|m_avg|f_avg|def|org|mch|rl|b|j|c)[ _.:-]+|bip0*\d*[ _.:-]+)",
    re.IGNORECASE,
)
_SUFFIX = re.compile(r"[ _.:-]+(?:jnt|joint|jt|bone|bind|skin|def|x|m)$", re.IGNORECASE)
_VERTEBRA = re.compile(r"[lt]\d{1,2}", re.IGNORECASE)
_TWIST = re.compile(r"twist|roll|tweak", re.IGNORECASE)
# Tips, handles of controllers and what is carried are no part of the body's hierarchy.
_OTHER = re.compile(r"(?:^|[ _.:-])(?:ik|fk|pole|target|prop|weapon|end|nub|tip|leaf|site)(?:$|[ _.:-])", re.IGNORECASE)
_END = re.compile(r"(?:End|Nub|Tip|Site|_end)\d*$|Top$|Effector")


@dataclass(frozen=True)
class Part:
    """What a name says.

    Attributes:
        part: ``root``, ``pelvis``, ``spine``, ``neck``, ``head``, ``face``; of a side ``collar``, ``shoulder``,
            ``upper_arm``, ``elbow``, ``wrist``, ``hand``, ``hip_base``, ``hip``, ``thigh``, ``leg``, ``knee``,
            ``ankle``, ``foot``, ``toe``; ``finger``, ``twist`` and ``other`` for what SMPL has no joint for; ``""``
            unknown.
        side: ``left``, ``right`` or ``""``.
    """

    part: str
    side: str = ""


@lru_cache(maxsize=1 << 14)
def part_of(name: str) -> Part:
    """Return the part of the body that a joint's name speaks of."""
    bare = re.split(r"[:|]", name)[-1].strip()
    if _VERTEBRA.fullmatch(bare):
        return Part("spine")
    if is_finger(bare):
        return Part("finger")
    if _OTHER.search(bare) or _END.search(bare):
        return Part("other")
    twist = bool(_TWIST.search(bare))
    previous = ""
    while previous != bare:
        previous = bare
        bare = _SUFFIX.sub("", _PREFIX.sub("", bare, count=1))
    # A name that was a prefix only, such as Bip01, is that of the whole rig's root.
    letters = re.sub(r"[^a-z]", "", bare.lower())
    found = _sided(letters, re.sub(r"twist|roll|tweak|bend|stretch", "", letters))
    if twist:
        return Part("twist", found.side)
    return found


def _sided(whole: str, plain: str) -> Part:
    for text in dict.fromkeys((whole, plain)):
        central = [p for p in _OF_NAME.get(text, []) if p in _CENTRAL]
        if central:
            return Part(central[0])
        for side, long, short in (("left", "left", "l"), ("right", "right", "r")):
            for mark in (long, short):
                cores = [text[len(mark) :]] if text.startswith(mark) else []
                cores += [text[: -len(mark)]] if text.endswith(mark) else []
                for core in cores:
                    of_side = [p for p in _OF_NAME.get(core, []) if p not in _CENTRAL]
                    if of_side:
                        return Part(of_side[0], side)
                    if core in ("pelvis", "hips"):
                        return Part("hip_base", side)
    return Part("")
