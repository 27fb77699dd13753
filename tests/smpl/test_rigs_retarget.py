from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smpl_tools.formats import read
from smpl_tools.motion import Skeleton
from smpl_tools.rigs.retarget import rig_pose, rig_to_smpl, smpl_to_rig
from smpl_tools.rigs.rig_map import map_rig
from smpl_tools.skeleton import SMPL, person_positions, positions
from tests.helpers import REPOSITORY, shared
from tests.smpl.rig_data import EYE, RIGS, motion, rig, with_axes, world

LIMBS = [(f"{s}_{a}", f"{s}_{b}") for s in ("left", "right") for a, b in (("hip", "knee"), ("knee", "ankle"))]
LIMBS += [(f"{s}_{a}", f"{s}_{b}") for s in ("left", "right") for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))]
INDEX = {n: j for j, n in enumerate(SMPL.joints)}
MIRROR = np.diag([-1.0, 1.0, 1.0])
OTHER = [INDEX[n.replace("left", "R").replace("right", "left").replace("R", "right")] for n in SMPL.joints]


def matrices(take):
    pose = np.concatenate([take.global_orient, take.body_pose], axis=1)
    return Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)


def smpl_places(take, offsets=SMPL.offsets):
    return positions(matrices(take), take.transl, Skeleton(SMPL.joints, SMPL.parents, offsets))


def unit(v):
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def limb_directions(places, names):
    """Return directions (T, B, 3) of the limbs' bones among joints that stand where the names say."""
    return np.stack(
        [unit(places[:, names[b]] - places[:, names[a]]) for a, b in LIMBS if {a, b} <= names.keys()], axis=1
    )


def expected_places(skeleton, mapping):
    return {n: k for n, k in zip(SMPL.joints, mapping.places, strict=True) if k >= 0}


def bend(skeleton, chains, angle):
    """Return the world rotations (J, 3, 3) that lower both arms by an angle."""
    turned = np.tile(EYE, (len(skeleton.joints), 1, 1))
    for side, sign in (("left", -1), ("right", 1)):
        arm = skeleton.joints.index(chains[f"{side}_shoulder"][0])
        for k in range(len(turned)):
            line = [k]
            while skeleton.parents[line[-1]] >= 0:
                line.append(skeleton.parents[line[-1]])
            if arm in line:
                turned[k] = Rotation.from_euler("z", sign * angle, degrees=True).as_matrix()
    return turned


def back_and_forth(skeleton, turns, root, **options):
    take = rig_to_smpl(skeleton, turns, root, **options)
    again = smpl_to_rig(take.global_orient, take.body_pose, take.transl, alignment=take.alignment, rotations=turns)
    np.testing.assert_allclose(again.rotations, turns, atol=1e-9)
    np.testing.assert_allclose(again.root_positions, root, atol=1e-9)
    return take


@pytest.mark.parametrize("angle", [0, 45, 80])
@pytest.mark.parametrize("name", RIGS)
def test_bones_point_where_the_rigs_point(name, angle):
    flat, chains = rig(RIGS[name])
    # The same rig resting with its arms lowered: its axes at rest are the scene's again.
    lowered = bend(flat, chains, angle)
    above = np.where((flat.parents >= 0)[:, None, None], lowered[flat.parents], EYE)
    skeleton = Skeleton(flat.joints, flat.parents, (above @ flat.offsets[..., None])[..., 0])
    turns, root = motion(skeleton, seed=len(name))
    take = back_and_forth(skeleton, turns, root)
    mapping = take.alignment.rig_map
    ours, theirs = smpl_places(take), positions(turns, root, skeleton)
    names = expected_places(skeleton, mapping)
    expected = limb_directions(theirs, names)
    result = limb_directions(ours, {n: INDEX[n] for n in names})
    twisted = RIGS[name].twist is not None
    # A bone in two pieces that bend against each other, as random motion makes them, has no one direction.
    chosen = slice(0, 4) if twisted else slice(None)
    np.testing.assert_allclose(result[:, chosen], expected[:, chosen], atol=1e-9)
    hips = [INDEX["left_hip"], INDEX["right_hip"]]
    if not RIGS[name].to_hip:
        np.testing.assert_allclose(
            ours[:, hips].mean(axis=1), theirs[:, [mapping.places[j] for j in hips]].mean(axis=1), atol=1e-9
        )
    assert take.report.scale == pytest.approx(1)
    assert take.alignment.source == "rest"


