"""Motions of rigs as SMPL poses, and back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from smpl_tools.contents import as_content
from smpl_tools.convert import make, prepared_for
from smpl_tools.coordinates import PELVIS, assuming
from smpl_tools.formats import read
from smpl_tools.motion import Motion
from smpl_tools.rigs.motions import smpl_of_rig
from smpl_tools.rotations import axis_angle_to_matrix, geodesic_angle
from smpl_tools.skeleton import SMPL
from tests.helpers import REPOSITORY

TAKES = REPOSITORY / "assets" / "takes"


def with_fingers(motion):
    (person,) = motion.people
    hands = {}
    for seed, name in enumerate(("left_hand_pose", "right_hand_pose")):
        track = person.tracks[name]
        values = np.random.default_rng(seed).normal(0, 0.3, track.values.shape)
        hands[name] = track.replace(values=values)
    return motion.with_people((person.with_tracks(hands),))


@pytest.mark.parametrize("unit", [1.0, 0.01])
def test_smpl_through_a_bvh_comes_back_with_its_fingers(tmp_path, unit):
    motion = with_fingers(read(TAKES / "dance_smplh.npz"))
    ready, _ = prepared_for(motion, "bvh", metres=unit)
    make(ready, "bvh", tmp_path / "x.bvh")
    back, notes = prepared_for(read(tmp_path / "x.bvh"), "amass")
    old, new = motion.people[0].tracks, back.people[0].tracks
    for name in ("global_orient", "body_pose", "left_hand_pose", "right_hand_pose"):
        count = old[name].values.shape[1]
        pair = [axis_angle_to_matrix(track[name].values[:, :count]) for track in (old, new)]
        assert np.rad2deg(geodesic_angle(*pair)).max() < 1e-4, name
    assert np.abs(new["transl"].values - old["transl"].values).max() < 2e-5
    assert not any("SMPL has no joint" in note for note in notes)


def test_a_take_without_a_frame_or_with_nothing_seen_says_no_numbers():
    motion = assuming(read(TAKES / "reactidle_000.bvh"), up="y")
    (person,) = motion.people
    none = {name: track.replace(values=track.values[:0]) for name, track in person.tracks.items()}
    empty = motion.with_people((dataclasses.replace(person, tracks=none, frames=person.frames[:0]),))
    plain, notes = as_content(empty, "smpl")
    assert plain.people[0].tracks["body_pose"].values.shape == (0, 23, 3)
    assert notes[0].startswith("one unit of the rig is ")
    root = person.tracks["global_orient"]
    hidden = motion.with_people((person.with_tracks({"global_orient": root.replace(values=root.values * np.nan)}),))
    assert not any("nan" in note for note in as_content(hidden, "smpl")[1])


def test_a_real_take_says_how_far_it_is_off():
    motion = assuming(read(TAKES / "reactidle_000.bvh"), up="y")
    plain, notes = as_content(motion, "smpl")
    (person,) = plain.people
    assert set(person.tracks) == {"global_orient", "body_pose", "transl"}
    assert person.tracks["body_pose"].joints == SMPL.joints[1:]
    assert (person.tracks["transl"].metres, person.tracks["transl"].up) == (1.0, "y")
    assert plain.skeleton is None
    assert notes[0].startswith("directions of bones differ by ")
    assert any(note.startswith("the rig has no: ") for note in notes)
    # The person stands: feet about a leg's length under the pelvis.
    joints, _ = as_content(plain, "joints")
    track = joints.people[0].tracks["joints"]
    at = {name: track.values[:, track.joints.index(name)] for name in ("pelvis", "left_ankle", "head")}
    assert np.allclose(at["pelvis"], person.tracks["transl"].values[:, 0] + PELVIS)
    assert 0.6 < np.median(at["pelvis"][:, 1] - at["left_ankle"][:, 1]) < 0.9
    assert (at["head"][:, 1] > at["pelvis"][:, 1] + 0.3).all()


def test_a_turned_scene_gives_turned_poses():
    motion, _ = as_content(assuming(read(TAKES / "reactidle_000.bvh"), up="y", metres=1.0), "rig")
    from smpl_tools.coordinates import up_rotation, with_up

    there, _ = smpl_of_rig(with_up(motion, "z"))
    here, _ = smpl_of_rig(motion)
    turn = up_rotation("y", "z")
    pairs = [axis_angle_to_matrix(m.people[0].tracks["global_orient"].values) for m in (there, here)]
    assert np.abs(pairs[0] - turn @ pairs[1]).max() < 1e-6
    assert np.allclose(there.people[0].tracks["body_pose"].values, here.people[0].tracks["body_pose"].values, atol=1e-6)


def test_refused_without_a_skeleton():
    motion = Motion("x", (), None)
    with pytest.raises(ValueError, match="motion: expected one in the form of a rig, received one without a skeleton"):
        smpl_of_rig(motion)
    assert dataclasses.is_dataclass(motion)


def test_a_rig_through_smpl_and_back_onto_itself(tmp_path):
    from smpl_tools.convert import prepared_for

    take = read(TAKES / "reactidle_000.bvh")
    poses, _ = prepared_for(take, "amass")
    make(poses, "amass", tmp_path / "x.npz")
    back, notes = prepared_for(read(tmp_path / "x.npz"), "bvh", rig=take)
    make(back, "bvh", tmp_path / "y.bvh")
    assert "the rig's own motion has the same frames: joints that SMPL has not keep theirs" in notes
    old, new = (
        as_content(read(p), "joints")[0].people[0].tracks["joints"]
        for p in (TAKES / "reactidle_000.bvh", tmp_path / "y.bvh")
    )
    assert old.joints == new.joints
    # Metres; six decimals of degrees.
    assert np.abs(old.values - new.values).max() < 1e-6


@pytest.mark.parametrize("to", ["bvh", "gltf"])
def test_a_dance_on_another_character(tmp_path, to):
    dance, character = read(TAKES / "dance_smplh_truth.npz"), read(TAKES / "reactidle_000.bvh")
    ready, notes = prepared_for(dance, to, rig=character)
    assert ready.skeleton.joints == character.skeleton.joints
    assert np.allclose(ready.skeleton.offsets, character.skeleton.offsets, atol=0)
    assert any(note.startswith("directions of bones differ by ") for note in notes)
    make(ready, to, tmp_path / f"x.{'bvh' if to == 'bvh' else 'glb'}")
    # Arms point where the dancer's do: shoulder to elbow, in a scene with Y up.
    joints = as_content(ready, "joints")[0].people[0].tracks["joints"]
    danced = as_content(prepared_for(dance, "bvh")[0], "joints")[0].people[0].tracks["joints"]

    def direction(track, start, end):
        bone = track.values[:, track.joints.index(end)] - track.values[:, track.joints.index(start)]
        return bone / np.linalg.norm(bone, axis=-1, keepdims=True)

    pair = direction(joints, "upper_arm.L", "forearm.L"), direction(danced, "left_shoulder", "left_elbow")
    assert np.rad2deg(np.arccos(np.clip((pair[0] * pair[1]).sum(-1), -1, 1))).max() < 1e-3


def test_rigs_that_cannot_be_used_are_refused():
    dance = read(TAKES / "dance_smplh_truth.npz")
    with pytest.raises(ValueError, match="format for the motion of a rig: expected bvh or gltf, received wham"):
        prepared_for(dance, "wham", rig=read(TAKES / "reactidle_000.bvh"))
    points = Motion("csv", (), None)
    with pytest.raises(ValueError, match="content of the motion: expected rotations of a skeleton's joints, received"):
        prepared_for(dance, "bvh", rig=points)
