"""Parts of the body by the names of common rigs."""

from __future__ import annotations

import pytest

from blender_addon.rigs.parts import ARMS, HANDS, HEAD, LEGS, OTHER, PARTS, ROOT, SPINE, leg_joints, part_of, side_of

# By rig and part, bones whose names alone tell it, separated by commas.
_TABLE: dict[str, dict[str, str]] = {
    "Mixamo": {
        ROOT: "mixamorig:Hips",
        SPINE: "mixamorig:Spine,mixamorig:Spine1,mixamorig:Spine2",
        HEAD: "mixamorig:Neck,mixamorig:Head",
        ARMS: "mixamorig:LeftShoulder,mixamorig:LeftArm,mixamorig:RightForeArm",
        HANDS: "mixamorig:LeftHand,mixamorig:LeftHandThumb1,mixamorig:LeftHandIndex2,mixamorig:RightHandPinky3",
        LEGS: "mixamorig:LeftUpLeg,mixamorig:LeftLeg,mixamorig:RightFoot,mixamorig:RightToeBase,mixamorig7:LeftLeg",
    },
    "Rigify": {
        ROOT: "root,hips,pelvis.L,DEF-pelvis.R",
        SPINE: "spine.003,DEF-spine.001,chest,ORG-spine.002,breast.L,spine_fk.001,DEF-breast.R",
        HEAD: "neck,head,face,jaw,DEF-jaw,lip.T.L.001,eye.L,master_eye.R,brow.T.L,DEF-cheek.B.L,tongue.001,ear.L.002,"
        "teeth.T,nose.003,chin.001,DEF-lid.T.L.002,forehead.R.001,temple.L",
        ARMS: "shoulder.L,upper_arm.L,forearm.R,DEF-upper_arm.L.001,MCH-forearm_tweak.L,upper_arm_fk.L,"
        "upper_arm_parent.L,upper_arm_ik_target.R,ORG-forearm.L",
        HANDS: "hand.L,DEF-hand.R,f_index.01.L,f_middle.02.R,f_ring.03.L,f_pinky.01.L,thumb.01.L,palm.02.R,hand_ik.L,"
        "DEF-f_index.01.L,hand_fk.R,ORG-palm.01.L,thumb.01_master.L",
        LEGS: "thigh.L,shin.R,foot.L,toe.L,heel.02.L,DEF-thigh.L.001,foot_ik.R,thigh_parent.L,foot_heel_ik.L,"
        "MCH-heel_roll1.R,thigh_ik_target.L,shin_tweak.L.001,toe_fk.L",
    },
    "Unreal": {
        ROOT: "root,pelvis",
        SPINE: "spine_01,spine_05",
        HEAD: "neck_01,neck_02,head",
        ARMS: "clavicle_l,upperarm_r,lowerarm_l,upperarm_twist_01_l,lowerarm_twist_02_r",
        HANDS: "hand_l,index_01_l,middle_metacarpal_r,thumb_03_l,pinky_02_r,ring_01_l,ik_hand_l,ik_hand_root",
        LEGS: "thigh_l,calf_r,foot_l,ball_l,thigh_twist_01_l,calf_twist_02_r,ik_foot_l,ik_foot_root",
    },
    "BVH and Rokoko": {
        ROOT: "Hips,hip,Hip",
        SPINE: "Spine,Chest,Chest2,LowerBack,Spine1,Spine4",
        HEAD: "Neck,Neck1,Head",
        ARMS: "LeftShoulder,LeftArm,LeftForeArm,RightCollar,LeftElbow,LeftUpArm",
        HANDS: "LeftHand,LeftFingerBase,LThumb,LeftHandIndex1,RightInHandRing,LeftDigit1Metacarpal,RightWrist,"
        "LeftFinger3Proximal,RightInHandMiddle",
        LEGS: "LHipJoint,LeftUpLeg,LeftLeg,LeftFoot,LeftToeBase,RightHip,RightKnee,RightAnkle,LeftThigh,LeftShin,"
        "LeftToe",
    },
    "Xsens": {
        ROOT: "Pelvis",
        SPINE: "L5,L3,T12,T8",
        ARMS: "RightShoulder,RightUpperArm,LeftForeArm",
        HANDS: "LeftHand",
        LEGS: "RightUpperLeg,LeftLowerLeg,LeftFoot,RightToe",
    },
    "CMU": {
        ROOT: "root",
        SPINE: "lowerback,upperback,thorax",
        HEAD: "lowerneck,upperneck,head",
        ARMS: "lclavicle,lhumerus,rradius",
        HANDS: "lwrist,rhand,lfingers,rthumb",
        LEGS: "lhipjoint,lfemur,rtibia,lfoot,rtoes",
    },
    "SMPL": {
        ROOT: "pelvis,Pelvis,m_avg_Pelvis",
        SPINE: "spine1,spine3,m_avg_Spine2",
        HEAD: "neck,head,jaw,left_eye_smplhf,m_avg_Head",
        ARMS: "left_collar,right_shoulder,left_elbow,m_avg_L_Collar",
        HANDS: "left_wrist,right_hand,left_index1,right_middle2,left_thumb3,m_avg_L_Hand,L_Wrist",
        LEGS: "left_hip,right_knee,left_ankle,right_foot,m_avg_L_Hip,m_avg_R_Ankle,left_big_toe,right_heel",
    },
    "VRM": {
        ROOT: "J_Bip_C_Hips,hips,Root",
        SPINE: "J_Bip_C_Spine,J_Bip_C_Chest,J_Bip_C_UpperChest,upperChest",
        HEAD: "J_Bip_C_Neck,J_Bip_C_Head,J_Adj_L_FaceEye,J_Sec_Hair1_01,leftEye",
        ARMS: "J_Bip_L_Shoulder,J_Bip_L_UpperArm,J_Bip_R_LowerArm,leftUpperArm",
        HANDS: "J_Bip_L_Hand,J_Bip_L_Index1,J_Bip_R_Little3,J_Bip_L_Thumb1,rightMiddleProximal,leftRingDistal",
        LEGS: "J_Bip_L_UpperLeg,J_Bip_R_LowerLeg,J_Bip_L_Foot,J_Bip_L_ToeBase,leftLowerLeg,rightToes",
        OTHER: "J_Sec_L_Bust1,J_Sec_CoatSkirtFront_01",
    },
    "MMD": {
        ROOT: "センター,全ての親,グルーブ,下半身,腰,center,groove,lower body,mother",
        SPINE: "上半身,上半身2,upper body,upper body2",
        HEAD: "首,頭,両目,左目,目.R,髪1,eye_L",
        ARMS: "左肩,左腕,右ひじ,左腕捩,右手捩,腕.L,肩P.R,shoulder_L,arm_L,elbow_R",
        HANDS: "左手首,右親指1,左人指2,中指1.L,小指3.R,wrist_L,thumb0_L,fore1_L,middle2_R,third1_L,little3_R",
        LEGS: "左足,右ひざ,左足首,右つま先,左足ＩＫ,つま先ＩＫ.R,足.L,ひざD.L,leg_L,knee_R,ankle_L,toe_R,leg IK_L",
    },
    "Daz and Poser": {
        ROOT: "hip,pelvis",
        SPINE: "abdomen,abdomenLower,chest,chestUpper,abdomen2",
        HEAD: "neck,neckLower,head,lEye,upperTeeth,lowerJaw,tongue01,lEar,rBrowInner,CenterBrow",
        ARMS: "lCollar,lShldr,rShldrBend,lShldrTwist,lForeArm,rForearmBend,lForearmTwist,l_upperarm,r_forearm",
        HANDS: "lHand,rThumb1,lIndex2,rMid3,lRing1,lPinky1,lCarpal1,l_indexmetacarpal,r_hand",
        LEGS: "lThigh,rThighBend,lThighTwist,lShin,rFoot,lToe,rBigToe,lSmallToe1,lButtock,rMetatarsals,lHeel",
    },
    "MakeHuman": {
        ROOT: "root",
        SPINE: "spine05,spine01,breast.L",
        HEAD: "neck01,head,jaw,eye.L,tongue00",
        ARMS: "clavicle.L,shoulder01.R,upperarm01.L,lowerarm02.R",
        HANDS: "wrist.L,metacarpal1.L,finger1-1.L,finger5-3.R",
        LEGS: "pelvis.L.thigh,upperleg01.L,lowerleg02.R,foot.L,toe1-1.L",
    },
    "Auto-Rig Pro": {
        ROOT: "root.x,c_root_master.x,c_traj,c_root.x,root_ref.x",
        SPINE: "spine_01.x,c_spine_02.x,spine_03_ref.x",
        HEAD: "neck.x,c_neck.x,head.x,c_jawbone.x,c_eye.l,c_lips_smile.r,c_eyebrow_full.l",
        ARMS: "shoulder.l,c_shoulder.r,arm_stretch.l,forearm_stretch.r,forearm_twist.l,c_arm_fk.l,c_arms_pole.r,"
        "arm_twist.l",
        HANDS: "hand.l,c_hand_ik.l,c_hand_fk.r,c_index1.l,c_thumb1.r,index1_base.l,c_pinky3.r,middle1.l",
        LEGS: "c_thigh_fk.l,thigh_stretch.l,leg_stretch.r,c_leg_fk.l,foot.l,c_foot_ik.r,toes_01.l,c_toes_fk.r,"
        "c_leg_pole.l,thigh_twist.l,leg_twist.r",
    },
    "Biped": {
        ROOT: "Bip01,Bip001 Pelvis,Bip01",
        SPINE: "Bip01 Spine,Bip001 Spine2",
        HEAD: "Bip01 Neck,Bip01 Head,Bip01 Ponytail1",
        ARMS: "Bip01 L Clavicle,Bip01 R UpperArm,Bip001 L Forearm,Bip01_L_ForeTwist",
        HANDS: "Bip01 L Hand,Bip01 L Finger0,Bip001 R Finger41",
        LEGS: "Bip01 L Thigh,Bip001 R Calf,Bip01 L Foot,Bip01 R Toe0,Bip01_L_Thigh",
        OTHER: "Bip01 Footsteps",
    },
    "Character Creator": {
        ROOT: "RL_BoneRoot,CC_Base_Hip,CC_Base_Pelvis,CC_Base_BoneRoot",
        SPINE: "CC_Base_Waist,CC_Base_Spine01,CC_Base_Spine02,CC_Base_L_RibsTwist,CC_Base_R_Breast",
        HEAD: "CC_Base_NeckTwist01,CC_Base_Head,CC_Base_FacialBone,CC_Base_JawRoot,CC_Base_L_Eye,CC_Base_Teeth01,"
        "CC_Base_Tongue02",
        ARMS: "CC_Base_L_Clavicle,CC_Base_R_Upperarm,CC_Base_L_UpperarmTwist01,CC_Base_R_Forearm,"
        "CC_Base_L_ForearmTwist02,CC_Base_L_ElbowShareBone",
        HANDS: "CC_Base_L_Hand,CC_Base_L_Index1,CC_Base_R_Mid2,CC_Base_L_Pinky3,CC_Base_R_Thumb1,CC_Base_L_Ring1",
        LEGS: "CC_Base_L_Thigh,CC_Base_R_Calf,CC_Base_L_ThighTwist01,CC_Base_L_Foot,CC_Base_R_ToeBase,"
        "CC_Base_L_KneeShareBone,CC_Base_L_BigToe1,CC_Base_R_ToeBaseShareBone",
    },
    "ARKit": {
        HEAD: "jawOpen,browInnerUp,eyeBlinkLeft,eyeLookOutRight,mouthSmileLeft,cheekPuff,noseSneerRight,tongueOut,"
        "mouthRollLower,mouthPucker,jawLeft,headYaw",
    },
    "none of the body": {OTHER: "prop,Cube,weapon_r,camera_bone,tail.001,cape_01"},
}
RIGS = {rig: {part: names.split(",") for part, names in table.items()} for rig, table in _TABLE.items()}