@pytest.mark.parametrize("name", RIGS)
def test_rest_is_rest_and_what_turns_whole_turns_whole(name):
    skeleton, _ = rig(RIGS[name])
    take = rig_to_smpl(skeleton, np.tile(EYE, (2, len(skeleton.joints), 1, 1)), np.zeros((2, 3)))
    np.testing.assert_allclose(matrices(take), np.tile(EYE, (2, 24, 1, 1)), atol=1e-9)
    np.testing.assert_allclose(take.transl, 0, atol=1e-9)
    assert take.report.bone_max_degrees.max() < 25
    names = {n for b in take.report.bones for n in b.split("-")}
    assert names <= set(take.report.joints)


def test_smpls_own_skeleton_is_kept_exactly():
    turns, root = motion(SMPL, frames=7)
    take = back_and_forth(SMPL, turns, root)
    np.testing.assert_allclose(matrices(take), turns, atol=1e-9)
    np.testing.assert_allclose(take.transl, root, atol=1e-12)
    report = take.report
    assert len(report.joints) == 24
    assert max(report.bone_max_degrees.max(), report.joint_max_mm.max(), report.placed_max_mm.max()) < 1e-3
    assert (report.scale, report.shared, report.missing, report.unmapped, report.notes) == (1, (), (), (), ())


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(RIGS)))
def test_axes_of_the_joints_do_not_matter(seed, name):
    # Oracle: the same motion of the rig whose axes at rest are the scene's.
    skeleton, _ = rig(RIGS[name])
    turns, root = motion(skeleton, seed=seed)
    plain = rig_to_smpl(skeleton, turns, root)
    axes = Rotation.random(len(skeleton.joints), random_state=seed % 2**32).as_matrix()
    other, standing, moved = with_axes(skeleton, axes, turns)
    np.testing.assert_allclose(positions(moved, root, other), positions(turns, root, skeleton), atol=1e-9)
    take = back_and_forth(other, moved, root, rig_map=map_rig(skeleton), reference=standing)
    np.testing.assert_allclose(matrices(take), matrices(plain), atol=1e-7)
    np.testing.assert_allclose(take.transl, plain.transl, atol=1e-9)
    assert take.alignment.source == "given"


def walk(skeleton, chains, bent, frames=60):
    """Return a motion about the rest pose, whose mean is the rest pose but for knees and elbows, which only bend."""
    rng = np.random.default_rng(3)
    half = 0.15 * rng.normal(size=(frames, len(skeleton.joints), 3))
    vectors = np.concatenate([half, -half])
    vectors[:, 0] = 0
    for side, sign in (("left", -1), ("right", 1)):
        for joint, axis in (("knee", [1, 0, 0]), ("elbow", [0, sign, 0])):
            angle = bent * rng.uniform(0, 1, size=2 * frames)
            vectors[:, skeleton.joints.index(chains[f"{side}_{joint}"][-1])] = angle[:, None] * axis
    turns = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(2 * frames, -1, 3, 3)
    return turns, rng.normal(size=(2 * frames, 3))


