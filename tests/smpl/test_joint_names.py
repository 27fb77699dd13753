"""Joints by name, and one joint set taken from another."""

from __future__ import annotations

import numpy as np
import pytest

from smoothnet_core.joint_sets import JOINT_SETS
from smpl_tools.formats._openpose_joints import BODY_25
from smpl_tools.joint_names import is_numbered, normal_name, normal_names, picked
from smpl_tools.motion import Track


def track(names, confidence=None):
    values = np.arange(len(names) * 6, dtype=float).reshape(2, len(names), 3)
    return Track(values, "position", "body", tuple(names), confidence)


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("LWrist", "left_wrist"),
        ("l_wrist", "left_wrist"),
        ("LeftWrist", "left_wrist"),
        ("left wrist", "left_wrist"),
        ("R_Hip", "right_hip"),
        ("MidHip", "pelvis"),
        ("Hips", "pelvis"),
        ("root", "pelvis"),
        ("spine1", "spine_1"),
        ("LBigToe", "left_big_toe"),
        ("nose", "nose"),
    ],
)
def test_normal_names(name, normal):
    assert normal_name(name) == normal


LIMBS = ("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot")


@pytest.mark.parametrize(
    "rig",
    [
        "{Side}Shoulder {Side}Arm {Side}ForeArm {Side}Hand {Side}UpLeg {Side}Leg {Side}Foot {Side}ToeBase",
        "m:{Side}Shoulder m:{Side}Arm m:{Side}ForeArm m:{Side}Hand m:{Side}UpLeg m:{Side}Leg m:{Side}Foot m:{Side}Toe",
        "{Side}Shoulder {Side}UpperArm {Side}ForeArm {Side}Hand {Side}UpperLeg {Side}LowerLeg {Side}Foot {Side}Toe",
        "Shoulder_{S} UpperArm_{S} LowerArm_{S} Hand_{S} UpperLeg_{S} LowerLeg_{S} Foot_{S} Toes_{S}",
        "shoulder.{S} upper_arm.{S} forearm.{S} hand.{S} thigh.{S} shin.{S} foot.{S} toe.{S}",
        "clavicle_{s} upperarm_{s} lowerarm_{s} hand_{s} thigh_{s} calf_{s} foot_{s} ball_{s}",
    ],
)
def test_a_rig_names_joints_by_the_segments_they_turn(rig):
    left, right = (rig.format(Side=side, S=side[0], s=side[0].lower()).split() for side in ("Left", "Right"))
    names = normal_names(["Hips", *left, *right])
    assert names == ["pelvis", *(f"{side}_{limb}" for side in ("left", "right") for limb in LIMBS)]
    # Estimators' joints keep theirs: a shoulder is one, and a foot a foot.
    assert normal_names(["LShoulder", "LElbow", "left_foot", "left_hand"]) == [
        "left_shoulder",
        "left_elbow",
        "left_foot",
        "left_hand",
    ]


def test_every_joint_set_keeps_its_names():
    for joints in (*JOINT_SETS.values(), BODY_25):
        names = list(getattr(joints, "joints", joints))
        assert normal_names(names) == [normal_name(name) for name in names]


def test_a_rigs_upper_arm_is_the_shoulder_of_landmarks():
    one = track(["LeftShoulder", "LeftArm", "LeftForeArm", "LeftHand", "LeftFoot"])
    found = picked(
        one, ["left_shoulder", "left_wrist", "left_ankle", "left_foot_index"], what="landmarks", optional=True
    )
    assert np.array_equal(found.values[:, :3], one.values[:, [1, 3, 4]])
    assert np.isnan(found.values[:, 3]).all()


def test_a_rigs_three_vertebrae_are_smpls():
    arm = ["LeftArm", "LeftForeArm"]
    assert normal_names([*arm, "Spine", "Spine1", "Spine2"])[2:] == ["spine_1", "spine_2", "spine_3"]
    assert normal_names([*arm, "Spine", "Spine1"])[2:] == ["spine", "spine_1"]


def test_picked_by_name_in_order():
    one = track(["Nose", "LHip", "RHip", "LWrist"])
    found = picked(one, ("left_wrist", "nose"), what="two joints")
    assert np.array_equal(found.values, one.values[:, [3, 0]])
    assert found.joints == ("left_wrist", "nose")
    assert found.confidence is None
    same = picked(one, one.joints, what="its own")
    assert same is one


def test_a_middle_stands_in_and_never_replaces_a_joint():
    trust = np.array([[1, 0.2, 0.7, 0.4]] * 2)
    one = track(["neck", "left_hip", "right_hip", "left_shoulder"], trust)
    found = picked(one, ("pelvis", "neck"), what="x")
    assert np.array_equal(found.values[:, 0], one.values[:, 1:3].mean(axis=1))
    assert np.array_equal(found.values[:, 1], one.values[:, 0])
    assert found.confidence.tolist() == [[0.2, 1.0]] * 2


def test_joints_without_names_are_taken_in_order():
    wanted = JOINT_SETS["h36m_17"].joints
    one = track([f"joint_{k}" for k in range(17)])
    assert is_numbered(one.joints)
    assert picked(one, wanted, what="x").values is one.values
    assert not is_numbered(BODY_25)


def test_what_lacks_is_named_or_left_open():
    one = track(["left_wrist", "nose"])
    with pytest.raises(ValueError, match="joints for the set: expected left_hip, right_hip, received left_wrist, nose"):
        picked(one, ("nose", "left_hip", "right_hip"), what="the set")
    found = picked(one, ("nose", "left_hip"), what="the set", optional=True)
    assert np.isnan(found.values[:, 1]).all()
    assert found.confidence.tolist() == [[1, 0], [1, 0]]
    with pytest.raises(ValueError, match="joints for the set: expected left_hip, received left_wrist, nose"):
        picked(one, ("left_hip",), what="the set", optional=True)