@pytest.mark.parametrize("rig", RIGS)
def test_names_of_common_rigs_tell_their_part(rig: str) -> None:
    expected = {name: part for part, names in RIGS[rig].items() for name in names}
    assert {name: part_of([name])[name] for name in expected} == expected
    assert set(expected.values()) <= set(PARTS)


def tree(text: str) -> tuple[list[str], list[int]]:
    """Return names and parents of bones written one a line, indented by their depth, or after > on one line."""
    names: list[str] = []
    parents: list[int] = []
    line: list[tuple[int, int]] = []
    for row in text.strip("\n").splitlines():
        depth = len(row) - len(row.lstrip())
        line = [one for one in line if one[0] < depth]
        for k, name in enumerate(row.strip().split(" > ")):
            parents.append(line[-1][1] if line else -1)
            line.append((depth + k, len(names)))
            names.append(name)
    return names, parents


def test_bones_of_unknown_name_go_with_what_they_hang_on() -> None:
    names, parents = tree(
        """
Armature > Hips
   Tassel
   Spine
      Strap
      Head
         Feather > Plume
         Root_of_hat
      LeftHand
         Bracelet
         prop > weapon_grip
      LeftArm
         bulge
   LeftLeg
      patch
Lamp
"""
    )
    parts = part_of(names, parents)
    assert parts["Armature"] == parts["Hips"] == "ROOT"
    assert parts["Feather"] == parts["Plume"] == parts["Root_of_hat"] == "HEAD"
    assert parts["Bracelet"] == parts["prop"] == parts["weapon_grip"] == "HANDS"
    assert parts["bulge"] == "ARMS"
    assert parts["patch"] == "LEGS"
    assert parts["Tassel"] == parts["Strap"] == parts["Lamp"] == "OTHER"
    assert parts["Spine"] == "SPINE"