@pytest.mark.parametrize("bent", [0.3, 1.5])
@pytest.mark.parametrize("name", ["lafan1", "bandai-namco", "smpl"])
def test_a_rest_that_does_not_stand_is_learned_from_frames(name, bent):
    skeleton, chains = rig(RIGS[name])
    turns, root = walk(skeleton, chains, bent)
    axes = Rotation.random(len(skeleton.joints), random_state=5).as_matrix()
    other, _, moved = with_axes(skeleton, axes, turns)
    take = back_and_forth(other, moved, root)
    assert take.alignment.source == "frames"
    assert take.report.notes == ("the rest pose does not stand; neutral is the average of 12 standing frames",)
    names = expected_places(other, take.alignment.rig_map)
    result = limb_directions(smpl_places(take), {n: INDEX[n] for n in names})
    np.testing.assert_allclose(result, limb_directions(positions(moved, root, other), names), atol=1e-6)
    plain = rig_to_smpl(skeleton, turns, root)
    ours, expected = (world(matrices(t), SMPL.parents) for t in (take, plain))
    apart = Rotation.from_matrix((np.swapaxes(ours, 2, 3) @ expected).reshape(-1, 3, 3)).magnitude().reshape(-1, 24)
    degrees = dict(zip(SMPL.joints, np.rad2deg(apart.mean(axis=0)), strict=True))
    # A neck along the spine counts as neutral, and SMPL's leans: that much it is off.
    assert degrees.pop("neck") < 35
    assert max(degrees.values()) < 20
    if bent > 1:
        # The axes of knees and elbows say all about the bones above them.
        limbs = [f"{s}_{n}" for s in ("left", "right") for n in ("hip", "knee", "shoulder", "elbow")]
        assert max(degrees[n] for n in limbs) < 3
    assert np.mean(list(degrees.values())) < 6


@pytest.mark.parametrize("turn", ["yzx", "zxy", "xzy"])
@pytest.mark.parametrize("name", ["cmu", "unreal", "thirteen joints"])
def test_a_turned_scene_gives_the_turned_motion(name, turn):
    skeleton, _ = rig(RIGS[name])
    turns, root = motion(skeleton)
    plain = rig_to_smpl(skeleton, turns, root)
    basis = np.eye(3)[["xyz".index(c) for c in turn]]
    basis = basis * np.linalg.det(basis)
    other = Skeleton(skeleton.joints, skeleton.parents, skeleton.offsets @ basis.T)
    take = rig_to_smpl(other, basis @ turns @ basis.T, root @ basis.T)
    np.testing.assert_allclose(take.transl, plain.transl @ basis.T, atol=1e-9)
    expected = matrices(plain)
    expected[:, 0] = basis @ expected[:, 0]
    np.testing.assert_allclose(matrices(take), expected, atol=1e-7)
    whole = Rotation.from_rotvec([0.3, 2.0, -0.7]).as_matrix()
    spun = turns.copy()
    spun[:, 0] = whole @ turns[:, 0]
    take = rig_to_smpl(skeleton, spun, root @ whole.T)
    expected = matrices(plain)
    expected[:, 0] = whole @ expected[:, 0]
    np.testing.assert_allclose(matrices(take), expected, atol=1e-7)
    np.testing.assert_allclose(take.transl, plain.transl @ whole.T, atol=1e-9)


@pytest.mark.parametrize("name", ["cmu", "mixamo", "smpl"])
def test_a_mirrored_motion_gives_the_mirrored_one(name):
    skeleton, _ = rig(RIGS[name])
    turns, root = motion(skeleton)
    swap = [n.replace("Left", "#").replace("Right", "Left").replace("#", "Right") for n in skeleton.joints]
    swap = [re.sub(r"^([LR])(?=HipJoint|Thumb)", lambda m: "RL"["LR".index(m[1])], n) for n in swap]
    swap = [n.replace("left", "#").replace("right", "left").replace("#", "right") for n in swap]
    order = [skeleton.joints.index(n) for n in swap]
    mirrored = (MIRROR @ turns @ MIRROR)[:, order]
    take, plain = rig_to_smpl(skeleton, mirrored, root @ MIRROR), rig_to_smpl(skeleton, turns, root)
    np.testing.assert_allclose(matrices(take), (MIRROR @ matrices(plain) @ MIRROR)[:, OTHER], atol=1e-7)
    np.testing.assert_allclose(take.transl, plain.transl @ MIRROR, atol=1e-9)


