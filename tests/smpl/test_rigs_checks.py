from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smpl_tools.motion import Person, Skeleton, Track
from smpl_tools.rigs.hinges import Poses, by_hinges
from smpl_tools.rigs.rest import align
from smpl_tools.rigs.retarget import rig_pose, rig_to_smpl, smpl_to_rig
from smpl_tools.rigs.rig_map import map_rig
from smpl_tools.rigs.smpl_bvh import smpl_bvh_skeleton
from smpl_tools.skeleton import SMPL, positions
from tests.smpl.rig_data import RIGS, motion, rig, with_axes, world


def test_smpl_as_bvh():
    made = smpl_bvh_skeleton()
    joints = made.skeleton.joints
    assert joints[:6] == ("pelvis", "left_hip", "left_knee", "left_ankle", "left_foot", "right_hip")
    assert [SMPL.joints[j] for j in made.order] == list(joints)
    for k, parent in enumerate(made.skeleton.parents):
        # The text of a BVH closes a branch before it opens the next.
        assert parent < k
        assert k == 0 or parent == k - 1 or set(np.flatnonzero(made.skeleton.parents >= parent)) >= {k}
    leaves = {joints[k] for k in range(24) if k not in made.skeleton.parents}
    assert set(made.end_sites) == leaves
    assert made.end_sites["head"][1] > 0.1
    assert made.end_sites["left_foot"][2] > 0.05
    turns, root = motion(SMPL, frames=4)
    vectors = Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_rotvec().reshape(4, 24, 3)
    offsets = SMPL.offsets * 1.1
    take = smpl_to_rig(vectors[:, :1], vectors[:, 1:], root, offsets=offsets)
    assert take.skeleton.joints == joints
    np.testing.assert_allclose(take.rotations, turns[:, made.order], atol=1e-9)
    np.testing.assert_allclose(take.root_positions, root, atol=1e-12)
    np.testing.assert_allclose(
        positions(take.rotations, root, take.skeleton),
        positions(turns, root, Skeleton(SMPL.joints, SMPL.parents, offsets))[:, made.order],
        atol=1e-9,
    )
    with pytest.raises(ValueError, match=r"^shape of offsets: expected \(24, 3\), received \(23, 3\)$"):
        smpl_bvh_skeleton(np.zeros((23, 3)))


def test_the_report_states_what_is_different():
    skeleton, _ = rig(RIGS["mixamo"])
    offsets = skeleton.offsets.copy()
    # Elbows 5 cm farther out, and a neck that leans 30 degrees more: both are of the rig alone.
    arm, head = (skeleton.joints.index("mixamorig:" + n) for n in ("LeftForeArm", "Head"))
    offsets[arm] *= 1 + 0.05 / np.linalg.norm(offsets[arm])
    lean = Rotation.from_euler("x", 30, degrees=True).as_matrix()
    offsets[head] = lean @ offsets[head]
    turns, root = motion(skeleton, frames=6)
    report = rig_to_smpl(Skeleton(skeleton.joints, skeleton.parents, offsets), turns, root).report
    degrees = dict(zip(report.bones, report.bone_mean_degrees, strict=True))
    assert degrees.pop("neck-head") == pytest.approx(30)
    assert max(v for k, v in degrees.items() if "spine" not in k and "pelvis" not in k) < 1e-4
    off = dict(zip(report.joints, report.joint_mean_mm, strict=True))
    placed = dict(zip(report.joints, report.placed_mean_mm, strict=True))
    assert off["head"] - off["neck"] <= 1000 * 2 * np.sin(np.deg2rad(15)) * np.linalg.norm(SMPL.offsets[15]) + 1e-6
    assert off["left_elbow"] == pytest.approx(off["left_shoulder"], abs=1e-6)
    assert placed["left_elbow"] > off["left_elbow"]
    lines = report.lines()
    assert re.fullmatch(
        r"directions of bones differ by \d+\.\d degrees on average, 30\.0 at most \(neck-head\)", lines[0]
    )
    assert lines[2] == "one unit of the rig is 1 m of the SMPL body"
    assert lines[3] == "the rig has no: left_hand, right_hand"
    assert lines[4].startswith("SMPL has no joint for: mixamorig:LeftHandThumb1, ")


def test_what_is_not_observed_is_nan_and_nothing_else():
    skeleton, _ = rig(RIGS["mixamo"])
    turns, root = motion(skeleton, frames=4)
    turns[2, skeleton.joints.index("mixamorig:LeftLeg")] = np.nan
    take = rig_to_smpl(skeleton, turns, root)
    lost = np.isnan(np.concatenate([take.global_orient, take.body_pose], axis=1)).any(axis=2)
    assert {SMPL.joints[j] for j in np.flatnonzero(lost[2])} == {"left_knee", "left_ankle", "left_foot"}
    assert not lost[[0, 1, 3]].any()
    assert np.isfinite(take.report.bone_mean_degrees).all()
    empty = rig_to_smpl(skeleton, turns[:0], root[:0])
    assert empty.body_pose.shape == (0, 23, 3)
    assert np.isnan(empty.report.bone_mean_degrees).all()