def test_without_hips_the_bone_that_all_hangs_on_is_the_root() -> None:
    assert part_of(["Spine", "Neck", "LeftArm"], [-1, 0, 0]) == {"Spine": "ROOT", "Neck": "HEAD", "LeftArm": "ARMS"}
    assert part_of(["a", "b", "c"], [-1, 0, -1]) == {"a": "ROOT", "b": "OTHER", "c": "ROOT"}
    assert part_of([], []) == {}


def test_the_spine_of_rigify_is_hips_spine_and_neck() -> None:
    names = ["spine", "spine.001", "spine.002", "spine.003", "spine.004", "spine.005", "spine.006", "pelvis.L"]
    expected = ["ROOT", "SPINE", "SPINE", "SPINE", "HEAD", "HEAD", "HEAD", "ROOT"]
    for prefix in ("", "DEF-", "ORG-"):
        bones = [prefix + name for name in names]
        parts = part_of(["torso", *bones], [-1, 0, 1, 2, 3, 4, 5, 6, 1])
        assert [parts[bone] for bone in bones] == expected
        assert parts["torso"] == "ROOT"
    # Elsewhere a spine is one.
    assert part_of(["hips", "spine", "spine.001"], [-1, 0, 1])["spine"] == "SPINE"


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("mixamorig:LeftArm", "left"), ("upper_arm.R", "right"), ("thigh_l", "left"), ("lShldr", "left"),
        ("Bip01 R Thigh", "right"), ("CC_Base_L_Hand", "left"), ("左腕", "left"), ("右足ＩＫ", "right"),
        ("腕.L", "left"),        ("J_Bip_R_UpperLeg", "right"), ("lhumerus", "left"), ("hand_ik.L", "left"),
        ("f_index.01.R", "right"),
        ("c_thigh_fk.l", "left"), ("left_index1", "left"), ("eyeBlinkLeft", "left"), ("Hips", ""), ("spine.003", ""),
        ("root.x", ""), ("頭", ""), ("Ring", ""), ("", ""),
    ],
)  # fmt: skip
def test_sides(name: str, side: str) -> None:
    assert side_of(name) == side