def test_sides_that_the_feet_contradict_are_exchanged():
    skeleton, _ = rig(RIGS["mixamo"])
    turns, root = motion(skeleton)
    plain = rig_to_smpl(skeleton, turns, root)
    names = tuple(n.replace("Left", "#").replace("Right", "Left").replace("#", "Right") for n in skeleton.joints)
    take = rig_to_smpl(Skeleton(names, skeleton.parents, skeleton.offsets), turns, root)
    np.testing.assert_allclose(matrices(take), matrices(plain), atol=1e-9)
    assert take.report.notes == ("left and right are named the other way round: the feet say so",)


@pytest.mark.parametrize("unit_length", [0.01, 1, 2.54])
def test_another_size_scales_with_the_legs_or_as_told(unit_length):
    skeleton, _ = rig(RIGS["mixamo"])
    turns, root = motion(skeleton)
    plain = rig_to_smpl(skeleton, turns, root)
    sized = Skeleton(skeleton.joints, skeleton.parents, skeleton.offsets / unit_length)
    take = rig_to_smpl(sized, turns, root / unit_length)
    assert take.report.scale == pytest.approx(unit_length)
    np.testing.assert_allclose(take.transl, plain.transl, atol=1e-9)
    kept = rig_to_smpl(sized, turns, root / unit_length, scale=0.5 * unit_length)
    middle = smpl_places(kept)[:, [1, 2]].mean(axis=1)
    np.testing.assert_allclose(middle, 0.5 * smpl_places(plain)[:, [1, 2]].mean(axis=1), atol=1e-9)


def test_several_joints_for_one_share_what_changed_and_fingers_stay():
    skeleton, _ = rig(RIGS["unreal"])
    turns, root = motion(skeleton, size=0.2)
    take = rig_to_smpl(skeleton, turns, root)
    assert set(take.report.shared) == {
        "pelvis: root > pelvis",
        "spine1: spine_01 > spine_02",
        "spine3: spine_04 > spine_05",
        "neck: neck_01 > neck_02",
    }
    j = skeleton.joints.index
    changed = take.body_pose.copy()
    extra = Rotation.from_rotvec([0.0, 0.4, 0.0])
    before = matrices(take)[:, INDEX["neck"]]
    changed[:, INDEX["neck"] - 1] = (extra * Rotation.from_matrix(before)).as_rotvec()
    again = smpl_to_rig(take.global_orient, changed, take.transl, alignment=take.alignment, rotations=turns)
    moved = Rotation.from_matrix((np.swapaxes(turns, 2, 3) @ again.rotations).reshape(-1, 3, 3)).magnitude()
    moved = moved.reshape(turns.shape[:2])
    np.testing.assert_allclose(moved[:, [j("neck_01"), j("neck_02")]], 0.2, atol=1e-6)
    # The head turned with the neck and keeps its own rotation.
    assert np.delete(moved, [j("neck_01"), j("neck_02")], axis=1).max() < 1e-6
    alone = smpl_to_rig(take.global_orient, take.body_pose, take.transl, alignment=take.alignment)
    np.testing.assert_allclose(alone.rotations[:, j("index_01_l")], np.tile(EYE, (5, 1, 1)), atol=1e-12)
    ours, theirs = world(alone.rotations, skeleton.parents), world(turns, skeleton.parents)
    last = [c[-1] for c in take.alignment.rig_map.chains if c]
    np.testing.assert_allclose(ours[:, last], theirs[:, last], atol=1e-9)
    pair = [j("spine_01"), j("spine_02")]
    sizes = Rotation.from_matrix(alone.rotations[:, pair].reshape(-1, 3, 3)).magnitude().reshape(-1, 2)
    np.testing.assert_allclose(sizes[:, 0], sizes[:, 1], atol=1e-9)