def refuse(message, function, *arguments, **options):
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        function(*arguments, **options)


def test_refusals():
    skeleton, _ = rig(RIGS["mixamo"])
    count = len(skeleton.joints)
    turns, root = motion(skeleton)
    refuse(
        f"shape of rotations: expected (T, {count}, 3, 3), received (5, 3, 3)", rig_to_smpl, skeleton, turns[:, 0], root
    )
    refuse("shape of root_positions: expected (5, 3), received (4, 3)", rig_to_smpl, skeleton, turns, root[:4])
    refuse("shape of offsets: expected (24, 3), received (22, 3)", align, skeleton, offsets=np.zeros((22, 3)))
    refuse("scale: expected 'legs' or a positive number, received 'feet'", align, skeleton, scale="feet")
    refuse("scale: expected 'legs' or a positive number, received -1", align, skeleton, scale=-1)
    refuse(f"joints of rig_map: expected {count}, received 24", align, skeleton, rig_map=map_rig(SMPL))
    refuse(
        f"shape of reference: expected ({count}, 3, 3), received (24, 3, 3)", align, skeleton, reference=turns[0, :24]
    )
    broken = Skeleton(
        skeleton.joints, skeleton.parents, np.where(np.arange(count)[:, None] == 3, np.nan, skeleton.offsets)
    )
    refuse(
        f"offset of the joint {skeleton.joints[3]}: expected three finite numbers, received [nan, nan, nan]",
        align,
        broken,
    )
    other, _ = rig(RIGS["smpl"])
    take = rig_to_smpl(other, *motion(other))
    refuse(
        f"joints of the alignment's rig: expected {', '.join(skeleton.joints)}, received {', '.join(other.joints)}",
        rig_to_smpl,
        skeleton,
        turns,
        root,
        alignment=take.alignment,
    )
    pose = (take.global_orient, take.body_pose, take.transl)
    refuse("shape of global_orient: expected (5, 1, 3), received (5, 3)", smpl_to_rig, pose[0][:, 0], *pose[1:])
    refuse(
        "shape of body_pose: expected (5, 23, 3), received (5, 21, 3)", smpl_to_rig, pose[0], pose[1][:, :21], pose[2]
    )
    refuse("shape of transl: expected (5, 3), received (4, 3)", smpl_to_rig, *pose[:2], pose[2][:4])
    refuse(
        f"shape of rotations: expected (5, {len(other.joints)}, 3, 3), received (4, {len(other.joints)}, 3, 3)",
        smpl_to_rig,
        *pose,
        alignment=take.alignment,
        rotations=motion(other)[0][:4],
    )


def test_a_pose_that_does_not_stand_is_refused():
    skeleton, _ = rig(RIGS["mixamo"])
    axes = Rotation.random(len(skeleton.joints), random_state=1).as_matrix()
    other, standing, _ = with_axes(skeleton, axes)
    stands = "expected one that stands upright (trunk and legs in line)"
    either = stands + ", or frames or a reference that do, received "
    refuse(f"rest pose of the rig: {either}a rest pose that does not stand", align, other)
    sitting = np.tile(standing, (3, 1, 1, 1))
    for k in range(3):
        for side in ("Left", "Right"):
            j = skeleton.joints.index(f"mixamorig:{side}UpLeg")
            lift = axes[skeleton.parents[j]].T @ Rotation.from_euler("x", -95, degrees=True).as_matrix() @ axes[0]
            sitting[k, j] = lift @ axes[0].T @ axes[j]
    refuse(f"rest pose of the rig: {either}no standing pose at rest nor in 3 frames", align, other, sitting)
    refuse(f"reference pose of the rig: {stands}, received one that does not stand", align, other, reference=sitting[0])


def test_one_person_of_several():
    skeleton, _ = rig(RIGS["cmu"])
    count = len(skeleton.joints)
    both = Skeleton(
        ("box", *skeleton.joints),
        np.concatenate([[-1], np.where(skeleton.parents < 0, -1, skeleton.parents + 1)]),
        np.concatenate([np.ones((1, 3)), skeleton.offsets]),
    )
    turns, root = motion(skeleton)
    tracks = {
        "global_orient": Track(turns[:, :1], "rotation_matrix", "root", skeleton.joints[:1]),
        "transl": Track(root[:, None], "position", "root", skeleton.joints[:1]),
        "body_pose": Track(turns[:, 1:], "rotation_matrix", "body", skeleton.joints[1:]),
    }
    alone, rotations, places, offsets = rig_pose(Person("0", tracks, np.arange(5)), both)
    assert alone.joints == skeleton.joints
    np.testing.assert_array_equal(alone.parents, skeleton.parents)
    np.testing.assert_array_equal(rotations, turns)
    np.testing.assert_array_equal(places, root)
    assert offsets.shape == (5, count, 3)
    tracks["box"] = Track(turns[:, :1], "rotation_matrix", "body", ("box",))
    refuse("roots of person 0: expected one, received box, Hips", rig_pose, Person("0", tracks, np.arange(5)), both)


