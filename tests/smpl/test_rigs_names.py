from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smpl_tools.formats import read
from smpl_tools.motion import Skeleton
from smpl_tools.rigs.names import Part, part_of
from smpl_tools.rigs.rig_map import map_rig
from smpl_tools.skeleton import SMPL
from tests.helpers import REPOSITORY, shared
from tests.smpl.rig_data import RIGS, rig

SPINE = ("spine1", "spine2", "spine3")


def chains_of(mapping):
    return {n: [mapping.joints[k] for k in c] for n, c in zip(SMPL.joints, mapping.chains, strict=True) if c}


@pytest.mark.parametrize("name", RIGS)
def test_common_rigs_by_name(name):
    skeleton, expected = rig(RIGS[name])
    mapping = map_rig(skeleton)
    found = chains_of(mapping)
    assert {k: v for k, v in found.items() if k not in SPINE} == expected
    assert mapping.places[0] == skeleton.joints.index(RIGS[name].pelvis)
    for joint, place in zip(SMPL.joints, mapping.places, strict=True):
        assert (place >= 0) == (joint in found)
        assert place < 0 or place in mapping.chains[SMPL.joints.index(joint)]
    # Every joint of the rig's spine is in one chain, in order, and spread as widely as there are joints.
    assert [k for n in SPINE for k in found.get(n, [])] == list(RIGS[name].spine)
    assert sum(n in found for n in SPINE) == min(3, len(RIGS[name].spine))
    taken = {k for c in found.values() for k in c}
    assert mapping.unmapped == tuple(n for n in skeleton.joints if n not in taken)
    assert mapping.missing == tuple(n for n in SMPL.joints if n not in found)
    assert not mapping.notes


@pytest.mark.parametrize("count", range(7))
def test_spines_go_by_place(count):
    names = tuple(f"Spine{k}" for k in range(count))
    skeleton, _ = rig(dataclasses.replace(RIGS["rokoko"], spine=names))
    found = chains_of(map_rig(skeleton))
    expected = {
        0: {},
        1: {"spine2": [0]},
        2: {"spine1": [0], "spine3": [1]},
        3: {"spine1": [0], "spine2": [1], "spine3": [2]},
        4: {"spine1": [0], "spine2": [1], "spine3": [2, 3]},
        5: {"spine1": [0, 1], "spine2": [2], "spine3": [3, 4]},
        6: {"spine1": [0, 1], "spine2": [2], "spine3": [3, 4, 5]},
    }[count]
    assert {n: found[n] for n in SPINE if n in found} == {n: [names[k] for k in v] for n, v in expected.items()}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("LeftLeg", Part("leg", "left")),
        ("Bip01", Part("root")),
        ("Bip001 R Toe0", Part("toe", "right")),
        ("ValveBiped.Bip01_L_UpperArm", Part("upper_arm", "left")),
        ("CC_Base_R_Thigh", Part("thigh", "right")),
        ("mixamorig1:RightFoot", Part("foot", "right")),
        ("thigh_stretch.l", Part("thigh", "left")),
        ("root.x", Part("root")),
        ("spine_01.x", Part("spine")),
        ("T12", Part("spine")),
        ("lowerback", Part("spine")),
        ("pelvis.L", Part("hip_base", "left")),
        ("upperarm_twist_01_l", Part("twist", "left")),
        ("HeadTop_End", Part("other")),
        ("ik_foot_l", Part("other")),
        ("LeftInHandIndex", Part("finger")),
        ("LeftEye", Part("")),
        ("", Part("")),
        ("ball_r", Part("toe", "right")),
        ("skull", Part("head")),
        ("Rig|Hips", Part("pelvis")),
    ],
)
def test_parts(name, part):
    assert part_of(name) == part


def test_lines_say_how_a_joint_was_found():
    lines = map_rig(rig(RIGS["cmu"])[0]).lines()
    assert len(lines) == 24
    assert lines[:2] == ["pelvis: Hips (name)", "left_hip: LHipJoint > LeftUpLeg (name)"]
    assert "neck: Neck > Neck1 (name)" in lines
    assert "spine2: Spine (spine)" in lines
    assert lines[-1] == "right_hand: none"


def unnamed(skeleton, turn=None):
    offsets = skeleton.offsets if turn is None else skeleton.offsets @ turn.T
    return Skeleton(tuple(f"node{k}" for k in range(len(skeleton.joints))), skeleton.parents, offsets)


