"""Rigs to test with: the hierarchies that common programs write, on a body of our own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from smpl_tools.motion import Skeleton
from smpl_tools.skeleton import SMPL, positions

EYE = np.eye(3)
SMPL_PLACES = positions(np.broadcast_to(EYE, (1, 24, 3, 3)), None, SMPL)[0]
PLACE = dict(zip(SMPL.joints, SMPL_PLACES, strict=True))
LEG, ARM = ("hip", "knee", "ankle", "foot"), ("collar", "shoulder", "elbow", "wrist", "hand")


@dataclass(frozen=True)
class Names:
    """How a rig names its joints: ``{S}`` is Left or Right, ``{s}`` left or right, ``{C}`` L or R, ``{c}`` l or r.

    ``leg`` and ``arm`` name hip, knee, ankle, foot and collar, shoulder, elbow, wrist, hand; None where the rig has
    none. ``above`` is what leads to the pelvis; ``to_hip`` stands between pelvis and hip; ``twist`` follows each named
    joint of the arm in line; ``fingers`` hang from the last joint of the arm; ``tips`` end head, toes and hands.
    """

    pelvis: str
    spine: tuple[str, ...]
    neck: tuple[str, ...]
    head: str | None
    leg: tuple[str | None, ...]
    arm: tuple[str | None, ...]
    above: tuple[str, ...] = ()
    to_hip: str | None = None
    twist: str | None = None
    fingers: tuple[str, ...] = ()
    arms_from_neck: bool = False


HIK_LEG = ("{S}UpLeg", "{S}Leg", "{S}Foot", "{S}ToeBase")
HIK_ARM = ("{S}Shoulder", "{S}Arm", "{S}ForeArm", "{S}Hand", None)
UE_LEG = ("thigh_{c}", "calf_{c}", "foot_{c}", "ball_{c}")
UE_ARM = ("clavicle_{c}", "upperarm_{c}", "lowerarm_{c}", "hand_{c}", None)
FINGERS = ("{S}HandThumb1", "{S}HandIndex1", "{S}HandMiddle1")


def _prefixed(prefix, names):
    return tuple(n and prefix + n for n in names)


RIGS = {
    "cmu": Names(
        "Hips",
        ("LowerBack", "Spine", "Spine1"),
        ("Neck", "Neck1"),
        "Head",
        HIK_LEG,
        HIK_ARM,
        to_hip="{C}HipJoint",
        fingers=("{S}FingerBase", "{C}Thumb"),
    ),
    "cmu amc": Names(
        "root",
        ("lowerback", "upperback", "thorax"),
        ("lowerneck", "upperneck"),
        "head",
        ("{c}femur", "{c}tibia", "{c}foot", "{c}toes"),
        ("{c}clavicle", "{c}humerus", "{c}radius", "{c}wrist", "{c}hand"),
        to_hip="{c}hipjoint",
        fingers=("{c}fingers", "{c}thumb"),
    ),
    "mixamo": Names(
        "mixamorig:Hips",
        ("mixamorig:Spine", "mixamorig:Spine1", "mixamorig:Spine2"),
        ("mixamorig:Neck",),
        "mixamorig:Head",
        _prefixed("mixamorig:", HIK_LEG),
        _prefixed("mixamorig:", HIK_ARM),
        fingers=_prefixed("mixamorig:", FINGERS),
    ),
    "mixamo without colon": Names(
        "mixamorigHips",
        ("mixamorigSpine", "mixamorigSpine1", "mixamorigSpine2"),
        ("mixamorigNeck",),
        "mixamorigHead",
        _prefixed("mixamorig", HIK_LEG),
        _prefixed("mixamorig", HIK_ARM),
    ),
    "hik": Names(
        "Character1_Hips",
        tuple(f"Character1_Spine{k}" for k in ("", "1", "2", "3")),
        ("Character1_Neck",),
        "Character1_Head",
        _prefixed("Character1_", HIK_LEG),
        _prefixed("Character1_", HIK_ARM),
        above=("Character1_Reference",),
        twist="{n}Roll",
    ),
    "rokoko": Names("Hips", ("Spine", "Spine1", "Spine2"), ("Neck",), "Head", HIK_LEG, HIK_ARM, fingers=FINGERS),
    "fair": Names("Hips", ("Spine", "Spine1", "Spine2", "Spine3"), ("Neck",), "Head", HIK_LEG, HIK_ARM),
    "lafan1": Names("Hips", ("Spine", "Spine1", "Spine2"), ("Neck",), "Head", (*HIK_LEG[:3], "{S}Toe"), HIK_ARM),
    "xsens segments": Names(
        "Pelvis",
        ("L5", "L3", "T12", "T8"),
        ("Neck",),
        "Head",
        ("{S}UpperLeg", "{S}LowerLeg", "{S}Foot", "{S}Toe"),
        ("{S}Shoulder", "{S}UpperArm", "{S}ForeArm", "{S}Hand", None),
    ),
    "xsens joints and 100style": Names(
        "Hips",
        ("Chest", "Chest2", "Chest3", "Chest4"),
        ("Neck",),
        "Head",
        ("{S}Hip", "{S}Knee", "{S}Ankle", "{S}Toe"),
        ("{S}Collar", "{S}Shoulder", "{S}Elbow", "{S}Wrist", None),
    ),
    "optitrack": Names(
        "Hip",
        ("Ab", "Chest"),
        ("Neck",),
        "Head",
        ("{C}Thigh", "{C}Shin", "{C}Foot", "{C}Toe"),
        ("{C}Shoulder", "{C}UArm", "{C}FArm", "{C}Hand", None),
    ),
    "bandai-namco": Names(
        "Hips",
        ("Spine", "Chest"),
        ("Neck",),
        "Head",
        ("UpperLeg_{C}", "LowerLeg_{C}", "Foot_{C}", "Toes_{C}"),
        ("Shoulder_{C}", "UpperArm_{C}", "LowerArm_{C}", "Hand_{C}", None),
        above=("joint_Root",),
    ),
    "poser": Names(
        "hip",
        ("abdomen", "chest"),
        ("neck",),
        "head",
        ("{c}Thigh", "{c}Shin", "{c}Foot", None),
        ("{c}Collar", "{c}Shldr", "{c}ForeArm", "{c}Hand", None),
        to_hip="{c}Buttock",
        fingers=("{c}Thumb1", "{c}Index1", "{c}Mid1"),
    ),
    "daz": Names(
        "hip",
        ("abdomenLower", "abdomenUpper", "chestLower", "chestUpper"),
        ("neckLower", "neckUpper"),
        "head",
        ("{c}ThighBend", "{c}Shin", "{c}Foot", "{c}Toe"),
        ("{c}Collar", "{c}ShldrBend", "{c}ForearmBend", "{c}Hand", None),
        twist="{n}Twist",
    ),
    "unreal": Names(
        "pelvis",
        tuple(f"spine_0{k}" for k in range(1, 6)),
        ("neck_01", "neck_02"),
        "head",
        UE_LEG,
        UE_ARM,
        above=("root",),
        fingers=("index_01_{c}", "thumb_01_{c}"),
    ),
    "rigify": Names(
        "spine",
        ("spine.001", "spine.002", "spine.003"),
        ("spine.004", "spine.005"),
        "spine.006",
        ("thigh.{C}", "shin.{C}", "foot.{C}", "toe.{C}"),
        ("shoulder.{C}", "upper_arm.{C}", "forearm.{C}", "hand.{C}", None),
        fingers=("f_index.01.{C}", "thumb.01.{C}"),
    ),
    "rigify deform": Names(
        "DEF-spine",
        ("DEF-spine.001", "DEF-spine.002", "DEF-spine.003"),
        ("DEF-spine.004", "DEF-spine.005"),
        "DEF-spine.006",
        ("DEF-thigh.{C}", "DEF-shin.{C}", "DEF-foot.{C}", "DEF-toe.{C}"),
        ("DEF-shoulder.{C}", "DEF-upper_arm.{C}", "DEF-forearm.{C}", "DEF-hand.{C}", None),
        twist="{n}.001",
    ),
    "makehuman": Names(
        "pelvis",
        ("spine05", "spine04", "spine03", "spine02", "spine01"),
        ("neck01", "neck02", "neck03"),
        "head",
        ("upperleg01.{C}", "lowerleg01.{C}", "foot.{C}", "toe1-1.{C}"),
        ("clavicle.{C}", "upperarm01.{C}", "lowerarm01.{C}", "wrist.{C}", None),
        above=("root",),
        to_hip="pelvis.{C}",
    ),
    "deepmotion": Names(
        "hips_JNT",
        ("spine_JNT", "spine1_JNT", "spine2_JNT"),
        ("neck_JNT",),
        "head_JNT",
        ("{c}_upleg_JNT", "{c}_leg_JNT", "{c}_foot_JNT", "{c}_toebase_JNT"),
        ("{c}_shoulder_JNT", "{c}_arm_JNT", "{c}_forearm_JNT", "{c}_hand_JNT", None),
    ),
    "biped": Names(
        "Bip01 Spine",
        ("Bip01 Spine1", "Bip01 Spine2"),
        ("Bip01 Neck",),
        "Bip01 Head",
        ("Bip01 {C} Thigh", "Bip01 {C} Calf", "Bip01 {C} Foot", "Bip01 {C} Toe0"),
        ("Bip01 {C} Clavicle", "Bip01 {C} UpperArm", "Bip01 {C} Forearm", "Bip01 {C} Hand", None),
        above=("Bip01", "Bip01 Pelvis"),
        fingers=("Bip01 {C} Finger0", "Bip01 {C} Finger1"),
        arms_from_neck=True,
    ),
    "vrm": Names(
        "J_Bip_C_Hips",
        ("J_Bip_C_Spine", "J_Bip_C_Chest", "J_Bip_C_UpperChest"),
        ("J_Bip_C_Neck",),
        "J_Bip_C_Head",
        ("J_Bip_{C}_UpperLeg", "J_Bip_{C}_LowerLeg", "J_Bip_{C}_Foot", "J_Bip_{C}_ToeBase"),
        ("J_Bip_{C}_Shoulder", "J_Bip_{C}_UpperArm", "J_Bip_{C}_LowerArm", "J_Bip_{C}_Hand", None),
    ),
    "reactidle": Names(
        "pelvis",
        ("spine", "spine.001"),
        ("neck",),
        "face",
        ("thigh.{C}", "shin.{C}", "foot.{C}", None),
        ("shoulder.{C}", "upper_arm.{C}", "forearm.{C}", None, None),
    ),
    "thirteen joints": Names(
        "root",
        ("chest",),
        ("neck",),
        None,
        ("{s}_hip", "{s}_knee", "{s}_ankle", None),
        (None, "{s}_shoulder", "{s}_elbow", None, None),
    ),
    **{
        name: Names(
            f"{prefix}{pelvis}",
            tuple(f"{prefix}{spine}{k}" for k in (1, 2, 3)),
            (f"{prefix}{neck}",),
            f"{prefix}{head}",
            tuple(f"{prefix}{side}_{n}" for n in leg),
            tuple(f"{prefix}{side}_{n}" for n in arm),
        )
        for name, prefix, side, pelvis, spine, neck, head, leg, arm in (
            ("smpl", "", "{s}", "pelvis", "spine", "neck", "head", LEG, ARM),
            *(
                (
                    f"smpl {p}",
                    p,
                    "{C}",
                    "Pelvis",
                    "Spine",
                    "Neck",
                    "Head",
                    [n.title() for n in LEG],
                    [n.title() for n in ARM],
                )
                for p in ("", "m_avg_", "f_avg_")
            ),
        )
    },
}


def rig(names: Names) -> tuple[Skeleton, dict[str, list[str]]]:
    """Return a rig at rest as SMPL is, in metres, and the joints of it that each of SMPL's takes (its chain)."""
    rows: list[tuple[str, str, np.ndarray]] = []
    chains: dict[str, list[str]] = {}
    before = ""
    for name in (*names.above, names.pelvis):
        rows.append((name, before, PLACE["pelvis"]))
        before = name
    chains["pelvis"] = [*names.above, names.pelvis]
    count = len(names.spine)
    for k, name in enumerate(names.spine):
        rows.append((name, before, PLACE["pelvis"] + (k + 1) / (count + 1) * (PLACE["neck"] - PLACE["pelvis"])))
        before = name
    chest = before
    for k, name in enumerate(names.neck):
        rows.append((name, before, PLACE["neck"] + k / len(names.neck) * (PLACE["head"] - PLACE["neck"])))
        before = name
    chains["neck"] = list(names.neck)
    if names.head:
        rows.append((names.head, before, PLACE["head"]))
        chains["head"] = [names.head]
    for side in ("left", "right"):
        marks = {"S": side.title(), "s": side, "C": side[0].upper(), "c": side[0]}
        for limb, parts, top in ((names.leg, LEG, names.pelvis), (names.arm, ARM, chest)):
            by_neck = [names.neck[0]] if names.arms_from_neck and parts is ARM else []
            before, lead = (by_neck or [top])[0], by_neck
            if parts is LEG and names.to_hip:
                before, lead = names.to_hip.format(**marks), [names.to_hip.format(**marks)]
                rows.append((before, top, PLACE["pelvis"]))
            for number, (name, part) in enumerate(zip(limb, parts, strict=True)):
                if name is None:
                    continue
                own, joint = name.format(**marks), f"{side}_{part}"
                rows.append((own, before, PLACE[joint]))
                before, chains[joint] = own, [*lead, own]
                lead = []
                if names.twist and parts is ARM and part in ("shoulder", "elbow"):
                    end = PLACE[f"{side}_{parts[number + 1]}"]
                    before = names.twist.format(n=own.removesuffix("Bend"))
                    rows.append((before, own, (PLACE[joint] + end) / 2))
                    chains[joint].append(before)
            if parts is ARM:
                for finger in names.fingers:
                    rows.append((finger.format(**marks), before, PLACE[f"{side}_hand"]))
    order = [r[0] for r in rows]
    assert len(set(order)) == len(order), order
    places = {name: place for name, _, place in rows}
    offsets = np.array([place - (places[parent] if parent else 0) for _, parent, place in rows])
    parents = np.array([order.index(parent) if parent else -1 for _, parent, _ in rows])
    return Skeleton(tuple(order), parents, offsets), chains


def world(local, parents):
    turned = np.empty_like(local)
    for j, p in enumerate(parents):
        turned[:, j] = local[:, j] if p < 0 else turned[:, p] @ local[:, j]
    return turned


def motion(skeleton, frames=5, seed=0, size=0.5):
    """Return rotations (T, J, 3, 3) of all joints at random and positions of the root."""
    rng = np.random.default_rng(seed)
    count = len(skeleton.joints)
    vectors = size * rng.normal(size=(frames, count, 3))
    return Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(frames, count, 3, 3), rng.normal(
        size=(frames, 3)
    )


def with_axes(skeleton, axes, rotations=None):
    """Return the same rig with other axes (J, 3, 3) in its joints, the pose that it rested in, and its rotations."""
    above = np.where((skeleton.parents >= 0)[:, None, None], axes[skeleton.parents], EYE)
    offsets = (np.swapaxes(above, 1, 2) @ skeleton.offsets[..., None])[..., 0]
    made = Skeleton(skeleton.joints, skeleton.parents, offsets)
    back = np.swapaxes(above, 1, 2)
    return made, back @ axes, None if rotations is None else back @ rotations @ axes
