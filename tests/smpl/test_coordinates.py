"""Axes and units: exact turns, SMPL's pelvis, rigs that stand upright in both."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smpl_tools.coordinates import PELVIS, UNITS, assuming, rotated, unit_name, up_rotation, with_unit, with_up
from smpl_tools.motion import UPS, Motion, Person, Skeleton, Track
from smpl_tools.rotations import (
    axis_angle_to_matrix,
    matrix_to_quat_wxyz,
    matrix_to_rotation_6d,
    quat_wxyz_to_matrix,
    rotation_6d_to_matrix,
)
from smpl_tools.skeleton import SMPL, person_pose, positions

AXIS = {"y": [0, 1, 0], "z": [0, 0, 1], "-y": [0, -1, 0]}


def turns(*shape, seed=0):
    return Rotation.random(int(np.prod(shape)), random_state=seed).as_matrix().reshape(*shape, 3, 3)


def smpl(up="z", metres=1.0, frames=5):
    vectors = Rotation.from_matrix(turns(frames * 24)[:, ...].reshape(-1, 3, 3)).as_rotvec().reshape(frames, 24, 3)
    places = np.random.default_rng(1).normal(size=(frames, 1, 3))
    tracks = {
        "global_orient": Track(vectors[:, :1], "axis_angle", "root", SMPL.joints[:1], up=up),
        "body_pose": Track(vectors[:, 1:], "axis_angle", "body", SMPL.joints[1:]),
        "transl": Track(places, "position", "root", ("pelvis",), metres=metres, up=up),
    }
    return Motion("amass", (Person("0", tracks, np.arange(frames)),), 30.0, source="the file")


def rig(up="y"):
    skeleton = Skeleton(
        ("hip", "knee", "toe"),
        np.array([-1, 0, 1]),
        np.array([[0, 0.0, 0], [0.1, -0.5, 0], [0, -0.4, 0.2]]),
        1.0,
        np.array([[np.nan] * 3, [np.nan] * 3, [0, 0, 0.1]]),
    )
    tracks = {
        "global_orient": Track(turns(4, 1), "rotation_matrix", "root", ("hip",), up=up),
        "body_pose": Track(turns(4, 2, seed=1), "rotation_matrix", "body", ("knee", "toe")),
        "transl": Track(
            np.random.default_rng(0).normal(size=(4, 1, 3)), "position", "root", ("hip",), None, metres=1.0, up=up
        ),
    }
    return Motion("bvh", (Person("0", tracks, np.arange(4)),), 30.0, skeleton)


def joints_of_smpl(motion):
    """Place the joints as SMPL does: the pelvis at rest plus the translation."""
    (person,) = motion.people
    rotations, _ = person_pose(person, SMPL)
    transl = person.tracks["transl"]
    return positions(rotations, transl.values[:, 0] * transl.metres + PELVIS, SMPL)


@pytest.mark.parametrize("before", UPS)
@pytest.mark.parametrize("after", UPS)
def test_a_turn_takes_up_to_up_and_keeps_x(before, after):
    turn = up_rotation(before, after)
    assert np.array_equal(turn @ AXIS[before], AXIS[after])
    assert np.array_equal(turn @ [1, 0, 0], [1, 0, 0])
    assert np.array_equal(turn @ turn.T, np.eye(3))
    assert np.linalg.det(turn) == 1
    assert np.array_equal(up_rotation(after, before), turn.T)
    assert set(np.unique(turn)) <= {-1.0, 0.0, 1.0}


@pytest.mark.parametrize("after", UPS)
@pytest.mark.parametrize("metres", [1.0, 0.01])
def test_smpl_poses_turn_with_all_their_joints(after, metres):
    motion = smpl(metres=metres)
    turned = with_up(motion, after)
    expected = joints_of_smpl(motion) @ up_rotation("z", after).T
    assert np.abs(joints_of_smpl(turned) - expected).max() < 1e-12
    tracks = turned.people[0].tracks
    assert tracks["body_pose"] is motion.people[0].tracks["body_pose"]
    assert (tracks["transl"].up, tracks["global_orient"].up) == (after, after)
    back = with_up(turned, "z")
    assert np.abs(joints_of_smpl(back) - joints_of_smpl(motion)).max() < 1e-12
    assert (turned is motion) == (after == "z")
    assert turned.source == ("the file" if after == "z" else None)


def test_a_bodys_own_pelvis_counts():
    turned = with_up(smpl(), "y", pelvis=(0.0, -0.3, 0.0)).people[0].tracks["transl"].values
    turn = up_rotation("z", "y")
    start = smpl().people[0].tracks["transl"].values
    pelvis = np.array([0, -0.3, 0])
    assert np.allclose(turned + pelvis, (start + pelvis) @ turn.T, atol=1e-12)


@pytest.mark.parametrize("after", UPS)
def test_a_rig_turns_with_its_rest_pose(after):
    motion = rig()
    turned = with_up(motion, after)
    turn = up_rotation("y", after)
    before = positions(
        *person_pose(motion.people[0], motion.skeleton)[:1],
        None,
        motion.skeleton,
        person_pose(motion.people[0], motion.skeleton)[1],
    )
    now = positions(
        *person_pose(turned.people[0], turned.skeleton)[:1],
        None,
        turned.skeleton,
        person_pose(turned.people[0], turned.skeleton)[1],
    )
    assert np.allclose(now, before @ turn.T, atol=1e-12)
    assert np.allclose(turned.skeleton.offsets, motion.skeleton.offsets @ turn.T, atol=0)
    assert np.array_equal(turned.skeleton.ends[2], turn @ [0, 0, 0.1])
    assert turned.people[0].tracks["body_pose"].up is None


def test_a_rig_with_single_channels_or_two_sets_of_axes_is_refused():
    motion = rig()
    angles = Track(np.zeros((4, 1)), "channels", "body", ("knee.Xrotation",))
    (person,) = motion.people
    odd = Motion("bvh", (Person("0", {**person.tracks, "a": angles}, person.frames),), 30.0, motion.skeleton)
    message = "track a of person 0: expected rotations about all three axes, received single channels"
    with pytest.raises(ValueError, match=message):
        with_up(odd, "z")
    two = person.with_tracks({"transl": person.tracks["transl"].replace(up="z")})
    with pytest.raises(ValueError, match="axes of a skeleton's tracks: expected the same for all, received y, z"):
        with_up(motion.with_people((two,)), "-y")


def test_what_states_no_axes_stays():
    track = Track(np.zeros((3, 2, 3)), "position", "body", ("a", "b"))
    motion = Motion("array", (Person("0", {"motion": track}, np.arange(3)),), None, source=1)
    assert with_up(motion, "z") is motion
    assert with_unit(motion, 0.01) is motion


def test_units_change_lengths_alone():
    motion = smpl()
    changed = with_unit(motion, 0.01)
    tracks = changed.people[0].tracks
    assert np.array_equal(tracks["transl"].values, motion.people[0].tracks["transl"].values * 100)
    assert tracks["transl"].metres == 0.01
    assert tracks["global_orient"] is motion.people[0].tracks["global_orient"]
    assert changed.source is None
    assert with_unit(motion, 1.0) is motion
    inches = with_unit(rig(), UNITS["in"])
    assert np.allclose(inches.skeleton.offsets, rig().skeleton.offsets / 0.0254)
    assert inches.skeleton.ends[2, 2] == pytest.approx(0.1 / 0.0254)
    assert inches.skeleton.metres == 0.0254


@given(st.sampled_from(UPS), st.sampled_from(sorted(UNITS)))
def test_there_and_back(up, unit):
    motion = rig()
    back = with_unit(with_up(with_unit(with_up(motion, up), UNITS[unit]), "y"), 1.0)
    for name, track in motion.people[0].tracks.items():
        assert np.allclose(back.people[0].tracks[name].values, track.values, rtol=1e-12, atol=1e-12)


def test_every_kind_of_rotation_turns_alike():
    matrices, after, before = turns(3, 2), turns(1)[0], turns(1, seed=5)[0]
    kinds = {
        "rotation_matrix": (matrices, lambda v: v),
        "axis_angle": (
            Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_rotvec().reshape(3, 2, 3),
            axis_angle_to_matrix,
        ),
        "quat_wxyz": (matrix_to_quat_wxyz(matrices), quat_wxyz_to_matrix),
        "rotation_6d": (
            matrix_to_rotation_6d(matrices, "interleaved"),
            lambda v: rotation_6d_to_matrix(v, "interleaved"),
        ),
    }
    for kind, (values, decode) in kinds.items():
        track = Track(values, kind, "body", ("a", "b"), order="interleaved")
        assert np.allclose(decode(rotated(track, after, before).values), after @ matrices @ before, atol=1e-12)
    with pytest.raises(ValueError, match="kind of a track to turn: expected rotations, received position"):
        rotated(Track(np.zeros((3, 1, 3)), "position", "root", ("a",)), after)


def test_what_the_caller_knows_changes_no_number():
    track = Track(np.ones((3, 1, 3)), "position", "body", ("a",))
    local = Track(np.ones((3, 1, 3)), "position", "body", ("b",))
    turn = Track(turns(3, 1), "rotation_matrix", "root", ("a",))
    inner = Track(turns(3, 1), "rotation_matrix", "body", ("b",))
    tracks = {"transl": track, "joint_positions": local, "global_orient": turn, "body_pose": inner}
    motion = Motion("bvh", (Person("0", tracks, np.arange(3)),), None, rig().skeleton, source=3)
    known = assuming(motion, up="z", metres=0.01)
    found = {name: (t.up, t.metres) for name, t in known.people[0].tracks.items()}
    assert found == {
        "transl": ("z", 0.01),
        "joint_positions": (None, 0.01),
        "global_orient": ("z", None),
        "body_pose": (None, None),
    }
    assert known.skeleton.metres == 0.01
    assert known.source == 3
    assert all(known.people[0].tracks[n].values is t.values for n, t in tracks.items())


def test_refusals_and_names():
    with pytest.raises(ValueError, match="up axis: expected one of y, z, -y, received 'x'"):
        with_up(smpl(), "x")
    for bad in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"unit in metres: expected a positive number, received"):
            with_unit(smpl(), bad)
    assert [unit_name(m) for m in (1.0, 0.01, 0.001, 0.0254, None, 0.5)] == ["m", "cm", "mm", "in", "unknown", "0.5 m"]