def leg(*bones: str) -> tuple[list[str], list[int]]:
    """Return names and parents of a pelvis and one chain."""
    return ["pelvis", *bones], list(range(-1, len(bones)))


@pytest.mark.parametrize(
    "bones",
    [
        ("mixamorig:LeftUpLeg", "mixamorig:LeftLeg", "mixamorig:LeftFoot", "mixamorig:LeftToeBase"),
        ("thigh.L", "shin.L", "foot.L", "toe.L"),
        ("thigh_l", "calf_l", "foot_l", "ball_l"),
        ("DEF-thigh.L", "DEF-shin.L", "DEF-foot.L", "DEF-toe.L"),
        ("J_Bip_L_UpperLeg", "J_Bip_L_LowerLeg", "J_Bip_L_Foot", "J_Bip_L_ToeBase"),
        ("leftUpperLeg", "leftLowerLeg", "leftFoot", "leftToes"),
        ("左足", "左ひざ", "左足首", "左つま先"),
        ("足.L", "ひざ.L", "足首.L", "つま先.L"),
        ("leg_L", "knee_L", "ankle_L", "toe_L"),
        ("lfemur", "ltibia", "lfoot", "ltoes"),
        ("left_hip", "left_knee", "left_ankle", "left_foot"),
        ("m_avg_L_Hip", "m_avg_L_Knee", "m_avg_L_Ankle", "m_avg_L_Foot"),
        ("Bip01 L Thigh", "Bip01 L Calf", "Bip01 L Foot", "Bip01 L Toe0"),
        ("CC_Base_L_Thigh", "CC_Base_L_Calf", "CC_Base_L_Foot", "CC_Base_L_ToeBase"),
        ("c_thigh_fk.l", "c_leg_fk.l", "c_foot_fk.l", "c_toes_fk.l"),
        ("thigh_fk.L", "shin_fk.L", "foot_fk.L", "toe_fk.L"),
        ("thigh_stretch.l", "leg_stretch.l", "foot.l", "toes_01.l"),
        ("upperleg01.L", "lowerleg01.L", "foot.L", "toe1-1.L"),
        ("LeftThigh", "LeftShin", "LeftFoot", "LeftToe"),
        ("lThighBend", "lShin", "lFoot", "lToe"),
    ],
)
def test_legs_of_common_rigs(bones: tuple[str, ...]) -> None:
    (found,) = leg_joints(*leg(*bones))
    assert (found.side, found.hip, found.knee, found.ankle, found.front) == ("left", 1, 2, 3, 4)


