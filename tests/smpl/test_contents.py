"""The plain forms between the formats."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smpl_tools.contents import CONTENTS, as_content, carried, derivable
from smpl_tools.coordinates import PELVIS
from smpl_tools.formats import read
from smpl_tools.motion import Motion, Person, Skeleton, Track
from smpl_tools.rigs.plain_form import rig_arrays
from smpl_tools.rotations import axis_angle_to_matrix
from smpl_tools.skeleton import SMPL, SMPL_H, positions
from tests.helpers import REPOSITORY

TAKES = REPOSITORY / "assets" / "takes"


def vectors(frames, joints, seed=0):
    return Rotation.random(frames * joints, random_state=seed).as_rotvec().reshape(frames, joints, 3)


def smpl(kind="axis_angle", body=23, world=False, frames=4, dtype=np.float64, ident="0"):
    poses = vectors(frames, 1 + body).astype(dtype)
    values = axis_angle_to_matrix(poses) if kind == "rotation_matrix" else poses
    tracks = {
        "global_orient": Track(values[:, :1], kind, "root", SMPL.joints[:1], up="-y"),
        "body_pose": Track(values[:, 1:], kind, "body", SMPL.joints[1 : 1 + body]),
        "transl": Track(np.ones((frames, 1, 3), dtype), "position", "root", ("pelvis",), metres=1.0, up="-y"),
        "pred_cam": Track(np.ones((frames, 3), dtype), "channels", "camera", ("s", "x", "y")),
    }
    if world:
        tracks |= {
            "global_orient_world": Track(values[::-1, :1], kind, "root", SMPL.joints[:1], up="y"),
            "transl_world": Track(2 * np.ones((frames, 1, 3)), "position", "root", ("pelvis",), metres=1.0, up="y"),
        }
    return Motion("wham", (Person(ident, tracks, np.arange(frames), np.zeros(10), "male"),), 30.0, SMPL, source=1)


def points(size=3, names=("a", "b"), metres=None, track="joints", fmt="csv"):
    values = np.random.default_rng(0).normal(size=(4, len(names), size))
    return Motion(
        fmt, (Person("0", {track: Track(values, "position", "body", names, metres=metres)}, np.arange(4)),), 25.0
    )


def test_what_files_carry():
    assert carried(smpl()) == ("smpl",)
    assert carried(points()) == ("joints",)
    assert carried(points(2)) == ("joints_2d",)
    assert carried(points(fmt="array", track="motion")) == ("joints", "array")
    assert carried(read(TAKES / "reactidle_000.bvh")) == ("rig",)
    assert carried(read(TAKES / "dance_smplh.npz")) == ("smpl",)
    assert carried(Motion("x", (), None)) == ()


def test_what_follows_from_what():
    assert derivable(smpl(), ("rig",)) == ("rig", "smpl")
    assert derivable(smpl(), ("joints_2d", "joints", "rig")) == ("joints", "smpl")
    assert derivable(points(), ("rig", "joints")) == ("joints", "joints")
    assert derivable(points(), ("smpl", "rig")) is None
    assert derivable(points(2), ("array",)) == ("array", "joints_2d")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_smpl_keeps_rotation_vectors_bit_for_bit_and_drops_the_rest(dtype):
    motion = smpl(dtype=dtype)
    plain, notes = as_content(motion, "smpl")
    (person,) = plain.people
    assert set(person.tracks) == {"global_orient", "body_pose", "transl"}
    assert person.tracks["body_pose"] is motion.people[0].tracks["body_pose"]
    assert (person.gender, plain.source, plain.skeleton, notes) == ("male", None, None, ())


def test_smpl_of_matrices_becomes_rotation_vectors():
    (person,) = as_content(smpl("rotation_matrix"), "smpl")[0].people
    assert person.tracks["body_pose"].kind == "axis_angle"
    turned = axis_angle_to_matrix(person.tracks["body_pose"].values)
    assert np.allclose(turned, axis_angle_to_matrix(vectors(4, 24)[:, 1:]), atol=1e-12)


def test_the_world_comes_before_the_camera_unless_asked():
    motion = smpl(world=True)
    tracks = motion.people[0].tracks
    (world,) = as_content(motion, "smpl")[0].people
    assert world.tracks["global_orient"] is tracks["global_orient_world"]
    assert world.tracks["transl"] is tracks["transl_world"]
    assert world.tracks["body_pose"] is tracks["body_pose"]
    (camera,) = as_content(motion, "smpl", camera=True)[0].people
    assert camera.tracks["global_orient"] is tracks["global_orient"]


@pytest.mark.parametrize(("body", "skeleton"), [(23, SMPL), (21, SMPL_H)])
def test_joints_of_smpl_poses_are_where_kinematics_puts_them(body, skeleton):
    motion = smpl(body=body)
    plain, (note,) = as_content(motion, "joints")
    track = plain.people[0].tracks["joints"]
    assert "bone lengths" in note
    names = SMPL.joints[: 1 + body]
    turns = axis_angle_to_matrix(vectors(4, 1 + body))
    cut = Skeleton(names, SMPL.parents[: len(names)], SMPL.offsets[: len(names)])
    expected = positions(turns, np.ones((4, 3)) + PELVIS, cut)
    at = [track.joints.index(name) for name in names]
    assert np.allclose(track.values[:, at], expected, atol=1e-12)
    assert (track.metres, track.up) == (1.0, "-y")
    assert set(names) <= set(track.joints)


def test_a_rig_of_a_real_take_has_all_joints():
    motion = read(TAKES / "reactidle_000.bvh")
    plain, notes = as_content(motion, "rig")
    rotations, offsets = rig_arrays(plain, plain.people[0])
    assert notes == ()
    assert rotations.shape == (288, 19, 3, 3)
    assert np.array_equal(offsets[:, 0], motion.people[0].tracks["transl"].values[:, 0])
    assert plain.people[0].tracks["joint_positions"].joints == ("thigh.L", "thigh.R")
    joints, _ = as_content(motion, "joints")
    assert np.allclose(joints.people[0].tracks["joints"].values, positions(rotations, None, plain.skeleton, offsets))


def test_one_hierarchy_of_several(tmp_path):
    bone = "{{\n{0}OFFSET 0 0 0\n CHANNELS 3 Xrotation Yrotation Zrotation\n{1}}}\n"
    inner = "JOINT {}\n" + bone.format("", "End Site\n{{\nOFFSET 0 1 0\n}}\n").replace("{{", "{").replace("}}", "}")
    roots = "".join("ROOT " + name + "\n" + bone.format("", inner.replace("{}", name + "2", 1)) for name in "ab")
    path = tmp_path / "two.bvh"
    path.write_text("HIERARCHY\n" + roots + "MOTION\nFrames: 1\nFrame Time: 0.1\n" + " ".join(["10"] * 12) + "\n")
    motion = read(path)
    message = "people of a file with several hierarchies: expected one (--person), received a, b"
    with pytest.raises(ValueError, match=re.escape(message)):
        as_content(motion, "rig")
    from smpl_tools.convert import only

    plain, _ = as_content(only(motion, ["b"]), "rig")
    assert plain.skeleton.joints == ("b", "b2")
    assert plain.skeleton.parents.tolist() == [-1, 0]


def test_joints_of_body_and_hands_stand_side_by_side():
    names = ("Wrist", "Thumb1")
    hands = {
        side: Track(np.full((4, 2, 2), k), "position", "hands", names, np.full((4, 2), 0.5))
        for k, side in enumerate(("left_hand", "right_hand"))
    }
    body = Track(np.zeros((4, 1, 2)), "position", "body", ("Nose",))
    motion = Motion("openpose", (Person("0", {"pose": body, **hands}, np.arange(4)),), 30.0)
    track = as_content(motion, "joints_2d")[0].people[0].tracks["joints"]
    assert track.joints == ("Nose", "left_hand_Wrist", "left_hand_Thumb1", "right_hand_Wrist", "right_hand_Thumb1")
    assert track.confidence[0].tolist() == [1.0, 0.5, 0.5, 0.5, 0.5]


def test_of_several_3d_tracks_the_one_with_a_unit():
    (person,) = points().people
    known = points(metres=1.0).people[0].tracks["joints"]
    both = Motion("x", (Person("0", {"image": person.tracks["joints"], "world": known}, person.frames),), 30.0)
    assert as_content(both, "joints")[0].people[0].tracks["joints"] is known


def test_arrays_of_everything():
    plain, notes = as_content(smpl(), "array")
    assert plain.people[0].tracks["motion"].values.shape == (4, 24, 3)
    assert notes == ("axis_angle of every joint; translation left out",)
    motion = points(2)
    assert as_content(motion, "array")[0].people[0].tracks["motion"] is motion.people[0].tracks["joints"]


@pytest.mark.parametrize("content", ["smpl", "rig", "joints"])
def test_refused_with_what_there_is(content):
    message = f"content of the motion: expected {CONTENTS[content]}, received {CONTENTS['joints_2d']}"
    with pytest.raises(ValueError, match=re.escape(message)):
        as_content(points(2), content)
    with pytest.raises(
        ValueError, match="content: expected one of smpl, rig, joints, joints_2d, array, received 'mesh'"
    ):
        as_content(points(), "mesh")