TURNS = {
    "as SMPL": np.eye(3),
    "Z up": Rotation.from_euler("x", 90, degrees=True).as_matrix(),
    "facing X": Rotation.from_euler("y", 90, degrees=True).as_matrix(),
    "anyhow": Rotation.from_rotvec([0.4, -1.3, 2.0]).as_matrix(),
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("name", ["smpl", "cmu", "mixamo", "unreal", "makehuman", "rokoko"])
def test_without_names_the_structure_says_it(name, turn):
    skeleton, expected = rig(RIGS[name])
    mapping = map_rig(unnamed(skeleton, turn=TURNS[turn]))
    for joint, place in zip(SMPL.joints, mapping.places, strict=True):
        if joint.startswith(("left", "right")) and not joint.endswith("hand"):
            assert place in [skeleton.joints.index(n) for n in expected[joint]]
    assert mapping.places[0] == skeleton.joints.index(RIGS[name].pelvis)
    assert "name" not in mapping.found
    assert not mapping.notes


def test_without_feet_the_axes_tell_the_sides_and_a_note_says_so():
    skeleton, _ = rig(RIGS["thirteen joints"])
    mapping = map_rig(unnamed(skeleton))
    assert mapping.places[1] == skeleton.joints.index("left_hip")
    assert mapping.notes == ("left and right are told by the axes alone",)


def test_names_that_are_partly_unknown_are_filled_in():
    skeleton, _ = rig(RIGS["mixamo"])
    strange = tuple("Knie" + n[14:] if n.endswith(("LeftLeg", "RightLeg")) else n for n in skeleton.joints)
    mapping = map_rig(Skeleton(strange, skeleton.parents, skeleton.offsets))
    assert [mapping.found[SMPL.joints.index(n)] for n in ("left_hip", "left_knee", "left_ankle")] == [
        "name",
        "structure",
        "name",
    ]
    assert mapping.chains == map_rig(skeleton).chains


def test_a_joint_that_hangs_elsewhere_is_left_out():
    skeleton, _ = rig(RIGS["mixamo"])
    foot, hips = (skeleton.joints.index("mixamorig:" + n) for n in ("LeftToeBase", "Hips"))
    parents = skeleton.parents.copy()
    parents[foot] = hips
    mapping = map_rig(Skeleton(skeleton.joints, parents, skeleton.offsets))
    assert mapping.places[SMPL.joints.index("left_foot")] == -1
    assert mapping.notes == ("mixamorig:LeftToeBase does not hang from mixamorig:LeftFoot and is left out",)


@pytest.mark.parametrize(
    ("skeleton", "message"),
    [
        (
            Skeleton(("a", "b", "c"), np.array([-1, 0, 1]), np.ones((3, 3))),
            "joints of the rig: expected a body with two legs and a trunk, received a, b, c",
        ),
        (
            Skeleton(("Hips", "LeftUpLeg", "LeftLeg", "Spine"), np.array([-1, 0, 1, 0]), np.ones((4, 3))),
            "joints of the rig: expected a body with two legs and a trunk, received Hips, LeftUpLeg, LeftLeg, Spine",
        ),
        (
            Skeleton(("b", "a"), np.array([1, -1]), np.ones((2, 3))),
            "parents of the rig: expected each before its children, received [1, -1]",
        ),
        (
            Skeleton((), np.array([], np.int64), np.ones((0, 3))),
            "joints of the rig: expected a body with two legs and a trunk, received none",
        ),
        (
            Skeleton(tuple("abcdefghijklmn"), np.arange(14) - 1, np.ones((14, 3))),
            "joints of the rig: expected a body with two legs and a trunk, "
            "received a, b, c, d, e, f, g, h, i, j, k, l, ...",
        ),
    ],
)
def test_refusals(skeleton, message):
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        map_rig(skeleton)


def test_the_shipped_take():
    mapping = map_rig(read(REPOSITORY / "assets/takes/reactidle_000.bvh").skeleton)
    found = chains_of(mapping)
    assert found["head"] == ["face"]
    assert found["left_hip"] == ["thigh.L"]
    assert (found["spine1"], found["spine2"]) == (["spine"], ["spine.001"])
    assert mapping.unmapped == ("pelvis.L", "pelvis.R")
    assert mapping.missing == ("spine3", *(f"{s}_{n}" for n in ("foot", "wrist", "hand") for s in ("left", "right")))


def test_all_skeletons_of_the_cmu_clips():
    with np.load(shared("data", "cmu", "cmu_train.npz")) as data:
        kinds = {c["skeleton"] for c in json.loads(str(data["index"]))}
        arrays = [[data[f"skel/{k}/{n}"] for n in ("names", "parents", "offsets")] for k in sorted(kinds)]
    rigs = [Skeleton(tuple(names.tolist()), parents.astype(int), offsets) for names, parents, offsets in arrays]
    assert len(rigs) == 14
    for skeleton in rigs:
        mapping = map_rig(skeleton)
        limbs = {n for n, how in zip(SMPL.joints, mapping.found, strict=True) if how == "name"}
        assert {f"{s}_{n}" for s in ("left", "right") for n in ("hip", "knee", "ankle", "shoulder", "elbow")} <= limbs
        assert not mapping.notes