def test_of_several_chains_the_first_that_may_be_used_is_the_leg() -> None:
    plain, deform, fk = (
        [form.format(name) for name in ("thigh", "shin", "foot")] for form in ("{}.L", "DEF-{}.L", "{}_fk.L")
    )
    names = ["root", *fk, *deform, *plain]
    parents = [-1, 0, 1, 2, 0, 4, 5, 0, 7, 8]
    assert leg_joints(names, parents)[0].hip == 7
    assert leg_joints(names, parents, [name in fk for name in names])[0].hip == 1
    assert leg_joints(names, parents, [name in deform for name in names])[0].hip == 4
    loose = [-1, 0, 1, 2, 0, 4, 5, 0, 0, 0]
    assert leg_joints(names, loose)[0].hip == 4


def test_no_leg_is_named_as_such() -> None:
    with pytest.raises(
        ValueError,
        match=r"^bones of the legs: expected thigh, shin and foot of a side, each below the one before, with names "
        r"such as LeftUpLeg, thigh\.L or calf_l, received a, b$",
    ):
        leg_joints(["a", "b"], [-1, 0])
    names, parents = leg("thigh.L", "shin.L", "foot.L")
    with pytest.raises(ValueError, match=r"calf_l, and with keys, received pelvis, thigh\.L, shin\.L, foot\.L$"):
        leg_joints(names, parents, [True, True, False, True])