def test_fewer_spine_joints_take_the_whole_spine():
    skeleton, _ = rig(RIGS["thirteen joints"])
    turns, root = motion(SMPL, frames=4)
    vectors = Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_rotvec().reshape(4, 24, 3)
    made = smpl_to_rig(vectors[:, :1], vectors[:, 1:], root, skeleton)
    chest = world(made.rotations, skeleton.parents)[:, skeleton.joints.index("chest")]
    np.testing.assert_allclose(chest, world(turns, SMPL.parents)[:, INDEX["spine3"]], atol=1e-9)
    assert made.report.missing[0] == "spine1"


@pytest.mark.parametrize("name", RIGS)
def test_smpl_to_any_rig_and_back(name):
    skeleton, _ = rig(RIGS[name])
    turns, root = motion(SMPL, frames=3)
    vectors = Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_rotvec().reshape(3, 24, 3)
    made = smpl_to_rig(vectors[:, :1], vectors[:, 1:], root, skeleton)
    take = rig_to_smpl(skeleton, made.rotations, made.root_positions)
    ours, expected = world(matrices(take), SMPL.parents), world(turns, SMPL.parents)
    spine = [INDEX[n] for n in ("spine1", "spine2", "spine3")]
    kept = [j for j, c in enumerate(take.alignment.rig_map.chains) if c and j not in spine]
    np.testing.assert_allclose(ours[:, kept], expected[:, kept], atol=1e-7)
    np.testing.assert_allclose(ours[:, spine[2]], expected[:, spine[2]], atol=1e-7)
    np.testing.assert_allclose(take.transl, root, atol=1e-9)


def test_the_shipped_take():
    taken = read(REPOSITORY / "assets/takes/reactidle_000.bvh")
    skeleton, turns, root, offsets = rig_pose(taken.people[0], taken.skeleton)
    take = rig_to_smpl(skeleton, turns, root, local_offsets=offsets)
    again = smpl_to_rig(
        take.global_orient,
        take.body_pose,
        take.transl,
        alignment=take.alignment,
        rotations=turns,
        local_offsets=offsets,
    )
    np.testing.assert_allclose(again.rotations, turns, atol=1e-9)
    np.testing.assert_allclose(again.root_positions, root, atol=1e-9)
    names = expected_places(skeleton, take.alignment.rig_map)
    result = limb_directions(smpl_places(take), {n: INDEX[n] for n in names})
    np.testing.assert_allclose(
        result, limb_directions(person_positions(taken.people[0], taken.skeleton), names), atol=1e-6
    )
    assert take.report.joint_mean_mm.max() < 100


def test_clips_of_all_cmu_skeletons():
    with np.load(shared("data", "cmu", "cmu_train.npz")) as data:
        clips = {c["skeleton"]: c["clip"] for c in json.loads(str(data["index"]))}
        for kind, clip in clips.items():
            names, parents, offsets = (data[f"skel/{kind}/{n}"] for n in ("names", "parents", "offsets"))
            skeleton = Skeleton(tuple(names.tolist()), parents.astype(int), offsets.astype(float))
            quaternions = data[clip + "/q"][::20] / 32767
            turns = Rotation.from_quat(quaternions.reshape(-1, 4)).as_matrix().reshape(*quaternions.shape[:2], 3, 3)
            root = data[clip + "/root"][::20].astype(float)
            take = back_and_forth(skeleton, turns, root)
            assert take.alignment.source == "rest"
            where = expected_places(skeleton, take.alignment.rig_map)
            result = limb_directions(smpl_places(take), {n: INDEX[n] for n in where})
            np.testing.assert_allclose(result, limb_directions(positions(turns, root, skeleton), where), atol=1e-6)
            assert 0.8 < take.report.scale < 1.2