def rest_of(skeleton):
    take = rig_to_smpl(skeleton, np.tile(np.eye(3), (1, len(skeleton.joints), 1, 1)), np.zeros((1, 3)))
    pose = np.concatenate([take.global_orient, take.body_pose], axis=1)[0]
    return dict(zip(SMPL.joints, world(Rotation.from_rotvec(pose).as_matrix()[None], SMPL.parents)[0], strict=True))


def test_soles_stay_square_to_the_leg_and_turn_to_the_rigs_heading():
    skeleton, _ = rig(RIGS["mixamo"])
    offsets = skeleton.offsets.copy()
    # Feet on high ankles that point 20 degrees inwards.
    for side, sign in (("Left", -1), ("Right", 1)):
        toe = skeleton.joints.index(f"mixamorig:{side}ToeBase")
        offsets[toe] = Rotation.from_euler("y", sign * 20, degrees=True).apply([0, -0.12, 0.11])
    turned = rest_of(Skeleton(skeleton.joints, skeleton.parents, offsets))
    for side, sign in (("left", -1), ("right", 1)):
        ankle = turned[f"{side}_ankle"]
        np.testing.assert_allclose(ankle[:, 1], [0, 1, 0], atol=0.01)
        foot = ankle @ SMPL.offsets[SMPL.joints.index(f"{side}_foot")]
        assert np.rad2deg(np.arctan2(foot[0], foot[2])) == pytest.approx(sign * 20, abs=0.5)


def test_hips_that_are_a_little_uneven_do_not_turn_the_body():
    skeleton, _ = rig(RIGS["mixamo"])
    offsets = skeleton.offsets.copy()
    offsets[skeleton.joints.index("mixamorig:LeftUpLeg"), 2] += 0.01
    turned = rest_of(Skeleton(skeleton.joints, skeleton.parents, offsets))
    np.testing.assert_allclose(turned["pelvis"], np.eye(3), atol=1e-12)
    # So much that it is no unevenness, it is the way the body faces.
    offsets[skeleton.joints.index("mixamorig:LeftUpLeg"), 2] += 0.1
    turned = rest_of(Skeleton(skeleton.joints, skeleton.parents, offsets))
    assert Rotation.from_matrix(turned["pelvis"]).magnitude() == pytest.approx(np.arctan2(0.11, 0.16))


def test_a_rest_pose_may_lean_anyhow():
    skeleton, _ = rig(RIGS["mixamo"])
    turn = Rotation.from_rotvec([0.6, -1.3, 2.0]).as_matrix()
    turned = rest_of(Skeleton(skeleton.joints, skeleton.parents, skeleton.offsets @ turn.T))
    # The trunk counts as upright then, which it is but for three degrees.
    for name in ("pelvis", "spine3", "head", "left_knee", "right_wrist"):
        assert np.rad2deg(Rotation.from_matrix(turn.T @ turned[name]).magnitude()) < 4


def test_hinges_are_found_where_there_are_any():
    skeleton, chains = rig(RIGS["smpl"])
    turns, root = motion(skeleton, frames=200, size=0.8)
    mapping = map_rig(skeleton)
    noise = Poses(world(turns, skeleton.parents), positions(turns, root, skeleton), np.zeros(1, int))
    assert by_hinges(noise, mapping, SMPL.offsets) == {}
    for side, sign in (("left", -1), ("right", 1)):
        for joint, axis in (("knee", [1, 0, 0]), ("elbow", [0, sign, 0])):
            angles = np.random.default_rng(0).uniform(0, 1.5, size=200)
            turns[:, skeleton.joints.index(chains[f"{side}_{joint}"][0])] = Rotation.from_rotvec(
                angles[:, None] * axis
            ).as_matrix()
    bending = Poses(world(turns, skeleton.parents), positions(turns, root, skeleton), np.zeros(1, int))
    found = by_hinges(bending, mapping, SMPL.offsets)
    assert set(found) == {f"{s}_{n}" for s in ("left", "right") for n in ("hip", "shoulder")}
    for matrix in found.values():
        assert np.rad2deg(Rotation.from_matrix(matrix).magnitude()) < 3
